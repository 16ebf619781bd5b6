//! Where an event came from, as the outside is told.
//!
//! Finding it out is [`crate::lineage`]'s.
use super::EditReport;
use evenkeel_core::json::Value;
use serde::Serialize;

/// Where each field of an event of the log came from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LineageReport {
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
    /// When the log recorded it.
    pub recorded_time: String,
    /// Whether all of this is so: the contracts make of what was sent the very event that is in the log.
    pub exact: bool,
    /// Why it is not, or why nothing can be told.
    pub reason: Option<String>,
    /// The contracts by which it is told, in the order in which it went through them.
    pub contracts: Vec<ContractVersion>,
    /// Its subject and fields, in order of their places.
    pub fields: Vec<FieldOrigin>,
    /// Places of the event as it was sent that nothing was made from.
    pub dropped: Vec<String>,
    /// The entry of the quarantine that it was in, where it was in one.
    pub quarantine_id: Option<String>,
    /// What persons changed about it there, in this order.
    pub edits: Vec<EditReport>,
    /// It as it was sent, before any edit; null where that is not kept.
    pub raw: Option<String>,
}

/// A version of a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ContractVersion {
    /// The contract.
    pub contract: String,
    /// Its version.
    pub version: u32,
}

/// Where a field came from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldOrigin {
    /// The place in the event: `/subject`, or in `/data`.
    pub field: String,
    /// What stands there in the log; null is either null or nothing.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub value: Option<Value>,
    /// The places in the event as it was sent, with its edits; none for a constant, and for a default.
    pub from: Vec<String>,
    /// What was done to the value: its type and what the contract declares.
    pub conversion: String,
    /// The edit that brought in what it was made from: its number in `edits`, from 1; null where that is as it was sent.
    pub edit: Option<usize>,
    /// Whether the contracts make this of it that is in the log.
    pub exact: bool,
}
