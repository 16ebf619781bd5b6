//! Storage of Evenkeel: what a log and a home of read models must guarantee, in domain types, and backends that do.
//!
//! [`Log`] and [`Models`] are the traits, and [`Snapshots`], which keeps copies of models. [`memory`] is the reference, [`sqlite`] the embedded store; whoever writes
//! a backend runs [`conformance`] over it. Only backends know SQL; nothing here decides what is stored: decisions are
//! `evenkeel-core`'s, called inside a backend's transaction.
mod error;
mod log;
mod models;
mod snapshots;
mod sql;

pub mod conformance;
pub mod faulty;
pub mod memory;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use error::{Result, StoreError};
pub use log::{Decide, DecideAsking, EntryFilter, Log, QuarantineCount, Slice};
pub use models::{
    Books, Build, ConflictQuery, KEPT_CONFLICTS, KEPT_RECORDS, Loaded, Measured, ModelState, Models, ParkFilter,
    Parked, ParkedRow, Piece, RecordedConflict, Removal, RowAt, Rows, Scrubbed, Selected, Selection, Settled, Step,
    StoredRow, Table, Upsert,
};
pub use snapshots::{Draft, Frames, Kept, Snapshots};
pub use sql::{Admit, Answered, SqlError, Statement};
