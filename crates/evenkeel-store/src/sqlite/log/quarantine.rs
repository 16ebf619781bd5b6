//! Reading the quarantine. An entry is unresolved while its state is `quarantined` or `held`; the indexes over those
//! are partial, so what was resolved costs nothing.
//!
//! Writing it is in [`super::write`].
use crate::{
    EntryFilter, QuarantineCount,
    sqlite::{
        fault::{Fallible, Fault},
        fields::{Fields, int, size},
    },
};
use evenkeel_core::{
    Digest, EventId, EventType, Position,
    intake::SourceDot,
    json::Patch,
    quarantine::{ContractRef, Decision, Edit, Entry, EntryVersion, ParkKey, QuarantineId, Refusal},
};
use rusqlite::{Connection, Params, params};
use std::collections::BTreeSet;

const SELECT: &str = "SELECT id, event_id, digest, source, raw_id, raw, state, reason, detail, pointer, contract, \
                      contract_version, subject, park_key, received_at, changed_at, position, decided_by, \
                      decision_note, version, hlc, recall_source, recall_seq, saw, request FROM quarantine";

/// The text by which a key is found: JSON, the same for equal keys.
pub(super) fn key_text(key: &ParkKey) -> Fallible<String> {
    Ok(serde_json::to_string(key)?)
}

fn select(conn: &Connection, sql: &str, parameters: impl Params) -> Fallible<Vec<Entry>> {
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query(parameters)?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let mut entry = decode(Fields(row))?;
        // What never changed was never edited, and that is most of what waits.
        if entry.version > EntryVersion::FIRST {
            entry.edits = edits(conn, entry.id)?;
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn edits(conn: &Connection, id: QuarantineId) -> Fallible<Vec<Edit>> {
    let mut select =
        conn.prepare_cached("SELECT patch, author, note, at FROM edits WHERE entry = ?1 ORDER BY number")?;
    let mut rows = select.query([int(id.0)])?;
    let mut edits = Vec::new();
    while let Some(row) = rows.next()? {
        let fields = Fields(row);
        let patch: Result<Patch, _> = fields.text(0)?.parse();
        let patch = patch.map_err(|error| Fault::Bad(format!("an edit of {id}: {error}")))?;
        let decision = Decision { author: fields.text(1)?.to_owned(), note: fields.text(2)?.to_owned() };
        edits.push(Edit { patch, decision, at: fields.micros(3)? });
    }
    Ok(edits)
}

fn decode(fields: Fields<'_, '_>) -> Fallible<Entry> {
    let contract = match (fields.opt_text(10)?, fields.opt_number(11)?) {
        (Some(name), Some(_)) => Some(ContractRef { name: name.into(), version: fields.number32(11)? }),
        _ => None,
    };
    let refusal = Refusal {
        reason: fields.parsed(7)?,
        detail: fields.text(8)?.to_owned(),
        pointer: fields.opt_text(9)?.map(str::to_owned),
        contract,
        subject: fields.opt_text(12)?.map(Into::into),
        parks: fields.opt_text(13)?.map(serde_json::from_str).transpose()?,
    };
    let decision = match (fields.opt_text(17)?, fields.opt_text(18)?) {
        (Some(author), note) => Some(Decision { author: author.to_owned(), note: note.unwrap_or_default().to_owned() }),
        (None, _) => None,
    };
    let recall = match (fields.opt_text(21)?, fields.opt_number(22)?) {
        (Some(source), Some(seq)) => Some(SourceDot::new(source, seq)),
        _ => None,
    };
    let received_at = fields.micros(14)?;
    Ok(Entry {
        id: QuarantineId(fields.number(0)?),
        event_id: EventId(fields.bytes32(1)?),
        digest: Digest(fields.bytes32(2)?),
        source: fields.text(3)?.into(),
        raw_id: fields.text(4)?.to_owned(),
        raw: fields.bytes(5)?.to_owned(),
        refusal,
        state: fields.parsed(6)?,
        version: EntryVersion(fields.number(19)?),
        edits: Vec::new(),
        received_at,
        changed_at: fields.micros(15)?,
        position: fields.opt_number(16)?.map(Position),
        decision,
        hlc: super::causal::hlc_or(fields, 20, received_at)?,
        recall,
        saw: super::causal::saw(fields, 23)?,
    })
}

/// The entry with this number.
pub(super) fn entry(conn: &Connection, id: QuarantineId) -> Fallible<Option<Entry>> {
    Ok(select(conn, &format!("{SELECT} WHERE id = ?1"), [int(id.0)])?.pop())
}

/// Entries in order of arrival.
pub(super) fn entries(conn: &Connection, filter: &EntryFilter) -> Fallible<Vec<Entry>> {
    let EntryFilter { reason, source, state, event_type, contract_version, since, until, after, limit } = filter;
    let limit = if *limit == 0 { i64::MAX } else { size(*limit) };
    let sql = format!(
        "{SELECT} WHERE id > ?1 AND (?2 IS NULL OR reason = ?2) AND (?3 IS NULL OR source = ?3) \
         AND (?4 IS NULL OR state = ?4) AND (?5 IS NULL OR contract = ?5) AND (?6 IS NULL OR contract_version = ?6) \
         AND (?7 IS NULL OR received_at >= ?7) AND (?8 IS NULL OR received_at < ?8) ORDER BY id LIMIT ?9"
    );
    let parameters = params![
        after.map_or(0, |id| int(id.0)),
        reason.map(|reason| reason.as_str()),
        source.as_ref().map(|source| source.as_str()),
        state.map(|state| state.as_str()),
        event_type.as_ref().map(|event_type| event_type.as_str()),
        contract_version,
        since.map(|at| at.as_micros()),
        until.map(|at| at.as_micros()),
        limit,
    ];
    select(conn, &sql, parameters)
}

/// The entries of one identity, in order of arrival.
pub(super) fn of_identity(conn: &Connection, id: EventId) -> Fallible<Vec<Entry>> {
    select(conn, &format!("{SELECT} WHERE event_id = ?1 ORDER BY id"), [id.0])
}

/// The unresolved entries of one key, in order of arrival.
pub(super) fn line(conn: &Connection, key: &ParkKey, limit: usize) -> Fallible<Vec<Entry>> {
    let sql = format!("{SELECT} WHERE park_key = ?1 AND state IN ('quarantined', 'held') ORDER BY id LIMIT ?2");
    select(conn, &sql, (key_text(key)?, size(limit)))
}

/// Keys whose first unresolved entry is held, in order.
pub(super) fn interrupted(conn: &Connection) -> Fallible<Vec<ParkKey>> {
    // Beside `min(id)` SQLite shows the other columns of the row that has the least.
    let mut select = conn.prepare_cached(
        "SELECT park_key FROM (SELECT park_key, min(id), state FROM quarantine WHERE park_key IS NOT NULL \
         AND state IN ('quarantined', 'held') GROUP BY park_key) WHERE state = 'held'",
    )?;
    let mut rows = select.query([])?;
    let mut keys: Vec<ParkKey> = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(serde_json::from_str(Fields(row).text(0)?)?);
    }
    keys.sort_unstable();
    Ok(keys)
}

/// Unresolved entries by contract.
pub(super) fn counts(conn: &Connection) -> Fallible<Vec<QuarantineCount>> {
    let mut select = conn.prepare_cached(
        "SELECT contract, count(*) FROM quarantine WHERE state IN ('quarantined', 'held') GROUP BY contract \
         ORDER BY contract",
    )?;
    let mut rows = select.query([])?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        let fields = Fields(row);
        let contract = fields.opt_text(0)?.map(Into::into);
        counts.push(QuarantineCount { contract, unresolved: fields.number(1)? });
    }
    Ok(counts)
}

/// How many unresolved entries have this subject under one of these contracts.
pub(super) fn of_subject(conn: &Connection, subject: &str, contracts: &BTreeSet<EventType>) -> Fallible<u64> {
    let mut select = conn.prepare_cached(
        "SELECT count(*) FROM quarantine WHERE contract = ?1 AND subject = ?2 AND state IN ('quarantined', 'held')",
    )?;
    let mut sum = 0;
    for contract in contracts {
        let mut rows = select.query((contract.as_str(), subject))?;
        sum += rows.next()?.map_or(Ok(0), |row| Fields(row).number(0))?;
    }
    Ok(sum)
}
