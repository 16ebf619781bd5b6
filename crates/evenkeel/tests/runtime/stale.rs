//! Stale reads of the user's own, and reads of a store that cannot be read for a moment.
use super::fixture::{LONG, Stores, noted, tally};
use evenkeel::{
    Clock, SystemClock,
    core::{Timestamp, freshness::Freshness, retry::RetryPolicy},
    reader::ReadOptions,
    stale::{Observed, StaleAnswer, StaleReadError, StaleReader},
    store::{
        Table,
        faulty::{Fault, Operation},
    },
};
use std::{
    cell::Cell,
    future::{Future, pending},
    sync::Arc,
    time::{Duration, Instant},
};

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn reader(budget_ms: u64) -> StaleReader {
    let base_delay = Duration::from_millis(1);
    let policy = RetryPolicy { max_retries: 5, base_delay, max_delay: Duration::from_millis(4) };
    let clock = Arc::new(SystemClock::default());
    StaleReader { policy, ..StaleReader::new(clock, Duration::from_millis(budget_ms)) }
}

fn ago(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp::from_micros(SystemClock::default().now().as_micros() - seconds * 1_000_000))
}

type Answer = Result<StaleAnswer<u32>, StaleReadError<&'static str>>;

/// Reads of these ages, in seconds, one after the other; the last again and again.
fn ages(since: Option<Timestamp>, ages: &[i64]) -> Answer {
    let reads = Cell::new(0);
    run(reader(60_000).read(since, || {
        let n = reads.get();
        reads.set(n + 1);
        let as_of = ago(ages[n.min(ages.len() - 1)]);
        async move { Ok(Observed { data: n as u32, as_of }) }
    }))
}

#[test]
fn only_what_is_stale_is_read_again() {
    for (age, freshness, attempts) in [
        (-1, Freshness::Fresh, 1),
        (3, Freshness::SlightlyStale, 1),
        (30, Freshness::Stale, 6),
        (90, Freshness::VeryStale, 6),
    ] {
        let answer = ages(None, &[age]).unwrap();
        assert_eq!((answer.staleness.freshness, answer.attempts, answer.data_stale), (freshness, attempts, age > 0));
    }
    let answer = ages(None, &[90, 30, 1]).unwrap();
    assert_eq!((answer.data, answer.attempts, answer.staleness.suggested_action.as_str()), (2, 3, "use_data"));
}

#[test]
fn what_is_needed_since_then_is_compared_with_the_data_and_not_with_now() {
    // An hour old, and what was asked for is older.
    let answer = ages(ago(3700), &[3600]).unwrap();
    assert_eq!((answer.data_stale, answer.attempts, answer.staleness.freshness), (false, 1, Freshness::Fresh));
    // Three seconds short of it: fresh enough for others, and not for this reader.
    let answer = ages(ago(1), &[4, 4, 0]).unwrap();
    assert_eq!((answer.data_stale, answer.attempts), (false, 3));
}

#[test]
fn errors_are_not_tried_again_and_the_budget_ends_what_hangs() {
    let reads = Cell::new(0);
    let failed: Answer = run(reader(60_000).read(None, || {
        reads.set(reads.get() + 1);
        async { Err("broken") }
    }));
    assert_eq!((failed, reads.get()), (Err(StaleReadError::Read("broken")), 1));
    let began = Instant::now();
    let hangs: Answer = run(reader(50).read(None, pending));
    assert_eq!(hangs, Err(StaleReadError::TimedOut { budget_ms: 50 }));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_strong_read_that_fails_leaves_the_stale_answer() {
    let stale = || async { Ok(Observed { data: 1, as_of: None }) };
    let answer: Answer = run(reader(60_000).read_or_strong(None, stale, || async { Err("down") }));
    let answer = answer.unwrap();
    assert_eq!((answer.data, answer.failed_over, answer.data_stale, answer.attempts), (1, false, true, 7));
    assert_eq!(answer.staleness.suggested_action.as_str(), "failover_to_strong");
    assert_eq!(answer.staleness.staleness_seconds, None);
}

#[test]
fn a_store_that_cannot_be_read_for_a_moment_is_asked_again() {
    let stores = Stores::new();
    let base_delay = Duration::from_millis(1);
    let engine = stores.start(tally(), |options| {
        options.retry = RetryPolicy { max_retries: 3, base_delay, max_delay: base_delay };
        options.heartbeat = Duration::from_secs(3600);
        // Whatever else reads the table would use up faults that are meant for the reader.
        options.scrub_rows_per_second = 0;
    });
    engine.send(vec![noted("1", "a", 1)]);
    engine.settle();
    let read = || engine.get("tally", &["a"], ReadOptions { budget: LONG, ..ReadOptions::default() });
    stores.faults.set(Operation::ReadTable(Table::Live), Fault::Fail, 3);
    assert_eq!(read().unwrap().consistency.attempts, 4);
    stores.faults.set(Operation::ReadTable(Table::Live), Fault::Fail, 4);
    assert!(read().is_err());
    stores.faults.clear();
    assert_eq!(read().unwrap().consistency.attempts, 1);
}
