//! The scrub: rows read again in the background, at a set rate, and compared with what was written.
//!
//! A row whose columns are not those of its digest is found when it is read; a row that is gone, or was put there with a
//! digest of its own, at the end of the pass, when the sums of the buckets are compared. So whatever is done to a table
//! without a trigger noting it is found within two passes: twice the rows divided by the rate.
//!
//! Some of the rows that are read are also folded afresh, by their own events, and compared: others in every pass, all of
//! them in time. That finds what the projector itself got wrong. What is found makes the model `suspect`; naming and
//! mending it is the reconciler's.
use crate::{
    content::{Checker, keep_drifted},
    engine::Inner,
    refold::refold,
    slot::Slot,
};
use evenkeel_core::{
    content::Pass,
    drift::{Content, Verdict},
    row::Key,
};
use evenkeel_store::{Models, Result, StoreError, Table};
use std::{sync::atomic::Ordering, time::Duration};

/// How often rows are read. Between two slices the projector has its turn.
const TICK: Duration = Duration::from_millis(100);

/// The most rows read in one turn: a few milliseconds of the projector's time.
const SLICE: usize = 2000;

/// The scrub's thread: a slice of each model at every tick.
pub(crate) fn scrub(inner: &Inner) {
    let per_second = inner.options.scrub_rows_per_second as f64;
    let mut credit = 0.0f64;
    let mut last = inner.clock.monotonic();
    while !inner.stopping.load(Ordering::SeqCst) {
        let seen = inner.scrubbing.seen();
        inner.scrubbing.wait(seen, TICK);
        // By the time that has passed and not by ticks, which come later the longer the reading takes.
        let now = inner.clock.monotonic();
        credit = (credit + per_second * now.saturating_sub(last).as_secs_f64()).min(per_second);
        last = now;
        let rows = credit.floor();
        credit -= rows;
        for slot in inner.slots.values() {
            let mut left = rows as usize;
            while left > 0 && !inner.stopping.load(Ordering::SeqCst) {
                let slice = left.min(SLICE);
                left -= slice;
                match scrub_slice(&inner.checker(slot), slot, slice) {
                    Ok(Scrubbed::More) => {}
                    Ok(Scrubbed::Ended) => break,
                    Ok(Scrubbed::Disagrees) => {
                        inner.reconcile_needed(slot);
                        break;
                    }
                    Err(error) => {
                        tracing::debug!(model = %slot.name(), %error, "the scrub could not read");
                        break;
                    }
                }
            }
        }
    }
}

/// One of so many rows is folded afresh in a pass, in the next pass another one.
const REFOLDED: u64 = 50;

/// The most events folded afresh in one turn.
const REFOLD_EVENTS: u64 = 500;

/// What a slice of the scrub came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scrubbed {
    /// There are more rows.
    More,
    /// Every row was read, and all is as it was written; or there is nothing to scrub now.
    Ended,
    /// Something is not as it was written.
    Disagrees,
}

/// Reads the next rows of a model, as of the checker's moment.
pub(crate) fn scrub_slice(checker: &Checker<'_>, slot: &Slot, rows: usize) -> Result<Scrubbed> {
    let models = checker.models;
    let Some(state) = models.state(slot.name())? else { return Ok(Scrubbed::Ended) };
    if !state.schema.same_as(slot.schema()) || state.condemned.is_some() {
        return Ok(Scrubbed::Ended);
    }
    // Whoever has it may take long, and other models wait for this thread.
    let Some(mut turn) = slot.try_turn() else { return Ok(Scrubbed::Ended) };
    // Of this turn: who had it before may have found something out.
    let state = models.state(slot.name())?.unwrap_or(state);
    // Rows that wait for a person may wait for long: the others are looked at meanwhile.
    let waits = slot.waits_for_person() && state.content.bad_buckets == 0;
    if matches!(state.content.verdict, Verdict::Suspect | Verdict::Drifted) && !waits {
        // Known already, and somebody's to look at.
        return Ok(Scrubbed::Ended);
    }
    let mut pass = match turn.pass().take() {
        Some(pass) => pass,
        None => {
            slot.trust.begin(models)?;
            Pass::new(checker.now)
        }
    };
    let read = models.scrub(slot.name(), Table::Live, pass.cursor(), rows);
    let read = match (read, models.watch(slot.name())) {
        // Not the table that was made: dropped, or its columns changed. Only a new one mends that.
        (Err(StoreError::Corrupt(why)), _) | (_, Err(StoreError::Corrupt(why))) => {
            return Ok(condemn(models, slot, &why));
        }
        // Whoever took the triggers away may have written anything since.
        (_, Ok(false)) => return Ok(Scrubbed::Disagrees),
        (read, watched) => watched.and(read)?,
    };
    let is_last = read.len() < rows;
    let mut intact = true;
    let mut sample = Vec::new();
    // Another share of the rows in every pass; passes follow each other in time.
    let share = pass.started_at().as_micros().unsigned_abs() / 1000 % REFOLDED;
    for row in read {
        intact &= row.intact;
        if row.hash.0 % REFOLDED == share {
            sample.push(row.key.clone());
        }
        pass.read(row.key, row.hash, row.digest);
    }
    if !intact {
        return doubt(models, slot, None);
    }
    // Not always the same ones first: what takes long is cut off.
    let first = usize::try_from(share).unwrap_or_default().checked_rem(sample.len()).unwrap_or_default();
    sample.rotate_left(first);
    let wrong = differing(checker, slot, &sample)?;
    if !wrong.is_empty() {
        // Kept as drifted, so that also after a restart a full look follows: the sums would not tell.
        *slot.suspects.lock() = wrong;
        keep_drifted(models, slot.name(), (state.content.bad_buckets, state.doubts))?;
        return Ok(Scrubbed::Disagrees);
    }
    if !is_last {
        *turn.pass() = Some(pass);
        return Ok(Scrubbed::More);
    }
    // Still under the turn: the sums are of the moment of the last row.
    let differing = pass.differing(&models.buckets(slot.name(), Table::Live)?);
    if !differing.is_empty() {
        return doubt(models, slot, Some(differing.len() as u32));
    }
    if !checker.windows(&state)?.is_empty() {
        return doubt(models, slot, None);
    }
    if !waits {
        let content = Content { verdict: Verdict::Verified, verified_as_of: Some(pass.started_at()), bad_buckets: 0 };
        // What was doubted meanwhile is for whoever looks next.
        models.set_content_unless_doubted(slot.name(), content, state.doubts)?;
    }
    slot.trust.end();
    metrics::counter!("evenkeel_scrub_passes_total", "model" => slot.name().to_string()).increment(1);
    Ok(Scrubbed::Ended)
}

/// Which of these rows are not what their events make of them. The caller holds the turn.
fn differing(checker: &Checker<'_>, slot: &Slot, keys: &[Key]) -> Result<Vec<Key>> {
    let Checker { log, models, fold, .. } = *checker;
    // Of this moment: the projector may have gone on since the state was read.
    let Some(state) = models.state(slot.name())? else { return Ok(Vec::new()) };
    let mut wrong = Vec::new();
    let mut events = 0;
    let waiting = slot.waiting.lock().clone();
    for key in keys.iter().filter(|key| !waiting.contains(key)) {
        if events > REFOLD_EVENTS {
            break;
        }
        let one = std::slice::from_ref(key);
        let mut folded = refold((log, models), fold, Table::Live, one, state.checkpoint.position)?;
        events += folded.events;
        let loaded = models.load(slot.name(), Table::Live, one)?;
        if loaded.rows.first().map(|row| &row.row) != folded.rows.remove(key).as_ref() {
            wrong.push(key.clone());
        }
    }
    Ok(wrong)
}

fn condemn(models: &dyn Models, slot: &Slot, why: &str) -> Scrubbed {
    let reason = format!("its table cannot be read: {why}");
    tracing::warn!(model = %slot.name(), reason, "a model must be rebuilt");
    match models.condemn(slot.name(), &reason) {
        Ok(_) => Scrubbed::Disagrees,
        Err(_) => Scrubbed::Ended,
    }
}

fn doubt(models: &dyn Models, slot: &Slot, bad_buckets: Option<u32>) -> Result<Scrubbed> {
    // One bucket at least, so that whoever looks next sums them up: no note says which row it is.
    let bad_buckets = bad_buckets.unwrap_or(1);
    models.doubt(slot.name(), bad_buckets)?;
    Ok(Scrubbed::Disagrees)
}

/// The longest it takes until something that no trigger notes is found, in seconds; `None` without a scrub.
pub(crate) fn worst_case_seconds(rows: u64, rows_per_second: u64) -> Option<f64> {
    (rows_per_second > 0).then(|| 2.0 * rows as f64 / rows_per_second as f64 + 2.0 * TICK.as_secs_f64())
}
