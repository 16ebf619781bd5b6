//! Rows of a read model: typed cells and the key that names a row.
//!
//! Conversion from events is here ([`Cell::from_json`]); conversion to columns of a database is the stores'.
use crate::{
    decimal::{Currency, Decimal},
    event::Found,
    json::{Number, Object, Value},
    schema::{Column, ColumnType, Schema},
    time::{Date, Timestamp},
};
use serde::{Serialize, Serializer};
use smallvec::SmallVec;
use smol_str::SmolStr;
use std::fmt;

/// The value of one column in one row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Cell {
    /// Nothing was set.
    #[default]
    Null,
    /// Text, or the code of a currency
    Text(SmolStr),
    /// An integer
    I64(i64),
    /// An exact decimal, or the amount of money
    Decimal(Decimal),
    /// True or false
    Bool(bool),
    /// An instant
    Timestamp(Timestamp),
    /// A date
    Date(Date),
    /// Any JSON
    Json(Value),
    /// Bytes, of columns of our own
    Bytes(Box<[u8]>),
}

/// A value that does not fit its column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct Misfit {
    /// What the column holds.
    pub expected: String,
    /// What was there instead.
    pub found: String,
}

impl Cell {
    /// The cell that a JSON value of an event is in a column of type `ty`. For money this is the amount, either by
    /// itself or from `{"amount", "currency"}`.
    ///
    /// # Errors
    /// Where the value is not of that type. Nothing is coerced: text that looks like an integer is not an integer.
    pub fn from_json(ty: ColumnType, value: &Value) -> Result<Self, Misfit> {
        let misfit = |expected: &str| Misfit { expected: expected.to_owned(), found: found(value) };
        Ok(match (ty, value) {
            (ColumnType::Json, value) => Self::Json(value.clone()),
            (_, Value::Null) => Self::Null,
            (ColumnType::Text, Value::String(text)) => Self::Text(text.clone()),
            (ColumnType::Text, _) => return Err(misfit("text")),
            (ColumnType::I64, Value::Number(Number::Int(int))) => Self::I64(*int),
            (ColumnType::I64, _) => return Err(misfit("an integer of 64 bits")),
            (ColumnType::Bool, Value::Bool(b)) => Self::Bool(*b),
            (ColumnType::Bool, _) => return Err(misfit("true or false")),
            (ColumnType::Money { .. }, Value::Object(money)) => {
                return money
                    .get("amount")
                    .map_or_else(|| Err(misfit("money")), |a| Self::from_json(ColumnType::Decimal, a));
            }
            (ColumnType::Decimal | ColumnType::Money { .. }, Value::Number(Number::Int(int))) => {
                Self::Decimal((*int).into())
            }
            (ColumnType::Decimal | ColumnType::Money { .. }, Value::Number(Number::Exact(text))) => Self::Decimal(
                text.parse()
                    .map_err(|error| Misfit { expected: "an exact decimal".into(), found: format!("{error}") })?,
            ),
            (ColumnType::Decimal | ColumnType::Money { .. }, Value::String(text)) => {
                Self::Decimal(text.parse().map_err(|_| misfit("an exact decimal"))?)
            }
            (ColumnType::Decimal | ColumnType::Money { .. }, _) => return Err(misfit("an exact decimal")),
            (ColumnType::Iso4217, Value::String(text)) => {
                let currency: Currency = text.parse().map_err(|_| misfit("a currency code of ISO 4217"))?;
                Self::Text(currency.code().into())
            }
            (ColumnType::Iso4217, _) => return Err(misfit("a currency code of ISO 4217")),
            (ColumnType::Timestamp, Value::String(text)) => {
                Self::Timestamp(text.parse().map_err(|_| misfit("an RFC 3339 time"))?)
            }
            (ColumnType::Timestamp, _) => return Err(misfit("an RFC 3339 time")),
            (ColumnType::Date, Value::String(text)) => Self::Date(text.parse().map_err(|_| misfit("a date"))?),
            (ColumnType::Date, _) => return Err(misfit("a date")),
            (ColumnType::Bytes, _) => return Err(misfit("nothing: the column is Evenkeel's own")),
        })
    }

    /// As [`Cell::from_json`], for what a pointer found in an event.
    ///
    /// # Errors
    /// Where the value is not of that type.
    pub fn from_found(ty: ColumnType, found: &Found<'_>) -> Result<Self, Misfit> {
        match found {
            Found::Value(value) => Self::from_json(ty, value),
            Found::Text(text) if ty == ColumnType::Text => Ok(Self::Text(text.as_ref().into())),
            Found::Int(int) if ty == ColumnType::I64 => Ok(Self::I64(*int)),
            Found::Text(_) | Found::Int(_) => Self::from_json(ty, &found.to_value()),
        }
    }

    /// Whether nothing was set.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The JSON value readers see: an i64 is a number, decimals and money are text, and bytes hexadecimal.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Text(text) => text.clone().into(),
            Self::I64(int) => (*int).into(),
            Self::Decimal(decimal) => decimal.to_string().into(),
            Self::Bool(b) => (*b).into(),
            Self::Timestamp(at) => at.to_string().into(),
            Self::Date(date) => date.to_string().into(),
            Self::Json(value) => value.clone(),
            Self::Bytes(bytes) => hex(bytes).into(),
        }
    }
}

/// Bytes as text, two digits each.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// A value for messages: what it is, and the value itself where that is short.
pub(crate) fn found(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some(_) => value.kind().to_owned(),
        None => format!("{} {text}", value.kind()),
    }
}

/// One part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyPart {
    /// An integer
    I64(i64),
    /// Text, a date or a currency code
    Text(SmolStr),
}

impl fmt::Display for KeyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I64(int) => int.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// What names a row of a model: the values of its key columns, none of them null.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub SmallVec<[KeyPart; 1]>);

impl Key {
    /// The key of one text column.
    pub fn text(text: impl Into<SmolStr>) -> Self {
        Self(smallvec::smallvec![KeyPart::Text(text.into())])
    }

    /// Reads a key from the texts of a path or a command line, by the types of `schema`.
    ///
    /// # Errors
    /// Where the number or the types of the parts are not those of the model's key.
    ///
    /// ```
    /// use evenkeel_core::{Digest, row::Key, schema::{Column, ColumnType, Merge, Schema}};
    /// let column = |name: &str, ty| Column { name: name.into(), ty, merge: Merge::Lww };
    /// let schema = Schema {
    ///     model: "stock".into(),
    ///     version: 1,
    ///     key: vec![0, 1],
    ///     columns: vec![column("product", ColumnType::Text), column("day", ColumnType::Date)],
    ///     subscribes: Default::default(),
    ///     fingerprint: Digest::of(b"stock 1"),
    /// };
    /// assert_eq!(Key::parse(&schema, &["p-1", "2026-01-31"])?.to_string(), "p-1/2026-01-31");
    /// assert!(Key::parse(&schema, &["p-1"]).is_err());
    /// assert!(Key::parse(&schema, &["p-1", "tomorrow"]).is_err());
    /// # Ok::<(), evenkeel_core::row::Misfit>(())
    /// ```
    pub fn parse(schema: &Schema, parts: &[impl AsRef<str>]) -> Result<Self, Misfit> {
        if parts.len() != schema.key.len() {
            let names: Vec<_> = schema.key.iter().map(|&i| schema.columns[i].name.as_str()).collect();
            return Err(Misfit {
                expected: format!("a key of {} ({})", names.len(), names.join(", ")),
                found: format!("{} part{}", parts.len(), if parts.len() == 1 { "" } else { "s" }),
            });
        }
        let part = |(&column, text): (&usize, &str)| match schema.columns[column].ty {
            ColumnType::I64 => text.parse().map(KeyPart::I64).map_err(|_| Misfit {
                expected: format!("an integer for {}", schema.columns[column].name),
                found: format!("{text:?}"),
            }),
            ColumnType::Text => Ok(KeyPart::Text(text.into())),
            ty => Cell::from_json(ty, &text.into()).map(|_| KeyPart::Text(text.into())),
        };
        schema.key.iter().zip(parts.iter().map(AsRef::as_ref)).map(part).collect::<Result<_, _>>().map(Self)
    }

    /// The cells of the key columns, in the key's order.
    pub fn cells<'k>(&'k self, schema: &'k Schema) -> impl Iterator<Item = (usize, Cell)> + 'k {
        schema.key.iter().zip(&self.0).map(|(&column, part)| {
            let cell = match (part, schema.columns[column].ty) {
                (KeyPart::I64(int), _) => Cell::I64(*int),
                (KeyPart::Text(text), ColumnType::Date) => text.parse().map_or(Cell::Null, Cell::Date),
                (KeyPart::Text(text), _) => Cell::Text(text.clone()),
            };
            (column, cell)
        })
    }

    /// The key of a row.
    pub fn of(schema: &Schema, row: &Row) -> Self {
        let part = |&column: &usize| match &row.cells[column] {
            Cell::I64(int) => KeyPart::I64(*int),
            Cell::Text(text) => KeyPart::Text(text.clone()),
            other => KeyPart::Text(other.to_json().as_str().unwrap_or_default().into()),
        };
        Self(schema.key.iter().map(part).collect())
    }
}

impl fmt::Display for Key {
    /// The parts with `/` between them, as in the path of a read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            write!(f, "{}{part}", if i == 0 { "" } else { "/" })?;
        }
        Ok(())
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A row: one cell for each column of its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The cells, in the order of the schema's columns.
    pub cells: Vec<Cell>,
}

impl Row {
    /// The row of `key` with nothing else set.
    pub fn new(schema: &Schema, key: &Key) -> Self {
        let mut cells = vec![Cell::Null; schema.columns.len()];
        for (column, cell) in key.cells(schema) {
            cells[column] = cell;
        }
        Self { cells }
    }

    /// The row as readers see it; `None` where they do not, since it is a tombstone.
    pub fn shown(&self, schema: &Schema) -> Option<Object> {
        schema.shows(self).then(|| self.to_json(schema))
    }

    /// What readers see of the columns, by name: without ours.
    pub fn to_json(&self, schema: &Schema) -> Object {
        self.to_json_where(schema, |column| !column.is_hidden())
    }

    /// This and another row as they are told apart: as readers see them, or, where they see the same, with our columns.
    pub fn told_apart(schema: &Schema, pair: [Option<&Self>; 2]) -> [Option<Object>; 2] {
        let shown = pair.map(|row| row.and_then(|row| row.shown(schema)));
        let whole = pair.map(|row| row.map(|row| row.to_json_where(schema, |_| true)));
        if shown[0] == shown[1] && whole[0] != whole[1] { whole } else { shown }
    }

    fn to_json_where(&self, schema: &Schema, is_wanted: impl Fn(&Column) -> bool) -> Object {
        let mut object = Object::default();
        for (column, cell) in schema.columns.iter().zip(&self.cells).filter(|(column, _)| is_wanted(column)) {
            object.insert(column.name.clone(), cell.to_json());
        }
        object
    }
}
