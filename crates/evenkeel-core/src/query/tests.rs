//! Queries: what their words mean, that pages cover what is selected, and that cursors are of one query.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
use super::*;
use crate::{Digest, row::Key, schema::Merge};
use proptest::{collection::vec, prelude::*};

fn schema() -> Schema {
    let columns = [
        ("id", ColumnType::Text),
        ("total", ColumnType::Money { currency: 2 }),
        ("currency", ColumnType::Iso4217),
        ("units", ColumnType::I64),
        ("open", ColumnType::Bool),
        ("at", ColumnType::Timestamp),
        ("day", ColumnType::Date),
        ("extra", ColumnType::Json),
    ];
    let column = |(name, ty): (&str, ColumnType)| Column { name: name.into(), ty, merge: Merge::Lww };
    Schema {
        model: "orders".into(),
        version: 1,
        key: vec![0],
        columns: columns.map(column).to_vec(),
        subscribes: std::collections::BTreeSet::default(),
        fingerprint: Digest::of(b"orders 1"),
    }
}

fn asked(conditions: &[(&str, &str)], order: Option<&str>) -> Asked {
    let conditions = conditions.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Asked { conditions, order: order.map(ToOwned::to_owned) }
}

fn query(conditions: &[(&str, &str)], order: Option<&str>) -> Result<Query, QueryError> {
    Query::parse(&schema(), &asked(conditions, order))
}

fn matches(condition: (&str, &str), cell: Cell) -> bool {
    let schema = schema();
    let mut row = Row::new(&schema, &Key::text("o-1"));
    row.cells[schema.column(condition.0).unwrap()] = cell;
    query(&[condition], None).unwrap().matches(&row)
}

#[test]
fn values_compare_by_the_type_of_their_column() {
    let money = |text: &str| Cell::Decimal(text.parse().unwrap());
    assert!(matches(("total", "eq.1.5"), money("1.50")) && !matches(("total", "ne.1.5"), money("1.50")));
    assert!(matches(("total", "gt.9.5"), money("10")) && matches(("total", "lt.-9"), money("-10")));
    assert!(matches(("total", "gt.9007199254740992"), money("9007199254740992.0000000001")));
    assert!(matches(("total", "in.(1,2.0,3)"), money("2")) && !matches(("total", "in.()"), money("2")));
    assert!(
        matches(("units", "lt.10"), Cell::I64(9)) && matches(("units", "ge.-9223372036854775808"), Cell::I64(i64::MIN))
    );
    let noon = Cell::Timestamp("2026-01-31T12:00:00+02:00".parse().unwrap());
    assert!(matches(("at", "eq.2026-01-31T10:00:00Z"), noon.clone()));
    assert!(matches(("at", "lt.2026-01-31T11:00:00.5+01:00"), noon.clone()));
    assert!(matches(("at", "gt.2026-01-31T09:59:59.999999Z"), noon));
    assert!(matches(("day", "le.2026-01-31"), Cell::Date("2026-01-31".parse().unwrap())));
    assert!(matches(("open", "is.true"), Cell::Bool(true)) && matches(("open", "ne.true"), Cell::Bool(false)));
    // Text is compared by its bytes, whatever it looks like.
    assert!(matches(("id", "lt.9"), Cell::Text("10".into())) && matches(("id", "lt.a"), Cell::Text("Z".into())));
    assert!(matches(("id", "in.(a,\"b,\\\"c\\\\)\")"), Cell::Text("b,\"c\\)".into())));
    assert!(matches(("id", "eq."), Cell::Text("".into())) && matches(("id", "eq.a.b"), Cell::Text("a.b".into())));
    // What is not of its column's type comes after all that are.
    assert!(matches(("total", "gt.1"), Cell::Text("?".into())) && !matches(("total", "lt.1"), Cell::Text("?".into())));
}

#[test]
fn null_meets_nothing_but_being_null() {
    for condition in ["eq.1", "ne.1", "lt.1", "le.1", "gt.1", "ge.1", "in.(1)", "is.not_null"] {
        assert!(!matches(("units", condition), Cell::Null), "{condition}");
    }
    assert!(matches(("units", "is.null"), Cell::Null) && !matches(("units", "is.null"), Cell::I64(0)));
    assert!(matches(("extra", "is.null"), Cell::Null));
    // A JSON null is a value.
    assert!(matches(("extra", "is.not_null"), Cell::Json(crate::json::Value::Null)));
}

#[test]
fn what_is_not_understood_is_refused_with_what_there_is() {
    let refused = |conditions: &[(&str, &str)], order: Option<&str>| query(conditions, order).unwrap_err().to_string();
    for (condition, says) in [
        (("nothing", "eq.1"), "has no column \"nothing\"; there are: id, total"),
        (("units", "eq.1.5"), "where.units: expected an integer of 64 bits, found \"1.5\""),
        (("units", "eq.+1"), "expected an integer"),
        (("units", "eq.9223372036854775808"), "expected an integer"),
        (("units", "eq"), "has the operators eq, ne, lt"),
        (("units", "like.1"), "a column of type i64 has the operators eq, ne, lt, le, gt, ge, in, is; found"),
        (("units", "between.1"), "has the operators"),
        (("total", "eq.ten"), "expected an exact decimal, found \"ten\""),
        (("total", "eq.1e400"), "expected an exact decimal"),
        (("open", "lt.true"), "has the operators eq, ne, in, is"),
        (("open", "eq.1"), "expected true or false"),
        (("at", "eq.2026-01-31"), "expected an RFC 3339 time"),
        (("day", "eq.31.1.2026"), "expected a date"),
        (("currency", "eq.XXXX"), "expected a currency code"),
        (("extra", "eq.{}"), "has the operators is"),
        (("id", "is.nothing"), "expected is.null or is.not_null"),
        (("id", "in.a,b"), "expected in.(VALUE,VALUE)"),
        (("id", "in.(\"a)"), "expected in.(VALUE,VALUE)"),
        (("id", "in.(\"a\"b)"), "expected in.(VALUE,VALUE)"),
        (("units", "in.(1,x)"), "expected an integer"),
        (("id", "like.a\\"), "expected a character after the last \\"),
    ] {
        let said = refused(&[condition], None);
        assert!(said.contains(says), "{said}");
    }
    for (order, says) in [
        ("nothing.desc", "order: orders has no column \"nothing\""),
        ("total.down", "expected COLUMN, COLUMN.asc or COLUMN.desc"),
        ("total,total.desc", "named twice"),
        ("extra", "is json, which has no order"),
        ("", "has no column \"\""),
    ] {
        let said = refused(&[], Some(order));
        assert!(said.contains(says), "{said}");
    }
    let many = vec![("units", "ge.1"); MOST_CONDITIONS + 1];
    assert!(refused(&many, None).contains("at most 100 conditions"));
    assert!(refused(&[("id", &format!("in.({}x)", "x,".repeat(MOST_VALUES)))], None).contains("at most 1000 values"));
    assert!(Query::columns(&schema(), "id,what").unwrap_err().to_string().contains("has no column \"what\""));
    assert!(Query::columns(&schema(), "id,id").is_err());
    assert_eq!(Query::columns(&schema(), "total, id").unwrap(), [1, 0]);
}

#[test]
fn a_cursor_is_of_one_query() {
    let schema = schema();
    let here = query(&[("units", "ge.1"), ("id", "ne.x")], Some("total.desc")).unwrap();
    let row = Row::new(&schema, &Key::text("o-1"));
    let cursor = here.cursor(&here.place(&row));
    assert_eq!(here.place_of(&cursor).unwrap(), here.place(&row));
    let same = query(&[("id", "ne.x"), ("units", "ge.1")], Some("total.desc,id.asc")).unwrap();
    assert!(same.place_of(&cursor).is_ok());
    for (conditions, order) in [
        (&[("units", "ge.1"), ("id", "ne.x")][..], Some("total")),
        (&[("units", "ge.1"), ("id", "ne.x")], None),
        (&[("units", "gt.1"), ("id", "ne.x")], Some("total.desc")),
        (&[("units", "ge.2"), ("id", "ne.x")], Some("total.desc")),
        (&[("units", "ge.1")], Some("total.desc")),
        (&[("id", "ge.1"), ("units", "ne.1")], Some("total.desc")),
    ] {
        let refused = query(conditions, order).unwrap().place_of(&cursor).unwrap_err().to_string();
        assert!(refused.contains("another query"), "{refused}");
    }
    let mut other = schema.clone();
    other.model = "parcels".into();
    assert!(Query::all(&other).place_of(&Query::all(&schema).cursor(&here.place(&row))).is_err());
    for broken in ["", "AQ", "[\"a\"]", &cursor[1..], &cursor[..cursor.len() - 2], &format!("{cursor}AAAA")] {
        assert!(here.place_of(broken).is_err(), "{broken}");
    }
}

/// What a pattern means, said the slow way.
fn like(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('%' | '*', rest)) => (0..=text.len()).any(|n| like(rest, &text[n..])),
        Some(('_', rest)) => !text.is_empty() && like(rest, &text[1..]),
        Some(('\\', rest)) => text.first() == rest.first() && like(&rest[1..], &text[1..]),
        Some((just, rest)) => text.first() == Some(just) && like(rest, &text[1..]),
    }
}

fn cells() -> impl Strategy<Value = Vec<Cell>> {
    let amounts = prop_oneof![Just("1.5"), Just("1.50"), Just("-2"), Just("10"), Just("9.999")];
    let total = prop_oneof![
        Just(Cell::Null),
        amounts.prop_map(|text| Cell::Decimal(text.parse().unwrap())),
        Just(Cell::Text("?".into()))
    ];
    let units = prop_oneof![Just(Cell::Null), (-3i64..3).prop_map(Cell::I64)];
    let open = prop_oneof![Just(Cell::Null), any::<bool>().prop_map(Cell::Bool)];
    (total, units, open).prop_map(|(total, units, open)| {
        vec![Cell::Null, total, Cell::Text("EUR".into()), units, open, Cell::Null, Cell::Null, Cell::Null]
    })
}

proptest! {
    #[test]
    fn a_pattern_means_what_it_says(pattern in "[ab%*_\\\\]{0,8}", text in "[ab%_\\\\é]{0,10}") {
        let chars: Vec<_> = pattern.chars().collect();
        match Pattern::parse(&pattern) {
            Ok(parsed) => prop_assert_eq!(parsed.matches(&text), like(&chars, &text.chars().collect::<Vec<_>>())),
            Err(_) => prop_assert!(pattern.ends_with('\\')),
        }
    }

    #[test]
    fn pages_give_each_row_once_and_in_order(
        rows in vec(cells(), 0..20),
        order in prop_oneof![Just(None), Just(Some("total.desc")), Just(Some("units,total")), Just(Some("open.desc,id.desc"))],
        filter in prop_oneof![Just(None), Just(Some(("units", "ge.0"))), Just(Some(("total", "is.not_null")))],
        limit in 1usize..6,
    ) {
        let rows: Vec<Row> = rows.into_iter().enumerate().map(|(n, mut cells)| {
            cells[0] = Cell::Text(format!("o-{n}").into());
            Row { cells }
        }).collect();
        let query = query(filter.as_slice(), order).unwrap();
        let whole = query.select(&rows, None, usize::MAX);
        prop_assert_eq!(whole.total, rows.iter().filter(|row| query.matches(row)).count() as u64);
        let (mut paged, mut after): (Vec<&Row>, Option<Place>) = (Vec::new(), None);
        loop {
            let page = query.select(&rows, after.as_ref(), limit);
            prop_assert_eq!(page.total, whole.total);
            paged.extend(page.rows);
            if !page.more { break }
            let cursor = query.cursor(&query.place(paged.last().unwrap()));
            after = Some(query.place_of(&cursor).unwrap());
        }
        prop_assert_eq!(paged, whole.rows);
    }
}
