//! Projectors of the user's own: registered, reporting, and measured like the models.
use super::{
    client::request,
    project::{Server, order},
};
use serde_json::{Value, json};

fn send(server: &Server, method: &str, path: &str, body: &Value) -> super::client::Answer {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    request(server.addr, method, path, &[("Content-Type", "application/json")], &body)
}

#[test]
fn a_consumer_that_never_reported_is_stalled_and_one_that_reports_is_measured_like_a_model() {
    let server = Server::start();
    let put = |body: &Value| send(&server, "PUT", "/v1/consumers/billing", body);
    let registered = put(&json!({"subscribes": ["order_placed"], "max_lag_events": 1})).ok(200);
    // There is nothing to apply yet, and still nobody knows whether it lives.
    assert_eq!((&registered["status"], &registered["lag_count"]), (&json!("stalled"), &json!(0)));
    assert_eq!(registered["reason"], "it was registered and has never reported");
    assert_eq!((&registered["position"], &registered["reported_at"]), (&Value::Null, &Value::Null));
    for n in 1..=3 {
        server.publish_batch(&[order(&n.to_string(), &format!("o-{n}"), "1")]).ok(202);
    }
    let report = |position: u64| {
        let body = json!({"position": position, "last_write": "2026-01-31T10:00:00Z"});
        send(&server, "POST", "/v1/consumers/billing/checkpoint", &body)
    };
    let behind = report(1).ok(200);
    assert_eq!((&behind["status"], &behind["lag_count"]), (&json!("catching_up"), &json!(2)));
    assert!(behind["lag_seconds"].as_f64().is_some());
    assert_eq!(behind["last_write"], "2026-01-31T10:00:00.000000Z");
    let current = report(3).ok(200);
    assert_eq!((&current["lag_count"], &current["head"]), (&json!(0), &json!(3)));
    assert_eq!(current["source_event_id"], current["read_model_last_id"]);
    // Its own rebuild begins anew; what the log does not have it cannot have applied.
    assert_eq!(report(0).ok(200)["lag_count"], 3);
    let beyond = report(99).ok(200);
    assert_eq!((&beyond["status"], &beyond["lag_count"]), (&json!("rebuild_needed"), &Value::Null));
    // Registered again it keeps what it reported.
    assert_eq!(put(&json!({})).ok(200)["position"], 99);
    report(3).ok(200);
    let drift = server.get("/v1/drift").ok(200);
    assert_eq!(
        (&drift["consumers"][0]["consumer"], &drift["consumers"][0]["lag_count"]),
        (&json!("billing"), &json!(0))
    );
    assert_eq!(server.get("/v1/drift?model=orders").ok(200)["consumers"], json!([]));
    assert_eq!(send(&server, "DELETE", "/v1/consumers/billing", &Value::Null).status, 204);
    assert_eq!(server.get("/v1/consumers").ok(200), json!({"consumers": []}));
}

#[test]
fn what_cannot_be_a_consumer_is_refused() {
    let server = Server::start();
    let put = |path: &str, body: &Value| send(&server, "PUT", path, body);
    put("/v1/consumers/a", &json!({"subscribes": ["nothing_makes_this"]})).problem(400, "bad-request");
    put("/v1/consumers/a", &json!({"max_lag_seconds": -1})).problem(400, "bad-request");
    put("/v1/consumers/a", &json!({"subscribed": []})).problem(400, "bad-request");
    put("/v1/consumers/a%0Ab", &json!({})).problem(400, "bad-request");
    let report = |body: &Value| send(&server, "POST", "/v1/consumers/a/checkpoint", body);
    report(&json!({"position": 1})).problem(404, "no-consumer");
    put("/v1/consumers/a", &json!({})).ok(200);
    report(&json!({})).problem(400, "bad-request");
    report(&json!({"position": -1})).problem(400, "bad-request");
    report(&json!({"position": 1, "last_write": "yesterday"})).problem(400, "bad-parameter");
    send(&server, "DELETE", "/v1/consumers/b", &Value::Null).problem(404, "no-consumer");
}
