//! The last stage before the log: identity, parking, expected versions, and the place each event gets.
//!
//! A pure function from arrivals and [`Facts`] to [`Writes`] and outcomes. A store reads the facts and writes the
//! writes in *one* transaction, so the answer holds however many writers there are. What a contract thinks of an
//! event was decided before (the gate); the causal buffer will stand between the two.
//!
//! Invariants:
//! - identity is checked before an expected version, and an expected version before anything is written;
//! - an event enters the log at most once, and positions and stream versions have no holes;
//! - while an entry of a key waits, every later event of that key waits behind it. An event that waits for its source
//!   waits under that source's key alone: other sources may pass it, also with events of its subject.
mod quota;
mod redrive;

pub use quota::{OverQuota, Quota, Untrusted};
pub use redrive::{Redrive, Redriven, discard, drain, edit, redrive, resume};

use crate::{
    accounting::Account,
    event::{Draft, Event},
    ids::{Digest, EventId, Position, SourceName, StreamVersion, Subject},
    quarantine::{ContractRef, Decision, Edit, Entry, EntryVersion, ParkKey, QuarantineId, Reason, Refusal, State},
    time::Timestamp,
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What was sent, as far as it concerns the intake.
#[derive(Debug, Clone)]
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
}

/// What the gate decided about an event.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It is valid in our domain.
    Admit(Draft),
    /// It waits.
    Quarantine(Refusal),
}

/// What the intake must know from the store to decide a batch.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Identities that may be known already.
    pub ids: Vec<EventId>,
    /// Keys that may be parked.
    pub keys: Vec<ParkKey>,
    /// Streams whose version is needed.
    pub subjects: Vec<Subject>,
    /// Entries whose state is needed.
    pub entries: Vec<QuarantineId>,
    /// The key whose line of waiting entries is needed, and how many of them at most.
    pub line: Option<(ParkKey, usize)>,
    /// Undeclared sources of which it is needed how much waits; where there are any, how much of all of them.
    pub untrusted: Vec<SourceName>,
}

impl Ask {
    /// What must be known to take `arrivals` in.
    pub fn for_arrivals<'a>(arrivals: impl IntoIterator<Item = &'a Arrival>) -> Self {
        let mut ask = Self::default();
        // Each once, in the order of the arrivals: a store is asked the same in every run.
        let mut keys = HashSet::new();
        let mut subjects = HashSet::new();
        for arrival in arrivals {
            ask.ids.push(arrival.sent.id);
            if arrival.is_untrusted() && !ask.untrusted.contains(&arrival.sent.source) {
                ask.untrusted.push(arrival.sent.source.clone());
            }
            if let Verdict::Admit(draft) = &arrival.verdict {
                for key in guards(&arrival.sent.source, draft) {
                    if keys.insert(key.clone()) {
                        ask.keys.push(key);
                    }
                }
                if subjects.insert(&draft.subject) {
                    ask.subjects.push(draft.subject.clone());
                }
            }
        }
        ask
    }

    /// What must be known to redrive an entry.
    pub fn for_redrive(redrive: &Redrive) -> Self {
        Self { entries: vec![redrive.id], ..Self::for_arrivals([&redrive.arrival]) }
    }

    /// What must be known to decide about an entry without its event.
    pub fn for_entry(id: QuarantineId) -> Self {
        Self { entries: vec![id], ..Self::default() }
    }

    /// What must be known to release up to `limit` entries that wait behind `key`.
    pub fn for_drain(key: &ParkKey, line: &[Redrive], limit: usize) -> Self {
        Self { line: Some((key.clone(), limit)), ..Self::for_arrivals(line.iter().map(|redrive| &redrive.arrival)) }
    }
}

/// The keys an event must wait for, if they are parked.
fn guards(source: &SourceName, draft: &Draft) -> [ParkKey; 2] {
    [ParkKey::Source(source.clone()), ParkKey::Subject(draft.event_type.clone(), draft.subject.clone())]
}

/// Where an identity is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is in the log.
    Log {
        /// Its position.
        position: Position,
        /// Its place in its stream.
        stream_version: StreamVersion,
    },
    /// It has an entry in the quarantine.
    Quarantine {
        /// The entry.
        id: QuarantineId,
        /// Why it waits.
        reason: Reason,
    },
}

/// What the store knows, read in the transaction that will write.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The position of the last event.
    pub head: Position,
    /// The number the next quarantine entry gets.
    pub next_entry: u64,
    /// Everything known of the identities asked for: each content it was seen with, and where.
    pub known: HashMap<EventId, Vec<(Digest, Place)>>,
    /// Those of the keys asked for behind which events must wait, with the first unresolved entry of each.
    pub parked: HashMap<ParkKey, QuarantineId>,
    /// The versions of the streams asked for; a missing one is empty.
    pub versions: HashMap<Subject, StreamVersion>,
    /// Where the entries asked for stand.
    pub states: HashMap<QuarantineId, Standing>,
    /// The unresolved entries of the key asked for, in order of arrival.
    pub line: Vec<(QuarantineId, Standing)>,
    /// How much of undeclared sources waits, where that was asked for.
    pub untrusted: Untrusted,
}

/// Where an entry stands: what must not have changed between looking at it and deciding about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its state.
    pub state: State,
    /// Its version.
    pub version: EntryVersion,
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
    /// The events as they were sent, of those among `events` that never were in quarantine, in order. Who keeps none
    /// takes them out before they are written.
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
        self.events.is_empty() && self.entries.is_empty() && self.changes.is_empty() && self.accounts.is_empty()
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
    /// Its place in the log, where it was admitted.
    pub position: Option<Position>,
    /// Who decided, and why.
    pub decision: Option<Decision>,
    /// When.
    pub at: Timestamp,
}

impl Change {
    fn to(id: QuarantineId, state: State, at: Timestamp) -> Self {
        Self { id, state, edit: None, refusal: None, position: None, decision: None, at }
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

/// Takes arrivals in, in their order.
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
/// let arrival = Arrival { sent, verdict: Verdict::Admit(draft), expected_version: None };
///
/// // The same event twice, for a store that is empty.
/// let facts = Facts { next_entry: 1, ..Facts::default() };
/// let (writes, outcomes) = admit(Timestamp::from_micros(0), vec![arrival.clone(), arrival], facts);
/// let (position, stream_version) = (Position(1), StreamVersion(1));
/// assert_eq!(outcomes[0], Outcome::Admitted { position, stream_version });
/// assert_eq!(outcomes[1], Outcome::Duplicate { position, stream_version });
/// assert_eq!(writes.events.len(), 1);
/// ```
pub fn admit(now: Timestamp, arrivals: Vec<Arrival>, mut facts: Facts) -> (Writes, Vec<Outcome>) {
    let mut writes = Writes::default();
    let outcomes = arrivals.into_iter().map(|arrival| admit_one(now, arrival, &mut facts, &mut writes)).collect();
    (writes, outcomes)
}

fn admit_one(now: Timestamp, arrival: Arrival, facts: &mut Facts, writes: &mut Writes) -> Outcome {
    let Arrival { mut sent, verdict, expected_version } = arrival;
    if let Some(known) = facts.known.get(&sent.id).filter(|known| !known.is_empty()) {
        let known = best_match(known, sent.digest);
        if known.is_some() {
            writes.book(&sent.source, Account::DUPLICATE);
        }
        return match known {
            Some(Place::Log { position, stream_version }) => Outcome::Duplicate { position, stream_version },
            Some(Place::Quarantine { id, reason }) => Outcome::Quarantined { id, reason, repeated: true },
            None => {
                let refusal = id_conflict(&sent, &verdict);
                quarantine(now, sent, refusal, State::Quarantined, facts, writes)
            }
        };
    }
    let draft = match verdict {
        Verdict::Quarantine(refusal) => return quarantine(now, sent, refusal, State::Quarantined, facts, writes),
        Verdict::Admit(draft) => draft,
    };
    let blocked_by = guards(&sent.source, &draft).into_iter().find(|key| facts.parked.contains_key(key));
    if let Some(expected) = expected_version {
        let actual = facts.versions.get(&draft.subject).copied().unwrap_or_default();
        if expected != actual || blocked_by.is_some() {
            return Outcome::VersionConflict { expected, actual, parked: blocked_by.is_some() };
        }
    }
    match blocked_by {
        Some(key) => {
            let refusal = held_behind(&draft, key);
            quarantine(now, sent, refusal, State::Held, facts, writes)
        }
        None => {
            writes.book(&sent.source, Account::ADMITTED);
            let raw = std::mem::take(&mut sent.raw);
            let (position, stream_version) = append(now, sent, draft, facts, writes);
            writes.raws.push(RawBody { position, raw });
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

fn quarantine(
    now: Timestamp,
    sent: Sent,
    refusal: Refusal,
    state: State,
    facts: &mut Facts,
    writes: &mut Writes,
) -> Outcome {
    let id = QuarantineId(facts.next_entry);
    let reason = refusal.reason;
    writes.book(&sent.source, Account::entered(state));
    facts.next_entry += 1;
    facts.known.entry(sent.id).or_default().push((sent.digest, Place::Quarantine { id, reason }));
    if let Some(key) = &refusal.parks {
        facts.parked.entry(key.clone()).or_insert(id);
    }
    writes.entries.push(Entry {
        id,
        event_id: sent.id,
        digest: sent.digest,
        source: sent.source,
        raw_id: sent.raw_id,
        raw: sent.raw,
        refusal,
        state,
        version: EntryVersion::FIRST,
        edits: Vec::new(),
        received_at: now,
        changed_at: now,
        position: None,
        decision: None,
    });
    Outcome::Quarantined { id, reason, repeated: false }
}

fn append(
    now: Timestamp,
    sent: Sent,
    draft: Draft,
    facts: &mut Facts,
    writes: &mut Writes,
) -> (Position, StreamVersion) {
    let position = facts.head.next();
    let version = facts.versions.entry(draft.subject.clone()).or_default();
    let stream_version = version.next();
    *version = stream_version;
    facts.head = position;
    facts.known.entry(sent.id).or_default().push((sent.digest, Place::Log { position, stream_version }));
    writes.events.push(Event {
        position,
        id: sent.id,
        source: sent.source,
        raw_id: sent.raw_id,
        stream_version,
        recorded_at: now,
        digest: sent.digest,
        draft,
    });
    (position, stream_version)
}

#[cfg(test)]
mod tests;
