//! Prometheus metrics of the process, and those of the requests themselves.
//!
//! The engine's own metrics are recorded where they arise; here they get their help texts.
use super::{App, params::Params, problem::Problem};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

/// Upper bounds of the buckets of durations, in seconds.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// The recorder of this process, installed when it is first asked for: a process has one, however many servers run.
///
/// # Errors
/// Where the process has a recorder that is not ours.
pub(crate) fn recorder() -> Result<PrometheusHandle, String> {
    static RECORDER: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
    let install = || {
        let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS);
        let handle = builder.and_then(PrometheusBuilder::install_recorder).map_err(|error| error.to_string())?;
        describe();
        Ok(handle)
    };
    RECORDER.get_or_init(install).clone()
}

fn describe() {
    describe_counter!("evenkeel_http_requests_total", "Requests by route, method and status");
    describe_histogram!(
        "evenkeel_http_request_duration_seconds",
        Unit::Seconds,
        "Time until the answer's headers, by route and method"
    );
    describe_counter!("evenkeel_events_total", "Events received, by source and what became of them");
    describe_counter!("evenkeel_reconciliations_total", "Reconciliations, by model, method and result");
    describe_counter!(
        "evenkeel_conflicts_total",
        "Conflicts met and resolved as events were applied, by model and merge"
    );
    describe_counter!(
        "evenkeel_scrub_passes_total",
        "Times that every row of a model was read again and found as written"
    );
    describe_counter!("evenkeel_raw_events_forgotten_total", "Events that are no longer kept as they were sent");
    describe_counter!(
        "evenkeel_shared_attempts_total",
        "Attempts at strong reads and statements, each made once for all who share it, by what is read"
    );
    describe_counter!(
        "evenkeel_reads_without_room_total",
        "Strong reads and statements sent away: too many were under way"
    );
    describe_counter!("evenkeel_snapshots_total", "Snapshots of models that were begun, by model and result");
    describe_gauge!("evenkeel_snapshot_position", "The position of the snapshot of a model that was taken last");
    describe_gauge!(
        "evenkeel_snapshot_bytes",
        Unit::Bytes,
        "How much room the snapshot of a model that was taken last takes"
    );
    describe_gauge!("evenkeel_lag_events", "Events a model has not applied; NaN where not known");
    describe_gauge!(
        "evenkeel_lag_seconds",
        Unit::Seconds,
        "Age of the oldest event a model has not applied; NaN where not known"
    );
    describe_gauge!("evenkeel_drift_score", "Share of its events a model has not applied; NaN where not known");
    describe_gauge!(
        "evenkeel_staleness_bound_seconds",
        Unit::Seconds,
        "How old a model's data is at most; NaN where not known"
    );
    describe_gauge!("evenkeel_parked_events", "Events a model has parked");
    describe_gauge!("evenkeel_checkpoint_position", "The position a model has applied up to");
    describe_gauge!("evenkeel_status", "1 for the drift status a model is in, 0 for the others");
    describe_gauge!("evenkeel_content_verdict", "1 for what is known of a model's rows, 0 for the other verdicts");
    describe_gauge!(
        "evenkeel_bad_buckets",
        "Buckets in which a model's rows were not those that were meant when that was last looked at; NaN where not known"
    );
    describe_gauge!("evenkeel_log_head_position", "The log's safe head");
}

/// Metrics in the Prometheus text format.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "operation",
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain; version=0.0.4")),
)]
pub(crate) async fn serve(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let metrics = app.metrics.clone();
    let text = super::blocking(move || Ok::<_, Problem>(metrics.render())).await?;
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// Counts a request and the time it took.
pub(crate) async fn measure(request: Request, next: Next) -> Response {
    let started = Instant::now();
    // By route, never by address: an address is the client's to choose, and each would be a series of its own.
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let method = known(request.method());
    let response = next.run(request).await;
    let (status, seconds) = (response.status(), started.elapsed().as_secs_f64());
    counter!("evenkeel_http_requests_total", "route" => route.clone(), "method" => method, "status" => status.as_str().to_owned())
        .increment(1);
    tracing::debug!(route, method, status = status.as_u16(), seconds, "request");
    histogram!("evenkeel_http_request_duration_seconds", "route" => route, "method" => method).record(seconds);
    response
}

fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
