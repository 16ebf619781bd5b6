//! What waits at the gate and at a model, in pages, halted, and released in spite of failures.
use super::fixture::{Stores, decision, eventually, noted, sent, tally};
use evenkeel::{
    EngineError,
    core::{
        fold::FoldError,
        freshness::Level,
        quarantine::{Decision, State},
        reconciliation::Method,
    },
    store::{
        EntryFilter,
        faulty::{Fault, Operation},
    },
};

#[test]
fn a_halted_source_waits_whole_and_goes_on_in_order_when_it_is_resumed() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    assert!(matches!(engine.resume_source("s", &decision()), Err(EngineError::NotHalted(_))));
    let critical = |id: &str, n| sent("s", "Critical", id, "a", n);
    let receipts = engine.send(vec![critical("1", 1), critical("2", 0), critical("3", 3), noted("4", "b", 4)]);
    assert_eq!(receipts[1].reason, Some("invariant"));
    assert!(receipts[2..].iter().all(|receipt| receipt.reason == Some("held_behind")));
    assert_eq!(engine.send(vec![sent("t", "Noted", "1", "c", 5)])[0].outcome, "admitted", "other sources go on");
    assert_eq!(engine.resume_source("s", &decision()).unwrap(), 2);
    assert_eq!((engine.sum("a", Level::Strong), engine.sum("b", Level::Strong)), (Some(4), Some(4)));
    assert_eq!(engine.send(vec![critical("5", 5)])[0].outcome, "admitted");
    let bad = engine.quarantine_entry(receipts[1].quarantine_id.as_ref().unwrap()).unwrap();
    assert_eq!((bad.state, bad.author.as_deref()), ("quarantined", Some("test")));
    assert!(matches!(engine.resume_source("s", &decision()), Err(EngineError::NotHalted(_))));
}

#[test]
fn pages_lead_through_the_gates_entries_and_then_the_models() {
    let stores = Stores::new();
    let fails = |n: i64| if n == 7 { Err(FoldError::Custom("seven".into())) } else { Ok(()) };
    let engine = stores.start(tally().before(move |n, _| fails(n)), |_| {});
    engine.send((0..3).map(|id| noted(&format!("bad {id}"), &format!("bad {id}"), 0)).collect());
    engine.send((0..3).map(|id| noted(&format!("seven {id}"), &format!("key {id}"), 7)).collect());
    engine.settle();
    let all: Vec<_> = engine.quarantine(&EntryFilter::default()).unwrap().into_iter().map(|entry| entry.id).collect();
    assert_eq!(all, ["q-1", "q-2", "q-3", "p-tally-1.0.0", "p-tally-2.0.0", "p-tally-3.0.0"]);
    for limit in 1..=7 {
        let filter = EntryFilter { limit, ..EntryFilter::default() };
        let mut found: Vec<String> = Vec::new();
        let mut page = engine.quarantine(&filter).unwrap();
        while let Some(last) = page.last() {
            assert!(page.len() <= limit);
            let last = last.id.clone();
            found.extend(page.into_iter().map(|entry| entry.id));
            page = engine.quarantine_after(&filter, &last).unwrap();
        }
        assert_eq!(found, all, "{limit} to a page");
    }
    let held = EntryFilter { state: Some(State::Held), ..EntryFilter::default() };
    assert_eq!(engine.quarantine_after(&held, "q-1").unwrap(), []);
    assert!(matches!(engine.quarantine_after(&held, "x-1"), Err(EngineError::NoEntry(_))));
    for unknown in ["q-9", "p-tally-9.0.0", "p-tally-+1.0.0", "p-none-1.0.0", "p-tally-1.0", "", "p-"] {
        assert!(matches!(engine.quarantine_entry(unknown), Err(EngineError::NoEntry(_))), "{unknown}");
    }
}

#[test]
fn who_decided_about_a_parked_event_is_kept_with_it() {
    let stores = Stores::new();
    let said = |engine: &super::fixture::Running| {
        let entry = engine.quarantine_entry("p-tally-1.0.0").unwrap();
        (entry.state, entry.author, entry.note)
    };
    let word = |author: &str| Decision { author: author.into(), note: format!("{author} looked") };
    let kept = |state, author: &str| (state, Some(author.to_owned()), Some(format!("{author} looked")));
    let fails = |n: i64| if n == 7 { Err(FoldError::Custom("seven".into())) } else { Ok(()) };
    let start = || stores.start(tally().before(move |n, _| fails(n)), |_| {});
    {
        let engine = start();
        engine.send(vec![noted("1", "a", 7), noted("2", "a", 1)]);
        engine.settle();
        assert_eq!(said(&engine), ("quarantined", None, None));
        assert_eq!(engine.redrive("p-tally-1.0.0", word("ann")).unwrap().reason, Some("projection_error"));
        assert_eq!(said(&engine), kept("quarantined", "ann"));
        assert_eq!(engine.quarantine_entry("p-tally-2.0.0").unwrap().author, None, "what waits behind it");
    }
    let engine = start();
    assert_eq!(said(&engine), kept("quarantined", "ann"));
    assert_eq!(engine.discard("p-tally-1.0.0", word("ben")).unwrap().released, 1);
    assert_eq!(said(&engine), kept("discarded", "ben"));
    engine.reconcile("tally", Some(Method::Rebuild)).unwrap();
    assert_eq!(said(&engine), kept("discarded", "ben"));
}

/// A line of three behind a bad event, whose release fails after the bad event was given up.
fn interrupt(stores: &Stores, engine: &super::fixture::Running) {
    let receipts = engine.send((0..4).map(|n| noted(&n.to_string(), "a", n)).collect());
    stores.faults.set(Operation::Transact, Fault::None, 1);
    stores.faults.fail(Operation::Transact);
    let failed = engine.discard(receipts[0].quarantine_id.as_ref().unwrap(), decision());
    assert!(matches!(failed, Err(EngineError::Store(_))), "{failed:?}");
    assert_eq!(engine.sum("a", Level::Eventual), None);
}

#[test]
fn a_release_that_a_crash_interrupted_goes_on_at_the_start() {
    let stores = Stores::new();
    {
        let engine = stores.start(tally(), |_| {});
        interrupt(&stores, &engine);
    }
    stores.faults.clear();
    let engine = stores.start(tally(), |options| options.project = false);
    assert_eq!(engine.health().head, Some(3));
    assert_eq!(engine.sum("a", Level::Strong), Some(6));
}

#[test]
fn a_release_that_the_store_interrupted_goes_on_without_a_restart() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    interrupt(&stores, &engine);
    stores.faults.clear();
    eventually("the release", || engine.sum("a", Level::Strong) == Some(6));
    assert_eq!(engine.send(vec![noted("4", "a", 4)])[0].outcome, "admitted");
}
