//! Snapshots by the command line: taken, listed, begun from after the models' store was lost, and done without.
use super::support::Project;
use serde_json::{Value, json};
use std::fs;

fn kept(project: &Project) -> Vec<Value> {
    let listed = project.json(&["snapshots", "orders"]);
    assert_eq!(listed.code, 0);
    listed.value["snapshots"].as_array().unwrap().clone()
}

fn lose_models(project: &Project) {
    for file in ["models.db", "models.db-wal", "models.db-shm"] {
        let _ = fs::remove_file(project.path(&format!("evenkeel-data/{file}")));
    }
}

#[test]
fn a_lost_models_store_is_rebuilt_from_the_snapshot_that_was_taken() {
    let project = Project::example("shop");
    assert_eq!(project.run(&["publish", "sample.ndjson"]).code, 0);
    assert!(kept(&project).is_empty());
    let said = project.run(&["snapshot", "orders"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.starts_with("orders: a snapshot at position "), "{said:?}");
    let found = kept(&project);
    let position = found[0]["position"].as_u64().unwrap();
    assert!(found[0]["usable"] == json!(true) && found[0]["rows"].as_u64() > Some(5) && position > 10, "{found:?}");
    assert!(project.path(&format!("evenkeel-data/snapshots/orders/{position}.snap")).is_file());
    let rows = project.json(&["rows", "orders", "--limit", "1000"]).value["rows"].clone();

    lose_models(&project);
    let rebuilt = project.json(&["reconcile", "orders", "--method", "rebuild"]);
    assert_eq!(rebuilt.code, 0, "{rebuilt:?}");
    assert_eq!(
        (&rebuilt.value["rebuilt_from"], &rebuilt.value["events_replayed"], &rebuilt.value["verified"]),
        (&json!(position), &json!(0), &json!(true))
    );
    assert_eq!(project.json(&["rows", "orders", "--limit", "1000"]).value["rows"], rows);
    assert_eq!(project.run(&["verify", "orders", "--full"]).code, 0);
    let again = project.json(&["reconcile", "orders", "--method", "rebuild", "--from-start"]);
    assert_eq!((again.code, &again.value["rebuilt_from"]), (0, &json!(0)));
    assert_eq!(project.run(&["reconcile", "orders", "--from-start"]).code, 2);
}

#[test]
fn a_damaged_snapshot_is_named_removed_and_done_without() {
    let project = Project::example("shop");
    assert_eq!(project.run(&["publish", "sample.ndjson"]).code, 0);
    assert_eq!(project.run(&["snapshot", "orders"]).code, 0);
    let position = kept(&project)[0]["position"].as_u64().unwrap();
    let file = project.path(&format!("evenkeel-data/snapshots/orders/{position}.snap"));
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.len() - 40;
    bytes[at] ^= 1;
    fs::write(&file, bytes).unwrap();
    let server = project.serve();
    let url = ["--url", server.url.as_str()];
    let rebuilt = project.json(&[&url[..], &["reconcile", "orders", "--method", "rebuild"]].concat());
    assert_eq!((rebuilt.code, &rebuilt.value["rebuilt_from"]), (0, &json!(0)));
    assert!(!file.exists());
    let taken = project.json(&[&url[..], &["snapshot", "orders"]].concat());
    assert_eq!((taken.code, &taken.value["position"]), (0, &json!(position)));
    let words = project.run(&[&url[..], &["reconcile", "orders", "--method", "rebuild"]].concat());
    assert!(words.stdout.contains(&format!("rebuild from the snapshot at position {position}")), "{words:?}");
    let table = project.run(&[&url[..], &["snapshots"]].concat());
    assert!(table.stdout.contains("orders") && table.stdout.contains("true"), "{table:?}");
}

#[test]
fn a_table_that_may_be_wrong_is_refused() {
    let project = Project::example("shop");
    assert_eq!(project.run(&["publish", "sample.ndjson"]).code, 0);
    if project.sql("UPDATE orders SET status = 'mine'").is_none() {
        return;
    }
    let refused = project.run(&["snapshot", "orders"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("no snapshot of orders was kept"), "{refused:?}");
    assert!(kept(&project).is_empty());
    assert_eq!(project.run(&["snapshot", "nothing"]).code, 2);
}
