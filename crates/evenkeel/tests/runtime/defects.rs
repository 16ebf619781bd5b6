//! What is not mended at once: rows that wait for a person, with which nothing else waits, and what comes too often.
use super::fixture::{Running, Stores, eventually, noted, tally};
use evenkeel::{
    Clock, SystemClock,
    core::{
        freshness::Level,
        pace::Limits,
        reconciliation::{Method, Reconciliation},
        row::{Cell, Key, Row},
    },
    store::{Models, faulty::Operation, memory::Tamper},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Rows `a` to `d` with the sums 1 to 4, of which the fold now makes `a` otherwise, and that was found.
fn with_a_defect(stores: &Stores) -> Running {
    let changed = Arc::new(AtomicBool::new(false));
    let is_changed = Arc::clone(&changed);
    let fold = tally().before(move |n, row| {
        if n == 1 && is_changed.load(Ordering::SeqCst) {
            row.cells[1] = Cell::I64(100);
        }
        Ok(())
    });
    let engine = stores.start(fold, |options| options.scrub_rows_per_second = 100_000);
    engine.send((1..=4).map(|n| noted(&n.to_string(), ["a", "b", "c", "d"][n - 1], n as i64)).collect());
    engine.settle();
    changed.store(true, Ordering::SeqCst);
    let report = engine.verify("tally", true).unwrap();
    let wrong: Vec<_> = report.wrong.iter().map(|wrong| (wrong.key.as_str(), wrong.cause)).collect();
    assert_eq!(wrong, [("a", "projector_defect")]);
    engine
}

fn tamper(stores: &Stores, how: impl FnOnce(Key, Option<Row>) -> Tamper, key: &str, sum: i64) {
    let row = Row { cells: vec![Cell::Text(key.into()), Cell::I64(sum)] };
    let now = SystemClock::default().now();
    stores.memory.models.tamper(&"tally".into(), now, how(Key::text(key), Some(row))).unwrap();
}

fn stored(stores: &Stores, key: &str) -> i64 {
    let row = stores.memory.models.get(&"tally".into(), &Key::text(key)).unwrap().row.unwrap();
    if let Cell::I64(sum) = row.cells[1] { sum } else { panic!("{row:?}") }
}

#[test]
fn a_model_that_is_edited_again_and_again_waits_and_says_so() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |options| {
        options.pace = Limits { quiet: Duration::ZERO, max_per_hour: 2 };
        options.scrub_rows_per_second = 0;
    });
    engine.send(vec![noted("1", "a", 1)]);
    engine.settle();
    for sum in [50, 51] {
        tamper(&stores, Tamper::Write, "a", sum);
        eventually("a is as the log says", || stored(&stores, "a") == 1);
    }
    eventually("both are recorded", || engine.reconciliations(None, 9).unwrap().len() == 2);
    tamper(&stores, Tamper::Write, "a", 52);
    let says = |what: &str| engine.drift_of("tally").reason.is_some_and(|reason| reason.contains(what));
    eventually("it says that it waits", || says("max_per_hour times within an hour"));
    assert_eq!(stored(&stores, "a"), 52);
    let record = engine.reconcile("tally", None).unwrap();
    assert_eq!((record.result.as_str(), stored(&stores, "a")), ("converged", 1), "who asks need not wait");
    assert!(!says("waits"));
}

#[test]
fn other_rows_are_mended_while_one_waits_for_a_person() {
    let stores = Stores::new();
    let engine = with_a_defect(&stores);
    let waits = || assert_eq!((stored(&stores, "a"), engine.drift_of("tally").content.verdict), (1, "drifted"));
    let said = |record: &Reconciliation| {
        record.rows_repaired == 1 && record.error.as_deref().is_some_and(|error| error.contains("only a person"))
    };
    let mended = || engine.reconciliations(None, 99).unwrap().into_iter().filter(said).count();
    // Noted by the triggers, again and again; each only after the last was looked at to the end.
    for (n, sum) in [(1, 50), (2, 51)] {
        tamper(&stores, Tamper::Write, "b", sum);
        eventually("b is as the log says", || stored(&stores, "b") == 2);
        eventually("that is recorded", || mended() == n);
        assert_eq!(stores.memory.models.touched(&"tally".into(), 9).unwrap(), []);
        waits();
    }
    // Noted by nobody, so that the scrub has to find it.
    tamper(&stores, Tamper::Restore, "c", 52);
    eventually("c is as the log says", || stored(&stores, "c") == 3);
    eventually("that is recorded", || mended() == 3);
    waits();
    // The row that waits goes on waiting, whoever writes to it, and that does not keep the others.
    tamper(&stores, Tamper::Write, "a", 53);
    tamper(&stores, Tamper::Write, "d", 54);
    eventually("d is as the log says", || stored(&stores, "d") == 4);
    let looks = stores.faults.calls(Operation::SetMeasured);
    eventually("the monitor looks a few times more", || stores.faults.calls(Operation::SetMeasured) > looks + 9);
    assert_eq!(stored(&stores, "a"), 53);
    eventually("that is recorded", || mended() == 4);
    let records = engine.reconciliations(None, 99).unwrap();
    assert!(records.len() < 9, "what waits is not tried again and again: {records:?}");

    let record = engine.reconcile("tally", Some(Method::Repair)).unwrap();
    assert_eq!((record.result.as_str(), record.rows_repaired, record.verified), ("converged", 1, true));
    assert_eq!((engine.sum("a", Level::Strong), engine.wrong_rows()), (Some(100), 0));
}
