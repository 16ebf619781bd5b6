//! Reading events. A text that stands in many events is kept once per connection and shared by the events read.
//!
//! Waiting for events is in [`super`].
use crate::sqlite::{
    cache::Cache,
    fault::{Fallible, Fault},
    fields::{Fields, int, size},
};
use evenkeel_core::{
    Digest, Draft, Event, EventId, EventType, Position, ReplicaName, SourceName, StreamVersion, Subject, Timestamp,
    json::{self, Object, Value},
};
use rusqlite::{CachedStatement, Connection};
use std::{borrow::Borrow, collections::BTreeSet, hash::Hash};

const SELECT: &str = "SELECT position, event_id, stream_id, stream_version, type, source, raw_id, time, recorded_at, \
                      contract_version, digest, extensions, data, hlc, seq, delivery, saw, request FROM events";

/// The texts that events share.
#[derive(Debug)]
pub(in crate::sqlite) struct Names {
    types: Cache<EventType, EventType>,
    sources: Cache<SourceName, SourceName>,
    subjects: Cache<i64, Subject>,
}

impl Default for Names {
    fn default() -> Self {
        Self { types: Cache::new(1024), sources: Cache::new(1024), subjects: Cache::new(1 << 17) }
    }
}

/// The one name of this text.
fn shared<T>(names: &mut Cache<T, T>, text: &str) -> T
where
    T: Borrow<str> + Hash + Eq + Clone + for<'t> From<&'t str>,
{
    if let Some(name) = names.get_mut(text) {
        return name.clone();
    }
    let name = T::from(text);
    names.put(name.clone(), name.clone());
    name
}

/// Up to `limit` events after `after` of these types, in order.
pub(super) fn after(
    conn: &Connection,
    names: &mut Names,
    replica: &ReplicaName,
    (after, types): (Position, Option<&BTreeSet<EventType>>),
    limit: usize,
) -> Fallible<Vec<Event>> {
    let sql = format!("{SELECT} WHERE position > ?1{} ORDER BY position LIMIT ?2", one_of(types, 3));
    let mut select = conn.prepare_cached(&sql)?;
    select.raw_bind_parameter(1, int(after.0))?;
    select.raw_bind_parameter(2, size(limit))?;
    bind_types(&mut select, types, 3)?;
    let mut subjects = Subjects::new(conn, &mut names.subjects)?;
    let mut rows = select.raw_query();
    let mut events = Vec::with_capacity(limit.min(1024));
    while let Some(row) = rows.next()? {
        events.push(event(Fields(row), &mut names.types, &mut names.sources, &mut subjects, replica)?);
    }
    Ok(events)
}

/// When the first event after `after` of these types was recorded.
pub(super) fn oldest_after(
    conn: &Connection,
    after: Position,
    types: &BTreeSet<EventType>,
) -> Fallible<Option<Timestamp>> {
    let types = Some(types);
    let sql =
        format!("SELECT recorded_at FROM events WHERE position > ?1{} ORDER BY position LIMIT 1", one_of(types, 2));
    let mut select = conn.prepare_cached(&sql)?;
    select.raw_bind_parameter(1, int(after.0))?;
    bind_types(&mut select, types, 2)?;
    select.raw_query().next()?.map(|row| Fields(row).micros(0)).transpose()
}

/// Up to `limit` events of one subject of these types, after `after` in its stream and up to `upto`.
pub(super) fn stream(
    conn: &Connection,
    names: &mut Names,
    replica: &ReplicaName,
    (subject, types): (&str, &BTreeSet<EventType>),
    after: StreamVersion,
    upto: Position,
    limit: usize,
) -> Fallible<Vec<Event>> {
    let sql = format!(
        "{SELECT} WHERE stream_id = (SELECT id FROM streams WHERE subject = ?1) AND stream_version > ?2 \
         AND position <= ?3{} ORDER BY stream_version LIMIT ?4",
        one_of(Some(types), 5)
    );
    let mut select = conn.prepare_cached(&sql)?;
    select.raw_bind_parameter(1, subject)?;
    select.raw_bind_parameter(2, int(after.0))?;
    select.raw_bind_parameter(3, int(upto.0))?;
    select.raw_bind_parameter(4, size(limit))?;
    bind_types(&mut select, Some(types), 5)?;
    let mut subjects = Subjects::new(conn, &mut names.subjects)?;
    let mut rows = select.raw_query();
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(event(Fields(row), &mut names.types, &mut names.sources, &mut subjects, replica)?);
    }
    Ok(events)
}

/// The events at these positions.
pub(super) fn pick(
    conn: &Connection,
    names: &mut Names,
    replica: &ReplicaName,
    positions: &[Position],
) -> Fallible<Vec<Event>> {
    let mut select = conn.prepare_cached(&format!("{SELECT} WHERE position = ?1"))?;
    let mut subjects = Subjects::new(conn, &mut names.subjects)?;
    let mut events = Vec::with_capacity(positions.len());
    for position in positions {
        let mut rows = select.query([int(position.0)])?;
        if let Some(row) = rows.next()? {
            events.push(event(Fields(row), &mut names.types, &mut names.sources, &mut subjects, replica)?);
        }
    }
    Ok(events)
}

/// The event with this identity.
pub(super) fn find(
    conn: &Connection,
    names: &mut Names,
    replica: &ReplicaName,
    id: EventId,
) -> Fallible<Option<Event>> {
    let mut select = conn.prepare_cached(&format!("{SELECT} WHERE event_id = ?1"))?;
    let mut subjects = Subjects::new(conn, &mut names.subjects)?;
    let mut rows = select.query([id.0])?;
    rows.next()?.map(|row| event(Fields(row), &mut names.types, &mut names.sources, &mut subjects, replica)).transpose()
}

/// The condition that the type is one of these, with parameters from number `first` on. Its text depends only on how
/// many there are, so few statements serve all models.
pub(super) fn one_of(types: Option<&BTreeSet<EventType>>, first: usize) -> String {
    let Some(types) = types else { return String::new() };
    let numbers: Vec<_> = (first..first + types.len()).map(|number| format!("?{number}")).collect();
    format!(" AND type IN ({})", numbers.join(", "))
}

pub(super) fn bind_types(
    select: &mut CachedStatement<'_>,
    types: Option<&BTreeSet<EventType>>,
    first: usize,
) -> Fallible<()> {
    for (i, event_type) in types.into_iter().flatten().enumerate() {
        select.raw_bind_parameter(first + i, event_type.as_str())?;
    }
    Ok(())
}

/// Finds the subject of a stream.
struct Subjects<'c> {
    select: CachedStatement<'c>,
    known: &'c mut Cache<i64, Subject>,
}

impl<'c> Subjects<'c> {
    fn new(conn: &'c Connection, known: &'c mut Cache<i64, Subject>) -> Fallible<Self> {
        Ok(Self { select: conn.prepare_cached("SELECT subject FROM streams WHERE id = ?1")?, known })
    }

    fn of(&mut self, stream_id: i64) -> Fallible<Subject> {
        if let Some(subject) = self.known.get_mut(&stream_id) {
            return Ok(subject.clone());
        }
        let mut rows = self.select.query([stream_id])?;
        let lost = || Fault::Bad(format!("there is no stream {stream_id}, and events of it"));
        let subject: Subject = Fields(rows.next()?.ok_or_else(lost)?).text(0)?.into();
        self.known.put(stream_id, subject.clone());
        Ok(subject)
    }
}

fn event(
    fields: Fields<'_, '_>,
    types: &mut Cache<EventType, EventType>,
    sources: &mut Cache<SourceName, SourceName>,
    subjects: &mut Subjects<'_>,
    replica: &ReplicaName,
) -> Fallible<Event> {
    let position = Position(fields.number(0)?);
    let bad = |what: &str, why: String| Fault::Bad(format!("{what} of event {position}: {why}"));
    let extensions = match fields.opt_text(11)? {
        None => Object::default(),
        Some(text) => match json::parse(text.as_bytes()) {
            Ok(Value::Object(extensions)) => extensions,
            Ok(other) => return Err(bad("extensions", other.kind().into())),
            Err(error) => return Err(bad("extensions", error.to_string())),
        },
    };
    let data = json::parse(fields.bytes(12)?).map_err(|error| bad("data", error.to_string()))?;
    let recorded_at = fields.micros(8)?;
    Ok(Event {
        position,
        id: EventId(fields.bytes32(1)?),
        source: shared(sources, fields.text(5)?),
        raw_id: fields.text(6)?.to_owned(),
        stream_version: StreamVersion(fields.number(3)?),
        recorded_at,
        digest: Digest(fields.bytes32(10)?),
        replica: replica.clone(),
        causality: super::causal::causality(fields, 13, recorded_at, position.0)?,
        draft: Draft {
            event_type: shared(types, fields.text(4)?),
            contract_version: fields.number32(9)?,
            subject: subjects.of(fields.int(2)?)?,
            time: fields.opt_micros(7)?,
            extensions,
            data,
        },
    })
}
