//! Cases: rows are found by their keys and come in the order of their keys, whatever characters those are made of.
use super::{
    Failure, Outcome, Stores, ensure,
    fixture::{checkpoint, new_rows, row, schema},
    same,
};
use crate::{Models, Removal, Step, Table};
use evenkeel_core::{
    row::{Cell, Key, KeyPart, Row},
    schema::{ColumnType, Schema},
};
use std::collections::BTreeMap;

/// Texts whose order by bytes differs from that of many collations.
const TEXTS: &[&str] = &[
    "",
    " ",
    "!",
    "\"",
    "#",
    "%",
    "'",
    "-1",
    "/",
    "0",
    "00",
    "1",
    "10",
    "2",
    ":",
    "A",
    "B",
    "Z",
    "_",
    "a",
    "a ",
    "a/b",
    "aa",
    "b",
    "e\u{301}",
    "z",
    "~",
    "\u{e9}",
    "ß",
    "Ω",
    "日",
    "\u{ffff}",
    "\u{1F980}",
];

fn writes(models: &dyn Models, schema: &Schema, keys: Vec<Key>) -> Result<BTreeMap<Key, Row>, Failure> {
    let number = |(n, key): (usize, Key)| (key.clone(), row(schema, &key, vec![Cell::I64(n as i64)]));
    let mut upserts: Vec<_> = keys.into_iter().enumerate().map(number).collect();
    let rows = upserts.iter().cloned().collect();
    // Not the order of the keys.
    upserts.sort_by_key(|(_, row)| std::cmp::Reverse(format!("{:?}", row.cells.last())));
    let generation = models.register(schema)?.generation;
    models.commit(
        &schema.model,
        Table::Live,
        &Step { generation, upserts: new_rows(upserts), checkpoint: checkpoint(1), ..Step::default() },
    )?;
    Ok(rows)
}

/// All rows of a table, read in pages of `limit`.
fn paged(models: &dyn Models, schema: &Schema, table: Table, limit: usize) -> Result<Vec<Row>, Failure> {
    let mut all: Vec<Row> = Vec::new();
    loop {
        let after = all.last().map(|row| Key::of(schema, row));
        let page = models.rows(&schema.model, table, after.as_ref(), limit)?;
        ensure(page.rows.len() <= limit, "a page is no longer than asked for")?;
        ensure(!page.more || page.rows.len() == limit, "a page that is not the last is full")?;
        let goes_on = page.rows.iter().all(|(row, _)| Some(Key::of(schema, row)) > after);
        ensure(goes_on, "a page begins after the key it is given")?;
        all.extend(page.rows.into_iter().map(|(row, _)| row));
        if !page.more {
            return Ok(all);
        }
    }
}

fn agrees(models: &dyn Models, schema: &Schema, expected: &BTreeMap<Key, Row>) -> Outcome {
    let expected: Vec<_> = expected.values().cloned().collect();
    for limit in [1, 2, 3, 7, expected.len().saturating_sub(1).max(1), expected.len().max(1), expected.len() + 1, 1000]
    {
        same(format!("rows in pages of {limit}"), paged(models, schema, Table::Live, limit)?, expected.clone())?;
    }
    same("the number of rows", models.count(&schema.model)?, expected.len() as u64)
}

fn one_key(model: &str, ty: ColumnType) -> Schema {
    schema(model, 1, 1, &[("id", ty), ("n", ColumnType::I64)])
}

/// Rows come in the order of [`Key`], for every type a key may have.
///
/// # Errors
/// What the store did instead.
pub fn rows_come_in_the_order_of_their_keys(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let texts = one_key("by_text", ColumnType::Text);
    let written = writes(models, &texts, TEXTS.iter().map(|text| Key::text(*text)).collect())?;
    agrees(models, &texts, &written)?;
    let ints = one_key("by_int", ColumnType::I64);
    let keys = [i64::MIN, -10, -9, -1, 0, 1, 9, 10, (1 << 53) + 1, 1 << 53, i64::MAX].map(KeyPart::I64);
    let written = writes(models, &ints, keys.map(|part| Key([part].into_iter().collect())).to_vec())?;
    agrees(models, &ints, &written)?;
    let days = one_key("by_day", ColumnType::Date);
    let keys = ["2026-01-31", "0001-01-01", "9999-12-31", "2026-02-01", "1969-12-31"].map(Key::text);
    agrees(models, &days, &writes(models, &days, keys.to_vec())?)?;
    let currencies = one_key("by_currency", ColumnType::Iso4217);
    let written = writes(models, &currencies, ["USD", "EUR", "JPY"].map(Key::text).to_vec())?;
    agrees(models, &currencies, &written)
}

/// Pages follow each other without a gap or a repetition when rows are deleted and written between two of them.
///
/// # Errors
/// What the store did instead.
pub fn any_page_size_gives_the_same_rows(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = one_key("paged", ColumnType::Text);
    let written = writes(models, &schema, (0..40).map(|n| Key::text(format!("{n:02}"))).collect())?;
    agrees(models, &schema, &written)?;
    let first = models.rows(&schema.model, Table::Live, None, 10)?;
    ensure(first.more, "there are more rows than ten of forty")?;
    let last = Key::text("09");
    let step = Step {
        generation: models.register(&schema)?.generation,
        deletes: [last.clone(), Key::text("11"), Key::text("never there")].map(Removal::new).to_vec(),
        upserts: new_rows([(Key::text("095"), row(&schema, &Key::text("095"), vec![Cell::I64(-1)]))]),
        checkpoint: checkpoint(2),
        ..Step::default()
    };
    models.commit(&schema.model, Table::Live, &step)?;
    let next = models.rows(&schema.model, Table::Live, Some(&last), 3)?;
    let keys: Vec<_> = next.rows.iter().map(|(row, _)| Key::of(&schema, row).to_string()).collect();
    same("the rows after a key that is gone", keys, ["095", "10", "12"].map(String::from).to_vec())?;
    same("the number of rows", models.count(&schema.model)?, 39)?;
    let end = models.rows(&schema.model, Table::Live, Some(&Key::text("39")), 5)?;
    same("rows after the last", (end.rows, end.more), (Vec::new(), false))
}

/// Keys of several columns order by the first, then the second: text and integers each in their own way.
///
/// # Errors
/// What the store did instead.
pub fn keys_of_several_columns_order_by_each(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let columns = [
        ("product", ColumnType::Text),
        ("location", ColumnType::I64),
        ("day", ColumnType::Date),
        ("n", ColumnType::I64),
    ];
    let schema = schema("stock", 1, 3, &columns);
    let mut keys = Vec::new();
    for product in ["", "a", "a/b", "A", "b", "10", "9"] {
        for location in [-1, 0, 2, 10, i64::MAX, i64::MIN] {
            for day in ["2026-01-31", "1969-12-31"] {
                let parts = [KeyPart::Text(product.into()), KeyPart::I64(location), KeyPart::Text(day.into())];
                keys.push(Key(parts.into_iter().collect()));
            }
        }
    }
    let written = writes(models, &schema, keys)?;
    agrees(models, &schema, &written)?;
    found(models, &schema, &written)
}

fn found(models: &dyn Models, schema: &Schema, written: &BTreeMap<Key, Row>) -> Outcome {
    let keys: Vec<_> = written.keys().cloned().collect();
    let loaded = models.load(&schema.model, Table::Live, &keys)?.rows;
    same(
        "the rows loaded",
        loaded.into_iter().map(|stored| (stored.key, stored.row)).collect::<BTreeMap<_, _>>(),
        written.clone(),
    )?;
    for (key, row) in written {
        same(format!("the row of {key:?}"), models.get(&schema.model, key)?.row.as_ref(), Some(row))?;
    }
    Ok(())
}

/// Keys that look alike name different rows, and a delete takes away the row it names and no other.
///
/// # Errors
/// What the store did instead.
pub fn odd_keys_name_one_row_each(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let pair = schema("pairs", 1, 2, &[("a", ColumnType::Text), ("b", ColumnType::Text), ("n", ColumnType::I64)]);
    let key = |a: &str, b: &str| Key([a, b].map(|part| KeyPart::Text(part.into())).into_iter().collect());
    let mut keys: Vec<_> = TEXTS.iter().flat_map(|a| TEXTS.iter().take(9).map(|b| key(a, b))).collect();
    keys.extend([key("x/y", "z"), key("x", "y/z"), key("x", "y"), key("xy", "\u{1}"), key("x", "y\u{1}")]);
    let mut written = writes(models, &pair, keys)?;
    agrees(models, &pair, &written)?;
    found(models, &pair, &written)?;
    let deletes = vec![key("x", "y/z"), key("", ""), key("a", "'"), key("a ", ""), key("not", "there")];
    written.retain(|key, _| !deletes.contains(key));
    let generation = models.register(&pair)?.generation;
    let deletes = deletes.into_iter().map(Removal::new).collect();
    let step = Step { generation, deletes, checkpoint: checkpoint(2), ..Step::default() };
    models.commit(&pair.model, Table::Live, &step)?;
    agrees(models, &pair, &written)?;
    found(models, &pair, &written)
}

/// A key without a row gives none, next to one that has one.
///
/// # Errors
/// What the store did instead.
pub fn a_missing_row_is_missing(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = one_key("sparse", ColumnType::Text);
    let state = models.register(&schema)?;
    same("rows of an empty table", models.rows(&schema.model, Table::Live, None, 5)?.rows, Vec::new())?;
    same("their number", models.count(&schema.model)?, 0)?;
    same("a row of an empty table", models.get(&schema.model, &Key::text("a"))?.row, None)?;
    writes(models, &schema, vec![Key::text("a")])?;
    let found = models.get(&schema.model, &Key::text("A"))?;
    same("a row that is not there", (found.row, found.parked_events), (None, 0))?;
    same("the checkpoint beside it", found.state.checkpoint, checkpoint(1))?;
    same("its generation", found.state.generation, state.generation + 1)?;
    let loaded = models.load(&schema.model, Table::Live, &[Key::text("A"), Key::text("a")])?;
    same("rows loaded", loaded.rows.into_iter().map(|stored| stored.key).collect::<Vec<_>>(), vec![Key::text("a")])?;
    ensure(models.load(&schema.model, Table::Live, &[])?.rows.is_empty(), "no keys load no rows")
}
