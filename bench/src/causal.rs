//! The causal buffer beside a straightforward one that looks at everything that waits after every delivery, and by
//! itself: events per second in disorder, with one message very late, and with many waiting.
use crate::{
    Result,
    figure::{Plan, Table, Unit},
    lots::Lots,
};
use evenkeel_core::{
    Timestamp,
    causal::{Arrival, CausalBuffer, Limits, Mark},
    clock::{Actor, Dot, VectorClock},
};
use std::{hint::black_box, time::Instant};

const SENDERS: usize = 16;

/// What is wanted, in events per second on one core.
const WANTED: f64 = 2_500_000.0;

/// Adds the rows of this section.
pub(crate) fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let events = plan.events(400_000, 1);
    let history = history(events);
    for window in [100, 1_000, 10_000] {
        let arriving = disordered(&history, window, None);
        let few = arriving.iter().take(20_000_000 / window.max(400)).cloned().collect::<Vec<_>>();
        let pair = plan.beside(|| Ok(buffer(&arriving)), || Ok(rescanning(&few)))?;
        let what = format!("causal buffer, {SENDERS} senders, disorder of {window}");
        table.add(&what, "rescanning, dense clocks", pair, Unit::PerSecond, None);
    }
    let arriving = disordered(&history, 1_000, None);
    let pair = plan.beside(|| Ok(buffer(&arriving)), || Ok(WANTED))?;
    table.add("causal buffer, disorder of 1000", "the target", pair, Unit::PerSecond, Some(1.0));
    let late = disordered(&history, 1_000, Some(10_000));
    let pair = plan.beside(|| Ok(buffer(&late)), || Ok(buffer(&arriving)))?;
    table.add("the same, one message 10000 late", "none so late", pair, Unit::PerSecond, Some(0.5));
    waiting(plan, table)
}

/// Many wait for one event that does not come; beside them others pass.
fn waiting(plan: &Plan, table: &mut Table) -> Result<()> {
    let passing = plan.events(200_000, 1);
    let few = 1_000;
    for many in [10_000, 100_000, 1_000_000] {
        let pair = plan.beside(|| Ok(beside_waiting(many, passing)), || Ok(beside_waiting(few, passing)))?;
        let what = format!("events passing {many} that wait");
        table.add(&what, "passing 1000", pair, Unit::PerSecond, Some(0.5));
        let pair = plan.beside(|| Ok(held_back(many)), || Ok(held_back(few)))?;
        // What waits is beyond the caches then: this is as much about memory as about the buffer.
        let what = format!("{many} held back by one, and let go");
        table.add(&what, "1000", pair, Unit::PerSecond, None);
    }
    Ok(())
}

/// A history in causal order: every sender has heard of some of what the others sent.
fn history(events: usize) -> Vec<Arrival<u64>> {
    let mut lots = Lots::new(11);
    let mut clocks: Vec<VectorClock> = vec![VectorClock::default(); SENDERS];
    let mut history = Vec::with_capacity(events);
    for n in 0..events {
        let (me, from) = (lots.below(SENDERS), lots.below(SENDERS));
        let heard = clocks[from].clone();
        clocks[me].merge(&heard);
        history.push(next(&mut clocks[me], me, n as u64));
    }
    history
}

fn next(clock: &mut VectorClock, sender: usize, payload: u64) -> Arrival<u64> {
    let actor = Actor(sender as u32);
    let dot = Dot::new(actor, clock.get(actor) + 1);
    clock.raise(dot);
    Arrival { dot, clock: clock.clone(), mark: Mark(payload.into()), bytes: 100, payload }
}

/// The history in windows of `window`, each shuffled; one event is `late` places late.
fn disordered(history: &[Arrival<u64>], window: usize, late: Option<usize>) -> Vec<Arrival<u64>> {
    let mut lots = Lots::new(13);
    let mut arriving = history.to_vec();
    for chunk in arriving.chunks_mut(window) {
        for at in (1..chunk.len()).rev() {
            chunk.swap(at, lots.below(at + 1));
        }
    }
    if let Some(late) = late {
        let from = arriving.len() / 2;
        let to = (from + late).min(arriving.len() - 1);
        arriving[from..=to].rotate_left(1);
    }
    arriving
}

fn generous() -> Limits {
    Limits { max_events: 4_000_000, max_bytes: 8 << 30, ..Limits::default() }
}

fn buffer(arriving: &[Arrival<u64>]) -> f64 {
    let events = arriving.to_vec();
    let count = events.len();
    let mut buffer = CausalBuffer::new(generous());
    let (mut out, mut delivered) = (Vec::with_capacity(1024), 0);
    let start = Instant::now();
    for event in events {
        black_box(buffer.offer(Timestamp::default(), event, &mut out));
        delivered += out.len();
        out.clear();
    }
    let spent = start.elapsed();
    assert_eq!((delivered, buffer.len()), (count, 0));
    count as f64 / spent.as_secs_f64()
}

/// `many` wait for an event of a sender that is silent, and `passing` events in windows of 1000 go by.
fn beside_waiting(many: usize, passing: usize) -> f64 {
    let silent = Dot::new(Actor(SENDERS as u32), 1);
    let mut buffer = CausalBuffer::new(generous());
    let mut out = Vec::with_capacity(1024);
    for n in 0..many {
        let mut clock = VectorClock::default();
        clock.raise(silent);
        let parked = next(&mut clock, SENDERS + 1 + n % SENDERS, n as u64);
        let parked = Arrival { dot: Dot::new(parked.dot.actor, 1 + (n / SENDERS) as u64), ..parked };
        let mut clock = parked.clock.clone();
        clock.raise(parked.dot);
        buffer.offer(Timestamp::default(), Arrival { clock, ..parked }, &mut out);
    }
    let events = disordered(&history(passing), 1_000, None);
    let start = Instant::now();
    for event in events {
        black_box(buffer.offer(Timestamp::default(), event, &mut out));
        out.clear();
    }
    let spent = start.elapsed();
    assert_eq!(buffer.len(), many);
    passing as f64 / spent.as_secs_f64()
}

/// `many` events in causal order, the first of which comes last: all wait, and all are let go at once. As often as it
/// takes to be measured.
fn held_back(many: usize) -> f64 {
    let rounds = (200_000 / many).max(1);
    let mut arriving = history(many);
    // Everybody knows the first: it is everybody's first cause.
    let first = Dot::new(Actor(SENDERS as u32), 1);
    for event in &mut arriving {
        event.clock.raise(first);
    }
    let mut clock = VectorClock::default();
    arriving.push(next(&mut clock, SENDERS, 0));
    let copies: Vec<_> = (0..rounds).map(|_| arriving.clone()).collect();
    let mut out = Vec::with_capacity(many + 1);
    let start = Instant::now();
    for events in copies {
        let mut buffer = CausalBuffer::new(generous());
        for event in events {
            black_box(buffer.offer(Timestamp::default(), event, &mut out));
        }
        assert!(buffer.is_empty());
        out.clear();
    }
    (rounds * arriving.len()) as f64 / start.elapsed().as_secs_f64()
}

/// What one would write first: a list of what waits, looked through after every delivery.
fn rescanning(arriving: &[Arrival<u64>]) -> f64 {
    let events = arriving.to_vec();
    let count = events.len();
    let (mut passed, mut waiting, mut delivered) = (VectorClock::default(), Vec::new(), Vec::new());
    let ready = |passed: &VectorClock, event: &Arrival<u64>| {
        event.clock.iter().all(|(actor, seq)| passed.get(actor) + u64::from(actor == event.dot.actor) >= seq)
    };
    let start = Instant::now();
    for event in events {
        waiting.push(event);
        while let Some(at) = waiting.iter().position(|event| ready(&passed, event)) {
            let event = waiting.swap_remove(at);
            passed.raise(event.dot);
            delivered.push(event);
        }
    }
    black_box(&delivered);
    count as f64 / start.elapsed().as_secs_f64()
}
