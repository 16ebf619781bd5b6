//! A small project, and a server of it.
use super::client::{self, Answer};
use evenkeel::{
    Clock, Engine, SystemClock,
    contract::settings::Settings,
    project,
    store::{
        StoreError,
        sqlite::{SqliteOptions, SqliteStore},
    },
};
use evenkeel_server::serve::{self, Running};
use serde_json::{Value, json};
use std::{fs, net::SocketAddr, path::Path, process::Command, sync::Arc, thread, time::Duration};

const FILES: [(&str, &str); 9] = [
    (
        "contracts/order_placed.toml",
        r#"
contract = "order_placed"
version = 1
from = { source = "shop", type = "OrderPlaced" }
schema = "order_placed.schema.json"
subject = "/order"
on_quarantine = "park_key"
unmapped = "drop_and_record"
map = [
  { from = "/order", to = "order_id", type = "text" },
  { from = "/amount", to = "amount", type = "decimal" },
]
invariant = [{ name = "amount_positive", gt = ["/data/amount", 0] }]
"#,
    ),
    ("contracts/order_placed.schema.json", r#"{"type": "object", "required": ["order", "amount"]}"#),
    (
        "contracts/stock_received.toml",
        r#"
contract = "stock_received"
version = 1
from = { source = "warehouse", type = "StockReceived" }
schema = "stock_received.schema.json"
subject = "/item"
on_quarantine = "halt_source"
unmapped = "drop_and_record"
map = [
  { from = "/item", to = "item", type = "text" },
  { from = "/site", to = "site", type = "text" },
  { from = "/count", to = "count", type = "i64" },
]
"#,
    ),
    ("contracts/stock_received.schema.json", r#"{"type": "object", "required": ["item", "site", "count"]}"#),
    (
        "models/orders.toml",
        r#"
model = "orders"
version = 1
key = "order_id"
[columns]
order_id = "text"
amount = "decimal"
[[on]]
event = "order_placed"
key = "/subject"
set = { amount = "/data/amount" }
[[on]]
event = "order_withdrawn"
key = "/subject"
delete = true
"#,
    ),
    (
        "contracts/order_withdrawn.toml",
        r#"
contract = "order_withdrawn"
version = 1
from = { source = "shop", type = "OrderWithdrawn" }
schema = "order_withdrawn.schema.json"
subject = "/order"
unmapped = "drop_and_record"
map = [{ from = "/order", to = "order_id", type = "text" }]
"#,
    ),
    ("contracts/order_withdrawn.schema.json", r#"{"type": "object", "required": ["order"]}"#),
    ("views/units_by_item.sql", "SELECT item, sum(on_hand) AS units FROM stock GROUP BY item;\n"),
    (
        "models/stock.toml",
        r#"
model = "stock"
version = 1
key = ["item", "site"]
[columns]
item = "text"
site = "text"
on_hand = { type = "i64", merge = "pn_counter" }
[[on]]
event = "stock_received"
key = ["/data/item", "/data/site"]
add = { on_hand = "/data/count" }
"#,
    ),
];

/// A server in this process that changes nothing by itself, with the folder it lives in.
pub(crate) struct Server {
    running: Option<Running>,
    pub(crate) addr: SocketAddr,
    dir: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with("", "")
    }

    /// With more settings, and with more settings of the source `shop`.
    pub(crate) fn with(settings: &str, shop: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), settings, shop);
        let running = Self::open(dir.path());
        Self { addr: running.addr, running: Some(running), dir }
    }

    /// Stops, has something done to the data folder, and starts again on another port.
    pub(crate) fn restart(&mut self, meanwhile: impl FnOnce(&Path)) {
        self.stop();
        meanwhile(&self.dir.path().join("data"));
        let running = Self::open(self.dir.path());
        self.addr = running.addr;
        self.running = Some(running);
    }

    fn open(dir: &Path) -> Running {
        let (project, _) = project::load(dir).unwrap_or_else(|error| panic!("{error:?}"));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let open = || {
            let now = Arc::clone(&clock);
            SqliteStore::open(&dir.join("data"), SqliteOptions::new(Arc::new(move || now.now())))
        };
        // A read that nobody waited for any more may hold the store of a server that has stopped for a moment longer.
        let mut tries = 0;
        let store = loop {
            match open() {
                Err(StoreError::InUse(_)) if tries < 500 => tries += 1,
                opened => break opened.unwrap(),
            }
            thread::sleep(Duration::from_millis(20));
        };
        let options = project::options(&project.settings);
        let engine =
            project::start(&project, store.log.clone(), store.models.clone(), Some(store.snapshots), clock, options)
                .unwrap();
        let settings: &Settings = &project.settings;
        serve::start(engine, settings).unwrap()
    }

    pub(crate) fn stop(&mut self) {
        self.running.take().unwrap().stop().unwrap();
    }

    pub(crate) fn engine(&self) -> Engine {
        self.running.as_ref().unwrap().engine.clone()
    }

    /// Has the `sqlite3` tool write to the models' store; false where there is no such tool.
    pub(crate) fn tamper(&self, sql: &str) -> bool {
        let file = self.dir.path().join("data/models.db");
        match Command::new("sqlite3").args(["-cmd", ".timeout 10000"]).arg(file).arg(sql).output() {
            Ok(output) => {
                assert!(output.status.success(), "{sql}: {output:?}");
                true
            }
            Err(error) => {
                eprintln!("skipped: there is no sqlite3 to write to the table of a model with: {error}");
                false
            }
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        client::request(self.addr, "GET", path, headers, b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        let headers = [("Content-Type", "application/json")];
        client::request(self.addr, "POST", path, &headers, body.to_string().as_bytes())
    }

    /// Publishes one event in the structured mode.
    pub(crate) fn publish(&self, event: &Value) -> Answer {
        self.publish_with(event, &[])
    }

    pub(crate) fn publish_with(&self, event: &Value, headers: &[(&str, &str)]) -> Answer {
        let headers = [&[("Content-Type", "application/cloudevents+json")], headers].concat();
        self.publish_bytes(event.to_string().as_bytes(), &headers)
    }

    pub(crate) fn publish_batch(&self, events: &[Value]) -> Answer {
        let body = Value::from(events.to_vec()).to_string();
        self.publish_bytes(body.as_bytes(), &[("Content-Type", "application/cloudevents-batch+json")])
    }

    pub(crate) fn publish_bytes(&self, body: &[u8], headers: &[(&str, &str)]) -> Answer {
        client::request(self.addr, "POST", "/v1/events", headers, body)
    }

    /// The positions in the log.
    pub(crate) fn positions(&self) -> Vec<u64> {
        let log = self.get("/v1/log?limit=10000").ok(200);
        log["events"].as_array().unwrap().iter().map(|event| event["position"].as_u64().unwrap()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let engine = running.engine.clone();
            drop(running);
            engine.stop();
        }
    }
}

fn write(dir: &Path, settings: &str, shop: &str) {
    let text = format!(
        "[node]\nlisten = \"127.0.0.1:0\"\n\
         [reconcile]\nauto = false\nscrub_rows_per_second = 0\n{settings}\n\
         [[source]]\nname = \"shop\"\nmatch = \"shop\"\n{shop}\n\
         [[source]]\nname = \"warehouse\"\nmatch = \"warehouse\"\n"
    );
    fs::create_dir_all(dir.join("contracts")).unwrap();
    fs::create_dir_all(dir.join("models")).unwrap();
    fs::create_dir_all(dir.join("views")).unwrap();
    fs::write(dir.join("evenkeel.toml"), text).unwrap();
    for (name, text) in FILES {
        fs::write(dir.join(name), text).unwrap();
    }
}

/// An order of the shop. `amount` is exact text.
pub(crate) fn order(id: &str, order: &str, amount: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "shop", "type": "OrderPlaced",
        "data": {"order": order, "amount": amount},
    })
}

/// A delivery to the warehouse.
pub(crate) fn delivery(id: &str, item: &str, site: &str, count: Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "warehouse", "type": "StockReceived",
        "data": {"item": item, "site": site, "count": count},
    })
}
