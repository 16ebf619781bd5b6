//! Cases: a table is built beside the live one, which feels nothing of it until it is replaced whole.
use super::{
    Outcome, Stores, ensure,
    fixture::{at, checkpoint, counter, new_rows, row, schema},
    same,
    steps::{next, numbers, pairs, park, with_rows},
};
use crate::{ModelState, Models, Step, StoreError, Table};
use evenkeel_core::{
    EventId,
    drift::{Content, Verdict},
    fold::{Park, ParkState},
    row::{Cell, Key, KeyPart},
    schema::{ColumnType, Schema},
};
use std::cmp::Ordering;

fn version(mut schema: Schema, version: u32) -> Schema {
    schema.version = version;
    schema.fingerprint = evenkeel_core::Digest::of(&version.to_be_bytes());
    schema
}

/// A step on the build there is.
fn build_step(models: &dyn Models, schema: &Schema) -> Result<Step, super::Failure> {
    let build = models.register(schema)?.build;
    let build = build.ok_or_else(|| super::Failure::new("there is no build"))?;
    Ok(Step { generation: build.generation, checkpoint: build.checkpoint, ..Step::default() })
}

fn verified() -> Content {
    Content { verdict: Verdict::Verified, verified_as_of: Some(at(-7)), bad_buckets: 0 }
}

/// A model with two rows and a park, at checkpoint 1.
fn live(models: &dyn Models, schema: &Schema) -> Result<ModelState, super::Failure> {
    let parks = vec![park(1, 0, 0, Some("p"), ParkState::Poison)];
    let step = Step { parks, ..with_rows(next(models, schema)?, schema, &["a", "b"], 1) };
    models.commit(&schema.model, Table::Live, &step)?;
    models.set_content(
        &schema.model,
        Content { verdict: Verdict::Drifted, verified_as_of: Some(at(3)), bad_buckets: 2 },
    )?;
    Ok(models.register(schema)?)
}

/// The live table reads and moves as ever while one is built, and the other way round.
///
/// # Errors
/// What the store did instead.
pub fn the_live_table_does_not_feel_a_build(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let (old, new) = (counter("m"), version(counter("m"), 2));
    let before = live(models, &old)?;
    let build = models.begin_build(&new)?;
    same(
        "the build's schema and checkpoint",
        (build.schema.clone(), build.checkpoint),
        (new.clone(), Default::default()),
    )?;
    same("its rows at first", numbers(models, &new, Table::Build)?, pairs(&[]))?;
    let parks = vec![park(4, 0, 0, Some("a"), ParkState::Poison)];
    let step = Step { parks, ..with_rows(build_step(models, &old)?, &new, &["a", "z"], 4) };
    models.commit(&old.model, Table::Build, &step)?;
    let during = models.register(&old)?;
    let seen = during.build.clone().ok_or_else(|| super::Failure::new("the build is not in the state"))?;
    same("the build moved", (seen.checkpoint, seen.generation), (checkpoint(4), build.generation + 1))?;
    same("the live state", ModelState { build: None, ..during.clone() }, before)?;
    same("the live rows", numbers(models, &old, Table::Live)?, pairs(&[("a", 1), ("b", 1)]))?;
    same("the built rows", numbers(models, &new, Table::Build)?, pairs(&[("a", 4), ("z", 4)]))?;
    let keys = [Key::text("a"), Key::text("p"), Key::text("z")];
    let (of_live, of_build) =
        (models.load(&old.model, Table::Live, &keys)?, models.load(&old.model, Table::Build, &keys)?);
    same("live parks", of_live.parked.into_iter().collect::<Vec<_>>(), vec![Key::text("p")])?;
    same("the build's parks", of_build.parked.into_iter().collect::<Vec<_>>(), vec![Key::text("a")])?;
    same("rows there are", (of_live.rows.len(), of_build.rows.len()), (1, 2))?;
    same("parks a reader sees", models.parks(&old.model, None)?.len(), 1)?;
    same("the number of rows a reader sees", models.count(&old.model)?, 2)?;
    same("a row a reader sees", models.get(&old.model, &Key::text("z"))?.row, None)?;

    models.commit(&old.model, Table::Live, &with_rows(next(models, &old)?, &old, &["b"], 2))?;
    let after = models.register(&old)?;
    same("the build after a live step", after.build.clone(), during.build.clone())?;
    same("the live step", (after.checkpoint, after.generation), (checkpoint(2), during.generation + 1))?;
    same("the built rows after it", numbers(models, &new, Table::Build)?, pairs(&[("a", 4), ("z", 4)]))
}

/// A swap puts schema, rows, checkpoint, parks and content in place at once, and there is no build afterwards.
///
/// # Errors
/// What the store did instead.
pub fn a_swap_replaces_everything(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let (old, new) = (counter("m"), version(counter("m"), 2));
    let before = live(models, &old)?;
    models.begin_build(&new)?;
    let parks = vec![park(4, 0, 0, Some("a"), ParkState::Poison), park(5, 0, 0, Some("a"), ParkState::Held)];
    let step = Step { parks: parks.clone(), ..with_rows(build_step(models, &old)?, &new, &["a", "z"], 4) };
    models.commit(&old.model, Table::Build, &step)?;
    models.swap(&old.model, verified())?;
    let after = models.register(&new)?;
    same("the schema", after.schema, new.clone())?;
    same("the checkpoint", after.checkpoint, checkpoint(4))?;
    same("the content", after.content, verified())?;
    same("the build", after.build, None)?;
    same("the generation", after.generation, before.generation + 1)?;
    same("the parked events", (after.parked.events, after.parked.oldest_at), (2, Some(at(995))))?;
    same("the parks", models.parks(&new.model, None)?, parks)?;
    same("the rows", numbers(models, &new, Table::Live)?, pairs(&[("a", 4), ("z", 4)]))?;
    same("a row that was there before", models.get(&new.model, &Key::text("b"))?.row, None)?;
    same("the number of rows", models.count(&new.model)?, 2)?;
    models.commit(&new.model, Table::Live, &with_rows(next(models, &new)?, &new, &["z"], 5))?;
    same("a step after the swap", numbers(models, &new, Table::Live)?, pairs(&[("a", 4), ("z", 5)]))?;
    same("another swap", models.swap(&new.model, verified()), Err(StoreError::NoModel(new.model.clone())))
}

/// Who was about to write to the table before a swap is refused after it, also where both had the same generation.
///
/// # Errors
/// What the store did instead.
pub fn a_swap_ends_the_steps_of_the_old_table(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    models.register(&schema)?;
    for n in 1..=4i64 {
        models.begin_build(&schema)?;
        for _ in 0..n {
            models.commit(&schema.model, Table::Build, &with_rows(build_step(models, &schema)?, &schema, &["a"], n))?;
        }
        meet(models, &schema)?;
        let stale = next(models, &schema)?;
        models.swap(&schema.model, verified())?;
        let refused = models.commit(&schema.model, Table::Live, &with_rows(stale, &schema, &["old"], 99));
        ensure(matches!(refused, Err(StoreError::Conflict { .. })), "a step for the table before the swap is refused")?;
        same("the rows", numbers(models, &schema, Table::Live)?, pairs(&[("a", n)]))?;
    }
    Ok(())
}

/// Commits empty steps until the live table and the build have one generation.
fn meet(models: &dyn Models, schema: &Schema) -> Outcome {
    loop {
        let (live, build) = (next(models, schema)?, build_step(models, schema)?);
        match live.generation.cmp(&build.generation) {
            Ordering::Less => models.commit(&schema.model, Table::Live, &live)?,
            Ordering::Greater => models.commit(&schema.model, Table::Build, &build)?,
            Ordering::Equal => return Ok(()),
        };
    }
}

/// What a person discarded stays discarded in the new table; what merely waited is as the build found it.
///
/// # Errors
/// What the store did instead.
pub fn discarded_parks_survive_a_swap(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let discarded = park(2, 1, 3, Some("d"), ParkState::Discarded);
    let parks =
        vec![park(1, 0, 0, Some("p"), ParkState::Poison), park(3, 0, 0, Some("p"), ParkState::Held), discarded.clone()];
    models.commit(&schema.model, Table::Live, &Step { parks, ..next(models, &schema)? })?;
    models.begin_build(&schema)?;
    let built = park(1, 0, 0, Some("q"), ParkState::Poison);
    let step = Step { parks: vec![built.clone()], ..build_step(models, &schema)? };
    models.commit(&schema.model, Table::Build, &step)?;
    models.swap(&schema.model, verified())?;
    same("the parks", models.parks(&schema.model, None)?, vec![built, discarded.clone()])?;
    models.begin_build(&schema)?;
    models.swap(&schema.model, verified())?;
    same("the parks after another swap", models.parks(&schema.model, None)?, vec![discarded])?;
    same("the parked events", models.register(&schema)?.parked.events, 0)?;
    // A log that lost its end and grew again has another event there, which nobody gave up.
    let other = Park { event_id: EventId::of("shop", "another"), ..park(2, 1, 3, Some("d"), ParkState::Poison) };
    models.begin_build(&schema)?;
    let step = Step { parks: vec![other.clone()], ..build_step(models, &schema)? };
    models.commit(&schema.model, Table::Build, &step)?;
    models.swap(&schema.model, verified())?;
    same("the parks of another log", models.parks(&schema.model, None)?, vec![other])?;
    same("its parked events", models.register(&schema)?.parked.events, 1)
}

/// A build begun anew is empty, and who worked on the last one cannot write to it.
///
/// # Errors
/// What the store did instead.
pub fn a_new_build_drops_the_last(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let before = live(models, &schema)?;
    models.begin_build(&schema)?;
    let mut stale = Vec::new();
    for n in 1..=3 {
        stale.push(with_rows(build_step(models, &schema)?, &schema, &["left over"], n));
        let parks = vec![park(9, 0, 0, Some("left over"), ParkState::Poison)];
        let step = Step { parks, ..with_rows(build_step(models, &schema)?, &schema, &["left over"], n) };
        models.commit(&schema.model, Table::Build, &step)?;
    }
    stale.push(build_step(models, &schema)?);
    let again = models.begin_build(&version(schema.clone(), 3))?;
    same("the new build", (again.schema.version, again.checkpoint), (3, Default::default()))?;
    same("its rows", numbers(models, &schema, Table::Build)?, pairs(&[]))?;
    ensure(
        models.load(&schema.model, Table::Build, &[Key::text("left over")])?.parked.is_empty(),
        "no park is left over",
    )?;
    for step in stale {
        let refused = models.commit(&schema.model, Table::Build, &step);
        ensure(matches!(refused, Err(StoreError::Conflict { .. })), "a step for the dropped build is refused")?;
    }
    same("its rows after that", numbers(models, &schema, Table::Build)?, pairs(&[]))?;
    same("the live state", ModelState { build: None, ..models.register(&schema)? }, before)
}

/// A build that is abandoned leaves nothing; abandoning where there is none changes nothing.
///
/// # Errors
/// What the store did instead.
pub fn an_abandoned_build_is_gone(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let before = live(models, &schema)?;
    models.abandon_build(&schema.model)?;
    models.begin_build(&version(schema.clone(), 2))?;
    let stale = with_rows(build_step(models, &schema)?, &schema, &["x"], 5);
    models.commit(&schema.model, Table::Build, &stale)?;
    models.abandon_build(&schema.model)?;
    same("the state", models.register(&schema)?, before)?;
    same("the rows", numbers(models, &schema, Table::Live)?, pairs(&[("a", 1), ("b", 1)]))?;
    let refused = models.commit(&schema.model, Table::Build, &stale);
    same("a step of the abandoned build", refused, Err(StoreError::NoModel(schema.model.clone())))?;
    models.abandon_build(&schema.model)?;
    models.begin_build(&schema)?;
    same("the rows of the next build", numbers(models, &schema, Table::Build)?, pairs(&[]))?;
    let refused = models.commit(&schema.model, Table::Build, &stale);
    ensure(matches!(refused, Err(StoreError::Conflict { .. })), "a step of the abandoned build does not fit the next")
}

/// A build may have other columns and another key than the live table, which is read by its own until the swap.
///
/// # Errors
/// What the store did instead.
pub fn a_build_may_have_another_shape(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let old = counter("m");
    live(models, &old)?;
    let columns = [
        ("place", ColumnType::I64),
        ("id", ColumnType::Text),
        ("total", ColumnType::Money { currency: 3 }),
        ("currency", ColumnType::Iso4217),
    ];
    let new = schema("m", 2, 2, &columns);
    models.begin_build(&new)?;
    let key = Key([KeyPart::I64(3), KeyPart::Text("a".into())].into_iter().collect());
    let amount = "1.50".parse().map_err(super::Failure::new)?;
    let built = row(&new, &key, vec![Cell::Decimal(amount), Cell::Text("EUR".into())]);
    let step = Step { upserts: new_rows([(key.clone(), built.clone())]), ..build_step(models, &old)? };
    models.commit(&old.model, Table::Build, &step)?;
    same(
        "the built row",
        models.load(&old.model, Table::Build, std::slice::from_ref(&key))?.rows.first().map(|stored| &stored.row),
        Some(&built),
    )?;
    same("the live rows", numbers(models, &old, Table::Live)?, pairs(&[("a", 1), ("b", 1)]))?;
    models.swap(&old.model, verified())?;
    same("the live schema", models.register(&old)?.schema, new)?;
    same("the live row", models.get(&old.model, &key)?.row, Some(built))?;
    models.begin_build(&old)?;
    models.commit(&old.model, Table::Build, &with_rows(build_step(models, &old)?, &old, &["a"], 9))?;
    models.swap(&old.model, verified())?;
    same("the rows of the old shape again", numbers(models, &old, Table::Live)?, pairs(&[("a", 9)]))
}

/// Registering a model again, with its schema or another, tells what is stored and changes nothing.
///
/// # Errors
/// What the store did instead.
pub fn a_model_keeps_its_schema_when_registered_again(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let old = counter("m");
    let before = live(models, &old)?;
    same("registered again", models.register(&old)?, before.clone())?;
    let other = schema("m", 2, 1, &[("key", ColumnType::I64), ("x", ColumnType::Json)]);
    same("registered with another schema", models.register(&other)?, before.clone())?;
    same("the state", models.state(&old.model)?, Some(before))?;
    same("the rows", numbers(models, &old, Table::Live)?, pairs(&[("a", 1), ("b", 1)]))?;
    models.commit(&old.model, Table::Live, &with_rows(next(models, &old)?, &old, &["c"], 2))?;
    same("the rows after a step", numbers(models, &old, Table::Live)?, pairs(&[("a", 1), ("b", 1), ("c", 2)]))
}

/// A model that was swapped once: version 1 is aside, with a park of its own and one discarded, version 2 is live.
fn swapped(models: &dyn Models) -> Result<(Schema, Schema), super::Failure> {
    let (old, new) = (counter("m"), version(counter("m"), 2));
    let parks = vec![
        park(1, 0, 0, Some("p"), ParkState::Poison),
        park(2, 0, 0, Some("p"), ParkState::Discarded),
        park(3, 0, 0, Some("a"), ParkState::Held),
    ];
    let step = Step { parks, ..with_rows(next(models, &old)?, &old, &["a", "b"], 1) };
    models.commit(&old.model, Table::Live, &step)?;
    models.begin_build(&new)?;
    let step = with_rows(build_step(models, &old)?, &new, &["b", "c"], 4);
    models.commit(&old.model, Table::Build, &step)?;
    models.swap(&old.model, verified())?;
    Ok((old, new))
}

/// A rollback brings the table back that the last swap put aside, as it was, and another one brings back the other. What
/// a person has discarded of either stays discarded in both.
///
/// # Errors
/// What the store did instead.
pub fn a_rollback_brings_the_last_table_back(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let refused = |result: Result<(), StoreError>| matches!(result, Err(StoreError::Refused(_)));
    models.register(&counter("m"))?;
    ensure(refused(models.rollback(&"m".into(), None)), "a model that was never rebuilt has nothing to go back to")?;
    let (old, new) = swapped(models)?;
    let model = &old.model;
    let state = models.register(&old)?;
    let previous = state.previous.map(|previous| (previous.schema, previous.checkpoint));
    same("what a swap put aside", previous, Some((old.clone(), checkpoint(1))))?;
    same("its rows", numbers(models, &old, Table::Previous)?, pairs(&[("a", 1), ("b", 1)]))?;
    // Given up while version 2 was live: one that it parked, and one that version 1 holds too.
    let discarded = [park(1, 0, 0, Some("p"), ParkState::Discarded), park(9, 0, 0, Some("c"), ParkState::Discarded)];
    let held = park(8, 0, 0, Some("c"), ParkState::Held);
    let parks = discarded.iter().cloned().chain([held.clone()]).collect();
    models.commit(model, Table::Live, &Step { parks, ..with_rows(next(models, &old)?, &new, &["c"], 5) })?;

    let from = evenkeel_core::Digest::of(b"the declared one");
    models.rollback(model, Some(from))?;
    let state = models.register(&new)?;
    same("the schema", state.schema, old.clone())?;
    same("the checkpoint", state.checkpoint, checkpoint(1))?;
    same("the content", state.content, Content::default())?;
    same("what it was brought back from", state.rolled_back_from, Some(from))?;
    let previous = state.previous.map(|previous| (previous.schema, previous.checkpoint));
    same("what is aside now", previous, Some((new.clone(), checkpoint(5))))?;
    same("the rows", numbers(models, &old, Table::Live)?, pairs(&[("a", 1), ("b", 1)]))?;
    same("the rows aside", numbers(models, &new, Table::Previous)?, pairs(&[("b", 4), ("c", 5)]))?;
    let gone = park(2, 0, 0, Some("p"), ParkState::Discarded);
    let waiting = park(3, 0, 0, Some("a"), ParkState::Held);
    let parks = vec![discarded[0].clone(), gone.clone(), waiting, discarded[1].clone()];
    same("the parks", models.parks(model, None)?, parks)?;
    same("the parked events", (state.parked.events, state.parked.oldest_at), (1, Some(at(997))))?;

    models.begin_build(&new)?;
    models.abandon_build(model)?;
    models.rollback(model, None)?;
    let state = models.register(&new)?;
    same("the schema again", state.schema, new.clone())?;
    same("the checkpoint again", state.checkpoint, checkpoint(5))?;
    same("what it was brought back from then", state.rolled_back_from, None)?;
    same("the rows again", numbers(models, &new, Table::Live)?, pairs(&[("b", 4), ("c", 5)]))?;
    let parks = vec![discarded[0].clone(), gone, held, discarded[1].clone()];
    same("the parks again", models.parks(model, None)?, parks)?;

    models.rollback(model, Some(from))?;
    models.begin_build(&new)?;
    models.swap(model, verified())?;
    let state = models.register(&new)?;
    same("what a swap forgets", state.rolled_back_from, None)?;
    same("the content after it", state.content, verified())?;
    same("what is aside after it", state.previous.map(|previous| previous.schema), Some(old))
}

/// Who was about to write to the table before a rollback is refused after it, and so after the next.
///
/// # Errors
/// What the store did instead.
pub fn a_rollback_ends_the_steps_of_the_other_table(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let (old, _) = swapped(models)?;
    let mut stale = Vec::new();
    for n in 1..=4 {
        for _ in 0..n {
            stale.push(with_rows(next(models, &old)?, &old, &["stale"], 99));
            models.commit(&old.model, Table::Live, &next(models, &old)?)?;
        }
        stale.push(with_rows(next(models, &old)?, &old, &["stale"], 99));
        models.rollback(&old.model, None)?;
        for step in &stale {
            let refused = models.commit(&old.model, Table::Live, step);
            ensure(matches!(refused, Err(StoreError::Conflict { .. })), "a step from before a rollback is refused")?;
        }
    }
    Ok(())
}

/// What was given up while another table was live is given up in the one that is put back, and what waited behind it there
/// still waits, to be seen and resolved by a step.
///
/// # Errors
/// What the store did instead.
pub fn what_was_given_up_is_given_up_after_a_rollback(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let line = |head| vec![park(1, 0, 0, Some("a"), head), park(2, 0, 0, Some("a"), ParkState::Held)];
    models.commit(&schema.model, Table::Live, &Step { parks: line(ParkState::Poison), ..next(models, &schema)? })?;
    let build = models.begin_build(&schema)?;
    let step = Step { generation: build.generation, parks: line(ParkState::Poison), ..Step::default() };
    models.commit(&schema.model, Table::Build, &step)?;
    models.swap(&schema.model, verified())?;
    let given_up = park(1, 0, 0, Some("a"), ParkState::Discarded);
    let held = park(2, 0, 0, Some("a"), ParkState::Held);
    let step = Step { parks: vec![given_up.clone()], unparks: vec![held.touch], ..next(models, &schema)? };
    models.commit(&schema.model, Table::Live, &step)?;
    same("what waits before", models.register(&schema)?.parked.events, 0)?;

    models.rollback(&schema.model, None)?;
    same("the parks", models.parks(&schema.model, None)?, vec![given_up.clone(), held.clone()])?;
    same("what waits", models.register(&schema)?.parked.events, 1)?;
    let step = Step { unparks: vec![held.touch], ..with_rows(next(models, &schema)?, &schema, &["a"], 7) };
    models.commit(&schema.model, Table::Live, &step)?;
    same("the parks afterwards", models.parks(&schema.model, None)?, vec![given_up])?;
    same("what waits afterwards", models.register(&schema)?.parked.events, 0)
}
