//! The project a simulation runs: contracts and models as a user would declare them, and one model in Rust.
//!
//! Each has two versions. Which one a node runs changes when it restarts: a contract that was too strict is relaxed, a
//! model is declared anew. What the sources send is in [`super::events`].
use evenkeel_contract::{
    diagnostic::Files,
    gate::Gate,
    project::{self as declared, SETTINGS},
};
use evenkeel_core::{
    Digest, Event,
    fold::{Fold, FoldError, Touch},
    json::Value,
    row::{Cell, Key, Row},
    schema::{Column, ColumnType, Merge, Schema},
};
use std::sync::{Arc, OnceLock};

/// How many versions of everything there are.
pub(super) const VERSIONS: usize = 2;

/// Gates and folds, by version.
pub(super) struct Project {
    pub(super) gates: [Arc<Gate>; VERSIONS],
    pub(super) models: Vec<[Arc<dyn Fold>; VERSIONS]>,
}

const SOURCES: &str = r#"
[[source]]
name = "shop"
match = "shop.orders"
[[source]]
name = "stock"
match = "stock.*"
[[source]]
name = "meter"
match = "meter"
[[source]]
name = "notes"
match = "notes.*"
"#;

const ORDER_SCHEMA: &str = r#"{
  "type": "object",
  "required": ["order", "lines"],
  "properties": { "order": { "type": "string" }, "lines": { "type": "array" } }
}"#;

const ORDER_PLACED: &str = r#"
contract = "order_placed"
version = 1
from = { source = "shop.orders", type = "OrderPlaced" }
schema = "order_placed.schema.json"
subject = "/order"
on_quarantine = "park_key"
map = [
  { from = "/order", to = "order", type = "text" },
  { from = "/amount", to = "total", type = "money", currency = "/currency" },
  { from = "/lines", to = "lines", type = "array" },
  { from = "/note", to = "note", type = "text", optional = true },
]
invariant = [{ name = "total_positive", gt = ["/data/total", 0] }]
"#;

const ORDER_PAID: &str = r#"
contract = "order_paid"
version = 1
from = { source = "shop.orders", type = "OrderPaid" }
subject = "/order"
on_quarantine = "park_key"
map = [
  { from = "/order", to = "order", type = "text" },
  { from = "/amount", to = "amount", type = "money", currency = "/currency" },
]
invariant = [{ name = "amount_positive", gt = ["/data/amount", 0] }]
"#;

const ORDER_CLOSED: &str = r#"
contract = "order_closed"
version = 1
from = { source = "shop.orders", type = ["OrderClosed"] }
subject = "/order"
on_quarantine = "skip"
map = [
  { from = "/order", to = "order", type = "text" },
  { from = "/gone", to = "gone", type = "bool" },
]
"#;

const STOCK_MOVED: &str = r#"
contract = "stock_moved"
version = 1
from = { source = "stock.*", type = "StockMoved" }
subject = "/sku"
on_quarantine = "park_key"
map = [
  { from = "/sku", to = "sku", type = "text" },
  { from = "/place", to = "place", type = "text" },
  { from = "/qty", to = "qty", type = "i64" },
]
invariant = [{ name = "moves_something", not_equals = ["/data/qty", 0] }]
"#;

const READING: &str = r#"
contract = "reading"
version = 1
from = { source = "meter", type = "*" }
subject = "/meter"
on_quarantine = "halt_source"
map = [
  { from = "/meter", to = "meter", type = "text" },
  { from = "/value", to = "value", type = "i64" },
]
invariant = [{ name = "not_negative", ge = ["/data/value", 0] }]
"#;

const NOTE_WRITTEN: &str = r#"
contract = "note_written"
version = 1
from = { source = "notes.*", type = "NoteWritten" }
subject = "/note"
on_quarantine = "park_key"
map = [
  { from = "/note", to = "note", type = "text" },
  { from = "/title", to = "title", type = "text", optional = true },
  { from = "/tag", to = "tag", type = "text", optional = true },
  { from = "/stars", to = "stars", type = "i64", optional = true },
]
invariant = [{ name = "not_empty", not_equals = ["/data/note", ""] }]
"#;

const NOTE_GONE: &str = r#"
contract = "note_gone"
version = 1
from = { source = "notes.*", type = "NoteGone" }
subject = "/note"
on_quarantine = "skip"
map = [{ from = "/note", to = "note", type = "text" }]
"#;

/// What the later version of the contracts admits that the first refuses.
const RELAXED: [(&str, &str); 4] = [
    ("version = 1", "version = 2"),
    ("gt = [\"/data/total\", 0]", "ge = [\"/data/total\", 0]"),
    ("gt = [\"/data/amount\", 0]", "ge = [\"/data/amount\", 0]"),
    ("ge = [\"/data/value\", 0]", "ge = [\"/data/value\", -9]"),
];

const ORDERS: &str = r#"
model = "orders"
version = 1
key = "order"
[columns]
order = "text"
total = { type = "money", currency = "currency" }
currency = "iso4217"
note = { type = "text", merge = "mv" }
notes = { type = "text", merge = "or_set" }
last = { type = "json", merge = "version" }
lines = { type = "i64", merge = "pn_counter" }
closed = "bool"

[[on]]
event = "order_placed"
key = "/subject"
set = { total = "/data/total", note = "/data/note", last = "/data/lines" }
set_once = { closed = { value = false } }
add = { lines = { count = "/data/lines" } }
insert = { notes = "/data/note" }

[[on]]
event = "order_paid"
key = "/subject"
add = { total = "/data/amount" }

[[on]]
event = "order_closed"
key = "/subject"
when = { equals = ["/data/gone", false] }
set = { closed = { value = true } }
remove = { notes = { value = ["n-1", "n-2", "n-3"] } }

[[on]]
event = "order_closed"
key = "/subject"
when = { equals = ["/data/gone", true] }
delete = true
"#;

/// Follows fewer types of events, with other columns.
const ORDERS_ANEW: &str = r#"
model = "orders"
version = 2
key = "order"
[columns]
order = "text"
total = { type = "money", currency = "currency" }
currency = "iso4217"
times_placed = { type = "i64", merge = "pn_counter" }

[[on]]
event = "order_placed"
key = "/subject"
set = { total = "/data/total" }
add = { times_placed = { value = 1 } }
"#;

const STOCK: &str = r#"
model = "stock"
version = 1
key = ["sku", "place"]
[columns]
sku = "text"
place = "text"
on_hand = { type = "i64", merge = "pn_counter" }
least = { type = "i64", merge = "min" }
most = { type = "i64", merge = "max" }
last = "i64"

[[on]]
event = "stock_moved"
key = ["/data/sku", "/data/place"]
add = { on_hand = "/data/qty" }
min = { least = "/data/qty" }
max = { most = "/data/qty" }
set = { last = { event = "position" } }

[[on]]
event = "order_placed"
each = { over = "/data/lines", key = ["/sku", { value = "main" }], add = { on_hand = "/qty" } }
"#;

/// What it is written by says what it knew: writes meet here that did not know each other, and deletions what comes late.
const NOTES: &str = r#"
model = "notes"
version = 1
key = "note"
[columns]
note = "text"
title = { type = "text", merge = "mv" }
tags = { type = "text", merge = "or_set" }
stars = { type = "i64", merge = "pn_counter" }

[[on]]
event = "note_written"
key = "/subject"
set = { title = "/data/title" }
insert = { tags = "/data/tag" }
add = { stars = "/data/stars" }

[[on]]
event = "note_gone"
key = "/subject"
delete = true
"#;

/// Files the project holds at a version of its contracts and of its models.
fn files(relaxed: bool, anew: bool) -> Files {
    let contracts = [
        ("order_placed", ORDER_PLACED),
        ("order_paid", ORDER_PAID),
        ("order_closed", ORDER_CLOSED),
        ("stock_moved", STOCK_MOVED),
        ("reading", READING),
        ("note_written", NOTE_WRITTEN),
        ("note_gone", NOTE_GONE),
    ];
    let mut files = Files::default();
    files.insert(SETTINGS, SOURCES);
    files.insert("contracts/order_placed.schema.json", ORDER_SCHEMA);
    for (name, text) in contracts {
        let changes = RELAXED.iter().take(if relaxed { RELAXED.len() } else { 0 });
        let text = changes.fold(text.to_owned(), |text, (old, new)| text.replace(old, new));
        files.insert(format!("contracts/{name}.toml"), text);
    }
    files.insert("models/orders.toml", if anew { ORDERS_ANEW } else { ORDERS });
    let moves =
        STOCK.replace("version = 1", "version = 2").replace("last = { event = \"position\" }", "last = \"/data/qty\"");
    let lww = NOTES.replace("version = 1", "version = 2").replace("\"mv\"", "\"lww\"");
    files.insert("models/notes.toml", if anew { lww } else { NOTES.to_owned() });
    files.insert("models/stock.toml", if anew { moves } else { STOCK.to_owned() });
    files
}

/// The project, compiled once.
///
/// # Errors
/// What is wrong with it, as its user would see it.
pub(super) fn project() -> Result<&'static Project, String> {
    static PROJECT: OnceLock<Result<Project, String>> = OnceLock::new();
    PROJECT.get_or_init(compile).as_ref().map_err(Clone::clone)
}

fn compile() -> Result<Project, String> {
    let compile = |relaxed, anew| {
        let files = files(relaxed, anew);
        declared::compile(&files, &[]).map_err(|wrong| wrong.render(&files, false))
    };
    let (first, later) = (compile(false, false)?, compile(true, true)?);
    let gates = [Arc::new(first.gate), Arc::new(later.gate)];
    let mut models: Vec<[Arc<dyn Fold>; VERSIONS]> = Vec::new();
    for (first, later) in first.models.into_iter().zip(later.models) {
        models.push([Arc::new(first.fold), Arc::new(later.fold)]);
    }
    models.push([Arc::new(Meters::new(1)), Arc::new(Meters::new(2))]);
    Ok(Project { gates, models })
}

/// A model in Rust: what each meter was read, how often and in sum. It refuses one unlucky value.
struct Meters {
    schema: Schema,
    unlucky: i64,
}

impl Meters {
    fn new(version: u32) -> Self {
        let column = |name: &str, ty| Column { name: name.into(), ty, merge: Merge::Lww };
        let schema = Schema {
            model: "meters".into(),
            version,
            key: vec![0],
            columns: vec![
                column("meter", ColumnType::Text),
                column("readings", ColumnType::I64),
                column("sum", ColumnType::I64),
            ],
            subscribes: ["reading".into()].into(),
            fingerprint: Digest::of(format!("meters {version}").as_bytes()),
        };
        Self { schema, unlucky: if version == 1 { 13 } else { 17 } }
    }
}

impl Fold for Meters {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn touches(&self, event: &Event, out: &mut Vec<Touch>) {
        out.push(Touch { key: Ok(Key::text(event.draft.subject.as_str())), clause: 0, element: 0 });
    }

    fn apply(&self, slot: &mut Option<Row>, event: &Event, _: &Touch, key: &Key) -> Result<(), FoldError> {
        let value = event.draft.data.as_object().and_then(|data| data.get("value")).and_then(Value::as_i64);
        let value = value.ok_or_else(|| FoldError::Custom("a reading without a value".into()))?;
        let row = slot.get_or_insert_with(|| Row::new(&self.schema, key));
        let int = |cell: &Cell| if let Cell::I64(int) = cell { *int } else { 0 };
        row.cells[1] = Cell::I64(int(&row.cells[1]) + 1);
        // Left in the row on purpose: what a failed application did must be thrown away.
        row.cells[2] = Cell::I64(int(&row.cells[2]).saturating_add(value));
        if value == self.unlucky {
            return Err(FoldError::Custom(format!("{value} is an unlucky number")));
        }
        Ok(())
    }
}
