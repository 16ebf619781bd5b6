//! Vector clocks beside `crdts::VClock<String>`, stamps beside `uhlc`.
//!
//! Both sides hold the same entries under names of the length that sources have. Single operations take nanoseconds, so
//! each is repeated over many pairs of clocks. Not here: what clocks are for ([`crate::causal`]).
use crate::{
    Result,
    figure::{Pair, Plan, Table, Unit},
    lots::Lots,
};
use crdts::{CmRDT, CvRDT, VClock};
use evenkeel_core::{
    Timestamp,
    clock::{Actors, HlcClock, HlcSettings, NoStamp, VectorClock},
};
use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Pairs of clocks that are gone through in turn.
const PAIRS: usize = 64;

/// How the second clock of a pair stands to the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It knows more of every actor: all entries have to be looked at.
    Later,
    /// Each knows of some actors that the other does not name.
    Other,
}

fn name(actor: usize) -> String {
    format!("shop.eu-west.service-{actor}")
}

/// Entries of two clocks of `len` actors each.
fn entries(len: usize, kind: Kind, lots: &mut Lots) -> [Vec<(String, u64)>; 2] {
    let first: Vec<_> = (0..len).map(|actor| (name(actor), 1 + lots.below(1000) as u64)).collect();
    let second = match kind {
        Kind::Later => first.iter().map(|(name, seq)| (name.clone(), seq + 1)).collect(),
        Kind::Other => (0..len).map(|actor| (name(actor + 1), 1 + lots.below(1000) as u64)).collect(),
    };
    [first, second]
}

fn ours(entries: &[(String, u64)], actors: &mut Actors) -> Result<VectorClock> {
    let entries: std::result::Result<Vec<_>, evenkeel_core::clock::ActorsError> =
        entries.iter().map(|(name, seq)| Ok((actors.intern(name)?, *seq))).collect();
    Ok(VectorClock::new(entries?)?)
}

fn theirs(entries: &[(String, u64)]) -> VClock<String> {
    let mut clock = VClock::new();
    for (name, seq) in entries {
        clock.apply(crdts::Dot::new(name.clone(), *seq));
    }
    clock
}

/// Operations per second, of `times` rounds over all pairs.
fn rate<T>(times: usize, pairs: &mut [T], mut op: impl FnMut(&mut T)) -> f64 {
    let start = Instant::now();
    for _ in 0..times {
        pairs.iter_mut().for_each(&mut op);
    }
    (times * pairs.len()) as f64 / start.elapsed().as_secs_f64()
}

/// As [`rate`], for operations that use up what they work on: what `make` makes is not counted.
fn rate_fresh<T, M>(times: usize, pairs: &[T], make: impl Fn(&T) -> M, mut op: impl FnMut(&mut M, &T)) -> f64 {
    let mut spent = Duration::ZERO;
    for _ in 0..times {
        let mut fresh: Vec<M> = pairs.iter().map(&make).collect();
        let start = Instant::now();
        for (made, pair) in fresh.iter_mut().zip(pairs) {
            op(made, pair);
        }
        spent += start.elapsed();
        black_box(fresh);
    }
    (times * pairs.len()) as f64 / spent.as_secs_f64()
}

/// Adds the rows of this section.
pub(crate) fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    for len in [3, 16, 128, 1000] {
        for kind in [Kind::Later, Kind::Other] {
            clocks(plan, table, len, kind)?;
        }
        wire(plan, table, len)?;
    }
    stamps(plan, table)
}

fn clocks(plan: &Plan, table: &mut Table, len: usize, kind: Kind) -> Result<()> {
    let (mut lots, mut actors) = (Lots::new(7), Actors::default());
    let mut mine = Vec::new();
    let mut rivals = Vec::new();
    for _ in 0..PAIRS {
        let [first, second] = entries(len, kind, &mut lots);
        mine.push((ours(&first, &mut actors)?, ours(&second, &mut actors)?));
        rivals.push((theirs(&first), theirs(&second)));
    }
    let times = plan.events(200_000 / len.max(10), 1);
    let said = if kind == Kind::Later { "all greater" } else { "other actors" };
    let target = |least: f64| Some(if len == 3 { 1.0 } else { least });
    let pair = plan.beside(
        || {
            Ok(rate(times, &mut mine, |(a, b)| {
                black_box(a.compare(black_box(b)));
            }))
        },
        || {
            Ok(rate(times / 4 + 1, &mut rivals, |(a, b)| {
                black_box((*a).partial_cmp(black_box(&*b)));
            }))
        },
    )?;
    let beside = "crdts::VClock<String>";
    table.add(&format!("compare {len} entries, {said}"), beside, pair, Unit::PerSecond, target(10.0));
    let pair = plan.beside(
        || Ok(rate_fresh(times / 4 + 1, &mine, |pair| pair.0.clone(), |clock, pair| clock.merge(black_box(&pair.1)))),
        || {
            // It takes what it merges: the copy is made beforehand and not counted.
            let made = |pair: &(VClock<String>, VClock<String>)| (pair.0.clone(), Some(pair.1.clone()));
            Ok(rate_fresh(times / 16 + 1, &rivals, made, |(clock, other), _| {
                clock.merge(other.take().unwrap_or_default());
            }))
        },
    )?;
    table.add(&format!("merge {len} entries, {said}"), beside, pair, Unit::PerSecond, target(10.0));
    Ok(())
}

/// From the text of an event's attribute: names looked up, compared, merged.
fn wire(plan: &Plan, table: &mut Table, len: usize) -> Result<()> {
    let mut lots = Lots::new(9);
    let mut texts = Vec::new();
    for _ in 0..PAIRS {
        let [first, _] = entries(len, Kind::Later, &mut lots);
        let mut pairs: Vec<_> = first.iter().map(|(name, seq)| format!("{name}={seq}")).collect();
        pairs.sort();
        texts.push(pairs.join(","));
    }
    let times = plan.events(20_000 / len.max(10), 1);
    let mut actors = Actors::default();
    let pair = plan.beside(
        || {
            let mut known = VectorClock::default();
            Ok(rate(times, &mut texts.clone(), |text| {
                if let Ok(clock) = VectorClock::from_text(black_box(text), &mut actors, 2000) {
                    black_box(known.compare(&clock));
                    known.merge(&clock);
                }
            }))
        },
        || {
            let mut known = VClock::new();
            Ok(rate(times, &mut texts.clone(), |text| {
                let mut clock = VClock::new();
                for (name, seq) in black_box(text).split(',').filter_map(|pair| pair.split_once('=')) {
                    clock.apply(crdts::Dot::new(name.to_owned(), seq.parse().unwrap_or(0)));
                }
                black_box(known.partial_cmp(&clock));
                known.merge(clock);
            }))
        },
    )?;
    table.add(
        &format!("read {len} entries from text, compare, merge"),
        "split, crdts::VClock<String>",
        pair,
        Unit::PerSecond,
        Some(1.0),
    );
    Ok(())
}

/// Physical time for the rival, which asks a function for it.
static NOW: AtomicU64 = AtomicU64::new(1 << 40);

fn stamps(plan: &Plan, table: &mut Table) -> Result<()> {
    let stamps = plan.events(2_000_000, 1);
    let ours = |step_us: i64| {
        let mut clock = HlcClock::resume(HlcSettings::default(), evenkeel_core::clock::Hlc::ZERO);
        let mut micros = 1_790_000_000_000_000;
        let start = Instant::now();
        for _ in 0..stamps {
            micros += step_us;
            let now = Timestamp::from_micros(micros);
            if let Err(NoStamp::Reserve(bound)) = black_box(clock.stamp(now)) {
                clock.reserved(bound);
                black_box(clock.stamp(now))?;
            }
        }
        Ok(stamps as f64 / start.elapsed().as_secs_f64())
    };
    let theirs = |step: u64| {
        let hlc = uhlc::HLCBuilder::new().with_clock(|| uhlc::NTP64(NOW.load(Ordering::Relaxed))).build();
        let start = Instant::now();
        for _ in 0..stamps {
            NOW.fetch_add(step, Ordering::Relaxed);
            black_box(hlc.new_timestamp());
        }
        Ok(stamps as f64 / start.elapsed().as_secs_f64())
    };
    // 4295 of its units are a microsecond.
    let pair: Pair = plan.beside(|| ours(1), || theirs(4295))?;
    table.add("HLC stamp, time goes on", "uhlc, its clock injected", pair, Unit::PerSecond, Some(1.0));
    let pair: Pair = plan.beside(|| ours(0), || theirs(0))?;
    table.add("HLC stamp, time stands still", "uhlc, its clock injected", pair, Unit::PerSecond, Some(1.0));
    Ok(())
}
