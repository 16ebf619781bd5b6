//! Records of resolved conflicts, as the outside is told them.
//!
//! How they are decided is [`evenkeel_core::merge`]'s.
use super::causal::{DotReport, SawReport};
use evenkeel_core::{
    json::Value,
    merge::{Contender, Counted, Mark},
};
use serde::Serialize;

/// One of the two writes of a conflict.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ContenderReport {
    /// The mark of its event.
    pub dot: DotReport,
    /// What it writes; null where it deletes the row.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub value: Value,
    /// Where it stands in the order: its stamp, raised above those of the writes it replaced.
    pub hlc: String,
    /// Where its event is in the log.
    pub position: u64,
    /// `set` or `delete`.
    pub kind: &'static str,
    /// What its writer knew, by a vector clock, as everybody would write it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vclock: Option<String>,
    /// What its writer had seen, by a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saw: Option<SawReport>,
    /// Of a version what it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Of a version which one it names as its base.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub based_on: Option<String>,
}

/// A resolved conflict.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConflictReport {
    /// Its name: a hash of model, key, column and both dots.
    pub id: String,
    /// The model.
    pub model: String,
    /// The version of the model that decided.
    pub model_version: u32,
    /// The row.
    pub key: String,
    /// The column.
    pub column: String,
    /// The write that stands.
    pub winner: ContenderReport,
    /// The write that does not.
    pub loser: ContenderReport,
    /// How the column merges.
    pub strategy: &'static str,
    /// How the winner stands to the loser: `concurrent`; `after` where it knew the loser, which came late.
    pub relation: &'static str,
    /// What decided: `hlc`, `replica`, `kind`, `bytes`, `cause`, `add_wins`, `same`.
    pub rule: &'static str,
    /// When the log recorded the later of the two.
    pub recorded_time: String,
    /// Whether deciding again from this record gives the same winner by the same rule; left out where nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed: Option<bool>,
}

/// Resolved conflicts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConflictsReport {
    /// Those of the latest writes first.
    pub conflicts: Vec<ConflictReport>,
    /// What to ask with for those before; null where there are none.
    pub next: Option<String>,
}

impl From<&Mark> for DotReport {
    fn from(mark: &Mark) -> Self {
        let (source, replica) = match &mark.by {
            Counted::Source(name) => (Some(name.to_string()), None),
            Counted::Replica(name) => (None, Some(name.to_string())),
        };
        Self { source, replica, seq: mark.seq }
    }
}

impl From<&Contender> for ContenderReport {
    fn from(write: &Contender) -> Self {
        let Contender { mark, kind, value, version } = write;
        Self {
            dot: mark.into(),
            value: value.clone(),
            hlc: mark.hlc.to_string(),
            position: mark.position.0,
            kind: kind.as_str(),
            vclock: mark.vclock(),
            saw: mark.saw.map(|saw| SawReport { position: saw.upto.0, request: saw.request.to_string() }),
            version: version.map(|version| version.id.to_string()),
            based_on: version.and_then(|version| version.based_on).map(|base| base.to_string()),
        }
    }
}
