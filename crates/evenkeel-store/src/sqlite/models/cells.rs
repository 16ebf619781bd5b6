//! Between cells and columns.
//!
//! Writing is exact. Reading forgives: a value that is not one of its column's type, as a foreign edit may leave, comes
//! back as the nearest cell that shows what is there (text, an integer, or the text of a fraction or of bytes), so that
//! verification can name it. It never fails the read of the other rows.
use super::layout::Layout;
use crate::sqlite::fault::{Fallible, Fault};
use evenkeel_core::{
    digest::{RowDigest, RowHasher, minor_units},
    json,
    row::{Cell, Key, KeyPart, Row, hex},
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
        KeyPart::Text(text) => statement.raw_bind_parameter(parameter, text.as_str())?,
    }
    Ok(())
}

/// Binds a whole row for [`Layout::upsert`], and its digest, which is of the columns as they are stored.
pub(super) fn bind_row(
    statement: &mut Statement<'_>,
    layout: &Layout,
    key: &Key,
    row: &Row,
    hasher: &mut RowHasher,
) -> Fallible<RowDigest> {
    check_key(layout, key)?;
    let schema = &layout.schema;
    let (expected, found) = (schema.columns.len(), row.cells.len());
    if expected != found {
        return Err(Fault::refused(format!("a row of {found} cells for {}, which has {expected}", schema.model)));
    }
    let mut parameter = 0;
    hasher.start();
    for (index, column) in schema.columns.iter().enumerate() {
        parameter += 1;
        match layout.key_part[index] {
            Some(part) => {
                bind_part(statement, parameter, &key.0[part])?;
                match &key.0[part] {
                    KeyPart::I64(int) => hasher.int(*int),
                    KeyPart::Text(text) => hasher.text(text.as_bytes()),
                }
            }
            None => bind_cell(statement, parameter, &row.cells[index], hasher)?,
        }
        if let ColumnType::Money { currency } = column.ty {
            parameter += 1;
            let minor = minor_units(&row.cells[index], &row.cells[currency]);
            statement.raw_bind_parameter(parameter, minor)?;
            match minor {
                Some(minor) => hasher.int(minor),
                None => hasher.null(),
            }
        }
    }
    let digest = hasher.finish();
    statement.raw_bind_parameter(parameter + 1, digest.0)?;
    Ok(digest)
}

fn bind_cell(statement: &mut Statement<'_>, parameter: usize, cell: &Cell, hasher: &mut RowHasher) -> Fallible<()> {
    let text = match cell {
        Cell::Null => {
            hasher.null();
            return Ok(statement.raw_bind_parameter(parameter, rusqlite::types::Null)?);
        }
        Cell::I64(int) => {
            hasher.int(*int);
            return Ok(statement.raw_bind_parameter(parameter, int)?);
        }
        Cell::Bool(b) => {
            hasher.int(i64::from(*b));
            return Ok(statement.raw_bind_parameter(parameter, b)?);
        }
        Cell::Text(text) => {
            hasher.text(text.as_bytes());
            return Ok(statement.raw_bind_parameter(parameter, text.as_str())?);
        }
        Cell::Decimal(decimal) => decimal.to_string(),
        Cell::Timestamp(at) => at.to_string(),
        Cell::Date(date) => date.to_string(),
        Cell::Json(value) => serde_json::to_string(value)?,
        Cell::Bytes(bytes) => {
            hasher.bytes(bytes);
            return Ok(statement.raw_bind_parameter(parameter, bytes.as_ref())?);
        }
    };
    hasher.text(text.as_bytes());
    Ok(statement.raw_bind_parameter(parameter, text)?)
}

/// The digest of the columns that were read, as they are there.
pub(super) fn digest(layout: &Layout, found: &rusqlite::Row<'_>, hasher: &mut RowHasher) -> Fallible<RowDigest> {
    hasher.start();
    for field in 0..layout.fields {
        match found.get_ref(field)? {
            ValueRef::Null => hasher.null(),
            ValueRef::Integer(int) => hasher.int(int),
            ValueRef::Text(text) => hasher.text(text),
            ValueRef::Real(real) => hasher.foreign(&real.to_le_bytes()),
            ValueRef::Blob(bytes) => hasher.bytes(bytes),
        }
    }
    Ok(hasher.finish())
}

/// The digest that was written with the row, if it has one.
pub(super) fn meant(layout: &Layout, found: &rusqlite::Row<'_>) -> Fallible<Option<RowDigest>> {
    Ok(match found.get_ref(layout.fields)? {
        ValueRef::Blob(bytes) => bytes.try_into().ok().map(RowDigest),
        _ => None,
    })
}

/// The key of the row that was read.
pub(super) fn key(layout: &Layout, found: &rusqlite::Row<'_>) -> Fallible<Key> {
    let parts = layout.schema.key.iter().map(|&index| {
        Ok(match cell(ColumnType::Text, found.get_ref(layout.place[index])?) {
            Cell::I64(int) => KeyPart::I64(int),
            Cell::Text(text) => KeyPart::Text(text),
            // Key columns are NOT NULL, and STRICT.
            _ => return Err(Fault::Bad("a row without a key".into())),
        })
    });
    parts.collect::<Fallible<_>>().map(Key)
}

/// The row whose columns were read in order.
pub(super) fn row(layout: &Layout, found: &rusqlite::Row<'_>) -> Fallible<Row> {
    let mut cells = Vec::with_capacity(layout.schema.columns.len());
    for (index, column) in layout.schema.columns.iter().enumerate() {
        cells.push(cell(column.ty, found.get_ref(layout.place[index])?));
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
                ColumnType::Text | ColumnType::Iso4217 | ColumnType::I64 | ColumnType::Bool | ColumnType::Bytes => None,
            };
            typed.unwrap_or_else(|| Cell::Text(text.into()))
        }
        ValueRef::Real(real) => Cell::Text(real.to_string().into()),
        ValueRef::Blob(bytes) if ty == ColumnType::Bytes => Cell::Bytes(bytes.into()),
        ValueRef::Blob(bytes) => Cell::Text(hex(bytes).into()),
    }
}
