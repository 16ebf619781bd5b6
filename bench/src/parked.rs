//! Publishing while a tenth of the keys is parked, beside none parked: their events are held in quarantine, in order, and the
//! others are admitted. All of them count.
//!
//! Both sides are open at once and take the same events in turns of a fraction of a second, first the one and then the other: on
//! a machine that others use too, whole runs one after the other differ by more than what is asked. A round is the median of
//! its turns.
use crate::{
    Result, clients,
    events::{self, Source},
    figure::{Pair, Plan, Table, Unit, percentile},
    folder::Filled,
};
use std::fs;

/// Clients, how many events each sends at a time, and the events of a turn.
const CASES: [(usize, usize, usize); 3] = [(8, 1, 1_000), (1, 100, 2_000), (1, 1000, 5_000)];

/// Turns of each side in a round.
const TURNS: usize = 16;

/// Of so many keys one is parked.
const ONE_PARKED_OF: u64 = 10;

/// What one side of a round came to.
#[derive(Default)]
struct Side {
    /// Events per second of each turn.
    rates: Vec<f64>,
    held: usize,
    /// Processor time of the whole process during its turns, in ticks of the system.
    ticks: u64,
}

/// Measures all of it.
pub(crate) fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let project = events::project()?;
    let filled = Filled::new(&project, 0)?;
    let parked = Filled::parking(&project, &filled, ONE_PARKED_OF)?;
    for (clients, batch, of_turn) in CASES {
        let of_turn = plan.events(of_turn, batch);
        let events = Source::new("parked").take(of_turn * TURNS);
        let (mut rates, mut by_processor) = (Pair::default(), Pair::default());
        for _ in 0..plan.rounds {
            let [ours, rival] = round([&parked, &filled], &events, of_turn, (clients, batch))?;
            for (side, rates, by_processor, expected) in [
                (ours, &mut rates.ours, &mut by_processor.ours, 1.0 / ONE_PARKED_OF as f64),
                (rival, &mut rates.rival, &mut by_processor.rival, 0.0),
            ] {
                // What is measured must be what is meant: with few keys parked in truth the ratio would say nothing.
                let share = side.held as f64 / events.len() as f64;
                if (share - expected).abs() > 0.02 {
                    return Err(format!("{share:.3} of the events were held, expected {expected:.3}").into());
                }
                rates.push(percentile(&side.rates, 0.5).unwrap_or_default());
                by_processor.push(events.len() as f64 / (side.ticks.max(1) as f64 / TICKS_PER_SECOND));
            }
        }
        let what = match batch {
            1 => format!("engine, 10 % of keys parked: {clients} clients"),
            _ => format!("engine, 10 % of keys parked: batches of {batch}"),
        };
        table.add(&what, "none parked", rates, Unit::PerSecond, Some(0.8));
        table.add(&format!("{what}, a second of processor time"), "none parked", by_processor, Unit::PerSecond, None);
    }
    Ok(())
}

/// Both sides take all events, in turns.
fn round(
    folders: [&Filled; 2],
    events: &[Vec<u8>],
    of_turn: usize,
    (clients, batch): (usize, usize),
) -> Result<[Side; 2]> {
    let copies = [folders[0].copy()?, folders[1].copy()?];
    let engines = [clients::engine(copies[0].path())?, clients::engine(copies[1].path())?];
    let mut sides = [Side::default(), Side::default()];
    for (number, events) in events.chunks(of_turn).enumerate() {
        // Neither is always the one that comes after the other.
        for index in [number % 2, 1 - number % 2] {
            let before = ticks()?;
            let (rate, held) = clients::publishing(&engines[index], events, clients, batch)?;
            let side = &mut sides[index];
            side.ticks += ticks()? - before;
            side.rates.push(rate);
            side.held += held;
        }
    }
    engines.iter().for_each(evenkeel::Engine::stop);
    Ok(sides)
}

/// Linux counts so on every platform.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time of this process, threads that ended included.
fn ticks() -> Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name stands in parentheses and may hold anything; user and system time are the 14th and 15th field.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let times = fields.skip(11).take(2).map(str::parse::<u64>);
    Ok(times.sum::<std::result::Result<u64, _>>()?)
}
