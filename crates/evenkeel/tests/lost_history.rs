//! A log that lost its end: models that speak of what is no more are suspect before the log can grow past them, stay so
//! until they are rebuilt, and are right afterwards.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
use evenkeel::{
    Clock, Engine, EngineError, Model, Options, Parts, ReadError, SystemClock,
    consumer::Registration,
    contract::{diagnostic::Files, project},
    core::{
        Digest, Epoch, Event, Position,
        fold::{Fold, FoldError, Touch},
        freshness::Level,
        json::Value,
        quarantine::Decision,
        reconciliation::Method,
        row::{Cell, Key, Row},
        schema::{Column, ColumnType, Merge, Schema},
        token::TokenError,
    },
    reader::ReadOptions,
    store::{
        Models, StoreError,
        memory::{MemoryStore, Volatile},
    },
};
use std::{sync::Arc, time::Duration};

/// The sum of each meter's readings. It refuses 13.
struct Sums(Schema);

impl Sums {
    fn new() -> Self {
        let column = |name: &str, ty| Column { name: name.into(), ty, merge: Merge::Lww };
        Self(Schema {
            model: "sums".into(),
            version: 1,
            key: vec![0],
            columns: vec![column("meter", ColumnType::Text), column("sum", ColumnType::I64)],
            subscribes: ["reading".into()].into(),
            fingerprint: Digest::of(b"sums"),
        })
    }
}

impl Fold for Sums {
    fn schema(&self) -> &Schema {
        &self.0
    }

    fn touches(&self, event: &Event, out: &mut Vec<Touch>) {
        out.push(Touch { key: Ok(Key::text(event.draft.subject.as_str())), clause: 0, element: 0 });
    }

    fn apply(&self, slot: &mut Option<Row>, event: &Event, _: &Touch, key: &Key) -> Result<(), FoldError> {
        let value = event.draft.data.as_object().unwrap().get("value").and_then(Value::as_i64).unwrap();
        if value == 13 {
            return Err(FoldError::Custom("not 13".into()));
        }
        let row = slot.get_or_insert_with(|| Row::new(&self.0, key));
        let sum = if let Cell::I64(sum) = row.cells[1] { sum } else { 0 };
        row.cells[1] = Cell::I64(sum + value);
        Ok(())
    }
}

const SETTINGS: &str = "[[source]]\nname = \"meter\"\nmatch = \"meter\"\n";

const CONTRACT: &str = r#"
contract = "reading"
version = 1
from = { source = "meter", type = "*" }
subject = "/meter"
map = [{ from = "/value", to = "value", type = "i64" }]
"#;

fn start(store: &MemoryStore, runs: bool) -> Engine {
    let files: Files = [("evenkeel.toml", SETTINGS), ("contracts/reading.toml", CONTRACT)].into_iter().collect();
    let gate = Arc::new(project::compile(&files, &[]).unwrap().gate);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let parts = Parts { log: store.log.clone(), models: store.models.clone(), snapshots: None, clock, gate };
    let options = Options { project: runs, auto_reconcile: false, ..Options::default() };
    Engine::start(parts, vec![Model::new(Sums::new())], options).unwrap()
}

fn publish(engine: &Engine, readings: &[(u32, i64)]) {
    let event = |(id, value): &(u32, i64)| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"meter","type":"Read","data":{{"meter":"m","value":{value}}}}}"#
        )
        .into_bytes()
    };
    let receipts = engine.publish_blocking(readings.iter().map(event).collect(), None).unwrap();
    assert!(receipts.iter().all(|receipt| receipt.outcome == "admitted"), "{receipts:?}");
}

#[test]
fn a_token_of_a_lost_history_is_told_from_one_of_this_log() {
    let clock = SystemClock::default();
    let store = MemoryStore::new(Epoch(1), Arc::new(move || clock.now()));
    let engine = start(&store, true);
    publish(&engine, &[(1, 1)]);
    let on_disk = store.log.image();
    publish(&engine, &[(2, 2)]);
    let receipts = engine.publish_blocking(Vec::new(), None).unwrap();
    let kept = engine.token_after(None, &receipts);
    assert!(engine.wait_until_current(Duration::from_secs(60)).unwrap());
    let seen = engine.get("sums", &["m"], ReadOptions::default()).unwrap().consistency.token.unwrap();
    assert!(engine.token(&seen).is_ok());
    engine.stop();
    store.log.restore(on_disk);

    let engine = start(&store, false);
    assert!(matches!(engine.token(&seen), Err(ReadError::Token(TokenError::LostHistory(_)))));
    assert!(matches!(engine.token(&format!("{kept},{seen}")), Err(ReadError::Token(TokenError::LostHistory(_)))));
    assert!(engine.token(&kept).is_ok());
    // The model speaks of what the log has lost: a token of its rows would promise it.
    assert_eq!(engine.get("sums", &["m"], ReadOptions::default()).unwrap().consistency.token, None);
    engine.stop();
}

fn sum(engine: &Engine) -> Option<i64> {
    let options = ReadOptions::at(Level::Strong);
    engine.get("sums", &["m"], options).unwrap().data.unwrap().get("sum").and_then(Value::as_i64)
}

#[test]
fn a_log_that_grew_past_a_lost_history_hides_nothing() {
    for was_condemned in [false, true] {
        let clock = SystemClock::default();
        let store = MemoryStore::new(Epoch(1), Arc::new(move || clock.now()));
        let engine = start(&store, true);
        publish(&engine, &[(1, 1)]);
        let on_disk = store.log.image();
        publish(&engine, &[(2, 13), (3, 2)]);
        assert!(engine.wait_until_current(Duration::from_secs(60)).unwrap());
        engine.discard("p-sums-2.0.0", Decision::default()).unwrap();
        engine.stop();
        if was_condemned {
            store.models.condemn(&"sums".into(), "for another reason").unwrap();
        }
        store.log.restore(on_disk);

        let engine = start(&store, false);
        publish(&engine, &[(5, 5), (6, 6), (7, 7)]);
        engine.stop();
        // Position and epoch fit again, and so they would at every later start.
        let engine = start(&store, false);
        let report = engine.drift(Some("sums")).unwrap().remove(0);
        assert_eq!(report.content.verdict, "suspect");
        assert!(matches!(engine.verify("sums", true), Err(EngineError::Method(_))));
        assert_eq!(sum(&engine), Some(1 + 5 + 6 + 7), "the log's word, without what was given up of a lost event");
        let record = engine.reconcile("sums", None).unwrap();
        assert_eq!((record.reconciliation_method, record.verified), (Method::Rebuild, true), "{record:?}");
        assert_eq!(engine.verify("sums", true).unwrap().wrong_rows, 0);
        assert_eq!(sum(&engine), Some(1 + 5 + 6 + 7));
        engine.stop();
    }
}

#[test]
fn an_event_that_the_log_has_lost_cannot_be_given_up_in_place_of_another() {
    let clock = SystemClock::default();
    let store = MemoryStore::new(Epoch(1), Arc::new(move || clock.now()));
    let engine = start(&store, true);
    publish(&engine, &[(1, 1)]);
    let on_disk = store.log.image();
    publish(&engine, &[(2, 13), (3, 2)]);
    assert!(engine.wait_until_current(Duration::from_secs(60)).unwrap());
    engine.stop();
    store.log.restore(on_disk);

    let engine = start(&store, false);
    publish(&engine, &[(5, 5), (6, 6)]);
    let refused = engine.discard("p-sums-2.0.0", Decision::default());
    assert!(
        matches!(&refused, Err(EngineError::Store(StoreError::Corrupt(why))) if why.contains("rebuild")),
        "{refused:?}"
    );
    assert!(engine.reconcile("sums", None).unwrap().verified);
    assert_eq!(sum(&engine), Some(1 + 5 + 6));
    engine.stop();
}

#[test]
fn a_consumer_of_a_lost_history_is_told_so_until_it_begins_anew() {
    let clock = SystemClock::default();
    let store = MemoryStore::new(Epoch(1), Arc::new(move || clock.now()));
    let engine = start(&store, true);
    publish(&engine, &[(1, 1)]);
    let on_disk = store.log.image();
    publish(&engine, &[(2, 2), (3, 3)]);
    engine.put_consumer("mine", Registration::default()).unwrap();
    assert_eq!(engine.report_consumer("mine", Position(3), None).unwrap().status, "in_sync");
    engine.stop();
    store.log.restore(on_disk);

    let engine = start(&store, false);
    publish(&engine, &[(5, 5), (6, 6), (7, 7), (8, 8)]);
    engine.stop();
    let engine = start(&store, false);
    // It goes on from where it was, and lacks the events in place of those that are lost.
    for position in [3, 4, 5].map(Position) {
        let report = engine.report_consumer("mine", position, None).unwrap();
        assert_eq!(report.status, "rebuild_needed", "at {position}");
    }
    assert_ne!(engine.report_consumer("mine", Position(1), None).unwrap().status, "rebuild_needed");
    assert_eq!(engine.report_consumer("mine", Position(5), None).unwrap().status, "in_sync");
    engine.stop();
}
