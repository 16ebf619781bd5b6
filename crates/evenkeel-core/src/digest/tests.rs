//! Every change of a row changes its digest; sums do not depend on the order in which rows come and go.
use super::*;
use crate::{
    ids::Digest,
    json,
    schema::{Column, Merge},
};
use proptest::prelude::*;

fn schema() -> Schema {
    let column = |name: &str, ty| Column { name: name.into(), ty, merge: Merge::Lww };
    Schema {
        model: "orders".into(),
        version: 1,
        key: vec![0],
        columns: vec![
            column("id", ColumnType::Text),
            column("n", ColumnType::I64),
            column("total", ColumnType::Money { currency: 3 }),
            column("currency", ColumnType::Iso4217),
            column("paid", ColumnType::Bool),
            column("at", ColumnType::Timestamp),
            column("day", ColumnType::Date),
            column("more", ColumnType::Json),
            column("marks", ColumnType::Bytes),
        ],
        subscribes: Default::default(),
        fingerprint: Digest::of(b""),
    }
}

fn row() -> Row {
    Row {
        cells: vec![
            Cell::Text("a".into()),
            Cell::I64(7),
            Cell::Decimal("12.30".parse().unwrap()),
            Cell::Text("EUR".into()),
            Cell::Bool(true),
            Cell::Timestamp("2026-01-31T10:20:30.000001Z".parse().unwrap()),
            Cell::Date("2026-01-31".parse().unwrap()),
            Cell::Json(json::parse(br#"{"a":1}"#).unwrap()),
            Cell::Bytes([1, 0].into()),
        ],
    }
}

fn hasher() -> RowHasher {
    RowHasher::new(&DigestKey([1; 32]), &schema())
}

#[test]
fn every_column_the_version_the_model_and_the_key_are_in_the_digest() {
    let whole = hasher().row(&schema(), &row());
    let others = [
        Cell::Text("b".into()),
        Cell::I64(8),
        Cell::Decimal("12.31".parse().unwrap()),
        Cell::Text("USD".into()),
        Cell::Bool(false),
        Cell::Timestamp("2026-01-31T10:20:30.000002Z".parse().unwrap()),
        Cell::Date("2026-02-01".parse().unwrap()),
        Cell::Json(json::parse(br#"{"a":2}"#).unwrap()),
        Cell::Bytes([1].into()),
    ];
    for (index, other) in others.into_iter().enumerate() {
        for cell in [other, Cell::Null] {
            let mut changed = row();
            changed.cells[index] = cell;
            assert_ne!(hasher().row(&schema(), &changed), whole, "column {index}");
        }
    }
    let other_version = Schema { version: 2, ..schema() };
    let other_model = Schema { model: "order".into(), ..schema() };
    for other in [other_version, other_model] {
        assert_ne!(RowHasher::new(&DigestKey([1; 32]), &other).row(&other, &row()), whole);
    }
    assert_ne!(RowHasher::new(&DigestKey([2; 32]), &schema()).row(&schema(), &row()), whole);
}

#[test]
fn the_encoding_is_pinned() {
    // Another digest of the same row would make every table of a running system look edited.
    let mut hasher = hasher();
    assert_eq!(format!("{:?}", hasher.row(&schema(), &row())), "53375b61d20f97a2b21df96d9c2122c1");
    let (mut shorter, mut cells) = (schema(), row().cells);
    shorter.columns.pop();
    cells.pop();
    assert_eq!(format!("{:?}", hasher.row(&shorter, &Row { cells })), "d930dec9cae2e9146cb9dac6a90376a2");
    assert_eq!(hasher.key(&Key::text("a")), KeyHash(12_489_887_905_156_020_376));
}

#[test]
fn a_text_cannot_pass_for_two_nor_for_another_kind() {
    let mut hasher = hasher();
    let mut digest = |fields: &[&dyn Fn(&mut RowHasher)]| {
        hasher.start();
        fields.iter().for_each(|field| field(&mut hasher));
        hasher.finish()
    };
    let ab = digest(&[&|h| h.text(b"ab")]);
    assert_ne!(digest(&[&|h| h.text(b"a"), &|h| h.text(b"b")]), ab);
    assert_ne!(digest(&[&|h| h.text(b"a"), &|h| h.text(b"")]), digest(&[&|h| h.text(b""), &|h| h.text(b"a")]));
    assert_ne!(digest(&[&|h| h.int(0)]), digest(&[&|h| h.null()]));
    assert_ne!(digest(&[&|h| h.foreign(b"ab")]), ab);
}

proptest! {
    #[test]
    fn a_sum_knows_what_is_in_it_and_not_the_way_it_came_there(
        kept in prop::collection::vec(any::<[u8; 16]>(), 0..20),
        passing in prop::collection::vec(any::<[u8; 16]>(), 0..20),
    ) {
        let mut direct = Sum::default();
        kept.iter().for_each(|digest| direct.add(*digest));
        let mut around = Sum::default();
        passing.iter().for_each(|digest| around.add(*digest));
        kept.iter().rev().for_each(|digest| around.add(*digest));
        passing.iter().rev().for_each(|digest| around.sub(*digest));
        prop_assert_eq!(around, direct);
        prop_assert_eq!(Sum::from_bytes(&direct.to_bytes()), Some(direct));
        prop_assert_eq!(direct.minus(around), Sum::default());
        let mut twice = direct.plus(direct);
        prop_assert_eq!(twice.is_zero(), kept.is_empty());
        twice.add([1; 16]);
        prop_assert_ne!(twice, direct.plus(direct));
    }
}
