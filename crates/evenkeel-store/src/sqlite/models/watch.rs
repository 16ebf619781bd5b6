//! Who else writes: triggers on a live table note the rows that somebody else than the projector writes to.
//!
//! They run for every connection but ours, which has triggers switched off, so they cost the projector nothing and need
//! not tell who writes. They use built-in SQL only: a foreign client has none of our functions. A row is noted with the
//! digest it had before the first such write. `REPLACE` deletes without a trigger and upserts may insert or update, so
//! an insertion is looked at before it happens. What bypasses triggers is the scrub's to find.
use super::layout::{Layout, quote};
use crate::{
    Settled, StoredRow,
    sqlite::{
        fault::Fallible,
        fields::{Fields, size},
    },
};
use evenkeel_core::{ModelName, content::Touched, digest::RowDigest, row::Key, schema::ColumnType};
use rusqlite::{CachedStatement, Connection, Rows};
use std::collections::{BTreeSet, HashMap};

/// How many rows are read again at a time.
const PAGE: usize = 4096;

const EVENTS: [&str; 3] = ["insert", "update", "delete"];

fn name(model: &ModelName, event: &str) -> String {
    format!("_ek_watch_{event}_{model}")
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The statements that make the triggers of a table, with their names.
fn triggers(layout: &Layout) -> [(String, String); 3] {
    let model = &layout.schema.model;
    let keys: Vec<_> = layout.schema.key.iter().map(|&index| quote(&layout.schema.columns[index].name)).collect();
    let each = |row: &str, part: &dyn Fn(usize, String) -> String, between: &str| {
        let parts = keys.iter().enumerate().map(|(n, key)| part(n, format!("{row}.{key}")));
        parts.collect::<Vec<_>>().join(between)
    };
    let of = |row: &str| each(row, &|_, key| key, ", ");
    // A value that came out of a JSON function would go in as JSON, not as the text that the column will hold.
    let is_int =
        |n: usize| matches!(layout.schema.columns[layout.schema.key[n]].ty, ColumnType::I64 | ColumnType::Bool);
    let text_of = |row: &str| each(row, &|n, key| if is_int(n) { key } else { format!("{key} || ''") }, ", ");
    // A row without a key is turned away after this has run, and `OR IGNORE` would keep the note.
    let is_whole = |row: &str| each(row, &|_, key| format!("{key} IS NOT NULL"), " AND ");
    let (table, model_text) = (quote(model.as_str()), literal(model.as_str()));
    let note = |row: &str, write: &str, meant: &str| {
        format!(
            "INSERT INTO _ek_foreign(model, key, write, meant, at) SELECT {model_text}, json_array({key}), {write}, \
             {meant}, strftime('%Y-%m-%dT%H:%M:%f000Z', 'now') WHERE {whole} AND NOT EXISTS (SELECT 1 FROM _ek_foreign \
             WHERE model = {model_text} AND key = json_array({key}));",
            key = text_of(row),
            whole = is_whole(row),
        )
    };
    let there = format!("FROM {table} AS t WHERE ({}) = ({})", of("t"), of("NEW"));
    let before = note(
        "NEW",
        &format!("CASE WHEN EXISTS (SELECT 1 {there}) THEN 'update' ELSE 'insert' END"),
        &format!("(SELECT t._ek_digest {there})"),
    );
    let bodies = [
        ("insert", "BEFORE INSERT", before.clone()),
        ("update", "BEFORE UPDATE", format!("{} {before}", note("OLD", "'update'", "OLD._ek_digest"))),
        ("delete", "BEFORE DELETE", note("OLD", "'delete'", "OLD._ek_digest")),
    ];
    bodies.map(|(event, when, body)| {
        let name = name(model, event);
        let sql = format!("CREATE TRIGGER {} {when} ON {table} BEGIN {body} END", quote(&name));
        (name, sql)
    })
}

/// Makes the triggers of a live table.
pub(super) fn create(conn: &Connection, layout: &Layout) -> Fallible<()> {
    for (_, sql) in triggers(layout) {
        conn.execute_batch(&sql)?;
    }
    Ok(())
}

/// Drops the triggers of a live table, as far as they are there.
pub(super) fn drop(conn: &Connection, model: &ModelName) -> Fallible<()> {
    for event in EVENTS {
        conn.execute_batch(&format!("DROP TRIGGER IF EXISTS {}", quote(&name(model, event))))?;
    }
    Ok(())
}

/// Whether the triggers are there as we make them.
pub(super) fn is_watched(conn: &Connection, layout: &Layout) -> Fallible<bool> {
    let mut select =
        conn.prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name = ?1 AND sql = ?2")?;
    for (name, sql) in triggers(layout) {
        if !select.exists((name, sql))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Tells of each key whether somebody else has written to it.
pub(super) enum Noted<'c> {
    /// Nobody has to any.
    Nothing,
    /// Looks each key up.
    ByKey(CachedStatement<'c>, &'c ModelName),
}

impl<'c> Noted<'c> {
    /// For the rows of a live table.
    pub(super) fn new(conn: &'c Connection, model: &'c ModelName) -> Fallible<Self> {
        if !any(conn, model)? {
            return Ok(Self::Nothing);
        }
        Ok(Self::ByKey(conn.prepare_cached("SELECT 1 FROM _ek_foreign WHERE model = ?1 AND key = ?2")?, model))
    }

    /// Whether somebody else has written to this key.
    pub(super) fn of(&mut self, key: &Key) -> Fallible<bool> {
        let Self::ByKey(select, model) = self else { return Ok(false) };
        Ok(select.exists((model.as_str(), super::parks::key_text(key)))?)
    }
}

/// Whether somebody else has written to any row.
pub(super) fn any(conn: &Connection, model: &ModelName) -> Fallible<bool> {
    Ok(conn.prepare_cached("SELECT 1 FROM _ek_foreign WHERE model = ?1 LIMIT 1")?.exists([model.as_str()])?)
}

/// The first notes.
pub(super) fn list(conn: &Connection, model: &ModelName, limit: usize) -> Fallible<Vec<Touched>> {
    let mut select =
        conn.prepare_cached("SELECT key, write, meant, at FROM _ek_foreign WHERE model = ?1 ORDER BY key LIMIT ?2")?;
    collect(select.query((model.as_str(), size(limit)))?)
}

/// The notes of these rows.
pub(super) fn of(conn: &Connection, model: &ModelName, keys: &[Key]) -> Fallible<Vec<Touched>> {
    let mut select =
        conn.prepare_cached("SELECT key, write, meant, at FROM _ek_foreign WHERE model = ?1 AND key = ?2")?;
    let keys: BTreeSet<String> = keys.iter().map(super::parks::key_text).collect();
    let mut touched = Vec::new();
    for key in keys {
        touched.extend(collect(select.query((model.as_str(), key))?)?);
    }
    Ok(touched)
}

fn collect(mut rows: Rows<'_>) -> Fallible<Vec<Touched>> {
    let mut touched = Vec::new();
    while let Some(row) = rows.next()? {
        let fields = Fields(row);
        touched.push(Touched {
            // Others may write text that is none.
            key: super::parks::key(&String::from_utf8_lossy(fields.bytes(0)?))?,
            write: fields.parsed(1)?,
            meant: fields.bytes(2).ok().and_then(|bytes| bytes.try_into().ok()).map(RowDigest),
            at: fields.parsed(3)?,
        });
    }
    Ok(touched)
}

/// Settles the notes of those rows that still are as they were compared. The caller's transaction has the write lock, so
/// that whoever writes to them does so before this reads them, or notes it after.
pub(super) fn settle(conn: &Connection, layout: &Layout, rows: &[Settled]) -> Fallible<()> {
    let model = &layout.schema.model;
    if rows.is_empty() || !any(conn, model)? {
        return Ok(());
    }
    let mut delete = conn.prepare_cached("DELETE FROM _ek_foreign WHERE model = ?1 AND key = ?2")?;
    for rows in rows.chunks(PAGE) {
        let keys: Vec<Key> = rows.iter().map(|settled| settled.key.clone()).collect();
        let mut found: HashMap<Key, Vec<StoredRow>> = HashMap::new();
        for row in super::content::load(conn, layout, &keys)?.rows {
            found.entry(row.key.clone()).or_default().push(row);
        }
        let is_still = |settled: &&Settled| settled.is_still(found.get(&settled.key).into_iter().flatten());
        let keys: Vec<&Key> = rows.iter().filter(is_still).map(|settled| &settled.key).collect();
        for key in &keys {
            delete.execute((model.as_str(), super::parks::key_text(key)))?;
        }
        super::strange::settle(conn, model, &keys)?;
    }
    Ok(())
}

/// Settles all notes: the table they were about is no longer the live one.
pub(super) fn forget(conn: &Connection, model: &ModelName) -> Fallible<()> {
    conn.prepare_cached("DELETE FROM _ek_foreign WHERE model = ?1")?.execute([model.as_str()])?;
    Ok(())
}
