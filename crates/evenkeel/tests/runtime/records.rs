//! The records of catch-ups and reconciliations: one for each, whatever happens on the way.
use super::fixture::{Running, Stores, eventually, exact, gate, noted, tally};
use evenkeel::{
    Clock, Engine, Model, Options, Parts, SystemClock,
    core::{Timestamp, reconciliation::Method},
    store::faulty::Operation,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Waits until the monitor has looked a few times more.
fn heartbeats(stores: &Stores) {
    let calls = || stores.faults.calls(Operation::SetMeasured);
    let before = calls();
    eventually("the monitor looks", || calls() > before + 5);
}

#[test]
fn a_catch_up_that_cannot_be_recorded_at_once_is_recorded_later_and_once() {
    let stores = Stores::new();
    let engine = stores.try_start(vec![exact(tally())], |options| options.project = false).unwrap();
    engine.send((0..40).map(|id| noted(&id.to_string(), "a", 1)).collect());
    heartbeats(&stores);
    stores.faults.fail(Operation::Record);
    engine.start_projector("tally").unwrap();
    engine.settle();
    eventually("a try", || stores.faults.calls(Operation::Record) > 1);
    assert_eq!(engine.reconciliations(None, 9).unwrap(), []);
    stores.faults.clear();
    eventually("the record", || !engine.reconciliations(None, 9).unwrap().is_empty());
    heartbeats(&stores);
    let records = engine.reconciliations(None, 9).unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].reconciliation_method, records[0].events_replayed), (Method::Replay, 40));
    assert_eq!(records[0].source.as_ref().map(|source| source.as_str()), Some("s"));
}

#[test]
fn a_reconciliation_leaves_its_own_record_and_no_other() {
    for method in [Method::Rebuild, Method::Replay] {
        let stores = Stores::new();
        let engine = stores.try_start(vec![exact(tally())], |options| options.project = false).unwrap();
        engine.send((0..40).map(|id| noted(&id.to_string(), "a", 1)).collect());
        heartbeats(&stores);
        let record = engine.reconcile("tally", Some(method)).unwrap();
        assert_eq!((record.result.as_str(), record.verified, record.events_replayed), ("converged", true, 40));
        engine.start_projector("tally").unwrap();
        eventually("in sync", || engine.drift_of("tally").status == "in_sync");
        heartbeats(&stores);
        assert_eq!(engine.reconciliations(None, 9).unwrap(), [record]);
    }
}

#[test]
fn what_calls_for_a_rebuild_is_rebuilt_by_the_automatic_method() {
    let stores = Stores::new();
    let mut model = exact(tally());
    model.thresholds.replay_threshold = 10;
    model.thresholds.max_lag_seconds = -1.0;
    let engine = stores.try_start(vec![model], |options| options.project = false).unwrap();
    let lag = |from: u32, to: u32| engine.send((from..to).map(|id| noted(&id.to_string(), "a", 1)).collect());
    lag(0, 5);
    assert_eq!(engine.reconcile("tally", None).unwrap().reconciliation_method, Method::Replay);
    assert_eq!(engine.reconcile("tally", None).unwrap().result.as_str(), "nothing_to_do");
    lag(5, 30);
    assert_eq!(engine.drift_of("tally").status, "rebuild_needed");
    let record = engine.reconcile("tally", None).unwrap();
    assert_eq!((record.reconciliation_method, record.result.as_str()), (Method::Rebuild, "converged"));
}

/// A clock by which every question takes so many seconds.
#[derive(Default)]
struct Slow {
    system: SystemClock,
    each: AtomicU64,
    ahead: AtomicU64,
}

impl Clock for Slow {
    fn now(&self) -> Timestamp {
        self.system.now()
    }

    fn monotonic(&self) -> Duration {
        let each = self.each.load(Ordering::SeqCst);
        self.system.monotonic() + Duration::from_secs(self.ahead.fetch_add(each, Ordering::SeqCst) + each)
    }
}

#[test]
fn who_works_for_long_keeps_the_lease_by_renewing_it() {
    for method in [Method::Repair, Method::Replay, Method::Rebuild] {
        let stores = Stores::new();
        let clock = Arc::new(Slow::default());
        let parts = Parts {
            log: stores.log.clone(),
            models: stores.models.clone(),
            snapshots: None,
            clock: clock.clone(),
            gate: Arc::new(gate()),
        };
        let options = Options { project: false, ..Options::default() };
        let engine = Running(Engine::start(parts, vec![Model::new(tally())], options).unwrap());
        engine.send((0..40).map(|id| noted(&id.to_string(), "a", 1)).collect());
        engine.reconcile("tally", Some(Method::Replay)).unwrap();
        let before = stores.faults.calls(Operation::Lease);
        clock.each.store(11, Ordering::SeqCst);
        let record = engine.reconcile("tally", Some(method)).unwrap();
        clock.each.store(0, Ordering::SeqCst);
        assert_ne!(record.result.as_str(), "failed", "{record:?}");
        let calls = stores.faults.calls(Operation::Lease) - before;
        assert!(calls > 2, "{method}: taken, renewed at least once, and given up: {calls}");
    }
}
