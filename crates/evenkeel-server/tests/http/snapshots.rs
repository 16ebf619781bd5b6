//! Snapshots over HTTP.
use super::project::{Server, order};
use serde_json::json;

#[test]
fn a_snapshot_is_taken_listed_and_begun_from() {
    let server = Server::start();
    server.post("/v1/models/orders/snapshots", &json!({})).problem(409, "model-state");
    server.publish_batch(&[order("1", "o-1", "1.10"), order("2", "o-2", "2")]).ok(202);
    server.get("/v1/models/orders/rows?level=strong&budget_ms=30000").ok(200);
    server.post("/v1/models/orders/reconcile", &json!({})).ok(200);
    assert_eq!(server.get("/v1/models/orders/snapshots").ok(200), json!({"snapshots": []}));
    let taken = server.post("/v1/models/orders/snapshots", &json!({})).ok(201);
    assert_eq!((&taken["rows"], &taken["usable"], &taken["reason"]), (&json!(2), &json!(true), &json!(null)));
    assert_eq!(server.get("/v1/models/orders/snapshots").ok(200), json!({"snapshots": [taken]}));
    let rebuild = |from: &str| json!({"method": "rebuild", "from": from});
    let record = server.post("/v1/models/orders/reconcile", &rebuild("snapshot")).ok(200);
    assert_eq!((&record["rebuilt_from"], &record["result"]), (&taken["position"], &json!("converged")));
    let record = server.post("/v1/models/orders/reconcile", &rebuild("start")).ok(200);
    assert_eq!(record["rebuilt_from"], json!(0));
    server.post("/v1/models/orders/reconcile", &rebuild("yesterday")).problem(400, "bad-parameter");
    server.post("/v1/models/orders/reconcile", &json!({"from": "start"})).problem(400, "bad-parameter");
    server.get("/v1/models/none/snapshots").problem(404, "no-model");
    server.post("/v1/models/none/snapshots", &json!({})).problem(404, "no-model");
    server.get("/v1/models/orders/snapshots?what=1").problem(400, "bad-parameter");
    assert!(server.get("/metrics").text.contains("evenkeel_snapshots_total{model=\"orders\",result=\"kept\"}"));
}
