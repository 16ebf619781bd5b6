//! How far the models and the user's own consumers are from the log, whether their rows are what it says, and their
//! projectors.
//!
//! Bringing a model back is in [`super::reconciliations`].
use super::{App, blocking, body::JsonBody, json, params::Params, problem::Problem};
use axum::{
    extract::{Path, State},
    http::{StatusCode, Uri},
    response::Response,
};
use evenkeel::{
    EngineError,
    report::{ConsumerReport, DriftReport, VerifyReport},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The drift of the models.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct DriftAnswer {
    /// By name of the model.
    models: Vec<DriftReport>,
    /// Consumers of the user's own, by name; none where one model is asked for.
    consumers: Vec<ConsumerReport>,
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
    let answer = blocking(move || {
        let models = engine.drift(model.as_deref())?;
        let consumers = if model.is_some() { Vec::new() } else { engine.consumers()? };
        Ok::<_, EngineError>(DriftAnswer { models, consumers })
    });
    Ok(json(StatusCode::OK, &answer.await?))
}

/// What is to be verified.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verify {
    /// Whether the whole log is folded afresh and every row compared with it. Otherwise, by default, what is suspected is
    /// looked at: rows that somebody else has written to, windows whose events were not all applied once, and, where
    /// those do not tell, the sums of all rows.
    #[serde(default)]
    full: bool,
}

/// Compares rows of a model with the log, and names those that are wrong with the cause.
///
/// Nothing is mended; `verdict` is kept and told with every read.
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
