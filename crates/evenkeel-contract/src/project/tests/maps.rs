//! Mistakes in what a map says beyond plain fields: listed values, elements, rounding, currencies, expressions.
use super::*;

const CONTRACT: &str = "contracts/order_created.toml";
const PRIORITY: &str = r#"{ from = "/priority", to = "priority", type = "i64", default = 0 }"#;
const ITEMS: &str = r#"{ from = "/line_items", to = "items", type = "array" }"#;

fn with(field: &str, as_written: &str) -> Shop {
    shop().edit(CONTRACT, field, as_written)
}

/// Only the first lines of what is wrong, where the place is not the point.
#[track_caller]
fn finds(shop: Shop, expected: &[&str]) {
    let found = shop.compile().unwrap_err().render(&shop.files, false);
    let found: Vec<_> = found.lines().filter(|line| line.starts_with("error") || line.contains("= help")).collect();
    let found: Vec<_> = found.iter().map(|line| line.trim().trim_start_matches("error: ")).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_map_with_everything_compiles() {
    let shop = with(
        PRIORITY,
        r#"{ from = "/priority", to = "priority", type = "i64", default = "LOW", values = { LOW = 0, HIGH = 9 } },
  { from = "/rate", to = "rate", type = "decimal", optional = true, round = { mode = "half_up", digits = 2 } },
  { from = { extension = "partitionkey" }, to = "shard", type = "text", optional = true },
  { from = { value = "web" }, to = "channel", type = "text" }"#,
    )
    .edit(
        CONTRACT,
        ITEMS,
        r#"{ from = "/line_items", to = "items", type = "array", each = { from = "", type = "i64" } },
  { from = "/parts", to = "parts", type = "array", optional = true, each = [
    { from = "/sku", to = "sku", type = "text" },
    { from = "/price", to = "price", type = "money", currency = { data = "/currency_code" }, round = "half_even" },
    { from = "/fee", to = "fee", type = "money", currency = { value = "JPY" }, default = 0 },
    { from = "/tags", to = "tags", type = "array", each = { from = "", type = "text" }, default = [] },
  ] }"#,
    )
    .edit(
        CONTRACT,
        r#"{ name = "items_not_empty", not_empty = "/data/items" },"#,
        r#"{ name = "items_not_empty", not_empty = "/data/items" },
  { name = "sku_form", cel = "!has(payload.parts) || payload.parts.all(p, p.price.minor > 0)" },
  { name = "id_form", matches = ["/data/order_id", "^o-[0-9]+$"] },
  { name = "adds_up", sum_equals = { over = "/data/items", equals = { value = 1 } } },"#,
    );
    let project = shop.compile().unwrap_or_else(|wrong| panic!("{}", wrong.render(&shop.files, false)));
    let contract = project.gate.contracts().find(|contract| contract.name.as_str() == "order_created").unwrap();
    let shape = contract.shape();
    let kind = |name: &str| shape.fields.get(name).map(|kind| kind.as_str());
    assert_eq!(kind("items[]"), Some("i64"));
    assert_eq!((kind("parts"), kind("parts[].price")), (Some("array"), Some("money")));
    assert_eq!(kind("parts[].tags[]"), Some("text"));
}

#[test]
fn a_listed_value_fits_its_field() {
    with(PRIORITY, r#"{ from = "/priority", to = "priority", type = "i64", values = { LOW = 0, HIGH = "9" } }"#).says(
        r#"
error: what `HIGH` becomes does not fit `priority`: expected an integer of 64 bits, found text "9"
  --> contracts/order_created.toml:11:83
   |
11 |   { from = "/priority", to = "priority", type = "i64", values = { LOW = 0, HIGH = "9" } },
   |                                                                                   ^^^
"#,
    );
    let field = |rest: &str| with(PRIORITY, &format!(r#"{{ from = "/priority", to = "priority", {rest} }}"#));
    finds(
        field(r#"type = "i64", values = { LOW = 0 }, default = 0"#),
        &[
            "the default of `priority` is in raw form, and none of its `values`",
            "= help: write one of the keys of `values`",
        ],
    );
    finds(
        field(r#"type = "i64", values = {}"#),
        &[
            "expected a table of what each raw value becomes, such as { NEW = \"open\", PAID = \"paid\" }, found an empty one: \
           every event would be refused",
        ],
    );
    finds(
        field(r#"type = "array", values = { A = [] }"#),
        &["`values` lists single values, and this field is of type `array`"],
    );
    finds(
        with(PRIORITY, r#"{ from = { value = "LOW" }, to = "priority", type = "i64", values = { LOW = 0 } }"#),
        &["`priority` is a constant, of which `values` makes nothing else"],
    );
}

#[test]
fn rounding_says_how_and_to_what() {
    let total = r#"{ from = "/total_amount", to = "total", type = "money", currency = "/currency_code" }"#;
    let money = |round: &str| {
        with(total, &format!(r#"{{ from = "/t", to = "total", type = "money", currency = "/c", round = {round} }}"#))
    };
    let decimal =
        |round: &str| with(PRIORITY, &format!(r#"{{ from = "/p", to = "p", type = "decimal", round = {round} }}"#));
    finds(
        money(r#"{ mode = "up", digits = 1 }"#),
        &["money has the digits of its currency", "= help: write round = \"up\""],
    );
    finds(
        decimal(r#""up""#),
        &["a decimal is rounded to so many digits", "= help: write round = { mode = \"up\", digits = 2 }"],
    );
    finds(decimal(r#"{ mode = "up" }"#), &["missing `digits`"]);
    finds(decimal(r#"{ mode = "up", digits = 29 }"#), &["expected at most 28 digits, found 29"]);
    finds(
        money(r#""bankers""#),
        &["expected `half_even`, `half_up`, `half_down`, `up`, `down`, `ceiling` or `floor`, found \"bankers\""],
    );
}

#[test]
fn a_constant_currency_is_one() {
    let total = r#"{ from = "/total_amount", to = "total", type = "money", currency = "/currency_code" }"#;
    let money = |from: &str, currency: &str| {
        with(total, &format!(r#"{{ from = {from}, to = "total", type = "money", currency = {currency} }}"#))
    };
    finds(
        money(r#""/t""#, r#"{ value = "EURO" }"#),
        &["expected a currency code of ISO 4217 such as EUR, found \"EURO\""],
    );
    finds(money(r#""/t""#, "{ value = 978 }"), &["expected a currency code such as \"EUR\", found a number"]);
    finds(money(r#""/t""#, r#"{ event = "type" }"#), &["the event's `type` is no currency code"]);
    finds(
        money(r#"{ value = "1.50" }"#, r#"{ value = "JPY" }"#),
        &["the constant for `total`: 1.50 JPY is finer than the currency's 0 decimal digits"],
    );
    finds(
        money(r#""/t""#, r#"{ data = "/c" }"#),
        &["expected a pointer such as \"/order_id\", { event = \"…\" }, { extension = \"…\" } or { value = … }"],
    );
}

#[test]
fn elements_are_checked_like_fields_and_pointers_follow_them() {
    let items = |each: &str| {
        with(ITEMS, &format!(r#"{{ from = "/line_items", to = "items", type = "array", each = {each} }}"#))
    };
    finds(
        items(r#"[{ from = "/sku", to = "sku", type = "text", default = 7 }]"#),
        &["the default of `sku`: expected text, found a number 7"],
    );
    finds(items(r#"[{ from = "/sku", to = "sku", type = "text", colour = 1 }]"#), &["unknown key `colour`"]);
    finds(
        items(r#"[{ from = "/sku", to = "sku", type = "text" }, { from = "/s", to = "sku", type = "text" }]"#),
        &["`sku` is mapped twice"],
    );
    finds(
        items("[]"),
        &[
            "expected the fields of each element such as [{ from = \"/sku\", to = \"sku\", type = \"text\" }], or one value \
           such as { from = \"\", type = \"text\" }",
        ],
    );
    finds(
        with(PRIORITY, r#"{ from = "/p", to = "p", type = "text", each = { from = "", type = "text" } }"#),
        &["`each` belongs to type `array`, not to `text`"],
    );
    let sku = r#"[{ from = "/sku", to = "sku", type = "text" }]"#;
    let demand = |rule: &str| {
        items(sku).edit(
            CONTRACT,
            r#"{ name = "items_not_empty", not_empty = "/data/items" },"#,
            &format!("{{ name = \"n\", {rule} }},"),
        )
    };
    finds(
        demand(r#"gt = ["/data/items/0/skus", 0]"#),
        &["the elements of `items` have no field `skus`; did you mean `sku`?"],
    );
    finds(
        demand(r#"sum_equals = { over = "/data/items", value = "/price", equals = "/data/total" }"#),
        &["the elements of `items` have no field `price`"],
    );
    finds(
        demand(r#"sum_equals = { over = "/data/total", value = "/price", equals = "/data/total" }"#),
        &["`total` is money, which has only `amount` and `currency`"],
    );
    finds(demand(r#"not_empty = "/data/items/0/sku/x""#), &["`items[].sku` is of type text and holds no `x`"]);
}

#[test]
fn rules_that_cannot_be_read_say_why() {
    let rule = |rule: &str| {
        shop().edit(
            CONTRACT,
            r#"{ name = "items_not_empty", not_empty = "/data/items" }"#,
            &format!("{{ name = \"n\", {rule} }}"),
        )
    };
    finds(rule(r#"matches = ["/data/order_id", "("]"#), &["not a usable regular expression: unclosed group"]);
    finds(
        rule(r#"matches = "/data/order_id""#),
        &["expected a pointer and a pattern, such as [\"/data/sku\", \"^[A-Z]+-[0-9]+$\"], found \"/data/order_id\""],
    );
    finds(rule(r#"sum_equals = { over = "/data/items" }"#), &["missing `equals`"]);
    finds(
        rule(r#"cel = "size(payload.itms) > 0""#),
        &["no mapped field of `order_created` is named `itms`", "= help: did you mean `/data/items`?"],
    );
    finds(
        rule(r#"cel = "size(items) > 0""#),
        &["not a usable expression: an expression sees `payload` and `event`, and nothing called `items`"],
    );
    finds(rule("cel = 1"), &["expected a CEL expression such as \"size(payload.items) > 0\", found 1"]);
    finds(
        rule(r#"cel = "size(payload.items) > 0", gt = ["/data/total", 0]"#),
        &["an invariant has one condition; write a second invariant for this one"],
    );
    finds(
        rule(r#"cel = "payload.total.amount > '0'""#),
        &[
            "`/data/total/amount` is a decimal, which is text here: `>` would compare its characters",
            "= help: write scaled(…, digits), which is an exact integer, or use a native condition",
        ],
    );
    finds(
        rule(r#"cel = "payload.total.map(k, k).size() > 0""#),
        &["`/data/total` is an object, whose members have no order", "= help: use `all` or `exists`"],
    );
    finds(
        shop().edit(
            "models/stock.toml",
            r#"not_equals = ["/subject", "test"]"#,
            r#"cel = "true", not_empty = "/subject""#,
        ),
        &[
            "`cel` belongs to the invariants of contracts",
            "= help: a model's conditions are native: gt, ge, lt, le, equals, not_equals, not_empty, one_of, matches",
        ],
    );
}
