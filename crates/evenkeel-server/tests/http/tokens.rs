//! Tokens: who gives them, and which are not taken.
use super::project::{Server, order};
use serde_json::{Value, json};
use std::{fs, path::Path};

fn token_of(answer: &Value) -> String {
    answer["token"].as_str().or(answer["consistency"]["token"].as_str()).unwrap().to_owned()
}

#[test]
fn writes_and_reads_give_a_token_in_body_and_header() {
    let server = Server::start();
    let written = server.publish(&order("1", "o-1", "1"));
    assert_eq!(written.header("consistency-token"), Some(token_of(&written.ok(202)).as_str()));
    for path in ["/v1/models/orders/rows/o-1?level=strong", "/v1/models/orders/rows?level=strong&budget_ms=30000"] {
        let read = server.get(path);
        assert_eq!(read.header("consistency-token"), Some(token_of(&read.ok(200)).as_str()));
    }
    let missing = server.get("/v1/models/orders/rows/none");
    assert_eq!(missing.header("consistency-token"), missing.json()["consistency"]["token"].as_str());
}

#[test]
fn a_token_covers_only_what_is_in_the_log() {
    let server = Server::start();
    let first = server.publish(&order("1", "o-1", "1")).ok(202);
    // Refused by its contract, so that it waits in quarantine.
    let waits = server.publish_with(&order("2", "o-2", "0"), &[("Consistency-Token", &token_of(&first))]).ok(202);
    assert_eq!(
        (&waits["results"][0]["outcome"], &waits["results"][0]["token_covers"]),
        (&json!("quarantined"), &json!(false))
    );
    let engine = server.engine();
    // What the writer had seen before stays in its token.
    assert_eq!(engine.token(&token_of(&waits)).unwrap(), engine.token(&token_of(&first)).unwrap());
    let both = format!("{}, {}", token_of(&waits), token_of(&first));
    assert_eq!(engine.token(&both).unwrap(), engine.token(&token_of(&first)).unwrap());
}

#[test]
fn a_token_that_is_not_ours_is_refused_and_nothing_is_taken() {
    let (server, other) = (Server::start(), Server::start());
    let ours = token_of(&server.publish(&order("1", "o-1", "1")).ok(202));
    let foreign = token_of(&other.publish(&order("1", "o-1", "1")).ok(202));
    let changed = if ours.ends_with('A') {
        format!("{}B", &ours[..ours.len() - 1])
    } else {
        format!("{}A", &ours[..ours.len() - 1])
    };
    for (token, reason) in
        [(&ours[..50], "malformed"), ("", "malformed"), ("t", "malformed"), (&changed, "forged"), (&foreign, "foreign")]
    {
        let answer = server.publish_with(&order("2", "o-2", "1"), &[("Consistency-Token", token)]);
        assert_eq!(answer.problem(400, "bad-token")["reason"], reason, "{token}");
    }
    let many = vec![ours.as_str(); 17].join(",");
    server.publish_with(&order("2", "o-2", "1"), &[("Consistency-Token", &many)]).problem(400, "bad-parameter");
    assert_eq!(server.positions(), [1]);
}

#[test]
fn a_token_ends_after_its_time() {
    let server = Server::with("[read]\ntoken_max_age_seconds = 0", "");
    let token = token_of(&server.publish(&order("1", "o-1", "1")).ok(202));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let answer = server.publish_with(&order("2", "o-2", "1"), &[("Consistency-Token", &token)]);
    assert_eq!(answer.problem(400, "bad-token")["reason"], "expired");
}

/// What the log says that the writers of its events had seen, by the events' ids.
fn seen(server: &Server, id: &str) -> Value {
    let log = server.get("/v1/log").ok(200);
    let events = log["events"].as_array().unwrap();
    events.iter().find(|event| event["id"] == id).unwrap_or_else(|| panic!("{id}: {log}"))["saw"].clone()
}

#[test]
fn the_log_shows_what_a_writer_had_seen_and_an_event_keeps_it() {
    let server = Server::start();
    let first = token_of(&server.publish(&order("1", "o-1", "1")).ok(202));
    let second = token_of(&server.publish(&order("2", "o-2", "1")).ok(202));
    server.publish(&order("3", "o-3", "1")).ok(202);
    // Several count as one, and nothing of the third was seen.
    let both = format!("{second}, {first}");
    let mut waits = order("late", "o-6", "1");
    waits["vclock"] = "shop=2".into();
    let batch = json!([order("4", "o-4", "1"), order("bad", "o-5", "0"), waits, order("1", "o-1", "1")]).to_string();
    let headers = [("Content-Type", "application/cloudevents-batch+json"), ("Consistency-Token", both.as_str())];
    let answer = server.publish_bytes(batch.as_bytes(), &headers).ok(202);
    let outcomes: Vec<_> = answer["results"].as_array().unwrap().iter().map(|result| &result["outcome"]).collect();
    assert_eq!(outcomes, ["admitted", "quarantined", "waiting", "duplicate"]);
    let saw = seen(&server, "4");
    assert_eq!(saw["position"], 2);
    assert!(saw["request"].as_str().unwrap().parse::<evenkeel::core::clock::Hlc>().is_ok(), "{saw}");
    for without in ["1", "2", "3"] {
        assert_eq!(seen(&server, without), Value::Null, "{without}");
    }
    // Another request, by whoever has had the answer: it has seen that, and has a stamp of its own.
    let after = token_of(&answer);
    server.publish_with(&order("5", "o-9", "1"), &[("Consistency-Token", &after)]).ok(202);
    let later = seen(&server, "5");
    assert_eq!(later["position"], 4);
    assert_ne!(later["request"], saw["request"]);

    // What gets in later knows what was seen when it was sent.
    let edit = json!({"author": "ann", "edit": [{"op": "replace", "path": "/data/amount", "value": "1"}]});
    server.post("/v1/quarantine/q-1/redrive", &edit).ok(200);
    let mut awaited = order("early", "o-6", "1");
    awaited["vclock"] = "shop=1".into();
    server.publish(&awaited).ok(202);
    assert_eq!((seen(&server, "bad"), seen(&server, "late"), seen(&server, "early")), (saw.clone(), saw, Value::Null));
}

#[test]
fn a_writer_cannot_have_seen_what_the_log_does_not_have() {
    use evenkeel::{
        PublishError, PublishOptions,
        core::token::{Token, TokenError},
    };
    let (server, other) = (Server::start(), Server::start());
    server.publish(&order("1", "o-1", "1")).ok(202);
    let engine = server.engine();
    let text = token_of(&other.publish_batch(&[order("1", "o-1", "1"), order("2", "o-2", "1")]).ok(202));
    let foreign = other.engine().token(&text).unwrap();
    let ours = engine.token(&token_of(&server.publish(&order("1", "o-1", "1")).ok(202))).unwrap();
    let with = |token: Token| {
        let options = PublishOptions { token: Some(token), ..PublishOptions::default() };
        engine.publish_blocking(vec![order("2", "o-2", "1").to_string().into_bytes()], options)
    };
    assert!(matches!(with(foreign), Err(PublishError::Token(TokenError::Foreign(_)))));
    let future = ours.having_read(evenkeel::core::Position(2));
    assert!(matches!(with(future), Err(PublishError::Token(TokenError::LostHistory(_)))));
    assert_eq!(server.positions(), [1]);
    with(ours).unwrap();
    assert_eq!(seen(&server, "2")["position"], 1);
}

/// Copies the log's files from one folder to another, in place of those that are there.
fn copy_log(from: &Path, to: &Path) {
    let of_log = |dir: &Path| -> Vec<_> {
        let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name());
        files.filter(|name| name.to_str().is_some_and(|name| name.starts_with("log.db"))).collect()
    };
    of_log(to).iter().for_each(|name| fs::remove_file(to.join(name)).unwrap());
    for name in of_log(from) {
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

#[test]
fn a_token_of_what_a_restored_log_has_lost_is_a_conflict() {
    let mut server = Server::start();
    let backup = tempfile::tempdir().unwrap();
    let kept = token_of(&server.publish(&order("1", "o-1", "1")).ok(202));
    server.restart(|data| copy_log(data, backup.path()));
    let lost = token_of(&server.publish(&order("2", "o-1", "2")).ok(202));
    server.restart(|data| copy_log(backup.path(), data));
    for address in ["/v1/models/orders/rows/o-1", "/v1/models/orders/rows"] {
        let refused = server.get(&format!("{address}?token={lost}&allow_stale=true"));
        assert_eq!(refused.problem(409, "lost-history")["reason"], "lost_history");
        server.get(&format!("{address}?token={kept}&budget_ms=0&allow_stale=true")).ok(200);
    }
    server.post(&format!("/v1/query?token={lost}"), &json!({"sql": "SELECT 1 AS n"})).problem(409, "lost-history");
    server.publish_with(&order("3", "o-3", "1"), &[("Consistency-Token", &lost)]).problem(409, "lost-history");
    assert_eq!(server.positions(), [1]);
}
