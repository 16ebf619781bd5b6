//! The threads: one projector a model, and the monitor that watches them all.
//!
//! A projector that fails or panics says why, waits longer each time, and takes its table up anew. It never gives up:
//! an outage of the store or a lost event is over when it is over. What one batch does is in [`crate::projector`], what
//! a look finds in [`crate::monitor`].
use crate::{
    engine::Inner,
    guarded,
    monitor::Observation,
    projector::{Progress, ProjectorError},
    slot::Slot,
};
use evenkeel_core::{
    Position,
    drift::{Status, Verdict, Worker},
};
use evenkeel_store::StoreError;
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

/// The first and the longest wait after a failure.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long the monitor waits for the log at most before it looks whether the engine stops.
const LOOK_UP: Duration = Duration::from_millis(250);

/// Starts the projector of a model, if it is not running.
pub(crate) fn start_projector(inner: &Arc<Inner>, slot: &Arc<Slot>) -> io::Result<()> {
    let mut thread = slot.thread.lock();
    // Under the lock: whoever stops the engine comes for the thread after having said so.
    if inner.stopping.load(Ordering::SeqCst) {
        return Err(io::Error::other("the engine has stopped"));
    }
    if thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
        return Ok(());
    }
    slot.stop.store(false, Ordering::SeqCst);
    slot.health.set(Worker::Running);
    let (inner, of) = (Arc::clone(inner), Arc::clone(slot));
    *thread =
        Some(thread::Builder::new().name(format!("project {}", slot.name())).spawn(move || project(&inner, &of))?);
    Ok(())
}

/// Ends the projector of a model after its current batch, and says why.
pub(crate) fn stop_projector(slot: &Slot, reason: &str) {
    // Held to the end, so that a start in between neither revives the thread that is joined nor is overlooked.
    let mut thread = slot.thread.lock();
    slot.stop.store(true, Ordering::SeqCst);
    slot.wake.notify();
    slot.retry.notify();
    if let Some(thread) = thread.take() {
        let _ = thread.join();
    }
    slot.health.set(Worker::Lost(reason.to_owned()));
}

fn project(inner: &Arc<Inner>, slot: &Slot) {
    let mut back_off = BACK_OFF.0;
    loop {
        let (seen, retry) = (slot.wake.seen(), slot.retry.seen());
        if slot.stop.load(Ordering::SeqCst) {
            return;
        }
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut turn = slot.turn();
            let began = inner.clock.monotonic();
            let progress = turn.advance(slot, inner.log.as_ref(), inner.models.as_ref(), inner.clock.now())?;
            Ok((progress, turn.position().unwrap_or_default(), inner.clock.monotonic().saturating_sub(began)))
        }));
        let failure = match result {
            Ok(Ok((progress, position, took))) => {
                back_off = BACK_OFF.0;
                slot.health.recovered();
                match progress {
                    Progress::Moved(events) => {
                        slot.commits.reached(position, events as u64, took);
                        slot.moved.notify();
                    }
                    Progress::Idle => slot.wake.wait(seen, inner.options.heartbeat),
                }
                continue;
            }
            Ok(Err(ProjectorError::Store(StoreError::Conflict { .. }))) => continue,
            Ok(Err(error @ ProjectorError::Damaged { .. })) => match heal(inner, slot, &error) {
                Ok(()) => continue,
                Err(why) => format!("{error}; {why}"),
            },
            Ok(Err(error)) => {
                // What must be rebuilt is the reconciler's to start; here there is nothing to do until it has.
                if !matches!(error, ProjectorError::Store(_)) {
                    inner.reconcile_needed(slot);
                }
                error.to_string()
            }
            Err(panic) => format!("the projector panicked: {}", guarded::message(panic.as_ref())),
        };
        slot.health.failed(&failure);
        // Not for new events: they would have it try at every one of them.
        slot.retry.wait(retry, back_off);
        back_off = (back_off * 2).min(BACK_OFF.1);
    }
}

/// Folds the rows anew that a batch would have built on. Not a question of healing unasked: nothing may be folded over
/// what the projector did not write.
fn heal(inner: &Arc<Inner>, slot: &Slot, error: &ProjectorError) -> Result<(), String> {
    let ProjectorError::Damaged { keys, .. } = error else { return Ok(()) };
    tracing::warn!(model = %slot.name(), rows = keys.len(), "rows are not as they were written and are folded anew");
    inner.heal(slot, keys).map_err(|error| error.to_string())
}

/// Watches every model until the engine stops: waits for the log to move, wakes projectors, and measures at each
/// heartbeat.
pub(crate) fn monitor(inner: &Arc<Inner>) {
    let mut head = Position::ZERO;
    let mut due = inner.clock.monotonic();
    loop {
        let tick = inner.tick.seen();
        if inner.stopping.load(Ordering::SeqCst) {
            return;
        }
        if inner.clock.monotonic() >= due {
            measure_all(inner);
            inner.measure_consumers();
            inner.go_on_with_releases();
            inner.watched();
            due = inner.clock.monotonic() + inner.options.heartbeat;
        }
        let left = due.saturating_sub(inner.clock.monotonic()).min(LOOK_UP);
        match inner.log.wait_past(head, left) {
            Ok(moved) if moved != head => {
                head = moved;
                inner.wake_projectors();
            }
            Ok(_) => {}
            Err(_) => inner.tick.wait(tick, left),
        }
    }
}

/// Measures every model once. A store that cannot be read is measured too: as not known.
pub(crate) fn measure_all(inner: &Inner) {
    for slot in inner.slots.values() {
        let measured = measure(inner, slot);
        if measured.is_err() {
            inner.gauge_unknown(slot);
        }
        slot.measured(measured);
    }
}

fn measure(inner: &Inner, slot: &Slot) -> Result<(), StoreError> {
    let (log, models, fold) = (inner.log.as_ref(), inner.models.as_ref(), slot.fold.as_ref());
    let Some(state) = models.state(slot.name())? else { return Ok(()) };
    let observation = Observation::of(log, fold, state, inner.clock.now());
    // After the model was read: a reconciliation that had not begun by then has not mended what was read.
    let worker = slot.health.get();
    // Writing may have to wait for a transaction; readers, who look at the watch too, must not wait with it.
    let seen = slot.watch.lock().look(fold, &worker, &observation);
    inner.gauge(slot, &observation, &seen.report);
    let mut doubted = matches!(observation.state.content.verdict, Verdict::Suspect | Verdict::Drifted);
    let waits = doubted && slot.waits_for_person();
    let comparable = observation.head.is_some() && !observation.outdated && observation.state.condemned.is_none();
    if !doubted && comparable && slot.identities.agree(log, models, slot.name())? == Some(false) {
        // Position says that all is done, and events were missed or applied twice.
        models.doubt(slot.name(), 0)?;
        doubted = true;
    }
    let has_news = doubted && (!waits || slot.has_news(log, models, observation.state.content)?);
    // Whoever looks after it judges whether a snapshot is nearer to the log than the table is.
    let fell_behind = seen.report.changed && seen.report.status == Status::RebuildNeeded;
    if has_news || fell_behind {
        inner.reconcile_needed(slot);
    }
    seen.keep(log, models, fold, &observation).inspect_err(|_| slot.watch.lock().take_back(&seen))
}
