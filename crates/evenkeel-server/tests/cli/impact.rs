//! `contract impact`: what a changed contract would do, over a store and through a server.
use crate::support::{Json, Project};
use serde_json::Value;
use std::fs;

const CONTRACT: &str = "contracts/order_created.toml";

fn edit(project: &Project, name: &str, from: &str, to: &str) {
    let text = fs::read_to_string(project.path(name)).unwrap();
    assert!(text.contains(from), "{name} has no {from:?}");
    fs::write(project.path(name), text.replacen(from, to, 1)).unwrap();
}

fn of<'v>(json: &'v Json, part: &str, name: &str) -> &'v Value {
    &json.value[part][name]
}

/// The shop with its sample published, in which one order is refused, and waits.
fn published() -> Project {
    let project = Project::example("shop");
    assert_eq!(project.run(&["publish", "sample.ndjson"]).code, 0);
    project
}

#[test]
fn a_contract_as_it_is_changes_nothing() {
    let project = published();
    let same = project.json(&["contract", "impact", "order_created"]);
    let (events, judged) = (of(&same, "admitted", "events"), of(&same, "admitted", "judged"));
    assert!(same.code == 0 && events.as_u64().unwrap() > 10 && events == judged, "{same:?}");
    assert_eq!((of(&same, "admitted", "same"), of(&same, "admitted", "not_kept")), (events, &0.into()));
    let text = project.run(&["contract", "impact", "order_created"]);
    assert!(text.code == 0 && text.stdout.contains(&format!("{events} judged: {events} the same")), "{text:?}");
    // Those that are another contract's are no matter of this one.
    let paid = project.json(&["contract", "impact", "order_paid"]);
    assert!(paid.code == 0 && of(&paid, "admitted", "events") != events, "{paid:?}");
}

#[test]
fn what_would_be_refused_or_something_else_is_named() {
    let project = published();
    edit(
        &project,
        CONTRACT,
        r#"{ from = "/customer_ref",  to = "customer_id""#,
        r#"{ from = "/order_id", to = "customer_id""#,
    );
    edit(&project, CONTRACT, r#"gt = ["/data/total", 0] }"#, r#"gt = ["/data/total", 40] }"#);
    let changed = project.json(&["--dir", ".", "contract", "impact", "order_created", "--cases", "3"]);
    assert_eq!((changed.code, &changed.value["ok"]), (1, &false.into()), "{changed:?}");
    let count = |name| of(&changed, "admitted", name).as_u64().unwrap();
    assert!(count("refused") > 3 && count("otherwise") > 3 && count("same") == 0, "{changed:?}");
    assert_eq!(count("refused") + count("otherwise"), count("judged"));
    assert_eq!(of(&changed, "admitted", "reasons")["invariant"], count("refused"));
    let refusals = of(&changed, "admitted", "refusals").as_array().unwrap();
    assert_eq!(refusals.len(), 3);
    assert_eq!((&refusals[0]["reason"], &refusals[0]["pointer"]), (&"invariant".into(), &"/data/total_amount".into()));
    let case = &of(&changed, "admitted", "changes")[0];
    let places: Vec<_> = case["differences"].as_array().unwrap().iter().map(|place| place["pointer"].clone()).collect();
    assert_eq!(places, ["/data/customer_id"]);
    assert_eq!(case["differences"][0]["after"], case["subject"]);
    let text = project.run(&["contract", "impact", "order_created", "--cases", "1"]);
    for line in ["would be refused, of what is in the log", "+ /data/customer_id", "more; --cases names"] {
        assert!(text.stdout.contains(line), "{line} is not in {text:?}");
    }
}

#[test]
fn a_file_stands_for_the_contract_it_names_and_what_waits_may_be_let_in() {
    let project = published();
    let waits = project.json(&["quarantine", "ls", "--type", "order_created", "--reason", "invariant"]);
    let waits = waits.value["entries"].as_array().unwrap().len();
    let aside = tempfile::tempdir().unwrap();
    let laxer = fs::read_to_string(project.path(CONTRACT))
        .unwrap()
        .replace(r#"gt = ["/data/total", 0]"#, r#"ge = ["/data/total", 0]"#);
    let file = aside.path().join("draft.toml");
    fs::write(&file, &laxer).unwrap();
    let file = file.to_str().unwrap();
    let let_in = project.json(&["contract", "impact", file]);
    assert_eq!(let_in.code, 0, "{let_in:?}");
    assert_eq!((waits, of(&let_in, "waiting", "would_admit")), (2, &1.into()), "{let_in:?}");
    assert_eq!(of(&let_in, "waiting", "admissions")[0]["waits_for"], "invariant");
    // A schema beside the file goes before that of the project.
    fs::write(aside.path().join("order_created.v1.schema.json"), "false").unwrap();
    let nothing = project.json(&["contract", "impact", file]);
    assert_eq!((nothing.code, of(&nothing, "admitted", "same")), (1, &0.into()), "{nothing:?}");
    // Nothing was changed, neither the project nor the store.
    assert_eq!(project.run(&["check"]).code, 0);
    let after = project.json(&["quarantine", "ls", "--type", "order_created", "--reason", "invariant"]);
    assert_eq!(after.value["entries"].as_array().unwrap().len(), waits);

    let unknown = project.run(&["contract", "impact", "order_crated"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("order_cancelled"), "{unknown:?}");
    assert_eq!(project.run(&["contract", "impact", "nowhere.toml"]).code, 2);
    fs::write(file, laxer.replace("version = 1", "version = \"one\"")).unwrap();
    let wrong = project.run(&["contract", "impact", file]);
    assert!(wrong.code == 2 && wrong.stderr.contains("draft.toml"), "{wrong:?}");
}

#[test]
fn a_server_says_what_the_store_says() {
    let project = published();
    let text = fs::read_to_string(project.path(CONTRACT)).unwrap();
    let stricter = text.replace(r#"gt = ["/data/total", 0]"#, r#"gt = ["/data/total", 40]"#);
    fs::write(project.path("draft.toml"), &stricter).unwrap();
    let direct = project.json(&["contract", "impact", "draft.toml"]);
    let server = project.serve();
    let served = project.json(&["--url", &server.url, "contract", "impact", "draft.toml"]);
    assert_eq!((served.code, &served.value), (1, &direct.value), "{served:?}");
    // The server's own files are not asked: it is told what would be.
    fs::write(project.path(CONTRACT), &stricter).unwrap();
    let changed = project.json(&["--url", &server.url, "contract", "impact", "order_created"]);
    assert_eq!((changed.code, &changed.value), (1, &direct.value));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn what_is_not_kept_any_more_is_counted_and_not_guessed() {
    let project = Project::example("shop");
    project.set("[raw]\nkeep_days = 0");
    assert_eq!(project.run(&["publish", "sample.ndjson"]).code, 0);
    let none = project.json(&["contract", "impact", "stock_received"]);
    assert_eq!((none.code, of(&none, "admitted", "judged")), (0, &0.into()), "{none:?}");
    assert_eq!(of(&none, "admitted", "not_kept"), of(&none, "admitted", "events"));
    let text = project.run(&["contract", "impact", "stock_received"]);
    assert!(text.stdout.contains("not judged") && text.stdout.contains("keep_days"), "{text:?}");
}

#[test]
fn an_event_of_the_log_says_where_its_fields_are_from() {
    let project = published();
    let pointer = |json: &Json, field: &str| {
        let fields = json.value["fields"].as_array().unwrap();
        fields.iter().find(|found| found["field"] == field).unwrap()["from"].clone()
    };
    let order = (1..100u32).map(|position| project.json(&["lineage", &position.to_string()]));
    let order = order.into_iter().find(|found| found.value["contract"] == "order_created").unwrap();
    assert_eq!((order.code, &order.value["exact"]), (0, &true.into()), "{order:?}");
    assert_eq!(pointer(&order, "/data/total"), serde_json::json!(["/data/total_amount", "/data/currency_code"]));
    let (position, id) = (order.value["position"].to_string(), order.value["event_id"].as_str().unwrap());
    let text = project.run(&["lineage", &position]);
    assert!(text.code == 0 && text.stdout.contains("/data/customer_ref"), "{text:?}");
    // Sent through as edited: by the edit, and with who made it.
    let edit = ["quarantine", "edit", "q-2", "--set", "/data/total_amount=\"7.00\"", "--redrive", "--author", "ada"];
    assert_eq!(project.run(&edit).code, 0);
    let at = project.json(&["quarantine", "show", "q-2"]).value["position"].to_string();
    let edited = project.run(&["lineage", &at]);
    assert!(
        edited.code == 0 && edited.stdout.contains("edit 1 of q-2: ") && edited.stdout.contains("by ada"),
        "{edited:?}"
    );
    let server = project.serve();
    let served = project.json(&["--url", &server.url, "lineage", id]);
    assert_eq!((served.code, &served.value), (0, &order.value));
    for reach in [&["--url", &server.url][..], &[]] {
        let nothing = project.run(&[reach, &["lineage", "999999"]].concat());
        assert!(nothing.code == if reach.is_empty() { 3 } else { 2 }, "{nothing:?}");
    }
    assert_eq!(server.stop(), Some(0));
    edit_contract(&project);
    let changed = project.run(&["lineage", &position]);
    assert!(changed.code == 1 && changed.stdout.contains("the contracts have changed"), "{changed:?}");
}

fn edit_contract(project: &Project) {
    edit(
        project,
        CONTRACT,
        r#"{ from = "/customer_ref",  to = "customer_id""#,
        r#"{ from = "/order_id", to = "customer_id""#,
    );
}
