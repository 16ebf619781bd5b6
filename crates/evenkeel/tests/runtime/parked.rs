//! Decisions about everything that a model parked: each row for itself, and as if it were the only one.
use super::fixture::{Running, Stores, Tally, decision, noted, sent, start_in, tally};
use evenkeel::{
    EngineError, Which,
    core::{fold::FoldError, freshness::Level, quarantine::Reason},
    quarantine::bulk::Verb,
    report::BulkReport,
    store::{EntryFilter, faulty::Operation, sqlite::execute_as_stranger},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// A tally that cannot apply 13 until it is mended, and 66 never.
fn breaking() -> (Tally, Arc<AtomicBool>) {
    let mended = Arc::new(AtomicBool::new(false));
    let is = mended.clone();
    let fold = tally().before(move |n, _| match n {
        66 => Err(FoldError::Custom("never".into())),
        13 if !is.load(Ordering::SeqCst) => Err(FoldError::Custom("not yet".into())),
        _ => Ok(()),
    });
    (fold, mended)
}

/// Rows of which each has one event that is applied, one that is parked, and one that waits behind it.
fn fill(engine: &Running, rows: usize) {
    let of = |row: usize| [1, 13, 2].map(|n| noted(&format!("{row}-{n}"), &format!("row {row:03}"), n));
    engine.send((0..rows).flat_map(of).collect());
    engine.settle();
}

fn decide(engine: &Running, filter: &EntryFilter, after: Option<&str>, verb: Verb, really: bool) -> BulkReport {
    engine.decide_all_parked("tally", filter, after, verb, really.then(decision).as_ref()).unwrap()
}

/// How many came to what.
fn counts(report: &BulkReport) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    report.entries.iter().for_each(|entry| *counts.entry(entry.outcome).or_default() += 1);
    counts
}

#[test]
fn all_that_was_parked_goes_on_once_it_can_be_applied_page_by_page() {
    let stores = Stores::new();
    let (fold, mended) = breaking();
    let engine = stores.start(fold, |_| {});
    fill(&engine, 130);
    let all = EntryFilter::default();
    let before = engine.quarantine(&all).unwrap();
    let trial = decide(&engine, &all, None, Verb::Redrive, false);
    assert_eq!((trial.dry_run, counts(&trial)), (true, BTreeMap::from([("would_refuse", 130)])));
    assert_eq!(
        (trial.entries[7].reason, trial.entries[7].detail.as_deref()),
        (Some("projection_error"), Some("not yet"))
    );
    let refused = decide(&engine, &EntryFilter { limit: 2, ..all.clone() }, None, Verb::Redrive, true);
    assert_eq!(
        (counts(&refused), refused.entries[0].detail.as_deref()),
        (BTreeMap::from([("refused", 2)]), Some("not yet"))
    );
    assert_eq!(engine.quarantine_entry(&refused.entries[0].id).unwrap().author.as_deref(), Some("test"));

    mended.store(true, Ordering::SeqCst);
    assert_eq!(counts(&decide(&engine, &all, None, Verb::Redrive, false)), BTreeMap::from([("would_admit", 130)]));
    assert_eq!(engine.quarantine(&all).unwrap().len(), before.len(), "a trial changes nothing");
    let (mut after, mut ids) = (None, Vec::new());
    loop {
        let page = decide(&engine, &EntryFilter { limit: 60, ..all.clone() }, after.as_deref(), Verb::Redrive, true);
        assert!(page.entries.iter().all(|entry| (entry.outcome, entry.released) == ("admitted", 1)), "{page:?}");
        assert!(page.entries.iter().all(|entry| entry.id.contains(&format!("-{}.", entry.position.unwrap()))));
        ids.extend(page.entries.iter().map(|entry| entry.id.clone()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let parked = before.iter().filter(|entry| entry.reason == "projection_error").map(|entry| entry.id.clone());
    assert_eq!(ids, parked.collect::<Vec<_>>(), "each once, in log order");
    assert!(engine.quarantine(&all).unwrap().is_empty());
    assert_eq!((engine.sum("row 000", Level::Strong), engine.sum("row 129", Level::Eventual)), (Some(16), Some(16)));
    assert_eq!((engine.drift_of("tally").parked_events, engine.wrong_rows()), (0, 0));
}

#[test]
fn only_what_the_filter_names_is_given_up() {
    let stores = Stores::new();
    let engine = stores.start(breaking().0, |_| {});
    fill(&engine, 3);
    engine.send(vec![sent("t", "Noted", "1", "of t", 66), sent("t", "Critical", "2", "critical", 66)]);
    engine.settle();
    let all = EntryFilter::default();
    let given = |filter: EntryFilter| counts(&decide(&engine, &filter, None, Verb::Discard, false));
    let would = |n| BTreeMap::from([("would_discard", n)]);
    assert_eq!(given(all.clone()), would(5));
    assert_eq!(given(EntryFilter { source: Some("t".into()), ..all.clone() }), would(2));
    assert_eq!(given(EntryFilter { event_type: Some("noted".into()), ..all.clone() }), would(4));
    assert_eq!(given(EntryFilter { contract_version: Some(2), ..all.clone() }), BTreeMap::new());
    assert_eq!(given(EntryFilter { reason: Some(Reason::HeldBehind), ..all.clone() }), BTreeMap::new());
    let at = engine.quarantine(&all).unwrap()[0].received_at.parse().unwrap();
    assert_eq!(given(EntryFilter { until: Some(at), ..all.clone() }), BTreeMap::new());
    assert_eq!(given(EntryFilter { since: Some(at), ..all.clone() }), would(5));

    let of_t = EntryFilter { source: Some("t".into()), ..all.clone() };
    assert_eq!(counts(&decide(&engine, &of_t, None, Verb::Discard, true)), BTreeMap::from([("discarded", 2)]));
    assert_eq!(counts(&decide(&engine, &of_t, None, Verb::Discard, true)), BTreeMap::new(), "not a second time");
    let which = Which { model: Some("tally"), whole: false };
    let listed = engine.quarantine_page(&all, None, which).unwrap();
    assert_eq!(listed.iter().filter(|entry| entry.state == "discarded").count(), 2);
    assert_eq!(listed.iter().filter(|entry| entry.state == "quarantined").count(), 3);
    // What waited behind the others goes on without them.
    let rest = decide(&engine, &all, None, Verb::Discard, true);
    assert_eq!((rest.entries.len(), rest.entries[0].released), (3, 1));
    assert_eq!(engine.sum("row 001", Level::Strong), Some(3));
    assert_eq!(engine.wrong_rows(), 0);

    for after in ["q-1", "p-other-1.0.0", "p-tally-1", ""] {
        let wrong = engine.decide_all_parked("tally", &all, Some(after), Verb::Discard, None);
        assert!(matches!(wrong, Err(EngineError::NoEntry(_))), "{after}: {wrong:?}");
    }
    assert!(matches!(
        engine.decide_all_parked("nobody", &all, None, Verb::Discard, None),
        Err(EngineError::NoModel(_))
    ));
    assert!(engine.quarantine_page(&all, None, Which { model: Some("nobody"), whole: false }).is_err());
}

/// A row that somebody else has edited is not folded over; that holds up none of the others.
#[test]
fn a_row_that_must_be_mended_first_does_not_keep_the_others_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let (fold, mended) = breaking();
    let engine = start_in(folder.path(), fold, |options| options.auto_reconcile = false);
    fill(&engine, 3);
    execute_as_stranger(folder.path(), "UPDATE tally SET sum = 99 WHERE key = 'row 001'").unwrap();
    mended.store(true, Ordering::SeqCst);
    let done = decide(&engine, &EntryFilter::default(), None, Verb::Redrive, true);
    let outcomes: Vec<_> = done.entries.iter().map(|entry| entry.outcome).collect();
    assert_eq!(outcomes, ["admitted", "refused", "admitted"], "{done:?}");
    assert!(done.entries[1].detail.as_ref().unwrap().contains("reconcile the model first"));
    // The repair folds the row anew, and with it what was parked.
    engine.reconcile("tally", None).unwrap();
    assert_eq!(decide(&engine, &EntryFilter::default(), None, Verb::Redrive, true).entries, []);
    assert_eq!((engine.sum("row 001", Level::Strong), engine.wrong_rows()), (Some(16), 0));
}

/// A line behind one row that is longer than any piece of it that is read at once.
#[test]
fn a_long_line_is_gone_through_in_order_as_far_as_it_goes() {
    let stores = Stores::new();
    let (fold, mended) = breaking();
    let engine = stores.start(fold, |_| {});
    let n = |at: u64| if at == 30 { 66 } else { 13 };
    engine.send((0..100).map(|at| noted(&at.to_string(), "a", n(at))).collect());
    engine.settle();
    mended.store(true, Ordering::SeqCst);
    let done = engine.redrive("p-tally-1.0.0", decision()).unwrap();
    assert_eq!((done.state, done.released), ("admitted", 29));
    assert_eq!(engine.sum("a", Level::Eventual), Some(30 * 13));
    let first = engine.quarantine_entry("p-tally-31.0.0").unwrap();
    assert_eq!((first.state, first.detail.as_str(), first.held_behind), ("quarantined", "never", 69));
    assert_eq!(engine.quarantine_entry("p-tally-32.0.0").unwrap().state, "held");
    let done = engine.discard("p-tally-31.0.0", decision()).unwrap();
    assert_eq!((done.state, done.released), ("discarded", 69));
    assert_eq!((engine.sum("a", Level::Strong), engine.wrong_rows()), (Some(99 * 13), 0));
    assert_eq!(engine.drift_of("tally").parked_events, 0);
}

/// Each event that is given up makes the next one of its row the first: deciding about all of them reads what waits a few
/// times over, and not once for each.
#[test]
fn what_deciding_about_all_costs_does_not_grow_with_what_waits() {
    const EVENTS: usize = 1000;
    let stores = Stores::new();
    let engine = stores.start(breaking().0, |_| {});
    engine.send((0..EVENTS).map(|at| noted(&at.to_string(), "a", 66)).collect());
    engine.settle();
    assert_eq!(engine.drift_of("tally").parked_events, EVENTS as u64);
    let calls = || [Operation::ReadLog, Operation::ReadParks].map(|of| stores.faults.calls(of));
    let before = calls();
    let done = decide(&engine, &EntryFilter::default(), None, Verb::Discard, true);
    assert_eq!(counts(&done), BTreeMap::from([("discarded", EVENTS)]));
    let [events, parks] = calls();
    assert!(events - before[0] < 15 * EVENTS && parks - before[1] < 5 * EVENTS, "{before:?}, {events}, {parks}");
    assert_eq!((engine.drift_of("tally").parked_events, engine.sum("a", Level::Strong)), (0, None));
}
