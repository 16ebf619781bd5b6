//! Snapshots in a running engine: taken in the background whenever enough was applied since the last, or because a person
//! asks, one at a time for each model. What that involves is [`crate::snapshot`]'s.
use crate::{
    Engine, EngineError,
    engine::Inner,
    report::SnapshotReport,
    slot::{Slot, Snapshotted},
    snapshot::{self, Found, Taken, Taker},
};
use evenkeel_core::{checkpoint::SafeHead, drift::Verdict, schema::Schema};
use evenkeel_store::{Models, Result, Snapshots};
use std::{sync::atomic::Ordering, time::Duration};

/// How often is looked whether a snapshot is due.
const TICK: Duration = Duration::from_millis(500);

/// Of the time, at most one part in so many goes into the snapshots of a model that are taken unasked.
const SHARE: u32 = 10;

/// How long after one that was not kept the next is tried.
const RETRY: Duration = Duration::from_secs(60);

/// The thread that takes snapshots unasked.
pub(crate) fn take_what_is_due(inner: &Inner) {
    let Some(snapshots) = inner.snapshots.as_deref() else { return };
    while !inner.stopping.load(Ordering::SeqCst) {
        let seen = inner.snapshotting.seen();
        inner.snapshotting.wait(seen, TICK);
        for slot in inner.slots.values() {
            if inner.stopping.load(Ordering::SeqCst) {
                return;
            }
            // Whoever holds it takes one.
            let Some(mut known) = slot.snapshotted.try_lock() else { continue };
            match is_due(inner, snapshots, slot, &mut known) {
                Ok(true) => unasked(inner, snapshots, slot, &mut known),
                Ok(false) => {}
                Err(error) => tracing::debug!(model = %slot.name(), %error, "whether a snapshot is due is not known"),
            }
        }
    }
}

fn is_due(inner: &Inner, snapshots: &dyn Snapshots, slot: &Slot, known: &mut Snapshotted) -> Result<bool> {
    if inner.clock.monotonic() < known.not_before {
        return Ok(false);
    }
    let Some(state) = inner.models.state(slot.name())? else { return Ok(false) };
    if !state.schema.same_as(slot.schema()) {
        return Ok(false);
    }
    let reached = state.checkpoint.counts.total();
    let is_far = |since: u64| reached.saturating_sub(since) >= inner.options.snapshot_every_events;
    // A table that was made anew has reached less than the snapshots of the one before.
    if known.events.is_some_and(|events| events <= reached && !is_far(events)) {
        return Ok(false);
    }
    known.events = newest(&snapshot::list(snapshots, slot.schema())?, slot.schema(), &inner.log.safe_head()?);
    Ok(is_far(known.events.unwrap_or(0)))
}

/// How many events the newest snapshot has reached that a rebuild would begin from.
fn newest(found: &[Found], schema: &Schema, head: &SafeHead) -> Option<u64> {
    let usable = found.iter().find(|found| found.hindrance(schema, head).is_none())?;
    usable.header.as_ref().ok().map(|header| header.checkpoint.counts.total())
}

fn unasked(inner: &Inner, snapshots: &dyn Snapshots, slot: &Slot, known: &mut Snapshotted) {
    let started = inner.clock.monotonic();
    let taken = take(inner, snapshots, slot, known);
    let ended = inner.clock.monotonic();
    let rest = ended.saturating_sub(started) * SHARE;
    known.not_before = ended + if taken.is_ok() { rest } else { rest.max(RETRY) };
    if let Err(error) = taken {
        tracing::warn!(model = %slot.name(), %error, "a snapshot was not taken");
    }
}

/// Takes a snapshot and removes what need not be kept any more.
fn take(
    inner: &Inner,
    snapshots: &dyn Snapshots,
    slot: &Slot,
    known: &mut Snapshotted,
) -> std::result::Result<Taken, EngineError> {
    let started = inner.clock.monotonic();
    let (log, models, fold) = (inner.log.as_ref(), inner.models.as_ref(), slot.fold.as_ref());
    let unfit = slot.unfit_snapshots.load(Ordering::SeqCst);
    let taken = Taker { log, models, snapshots, fold, now: inner.clock.now() }.take(&mut || inner.go_on());
    let taken = taken.and_then(|taken| still_sound(models, snapshots, slot, taken, unfit));
    let model = slot.name().to_string();
    let result = if taken.is_ok() { "kept" } else { "refused" };
    metrics::counter!("evenkeel_snapshots_total", "model" => model.clone(), "result" => result).increment(1);
    let taken = taken?;
    let (position, bytes) = (taken.kept.position, taken.kept.bytes);
    let seconds = inner.clock.monotonic().saturating_sub(started).as_secs_f64();
    tracing::info!(%model, %position, rows = taken.header.rows, bytes, seconds, "a snapshot was taken");
    metrics::gauge!("evenkeel_snapshot_position", "model" => model.clone()).set(position.0 as f64);
    metrics::gauge!("evenkeel_snapshot_bytes", "model" => model).set(bytes as f64);
    known.events = Some(taken.header.checkpoint.counts.total());
    let thinned =
        log.safe_head().and_then(|head| snapshot::thin(snapshots, slot.schema(), &head, inner.options.snapshots_kept));
    if let Err(error) = thinned {
        tracing::warn!(model = %slot.name(), %error, "older snapshots could not be removed");
    }
    Ok(taken)
}

/// What was found out about the rows while the snapshot was written holds for those that are in it, also where they have
/// been put right since. Looked at once it is kept: whoever finds something out later removes it with the others.
pub(crate) fn still_sound(
    models: &dyn Models,
    snapshots: &dyn Snapshots,
    slot: &Slot,
    taken: Taken,
    unfit: u64,
) -> std::result::Result<Taken, EngineError> {
    let state = models.state(slot.name())?;
    let is_trusted =
        state.is_some_and(|state| matches!(state.content.verdict, Verdict::Verified | Verdict::Unverified));
    if is_trusted && slot.unfit_snapshots.load(Ordering::SeqCst) == unfit {
        return Ok(taken);
    }
    snapshots.remove(slot.name(), taken.kept.position)?;
    let reason = "rows were found that may be wrong while it was taken".into();
    Err(EngineError::NotTaken { model: slot.name().clone(), reason })
}

impl Inner {
    /// Removes every snapshot of a model: its rows were not what they should have been.
    pub(crate) fn forget_snapshots(&self, slot: &Slot, reason: &str) {
        let Some(snapshots) = self.snapshots.as_deref() else { return };
        // Before they are listed: one that is kept after that is told by this.
        slot.unfit_snapshots.fetch_add(1, Ordering::SeqCst);
        let remove = || -> Result<usize> {
            let list = snapshots.list(slot.name())?;
            list.iter().try_for_each(|kept| snapshots.remove(slot.name(), kept.position))?;
            Ok(list.len())
        };
        match remove() {
            Ok(0) => {}
            Ok(removed) => tracing::warn!(model = %slot.name(), removed, reason, "snapshots are removed"),
            Err(error) => tracing::warn!(model = %slot.name(), %error, reason, "snapshots could not be removed"),
        }
        if let Some(mut known) = slot.snapshotted.try_lock() {
            known.events = None;
        }
    }

    /// How many events a rebuild would fold: those that the newest snapshot which is fit for it has not reached.
    pub(crate) fn events_to_fold(&self, slot: &Slot) -> u64 {
        let Ok(head) = self.log.safe_head() else { return u64::MAX };
        let found = self.snapshots.as_deref().and_then(|home| snapshot::list(home, slot.schema()).ok());
        let reached = found.and_then(|found| newest(&found, slot.schema(), &head)).unwrap_or(0);
        head.count(&slot.schema().subscribes).saturating_sub(reached)
    }

    fn report(&self, slot: &Slot, found: &Found, head: &SafeHead) -> SnapshotReport {
        let header = found.header.as_ref().ok();
        let hindrance = found.hindrance(slot.schema(), head);
        SnapshotReport {
            model: slot.name().to_string(),
            position: found.kept.position.0,
            taken_at: header.map(|header| header.taken_at.to_string()),
            version: header.map(|header| header.version),
            rows: header.map(|header| header.rows),
            bytes: found.kept.bytes,
            usable: hindrance.is_none(),
            reason: hindrance.map(|why| why.reason().to_owned()),
        }
    }

    fn home_of_snapshots(&self) -> std::result::Result<&dyn Snapshots, EngineError> {
        self.snapshots.as_deref().ok_or_else(|| EngineError::Method("this engine keeps no snapshots".into()))
    }
}

impl Engine {
    /// Takes a snapshot of a model now, for rebuilds to begin from.
    ///
    /// # Errors
    /// Where there is no such model, one of it is being taken, its rows are not fit for one
    /// ([`EngineError::NotTaken`]), or a store cannot be read or written.
    pub fn take_snapshot(&self, model: &str) -> std::result::Result<SnapshotReport, EngineError> {
        let inner = &self.inner;
        let (slot, snapshots) = (inner.slot(model)?, inner.home_of_snapshots()?);
        let being_taken = || EngineError::Method(format!("a snapshot of {model} is being taken"));
        let mut known = slot.snapshotted.try_lock().ok_or_else(being_taken)?;
        let Taken { header, kept } = take(inner, snapshots, slot, &mut known)?;
        Ok(inner.report(slot, &Found { kept, header: Ok(header) }, &inner.log.safe_head()?))
    }

    /// The snapshots of a model, or of all, newest first for each model.
    ///
    /// # Errors
    /// Where there is no such model, or the snapshots or the log cannot be read.
    pub fn snapshots(&self, model: Option<&str>) -> std::result::Result<Vec<SnapshotReport>, EngineError> {
        let inner = &self.inner;
        let slots: Vec<_> = match model {
            Some(model) => vec![inner.slot(model)?],
            None => inner.slots.values().collect(),
        };
        let Some(snapshots) = inner.snapshots.as_deref() else { return Ok(Vec::new()) };
        let head = inner.log.safe_head()?;
        let mut reports = Vec::new();
        for slot in slots {
            let found = snapshot::list(snapshots, slot.schema())?;
            reports.extend(found.iter().map(|found| inner.report(slot, found, &head)));
        }
        Ok(reports)
    }
}
