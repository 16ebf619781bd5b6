//! Drift, verification, projectors, health and metrics.
use super::project::{Server, order};
use serde_json::{Value, json};

fn filled() -> Server {
    let server = Server::start();
    server.publish_batch(&[order("1", "o-1", "1"), order("2", "o-2", "2"), order("3", "o-3", "0")]).ok(202);
    server.get("/v1/models/orders/rows?level=strong&budget_ms=30000").ok(200);
    server
}

#[test]
fn drift_is_measured_for_every_model_or_one() {
    let server = filled();
    let all = server.get("/v1/drift").ok(200);
    let names: Vec<_> =
        all["models"].as_array().unwrap().iter().map(|model| model["model"].as_str().unwrap()).collect();
    assert_eq!(names, ["orders", "stock"]);
    let orders = &server.get("/v1/drift?model=orders").ok(200)["models"][0];
    assert_eq!((&orders["lag_count"], &orders["position"], &orders["head"]), (&json!(0), &json!(2), &json!(2)));
    assert_eq!((&orders["quarantined_events"], &orders["drift_score"]), (&json!(1), &json!(0.0)));
    assert_eq!(orders["source_event_id"], orders["read_model_last_id"]);
    server.get("/v1/drift?model=none").problem(404, "no-model");
    server.get("/v1/drift?modell=orders").problem(400, "bad-parameter");
}

#[test]
fn a_full_verification_compares_every_row() {
    let server = filled();
    let before = server.post("/v1/models/orders/verify", &json!({})).ok(200);
    assert_eq!((&before["verdict"], &before["rows_checked"]), (&json!("unverified"), &json!(0)));
    assert_eq!(server.get("/v1/drift").ok(200)["models"][0]["detection_bound_seconds"], Value::Null, "nobody scrubs");
    let report = server.post("/v1/models/orders/verify", &json!({"full": true})).ok(200);
    assert_eq!(
        (&report["verdict"], &report["rows"], &report["rows_checked"]),
        (&json!("verified"), &json!(2), &json!(2))
    );
    assert_eq!((&report["wrong"], &report["wrong_rows"]), (&json!([]), &json!(0)));
    let read = server.get("/v1/models/orders/rows/o-1");
    assert_eq!(read.json()["consistency"]["content"]["verdict"], "verified");
    assert!(read.header("freshness").unwrap().ends_with("content=verified"));
    server.post("/v1/models/none/verify", &json!({"full": true})).problem(404, "no-model");
}

#[test]
fn projectors_are_stopped_and_started() {
    let server = filled();
    for action in ["stop", "start"] {
        let report = server.post(&format!("/v1/models/orders/projector/{action}"), &json!({})).ok(200);
        assert_eq!(report["model"], "orders");
        server.post(&format!("/v1/models/none/projector/{action}"), &json!({})).problem(404, "no-model");
        server.post(&format!("/v1/models/orders/projector/{action}"), &json!({"x": 1})).problem(400, "bad-request");
    }
}

#[test]
fn health_is_told() {
    let server = filled();
    for path in ["/healthz", "/readyz"] {
        let report = server.get(path).ok(200);
        assert_eq!((&report["ready"], &report["problems"], &report["head"]), (&json!(true), &json!([]), &json!(2)));
    }
}

#[test]
fn metrics_are_in_prometheus_text() {
    let server = filled();
    server.get("/v1/models/orders/rows/some-key-of-a-client");
    server.get("/nowhere");
    let answer = server.get("/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    for expected in [
        "# TYPE evenkeel_http_requests_total counter",
        "# HELP evenkeel_lag_events ",
        "# HELP evenkeel_bad_buckets ",
        "evenkeel_content_verdict{model=\"orders\",verdict=\"drifted\"} ",
        "evenkeel_http_requests_total{route=\"/v1/models/{model}/rows/{*key}\",method=\"GET\",status=\"404\"}",
        "evenkeel_http_requests_total{route=\"unmatched\",method=\"GET\",status=\"404\"}",
        "evenkeel_http_request_duration_seconds_bucket{route=\"/v1/events\",method=\"POST\",le=\"0.01\"}",
    ] {
        assert!(answer.text.contains(expected), "{expected}\n{}", answer.text);
    }
    assert!(!answer.text.contains("some-key-of-a-client"));
    for line in answer.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        assert!(line.starts_with("evenkeel_"), "{line}");
    }
}

#[test]
fn an_engine_that_is_stopped_is_not_ready_and_takes_nothing() {
    let server = filled();
    server.engine().stop();
    let report: Value = server.get("/readyz").ok(503);
    assert_eq!(report["ready"], false);
    let refused = server.publish(&order("4", "o-4", "1"));
    refused.problem(503, "stopping");
    assert!(refused.header("retry-after").is_some());
    server.get("/healthz").ok(200);
}
