//! Stamps, who waits for whom, and how far sources are: read for decisions and for persons, and written.
//!
//! What follows from it is [`evenkeel_core::intake`]'s to decide.
use crate::sqlite::{
    fault::{Fallible, Fault},
    fields::{Fields, int, size, utf8},
};
use evenkeel_core::{
    Digest, Draft, EventId, Position, SourceName, Timestamp,
    clock::Hlc,
    event::{Causality, Delivery, Saw},
    intake::{Ask, Causes, Facts, LogClock, Passed, Sent, Skip, SourceDot, Waiting, Writes},
    json::{self, Object, Value},
    quarantine::{Decision, QuarantineId},
};
use rusqlite::{CachedStatement, Connection, params};
use std::collections::{BTreeMap, HashMap};

const SELECT: &str = "SELECT source, seq, event_id, digest, raw_id, raw, type, contract_version, subject, time, extensions, \
                      data, causes, hlc, since, on_source, on_seq, saw, request FROM waiting";

/// A stamp for a column. The bits are kept; as numbers they are in order until the year 6429.
pub(super) fn hlc_int(hlc: Hlc) -> i64 {
    hlc.as_u64() as i64
}

/// The stamp in this column; where there is none, that of the instant `at`.
pub(super) fn hlc_or(fields: Fields<'_, '_>, column: usize, at: Timestamp) -> Fallible<Hlc> {
    match fields.opt_int(column)? {
        Some(bits) => Ok(Hlc::from_u64(bits as u64)),
        None => Ok(Hlc::at(at)),
    }
}

/// How an event was delivered, as a number.
pub(super) fn delivery_int(delivery: Delivery) -> i64 {
    match delivery {
        Delivery::Log => 0,
        Delivery::Causal => 1,
        Delivery::Exception => 2,
    }
}

/// What a writer had seen, as numbers for the columns `saw` and `request`.
pub(super) fn saw_ints(saw: Option<Saw>) -> (Option<i64>, Option<i64>) {
    saw.map(|Saw { upto, request }| (int(upto.0), hlc_int(request))).unzip()
}

/// What a writer had seen, from the columns `saw` and `request`, of which this is the first.
pub(super) fn saw(fields: Fields<'_, '_>, first: usize) -> Fallible<Option<Saw>> {
    let (upto, request) = (fields.opt_number(first)?, fields.opt_int(first + 1)?);
    Ok(upto.zip(request).map(|(upto, bits)| Saw { upto: Position(upto), request: Hlc::from_u64(bits as u64) }))
}

/// An event's place in cause and effect: its stamp, its number, its delivery, and what its writer had seen, of which this
/// column is the first.
pub(super) fn causality(fields: Fields<'_, '_>, first: usize, at: Timestamp, position: u64) -> Fallible<Causality> {
    let delivery = match fields.int(first + 2)? {
        0 => Delivery::Log,
        1 => Delivery::Causal,
        2 => Delivery::Exception,
        other => return Err(Fault::Bad(format!("event {position} was delivered in a way {other} that there is not"))),
    };
    // What was recorded before there were stamps was counted by the log, and all of it.
    let seq = fields.opt_number(first + 1)?.unwrap_or(position);
    Ok(Causality { hlc: hlc_or(fields, first, at)?, seq, delivery, saw: saw(fields, first + 3)? })
}

/// The log's clock.
pub(super) fn clock(conn: &Connection) -> Fallible<LogClock> {
    let mut select = conn.prepare_cached("SELECT hlc, seq, waiting_events, waiting_bytes FROM clock")?;
    let mut rows = select.query([])?;
    let fields = Fields(rows.next()?.ok_or_else(|| Fault::Bad("the log has lost its clock".into()))?);
    Ok(LogClock {
        last: Hlc::from_u64(fields.int(0)? as u64),
        seq: fields.number(1)?,
        waiting_events: fields.number(2)?,
        waiting_bytes: fields.number(3)?,
    })
}

/// Adds to `facts` what was asked about events that their sources count.
pub(super) fn load(conn: &Connection, ask: &Ask, facts: &mut Facts) -> Fallible<()> {
    if !ask.passed.is_empty() {
        facts.passed = of_sources(conn, &ask.passed)?;
    }
    if !ask.dots.is_empty() {
        facts.dots = holders(conn, &ask.dots)?;
    }
    if !ask.stamps.is_empty() {
        facts.stamps = stamps(conn, &ask.stamps)?;
    }
    if let Some((source, after, upto)) = &ask.woken {
        let mut select =
            conn.prepare_cached(&format!("{SELECT} WHERE on_source = ?1 AND on_seq > ?2 AND on_seq <= ?3"))?;
        let mut rows = select.query(params![source.as_str(), int(*after), int(*upto)])?;
        while let Some(row) = rows.next()? {
            facts.woken.push(decode(Fields(row))?);
        }
    }
    if let Some((since, limit)) = &ask.expired {
        facts.expired = by_age(conn, *since, *limit)?;
    }
    if let Some((source, first, last)) = &ask.standing {
        let mut select = conn.prepare_cached("SELECT seq FROM waiting WHERE source = ?1 AND seq BETWEEN ?2 AND ?3")?;
        let mut rows = select.query(params![source.as_str(), int(*first), int(*last)])?;
        while let Some(row) = rows.next()? {
            facts.standing.push(Fields(row).number(0)?);
        }
    }
    Ok(())
}

/// Whether an event of this identity waits, and with which content.
pub(super) fn waits(conn: &Connection, id: EventId) -> Fallible<Option<Digest>> {
    let mut select = conn.prepare_cached("SELECT digest FROM waiting WHERE event_id = ?1")?;
    let mut rows = select.query([id.0])?;
    rows.next()?.map(|row| Ok(Digest(Fields(row).bytes32(0)?))).transpose()
}

fn of_sources(conn: &Connection, sources: &[SourceName]) -> Fallible<HashMap<SourceName, Passed>> {
    let mut select = conn.prepare_cached("SELECT upto, holes FROM passed WHERE source = ?1")?;
    let mut found = HashMap::new();
    for source in sources {
        let mut rows = select.query([source.as_str()])?;
        if let Some(row) = rows.next()? {
            found.insert(source.clone(), one_passed(Fields(row), 0)?);
        }
    }
    Ok(found)
}

/// How far a source is, from two columns.
fn one_passed(fields: Fields<'_, '_>, first: usize) -> Fallible<Passed> {
    let holes = fields.opt_text(first + 1)?.map(serde_json::from_str).transpose()?;
    Ok(Passed { upto: fields.number(first)?, holes: holes.unwrap_or_default() })
}

fn holders(conn: &Connection, dots: &[SourceDot]) -> Fallible<HashMap<SourceDot, EventId>> {
    let mut waits = conn.prepare_cached("SELECT event_id FROM waiting WHERE source = ?1 AND seq = ?2")?;
    let mut in_log =
        conn.prepare_cached("SELECT event_id FROM events WHERE source = ?1 AND seq = ?2 AND delivery > 0")?;
    let mut found = HashMap::new();
    for dot in dots {
        for select in [&mut waits, &mut in_log] {
            let mut rows = select.query(params![dot.source.as_str(), int(dot.seq)])?;
            if let Some(row) = rows.next()? {
                found.insert(dot.clone(), EventId(Fields(row).bytes32(0)?));
                break;
            }
        }
    }
    Ok(found)
}

pub(super) fn stamps(conn: &Connection, dots: &[SourceDot]) -> Fallible<HashMap<SourceDot, Hlc>> {
    let mut select = conn.prepare_cached(
        "SELECT max(hlc) FROM (SELECT * FROM (SELECT hlc FROM events WHERE source = ?1 AND seq <= ?2 AND delivery > 0 \
         ORDER BY seq DESC LIMIT 1) UNION ALL SELECT * FROM (SELECT hlc FROM exceptions WHERE source = ?1 AND seq <= ?2 \
         ORDER BY seq DESC LIMIT 1))",
    )?;
    let mut found = HashMap::new();
    for dot in dots {
        let mut rows = select.query(params![dot.source.as_str(), int(dot.seq)])?;
        if let Some(row) = rows.next()?
            && let Some(bits) = Fields(row).opt_int(0)?
        {
            found.insert(dot.clone(), Hlc::from_u64(bits as u64));
        }
    }
    Ok(found)
}

/// Keeps the stamp of an exception where it is the greatest up to its number. It takes the place of the following ones that are
/// not greater: so of those there are, in order of their numbers, each has a greater stamp than the one before.
pub(super) fn add_exception(conn: &Connection, source: &str, seq: u64, hlc: Hlc) -> Fallible<()> {
    let (seq, hlc) = (int(seq), hlc_int(hlc));
    let mut before = conn.prepare_cached(
        "SELECT 1 FROM (SELECT hlc FROM exceptions WHERE source = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1) \
                         WHERE hlc >= ?3",
    )?;
    if before.exists(params![source, seq, hlc])? {
        return Ok(());
    }
    let mut surpassed = conn.prepare_cached(
        "DELETE FROM exceptions WHERE source = ?1 AND seq >= ?2 AND seq < ifnull((SELECT seq FROM exceptions \
         WHERE source = ?1 AND seq >= ?2 AND hlc > ?3 ORDER BY seq LIMIT 1), ?4)",
    )?;
    surpassed.execute(params![source, seq, hlc, i64::MAX])?;
    let mut insert = conn.prepare_cached("INSERT INTO exceptions(source, seq, hlc) VALUES(?1, ?2, ?3)")?;
    insert.execute(params![source, seq, hlc])?;
    Ok(())
}

/// The events that came then or before, the oldest first.
pub(super) fn by_age(conn: &Connection, upto: Timestamp, limit: usize) -> Fallible<Vec<Waiting>> {
    let mut select =
        conn.prepare_cached(&format!("{SELECT} WHERE since <= ?1 ORDER BY since, source, seq LIMIT ?2"))?;
    let mut rows = select.query(params![upto.as_micros(), size(limit)])?;
    let mut waiting = Vec::new();
    while let Some(row) = rows.next()? {
        waiting.push(decode(Fields(row))?);
    }
    Ok(waiting)
}

/// How far every source is.
pub(super) fn passed(conn: &Connection) -> Fallible<BTreeMap<SourceName, Passed>> {
    let mut select = conn.prepare_cached("SELECT source, upto, holes FROM passed")?;
    let mut rows = select.query([])?;
    let mut passed = BTreeMap::new();
    while let Some(row) = rows.next()? {
        passed.insert(Fields(row).text(0)?.into(), one_passed(Fields(row), 1)?);
    }
    Ok(passed)
}

/// What persons declared not to come.
pub(super) fn skips(conn: &Connection) -> Fallible<Vec<Skip>> {
    let mut select = conn.prepare_cached("SELECT source, first, last, author, note, at FROM skips ORDER BY number")?;
    let mut rows = select.query([])?;
    let mut skips = Vec::new();
    while let Some(row) = rows.next()? {
        let fields = Fields(row);
        let decision = Decision { author: fields.text(3)?.to_owned(), note: fields.text(4)?.to_owned() };
        let (first, last) = (fields.number(1)?, fields.number(2)?);
        skips.push(Skip { source: fields.text(0)?.into(), first, last, decision, at: fields.micros(5)? });
    }
    Ok(skips)
}

/// Entries that wait for what was passed since.
pub(super) fn recallable(conn: &Connection, limit: usize) -> Fallible<Vec<QuarantineId>> {
    // Asked after every commit, and nearly always there is none.
    let mut any = conn
        .prepare_cached("SELECT 1 FROM quarantine WHERE recall_source IS NOT NULL AND state = 'quarantined' LIMIT 1")?;
    if !any.exists([])? {
        return Ok(Vec::new());
    }
    let mut select = conn.prepare_cached(
        // In this order of tables: there are few sources, and of what waits for one only the front is looked at.
        "SELECT id FROM passed CROSS JOIN quarantine ON recall_source = passed.source AND recall_seq <= upto \
         WHERE recall_source IS NOT NULL AND state = 'quarantined' ORDER BY passed.source, recall_seq, id LIMIT ?1",
    )?;
    let mut rows = select.query([size(limit)])?;
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        due.push(QuarantineId(Fields(row).number(0)?));
    }
    Ok(due)
}

fn decode(fields: Fields<'_, '_>) -> Fallible<Waiting> {
    let raw_id = fields.text(4)?.to_owned();
    let bad = |what: &str, why: String| Fault::Bad(format!("{what} of the event {raw_id:?}, which waits: {why}"));
    let extensions = match fields.opt_text(10)?.map(|text| json::parse(text.as_bytes())) {
        None => Object::default(),
        Some(Ok(Value::Object(extensions))) => extensions,
        Some(Ok(other)) => return Err(bad("extensions", other.kind().into())),
        Some(Err(error)) => return Err(bad("extensions", error.to_string())),
    };
    let data = json::parse(fields.bytes(11)?).map_err(|error| bad("data", error.to_string()))?;
    let causes: Causes = serde_json::from_str(fields.text(12)?)?;
    let since = fields.micros(14)?;
    Ok(Waiting {
        draft: Draft {
            event_type: fields.text(6)?.into(),
            contract_version: fields.number32(7)?,
            subject: fields.text(8)?.into(),
            time: fields.opt_micros(9)?,
            extensions,
            data,
        },
        sent: Sent {
            id: EventId(fields.bytes32(2)?),
            digest: Digest(fields.bytes32(3)?),
            source: fields.text(0)?.into(),
            raw_id,
            raw: fields.bytes(5)?.to_owned(),
        },
        causes,
        hlc: hlc_or(fields, 13, since)?,
        since,
        on: SourceDot::new(fields.text(15)?, fields.number(16)?),
        saw: saw(fields, 17)?,
    })
}

/// Writes what a decision says of clock, waiting events and sources.
pub(super) fn write(conn: &Connection, writes: &Writes) -> Fallible<()> {
    if let Some(LogClock { last, seq, waiting_events, waiting_bytes }) = writes.clock {
        let mut update =
            conn.prepare_cached("UPDATE clock SET hlc = ?1, seq = ?2, waiting_events = ?3, waiting_bytes = ?4")?;
        update.execute(params![hlc_int(last), int(seq), int(waiting_events), int(waiting_bytes)])?;
    }
    if !writes.released.is_empty() {
        let mut remove = conn.prepare_cached("DELETE FROM waiting WHERE source = ?1 AND seq = ?2")?;
        for dot in &writes.released {
            remove.execute(params![dot.source.as_str(), int(dot.seq)])?;
        }
    }
    if !writes.waits.is_empty() {
        let mut insert = conn.prepare_cached(
            "INSERT INTO waiting(source, seq, event_id, digest, raw_id, raw, type, contract_version, subject, time, \
             extensions, data, causes, hlc, since, on_source, on_seq, saw, request) \
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19) \
             ON CONFLICT(source, seq) DO UPDATE SET on_source = excluded.on_source, on_seq = excluded.on_seq \
             WHERE event_id = excluded.event_id",
        )?;
        let mut remove = conn.prepare_cached("DELETE FROM waiting WHERE source = ?1 AND seq = ?2")?;
        for event in &writes.waits {
            // Another event waited under this mark, and does not any more.
            if insert_waiting(&mut insert, event)? == 0 {
                remove.execute(params![event.sent.source.as_str(), int(event.causes.seq)])?;
                insert_waiting(&mut insert, event)?;
            }
        }
    }
    for (source, Passed { upto, holes }) in &writes.passed {
        let mut put = conn.prepare_cached(
            "INSERT INTO passed(source, upto, holes) VALUES(?1, ?2, ?3) \
             ON CONFLICT(source) DO UPDATE SET upto = excluded.upto, holes = excluded.holes",
        )?;
        let holes = (!holes.is_empty()).then(|| serde_json::to_string(holes)).transpose()?;
        put.execute(params![source.as_str(), int(*upto), holes])?;
    }
    for Skip { source, first, last, decision, at } in &writes.skips {
        let mut insert = conn.prepare_cached(
            "INSERT INTO skips(source, first, last, author, note, at) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let Decision { author, note } = decision;
        insert.execute(params![source.as_str(), int(*first), int(*last), author, note, at.as_micros()])?;
    }
    Ok(())
}

/// How many rows that wrote.
fn insert_waiting(insert: &mut CachedStatement<'_>, event: &Waiting) -> Fallible<usize> {
    let Waiting { sent, draft, causes, hlc, since, on, saw } = event;
    let data = serde_json::to_vec(&draft.data)?;
    insert.raw_bind_parameter(1, sent.source.as_str())?;
    insert.raw_bind_parameter(2, int(causes.seq))?;
    insert.raw_bind_parameter(3, sent.id.0)?;
    insert.raw_bind_parameter(4, sent.digest.0)?;
    insert.raw_bind_parameter(5, sent.raw_id.as_str())?;
    insert.raw_bind_parameter(6, sent.raw.as_slice())?;
    insert.raw_bind_parameter(7, draft.event_type.as_str())?;
    insert.raw_bind_parameter(8, draft.contract_version)?;
    insert.raw_bind_parameter(9, draft.subject.as_str())?;
    insert.raw_bind_parameter(10, draft.time.map(|time| time.as_micros()))?;
    insert.raw_bind_parameter(11, (!draft.extensions.is_empty()).then(|| draft.extensions.to_string()))?;
    insert.raw_bind_parameter(12, utf8(&data))?;
    insert.raw_bind_parameter(13, serde_json::to_string(causes)?)?;
    insert.raw_bind_parameter(14, hlc_int(*hlc))?;
    insert.raw_bind_parameter(15, since.as_micros())?;
    insert.raw_bind_parameter(16, on.source.as_str())?;
    insert.raw_bind_parameter(17, int(on.seq))?;
    let (upto, request) = saw_ints(*saw);
    insert.raw_bind_parameter(18, upto)?;
    insert.raw_bind_parameter(19, request)?;
    Ok(insert.raw_execute()?)
}
