//! What is proposed from given events, and that it always is a contract that admits them.
use super::*;
use proptest::prelude::*;

fn event(data: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"1","source":"shop.orders","type":"OrderPlaced","data":{data}}}"#)
}

fn proposed(data: &[&str]) -> Proposal {
    let events: Vec<String> = data.iter().map(|data| event(data)).collect();
    let mut proposals = propose(events.iter().map(String::as_bytes)).unwrap();
    assert_eq!(proposals.len(), 1);
    let proposal = proposals.remove(0);
    let gate = gate(&proposal).unwrap_or_else(|| panic!("{}\n{}", proposal.toml.1, proposal.schema.1));
    for event in &events {
        let verdict = gate.decide(event.clone().into_bytes(), None).unwrap().arrival.verdict;
        assert!(matches!(verdict, Verdict::Admit(_)), "{verdict:?}\n{}", proposal.toml.1);
    }
    proposal
}

#[test]
fn an_order_is_recognised() {
    let first = r#"{"orderId":"o-1","customer":7,"total_amount":12.5,"currency":"EUR","placed":"2026-01-31T10:00:00Z",
        "lines":[{"SKU":"A","qty":2,"price":"1.50"}],"note":null,"tags":["x"],"paid":false}"#;
    let second = r#"{"orderId":"o-2","customer":9,"total_amount":"3","currency":"JPY","placed":"2026-02-01T10:00:00+01:00",
        "lines":[{"SKU":"B","qty":1,"price":"0.25","gift":true}],"note":"hi","tags":[],"paid":true}"#;
    let proposal = proposed(&[first, second]);
    assert_eq!(proposal.contract, "order_placed");
    for line in [
        "from = { source = \"shop.orders\", type = \"OrderPlaced\" }",
        "subject = \"/orderId\"",
        "{ from = \"/orderId\", to = \"order_id\", type = \"text\" },",
        "{ from = \"/customer\", to = \"customer\", type = \"i64\" },",
        "{ from = \"/total_amount\", to = \"total_amount\", type = \"money\", currency = \"/currency\" },",
        "{ from = \"/placed\", to = \"placed\", type = \"timestamp\" },",
        "{ from = \"/note\", to = \"note\", type = \"text\", optional = true },",
        "{ from = \"/tags\", to = \"tags\", type = \"array\", each = { from = \"\", type = \"text\" } },",
        "{ from = \"/paid\", to = \"paid\", type = \"bool\" },",
        "    { from = \"/SKU\", to = \"sku\", type = \"text\" },",
        "    { from = \"/gift\", to = \"gift\", type = \"bool\", optional = true },",
        "    { from = \"/price\", to = \"price\", type = \"decimal\" },",
        "{ name = \"total_amount_positive\", gt = [\"/data/total_amount\", 0] },",
        "{ name = \"lines_not_empty\", not_empty = \"/data/lines\" },",
    ] {
        assert!(proposal.toml.1.contains(line), "{line} is not in\n{}", proposal.toml.1);
    }
    assert!(!proposal.toml.1.contains("tags_not_empty"));
    let schema = evenkeel_core::json::parse(proposal.schema.1.as_bytes()).unwrap();
    let required = schema.as_object().unwrap().get("required").unwrap().to_string();
    assert!(required.contains("\"orderId\"") && required.contains("\"note\""), "{required}");
}

#[test]
fn a_few_values_of_many_events_are_an_enumeration() {
    let data: Vec<String> = (0..24).map(|i| format!(r#"{{"id":{i},"state":"{}"}}"#, ["open", "paid"][i % 2])).collect();
    let data: Vec<&str> = data.iter().map(String::as_str).collect();
    assert!(proposed(&data).toml.1.contains(r#"one_of = ["/data/state", ["open", "paid"]]"#));
    assert!(!proposed(&data[..6]).toml.1.contains("one_of"), "six events say nothing");
}

#[test]
fn each_source_and_type_has_its_own() {
    let line = |source: &str, kind: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"1","source":"{source}","type":"{kind}","subject":"s","data":{{"n":1}}}}"#
        )
    };
    let lines = [line("a", "com.acme/OrderPlaced"), line("b", "OrderPlaced"), String::new(), line("a", "Paid")];
    let proposals = propose(lines.iter().map(String::as_bytes)).unwrap();
    let names: Vec<_> = proposals.iter().map(|proposal| proposal.contract.as_str()).collect();
    assert_eq!(names, ["paid", "order_placed", "order_placed_2"]);
    assert!(proposals[0].toml.1.contains("subject = { event = \"subject\" }"));
    let bad = propose([&b"{}"[..], b"nonsense"]).unwrap_err();
    assert_eq!(bad.line, 1);
}

#[test]
fn strange_names_and_values_are_no_obstacle() {
    for data in [
        "null",
        "7",
        "[]",
        "{}",
        r#"{"":1,"a/b":"x","~":[[1]],"a b":{"c":1},"A-B":1,"a\"b\\":1e400,"9":"\u0001"}"#,
        r#"{"s":"\u0000"}"#,
        r#"{"total":12.345,"currency":"EUR"}"#,
        r#"{"mixed":[1,"a",{}],"deep":[[{"a":[]}]],"nulls":[null]}"#,
    ] {
        proposed(&[data]);
    }
    proposed(&[r#"{"a":1}"#, r#"{"a":"x"}"#, r#"{"a":null}"#, "{}"]);
    proposed(&[r#"{"l":[{"a":1}]}"#, r#"{"l":[{"b":1},{}]}"#, r#"{"l":[]}"#]);
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "null",
        "true",
        "0",
        "-1",
        "1.50",
        "1e400",
        "\"\"",
        "\"x\"",
        "\"1.5\"",
        "\"2026-01-31\"",
        "\"EUR\"",
        "\"a\\u0000\"",
        "\"2026-01-31T10:00:00Z\"",
        "9223372036854775808",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::btree_map("[a-c]|total|currency|A_b", inner, 0..4).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    /// Whatever was sent, if text without U+0000 can name it, the proposal compiles and admits it.
    #[test]
    fn what_is_proposed_admits_what_it_was_made_from(data in prop::collection::vec(value(), 1..5)) {
        let data: Vec<&str> = data.iter().map(String::as_str).collect();
        proposed(&data);
    }
}
