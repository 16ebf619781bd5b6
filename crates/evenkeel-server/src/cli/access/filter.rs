//! Which entries of the quarantine a command is about, as arguments, as a query, and as the engine takes them.
//!
//! What becomes of them is the other commands'.
use evenkeel::{
    core::{
        Timestamp,
        quarantine::{Reason, State},
    },
    store::EntryFilter,
};
use serde::Serialize;

/// What the entries of the quarantine that are wanted have in common.
#[derive(Debug, Clone, Default, clap::Args, Serialize)]
pub(crate) struct Filter {
    /// Only entries under the contract that produces this type of event
    #[arg(long, value_name = "TYPE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<String>,
    /// Only events that this model parked
    #[arg(long, value_name = "MODEL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    rest: Rest,
}

/// What can be asked for beside the type of their contract.
#[derive(Debug, Clone, Default, clap::Args, Serialize)]
pub(crate) struct Rest {
    /// Only entries with this reason
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    /// Only entries of this source
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Only entries under this version of their contract
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    contract_version: Option<u32>,
    /// Only entries received then or later (RFC 3339)
    #[arg(long, value_name = "INSTANT")]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    since: Option<Timestamp>,
    /// Only entries received before then (RFC 3339)
    #[arg(long, value_name = "INSTANT")]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    until: Option<Timestamp>,
}

fn as_text<S: serde::Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&at.unwrap_or_default())
}

impl Filter {
    /// Of these two parts.
    pub(crate) fn new(event_type: Option<String>, rest: Rest) -> Self {
        Self { r#type: event_type, model: None, rest }
    }

    /// Whether nothing is asked for.
    pub(crate) fn is_everything(&self) -> bool {
        self.query().is_empty()
    }

    /// The model, where it is about one.
    pub(super) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        query.extend(self.rest.reason.map(|reason| ("reason", reason.to_string())));
        query.extend(self.rest.source.clone().map(|source| ("source", source)));
        query.extend(self.model.clone().map(|model| ("model", model)));
        query.extend(self.r#type.clone().map(|event_type| ("type", event_type)));
        query.extend(self.rest.contract_version.map(|version| ("contract_version", version.to_string())));
        query.extend(self.rest.since.map(|at| ("since", at.to_string())));
        query.extend(self.rest.until.map(|at| ("until", at.to_string())));
        query
    }

    pub(super) fn entries(&self, limit: usize) -> EntryFilter {
        EntryFilter {
            reason: self.rest.reason,
            source: self.rest.source.as_deref().map(Into::into),
            event_type: self.r#type.as_deref().map(Into::into),
            contract_version: self.rest.contract_version,
            since: self.rest.since,
            until: self.rest.until,
            limit,
            ..EntryFilter::default()
        }
    }
}

/// Which entries of the quarantine are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entries {
    pub(crate) filter: Filter,
    pub(crate) state: Option<State>,
    pub(crate) limit: usize,
    /// After this one.
    pub(crate) after: Option<String>,
    /// With their events.
    pub(crate) whole: bool,
}
