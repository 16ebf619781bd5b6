//! Delivery in causal order: what depends on what has not come yet waits for it, in the store.
//!
//! The rule is that of [`crate::causal`] (Birman, Schiper and Stephenson 1991): event n of a source is delivered when its
//! events up to n − 1 were passed, and of every other source all that the event knew. What must wait is parked on the first
//! event it lacks and looked at again when that is passed, so an event costs its dependencies however many wait. There the
//! buffer is in memory and what waits must be offered again after a restart; here what waits and how far each source is are
//! rows of the log's store, read and written in the transaction that decides. So nothing can be lost between the two,
//! whoever decides, and a crash leaves nothing to be mended.
//!
//! A place is passed when its event is delivered or set aside by the gate (a void mark), and where a person declares that
//! it will not come. What expires or does not fit is set aside without passing its place, with the mark it waits for.
use super::{
    Ask, Causes, Clocks, Outcome, Place, Sent, SourceDot, Writes, contract_of, guards, held_behind,
    work::{Origin, Scene, Taken, Work},
};
use crate::{
    accounting::Account,
    clock::Hlc,
    event::{Causality, Delivery, Draft, Saw},
    ids::{EventId, Position, SourceName, StreamVersion},
    quarantine::{Decision, Reason, Refusal, State},
    time::Timestamp,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

/// Up to how many separate holes of one source void marks are kept ahead of what was passed. A void mark beyond that is not
/// kept: whoever depends on it waits until it is decided about, or declared.
const MAX_HOLES: usize = 4096;

/// What an event that waits costs beside its bytes.
const OVERHEAD_BYTES: u64 = 256;

/// How far a source is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passed {
    /// All its events up to this number are in the log or were given up.
    pub upto: u64,
    /// Those after it that were given up: first and last numbers, in order, not touching.
    pub holes: Vec<(u64, u64)>,
}

impl Passed {
    /// Goes on to `upto`, and over what was given up next.
    pub(super) fn advance(&mut self, upto: u64) {
        self.upto = self.upto.max(upto);
        let met = self.holes.iter().take_while(|hole| hole.0 <= self.upto.saturating_add(1)).count();
        for (_, last) in self.holes.drain(..met) {
            self.upto = self.upto.max(last);
        }
        // A hole may have brought the next one near.
        if self.holes.first().is_some_and(|hole| hole.0 <= self.upto.saturating_add(1)) {
            self.advance(self.upto);
        }
    }

    /// Gives up these numbers.
    pub(super) fn give_up(&mut self, first: u64, last: u64) {
        let mut merged = (first, last);
        self.holes.retain(|&(from, to)| {
            let apart = to.saturating_add(1) < merged.0 || merged.1.saturating_add(1) < from;
            if !apart {
                merged = (merged.0.min(from), merged.1.max(to));
            }
            apart
        });
        let at = self.holes.partition_point(|hole| hole.0 < merged.0);
        self.holes.insert(at, merged);
    }

    /// Takes back that this number was given up.
    pub(super) fn expect(&mut self, seq: u64) {
        let Some(at) = self.holes.iter().position(|&(from, to)| (from..=to).contains(&seq)) else { return };
        let (from, to) = self.holes.remove(at);
        let parts = [(from, seq - 1), (seq + 1, to)];
        self.holes.splice(at..at, parts.into_iter().filter(|(from, to)| from <= to));
    }
}

/// An event that waits for what it depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// What was sent.
    pub sent: Sent,
    /// What the gate made of it when it came.
    pub draft: Draft,
    /// What it knew.
    pub causes: Causes,
    /// Its stamp: its source's, or that of its receipt.
    pub hlc: Hlc,
    /// When it came.
    pub since: Timestamp,
    /// The first event that it lacks.
    pub on: SourceDot,
    /// What its writer had seen of the log, where it was sent with a consistency token.
    pub saw: Option<Saw>,
}

impl Waiting {
    /// Its mark.
    pub fn dot(&self) -> SourceDot {
        SourceDot::new(self.sent.source.clone(), self.causes.seq)
    }

    /// How much it counts against the limit.
    pub fn bytes(&self) -> u64 {
        let names: usize = self.causes.knows.iter().map(|dot| dot.source.as_str().len() + 8).sum();
        (self.sent.raw.len() + names) as u64 + OVERHEAD_BYTES
    }
}

/// Events of a source that a person declared not to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// The source.
    pub source: SourceName,
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// Who declared it, and why.
    pub decision: Decision,
    /// When.
    pub at: Timestamp,
}

/// What a decision has changed about who waits and who is passed.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Events that came to wait, or wait for another one now.
    waits: BTreeMap<SourceDot, Waiting>,
    /// Those of them by what they wait for.
    on: BTreeMap<SourceDot, BTreeSet<SourceDot>>,
    /// Marks under which the store's word does not hold any more.
    moved: HashSet<SourceDot>,
    touched: BTreeSet<SourceName>,
    /// Who is to be woken: a source, and which of its numbers were passed.
    spans: VecDeque<(SourceName, u64, u64)>,
    ready: VecDeque<Waiting>,
    stamps: BTreeMap<SourceDot, Hlc>,
    became: HashMap<EventId, Outcome>,
}

/// Why an event is not delivered.
pub(super) enum Unsettled {
    /// It lacks these.
    Lacks(Vec<SourceDot>),
    /// Another event has its mark.
    Reused,
}

/// Declares that these events of a source will not come; whether there was anything to declare. What comes all the same is
/// taken, as an exception.
pub fn skip<'s>(
    scene: impl Into<Scene<'s>>,
    source: &SourceName,
    (first, last): (u64, u64),
    decision: Decision,
    facts: super::Facts,
) -> (Writes, bool) {
    let mut work = Work::new(scene.into(), facts);
    let upto = work.passed(source);
    if first > last || last <= upto {
        return (Writes::default(), false);
    }
    let at = work.scene.now;
    work.writes.skips.push(Skip { source: source.clone(), first, last, decision, at });
    let mut from = first.max(upto + 1);
    let mut standing = std::mem::take(&mut work.facts.standing);
    standing.sort_unstable();
    // Who waits in its place is delivered in it.
    for seq in standing.into_iter().chain([last.saturating_add(1)]).filter(|seq| *seq >= first) {
        if from < seq {
            work.give_up(source, from, seq - 1);
        }
        from = from.max(seq.saturating_add(1));
    }
    work.run();
    (work.finish(), true)
}

/// Sets aside what has waited too long, with what it waits for. How many events it were.
pub fn expire<'s>(scene: impl Into<Scene<'s>>, mut facts: super::Facts) -> (Writes, usize) {
    let expired = std::mem::take(&mut facts.expired);
    let count = expired.len();
    let mut work = Work::new(scene.into(), facts);
    for event in expired {
        work.look_up(&event);
        let lacks = work.lacks(&event.sent.source, &event.causes);
        if lacks.is_empty() {
            work.look_again(event);
            continue;
        }
        work.leave(&event);
        let refusal = causal(Reason::CausalTimeout, &event.draft, &lacks);
        work.set_aside_waiting(event, refusal, State::Quarantined, lacks.into_iter().next());
    }
    work.run();
    (work.finish(), count)
}

/// Why an event that its source counts is set aside.
pub(super) fn causal(reason: Reason, draft: &Draft, lacks: &[SourceDot]) -> Refusal {
    const NAMED: usize = 8;
    let mut named: Vec<_> = lacks.iter().take(NAMED).map(|dot| format!("event {dot}")).collect();
    if lacks.len() > NAMED {
        named.push(format!("{} more", lacks.len() - NAMED));
    }
    let what = named.join(", ");
    let detail = match reason {
        Reason::CausalOverflow => format!("too much waits already, and it would have to wait for {what}"),
        _ => format!("it waits for {what}, which did not come in time; it goes on by itself when that comes"),
    };
    of_clock(reason, draft, detail)
}

/// Two events under one mark: an identity is used twice, or somebody lies.
pub(super) fn reused(draft: &Draft, dot: &SourceDot) -> Refusal {
    let detail = format!("another event is number {dot}: a number is given to one event only");
    of_clock(Reason::IdConflict, draft, detail)
}

fn of_clock(reason: Reason, draft: &Draft, detail: String) -> Refusal {
    Refusal {
        reason,
        detail,
        pointer: Some(format!("/{}", super::VCLOCK)),
        contract: Some(contract_of(draft)),
        subject: Some(draft.subject.clone()),
        parks: None,
    }
}

impl Work<'_> {
    /// What became of an event that waited.
    pub(super) fn became(&self, id: EventId) -> Option<&Outcome> {
        self.flow.became.get(&id)
    }

    /// What an event with these clocks lacks.
    pub(super) fn unmet_of(&mut self, source: &SourceName, clocks: &Clocks) -> Vec<SourceDot> {
        clocks.causes.as_ref().map_or_else(Vec::new, |causes| self.lacks(source, causes))
    }

    /// An event arrives that its source counts and whose identity is new.
    pub(super) fn offer(&mut self, sent: Sent, draft: Draft, causes: Causes, clocks: &Clocks) -> Outcome {
        self.begin(&sent.source, &causes);
        let hlc = clocks.hlc.unwrap_or_else(|| self.stamp());
        let on = SourceDot::new(sent.source.clone(), causes.seq);
        let event = Waiting { sent, draft, causes, hlc, since: self.scene.now, on, saw: clocks.saw() };
        match self.settled(&event) {
            Ok(delivery) => {
                self.writes.book(&event.sent.source, Account::ADMITTED);
                let (position, stream_version) = self.deliver(event, delivery, Origin::Sent);
                Outcome::Admitted { position, stream_version }
            }
            Err(Unsettled::Reused) => {
                let refusal = reused(&event.draft, &event.dot());
                self.writes.book(&event.sent.source, Account::entered(State::Quarantined));
                self.set_aside(taken(event, None), refusal, State::Quarantined)
            }
            Err(Unsettled::Lacks(lacks)) => self.wait(event, lacks),
        }
    }

    /// How an event is to be delivered, or why it is not.
    pub(super) fn settled(&mut self, event: &Waiting) -> Result<Delivery, Unsettled> {
        if self.facts.dots.get(&event.dot()).is_some_and(|other| *other != event.sent.id) {
            return Err(Unsettled::Reused);
        }
        let lacks = self.lacks(&event.sent.source, &event.causes);
        if !lacks.is_empty() {
            return Err(Unsettled::Lacks(lacks));
        }
        let late = event.causes.seq <= self.passed(&event.sent.source);
        Ok(if late { Delivery::Exception } else { Delivery::Causal })
    }

    /// A source that begins later than with 1 has passed what is before.
    pub(super) fn begin(&mut self, source: &SourceName, causes: &Causes) {
        if self.passed(source) < causes.first - 1 {
            self.pass(source, causes.first - 1);
        }
    }

    /// How many events of a source were passed.
    fn passed(&mut self, source: &SourceName) -> u64 {
        if let Some(passed) = self.facts.passed.get(source) {
            return passed.upto;
        }
        let found = self.more(&Ask { passed: vec![source.clone()], ..Ask::default() });
        let passed = found.passed.get(source).cloned().unwrap_or_default();
        self.facts.passed.entry(source.clone()).or_insert(passed).upto
    }

    /// What an event lacks: the one before it of its own source first.
    fn lacks(&mut self, source: &SourceName, causes: &Causes) -> Vec<SourceDot> {
        let before = SourceDot::new(source.clone(), causes.seq - 1);
        let begun = self.passed(source).max(causes.first - 1);
        let mut lacks = Vec::new();
        if begun < before.seq {
            lacks.push(before);
        }
        for dot in &causes.knows {
            if self.passed(&dot.source) < dot.seq {
                lacks.push(dot.clone());
            }
        }
        lacks
    }

    fn wait(&mut self, mut event: Waiting, lacks: Vec<SourceDot>) -> Outcome {
        let Some(first) = lacks.first().cloned() else { return Outcome::Waiting { waits_for: lacks, repeated: false } };
        let clock = &mut self.facts.clock;
        let (events, bytes) = (clock.waiting_events + 1, clock.waiting_bytes + event.bytes());
        if events > self.scene.limits.max_events || bytes > self.scene.limits.max_bytes {
            let refusal = causal(Reason::CausalOverflow, &event.draft, &lacks);
            self.writes.book(&event.sent.source, Account::entered(State::Quarantined));
            return self.set_aside(taken(event, Some(first)), refusal, State::Quarantined);
        }
        (clock.waiting_events, clock.waiting_bytes) = (events, bytes);
        let (dot, id) = (event.dot(), event.sent.id);
        self.writes.book(&event.sent.source, Account::WAITING);
        self.facts.known.entry(id).or_default().push((event.sent.digest, Place::Waiting));
        self.facts.dots.insert(dot.clone(), id);
        // Somebody stands there now, so it is not to be passed over.
        if self.facts.passed.get(&dot.source).is_some_and(|passed| !passed.holes.is_empty()) {
            self.touch(&dot.source).expect(dot.seq);
        }
        event.on = first;
        self.park(event);
        Outcome::Waiting { waits_for: lacks, repeated: false }
    }

    fn park(&mut self, event: Waiting) {
        let dot = event.dot();
        self.flow.moved.insert(dot.clone());
        self.flow.on.entry(event.on.clone()).or_default().insert(dot.clone());
        self.flow.waits.insert(dot, event);
    }

    /// An event waits no longer.
    fn leave(&mut self, event: &Waiting) {
        let dot = event.dot();
        self.unpark(&dot);
        self.flow.moved.insert(dot);
        let clock = &mut self.facts.clock;
        clock.waiting_events = clock.waiting_events.saturating_sub(1);
        clock.waiting_bytes = clock.waiting_bytes.saturating_sub(event.bytes());
        if let Some(known) = self.facts.known.get_mut(&event.sent.id) {
            known.retain(|(_, place)| *place != Place::Waiting);
        }
    }

    fn unpark(&mut self, dot: &SourceDot) {
        if let Some(event) = self.flow.waits.remove(dot)
            && let Some(others) = self.flow.on.get_mut(&event.on)
        {
            others.remove(dot);
        }
    }

    /// Delivers an event, and whoever waited for it is looked at next.
    pub(super) fn deliver(&mut self, event: Waiting, delivery: Delivery, origin: Origin) -> (Position, StreamVersion) {
        let dot = event.dot();
        let before = SourceDot::new(dot.source.clone(), dot.seq - 1);
        let known = std::iter::once(&before).chain(&event.causes.knows).filter_map(|dot| self.stamp_upto(dot)).max();
        // A new one is above all that was given, and no one else has it, as one just above what it knew might.
        let hlc = if known >= Some(event.hlc) { self.stamp() } else { event.hlc };
        self.facts.dots.insert(dot.clone(), event.sent.id);
        let causality = Causality { hlc, seq: dot.seq, delivery, saw: event.saw };
        let placed = self.append_as(event.sent, event.draft, causality, origin);
        if delivery == Delivery::Causal {
            self.pass(&dot.source, dot.seq);
        }
        self.note_stamp(dot, hlc);
        placed
    }

    /// The greatest stamp of what is known with this mark.
    fn stamp_upto(&self, dot: &SourceDot) -> Option<Hlc> {
        self.stamp_here(dot).max(self.facts.stamps.get(dot).copied())
    }

    /// The greatest stamp that was given here to an event of this source up to this number.
    fn stamp_here(&self, dot: &SourceDot) -> Option<Hlc> {
        let begin = SourceDot::new(dot.source.clone(), 0);
        self.flow.stamps.range(begin..=dot.clone()).next_back().map(|(_, hlc)| *hlc)
    }

    /// Keeps the greatest up to each number, so that asking costs nothing. Numbers come in order but for exceptions.
    fn note_stamp(&mut self, dot: SourceDot, hlc: Hlc) {
        let upto = self.stamp_here(&dot).map_or(hlc, |before| before.max(hlc));
        let end = SourceDot::new(dot.source.clone(), u64::MAX);
        for (_, later) in self.flow.stamps.range_mut(dot.clone()..=end) {
            if *later >= upto {
                break;
            }
            *later = upto;
        }
        self.flow.stamps.insert(dot, upto);
    }

    fn touch(&mut self, source: &SourceName) -> &mut Passed {
        self.passed(source);
        self.flow.touched.insert(source.clone());
        self.facts.passed.entry(source.clone()).or_default()
    }

    fn pass(&mut self, source: &SourceName, upto: u64) {
        let passed = self.touch(source);
        let before = passed.upto;
        passed.advance(upto);
        let after = passed.upto;
        if after > before {
            self.flow.spans.push_back((source.clone(), before, after));
        }
    }

    fn give_up(&mut self, source: &SourceName, first: u64, last: u64) {
        let passed = self.touch(source);
        passed.give_up(first, last);
        let upto = passed.upto;
        self.pass(source, upto);
    }

    /// Nobody waits for the event of this mark, unless another one stands in its place.
    pub(super) fn void(&mut self, dot: &SourceDot) {
        let upto = self.passed(&dot.source);
        let full = self.facts.passed.get(&dot.source).is_some_and(|passed| passed.holes.len() >= MAX_HOLES);
        if dot.seq > upto && !(full && dot.seq > upto + 1) && !self.facts.dots.contains_key(dot) {
            self.give_up(&dot.source, dot.seq, dot.seq);
        }
    }

    /// Delivers what waited for what was passed, and what waited for that.
    pub(super) fn run(&mut self) {
        loop {
            if let Some(event) = self.flow.ready.pop_front() {
                self.look_again(event);
            } else if let Some((source, after, upto)) = self.flow.spans.pop_front() {
                let woken = self.woken(source, after, upto);
                self.flow.ready.extend(woken);
            } else {
                return;
            }
        }
    }

    /// The events that wait for one of these.
    fn woken(&mut self, source: SourceName, after: u64, upto: u64) -> Vec<Waiting> {
        let span = SourceDot::new(source.clone(), after + 1)..=SourceDot::new(source.clone(), upto);
        let here: Vec<SourceDot> = self.flow.on.range(span).flat_map(|(_, dots)| dots.iter().cloned()).collect();
        let mut woken = Vec::new();
        if self.waited_before() {
            woken = self.more(&Ask { woken: Some((source, after, upto)), ..Ask::default() }).woken;
            woken.retain(|event| !self.flow.moved.contains(&event.dot()));
        }
        woken.extend(here.iter().filter_map(|dot| self.flow.waits.get(dot).cloned()));
        // However they were divided into transactions.
        woken.sort_by_key(|event| (event.since, event.dot()));
        woken
    }

    /// Asks for what must be known to deliver an event that waited.
    fn look_up(&mut self, event: &Waiting) {
        let mut ask = Ask::default();
        let mut known: HashSet<SourceName> = self.facts.passed.keys().cloned().collect();
        ask.about(&event.sent.source, &event.causes, &mut known);
        ask.dots.clear();
        ask.keys.extend(guards(&event.sent.source, &event.draft));
        ask.subjects.push(event.draft.subject.clone());
        let found = self.more(&ask);
        let facts = &mut self.facts;
        facts.stamps.extend(found.stamps);
        for (source, passed) in found.passed {
            facts.passed.entry(source).or_insert(passed);
        }
        for (key, first) in found.parked {
            facts.parked.entry(key).or_insert(first);
        }
        for (subject, version) in found.versions {
            facts.versions.entry(subject).or_insert(version);
        }
    }

    /// One of those that an event waited for was passed.
    fn look_again(&mut self, mut event: Waiting) {
        // It may have been woken twice.
        let dot = event.dot();
        if self.flow.moved.contains(&dot) && !self.flow.waits.contains_key(&dot) {
            return;
        }
        self.look_up(&event);
        let delivery = match self.settled(&event) {
            Ok(delivery) => delivery,
            Err(Unsettled::Lacks(lacks)) => {
                self.unpark(&dot);
                event.on = lacks.into_iter().next().unwrap_or(event.on);
                return self.park(event);
            }
            Err(Unsettled::Reused) => {
                self.leave(&event);
                let refusal = reused(&event.draft, &dot);
                return self.set_aside_waiting(event, refusal, State::Quarantined, None);
            }
        };
        self.leave(&event);
        let blocked_by =
            guards(&event.sent.source, &event.draft).into_iter().find(|key| self.facts.parked.contains_key(key));
        if let Some(key) = blocked_by {
            let refusal = held_behind(&event.draft, key);
            self.set_aside_waiting(event, refusal, State::Held, None);
            self.facts.dots.remove(&dot);
            return self.void(&dot);
        }
        let id = event.sent.id;
        self.writes.book(&event.sent.source, Account::waited(State::Admitted));
        let (position, stream_version) = self.deliver(event, delivery, Origin::Sent);
        self.flow.became.insert(id, Outcome::Admitted { position, stream_version });
    }

    fn set_aside_waiting(&mut self, event: Waiting, refusal: Refusal, state: State, recall: Option<SourceDot>) {
        let id = event.sent.id;
        self.writes.book(&event.sent.source, Account::waited(state));
        let outcome = self.set_aside(taken(event, recall), refusal, state);
        self.flow.became.insert(id, outcome);
    }

    /// Turns what was changed into what is to be written.
    pub(super) fn settle_flow(&mut self) {
        let flow = std::mem::take(&mut self.flow);
        for source in flow.touched {
            if let Some(passed) = self.facts.passed.get(&source) {
                self.writes.passed.insert(source, passed.clone());
            }
        }
        let mut released: Vec<_> = flow.moved.into_iter().filter(|dot| !flow.waits.contains_key(dot)).collect();
        released.sort_unstable();
        self.writes.released = released;
        self.writes.waits = flow.waits.into_values().collect();
    }
}

fn taken(event: Waiting, recall: Option<SourceDot>) -> Taken {
    Taken { sent: event.sent, hlc: event.hlc, received_at: event.since, recall, saw: event.saw }
}
