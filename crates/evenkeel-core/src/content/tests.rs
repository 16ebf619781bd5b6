//! What follows from sums: windows compared, causes named, and a pass that agrees whatever the projector writes meanwhile.
use super::*;
use crate::digest::DigestKey;
use proptest::prelude::*;

fn id(n: u8) -> EventId {
    EventId([n; 32])
}

fn sum(ids: &[u8]) -> Sum {
    let mut sum = Sum::default();
    ids.iter().for_each(|n| sum.add(identity(id(*n))));
    sum
}

#[test]
fn windows_span_what_they_say() {
    assert_eq!(Window::of(Position(1)), Window(0));
    assert_eq!(Window::of(Position(4096)), Window(0));
    assert_eq!(Window::of(Position(4097)), Window(1));
    assert_eq!((Window(1).before(), Window(1).last()), (Position(4096), Position(8192)));
    assert_eq!(Window::of(Position(u64::MAX)).last(), Position(u64::MAX));
}

#[test]
fn a_missed_event_and_one_applied_twice_are_told_by_their_sum() {
    let appended = [(Window(0), sum(&[1, 2, 3])), (Window(2), sum(&[4]))];
    assert_eq!(compare_windows(&appended, &appended), []);
    let missed = compare_windows(&appended, &[(Window(0), sum(&[1, 3])), (Window(2), sum(&[4]))]);
    assert_eq!(missed.len(), 1);
    assert_eq!(missed[0].window, Window(0));
    let there = [1, 2, 3].map(id);
    assert_eq!(missed[0].explained_by(&there), Some(vec![(id(2), Cause::MissedEvent)]));
    assert_eq!((missed[0].explained_by(&[id(1)]), missed[0].tendency()), (None, Cause::MissedEvent));
    let twice = compare_windows(&appended, &[(Window(0), sum(&[1, 2, 2, 3])), (Window(2), sum(&[4]))]);
    assert_eq!(twice[0].explained_by(&there), Some(vec![(id(2), Cause::DoubleApply)]));
    assert_eq!(twice[0].tendency(), Cause::DoubleApply);
    // One for another that this log never had: no count tells of it.
    let exchanged = compare_windows(&appended, &[(Window(0), sum(&[1, 2, 9])), (Window(2), sum(&[4]))]);
    assert_eq!((exchanged.len(), exchanged[0].explained_by(&there)), (1, None));
    let all: Vec<_> = compare_windows(&appended, &[(Window(1), sum(&[5]))]).into_iter().map(|d| d.window.0).collect();
    assert_eq!(all, [0, 1, 2]);
}

proptest! {
    /// Some events of a window are left out and some applied again.
    #[test]
    fn up_to_two_events_are_told_by_what_they_make_of_the_sum(
        times in prop::collection::vec(prop_oneof![4 => Just(1usize), 1 => Just(0), 1 => 2..4usize], 1..12),
    ) {
        // Identities are digests: their sums are not those of others.
        let ids: Vec<_> = (0..times.len()).map(|n| EventId(crate::ids::Digest::of(&[n as u8]).0)).collect();
        let sum_of = |times: &[usize]| {
            let mut sum = Sum::default();
            for (id, times) in ids.iter().zip(times) {
                (0..*times).for_each(|_| sum.add(identity(*id)));
            }
            sum
        };
        let (appended, applied) = (sum_of(&vec![1; times.len()]), sum_of(&times));
        let mut expected = Vec::new();
        for (id, times) in ids.iter().zip(&times) {
            let cause = if *times == 0 { Cause::MissedEvent } else { Cause::DoubleApply };
            expected.extend((0..times.abs_diff(1)).map(|_| (*id, cause)));
        }
        let found = compare_windows(&[(Window(0), appended)], &[(Window(0), applied)]);
        prop_assert_eq!(found.is_empty(), expected.is_empty());
        for difference in found {
            let mut explained = difference.explained_by(&ids);
            explained.iter_mut().for_each(|events| events.sort_unstable_by_key(|(id, _)| *id));
            expected.sort_unstable_by_key(|(id, _)| *id);
            prop_assert_eq!(explained, (expected.len() <= 2).then_some(expected.clone()));
        }
    }
}

#[test]
fn causes_follow_the_table() {
    let agrees = Clues { intact: true, touched: false, bucket_agrees: Some(true), identities: None };
    let differs = Clues { bucket_agrees: Some(false), ..agrees };
    let unseen = Clues { bucket_agrees: None, ..agrees };
    let touched = Clues { touched: true, identities: Some(Cause::MissedEvent), ..agrees };
    let broken = Clues { intact: false, ..agrees };
    let missed = Clues { identities: Some(Cause::MissedEvent), ..differs };
    let cases = [
        (true, true, agrees, Cause::ProjectorDefect),
        (true, false, agrees, Cause::ProjectorDefect),
        (false, true, agrees, Cause::ProjectorDefect),
        (true, true, differs, Cause::ForeignEdit),
        (true, true, unseen, Cause::ForeignEdit),
        (true, false, differs, Cause::LostRow),
        (false, true, differs, Cause::ExtraRow),
        (true, true, touched, Cause::ForeignEdit),
        (true, false, touched, Cause::LostRow),
        (false, true, touched, Cause::ExtraRow),
        (true, true, broken, Cause::ForeignEdit),
        (false, true, broken, Cause::ExtraRow),
        (true, true, missed, Cause::MissedEvent),
        (true, false, missed, Cause::MissedEvent),
    ];
    for (expected, actual, known, wanted) in cases {
        assert_eq!(cause(expected, actual, known), wanted, "{expected} {actual} {known:?}");
    }
}

/// What happens while a pass goes on: a row is written with a digest, or deleted; or the pass reads on.
#[derive(Debug, Clone)]
enum Act {
    Write(u8, u8),
    Delete(u8),
    Read,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..12u8, any::<u8>()).prop_map(|(key, digest)| Act::Write(key, digest)),
        (0..12u8).prop_map(Act::Delete),
        Just(Act::Read),
    ]
}

fn hash(key: &Key) -> KeyHash {
    let schema = crate::schema::Schema {
        model: "m".into(),
        version: 1,
        key: vec![],
        columns: vec![],
        subscribes: Default::default(),
        fingerprint: crate::Digest::of(b""),
    };
    crate::digest::RowHasher::new(&DigestKey([0; 32]), &schema).key(key)
}

proptest! {
    #[test]
    fn a_pass_agrees_whatever_is_written_meanwhile_and_sees_what_is_not_meant(
        before in prop::collection::btree_map(0..12u8, any::<u8>(), 0..10),
        acts in prop::collection::vec(act(), 0..40),
        foreign in prop::option::of((0..12u8, any::<u8>())),
    ) {
        let key = |n: u8| Key::text(format!("{n:02}"));
        let digest = |n: u8| RowDigest([n; 16]);
        let mut rows: BTreeMap<Key, RowDigest> = before.iter().map(|(k, d)| (key(*k), digest(*d))).collect();
        let mut meant = Buckets::default();
        rows.iter().for_each(|(key, digest)| meant.get_mut(hash(key).bucket()).add(digest.0));
        // Somebody else changes a row before the pass begins, and nobody writes to that row again.
        let edited = foreign.map(|(n, d)| (key(n), digest(d))).filter(|(k, d)| rows.get(k) != Some(d));
        if let Some((key, digest)) = &edited {
            rows.insert(key.clone(), *digest);
        }
        let mut pass = Pass::new(Timestamp::from_micros(0));
        let read = |pass: &mut Pass, rows: &BTreeMap<Key, RowDigest>| {
            let next = rows.iter().find(|(key, _)| pass.cursor().is_none_or(|cursor| *key > cursor));
            let found = next.map(|(key, digest)| (key.clone(), *digest));
            found.map(|(key, digest)| pass.read(key.clone(), hash(&key), digest)).is_some()
        };
        for act in acts {
            let (key, to) = match act {
                Act::Read => { read(&mut pass, &rows); continue }
                Act::Write(n, d) => (key(n), Some(digest(d))),
                Act::Delete(n) => (key(n), None),
            };
            if edited.as_ref().is_some_and(|(touched, _)| *touched == key) {
                continue;
            }
            let from = match to {
                Some(to) => rows.insert(key.clone(), to),
                None => rows.remove(&key),
            };
            let bucket = meant.get_mut(hash(&key).bucket());
            from.iter().for_each(|from| bucket.sub(from.0));
            to.iter().for_each(|to| bucket.add(to.0));
            pass.wrote(&key, hash(&key), from, to);
        }
        while read(&mut pass, &rows) {}
        let expected: Vec<u16> = edited.iter().map(|(key, _)| hash(key).bucket()).collect();
        prop_assert_eq!(pass.differing(&meant), expected);
    }
}

/// What else happens: the projector writes a row wrongly; somebody else puts one there with a digest of its own, or takes
/// one away; all that was done so far is put right; or the pass reads on.
#[derive(Debug, Clone)]
enum Harm {
    Misapply(u8, u128),
    Put(u8, u128),
    Take(u8),
    Repair,
    Read,
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        1 => (0..12u8, any::<u128>()).prop_map(|(key, digest)| Harm::Misapply(key, digest)),
        1 => (0..12u8, any::<u128>()).prop_map(|(key, digest)| Harm::Put(key, digest)),
        1 => (0..12u8).prop_map(Harm::Take),
        1 => Just(Harm::Repair),
        3 => Just(Harm::Read),
    ]
}

proptest! {
    #[test]
    fn a_pass_goes_on_over_repairs_and_sees_what_was_not_repaired(
        right in prop::collection::btree_map(0..12u8, any::<u128>(), 0..12),
        harms in prop::collection::vec(harm(), 0..24),
        unnoticed in prop::option::of((12..14u8, any::<u128>())),
    ) {
        let key = |n: u8| Key::text(format!("{n:02}"));
        let digest = |n: u128| RowDigest(n.to_le_bytes());
        let right: BTreeMap<Key, RowDigest> = right.iter().map(|(k, d)| (key(*k), digest(*d))).collect();
        let mut meant = Buckets::default();
        right.iter().for_each(|(key, digest)| meant.get_mut(hash(key).bucket()).add(digest.0));
        let mut rows = right.clone();
        rows.extend(unnoticed.map(|(n, d)| (key(n), digest(d))));
        let mut pass = Pass::new(Timestamp::from_micros(0));
        let read = |pass: &mut Pass, rows: &BTreeMap<Key, RowDigest>| {
            let next = rows.iter().find(|(key, _)| pass.cursor().is_none_or(|cursor| *key > cursor));
            let found = next.map(|(key, digest)| (key.clone(), *digest));
            found.map(|(key, digest)| pass.read(key.clone(), hash(&key), digest)).is_some()
        };
        // What the projector meant with each row, rightly or wrongly.
        let mut written = right.clone();
        let repair = |pass: &mut Pass, rows: &mut BTreeMap<Key, RowDigest>, written: &mut BTreeMap<Key, RowDigest>| {
            for n in 0..12 {
                let key = key(n);
                let before = [&*written, rows].map(|rows| rows.get(&key).copied());
                let right = right.get(&key).copied();
                pass.repaired(&key, hash(&key), before, right);
                written.remove(&key);
                written.extend(right.map(|right| (key.clone(), right)));
                rows.remove(&key);
                rows.extend(right.map(|right| (key, right)));
            }
        };
        for harm in harms {
            // A row that is harmed twice before it is repaired may cost a look at its bucket: what was read is not known.
            let is_right = |n| rows.get(&key(n)) == right.get(&key(n));
            let is_written = |n| rows.get(&key(n)) == written.get(&key(n));
            match harm {
                Harm::Put(n, _) | Harm::Take(n) if !is_written(n) => {}
                Harm::Misapply(n, _) if !is_right(n) || !is_written(n) => {}
                Harm::Misapply(n, d) => {
                    let (key, from) = (key(n), rows.get(&key(n)).copied());
                    pass.wrote(&key, hash(&key), from, Some(digest(d)));
                    rows.insert(key.clone(), digest(d));
                    written.insert(key, digest(d));
                }
                Harm::Put(n, d) => drop(rows.insert(key(n), digest(d))),
                Harm::Take(n) => drop(rows.remove(&key(n))),
                Harm::Repair => repair(&mut pass, &mut rows, &mut written),
                Harm::Read => drop(read(&mut pass, &rows)),
            }
        }
        repair(&mut pass, &mut rows, &mut written);
        while read(&mut pass, &rows) {}
        let expected: Vec<u16> = unnoticed.iter().map(|(n, _)| hash(&key(*n)).bucket()).collect();
        prop_assert_eq!(pass.differing(&meant), expected);
    }
}

/// The projector builds upon a row that somebody else has put there with a digest of its own: what is meant is off by what
/// that one was not.
#[test]
fn a_pass_goes_on_over_sums_that_were_put_right() {
    let digest = |n: u8| RowDigest([n; 16]);
    let (key, [first, foreign, upon, right]) = (Key::text("a"), [1, 10, 50, 200].map(digest));
    let bucket = hash(&key).bucket();
    let sum = |plus: &[RowDigest], minus: &[RowDigest]| {
        let mut sum = Sum::default();
        plus.iter().for_each(|digest| sum.add(digest.0));
        minus.iter().for_each(|digest| sum.sub(digest.0));
        sum
    };
    let mut meant = Buckets::default();
    *meant.get_mut(bucket) = sum(&[right], &[]);
    for (was_read, is_told) in [(first, true), (foreign, true), (first, false)] {
        let mut pass = Pass::new(Timestamp::from_micros(0));
        pass.read(key.clone(), hash(&key), was_read);
        pass.wrote(&key, hash(&key), Some(foreign), Some(upon));
        pass.repaired(&key, hash(&key), [Some(upon), Some(upon)], Some(right));
        if is_told {
            pass.restored(bucket, sum(&[first, right], &[foreign]), sum(&[right], &[]));
        }
        assert_eq!(pass.differing(&meant).is_empty(), is_told, "{was_read:?}");
    }
}

#[test]
fn a_bucket_of_which_too_many_rows_were_repaired_is_looked_at() {
    let digest = |n: u8| RowDigest([n; 16]);
    let (a, right) = (Key::text("a"), digest(200));
    let mut meant = Buckets::default();
    meant.get_mut(hash(&a).bucket()).add(right.0);
    for (repairs, differs) in [(REPAIRED as u8, false), (REPAIRED as u8 + 1, true)] {
        let mut pass = Pass::new(Timestamp::from_micros(0));
        pass.read(a.clone(), hash(&a), digest(1));
        (1..=repairs).for_each(|n| pass.repaired(&a, hash(&a), [Some(right), Some(digest(n))], Some(right)));
        assert_eq!(!pass.differing(&meant).is_empty(), differs, "{repairs}");
    }
}
