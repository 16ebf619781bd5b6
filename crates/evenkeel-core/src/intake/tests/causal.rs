//! Causal delivery over generated histories: events of sources that know each other's come in any order, doubled, refused,
//! overdue, in batches of any size. Whatever comes before whatever, nothing is lost, nothing is before what it knew, and in
//! the end all that can be there is.
use super::{
    super::*,
    world::{Spec, World, at, decision},
};
use crate::{
    causal::{self, CausalBuffer, Limits, Mark},
    clock::{Actor, Dot, Hlc, VectorClock},
    event::Delivery,
    ids::Subject,
    quarantine::EntryVersion,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const SOURCES: [&str; 3] = ["a", "b", "c"];

/// An event of source `at`: its number, and how many events of the others it knew.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Made {
    source: usize,
    seq: u64,
    knows: [u64; 3],
    bad: bool,
}

impl Made {
    fn dot(&self) -> SourceDot {
        SourceDot::new(SOURCES[self.source], self.seq)
    }

    fn id(&self) -> EventId {
        EventId::of(SOURCES[self.source], &self.seq.to_string())
    }

    fn arrival(&self, bad: bool) -> Arrival {
        let others = (0..3).filter(|other| *other != self.source && self.knows[*other] > 0);
        let knows = others.map(|other| SourceDot::new(SOURCES[other], self.knows[other])).collect();
        let raw = format!("{} {}", SOURCES[self.source], self.seq).into_bytes();
        let (id, digest, source) = (self.id(), Digest::of(&raw), SOURCES[self.source].into());
        let causes = Some(Box::new(Causes { seq: self.seq, first: 1, knows }));
        let spec = Spec { subject: self.source as u8, ..Spec::default() };
        Arrival {
            sent: Sent { id, digest, source, raw_id: self.seq.to_string(), raw },
            clocks: Clocks { causes, ..Clocks::default() },
            ..spec.arrival(bad)
        }
    }
}

/// Each source in turn makes its next event and may first learn of what another one knows.
fn history() -> impl Strategy<Value = Vec<Made>> {
    prop::collection::vec((0usize..3, prop::option::of(0usize..3), prop::bool::weighted(0.1)), 1..24).prop_map(
        |steps| {
            let mut clocks = [[0u64; 3]; 3];
            let mut made = Vec::new();
            for (source, learns, bad) in steps {
                if let Some(other) = learns {
                    let known = clocks[other];
                    clocks[source].iter_mut().zip(known).for_each(|(own, other)| *own = (*own).max(other));
                }
                clocks[source][source] += 1;
                made.push(Made { source, seq: clocks[source][source], knows: clocks[source], bad });
            }
            made
        },
    )
}

#[derive(Debug, Clone)]
enum Step {
    /// These arrive in one transaction.
    Arrive(Vec<usize>),
    /// All that waits has waited too long.
    Expire,
    /// What was recalled is sent through again.
    Recall,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop::collection::vec(any::<prop::sample::Index>(), 1..5)
            .prop_map(|picks| Step::Arrive(picks.iter().map(|pick| pick.index(1 << 20)).collect())),
        1 => Just(Step::Expire),
        1 => Just(Step::Recall),
    ];
    prop::collection::vec(step, 0..30)
}

impl World {
    fn arrive(&mut self, limits: CausalLimits, arrivals: Vec<Arrival>) -> Vec<Outcome> {
        let ask = Ask::for_arrivals(&arrivals);
        let outcomes = self.decide(at(0), limits, &ask, |scene, facts| admit(scene, arrivals, facts));
        self.holds();
        outcomes
    }

    fn expire_all(&mut self) -> usize {
        let ask = Ask::for_expiry(at(0), usize::MAX);
        let count = self.decide(at(1), CausalLimits::default(), &ask, |scene, facts| expire(scene, facts));
        self.holds();
        count
    }

    /// Sends the entries through again whose first cause was passed, as many together as there are, until none is left. How many
    /// were admitted.
    fn recall_all(&mut self, made: &[Made]) -> usize {
        let admitted = |world: &Self| world.states().iter().filter(|state| **state == State::Admitted).count();
        let before = admitted(self);
        loop {
            let due = |entry: &&Entry| {
                let passed =
                    |dot: &SourceDot| self.passed.get(&dot.source).is_some_and(|passed| dot.seq <= passed.upto);
                entry.state == State::Quarantined && entry.recall.as_ref().is_some_and(passed)
            };
            let again = |entry: &Entry| {
                let event = made.iter().find(|made| made.id() == entry.event_id).unwrap();
                Redrive { id: entry.id, version: entry.version, arrival: event.arrival(false) }
            };
            let entries: Vec<_> = self.entries.values().filter(due).map(again).collect();
            let (count, ask) = (entries.len(), Ask::for_recall(&entries));
            if count == 0 {
                return admitted(self) - before;
            }
            let done = self.decide(at(2), CausalLimits::default(), &ask, |scene, facts| {
                recall(scene, entries, &decision(), facts)
            });
            assert_eq!(done, count);
            self.holds();
        }
    }

    /// What must hold after every transaction.
    fn holds(&self) {
        let upto = |source: &SourceName| self.passed.get(source).map_or(0, |passed| passed.upto);
        let bytes: u64 = self.waiting.iter().map(Waiting::bytes).sum();
        assert_eq!((self.clock.waiting_events, self.clock.waiting_bytes), (self.waiting.len() as u64, bytes));
        for event in &self.waiting {
            assert!(upto(&event.on.source) < event.on.seq, "{} waits for what was passed: {}", event.dot(), event.on);
        }
        for (source, passed) in &self.passed {
            let mut after = passed.upto;
            for &(first, last) in &passed.holes {
                assert!(after + 1 < first && first <= last, "{source}: {passed:?}");
                after = last;
            }
        }
        let mut seen = BTreeSet::new();
        for (dot, _) in self.counted() {
            assert!(seen.insert(dot.clone()), "{dot} is in the log twice");
            assert!(dot.seq <= upto(&dot.source), "{dot} is in the log and was not passed");
        }
        assert!(self.log.iter().all(|event| event.causality.hlc <= self.clock.last));
        let stamps: BTreeSet<_> = self.log.iter().map(|event| event.causality.hlc).collect();
        assert_eq!(stamps.len(), self.log.len(), "no stamp is given twice");
    }
}

/// What an event knew is in the log before it with a lesser stamp, unless it was set aside.
fn nothing_is_before_its_causes(world: &World, made: &[Made]) {
    let places: BTreeMap<SourceDot, (usize, Hlc)> =
        world.counted().map(|(dot, event)| (dot, (event.position.0 as usize, event.causality.hlc))).collect();
    let late: BTreeSet<SourceDot> = world
        .counted()
        .filter(|(_, event)| event.causality.delivery == Delivery::Exception)
        .map(|(dot, _)| dot)
        .collect();
    for event in made {
        let Some((place, hlc)) = places.get(&event.dot()) else { continue };
        for other in made {
            let known = other.seq <= event.knows[other.source] && other.dot() != event.dot();
            if let Some((before, stamp)) = places.get(&other.dot()).filter(|_| known && !late.contains(&other.dot())) {
                assert!(before < place, "{} is before {}, which it knew", event.dot(), other.dot());
                assert!(stamp < hlc, "{} has a stamp before that of {}", event.dot(), other.dot());
            }
        }
    }
}

proptest! {
    #[test]
    fn in_whatever_order_events_come_all_get_in_and_none_before_its_causes(
        made in history(), steps in steps(), forgets_raw: bool,
    ) {
        let mut world = World { forgets_raw, ..World::default() };
        let limits = CausalLimits::default();
        for step in steps {
            match step {
                Step::Arrive(picks) => {
                    let arrivals = picks.iter().map(|pick| &made[pick % made.len()]);
                    world.arrive(limits, arrivals.map(|event| event.arrival(event.bad)).collect());
                }
                Step::Expire => drop(world.expire_all()),
                Step::Recall => drop(world.recall_all(&made)),
            }
        }
        nothing_is_before_its_causes(&world, &made);
        // Everything is sent once more, one by one and backwards, and the gate is in a better mood.
        for event in made.iter().rev() {
            world.arrive(limits, vec![event.arrival(event.bad)]);
        }
        world.recall_all(&made);
        prop_assert!(world.waiting.is_empty());
        world.drain_all_counted(&made);
        nothing_is_before_its_causes(&world, &made);
        let good = made.iter().filter(|event| !event.bad);
        for event in good {
            prop_assert!(world.log.iter().any(|other| other.id == event.id()), "{} is not in the log", event.dot());
        }
        let upto = |source: usize| made.iter().filter(|event| event.source == source).count() as u64;
        for (index, source) in SOURCES.iter().enumerate() {
            let passed = world.passed.get(&SourceName::from(*source)).cloned().unwrap_or_default();
            prop_assert_eq!(passed, Passed { upto: upto(index), holes: Vec::new() });
        }
    }

    #[test]
    fn who_waits_and_who_goes_on_is_what_the_buffer_in_memory_says(
        made in history(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let (mut world, mut buffer, mut out) = (World::default(), CausalBuffer::new(Limits::default()), Vec::new());
        for event in picks.iter().map(|pick| pick.get(&made)) {
            world.arrive(CausalLimits::default(), vec![event.arrival(false)]);
            let known = (0..).map(Actor).zip(event.knows).filter(|(_, seq)| *seq > 0);
            let clock = VectorClock::new(known).unwrap();
            let dot = Dot::new(Actor(event.source as u32), event.seq);
            let mark = Mark(event.seq.into());
            buffer.offer(at(0), causal::Arrival { dot, clock, mark, bytes: 1, payload: () }, &mut out);
            let named = |dot: Dot| SourceDot::new(SOURCES[dot.actor.index()], dot.seq);
            let delivered: BTreeSet<_> = out.iter().map(|delivered| named(delivered.arrival.dot)).collect();
            prop_assert_eq!(world.counted().map(|(dot, _)| dot).collect::<BTreeSet<_>>(), delivered);
            let waiting: BTreeSet<_> = buffer.waiting().map(|(arrival, _, _)| named(arrival.dot)).collect();
            prop_assert_eq!(world.waiting.iter().map(Waiting::dot).collect::<BTreeSet<_>>(), waiting);
        }
    }

    #[test]
    fn batches_make_no_difference_to_who_gets_in(made in history(), seed in any::<prop::sample::Index>()) {
        let mut order: Vec<_> = made.iter().collect();
        let len = order.len();
        order.rotate_left(seed.index(len));
        order.reverse();
        let (mut whole, mut single) = (World::default(), World::default());
        let outcomes = whole.arrive(CausalLimits::default(), order.iter().map(|event| event.arrival(false)).collect());
        for event in &order {
            single.arrive(CausalLimits::default(), vec![event.arrival(false)]);
        }
        prop_assert_eq!(whole.log.iter().map(|e| e.id).collect::<Vec<_>>(), single.log.iter().map(|e| e.id).collect::<Vec<_>>());
        prop_assert_eq!(&whole.passed, &single.passed);
        prop_assert!(whole.waiting.is_empty() && outcomes.iter().all(admitted));
    }
}

impl World {
    /// Redrives what the gate refused, and releases what was held behind it.
    fn drain_all_counted(&mut self, made: &[Made]) {
        for _ in 0..=made.len() {
            let first = self.entries.values().find(|entry| entry.state == State::Quarantined).cloned();
            if let Some(entry) = first {
                let event = made.iter().find(|made| made.id() == entry.event_id).unwrap();
                let again = Redrive { id: entry.id, version: entry.version, arrival: event.arrival(false) };
                let ask = Ask::for_redrive(&again);
                self.decide(at(3), CausalLimits::default(), &ask, |scene, facts| {
                    redrive(scene, again, None, decision(), facts)
                });
            }
            while let Some(key) = self.interrupted().into_iter().next() {
                let line: Vec<_> = self.line(&key).take_while(|entry| entry.state == State::Held).cloned().collect();
                let judged = |entry: &Entry| {
                    let event = made.iter().find(|made| made.id() == entry.event_id).unwrap();
                    Redrive { id: entry.id, version: entry.version, arrival: event.arrival(false) }
                };
                let line: Vec<_> = line.iter().map(judged).collect();
                let ask = Ask::for_drain(&key, &line, 99);
                self.decide(at(3), CausalLimits::default(), &ask, |scene, facts| (drain(scene, &key, line, facts), ()));
            }
            self.recall_all(made);
            self.holds();
        }
    }
}

fn event(source: usize, seq: u64, knows: [u64; 3]) -> Made {
    Made { source, seq, knows, bad: false }
}

fn good(source: usize, seq: u64, knows: [u64; 3]) -> Arrival {
    event(source, seq, knows).arrival(false)
}

fn admitted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Admitted { .. })
}

fn waiting_for(outcome: &Outcome) -> Vec<String> {
    let Outcome::Waiting { waits_for, .. } = outcome else { panic!("{outcome:?}") };
    waits_for.iter().map(ToString::to_string).collect()
}

#[test]
fn an_event_waits_says_for_what_and_is_known_while_it_does() {
    let mut world = World::default();
    let (limits, late) = (CausalLimits::default(), good(1, 2, [1, 2, 0]));
    let outcomes = world.arrive(limits, vec![late.clone()]);
    assert_eq!(waiting_for(&outcomes[0]), ["1 of b", "1 of a"]);
    let outcomes = world.arrive(limits, vec![late.clone(), good(1, 1, [0, 1, 0])]);
    assert!(matches!(&outcomes[0], Outcome::Waiting { repeated: true, .. }) && admitted(&outcomes[1]));
    let other = Arrival { sent: Sent { digest: Digest::of(b"other"), ..late.sent.clone() }, ..late.clone() };
    let outcomes = world.arrive(limits, vec![other, good(0, 1, [1, 0, 0]), late]);
    assert!(matches!(&outcomes[0], Outcome::Quarantined { reason: Reason::IdConflict, .. }));
    assert!(admitted(&outcomes[1]) && matches!(outcomes[2], Outcome::Duplicate { .. }));
    assert_eq!(world.log.len(), 3);
    assert!(world.log.iter().all(|event| event.causality.delivery == Delivery::Causal));
}

#[test]
fn what_overflows_or_expires_is_recalled_when_what_it_waits_for_comes() {
    let mut world = World::default();
    let limits = CausalLimits { max_events: 1, ..CausalLimits::default() };
    let made = [event(0, 3, [3, 0, 0]), event(0, 2, [2, 0, 0]), event(0, 1, [1, 0, 0])];
    let outcomes = world.arrive(limits, made[..2].iter().map(|event| event.arrival(false)).collect());
    assert_eq!(waiting_for(&outcomes[0]), ["2 of a"]);
    assert!(matches!(outcomes[1], Outcome::Quarantined { reason: Reason::CausalOverflow, .. }));
    assert_eq!((world.expire_all(), world.waiting.len()), (1, 0));
    let reasons: Vec<_> = world.entries.values().map(|entry| entry.refusal.reason).collect();
    assert_eq!(reasons, [Reason::CausalOverflow, Reason::CausalTimeout]);
    assert!(world.passed.is_empty(), "no place is passed in silence");
    assert!(admitted(&world.arrive(limits, vec![made[2].arrival(false)])[0]));
    assert_eq!(world.recall_all(&made), 2);
    assert_eq!(world.raw_ids(), ["1", "2", "3"]);
    let bytes = CausalLimits { max_bytes: 100, ..CausalLimits::default() };
    let outcomes = world.arrive(bytes, vec![good(1, 9, [0, 9, 0])]);
    assert!(matches!(outcomes[0], Outcome::Quarantined { reason: Reason::CausalOverflow, .. }));
}

#[test]
fn a_number_is_given_to_one_event() {
    let mut world = World::default();
    let again = |arrival: Arrival| Arrival { sent: Sent { id: EventId::of("a", "other"), ..arrival.sent }, ..arrival };
    let limits = CausalLimits::default();
    let reused = |outcome: &Outcome| matches!(outcome, Outcome::Quarantined { reason: Reason::IdConflict, .. });
    let outcomes = world.arrive(limits, vec![good(0, 2, [2, 0, 0]), again(good(0, 2, [2, 0, 0]))]);
    assert!(reused(&outcomes[1]), "the first one waits");
    let outcomes = world.arrive(limits, vec![good(0, 1, [1, 0, 0])]);
    assert!(admitted(&outcomes[0]) && world.log.len() == 2);
    let other =
        Arrival { sent: Sent { id: EventId::of("a", "third"), ..good(0, 2, [2, 0, 0]).sent }, ..good(0, 2, [2, 0, 0]) };
    assert!(reused(&world.arrive(limits, vec![other])[0]), "the first one is in the log");
}

#[test]
fn a_declared_hole_is_passed_and_whoever_stands_in_it_is_not() {
    let mut world = World::default();
    let limits = CausalLimits::default();
    world.arrive(limits, vec![good(0, 3, [3, 0, 0]), good(0, 6, [6, 0, 0]), good(1, 1, [5, 1, 0])]);
    let mut declare = |first, last| {
        let (source, ask) = ("a".into(), Ask::for_skip(&"a".into(), first, last));
        let declared =
            world.decide(at(4), limits, &ask, |scene, facts| skip(scene, &source, (first, last), decision(), facts));
        world.holds();
        declared
    };
    assert!(declare(1, 5), "1, 2, 4 and 5 will not come; 3 is there");
    assert!(!declare(2, 4), "there is nothing left to declare");
    assert_eq!(world.raw_ids(), ["3", "6", "1"]);
    assert_eq!(world.skips.len(), 1);
    let outcomes = world.arrive(limits, vec![good(0, 2, [2, 0, 0])]);
    assert!(admitted(&outcomes[0]));
    assert_eq!(world.log[3].causality.delivery, Delivery::Exception, "it came all the same");
    assert!(world.log[3].causality.hlc > Hlc::ZERO);
}

#[test]
fn what_the_gate_refuses_holds_up_nobody_and_what_it_parks_is_not_overtaken() {
    let mut world = World::default();
    let limits = CausalLimits::default();
    let refused = Made { bad: true, ..event(0, 1, [1, 0, 0]) };
    world.arrive(limits, vec![good(0, 2, [2, 0, 0]), good(1, 1, [2, 1, 0])]);
    world.arrive(limits, vec![refused.arrival(true)]);
    let waits: Vec<_> = world.entries.values().map(|entry| entry.refusal.reason).collect();
    assert_eq!(waits, [Reason::Schema, Reason::HeldBehind], "its own subject is parked");
    assert_eq!(world.raw_ids(), ["1"], "b knew of both, and need not wait for what a person must decide");
    let held = &world.entries[&QuarantineId(2)];
    assert_eq!(held.refusal.subject, Some(Subject::from("s0")));
}

#[test]
fn a_stamp_from_the_future_is_set_aside_and_moves_no_clock() {
    let mut world = World::default();
    let sent = |id, hlc| {
        let clocks = Clocks { hlc: Some(hlc), ..Clocks::default() };
        Arrival { clocks, ..Spec { id, ..Spec::default() }.arrival(false) }
    };
    let now = at(1_000);
    let skewed = Hlc::new(1_000_501, 0);
    let arrivals = vec![sent(1, skewed), sent(2, Hlc::new(1_000_500, 7)), sent(3, Hlc::ZERO)];
    let ask = Ask::for_arrivals(&arrivals);
    let outcomes = world.decide(now, CausalLimits::default(), &ask, |scene, facts| admit(scene, arrivals, facts));
    assert!(matches!(outcomes[0], Outcome::Quarantined { reason: Reason::ClockSkew, .. }));
    let stamps: Vec<_> = world.log.iter().map(|event| event.causality.hlc).collect();
    assert_eq!(stamps, [Hlc::new(1_000_500, 8), Hlc::new(1_000_500, 9)], "above what its source said, and growing");
    assert_eq!(world.log[1].causality.seq, 2);
    let detail = &world.entries[&QuarantineId(1)].refusal.detail;
    assert!(detail.contains("501 ms ahead"), "{detail}");
    assert!(world.entries[&QuarantineId(1)].refusal.parks.is_none());
}

#[test]
fn void_marks_ahead_are_kept_up_to_a_bound_and_nothing_is_lost_beyond_it() {
    let mut passed = Passed::default();
    for n in 1..=4 {
        passed.give_up(3 * n, 3 * n);
    }
    passed.expect(6);
    assert_eq!(passed.holes, [(3, 3), (9, 9), (12, 12)]);
    passed.give_up(10, 11);
    assert_eq!(passed.holes, [(3, 3), (9, 12)]);
    passed.advance(2);
    assert_eq!((passed.upto, passed.holes.as_slice()), (3, &[(9, 12)][..]));
    passed.advance(8);
    assert_eq!(passed, Passed { upto: 12, holes: Vec::new() });

    let mut world = World::default();
    let far: Vec<_> =
        (0..=4096).map(|n| Made { bad: true, ..event(0, 3 + 2 * n, [3 + 2 * n, 0, 0]) }.arrival(true)).collect();
    world.arrive(CausalLimits::default(), far);
    assert_eq!((world.passed[&SourceName::from("a")].holes.len(), world.entries.len()), (4096, 4097));
}

#[test]
fn what_somebody_has_decided_about_meanwhile_is_not_recalled() {
    let mut world = World::default();
    let limits = CausalLimits::default();
    world.arrive(limits, vec![good(0, 2, [2, 0, 0]), good(0, 3, [3, 0, 0]), good(0, 4, [4, 0, 0])]);
    assert_eq!(world.expire_all(), 3);
    world.arrive(limits, vec![good(0, 1, [1, 0, 0])]);
    let again = |world: &World, n: u64| Redrive {
        id: QuarantineId(n),
        version: world.version(QuarantineId(n)),
        arrival: good(0, n + 1, [n + 1, 0, 0]),
    };
    let entries: Vec<_> = (1..=3).map(|n| again(&world, n)).collect();
    world.edit(QuarantineId(1), EntryVersion::FIRST, "[]".parse().unwrap()).unwrap();
    world.discard(QuarantineId(2));
    let ask = Ask::for_recall(&entries);
    let count = world.decide(at(3), limits, &ask, |scene, facts| recall(scene, entries, &decision(), facts));
    assert_eq!(count, 1, "the last is refused again, for what it lacks still");
    assert_eq!(world.states(), [State::Quarantined, State::Discarded, State::Quarantined]);
    assert_eq!(world.raw_ids(), ["1"]);
}

#[test]
fn who_comes_before_a_place_that_was_given_up_is_passed_is_no_exception() {
    let mut world = World::default();
    let limits = CausalLimits::default();
    let declare = |world: &mut World, first, last| {
        let (source, ask) = ("a".into(), Ask::for_skip(&"a".into(), first, last));
        world.decide(at(4), limits, &ask, |scene, facts| skip(scene, &source, (first, last), decision(), facts))
    };
    assert!(declare(&mut world, 7, 9));
    let outcomes = world.arrive(limits, vec![good(0, 8, [8, 0, 0])]);
    assert_eq!(waiting_for(&outcomes[0]), ["7 of a"]);
    assert_eq!(world.passed[&SourceName::from("a")].holes, [(7, 7), (9, 9)]);
    assert!(declare(&mut world, 1, 6));
    let found: Vec<_> = world.log.iter().map(|event| (event.raw_id.as_str(), event.causality.delivery)).collect();
    assert_eq!(found, [("8", Delivery::Causal)]);
    assert_eq!(world.passed[&SourceName::from("a")], Passed { upto: 9, holes: Vec::new() });
}

#[test]
fn what_is_redriven_has_the_stamp_of_its_receipt_unless_it_knew_of_a_later_one() {
    let mut world = World::default();
    let limits = CausalLimits::default();
    let refused = event(0, 1, [1, 0, 0]);
    world.arrive(limits, vec![refused.arrival(true)]);
    let received = world.entries[&QuarantineId(1)].hlc;
    world.arrive(limits, vec![good(1, 1, [0, 1, 0]), good(1, 2, [0, 2, 0])]);
    let again = |world: &World, event: &Made, id| {
        let entry: &Entry = &world.entries[&QuarantineId(id)];
        let arrival = event.arrival(false);
        let arrival = Arrival { clocks: Clocks { received: Some(entry.hlc), ..arrival.clocks }, ..arrival };
        Redrive { id: entry.id, version: entry.version, arrival }
    };
    let redriven = again(&world, &refused, 1);
    let ask = Ask::for_redrive(&redriven);
    world.decide(at(9), limits, &ask, |scene, facts| redrive(scene, redriven, None, decision(), facts));
    let late = world.log.last().unwrap().causality;
    assert_eq!((late.hlc, late.delivery), (received, Delivery::Exception));
    // One that knew of a later event is above that.
    let knew = Made { bad: true, ..event(2, 1, [0, 2, 1]) };
    world.arrive(limits, vec![knew.arrival(true)]);
    let redriven = again(&world, &knew, 2);
    let redriven = Redrive {
        arrival: Arrival { clocks: Clocks { hlc: Some(Hlc::ZERO), ..redriven.arrival.clocks }, ..redriven.arrival },
        ..redriven
    };
    let ask = Ask::for_redrive(&redriven);
    world.decide(at(9), limits, &ask, |scene, facts| redrive(scene, redriven, None, decision(), facts));
    let known = world.log.iter().find(|event| event.raw_id == "2").unwrap().causality.hlc;
    assert!(world.log.last().unwrap().causality.hlc > known);
}

/// The stamp of its receipt is the log's own: nobody has claimed it, whatever the time of day is set to since.
#[test]
fn a_clock_that_was_set_back_holds_up_no_redrive() {
    let mut world = World::default();
    let limits = CausalLimits::default();
    for (made, n) in [(event(0, 1, [1, 0, 0]), 1), (event(1, 1, [0, 1, 0]), 2)] {
        let arrivals = vec![made.arrival(true)];
        let ask = Ask::for_arrivals(&arrivals);
        world.decide(at(100_000), limits, &ask, |scene, facts| admit(scene, arrivals, facts));
        let entry: &Entry = &world.entries[&QuarantineId(n)];
        let arrival = made.arrival(false);
        let causes = if n == 1 { arrival.clocks.causes } else { None };
        let clocks = Clocks { received: Some(entry.hlc), causes, ..Clocks::default() };
        let redriven = Redrive { id: entry.id, version: entry.version, arrival: Arrival { clocks, ..arrival } };
        let ask = Ask::for_redrive(&redriven);
        let became =
            world.decide(at(9), limits, &ask, |scene, facts| redrive(scene, redriven, None, decision(), facts));
        assert!(matches!(became, Redriven::Admitted(_)), "{became:?}");
    }
}

#[test]
fn nobody_waits_for_an_event_whose_id_another_one_has() {
    let mut world = World::default();
    let limits = CausalLimits::default();
    world.arrive(limits, vec![good(0, 1, [1, 0, 0])]);
    let mut other = good(0, 2, [2, 0, 0]);
    other.sent.id = event(0, 1, [1, 0, 0]).id();
    let outcomes = world.arrive(limits, vec![other, good(0, 3, [3, 0, 0])]);
    assert!(matches!(outcomes[0], Outcome::Quarantined { reason: Reason::IdConflict, .. }), "{outcomes:?}");
    assert!(matches!(outcomes[1], Outcome::Admitted { .. }), "{outcomes:?}");
}
