//! The engine in virtual time: the real stages over a store with faults, in one thread, by the script of a seed.
//!
//! Everything is drawn from the seed: what is sent, which stage goes on next, what fails, when the power goes, what
//! time it is. The same seed gives the same run, step by step ([`Outcome::trace`]). After each step what must always
//! hold is checked against an account of its own, and at the end, when the faults are over and
//! the system has settled, everything.
//!
//! Stages are called as the engine's threads call them; the threads themselves are not here, and neither are HTTP and
//! SQL. What is checked:
//! - positions have no holes, and each event is in the log as it was sent, once;
//! - what was acknowledged is in the log or in quarantine, in one of the two, unless the log's disk lied;
//! - what gets in from quarantine is the event as it was edited then, the original stays, and no acknowledged edit is lost;
//! - the books on each source add up and say what is there;
//! - what is admitted is kept as it was sent until that is old, and each event tells by it, or by its entry, where each of
//!   its fields is from;
//! - what its source counts is in the log after all that it knew, but for what was set aside or declared not to come, under a
//!   stamp above theirs; nothing waits for what is there, or for ever, and who comes late is an exception;
//! - a row whose writers say what they knew holds what nobody knew who took it away, judged write by write;
//! - answers say what happened; nobody is overtaken by a later event of its key;
//! - each table is what its own fold of the log gives up to its checkpoint, except the rows that a torn write lost, that
//!   somebody else wrote or that a projector misread the log for, and those are exactly what is found wrong, each for
//!   its cause, and what a repair leaves is what the log says, sums and counts included;
//! - a snapshot that is kept is what the log says up to its position, and one that was torn, damaged, exchanged or forged
//!   since is never what the rows of a rebuild come from;
//! - whatever is wrong when a pass of the scrub begins, and stays so, has been noticed when it ends;
//! - what somebody else writes and the store sees makes the model suspect at once, and nothing is folded over it;
//! - every decision between writes that did not know each other is recorded, and comes out the same again;
//! - counts add up, lag is what it is said to be, and no read is called fresh from which an admitted event is missing;
//! - a strong read has everything in it or says that it cannot.
//!
//! ```
//! let outcome = evenkeel::simulate::run(7, &evenkeel::simulate::Options { events: 40 })?;
//! assert!(outcome.stats.steps > 0);
//! # Ok::<(), Box<evenkeel::simulate::Violation>>(())
//! ```
mod bulk;
mod causing;
mod clock;
mod damage;
mod deciding;
mod editing;
mod events;
mod faults;
mod healing;
mod knowing;
mod ledger;
mod misread;
mod node;
mod origins;
mod project;
mod random;
mod reading;
mod rebuilding;
mod scrubbing;
mod sending;
mod settling;
mod snapshots;
mod table;
mod tampering;
mod waiting;
mod world;

pub use faults::FaultCounts;

use evenkeel_core::Digest;
use serde::Serialize;
use world::World;

/// How a simulation is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Options {
    /// How many events the sources send, resends not counted.
    pub events: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { events: 120 }
    }
}

/// What a simulation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Steps of the schedule.
    pub steps: u64,
    /// Events that sources handed over, resends counted each time.
    pub sent: u64,
    /// Events in the log at the end.
    pub events: u64,
    /// Entries the quarantine has at the end, resolved ones too.
    pub entries: u64,
    /// Acknowledged events that a lying disk lost.
    pub lost: u64,
    /// Times everything in memory was dropped.
    pub crashes: u64,
    /// Rebuilds that put a new table in place.
    pub rebuilds: u64,
    /// Rebuilds that were called off or failed.
    pub rebuilds_ended: u64,
    /// Verifications that found wrong rows.
    pub drift_found: u64,
    /// Reads that were compared with the log.
    pub reads: u64,
    /// Rows that somebody else wrote or deleted, and the store noted it.
    pub others_noted: u64,
    /// Rows that somebody else wrote or deleted, and nobody noted it.
    pub others_unnoted: u64,
    /// Events that a projector left out.
    pub events_missed: u64,
    /// Events that a projector applied twice.
    pub events_doubled: u64,
    /// Events that waited for others.
    pub waited: u64,
    /// Entries, at the end, of events that waited too long.
    pub expired: u64,
    /// Entries, at the end, of events that came when too much waited.
    pub overflowed: u64,
    /// Entries of such events that the engine sent through again.
    pub recalled: u64,
    /// Declarations that events will not come.
    pub skips: u64,
    /// Events in the log after all that they knew, by what they said of it.
    pub causal: u64,
    /// Events in the log whose places had been passed.
    pub exceptions: u64,
    /// Decisions between writes that did not know each other, at the end.
    pub conflicts: u64,
    /// Looks for wrong rows.
    pub checks: u64,
    /// Slices of the scrub.
    pub scrubbed: u64,
    /// Passes of the scrub that ended with every row as it was meant.
    pub passes: u64,
    /// Slices of the scrub that found something.
    pub scrub_found: u64,
    /// Repairs that put rows right.
    pub repairs: u64,
    /// Rows that repairs wrote or deleted.
    pub rows_repaired: u64,
    /// Touches of events that name no row, parked when it was found that the projector had left them out.
    pub parked_late: u64,
    /// Times that somebody removed the home of the models.
    pub models_lost: u64,
    /// Snapshots that were taken and kept.
    pub snapshots: u64,
    /// Snapshots that were begun and not kept: the table was not fit for one, or a store failed.
    pub snapshots_not_kept: u64,
    /// Snapshots that somebody damaged or put a false one in the place of.
    pub snapshots_tampered: u64,
    /// Rebuilds that began from a snapshot and put a new table in place.
    pub rebuilds_from_snapshots: u64,
    /// Snapshots that were newer than what such a rebuild began from, and were refused: damaged, false, or of another version
    /// or another log.
    pub snapshots_refused: u64,
    /// Edits of events in quarantine that were kept.
    pub edits: u64,
    /// Entries and parked events that were decided about many at once, trials included.
    pub decided_in_bulk: u64,
    /// Events of which it was forgotten how they were sent.
    pub raws_forgotten: u64,
    /// Events that told exactly where each of their fields is from.
    pub lineages: u64,
    /// What was done to the stores.
    pub faults: FaultCounts,
}

impl Stats {
    /// Adds another run's numbers.
    pub fn add(&mut self, other: &Self) {
        let Self { steps, sent, events, entries, lost, crashes, rebuilds, rebuilds_ended, drift_found, reads, .. } =
            other;
        self.steps += steps;
        self.sent += sent;
        self.events += events;
        self.entries += entries;
        self.lost += lost;
        self.crashes += crashes;
        self.rebuilds += rebuilds;
        self.rebuilds_ended += rebuilds_ended;
        self.drift_found += drift_found;
        self.reads += reads;
        self.others_noted += other.others_noted;
        self.others_unnoted += other.others_unnoted;
        self.events_missed += other.events_missed;
        self.events_doubled += other.events_doubled;
        self.waited += other.waited;
        self.expired += other.expired;
        self.overflowed += other.overflowed;
        self.recalled += other.recalled;
        self.skips += other.skips;
        self.causal += other.causal;
        self.exceptions += other.exceptions;
        self.conflicts += other.conflicts;
        self.checks += other.checks;
        self.scrubbed += other.scrubbed;
        self.passes += other.passes;
        self.scrub_found += other.scrub_found;
        self.repairs += other.repairs;
        self.rows_repaired += other.rows_repaired;
        self.parked_late += other.parked_late;
        self.models_lost += other.models_lost;
        self.snapshots += other.snapshots;
        self.snapshots_not_kept += other.snapshots_not_kept;
        self.snapshots_tampered += other.snapshots_tampered;
        self.rebuilds_from_snapshots += other.rebuilds_from_snapshots;
        self.snapshots_refused += other.snapshots_refused;
        self.edits += other.edits;
        self.decided_in_bulk += other.decided_in_bulk;
        self.raws_forgotten += other.raws_forgotten;
        self.lineages += other.lineages;
        self.faults.plus(&other.faults);
    }
}

/// A simulation in which everything held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What went wrong on purpose, in words.
    pub weather: &'static str,
    /// What was done, a line for each step.
    pub trace: Vec<String>,
    /// Digest of the trace.
    pub digest: Digest,
    /// The numbers.
    pub stats: Stats,
}

/// How many lines of the trace the message of a violation shows.
const TAIL: usize = 25;

/// Something that must always hold did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error(
    "seed {seed} ({weather}), step {step}:\n  expected {expected}\n  found    {found}\nthe last steps:\n{}\nrepeat with: evenkeel simulate --seed {seed} --events {}",
    .trace[.trace.len().saturating_sub(TAIL)..].iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"),
    .options.events
)]
pub struct Violation {
    /// The seed.
    pub seed: u64,
    /// The options that belong to it: with others the same seed is another run.
    pub options: Options,
    /// What went wrong on purpose.
    pub weather: &'static str,
    /// The step of the schedule.
    pub step: u64,
    /// What must hold.
    pub expected: String,
    /// What was there instead.
    pub found: String,
    /// What was done until then, a line for each step. The message shows the end of it.
    pub trace: Vec<String>,
}

/// Runs one simulation.
///
/// # Errors
/// [`Violation`] at the first thing that does not hold.
pub fn run(seed: u64, options: &Options) -> Result<Outcome, Box<Violation>> {
    let mut world = World::new(seed, *options).map_err(|broken| {
        let Broken { expected, found } = broken;
        let (weather, step, trace) = ("not begun", 0, Vec::new());
        Box::new(Violation { seed, options: *options, weather, step, expected, found, trace })
    })?;
    let done = world.play().and_then(|()| world.settle());
    let World { weather, stats, trace, .. } = world;
    if let Err(Broken { expected, found }) = done {
        let (weather, step) = (weather.name, stats.steps);
        return Err(Box::new(Violation { seed, options: *options, weather, step, expected, found, trace }));
    }
    let digest = Digest::of(trace.join("\n").as_bytes());
    Ok(Outcome { weather: weather.name, trace, digest, stats })
}

/// Something that must always hold and does not, before it is known in which run.
#[derive(Debug)]
struct Broken {
    expected: String,
    found: String,
}

type Checked<T = ()> = Result<T, Broken>;

/// Fails with what was expected and found.
fn broken<T>(expected: impl Into<String>, found: impl Into<String>) -> Checked<T> {
    Err(Broken { expected: expected.into(), found: found.into() })
}

/// Checks that the store below the faults answers: it is memory, so that it does not is a defect of its own.
fn sound<T>(result: evenkeel_store::Result<T>) -> Checked<T> {
    result.map_err(|error| Broken { expected: "the store below the faults to answer".into(), found: error.to_string() })
}
