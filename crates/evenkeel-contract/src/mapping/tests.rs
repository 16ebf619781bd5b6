//! Each field type: what is taken exactly, and what is refused.
use super::*;
use crate::{
    contract::{FieldKind, Round, Unmapped, UpstreamTypes, Values},
    envelope,
};
use evenkeel_core::{decimal::Rounding, quarantine::OnQuarantine};
use proptest::prelude::*;

fn contract(fields: Vec<Field>) -> Contract {
    Contract {
        name: "produced".into(),
        version: 1,
        from_source: "shop".parse().unwrap(),
        types: UpstreamTypes::Any,
        schema: None,
        subject: ValueSource::Data("/s".parse().unwrap()),
        on_quarantine: OnQuarantine::ParkKey,
        unmapped: Unmapped::DropAndRecord,
        fields,
        upcast: None,
        invariants: Vec::new(),
    }
}

fn field(ty: FieldType) -> Field {
    Field::new("out", ty, ValueSource::Data("/v".parse().unwrap()))
}

fn event(data: &str) -> RawEvent {
    let raw = format!(
        r#"{{"specversion":"1.0","id":"1","source":"shop","type":"t","time":"2026-01-31T10:00:00+01:00","data":{data}}}"#
    );
    envelope::read(raw.as_bytes()).unwrap()
}

/// The one field's value as text, or the pointer to what is wrong.
fn map(ty: FieldType, value: &str) -> Result<String, String> {
    let mapped = data(&contract(vec![field(ty)]), &event(&format!(r#"{{"v":{value},"cur":"EUR","bad":"XXX1"}}"#)));
    mapped.map(|object| object.get("out").unwrap().to_string()).map_err(|misfit| misfit.pointer.unwrap())
}

fn money(currency: &str) -> FieldType {
    FieldType::Money { currency: ValueSource::Data(currency.parse().unwrap()) }
}

#[test]
fn values_are_converted_exactly() {
    for (ty, value, expected) in [
        (FieldType::Text, r#""Ä\n""#, r#""Ä\n""#),
        (FieldType::I64, "9007199254740993", "9007199254740993"),
        (FieldType::I64, "-9223372036854775808", "-9223372036854775808"),
        (FieldType::Decimal, "9007199254740993.01", r#""9007199254740993.01""#),
        (FieldType::Decimal, r#""34.33634285099345""#, r#""34.33634285099345""#),
        (FieldType::Decimal, "1.50", r#""1.50""#),
        (FieldType::Decimal, "18446744073709551616", r#""18446744073709551616""#),
        (FieldType::Decimal, "15e-1", r#""1.5""#),
        (money("/cur"), "12.3", r#"{"amount":"12.30","currency":"EUR"}"#),
        (money("/cur"), r#""90071992547409.93""#, r#"{"amount":"90071992547409.93","currency":"EUR"}"#),
        (FieldType::Iso4217, r#""JPY""#, r#""JPY""#),
        (FieldType::Bool, "false", "false"),
        (FieldType::Timestamp, r#""2026-01-31T10:00:00.5+01:00""#, r#""2026-01-31T09:00:00.500000Z""#),
        (FieldType::Date, r#""2026-01-31""#, r#""2026-01-31""#),
        (FieldType::Json, "null", "null"),
        (FieldType::Json, "1e400", "1e400"),
        (FieldType::Array, "[1,{}]", "[1,{}]"),
        (FieldType::Object, r#"{"b":1.10,"a":[]}"#, r#"{"a":[],"b":1.10}"#),
    ] {
        assert_eq!(map(ty.clone(), value).as_deref(), Ok(expected), "{ty:?} {value}");
    }
}

#[test]
fn what_is_not_exactly_of_the_type_is_refused_where_it_stands() {
    for (ty, value, pointer) in [
        (FieldType::Text, "7", "/data/v"),
        (FieldType::Text, r#""a\u0000""#, "/data/v"),
        (FieldType::I64, "5.0", "/data/v"),
        (FieldType::I64, r#""5""#, "/data/v"),
        (FieldType::I64, "9223372036854775808", "/data/v"),
        (FieldType::Decimal, "1e400", "/data/v"),
        (FieldType::Decimal, r#"" 1""#, "/data/v"),
        (FieldType::Decimal, "1.00000000000000000000000000000001", "/data/v"),
        (FieldType::Decimal, "true", "/data/v"),
        (money("/cur"), "12.345", "/data/v"),
        (money("/cur"), "null", "/data/v"),
        (money("/none"), "1", "/data/none"),
        (money("/bad"), "1", "/data/bad"),
        (money("/v"), "1", "/data/v"),
        (FieldType::Iso4217, r#""EURO""#, "/data/v"),
        (FieldType::Bool, r#""true""#, "/data/v"),
        (FieldType::Bool, "0", "/data/v"),
        (FieldType::Timestamp, r#""2026-01-31""#, "/data/v"),
        (FieldType::Timestamp, "1700000000", "/data/v"),
        (FieldType::Date, r#""2026-02-30""#, "/data/v"),
        (FieldType::Array, "{}", "/data/v"),
        (FieldType::Object, "[]", "/data/v"),
        (FieldType::Array, r#"[1,{"a/b":["\u0000"]}]"#, "/data/v/1/a~1b/0"),
        (FieldType::Json, r#"{"k\u0000":1}"#, "/data/v/k\0"),
    ] {
        assert_eq!(map(ty.clone(), value), Err(pointer.to_owned()), "{ty:?} {value}");
    }
}

#[test]
fn null_is_missing_but_for_json() {
    let with = |optional, default: Option<Value>, sent: &str| {
        let field = Field { optional, default, ..field(FieldType::I64) };
        data(&contract(vec![field]), &event(sent)).map(|object| Value::from(object).to_string()).map_err(|m| m.pointer)
    };
    for sent in ["{}", r#"{"v":null}"#, "null", "[]"] {
        assert_eq!(with(true, None, sent).as_deref(), Ok("{}"));
        assert_eq!(with(false, Some(7.into()), sent).as_deref(), Ok(r#"{"out":7}"#));
        assert_eq!(with(false, None, sent), Err(Some("/data/v".into())));
    }
    assert_eq!(with(false, Some("7".into()), "{}"), Err(Some("/data/v".into())), "a default is converted too");
}

#[test]
fn attributes_and_constants_are_values_too() {
    let fields = vec![
        Field { to: "at".into(), from: ValueSource::Event(RawAttribute::Time), ..field(FieldType::Timestamp) },
        Field { to: "kind".into(), from: ValueSource::Event(RawAttribute::Type), ..field(FieldType::Text) },
        Field { to: "n".into(), from: ValueSource::Value(1.into()), ..field(FieldType::Decimal) },
    ];
    let contract = contract(fields);
    let mapped = Value::from(data(&contract, &event("{}")).unwrap()).to_string();
    assert_eq!(mapped, r#"{"at":"2026-01-31T09:00:00.000000Z","kind":"t","n":"1"}"#);
    assert_eq!(contract.shape().fields["n"], FieldKind::Decimal);
    let missing = Field { from: ValueSource::Event(RawAttribute::Subject), ..field(FieldType::Text) };
    assert_eq!(
        data(&super::tests::contract(vec![missing]), &event("{}")).unwrap_err().pointer.as_deref(),
        Some("/subject")
    );
}

fn items(each: Each) -> Contract {
    contract(vec![Field { each: Some(Box::new(each)), ..field(FieldType::Array) }])
}

fn mapped(contract: &Contract, sent: &str) -> Result<String, (String, String)> {
    let mapped = data(contract, &event(sent)).map(|object| Value::from(object).to_string());
    mapped.map_err(|misfit| (misfit.pointer.unwrap_or_default(), misfit.detail))
}

#[test]
fn arrays_are_mapped_element_by_element() {
    let at = |pointer: &str| ValueSource::Data(pointer.parse().unwrap());
    let whole = |pointer: &str| ValueSource::Whole(pointer.parse().unwrap());
    let tags = Each::Value(Field::new("", FieldType::Text, at("")));
    let contract = items(Each::Fields(vec![
        Field::new("sku", FieldType::Text, at("/SKU")),
        Field { default: Some(1.into()), ..Field::new("qty", FieldType::I64, at("/n")) },
        Field::new("price", FieldType::Money { currency: whole("/cur") }, at("/p")),
        Field::new("order", FieldType::Text, whole("/order")),
        Field { optional: true, each: Some(Box::new(tags)), ..Field::new("tags", FieldType::Array, at("/t")) },
    ]));
    let good = r#"{"cur":"EUR","order":"o","v":[{"SKU":"A","p":1,"t":["x","y"]},{"SKU":"B","n":2,"p":"0.5","x":1}]}"#;
    let expected = concat!(
        r#"{"out":[{"order":"o","price":{"amount":"1.00","currency":"EUR"},"qty":1,"sku":"A","tags":["x","y"]},"#,
        r#"{"order":"o","price":{"amount":"0.50","currency":"EUR"},"qty":2,"sku":"B"}]}"#
    );
    assert_eq!(mapped(&contract, good).as_deref(), Ok(expected));
    assert_eq!(Reads::of(&contract).unread(&event(good).data), ["/data/v/1/x"]);
    assert_eq!(mapped(&contract, r#"{"v":[]}"#).as_deref(), Ok(r#"{"out":[]}"#));
    assert_eq!(Reads::of(&contract).unread(&event(r#"{"v":[]}"#).data), [""; 0]);
    for (sent, pointer, detail) in [
        (r#"{"v":[{"SKU":"A","p":1}]}"#, "/data/cur", "out: price: the currency is missing"),
        (r#"{"cur":"EUR","order":"o","v":[{"SKU":"A","p":1},{}]}"#, "/data/v/1/SKU", "out: sku: the value is missing"),
        (
            r#"{"cur":"EUR","order":"o","v":[{"SKU":"A","p":1,"t":["x",7]}]}"#,
            "/data/v/0/t/1",
            "out: tags: expected text, found the number 7",
        ),
        (
            r#"{"cur":"EUR","order":"o","v":[{"SKU":"A","p":1.005}]}"#,
            "/data/v/0/p",
            "out: price: 1.005 EUR is finer than the currency's 2 decimal digits",
        ),
        (
            r#"{"cur":"EUR","order":"o","v":[7]}"#,
            "/data/v/0",
            "out: expected an object with the parts of an element, found the number 7",
        ),
        (r#"{"v":{}}"#, "/data/v", "out: expected an array, found an object"),
    ] {
        assert_eq!(mapped(&contract, sent), Err((pointer.into(), detail.into())), "{sent}");
    }
}

#[test]
fn listed_values_are_mapped_and_others_refused() {
    let values = [("NEW", Value::from("open")), ("1", "one".into()), ("true", "yes".into())];
    let values: Values = values.into_iter().map(|(raw, ours)| (raw.to_owned(), ours)).collect();
    let contract =
        contract(vec![Field { values: Some(values), default: Some("NEW".into()), ..field(FieldType::Text) }]);
    for (sent, ours) in [(r#""NEW""#, "open"), ("1", "one"), (r#""1""#, "one"), ("true", "yes"), ("null", "open")] {
        let expected = format!(r#"{{"out":"{ours}"}}"#);
        assert_eq!(mapped(&contract, &format!(r#"{{"v":{sent}}}"#)).as_deref(), Ok(expected.as_str()), "{sent}");
    }
    for sent in [r#""new""#, "2", "1.0", "false", "[]"] {
        let (pointer, detail) = mapped(&contract, &format!(r#"{{"v":{sent}}}"#)).unwrap_err();
        assert!(pointer == "/data/v" && detail.contains("the contract lists"), "{sent}: {detail}");
    }
}

#[test]
fn digits_are_rounded_only_where_it_is_declared() {
    let rounded = |ty: FieldType, digits, mode, value: &str| {
        let round = Some(Round { mode, digits });
        mapped(
            &contract(vec![Field { round, ..field(ty) }]),
            &format!(r#"{{"v":{value},"cur":"EUR","yen":"JPY","din":"BHD"}}"#),
        )
    };
    for (ty, digits, mode, value, expected) in [
        (money("/cur"), None, Rounding::HalfEven, "2.345", r#"{"out":{"amount":"2.34","currency":"EUR"}}"#),
        (money("/cur"), None, Rounding::HalfUp, r#""2.345""#, r#"{"out":{"amount":"2.35","currency":"EUR"}}"#),
        (money("/cur"), None, Rounding::Floor, "-0.001", r#"{"out":{"amount":"-0.01","currency":"EUR"}}"#),
        (money("/yen"), None, Rounding::HalfEven, "2.5", r#"{"out":{"amount":"2","currency":"JPY"}}"#),
        (money("/din"), None, Rounding::Down, "1.23456", r#"{"out":{"amount":"1.234","currency":"BHD"}}"#),
        (FieldType::Decimal, Some(2), Rounding::HalfEven, "34.33634285099345", r#"{"out":"34.34"}"#),
        (FieldType::Decimal, Some(2), Rounding::Up, "1.5", r#"{"out":"1.5"}"#),
    ] {
        assert_eq!(rounded(ty, digits, mode, value).as_deref(), Ok(expected), "{value}");
    }
}

#[test]
fn extensions_are_sources() {
    let raw = r#"{"specversion":"1.0","id":"1","source":"shop","type":"t","partitionkey":"p-1","data":{}}"#;
    let contract = contract(vec![Field::new("key", FieldType::Text, ValueSource::Extension("partitionkey".into()))]);
    let mapped = data(&contract, &envelope::read(raw.as_bytes()).unwrap()).unwrap();
    assert_eq!(mapped.get("key").and_then(Value::as_str), Some("p-1"));
    assert_eq!(data(&contract, &event("{}")).unwrap_err().pointer.as_deref(), Some("/partitionkey"));
}

#[test]
fn places_of_the_translated_event_lead_back() {
    let at = |pointer: &str| ValueSource::Data(pointer.parse().unwrap());
    let fields = [
        Field::new("total", FieldType::Money { currency: at("/c") }, at("/t")),
        Field::new("any", FieldType::Json, at("/a~1b")),
        Field {
            each: Some(Box::new(Each::Fields(vec![Field::new("sku", FieldType::Text, at("/s/k"))]))),
            ..Field::new("items", FieldType::Array, at("/l"))
        },
        Field::new("kind", FieldType::Text, ValueSource::Event(RawAttribute::Type)),
        Field::new("one", FieldType::I64, ValueSource::Value(1.into())),
    ];
    for (ours, raw) in [
        ("/total/amount", Some("/data/t")),
        ("/any/x~0/0", Some("/data/a~1b/x~0/0")),
        ("/items/3/sku", Some("/data/l/3/s/k")),
        ("/items/3", Some("/data/l/3")),
        ("/items", Some("/data/l")),
        ("/kind", Some("/type")),
        ("/one", None),
        ("/none", None),
    ] {
        let pointer: evenkeel_core::json::Pointer = ours.parse().unwrap();
        assert_eq!(raw_place(&fields, pointer.tokens()).as_deref(), raw, "{ours}");
    }
}

#[test]
fn subjects_are_text_or_integers() {
    let of =
        |sent: &str| subject(&contract(vec![]), &event(sent)).map(|s| s.to_string()).map_err(|m| m.pointer.unwrap());
    for (sent, expected) in [
        (r#"{"s":"o-1"}"#, Ok("o-1")),
        (r#"{"s":-7}"#, Ok("-7")),
        (r#"{"s":18446744073709551616}"#, Ok("18446744073709551616")),
        (r#"{"s":""}"#, Err("/data/s")),
        (r#"{"s":7.0}"#, Err("/data/s")),
        (r#"{"s":"a\u0000"}"#, Err("/data/s")),
        (r#"{"s":null}"#, Err("/data/s")),
        (r#"{"s":["o-1"]}"#, Err("/data/s")),
        ("{}", Err("/data/s")),
    ] {
        assert_eq!(of(sent), expected.map(str::to_owned).map_err(str::to_owned), "{sent}");
    }
}

proptest! {
    /// Plain decimals arrive digit for digit, as numbers and as text.
    #[test]
    fn decimals_stay_as_sent(text in "-?[1-9][0-9]{0,14}(\\.[0-9]{1,12})?") {
        let quoted = format!("\"{text}\"");
        prop_assert_eq!(map(FieldType::Decimal, &text), Ok(quoted.clone()));
        prop_assert_eq!(map(FieldType::Decimal, &quoted), Ok(quoted));
    }

    #[test]
    fn integers_stay_as_sent(int: i64) {
        prop_assert_eq!(map(FieldType::I64, &int.to_string()), Ok(int.to_string()));
    }
}
