//! The engine in virtual time, seed by seed: everything that must always hold holds, and a seed is a run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
use evenkeel::simulate::{Options, Stats, run};
use std::collections::BTreeMap;

/// How many seeds one test runs: those of all tests together are what a change must get past.
const SEEDS: u64 = 100;

/// Events of one seed.
const OPTIONS: Options = Options { events: 100 };

fn run_all(seeds: impl Iterator<Item = u64>) -> (Stats, BTreeMap<&'static str, u64>) {
    let (mut stats, mut weathers) = (Stats::default(), BTreeMap::new());
    for seed in seeds {
        match run(seed, &OPTIONS) {
            Ok(outcome) => {
                stats.add(&outcome.stats);
                *weathers.entry(outcome.weather).or_default() += 1;
            }
            Err(violation) => panic!("{violation}"),
        }
    }
    (stats, weathers)
}

/// Seeds whose runs together meet everything a simulation is for.
fn holds(first: u64) {
    let (stats, weathers) = run_all(first..first + SEEDS);
    assert_eq!(weathers.len(), 8, "every weather is met: {weathers:?}");
    let Stats { events, entries, lost, crashes, rebuilds, rebuilds_ended, drift_found, reads, faults, .. } = stats;
    for (what, count) in [
        ("events", events),
        ("entries", entries),
        ("lost", lost),
        ("crashes", crashes),
        ("rebuilds", rebuilds),
        ("rebuilds_ended", rebuilds_ended),
        ("drift_found", drift_found),
        ("reads", reads),
        ("others_noted", stats.others_noted),
        ("others_unnoted", stats.others_unnoted),
        ("events_missed", stats.events_missed),
        ("events_doubled", stats.events_doubled),
        ("checks", stats.checks),
        ("scrubbed", stats.scrubbed),
        ("passes", stats.passes),
        ("scrub_found", stats.scrub_found),
        ("repairs", stats.repairs),
        ("rows_repaired", stats.rows_repaired),
        ("parked_late", stats.parked_late),
        ("models_lost", stats.models_lost),
        ("snapshots", stats.snapshots),
        ("snapshots_not_kept", stats.snapshots_not_kept),
        ("snapshots_tampered", stats.snapshots_tampered),
        ("rebuilds_from_snapshots", stats.rebuilds_from_snapshots),
        ("snapshots_refused", stats.snapshots_refused),
        ("edits", stats.edits),
        ("decided_in_bulk", stats.decided_in_bulk),
        ("raws_forgotten", stats.raws_forgotten),
        ("lineages", stats.lineages),
        ("waited", stats.waited),
        ("expired", stats.expired),
        ("overflowed", stats.overflowed),
        ("recalled", stats.recalled),
        ("skips", stats.skips),
        ("causal", stats.causal),
        ("exceptions", stats.exceptions),
        ("conflicts", stats.conflicts),
        ("failed", faults.failed),
        ("answers_lost", faults.answers_lost),
        ("log_lies", faults.log_lies),
        ("models_lies", faults.models_lies),
        ("snapshots_lies", faults.snapshots_lies),
        ("torn", faults.torn),
        ("snapshots_torn", faults.snapshots_torn),
    ] {
        assert!(count > 0, "{what} never happened in {stats:?}");
    }
}

#[test]
fn everything_holds_in_the_first_seeds() {
    holds(0);
}

#[test]
fn everything_holds_in_more_seeds() {
    holds(1_000);
}

#[test]
fn everything_holds_in_still_more_seeds() {
    holds(1_000_000);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..16 {
        let (first, again) = (run(seed, &OPTIONS).unwrap(), run(seed, &OPTIONS).unwrap());
        for (line, (one, other)) in first.trace.iter().zip(&again.trace).enumerate() {
            assert_eq!(one, other, "seed {seed}, line {line}");
        }
        assert_eq!(first, again);
    }
    assert_ne!(run(1, &OPTIONS).unwrap().digest, run(2, &OPTIONS).unwrap().digest);
}

#[test]
fn other_options_are_another_run() {
    let few = run(5, &Options { events: 10 }).unwrap();
    assert!(few.stats.sent < run(5, &OPTIONS).unwrap().stats.sent);
    assert_eq!(run(5, &Options { events: 0 }).unwrap().stats.events, 0);
}
