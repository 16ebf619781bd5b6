//! What a user sees for each mistake in a project folder: the whole text, so that file, line and underlining count.
mod columns;
mod contracts;
mod maps;
mod merges;
mod models;
mod settings;
mod together;
mod valid;
mod versions;

use super::*;

const SETTINGS_FILE: &str = r#"[node]
listen = "127.0.0.1:7400"

[[source]]
name = "shop.orders"
match = "shop.orders"

[[source]]
name = "shop.stock"
match = "shop.stock.*"
rate = "500/s"
"#;

const ORDER_CREATED: &str = r#"contract = "order_created"
version = 1
from = { source = "shop.orders", type = "OrderPlaced" }
schema = "order_created.v1.schema.json"
subject = "/order_id"
map = [
  { from = "/order_id", to = "order_id", type = "text" },
  { from = "/customer_ref", to = "customer_id", type = "text", optional = true },
  { from = "/line_items", to = "items", type = "array" },
  { from = "/total_amount", to = "total", type = "money", currency = "/currency_code" },
  { from = "/priority", to = "priority", type = "i64", default = 0 },
]
invariant = [
  { name = "total_positive", gt = ["/data/total", 0] },
  { name = "items_not_empty", not_empty = "/data/items" },
]
example = [
  { file = "examples/ok.json", expect = "admit" },
  { file = "examples/zero.json", expect = "total_positive" },
]
"#;

const SCHEMA: &str = r#"{
  "type": "object",
  "required": ["order_id"],
  "properties": { "order_id": { "type": "string" } }
}
"#;

const STOCK_RESERVED: &str = r#"contract = "stock_reserved"
version = 1
from = { source = "shop.stock.*", type = ["Reserved", "Held"] }
subject = { event = "subject" }
on_quarantine = "skip"
map = [
  { from = "/lines", to = "lines", type = "array" },
  { from = { event = "time" }, to = "at", type = "timestamp" },
]
"#;

const ORDERS: &str = r#"model = "orders"
version = 1
key = "order_id"
[columns]
order_id = "text"
customer_id = "text"
total = { type = "money", currency = "currency" }
currency = "iso4217"
units = { type = "i64", merge = "pn_counter" }
status = "text"
[drift]
max_lag_events = 7

[[on]]
event = "order_created"
key = "/subject"
set = { total = "/data/total", status = { value = "open" } }
set_once = { customer_id = "/data/customer_id" }
add = { units = { count = "/data/items" } }
"#;

const STOCK: &str = r#"model = "stock"
version = 1
key = ["sku", "location"]
[columns]
sku = "text"
location = "text"
reserved = "i64"
last_at = "timestamp"

[[on]]
event = "stock_reserved"
when = { not_equals = ["/subject", "test"] }
each = { over = "/data/lines", key = ["/sku", "/location"], add = { reserved = "/qty" }, max = { last_at = { event = "/data/at" } } }
"#;

fn event(total: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"1","source":"shop.orders","type":"OrderPlaced","data":
           {{"order_id":"o-1","line_items":[1],"total_amount":"{total}","currency_code":"EUR"}}}}"#
    )
}

/// A project that compiles, with an edit for each test.
struct Shop {
    files: Files,
    env: Vec<(String, String)>,
}

fn shop() -> Shop {
    let mut files: Files = [
        (SETTINGS, SETTINGS_FILE),
        ("contracts/order_created.toml", ORDER_CREATED),
        ("contracts/order_created.v1.schema.json", SCHEMA),
        ("contracts/stock_reserved.toml", STOCK_RESERVED),
        ("models/orders.toml", ORDERS),
        ("models/stock.toml", STOCK),
    ]
    .into_iter()
    .collect();
    files.insert("contracts/examples/ok.json", event("12.50"));
    files.insert("contracts/examples/zero.json", event("0"));
    Shop { files, env: Vec::new() }
}

impl Shop {
    fn edit(mut self, path: &str, old: &str, new: &str) -> Self {
        let text = String::from_utf8(self.files.get(path).unwrap().to_vec()).unwrap();
        assert!(text.contains(old), "{path} holds no {old:?}");
        self.files.insert(path, text.replacen(old, new, 1));
        self
    }

    fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path, bytes);
        self
    }

    fn without(mut self, path: &str) -> Self {
        self.files = self.files.iter().filter(|(other, _)| *other != path).collect();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn compile(&self) -> Result<Project, Diagnostics> {
        compile(&self.files, &self.env)
    }

    /// The project is refused with exactly this text.
    #[track_caller]
    fn says(self, expected: &str) {
        let found = self.compile().unwrap_err().render(&self.files, false);
        assert_eq!(found.trim(), expected.trim(), "found:\n{found}");
    }

    /// The project compiles with exactly these warnings.
    #[track_caller]
    fn warns(self, expected: &str) {
        let found = self.compile().unwrap().warnings.render(&self.files, false);
        assert_eq!(found.trim(), expected.trim(), "found:\n{found}");
    }
}
