//! The engine as a Rust service uses it, over the embedded store and the shop example.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
use evenkeel::{
    Clock, Engine, EngineError, Options, PublishError, ReadError, SystemClock,
    core::{StreamVersion, freshness::Level, json::Value, quarantine::Decision, reconciliation::Method},
    project,
    reader::{ReadOptions, RowsRequest},
    report::{DriftReport, Receipt, RowAnswer},
    store::{
        EntryFilter,
        sqlite::{SqliteOptions, SqliteStore},
    },
};
use std::{path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(60);

fn shop() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop")
}

fn start_in(data: &Path, adjust: impl FnOnce(&mut Options)) -> Engine {
    let (project, _) = project::load(&shop()).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let now = Arc::clone(&clock);
    let store = SqliteStore::open(data, SqliteOptions::new(Arc::new(move || now.now()))).unwrap();
    let mut options = project::options(&project.settings);
    adjust(&mut options);
    project::start(&project, store.log.clone(), store.models.clone(), None, clock, options).unwrap()
}

/// An engine in a folder of its own.
struct Running {
    engine: Engine,
    _folder: TempDir,
}

fn start(adjust: impl FnOnce(&mut Options)) -> Running {
    let folder = tempfile::tempdir().unwrap();
    Running { engine: start_in(folder.path(), adjust), _folder: folder }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.engine.stop();
    }
}

fn sample() -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(shop().join("sample.ndjson")).unwrap();
    text.lines().map(|line| line.as_bytes().to_vec()).collect()
}

fn order(id: &str, order: &str, total: &str) -> Vec<u8> {
    format!(
        r#"{{"specversion":"1.0","source":"shop.orders","id":"{id}","type":"OrderPlaced","time":"2026-03-01T10:00:00Z",
        "data":{{"order_id":"{order}","customer_ref":"c-1","line_items":[{{"sku":"MUG-01","quantity":1,"unit_price":"1.00"}}],"total_amount":"{total}","currency_code":"EUR"}}}}"#
    )
    .into_bytes()
}

fn publish(engine: &Engine, events: Vec<Vec<u8>>) -> Vec<Receipt> {
    engine.publish_blocking(events, None).unwrap()
}

fn strong() -> ReadOptions {
    ReadOptions { budget: LONG, ..ReadOptions::at(Level::Strong) }
}

fn column<'a>(answer: &'a RowAnswer, name: &str) -> &'a Value {
    answer.data.as_ref().unwrap().get(name).unwrap()
}

fn drift(engine: &Engine, model: &str) -> DriftReport {
    engine.drift(Some(model)).unwrap().remove(0)
}

fn decision() -> Decision {
    Decision { author: "test".into(), note: "because".into() }
}

#[test]
fn the_sample_converges_and_every_row_equals_a_fresh_fold() {
    let running = start(|_| {});
    let engine = &running.engine;
    let receipts = publish(engine, sample());
    let count = |outcome: &str| receipts.iter().filter(|receipt| receipt.outcome == outcome).count();
    assert_eq!((count("admitted"), count("duplicate"), count("quarantined")), (111, 5, 9));
    assert!(engine.wait_until_current(LONG).unwrap());
    for model in engine.models().unwrap() {
        let found = engine.verify(&model.model, true).unwrap();
        assert_eq!((found.verdict, found.wrong_rows), ("verified", 0), "{found:?}");
        assert_eq!(found.rows, model.rows);
    }
    let answer = engine.get("inventory", &["LAMP-9", "north"], ReadOptions::default()).unwrap();
    assert_eq!(column(&answer, "on_hand").as_i64(), Some(12));
    assert_eq!((answer.consistency.parked_events, answer.consistency.data_stale), (2, true));
    assert_eq!(answer.consistency.content.verdict, "verified");
}

#[test]
fn a_stopped_projector_is_reported_and_a_strong_read_does_not_need_it() {
    let running = start(|options| options.heartbeat = Duration::from_millis(20));
    let engine = &running.engine;
    publish(engine, vec![order("1", "o-1", "10.00")]);
    assert!(engine.wait_until_current(LONG).unwrap());
    engine.stop_projector("orders", "stopped for a test").unwrap();
    publish(engine, vec![order("2", "o-1", "25.00"), order("3", "o-2", "7.00")]);

    let eventual = engine.get("orders", &["o-1"], ReadOptions::default()).unwrap();
    assert_eq!(column(&eventual, "total").as_str(), Some("10.00"));
    let said = &eventual.consistency;
    assert_eq!((said.data_stale, said.lag_count, said.status), (true, Some(2), "stalled"));
    assert_eq!(said.reason.as_deref(), Some("stopped for a test"));
    assert!(said.staleness_seconds.unwrap() >= 0.0 && said.freshness != "fresh");

    let answer = engine.get("orders", &["o-1"], strong()).unwrap();
    assert_eq!(column(&answer, "total").as_str(), Some("25.00"));
    assert_eq!((answer.consistency.level_served, answer.consistency.lag_count), ("strong", Some(0)));
    let new = engine.get("orders", &["o-2"], strong()).unwrap();
    assert_eq!(column(&new, "total").as_str(), Some("7.00"));

    let quick = ReadOptions { budget: Duration::from_millis(5), ..strong() };
    let rows = engine.rows("orders", &RowsRequest::default(), quick);
    assert!(matches!(rows, Err(ReadError::NotMet { .. })), "{rows:?}");
    let labelled = engine.rows("orders", &RowsRequest::default(), ReadOptions { allow_stale: true, ..quick }).unwrap();
    assert_eq!((labelled.consistency.level_served, labelled.consistency.data_stale), ("eventual", true));

    engine.start_projector("orders").unwrap();
    assert!(engine.wait_until_current(LONG).unwrap());
    let rows = engine.rows("orders", &RowsRequest::default(), strong()).unwrap();
    assert_eq!(rows.rows.len(), 2);
    assert_eq!(drift(engine, "orders").lag_count, Some(0));
}

#[test]
fn identity_versions_and_unreadable_events() {
    let running = start(|_| {});
    let engine = &running.engine;
    let first = publish(engine, vec![order("1", "o-1", "10.00")]).remove(0);
    assert_eq!((first.outcome, first.position, first.stream_version), ("admitted", Some(1), Some(1)));
    let again = publish(engine, vec![order("1", "o-1", "10.00")]).remove(0);
    assert_eq!((again.outcome, again.position), ("duplicate", Some(1)));
    let other = publish(engine, vec![order("1", "o-1", "11.00")]).remove(0);
    assert_eq!((other.outcome, other.reason), ("quarantined", Some("id_conflict")));
    let same_other = publish(engine, vec![order("1", "o-1", "11.00")]).remove(0);
    assert_eq!(same_other.quarantine_id, other.quarantine_id);

    let conflict = engine.publish_blocking(vec![order("2", "o-1", "12.00")], Some(StreamVersion(0)));
    assert_eq!(conflict, Err(PublishError::VersionConflict { expected: 0, actual: 1, parked: false }));
    assert!(engine.publish_blocking(vec![order("2", "o-1", "12.00")], Some(StreamVersion(1))).is_ok());
    let retry = engine.publish_blocking(vec![order("2", "o-1", "12.00")], Some(StreamVersion(1))).unwrap();
    assert_eq!(retry[0].outcome, "duplicate");

    let unreadable = engine.publish_blocking(vec![order("3", "o-1", "1.00"), b"{".to_vec()], None);
    assert!(matches!(unreadable, Err(PublishError::Unreadable { index: 1, .. })), "{unreadable:?}");
    assert_eq!(drift(engine, "orders").head, Some(2));
}

#[test]
fn a_bad_event_parks_its_key_and_discarding_it_releases_the_rest_in_order() {
    let running = start(|_| {});
    let engine = &running.engine;
    let receipts = publish(
        engine,
        vec![
            order("1", "o-1", "0.00"),
            order("2", "o-1", "20.00"),
            order("3", "o-2", "30.00"),
            order("4", "o-1", "40.00"),
        ],
    );
    let outcomes: Vec<_> = receipts.iter().map(|receipt| (receipt.outcome, receipt.reason)).collect();
    assert_eq!(outcomes[0], ("quarantined", Some("invariant")));
    assert_eq!(outcomes[1], ("quarantined", Some("held_behind")));
    assert_eq!(outcomes[2], ("admitted", None));
    let bad = receipts[0].quarantine_id.clone().unwrap();
    assert_eq!(engine.quarantine_entry(&bad).unwrap().held_behind, 2);
    assert_eq!(drift(engine, "orders").quarantined_events, Some(3));
    let waiting = |model: &str, key: &[&str]| {
        engine.get(model, key, ReadOptions::default()).unwrap().consistency.quarantined_events
    };
    // The key of `orders` is the subject; of `customers` it is not, so whom the waiting orders are about is not known.
    assert_eq!((waiting("orders", &["o-1"]), waiting("orders", &["o-2"])), (Some(3), Some(0)));
    assert_eq!((waiting("customers", &["c-1"]), waiting("inventory", &["MUG", "north"])), (None, Some(0)));

    let still = engine.redrive(&bad, decision()).unwrap();
    assert_eq!((still.state, still.reason, still.released), ("quarantined", Some("invariant"), 0));
    let held = receipts[1].quarantine_id.clone().unwrap();
    assert!(matches!(engine.redrive(&held, decision()), Err(EngineError::EntryState { .. })));

    let gone = engine.discard(&bad, decision()).unwrap();
    assert_eq!((gone.state, gone.released), ("discarded", 2));
    assert!(matches!(engine.discard(&bad, decision()), Err(EngineError::EntryState { .. })));
    let answer = engine.get("orders", &["o-1"], strong()).unwrap();
    assert_eq!(column(&answer, "total").as_str(), Some("40.00"));
    let resent = publish(engine, vec![order("1", "o-1", "0.00")]).remove(0);
    assert_eq!((resent.outcome, resent.quarantine_id), ("quarantined", Some(bad)));
    let waiting = EntryFilter { state: Some(evenkeel::core::quarantine::State::Quarantined), ..EntryFilter::default() };
    assert_eq!(engine.quarantine(&waiting).unwrap(), []);
}

#[test]
fn a_poison_event_parks_its_row_until_it_is_discarded() {
    let running = start(|_| {});
    let engine = &running.engine;
    publish(engine, sample());
    assert!(engine.wait_until_current(LONG).unwrap());
    let parked = engine.quarantine(&EntryFilter::default()).unwrap();
    let poison = parked.iter().find(|entry| entry.reason == "projection_error").unwrap();
    assert_eq!((poison.model.as_deref(), poison.key.as_deref()), (Some("inventory"), Some("LAMP-9/north")));
    let strong_read = engine.get("inventory", &["LAMP-9", "north"], strong());
    assert!(matches!(strong_read, Err(ReadError::NotMet { .. })), "{strong_read:?}");

    let before = engine.verify("inventory", true).unwrap();
    assert_eq!(before.wrong_rows, 0);
    let gone = engine.discard(&poison.id, decision()).unwrap();
    assert_eq!((gone.state, gone.released), ("discarded", 1));
    assert_eq!(drift(engine, "inventory").parked_events, 0);
    assert!(engine.get("inventory", &["LAMP-9", "north"], strong()).is_ok());
    assert_eq!(engine.verify("inventory", true).unwrap().wrong_rows, 0);

    let rebuilt = engine.reconcile("inventory", Some(Method::Rebuild)).unwrap();
    assert_eq!((rebuilt.result.as_str(), rebuilt.verified, rebuilt.unreplayed.len()), ("converged", true, 0));
    assert_eq!(engine.verify("inventory", true).unwrap().wrong_rows, 0);
    assert_eq!(engine.reconciliations(Some("inventory"), 10).unwrap()[0], rebuilt);
}

#[test]
fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let engine = start_in(folder.path(), |_| {});
    publish(&engine, sample());
    engine.stop();
    assert_eq!(engine.publish_blocking(sample(), None), Err(PublishError::Stopping));
    drop(engine);
    let engine = start_in(folder.path(), |_| {});
    assert!(publish(&engine, sample()).iter().all(|receipt| receipt.outcome != "admitted"));
    assert!(engine.wait_until_current(LONG).unwrap());
    for model in engine.models().unwrap() {
        assert_eq!(engine.verify(&model.model, true).unwrap().wrong_rows, 0);
    }
    engine.stop();
}

#[test]
fn a_lagging_model_that_catches_up_leaves_a_record() {
    let running = start(|options| {
        options.heartbeat = Duration::from_millis(10);
        options.project = false;
    });
    let engine = &running.engine;
    for chunk in 0..5 {
        publish(engine, (0..50).map(|i| order(&format!("{chunk}-{i}"), &format!("o-{i}"), "5.00")).collect());
    }
    let lag = drift(engine, "orders");
    assert_eq!((lag.lag_count, lag.status, lag.reconciliation_status), (Some(250), "stalled", "recovering"));
    assert_eq!(lag.drift_score, Some(1.0));
    while drift(engine, "orders").status == "in_sync" {}
    engine.start_projector("orders").unwrap();
    let deadline = std::time::Instant::now() + LONG;
    let record = loop {
        if let Some(record) = engine.reconciliations(Some("orders"), 1).unwrap().pop() {
            break record;
        }
        assert!(std::time::Instant::now() < deadline, "no record of the catch-up");
        std::thread::yield_now();
    };
    assert_eq!((record.reconciliation_method, record.result.as_str()), (Method::Replay, "converged"));
    assert_eq!(record.events_replayed, 250);
    assert!(record.drift_metrics.lag_count.unwrap() > 0 && record.event_id.is_some());
}
