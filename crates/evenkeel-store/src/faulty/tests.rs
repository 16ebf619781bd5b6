//! Each fault does what its description says, no more and no less.
use super::{Fault, FaultyLog, FaultyModels, FaultySnapshots, Operation, Script};
use crate::{
    Log, Models, Snapshots, Step, StoreError, Table,
    conformance::fixture::{Sample, as_found, checkpoint, counter, counter_row, new_rows, take_in},
    memory::{MemoryStore, Tamper},
};
use evenkeel_core::{
    Epoch, ModelName, Position, Timestamp,
    content::{ForeignWrite, Touched},
    digest::Buckets,
    drift::{Content, Verdict},
    row::{Key, Row},
};
use std::{collections::VecDeque, sync::Arc};

fn memory() -> MemoryStore {
    MemoryStore::new(Epoch(7), Arc::new(|| Timestamp::from_micros(0)))
}

/// The faults given for the calls of one operation, in order, and none for any other.
fn script(of: Operation, faults: impl Into<VecDeque<Fault>>) -> Script {
    let mut faults = faults.into();
    Box::new(move |operation| if operation == of { faults.pop_front().unwrap_or_default() } else { Fault::None })
}

fn send(log: &dyn Log, id: &str) -> crate::Result<()> {
    take_in(log, 1, vec![Sample::new(id).admitted()]).map(drop)
}

fn head(log: &dyn Log) -> u64 {
    log.safe_head().unwrap().position.0
}

fn upsert(models: &dyn Models, keys: &[&str], to: u64) -> crate::Result<()> {
    let schema = counter("m");
    let generation = models.state(&schema.model)?.map_or(0, |state| state.generation);
    let upserts = new_rows(keys.iter().map(|key| (Key::text(*key), counter_row(&schema, key, to as i64))));
    let step = Step { generation, upserts, checkpoint: checkpoint(to), ..Step::default() };
    models.commit(&schema.model, Table::Live, &step).map(drop)
}

#[test]
fn a_failing_write_does_nothing() {
    let log = FaultyLog::new(memory().log, script(Operation::Transact, [Fault::Fail]));
    assert!(matches!(send(&log, "a"), Err(StoreError::Unavailable(_))));
    assert_eq!(head(&log), 0);
    send(&log, "a").unwrap();
    assert_eq!(head(&log), 1);
}

#[test]
fn a_lost_answer_leaves_the_write() {
    let log = FaultyLog::new(memory().log, script(Operation::Transact, [Fault::FailAfter]));
    assert!(matches!(send(&log, "a"), Err(StoreError::Unavailable(_))));
    assert_eq!(head(&log), 1);
    assert!(!log.crash());
    assert_eq!(head(&log), 1);
}

#[test]
fn lies_are_seen_until_the_crash() {
    let faults = [Fault::None, Fault::Lie, Fault::Lie];
    let log = FaultyLog::new(memory().log, script(Operation::Transact, faults));
    for id in ["a", "b", "c"] {
        send(&log, id).unwrap();
    }
    assert_eq!(head(&log), 3);
    assert!(log.crash());
    assert_eq!(head(&log), 1);
    assert!(!log.crash(), "a crash loses what it loses once");
    assert_eq!(log.read(Position::ZERO, None, 9).unwrap().events.len(), 1);
}

#[test]
fn an_honest_write_takes_the_cache_to_the_disk() {
    let faults = [Fault::Lie, Fault::None];
    let log = FaultyLog::new(memory().log, script(Operation::Transact, faults));
    send(&log, "a").unwrap();
    send(&log, "b").unwrap();
    assert!(!log.crash());
    assert_eq!(head(&log), 2);
}

#[test]
fn a_write_that_fails_takes_nothing_to_the_disk() {
    let faults = [Fault::Lie, Fault::Fail];
    let log = FaultyLog::new(memory().log, script(Operation::Transact, faults));
    send(&log, "a").unwrap();
    send(&log, "b").unwrap_err();
    assert!(log.crash());
    assert_eq!(head(&log), 0);
}

#[test]
fn a_torn_step_moves_the_checkpoint_past_lost_rows() {
    let models = FaultyModels::new(memory().models, script(Operation::Commit(Table::Live), [Fault::Tear]));
    let schema = counter("m");
    models.register(&schema).unwrap();
    upsert(&models, &["a", "b", "c"], 5).unwrap();
    let rows = models.rows(&schema.model, Table::Live, None, 9).unwrap();
    assert_eq!(rows.state.checkpoint, checkpoint(5));
    assert_eq!(rows.rows, [(counter_row(&schema, "b", 5), false)]);
    // The sums moved with the checkpoint, and tell that rows are missing.
    assert_eq!(models.buckets(&schema.model, Table::Live).unwrap().rows(), 3);
}

#[test]
fn a_crash_takes_rows_and_checkpoint_back_together() {
    let faults = [Fault::None, Fault::Lie];
    let models = FaultyModels::new(memory().models, script(Operation::Commit(Table::Live), faults));
    let schema = counter("m");
    models.register(&schema).unwrap();
    upsert(&models, &["a"], 1).unwrap();
    upsert(&models, &["a", "b"], 2).unwrap();
    assert_eq!(models.count(&schema.model).unwrap(), 2);
    assert!(models.crash());
    let rows = models.rows(&schema.model, Table::Live, None, 9).unwrap();
    assert_eq!(rows.state.checkpoint, checkpoint(1));
    assert_eq!(rows.rows, [(counter_row(&schema, "a", 1), false)]);
}

#[test]
fn reads_fail_and_never_lie() {
    let faults = [Fault::Lie, Fault::FailAfter, Fault::None];
    let log = FaultyLog::new(memory().log, script(Operation::SafeHead, faults));
    assert!(log.safe_head().is_ok());
    assert!(log.safe_head().is_err());
    assert!(!log.crash());
}

#[test]
fn tampering_is_noted_and_restoring_is_found_by_the_sums() {
    let models = memory().models;
    let (schema, now) = (counter("m"), Timestamp::from_micros(5));
    let (model, a, b, c) = (&schema.model, Key::text("a"), Key::text("b"), Key::text("c"));
    models.register(&schema).unwrap();
    upsert(&*models, &["a", "b"], 1).unwrap();
    let meant = models.load(model, Table::Live, std::slice::from_ref(&a)).unwrap().rows[0].meant;
    let verdict = || models.state(model).unwrap().unwrap().content.verdict;
    let differing = || {
        let mut there = Buckets::default();
        for row in models.scrub(model, Table::Live, None, 9).unwrap() {
            there.get_mut(row.hash.bucket()).add(row.digest.0);
        }
        there.differing(&models.buckets(model, Table::Live).unwrap()).len()
    };
    let write = |key: &Key, row: Option<Row>| models.tamper(model, now, Tamper::Write(key.clone(), row)).unwrap();
    let notes = || models.touched(model, 9).unwrap();
    let settle = |keys: &[Key]| models.settle(model, &as_found(&*models, model, keys).unwrap()).unwrap();

    write(&a, Some(counter_row(&schema, "a", 7)));
    write(&a, None);
    write(&c, Some(counter_row(&schema, "c", 7)));
    let note = |key: &Key, write, meant| Touched { key: key.clone(), write, meant, at: now };
    assert_eq!(notes(), [note(&a, ForeignWrite::Update, meant), note(&c, ForeignWrite::Insert, None)]);
    let of = |keys: &[&Key]| models.notes(model, &keys.iter().copied().cloned().collect::<Vec<_>>()).unwrap();
    assert_eq!((of(&[&c, &b, &c]), of(&[&b])), (vec![note(&c, ForeignWrite::Insert, None)], Vec::new()));
    assert_eq!(verdict(), Verdict::Suspect);
    let intact = |key: &Key| models.get(model, key).unwrap().intact;
    assert_eq!((intact(&a), intact(&b), intact(&c), differing()), (false, true, false, 2));
    settle(&[a.clone(), c.clone()]);
    // What has no digest is nothing the projector wrote, noted or not.
    assert_eq!((intact(&a), intact(&c), verdict()), (true, false, Verdict::Unverified));
    write(&c, None);
    settle(std::slice::from_ref(&c));

    let restore = |key: &Key, row| models.tamper(model, now, Tamper::Restore(key.clone(), row)).unwrap();
    restore(&a, Some(counter_row(&schema, "a", 1)));
    assert_eq!((notes(), differing()), (vec![], 0));
    restore(&b, Some(counter_row(&schema, "b", 0)));
    assert_eq!((notes(), intact(&b), verdict(), differing()), (vec![], true, Verdict::Unverified, 1));

    models.tamper(model, now, Tamper::Unwatch).unwrap();
    write(&a, None);
    assert_eq!((notes(), models.watch(model), models.watch(model)), (vec![], Ok(false), Ok(true)));
    write(&b, None);
    assert_eq!(notes().len(), 1);
    models.begin_build(&schema).unwrap();
    models.swap(model, Content::default()).unwrap();
    assert_eq!((notes(), verdict()), (vec![], Verdict::Unverified));
}

/// Keeps a snapshot of four frames at this position.
fn keep(snapshots: &dyn Snapshots, position: u64) -> crate::Result<()> {
    let mut draft = snapshots.begin(&ModelName::from("m"), Position(position))?;
    for frame in 0..4 {
        draft.write(&[frame])?;
    }
    draft.keep().map(drop)
}

fn frames(mut reading: Box<dyn crate::Frames>) -> crate::Result<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some(frame) = reading.next()? {
        frames.extend(frame);
    }
    Ok(frames)
}

fn kept(snapshots: &dyn Snapshots) -> Vec<(u64, Vec<u8>)> {
    let model = ModelName::from("m");
    let open = |position| frames(snapshots.open(&model, position).unwrap().unwrap()).unwrap();
    let list = snapshots.list(&model).unwrap();
    list.iter().map(|kept| (kept.position.0, open(kept.position))).collect()
}

#[test]
fn a_snapshot_is_kept_half_or_not_or_until_the_crash() {
    let home = memory().snapshots;
    let faults = [Fault::Fail, Fault::Tear, Fault::FailAfter, Fault::Lie];
    let snapshots = FaultySnapshots::new(home, script(Operation::KeepSnapshot, faults));
    keep(&snapshots, 1).unwrap_err();
    keep(&snapshots, 2).unwrap();
    keep(&snapshots, 3).unwrap_err();
    keep(&snapshots, 4).unwrap();
    let on_disk = [(3, vec![0, 1, 2, 3]), (2, vec![0, 1])];
    let cached = (4, vec![0, 1, 2, 3]);
    assert_eq!(kept(&snapshots), [&[cached][..], &on_disk].concat());
    assert!(snapshots.crash());
    assert_eq!(kept(&snapshots), on_disk);
    assert!(!snapshots.crash());
}

#[test]
fn a_removal_that_was_a_lie_is_undone_by_the_crash() {
    let snapshots = FaultySnapshots::new(memory().snapshots, script(Operation::RemoveSnapshot, [Fault::Lie]));
    keep(&snapshots, 1).unwrap();
    snapshots.remove(&ModelName::from("m"), Position(1)).unwrap();
    assert!(kept(&snapshots).is_empty());
    assert!(snapshots.crash());
    assert_eq!(kept(&snapshots).len(), 1);
}

#[test]
fn a_frame_that_was_torn_is_missing_when_it_is_read_back() {
    let faults = [Fault::None, Fault::None, Fault::Tear, Fault::None, Fault::Fail];
    let snapshots = FaultySnapshots::new(memory().snapshots, script(Operation::WriteSnapshot, faults));
    let mut draft = snapshots.begin(&ModelName::from("m"), Position(1)).unwrap();
    (0..3).for_each(|frame| draft.write(&[frame]).unwrap());
    draft.write(&[3]).unwrap_err();
    assert_eq!(frames(draft.read_back().unwrap()).unwrap(), [0, 2]);
    drop(draft);
    assert!(kept(&snapshots).is_empty());
}

#[test]
fn a_snapshot_that_cannot_be_read_fails_at_the_frame() {
    let faults = [Fault::None, Fault::None, Fault::Fail, Fault::Lie];
    let snapshots = FaultySnapshots::new(memory().snapshots, script(Operation::ReadSnapshot, faults));
    keep(&snapshots, 1).unwrap();
    let mut reading = snapshots.open(&ModelName::from("m"), Position(1)).unwrap().unwrap();
    assert_eq!(reading.next(), Ok(Some(vec![0])));
    assert!(matches!(reading.next(), Err(StoreError::Unavailable(_))));
    assert_eq!(reading.next(), Ok(Some(vec![1])), "what failed did nothing, and reads never lie");
}
