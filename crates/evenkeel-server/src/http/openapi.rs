//! The OpenAPI document, made from the routes that are served: what every operation has in common is added here.
//!
//! What is particular to one stands with its handler.
use super::problem::{MEDIA_TYPE, ProblemDocument};
use utoipa::{
    OpenApi, ToSchema,
    openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder},
};

/// What is said of the interface as a whole.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Evenkeel",
        description = "Keeps derived data true: events in through contracts, rows out with an honest statement of how fresh they are.\n\nEvery error is an RFC 9457 problem document. Parameters and members that are not understood are refused.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(ProblemDocument)),
    tags(
        (name = "events", description = "Events in, and the log of those admitted"),
        (name = "reads", description = "Models and their rows"),
        (name = "drift", description = "How far models are from the log, and bringing them back"),
        (name = "quarantine", description = "What could not be admitted or applied"),
        (name = "operation", description = "Health, metrics and documentation"),
    ),
)]
pub(crate) struct Api;

/// Where several path parts are one parameter: how it is served, and how OpenAPI can say it.
const SEVERAL: (&str, &str) = ("{*key}", "{key}");

/// Completes the document that the routes gave.
pub(crate) fn complete(mut api: Document) -> Document {
    let problem = ResponseBuilder::new()
        .description("What is wrong and what to do about it")
        .content(MEDIA_TYPE, ContentBuilder::new().schema(Some(RefOr::Ref(Ref::from_schema_name("Problem")))).build())
        .build();
    let paths = std::mem::take(&mut api.paths.paths);
    for (path, mut item) in paths {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            operation.responses.responses.insert("default".into(), RefOr::T(problem.clone()));
        }
        api.paths.paths.insert(path.replace(SEVERAL.0, SEVERAL.1), item);
    }
    api
}

/// The record of a reconciliation, as OpenAPI describes it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described; what is sent is the core's own record")]
pub(crate) struct ReconciliationRecord {
    /// Its number.
    id: u64,
    /// The model.
    model: String,
    /// The log's last event when it started.
    event_id: Option<String>,
    /// Who sent that event.
    source: Option<String>,
    /// What was measured before anything was done.
    drift_metrics: DriftMetricsRecord,
    /// `replay`, `repair` or `rebuild`.
    reconciliation_method: String,
    /// `converged`, `nothing_to_do` or `failed`.
    result: String,
    /// Why it failed, where it did.
    error: Option<String>,
    /// Rows that were wrong and were written anew.
    rows_repaired: u64,
    /// Events that were applied.
    events_replayed: u64,
    /// Events that could not be applied.
    unreplayed: Vec<UnreplayedRecord>,
    /// Whether the rows were compared with the log afterwards and agreed.
    verified: bool,
    /// When it started.
    started_at: String,
    /// How long it took.
    duration_ms: u64,
    /// The position that a rebuild began from: of a snapshot, or 0 for the log's start; null where nothing was rebuilt.
    rebuilt_from: Option<u64>,
}

/// The distance a reconciliation started from.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct DriftMetricsRecord {
    /// The log's last event.
    source_event_id: Option<String>,
    /// The last event the model had reached.
    read_model_last_id: Option<String>,
    /// Events behind.
    lag_count: Option<u64>,
    /// Seconds behind.
    lag_seconds: Option<f64>,
    /// Share of events behind.
    drift_score: Option<f64>,
    /// `in_sync`, `recovering` or `rebuild_needed`.
    reconciliation_status: String,
    /// What was known of the rows: `verified`, `unverified`, `suspect` or `drifted`.
    content_verdict: String,
    /// Buckets whose rows did not add up when they were last summed up.
    bad_buckets: u32,
}

/// An event that a reconciliation could not apply.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct UnreplayedRecord {
    /// Its position.
    position: u64,
    /// Its identity.
    event_id: String,
    /// Why.
    error: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel::core::{
        EventId, Position, Timestamp,
        drift::{Content, Lag, ReconciliationStatus},
        reconciliation::{DriftMetrics, Method, Reconciliation, ReconciliationResult, Unreplayed},
    };
    use serde_json::Value;
    use utoipa::PartialSchema;

    fn names(value: &Value) -> Vec<&str> {
        let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_described_record_is_the_one_that_is_sent() {
        let id = EventId([7; 32]);
        let record = Reconciliation {
            id: 1,
            model: "orders".into(),
            event_id: Some(id),
            source: Some("shop".into()),
            drift_metrics: DriftMetrics::new(
                None,
                None,
                &Lag::default(),
                ReconciliationStatus::ALL[0],
                &Content::default(),
            ),
            reconciliation_method: Method::Replay,
            result: ReconciliationResult::Converged,
            error: None,
            rows_repaired: 0,
            events_replayed: 0,
            unreplayed: vec![Unreplayed { position: Position(1), event_id: id, error: "x".into() }],
            verified: true,
            started_at: Timestamp::from_micros(0),
            duration_ms: 1,
            rebuilt_from: None,
        };
        let sent = serde_json::to_value(&record).unwrap();
        let described =
            |schema: RefOr<utoipa::openapi::Schema>| serde_json::to_value(schema).unwrap()["properties"].clone();
        assert_eq!(names(&sent), names(&described(ReconciliationRecord::schema())));
        assert_eq!(names(&sent["drift_metrics"]), names(&described(DriftMetricsRecord::schema())));
        assert_eq!(names(&sent["unreplayed"][0]), names(&described(UnreplayedRecord::schema())));
    }
}
