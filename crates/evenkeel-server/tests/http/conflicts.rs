//! Two editors who had not seen each other's writes: what stands, what is recorded, and that it can be decided again.
use super::project::{Server, order};
use serde_json::{Value, json};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// Writes order `o-1` with what the writer had seen; the token of the answer.
fn write(server: &Server, id: &str, amount: &str, token: Option<&str>) -> String {
    let headers: Vec<_> = token.map(|token| ("Consistency-Token", token)).into_iter().collect();
    let answer = server.publish_with(&order(id, "o-1", amount), &headers).ok(202);
    assert_eq!(answer["results"][0]["outcome"], "admitted", "{answer}");
    answer["token"].as_str().unwrap().to_owned()
}

/// The amount once the model has applied what the token speaks of.
fn amount(server: &Server, token: &str) -> Value {
    let headers = [("Consistency-Token", token)];
    let path = "/v1/models/orders/rows/o-1?level=causal&budget_ms=10000";
    server.get_with(path, &headers).ok(200)["data"]["amount"].clone()
}

#[test]
fn writers_who_had_not_seen_each_other_conflict() {
    let server = Server::start();
    let token = write(&server, "1", "1", None);
    write(&server, "2", "2", Some(&token));
    let last = write(&server, "3", "3", Some(&token));
    assert_eq!(amount(&server, &last), "3", "the later by the order");
    let found = server.get("/v1/conflicts?model=orders&key=o-1&replay=true").ok(200);
    let [conflict] = found["conflicts"].as_array().unwrap().as_slice() else { panic!("{found}") };
    for (field, expected) in [
        ("model", json!("orders")),
        ("key", json!("o-1")),
        ("column", json!("amount")),
        ("strategy", json!("lww")),
        ("relation", json!("concurrent")),
        ("rule", json!("hlc")),
        ("replayed", json!(true)),
        ("model_version", json!(1)),
    ] {
        assert_eq!(conflict[field], expected, "{field} of {conflict}");
    }
    let (winner, loser) = (&conflict["winner"], &conflict["loser"]);
    assert_eq!((&winner["value"], &loser["value"]), (&json!("3"), &json!("2")));
    assert_eq!(
        (&winner["dot"], &loser["dot"]),
        (&json!({"replica": "a", "seq": 3}), &json!({"replica": "a", "seq": 2}))
    );
    assert_eq!((&winner["saw"]["position"], &winner["position"]), (&json!(1), &json!(3)));

    let id = conflict["id"].as_str().unwrap();
    let one = server.get(&format!("/v1/conflicts/{id}")).ok(200);
    assert_eq!(one["decisions"], found["conflicts"]);
    // A row without our column, and no filter on it.
    let row = server.get("/v1/models/orders/rows/o-1").ok(200);
    assert_eq!(row["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["amount", "order_id"]);
    server.get("/v1/models/orders/rows?where._ek_merge=eq.x").problem(400, "bad-parameter");
    let sql = server.post("/v1/query", &json!({"sql": "SELECT * FROM orders"})).ok(200);
    assert_eq!(sql["columns"], json!(["order_id", "amount"]), "{sql}");
    // A rebuild folds the same events and records nothing new.
    server.post("/v1/models/orders/reconcile", &json!({"method": "rebuild"})).ok(200);
    assert_eq!(server.get("/v1/conflicts?replay=true").ok(200)["conflicts"], found["conflicts"]);
    assert_eq!(amount(&server, &last), "3");
}

/// The number is of the process, which other tests share: a model that only this one has is counted.
#[test]
fn each_conflict_is_counted_once_by_model_and_merge() {
    let mut server = Server::start();
    server.restart(|data| {
        let models = data.parent().unwrap().join("models");
        let orders = fs::read_to_string(models.join("orders.toml")).unwrap();
        fs::write(models.join("counted.toml"), orders.replace("\"orders\"", "\"counted\"")).unwrap();
    });
    let has = |value: u64, token: &str| {
        let path = "/v1/models/counted/rows/o-1?level=causal&budget_ms=10000";
        server.get_with(path, &[("Consistency-Token", token)]).ok(200);
        let line = format!("evenkeel_conflicts_total{{model=\"counted\",merge=\"lww\"}} {value}");
        let counted = || {
            let metrics = server.get("/metrics").text;
            let found = metrics.lines().find(|line| line.starts_with("evenkeel_conflicts_total{model=\"counted\""));
            found.map(ToOwned::to_owned)
        };
        // It is counted right after the commit that answers wait for.
        let began = Instant::now();
        while counted().as_deref() != Some(&line) && began.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(counted(), Some(line));
    };
    let first = write(&server, "1", "1", None);
    write(&server, "2", "2", Some(&first));
    has(1, &write(&server, "3", "3", Some(&first)));
    // Who knows what stands, and who sends an event again, meets nobody; neither does a rebuild, which decides all again.
    let last = write(&server, "4", "4", None);
    server.publish_with(&order("3", "o-1", "3"), &[("Consistency-Token", &first)]).ok(202);
    server.post("/v1/models/counted/reconcile", &json!({"method": "rebuild"})).ok(200);
    has(1, &last);
    has(2, &write(&server, "5", "5", Some(&first)));
}

#[test]
fn who_has_seen_the_other_or_says_nothing_does_not_conflict() {
    let server = Server::start();
    let first = write(&server, "1", "1", None);
    let second = write(&server, "2", "2", Some(&first));
    write(&server, "3", "3", Some(&second));
    let last = write(&server, "4", "4", None);
    assert_eq!(amount(&server, &last), "4");
    assert_eq!(server.get("/v1/conflicts").ok(200), json!({"conflicts": [], "next": null}));
}

/// A row that was deleted by somebody who said what they had seen is no row to anybody, and known to have been deleted.
#[test]
fn who_had_not_seen_a_deletion_revives_what_they_write_and_that_is_recorded() {
    let server = Server::start();
    let token = write(&server, "1", "1", None);
    let mut withdrawn = order("2", "o-1", "1");
    withdrawn["type"] = "OrderWithdrawn".into();
    let answer = server.publish_with(&withdrawn, &[("Consistency-Token", &token)]).ok(202);
    let deleted = answer["token"].as_str().unwrap();
    for level in ["causal", "strong"] {
        let path = format!("/v1/models/orders/rows/o-1?level={level}&budget_ms=10000");
        let gone = server.get_with(&path, &[("Consistency-Token", deleted)]);
        assert_eq!(gone.problem(404, "no-row")["consistency"]["level_served"], level);
    }
    let page = server.get("/v1/models/orders/rows?count=exact").ok(200);
    assert_eq!((&page["rows"], &page["total"]), (&json!([]), &json!(0)), "{page}");
    let sql = server.post("/v1/query", &json!({"sql": "SELECT count(*) AS n FROM orders"})).ok(200);
    assert_eq!(sql["rows"], json!([{"n": 0}]));
    server.get("/v1/models/orders/rows?where._ek_deleted=is.true").problem(400, "bad-parameter");

    let last = write(&server, "3", "3", Some(&token));
    assert_eq!(amount(&server, &last), "3");
    let found = server.get("/v1/conflicts?replay=true").ok(200);
    let [conflict] = found["conflicts"].as_array().unwrap().as_slice() else { panic!("{found}") };
    assert_eq!((&conflict["rule"], &conflict["replayed"]), (&json!("add_wins"), &json!(true)));
    assert_eq!((&conflict["winner"]["value"], &conflict["loser"]["kind"]), (&json!("3"), &json!("delete")));
    let verified = server.post("/v1/models/orders/verify", &json!({"full": true})).ok(200);
    assert_eq!((&verified["verdict"], &verified["wrong_rows"]), (&json!("verified"), &json!(0)), "{verified}");
    server.post("/v1/models/orders/reconcile", &json!({"method": "rebuild"})).ok(200);
    assert_eq!(server.get("/v1/conflicts?replay=true").ok(200), found);
}

#[test]
fn conflicts_come_page_by_page() {
    let server = Server::start();
    let token = write(&server, "0", "1", None);
    let last = (1..5).map(|n| write(&server, &n.to_string(), &(n + 1).to_string(), Some(&token))).last().unwrap();
    amount(&server, &last);
    let all = server.get("/v1/conflicts").ok(200);
    let (mut path, mut found) = ("/v1/conflicts?limit=1".to_owned(), Vec::new());
    loop {
        let page = server.get(&path).ok(200);
        found.extend(page["conflicts"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/conflicts?limit=1&cursor={next}");
    }
    assert_eq!((found.len(), Value::from(found)), (3, all["conflicts"].clone()));
}

#[test]
fn what_cannot_be_asked_is_said() {
    let server = Server::start();
    server.get("/v1/conflicts?model=nobody").problem(404, "no-model");
    server.get("/v1/conflicts?key=o-1").problem(400, "bad-request");
    server.get("/v1/conflicts?model=stock&key=only-one").problem(400, "bad-request");
    server.get("/v1/conflicts?cursor=17").problem(400, "bad-request");
    server.get("/v1/conflicts?limit=0").problem(400, "bad-parameter");
    server.get("/v1/conflicts?replay=perhaps").problem(400, "bad-parameter");
    server.get("/v1/conflicts/c-17").problem(404, "no-conflict");
    server.get("/v1/conflicts?model=stock&key=bolt/north").ok(200);
}
