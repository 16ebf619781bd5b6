//! The command line end to end, through the binary itself: exit codes, documents, and what stands on which stream.
//!
//! The HTTP interface has tests of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "cli/causal.rs"]
mod causal;
#[path = "cli/contract.rs"]
mod contract;
#[path = "cli/drifted.rs"]
mod drifted;
#[path = "cli/history.rs"]
mod history;
#[path = "cli/impact.rs"]
mod impact;
#[path = "cli/parked.rs"]
mod parked;
#[path = "cli/publish.rs"]
mod publish;
#[path = "cli/snapshots.rs"]
mod snapshots;
#[path = "cli/support.rs"]
mod support;

use serde_json::Value;
use std::fs;
use support::{Project, Run, evenkeel};

/// The documents of every reading command, without what differs from moment to moment.
fn documents(project: &Project, reach: &[&str]) -> Vec<(String, i32, Value)> {
    let commands: &[&[&str]] = &[
        &["get", "inventory", "MUG-01", "north"],
        &["get", "inventory", "MUG-01/north", "--level", "strong"],
        &["get", "orders", "o-1003"],
        &["get", "orders", "nobody"],
        &["get", "inventory", "LAMP-9/north", "--level", "strong", "--allow-stale"],
        &["rows", "orders", "--limit", "3"],
        &["rows", "orders", "--where", "total=ge.20", "--order", "total.desc", "--select", "order_id,total", "--count"],
        &["rows", "customers"],
        &["query", "SELECT * FROM sales_by_currency ORDER BY currency"],
        &["query", "SELECT order_id, count(*) OVER () AS n FROM orders", "--limit", "2"],
        &["drift"],
        &["drift", "inventory"],
        &["verify", "--full"],
        &["verify", "orders"],
        &["causal", "ls"],
        &["quarantine", "ls"],
        &["quarantine", "ls", "--reason", "mapping"],
        &["quarantine", "ls", "--state", "admitted"],
        &["quarantine", "show", "q-1"],
        &["reconciliations", "orders"],
    ];
    let run = |command: &&[&str]| {
        let run = project.run(&[reach, &["--json"], command].concat());
        let lines: Vec<Value> = run.stdout.lines().map(|line| still(serde_json::from_str(line).unwrap())).collect();
        (command.join(" "), run.code, Value::Array(lines))
    };
    commands.iter().map(run).collect()
}

/// Without times, durations, rates, and what says whether a projector runs.
fn still(value: Value) -> Value {
    const MOVES: [&str; 16] = [
        "status",
        "reason",
        "reconciliation_status",
        "as_of",
        "token",
        "measured_at",
        "duration_ms",
        "verified_as_of",
        "arrival_rate",
        "apply_rate",
        "staleness_bound_seconds",
        "oldest_parked_seconds",
        "waited_ms",
        "eta_seconds",
        "suggested_action",
        "started_at",
    ];
    match value {
        Value::Object(members) => {
            let stays = |(name, _): &(String, Value)| !MOVES.contains(&name.as_str());
            Value::Object(members.into_iter().filter(stays).map(|(name, value)| (name, still(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(still).collect()),
        other => other,
    }
}

#[test]
fn commands_say_the_same_with_a_server_and_without() {
    let project = Project::example("shop");
    assert_eq!(project.run(&["publish", "sample.ndjson"]).code, 0);
    // Once before, so that both find rows that were compared.
    assert_eq!(project.run(&["verify", "--full"]).code, 0);
    let direct = documents(&project, &[]);
    let server = project.serve();
    let served = documents(&project, &["--url", &server.url]);
    for (direct, served) in direct.iter().zip(&served) {
        assert_eq!(direct, served);
    }
    let code = |command: &str| served.iter().find(|(name, ..)| name == command).unwrap().1;
    assert_eq!((code("get orders o-1003"), code("get orders nobody"), code("drift")), (0, 1, 0));
    let dear = &served.iter().find(|(name, ..)| name.starts_with("rows orders --where")).unwrap().2[0];
    let totals: Vec<f64> =
        dear["rows"].as_array().unwrap().iter().map(|row| row["total"].as_str().unwrap().parse().unwrap()).collect();
    assert!(!totals.is_empty() && totals.is_sorted_by(|a, b| a >= b) && totals.iter().all(|total| *total >= 20.0));
    assert_eq!(dear["total"], totals.len());
    let sales = &served.iter().find(|(name, ..)| name.starts_with("query SELECT *")).unwrap().2[0];
    assert_eq!(sales["columns"], serde_json::json!(["currency", "orders", "total_minor", "paid_minor"]));
    assert!(sales["rows"].as_array().is_some_and(|rows| rows.len() > 1 && rows[0]["total_minor"].is_i64()), "{sales}");
    for reach in [&["--url", &server.url][..], &["--url", &server.url, "--dir", "/nowhere"]] {
        for (args, expected) in [
            (&["get", "inventory", "LAMP-9/north", "--level", "strong"][..], 1),
            (&["get", "nothing", "x"], 2),
            (&["get", "inventory", "MUG-01"], 2),
            (&["drift", "nothing"], 2),
            (&["rows", "orders", "--cursor", "nonsense"], 2),
            (&["rows", "orders", "--where", "total=about.20"], 2),
            (&["rows", "orders", "--where", "total"], 2),
            (&["query", "DROP TABLE orders"], 2),
            (&["query", "SELECT colour FROM orders"], 2),
            (&["rows", "orders", "--order", "nothing"], 2),
            (&["quarantine", "show", "q-999"], 2),
            (&["get", "orders", "o-1003", "--token", "t"], 2),
        ] {
            let run = project.run(&[reach, args].concat());
            assert_eq!(run.code, expected, "{args:?}: {run:?}");
            assert!(run.stdout.is_empty() && run.stderr.starts_with("error: "), "{run:?}");
        }
    }
}

#[test]
fn a_project_goes_from_init_to_a_row() {
    let project = Project::minimal();
    let check = project.run(&["check"]);
    assert_eq!(check.code, 0, "{check:?}");
    assert!(check.stdout.contains("1 source, 1 contract, 1 model"), "{check:?}");
    let server = project.serve();
    let url = ["--url", &server.url];
    let published = project.json(&[&url[..], &["publish", "sample.ndjson"]].concat());
    assert_eq!(
        (published.code, &published.value["admitted"], &published.value["quarantined"]),
        (0, &2.into(), &1.into())
    );
    assert_eq!(published.value["reasons"]["invariant"], 1);
    let row = project.json(&[&url[..], &["get", "orders", "o-1", "--level", "strong"]].concat());
    assert_eq!((row.code, &row.value["data"]["total"]), (0, &"19.00".into()));
    assert_eq!(row.value["consistency"]["level_served"], "strong");
    // People get the same in words.
    let shown = project.run(&[&url[..], &["get", "orders", "o-1", "--level", "strong"]].concat());
    assert!(shown.stdout.contains("total      19.00") && shown.stdout.contains("strong read, fresh"), "{shown:?}");
    assert!(!shown.stdout.contains('\u{1b}'), "no colours where no terminal is");
    assert_eq!(server.stop(), Some(0), "told to stop, the server ends in order");
    let row = project.json(&["get", "orders", "o-1"]);
    assert_eq!((row.code, &row.value["data"]["total"]), (0, &"19.00".into()));
}

#[test]
fn bad_usage_and_configuration_end_with_2_and_say_what_to_do() {
    let project = Project::minimal();
    fs::write(project.path("plain"), "x").unwrap();
    for (args, said) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["publish"], "<FILE>"),
        (&["get", "orders"], "<KEY>"),
        (&["rows", "orders", "--limit", "0"], "--limit"),
        (&["get", "orders", "x", "--level", "loud"], "eventual, bounded, monotonic, causal, strong"),
        (&["--url", "https://example.com", "drift"], "https is not offered"),
        (&["--url", "nonsense", "drift"], "http://"),
        (&["--dir", "missing", "drift"], "missing"),
        (&["--dir", "contracts", "drift"], "evenkeel init"),
        (&["publish", "missing.ndjson"], "missing.ndjson"),
        (&["publish", "contracts"], "folder"),
        (&["init", "."], "evenkeel.toml already"),
        (&["init", "plain"], "not a folder"),
        (&["init", "new", "--example", "bank"], "shop"),
        (&["reconcile", "orders", "--method", "magic"], "repair"),
        (&["reconciliations", "orders", "--id", "1"], "--id"),
        (&["reconciliations", "--id", "9"], "number 9"),
        (&["rollback", "nothing"], "there are: orders"),
        (&["reconcile", "nothing"], "there are: orders"),
        (&["quarantine", "redrive"], "<ID>"),
        (&["quarantine", "discard", "q-1", "--author", ""], "--author"),
        (&["serve", "--listen", "7400"], "127.0.0.1:7400"),
        (&["serve", "--listen", "0.0.0.0:0"], "--insecure"),
        (&["--url", "http://127.0.0.1:1", "serve"], "--url"),
        (&["demo", "--events", "10"], "200"),
        (&["man", "frobnicate"], "frobnicate"),
        (&["completions", "dos"], "bash"),
    ] {
        let run = project.run(args);
        assert_eq!(run.code, 2, "{args:?}: {run:?}");
        assert!(run.stderr.contains(said), "{args:?}: {run:?}");
        assert!(run.stdout.is_empty(), "{args:?}: {run:?}");
    }
}

#[test]
fn what_cannot_be_reached_ends_with_3() {
    let project = Project::minimal();
    // A server that was named and is not there: another store is not asked instead.
    let run = project.run(&["--url", "http://127.0.0.1:1", "drift"]);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.contains("http://127.0.0.1:1") && run.stderr.contains("evenkeel serve"), "{run:?}");
    // A folder that somebody else has, who does not listen where the project says.
    let server = project.serve();
    for args in
        [&["drift"][..], &["publish", "sample.ndjson"], &["verify", "--full"], &["serve", "--listen", "127.0.0.1:0"]]
    {
        let run = project.run(args);
        assert_eq!(run.code, 3, "{args:?}: {run:?}");
        assert!(run.stderr.contains("another process has this data folder open"), "{args:?}: {run:?}");
    }
    drop(server);
    // A folder of a newer program.
    assert_eq!(project.run(&["drift"]).code, 0);
    let log = project.path("evenkeel-data/log.db");
    let raised = std::process::Command::new("sqlite3").arg(&log).arg("PRAGMA user_version = 9999").status();
    if raised.is_ok_and(|status| status.success()) {
        let run = project.run(&["drift"]);
        assert_eq!(run.code, 3, "{run:?}");
        assert!(run.stderr.contains("newer"), "{run:?}");
    } else {
        eprintln!("skipped: there is no sqlite3 to make a newer data folder with");
    }
}

#[test]
fn a_log_is_not_opened_under_the_name_of_another_node() {
    let project = Project::minimal();
    assert_eq!(project.run(&["publish", "sample.ndjson"]).code, 0);
    let settings = project.path("evenkeel.toml");
    let ours = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, ours.replacen("id = \"a\"", "id = \"b\"", 1)).unwrap();
    for args in [&["drift"][..], &["publish", "sample.ndjson"], &["serve", "--listen", "127.0.0.1:0"]] {
        let run = project.run(args);
        assert_eq!(run.code, 2, "{args:?}: {run:?}");
        for said in ["log.db", "this is the log of the node \"a\"", "set `[node] id = \"a\"`", "[node] data"] {
            assert!(run.stderr.contains(said), "{args:?}: {said} is not in {run:?}");
        }
    }
    fs::write(&settings, ours).unwrap();
    assert_eq!(project.run(&["drift"]).code, 0);
}

#[test]
fn check_shows_every_mistake_at_once_with_its_line() {
    let project = Project::minimal();
    let edit = |name: &str, from: &str, to: &str| {
        let text = fs::read_to_string(project.path(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from:?}");
        fs::write(project.path(name), text.replace(from, to)).unwrap();
    };
    edit("evenkeel.toml", "listen =", "lisen =");
    edit("models/orders.toml", "event = \"order_placed\"", "event = \"order_plced\"");
    edit("models/orders.toml", "placed_at = \"timestamp\"", "placed_at = \"moment\"");
    edit("contracts/order_placed.toml", "on_quarantine = \"park_key\"", "on_quarantine = \"panic\"");
    let run = project.run(&["check"]);
    assert_eq!(run.code, 2, "{run:?}");
    for said in [
        "evenkeel.toml:6:1",
        "lisen",
        "listen",
        "moment",
        "models/orders.toml:",
        "panic",
        "contracts/order_placed.toml:",
    ] {
        assert!(run.stdout.contains(said), "{said} is not in {}", run.stdout);
    }
    let report = project.json(&["check"]);
    assert_eq!((report.code, &report.value["ok"]), (2, &false.into()));
    let found = report.value["diagnostics"].as_array().unwrap();
    assert!(found.len() >= 3 && report.value["errors"].as_u64().unwrap() >= 3, "{}", report.value);
    let listen = found.iter().find(|found| found["place"] == "evenkeel.toml").unwrap();
    assert_eq!((&listen["line"], &listen["column"]), (&6.into(), &1.into()));
    // Other commands refuse to work on it, and say the same.
    let drift = project.run(&["drift"]);
    assert!(drift.code == 2 && drift.stderr.contains("lisen"), "{drift:?}");
}

#[test]
fn check_judges_views_and_nothing_starts_with_a_wrong_one() {
    let project = Project::minimal();
    fs::create_dir(project.path("views")).unwrap();
    let write = |name: &str, sql: &str| fs::write(project.path("views").join(name), sql).unwrap();
    write("few.sql", "SELECT order_id FROM orders LIMIT 3;\n");
    let check = project.run(&["check"]);
    assert!(check.code == 0 && check.stdout.contains("views/few.sql"), "{check:?}");
    assert_eq!(project.json(&["check"]).value["project"]["views"], serde_json::json!(["few"]));
    write("many.sql", "-- all of them\nSELECT order_id,\n  colour FROM orders");
    let check = project.run(&["check"]);
    assert!(check.code == 2 && check.stdout.contains("no such column: colour"), "{check:?}");
    let found = &project.json(&["check"]).value["diagnostics"][0];
    assert_eq!((&found["place"], &found["line"], &found["column"]), (&"views/many.sql".into(), &3.into(), &3.into()));
    let refused = project.run(&["query", "SELECT * FROM few"]);
    assert!(refused.code == 2 && refused.stderr.contains("views/many.sql"), "{refused:?}");
    fs::remove_file(project.path("views/many.sql")).unwrap();
    for (name, says) in
        [("Many.sql", "a view is named as its file is"), ("orders.sql", "a model is named `orders` too")]
    {
        write(name, "SELECT 1 AS one FROM orders");
        let check = project.run(&["check"]);
        assert!(check.code == 2 && check.stdout.contains(says), "{check:?}");
        fs::remove_file(project.path("views").join(name)).unwrap();
    }
    assert_eq!(project.json(&["query", "SELECT * FROM few"]).value["columns"], serde_json::json!(["order_id"]));
}

#[test]
fn decisions_release_what_waits_behind_an_entry() {
    let project = Project::minimal();
    let order = |id: &str, order: &str, total: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"shop","type":"OrderPlaced","data":{{"order_id":"{order}","customer":"c","total":"{total}","currency":"EUR"}}}}"#
        )
    };
    let lines = [
        order("1", "a", "0.00"),
        order("2", "a", "5.00"),
        order("3", "a", "6.00"),
        order("4", "b", "0.00"),
        order("5", "b", "7.00"),
    ];
    fs::write(project.path("orders.ndjson"), lines.join("\n")).unwrap();
    let published = project.json(&["publish", "orders.ndjson"]);
    assert_eq!((published.code, &published.value["quarantined"]), (0, &5.into()));
    // Again refused, it still waits: no.
    let again = project.json(&["quarantine", "redrive", "q-1", "--author", "ann", "--note", "try"]);
    assert_eq!(
        (again.code, &again.value["state"], &again.value["reason"]),
        (1, &"quarantined".into(), &"invariant".into())
    );
    // What waits behind it cannot be decided about.
    assert_eq!(project.run(&["quarantine", "discard", "q-2"]).code, 1);
    let gone = project.json(&["quarantine", "discard", "q-1", "--author", "ann", "--note", "broken"]);
    assert_eq!((gone.code, &gone.value["state"], &gone.value["released"]), (0, &"discarded".into(), &2.into()));
    assert_eq!(project.json(&["get", "orders", "a"]).value["data"]["total"], "6.00");
    let shown = project.json(&["quarantine", "show", "q-1"]).value;
    assert_eq!((&shown["author"], &shown["note"]), (&"ann".into(), &"broken".into()));
    // Twice is once: the second time there is nothing to decide.
    assert_eq!(project.run(&["quarantine", "discard", "q-1"]).code, 1);
    // Through a server, several at once, one of them unknown: the others are decided all the same.
    let server = project.serve();
    let run = project.run(&["--url", &server.url, "--json", "quarantine", "discard", "q-999", "q-4", "nonsense"]);
    assert_eq!((run.code, run.stdout.lines().count()), (1, 1), "{run:?}");
    assert!(run.stderr.contains("q-999: ") && run.stderr.contains("nonsense: "), "{run:?}");
    assert!(run.stdout.contains("\"released\":1") && run.stderr.contains("q-999"), "{run:?}");
    let row = project.json(&["--url", &server.url, "get", "orders", "b", "--level", "strong"]);
    assert_eq!(row.value["data"]["total"], "7.00");
}

#[test]
fn an_event_is_edited_from_the_command_line_with_and_without_a_server() {
    let project = Project::minimal();
    let order = |id: &str, order: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"shop","type":"OrderPlaced","data":{{"order_id":"{order}","customer":"c","total":"0.00","currency":"EUR"}}}}"#
        )
    };
    fs::write(project.path("orders.ndjson"), [order("1", "a"), order("2", "b")].join("\n")).unwrap();
    assert_eq!(project.run(&["publish", "orders.ndjson"]).code, 0);
    let bad = project.json(&["quarantine", "edit", "q-1", "--set", "/data/total=\"-1.00\"", "--note", "a try"]);
    assert_eq!((bad.code, &bad.value["version"], &bad.value["reason"]), (1, &2.into(), &"invariant".into()));
    let good = project.run(&["quarantine", "edit", "q-1", "--set", "/data/total=\"3.00\"", "--if-version", "2"]);
    assert!(good.code == 0 && good.stdout.contains("version 3") && good.stdout.contains("would admit"), "{good:?}");
    let shown = project.run(&["quarantine", "show", "q-1"]).stdout;
    assert!(shown.contains("(a try)") && shown.contains("as it is edited:") && shown.contains("3.00"), "{shown}");
    // Who looked at what it was before is told, and nothing is done.
    let stale = project.run(&["quarantine", "redrive", "q-1", "--if-version", "2"]);
    assert!(stale.code == 1 && stale.stderr.contains("version 3"), "{stale:?}");
    assert_eq!(project.run(&["quarantine", "redrive", "q-1", "q-2", "--if-version", "3"]).code, 2);
    assert_eq!(project.run(&["quarantine", "redrive", "q-1", "--if-version", "3"]).code, 0);
    assert_eq!(project.json(&["get", "orders", "a"]).value["data"]["total"], "3.00");

    let server = project.serve();
    let url = ["--url", &server.url];
    let patch =
        br#"[{"op":"test","path":"/data/total","value":"0.00"},{"op":"replace","path":"/data/total","value":"4.00"}]"#;
    let run = |args: &[&str], input: &[u8]| project.run_with(&[&url[..], args].concat(), input);
    let stale = run(&["quarantine", "edit", "q-2", "--patch", "-", "--redrive", "--if-version", "9"], patch);
    assert!(stale.code == 1 && stale.stderr.contains("version 1"), "{stale:?}");
    for (args, patch) in [
        (["--patch", "-"], &b"[7]"[..]),
        (["--patch", "no-such-file"], b""),
        (["--remove", "total"], b""),
        (["--remove", "/data/none"], b""),
    ] {
        assert_eq!(run(&[&["quarantine", "edit", "q-2"], &args[..]].concat(), patch).code, 2, "{args:?}");
    }
    let sent = run(&["quarantine", "edit", "q-2", "--patch", "-", "--redrive"], patch);
    assert!(sent.code == 0 && sent.stdout.contains("admitted"), "{sent:?}");
    let row = project.json(&[&url[..], &["get", "orders", "b", "--level", "strong"]].concat());
    assert_eq!(row.value["data"]["total"], "4.00");
}

#[test]
fn many_entries_are_decided_at_once_and_the_books_show_it() {
    let project = Project::example("shop");
    assert_eq!(project.run(&["publish", "sample.ndjson"]).code, 0);
    let listed = project.json(&["quarantine", "ls", "--type", "order_created", "--since", "2000-01-01T00:00:00Z"]);
    assert!(!listed.value["entries"].as_array().unwrap().is_empty(), "{}", listed.value);
    let trial = project.run(&["quarantine", "redrive", "--all", "--reason", "invariant", "--dry-run"]);
    assert!(
        trial.code == 1 && trial.stdout.contains("would_refuse") && trial.stderr.contains("would_refuse"),
        "{trial:?}"
    );
    let before = project.json(&["accounting", "--recount"]);
    assert_eq!((before.code, &before.value["total"]["discarded"]), (0, &0.into()));
    for wrong in [
        &["--all", "q-1"][..],
        &["--dry-run", "q-1"],
        &["q-1", "--reason", "invariant"],
        &["--all", "--if-version", "1"],
    ] {
        assert_eq!(project.run(&[&["quarantine", "discard"], wrong].concat()).code, 2, "{wrong:?}");
    }
    let server = project.serve();
    let url = ["--url", &server.url];
    let done = project.run(&[&url[..], &["quarantine", "discard", "--all", "--reason", "invariant"]].concat());
    assert!(done.code == 0 && done.stderr.contains("3 discarded"), "{done:?}");
    let books = project.json(&[&url[..], &["accounting", "--recount"]].concat());
    assert_eq!(
        (books.code, &books.value["total"]["discarded"], &books.value["balanced"]),
        (0, &3.into(), &true.into())
    );
    assert_eq!(books.value["total"]["received"], before.value["total"]["received"]);
    let table = project.run(&[&url[..], &["accounting"]].concat());
    assert!(table.code == 0 && table.stdout.contains("DISCARDED") && table.stdout.contains("shop.orders"), "{table:?}");
}

#[test]
fn a_model_is_reconciled_both_ways_and_that_is_recorded() {
    let project = Project::example("shop");
    assert_eq!(project.run(&["publish", "sample.ndjson"]).code, 0);
    let replay = project.json(&["reconcile", "orders", "--method", "replay"]);
    assert_eq!((replay.code, &replay.value["result"]), (0, &"nothing_to_do".into()));
    let server = project.serve();
    let url = ["--url", &server.url];
    let rebuild = project.json(&[&url[..], &["reconcile", "orders", "--method", "rebuild"]].concat());
    assert_eq!(
        (rebuild.code, &rebuild.value["result"], &rebuild.value["verified"]),
        (0, &"converged".into(), &true.into())
    );
    // A bar is for a terminal.
    for reach in [&[][..], &["--json"]] {
        let run = project.run(&[&url[..], reach, &["reconcile", "orders", "--method", "rebuild"]].concat());
        assert_eq!((run.code, run.stderr.as_str(), run.stdout.lines().count()), (0, "", 1), "{run:?}");
    }
    let list = project.json(&[&url[..], &["reconciliations", "orders"]].concat());
    let methods: Vec<_> = list.value["reconciliations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| &record["reconciliation_method"])
        .collect();
    assert_eq!(methods, ["rebuild", "rebuild", "rebuild", "replay"]);
}

#[test]
fn the_demo_ends_by_itself_converged_and_adds_up() {
    let Run { code, stdout, stderr } =
        evenkeel(&["--json", "demo", "--no-serve", "--events", "2000", "--seconds", "3"]);
    assert_eq!(code, 0, "{stderr}\n{stdout}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&report["converged"], &report["accounted"]), (&true.into(), &true.into()), "{report}");
    assert_eq!(report["contradictions"], Value::Array(Vec::new()));
    let number = |account: &Value, name: &str| account[name].as_u64().unwrap();
    let mut received = 0;
    for account in report["sources"].as_array().unwrap() {
        let ended = ["admitted", "duplicate", "quarantined", "discarded"].map(|name| number(account, name));
        assert_eq!(number(account, "received"), ended.iter().sum::<u64>(), "{account}");
        received += number(account, "received");
    }
    assert_eq!((received, number(&report["total"], "received")), (2000, 2000));
    assert!(number(&report["total"], "duplicate") > 40 && number(&report["total"], "quarantined") > 10, "{report}");
    assert_eq!(number(&report["total"], "released"), 4);
    assert_eq!(report["healed"].as_array().unwrap().len(), 8);
    for model in report["models"].as_array().unwrap() {
        assert_eq!((&model["verdict"], number(model, "wrong_rows")), (&"verified".into(), 0), "{model}");
    }
    for told in [
        "poison",
        "is killed",
        "data_stale=true",
        "outage",
        "corrections behind it are admitted in order",
        "is corrected from 0.00",
        "(money, edit 1 by demo)",
        "what if order_created allowed a total of 0.00?",
        "\"cancelled\" stands (concurrent, hlc), \"paid\" is on record (c-",
        "too early: the cancellation of o-early arrives before the payment",
    ] {
        assert!(stderr.contains(told), "{told} is not told in {stderr}");
    }
    let folder = stderr.split("its files are in ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    assert!(!std::path::Path::new(folder).exists(), "{folder} was left behind");
}

#[test]
fn completions_and_manual_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let run = evenkeel(&["completions", shell]);
        assert!(run.code == 0 && run.stdout.contains("quarantine"), "{shell}");
    }
    let page = evenkeel(&["man"]);
    assert!(page.code == 0 && page.stdout.contains(".TH") && page.stdout.contains("quarantine"), "{page:?}");
    let page = evenkeel(&["man", "quarantine", "redrive"]);
    assert!(page.code == 0 && page.stdout.contains("author"), "{page:?}");
    let help = evenkeel(&["--help"]);
    assert!(help.code == 0 && help.stdout.contains("Exit codes: 0 done"), "{help:?}");
}
