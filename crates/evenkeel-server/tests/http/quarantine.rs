//! The quarantine: what waits, what is behind it, and a person's word on it.
use super::project::{Server, delivery, order};
use serde_json::{Value, json};

/// One order with a bad event that two good ones wait behind, and an unknown sender.
fn waiting() -> Server {
    let server = Server::start();
    let mut strange = order("9", "o-9", "1");
    strange["source"] = "nobody".into();
    let events = [order("1", "o-1", "0"), order("2", "o-1", "2"), order("3", "o-1", "3"), strange];
    let answer = server.publish_batch(&events).ok(202);
    assert_eq!(answer["results"][1]["reason"], "held_behind");
    server
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["entries"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap()).collect()
}

fn word() -> Value {
    json!({"author": "ann", "note": "looked at it"})
}

#[test]
fn entries_are_listed_filtered_and_paged() {
    let server = waiting();
    let list = |query: &str| server.get(&format!("/v1/quarantine{query}")).ok(200);
    assert_eq!(ids(&list("")), ["q-1", "q-2", "q-3", "q-4"]);
    assert_eq!(ids(&list("?reason=held_behind")), ["q-2", "q-3"]);
    assert_eq!(ids(&list("?source=nobody")), ["q-4"]);
    assert_eq!(ids(&list("?state=quarantined")), ["q-1", "q-4"]);
    let page = list("?limit=3");
    assert_eq!((ids(&page).len(), &page["next"]), (3, &json!("q-3")));
    let rest = list("?limit=3&after=q-3");
    assert_eq!((ids(&rest), &rest["next"]), (vec!["q-4"], &Value::Null));
    for bad in ["reason=bad", "state=lost", "after=17", "limit=0", "sauce=x"] {
        let problem = server.get(&format!("/v1/quarantine?{bad}")).problem(400, "bad-parameter");
        assert!(problem["detail"].as_str().unwrap().contains(bad.split('=').next().unwrap()), "{problem}");
    }
}

#[test]
fn an_entry_is_shown_whole() {
    let server = waiting();
    let entry = server.get("/v1/quarantine/q-1").ok(200);
    assert_eq!(
        (&entry["reason"], &entry["state"], &entry["held_behind"]),
        (&json!("invariant"), &json!("quarantined"), &json!(2))
    );
    let raw: Value = serde_json::from_str(entry["raw"].as_str().unwrap()).unwrap();
    assert_eq!(raw, order("1", "o-1", "0"));
    for unknown in ["q-99", "q-x", "p-orders-1.0.0", "nonsense", "%20"] {
        server.get(&format!("/v1/quarantine/{unknown}")).problem(404, "no-entry");
    }
}

#[test]
fn a_discard_releases_what_waits_behind() {
    let server = waiting();
    let done = server.post("/v1/quarantine/q-1/discard", &word()).ok(200);
    assert_eq!((&done["state"], &done["released"]), (&json!("discarded"), &json!(2)));
    assert_eq!(server.positions(), [1, 2]);
    let entry = server.get("/v1/quarantine/q-1").ok(200);
    assert_eq!((&entry["author"], &entry["note"]), (&json!("ann"), &json!("looked at it")));
    let problem = server.post("/v1/quarantine/q-1/discard", &word()).problem(409, "entry-state");
    assert_eq!(problem["state"], "discarded");
    server.post("/v1/quarantine/q-1/redrive", &word()).problem(409, "entry-state");
    server.post("/v1/quarantine/q-77/discard", &word()).problem(404, "no-entry");
}

#[test]
fn a_redrive_that_is_refused_again_says_why() {
    let server = waiting();
    let done = server.post("/v1/quarantine/q-1/redrive", &word()).ok(200);
    assert_eq!((&done["state"], &done["reason"]), (&json!("quarantined"), &json!("invariant")));
    assert!(done["detail"].as_str().unwrap().contains("amount_positive"), "{done}");
    server.post("/v1/quarantine/q-2/redrive", &word()).problem(409, "entry-state");
    assert!(server.positions().is_empty());
}

#[test]
fn a_decision_has_an_author_and_nothing_that_is_not_understood() {
    let server = waiting();
    for action in ["redrive", "discard"] {
        let path = format!("/v1/quarantine/q-1/{action}");
        let edit =
            json!({"author": "ann", "note": "", "edit": [{"op": "replace", "path": "/data/amount", "value": "1"}]});
        server.post(&path, &edit).problem(400, "not-offered");
        for bad in
            [json!({}), json!({"note": "x"}), json!({"author": " "}), json!({"author": "ann", "why": "x"}), json!([])]
        {
            server.post(&path, &bad).problem(400, "bad-request");
        }
    }
    assert_eq!(server.get("/v1/quarantine/q-1").ok(200)["state"], "quarantined");
}

#[test]
fn a_halted_source_goes_on_when_told_to() {
    let server = Server::start();
    let events = [delivery("1", "pen", "north", json!("many")), delivery("2", "ink", "north", json!(1))];
    let answer = server.publish_batch(&events).ok(202);
    assert_eq!(answer["results"][1]["reason"], "held_behind");
    server.post("/v1/sources/shop/resume", &word()).problem(409, "not-halted");
    server.post("/v1/sources/warehouse/resume", &json!({})).problem(400, "bad-request");
    let resumed = server.post("/v1/sources/warehouse/resume", &word()).ok(200);
    assert_eq!(resumed, json!({"source": "warehouse", "released": 1}));
    assert_eq!(server.positions(), [1]);
}
