//! What waits at the gate and at a model, in pages, halted, and released in spite of failures.
use super::fixture::{Running, Stores, decision, eventually, noted, sent, tally};
use evenkeel::{
    EngineError,
    core::{
        fold::FoldError,
        freshness::Level,
        quarantine::{Decision, State},
        reconciliation::Method,
        row::Row,
    },
    store::{
        EntryFilter, Models,
        faulty::{Fault, Operation},
    },
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
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

/// Event 2 of `a` cannot be applied and is given up while a rebuilt table is live; in the table before, 3 waits behind it.
/// `b` has its event 5 applied there, which cannot be applied any more when the table is rebuilt, and is given up too.
fn given_up_after_a_rebuild(stores: &Stores) -> Running {
    let late = Arc::new(AtomicBool::new(false));
    let is_late = late.clone();
    let fold = tally().before(move |n, _| match n {
        2 => Err(FoldError::Custom("never".into())),
        5 if is_late.load(Ordering::SeqCst) => Err(FoldError::Custom("no more".into())),
        _ => Ok(()),
    });
    let engine = stores.start(fold, |options| options.auto_reconcile = false);
    engine.send((1..=3).map(|n| noted(&n.to_string(), "a", n)).collect());
    engine.send((4..=6).map(|n| noted(&n.to_string(), "b", n)).collect());
    engine.settle();
    late.store(true, Ordering::SeqCst);
    let record = engine.reconcile("tally", Some(Method::Rebuild)).unwrap();
    assert_eq!(record.result.as_str(), "converged", "{record:?}");
    engine.settle();
    for entry in engine.quarantine(&EntryFilter::default()).unwrap() {
        if entry.reason != "held_behind" {
            engine.discard(&entry.id, decision()).unwrap();
        }
    }
    assert_eq!((engine.sum("a", Level::Eventual), engine.sum("b", Level::Eventual)), (Some(4), Some(10)));
    engine
}

#[test]
fn what_was_given_up_holds_nothing_back_in_a_table_that_is_put_back() {
    let stores = Stores::new();
    let engine = given_up_after_a_rebuild(&stores);
    engine.rollback("tally").unwrap();
    engine.settle();
    assert_eq!(engine.drift_of("tally").parked_events, 0, "nothing waits behind what was given up");
    assert_eq!((engine.sum("a", Level::Eventual), engine.sum("b", Level::Eventual)), (Some(4), Some(10)));
    assert_eq!(engine.wrong_rows(), 0);
}

#[test]
fn what_a_program_left_behind_that_ended_after_a_rollback_is_folded_when_it_starts() {
    let stores = Stores::new();
    drop(given_up_after_a_rebuild(&stores));
    stores.memory.models.rollback(&"tally".into(), None).unwrap();
    let never = |n, _: &mut Row| if n == 2 { Err(FoldError::Custom("never".into())) } else { Ok(()) };
    let engine = stores.start(tally().before(never), |options| options.auto_reconcile = false);
    engine.settle();
    assert_eq!((engine.drift_of("tally").parked_events, engine.sum("a", Level::Eventual)), (0, Some(4)));
}
