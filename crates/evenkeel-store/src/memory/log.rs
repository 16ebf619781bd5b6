//! A log in memory: the events in a vector, so that a position is a place in it, and the quarantine in a map.
//!
//! What waits is found by looking at every entry: there is no index that could be wrong.
mod causal;

use super::{Now, Volatile};
use crate::{DecideAsking, EntryFilter, Log, QuarantineCount, Result, Slice, StoreError};
use evenkeel_core::{
    Digest, Epoch, Event, EventId, EventType, Position, ReplicaName, SourceName, Subject, Timestamp,
    accounting::{Account, Books},
    checkpoint::SafeHead,
    content::{Window, identity},
    digest::Sum,
    ids::StreamVersion,
    intake::{
        Ask, Change, Facts, LogClock, Passed, Place, RawBody, Skip, SourceDot, Standing, Untrusted, Waiting, Writes,
    },
    quarantine::{Entry, ParkKey, QuarantineId, Reason, State},
    token::{LogId, Origin, TokenKey},
};
use parking_lot::{Condvar, Mutex};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

/// A log in memory.
pub struct MemoryLog {
    epoch: Epoch,
    replica: ReplicaName,
    now: Now,
    state: Mutex<LogState>,
    grown: Condvar,
}

/// The whole of a [`MemoryLog`] at one moment.
#[derive(Clone)]
pub struct LogImage(LogState);

#[derive(Clone, Default)]
struct LogState {
    events: Vec<Event>,
    positions: HashMap<EventId, Position>,
    versions: HashMap<Subject, StreamVersion>,
    counts: Arc<BTreeMap<EventType, u64>>,
    entries: BTreeMap<QuarantineId, Entry>,
    entries_of: HashMap<EventId, Vec<QuarantineId>>,
    accounts: BTreeMap<SourceName, Account>,
    raws: BTreeMap<Position, Arc<[u8]>>,
    clock: LogClock,
    waiting: BTreeMap<SourceDot, Waiting>,
    passed: BTreeMap<SourceName, Passed>,
    skips: Vec<Skip>,
}

impl MemoryLog {
    /// An empty log of the node `replica`. `epoch` is its life, `now` the clock of its safe head.
    pub fn new(epoch: Epoch, now: Now, replica: ReplicaName) -> Self {
        Self { epoch, replica, now, state: Mutex::default(), grown: Condvar::new() }
    }

    fn facts(&self, state: &LogState, ask: &Ask) -> Facts {
        Facts { replica: self.replica.clone(), ..state.facts(ask) }
    }
}

impl Volatile for MemoryLog {
    type Image = LogImage;

    fn image(&self) -> LogImage {
        LogImage(self.state.lock().clone())
    }

    fn restore(&self, image: LogImage) {
        *self.state.lock() = image.0;
    }
}

fn standing(entry: &Entry) -> Standing {
    Standing { state: entry.state, version: entry.version }
}

fn is_unresolved(state: State) -> bool {
    matches!(state, State::Quarantined | State::Held)
}

impl LogState {
    fn head(&self) -> Position {
        Position(self.events.len() as u64)
    }

    fn event(&self, position: Position) -> Option<&Event> {
        self.events.get(index_after(position).checked_sub(1)?)
    }

    /// The events after `after` of these types.
    fn after<'s>(
        &'s self,
        after: Position,
        types: Option<&'s BTreeSet<EventType>>,
    ) -> impl Iterator<Item = &'s Event> + 's {
        let wanted = move |event: &&Event| types.is_none_or(|types| types.contains(&event.draft.event_type));
        self.events.get(index_after(after)..).unwrap_or_default().iter().filter(wanted)
    }

    fn unresolved(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| is_unresolved(entry.state))
    }

    fn line<'s>(&'s self, key: &'s ParkKey) -> impl Iterator<Item = &'s Entry> + 's {
        self.unresolved().filter(move |entry| entry.refusal.parks.as_ref() == Some(key))
    }

    fn next_entry(&self) -> u64 {
        self.entries.last_key_value().map_or(1, |(id, _)| id.0 + 1)
    }

    /// Everything known of an identity: the log first, then the entries in order of arrival.
    fn known(&self, id: EventId) -> Vec<(Digest, Place)> {
        let event = self.positions.get(&id).and_then(|position| self.event(*position));
        let in_log = event
            .map(|event| (event.digest, Place::Log { position: event.position, stream_version: event.stream_version }));
        let ids = self.entries_of.get(&id).into_iter().flatten();
        let waiting = ids
            .filter_map(|id| self.entries.get(id))
            .map(|entry| (entry.digest, Place::Quarantine { id: entry.id, reason: entry.refusal.reason }));
        let causal = self.waiting.values().filter(|event| event.sent.id == id);
        let causal = causal.map(|event| (event.sent.digest, Place::Waiting));
        in_log.into_iter().chain(waiting).chain(causal).collect()
    }

    fn facts(&self, ask: &Ask) -> Facts {
        let known = ask.ids.iter().map(|id| (*id, self.known(*id))).filter(|(_, known)| !known.is_empty());
        let parked = ask.keys.iter().filter_map(|key| Some((key.clone(), self.line(key).next()?.id)));
        let versions = ask.subjects.iter().filter_map(|s| Some((s.clone(), *self.versions.get(s)?)));
        let states = ask.entries.iter().filter_map(|id| Some((*id, standing(self.entries.get(id)?))));
        let line = ask.line.iter().flat_map(|(key, limit)| self.line(key).take(*limit));
        Facts {
            replica: ReplicaName::default(),
            head: self.head(),
            next_entry: self.next_entry(),
            known: known.collect(),
            parked: parked.collect(),
            versions: versions.collect(),
            states: states.collect(),
            line: line.map(|entry| (entry.id, standing(entry))).collect(),
            untrusted: self.untrusted(&ask.untrusted),
            held: ask.held.iter().filter_map(|source| Some((source.clone(), self.held(source)?))).collect(),
            clock: self.clock,
            passed: ask.passed.iter().filter_map(|s| Some((s.clone(), self.passed.get(s)?.clone()))).collect(),
            dots: ask.dots.iter().filter_map(|dot| Some((dot.clone(), self.holder(dot)?))).collect(),
            stamps: ask.stamps.iter().filter_map(|dot| Some((dot.clone(), self.stamp_upto(dot)?))).collect(),
            woken: ask.woken.iter().flat_map(|of| self.woken(of)).collect(),
            expired: ask.expired.iter().flat_map(|(since, limit)| self.expired(*since, *limit)).collect(),
            standing: ask.standing.iter().flat_map(|of| self.standing(of)).collect(),
        }
    }

    /// How much of a source waits behind other entries, where anything does.
    fn held(&self, source: &SourceName) -> Option<u64> {
        self.accounts.get(source).and_then(|account| u64::try_from(account.held).ok()).filter(|held| *held > 0)
    }

    fn untrusted(&self, sources: &[SourceName]) -> Untrusted {
        if sources.is_empty() {
            return Untrusted::default();
        }
        let waiting = || self.unresolved().filter(|entry| entry.refusal.reason == Reason::UntrustedSource);
        let of = |source: &SourceName| waiting().filter(|entry| entry.source == *source).count() as u64;
        Untrusted {
            by_source: sources.iter().map(|source| (source.clone(), of(source))).collect(),
            total: waiting().count() as u64,
        }
    }

    /// Whether these writes keep what the log guarantees.
    fn check(&self, writes: &Writes) -> Result<()> {
        let mut head = self.head();
        let mut ids = HashSet::new();
        for event in &writes.events {
            head = head.next();
            if event.position != head {
                return Err(StoreError::Refused(format!("position {} where {head} comes next", event.position)));
            }
            if self.positions.contains_key(&event.id) || !ids.insert(event.id) {
                return Err(StoreError::Refused(format!("the identity {} a second time", event.id)));
            }
        }
        if let Some(raw) = writes.raws.iter().find(|raw| raw.position <= self.head() || raw.position > head) {
            return Err(StoreError::Refused(format!(
                "a raw body at position {}, where no event is added",
                raw.position
            )));
        }
        let mut new = HashSet::new();
        for entry in &writes.entries {
            if self.entries.contains_key(&entry.id) || !new.insert(entry.id) {
                return Err(StoreError::Refused(format!("the entry {} a second time", entry.id)));
            }
        }
        match writes.changes.iter().find(|change| !self.entries.contains_key(&change.id) && !new.contains(&change.id)) {
            Some(change) => Err(StoreError::Refused(format!("a change of {}, which is not there", change.id))),
            None => Ok(()),
        }
    }

    fn write(&mut self, writes: Writes) {
        let counts = Arc::make_mut(&mut self.counts);
        for event in writes.events {
            self.positions.insert(event.id, event.position);
            self.versions.insert(event.draft.subject.clone(), event.stream_version);
            *counts.entry(event.draft.event_type.clone()).or_default() += 1;
            self.events.push(event);
        }
        for entry in writes.entries {
            self.entries_of.entry(entry.event_id).or_default().push(entry.id);
            self.entries.insert(entry.id, entry);
        }
        for change in writes.changes {
            if let Some(entry) = self.entries.get_mut(&change.id) {
                apply(entry, change);
            }
        }
        self.raws.extend(writes.raws.into_iter().map(|kept| (kept.position, kept.raw.into())));
        for (source, change) in writes.accounts {
            *self.accounts.entry(source).or_default() += change;
        }
        self.clock = writes.clock.unwrap_or(self.clock);
        for dot in writes.released {
            self.waiting.remove(&dot);
        }
        self.waiting.extend(writes.waits.into_iter().map(|event| (event.dot(), event)));
        self.passed.extend(writes.passed);
        self.skips.extend(writes.skips);
    }

    /// What there is of each source.
    fn counted(&self) -> BTreeMap<&SourceName, Account> {
        let mut counted: BTreeMap<_, Account> = BTreeMap::new();
        for event in &self.events {
            *counted.entry(&event.source).or_default() += Account::of_entry(State::Admitted);
        }
        for event in self.waiting.values() {
            *counted.entry(&event.sent.source).or_default() += Account { waiting: 1, ..Account::NOTHING };
        }
        // What was admitted is in the log, and counted there.
        for entry in self.entries.values().filter(|entry| entry.state != State::Admitted) {
            *counted.entry(&entry.source).or_default() += Account::of_entry(entry.state);
        }
        counted
    }
}

/// The number of events up to `position`, which is the index of the one after it.
fn index_after(position: Position) -> usize {
    usize::try_from(position.0).unwrap_or(usize::MAX)
}

fn apply(entry: &mut Entry, change: Change) {
    let Change { id: _, state, edit, refusal, recall, position, decision, at } = change;
    entry.state = state;
    entry.version = entry.version.next();
    entry.edits.extend(edit);
    entry.changed_at = at;
    entry.position = position.or(entry.position);
    entry.decision = decision.or_else(|| entry.decision.take());
    if let Some(refusal) = refusal {
        entry.refusal = refusal;
        entry.recall = recall;
    }
}

impl Log for MemoryLog {
    fn safe_head(&self) -> Result<SafeHead> {
        let state = self.state.lock();
        Ok(SafeHead {
            position: state.head(),
            epoch: self.epoch,
            at: (self.now)(),
            counts: Arc::clone(&state.counts),
            last_event: state.events.last().map(|event| event.id),
        })
    }

    fn transact_asking(&self, ask: &Ask, decide: DecideAsking<'_>) -> Result<()> {
        let mut state = self.state.lock();
        let writes = decide(self.facts(&state, ask), &mut |ask| self.facts(&state, ask));
        state.check(&writes)?;
        let grows = !writes.events.is_empty();
        state.write(writes);
        if grows {
            self.grown.notify_all();
        }
        Ok(())
    }

    fn read(&self, after: Position, types: Option<&BTreeSet<EventType>>, limit: usize) -> Result<Slice> {
        let state = self.state.lock();
        let events: Vec<_> = state.after(after, types).take(limit).cloned().collect();
        let through = match events.last() {
            _ if events.len() < limit => state.head().max(after),
            Some(last) => last.position,
            None => after,
        };
        Ok(Slice { events, through })
    }

    fn stream(
        &self,
        subject: &str,
        types: &BTreeSet<EventType>,
        after: StreamVersion,
        upto: Position,
        limit: usize,
    ) -> Result<Vec<Event>> {
        let state = self.state.lock();
        let events = state.after(Position::ZERO, Some(types)).take_while(|event| event.position <= upto);
        let events = events.filter(|event| event.draft.subject.as_str() == subject && event.stream_version > after);
        Ok(events.take(limit).cloned().collect())
    }

    fn pick(&self, positions: &[Position]) -> Result<Vec<Event>> {
        let state = self.state.lock();
        Ok(positions.iter().filter_map(|position| state.event(*position)).cloned().collect())
    }

    fn identities(&self, types: &BTreeSet<EventType>, from: Window, upto: Position) -> Result<Vec<(Window, Sum)>> {
        let state = self.state.lock();
        let mut sums: BTreeMap<Window, Sum> = BTreeMap::new();
        for event in state.after(from.before(), Some(types)).take_while(|event| event.position <= upto) {
            sums.entry(Window::of(event.position)).or_default().add(identity(event.id));
        }
        Ok(sums.into_iter().collect())
    }

    fn oldest_after(&self, after: Position, types: &BTreeSet<EventType>) -> Result<Option<Timestamp>> {
        Ok(self.state.lock().after(after, Some(types)).next().map(|event| event.recorded_at))
    }

    fn find(&self, id: EventId) -> Result<Option<Event>> {
        let state = self.state.lock();
        Ok(state.positions.get(&id).and_then(|position| state.event(*position)).cloned())
    }

    fn raws(&self, after: Position, limit: usize) -> Result<Vec<RawBody>> {
        let state = self.state.lock();
        let kept = state.raws.range(after.next()..).take(limit);
        Ok(kept.map(|(position, raw)| RawBody { position: *position, raw: raw.to_vec() }).collect())
    }

    fn raw(&self, position: Position) -> Result<Option<Vec<u8>>> {
        Ok(self.state.lock().raws.get(&position).map(|raw| raw.to_vec()))
    }

    fn forget_raws(&self, before: Timestamp, limit: usize) -> Result<usize> {
        let mut state = self.state.lock();
        let is_old = |position: &Position| state.event(*position).is_none_or(|event| event.recorded_at < before);
        let old: Vec<Position> = state.raws.keys().copied().filter(is_old).take(limit).collect();
        old.iter().for_each(|position| drop(state.raws.remove(position)));
        Ok(old.len())
    }

    fn wait_past(&self, position: Position, timeout: Duration) -> Result<Position> {
        let mut state = self.state.lock();
        self.grown.wait_while_for(&mut state, |state| state.head() <= position, timeout);
        Ok(state.head())
    }

    fn entry(&self, id: QuarantineId) -> Result<Option<Entry>> {
        Ok(self.state.lock().entries.get(&id).cloned())
    }

    fn entries(&self, filter: &EntryFilter) -> Result<Vec<Entry>> {
        let EntryFilter { reason, source, state, event_type, contract_version, since, until, after, limit } = filter;
        let fits = |entry: &&Entry| {
            let contract = entry.refusal.contract.as_ref();
            event_type.as_ref().is_none_or(|wanted| contract.is_some_and(|contract| contract.name == *wanted))
                && contract_version.is_none_or(|wanted| contract.is_some_and(|contract| contract.version == wanted))
                && since.is_none_or(|since| entry.received_at >= since)
                && until.is_none_or(|until| entry.received_at < until)
                && reason.is_none_or(|reason| entry.refusal.reason == reason)
                && source.as_ref().is_none_or(|source| entry.source == *source)
                && state.is_none_or(|state| entry.state == state)
                && after.is_none_or(|after| entry.id > after)
        };
        let limit = if *limit == 0 { usize::MAX } else { *limit };
        Ok(self.state.lock().entries.values().filter(fits).take(limit).cloned().collect())
    }

    fn entries_of(&self, id: EventId) -> Result<Vec<Entry>> {
        let state = self.state.lock();
        let ids = state.entries_of.get(&id).into_iter().flatten();
        Ok(ids.filter_map(|id| state.entries.get(id)).cloned().collect())
    }

    fn line(&self, key: &ParkKey, limit: usize) -> Result<Vec<Entry>> {
        Ok(self.state.lock().line(key).take(limit).cloned().collect())
    }

    fn interrupted(&self) -> Result<Vec<ParkKey>> {
        let state = self.state.lock();
        let mut firsts: BTreeMap<&ParkKey, State> = BTreeMap::new();
        for entry in state.unresolved() {
            if let Some(key) = &entry.refusal.parks {
                firsts.entry(key).or_insert(entry.state);
            }
        }
        Ok(firsts.into_iter().filter(|(_, state)| *state == State::Held).map(|(key, _)| key.clone()).collect())
    }

    fn quarantine_counts(&self) -> Result<Vec<QuarantineCount>> {
        let state = self.state.lock();
        let mut counts: BTreeMap<Option<&EventType>, u64> = BTreeMap::new();
        for entry in state.unresolved() {
            *counts.entry(entry.refusal.contract.as_ref().map(|contract| &contract.name)).or_default() += 1;
        }
        let count = |(contract, unresolved): (Option<&EventType>, u64)| QuarantineCount {
            contract: contract.cloned(),
            unresolved,
        };
        Ok(counts.into_iter().map(count).collect())
    }

    fn quarantined_of(&self, subject: &str, contracts: &BTreeSet<EventType>) -> Result<u64> {
        let state = self.state.lock();
        let of_it = |entry: &&Entry| {
            entry.refusal.subject.as_ref().is_some_and(|s| s.as_str() == subject)
                && entry.refusal.contract.as_ref().is_some_and(|contract| contracts.contains(&contract.name))
        };
        Ok(state.unresolved().filter(of_it).count() as u64)
    }

    fn accounting(&self, recount: bool) -> Result<BTreeMap<SourceName, Books>> {
        let state = self.state.lock();
        let kept = state.accounts.iter().map(|(source, account)| (source.clone(), *account));
        let mut books: BTreeMap<_, _> =
            kept.map(|(source, account)| (source, Books { account, counted: None })).collect();
        if recount {
            books.values_mut().for_each(|books| books.counted = Some(Account::NOTHING));
            for (source, counted) in state.counted() {
                books.entry(source.clone()).or_default().counted = Some(counted);
            }
        }
        Ok(books)
    }

    fn waiting(&self, limit: usize) -> Result<Vec<Waiting>> {
        Ok(self.state.lock().by_age().take(limit).cloned().collect())
    }

    fn passed(&self) -> Result<BTreeMap<SourceName, Passed>> {
        Ok(self.state.lock().passed.clone())
    }

    fn skips(&self) -> Result<Vec<Skip>> {
        Ok(self.state.lock().skips.clone())
    }

    fn recallable(&self, limit: usize) -> Result<Vec<QuarantineId>> {
        Ok(self.state.lock().recallable().into_iter().take(limit).collect())
    }

    fn origin(&self) -> Origin {
        // Derived, and nothing to be secret about: whoever reaches this log is in the same process. A store that keeps
        // its log on disk draws both.
        let of_epoch = Digest::of(&self.epoch.0.to_be_bytes()).0;
        let mut id = [0; 16];
        id.copy_from_slice(&of_epoch[..16]);
        Origin { log: LogId(id), epoch: self.epoch, key: TokenKey(of_epoch) }
    }
}
