//! Events that their sources count: stamps and marks in the log, waiting for causes, and what persons and time do about it.
use super::project::{Server, order};
use serde_json::{Value, json};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// Event number `id` of the shop, with this clock.
fn clocked(id: &str, vclock: &str) -> Value {
    let mut event = order(id, &format!("o-{id}"), "5");
    event["vclock"] = vclock.into();
    event
}

fn delivered(id: &str, vclock: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "warehouse", "type": "StockReceived", "vclock": vclock,
        "data": {"item": id, "site": "north", "count": 1},
    })
}

fn outcome(answer: &Value) -> &str {
    answer["results"][0]["outcome"].as_str().unwrap()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn ids(server: &Server) -> Vec<String> {
    let log = server.get("/v1/log").ok(200);
    log["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_log_shows_stamps_marks_and_clocks() {
    let server = Server::start();
    let mut stamped = order("2", "o-2", "5");
    stamped["hlc"] = "1000.7".into();
    server.publish_batch(&[order("1", "o-1", "5"), stamped, clocked("3", "warehouse=0,shop=1")]).ok(202);
    let log = server.get("/v1/log").ok(200);
    let events = log["events"].as_array().unwrap();
    assert_eq!(events[0]["dot"], json!({"replica": "a", "seq": 1}));
    assert_eq!(events[1]["dot"], json!({"replica": "a", "seq": 2}));
    assert_eq!(events[2]["dot"], json!({"source": "shop", "seq": 1}));
    assert_eq!((&events[0]["vclock"], &events[2]["vclock"]), (&Value::Null, &json!("shop=1")));
    assert_eq!((&events[0]["delivery"], &events[2]["delivery"]), (&json!("log"), &json!("causal")));
    let stamp = |event: &Value| -> (u64, u64) {
        let (millis, counter) = event["hlc"].as_str().unwrap().split_once('.').unwrap();
        (millis.parse().unwrap(), counter.parse().unwrap())
    };
    assert!(stamp(&events[0]) > (1_700_000_000_000, 0) && stamp(&events[0]) < stamp(&events[1]), "{log}");
}

#[test]
fn clocks_that_cannot_be_used_are_set_aside_with_their_reason() {
    let server = Server::with("[causal]\nmax_skew_ms = 60000", "first_seq = 5");
    let with = |id: &str, name: &str, value: Value| {
        let mut event = order(id, "o-1", "5");
        event[name] = value;
        let answer = server.publish(&event).ok(202);
        let result = answer["results"][0].clone();
        let entry = result["quarantine_id"].as_str().map(|id| server.get(&format!("/v1/quarantine/{id}")).ok(200));
        (result["reason"].clone(), entry.map(|entry| entry["pointer"].clone()).unwrap_or_default())
    };
    let future = format!("{}.0", (std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64) + 90_000);
    assert_eq!(with("1", "hlc", future.into()), (json!("clock_skew"), json!("/hlc")));
    assert_eq!(with("2", "hlc", "soon".into()), (json!("malformed"), json!("/hlc")));
    assert_eq!(with("3", "vclock", "shop=x".into()), (json!("malformed"), json!("/vclock")));
    assert_eq!(with("4", "vclock", "warehouse=1".into()), (json!("malformed"), json!("/vclock")));
    assert_eq!(with("5", "vclock", "shop=4".into()), (json!("malformed"), json!("/vclock")), "it begins with 5");
    let strangers = "shop=5,u1=1,u2=1,u3=1,u4=1";
    assert_eq!(with("6", "vclock", strangers.into()), (json!("clock_too_large"), json!("/vclock")));
    assert_eq!(ids(&server), [""; 0]);
    // None of them parks its subject, and the source goes on with its first.
    assert_eq!(with("7", "vclock", "shop=5".into()).0, Value::Null);
    assert_eq!(ids(&server), ["7"]);
}

#[test]
fn an_event_waits_for_its_causes_and_goes_on_with_them() {
    let server = Server::start();
    let answer = server.publish(&delivered("w1", "shop=2,warehouse=1")).ok(202);
    assert_eq!(outcome(&answer), "waiting");
    let result = &answer["results"][0];
    assert_eq!(result["waiting_for"], json!([{"source": "shop", "seq": 2}]));
    assert_eq!((&result["token_covers"], &result["position"]), (&json!(false), &Value::Null));
    let again = server.publish(&delivered("w1", "shop=2,warehouse=1")).ok(202);
    assert_eq!(again["results"][0]["waiting_for"], json!([{"source": "shop", "seq": 2}]));

    let causal = server.get("/v1/causal").ok(200);
    let waiting = &causal["waiting"][0];
    assert_eq!((&waiting["source"], &waiting["seq"], &waiting["id"]), (&json!("warehouse"), &json!(1), &json!("w1")));
    assert_eq!(waiting["waiting_for"], json!([{"source": "shop", "seq": 2}]));
    assert!(waiting["since"].as_str().unwrap() < waiting["until"].as_str().unwrap());
    let books = server.get("/v1/accounting?recount=true").ok(200);
    assert_eq!((&books["total"]["waiting"], &books["total"]["duplicate"]), (&json!(1), &json!(1)), "{books}");
    assert_eq!(books["balanced"], true, "{books}");

    assert_eq!(outcome(&server.publish(&clocked("s2", "shop=2")).ok(202)), "waiting");
    assert_eq!(outcome(&server.publish(&clocked("s1", "shop=1")).ok(202)), "admitted");
    assert_eq!(ids(&server), ["s1", "s2", "w1"]);
    let causal = server.get("/v1/causal").ok(200);
    assert_eq!((&causal["waiting"], &causal["more"]), (&json!([]), &json!(false)));
    let source = |name: &str, passed: u64| json!({"source": name, "passed": passed, "holes": []});
    assert_eq!(causal["sources"], json!([source("shop", 2), source("warehouse", 1)]));
    assert_eq!(outcome(&server.publish(&delivered("w1", "shop=2,warehouse=1")).ok(202)), "duplicate");
    assert_eq!(server.get("/v1/accounting?recount=true").ok(200)["balanced"], true);
}

#[test]
fn what_waits_too_long_or_does_not_fit_comes_back_by_itself() {
    let server = Server::with("[causal]\ntimeout_seconds = 0.2\nmax_events = 1", "");
    let answer = server.publish_batch(&[clocked("3", "shop=3"), clocked("2", "shop=2")]).ok(202);
    assert_eq!(answer["results"][0]["outcome"], "waiting");
    assert_eq!(answer["results"][1]["reason"], "causal_overflow");
    until("it has waited too long", || {
        let entries = server.get("/v1/quarantine?reason=causal_timeout").ok(200);
        let entry = &entries["entries"][0];
        let named = entry["detail"].as_str().is_some_and(|detail| detail.contains("event 2 of shop"));
        assert!(*entry == Value::Null || named, "{entries}");
        named
    });
    let books = server.get("/v1/accounting?recount=true").ok(200);
    assert_eq!((&books["total"]["quarantined"], &books["balanced"]), (&json!(2), &json!(true)), "{books}");
    server.publish(&clocked("1", "shop=1")).ok(202);
    until("all are in the log", || ids(&server) == ["1", "2", "3"]);
    let entries = server.get("/v1/quarantine?state=admitted").ok(200);
    assert!(entries["entries"].as_array().unwrap().iter().all(|entry| entry["author"] == "evenkeel"), "{entries}");
    let books = server.get("/v1/accounting?recount=true").ok(200);
    assert_eq!((&books["total"]["admitted"], &books["balanced"]), (&json!(3), &json!(true)), "{books}");
}

#[test]
fn a_source_that_is_retired_holds_up_nobody_and_does_not_come_back() {
    let mut server = Server::start();
    let waits = [clocked("3", "shop=3"), delivered("w", "shop=5,warehouse=1")];
    server.publish_batch(&[&[clocked("1", "shop=1")], &waits[..]].concat()).ok(202);
    assert_eq!(ids(&server), ["1"]);
    let shop = json!({"source": "shop", "author": "ann", "note": "moved"});
    let retire = |server: &Server, word: &Value| server.post("/v1/causal/retire", word);
    retire(&server, &shop).problem(400, "bad-request");
    server.restart(|data| {
        for file in ["evenkeel.toml", "contracts/order_placed.toml", "contracts/order_withdrawn.toml"] {
            let path = data.parent().unwrap().join(file);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace("\"shop\"", "\"shop.*\"")).unwrap();
        }
    });
    retire(&server, &json!({"source": "nobody", "author": "ann"})).problem(400, "bad-request");
    let retired = retire(&server, &shop).ok(200);
    assert_eq!((&retired["seq"], &retired["declared"], &retired["released"]), (&json!(2), &json!(true), &json!(2)));
    assert_eq!(ids(&server), ["1", "3", "w"], "its own that waited goes on");
    assert_eq!(retire(&server, &shop).ok(200)["declared"], false, "once");
    // What comes of it all the same is not taken, and who has heard of it waits for nothing.
    let late = server.publish(&clocked("2", "shop=2")).ok(202);
    assert_eq!((outcome(&late), &late["results"][0]["reason"]), ("quarantined", &json!("untrusted_source")));
    assert_eq!(outcome(&server.publish(&delivered("x", "shop=9,warehouse=2")).ok(202)), "admitted");
    let log = server.get("/v1/log").ok(200);
    let deliveries: Vec<_> = log["events"].as_array().unwrap().iter().map(|event| &event["delivery"]).collect();
    assert_eq!(deliveries, ["causal"; 4]);
}

#[test]
fn what_is_declared_not_to_come_is_waited_for_no_more() {
    let server = Server::start();
    server.publish_batch(&[clocked("3", "shop=3"), delivered("w", "shop=5,warehouse=1")]).ok(202);
    let skip = |seq: u64, through: Value, author: &str| {
        server.post("/v1/causal/skip", &json!({"source": "shop", "seq": seq, "through": through, "author": author}))
    };
    assert_eq!(ids(&server), [""; 0]);
    skip(1, Value::Null, " ").problem(400, "bad-request");
    skip(0, Value::Null, "ann").problem(400, "bad-request");
    skip(3, json!(2), "ann").problem(400, "bad-request");
    let nobody = json!({"source": "nobody", "seq": 1, "author": "ann"});
    server.post("/v1/causal/skip", &nobody).problem(400, "bad-request");
    // Nobody declares it any more, and somebody waits for it: that would be for ever.
    assert_eq!(outcome(&server.publish(&delivered("v", "nobody=1,warehouse=9")).ok(202)), "waiting");
    assert_eq!(server.post("/v1/causal/skip", &nobody).ok(200)["declared"], true);
    let first = skip(1, json!(2), "ann").ok(200);
    assert_eq!((&first["declared"], &first["released"]), (&json!(true), &json!(1)));
    let second = skip(4, json!(5), "ann").ok(200);
    assert_eq!((&second["declared"], &second["released"]), (&json!(true), &json!(1)));
    assert_eq!(skip(1, Value::Null, "ann").ok(200)["declared"], false);
    assert_eq!(ids(&server), ["3", "w"]);
    // It comes all the same, and is marked.
    assert_eq!(outcome(&server.publish(&clocked("2", "shop=2")).ok(202)), "admitted");
    assert_eq!(server.get("/v1/log").ok(200)["events"][2]["delivery"], "exception");
    let skips = server.get("/v1/causal").ok(200)["skips"].clone();
    assert_eq!(
        (skips.as_array().unwrap().len(), &skips[2]["last"], &skips[2]["author"]),
        (3, &json!(5), &json!("ann"))
    );
}

#[test]
fn what_is_in_quarantine_holds_up_no_other_source_and_a_number_is_given_once() {
    let server = Server::start();
    let mut bad = clocked("1", "shop=1");
    bad["data"]["amount"] = json!("-5");
    assert_eq!(outcome(&server.publish(&delivered("w", "shop=1,warehouse=1")).ok(202)), "waiting");
    let refused = server.publish(&bad).ok(202);
    assert_eq!(refused["results"][0]["reason"], "invariant");
    assert_eq!(ids(&server), ["w"]);
    let other = server.publish(&delivered("other", "warehouse=1")).ok(202);
    assert_eq!(other["results"][0]["reason"], "id_conflict", "number 1 of the warehouse is another event");
    let id = refused["results"][0]["quarantine_id"].as_str().unwrap();
    let edit = json!({"author": "ann", "edit": [{"op": "replace", "path": "/data/amount", "value": "5"}]});
    server.post(&format!("/v1/quarantine/{id}/redrive"), &edit).ok(200);
    assert_eq!(server.get("/v1/log").ok(200)["events"][1]["delivery"], "exception");
}

#[test]
fn an_expected_version_is_of_no_use_to_what_must_wait() {
    let server = Server::start();
    let conflict = server.publish_with(&clocked("2", "shop=2"), &[("Expected-Version", "0")]);
    assert_eq!(conflict.status, 409, "{}", conflict.text);
    assert_eq!(server.get("/v1/causal").ok(200)["waiting"], json!([]));
    server.publish_with(&clocked("1", "shop=1"), &[("Expected-Version", "0")]).ok(202);
}
