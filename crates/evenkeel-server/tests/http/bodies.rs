//! Bodies that are broken, too large, too deep, packed, or of another type than they should be.
use super::{
    client::{connect, exchange, gzip},
    project::{Server, order},
};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};

const STRUCTURED: (&str, &str) = ("Content-Type", "application/cloudevents+json");
const BATCH: (&str, &str) = ("Content-Type", "application/cloudevents-batch+json");
const HEAD: &str = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/cloudevents+json\r\n";
const GZIP: (&str, &str) = ("Content-Encoding", "gzip");

fn small() -> Server {
    Server::with("[limits]\nbody_bytes = 4096\nbatch_events = 3\n", "")
}

#[test]
fn broken_json_is_refused_with_what_is_wrong() {
    let server = Server::start();
    for broken in [&b"{"[..], b"", b"nonsense", b"{\"id\": \"1\", \"source\": \"shop\",", b"[1", b"\xFF"] {
        let problem = server.publish_bytes(broken, &[STRUCTURED]).problem(400, "unreadable-event");
        assert_eq!(problem["index"], 0);
        let answer = server.publish_bytes(broken, &[BATCH]);
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    server.publish_bytes(b"{}", &[BATCH]).problem(400, "bad-request");
    assert!(server.positions().is_empty());
}

#[test]
fn an_event_that_is_no_cloudevent_waits_if_it_can_be_told_apart() {
    let server = Server::start();
    let answer = server.publish(&json!({"id": "1", "source": "shop"})).ok(202);
    assert_eq!(answer["results"][0]["reason"], "malformed");
}

#[test]
fn nesting_has_an_end() {
    let server = Server::start();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let moderate = format!("{}{}", "[".repeat(100), "]".repeat(100));
    for (id, data) in [("1", &deep), ("2", &moderate)] {
        let event =
            format!(r#"{{"specversion":"1.0","id":"{id}","source":"shop","type":"OrderPlaced","data":{data}}}"#);
        let answer = server.publish_bytes(event.as_bytes(), &[STRUCTURED]).ok(202);
        assert_eq!(answer["results"][0]["reason"], "malformed");
    }
    server.publish_bytes(deep.as_bytes(), &[STRUCTURED]).problem(400, "unreadable-event");
    server.publish_bytes(deep.as_bytes(), &[BATCH]).problem(400, "unreadable-event");
    assert!(server.positions().is_empty());
}

#[test]
fn the_content_type_says_what_comes() {
    let server = Server::start();
    let body = order("1", "o-1", "1").to_string();
    for (wrong, told) in [
        ("application/json", "ce-"),
        ("text/plain", "ce-"),
        ("application/cloudevents+avro", "JSON"),
        ("application/cloudevents+json; charset=latin1", "UTF-8"),
    ] {
        let problem =
            server.publish_bytes(body.as_bytes(), &[("Content-Type", wrong)]).problem(415, "unsupported-media-type");
        assert!(problem["detail"].as_str().unwrap().contains(told), "{problem}");
    }
    server.publish_bytes(body.as_bytes(), &[]).problem(415, "unsupported-media-type");
    server.publish_bytes(body.as_bytes(), &[("Content-Type", "application/cloudevents+json; charset=UTF-8")]).ok(202);
}

#[test]
fn gzip_is_unpacked_and_nothing_else() {
    let server = Server::start();
    let body = order("1", "o-1", "1").to_string();
    server.publish_bytes(&gzip(body.as_bytes()), &[STRUCTURED, GZIP]).ok(202);
    assert_eq!(server.positions(), [1]);
    server.publish_bytes(body.as_bytes(), &[STRUCTURED, GZIP]).problem(400, "bad-request");
    let refused = server.publish_bytes(body.as_bytes(), &[STRUCTURED, ("Content-Encoding", "br")]);
    refused.problem(415, "unsupported-media-type");
    assert_eq!(refused.header("accept-encoding"), Some("gzip"));
}

#[test]
fn a_body_over_the_limit_is_refused_before_and_after_unpacking() {
    let server = small();
    let large = order("1", &"x".repeat(5000), "1").to_string();
    let problem = server.publish_bytes(large.as_bytes(), &[STRUCTURED]).problem(413, "too-large");
    assert_eq!(problem["limit_bytes"], 4096);
    // Without its length said before.
    let chunked = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    server.publish_bytes(chunked.as_bytes(), &[STRUCTURED, ("Transfer-Encoding", "chunked")]).problem(413, "too-large");
    // Small on the way, large unpacked.
    let bomb = gzip(&vec![b' '; 1 << 20]);
    assert!(bomb.len() < 4096);
    server.publish_bytes(&bomb, &[STRUCTURED, GZIP]).problem(413, "too-large");
    server.publish(&order("1", "o-1", "1")).ok(202);
    assert_eq!(server.positions(), [1]);
}

#[test]
fn a_client_that_sends_everything_before_it_reads_is_answered() {
    let server = small();
    let body = "x".repeat(6 << 20);
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let length = format!("Content-Length: {}\r\n\r\n", body.len());
    for (how, body) in [(length.as_str(), &body), ("Transfer-Encoding: chunked\r\n\r\n", &chunked)] {
        let mut stream = connect(server.addr);
        stream.write_all(HEAD.as_bytes()).unwrap();
        stream.write_all(how.as_bytes()).unwrap();
        // Whoever is cut off here does not look for an answer any more.
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
    // Nothing is waited for where the client asks first, or announces more than is worth reading.
    for head in ["Expect: 100-continue\r\nContent-Length: 5000\r\n\r\n", "Content-Length: 99999999999\r\n\r\n"] {
        exchange(server.addr, format!("{HEAD}{head}").as_bytes()).problem(413, "too-large");
    }
}

#[test]
fn a_batch_of_too_many_events_is_refused_whole() {
    let server = small();
    let events: Vec<Value> = (0..4).map(|i| order(&i.to_string(), "o", "1")).collect();
    let problem = server.publish_batch(&events).problem(413, "too-large");
    assert_eq!(problem["limit_events"], 3);
    assert!(server.positions().is_empty());
    server.publish_batch(&events[..3]).ok(202);
}

#[test]
fn operations_take_json_and_no_member_too_many() {
    let server = Server::start();
    let post = |path: &str, kind: &str, body: &str| {
        super::client::request(server.addr, "POST", path, &[("Content-Type", kind)], body.as_bytes())
    };
    let verify = |kind: &str, body: &str| post("/v1/models/orders/verify", kind, body);
    verify("application/json", "").ok(200);
    verify("application/json; charset=utf-8", r#"{"full": true}"#).ok(200);
    verify("text/plain", r#"{"full": true}"#).problem(415, "unsupported-media-type");
    for bad in
        [r#"{"ful": true}"#, r#"{"full": 1}"#, "{", "[]", r#"{"full": true} x"#, r#"{"full": true, "full": false}"#]
    {
        verify("application/json", bad).problem(400, "bad-request");
    }
    verify("application/json", &"[".repeat(50_000)).problem(400, "bad-request");
    verify("application/json", &" ".repeat(70_000)).problem(413, "too-large");
}
