//! Reads through HTTP while a thousand events a second are written: of what is there, of one's own write, of everything
//! that was written; the last also of rows that a model behind lacks events of, and by a thousand readers at once.
//!
//! Each kind of read is measured in turns with what it stands beside, on connections of its own. Server, writers and
//! readers share the machine's cores.
use crate::{
    Result,
    events::{self, Source},
    figure::{Pair, Plan, Table, Unit, percentile},
    folder::Filled,
    lots::Lots,
    server::{Client, Program, Server},
};
use serde_json::Value;
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Who writes, and how often each: a thousand events a second in all.
const WRITERS: [&str; 4] = ["write-a", "write-b", "write-c", "write-d"];
const EVERY: Duration = Duration::from_millis(4);
/// Reads of each kind in one round.
const PROBES: usize = 600;
/// How many events the model lacks.
const LAG: usize = 1000;
/// Readers of one row at once.
const HERD: usize = 1000;
/// How often a row is looked at; finer would take a processor from who is measured.
const LOOK: Duration = Duration::from_micros(50);
/// The longest that anything is waited for.
const LONGEST: Duration = Duration::from_secs(120);

/// What the reads of one round took, in milliseconds.
#[derive(Default)]
struct Times {
    /// An answer of the same server that reads nothing.
    nothing: Vec<f64>,
    eventual: Vec<f64>,
    strong: Vec<f64>,
    /// From the answer of a publish until the read of that write was answered.
    causal: Vec<f64>,
    /// The same by looking at the row until it is there.
    applied: Vec<f64>,
    /// With the model behind.
    behind_eventual: Vec<f64>,
    behind_strong: Vec<f64>,
    /// Until all of a herd were answered.
    herd_eventual: Vec<f64>,
    herd_strong: Vec<f64>,
    /// Attempts that the strong one cost.
    attempts: f64,
}

/// Measures all of it.
pub(crate) fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let program = Program::build()?;
    let filled = Filled::new(&events::project()?, 0)?;
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        let dir = filled.copy()?;
        rounds.push(round(&program.serve(dir.path(), true)?)?);
    }
    let pair = |share: f64, ours: fn(&Times) -> &[f64], beside: fn(&Times) -> &[f64]| {
        let at = |of: fn(&Times) -> &[f64]| {
            rounds.iter().map(|times| percentile(of(times), share).unwrap_or(f64::NAN)).collect()
        };
        Pair { ours: at(ours), rival: at(beside) }
    };
    for (share, name, target) in [(0.5, "p50", None), (0.99, "p99", Some(2.0))] {
        let mut add = |what: &str, beside: &str, pair, target| {
            table.add(&format!("{what}, {name}"), &format!("{beside}, {name}"), pair, Unit::Millis, target);
        };
        let under = "1000 writes/s";
        add(
            &format!("{under}: eventual read"),
            "an answer without a read",
            pair(share, |t| &t.eventual, |t| &t.nothing),
            None,
        );
        add(
            &format!("{under}: causal read of one's own write"),
            "the row looked at until it is there",
            pair(share, |t| &t.causal, |t| &t.applied),
            target,
        );
        add(&format!("{under}: strong read"), "eventual", pair(share, |t| &t.strong, |t| &t.eventual), None);
        add(
            "1000 events behind: strong read",
            "eventual",
            pair(share, |t| &t.behind_strong, |t| &t.behind_eventual),
            Some(3.0),
        );
    }
    let herds = pair(0.5, |t| &t.herd_strong, |t| &t.herd_eventual);
    table.add("a herd of 1000 strong reads, all answered", "eventual ones", herds, Unit::Millis, None);
    let attempts =
        Pair { ours: rounds.iter().map(|times| times.attempts).collect(), rival: vec![HERD as f64; rounds.len()] };
    table.add("attempts for a herd of strong reads", "its readers", attempts, Unit::Count, None);
    Ok(())
}

fn round(server: &Server) -> Result<Times> {
    wait_until_current(server)?;
    // After a start a row is believed once all rows were added up, which a strong page does at once.
    server.connect()?.get("/v1/models/orders/rows?level=strong&limit=1&budget_ms=60000")?;
    let mut times = Times::default();
    let (done, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let began = Instant::now();
    thread::scope(|scope| {
        for name in WRITERS {
            let (client, done, written) = (server.connect()?, &done, &written);
            scope.spawn(move || write(client, name, done, written));
        }
        let measured = under_load(server, &mut times);
        done.store(true, Ordering::Relaxed);
        measured
    })?;
    eprintln!("{:.0} writes/s", written.into_inner() as f64 / began.elapsed().as_secs_f64());
    wait_until_current(server)?;
    behind(server, &mut times)?;
    herd(server, &mut times)?;
    Ok(times)
}

/// Publishes at a steady rate, and catches up where that was missed.
fn write(mut client: Client, name: &'static str, done: &AtomicBool, written: &AtomicUsize) {
    let mut source = Source::new(name);
    let mut next = Instant::now();
    // An error would show in the measured clients too.
    while !done.load(Ordering::Relaxed) && client.publish(&source.next_event()).is_ok() {
        written.fetch_add(1, Ordering::Relaxed);
        next += EVERY;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn under_load(server: &Server, times: &mut Times) -> Result<()> {
    let (mut publisher, mut reader) = (server.connect()?, server.connect()?);
    let (mut source, mut lots) = (Source::new("probe"), Lots::new(1));
    for number in 0..PROBES {
        let key = || events::subject((number as u64 * 7919) % events::KEYS);
        let random = events::subject(lots.below(usize::try_from(events::KEYS)?) as u64);
        times.nothing.push(timed(|| reader.get("/").map(drop))?.0);
        times.eventual.push(timed(|| row(&mut reader, &random, "level=eventual"))?.0);
        times.strong.push(timed(|| row(&mut reader, &random, "level=strong&budget_ms=10000"))?.0);
        let receipt = publish(&mut publisher, &source.of((number as u64 * 7919) % events::KEYS))?;
        let (took, read) =
            timed(|| row(&mut reader, &key(), &format!("level=causal&budget_ms=10000&token={}", receipt.token)))?;
        if read < receipt.position {
            return Err(format!("a causal read was served at {read}, before its write at {}", receipt.position).into());
        }
        times.causal.push(took);
        let receipt = publish(&mut publisher, &source.of((number as u64 * 7919) % events::KEYS))?;
        let (took, ()) = timed(|| {
            while row(&mut reader, &key(), "level=eventual")? < receipt.position {
                thread::sleep(LOOK);
            }
            Ok(())
        })?;
        times.applied.push(took);
    }
    Ok(())
}

/// Rows of which the model lacks an event: all that come here are of the tail.
fn behind(server: &Server, times: &mut Times) -> Result<()> {
    let mut client = server.connect()?;
    client.post("/v1/models/orders/projector/stop", br#"{"reason":"a benchmark of reads"}"#)?;
    let keys: Vec<u64> = Source::new("tail").shuffled(events::KEYS).into_iter().take(LAG).collect();
    let mut source = Source::new("behind");
    client.publish_batch(&keys.iter().map(|key| source.of(*key)).collect::<Vec<_>>())?;
    for key in keys.iter().take(PROBES) {
        let key = events::subject(*key);
        times.behind_eventual.push(timed(|| row(&mut client, &key, "level=eventual"))?.0);
        times.behind_strong.push(timed(|| row(&mut client, &key, "level=strong&budget_ms=10000"))?.0);
    }
    Ok(())
}

/// A thousand connections that ask for the same row at the same moment, and how long it takes until all are answered.
fn herd(server: &Server, times: &mut Times) -> Result<()> {
    let mut watcher = server.connect()?;
    let mut connections = (0..HERD).map(|_| server.connect()).collect::<Result<Vec<_>>>()?;
    let mut all = |key: u64, parameters: &str| {
        let path = format!("/v1/models/orders/rows/{}?{parameters}", events::subject(key));
        timed(|| {
            connections.iter_mut().try_for_each(|client| client.ask(&path))?;
            connections.iter_mut().try_for_each(|client| position(client.answered()?).map(drop))
        })
    };
    times.herd_eventual.push(all(7, "level=eventual")?.0);
    let before = attempts(&mut watcher)?;
    times.herd_strong.push(all(7, "level=strong&budget_ms=10000")?.0);
    times.attempts = attempts(&mut watcher)? - before;
    Ok(())
}

/// How many attempts at strong reads of rows there were.
fn attempts(client: &mut Client) -> Result<f64> {
    let text = String::from_utf8_lossy(client.get("/metrics")?).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(r#"evenkeel_shared_attempts_total{of="row"} "#));
    Ok(line.unwrap_or("0").trim().parse()?)
}

/// What a write is answered with.
struct Receipt {
    position: u64,
    token: String,
}

fn publish(client: &mut Client, event: &[u8]) -> Result<Receipt> {
    let answer: Value = serde_json::from_slice(client.publish(event)?)?;
    let position = answer.pointer("/results/0/position").and_then(Value::as_u64).ok_or("no position")?;
    Ok(Receipt { position, token: answer["token"].as_str().ok_or("no token")?.to_owned() })
}

/// Reads a row; the position that the answer reflects.
fn row(client: &mut Client, key: &str, parameters: &str) -> Result<u64> {
    position(client.get(&format!("/v1/models/orders/rows/{key}?{parameters}"))?)
}

/// The position that an answer reflects, which is as it was asked for.
fn position(answer: &[u8]) -> Result<u64> {
    let answer: Value = serde_json::from_slice(answer)?;
    let label = &answer["consistency"];
    if label["level_served"] != label["level_requested"] {
        return Err(format!("not served as asked for: {label}").into());
    }
    Ok(label["position"].as_u64().ok_or("no position")?)
}

/// How long something took, in milliseconds.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let began = Instant::now();
    let done = work()?;
    Ok((began.elapsed().as_secs_f64() * 1e3, done))
}

fn wait_until_current(server: &Server) -> Result<()> {
    // One of its own: the server ends those that are silent for long.
    let (mut client, began) = (server.connect()?, Instant::now());
    while began.elapsed() < LONGEST {
        let drift: Value = serde_json::from_slice(client.get("/v1/drift")?)?;
        if drift.pointer("/models/0/lag_count").and_then(Value::as_u64) == Some(0) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Err("the model does not catch up".into())
}
