//! Tests of single operations: what each does to a row, and which values it refuses.
use super::*;
use crate::{
    event::Draft,
    fold::{FreshFold, GivenUp, TouchId},
    ids::{Digest, EventId, Position, StreamVersion},
    json::{Object, parse},
    time::Timestamp,
};
use proptest::prelude::*;

fn column(name: &str, ty: ColumnType, merge: Merge) -> Column {
    Column { name: name.into(), ty, merge }
}

fn schema(key: &[usize], columns: Vec<Column>) -> Schema {
    Schema {
        model: "m".into(),
        version: 1,
        key: key.to_vec(),
        columns,
        subscribes: [EventType::from("nothing declares this")].into(),
        fingerprint: Digest::of(b"m 1"),
    }
}

fn data(pointer: &str) -> Operand {
    Operand::Event(format!("/data{pointer}").parse().unwrap())
}

fn element(pointer: &str) -> Operand {
    Operand::Element(pointer.parse().unwrap())
}

fn op(kind: OpKind, column: usize, value: Operand) -> Op {
    Op { kind, column, value, based_on: None }
}

fn clause(event: &str, key: Vec<Operand>, ops: Vec<Op>) -> Clause {
    Clause { event: event.into(), when: Vec::new(), each: None, key, delete: false, ops }
}

fn subject() -> Vec<Operand> {
    vec![Operand::Attribute(Attribute::Subject)]
}

fn event(position: u64, event_type: &str, json: &str) -> Event {
    let id = position.to_string();
    Event {
        position: Position(position),
        id: EventId::of("test", &id),
        source: "test".into(),
        raw_id: id,
        stream_version: StreamVersion(position),
        recorded_at: Timestamp::from_micros(1_000_000 * position as i64),
        digest: Digest::of(json.as_bytes()),
        replica: "a".into(),
        causality: Default::default(),
        draft: Draft {
            event_type: event_type.into(),
            contract_version: 1,
            subject: "k".into(),
            time: None,
            extensions: Object::default(),
            data: parse(json.as_bytes()).unwrap(),
        },
    }
}

/// A model keyed by subject with one column beside the key, on which `kind` is done with `/data/v`.
fn one(kind: OpKind, ty: ColumnType, merge: Merge) -> Declared {
    let columns = vec![
        column("k", ColumnType::Text, Merge::Lww),
        column("v", ty, merge),
        column("currency", ColumnType::Iso4217, Merge::Lww),
    ];
    Declared::new(schema(&[0], columns), vec![clause("e", subject(), vec![op(kind, 1, data("/v"))])])
}

const MONEY: ColumnType = ColumnType::Money { currency: 2 };

/// The cells beside the key after events whose `/data/v` are `values`, as JSON, or the first error.
fn after(model: &Declared, values: &[&str]) -> Result<String, FoldError> {
    let mut slot = None;
    let key = Key::text("k");
    for (value, position) in values.iter().zip(1..) {
        let json = if value.is_empty() { "{}".into() } else { format!(r#"{{"v":{value}}}"#) };
        let event = event(position, "e", &json);
        let mut touches = Vec::new();
        model.touches(&event, &mut touches);
        for touch in &touches {
            model.apply(&mut slot, &event, touch, touch.key.as_ref().unwrap_or(&key))?;
        }
    }
    let shown = |row: Row| {
        let cells = model.schema().shown().skip(1).map(|(column, _)| row.cells[column].to_json().to_string());
        cells.collect::<Vec<_>>().join(" ")
    };
    Ok(slot.map_or("no row".into(), shown))
}

fn plain(kind: OpKind, ty: ColumnType, values: &[&str]) -> String {
    let row = after(&one(kind, ty, Merge::Lww), values).unwrap();
    row.strip_suffix(" null").unwrap().to_owned()
}

#[test]
fn each_operation_does_what_its_name_says() {
    use ColumnType::{Decimal, I64, Text};
    for (kind, ty, values, expected) in [
        (OpKind::Set, I64, &["3", "1", "2"][..], "2"),
        (OpKind::Set, Text, &[r#""b""#, "null"], "null"),
        (OpKind::Set, Text, &[r#""b""#, ""], r#""b""#),
        (OpKind::SetOnce, I64, &["null", "3", "1"], "3"),
        (OpKind::Add, I64, &["3", "-5", "null", ""], "-2"),
        (OpKind::Add, Decimal, &[r#""0.10""#, r#""0.2""#], r#""0.30""#),
        (OpKind::Min, I64, &["3", "1", "2", "null"], "1"),
        (OpKind::Max, I64, &["1", "3", "2", "null"], "3"),
        (OpKind::Min, Text, &[r#""b""#, r#""a""#, r#""c""#], r#""a""#),
        (OpKind::Max, Decimal, &["9.5", "10", r#""9.75""#], r#""10""#),
        (OpKind::Max, ColumnType::Bool, &["false", "true", "false"], "true"),
        (
            OpKind::Max,
            ColumnType::Timestamp,
            &[r#""2020-01-01T00:00:00+02:00""#, r#""2019-12-31T22:30:00Z""#],
            r#""2019-12-31T22:30:00.000000Z""#,
        ),
        (OpKind::Min, ColumnType::Date, &[r#""2020-02-01""#, r#""2020-01-31""#], r#""2020-01-31""#),
        (OpKind::Set, ColumnType::Json, &[r#"{"b":1.50,"a":[]}"#], r#"{"a":[],"b":1.50}"#),
    ] {
        assert_eq!(plain(kind, ty, values), expected, "{kind:?} {ty:?} {values:?}");
    }
}

#[test]
fn what_does_not_fit_its_column_is_refused_and_not_coerced() {
    use ColumnType::{Bool, Date, Decimal, I64, Iso4217, Text};
    for (ty, value, message) in [
        (I64, r#""1""#, "column v: expected an integer of 64 bits, found text \"1\""),
        (I64, "1.0", "column v: expected an integer of 64 bits, found a number 1.0"),
        (I64, "9223372036854775808", "column v: expected an integer of 64 bits, found a number 9223372036854775808"),
        (Text, "1", "column v: expected text, found a number 1"),
        (Bool, "0", "column v: expected true or false, found a number 0"),
        (Decimal, r#""1,5""#, "column v: expected an exact decimal, found text \"1,5\""),
        (Date, r#""2020-02-30""#, "column v: expected a date, found text \"2020-02-30\""),
        (Iso4217, r#""eur""#, "column v: expected a currency code of ISO 4217, found text \"eur\""),
    ] {
        let error = after(&one(OpKind::Set, ty, Merge::Lww), &[value]).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let long = format!(r#""{}""#, "x".repeat(1000));
    let error = after(&one(OpKind::Set, I64, Merge::Lww), &[&long]).unwrap_err().to_string();
    assert!(error.len() < 100, "a message does not repeat the whole value: {error}");
}

#[test]
fn sums_that_do_not_fit_are_refused() {
    let sum = one(OpKind::Add, ColumnType::I64, Merge::PnCounter);
    let error = after(&sum, &["9223372036854775807", "1"]).unwrap_err();
    assert_eq!(error.to_string(), "column v: 9223372036854775807 + 1 does not fit 64 bits");
    assert!(after(&sum, &["-9223372036854775808", "-1"]).is_err());
    let sum = one(OpKind::Add, ColumnType::Decimal, Merge::PnCounter);
    let nines = format!(r#""{}""#, "9".repeat(28));
    assert!(matches!(after(&sum, &[&nines, r#""0.1""#]), Err(FoldError::Decimal { .. })));
    assert_eq!(after(&sum, &[&nines, r#""0""#]).unwrap(), format!("{nines} null"));
}

#[test]
fn a_counter_that_only_grows_never_shrinks() {
    let grows = one(OpKind::Add, ColumnType::I64, Merge::GCounter);
    assert_eq!(after(&grows, &["2", "0", "3"]).unwrap(), "5 null");
    let error = after(&grows, &["2", "-1"]).unwrap_err();
    assert_eq!(error, FoldError::Shrink { column: "v".into(), value: -1 });
    assert!(after(&grows, &["-1"]).is_err(), "nor does its first value");
    assert!(after(&one(OpKind::Add, ColumnType::Decimal, Merge::GCounter), &[r#""-0.01""#]).is_err());
    let refund = r#"{"amount":"-1.00","currency":"EUR"}"#;
    assert!(after(&one(OpKind::Add, MONEY, Merge::GCounter), &[refund]).is_err());
    assert_eq!(after(&one(OpKind::Add, MONEY, Merge::PnCounter), &[refund]).unwrap(), r#""-1.00" "EUR""#);
}

fn money(kind: OpKind, values: &[(&str, &str)]) -> Result<String, FoldError> {
    let json = |(amount, currency): &(&str, &str)| format!(r#"{{"amount":"{amount}","currency":"{currency}"}}"#);
    let values: Vec<_> = values.iter().map(json).collect();
    after(&one(kind, MONEY, Merge::Lww), &values.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn money_is_one_value_in_two_columns() {
    for (kind, expected) in [
        (OpKind::Set, r#""2.00" "EUR""#),
        (OpKind::SetOnce, r#""3.10" "EUR""#),
        (OpKind::Add, r#""6.10" "EUR""#),
        (OpKind::Min, r#""1.00" "EUR""#),
        (OpKind::Max, r#""3.10" "EUR""#),
    ] {
        assert_eq!(money(kind, &[("3.1", "EUR"), ("1", "EUR"), ("2", "EUR")]).unwrap(), expected, "{kind:?}");
        let mixed = money(kind, &[("3.1", "EUR"), ("1", "JPY")]);
        match kind {
            OpKind::Set => assert_eq!(mixed.unwrap(), r#""1" "JPY""#, "a new amount brings its currency"),
            OpKind::SetOnce => assert_eq!(mixed.unwrap(), r#""3.10" "EUR""#),
            _ => {
                let (column, row, event) = ("v".into(), "EUR".into(), "JPY".into());
                assert_eq!(mixed, Err(FoldError::Currency { column, row, event }), "{kind:?}");
            }
        }
    }
    assert_eq!(
        after(&one(OpKind::Set, MONEY, Merge::Lww), &[r#"{"amount":"1","currency":"EUR"}"#, "null"]).unwrap(),
        "null null"
    );
}

#[test]
fn money_is_exact_or_refused() {
    let set = one(OpKind::Set, MONEY, Merge::Lww);
    assert_eq!(
        after(&set, &[r#"{"amount":"90071992547409.93","currency":"EUR"}"#]).unwrap(),
        r#""90071992547409.93" "EUR""#
    );
    for bad in [
        r#""1.00""#,
        "1",
        r#"{"amount":1.5,"currency":"EUR"}"#,
        r#"{"amount":"1.5"}"#,
        r#"{"currency":"EUR"}"#,
        r#"{"amount":"1.5","currency":"XYZ"}"#,
        r#"{"amount":"1.005","currency":"EUR"}"#,
        r#"{"amount":"92233720368547758.08","currency":"EUR"}"#,
    ] {
        assert!(after(&set, &[bad]).is_err(), "{bad}");
    }
    assert!(money(OpKind::Add, &[("92233720368547758.07", "EUR"), ("0.01", "EUR")]).is_err(), "the sum does not fit");
}

#[test]
fn attributes_and_counts_are_values_too() {
    let columns = ["k", "type", "id", "subject"].map(|name| column(name, ColumnType::Text, Merge::Lww));
    let mut columns = columns.to_vec();
    columns.push(column("time", ColumnType::Timestamp, Merge::Lww));
    columns.push(column("recorded", ColumnType::Timestamp, Merge::Lww));
    columns.push(column("position", ColumnType::I64, Merge::Lww));
    columns.push(column("items", ColumnType::I64, Merge::Lww));
    columns.push(column("constant", ColumnType::Bool, Merge::Lww));
    let attribute = |kind, column| op(OpKind::Set, column, Operand::Attribute(kind));
    let ops = vec![
        attribute(Attribute::Type, 1),
        attribute(Attribute::Id, 2),
        attribute(Attribute::Subject, 3),
        attribute(Attribute::Time, 4),
        attribute(Attribute::RecordedTime, 5),
        attribute(Attribute::Position, 6),
        op(OpKind::Set, 7, Operand::Count(Box::new(data("/items")))),
        op(OpKind::Set, 8, Operand::Value(Value::Bool(true))),
    ];
    let model = Declared::new(schema(&[0], columns), vec![clause("e", subject(), ops)]);
    let given_up = GivenUp::default();
    let mut fresh = FreshFold::new(&model, &given_up, |_| true);
    fresh.feed(&[event(7, "e", r#"{"items":[1,2,3]}"#)]);
    let row = fresh.row(&Key::text("k")).unwrap().to_json(model.schema());
    assert_eq!(
        row.to_string(),
        r#"{"constant":true,"id":"7","items":3,"k":"k","position":7,"recorded":"1970-01-01T00:00:07.000000Z","subject":"k","time":null,"type":"e"}"#
    );
}

#[test]
fn only_arrays_and_objects_are_counted() {
    let columns = vec![column("k", ColumnType::Text, Merge::Lww), column("v", ColumnType::I64, Merge::Lww)];
    let count = op(OpKind::Add, 1, Operand::Count(Box::new(data("/v"))));
    let model = Declared::new(schema(&[0], columns), vec![clause("e", subject(), vec![count])]);
    assert_eq!(after(&model, &["[1,2]", r#"{"a":1}"#, "[]", "null", ""]).unwrap(), "3");
    for bad in ["5", r#""ab""#, "true"] {
        let error = after(&model, &[bad]).unwrap_err().to_string();
        assert!(error.starts_with("column v: expected an array or an object to count, found"), "{error}");
    }
}

fn touched(model: &Declared, event: &Event) -> Vec<Result<String, String>> {
    let mut touches = Vec::new();
    model.touches(event, &mut touches);
    touches.into_iter().map(|touch| touch.key.map(|key| key.to_string()).map_err(|error| error.to_string())).collect()
}

fn stock() -> Declared {
    let columns = vec![
        column("product", ColumnType::Text, Merge::Lww),
        column("shelf", ColumnType::I64, Merge::Lww),
        column("units", ColumnType::I64, Merge::PnCounter),
    ];
    let mut moved = clause("moved", vec![element("/sku"), data("/shelf")], vec![op(OpKind::Add, 2, element("/qty"))]);
    moved.each = Some(Each { over: "/data/lines".parse().unwrap() });
    let mut cleared = clause("cleared", vec![data("/sku"), data("/shelf")], vec![]);
    cleared.delete = true;
    cleared.when = vec![Condition::Compare(
        crate::condition::Comparison::Equals,
        crate::condition::Operand::Pointer("/data/sure".parse().unwrap()),
        crate::condition::Operand::Value(Value::Bool(true)),
    )];
    Declared::new(schema(&[0, 1], columns), vec![moved, cleared])
}

#[test]
fn keys_of_several_columns_name_one_row_each() {
    let model = stock();
    let moved =
        event(1, "moved", r#"{"shelf":2,"lines":[{"sku":"a","qty":1},{"sku":"b","qty":2},{"sku":"a","qty":4}]}"#);
    assert_eq!(touched(&model, &moved), [Ok("a/2".into()), Ok("b/2".into()), Ok("a/2".into())]);
    let given_up = GivenUp::default();
    let mut fresh = FreshFold::new(&model, &given_up, |_| true);
    fresh.feed(&[moved]);
    let key = Key::parse(model.schema(), &["a", "2"]).unwrap();
    assert_eq!(fresh.row(&key).unwrap().cells[..3], [Cell::Text("a".into()), Cell::I64(2), Cell::I64(5)]);
    assert_eq!(Key::of(model.schema(), fresh.row(&key).unwrap()), key);
    fresh.feed(&[event(2, "cleared", r#"{"shelf":2,"sku":"a"}"#)]);
    assert!(fresh.row(&key).is_some(), "its condition does not hold");
    fresh.feed(&[event(3, "cleared", r#"{"shelf":2,"sku":"a","sure":true}"#)]);
    assert_eq!((fresh.row(&key), fresh.len()), (None, 1));
}

#[test]
fn an_element_without_a_key_spoils_itself_alone() {
    let model = stock();
    let moved =
        event(1, "moved", r#"{"shelf":2,"lines":[{"qty":1},{"sku":"b","qty":2},{"sku":null,"qty":3},{"sku":7}]}"#);
    assert_eq!(
        touched(&model, &moved),
        [
            Err("key column product: expected a value, found nothing".into()),
            Ok("b/2".into()),
            Err("key column product: expected a value, found nothing".into()),
            Err("key column product: expected text, found a number 7".into()),
        ]
    );
    let given_up = GivenUp::default();
    let mut fresh = FreshFold::new(&model, &given_up, |_| true);
    fresh.feed(&[moved]);
    assert_eq!((fresh.len(), fresh.parks().len()), (1, 3));
    assert!(fresh.parks().contains_key(&TouchId { position: Position(1), clause: 0, element: 3 }));
}

#[test]
fn each_over_nothing_touches_nothing_and_over_no_array_is_an_error() {
    let model = stock();
    for json in ["{}", r#"{"lines":null}"#, r#"{"lines":[]}"#] {
        assert_eq!(touched(&model, &event(1, "moved", json)), [], "{json}");
    }
    for (json, found) in
        [(r#"{"lines":{}}"#, "an object"), (r#"{"lines":"x"}"#, "text"), (r#"{"lines":1}"#, "a number")]
    {
        let error = format!("/data/lines: expected an array, found {found}");
        assert_eq!(touched(&model, &event(1, "moved", json)), [Err(error)], "{json}");
    }
}

#[test]
fn a_model_subscribes_to_what_its_clauses_name() {
    let model = stock();
    assert_eq!(model.schema().subscribes, ["cleared".into(), "moved".into()].into());
    assert_eq!(touched(&model, &event(1, "other", "{}")), []);
}

#[test]
fn clauses_beyond_the_limit_are_left_out_and_not_confused_with_others() {
    let columns = vec![column("k", ColumnType::Text, Merge::Lww)];
    let clauses = (0..=u16::MAX).map(|i| clause(if i == u16::MAX { "last" } else { "e" }, subject(), vec![]));
    let model = Declared::new(schema(&[0], columns), clauses.collect());
    assert_eq!(touched(&model, &event(1, "last", "{}")), []);
    assert_eq!(touched(&model, &event(1, "e", "{}")).len(), usize::from(u16::MAX));
}

proptest! {
    #[test]
    fn amounts_add_up_to_the_cent(cents in prop::collection::vec(-1_000_000_000_000i64..1_000_000_000_000, 1..40)) {
        let text = |cents: i64| {
            let sign = if cents < 0 { "-" } else { "" };
            format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
        };
        let amounts: Vec<_> = cents.iter().map(|cents| (text(*cents), "EUR")).collect();
        let amounts: Vec<_> = amounts.iter().map(|(amount, currency)| (amount.as_str(), *currency)).collect();
        let expected = format!(r#""{}" "EUR""#, text(cents.iter().sum()));
        prop_assert_eq!(money(OpKind::Add, &amounts), Ok(expected));
    }
}
