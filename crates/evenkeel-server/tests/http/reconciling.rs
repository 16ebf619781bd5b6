//! Reconciliation, what is kept of it, and rollback.
use super::project::{Server, order};
use serde_json::json;

const ROW: &str = "/v1/models/orders/rows/o-1";

fn filled() -> Server {
    let server = Server::start();
    server.publish_batch(&[order("1", "o-1", "1.10"), order("2", "o-2", "2")]).ok(202);
    server.get("/v1/models/orders/rows?level=strong&budget_ms=30000").ok(200);
    server
}

#[test]
fn a_rebuild_is_recorded() {
    let server = filled();
    let record = server.post("/v1/models/orders/reconcile", &json!({"method": "rebuild"})).ok(200);
    assert_eq!(
        (&record["reconciliation_method"], &record["result"], &record["verified"]),
        (&json!("rebuild"), &json!("converged"), &json!(true))
    );
    let auto = server.post("/v1/models/orders/reconcile", &json!({"method": "auto"})).ok(200);
    assert_eq!((&auto["result"], &auto["rows_repaired"]), (&json!("nothing_to_do"), &json!(0)));
    let records = server.get("/v1/reconciliations?model=orders").ok(200);
    let ids: Vec<_> = records["reconciliations"].as_array().unwrap().iter().map(|record| &record["id"]).collect();
    assert_eq!(ids, [&auto["id"], &record["id"]]);
    assert_eq!(server.get("/v1/reconciliations?limit=1").ok(200)["reconciliations"].as_array().unwrap().len(), 1);
    assert_eq!(server.get("/v1/reconciliations?model=stock").ok(200)["reconciliations"], json!([]));
    let repair = server.post("/v1/models/orders/reconcile", &json!({"method": "repair"})).ok(200);
    assert_eq!((&repair["reconciliation_method"], &repair["result"]), (&json!("repair"), &json!("nothing_to_do")));
    server.post("/v1/models/orders/reconcile", &json!({"method": "magic"})).problem(400, "bad-parameter");
    server.post("/v1/models/none/reconcile", &json!({})).problem(404, "no-model");
    server.get("/v1/reconciliations?model=none").problem(404, "no-model");
    server.get("/v1/reconciliations?limit=0").problem(400, "bad-parameter");
}

#[test]
fn a_repair_keeps_what_it_found() {
    let server = filled();
    if !server.tamper("UPDATE orders SET amount = '9' WHERE order_id = 'o-1'") {
        return;
    }
    let read = server.get(ROW);
    assert_eq!(read.json()["consistency"]["content"]["verdict"], "suspect");
    assert!(read.header("freshness").unwrap().ends_with("content=suspect"));
    let wrong = json!([{
        "key": "o-1",
        "cause": "foreign_edit",
        "expected": {"order_id": "o-1", "amount": "1.10"},
        "actual": {"order_id": "o-1", "amount": "9"},
    }]);
    let report = server.post("/v1/models/orders/verify", &json!({})).ok(200);
    assert_eq!((&report["verdict"], &report["wrong_rows"], &report["wrong"]), (&json!("drifted"), &json!(1), &wrong));
    let drift = &server.get("/v1/drift?model=orders").ok(200)["models"][0];
    assert_eq!((&drift["content"]["verdict"], &drift["status"]), (&json!("drifted"), &json!("stalled")));
    let record = server.post("/v1/models/orders/reconcile", &json!({"method": "repair"})).ok(200);
    assert_eq!(
        (&record["reconciliation_method"], &record["rows_repaired"], &record["verified"]),
        (&json!("repair"), &json!(1), &json!(true))
    );
    let mut kept = server.get(&format!("/v1/reconciliations/{}", record["id"])).ok(200);
    assert_eq!(kept["evidence"], wrong);
    kept.as_object_mut().unwrap().remove("evidence");
    assert_eq!(kept, record, "the rest is the record");
    assert_eq!(server.get(ROW).ok(200)["data"]["amount"], "1.10");
    // Nothing was found wrong by the next, which is another.
    let next = server.post("/v1/models/orders/reconcile", &json!({"method": "repair"})).ok(200);
    assert_eq!(server.get(&format!("/v1/reconciliations/{}", next["id"])).ok(200)["evidence"], json!([]));
}

#[test]
fn only_reconciliations_there_are_are_shown() {
    let server = filled();
    for id in ["0", "1", "99999999999999999999", "x", "-1"] {
        server.get(&format!("/v1/reconciliations/{id}")).problem(404, "no-reconciliation");
    }
    let mut first = None;
    for _ in 0..101 {
        let record = server.post("/v1/models/orders/reconcile", &json!({"method": "repair"})).ok(200);
        first = first.or_else(|| record["id"].as_u64());
    }
    // However far back it is.
    let first = first.unwrap();
    assert_eq!(server.get(&format!("/v1/reconciliations/{first}")).ok(200)["id"], first);
    server.get(&format!("/v1/reconciliations/{}", first + 1000)).problem(404, "no-reconciliation");
    server.get(&format!("/v1/reconciliations/{first}?x=1")).problem(400, "bad-parameter");
}

#[test]
fn a_rebuild_is_taken_back() {
    let server = filled();
    server.post("/v1/models/orders/rollback", &json!({})).problem(409, "model-state");
    server.post("/v1/models/none/rollback", &json!({})).problem(404, "no-model");
    server.post("/v1/models/orders/rollback", &json!({"x": 1})).problem(400, "bad-request");
    server.post("/v1/models/orders/reconcile", &json!({"method": "rebuild"})).ok(200);
    server.publish(&order("3", "o-3", "3")).ok(202);
    let model = server.post("/v1/models/orders/rollback", &json!({})).ok(200);
    assert_eq!((&model["model"], &model["served_version"]), (&json!("orders"), &json!(1)));
    // The table goes on from where it was put aside.
    let rows = server.get("/v1/models/orders/rows?level=strong&budget_ms=30000").ok(200);
    assert_eq!(rows["rows"].as_array().unwrap().len(), 3, "{rows}");
}

#[test]
fn one_reconciliation_of_a_model_is_at_work_at_a_time() {
    let server = filled();
    if !server.tamper("INSERT INTO _ek_leases VALUES('orders', 'another node', '2999-01-01T00:00:00.000000Z')") {
        return;
    }
    let refused = server.post("/v1/models/orders/reconcile", &json!({})).problem(409, "model-state");
    assert!(refused["detail"].as_str().unwrap().contains("another reconciliation of orders"), "{refused}");
    // A lease that nobody renews runs out.
    server.tamper("UPDATE _ek_leases SET until = '2020-01-01T00:00:00.000000Z'");
    server.post("/v1/models/orders/reconcile", &json!({})).ok(200);
}
