//! Content: a rebuild beside the loop written by hand, the scrub beside a plain reading of the rows, and finding and
//! repairing ten edited rows among all of them beside rebuilding the table.
use crate::{
    Result, catchup, digesting,
    events::{self, Source, subject},
    figure::{Pair, Plan, Table, Unit},
    folder::{self, Filled},
};
use evenkeel::{
    Engine, Options,
    core::{fold::Fold, reconciliation::Method},
    project, rebuild,
    store::{Models, sqlite::execute_as_stranger},
};
use jiff::Timestamp;
use rusqlite::{Connection, types::ValueRef};
use std::{
    hint::black_box,
    ops::ControlFlow,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Rows of the table, and a second event for some of them.
const ROWS: usize = 1_000_000;
/// Rows that somebody else edits.
const EDITED: u64 = 10;
/// Events to a transaction of the loop by hand: what suits it best.
const BY_HAND: usize = 50_000;

/// Measures it.
pub(crate) fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let project = events::project()?;
    let fold = project.models.first().ok_or("the project has no model")?.fold.clone();
    digesting::measure(plan, &project, &fold, table)?;
    let keys = plan.events(ROWS, 1000) as u64;
    let shared: Arc<dyn Fold> = Arc::new(fold.clone());
    // The order of the keys is what suits the loop best: it only ever writes behind the last row.
    let in_order = Filled::of_keys(&project, keys, 0)?;
    let filled = Filled::of(&project, &Source::new("order").shuffled(keys), 0)?;
    let mut orders = Source::new("orders");
    let four_times: Vec<u64> = (0..4).flat_map(|_| orders.shuffled(keys / 4)).collect();
    let several = Filled::of(&project, &four_times, 0)?;
    for (filled, what, target) in [
        (&filled, format!("rebuild of {keys} rows"), Some(0.7)),
        (&several, format!("rebuild of {} rows, four events each", keys / 4), Some(0.7)),
        (&in_order, format!("rebuild of {keys} rows, events in order of keys"), None),
    ] {
        let pair = plan.beside(|| rebuilt(filled, &shared), || catchup::by_hand(filled, &fold, BY_HAND))?;
        table.add(&what, "by hand", pair, Unit::PerSecond, target);
    }
    drop((several, in_order));

    let dir = filled.copy()?;
    let store = folder::open(dir.path())?;
    store.models.register(shared.schema())?;
    rebuild_in(&store, &shared)?;
    let engine = |scrub_rows_per_second: u64| -> Result<Engine> {
        let options = Options { auto_reconcile: false, scrub_rows_per_second, ..Options::default() };
        let (log, models) = (store.log.clone(), store.models.clone());
        let engine = project::start(&project, log, models, None, folder::clock(), options)?;
        engine.wait_until_current(Duration::from_secs(600))?;
        Ok(engine)
    };
    // As fast as it goes: what limits it is the reading, and folding some of the rows afresh.
    let scrubbing = engine(u64::MAX)?;
    let pair = plan.beside(|| scrubbed(&scrubbing, keys), || read(dir.path()))?;
    scrubbing.stop();
    table.add("scrub, rows", "SELECT of all columns", pair, Unit::PerSecond, None);

    let engine = engine(0)?;
    let (mut find, mut mend) = (Pair::default(), Pair::default());
    for round in 0..plan.rounds as u64 {
        let (found, repaired) = edited_and_repaired(&engine, dir.path(), keys, round)?;
        let start = Instant::now();
        engine.reconcile("orders", Some(Method::Rebuild))?;
        let whole = start.elapsed().as_secs_f64() * 1e3;
        find.ours.push(found);
        mend.ours.push(repaired);
        find.rival.push(whole);
        mend.rival.push(whole);
    }
    engine.stop();
    table.add(&format!("finding {EDITED} edited rows of {keys}"), "a rebuild", find, Unit::Millis, None);
    table.add(&format!("repairing {EDITED} edited rows of {keys}"), "a rebuild", mend, Unit::Millis, None);
    Ok(())
}

fn rebuilt(filled: &Filled, fold: &Arc<dyn Fold>) -> Result<f64> {
    let dir = filled.copy()?;
    let store = folder::open(dir.path())?;
    store.models.register(fold.schema())?;
    rebuild_in(&store, fold)
}

fn rebuild_in(store: &evenkeel::store::sqlite::SqliteStore, fold: &Arc<dyn Fold>) -> Result<f64> {
    let clock = folder::clock();
    let start = Instant::now();
    let go_on = &mut |_| ControlFlow::Continue(());
    let done = rebuild::rebuild(store.log.as_ref(), store.models.as_ref(), fold, clock.as_ref(), go_on)?;
    let rebuild::Rebuilt::Swapped { events, .. } = done else { return Err("the rebuild was called off".into()) };
    Ok(events as f64 / start.elapsed().as_secs_f64())
}

/// Rows scrubbed a second: from the beginning of one pass to that of the next.
fn scrubbed(engine: &Engine, rows: u64) -> Result<f64> {
    let begun = || -> Result<Option<Timestamp>> {
        let report = engine.drift(Some("orders"))?.into_iter().next().ok_or("there is no such model")?;
        Ok(report.content.verified_as_of.map(|at| at.parse()).transpose()?)
    };
    // The first ends a pass that began before this; what is as of the second has begun with it.
    let (mut seen, mut changes) = (begun()?, Vec::new());
    while changes.len() < 3 {
        std::thread::sleep(Duration::from_millis(5));
        let now = begun()?;
        if now != seen {
            changes.extend(now);
            seen = now;
        }
    }
    let took = changes[2].duration_since(changes[1]);
    Ok(rows as f64 / took.as_secs_f64())
}

/// Rows read a second, every column of them.
fn read(dir: &Path) -> Result<f64> {
    let conn = Connection::open(dir.join("models.db"))?;
    let start = Instant::now();
    let mut select = conn.prepare("SELECT * FROM orders ORDER BY order_id")?;
    let columns = select.column_count();
    let (mut rows, mut count) = (select.query([])?, 0u64);
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            if let ValueRef::Text(text) = row.get_ref(column)? {
                black_box(text);
            }
        }
        count += 1;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// Milliseconds until ten edited rows are named, and until they are repaired and checked again.
fn edited_and_repaired(engine: &Engine, dir: &Path, keys: u64, round: u64) -> Result<(f64, f64)> {
    let edits: Vec<String> = (0..EDITED)
        .map(|n| (n * (keys / EDITED) + round * 7) % keys)
        .map(|key| format!("UPDATE orders SET units = units + 1 WHERE order_id = '{}';", subject(key)))
        .collect();
    execute_as_stranger(dir, &edits.concat())?;
    let start = Instant::now();
    let found = engine.verify("orders", false)?;
    let found_ms = start.elapsed().as_secs_f64() * 1e3;
    if found.wrong_rows != EDITED || found.wrong.iter().any(|row| row.cause != "foreign_edit") {
        return Err(format!("{} wrong rows were found", found.wrong_rows).into());
    }
    let start = Instant::now();
    let record = engine.reconcile("orders", Some(Method::Repair))?;
    let repaired_ms = start.elapsed().as_secs_f64() * 1e3;
    if record.rows_repaired != EDITED || !record.verified {
        return Err(format!("{record:?}").into());
    }
    Ok((found_ms, repaired_ms))
}
