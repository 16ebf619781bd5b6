//! Resolved conflicts: which write stands, which does not, and why.
use super::{
    App, blocking, json,
    params::Params,
    problem::{NO_CONFLICT, Problem},
};
use axum::{
    extract::{Path, State},
    http::{StatusCode, Uri},
    response::Response,
};
use evenkeel::{
    conflicts::Wanted,
    report::{ConflictReport, ConflictsReport},
};
use serde::Serialize;
use std::sync::Arc;

/// The conflicts that were resolved, those of the latest writes first.
#[utoipa::path(
    get, path = "/v1/conflicts", tag = "drift",
    params(
        ("model" = Option<String>, Query, description = "Only of this model"),
        ("key" = Option<String>, Query, description = "Only of this row of the model, the parts of its key with `/` between"),
        ("limit" = Option<u64>, Query, description = "At most so many: 1 to 1000, 100 where left out"),
        ("cursor" = Option<String>, Query, description = "Those before this: `next` of an earlier answer"),
        ("replay" = Option<bool>, Query, description = "Whether to decide each again from its record"),
    ),
    responses((status = 200, body = ConflictsReport)),
)]
pub(crate) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let (model, key, cursor) = (params.text("model"), params.text("key"), params.text("cursor"));
    let limit = params.number("limit", 1..=1000)?.unwrap_or(100);
    let replay = params.get("replay", "true or false".to_owned())?.unwrap_or(false);
    params.finish()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let engine = app.engine.clone();
    let ask = move || {
        let (model, key, cursor) = (model.as_deref(), key.as_deref(), cursor.as_deref());
        engine.conflicts(Wanted { model, key, cursor, limit, replay })
    };
    Ok(json(StatusCode::OK, &blocking(ask).await?))
}

/// One conflict.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ConflictAnswer {
    /// As each version of its model decided it, the latest first; each decided again from its record.
    decisions: Vec<ConflictReport>,
}

/// One conflict, decided again from its record.
#[utoipa::path(
    get, path = "/v1/conflicts/{id}", tag = "drift",
    params(("id" = String, Path, description = "Its name, such as `c-` and 32 hexadecimal digits")),
    responses((status = 200, body = ConflictAnswer)),
)]
pub(crate) async fn show(State(app): State<Arc<App>>, Path(id): Path<String>, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let engine = app.engine.clone();
    let wanted = id.clone();
    let decisions = blocking(move || engine.conflict(&wanted)).await?;
    if decisions.is_empty() {
        return Err(Problem::new(NO_CONFLICT, format!("no conflict is named {id:?}")));
    }
    Ok(json(StatusCode::OK, &ConflictAnswer { decisions }))
}
