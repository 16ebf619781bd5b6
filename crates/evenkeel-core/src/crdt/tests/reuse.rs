//! An identity in use twice is told by every type, from either side, and resolved the same way; and single behaviours.
use super::*;
use crate::clock::VectorClock;

const A: Actor = Actor(0);
const B: Actor = Actor(1);

fn stamp(millis: u64, replica: &str) -> Stamp {
    let kind = WriteKind::Set;
    Stamp { hlc: Hlc::new(millis, 0), replica: replica.into(), incarnation: Incarnation(1), kind }
}

fn dot(actor: Actor, seq: u64) -> Dot {
    Dot::new(actor, seq)
}

/// Merges both ways: the same comes out, and both tell.
fn told<S: Crdt + Debug>(one: &S, other: &S) -> S {
    let (mut left, mut right) = (one.clone(), other.clone());
    let (told_left, told_right) = (left.merge(other), right.merge(one));
    assert_eq!(left, right);
    assert_eq!((told_left.reused.len(), told_right.reused.len()), (1, 1), "{one:?} and {other:?}");
    assert_eq!(told_left.reused, told_right.reused);
    assert!(one.clone().merge(one).reused.is_empty());
    left
}

#[test]
fn every_type_tells_that_an_identity_is_used_twice() {
    let lww = |value: u64| Lww::default().write(stamp(1, "a"), value);
    assert_eq!(told(&lww(7), &lww(9)).value(), Some(&9));
    let max = |value: u64| Max::default().put(stamp(1, "a"), value);
    assert_eq!(told(&max(7), &max(9)).value(), Some(&9));
    let min = |value: u64| Min::default().put(stamp(1, "a"), value);
    assert_eq!(told(&min(7), &min(9)).value(), Some(&7));
    let map = |value: u64| LwwMap::default().put(stamp(1, "a"), 1u64, value);
    assert_eq!(told(&map(7), &map(9)).get(&1), Some(&9));
    let mv = |value: u64| Mv::default().write(dot(A, 1), value);
    assert_eq!(told(&mv(7), &mv(9)).values(), [9].iter().collect());
    let set = |value: u64| OrSet::adding(dot(A, 1), [value]);
    let both = told(&set(7), &set(9));
    assert_eq!(both.iter().collect::<Vec<_>>(), [&9]);
    assert!(!both.contains(&7));
    let version = |value: u64| Versioned::writing(dot(A, 1), stamp(1, "a"), None, value);
    assert_eq!(told(&version(7), &version(9)).current().map(|version| *version.value), Some(9));
    let g = |by: u64| GCounter::default().add(dot(A, 1), by).unwrap();
    assert_eq!(told(&g(7), &g(9)).value(), 9);
    let pn = |by: i64| PnCounter::default().add(dot(A, 1), by).unwrap();
    assert_eq!(told(&pn(-7), &pn(9)).value(), 2);
    let bounded = |by: u64| BoundedCounter::default().add(dot(A, 1), by).unwrap();
    assert_eq!(told(&bounded(7), &bounded(9)).value(), 9);
}

#[test]
fn a_later_dot_that_holds_less_is_told_too() {
    let mut one = GCounter::default();
    one.add(dot(A, 1), 9).unwrap();
    let other = GCounter::default().add(dot(A, 2), 3).unwrap();
    assert_eq!(told(&one, &other).value(), 3);
    let mut one = BoundedCounter::default();
    one.add(dot(A, 1), 9).unwrap();
    let other = BoundedCounter::default().add(dot(A, 2), 3).unwrap();
    assert_eq!(told(&one, &other).value(), 3);
}

#[test]
fn a_dot_of_zero_writes_nothing() {
    let mut register = Mv::default();
    assert_eq!(register.write(dot(A, 0), 7u64), Mv::default());
    assert_eq!(OrSet::adding(dot(A, 0), [7u64]), OrSet::default());
    assert_eq!(register.values().len(), 0);
}

#[test]
fn two_stamps_at_once_of_two_replicas_are_no_reuse() {
    let mut one = Lww::default();
    let delta = one.write(stamp(1, "b"), 1u64);
    let merged = Lww::default().write(stamp(1, "a"), 2).merge(&delta);
    assert_eq!(merged, Merged { changed: true, reused: vec![] });
}

#[test]
fn a_dot_counts_once() {
    let mut counter = PnCounter::default();
    counter.add(dot(A, 2), 5).unwrap();
    assert_eq!(counter.add(dot(A, 2), 5), Err(CountError::DotUsed(dot(A, 2))));
    assert_eq!(counter.add(dot(A, 1), 5), Err(CountError::DotUsed(dot(A, 1))));
    assert_eq!(counter.value(), 5);
    counter.add(dot(A, 3), i64::MIN).unwrap();
    assert_eq!(counter.value(), 5 + i128::from(i64::MIN));
    let mut set = OrSet::default();
    set.add(dot(A, 1), [1u64]).unwrap();
    assert_eq!(set.add(dot(A, 1), [2]), Err(DotUsed(dot(A, 1))));
    assert_eq!(set.len(), 1);
    let mut bounded = BoundedCounter::default();
    bounded.add(dot(A, 2), 5).unwrap();
    assert_eq!(bounded.add(dot(A, 2), 5), Err(CountError::DotUsed(dot(A, 2))));
    assert_eq!(bounded.take(dot(B, 1), 1), Err(NotEnough::Rights { wanted: 1, rights: 0 }));
    assert_eq!(bounded.value(), 5);
}

#[test]
fn totals_end_with_an_error() {
    let mut actors = Actors::default();
    actors.intern("a").unwrap();
    let mut bytes = vec![crate::codec::FORMAT, GCounter::TAG, 1, 1, b'a', 1, 0, 1];
    crate::codec::put_number(&mut bytes, (1 << 95) - 1);
    bytes.extend([0, 0]);
    let mut counter = GCounter::decode(&bytes, &mut actors).unwrap();
    assert_eq!(counter.add(dot(A, 2), 2), Err(CountError::TooGreat));
    counter.add(dot(A, 2), 1).unwrap();
    assert_eq!(counter.value(), 1 << 95);
    assert_eq!(counter.add(dot(A, 3), 1), Err(CountError::TooGreat));
}

#[test]
fn a_set_that_is_used_long_does_not_grow() {
    let mut actors = Actors::default();
    actors.intern("a").unwrap();
    let mut set = OrSet::default();
    let mut other = OrSet::default();
    for seq in 1..2000 {
        let delta = set.add(dot(A, seq), [seq % 3]).unwrap();
        other.merge(&delta);
        if seq % 2 == 0 {
            other.merge(&set.remove(&(seq % 3)));
        }
    }
    assert_eq!(set, other);
    assert!(set.encode(&actors).len() < 40, "no tombstones: {:?}", set.encode(&actors));
}

#[test]
fn a_removal_removes_what_its_event_knew() {
    let mut set = OrSet::default();
    set.add(dot(A, 1), [5u64]).unwrap();
    set.merge(&OrSet::adding(dot(B, 1), [5]));
    let delta = set.remove_known(&5, &VectorClock::new([(A, 9)]).unwrap());
    assert!(set.contains(&5), "B's addition was not known");
    let mut other = OrSet::adding(dot(A, 1), [5u64]);
    other.merge(&delta);
    assert!(!other.contains(&5));
    other.merge(&OrSet::adding(dot(A, 1), [5]));
    assert!(!other.contains(&5), "an addition that comes after its removal stays away");
}

#[test]
fn writes_that_knew_each_other_leave_one_sibling() {
    let clock = |entries: &[(Actor, u64)]| VectorClock::new(entries.iter().copied()).unwrap();
    let first = Mv::knowing(dot(A, 1), &clock(&[(A, 1)]), 1u64);
    let second = Mv::knowing(dot(B, 1), &clock(&[(A, 1), (B, 1)]), 2);
    let apart = Mv::knowing(dot(A, 2), &clock(&[(A, 2)]), 3);
    let mut register = Mv::default();
    for write in [&second, &apart, &first] {
        register.merge(write);
    }
    assert_eq!(register.values(), [2, 3].iter().collect());
    let dots: Vec<_> = register.siblings().map(|(dot, _)| dot).collect();
    assert_eq!(dots, [dot(A, 2), dot(B, 1)]);
    register.merge(&Mv::knowing(dot(A, 3), &clock(&[(A, 3), (B, 1)]), 4));
    assert_eq!(register.values(), [4].iter().collect());
}

#[test]
fn a_version_names_what_it_is_based_on() {
    let mut versions = Versioned::default();
    versions.write(dot(A, 1), stamp(1, "a"), None, 1u64);
    versions.write(dot(A, 2), stamp(2, "a"), Some(dot(A, 1)), 2);
    // Based on the old one, though it may well have known the new.
    versions.write(dot(B, 1), stamp(3, "b"), Some(dot(A, 1)), 3);
    assert_eq!(versions.current().map(|version| version.dot), Some(dot(B, 1)));
    assert_eq!(versions.losers().iter().map(|loser| *loser.value).collect::<Vec<_>>(), [2]);
    versions.settle(dot(B, 1));
    assert_eq!(versions.current().map(|version| *version.value), Some(3), "what stands is not let go");
    versions.settle(dot(A, 2));
    assert!(versions.losers().is_empty());
    assert_eq!(Versioned::<u64>::default().losers(), []);
}

#[test]
fn removed_keys_are_forgotten_when_nothing_older_can_come() {
    let mut map = LwwMap::default();
    map.put(stamp(1, "a"), 1u64, 1u64);
    map.put(stamp(1, "a"), 2, 2);
    map.remove(stamp(2, "a"), 1);
    map.remove(stamp(5, "a"), 2);
    assert_eq!(map.tombstones(), 2);
    map.forget_removed(Hlc::new(5, 0));
    assert_eq!((map.tombstones(), map.iter().count()), (1, 0));
}

#[test]
fn names_are_read_strictly() {
    let mut actors = Actors::default();
    let a = actors.intern("a").unwrap();
    let bytes = GCounter::default().add(dot(a, 1), 3).unwrap().encode(&actors);
    assert_eq!(bytes, [1, 12, 1, 1, b'a', 1, 0, 1, 3, 0, 0]);
    let unused = [1, 12, 2, 1, b'a', 1, b'b', 1, 0, 1, 3, 0, 0];
    let twice = [1, 12, 2, 1, b'a', 1, b'a', 1, 0, 1, 3, 0, 0];
    let nobody = [1, 12, 1, 1, b'a', 1, 1, 1, 3, 0, 0];
    for bad in [&unused[..], &twice, &nobody] {
        let mut fresh = Actors::default();
        assert!(GCounter::decode(bad, &mut fresh).is_err(), "{bad:?}");
        assert!(fresh.is_empty(), "nothing is left of what was refused");
    }
}
