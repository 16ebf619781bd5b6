//! Consumers of the user's own: projectors written elsewhere, in any language, that report how far they have come and
//! are measured like ours.
//!
//! Their rows are not known here: only lag is measured, never content.
use crate::{
    checkpoint::{Checkpoint, Counts},
    drift::Worker,
    ids::{Epoch, EventId, EventType, Position},
    time::Timestamp,
};
use std::collections::BTreeSet;

/// A consumer as it was registered.
#[derive(Debug, Clone, PartialEq)]
pub struct Consumer {
    /// Its name.
    pub name: String,
    /// The types of events it follows; all where empty.
    pub subscribes: BTreeSet<EventType>,
    /// Its target for the lag in events; the default where `None`.
    pub max_lag_events: Option<u64>,
    /// Its target for the lag in seconds; the default where `None`.
    pub max_lag_seconds: Option<f64>,
    /// When it was registered first.
    pub registered_at: Timestamp,
}

/// What a consumer has reported last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reported {
    /// Every event up to here is applied, by its own word.
    pub position: Position,
    /// The life of the log it was reported in.
    pub epoch: Epoch,
    /// When it last wrote, by its own word.
    pub last_write: Option<Timestamp>,
    /// When it reported.
    pub at: Timestamp,
}

/// The checkpoint that follows from a report. `applied` events of its types there are up to that position, the last of
/// them `last_event`. One that never reported has applied nothing.
pub fn checkpoint(reported: Option<&Reported>, applied: u64, last_event: Option<EventId>) -> Checkpoint {
    let Some(reported) = reported else { return Checkpoint::default() };
    Checkpoint {
        position: reported.position,
        epoch: Some(reported.epoch),
        last_event,
        last_write: reported.last_write,
        counts: Counts { applied, ..Counts::default() },
    }
}

/// What moves a consumer, as far as its reports tell: one that never reported is lost, however little there is to do.
///
/// ```
/// use evenkeel_core::{consumer::worker, drift::Worker};
/// assert!(matches!(worker(None), Worker::Lost(_)));
/// ```
pub fn worker(reported: Option<&Reported>) -> Worker {
    match reported {
        Some(_) => Worker::Running,
        None => Worker::Lost("it was registered and has never reported".into()),
    }
}
