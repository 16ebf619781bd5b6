//! Snapshots of models: taken while events flow, kept only when sound, and begun from by rebuilds that come to the same as
//! the whole log does.
use super::fixture::{Running, Stores, Tally, decision, eventually, noted, start_in, start_model_in, tally};
use evenkeel::{
    EngineError, Model,
    core::{
        ModelName, Position, Timestamp,
        content::Window,
        digest::{BUCKETS, KeyHash, RowDigest, Sum},
        drift::Thresholds,
        fold::{FoldError, Park, ParkState, TouchId},
        reconciliation::{Method, Reconciliation},
        row::{Cell, Key, Row},
        snapshot::{Decoder, Encoder, Header, Part},
    },
    store::{
        Draft, Frames, Kept, Models, Piece, Snapshots,
        faulty::Operation,
        memory::{MemorySnapshots, Tamper, Volatile},
        sqlite::{SqliteOptions, SqliteStore},
    },
};
use std::{
    fs,
    ops::ControlFlow,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
        mpsc,
    },
    thread,
};

/// Everything that must be the same whatever a rebuild began from.
#[derive(Debug, Default, PartialEq)]
struct Whole {
    rows: Vec<(Key, Row, Option<RowDigest>)>,
    touches: Vec<(KeyHash, Position)>,
    windows: Vec<(Window, Sum)>,
    buckets: Vec<(u16, Sum)>,
    parks: Vec<(TouchId, Option<Key>, ParkState, String)>,
    reached: (Position, u64),
}

fn whole(models: &dyn Models) -> Whole {
    let mut whole = Whole::default();
    let see = &mut |piece| {
        match piece {
            Piece::Books(books) => {
                let park = |park: Park| (park.touch, park.key, park.state, park.error);
                whole.parks = books.parks.into_iter().map(park).collect();
                whole.windows = books.identities;
                let sums = (0..BUCKETS).map(|bucket| (bucket, books.buckets.get(bucket)));
                whole.buckets = sums.filter(|(_, sum)| !sum.is_zero()).collect();
                whole.reached = (books.state.checkpoint.position, books.state.checkpoint.counts.total());
            }
            Piece::Rows(rows) => whole.rows.extend(rows.into_iter().map(|(row, _)| (row.key, row.row, row.meant))),
            Piece::Touches(touches) => whole.touches.extend(touches),
        }
        ControlFlow::Continue(())
    };
    models.freeze(&"tally".into(), see).unwrap();
    // What a person gave up may be in the index or not: a fold passes it over.
    let given_up = whole.parks.iter().filter(|(_, _, state, _)| *state == ParkState::Discarded);
    let given_up: Vec<Position> = given_up.map(|(touch, ..)| touch.position).collect();
    whole.touches.retain(|(_, position)| !given_up.contains(position));
    whole
}

fn rebuilt(engine: &Running) -> Reconciliation {
    let record = engine.reconcile("tally", Some(Method::Rebuild)).unwrap();
    assert_eq!((record.error.as_deref(), record.verified), (None, true));
    record
}

/// Where the next rebuild begins; it must come to the same as one from the log's start.
fn rebuilt_from(engine: &Running, models: &dyn Models) -> u64 {
    let from = rebuilt(engine).rebuilt_from.unwrap().0;
    let by_snapshot = whole(models);
    let record = engine.rebuild_from_start("tally").unwrap();
    assert_eq!((record.rebuilt_from, record.error), (Some(Position(0)), None));
    assert_eq!(by_snapshot, whole(models));
    from
}

fn positions(engine: &Running) -> Vec<u64> {
    engine.snapshots(Some("tally")).unwrap().iter().map(|snapshot| snapshot.position).collect()
}

/// Events `from` to `to`, over a hundred keys.
fn send(engine: &Running, from: i64, to: i64) {
    engine.send((from..to).map(|n| noted(&n.to_string(), &format!("key {}", n % 100), n + 1)).collect());
    engine.settle();
}

/// Without snapshots taken unasked.
fn start(stores: &Stores, fold: Tally) -> Running {
    stores.start(fold, |options| options.snapshot_every_events = 0)
}

#[test]
fn a_snapshot_taken_while_events_flow_is_what_a_rebuild_begins_from() {
    let stores = Stores::new();
    let engine = start(&stores, tally());
    send(&engine, 0, 500);
    let is_over = AtomicBool::new(false);
    let taken = std::thread::scope(|scope| {
        let (engine, is_over) = (&engine, &is_over);
        scope.spawn(move || {
            for n in (500..).take_while(|_| !is_over.load(Ordering::SeqCst)) {
                engine.send(vec![noted(&n.to_string(), &format!("key {}", n % 150), n)]);
            }
        });
        let taken: Vec<_> = (0..5).map(|_| engine.take_snapshot("tally").unwrap()).collect();
        is_over.store(true, Ordering::SeqCst);
        taken
    });
    engine.settle();
    assert!(taken.iter().all(|snapshot| snapshot.usable && snapshot.position >= 500 && snapshot.rows >= Some(100)));
    let newest = taken.last().unwrap().position;
    let all = whole(stores.memory.models.as_ref());
    let record = rebuilt(&engine);
    assert_eq!(record.rebuilt_from, Some(Position(newest)));
    assert_eq!(record.events_replayed, all.reached.1 - newest, "only what came after it is folded");
    assert_eq!(whole(stores.memory.models.as_ref()), all);
    assert_eq!(rebuilt_from(&engine, stores.memory.models.as_ref()), newest);
    assert_eq!(engine.wrong_rows(), 0);
}

#[test]
fn the_newest_are_kept() {
    let stores = Stores::new();
    let engine = start(&stores, tally());
    for n in 1..=4 {
        send(&engine, n * 10, n * 10 + 10);
        engine.take_snapshot("tally").unwrap();
    }
    assert_eq!(positions(&engine), [40, 30]);
    assert!(matches!(engine.take_snapshot("none"), Err(EngineError::NoModel(_))));
}

#[test]
fn snapshots_are_taken_unasked_when_enough_was_applied() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |options| options.snapshot_every_events = 50);
    send(&engine, 0, 40);
    std::thread::sleep(std::time::Duration::from_millis(1200));
    assert_eq!(positions(&engine), [0; 0]);
    send(&engine, 40, 70);
    eventually("a snapshot", || positions(&engine) == [70]);
    send(&engine, 70, 130);
    eventually("another", || positions(&engine) == [130, 70]);
}

/// Changes a snapshot as nothing that writes one does, in itself without a flaw.
fn forge(snapshots: &MemorySnapshots, position: u64, change: impl FnOnce(&mut Header, &mut Vec<(Key, Row)>)) {
    let (schema, model) = (tally().schema, "tally".into());
    let mut frames = snapshots.open(&model, Position(position)).unwrap().unwrap();
    let mut decoder = Decoder::new(&schema, &frames.next().unwrap().unwrap()).unwrap();
    let (mut rows, mut windows, mut touches) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(frame) = frames.next().unwrap() {
        match decoder.part(&frame).unwrap() {
            Part::Rows(some) => rows.extend(some),
            Part::Windows(some) => windows.extend(some),
            Part::Touches(some) => touches.extend(some),
            Part::Parks(_) | Part::End(_) => {}
        }
    }
    let mut header = decoder.header().clone();
    change(&mut header, &mut rows);
    header.rows = rows.len() as u64;
    let (mut encoder, first) = Encoder::new(&schema, &header).unwrap();
    let mut forged = vec![first];
    rows.iter().for_each(|(key, row)| forged.extend(encoder.row(key, row).unwrap()));
    touches.iter().for_each(|(hash, position)| forged.extend(encoder.touch(*hash, *position).unwrap()));
    windows.iter().for_each(|(window, sum)| forged.extend(encoder.window(*window, *sum).unwrap()));
    forged.extend(encoder.end().0);
    assert!(snapshots.tamper(&model, Position(position), |frames| *frames = forged));
}

/// Two snapshots, at 100 and 200, and events up to 250.
fn with_two_snapshots(stores: &Stores) -> Running {
    let engine = start(stores, tally());
    for n in 0..2 {
        send(&engine, n * 100, n * 100 + 100);
        engine.take_snapshot("tally").unwrap();
    }
    send(&engine, 200, 250);
    assert_eq!(positions(&engine), [200, 100]);
    engine
}

#[test]
fn a_damaged_snapshot_is_removed_and_the_next_older_one_begun_from() {
    type Change = fn(&mut Vec<Vec<u8>>);
    let changes: [(&str, Change); 6] = [
        ("a byte of a row", |frames| frames[1][20] ^= 1),
        ("a byte of the end", |frames| *frames.last_mut().unwrap().last_mut().unwrap() ^= 1),
        ("no end", |frames| drop(frames.pop())),
        ("no rows", |frames| drop(frames.remove(1))),
        ("nothing", Vec::clear),
        ("something else", |frames| *frames = vec![b"something else".to_vec()]),
    ];
    for (what, change) in changes {
        let stores = Stores::new();
        let engine = with_two_snapshots(&stores);
        let damage = |position| stores.memory.snapshots.tamper(&"tally".into(), Position(position), change);
        assert!(damage(200));
        assert_eq!(rebuilt_from(&engine, stores.memory.models.as_ref()), 100, "{what}");
        assert_eq!(positions(&engine), [100], "{what}");
        assert!(damage(100));
        assert_eq!(rebuilt_from(&engine, stores.memory.models.as_ref()), 0, "{what}");
        assert_eq!(positions(&engine), [0; 0], "{what}");
    }
}

#[test]
fn a_snapshot_that_is_whole_and_wrong_is_found_out_and_removed() {
    let one_more = |rows: &mut Vec<(Key, Row)>| {
        if let Cell::I64(sum) = &mut rows[7].1.cells[1] {
            *sum += 1;
        }
    };
    let stores = Stores::new();
    let engine = with_two_snapshots(&stores);
    forge(&stores.memory.snapshots, 200, |_, rows| one_more(rows));
    assert_eq!(rebuilt_from(&engine, stores.memory.models.as_ref()), 100);
    assert_eq!(positions(&engine), [100]);

    let stores = Stores::new();
    let engine = with_two_snapshots(&stores);
    forge(&stores.memory.snapshots, 200, |header, _| header.checkpoint.counts.applied -= 1);
    assert_eq!(rebuilt_from(&engine, stores.memory.models.as_ref()), 100);

    // No event that came after it touches this row: it is nowhere in the table.
    let stores = Stores::new();
    let engine = with_two_snapshots(&stores);
    forge(&stores.memory.snapshots, 200, |_, rows| rows.retain(|(key, _)| *key != Key::text("key 98")));
    assert_eq!(rebuilt_from(&engine, stores.memory.models.as_ref()), 100);

    // Of position 150 under the name of another.
    let stores = Stores::new();
    let engine = with_two_snapshots(&stores);
    forge(&stores.memory.snapshots, 200, |header, _| header.checkpoint.position = Position(150));
    assert_eq!(rebuilt_from(&engine, stores.memory.models.as_ref()), 100);
}

#[test]
fn a_snapshot_of_events_that_the_log_does_not_have_is_found_out() {
    let stores = Stores::new();
    let engine = with_two_snapshots(&stores);
    forge(&stores.memory.snapshots, 100, |_, _| {});
    let (mut taken, model) = (Vec::new(), "tally".into());
    stores.memory.snapshots.tamper(&model, Position(100), |frames| taken.clone_from(frames));
    // The events of the first hundred positions with the name of the first two hundred.
    stores.memory.snapshots.tamper(&model, Position(200), |frames| *frames = taken);
    forge(&stores.memory.snapshots, 200, |header, _| {
        header.checkpoint.position = Position(200);
        header.checkpoint.counts.applied = 200;
    });
    assert_eq!(rebuilt_from(&engine, stores.memory.models.as_ref()), 100);
    assert_eq!(positions(&engine), [100]);
}

#[test]
fn a_snapshot_of_another_log_or_version_is_left_alone_and_not_begun_from() {
    let stores = Stores::new();
    let engine = with_two_snapshots(&stores);
    forge(&stores.memory.snapshots, 200, |header, _| header.checkpoint.epoch = Some(evenkeel::core::Epoch(99)));
    forge(&stores.memory.snapshots, 100, |header, _| header.version = 7);
    let listed = engine.snapshots(None).unwrap();
    assert!(listed.iter().all(|snapshot| !snapshot.usable && snapshot.reason.is_some()), "{listed:?}");
    assert_eq!(rebuilt_from(&engine, stores.memory.models.as_ref()), 0);
    assert_eq!(positions(&engine), [200, 100]);
    // They go once there is one that is fit.
    engine.take_snapshot("tally").unwrap();
    assert_eq!(positions(&engine), [250]);
}

#[test]
fn a_new_version_is_built_from_the_log_and_its_first_snapshot_ends_the_old_ones() {
    let stores = Stores::new();
    drop(with_two_snapshots(&stores));
    let engine = start(&stores, Tally::new("tally", 2, &["noted"]));
    engine.settle();
    eventually("the record", || !engine.reconciliations(None, 1).unwrap().is_empty());
    let record = engine.reconciliations(None, 1).unwrap().remove(0);
    assert_eq!(record.rebuilt_from, Some(Position(0)));
    assert_eq!(positions(&engine), [200, 100]);
    engine.take_snapshot("tally").unwrap();
    assert_eq!(positions(&engine), [250]);
}

/// A tally that cannot take sevens as long as `fails`.
fn sevenless(fails: &Arc<AtomicBool>) -> Tally {
    let fails = Arc::clone(fails);
    tally().before(move |n, _| {
        let is_bad = n == 7 && fails.load(Ordering::SeqCst);
        if is_bad { Err(FoldError::Custom("seven".into())) } else { Ok(()) }
    })
}

#[test]
fn what_was_decided_about_parked_events_since_is_in_the_rebuilt_table() {
    let stores = Stores::new();
    let fails = Arc::new(AtomicBool::new(true));
    let engine = start(&stores, sevenless(&fails));
    let of = |key: &str, ns: [i64; 3]| -> Vec<_> {
        ns.iter().enumerate().map(|(i, n)| noted(&format!("{key}{i}"), key, *n)).collect()
    };
    // Positions 1 to 3, 4 to 6 and so on; the middle one is bad.
    for key in ["given up before", "given up since", "never decided", "well"] {
        engine.send(of(key, [1, if key == "well" { 6 } else { 7 }, 2]));
    }
    engine.settle();
    let discard = |position: u64| engine.discard(&format!("p-tally-{position}.0.0"), decision()).unwrap();
    discard(2);
    engine.take_snapshot("tally").unwrap();
    discard(5);
    engine.send(vec![noted("late", "given up since", 10), noted("later", "never decided", 10)]);
    engine.settle();
    assert_eq!(rebuilt_from(&engine, stores.memory.models.as_ref()), 12);
    let rows = whole(stores.memory.models.as_ref()).rows;
    let sums: Vec<_> = rows.iter().map(|(key, row, _)| (key.to_string(), row.cells[1].clone())).collect();
    let expected = [("given up before", 3), ("given up since", 13), ("never decided", 1), ("well", 9)];
    assert_eq!(sums, expected.map(|(key, sum)| (key.to_owned(), Cell::I64(sum))));
    let drift = engine.drift_of("tally");
    assert_eq!((drift.parked_events, drift.lag_count, drift.content.verdict), (3, Some(0), "verified"));

    // The fold is mended, without a new version, and the event that stood in the way goes through.
    fails.store(false, Ordering::SeqCst);
    engine.redrive("p-tally-8.0.0", decision()).unwrap();
    assert_eq!(rebuilt_from(&engine, stores.memory.models.as_ref()), 12);
    assert_eq!(engine.sum("never decided", evenkeel::core::freshness::Level::Eventual), Some(20));
}

/// A power cut takes the decision back, and leaves a snapshot that was made under it.
#[test]
fn what_was_given_up_and_is_not_any_more_counts_in_a_table_begun_from_a_snapshot() {
    let stores = Stores::new();
    let fails = Arc::new(AtomicBool::new(true));
    let engine = start(&stores, sevenless(&fails));
    engine.send([1, 7, 2].iter().enumerate().map(|(i, n)| noted(&i.to_string(), "a", *n)).collect());
    engine.settle();
    let before = stores.memory.models.image();
    engine.discard("p-tally-2.0.0", decision()).unwrap();
    engine.rebuild_from_start("tally").unwrap();
    engine.take_snapshot("tally").unwrap();
    drop(engine);
    stores.memory.models.restore(before);
    let engine = start(&stores, sevenless(&fails));
    assert_eq!(rebuilt_from(&engine, stores.memory.models.as_ref()), 3);
    assert_eq!((engine.drift_of("tally").parked_events, engine.wrong_rows()), (2, 0));
}

#[test]
fn rows_that_may_be_wrong_are_in_no_snapshot() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |options| {
        (options.snapshot_every_events, options.auto_reconcile, options.scrub_rows_per_second) = (0, false, 0);
    });
    send(&engine, 0, 200);
    let models = stores.memory.models.as_ref();
    let stored = whole(models).rows.remove(3);
    let tamper = |tamper| models.tamper(&"tally".into(), Timestamp::from_micros(1), tamper).unwrap();
    let refused = || match engine.take_snapshot("tally") {
        Err(EngineError::NotTaken { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    let wrong = Row { cells: vec![stored.1.cells[0].clone(), Cell::I64(-1)] };
    tamper(Tamper::Write(stored.0.clone(), Some(wrong.clone())));
    assert!(refused().contains("may be wrong"));
    engine.reconcile("tally", None).unwrap();
    engine.take_snapshot("tally").unwrap();
    send(&engine, 200, 210);

    tamper(Tamper::Restore(stored.0.clone(), Some(wrong)));
    assert!(refused().contains("bucket"), "not noted, and its digest fits");
    tamper(Tamper::Unwatch);
    assert!(refused().contains("noted"));
    models.condemn(&"tally".into(), "for the test").unwrap();
    assert!(refused().contains("for the test"));
    assert_eq!(positions(&engine), [200], "nothing is left of those that were not kept");
    assert_eq!(rebuilt(&engine).rebuilt_from, Some(Position(200)));
    assert_eq!(engine.wrong_rows(), 0);
}

#[test]
fn a_fold_at_fault_ends_the_snapshots_and_is_rebuilt_from_the_log() {
    let stores = Stores::new();
    let more = Arc::new(AtomicI64::new(0));
    let of_fold = Arc::clone(&more);
    let fold = tally().before(move |_, row| {
        if let Cell::I64(sum) = &mut row.cells[1] {
            *sum += of_fold.load(Ordering::SeqCst);
        }
        Ok(())
    });
    let engine = stores.start(fold, |options| {
        (options.snapshot_every_events, options.auto_reconcile, options.scrub_rows_per_second) = (0, false, 0);
    });
    send(&engine, 0, 50);
    engine.take_snapshot("tally").unwrap();
    more.store(1000, Ordering::SeqCst);
    let report = engine.verify("tally", true).unwrap();
    assert_eq!((report.wrong_rows, report.wrong[0].cause), (50, "projector_defect"));
    assert_eq!(positions(&engine), [0; 0]);
    assert!(matches!(engine.take_snapshot("tally"), Err(EngineError::NotTaken { .. })));
    assert_eq!(rebuilt(&engine).rebuilt_from, Some(Position(0)));
    assert_eq!(engine.wrong_rows(), 0);
}

#[test]
fn a_store_that_fails_while_a_table_begins_costs_no_snapshot() {
    let stores = Stores::new();
    let engine = with_two_snapshots(&stores);
    let before = whole(stores.memory.models.as_ref());
    stores.faults.fail(Operation::Commit(evenkeel::store::Table::Build));
    assert!(engine.reconcile("tally", Some(Method::Rebuild)).unwrap().error.is_some());
    stores.faults.clear();
    assert_eq!(whole(stores.memory.models.as_ref()), before);
    assert_eq!(positions(&engine), [200, 100]);
    assert_eq!(rebuilt_from(&engine, stores.memory.models.as_ref()), 200);
}

#[test]
fn a_model_that_lost_its_rows_begins_from_its_snapshot_unasked() {
    let folder = tempfile::tempdir().unwrap();
    // The projector is far from done when the model has been behind for too long.
    let adjust = |options: &mut evenkeel::Options| {
        options.snapshot_every_events = 0;
        options.batch_events = 1;
    };
    let thresholds = Thresholds { max_lag_seconds: 0.0, ..Thresholds::default() };
    {
        let engine = start_in(folder.path(), tally(), |options| options.snapshot_every_events = 0);
        send(&engine, 0, 1200);
        engine.take_snapshot("tally").unwrap();
        send(&engine, 1200, 1210);
    }
    for file in ["models.db", "models.db-wal", "models.db-shm"] {
        let _ = fs::remove_file(folder.path().join(file));
    }
    let engine = start_model_in(folder.path(), Model { thresholds, ..Model::new(tally()) }, adjust);
    let records = || engine.reconciliations(Some("tally"), 10).unwrap();
    eventually("a rebuild", || !records().is_empty());
    let record = records().remove(0);
    assert_eq!((record.reconciliation_method, record.error.as_deref()), (Method::Rebuild, None));
    assert_eq!((record.rebuilt_from, record.events_replayed), (Some(Position(1200)), 10));
    assert_eq!(engine.models().unwrap()[0].rows, 100);
    assert_eq!(engine.wrong_rows(), 0);
}

#[test]
fn snapshots_outlast_the_loss_of_all_models() {
    let folder = tempfile::tempdir().unwrap();
    let never = |options: &mut evenkeel::Options| options.snapshot_every_events = 0;
    {
        let engine = start_in(folder.path(), tally(), never);
        send(&engine, 0, 300);
        engine.take_snapshot("tally").unwrap();
        send(&engine, 300, 330);
    }
    for file in ["models.db", "models.db-wal", "models.db-shm"] {
        let _ = fs::remove_file(folder.path().join(file));
    }
    let engine = start_in(folder.path(), tally(), |options| {
        never(options);
        options.project = false;
    });
    assert_eq!(engine.models().unwrap()[0].rows, 0);
    let record = rebuilt(&engine);
    assert_eq!((record.rebuilt_from, record.events_replayed), (Some(Position(300)), 30));
    assert_eq!(engine.wrong_rows(), 0);
    drop(engine);
    let store = SqliteStore::open(folder.path(), SqliteOptions::new(Arc::new(Timestamp::default))).unwrap();
    let by_snapshot = whole(store.models.as_ref());
    drop(store);
    let engine = start_in(folder.path(), tally(), never);
    engine.rebuild_from_start("tally").unwrap();
    drop(engine);
    let store = SqliteStore::open(folder.path(), SqliteOptions::new(Arc::new(Timestamp::default))).unwrap();
    assert_eq!(by_snapshot, whole(store.models.as_ref()), "the index of touched keys too, under another secret");
    assert_eq!(by_snapshot.touches.len(), 330);
}

/// Snapshots that are begun once they may be.
struct Waiting(Arc<MemorySnapshots>, mpsc::SyncSender<()>, Mutex<mpsc::Receiver<()>>);

impl Snapshots for Waiting {
    fn begin<'s>(&'s self, model: &ModelName, position: Position) -> evenkeel::store::Result<Box<dyn Draft + 's>> {
        self.1.send(()).unwrap();
        self.2.lock().unwrap().recv().unwrap();
        self.0.begin(model, position)
    }

    fn list(&self, model: &ModelName) -> evenkeel::store::Result<Vec<Kept>> {
        self.0.list(model)
    }

    fn open(&self, model: &ModelName, position: Position) -> evenkeel::store::Result<Option<Box<dyn Frames>>> {
        self.0.open(model, position)
    }

    fn remove(&self, model: &ModelName, position: Position) -> evenkeel::store::Result<()> {
        self.0.remove(model, position)
    }
}

#[test]
fn a_snapshot_in_the_making_does_not_outlive_a_defect_that_is_found_and_mended_meanwhile() {
    let stores = Stores::new();
    let changed = Arc::new(AtomicBool::new(false));
    let is_changed = Arc::clone(&changed);
    let fold = tally().before(move |n, row| {
        if n == 1 && is_changed.load(Ordering::SeqCst) {
            row.cells[1] = Cell::I64(100);
        }
        Ok(())
    });
    let (begun, has_begun) = mpsc::sync_channel(1);
    let (go, may_go) = mpsc::sync_channel(1);
    let kept = stores.memory.snapshots.clone();
    let engine = stores.start_keeping(Arc::new(Waiting(kept.clone(), begun, Mutex::new(may_go))), fold);
    engine.send(vec![noted("1", "a", 1), noted("2", "b", 2)]);
    engine.settle();
    let taken = thread::scope(|scope| {
        let taking = scope.spawn(|| engine.take_snapshot("tally"));
        has_begun.recv().unwrap();
        changed.store(true, Ordering::SeqCst);
        assert_eq!(engine.verify("tally", true).unwrap().wrong[0].cause, "projector_defect");
        let record = engine.reconcile("tally", Some(Method::Repair)).unwrap();
        let verdict = engine.drift_of("tally").content.verdict;
        go.send(()).unwrap();
        assert!(record.verified && matches!(verdict, "verified" | "unverified"), "{verdict}");
        taking.join().unwrap()
    });
    assert!(matches!(taken, Err(EngineError::NotTaken { .. })), "{taken:?}");
    assert_eq!(kept.list(&"tally".into()).unwrap(), []);
}
