//! The runtime's threads and stages together, over stores in memory that fail where a test says so, and over the
//! embedded store where it matters. What a service does with them on the shop example is in `engine.rs`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod budgets;
mod consumers;
mod content;
mod defects;
mod edits;
mod evidence;
mod example;
mod fixture;
mod folds;
mod herd;
mod impact;
mod ingest;
mod lineage;
mod outages;
mod parked;
mod quarantine;
mod raws;
mod reading;
mod records;
mod rows;
mod snapshots;
mod stale;
mod stopping;
mod unnamed;
mod versions;
