//! The files of the project folders that `init` writes, held in the program.
//!
//! The examples are those of the repository, byte for byte; a test sees to it that none is forgotten.

/// The files of a project folder: name and text.
pub(crate) type Files = &'static [(&'static str, &'static str)];

/// What keeps the store out of a repository.
const IGNORED: &str = "/evenkeel-data/\n";

/// A file of the beginning.
macro_rules! minimal {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("minimal/", $name)))),*, (".gitignore", IGNORED)] };
}

/// A file of an example of the repository.
macro_rules! example {
    ($folder:literal: $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../../../examples/", $folder, "/", $name)))),*, (".gitignore", IGNORED)]
    };
}

/// One contract and one model, with every line explained.
pub(crate) const MINIMAL: Files = minimal![
    "evenkeel.toml",
    "contracts/order_placed.toml",
    "contracts/order_placed.v1.schema.json",
    "contracts/order_placed.ok.json",
    "models/orders.toml",
    "sample.ndjson",
];

/// `examples/shop`.
pub(crate) const SHOP: Files = example![
    "shop":
    "README.md",
    "evenkeel.toml",
    "make_sample.py",
    "sample.ndjson",
    "contracts/order_cancelled.ok.json",
    "contracts/order_cancelled.toml",
    "contracts/order_cancelled.v1.schema.json",
    "contracts/order_created.no_items.json",
    "contracts/order_created.ok.json",
    "contracts/order_created.toml",
    "contracts/order_created.v1.schema.json",
    "contracts/order_created.zero.json",
    "contracts/order_paid.negative.json",
    "contracts/order_paid.ok.json",
    "contracts/order_paid.toml",
    "contracts/order_paid.unknown.json",
    "contracts/order_paid.v1.schema.json",
    "contracts/stock_received.ok.json",
    "contracts/stock_received.toml",
    "contracts/stock_received.v1.schema.json",
    "contracts/stock_received.zero.json",
    "contracts/stock_reserved.empty.json",
    "contracts/stock_reserved.ok.json",
    "contracts/stock_reserved.toml",
    "contracts/stock_reserved.v1.schema.json",
    "models/customers.toml",
    "models/inventory.toml",
    "models/orders.toml",
    "views/sales_by_currency.sql",
];

/// `examples/travel`.
pub(crate) const TRAVEL: Files = example![
    "travel":
    "README.md",
    "evenkeel.toml",
    "interleave.py",
    "make_sample.py",
    "recompute.py",
    "sample.ndjson",
    "contracts/declaration_step.ok.json",
    "contracts/declaration_step.toml",
    "contracts/declaration_step.v1.schema.json",
    "contracts/declaration_step.zero.json",
    "contracts/payment_step.ok.expected.json",
    "contracts/payment_step.ok.json",
    "contracts/payment_step.text.json",
    "contracts/payment_step.toml",
    "contracts/payment_step.v1.schema.json",
    "contracts/payment_step.zero.json",
    "models/declarations.toml",
    "models/payments.toml",
    "models/units.toml",
    "views/unpaid_by_step.sql",
];
