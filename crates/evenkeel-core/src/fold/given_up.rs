//! Which applications of events persons gave up: no fold of the log counts them again.
//!
//! Each is known with the event it is of. A log that lost its end and grew again has another event at the same position,
//! and nobody gave that one up. Not here: who decided and why, which is kept with the [`super::Park`].
use super::{Park, ParkState, TouchId};
use crate::ids::EventId;
use std::collections::HashSet;

/// The applications that were given up.
///
/// ```
/// use evenkeel_core::{EventId, Position, fold::{GivenUp, TouchId}};
/// let touch = TouchId { position: Position(7), clause: 0, element: 0 };
/// let given_up = GivenUp::from_iter([(touch, EventId::of("shop", "a"))]);
/// assert!(given_up.has(touch, EventId::of("shop", "a")));
/// assert!(!given_up.has(touch, EventId::of("shop", "b")));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenUp(HashSet<(TouchId, EventId)>);

impl GivenUp {
    /// Those among these parks.
    pub fn among<'p>(parks: impl IntoIterator<Item = &'p Park>) -> Self {
        let discarded = parks.into_iter().filter(|park| park.state == ParkState::Discarded);
        discarded.map(|park| (park.touch, park.event_id)).collect()
    }

    /// Whether this application of this event was given up.
    pub fn has(&self, touch: TouchId, event: EventId) -> bool {
        !self.0.is_empty() && self.0.contains(&(touch, event))
    }
}

impl Extend<(TouchId, EventId)> for GivenUp {
    fn extend<I: IntoIterator<Item = (TouchId, EventId)>>(&mut self, given_up: I) {
        self.0.extend(given_up);
    }
}

impl IntoIterator for GivenUp {
    type Item = (TouchId, EventId);
    type IntoIter = std::collections::hash_set::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<(TouchId, EventId)> for GivenUp {
    fn from_iter<I: IntoIterator<Item = (TouchId, EventId)>>(given_up: I) -> Self {
        Self(given_up.into_iter().collect())
    }
}
