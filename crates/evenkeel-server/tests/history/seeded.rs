//! Violations put into a recorded history by editing what was told or shown.
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Every kind, as the report calls it.
pub(crate) const KINDS: [&str; 9] = [
    "lost",
    "duplicate",
    "order",
    "phantom",
    "read_your_writes",
    "monotonic_reads",
    "monotonic_writes",
    "writes_follow_reads",
    "strong_read",
];

/// An operation that was done, and what its session and anybody had been told of before it began: the last positions
/// written and read, and known.
struct Done {
    invoke: usize,
    ok: usize,
    position: u64,
    written: u64,
    read: u64,
    anyone: u64,
}

fn place(line: &Value) -> u64 {
    line["position"].as_u64().unwrap_or_else(|| panic!("no position: {line}"))
}

/// What was done at the first attempt.
fn done(lines: &[Value]) -> Vec<Done> {
    let (mut known, mut open, mut sent) = (BTreeMap::<&str, (u64, u64)>::new(), BTreeMap::new(), BTreeMap::new());
    let (mut anyone, mut all) = (0, Vec::new());
    for (index, line) in lines.iter().enumerate() {
        let session = line["session"].as_str().unwrap_or_default();
        match line["type"].as_str() {
            Some("invoke") => {
                let (written, read) = known.get(session).copied().unwrap_or_default();
                let again = line["id"].as_str().is_some_and(|id| sent.insert(id, index).is_some());
                open.insert(session, (again, Done { invoke: index, ok: 0, position: 0, written, read, anyone }));
            }
            Some("ok") => {
                let (again, mut done) = open.remove(session).unwrap();
                (done.ok, done.position) = (index, place(line));
                let (written, read) = known.entry(session).or_default();
                let known = if line.get("row").is_some() { read } else { written };
                *known = done.position.max(*known);
                anyone = done.position.max(anyone);
                all.extend((!again).then_some(done));
            }
            _ => {}
        }
    }
    all
}

/// The history with a violation of this kind in it.
pub(crate) fn seed(lines: &[Value], kind: &str) -> Vec<Value> {
    let mut lines = lines.to_vec();
    let log: Vec<Value> = lines.iter().filter(|line| line["type"] == "log").cloned().collect();
    let all = done(&lines);
    let is_read = |done: &&Done| lines[done.ok].get("row").is_some();
    let at_level = |done: &Done, level: &str| lines[done.invoke]["level"] == level;
    // The last event of the read's key up to a floor, which a stale answer then lacks.
    let last = |done: &Done, floor: u64| {
        let key = &lines[done.invoke]["key"];
        log.iter().rev().find(|event| event["key"] == *key && place(event) <= floor).map(place)
    };
    let stale = |level: &str, floor: &dyn Fn(&Done) -> u64| {
        let reads = all.iter().filter(|done| at_level(done, level));
        // One in the middle, where much has happened.
        let found: Vec<_> = reads.filter_map(|read| Some((read, last(read, floor(read))? - 1))).collect();
        found.into_iter().nth(20)
    };
    let stale = match kind {
        "read_your_writes" => stale("causal", &|read| read.written),
        "monotonic_reads" => stale("monotonic", &|read| read.read),
        "strong_read" => stale("strong", &|read| read.anyone),
        _ => None,
    };
    if let Some((read, position)) = stale {
        let (ok, key) = (read.ok, lines[read.invoke]["key"].clone());
        lines[ok]["position"] = json!(position);
        lines[ok]["row"] = row(&log, &key, position);
        return lines;
    }
    let writes = || all.iter().filter(|done| !is_read(done));
    let row = all.iter().filter(is_read).map(|done| done.ok).filter(|ok| lines[*ok]["row"].is_object()).nth(50);
    let edited = match kind {
        // An acknowledged event that stands before what its session knew.
        "monotonic_writes" => writes().find(|done| done.written > 1).map(|done| (done.ok, done.written - 1)),
        "writes_follow_reads" => writes().find(|done| done.read > 1).map(|done| (done.ok, done.read - 1)),
        _ => None,
    };
    match (kind, edited, row) {
        (_, Some((ok, position)), _) => lines[ok]["position"] = json!(position),
        ("lost", ..) => {
            // The log ends before the last event that was acknowledged.
            let position = writes().map(|done| done.position).max().unwrap();
            lines.retain(|line| line["type"] != "log" || place(line) < position);
        }
        ("duplicate", ..) => {
            let mut again = log[0].clone();
            again["position"] = json!(log.len() + 1);
            lines.push(again);
        }
        ("order", ..) => {
            let known: Vec<_> = writes().map(|done| done.position).take(2).collect();
            let at = |position| lines.iter().position(|line| line["type"] == "log" && place(line) == position).unwrap();
            let (left, right) = (at(known[0]), at(known[1]));
            lines.swap(left, right);
            (lines[left]["position"], lines[right]["position"]) = (json!(known[0]), json!(known[1]));
        }
        ("phantom", _, Some(ok)) => lines[ok]["row"]["last"] = json!("of nobody"),
        _ => panic!("the history has no place for {kind}"),
    }
    lines
}

/// A row as the log makes it up to a position.
fn row(log: &[Value], key: &Value, upto: u64) -> Value {
    let events: Vec<_> = log.iter().filter(|event| event["key"] == *key && place(event) <= upto).collect();
    let sum: u64 = events.iter().map(|event| place(event)).sum();
    events.last().map_or(Value::Null, |last| json!({"count": events.len(), "last": last["id"], "sum": sum}))
}
