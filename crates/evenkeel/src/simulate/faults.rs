//! What goes wrong in a simulation: the weather of a seed, and the script that decides each call of the stores.
//!
//! What a fault does is [`evenkeel_store::faulty`]'s. Power that goes in the middle of a stage is played here: from
//! that call on everything fails, until the schedule sees it and drops what was in memory.
use super::random::Random;
use evenkeel_store::{
    EntryFilter, Log, Table,
    faulty::{Fault, Operation, Script},
    memory::MemoryLog,
};
use parking_lot::Mutex;
use serde::Serialize;
use std::sync::Arc;

/// How much goes wrong, in thousandths of the calls or steps.
#[derive(Debug, Clone, Default)]
pub(super) struct Weather {
    pub(super) name: &'static str,
    fail: u64,
    fail_after: u64,
    lie_log: u64,
    lie_models: u64,
    pub(super) tear: u64,
    /// Steps of the schedule before which power is about to go.
    pub(super) crash: u64,
    /// Steps at which the time of day is set.
    pub(super) clock: u64,
    /// Whether others write to the tables.
    pub(super) others: bool,
    /// Batches of a projector that read the log wrongly.
    pub(super) misread: u64,
}

impl Weather {
    /// The weather of a seed: every kind of fault alone, all together, and none.
    pub(super) fn of(random: &mut Random) -> Self {
        let some = |random: &mut Random, most: u64| 1 + random.below(most);
        let crash = some(random, 20);
        let clock = if random.chance(300) { some(random, 20) } else { 0 };
        let others = random.chance(600);
        let misread = if random.chance(400) { some(random, 60) } else { 0 };
        let calm = Self { name: "calm", clock, others, misread, ..Self::default() };
        match random.below(8) {
            0 => calm,
            1 => Self { name: "crashes", crash, ..calm },
            2 => Self { name: "failures", fail: some(random, 60), fail_after: some(random, 40), ..calm },
            // Only power that goes soon after a lie loses what was acknowledged.
            3 => Self { name: "lying log", crash: crash + 10, lie_log: 100 + some(random, 400), ..calm },
            4 => Self { name: "lying models", crash, lie_models: some(random, 600), ..calm },
            5 => Self { name: "torn writes", tear: some(random, 60), ..calm },
            6 => {
                let (fail, fail_after) = (some(random, 30), some(random, 20));
                Self { name: "crashes and failures", crash, fail, fail_after, ..calm }
            }
            _ => Self {
                name: "storm",
                crash,
                fail: some(random, 20),
                fail_after: some(random, 20),
                lie_log: some(random, 150),
                lie_models: some(random, 300),
                tear: some(random, 30),
                ..calm
            },
        }
    }
}

/// How often what was done to the stores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FaultCounts {
    /// Calls that failed without doing anything.
    pub failed: u64,
    /// Calls that were done and whose answer was lost.
    pub answers_lost: u64,
    /// Writes of the log that lay in the disk's cache only.
    pub log_lies: u64,
    /// Writes of the models that lay in the disk's cache only.
    pub models_lies: u64,
    /// Writes of the snapshots that lay in the disk's cache only.
    pub snapshots_lies: u64,
    /// Steps of a model of which half the rows were lost.
    pub torn: u64,
    /// Snapshots of which half the frames were lost, and frames that were.
    pub snapshots_torn: u64,
}

impl FaultCounts {
    /// All of them.
    pub fn total(&self) -> u64 {
        let lies = self.log_lies + self.models_lies + self.snapshots_lies;
        self.failed + self.answers_lost + lies + self.torn + self.snapshots_torn
    }

    pub(super) fn plus(&mut self, other: &Self) {
        self.failed += other.failed;
        self.answers_lost += other.answers_lost;
        self.log_lies += other.log_lies;
        self.models_lies += other.models_lies;
        self.snapshots_lies += other.snapshots_lies;
        self.snapshots_torn += other.snapshots_torn;
        self.torn += other.torn;
    }
}

/// What of the log is on the disk while later writes lie in its cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OnDisk {
    pub(super) events: u64,
    pub(super) entries: usize,
}

/// The faults to come, shared by the scripts of the stores and the schedule.
pub(super) struct Faults {
    random: Random,
    weather: Weather,
    log: Arc<MemoryLog>,
    /// Nothing goes wrong any more.
    pub(super) over: bool,
    /// Calls left until the power goes.
    pub(super) power_for: Option<u64>,
    /// The power is gone.
    pub(super) dark: bool,
    pub(super) counts: FaultCounts,
    /// What a crash will leave of the log, where that is not all of it.
    pub(super) on_disk: Option<OnDisk>,
    /// Steps torn so far, of live tables and of builds.
    pub(super) torn_live: u64,
    pub(super) torn_build: u64,
}

/// Which store a script is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    Log,
    Models,
    Snapshots,
}

impl Faults {
    pub(super) fn new(random: Random, weather: Weather, log: Arc<MemoryLog>) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            random,
            weather,
            log,
            over: false,
            power_for: None,
            dark: false,
            counts: FaultCounts::default(),
            on_disk: None,
            torn_live: 0,
            torn_build: 0,
        }))
    }

    /// The script of one store.
    pub(super) fn script(faults: &Arc<Mutex<Self>>, home: Home) -> Script {
        let faults = Arc::clone(faults);
        Box::new(move |operation| faults.lock().decide(home, operation))
    }

    fn decide(&mut self, home: Home, operation: Operation) -> Fault {
        let fault = self.choose(home, operation);
        if is_write(operation) {
            self.note(home, operation, fault);
        }
        match fault {
            Fault::None => {}
            Fault::Fail => self.counts.failed += 1,
            Fault::FailAfter => self.counts.answers_lost += 1,
            Fault::Lie if home == Home::Log => self.counts.log_lies += 1,
            Fault::Lie if home == Home::Snapshots => self.counts.snapshots_lies += 1,
            Fault::Lie => self.counts.models_lies += 1,
            Fault::Tear if home == Home::Snapshots => self.counts.snapshots_torn += 1,
            Fault::Tear => self.counts.torn += 1,
        }
        fault
    }

    fn choose(&mut self, home: Home, operation: Operation) -> Fault {
        if self.dark {
            return Fault::Fail;
        }
        match self.power_for {
            Some(0) => {
                self.dark = true;
                self.power_for = None;
                return if self.random.chance(500) { Fault::Fail } else { Fault::FailAfter };
            }
            Some(left) => self.power_for = Some(left - 1),
            None => {}
        }
        if self.over {
            return Fault::None;
        }
        let weather = &self.weather;
        if !is_write(operation) {
            // A stage reads several times for each write.
            return if self.random.chance(weather.fail / 2) { Fault::Fail } else { Fault::None };
        }
        let tear = match operation {
            Operation::Commit(_) | Operation::WriteSnapshot => weather.tear,
            // There are few of them.
            Operation::KeepSnapshot => 5 * weather.tear,
            _ => 0,
        };
        let lie = if home == Home::Log { weather.lie_log } else { weather.lie_models };
        let dice = self.random.below(1000);
        let limits = [weather.fail, weather.fail_after, tear, lie];
        let faults = [Fault::Fail, Fault::FailAfter, Fault::Tear, Fault::Lie];
        let mut limit = 0;
        for (share, fault) in limits.into_iter().zip(faults) {
            limit += share;
            if dice < limit {
                return fault;
            }
        }
        Fault::None
    }

    /// Keeps what the schedule must know of a write.
    fn note(&mut self, home: Home, operation: Operation, fault: Fault) {
        match (fault, operation) {
            (Fault::Tear, Operation::Commit(Table::Live)) => self.torn_live += 1,
            (Fault::Tear, Operation::Commit(Table::Build)) => self.torn_build += 1,
            _ => {}
        }
        match (home, fault) {
            (Home::Models | Home::Snapshots, _) | (Home::Log, Fault::Fail) => {}
            (Home::Log, Fault::Lie) if self.on_disk.is_none() => self.on_disk = self.stored(),
            (Home::Log, Fault::Lie) => {}
            (Home::Log, Fault::None | Fault::FailAfter | Fault::Tear) => self.on_disk = None,
        }
    }

    fn stored(&self) -> Option<OnDisk> {
        let events = self.log.safe_head().ok()?.position.0;
        let entries = self.log.entries(&EntryFilter::default()).ok()?.len();
        Some(OnDisk { events, entries })
    }
}

fn is_write(operation: Operation) -> bool {
    match operation {
        Operation::SafeHead
        | Operation::ReadLog
        | Operation::WaitPast
        | Operation::ReadQuarantine
        | Operation::ReadTable(_)
        | Operation::ReadParks
        | Operation::ReadState
        | Operation::ReadContent
        | Operation::ReadReconciliations
        | Operation::ReadConflicts
        | Operation::ReadSnapshot => false,
        Operation::Transact
        | Operation::Register
        | Operation::Commit(_)
        | Operation::BeginBuild
        | Operation::Swap
        | Operation::AbandonBuild
        | Operation::SetContent
        | Operation::SetMeasured
        | Operation::Lease
        | Operation::Record
        | Operation::WriteSnapshot
        | Operation::KeepSnapshot
        | Operation::RemoveSnapshot
        | Operation::ForgetRaws => true,
    }
}
