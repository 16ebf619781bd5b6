//! Events changed in quarantine: what is kept, what gets in, and who of several that decide at the same time prevails.
use super::fixture::{Running, Stores, decision, gate, noted, sent, start_in, tally};
use evenkeel::{
    EngineError, SystemClock,
    core::{
        EventId,
        freshness::Level,
        json::Patch,
        quarantine::{EntryVersion, QuarantineId, State},
    },
    quarantine::{self, Word, edit},
    store::{
        Log,
        faulty::{Fault, Operation},
    },
};
use proptest::prelude::*;
use std::thread;

const FIRST: QuarantineId = QuarantineId(1);

fn set(n: impl std::fmt::Display) -> Patch {
    format!(r#"[{{"op":"replace","path":"/data/n","value":{n}}}]"#).parse().unwrap()
}

fn at(version: u64) -> Word {
    Word { decision: decision(), version: Some(EntryVersion(version)) }
}

/// A bad event with one that waits behind it.
fn waiting(stores: &Stores) -> Running {
    let engine = stores.start(tally(), |_| {});
    let receipts = engine.send(vec![noted("1", "a", 0), noted("2", "a", 5)]);
    assert!(receipts.iter().all(|receipt| receipt.outcome == "quarantined"));
    engine
}

#[test]
fn an_edited_event_gets_in_as_edited_and_is_known_as_what_it_was() {
    let stores = Stores::new();
    let engine = waiting(&stores);
    let edited = engine.edit("q-1", &set(-3), decision()).unwrap();
    assert_eq!((edited.version, edited.admissible, edited.reason), (2, false, Some("invariant")));
    assert_eq!(edited.pointer.as_deref(), Some("/data/n"));
    let edited = engine.edit("q-1", &set(2), at(2)).unwrap();
    assert_eq!((edited.version, edited.admissible, edited.reason), (3, true, None));
    assert_eq!(engine.quarantine_entry("q-1").unwrap().state, "quarantined", "an edit lets nothing in");
    let before = engine.quarantine_entry("q-1").unwrap();
    assert_eq!(before.raw.as_deref().map(str::as_bytes), Some(&*noted("1", "a", 0)));
    assert!(before.edited.unwrap().contains(r#""n":2"#));
    let patches: Vec<String> = before.edits.iter().map(|edit| edit.patch.to_string()).collect();
    assert_eq!(patches, [set(-3).to_string(), set(2).to_string()]);

    let report = engine.redrive_edited("q-1", &set(7), at(3)).unwrap();
    assert_eq!((report.state, report.position, report.released, report.version), ("admitted", Some(1), 1, Some(4)));
    assert_eq!(engine.sum("a", Level::Strong), Some(12));
    // The same event sent again is the one that was taken, whatever was made of it.
    assert_eq!(engine.send(vec![noted("1", "a", 0)])[0].position, Some(1));
    assert_eq!(engine.send(vec![noted("1", "a", 7)])[0].reason, Some("id_conflict"));
    let entry = stores.memory.log.entry(FIRST).unwrap().unwrap();
    let event = stores.memory.log.find(EventId::of("s", "1")).unwrap().unwrap();
    assert_eq!((event.digest, entry.edits.len()), (entry.digest, 3));
    assert!(matches!(engine.edit("q-1", &set(8), decision()), Err(EngineError::EntryState { .. })));
    assert!(matches!(engine.redrive_edited("q-1", &set(8), decision()), Err(EngineError::EntryState { .. })));
}

#[test]
fn an_edit_that_is_refused_again_is_kept_and_leaves_the_line_in_order() {
    let stores = Stores::new();
    let engine = waiting(&stores);
    let report = engine.redrive_edited("q-1", &set(-1), decision()).unwrap();
    assert_eq!((report.state, report.reason, report.version), ("quarantined", Some("invariant"), Some(2)));
    assert_eq!(engine.quarantine_entry("q-1").unwrap().edits.len(), 1);
    assert_eq!(engine.send(vec![noted("3", "a", 6)])[0].reason, Some("held_behind"));
    assert!(matches!(engine.edit("q-2", &set(1), decision()), Err(EngineError::EntryState { .. })), "it only waits");
    // Another key: what waited behind the old one is free, and the event is judged under the new one.
    let moved = r#"[{"op":"replace","path":"/data/key","value":"b"},{"op":"replace","path":"/data/n","value":1}]"#;
    let report = engine.redrive_edited("q-1", &moved.parse().unwrap(), decision()).unwrap();
    assert_eq!((report.state, report.released), ("admitted", 2));
    assert_eq!((engine.sum("a", Level::Strong), engine.sum("b", Level::Strong)), (Some(11), Some(1)));
}

#[test]
fn an_event_moved_to_another_key_waits_in_the_line_of_that_key() {
    let stores = Stores::new();
    let engine = waiting(&stores);
    engine.send(vec![noted("3", "b", 0), noted("4", "b", 8)]);
    let moved = r#"[{"op":"replace","path":"/data/key","value":"a"},{"op":"replace","path":"/data/n","value":1}]"#;
    let report = engine.redrive_edited("q-3", &moved.parse().unwrap(), decision()).unwrap();
    assert_eq!((report.state, report.reason, report.released), ("held", Some("held_behind"), 1));
    assert_eq!((engine.sum("a", Level::Strong), engine.sum("b", Level::Strong)), (None, Some(8)));
    assert_eq!(engine.redrive_edited("q-1", &set(2), decision()).unwrap().released, 2);
    assert_eq!(engine.sum("a", Level::Strong), Some(8), "with its edit");
}

#[test]
fn an_event_stays_the_event_it_is() {
    let stores = Stores::new();
    let engine = waiting(&stores);
    for patch in [
        r#"[{"op":"replace","path":"/id","value":"9"}]"#,
        r#"[{"op":"replace","path":"/source","value":"t"}]"#,
        r#"[{"op":"remove","path":"/id"}]"#,
        r#"[{"op":"replace","path":"","value":[]}]"#,
        r#"[{"op":"remove","path":"/data/m"}]"#,
        "[]",
    ] {
        let patch: Patch = patch.parse().unwrap();
        for refused in [
            engine.edit("q-1", &patch, decision()).map(drop),
            engine.redrive_edited("q-1", &patch, decision()).map(drop),
        ] {
            assert!(matches!(refused, Err(EngineError::Edit(_))), "{patch}: {refused:?}");
        }
    }
    assert_eq!(engine.quarantine_entry("q-1").unwrap().version, Some(1));
    assert!(matches!(engine.edit("q-9", &set(1), decision()), Err(EngineError::NoEntry(_))));
    assert!(matches!(engine.edit("p-tally-1.0.0", &set(1), decision()), Err(EngineError::NoEntry(_))));
    // What cannot be read can be replaced as a whole.
    let twice = br#"{"specversion":"1.0","source":"s","id":"3","type":"Noted","data":{"key":"c","n":1,"n":2}}"#;
    assert_eq!(engine.send(vec![twice.to_vec()])[0].reason, Some("malformed"));
    let whole = format!(r#"[{{"op":"replace","path":"","value":{}}}]"#, String::from_utf8(noted("3", "c", 4)).unwrap());
    assert!(engine.edit("q-3", &set(4), decision()).unwrap_err().to_string().contains("as a whole"));
    assert_eq!(engine.redrive_edited("q-3", &whole.parse().unwrap(), decision()).unwrap().state, "admitted");
}

#[test]
fn a_number_is_edited_with_every_digit() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    engine.send(vec![sent("s", "Noted", "1", "a", 0)]);
    for n in ["9007199254740993.01", "9007199254740993"] {
        engine.edit("q-1", &set(n), decision()).unwrap();
        let entry = engine.quarantine_entry("q-1").unwrap();
        assert!(entry.edited.unwrap().contains(&format!("\"n\":{n}}}")), "{n}");
    }
    engine.redrive("q-1", decision()).unwrap();
    assert_eq!(engine.sum("a", Level::Strong), Some(9_007_199_254_740_993));
}

/// Right before the next transaction somebody else edits the first entry.
fn edited_meanwhile(stores: &Stores, n: i64) {
    let log = stores.memory.log.clone();
    let happening = move || {
        let clock = SystemClock::default();
        edit::edit(log.as_ref(), &gate(), &clock, FIRST, &set(n), decision().into()).unwrap();
    };
    stores.faults.after(0, Operation::Transact, happening);
}

#[test]
fn what_was_judged_before_an_edit_does_not_get_in_after_it() {
    let stores = Stores::new();
    let engine = waiting(&stores);
    engine.edit("q-1", &set(2), decision()).unwrap();
    // Who names what was looked at is told; who does not sends through what is there.
    edited_meanwhile(&stores, 3);
    let changed = engine.redrive("q-1", at(2)).unwrap_err();
    assert!(matches!(changed, EngineError::EntryChanged { version: EntryVersion(3), .. }), "{changed}");
    edited_meanwhile(&stores, 4);
    let changed = engine.discard("q-1", at(3)).unwrap_err();
    assert!(matches!(changed, EngineError::EntryChanged { version: EntryVersion(4), .. }), "{changed}");
    edited_meanwhile(&stores, 5);
    let changed = engine.redrive_edited("q-1", &set(100), at(4)).unwrap_err();
    assert!(matches!(changed, EngineError::EntryChanged { version: EntryVersion(5), .. }), "{changed}");
    // A version that is only about to come is not what was looked at either.
    edited_meanwhile(&stores, 0);
    assert!(matches!(engine.redrive("q-1", at(6)), Err(EngineError::EntryChanged { .. })));
    stores.faults.clear();
    let _ = engine.send(vec![noted("9", "z", 1)]);
    assert_eq!(engine.sum("a", Level::Strong), None);

    edited_meanwhile(&stores, 6);
    assert_eq!(engine.redrive("q-1", decision()).unwrap().state, "admitted");
    assert_eq!(engine.sum("a", Level::Strong), Some(11), "as it was edited last, and 5 behind it");
}

#[test]
fn an_edit_survives_a_crash_before_it_is_sent_through_and_one_that_failed_leaves_nothing() {
    let stores = Stores::new();
    {
        let engine = waiting(&stores);
        stores.faults.set(Operation::Transact, Fault::Fail, 1);
        assert!(matches!(engine.redrive_edited("q-1", &set(9), decision()), Err(EngineError::Store(_))));
        assert_eq!(engine.quarantine_entry("q-1").unwrap().edits, []);
        engine.edit("q-1", &set(2), decision()).unwrap();
        // The edited event gets in, and what waits behind it does not any more.
        stores.faults.set(Operation::Transact, Fault::None, 1);
        stores.faults.fail(Operation::Transact);
        assert!(matches!(engine.redrive_edited("q-1", &set(3), decision()), Err(EngineError::Store(_))));
    }
    stores.faults.clear();
    let engine = stores.start(tally(), |_| {});
    assert_eq!(engine.sum("a", Level::Strong), Some(8));
    assert_eq!(engine.quarantine_entry("q-1").unwrap().edits.len(), 2);
}

/// What one person does, without having looked.
#[derive(Debug, Clone, Copy)]
enum Act {
    Edit,
    EditAndRedrive,
    Redrive,
    Discard,
}

/// Several persons at once on one entry: it gets in at most once, and as it is edited then.
fn all_at_once(engine: &Running, id: &str, key: &str, acts: &[(Act, Option<u64>)]) {
    engine.send(vec![noted(key, key, 0)]);
    thread::scope(|scope| {
        for (number, (act, version)) in (1..).zip(acts) {
            scope.spawn(move || {
                let word = Word { decision: decision(), version: version.map(EntryVersion) };
                let outcome = match act {
                    Act::Edit => engine.edit(id, &set(number), word).map(drop),
                    Act::EditAndRedrive => engine.redrive_edited(id, &set(number), word).map(drop),
                    Act::Redrive => engine.redrive(id, word).map(drop),
                    Act::Discard => engine.discard(id, word).map(drop),
                };
                let late = matches!(outcome, Err(EngineError::EntryState { .. } | EngineError::EntryChanged { .. }));
                assert!(outcome.is_ok() || late, "{outcome:?}");
            });
        }
    });
    let entry = engine.quarantine_entry(id).unwrap();
    let last = entry.edited.and_then(|edited| edited.split("\"n\":").nth(1)?.split('}').next()?.parse::<i64>().ok());
    let expected = (entry.state == "admitted").then(|| last.unwrap());
    assert_eq!(engine.sum(key, Level::Strong), expected, "{acts:?}: {:?}", entry.edits);
}

fn acts() -> impl Strategy<Value = Vec<(Act, Option<u64>)>> {
    let act = prop_oneof![
        3 => Just(Act::Edit),
        3 => Just(Act::EditAndRedrive),
        2 => Just(Act::Redrive),
        1 => Just(Act::Discard),
    ];
    prop::collection::vec((act, prop::option::of(1u64..4)), 2..7)
}

#[test]
fn of_persons_who_decide_at_once_one_prevails_in_memory_and_in_the_embedded_store() {
    let stores = Stores::new();
    let folder = tempfile::tempdir().unwrap();
    let engines = [stores.start(tally(), |_| {}), start_in(folder.path(), tally(), |_| {})];
    for engine in &engines {
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(48));
        let number = std::sync::atomic::AtomicU64::new(0);
        let run = runner.run(&acts(), |acts| {
            let n = 1 + number.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            all_at_once(engine, &format!("q-{n}"), &format!("key {n}"), &acts);
            Ok(())
        });
        run.unwrap();
    }
}

#[test]
fn a_store_that_another_engine_opened_later_has_the_edits() {
    let folder = tempfile::tempdir().unwrap();
    {
        let engine = start_in(folder.path(), tally(), |_| {});
        engine.send(vec![noted("1", "a", 0)]);
        engine.edit("q-1", &set(4), decision()).unwrap();
    }
    let engine = start_in(folder.path(), tally(), |_| {});
    assert_eq!(engine.redrive("q-1", at(2)).unwrap().state, State::Admitted.as_str());
    assert_eq!(engine.sum("a", Level::Strong), Some(4));
}

#[test]
fn the_functions_say_what_the_engine_says() {
    let stores = Stores::new();
    let _engine = waiting(&stores);
    let (log, clock) = (stores.memory.log.as_ref(), SystemClock::default());
    let stale = quarantine::redrive(log, &gate(), &clock, FIRST, at(7)).unwrap();
    assert_eq!((format!("{:?}", stale.redriven), stale.released), ("Changed(EntryVersion(1))".to_owned(), 0));
}
