//! Folds written by users, with the mistakes that users make.
use super::fixture::{Stores, Tally, decision, noted, start_in, tally};
use evenkeel::{
    EngineError, Model,
    core::{
        Event,
        fold::{Fold, FoldError, Touch},
        freshness::Level,
        row::{Cell, Key, Row},
        schema::Schema,
    },
    store::{EntryFilter, StoreError},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

#[test]
fn a_fold_that_panics_parks_its_row_and_the_others_go_on() {
    let stores = Stores::new();
    let fold = tally().before(|n, _| {
        assert_ne!(n, 13, "thirteen");
        Ok(())
    });
    let engine = stores.start(fold, |_| {});
    engine.send(vec![noted("1", "a", 1), noted("2", "a", 13), noted("3", "a", 1), noted("4", "b", 2)]);
    engine.settle();
    assert_eq!((engine.sum("a", Level::Eventual), engine.sum("b", Level::Strong)), (Some(1), Some(2)));
    let parked = engine.quarantine(&EntryFilter::default()).unwrap();
    assert_eq!(parked.iter().map(|entry| entry.reason).collect::<Vec<_>>(), ["projection_error", "held_behind"]);
    assert!(parked[0].detail.contains("panicked") && parked[0].detail.contains("thirteen"), "{}", parked[0].detail);
    assert_eq!(engine.drift_of("tally").status, "in_sync");
    assert_eq!(engine.wrong_rows(), 0);
}

#[test]
fn rows_that_do_not_fit_the_schema_are_parked_rather_than_refused_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let fold = tally().before(|n, row| {
        match n {
            1 => row.cells[1] = Cell::Text("one".into()),
            2 => drop(row.cells.pop()),
            3 => row.cells[0] = Cell::Text("somebody else".into()),
            _ => {}
        }
        Ok(())
    });
    let engine = start_in(folder.path(), fold, |_| {});
    engine.send((1..=4).map(|n| noted(&n.to_string(), &format!("k{n}"), n)).collect());
    engine.settle();
    assert_eq!(engine.drift_of("tally").parked_events, 3);
    assert_eq!((engine.sum("k1", Level::Eventual), engine.sum("k4", Level::Eventual)), (None, Some(4)));
    let parked = engine.quarantine(&EntryFilter::default()).unwrap();
    for (entry, says) in parked.iter().zip(["column sum, which is i64", "a row of 1 cells", "somebody else"]) {
        assert!(entry.detail.contains(says), "{}", entry.detail);
    }
    assert_eq!(engine.wrong_rows(), 0);
}

/// Names its rows in ways that cannot be.
struct Misnaming(Tally);

impl Fold for Misnaming {
    fn schema(&self) -> &Schema {
        self.0.schema()
    }

    fn touches(&self, event: &Event, out: &mut Vec<Touch>) {
        self.0.touches(event, out);
        match event.draft.subject.as_str() {
            "twice" => out.push(Touch { key: Ok(Key::text("other")), clause: 0, element: 0 }),
            "long" => out[0].key = Ok(Key([Key::text("a").0, Key::text("b").0].concat().into())),
            _ => {}
        }
    }

    fn apply(&self, slot: &mut Option<Row>, event: &Event, touch: &Touch, key: &Key) -> Result<(), FoldError> {
        self.0.apply(slot, event, touch, key)
    }
}

#[test]
fn rows_that_cannot_be_named_are_parked_and_the_others_go_on() {
    let stores = Stores::new();
    let engine = stores.try_start(vec![Model::new(Misnaming(tally()))], |_| {}).unwrap();
    engine.send(["twice", "long", "well"].iter().map(|key| noted(key, key, 1)).collect());
    engine.settle();
    let parked = engine.quarantine(&EntryFilter::default()).unwrap();
    assert_eq!(parked.len(), 2);
    assert!(parked[0].detail.contains("same clause"), "{}", parked[0].detail);
    assert!(parked[1].detail.contains("a key of 2 parts"), "{}", parked[1].detail);
    assert_eq!((engine.sum("well", Level::Eventual), engine.sum("other", Level::Eventual)), (Some(1), None));
    assert_eq!(engine.wrong_rows(), 0);
}

#[test]
fn a_parked_event_that_can_be_applied_now_is_redriven_with_all_that_waits_behind_it() {
    let stores = Stores::new();
    let mended = Arc::new(AtomicBool::new(false));
    let is = mended.clone();
    let fold = tally().before(move |n, _| match n {
        2 if !is.load(Ordering::SeqCst) => Err(FoldError::Custom("not yet".into())),
        _ => Ok(()),
    });
    let engine = stores.start(fold, |_| {});
    engine.send((1..=4).map(|n| noted(&n.to_string(), "a", n)).collect());
    engine.settle();
    let parked = engine.quarantine(&EntryFilter::default()).unwrap();
    assert_eq!((parked.len(), engine.quarantine_entry(&parked[0].id).unwrap().held_behind), (3, 2));
    let still = engine.redrive(&parked[0].id, decision()).unwrap();
    assert_eq!((still.state, still.detail.as_deref(), still.released), ("quarantined", Some("not yet"), 0));
    assert!(matches!(engine.redrive(&parked[1].id, decision()), Err(EngineError::EntryState { .. })));

    mended.store(true, Ordering::SeqCst);
    let through = engine.redrive(&parked[0].id, decision()).unwrap();
    assert_eq!((through.state, through.position, through.released), ("admitted", Some(2), 2));
    assert_eq!((engine.sum("a", Level::Eventual), engine.sum("a", Level::Strong)), (Some(10), Some(10)));
    assert_eq!((engine.drift_of("tally").parked_events, engine.wrong_rows()), (0, 0));
    assert!(matches!(engine.redrive(&parked[0].id, decision()), Err(EngineError::NoEntry(_))));
}

#[test]
fn two_models_of_one_name_are_refused() {
    let stores = Stores::new();
    let both = vec![Model::new(tally()), Model::new(tally())];
    let refused = stores.try_start(both, |_| {}).err();
    assert!(matches!(refused, Some(EngineError::Store(StoreError::Refused(_)))), "{refused:?}");
}
