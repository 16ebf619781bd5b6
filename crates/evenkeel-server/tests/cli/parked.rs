//! `quarantine redrive|discard --all --model`: everything that a model parked.
use crate::support::{Json, Project};
use serde_json::Value;

fn entries(json: &Json) -> &Vec<Value> {
    json.value["entries"].as_array().unwrap()
}

/// Of the lamps the sample counts more than a row can.
#[test]
fn what_a_model_parked_is_listed_and_decided_about_by_its_name() {
    let project = Project::example("shop");
    assert_eq!(project.run(&["publish", "sample.ndjson"]).code, 0);
    let list = |reach: &[&str]| project.json(&[reach, &["quarantine", "ls", "--model", "inventory"]].concat());
    let parked = list(&[]);
    assert!(!entries(&parked).is_empty() && entries(&parked).iter().all(|entry| entry["model"] == "inventory"));
    let waiting = entries(&parked).iter().filter(|entry| entry["state"] == "quarantined").count();
    let all = ["quarantine", "redrive", "--all", "--model", "inventory"];
    let trial = project.json(&[&all[..], &["--dry-run"]].concat());
    assert_eq!((trial.code, entries(&trial).len()), (1, waiting), "it would be refused again: {trial:?}");
    assert!(entries(&trial)[0]["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
    let refused = project.run(&all);
    assert!(refused.code == 1 && refused.stderr.contains("refused"), "{refused:?}");
    let unknown = project.run(&["quarantine", "discard", "--all", "--model", "inventroy"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("inventroy"), "{unknown:?}");

    let server = project.serve();
    let url = ["--url", server.url.as_str()];
    assert_eq!(entries(&list(&url)).len(), entries(&parked).len());
    let served = project.json(&[&url[..], &all, &["--dry-run"]].concat());
    assert_eq!((served.code, &served.value), (1, &trial.value));
    assert_eq!(project.run(&[&url[..], &["quarantine", "discard", "--all", "--model", "nobody"]].concat()).code, 2);
    let by_type = ["quarantine", "discard", "--all", "--model", "inventory", "--type", "order_created"];
    assert!(entries(&project.json(&[&url[..], &by_type].concat())).is_empty());
    let given_up = project.json(&[&url[..], &["quarantine", "discard", "--all", "--model", "inventory"]].concat());
    assert_eq!((given_up.code, entries(&given_up).len()), (0, waiting), "{given_up:?}");
    assert!(entries(&list(&url)).is_empty(), "nothing of it waits");
    // The gate's own wait still.
    assert!(!entries(&project.json(&[&url[..], &["quarantine", "ls"]].concat())).is_empty());
    assert_eq!(server.stop(), Some(0));
}
