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
    assert_eq!(ids(&list("?type=order_placed&state=quarantined")), ["q-1"]);
    assert_eq!(ids(&list("?type=order_placed&contract_version=1")), ["q-1", "q-2", "q-3"]);
    assert_eq!(ids(&list("?contract_version=2")), [""; 0]);
    assert_eq!(ids(&list("?since=2000-01-01T00:00:00Z&until=9999-01-01T00:00:00Z")).len(), 4);
    assert_eq!(ids(&list("?until=2000-01-01T00:00:00Z")), [""; 0]);
    let page = list("?limit=3");
    assert_eq!((ids(&page).len(), &page["next"]), (3, &json!("q-3")));
    let rest = list("?limit=3&after=q-3");
    assert_eq!((ids(&rest), &rest["next"]), (vec!["q-4"], &Value::Null));
    for bad in ["since=yesterday", "contract_version=-1", "reason=bad", "state=lost", "after=17", "limit=0", "sauce=x"]
    {
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
    for action in ["redrive", "discard", "edit"] {
        let path = format!("/v1/quarantine/q-1/{action}");
        for bad in
            [json!({}), json!({"note": "x"}), json!({"author": " "}), json!({"author": "ann", "why": "x"}), json!([])]
        {
            server.post(&path, &bad).problem(400, "bad-request");
        }
    }
    let edit = json!({"author": "ann", "edit": [{"op": "remove", "path": "/data"}]});
    server.post("/v1/quarantine/q-1/discard", &edit).problem(400, "bad-request");
    server.post("/v1/quarantine/q-1/edit", &word()).problem(400, "bad-request");
    assert_eq!(server.get("/v1/quarantine/q-1").ok(200)["version"], 1);
}

/// Posts with the tag of what was looked at.
fn post_if(server: &Server, path: &str, tag: &str, body: &str) -> super::client::Answer {
    let headers = [("Content-Type", "application/json"), ("If-Match", tag)];
    super::client::request(server.addr, "POST", path, &headers, body.as_bytes())
}

#[test]
fn an_event_is_edited_and_sent_through_with_every_digit() {
    let server = waiting();
    let shown = server.get("/v1/quarantine/q-1");
    assert_eq!(shown.header("etag"), Some("\"1\""));
    let patch = |amount: &str| {
        format!(
            r#"{{"author":"ann","note":"typo","edit":[{{"op":"replace","path":"/data/amount","value":{amount}}}]}}"#
        )
    };
    let edited = post_if(&server, "/v1/quarantine/q-1/edit", "\"1\"", &patch("-1"));
    assert_eq!(edited.header("etag"), Some("\"2\""));
    let edited = edited.ok(200);
    assert_eq!(
        (&edited["version"], &edited["admissible"], &edited["reason"]),
        (&json!(2), &json!(false), &json!("invariant"))
    );
    let problem = post_if(&server, "/v1/quarantine/q-1/redrive", "\"1\"", &patch("5")).problem(412, "entry-changed");
    assert_eq!(problem["version"], 2);
    post_if(&server, "/v1/quarantine/q-1/discard", "\"1\"", r#"{"author":"ann"}"#).problem(412, "entry-changed");
    for bad in ["2", "\"x\"", "W/\"2\"", "\"2\", \"3\"", "\"+2\"", ""] {
        post_if(&server, "/v1/quarantine/q-1/redrive", bad, &patch("5")).problem(400, "bad-parameter");
    }
    for (edit, part) in [
        (r#"[{"op":"replace","path":"/data/sum","value":1}]"#, "nothing at /data/sum"),
        (r#"[{"op":"replace","path":"/id","value":"2"}]"#, "keeps its source and id"),
        (r#"{"op":"test"}"#, "array of operations"),
        (r#"[{"op":"add","path":"/data/x","value":1,"value":2}]"#, "stands twice"),
    ] {
        let body = format!(r#"{{"author":"ann","edit":{edit}}}"#);
        let answer = post_if(&server, "/v1/quarantine/q-1/edit", "*", &body);
        let problem = answer.problem(400, "bad-edit");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
    }
    let done = post_if(&server, "/v1/quarantine/q-1/redrive", "\"2\"", &patch("9007199254740993.01")).ok(200);
    assert_eq!(
        (&done["state"], &done["position"], &done["released"], &done["version"]),
        (&json!("admitted"), &json!(1), &json!(2), &json!(3))
    );
    assert!(server.get("/v1/log?limit=1").text.contains("\"9007199254740993.01\""));
    let entry = server.get("/v1/quarantine/q-1");
    assert!(
        entry.text.contains(r#""patch":[{"op":"replace","path":"/data/amount","value":9007199254740993.01}]"#),
        "{}",
        entry.text
    );
    let entry = entry.ok(200);
    assert_eq!((&entry["edits"][1]["author"], &entry["edits"][1]["note"]), (&json!("ann"), &json!("typo")));
    let raw: Value = serde_json::from_str(entry["raw"].as_str().unwrap()).unwrap();
    assert_eq!(raw, order("1", "o-1", "0"));
    assert!(entry["edited"].as_str().unwrap().contains("9007199254740993.01"));
    server.post("/v1/quarantine/q-1/edit", &serde_json::from_str(&patch("1")).unwrap()).problem(409, "entry-state");
    server.post("/v1/quarantine/q-99/edit", &serde_json::from_str(&patch("1")).unwrap()).problem(404, "no-entry");
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

#[test]
fn everything_that_was_taken_is_accounted_for() {
    let server = waiting();
    let sources = |query: &str| server.get(&format!("/v1/accounting{query}")).ok(200);
    let books = sources("");
    assert_eq!((&books["balanced"], &books["sources"][0]["source"]), (&json!(true), &json!("nobody")));
    assert_eq!((&books["sources"][0]["declared"], &books["sources"][1]["declared"]), (&Value::Null, &json!("shop")));
    assert_eq!(books["sources"][1]["counted"], Value::Null);
    let shop = |received, admitted, duplicate, quarantined, held, discarded| {
        let books = sources("?recount=true");
        assert_eq!(books["balanced"], true, "{books}");
        let shop = &books["sources"][1];
        let expected = json!({"received": received, "admitted": admitted, "duplicate": duplicate, "waiting": 0,
            "quarantined": quarantined, "held": held, "discarded": discarded});
        for (name, number) in expected.as_object().unwrap() {
            assert_eq!(&shop[name], number, "{name}: {books}");
        }
        assert_eq!((&shop["counted"]["admitted"], &shop["counted"]["held"]), (&json!(admitted), &json!(held)));
        assert_eq!(books["total"]["received"], received + 1);
    };
    shop(3, 0, 0, 3, 2, 0);
    server.publish_batch(&[order("1", "o-1", "0"), order("9", "o-9", "1")]).ok(202);
    shop(5, 1, 1, 3, 2, 0);
    server.publish_with(&order("10", "o-9", "1"), &[("Expected-Version", "7")]).problem(409, "version-conflict");
    server.post("/v1/quarantine/q-1/redrive", &word()).ok(200);
    shop(5, 1, 1, 3, 2, 0);
    server.post("/v1/quarantine/q-1/discard", &word()).ok(200);
    shop(5, 3, 1, 0, 0, 1);
    for bad in ["?recount=yes", "?source=shop"] {
        server.get(&format!("/v1/accounting{bad}")).problem(400, "bad-parameter");
    }
}

fn outcomes(report: &Value) -> Vec<(&str, &str)> {
    let entries = report["entries"].as_array().unwrap().iter();
    entries.map(|entry| (entry["id"].as_str().unwrap(), entry["outcome"].as_str().unwrap())).collect()
}

#[test]
fn what_a_filter_names_is_tried_and_then_decided_each_for_itself() {
    let server = waiting();
    server.publish_batch(&[order("5", "o-5", "0"), order("6", "o-6", "0"), order("7", "o-6", "7")]).ok(202);
    let fix = json!({"author": "ann", "edit": [{"op": "replace", "path": "/data/amount", "value": "6"}]});
    server.post("/v1/quarantine/q-6/edit", &fix).ok(200);
    let all = |verb: &str, word: Value| server.post(&format!("/v1/quarantine/{verb}"), &word).ok(200);
    let filter = json!({"source": "shop", "type": "order_placed", "contract_version": 1, "reason": "invariant",
        "since": "2000-01-01T00:00:00Z"});
    let trial = all("redrive", json!({"filter": filter, "dry_run": true}));
    assert_eq!(outcomes(&trial), [("q-1", "would_refuse"), ("q-5", "would_refuse"), ("q-6", "would_admit")]);
    assert!(trial["entries"][0]["detail"].as_str().unwrap().contains("amount_positive"), "{trial}");
    assert_eq!((&trial["dry_run"], server.positions()), (&json!(true), vec![]));
    assert_eq!(server.get("/v1/quarantine/q-1").ok(200)["version"], 1);

    let done = all("redrive", json!({"filter": filter, "author": "ann", "note": "all", "limit": 2}));
    assert_eq!((outcomes(&done), &done["next"]), (vec![("q-1", "refused"), ("q-5", "refused")], &json!("q-5")));
    let done = all("redrive", json!({"filter": filter, "author": "ann", "limit": 2, "after": "q-5"}));
    assert_eq!((outcomes(&done), &done["next"]), (vec![("q-6", "admitted")], &Value::Null));
    assert_eq!((&done["entries"][0]["released"], server.positions()), (&json!(1), vec![1, 2]));

    let trial = all("discard", json!({"filter": {}, "dry_run": true}));
    assert_eq!(outcomes(&trial), [("q-1", "would_discard"), ("q-4", "would_discard"), ("q-5", "would_discard")]);
    let done = all("discard", json!({"filter": {"reason": "invariant"}, "author": "ann"}));
    assert_eq!(outcomes(&done), [("q-1", "discarded"), ("q-5", "discarded")]);
    assert_eq!(server.positions(), [1, 2, 3, 4]);
    for bad in [
        json!({"author": "ann"}),
        json!({"filter": {}}),
        json!({"filter": {"state": "held"}, "author": "ann"}),
        json!({"filter": {"since": "now"}, "author": "ann"}),
        json!({"filter": {}, "author": "ann", "limit": 0}),
        json!({"filter": {}, "author": "ann", "after": "17"}),
    ] {
        server.post("/v1/quarantine/discard", &bad).problem(400, "bad-request");
    }
}

#[test]
fn what_waits_behind_others_has_a_bound_and_nothing_gets_out_of_order() {
    let server = Server::with("[limits]\nheld_per_source = 2", "");
    server.publish_batch(&[order("1", "o-1", "-1"), order("2", "o-1", "1"), order("3", "o-1", "1")]).ok(202);
    // All of a request or nothing of it; what waits already and other keys are taken.
    let refused = server.publish_batch(&[order("5", "o-2", "1"), order("4", "o-1", "1")]);
    let problem = refused.problem(429, "too-many-held");
    assert!(problem["detail"].as_str().unwrap().contains("shop"), "{problem}");
    assert!(refused.header("retry-after").is_some() && server.positions().is_empty());
    server.publish_batch(&[order("5", "o-2", "1"), order("3", "o-1", "1")]).ok(202);
    assert_eq!(server.get("/v1/accounting?recount=true").ok(200)["total"]["held"], 2);
    // Once somebody has decided, what is sent again comes after those.
    server.post("/v1/quarantine/q-1/discard", &word()).ok(200);
    assert_eq!(server.publish(&order("4", "o-1", "1")).ok(202)["results"][0]["position"], 4);
    let log = server.get("/v1/log").ok(200);
    let ids: Vec<_> = log["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["5", "2", "3", "4"]);
    assert_eq!(server.get("/v1/accounting?recount=true").ok(200)["balanced"], true);
}

#[test]
fn who_is_not_declared_waits_within_a_quota_and_holds_up_nobody() {
    let server = Server::with("[limits]\nuntrusted_per_source = 3\nuntrusted_total = 5", "");
    let from = |source: &str, id: &str| {
        let mut event = order(id, "o-1", "1");
        event["source"] = source.into();
        event
    };
    let stranger = |id: &str| from("stranger", id);
    server.publish_batch(&[stranger("1"), stranger("2"), stranger("1")]).ok(202);
    // All of a request or nothing of it, whatever else is in it.
    let refused = server.publish_batch(&[order("1", "o-9", "1"), stranger("3"), stranger("4")]);
    let problem = refused.problem(429, "quota-exceeded");
    assert!(problem["detail"].as_str().unwrap().contains("\"stranger\""), "{problem}");
    assert!(refused.header("retry-after").is_some() && server.positions().is_empty());
    assert_eq!(server.get("/v1/accounting?recount=true").ok(200)["total"]["received"], 3);
    assert_eq!(server.publish(&order("2", "o-1", "1")).ok(202)["results"][0]["outcome"], "admitted", "its key is free");
    // What is there already needs no room; what is broken, or of other content, does.
    server.publish(&stranger("3")).ok(202);
    server.publish(&stranger("3")).ok(202);
    let other = server.publish(&from("stranger", "4"));
    other.problem(429, "quota-exceeded");
    let mut broken = stranger("5");
    broken["Data"] = json!(1);
    server.publish(&broken).problem(429, "quota-exceeded");
    let mut changed = stranger("3");
    changed["data"] = json!({"order": "o-1", "amount": "7"});
    server.publish(&changed).problem(429, "quota-exceeded");
    // Names are free, so all of them together have a quota too.
    let first = server.publish(&from("another", "1")).ok(202);
    assert_eq!(first["results"][0]["reason"], "untrusted_source");
    server.publish(&from("a third", "1")).ok(202);
    server.publish(&from("a fourth", "1")).problem(429, "quota-exceeded");
    assert_eq!(server.publish(&order("1", "o-9", "1")).ok(202)["results"][0]["outcome"], "admitted");
    // What a person gives up makes room.
    let word = json!({"filter": {"reason": "untrusted_source", "source": "stranger"}, "author": "ann"});
    assert_eq!(server.post("/v1/quarantine/discard", &word).ok(200)["entries"].as_array().unwrap().len(), 3);
    server.publish(&from("a fourth", "1")).ok(202);
    assert_eq!(server.get("/v1/accounting?recount=true").ok(200)["balanced"], true);
}
