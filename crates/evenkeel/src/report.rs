//! What the outside is told, in the shapes of the HTTP interface: plain data, ready to be written as JSON.
//!
//! No arithmetic here: it is `evenkeel-core`'s, done by the stage that fills a report in.
mod accounting;
mod bulk;
mod causal;
mod conflicts;
mod impact;
mod lineage;
mod query;

pub use accounting::{AccountReport, AccountingReport, CountedReport, SourceAccount};
pub use bulk::{BulkEntry, BulkReport};
pub use causal::{CausalReport, DotReport, PassedReport, SawReport, SkipReport, SkippedReport, WaitingReport};
pub use conflicts::{ConflictReport, ConflictsReport, ContenderReport};
pub use impact::{AdmittedCase, AdmittedImpact, ImpactReport, ValueChange, WaitingCase, WaitingImpact};
pub use lineage::{ContractVersion, FieldOrigin, LineageReport};
pub use query::{QueryAnswer, ReadModel};

use evenkeel_core::{
    intake::SourceDot,
    json::{Object, Patch},
    reconciliation::Reconciliation,
};
use serde::Serialize;

/// What became of one published event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// The CloudEvents source.
    pub source: String,
    /// The CloudEvents id.
    pub id: String,
    /// `admitted`, `duplicate`, `waiting` or `quarantined`.
    pub outcome: &'static str,
    /// Its identity, as 64 hexadecimal digits.
    pub event_id: String,
    /// Its position in the log, if it is there.
    pub position: Option<u64>,
    /// Its place in the stream of its subject, if it is in the log.
    pub stream_version: Option<u64>,
    /// Why it is in quarantine, if it is.
    pub reason: Option<&'static str>,
    /// Its entry in the quarantine, if it is there.
    pub quarantine_id: Option<String>,
    /// Of each source of which it lacks events the last that it needs, where it waits for them; else empty.
    pub waiting_for: Vec<WaitingFor>,
    /// Whether a token of this request would cover it: false for what is not in the log.
    pub token_covers: bool,
}

/// An event that another one waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitingFor {
    /// The source.
    pub source: String,
    /// The counter.
    pub seq: u64,
}

impl From<&SourceDot> for WaitingFor {
    fn from(dot: &SourceDot) -> Self {
        Self { source: dot.source.to_string(), seq: dot.seq }
    }
}

/// What is known of a model's content.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ContentReport {
    /// `verified`, `unverified`, `suspect` or `drifted`.
    pub verdict: &'static str,
    /// The moment up to which everything about the rows is known to agree.
    pub verified_as_of: Option<String>,
    /// How many buckets the rows are summed up in.
    pub buckets: u16,
    /// Buckets in which the rows that are there are not those that were meant, when that was last looked at.
    pub bad_buckets: u32,
}

/// The honest label on a read.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Consistency {
    /// The level asked for.
    pub level_requested: &'static str,
    /// The level this answer has.
    pub level_served: &'static str,
    /// `fresh`, `slightly_stale`, `stale` or `very_stale`.
    pub freshness: &'static str,
    /// Whether anything committed is missing from the data, or may be.
    pub data_stale: bool,
    /// The age of the oldest event missing from the data; null where not known.
    pub staleness_seconds: Option<f64>,
    /// `use_data`, `retry_with_backoff` or `failover_to_strong`.
    pub suggested_action: &'static str,
    /// The model's drift status.
    pub status: &'static str,
    /// Why, where that is not `in_sync`.
    pub reason: Option<String>,
    /// Events behind; null where not known.
    pub lag_count: Option<u64>,
    /// Seconds behind; null where not known.
    pub lag_seconds: Option<f64>,
    /// Now minus the latest moment at which everything committed was known to be in the data.
    pub staleness_bound_seconds: Option<f64>,
    /// That moment.
    pub as_of: Option<String>,
    /// When the model's rows were last written.
    pub read_model_last_write: Option<String>,
    /// The position up to which the log is in the data.
    pub position: u64,
    /// The log's safe head; null where not known.
    pub head: Option<u64>,
    /// How often the read was tried.
    pub attempts: u32,
    /// How long it waited.
    pub waited_ms: u64,
    /// How long it could have waited.
    pub budget_ms: u64,
    /// Seconds until the lag is gone; null where it does not shrink.
    pub eta_seconds: Option<f64>,
    /// What is known of the rows.
    pub content: ContentReport,
    /// Events of what was read that the model has parked: of the whole model where it is not known of one of them which
    /// row it is of.
    pub parked_events: u64,
    /// Events about what was read that wait in the gate's quarantine; null where it is not known which rows they are
    /// about.
    pub quarantined_events: Option<u64>,
    /// The reader's token with what this answer shows; null where the log cannot be read or the model is not of it.
    pub token: Option<String>,
}

/// One row, labelled. `data` is null where there is no such row.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RowAnswer {
    /// The row's columns by name.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub data: Option<Object>,
    /// How fresh it is.
    pub consistency: Consistency,
}

/// Rows in order of their keys, labelled.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RowsAnswer {
    /// The rows' columns by name, each with `_parked`: whether events of its key are parked.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub rows: Vec<Object>,
    /// The cursor of the next page; null at the end.
    pub next: Option<String>,
    /// How many rows meet the conditions, on this page and others; only where they were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// How fresh they are.
    pub consistency: Consistency,
}

/// The drift of one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DriftReport {
    /// The model.
    pub model: String,
    /// `in_sync`, `catching_up`, `recovering`, `stalled` or `rebuild_needed`.
    pub status: &'static str,
    /// Why, where that is not `in_sync`.
    pub reason: Option<String>,
    /// The specification's `in_sync`, `recovering` or `rebuild_needed`.
    pub reconciliation_status: &'static str,
    /// The log's last event.
    pub source_event_id: Option<String>,
    /// The last event the model has reached.
    pub read_model_last_id: Option<String>,
    /// The position up to which the model has come.
    pub position: u64,
    /// The log's safe head; null where not known.
    pub head: Option<u64>,
    /// Events behind; null where not known.
    pub lag_count: Option<u64>,
    /// `lag_count` over all events of subscribed types.
    pub drift_score: Option<f64>,
    /// The age of the oldest event not yet reached.
    pub lag_seconds: Option<f64>,
    /// Now minus the latest moment at which everything committed was known to be applied.
    pub staleness_bound_seconds: Option<f64>,
    /// Seconds until the lag is gone; null where it does not shrink.
    pub eta_seconds: Option<f64>,
    /// Events the model has parked.
    pub parked_events: u64,
    /// How long the oldest of them has been parked.
    pub oldest_parked_seconds: f64,
    /// Events of subscribed types that arrive, per second.
    pub arrival_rate: Option<f64>,
    /// Events of subscribed types that are applied, per second.
    pub apply_rate: Option<f64>,
    /// What became of the events reached so far: folded, of no concern to a row, parked.
    pub counts: CountsReport,
    /// What is known of the rows.
    pub content: ContentReport,
    /// The longest it takes until a row that somebody else changed is found, in seconds, even where nothing noted it;
    /// null without a scrub.
    pub detection_bound_seconds: Option<f64>,
    /// The rebuild at work; null where there is none.
    pub rebuild: Option<RebuildReport>,
    /// Events for the model that wait in the gate's quarantine; null where not known.
    pub quarantined_events: Option<u64>,
    /// When this was measured.
    pub measured_at: String,
}

/// A snapshot of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SnapshotReport {
    /// The model.
    pub model: String,
    /// The position up to which the model had come.
    pub position: u64,
    /// When it was taken; null where that cannot be read.
    pub taken_at: Option<String>,
    /// The version of the model; null where that cannot be read.
    pub version: Option<u32>,
    /// How many rows it has; null where that cannot be read.
    pub rows: Option<u64>,
    /// How much room it takes.
    pub bytes: u64,
    /// Whether a rebuild of the model as it is declared would begin from it, as far as its header tells: the rest of it is
    /// looked at then.
    pub usable: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// Events of subscribed types, by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CountsReport {
    /// Folded into rows.
    pub applied: u64,
    /// Of no concern to any row.
    pub ignored: u64,
    /// Parked when they were reached.
    pub parked: u64,
}

/// The outcome of a verification.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerifyReport {
    /// The model.
    pub model: String,
    /// What is known of the rows now.
    pub verdict: &'static str,
    /// Rows the model should have.
    pub rows: u64,
    /// Rows that were compared.
    pub rows_checked: u64,
    /// Rows that are wrong.
    pub wrong_rows: u64,
    /// Whether it is at least so many: more are suspected than one look takes in.
    pub wrong_rows_at_least: bool,
    /// Buckets whose rows do not add up to what was meant; 0 where rows were not summed up.
    pub bad_buckets: u64,
    /// The first of the wrong rows.
    pub wrong: Vec<WrongRow>,
    /// The position up to which the log was folded.
    pub position: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// When the rows were last compared with the log.
    pub verified_as_of: Option<String>,
}

/// A consumer of the user's own, measured like a model. Its rows are not known here.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsumerReport {
    /// Its name.
    pub consumer: String,
    /// The types of events it follows; none for all of them.
    pub subscribes: Vec<String>,
    /// `in_sync`, `catching_up`, `stalled` or `rebuild_needed`.
    pub status: &'static str,
    /// Why, where it is not in sync.
    pub reason: Option<String>,
    /// The status in the specification's words.
    pub reconciliation_status: &'static str,
    /// The log's last event.
    pub source_event_id: Option<String>,
    /// The event at the position it reported.
    pub read_model_last_id: Option<String>,
    /// The position it reported last; null before it has.
    pub position: Option<u64>,
    /// The log's safe head.
    pub head: Option<u64>,
    /// Events it follows and has not reached.
    pub lag_count: Option<u64>,
    /// Those over all it follows.
    pub drift_score: Option<f64>,
    /// The age of the oldest of them.
    pub lag_seconds: Option<f64>,
    /// Its state is at most so old.
    pub staleness_bound_seconds: Option<f64>,
    /// Seconds until it has caught up.
    pub eta_seconds: Option<f64>,
    /// Events a second that arrive for it.
    pub arrival_rate: Option<f64>,
    /// Events a second that it applies.
    pub apply_rate: Option<f64>,
    /// When it last wrote, by its own word.
    pub last_write: Option<String>,
    /// When it reported last.
    pub reported_at: Option<String>,
    /// When it was registered.
    pub registered_at: String,
    /// When this was measured.
    pub measured_at: String,
}

/// How far a rebuild at work has come.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RebuildReport {
    /// Events folded so far.
    pub events: u64,
    /// Events there were to fold when it began.
    pub events_total: u64,
    /// Seconds since it began.
    pub seconds: f64,
    /// Seconds until the events are folded, at the rate so far; verifying and swapping come after. Null at the start.
    pub eta_seconds: Option<f64>,
}

/// A row that is not what the log says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WrongRow {
    /// Its key.
    pub key: String,
    /// Why: `foreign_edit`, `lost_row`, `extra_row`, `missed_event`, `double_apply` or `projector_defect`.
    pub cause: &'static str,
    /// What the log says; null for no row.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub expected: Option<Object>,
    /// What is there; null for no row.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub actual: Option<Object>,
}

/// An event that waits, at the gate or at a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuarantineReport {
    /// `q-…` for an entry of the gate, `p-…` for an event parked by a model.
    pub id: String,
    /// Why it waits.
    pub reason: &'static str,
    /// Why, in words.
    pub detail: String,
    /// JSON pointer into the raw event, where one place is to blame.
    pub pointer: Option<String>,
    /// `quarantined`, `held`, `admitted` or `discarded`.
    pub state: &'static str,
    /// The CloudEvents source.
    pub source: String,
    /// The CloudEvents id.
    pub raw_id: String,
    /// Its identity.
    pub event_id: String,
    /// The contract that applied, if one did.
    pub contract: Option<String>,
    /// That contract's version.
    pub contract_version: Option<u32>,
    /// Its subject, if it could be read.
    pub subject: Option<String>,
    /// The model that parked it, for `projection_error`.
    pub model: Option<String>,
    /// The key of the row it is parked for.
    pub key: Option<String>,
    /// Its position in the log, if it is there.
    pub position: Option<u64>,
    /// When it was received, or parked.
    pub received_at: String,
    /// When its state last changed.
    pub changed_at: String,
    /// How often it has changed, from 1: what `If-Match` names. Null for an event parked by a model.
    pub version: Option<u64>,
    /// How many events wait behind it.
    pub held_behind: u64,
    /// Who decided about it last.
    pub author: Option<String>,
    /// Why.
    pub note: Option<String>,
    /// What persons changed about the event, in this order.
    pub edits: Vec<EditReport>,
    /// The raw event as it arrived, for a single entry: text, with bytes that are not UTF-8 replaced.
    pub raw: Option<String>,
    /// The raw event as it is edited, for a single entry that was.
    pub edited: Option<String>,
}

/// One change of an event in quarantine.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EditReport {
    /// What was changed: a JSON Patch (RFC 6902).
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub patch: Patch,
    /// Who changed it.
    pub author: String,
    /// Why.
    pub note: String,
    /// When.
    pub at: String,
}

/// What an edit that was kept came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EditedReport {
    /// The entry, which waits still.
    pub id: String,
    /// Its version now.
    pub version: u64,
    /// Whether the gate would admit the event as it is now.
    pub admissible: bool,
    /// Why not.
    pub reason: Option<&'static str>,
    /// Why not, in words.
    pub detail: Option<String>,
    /// JSON pointer into the edited event, where one place is to blame.
    pub pointer: Option<String>,
}

/// What a redrive or a discard came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DecisionReport {
    /// The entry.
    pub id: String,
    /// Its state now.
    pub state: &'static str,
    /// Why it still waits, if it does.
    pub reason: Option<&'static str>,
    /// Why, in words.
    pub detail: Option<String>,
    /// Its position in the log, if it is there now.
    pub position: Option<u64>,
    /// The entry's version now; null for an event parked by a model.
    pub version: Option<u64>,
    /// How many events that waited behind it went on.
    pub released: u64,
}

/// A model and how it is declared.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelReport {
    /// Its name.
    pub model: String,
    /// The declared version.
    pub version: u32,
    /// The version the rows were made by.
    pub served_version: u32,
    /// Names of the key columns.
    pub key: Vec<String>,
    /// Its columns.
    pub columns: Vec<ColumnReport>,
    /// The types of events it subscribes to.
    pub subscribes: Vec<String>,
    /// How many rows there are.
    pub rows: u64,
    /// Its drift status.
    pub status: &'static str,
}

/// A column of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ColumnReport {
    /// Its name.
    pub name: String,
    /// Its type.
    pub r#type: String,
    /// How concurrent writes merge.
    pub merge: &'static str,
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventReport {
    /// Its position.
    pub position: u64,
    /// Its identity.
    pub event_id: String,
    /// Our type.
    pub r#type: String,
    /// The version of the contract that admitted it.
    pub contract_version: u32,
    /// The CloudEvents source.
    pub source: String,
    /// The CloudEvents id.
    pub id: String,
    /// Its subject.
    pub subject: String,
    /// Its place in the stream of its subject.
    pub stream_version: u64,
    /// When it happened, by its source.
    pub time: Option<String>,
    /// When the log recorded it.
    pub recorded_time: String,
    /// Digest of its canonical bytes.
    pub digest: String,
    /// Its mark: who counts it, and its number there. No other event has it.
    pub dot: DotReport,
    /// Its stamp, `milliseconds.counter`: above those of all that it knew.
    pub hlc: String,
    /// What it knew, itself included: `actor=counter` pairs; null for what the log counts, which knew all before it unless
    /// `saw` says otherwise.
    pub vclock: Option<String>,
    /// `log`, `causal`, or `exception` where its place was given up before it came.
    pub delivery: &'static str,
    /// What its writer had seen of the log, where it was sent with a token; null where it was not.
    pub saw: Option<SawReport>,
    /// Extension attributes.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub extensions: Object,
    /// The translated data.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub data: evenkeel_core::json::Value,
}

/// Whether the engine works.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HealthReport {
    /// Whether events are taken and every model can be read.
    pub ready: bool,
    /// What is wrong, one line each.
    pub problems: Vec<String>,
    /// What somebody should look at, one line each, though events are taken and reads are answered.
    pub warnings: Vec<String>,
    /// The log's safe head; null where it cannot be read.
    pub head: Option<u64>,
    /// Seconds since the monitor last looked.
    pub monitor_silent_seconds: f64,
}

/// A field of a log line that is always there: what is not known is `none`.
pub(crate) fn known(value: Option<&impl std::fmt::Display>) -> String {
    value.map_or_else(|| "none".to_owned(), ToString::to_string)
}

/// Writes the specification's fields of a reconciliation to the log.
pub(crate) fn log_reconciliation(record: &Reconciliation) {
    tracing::info!(
        model = %record.model,
        event_id = known(record.event_id.as_ref()),
        source = known(record.source.as_ref()),
        drift_metrics = %serde_json::to_string(&record.drift_metrics).unwrap_or_default(),
        lag_count = record.drift_metrics.lag_count,
        lag_seconds = record.drift_metrics.lag_seconds,
        reconciliation_method = %record.reconciliation_method,
        result = %record.result,
        error = record.error.as_deref(),
        rows_repaired = record.rows_repaired,
        events_replayed = record.events_replayed,
        unreplayed = record.unreplayed.len(),
        verified = record.verified,
        duration_ms = record.duration_ms,
        "reconciliation"
    );
}
