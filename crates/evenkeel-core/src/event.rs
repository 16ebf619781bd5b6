//! An admitted event, before ([`Draft`]) and after ([`Event`]) the log gave it its place.
//!
//! What a source sent is not here: that is the gate's input (`evenkeel-contract`).
use crate::{
    clock::Hlc,
    ids::{Digest, EventId, EventType, Position, ReplicaName, SourceName, StreamVersion, Subject},
    json::{self, Object, Value},
    time::Timestamp,
    words::words,
};
use serde::{Deserialize, Serialize};

words! {
    /// What an event knew, and so who counts it.
    Delivery {
        /// It was sent without a vector clock, and is taken to know all that the log held. The log counts it.
        Log = "log",
        /// Its source counts it, and everything it knew is in the log before it.
        Causal = "causal",
        /// Its source counts it, and its place was given up before it came: events that knew it may stand before it.
        Exception = "exception",
    }
}

/// An event's place in cause and effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Causality {
    /// Its stamp: above those of everything it knew.
    pub hlc: Hlc,
    /// Its number among the events of whoever counts it: with that one's name its dot, which no other event has.
    pub seq: u64,
    /// Who counts it, and how it was delivered.
    pub delivery: Delivery,
    /// What its writer had seen of the log, where it was sent with a consistency token.
    pub saw: Option<Saw>,
}

impl Default for Causality {
    /// That of an event which the log is still to count.
    fn default() -> Self {
        Self { hlc: Hlc::ZERO, seq: 0, delivery: Delivery::Log, saw: None }
    }
}

/// What the writer of an event had seen of the log, by the consistency token it was sent with: all up to a position, and
/// the earlier events of the same request, which are those with lesser stamps. Its own stamp is above all of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Saw {
    /// The last position that the token speaks of.
    pub upto: Position,
    /// A stamp that all events of the request have in common, and no others.
    pub request: Hlc,
}

/// An event the gate has admitted: translated, valid in our domain, not yet in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Our type: the contract's name.
    pub event_type: EventType,
    /// The version of the contract that admitted it.
    pub contract_version: u32,
    /// What it is about.
    pub subject: Subject,
    /// When it happened, by its source.
    pub time: Option<Timestamp>,
    /// Extension attributes of the CloudEvent, by name.
    pub extensions: Object,
    /// The translated data.
    pub data: Value,
}

impl Draft {
    /// What [`Event::at`] will find at `pointer` once this event of `source`, called `raw_id` there, is in the log.
    pub fn at<'e>(&'e self, source: &'e SourceName, raw_id: &'e str, pointer: &json::Pointer) -> Option<Found<'e>> {
        let (first, rest) = pointer.tokens().split_first()?;
        if first == "data" {
            return json::follow(rest, &self.data).map(Found::Value);
        }
        if !rest.is_empty() {
            return None;
        }
        Some(match first.as_str() {
            "subject" => Found::Text(self.subject.as_str().into()),
            "type" => Found::Text(self.event_type.as_str().into()),
            "source" => Found::Text(source.as_str().into()),
            "id" => Found::Text(raw_id.into()),
            "time" => Found::Text(self.time?.to_string().into()),
            name => Found::Value(self.extensions.get(name)?),
        })
    }
}

/// An event as the log holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its place in the log.
    pub position: Position,
    /// Its identity.
    pub id: EventId,
    /// Who sent it.
    pub source: SourceName,
    /// What its source calls it.
    pub raw_id: String,
    /// Its place in the stream of its subject.
    pub stream_version: StreamVersion,
    /// When the log recorded it.
    pub recorded_at: Timestamp,
    /// Digest of the canonical bytes it was sent as.
    pub digest: Digest,
    /// The replica that admitted it.
    pub replica: ReplicaName,
    /// Its place in cause and effect.
    pub causality: Causality,
    /// What the gate made of it.
    pub draft: Draft,
}

impl Event {
    /// The value at `pointer` in the event's outside form: `/data/…`, `/subject`, `/type`, `/id`, `/source`, `/time`
    /// and the names of extension attributes. `None` where there is nothing.
    pub fn at<'e>(&'e self, pointer: &json::Pointer) -> Option<Found<'e>> {
        self.draft.at(&self.source, &self.raw_id, pointer)
    }
}

/// What a pointer finds in an event: a JSON value, or an attribute of the envelope.
#[derive(Debug, Clone, PartialEq)]
pub enum Found<'e> {
    /// A value of the data or an extension.
    Value(&'e Value),
    /// An attribute, as text.
    Text(std::borrow::Cow<'e, str>),
    /// A count or a position.
    Int(i64),
}

impl Found<'_> {
    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Value(value) => value.as_str(),
            Self::Text(text) => Some(text),
            Self::Int(_) => None,
        }
    }

    /// This as a JSON value.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Value(value) => (*value).clone(),
            Self::Text(text) => text.as_ref().into(),
            Self::Int(int) => (*int).into(),
        }
    }
}
