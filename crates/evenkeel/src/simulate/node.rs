//! The node: what is lost when the power goes, how it starts, projects and measures, and how it ends.
//!
//! What happens to it, and when, is [`super::world`]'s.
use super::{
    Checked, broken,
    sending::Submission,
    sound,
    table::{Table, Trust},
    world::{Stray, World},
};
use crate::{
    Clock,
    content::Depth,
    monitor::{self, Observation},
    projector::{Progress, Projector, ProjectorError},
    quarantine,
    slot::{Model, Slot},
};
use evenkeel_core::{
    Position,
    drift::{Report, Status, Thresholds, Verdict, Worker},
};
use evenkeel_store::{
    Log, Models, StoreError, Table as Which,
    memory::{MemoryModels, Volatile},
};
use std::{collections::VecDeque, sync::Arc};

/// What is in memory.
pub(super) struct Node {
    /// One of each model, in the project's order.
    pub(super) slots: Vec<Arc<Slot>>,
    /// Requests that passed the gate and wait for the log's writer.
    pub(super) queue: VecDeque<Submission>,
    /// Models whose projector is slow or stopped.
    pub(super) paused: Vec<bool>,
    /// Models of which somebody has said that they must be rebuilt.
    pub(super) needs: Vec<bool>,
}

/// Lag over which a model that has it for long counts as needing a rebuild.
const REPLAY_THRESHOLD: u64 = 60;

impl World {
    /// Starts the node as the engine starts: models, lost history, interrupted releases, a first measurement.
    pub(super) fn start(&mut self) -> Checked {
        if !self.settling && self.random.chance(350) {
            self.gate = self.random.index(self.project.gates.len());
        }
        for model in 0..self.versions.len() {
            if !self.settling && self.random.chance(120) {
                self.versions[model] = 1 - self.versions[model];
            }
        }
        self.say(format!("starts with contracts {} and models {:?}", self.gate + 1, self.versions));
        match self.open() {
            Ok((node, released)) => {
                self.node = Some(node);
                self.say(format!("runs; {released} events released"));
                self.book(&[])?;
                if let Some(key) = sound(self.below.log.interrupted())?.first() {
                    return broken("no interrupted release after a start", format!("{key:?}"));
                }
                self.measure()
            }
            Err(error) => {
                self.say(format!("does not start: {error}"));
                self.book(&[])?;
                if self.is_dark() { self.crash() } else { Ok(()) }
            }
        }
    }

    fn open(&mut self) -> Result<(Node, u64), StoreError> {
        let batch_events = 1 + self.random.index(16);
        let mut slots = Vec::new();
        for model in 0..self.versions.len() {
            let fold = Arc::clone(self.fold(model));
            let state = self.models.register(fold.schema())?;
            let thresholds = Thresholds {
                max_lag_events: 4,
                max_lag_seconds: 10.0,
                replay_threshold: REPLAY_THRESHOLD,
                stall_seconds: 5.0,
            };
            let slot = Slot::new(
                Model { fold, thresholds, repair_budget: 0.01, require: None, default_level: None },
                batch_events,
                state.as_of,
            );
            slot.health.set(Worker::Running);
            slots.push(Arc::new(slot));
        }
        let suspect =
            |slot: &Arc<Slot>| monitor::condemn_lost_history(self.log.as_ref(), self.models.as_ref(), slot.schema());
        let needs = slots.iter().map(suspect).collect::<Result<_, _>>()?;
        let gate = &self.project.gates[self.gate];
        let released = quarantine::resume_interrupted(self.log.as_ref(), gate, self.clock.as_ref())?;
        let paused = vec![false; slots.len()];
        Ok((Node { slots, queue: VecDeque::new(), paused, needs }, released))
    }

    /// The power goes, or the process is killed: memory is gone, and what the disks only said they had.
    pub(super) fn crash(&mut self) -> Checked {
        self.stats.crashes += 1;
        self.drop_node();
        let (log_lost, models_lost) = (self.log.crash(), self.models.crash());
        let models_lost = self.lose_models() || models_lost;
        // One that comes back was right when it was taken, and is compared with the log before it is begun from.
        self.snapshots.crash();
        let on_disk = {
            let mut faults = self.faults.lock();
            faults.dark = false;
            faults.power_for = None;
            faults.on_disk.take()
        };
        if log_lost || models_lost {
            // Whoever ran on this machine is gone too.
            self.stray = None;
        }
        let head = sound(self.below.log.safe_head())?.position;
        let expected = on_disk.map_or(self.ledger.history.len() as u64, |on_disk| on_disk.events);
        if head.0 != expected {
            return broken(format!("{expected} events to survive"), format!("{head}"));
        }
        let mut lost = 0;
        if log_lost {
            lost = self.ledger.lose(self.below.log.as_ref())?;
            self.stats.lost += lost;
            self.untouched = Some(self.untouched.map_or(head, |before| before.min(head)));
        }
        self.say(format!("crashes; the log is at {head}, {lost} acknowledged events are lost"));
        self.ledger.balance(self.below.log.as_ref())?;
        for model in 0..self.tables.len() {
            self.judge_table(model, head, log_lost, models_lost)?;
        }
        Ok(())
    }

    /// Somebody removes the home of the models, now and then: it can be folded again. Whether it was removed.
    fn lose_models(&mut self) -> bool {
        let is_lost = self.weather.others && !self.settling && self.random.chance(40);
        if is_lost {
            self.below.models.restore(MemoryModels::default().image());
            self.say("the home of the models is gone");
            self.stats.models_lost += 1;
        }
        is_lost
    }

    fn drop_node(&mut self) {
        self.node = None;
        self.busy = None;
        self.senders.iter_mut().for_each(super::sending::Sender::cut_off);
    }

    /// What a table may be relied on for after a crash.
    fn judge_table(&mut self, model: usize, head: Position, log_lost: bool, models_lost: bool) -> Checked {
        let stored = self.stored(model)?;
        let table = &mut self.tables[model];
        let Some(stored) = stored else {
            *table = Table::new(&self.project.models[model][0]);
            return Ok(());
        };
        let checkpoint = stored.state.checkpoint.position;
        if models_lost {
            table.damage.rolled_back();
        }
        table.trust = match self.untouched {
            None => Trust::Sound,
            _ if !log_lost && !models_lost => table.trust,
            _ if checkpoint > head => Trust::Lost,
            Some(untouched) if checkpoint <= untouched => Trust::Sound,
            Some(_) if !models_lost && table.trust == Trust::Sound => Trust::Sound,
            Some(_) if !models_lost && table.trust == Trust::Lost => Trust::Lost,
            Some(_) => Trust::Unsure,
        };
        if log_lost || models_lost {
            table.forget();
            self.check(model, false)?;
        }
        Ok(())
    }

    /// Stops and starts again later: what waits is written first.
    pub(super) fn deploy(&mut self) -> Checked {
        while self.node.as_ref().is_some_and(|node| !node.queue.is_empty()) && !self.is_dark() {
            self.take()?;
        }
        self.say("stops");
        self.drop_node();
        Ok(())
    }

    /// One batch of one projector.
    pub(super) fn advance(&mut self, model: usize) -> Checked {
        let Some(node) = &self.node else { return Ok(()) };
        if node.paused[model] {
            return Ok(());
        }
        let slot = Arc::clone(&node.slots[model]);
        let torn = self.faults.lock().torn_live;
        let result = self.advance_once(model, &slot)?;
        let torn = self.faults.lock().torn_live != torn;
        let name = self.name(model);
        match &result {
            Ok(Progress::Idle) => self.say(format!("{name}: nothing to do")),
            Ok(Progress::Moved(events)) => {
                self.say(format!("{name}: {events} events{}", if torn { ", torn" } else { "" }))
            }
            Err(error) => self.say(format!("{name}: {error}")),
        }
        self.check(model, torn)?;
        let stored = self.stored(model)?;
        let outdated = stored.as_ref().is_some_and(|stored| !stored.state.schema.same_as(slot.schema()));
        match result {
            Ok(progress) => {
                slot.health.recovered();
                slot.moved.notify();
                let missing = stored.as_ref().map_or(0, |stored| self.missing(stored));
                if progress == Progress::Idle && missing > 0 && self.tables[model].trust == Trust::Sound {
                    return broken(format!("{name} to go on with {missing} events"), "it says that it is done");
                }
                if outdated {
                    return broken(format!("{name} not to be written by another version"), "it was");
                }
            }
            Err(ProjectorError::Outdated(_)) if outdated => self.need(model),
            Err(ProjectorError::LostHistory { .. }) if self.tables[model].trust != Trust::Sound => self.need(model),
            Err(ProjectorError::Store(StoreError::Conflict { .. })) => {}
            Err(ProjectorError::Store(error @ StoreError::Unavailable(_))) => slot.health.failed(&error.to_string()),
            Err(ProjectorError::Damaged { keys, .. }) if stored.is_some() => {
                slot.health.failed("rows are not as they were written");
                // As the projector's thread does at once; a process may end in between.
                if self.settling || self.random.chance(800) {
                    self.heal(model, Depth::Suspected, &keys, true)?;
                }
            }
            Err(error) => return broken(format!("{name} to go on, or the store to fail"), error.to_string()),
        }
        Ok(())
    }

    pub(super) fn need(&mut self, model: usize) {
        if let Some(node) = &mut self.node {
            node.needs[model] = true;
        }
    }

    /// A projector that does not hold the turn: the store must not let it write on another's work.
    pub(super) fn advance_stray(&mut self, model: usize) -> Checked {
        let (below, models) = (self.stored(model)?, self.models.as_ref());
        let Some(mut stray) = self.stray.take() else {
            let (version, batch_events) = (self.versions[model], 1 + self.random.index(8));
            let fold = Arc::clone(self.fold(model));
            if let Ok(projector) = Projector::open(fold, models, Which::Live, batch_events) {
                self.say(format!("{}: a stray takes it up", self.name(model)));
                self.stray = Some(Stray { model, version, projector });
            }
            return Ok(());
        };
        if stray.model != model {
            self.stray = Some(stray);
            return Ok(());
        }
        let own = self.project.models[model][stray.version].schema();
        if below.is_some_and(|below| !below.state.schema.same_as(own)) {
            // What it holds of a table of another version it could not even read.
            self.say(format!("{}: a stray is of another version", self.name(model)));
            return Ok(());
        }
        let torn = self.faults.lock().torn_live;
        self.tables[model].strayed = true;
        let result = stray.projector.advance(self.log.as_ref(), models, self.clock.now(), None);
        let torn = self.faults.lock().torn_live != torn;
        match result {
            Ok(progress) => {
                self.say(format!("{}: a stray: {progress:?}", self.name(model)));
                self.stray = Some(stray);
            }
            Err(error) => self.say(format!("{}: a stray: {error}", self.name(model))),
        }
        self.check(model, torn)
    }

    /// A projector becomes slow, or goes on.
    pub(super) fn pause(&mut self, model: usize) -> Checked {
        let Some(node) = &mut self.node else { return Ok(()) };
        node.paused[model] = !node.paused[model];
        let paused = node.paused[model];
        let worker = if paused { Worker::Lost("it was stopped".into()) } else { Worker::Running };
        node.slots[model].health.set(worker);
        let what = if paused { "stops" } else { "goes on" };
        self.say(format!("{}: the projector {what}", self.name(model)));
        Ok(())
    }

    /// The monitor looks at every model.
    pub(super) fn measure(&mut self) -> Checked {
        let slots = self.node.as_ref().map(|node| node.slots.clone()).unwrap_or_default();
        for (model, slot) in slots.iter().enumerate() {
            let (log, models) = (self.log.as_ref(), self.models.as_ref());
            let Ok(Some(state)) = models.state(slot.name()) else { continue };
            let worker = slot.health.get();
            let fold = slot.fold.as_ref();
            let observation = Observation::of(log, fold, state, self.clock.now());
            let stepped = slot.watch.lock().step(log, models, fold, &worker, &observation);
            match stepped {
                Ok(report) => {
                    self.say(format!("{}: {} {:?}", slot.name(), report.status, report.lag.lag_count));
                    self.judge_report(model, &observation, &report)?;
                }
                Err(error) => self.say(format!("{}: not measured: {error}", slot.name())),
            }
        }
        Ok(())
    }

    /// Whether a measurement is the truth.
    fn judge_report(&mut self, model: usize, observation: &Observation, report: &Report) -> Checked {
        let Some(stored) = self.stored(model)? else { return Ok(()) };
        let name = self.name(model);
        let beyond = stored.state.checkpoint.position.0 > self.ledger.history.len() as u64;
        let recovering = report.status == Status::Recovering && self.busy == Some(model);
        if observation.head.is_none() {
            return match (report.status, report.lag.lag_count) {
                (Status::Stalled, None) => Ok(()),
                other => broken(
                    format!("{name} to be stalled with an unknown lag: its log cannot be read"),
                    format!("{other:?}"),
                ),
            };
        }
        let must = observation.outdated || beyond || observation.state.condemned.is_some();
        let wrong = matches!(observation.state.content.verdict, Verdict::Drifted | Verdict::Suspect);
        if must && report.status != Status::RebuildNeeded && !recovering {
            return broken(format!("{name} to need a rebuild"), report.status.as_str());
        }
        if wrong && report.status == Status::InSync {
            return broken(format!("{name} not to be in sync"), report.status.as_str());
        }
        if must {
            self.need(model);
        }
        if self.tables[model].trust != Trust::Sound {
            return Ok(());
        }
        let missing = self.lag(model, &stored);
        if report.lag.lag_count != Some(missing) {
            return broken(format!("a lag of {missing} for {name}"), format!("{:?}", report.lag.lag_count));
        }
        let rebuild = report.status == Status::RebuildNeeded;
        if rebuild && !must && !wrong && missing <= REPLAY_THRESHOLD {
            return broken(format!("{name} not to need a rebuild"), format!("{:?}", report.reason));
        }
        let overcounted = self.tables[model].damage.overcounted;
        if self.weather.clock == 0 && self.untouched.is_none() && !overcounted {
            let after = usize::try_from(stored.state.checkpoint.position.0).unwrap_or(usize::MAX);
            let later = self.ledger.history.get(after..).unwrap_or_default().iter();
            let mut unapplied = later.filter(|event| stored.state.schema.subscribes.contains(&event.draft.event_type));
            if let Some(event) = unapplied.find(|event| report.as_of.is_some_and(|as_of| event.recorded_at < as_of)) {
                let expected = format!("{name} to be as of {} at the latest", event.recorded_at);
                return broken(expected, format!("{:?}", report.as_of));
            }
        }
        Ok(())
    }
}
