//! Reads that wait.
use super::fixture::{LONG, Stores, eventually, noted, tally};
use evenkeel::{
    Engine, Model, Options, ReadError,
    core::{
        Timestamp,
        freshness::Level,
        json::Value,
        row::{Cell, Key},
    },
    reader::{ReadOptions, RowsRequest},
    store::{Models, Table, faulty::Operation, memory::Tamper},
};
use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

#[test]
fn a_strong_read_of_rows_is_woken_by_the_projector() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    engine.stop_projector("tally", "for the test").unwrap();
    engine.send(vec![noted("1", "a", 1), noted("2", "b", 2)]);
    let before = stores.faults.calls(Operation::ReadTable(Table::Live));
    let reader = engine.0.clone();
    let strong = ReadOptions { budget: Duration::MAX, ..ReadOptions::at(Level::Strong) };
    let reading = thread::spawn(move || reader.rows("tally", &RowsRequest::default(), strong));
    eventually("it has looked once", || stores.faults.calls(Operation::ReadTable(Table::Live)) > before);
    engine.start_projector("tally").unwrap();
    let answer = reading.join().unwrap().unwrap();
    assert_eq!(answer.rows.len(), 2);
    let said = answer.consistency;
    assert_eq!((said.level_served, said.lag_count, said.data_stale), ("strong", Some(0), false));
    assert!(said.attempts > 1 && said.position == 2 && said.head == Some(2), "{said:?}");
    assert!(engine.wait_until_current(Duration::MAX).unwrap());
}

/// What a model lacks is looked through once, however many rows are read that it lacks events of.
#[test]
fn what_a_row_lacks_is_found_and_not_looked_for_by_every_reader() {
    let stores = Stores::new();
    let tally = tally();
    let asked = Arc::clone(&tally.asked);
    let engine = stores.start(tally, |options| {
        options.auto_reconcile = false;
        options.scrub_rows_per_second = 0;
    });
    let event = |n: u32| noted(&n.to_string(), &format!("k{}", n % 100), 1);
    engine.send((0..100).map(event).collect());
    engine.settle();
    engine.stop_projector("tally", "for the test").unwrap();
    let strong = ReadOptions { budget: LONG, ..ReadOptions::at(Level::Strong) };
    let mut costs = Vec::new();
    for upto in [3_000, 3_100] {
        engine.send((upto - if upto == 3_000 { 2_900 } else { 100 }..upto).map(event).collect());
        for key in ["k1", "k2", "k3"] {
            let before = asked.load(Ordering::SeqCst);
            let answer = engine.get("tally", &[key], strong).unwrap();
            costs.push(asked.load(Ordering::SeqCst) - before);
            let sum = answer.data.unwrap().get("sum").and_then(Value::as_i64);
            assert_eq!((sum, answer.consistency.level_served), (Some(i64::from(upto / 100)), "strong"));
        }
    }
    // All that is new, the last that was known before, and what is of the row itself.
    assert!((2_900..=2_931).contains(&costs[0]) && (100..=132).contains(&costs[3]), "{costs:?}");
    assert!([1, 2, 4, 5].iter().all(|&later| costs[later] <= 32), "{costs:?}");
}

/// A row with a digest of its own, put there where no trigger ran: nothing about it or the model betrays it.
#[test]
fn a_strong_read_believes_no_digest_since_somebody_else_has_written() {
    let stores = Stores::new();
    let options = |scrub_rows_per_second| {
        move |options: &mut Options| {
            options.scrub_rows_per_second = scrub_rows_per_second;
            options.auto_reconcile = false;
        }
    };
    let engine = stores.start(tally(), options(0));
    engine.send(vec![noted("1", "a", 1), noted("2", "b", 2)]);
    engine.settle();
    let (strong, key) = (ReadOptions::at(Level::Strong), Key::text("a"));
    let sum =
        |engine: &Engine| engine.get("tally", &["a"], strong).unwrap().data.unwrap().get("sum").and_then(Value::as_i64);
    assert_eq!((sum(&engine), engine.rows("tally", &RowsRequest::default(), strong).unwrap().rows.len()), (Some(1), 2));
    let mut row = stores.memory.models.get(&"tally".into(), &key).unwrap().row.unwrap();
    let column = row.cells.iter().position(|cell| *cell == Cell::I64(1)).unwrap();
    row.cells[column] = Cell::I64(77);
    // Another row; and none, of which nothing is there to look at.
    for tampered in [Some(row), None] {
        let tamper = Tamper::Restore(key.clone(), tampered);
        stores.memory.models.tamper(&"tally".into(), Timestamp::default(), tamper).unwrap();
        let verified = engine.verify("tally", false).unwrap();
        assert_eq!(verified.wrong_rows, 0, "what is suspected is looked at, and nothing is");
        assert_eq!(sum(&engine), Some(1));
        let refused = engine.rows("tally", &RowsRequest::default(), strong).unwrap_err();
        assert!(matches!(&refused, ReadError::NotMet { reason, .. } if reason.contains("suspect")), "{refused:?}");
        assert_eq!(engine.verify("tally", false).unwrap().wrong_rows, 1, "the page left a doubt");
        assert_eq!(engine.reconcile("tally", None).unwrap().rows_repaired, 1);
        let page = engine.rows("tally", &RowsRequest::default(), strong).unwrap();
        assert_eq!((sum(&engine), page.rows.len()), (Some(1), 2));
    }
}

/// What a page cannot wait for is done by the scrub, at once and not at its rate.
#[test]
fn rows_are_added_up_for_a_page_that_has_no_time_for_it() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |options| options.scrub_rows_per_second = 1);
    engine.send((0..500).map(|key| noted(&key.to_string(), &format!("k{key}"), 1)).collect());
    engine.settle();
    let at_once = ReadOptions { budget: Duration::ZERO, ..ReadOptions::at(Level::Strong) };
    let refused = engine.rows("tally", &RowsRequest::default(), at_once).unwrap_err();
    assert!(matches!(&refused, ReadError::NotMet { reason, .. } if reason.contains("added up")), "{refused:?}");
    eventually("the page to be had", || engine.rows("tally", &RowsRequest::default(), at_once).is_ok());
    let said = engine.rows("tally", &RowsRequest::default(), at_once).unwrap().consistency;
    assert_eq!((said.level_served, said.attempts), ("strong", 1));
}

#[test]
fn pages_follow_each_other_and_a_cursor_of_nothing_is_refused() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    engine.send((0..7).map(|key| noted(&key.to_string(), &format!("k{key}"), 1)).collect());
    assert!(engine.wait_until_current(LONG).unwrap());
    let mut request = RowsRequest { limit: 3, ..RowsRequest::default() };
    let mut pages = Vec::new();
    loop {
        let answer = engine.rows("tally", &request, ReadOptions::default()).unwrap();
        pages.push(
            answer.rows.iter().map(|row| row.get("key").unwrap().as_str().unwrap().to_owned()).collect::<Vec<_>>(),
        );
        request.cursor = answer.next;
        if request.cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec!["k0", "k1", "k2"], vec!["k3", "k4", "k5"], vec!["k6"]]);
    for cursor in ["", "k1", "[1]", "[]", "[\"a\",\"b\"]"] {
        let request = RowsRequest { cursor: Some(cursor.into()), limit: 3, ..RowsRequest::default() };
        assert!(engine.rows("tally", &request, ReadOptions::default()).is_err(), "{cursor}");
    }
}

#[test]
fn a_model_that_requires_a_level_is_never_served_weaker() {
    let stores = Stores::new();
    let model = Model { require: Some(Level::Strong), ..Model::new(tally()) };
    let engine = stores.try_start(vec![model], |options| options.project = false).unwrap();
    engine.send(vec![noted("1", "a", 1)]);
    for level in [None, Some(Level::Eventual), Some(Level::Causal)] {
        let budget = Duration::from_millis(200);
        let options = ReadOptions { level, allow_stale: true, budget, ..ReadOptions::default() };
        let said = engine.get("tally", &["a"], options).unwrap().consistency;
        let requested = level.unwrap_or(Level::Eventual).as_str();
        assert_eq!((said.level_requested, said.level_served, said.data_stale), (requested, "strong", false));
        let refused = engine.rows("tally", &RowsRequest::default(), options);
        assert!(matches!(refused, Err(ReadError::NotMet { .. })), "{refused:?}");
    }
}

#[test]
fn a_read_that_names_no_level_has_the_models_own() {
    let stores = Stores::new();
    let model = Model { default_level: Some(Level::Strong), ..Model::new(tally()) };
    let engine = stores.try_start(vec![model], |options| options.project = false).unwrap();
    engine.send(vec![noted("1", "a", 1)]);
    let said = |options| engine.get("tally", &["a"], options).unwrap().consistency.level_served;
    assert_eq!(said(ReadOptions::default()), "strong");
    assert_eq!(said(ReadOptions::at(Level::Eventual)), "eventual");
}

#[test]
fn what_comes_too_late_for_the_budget_is_not_waited_for() {
    let stores = Stores::new();
    let slow = tally().before(|_, _| {
        thread::sleep(Duration::from_millis(10));
        Ok(())
    });
    let engine = stores.start(slow, |options| options.batch_events = 16);
    let send = |from: usize, to: usize| {
        let receipts = engine.send((from..to).map(|id| noted(&id.to_string(), &format!("k{id}"), 1)).collect());
        engine.token(&engine.token_after(None, &receipts)).unwrap()
    };
    send(0, 16);
    engine.settle();
    let token = Some(send(16, 116));
    let budget = Duration::from_millis(300);
    let began = Instant::now();
    let late = engine.get("tally", &["k115"], ReadOptions { token, budget, ..ReadOptions::default() });
    let Err(ReadError::NotMet { label: Some(label), .. }) = late else { panic!("{late:?}") };
    assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    assert_eq!((label.attempts, label.suggested_action), (1, "retry_with_backoff"));
    let patient =
        engine.get("tally", &["k115"], ReadOptions { token, budget: LONG, ..ReadOptions::default() }).unwrap();
    assert!(patient.data.is_some() && patient.consistency.waited_ms > 0, "{patient:?}");
}
