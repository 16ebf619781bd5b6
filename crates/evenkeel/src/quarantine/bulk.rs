//! Decisions about all entries of the gate's quarantine that a filter names, one after the other, each for itself.
//!
//! What becomes of each is decided as if it were the only one ([`super::redrive`], [`super::discard`]).
use super::{Word, again, discard, redrive};
use crate::Clock;
use evenkeel_contract::gate::Gate;
use evenkeel_core::{
    intake::{Redriven, Verdict},
    quarantine::{Decision, Entry, QuarantineId, Reason, State},
};
use evenkeel_store::{EntryFilter, Log, StoreError};

/// What is to be done with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Sent through the gate again.
    Redrive,
    /// Given up.
    Discard,
}

/// What became of one entry, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The entry.
    pub id: QuarantineId,
    /// What became of it.
    pub outcome: Outcome,
    /// How many events that waited behind it went on.
    pub released: u64,
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was decided about; [`Redriven::Changed`] and [`Redriven::NotPossible`] where somebody else was faster.
    Decided(Redriven),
    /// A trial: the gate would admit it. It might still wait behind an earlier entry of its key.
    WouldAdmit,
    /// A trial: the gate would refuse it again.
    WouldRefuse(Reason, String),
    /// A trial: it would be given up.
    WouldDiscard,
}

/// Decides about the entries in state `quarantined` that `filter` names, in order of arrival, as they are when they are
/// read. Without a `decision` it is a trial, and nothing is written.
///
/// # Errors
/// Where the log cannot be read or written. What was decided until then stays decided: to ask again goes on from there.
pub fn decide_all(
    log: &dyn Log,
    gate: &Gate,
    clock: &dyn Clock,
    filter: &EntryFilter,
    verb: Verb,
    decision: Option<&Decision>,
) -> Result<Vec<Done>, StoreError> {
    let filter = EntryFilter { state: Some(State::Quarantined), ..filter.clone() };
    let one = |entry: Entry| {
        let id = entry.id;
        let Some(decision) = decision else {
            return Ok(Done { id, outcome: trial(gate, &entry, verb), released: 0 });
        };
        let word = Word { decision: decision.clone(), version: Some(entry.version) };
        let decided = match verb {
            Verb::Redrive => redrive(log, gate, clock, id, word),
            Verb::Discard => discard(log, gate, clock, id, word),
        }?;
        Ok(Done { id, outcome: Outcome::Decided(decided.redriven), released: decided.released })
    };
    log.entries(&filter)?.into_iter().map(one).collect()
}

fn trial(gate: &Gate, entry: &Entry, verb: Verb) -> Outcome {
    if verb == Verb::Discard {
        return Outcome::WouldDiscard;
    }
    match again(gate, entry).arrival.verdict {
        Verdict::Admit(_) => Outcome::WouldAdmit,
        Verdict::Quarantine(refusal) => Outcome::WouldRefuse(refusal.reason, refusal.detail),
    }
}
