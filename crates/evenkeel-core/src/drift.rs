//! Drift: how far a model is from the log, and the status that follows.
//!
//! [`measure`] is arithmetic over one [`Sample`]; [`Monitor`] adds what needs memory: rates, progress and hysteresis.
//! Not here: taking samples, or acting on them. Unknown is `None`, never 0.
use crate::{
    checkpoint::{Checkpoint, SafeHead},
    time::Timestamp,
    words::words,
};
use serde::{Deserialize, Serialize};

words! {
    /// What the drift monitor says of a model, best first.
    Status {
        /// Within its targets.
        InSync = "in_sync",
        /// Over its targets and getting closer.
        CatchingUp = "catching_up",
        /// A replay, repair or rebuild is at work.
        Recovering = "recovering",
        /// Behind and not moving, or what moves it is lost.
        Stalled = "stalled",
        /// The rows cannot be brought up to date by applying events.
        RebuildNeeded = "rebuild_needed",
    }
}

words! {
    /// The three statuses of the specification.
    ReconciliationStatus {
        /// Nothing to do.
        InSync = "in_sync",
        /// Not in sync, and it needs no rebuild.
        Recovering = "recovering",
        /// A rebuild is needed.
        RebuildNeeded = "rebuild_needed",
    }
}

impl Status {
    /// The specification's status for this one.
    pub const fn reconciliation(self) -> ReconciliationStatus {
        match self {
            Self::InSync => ReconciliationStatus::InSync,
            Self::RebuildNeeded => ReconciliationStatus::RebuildNeeded,
            Self::CatchingUp | Self::Recovering | Self::Stalled => ReconciliationStatus::Recovering,
        }
    }
}

words! {
    /// What is known of a model's content.
    Verdict {
        /// Every row was compared with the log and agreed.
        Verified = "verified",
        /// Never compared at this version.
        Unverified = "unverified",
        /// Something disagrees, and which rows is not known yet.
        Suspect = "suspect",
        /// Rows are known to be wrong.
        Drifted = "drifted",
    }
}

/// What is known of a model's content, and as of when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The verdict.
    pub verdict: Verdict,
    /// The moment up to which everything about the rows is known to agree.
    pub verified_as_of: Option<Timestamp>,
    /// Buckets in which the rows that are there are not those that were meant, when that was last looked at.
    pub bad_buckets: u32,
}

impl Content {
    /// The same where rows may be wrong in so many buckets: nothing worse that is known is taken back. One bucket at least
    /// has whoever looks next sum all of them up.
    #[must_use]
    pub fn doubted(self, bad_buckets: u32) -> Self {
        Self { verdict: self.verdict.max(Verdict::Suspect), bad_buckets: self.bad_buckets.max(bad_buckets), ..self }
    }
}

impl Default for Content {
    fn default() -> Self {
        Self { verdict: Verdict::Unverified, verified_as_of: None, bad_buckets: 0 }
    }
}

/// When a model counts as drifted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Target for the lag in events.
    pub max_lag_events: u64,
    /// Target for the lag in seconds.
    pub max_lag_seconds: f64,
    /// Lag in events above which a rebuild is called for, once it has lasted `max_lag_seconds`.
    pub replay_threshold: u64,
    /// How long a lagging model may make no progress before it counts as stalled.
    pub stall_seconds: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { max_lag_events: 100, max_lag_seconds: 30.0, replay_threshold: 500, stall_seconds: 5.0 }
    }
}

/// What applies a model's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Worker {
    /// It is there.
    Running,
    /// It rebuilds or replays.
    Reconciling,
    /// It is gone or was stopped, and why.
    Lost(String),
}

/// What is known of a model and its log at one moment.
///
/// The checkpoint is read first and the log after it: the other way round a model that goes on in between would seem
/// to be beyond the log.
#[derive(Debug, Clone)]
pub struct Sample<'s> {
    /// The moment.
    pub now: Timestamp,
    /// The log's safe head; `None` where the log could not be asked.
    pub head: Option<&'s SafeHead>,
    /// Events of subscribed types up to the safe head.
    pub subscribed: Option<u64>,
    /// The model's checkpoint.
    pub checkpoint: &'s Checkpoint,
    /// When the log recorded the oldest event of a subscribed type after the checkpoint; `None` where there is none
    /// or it is not known.
    pub oldest_unapplied: Option<Timestamp>,
    /// Whether the rows were made by another version of the model than the one declared.
    pub outdated: bool,
    /// What applies the model's events.
    pub worker: &'s Worker,
    /// What is known of the rows.
    pub content: Content,
    /// Why the rows cannot be brought right by applying or repairing, where that was found out.
    pub condemned: Option<&'s str>,
}

/// The distance between a model and the log.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Lag {
    /// Events of subscribed types not yet reached; `None` where the log or its epoch is not known.
    pub lag_count: Option<u64>,
    /// The age of the oldest of them by the log's clock; 0 where there are none, `None` where it is not known.
    pub lag_seconds: Option<f64>,
    /// `lag_count` over all events of subscribed types; 0 where there are none.
    pub drift_score: Option<f64>,
}

/// Measures the distance at one moment.
///
/// ```
/// use evenkeel_core::{checkpoint::{Checkpoint, SafeHead}, drift::{measure, Content, Sample, Worker}, ids::*, Timestamp};
/// let head = SafeHead { position: Position(10), epoch: Epoch(1), at: Timestamp::from_micros(5_000_000),
///     counts: Default::default(), last_event: None };
/// let checkpoint = Checkpoint { position: Position(4), epoch: Some(Epoch(1)), ..Checkpoint::default() };
/// let lag = measure(&Sample { now: head.at, head: Some(&head), subscribed: Some(8), checkpoint: &checkpoint,
///     oldest_unapplied: Some(Timestamp::from_micros(2_000_000)), outdated: false, worker: &Worker::Running,
///     content: Content::default(), condemned: None });
/// assert_eq!((lag.lag_count, lag.lag_seconds, lag.drift_score), (Some(8), Some(3.0), Some(1.0)));
/// ```
pub fn measure(sample: &Sample<'_>) -> Lag {
    let (Some(head), Some(subscribed)) = (sample.head, sample.subscribed) else { return Lag::default() };
    if lost_history(sample, head) {
        return Lag::default();
    }
    let lag_count = subscribed.saturating_sub(sample.checkpoint.counts.total());
    // An event that came in after the head was read may be the oldest, though it is not counted.
    let lag_seconds = match lag_count {
        0 => Some(0.0),
        _ => sample.oldest_unapplied.map(|at| head.at.seconds_since(at)),
    };
    Lag {
        lag_count: Some(lag_count),
        lag_seconds,
        drift_score: Some(if subscribed == 0 { 0.0 } else { lag_count as f64 / subscribed as f64 }),
    }
}

/// Whether a table made anew, which has to fold `to_fold` events more than what it begins from, is estimated to be there
/// before the projector has applied the `lag_count` it is behind. Folding in bulk is never slower for each event than
/// applying; half as many events leave room for taking over the rows and verifying them.
///
/// ```
/// use evenkeel_core::drift::rebuild_is_faster;
/// assert!(rebuild_is_faster(1_000_000, 30_000), "there is a snapshot");
/// assert!(!rebuild_is_faster(1_000_000, 1_000_000), "there is none");
/// ```
pub const fn rebuild_is_faster(lag_count: u64, to_fold: u64) -> bool {
    to_fold < lag_count / 2
}

/// Whether the checkpoint speaks of events this log does not have.
fn lost_history(sample: &Sample<'_>, head: &SafeHead) -> bool {
    !head.holds(sample.checkpoint)
}

/// What the monitor says of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The distance.
    pub lag: Lag,
    /// The status that follows.
    pub status: Status,
    /// Why, where the status is not `in_sync`.
    pub reason: Option<String>,
    /// Now minus `as_of`; `None` where that is not known.
    pub staleness_bound_seconds: Option<f64>,
    /// The latest moment at which everything committed was known to be applied; `None` where there was none yet, or
    /// the checkpoint is of another life of the log.
    pub as_of: Option<Timestamp>,
    /// Events of subscribed types that arrive, per second.
    pub arrival_rate: Option<f64>,
    /// Events of subscribed types that are applied, per second.
    pub apply_rate: Option<f64>,
    /// Seconds until the lag is gone at these rates; `None` where it does not shrink or nothing moves.
    pub eta_seconds: Option<f64>,
    /// When this was measured.
    pub measured_at: Timestamp,
    /// Whether the status is another one than before.
    pub changed: bool,
}

/// Follows one model over time.
#[derive(Debug, Clone)]
pub struct Monitor {
    thresholds: Thresholds,
    status: Option<Status>,
    as_of: Option<Timestamp>,
    progressed: Option<(Timestamp, Checkpoint)>,
    rates: Option<Rates>,
}

/// Smoothed rates, and the counts they were last taken from.
#[derive(Debug, Clone, Copy)]
struct Rates {
    at: Timestamp,
    arrived: u64,
    applied: u64,
    per_second: Option<(f64, f64)>,
}

/// Over how many seconds rates are smoothed.
const RATE_WINDOW_SECONDS: f64 = 5.0;

impl Monitor {
    /// A monitor that has seen nothing yet. `as_of` is the latest moment at which everything committed was known to
    /// be applied, as far as that was kept.
    pub fn new(thresholds: Thresholds, as_of: Option<Timestamp>) -> Self {
        Self { thresholds, status: None, as_of, progressed: None, rates: None }
    }

    /// The status at the last step.
    pub fn status(&self) -> Option<Status> {
        self.status
    }

    /// Takes a sample in and says what follows.
    pub fn step(&mut self, sample: &Sample<'_>) -> Report {
        let lag = measure(sample);
        self.update_as_of(sample, &lag);
        let idle_seconds = self.idle_seconds(sample, &lag);
        self.update_rates(sample);
        let (arrival_rate, apply_rate) = self.rates.and_then(|rates| rates.per_second).unzip();
        let (status, reason) = self.judge(sample, &lag, idle_seconds);
        let moving = !matches!(status, Status::Stalled | Status::RebuildNeeded);
        let changed = self.status != Some(status);
        self.status = Some(status);
        Report {
            lag,
            status,
            reason,
            staleness_bound_seconds: self.as_of.map(|as_of| sample.now.seconds_since(as_of)),
            as_of: self.as_of,
            arrival_rate,
            apply_rate,
            eta_seconds: eta(&lag, arrival_rate, apply_rate).filter(|_| moving),
            measured_at: sample.now,
            changed,
        }
    }

    /// Everything committed before the oldest unapplied event was is applied; where none is unapplied, everything.
    fn update_as_of(&mut self, sample: &Sample<'_>, lag: &Lag) {
        let Some(head) = sample.head else { return };
        if lost_history(sample, head) {
            self.as_of = None;
        }
        // Of a table of another version nothing is proven: the one that will replace it may follow other events.
        let proven = match lag.lag_count {
            _ if sample.outdated => None,
            Some(0) => Some(head.at),
            Some(_) => sample.oldest_unapplied.filter(|oldest| *oldest <= head.at),
            None => None,
        };
        self.as_of = self.as_of.max(proven);
    }

    /// Seconds since the checkpoint last moved, or last had nothing before it, or the log could not be read; 0 where
    /// there is nothing to make progress with.
    fn idle_seconds(&mut self, sample: &Sample<'_>, lag: &Lag) -> f64 {
        let waits = lag.lag_count.is_some_and(|count| count > 0);
        match &self.progressed {
            Some((since, checkpoint))
                if waits && checkpoint.position == sample.checkpoint.position && *since <= sample.now =>
            {
                sample.now.seconds_since(*since)
            }
            _ => {
                self.progressed = Some((sample.now, *sample.checkpoint));
                0.0
            }
        }
    }

    fn update_rates(&mut self, sample: &Sample<'_>) {
        let (Some(arrived), Some(_)) = (sample.subscribed, sample.head) else {
            self.rates = None;
            return;
        };
        let applied = sample.checkpoint.counts.total();
        let seconds = self.rates.map_or(0.0, |rates| sample.now.seconds_since(rates.at));
        let per_second = match self.rates {
            // Counts or a clock that went back: another table, another log. What was measured says nothing of it.
            Some(last) if arrived < last.arrived || applied < last.applied || sample.now < last.at => None,
            Some(last) if seconds > 0.0 => {
                let new = ((arrived - last.arrived) as f64 / seconds, (applied - last.applied) as f64 / seconds);
                let keep = (-seconds / RATE_WINDOW_SECONDS).exp();
                let smooth = |old: f64, new: f64| old * keep + new * (1.0 - keep);
                Some(last.per_second.map_or(new, |old| (smooth(old.0, new.0), smooth(old.1, new.1))))
            }
            Some(_) => return,
            None => None,
        };
        self.rates = Some(Rates { at: sample.now, arrived, applied, per_second });
    }

    fn judge(&self, sample: &Sample<'_>, lag: &Lag, idle_seconds: f64) -> (Status, Option<String>) {
        let limits = &self.thresholds;
        let because = |status, reason: String| (status, Some(reason));
        let Some(head) = sample.head else { return because(Status::Stalled, "the log cannot be read".into()) };
        // Before what calls for a rebuild: while one is at work, that is what it is doing.
        if *sample.worker == Worker::Reconciling {
            return because(Status::Recovering, "a reconciliation is at work".into());
        }
        if sample.outdated {
            return because(Status::RebuildNeeded, "the model was declared anew".into());
        }
        if lost_history(sample, head) {
            let reason = match sample.checkpoint.epoch {
                Some(epoch) if epoch != head.epoch => {
                    format!("the checkpoint is of log epoch {epoch}, the log's is {}", head.epoch)
                }
                _ => {
                    format!("the checkpoint {} is beyond the log's head {}", sample.checkpoint.position, head.position)
                }
            };
            return because(Status::RebuildNeeded, reason);
        }
        if let Some(reason) = sample.condemned {
            return because(Status::RebuildNeeded, reason.into());
        }
        let Some(count) = lag.lag_count else {
            return because(Status::Stalled, "the log's counts are not known".into());
        };
        let seconds = lag.lag_seconds.unwrap_or_default();
        if count > limits.replay_threshold && seconds > limits.max_lag_seconds {
            let reason = format!(
                "{count} events behind for {seconds:.1} s, over the replay threshold of {}",
                limits.replay_threshold
            );
            return because(Status::RebuildNeeded, reason);
        }
        if let Worker::Lost(reason) = sample.worker {
            return because(Status::Stalled, reason.clone());
        }
        if let Some(reason) = wrong_content(sample.content) {
            return because(Status::Stalled, reason.into());
        }
        if idle_seconds > limits.stall_seconds {
            return because(Status::Stalled, format!("{count} events behind and no progress for {idle_seconds:.1} s"));
        }
        // Hysteresis: once over a target, half of it must be reached before all is well again.
        let share = if matches!(self.status, None | Some(Status::InSync)) { 1.0 } else { 0.5 };
        if count as f64 > limits.max_lag_events as f64 * share || seconds > limits.max_lag_seconds * share {
            return because(Status::CatchingUp, format!("{count} events behind, the oldest for {seconds:.1} s"));
        }
        (Status::InSync, None)
    }
}

/// Why a model with this verdict makes no progress towards being in sync, however small its lag.
fn wrong_content(content: Content) -> Option<&'static str> {
    match content.verdict {
        Verdict::Drifted => Some("rows differ from the log and wait to be reconciled"),
        Verdict::Suspect => Some("rows may differ from the log and wait to be compared"),
        Verdict::Verified | Verdict::Unverified => None,
    }
}

fn eta(lag: &Lag, arrival_rate: Option<f64>, apply_rate: Option<f64>) -> Option<f64> {
    let lag_count = lag.lag_count? as f64;
    if lag_count == 0.0 {
        return Some(0.0);
    }
    let closing = apply_rate? - arrival_rate?;
    (closing > 0.0).then(|| lag_count / closing)
}

#[cfg(test)]
mod tests;
