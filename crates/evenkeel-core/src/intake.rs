//! The last stage before the log: identity, parking, expected versions, and the place each event gets.
//!
//! A pure function from arrivals and [`Facts`] to [`Writes`] and outcomes. A store reads the facts and writes the
//! writes in *one* transaction, so the answer holds however many writers there are. What a contract thinks of an
//! event was decided before (the gate). Events that their source counts are delivered in causal order here.
//!
//! Invariants:
//! - identity is checked before an expected version, and an expected version before anything is written;
//! - an event enters the log at most once, and positions and stream versions have no holes;
//! - while an entry of a key waits, every later event of that key waits behind it. An event that waits for its source
//!   waits under that source's key alone: other sources may pass it, also with events of its subject;
//! - stamps grow in the order in which they are given, and the greatest is written with what it was given to.
mod causal;
mod clocks;
mod facts;
mod quota;
mod redrive;
mod work;

pub use causal::{Passed, Skip, Waiting, expire, skip};
pub use clocks::{
    BadClocks, CausalLimits, Causes, Clocks, HLC, LogClock, MAX_ENTRIES, MAX_SEQ, Seen, SourceDot, VCLOCK,
    canonical_vclock,
};
pub use facts::{Ask, Facts, Place, Standing};
pub use quota::{Bound, OverQuota, Quota, Untrusted};
pub use redrive::{Redrive, Redriven, discard, drain, edit, recall, redrive, resume};
pub use work::Scene;

use crate::{
    accounting::Account,
    event::{Draft, Event},
    ids::{Digest, EventId, Position, SourceName, StreamVersion},
    quarantine::{ContractRef, Decision, Edit, Entry, ParkKey, QuarantineId, Reason, Refusal, State},
    time::Timestamp,
};
use std::collections::BTreeMap;
use work::{Origin, Work};

/// What was sent, as far as it concerns the intake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The event's identity.
    pub id: EventId,
    /// Digest of its canonical bytes.
    pub digest: Digest,
    /// Who sent it.
    pub source: SourceName,
    /// What its source calls it.
    pub raw_id: String,
    /// The raw event in the CloudEvents JSON format.
    pub raw: Vec<u8>,
}

/// An event with the gate's verdict on it.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// What was sent.
    pub sent: Sent,
    /// What the gate decided.
    pub verdict: Verdict,
    /// The version its stream must have for it to be appended.
    pub expected_version: Option<StreamVersion>,
    /// The clocks it was sent with; none of a sender who is not trusted.
    pub clocks: Clocks,
}

/// What the gate decided about an event.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It is valid in our domain.
    Admit(Draft),
    /// It waits.
    Quarantine(Refusal),
}

/// The keys an event must wait for, if they are parked.
fn guards(source: &SourceName, draft: &Draft) -> [ParkKey; 2] {
    [ParkKey::Source(source.clone()), ParkKey::Subject(draft.event_type.clone(), draft.subject.clone())]
}

/// What the store must write, all or nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Writes {
    /// Events to append; their positions follow the head.
    pub events: Vec<Event>,
    /// New quarantine entries.
    pub entries: Vec<Entry>,
    /// Changes of existing entries.
    pub changes: Vec<Change>,
    /// What this changes in the books on each source.
    pub accounts: BTreeMap<SourceName, Account>,
    /// The log's clock as it is then, where it goes on.
    pub clock: Option<LogClock>,
    /// Events that do not wait any more, by their marks; some may never have been written.
    pub released: Vec<SourceDot>,
    /// Events that wait, each in the place of what waited under its mark before. Written after what is released.
    pub waits: Vec<Waiting>,
    /// How far the sources are whose events were passed or declared not to come.
    pub passed: BTreeMap<SourceName, Passed>,
    /// What persons declared not to come.
    pub skips: Vec<Skip>,
    /// The events as they were sent, of those among `events` that never were in quarantine, in order. None where they
    /// are not to be kept ([`Scene::keep_raw`]).
    pub raws: Vec<RawBody>,
}

/// An admitted event as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBody {
    /// Where it is in the log.
    pub position: Position,
    /// It in the CloudEvents JSON format.
    pub raw: Vec<u8>,
}

impl Writes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Enters into the books what became of an event of `source`.
    fn book(&mut self, source: &SourceName, entry: Account) {
        match self.accounts.get_mut(source) {
            Some(account) => *account += entry,
            None if entry == Account::NOTHING => {}
            None => drop(self.accounts.insert(source.clone(), entry)),
        }
    }
}

/// A change of a quarantine entry, which makes its version the next one.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The entry.
    pub id: QuarantineId,
    /// Its new state.
    pub state: State,
    /// What was changed about its event, after what was changed before.
    pub edit: Option<Edit>,
    /// Its new reason, where the gate gave another one.
    pub refusal: Option<Refusal>,
    /// With a new reason: the first of the events it waits for, if it waits for any.
    pub recall: Option<SourceDot>,
    /// Its place in the log, where it was admitted.
    pub position: Option<Position>,
    /// Who decided, and why.
    pub decision: Option<Decision>,
    /// When.
    pub at: Timestamp,
}

impl Change {
    fn to(id: QuarantineId, state: State, at: Timestamp) -> Self {
        Self { id, state, edit: None, refusal: None, recall: None, position: None, decision: None, at }
    }
}

/// What became of one arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the log.
    Admitted {
        /// Its position.
        position: Position,
        /// Its place in its stream.
        stream_version: StreamVersion,
    },
    /// It was in the log before.
    Duplicate {
        /// Its position.
        position: Position,
        /// Its place in its stream.
        stream_version: StreamVersion,
    },
    /// It waits for what it depends on.
    Waiting {
        /// The last event it needs of each source of which it needs one.
        waits_for: Vec<SourceDot>,
        /// Whether it waited before.
        repeated: bool,
    },
    /// It waits in quarantine.
    Quarantined {
        /// Its entry.
        id: QuarantineId,
        /// Why it waits.
        reason: Reason,
        /// Whether it waited there before.
        repeated: bool,
    },
    /// Its stream has another version than expected, and nothing was written.
    VersionConflict {
        /// The version expected.
        expected: StreamVersion,
        /// The version found.
        actual: StreamVersion,
        /// Whether events of its key wait in quarantine, so that no version can be relied on.
        parked: bool,
    },
}

/// Takes arrivals in, in their order; they are those of one request.
///
/// ```
/// use evenkeel_core::{Digest, Draft, EventId, Position, StreamVersion, Timestamp, intake::*, json::Value};
/// let draft = Draft {
///     event_type: "order_created".into(),
///     contract_version: 1,
///     subject: "o-1".into(),
///     time: None,
///     extensions: Default::default(),
///     data: Value::Null,
/// };
/// let (id, digest) = (EventId::of("shop", "1"), Digest::of(b"{}"));
/// let sent = Sent { id, digest, source: "shop".into(), raw_id: "1".into(), raw: b"{}".to_vec() };
/// let arrival = Arrival { sent, verdict: Verdict::Admit(draft), expected_version: None, clocks: Clocks::default() };
///
/// // The same event twice, for a store that is empty.
/// let facts = Facts { next_entry: 1, ..Facts::default() };
/// let (writes, outcomes) = admit(Timestamp::from_micros(0), vec![arrival.clone(), arrival], facts);
/// let (position, stream_version) = (Position(1), StreamVersion(1));
/// assert_eq!(outcomes[0], Outcome::Admitted { position, stream_version });
/// assert_eq!(outcomes[1], Outcome::Duplicate { position, stream_version });
/// assert_eq!(writes.events.len(), 1);
/// ```
pub fn admit<'s>(scene: impl Into<Scene<'s>>, arrivals: Vec<Arrival>, facts: Facts) -> (Writes, Vec<Outcome>) {
    let (writes, mut outcomes) = admit_requests(scene, vec![arrivals], facts);
    (writes, outcomes.pop().unwrap_or_default())
}

/// As [`admit`], for several requests one after the other.
pub fn admit_requests<'s>(
    scene: impl Into<Scene<'s>>,
    requests: Vec<Vec<Arrival>>,
    facts: Facts,
) -> (Writes, Vec<Vec<Outcome>>) {
    let mut work = Work::new(scene.into(), facts);
    let mut filed = Vec::with_capacity(requests.len());
    for arrivals in requests {
        work.begin_request();
        let mut of_request = Vec::with_capacity(arrivals.len());
        for arrival in arrivals {
            let id = arrival.sent.id;
            of_request.push((id, admit_one(arrival, &mut work)));
            work.run();
        }
        filed.push(of_request);
    }
    // What came after it may have been what it waited for.
    let last = |(id, outcome): (EventId, Outcome)| match outcome {
        Outcome::Waiting { .. } => work.became(id).cloned().unwrap_or(outcome),
        decided => decided,
    };
    let outcomes = filed.into_iter().map(|of_request| of_request.into_iter().map(last).collect()).collect();
    (work.finish(), outcomes)
}

fn admit_one(arrival: Arrival, work: &mut Work<'_>) -> Outcome {
    let Arrival { sent, verdict, expected_version, mut clocks } = arrival;
    if let Some(known) = work.facts.known.get(&sent.id).filter(|known| !known.is_empty()) {
        let Some(place) = best_match(known, sent.digest) else {
            let refusal = id_conflict(&sent, &verdict);
            work.hear(&mut clocks);
            return work.quarantine_void(sent, refusal, State::Quarantined, &clocks);
        };
        work.writes.book(&sent.source, Account::DUPLICATE);
        return match place {
            Place::Log { position, stream_version } => Outcome::Duplicate { position, stream_version },
            Place::Quarantine { id, reason } => Outcome::Quarantined { id, reason, repeated: true },
            Place::Waiting => Outcome::Waiting { waits_for: work.unmet_of(&sent.source, &clocks), repeated: true },
        };
    }
    work.hear(&mut clocks);
    let judged = match verdict {
        Verdict::Quarantine(refusal) => Err((refusal, State::Quarantined)),
        Verdict::Admit(draft) => match clocks.hlc.and_then(|hlc| work.skewed(hlc)) {
            Some(detail) => Err((clock_skew(&draft, detail), State::Quarantined)),
            None => Ok(draft),
        },
    };
    let draft = match judged {
        Ok(draft) => draft,
        Err((refusal, state)) => return work.quarantine_void(sent, refusal, state, &clocks),
    };
    let blocked_by = guards(&sent.source, &draft).into_iter().find(|key| work.facts.parked.contains_key(key));
    let unmet = work.unmet_of(&sent.source, &clocks);
    if let Some(expected) = expected_version {
        let actual = work.facts.versions.get(&draft.subject).copied().unwrap_or_default();
        // By the time that it could be appended, its stream may have any version.
        let parked = blocked_by.is_some() || !unmet.is_empty();
        if expected != actual || parked {
            return Outcome::VersionConflict { expected, actual, parked };
        }
    }
    if let Some(key) = blocked_by {
        let refusal = held_behind(&draft, key);
        return work.quarantine_void(sent, refusal, State::Held, &clocks);
    }
    match clocks.causes.take() {
        Some(causes) => work.offer(sent, draft, *causes, &clocks),
        None => {
            work.writes.book(&sent.source, Account::ADMITTED);
            let (position, stream_version) = work.append(sent, draft, &clocks, Origin::Sent);
            Outcome::Admitted { position, stream_version }
        }
    }
}

/// Of the places where an identity is known with this content the log comes first.
fn best_match(known: &[(Digest, Place)], digest: Digest) -> Option<Place> {
    let same = || known.iter().filter(|(d, _)| *d == digest).map(|(_, place)| *place);
    same().find(|place| matches!(place, Place::Log { .. })).or_else(|| same().next())
}

/// An id names one event for ever. A conflict parks nothing: the first event of that id was taken.
fn id_conflict(sent: &Sent, verdict: &Verdict) -> Refusal {
    let (contract, subject) = match verdict {
        // Who is not trusted is believed nothing, not even whose id it is; and there must not be a way round the quota.
        Verdict::Quarantine(refusal) if refusal.reason == Reason::UntrustedSource => return refusal.clone(),
        Verdict::Admit(draft) => (Some(contract_of(draft)), Some(draft.subject.clone())),
        Verdict::Quarantine(refusal) => (refusal.contract.clone(), refusal.subject.clone()),
    };
    Refusal {
        reason: Reason::IdConflict,
        detail: format!("{} has already sent an event with the id {:?} and other content", sent.source, sent.raw_id),
        pointer: Some("/id".into()),
        contract,
        subject,
        parks: None,
    }
}

fn contract_of(draft: &Draft) -> ContractRef {
    ContractRef { name: draft.event_type.clone(), version: draft.contract_version }
}

fn held_behind(draft: &Draft, key: ParkKey) -> Refusal {
    let detail = match &key {
        ParkKey::Subject(contract, subject) => format!("an earlier {contract} of {subject:?} waits in quarantine"),
        ParkKey::Source(source) => format!("the source {source} is halted by an event in quarantine"),
    };
    Refusal {
        reason: Reason::HeldBehind,
        detail,
        pointer: None,
        contract: Some(contract_of(draft)),
        subject: Some(draft.subject.clone()),
        parks: Some(key),
    }
}

/// A stamp from the future would win against every write until then.
fn clock_skew(draft: &Draft, detail: String) -> Refusal {
    Refusal {
        reason: Reason::ClockSkew,
        detail,
        pointer: Some(format!("/{HLC}")),
        contract: Some(contract_of(draft)),
        subject: Some(draft.subject.clone()),
        parks: None,
    }
}

#[cfg(test)]
mod tests;
