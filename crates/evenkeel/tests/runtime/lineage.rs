//! Where fields came from: as it was sent, as it was edited, and after the contracts have changed.
use super::fixture::{Stores, decision, gate, noted, tally};
use evenkeel::{
    EngineError,
    contract::{diagnostic::Files, gate::Gate, project},
    core::json::Patch,
    lineage,
    report::LineageReport,
};
use std::time::Duration;

/// The fixture's gate with other versions of `noted`: each its version, and the place of `n`.
fn versions(of: &[(u32, &str)]) -> Gate {
    let mut files: Files =
        [("evenkeel.toml", "[[source]]\nname = \"s\"\n"), ("contracts/any.json", "{}")].into_iter().collect();
    for (version, place) in of {
        let text = format!(
            r#"contract = "noted"
version = {version}
from = {{ source = "*", type = "Noted" }}
schema = "any.json"
subject = "/key"
map = [{{ from = "/key", to = "key", type = "text" }}, {{ from = "{place}", to = "n", type = "i64" }}]
"#
        );
        files.insert(format!("contracts/{version}.toml"), text);
    }
    project::gate(&files, &[]).map_err(|wrong| wrong.render(&files, false)).unwrap().1
}

fn told(report: &LineageReport) -> Vec<String> {
    let fields = report.fields.iter();
    let one = |field: &evenkeel::report::FieldOrigin| {
        let (value, edit) = (field.value.as_ref().unwrap(), field.edit.map_or("-".into(), |edit| edit.to_string()));
        format!("{} {value} {} {edit}", field.field, field.from.join(" "))
    };
    fields.map(one).collect()
}

#[test]
fn an_event_says_where_its_fields_are_from_and_by_which_edit() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    let receipts = engine.send(vec![noted("1", "a", 1), noted("2", "b", -1)]);
    let first = engine.lineage("1").unwrap();
    assert!(first.exact && first.reason.is_none() && first.edits.is_empty(), "{first:?}");
    assert_eq!(told(&first), ["/data/key \"a\" /data/key -", "/data/n 1 /data/n -", "/subject \"a\" /data/key -"]);
    assert_eq!((first.contracts[0].version, first.raw.as_deref()), (1, std::str::from_utf8(&noted("1", "a", 1)).ok()));
    assert_eq!(engine.lineage(&receipts[0].event_id).unwrap(), first);

    let edit = |n: i64| -> Patch { format!(r#"[{{"op":"replace","path":"/data/n","value":{n}}}]"#).parse().unwrap() };
    engine.edit("q-1", &edit(-2), decision()).unwrap();
    engine.redrive_edited("q-1", &edit(7), decision()).unwrap();
    let second = engine.lineage("2").unwrap();
    assert!(second.exact, "{second:?}");
    assert_eq!(told(&second), ["/data/key \"b\" /data/key -", "/data/n 7 /data/n 2", "/subject \"b\" /data/key -"]);
    assert_eq!((second.quarantine_id.as_deref(), second.edits.len()), (Some("q-1"), 2));
    assert_eq!((second.edits[1].author.as_str(), second.edits[1].note.as_str()), ("test", "because"));
    assert_eq!(second.raw.as_deref(), std::str::from_utf8(&noted("2", "b", -1)).ok(), "as it arrived");

    let id = receipts[0].event_id.replace(|c: char| c != '0', "0");
    for nothing in ["0", "3", "-1", "+1", "", "x", id.as_str()] {
        assert!(matches!(engine.lineage(nothing), Err(EngineError::NoEvent(_))), "{nothing}");
    }
}

#[test]
fn what_the_contracts_of_today_cannot_tell_is_said_to_be_so() {
    let stores = Stores::new();
    let engine = stores.start(tally(), |_| {});
    let sent = r#"{"specversion":"1.0","source":"s","id":"1","type":"Noted","data":{"key":"a","n":1,"m":2}}"#;
    engine.send(vec![sent.into()]);
    let log = &*stores.memory.log;
    // A later version beside that which admitted it changes nothing about where it is from.
    let beside = lineage::of(log, &versions(&[(1, "/n"), (2, "/m")]), "1").unwrap();
    assert!(beside.exact && beside.contracts[0].version == 1, "{beside:?}");
    assert_eq!(beside.dropped, ["/data/m"]);
    // Without that it is told by what there is, and that this is not what happened.
    for (contracts, version) in [(&[(2, "/m")], 2), (&[(1, "/m")], 1)] {
        let other = lineage::of(log, &versions(contracts), "1").unwrap();
        assert!(!other.exact && other.reason.as_ref().unwrap().contains("have changed"), "{other:?}");
        assert_eq!((other.contract_version, other.contracts[0].version), (1, version));
        let exact: Vec<_> = other.fields.iter().map(|field| (field.field.as_str(), field.exact)).collect();
        assert_eq!(exact, [("/data/key", true), ("/data/n", false), ("/subject", true)]);
        assert_eq!(told(&other)[1], "/data/n 1 /data/m -");
    }
    let refused = lineage::of(log, &versions(&[(1, "/gone")]), "1").unwrap();
    assert!(!refused.exact && refused.fields.is_empty() && refused.reason.unwrap().contains("refuse it"));
    drop(engine);

    let engine = stores.start(tally(), |options| options.keep_raw = Duration::ZERO);
    super::fixture::eventually("it is forgotten", || engine.lineage("1").unwrap().raw.is_none());
    let forgotten = lineage::of(log, &gate(), "1").unwrap();
    assert!(!forgotten.exact && forgotten.fields.is_empty() && forgotten.reason.unwrap().contains("keep_days"));
}
