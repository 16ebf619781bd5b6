//! Tests of vector clocks against plain maps in which what is missing is 0.
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Plain = BTreeMap<u32, u64>;

fn clock(plain: &Plain) -> VectorClock {
    VectorClock::new(plain.iter().map(|(&actor, &count)| (Actor(actor), count))).unwrap()
}

fn plain(clock: &VectorClock) -> Plain {
    clock.iter().map(|(actor, count)| (actor.0, count)).collect()
}

fn relation(a: &Plain, b: &Plain) -> Relation {
    let of = |plain: &Plain, actor| plain.get(actor).copied().unwrap_or(0);
    let all = || a.keys().chain(b.keys());
    Relation::of(all().any(|x| of(a, x) < of(b, x)), all().any(|x| of(a, x) > of(b, x)))
}

/// Clocks that often have the same actors, or nearly, and sometimes many.
fn plains() -> impl Strategy<Value = Plain> {
    prop_oneof![
        prop::collection::btree_map(0..6u32, 0..3u64, 0..6),
        prop::collection::btree_map(0..60u32, 0..3u64, 0..50),
        prop::collection::vec(1..4u64, 0..40).prop_map(|counts| (0..).zip(counts).collect()),
    ]
}

#[test]
fn zeros_say_nothing_and_repetitions_are_refused() {
    let (a, b) = (Actor(0), Actor(1));
    let zeros = VectorClock::new([(b, 2), (a, 0)]).unwrap();
    assert_eq!(zeros, VectorClock::new([(b, 2)]).unwrap());
    assert_eq!(zeros.compare(&VectorClock::new([(b, 2)]).unwrap()), Relation::Equal);
    assert_eq!(VectorClock::new([(a, 0)]).unwrap().compare(&VectorClock::default()), Relation::Equal);
    assert_eq!(VectorClock::new([(a, 1), (b, 1), (a, 2)]), Err(Repeated(a)));
    assert_eq!(VectorClock::new([(a, 0), (a, 0)]), Err(Repeated(a)));
    let mut clock = zeros.clone();
    clock.raise(Dot::new(a, 0));
    assert_eq!(clock, zeros);
}

#[test]
fn counters_end_with_an_error() {
    let a = Actor(3);
    let mut clock = VectorClock::new([(a, u64::MAX)]).unwrap();
    assert_eq!((clock.increment(a), clock.get(a)), (Err(SeqExhausted(a)), u64::MAX));
}

#[test]
fn few_entries_stand_inline() {
    let mut clock = VectorClock::default();
    for actor in 0..INLINE as u32 {
        clock.increment(Actor(actor)).unwrap();
    }
    assert_eq!(clock.heap_bytes(), 0);
    clock.increment(Actor(99)).unwrap();
    assert!(clock.heap_bytes() >= 5 * 12);
}

proptest! {
    #[test]
    fn clocks_compare_as_maps_do(a in plains(), b in plains()) {
        let found = clock(&a).compare(&clock(&b));
        prop_assert_eq!(found, relation(&a, &b));
        prop_assert_eq!(found.reversed(), clock(&b).compare(&clock(&a)));
        prop_assert_eq!(found == Relation::Equal, clock(&a) == clock(&b));
    }

    #[test]
    fn merging_is_the_least_upper_bound(a in plains(), b in plains(), c in plains()) {
        let join = |a: &VectorClock, b: &VectorClock| { let mut joined = a.clone(); joined.merge(b); joined };
        let [x, y, z] = [&a, &b, &c].map(clock);
        let mut expected = a.clone();
        for (&actor, &count) in &b {
            let entry = expected.entry(actor).or_insert(0);
            *entry = count.max(*entry);
        }
        expected.retain(|_, count| *count > 0);
        let joined = join(&x, &y);
        prop_assert_eq!(plain(&joined), expected);
        prop_assert!(joined.iter().is_sorted_by(|a, b| a.0 < b.0));
        prop_assert!(x <= joined && y <= joined);
        prop_assert_eq!(&joined, &join(&y, &x));
        prop_assert_eq!(join(&joined, &z), join(&x, &join(&y, &z)));
        prop_assert_eq!(join(&joined, &joined), joined);
    }

    #[test]
    fn single_entries(a in plains(), actor in 0..61u32, seq in 0..5u64) {
        let mut known = clock(&a);
        let count = a.get(&actor).copied().unwrap_or(0);
        prop_assert_eq!(known.get(Actor(actor)), count);
        prop_assert_eq!(known.knows(Dot::new(Actor(actor), seq)), seq <= count);
        known.raise(Dot::new(Actor(actor), seq));
        prop_assert_eq!(known.get(Actor(actor)), count.max(seq));
        prop_assert_eq!(known.increment(Actor(actor)), Ok(Dot::new(Actor(actor), count.max(seq) + 1)));
        known.retain(|kept, _| kept != Actor(actor));
        let mut rest = a;
        rest.retain(|other, count| *other != actor && *count > 0);
        prop_assert_eq!(plain(&known), rest);
    }
}
