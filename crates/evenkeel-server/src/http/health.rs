//! Whether the server lives and whether it is ready, for those who watch over it.
//!
//! Not how far models are from the log ([`super::drift`]), nor numbers over time ([`super::metrics`]).
use super::{App, blocking, json, params::Params, problem::Problem};
use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use evenkeel::report::HealthReport;
use std::sync::Arc;

/// How long the monitor may be silent before the process counts as dead. A heartbeat is well below a second, so by then
/// the monitor hangs, and only a restart mends that.
const DEAD_SECONDS: f64 = 60.0;

/// Whether the process lives: 503 where it should be restarted.
#[utoipa::path(
    get, path = "/healthz", tag = "operation",
    responses((status = 200, body = HealthReport), (status = 503, description = "It should be restarted", body = HealthReport)),
)]
pub(crate) async fn healthz(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let report = report(app, uri).await?;
    let dead = report.monitor_silent_seconds > DEAD_SECONDS;
    Ok(json(if dead { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, &report))
}

/// Whether it takes events and serves reads: 503 where it does not now.
///
/// A lagging model does not make it unready, since reads say so themselves.
#[utoipa::path(
    get, path = "/readyz", tag = "operation",
    responses((status = 200, body = HealthReport), (status = 503, description = "Not now", body = HealthReport)),
)]
pub(crate) async fn readyz(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let report = report(app, uri).await?;
    Ok(json(if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &report))
}

async fn report(app: Arc<App>, uri: Uri) -> Result<HealthReport, Problem> {
    Params::of(&uri)?.finish()?;
    let engine = app.engine.clone();
    blocking(move || Ok::<_, Problem>(engine.health())).await
}
