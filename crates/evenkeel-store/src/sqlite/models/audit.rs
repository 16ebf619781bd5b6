//! The records of reconciliations. Numbers stand in columns of their own: a fraction comes back as it was, and plain
//! SQL can ask about them.
//!
//! Making them is the runtime's (`reconciler`); who may, is in [`super::lease`].
use crate::sqlite::{
    fault::Fallible,
    fields::{Fields, int, size, words},
};
use evenkeel_core::{
    ModelName, Position,
    reconciliation::{DriftMetrics, Evidence, Reconciliation},
};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeSet;

/// What [`decode`] reads.
const COLUMNS: &str = "id, model, event_id, source, source_event_id, read_model_last_id, lag_count, lag_seconds, \
                       drift_score, reconciliation_status, reconciliation_method, result, error, rows_repaired, \
                       events_replayed, unreplayed, verified, started_at, duration_ms, rebuilt_from, content_verdict, \
                       bad_buckets";

/// Keeps a record with the wrong rows it found, and returns its number. At most `kept` of its model remain.
pub(super) fn record(conn: &Connection, record: &Reconciliation, evidence: &[Evidence], kept: u64) -> Fallible<u64> {
    let known = same_as_before(conn, record, evidence)?;
    let metrics = &record.drift_metrics;
    let mut insert = conn.prepare_cached(
        "INSERT INTO _ek_reconciliations(model, event_id, source, source_event_id, read_model_last_id, lag_count, \
         lag_seconds, drift_score, reconciliation_status, reconciliation_method, result, error, rows_repaired, \
         events_replayed, unreplayed, verified, started_at, duration_ms, evidence, rebuilt_from, \
         content_verdict, bad_buckets) \
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, \
         ?21, ?22)",
    )?;
    let id = insert.insert(params![
        record.model.as_str(),
        words(record.event_id),
        words(record.source.as_ref()),
        words(metrics.source_event_id),
        words(metrics.read_model_last_id),
        metrics.lag_count.map(int),
        metrics.lag_seconds,
        metrics.drift_score,
        metrics.reconciliation_status.as_str(),
        record.reconciliation_method.as_str(),
        record.result.as_str(),
        record.error,
        int(record.rows_repaired),
        int(record.events_replayed),
        serde_json::to_string(&record.unreplayed)?,
        record.verified,
        record.started_at.to_string(),
        int(record.duration_ms),
        known,
        record.rebuilt_from.map(|position| int(position.0)),
        metrics.content_verdict.as_str(),
        metrics.bad_buckets,
    ])?;
    if known.is_none() && !evidence.is_empty() {
        let mut keep = conn.prepare_cached(
            "INSERT INTO _ek_evidence(reconciliation, number, key, cause, expected, actual) \
             VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for (number, Evidence { key, cause, expected, actual }) in evidence.iter().enumerate() {
            keep.execute(params![id, size(number), key, cause.as_str(), expected, actual])?;
        }
        conn.prepare_cached("UPDATE _ek_reconciliations SET evidence = id WHERE id = ?1")?.execute([id])?;
    }
    prune(conn, &record.model, kept)?;
    Ok(id.unsigned_abs())
}

/// Writes what came of it into a record that is kept. Whether it is.
pub(super) fn amend(conn: &Connection, record: &Reconciliation) -> Fallible<bool> {
    let mut update = conn.prepare_cached(
        "UPDATE _ek_reconciliations SET reconciliation_method = ?3, result = ?4, error = ?5, rows_repaired = ?6, \
         events_replayed = ?7, unreplayed = ?8, verified = ?9, duration_ms = ?10, rebuilt_from = ?11 \
         WHERE id = ?1 AND model = ?2",
    )?;
    let changed = update.execute(params![
        int(record.id),
        record.model.as_str(),
        record.reconciliation_method.as_str(),
        record.result.as_str(),
        record.error,
        int(record.rows_repaired),
        int(record.events_replayed),
        serde_json::to_string(&record.unreplayed)?,
        record.verified,
        int(record.duration_ms),
        record.rebuilt_from.map(|position| int(position.0)),
    ])?;
    Ok(changed == 1)
}

/// Under which number these very rows are kept, where the model's last record with any found them: what fails again and
/// again for the same rows keeps them once.
fn same_as_before(conn: &Connection, record: &Reconciliation, rows: &[Evidence]) -> Fallible<Option<i64>> {
    if rows.is_empty() {
        return Ok(None);
    }
    let mut select = conn.prepare_cached(
        "SELECT evidence FROM _ek_reconciliations WHERE model = ?1 AND evidence IS NOT NULL ORDER BY id DESC LIMIT 1",
    )?;
    let before: Option<i64> = select.query_row([record.model.as_str()], |row| row.get(0)).optional()?;
    let Some(before) = before else { return Ok(None) };
    // One more than these tells whether there are more.
    Ok((kept_under(conn, before, size(rows.len() + 1))? == rows).then_some(before))
}

/// Drops the oldest records of a model over `kept`, and rows that no record has any more.
fn prune(conn: &Connection, model: &ModelName, kept: u64) -> Fallible<()> {
    let mut delete = conn.prepare_cached(
        "DELETE FROM _ek_reconciliations WHERE model = ?1 AND id <= \
         (SELECT id FROM _ek_reconciliations WHERE model = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2) RETURNING evidence",
    )?;
    let gone = delete.query_map((model.as_str(), int(kept.max(1))), |row| row.get(0))?;
    let gone = gone.collect::<Result<BTreeSet<Option<i64>>, _>>()?;
    let mut forget = conn.prepare_cached(
        "DELETE FROM _ek_evidence WHERE reconciliation = ?1 \
         AND NOT EXISTS (SELECT 1 FROM _ek_reconciliations WHERE evidence = ?1)",
    )?;
    for kept_under in gone.into_iter().flatten() {
        forget.execute([kept_under])?;
    }
    Ok(())
}

/// The wrong rows that a reconciliation found.
pub(super) fn evidence(conn: &Connection, reconciliation: u64, limit: usize) -> Fallible<Vec<Evidence>> {
    let mut select = conn.prepare_cached("SELECT evidence FROM _ek_reconciliations WHERE id = ?1")?;
    let id: Option<Option<i64>> = select.query_row([int(reconciliation)], |row| row.get(0)).optional()?;
    id.flatten().map_or(Ok(Vec::new()), |id| kept_under(conn, id, size(limit)))
}

fn kept_under(conn: &Connection, id: i64, limit: i64) -> Fallible<Vec<Evidence>> {
    let mut select = conn.prepare_cached(
        "SELECT key, cause, expected, actual FROM _ek_evidence WHERE reconciliation = ?1 ORDER BY number LIMIT ?2",
    )?;
    let mut rows = select.query((id, limit))?;
    let mut evidence = Vec::new();
    while let Some(row) = rows.next()? {
        let fields = Fields(row);
        evidence.push(Evidence {
            key: fields.text(0)?.to_owned(),
            cause: fields.parsed(1)?,
            expected: fields.opt_text(2)?.map(str::to_owned),
            actual: fields.opt_text(3)?.map(str::to_owned),
        });
    }
    Ok(evidence)
}

/// The latest records, newest first.
pub(super) fn latest(conn: &Connection, model: Option<&ModelName>, limit: usize) -> Fallible<Vec<Reconciliation>> {
    let only = if model.is_some() { "WHERE model = ?1" } else { "WHERE ?1 IS NULL" };
    let mut select =
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM _ek_reconciliations {only} ORDER BY id DESC LIMIT ?2"))?;
    let mut rows = select.query((model.map(|model| model.as_str()), size(limit)))?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(decode(Fields(row))?);
    }
    Ok(records)
}

/// The record of this number.
pub(super) fn find(conn: &Connection, id: u64) -> Fallible<Option<Reconciliation>> {
    let mut select = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM _ek_reconciliations WHERE id = ?1"))?;
    let mut rows = select.query([int(id)])?;
    rows.next()?.map(|row| decode(Fields(row))).transpose()
}

fn decode(fields: Fields<'_, '_>) -> Fallible<Reconciliation> {
    Ok(Reconciliation {
        id: fields.number(0)?,
        model: fields.text(1)?.into(),
        event_id: fields.opt_parsed(2)?,
        source: fields.opt_text(3)?.map(Into::into),
        drift_metrics: DriftMetrics {
            source_event_id: fields.opt_parsed(4)?,
            read_model_last_id: fields.opt_parsed(5)?,
            lag_count: fields.opt_number(6)?,
            lag_seconds: fields.opt_real(7)?,
            drift_score: fields.opt_real(8)?,
            reconciliation_status: fields.parsed(9)?,
            content_verdict: fields.parsed(20)?,
            bad_buckets: fields.number32(21)?,
        },
        reconciliation_method: fields.parsed(10)?,
        result: fields.parsed(11)?,
        error: fields.opt_text(12)?.map(str::to_owned),
        rows_repaired: fields.number(13)?,
        events_replayed: fields.number(14)?,
        unreplayed: serde_json::from_str(fields.text(15)?)?,
        verified: fields.int(16)? != 0,
        started_at: fields.parsed(17)?,
        duration_ms: fields.number(18)?,
        rebuilt_from: fields.opt_number(19)?.map(Position),
    })
}
