//! What a decision about many entries of the quarantine came to, as the outside is told.
//!
//! Deciding is [`crate::quarantine::bulk`]'s.
use crate::quarantine::bulk::{Done, Outcome};
use evenkeel_core::intake::Redriven;
use serde::Serialize;

/// What became of the entries that a filter named.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BulkReport {
    /// Whether nothing was done, and this is what would be.
    pub dry_run: bool,
    /// Each entry, in order of arrival.
    pub entries: Vec<BulkEntry>,
    /// What `after` must be to go on; null at the end.
    pub next: Option<String>,
}

/// What became of one of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BulkEntry {
    /// The entry.
    pub id: String,
    /// `admitted`, `refused` (it waits still), `discarded`, or `changed` where somebody else was faster. In a dry run
    /// `would_admit`, `would_refuse` or `would_discard`.
    pub outcome: &'static str,
    /// Its position in the log, where it is there now.
    pub position: Option<u64>,
    /// Why it was refused, or would be.
    pub reason: Option<&'static str>,
    /// Why it would be refused, in words; of an event that a model parked also why it was.
    pub detail: Option<String>,
    /// How many events that waited behind it went on.
    pub released: u64,
}

impl From<Done> for BulkEntry {
    fn from(Done { id, outcome, released }: Done) -> Self {
        let (word, position, reason, detail) = match outcome {
            Outcome::Decided(Redriven::Admitted(position)) => ("admitted", Some(position.0), None, None),
            Outcome::Decided(Redriven::Refused(reason)) => ("refused", None, Some(reason.as_str()), None),
            Outcome::Decided(Redriven::Discarded) => ("discarded", None, None, None),
            Outcome::Decided(Redriven::Changed(_) | Redriven::NotPossible(_) | Redriven::Unknown) => {
                ("changed", None, None, None)
            }
            Outcome::WouldAdmit => ("would_admit", None, None, None),
            Outcome::WouldRefuse(reason, detail) => ("would_refuse", None, Some(reason.as_str()), Some(detail)),
            Outcome::WouldDiscard => ("would_discard", None, None, None),
        };
        Self { id: id.to_string(), outcome: word, position, reason, detail, released }
    }
}
