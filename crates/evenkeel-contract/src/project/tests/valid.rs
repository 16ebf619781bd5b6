//! Projects that compile, and what they compile to.
use super::*;
use crate::settings::Synchronous;
use evenkeel_core::{
    fold::Fold,
    intake::{CausalLimits, Verdict},
    quarantine::Reason,
    schema::ColumnType,
};
use proptest::prelude::*;

#[test]
fn the_shop_compiles_to_gate_models_and_settings() {
    let project = shop().compile().unwrap();
    assert!(project.warnings.is_empty(), "{}", project.warnings);
    assert_eq!(project.settings.sources.len(), 2);
    assert_eq!(project.gate.contracts().count(), 2);
    let [orders, stock] = project.models.as_slice() else { panic!("two models") };
    assert_eq!(orders.drift.thresholds.max_lag_events, 7);
    assert_eq!(stock.drift, project.settings.drift);
    let schema = orders.fold.schema();
    assert_eq!(schema.columns[2].ty, ColumnType::Money { currency: 3 });
    assert_eq!(
        schema.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>()[4..],
        ["units", "status", "_ek_merge"]
    );
    assert_eq!(stock.fold.schema().key, [0, 1]);
    assert_eq!(stock.fold.clauses()[0].ops.len(), 2);
}

#[test]
fn the_gate_is_the_declared_one() {
    let project = shop().compile().unwrap();
    let decide = |total: &str| project.gate.decide(super::event(total).into_bytes(), None).unwrap().arrival.verdict;
    assert!(matches!(decide("12.50"), Verdict::Admit(draft) if draft.subject.as_str() == "o-1"));
    assert!(matches!(decide("0"), Verdict::Quarantine(refusal) if refusal.reason == Reason::Invariant));
    assert!(matches!(decide("12.505"), Verdict::Quarantine(refusal) if refusal.reason == Reason::Mapping));
}

#[test]
fn the_fingerprint_follows_what_decides_rows_and_nothing_else() {
    let of = |shop: Shop| shop.compile().unwrap().models[0].fold.schema().fingerprint;
    let plain = of(shop());
    let unchanged = [
        ("version = 1", "# a comment\nversion   = 2"),
        ("max_lag_events = 7", "max_lag_events = 8"),
        (
            "total = \"/data/total\", status = { value = \"open\" }",
            "status = { value = 'open' }, total = \"/data/total\"",
        ),
    ];
    for (old, new) in unchanged {
        assert_eq!(of(shop().edit("models/orders.toml", old, new)), plain, "{new}");
    }
    let changed = [
        ("\"open\"", "\"new\""),
        ("status = \"text\"", "status = \"text\"\nnote = \"text\""),
        ("key = \"/subject\"", "key = \"/data/order_id\""),
        ("set_once", "max"),
        ("merge = \"pn_counter\"", "merge = \"lww\""),
        ("key = \"/subject\"", "key = \"/subject\"\nwhen = { gt = [\"/data/priority\", 1] }"),
        ("count = \"/data/items\"", "value = 1"),
    ];
    for (old, new) in changed {
        assert_ne!(of(shop().edit("models/orders.toml", old, new)), plain, "{new}");
    }
}

/// A value of its own for every setting.
const ALL: &str = r#"
[node]
id = "b"
data = "elsewhere"
listen = "localhost:0"
[store]
url = "sqlite"
synchronous = "normal"
[drift]
max_lag_events = 1
max_lag_seconds = 2
replay_threshold = 3
stall_seconds = 4.5
repair_budget = 0.5
[reconcile]
auto = false
scrub_rows_per_second = 6
keep_records = 61
quiet_seconds = 62.5
max_per_hour = 63
[snapshots]
every_events = 60
keep = 61
[raw]
keep_days = 2.5
[causal]
timeout_seconds = 7
max_events = 8
max_bytes = "9MiB"
max_skew_ms = 70
[read]
budget_ms = 10
max_retries = 11
base_delay_ms = 12
max_delay_ms = 13
slightly_stale_seconds = 14
very_stale_seconds = 15
token_max_age_seconds = 21
query_timeout_ms = 22
at_once = 24
waiting = 25
query_rows = 23
[security]
insecure = true
hosts = "node.example, 10.0.0.8"
[limits]
body_bytes = 16
batch_events = 17
header_timeout_ms = 18
connections = 28
write_timeout_ms = 20
untrusted_per_source = 26
untrusted_total = 27
held_per_source = 29
shutdown_seconds = 19
"#;

#[test]
fn every_setting_can_be_written_and_comes_from_the_environment() {
    let compiled = Shop { files: [(SETTINGS, ALL)].into_iter().collect(), env: Vec::new() }.compile().unwrap();
    assert_eq!(compiled.gate.causal(), CausalLimits { max_skew_ms: 70, max_events: 8, max_bytes: 9 << 20 });
    assert_eq!(compiled.settings.causal.timeout().as_secs(), 7);
    let from_file = compiled.settings;
    let mut from_env = Shop { files: [(SETTINGS, "")].into_iter().collect(), env: Vec::new() };
    let mut section = String::new();
    for line in ALL.lines().filter(|line| !line.is_empty()) {
        match line.split_once(" = ") {
            None => section = line.trim_matches(['[', ']']).to_ascii_uppercase(),
            Some((key, value)) => {
                let name = format!("EVENKEEL_{section}__{}", key.to_ascii_uppercase());
                from_env = from_env.env(&name, value.trim_matches('"'));
            }
        }
    }
    assert_eq!(from_env.compile().unwrap().settings, from_file);
    assert_eq!(from_file.node.listen.to_string(), "127.0.0.1:0");
    assert_eq!(from_file.store.synchronous, Synchronous::Normal);
    assert_eq!((from_file.causal.max_bytes, from_file.limits.body_bytes), (9 << 20, 16));
    assert_eq!(from_file.drift.thresholds.stall_seconds, 4.5);
    assert_eq!(from_file.reconcile.keep_records, 61);
    let pace = from_file.reconcile.pace;
    assert_eq!((pace.quiet.as_secs_f64(), pace.max_per_hour), (62.5, 63));
    assert_eq!(from_file.limits.shutdown_seconds, 19.0);
    assert_eq!(from_file.security.hosts, ["node.example", "10.0.0.8"]);
    assert_eq!((from_file.snapshots.every_events, from_file.snapshots.keep), (60, 61));
    assert_eq!(from_file.raw.keep.as_secs(), 216_000);
    assert_eq!((from_file.read.freshness.very_stale_seconds, from_file.read.token_max_age.as_secs()), (15.0, 21));
}

#[test]
fn the_environment_goes_before_the_file() {
    let project = shop().env("EVENKEEL_NODE__LISTEN", "127.0.0.1:9").compile().unwrap();
    assert_eq!(project.settings.node.listen.port(), 9);
}

#[test]
fn versions_of_a_type_may_have_different_shapes() {
    let second = r#"contract = "order_created"
version = 2
from = { source = "shop.orders", type = "OrderPlacedV2" }
subject = "/id"
map = [{ from = "/id", to = "order_id", type = "text" }]
"#;
    let shop = shop().file("contracts/order_created_v2.toml", second);
    assert!(shop.compile().is_ok(), "{}", shop.compile().unwrap_err().render(&shop.files, false));
}

#[test]
fn whatever_the_files_hold_it_is_told_and_never_a_panic() {
    let junk: [&[u8]; 8] = [
        b"",
        b"\xff",
        b"a",
        b"[",
        b"[[on]]\n",
        b"model = []\n[columns]\n\"\" = {}\n",
        b"on = [1, [2]]\nmap = {}",
        b"key = [[]]\ncolumns = 1",
    ];
    for path in [
        SETTINGS,
        "contracts/order_created.toml",
        "contracts/order_created.v1.schema.json",
        "contracts/examples/ok.json",
        "models/orders.toml",
    ] {
        for bytes in junk {
            let shop = shop().file(path, bytes);
            if let Err(wrong) = shop.compile() {
                assert!(!wrong.render(&shop.files, true).is_empty());
            }
        }
    }
}

/// One contract per source taking every type, values from the envelope, conditions, decimals.
#[test]
fn a_workflow_of_cases_compiles() {
    let settings = "[[source]]\nname = \"finance.payments\"\n";
    let contract = r#"contract = "payment_step"
version = 1
from = { source = "finance.payments", type = "*" }
subject = "/case"
map = [
  { from = "/case", to = "case_id", type = "text" },
  { from = { event = "type" }, to = "activity", type = "text" },
  { from = { event = "time" }, to = "at", type = "timestamp" },
  { from = "/RequestedAmount", to = "amount", type = "decimal" },
  { from = "/OrganizationalEntity", to = "unit", type = "text" },
  { from = { value = "EUR" }, to = "currency", type = "iso4217" },
]
invariant = [{ name = "amount_positive", gt = ["/data/amount", 0] }]
"#;
    let payments = r#"model = "payments"
version = 1
key = "case_id"
require = "strong"
default_level = "causal"
[columns]
case_id = "text"
activity = "text"
status_changes = "i64"
amount = "decimal"
submitted_at = "timestamp"
last_at = { type = "timestamp", merge = "max" }
paid = "bool"
position = "i64"

[[on]]
event = "payment_step"
key = "/data/case_id"
set = { activity = "/data/activity", amount = "/data/amount", position = { event = "position" } }
set_once = { submitted_at = { event = "recorded_time" } }
max = { last_at = "/data/at" }
add = { status_changes = { value = 1 } }

[[on]]
event = "payment_step"
key = "/data/case_id"
when = { equals = ["/data/activity", "Payment Handled"], one_of = ["/data/unit", ["a", { value = "/b" }]] }
set = { paid = { value = true } }

[[on]]
event = "payment_step"
key = "/data/case_id"
when = { equals = ["/data/activity", "gone"] }
delete = true
"#;
    let files = [(SETTINGS, settings), ("contracts/payment_step.toml", contract), ("models/payments.toml", payments)];
    let project = Shop { files: files.into_iter().collect(), env: Vec::new() };
    let project = project.compile().unwrap();
    assert!(project.warnings.is_empty(), "{}", project.warnings);
    let model = &project.models[0];
    assert_eq!((model.require, model.default_level), (Some(Level::Strong), Some(Level::Causal)));
    assert_eq!(model.fold.clauses()[1].when.len(), 2);
    assert!(model.fold.clauses()[2].delete);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// One changed byte anywhere never panics, and every message points into the file it names.
    #[test]
    fn a_damaged_project_is_told_where(file in 0usize..9, at: prop::sample::Index, byte in prop::sample::select(&b"\"[]{}=,.#'\n1a/~"[..]), insert: bool) {
        let mut shop = shop();
        let paths: Vec<_> = shop.files.iter().map(|(path, _)| path.to_owned()).collect();
        let path = &paths[file % paths.len()];
        let mut bytes = shop.files.get(path).unwrap().to_vec();
        let at = at.index(bytes.len());
        if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
        shop.files.insert(path.as_str(), bytes);
        let found = match shop.compile() {
            Ok(project) => project.warnings,
            Err(wrong) => wrong,
        };
        for diagnostic in found.iter() {
            let Place::File { path, span } = &diagnostic.place else { panic!("no environment was given") };
            prop_assert!(shop.files.get(path).is_some_and(|bytes| span.start <= span.end && span.end <= bytes.len()));
            prop_assert!(diagnostic.render(&shop.files).contains(&**path));
        }
    }
}
