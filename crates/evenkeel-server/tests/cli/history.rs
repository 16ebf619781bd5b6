//! `evenkeel check-history`: exit codes, documents and words. What is found is the core's own tests' matter.
use super::support::{Project, evenkeel};
use std::fs;

/// The example of the documentation.
fn documented() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/history.md");
    let text = fs::read_to_string(path).unwrap();
    let block = text.split("```json lines\n").nth(1).and_then(|rest| rest.split("```").next());
    block.unwrap().to_owned()
}

#[test]
fn the_documented_history_holds() {
    let project = Project::minimal();
    let run = project.run_with(&["check-history", "-"], documented().as_bytes());
    assert_eq!((run.code, &*run.stderr), (0, ""), "{run:?}");
    assert_eq!(run.stdout, "holds: 2 sessions, 2 events written, 2 reads, 2 events of the log\n");
}

#[test]
fn a_violation_is_a_no_that_names_session_and_lines() {
    let project = Project::minimal();
    let stale = documented()
        .replace(r#""position": 1, "row": {"count": 1, "last": "e-1", "sum": 1}"#, r#""position": 0, "row": null"#);
    fs::write(project.path("history.ndjson"), stale).unwrap();
    let run = project.run(&["check-history", "history.ndjson"]);
    assert_eq!(run.code, 1, "{run:?}");
    let expected = "read_your_writes lines 1, 3, 5, 6, 11, session ben, key o-1\n  \
        expected e-1 at position 1: its session had written up to position 1\n  seen     the row as of position 0\n\
        violated: read_your_writes 1; 2 sessions, 2 events written, 2 reads, 2 events of the log\n";
    assert_eq!(run.stdout, expected);
    let json = project.json(&["check-history", "history.ndjson"]);
    assert_eq!((json.code, &json.value["holds"]), (1, &false.into()));
    assert_eq!(json.value["violations"], serde_json::json!({"read_your_writes": 1}));
    let finding = &json.value["findings"][0];
    assert_eq!((&finding["kind"], &finding["session"]), (&"read_your_writes".into(), &"ben".into()));
    assert_eq!(finding["lines"], serde_json::json!([1, 3, 5, 6, 11]));
}

#[test]
fn what_is_no_history_is_bad_usage() {
    let missing = evenkeel(&["check-history", "/nowhere/history.ndjson"]);
    assert_eq!((missing.code, &*missing.stdout), (2, ""), "{missing:?}");
    let project = Project::minimal();
    let broken = documented().replace("\"ok\", \"session\": \"ben\"", "\"ok\", \"session\": \"eve\"");
    let run = project.run_with(&["check-history", "-"], broken.as_bytes());
    assert_eq!((run.code, &*run.stdout), (2, ""), "{run:?}");
    let said = "error: line 4: session \"eve\" ends an operation, and has begun none\n  help: docs/history.md describes the format\n";
    assert_eq!(run.stderr, said);
}
