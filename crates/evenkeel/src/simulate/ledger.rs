//! The books of a simulation: what was made and sent, what was acknowledged, in which order it came, and where it is.
//!
//! Kept from what the stores below the faults hold after each step, not from what the engine says of itself.
use super::{
    Checked, broken,
    causing::{Claim, Excuses, Order},
    events::Intent,
    sound,
};
use evenkeel_contract::gate::Gate;
use evenkeel_core::{
    Digest, Draft, Event, EventId, EventType, Position, SourceName, Subject, Timestamp,
    accounting::Account,
    event::Delivery,
    intake::Verdict,
    quarantine::{Entry, ParkKey, QuarantineId, State},
};
use evenkeel_store::{EntryFilter, Log};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// One content under one identity: what is taken once.
pub(super) type Content = (EventId, Digest);

/// What a source made.
pub(super) struct Sent {
    pub(super) intent: Intent,
    pub(super) raw: Vec<u8>,
    /// What it says that it knew.
    pub(super) claim: Option<Claim>,
    /// The milliseconds of its stamp.
    pub(super) stamp_ms: Option<u64>,
}

/// The books.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) sent: BTreeMap<Content, Sent>,
    /// What was acknowledged and must not be lost.
    pub(super) acknowledged: BTreeSet<Content>,
    /// When each content that is kept somewhere first came.
    pub(super) arrived: BTreeMap<Content, u64>,
    arrivals: u64,
    /// What a person decided about: it may come after later ones.
    pub(super) by_hand: BTreeSet<Content>,
    /// The log, as it was found.
    pub(super) history: Vec<Event>,
    pub(super) last_entry: Option<QuarantineId>,
    /// How many edits of an entry were acknowledged.
    pub(super) edits: BTreeMap<QuarantineId, usize>,
    /// What was recorded before then may be known no more as it was sent.
    pub(super) forgotten_before: Option<Timestamp>,
    /// Who is in the log after whom, and who waits.
    pub(super) order: Order,
    /// The last arrival that got in of each source and key.
    lines: BTreeMap<(SourceName, EventType, Subject), u64>,
    versions: BTreeMap<Subject, u64>,
}

/// What one step added to the stores.
pub(super) struct Added {
    /// The log's length before.
    pub(super) head: usize,
    /// The entries that are new.
    pub(super) entries: Vec<Entry>,
}

impl Added {
    pub(super) fn is_nothing(&self, ledger: &Ledger) -> bool {
        self.entries.is_empty() && self.head == ledger.history.len()
    }
}

/// What a gate makes of an event, where it admits it.
pub(super) fn draft(gate: &Gate, raw: &[u8]) -> Option<Draft> {
    match gate.decide(raw.to_vec(), None).ok()?.arrival.verdict {
        Verdict::Admit(draft) => Some(draft),
        Verdict::Quarantine(_) => None,
    }
}

pub(super) fn content(event: &Event) -> Content {
    (event.id, event.digest)
}

impl Ledger {
    /// Whether other content came earlier under the same identity.
    pub(super) fn has_rival(&self, own: Content) -> bool {
        let (id, digest) = own;
        let came = self.arrived.get(&own).copied().unwrap_or(u64::MAX);
        let mut of_id = self.arrived.range((id, Digest([0; 32]))..=(id, Digest([255; 32])));
        of_id.any(|((_, other), arrival)| *other != digest && *arrival < came)
    }

    /// Reads what a step added. `batch` is what may have come in, in its order.
    pub(super) fn read(&mut self, log: &dyn Log, gates: &[Arc<Gate>], batch: &[Content]) -> Checked<Added> {
        let head = self.history.len();
        let after = Position(head as u64);
        let events = sound(log.read(after, None, usize::MAX))?.events;
        let filter = EntryFilter { after: self.last_entry, ..EntryFilter::default() };
        let entries = sound(log.entries(&filter))?;
        self.last_entry = entries.last().map(|entry| entry.id).or(self.last_entry);
        self.read_waiting(log)?;
        let new: BTreeSet<Content> = events
            .iter()
            .map(content)
            .chain(entries.iter().map(|entry| (entry.event_id, entry.digest)))
            .chain(self.order.waiting.keys().copied())
            .collect();
        for content in batch {
            if new.contains(content) && !self.arrived.contains_key(content) {
                self.arrivals += 1;
                self.arrived.insert(*content, self.arrivals);
            }
        }
        if let Some(invented) = new.iter().find(|content| !self.arrived.contains_key(content)) {
            return broken("only what was sent to be taken in", format!("{} came from nowhere", invented.0));
        }
        let excuses = self.excuses(log)?;
        for event in events {
            self.enter(log, gates, &excuses, event)?;
        }
        self.flows(log, &excuses)?;
        Ok(Added { head, entries })
    }

    /// An event has got into the log.
    fn enter(&mut self, log: &dyn Log, gates: &[Arc<Gate>], excuses: &Excuses, event: Event) -> Checked {
        let own = content(&event);
        let next = Position(self.history.len() as u64 + 1);
        if event.position != next {
            return broken(format!("position {next}"), format!("{}", event.position));
        }
        if let Some(first) = self.history.iter().find(|other| other.id == event.id) {
            return broken(
                format!("identity {} once in the log", event.id),
                format!("at {} and {}", first.position, event.position),
            );
        }
        let entry = sound(log.entries_of(event.id))?.into_iter().find(|entry| entry.position == Some(next));
        let sent = self.sent.get(&own).map(|sent| sent.raw.clone()).unwrap_or_default();
        // Of an entry's event what it was edited to and nothing else.
        let judged = entry.map_or(Some(sent), |entry| Some(entry.edited().ok()?.into_owned())).unwrap_or_default();
        if !gates.iter().any(|gate| draft(gate, &judged).as_ref() == Some(&event.draft)) {
            return broken(
                format!("{} as a contract translates what was sent, with its edits", event.raw_id),
                format!("{:?}", event.draft),
            );
        }
        self.is_in_order(&event, &judged, excuses)?;
        let version = self.versions.entry(event.draft.subject.clone()).or_default();
        *version += 1;
        if event.stream_version.0 != *version {
            let expected = format!("{} to be number {version} of {:?}", event.raw_id, event.draft.subject);
            return broken(expected, format!("{}", event.stream_version));
        }
        let arrival = self.arrived.get(&own).copied().unwrap_or_default();
        let source = event.source.clone();
        let subject = (event.draft.event_type.clone(), event.draft.subject.clone());
        let keys = [ParkKey::Source(source.clone()), ParkKey::Subject(subject.0.clone(), subject.1.clone())];
        // Who waited may have come before others that got into a line first.
        let waits = self.sent.get(&own).is_some_and(|sent| sent.claim.is_some());
        if waits || event.causality.delivery != Delivery::Log {
            if let Some(overtaken) = self.overtaken(&event, &keys, excuses) {
                let expected = format!("{} {} to wait behind {overtaken}", event.source, event.raw_id);
                return broken(expected, format!("it is at {}", event.position));
            }
            self.history.push(event);
            return Ok(());
        }
        for key in keys {
            let waits = |entry: &Entry| self.arrived.get(&(entry.event_id, entry.digest)).is_some_and(|n| *n < arrival);
            if let Some(overtaken) = sound(log.line(&key, usize::MAX))?.into_iter().find(waits) {
                let expected = format!("{} {} to wait behind {} of {key:?}", event.source, event.raw_id, overtaken.id);
                return broken(expected, format!("it is at {}", event.position));
            }
        }
        if !self.by_hand.contains(&own) {
            let last = self.lines.insert((source, subject.0, subject.1), arrival);
            if last.is_some_and(|last| last > arrival) {
                let expected = format!("{} {} before the later ones of its key", event.source, event.raw_id);
                return broken(expected, format!("it is at {}", event.position));
            }
        }
        self.history.push(event);
        Ok(())
    }

    /// What is admitted without having been in quarantine is kept as it was sent, unless it is old.
    pub(super) fn raws_are_right(&self, log: &dyn Log) -> Checked {
        let entries = sound(log.entries(&EntryFilter::default()))?;
        let from_entry: BTreeSet<Position> = entries.iter().filter_map(|entry| entry.position).collect();
        for event in &self.history {
            let kept = sound(log.raw(event.position))?;
            let fits = match (kept, from_entry.contains(&event.position)) {
                (None, true) => true,
                (Some(kept), false) => self.sent.get(&content(event)).is_some_and(|sent| sent.raw == kept),
                (None, false) => self.forgotten_before.is_some_and(|before| event.recorded_at < before),
                (Some(_), true) => false,
            };
            if !fits {
                let expected = format!("{} at {} to be kept as it was sent, once", event.raw_id, event.position);
                return broken(expected, "it is not");
            }
        }
        Ok(())
    }

    /// The log lost its end: what is gone is forgotten, and said.
    pub(super) fn lose(&mut self, log: &dyn Log) -> Checked<u64> {
        let events = sound(log.read(Position::ZERO, None, usize::MAX))?.events;
        if self.history.get(..events.len()) != Some(events.as_slice()) {
            return broken("the surviving log to be the beginning of the log", "other events");
        }
        self.history = events;
        let entries = sound(log.entries(&EntryFilter::default()))?;
        self.last_entry = entries.last().map(|entry| entry.id);
        self.edits = entries.iter().map(|entry| (entry.id, entry.edits.len())).collect();
        self.read_waiting(log)?;
        let there: BTreeSet<Content> = self
            .history
            .iter()
            .map(content)
            .chain(entries.iter().map(|entry| (entry.event_id, entry.digest)))
            .chain(self.order.waiting.keys().copied())
            .collect();
        self.arrived.retain(|content, _| there.contains(content));
        let before = self.acknowledged.len();
        self.acknowledged.retain(|content| there.contains(content));
        self.lines.clear();
        self.versions.clear();
        for event in &self.history {
            *self.versions.entry(event.draft.subject.clone()).or_default() += 1;
            let arrival = self.arrived.get(&content(event)).copied().unwrap_or_default();
            let waits = self.sent.get(&content(event)).is_some_and(|sent| sent.claim.is_some());
            if !self.by_hand.contains(&content(event)) && !waits {
                let line = (event.source.clone(), event.draft.event_type.clone(), event.draft.subject.clone());
                self.lines.insert(line, arrival);
            }
        }
        self.order_anew();
        let excuses = self.excuses(log)?;
        self.flows(log, &excuses)?;
        Ok((before - self.acknowledged.len()) as u64)
    }

    /// The books on each source say what is there, by an own count.
    fn books_are_right(&self, log: &dyn Log, entries: &[Entry]) -> Checked {
        let mut counted: BTreeMap<&SourceName, Account> = BTreeMap::new();
        for event in &self.history {
            *counted.entry(&event.source).or_default() += Account::of_entry(State::Admitted);
        }
        for entry in entries.iter().filter(|entry| entry.state != State::Admitted) {
            *counted.entry(&entry.source).or_default() += Account::of_entry(entry.state);
        }
        for event in self.order.waiting.values() {
            *counted.entry(&event.sent.source).or_default() += Account::WAITING;
        }
        let books = sound(log.accounting(true))?;
        for (source, books) in &books {
            let own = counted.get(source).copied().unwrap_or_default();
            if !books.are_right() || !books.account.agrees_with(&own) {
                return broken(format!("the books on {source} to be right: {own:?}"), format!("{books:?}"));
            }
        }
        match counted.keys().find(|source| !books.contains_key(**source)) {
            Some(source) => broken(format!("books on {source}"), "there are none"),
            None => Ok(()),
        }
    }

    /// Everything that came is in exactly one place, and everything acknowledged came.
    pub(super) fn balance(&self, log: &dyn Log) -> Checked {
        let entries = sound(log.entries(&EntryFilter::default()))?;
        let in_log: BTreeMap<Content, Position> =
            self.history.iter().map(|event| (content(event), event.position)).collect();
        let mut waiting = BTreeSet::new();
        let mut with_entry = BTreeSet::new();
        for entry in &entries {
            let own = (entry.event_id, entry.digest);
            let position = in_log.get(&own).copied();
            if entry.position != position || (entry.state == State::Admitted) != position.is_some() {
                let expected = format!("{} to say that its event is at {position:?}", entry.id);
                return broken(expected, format!("{} at {:?}", entry.state, entry.position));
            }
            let is_original = self.sent.get(&own).is_some_and(|sent| sent.raw == entry.raw);
            if !is_original || self.edits.get(&entry.id).is_some_and(|edits| entry.edits.len() < *edits) {
                return broken(format!("{} as it came, with its edits", entry.id), format!("{entry:?}"));
            }
            if !with_entry.insert(own) {
                return broken(format!("one entry for {}", entry.raw_id), format!("another one is {}", entry.id));
            }
            if position.is_none() {
                waiting.insert(own);
            }
        }
        for own in self.order.waiting.keys() {
            if in_log.contains_key(own) || with_entry.contains(own) || !waiting.insert(*own) {
                return broken(format!("{} to be in one place", own.0), "it waits, and is somewhere else too");
            }
        }
        let kept = in_log.len() + waiting.len();
        if kept != self.arrived.len()
            || self.arrived.keys().any(|own| !in_log.contains_key(own) && !waiting.contains(own))
        {
            let expected = format!("{} events that came in, each in one place", self.arrived.len());
            return broken(
                expected,
                format!("{} in the log and {} in quarantine or waiting", in_log.len(), waiting.len()),
            );
        }
        self.raws_are_right(log)?;
        self.books_are_right(log, &entries)?;
        match self.acknowledged.iter().find(|own| !self.arrived.contains_key(own)) {
            Some((id, _)) => broken(format!("the acknowledged event {id} to be kept"), "it is nowhere"),
            None => Ok(()),
        }
    }
}
