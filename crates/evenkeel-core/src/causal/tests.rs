//! Tests of the causal buffer, one rule each; generated histories against a reference are in `histories.rs`.
mod histories;

use super::*;
use crate::clock::Actor;

const A: Actor = Actor(0);
const B: Actor = Actor(1);
const C: Actor = Actor(2);

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_micros((seconds * 1e6) as i64)
}

fn dot(actor: Actor, seq: u64) -> Dot {
    Dot::new(actor, seq)
}

/// Event `seq` of `actor` that knows `knows`.
fn event(actor: Actor, seq: u64, knows: &[(Actor, u64)]) -> Arrival<Dot> {
    let mut clock = VectorClock::new(knows.iter().copied()).unwrap();
    clock.raise(dot(actor, seq));
    let mark = Mark(u128::from(actor.0) << 64 | u128::from(seq));
    Arrival { dot: dot(actor, seq), clock, mark, bytes: 10, payload: dot(actor, seq) }
}

/// A buffer with what it has delivered so far.
struct Rig {
    buffer: CausalBuffer<Dot>,
    out: Vec<Delivered<Dot>>,
}

impl Rig {
    fn new(limits: Limits) -> Self {
        Self { buffer: CausalBuffer::new(limits), out: vec![] }
    }

    fn offer(&mut self, arrival: Arrival<Dot>) -> Verdict<Dot> {
        self.offer_at(0.0, arrival)
    }

    fn offer_at(&mut self, seconds: f64, arrival: Arrival<Dot>) -> Verdict<Dot> {
        self.buffer.offer(at(seconds), arrival, &mut self.out)
    }

    fn tick(&mut self, seconds: f64) -> Vec<(Dot, Vec<Dot>)> {
        let mut expired = vec![];
        self.buffer.tick(at(seconds), &mut self.out, &mut expired);
        expired.into_iter().map(|event| (event.arrival.dot, event.waits_for)).collect()
    }

    fn delivered(&mut self) -> Vec<Dot> {
        self.out.drain(..).map(|delivered| delivered.arrival.payload).collect()
    }

    fn skip(&mut self, actor: Actor, first: u64, last: u64) -> Vec<Dot> {
        assert_eq!(self.buffer.skip(actor, first, last, &mut self.out), Ok(true));
        self.delivered()
    }
}

fn rig() -> Rig {
    Rig::new(Limits::default())
}

#[test]
fn what_waits_is_woken_by_what_it_waits_for_and_by_nothing_else() {
    let mut rig = rig();
    assert_eq!(rig.offer(event(A, 2, &[(B, 1)])), Verdict::Waiting { on: dot(A, 1) });
    assert_eq!(rig.offer(event(C, 1, &[(A, 2)])), Verdict::Waiting { on: dot(A, 2) });
    assert_eq!(rig.offer(event(A, 1, &[])), Verdict::Delivered);
    assert_eq!(rig.delivered(), [dot(A, 1)], "A's second waits for B still");
    assert_eq!(rig.offer(event(B, 1, &[])), Verdict::Delivered);
    assert_eq!(rig.delivered(), [dot(B, 1), dot(A, 2), dot(C, 1)]);
    assert!(rig.buffer.is_empty());
    assert_eq!(rig.buffer.delivered(), VectorClock::new([(A, 2), (B, 1), (C, 1)]).unwrap());
}

#[test]
fn what_waits_can_be_asked_for() {
    let mut rig = rig();
    rig.offer_at(1.0, event(A, 3, &[(B, 2), (C, 1)]));
    rig.offer(event(C, 1, &[]));
    let waiting: Vec<_> = rig.buffer.waiting().map(|(arrival, since, unmet)| (arrival.dot, since, unmet)).collect();
    assert_eq!(waiting, [(dot(A, 3), at(1.0), vec![dot(A, 2), dot(B, 2)])]);
    assert_eq!(rig.buffer.next_expiry(), Some(at(11.0)));
}

#[test]
fn what_waits_too_long_is_handed_back_with_what_it_waited_for() {
    let mut rig = rig();
    rig.offer_at(0.0, event(A, 2, &[(B, 3)]));
    rig.offer_at(1.0, event(C, 1, &[(A, 2)]));
    assert_eq!(rig.tick(9.999_999), []);
    assert_eq!(rig.tick(10.0), [(dot(A, 2), vec![dot(A, 1), dot(B, 3)])]);
    assert_eq!(rig.tick(10.5), []);
    // The gap was not passed: C goes on waiting for A's second.
    rig.offer(event(A, 1, &[]));
    assert_eq!(rig.delivered(), [dot(A, 1)]);
    assert_eq!(rig.tick(11.0), [(dot(C, 1), vec![dot(A, 2)])]);
    assert!(rig.buffer.is_empty());
    // Offered again when its time has come, each is delivered.
    for seq in 1..=3 {
        rig.offer(event(B, seq, &[]));
    }
    assert_eq!(rig.offer(event(A, 2, &[(B, 3)])), Verdict::Delivered);
    assert_eq!(rig.offer(event(C, 1, &[(A, 2)])), Verdict::Delivered);
}

#[test]
fn time_that_goes_back_keeps_nobody_waiting_longer() {
    let mut rig = rig();
    rig.offer_at(100.0, event(A, 2, &[]));
    rig.offer_at(5.0, event(B, 2, &[]));
    assert_eq!(rig.tick(109.0), []);
    assert_eq!(rig.tick(3.0), []);
    assert_eq!(rig.tick(110.0), [(dot(A, 2), vec![dot(A, 1)]), (dot(B, 2), vec![dot(B, 1)])]);
}

#[test]
fn an_expired_event_leaves_every_list_it_was_in() {
    let mut rig = rig();
    // Four wait for C's first; the middle, the first and the last of the list go.
    for (n, actor) in [A, B, Actor(3), Actor(4)].into_iter().enumerate() {
        rig.offer_at(n as f64, event(actor, 1, &[(C, 1)]));
    }
    assert_eq!(rig.tick(10.0).len(), 1);
    assert_eq!(rig.tick(11.0).len(), 1);
    rig.offer_at(11.0, event(A, 1, &[(C, 1)]));
    assert_eq!(rig.tick(12.0).len(), 1);
    rig.offer(event(C, 1, &[]));
    assert_eq!(rig.delivered(), [dot(C, 1), dot(A, 1), dot(Actor(4), 1)]);
}

#[test]
fn an_expired_event_is_nobodys_neighbour_any_more() {
    let mut rig = rig();
    // The oldest comes to stand before the others, since it waited for something else first.
    rig.offer_at(0.0, event(A, 1, &[(B, 1), (C, 1)]));
    rig.offer_at(1.0, event(Actor(3), 1, &[(C, 1)]));
    rig.offer_at(2.0, event(Actor(4), 1, &[(C, 1)]));
    rig.offer_at(2.5, event(B, 1, &[]));
    assert_eq!(rig.tick(10.0).len(), 1);
    // Another takes its place in the table and waits elsewhere.
    rig.offer_at(10.0, event(Actor(5), 1, &[(Actor(6), 1)]));
    rig.offer_at(10.0, event(Actor(7), 1, &[(Actor(6), 1)]));
    assert_eq!(rig.tick(12.0).len(), 2);
    for seq in [1, 2] {
        rig.offer_at(12.0, event(Actor(8), seq, &[(C, 1)]));
    }
    rig.delivered();
    rig.offer_at(12.0, event(Actor(6), 1, &[]));
    assert_eq!(rig.delivered(), [dot(Actor(6), 1), dot(Actor(7), 1), dot(Actor(5), 1)]);
    rig.offer_at(12.0, event(C, 1, &[]));
    assert_eq!(rig.delivered(), [dot(C, 1), dot(Actor(8), 1), dot(Actor(8), 2)]);
}

#[test]
fn what_does_not_fit_is_handed_back_and_never_takes_anothers_place() {
    let mut rig = Rig::new(Limits { max_events: 2, ..Limits::default() });
    rig.offer(event(A, 2, &[]));
    rig.offer(event(A, 3, &[]));
    let Verdict::Overflow(over) = rig.offer(event(A, 4, &[(B, 1)])) else { panic!() };
    assert_eq!((over.arrival.dot, over.waits_for), (dot(A, 4), vec![dot(A, 3), dot(B, 1)]));
    // What need not wait has no need of room.
    assert_eq!(rig.offer(event(B, 1, &[])), Verdict::Delivered);
    rig.offer(event(A, 1, &[]));
    assert_eq!(rig.delivered(), [dot(B, 1), dot(A, 1), dot(A, 2), dot(A, 3)]);
    assert_eq!(rig.offer(event(A, 4, &[(B, 1)])), Verdict::Delivered);
}

#[test]
fn bytes_are_bounded_and_given_back() {
    let max_bytes = 100_000;
    let mut rig = Rig::new(Limits { max_events: usize::MAX, max_bytes, ..Limits::default() });
    let (mut waited, mut over) = (0, 0);
    // Near and far ahead, of many actors, some of them large.
    for n in 0..2000u64 {
        let actor = Actor((n % 50) as u32);
        let seq = if n % 3 == 0 { 2 + n * 1_000_000_007 } else { 2 + n / 50 };
        let mut large = event(actor, seq, &[(Actor(99), n)]);
        large.bytes = (n as usize % 7) * 500;
        match rig.offer(large) {
            Verdict::Waiting { .. } => waited += 1,
            Verdict::Overflow(_) => over += 1,
            other => panic!("{other:?}"),
        }
        assert!(rig.buffer.bytes() <= max_bytes);
    }
    assert!(waited > 30 && over > 1000, "{waited} {over}");
    assert!(matches!(rig.offer(Arrival { bytes: usize::MAX, ..event(C, 9, &[]) }), Verdict::Overflow(_)));
    assert_eq!(rig.tick(10.0).len(), waited);
    assert!(rig.buffer.bytes() < 50 * 64 * 2 * 8, "{}", rig.buffer.bytes());
    assert!(rig.buffer.is_empty());
}

#[test]
fn a_great_number_does_not_take_great_memory() {
    let mut rig = rig();
    assert_eq!(rig.offer(event(A, u64::MAX - 1, &[])), Verdict::Waiting { on: dot(A, u64::MAX - 2) });
    rig.offer(event(B, 1, &[(A, u64::MAX)]));
    assert!(rig.buffer.bytes() < 4000);
    assert_eq!(rig.tick(10.0).len(), 2);
}

#[test]
fn duplicates_are_told_from_another_event_under_the_same_dot() {
    let mut rig = Rig::new(Limits { remember: 2, ..Limits::default() });
    let forged = |seq| Arrival { mark: Mark(99), ..event(A, seq, &[]) };
    rig.offer(event(A, 2, &[]));
    assert!(matches!(rig.offer(event(A, 2, &[])), Verdict::Duplicate { of: Known::Waiting, .. }));
    assert!(matches!(rig.offer(forged(2)), Verdict::IdentityReuse { first: Mark(2), .. }));
    rig.offer(event(A, 1, &[]));
    assert_eq!(rig.delivered(), [dot(A, 1), dot(A, 2)], "the first one stands");
    assert!(matches!(rig.offer(event(A, 2, &[])), Verdict::Duplicate { of: Known::Delivered, .. }));
    assert!(matches!(rig.offer(forged(2)), Verdict::IdentityReuse { first: Mark(2), .. }));
    rig.offer(event(A, 3, &[]));
    assert!(matches!(rig.offer(forged(1)), Verdict::Duplicate { of: Known::Unchecked, .. }), "forgotten, and said so");
    assert_eq!(rig.delivered(), [dot(A, 3)]);
}

#[test]
fn no_event_of_its_source_is_refused() {
    let mut rig = rig();
    let not_its_own = |arrival| matches!(arrival, Verdict::Refused { why: Refusal::NotItsOwn, .. });
    assert!(not_its_own(rig.offer(Arrival { dot: dot(A, 1), ..event(A, 2, &[]) })));
    assert!(not_its_own(rig.offer(Arrival { dot: dot(B, 1), ..event(A, 1, &[]) })));
    assert!(not_its_own(rig.offer(event(A, 0, &[]))));
    assert!(not_its_own(rig.offer(event(A, u64::MAX, &[]))));
}

#[test]
fn a_void_mark_lets_successors_pass_and_comes_late_as_an_exception() {
    let mut rig = rig();
    rig.offer(event(A, 3, &[]));
    assert_eq!(rig.buffer.void(dot(A, 2), &mut rig.out), Ok(true));
    assert_eq!(rig.delivered(), [], "A's first is missing still");
    rig.offer(event(A, 1, &[]));
    assert_eq!(rig.delivered(), [dot(A, 1), dot(A, 3)]);
    // What it depends on is waited for even so.
    assert_eq!(rig.offer(event(A, 2, &[(B, 1)])), Verdict::Waiting { on: dot(B, 1) });
    assert!(matches!(rig.offer(event(A, 2, &[(B, 1)])), Verdict::Duplicate { of: Known::Waiting, .. }));
    rig.offer(event(B, 1, &[]));
    let late: Vec<_> = rig.out.drain(..).map(|d| (d.arrival.dot, d.exception)).collect();
    assert_eq!(late, [(dot(B, 1), false), (dot(A, 2), true)]);
    assert!(matches!(rig.offer(event(A, 2, &[(B, 1)])), Verdict::Duplicate { of: Known::Delivered, .. }));
    assert_eq!(rig.buffer.passed(A), 3);
}

#[test]
fn a_void_mark_on_what_waits_changes_nothing() {
    let mut rig = rig();
    rig.offer(event(A, 2, &[]));
    assert_eq!(rig.buffer.void(dot(A, 2), &mut rig.out), Ok(false));
    // One that comes in time for its void mark is no exception.
    assert_eq!(rig.buffer.void(dot(A, 3), &mut rig.out), Ok(true));
    rig.offer(event(A, 3, &[]));
    rig.offer(event(A, 1, &[]));
    assert!(rig.out.iter().all(|delivered| !delivered.exception));
    assert_eq!(rig.delivered(), [dot(A, 1), dot(A, 2), dot(A, 3)]);
    assert_eq!(rig.buffer.void(dot(A, 3), &mut rig.out), Ok(false), "delivered");
    assert_eq!(rig.buffer.progress().0[&A].holes, []);
}

#[test]
fn a_declared_hole_is_passed_however_wide() {
    let mut rig = rig();
    let far = 1 << 60;
    rig.offer(event(B, 1, &[(A, 70)]));
    rig.offer(event(C, 1, &[(A, far - 5)]));
    rig.offer(event(A, far + 1, &[]));
    rig.offer(event(A, 40, &[(B, 1)]));
    // A's 40 waits and stands in the hole: it is delivered in its place, not passed.
    assert_eq!(rig.skip(A, 1, far), []);
    assert_eq!(rig.buffer.passed(A), 39);
    assert_eq!(
        rig.tick(10.0),
        [
            (dot(B, 1), vec![dot(A, 70)]),
            (dot(C, 1), vec![dot(A, far - 5)]),
            (dot(A, far + 1), vec![dot(A, far)]),
            (dot(A, 40), vec![dot(B, 1)])
        ]
    );
    assert_eq!((rig.buffer.passed(A), rig.delivered()), (far, vec![]), "it expired, and its place is in the hole");
    assert_eq!(rig.offer(event(A, far + 1, &[])), Verdict::Delivered);
    assert_eq!(rig.offer(event(B, 1, &[(A, 70)])), Verdict::Delivered);
    assert_eq!(rig.offer(event(A, 40, &[(B, 1)])), Verdict::Delivered);
    assert!(rig.out.last().is_some_and(|delivered| delivered.exception));
    assert_eq!(rig.buffer.progress().0[&A].holes, [(1, 39), (41, far)]);
    for (first, last) in [(0, 1), (2, 1), (1, u64::MAX)] {
        assert_eq!(rig.buffer.skip(A, first, last, &mut rig.out), Err(Undeclarable::Range));
    }
}

#[test]
fn waiters_inside_a_hole_are_woken() {
    let mut rig = rig();
    rig.offer(event(B, 1, &[(A, 3)]));
    rig.offer(event(C, 1, &[(A, 900)]));
    rig.offer(event(A, 6, &[]));
    assert_eq!(rig.skip(A, 1, 5), [dot(B, 1), dot(A, 6)]);
    assert_eq!(rig.skip(A, 7, 900), [dot(C, 1)]);
}

#[test]
fn holes_take_room_too() {
    let mut rig = Rig::new(Limits { max_bytes: 480, ..Limits::default() });
    for n in 1..=10 {
        assert_eq!(rig.buffer.skip(A, n * 10, n * 10, &mut rig.out), Ok(true));
    }
    assert_eq!(rig.buffer.skip(A, 500, 500, &mut rig.out), Err(Undeclarable::Full { max_bytes: 480 }));
}

#[test]
fn a_source_may_start_above_one() {
    let mut rig = rig();
    rig.offer(event(B, 1, &[(A, 41)]));
    rig.offer(event(C, 1, &[(A, 42)]));
    assert_eq!(rig.buffer.start(A, 42, &mut rig.out), Ok(()));
    assert_eq!(rig.delivered(), [dot(B, 1)]);
    assert!(matches!(rig.offer(event(A, 41, &[])), Verdict::Refused { why: Refusal::BeforeFirst { first: 42 }, .. }));
    assert_eq!(rig.offer(event(A, 42, &[])), Verdict::Delivered);
    assert_eq!(rig.delivered(), [dot(A, 42), dot(C, 1)]);
    assert_eq!(rig.buffer.start(A, 42, &mut rig.out), Ok(()));
    assert_eq!(rig.buffer.start(A, 43, &mut rig.out), Err(Undeclarable::Started));
    rig.offer(event(Actor(3), 2, &[]));
    assert_eq!(rig.buffer.start(Actor(3), 2, &mut rig.out), Err(Undeclarable::Started), "it waits by another count");
    assert_eq!(rig.buffer.start(Actor(4), 0, &mut rig.out), Err(Undeclarable::Range));
}

#[test]
fn nobody_waits_for_a_retired_source() {
    let mut rig = rig();
    rig.offer(event(A, 1, &[]));
    rig.offer(event(A, 5, &[(B, 1)]));
    rig.offer(event(C, 1, &[(A, 5)]));
    rig.offer(event(C, 2, &[(A, 9)]));
    assert_eq!(rig.offer(event(Actor(3), 1, &[(A, 9)])), Verdict::Waiting { on: dot(A, 9) });
    rig.delivered();
    assert_eq!(rig.buffer.retire(A, &mut rig.out), 5);
    assert_eq!(rig.delivered(), [], "its fifth waits, and those that depend on it do");
    rig.offer(event(B, 1, &[]));
    assert_eq!(rig.delivered(), [dot(B, 1), dot(A, 5), dot(C, 1), dot(Actor(3), 1), dot(C, 2)]);
    assert_eq!(rig.offer(event(C, 3, &[(A, 10)])), Verdict::Delivered);
    assert!(matches!(rig.offer(event(A, 6, &[])), Verdict::Refused { why: Refusal::Retired { last: 5 }, .. }));
    assert_eq!(rig.offer(event(A, 3, &[])), Verdict::Delivered);
    assert!(rig.out.last().is_some_and(|late| late.exception));
    assert_eq!((rig.buffer.retire(A, &mut rig.out), rig.buffer.passed(A)), (5, 5));
    assert_eq!(rig.buffer.retire(Actor(9), &mut rig.out), 0);
    assert_eq!(rig.buffer.skip(A, 6, 7, &mut rig.out), Ok(false));
}

#[test]
fn a_retired_source_whose_last_expires_holds_nobody_up() {
    let mut rig = rig();
    rig.offer(event(A, 2, &[(B, 1)]));
    rig.offer_at(5.0, event(C, 1, &[(A, 2)]));
    assert_eq!(rig.buffer.retire(A, &mut rig.out), 2);
    assert_eq!(rig.tick(10.0), [(dot(A, 2), vec![dot(B, 1)])]);
    assert_eq!(rig.delivered(), [dot(C, 1)]);
}

#[test]
fn what_stood_in_a_hole_takes_its_place_again_after_a_restart() {
    let mut first = rig();
    first.offer(event(A, 1, &[(B, 1)]));
    first.offer(event(C, 1, &[(B, 1)]));
    first.skip(A, 1, 3);
    first.skip(C, 1, 2);
    let progress = first.buffer.progress();
    assert_eq!((progress.0[&A].passed, progress.0[&C].passed), (0, 0), "two wait where the holes are");
    let mut again = Rig { buffer: CausalBuffer::resume(Limits::default(), &progress), out: vec![] };
    assert_eq!(again.offer(event(A, 1, &[(B, 1)])), Verdict::Waiting { on: dot(B, 1) });
    again.buffer.settle(&mut again.out);
    // C's was not there again, A's was.
    assert_eq!((again.buffer.passed(A), again.buffer.passed(C)), (0, 2));
    again.offer(event(B, 1, &[]));
    assert!(again.out.iter().all(|delivered| !delivered.exception));
    assert_eq!((again.delivered(), again.buffer.passed(A)), (vec![dot(B, 1), dot(A, 1)], 3));
}

#[test]
fn a_buffer_goes_on_where_another_was() {
    let mut rig = rig();
    rig.buffer.start(B, 7, &mut rig.out).unwrap();
    rig.offer(event(A, 1, &[]));
    rig.offer(event(A, 5, &[(C, 1)]));
    rig.skip(A, 3, 4);
    rig.skip(Actor(3), 2, 9);
    rig.buffer.retire(Actor(4), &mut rig.out);
    let progress = rig.buffer.progress();
    let mut actors = crate::clock::Actors::default();
    for name in ["a", "b", "c", "d", "e"] {
        actors.intern(name).unwrap();
    }
    let bytes = progress.encode(&actors);
    assert_eq!(Progress::decode(&bytes, &mut actors), Ok(progress.clone()));
    for cut in 0..bytes.len() {
        assert!(Progress::decode(&bytes[..cut], &mut actors).is_err());
    }
    let mut again = Rig { buffer: CausalBuffer::resume(Limits::default(), &progress), out: vec![] };
    assert_eq!(again.buffer.progress(), progress);
    for rig in [&mut rig, &mut again] {
        rig.delivered();
        rig.offer(event(A, 5, &[(C, 1)]));
        rig.offer(event(C, 1, &[(Actor(4), 3)]));
        rig.offer(event(A, 2, &[]));
        rig.offer(event(B, 7, &[]));
        assert_eq!(rig.delivered(), [dot(C, 1), dot(A, 2), dot(A, 5), dot(B, 7)]);
        assert!(matches!(rig.offer(event(Actor(4), 1, &[])), Verdict::Refused { .. }));
    }
}
