//! Which rows of a model are wanted, and in which order: conditions on columns, an order that ends with the key, and the
//! place in it where a page ended.
//!
//! Pure: [`Query::select`] says what the answer is, and every store gives that answer. The rules:
//!
//! | column | compared |
//! |---|---|
//! | text, iso4217, date, timestamp | as it is stored: text by its bytes, dates and instants (UTC, microseconds) by time |
//! | i64, bool | as numbers; false before true |
//! | decimal, money | as exact numbers, so that 1.5 and 1.50 are equal; amounts of money whatever their currency |
//! | json | only whether it is null |
//!
//! Null meets no condition but `is.null`, not even `ne`; in an ascending order it comes first. A value that is not one of
//! its column's type, as a foreign edit may leave, comes after all that are.
//!
//! Not here: SQL (stores), and how fresh the answer is (the runtime). Beside: `query/parse.rs` (from text),
//! `query/cursor.rs` (the place in an order as text), `query/like.rs` (patterns).
mod cursor;
mod like;
mod parse;
#[cfg(test)]
mod tests;

pub use like::Pattern;
pub use parse::{Asked, MOST_CONDITIONS, MOST_VALUES, QueryError};

use crate::{
    decimal::Decimal,
    ids::ModelName,
    row::{Cell, Row},
    schema::{Column, ColumnType, Schema},
};
use std::{borrow::Cow, cmp::Ordering, fmt};

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// It is the same.
    Eq,
    /// It is another.
    Ne,
    /// It is less.
    Lt,
    /// It is less, or the same.
    Le,
    /// It is greater.
    Gt,
    /// It is greater, or the same.
    Ge,
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Eq => ordering.is_eq(),
            Self::Ne => ordering.is_ne(),
            Self::Lt => ordering.is_lt(),
            Self::Le => ordering.is_le(),
            Self::Gt => ordering.is_gt(),
            Self::Ge => ordering.is_ge(),
        }
    }
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// It compares so with this, which is never null.
    Compare(Comparison, Cell),
    /// It is one of these, none of which is null.
    In(Vec<Cell>),
    /// It is text like this.
    Like(Pattern),
    /// Whether it is null.
    Null(bool),
}

/// A condition on one column.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The index of the column.
    pub column: usize,
    /// What its value must be.
    pub test: Test,
}

/// One column of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// The index of the column.
    pub column: usize,
    /// Whether the greatest comes first, and null last.
    pub descending: bool,
}

/// Where a row stands in the order of a query: its values of the columns it is ordered by.
#[derive(Debug, Clone, PartialEq)]
pub struct Place(Vec<Cell>);

impl Place {
    /// The values, one for each column of [`Query::order`].
    pub fn cells(&self) -> &[Cell] {
        &self.0
    }
}

/// Which rows of a model are wanted and in which order, for tables of one shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    model: ModelName,
    columns: Vec<Column>,
    key: Vec<usize>,
    conditions: Vec<Condition>,
    order: Vec<Sort>,
}

/// What a query gives of some rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected<'r> {
    /// The page, in order.
    pub rows: Vec<&'r Row>,
    /// Whether there are more.
    pub more: bool,
    /// How many rows meet the conditions, on this page and others.
    pub total: u64,
}

impl Query {
    /// All rows in order of their keys.
    pub fn all(schema: &Schema) -> Self {
        Self::new(schema, Vec::new(), Vec::new())
    }

    /// These rows in this order. The columns of the key are added to it where they are not in it, so that no two rows
    /// stand at one place.
    fn new(schema: &Schema, conditions: Vec<Condition>, mut order: Vec<Sort>) -> Self {
        for &column in &schema.key {
            if order.iter().all(|sort| sort.column != column) {
                order.push(Sort { column, descending: false });
            }
        }
        Self {
            model: schema.model.clone(),
            columns: schema.columns.clone(),
            key: schema.key.clone(),
            conditions,
            order,
        }
    }

    /// Whether it was made for tables like this.
    pub fn fits(&self, schema: &Schema) -> bool {
        self.model == schema.model && self.columns == schema.columns && self.key == schema.key
    }

    /// What all rows must meet.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// The columns that rows are ordered by, among them all columns of the key.
    pub fn order(&self) -> &[Sort] {
        &self.order
    }

    /// Whether all rows are wanted, in order of their keys.
    pub fn is_all(&self) -> bool {
        self.conditions.is_empty() && self.is_by_key()
    }

    /// Whether the order is that of the keys.
    pub fn is_by_key(&self) -> bool {
        self.order.iter().all(|sort| !sort.descending) && self.order.iter().map(|sort| sort.column).eq(self.key.clone())
    }

    /// The type of a column it names.
    pub fn ty(&self, column: usize) -> ColumnType {
        self.columns[column].ty
    }

    /// Where a row stands.
    pub fn place(&self, row: &Row) -> Place {
        Place(self.order.iter().map(|sort| row.cells[sort.column].clone()).collect())
    }

    /// Whether a row comes after a place.
    pub fn is_behind(&self, row: &Row, place: &Place) -> bool {
        let cells = self.order.iter().map(|sort| &row.cells[sort.column]);
        self.compare(cells, place.0.iter()).is_gt()
    }

    fn compare<'c>(&self, a: impl Iterator<Item = &'c Cell>, b: impl Iterator<Item = &'c Cell>) -> Ordering {
        let compared = self.order.iter().zip(a.zip(b)).map(|(sort, (a, b))| {
            let ordering = order(self.ty(sort.column), a, b);
            if sort.descending { ordering.reverse() } else { ordering }
        });
        compared.fold(Ordering::Equal, Ordering::then)
    }

    /// Whether a row meets the conditions.
    pub fn matches(&self, row: &Row) -> bool {
        self.conditions.iter().all(|condition| {
            let (cell, ty) = (&row.cells[condition.column], self.ty(condition.column));
            match &condition.test {
                Test::Null(is_null) => cell.is_null() == *is_null,
                _ if cell.is_null() => false,
                Test::Compare(comparison, value) => comparison.holds(order(ty, cell, value)),
                Test::In(values) => values.iter().any(|value| order(ty, cell, value).is_eq()),
                Test::Like(pattern) => pattern.matches(&text(cell)),
            }
        })
    }

    /// A page of rows given in any order: what the answer of every store is.
    pub fn select<'r>(
        &self,
        rows: impl IntoIterator<Item = &'r Row>,
        after: Option<&Place>,
        limit: usize,
    ) -> Selected<'r> {
        let mut rows: Vec<_> = rows.into_iter().filter(|row| self.matches(row)).collect();
        let total = rows.len() as u64;
        rows.retain(|row| after.is_none_or(|place| self.is_behind(row, place)));
        let cells = |row: &'r Row| self.order.iter().map(|sort| &row.cells[sort.column]);
        rows.sort_by(|a, b| self.compare(cells(a), cells(b)));
        let more = rows.len() > limit;
        rows.truncate(limit);
        Selected { rows, more, total }
    }
}

/// How two values of a column of this type compare.
fn order(ty: ColumnType, a: &Cell, b: &Cell) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Less,
        (false, true) => return Ordering::Greater,
        (false, false) => {}
    }
    let by_text = || text(a).as_bytes().cmp(text(b).as_bytes());
    match ty {
        ColumnType::I64 | ColumnType::Bool => typed(int(a), int(b)).unwrap_or_else(by_text),
        ColumnType::Decimal | ColumnType::Money { .. } => typed(decimal(a), decimal(b)).unwrap_or_else(by_text),
        _ => by_text(),
    }
}

/// How the texts of two decimals compare: as numbers, and what is none after all that are.
pub fn order_decimal_texts(a: &str, b: &str) -> Ordering {
    typed(a.parse::<Decimal>().ok(), b.parse().ok()).unwrap_or_else(|| a.as_bytes().cmp(b.as_bytes()))
}

fn typed<T: Ord>(a: Option<T>, b: Option<T>) -> Option<Ordering> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (None, None) => None,
    }
}

fn int(cell: &Cell) -> Option<i64> {
    match cell {
        Cell::I64(int) => Some(*int),
        Cell::Bool(b) => Some(i64::from(*b)),
        _ => None,
    }
}

fn decimal(cell: &Cell) -> Option<Decimal> {
    match cell {
        Cell::Decimal(decimal) => Some(*decimal),
        Cell::Text(text) => text.parse().ok(),
        _ => None,
    }
}

/// The text a value is stored as.
fn text(cell: &Cell) -> Cow<'_, str> {
    let shown: &dyn fmt::Display = match cell {
        Cell::Null => return Cow::Borrowed(""),
        Cell::Text(text) => return Cow::Borrowed(text),
        Cell::I64(int) => int,
        Cell::Decimal(decimal) => decimal,
        Cell::Bool(b) => return Cow::Borrowed(if *b { "1" } else { "0" }),
        Cell::Timestamp(at) => at,
        Cell::Date(date) => date,
        Cell::Json(value) => value,
        // No reader asks for a column that holds bytes.
        Cell::Bytes(bytes) => return Cow::Owned(crate::row::hex(bytes)),
    };
    Cow::Owned(shown.to_string())
}
