//! What a decision asks of the store, and what it is told.
//!
//! What follows from it is decided in the rest of the intake; how it is found is a store's business.
use super::{Arrival, Causes, LogClock, Passed, Redrive, SourceDot, Untrusted, Verdict, Waiting, guards};
use crate::{
    clock::Hlc,
    ids::{Digest, EventId, Position, ReplicaName, SourceName, StreamVersion, Subject},
    quarantine::{EntryVersion, ParkKey, QuarantineId, Reason, State},
    time::Timestamp,
};
use std::collections::{BTreeMap, HashMap, HashSet};

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
    /// Sources of which it is needed how many of their events were passed.
    pub passed: Vec<SourceName>,
    /// Marks of which it is needed whether there is an event.
    pub dots: Vec<SourceDot>,
    /// Marks of which the stamp is needed of the last event up to there.
    pub stamps: Vec<SourceDot>,
    /// Events that wait for one of this source, by its numbers: after the first, up to the second.
    pub woken: Option<(SourceName, u64, u64)>,
    /// Events that wait since then or longer, and how many of them at most, the oldest first.
    pub expired: Option<(Timestamp, usize)>,
    /// Numbers of this source, from the first to the last, of which it is needed which events wait.
    pub standing: Option<(SourceName, u64, u64)>,
    /// Undeclared sources of which it is needed how much waits; where there are any, how much of all of them.
    pub untrusted: Vec<SourceName>,
    /// Sources of which it is needed how much waits behind other entries.
    pub held: Vec<SourceName>,
}

impl Ask {
    /// What must be known to take `arrivals` in.
    pub fn for_arrivals<'a>(arrivals: impl IntoIterator<Item = &'a Arrival>) -> Self {
        let mut ask = Self::default();
        // Each once, in the order of the arrivals: a store is asked the same in every run.
        let mut keys = HashSet::new();
        let mut subjects = HashSet::new();
        let mut sources = HashSet::new();
        let mut held = HashSet::new();
        for arrival in arrivals {
            ask.ids.push(arrival.sent.id);
            if arrival.is_untrusted() && !ask.untrusted.contains(&arrival.sent.source) {
                ask.untrusted.push(arrival.sent.source.clone());
            }
            if let Some(causes) = &arrival.clocks.causes {
                ask.about(&arrival.sent.source, causes, &mut sources);
            }
            if let Verdict::Admit(draft) = &arrival.verdict {
                if held.insert(&arrival.sent.source) {
                    ask.held.push(arrival.sent.source.clone());
                }
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

    /// Adds what must be known of an event of `source` with these causes.
    pub(super) fn about(&mut self, source: &SourceName, causes: &Causes, known: &mut HashSet<SourceName>) {
        for name in std::iter::once(source).chain(causes.knows.iter().map(|dot| &dot.source)) {
            if known.insert(name.clone()) {
                self.passed.push(name.clone());
            }
        }
        self.dots.push(SourceDot::new(source.clone(), causes.seq));
        self.stamps.push(SourceDot::new(source.clone(), causes.seq - 1));
        self.stamps.extend(causes.knows.iter().cloned());
    }

    /// What must be known to see whether events have waited too long.
    pub fn for_expiry(since: Timestamp, limit: usize) -> Self {
        Self { expired: Some((since, limit)), ..Self::default() }
    }

    /// What must be known to declare these events of a source not to come.
    pub fn for_skip(source: &SourceName, first: u64, last: u64) -> Self {
        let standing = Some((source.clone(), first, last));
        Self { passed: vec![source.clone()], standing, ..Self::default() }
    }

    /// What must be known to redrive an entry.
    pub fn for_redrive(redrive: &Redrive) -> Self {
        Self { entries: vec![redrive.id], ..Self::for_arrivals([&redrive.arrival]) }
    }

    /// What must be known to redrive several entries.
    pub fn for_recall(entries: &[Redrive]) -> Self {
        let ids = entries.iter().map(|redrive| redrive.id).collect();
        Self { entries: ids, ..Self::for_arrivals(entries.iter().map(|redrive| &redrive.arrival)) }
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
    /// It waits for what it depends on.
    Waiting,
}

/// What the store knows, read in the transaction that will write.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The log's name, which the events that it counts bear in their marks.
    pub replica: ReplicaName,
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
    /// How much of the sources asked for waits behind other entries; of a missing one nothing does.
    pub held: BTreeMap<SourceName, u64>,
    /// The log's clock.
    pub clock: LogClock,
    /// How far the sources asked for are; a missing one has passed nothing.
    pub passed: HashMap<SourceName, Passed>,
    /// Whose the marks asked for are, of events that are in the log or wait.
    pub dots: HashMap<SourceDot, EventId>,
    /// The greatest stamp among the last event up to each mark asked for and the exceptions before it.
    pub stamps: HashMap<SourceDot, Hlc>,
    /// The events that wait for one of those asked for, in any order.
    pub woken: Vec<Waiting>,
    /// The events that have waited so long, the oldest first.
    pub expired: Vec<Waiting>,
    /// Which of the numbers asked for wait.
    pub standing: Vec<u64>,
}

/// Where an entry stands: what must not have changed between looking at it and deciding about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its state.
    pub state: State,
    /// Its version.
    pub version: EntryVersion,
}
