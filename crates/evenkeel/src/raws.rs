//! Events as they were sent are kept for a time ([`crate::Options::keep_raw`]) and forgotten then, a piece at a time, so that
//! the log's writer is never held up for long.
//!
//! Keeping them is [`crate::ingest`]'s, in the transaction that admits them.
use crate::engine::Inner;
use std::{sync::atomic::Ordering, time::Duration};

/// How often is looked whether some are old enough.
const TICK: Duration = Duration::from_secs(10);

/// How many are forgotten in one transaction, about.
const PIECE: usize = 2_000;

/// How long the writer is left to others between two pieces.
const PAUSE: Duration = Duration::from_millis(50);

/// The thread that forgets them.
pub(crate) fn forget_what_is_old(inner: &Inner) {
    while !inner.stopping.load(Ordering::SeqCst) {
        let seen = inner.forgetting.seen();
        // Where none are kept any more, those from before are old too.
        let before = inner.clock.now().minus(inner.options.keep_raw);
        let wait = match inner.log.forget_raws(before, PIECE) {
            Ok(0) => TICK,
            Ok(forgotten) => {
                metrics::counter!("evenkeel_raw_events_forgotten_total").increment(forgotten as u64);
                PAUSE
            }
            Err(error) => {
                tracing::warn!(%error, "events as they were sent, which are old, could not be forgotten");
                TICK
            }
        };
        inner.forgetting.wait(seen, wait);
    }
}
