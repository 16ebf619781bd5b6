//! What a deletion takes and leaves, what comes for a row that was deleted, and tombstones.
use super::*;

#[test]
fn a_deletion_takes_what_it_knew() {
    let before = [
        made(r#"{"name":"n","stock":5,"tag":"a","peak":3,"colour":"red","price":{"amount":"1.50","currency":"EUR"}}"#),
        made(r#"{"stock":2,"tag":"b","peak":2,"colour":"blue"}"#),
    ];
    let [a, b] = before.clone();
    assert_eq!(shown(&[a.clone(), b.clone(), deleted()]), Value::Null, "who says nothing knows all");
    assert_eq!(shown(&[a.clone(), b.clone(), deleted().seen(2)]), Value::Null);
    let left = [a.clone(), b.clone(), deleted().seen(1)];
    for (column, expected) in [
        ("name", "null"),
        ("price", "null"),
        ("currency", "null"),
        ("stock", "2"),
        ("tags", r#"["b"]"#),
        ("colour_siblings", r#"["blue"]"#),
        ("colour", r#""blue""#),
    ] {
        assert_eq!(at(&left, column), expected, "{column}");
    }
    assert_eq!(at(&left, "peak"), "2");
    // A later write revives its own columns only.
    assert_eq!(at(&[a, b, deleted(), made(r#"{"name":"again"}"#).seen(1)], "stock"), "null");
    // A register that outlives the deletion is recorded, on whichever side of it the log has it.
    let (row, conflicts) = fold(&[made(r#"{"stock":1}"#), made(r#"{"name":"new"}"#), deleted().seen(1)]);
    assert!(row.is_some());
    let [conflict] = conflicts.as_slice() else { panic!("{conflicts:?}") };
    assert_eq!((conflict.rule, conflict.column.as_str()), (Rule::AddWins, "name"));
    assert!(conflict.replay());
    let after = [made(r#"{"stock":1}"#), deleted().seen(1), made(r#"{"name":"new"}"#).seen(1)];
    let (_, conflicts) = fold(&after);
    let [after_it] = conflicts.as_slice() else { panic!("{conflicts:?}") };
    assert_eq!(
        (after_it.rule, &after_it.winner.value, after_it.loser.kind),
        (Rule::AddWins, &"new".into(), WriteKind::Delete)
    );
    assert!(after_it.replay());
    assert_eq!((at(&after, "name"), at(&after, "stock")), (r#""new""#.into(), "null".into()));
}

/// Of siblings each is recorded, on whichever side of the deletion the log has it.
#[test]
fn siblings_that_outlive_a_deletion_are_recorded_each() {
    let colour = |name: &str| made(&format!(r#"{{"colour":"{name}"}}"#));
    let recorded = |events: &[Made]| {
        let (_, conflicts) = fold(events);
        assert!(conflicts.iter().all(Conflict::replay), "{conflicts:?}");
        let by_deletion = conflicts.into_iter().filter(|conflict| conflict.loser.kind == WriteKind::Delete);
        let mut values: Vec<_> = by_deletion
            .map(|c| {
                assert_eq!((c.rule, c.relation, c.column.as_str()), (Rule::AddWins, Relation::Concurrent, "colour"));
                c.winner.value.to_string()
            })
            .collect();
        values.sort_unstable();
        values
    };
    let [red, blue, green] = ["red", "blue", "green"].map(|name| colour(name).seen(1));
    let first = colour("first");
    let deletion = deleted().seen(1);
    let all = [r#""blue""#, r#""green""#, r#""red""#];
    let before = [first.clone(), red.clone(), blue.clone(), green.clone(), deletion.clone()];
    assert_eq!(
        (recorded(&before), at(&before, "colour_siblings").matches(',').count()),
        (all.map(String::from).to_vec(), 2)
    );
    let between = [first.clone(), red.clone(), deletion.clone(), blue.clone(), green.clone()];
    assert_eq!(recorded(&between), all);
    // What the deletion knew it took, and who knows of the deletion meets none.
    let known = [first, deletion, colour("again")];
    assert_eq!((recorded(&known), at(&known, "colour_siblings")), (vec![], r#"["again"]"#.into()));
}

fn clock(pairs: &[(&'static str, u64)]) -> Option<BTreeMap<&'static str, u64>> {
    Some(pairs.iter().copied().collect())
}

/// Of source `a` the first event, which sets things; of `b` a deletion that knew it.
fn known_and_its_deletion() -> (Made, Made) {
    let data = r#"{"name":"1","colour":"red","tag":"t","stock":5,"peak":3}"#;
    let known = Made { source: "a", clock: clock(&[("a", 1)]), ..made(data) };
    (known, Made { source: "b", clock: clock(&[("a", 1), ("b", 1)]), ..deleted() })
}

#[test]
fn what_a_deletion_knew_does_not_come_back_however_late_it_comes() {
    let (known, deletion) = known_and_its_deletion();
    assert_eq!(shown(&[deletion.clone(), known.clone()]), Value::Null);
    let (_, conflicts) = fold(&[deletion.clone(), known.clone()]);
    let recorded: Vec<_> = conflicts.iter().map(|c| (c.column.as_str(), c.rule, c.relation, c.winner.kind)).collect();
    let by_cause = |column| (column, Rule::Cause, Relation::After, WriteKind::Delete);
    assert_eq!(recorded, ["name", "colour"].map(by_cause));
    assert!(conflicts.iter().all(Conflict::replay));
    // Also where the row is there again meanwhile.
    let again = made(r#"{"name":"again","stock":1}"#);
    let events = [deletion.clone(), again, known.clone(), known];
    for (column, expected) in
        [("name", r#""again""#), ("stock", "1"), ("colour", "null"), ("tags", "null"), ("peak", "null")]
    {
        assert_eq!(at(&events, column), expected, "{column}");
    }
    // And where somebody who says nothing has deleted it again.
    assert_eq!(shown(&[events[0].clone(), events[1].clone(), deleted(), events[2].clone()]), Value::Null);
}

#[test]
fn tombstones_are_few_and_small() {
    let (known, deletion) = known_and_its_deletion();
    // Nobody who comes later can have been known to a deletion that says nothing.
    assert_eq!(fold(&[known.clone(), deleted()]).0, None);
    let mut events = vec![known, deletion];
    for seq in 2..100 {
        events.push(Made { source: "b", clock: clock(&[("a", 1), ("b", seq)]), ..deleted() });
    }
    let (one, all) = (fold(&events[..2]).0.unwrap(), fold(&events).0.unwrap());
    let size = |row: &Row| marks(row).unwrap().len();
    assert_eq!((size(&one), size(&all)), (27, 27));
    assert!(!model().schema().shows(&all));
    // Deletions that did not know each other are kept, up to a bound.
    let apart = |n: u64| made("{}").seen(0).at_once(n);
    let events: Vec<_> = (0..200).map(apart).collect();
    assert!(size(&fold(&events).0.unwrap()) < 3000);
}

#[test]
fn an_event_may_delete_a_row_and_write_it_again() {
    for made in [made(r#"{"name":"n"}"#), made(r#"{"name":"n"}"#).seen(0)] {
        let moved = Made { kind: "moved", ..made };
        let once = std::slice::from_ref(&moved);
        let (row, conflicts) = fold(once);
        assert_eq!((at(once, "name"), conflicts.len()), (r#""n""#.into(), 0), "{row:?}");
        // Sent again by mistake it would be another event, and knows the first.
        assert_eq!(at(&[moved.clone(), moved.seen(1)], "name"), r#""n""#);
    }
}

#[test]
fn what_writes_nothing_revives_nothing_that_it_did_not_know_to_be_deleted() {
    let before = made(r#"{"tag":"t"}"#);
    let nothing = || untag(r#""t""#);
    assert_eq!(shown(&[before.clone(), deleted().seen(1), nothing().seen(1)]), Value::Null);
    assert_eq!(shown(&[before.clone(), nothing().seen(1), deleted().seen(1)]), Value::Null);
    assert_ne!(
        shown(&[before, deleted().seen(1), nothing()]),
        Value::Null,
        "who knows of the deletion makes the row anew"
    );
}

/// A deletion knows the earlier events of its request, which may come out of quarantine after the row was deleted again.
#[test]
fn a_later_deletion_does_not_stand_for_what_an_earlier_one_knew_of_its_request() {
    let set = made(r#"{"name":"late"}"#);
    let of_request = |made: Made, hlc| Made { request: Some(7), hlc: Hlc::new(hlc, 0), ..made.seen(0) };
    let late = of_request(set, 1_000_000);
    let first = of_request(deleted(), 1_000_001);
    assert_eq!(shown(&[first.clone(), late.clone()]), Value::Null);
    for again in [deleted(), deleted().seen(1)] {
        assert_eq!(shown(&[first.clone(), again, late.clone()]), Value::Null);
    }
}

#[test]
fn what_is_kept_of_writes_is_pinned() {
    let hex_of = |events: &[Made]| crate::row::hex(marks(&fold(events).0.unwrap()).unwrap());
    let (known, deletion) = known_and_its_deletion();
    let written = [hex_of(&[made(r#"{"name":"n","tag":"t","stock":2}"#).seen(0)]), hex_of(&[known, deletion])];
    // With a token, a contribution and several columns; and a tombstone with a clock.
    assert_eq!(
        written,
        [
            "0128010201016e000000000f424100000000000000000003e90000000f424100000a0104000001010004",
            "01290105020162010000000f424200000201610101620100000100"
        ]
    );
}

#[test]
fn what_comes_late_does_not_undo_what_knew_it() {
    let first = Made { source: "a", clock: clock(&[("a", 1)]), hlc: Hlc::new(9, 0), ..made(r#"{"name":"1"}"#) };
    let second =
        Made { source: "b", clock: clock(&[("a", 1), ("b", 1)]), hlc: Hlc::new(5, 0), ..made(r#"{"name":"2"}"#) };
    let (_, conflicts) = fold(&[second.clone(), first.clone()]);
    assert_eq!(at(&[second, first], "name"), r#""2""#);
    assert_eq!((conflicts[0].relation, conflicts[0].rule), (Relation::After, Rule::Cause));
    assert!(conflicts[0].replay());
}

proptest! {
    /// What a register lost to another write it has lost for good, also where a deletion knew that one only: so of registers
    /// this does not hold.
    #[test]
    fn deletions_too_come_to_the_same_in_any_causal_order(
        events in history(),
        deletions in prop::collection::vec(any::<bool>(), 12),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 12),
    ) {
        let without_name = |made: &Made| !made.data.contains("name");
        let events: Vec<_> = events.into_iter().zip(deletions).map(|(made, deletes)| {
            if deletes { Made { kind: "delete", data: "{}".into(), ..made } }
            else if without_name(&made) { made } else { Made { data: "{}".into(), ..made } }
        }).collect();
        let other = reordered(&events, picks);
        for column in ["colour_siblings", "tags", "stock", "peak"] {
            let [one, two] = [&events, &other].map(|events| at(events, column));
            prop_assert_eq!(one, two, "{}: {:?}", column, other);
        }
        prop_assert!(fold(&events).1.iter().all(Conflict::replay));
    }
}
