//! Models declared anew, and models whose log is another one than they remember.
use super::fixture::{LONG, Stores, Tally, decision, eventually, noted, sent, start_in, tally};
use evenkeel::{
    ReadError,
    core::{freshness::Level, reconciliation::Method, row::Cell},
    reader::ReadOptions,
    store::{
        Models,
        faulty::{Fault, Operation},
        memory::Volatile,
    },
};
use std::{
    fs,
    sync::atomic::{AtomicI64, Ordering},
};

/// Version 2 of the tally: twice as much, of `Noted` alone.
fn doubled() -> Tally {
    Tally::new("tally", 2, &["noted"]).before(|n, row| {
        if let Cell::I64(sum) = &mut row.cells[1] {
            *sum += n;
        }
        Ok(())
    })
}

#[test]
fn a_new_version_is_built_unasked_and_the_old_rows_are_served_labelled_until_then() {
    let stores = Stores::new();
    {
        let engine = stores.start(tally(), |_| {});
        engine.send(vec![noted("1", "a", 1), noted("2", "a", 2), sent("t", "Critical", "1", "a", 4)]);
        engine.settle();
        engine.stop_projector("tally", "for the test").unwrap();
        engine.send(vec![noted("3", "a", 8)]);
    }
    stores.faults.fail(Operation::BeginBuild);
    let engine = stores.start(doubled(), |_| {});
    eventually("the first try", || !engine.reconciliations(None, 9).unwrap().is_empty());

    let old = engine.read("a", Level::Eventual);
    assert_eq!(engine.sum("a", Level::Eventual), Some(7));
    let said = &old.consistency;
    assert_eq!((said.status, said.data_stale, said.lag_count), ("rebuild_needed", true, Some(1)));
    assert_eq!(engine.models().unwrap()[0].served_version, 1);
    assert!(engine.health().ready, "{:?}", engine.health());
    assert!(engine.health().warnings.iter().any(|line| line.contains("declared anew")));
    assert_eq!(engine.sum("a", Level::Strong), Some(22), "a strong read folds the log by the declared version");
    let failed = engine.reconciliations(None, 9).unwrap().remove(0);
    assert_eq!((failed.reconciliation_method, failed.result.as_str()), (Method::Rebuild, "failed"));

    stores.faults.clear();
    engine.settle();
    assert_eq!(engine.sum("a", Level::Eventual), Some(22));
    assert_eq!(engine.models().unwrap()[0].served_version, 2);
    assert_eq!(engine.drift_of("tally").content.verdict, "verified");
}

#[test]
fn current_rows_of_an_old_version_are_not_called_complete() {
    let stores = Stores::new();
    {
        let engine = stores.start(tally(), |_| {});
        engine.send(vec![noted("1", "a", 1)]);
        engine.settle();
    }
    let engine = stores.start(doubled(), |options| options.auto_reconcile = false);
    let said = engine.read("a", Level::Eventual).consistency;
    assert_eq!((said.lag_count, said.data_stale, said.status), (Some(0), true, "rebuild_needed"));
    assert!(!engine.wait_until_current(std::time::Duration::ZERO).unwrap());
    assert_eq!(engine.reconcile("tally", None).unwrap().reconciliation_method, Method::Rebuild);
    assert!(!engine.read("a", Level::Eventual).consistency.data_stale);
}

#[test]
fn rows_under_another_key_are_not_answered_for() {
    let folder = tempfile::tempdir().unwrap();
    {
        let engine = start_in(folder.path(), tally(), |_| {});
        engine.send(vec![noted("1", "a", 1)]);
        engine.settle();
    }
    let by_type = Tally::new("tally", 2, &["noted"]).by_type();
    let engine = start_in(folder.path(), by_type, |options| options.auto_reconcile = false);
    let answer = engine.get("tally", &["a", "noted"], ReadOptions::default());
    assert!(matches!(answer, Err(ReadError::NotMet { .. })), "{answer:?}");
    engine.reconcile("tally", None).unwrap();
    assert!(engine.get("tally", &["a", "noted"], ReadOptions::default()).unwrap().data.is_some());
}

#[test]
fn a_rebuild_that_never_verifies_leaves_the_old_rows_and_a_record() {
    let stores = Stores::new();
    {
        let engine = stores.start(tally(), |_| {});
        engine.send(vec![noted("1", "a", 1)]);
        engine.settle();
    }
    let count = AtomicI64::new(0);
    let impure = Tally::new("tally", 2, &["noted"]).before(move |_, row| {
        row.cells[1] = Cell::I64(count.fetch_add(1, Ordering::Relaxed));
        Ok(())
    });
    let engine = stores.start(impure, |_| {});
    eventually("the record of the failure", || !engine.reconciliations(None, 9).unwrap().is_empty());
    let record = engine.reconciliations(None, 9).unwrap().pop().unwrap();
    assert!(record.error.unwrap().contains("differs from the log in 1 rows"));
    assert_eq!(engine.sum("a", Level::Eventual), Some(1));
    let state = stores.memory.models.state(&"tally".into()).unwrap().unwrap();
    assert!(state.build.is_none(), "the build was thrown away");
}

#[test]
fn a_build_that_cannot_be_finished_is_not_left_behind() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    engine.send(vec![noted("1", "a", 1)]);
    engine.settle();
    stores.faults.set(Operation::Commit(evenkeel::store::Table::Build), Fault::Fail, 1);
    let record = engine.reconcile("tally", Some(Method::Rebuild)).unwrap();
    assert_eq!(record.result.as_str(), "failed");
    assert!(stores.memory.models.state(&"tally".into()).unwrap().unwrap().build.is_none());
}

#[test]
fn a_model_beyond_its_log_is_rebuilt_and_wrong_for_nobody_meanwhile() {
    let stores = Stores::new();
    let image = stores.memory.log.image();
    {
        let engine = stores.start(tally(), |_| {});
        engine.send(vec![noted("1", "a", 1), noted("2", "a", 2)]);
        engine.settle();
    }
    stores.memory.log.restore(image);
    {
        let engine = stores.start(tally(), |options| options.auto_reconcile = false);
        let said = engine.read("a", Level::Eventual).consistency;
        assert_eq!((said.status, said.lag_count, said.freshness), ("rebuild_needed", None, "very_stale"));
        // The log grows past the checkpoint: it cannot be told from the old one any more, but it was noticed.
        engine.send((1..=5).map(|n| noted(&format!("new {n}"), "b", n)).collect());
        assert_eq!(engine.drift_of("tally").content.verdict, "suspect");
        assert_eq!(engine.sum("a", Level::Strong), None, "a strong read does not build upon such rows");
    }
    let engine = stores.start(tally(), |_| {});
    eventually("the rebuild", || engine.drift_of("tally").content.verdict == "verified");
    assert_eq!((engine.sum("a", Level::Eventual), engine.sum("b", Level::Eventual)), (None, Some(15)));
    assert_eq!(engine.wrong_rows(), 0);
}

#[test]
fn a_release_at_start_does_not_hide_that_the_log_has_lost_events() {
    let stores = Stores::new();
    let image = {
        let engine = stores.start(tally(), |_| {});
        let bad = engine.send(vec![noted("1", "a", 0), noted("2", "a", 2)]).remove(0);
        // The heartbeat must not go on with it before the image is taken.
        stores.faults.set(Operation::Transact, Fault::None, 1);
        stores.faults.set(Operation::Transact, Fault::Fail, usize::MAX);
        engine.discard(&bad.quarantine_id.unwrap(), decision()).unwrap_err();
        let image = stores.memory.log.image();
        stores.faults.clear();
        engine.send(vec![noted("3", "b", 5)]);
        engine.settle();
        image
    };
    stores.memory.log.restore(image);
    let engine = stores.start(tally(), |options| options.auto_reconcile = false);
    assert_eq!(engine.drift_of("tally").content.verdict, "suspect");
}

#[test]
fn another_log_under_the_same_models_is_noticed_and_healed() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (folder, key) in [(&old, "old"), (&new, "new")] {
        let engine = start_in(folder.path(), tally(), |_| {});
        engine.send((1..=3).map(|n| noted(&format!("{key} {n}"), key, n)).collect());
        engine.settle();
    }
    fs::copy(old.path().join("models.db"), new.path().join("models.db")).unwrap();
    {
        let engine = start_in(new.path(), tally(), |options| options.auto_reconcile = false);
        let report = engine.drift_of("tally");
        assert_eq!((report.status, report.lag_count), ("rebuild_needed", None));
        assert!(report.reason.unwrap().contains("epoch"));
        assert!(!engine.wait_until_current(std::time::Duration::ZERO).unwrap(), "as many events, but others");
        assert_eq!(engine.sum("new", Level::Strong), Some(6));
    }
    let engine = start_in(new.path(), tally(), |_| {});
    assert!(engine.wait_until_current(LONG).unwrap());
    assert_eq!((engine.sum("old", Level::Eventual), engine.sum("new", Level::Eventual)), (None, Some(6)));
}
