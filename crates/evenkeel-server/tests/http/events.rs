//! Publishing: the three modes, what becomes of good and bad events, and conditional appends.
use super::project::{Server, delivery, order};
use serde_json::{Value, json};

const BINARY: [(&str, &str); 5] = [
    ("Content-Type", "application/json"),
    ("ce-specversion", "1.0"),
    ("ce-id", "1"),
    ("ce-source", "shop"),
    ("ce-type", "OrderPlaced"),
];

fn outcomes(answer: &Value) -> Vec<&str> {
    answer["results"].as_array().unwrap().iter().map(|result| result["outcome"].as_str().unwrap()).collect()
}

#[test]
fn a_structured_event_is_taken() {
    let server = Server::start();
    let answer = server.publish(&order("1", "o-1", "9.90")).ok(202);
    let result = &answer["results"][0];
    assert_eq!(
        (&result["source"], &result["id"], &result["outcome"]),
        (&json!("shop"), &json!("1"), &json!("admitted"))
    );
    assert_eq!(
        (&result["position"], &result["stream_version"], &result["token_covers"]),
        (&json!(1), &json!(1), &json!(true))
    );
    assert_eq!(result["event_id"].as_str().unwrap().len(), 64);
    assert!(answer["token"].as_str().is_some_and(|token| token.len() > 100), "{answer}");
}

#[test]
fn an_event_is_the_same_in_every_mode() {
    let server = Server::start();
    let body = br#"{"order": "o-1", "amount": "1.50"}"#;
    let first = server.publish_bytes(body, &BINARY).ok(202);
    assert_eq!(outcomes(&first), ["admitted"]);
    let mut structured = order("1", "o-1", "1.50");
    structured["datacontenttype"] = "application/json".into();
    let again = server.publish(&structured).ok(202);
    assert_eq!(outcomes(&again), ["duplicate"]);
    assert_eq!(again["results"][0]["position"], 1);
    assert_eq!(outcomes(&server.publish_batch(&[structured]).ok(202)), ["duplicate"]);
    assert_eq!(server.positions(), [1]);
}

#[test]
fn binary_headers_are_percent_decoded_and_may_be_utf8() {
    let server = Server::start();
    let body = br#"{"order": "o-1", "amount": "1"}"#;
    let escaped = [&BINARY[..2], &[("ce-id", "%C3%A9-1")], &BINARY[3..]].concat();
    assert_eq!(server.publish_bytes(body, &escaped).ok(202)["results"][0]["id"], "é-1");
    let plain = [&BINARY[..2], &[("ce-id", "é-1")], &BINARY[3..]].concat();
    assert_eq!(outcomes(&server.publish_bytes(body, &plain).ok(202)), ["duplicate"]);
    let without_id = [&BINARY[..2], &BINARY[3..]].concat();
    server.publish_bytes(body, &without_id).problem(400, "unreadable-event");
    let twice = [&BINARY[..], &[("ce-id", "2")]].concat();
    server.publish_bytes(body, &twice).problem(400, "unreadable-event");
}

#[test]
fn a_batch_keeps_its_order_and_may_be_empty() {
    let server = Server::start();
    let events: Vec<Value> = (1..=200).map(|i| order(&i.to_string(), &format!("o-{}", i % 7), "1")).collect();
    let answer = server.publish_batch(&events).ok(202);
    let positions: Vec<u64> =
        answer["results"].as_array().unwrap().iter().map(|result| result["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, (1..=200).collect::<Vec<_>>());
    assert_eq!(server.publish_batch(&[]).ok(202), json!({"results": [], "token": null}));
}

#[test]
fn one_bad_event_of_a_batch_waits_and_the_others_are_taken() {
    let server = Server::start();
    let mut strange = order("4", "o-4", "1");
    strange["source"] = "nobody".into();
    let events = [order("1", "o-1", "1"), order("2", "o-2", "0"), order("3", "o-3", "1"), strange];
    let answer = server.publish_batch(&events).ok(202);
    assert_eq!(outcomes(&answer), ["admitted", "quarantined", "admitted", "quarantined"]);
    let bad = &answer["results"][1];
    assert_eq!(
        (&bad["reason"], &bad["position"], &bad["token_covers"]),
        (&json!("invariant"), &Value::Null, &json!(false))
    );
    assert_eq!(bad["quarantine_id"], "q-1");
    assert_eq!(answer["results"][3]["reason"], "untrusted_source");
    assert_eq!(server.positions(), [1, 2]);
    // The same events once more: nothing new.
    let again = server.publish_batch(&events).ok(202);
    assert_eq!(outcomes(&again), ["duplicate", "quarantined", "duplicate", "quarantined"]);
    assert_eq!(again["results"][1]["quarantine_id"], "q-1");
}

#[test]
fn an_id_is_one_event_for_ever() {
    let server = Server::start();
    server.publish(&order("1", "o-1", "1")).ok(202);
    let answer = server.publish(&order("1", "o-1", "2")).ok(202);
    assert_eq!(answer["results"][0]["reason"], "id_conflict");
}

#[test]
fn an_unreadable_event_refuses_the_whole_request() {
    let server = Server::start();
    let mut nameless = order("2", "o-2", "1");
    nameless.as_object_mut().unwrap().remove("id");
    let problem = server.publish_batch(&[order("1", "o-1", "1"), nameless]).problem(400, "unreadable-event");
    assert_eq!(problem["index"], 1);
    assert!(server.positions().is_empty());
}

#[test]
fn an_expected_version_makes_the_append_conditional() {
    let server = Server::start();
    let version = |event: &Value, version: &str| server.publish_with(event, &[("Expected-Version", version)]);
    version(&order("1", "o-1", "1"), "0").ok(202);
    let problem = version(&order("2", "o-1", "2"), "0").problem(409, "version-conflict");
    assert_eq!((&problem["expected"], &problem["actual"], &problem["parked"]), (&json!(0), &json!(1), &json!(false)));
    assert_eq!(server.positions(), [1]);
    assert_eq!(outcomes(&version(&order("2", "o-1", "2"), "1").ok(202)), ["admitted"]);
    // The answer was lost, and the writer tries again.
    assert_eq!(outcomes(&version(&order("2", "o-1", "2"), "1").ok(202)), ["duplicate"]);
    for bad in ["-1", "x", "1.0", ""] {
        let problem = version(&order("3", "o-1", "3"), bad).problem(400, "bad-parameter");
        assert!(problem["detail"].as_str().unwrap().contains("Expected-Version"), "{problem}");
    }
    let headers = [("Content-Type", "application/cloudevents-batch+json"), ("Expected-Version", "2")];
    server.publish_bytes(b"[]", &headers).problem(400, "bad-parameter");
    assert_eq!(server.positions(), [1, 2]);
}

#[test]
fn a_source_is_held_to_its_rate() {
    let server = Server::with("", "rate = \"1/h\"");
    server.publish(&order("1", "o-1", "1")).ok(202);
    let refused = server.publish(&order("2", "o-2", "1"));
    refused.problem(429, "rate-exceeded");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3600).contains(&wait), "{wait}");
    // A batch of which one event is too many is refused whole; other sources go on.
    server.publish_batch(&[delivery("1", "i", "s", json!(1)), order("2", "o-2", "1")]).problem(429, "rate-exceeded");
    server.publish(&delivery("1", "i", "s", json!(1))).ok(202);
    assert_eq!(server.positions(), [1, 2]);
}

#[test]
fn the_log_is_read_in_pages_and_by_type() {
    let server = Server::start();
    let events = [order("1", "o-1", "1.10"), delivery("1", "i", "s", json!(1)), order("2", "o-2", "2")];
    server.publish_batch(&events).ok(202);
    let all = server.get("/v1/log").ok(200);
    let event = &all["events"][0];
    assert_eq!(
        (&event["type"], &event["source"], &event["id"], &event["subject"]),
        (&json!("order_placed"), &json!("shop"), &json!("1"), &json!("o-1"))
    );
    assert_eq!(event["data"]["amount"], "1.10");
    assert_eq!(all["next"], Value::Null);
    let page = server.get("/v1/log?limit=2").ok(200);
    assert_eq!((page["events"].as_array().unwrap().len(), &page["next"]), (2, &json!(2)));
    let page = server.get("/v1/log?limit=2&after=2").ok(200);
    assert_eq!((&page["events"][0]["position"], &page["next"]), (&json!(3), &Value::Null));
    let typed = server.get("/v1/log?type=stock_received").ok(200);
    assert_eq!((typed["events"].as_array().unwrap().len(), &typed["events"][0]["position"]), (1, &json!(2)));
    for bad in ["limit=0", "limit=10001", "after=-1", "after=x", "typ=x"] {
        server.get(&format!("/v1/log?{bad}")).problem(400, "bad-parameter");
    }
}
