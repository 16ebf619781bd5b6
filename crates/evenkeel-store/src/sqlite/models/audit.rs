//! The records of reconciliations. Numbers stand in columns of their own: a fraction comes back as it was, and plain
//! SQL can ask about them.
//!
//! Making them is the runtime's (`reconciler`); who may, is in [`super::lease`].
use crate::sqlite::{
    fault::Fallible,
    fields::{Fields, int, size, words},
};
use evenkeel_core::{
    ModelName,
    reconciliation::{DriftMetrics, Evidence, Reconciliation},
};
use rusqlite::{Connection, params};

/// Keeps a record with the wrong rows it found, and returns its number.
pub(super) fn record(conn: &Connection, record: &Reconciliation, evidence: &[Evidence]) -> Fallible<u64> {
    let metrics = &record.drift_metrics;
    let mut insert = conn.prepare_cached(
        "INSERT INTO _ek_reconciliations(model, event_id, source, source_event_id, read_model_last_id, lag_count, \
         lag_seconds, drift_score, reconciliation_status, reconciliation_method, result, error, rows_repaired, \
         events_replayed, unreplayed, verified, started_at, duration_ms) \
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
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
    ])?;
    let mut keep = conn.prepare_cached(
        "INSERT INTO _ek_evidence(reconciliation, number, key, cause, expected, actual) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (number, Evidence { key, cause, expected, actual }) in evidence.iter().enumerate() {
        keep.execute(params![id, size(number), key, cause.as_str(), expected, actual])?;
    }
    Ok(id.unsigned_abs())
}

/// The wrong rows that a reconciliation found.
pub(super) fn evidence(conn: &Connection, reconciliation: u64, limit: usize) -> Fallible<Vec<Evidence>> {
    let mut select = conn.prepare_cached(
        "SELECT key, cause, expected, actual FROM _ek_evidence WHERE reconciliation = ?1 ORDER BY number LIMIT ?2",
    )?;
    let mut rows = select.query((int(reconciliation), size(limit)))?;
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
    let mut select = conn.prepare_cached(&format!(
        "SELECT id, model, event_id, source, source_event_id, read_model_last_id, lag_count, lag_seconds, drift_score, \
         reconciliation_status, reconciliation_method, result, error, rows_repaired, events_replayed, unreplayed, \
         verified, started_at, duration_ms FROM _ek_reconciliations {only} ORDER BY id DESC LIMIT ?2"
    ))?;
    let mut rows = select.query((model.map(|model| model.as_str()), size(limit)))?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(decode(Fields(row))?);
    }
    Ok(records)
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
    })
}
