//! What an operator asks of a running engine about its models: drift, verification, reconciliation, projectors, health.
//!
//! The quarantine's side is in [`crate::inspect`]; how a model is brought back is in [`crate::reconciler`].
use crate::{
    Engine, EngineError,
    content::Depth,
    engine::Inner,
    reader::content,
    reconciler::{Asked, budget},
    report::{
        ColumnReport, CountsReport, DriftReport, HealthReport, ModelReport, RebuildReport, VerifyReport, WrongRow,
    },
    slot::Slot,
    worker,
};
use evenkeel_core::{
    ModelName,
    drift::{Verdict, Worker},
    intake::{Ask, Writes},
    pace::Why,
    reconciliation::{Evidence, Method, Reconciliation},
    row::Row,
};
use evenkeel_store::{StoreError, Table};
use std::{sync::atomic::Ordering, time::Duration};

/// How many wrong rows a report shows.
const SHOWN: usize = 1000;

/// How long the monitor may be silent before the engine is not ready, in heartbeats.
const SILENT_HEARTBEATS: u32 = 10;

/// However often it looks, a silence below this is no fault: a store may be busy for that long.
const SILENT_AT_LEAST: Duration = Duration::from_secs(5);

/// For how long a failed write of the log makes the engine unready. Not for ever: who no longer sends to it because it
/// is unready would never find out that it can write again.
const FAILED_LATELY: Duration = Duration::from_secs(5);

impl Engine {
    /// The models, by name.
    ///
    /// # Errors
    /// Where the models' store cannot be read.
    pub fn models(&self) -> Result<Vec<ModelReport>, EngineError> {
        self.inner.slots.values().map(|slot| self.model_report(slot)).collect()
    }

    pub(crate) fn model_report(&self, slot: &Slot) -> Result<ModelReport, EngineError> {
        let schema = slot.schema();
        let observation = self.inner.observe(slot)?;
        let column = |column: &evenkeel_core::schema::Column| ColumnReport {
            name: column.name.clone(),
            r#type: column.ty.name().to_owned(),
            merge: column.merge.as_str(),
        };
        let report = slot.watch.lock().peek(&observation, &slot.health.get());
        Ok(ModelReport {
            model: schema.model.to_string(),
            version: schema.version,
            served_version: observation.state.schema.version,
            key: schema.key.iter().map(|&index| schema.columns[index].name.clone()).collect(),
            columns: schema.shown().map(|(_, shown)| column(shown)).collect(),
            subscribes: schema.subscribes.iter().map(ToString::to_string).collect(),
            rows: self.inner.rows(slot)?,
            status: report.status.as_str(),
        })
    }

    /// The drift of every model, or of one, measured now.
    ///
    /// # Errors
    /// Where there is no such model, or the models' store cannot be read. A log that cannot be read is reported.
    pub fn drift(&self, model: Option<&str>) -> Result<Vec<DriftReport>, EngineError> {
        let slots: Vec<_> = match model {
            Some(model) => vec![self.inner.slot(model)?],
            None => self.inner.slots.values().collect(),
        };
        slots.into_iter().map(|slot| self.drift_of(slot)).collect()
    }

    fn drift_of(&self, slot: &Slot) -> Result<DriftReport, EngineError> {
        let observation = self.inner.observe(slot)?;
        let report = slot.watch.lock().peek(&observation, &slot.health.get());
        let state = &observation.state;
        let counts = state.checkpoint.counts;
        let id = |id: evenkeel_core::EventId| id.to_string();
        Ok(DriftReport {
            model: slot.name().to_string(),
            status: report.status.as_str(),
            reason: self.with_waiting(slot, report.reason),
            reconciliation_status: report.status.reconciliation().as_str(),
            source_event_id: observation.head.as_ref().and_then(|head| head.last_event).map(id),
            read_model_last_id: state.checkpoint.last_event.map(id),
            position: state.checkpoint.position.0,
            head: observation.head.as_ref().map(|head| head.position.0),
            lag_count: report.lag.lag_count,
            drift_score: report.lag.drift_score,
            lag_seconds: report.lag.lag_seconds,
            staleness_bound_seconds: report.staleness_bound_seconds,
            eta_seconds: report.eta_seconds,
            parked_events: state.parked.events,
            oldest_parked_seconds: state.parked.oldest_at.map_or(0.0, |at| observation.now.seconds_since(at)),
            arrival_rate: report.arrival_rate,
            apply_rate: report.apply_rate,
            counts: CountsReport { applied: counts.applied, ignored: counts.ignored, parked: counts.parked },
            content: content(&state.content),
            detection_bound_seconds: slot.passes.lock().worst_case_seconds(
                self.inner.meant_rows(slot)?,
                self.inner.options.scrub_rows_per_second,
                observation.now,
            ),
            rebuild: self.rebuild_report(slot),
            quarantined_events: self.inner.quarantined_for(slot),
            measured_at: report.measured_at.to_string(),
        })
    }

    /// Why a model is not in sync, and why nothing is done about it yet.
    fn with_waiting(&self, slot: &Slot, reason: Option<String>) -> Option<String> {
        let reason = reason?;
        let Some(wait) = *slot.held_back.lock() else { return Some(reason) };
        let now = self.inner.clock.monotonic();
        let left = wait.until.map(|until| until.saturating_sub(now).as_secs_f64().ceil());
        let left = left.map_or_else(|| "for a person".to_owned(), |left| format!("{left} s"));
        let why = match wait.why {
            Why::Quiet => "it has just been reconciled",
            Why::Rebuilt => "its last rebuild took long",
            Why::TooMany => "it was reconciled max_per_hour times within an hour",
        };
        Some(format!("{reason}; reconciling it waits {left}: {why}"))
    }

    fn rebuild_report(&self, slot: &Slot) -> Option<RebuildReport> {
        let progress = (*slot.progress.lock())?;
        let seconds = self.inner.clock.monotonic().saturating_sub(progress.since).as_secs_f64();
        let left = progress.of.saturating_sub(progress.events) as f64;
        Some(RebuildReport {
            events: progress.events,
            events_total: progress.of,
            seconds,
            eta_seconds: (progress.events > 0).then(|| seconds / progress.events as f64 * left),
        })
    }

    /// Looks for rows of a model that are not what the log says: at what is suspected, or, where `full`, at every row.
    ///
    /// # Errors
    /// Where there is no such model, its rows were made by another version of it, or a store cannot be read.
    pub fn verify(&self, model: &str, full: bool) -> Result<VerifyReport, EngineError> {
        let inner = &self.inner;
        let slot = inner.slot(model)?;
        let started = inner.clock.monotonic();
        let mut turn = slot.turn();
        let known = inner.observe(slot)?.state.content;
        let depth = match known.verdict {
            _ if full => Depth::Full,
            Verdict::Suspect if known.bad_buckets > 0 => Depth::Sums,
            Verdict::Drifted => Depth::Full,
            Verdict::Verified | Verdict::Unverified | Verdict::Suspect => Depth::Suspected,
        };
        let checked = inner.verify_held(slot, &mut turn, depth, &[], &mut || inner.go_on())?;
        if !checked.windows.is_empty() {
            turn.rows_changed();
            slot.identities.forget();
        }
        let rows = inner.meant_rows(slot)?;
        let count = checked.wrong_rows;
        if count > budget(rows, slot.repair_budget) && !checked.has_defect() {
            let count = checked.wrong_in_words();
            let reason = format!("{count} of {rows} rows differ from the log, over what is repaired one by one");
            inner.models.condemn(slot.name(), &reason)?;
        }
        let state = inner.observe(slot)?.state;
        drop(turn);
        let wrong = |wrong: &crate::content::Wrong| {
            let rows = [wrong.row.expected.as_ref(), wrong.row.actual.as_ref()];
            let [expected, actual] = Row::told_apart(slot.schema(), rows);
            WrongRow { key: wrong.row.key.to_string(), cause: wrong.row.cause.as_str(), expected, actual }
        };
        Ok(VerifyReport {
            model: slot.name().to_string(),
            verdict: state.content.verdict.as_str(),
            rows: checked.rows.unwrap_or(rows),
            rows_checked: checked.rows_checked,
            wrong_rows: count,
            wrong_rows_at_least: checked.truncated,
            bad_buckets: checked.buckets.as_ref().map_or(0, Vec::len) as u64,
            wrong: checked.wrong.iter().take(SHOWN).map(wrong).collect(),
            position: state.checkpoint.position.0,
            duration_ms: millis(inner.clock.monotonic().saturating_sub(started)),
            verified_as_of: state.content.verified_as_of.map(|at| at.to_string()),
        })
    }

    /// Brings a model back to the log, by the method given or by what its drift calls for, and records it.
    ///
    /// # Errors
    /// Where there is no such model, somebody else reconciles it, or a store cannot be read or written. The failure of
    /// the reconciliation itself is recorded and returned as a record too.
    pub fn reconcile(&self, model: &str, method: Option<Method>) -> Result<Reconciliation, EngineError> {
        let slot = self.inner.slot(model)?;
        self.inner.reconcile(slot, method, Asked::ByPerson)
    }

    /// Rebuilds a model from the log alone, whatever snapshots there are, and records it.
    ///
    /// # Errors
    /// As [`Engine::reconcile`].
    pub fn rebuild_from_start(&self, model: &str) -> Result<Reconciliation, EngineError> {
        let slot = self.inner.slot(model)?;
        self.inner.reconcile(slot, Some(Method::Rebuild), Asked::FromStart)
    }

    /// The rows that a reconciliation found wrong, at most `limit`.
    ///
    /// # Errors
    /// Where the models' store cannot be read.
    pub fn evidence(&self, reconciliation: u64, limit: usize) -> Result<Vec<Evidence>, EngineError> {
        Ok(self.inner.models.evidence(reconciliation, limit)?)
    }

    /// The reconciliation of this number, while it is kept.
    ///
    /// # Errors
    /// Where the models' store cannot be read.
    pub fn reconciliation(&self, id: u64) -> Result<Option<Reconciliation>, EngineError> {
        Ok(self.inner.models.reconciliation(id)?)
    }

    /// The latest reconciliations, newest first.
    ///
    /// # Errors
    /// Where there is no such model, or the models' store cannot be read.
    pub fn reconciliations(&self, model: Option<&str>, limit: usize) -> Result<Vec<Reconciliation>, EngineError> {
        let name: Option<ModelName> =
            model.map(|model| self.inner.slot(model).map(|slot| slot.name().clone())).transpose()?;
        Ok(self.inner.models.reconciliations(name.as_ref(), limit)?)
    }

    /// Stops a model's projector after its current batch. Reads go on and say so.
    ///
    /// # Errors
    /// Where there is no such model.
    pub fn stop_projector(&self, model: &str, reason: &str) -> Result<(), EngineError> {
        worker::stop_projector(self.inner.slot(model)?, reason);
        Ok(())
    }

    /// Starts a model's projector again, from its checkpoint.
    ///
    /// # Errors
    /// Where there is no such model, or the thread cannot be started.
    pub fn start_projector(&self, model: &str) -> Result<(), EngineError> {
        worker::start_projector(&self.inner, self.inner.slot(model)?).map_err(EngineError::Thread)
    }

    /// Waits until every model has reached the log's head as it is now, at most `timeout`. Whether they have.
    ///
    /// # Errors
    /// Where a store cannot be read.
    pub fn wait_until_current(&self, timeout: Duration) -> Result<bool, EngineError> {
        let inner = &self.inner;
        let target = inner.log.safe_head()?;
        let deadline = inner.clock.monotonic().saturating_add(timeout);
        for slot in inner.slots.values() {
            loop {
                let seen = slot.moved.seen();
                let observation = inner.observe(slot)?;
                if observation.has_reached(&target) && !observation.outdated {
                    break;
                }
                let left = deadline.saturating_sub(inner.clock.monotonic());
                if left.is_zero() || inner.stopping.load(Ordering::SeqCst) {
                    return Ok(false);
                }
                slot.moved.wait(seen, left);
            }
        }
        Ok(true)
    }

    /// Whether the engine works: events can be taken, every model can be read, and the monitor is looking. A model that
    /// lags or whose projector is lost does not make it unready, since reads say so themselves; it is a warning.
    pub fn health(&self) -> HealthReport {
        let inner = &self.inner;
        let mut problems = Vec::new();
        let mut warnings = Vec::new();
        let head = inner.log.safe_head().map_err(|error| problems.push(format!("log: {error}"))).ok();
        if head.is_some() {
            problems.extend(inner.log_unwritable().map(|why| format!("log: {why}")));
        }
        for slot in inner.slots.values() {
            let name = slot.name();
            match inner.observe(slot) {
                Err(error) => problems.push(format!("model {name}: {error}")),
                Ok(observation) if observation.outdated => {
                    warnings.push(format!("model {name}: it was declared anew and is not rebuilt yet"));
                }
                Ok(_) => {}
            }
            if let Worker::Lost(why) = slot.health.get() {
                warnings.push(format!("model {name}: {why}"));
            }
            warnings.extend(slot.unmeasured().map(|why| format!("model {name}: not measured: {why}")));
        }
        let silent = inner.monitor_silence();
        if silent > inner.options.heartbeat.saturating_mul(SILENT_HEARTBEATS).max(SILENT_AT_LEAST) {
            problems.push(format!("monitor: silent for {:.1} s", silent.as_secs_f64()));
        }
        if inner.stopping.load(Ordering::SeqCst) {
            problems.push("the engine is stopping".into());
        }
        HealthReport {
            ready: problems.is_empty(),
            problems,
            warnings,
            head: head.map(|head| head.position.0),
            monitor_silent_seconds: silent.as_secs_f64(),
        }
    }
}

impl Inner {
    /// How many rows a model has; by its own books where its table cannot be read.
    fn rows(&self, slot: &Slot) -> Result<u64, EngineError> {
        match self.models.count(slot.name()) {
            Err(StoreError::Corrupt(_)) => {
                Ok(self.models.buckets(slot.name(), Table::Live)?.rows().max(0).unsigned_abs())
            }
            rows => Ok(rows?),
        }
    }

    /// Why events cannot be taken now, as far as that can be told without writing one: the log gives no transaction, or
    /// the last write failed moments ago.
    fn log_unwritable(&self) -> Option<String> {
        let probe = self.log.transact(&Ask::default(), Box::new(|_| Writes::default()));
        let failed =
            || self.ingest.failed().filter(|(at, _)| self.clock.monotonic().saturating_sub(*at) < FAILED_LATELY);
        probe
            .err()
            .map(|error| error.to_string())
            .or_else(|| failed().map(|(_, why)| format!("the last write failed: {why}")))
    }

    /// Events for the model that wait at the gate; `None` where the log cannot say.
    fn quarantined_for(&self, slot: &Slot) -> Option<u64> {
        let counts = self.log.quarantine_counts().ok()?;
        let types = &slot.schema().subscribes;
        let ours = counts.iter().filter(|count| count.contract.as_ref().is_some_and(|name| types.contains(name)));
        Some(ours.map(|count| count.unresolved).sum())
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
