//! How often a model may be reconciled unasked: what happens again and again is done more calmly.
//!
//! A model near a threshold, or one that somebody else keeps writing to, would otherwise be reconciled without end. Three
//! things keep that down: after a success there is a quiet time; a rebuild takes at most a share of the time; and within
//! an hour there are only so many. What a person asks for is not held back, and neither is a row that the projector
//! comes upon. Doing it, and waiting, is the runtime's.
use std::{collections::VecDeque, time::Duration};

/// The span in which reconciliations are counted.
pub const SPAN: Duration = Duration::from_secs(3600);

/// After a rebuild the next one waits so many times as long as it took.
pub const REBUILD_SHARE: u32 = 10;

/// The longest that a rebuild keeps the next one waiting.
pub const LONGEST_REST: Duration = Duration::from_secs(600);

/// How often is often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The quiet time after a success.
    pub quiet: Duration,
    /// The most reconciliations within an hour; 0 for none at all.
    pub max_per_hour: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { quiet: Duration::from_secs(1), max_per_hour: 60 }
    }
}

/// A reconciliation that was done unasked, whatever came of it. Times are of one monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// When it began.
    pub began: Duration,
    /// When it ended.
    pub ended: Duration,
    /// Whether it was a rebuild.
    pub rebuilt: bool,
    /// Whether the model was well afterwards. What failed is tried again with a back-off of its own.
    pub helped: bool,
}

/// Why a reconciliation has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The last one has just brought the model back.
    Quiet,
    /// The last rebuild took long, and was not long ago.
    Rebuilt,
    /// There were as many within an hour as there may be.
    TooMany,
}

/// A reconciliation that has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Until when, by the same clock; `None` for ever.
    pub until: Option<Duration>,
    /// Why.
    pub why: Why,
}

/// What was done unasked for one model lately.
///
/// ```
/// use evenkeel_core::pace::{Limits, Pace, Run, Why};
/// use std::time::Duration;
///
/// let (limits, s) = (Limits::default(), Duration::from_secs);
/// let mut pace = Pace::default();
/// assert_eq!(pace.wait(&limits, s(5), false), None);
/// pace.ran(Run { began: s(5), ended: s(6), rebuilt: false, helped: true });
/// let wait = pace.wait(&limits, s(6), false);
/// assert_eq!(wait.map(|wait| (wait.until, wait.why)), Some((Some(s(7)), Why::Quiet)));
/// assert_eq!(pace.wait(&limits, s(7), false), None);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// In the order in which they began.
    runs: VecDeque<Run>,
    /// The last rebuild.
    rebuilt: Option<Run>,
}

impl Pace {
    /// Takes note of one that was done. They come in order.
    pub fn ran(&mut self, run: Run) {
        while self.runs.front().is_some_and(|first| first.began.saturating_add(SPAN) <= run.began) {
            self.runs.pop_front();
        }
        self.runs.push_back(run);
        if run.rebuilt {
            self.rebuilt = Some(run);
        }
    }

    /// Whether the next one, a rebuild or not, has to wait; `None` where it may begin now. The longest wait there is.
    pub fn wait(&self, limits: &Limits, now: Duration, rebuild: bool) -> Option<Wait> {
        let quiet = self.runs.back().filter(|last| last.helped);
        let quiet = quiet.map(|last| (Some(last.ended.saturating_add(limits.quiet)), Why::Quiet));
        let rest = |last: Run| last.ended.saturating_sub(last.began).saturating_mul(REBUILD_SHARE).min(LONGEST_REST);
        let rebuilt = self.rebuilt.filter(|last| rebuild && last.helped);
        let rebuilt = rebuilt.map(|last| (Some(last.ended.saturating_add(rest(last))), Why::Rebuilt));
        let is_due = |until: Option<Duration>| until.is_some_and(|until| until <= now);
        let waits = [quiet, rebuilt, self.too_many(limits)].into_iter().flatten().filter(|(until, _)| !is_due(*until));
        let longest = waits.max_by_key(|(until, _)| until.unwrap_or(Duration::MAX));
        longest.map(|(until, why)| Wait { until, why })
    }

    /// When the oldest of the last `max_per_hour` is an hour ago.
    fn too_many(&self, limits: &Limits) -> Option<(Option<Duration>, Why)> {
        let max = usize::try_from(limits.max_per_hour).unwrap_or(usize::MAX);
        if max == 0 {
            return Some((None, Why::TooMany));
        }
        let oldest = self.runs.len().checked_sub(max).and_then(|index| self.runs.get(index))?;
        Some((Some(oldest.began.saturating_add(SPAN)), Why::TooMany))
    }
}

#[cfg(test)]
mod tests;
