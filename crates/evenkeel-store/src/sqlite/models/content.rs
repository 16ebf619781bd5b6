//! What the projector meant, kept in the transaction of its rows: sums of the rows' digests by bucket, sums of the
//! identities of the events that were reached, and which keys they touched.
//!
//! What somebody else wrote is in [`super::watch`].
use super::{cells, layout::Layout, state::Home, strange};
use crate::{
    Loaded, Scrubbed, Step, StoredRow,
    sqlite::{
        fault::{Fallible, Fault},
        fields::{Fields, int},
    },
};
use evenkeel_core::{
    Position,
    content::Window,
    digest::{BUCKETS, Buckets, KeyHash, RowDigest, RowHasher, Sum, indexed},
    row::Key,
};
use rusqlite::Connection;
use std::collections::{BTreeMap, HashSet};

/// Buckets that are stored together: few enough that a small step writes little, enough that a large one writes each
/// page once.
const PAGE: u16 = 64;

/// As a limit, none: who reads ends when it has enough.
pub(super) const NO_LIMIT: i64 = -1;

/// What a step does to the sums of its table.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pages: BTreeMap<u16, Vec<(u16, Sum)>>,
}

impl Moved {
    /// Takes note of a row that is written with one digest where the sums hold another.
    pub(super) fn row(&mut self, hash: KeyHash, from: Option<RowDigest>, to: Option<RowDigest>) {
        if from == to {
            return;
        }
        let mut sum = Sum::default();
        from.iter().for_each(|digest| sum.sub(digest.0));
        to.iter().for_each(|digest| sum.add(digest.0));
        self.add(hash.bucket(), sum);
    }

    fn add(&mut self, bucket: u16, sum: Sum) {
        self.pages.entry(bucket / PAGE).or_default().push((bucket % PAGE, sum));
    }

    /// Writes the sums.
    pub(super) fn keep(self, conn: &Connection, table_id: i64) -> Fallible<()> {
        for (page, moved) in self.pages {
            let mut sums = page_of(conn, table_id, page)?;
            for (bucket, sum) in moved {
                let at = usize::from(bucket);
                sums[at] = sums[at].plus(sum);
            }
            write_page(conn, table_id, page, &sums)?;
        }
        Ok(())
    }
}

fn page_of(conn: &Connection, table_id: i64, page: u16) -> Fallible<Vec<Sum>> {
    let mut select = conn.prepare_cached("SELECT sums FROM _ek_buckets WHERE table_id = ?1 AND page = ?2")?;
    let mut rows = select.query((table_id, page))?;
    rows.next()?.map_or_else(|| Ok(vec![Sum::default(); usize::from(PAGE)]), |row| sums(Fields(row).bytes(0)?))
}

fn sums(bytes: &[u8]) -> Fallible<Vec<Sum>> {
    let bad = || Fault::Bad(format!("a page of bucket sums of {} bytes", bytes.len()));
    if bytes.len() != usize::from(PAGE) * Sum::BYTES {
        return Err(bad());
    }
    bytes.chunks_exact(Sum::BYTES).map(|bytes| Sum::from_bytes(bytes).ok_or_else(bad)).collect()
}

fn write_page(conn: &Connection, table_id: i64, page: u16, sums: &[Sum]) -> Fallible<()> {
    let bytes: Vec<u8> = sums.iter().flat_map(|sum| sum.to_bytes()).collect();
    conn.prepare_cached("REPLACE INTO _ek_buckets(table_id, page, sums) VALUES(?1, ?2, ?3)")?
        .execute((table_id, page, bytes))?;
    Ok(())
}

/// The sums of all buckets.
pub(super) fn buckets(conn: &Connection, table_id: i64) -> Fallible<Buckets> {
    let mut select = conn.prepare_cached("SELECT page, sums FROM _ek_buckets WHERE table_id = ?1")?;
    let mut rows = select.query([table_id])?;
    let mut buckets = Buckets::default();
    while let Some(row) = rows.next()? {
        let page = Fields(row).number(0)?;
        let page = u16::try_from(page).ok().filter(|page| *page < BUCKETS / PAGE);
        let page = page.ok_or_else(|| Fault::Bad("a page of bucket sums that cannot be".into()))?;
        for (sum, bucket) in sums(Fields(row).bytes(1)?)?.into_iter().zip(page * PAGE..) {
            *buckets.get_mut(bucket) = sum;
        }
    }
    Ok(buckets)
}

/// Puts the sums of some buckets right.
pub(super) fn set_buckets(conn: &Connection, table_id: i64, right: &[(u16, Sum)]) -> Fallible<()> {
    let now = buckets(conn, table_id)?;
    let mut moved = Moved::default();
    for (bucket, sum) in right {
        moved.add(*bucket, sum.minus(now.get(*bucket)));
    }
    moved.keep(conn, table_id)
}

/// Adds the identities of a step to their windows.
pub(super) fn add_identities(conn: &Connection, table_id: i64, identities: &[(Window, Sum)]) -> Fallible<()> {
    let mut select = conn.prepare_cached("SELECT sum FROM _ek_windows WHERE table_id = ?1 AND window = ?2")?;
    for (window, sum) in identities {
        let stored = {
            let mut rows = select.query((table_id, int(window.0)))?;
            rows.next()?.map(|row| window_sum(Fields(row), 0)).transpose()?
        };
        set_window(conn, table_id, *window, stored.unwrap_or_default().plus(*sum))?;
    }
    Ok(())
}

/// Writes the sum of a window.
pub(super) fn set_window(conn: &Connection, table_id: i64, window: Window, sum: Sum) -> Fallible<()> {
    let mut write = conn.prepare_cached("REPLACE INTO _ek_windows(table_id, window, sum) VALUES(?1, ?2, ?3)")?;
    write.execute((table_id, int(window.0), sum.to_bytes()))?;
    Ok(())
}

fn window_sum(fields: Fields<'_, '_>, column: usize) -> Fallible<Sum> {
    Sum::from_bytes(fields.bytes(column)?).ok_or_else(|| Fault::Bad("a sum of identities of another size".into()))
}

/// The windows from `from` on.
pub(super) fn identities(conn: &Connection, table_id: i64, from: Window) -> Fallible<Vec<(Window, Sum)>> {
    let mut select = conn
        .prepare_cached("SELECT window, sum FROM _ek_windows WHERE table_id = ?1 AND window >= ?2 ORDER BY window")?;
    let mut rows = select.query((table_id, int(from.0)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let sum = window_sum(Fields(row), 1)?;
        if !sum.is_zero() {
            found.push((Window(Fields(row).number(0)?), sum));
        }
    }
    Ok(found)
}

/// Notes which keys the events of a step touched.
pub(super) fn add_touches(conn: &Connection, table_id: i64, touches: &[(KeyHash, Position)]) -> Fallible<()> {
    if touches.is_empty() {
        return Ok(());
    }
    let mut insert =
        conn.prepare_cached("INSERT OR IGNORE INTO _ek_touches(table_id, hash, position) VALUES(?1, ?2, ?3)")?;
    let mut meant = index_meant(conn, table_id)?;
    for (hash, position) in touches {
        if insert.execute((table_id, hash.0.cast_signed(), int(position.0)))? > 0 {
            meant.add(indexed(*hash, *position));
        }
    }
    set_index_meant(conn, table_id, meant)
}

/// The sum of the entries that were put into the index.
pub(super) fn index_meant(conn: &Connection, table_id: i64) -> Fallible<Sum> {
    let mut select = conn.prepare_cached("SELECT sum FROM _ek_indexes WHERE table_id = ?1")?;
    let mut rows = select.query([table_id])?;
    match rows.next()? {
        Some(row) => window_sum(Fields(row), 0),
        None => Ok(Sum::default()),
    }
}

/// Says what the sum of the index is.
pub(super) fn set_index_meant(conn: &Connection, table_id: i64, sum: Sum) -> Fallible<()> {
    conn.prepare_cached("REPLACE INTO _ek_indexes(table_id, sum) VALUES(?1, ?2)")?
        .execute((table_id, sum.to_bytes()))?;
    Ok(())
}

/// The sum of the entries that are in the index.
pub(super) fn index_there(conn: &Connection, table_id: i64) -> Fallible<Sum> {
    let mut select = conn.prepare_cached("SELECT hash, position FROM _ek_touches WHERE table_id = ?1")?;
    let mut rows = select.query([table_id])?;
    let mut sum = Sum::default();
    while let Some(row) = rows.next()? {
        let hash: i64 = row.get(0)?;
        sum.add(indexed(KeyHash(hash.cast_unsigned()), Position(Fields(row).number(1)?)));
    }
    Ok(sum)
}

/// The events that touched keys of this hash.
pub(super) fn touching(conn: &Connection, table_id: i64, hash: KeyHash) -> Fallible<Vec<Position>> {
    let mut select =
        conn.prepare_cached("SELECT position FROM _ek_touches WHERE table_id = ?1 AND hash = ?2 ORDER BY position")?;
    let mut rows = select.query((table_id, hash.0.cast_signed()))?;
    let mut positions = Vec::new();
    while let Some(row) = rows.next()? {
        positions.push(Position(Fields(row).number(0)?));
    }
    Ok(positions)
}

/// Forgets all of this about a table.
pub(super) fn forget(conn: &Connection, table_id: i64) -> Fallible<()> {
    for table in ["_ek_buckets", "_ek_windows", "_ek_touches", "_ek_indexes", "_ek_parks"] {
        conn.execute(&format!("DELETE FROM {table} WHERE table_id = ?1"), [table_id])?;
    }
    Ok(())
}

/// Writes and deletes the rows of a step. The digests of the written ones, in order.
pub(super) fn write_rows(conn: &Connection, home: &Home, step: &Step) -> Fallible<Vec<RowDigest>> {
    let layout = &home.layout;
    let mut hasher = layout.hasher.clone();
    let mut moved = Moved::default();
    let mut delete = conn.prepare_cached(&layout.delete)?;
    for removal in &step.deletes {
        cells::bind_key(&mut delete, layout, &removal.key)?;
        delete.raw_execute()?;
        moved.row(hasher.key(&removal.key), removal.replaces, None);
    }
    let strange = step.deletes.iter().map(|removal| &removal.key).filter(|key| strange::may_tell(key)).collect();
    strange::delete(conn, layout, &strange)?;
    let mut upsert = conn.prepare_cached(&layout.upsert)?;
    let mut digests = Vec::with_capacity(step.upserts.len());
    for row in &step.upserts {
        let digest = cells::bind_row(&mut upsert, layout, &row.key, &row.row, &mut hasher)?;
        upsert.raw_execute()?;
        moved.row(hasher.key(&row.key), row.replaces, Some(digest));
        digests.push(digest);
    }
    moved.keep(conn, home.table_id)?;
    Ok(digests)
}

/// The row of a key.
pub(super) fn row_of(
    select: &mut rusqlite::Statement<'_>,
    layout: &Layout,
    hasher: &mut RowHasher,
    key: &Key,
) -> Fallible<Option<StoredRow>> {
    cells::bind_key(select, layout, key)?;
    let mut rows = select.raw_query();
    let Some(found) = rows.next()? else { return Ok(None) };
    let digest = cells::digest(layout, found, hasher)?;
    let (row, meant) = (cells::row(layout, found)?, cells::meant(layout, found)?);
    Ok(Some(StoredRow { key: key.clone(), row, meant, digest }))
}

/// The rows of some keys, without what is parked or was touched.
pub(super) fn load(conn: &Connection, layout: &Layout, keys: &[Key]) -> Fallible<Loaded> {
    let mut select = conn.prepare_cached(&layout.select)?;
    let mut hasher = layout.hasher.clone();
    let mut loaded = Loaded::default();
    loaded.rows.reserve(keys.len());
    let mut strange = HashSet::new();
    for key in keys {
        match row_of(&mut select, layout, &mut hasher, key)? {
            None if strange::may_tell(key) => drop(strange.insert(key)),
            found => loaded.rows.extend(found),
        }
    }
    loaded.rows.extend(strange::rows(conn, layout, &mut hasher, strange)?);
    Ok(loaded)
}

/// Whether a row that was found behind `after` does not come back so: bytes that are no text are read as other text. A
/// page that ended with such a row would be followed by itself.
pub(super) fn is_not_behind(layout: &Layout, found: &rusqlite::Row<'_>, after: Option<&Key>) -> Fallible<bool> {
    after.map_or(Ok(false), |after| Ok(cells::key(layout, found)? <= *after))
}

/// The next rows in order of their keys, digested as they are there.
pub(super) fn scrub(conn: &Connection, layout: &Layout, after: Option<&Key>, limit: usize) -> Fallible<Vec<Scrubbed>> {
    let mut select = conn.prepare_cached(if after.is_some() { &layout.after } else { &layout.first })?;
    if let Some(after) = after {
        cells::bind_key(&mut select, layout, after)?;
    }
    select.raw_bind_parameter(after.map_or(0, |after| after.0.len()) + 1, NO_LIMIT)?;
    let mut hasher = layout.hasher.clone();
    let mut rows = select.raw_query();
    let mut scrubbed = Vec::with_capacity(limit.min(4096));
    while scrubbed.len() < limit {
        let Some(row) = rows.next()? else { break };
        if is_not_behind(layout, row, after)? {
            continue;
        }
        let key = cells::key(layout, row)?;
        let digest = cells::digest(layout, row, &mut hasher)?;
        let intact = cells::meant(layout, row)? == Some(digest);
        let hash = hasher.key(&key);
        scrubbed.push(Scrubbed { key, hash, digest, intact });
    }
    Ok(scrubbed)
}
