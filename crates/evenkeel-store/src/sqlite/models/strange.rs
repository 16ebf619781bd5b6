//! Rows whose keys are bytes that are no text, as only somebody else can put there.
//!
//! Such a key is told with U+FFFD in place of what cannot be read, and found by that again: by reading every row, since no
//! index knows it. Several rows may be told by one key; none of them is a row of the model's, so all go together.
//! A row that really has the told key goes before them.
use super::{
    cells,
    layout::Layout,
    parks::{self, key_text},
};
use crate::{
    StoredRow,
    sqlite::{fault::Fallible, fields::utf8},
};
use evenkeel_core::{
    ModelName,
    digest::RowHasher,
    row::{Key, KeyPart},
};
use rusqlite::{
    Connection, Row,
    types::{Value, ValueRef},
};
use std::{collections::HashSet, str::from_utf8};

/// Whether rows without a text for a key may be told by this one.
pub(super) fn may_tell(key: &Key) -> bool {
    key.0.iter().any(|part| matches!(part, KeyPart::Text(text) if text.contains(char::REPLACEMENT_CHARACTER)))
}

/// A row for each of these keys that a row without a text for a key is told by.
pub(super) fn rows(
    conn: &Connection,
    layout: &Layout,
    hasher: &mut RowHasher,
    keys: HashSet<&Key>,
) -> Fallible<Vec<StoredRow>> {
    let mut found = Vec::new();
    let mut left = keys.clone();
    each(conn, layout, &keys, |key, row| {
        if left.remove(&key) {
            let digest = cells::digest(layout, row, hasher)?;
            let (columns, meant) = (cells::row(layout, row)?, cells::meant(layout, row)?);
            found.push(StoredRow { key, row: columns, meant, digest });
        }
        Ok(())
    })?;
    Ok(found)
}

/// Deletes all rows that are told by these keys and have none.
pub(super) fn delete(conn: &Connection, layout: &Layout, keys: &HashSet<&Key>) -> Fallible<()> {
    let mut found: Vec<Vec<Value>> = Vec::new();
    each(conn, layout, keys, |_, row| {
        let parts = layout.schema.key.iter().map(|&index| {
            Ok(match row.get_ref(layout.place[index])? {
                // Bytes as they are: text of ours would be other text.
                ValueRef::Text(bytes) => Value::Blob(bytes.to_vec()),
                other => other.try_into()?,
            })
        });
        found.push(parts.collect::<Fallible<_>>()?);
        Ok(())
    })?;
    let mut delete = conn.prepare_cached(&layout.delete)?;
    for parts in &found {
        for (place, part) in parts.iter().enumerate() {
            match part {
                Value::Blob(bytes) => delete.raw_bind_parameter(place + 1, utf8(bytes))?,
                other => delete.raw_bind_parameter(place + 1, other)?,
            }
        }
        delete.raw_execute()?;
    }
    Ok(())
}

/// Settles the notes about rows that are told by these keys and have none.
pub(super) fn settle(conn: &Connection, model: &ModelName, keys: &[&Key]) -> Fallible<()> {
    let told: HashSet<String> = keys.iter().filter(|key| may_tell(key)).map(|key| key_text(key)).collect();
    if told.is_empty() {
        return Ok(());
    }
    let mut select = conn.prepare_cached("SELECT key FROM _ek_foreign WHERE model = ?1")?;
    let mut notes = select.query([model.as_str()])?;
    let mut found = Vec::new();
    while let Some(note) = notes.next()? {
        if let ValueRef::Text(bytes) = note.get_ref(0)?
            && from_utf8(bytes).is_err()
            && parks::key(&String::from_utf8_lossy(bytes)).is_ok_and(|key| told.contains(&key_text(&key)))
        {
            found.push(bytes.to_vec());
        }
    }
    let mut delete = conn.prepare_cached("DELETE FROM _ek_foreign WHERE model = ?1 AND key = ?2")?;
    for bytes in &found {
        delete.execute((model.as_str(), utf8(bytes)))?;
    }
    Ok(())
}

/// Gives every row whose key is no text and is told by one of these to `take`.
fn each(
    conn: &Connection,
    layout: &Layout,
    keys: &HashSet<&Key>,
    mut take: impl FnMut(Key, &Row<'_>) -> Fallible<()>,
) -> Fallible<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut select = conn.prepare_cached(&layout.first)?;
    select.raw_bind_parameter(1, super::content::NO_LIMIT)?;
    let mut rows = select.raw_query();
    while let Some(row) = rows.next()? {
        let mut is_text = true;
        for &index in &layout.schema.key {
            is_text &= row.get_ref(layout.place[index])?.as_bytes().map_or(true, |bytes| from_utf8(bytes).is_ok());
        }
        if is_text {
            continue;
        }
        let key = cells::key(layout, row)?;
        if keys.contains(&key) {
            take(key, row)?;
        }
    }
    Ok(())
}
