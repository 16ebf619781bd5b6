//! Many publishers at once, a full queue, and a writer that must never die.
use super::fixture::{LONG, Running, Stores, eventually, noted, over_log, sent, tally};
use evenkeel::{
    Engine, PublishError, PublishOptions,
    core::{Position, StreamVersion},
    ingest::IngestLimits,
    report::Receipt,
    store::{
        Log, StoreError,
        faulty::{Fault, FaultyLog, Operation},
    },
};
use std::{
    collections::BTreeSet,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::Instant,
};

fn log_of(engine: &Engine) -> Vec<(u64, String)> {
    let events = engine.log(Position::ZERO, 10_000, None).unwrap();
    events.into_iter().map(|event| (event.position, event.id)).collect()
}

/// Of requests that are written together each has its own stamp, and its events know what its writer had seen.
#[test]
fn publishers_at_once_have_each_seen_what_their_own_token_says() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    let publisher = |who: usize| {
        let engine = engine.0.clone();
        move || -> Vec<(u64, Option<u64>)> {
            let mut seen = None;
            let one = |round: usize| {
                let token = seen.as_ref().map(|(token, _): &(String, u64)| engine.token(token).unwrap());
                let events = (0..3).map(|i| noted(&format!("{who}-{round}-{i}"), "k", 1)).collect();
                let options = PublishOptions { token, ..PublishOptions::default() };
                let receipts = engine.publish_blocking(events, options).unwrap();
                let (first, last) = (receipts[0].position.unwrap(), receipts[2].position.unwrap());
                // Half of them say what they have seen, after their first request.
                let next = who.is_multiple_of(2).then(|| (engine.token_after(token, &receipts), last));
                (first, std::mem::replace(&mut seen, next).map(|(_, upto)| upto))
            };
            (0..40).map(one).collect()
        }
    };
    let threads: Vec<_> = (0..8).map(|who| thread::spawn(publisher(who))).collect();
    let requests: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let log = engine.log(Position::ZERO, 10_000, None).unwrap();
    let mut stamps = BTreeSet::new();
    for (first, upto) in requests {
        let saw: Vec<_> = (first..first + 3).map(|position| log[position as usize - 1].saw.clone()).collect();
        assert!(saw.iter().all(|other| *other == saw[0]), "{saw:?}");
        assert_eq!(saw[0].as_ref().map(|saw| saw.position), upto);
        assert!(saw[0].as_ref().is_none_or(|saw| stamps.insert(saw.request.clone())), "{saw:?}");
    }
    assert_eq!(stamps.len(), 4 * 39);
}

#[test]
fn publishers_at_once_get_their_own_receipts_in_order_and_leave_no_hole() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    let publisher = |who: usize| {
        let engine = engine.0.clone();
        move || -> Vec<Receipt> {
            let one = |round: usize| {
                let ids: Vec<_> = (0..3).map(|i| format!("{who}-{round}-{i}")).collect();
                let events = ids.iter().map(|id| sent("s", "Noted", id, id, 1)).collect();
                let receipts = engine.publish_blocking(events, None).unwrap();
                assert_eq!(
                    receipts.iter().map(|receipt| &receipt.id).collect::<Vec<_>>(),
                    ids.iter().collect::<Vec<_>>()
                );
                let positions: Vec<_> = receipts.iter().map(|receipt| receipt.position.unwrap()).collect();
                assert!(positions.windows(2).all(|pair| pair[1] == pair[0] + 1), "{positions:?}");
                receipts
            };
            (0..40).flat_map(one).collect()
        }
    };
    let threads: Vec<_> = (0..8).map(|who| thread::spawn(publisher(who))).collect();
    let receipts: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let told: BTreeSet<_> = receipts.into_iter().map(|receipt| (receipt.position.unwrap(), receipt.id)).collect();
    let log = log_of(&engine);
    assert_eq!(log.iter().map(|(position, _)| *position).collect::<Vec<_>>(), (1..=960).collect::<Vec<_>>());
    assert_eq!(told, log.into_iter().collect());
}

#[test]
fn stopping_among_publishers_loses_nothing_that_was_acknowledged() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    let publisher = |who: usize| {
        let engine = engine.0.clone();
        move || {
            let mut acknowledged = Vec::new();
            for id in 0.. {
                let id = format!("{who}-{id}");
                match engine.publish_blocking(vec![noted(&id, &id, 1)], None) {
                    Ok(_) => acknowledged.push(id),
                    Err(error) => {
                        assert_eq!(error, PublishError::Stopping);
                        break;
                    }
                }
            }
            acknowledged
        }
    };
    let threads: Vec<_> = (0..4).map(|who| thread::spawn(publisher(who))).collect();
    eventually("some events", || engine.health().head > Some(50));
    engine.stop();
    let acknowledged: BTreeSet<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let log: BTreeSet<_> = log_of(&engine).into_iter().map(|(_, id)| id).collect();
    assert!(acknowledged.len() > 40 && log == acknowledged, "{} of {}", log.len(), acknowledged.len());
}

/// Polls once: what is to be submitted is submitted then.
fn poll<F: Future>(future: &mut Pin<&mut F>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_full_queue_is_busy_and_takes_events_again_once_it_is_written() {
    for by_bytes in [false, true] {
        let stores = Stores::new();
        let (entered, open) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (at, until) = (entered.clone(), open.clone());
        // The first transaction with events in it waits until the test lets it go.
        let script = move |operation| {
            if operation == Operation::Transact && !at.swap(true, Ordering::SeqCst) {
                while !until.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
            }
            Fault::None
        };
        let log = Arc::new(FaultyLog::new(stores.memory.log.clone(), Box::new(script)));
        let engine = engine_over(log, |limits| {
            let two = 2 * noted("2", "a", 1).len();
            if by_bytes { limits.waiting_bytes = two } else { limits.waiting_events = 2 }
        });
        let mut first = pin!(engine.publish(vec![noted("1", "a", 1)], None));
        assert!(poll(&mut first).is_pending());
        eventually("it is being written", || entered.load(Ordering::SeqCst));
        let mut second = pin!(engine.publish(vec![noted("2", "a", 1), noted("3", "a", 1)], None));
        assert!(poll(&mut second).is_pending());
        let mut third = pin!(engine.publish(vec![noted("4", "a", 1)], None));
        assert_eq!(poll(&mut third), Poll::Ready(Err(PublishError::Busy)));
        open.store(true, Ordering::SeqCst);
        finish(first);
        finish(second);
        assert_eq!(engine.send(vec![noted("4", "a", 1)])[0].position, Some(4));
    }
}

fn finish(mut future: Pin<&mut impl Future<Output = Result<Vec<Receipt>, PublishError>>>) {
    let mut receipts = None;
    let deadline = Instant::now() + LONG;
    while receipts.is_none() {
        assert!(Instant::now() < deadline, "never written");
        thread::yield_now();
        if let Poll::Ready(ready) = poll(&mut future) {
            receipts = Some(ready);
        }
    }
    assert!(receipts.unwrap().unwrap().iter().all(|receipt| receipt.outcome == "admitted"));
}

fn engine_over(log: Arc<dyn Log>, adjust: impl FnOnce(&mut IngestLimits)) -> Running {
    over_log(log, |options| {
        options.project = false;
        adjust(&mut options.ingest);
    })
}

#[test]
fn a_panic_in_the_writer_is_an_error_and_the_next_event_is_taken() {
    let stores = Stores::new();
    let panics = Arc::new(AtomicBool::new(false));
    let now = panics.clone();
    let script = move |operation| {
        assert!(operation != Operation::Transact || !now.swap(false, Ordering::SeqCst), "a defect of the store");
        Fault::None
    };
    let log = Arc::new(FaultyLog::new(stores.memory.log.clone(), Box::new(script)));
    let engine = engine_over(log, |_| {});
    panics.store(true, Ordering::SeqCst);
    let refused = engine.publish_blocking(vec![noted("1", "a", 1)], None);
    assert!(
        matches!(&refused, Err(PublishError::Store(StoreError::Refused(why))) if why.contains("defect")),
        "{refused:?}"
    );
    assert_eq!(engine.send(vec![noted("1", "a", 1)])[0].position, Some(1));
}

#[test]
fn an_expected_version_is_for_one_event() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    let two = engine.publish_blocking(vec![noted("1", "a", 1), noted("2", "a", 1)], Some(StreamVersion(0)));
    assert_eq!(two, Err(PublishError::NotSingle { events: 2 }));
    assert_eq!(engine.health().head, Some(0), "neither was taken");
    assert_eq!(engine.send(Vec::new()), []);
}
