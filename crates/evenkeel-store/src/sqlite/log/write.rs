//! Writing a decision: events, quarantine entries and their changes, in the transaction at hand.
//!
//! Only what would break the log's guarantees is checked here, and refused: a position that does not follow, and by
//! the tables' own constraints an identity, a place in a stream or an entry that is there already.
use super::{Appended, accounts, causal, quarantine::key_text, raws::Packer, streams::Streams, windows};
use crate::sqlite::{
    fault::{Fallible, Fault},
    fields::{int, utf8},
};
use evenkeel_core::{
    Event, EventType, Position,
    event::Delivery,
    intake::{Change, Writes},
    quarantine::{Decision, Edit, Entry, QuarantineId, Refusal},
};
use rusqlite::{CachedStatement, Connection, params};
use std::collections::BTreeMap;

/// Writes everything; what was appended, if anything was.
pub(super) fn write(
    conn: &Connection,
    streams: &mut Streams,
    packer: &mut Packer,
    head: Position,
    writes: &Writes,
) -> Fallible<Option<Appended>> {
    let end = writes.events.last().map_or(head, |last| last.position);
    if let Some(raw) = writes.raws.iter().find(|raw| raw.position <= head || raw.position > end) {
        return Err(Fault::refused(format!("a raw body at position {}, where no event is added", raw.position)));
    }
    for entry in &writes.entries {
        insert_entry(conn, entry)?;
    }
    for change in &writes.changes {
        update_entry(conn, change)?;
    }
    accounts::add(conn, &writes.accounts)?;
    causal::write(conn, writes)?;
    let Some(last) = writes.events.last() else { return Ok(None) };
    append(conn, streams, head, &writes.events)?;
    windows::add(conn, &writes.events)?;
    packer.keep(conn, &writes.raws, last.recorded_at)?;
    let mut counts: BTreeMap<EventType, u64> = BTreeMap::new();
    for event in &writes.events {
        match counts.get_mut(&event.draft.event_type) {
            Some(count) => *count += 1,
            None => {
                counts.insert(event.draft.event_type.clone(), 1);
            }
        }
    }
    let mut add = conn.prepare_cached(
        "INSERT INTO event_types(type, count) VALUES(?1, ?2) ON CONFLICT(type) DO UPDATE SET count = count + excluded.count",
    )?;
    for (event_type, count) in &counts {
        add.execute((event_type.as_str(), int(*count)))?;
    }
    Ok(Some(Appended { last: last.position, counts }))
}

fn append(conn: &Connection, streams: &mut Streams, mut head: Position, events: &[Event]) -> Fallible<()> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO events(position, event_id, stream_id, stream_version, type, source, raw_id, time, recorded_at, \
         contract_version, digest, extensions, data, hlc, seq, delivery, saw, request) \
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?;
    let mut json = Vec::with_capacity(1024);
    for event in events {
        head = head.next();
        if event.position != head {
            return Err(Fault::refused(format!("position {} where {head} comes next", event.position)));
        }
        let stream_id = streams.advance(conn, &event.draft.subject, event.stream_version)?;
        bind_event(&mut insert, event, stream_id, &mut json)?;
        insert.raw_execute()?;
        if event.causality.delivery == Delivery::Exception {
            causal::add_exception(conn, event.source.as_str(), event.causality.seq, event.causality.hlc)?;
        }
    }
    Ok(())
}

fn bind_event(insert: &mut CachedStatement<'_>, event: &Event, stream_id: i64, json: &mut Vec<u8>) -> Fallible<()> {
    let draft = &event.draft;
    insert.raw_bind_parameter(1, int(event.position.0))?;
    insert.raw_bind_parameter(2, event.id.0)?;
    insert.raw_bind_parameter(3, stream_id)?;
    insert.raw_bind_parameter(4, int(event.stream_version.0))?;
    insert.raw_bind_parameter(5, draft.event_type.as_str())?;
    insert.raw_bind_parameter(6, event.source.as_str())?;
    insert.raw_bind_parameter(7, event.raw_id.as_str())?;
    insert.raw_bind_parameter(8, draft.time.map(|time| time.as_micros()))?;
    insert.raw_bind_parameter(9, event.recorded_at.as_micros())?;
    insert.raw_bind_parameter(10, draft.contract_version)?;
    insert.raw_bind_parameter(11, event.digest.0)?;
    let extensions = (!draft.extensions.is_empty()).then(|| draft.extensions.to_string());
    insert.raw_bind_parameter(12, extensions)?;
    json.clear();
    serde_json::to_writer(&mut *json, &draft.data)?;
    insert.raw_bind_parameter(13, utf8(json))?;
    insert.raw_bind_parameter(14, causal::hlc_int(event.causality.hlc))?;
    insert.raw_bind_parameter(15, int(event.causality.seq))?;
    insert.raw_bind_parameter(16, causal::delivery_int(event.causality.delivery))?;
    let (upto, request) = causal::saw_ints(event.causality.saw);
    insert.raw_bind_parameter(17, upto)?;
    insert.raw_bind_parameter(18, request)?;
    Ok(())
}

/// The columns of a refusal, in the order in which [`bind_refusal`] gives their values.
const REFUSAL: &str = "reason, detail, pointer, contract, contract_version, subject, park_key";

/// Binds the values of [`REFUSAL`] to the parameters from `?2` to `?8`.
fn bind_refusal(statement: &mut CachedStatement<'_>, refusal: &Refusal) -> Fallible<()> {
    let Refusal { reason, detail, pointer, contract, subject, parks } = refusal;
    statement.raw_bind_parameter(2, reason.as_str())?;
    statement.raw_bind_parameter(3, detail)?;
    statement.raw_bind_parameter(4, pointer.as_ref())?;
    statement.raw_bind_parameter(5, contract.as_ref().map(|contract| contract.name.as_str()))?;
    statement.raw_bind_parameter(6, contract.as_ref().map(|contract| contract.version))?;
    statement.raw_bind_parameter(7, subject.as_ref().map(|subject| subject.as_str()))?;
    statement.raw_bind_parameter(8, parks.as_ref().map(key_text).transpose()?)?;
    Ok(())
}

fn insert_entry(conn: &Connection, entry: &Entry) -> Fallible<()> {
    let mut insert = conn.prepare_cached(&format!(
        "INSERT INTO quarantine(id, {REFUSAL}, event_id, digest, source, raw_id, raw, state, received_at, changed_at, \
         position, decided_by, decision_note, version, hlc, recall_source, recall_seq, saw, request) VALUES(?1, ?2, ?3, ?4, ?5, \
         ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)"
    ))?;
    insert.raw_bind_parameter(1, int(entry.id.0))?;
    bind_refusal(&mut insert, &entry.refusal)?;
    insert.raw_bind_parameter(9, entry.event_id.0)?;
    insert.raw_bind_parameter(10, entry.digest.0)?;
    insert.raw_bind_parameter(11, entry.source.as_str())?;
    insert.raw_bind_parameter(12, entry.raw_id.as_str())?;
    insert.raw_bind_parameter(13, entry.raw.as_slice())?;
    insert.raw_bind_parameter(14, entry.state.as_str())?;
    insert.raw_bind_parameter(15, entry.received_at.as_micros())?;
    insert.raw_bind_parameter(16, entry.changed_at.as_micros())?;
    insert.raw_bind_parameter(17, entry.position.map(|position| int(position.0)))?;
    insert.raw_bind_parameter(18, entry.decision.as_ref().map(|decision| decision.author.as_str()))?;
    insert.raw_bind_parameter(19, entry.decision.as_ref().map(|decision| decision.note.as_str()))?;
    insert.raw_bind_parameter(20, int(entry.version.0))?;
    insert.raw_bind_parameter(21, causal::hlc_int(entry.hlc))?;
    insert.raw_bind_parameter(22, entry.recall.as_ref().map(|dot| dot.source.as_str()))?;
    insert.raw_bind_parameter(23, entry.recall.as_ref().map(|dot| int(dot.seq)))?;
    let (upto, request) = causal::saw_ints(entry.saw);
    insert.raw_bind_parameter(24, upto)?;
    insert.raw_bind_parameter(25, request)?;
    insert.raw_execute()?;
    entry.edits.iter().try_for_each(|edit| insert_edit(conn, entry.id, edit))
}

/// Adds an edit after those there are.
fn insert_edit(conn: &Connection, id: QuarantineId, edit: &Edit) -> Fallible<()> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO edits(entry, number, patch, author, note, at) \
         SELECT ?1, ifnull(max(number), 0) + 1, ?2, ?3, ?4, ?5 FROM edits WHERE entry = ?1",
    )?;
    let Decision { author, note } = &edit.decision;
    insert.execute(params![int(id.0), edit.patch.to_string(), author, note, edit.at.as_micros()])?;
    Ok(())
}

/// A change without a position or a decision leaves those there are.
fn update_entry(conn: &Connection, change: &Change) -> Fallible<()> {
    let mut update = conn.prepare_cached(
        "UPDATE quarantine SET state = ?2, version = version + 1, changed_at = ?3, position = ifnull(?4, position), \
         decided_by = ifnull(?5, decided_by), decision_note = ifnull(?6, decision_note) WHERE id = ?1",
    )?;
    let changed = update.execute(params![
        int(change.id.0),
        change.state.as_str(),
        change.at.as_micros(),
        change.position.map(|position| int(position.0)),
        change.decision.as_ref().map(|decision| &decision.author),
        change.decision.as_ref().map(|decision| &decision.note),
    ])?;
    if changed == 0 {
        return Err(Fault::refused(format!("a change of {}, which is not there", change.id)));
    }
    if let Some(edit) = &change.edit {
        insert_edit(conn, change.id, edit)?;
    }
    let Some(refusal) = &change.refusal else { return Ok(()) };
    let mut refuse = conn.prepare_cached(&format!(
        "UPDATE quarantine SET ({REFUSAL}) = (?2, ?3, ?4, ?5, ?6, ?7, ?8), recall_source = ?9, recall_seq = ?10 WHERE id = ?1"
    ))?;
    refuse.raw_bind_parameter(9, change.recall.as_ref().map(|dot| dot.source.as_str()))?;
    refuse.raw_bind_parameter(10, change.recall.as_ref().map(|dot| int(dot.seq)))?;
    refuse.raw_bind_parameter(1, int(change.id.0))?;
    bind_refusal(&mut refuse, refusal)?;
    refuse.raw_execute()?;
    Ok(())
}
