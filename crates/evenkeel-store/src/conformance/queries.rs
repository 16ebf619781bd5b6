//! Cases: a query selects the rows that [`Query::select`] says, page by page, whatever types, nulls and orders it names.
//!
//! Queries are generated as readers write them, from the values that are there and from others beside them.
use super::{
    Failure, Outcome, Stores, ensure,
    fixture::{checkpoint, new_rows, row, schema},
    random::XorShift,
    same,
};
use crate::{Models, Selection, Step, StoreError, Table};
use evenkeel_core::{
    EventId, Position,
    fold::{Park, ParkState, TouchId},
    json,
    query::{Asked, Place, Query},
    row::{Cell, Key, Row},
    schema::{ColumnType, DELETED, Schema},
};
use std::time::Duration;

/// Longer than any query here takes.
const LONG: Duration = Duration::from_secs(600);

const TEXTS: &[&str] =
    &["", "a", "A", "a b", "b", "ab", "é", "z\u{0}y", "%", "a_b", "10", "9", "\u{1F980}", "\"q\"", "x,y"];
const NUMBERS: &[&str] = &["0", "-0.5", "1.5", "1.50", "10", "9.99", "-10", "9007199254740993", "9007199254740992.5"];
const INTS: &[i64] = &[i64::MIN, -10, -9, 0, 1, 9, 10, (1 << 53) + 1, 1 << 53, i64::MAX];
const TIMES: &[&str] =
    &["2026-01-31T10:00:00Z", "2026-01-31T10:00:00.000001Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z"];
const DAYS: &[&str] = &["2026-01-31", "0001-01-01", "9999-12-31", "2026-02-01"];
const CURRENCIES: &[&str] = &["EUR", "USD", "JPY"];
const OPERATORS: &[&str] = &["eq", "ne", "lt", "le", "gt", "ge"];
const PATTERNS: &[&str] = &["a*", "%b", "_", "", "*", "a\\_b", "\\%", "%\u{1F980}%", "a_b", "*\"*"];

fn shape(model: &str, keys: usize) -> Schema {
    schema(
        model,
        1,
        keys,
        &[
            ("id", ColumnType::Text),
            ("part", ColumnType::I64),
            ("name", ColumnType::Text),
            ("total", ColumnType::Money { currency: 4 }),
            ("currency", ColumnType::Iso4217),
            ("weight", ColumnType::Decimal),
            ("units", ColumnType::I64),
            ("open", ColumnType::Bool),
            ("at", ColumnType::Timestamp),
            ("day", ColumnType::Date),
            ("extra", ColumnType::Json),
            (DELETED, ColumnType::Bool),
        ],
    )
}

/// A value of a column as readers write it.
fn operand(chance: &mut XorShift, ty: ColumnType) -> String {
    match ty {
        ColumnType::Text => chance.pick(TEXTS).to_owned(),
        ColumnType::I64 => chance.pick(INTS).to_string(),
        ColumnType::Bool => chance.once_in(2).to_string(),
        ColumnType::Timestamp => chance.pick(TIMES).to_owned(),
        ColumnType::Date => chance.pick(DAYS).to_owned(),
        ColumnType::Iso4217 => chance.pick(CURRENCIES).to_owned(),
        _ => chance.pick(NUMBERS).to_owned(),
    }
}

fn cell(chance: &mut XorShift, ty: ColumnType) -> Result<Cell, Failure> {
    if chance.once_in(5) {
        return Ok(Cell::Null);
    }
    let text = operand(chance, ty);
    Ok(match ty {
        ColumnType::I64 => Cell::I64(text.parse().map_err(Failure::new)?),
        ColumnType::Bool => Cell::Bool(text == "true"),
        ColumnType::Json => Cell::Json(json::parse(text.as_bytes()).map_err(Failure::new)?),
        _ => Cell::from_json(ty, &text.as_str().into()).map_err(Failure::new)?,
    })
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn condition(chance: &mut XorShift, schema: &Schema) -> (String, String) {
    // The last is ours.
    let column = &schema.columns[chance.below(schema.columns.len() - 1)];
    let ty = column.ty;
    let condition = match (chance.below(5), ty) {
        (0, _) | (_, ColumnType::Json) => chance.pick(&["is.null", "is.not_null"]).to_owned(),
        (1, _) => {
            let values: Vec<_> = (0..chance.below(4)).map(|_| quoted(&operand(chance, ty))).collect();
            format!("in.({})", values.join(","))
        }
        (2, ColumnType::Text) => format!("like.{}", chance.pick(PATTERNS)),
        (_, ColumnType::Bool) => format!("{}.{}", chance.pick(&["eq", "ne", "is"]), operand(chance, ty)),
        _ => format!("{}.{}", chance.pick(OPERATORS), operand(chance, ty)),
    };
    (column.name.clone(), condition)
}

fn query(chance: &mut XorShift, schema: &Schema) -> Asked {
    let conditions = (0..chance.below(3)).map(|_| condition(chance, schema)).collect();
    let mut order: Vec<String> = Vec::new();
    for _ in 0..chance.below(4) {
        // Not by JSON, which is the last of those shown and has no order.
        let name = &schema.columns[chance.below(schema.columns.len() - 2)].name;
        if !order.iter().any(|part| part.split('.').next() == Some(name)) {
            order.push(format!("{name}{}", chance.pick(&["", ".asc", ".desc"])));
        }
    }
    Asked { conditions, order: (!order.is_empty()).then(|| order.join(",")) }
}

/// Compares pages of a query with what it says of the rows that were written.
fn agrees(models: &dyn Models, schema: &Schema, rows: &[Row], asked: &Asked, limit: usize) -> Outcome {
    let query = Query::parse(schema, asked).map_err(Failure::new)?;
    let mut after: Option<Place> = None;
    loop {
        let shown = rows.iter().filter(|row| schema.shows(row));
        let expected = query.select(shown, after.as_ref(), limit);
        let selection = Selection { query: &query, after: after.as_ref(), limit, count: true, within: LONG };
        let found = models.select(&schema.model, &selection)?.ok_or_else(|| Failure::new("the query did not fit"))?;
        let what = format!("{asked:?} after {after:?}, {limit} rows");
        let page: Vec<_> = found.page.rows.iter().map(|(row, _)| row).collect();
        same(format!("rows of {what}"), &page, &expected.rows)?;
        same(format!("whether there are more of {what}"), found.page.more, expected.more)?;
        same(format!("the number of rows of {what}"), found.total, Some(expected.total))?;
        ensure(found.page.intact, "rows as they were written are intact")?;
        match page.last().filter(|_| found.page.more) {
            // Through its text, as a reader goes on.
            Some(last) => after = Some(query.place_of(&query.cursor(&query.place(last))).map_err(Failure::new)?),
            None => return Ok(()),
        }
    }
}

/// Asks so many random queries of a table of random rows, and compares what the store gives with what each says.
///
/// # Errors
/// The seed, the query, and what the store gave instead.
pub fn queries_agree(models: &dyn Models, seed: u64, rows: usize, queries: u32) -> Outcome {
    each_query(seed, models, (rows, queries), &mut |schema, written, asked, limit| {
        agrees(models, schema, written, asked, limit)
    })
}

/// What is done with a query: see [`each_query`].
type Does<'d> = dyn FnMut(&Schema, &[Row], &Asked, usize) -> Outcome + 'd;

/// Does something with random queries, so many of a table of so many random rows that were written: with the schema, the rows,
/// the query and a length of pages.
///
/// # Errors
/// The seed, and what was wrong.
pub fn each_query(seed: u64, models: &dyn Models, (rows, queries): (usize, u32), does: &mut Does<'_>) -> Outcome {
    let mut chance = XorShift::new(seed);
    let here = |failure: Failure| Failure::new(format!("seed {seed}: {failure}"));
    for keys in [1, 2] {
        let schema = shape(&format!("queried_{keys}"), keys);
        let mut written = std::collections::BTreeMap::new();
        for n in 0..rows {
            let id = if keys == 1 { format!("{}{n}", chance.pick(TEXTS)) } else { chance.pick(TEXTS).to_owned() };
            let mut cells = vec![Cell::Text(id.into()), Cell::I64(chance.pick(INTS))];
            for column in &schema.columns[2..] {
                cells.push(cell(&mut chance, column.ty)?);
            }
            let row = Row { cells };
            written.insert(Key::of(&schema, &row), row);
        }
        let generation = models.register(&schema)?.generation;
        let upserts = new_rows(written.clone());
        let step = Step { generation, upserts, checkpoint: checkpoint(1), ..Step::default() };
        models.commit(&schema.model, Table::Live, &step)?;
        let shown = written.values().filter(|row| schema.shows(row)).count();
        same("how many rows readers are shown", models.count(&schema.model)?, shown as u64)?;
        for (key, row) in &written {
            same(
                format!("the row of {key}, a tombstone or none"),
                models.get(&schema.model, key)?.row.as_ref(),
                Some(row),
            )?;
        }
        let written: Vec<_> = written.into_values().collect();
        for _ in 0..queries {
            let (asked, limit) = (query(&mut chance, &schema), chance.pick(&[1, 3, 7, 1000]));
            does(&schema, &written, &asked, limit).map_err(here)?;
        }
    }
    Ok(())
}

/// [`queries_agree`] for one seed.
///
/// # Errors
/// What the store gave instead.
pub fn queries_select_what_they_say(stores: &Stores) -> Outcome {
    queries_agree(&*stores.models, 1, 60, 150)
}

/// Rows, checkpoint and parks are of one moment, and a row with a parked event says so.
///
/// # Errors
/// What the store did instead.
pub fn a_query_sees_one_moment_and_what_is_parked(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = schema("parked", 1, 1, &[("id", ColumnType::Text), ("n", ColumnType::I64)]);
    let keys = ["a", "b", "c"].map(Key::text);
    let rows = keys.iter().zip([3, 2, 1]).map(|(key, n)| (key.clone(), row(&schema, key, vec![Cell::I64(n)])));
    let park = Park {
        touch: TouchId { position: Position(4), clause: 0, element: 0 },
        key: Some(keys[1].clone()),
        event_id: EventId::of("shop", "4"),
        state: ParkState::Poison,
        error: "it does not fit".into(),
        at: super::fixture::at(4),
        decision: None,
    };
    let generation = models.register(&schema)?.generation;
    let upserts = new_rows(rows);
    let step = Step { generation, upserts, parks: vec![park], checkpoint: checkpoint(4), ..Step::default() };
    models.commit(&schema.model, Table::Live, &step)?;
    let asked = Asked { conditions: vec![("n".into(), "ge.2".into())], order: Some("n".into()) };
    let query = Query::parse(&schema, &asked).map_err(Failure::new)?;
    let selection = Selection { query: &query, after: None, limit: 10, count: false, within: LONG };
    let found = models.select(&schema.model, &selection)?.ok_or_else(|| Failure::new("the query did not fit"))?;
    let parked: Vec<_> = found.page.rows.iter().map(|(row, parked)| (row.cells[1].clone(), *parked)).collect();
    same("rows and what is parked", parked, vec![(Cell::I64(2), true), (Cell::I64(3), false)])?;
    same("the checkpoint beside them", found.page.state.checkpoint, checkpoint(4))?;
    same("a number nobody asked for", found.total, None)
}

/// A query does not look for rows for longer than it may, and the store goes on.
///
/// # Errors
/// What the store did instead.
pub fn a_query_ends_when_its_time_is_over(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = schema("long", 1, 1, &[("id", ColumnType::Text), ("n", ColumnType::I64)]);
    let keys: Vec<_> = (0..5_000).map(|n| Key::text(format!("k{n}"))).collect();
    let rows = keys.iter().map(|key| (key.clone(), row(&schema, key, vec![Cell::I64(1)])));
    let generation = models.register(&schema)?.generation;
    let step = Step { generation, upserts: new_rows(rows), checkpoint: checkpoint(1), ..Step::default() };
    models.commit(&schema.model, Table::Live, &step)?;
    let asked = |condition: &str, order: Option<&str>| Asked {
        conditions: vec![("n".into(), condition.into())],
        order: order.map(ToOwned::to_owned),
    };
    // One that finds none in all of them, and one that orders and counts them before it gives any.
    for (asked, count) in [(asked("eq.2", None), false), (asked("ne.2", Some("n.desc")), true)] {
        let query = Query::parse(&schema, &asked).map_err(Failure::new)?;
        let selection = |within| Selection { query: &query, after: None, limit: 10, count, within };
        let refused = models.select(&schema.model, &selection(Duration::ZERO)).err();
        same(format!("{asked:?} without time"), refused, Some(StoreError::TooLong(Duration::ZERO)))?;
        ensure(models.select(&schema.model, &selection(LONG))?.is_some(), "with time it is answered")?;
    }
    same("the rows of the next read", models.rows(&schema.model, Table::Live, None, 10)?.rows.len(), 10)
}

/// A query that was made for a table of another shape selects nothing rather than something else.
///
/// # Errors
/// What the store did instead.
pub fn a_query_of_another_shape_selects_nothing(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let old = schema("shape", 1, 1, &[("id", ColumnType::Text), ("n", ColumnType::I64)]);
    let new = schema("shape", 2, 1, &[("id", ColumnType::Text), ("n", ColumnType::Text)]);
    models.register(&old)?;
    for (schema, fits) in [(&old, true), (&new, false)] {
        let query = Query::all(schema);
        let selection = Selection { query: &query, after: None, limit: 10, count: false, within: LONG };
        same(format!("version {}", schema.version), models.select(&old.model, &selection)?.is_some(), fits)?;
    }
    Ok(())
}
