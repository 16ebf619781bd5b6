//! How far the models are from the log, and what an operator does about it.
use super::{
    App, blocking,
    body::JsonBody,
    json,
    params::Params,
    problem::{BAD_PARAMETER, Problem},
};
use axum::{
    extract::{Path, State},
    http::{StatusCode, Uri},
    response::Response,
};
use evenkeel::{
    core::reconciliation::{Method, Reconciliation},
    report::{DriftReport, VerifyReport},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The drift of the models.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct DriftAnswer {
    /// By name of the model.
    models: Vec<DriftReport>,
}

/// How far every model is from the log, measured now.
#[utoipa::path(
    get, path = "/v1/drift", tag = "drift",
    params(("model" = Option<String>, Query, description = "Only this model")),
    responses((status = 200, body = DriftAnswer)),
)]
pub(crate) async fn drift(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let model = params.text("model");
    params.finish()?;
    let engine = app.engine.clone();
    let models = blocking(move || engine.drift(model.as_deref())).await?;
    Ok(json(StatusCode::OK, &DriftAnswer { models }))
}

/// What is to be verified.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verify {
    /// Whether every row is compared with the log folded afresh. Otherwise what was found last is told.
    #[serde(default)]
    full: bool,
}

/// Compares the rows of a model with the log.
#[utoipa::path(
    post, path = "/v1/models/{model}/verify", tag = "drift",
    params(("model" = String, Path, description = "The model")),
    request_body = Option<Verify>,
    responses((status = 200, body = VerifyReport)),
)]
pub(crate) async fn verify(
    State(app): State<Arc<App>>,
    Path(model): Path<String>,
    uri: Uri,
    JsonBody(asked): JsonBody<Verify>,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let engine = app.engine.clone();
    let report = blocking(move || engine.verify(&model, asked.full)).await?;
    Ok(json(StatusCode::OK, &report))
}

/// How a model is to be brought back.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reconcile {
    /// `auto` (default), `replay`, `repair` or `rebuild`.
    #[serde(default)]
    method: Option<String>,
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
    let engine = app.engine.clone();
    let record = blocking(move || engine.reconcile(&model, method)).await?;
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

/// Why a projector is stopped.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StopProjector {
    /// What reads and the drift report say meanwhile.
    #[serde(default)]
    reason: Option<String>,
}

/// Nothing is asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Stops a model's projector after its current batch.
///
/// Reads go on and say so.
#[utoipa::path(
    post, path = "/v1/models/{model}/projector/stop", tag = "drift",
    params(("model" = String, Path, description = "The model")),
    request_body = Option<StopProjector>,
    responses((status = 200, description = "It has stopped", body = DriftReport)),
)]
pub(crate) async fn stop_projector(
    State(app): State<Arc<App>>,
    Path(model): Path<String>,
    uri: Uri,
    JsonBody(asked): JsonBody<StopProjector>,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let reason = asked.reason.unwrap_or_else(|| "stopped by an operator".into());
    let engine = app.engine.clone();
    answer_drift(
        blocking(move || {
            engine.stop_projector(&model, &reason)?;
            engine.drift(Some(&model))
        })
        .await?,
    )
}

/// Starts a model's projector again, from its checkpoint.
///
/// Without effect where it runs.
#[utoipa::path(
    post, path = "/v1/models/{model}/projector/start", tag = "drift",
    params(("model" = String, Path, description = "The model")),
    responses((status = 200, description = "It runs", body = DriftReport)),
)]
pub(crate) async fn start_projector(
    State(app): State<Arc<App>>,
    Path(model): Path<String>,
    uri: Uri,
    JsonBody(Nothing {}): JsonBody<Nothing>,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let engine = app.engine.clone();
    answer_drift(
        blocking(move || {
            engine.start_projector(&model)?;
            engine.drift(Some(&model))
        })
        .await?,
    )
}

/// The drift of the one model that was asked about.
fn answer_drift(reports: Vec<DriftReport>) -> Result<Response, Problem> {
    let report = reports.into_iter().next();
    report
        .map(|report| json(StatusCode::OK, &report))
        .ok_or_else(|| Problem::new(super::problem::INTERNAL, "no drift was measured"))
}
