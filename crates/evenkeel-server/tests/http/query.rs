//! SQL over models: its rows, its label, what it waits for, and what is refused.
use super::project::{Server, delivery, order};
use serde_json::{Value, json};
use std::{thread, time::Duration};

const STRONG: &str = "/v1/query?level=strong&budget_ms=30000";

fn filled() -> Server {
    let server = Server::with("[read]\nquery_timeout_ms = 300\nquery_rows = 3", "");
    let events = [
        order("1", "o-1", "1.10"),
        order("2", "o-2", "10"),
        delivery("1", "pen", "north", json!(5)),
        delivery("2", "pen", "south", json!(2)),
        delivery("3", "mug", "north", json!(1)),
    ];
    server.publish_batch(&events).ok(202);
    server
}

fn sql(text: &str) -> Value {
    json!({ "sql": text })
}

#[test]
fn rows_come_by_name_with_the_label_of_what_was_read() {
    let server = filled();
    let join =
        "SELECT order_id, units FROM orders, units_by_item WHERE item = 'pen' ORDER BY amount COLLATE ek_decimal DESC";
    let answer = server.post(STRONG, &sql(join));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.header("freshness").is_some() && answer.header("consistency-token").is_some());
    let answer = answer.ok(200);
    assert_eq!(answer["columns"], json!(["order_id", "units"]));
    assert_eq!(answer["rows"], json!([{"order_id": "o-2", "units": 7}, {"order_id": "o-1", "units": 7}]));
    assert_eq!(answer["more"], false);
    let label = &answer["consistency"];
    assert_eq!(
        (&label["level_served"], &label["position"], &label["data_stale"]),
        (&json!("strong"), &json!(5), &json!(false))
    );
    let read: Vec<_> =
        answer["models"].as_array().unwrap().iter().map(|model| model["model"].as_str().unwrap()).collect();
    assert_eq!(read, ["orders", "stock"]);
    let answer = server.post(STRONG, &sql("SELECT item, site FROM stock ORDER BY 1, 2")).ok(200);
    assert_eq!((answer["rows"].as_array().unwrap().len(), &answer["more"]), (3, &json!(false)));
    let answer = server.post(STRONG, &json!({"sql": "SELECT item FROM stock", "limit": 2})).ok(200);
    assert_eq!((answer["rows"].as_array().unwrap().len(), &answer["more"]), (2, &json!(true)));
    let answer = server.post(STRONG, &sql("SELECT model, lag_count FROM _ek_freshness ORDER BY model")).ok(200);
    assert_eq!((&answer["rows"][0]["model"], answer["models"].as_array().unwrap().len()), (&json!("orders"), 2));
}

#[test]
fn the_label_is_the_worst_and_every_model_must_show_what_is_asked_for() {
    let server = filled();
    server.post(STRONG, &sql("SELECT 1 AS one")).ok(200);
    server.post("/v1/models/stock/projector/stop", &json!({"reason": "test"})).ok(200);
    let events = [order("3", "o-3", "3"), delivery("4", "pen", "north", json!(1))];
    let token = server.publish_batch(&events).ok(202)["token"].as_str().unwrap().to_owned();
    let both = sql("SELECT (SELECT count(*) FROM orders) AS orders, (SELECT sum(on_hand) FROM stock) AS units");
    // Whoever reads only what has moved on waits for nothing else.
    let orders = sql("SELECT count(*) AS orders FROM orders");
    let answer = server.post(&format!("/v1/query?token={token}&budget_ms=30000"), &orders).ok(200);
    assert_eq!((&answer["rows"][0]["orders"], &answer["consistency"]["level_served"]), (&json!(3), &json!("causal")));
    assert_eq!(server.post(STRONG, &orders).ok(200)["consistency"]["lag_count"], 0);
    for asked in ["level=strong".to_owned(), format!("token={token}"), "max_lag=0".into()] {
        let refused = server.post(&format!("/v1/query?budget_ms=50&{asked}"), &both);
        let problem = refused.problem(503, "not-met");
        assert!(refused.header("retry-after").is_some() && problem["consistency"]["data_stale"] == true, "{problem}");
        let stale = server.post(&format!("/v1/query?budget_ms=50&allow_stale=true&{asked}"), &both).ok(200);
        assert_eq!(stale["rows"], json!([{"orders": 3, "units": 8}]));
        let label = &stale["consistency"];
        assert_eq!(
            (&label["level_served"], &label["data_stale"], &label["lag_count"]),
            (&json!("eventual"), &json!(true), &json!(1))
        );
        let of = |name: &str| {
            stale["models"].as_array().unwrap().iter().find(|model| model["model"] == name).unwrap().clone()
        };
        assert_eq!((&of("orders")["lag_count"], &of("stock")["lag_count"]), (&json!(0), &json!(1)));
    }
    // It waits for the model that is behind, and is woken by it.
    thread::scope(|scope| {
        let waiting = scope.spawn(|| server.post(STRONG, &both).ok(200));
        thread::sleep(Duration::from_millis(50));
        server.post("/v1/models/stock/projector/start", &json!({})).ok(200);
        let answer = waiting.join().unwrap();
        assert_eq!(answer["rows"], json!([{"orders": 3, "units": 9}]));
        let label = &answer["consistency"];
        assert!(label["level_served"] == "strong" && label["attempts"].as_u64().unwrap() > 1, "{label}");
    });
}

#[test]
fn what_is_not_allowed_or_costs_too_much_is_refused() {
    let server = filled();
    for (text, says) in [
        ("SELEC 1", "syntax error"),
        ("DELETE FROM orders", "a statement that reads is expected"),
        ("SELECT 1 AS a; SELECT 2 AS b", "one statement is expected"),
        (
            "SELECT * FROM parcels",
            "there is no model or view parcels; there are: orders, stock, units_by_item, _ek_freshness",
        ),
        ("SELECT value FROM _ek_meta", "cannot be read"),
        ("SELECT load_extension('x') AS x", "cannot be used here"),
        ("PRAGMA user_version", "a statement that reads is expected"),
    ] {
        let problem = server.post("/v1/query", &sql(text)).problem(400, "bad-sql");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{problem}");
    }
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS n FROM n";
    let problem = server.post("/v1/query", &sql(endless)).problem(400, "query-limit");
    assert!(problem["detail"].as_str().unwrap().contains("did not end within 300 ms"), "{problem}");
    for body in
        [json!({}), json!({"sql": 1}), json!({"sql": "SELECT 1", "limit": 0}), json!({"sql": "SELECT 1", "x": 1})]
    {
        server.post("/v1/query", &body).problem(400, "bad-request");
    }
    server.post("/v1/query?sql=x", &sql("SELECT 1")).problem(400, "bad-parameter");
    server.post("/v1/query?token=t", &sql("SELECT 1")).problem(400, "bad-token");
    server.get("/v1/query").problem(405, "method-not-allowed");
}

/// As many statements as may are under way: the next is sent away, and one that is asked already shares an attempt.
#[test]
fn where_there_is_no_room_it_is_said_when_there_may_be() {
    let server = Server::with("[read]\nquery_timeout_ms = 1500\nat_once = 1\nwaiting = 0", "");
    server.publish(&order("1", "o-1", "1")).ok(202);
    server.post(STRONG, &sql("SELECT count(*) AS n FROM orders")).ok(200);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS n FROM n";
    thread::scope(|scope| {
        let first = scope.spawn(|| server.post("/v1/query", &sql(endless)).problem(400, "query-limit"));
        thread::sleep(Duration::from_millis(400));
        let refused = server.post("/v1/query", &sql("SELECT 1 AS one"));
        refused.problem(503, "too-many-reads");
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
        // Reads of rows have room of their own.
        server.get("/v1/models/orders/rows/o-1?level=strong&budget_ms=30000").ok(200);
        first.join().unwrap();
    });
    server.post("/v1/query", &sql("SELECT 1 AS one")).ok(200);
}

/// A row that somebody takes away where nothing notes it is missed by no strong statement.
#[test]
fn a_strong_statement_believes_no_table_since_somebody_else_has_written() {
    let server = filled();
    let count = sql("SELECT count(*) AS n FROM stock");
    assert_eq!(server.post(STRONG, &count).ok(200)["rows"][0]["n"], 3);
    let unnoted = "DROP TRIGGER IF EXISTS _ek_watch_delete_stock; DELETE FROM stock WHERE item = 'mug'";
    if !server.tamper(unnoted) {
        return;
    }
    server.post("/v1/query?level=strong&budget_ms=500", &count).problem(503, "not-met");
    assert_eq!(server.post("/v1/query", &count).ok(200)["rows"][0]["n"], 2);
}
