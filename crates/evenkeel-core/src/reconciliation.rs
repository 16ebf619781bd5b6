//! The record of a reconciliation: what was measured, what was done, what came of it.
//!
//! Its fields are those that the specification wants logged. Doing it is the runtime's.
use crate::{
    content::Cause,
    drift::{Content, Lag, ReconciliationStatus, Verdict},
    ids::{EventId, ModelName, Position, SourceName},
    time::Timestamp,
    words::words,
};
use serde::{Deserialize, Serialize};

words! {
    /// How a model is brought back to the log.
    Method {
        /// Apply the events it missed.
        Replay = "replay",
        /// Fold the wrong rows anew.
        Repair = "repair",
        /// Fold everything anew, beside the live table.
        Rebuild = "rebuild",
    }
}

words! {
    /// What came of a reconciliation.
    ReconciliationResult {
        /// The model holds what the log had when it began.
        Converged = "converged",
        /// There was nothing to do.
        NothingToDo = "nothing_to_do",
        /// It ended without reaching that, or what came of it is not recorded.
        Failed = "failed",
    }
}

/// The distance a reconciliation started from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftMetrics {
    /// The log's last event.
    pub source_event_id: Option<EventId>,
    /// The last event the model had reached.
    pub read_model_last_id: Option<EventId>,
    /// Events behind.
    pub lag_count: Option<u64>,
    /// Seconds behind.
    pub lag_seconds: Option<f64>,
    /// Share of events behind.
    pub drift_score: Option<f64>,
    /// The specification's status.
    pub reconciliation_status: ReconciliationStatus,
    /// What was known of the rows.
    pub content_verdict: Verdict,
    /// Buckets whose rows did not add up when they were last summed up.
    pub bad_buckets: u32,
}

impl DriftMetrics {
    /// From a measured lag, and what is known of the rows.
    pub fn new(
        source_event_id: Option<EventId>,
        read_model_last_id: Option<EventId>,
        lag: &Lag,
        reconciliation_status: ReconciliationStatus,
        content: &Content,
    ) -> Self {
        let Lag { lag_count, lag_seconds, drift_score } = *lag;
        let Content { verdict: content_verdict, bad_buckets, .. } = *content;
        Self {
            source_event_id,
            read_model_last_id,
            lag_count,
            lag_seconds,
            drift_score,
            reconciliation_status,
            content_verdict,
            bad_buckets,
        }
    }
}

/// An event that a reconciliation could not apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreplayed {
    /// Its position.
    pub position: Position,
    /// Its identity.
    pub event_id: EventId,
    /// Why.
    pub error: String,
}

/// A row that was wrong, kept as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The row, its parts as a person writes them.
    pub key: String,
    /// Why it was wrong.
    pub cause: Cause,
    /// What the log says, as JSON; `None` for no row.
    pub expected: Option<String>,
    /// What was there, as JSON; `None` for no row.
    pub actual: Option<String>,
}

/// One reconciliation of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// Its number; 0 until it is stored.
    pub id: u64,
    /// The model.
    pub model: ModelName,
    /// The log's last event when it started.
    pub event_id: Option<EventId>,
    /// Who sent that event.
    pub source: Option<SourceName>,
    /// What was measured before anything was done.
    pub drift_metrics: DriftMetrics,
    /// What was done.
    pub reconciliation_method: Method,
    /// What came of it.
    pub result: ReconciliationResult,
    /// Why it failed, where it did.
    pub error: Option<String>,
    /// Rows that were wrong and were written anew.
    pub rows_repaired: u64,
    /// Events that were applied, or folded for rows that were written anew.
    pub events_replayed: u64,
    /// Events that could not be applied.
    pub unreplayed: Vec<Unreplayed>,
    /// Whether the content was looked at afterwards and agreed: identities, sums as far as they were looked at, and the rows
    /// concerned against the log; of a rebuild, a sample of its rows.
    pub verified: bool,
    /// When it started.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration_ms: u64,
    /// The position that a rebuild began from: of the snapshot it took over, or 0 for the log's start; `None` where
    /// nothing was rebuilt.
    #[serde(default)]
    pub rebuilt_from: Option<Position>,
}
