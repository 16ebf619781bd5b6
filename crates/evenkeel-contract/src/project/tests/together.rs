//! Contracts that do not fit each other, their sources, their schemas or their examples.
use super::shop;

#[test]
fn a_syntax_error_does_not_stop_other_files() {
    shop()
        .edit("contracts/order_created.toml", "version = 1", "version = = 1")
        .edit("models/stock.toml", r#""i64""#, r#""int""#)
        .says(
            r#"
error: extra `=`
 --> contracts/order_created.toml:2:11
  |
2 | version = = 1
  |           ^ syntax error

error: expected `text`, `i64`, `decimal`, `money`, `iso4217`, `bool`, `timestamp`, `date` or `json`, found "int"
 --> models/stock.toml:7:12
  |
7 | reserved = "int"
  |            ^^^^^
"#,
        );
}

#[test]
fn two_contracts_cannot_take_one_upstream_type() {
    shop()
        .file(
            "contracts/zz.toml",
            r#"contract = "order_created"
version = 1
from = { source = "shop.*", type = "*" }
subject = "/id"
map = [{ from = "/id", to = "order_id", type = "i64" }]
"#,
        )
        .says(
            r#"
error: two contracts give `order_created` version 1 different fields
  --> contracts/zz.toml:1:12
   |
 1 | contract = "order_created"
   |            ^^^^^^^^^^^^^^^
...
 5 | map = [{ from = "/id", to = "order_id", type = "i64" }]
   |                             ---------- i64 here
   |
  ::: contracts/order_created.toml:1:12
   |
 1 | contract = "order_created"
   |            --------------- the other contract
...
 7 |   { from = "/order_id", to = "order_id", type = "text" },
   |                              ---------- text here
 8 |   { from = "/customer_ref", to = "customer_id", type = "text", optional = true },
   |                                  ------------- only here
 9 |   { from = "/line_items", to = "items", type = "array" },
   |                                ------- only here
10 |   { from = "/total_amount", to = "total", type = "money", currency = "/currency_code" },
   |                                  ------- only here
11 |   { from = "/priority", to = "priority", type = "i64", default = 0 },
   |                              ---------- only here
   |
   = help: give one of them another version, or the same fields and types to both

error: two contracts take `OrderPlaced` from `shop.orders`
 --> contracts/zz.toml:3:36
  |
3 | from = { source = "shop.*", type = "*" }
  |                                    ^^^
  |
 ::: contracts/order_created.toml:3:41
  |
3 | from = { source = "shop.orders", type = "OrderPlaced" }
  |                                         ------------- `order_created` takes it here

error: two contracts take `Reserved` from `shop.stock.*`
 --> contracts/zz.toml:3:36
  |
3 | from = { source = "shop.*", type = "*" }
  |                                    ^^^
  |
 ::: contracts/stock_reserved.toml:3:42
  |
3 | from = { source = "shop.stock.*", type = ["Reserved", "Held"] }
  |                                          -------------------- `stock_reserved` takes it here
"#,
        );
}

#[test]
fn a_source_that_nobody_declared_is_an_error() {
    shop()
        .edit("contracts/stock_reserved.toml", r#"source = "shop.stock.*""#, r#"source = "shop.stok""#)
        .edit("contracts/order_created.toml", r#"source = "shop.orders""#, r#"source = "shop.order""#)
        .says(
            r#"
error: no declared source matches `shop.order`, so no event could pass
 --> contracts/order_created.toml:3:19
  |
3 | from = { source = "shop.order", type = "OrderPlaced" }
  |                   ^^^^^^^^^^^^
  |
  = help: did you mean `shop.orders`?

error: no declared source matches `shop.stok`, so no event could pass
 --> contracts/stock_reserved.toml:3:19
  |
3 | from = { source = "shop.stok", type = ["Reserved", "Held"] }
  |                   ^^^^^^^^^^^
  |
  = help: did you mean `shop.stock.*`?
"#,
        );
}

#[test]
fn a_schema_that_is_not_there_is_an_error() {
    shop().edit("contracts/order_created.toml", "order_created.v1.schema.json", "order_created.v2.schema.json").says(
        r#"
error: there is no file contracts/order_created.v2.schema.json
 --> contracts/order_created.toml:4:10
  |
4 | schema = "order_created.v2.schema.json"
  |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: did you mean `contracts/order_created.v1.schema.json`?
"#,
    );
}

#[test]
fn a_schema_is_checked_against_the_meta_schema() {
    shop()
        .edit("contracts/order_created.v1.schema.json", r#""string""#, r#""strnig""#)
        .says(
            r#"
error: not a JSON Schema at /properties/order_id/type: "strnig" is not valid under any of the schemas listed in the 'anyOf' keyword
 --> contracts/order_created.v1.schema.json:4:41
  |
4 |   "properties": { "order_id": { "type": "strnig" } }
  |                                         ^^^^^^^^
  |
 ::: contracts/order_created.toml:4:10
  |
4 | schema = "order_created.v1.schema.json"
  |          ------------------------------ used by this contract
"#,
        );
}

#[test]
fn a_schema_is_json() {
    shop().edit("contracts/order_created.v1.schema.json", r#"["order_id"],"#, r#"["order_id"]"#).says(
        r#"
error: not JSON: expected `,` or `}`
 --> contracts/order_created.v1.schema.json:4:3
  |
4 |   "properties": { "order_id": { "type": "string" } }
  |   ^
  |
 ::: contracts/order_created.toml:4:10
  |
4 | schema = "order_created.v1.schema.json"
  |          ------------------------------ used by this contract
"#,
    );
}

#[test]
fn an_example_shows_what_the_gate_really_does() {
    shop()
        .edit("contracts/order_created.toml", r#"expect = "admit""#, r#"expect = "schema""#)
        .edit("contracts/order_created.toml", r#"expect = "total_positive""#, r#"expect = "admit""#)
        .says(
            r#"
error: contracts/examples/ok.json is expected to give `schema`, and gives `admit`
  --> contracts/order_created.toml:18:41
   |
18 |   { file = "examples/ok.json", expect = "schema" },
   |                                         ^^^^^^^^

error: contracts/examples/zero.json is expected to give `admit`, and gives `total_positive`: the invariant total_positive does not hold at /data/total_amount
  --> contracts/order_created.toml:19:43
   |
19 |   { file = "examples/zero.json", expect = "admit" },
   |                                           ^^^^^^^
"#,
        );
}

#[test]
fn an_example_expects_something_that_exists() {
    shop()
        .edit("contracts/order_created.toml", r#"expect = "total_positive""#, r#"expect = "total_positiv""#)
        .edit("contracts/order_created.toml", r#"expect = "admit""#, r#"expect = "mappin""#)
        .says(
            r#"
error: expected `admit`, a reason of quarantine or an invariant, found "mappin"
  --> contracts/order_created.toml:18:41
   |
18 |   { file = "examples/ok.json", expect = "mappin" },
   |                                         ^^^^^^^^
   |
   = help: did you mean `mapping`?

error: expected `admit`, a reason of quarantine or an invariant, found "total_positiv"
  --> contracts/order_created.toml:19:43
   |
19 |   { file = "examples/zero.json", expect = "total_positiv" },
   |                                           ^^^^^^^^^^^^^^^
   |
   = help: did you mean `total_positive`?
"#,
        );
}

#[test]
fn an_example_is_there() {
    shop().edit("contracts/order_created.toml", "examples/ok.json", "examples/okk.json").says(
        r#"
error: there is no file contracts/examples/okk.json
  --> contracts/order_created.toml:18:12
   |
18 |   { file = "examples/okk.json", expect = "admit" },
   |            ^^^^^^^^^^^^^^^^^^^
   |
   = help: did you mean `contracts/examples/ok.json`?
"#,
    );
}
