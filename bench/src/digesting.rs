//! What checking content costs who projects: the digests of the rows and the sums of buckets and windows, done alone and
//! taken off the time of a whole catch-up; and adding up the index of touched rows.
//!
//! There is no projector without digests to be had beside. What their work alone takes is measured with more of it than a
//! catch-up has: every event is taken for a row of its own that was there before. What the digest's column adds to a row's
//! bytes is not in it.
use crate::{
    Result, catchup,
    events::{KEYS, Source},
    figure::{Pair, Plan, Table, Unit},
    folder::{self, Filled},
    raw,
};
use evenkeel::{
    Options,
    contract::project::Project,
    core::{
        Position,
        digest::{KeyHash, RowHasher, Sum},
        fold::{Declared, Fold},
        row::{Key, Row},
    },
    store::{Models, Table as Kind, sqlite::execute_as_stranger},
};
use rusqlite::{Connection, OptionalExtension};
use std::{
    collections::BTreeMap,
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

/// Events after the first of every key.
const MORE: usize = 200_000;
/// Entries of the index.
const ENTRIES: u64 = 1_000_000;
/// Buckets that are stored together, as in the store.
const PAGE: u16 = 64;

/// Measures it.
pub(crate) fn measure(plan: &Plan, project: &Project, fold: &Declared, table: &mut Table) -> Result<()> {
    let more = plan.events(MORE, 1000);
    let events = usize::try_from(KEYS)? + more;
    let filled = Filled::new(project, more)?;
    let batch = Options::default().batch_events;
    let mut pair = Pair::default();
    for _ in 0..plan.rounds {
        let dir = filled.copy()?;
        let whole_ms = 1e3 * events as f64 / catchup::project(dir.path(), fold, batch)?;
        let alone_ms = alone(dir.path(), fold, events, batch)?.as_secs_f64() * 1e3;
        pair.ours.push(whole_ms);
        pair.rival.push(whole_ms - alone_ms);
    }
    let what = format!("catch-up over {events} events, content checked");
    table.add(&what, "without that work", pair, Unit::Millis, None);
    index(plan, fold, table)
}

/// The work alone, in batches, each a transaction of its own.
fn alone(dir: &Path, fold: &Declared, events: usize, batch: usize) -> Result<Duration> {
    let schema = fold.schema();
    let store = folder::open(dir)?;
    let mut hasher = RowHasher::new(&store.models.digest_key(), schema);
    let rows = all_rows(store.models.as_ref(), fold)?;
    let mut conn = raw::connect(&dir.join("sums.db"), "NORMAL")?;
    conn.execute_batch("CREATE TABLE sums(page INTEGER PRIMARY KEY, sums BLOB NOT NULL) STRICT")?;
    let order: Vec<u64> = Source::new("digesting").shuffled(rows.len() as u64);
    let mut next = order.iter().cycle().filter_map(|at| rows.get(usize::try_from(*at).ok()?));
    let start = Instant::now();
    for first in (0..events).step_by(batch) {
        let transaction = conn.transaction()?;
        let mut moved: BTreeMap<u16, Vec<(u16, Sum)>> = BTreeMap::new();
        let mut window = Sum::default();
        for (key, row) in next.by_ref().take(batch.min(events - first)) {
            let (read, written) = (hasher.row(schema, row), hasher.row(schema, row));
            let mut sum = Sum::default();
            sum.sub(black_box(read).0);
            sum.add(black_box(written).0);
            let bucket = hasher.key(key).bucket();
            moved.entry(bucket / PAGE).or_default().push((bucket % PAGE, sum));
            window.add(written.0);
        }
        for (page, moved) in moved {
            write_page(&transaction, page, &moved)?;
        }
        black_box(window);
        transaction.commit()?;
    }
    Ok(start.elapsed())
}

fn all_rows(models: &dyn Models, fold: &Declared) -> Result<Vec<(Key, Row)>> {
    let schema = fold.schema();
    let mut all: Vec<(Key, Row)> = Vec::new();
    loop {
        let page = models.rows(&schema.model, Kind::Live, all.last().map(|(key, _)| key), 10_000)?;
        all.extend(page.rows.into_iter().map(|(row, _)| (Key::of(schema, &row), row)));
        if !page.more {
            return Ok(all);
        }
    }
}

fn write_page(conn: &Connection, page: u16, moved: &[(u16, Sum)]) -> Result<()> {
    let mut select = conn.prepare_cached("SELECT sums FROM sums WHERE page = ?1")?;
    let stored: Option<Vec<u8>> = select.query_row([page], |row| row.get(0)).optional()?;
    let stored = stored.unwrap_or_else(|| vec![0; usize::from(PAGE) * Sum::BYTES]);
    let mut sums: Vec<Sum> = stored.chunks_exact(Sum::BYTES).filter_map(Sum::from_bytes).collect();
    for (at, by) in moved {
        let sum = sums.get_mut(usize::from(*at)).ok_or("a page of sums is too short")?;
        *sum = sum.plus(*by);
    }
    let bytes: Vec<u8> = sums.iter().flat_map(|sum| sum.to_bytes()).collect();
    conn.prepare_cached("REPLACE INTO sums(page, sums) VALUES(?1, ?2)")?.execute((page, bytes))?;
    Ok(())
}

/// The index of a model whose key is not the subject, added up after somebody else's commit, beside reading it.
fn index(plan: &Plan, fold: &Declared, table: &mut Table) -> Result<()> {
    let entries = plan.events(usize::try_from(ENTRIES)?, 1000) as u64;
    let dir = folder::fresh()?;
    let store = folder::open(dir.path())?;
    store.models.register(fold.schema())?;
    let model = &fold.schema().model;
    let touches: Vec<(KeyHash, Position)> =
        (1..=entries).map(|n| (KeyHash(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)), Position(n))).collect();
    for some in touches.chunks(10_000) {
        store.models.index(model, Kind::Live, some)?;
    }
    let mut pair = Pair::default();
    for round in 0..plan.rounds {
        execute_as_stranger(dir.path(), &format!("CREATE TABLE theirs_{round}(n INTEGER);"))?;
        let start = Instant::now();
        if !store.models.index_is_sound(model, Kind::Live)? {
            return Err("the index does not add up".into());
        }
        pair.ours.push(start.elapsed().as_secs_f64() * 1e3);
        pair.rival.push(read(dir.path())?.as_secs_f64() * 1e3);
    }
    table.add(&format!("adding up an index of {entries} entries"), "SELECT of them", pair, Unit::Millis, None);
    Ok(())
}

fn read(dir: &Path) -> Result<Duration> {
    let conn = Connection::open(dir.join("models.db"))?;
    let start = Instant::now();
    let mut select = conn.prepare("SELECT hash, position FROM _ek_touches WHERE table_id > 0")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        black_box((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    }
    Ok(start.elapsed())
}
