//! The reconciler: models brought back to the log, on request or because nothing else helps, each time with a record.
//!
//! How a table is rebuilt and compared is [`crate::rebuild`]'s and [`crate::verify`]'s. Here is which of it is done when,
//! and the thread that does it unasked.
use crate::{
    EngineError,
    engine::Inner,
    monitor::{Observation, source_of},
    operate::millis,
    projector::{Progress, ProjectorError},
    quarantine::unreplayed,
    rebuild::{self, Rebuilt},
    report::log_reconciliation,
    slot::{Slot, Turn},
    verify::{self, Verification},
};
use evenkeel_core::{
    Timestamp,
    drift::{Status, Verdict, Worker},
    reconciliation::{Method, Reconciliation, ReconciliationResult},
};
use evenkeel_store::StoreError;
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// How long an explicit replay may take to reach the head it started with.
const REPLAY_BUDGET: Duration = Duration::from_secs(600);

/// How long after a failed rebuild the next is tried: the first time, and at most.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

impl Inner {
    /// Verifies a model, whose turn the caller shows, and keeps the verdict.
    pub(crate) fn verify_held(&self, slot: &Slot, _: &Turn<'_>) -> Result<(Verification, Timestamp), EngineError> {
        let (log, models, clock) = (self.log.as_ref(), self.models.as_ref(), self.clock.as_ref());
        verify::verify_live_unless(log, models, slot.fold.as_ref(), clock, &mut || self.go_on())
    }

    /// Calls off what takes long once the engine is to stop.
    fn go_on(&self) -> ControlFlow<()> {
        if self.stopping.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Brings a model back, and records it.
    pub(crate) fn reconcile(&self, slot: &Slot, method: Option<Method>) -> Result<Reconciliation, EngineError> {
        let observation = self.observe(slot)?;
        let worker = slot.health.get();
        let report = slot.watch.lock().peek(&observation, &worker);
        let method = match method {
            Some(Method::Repair) => {
                return Err(EngineError::Method("repair of single rows is not offered yet; rebuild the model".into()));
            }
            Some(method) => method,
            None => choose(&observation, report.status),
        };
        let event_id = observation.head.as_ref().and_then(|head| head.last_event);
        let mut record = Reconciliation {
            id: 0,
            model: slot.name().clone(),
            event_id,
            source: source_of(self.log.as_ref(), event_id),
            drift_metrics: observation.metrics(&worker, report.status),
            reconciliation_method: method,
            result: ReconciliationResult::Converged,
            error: None,
            rows_repaired: 0,
            events_replayed: 0,
            unreplayed: Vec::new(),
            verified: false,
            started_at: observation.now,
            duration_ms: 0,
        };
        let started = self.clock.monotonic();
        // Until its record is written, so that the monitor does not take it for a catch-up of the model's own.
        let _reconciling = slot.health.reconciling();
        let done = match method {
            Method::Rebuild => self.rebuild(slot, &mut record),
            Method::Replay | Method::Repair => self.replay(slot, &observation, &mut record),
        };
        if let Err(error) = done {
            record.result = ReconciliationResult::Failed;
            record.error = Some(error.to_string());
        }
        slot.watch.lock().reconciled();
        record.unreplayed = unreplayed(self.models.as_ref(), slot.name())?;
        record.duration_ms = millis(self.clock.monotonic().saturating_sub(started));
        log_reconciliation(&record);
        metrics::counter!("evenkeel_reconciliations_total", "model" => slot.name().to_string(), "method" => method.as_str(), "result" => record.result.as_str()).increment(1);
        record.id = self.models.record(&record)?;
        Ok(record)
    }

    fn rebuild(&self, slot: &Slot, record: &mut Reconciliation) -> Result<(), EngineError> {
        let mut turn = slot.turn();
        let mut folded = 0;
        let rebuilt =
            rebuild::rebuild(self.log.as_ref(), self.models.as_ref(), &slot.fold, self.clock.as_ref(), &mut |events| {
                folded = events;
                self.go_on()
            });
        turn.changed();
        drop(turn);
        record.events_replayed = folded;
        slot.table_changed();
        match rebuilt? {
            Rebuilt::Swapped { events, .. } => {
                record.events_replayed = events;
                record.verified = true;
                Ok(())
            }
            Rebuilt::CalledOff => Err(EngineError::Method("the rebuild was called off: the engine is stopping".into())),
        }
    }

    /// Applies what the model lacks, in the caller's thread beside its projector, which takes turns with it.
    fn replay(&self, slot: &Slot, observation: &Observation, record: &mut Reconciliation) -> Result<(), EngineError> {
        let Some(head) = &observation.head else {
            return Err(EngineError::Method("the log cannot be read".into()));
        };
        let before = observation.state.checkpoint.counts.total();
        let deadline = self.clock.monotonic() + REPLAY_BUDGET;
        loop {
            let advanced = slot.turn().advance(slot, self.log.as_ref(), self.models.as_ref(), self.clock.now());
            let idle = matches!(advanced, Ok(Progress::Idle));
            match advanced {
                Ok(_) => slot.moved.notify(),
                Err(ProjectorError::Store(StoreError::Conflict { .. })) => {}
                Err(ProjectorError::Store(error)) => return Err(error.into()),
                Err(error) => return Err(EngineError::Method(format!("{error}; method rebuild mends that"))),
            }
            let now = self.observe(slot)?;
            record.events_replayed = now.state.checkpoint.counts.total().saturating_sub(before);
            if now.has_reached(head) {
                break;
            }
            if idle {
                let text = "nothing is left to apply and fewer events were counted than the log has; method rebuild mends that";
                return Err(EngineError::Method(text.into()));
            }
            if self.clock.monotonic() > deadline {
                return Err(EngineError::Method("the head was not reached in time".into()));
            }
            if self.go_on().is_break() {
                return Err(EngineError::Method("the replay was called off: the engine is stopping".into()));
            }
        }
        let turn = slot.turn();
        let (found, _) = self.verify_held(slot, &turn)?;
        record.verified = found.wrong_rows == 0;
        if !record.verified {
            return Err(EngineError::Method(format!(
                "{} rows differ from the log; method rebuild mends that",
                found.wrong_rows
            )));
        }
        if record.events_replayed == 0 {
            record.result = ReconciliationResult::NothingToDo;
        }
        Ok(())
    }
}

/// What the drift of a model calls for.
fn choose(observation: &Observation, status: Status) -> Method {
    let drifted = matches!(observation.state.content.verdict, Verdict::Drifted | Verdict::Suspect);
    if drifted || observation.outdated || status == Status::RebuildNeeded { Method::Rebuild } else { Method::Replay }
}

/// A rebuild that has failed and will be tried again.
struct Retry {
    at: Duration,
    back_off: Duration,
}

/// The reconciler's thread: rebuilds models whose projector cannot go on without it, one at a time. A rebuild that fails
/// is tried again, each time later; of a fold that never verifies the rebuilds take a tenth of the time at most.
pub(crate) fn reconcile_what_is_needed(inner: &Arc<Inner>) {
    let mut retries: BTreeMap<String, Retry> = BTreeMap::new();
    loop {
        let seen = inner.needed.seen();
        if inner.go_on().is_break() {
            return;
        }
        let now = inner.clock.monotonic();
        let mut due = inner.take_needs();
        due.retain(|name| !retries.contains_key(name));
        due.extend(retries.iter().filter(|(_, retry)| retry.at <= now).map(|(name, _)| name.clone()));
        for name in due {
            let Ok(slot) = inner.slot(&name) else { continue };
            let started = inner.clock.monotonic();
            if rebuild_if_needed(inner, slot) || inner.go_on().is_break() {
                retries.remove(&name);
                continue;
            }
            let ended = inner.clock.monotonic();
            let back_off = retries.get(&name).map_or(FIRST_RETRY, |retry| (retry.back_off * 2).min(LAST_RETRY));
            let at = ended + back_off.max(ended.saturating_sub(started) * 10);
            retries.insert(name, Retry { at, back_off });
        }
        let next = retries.values().map(|retry| retry.at).min();
        let now = inner.clock.monotonic();
        inner.needed.wait(seen, next.map_or(Duration::MAX, |at| at.saturating_sub(now)));
    }
}

/// Rebuilds a model that has to be, or finds that it has not: somebody may have done it meanwhile. Whether all is well.
fn rebuild_if_needed(inner: &Inner, slot: &Slot) -> bool {
    let Ok(observation) = inner.observe(slot) else { return false };
    if observation.head.is_none() {
        return false;
    }
    let report = slot.watch.lock().peek(&observation, &Worker::Running);
    let suspect = observation.state.content.verdict == Verdict::Suspect;
    // Lag alone is the projector's to make good.
    let needed =
        suspect || (report.status == Status::RebuildNeeded && (observation.outdated || report.lag.lag_count.is_none()));
    !needed || inner.reconcile(slot, Some(Method::Rebuild)).is_ok_and(|record| record.error.is_none())
}
