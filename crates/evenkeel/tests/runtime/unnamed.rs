//! An event of which it cannot be told which row it touches may be of any: who must have it in his answer is told that he has not.
use super::fixture::{LONG, Running, Stores, Tally, decision, noted, tally};
use evenkeel::{
    Options, ReadError,
    core::{
        Event,
        fold::{Fold, FoldError, Touch},
        freshness::Level,
        json::Value,
        quarantine::State,
        row::{Key, Row},
        schema::Schema,
        token::Token,
    },
    reader::ReadOptions,
    store::EntryFilter,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

/// A tally that does not know which row an event with `n = 13` is of.
struct Unsure(Tally);

impl Fold for Unsure {
    fn schema(&self) -> &Schema {
        self.0.schema()
    }

    fn touches(&self, event: &Event, out: &mut Vec<Touch>) {
        self.0.touches(event, out);
        let n = event.draft.data.as_object().and_then(|data| data.get("n")?.as_i64());
        if let (Some(13), Some(touch)) = (n, out.last_mut()) {
            touch.key = Err(FoldError::Custom("whose this is nobody knows".into()));
        }
    }

    fn apply(&self, slot: &mut Option<Row>, event: &Event, touch: &Touch, key: &Key) -> Result<(), FoldError> {
        self.0.apply(slot, event, touch, key)
    }
}

fn unasked(options: &mut Options) {
    options.auto_reconcile = false;
    options.scrub_rows_per_second = 0;
}

/// Publishes one event; the token of who did.
fn publish(engine: &Running, id: &str, key: &str, n: i64) -> Token {
    let receipts = engine.send(vec![noted(id, key, n)]);
    engine.token(&engine.token_after(None, &receipts)).unwrap()
}

fn sum(engine: &Running, key: &str, options: ReadOptions) -> Result<(i64, &'static str), String> {
    let row = engine.get("tally", &[key], options).map_err(|error| match error {
        ReadError::NotMet { reason, .. } => reason,
        other => panic!("{other:?}"),
    })?;
    let sum = row.data.as_ref().and_then(|row| row.get("sum")).and_then(Value::as_i64);
    Ok((sum.unwrap_or_default(), row.consistency.level_served))
}

fn causal(token: Token) -> ReadOptions {
    ReadOptions { token: Some(token), ..ReadOptions::at(Level::Causal) }
}

#[test]
fn a_token_that_covers_an_event_of_an_unknown_row_is_met_by_no_row() {
    let stores = Stores::new();
    let engine = stores.start_fold(Unsure(tally()), unasked);
    let before = publish(&engine, "1", "a", 1);
    engine.settle();
    let after = publish(&engine, "2", "a", 13);
    engine.settle();
    let refused = |key, token| sum(&engine, key, causal(token)).unwrap_err();
    for key in ["a", "b", "nobody"] {
        let reason = refused(key, after);
        assert!(reason.contains("could not be applied"), "{reason}");
    }
    assert_eq!(sum(&engine, "a", causal(before)), Ok((1, "causal")));
    // Who takes what there is is told what it is.
    let stale = engine.get("tally", &["a"], ReadOptions { allow_stale: true, ..causal(after) }).unwrap();
    let said = &stale.consistency;
    assert!(said.data_stale && said.level_served == "eventual", "{said:?}");
    // What is of other rows, and later, changes nothing.
    let later = publish(&engine, "3", "b", 5);
    engine.settle();
    assert!(refused("b", later).contains("could not be applied"));
    // Once a person has given the event up nothing is missing.
    let parked = engine.quarantine(&EntryFilter::default()).unwrap().remove(0);
    engine.discard(&parked.id, decision()).unwrap();
    assert_eq!(sum(&engine, "b", causal(later)), Ok((5, "causal")));
    assert_eq!(sum(&engine, "a", causal(later)), Ok((1, "causal")));
}

#[test]
fn no_strong_read_of_a_row_passes_over_an_event_of_an_unknown_row() {
    let strong = ReadOptions { budget: LONG, ..ReadOptions::at(Level::Strong) };
    // Parked by the projector, or in the tail that it has not applied; believed by their digests, or folded from their events.
    for (is_parked, is_believed) in [(true, true), (true, false), (false, true), (false, false)] {
        let stores = Stores::new();
        let engine = stores.start_fold(Unsure(tally()), unasked);
        publish(&engine, "1", "a", 1);
        engine.settle();
        if is_believed {
            engine.rows("tally", &evenkeel::reader::RowsRequest::default(), strong).unwrap();
        }
        assert_eq!(sum(&engine, "a", strong), Ok((1, "strong")));
        if !is_parked {
            engine.stop_projector("tally", "for the test").unwrap();
        }
        publish(&engine, "2", "a", 13);
        publish(&engine, "3", "a", 2);
        if is_parked {
            engine.settle();
        }
        for key in ["a", "nobody"] {
            let refused = sum(&engine, key, strong).unwrap_err();
            assert!(refused.contains("not known which row it touches"), "{is_parked} {is_believed}: {refused}");
            // Who asks for no more than what is there is told that it may lack something.
            let said = engine.get("tally", &[key], ReadOptions::at(Level::Eventual)).unwrap().consistency;
            assert_eq!((said.parked_events > 0, said.data_stale), (is_parked, true), "{said:?}");
        }
        engine.start_projector("tally").unwrap();
        engine.settle();
        let parked = engine.quarantine(&EntryFilter::default()).unwrap().remove(0);
        engine.discard(&parked.id, decision()).unwrap();
        assert_eq!(sum(&engine, "a", strong), Ok((3, "strong")), "{is_parked} {is_believed}");
    }
}

/// While readers come and go, such events come and are given up: no strong answer lacks what was acknowledged before it.
#[test]
fn strong_reads_hold_while_such_events_are_parked_and_given_up() {
    let stores = Stores::new();
    let engine = stores.start_fold(Unsure(tally()), unasked);
    publish(&engine, "0", "a", 1);
    engine.settle();
    let strong = ReadOptions { budget: LONG, ..ReadOptions::at(Level::Strong) };
    let (worker, answered) = (engine.0.clone(), Arc::new(AtomicU32::new(0)));
    let enough = Arc::clone(&answered);
    // Goes on until some readers were answered meanwhile, which a busy machine takes longer for.
    let working = thread::spawn(move || {
        let mut n = 0_u32;
        while n < 100 || (enough.load(Ordering::Relaxed) < 10 && n < 20_000) {
            n += 1;
            worker
                .publish_blocking(vec![noted(&format!("u{n}"), "a", 13), noted(&n.to_string(), "a", 1)], None)
                .unwrap();
            assert!(worker.wait_until_current(LONG).unwrap());
            let waits = EntryFilter { state: Some(State::Quarantined), ..EntryFilter::default() };
            for parked in worker.quarantine(&waits).unwrap() {
                worker.discard(&parked.id, decision()).unwrap();
            }
        }
        i64::from(n)
    });
    let mut least = 0;
    while !working.is_finished() {
        if let Ok((sum, level)) = sum(&engine, "a", strong) {
            assert!(level == "strong" && sum >= least, "{sum} after {least}");
            least = sum;
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
    let last = working.join().unwrap();
    assert!(answered.load(Ordering::Relaxed) >= 10, "nobody was answered meanwhile");
    assert_eq!(sum(&engine, "a", strong), Ok((last + 1, "strong")));
}
