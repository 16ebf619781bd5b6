//! Bringing a model back to the log, taking a rebuild back, and the records of what was done with the rows that were
//! found wrong.
//!
//! Finding out whether it is needed is [`super::drift`]'s.
use super::{
    App, blocking,
    body::JsonBody,
    drift::Nothing,
    json,
    params::Params,
    problem::{BAD_PARAMETER, NO_RECONCILIATION, Problem},
};
use axum::{
    extract::{Path, State},
    http::{StatusCode, Uri},
    response::Response,
};
use evenkeel::{
    Engine, EngineError,
    core::{
        json::{self as exact, Object, Value},
        reconciliation::{Evidence, Method, Reconciliation},
    },
    report::{ModelReport, WrongRow},
    store::StoreError,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How many wrong rows are told of one reconciliation: as many as are kept.
const EVIDENCE: usize = 1000;

/// How a model is to be brought back.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reconcile {
    /// `auto` (default): what the drift calls for. `replay`: apply the events it lacks. `repair`: write exactly the rows
    /// that are wrong. `rebuild`: fold everything anew beside the live table, compare, and swap.
    #[serde(default)]
    method: Option<String>,
    /// What a rebuild begins from. `snapshot` (default): the newest one that is fit for it. `start`: the log's first event;
    /// only with method `rebuild`.
    #[serde(default)]
    from: Option<String>,
}

/// Brings a model back to the log, and answers with the record of it.
///
/// A reconciliation that failed is told by the record's `result`, not by the status.
#[utoipa::path(
    post, path = "/v1/models/{model}/reconcile", tag = "drift",
    params(("model" = String, Path, description = "The model")),
    request_body = Option<Reconcile>,
    responses((status = 200, body = super::openapi::ReconciliationRecord)),
)]
pub(crate) async fn reconcile(
    State(app): State<Arc<App>>,
    Path(model): Path<String>,
    uri: Uri,
    JsonBody(asked): JsonBody<Reconcile>,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let method = match asked.method.as_deref() {
        None | Some("auto") => None,
        Some(word) => Some(word.parse::<Method>().map_err(|_| {
            Problem::new(BAD_PARAMETER, format!("method: expected auto, replay, repair or rebuild, found {word:?}"))
        })?),
    };
    let from_start = match asked.from.as_deref() {
        None | Some("snapshot") => false,
        Some("start") if method == Some(Method::Rebuild) => true,
        Some("start") => return Err(Problem::new(BAD_PARAMETER, "from: `start` is for method rebuild")),
        Some(word) => {
            return Err(Problem::new(BAD_PARAMETER, format!("from: expected snapshot or start, found {word:?}")));
        }
    };
    let engine = app.engine.clone();
    let reconcile =
        move || if from_start { engine.rebuild_from_start(&model) } else { engine.reconcile(&model, method) };
    let record = blocking(reconcile).await?;
    Ok(json(StatusCode::OK, &record))
}

/// Reconciliations.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ReconciliationsAnswer {
    /// Newest first.
    #[schema(value_type = Vec<super::openapi::ReconciliationRecord>)]
    reconciliations: Vec<Reconciliation>,
}

/// The latest reconciliations.
#[utoipa::path(
    get, path = "/v1/reconciliations", tag = "drift",
    params(
        ("model" = Option<String>, Query, description = "Only of this model"),
        ("limit" = Option<u64>, Query, description = "At most so many: 1 to 1000, 100 where left out"),
    ),
    responses((status = 200, body = ReconciliationsAnswer)),
)]
pub(crate) async fn reconciliations(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let model = params.text("model");
    let limit = params.number("limit", 1..=1000)?.unwrap_or(100);
    params.finish()?;
    let engine = app.engine.clone();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let reconciliations = blocking(move || engine.reconciliations(model.as_deref(), limit)).await?;
    Ok(json(StatusCode::OK, &ReconciliationsAnswer { reconciliations }))
}

/// A reconciliation with the rows that it found wrong.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ReconciliationAnswer {
    #[serde(flatten)]
    #[schema(value_type = super::openapi::ReconciliationRecord)]
    record: Reconciliation,
    /// The rows as they were found, before anything was done about them; the first thousand.
    evidence: Vec<WrongRow>,
}

/// One reconciliation, with the rows that it found wrong.
#[utoipa::path(
    get, path = "/v1/reconciliations/{id}", tag = "drift",
    params(("id" = u64, Path, description = "Its number")),
    responses((status = 200, body = ReconciliationAnswer)),
)]
pub(crate) async fn reconciliation(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let number: u64 = id.parse().map_err(|_| Problem::new(NO_RECONCILIATION, format!("{id:?} is no number")))?;
    let engine = app.engine.clone();
    match blocking(move || find(&engine, number)).await? {
        Some(found) => Ok(json(StatusCode::OK, &found)),
        None => Err(Problem::new(NO_RECONCILIATION, format!("no reconciliation has the number {number}"))),
    }
}

/// The reconciliation of this number, with the rows that it found wrong.
///
/// # Errors
/// Where the models' store cannot be read.
pub(crate) fn find(engine: &Engine, id: u64) -> Result<Option<ReconciliationAnswer>, EngineError> {
    let Some(record) = engine.reconciliation(id)? else { return Ok(None) };
    let evidence = engine.evidence(id, EVIDENCE)?.into_iter().map(wrong_row).collect::<Result<_, _>>()?;
    Ok(Some(ReconciliationAnswer { record, evidence }))
}

/// A row that was wrong as it is kept, in the form in which a verification tells it.
fn wrong_row(Evidence { key, cause, expected, actual }: Evidence) -> Result<WrongRow, EngineError> {
    let row = |text: Option<String>| text.map(|text| object(&text)).transpose();
    Ok(WrongRow { cause: cause.as_str(), expected: row(expected)?, actual: row(actual)?, key })
}

fn object(text: &str) -> Result<Object, StoreError> {
    match exact::parse(text.as_bytes()) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(StoreError::Corrupt(format!("a row kept as evidence is no JSON object: {text}"))),
    }
}

/// Puts the table from before the last rebuild back in place.
///
/// The table that was in place is kept for another rollback. Where the older one is of another declaration of the model
/// it stays as it is, and reads say so, until the model is reconciled or declared anew.
#[utoipa::path(
    post, path = "/v1/models/{model}/rollback", operation_id = "rollback", tag = "drift",
    params(("model" = String, Path, description = "The model")),
    responses((status = 200, description = "The model as it is now", body = ModelReport)),
)]
pub(crate) async fn rollback(
    State(app): State<Arc<App>>,
    Path(model): Path<String>,
    uri: Uri,
    JsonBody(Nothing {}): JsonBody<Nothing>,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let engine = app.engine.clone();
    let report = blocking(move || engine.rollback(&model)).await?;
    Ok(json(StatusCode::OK, &report))
}
