//! Reads: rows and pages, their label, and every way to ask for what cannot be had.
use super::project::{Server, delivery, order};
use serde_json::{Value, json};

const STRONG: &str = "level=strong&budget_ms=30000";

fn filled() -> Server {
    let server = Server::start();
    let events = [
        order("1", "o-1", "1.10"),
        order("2", "a/b c", "2"),
        order("3", "o-3", "3"),
        delivery("1", "pen", "north", json!(5)),
        delivery("2", "pen", "north", json!(-2)),
    ];
    server.publish_batch(&events).ok(202);
    server
}

#[test]
fn models_are_listed_with_their_columns() {
    let server = Server::start();
    let answer = server.get("/v1/models").ok(200);
    let stock = &answer["models"][1];
    assert_eq!(
        (&stock["model"], &stock["version"], &stock["key"]),
        (&json!("stock"), &json!(1), &json!(["item", "site"]))
    );
    assert_eq!(stock["columns"][2], json!({"name": "on_hand", "type": "i64", "merge": "pn_counter"}));
    assert_eq!(stock["subscribes"], json!(["stock_received"]));
}

#[test]
fn a_row_comes_with_its_label() {
    let server = filled();
    let answer = server.get(&format!("/v1/models/orders/rows/o-1?{STRONG}"));
    let body = answer.ok(200);
    assert_eq!(body["data"], json!({"order_id": "o-1", "amount": "1.10"}));
    let label = &body["consistency"];
    assert_eq!((&label["level_requested"], &label["level_served"]), (&json!("strong"), &json!("strong")));
    assert_eq!(
        (&label["data_stale"], &label["freshness"], &label["position"]),
        (&json!(false), &json!("fresh"), &json!(5))
    );
    for member in [
        "staleness_seconds",
        "suggested_action",
        "status",
        "reason",
        "lag_count",
        "lag_seconds",
        "staleness_bound_seconds",
        "as_of",
        "read_model_last_write",
        "head",
        "attempts",
        "waited_ms",
        "budget_ms",
        "eta_seconds",
        "content",
        "parked_events",
        "quarantined_events",
        "token",
    ] {
        assert!(label.as_object().unwrap().contains_key(member), "{member}");
    }
    let header = answer.header("freshness").unwrap();
    assert!(
        header.starts_with("status=")
            && header.contains("lag-n=0, lag-s=0.0, bound-s=")
            && header.ends_with("content=unverified"),
        "{header}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[test]
fn keys_may_have_several_columns_and_any_characters() {
    let server = filled();
    let body = server.get(&format!("/v1/models/stock/rows/pen/north?{STRONG}")).ok(200);
    assert_eq!(body["data"]["on_hand"], 3);
    let body = server.get(&format!("/v1/models/orders/rows/a%2Fb%20c?{STRONG}")).ok(200);
    assert_eq!(body["data"]["order_id"], "a/b c");
    for wrong in ["orders/rows/a/b", "stock/rows/pen", "stock/rows/pen/north/x", "orders/rows/o-1/"] {
        server.get(&format!("/v1/models/{wrong}")).problem(400, "bad-key");
    }
    server.get("/v1/models/orders/rows/%FF").problem(400, "bad-parameter");
    server.get("/v1/models/orders/rows/%zz").problem(400, "bad-parameter");
}

#[test]
fn what_is_not_there_is_not_found_and_still_labelled() {
    let server = filled();
    let answer = server.get(&format!("/v1/models/orders/rows/none?{STRONG}"));
    let problem = answer.problem(404, "no-row");
    assert_eq!((&problem["data"], &problem["consistency"]["level_served"]), (&Value::Null, &json!("strong")));
    assert!(answer.header("freshness").is_some());
    server.get("/v1/models/none/rows/x").problem(404, "no-model");
    server.get("/v1/models/none/rows").problem(404, "no-model");
}

#[test]
fn rows_come_in_pages_that_cover_them_once() {
    let server = filled();
    let first = server.get(&format!("/v1/models/orders/rows?limit=2&{STRONG}"));
    assert!(first.header("freshness").is_some());
    let first = first.ok(200);
    let ids = |page: &Value| -> Vec<String> {
        page["rows"].as_array().unwrap().iter().map(|row| row["order_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&first), ["a/b c", "o-1"]);
    assert_eq!(first["rows"][0]["_parked"], false);
    let cursor: String = first["next"].as_str().unwrap().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let second = server.get(&format!("/v1/models/orders/rows?limit=2&cursor={cursor}")).ok(200);
    assert_eq!((ids(&second), &second["next"]), (vec!["o-3".to_owned()], &Value::Null));
    server.get("/v1/models/orders/rows?cursor=nonsense").problem(400, "bad-parameter");
}

#[test]
fn rows_are_filtered_ordered_picked_and_counted() {
    let server = filled();
    let list = |query: &str| server.get(&format!("/v1/models/orders/rows?{STRONG}&{query}")).ok(200);
    let answer = list("where.amount=ge.1.1&where.amount=lt.3.0&order=amount.desc&select=amount,order_id&count=exact");
    let expected = json!([
        {"order_id": "a/b c", "amount": "2", "_parked": false},
        {"order_id": "o-1", "amount": "1.10", "_parked": false},
    ]);
    assert_eq!((&answer["rows"], &answer["total"], &answer["next"]), (&expected, &json!(2), &Value::Null));
    assert_eq!(answer["consistency"]["level_served"], "strong");
    assert_eq!(list("where.order_id=like.o-*&where.order_id=in.(o-3,%22a/b%20c%22)")["rows"][0]["order_id"], "o-3");
    assert!(list("where.amount=is.null").get("total").is_none());
    let page = list("order=amount&limit=1");
    assert_eq!(page["rows"][0]["amount"], "1.10");
    let next = page["next"].as_str().unwrap();
    assert!(next.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{next}");
    assert_eq!(list(&format!("order=amount&limit=1&cursor={next}"))["rows"][0]["amount"], "2");
    for (query, says) in [
        (format!("order=amount.desc&cursor={next}"), "cursor: it is of another query"),
        ("where.weight=eq.1".into(), "where.weight: orders has no column \"weight\"; there are: order_id, amount"),
        ("where.amount=about.1".into(), "where.amount: expected OPERATOR.VALUE, where a column of type decimal has"),
        ("where.amount=eq.much".into(), "where.amount: expected an exact decimal, found \"much\""),
        ("order=amount.up".into(), "order: expected COLUMN, COLUMN.asc or COLUMN.desc, found \"amount.up\""),
        ("select=order_id,sum".into(), "select: orders has no column \"sum\""),
        ("count=about".into(), "count: expected exact, found \"about\""),
    ] {
        let problem = server.get(&format!("/v1/models/orders/rows?{query}")).problem(400, "bad-parameter");
        assert!(problem["detail"].as_str().unwrap().starts_with(says), "{problem}");
    }
}

#[test]
fn rows_are_looked_for_as_long_as_that_may_take() {
    let server = Server::with("[read]\nquery_timeout_ms = 1", "");
    let orders: Vec<_> = (0..3_000).map(|n| order(&n.to_string(), &format!("o-{n:04}"), &format!("{n}.5"))).collect();
    server.publish_batch(&orders).ok(202);
    server.get(&format!("/v1/models/orders/rows?{STRONG}&limit=1")).ok(200);
    for query in
        ["order=amount.desc", "where.amount=lt.0", "count=exact&where.amount=ge.1.50", "order=amount&allow_stale=true"]
    {
        let problem = server.get(&format!("/v1/models/orders/rows?{query}")).problem(400, "query-limit");
        let help = problem["help"].as_str().unwrap();
        assert!(help.contains("query_timeout_ms") && problem["detail"].as_str().unwrap().contains("1 ms"), "{problem}");
    }
    // What the key gives is not looked for.
    server.get("/v1/models/orders/rows?limit=5").ok(200);
    server.get("/v1/models/orders/rows/o-2999").ok(200);
}

#[test]
fn nothing_asked_for_is_ignored() {
    let server = filled();
    for address in ["/v1/models/orders/rows/o-1", "/v1/models/orders/rows"] {
        let refused = |query: &str, kind: &str| {
            let problem = server.get(&format!("{address}?{query}")).problem(400, kind);
            let name = query.split('=').next().unwrap();
            assert!(problem["detail"].as_str().unwrap().contains(name), "{problem}");
        };
        for bad in [
            "lvel=strong",
            "level=strongest",
            "budget_ms=x",
            "budget_ms=60001",
            "allow_stale=maybe",
            "max_lag=-1",
            "max_staleness_ms=x",
            "consistent_since=x",
        ] {
            refused(bad, "bad-parameter");
        }
        server.get(&format!("{address}?level=eventual&level=strong")).problem(400, "bad-parameter");
        server.get(&format!("{address}?token=t")).problem(400, "bad-token");
        server.get_with(address, &[("Consistency-Token", "t")]).problem(400, "bad-token");
        server.get_with(address, &[("Prefer", "wait=soon")]).problem(400, "bad-parameter");
    }
    for of_many in ["limit=1", "where.amount=eq.1", "order=amount", "select=amount", "count=exact"] {
        server.get(&format!("/v1/models/orders/rows/o-1?{of_many}")).problem(400, "bad-parameter");
    }
    server.get("/v1/models?x=1").problem(400, "bad-parameter");
}

#[test]
fn a_preference_is_applied_and_said_so() {
    let server = filled();
    let answer = server.get_with("/v1/models/orders/rows/o-1", &[("Prefer", "wait=2")]);
    assert_eq!(answer.header("preference-applied"), Some("wait=2"));
    assert_eq!(answer.json()["consistency"]["budget_ms"], 2000);
    let answer = server.get_with("/v1/models/orders/rows/o-1?budget_ms=7", &[("Prefer", "wait=2")]);
    assert_eq!((answer.header("preference-applied"), &answer.json()["consistency"]["budget_ms"]), (None, &json!(7)));
    let answer = server.get("/v1/models/orders/rows/o-1");
    assert_eq!(answer.json()["consistency"]["budget_ms"], 250);
}

#[test]
fn a_stopped_projector_is_told_and_a_strong_read_has_the_rest() {
    let server = filled();
    server.get(&format!("/v1/models/orders/rows?{STRONG}")).ok(200);
    let stopped = server.post("/v1/models/orders/projector/stop", &json!({"reason": "maintenance"})).ok(200);
    assert_eq!(stopped["model"], "orders");
    server.publish(&order("9", "o-1", "99")).ok(202);

    let stale = server.get("/v1/models/orders/rows/o-1").ok(200);
    assert_eq!(stale["data"]["amount"], "1.10");
    assert_eq!((&stale["consistency"]["data_stale"], &stale["consistency"]["lag_count"]), (&json!(true), &json!(1)));
    assert_eq!(stale["consistency"]["status"], "stalled");
    assert!(stale["consistency"]["reason"].as_str().unwrap().contains("maintenance"), "{stale}");
    let strong = server.get(&format!("/v1/models/orders/rows/o-1?{STRONG}")).ok(200);
    assert_eq!(strong["data"]["amount"], "99");

    // Many rows cannot be folded on the way: refused, or labelled where that is welcome.
    let refused = server.get("/v1/models/orders/rows?level=strong&budget_ms=1");
    refused.problem(503, "not-met");
    assert!(refused.header("retry-after").is_some());
    let labelled = server.get("/v1/models/orders/rows?level=strong&budget_ms=1&allow_stale=true").ok(200);
    assert_eq!(
        (&labelled["consistency"]["level_served"], &labelled["consistency"]["data_stale"]),
        (&json!("eventual"), &json!(true))
    );

    server.post("/v1/models/orders/projector/start", &json!({})).ok(200);
    let caught_up = server.get(&format!("/v1/models/orders/rows?{STRONG}")).ok(200);
    assert_eq!(caught_up["consistency"]["lag_count"], 0);
}

#[test]
fn a_client_that_has_the_rows_is_told_so_and_nothing_with_a_floor_is_kept() {
    let server = filled();
    server.get(&format!("/v1/models/orders/rows?{STRONG}")).ok(200);
    for address in ["/v1/models/orders/rows/o-1", "/v1/models/orders/rows"] {
        let first = server.get(address);
        let tag = first.header("etag").unwrap();
        assert_eq!(first.header("cache-control"), Some("private, no-cache"));
        assert!(first.header("vary").unwrap().contains("consistency-token"));
        let again = server.get_with(address, &[("If-None-Match", tag)]);
        assert_eq!((again.status, again.text.as_str(), again.header("etag")), (304, "", Some(tag)));
        assert!(again.header("freshness").is_some() && again.header("consistency-token").is_some());
        for floor in ["level=strong&budget_ms=30000", "max_lag=1000", "level=monotonic"] {
            assert_eq!(server.get(&format!("{address}?{floor}")).header("cache-control"), Some("no-store"), "{floor}");
        }
    }
    // The same row, and it is stale now: nobody is told that what he has will do.
    let tag = server.get("/v1/models/orders/rows/o-1").header("etag").unwrap().to_owned();
    server.post("/v1/models/orders/projector/stop", &json!({})).ok(200);
    server.publish(&order("9", "o-9", "9")).ok(202);
    let stale = server.get_with("/v1/models/orders/rows/o-1", &[("If-None-Match", &tag)]).ok(200);
    assert_eq!(stale["consistency"]["data_stale"], true);
    let missing = server.get_with("/v1/models/orders/rows/none", &[("If-None-Match", "*")]);
    missing.problem(404, "no-row");
}
