//! Mistakes in models.
use super::shop;

#[test]
fn an_event_that_no_contract_makes() {
    shop().edit("models/orders.toml", r#"event = "order_created""#, r#"event = "order_creatd""#).says(
        r#"
error: no contract produces events of type `order_creatd`
  --> models/orders.toml:15:9
   |
15 | event = "order_creatd"
   |         ^^^^^^^^^^^^^^
   |
   = help: did you mean `order_created`?
"#,
    );
}

#[test]
fn a_pointer_that_no_mapped_field_satisfies() {
    shop()
        .edit("models/orders.toml", r#""/data/total""#, r#""/data/totl""#)
        .edit("models/orders.toml", r#"customer_id = "/data/customer_id""#, r#"customer_id = "/customer_id""#)
        .edit("models/orders.toml", r#""/data/items""#, r#""/data/order_id/x""#)
        .edit("models/stock.toml", r#""/subject", "test""#, r#""/subjct", "test""#)
        .says(
            r#"
error: no mapped field of `order_created` is named `totl`
  --> models/orders.toml:17:17
   |
17 | set = { total = "/data/totl", status = { value = "open" } }
   |                 ^^^^^^^^^^^^
   |
  ::: contracts/order_created.toml:1:12
   |
 1 | contract = "order_created"
   |            --------------- `order_created` is declared here
   |
   = help: did you mean `/data/total`?

error: an event has no attribute `customer_id`
  --> models/orders.toml:18:28
   |
18 | set_once = { customer_id = "/customer_id" }
   |                            ^^^^^^^^^^^^^^
   |
   = help: its fields are in its data: `/data/customer_id`

error: `order_id` is of type text and holds no `x`
  --> models/orders.toml:19:17
   |
19 | add = { units = { count = "/data/order_id/x" } }
   |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   |
  ::: contracts/order_created.toml:7:30
   |
 7 |   { from = "/order_id", to = "order_id", type = "text" },
   |                              ---------- `order_id` is mapped here

error: an event has no attribute `subjct`
  --> models/stock.toml:12:24
   |
12 | when = { not_equals = ["/subjct", "test"] }
   |                        ^^^^^^^^^
   |
   = help: did you mean `subject`?
"#,
        );
}

#[test]
fn incompatible_types() {
    shop()
        .edit("models/orders.toml", r#"{ count = "/data/items" }"#, r#""/data/order_id""#)
        .edit("models/orders.toml", r#"total = "/data/total""#, r#"total = "/data/priority""#)
        .edit("models/orders.toml", r#"{ value = "open" }"#, "{ value = 1 }")
        .says(
            r#"
error: expected money for column `total`, found i64
  --> models/orders.toml:17:17
   |
 7 | total = { type = "money", currency = "currency" }
   | ----- `total` is money here
...
17 | set = { total = "/data/priority", status = { value = 1 } }
   |                 ^^^^^^^^^^^^^^^^
   |
  ::: contracts/order_created.toml:11:30
   |
11 |   { from = "/priority", to = "priority", type = "i64", default = 0 },
   |                              ---------- mapped as i64 here

error: the constant does not fit column `status`: expected text, found a number 1
  --> models/orders.toml:17:44
   |
10 | status = "text"
   | ------ text here
...
17 | set = { total = "/data/priority", status = { value = 1 } }
   |                                            ^^^^^^^^^^^^^

error: expected i64 for column `units`, found text
  --> models/orders.toml:19:17
   |
 9 | units = { type = "i64", merge = "pn_counter" }
   | ----- `units` is i64 here
...
19 | add = { units = "/data/order_id" }
   |                 ^^^^^^^^^^^^^^^^
   |
  ::: contracts/order_created.toml:7:30
   |
 7 |   { from = "/order_id", to = "order_id", type = "text" },
   |                              ---------- mapped as text here
"#,
        );
}

#[test]
fn only_arrays_are_fanned_out_over_or_counted() {
    shop()
        .edit("models/stock.toml", r#"over = "/data/lines""#, r#"over = "/data/at""#)
        .edit("models/orders.toml", r#"count = "/data/items""#, r#"count = "/data/priority""#)
        .says(
            r#"
error: expected an array or object to count, found i64
  --> models/orders.toml:19:17
   |
19 | add = { units = { count = "/data/priority" } }
   |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   |
  ::: contracts/order_created.toml:11:30
   |
11 |   { from = "/priority", to = "priority", type = "i64", default = 0 },
   |                              ---------- mapped as i64 here

error: expected an array to fan out over, found timestamp
  --> models/stock.toml:13:17
   |
13 | each = { over = "/data/at", key = ["/sku", "/location"], add = { reserved = "/qty" }, max = { last_at = { event = "/data/at" } } }
   |                 ^^^^^^^^^^
   |
  ::: contracts/stock_reserved.toml:8:37
   |
 8 |   { from = { event = "time" }, to = "at", type = "timestamp" },
   |                                     ---- mapped as timestamp here
"#,
        );
}

#[test]
fn a_currency_is_written_with_its_amount() {
    shop().edit("models/orders.toml", r#"status = { value = "open" }"#, r#"currency = { value = "EUR" }"#).says(
        r#"
error: `currency` is written together with `total`, not by itself
  --> models/orders.toml:17:32
   |
 7 | total = { type = "money", currency = "currency" }
   | ----- its money column
...
17 | set = { total = "/data/total", currency = { value = "EUR" } }
   |                                ^^^^^^^^
"#,
    );
}

#[test]
fn only_numbers_are_added() {
    shop()
        .edit(
            "models/orders.toml",
            r#"add = { units = { count = "/data/items" } }"#,
            "add = { status = { value = 1 } }",
        )
        .says(
            r#"
error: `add` needs a number, and `status` is text
  --> models/orders.toml:19:9
   |
10 | status = "text"
   | ------ declared here
...
19 | add = { status = { value = 1 } }
   |         ^^^^^^

error: two operations on `status` in one clause
  --> models/orders.toml:19:9
   |
17 | set = { total = "/data/total", status = { value = "open" } }
   |                                ------ the first
18 | set_once = { customer_id = "/data/customer_id" }
19 | add = { status = { value = 1 } }
   |         ^^^^^^
"#,
        );
}

#[test]
fn the_key_is_not_written() {
    shop().edit("models/orders.toml", r#"status = { value = "open" }"#, r#"order_id = "/subject""#).says(
        r#"
error: `order_id` is part of the key, which names the row and is not written
  --> models/orders.toml:17:32
   |
17 | set = { total = "/data/total", order_id = "/subject" }
   |                                ^^^^^^^^
"#,
    );
}

#[test]
fn a_column_is_written_once_in_a_clause() {
    shop()
        .edit("models/orders.toml", "set_once = { customer_id", r#"set_once = { total = "/data/total", customer_id"#)
        .says(
            r#"
error: two operations on `total` in one clause
  --> models/orders.toml:18:14
   |
17 | set = { total = "/data/total", status = { value = "open" } }
   |         ----- the first
18 | set_once = { total = "/data/total", customer_id = "/data/customer_id" }
   |              ^^^^^
"#,
        );
}

#[test]
fn a_column_that_is_not_there() {
    shop().edit("models/orders.toml", "status = { value", "statu = { value").says(
        r#"
error: there is no column `statu`
  --> models/orders.toml:17:32
   |
17 | set = { total = "/data/total", statu = { value = "open" } }
   |                                ^^^^^
   |
   = help: did you mean `status`?
"#,
    );
}

#[test]
fn a_clause_does_something() {
    shop()
        .edit("models/stock.toml", r#", add = { reserved = "/qty" }, max = { last_at = { event = "/data/at" } }"#, "")
        .edit(
            "models/orders.toml",
            "set_once = {",
            r#"delete = true
set_once = {"#,
        )
        .says(
            r#"
error: a clause that deletes the row cannot change it too
  --> models/orders.toml:18:10
   |
18 | delete = true
   |          ^^^^

error: this clause does nothing
  --> models/stock.toml:13:8
   |
13 | each = { over = "/data/lines", key = ["/sku", "/location"] }
   |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   |
   = help: add one of `set`, `set_once`, `add`, `min`, `max`, `insert`, `remove`, `delete`, `each`
"#,
        );
}

#[test]
fn nothing_stands_beside_each() {
    shop()
        .edit("models/stock.toml", "each = {", r#"key = "/subject"
each = {"#)
        .says(
            r#"
error: `key` cannot stand beside `each`
  --> models/stock.toml:13:1
   |
13 | key = "/subject"
   | ^^^
14 | each = { over = "/data/lines", key = ["/sku", "/location"], add = { reserved = "/qty" }, max = { last_at = { event = "/data/at" } } }
   | ---- this clause fans out
   |
   = help: put it inside `each`, or into an [[on]] of its own
"#,
        );
}

#[test]
fn a_constant_is_written_as_one() {
    shop()
        .edit("models/orders.toml", r#"{ value = "open" }"#, r#""open""#)
        .edit("models/orders.toml", r#"{ count = "/data/items" }"#, "1")
        .says(
            r#"
error: expected a pointer that starts with `/`, found "open"
  --> models/orders.toml:17:41
   |
17 | set = { total = "/data/total", status = "open" }
   |                                         ^^^^^^
   |
   = help: a constant is written { value = "open" }

error: expected a pointer that starts with `/`, found 1
  --> models/orders.toml:19:17
   |
19 | add = { units = 1 }
   |                 ^
   |
   = help: a constant is written { value = 1 }
"#,
        );
}

#[test]
fn what_is_not_built_yet_is_refused() {
    shop().edit("models/stock.toml", "each = {", r#"each = { when = { equals = ["/a", 1] },"#).says(
        r#"
error: `when` is not supported yet
  --> models/stock.toml:13:10
   |
13 | each = { when = { equals = ["/a", 1] }, over = "/data/lines", key = ["/sku", "/location"], add = { reserved = "/qty" }, max = { last...
   |          ^^^^
"#,
    );
}

#[test]
fn an_attribute_has_a_name() {
    shop()
        .edit("models/stock.toml", r#"{ event = "/data/at" }"#, r#"{ event = "tme" }"#)
        .says(
            r#"
error: expected `type`, `time`, `id`, `subject`, `position`, `recorded_time` or a pointer into the event, found "tme"
  --> models/stock.toml:13:118
   |
13 | each = { over = "/data/lines", key = ["/sku", "/location"], add = { reserved = "/qty" }, max = { last_at = { event = "tme" } } }
   |                                                                                                                      ^^^^^
   |
   = help: did you mean `time`?
"#,
        );
}

#[test]
fn an_unused_event_type_is_only_warned_about() {
    shop().without("models/stock.toml").warns(
        r#"
warning: no model uses `stock_reserved`
 --> contracts/stock_reserved.toml:1:12
  |
1 | contract = "stock_reserved"
  |            ^^^^^^^^^^^^^^^^
"#,
    );
}

#[test]
fn a_broken_contract_is_not_blamed_on_models() {
    shop().edit("contracts/order_created.toml", "version = 1", "version = ").says(
        r#"
error: expected a value
 --> contracts/order_created.toml:2:11
  |
2 | version = 
  |           ^ syntax error
"#,
    );
}

#[test]
fn a_counter_that_only_grows_takes_nothing_negative() {
    shop()
        .edit("models/orders.toml", r#"merge = "pn_counter""#, r#"merge = "g_counter""#)
        .edit("models/orders.toml", r#"{ count = "/data/items" }"#, "{ value = -1 }")
        .says(
            r#"
error: a `g_counter` only grows, and cannot take -1
  --> models/orders.toml:19:17
   |
19 | add = { units = { value = -1 } }
   |                 ^^^^^^^^^^^^^^
"#,
        );
}

#[test]
fn pointers_go_only_where_there_is_something() {
    shop()
        .edit("models/orders.toml", r#"total = "/data/total""#, r#"total = "/data/total/cents""#)
        .edit("models/orders.toml", r#"count = "/data/items""#, r#"count = "/data/items/first""#)
        .edit("models/orders.toml", r#""/data/customer_id""#, r#""/subject/x""#)
        .says(
            r#"
error: `total` is money, which has only `amount` and `currency`
  --> models/orders.toml:17:17
   |
17 | set = { total = "/data/total/cents", status = { value = "open" } }
   |                 ^^^^^^^^^^^^^^^^^^^
   |
  ::: contracts/order_created.toml:10:34
   |
10 |   { from = "/total_amount", to = "total", type = "money", currency = "/currency_code" },
   |                                  ------- `total` is mapped here

error: `subject` is text and holds no `x`
  --> models/orders.toml:18:28
   |
18 | set_once = { customer_id = "/subject/x" }
   |                            ^^^^^^^^^^^^

error: `items` is an array, and `first` is no index
  --> models/orders.toml:19:17
   |
19 | add = { units = { count = "/data/items/first" } }
   |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   |
  ::: contracts/order_created.toml:9:32
   |
 9 |   { from = "/line_items", to = "items", type = "array" },
   |                                ------- `items` is mapped here
"#,
        );
}

#[test]
fn a_constant_amount_is_money() {
    shop()
        .edit(
            "models/orders.toml",
            r#"total = "/data/total""#,
            r#"total = { value = { amount = "1.005", currency = "EUR" } }"#,
        )
        .says(
            r#"
error: the constant does not fit column `total`: 1.005 EUR is finer than the currency's 2 decimal digits
  --> models/orders.toml:17:17
   |
 7 | total = { type = "money", currency = "currency" }
   | ----- money here
...
17 | set = { total = { value = { amount = "1.005", currency = "EUR" } }, status = { value = "open" } }
   |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
"#,
        );
}

#[test]
fn a_wrong_operand_is_told() {
    shop()
        .edit("models/orders.toml", r#"{ value = "open" }"#, r#"{ value = "open", event = "type" }"#)
        .edit("models/orders.toml", r#"{ count = "/data/items" }"#, "{ count = { value = 1 } }")
        .edit("models/orders.toml", r#""/data/customer_id""#, r#""/data/~x""#)
        .says(
            r#"
error: expected exactly one of `value`, `event`, `count`
  --> models/orders.toml:17:41
   |
17 | set = { total = "/data/total", status = { value = "open", event = "type" } }
   |                                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

error: expected a JSON pointer, found "/data/~x"
  --> models/orders.toml:18:28
   |
18 | set_once = { customer_id = "/data/~x" }
   |                            ^^^^^^^^^^
   |
   = help: in a JSON pointer `~` is written `~0`

error: expected a pointer to what is counted
  --> models/orders.toml:19:27
   |
19 | add = { units = { count = { value = 1 } } }
   |                           ^^^^^^^^^^^^^
"#,
        );
}
