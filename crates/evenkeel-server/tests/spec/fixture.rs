//! An engine on the shop example in a folder of its own, and the events it takes.
use evenkeel::{
    Clock, Engine, Options, SystemClock,
    core::{freshness::Level, json::Value},
    project,
    reader::ReadOptions,
    report::{DriftReport, Receipt, RowAnswer},
    store::sqlite::{SqliteOptions, SqliteStore},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Shop {
    pub(crate) engine: Engine,
    data: TempDir,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.engine.stop();
    }
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop")
}

pub(crate) fn shop() -> Shop {
    shop_with(|_| {})
}

pub(crate) fn shop_with(adjust: impl FnOnce(&mut Options)) -> Shop {
    start(&folder(), adjust)
}

/// An engine on the project in this folder.
pub(crate) fn start(folder: &Path, adjust: impl FnOnce(&mut Options)) -> Shop {
    let data = tempfile::tempdir().unwrap();
    let (declared, _) = project::load(folder).unwrap_or_else(|error| panic!("{error:?}"));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let now = Arc::clone(&clock);
    let store = SqliteStore::open(data.path(), SqliteOptions::new(Arc::new(move || now.now()))).unwrap();
    let mut options = project::options(&declared.settings);
    adjust(&mut options);
    let engine =
        project::start(&declared, store.log.clone(), store.models.clone(), Some(store.snapshots), clock, options)
            .unwrap();
    Shop { engine, data }
}

impl Shop {
    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    pub(crate) fn publish(&self, events: Vec<String>) -> Vec<Receipt> {
        self.engine.publish_blocking(events.into_iter().map(String::into_bytes).collect(), None).unwrap()
    }

    pub(crate) fn settle(&self) {
        assert!(self.engine.wait_until_current(LONG).unwrap());
    }

    pub(crate) fn drift(&self, model: &str) -> DriftReport {
        self.engine.drift(Some(model)).unwrap().remove(0)
    }

    pub(crate) fn order(&self, id: &str, level: Level) -> RowAnswer {
        let options = ReadOptions { budget: LONG, ..ReadOptions::at(level) };
        self.engine.get("orders", &[id], options).unwrap()
    }
}

pub(crate) fn column<'a>(answer: &'a RowAnswer, name: &str) -> &'a Value {
    answer.data.as_ref().and_then(|row| row.get(name)).unwrap_or(&Value::Null)
}

/// The web shop's event of a placed order.
pub(crate) fn placed(id: &str, order: &str, total: &str) -> String {
    placed_at(id, order, total, "2026-03-01T10:00:00Z")
}

pub(crate) fn placed_at(id: &str, order: &str, total: &str, time: &str) -> String {
    let lines = r#"[{"sku":"MUG-01","quantity":1,"unit_price":"1.00"}]"#;
    event(
        "shop.orders",
        "OrderPlaced",
        id,
        time,
        &format!(
            r#"{{"order_id":"{order}","customer_ref":"c-1","line_items":{lines},"total_amount":"{total}","currency_code":"EUR","internal_flag":true}}"#
        ),
    )
}

pub(crate) fn event(source: &str, event_type: &str, id: &str, time: &str, data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","source":"{source}","type":"{event_type}","id":"{id}","time":"{time}","data":{data}}}"#
    )
}
