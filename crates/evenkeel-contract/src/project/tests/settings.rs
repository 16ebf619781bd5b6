//! Mistakes in `evenkeel.toml` and the environment.
use super::{Shop, shop};

#[test]
fn an_unknown_key_is_shown_with_the_one_meant() {
    shop().edit("evenkeel.toml", "listen", "lsiten").says(
        r#"
error: unknown key `lsiten`
 --> evenkeel.toml:2:1
  |
2 | lsiten = "127.0.0.1:7400"
  | ^^^^^^
  |
  = help: did you mean `listen`?
"#,
    );
}

#[test]
fn an_unknown_section_is_an_error() {
    shop()
        .edit(
            "evenkeel.toml",
            r#"[node]
"#,
            r#"[nod]
"#,
        )
        .says(
            r#"
error: unknown key `nod`
 --> evenkeel.toml:1:2
  |
1 | [nod]
  |  ^^^
  |
  = help: did you mean `node`?
"#,
        );
}

#[test]
fn a_wrong_type_is_told_by_what_is_expected() {
    shop()
        .edit(
            "evenkeel.toml",
            r#"[node]
"#,
            r#"[drift]
max_lag_events = "many"
max_lag_seconds = -1
[node]
id = 5
"#,
        )
        .says(
            r#"
error: expected an integer of at least 0, found "many"
 --> evenkeel.toml:2:18
  |
2 | max_lag_events = "many"
  |                  ^^^^^^

error: expected a number of at least 0, found -1
 --> evenkeel.toml:3:19
  |
3 | max_lag_seconds = -1
  |                   ^^

error: expected a string, found 5
 --> evenkeel.toml:5:6
  |
5 | id = 5
  |      ^
"#,
        );
}

#[test]
fn addresses_sizes_and_rates_have_a_form() {
    shop()
        .edit("evenkeel.toml", r#""127.0.0.1:7400""#, r#""here""#)
        .edit("evenkeel.toml", r#""500/s""#, r#""fast""#)
        .edit(
            "evenkeel.toml",
            "[node]",
            r#"[causal]
max_bytes = "64 miles"
[node]"#,
        )
        .says(
            r#"
error: expected a size such as "64MiB", found "64 miles"
 --> evenkeel.toml:2:13
  |
2 | max_bytes = "64 miles"
  |             ^^^^^^^^^^

error: expected an address such as "127.0.0.1:7400", found "here"
 --> evenkeel.toml:4:10
  |
4 | listen = "here"
  |          ^^^^^^

error: expected a rate such as "500/s", found "fast"
  --> evenkeel.toml:13:8
   |
13 | rate = "fast"
   |        ^^^^^^
"#,
        );
}

#[test]
fn a_store_that_is_not_built_is_refused() {
    shop()
        .edit(
            "evenkeel.toml",
            "[node]",
            r#"[store]
url = "postgres://u@h/db"
synchronous = "ful"
[node]"#,
        )
        .says(
            r#"
error: the PostgreSQL store is not built yet
 --> evenkeel.toml:2:7
  |
2 | url = "postgres://u@h/db"
  |       ^^^^^^^^^^^^^^^^^^^
  |
  = help: leave `url` out, or set it to "sqlite"

error: expected `full` or `normal`, found "ful"
 --> evenkeel.toml:3:15
  |
3 | synchronous = "ful"
  |               ^^^^^
  |
  = help: did you mean `full`?
"#,
        );
}

#[test]
fn staleness_classes_are_in_order() {
    shop()
        .edit(
            "evenkeel.toml",
            "[node]",
            r#"[read]
slightly_stale_seconds = 90
[node]"#,
        )
        .says(
            r#"
error: `slightly_stale_seconds` (90) is above `very_stale_seconds` (60)
 --> evenkeel.toml:2:26
  |
2 | slightly_stale_seconds = 90
  |                          ^^
"#,
        );
}

#[test]
fn a_source_without_a_name_is_refused() {
    shop()
        .edit(
            "evenkeel.toml",
            r#"name = "shop.orders"
"#,
            "",
        )
        .says(
            r#"
error: missing `name`
 --> evenkeel.toml:4:1
  |
4 | [[source]]
  | ^^^^^^^^^^
"#,
        );
}

#[test]
fn sources_are_told_apart() {
    shop().edit("evenkeel.toml", r#"match = "shop.stock.*""#, r#"match = "shop.orders""#).says(
        r#"
error: no declared source matches `shop.stock.*`, so no event could pass
 --> contracts/stock_reserved.toml:3:19
  |
3 | from = { source = "shop.stock.*", type = ["Reserved", "Held"] }
  |                   ^^^^^^^^^^^^^^
  |
  = help: declare it in evenkeel.toml: [[source]] with match = "shop.stock.*"

error: two sources match `shop.orders`
  --> evenkeel.toml:10:9
   |
 6 | match = "shop.orders"
   |         ------------- the first
...
10 | match = "shop.orders"
   |         ^^^^^^^^^^^^^
"#,
    );
}

#[test]
fn a_variable_that_is_wrong_is_named() {
    shop()
        .env("EVENKEEL_NODE__LISTEN", "somewhere")
        .env("EVENKEEL_NODE__LSITEN", "127.0.0.1:1")
        .env("EVENKEEL_NOD__ID", "b")
        .env("EVENKEEL_SOURCE__NAME", "x")
        .env("EVENKEEL_URL", "ignored")
        .says(
            r#"
error: expected an address such as "127.0.0.1:7400", found "somewhere"
 --> environment:1:23
  |
1 | EVENKEEL_NODE__LISTEN=somewhere
  |                       ^^^^^^^^^

error: unknown key `lsiten`
 --> environment:1:1
  |
1 | EVENKEEL_NODE__LSITEN=127.0.0.1:1
  | ^^^^^^^^^^^^^^^^^^^^^
  |
  = help: did you mean `listen`?

error: unknown key `nod`
 --> environment:1:1
  |
1 | EVENKEEL_NOD__ID=b
  | ^^^^^^^^^^^^^^^^
  |
  = help: did you mean `node`?

error: sources cannot be set from the environment
 --> environment:1:1
  |
1 | EVENKEEL_SOURCE__NAME=x
  | ^^^^^^^^^^^^^^^^^^^^^
  |
  = help: declare them as [[source]] in evenkeel.toml
"#,
        );
}

#[test]
fn a_folder_without_settings_is_no_project() {
    shop().without("evenkeel.toml").says(
        r#"
error: this folder has no evenkeel.toml
--> evenkeel.toml
 = help: `evenkeel init DIR` writes a project folder
"#,
    );
}

#[test]
fn a_file_that_is_not_utf8_is_told() {
    shop().file("models/bad.toml", b"model = \"\xff\"").says(
        r#"
error: the file is not UTF-8
 --> models/bad.toml:1:10
  |
1 | model = "�"
  |          ^
"#,
    );
}

#[test]
fn an_empty_project_is_warned_about() {
    Shop { files: [("evenkeel.toml", "")].into_iter().collect(), env: Vec::new() }.warns(
        r#"
warning: there are no contracts in contracts/: every event will be quarantined
 --> evenkeel.toml:1:1
  |
1 |
  | ^

warning: there are no models in models/: there is nothing to read
 --> evenkeel.toml:1:1
  |
1 |
  | ^
"#,
    );
}

#[test]
fn at_least_one_snapshot_is_kept() {
    shop()
        .edit(
            "evenkeel.toml",
            r#"[node]
"#,
            r#"[snapshots]
keep = 0
[node]
"#,
        )
        .says(
            r#"
error: expected an integer of at least 1, found 0; `every_events = 0` takes none
 --> evenkeel.toml:2:8
  |
2 | keep = 0
  |        ^
"#,
        );
}

#[test]
fn repair_budgets_are_shares_and_names_are_plain() {
    shop()
        .edit(
            "evenkeel.toml",
            r#"[node]
"#,
            r#"[drift]
repair_budget = 1.5
[node]
id = "a b"
data = ""
"#,
        )
        .says(
            r#"
error: expected a share from 0 to 1
 --> evenkeel.toml:2:17
  |
2 | repair_budget = 1.5
  |                 ^^^

error: expected a name of letters, digits, `.`, `_` and `-`
 --> evenkeel.toml:4:6
  |
4 | id = "a b"
  |      ^^^^^

error: expected a folder, found an empty name
 --> evenkeel.toml:5:8
  |
5 | data = ""
  |        ^^
"#,
        );
}

#[test]
fn a_wrong_pattern_is_told_once() {
    shop().edit("evenkeel.toml", r#"match = "shop.orders""#, r#"match = "*.orders""#).says(
        r#"
error: expected a source such as "shop.orders", or one that ends in `*`, found "*.orders"
 --> evenkeel.toml:6:9
  |
6 | match = "*.orders"
  |         ^^^^^^^^^^
"#,
    );
}
