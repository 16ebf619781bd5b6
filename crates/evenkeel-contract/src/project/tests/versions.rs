//! Versions of a contract beside each other: which decides, what an upcast makes, and mistakes between them.
use super::*;
use evenkeel_core::{Draft, intake::Verdict, quarantine::Refusal};

const V1: &str = r#"contract = "price_set"
version = 1
from = { source = "shop.orders", type = "PriceSet" }
subject = "/sku"
schema = "v1.json"
map = [
  { from = "/sku", to = "sku", type = "text" },
  { from = "/price", to = "price", type = "decimal" },
  { from = "/tags", to = "tags", type = "array", each = { from = "/t", type = "text" }, default = [] },
]
"#;

const V2: &str = r#"contract = "price_set"
version = 2
from = { source = "shop.orders", type = "PriceSet" }
subject = "/sku"
schema = "v2.json"
map = [
  { from = "/sku", to = "sku", type = "text" },
  { from = "/price/value", to = "price", type = "money", currency = "/price/unit" },
  { from = "/tags", to = "tags", type = "array", each = { from = "", type = "text" }, default = [] },
]
invariant = [{ name = "positive", gt = ["/data/price", 0] }, { name = "tags", cel = "payload.tags.all(t, t != 'bad')" }]
[upcast]
from = 1
keep = ["sku", "tags"]
map = [{ from = "/price", to = "price", type = "money", currency = { value = "EUR" } }]
"#;

const V3: &str = r#"contract = "price_set"
version = 3
from = { source = "shop.orders", type = "PriceSet" }
subject = "/sku"
schema = "v3.json"
map = [{ from = "/article", to = "article", type = "text" }]
[upcast]
from = 2
map = [{ from = "/sku", to = "article", type = "text" }]
"#;

fn versions(files: &[(&str, &str)]) -> Shop {
    let mut shop = shop()
        .file(
            "contracts/v1.json",
            r#"{"properties": {"price": {"type": ["string", "number"]}}, "required": ["price"]}"#,
        )
        .file("contracts/v2.json", r#"{"properties": {"price": {"type": "object"}}, "required": ["price"]}"#)
        .file("contracts/v3.json", r#"{"required": ["article"]}"#);
    for (path, text) in files {
        shop = shop.file(path, *text);
    }
    shop
}

const TWO: [(&str, &str); 2] = [("contracts/price_set.v1.toml", V1), ("contracts/price_set.v2.toml", V2)];

fn decide(shop: &Shop, data: &str) -> Result<Draft, Box<Refusal>> {
    let project = shop.compile().unwrap_or_else(|wrong| panic!("{}", wrong.render(&shop.files, false)));
    let raw = format!(r#"{{"specversion":"1.0","id":"1","source":"shop.orders","type":"PriceSet","data":{data}}}"#);
    match project.gate.decide(raw.into_bytes(), None).unwrap().arrival.verdict {
        Verdict::Admit(draft) => Ok(draft),
        Verdict::Quarantine(refusal) => Err(Box::new(refusal)),
    }
}

#[test]
fn the_highest_version_whose_schema_accepts_decides() {
    let shop = versions(&TWO);
    let new = decide(&shop, r#"{"sku":"A","price":{"value":"1.50","unit":"USD"}}"#).unwrap();
    assert_eq!(
        (new.contract_version, new.data.to_string().as_str()),
        (2, r#"{"price":{"amount":"1.50","currency":"USD"},"sku":"A","tags":[]}"#)
    );
    let none = decide(&shop, r#"{"sku":"A"}"#).unwrap_err();
    assert_eq!((none.reason.as_str(), none.contract.unwrap().version), ("schema", 2), "{}", none.detail);
    let mapped = decide(&shop, r#"{"sku":"A","price":{"value":"1.505","unit":"USD"}}"#).unwrap_err();
    assert_eq!((mapped.reason.as_str(), mapped.pointer.as_deref()), ("mapping", Some("/data/price/value")));
}

#[test]
fn an_older_event_becomes_the_newest_version() {
    let shop = versions(&TWO);
    let old = decide(&shop, r#"{"sku":"A","price":1.5,"tags":[{"t":"x"}]}"#).unwrap();
    assert_eq!(
        (old.contract_version, old.data.to_string().as_str()),
        (2, r#"{"price":{"amount":"1.50","currency":"EUR"},"sku":"A","tags":["x"]}"#)
    );
    for (data, version, reason, pointer) in [
        // What the older version refuses is its own refusal.
        (r#"{"sku":"A","price":"much"}"#, 1, "mapping", "/data/price"),
        (r#"{"sku":"A","price":1,"tags":[{"t":"x"},{}]}"#, 1, "mapping", "/data/tags/1/t"),
        // What only the newer one demands points into what was sent.
        (r#"{"sku":"A","price":1.505}"#, 2, "mapping", "/data/price"),
        (r#"{"sku":"A","price":0}"#, 2, "invariant", "/data/price"),
        (r#"{"sku":"A","price":1,"tags":[{"t":"bad"}]}"#, 2, "invariant", "/data/tags"),
    ] {
        let refusal = decide(&shop, data).unwrap_err();
        let found = (refusal.contract.unwrap().version, refusal.reason.as_str(), refusal.pointer.unwrap());
        assert_eq!(found, (version, reason, pointer.to_owned()), "{data}: {}", refusal.detail);
    }
}

#[test]
fn upcasts_follow_each_other() {
    let mut files = TWO.to_vec();
    files.push(("contracts/price_set.v3.toml", V3));
    let shop = versions(&files);
    for data in [
        r#"{"sku":"A","price":1.5}"#,
        r#"{"sku":"A","price":{"value":"1.50","unit":"USD"}}"#,
        r#"{"sku":"A","article":"A"}"#,
    ] {
        let draft = decide(&shop, data).unwrap();
        assert_eq!((draft.contract_version, draft.data.to_string().as_str()), (3, r#"{"article":"A"}"#), "{data}");
    }
    // Version 2 still judges what passes through it.
    assert_eq!(decide(&shop, r#"{"sku":"A","price":0}"#).unwrap_err().contract.unwrap().version, 2);
}

#[test]
fn an_upcast_makes_what_its_contract_makes() {
    let edit = |old: &str, new: &str| versions(&TWO).edit("contracts/price_set.v2.toml", old, new);
    edit(r#"keep = ["sku", "tags"]"#, r#"keep = ["sku", "tag"]"#).says(
        r#"
error: the upcast of `price_set` leaves out what every event of version 2 has: tags
  --> contracts/price_set.v2.toml:13:8
   |
13 | from = 1
   |        ^
   |
   = help: add it to `keep`, or to `map` of the upcast

error: `price_set` version 1 has no field `tag`
  --> contracts/price_set.v2.toml:14:16
   |
14 | keep = ["sku", "tag"]
   |                ^^^^^
"#,
    );
    edit(r#"keep = ["sku", "tags"]"#, r#"keep = ["sku", "tags", "price"]"#).says(
        r#"
error: `price` is made twice
  --> contracts/price_set.v2.toml:14:24
   |
14 | keep = ["sku", "tags", "price"]
   |                        ^^^^^^^
15 | map = [{ from = "/price", to = "price", type = "money", currency = { value = "EUR" } }]
   |                                ------- first here
"#,
    );
    edit(
        r#"from = "/price", to = "price", type = "money", currency = { value = "EUR" }"#,
        r#"from = "/prise", to = "price", type = "text""#,
    )
    .says(
        r#"
error: no mapped field of `price_set` is named `prise`
  --> contracts/price_set.v2.toml:15:17
   |
15 | map = [{ from = "/prise", to = "price", type = "text" }]
   |                 ^^^^^^^^
   |
  ::: contracts/price_set.v1.toml:1:12
   |
 1 | contract = "price_set"
   |            ----------- `price_set` is declared here
   |
   = help: did you mean `/price`?

error: expected money, as the contract's own map makes it, found text
  --> contracts/price_set.v2.toml:15:32
   |
 8 |   { from = "/price/value", to = "price", type = "money", currency = "/price/unit" },
   |                                 ------- money here
...
15 | map = [{ from = "/prise", to = "price", type = "text" }]
   |                                ^^^^^^^
"#,
    );
}

#[test]
fn an_upcast_starts_from_an_earlier_version_that_is_there() {
    versions(&TWO).edit("contracts/price_set.v2.toml", "from = 1\n", "from = 3\n").says(
        r#"
error: version 2 of `price_set` is made from an earlier one, not from 3
  --> contracts/price_set.v2.toml:13:8
   |
13 | from = 3
   |        ^
"#,
    );
    versions(&[("contracts/price_set.v2.toml", V2)]).says(
        r#"
error: there is no version 1 of `price_set`
  --> contracts/price_set.v2.toml:13:8
   |
13 | from = 1
   |        ^
"#,
    );
}

#[test]
fn a_version_that_is_never_reached_is_a_mistake() {
    versions(&TWO).edit("contracts/price_set.v2.toml", "schema = \"v2.json\"\n", "").says(
        r#"
error: version 2 of `price_set` has no schema and takes every event, so that version 1 is never reached
 --> contracts/price_set.v2.toml:1:12
  |
1 | contract = "price_set"
  |            ^^^^^^^^^^^
  |
 ::: contracts/price_set.v1.toml:1:12
  |
1 | contract = "price_set"
  |            ----------- this version
  |
  = help: of several versions the highest whose schema accepts an event decides: give it a `schema`
"#,
    );
}
