//! Reads that wait.
use super::fixture::{LONG, Stores, eventually, noted, tally};
use evenkeel::{
    core::freshness::Level,
    reader::{ReadOptions, RowsRequest},
    store::{Table, faulty::Operation},
};
use std::{thread, time::Duration};

#[test]
fn a_strong_read_of_rows_is_woken_by_the_projector() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    engine.stop_projector("tally", "for the test").unwrap();
    engine.send(vec![noted("1", "a", 1), noted("2", "b", 2)]);
    let before = stores.faults.calls(Operation::ReadTable(Table::Live));
    let reader = engine.0.clone();
    let strong = ReadOptions { level: Level::Strong, budget: Duration::MAX, ..ReadOptions::default() };
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
        let request = RowsRequest { cursor: Some(cursor.into()), limit: 3 };
        assert!(engine.rows("tally", &request, ReadOptions::default()).is_err(), "{cursor}");
    }
}
