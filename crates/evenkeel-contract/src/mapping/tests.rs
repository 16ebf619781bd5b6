//! Each field type: what is taken exactly, and what is refused.
use super::*;
use crate::{
    contract::{FieldKind, Unmapped, UpstreamTypes},
    envelope,
};
use evenkeel_core::quarantine::OnQuarantine;
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
        invariants: Vec::new(),
    }
}

fn field(ty: FieldType) -> Field {
    Field { to: "out".into(), ty, from: ValueSource::Data("/v".parse().unwrap()), optional: false, default: None }
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
    FieldType::Money { currency: currency.parse().unwrap() }
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
