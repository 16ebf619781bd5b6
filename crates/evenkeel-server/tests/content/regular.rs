//! Regular work is never taken for corruption: 10^5 events, upserts, parked keys, redrives and rebuilds, with the scrub
//! passing all the while.
use super::{
    bent,
    events::{ACCOUNTS, Truth, account, event},
    world::{BATCH, LONG, MODELS, Setup, TODAY, World, eventually},
};
use evenkeel::{
    Options,
    core::{fold::FoldError, quarantine::Decision, reconciliation::Method, row::Cell},
    store::EntryFilter,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

const POISON: &str = "poison";

/// One for each account, and for some another.
const EVENTS: u64 = ACCOUNTS + 1000;

/// Looks at both models until it is told to stop: neither is ever doubted. How often every row of each was found right
/// meanwhile.
fn nothing_is_doubted(world: &World, is_over: &AtomicBool) -> BTreeMap<&'static str, usize> {
    let mut looks = 0;
    let mut passes: BTreeMap<&'static str, BTreeSet<Option<String>>> = BTreeMap::new();
    while !is_over.load(Ordering::SeqCst) {
        for model in MODELS {
            let said = world.drift(model).content;
            assert!(["verified", "unverified"].contains(&said.verdict), "{model} is {}", said.verdict);
            passes.entry(model).or_default().insert(said.verified_as_of);
            // Not more often: it holds the model's turn.
            if looks % 400 == 399 {
                assert_eq!(world.verify(model, false).wrong, [], "{model}");
            }
        }
        looks += 1;
        thread::sleep(Duration::from_millis(20));
    }
    passes.into_iter().map(|(model, found)| (model, found.len() - 1)).collect()
}

#[test]
fn regular_work_is_never_taken_for_corruption() {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let bend: bent::Bend = Arc::new(move |row| {
        let is_poison = matches!(bent::note(row), Cell::Text(note) if note == POISON);
        if is_poison && !is_mended.load(Ordering::SeqCst) {
            return Err(FoldError::Custom("not yet".into()));
        }
        Ok(())
    });
    let options = Options { auto_reconcile: true, scrub_rows_per_second: 60_000, ..Setup::default().options };
    let world = World::start(Setup { options, bend: Some(bend) });
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| nothing_is_doubted(&world, &is_over));
        let worked = scope.spawn(|| work(&world, &mended)).join();
        is_over.store(true, Ordering::SeqCst);
        let passes = watch.join().unwrap();
        worked.unwrap();
        eprintln!("passes: {passes:?}");
        assert!(passes.values().all(|passes| *passes >= 3), "{passes:?}");
    });
    let truth = Truth::of(0..TODAY + EVENTS);
    for model in MODELS {
        let found = world.verify(model, true);
        assert_eq!((found.wrong_rows, found.verdict), (0, "verified"));
    }
    assert!(world.rows("stock") == truth.rows("stock"), "rows of stock are not as computed");
    let methods: Vec<_> = world.reconciliations().iter().map(|done| done.reconciliation_method).collect();
    assert_eq!(methods, [Method::Rebuild, Method::Rebuild]);
}

/// 10^5 events, of which one poisons a key that later ones wait behind; then it is redriven. Both models are rebuilt
/// meanwhile.
fn work(world: &World, mended: &AtomicBool) {
    let end = TODAY + EVENTS;
    let poison = TODAY + 77;
    let mut from = TODAY;
    while from < end {
        let to = (from + BATCH).min(end);
        world.send((from..to).map(|n| event(n, (n == poison).then_some(POISON))).collect());
        from = to;
        if from == TODAY + BATCH {
            rebuilt(world, "accounts");
        }
        if from == TODAY + 2 * BATCH {
            rebuilt(world, "stock");
        }
    }
    eventually("both models at the head", LONG, || MODELS.iter().all(|model| world.drift(model).lag_count == Some(0)));
    let parked = world.engine.quarantine(&EntryFilter::default()).unwrap();
    let reasons: Vec<_> = parked.iter().map(|entry| (entry.reason, entry.key.as_deref())).collect();
    let key = account(poison % ACCOUNTS);
    assert_eq!(reasons, [("projection_error", Some(key.as_str())), ("held_behind", Some(key.as_str()))]);
    mended.store(true, Ordering::SeqCst);
    let decision = Decision { author: "test".into(), note: "mended".into() };
    let redriven = world.engine.redrive(&parked[0].id, decision).unwrap();
    assert_eq!((redriven.state, redriven.released), ("admitted", 1));
}

fn rebuilt(world: &World, model: &str) {
    let record = world.engine.reconcile(model, Some(Method::Rebuild)).unwrap();
    assert_eq!((record.result.as_str(), record.error, record.verified), ("converged", None, true));
}
