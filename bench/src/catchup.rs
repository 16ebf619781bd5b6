//! A projector catching up with a long log, beside a loop written by hand for that one table.
//!
//! Both must leave the same rows; that is checked in the first round.
use crate::{
    Result,
    events::{self, TYPE},
    figure::{Plan, Table, Unit},
    folder::{self, Filled},
    raw,
};
use evenkeel::{
    Options,
    core::fold::{Declared, Fold},
    projector::{Progress, Projector},
    store::{Models, Table as Kind},
};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, config::DbConfig};
use serde::Deserialize;
use std::{path::Path, sync::Arc, time::Instant};

/// Events after the first of every key.
const MORE: usize = 200_000;
/// A batch that is small beside the table.
const SMALL: usize = 2000;

/// Measures it: with the engine's batch on both sides, with a small one, and beside the loop's own best.
pub(crate) fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let project = events::project()?;
    let fold = project.models.first().ok_or("the project has no model")?.fold.clone();
    let filled = Filled::new(&project, plan.events(MORE, 1000))?;
    if !plan.only_ours {
        same_rows(&filled, &fold)?;
    }
    let default = Options::default().batch_events;
    let batches = if plan.only_ours { vec![default] } else { vec![default, SMALL] };
    for batch in batches {
        let pair = plan.beside(|| ours(&filled, &fold, batch), || by_hand(&filled, &fold, batch))?;
        let (what, beside) = (format!("catch-up, {batch} events a transaction"), format!("by hand, {batch}"));
        table.add(&what, &beside, pair, Unit::PerSecond, Some(0.5));
    }
    if plan.only_ours {
        return Ok(());
    }
    let mut best = (0.0, 0);
    for batch in [500, 1000, 5000, 20_000, 50_000] {
        let rate = by_hand(&filled, &fold, batch)?.max(by_hand(&filled, &fold, batch)?);
        if rate > best.0 {
            best = (rate, batch);
        }
    }
    let pair = plan.beside(|| ours(&filled, &fold, default), || by_hand(&filled, &fold, best.1))?;
    let what = format!("catch-up, {default} events a transaction");
    table.add(&what, &format!("by hand, its best ({})", best.1), pair, Unit::PerSecond, None);
    Ok(())
}

fn ours(filled: &Filled, fold: &Declared, batch: usize) -> Result<f64> {
    let dir = filled.copy()?;
    project(dir.path(), fold, batch)
}

/// Ours: the projector until it has nothing to do.
pub(crate) fn project(dir: &Path, fold: &Declared, batch: usize) -> Result<f64> {
    let store = folder::open(dir)?;
    store.models.register(fold.schema())?;
    let (log, models, clock) = (store.log.as_ref(), store.models.as_ref(), folder::clock());
    let mut projector = Projector::open(Arc::new(fold.clone()), models, Kind::Live, batch)?;
    let start = Instant::now();
    while projector.advance(log, models, clock.now(), None)? != Progress::Idle {}
    Ok(projector.checkpoint().counts.applied as f64 / start.elapsed().as_secs_f64())
}

/// The loop by hand over a copy of the log: its events a second.
pub(crate) fn by_hand(filled: &Filled, fold: &Declared, batch: usize) -> Result<f64> {
    let dir = filled.copy()?;
    loop_by_hand(dir.path(), fold, batch)
}

/// What the loop needs of an event's data.
#[derive(Deserialize)]
struct Moved<'j> {
    customer_id: &'j str,
    status: &'j str,
    units: i64,
    total: Money<'j>,
}

#[derive(Deserialize)]
struct Money<'j> {
    amount: &'j str,
    currency: &'j str,
}

impl Money<'_> {
    /// Cents. Whoever writes the loop knows that these are euros.
    fn minor(&self) -> Result<i64> {
        let (whole, cents) = self.amount.split_once('.').unwrap_or((self.amount, "00"));
        Ok(whole.parse::<i64>()? * 100 + cents.parse::<i64>()?)
    }
}

const SELECT: &str = "SELECT e.position, s.subject, e.time, e.data FROM events AS e JOIN streams AS s ON s.id = e.stream_id \
                      WHERE e.position > ?1 AND e.type = ?2 ORDER BY e.position LIMIT ?3";
const UPSERT: &str = "INSERT INTO orders(order_id, customer_id, status, units, total, total_minor, currency, first_at, last_at) \
                      VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8) ON CONFLICT(order_id) DO UPDATE SET \
                      customer_id = ifnull(customer_id, excluded.customer_id), status = excluded.status, \
                      units = units + excluded.units, total = excluded.total, total_minor = excluded.total_minor, \
                      currency = excluded.currency, first_at = ifnull(first_at, excluded.first_at), \
                      last_at = max(last_at, excluded.last_at)";

/// The rival: read a batch, parse each event into a struct, upsert it, and keep the position in the same transaction.
fn loop_by_hand(dir: &Path, fold: &Declared, batch: usize) -> Result<f64> {
    // Evenkeel makes the table, and lets go of it.
    folder::open(dir)?.models.register(fold.schema())?;
    let log = Connection::open_with_flags(dir.join("log.db"), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    log.pragma_update(None, "query_only", true)?;
    log.pragma_update(None, "cache_size", -16_384)?;
    let mut models = raw::connect(&dir.join("models.db"), "NORMAL")?;
    // What notes others' writes is not the loop's.
    models.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    let (mut position, mut events) = (0i64, 0usize);
    let start = Instant::now();
    loop {
        let mut select = log.prepare_cached(SELECT)?;
        let mut rows = select.query((position, TYPE, i64::try_from(batch)?))?;
        let before = events;
        let transaction = models.transaction()?;
        {
            let mut upsert = transaction.prepare_cached(UPSERT)?;
            while let Some(row) = rows.next()? {
                position = row.get(0)?;
                let moved: Moved<'_> = serde_json::from_str(row.get_ref(3)?.as_str()?)?;
                let time = format!("{:.6}", Timestamp::from_microsecond(row.get(2)?)?);
                let Money { amount, currency } = moved.total;
                let minor = moved.total.minor()?;
                let subject = row.get_ref(1)?.as_str()?;
                upsert.execute((
                    subject,
                    moved.customer_id,
                    moved.status,
                    moved.units,
                    amount,
                    minor,
                    currency,
                    time,
                ))?;
                events += 1;
            }
            let mut checkpoint = transaction
                .prepare_cached("UPDATE _ek_tables SET position = ?1 WHERE model = 'orders' AND role = 'live'")?;
            checkpoint.execute([position])?;
        }
        transaction.commit()?;
        if events == before {
            return Ok(events as f64 / start.elapsed().as_secs_f64());
        }
    }
}

/// Runs both and compares every row.
fn same_rows(filled: &Filled, fold: &Declared) -> Result<()> {
    let (a, b) = (filled.copy()?, filled.copy()?);
    project(a.path(), fold, SMALL)?;
    loop_by_hand(b.path(), fold, SMALL)?;
    let conn = Connection::open(a.path().join("models.db"))?;
    let other = b.path().join("models.db");
    conn.execute("ATTACH ?1 AS other", [other.to_str().ok_or("a path that is no text")?])?;
    let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    let rows = count("SELECT count(*) FROM main.orders")?;
    // All but the digest, which the loop does not write.
    let columns = "order_id, customer_id, status, units, total, total_minor, currency, first_at, last_at";
    let alike = count(&format!(
        "SELECT count(*) FROM (SELECT {columns} FROM main.orders INTERSECT SELECT {columns} FROM other.orders)"
    ))?;
    let others = count("SELECT count(*) FROM other.orders")?;
    if rows == 0 || rows != alike || rows != others {
        return Err(format!("the rows differ: {rows} of ours, {others} by hand, {alike} alike").into());
    }
    eprintln!("{rows} rows, the same on both sides");
    Ok(())
}
