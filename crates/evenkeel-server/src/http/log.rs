//! The log, read in order of position.
//!
//! Writing to it is [`super::events`]' business alone.
use super::{App, blocking, json, params::Params, problem::Problem};
use axum::{
    extract::{Path, State},
    http::{StatusCode, Uri},
    response::Response,
};
use evenkeel::{
    core::Position,
    report::{EventReport, LineageReport},
};
use serde::Serialize;
use std::sync::Arc;

/// Events of the log.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct LogAnswer {
    /// In order of position.
    events: Vec<EventReport>,
    /// What `after` must be for what follows; null where there was nothing more when this was read.
    next: Option<u64>,
}

/// Admitted events after a position.
#[utoipa::path(
    get, path = "/v1/log", operation_id = "read_log", tag = "events",
    params(
        ("after" = Option<u64>, Query, description = "The position after which to begin; 0 where left out"),
        ("limit" = Option<u64>, Query, description = "At most so many: 1 to 10000, 100 where left out"),
        ("type" = Option<String>, Query, description = "Only events of this type"),
    ),
    responses((status = 200, body = LogAnswer)),
)]
pub(crate) async fn read(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let after = Position(params.number("after", 0..=u64::MAX)?.unwrap_or(0));
    let limit = params.number("limit", 1..=10_000)?.unwrap_or(100);
    let event_type = params.text("type");
    params.finish()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let engine = app.engine.clone();
    let events = blocking(move || engine.log(after, limit, event_type.as_deref())).await?;
    let next = events.last().filter(|_| events.len() == limit).map(|event| event.position);
    Ok(json(StatusCode::OK, &LogAnswer { events, next }))
}

/// Where each field of an admitted event came from: which place of what was sent, under which contracts, by which edit.
#[utoipa::path(
    get, path = "/v1/events/{event}/lineage", operation_id = "lineage", tag = "events",
    params(("event" = String, Path, description = "The event: its position, or its identity in 64 hexadecimal digits")),
    responses((status = 200, body = LineageReport)),
)]
pub(crate) async fn lineage(
    State(app): State<Arc<App>>,
    Path(event): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let engine = app.engine.clone();
    let report = blocking(move || engine.lineage(&event)).await?;
    Ok(json(StatusCode::OK, &report))
}
