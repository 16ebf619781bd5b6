//! What writers had seen, over generated histories: requests with and without tokens bring events with and without clocks,
//! good, bad, doubled, too early; they wait, expire, are held, sent through again. Whatever becomes of an event, it keeps what
//! its writer had seen when it was sent first, and its stamp is above those of all of that.
use super::{
    super::*,
    world::{Spec, World, at, decision},
};
use crate::{
    clock::Hlc,
    event::{Causality, Delivery, Saw},
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// An event of these histories, which is the same whenever it is sent.
#[derive(Debug, Clone)]
struct Made {
    id: u8,
    /// Its number, where its source counts it.
    seq: Option<u64>,
    hlc: Option<Hlc>,
    subject: u8,
    bad: bool,
}

impl Made {
    fn source(&self) -> &'static str {
        if self.seq.is_some() { "counted" } else { "plain" }
    }

    fn event_id(&self) -> EventId {
        EventId::of(self.source(), &self.id.to_string())
    }

    fn arrival(&self, bad: bool, seen: Option<Seen>, received: Option<Hlc>) -> Arrival {
        let raw = vec![self.id];
        let (id, digest, source) = (self.event_id(), Digest::of(&raw), self.source().into());
        let causes = self.seq.map(|seq| Box::new(Causes { seq, first: 1, knows: Vec::new() }));
        Arrival {
            sent: Sent { id, digest, source, raw_id: self.id.to_string(), raw },
            clocks: Clocks { hlc: self.hlc, received, causes, seen },
            ..Spec { subject: self.subject, ..Spec::default() }.arrival(bad)
        }
    }
}

fn made() -> impl Strategy<Value = Vec<Made>> {
    let hlc = (0u64..4_000, 0u16..3).prop_map(|(millis, counter)| Hlc::new(millis, counter));
    let one = (any::<bool>(), prop::option::of(hlc), 0u8..3, prop::bool::weighted(0.2));
    prop::collection::vec(one, 1..16).prop_map(|kinds| {
        let mut counted = 0;
        let mut made = Vec::new();
        for (id, (is_counted, hlc, subject, bad)) in (0u8..).zip(kinds) {
            counted += u64::from(is_counted);
            made.push(Made { id, seq: is_counted.then_some(counted), hlc, subject, bad });
        }
        made
    })
}

/// How much of the log its token speaks of, in percent, and its events.
type Request = (Option<u64>, Vec<usize>);

#[derive(Debug, Clone)]
enum Step {
    /// In one transaction.
    Send(Vec<Request>),
    /// One of the entries in quarantine, and what is held behind it.
    Redrive(usize),
    Expire,
}

fn steps() -> impl Strategy<Value = Vec<(i64, Step)>> {
    let request = (prop::option::of(0u64..=100), prop::collection::vec(0usize..1000, 1..5));
    let step = prop_oneof![
        5 => prop::collection::vec(request, 1..4).prop_map(Step::Send),
        3 => (0usize..1000).prop_map(Step::Redrive),
        1 => Just(Step::Expire),
    ];
    prop::collection::vec((0i64..4, step), 1..24)
}

/// A log under such a history, and what is to be expected of it.
#[derive(Debug, Default)]
struct History {
    world: World,
    made: Vec<Made>,
    /// Of each event that was sent with a token: what that spoke of, and the number of its request.
    seen: BTreeMap<EventId, Option<(Position, usize)>>,
    requests: usize,
}

impl History {
    fn again(&self, entry: &Entry) -> Redrive {
        let made = self.made.iter().find(|made| made.event_id() == entry.event_id).unwrap();
        let arrival = made.arrival(false, entry.saw.map(Seen::Kept), Some(entry.hlc));
        Redrive { id: entry.id, version: entry.version, arrival }
    }

    fn send(&mut self, now: Timestamp, requests: Vec<Request>) {
        let head = self.world.log.len() as u64;
        let mut arrivals = Vec::new();
        for (token, events) in requests {
            self.requests += 1;
            let upto = token.map(|percent| Position(head * percent / 100));
            let events: Vec<&Made> = events.iter().map(|index| &self.made[index % self.made.len()]).collect();
            for event in &events {
                let seen = upto.map(|upto| (upto, self.requests));
                self.seen.entry(event.event_id()).or_insert(seen);
            }
            arrivals.push(events.iter().map(|event| event.arrival(event.bad, upto.map(Seen::Upto), None)).collect());
        }
        let ask = Ask::for_arrivals(arrivals.iter().flat_map(|request: &Vec<Arrival>| request));
        let by = |scene: Scene<'_>, facts| admit_requests(scene, arrivals, facts);
        self.world.decide(now, CausalLimits::default(), &ask, by);
    }

    fn redrive(&mut self, now: Timestamp, which: usize) {
        let limits = CausalLimits::default();
        let waits = self.world.entries.values().filter(|entry| entry.state == State::Quarantined);
        let waits: Vec<_> = waits.cloned().collect();
        if waits.is_empty() {
            return;
        }
        let entry = &waits[which % waits.len()];
        let again = self.again(entry);
        let ask = Ask::for_redrive(&again);
        self.world.decide(now, limits, &ask, |scene, facts| redrive(scene, again, None, decision(), facts));
        let Some(key) = &entry.refusal.parks else { return };
        let held: Vec<_> = self.world.line(key).take_while(|entry| entry.state == State::Held).cloned().collect();
        let line: Vec<_> = held.iter().map(|entry| self.again(entry)).collect();
        let ask = Ask::for_drain(key, &line, 99);
        self.world.decide(now, limits, &ask, |scene, facts| (drain(scene, key, line, facts), ()));
    }

    fn run(&mut self, (seconds, step): (i64, Step)) {
        let now = at(seconds);
        match step {
            Step::Send(requests) => self.send(now, requests),
            Step::Redrive(which) => self.redrive(now, which),
            Step::Expire => {
                let ask = Ask::for_expiry(at(99), 99);
                self.world.decide(now, CausalLimits::default(), &ask, |scene, facts| expire(scene, facts));
            }
        }
    }

    /// What is kept of every event, wherever it is.
    fn kept(&self) -> impl Iterator<Item = (EventId, Option<Saw>)> {
        let log = self.world.log.iter().map(|event| (event.id, event.causality.saw));
        let waiting = self.world.waiting.iter().map(|event| (event.sent.id, event.saw));
        log.chain(waiting).chain(self.world.entries.values().map(|entry| (entry.event_id, entry.saw)))
    }

    fn holds(&self) {
        let mut of_request: BTreeMap<usize, Hlc> = BTreeMap::new();
        for (id, saw) in self.kept() {
            let seen = self.seen[&id];
            assert_eq!(saw.map(|saw| saw.upto), seen.map(|(upto, _)| upto), "{id}");
            if let (Some(saw), Some((_, request))) = (saw, seen) {
                assert_eq!(*of_request.entry(request).or_insert(saw.request), saw.request, "a request has one stamp");
            }
        }
        let stamps: BTreeSet<_> = of_request.values().collect();
        assert_eq!(stamps.len(), of_request.len(), "no two requests have the same stamp: {of_request:?}");
        let mut given = BTreeSet::new();
        for event in &self.world.log {
            let Causality { hlc, saw, delivery, .. } = event.causality;
            let knows = |other: &&Event| match saw {
                Some(saw) => other.position <= saw.upto,
                None => delivery == Delivery::Log && other.position < event.position,
            };
            for known in self.world.log.iter().filter(knows) {
                let other = known.causality.hlc;
                assert!(other < hlc, "{} at {hlc} knows {} at {other}", event.position, known.position);
            }
            assert!(saw.is_none_or(|saw| saw.request < hlc), "{event:?}");
            assert!(hlc <= self.world.clock.last, "the log's clock goes on from all that it has given");
            assert!(delivery != Delivery::Log || given.insert(hlc), "{hlc} is given twice");
        }
    }
}

proptest! {
    #[test]
    fn an_event_keeps_what_its_writer_had_seen_and_is_above_it(made in made(), steps in steps()) {
        let mut history = History { made, ..History::default() };
        for step in steps {
            history.run(step);
            history.holds();
        }
    }
}

fn plain(id: u8) -> Made {
    Made { id, seq: None, hlc: None, subject: id, bad: false }
}

#[test]
fn what_is_redriven_with_a_token_keeps_the_stamp_of_its_receipt_and_without_one_gets_a_new_one() {
    for token in [Some(Seen::Upto(Position(0))), None] {
        let mut history = History { made: vec![plain(1), plain(2)], ..History::default() };
        let (bad, good) = (history.made[0].arrival(true, token, None), history.made[1].arrival(false, token, None));
        let ask = Ask::for_arrivals([&bad, &good]);
        history.world.decide(at(1), CausalLimits::default(), &ask, |scene, facts| admit(scene, vec![bad, good], facts));
        let received = history.world.entries[&QuarantineId(1)].hlc;
        history.redrive(at(2), 0);
        let events: Vec<_> = history.world.log.iter().map(|event| event.causality).collect();
        assert_eq!(events.iter().map(|causality| causality.seq).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(events[1].hlc == received, token.is_some(), "{events:?}, received at {received}");
        // The other event of its request, which came after it, is the later one.
        assert_eq!(events[1].hlc < events[0].hlc, token.is_some(), "{events:?}");
        assert_eq!(events[0].saw, events[1].saw);
    }
}

#[test]
fn a_stamp_of_its_sources_counts_only_if_it_is_above_all_that_was_seen() {
    let counted = |id, hlc| Made { seq: Some(u64::from(id)), hlc: Some(hlc), ..plain(id) };
    let mut history = History { made: vec![plain(9)], ..History::default() };
    history.send(at(2), vec![(None, vec![0])]);
    let (early, late) = (Hlc::new(1_000, 0), Hlc::new(2_400, 0));
    let token = Some(Seen::Upto(Position(1)));
    let arrivals = [counted(1, early), counted(2, late)].map(|made| made.arrival(false, token, None)).to_vec();
    let ask = Ask::for_arrivals(&arrivals);
    history.world.decide(at(2), CausalLimits::default(), &ask, |scene, facts| admit(scene, arrivals, facts));
    let stamps: Vec<_> = history.world.log.iter().map(|event| event.causality.hlc).collect();
    assert_eq!(stamps, [Hlc::new(2_000, 0), Hlc::new(2_000, 2), late], "the second is its request's next");
}

#[test]
fn a_request_that_changes_nothing_moves_no_clock() {
    let mut history = History { made: vec![plain(1)], ..History::default() };
    let send = |history: &mut History, expected: Option<u64>| {
        let token = Some(Seen::Upto(Position(0)));
        let expected_version = expected.map(StreamVersion);
        let arrival = Arrival { expected_version, ..history.made[0].arrival(false, token, None) };
        let facts = history.world.facts(&Ask::for_arrivals([&arrival]));
        admit(at(1), vec![arrival], facts)
    };
    let (writes, outcomes) = send(&mut history, Some(7));
    assert!(matches!(outcomes[0], Outcome::VersionConflict { .. }) && writes.is_empty(), "{writes:?}");
    let (writes, _) = send(&mut history, None);
    history.world.write(writes);
    let (writes, outcomes) = send(&mut history, None);
    assert!(matches!(outcomes[0], Outcome::Duplicate { .. }), "{outcomes:?}");
    assert_eq!((writes.clock, writes.events.len()), (None, 0));
}

#[test]
fn nobody_has_seen_what_is_not_there() {
    let mut history = History { made: vec![plain(1), plain(2)], ..History::default() };
    let arrivals: Vec<_> =
        history.made.iter().map(|made| made.arrival(false, Some(Seen::Upto(Position(u64::MAX))), None)).collect();
    let facts = history.world.facts(&Ask::for_arrivals(&arrivals));
    let (writes, _) = admit(at(1), arrivals, facts);
    let seen: Vec<_> = writes.events.iter().map(|event| event.causality.saw.unwrap().upto).collect();
    assert!(seen.iter().zip(&writes.events).all(|(upto, event)| *upto < event.position), "{seen:?}");
    history.world.write(writes);
}
