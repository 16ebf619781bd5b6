//! Marks of events, what waits for what, and how far sources are, as the outside is told them.
//!
//! What follows from them is [`evenkeel_core::intake`]'s.
use super::WaitingFor;
use serde::Serialize;

/// The mark of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DotReport {
    /// The source that counts it; left out where the log does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The node whose log counts it; left out where its source does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
    /// Its number there, from 1.
    pub seq: u64,
}

/// What the writer of an event had seen of the log: everything up to a position, and the earlier events of the same request,
/// which are those with lesser stamps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SawReport {
    /// The last position that its token spoke of.
    pub position: u64,
    /// The stamp of the request, `milliseconds.counter`: all its events have it, and no others.
    pub request: String,
}

/// An event that waits for what it depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitingReport {
    /// Its source.
    pub source: String,
    /// Its number among the source's events.
    pub seq: u64,
    /// What its source calls it.
    pub id: String,
    /// Its identity.
    pub event_id: String,
    /// Our type.
    pub r#type: String,
    /// Its subject.
    pub subject: String,
    /// When it came.
    pub since: String,
    /// When it goes into quarantine, unless what it lacks comes before.
    pub until: String,
    /// Of each source of which it lacks events the last that it needs.
    pub waiting_for: Vec<WaitingFor>,
}

/// How far a source is that counts its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PassedReport {
    /// The source.
    pub source: String,
    /// All its events up to this number are in the log, in quarantine, or were declared not to come.
    pub passed: u64,
    /// The same of later ones: first and last numbers.
    pub holes: Vec<(u64, u64)>,
}

/// Events that somebody declared not to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SkipReport {
    /// Their source.
    pub source: String,
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// Who declared it.
    pub author: String,
    /// Why.
    pub note: String,
    /// When.
    pub at: String,
}

/// What waits, for what, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CausalReport {
    /// The events that wait, the oldest first.
    pub waiting: Vec<WaitingReport>,
    /// Whether more wait than are listed.
    pub more: bool,
    /// The sources that count their events.
    pub sources: Vec<PassedReport>,
    /// What was declared not to come, in the order in which it was.
    pub skips: Vec<SkipReport>,
}

/// What came of declaring that events will not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SkippedReport {
    /// The source.
    pub source: String,
    /// The first of the numbers.
    pub seq: u64,
    /// The last of them.
    pub through: u64,
    /// Whether there was anything to declare: false where all of them were passed before.
    pub declared: bool,
    /// How many events are in the log since, that had waited.
    pub released: u64,
}
