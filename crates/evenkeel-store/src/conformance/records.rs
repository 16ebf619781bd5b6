//! Cases: what is kept beside the rows: content, measured distance, reconciliations, and the list of models.
use super::{
    Outcome, Stores, ensure,
    fixture::{at, checkpoint, counter},
    same,
    steps::{measured, next, numbers, pairs, park, with_rows},
};
use crate::{Measured, ModelState, Step, Table};
use evenkeel_core::{
    Digest, EventId, ModelName, Position, Timestamp,
    drift::{Content, ReconciliationStatus, Verdict},
    fold::ParkState,
    reconciliation::{DriftMetrics, Method, Reconciliation, ReconciliationResult, Unreplayed},
};

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
            let content = Content { verdict: *verdict, verified_as_of };
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

fn record(model: &str, n: u64) -> Reconciliation {
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
        let id = models.record(&written)?;
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
        deletes: vec![evenkeel_core::row::Key::text("b")],
        parks: vec![park(3, 0, 0, Some("a"), ParkState::Poison)],
        ..with_rows(next(models, &one)?, &one, &["a"], 2)
    };
    models.commit(&one.model, Table::Live, &step)?;
    models.set_content(&one.model, Content { verdict: Verdict::Suspect, verified_as_of: None })?;
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
