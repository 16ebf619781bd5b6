//! `contract test` and `contract infer`, and what `check` demands of examples.
use crate::support::{Project, evenkeel};
use std::fs;

const CONTRACT: &str = "contracts/order_created.toml";

fn edit(project: &Project, name: &str, from: &str, to: &str) {
    let text = fs::read_to_string(project.path(name)).unwrap();
    assert!(text.contains(from), "{name} has no {from:?}");
    fs::write(project.path(name), text.replacen(from, to, 1)).unwrap();
}

#[test]
fn examples_as_expected_are_a_yes() {
    for example in ["shop", "travel"] {
        let project = Project::example(example);
        let run = project.run(&["contract", "test"]);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stdout.contains("all as expected") && !run.stdout.contains("FAIL"), "{run:?}");
    }
    let shop = Project::example("shop");
    let one = shop.json(&["contract", "test", "order_created"]);
    assert_eq!((one.code, &one.value["ok"]), (0, &true.into()), "{one:?}");
    let examples = one.value["examples"].as_array().unwrap();
    assert!(examples.len() == 3 && examples.iter().all(|example| example["contract"] == "order_created"), "{one:?}");
}

/// What the benchmarks run is a project too.
#[test]
fn the_project_of_the_benchmarks_is_right() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/project");
    for command in [&["check"][..], &["contract", "test"]] {
        let run = evenkeel(&[&["--dir", folder], command].concat());
        assert_eq!(run.code, 0, "{run:?}");
    }
}

#[test]
fn a_difference_names_its_place_and_both_values() {
    let project = Project::example("shop");
    let shown = project.json(&["contract", "test", "order_created"]);
    let data =
        shown.value["examples"].as_array().unwrap().iter().find(|example| example["expected"] == "admit").unwrap();
    let mut becomes = data["data"].clone();
    let ok = r#"{ file = "order_created.ok.json",       expect = "admit" }"#;
    edit(&project, CONTRACT, ok, r#"{ file = "order_created.ok.json", expect = "admit", becomes = "becomes.json" }"#);
    let missing = project.run(&["contract", "test"]);
    assert!(missing.code == 2 && missing.stderr.contains("contracts/becomes.json"), "{missing:?}");
    fs::write(project.path("contracts/becomes.json"), becomes.to_string()).unwrap();
    assert_eq!(project.run(&["contract", "test"]).code, 0);
    becomes["total"]["amount"] = "1.00".into();
    becomes["gone"] = 7.into();
    fs::write(project.path("contracts/becomes.json"), becomes.to_string()).unwrap();
    let run = project.run(&["contract", "test"]);
    assert_eq!(run.code, 1, "{run:?}");
    for line in [
        "FAIL  order_created v1  contracts/order_created.ok.json",
        "- /total/amount  \"1.00\"",
        "+ /total/amount",
        "- /gone  7",
        "1 not as expected",
    ] {
        assert!(run.stdout.contains(line), "{line} is not in {}", run.stdout);
    }
    let json = project.json(&["contract", "test"]);
    let failed: Vec<_> =
        json.value["examples"].as_array().unwrap().iter().filter(|example| example["ok"] == false).collect();
    assert_eq!((json.code, failed.len(), &failed[0]["differences"][0]["pointer"]), (1, 1, &"/gone".into()));
    // To `check` it is a mistake with its line.
    let check = project.run(&["check"]);
    assert!(check.code == 2 && check.stdout.contains("becomes something else: at /gone"), "{check:?}");
}

#[test]
fn a_refusal_that_was_not_expected_says_why() {
    let project = Project::example("shop");
    edit(&project, CONTRACT, r#"expect = "total_positive""#, r#"expect = "admit""#);
    let run = project.run(&["contract", "test", "order_created"]);
    assert_eq!(run.code, 1, "{run:?}");
    let why =
        "expected `admit`, found `total_positive`: the invariant total_positive does not hold at /data/total_amount";
    assert!(run.stdout.contains(why), "{run:?}");
}

#[test]
fn a_contract_without_an_example_is_a_no_and_a_mistake() {
    let project = Project::example("shop");
    let text = fs::read_to_string(project.path(CONTRACT)).unwrap();
    let before = text.split("# Whole CloudEvents").next().unwrap().to_owned();
    fs::write(project.path(CONTRACT), before).unwrap();
    let run = project.run(&["contract", "test"]);
    assert!(run.code == 1 && run.stdout.contains("FAIL  order_created v1  has no example"), "{run:?}");
    let check = project.run(&["check"]);
    assert!(check.code == 2 && check.stdout.contains("order_created.toml:2:12"), "{check:?}");
}

#[test]
fn bad_usage_is_told_apart() {
    let project = Project::example("shop");
    let unknown = project.run(&["contract", "test", "order_crated"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("order_cancelled"), "{unknown:?}");
    edit(&project, CONTRACT, "version = 1", "version = \"one\"");
    let broken = project.run(&["contract", "test"]);
    assert!(broken.code == 2 && broken.stderr.contains("order_created.toml:3:"), "{broken:?}");
}

/// The shop's own raw events, as `init` writes them.
#[test]
fn what_is_inferred_from_samples_is_a_project_that_check_accepts() {
    let shop = Project::example("shop");
    let mut samples = String::new();
    for name in ["order_created.ok", "order_created.zero", "order_paid.ok", "stock_reserved.ok"] {
        let text = fs::read_to_string(shop.path(&format!("contracts/{name}.json"))).unwrap();
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        samples += &format!("{event}\n\n");
    }
    fs::write(shop.path("samples.ndjson"), &samples).unwrap();
    fs::remove_dir_all(shop.path("contracts")).unwrap();
    fs::remove_dir_all(shop.path("models")).unwrap();
    fs::remove_dir_all(shop.path("views")).unwrap();
    let printed = shop.run(&["contract", "infer", "samples.ndjson"]);
    assert!(printed.code == 0 && printed.stdout.contains("# contracts/order_placed.toml"), "{printed:?}");
    assert!(!shop.path("contracts").exists(), "nothing is written unasked");
    let one = shop.json(&["contract", "infer", "samples.ndjson", "--type", "OrderPlaced"]);
    assert_eq!((one.code, &one.value["contract"], &one.value["events"]), (0, &"order_placed".into(), &2.into()));
    let written = shop.run(&["contract", "infer", "samples.ndjson", "--write"]);
    assert_eq!(written.code, 0, "{written:?}");
    let check = shop.run(&["check"]);
    assert!(check.code == 0 && check.stdout.contains("3 contracts"), "{check:?}");
    assert_eq!(shop.run(&["contract", "test"]).code, 0);
    // Nothing of a person's is overwritten.
    let again = shop.run(&["contract", "infer", "samples.ndjson", "--write"]);
    assert!(again.code == 2 && again.stderr.contains("is there already"), "{again:?}");
    assert_eq!(shop.run_with(&["contract", "infer", "-"], samples.as_bytes()).code, 0);
    assert_eq!(shop.run_with(&["contract", "infer", "-"], b"\n").code, 1);
    let bad = shop.run_with(&["contract", "infer", "-"], b"\n{}\n");
    assert!(bad.code == 2 && bad.stderr.contains("line 2"), "{bad:?}");
}

#[test]
fn what_waits_in_quarantine_can_be_what_is_inferred_from() {
    let shop = Project::example("shop");
    // Of a type that no contract takes, one of them edited since; and one that cannot be read at all.
    let coupon = |id: &str, data: &str| {
        format!(r#"{{"specversion":"1.0","source":"shop.orders","id":"{id}","type":"CouponUsed","data":{data}}}"#)
    };
    let events = [
        coupon("c-1", r#"{"order_id":"o-1","code":"SPRING","off":"5.00"}"#),
        coupon("c-2", r#"{"order_id":"o-2","code":"SUMMER","off":"0.50"}"#),
        coupon("c-3", r#"{"order_id":"o-3","code":"SUMMER","off":"x"}"#),
        coupon("c-4", r#"{"order_id":"o-4","order_id":"o-4"}"#),
    ];
    fs::write(shop.path("coupons.ndjson"), events.join("\n")).unwrap();
    assert_eq!(shop.run(&["publish", "coupons.ndjson"]).code, 0);
    let edit = shop.run(&["quarantine", "edit", "q-3", "--set", "/data/off=\"1.25\""]);
    assert_eq!(edit.code, 1, "no contract takes it as it is edited either: {edit:?}");
    let infer = |reach: &[&str], more: &[&str]| {
        shop.json(&[reach, &["contract", "infer", "--quarantine", "--type", "CouponUsed"], more].concat())
    };
    let all = infer(&[], &[]);
    assert_eq!((all.code, &all.value["contract"], &all.value["events"]), (0, &"coupon_used".into(), &3.into()));
    let toml = all.value["files"][0]["text"].as_str().unwrap();
    assert!(toml.contains(r#"{ from = "/off", to = "off", type = "decimal""#), "{toml}");
    assert!(all.stderr.contains("1 event cannot be read"), "{all:?}");
    assert_eq!(infer(&[], &["--reason", "no_contract", "--limit", "2"]).value["events"], 2);
    let server = shop.serve();
    let served = infer(&["--url", &server.url], &[]);
    assert_eq!((served.code, &served.value), (0, &all.value));
    assert_eq!(server.stop(), Some(0));
    // What is inferred takes them.
    assert_eq!(shop.run(&["contract", "infer", "--quarantine", "--reason", "no_contract", "--write"]).code, 0);
    let impact = shop.json(&["contract", "impact", "coupon_used"]);
    assert_eq!((impact.code, &impact.value["waiting"]["would_admit"]), (0, &3.into()), "{impact:?}");
    let none = shop.run(&["contract", "infer", "--quarantine", "--reason", "clock_skew"]);
    assert_eq!(none.code, 1, "{none:?}");
    for wrong in [&["contract", "infer"][..], &["contract", "infer", "coupons.ndjson", "--reason", "schema"]] {
        assert_eq!(shop.run(wrong).code, 2);
    }
}
