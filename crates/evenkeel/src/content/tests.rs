//! More rows noted than one look takes in: what was not looked at is never taken for right.
use super::*;
use crate::{
    projector::{
        Projector,
        tests::{Does, fold, now, store_of},
    },
    repair::repair,
};
use evenkeel_core::{drift::Verdict, fold::Declared, row::Cell};
use evenkeel_store::memory::{MemoryStore, Tamper};
use std::sync::Arc;

const ROWS: u8 = 50;

/// A table with so many rows, of which others have written to all and those of `changed` are another sum then.
fn noted(changed: impl Fn(u8) -> bool) -> (MemoryStore, Declared) {
    let store = store_of(&(0..ROWS).map(|key| (key, Does::Adds(3))).collect::<Vec<_>>());
    let model = &fold().schema().model.clone();
    store.models.register(fold().schema()).unwrap();
    let mut projector = Projector::open(Arc::new(fold()), &*store.models, Table::Live, usize::MAX).unwrap();
    projector.advance(&*store.log, &*store.models, now(), None).unwrap();
    for n in 0..ROWS {
        let key = Key::text(format!("k{n}").as_str());
        let mut row = store.models.get(model, &key).unwrap().row.unwrap();
        if changed(n) {
            row.cells[1] = Cell::I64(4);
        }
        store.models.tamper(model, now(), Tamper::Write(key, Some(row))).unwrap();
    }
    (store, fold())
}

fn looked<T>(store: &MemoryStore, fold: &Declared, depth: Depth, then: impl FnOnce(&Checker<'_>, Checked) -> T) -> T {
    let checker = Checker { log: &*store.log, models: &*store.models, fold, now: now() };
    let checked = check_live(&checker, depth, &[], &mut || ControlFlow::Continue(())).unwrap();
    then(&checker, checked)
}

fn verdict(store: &MemoryStore) -> Verdict {
    store.models.state(&fold().schema().model).unwrap().unwrap().content.verdict
}

#[test]
fn notes_of_rows_that_are_right_are_settled_however_many_there_are() {
    for depth in [Depth::Suspected, Depth::Sums, Depth::Full] {
        let (store, fold) = noted(|n| n == 9);
        looked(&store, &fold, depth, |checker, checked| {
            assert_eq!((checked.wrong_rows, checked.truncated, checked.wrong_in_words()), (1, false, "1".to_owned()));
            assert!(repair(checker, &checked, true, None).unwrap().verified);
        });
        assert_ne!(verdict(&store), Verdict::Suspect, "{depth:?}");
        assert_eq!(store.models.touched(&fold.schema().model, 99).unwrap(), []);
    }
}

#[test]
fn of_more_wrong_rows_than_are_looked_at_it_is_said_that_there_are_more() {
    let (store, fold) = noted(|_| true);
    looked(&store, &fold, Depth::Suspected, |checker, checked| {
        assert_eq!((checked.wrong.len(), checked.truncated), (NOTES, true));
        assert_eq!(checked.wrong_in_words(), format!("at least {NOTES}"));
        assert!(!repair(checker, &checked, true, None).unwrap().verified, "the others are wrong");
    });
    assert_eq!(verdict(&store), Verdict::Suspect);
    looked(&store, &fold, Depth::Full, |checker, checked| {
        assert_eq!((checked.wrong_rows, checked.truncated), (u64::from(ROWS) - NOTES as u64, true));
        assert_eq!(conclude(checker, &checked, false, None).unwrap().verdict, Verdict::Drifted);
    });
}

#[test]
fn nothing_is_concluded_from_a_look_at_some_of_what_is_suspected() {
    let (store, fold) = noted(|_| false);
    let checker = Checker { log: &*store.log, models: &*store.models, fold: &fold, now: now() };
    let mut checked = checker.check(Depth::Full, &[], &mut || ControlFlow::Continue(())).unwrap().unwrap();
    assert!(checked.truncated && checked.wrong.is_empty());
    checked.cleared.clear();
    assert_eq!(conclude(&checker, &checked, true, None).unwrap().verdict, Verdict::Suspect);
}

#[test]
fn an_event_that_a_wrong_row_took_is_parked_once_the_row_is_back() {
    let store = store_of(&[(0, Does::Adds(i64::MAX)), (0, Does::Adds(1))]);
    let (fold, models, key) = (fold(), &*store.models, Key::text("k0"));
    let model = &fold.schema().model.clone();
    models.register(fold.schema()).unwrap();
    let mut projector = Projector::open(Arc::new(fold.clone()), models, Table::Live, 1).unwrap();
    let mut advance = || projector.advance(&*store.log, models, now(), None).unwrap();
    advance();
    let right = models.get(model, &key).unwrap().row;
    models.tamper(model, now(), Tamper::Restore(key.clone(), None)).unwrap();
    // On its own it can be applied.
    advance();
    assert_eq!(models.parks(model, None).unwrap(), []);
    models.tamper(model, now(), Tamper::Restore(key.clone(), right.clone())).unwrap();
    looked(&store, &fold, Depth::Full, |checker, checked| {
        let keys: Vec<&Key> = checked.wrong.iter().map(|wrong| &wrong.row.key).collect();
        assert_eq!(keys, [&key]);
        assert!(repair(checker, &checked, true, None).unwrap().verified);
    });
    let parked: Vec<u64> = models.parks(model, None).unwrap().iter().map(|park| park.touch.position.0).collect();
    assert_eq!((parked, models.get(model, &key).unwrap().row), (vec![2], right));
}
