//! The pure core of Evenkeel: what an event is, how it is identified, taken in, folded into rows, and how far a
//! read model is from the log.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time and inputs are passed in, decisions come
//! back as values. That is what lets the whole engine run in virtual time.
//!
//! For what happens at the same time in several places there are [`clock`] (hybrid logical and vector clocks),
//! [`order`] (the total order of writes), [`causal`] (the buffer that delivers in causal order) and [`crdt`]; their bytes
//! are canonical ([`codec`]). [`intake`] stamps events and delivers them in causal order; [`fold`] has columns merge what did
//! not know each other ([`merge`]).
//!
//! An event's way through this crate: [`json`] (exact bytes) → [`event`] → [`intake`] → [`fold`] → [`row`], watched
//! by [`drift`] and described to readers by [`freshness`]. What readers were told in the end, [`history`] checks.
pub mod accounting;
pub mod causal;
pub mod checkpoint;
pub mod clock;
pub mod codec;
pub mod condition;
pub mod consumer;
pub mod content;
pub mod crdt;
pub mod decimal;
pub mod demand;
pub mod digest;
pub mod drift;
pub mod event;
pub mod flights;
pub mod fold;
pub mod freshness;
pub mod history;
pub mod ids;
pub mod intake;
pub mod json;
pub mod merge;
pub mod order;
pub mod pace;
pub mod quarantine;
pub mod query;
pub mod reconciliation;
pub mod retry;
pub mod row;
pub mod schema;
pub mod snapshot;
pub mod time;
pub mod token;
pub mod waiting;
pub mod words;

pub use event::{Draft, Event};
pub use ids::{
    Digest, Epoch, EventId, EventType, Incarnation, ModelName, Position, ReplicaName, SourceName, StreamVersion,
    Subject,
};
pub use smol_str::SmolStr;
pub use time::Timestamp;
