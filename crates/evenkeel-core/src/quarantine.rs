//! What waits outside the log: entries, their reasons and states, and the keys they park.
//!
//! Not here: how an entry is taken in or released ([`crate::intake`]), and events parked *after* the log
//! ([`crate::fold::Park`]).
mod edit;

pub use edit::{Edit, MAX_EDITS};

use crate::{
    clock::Hlc,
    event::Saw,
    ids::{Digest, EventId, EventType, Position, SourceName, Subject},
    intake::SourceDot,
    time::Timestamp,
    words::words,
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The number of an entry of the gate's quarantine, in order of arrival. Written `q-17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuarantineId(pub u64);

impl fmt::Display for QuarantineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "q-{}", self.0)
    }
}

impl FromStr for QuarantineId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let id = text.strip_prefix("q-").and_then(|number| number.parse().ok()).map(Self);
        // Only the text that this id is written as: no sign, no leading zeros.
        id.filter(|id| id.to_string() == text).ok_or_else(|| BadId(text.to_owned()))
    }
}

/// Text that names no quarantine entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a quarantine id such as q-17, found {0:?}")]
pub struct BadId(pub String);

/// How often an entry has changed: 1 when it is new, one more with every edit and every decision about it. Who decides
/// names the version that was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryVersion(pub u64);

impl EntryVersion {
    /// The version of a new entry.
    pub const FIRST: Self = Self(1);

    /// The version after one more change.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for EntryVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

words! {
    /// Why an event waits.
    Reason {
        /// No declared source matches.
        UntrustedSource = "untrusted_source",
        /// No contract takes this source and type.
        NoContract = "no_contract",
        /// Not a CloudEvent that can be carried exactly.
        Malformed = "malformed",
        /// The raw data does not fit the contract's schema.
        Schema = "schema",
        /// A field could not be mapped.
        Mapping = "mapping",
        /// The translated event breaks an invariant.
        Invariant = "invariant",
        /// The identity is known with other content.
        IdConflict = "id_conflict",
        /// The stamp is too far in the future.
        ClockSkew = "clock_skew",
        /// The vector clock has more entries than allowed.
        ClockTooLarge = "clock_too_large",
        /// What it waited for did not come in time.
        CausalTimeout = "causal_timeout",
        /// Too much was waiting.
        CausalOverflow = "causal_overflow",
        /// A model's fold could not apply it.
        ProjectionError = "projection_error",
        /// An earlier event of its key waits.
        HeldBehind = "held_behind",
    }
}

words! {
    /// Where an entry is in its life.
    State {
        /// Waits for a person.
        Quarantined = "quarantined",
        /// Waits behind an entry of the same key.
        Held = "held",
        /// Got into the log after all.
        Admitted = "admitted",
        /// Given up by a person.
        Discarded = "discarded",
    }
}

words! {
    /// What else waits when an event is quarantined.
    OnQuarantine {
        /// Later events of its (contract, subject).
        ParkKey = "park_key",
        /// Nothing.
        Skip = "skip",
        /// Everything of its source.
        HaltSource = "halt_source",
    }
}

/// What an entry keeps waiting behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkKey {
    /// The events of one subject under one contract.
    Subject(EventType, Subject),
    /// All events of one source.
    Source(SourceName),
}

/// The contract that refused, or under which an entry waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractRef {
    /// The contract's name.
    pub name: EventType,
    /// Its version.
    pub version: u32,
}

/// Why the gate did not admit an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of reason.
    pub reason: Reason,
    /// The reason in words, for a person.
    pub detail: String,
    /// JSON pointer into the raw event, where one place is to blame.
    pub pointer: Option<String>,
    /// The contract that applied, if one did.
    pub contract: Option<ContractRef>,
    /// The subject, if it could be read.
    pub subject: Option<Subject>,
    /// What waits behind it.
    pub parks: Option<ParkKey>,
}

/// An event in quarantine, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number.
    pub id: QuarantineId,
    /// The event's identity.
    pub event_id: EventId,
    /// Digest of its canonical bytes, as it arrived.
    pub digest: Digest,
    /// Who sent it.
    pub source: SourceName,
    /// What its source calls it.
    pub raw_id: String,
    /// The raw event in the CloudEvents JSON format, as it arrived.
    pub raw: Vec<u8>,
    /// Why it waits. For a held entry `parks` names the key it waits for.
    pub refusal: Refusal,
    /// Where it is in its life.
    pub state: State,
    /// How often it has changed.
    pub version: EntryVersion,
    /// What persons have changed about the event, in this order. `raw` stays as it arrived.
    pub edits: Vec<Edit>,
    /// When it was received.
    pub received_at: Timestamp,
    /// When its state last changed.
    pub changed_at: Timestamp,
    /// Its place in the log, once admitted.
    pub position: Option<Position>,
    /// Who decided about it last, and why.
    pub decision: Option<Decision>,
    /// Its stamp of when it was received.
    pub hlc: Hlc,
    /// The first of the events that it waits for: once that was passed, the entry is sent through again unasked.
    pub recall: Option<SourceDot>,
    /// What its writer had seen of the log, where it was sent with a consistency token.
    pub saw: Option<Saw>,
}

/// A person's word on an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Who.
    pub author: String,
    /// Why.
    pub note: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_only_as_it_is_written() {
        assert_eq!("q-17".parse(), Ok(QuarantineId(17)));
        assert_eq!(QuarantineId(17).to_string(), "q-17");
        for bad in ["", "q-", "17", "Q-17", "q-+17", "q-017", "q--1", "q-18446744073709551616"] {
            assert_eq!(bad.parse::<QuarantineId>(), Err(BadId(bad.into())));
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
        }
        assert!("no_such".parse::<State>().unwrap_err().to_string().contains("quarantined, held, admitted, discarded"));
    }
}
