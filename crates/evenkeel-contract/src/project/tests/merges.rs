//! Columns that merge: what is declared of them, and mistakes in it.
use super::{Shop, shop};
use evenkeel_core::{
    fold::Fold,
    schema::{ColumnType, Merge},
};

const ORDERS: &str = r#"model = "orders"
version = 1
key = "order_id"
allow_wall_clock = true
[columns]
order_id = "text"
note = { type = "text", merge = "mv" }
tags = { type = "text", merge = "or_set" }
doc = { type = "json", merge = "version", clock = "lamport" }
status = { type = "text", clock = "wall" }

[[on]]
event = "order_created"
key = "/subject"
set = { note = "/data/order_id", doc = "/data/items", status = { value = "open" } }
insert = { tags = { value = ["a", "b"] } }
based_on = { doc = "/data/customer_id" }
"#;

/// The model with one part of it changed.
fn changed(from: &str, to: &str) -> Shop {
    assert!(ORDERS.contains(from), "{from}");
    shop().file("models/orders.toml", ORDERS.replacen(from, to, 1))
}

/// The first line of what is said of it.
fn error(from: &str, to: &str) -> String {
    let shop = changed(from, to);
    let said = shop.compile().unwrap_err().render(&shop.files, false);
    let errors = said.matches("error: ").count();
    assert_eq!(errors, 1, "{said}");
    said.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[test]
fn merging_adds_columns_of_its_own() {
    let project = changed("\n", "\n").compile().unwrap();
    assert!(project.warnings.is_empty(), "{}", project.warnings);
    let schema = project.models[0].fold.schema();
    let names: Vec<_> = schema.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names[5..], ["note_siblings", "doc_version", "_ek_merge"]);
    assert_eq!((schema.columns[2].ty, schema.columns[2].merge), (ColumnType::Json, Merge::OrSet));
    assert!(schema.column("_ek_merge").is_none() && schema.column("note_siblings").is_some());
}

#[test]
fn what_decides_between_writes_is_part_of_the_fingerprint() {
    let of = |from, to| changed(from, to).compile().unwrap().models[0].fold.schema().fingerprint;
    let plain = of("\n", "\n");
    for (from, to) in [
        (", clock = \"lamport\"", ""),
        ("clock = \"wall\"", "clock = \"lamport\""),
        ("merge = \"mv\"", "merge = \"lww\""),
        ("based_on = { doc = \"/data/customer_id\" }", ""),
        ("insert =", "remove ="),
    ] {
        assert_ne!(of(from, to), plain, "{from} {to}");
    }
    assert_eq!(of(", clock = \"lamport\"", ", clock = \"lamport\" "), plain);
}

#[test]
fn a_counter_is_added_to_and_never_set() {
    for op in ["set", "set_once", "max"] {
        let counted =
            "status = { type = \"text\", clock = \"wall\" }\nunits = { type = \"i64\", merge = \"pn_counter\" }";
        let shop = changed("status = { type = \"text\", clock = \"wall\" }", counted).edit(
            "models/orders.toml",
            "[[on]]\n",
            &format!(
                "[[on]]\nevent = \"order_created\"\nkey = \"/subject\"\n{op} = {{ units = \"/data/priority\" }}\n[[on]]\n"
            ),
        );
        let said = shop.compile().unwrap_err().render(&shop.files, false);
        let expected = "error: `units` merges as `pn_counter` and can only be added to: `add`, or merge = \"lww\"";
        assert!(said.starts_with(expected), "{op}: {said}");
    }
}

#[test]
fn what_does_not_fit_is_said() {
    let priced = "status = { type = \"text\", clock = \"wall\" }\nprice = { type = \"money\", currency = \"coin\" }\ncoin = { type = \"iso4217\", merge = \"or_set\" }";
    assert_eq!(
        error("status = { type = \"text\", clock = \"wall\" }", priced),
        "`coin` is written with its amount and merges with it, not as `or_set`"
    );
    let counted = "status = { type = \"text\", clock = \"wall\" }\nunits = { type = \"i64\", merge = \"max\" }";
    let shop = changed("status = { type = \"text\", clock = \"wall\" }", counted).edit(
        "models/orders.toml",
        "insert =",
        "add = { units = \"/data/priority\" }\ninsert =",
    );
    let said = shop.compile().unwrap_err().render(&shop.files, false);
    assert!(said.starts_with("error: `units` merges as `max` and takes `max`, `set` or `set_once`"), "{said}");
    for (from, to, expected) in [
        ("allow_wall_clock = true\n", "", "a wall clock that is fast wins over every other writer"),
        (
            "merge = \"mv\"",
            "merge = \"max\", clock = \"hlc\"",
            "a column that merges as `max` is not ordered by a clock",
        ),
        (
            "type = \"text\", merge = \"or_set\"",
            "type = \"json\", merge = \"or_set\"",
            "a column of type `json` cannot merge as `or_set`",
        ),
        (
            "insert = { tags = { value = [\"a\", \"b\"] } }",
            "set_once = { tags = \"/data/order_id\" }",
            "`tags` is a set: use `insert` and `remove`",
        ),
        ("insert = { tags", "insert = { status2", "there is no column `status2`"),
        (
            "{ value = [\"a\", \"b\"] }",
            "{ value = [\"a\", 2] }",
            "the constant does not fit column `tags`: expected text, found a number 2",
        ),
        (
            "based_on = { doc =",
            "based_on = { note =",
            "`based_on` is for columns that merge as `version`, and `note` does not",
        ),
        ("based_on = { doc =", "based_on = { tags =", "`based_on` of `tags`, which is not set here"),
        (
            "based_on = { doc = \"/data/customer_id\"",
            "based_on = { doc = \"/data/priority\"",
            "a version is named by the identity of its event, which is text, not i64",
        ),
        (
            "order_id = \"text\"",
            "order_id = { type = \"text\", merge = \"mv\" }",
            "`order_id` is part of the key and has one value for ever",
        ),
        ("status = {", "doc_version = \"text\"\nstatus = {", "`doc_version` is reserved for the version of `doc`"),
        (
            "status = { value = \"open\" } }",
            "status = { value = \"open\" } }\nremove = { tags = \"/data/order_id\" }",
            "two operations on `tags` in one clause",
        ),
    ] {
        assert_eq!(error(from, to), expected, "{to}");
    }
}
