//! Consumers of the user's own: registered, reporting how far they have come, and measured like the models.
//!
//! Their list with what was measured is in [`super::drift`] too.
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
    response::{IntoResponse, Response},
};
use evenkeel::{
    consumer::Registration,
    core::{Position, Timestamp},
    report::ConsumerReport,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How a consumer wants to be watched.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Consumer {
    /// The types of events it follows; all where left out.
    #[serde(default)]
    subscribes: Vec<String>,
    /// Its target for the lag in events; 100 where left out.
    max_lag_events: Option<u64>,
    /// Its target for the lag in seconds; 30 where left out.
    max_lag_seconds: Option<f64>,
}

/// How far a consumer has come.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checkpoint {
    /// Every event up to this position is applied.
    position: u64,
    /// When it last wrote, as an RFC 3339 time.
    last_write: Option<String>,
}

/// The consumers.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ConsumersAnswer {
    /// By name.
    consumers: Vec<ConsumerReport>,
}

/// Registers a consumer, or changes how it is registered.
///
/// Until it reports it is `stalled`. What it reported before stays.
#[utoipa::path(
    put, path = "/v1/consumers/{name}", operation_id = "put_consumer", tag = "consumers",
    params(("name" = String, Path, description = "What it is to be called")),
    request_body = Option<Consumer>,
    responses((status = 200, body = ConsumerReport)),
)]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    uri: Uri,
    JsonBody(asked): JsonBody<Consumer>,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let registration = Registration {
        subscribes: asked.subscribes.iter().map(|name| name.as_str().into()).collect(),
        max_lag_events: asked.max_lag_events,
        max_lag_seconds: asked.max_lag_seconds,
    };
    let engine = app.engine.clone();
    let report = blocking(move || engine.put_consumer(&name, registration)).await?;
    Ok(json(StatusCode::OK, &report))
}

/// Takes note of how far a consumer has come, and answers how far that is from the log.
///
/// A position below the last one is taken too: the consumer may have been rebuilt.
#[utoipa::path(
    post, path = "/v1/consumers/{name}/checkpoint", operation_id = "report_consumer", tag = "consumers",
    params(("name" = String, Path, description = "The consumer")),
    request_body = Checkpoint,
    responses((status = 200, body = ConsumerReport)),
)]
pub(crate) async fn report(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    uri: Uri,
    JsonBody(asked): JsonBody<Checkpoint>,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let time = |text: String| {
        let problem = |error| Problem::new(BAD_PARAMETER, format!("last_write: {error}"));
        text.parse::<Timestamp>().map_err(problem)
    };
    let last_write = asked.last_write.map(time).transpose()?;
    let engine = app.engine.clone();
    let report = blocking(move || engine.report_consumer(&name, Position(asked.position), last_write)).await?;
    Ok(json(StatusCode::OK, &report))
}

/// The consumers, measured now.
#[utoipa::path(
    get, path = "/v1/consumers", operation_id = "list_consumers", tag = "consumers",
    responses((status = 200, body = ConsumersAnswer)),
)]
pub(crate) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let engine = app.engine.clone();
    let consumers = blocking(move || engine.consumers()).await?;
    Ok(json(StatusCode::OK, &ConsumersAnswer { consumers }))
}

/// Forgets a consumer.
#[utoipa::path(
    delete, path = "/v1/consumers/{name}", operation_id = "remove_consumer", tag = "consumers",
    params(("name" = String, Path, description = "The consumer")),
    responses((status = 204, description = "It is forgotten")),
)]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let engine = app.engine.clone();
    blocking(move || engine.remove_consumer(&name)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
