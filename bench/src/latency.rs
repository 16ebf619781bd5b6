//! From publishing an event to its row being visible to a reader, beside the append alone, of the same events.
use crate::{
    Result,
    events::{self, Source},
    figure::{Pair, Plan, Table, Unit, percentile},
    folder::{self, Filled},
};
use evenkeel::{Engine, Options, project, reader::ReadOptions};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Clients that publish beside the one that measures, and how long each pauses after an event.
pub(crate) const LOAD: (usize, Duration) = (4, Duration::from_millis(8));
/// Events measured in one round.
pub(crate) const PROBES: usize = 500;
/// How often a row is looked at; finer would take a processor from who is measured.
const LOOK: Duration = Duration::from_micros(50);

/// What one publish took, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// Until it was durable.
    pub(crate) append: Vec<f64>,
    /// Until a reader saw it.
    pub(crate) visible: Vec<f64>,
}

impl Times {
    /// Measures `PROBES` events: `publish` gives the position, `seen` how far the row's model is.
    pub(crate) fn measure(
        source: &mut Source,
        mut publish: impl FnMut(Vec<u8>) -> Result<u64>,
        mut seen: impl FnMut(&str) -> Result<u64>,
    ) -> Result<Self> {
        let mut times = Self::default();
        for number in 0..PROBES {
            let key = (number as u64 * 7919) % events::KEYS;
            let (event, subject) = (source.of(key), events::subject(key));
            let start = Instant::now();
            let position = publish(event)?;
            times.append.push(start.elapsed().as_secs_f64() * 1e3);
            while seen(&subject)? < position {
                thread::sleep(LOOK);
            }
            times.visible.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(times)
    }
}

/// Adds a row for each percentile: of a round's visible times beside its append times.
pub(crate) fn add(table: &mut Table, how: &str, rounds: &[Times]) {
    for (share, name) in [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")] {
        let of = |times: &Vec<f64>| percentile(times, share).unwrap_or(f64::NAN);
        let pair = Pair {
            ours: rounds.iter().map(|times| of(&times.visible)).collect(),
            rival: rounds.iter().map(|times| of(&times.append)).collect(),
        };
        table.add(
            &format!("{how}: publish → visible row, {name}"),
            &format!("its append, {name}"),
            pair,
            Unit::Millis,
            None,
        );
    }
}

/// Measures it through the engine's API.
pub(crate) fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let project = events::project()?;
    let filled = Filled::new(&project, 0)?;
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        let dir = filled.copy()?;
        let store = folder::open(dir.path())?;
        let engine = project::start(&project, store.log, store.models, None, folder::clock(), Options::default())?;
        let times = under_load(&engine);
        engine.stop();
        rounds.push(times?);
    }
    add(table, "engine", &rounds);
    Ok(())
}

fn under_load(engine: &Engine) -> Result<Times> {
    engine.wait_until_current(Duration::from_secs(120))?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for name in ["load-a", "load-b", "load-c", "load-d"].into_iter().take(LOAD.0) {
            let done = &done;
            scope.spawn(move || {
                let mut source = Source::new(name);
                while !done.load(Ordering::Relaxed) {
                    // A refusal would show in the measured client too.
                    let _ = engine.publish_blocking(vec![source.next_event()], None);
                    thread::sleep(LOAD.1);
                }
            });
        }
        let times = Times::measure(
            &mut Source::new("probe"),
            |event| {
                let receipt = engine.publish_blocking(vec![event], None)?.pop().ok_or("no receipt")?;
                Ok(receipt.position.ok_or("not admitted")?)
            },
            |subject| {
                let answer = engine.get("orders", &[subject], ReadOptions::default())?;
                Ok(answer.consistency.position)
            },
        );
        done.store(true, Ordering::Relaxed);
        times
    })
}
