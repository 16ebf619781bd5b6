//! Consumers of the user's own: registered, reporting, and measured by the same monitor as our models.
//!
//! What follows from a report is [`evenkeel_core::consumer`]'s.
use crate::{
    Engine, EngineError,
    engine::Inner,
    report::{ConsumerReport, known},
};
use evenkeel_core::{
    Epoch, EventType, Position, Timestamp,
    checkpoint::SafeHead,
    consumer::{Consumer, Reported, checkpoint, worker},
    content::Window,
    drift::{Content, Monitor, Report, Sample, Thresholds},
};
use evenkeel_store::{Log, Models, StoreError};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};

/// The monitors of the consumers, by name.
pub(crate) type Watched = Mutex<BTreeMap<String, Monitor>>;

/// How a consumer wants to be watched.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Registration {
    /// The types of events it follows; all where empty.
    pub subscribes: BTreeSet<EventType>,
    /// Its target for the lag in events.
    pub max_lag_events: Option<u64>,
    /// Its target for the lag in seconds.
    pub max_lag_seconds: Option<f64>,
}

impl Engine {
    /// Registers a consumer, or changes how it is registered. Until it reports it is `stalled`.
    ///
    /// # Errors
    /// [`EngineError::Consumer`] where the name or a type cannot be, and where a store cannot be read or written.
    pub fn put_consumer(&self, name: &str, registration: Registration) -> Result<ConsumerReport, EngineError> {
        let inner = &self.inner;
        if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
            return Err(EngineError::Consumer(format!("{name:?} cannot be the name of a consumer")));
        }
        let Registration { subscribes, max_lag_events, max_lag_seconds } = registration;
        let made: BTreeSet<EventType> = inner.gate.produced().into_keys().map(|(event_type, _)| event_type).collect();
        if let Some(unknown) = subscribes.iter().find(|event_type| !made.contains(*event_type)) {
            return Err(EngineError::Consumer(format!("no contract makes events of type {unknown}")));
        }
        if max_lag_seconds.is_some_and(|seconds| !seconds.is_finite() || seconds < 0.0) {
            return Err(EngineError::Consumer("max_lag_seconds: expected a number of seconds".into()));
        }
        let registered_at = inner.clock.now();
        let name = name.to_owned();
        let consumer = Consumer { name: name.clone(), subscribes, max_lag_events, max_lag_seconds, registered_at };
        inner.models.put_consumer(&consumer)?;
        // Its targets may be others now.
        inner.consumers.lock().remove(&name);
        self.consumer(&name)
    }

    /// Takes note of how far a consumer has come. One that had come further than the log, which lost events, is
    /// `rebuild_needed` until it reports a position before that: only then has it begun anew.
    ///
    /// # Errors
    /// [`EngineError::NoConsumer`], and where a store cannot be read or written.
    pub fn report_consumer(
        &self,
        name: &str,
        position: Position,
        last_write: Option<Timestamp>,
    ) -> Result<ConsumerReport, EngineError> {
        let inner = &self.inner;
        let epoch = inner.log.safe_head()?.epoch;
        let before = inner.models.consumers()?.into_iter().find(|(consumer, _)| consumer.name == name);
        let goes_on = |before: &Reported| before.epoch != epoch && position >= before.position;
        let epoch = before.and_then(|(_, before)| before).filter(goes_on).map_or(epoch, |before| before.epoch);
        let reported = Reported { position, epoch, last_write, at: inner.clock.now() };
        if !inner.models.report_consumer(name, &reported)? {
            return Err(EngineError::NoConsumer(name.to_owned()));
        }
        self.consumer(name)
    }

    /// Forgets a consumer.
    ///
    /// # Errors
    /// [`EngineError::NoConsumer`], and where the store cannot be written.
    pub fn remove_consumer(&self, name: &str) -> Result<(), EngineError> {
        self.inner.consumers.lock().remove(name);
        if self.inner.models.remove_consumer(name)? { Ok(()) } else { Err(EngineError::NoConsumer(name.to_owned())) }
    }

    /// The consumers as they are now, by name.
    ///
    /// # Errors
    /// Where the models' store cannot be read. A log that cannot be read is reported.
    pub fn consumers(&self) -> Result<Vec<ConsumerReport>, EngineError> {
        let inner = &self.inner;
        let stored = inner.models.consumers()?;
        stored.iter().map(|(consumer, reported)| inner.measure_consumer(consumer, reported.as_ref(), false)).collect()
    }

    fn consumer(&self, name: &str) -> Result<ConsumerReport, EngineError> {
        let found = self.consumers()?.into_iter().find(|consumer| consumer.consumer == name);
        found.ok_or_else(|| EngineError::NoConsumer(name.to_owned()))
    }
}

/// Marks the consumers that have come further than the log, before it can grow past them and hide that they lack what is in
/// place of what it lost: as reports of a life of the log that is over.
pub(crate) fn mark_lost_history(log: &dyn Log, models: &dyn Models) -> Result<(), StoreError> {
    let head = log.safe_head()?;
    for (consumer, reported) in models.consumers()? {
        let is_lost = |reported: &Reported| reported.epoch == head.epoch && reported.position > head.position;
        if let Some(reported) = reported.filter(is_lost) {
            let over = Reported { epoch: Epoch(!head.epoch.0), ..reported };
            models.report_consumer(&consumer.name, &over)?;
        }
    }
    Ok(())
}

impl Inner {
    /// Measures every consumer and remembers it, for the monitor's heartbeat. What cannot be measured is not known, and
    /// the others are measured all the same.
    pub(crate) fn measure_consumers(&self) {
        let Ok(stored) = self.models.consumers().inspect_err(|error| {
            tracing::debug!(%error, "the consumers could not be read");
        }) else {
            let known: Vec<String> = self.consumers.lock().keys().cloned().collect();
            known.iter().for_each(|name| gauge(name, None, None));
            return;
        };
        for (consumer, reported) in stored {
            match self.measure_consumer(&consumer, reported.as_ref(), true) {
                Ok(report) => gauge(&consumer.name, report.lag_count, report.lag_seconds),
                Err(error) => {
                    gauge(&consumer.name, None, None);
                    tracing::debug!(consumer = %consumer.name, %error, "a consumer could not be measured");
                }
            }
        }
    }

    fn measure_consumer(
        &self,
        consumer: &Consumer,
        reported: Option<&Reported>,
        remember: bool,
    ) -> Result<ConsumerReport, EngineError> {
        let (now, log) = (self.clock.now(), self.log.as_ref());
        let head = log.safe_head().ok();
        let types = types(consumer, head.as_ref());
        let position = reported.map_or(Position::ZERO, |reported| reported.position);
        let measured = head.as_ref().map(|head| -> Result<_, StoreError> {
            let upto = position.min(head.position);
            let windows = log.identities(&types, Window::default(), upto)?;
            let applied: i64 = windows.iter().map(|(_, sum)| sum.count).sum();
            let last = log.pick(&[upto])?.pop().map(|event| event.id);
            Ok((applied.unsigned_abs(), last, log.oldest_after(upto, &types)?))
        });
        let (applied, last_event, oldest_unapplied) = measured.transpose()?.unwrap_or_default();
        let (checkpoint, worker) = (checkpoint(reported, applied, last_event), worker(reported));
        let sample = Sample {
            now,
            head: head.as_ref(),
            subscribed: head.as_ref().map(|head| head.count(&types)),
            checkpoint: &checkpoint,
            oldest_unapplied,
            outdated: false,
            worker: &worker,
            content: Content::default(),
            condemned: None,
        };
        let mut watched = self.consumers.lock();
        let monitor = watched.entry(consumer.name.clone()).or_insert_with(|| Monitor::new(thresholds(consumer), None));
        let report = if remember { monitor.step(&sample) } else { monitor.clone().step(&sample) };
        drop(watched);
        if remember && report.changed {
            log_status(consumer, head.as_ref(), &sample, &report);
        }
        Ok(said(consumer, reported, head.as_ref(), &sample, &report))
    }
}

/// Says how far a consumer is; NaN where that is not known.
fn gauge(consumer: &str, lag_count: Option<u64>, lag_seconds: Option<f64>) {
    let set = |name: &'static str, value: Option<f64>| {
        metrics::gauge!(name, "consumer" => consumer.to_owned()).set(value.unwrap_or(f64::NAN));
    };
    set("evenkeel_consumer_lag_events", lag_count.map(|lag| lag as f64));
    set("evenkeel_consumer_lag_seconds", lag_seconds);
}

fn types(consumer: &Consumer, head: Option<&SafeHead>) -> BTreeSet<EventType> {
    match (consumer.subscribes.is_empty(), head) {
        (true, Some(head)) => head.counts.keys().cloned().collect(),
        _ => consumer.subscribes.clone(),
    }
}

fn thresholds(consumer: &Consumer) -> Thresholds {
    let default = Thresholds::default();
    Thresholds {
        max_lag_events: consumer.max_lag_events.unwrap_or(default.max_lag_events),
        max_lag_seconds: consumer.max_lag_seconds.unwrap_or(default.max_lag_seconds),
        ..default
    }
}

fn said(
    consumer: &Consumer,
    reported: Option<&Reported>,
    head: Option<&SafeHead>,
    sample: &Sample<'_>,
    report: &Report,
) -> ConsumerReport {
    ConsumerReport {
        consumer: consumer.name.clone(),
        subscribes: consumer.subscribes.iter().map(ToString::to_string).collect(),
        status: report.status.as_str(),
        reason: report.reason.clone(),
        reconciliation_status: report.status.reconciliation().as_str(),
        source_event_id: head.and_then(|head| head.last_event).map(|id| id.to_string()),
        read_model_last_id: sample.checkpoint.last_event.map(|id| id.to_string()),
        position: reported.map(|reported| reported.position.0),
        head: head.map(|head| head.position.0),
        lag_count: report.lag.lag_count,
        drift_score: report.lag.drift_score,
        lag_seconds: report.lag.lag_seconds,
        staleness_bound_seconds: report.staleness_bound_seconds,
        eta_seconds: report.eta_seconds,
        arrival_rate: report.arrival_rate,
        apply_rate: report.apply_rate,
        last_write: reported.and_then(|reported| reported.last_write).map(|at| at.to_string()),
        reported_at: reported.map(|reported| reported.at.to_string()),
        registered_at: consumer.registered_at.to_string(),
        measured_at: report.measured_at.to_string(),
    }
}

fn log_status(consumer: &Consumer, head: Option<&SafeHead>, sample: &Sample<'_>, report: &Report) {
    tracing::info!(
        consumer = %consumer.name,
        source_event_id = known(head.and_then(|head| head.last_event).as_ref()),
        read_model_last_id = known(sample.checkpoint.last_event.as_ref()),
        lag_count = report.lag.lag_count,
        lag_seconds = report.lag.lag_seconds,
        reconciliation_status = %report.status.reconciliation(),
        status = %report.status,
        reason = report.reason.as_deref(),
        "drift"
    );
}
