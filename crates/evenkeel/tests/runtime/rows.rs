//! Filtered and ordered reads of rows: what they give, and when a strong one may leave rows out.
use super::fixture::{LONG, Stores, Tally, noted, start_in, tally};
use evenkeel::{
    Engine, Options, ReadError,
    core::{Timestamp, freshness::Level, json::Value, query::Asked, reconciliation::Method, row::Key},
    reader::{ReadOptions, RowsRequest},
    store::{Log, Models, memory::Tamper, sqlite::execute_as_stranger},
};
use std::{thread, time::Duration};

fn asked(conditions: &[(&str, &str)], order: Option<&str>) -> RowsRequest {
    let conditions = conditions.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    RowsRequest { query: Asked { conditions, order: order.map(ToOwned::to_owned) }, ..RowsRequest::default() }
}

fn keys(engine: &Engine, request: &RowsRequest, options: ReadOptions) -> Vec<String> {
    let rows = engine.rows("tally", request, options).unwrap().rows;
    rows.iter().map(|row| row.get("key").and_then(Value::as_str).unwrap().to_owned()).collect()
}

fn unasked(options: &mut Options) {
    options.scrub_rows_per_second = 0;
    options.auto_reconcile = false;
}

#[test]
fn rows_are_filtered_ordered_paged_picked_and_counted() {
    let stores = Stores::new();
    let engine = stores.start(tally(), unasked);
    let sums = [("a", 3), ("b", 1), ("c", 10), ("d", 3), ("e", 2)];
    engine.send(sums.iter().map(|(key, n)| noted(key, key, *n)).collect());
    assert!(engine.wait_until_current(LONG).unwrap());
    let strong = ReadOptions::at(Level::Strong);
    let mut request = RowsRequest {
        limit: 2,
        count: true,
        select: Some("key".into()),
        ..asked(&[("sum", "ge.2")], Some("sum.desc"))
    };
    let mut pages = Vec::new();
    loop {
        let answer = engine.rows("tally", &request, strong).unwrap();
        assert_eq!((answer.total, answer.consistency.level_served), (Some(4), "strong"));
        assert!(answer.rows.iter().all(|row| row.len() == 2 && row.get("_parked") == Some(&Value::Bool(false))));
        pages.push(
            answer.rows.iter().map(|row| row.get("key").unwrap().as_str().unwrap().to_owned()).collect::<String>(),
        );
        request.cursor = answer.next;
        if request.cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, ["ca", "de"]);
    let first = engine.rows("tally", &RowsRequest { limit: 1, ..RowsRequest::default() }, strong).unwrap();
    assert_eq!((first.total, first.rows.len()), (None, 1));
    request.cursor = first.next;
    let refused = engine.rows("tally", &request, strong).unwrap_err();
    assert!(matches!(&refused, ReadError::Parameter(why) if why.contains("another query")), "{refused:?}");
    let none = RowsRequest { select: Some("sun".into()), ..RowsRequest::default() };
    let refused = engine.rows("tally", &none, strong).unwrap_err();
    assert!(matches!(&refused, ReadError::Parameter(why) if why.ends_with("there are: key, sum")), "{refused:?}");
}

/// What the projector has yet to apply moves one row into the filter and another out of it.
#[test]
fn a_strong_filter_sees_what_the_tail_moves_into_it_and_out_of_it() {
    let stores = Stores::new();
    let engine = stores.start(tally(), unasked);
    engine.send(vec![noted("1", "in", 1), noted("2", "out", 5)]);
    engine.settle();
    let small = asked(&[("sum", "lt.5")], None);
    assert_eq!(keys(&engine, &small, ReadOptions::at(Level::Strong)), ["in"]);
    engine.stop_projector("tally", "for the test").unwrap();
    engine.send(vec![noted("3", "in", 9), noted("4", "new", 2)]);
    assert_eq!(keys(&engine, &small, ReadOptions::default()), ["in"]);
    let refused = engine.rows("tally", &small, ReadOptions::at(Level::Strong)).unwrap_err();
    assert!(
        matches!(&refused, ReadError::NotMet { reason, .. } if reason.contains("did not reach the head")),
        "{refused:?}"
    );
    let reader = engine.0.clone();
    let patient = ReadOptions { budget: Duration::MAX, ..ReadOptions::at(Level::Strong) };
    let request = small.clone();
    let reading = thread::spawn(move || keys(&reader, &request, patient));
    engine.start_projector("tally").unwrap();
    assert_eq!(reading.join().unwrap(), ["new"]);
}

/// Somebody takes a row out of a filter, or takes it away, where nothing notes it: the rows that are left do not tell.
#[test]
fn a_strong_filter_leaves_no_row_out_that_somebody_else_took_away() {
    for (tampered, request) in [
        (None, asked(&[("sum", "ge.1")], None)),
        (Some(0), asked(&[("sum", "ge.1")], None)),
        (None, asked(&[], Some("sum.desc"))),
        (None, RowsRequest { count: true, ..RowsRequest::default() }),
    ] {
        let stores = Stores::new();
        let engine = stores.start(tally(), unasked);
        engine.send(vec![noted("1", "a", 1), noted("2", "b", 2)]);
        engine.settle();
        let strong = ReadOptions::at(Level::Strong);
        assert_eq!(keys(&engine, &request, strong).len(), 2);
        let key = Key::text("a");
        let row = tampered.map(|sum| {
            let mut row = stores.memory.models.get(&"tally".into(), &key).unwrap().row.unwrap();
            row.cells[1] = evenkeel::core::row::Cell::I64(sum);
            row
        });
        let tamper = Tamper::Restore(key, row);
        stores.memory.models.tamper(&"tally".into(), Timestamp::default(), tamper).unwrap();
        let refused = engine.rows("tally", &request, strong).unwrap_err();
        assert!(matches!(&refused, ReadError::NotMet { .. }), "{refused:?}");
        assert_eq!(engine.verify("tally", false).unwrap().wrong_rows, 1, "the read left a doubt");
        assert_eq!(engine.reconcile("tally", None).unwrap().rows_repaired, 1);
        assert_eq!(keys(&engine, &request, strong).len(), 2);
    }
}

/// Events come while it is read, so that the model may be further than the head was when the read began, and not as far as it is
/// when the page is there. Who has seen such a page must not be shown less by the next.
#[test]
fn a_strong_page_holds_what_is_up_to_the_position_it_says_and_nothing_else() {
    let stores = Stores::new();
    let engine = stores.start(tally(), unasked);
    let strong = ReadOptions { budget: LONG, ..ReadOptions::at(Level::Strong) };
    let publisher = engine.0.clone();
    let publishing = thread::spawn(move || {
        for n in 0_u32..2000 {
            publisher.publish_blocking(vec![noted(&n.to_string(), &format!("k{}", n % 4), 1)], None).unwrap();
        }
    });
    let (mut pages, mut behind) = (0_u32, 0_u32);
    while !publishing.is_finished() {
        let page = engine.rows("tally", &asked(&[], Some("sum.desc")), strong).unwrap();
        let sums = page.rows.iter().filter_map(|row| row.get("sum").and_then(Value::as_i64));
        let (shown, said) = (sums.sum::<i64>(), page.consistency.position);
        pages += 1;
        behind += u32::from(stores.log.safe_head().unwrap().position.0 > said);
        assert_eq!(i64::try_from(said), Ok(shown), "what the label says, and how many events are shown");
    }
    publishing.join().unwrap();
    assert!(pages > 10 && behind > 0, "events came during {behind} of {pages} pages");
}

/// Another table comes in the model's place again and again, and somebody else writes, so that rows have to be added up each time:
/// a page whose budget is long enough is never refused for what could not be told at one moment.
#[test]
fn a_strong_page_is_had_while_tables_are_swapped_and_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let engine = start_in(folder.path(), tally(), unasked);
    let strong = ReadOptions { budget: LONG, ..ReadOptions::at(Level::Strong) };
    engine.send((0..3000).map(|n| noted(&n.to_string(), &format!("k{n}"), 1)).collect());
    engine.settle();
    execute_as_stranger(folder.path(), "CREATE TABLE theirs(n INTEGER)").unwrap();
    let worker = engine.0.clone();
    let rebuilding = thread::spawn(move || {
        for _ in 0..15 {
            let record = worker.reconcile("tally", Some(Method::Rebuild)).unwrap();
            assert_eq!(record.result.as_str(), "converged", "{record:?}");
        }
    });
    let request = RowsRequest { limit: 1, count: true, ..RowsRequest::default() };
    let mut pages = 0_u32;
    while !rebuilding.is_finished() {
        execute_as_stranger(folder.path(), "INSERT INTO theirs VALUES(1)").unwrap();
        let page = engine.rows("tally", &request, strong);
        assert_eq!(page.map(|page| page.total), Ok(Some(3000)), "after {pages} pages");
        pages += 1;
    }
    rebuilding.join().unwrap();
}

#[test]
fn a_column_that_the_table_lacks_yet_is_not_there_yet() {
    let stores = Stores::new();
    let engine = stores.start(tally(), unasked);
    engine.send(vec![noted("1", "a", 1)]);
    engine.settle();
    engine.stop();
    let declared = Tally { schema: Tally::new("tally", 2, &["noted", "critical"]).by_type().schema, ..tally() };
    let engine = stores.start(declared, |options| {
        unasked(options);
        options.project = false;
    });
    let refused = engine.rows("tally", &asked(&[("type", "eq.noted")], None), ReadOptions::default()).unwrap_err();
    assert!(matches!(&refused, ReadError::NotMet { reason, .. } if reason.contains("declared anew")), "{refused:?}");
    let refused = engine.rows("tally", &asked(&[("typ", "eq.noted")], None), ReadOptions::default()).unwrap_err();
    assert!(matches!(refused, ReadError::Parameter(_)), "{refused:?}");
}
