//! Mistakes in the columns and the key of a model.
use super::shop;

#[test]
fn a_key_that_may_be_missing() {
    shop().edit("models/orders.toml", r#"key = "/subject""#, r#"key = "/data/customer_id""#).says(
        r#"
error: a key needs a value that is always there, and this one may be missing
  --> models/orders.toml:16:7
   |
16 | key = "/data/customer_id"
   |       ^^^^^^^^^^^^^^^^^^^
   |
  ::: contracts/order_created.toml:8:34
   |
 8 |   { from = "/customer_ref", to = "customer_id", type = "text", optional = true },
   |                                  ------------- not there in every event
"#,
    );
}

#[test]
fn a_key_with_another_number_of_columns() {
    shop()
        .edit("models/stock.toml", r#"key = ["/sku", "/location"]"#, r#"key = "/sku""#)
        .says(
            r#"
error: the key has 2 columns, and here is 1 value
  --> models/stock.toml:13:38
   |
13 | each = { over = "/data/lines", key = "/sku", add = { reserved = "/qty" }, max = { last_at = { event = "/data/at" } } }
   |                                      ^^^^^^
"#,
        );
}

#[test]
fn a_key_names_columns() {
    shop()
        .edit("models/stock.toml", r#"["sku", "location"]"#, r#"["sku", "locaton"]"#)
        .edit("models/orders.toml", r#"key = "order_id""#, r#"key = "total""#)
        .says(
            r#"
error: a key column is `text`, `i64`, `date` or `iso4217`, not `money`
 --> models/orders.toml:3:7
  |
3 | key = "total"
  |       ^^^^^^^
...
7 | total = { type = "money", currency = "currency" }
  |                  ------- declared here

error: there is no column `locaton`
 --> models/stock.toml:3:15
  |
3 | key = ["sku", "locaton"]
  |               ^^^^^^^^^
  |
  = help: did you mean `location`?
"#,
        );
}

#[test]
fn a_column_given_twice() {
    shop()
        .edit(
            "models/orders.toml",
            r#"status = "text"
"#,
            r#"status = "text"
order_id = "i64"
"#,
        )
        .says(
            r#"
error: `order_id` is given twice
  --> models/orders.toml:11:1
   |
 5 | order_id = "text"
   | -------- first given here
...
11 | order_id = "i64"
   | ^^^^^^^^
"#,
        );
}

#[test]
fn reserved_names() {
    shop()
        .edit(
            "models/orders.toml",
            r#"status = "text""#,
            r#"status = "text"
total_minor = "i64"
_ek_x = "text"
Foo = "text""#,
        )
        .edit("models/stock.toml", r#"model = "stock""#, r#"model = "sqlite_stock""#)
        .says(
            r#"
error: `total_minor` is reserved for the minor units of `total`
  --> models/orders.toml:11:1
   |
 7 | total = { type = "money", currency = "currency" }
   | ----- this is money
...
11 | total_minor = "i64"
   | ^^^^^^^^^^^

error: names that start with `_ek` are reserved for Evenkeel's own bookkeeping
  --> models/orders.toml:12:1
   |
12 | _ek_x = "text"
   | ^^^^^

error: a column's name is made of lower-case letters, digits and `_`, and starts with no digit
  --> models/orders.toml:13:1
   |
13 | Foo = "text"
   | ^^^
   |
   = help: for example `foo`

error: names that start with `sqlite_` are reserved
 --> models/stock.toml:1:9
  |
1 | model = "sqlite_stock"
  |         ^^^^^^^^^^^^^^
"#,
        );
}

#[test]
fn two_models_of_one_name() {
    shop().edit("models/stock.toml", r#"model = "stock""#, r#"model = "orders""#).says(
        r#"
error: two models are named `orders`
 --> models/stock.toml:1:9
  |
1 | model = "orders"
  |         ^^^^^^^^
  |
 ::: models/orders.toml:1:9
  |
1 | model = "orders"
  |         -------- the first
"#,
    );
}

#[test]
fn money_has_a_currency_column() {
    shop().edit("models/orders.toml", r#"{ type = "money", currency = "currency" }"#, r#""money""#).says(
        r#"
error: money without a currency column
 --> models/orders.toml:7:9
  |
7 | total = "money"
  |         ^^^^^^^
  |
  = help: write { type = "money", currency = "currency" } and declare currency = "iso4217"
"#,
    );
}

#[test]
fn a_currency_column_is_iso4217_and_of_one_amount() {
    shop()
        .edit(
            "models/orders.toml",
            r#"currency = "iso4217""#,
            r#"currency = "iso4217"
tax = { type = "money", currency = "currency" }
fee = { type = "money", currency = "status" }"#,
        )
        .says(
            r#"
error: `currency` is the currency of another column already
 --> models/orders.toml:9:36
  |
7 | total = { type = "money", currency = "currency" }
  | ----- of this one
8 | currency = "iso4217"
9 | tax = { type = "money", currency = "currency" }
  |                                    ^^^^^^^^^^
  |
  = help: amount and currency are written as one: give each amount its own currency column

error: the currency column `status` is `text`, not `iso4217`
  --> models/orders.toml:10:36
   |
10 | fee = { type = "money", currency = "status" }
   |                                    ^^^^^^^^
11 | units = { type = "i64", merge = "pn_counter" }
12 | status = "text"
   |          ------ declared here
"#,
        );
}

#[test]
fn a_wrong_level_and_a_wrong_threshold() {
    shop()
        .edit(
            "models/orders.toml",
            "version = 1",
            r#"version = 0
require = "stron""#,
        )
        .edit("models/orders.toml", "max_lag_events = 7", "max_lag_event = 7")
        .says(
            r#"
error: expected a version of at least 1, found 0
 --> models/orders.toml:2:11
  |
2 | version = 0
  |           ^

error: expected `eventual`, `bounded`, `monotonic`, `causal` or `strong`, found "stron"
 --> models/orders.toml:3:11
  |
3 | require = "stron"
  |           ^^^^^^^
  |
  = help: did you mean `strong`?

error: unknown key `max_lag_event`
  --> models/orders.toml:13:1
   |
13 | max_lag_event = 7
   | ^^^^^^^^^^^^^
   |
   = help: did you mean `max_lag_events`?
"#,
        );
}

#[test]
fn merges_fit_their_types() {
    shop()
        .edit("models/orders.toml", r#"status = "text""#, r#"status = { type = "text", merge = "g_counter" }"#)
        .edit("models/orders.toml", r#"merge = "pn_counter""#, r#"merge = "pn_count""#)
        .says(
            r#"
error: expected `lww`, `g_counter`, `pn_counter`, `max`, `min`, `or_set`, `mv` or `version`, found "pn_count"
 --> models/orders.toml:9:33
  |
9 | units = { type = "i64", merge = "pn_count" }
  |                                 ^^^^^^^^^^
  |
  = help: did you mean `pn_counter`?

error: a column of type `text` cannot merge as `g_counter`
  --> models/orders.toml:10:35
   |
10 | status = { type = "text", merge = "g_counter" }
   |                                   ^^^^^^^^^^^
"#,
        );
}

#[test]
fn a_table_is_headed_twice() {
    shop()
        .edit(
            "models/orders.toml",
            "[drift]",
            r#"[columns]
x = "text"
[drift]"#,
        )
        .says(
            r#"
error: `columns` is given twice
  --> models/orders.toml:11:2
   |
11 | [columns]
   |  ^^^^^^^
"#,
        );
}

#[test]
fn a_key_that_another_version_of_the_event_lacks() {
    let second = r#"contract = "order_created"
version = 2
from = { source = "shop.orders", type = "OrderPlacedV2" }
subject = "/id"
map = [{ from = "/customer", to = "customer_id", type = "text" }]
"#;
    shop()
        .file("contracts/order_created_v2.toml", second)
        .edit("models/orders.toml", r#"key = "/subject""#, r#"key = "/data/order_id""#)
        .says(
            r#"
error: a key needs a value that is always there, and this one may be missing
  --> models/orders.toml:16:7
   |
16 | key = "/data/order_id"
   |       ^^^^^^^^^^^^^^^^
   |
  ::: contracts/order_created.toml:7:30
   |
 7 |   { from = "/order_id", to = "order_id", type = "text" },
   |                              ---------- not there in every event
"#,
        );
}
