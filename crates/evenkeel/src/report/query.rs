//! What a statement in SQL gives, as it is told outside.
//!
//! Carrying one out is [`crate::Engine::query`]'s.
use super::Consistency;
use evenkeel_core::json::Object;
use serde::Serialize;

/// The rows of a statement, labelled with the worst of the models it reads.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueryAnswer {
    /// The names of its columns, in order.
    pub columns: Vec<String>,
    /// Its rows in order, each by the names of the columns.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub rows: Vec<Object>,
    /// Whether there are more than were asked for or may be given.
    pub more: bool,
    /// The models that were read.
    pub models: Vec<ReadModel>,
    /// How fresh the rows are.
    pub consistency: Consistency,
}

/// A model that a statement has read.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReadModel {
    /// Its name.
    pub model: String,
    /// `fresh`, `slightly_stale`, `stale` or `very_stale`.
    pub freshness: &'static str,
    /// Its drift status.
    pub status: &'static str,
    /// Events behind; null where not known.
    pub lag_count: Option<u64>,
    /// The position up to which the log is in its rows.
    pub position: u64,
}
