//! Rows that somebody else has written to, with another tool while the node serves: told, named with the cause, and put
//! right; and a rebuild taken back.
use super::support::{Json, Project, Run, Server};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

/// Every row with its digest, as the tables of the two models hold them.
const ALL: &str = "SELECT hex(_ek_digest), * FROM orders; SELECT hex(_ek_digest), * FROM inventory";

/// A node at work over a few orders, with a client.
struct Node {
    project: Project,
    server: Server,
    /// The rows as the projector wrote them.
    before: String,
}

impl Node {
    /// `None` where there is nothing to tamper with.
    fn start(settings: &str) -> Option<Self> {
        let project = Project::example("shop");
        project.set(settings);
        assert_eq!(project.run(&["publish", "sample.ndjson"]).code, 0);
        let server = project.serve();
        let before = project.sql(ALL)?;
        assert!(before.lines().count() > 30, "{before}");
        Some(Self { project, server, before })
    }

    fn run(&self, args: &[&str]) -> Run {
        self.project.run(&[&["--url", &self.server.url], args].concat())
    }

    fn json(&self, args: &[&str]) -> Json {
        self.project.json(&[&["--url", &self.server.url], args].concat())
    }

    fn tamper(&self, sql: &str) {
        self.project.sql(sql).unwrap();
    }

    fn rows(&self) -> String {
        self.project.sql(ALL).unwrap()
    }

    /// Whether a line of the metrics is there.
    fn measures(&self, line: &str) -> bool {
        let address = self.server.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.lines().any(|found| found == line)
    }
}

/// Tries until it holds; fails where it does not for long.
fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_edit_by_somebody_else_is_told_at_once_named_and_repaired_alone() {
    let Some(node) = Node::start("[reconcile]\nauto = false") else { return };
    assert_eq!(node.run(&["verify", "--full"]).code, 0);
    node.tamper("UPDATE orders SET status = 'forged' WHERE order_id = 'o-1003'");

    // The next read says so: of this row, and of any other of the model.
    for order in ["o-1003", "o-1004"] {
        let read = node.json(&["get", "orders", order]).value;
        assert_eq!(read["consistency"]["content"]["verdict"], "suspect", "{read}");
        assert_ne!(read["consistency"]["suggested_action"], "use_data", "{read}");
    }
    assert_eq!(node.json(&["get", "inventory", "MUG-01/north"]).value["consistency"]["content"]["verdict"], "verified");
    let drift = node.json(&["drift", "orders"]);
    assert_eq!((drift.code, &drift.value["models"][0]["content"]["verdict"]), (1, &json!("suspect")));
    assert!(drift.value["models"][0]["detection_bound_seconds"].as_f64().unwrap() > 0.0, "{}", drift.value);
    let verdict = |word: &str, is: u8| format!("evenkeel_content_verdict{{model=\"orders\",verdict=\"{word}\"}} {is}");
    soon("the gauge says suspect", || node.measures(&verdict("suspect", 1)) && node.measures(&verdict("verified", 0)));

    let report = node.json(&["verify", "orders"]);
    assert_eq!((report.code, &report.value["verdict"], &report.value["wrong_rows"]), (1, &json!("drifted"), &json!(1)));
    let wrong = &report.value["wrong"];
    assert_eq!((&wrong[0]["key"], &wrong[0]["cause"]), (&json!("o-1003"), &json!("foreign_edit")));
    assert_eq!(wrong[0]["expected"]["status"], "paid");
    assert_eq!(wrong[0]["actual"]["status"], "forged");
    let changed = |name: &&String| wrong[0]["expected"][name.as_str()] != wrong[0]["actual"][name.as_str()];
    let differing: Vec<_> = wrong[0]["expected"].as_object().unwrap().keys().filter(changed).collect();
    assert_eq!(differing, ["status"]);
    // People get the same in words, and what to do.
    let shown = node.run(&["verify"]);
    assert_eq!(shown.code, 1, "{shown:?}");
    assert!(shown.stdout.contains("orders o-1003  foreign_edit\n  the log says  {"), "{shown:?}");
    assert!(shown.stdout.contains("\n  the table has {") && shown.stdout.contains("\"forged\""), "{shown:?}");
    assert!(shown.stderr.contains("`evenkeel reconcile orders --method repair`"), "{shown:?}");
    assert_eq!(node.json(&["get", "orders", "o-1003"]).value["consistency"]["content"]["verdict"], "drifted");
    assert!(node.rows() != node.before, "looking mends nothing");

    let record = node.json(&["reconcile", "orders", "--method", "repair"]);
    assert_eq!(
        (record.code, &record.value["reconciliation_method"], &record.value["result"]),
        (0, &json!("repair"), &json!("converged"))
    );
    assert_eq!((&record.value["rows_repaired"], &record.value["verified"]), (&json!(1), &json!(true)));
    assert_eq!(node.rows(), node.before);
    for look in [&["verify"][..], &["verify", "--full"]] {
        let report = node.run(look);
        assert!(report.code == 0 && !report.stdout.contains("drifted"), "{report:?}");
    }
    assert_eq!(node.json(&["drift", "orders"]).code, 0);
    soon("the gauge says verified", || node.measures(&verdict("verified", 1)) && node.measures(&verdict("drifted", 0)));

    // What was found is kept, as it was found.
    let id = record.value["id"].to_string();
    assert_eq!(&node.json(&["reconciliations", "--id", &id]).value["evidence"], wrong);
    let shown = node.run(&["reconciliations", "--id", &id]);
    assert!(shown.stdout.contains("1 row repaired") && shown.stdout.contains("foreign_edit"), "{shown:?}");
    let list = node.run(&["reconciliations", "orders"]);
    assert!(list.stdout.lines().next().unwrap().contains("REPAIRED"), "{list:?}");
    let direct = {
        let Node { project, server, .. } = node;
        server.stop();
        project.json(&["reconciliations", "--id", &id])
    };
    assert_eq!((direct.code, &direct.value["evidence"]), (0, wrong), "without a server too, and after it has ended");
}

#[test]
fn rows_deleted_and_put_there_are_told_apart() {
    let Some(node) = Node::start("[reconcile]\nauto = false") else { return };
    node.tamper("DELETE FROM orders WHERE order_id = 'o-1004'");
    node.tamper("INSERT INTO orders(order_id, status) VALUES('ghost', 'paid')");
    node.tamper("DELETE FROM inventory WHERE product_id = 'MUG-01' AND location_id = 'north'");
    let lost = node.json(&["get", "orders", "o-1004"]);
    assert_eq!((lost.code, &lost.value["consistency"]["content"]["verdict"]), (1, &json!("suspect")));
    for full in [&[][..], &["--full"]] {
        let report = node.json(&[&["verify", "orders"], full].concat());
        assert_eq!(report.code, 1);
        let wrong = report.value["wrong"].as_array().unwrap();
        let causes: Vec<_> = wrong.iter().map(|row| (&row["key"], &row["cause"])).collect();
        assert_eq!(causes, [(&json!("ghost"), &json!("extra_row")), (&json!("o-1004"), &json!("lost_row"))]);
        assert_eq!((&wrong[0]["expected"], &wrong[1]["actual"]), (&Value::Null, &Value::Null));
        assert_eq!(
            (&wrong[0]["actual"]["order_id"], &wrong[1]["expected"]["order_id"]),
            (&json!("ghost"), &json!("o-1004"))
        );
    }
    let shown = node.run(&["verify", "inventory"]);
    assert!(
        shown.stdout.contains("inventory MUG-01/north  lost_row") && shown.stdout.contains("has no row"),
        "{shown:?}"
    );
    for (model, rows) in [("orders", 2), ("inventory", 1)] {
        let record = node.json(&["reconcile", model]);
        assert_eq!(
            (record.code, &record.value["reconciliation_method"], &record.value["rows_repaired"]),
            (0, &json!("repair"), &json!(rows)),
            "few rows are repaired, not the table rebuilt"
        );
    }
    assert_eq!((node.rows(), node.run(&["verify", "--full"]).code), (node.before.clone(), 0));
}

#[test]
fn a_row_whose_key_is_no_text_is_told_and_removed() {
    let Some(node) = Node::start("[reconcile]\nauto = false") else { return };
    node.tamper("INSERT INTO orders(order_id, status) VALUES(CAST(x'6fff' AS TEXT), 'paid')");
    for look in [&["verify", "orders"][..], &["verify", "orders", "--full"]] {
        let report = node.json(look);
        assert_eq!((report.code, &report.value["wrong_rows"]), (1, &json!(1)), "{}", report.value);
        let wrong = &report.value["wrong"][0];
        assert_eq!((&wrong["key"], &wrong["cause"]), (&json!("o\u{fffd}"), &json!("extra_row")));
        assert_eq!((&wrong["expected"], &wrong["actual"]["status"]), (&Value::Null, &json!("paid")));
    }
    let record = node.json(&["reconcile", "orders"]);
    let done = (&record.value["result"], &record.value["rows_repaired"], &record.value["verified"]);
    assert_eq!(done, (&json!("converged"), &json!(1), &json!(true)), "{}", record.value);
    assert_eq!((node.rows(), node.run(&["verify", "--full"]).code), (node.before.clone(), 0));
    assert_eq!(node.json(&["drift", "orders"]).code, 0);
}

#[test]
fn a_node_that_may_heals_by_itself() {
    let Some(node) = Node::start("[reconcile]\nauto = true") else { return };
    node.tamper("UPDATE orders SET items = 99 WHERE order_id = 'o-1003'; DELETE FROM orders WHERE order_id = 'o-1004'");
    soon("the rows are as they were", || node.rows() == node.before);
    soon("its record is kept", || {
        let kept = node.json(&["reconciliations", "orders"]).value;
        kept["reconciliations"].as_array().unwrap().iter().any(|record| record["rows_repaired"] == 2)
    });
    soon("and all is well again", || node.run(&["drift"]).code == 0);
    let id = node.json(&["reconciliations", "orders"]).value["reconciliations"][0]["id"].to_string();
    let kept = node.json(&["reconciliations", "--id", &id]).value;
    let causes: Vec<_> = kept["evidence"].as_array().unwrap().iter().map(|row| &row["cause"]).collect();
    assert_eq!(causes, [&json!("foreign_edit"), &json!("lost_row")]);
}

#[test]
fn what_goes_past_the_triggers_the_scrub_finds() {
    let Some(node) = Node::start("[reconcile]\nauto = false") else { return };
    // Somebody who takes the triggers off, edits, and puts them back.
    let triggers = node.project.sql("SELECT sql || ';' FROM sqlite_schema WHERE type = 'trigger'").unwrap();
    let drop = node.project.sql("SELECT 'DROP TRIGGER ' || name || ';' FROM sqlite_schema WHERE type = 'trigger'");
    node.tamper(&format!(
        "BEGIN; {} UPDATE orders SET items = 99 WHERE order_id = 'o-1003'; {triggers} COMMIT",
        drop.unwrap()
    ));
    soon("the scrub finds it", || {
        node.json(&["drift", "orders"]).value["models"][0]["content"]["verdict"] == "suspect"
    });
    let report = node.json(&["verify", "orders"]);
    assert_eq!((report.code, &report.value["wrong"][0]["cause"]), (1, &json!("foreign_edit")), "{}", report.value);
    assert_eq!(report.value["wrong"][0]["key"], "o-1003");
}

#[test]
fn many_wrong_rows_are_for_a_rebuild() {
    let project = Project::minimal();
    project.set("[reconcile]\nauto = false\n[drift]\nrepair_budget = 0.5");
    let order = |n: u32| {
        format!(
            r#"{{"specversion":"1.0","id":"{n}","source":"shop","type":"OrderPlaced","data":{{"order_id":"m-{n}","customer":"c","total":"1.00","currency":"EUR"}}}}"#
        )
    };
    fs::write(project.path("orders.ndjson"), (0..300).map(order).collect::<Vec<_>>().join("\n")).unwrap();
    assert_eq!(project.run(&["publish", "orders.ndjson"]).code, 0);
    let Some(_) = project.sql("UPDATE orders SET customer = 'x'") else { return };
    let asked = project.json(&["reconcile", "orders", "--method", "repair"]);
    assert_eq!((asked.code, &asked.value["rows_repaired"]), (0, &json!(300)), "who asks for a repair gets one");
    project.sql("UPDATE orders SET customer = 'x' WHERE order_id < 'm-2'");
    let few = project.run(&["verify"]);
    assert!(few.code == 1 && few.stderr.contains("--method repair"), "{few:?}");
    assert!(few.stdout.contains("orders: 102 more"), "{few:?}");
    project.sql("UPDATE orders SET customer = 'x'");
    let many = project.run(&["verify"]);
    assert!(many.code == 1 && many.stderr.contains("--method rebuild"), "{many:?}");
    let record = project.json(&["reconcile", "orders"]);
    assert_eq!((record.code, &record.value["reconciliation_method"]), (0, &json!("rebuild")), "{}", record.value);
    assert_eq!(project.run(&["verify", "--full"]).code, 0);
}

#[test]
fn a_rebuild_is_taken_back() {
    let project = Project::minimal();
    assert_eq!(project.run(&["publish", "sample.ndjson"]).code, 0);
    let none = project.run(&["rollback", "orders"]);
    assert!(none.code == 1 && none.stderr.contains("no table from before its last rebuild"), "{none:?}");
    assert_eq!(project.run(&["reconcile", "orders", "--method", "rebuild"]).code, 0);

    // The new table is wrong; the one before is not.
    let server = project.serve();
    let url = ["--url", &server.url];
    let back = project.json(&[&url[..], &["rollback", "orders"]].concat());
    assert_eq!((back.code, &back.value["model"], &back.value["served_version"]), (0, &json!("orders"), &json!(1)));
    let row = project.json(&[&url[..], &["get", "orders", "o-1", "--level", "strong"]].concat());
    assert_eq!((row.code, &row.value["data"]["total"]), (0, &json!("19.00")));
    // Back and forth: the table that was in place was kept.
    let forth = project.run(&[&url[..], &["rollback", "orders"]].concat());
    assert!(forth.code == 0 && forth.stdout.contains("orders: the table from before"), "{forth:?}");
    drop(server);
}

#[test]
fn a_table_of_an_older_declaration_stays_as_it_is() {
    let project = Project::minimal();
    assert_eq!(project.run(&["publish", "sample.ndjson"]).code, 0);
    let file = project.path("models/orders.toml");
    let declared = fs::read_to_string(&file).unwrap();
    fs::write(&file, declared.replace("version = 1", "version = 2")).unwrap();
    assert_eq!(project.run(&["reconcile", "orders"]).code, 0);
    let server = project.serve();
    let url = ["--url", &server.url];
    let back = project.run(&[&url[..], &["rollback", "orders"]].concat());
    assert!(back.code == 0 && back.stdout.contains("version 1") && back.stderr.contains("version 2"), "{back:?}");
    // A server that heals by itself does not undo what a person did.
    std::thread::sleep(Duration::from_secs(2));
    let drift = project.json(&[&url[..], &["drift", "orders"]].concat());
    assert_eq!((drift.code, &drift.value["models"][0]["status"]), (1, &json!("rebuild_needed")), "{}", drift.value);
    assert_eq!(project.run(&[&url[..], &["verify", "orders"]].concat()).code, 1);
    // A person's word brings it forward again.
    assert_eq!(project.run(&[&url[..], &["reconcile", "orders"]].concat()).code, 0);
    let drift = project.json(&[&url[..], &["drift", "orders"]].concat());
    assert_eq!((drift.code, &drift.value["models"][0]["status"]), (0, &json!("in_sync")), "{}", drift.value);
}

#[test]
fn a_model_is_reconciled_by_one_node_at_a_time() {
    let project = Project::minimal();
    let file = project.path("evenkeel.toml");
    let settings = fs::read_to_string(&file).unwrap();
    fs::write(&file, settings.replace("id = \"a\"", "id = \"b\"")).unwrap();
    assert_eq!(project.run(&["publish", "sample.ndjson"]).code, 0);
    let lease = |holder: &str| {
        project.sql(&format!(
            "INSERT OR REPLACE INTO _ek_leases VALUES('orders', '{holder}', '2999-01-01T00:00:00.000000Z')"
        ))
    };
    let Some(_) = lease("a") else { return };
    let refused = project.run(&["reconcile", "orders"]);
    assert!(refused.code == 1 && refused.stderr.contains("another reconciliation of orders"), "{refused:?}");
    // What a node that was killed has left behind is its own.
    lease("b");
    let run = project.run(&["reconcile", "orders"]);
    assert_eq!(run.code, 0, "{run:?}");
}
