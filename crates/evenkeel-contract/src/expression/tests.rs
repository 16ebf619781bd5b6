//! What expressions see and give, what they may not say, and that nothing in one is a panic.
use super::*;
use evenkeel_core::json::parse as json;
use proptest::prelude::*;

fn draft(data: &str) -> Draft {
    let mut draft = Draft {
        event_type: "order_created".into(),
        contract_version: 1,
        subject: "o-1".into(),
        time: "2026-01-31T09:00:00Z".parse().ok(),
        extensions: Default::default(),
        data: json(data.as_bytes()).unwrap(),
    };
    draft.extensions.insert("partitionkey", "p".into());
    draft
}

fn holds(expression: &str, data: &str) -> Result<bool, String> {
    Expression::compile(expression).unwrap().holds(&draft(data), &"shop".into(), "e-1")
}

#[test]
fn integers_are_int_decimals_text_and_money_has_minor_units() {
    let data = r#"{"n": 5, "neg": -1, "big": 9007199254740993, "price": "12.50", "tags": ["a", "b"], "none": null,
        "total": {"amount": "12.50", "currency": "EUR"}, "yen": {"amount": "7", "currency": "JPY"}, "x": 0.25,
        "lines": [{"sku": "A", "qty": 2, "price": {"amount": "1.00", "currency": "EUR"}}, {"sku": "B", "qty": 3}]}"#;
    for expression in [
        "payload.n > 0",
        "payload.n + payload.neg == 4",
        "payload.n - 6 < 0",
        "payload.big == 9007199254740993",
        "payload.big != 9007199254740992",
        "payload.price == '12.50'",
        "scaled(payload.price, 2) == 1250",
        "scaled(payload.n, 2) == 500",
        "payload.total.minor == 1250",
        "payload.total.currency == 'EUR' && payload['total']['amount'] == '12.50'",
        "payload.yen.minor == 7",
        "payload.x == 0.25",
        "size(payload.lines) == 2",
        "payload.lines.all(l, l.qty > 0)",
        "payload.lines.exists(l, l.sku == 'B')",
        "payload.lines.exists_one(l, has(l.price))",
        "payload.lines[0].price.minor == 100",
        "payload.lines.filter(l, l.qty > 2).size() == 1",
        "payload.lines.map(l, l.qty) == [2, 3]",
        "'a' in payload.tags && !('c' in payload.tags)",
        "payload.tags == ['a', 'b']",
        "has(payload.n) && !has(payload.missing)",
        "payload.none == null",
        "event.subject == 'o-1' && event.type == 'order_created' && event.source == 'shop' && event.id == 'e-1'",
        "event.time == '2026-01-31T09:00:00.000000Z' && event.partitionkey == 'p'",
        "event.data.n == payload.n && size(event.data) == 10",
        "payload.n > 0 ? payload.price.startsWith('12') : false",
    ] {
        assert_eq!(holds(expression, data), Ok(true), "{expression}");
    }
}

#[test]
fn what_cannot_be_judged_says_why() {
    let long = "9".repeat(40);
    for (expression, data, why) in [
        ("payload.n > 0", "{}", "there is no `n`"),
        ("payload.n > 0", r#"{"n": "5"}"#, "no matching overload"),
        ("payload.n", r#"{"n": 1}"#, "not true or false"),
        ("1 / payload.n > 0", r#"{"n": 0}"#, "divides by zero"),
        ("payload.n + 1 > 0", r#"{"n": 9223372036854775807}"#, "64 bits"),
        ("payload.n * payload.n > 0", r#"{"n": -9223372036854775808}"#, "64 bits"),
        ("payload.l[5] > 0", r#"{"l": [1]}"#, "no element"),
        ("scaled(payload.d, 1) > 0", r#"{"d": "0.25"}"#, "no whole number"),
        ("scaled(payload.d, -1) > 0", r#"{"d": "0.25"}"#, "bad digits"),
        ("payload.n > 0", r#"{"n": 9007199254740993.01}"#, "cannot be judged exactly"),
        ("payload.n > 0", r#"{"n": 1e400}"#, "cannot be judged exactly"),
        ("payload.n > 0", &format!(r#"{{"n": {long}}}"#), "cannot be judged exactly"),
    ] {
        let error = holds(expression, data).unwrap_err();
        assert!(error.contains(why), "{expression} on {data}: {error}");
    }
    assert_eq!(holds("payload.n > 0", r#"{"n": 1, "other": 1e400}"#), Ok(true), "what is not named is not bound");
    assert_eq!(holds("payload.a.n > 0", r#"{"a": {"n": 1, "other": 1e400}}"#), Ok(true));
}

#[test]
fn what_no_expression_may_say_is_found_when_it_is_compiled() {
    let deep = format!("{}payload.n{} > 0", "(".repeat(200), ")".repeat(200));
    let wide = format!("payload.n > 0 {}", "&& payload.n > 0 ".repeat(100));
    let chain = format!("payload{}", ".a".repeat(400));
    let ternary = format!("{} true", "payload.b ? true : ".repeat(45));
    let lists = format!("payload.n in {}{}", "[".repeat(300), "]".repeat(300));
    for (expression, why) in [
        ("", ""),
        ("payload.n >", ""),
        ("payload.n > 0 )", ""),
        ("1 == 1", "names nothing"),
        ("size(items) > 0", "nothing called `items`"),
        (".payload.n > 0", "nothing called"),
        ("payload.n.matches('a')", "no function"),
        ("payload.s.lowerAscii() == 'a'", "no function"),
        ("payload.l.all(payload, payload > 0)", "variable"),
        ("payload.l.all(a, payload.l.all(b, payload.l.all(c, payload.l.all(d, a + b + c + d > 0))))", "nested"),
        ("payload.l.all(l, l.tags.map(t, t) == [])", "need a list"),
        ("Message{a: payload.n} == 1", "no messages"),
        (&deep, ""),
        (&wide, "bytes"),
        (&chain, ""),
        (&ternary, ""),
        (&lists, ""),
    ] {
        let error = Expression::compile(expression).unwrap_err().to_string();
        assert!(error.contains(why), "{expression}: {error}");
    }
}

/// Not a figure: within seconds, where the interpreter alone would take hours or all memory.
#[test]
fn the_cost_is_bounded_by_what_is_bound() {
    let many = format!(r#"{{"l": [{}]}}"#, vec!["1"; 50_000].join(","));
    assert_eq!(holds("payload.l.all(a, a > 0)", &many), Ok(true));
    assert_eq!(holds("payload.l.map(a, a + 1).size() == 50000", &many), Ok(true));
    for quadratic in [
        "payload.l.all(a, payload.l.exists(b, b == a))",
        "payload.l.all(a, a in payload.l)",
        "payload.l.map(a, payload.l).size() > 0",
    ] {
        assert!(holds(quadratic, &many).unwrap_err().contains("too large"), "{quadratic}");
        assert_eq!(holds(quadratic, r#"{"l": [1, 2, 3]}"#), Ok(true), "{quadratic}");
    }
    let nested = format!(r#"{{"l": [{}]}}"#, vec![r#"{"t":[1,2]}"#; 10_000].join(","));
    assert_eq!(holds("payload.l.all(a, a.t.all(b, b > 0))", &nested), Ok(true), "elements of elements are linear");
    assert!(holds("payload.l.all(a, a.t.all(b, b in a.t))", &nested).is_err(), "an estimate, on the safe side");
}

#[test]
fn an_object_is_not_taken_in_order() {
    assert!(holds("payload.o.map(k, k).size() == 2", r#"{"o": {"a": 1, "b": 2}}"#).is_err());
    assert_eq!(holds("payload.o.all(k, k != 'c')", r#"{"o": {"a": 1, "b": 2}}"#), Ok(true));
}

proptest! {
    #[test]
    fn no_text_is_a_panic(text in "[a-z .()\\[\\]{}'\"!?:<>=&|+*/%0-9-]{0,60}") {
        drop(Expression::compile(&text));
    }

    #[test]
    fn no_mix_of_its_words_is_a_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "payload", "event", ".", "n", "l", "(", ")", "[", "]", "{", "}", "all", "x", ",", ">", "0", "size", "'s'",
            "?", ":", "!", "-", "&&", "has", "map", "in", "==", "scaled", "double", "int", "9223372036854775807", "1u",
        ]), 0..24),
        data in prop::sample::select(vec![r#"{"n":1,"l":[1,"a",{}]}"#, r#"{"n":"x","l":{}}"#, "{}", "[]", "null"]),
    ) {
        if let Ok(expression) = Expression::compile(&words.concat()) {
            drop(expression.holds(&draft(data), &"shop".into(), "e"));
        }
    }
}
