//! Tokens: who gives them, and which are not taken.
use super::project::{Server, order};
use serde_json::{Value, json};

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
