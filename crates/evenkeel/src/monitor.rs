//! The drift monitor: samples each model against the log's committed tip, says aloud what changed, and records when a
//! model has caught up again.
//!
//! [`Observation`] and [`Watch`] are the stage, without threads. It never trusts a projector's own word: the distance
//! is taken between the stored checkpoint and the log. Acting on drift is the engine's.
use crate::report::{known, log_reconciliation};
use evenkeel_core::{
    EventId, ModelName, SourceName, Timestamp,
    checkpoint::SafeHead,
    drift::{Monitor, Report, Sample, Status, Thresholds, Worker, measure},
    fold::{Fold, ParkState},
    reconciliation::{DriftMetrics, Method, Reconciliation, ReconciliationResult},
    schema::Schema,
};
use evenkeel_store::{Log, Measured, ModelState, Models, Result, Step, Table};

/// A model, its log, and what the two say together.
#[derive(Debug, Clone)]
pub struct Observation {
    /// What is stored of the model.
    pub state: ModelState,
    /// The log's safe head, where it could be read.
    pub head: Option<SafeHead>,
    /// When the oldest event not yet applied was recorded.
    pub oldest_unapplied: Option<Timestamp>,
    /// Whether the rows were made by another version of the model.
    pub outdated: bool,
    /// When this was observed.
    pub now: Timestamp,
}

impl Observation {
    /// Completes what was read of a model with what the log says. Reads the model first and then the log, so that the
    /// distance is never understated.
    ///
    /// # Errors
    /// Never for a log that cannot be read: that is an observation too.
    pub fn of(log: &dyn Log, fold: &dyn Fold, state: ModelState, now: Timestamp) -> Self {
        // What the table that is there follows, also while another version of the model is declared.
        let types = &state.schema.subscribes;
        let mut head = log.safe_head().ok();
        let mut oldest_unapplied = None;
        let behind = head.as_ref().is_some_and(|head| head.count(types) > state.checkpoint.counts.total());
        if behind {
            match log.oldest_after(state.checkpoint.position, types) {
                Ok(oldest) => oldest_unapplied = oldest,
                Err(_) => head = None,
            }
        }
        let outdated = !state.schema.same_as(fold.schema());
        Self { state, head, oldest_unapplied, outdated, now }
    }

    /// Whether everything the log held at `target` is applied, as far as the model's own version goes.
    pub fn has_reached(&self, target: &SafeHead) -> bool {
        let checkpoint = &self.state.checkpoint;
        let of_this_log = self.head.as_ref().is_some_and(|head| head.epoch == target.epoch && head.holds(checkpoint));
        of_this_log && checkpoint.counts.total() >= target.count(&self.state.schema.subscribes)
    }

    /// This as a sample for the monitor.
    pub fn sample<'s>(&'s self, worker: &'s Worker) -> Sample<'s> {
        Sample {
            now: self.now,
            head: self.head.as_ref(),
            subscribed: self.head.as_ref().map(|head| head.count(&self.state.schema.subscribes)),
            checkpoint: &self.state.checkpoint,
            oldest_unapplied: self.oldest_unapplied,
            outdated: self.outdated,
            worker,
            content: self.state.content,
            condemned: self.state.condemned.as_deref(),
        }
    }

    /// What a record of a reconciliation says of the drift it started from.
    pub fn metrics(&self, worker: &Worker, status: Status) -> DriftMetrics {
        DriftMetrics::new(
            self.head.as_ref().and_then(|head| head.last_event),
            self.state.checkpoint.last_event,
            &measure(&self.sample(worker)),
            status.reconciliation(),
            &self.state.content,
        )
    }
}

/// Follows one model: its monitor, and the outage it is coming back from, if it is.
#[derive(Debug, Clone)]
pub struct Watch {
    monitor: Monitor,
    outage: Option<Outage>,
}

/// What a look at a model came to, to be kept.
#[derive(Debug)]
pub struct Seen {
    /// What the monitor says.
    pub report: Report,
    /// The outage the model has come back from just now.
    ended: Option<Outage>,
}

/// What was measured when a model fell behind.
#[derive(Debug, Clone)]
struct Outage {
    metrics: DriftMetrics,
    event_id: Option<EventId>,
    applied: u64,
    since: Timestamp,
}

impl Watch {
    /// A watch that has seen nothing yet.
    pub fn new(thresholds: Thresholds, as_of: Option<Timestamp>) -> Self {
        Self { monitor: Monitor::new(thresholds, as_of), outage: None }
    }

    /// What the monitor would say of this observation, without remembering it.
    pub fn peek(&self, observation: &Observation, worker: &Worker) -> Report {
        self.monitor.clone().step(&observation.sample(worker))
    }

    /// The status at the last step.
    pub fn status(&self) -> Option<Status> {
        self.monitor.status()
    }

    /// Takes an observation in, keeps it for readers with SQL, and records a replay when the model has come back from
    /// an outage: [`Watch::look`] and [`Seen::keep`] in one.
    ///
    /// # Errors
    /// Where the models' store cannot write. The observation counts all the same; the record is written by a later
    /// step.
    pub fn step(
        &mut self,
        log: &dyn Log,
        models: &dyn Models,
        fold: &dyn Fold,
        worker: &Worker,
        observation: &Observation,
    ) -> Result<Report> {
        let seen = self.look(fold, worker, observation);
        let kept = seen.keep(log, models, fold, observation).inspect_err(|_| self.take_back(&seen));
        kept.map(|()| seen.report)
    }

    /// Takes an observation in and logs a changed status. Reads and writes no store.
    pub fn look(&mut self, fold: &dyn Fold, worker: &Worker, observation: &Observation) -> Seen {
        let report = self.monitor.step(&observation.sample(worker));
        if report.changed {
            log_status(fold, observation, &report);
        }
        let mut ended = None;
        match report.status {
            // A reconciliation writes its own record.
            Status::Recovering => self.outage = None,
            Status::InSync => ended = self.outage.take(),
            _ if self.outage.is_none() && report.lag.lag_count.is_some_and(|lag| lag > 0) => {
                self.outage = Some(Outage {
                    metrics: observation.metrics(worker, report.status),
                    event_id: observation.head.as_ref().and_then(|head| head.last_event),
                    applied: observation.state.checkpoint.counts.total(),
                    since: report.measured_at,
                });
            }
            _ => {}
        }
        Seen { report, ended }
    }

    /// What was seen could not be kept: the end of an outage is to be seen again.
    pub fn take_back(&mut self, seen: &Seen) {
        self.outage = seen.ended.clone().or_else(|| self.outage.take());
    }

    /// Says that a reconciliation has brought the model back, which has its own record.
    pub(crate) fn reconciled(&mut self) {
        self.outage = None;
    }
}

impl Seen {
    /// Keeps the distance for readers with SQL, and the record of a replay where an outage has ended.
    ///
    /// # Errors
    /// Where the models' store cannot write; tell the watch by [`Watch::take_back`].
    pub fn keep(&self, log: &dyn Log, models: &dyn Models, fold: &dyn Fold, observation: &Observation) -> Result<()> {
        let report = &self.report;
        let model = &fold.schema().model;
        models.set_measured(
            model,
            &Measured {
                head: observation.head.as_ref().map_or(observation.state.checkpoint.position, |head| head.position),
                lag_count: report.lag.lag_count,
                oldest_unapplied: observation.oldest_unapplied,
                as_of: report.as_of,
                status: Some(report.status),
                reason: report.reason.clone(),
                at: report.measured_at,
            },
        )?;
        let Some(outage) = &self.ended else { return Ok(()) };
        let record = Reconciliation {
            id: 0,
            model: model.clone(),
            event_id: outage.event_id,
            source: source_of(log, outage.event_id),
            drift_metrics: outage.metrics.clone(),
            reconciliation_method: Method::Replay,
            result: ReconciliationResult::Converged,
            error: None,
            rows_repaired: 0,
            events_replayed: observation.state.checkpoint.counts.total().saturating_sub(outage.applied),
            unreplayed: crate::quarantine::unreplayed(models, model)?,
            verified: false,
            started_at: outage.since,
            duration_ms: (report.measured_at.seconds_since(outage.since) * 1000.0) as u64,
            rebuilt_from: None,
        };
        models.record(&record, &[])?;
        log_reconciliation(&record);
        Ok(())
    }
}

/// Looks whether a model speaks of events that its log does not have, before the log can grow past them and hide it.
/// Such a model is condemned, in its store, and stays so until it is rebuilt. Whether it is to be rebuilt. Called before
/// the log is written to.
///
/// # Errors
/// Where a store cannot be read or written.
pub fn condemn_lost_history(log: &dyn Log, models: &dyn Models, schema: &Schema) -> Result<bool> {
    let Some(state) = models.state(&schema.model)? else { return Ok(false) };
    let head = log.safe_head()?;
    if head.holds(&state.checkpoint) {
        return Ok(state.condemned.is_some());
    }
    // Also of a model that is condemned already: it is rebuilt from events that others were given up of.
    forget_lost_discards(log, models, &schema.model, &state)?;
    if state.condemned.is_some() {
        return Ok(true);
    }
    let reason = format!(
        "it has applied events up to {}, which the log does not have (its head is {})",
        state.checkpoint.position, head.position
    );
    models.condemn(&schema.model, &reason)?;
    Ok(true)
}

/// What was given up of events that the log has lost says nothing of the events that will have their positions.
fn forget_lost_discards(log: &dyn Log, models: &dyn Models, model: &ModelName, state: &ModelState) -> Result<()> {
    let mut lost = Vec::new();
    for park in models.parks(model, Some(ParkState::Discarded))? {
        if log.find(park.event_id)?.is_none_or(|event| event.position != park.touch.position) {
            lost.push(park.touch);
        }
    }
    if lost.is_empty() {
        return Ok(());
    }
    let (generation, checkpoint) = (state.generation, state.checkpoint);
    models.commit(model, Table::Live, &Step { generation, checkpoint, unparks: lost, ..Step::default() }).map(drop)
}

/// Who sent an event.
pub(crate) fn source_of(log: &dyn Log, event: Option<EventId>) -> Option<SourceName> {
    log.find(event?).ok()?.map(|event| event.source)
}

/// The structured line of a measurement that changed the status. Its fields are always there: numbers where they are
/// known, `none` where not.
fn log_status(fold: &dyn Fold, observation: &Observation, report: &Report) {
    let source_event_id = observation.head.as_ref().and_then(|head| head.last_event);
    macro_rules! line {
        ($lag_count:expr, $lag_seconds:expr) => {
            tracing::info!(
                model = %fold.schema().model,
                source_event_id = known(source_event_id.as_ref()),
                read_model_last_id = known(observation.state.checkpoint.last_event.as_ref()),
                lag_count = $lag_count,
                lag_seconds = $lag_seconds,
                reconciliation_status = %report.status.reconciliation(),
                status = %report.status,
                reason = report.reason.as_deref(),
                "drift"
            )
        };
    }
    match (report.lag.lag_count, report.lag.lag_seconds) {
        (Some(count), Some(seconds)) => line!(count, seconds),
        _ => line!("none", "none"),
    }
}
