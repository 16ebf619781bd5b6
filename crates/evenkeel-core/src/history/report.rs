//! What a check came to: what was violated, by whom, in which lines, and how much was looked at.
//!
//! Not here: deciding that ([`super::writes`], [`super::reads`]).
use crate::words::words;
use serde::Serialize;
use std::collections::BTreeMap;

/// Findings that are kept; all are counted. A history that is wrong throughout would otherwise be kept whole.
pub const KEPT: usize = 1000;

words! {
    /// A guarantee that was not kept.
    Kind {
        /// What was acknowledged, or seen, is not there.
        Lost = "lost",
        /// An event is there more than once.
        Duplicate = "duplicate",
        /// Positions contradict what came before what, or a row was folded in another order.
        Order = "order",
        /// Something is there that was refused, or that nobody wrote.
        Phantom = "phantom",
        /// A read lacks what its session (or a token handed to it) had written.
        ReadYourWrites = "read_your_writes",
        /// A read lacks what its session (or a token handed to it) had read.
        MonotonicReads = "monotonic_reads",
        /// A write stands before an earlier one of its session.
        MonotonicWrites = "monotonic_writes",
        /// A write stands before something that its session had read.
        WritesFollowReads = "writes_follow_reads",
        /// A strong read lacks what was acknowledged or seen before it began.
        StrongRead = "strong_read",
    }
}

/// One violation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was violated.
    pub kind: Kind,
    /// Whose operation shows it; none where only the log does.
    pub session: Option<String>,
    /// The key it is about.
    pub key: Option<String>,
    /// The lines that contradict each other, in order.
    pub lines: Vec<u64>,
    /// What had to be.
    pub expected: String,
    /// What was.
    pub seen: String,
}

/// What a check came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing was violated.
    pub holds: bool,
    /// Sessions there were.
    pub sessions: u64,
    /// Events that were written or tried to be.
    pub writes: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Events of the log that were recorded.
    pub log_events: u64,
    /// How often each guarantee was violated, by its word; those that were not are left out.
    pub violations: BTreeMap<&'static str, u64>,
    /// The violations, by line; the first [`KEPT`] of them.
    pub findings: Vec<Finding>,
    /// Lines read and comparisons made: what the check's time goes by.
    #[serde(skip)]
    pub steps: u64,
}

/// Findings as they are made.
#[derive(Debug, Default)]
pub(super) struct Findings {
    counts: BTreeMap<&'static str, u64>,
    kept: Vec<Finding>,
}

impl Findings {
    pub(super) fn add(&mut self, mut finding: Finding) {
        *self.counts.entry(finding.kind.as_str()).or_default() += 1;
        // 0 stands for no line: nobody said so.
        finding.lines.retain(|line| *line > 0);
        finding.lines.sort_unstable();
        finding.lines.dedup();
        if self.kept.len() < KEPT {
            self.kept.push(finding);
        }
    }

    pub(super) fn into_report(mut self) -> Report {
        self.kept.sort_by_key(|finding| finding.lines.last().copied());
        Report { holds: self.counts.is_empty(), violations: self.counts, findings: self.kept, ..Report::default() }
    }
}
