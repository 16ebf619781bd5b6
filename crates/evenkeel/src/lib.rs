//! The embeddable runtime of Evenkeel: it drives the pure stages of `evenkeel-core` over a store.
//!
//! [`Engine`] is the whole: it takes events in ([`ingest`]), projects them ([`projector`]), watches how far each model
//! is from the log ([`monitor`]), brings models back ([`rebuild`], [`verify`]) and reads them with an honest label
//! ([`reader`]). Each stage is an ordinary function of stores, time and inputs, so it also runs without threads: that is
//! how [`simulate`] tests it in virtual time. Not here: SQL (stores), HTTP and the command line (the server).
//!
//! An event's way: [`ingest`] → log → [`projector`] → models → [`reader`]; what cannot go on waits in [`quarantine`], and
//! what depends on what has not come yet is looked after by [`causal`].
mod clock;
mod content;
mod engine;
mod error;
mod guarded;
mod heal;
mod health;
mod identities;
mod inspect;
mod lease;
mod operate;
mod publish;
mod raws;
mod reconciler;
mod refold;
mod repair;
mod rollback;
mod scrub;
mod signal;
mod slot;
mod snapshot;
mod snapshotting;
mod tail;
mod tokens;
mod trust;
mod unasked;
mod worker;

pub mod causal;
pub mod conflicts;
pub mod consumer;
pub mod impact;
pub mod ingest;
pub mod lineage;
pub mod monitor;
pub mod project;
pub mod projector;
pub mod quarantine;
pub mod reader;
pub mod rebuild;
pub mod report;
pub mod simulate;
pub mod stale;
pub mod verify;

pub use clock::{Clock, SystemClock};
pub use engine::{Engine, Options, Parts};
pub use error::{EngineError, PublishError, ReadError};
pub use inspect::Which;
pub use publish::PublishOptions;
pub use slot::Model;

pub use evenkeel_contract as contract;
pub use evenkeel_core as core;
pub use evenkeel_store as store;
