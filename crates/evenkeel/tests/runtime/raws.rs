//! Events are kept as they were sent, for as long as was asked for.
use super::fixture::{LONG, Stores, decision, eventually, noted, tally};
use evenkeel::{
    core::Position,
    store::{Log, faulty::Operation},
};
use std::time::Duration;

fn kept(log: &dyn Log) -> Vec<Vec<u8>> {
    log.raws(Position::ZERO, 1000).unwrap().into_iter().map(|kept| kept.raw).collect()
}

#[test]
fn what_is_admitted_is_kept_as_it_was_sent_unless_nobody_wants_it() {
    for keep in [Duration::MAX, Duration::ZERO] {
        let stores = Stores::new();
        let engine = stores.start(tally(), |options| options.keep_raw = keep);
        let spaced = [b" ".as_slice(), &noted("1", "a", 1)].concat();
        engine.send(vec![spaced.clone(), noted("2", "a", -1), noted("3", "b", 1)]);
        let expected = if keep.is_zero() { Vec::new() } else { vec![spaced, noted("3", "b", 1)] };
        assert_eq!(kept(&*stores.memory.log), expected);
    }
}

#[test]
fn it_is_forgotten_when_it_is_old_and_the_events_stay() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    engine.send((0..5000).map(|n| noted(&n.to_string(), "a", 1)).collect());
    assert_eq!(kept(&*stores.memory.log).len(), 1000, "a page of them");
    drop(engine);
    let engine = stores.start(tally(), |options| options.keep_raw = Duration::from_micros(1));
    eventually("all of it is forgotten", || kept(&*stores.memory.log).is_empty());
    assert!(stores.faults.calls(Operation::ForgetRaws) >= 3, "in pieces");
    engine.settle();
    assert_eq!(engine.log(Position(4999), 10, None).unwrap().len(), 1);
    // What is kept from now on is kept by the time that is set now.
    drop(engine);
    let engine = stores.start(tally(), |_| {});
    engine.send(vec![noted("late", "a", 1)]);
    assert_eq!(kept(&*stores.memory.log).len(), 1);
}

#[test]
fn nobody_keeps_it_either_who_delivers_later_what_had_to_wait() {
    for keep in [Duration::MAX, Duration::ZERO] {
        let stores = Stores::new();
        let engine = stores.start(tally(), |options| {
            options.keep_raw = keep;
            options.ingest.causal_timeout = LONG;
        });
        let second = String::from_utf8(noted("2", "a", 1)).unwrap().replacen('{', r#"{"vclock":"s=2","#, 1);
        assert_eq!(engine.send(vec![second.clone().into_bytes()])[0].outcome, "waiting");
        assert_eq!(engine.skip("s", (1, 1), &decision()).unwrap().released, 1);
        let expected = if keep.is_zero() { Vec::new() } else { vec![second.into_bytes()] };
        assert_eq!(kept(&*stores.memory.log), expected);
    }
}
