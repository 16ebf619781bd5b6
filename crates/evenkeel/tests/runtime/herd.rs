//! Many strong reads at once: what they cost, that none is answered by what was looked at before it came, and what becomes
//! of those for whom there is no room.
use super::fixture::{LONG, Stores, Tally, noted, tally};
use evenkeel::{
    Options, ReadError,
    core::{flights::FlightLimits, freshness::Level, json::Value, query::Asked},
    reader::{ReadOptions, RowsRequest},
    store::{Table, faulty::Operation},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const READ: Operation = Operation::ReadTable(Table::Live);

fn unasked(options: &mut Options) {
    options.scrub_rows_per_second = 0;
    options.auto_reconcile = false;
    options.heartbeat = Duration::from_secs(600);
    options.snapshot_every_events = 0;
}

fn strong() -> ReadOptions {
    ReadOptions { budget: Duration::from_secs(60), ..ReadOptions::at(Level::Strong) }
}

fn sum(answer: &evenkeel::report::RowAnswer) -> Option<i64> {
    answer.data.as_ref().and_then(|row| row.get("sum")).and_then(Value::as_i64)
}

#[test]
fn a_herd_of_strong_reads_costs_the_sources_of_a_few() {
    let stores = Stores::new();
    let engine = stores.start(tally(), unasked);
    engine.send((0..50).map(|n| noted(&n.to_string(), "a", 1)).collect());
    engine.settle();
    engine.stop_projector("tally", "for the test").unwrap();
    engine.send((50..100).map(|n| noted(&n.to_string(), "a", 1)).collect());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (calls, logs) = (stores.faults.calls(READ), stores.faults.calls(Operation::ReadLog));
    // The first is held up until the others have come.
    let (go_on, goes_on) = mpsc::channel();
    stores.faults.after(0, READ, move || goes_on.recv_timeout(LONG).unwrap());
    let before = Instant::now();
    runtime.block_on(async {
        let (mut herd, came) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..1000 {
            let (engine, came) = (engine.0.clone(), Arc::clone(&came));
            herd.spawn(async move {
                came.fetch_add(1, Ordering::SeqCst);
                engine.get_async("tally", &["a"], strong()).await.unwrap()
            });
        }
        // This runtime has one thread: whoever has come waits already when this is looked at.
        while came.load(Ordering::SeqCst) < 1000 {
            tokio::task::yield_now().await;
        }
        go_on.send(()).unwrap();
        while let Some(answer) = herd.join_next().await {
            let answer = answer.unwrap();
            assert_eq!((sum(&answer), answer.consistency.level_served), (Some(100), "strong"));
            assert_eq!((answer.consistency.position, answer.consistency.attempts), (100, 1));
        }
    });
    let took = before.elapsed();
    let (calls, logs) = (stores.faults.calls(READ) - calls, stores.faults.calls(Operation::ReadLog) - logs);
    assert!(calls <= 4 && logs <= 40, "{calls} reads of the table, {logs} of the log, in {took:?}");
}

#[test]
fn a_herd_that_waits_for_the_head_is_woken_together() {
    let stores = Stores::new();
    let engine = stores.start(tally(), unasked);
    engine.send(vec![noted("1", "a", 1)]);
    engine.settle();
    engine.stop_projector("tally", "for the test").unwrap();
    engine.send(vec![noted("2", "b", 2)]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let calls = stores.faults.calls(READ);
    stores.faults.after(0, READ, || thread::sleep(Duration::from_millis(100)));
    let request = dearest();
    runtime.block_on(async {
        let mut herd = JoinSet::new();
        for _ in 0..1000 {
            let (engine, request) = (engine.0.clone(), request.clone());
            herd.spawn(async move { engine.rows_async("tally", request, strong()).await.unwrap() });
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        engine.start_projector("tally").unwrap();
        while let Some(answer) = herd.join_next().await {
            let answer = answer.unwrap();
            assert_eq!((answer.rows.len(), answer.consistency.level_served), (2, "strong"));
            assert!(answer.consistency.attempts > 1 && answer.consistency.waited_ms >= 100, "{:?}", answer.consistency);
        }
    });
    let calls = stores.faults.calls(READ) - calls;
    // As long as they come there is an attempt after the other, each for all who came during the one before. How many that are
    // is the machine's; a few of them do not wait for more.
    assert!(calls <= 250, "{calls} reads of the table");
}

/// A tally that holds up the first fold of an event with `n = 10`, whoever folds it: what says that it does, and what
/// lets it go on.
fn held_up() -> (Tally, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let ((held, is_held), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel());
    let once = Mutex::new(Some((held, goes_on)));
    let held_up = tally().before(move |n, _| {
        let first = if n == 10 { once.lock().unwrap().take() } else { None };
        if let Some((held, goes_on)) = first {
            held.send(()).unwrap();
            goes_on.recv_timeout(LONG).unwrap();
        }
        Ok(())
    });
    (held_up, is_held, go_on)
}

/// While an attempt is under way that has seen the head already, an event is admitted, and somebody comes who must see it.
#[test]
fn nobody_is_answered_by_an_attempt_that_began_before_he_came() {
    let stores = Stores::new();
    let (fold, is_held, go_on) = held_up();
    let engine = stores.start(fold, unasked);
    engine.send(vec![noted("1", "a", 1)]);
    engine.settle();
    engine.stop_projector("tally", "for the test").unwrap();
    engine.send(vec![noted("2", "a", 10)]);
    let get = || {
        let engine = engine.0.clone();
        thread::spawn(move || sum(&engine.get("tally", &["a"], strong()).unwrap()))
    };
    let first = get();
    is_held.recv_timeout(LONG).unwrap();
    engine.send(vec![noted("3", "a", 100)]);
    let later = [get(), get()];
    thread::sleep(Duration::from_millis(100));
    assert!(later.iter().all(|reader| !reader.is_finished()), "they wait for the attempt after this one");
    go_on.send(()).unwrap();
    assert_eq!(first.join().unwrap(), Some(11));
    for reader in later {
        assert_eq!(reader.join().unwrap(), Some(111));
    }
}

#[test]
fn where_there_is_no_room_a_read_is_sent_away_or_labelled() {
    let stores = Stores::new();
    let (fold, is_held, go_on) = held_up();
    let engine = stores.start(fold, |options| {
        unasked(options);
        options.flights = FlightLimits { at_once: 1, waiting: 0 };
    });
    engine.send(vec![noted("1", "a", 1), noted("2", "b", 2)]);
    engine.settle();
    engine.stop_projector("tally", "for the test").unwrap();
    engine.send(vec![noted("3", "b", 10), noted("4", "a", 20)]);
    let reader = engine.0.clone();
    let first = thread::spawn(move || sum(&reader.get("tally", &["b"], strong()).unwrap()));
    is_held.recv_timeout(LONG).unwrap();
    let refused = engine.get("tally", &["a"], strong()).unwrap_err();
    let ReadError::Saturated { retry_after } = refused else { panic!("{refused:?}") };
    assert!(retry_after <= Duration::from_secs(10), "{retry_after:?}");
    let stale = ReadOptions { allow_stale: true, ..strong() };
    let answer = engine.get("tally", &["a"], stale).unwrap();
    let label = &answer.consistency;
    assert_eq!((sum(&answer), label.level_served, label.data_stale), (Some(1), "eventual", true));
    let page = engine.rows("tally", &RowsRequest::default(), ReadOptions { budget: Duration::ZERO, ..stale }).unwrap();
    assert_eq!((page.rows.len(), page.consistency.data_stale), (2, true));
    // Others than strong ones need no room.
    assert_eq!(sum(&engine.get("tally", &["a"], ReadOptions::default()).unwrap()), Some(1));
    go_on.send(()).unwrap();
    assert_eq!(first.join().unwrap(), Some(12));
    assert_eq!(sum(&engine.get("tally", &["a"], strong()).unwrap()), Some(21));
}

fn dearest() -> RowsRequest {
    RowsRequest { query: Asked { order: Some("sum.desc".into()), ..Asked::default() }, ..RowsRequest::default() }
}

/// Looking for rows takes a place at any level, so that those who do hold up nobody else; who asks for the same shares it, and
/// waits for it also without a budget, since nothing is wrong with what is there.
#[test]
fn pages_that_are_looked_for_share_attempts_and_room() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |options| {
        unasked(options);
        options.flights = FlightLimits { at_once: 1, waiting: 0 };
    });
    engine.send(vec![noted("1", "a", 1), noted("2", "b", 2)]);
    engine.settle();
    let ((held, is_held), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel());
    stores.faults.after(0, READ, move || {
        held.send(()).unwrap();
        goes_on.recv_timeout(LONG).unwrap();
    });
    let at_once = ReadOptions { budget: Duration::ZERO, ..ReadOptions::default() };
    let read = |request: RowsRequest| {
        let engine = engine.0.clone();
        thread::spawn(move || engine.rows("tally", &request, at_once).map(|page| page.rows.len()))
    };
    let first = read(dearest());
    is_held.recv_timeout(LONG).unwrap();
    let calls = stores.faults.calls(READ);
    let same = [read(dearest()), read(dearest())];
    let counted = RowsRequest { count: true, ..RowsRequest::default() };
    for options in [at_once, ReadOptions { allow_stale: true, ..strong() }] {
        let refused = engine.rows("tally", &counted, options).unwrap_err();
        assert!(matches!(refused, ReadError::Saturated { .. }), "{refused:?}");
    }
    // What the key gives needs no room; it waits only for the store, which is held up.
    let by_key = read(RowsRequest::default());
    thread::sleep(Duration::from_millis(100));
    go_on.send(()).unwrap();
    for reader in [first, by_key].into_iter().chain(same) {
        assert_eq!(reader.join().unwrap().unwrap(), 2);
    }
    // That by the key, and one for both who asked for the same.
    assert!(stores.faults.calls(READ) - calls <= 3);
    assert_eq!(engine.rows("tally", &counted, at_once).unwrap().total, Some(2));
}
