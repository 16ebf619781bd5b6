//! The project of these tests: one contract, a model keyed by subject with every type of column, and one whose key is
//! composed of what lies within the event.
use evenkeel::contract::{
    diagnostic::Files,
    project::{self, Project},
};

const SETTINGS: &str = "[[source]]\nname = \"bank\"\nmatch = \"bank\"\n";

const CONTRACT: &str = r#"
contract = "moved"
version = 1
from = { source = "bank", type = "Moved" }
schema = "any.json"
subject = "/account"
map = [
  { from = "/account", to = "account", type = "text" },
  { from = "/amount", to = "amount", type = "money", currency = "/currency" },
  { from = "/site", to = "site", type = "text" },
  { from = "/lines", to = "lines", type = "array" },
  { from = "/note", to = "note", type = "text" },
  { from = "/open", to = "open", type = "bool" },
  { from = "/rate", to = "rate", type = "decimal" },
  { from = "/since", to = "since", type = "date" },
  { from = "/extra", to = "extra", type = "json" },
]
"#;

const ACCOUNTS: &str = r#"
model = "accounts"
version = 1
key = "account"

[columns]
account = "text"
moves = { type = "i64", merge = "g_counter" }
balance = { type = "money", currency = "currency" }
currency = "iso4217"
open = "bool"
rate = "decimal"
since = "date"
last_at = { type = "timestamp", merge = "max" }
note = "text"
extra = "json"

[[on]]
event = "moved"
key = "/subject"
add = { balance = "/data/amount", moves = { value = 1 } }
max = { last_at = { event = "time" } }
set = { open = "/data/open", rate = "/data/rate", since = "/data/since", note = "/data/note", extra = "/data/extra" }
"#;

const STOCK: &str = r#"
model = "stock"
version = 1
key = ["sku", "site"]

[columns]
sku = "text"
site = "text"
on_hand = { type = "i64", merge = "pn_counter" }
last = "text"

[[on]]
event = "moved"
[on.each]
over = "/data/lines"
key = ["/sku", { event = "/data/site" }]
add = { on_hand = "/qty" }
set = { last = { event = "/data/account" } }
"#;

/// The project, compiled.
pub(crate) fn compiled() -> Project {
    let files: Files = [
        ("evenkeel.toml", SETTINGS),
        ("contracts/moved.toml", CONTRACT),
        ("contracts/any.json", "{}"),
        ("models/accounts.toml", ACCOUNTS),
        ("models/stock.toml", STOCK),
    ]
    .into_iter()
    .collect();
    project::compile(&files, &[]).map_err(|wrong| wrong.render(&files, false)).unwrap()
}
