//! `evenkeel causal`, over the store and through a server.
use crate::support::Project;
use serde_json::json;

fn event(seq: u64) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{seq}","source":"shop","type":"OrderPlaced","vclock":"shop={seq}","data":{{"order_id":"o-{seq}","customer":"c","total":"5.00","currency":"EUR"}}}}"#
    )
}

#[test]
fn what_waits_is_listed_and_what_will_not_come_is_declared() {
    let project = Project::minimal();
    project.set("[causal]\ntimeout_seconds = 600");
    let published = project.run_with(&["--json", "publish", "-"], format!("{}\n{}\n", event(3), event(5)).as_bytes());
    assert!(published.code == 0 && published.stdout.contains("\"waiting\":2"), "{published:?}");
    let listed = project.run(&["causal", "ls"]);
    assert!(listed.code == 0 && listed.stdout.contains("3 of shop"), "{listed:?}");
    assert!(listed.stdout.contains("2 of shop") && listed.stdout.contains("WAITS FOR"), "{listed:?}");

    let declared =
        project.json(&["causal", "skip", "shop", "1", "--through", "2", "--author", "ann", "--note", "lost"]);
    assert_eq!((declared.code, &declared.value["released"]), (0, &json!(1)), "{declared:?}");
    let again = project.run(&["causal", "skip", "shop", "2"]);
    assert_eq!(again.code, 1, "{again:?}");
    for bad in [&["causal", "skip", "shop", "0"][..], &["causal", "skip", "nobody", "1"], &["causal", "skip", "shop"]] {
        let run = project.run(bad);
        assert_eq!(run.code, 2, "{run:?}");
    }

    let server = project.serve();
    let served = project.json(&["--url", &server.url, "causal", "skip", "shop", "4"]);
    assert_eq!((served.code, &served.value["released"]), (0, &json!(1)), "{served:?}");
    let listed = project.json(&["--url", &server.url, "causal", "ls"]);
    assert_eq!((listed.code, &listed.value["waiting"]), (0, &json!([])), "{listed:?}");
    let first = &listed.value["skips"][0];
    assert_eq!((&first["author"], &first["note"], &first["last"]), (&json!("ann"), &json!("lost"), &json!(2)));
    let listed = project.run(&["--url", &server.url, "causal", "ls"]);
    assert!(listed.stdout.contains("no event waits") && listed.stdout.contains("PASSED"), "{listed:?}");
    server.stop();
}
