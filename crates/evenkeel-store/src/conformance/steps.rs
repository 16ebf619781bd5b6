//! Cases: rows, parks and checkpoint move together or not at all, and readers see them of one moment.
use super::{
    Failure, Outcome, Stores, ensure,
    fixture::{at, checkpoint, counter, counter_row, new_rows},
    join_all, same,
};
use crate::{Measured, ModelState, Models, ParkFilter, Parked, ParkedRow, Removal, Step, StoreError, Table};
use evenkeel_core::{
    EventId, ModelName, Position,
    checkpoint::Checkpoint,
    drift::{Content, Status},
    fold::{Park, ParkState, TouchId},
    quarantine::Decision,
    row::Key,
    schema::Schema,
};
use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// An event at `position` parked for the row `key`.
pub(super) fn park(position: u64, clause: u16, element: u32, key: Option<&str>, state: ParkState) -> Park {
    Park {
        touch: TouchId { position: Position(position), clause, element },
        key: key.map(Key::text),
        event_id: EventId::of("shop", &position.to_string()),
        state,
        error: format!("событие {position} \"cannot\" be applied"),
        at: at(1000 - position as i64),
        // As a redrive in vain leaves one that is parked still.
        decision: (state != ParkState::Held && position.is_multiple_of(2))
            .then(|| Decision { author: format!("аня {position}"), note: "it's \"wrong\"".into() }),
    }
}

/// A step from the state there is.
pub(super) fn next(models: &dyn Models, schema: &Schema) -> Result<Step, Failure> {
    let ModelState { generation, checkpoint, .. } = models.register(schema)?;
    Ok(Step { generation, checkpoint, ..Step::default() })
}

/// The step with these rows set to `n`.
pub(super) fn with_rows(step: Step, schema: &Schema, keys: &[&str], n: i64) -> Step {
    let upserts = new_rows(keys.iter().map(|key| (Key::text(*key), counter_row(schema, key, n))));
    Step { upserts, checkpoint: checkpoint(n as u64), ..step }
}

/// The rows of a table of [`counter`] by key and number.
pub(super) fn numbers(models: &dyn Models, schema: &Schema, table: Table) -> Result<Vec<(String, String)>, Failure> {
    let rows = models.rows(&schema.model, table, None, 1000)?.rows;
    let pair = |(row, _): (evenkeel_core::row::Row, bool)| {
        (Key::of(schema, &row).to_string(), row.cells[1].to_json().to_string())
    };
    Ok(rows.into_iter().map(pair).collect())
}

pub(super) fn pairs(expected: &[(&str, i64)]) -> Vec<(String, String)> {
    expected.iter().map(|(key, n)| ((*key).to_owned(), n.to_string())).collect()
}

/// A step writes its rows, deletes, parks and checkpoint, and the generation grows by one.
///
/// # Errors
/// What the store did instead.
pub fn a_step_moves_everything_together(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let first = models.register(&schema)?;
    let empty = ModelState {
        schema: schema.clone(),
        checkpoint: Checkpoint::default(),
        generation: first.generation,
        content: Content::default(),
        doubts: 0,
        parked: Parked::default(),
        as_of: None,
        build: None,
        previous: None,
        condemned: None,
        rolled_back_from: None,
    };
    same("a new model", first.clone(), empty)?;
    models.commit(&schema.model, Table::Live, &with_rows(next(models, &schema)?, &schema, &["a", "b"], 1))?;
    let step = Step {
        deletes: ["a", "never there"].map(|key| Removal::new(Key::text(key))).to_vec(),
        parks: vec![park(2, 0, 0, Some("p"), ParkState::Poison)],
        measured: Some(measured(at(50))),
        ..with_rows(next(models, &schema)?, &schema, &["b", "c"], 2)
    };
    models.commit(&schema.model, Table::Live, &step)?;
    same("the rows", numbers(models, &schema, Table::Live)?, pairs(&[("b", 2), ("c", 2)]))?;
    let expected = ModelState {
        checkpoint: checkpoint(2),
        generation: first.generation + 2,
        parked: Parked { events: 1, oldest_at: Some(at(998)) },
        as_of: Some(at(50)),
        ..first
    };
    same("the state", models.state(&schema.model)?, Some(expected.clone()))?;
    same("the state in a read", models.get(&schema.model, &Key::text("b"))?.state, expected.clone())?;
    same("the state in a page", models.rows(&schema.model, Table::Live, None, 1)?.state, expected.clone())?;
    models.commit(&schema.model, Table::Live, &next(models, &schema)?)?;
    let moved = ModelState { generation: expected.generation + 1, ..expected };
    same("the state after an empty step", models.state(&schema.model)?, Some(moved))
}

/// A measured distance with this as its `as_of`.
pub(super) fn measured(as_of: evenkeel_core::Timestamp) -> Measured {
    Measured {
        head: Position(9),
        lag_count: Some(3),
        oldest_unapplied: Some(at(-1)),
        as_of: Some(as_of),
        status: Some(Status::Stalled),
        reason: Some("it's slow".into()),
        at: at(60),
    }
}

/// A step made for another generation is refused with both generations, and nothing of it is written.
///
/// # Errors
/// What the store did instead.
pub fn a_step_on_another_generation_writes_nothing(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let stale = next(models, &schema)?;
    models.commit(&schema.model, Table::Live, &with_rows(stale.clone(), &schema, &["a"], 1))?;
    let before = models.state(&schema.model)?;
    let found = stale.generation + 1;
    for expected in [stale.generation, found + 1, u64::MAX >> 1] {
        let step = Step {
            generation: expected,
            deletes: vec![Removal::new(Key::text("a"))],
            parks: vec![park(3, 0, 0, Some("a"), ParkState::Poison)],
            measured: Some(measured(at(70))),
            ..with_rows(stale.clone(), &schema, &["b"], 3)
        };
        let conflict = StoreError::Conflict { model: schema.model.clone(), expected, found };
        same("a step on another generation", models.commit(&schema.model, Table::Live, &step), Err(conflict))?;
        same("the rows", numbers(models, &schema, Table::Live)?, pairs(&[("a", 1)]))?;
        same("the state", models.state(&schema.model)?, before.clone())?;
        same("the parks", models.parks(&schema.model, None)?, Vec::new())?;
    }
    Ok(())
}

/// Of steps made at once from one generation one is written, whole.
///
/// # Errors
/// What the store did instead.
pub fn of_concurrent_writers_one_wins(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    for round in 1..=5i64 {
        let step = next(models, &schema)?;
        let write = |writer: i64| {
            let step = with_rows(step.clone(), &schema, &["a", "b", "c"], round * 10 + writer);
            Ok((writer, models.commit(&schema.model, Table::Live, &step)))
        };
        let results = thread::scope(|scope| {
            let write = &write;
            join_all((0..4).map(|writer| scope.spawn(move || write(writer))).collect::<Vec<_>>())
        })?;
        let winners: Vec<_> = results.iter().filter(|(_, result)| result.is_ok()).map(|(writer, _)| *writer).collect();
        let lost = |result: &Result<_, StoreError>| match result {
            Err(StoreError::Conflict { expected, .. }) => *expected == step.generation,
            _ => false,
        };
        same("those who lost", results.iter().filter(|(_, result)| lost(result)).count(), 3)?;
        let [winner] = winners[..] else { return Err(Failure::new(format!("{winners:?} won one generation"))) };
        let n = round * 10 + winner;
        same("the rows", numbers(models, &schema, Table::Live)?, pairs(&[("a", n), ("b", n), ("c", n)]))?;
        same("the checkpoint", models.register(&schema)?.checkpoint, checkpoint(n as u64))?;
    }
    Ok(())
}

/// While steps are written every reader sees rows, parks and checkpoint of one step.
///
/// # Errors
/// What the store did instead.
pub fn readers_see_one_moment(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let base = models.register(&schema)?.generation;
    let done = AtomicBool::new(false);
    let writer = || -> Outcome {
        for n in 1..=40i64 {
            let parks = (n % 2 == 1).then(|| park(7, 0, 0, Some("a"), ParkState::Poison)).into_iter().collect();
            let unparks = if n % 2 == 0 { vec![park(7, 0, 0, None, ParkState::Poison).touch] } else { Vec::new() };
            let step = Step { parks, unparks, ..with_rows(next(models, &schema)?, &schema, &["a", "b"], n) };
            models.commit(&schema.model, Table::Live, &step)?;
        }
        Ok(())
    };
    let is_of = |what: &str, state: &ModelState, n: Option<i64>| -> Outcome {
        let position = state.checkpoint.position.0;
        same(format!("{what}: row and checkpoint"), n.unwrap_or(0) as u64, position)?;
        same(format!("{what}: generation and checkpoint"), state.generation, base + position)?;
        same(format!("{what}: parks and checkpoint"), state.parked.events, position % 2)
    };
    let number = |row: &evenkeel_core::row::Row| row.cells[1].to_json().as_i64();
    let reader = || -> Outcome {
        while !done.load(Ordering::SeqCst) {
            let one = models.get(&schema.model, &Key::text("a"))?;
            is_of("a row", &one.state, one.row.as_ref().and_then(number))?;
            same("parked events of the row", one.parked_events, one.state.parked.events)?;
            let page = models.rows(&schema.model, Table::Live, None, 10)?;
            for (row, parked) in &page.rows {
                is_of("a page", &page.state, number(row))?;
                let of_a = Key::of(&schema, row) == Key::text("a");
                same("a row's parks in a page", *parked, of_a && page.state.parked.events > 0)?;
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let readers = [scope.spawn(reader), scope.spawn(reader)];
        let written = join_all([scope.spawn(writer)]);
        done.store(true, Ordering::SeqCst);
        join_all(readers).and(written)
    })?;
    same("the last checkpoint", models.register(&schema)?.checkpoint, checkpoint(40))
}

/// Every field of a checkpoint comes back, at its ends too.
///
/// # Errors
/// What the store did instead.
pub fn a_checkpoint_comes_back_as_it_was(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let mut largest = checkpoint(i64::MAX as u64);
    largest.counts.ignored = i64::MAX as u64;
    let some =
        Checkpoint { epoch: Some(evenkeel_core::Epoch(0)), last_write: Some(at(i64::MIN)), ..Checkpoint::default() };
    for checkpoint in [checkpoint(1), largest, Checkpoint::default(), some] {
        let step = Step { checkpoint, ..next(models, &schema)? };
        models.commit(&schema.model, Table::Live, &step)?;
        same("the live checkpoint", models.register(&schema)?.checkpoint, checkpoint)?;
        let generation = models.begin_build(&schema)?.generation;
        models.commit(&schema.model, Table::Build, &Step { generation, ..step })?;
        same(
            "the build's checkpoint",
            models.register(&schema)?.build.map(|build| build.checkpoint),
            Some(checkpoint),
        )?;
    }
    Ok(())
}

/// Whatever part of these parks is asked for, which are all there are.
fn pages_of(models: &dyn Models, model: &ModelName, parks: &[Park]) -> Outcome {
    let (a, nobody) = (Key::text("a"), Key::text("nobody"));
    let of = [ParkedRow::Of(&a), ParkedRow::Of(&nobody), ParkedRow::Unknown, ParkedRow::Any];
    let rows = [None].into_iter().chain(of.map(Some)).collect::<Vec<_>>();
    let touches = || std::iter::once(None).chain(parks.iter().map(|park| Some(park.touch)));
    for (row, state) in rows.iter().flat_map(|row| [None, Some(ParkState::Held)].map(|state| (*row, state))) {
        for (touch, after) in touches().flat_map(|one| [(one, None), (None, one)]) {
            let (some, none) = ([Position(5), Position(7), Position(10)], []);
            let positions = [None, Some(some.as_slice()), Some(none.as_slice())];
            for (limit, at) in (0..4).flat_map(|limit| positions.map(|at| (limit, at))) {
                let asked = ParkFilter { state, row, touch, after, at, limit };
                let expected = parks.iter().filter(|park| asked.has(park)).take(asked.most()).cloned().collect();
                same(format!("{asked:?}"), models.parks_of(model, &asked)?, expected)?;
            }
        }
    }
    Ok(())
}

/// Parks are written by touch, listed by state in log order, and resolved one by one.
///
/// # Errors
/// What the store did instead.
pub fn parks_are_written_and_resolved_by_touch(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    use ParkState::{Discarded, Held, Poison};
    let parks = [
        park(5, 1, 0, Some("a"), Poison),
        park(5, 1, 1, Some("b'/\u{1F980}"), Held),
        park(6, 0, 0, None, Poison),
        park(9, 2, 3, Some("a"), Held),
        park(10, 0, u32::MAX, Some("c"), Discarded),
        park(10, u16::MAX, 0, Some("c"), Held),
    ];
    let mut written: Vec<_> = parks.to_vec();
    written.rotate_left(3);
    models.commit(&schema.model, Table::Live, &Step { parks: written, ..next(models, &schema)? })?;
    let of = |wanted: Option<ParkState>| {
        parks.iter().filter(|p| wanted.is_none_or(|w| p.state == w)).cloned().collect::<Vec<_>>()
    };
    for state in [None, Some(Poison), Some(Held), Some(Discarded)] {
        same(format!("parks in state {state:?}"), models.parks(&schema.model, state)?, of(state))?;
    }
    pages_of(models, &schema.model, &parks)?;
    let decision = Some(Decision { author: "ann".into(), note: String::new() });
    let changed = Park { state: Discarded, error: String::new(), at: at(5), decision, ..parks[0].clone() };
    let unparks = vec![parks[1].touch, parks[5].touch, park(77, 0, 0, None, Poison).touch];
    let step = Step { parks: vec![changed.clone()], unparks, ..next(models, &schema)? };
    models.commit(&schema.model, Table::Live, &step)?;
    let left = vec![changed, parks[2].clone(), parks[3].clone(), parks[4].clone()];
    same("parks after a change", models.parks(&schema.model, None)?, left)?;
    let expected = Parked { events: 2, oldest_at: Some(at(991)) };
    same("the sum of them", models.register(&schema)?.parked, expected)
}

/// An event parked for several rows counts once for the model and once for each row; what was discarded holds nothing.
///
/// # Errors
/// What the store did instead.
pub fn a_parked_event_counts_once(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let parks = vec![
        park(5, 0, 0, Some("a"), ParkState::Poison),
        park(5, 0, 1, Some("a"), ParkState::Held),
        park(5, 0, 2, Some("b"), ParkState::Poison),
        park(6, 0, 0, Some("a"), ParkState::Held),
        park(7, 0, 0, Some("c"), ParkState::Discarded),
        park(8, 0, 0, None, ParkState::Poison),
    ];
    let step = with_rows(next(models, &schema)?, &schema, &["a", "b", "c", "d"], 1);
    models.commit(&schema.model, Table::Live, &Step { parks, ..step })?;
    same("the model", models.register(&schema)?.parked, Parked { events: 3, oldest_at: Some(at(992)) })?;
    for (key, events) in [("a", 2), ("b", 1), ("c", 0), ("d", 0), ("e", 0)] {
        let at = models.get(&schema.model, &Key::text(key))?;
        same(format!("the row {key}"), (at.parked_events, at.unnamed), (events, true))?;
    }
    let keys: Vec<_> = ["a", "b", "c", "d", "e"].map(Key::text).to_vec();
    let parked = models.load(&schema.model, Table::Live, &keys)?.parked;
    same("keys that are parked", parked, HashSet::from([Key::text("a"), Key::text("b")]))?;
    let flags: Vec<_> =
        models.rows(&schema.model, Table::Live, None, 9)?.rows.iter().map(|(_, parked)| *parked).collect();
    same("rows that are marked", flags, vec![true, true, false, false])?;
    let step = next(models, &schema)?;
    let parks = vec![park(8, 0, 0, None, ParkState::Discarded)];
    models.commit(&schema.model, Table::Live, &Step { parks, ..step })?;
    let at = models.get(&schema.model, &Key::text("a"))?;
    same("an event of an unknown row is given up", (at.parked_events, at.unnamed), (2, false))
}

/// A model or a build that does not exist is an error that names it, never an empty answer.
///
/// # Errors
/// What the store did instead.
pub fn what_is_not_there_is_said_to_be_missing(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("there");
    let nobody = ModelName::from("nobody");
    let missing = |what: &str, error: Option<StoreError>, name: &ModelName| {
        same(what, error, Some(StoreError::NoModel(name.clone())))
    };
    let key = Key::text("a");
    missing("a step", models.commit(&nobody, Table::Live, &Step::default()).err(), &nobody)?;
    missing("a load", models.load(&nobody, Table::Live, std::slice::from_ref(&key)).err(), &nobody)?;
    missing("a row", models.get(&nobody, &key).err(), &nobody)?;
    missing("a page", models.rows(&nobody, Table::Live, None, 1).err(), &nobody)?;
    missing("a count", models.count(&nobody).err(), &nobody)?;
    missing("parks", models.parks(&nobody, None).err(), &nobody)?;
    missing("a build", models.begin_build(&counter("nobody")).err(), &nobody)?;
    missing("a swap", models.swap(&nobody, Content::default()).err(), &nobody)?;
    missing("content", models.set_content(&nobody, Content::default()).err(), &nobody)?;
    missing("a distance", models.set_measured(&nobody, &measured(at(1))).err(), &nobody)?;
    same("its state", models.state(&nobody)?, None)?;
    let state = models.register(&schema)?;
    missing(
        "a step of no build",
        models.commit(&schema.model, Table::Build, &next(models, &schema)?).err(),
        &schema.model,
    )?;
    missing("a page of no build", models.rows(&schema.model, Table::Build, None, 1).err(), &schema.model)?;
    missing("a load of no build", models.load(&schema.model, Table::Build, &[key]).err(), &schema.model)?;
    missing("a swap of no build", models.swap(&schema.model, Content::default()).err(), &schema.model)?;
    same("the state after all that", models.state(&schema.model)?, Some(state))?;
    ensure(!models.models()?.contains(&nobody), "what was asked for in vain does not come to be")
}
