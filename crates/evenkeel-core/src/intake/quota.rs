//! How much those whom nobody declared may leave in quarantine.
//!
//! Whoever reaches the server may send under any name. What comes from no declared source waits for a person, whole, since it
//! may be a source that somebody forgot to declare; but only so much of it, or the disk would be theirs. Names cost nothing,
//! so there is a bound on all of them together beside the one on each.
use super::{Arrival, Facts, Verdict};
use crate::{ids::SourceName, quarantine::Reason};
use std::collections::{BTreeMap, HashSet};

/// How many entries of undeclared sources may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Of each of them.
    pub per_source: u64,
    /// Of all of them together.
    pub total: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self { per_source: 100, total: 10_000 }
    }
}

/// Too much of an undeclared source waits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no declared source matches {:?}, and {limit} events of {} wait in quarantine, which is as many as may",
    source_name.as_str(),
    if *of_all { "sources like that" } else { "it" }
)]
pub struct OverQuota {
    /// The source.
    pub source_name: SourceName,
    /// The bound that was reached.
    pub limit: u64,
    /// Whether it is the bound on all undeclared sources together.
    pub of_all: bool,
}

/// How much of undeclared sources waits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Untrusted {
    /// Of those asked for, by source.
    pub by_source: BTreeMap<SourceName, u64>,
    /// Of all of them; 0 where none was asked for.
    pub total: u64,
}

impl Arrival {
    /// Whether it comes from no declared source.
    pub fn is_untrusted(&self) -> bool {
        matches!(&self.verdict, Verdict::Quarantine(refusal) if refusal.reason == Reason::UntrustedSource)
    }
}

impl Quota {
    /// Whether arrivals that are taken together or not at all may be taken; where they may, what they use up is noted in the
    /// facts for those that come after them. What is known already needs no room.
    ///
    /// # Errors
    /// Whose quota is used up. The facts are as they were then.
    pub fn take(self, arrivals: &[Arrival], facts: &mut Facts) -> Result<(), OverQuota> {
        let mut untrusted = facts.untrusted.clone();
        let mut seen = HashSet::new();
        for arrival in arrivals.iter().filter(|arrival| arrival.is_untrusted()) {
            let sent = &arrival.sent;
            let known = facts.known.get(&sent.id).is_some_and(|known| known.iter().any(|(d, _)| *d == sent.digest));
            if known || !seen.insert((sent.id, sent.digest)) {
                continue;
            }
            let own = untrusted.by_source.entry(sent.source.clone()).or_default();
            let over = |limit, of_all| Err(OverQuota { source_name: sent.source.clone(), limit, of_all });
            if *own >= self.per_source {
                return over(self.per_source, false);
            }
            if untrusted.total >= self.total {
                return over(self.total, true);
            }
            *own += 1;
            untrusted.total += 1;
        }
        facts.untrusted = untrusted;
        Ok(())
    }
}
