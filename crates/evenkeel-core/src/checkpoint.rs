//! How far a model has been projected: the position, in which life of the log, and what was counted on the way.
//!
//! Not here: how far that is from the log ([`crate::drift`]).
use crate::{
    ids::{Epoch, EventId, EventType, Position},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// What a model has applied, always written in one transaction with the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Every event up to here was applied, ignored or parked.
    pub position: Position,
    /// The life of the log this position belongs to; `None` before the first event.
    pub epoch: Option<Epoch>,
    /// The last event of a subscribed type.
    pub last_event: Option<EventId>,
    /// When rows were last written.
    pub last_write: Option<Timestamp>,
    /// What became of the events of subscribed types up to here.
    pub counts: Counts,
}

/// Events of subscribed types, by what became of them. Their sum is what the log holds of those types.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Folded into rows.
    pub applied: u64,
    /// Of no concern to any row.
    pub ignored: u64,
    /// Parked for at least one row when they were reached.
    pub parked: u64,
}

impl Counts {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.applied + self.ignored + self.parked
    }

    /// The sums.
    #[must_use]
    pub fn plus(&self, other: Self) -> Self {
        Self {
            applied: self.applied + other.applied,
            ignored: self.ignored + other.ignored,
            parked: self.parked + other.parked,
        }
    }
}

/// The log's committed tip, from the log itself: below it nothing can still appear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafeHead {
    /// The highest position below which nothing can still appear.
    pub position: Position,
    /// This life of the log.
    pub epoch: Epoch,
    /// The source's clock when this was read.
    pub at: Timestamp,
    /// How many events of each type there are up to `position`.
    pub counts: Arc<BTreeMap<EventType, u64>>,
    /// The last event's identity.
    pub last_event: Option<EventId>,
}

impl SafeHead {
    /// Whether everything that `checkpoint` speaks of is in this log, as far as position and epoch tell. A log that
    /// lost its end and grew again past the checkpoint cannot be told from one that never did.
    pub fn holds(&self, checkpoint: &Checkpoint) -> bool {
        checkpoint.epoch.is_none_or(|epoch| epoch == self.epoch) && checkpoint.position <= self.position
    }

    /// How many events of these types there are.
    pub fn count<'t>(&self, types: impl IntoIterator<Item = &'t EventType>) -> u64 {
        types.into_iter().filter_map(|event_type| self.counts.get(event_type)).sum()
    }
}
