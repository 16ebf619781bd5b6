//! The table of a model: its definition, and the statements that read and write its rows.
//!
//! | column type | SQLite column | value |
//! |---|---|---|
//! | text, iso4217 | TEXT | as it is |
//! | i64 | INTEGER | as it is |
//! | decimal | TEXT | exact digits |
//! | money | TEXT, and `<column>_minor` INTEGER | exact digits; whole minor units, NULL where the currency is missing or unknown |
//! | bool | INTEGER | 0 or 1 |
//! | timestamp | TEXT | RFC 3339 in UTC with microseconds |
//! | date | TEXT | `2026-01-31` |
//! | json | TEXT | canonical JSON |
//!
//! The last column, `_ek_digest`, is ours: the digest of the row as the projector wrote it. Tables are `STRICT` and
//! `WITHOUT ROWID`, their primary key is the model's key.
use crate::{
    Table,
    sqlite::fault::{Fallible, Fault},
};
use evenkeel_core::{
    ModelName,
    digest::{DigestKey, RowHasher},
    schema::{Column, ColumnType, DELETED, Schema},
};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::{collections::HashMap, sync::Arc};

/// How many layouts are remembered per kind of table.
const REMEMBERED: usize = 256;

/// A schema as a table.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) schema: Schema,
    /// Digests its rows.
    pub(super) hasher: RowHasher,
    /// For each column its place in the key, if it has one.
    pub(super) key_part: Vec<Option<usize>>,
    /// Where each column stands among those that the statements read, which are the ones that [`Layout::upsert`] writes.
    pub(super) place: Vec<usize>,
    /// How many those are, without the digest that follows them.
    pub(super) fields: usize,
    /// The name of the table, as SQL.
    pub(super) name: String,
    /// The columns that the statements read, as SQL.
    pub(super) columns: String,
    /// The row of a key.
    pub(super) select: String,
    /// Writes a whole row: the columns in order, each amount of money followed by its minor units, and the digest.
    pub(super) upsert: String,
    /// Deletes the row of a key.
    pub(super) delete: String,
    /// The first rows; one parameter, the limit.
    pub(super) first: String,
    /// The rows after a key; its parts, then the limit.
    pub(super) after: String,
}

/// The name as SQL.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The name of a model's table, as SQL.
pub(super) fn table_name(model: &ModelName, table: Table) -> String {
    match table {
        Table::Live => quote(model.as_str()),
        Table::Build => quote(&format!("_ek_build_{model}")),
        Table::Previous => quote(&format!("_ek_previous_{model}")),
    }
}

fn minor_name(column: &Column) -> Option<String> {
    matches!(column.ty, ColumnType::Money { .. }).then(|| quote(&format!("{}_minor", column.name)))
}

/// The statement that makes the table.
///
/// # Errors
/// Refused where a name is ours or SQLite's, or the schema contradicts itself.
pub(super) fn definition(schema: &Schema, table: Table) -> Fallible<String> {
    let model = schema.model.as_str().to_lowercase();
    if model.is_empty() || model.starts_with("_ek") || model.starts_with("sqlite_") {
        return Err(Fault::refused(format!("a model cannot be named {:?}", schema.model.as_str())));
    }
    check(schema)?;
    let mut columns = Vec::new();
    for (index, column) in schema.columns.iter().enumerate() {
        let ty = match column.ty {
            ColumnType::I64 | ColumnType::Bool => "INTEGER",
            ColumnType::Bytes => "BLOB",
            _ => "TEXT",
        };
        let not_null = if schema.is_key(index) { " NOT NULL" } else { "" };
        columns.push(format!("{} {ty}{not_null}", quote(&column.name)));
        columns.extend(minor_name(column).map(|name| format!("{name} INTEGER")));
    }
    let key: Vec<_> = schema.key.iter().map(|&index| quote(&schema.columns[index].name)).collect();
    let name = table_name(&schema.model, table);
    Ok(format!(
        "CREATE TABLE {name}(\n  {},\n  _ek_digest BLOB,\n  PRIMARY KEY({})\n) STRICT, WITHOUT ROWID",
        columns.join(",\n  "),
        key.join(", ")
    ))
}

/// Whether the indices of a schema point into it and its names can be written in SQL.
fn check(schema: &Schema) -> Fallible<()> {
    let columns = schema.columns.len();
    let currencies = schema.columns.iter().filter_map(|column| match column.ty {
        ColumnType::Money { currency } => Some(currency),
        _ => None,
    });
    if schema.key.is_empty() || schema.key.iter().copied().chain(currencies).any(|index| index >= columns) {
        return Err(Fault::refused(format!("the schema of {} names columns it does not have", schema.model)));
    }
    let names = schema.columns.iter().map(|column| column.name.as_str()).chain([schema.model.as_str()]);
    match names.into_iter().find(|name| name.contains('\0')) {
        Some(name) => Err(Fault::refused(format!("the name {name:?} cannot be written in SQL"))),
        None => Ok(()),
    }
}

impl Layout {
    /// The condition of the rows that readers are shown, as SQL.
    pub(super) fn shown(&self) -> String {
        self.schema.deleted().map_or("true".to_owned(), |_| format!("{} IS NOT 1", quote(DELETED)))
    }

    /// The layout of a schema that [`definition`] has accepted.
    fn new(schema: Schema, table: Table, digest_key: &DigestKey) -> Fallible<Self> {
        check(&schema)?;
        let name = table_name(&schema.model, table);
        let mut place = Vec::with_capacity(schema.columns.len());
        let mut fields = 0;
        for column in &schema.columns {
            place.push(fields);
            fields += 1 + usize::from(minor_name(column).is_some());
        }
        let mut written: Vec<_> = schema
            .columns
            .iter()
            .flat_map(|column| [Some(quote(&column.name)), minor_name(column)])
            .flatten()
            .collect();
        written.push("_ek_digest".into());
        let columns = written.join(", ");
        let values: Vec<_> = (1..=written.len()).map(|number| format!("?{number}")).collect();
        let key: Vec<_> = schema.key.iter().map(|&index| quote(&schema.columns[index].name)).collect();
        let parts: Vec<_> = (1..=key.len()).map(|number| format!("?{number}")).collect();
        let is_written_over = |name: &&String| !key.contains(*name);
        let changes: Vec<_> =
            written.iter().filter(is_written_over).map(|name| format!("{name} = excluded.{name}")).collect();
        let on_conflict = format!("UPDATE SET {}", changes.join(", "));
        let limit = key.len() + 1;
        let (key, parts) = (key.join(", "), parts.join(", "));
        Ok(Self {
            hasher: RowHasher::new(digest_key, &schema),
            place,
            fields,
            key_part: (0..schema.columns.len()).map(|index| schema.key.iter().position(|&k| k == index)).collect(),
            select: format!("SELECT {columns} FROM {name} WHERE ({key}) = ({parts})"),
            upsert: format!(
                "INSERT INTO {name}({columns}) VALUES({}) ON CONFLICT({key}) DO {on_conflict}",
                values.join(", ")
            ),
            delete: format!("DELETE FROM {name} WHERE ({key}) = ({parts})"),
            first: format!("SELECT {columns} FROM {name} ORDER BY {key} LIMIT ?1"),
            after: format!("SELECT {columns} FROM {name} WHERE ({key}) > ({parts}) ORDER BY {key} LIMIT ?{limit}"),
            name,
            columns,
            schema,
        })
    }
}

/// The layouts of the tables there are, by their stored schema. Looked up by the text that was read in the same
/// transaction as the rows, a layout always fits them, whatever was swapped meanwhile.
#[derive(Debug)]
pub(super) struct Layouts {
    digest_key: DigestKey,
    known: Mutex<HashMap<Table, HashMap<String, Arc<Layout>>>>,
}

impl Layouts {
    /// None yet.
    pub(super) fn new(digest_key: DigestKey) -> Self {
        Self { digest_key, known: Mutex::default() }
    }

    /// The key of the rows' digests.
    pub(super) fn digest_key(&self) -> DigestKey {
        self.digest_key
    }

    /// The layout of a stored schema.
    pub(super) fn of(&self, schema: &str, table: Table) -> Fallible<Arc<Layout>> {
        if let Some(layout) = self.known.lock().get(&table).and_then(|known| known.get(schema)) {
            return Ok(Arc::clone(layout));
        }
        let layout = Arc::new(Layout::new(serde_json::from_str(schema)?, table, &self.digest_key)?);
        let mut known = self.known.lock();
        let known = known.entry(table).or_default();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(schema.to_owned(), Arc::clone(&layout));
        Ok(layout)
    }
}

/// Makes the table of a schema.
pub(super) fn create(conn: &Connection, schema: &Schema, table: Table) -> Fallible<()> {
    conn.execute_batch(&definition(schema, table)?).map_err(Fault::of_definition)
}
