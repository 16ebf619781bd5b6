//! Appending through HTTP, beside a raw append of the same events; and how soon a published row can be read there.
//!
//! Server and clients share the machine's cores, so what a client costs is in the figures.
use crate::{
    Result,
    append::raw_in_batches,
    clients,
    events::{self, Source},
    figure::{Plan, Table, Unit},
    folder::Filled,
    latency::{self, LOAD, Times},
    raw::Record,
    server::{Program, Server},
};
use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

const CLIENTS: [(usize, usize); 3] = [(1, 3_000), (8, 12_000), (64, 24_000)];
const BATCHES: [(usize, usize); 2] = [(100, 20_000), (1000, 50_000)];

/// Measures all of it.
pub(crate) fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let program = Program::build()?;
    let project = events::project()?;
    let filled = Filled::new(&project, 0)?;
    let most = BATCHES.iter().chain(&CLIENTS).map(|(size, events)| plan.events(*events, *size)).max().unwrap_or(0);
    let raw_events = Source::new("append").take(most);
    let records = events::arrivals(&project, &raw_events)?.iter().map(Record::of).collect::<Result<Vec<_>>>()?;

    for (count, events) in CLIENTS {
        let events = plan.events(events, count);
        let pair = plan.beside(
            || over_http(&program, filled.copy()?.path(), false, &raw_events[..events], count, 1),
            || clients::raw(filled.copy()?.path(), &records[..events], count),
        )?;
        let plural = if count == 1 { "client" } else { "clients" };
        table.add(&format!("HTTP: {count} {plural}"), "raw group commit", pair, Unit::PerSecond, None);
    }
    for (batch, events) in BATCHES {
        let events = plan.events(events, batch);
        let pair = plan.beside(
            || over_http(&program, filled.copy()?.path(), false, &raw_events[..events], 1, batch),
            || raw_in_batches(filled.copy()?.path(), &records[..events], batch),
        )?;
        table.add(&format!("HTTP: batches of {batch}"), "raw SQLite", pair, Unit::PerSecond, None);
    }
    let (batch, events) = BATCHES[1];
    let events = plan.events(events, batch);
    let pair = plan.beside(
        || over_http(&program, filled.copy()?.path(), false, &raw_events[..events], 4, batch),
        || raw_in_batches(filled.copy()?.path(), &records[..events], batch),
    )?;
    table.add("HTTP: batches of 1000 by 4 clients", "raw SQLite", pair, Unit::PerSecond, None);

    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        let dir = filled.copy()?;
        rounds.push(under_load(&program.serve(dir.path(), true)?)?);
    }
    latency::add(table, "HTTP", &rounds);
    Ok(())
}

fn over_http(
    program: &Program,
    dir: &Path,
    with_model: bool,
    events: &[Vec<u8>],
    count: usize,
    batch: usize,
) -> Result<f64> {
    let server = program.serve(dir, with_model)?;
    let connections = (0..count).map(|_| server.connect()).collect::<Result<Vec<_>>>()?;
    let shares = clients::deal(events, count).into_iter().zip(connections).collect();
    clients::at_once(shares, |(share, mut client)| {
        for events in share.chunks(batch) {
            match events {
                [event] => client.publish(event)?,
                events => client.publish_batch(events)?,
            };
        }
        Ok(share.len())
    })
}

fn position(answer: &[u8], pointer: &str) -> Result<u64> {
    let answer: serde_json::Value = serde_json::from_slice(answer)?;
    let position = answer.pointer(pointer).and_then(serde_json::Value::as_u64);
    Ok(position.ok_or_else(|| format!("nothing at {pointer} of {answer}"))?)
}

fn under_load(server: &Server) -> Result<Times> {
    let (mut publisher, mut reader) = (server.connect()?, server.connect()?);
    let row = |subject: &str| format!("/v1/models/orders/rows/{subject}");
    // A row is there once the projector has caught up with the log it found.
    while position(reader.get("/v1/drift")?, "/models/0/lag_count").unwrap_or(1) > 0 {
        thread::sleep(Duration::from_millis(50));
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for name in ["load-a", "load-b", "load-c", "load-d"].into_iter().take(LOAD.0) {
            let done = &done;
            let mut client = server.connect()?;
            scope.spawn(move || {
                let mut source = Source::new(name);
                // An error would show in the measured client too.
                while !done.load(Ordering::Relaxed) && client.publish(&source.next_event()).is_ok() {
                    thread::sleep(LOAD.1);
                }
            });
        }
        let times = Times::measure(
            &mut Source::new("probe"),
            |event| position(publisher.publish(&event)?, "/results/0/position"),
            |subject| position(reader.get(&row(subject))?, "/consistency/position"),
        );
        done.store(true, Ordering::Relaxed);
        times
    })
}
