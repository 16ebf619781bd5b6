//! Queries in SQL: conditions, order and the place where a page ended, every value as a bound parameter.
//!
//! What a query means is said in [`evenkeel_core::query`]; here nothing but names of columns of the stored schema becomes
//! part of a statement.
use super::{
    cells,
    layout::{Layout, quote},
    parks::Waiting,
};
use crate::{
    Selection,
    sqlite::{
        compare::{DECIMAL, LIKE},
        fault::Fallible,
        fields::Fields,
    },
};
use evenkeel_core::{
    query::{Comparison, Condition, Place, Query, Sort, Test},
    row::{Cell, Key, Row},
    schema::ColumnType,
};
use rusqlite::{Connection, params_from_iter, types::Value};

/// What was found.
pub(super) struct Found {
    pub(super) rows: Vec<(Row, bool)>,
    pub(super) more: bool,
    pub(super) intact: bool,
    pub(super) total: Option<u64>,
}

/// A piece of SQL and the values of its parameters, in order.
#[derive(Default)]
struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    fn add(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    fn bind(&mut self, cell: &Cell) -> &mut Self {
        self.values.push(stored(cell));
        self.add("?")
    }
}

/// The rows of a selection that fits the layout.
pub(super) fn select(
    conn: &Connection,
    layout: &Layout,
    selection: &Selection<'_>,
    mut waiting: Waiting<'_>,
) -> Fallible<Found> {
    let query = selection.query;
    let mut sql = Sql::default();
    sql.add(&format!("SELECT {} FROM {}", layout.columns, layout.name));
    conditions(&mut sql, layout, query);
    if let Some(place) = selection.after {
        sql.add(" AND ");
        behind(&mut sql, layout, query, place);
    }
    let order: Vec<_> = query.order().iter().map(|sort| sorted(layout, *sort)).collect();
    sql.add(&format!(" ORDER BY {} LIMIT ?", order.join(", ")));
    // One more than wanted tells whether there are more.
    let enough = i64::try_from(selection.limit.saturating_add(1)).unwrap_or(i64::MAX);
    let mut found = page(conn, layout, selection, &sql, enough, &mut waiting)?;
    if found.is_none() {
        found = page(conn, layout, selection, &sql, super::content::NO_LIMIT, &mut waiting)?;
    }
    let mut found = found.unwrap_or(Found { rows: Vec::new(), more: false, intact: false, total: None });
    if selection.count {
        let mut sql = Sql::default();
        sql.add(&format!("SELECT count(*) FROM {}", layout.name));
        conditions(&mut sql, layout, query);
        let mut count = conn.prepare_cached(&sql.text)?;
        let mut rows = count.query(params_from_iter(&sql.values))?;
        found.total = rows.next()?.map(|row| Fields(row).number(0)).transpose()?;
    }
    Ok(found)
}

/// A page. `None` where rows of the `most` had to be left out, and there may be others: bytes that are no text are read
/// as other text, and a page that ended with such a row must not be followed by itself.
fn page(
    conn: &Connection,
    layout: &Layout,
    selection: &Selection<'_>,
    sql: &Sql,
    most: i64,
    waiting: &mut Waiting<'_>,
) -> Fallible<Option<Found>> {
    let mut select = conn.prepare_cached(&sql.text)?;
    let values = sql.values.iter().cloned().chain([Value::Integer(most)]);
    let mut found = select.query(params_from_iter(values))?;
    let mut hasher = layout.hasher.clone();
    let (mut rows, mut more, mut intact) = (Vec::with_capacity(selection.limit.min(1024)), false, true);
    let (mut read, mut left_out) = (0, false);
    while let Some(row) = found.next()? {
        read += 1;
        let cells = cells::row(layout, row)?;
        if selection.after.is_some_and(|place| !selection.query.is_behind(&cells, place)) {
            left_out = true;
            continue;
        }
        if rows.len() == selection.limit {
            more = true;
            break;
        }
        intact &= cells::meant(layout, row)? == Some(cells::digest(layout, row, &mut hasher)?);
        let is_parked = waiting.any() && waiting.of(&Key::of(&layout.schema, &cells))? > 0;
        rows.push((cells, is_parked));
    }
    let is_short = left_out && !more && most == read;
    Ok((!is_short).then_some(Found { rows, more, intact, total: None }))
}

/// A column as it is compared.
fn compared(layout: &Layout, column: usize) -> String {
    let declared = &layout.schema.columns[column];
    match declared.ty {
        ColumnType::Decimal | ColumnType::Money { .. } => format!("{} COLLATE {DECIMAL}", quote(&declared.name)),
        _ => quote(&declared.name),
    }
}

fn sorted(layout: &Layout, sort: Sort) -> String {
    format!("{}{}", compared(layout, sort.column), if sort.descending { " DESC" } else { "" })
}

fn conditions(sql: &mut Sql, layout: &Layout, query: &Query) {
    sql.add(&format!(" WHERE {}", layout.shown()));
    for Condition { column, test } in query.conditions() {
        sql.add(" AND ");
        let name = compared(layout, *column);
        match test {
            Test::Compare(comparison, value) => sql.add(&format!("{name} {} ", operator(*comparison))).bind(value),
            Test::In(values) => {
                sql.add(&format!("{name} IN ("));
                for (n, value) in values.iter().enumerate() {
                    sql.add(if n == 0 { "" } else { ", " }).bind(value);
                }
                sql.add(")")
            }
            Test::Like(pattern) => {
                sql.add(&format!("{LIKE}(")).bind(&Cell::Text(pattern.to_string().into())).add(&format!(", {name})"))
            }
            Test::Null(true) => sql.add(&format!("{name} IS NULL")),
            Test::Null(false) => sql.add(&format!("{name} IS NOT NULL")),
        };
    }
}

fn operator(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Eq => "=",
        Comparison::Ne => "<>",
        Comparison::Lt => "<",
        Comparison::Le => "<=",
        Comparison::Gt => ">",
        Comparison::Ge => ">=",
    }
}

/// That a row comes after a place. In the order of the keys it is said so that the primary key answers it.
fn behind(sql: &mut Sql, layout: &Layout, query: &Query, place: &Place) {
    let ordered: Vec<_> = query.order().iter().copied().zip(place.cells()).collect();
    if query.is_by_key() {
        let names: Vec<_> = ordered.iter().map(|(sort, _)| compared(layout, sort.column)).collect();
        sql.add(&format!("({}) > (", names.join(", ")));
        for (n, (_, cell)) in ordered.iter().enumerate() {
            sql.add(if n == 0 { "" } else { ", " }).bind(cell);
        }
        sql.add(")");
        return;
    }
    // Behind in one column, and alike in all before it.
    sql.add("(");
    for (n, (sort, cell)) in ordered.iter().enumerate() {
        sql.add(if n == 0 { "(" } else { " OR (" });
        for (before, cell) in &ordered[..n] {
            sql.add(&format!("{} IS ", compared(layout, before.column))).bind(cell).add(" AND ");
        }
        let name = compared(layout, sort.column);
        match (sort.descending, cell) {
            (false, Cell::Null) => sql.add(&format!("{name} IS NOT NULL")),
            (false, cell) => sql.add(&format!("{name} > ")).bind(cell),
            // Null is last.
            (true, Cell::Null) => sql.add("false"),
            (true, cell) => {
                sql.add(&format!("({name} < ")).bind(cell);
                sql.add(&format!(" OR {name} IS NULL)"))
            }
        };
        sql.add(")");
    }
    sql.add(")");
}

/// A value as its column stores it.
fn stored(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Text(text) => Value::Text(text.to_string()),
        Cell::I64(int) => Value::Integer(*int),
        Cell::Bool(b) => Value::Integer(i64::from(*b)),
        Cell::Decimal(decimal) => Value::Text(decimal.to_string()),
        Cell::Timestamp(at) => Value::Text(at.to_string()),
        Cell::Date(date) => Value::Text(date.to_string()),
        Cell::Json(value) => Value::Text(value.to_string()),
        Cell::Bytes(bytes) => Value::Blob(bytes.to_vec()),
    }
}
