//! Tests of the total order over generated histories with bad physical clocks, and of the rule that is no order.
use super::*;
use crate::{
    clock::{Actor, HlcClock, HlcSettings, NoStamp},
    time::Timestamp,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Event {
    dot: Dot,
    clock: VectorClock,
    stamp: Stamp,
    bytes: Vec<u8>,
    /// What the writer's own physical clock said.
    wall: i64,
}

impl Event {
    fn write(&self) -> Write<'_> {
        Write { dot: self.dot, clock: &self.clock, stamp: &self.stamp, bytes: &self.bytes }
    }

    fn key(&self) -> (&Stamp, &[u8]) {
        (&self.stamp, &self.bytes)
    }

    fn happened_before(&self, other: &Self) -> bool {
        relation((self.dot, &self.clock), (other.dot, &other.clock)) == Relation::Before
    }
}

/// A step of a replica: it hears of events of another, its physical clock says `wall`, and it writes.
type Step = (usize, usize, i64);

/// Plays a history of three replicas. `stamped` false leaves the hybrid clock out: a stamp is the wall clock alone.
fn history(steps: Vec<Step>) -> Vec<Event> {
    let mut clocks: Vec<_> =
        (0..3).map(|_| (VectorClock::default(), HlcClock::resume(settings(), Hlc::ZERO))).collect();
    let mut events: Vec<Event> = vec![];
    for (replica, from, wall) in steps {
        let now = Timestamp::from_micros(wall * 1000);
        if let Some(heard) = events.iter().rev().find(|event| event.dot.actor.index() == from) {
            clocks[replica].0.merge(&heard.clock);
            clocks[replica].1.observe(heard.stamp.hlc, now).unwrap();
        }
        let (known, hlc) = &mut clocks[replica];
        let dot = known.increment(Actor(replica as u32)).unwrap();
        let hlc = match hlc.stamp(now) {
            Err(NoStamp::Reserve(bound)) => {
                hlc.reserved(bound);
                hlc.stamp(now).unwrap()
            }
            stamp => stamp.unwrap(),
        };
        let stamp = Stamp {
            hlc,
            replica: ["b", "a", "c"][replica].into(),
            incarnation: Incarnation(1),
            kind: if dot.seq % 3 == 0 { WriteKind::Delete } else { WriteKind::Set },
        };
        events.push(Event { dot, clock: known.clone(), stamp, bytes: dot.seq.to_bytes(), wall });
    }
    events
}

fn settings() -> HlcSettings {
    HlcSettings { max_skew_ms: 1_000_000, ..HlcSettings::default() }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..3usize, 0..3usize, 0..20i64), 1..30)
}

/// "Cause first, then the wall clock, then the name."
fn naive(a: &Event, b: &Event) -> Ordering {
    if a.happened_before(b) {
        Ordering::Less
    } else if b.happened_before(a) {
        Ordering::Greater
    } else {
        (a.wall, a.dot).cmp(&(b.wall, b.dot))
    }
}

#[test]
fn cause_first_and_then_the_wall_clock_is_no_order() {
    // Replica 0 is a minute fast. Replica 1 reads its write and answers, with a clock that is right. Replica 2, right
    // too, writes in between and knows nothing of either.
    let [a, b, c]: [Event; 3] = history(vec![(0, 0, 60), (1, 0, 5), (2, 2, 30)]).try_into().unwrap();
    assert!(a.happened_before(&b) && !a.happened_before(&c) && !c.happened_before(&b));
    // a before b by cause; b before c by the wall clock; c before a by the wall clock: a circle.
    assert_eq!(naive(&a, &b), Ordering::Less);
    assert_eq!(naive(&b, &c), Ordering::Less);
    assert_eq!(naive(&c, &a), Ordering::Less);
    // So three replicas that fold the same three writes in different orders end with different winners.
    let fold = |events: [&Event; 3]| {
        let later = |a: Dot, b: &&Event| {
            let winner = [&a_of(&events, a), b].into_iter().max_by(|x, y| naive(x, y)).map(|event| event.dot);
            winner.unwrap()
        };
        events[1..].iter().fold(events[0].dot, later)
    };
    let naive_winners = [fold([&a, &b, &c]), fold([&b, &c, &a]), fold([&c, &a, &b])];
    assert_eq!(naive_winners, [c.dot, a.dot, b.dot]);
    // The total order has one answer, and it keeps b after a.
    let pick = |events: [&Event; 3]| events.into_iter().max_by_key(|event| event.key()).unwrap().dot;
    assert_eq!([pick([&a, &b, &c]), pick([&b, &c, &a]), pick([&c, &a, &b])], [b.dot; 3]);
}

fn a_of<'e>(events: &[&'e Event; 3], dot: Dot) -> &'e Event {
    events.iter().find(|event| event.dot == dot).unwrap()
}

fn write<'w>(stamp: &'w Stamp, clock: &'w VectorClock, bytes: &'w [u8]) -> Write<'w> {
    Write { dot: Dot::new(Actor(0), 1), clock, stamp, bytes }
}

#[test]
fn every_part_of_the_order_decides_in_its_turn() {
    let base = Stamp { hlc: Hlc::new(5, 0), replica: "a".into(), incarnation: Incarnation(1), kind: WriteKind::Set };
    let clock = VectorClock::default();
    let others = [
        (Stamp { hlc: Hlc::new(5, 1), replica: "A".into(), kind: WriteKind::Delete, ..base.clone() }, Rule::Hlc),
        (Stamp { replica: "b".into(), incarnation: Incarnation(0), ..base.clone() }, Rule::Replica),
        (Stamp { incarnation: Incarnation(2), kind: WriteKind::Delete, ..base.clone() }, Rule::Incarnation),
    ];
    for (later, rule) in &others {
        let decision = decide(write(later, &clock, b"x"), write(&base, &clock, b"y"));
        assert_eq!((decision.winner, decision.rule), (Side::First, *rule));
        let decision = decide(write(&base, &clock, b"y"), write(later, &clock, b"x"));
        assert_eq!((decision.winner, decision.rule), (Side::Second, *rule));
    }
    let delete = Stamp { kind: WriteKind::Delete, ..base.clone() };
    let decision = decide(write(&delete, &clock, b"y"), write(&base, &clock, b"x"));
    assert_eq!((decision.winner, decision.rule), (Side::Second, Rule::Kind));
    let same = decide(write(&base, &clock, b"x"), write(&base, &clock, b"x"));
    assert_eq!((same.rule, same.relation, same.identity_reuse), (Rule::Same, Relation::Equal, false));
}

#[test]
fn an_identity_used_twice_is_decided_and_told() {
    let stamp = Stamp { hlc: Hlc::new(5, 0), replica: "a".into(), incarnation: Incarnation(1), kind: WriteKind::Set };
    let clock = VectorClock::default();
    let (x, y) = (write(&stamp, &clock, b"x"), write(&stamp, &clock, b"y"));
    let (one, other) = (decide(x, y), decide(y, x));
    assert_eq!((one.winner, other.winner), (Side::Second, Side::First), "the greater bytes, never 'mine'");
    assert!(one.identity_reuse && other.identity_reuse && one.rule == Rule::Bytes);
    // Another dot, the same stamp: the identity is in use twice all the same.
    assert!(decide(x, Write { dot: Dot::new(Actor(0), 2), ..y }).identity_reuse);
    // Another stamp, the same dot: as well.
    let later = Stamp { hlc: Hlc::new(6, 0), ..stamp.clone() };
    assert!(decide(x, Write { stamp: &later, ..y }).identity_reuse);
}

#[test]
fn stamps_have_bytes() {
    let stamp =
        Stamp { hlc: Hlc::new(5, 7), replica: "é".into(), incarnation: Incarnation(300), kind: WriteKind::Delete };
    let bytes = stamp.to_bytes();
    assert_eq!(bytes, [0, 0, 0, 0, 0, 5, 0, 7, 2, 0xc3, 0xa9, 0xac, 2, 0]);
    assert_eq!(Stamp::read(&mut Reader::new(&bytes)), Ok(stamp));
    assert!(Stamp::read(&mut Reader::new(&[0, 0, 0, 0, 0, 5, 0, 7, 0, 0, 2])).is_err());
}

proptest! {
    #[test]
    fn the_order_is_total_and_extends_cause_and_effect(steps in steps()) {
        let events = history(steps);
        for a in &events {
            for b in &events {
                let decision = decide(a.write(), b.write());
                let mirrored = decide(b.write(), a.write());
                prop_assert_eq!(decision.relation.reversed(), mirrored.relation);
                prop_assert_eq!(decision.relation, if a.dot == b.dot { Relation::Equal } else { a.clock.compare(&b.clock) });
                prop_assert!(!decision.identity_reuse);
                // Total: one of three, and distinct events are never equal.
                prop_assert_eq!(a.key().cmp(&b.key()), b.key().cmp(&a.key()).reverse());
                prop_assert_eq!(a.key() == b.key(), a.dot == b.dot);
                prop_assert_eq!(decision.winner == Side::First, a.key() >= b.key());
                if a.happened_before(b) {
                    prop_assert!(a.key() < b.key(), "{:?} before {:?}", a, b);
                    prop_assert_eq!((decision.winner, decision.rule), (Side::Second, Rule::Hlc));
                }
                for c in &events {
                    prop_assert!(!(a.key() < b.key() && b.key() < c.key()) || a.key() < c.key());
                }
            }
        }
    }
}
