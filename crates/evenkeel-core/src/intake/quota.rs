//! How much those whom nobody declared may leave in quarantine, and how much of the others may wait behind what is there.
//!
//! Whoever reaches the server may send under any name. What comes from no declared source waits for a person, whole, since it
//! may be a source that somebody forgot to declare; but only so much of it, or the disk would be theirs. Names cost nothing,
//! so there is a bound on all of them together beside the one on each.
//!
//! A declared source is not turned away for what is wrong with its events. But behind one that waits for a person its key's
//! later ones wait too, for as long as nobody comes: beyond a bound the source is told to wait itself, which keeps their order.
use super::{Arrival, Facts, Verdict, guards};
use crate::{
    ids::SourceName,
    quarantine::{ParkKey, Reason},
};
use std::collections::{BTreeMap, HashSet};

/// How many events may wait in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Of each undeclared source.
    pub per_source: u64,
    /// Of all undeclared sources together.
    pub total: u64,
    /// Of each declared source behind another entry.
    pub held: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self { per_source: 100, total: 10_000, held: 100_000 }
    }
}

/// Too much of a source waits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.said())]
pub struct OverQuota {
    /// The source.
    pub source_name: SourceName,
    /// The bound that was reached.
    pub limit: u64,
    /// What it is a bound on.
    pub bound: Bound,
}

/// What a [`Quota`] bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// What waits of an undeclared source.
    Undeclared,
    /// What waits of all undeclared sources together.
    AllUndeclared,
    /// What of a declared source waits behind other entries.
    Held,
}

impl OverQuota {
    fn said(&self) -> String {
        let Self { source_name, limit, bound } = self;
        let source = source_name.as_str();
        let whose = match bound {
            Bound::Held => {
                return format!(
                    "{limit} events of {source:?} wait in quarantine behind others, which is as many as may; those of other keys \
                     are taken"
                );
            }
            Bound::AllUndeclared => "sources like that",
            Bound::Undeclared => "it",
        };
        format!(
            "no declared source matches {source:?}, and {limit} events of {whose} wait in quarantine, which is as many as may"
        )
    }
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
            if is_known(arrival, facts) || !seen.insert((sent.id, sent.digest)) {
                continue;
            }
            let own = untrusted.by_source.entry(sent.source.clone()).or_default();
            let over = |limit, bound| Err(OverQuota { source_name: sent.source.clone(), limit, bound });
            if *own >= self.per_source {
                return over(self.per_source, Bound::Undeclared);
            }
            if untrusted.total >= self.total {
                return over(self.total, Bound::AllUndeclared);
            }
            *own += 1;
            untrusted.total += 1;
        }
        let held = self.hold(arrivals, facts)?;
        facts.held.extend(held);
        facts.untrusted = untrusted;
        Ok(())
    }

    /// How much of each source would wait behind others, of those of which more does than before.
    fn hold(self, arrivals: &[Arrival], facts: &Facts) -> Result<BTreeMap<SourceName, u64>, OverQuota> {
        let (mut held, mut parked, mut seen) = (BTreeMap::new(), HashSet::new(), HashSet::new());
        for arrival in arrivals {
            let sent = &arrival.sent;
            let draft = match &arrival.verdict {
                Verdict::Quarantine(refusal) => {
                    parked.extend(refusal.parks.as_ref().filter(|_| !is_known(arrival, facts)));
                    continue;
                }
                Verdict::Admit(draft) => draft,
            };
            if facts.parked.is_empty() && parked.is_empty() {
                continue;
            }
            let waits = |key: &ParkKey| facts.parked.contains_key(key) || parked.contains(key);
            // One that names a version is refused rather than held.
            let is_held = arrival.expected_version.is_none() && guards(&sent.source, draft).iter().any(waits);
            if !is_held || is_known(arrival, facts) || !seen.insert((sent.id, sent.digest)) {
                continue;
            }
            let before = facts.held.get(&sent.source).copied().unwrap_or_default();
            let own: &mut u64 = held.entry(sent.source.clone()).or_insert(before);
            if *own >= self.held {
                let source_name = sent.source.clone();
                return Err(OverQuota { source_name, limit: self.held, bound: Bound::Held });
            }
            *own += 1;
        }
        Ok(held)
    }
}

fn is_known(arrival: &Arrival, facts: &Facts) -> bool {
    let known = facts.known.get(&arrival.sent.id);
    known.is_some_and(|known| known.iter().any(|(digest, _)| *digest == arrival.sent.digest))
}
