//! Wrong rows are kept before they are written over, and only what has to be is written over in the projector's way.
use super::fixture::{Running, Stores, eventually, noted, tally};
use evenkeel::{
    Clock, SystemClock,
    core::{
        content::Cause,
        pace::Limits,
        reconciliation::{Evidence, Method},
        row::{Cell, Key, Row},
    },
    store::{
        Models, Table,
        faulty::{Fault, Operation},
        memory::Tamper,
    },
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// An engine that does nothing unasked, with rows `k0`, `k1`… whose sums are 1.
fn idle(stores: &Stores, rows: usize) -> Running {
    let engine = stores.start(tally(), |options| {
        options.project = false;
        options.scrub_rows_per_second = 0;
        options.pace = Limits { quiet: Duration::ZERO, max_per_hour: 0 };
    });
    engine.send((0..rows).map(|n| noted(&format!("first-{n}"), &format!("k{n}"), 1)).collect());
    assert_eq!(engine.reconcile("tally", Some(Method::Replay)).unwrap().result.as_str(), "converged");
    engine
}

fn edit(stores: &Stores, key: &str, sum: i64) {
    let row = Row { cells: vec![Cell::Text(key.into()), Cell::I64(sum)] };
    let now = SystemClock::default().now();
    stores.memory.models.tamper(&"tally".into(), now, Tamper::Write(Key::text(key), Some(row))).unwrap();
}

fn stored(stores: &Stores, key: &str) -> i64 {
    let row = stores.memory.models.get(&"tally".into(), &Key::text(key)).unwrap().row.unwrap();
    if let Cell::I64(sum) = row.cells[1] { sum } else { panic!("{row:?}") }
}

fn evidence(stores: &Stores) -> Vec<Evidence> {
    let models = &stores.memory.models;
    let records = models.reconciliations(None, 99).unwrap();
    records.iter().flat_map(|record| models.evidence(record.id, 999).unwrap()).collect()
}

fn is_kept(stores: &Stores, key: &str, cause: Cause, sum: i64) -> bool {
    let actual = format!(r#""sum":{sum}"#);
    let is = |row: &Evidence| row.key == key && row.cause == cause && row.actual.as_ref().unwrap().contains(&actual);
    evidence(stores).iter().any(is)
}

#[test]
fn what_the_projector_writes_over_is_kept_also_where_it_fails_then() {
    let stores = Stores::new();
    let engine = idle(&stores, 1);
    edit(&stores, "k0", 50);
    engine.send(vec![noted("2", "k0", 1)]);
    stores.faults.set(Operation::Commit(Table::Live), Fault::FailAfter, 1);
    let record = engine.reconcile("tally", Some(Method::Replay)).unwrap();
    assert_eq!((record.result.as_str(), stored(&stores, "k0")), ("failed", 1), "{record:?}");
    assert!(is_kept(&stores, "k0", Cause::ForeignEdit, 50), "{:?}", evidence(&stores));
}

#[test]
fn what_cannot_be_kept_is_not_written_over_by_the_projector_either() {
    let stores = Stores::new();
    let engine = idle(&stores, 1);
    edit(&stores, "k0", 50);
    engine.send(vec![noted("2", "k0", 1)]);
    stores.faults.fail(Operation::Record);
    assert!(engine.reconcile("tally", Some(Method::Replay)).is_err());
    assert_eq!(stored(&stores, "k0"), 50);
    stores.faults.clear();
    assert_eq!(engine.reconcile("tally", Some(Method::Replay)).unwrap().result.as_str(), "converged");
    assert_eq!(stored(&stores, "k0"), 2);
    assert!(is_kept(&stores, "k0", Cause::ForeignEdit, 50));
}

#[test]
fn a_row_that_cannot_be_kept_is_not_written_over() {
    let stores = Stores::new();
    let engine = idle(&stores, 1);
    for method in [None, Some(Method::Repair)] {
        edit(&stores, "k0", 50);
        stores.faults.fail(Operation::Record);
        assert!(engine.reconcile("tally", method).is_err());
        assert_eq!(stored(&stores, "k0"), 50);
        stores.faults.clear();
        // Kept, and then the answer is lost: it is there twice, as one.
        stores.faults.set(Operation::Record, Fault::FailAfter, 1);
        assert_eq!((engine.reconcile("tally", method).unwrap().result.as_str(), stored(&stores, "k0")), ("failed", 50));
        let record = engine.reconcile("tally", method).unwrap();
        assert_eq!((record.result.as_str(), stored(&stores, "k0")), ("converged", 1), "{record:?}");
        assert_eq!(engine.reconciliations(None, 1).unwrap(), [record]);
        assert!(is_kept(&stores, "k0", Cause::ForeignEdit, 50));
    }
}

#[test]
fn the_projector_mends_the_rows_it_comes_upon_and_no_others() {
    let stores = Stores::new();
    let engine = idle(&stores, 300);
    (0..200).for_each(|n| edit(&stores, &format!("k{n}"), 50));
    engine.send(vec![noted("2", "k7", 1)]);
    let left = || stores.memory.models.touched(&"tally".into(), 999).unwrap().len();
    // It goes on, and the rows that are left are not called right.
    let record = engine.reconcile("tally", Some(Method::Replay)).unwrap();
    let healed = &engine.reconciliations(None, 2).unwrap()[1];
    assert_eq!((healed.reconciliation_method, healed.rows_repaired, healed.verified), (Method::Repair, 1, false));
    assert_eq!((stored(&stores, "k7"), stored(&stores, "k8"), left()), (2, 50, 199));
    assert_eq!((record.result.as_str(), record.verified), ("failed", false), "{record:?}");
    assert_eq!(engine.drift_of("tally").content.verdict, "drifted");
    // So many are more than may be repaired one by one.
    let record = engine.reconcile("tally", None).unwrap();
    assert_eq!((record.reconciliation_method, record.result.as_str()), (Method::Rebuild, "converged"));
    assert_eq!((engine.wrong_rows(), stored(&stores, "k8")), (0, 1));
    assert!(is_kept(&stores, "k8", Cause::ForeignEdit, 50), "a rebuild keeps what it was begun for");
}

#[test]
fn a_row_that_waits_and_is_edited_is_written_when_it_must_be_and_kept_by_its_name() {
    let stores = Stores::new();
    let changed = Arc::new(AtomicBool::new(false));
    let is_changed = Arc::clone(&changed);
    let fold = tally().before(move |n, row| {
        if n == 1 && is_changed.load(Ordering::SeqCst) {
            row.cells[1] = Cell::I64(100);
        }
        Ok(())
    });
    let engine = stores.start(fold, |options| options.scrub_rows_per_second = 0);
    engine.send(vec![noted("1", "a", 1), noted("2", "b", 2)]);
    engine.settle();
    changed.store(true, Ordering::SeqCst);
    assert_eq!(engine.verify("tally", true).unwrap().wrong[0].cause, "projector_defect");
    edit(&stores, "a", 53);
    engine.send(vec![noted("3", "a", 5)]);
    engine.settle();
    assert_eq!(stored(&stores, "a"), 105, "nothing is folded over what somebody wrote");
    assert!(is_kept(&stores, "a", Cause::ProjectorDefect, 53), "{:?}", evidence(&stores));
    eventually("every row was looked at", || engine.drift_of("tally").content.verdict == "verified");
}

#[test]
fn a_repair_of_a_model_that_lags_applies_what_it_lacks() {
    for method in [None, Some(Method::Repair)] {
        let stores = Stores::new();
        let engine = idle(&stores, 3);
        edit(&stores, "k0", 50);
        engine.send(vec![noted("2", "k1", 1), noted("3", "k0", 1)]);
        let record = engine.reconcile("tally", method).unwrap();
        assert_eq!((record.reconciliation_method, record.result.as_str()), (Method::Repair, "converged"), "{record:?}");
        assert_eq!((record.verified, record.rows_repaired, record.events_replayed), (true, 1, 3));
        assert_eq!((stored(&stores, "k0"), stored(&stores, "k1")), (2, 2));
        assert_eq!(engine.drift_of("tally").lag_count, Some(0));
    }
}
