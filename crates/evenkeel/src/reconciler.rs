//! The reconciler: models brought back to the log, on request or because it is needed, each time with a record.
//!
//! How a table is rebuilt, looked at and repaired is [`crate::rebuild`]'s, [`crate::content`]'s and [`crate::repair`]'s.
//! Here is which of it is done, by one at a time; when it is done unasked is [`crate::unasked`]'s.
use crate::{
    EngineError,
    content::{Checked, Checker, Depth, conclude},
    engine::Inner,
    lease::{Lease, called_off},
    monitor::{Observation, source_of},
    operate::millis,
    projector::{Progress, ProjectorError},
    quarantine::unreplayed,
    rebuild::{Beginnings, Building, Manner, Rebuilt},
    repair::{evidence, repair},
    report::log_reconciliation,
    slot::{Progressing, Slot, Turn},
    verify::GoOn,
};
use evenkeel_core::{
    drift::{Content, Status, Verdict, Worker},
    pace::Wait,
    reconciliation::{Evidence, Method, Reconciliation, ReconciliationResult},
    row::Key,
};
use evenkeel_store::{StoreError, Table};
use std::{ops::ControlFlow, sync::atomic::Ordering, time::Duration};

/// How long an explicit replay may take to reach the head it started with.
const REPLAY_BUDGET: Duration = Duration::from_secs(600);

/// So many rows are repaired one by one however small the table is.
const ALWAYS_REPAIRED: u64 = 100;

/// How many wrong rows are kept with a record.
pub(crate) const EVIDENCE: usize = 1000;

/// What a record says until what came of it is kept.
const UNENDED: &str = "what came of it is not recorded: it is still at work, or was cut off";

/// Who wants a reconciliation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A person, whose word also covers what a fold may be at fault for.
    ByPerson,
    /// As [`Asked::ByPerson`], and where the model is rebuilt it is from the log alone.
    FromStart,
    /// Nobody.
    ByItself,
}

/// What a rebuild begins from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// The newest snapshot that is fit for it.
    Snapshot,
    /// The log's first event.
    Start,
}

/// A reconciliation at work, beside its record.
struct Work<'w> {
    /// Rows that were found wrong.
    evidence: Vec<Evidence>,
    lease: Lease<'w>,
}

impl Inner {
    /// What a look at a model's content works with.
    pub(crate) fn checker<'e>(&'e self, slot: &'e Slot) -> Checker<'e> {
        Checker {
            log: self.log.as_ref(),
            models: self.models.as_ref(),
            fold: slot.fold.as_ref(),
            now: self.clock.now(),
        }
    }

    /// Looks for wrong rows of a model, whose turn the caller shows, and keeps the verdict.
    pub(crate) fn verify_held(
        &self,
        slot: &Slot,
        turn: &mut Turn<'_>,
        depth: Depth,
        also: &[Key],
        go_on: GoOn<'_>,
    ) -> Result<Checked, EngineError> {
        let checker = self.checker(slot);
        let mut suspects = slot.suspects.lock().clone();
        // Whether it was the projector or somebody else is told by the sums.
        let depth = if suspects.is_empty() { depth } else { depth.max(Depth::Sums) };
        suspects.extend_from_slice(also);
        let checked = crate::content::check_live(&checker, depth, &suspects, go_on)?;
        conclude(&checker, &checked, false, turn.pass().as_mut())?;
        slot.suspects.lock().clear();
        slot.identities.forget();
        *slot.named.lock() = match checked.depth {
            Depth::Suspected => checked.wrong.iter().map(|wrong| wrong.row.key.clone()).collect(),
            Depth::Sums | Depth::Full => Vec::new(),
        };
        let defects = checked.wrong.iter().filter(|wrong| wrong.defect).map(|wrong| wrong.row.key.clone());
        let mut waiting = slot.waiting.lock();
        // Only who looks at every row finds that one no longer waits.
        if checked.depth == Depth::Full {
            waiting.clear();
        }
        waiting.extend(defects);
        drop(waiting);
        if checked.has_defect() {
            // Which rows of them the fold would make otherwise today nobody knows.
            self.forget_snapshots(slot, "the fold makes other rows than it made before");
        }
        Ok(checked)
    }

    /// How many rows the model should have, by its sums: counting a large table takes longer than finding what is wrong
    /// with it.
    pub(crate) fn meant_rows(&self, slot: &Slot) -> Result<u64, StoreError> {
        Ok(self.models.buckets(slot.name(), Table::Live)?.rows().unsigned_abs())
    }

    /// Calls off what takes long once the engine is to stop.
    pub(crate) fn go_on(&self) -> ControlFlow<()> {
        if self.stopping.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Brings a model back, and records it.
    pub(crate) fn reconcile(
        &self,
        slot: &Slot,
        method: Option<Method>,
        asked: Asked,
    ) -> Result<Reconciliation, EngineError> {
        let _one = slot.reconciling.lock();
        let work = Work { evidence: Vec::new(), lease: Lease::take(self, slot)? };
        self.reconcile_leased(slot, method, asked, work)
    }

    fn reconcile_leased(
        &self,
        slot: &Slot,
        method: Option<Method>,
        asked: Asked,
        mut work: Work<'_>,
    ) -> Result<Reconciliation, EngineError> {
        let observation = self.observe(slot)?;
        let worker = slot.health.get();
        let report = slot.watch.lock().peek(&observation, &worker);
        let mut record = self.new_record(&observation, &worker, report.status);
        let started = self.clock.monotonic();
        *slot.held_back.lock() = None;
        // Until its record is written, so that the monitor does not take it for a catch-up of the model's own.
        let _reconciling = slot.health.reconciling();
        let done = self.choose(slot, &observation, report.status, method, asked, &mut record, &mut work);
        let done = done.and_then(|()| self.has_converged(slot, &observation, &record));
        if let Err(error) = done {
            record.result = ReconciliationResult::Failed;
            record.error = Some(error.to_string());
        }
        slot.watch.lock().reconciled();
        record.duration_ms = millis(self.clock.monotonic().saturating_sub(started));
        let is_begun = record.id != 0;
        if asked != Asked::ByItself || is_begun || record.result != ReconciliationResult::NothingToDo {
            self.end_record(slot, &mut record, &work.evidence)?;
        }
        Ok(record)
    }

    /// Whether a model of which that is recorded holds what the log had when it was begun.
    fn has_converged(
        &self,
        slot: &Slot,
        observation: &Observation,
        record: &Reconciliation,
    ) -> Result<(), EngineError> {
        if record.result != ReconciliationResult::Converged {
            return Ok(());
        }
        let now = self.observe(slot)?;
        match observation.head.as_ref().or(now.head.as_ref()) {
            Some(head) if now.has_reached(head) => Ok(()),
            Some(_) => Err(EngineError::Method("events are left to be applied; method replay applies them".into())),
            None => {
                Err(EngineError::Method("the log cannot be read, so what is left to be applied is not known".into()))
            }
        }
    }

    /// Keeps what was found wrong, before anything is written over it.
    pub(crate) fn begin_record(&self, record: &mut Reconciliation, evidence: &[Evidence]) -> Result<(), EngineError> {
        let (result, error) = (ReconciliationResult::Failed, Some(UNENDED.to_owned()));
        record.id = self.models.record(&Reconciliation { result, error, ..record.clone() }, evidence)?;
        Ok(())
    }

    /// Keeps what came of it, and what could not be applied. Nothing in the way of that keeps it from being recorded.
    pub(crate) fn end_record(
        &self,
        slot: &Slot,
        record: &mut Reconciliation,
        evidence: &[Evidence],
    ) -> Result<(), EngineError> {
        match unreplayed(self.models.as_ref(), slot.name()) {
            Ok(unreplayed) => record.unreplayed = unreplayed,
            Err(error) => {
                record.result = ReconciliationResult::Failed;
                let say = || format!("which events could not be applied is not known: {error}");
                record.error.get_or_insert_with(say);
            }
        }
        log_reconciliation(record);
        metrics::counter!("evenkeel_reconciliations_total", "model" => slot.name().to_string(), "method" => record.reconciliation_method.as_str(), "result" => record.result.as_str()).increment(1);
        // Newer records may have pushed it out.
        if record.id == 0 || !self.models.amend(record)? {
            record.id = self.models.record(record, evidence)?;
        }
        Ok(())
    }

    /// A record of what was measured, of nothing done yet.
    pub(crate) fn new_record(&self, observation: &Observation, worker: &Worker, status: Status) -> Reconciliation {
        let event_id = observation.head.as_ref().and_then(|head| head.last_event);
        Reconciliation {
            id: 0,
            model: observation.state.schema.model.clone(),
            event_id,
            source: source_of(self.log.as_ref(), event_id),
            drift_metrics: observation.metrics(worker, status),
            reconciliation_method: Method::Replay,
            result: ReconciliationResult::Converged,
            error: None,
            rows_repaired: 0,
            events_replayed: 0,
            unreplayed: Vec::new(),
            verified: false,
            started_at: observation.now,
            duration_ms: 0,
            rebuilt_from: None,
        }
    }

    /// Does what was asked for, or what the drift calls for.
    #[allow(clippy::too_many_arguments, reason = "one step of a reconciliation, with all that it goes on")]
    fn choose(
        &self,
        slot: &Slot,
        observation: &Observation,
        status: Status,
        method: Option<Method>,
        asked: Asked,
        record: &mut Reconciliation,
        work: &mut Work<'_>,
    ) -> Result<(), EngineError> {
        let from = rebuilt_from(slot, observation, asked);
        match method {
            Some(Method::Replay) => return self.replay(slot, observation, record, &mut work.lease),
            Some(Method::Rebuild) => return self.rebuild(slot, record, from, &mut work.lease),
            Some(Method::Repair) => {}
            None if observation.outdated || status == Status::RebuildNeeded => {
                return self.rebuild(slot, record, from, &mut work.lease);
            }
            None => {}
        }
        record.reconciliation_method = Method::Repair;
        let mut turn = slot.turn();
        let content = self.observe(slot)?.state.content;
        let waits = slot.waits_for_person();
        let is_named = content.verdict == Verdict::Drifted && content.bad_buckets == 0;
        let named = if is_named && !waits { slot.named.lock().clone() } else { Vec::new() };
        let depth = match named.is_empty() {
            // What waits for a person was looked at; what else there is was noted, or shows in the sums.
            true if is_named && waits && asked == Asked::ByItself => Depth::Suspected,
            true => depth_for(content, method.is_some()),
            false => Depth::Suspected,
        };
        let checked = self.verify_held(slot, &mut turn, depth, &named, &mut || work.lease.go_on())?;
        if checked.wrong.is_empty() && checked.truncated {
            return Err(EngineError::Method("more rows are suspected than were looked at".into()));
        }
        if checked.wrong.is_empty() {
            if !checked.windows.is_empty() {
                turn.rows_changed();
                slot.identities.forget();
            }
            drop(turn);
            if method.is_none() && observation.state.checkpoint.counts.total() < subscribed(observation) {
                return self.replay(slot, observation, record, &mut work.lease);
            }
            record.result = ReconciliationResult::NothingToDo;
            record.verified = checked.depth > Depth::Suspected;
            return Ok(());
        }
        work.evidence = evidence(&self.checker(slot), &checked.wrong[..checked.wrong.len().min(EVIDENCE)]);
        self.begin_record(record, &work.evidence)?;
        if slot.waits_for_person() && asked == Asked::ByItself {
            return self.repair_others(slot, &mut turn, checked, record);
        }
        let rows = self.meant_rows(slot)?;
        let wrong = checked.wrong_in_words();
        if method.is_some() && checked.truncated {
            return Err(EngineError::Method(format!("{wrong} rows are wrong; method rebuild mends that")));
        }
        if method.is_none() && (checked.truncated || checked.wrong_rows > budget(rows, slot.repair_budget)) {
            turn.rows_changed();
            drop(turn);
            if asked == Asked::ByItself && self.must_wait(slot, true).is_some() {
                // Condemned, so that it is rebuilt when it may be.
                let reason = format!("{wrong} of {rows} rows differ from the log, over what is repaired one by one");
                self.models.condemn(slot.name(), &reason)?;
                return Err(EngineError::Method(format!("{reason}; the last rebuild was not long ago")));
            }
            // Every cause is known now.
            let is_safe = asked != Asked::FromStart && !checked.has_defect();
            let from = if is_safe { From::Snapshot } else { From::Start };
            return self.rebuild(slot, record, from, &mut work.lease);
        }
        self.repair_held(slot, &mut turn, (&checked, true), record)?;
        slot.waiting.lock().clear();
        let (folded, reached) = (record.events_replayed, self.observe(slot)?.state.checkpoint.counts.total());
        drop(turn);
        let caught_up = self.catch_up(slot, (observation, reached), record, &mut work.lease);
        record.events_replayed += folded;
        caught_up
    }

    /// Repairs what nobody's word is needed for, and leaves the rows that wait for a person as they are.
    fn repair_others(
        &self,
        slot: &Slot,
        turn: &mut Turn<'_>,
        mut checked: Checked,
        record: &mut Reconciliation,
    ) -> Result<(), EngineError> {
        let waiting = slot.waiting.lock().clone();
        checked.wrong.retain(|wrong| !waiting.contains(&wrong.row.key));
        checked.left.clone_from(&waiting);
        if !checked.wrong.is_empty() {
            self.repair_held(slot, turn, (&checked, false), record)?;
            // The sums were put right with the rows; those that wait are as the sums say.
            let content = Content { verdict: Verdict::Drifted, bad_buckets: 0, ..self.observe(slot)?.state.content };
            self.models.set_content_unless_doubted(slot.name(), content, checked.doubts)?;
        }
        if checked.truncated {
            // All are looked at again, since not all of them are known.
            slot.waiting.lock().clear();
            return Err(EngineError::Method("more rows are wrong than are repaired at once".into()));
        }
        record.verified = false;
        record.result = ReconciliationResult::Failed;
        let text = "the fold makes other rows than it made before: only a person may have them mended";
        record.error = Some(format!("{text} ({} rows)", waiting.len()));
        Ok(())
    }

    fn repair_held(
        &self,
        slot: &Slot,
        turn: &mut Turn<'_>,
        (checked, settles): (&Checked, bool),
        record: &mut Reconciliation,
    ) -> Result<(), EngineError> {
        let repaired = repair(&self.checker(slot), checked, settles, turn.pass().as_mut());
        turn.repaired(&repaired);
        slot.table_changed();
        let repaired = repaired?;
        slot.named.lock().clear();
        record.rows_repaired = repaired.rows;
        record.events_replayed = checked.events;
        record.verified = repaired.verified;
        if repaired.verified {
            return Ok(());
        }
        Err(EngineError::Method(
            "rows still differ from the log after they were repaired; method rebuild mends that".into(),
        ))
    }

    /// Why a reconciliation that nobody asked for has to wait; `None` where it may begin.
    pub(crate) fn must_wait(&self, slot: &Slot, rebuild: bool) -> Option<Wait> {
        slot.pace.lock().wait(&self.options.pace, self.clock.monotonic(), rebuild)
    }

    /// Builds beside the live table, whose projector goes on, and has the turn for the end only.
    fn rebuild(
        &self,
        slot: &Slot,
        record: &mut Reconciliation,
        from: From,
        lease: &mut Lease<'_>,
    ) -> Result<(), EngineError> {
        record.reconciliation_method = Method::Rebuild;
        let snapshots = self.snapshots.as_deref().filter(|_| from == From::Snapshot);
        let mut beginnings = Beginnings::of(snapshots);
        loop {
            let done = self.rebuild_once(slot, record, &mut beginnings, lease);
            *slot.progress.lock() = None;
            let began = record.rebuilt_from.unwrap_or_default();
            match done {
                Err(error) if beginnings.blame(slot.name(), began, &error) => {}
                done => return done,
            }
        }
    }

    fn rebuild_once(
        &self,
        slot: &Slot,
        record: &mut Reconciliation,
        beginnings: &mut Beginnings<'_>,
        lease: &mut Lease<'_>,
    ) -> Result<(), EngineError> {
        record.rebuilt_from = None;
        let clock = self.clock.as_ref();
        let since = clock.monotonic();
        let all = self.log.safe_head()?.count(&slot.schema().subscribes);
        let (mut of, mut replayed) = (all, 0);
        let mut watch = |of: u64, events: u64| {
            replayed = events;
            *slot.progress.lock() = Some(Progressing { since, events, of });
            lease.go_on()
        };
        let stores = (self.log.as_ref(), self.models.as_ref());
        let manner = Manner::default();
        let building = Building::begin(stores, &slot.fold, manner, beginnings, &mut |events| watch(all, events))?;
        let Some(mut building) = building else { return Err(called_off("rebuild")) };
        record.rebuilt_from = Some(building.from());
        of = of.saturating_sub(building.events_before());
        let built = building.build(clock, &mut |events| watch(of, events));
        record.events_replayed = replayed;
        match built {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => {
                building.abandon()?;
                return Err(called_off("rebuild"));
            }
            Err(error) => return Err(building.failed(error)),
        }
        let mut turn = slot.turn();
        slot.trust.forget();
        let rebuilt = building.finish(clock);
        turn.changed();
        drop(turn);
        slot.table_changed();
        if let Rebuilt::Swapped { events, .. } = rebuilt? {
            record.events_replayed = events;
            record.verified = true;
            slot.waiting.lock().clear();
        }
        Ok(())
    }

    /// Applies what the model lacks, in the caller's thread beside its projector, which takes turns with it.
    fn replay(
        &self,
        slot: &Slot,
        observation: &Observation,
        record: &mut Reconciliation,
        lease: &mut Lease<'_>,
    ) -> Result<(), EngineError> {
        record.reconciliation_method = Method::Replay;
        let reached = observation.state.checkpoint.counts.total();
        self.catch_up(slot, (observation, reached), record, lease)?;
        let mut turn = slot.turn();
        let state = self.observe(slot)?.state;
        let checked =
            self.verify_held(slot, &mut turn, depth_for(state.content, true).max(Depth::Sums), &[], &mut || {
                lease.go_on()
            })?;
        if !checked.windows.is_empty() {
            turn.rows_changed();
            slot.identities.forget();
        }
        record.verified = checked.wrong.is_empty() && !checked.truncated;
        if !record.verified {
            let wrong = checked.wrong_in_words();
            return Err(EngineError::Method(format!("{wrong} rows differ from the log; method repair mends that")));
        }
        if record.events_replayed == 0 {
            record.result = ReconciliationResult::NothingToDo;
        }
        Ok(())
    }

    /// Applies events until the model has what the log had when the reconciliation began. Those after the first `reached`
    /// are counted, whoever applies them.
    fn catch_up(
        &self,
        slot: &Slot,
        (observation, reached): (&Observation, u64),
        record: &mut Reconciliation,
        lease: &mut Lease<'_>,
    ) -> Result<(), EngineError> {
        let Some(head) = &observation.head else {
            return Err(EngineError::Method("the log cannot be read".into()));
        };
        let mut now = self.observe(slot)?;
        let applied = |now: &Observation| now.state.checkpoint.counts.total().saturating_sub(reached);
        record.events_replayed = applied(&now);
        let deadline = self.clock.monotonic() + REPLAY_BUDGET;
        while !now.has_reached(head) {
            let advanced = slot.turn().advance(slot, self.log.as_ref(), self.models.as_ref(), self.clock.now());
            let idle = matches!(advanced, Ok(Progress::Idle));
            match advanced {
                Ok(_) => {
                    slot.moved.notify();
                    slot.commits.disturbed();
                }
                Err(ProjectorError::Store(StoreError::Conflict { .. })) => {}
                Err(ProjectorError::Damaged { keys, .. }) => self.heal(slot, &keys)?,
                Err(ProjectorError::Store(error)) => return Err(error.into()),
                Err(error) => return Err(EngineError::Method(format!("{error}; method rebuild mends that"))),
            }
            now = self.observe(slot)?;
            record.events_replayed = applied(&now);
            if now.has_reached(head) {
                break;
            }
            if idle {
                let text =
                    "nothing is left to apply and fewer events were counted than the log has; method repair mends that";
                return Err(EngineError::Method(text.into()));
            }
            if self.clock.monotonic() > deadline {
                return Err(EngineError::Method("the head was not reached in time".into()));
            }
            if lease.go_on().is_break() {
                return Err(called_off("replay"));
            }
        }
        Ok(())
    }
}

/// What a rebuild begins from that nothing was looked at for. Rows known to be wrong may be so because the fold makes
/// others than it made: then snapshots have them too. A condemned table is another matter, since a fold at fault is no
/// reason to condemn one.
fn rebuilt_from(slot: &Slot, observation: &Observation, asked: Asked) -> From {
    let state = &observation.state;
    let is_fold_suspected =
        slot.waits_for_person() || (state.content.verdict == Verdict::Drifted && state.condemned.is_none());
    if asked == Asked::FromStart || is_fold_suspected { From::Start } else { From::Snapshot }
}

/// How thoroughly to look, given what is known: rows once named wrong take a full look to be cleared, sums that
/// disagreed a look at all of them.
fn depth_for(content: Content, by_person: bool) -> Depth {
    match content.verdict {
        Verdict::Drifted => Depth::Full,
        Verdict::Suspect if content.bad_buckets > 0 => Depth::Sums,
        Verdict::Suspect => Depth::Suspected,
        Verdict::Verified | Verdict::Unverified if by_person => Depth::Sums,
        Verdict::Verified | Verdict::Unverified => Depth::Suspected,
    }
}

fn subscribed(observation: &Observation) -> u64 {
    observation.head.as_ref().map_or(0, |head| head.count(&observation.state.schema.subscribes))
}

/// How many rows of a table may be repaired one by one.
pub(crate) fn budget(rows: u64, share: f64) -> u64 {
    ((rows as f64 * share) as u64).max(ALWAYS_REPAIRED)
}
