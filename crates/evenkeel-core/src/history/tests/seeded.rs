//! Violations put into good histories, one of a kind: what was told or shown is edited as a system that is wrong would
//! have told and shown it.
use super::reference::{Random, row};
use crate::history::Kind;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// An operation of a history that was done.
struct Done {
    session: String,
    invoke: usize,
    ok: usize,
    position: usize,
}

fn text<'v>(line: &'v Value, member: &str) -> &'v str {
    line[member].as_str().unwrap_or_default()
}

fn place(line: &Value) -> usize {
    usize::try_from(line["position"].as_u64().unwrap()).unwrap()
}

/// What was done, in order of its end; of a write that was acknowledged again, the first attempt and acknowledgement.
fn done(lines: &[Value]) -> Vec<Done> {
    let (mut open, mut sent, mut all) = (BTreeMap::new(), BTreeMap::new(), Vec::<Done>::new());
    for (index, line) in lines.iter().enumerate() {
        let session = text(line, "session").to_owned();
        match text(line, "type") {
            "invoke" => {
                let id = line["id"].as_str().map(str::to_owned);
                let first = id.map_or(index, |id| *sent.entry(id).or_insert(index));
                open.insert(session, first);
            }
            "ok" => {
                let invoke = open.remove(&session).unwrap();
                if line.get("row").is_some() || !all.iter().any(|done| done.invoke == invoke) {
                    all.push(Done { session, invoke, ok: index, position: place(line) });
                }
            }
            _ => drop(open.remove(&session)),
        }
    }
    all
}

/// The log's events, as (id, key).
fn log(lines: &[Value]) -> Vec<(String, String)> {
    let logged = lines.iter().filter(|line| text(line, "type") == "log");
    logged.map(|line| (text(line, "id").to_owned(), text(line, "key").to_owned())).collect()
}

/// Has a read answered as of another position.
fn answer_as_of(lines: &mut [Value], read: &Done, position: usize) {
    let log = log(lines);
    let log = log.iter().map(|(id, key)| (&**id, &**key));
    let row = row(log, text(&lines[read.invoke], "key"), position);
    lines[read.ok]["position"] = json!(position);
    lines[read.ok]["row"] = row;
}

/// Has two events change places, in the log, in acknowledgements and in every row.
fn swap(lines: &mut [Value], left: usize, right: usize) {
    let at = |position: usize| lines.iter().position(|line| text(line, "type") == "log" && place(line) == position);
    let (first, second) = (at(left).unwrap(), at(right).unwrap());
    for member in ["id", "key"] {
        let moved = lines[first][member].take();
        lines[first][member] = std::mem::replace(&mut lines[second][member], moved);
    }
    for line in lines.iter_mut().filter(|line| text(line, "type") == "ok" && line.get("row").is_none()) {
        let position = place(line);
        if position == left || position == right {
            line["position"] = json!(if position == left { right } else { left });
        }
    }
    for done in done(lines).iter().filter(|done| lines[done.ok].get("row").is_some()).collect::<Vec<_>>() {
        let position = place(&lines[done.ok]);
        answer_as_of(lines, done, position);
    }
}

/// Puts a violation of this kind into a history with its log, where it has a place for one; the line that shows it.
pub(super) fn seed(lines: &mut Vec<Value>, kind: Kind, random: &mut Random) -> Option<usize> {
    let (all, events) = (done(lines), log(lines));
    let is_read = |done: &&Done| lines[done.ok].get("row").is_some();
    let key = |done: &Done| text(&lines[done.invoke], "key").to_owned();
    let level = |done: &Done| text(&lines[done.invoke], "level").to_owned();
    // The last event of a key up to a position.
    let last_of = |key: &str, upto: usize| (1..=upto).rev().find(|at| events[at - 1].1 == key);
    let (reads, writes): (Vec<&Done>, Vec<&Done>) = all.iter().partition(is_read);
    // What the session of an operation had done before it, and what anybody had.
    let own = |of: &Done, among: &[&Done]| -> usize {
        let before = among.iter().filter(|done| done.session == of.session && done.ok < of.invoke);
        before.map(|done| done.position).max().unwrap_or(0)
    };
    let mut stale = |levels: &[&str], floor: &dyn Fn(&Done) -> usize| {
        let fits = reads.iter().filter(|read| levels.contains(&&*level(read)));
        let fits: Vec<_> = fits.filter_map(|read| Some((*read, last_of(&key(read), floor(read))? - 1))).collect();
        (!fits.is_empty()).then(|| fits[random.below(fits.len())])
    };
    let stale = match kind {
        Kind::ReadYourWrites => Some(stale(&["causal"], &|read| own(read, &writes))),
        Kind::MonotonicReads => Some(stale(&["monotonic", "causal"], &|read| own(read, &reads))),
        Kind::StrongRead => Some(stale(&["strong"], &|read| {
            all.iter().filter(|done| done.ok < read.invoke).map(|done| done.position).max().unwrap_or(0)
        })),
        _ => None,
    };
    if let Some(stale) = stale {
        let (read, position) = stale?;
        answer_as_of(lines, read, position);
        return Some(read.ok);
    }
    let later = |known: &dyn Fn(&Done) -> usize| {
        writes
            .iter()
            .find_map(|write| Some((write.ok, known(write), write.position)).filter(|(_, known, _)| *known > 0))
    };
    let swapped = match kind {
        Kind::MonotonicWrites => Some(later(&|write| own(write, &writes))),
        Kind::WritesFollowReads => Some(later(&|write| own(write, &reads))),
        _ => None,
    };
    if let Some(swapped) = swapped {
        let (ok, known, position) = swapped?;
        swap(lines, known, position);
        return Some(ok);
    }
    bluntly(lines, kind, random)
}

/// Edits of single lines.
fn bluntly(lines: &mut Vec<Value>, kind: Kind, random: &mut Random) -> Option<usize> {
    let (all, events) = (done(lines), log(lines).len());
    let (reads, writes): (Vec<&Done>, Vec<&Done>) = all.iter().partition(|done| lines[done.ok].get("row").is_some());
    let rows: Vec<usize> = reads.iter().map(|read| read.ok).filter(|ok| lines[*ok]["row"].is_object()).collect();
    let acked: Vec<usize> = writes.iter().map(|write| write.ok).collect();
    if rows.is_empty() || acked.len() < 2 {
        return None;
    }
    let row = rows[random.below(rows.len())];
    let log_begins = lines.len() - events;
    match (kind, random.percent(50)) {
        (Kind::Lost, true) => {
            // The end of the log, from its first acknowledged event on or from a later one.
            let position = place(&lines[acked[random.below(acked.len())]]);
            lines.truncate(log_begins + position - 1);
            // Without any log nothing is said of it.
            return (position > 1).then_some(row);
        }
        (Kind::Lost, false) => lines[row]["row"]["count"] = json!(lines[row]["row"]["count"].as_u64()? - 1),
        (Kind::Duplicate, true) => lines[row]["row"]["count"] = json!(lines[row]["row"]["count"].as_u64()? + 1),
        (Kind::Duplicate, false) => {
            let mut again = lines[log_begins + random.below(events)].clone();
            again["position"] = json!(events + 1);
            lines.push(again);
        }
        (Kind::Order, _) => {
            let (left, right) = (place(&lines[acked[0]]), place(&lines[acked[1 + random.below(acked.len() - 1)]]));
            let (left, right) = (log_begins + left - 1, log_begins + right - 1);
            lines.swap(left, right);
            let position = lines[left]["position"].take();
            lines[left]["position"] = std::mem::replace(&mut lines[right]["position"], position);
        }
        _ => lines[row]["row"]["last"] = json!("of nobody"),
    }
    Some(row)
}
