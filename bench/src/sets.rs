//! Sets of the observed-remove kind beside `crdts::Orswot`: taking in one new element, as state and as operation.
use crate::{
    Result,
    figure::{Plan, Table, Unit},
};
use crdts::{CmRDT, CvRDT, Orswot};
use evenkeel_core::{
    clock::{Actor, Dot},
    crdt::{Crdt, OrSet},
};
use std::{hint::black_box, time::Instant};

/// Adds the rows of this section.
pub(crate) fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    for size in [1_000usize, 10_000] {
        one_element(plan, table, size)?;
    }
    Ok(())
}

/// A set of `size` elements by several actors.
fn ours(size: usize) -> OrSet<u64> {
    let mut set = OrSet::default();
    for element in 0..size as u64 {
        set.merge(&OrSet::adding(Dot::new(Actor((element % 8) as u32), 1 + element / 8), [element]));
    }
    set
}

fn theirs(size: usize) -> Orswot<u64, String> {
    let mut set = Orswot::new();
    for element in 0..size as u64 {
        let add = set.add(element, set.read_ctx().derive_add_ctx(format!("shop.service-{}", element % 8)));
        set.apply(add);
    }
    set
}

fn one_element(plan: &Plan, table: &mut Table, size: usize) -> Result<()> {
    let (mine, rival) = (ours(size), theirs(size));
    let new = |n: usize| Dot::new(Actor(9), n as u64 + 1);
    let deltas = plan.events(2_000, 1);
    let by_delta = || {
        let mut set = mine.clone();
        let deltas: Vec<_> = (0..deltas).map(|n| OrSet::adding(new(n), [(size + n) as u64])).collect();
        let start = Instant::now();
        for delta in &deltas {
            black_box(set.merge(delta));
        }
        Ok(deltas.len() as f64 / start.elapsed().as_secs_f64())
    };
    // It has no deltas: another's state with one element more is what there is to merge.
    let by_state = || {
        let mut other = rival.clone();
        let add = other.add(size as u64, other.read_ctx().derive_add_ctx("shop.other".to_owned()));
        other.apply(add);
        let merges = 4;
        let others: Vec<_> = (0..merges).map(|_| (rival.clone(), other.clone())).collect();
        let start = Instant::now();
        for (mut set, other) in others {
            set.merge(other);
            black_box(&set);
        }
        Ok(f64::from(merges) / start.elapsed().as_secs_f64())
    };
    let what = format!("one new element into a set of {size}");
    let pair = plan.beside(by_delta, by_state)?;
    let target = (size == 10_000).then_some(100.0);
    table.add(&what, "crdts::Orswot, its state's merge", pair, Unit::PerSecond, target);
    let by_operation = || {
        let mut set = rival.clone();
        let mut source = rival.clone();
        let mut ops = Vec::new();
        for n in 0..deltas {
            let add = source.add((size + n) as u64, source.read_ctx().derive_add_ctx("shop.other".to_owned()));
            source.apply(add.clone());
            ops.push(add);
        }
        let start = Instant::now();
        for op in ops {
            set.apply(op);
        }
        black_box(&set);
        Ok(deltas as f64 / start.elapsed().as_secs_f64())
    };
    let pair = plan.beside(by_delta, by_operation)?;
    table.add(&what, "crdts::Orswot, its operation", pair, Unit::PerSecond, None);
    let by_full_state = || {
        let mut other = mine.clone();
        other.merge(&OrSet::adding(new(0), [size as u64]));
        let merges = 8;
        let mut sets: Vec<_> = (0..merges).map(|_| mine.clone()).collect();
        let start = Instant::now();
        for set in &mut sets {
            black_box(set.merge(&other));
        }
        Ok(f64::from(merges) / start.elapsed().as_secs_f64())
    };
    let pair = plan.beside(by_full_state, by_state)?;
    table.add(&format!("whole states of {size} merged"), "crdts::Orswot", pair, Unit::PerSecond, None);
    Ok(())
}
