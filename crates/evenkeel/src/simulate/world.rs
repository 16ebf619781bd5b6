//! The world of a simulation and its schedule: who goes next, how time passes, and what is checked after each step.
//!
//! What each action does has a file of its own.
use super::{
    Broken, Checked, Options, Stats, broken,
    clock::VirtualClock,
    events::SOURCES,
    faults::{Faults, Home, Weather},
    ledger::Ledger,
    node::Node,
    project::{Project, VERSIONS, project},
    random::Random,
    sending::Sender,
    snapshots::Books,
    sound,
    table::{Said, Stored, Table},
};
use crate::{Clock, projector::Projector};
use evenkeel_core::{
    Epoch, ModelName, Position,
    content::Window,
    digest::Sum,
    fold::Fold,
    quarantine::QuarantineId,
    row::{Key, Row},
};
use evenkeel_store::{
    Log, Models, Table as Which,
    faulty::{FaultyLog, FaultyModels, FaultySnapshots},
    memory::{MemoryLog, MemoryModels, MemorySnapshots, MemoryStore},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Everything there is.
pub(super) struct World {
    pub(super) stats: Stats,
    pub(super) trace: Vec<String>,
    pub(super) random: Random,
    pub(super) weather: Weather,
    pub(super) faults: Arc<Mutex<Faults>>,
    pub(super) clock: Arc<VirtualClock>,
    /// The stores below the faults: what is really there.
    pub(super) below: MemoryStore,
    pub(super) log: Arc<FaultyLog<MemoryLog>>,
    pub(super) models: Arc<FaultyModels<MemoryModels>>,
    pub(super) snapshots: Arc<FaultySnapshots<MemorySnapshots>>,
    pub(super) project: &'static Project,
    /// The versions of contracts and models a node runs with.
    pub(super) gate: usize,
    pub(super) versions: Vec<usize>,
    /// What is lost when the power goes; `None` while it is off.
    pub(super) node: Option<Node>,
    pub(super) stray: Option<Stray>,
    /// The model that is being rebuilt: its turn is taken.
    pub(super) busy: Option<usize>,
    pub(super) senders: Vec<Sender>,
    pub(super) ledger: Ledger,
    pub(super) tables: Vec<Table>,
    pub(super) copies: Books,
    /// How many events may wait for others.
    pub(super) most_waiting: u64,
    /// Events the sources have still to make.
    pub(super) to_make: u64,
    /// How much of the log every loss so far has left untouched; `None` where there was none.
    pub(super) untouched: Option<Position>,
    /// The entry about which the operator got no answer, and whether it was redriven.
    pub(super) undecided: Option<(QuarantineId, bool)>,
    /// Whether the node rebuilds by itself what needs it.
    pub(super) auto: bool,
    pub(super) settling: bool,
}

/// A projector of somebody who has not noticed that its turn is over.
pub(super) struct Stray {
    pub(super) model: usize,
    pub(super) version: usize,
    pub(super) projector: Projector,
}

/// What may happen in a step, and how often beside the others. Those that come first also happen during a rebuild.
const ACTIONS: [(Action, u64); 27] = [
    (Action::Send, 28),
    (Action::Take, 26),
    (Action::Project, 40),
    (Action::Measure, 6),
    (Action::Read, 14),
    (Action::DecideEntry, 9),
    (Action::ResumeSource, 2),
    (Action::EditEntry, 8),
    (Action::DecideAll, 3),
    (Action::ForgetRaws, 1),
    (Action::LookAfter, 9),
    (Action::Skip, 2),
    (Action::TellLineage, 3),
    (Action::Stray, 4),
    (Action::Pause, 3),
    (Action::DecidePark, 6),
    (Action::DecideAllParked, 2),
    (Action::Snapshot, 3),
    (Action::Verify, 3),
    (Action::Rebuild, 2),
    (Action::Reconcile, 6),
    (Action::Deploy, 2),
    (Action::Tamper, 3),
    (Action::Check, 3),
    (Action::Repair, 3),
    (Action::Scrub, 8),
    (Action::TamperWithSnapshot, 1),
];

/// How many of [`ACTIONS`] may happen while a model is rebuilt.
const BESIDE_REBUILD: usize = 18;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Send,
    Take,
    Project,
    Measure,
    Read,
    DecideEntry,
    ResumeSource,
    EditEntry,
    DecideAll,
    ForgetRaws,
    LookAfter,
    Skip,
    TellLineage,
    Stray,
    Pause,
    DecidePark,
    DecideAllParked,
    Snapshot,
    Verify,
    Rebuild,
    Reconcile,
    Deploy,
    Tamper,
    Check,
    Repair,
    Scrub,
    TamperWithSnapshot,
}

impl World {
    pub(super) fn new(seed: u64, options: Options) -> Checked<Self> {
        let project = project()
            .map_err(|wrong| Broken { expected: "the simulation's own project to compile".into(), found: wrong })?;
        let mut random = Random::new(seed);
        let weather = Weather::of(&mut random.fork());
        let clock = Arc::new(VirtualClock::new());
        let now = Arc::clone(&clock);
        let below = MemoryStore::new(Epoch(random.next()), Arc::new(move || now.now()));
        let faults = Faults::new(random.fork(), weather.clone(), Arc::clone(&below.log));
        let log = FaultyLog::new(Arc::clone(&below.log), Faults::script(&faults, Home::Log));
        let models = FaultyModels::new(Arc::clone(&below.models), Faults::script(&faults, Home::Models));
        let snapshots = FaultySnapshots::new(Arc::clone(&below.snapshots), Faults::script(&faults, Home::Snapshots));
        let mut world = Self {
            stats: Stats::default(),
            trace: Vec::new(),
            weather,
            faults,
            clock,
            below,
            log: Arc::new(log),
            models: Arc::new(models),
            snapshots: Arc::new(snapshots),
            project,
            gate: random.index(VERSIONS),
            undecided: None,
            auto: random.chance(700),
            versions: vec![0; project.models.len()],
            node: None,
            stray: None,
            busy: None,
            senders: SOURCES.iter().map(|source| Sender::new(source)).collect(),
            ledger: Ledger::default(),
            copies: Books::default(),
            tables: project.models.iter().map(|[first, ..]| Table::new(first)).collect(),
            most_waiting: if random.chance(250) { 4 } else { 10_000 },
            to_make: options.events,
            untouched: None,
            settling: false,
            random,
        };
        world.say(format!("seed {seed}: {}", world.weather.name));
        Ok(world)
    }

    /// Notes what happens.
    pub(super) fn say(&mut self, what: impl AsRef<str>) {
        let line = format!("{:>5} {}", self.stats.steps, what.as_ref());
        self.trace.push(line);
    }

    /// Runs until the sources have made all their events, and a little longer.
    pub(super) fn play(&mut self) -> Checked {
        let mut after = 60;
        while after > 0 {
            if self.to_make == 0 {
                after -= 1;
            }
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Checked {
        self.stats.steps += 1;
        self.pass_time();
        if self.node.is_none() {
            return if self.random.chance(500) { self.start() } else { Ok(()) };
        }
        if self.random.chance(self.weather.crash) {
            let calls = self.random.below(14);
            self.faults.lock().power_for = Some(calls);
        }
        let action = self.choose(ACTIONS.len());
        self.act(action)?;
        self.look()?;
        if self.is_dark() { self.crash() } else { Ok(()) }
    }

    /// What others do while a model is rebuilt.
    pub(super) fn step_beside(&mut self) -> Checked {
        self.pass_time();
        let action = self.choose(BESIDE_REBUILD);
        self.act(action)?;
        self.look()
    }

    fn choose(&mut self, among: usize) -> Action {
        let weights: Vec<u64> = ACTIONS[..among].iter().map(|(_, weight)| *weight).collect();
        ACTIONS[self.random.weighted(&weights)].0
    }

    fn act(&mut self, action: Action) -> Checked {
        let model = self.random.index(self.project.models.len());
        let free = self.busy != Some(model);
        match action {
            Action::Send => self.send(),
            Action::Take => self.take(),
            Action::Project if free => self.advance(model),
            Action::Measure => self.measure(),
            Action::Read => self.read(model),
            Action::DecideEntry => self.decide_entry(),
            Action::ResumeSource => self.resume_source(),
            Action::EditEntry => self.edit_entry(),
            Action::DecideAll => self.decide_all(),
            Action::ForgetRaws => self.forget_raws(),
            Action::LookAfter => self.look_after_waiting(),
            Action::Skip => self.skip_some(),
            Action::TellLineage => self.tell_lineage(),
            Action::Stray if free => self.advance_stray(model),
            Action::Pause => self.pause(model),
            Action::DecidePark if free => self.decide_park(model),
            Action::DecideAllParked if free => self.decide_all_parked(model),
            Action::Snapshot => self.take_snapshot(model),
            Action::Verify if free => self.verify(model).map(drop),
            Action::Rebuild if free => self.rebuild(model, true).map(drop),
            Action::Reconcile => self.reconcile(),
            Action::Deploy => self.deploy(),
            Action::Tamper if free => self.tamper(model),
            Action::Check if free => self.look_for_wrong_rows(model),
            Action::TamperWithSnapshot => self.tamper_with_snapshot(model),
            Action::Repair if free => self.repair_wrong_rows(model),
            Action::Project | Action::Stray | Action::DecidePark | Action::Verify | Action::Rebuild => Ok(()),
            Action::Scrub if free => self.scrub(model),
            Action::DecideAllParked | Action::Tamper | Action::Check | Action::Repair | Action::Scrub => Ok(()),
        }
    }

    pub(super) fn is_dark(&self) -> bool {
        self.faults.lock().dark
    }

    pub(super) fn pass_time(&mut self) {
        let millis = match self.random.below(100) {
            0..=79 => self.random.below(200),
            80..=97 => self.random.below(5_000),
            _ => self.random.below(90_000),
        };
        self.clock.pass(Duration::from_millis(millis));
        if !self.settling && self.random.chance(self.weather.clock) {
            let micros = i64::try_from(self.random.below(240_000_000)).unwrap_or_default() - 120_000_000;
            self.clock.set(micros);
            self.say(format!("the time of day is set by {:.3} s", micros as f64 / 1e6));
        }
    }

    /// Checks what can be checked cheaply, and now and then the rest.
    fn look(&mut self) -> Checked {
        if self.stats.steps.is_multiple_of(32) {
            self.ledger.balance(self.below.log.as_ref())?;
            self.rows_are_known()?;
        }
        (0..self.tables.len()).try_for_each(|model| self.check(model, false))
    }

    pub(super) fn fold(&self, model: usize) -> &'static Arc<dyn Fold> {
        &self.project.models[model][self.versions[model]]
    }

    pub(super) fn name(&self, model: usize) -> &'static ModelName {
        &self.project.models[model][0].schema().model
    }

    /// The fold that made a stored table.
    pub(super) fn maker(&self, model: usize, stored: &Stored) -> Checked<&'static Arc<dyn Fold>> {
        let made = |fold: &&Arc<dyn Fold>| fold.schema().same_as(&stored.state.schema);
        match self.project.models[model].iter().find(made) {
            Some(fold) => Ok(fold),
            None => broken(format!("one of {VERSIONS} versions of {}", self.name(model)), "another one"),
        }
    }

    /// What is really stored of a model; `None` before it was first registered.
    pub(super) fn stored(&self, model: usize) -> Checked<Option<Stored>> {
        let (below, name) = (&self.below.models, self.name(model));
        let Some(state) = sound(below.state(name))? else { return Ok(None) };
        let rows = sound(below.rows(name, Which::Live, None, usize::MAX))?.rows;
        let rows = rows.into_iter().map(|(row, _)| (Key::of(&state.schema, &row), row)).collect();
        let rows: BTreeMap<Key, Row> = rows;
        let parks = sound(below.parks(name, None))?;
        let keys: Vec<Key> = rows.keys().cloned().collect();
        let loaded = sound(below.load(name, Which::Live, &keys))?.rows;
        let unsound = loaded.into_iter().filter(|row| !row.is_intact()).map(|row| row.key).collect();
        let noted = sound(below.touched(name, usize::MAX))?.into_iter().map(|note| note.key).collect();
        let identities = sound(below.identities(name, Which::Live, Window::default()))?;
        let identities = identities.into_iter().fold(Sum::default(), |all, (_, sum)| all.plus(sum));
        let said = Said { unsound, noted, identities };
        Ok(Some(Stored::new(state, rows, parks, said, &self.ledger.history)))
    }

    /// Compares the table of a model with the log, where it was written since. `torn` says that the write was torn.
    pub(super) fn check(&mut self, model: usize, torn: bool) -> Checked {
        let state = sound(self.below.models.state(self.name(model)))?;
        if state.is_none_or(|state| self.tables[model].is_seen(state.generation)) {
            return Ok(());
        }
        let Some(stored) = self.stored(model)? else { return Ok(()) };
        let maker = self.maker(model, &stored)?;
        self.tables[model].compare(maker, &stored, &self.ledger.history, torn)
    }

    /// How many events of the types a stored table follows are after its checkpoint.
    pub(super) fn missing(&self, stored: &Stored) -> u64 {
        let after = usize::try_from(stored.state.checkpoint.position.0).unwrap_or(usize::MAX);
        let types: &BTreeSet<_> = &stored.state.schema.subscribes;
        let events = self.ledger.history.get(after..).unwrap_or_default();
        events.iter().filter(|event| types.contains(&event.draft.event_type)).count() as u64
    }

    /// How many events a model is behind by its own count, which is off where it misread the log.
    pub(super) fn lag(&self, model: usize, stored: &Stored) -> u64 {
        self.missing(stored).saturating_add_signed(-self.tables[model].overcount)
    }

    /// Reads what the last step added to the log and the quarantine.
    pub(super) fn book(&mut self, batch: &[super::ledger::Content]) -> Checked<super::ledger::Added> {
        let log: &dyn Log = self.below.log.as_ref();
        self.ledger.read(log, &self.project.gates, batch)
    }
}
