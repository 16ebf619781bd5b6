//! Sources and the way into the log: batches that are sent, taken in together, answered, or lost on the way and sent
//! again.
//!
//! Not here: what is in the events ([`super::events`]), and the books ([`super::ledger`]).
use super::{
    Checked, broken,
    causing::{Claim, stamp_ms},
    events::{COUNTING, Intent, Made},
    ledger::{Content, Sent},
    sound,
    world::World,
};
use crate::{Clock, ingest};
use evenkeel_core::{
    Draft, Position, StreamVersion, Subject,
    intake::{Arrival, CausalLimits, Outcome, Seen, Verdict},
    quarantine::{QuarantineId, Reason},
};
use evenkeel_store::Log;
use std::collections::BTreeSet;

/// How many events a source sends at once, at the most.
const BATCH: u64 = 5;

/// A source.
pub(super) struct Sender {
    source: &'static str,
    numbered: u64,
    made: Vec<Made>,
    /// How many events of the other that counts its own it has heard of.
    heard: u64,
    /// Made and not sent yet; some of them never.
    kept: Vec<Made>,
    /// What was sent and not answered, or answered with an error.
    unknown: Option<Request>,
    /// Whether a request is on its way.
    waits: bool,
}

/// What a source sends at once.
#[derive(Debug, Clone)]
struct Request {
    events: Vec<Made>,
    expected: Option<StreamVersion>,
}

/// A request that has passed the gate and waits for the log.
pub(super) struct Submission {
    sender: usize,
    request: Request,
    arrivals: Vec<Arrival>,
    gate: usize,
}

impl Submission {
    /// Whether one of the two is conditional and both hold the same event: taken together, nobody could tell from the
    /// log which of them it came with.
    fn blurs(&self, other: &Self) -> bool {
        let same = |arrival: &Arrival| {
            other.arrivals.iter().any(|a| (a.sent.id, a.sent.digest) == (arrival.sent.id, arrival.sent.digest))
        };
        (self.request.expected.is_some() || other.request.expected.is_some()) && self.arrivals.iter().any(same)
    }
}

impl Sender {
    pub(super) fn new(source: &'static str) -> Self {
        Self { source, numbered: 0, made: Vec::new(), heard: 0, kept: Vec::new(), unknown: None, waits: false }
    }

    /// The node is gone, and with it what was on its way.
    pub(super) fn cut_off(&mut self) {
        self.waits = false;
    }

    pub(super) fn has_unknown(&self) -> bool {
        self.unknown.is_some()
    }
}

/// What should become of an event.
struct Awaited {
    /// Why it should be set aside.
    should_wait: Option<Reason>,
    /// Whether its source counts it, so that it may wait for others.
    counted: bool,
    /// Whether its stamp may be too far ahead, or be none.
    perhaps: bool,
}

/// What was known before a batch was taken in, to judge its answers by.
struct Before {
    head: Position,
    last_entry: Option<QuarantineId>,
    known: BTreeSet<Content>,
    waiting: BTreeSet<Content>,
}

impl World {
    /// A source sends something: what it does not know the fate of, or something new.
    pub(super) fn send(&mut self) -> Checked {
        let index = self.random.index(self.senders.len());
        if self.senders[index].waits {
            return Ok(());
        }
        let request = match self.senders[index].unknown.take() {
            Some(_) if self.random.chance(60) => {
                self.say(format!("{} gives up", self.senders[index].source));
                return Ok(());
            }
            Some(request) => request,
            None if self.to_make > 0 => self.compose(index),
            None => return Ok(()),
        };
        self.hand_over(index, request)
    }

    /// Every source sends again what it does not know the fate of.
    pub(super) fn resend_all(&mut self) -> Checked {
        for index in 0..self.senders.len() {
            if let Some(request) = self.senders[index].unknown.take() {
                self.hand_over(index, request)?;
            }
        }
        Ok(())
    }

    fn compose(&mut self, index: usize) -> Request {
        let count = 1 + self.random.below(BATCH);
        let mut events = Vec::new();
        for _ in 0..count {
            let other = self.random.index(self.senders.len());
            let random = &mut self.random;
            let earlier = self.senders[other].made.get(random.index(self.senders[other].made.len())).cloned();
            let made = match (random.below(100), earlier) {
                (0..=11, Some(earlier)) => earlier,
                (12..=16, Some(earlier)) => earlier.forged(random),
                _ => self.make(index),
            };
            self.senders[index].made.push(made.clone());
            let (sender, random) = (&mut self.senders[index], &mut self.random);
            if !COUNTING.contains(&sender.source) {
                events.push(made);
                continue;
            }
            // Who counts his events is no reason for them to come in order.
            if random.chance(250) {
                sender.kept.push(made)
            } else {
                events.insert(random.index(events.len() + 1), made)
            }
            if events.is_empty() || (random.chance(250) && !sender.kept.is_empty()) {
                let at = random.index(sender.kept.len());
                events.push(sender.kept.swap_remove(at));
            }
        }
        let expected = (events.len() == 1 && self.random.chance(250)).then(|| StreamVersion(self.random.below(6)));
        Request { events, expected }
    }

    /// A source makes an event, and says what it knew if it counts its events.
    fn make(&mut self, index: usize) -> Made {
        let sender = &mut self.senders[index];
        let source = sender.source;
        sender.numbered += 1;
        let number = sender.numbered;
        self.to_make = self.to_make.saturating_sub(1);
        let Some(own) = COUNTING.iter().position(|counting| *counting == source) else {
            return Made::new(&mut self.random, source, number);
        };
        let other = COUNTING[1 - own];
        let made = self.senders.iter().find(|sender| sender.source == other).map_or(0, |sender| sender.numbered);
        let random = &mut self.random;
        let sender = &mut self.senders[index];
        if random.chance(450) {
            sender.heard = sender.heard.max(made.saturating_sub(random.below(3)));
        }
        let mut clocks = format!(r#","vclock":"{source}={number}"#);
        if sender.heard > 0 {
            clocks += &format!(",{other}={}", sender.heard);
        }
        clocks.push('"');
        if random.chance(300) {
            let now_ms = u64::try_from(self.clock.now().as_micros() / 1000).unwrap_or_default();
            let ms = match random.below(20) {
                0 => now_ms + 10_000_000,
                1..=4 => now_ms + random.below(1_000),
                _ => now_ms.saturating_sub(random.below(5_000)),
            };
            clocks += &format!(r#","hlc":"{ms}.{}""#, random.below(3));
        }
        Made::clocked(random, source, number, clocks).at(self.ledger.history.len() as u64)
    }

    /// Every source sends what it has kept so long, now and then.
    pub(super) fn send_kept(&mut self) -> Checked {
        for index in 0..self.senders.len() {
            let events = std::mem::take(&mut self.senders[index].kept);
            if !events.is_empty() && self.random.chance(600) {
                self.hand_over(index, Request { events, expected: None })?;
            }
        }
        Ok(())
    }

    /// The gate decides in the sender's place, as in the engine.
    fn hand_over(&mut self, sender: usize, request: Request) -> Checked {
        let gate = self.project.gates[self.gate].as_ref();
        let mut arrivals = Vec::new();
        for made in &request.events {
            match (gate.decide(made.raw.clone(), request.expected), made.intent) {
                (Err(_), Intent::Unreadable) => {
                    self.say(format!("{} is refused: an event has no identity", self.senders[sender].source));
                    return Ok(());
                }
                (Ok(_), Intent::Unreadable) => {
                    return broken("an event without identity to be refused", "it was taken");
                }
                (Err(unreadable), _) => return broken("an event with an identity to be taken", unreadable.to_string()),
                (Ok(decided), _) => arrivals.push(decided.arrival),
            }
        }
        // Some writers say what they had seen, which need not be all.
        let counts = request.events.iter().any(|made| COUNTING.contains(&made.source()));
        let told = !counts || request.events.len() == 1;
        if self.random.chance(400) && told {
            // Who counts his events has not seen those that knew this one.
            let made_at = request.events.iter().map(Made::made_at).min().filter(|_| counts);
            let head = self.ledger.history.len() as u64;
            let untouched = self.untouched.filter(|_| counts).map_or(head, |untouched| untouched.0);
            let head = head.min(untouched).min(made_at.unwrap_or(head));
            let upto = Position(self.random.below(head + 1));
            arrivals.iter_mut().for_each(|arrival| arrival.clocks.seen = Some(Seen::Upto(upto)));
        }
        for (made, arrival) in request.events.iter().zip(&arrivals) {
            let own = (arrival.sent.id, arrival.sent.digest);
            self.ledger.sent.entry(own).or_insert_with(|| Sent {
                intent: made.intent,
                raw: made.raw.clone(),
                claim: Claim::read(&made.raw),
                stamp_ms: stamp_ms(&made.raw),
            });
        }
        self.stats.sent += arrivals.len() as u64;
        self.say(format!("{} sends {}", self.senders[sender].source, names(&arrivals)));
        let Some(node) = &mut self.node else { return Ok(()) };
        self.senders[sender].unknown = Some(request.clone());
        self.senders[sender].waits = true;
        node.queue.push_back(Submission { sender, request, arrivals, gate: self.gate });
        Ok(())
    }

    /// The log's writer takes what waits, several requests in one transaction.
    pub(super) fn take(&mut self) -> Checked {
        let most = 1 + self.random.index(3);
        let Some(node) = &mut self.node else { return Ok(()) };
        let mut taken: Vec<Submission> = Vec::new();
        while let Some(next) = node.queue.front()
            && taken.len() < most
            && !taken.iter().any(|other| other.blurs(next))
        {
            taken.extend(node.queue.pop_front());
        }
        if taken.is_empty() {
            return Ok(());
        }
        let arrivals: Vec<Arrival> = taken.iter().flat_map(|submission| submission.arrivals.iter().cloned()).collect();
        let batch: Vec<Content> = arrivals.iter().map(|arrival| (arrival.sent.id, arrival.sent.digest)).collect();
        let before = Before {
            head: Position(self.ledger.history.len() as u64),
            last_entry: self.ledger.last_entry,
            known: self.ledger.arrived.keys().copied().collect(),
            waiting: self.ledger.order.waiting.keys().copied().collect(),
        };
        let limits = CausalLimits { max_events: self.most_waiting, ..CausalLimits::default() };
        let result = ingest::commit(self.log.as_ref(), self.clock.as_ref(), limits, arrivals);
        let added = self.book(&batch)?;
        match result {
            Ok(outcomes) => {
                self.say(format!("taken in: {}", outcomes.iter().map(outcome).collect::<Vec<_>>().join(", ")));
                if outcomes.len() != batch.len() {
                    return broken(format!("{} answers", batch.len()), format!("{}", outcomes.len()));
                }
                let mut outcomes = outcomes.into_iter();
                let mut seen = BTreeSet::new();
                for submission in taken {
                    let answers: Vec<Outcome> = outcomes.by_ref().take(submission.arrivals.len()).collect();
                    self.answer(submission, answers, &before, &mut seen)?;
                }
            }
            Err(error) => {
                let effect = if added.is_nothing(&self.ledger) { "nothing was" } else { "it was" };
                self.say(format!("not taken in: {error}; {effect} written"));
                for submission in taken {
                    self.senders[submission.sender].waits = false;
                }
            }
        }
        Ok(())
    }

    fn answer(
        &mut self,
        submission: Submission,
        answers: Vec<Outcome>,
        before: &Before,
        seen: &mut BTreeSet<Content>,
    ) -> Checked {
        let Submission { sender, request, arrivals, gate } = submission;
        for (arrival, answer) in arrivals.iter().zip(answers) {
            let own = (arrival.sent.id, arrival.sent.digest);
            let new = !before.known.contains(&own) && seen.insert(own);
            self.judge(arrival, &request, gate, &answer, new, before)?;
            if !matches!(answer, Outcome::VersionConflict { .. }) {
                self.ledger.acknowledged.insert(own);
            } else if new {
                seen.remove(&own);
            }
        }
        self.senders[sender].unknown = None;
        self.senders[sender].waits = false;
        Ok(())
    }

    /// What a gate of this version should make of an event.
    fn awaited(&self, arrival: &Arrival, gate: usize, new: bool) -> Awaited {
        let sent = self.ledger.sent.get(&(arrival.sent.id, arrival.sent.digest));
        let now_ms = u64::try_from(self.clock.now().as_micros() / 1000).unwrap_or_default();
        let limit_ms = now_ms + u64::from(CausalLimits::default().max_skew_ms);
        // Only what is new is compared with the time.
        let ahead = new && sent.and_then(|sent| sent.stamp_ms).is_some_and(|ms| ms > limit_ms);
        // Of who had seen the log a stamp is not taken that the log has passed.
        let perhaps = ahead && arrival.clocks.seen.is_some();
        let should_wait = match sent.map_or(Intent::Unreadable, |sent| sent.intent) {
            Intent::Bad(reason) => Some(reason),
            Intent::TooStrict(reason) if gate == 0 => Some(reason),
            Intent::Good if ahead && !perhaps => Some(Reason::ClockSkew),
            Intent::Good | Intent::TooStrict(_) | Intent::Unreadable => None,
        };
        Awaited { should_wait, counted: sent.is_some_and(|sent| sent.claim.is_some()), perhaps }
    }

    /// Whether an answer is what happened, and what should have.
    fn judge(
        &self,
        arrival: &Arrival,
        request: &Request,
        gate: usize,
        answer: &Outcome,
        new: bool,
        before: &Before,
    ) -> Checked {
        let own = (arrival.sent.id, arrival.sent.digest);
        let wrong = |expected: String| broken(format!("{} {}", arrival.sent.raw_id, expected), format!("{answer:?}"));
        let at = |position: Position| {
            let index = usize::try_from(position.0).unwrap_or_default().checked_sub(1);
            index.and_then(|index| self.ledger.history.get(index)).map(super::ledger::content)
        };
        let Awaited { should_wait, counted, perhaps } = self.awaited(arrival, gate, new);
        // It was taken before, and was waited for now; or both came together.
        let went_on = counted && (before.waiting.contains(&own) || !before.known.contains(&own));
        match answer {
            Outcome::Admitted { position, .. } => {
                if !(new || went_on) || at(*position) != Some(own) || *position <= before.head {
                    return wrong("new in the log where the answer says".into());
                }
                if should_wait.is_some() || self.ledger.has_rival(own) {
                    return wrong(format!("to wait ({should_wait:?}, or an id that is taken)"));
                }
            }
            Outcome::Duplicate { position, .. } => {
                if new || at(*position) != Some(own) {
                    return wrong("in the log where the answer says, and known before".into());
                }
            }
            Outcome::Quarantined { id, reason, repeated } => {
                let entry = sound(self.below.log.entry(*id))?;
                if entry.is_none_or(|entry| (entry.event_id, entry.digest) != own) {
                    return wrong("in the entry that the answer names".into());
                }
                if (*repeated == new && (*repeated || !went_on)) || (new && Some(*id) <= before.last_entry) {
                    return wrong(format!("to be {}", if new { "new" } else { "known" }));
                }
                let justified = match reason {
                    Reason::IdConflict => self.ledger.has_rival(own),
                    Reason::HeldBehind => should_wait.is_none(),
                    Reason::CausalOverflow => counted && should_wait.is_none() && self.most_waiting < 10_000,
                    Reason::ClockSkew if perhaps => true,
                    // Also where the id is taken: who is not trusted is told nothing else.
                    Reason::UntrustedSource => should_wait == Some(Reason::UntrustedSource),
                    reason => should_wait == Some(*reason) && !self.ledger.has_rival(own),
                };
                if new && !justified {
                    return wrong(format!("to be refused for {should_wait:?}, or an id that is taken"));
                }
            }
            Outcome::Waiting { repeated, .. } => {
                if should_wait.is_some() || self.ledger.has_rival(own) || *repeated == new {
                    return wrong(format!("to be refused ({should_wait:?}), or to be told apart"));
                }
                if !self.ledger.order.waiting.contains_key(&own) {
                    return wrong("to be where it waits".into());
                }
            }
            Outcome::VersionConflict { expected, actual, parked } => {
                let subject = draft_of(arrival).map(|draft| draft.subject.clone());
                let there = subject.map_or(0, |subject| self.versions_of(&subject, before.head));
                let known = before.known.contains(&own);
                if known || request.expected != Some(*expected) || (expected == actual && !parked) {
                    return wrong("new, and of a stream with another version".into());
                }
                if actual.0 < there {
                    return wrong(format!("of a stream with at least {there} events"));
                }
            }
        }
        Ok(())
    }

    fn versions_of(&self, subject: &Subject, upto: Position) -> u64 {
        let upto = usize::try_from(upto.0).unwrap_or(usize::MAX).min(self.ledger.history.len());
        self.ledger.history[..upto].iter().filter(|event| event.draft.subject == *subject).count() as u64
    }
}

fn draft_of(arrival: &Arrival) -> Option<&Draft> {
    match &arrival.verdict {
        Verdict::Admit(draft) => Some(draft),
        Verdict::Quarantine(_) => None,
    }
}

fn names(arrivals: &[Arrival]) -> String {
    let name = |arrival: &Arrival| match &arrival.verdict {
        Verdict::Admit(draft) => format!("{} ({} {})", arrival.sent.raw_id, draft.event_type, draft.subject),
        Verdict::Quarantine(refusal) => format!("{} ({})", arrival.sent.raw_id, refusal.reason),
    };
    arrivals.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Admitted { position, .. } => format!("{position}"),
        Outcome::Duplicate { position, .. } => format!("duplicate of {position}"),
        Outcome::Quarantined { id, reason, repeated } => {
            format!("{id} {reason}{}", if *repeated { " again" } else { "" })
        }
        Outcome::Waiting { waits_for, .. } => format!("waits for {}", waits_for.len()),
        Outcome::VersionConflict { expected, actual, .. } => format!("version {actual}, not {expected}"),
    }
}
