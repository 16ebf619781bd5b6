//! Cases: what is kept beside the rows: content, measured distance, reconciliations, and the list of models.
use super::{
    Outcome, Stores, ensure,
    fixture::{as_found, at, checkpoint, counter},
    same,
    steps::{measured, next, numbers, pairs, park, with_rows},
};
use crate::{Measured, ModelState, Removal, Step, StoreError, Table};
use evenkeel_core::{
    Digest, Epoch, EventId, ModelName, Position, Timestamp,
    consumer::{Consumer, Reported},
    content::Cause,
    drift::{Content, ReconciliationStatus, Verdict},
    fold::ParkState,
    reconciliation::{DriftMetrics, Evidence, Method, Reconciliation, ReconciliationResult, Unreplayed},
    row::Key,
};
use std::time::Duration;

/// A verdict that names the doubts it knows of is kept where there were no others since, also over a swap.
///
/// # Errors
/// What the store did instead.
pub fn a_verdict_does_not_take_a_later_doubt_back(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    models.register(&counter("other"))?;
    let known = models.register(&schema)?.doubts;
    let verified = Content { verdict: Verdict::Verified, verified_as_of: Some(at(7)), bad_buckets: 0 };
    let set = |doubts| models.set_content_unless_doubted(&schema.model, verified, doubts);
    ensure(set(known)?, "it is kept where nobody doubts")?;
    same("the verdict", models.register(&schema)?.content, verified)?;
    models.doubt(&counter("other").model, 4)?;
    ensure(set(known)?, "another model is another matter")?;
    for bad_buckets in [0, 1] {
        models.doubt(&schema.model, bad_buckets)?;
        let doubted = models.register(&schema)?;
        ensure(!set(known)?, "it is not kept where somebody doubts since")?;
        same("the state", models.register(&schema)?, doubted.clone())?;
        ensure(set(doubted.doubts)?, "it is kept by whoever knows of the doubt")?;
        same("the verdict", models.register(&schema)?.content, verified)?;
    }
    models.begin_build(&schema)?;
    models.swap(&schema.model, Content::default())?;
    ensure(!set(known)?, "what was known of another table does not count")?;
    ensure(set(models.register(&schema)?.doubts)?, "what is known of this one does")?;
    let nobody = models.set_content_unless_doubted(&"never".into(), verified, 0);
    same("a model that is not there", nobody, Err(StoreError::NoModel("never".into())))
}

/// Content and distance are kept without moving a generation: a step made before still fits.
///
/// # Errors
/// What the store did instead.
pub fn content_and_measures_move_no_generation(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let before = models.register(&schema)?;
    let step = with_rows(next(models, &schema)?, &schema, &["a"], 1);
    for verdict in Verdict::ALL {
        for verified_as_of in [None, Some(at(-1))] {
            let content = Content { verdict: *verdict, verified_as_of, bad_buckets: 3 };
            models.set_content(&schema.model, content)?;
            same("the state", models.register(&schema)?, ModelState { content, ..before.clone() })?;
        }
    }
    models.set_measured(&schema.model, &measured(at(80)))?;
    let content = models.register(&schema)?.content;
    let expected = ModelState { content, as_of: Some(at(80)), ..before };
    same("the state with a distance", models.register(&schema)?, expected.clone())?;
    let unknown = Measured { lag_count: None, oldest_unapplied: None, status: None, reason: None, ..measured(at(90)) };
    models.set_measured(&schema.model, &unknown)?;
    same("the state with less known", models.register(&schema)?, ModelState { as_of: Some(at(90)), ..expected })?;
    models.commit(&schema.model, Table::Live, &step)?;
    let after = models.register(&schema)?;
    same("what a step leaves alone", (after.content, after.as_of), (content, Some(at(90))))
}

/// A doubt makes the verdict worse and never better, whoever wrote it last, and moves no generation.
///
/// # Errors
/// What the store did instead.
pub fn a_doubt_takes_nothing_worse_back(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let before = models.register(&schema)?;
    models.register(&counter("other"))?;
    let mut doubts = before.doubts;
    for verdict in Verdict::ALL {
        for (known, doubted) in [(0, 0), (0, 2), (3, 2), (3, 9)] {
            let content = Content { verdict: *verdict, verified_as_of: Some(at(-1)), bad_buckets: known };
            models.set_content(&schema.model, content)?;
            models.doubt(&schema.model, doubted)?;
            doubts += 1;
            let verdict = if *verdict == Verdict::Drifted { Verdict::Drifted } else { Verdict::Suspect };
            let content = Content { verdict, bad_buckets: known.max(doubted), ..content };
            same("the state", models.register(&schema)?, ModelState { content, doubts, ..before.clone() })?;
        }
    }
    same("another model", models.register(&counter("other"))?.content, Content::default())?;
    ensure(models.doubt(&"never".into(), 1).is_err(), "a model that is not there cannot be doubted")
}

pub(crate) fn record(model: &str, n: u64) -> Reconciliation {
    let full = n.is_multiple_of(2);
    let unreplayed = Unreplayed { position: Position(n), event_id: EventId([7; 32]), error: "überlauf '\"\n".into() };
    Reconciliation {
        id: 0,
        model: ModelName::from(model),
        event_id: full.then_some(EventId([9; 32])),
        source: full.then(|| "urn:shop".into()),
        drift_metrics: DriftMetrics {
            source_event_id: full.then_some(EventId(Digest::of(b"x").0)),
            read_model_last_id: None,
            lag_count: full.then_some(i64::MAX as u64),
            lag_seconds: full.then_some(0.1),
            drift_score: full.then_some(1.0 / 3.0),
            reconciliation_status: ReconciliationStatus::ALL[n as usize % ReconciliationStatus::ALL.len()],
            content_verdict: Verdict::ALL[n as usize % Verdict::ALL.len()],
            bad_buckets: if full { u32::MAX } else { 0 },
        },
        reconciliation_method: Method::ALL[n as usize % Method::ALL.len()],
        result: ReconciliationResult::ALL[n as usize % ReconciliationResult::ALL.len()],
        error: full.then(|| "disk 'full'".into()),
        rows_repaired: n,
        events_replayed: n * 1000,
        unreplayed: if full { vec![unreplayed.clone(), unreplayed] } else { Vec::new() },
        verified: full,
        started_at: Timestamp::from_micros(-(n as i64)),
        duration_ms: n,
        rebuilt_from: full.then_some(Position(n)),
    }
}

/// Reconciliations are numbered, kept whole, and come newest first, of all models or of one.
///
/// # Errors
/// What the store did instead.
pub fn reconciliations_come_newest_first(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    same("the records of nothing", models.reconciliations(None, 10)?, Vec::new())?;
    let mut kept = Vec::new();
    for n in 0..12u64 {
        let written = record(["a", "b", "c"][n as usize % 3], n);
        let id = models.record(&written, &[])?;
        ensure(kept.first().is_none_or(|last: &Reconciliation| last.id < id), "numbers grow")?;
        kept.insert(0, Reconciliation { id, ..written });
    }
    for limit in [1, 5, 12, 100] {
        let expected: Vec<_> = kept.iter().take(limit).cloned().collect();
        same(format!("the latest {limit}"), models.reconciliations(None, limit)?, expected)?;
        for model in ["a", "c", "never"].map(ModelName::from) {
            let expected: Vec<_> = kept.iter().filter(|r| r.model == model).take(limit).cloned().collect();
            same(format!("the latest {limit} of {model}"), models.reconciliations(Some(&model), limit)?, expected)?;
        }
    }
    Ok(())
}

/// The models there are, by name, whatever order they came in.
///
/// # Errors
/// What the store did instead.
pub fn models_are_listed_by_name(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    same("no models", models.models()?, Vec::new())?;
    for name in ["orders", "inventory", "units", "a_b", "payments", "inventory"] {
        models.register(&counter(name))?;
    }
    models.begin_build(&counter("orders"))?;
    let expected = ["a_b", "inventory", "orders", "payments", "units"].map(ModelName::from).to_vec();
    same("the models", models.models()?, expected)
}

/// What is done to one model shows in no other, though they have the same keys.
///
/// # Errors
/// What the store did instead.
pub fn models_do_not_feel_each_other(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let (one, two) = (counter("one"), counter("one_two"));
    for schema in [&one, &two] {
        models.commit(&schema.model, Table::Live, &with_rows(next(models, schema)?, schema, &["a", "b"], 1))?;
    }
    let before = models.register(&two)?;
    let step = Step {
        deletes: vec![Removal::new(Key::text("b"))],
        parks: vec![park(3, 0, 0, Some("a"), ParkState::Poison)],
        ..with_rows(next(models, &one)?, &one, &["a"], 2)
    };
    models.commit(&one.model, Table::Live, &step)?;
    models.set_content(&one.model, Content { verdict: Verdict::Suspect, ..Content::default() })?;
    models.set_measured(&one.model, &measured(at(5)))?;
    let build = models.begin_build(&one)?;
    let step = Step { generation: build.generation, ..with_rows(Step::default(), &one, &["x"], 3) };
    models.commit(&one.model, Table::Build, &step)?;
    models.swap(&one.model, Content::default())?;
    same("the other's state", models.register(&two)?, before)?;
    same("the other's rows", numbers(models, &two, Table::Live)?, pairs(&[("a", 1), ("b", 1)]))?;
    same("the other's parks", models.parks(&two.model, None)?, Vec::new())?;
    same("its own rows", numbers(models, &one, Table::Live)?, pairs(&[("x", 3)]))?;
    same("its own checkpoint", models.register(&one)?.checkpoint, checkpoint(3))
}

/// The wrong rows a reconciliation found are kept with its record, in their order, and only with that.
///
/// # Errors
/// What the store did instead.
pub fn evidence_is_kept_with_its_record(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let evidence = |n: usize| Evidence {
        key: format!("ключ '{n}'\n"),
        cause: Cause::ALL[n % Cause::ALL.len()],
        expected: (!n.is_multiple_of(3)).then(|| format!("{{\"n\":{n}}}")),
        actual: (!n.is_multiple_of(2)).then(|| "{\"n\":\"'\"}".to_owned()),
    };
    let of_first: Vec<_> = (0..11).rev().map(evidence).collect();
    let of_third = vec![evidence(3), evidence(3)];
    let first = models.record(&record("a", 0), &of_first)?;
    let second = models.record(&record("a", 1), &[])?;
    let third = models.record(&record("b", 2), &of_third)?;
    for limit in [0, 1, 10, 11, usize::MAX] {
        let expected = of_first.iter().take(limit).cloned().collect();
        same(format!("{limit} rows of the first"), models.evidence(first, limit)?, expected)?;
    }
    same("the rows of the second", models.evidence(second, 9)?, Vec::new())?;
    same("the rows of the third", models.evidence(third, 9)?, of_third)?;
    same("the rows of no record", models.evidence(third + 1, 9)?, Vec::new())?;
    for (id, n) in [(first, 0), (third, 2)] {
        let model = if n == 0 { "a" } else { "b" };
        let expected = Reconciliation { id, ..record(model, n) };
        same(format!("record {id}"), models.reconciliation(id)?, Some(expected))?;
    }
    for id in [0, third + 1, u64::MAX] {
        same(format!("record {id}"), models.reconciliation(id)?, None)?;
    }
    let ids = models.reconciliations(None, 9)?.iter().map(|record| record.id).collect::<Vec<_>>();
    same("the records", ids, vec![third, second, first])
}

/// The latest records of each model are kept, and with each its rows, also where an older one found the same.
///
/// # Errors
/// What the store did instead.
pub fn old_records_go_with_their_evidence(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let rows = |n: i32| {
        let (expected, actual) = (Some(format!("{{\"n\":{n}}}")), None);
        vec![Evidence { key: "k".into(), cause: Cause::LostRow, expected, actual }; 3]
    };
    models.keep_records(3);
    // Of another model, which forgets nothing for this one.
    let other = models.record(&record("b", 9), &rows(9))?;
    let mut kept: Vec<(u64, Vec<Evidence>)> = Vec::new();
    let of =
        [rows(1), rows(1), rows(1), rows(2), Vec::new(), rows(2), rows(2), rows(1), rows(2), rows(2)[..2].to_vec()];
    for (n, rows) in of.into_iter().enumerate() {
        let id = models.record(&record("a", n as u64), &rows)?;
        kept.insert(0, (id, rows));
        let gone = kept.split_off(kept.len().min(3));
        let ids = models.reconciliations(Some(&"a".into()), 99)?.iter().map(|record| record.id).collect::<Vec<_>>();
        same("the records", ids, kept.iter().map(|(id, _)| *id).collect())?;
        for (id, rows) in &kept {
            same(format!("the rows of {id}"), models.evidence(*id, 99)?, rows.clone())?;
        }
        for (id, _) in gone {
            same(format!("record {id}"), models.reconciliation(id)?, None)?;
            same(format!("the rows of {id}, which is gone"), models.evidence(id, 99)?, Vec::new())?;
        }
    }
    same("the rows of another model", models.evidence(other, 99)?, rows(9))?;
    models.keep_records(0);
    let last = models.record(&record("a", 1), &rows(1))?;
    let ids = models.reconciliations(Some(&"a".into()), 99)?.iter().map(|record| record.id).collect::<Vec<_>>();
    same("the last one is kept in any case", ids, vec![last])
}

/// What came of a reconciliation is written into its record afterwards: the rows that were wrong and what it started from
/// stay, and so does every other record. One that is gone is not made anew.
///
/// # Errors
/// What the store did instead.
pub fn what_came_of_it_is_written_into_its_record(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let rows = |n: u64| {
        vec![Evidence { key: n.to_string(), cause: Cause::ForeignEdit, expected: Some("{}".into()), actual: None }]
    };
    let mut kept = Vec::new();
    for (n, model) in ["a", "b", "a"].into_iter().enumerate() {
        let begun = record(model, n as u64);
        kept.push(Reconciliation { id: models.record(&begun, &rows(n as u64))?, ..begun });
    }
    // By turns with everything that may be there, and without.
    for n in [5, 8, 9, 2] {
        let Reconciliation { id, event_id, source, drift_metrics, started_at, .. } = kept[0].clone();
        kept[0] = Reconciliation { id, event_id, source, drift_metrics, started_at, ..record("a", n) };
        ensure(models.amend(&Reconciliation { id, ..record("a", n) })?, "a record that is kept is amended")?;
        let newest_first: Vec<_> = kept.iter().rev().cloned().collect();
        same("the records", models.reconciliations(None, 9)?, newest_first)?;
        for (n, record) in kept.iter().enumerate() {
            same(format!("the rows of {}", record.id), models.evidence(record.id, 9)?, rows(n as u64))?;
        }
    }
    let other = Reconciliation { id: kept[1].id, ..record("a", 4) };
    ensure(!models.amend(&other)?, "another model's record is not amended")?;
    models.keep_records(1);
    let last = models.record(&record("a", 6), &[])?;
    ensure(!models.amend(&kept[0])?, "a record that is gone is not amended")?;
    let ids: Vec<u64> = models.reconciliations(None, 9)?.iter().map(|record| record.id).collect();
    same("the records left", ids, vec![last, kept[1].id])?;
    same("another model's", models.reconciliation(kept[1].id)?, Some(kept[1].clone()))
}

/// A lease has one holder until it expires or is given up; the holder may renew it.
///
/// # Errors
/// What the store did instead.
pub fn a_lease_has_one_holder(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let (one, two) = (counter("one").model, counter("two").model);
    models.register(&counter("one"))?;
    models.register(&counter("two"))?;
    let second = 1_000_000;
    let take = |model: &ModelName, holder: &str, now: i64| models.lease(model, holder, at(now), Duration::from_secs(1));
    ensure(take(&one, "ada", -3)?, "a free lease is taken")?;
    ensure(!take(&one, "bob", -3)?, "it is refused to another")?;
    ensure(take(&two, "bob", -3)?, "another model has another")?;
    ensure(!take(&one, "bob", second - 4)?, "it is refused until it expires")?;
    ensure(take(&one, "ada", second - 4)?, "its holder renews it")?;
    ensure(!take(&one, "bob", second + 5)?, "a renewed lease holds on")?;
    ensure(take(&one, "bob", 2 * second - 4)?, "an expired one is another's to take")?;
    ensure(!take(&one, "ada", 2 * second)?, "and then refused to the one who had it")?;
    models.release(&one, "ada")?;
    ensure(!take(&one, "ada", 2 * second)?, "who has it not cannot give it up")?;
    models.release(&one, "bob")?;
    ensure(take(&one, "ada", 2 * second)?, "what was given up is free")?;
    models.release(&two, "ada")?;
    models.release(&two, "bob")?;
    models.release(&two, "bob")?;
    ensure(take(&two, "ada", 0)?, "what was given up twice is free")?;
    let long = Duration::from_secs(u64::MAX);
    ensure(models.lease(&two, "ada", at(0), long)?, "a lease may be as long as time")?;
    ensure(!take(&two, "bob", i64::from(i32::MAX) * second)?, "and is still held then")
}

/// That rows are beyond repair is kept with why, makes them suspect whatever was found out before, moves no generation,
/// and is forgotten with the table.
///
/// # Errors
/// What the store did instead.
pub fn what_is_condemned_stays_so_until_a_swap(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let first = models.register(&schema)?;
    same("a new model", first.condemned.clone(), None)?;
    for reason in ["the log was replaced", "'it'\nno longer fits"] {
        models.condemn(&schema.model, reason)?;
        let content = Content { verdict: Verdict::Suspect, ..first.content };
        let expected = ModelState { condemned: Some(reason.into()), content, ..first.clone() };
        same("the state", models.register(&schema)?, expected)?;
    }
    models.commit(&schema.model, Table::Live, &with_rows(next(models, &schema)?, &schema, &["a"], 1))?;
    models.begin_build(&schema)?;
    let verified = Content { verdict: Verdict::Verified, verified_as_of: Some(at(3)), bad_buckets: 0 };
    for (found, seen) in [(Verdict::Verified, Verdict::Suspect), (Verdict::Drifted, Verdict::Drifted)] {
        models.set_content(&schema.model, Content { verdict: found, ..verified })?;
        let state = models.register(&schema)?;
        same(format!("what was {found:?}"), state.content, Content { verdict: seen, ..verified })?;
        ensure(state.condemned.is_some(), "steps, content and builds forget nothing")?;
    }
    models.swap(&schema.model, verified)?;
    let state = models.register(&schema)?;
    same("after a swap", (state.condemned, state.content), (None, verified))?;
    models.condemn(&schema.model, "again")?;
    models.rollback(&schema.model, None)?;
    same("after a rollback", models.register(&schema)?.condemned, None)
}

/// Others' writes to a live table are noted from its first moment on, also to one that was built or brought back; what
/// the projector writes is nobody else's.
///
/// # Errors
/// What the store did instead.
pub fn a_live_table_is_watched(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    models.register(&schema)?;
    let is_watched = |when: &str| -> Outcome {
        ensure(models.watch(&schema.model)?, format!("the live table is watched {when}"))?;
        models.commit(&schema.model, Table::Live, &with_rows(next(models, &schema)?, &schema, &["a", "b"], 1))?;
        let deletes = vec![Removal::new(Key::text("b"))];
        models.commit(&schema.model, Table::Live, &Step { deletes, ..next(models, &schema)? })?;
        same(format!("notes {when}"), models.touched(&schema.model, 9)?, Vec::new())?;
        let keys = [Key::text("a"), Key::text("never there")];
        models.settle(&schema.model, &as_found(models, &schema.model, &keys)?)?;
        let loaded = models.load(&schema.model, Table::Live, &[Key::text("a"), Key::text("b")])?;
        ensure(loaded.touched.is_empty(), format!("no key is touched {when}"))?;
        same(format!("the verdict {when}"), models.register(&schema)?.content.verdict, Verdict::Unverified)
    };
    is_watched("when it is new")?;
    models.begin_build(&schema)?;
    models.swap(&schema.model, Content::default())?;
    is_watched("after a swap")?;
    models.rollback(&schema.model, None)?;
    is_watched("after a rollback")?;
    models.begin_build(&schema)?;
    models.swap(&schema.model, Content::default())?;
    is_watched("after another swap")
}

/// Consumers are kept with what they reported last; registering one again changes neither that nor since when it is there.
///
/// # Errors
/// What the store did instead.
pub fn consumers_are_kept_with_what_they_reported(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let consumer = |name: &str, n: i64| Consumer {
        name: name.into(),
        subscribes: (0..n).map(|i| format!("type-{i}").as_str().into()).collect(),
        max_lag_events: (n > 1).then_some(n as u64),
        max_lag_seconds: (n > 1).then_some(0.1 + n as f64),
        registered_at: at(n),
    };
    let reported = |n: u64| Reported {
        position: Position(n),
        epoch: Epoch(u64::MAX - n),
        last_write: (n > 1).then(|| at(7)),
        at: at(8),
    };
    same("no consumers", models.consumers()?, Vec::new())?;
    ensure(!models.report_consumer("a", &reported(1))?, "nobody reports who is not registered")?;
    ensure(!models.remove_consumer("a")?, "nobody is removed who is not registered")?;
    for name in ["ü \"b\"", "a"] {
        models.put_consumer(&consumer(name, 2))?;
    }
    ensure(models.report_consumer("a", &reported(5))?, "a consumer reports")?;
    ensure(models.report_consumer("a", &reported(1))?, "and may go back")?;
    models.put_consumer(&consumer("a", 0))?;
    let again = Consumer { registered_at: at(2), ..consumer("a", 0) };
    let expected = vec![(again, Some(reported(1))), (consumer("ü \"b\"", 2), None)];
    same("consumers", models.consumers()?, expected)?;
    ensure(models.remove_consumer("a")?, "a consumer is removed")?;
    same("consumers left", models.consumers()?.len(), 1)
}
