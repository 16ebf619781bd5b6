//! Mistakes in contracts, their schemas and examples.
use super::shop;

#[test]
fn a_missing_key_is_named() {
    shop()
        .edit(
            "contracts/stock_reserved.toml",
            r#"version = 1
"#,
            "",
        )
        .edit("contracts/stock_reserved.toml", r#"type = ["Reserved", "Held"]"#, "")
        .edit("contracts/stock_reserved.toml", r#"to = "at", "#, "")
        .says(
            r#"
error: missing `version`
 --> contracts/stock_reserved.toml:1:1
  |
1 | contract = "stock_reserved"
  | ^

error: missing `type`
 --> contracts/stock_reserved.toml:2:8
  |
2 | from = { source = "shop.stock.*",  }
  |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

error: missing `to`
 --> contracts/stock_reserved.toml:7:3
  |
7 |   { from = { event = "time" }, type = "timestamp" },
  |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
"#,
        );
}

#[test]
fn a_field_type_is_one_of_the_known() {
    shop()
        .edit("contracts/order_created.toml", r#"type = "i64""#, r#"type = "integer""#)
        .edit("contracts/order_created.toml", r#"type = "array""#, r#"type = "aray""#)
        .says(
            r#"
error: expected `text`, `i64`, `decimal`, `money`, `iso4217`, `bool`, `timestamp`, `date`, `json`, `array` or `object`, found "aray"
 --> contracts/order_created.toml:9:48
  |
9 |   { from = "/line_items", to = "items", type = "aray" },
  |                                                ^^^^^^
  |
  = help: did you mean `array`?

error: expected `text`, `i64`, `decimal`, `money`, `iso4217`, `bool`, `timestamp`, `date`, `json`, `array` or `object`, found "integer"
  --> contracts/order_created.toml:11:49
   |
11 |   { from = "/priority", to = "priority", type = "integer", default = 0 },
   |                                                 ^^^^^^^^^
"#,
        );
}

#[test]
fn money_needs_a_currency() {
    shop().edit("contracts/order_created.toml", r#", currency = "/currency_code""#, "").says(
        r#"
error: money without a currency
  --> contracts/order_created.toml:10:50
   |
10 |   { from = "/total_amount", to = "total", type = "money" },
   |                                                  ^^^^^^^
   |
   = help: add `currency`, a pointer to the currency's code in the raw data, or { value = "EUR" }
"#,
    );
}

#[test]
fn a_currency_belongs_to_money() {
    shop().edit("contracts/order_created.toml", r#"type = "array""#, r#"type = "array", currency = "/c""#).says(
        r#"
error: `currency` belongs to type `money`, not to `array`
 --> contracts/order_created.toml:9:68
  |
9 |   { from = "/line_items", to = "items", type = "array", currency = "/c" },
  |                                                                    ^^^^
"#,
    );
}

#[test]
fn a_pointer_starts_with_a_slash() {
    shop()
        .edit("contracts/order_created.toml", r#"from = "/priority""#, r#"from = "priority""#)
        .edit("contracts/order_created.toml", r#"subject = "/order_id""#, r#"subject = { value = "x" }"#)
        .says(
            r#"
error: expected a pointer such as "/order_id" or { event = "subject" }
 --> contracts/order_created.toml:5:11
  |
5 | subject = { value = "x" }
  |           ^^^^^^^^^^^^^^^

error: expected a pointer such as "/order_id", { event = "…" }, { extension = "…" } or { value = … }, found "priority"
  --> contracts/order_created.toml:11:12
   |
11 |   { from = "priority", to = "priority", type = "i64", default = 0 },
   |            ^^^^^^^^^^
"#,
        );
}

#[test]
fn a_field_is_mapped_once() {
    shop().edit("contracts/order_created.toml", r#"to = "priority""#, r#"to = "items""#).says(
        r#"
error: `items` is mapped twice
  --> contracts/order_created.toml:11:30
   |
 9 |   { from = "/line_items", to = "items", type = "array" },
   |                                ------- first mapped here
10 |   { from = "/total_amount", to = "total", type = "money", currency = "/currency_code" },
11 |   { from = "/priority", to = "items", type = "i64", default = 0 },
   |                              ^^^^^^^
"#,
    );
}

#[test]
fn an_invariant_points_into_the_translated_event() {
    shop()
        .edit("contracts/order_created.toml", r#""/data/total", 0"#, r#""/data/totl", 0"#)
        .edit("contracts/order_created.toml", r#"not_empty = "/data/items""#, r#"not_empty = "/items""#)
        .says(
            r#"
error: no mapped field of `order_created` is named `totl`
  --> contracts/order_created.toml:14:36
   |
 1 | contract = "order_created"
   |            --------------- `order_created` is declared here
...
14 |   { name = "total_positive", gt = ["/data/totl", 0] },
   |                                    ^^^^^^^^^^^^
   |
   = help: did you mean `/data/total`?

error: an event has no attribute `items`
  --> contracts/order_created.toml:15:43
   |
15 |   { name = "items_not_empty", not_empty = "/items" },
   |                                           ^^^^^^^^
   |
   = help: its fields are in its data: `/data/items`
"#,
        );
}

#[test]
fn an_invariant_has_one_condition_and_two_operands() {
    shop()
        .edit("contracts/order_created.toml", r#"gt = ["/data/total", 0]"#, r#"gt = ["/data/total"]"#)
        .edit("contracts/order_created.toml", r#", not_empty = "/data/items""#, "")
        .says(
            r#"
error: expected two operands such as ["/data/total", 0], found 1
  --> contracts/order_created.toml:14:35
   |
14 |   { name = "total_positive", gt = ["/data/total"] },
   |                                   ^^^^^^^^^^^^^^^

error: this invariant demands nothing
  --> contracts/order_created.toml:15:3
   |
15 |   { name = "items_not_empty" },
   |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   |
   = help: add one of `gt`, `ge`, `lt`, `le`, `equals`, `not_equals`, `not_empty`, `one_of`, `matches`, `sum_equals`, `cel`
"#,
        );
}

#[test]
fn rounding_and_expressions_fit_their_types() {
    shop()
        .edit("contracts/order_created.toml", r#"gt = ["/data/total", 0]"#, r#"cel = "payload.total > 0""#)
        .edit("contracts/order_created.toml", "default = 0", r#"default = 0, round = "half_even""#)
        .says(
            r#"
error: `round` belongs to types `money` and `decimal`, not to `i64`
  --> contracts/order_created.toml:11:69
   |
11 |   { from = "/priority", to = "priority", type = "i64", default = 0, round = "half_even" },
   |                                                                     ^^^^^

error: `/data/total` is money, which `>` does not take
  --> contracts/order_created.toml:14:36
   |
14 |   { name = "total_positive", cel = "payload.total > 0" },
   |                                    ^^^^^^^^^^^^^^^^^^^
   |
   = help: its minor units are an integer: add `.minor`
"#,
        );
}

#[test]
fn constants_and_defaults_fit_their_type() {
    shop()
        .edit("contracts/order_created.toml", "default = 0", r#"default = "high""#)
        .edit("contracts/stock_reserved.toml", r#"{ event = "time" }, to = "at", type = "timestamp""#, r#"{ event = "time" }, to = "at", type = "i64""#)
        .says(
            r#"
error: the default of `priority`: expected an integer of 64 bits, found text "high"
  --> contracts/order_created.toml:11:66
   |
11 |   { from = "/priority", to = "priority", type = "i64", default = "high" },
   |                                                                  ^^^^^^

error: `at` is of type i64, which the event's `time` cannot become
 --> contracts/stock_reserved.toml:8:12
  |
8 |   { from = { event = "time" }, to = "at", type = "i64" },
  |            ^^^^^^^^^^^^^^^^^^       ---- i64 here

error: expected timestamp for column `last_at`, found i64
  --> models/stock.toml:13:108
   |
 8 | last_at = "timestamp"
   | ------- `last_at` is timestamp here
...
13 | each = { over = "/data/lines", key = ["/sku", "/location"], add = { reserved = "/qty" }, max = { last_at = { event = "/data/at" } } }
   |                                                                                                            ^^^^^^^^^^^^^^^^^^^^^^
   |
  ::: contracts/stock_reserved.toml:8:37
   |
 8 |   { from = { event = "time" }, to = "at", type = "i64" },
   |                                     ---- mapped as i64 here
"#,
        );
}

#[test]
fn words_are_checked() {
    shop().edit("contracts/stock_reserved.toml", r#""skip""#, r#""skp""#).says(
        r#"
error: expected `park_key`, `skip` or `halt_source`, found "skp"
 --> contracts/stock_reserved.toml:5:17
  |
5 | on_quarantine = "skp"
  |                 ^^^^^
  |
  = help: did you mean `skip`?
"#,
    );
}

#[test]
fn types_are_listed_once() {
    shop().edit("contracts/stock_reserved.toml", r#""Reserved", "Held""#, r#""Reserved", "*", "Reserved""#).says(
        r#"
error: `*` cannot stand in a list
 --> contracts/stock_reserved.toml:3:55
  |
3 | from = { source = "shop.stock.*", type = ["Reserved", "*", "Reserved"] }
  |                                                       ^^^
  |
  = help: write type = "*"

error: `Reserved` is listed twice
 --> contracts/stock_reserved.toml:3:60
  |
3 | from = { source = "shop.stock.*", type = ["Reserved", "*", "Reserved"] }
  |                                           ----------       ^^^^^^^^^^
  |                                           |
  |                                           first listed here
"#,
    );
}

#[test]
fn invariants_have_names_of_their_own() {
    shop().edit("contracts/order_created.toml", r#""items_not_empty""#, r#""total_positive""#).says(
        r#"
error: the invariant `total_positive` is declared twice
  --> contracts/order_created.toml:15:12
   |
14 |   { name = "total_positive", gt = ["/data/total", 0] },
   |            ---------------- first declared here
15 |   { name = "total_positive", not_empty = "/data/items" },
   |            ^^^^^^^^^^^^^^^^
"#,
    );
}

#[test]
fn an_invariant_is_not_named_like_an_outcome() {
    shop().edit("contracts/order_created.toml", r#""items_not_empty""#, r#""schema""#).says(
        r#"
error: an invariant cannot be named `schema`
  --> contracts/order_created.toml:15:12
   |
15 |   { name = "schema", not_empty = "/data/items" },
   |            ^^^^^^^^
"#,
    );
}

#[test]
fn a_list_of_allowed_values_is_a_list() {
    shop()
        .edit(
            "contracts/order_created.toml",
            r#"not_empty = "/data/items""#,
            r#"one_of = ["/data/order_id", "a", "b"]"#,
        )
        .says(
            r#"
error: expected a pointer and its allowed values, such as ["/data/status", ["open", "paid"]]
  --> contracts/order_created.toml:15:40
   |
15 |   { name = "items_not_empty", one_of = ["/data/order_id", "a", "b"] },
   |                                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
"#,
        );
}

#[test]
fn a_condition_looks_at_the_event() {
    shop().edit("contracts/order_created.toml", r#"gt = ["/data/total", 0]"#, r#"gt = ["data/total", 0]"#).says(
        r#"
error: no operand is a pointer into the event
  --> contracts/order_created.toml:14:35
   |
14 |   { name = "total_positive", gt = ["data/total", 0] },
   |                                   ^^^^^^^^^^^^^^^^^
   |
   = help: pointers start with `/`, as in "/data/total"
"#,
    );
}

#[test]
fn a_default_of_money_is_an_amount() {
    shop()
        .edit(
            "contracts/order_created.toml",
            r#"currency = "/currency_code""#,
            r#"currency = "/currency_code", default = "free""#,
        )
        .edit("contracts/order_created.toml", r#"from = "/line_items""#, r#"from = { value = "none" }"#)
        .says(
            r#"
error: the constant for `items`: expected an array, found text
 --> contracts/order_created.toml:9:12
  |
9 |   { from = { value = "none" }, to = "items", type = "array" },
  |            ^^^^^^^^^^^^^^^^^^

error: the default of `total`: expected an exact decimal, found text "free"
  --> contracts/order_created.toml:10:98
   |
10 |   { from = "/total_amount", to = "total", type = "money", currency = "/currency_code", default = "free" },
   |                                                                                                  ^^^^^^
"#,
        );
}

#[test]
fn an_event_type_is_one_word() {
    shop().edit("contracts/stock_reserved.toml", r#""stock_reserved""#, r#""stock reserved""#).says(
        r#"
error: expected an event type without white space, such as "order_created"
 --> contracts/stock_reserved.toml:1:12
  |
1 | contract = "stock reserved"
  |            ^^^^^^^^^^^^^^^^

error: no contract produces events of type `stock_reserved`
  --> models/stock.toml:11:9
   |
11 | event = "stock_reserved"
   |         ^^^^^^^^^^^^^^^^
   |
   = help: did you mean `stock reserved`?
"#,
    );
}
