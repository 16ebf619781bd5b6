//! Between cells and columns.
//!
//! Writing is exact. Reading forgives: a value that is not one of its column's type, as a foreign edit may leave, comes
//! back as the nearest cell that shows what is there (text, an integer, or the text of a fraction or of bytes), so that
//! verification can name it. It never fails the read of the other rows.
use super::layout::Layout;
use crate::sqlite::fault::{Fallible, Fault};
use evenkeel_core::{
    decimal::Money,
    json,
    row::{Cell, Key, KeyPart, Row},
    schema::ColumnType,
};
use rusqlite::{Statement, types::ValueRef};

/// Binds the parts of a key, from the first parameter on.
pub(super) fn bind_key(statement: &mut Statement<'_>, layout: &Layout, key: &Key) -> Fallible<()> {
    check_key(layout, key)?;
    for (i, part) in key.0.iter().enumerate() {
        bind_part(statement, i + 1, part)?;
    }
    Ok(())
}

fn check_key(layout: &Layout, key: &Key) -> Fallible<()> {
    let (expected, found) = (layout.schema.key.len(), key.0.len());
    if expected == found {
        return Ok(());
    }
    Err(Fault::refused(format!("a key of {found} parts for {}, whose key has {expected}", layout.schema.model)))
}

fn bind_part(statement: &mut Statement<'_>, parameter: usize, part: &KeyPart) -> Fallible<()> {
    match part {
        KeyPart::I64(int) => statement.raw_bind_parameter(parameter, int)?,
        KeyPart::Text(text) => statement.raw_bind_parameter(parameter, text)?,
    }
    Ok(())
}

/// Binds a whole row for [`Layout::upsert`].
pub(super) fn bind_row(statement: &mut Statement<'_>, layout: &Layout, key: &Key, row: &Row) -> Fallible<()> {
    check_key(layout, key)?;
    let schema = &layout.schema;
    let (expected, found) = (schema.columns.len(), row.cells.len());
    if expected != found {
        return Err(Fault::refused(format!("a row of {found} cells for {}, which has {expected}", schema.model)));
    }
    let mut parameter = 0;
    for (index, column) in schema.columns.iter().enumerate() {
        parameter += 1;
        match layout.key_part[index] {
            Some(part) => bind_part(statement, parameter, &key.0[part])?,
            None => bind_cell(statement, parameter, &row.cells[index])?,
        }
        if let ColumnType::Money { currency } = column.ty {
            parameter += 1;
            statement.raw_bind_parameter(parameter, minor(&row.cells[index], &row.cells[currency]))?;
        }
    }
    Ok(())
}

fn bind_cell(statement: &mut Statement<'_>, parameter: usize, cell: &Cell) -> Fallible<()> {
    match cell {
        Cell::Null => statement.raw_bind_parameter(parameter, rusqlite::types::Null)?,
        Cell::Text(text) => statement.raw_bind_parameter(parameter, text)?,
        Cell::I64(int) => statement.raw_bind_parameter(parameter, int)?,
        Cell::Bool(b) => statement.raw_bind_parameter(parameter, b)?,
        Cell::Decimal(decimal) => statement.raw_bind_parameter(parameter, decimal.to_string())?,
        Cell::Timestamp(at) => statement.raw_bind_parameter(parameter, at.to_string())?,
        Cell::Date(date) => statement.raw_bind_parameter(parameter, date.to_string())?,
        Cell::Json(value) => statement.raw_bind_parameter(parameter, serde_json::to_string(value)?)?,
    }
    Ok(())
}

/// Whole minor units, for plain SQL to sum and sort.
fn minor(amount: &Cell, currency: &Cell) -> Option<i64> {
    let (Cell::Decimal(amount), Cell::Text(currency)) = (amount, currency) else { return None };
    Money::new(*amount, currency.parse().ok()?).ok()?.minor().ok()
}

/// The row whose columns were read in order.
pub(super) fn row(layout: &Layout, found: &rusqlite::Row<'_>) -> Fallible<Row> {
    let mut cells = Vec::with_capacity(layout.schema.columns.len());
    for (index, column) in layout.schema.columns.iter().enumerate() {
        cells.push(cell(column.ty, found.get_ref(index)?));
    }
    Ok(Row { cells })
}

/// The cell that a stored value is, by the rule above.
pub(super) fn cell(ty: ColumnType, value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(int) => match (ty, int) {
            (ColumnType::Bool, 0 | 1) => Cell::Bool(int == 1),
            _ => Cell::I64(int),
        },
        ValueRef::Text(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            let typed = match ty {
                ColumnType::Decimal | ColumnType::Money { .. } => text.parse().ok().map(Cell::Decimal),
                ColumnType::Timestamp => text.parse().ok().map(Cell::Timestamp),
                ColumnType::Date => text.parse().ok().map(Cell::Date),
                ColumnType::Json => json::parse(bytes).ok().map(Cell::Json),
                ColumnType::Text | ColumnType::Iso4217 | ColumnType::I64 | ColumnType::Bool => None,
            };
            typed.unwrap_or_else(|| Cell::Text(text.into_owned()))
        }
        ValueRef::Real(real) => Cell::Text(real.to_string()),
        ValueRef::Blob(bytes) => Cell::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}
