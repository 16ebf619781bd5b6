//! What a changed contract would do, as the outside is told.
//!
//! Finding it out is [`crate::impact`]'s.
use evenkeel_core::json::Value;
use serde::Serialize;
use std::collections::BTreeMap;

/// What a changed contract would do to what was judged before.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImpactReport {
    /// The contract's name.
    pub contract: String,
    /// The versions of it that there would be.
    pub versions: Vec<u32>,
    /// Whether nothing would be refused that is in the log, as far as that could be judged.
    pub ok: bool,
    /// The log's end when this was begun; what came later was not looked at.
    pub head: u64,
    /// What is in the log.
    pub admitted: AdmittedImpact,
    /// What waits in quarantine.
    pub waiting: WaitingImpact,
}

/// What it would do to events that are in the log.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdmittedImpact {
    /// How many events of the contract there are.
    pub events: u64,
    /// How many of them are not kept any more, or never were, as they were sent: of these nothing is said.
    pub not_kept: u64,
    /// How many were judged anew. More than `events` without `not_kept` where it would take what another contract took.
    pub judged: u64,
    /// How many would be the same.
    pub same: u64,
    /// How many would be admitted as something else.
    pub otherwise: u64,
    /// How many would be refused.
    pub refused: u64,
    /// Those by reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// The first of those that would be refused.
    pub refusals: Vec<AdmittedCase>,
    /// The first of those that would be something else.
    pub changes: Vec<AdmittedCase>,
}

/// An event of the log that would be refused, or something else.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdmittedCase {
    /// Its position.
    pub position: u64,
    /// Its identity.
    pub event_id: String,
    /// The CloudEvents source.
    pub source: String,
    /// The CloudEvents id.
    pub id: String,
    /// The contract that admitted it.
    pub contract: String,
    /// The version of that.
    pub contract_version: u32,
    /// Its subject.
    pub subject: String,
    /// Why it would be refused.
    pub reason: Option<&'static str>,
    /// Why, in words.
    pub detail: Option<String>,
    /// JSON pointer into the raw event, where one place is to blame.
    pub pointer: Option<String>,
    /// Where it would be something else: the first places.
    pub differences: Vec<ValueChange>,
    /// How many such places there are.
    pub different_places: u64,
}

/// A place of an event at which something else would stand.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ValueChange {
    /// The place: `/type`, `/subject` or in `/data`.
    pub pointer: String,
    /// What is there in the log; null is either null or nothing.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub before: Option<Value>,
    /// What would be.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub after: Option<Value>,
}

/// What it would do to events that wait at the gate.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitingImpact {
    /// How many were judged anew.
    pub judged: u64,
    /// How many would be admitted, those that wait behind another one when that is.
    pub would_admit: u64,
    /// How many would be refused still.
    pub would_refuse: u64,
    /// Those by reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// The first of those that would be admitted.
    pub admissions: Vec<WaitingCase>,
    /// The first of those that would be refused.
    pub refusals: Vec<WaitingCase>,
}

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitingCase {
    /// The entry.
    pub id: String,
    /// The CloudEvents source.
    pub source: String,
    /// The CloudEvents id.
    pub raw_id: String,
    /// Why it waits.
    pub waits_for: &'static str,
    /// Its subject, where it would be admitted.
    pub subject: Option<String>,
    /// Why it would be refused.
    pub reason: Option<&'static str>,
    /// Why, in words.
    pub detail: Option<String>,
    /// JSON pointer into the raw event as it is edited, where one place is to blame.
    pub pointer: Option<String>,
}
