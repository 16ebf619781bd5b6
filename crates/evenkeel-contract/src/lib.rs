//! Contract and model declarations of Evenkeel, compiled, and the gate's decision about an event.
//!
//! Not here: reading the disk (the runtime's `project`), and what the log says to an event ([`evenkeel_core::intake`]).
mod check;
pub mod contract;
mod declare;
pub mod diagnostic;
pub mod envelope;
pub mod examples;
mod expression;
mod fingerprint;
pub mod gate;
pub mod impact;
pub mod infer;
pub mod lineage;
mod locate;
pub mod mapping;
mod place;
pub mod project;
mod raw_schema;
mod reader;
pub mod settings;
pub mod source;
