//! What a decision must know, read in the transaction that will write.
//!
//! What follows from it is [`evenkeel_core::intake`]'s to decide and [`super::write`]'s to write.
use super::{causal, head, quarantine::key_text, streams::Streams};
use crate::sqlite::{
    fault::Fallible,
    fields::{Fields, int, size},
};
use evenkeel_core::{
    Digest, EventId, Position, SourceName, StreamVersion, Subject,
    intake::{Ask, Facts, Place, Standing, Untrusted},
    quarantine::{EntryVersion, ParkKey, QuarantineId},
};
use rusqlite::Connection;
use std::collections::{BTreeMap, HashMap};

/// Reads the facts asked for.
pub(super) fn load(conn: &Connection, streams: &mut Streams, ask: &Ask) -> Fallible<Facts> {
    let (next_entry, clock) = (next_entry(conn)?, causal::clock(conn)?);
    let head = head(conn)?.map_or(Position::ZERO, |(position, _)| position);
    // Where nothing is kept aside, which is the rule, it is not looked for there for every event.
    let (quarantine_is_empty, nobody_waits) = (next_entry == 1, clock.waiting_events == 0);
    let known = known(conn, &ask.ids, quarantine_is_empty, nobody_waits)?;
    Ok(Facts { head, next_entry, clock, known, ..answer(conn, streams, ask, quarantine_is_empty)? })
}

/// Reads facts that a decision asks for on its way; what it knew from the beginning is not among them.
pub(super) fn more(conn: &Connection, streams: &mut Streams, ask: &Ask) -> Fallible<Facts> {
    Ok(Facts { known: known(conn, &ask.ids, false, false)?, ..answer(conn, streams, ask, false)? })
}

/// Everything that is asked for but identities.
fn answer(conn: &Connection, streams: &mut Streams, ask: &Ask, quarantine_is_empty: bool) -> Fallible<Facts> {
    let mut facts = Facts {
        parked: if quarantine_is_empty { HashMap::new() } else { parked(conn, &ask.keys)? },
        versions: versions(conn, streams, &ask.subjects)?,
        states: states(conn, &ask.entries)?,
        line: ask.line.as_ref().map_or_else(|| Ok(Vec::new()), |(key, limit)| line(conn, key, *limit))?,
        untrusted: if quarantine_is_empty { Untrusted::default() } else { untrusted(conn, &ask.untrusted)? },
        held: if quarantine_is_empty { BTreeMap::new() } else { held(conn, &ask.held)? },
        ..Facts::default()
    };
    causal::load(conn, ask, &mut facts)?;
    Ok(facts)
}

fn next_entry(conn: &Connection) -> Fallible<u64> {
    let mut last = conn.prepare_cached("SELECT ifnull(max(id), 0) + 1 FROM quarantine")?;
    let mut rows = last.query([])?;
    rows.next()?.map_or(Ok(1), |row| Fields(row).number(0))
}

fn known(
    conn: &Connection,
    ids: &[EventId],
    quarantine_is_empty: bool,
    nobody_waits: bool,
) -> Fallible<HashMap<EventId, Vec<(Digest, Place)>>> {
    let mut in_log = conn.prepare_cached("SELECT digest, position, stream_version FROM events WHERE event_id = ?1")?;
    let mut waiting =
        conn.prepare_cached("SELECT digest, id, reason FROM quarantine WHERE event_id = ?1 ORDER BY id")?;
    let mut known: HashMap<_, Vec<_>> = HashMap::new();
    for id in ids {
        let mut places = Vec::new();
        let mut rows = in_log.query([id.0])?;
        if let Some(row) = rows.next()? {
            let fields = Fields(row);
            let (position, stream_version) = (Position(fields.number(1)?), StreamVersion(fields.number(2)?));
            places.push((Digest(fields.bytes32(0)?), Place::Log { position, stream_version }));
        }
        if !quarantine_is_empty {
            let mut rows = waiting.query([id.0])?;
            while let Some(row) = rows.next()? {
                let fields = Fields(row);
                let (id, reason) = (QuarantineId(fields.number(1)?), fields.parsed(2)?);
                places.push((Digest(fields.bytes32(0)?), Place::Quarantine { id, reason }));
            }
        }
        if !nobody_waits && let Some(digest) = causal::waits(conn, *id)? {
            places.push((digest, Place::Waiting));
        }
        if !places.is_empty() {
            known.insert(*id, places);
        }
    }
    Ok(known)
}

fn parked(conn: &Connection, keys: &[ParkKey]) -> Fallible<HashMap<ParkKey, QuarantineId>> {
    let mut first = conn.prepare_cached(
        "SELECT id FROM quarantine WHERE park_key = ?1 AND state IN ('quarantined', 'held') ORDER BY id LIMIT 1",
    )?;
    let mut parked = HashMap::new();
    for key in keys {
        let mut rows = first.query([key_text(key)?])?;
        if let Some(row) = rows.next()? {
            parked.insert(key.clone(), QuarantineId(Fields(row).number(0)?));
        }
    }
    Ok(parked)
}

fn untrusted(conn: &Connection, sources: &[SourceName]) -> Fallible<Untrusted> {
    const WAITING: &str =
        "SELECT count(*) FROM quarantine WHERE reason = 'untrusted_source' AND state IN ('quarantined', 'held')";
    let mut untrusted = Untrusted::default();
    if sources.is_empty() {
        return Ok(untrusted);
    }
    let mut of_source = conn.prepare_cached(&format!("{WAITING} AND source = ?1"))?;
    for source in sources {
        let mut rows = of_source.query([source.as_str()])?;
        let count = rows.next()?.map_or(Ok(0), |row| Fields(row).number(0))?;
        untrusted.by_source.insert(source.clone(), count);
    }
    let mut of_all = conn.prepare_cached(WAITING)?;
    let mut rows = of_all.query([])?;
    untrusted.total = rows.next()?.map_or(Ok(0), |row| Fields(row).number(0))?;
    Ok(untrusted)
}

fn held(conn: &Connection, sources: &[SourceName]) -> Fallible<BTreeMap<SourceName, u64>> {
    let mut select = conn.prepare_cached("SELECT held FROM accounts WHERE source = ?1 AND held > 0")?;
    let mut held = BTreeMap::new();
    for source in sources {
        let mut rows = select.query([source.as_str()])?;
        if let Some(row) = rows.next()? {
            held.insert(source.clone(), Fields(row).number(0)?);
        }
    }
    Ok(held)
}

fn versions(
    conn: &Connection,
    streams: &mut Streams,
    subjects: &[Subject],
) -> Fallible<HashMap<Subject, StreamVersion>> {
    let mut versions = HashMap::with_capacity(subjects.len());
    for subject in subjects {
        if let Some(stream) = streams.find(conn, subject)? {
            versions.insert(subject.clone(), stream.version);
        }
    }
    Ok(versions)
}

/// The state and version that stand in these columns.
fn standing(fields: &Fields<'_, '_>, state: usize, version: usize) -> Fallible<Standing> {
    Ok(Standing { state: fields.parsed(state)?, version: EntryVersion(fields.number(version)?) })
}

fn states(conn: &Connection, ids: &[QuarantineId]) -> Fallible<HashMap<QuarantineId, Standing>> {
    let mut select = conn.prepare_cached("SELECT state, version FROM quarantine WHERE id = ?1")?;
    let mut states = HashMap::new();
    for id in ids {
        let mut rows = select.query([int(id.0)])?;
        if let Some(row) = rows.next()? {
            states.insert(*id, standing(&Fields(row), 0, 1)?);
        }
    }
    Ok(states)
}

fn line(conn: &Connection, key: &ParkKey, limit: usize) -> Fallible<Vec<(QuarantineId, Standing)>> {
    let mut select = conn.prepare_cached(
        "SELECT id, state, version FROM quarantine WHERE park_key = ?1 AND state IN ('quarantined', 'held') ORDER BY id \
         LIMIT ?2",
    )?;
    let mut rows = select.query((key_text(key)?, size(limit)))?;
    let mut line = Vec::new();
    while let Some(row) = rows.next()? {
        line.push((QuarantineId(Fields(row).number(0)?), standing(&Fields(row), 1, 2)?));
    }
    Ok(line)
}
