//! A fact store of maps, as small as a store can be, which refuses writes that break a log's guarantees. It answers
//! only what it is asked, so that a missing question shows.
use super::super::*;
use crate::{
    accounting::Books,
    clock::Hlc,
    event::Delivery,
    ids::{EventType, Subject},
    json::{Object, Patch},
    quarantine::{EntryVersion, State},
};
use std::collections::BTreeMap;

/// What a contract of these tests does with a bad event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnBad {
    Park,
    Skip,
    Halt,
}

/// An event of these tests, small enough to collide with others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) id: u8,
    pub(super) source: u8,
    pub(super) contract: u8,
    pub(super) subject: u8,
    pub(super) content: u8,
    pub(super) bad: Option<OnBad>,
    pub(super) expected: Option<u64>,
}

impl Spec {
    fn source(&self) -> SourceName {
        format!("source{}", self.source).into()
    }

    pub(super) fn key(&self) -> ParkKey {
        ParkKey::Subject(EventType::from(format!("c{}", self.contract)), Subject::from(format!("s{}", self.subject)))
    }

    pub(super) fn sent(&self) -> Sent {
        let raw = format!("{:?}", Spec { expected: None, ..self.clone() }).into_bytes();
        Sent {
            id: EventId::of(self.source().as_str(), &self.id.to_string()),
            digest: Digest::of(&raw),
            source: self.source(),
            raw_id: self.id.to_string(),
            raw,
        }
    }

    /// The event as the gate passes it on; `bad` is the gate's opinion today.
    pub(super) fn arrival(&self, bad: bool) -> Arrival {
        let ParkKey::Subject(contract, subject) = self.key() else { unreachable!() };
        let verdict = if bad {
            Verdict::Quarantine(Refusal {
                reason: Reason::Schema,
                detail: "it is bad".into(),
                pointer: None,
                contract: Some(ContractRef { name: contract, version: 1 }),
                subject: Some(subject),
                parks: match self.bad.unwrap_or(OnBad::Park) {
                    OnBad::Park => Some(self.key()),
                    OnBad::Skip => None,
                    OnBad::Halt => Some(ParkKey::Source(self.source())),
                },
            })
        } else {
            let (extensions, data) = (Object::default(), i64::from(self.content).into());
            Verdict::Admit(Draft { event_type: contract, contract_version: 1, subject, time: None, extensions, data })
        };
        let expected_version = self.expected.map(StreamVersion);
        Arrival { sent: self.sent(), verdict, expected_version, clocks: Clocks::default() }
    }
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

pub(super) fn decision() -> Decision {
    Decision { author: "ann".into(), note: "looked at".into() }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct World {
    pub(super) log: Vec<Event>,
    pub(super) entries: BTreeMap<QuarantineId, Entry>,
    pub(super) accounts: BTreeMap<SourceName, Account>,
    pub(super) clock: LogClock,
    /// What waits, in the order in which it came.
    pub(super) waiting: Vec<Waiting>,
    pub(super) passed: BTreeMap<SourceName, Passed>,
    pub(super) skips: Vec<Skip>,
    /// Whether it does not keep events as they were sent.
    pub(super) forgets_raw: bool,
    /// What was sent, by content.
    pub(super) sent: BTreeMap<Digest, Spec>,
}

fn standing(entry: &Entry) -> Standing {
    Standing { state: entry.state, version: entry.version }
}

fn woken(ask: &Ask, on: &SourceDot) -> bool {
    let woken = ask.woken.as_ref();
    woken.is_some_and(|(source, after, upto)| on.source == *source && *after < on.seq && on.seq <= *upto)
}

fn unresolved(entry: &Entry) -> bool {
    matches!(entry.state, State::Quarantined | State::Held)
}

impl World {
    pub(super) fn line(&self, key: &ParkKey) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(move |entry| unresolved(entry) && entry.refusal.parks.as_ref() == Some(key))
    }

    fn held(&self, source: &SourceName) -> u64 {
        let held = |entry: &&Entry| entry.state == State::Held && entry.source == *source;
        self.entries.values().filter(held).count() as u64
    }

    pub(super) fn facts(&self, ask: &Ask) -> Facts {
        let versions = |subject: &Subject| self.log.iter().filter(|event| event.draft.subject == *subject).count();
        let in_log = |event: &Event| {
            (event.digest, Place::Log { position: event.position, stream_version: event.stream_version })
        };
        let waiting = |entry: &Entry| (entry.digest, Place::Quarantine { id: entry.id, reason: entry.refusal.reason });
        let known = |id: &EventId| {
            let entries = self.entries.values().filter(|entry| entry.event_id == *id).map(waiting);
            let waits = self.waiting.iter().filter(|event| event.sent.id == *id);
            let entries = entries.chain(waits.map(|event| (event.sent.digest, Place::Waiting)));
            entries.chain(self.log.iter().filter(|event| event.id == *id).map(in_log)).collect::<Vec<_>>()
        };
        Facts {
            replica: "r".into(),
            head: Position(self.log.len() as u64),
            next_entry: self.entries.len() as u64 + 1,
            known: ask.ids.iter().map(|id| (*id, known(id))).collect(),
            parked: ask.keys.iter().filter_map(|key| Some((key.clone(), self.line(key).next()?.id))).collect(),
            versions: ask.subjects.iter().map(|s| (s.clone(), StreamVersion(versions(s) as u64))).collect(),
            states: ask.entries.iter().filter_map(|id| Some((*id, standing(self.entries.get(id)?)))).collect(),
            line: ask.line.iter().flat_map(|(key, n)| self.line(key).take(*n)).map(|e| (e.id, standing(e))).collect(),
            untrusted: Untrusted::default(),
            held: ask.held.iter().map(|source| (source.clone(), self.held(source))).collect(),
            clock: self.clock,
            passed: ask.passed.iter().filter_map(|s| Some((s.clone(), self.passed.get(s)?.clone()))).collect(),
            dots: ask.dots.iter().filter_map(|dot| Some((dot.clone(), self.holder(dot)?))).collect(),
            stamps: ask.stamps.iter().filter_map(|dot| Some((dot.clone(), self.stamp_upto(dot)?))).collect(),
            woken: self.waiting.iter().filter(|event| woken(ask, &event.on)).cloned().collect(),
            expired: ask.expired.iter().flat_map(|(at, n)| self.expired(*at).take(*n)).cloned().collect(),
            standing: ask.standing.iter().flat_map(|of| self.standing(of)).collect(),
        }
    }

    /// Counted by their sources, and in the log.
    pub(super) fn counted(&self) -> impl Iterator<Item = (SourceDot, &Event)> {
        let counted = self.log.iter().filter(|event| event.causality.delivery != Delivery::Log);
        counted.map(|event| (SourceDot::new(event.source.clone(), event.causality.seq), event))
    }

    fn holder(&self, dot: &SourceDot) -> Option<EventId> {
        let waits = self.waiting.iter().find(|event| event.dot() == *dot).map(|event| event.sent.id);
        waits.or_else(|| self.counted().find(|(other, _)| other == dot).map(|(_, event)| event.id))
    }

    fn stamp_upto(&self, upto: &SourceDot) -> Option<Hlc> {
        let known = || self.counted().filter(|(dot, _)| dot.source == upto.source && dot.seq <= upto.seq);
        let last = known().max_by_key(|(dot, _)| dot.seq).map(|(_, event)| event.causality.hlc);
        let late = known().filter(|(_, event)| event.causality.delivery == Delivery::Exception);
        last.max(late.map(|(_, event)| event.causality.hlc).max())
    }

    fn expired(&self, since: Timestamp) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter().filter(move |event| event.since <= since)
    }

    fn standing(&self, (source, first, last): &(SourceName, u64, u64)) -> Vec<u64> {
        let of = self.waiting.iter().filter(|event| event.sent.source == *source).map(|event| event.causes.seq);
        of.filter(|seq| (*first..=*last).contains(seq)).collect()
    }

    /// Writes what `decide` decides, which may ask for more.
    pub(super) fn decide<T>(
        &mut self,
        now: Timestamp,
        limits: CausalLimits,
        ask: &Ask,
        decide: impl FnOnce(Scene<'_>, Facts) -> (Writes, T),
    ) -> T {
        let mut more = |ask: &Ask| self.facts(ask);
        let scene = Scene { now, limits, keep_raw: !self.forgets_raw, more: Some(&mut more) };
        let (writes, out) = decide(scene, self.facts(ask));
        self.write(writes);
        out
    }

    /// Each event is kept as it was sent once, here or with its entry; nothing is kept here where that is not wanted.
    fn raws_are_right(&self, writes: &Writes) {
        let from_entry = |event: &&Event| writes.changes.iter().any(|change| change.position == Some(event.position));
        let new = writes.events.iter().filter(|event| !self.forgets_raw && !from_entry(event));
        let expected: Vec<_> = new.map(|event| (event.position, event.digest)).collect();
        let kept: Vec<_> = writes.raws.iter().map(|kept| (kept.position, Digest::of(&kept.raw))).collect();
        assert_eq!(kept, expected, "what is kept as it was sent");
    }

    pub(super) fn write(&mut self, writes: Writes) {
        self.raws_are_right(&writes);
        for event in writes.events {
            assert_eq!(event.position.0, self.log.len() as u64 + 1, "positions have no holes");
            assert!(self.log.iter().all(|other| other.id != event.id), "{} is in the log already", event.id);
            let before = self.log.iter().filter(|other| other.draft.subject == event.draft.subject).count();
            assert_eq!(event.stream_version.0, before as u64 + 1, "stream versions have no holes");
            self.log.push(event);
        }
        for entry in writes.entries {
            assert_eq!(entry.id.0, self.entries.len() as u64 + 1, "entries are numbered in order");
            self.entries.insert(entry.id, entry);
        }
        for change in writes.changes {
            let entry = self.entries.get_mut(&change.id).unwrap();
            assert!(unresolved(entry), "{} is resolved and changes", entry.id);
            entry.state = change.state;
            if change.refusal.is_some() {
                entry.recall = change.recall;
            }
            entry.version = entry.version.next();
            entry.edits.extend(change.edit);
            entry.refusal = change.refusal.unwrap_or_else(|| entry.refusal.clone());
            entry.position = change.position;
            entry.decision = change.decision.or_else(|| entry.decision.clone());
            entry.changed_at = change.at;
        }
        if let Some(clock) = writes.clock {
            assert!(clock.last >= self.clock.last && clock.seq >= self.clock.seq, "the clock goes forward");
            self.clock = clock;
        }
        self.waiting.retain(|event| !writes.released.contains(&event.dot()));
        for event in writes.waits {
            match self.waiting.iter_mut().find(|other| other.dot() == event.dot()) {
                Some(other) => *other = event,
                None => self.waiting.push(event),
            }
        }
        self.passed.extend(writes.passed);
        self.skips.extend(writes.skips);
        for (source, change) in writes.accounts {
            *self.accounts.entry(source).or_default() += change;
        }
        self.books_are_right();
    }

    /// The books say what is there, and add up.
    fn books_are_right(&self) {
        let mut counted: BTreeMap<&SourceName, Account> = BTreeMap::new();
        for event in &self.log {
            *counted.entry(&event.source).or_default() += Account::of_entry(State::Admitted);
        }
        for entry in self.entries.values().filter(|entry| entry.state != State::Admitted) {
            *counted.entry(&entry.source).or_default() += Account::of_entry(entry.state);
        }
        for event in &self.waiting {
            *counted.entry(&event.sent.source).or_default() += Account { waiting: 1, ..Account::NOTHING };
        }
        for (source, counted) in &counted {
            let account = self.accounts.get(*source).copied().unwrap_or_default();
            assert!(Books { account, counted: Some(*counted) }.are_right(), "{source}: {account:?}, {counted:?}");
        }
        let all = |account: &&Account| counted.len() <= self.accounts.len() && account.is_balanced();
        assert_eq!(self.accounts.values().filter(all).count(), self.accounts.len());
    }

    pub(super) fn admit(&mut self, specs: &[Spec]) -> Vec<Outcome> {
        self.sent.extend(specs.iter().map(|spec| (spec.sent().digest, spec.clone())));
        let arrivals: Vec<_> = specs.iter().map(|spec| spec.arrival(spec.bad.is_some())).collect();
        let facts = self.facts(&Ask::for_arrivals(&arrivals));
        let (writes, outcomes) = admit(at(0), arrivals, facts);
        let received = |world: &Self| world.accounts.values().map(|account| account.received).sum::<i64>();
        let before = received(self);
        self.write(writes);
        let taken = outcomes.iter().filter(|outcome| !matches!(outcome, Outcome::VersionConflict { .. })).count();
        assert_eq!(received(self) - before, taken as i64, "what was taken, and nothing else, is received");
        outcomes
    }

    pub(super) fn spec(&self, digest: Digest) -> &Spec {
        &self.sent[&digest]
    }

    pub(super) fn version(&self, id: QuarantineId) -> EntryVersion {
        self.entries.get(&id).map(|entry| entry.version).unwrap_or_default()
    }

    pub(super) fn again(&self, id: QuarantineId, bad: bool) -> Redrive {
        let digest = self.entries.get(&id).map(|entry| entry.digest);
        let spec = digest.map(|digest| self.spec(digest).clone()).unwrap_or_default();
        Redrive { id, version: self.version(id), arrival: spec.arrival(bad) }
    }

    pub(super) fn redrive(&mut self, id: QuarantineId, bad: bool) -> Redriven {
        self.redrive_as(self.again(id, bad), None)
    }

    /// Redrives what was judged before, with an edit where there is one.
    pub(super) fn redrive_as(&mut self, again: Redrive, patch: Option<Patch>) -> Redriven {
        let facts = self.facts(&Ask::for_redrive(&again));
        let (writes, redriven) = redrive(at(0), again, patch, decision(), facts);
        self.write(writes);
        redriven
    }

    pub(super) fn edit(&mut self, id: QuarantineId, version: EntryVersion, patch: Patch) -> Result<(), Redriven> {
        let (writes, next) = edit(at(0), id, version, patch, decision(), &self.facts(&Ask::for_entry(id)))?;
        self.write(writes);
        assert_eq!(self.version(id), next);
        Ok(())
    }

    pub(super) fn discard(&mut self, id: QuarantineId) -> Redriven {
        self.discard_at(id, None)
    }

    pub(super) fn discard_at(&mut self, id: QuarantineId, version: Option<EntryVersion>) -> Redriven {
        let source = self.entries.get(&id).map_or_else(|| "".into(), |entry| entry.source.clone());
        let (writes, redriven) = discard(at(0), id, &source, version, decision(), &self.facts(&Ask::for_entry(id)));
        self.write(writes);
        redriven
    }

    pub(super) fn resume(&mut self, id: QuarantineId) -> Redriven {
        let facts = self.facts(&Ask::for_entry(id));
        let (writes, redriven) = resume(at(0), &self.entries[&id], decision(), &facts);
        self.write(writes);
        redriven
    }

    /// The held entries at the front of a line with the gate's verdicts; those that `bad` says turn out bad.
    pub(super) fn judged(&self, key: &ParkKey, limit: usize, bad: impl Fn(&Spec) -> bool) -> Vec<Redrive> {
        let held = self.line(key).take(limit).take_while(|entry| entry.state == State::Held);
        held.map(|entry| self.again(entry.id, bad(self.spec(entry.digest)))).collect()
    }

    /// One round of release. Whether anything moved.
    pub(super) fn release(&mut self, key: &ParkKey, line: Vec<Redrive>, limit: usize) -> bool {
        let facts = self.facts(&Ask::for_drain(key, &line, limit));
        let writes = drain(at(0), key, line, facts);
        let moved = !writes.is_empty();
        self.write(writes);
        moved
    }

    pub(super) fn drain(&mut self, key: &ParkKey, limit: usize, bad: impl Fn(&Spec) -> bool) -> bool {
        let line = self.judged(key, limit, bad);
        self.release(key, line, limit)
    }

    /// The keys whose first unresolved entry is held.
    pub(super) fn interrupted(&self) -> Vec<ParkKey> {
        let keys = self.entries.values().filter(|entry| unresolved(entry)).filter_map(|e| e.refusal.parks.clone());
        keys.filter(|key| self.line(key).next().is_some_and(|first| first.state == State::Held)).collect()
    }

    /// Releases until nothing is left to release.
    pub(super) fn drain_all(&mut self, bad: impl Fn(&Spec) -> bool) {
        // An entry may move from one line to another, but not for ever.
        for _ in 0..=2 * self.entries.len() {
            let Some(key) = self.interrupted().into_iter().next() else { return };
            assert!(self.drain(&key, 3, &bad), "a release of {key:?} moves nothing");
        }
        assert!(self.interrupted().is_empty(), "a release goes on for ever");
    }

    pub(super) fn states(&self) -> Vec<State> {
        self.entries.values().map(|entry| entry.state).collect()
    }

    pub(super) fn raw_ids(&self) -> Vec<&str> {
        self.log.iter().map(|event| event.raw_id.as_str()).collect()
    }
}
