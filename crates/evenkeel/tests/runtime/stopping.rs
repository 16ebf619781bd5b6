//! An engine that stops while something takes long.
use super::fixture::{Stores, eventually, noted, tally};
use evenkeel::EngineError;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

#[test]
fn a_verification_at_work_is_called_off() {
    let stores = Stores::new();
    let (slow, at, go) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (is_slow, entered, may_go) = (slow.clone(), at.clone(), go.clone());
    let fold = tally().before(move |_, _| {
        if is_slow.load(Ordering::SeqCst) && !entered.swap(true, Ordering::SeqCst) {
            while !may_go.load(Ordering::SeqCst) {
                thread::yield_now();
            }
        }
        Ok(())
    });
    let engine = stores.start(fold, |_| {});
    // More than the log is read by at a time.
    engine.send((0..6000).map(|id| noted(&id.to_string(), "a", 1)).collect());
    engine.settle();
    slow.store(true, Ordering::SeqCst);
    let verifier = engine.0.clone();
    let verifying = thread::spawn(move || verifier.verify("tally", true));
    eventually("it folds", || at.load(Ordering::SeqCst));
    let stopper = engine.0.clone();
    let stopping = thread::spawn(move || stopper.stop());
    eventually("the engine is stopping", || engine.health().problems.iter().any(|line| line.contains("stopping")));
    go.store(true, Ordering::SeqCst);
    let called_off = verifying.join().unwrap();
    assert!(matches!(&called_off, Err(EngineError::Method(why)) if why.contains("called off")), "{called_off:?}");
    stopping.join().unwrap();
    assert!(matches!(engine.start_projector("tally"), Err(EngineError::Thread(_))), "a stopped engine stays stopped");
    assert!(engine.get("tally", &["a"], evenkeel::reader::ReadOptions::default()).is_ok());
}

#[test]
fn starts_and_stops_of_a_projector_at_once_end_in_one_of_the_two() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    let threads: Vec<_> = (0..4)
        .map(|who| {
            let engine = engine.0.clone();
            thread::spawn(move || {
                for _ in 0..200 {
                    match who % 2 {
                        0 => engine.start_projector("tally").unwrap(),
                        _ => engine.stop_projector("tally", "for the test").unwrap(),
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    engine.start_projector("tally").unwrap();
    engine.send(vec![noted("1", "a", 1)]);
    engine.settle();
    eventually("in sync", || engine.drift_of("tally").status == "in_sync");
}
