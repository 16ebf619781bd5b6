//! Stores that cannot be read or written for a while: what is said meanwhile, and that all is well afterwards.
use super::fixture::{LONG, Stores, eventually, noted, tally};
use evenkeel::{
    EngineError, PublishError, ReadError,
    core::freshness::Level,
    reader::{ReadOptions, RowsRequest},
    store::{
        StoreError, Table,
        faulty::{Fault, Operation},
    },
};

fn strong() -> ReadOptions {
    ReadOptions { budget: LONG, ..ReadOptions::at(Level::Strong) }
}

#[test]
fn a_projector_whose_store_fails_says_so_waits_and_goes_on() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    stores.faults.fail(Operation::Commit(Table::Live));
    engine.send(vec![noted("0", "a", 1)]);
    eventually("the failure", || engine.drift_of("tally").status == "stalled");
    let report = engine.drift_of("tally");
    assert!(report.reason.unwrap().contains("unavailable"));
    assert_eq!(report.lag_count, Some(1));
    let health = engine.health();
    assert!(health.ready && health.warnings.iter().any(|line| line.contains("unavailable")), "{health:?}");

    // Events that arrive do not make it try again for each of them.
    let before = stores.faults.calls(Operation::Commit(Table::Live));
    for id in 1..=200 {
        engine.send(vec![noted(&id.to_string(), "a", 1)]);
    }
    let tried = stores.faults.calls(Operation::Commit(Table::Live)) - before;
    assert!(tried < 50, "{tried} tries for 200 events");

    stores.faults.clear();
    engine.settle();
    eventually("the recovery", || engine.drift_of("tally").status == "in_sync");
    assert_eq!((engine.sum("a", Level::Eventual), engine.wrong_rows()), (Some(201), 0));
}

#[test]
fn models_that_cannot_be_read_are_an_error_of_reads_and_no_readiness() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    engine.send(vec![noted("1", "a", 1)]);
    engine.settle();
    stores.faults.fail(Operation::ReadState);
    stores.faults.fail(Operation::ReadTable(Table::Live));
    let unavailable = |error: &StoreError| matches!(error, StoreError::Unavailable(_));
    for options in [ReadOptions::default(), strong()] {
        assert!(matches!(engine.get("tally", &["a"], options), Err(ReadError::Store(e)) if unavailable(&e)));
        let rows = engine.rows("tally", &RowsRequest::default(), options);
        assert!(matches!(rows, Err(ReadError::Store(e)) if unavailable(&e)));
    }
    assert!(matches!(engine.drift(None), Err(EngineError::Store(_))));
    assert!(matches!(engine.verify("tally", true), Err(EngineError::Store(_))));
    assert!(matches!(engine.reconcile("tally", None), Err(EngineError::Store(_))));
    let health = engine.health();
    assert!(!health.ready && health.problems.iter().any(|line| line.contains("tally")), "{health:?}");
    assert_eq!(engine.send(vec![noted("2", "a", 2)])[0].outcome, "admitted", "events are taken all the same");

    stores.faults.clear();
    engine.settle();
    assert!(engine.health().ready);
    assert_eq!(engine.sum("a", Level::Strong), Some(3));
}

#[test]
fn a_log_that_cannot_be_read_makes_the_distance_unknown_and_never_zero() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    engine.send(vec![noted("1", "a", 1)]);
    engine.settle();
    for operation in [Operation::SafeHead, Operation::ReadLog, Operation::WaitPast, Operation::ReadQuarantine] {
        stores.faults.fail(operation);
    }
    let answer = engine.read("a", Level::Eventual);
    let said = &answer.consistency;
    assert!(answer.data.is_some(), "what is there is served");
    assert_eq!((said.freshness, said.data_stale, said.status), ("very_stale", true, "stalled"));
    assert_eq!((said.lag_count, said.staleness_seconds, said.head, said.quarantined_events), (None, None, None, None));
    assert!(matches!(engine.get("tally", &["a"], strong()), Err(ReadError::NotMet { .. })));
    let report = engine.drift_of("tally");
    assert_eq!((report.lag_count, report.quarantined_events, report.head), (None, None, None));
    assert!(!engine.health().ready);

    stores.faults.clear();
    eventually("the projector works again", || engine.drift_of("tally").status == "in_sync");
    assert_eq!(engine.read("a", Level::Eventual).consistency.freshness, "fresh");
    assert!(engine.health().ready);
}

#[test]
fn what_could_not_be_written_was_not_taken_and_can_be_sent_again() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    stores.faults.set(Operation::Transact, Fault::Fail, 1);
    let refused = engine.publish_blocking(vec![noted("1", "a", 1)], None);
    assert!(matches!(refused, Err(PublishError::Store(StoreError::Unavailable(_)))), "{refused:?}");
    let health = engine.health();
    assert!(!health.ready && health.problems[0].contains("the last write failed"), "{health:?}");
    assert_eq!(engine.send(vec![noted("1", "a", 1)])[0].outcome, "admitted");
    assert!(engine.health().ready);

    stores.faults.set(Operation::Transact, Fault::FailAfter, 1);
    assert!(engine.publish_blocking(vec![noted("2", "a", 2)], None).is_err());
    assert_eq!(engine.send(vec![noted("2", "a", 2)])[0].outcome, "duplicate", "the answer was lost, not the event");

    stores.faults.fail(Operation::Transact);
    assert!(!engine.health().ready, "the log gives no transaction");
    stores.faults.clear();
    assert_eq!(engine.sum("a", Level::Strong), Some(3));
}

#[test]
fn an_engine_over_stores_that_fail_does_not_start_and_can_be_started_later() {
    for operation in [Operation::Register, Operation::SafeHead, Operation::ReadState, Operation::ReadQuarantine] {
        let stores = Stores::new();
        stores.faults.set(operation, Fault::Fail, 1);
        let refused = stores.try_start(vec![evenkeel::Model::new(tally())], |_| {}).err();
        assert!(matches!(refused, Some(EngineError::Store(StoreError::Unavailable(_)))), "{operation:?}: {refused:?}");
        let engine = stores.start(tally(), |_| {});
        engine.send(vec![noted("1", "a", 1)]);
        engine.settle();
    }
}
