//! What a changed contract would do to a log and a quarantine of many pages.
use super::fixture::{Running, Stores, decision, gate, noted, sent, tally};
use evenkeel::{
    contract::{diagnostic::Files, gate::Gate, project},
    core::json::Patch,
    report::ImpactReport,
};

/// The fixture's contract `noted`, with another bound.
fn above(bound: i64) -> Gate {
    let files: Files = [
        ("evenkeel.toml", "[[source]]\nname = \"s\"\n[[source]]\nname = \"t\"\n".to_owned()),
        ("contracts/any.json", "{}".to_owned()),
        (
            "contracts/noted.toml",
            format!(
                r#"contract = "noted"
version = 2
from = {{ source = "*", type = "Noted" }}
schema = "any.json"
subject = "/key"
map = [{{ from = "/key", to = "key", type = "text" }}, {{ from = "/n", to = "n", type = "i64" }}]
invariant = [{{ name = "more", gt = ["/data/n", {bound}] }}]
"#
            ),
        ),
    ]
    .into_iter()
    .collect();
    project::gate(&files, &[]).map_err(|wrong| wrong.render(&files, false)).unwrap().1
}

fn impact(engine: &Running, bound: i64) -> ImpactReport {
    engine.impact(&above(bound), "noted", 2).unwrap()
}

#[test]
fn every_event_and_every_entry_counts_once_however_it_came_in() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    // 1,200 that were admitted at once, of 1 to 12; and 10 that another contract took.
    engine.send((0..1200).map(|n| noted(&n.to_string(), "a", 1 + n % 12)).collect());
    engine.send((0..10).map(|n| sent("t", "Critical", &n.to_string(), "c", 1)).collect());
    // 150 that wait: the first of a key for what it is, the others behind it.
    engine.send((0..150).map(|n| noted(&format!("w{n}"), "b", if n == 0 { -3 } else { 1 + n % 12 })).collect());
    let as_it_is = impact(&engine, 0);
    assert!(as_it_is.ok, "{as_it_is:?}");
    assert_eq!((as_it_is.admitted.events, as_it_is.admitted.same, as_it_is.admitted.not_kept), (1200, 1200, 0));
    assert_eq!((as_it_is.waiting.judged, as_it_is.waiting.would_admit), (150, 149));
    assert_eq!(as_it_is.waiting.refusals[0].id, "q-1");

    let stricter = impact(&engine, 3);
    assert!(!stricter.ok);
    assert_eq!((stricter.admitted.refused, stricter.admitted.same), (300, 900));
    assert_eq!(stricter.admitted.refusals.iter().map(|case| case.position).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((stricter.admitted.reasons["invariant"], stricter.admitted.refusals[0].contract_version), (300, 1));

    // Edited, and let in: judged as it is edited from then on.
    let patch: Patch = r#"[{"op":"replace","path":"/data/n","value":2}]"#.parse().unwrap();
    assert_eq!(engine.redrive_edited("q-1", &patch, decision()).unwrap().released, 149);
    let after = impact(&engine, 0);
    assert_eq!((after.admitted.events, after.admitted.same, after.waiting.judged), (1350, 1350, 0), "{after:?}");
    assert_eq!(impact(&engine, 1).admitted.refused, 100 + 12);
    assert_eq!(impact(&engine, 2).admitted.refused, 200 + 12 + 13 + 1);
    assert_eq!(engine.impact(&gate(), "critical", 0).unwrap().admitted.same, 10);
    assert!(engine.impact(&gate(), "nobody", 0).is_err());
}

#[test]
fn what_waits_under_no_contract_may_be_taken() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    let undeclared = sent("u", "Noted", "1", "a", 5);
    let unknown = sent("s", "Nothing", "1", "a", 5);
    let conflict = noted("1", "a", 7);
    engine.send(vec![noted("1", "a", 5), undeclared, unknown, conflict]);
    let report = impact(&engine, 0);
    // What the changed contracts would not take either is none of theirs; and an id stays taken.
    assert_eq!((report.waiting.judged, report.waiting.would_admit), (1, 0), "{report:?}");
    assert_eq!(report.waiting.reasons["id_conflict"], 1);
    assert_eq!((report.admitted.judged, report.admitted.same), (1, 1));
}
