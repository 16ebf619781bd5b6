//! Small histories written by hand, each with exactly what is to be found; and what is no history.
use super::{Kind, check};
use crate::history::{Checker, HistoryError};
use serde_json::{Value, json};

/// A history in short: a word and its operands each.
fn lines(short: &[&str]) -> Vec<Value> {
    let line = |text: &&str| {
        let words: Vec<&str> = text.split(' ').collect();
        let number = |text: &str| text.parse::<u64>().unwrap();
        match words[..] {
            ["write", session, id, key] => {
                json!({"type": "invoke", "session": session, "op": "write", "id": id, "key": key})
            }
            ["read", session, level, key] => {
                json!({"type": "invoke", "session": session, "op": "read", "level": level, "key": key})
            }
            ["read", session, level, key, token] => {
                json!({"type": "invoke", "session": session, "op": "read", "level": level, "key": key, "token": token})
            }
            ["ok", session, position] => {
                let token = format!("{session}{position}");
                json!({"type": "ok", "session": session, "position": number(position), "token": token})
            }
            ["ok", session, position, "none"] => {
                json!({"type": "ok", "session": session, "position": number(position), "row": null})
            }
            ["ok", session, position, count, last] => {
                let row = json!({"count": number(count), "last": last});
                json!({"type": "ok", "session": session, "position": number(position), "row": row})
            }
            ["last", session, position, last] => {
                json!({"type": "ok", "session": session, "position": number(position), "row": {"last": last}})
            }
            ["count", session, position, count] => {
                json!({"type": "ok", "session": session, "position": number(position), "row": {"count": number(count)}})
            }
            ["sum", session, position, sum] => {
                json!({"type": "ok", "session": session, "position": number(position), "row": {"sum": number(sum)}})
            }
            ["log", position, id, key] => json!({"type": "log", "position": number(position), "id": id, "key": key}),
            [word @ ("fail" | "unknown"), session] => json!({"type": word, "session": session}),
            _ => panic!("{text}"),
        }
    };
    short.iter().map(line).collect()
}

/// What is found, with its session (`-`: none) and lines.
fn found(short: &[&str]) -> Vec<(Kind, String, Vec<u64>)> {
    let report = check(&lines(short)).unwrap();
    let short = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    report.findings.into_iter().map(|found| (found.kind, short(found.session), found.lines)).collect()
}

#[track_caller]
fn assert_found(short: &[&str], expected: &[(Kind, &str, &[u64])]) {
    let expected: Vec<_> =
        expected.iter().map(|(kind, session, lines)| (*kind, (*session).to_owned(), lines.to_vec())).collect();
    assert_eq!(found(short), expected);
}

const WRITTEN: [&str; 4] = ["write a e1 k", "ok a 1", "write a e2 k", "ok a 2"];

fn after(written: &[&'static str], more: &[&'static str]) -> Vec<&'static str> {
    [written, more].concat()
}

#[test]
fn a_session_reads_what_it_wrote_and_read() {
    for (level, kind) in [("causal", Kind::ReadYourWrites), ("strong", Kind::StrongRead)] {
        let read = format!("read a {level} k");
        let history = [&WRITTEN[..], &[&read, "ok a 1 1 e1"]].concat();
        assert_found(&history, &[(kind, "a", &[3, 4, 5, 6])]);
    }
    // Who asks for less is owed less, and so is another session.
    assert_found(&after(&WRITTEN, &["read a eventual k", "ok a 1 1 e1"]), &[]);
    assert_found(&after(&WRITTEN, &["read a monotonic k", "ok a 1 1 e1"]), &[]);
    assert_found(&after(&WRITTEN, &["read b causal k", "ok b 0 none"]), &[]);
    let read = ["read b eventual k", "ok b 2 2 e2", "read b monotonic k", "ok b 0 none"];
    assert_found(&after(&WRITTEN, &read), &[(Kind::MonotonicReads, "b", &[3, 4, 6, 7, 8])]);
    // What a token of somebody else covers is owed too, to whom it was handed and from then on.
    let handed = ["read b causal k a2", "ok b 1 1 e1"];
    assert_found(&after(&WRITTEN, &handed), &[(Kind::ReadYourWrites, "b", &[3, 4, 5, 6])]);
    let kept = ["read b eventual k a2", "ok b 1 1 e1", "read b causal k", "ok b 1 1 e1"];
    assert_found(&after(&WRITTEN, &kept), &[(Kind::ReadYourWrites, "b", &[3, 4, 7, 8])]);
}

#[test]
fn going_back_is_no_harm_where_nothing_of_the_key_lies_between() {
    let other = ["write b e3 other", "ok b 3", "read a strong k", "ok a 2 2 e2", "read b causal k", "ok b 2 2 e2"];
    assert_found(&after(&WRITTEN, &other), &[]);
}

#[test]
fn strong_reads_have_what_anybody_was_told_of() {
    let stale = ["read b strong k", "ok b 1 1 e1"];
    assert_found(&after(&WRITTEN, &stale), &[(Kind::StrongRead, "b", &[3, 4, 5, 6])]);
    // What is acknowledged while it is under way may be in it or not.
    assert_found(&["write a e1 k", "read b strong k", "ok a 1", "ok b 0 none"], &[]);
    // What somebody has seen is there, acknowledged or not.
    let seen = [
        "write a e1 k",
        "read b eventual k",
        "ok b 1 1 e1",
        "read c strong k",
        "ok c 0 none",
        "unknown a",
        "log 1 e1 k",
    ];
    assert_found(&seen, &[(Kind::StrongRead, "c", &[1, 3, 4, 5, 7])]);
}

#[test]
fn a_write_stands_after_what_was_known() {
    let own = ["write a e1 k", "ok a 2", "write a e2 j", "ok a 1"];
    assert_found(&own, &[(Kind::MonotonicWrites, "a", &[2, 3, 4])]);
    let read = ["write a e1 k", "ok a 2", "read b eventual k", "ok b 2 1 e1", "write b e2 j", "ok b 1"];
    assert_found(&read, &[(Kind::WritesFollowReads, "b", &[4, 5, 6])]);
    let others = ["write a e1 k", "ok a 2", "write b e2 j", "ok b 1"];
    assert_found(&others, &[(Kind::Order, "b", &[2, 3, 4])]);
    // At the same time nothing is owed; a retry counts from when the event was first sent.
    assert_found(&["write a e1 k", "write b e2 j", "ok a 2", "ok b 1"], &[]);
    assert_found(&["write a e1 k", "unknown a", "write a e2 k", "ok a 2", "write a e1 k", "ok a 1"], &[]);
    // Of what has no acknowledgement the log tells.
    let logged = ["write a e1 k", "ok a 2", "write a e2 k", "unknown a", "log 1 e2 k", "log 2 e1 k"];
    assert_found(&logged, &[(Kind::MonotonicWrites, "a", &[2, 3, 5])]);
}

#[test]
fn losses() {
    assert_found(&after(&WRITTEN, &["log 1 e1 k"]), &[(Kind::Lost, "a", &[3, 4])]);
    assert_found(
        &after(&WRITTEN, &["log 1 e1 k", "log 3 e2 k"]),
        &[(Kind::Lost, "a", &[5, 6]), (Kind::Order, "a", &[4, 6])],
    );
    assert_found(&after(&WRITTEN, &["read b eventual k", "ok b 2 1 e2"]), &[(Kind::Lost, "b", &[3, 4, 5, 6])]);
    assert_found(&after(&WRITTEN, &["read b eventual k", "ok b 2 none"]), &[(Kind::Lost, "b", &[3, 4, 5, 6])]);
    assert_found(&after(&WRITTEN, &["read b eventual k", "last b 2 e1"]), &[(Kind::Lost, "b", &[1, 2, 3, 4, 5, 6])]);
    assert_found(&after(&WRITTEN, &["read b eventual k", "sum b 2 2"]), &[(Kind::Lost, "b", &[3, 4, 5, 6])]);
    let gone = ["read b eventual k", "ok b 3 2 e2", "log 1 e1 k", "log 2 e2 k"];
    assert_found(&after(&WRITTEN, &gone), &[(Kind::Lost, "b", &[5, 6, 8])]);
    // Seen, and then not in the log.
    let seen = ["write a e1 k", "unknown a", "read b eventual k", "last b 1 e1", "log 1 e2 k"];
    assert_found(&seen, &[(Kind::Lost, "b", &[1, 3, 4, 5])]);
}

#[test]
fn duplicates() {
    assert_found(&after(&WRITTEN, &["write b e1 k", "ok b 3"]), &[(Kind::Duplicate, "b", &[2, 5, 6])]);
    assert_found(&after(&WRITTEN, &["write b e1 k", "ok b 1"]), &[]);
    assert_found(&after(&WRITTEN, &["read b eventual k", "ok b 2 3 e2"]), &[(Kind::Duplicate, "b", &[3, 4, 5, 6])]);
    let twice = ["log 1 e1 k", "log 2 e2 k", "log 3 e1 k"];
    assert_found(&after(&WRITTEN, &twice), &[(Kind::Duplicate, "a", &[5, 7])]);
}

#[test]
fn orders() {
    assert_found(&["write a e1 k", "write b e2 k", "ok a 1", "ok b 1"], &[(Kind::Order, "b", &[1, 2, 3, 4])]);
    assert_found(&after(&WRITTEN, &["read b eventual k", "ok b 2 2 e1"]), &[(Kind::Order, "b", &[1, 2, 3, 4, 5, 6])]);
    // Of a position, and shows what stands above it.
    assert_found(&after(&WRITTEN, &["read b eventual k", "ok b 1 1 e2"]), &[(Kind::Order, "b", &[1, 2, 3, 4, 5, 6])]);
    // Rows are judged by where the log has an event.
    let moved = ["write a e1 k", "ok a 2", "read b eventual k", "ok b 1 1 e1", "log 1 e1 k", "log 2 x j"];
    assert_found(&moved, &[(Kind::Order, "a", &[2, 5])]);
    let back = ["log 1 x k", "log 2 y k", "log 2 z k"];
    assert_found(&back, &[(Kind::Order, "-", &[2, 3])]);
}

#[test]
fn phantoms() {
    let refused = ["write a e1 k", "fail a", "read b eventual k", "last b 1 e1"];
    assert_found(&refused, &[(Kind::Phantom, "b", &[1, 3, 4])]);
    assert_found(&["write a e1 k", "fail a", "log 1 e1 k"], &[(Kind::Phantom, "a", &[1, 3])]);
    // One attempt of several may have got in.
    assert_found(&["write a e1 k", "unknown a", "write a e1 k", "fail a", "log 1 e1 k"], &[]);
    assert_found(&["read b eventual k", "last b 1 e9"], &[(Kind::Phantom, "b", &[1, 2])]);
    let other_key = ["write a e1 j", "ok a 1", "read b eventual k", "last b 1 e1"];
    assert_found(&other_key, &[(Kind::Phantom, "b", &[1, 2, 3, 4])]);
    let later = ["read b eventual k", "last b 1 e1", "write a e1 k", "unknown a"];
    assert_found(&later, &[(Kind::Phantom, "b", &[1, 2, 3])]);
}

#[test]
fn what_may_be_there_may_be_seen_or_not() {
    let maybe = ["write a e1 k", "unknown a", "read b eventual k", "ok b 1 1 e1", "read b eventual k", "ok b 1 none"];
    assert_found(&maybe, &[]);
    // Not what is sent only afterwards, nor what the log then lacks.
    let later = ["read b eventual k", "count b 1 1", "write a e1 k", "unknown a"];
    assert_found(&later, &[(Kind::Duplicate, "b", &[1, 2])]);
    let absent = ["write a e1 k", "unknown a", "read b eventual k", "count b 1 1", "log 1 x j"];
    assert_found(&absent, &[(Kind::Duplicate, "b", &[3, 4])]);
    assert_found(&["write a e1 k", "read b eventual k", "ok b 1 2 e1"], &[(Kind::Duplicate, "b", &[2, 3])]);
}

#[test]
fn what_is_no_history_is_refused_with_its_line() {
    let error = |short: &[&str]| check(&lines(short)).unwrap_err().to_string();
    assert_eq!(
        error(&["write a e1 k", "write a e2 k"]),
        "line 2: session \"a\" begins an operation before that of line 1 has ended"
    );
    assert_eq!(error(&["ok a 1"]), "line 1: session \"a\" ends an operation, and has begun none");
    assert!(error(&["read b causal k t"]).starts_with("line 1: no earlier `ok` gave the token \"t\""));
    assert!(error(&["log 1 e1 k", "read b causal k"]).starts_with("line 2: an operation after line 1"));
    assert_eq!(
        error(&["write a e1 k", "ok a 1", "write a e1 j"]),
        "line 3: the event \"e1\" has the key \"j\", and \"k\" in line 1"
    );
    assert_eq!(error(&["write a e1 k", "ok a 0"]), "line 2: positions of events begin at 1");
    assert_eq!(error(&["write a e1 k", "ok a 1 none"]), "line 2: a write shows no `row`");
    for (text, says) in [
        ("", "EOF"),
        ("[\"fail\", \"a\"]", "expected a JSON object"),
        ("{\"type\": \"maybe\", \"session\": \"a\"}", "unknown variant `maybe`"),
        ("{\"type\": \"fail\"}", "missing field `session`"),
        ("{\"type\": \"fail\", \"session\": \"a\", \"why\": 1}", "unknown field `why`"),
        ("{\"type\": \"ok\", \"session\": \"a\", \"position\": -1}", "integer `-1`"),
        ("{\"type\": \"invoke\", \"session\": \"a\", \"op\": \"write\", \"key\": \"k\"}", "a write without `id`"),
        (
            "{\"type\": \"invoke\", \"session\": \"a\", \"op\": \"read\", \"key\": \"k\", \"id\": \"e\"}",
            "a read has no `id`",
        ),
        ("{\"type\": \"invoke\", \"session\": \"a\", \"op\": \"read\", \"key\": \"k\", \"level\": \"best\"}", "`best`"),
    ] {
        let error = Checker::default().line(7, text.as_bytes()).unwrap_err();
        assert!(
            matches!(error, HistoryError::Unreadable { line: 7, .. }) && error.to_string().contains(says),
            "{error}"
        );
    }
}
