//! What others write, and what is found out, while a model's content is being looked at.
use super::fixture::{Running, Stores, eventually, noted, tally};
use evenkeel::{
    Clock, Options, SystemClock,
    core::{
        Timestamp,
        digest::{BUCKETS, RowDigest, Sum},
        drift::Verdict,
        freshness::Level,
        pace::Limits,
        reconciliation::Method,
        row::{Cell, Key, Row},
    },
    store::{
        Models, Table,
        faulty::Operation,
        memory::{MemoryModels, Tamper},
    },
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Nobody looks but who is told to.
fn alone(options: &mut Options) {
    options.heartbeat = Duration::from_secs(3600);
    options.auto_reconcile = false;
    options.scrub_rows_per_second = 0;
}

fn with_rows(stores: &Stores, adjust: impl FnOnce(&mut Options)) -> Running {
    let engine = stores.start(tally(), adjust);
    engine.send(vec![noted("1", "a", 1), noted("2", "b", 2)]);
    engine.settle();
    engine
}

fn edit(models: &MemoryModels, key: &str, sum: i64) {
    let row = Row { cells: vec![Cell::Text(key.into()), Cell::I64(sum)] };
    models.tamper(&"tally".into(), SystemClock::default().now(), Tamper::Write(Key::text(key), Some(row))).unwrap();
}

fn verdict(stores: &Stores) -> Verdict {
    stores.memory.models.state(&"tally".into()).unwrap().unwrap().content.verdict
}

fn verified_as_of(stores: &Stores) -> Option<Timestamp> {
    stores.memory.models.state(&"tally".into()).unwrap().unwrap().content.verified_as_of
}

fn sum(stores: &Stores, key: &str) -> Cell {
    let found = stores.memory.models.get(&"tally".into(), &Key::text(key)).unwrap();
    found.row.unwrap().cells.remove(1)
}

#[test]
fn a_write_between_a_look_at_a_row_and_its_verdict_is_not_forgotten() {
    let stores = Stores::new();
    let engine = with_rows(&stores, alone);
    for full in [false, true] {
        // Written to and as it was: there is a note, and nothing is wrong.
        edit(&stores.memory.models, "a", 1);
        let models = Arc::clone(&stores.memory.models);
        // The watch is looked after first, and the notes are settled next.
        stores.faults.after(1, Operation::SetContent, move || edit(&models, "a", 99));
        assert_eq!(engine.verify("tally", full).unwrap().wrong_rows, 0);
        assert_eq!((verdict(&stores), sum(&stores, "a")), (Verdict::Suspect, Cell::I64(99)));
        let record = engine.reconcile("tally", None).unwrap();
        assert_eq!((record.result.as_str(), record.rows_repaired), ("converged", 1));
        assert_eq!(sum(&stores, "a"), Cell::I64(1));
        assert!(matches!(verdict(&stores), Verdict::Verified | Verdict::Unverified));
    }
}

#[test]
fn a_doubt_raised_during_a_look_outlasts_its_verdict() {
    let stores = Stores::new();
    let engine = with_rows(&stores, alone);
    let doubt = |after: usize| {
        let models = Arc::clone(&stores.memory.models);
        // As a strong read does that finds the triggers gone; it has no turn.
        stores.faults.after(after, Operation::SetContent, move || models.doubt(&"tally".into(), 1).unwrap());
    };
    let content = || stores.memory.models.state(&"tally".into()).unwrap().unwrap().content;
    // Between the settling of the notes and the verdict, and before both.
    for after in [1, 2] {
        doubt(after);
        assert_eq!(engine.verify("tally", true).unwrap().wrong_rows, 0);
        assert_eq!((content().verdict, content().bad_buckets), (Verdict::Suspect, 1), "after {after} writes");
        engine.verify("tally", false).unwrap();
        assert_eq!((content().verdict, content().bad_buckets), (Verdict::Verified, 0), "after {after} writes");
    }
    // Also where rows are wrong: other rows may be than the ones that are named.
    edit(&stores.memory.models, "a", 99);
    doubt(2);
    assert_eq!(engine.verify("tally", true).unwrap().wrong_rows, 1);
    assert!(content().verdict == Verdict::Drifted && content().bad_buckets > 0, "{:?}", content());
    let record = engine.reconcile("tally", None).unwrap();
    assert_eq!((record.rows_repaired, record.verified, content().verdict), (1, true, Verdict::Verified));
}

#[test]
fn a_pass_of_the_scrub_does_not_take_a_doubt_back() {
    let stores = Stores::new();
    let engine = with_rows(&stores, alone);
    drop(engine);
    let state = || stores.memory.models.state(&"tally".into()).unwrap().unwrap();
    assert_eq!(state().content.verdict, Verdict::Unverified);
    let models = Arc::clone(&stores.memory.models);
    // The watch is looked after first, and the verdict of the pass is kept next.
    stores.faults.after(1, Operation::SetContent, move || models.doubt(&"tally".into(), 1).unwrap());
    let _engine = stores.start(tally(), |options| {
        options.heartbeat = Duration::from_secs(3600);
        options.auto_reconcile = false;
        options.scrub_rows_per_second = 100_000;
    });
    eventually("the scrub came to the end of its pass", || state().doubts > 0);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!((state().content.verdict, state().content.bad_buckets), (Verdict::Suspect, 1));
}

#[test]
fn the_scrub_comes_to_its_end_while_rows_are_edited_and_repaired_again_and_again() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |options| {
        options.pace = Limits { quiet: Duration::ZERO, max_per_hour: u64::MAX };
        // A pass takes about a second.
        options.scrub_rows_per_second = 1000;
    });
    engine.send((0..1000).map(|n| noted(&n.to_string(), &format!("k{n:03}"), 1)).collect());
    engine.settle();
    // Noted by nobody, and with a digest that is right.
    let (key, row) = (Key::text("k500"), Row { cells: vec![Cell::Text("k500".into()), Cell::I64(52)] });
    stores
        .memory
        .models
        .tamper(&"tally".into(), SystemClock::default().now(), Tamper::Restore(key, Some(row)))
        .unwrap();
    let mut edits = 0;
    eventually("the scrub finds it", || {
        // Noted, and repaired at once: behind the pass and before it.
        let edited = ["k000", "k999"][edits % 2];
        edit(&stores.memory.models, edited, 99);
        edits += 1;
        eventually("it is repaired", || sum(&stores, edited) == Cell::I64(1));
        std::thread::sleep(Duration::from_millis(50));
        sum(&stores, "k500") == Cell::I64(1)
    });
    assert_eq!(engine.wrong_rows(), 0);
}

#[test]
fn the_scrub_folds_rows_afresh_while_the_projector_goes_on() {
    let stores = Stores::new();
    let (holds, is_held) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let (hold, held) = (Arc::clone(&holds), Arc::clone(&is_held));
    let fold = tally().before(move |_, _| {
        while hold.load(Ordering::SeqCst) && std::thread::current().name() == Some("scrub") {
            held.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    });
    let engine = stores.start(fold, |options| options.scrub_rows_per_second = 100_000);
    engine.send((0..1000).map(|n| noted(&n.to_string(), &format!("k{n:03}"), 1)).collect());
    engine.settle();
    eventually("the scrub folds a row", || is_held.load(Ordering::SeqCst));
    engine.send(vec![noted("more", "k000", 1)]);
    engine.settle();
    assert_eq!(sum(&stores, "k000"), Cell::I64(2));
    holds.store(false, Ordering::SeqCst);
    let as_of = verified_as_of(&stores);
    eventually("it ends its pass", || verified_as_of(&stores) > as_of);
}

#[test]
fn a_row_of_very_many_events_is_folded_a_page_at_a_time() {
    let stores = Stores::new();
    let engine = stores.start(tally(), alone);
    for thousand in 0..10 {
        let events = (0..1000).map(|n| noted(&format!("{thousand}-{n}"), "a", 1));
        engine.send(events.collect());
    }
    engine.settle();
    let reads = stores.faults.calls(Operation::ReadLog);
    // Without a scrub rows are not believed by their digests but folded from their events.
    assert_eq!(engine.sum("a", Level::Strong), Some(10_000));
    assert!(stores.faults.calls(Operation::ReadLog) >= reads + 3);
    edit(&stores.memory.models, "a", 99);
    let record = engine.reconcile("tally", Some(Method::Repair)).unwrap();
    assert_eq!((record.rows_repaired, record.events_replayed), (1, 10_000));
    assert_eq!(sum(&stores, "a"), Cell::I64(10_000));
}

#[test]
fn a_row_whose_events_are_no_longer_known_is_not_folded_from_nothing() {
    let stores = Stores::new();
    let engine = with_rows(&stores, alone);
    let unindex = || {
        let tamper = Tamper::Unindex(Key::text("a"));
        stores.memory.models.tamper(&"tally".into(), SystemClock::default().now(), tamper).unwrap();
    };
    unindex();
    assert_eq!(engine.sum("a", Level::Strong), Some(1), "folded from the log");
    assert!(engine.take_snapshot("tally").is_err(), "its index is no good to who begins from it");
    // The projector comes upon a row that was edited as well.
    edit(&stores.memory.models, "a", 99);
    unindex();
    engine.send(vec![noted("3", "a", 10)]);
    engine.settle();
    assert_eq!(sum(&stores, "a"), Cell::I64(11));
    assert_eq!((engine.wrong_rows(), engine.sum("a", Level::Strong)), (0, Some(11)));
}

#[test]
fn a_row_that_was_never_made_is_found_by_its_events() {
    let stores = Stores::new();
    let engine = stores.start(tally(), alone);
    engine.send((0..30).map(|n| noted(&n.to_string(), &format!("k{n:02}"), 1)).collect());
    engine.settle();
    drop(engine);
    let (models, model) = (&stores.memory.models, &"tally".into());
    // Gone, and out of the sums, as if the fold had not made it.
    let before = models.buckets(model, Table::Live).unwrap();
    let digest = models.load(model, Table::Live, &[Key::text("k07")]).unwrap().rows[0].digest;
    models.tamper(model, SystemClock::default().now(), Tamper::Restore(Key::text("k07"), None)).unwrap();
    let bucket = (0..BUCKETS).find(|bucket| before.get(*bucket) == sum_of(digest)).unwrap();
    models.set_buckets(model, Table::Live, &[(bucket, Sum::default())]).unwrap();
    let _engine = stores.start(tally(), |options| options.scrub_rows_per_second = 100_000);
    eventually("it is found", || verdict(&stores) == Verdict::Drifted);
}

fn sum_of(digest: RowDigest) -> Sum {
    let mut sum = Sum::default();
    sum.add(digest.0);
    sum
}
