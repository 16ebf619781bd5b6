//! Between columns and the domain's types: numbers without sign, words, instants and identifiers.
//!
//! Cells of models are not here: they forgive what they find ([`super::models`]), these do not.
use super::fault::{Fallible, Fault};
use evenkeel_core::{Epoch, Timestamp};
use rusqlite::{
    Row,
    types::{ToSqlOutput, Type, ValueRef},
};
use std::{fmt::Display, str::FromStr};

/// A count or position for a column. SQLite's integers end at 2^63, which no log reaches.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// As [`int`], for lengths and limits.
pub(super) fn size(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Text that is known to be UTF-8, without another look at it.
pub(super) fn utf8(bytes: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(bytes))
}

/// Text for a column that may be empty.
pub(super) fn words(value: Option<impl Display>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// Reads an epoch as `Display` writes it.
pub(super) fn epoch(text: &str) -> Fallible<Epoch> {
    let number = u64::from_str_radix(text, 16).map_err(|error| Fault::Bad(format!("epoch {text:?}: {error}")))?;
    Ok(Epoch(number))
}

/// The columns of one row that was found.
#[derive(Clone, Copy)]
pub(super) struct Fields<'r, 's>(pub(super) &'r Row<'s>);

impl<'r> Fields<'r, '_> {
    /// The value as it is.
    pub(super) fn value(self, column: usize) -> Fallible<ValueRef<'r>> {
        Ok(self.0.get_ref(column)?)
    }

    fn bad(self, column: usize, why: impl Display) -> Fault {
        let name = self.0.as_ref().column_name(column).unwrap_or("a column");
        Fault::Bad(format!("{name}: {why}"))
    }

    /// An integer.
    pub(super) fn int(self, column: usize) -> Fallible<i64> {
        self.value(column)?.as_i64().map_err(|error| self.bad(column, error))
    }

    /// An integer, if there is one.
    pub(super) fn opt_int(self, column: usize) -> Fallible<Option<i64>> {
        self.present(column)?.map(|()| self.int(column)).transpose()
    }

    /// A number without sign.
    pub(super) fn number(self, column: usize) -> Fallible<u64> {
        u64::try_from(self.int(column)?).map_err(|error| self.bad(column, error))
    }

    /// A number without sign, if there is one.
    pub(super) fn opt_number(self, column: usize) -> Fallible<Option<u64>> {
        self.present(column)?.map(|()| self.number(column)).transpose()
    }

    /// A number of 32 bits.
    pub(super) fn number32(self, column: usize) -> Fallible<u32> {
        u32::try_from(self.int(column)?).map_err(|error| self.bad(column, error))
    }

    /// A fraction, if there is one.
    pub(super) fn opt_real(self, column: usize) -> Fallible<Option<f64>> {
        self.present(column)?
            .map(|()| self.value(column)?.as_f64().map_err(|error| self.bad(column, error)))
            .transpose()
    }

    /// Text.
    pub(super) fn text(self, column: usize) -> Fallible<&'r str> {
        self.value(column)?.as_str().map_err(|error| self.bad(column, error))
    }

    /// Text, if there is any.
    pub(super) fn opt_text(self, column: usize) -> Fallible<Option<&'r str>> {
        self.present(column)?.map(|()| self.text(column)).transpose()
    }

    /// Bytes of text or of a blob.
    pub(super) fn bytes(self, column: usize) -> Fallible<&'r [u8]> {
        self.value(column)?.as_bytes().map_err(|error| self.bad(column, error))
    }

    /// An identifier of 32 bytes.
    pub(super) fn bytes32(self, column: usize) -> Fallible<[u8; 32]> {
        self.bytes(column)?.try_into().map_err(|error| self.bad(column, error))
    }

    /// An instant kept as microseconds.
    pub(super) fn micros(self, column: usize) -> Fallible<Timestamp> {
        self.int(column).map(Timestamp::from_micros)
    }

    /// An instant kept as microseconds, if there is one.
    pub(super) fn opt_micros(self, column: usize) -> Fallible<Option<Timestamp>> {
        self.present(column)?.map(|()| self.micros(column)).transpose()
    }

    /// A value kept as its text.
    pub(super) fn parsed<T: FromStr<Err: Display>>(self, column: usize) -> Fallible<T> {
        self.text(column)?.parse().map_err(|error| self.bad(column, error))
    }

    /// A value kept as its text, if there is one.
    pub(super) fn opt_parsed<T: FromStr<Err: Display>>(self, column: usize) -> Fallible<Option<T>> {
        self.present(column)?.map(|()| self.parsed(column)).transpose()
    }

    fn present(self, column: usize) -> Fallible<Option<()>> {
        Ok((self.value(column)?.data_type() != Type::Null).then_some(()))
    }
}
