//! Appending through the log's API, beside raw SQLite: batches through the intake, and clients through the engine.
//!
//! Publishing while keys are parked is [`crate::parked`]'s.
use crate::{
    Result, clients,
    events::{self, Source},
    figure::{Plan, Table, Unit},
    folder::{self, Filled},
    raw::{RawLog, Record},
};
use evenkeel::{
    contract::gate::Gate,
    core::intake::Arrival,
    ingest::{self, IngestLimits},
};
use std::{path::Path, time::Instant};

const BATCHES: [(usize, usize); 3] = [(1, 5_000), (100, 40_000), (1000, 100_000)];
const CLIENTS: [(usize, usize); 3] = [(1, 5_000), (8, 20_000), (64, 50_000)];

/// Measures all of it.
pub(crate) fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let project = events::project()?;
    let filled = Filled::new(&project, 0)?;
    let most = BATCHES.iter().chain(&CLIENTS).map(|(size, events)| plan.events(*events, *size)).max().unwrap_or(0);
    let raw_events = Source::new("append").take(most);
    let arrivals = events::arrivals(&project, &raw_events)?;
    let records = arrivals.iter().map(Record::of).collect::<Result<Vec<_>>>()?;
    let bytes: usize = records.iter().map(Record::data_bytes).sum();
    eprintln!("{} bytes of data an event", bytes / records.len().max(1));

    for (batch, events) in BATCHES {
        let events = plan.events(events, batch);
        let pair = plan.beside(
            || in_batches(filled.copy()?.path(), &arrivals[..events], batch),
            || raw_in_batches(filled.copy()?.path(), &records[..events], batch),
        )?;
        let target = (batch > 1).then_some(0.7);
        table.add(&format!("log: batches of {batch}"), "raw SQLite", pair, Unit::PerSecond, target);
    }
    let events = plan.events(100_000, 1000);
    let empty = |run: &dyn Fn(&Path) -> Result<f64>| -> Result<f64> {
        let dir = folder::fresh()?;
        drop(folder::open(dir.path())?);
        run(dir.path())
    };
    let pair = plan.beside(
        || empty(&|dir| in_batches(dir, &arrivals[..events], 1000)),
        || empty(&|dir| raw_in_batches(dir, &records[..events], 1000)),
    )?;
    table.add("log: batches of 1000 into an empty log", "raw SQLite", pair, Unit::PerSecond, Some(0.7));

    for (batch, events) in &BATCHES[1..] {
        let events = plan.events(*events, *batch);
        let pair = plan.beside(
            || keeping(filled.copy()?.path(), &arrivals[..events], *batch, true),
            || keeping(filled.copy()?.path(), &arrivals[..events], *batch, false),
        )?;
        table.add(&format!("log: batches of {batch}, kept as sent"), "not kept", pair, Unit::PerSecond, Some(0.8));
    }

    for (count, events) in CLIENTS {
        let events = plan.events(events, count);
        let pair = plan.beside(
            || clients::ours(filled.copy()?.path(), &raw_events[..events], count, 1),
            || clients::raw(filled.copy()?.path(), &records[..events], count),
        )?;
        let plural = if count == 1 { "client" } else { "clients" };
        table.add(&format!("engine, gate included: {count} {plural}"), "raw group commit", pair, Unit::PerSecond, None);
    }
    for (batch, events) in &BATCHES[1..] {
        let events = plan.events(*events, *batch);
        let pair = plan.beside(
            || clients::ours(filled.copy()?.path(), &raw_events[..events], 1, *batch),
            || raw_in_batches(filled.copy()?.path(), &records[..events], *batch),
        )?;
        table.add(&format!("engine, gate included: batches of {batch}"), "raw SQLite", pair, Unit::PerSecond, None);
    }
    Ok(())
}

/// Ours: ready arrivals through the intake into the log, one transaction a batch.
fn in_batches(dir: &Path, arrivals: &[Arrival], batch: usize) -> Result<f64> {
    let store = folder::open_warm(dir)?;
    let clock = folder::clock();
    let batches: Vec<_> = arrivals.chunks(batch).map(<[_]>::to_vec).collect();
    let start = Instant::now();
    for batch in batches {
        ingest::commit(store.log.as_ref(), clock.as_ref(), Default::default(), batch)?;
    }
    Ok(arrivals.len() as f64 / start.elapsed().as_secs_f64())
}

/// As [`in_batches`], with the events kept as they were sent or not; how small they become goes to stderr.
fn keeping(dir: &Path, arrivals: &[Arrival], batch: usize, keep_raw: bool) -> Result<f64> {
    let store = folder::open_warm(dir)?;
    let clock = folder::clock();
    let (gate, quota) = (Gate::default().with_raw_kept(keep_raw), IngestLimits::default().quota);
    let batches: Vec<_> = arrivals.chunks(batch).map(|batch| vec![batch.to_vec()]).collect();
    let start = Instant::now();
    for batch in batches {
        ingest::commit_within(store.log.as_ref(), clock.as_ref(), &gate, quota, batch)?;
    }
    let rate = arrivals.len() as f64 / start.elapsed().as_secs_f64();
    drop(store);
    if keep_raw {
        let file = rusqlite::Connection::open(dir.join("log.db"))?;
        let sizes = "SELECT sum(length), sum(length(pack)) FROM raws";
        let (sent, kept): (f64, f64) = file.query_row(sizes, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (events, kept_each) = (arrivals.len() as f64, kept / arrivals.len() as f64);
        eprintln!("{:.0} bytes an event as sent, {kept_each:.0} as kept: 1 to {:.1}", sent / events, sent / kept);
    }
    Ok(rate)
}

/// The rival: prepared records into the same tables, one transaction a batch.
pub(crate) fn raw_in_batches(dir: &Path, records: &[Record], batch: usize) -> Result<f64> {
    let mut log = RawLog::open(dir)?;
    let clock = folder::clock();
    let start = Instant::now();
    for batch in records.chunks(batch) {
        log.append(batch, clock.now().as_micros())?;
    }
    Ok(records.len() as f64 / start.elapsed().as_secs_f64())
}
