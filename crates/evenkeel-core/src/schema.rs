//! The shape of a read model: its key, its typed columns, and the events it subscribes to.
//!
//! Not here: what events do to rows ([`crate::fold`]), or the SQL of its table (stores).
use crate::{
    ids::{Digest, EventType, ModelName},
    row::{Cell, Row},
    words::words,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

words! {
    /// What becomes of a column when writes meet that did not know each other. Where each knew those before it, as in a
    /// log of events that say nothing of what they knew, all but the last three are what applying them in log order gives.
    Merge {
        /// The later write.
        Lww = "lww",
        /// A counter that only grows.
        GCounter = "g_counter",
        /// A counter that grows and shrinks.
        PnCounter = "pn_counter",
        /// The greater value.
        Max = "max",
        /// The lesser value.
        Min = "min",
        /// A set: who puts an element in prevails over who takes it out without having known that.
        OrSet = "or_set",
        /// All values that none of the others knew, until somebody writes who knows them.
        Mv = "mv",
        /// Whole versions: each write names the one it is based on.
        Version = "version",
    }
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Text.
    Text,
    /// A 64-bit integer with sign.
    I64,
    /// An exact decimal.
    Decimal,
    /// An exact amount in the currency that the column of this index holds. The two are written as one.
    Money {
        /// Index of the currency's column.
        currency: usize,
    },
    /// A currency code.
    Iso4217,
    /// True or false.
    Bool,
    /// An instant.
    Timestamp,
    /// A date.
    Date,
    /// Any JSON.
    Json,
    /// Bytes, of columns of our own: no declaration has them.
    Bytes,
}

impl ColumnType {
    /// The word it is declared with.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::I64 => "i64",
            Self::Decimal => "decimal",
            Self::Money { .. } => "money",
            Self::Iso4217 => "iso4217",
            Self::Bool => "bool",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
            Self::Json => "json",
            Self::Bytes => "bytes",
        }
    }
}

/// One column of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name, in the table too.
    pub name: String,
    /// Its type.
    pub ty: ColumnType,
    /// How concurrent writes to it merge.
    pub merge: Merge,
}

/// How the names of columns begin that are ours: they stand in the table and in the digest, and no reader is shown them.
pub const HIDDEN: &str = "_ek";

/// The column of ours that says of a row that it is a tombstone: no row to any reader, and kept for what its deletion knew.
pub const DELETED: &str = "_ek_deleted";

impl Column {
    /// Whether it is kept for ourselves.
    pub fn is_hidden(&self) -> bool {
        self.name.starts_with(HIDDEN)
    }
}

/// The shape of a read model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Its name, which its table bears.
    pub model: ModelName,
    /// The version its author gave it.
    pub version: u32,
    /// Indices of the columns that form the key, in order. They are text, dates, currencies or integers.
    pub key: Vec<usize>,
    /// Its columns, in declared order.
    pub columns: Vec<Column>,
    /// The types of events it subscribes to.
    pub subscribes: BTreeSet<EventType>,
    /// Digest of everything that decides what the rows are: declaration or code version.
    pub fingerprint: Digest,
}

impl Schema {
    /// The index of the column that readers know by this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.shown().find(|(_, column)| column.name == name).map(|(index, _)| index)
    }

    /// The columns that readers are shown, with their indices.
    pub fn shown(&self) -> impl Iterator<Item = (usize, &Column)> {
        self.columns.iter().enumerate().filter(|(_, column)| !column.is_hidden())
    }

    /// The index of the column that tells tombstones from rows, in models that have any.
    pub fn deleted(&self) -> Option<usize> {
        self.columns.iter().rposition(|column| column.name == DELETED)
    }

    /// Whether readers are shown this row: whether it is no tombstone.
    pub fn shows(&self, row: &Row) -> bool {
        self.deleted().is_none_or(|column| row.cells.get(column) != Some(&Cell::Bool(true)))
    }

    /// Whether the column at `index` is part of the key.
    pub fn is_key(&self, index: usize) -> bool {
        self.key.contains(&index)
    }

    /// Whether rows made for `other` can stand for this: same version, same fingerprint.
    pub fn same_as(&self, other: &Self) -> bool {
        self.version == other.version && self.fingerprint == other.fingerprint
    }
}

/// A view that a user declared over models: a statement that reads, under a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct View {
    /// Its name.
    pub name: String,
    /// The statement. What it means is the store's to say.
    pub sql: String,
}
