//! What waits for other events, how far sources are, and declaring that events will not come.
//!
//! What waits too long is in the quarantine: [`super::quarantine`].
use super::{App, blocking, body::JsonBody, json, params::Params, problem::Problem, quarantine::Word};
use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use evenkeel::report::{CausalReport, SkippedReport};
use serde::Deserialize;
use std::sync::Arc;

/// What waits, for what and since when; how far sources are; what was declared not to come.
#[utoipa::path(
    get, path = "/v1/causal", operation_id = "read_causal", tag = "events",
    params(("limit" = Option<u64>, Query, description = "At most so many events that wait: 1 to 10000, 100 where left out")),
    responses((status = 200, body = CausalReport)),
)]
pub(crate) async fn read(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let limit = params.number("limit", 1..=10_000)?.unwrap_or(100);
    params.finish()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let engine = app.engine.clone();
    let report = blocking(move || engine.causal(limit)).await?;
    Ok(json(StatusCode::OK, &report))
}

/// Which events will not come, and who says so.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SkipWord {
    /// The CloudEvents source that counts them.
    source: String,
    /// The number of the event, or of the first of several.
    seq: u64,
    /// The number of the last of several.
    through: Option<u64>,
    /// Who.
    author: String,
    /// Why.
    #[serde(default)]
    note: String,
}

/// Declares that events will not come: what waits for them waits no more. One that comes all the same is taken, and marked as
/// an exception.
#[utoipa::path(
    post, path = "/v1/causal/skip", operation_id = "skip_events", tag = "events",
    request_body = SkipWord,
    responses((status = 200, body = SkippedReport)),
)]
pub(crate) async fn skip(
    State(app): State<Arc<App>>,
    uri: Uri,
    JsonBody(word): JsonBody<SkipWord>,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let SkipWord { source, seq, through, author, note } = word;
    let decision = Word { author, note }.decision()?;
    let engine = app.engine.clone();
    let span = (seq, through.unwrap_or(seq));
    let report = blocking(move || engine.skip(&source, span, &decision)).await?;
    Ok(json(StatusCode::OK, &report))
}

/// Which source will send nothing any more, and who says so.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetireWord {
    /// The CloudEvents source.
    source: String,
    /// Who.
    author: String,
    /// Why.
    #[serde(default)]
    note: String,
}

/// Retires a source that the project does not declare any more: nothing waits for an event after its last one.
#[utoipa::path(
    post, path = "/v1/causal/retire", operation_id = "retire_source", tag = "events",
    request_body = RetireWord,
    responses((status = 200, body = SkippedReport)),
)]
pub(crate) async fn retire(
    State(app): State<Arc<App>>,
    uri: Uri,
    JsonBody(word): JsonBody<RetireWord>,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let RetireWord { source, author, note } = word;
    let decision = Word { author, note }.decision()?;
    let engine = app.engine.clone();
    let report = blocking(move || engine.retire(&source, &decision)).await?;
    Ok(json(StatusCode::OK, &report))
}
