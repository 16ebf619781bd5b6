//! The HTTP interface: routes over an engine, each a thin translation from a request to one of its operations.
//!
//! A request passes [`guard`] (may it reach us), [`metrics`] (it is counted) and its route; whatever error comes out,
//! also of the framework, leaves as a [`problem`] document. Connections are [`server`]'s. Nothing is decided here that
//! the engine could decide.
mod accounting;
mod body;
mod caching;
mod causal;
mod conflicts;
mod consumers;
mod contracts;
mod drift;
mod events;
mod freshness;
mod guard;
mod health;
mod index;
mod log;
mod metrics;
mod openapi;
mod params;
mod problem;
mod quarantine;
mod query;
mod rate;
pub(crate) mod reconciliations;
mod rows;
mod snapshots;

pub(crate) mod server;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use evenkeel::{
    Engine,
    contract::settings::{LimitSettings, Settings},
};
use metrics_exporter_prometheus::PrometheusHandle;
use problem::Problem;
use serde::Serialize;
use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

/// What requests share.
pub(crate) struct App {
    pub(crate) engine: Engine,
    /// The address that is listened on, and the names that go with it.
    pub(crate) names: guard::Names,
    pub(crate) limits: LimitSettings,
    /// How long a read may wait where it does not say.
    pub(crate) budget: Duration,
    pub(crate) rates: rate::Rates,
    pub(crate) metrics: PrometheusHandle,
    documents: OnceLock<Documents>,
}

/// What describes the routes.
struct Documents {
    openapi: String,
    index: String,
}

impl App {
    /// Over a running engine.
    ///
    /// # Errors
    /// In words, where metrics cannot be recorded.
    pub(crate) fn new(engine: Engine, settings: &Settings, listen: SocketAddr) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self {
            engine,
            names: guard::Names { listen, hosts: settings.security.hosts.clone() },
            limits: settings.limits,
            budget: Duration::from_millis(settings.read.budget_ms),
            rates: rate::Rates::new(&settings.sources),
            metrics: metrics::recorder()?,
            documents: OnceLock::new(),
        }))
    }
}

/// Starts recording metrics for the whole process.
///
/// # Errors
/// In words, where the process has another recorder.
pub(crate) fn record_metrics() -> Result<(), String> {
    metrics::recorder().map(drop)
}

/// Every route there is.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let (router, api) = OpenApiRouter::with_openapi(openapi::Api::openapi())
        .routes(routes!(index::index))
        .routes(routes!(index::openapi))
        .routes(routes!(index::explain))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::serve))
        .routes(routes!(events::publish))
        .routes(routes!(log::read))
        .routes(routes!(log::lineage))
        .routes(routes!(rows::models))
        .routes(routes!(rows::rows))
        .routes(routes!(rows::row))
        .routes(routes!(query::query))
        .routes(routes!(drift::drift))
        .routes(routes!(drift::verify))
        .routes(routes!(reconciliations::reconcile))
        .routes(routes!(reconciliations::rollback))
        .routes(routes!(reconciliations::reconciliations))
        .routes(routes!(reconciliations::reconciliation))
        .routes(routes!(snapshots::list, snapshots::take))
        .routes(routes!(drift::stop_projector))
        .routes(routes!(drift::start_projector))
        .routes(routes!(consumers::list))
        .routes(routes!(consumers::put, consumers::remove))
        .routes(routes!(consumers::report))
        .routes(routes!(accounting::accounting))
        .routes(routes!(contracts::impact))
        .routes(routes!(causal::read))
        .routes(routes!(causal::skip))
        .routes(routes!(causal::retire))
        .routes(routes!(conflicts::list))
        .routes(routes!(conflicts::show))
        .routes(routes!(quarantine::list))
        .routes(routes!(quarantine::show))
        .routes(routes!(quarantine::redrive))
        .routes(routes!(quarantine::edit))
        .routes(routes!(quarantine::discard))
        .routes(routes!(quarantine::redrive_all))
        .routes(routes!(quarantine::discard_all))
        .routes(routes!(quarantine::resume))
        .split_for_parts();
    let api = openapi::complete(api);
    // A document that cannot be written would be seen by the tests; then it is empty.
    let openapi = api.to_json().unwrap_or_default();
    app.documents.get_or_init(|| Documents { openapi, index: index::list(&api) });
    router
        .with_state(Arc::clone(app))
        .layer(from_fn(as_problem))
        .layer(from_fn_with_state(Arc::clone(app), guard::guard))
        .layer(from_fn(metrics::measure))
}

/// What is answered on connections for which there is no room, whatever is asked.
pub(crate) fn refusing(app: &Arc<App>) -> Router {
    let refuse = || async {
        let detail = "as many connections are open as may be";
        Problem::new(problem::TOO_MANY_CONNECTIONS, detail).retry_after(Duration::from_secs(1))
    };
    Router::new()
        .fallback(refuse)
        .layer(from_fn_with_state(Arc::clone(app), guard::guard))
        .layer(from_fn(metrics::measure))
}

/// Makes a problem document of an error that is none: what the framework refuses, it refuses in plain text.
async fn as_problem(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let status = response.status();
    let is_json = |value: &axum::http::HeaderValue| value.to_str().is_ok_and(|text| text.contains("json"));
    let documented = response.headers().get(header::CONTENT_TYPE).is_some_and(is_json);
    if documented || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let said = to_bytes(body, 4096).await.unwrap_or_default();
    let detail = match status {
        StatusCode::NOT_FOUND => format!("nothing is at {path}"),
        StatusCode::METHOD_NOT_ALLOWED => format!("{path} does not take {method}"),
        _ => String::from_utf8_lossy(&said).into_owned(),
    };
    let mut response = Problem::of_status(status, detail).into_response();
    for (name, value) in &parts.headers {
        if *name != header::CONTENT_TYPE && *name != header::CONTENT_LENGTH {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

/// An answer in JSON.
fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, "application/json")], Body::from(bytes)).into_response(),
        Err(error) => Problem::new(problem::INTERNAL, format!("the answer cannot be written: {error}")).into_response(),
    }
}

/// Runs what would hold up other requests in a thread of its own.
async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Problem>
where
    T: Send + 'static,
    E: Into<Problem> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Into::into),
        Err(error) => Err(Problem::new(problem::INTERNAL, format!("the work was not finished: {error}"))),
    }
}
