//! Snapshots of models: taken, and listed.
use super::{App, blocking, body::JsonBody, drift::Nothing, json, params::Params, problem::Problem};
use axum::{
    extract::{Path, State},
    http::{StatusCode, Uri},
    response::Response,
};
use evenkeel::report::SnapshotReport;
use serde::Serialize;
use std::sync::Arc;

/// Snapshots.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct SnapshotsAnswer {
    /// Newest first.
    snapshots: Vec<SnapshotReport>,
}

/// The snapshots of a model.
#[utoipa::path(
    get, path = "/v1/models/{model}/snapshots", operation_id = "snapshots", tag = "drift",
    params(("model" = String, Path, description = "The model")),
    responses((status = 200, body = SnapshotsAnswer)),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Path(model): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let engine = app.engine.clone();
    let snapshots = blocking(move || engine.snapshots(Some(&model))).await?;
    Ok(json(StatusCode::OK, &SnapshotsAnswer { snapshots }))
}

/// Takes a snapshot of a model, for rebuilds to begin from.
///
/// Events go on being applied meanwhile. The snapshot is verified before it is kept; where the rows are not fit for one the
/// answer is 409 and says why.
#[utoipa::path(
    post, path = "/v1/models/{model}/snapshots", operation_id = "take_snapshot", tag = "drift",
    params(("model" = String, Path, description = "The model")),
    responses((status = 201, description = "It is kept", body = SnapshotReport)),
)]
pub(crate) async fn take(
    State(app): State<Arc<App>>,
    Path(model): Path<String>,
    uri: Uri,
    JsonBody(Nothing {}): JsonBody<Nothing>,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let engine = app.engine.clone();
    let taken = blocking(move || engine.take_snapshot(&model)).await?;
    Ok(json(StatusCode::CREATED, &taken))
}
