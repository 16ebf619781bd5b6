//! The log folded anew, in memory, and compared with the rows that are there.
//!
//! Memory is proportional to the rows kept: for large models the caller makes several passes, each over a share of
//! the keys. Which rows are looked at, and why one is wrong, is not here ([`crate::content`]).
use super::{Fold, GivenUp, HELD, Park, ParkState, Touch, TouchId};
use crate::{
    event::Event,
    merge::Conflict,
    row::{Key, Row},
};
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

/// A fold of the log from its first event.
pub struct FreshFold<'f> {
    fold: &'f dyn Fold,
    given_up: Cow<'f, GivenUp>,
    keep: Box<dyn Fn(&Key) -> bool + 'f>,
    rows: HashMap<Key, Row>,
    parks: HashMap<TouchId, Park>,
    parked_keys: HashSet<Key>,
    touches: Vec<Touch>,
    /// What was decided between writes that did not know each other, where that is wanted.
    conflicts: Option<Vec<Conflict>>,
}

/// A row that is not what the log says.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The row.
    pub key: Key,
    /// What the log says; `None` for no row.
    pub expected: Option<Row>,
    /// What is there; `None` for no row.
    pub actual: Option<Row>,
}

impl<'f> FreshFold<'f> {
    /// A fold over no events yet, of the rows whose keys `keep` wants. What was given up is passed over.
    pub fn new(fold: &'f dyn Fold, given_up: &'f GivenUp, keep: impl Fn(&Key) -> bool + 'f) -> Self {
        Self {
            fold,
            given_up: Cow::Borrowed(given_up),
            keep: Box::new(keep),
            rows: HashMap::new(),
            parks: HashMap::new(),
            parked_keys: HashSet::new(),
            touches: Vec::new(),
            conflicts: None,
        }
    }

    /// Also keeps what is decided between writes that did not know each other.
    #[must_use]
    pub fn recording(mut self) -> Self {
        self.conflicts = Some(Vec::new());
        self
    }

    /// Passes over this too, of events that are fed from now on: so that not all that was ever given up has to be known at once.
    pub fn pass_over(&mut self, given_up: GivenUp) {
        if given_up != GivenUp::default() {
            self.given_up.to_mut().extend(given_up);
        }
    }

    /// Takes what was decided by the events so far, in the log's order.
    pub fn take_conflicts(&mut self) -> Vec<Conflict> {
        let mut decided = self.conflicts.as_mut().map(std::mem::take).unwrap_or_default();
        decided.retain(|conflict| !conflict.is_agreement());
        decided
    }

    /// Folds further events, in log order.
    pub fn feed(&mut self, events: &[Event]) {
        for event in events {
            let mut touches = std::mem::take(&mut self.touches);
            self.fold.touches(event, &mut touches);
            for touch in touches.drain(..) {
                let id = TouchId::of(event, &touch);
                if !self.given_up.has(id, event.id) {
                    self.touch(event, &touch, id);
                }
            }
            self.touches = touches;
        }
    }

    fn touch(&mut self, event: &Event, touch: &Touch, id: TouchId) {
        let key = match &touch.key {
            Ok(key) => key,
            Err(error) => return self.park(event, id, None, ParkState::Poison, error.to_string()),
        };
        if !(self.keep)(key) {
            return;
        }
        if self.parked_keys.contains(key) {
            return self.park(event, id, Some(key), ParkState::Held, HELD.into());
        }
        // On an error the row stays as it was, whatever the fold did to its copy.
        let mut slot = self.rows.get(key).cloned();
        let mut unwanted = Vec::new();
        let conflicts = self.conflicts.as_mut().unwrap_or(&mut unwanted);
        let decided = conflicts.len();
        let applied = self.fold.apply_recording(&mut slot, event, touch, key, conflicts);
        if applied.is_err() {
            conflicts.truncate(decided);
        }
        match (applied, slot) {
            (Ok(()), Some(row)) => {
                self.rows.insert(key.clone(), row);
            }
            (Ok(()), None) => {
                self.rows.remove(key);
            }
            (Err(error), _) => {
                self.park(event, id, Some(key), ParkState::Poison, error.to_string());
                self.parked_keys.insert(key.clone());
            }
        }
    }

    fn park(&mut self, event: &Event, touch: TouchId, key: Option<&Key>, state: ParkState, error: String) {
        let (key, event_id, at) = (key.cloned(), event.id, event.recorded_at);
        let park = Park { touch, key, event_id, state, error, at, decision: None };
        self.parks.insert(touch, park);
    }

    /// The row of `key` as the events fed so far make it.
    pub fn row(&self, key: &Key) -> Option<&Row> {
        self.rows.get(key)
    }

    /// Takes the row of `key` out.
    pub fn take(&mut self, key: &Key) -> Option<Row> {
        self.rows.remove(key)
    }

    /// Whether an event of `key` could not be applied.
    pub fn is_parked(&self, key: &Key) -> bool {
        self.parked_keys.contains(key)
    }

    /// Starts from a row that was folded before, instead of from nothing.
    pub fn seed(&mut self, key: Key, row: Row) {
        self.rows.insert(key, row);
    }

    /// The touches that could not be applied, or were held behind such. They are dated by their events.
    pub fn parks(&self) -> &HashMap<TouchId, Park> {
        &self.parks
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Compares a row that is there. Rows kept that are never compared are [`FreshFold::missing`].
    pub fn compare(&mut self, key: Key, actual: Row) -> Option<Difference> {
        if !(self.keep)(&key) {
            return None;
        }
        match self.rows.remove(&key) {
            Some(expected) if expected == actual => None,
            expected => Some(Difference { key, expected, actual: Some(actual) }),
        }
    }

    /// The rows that should be there and were not compared, in order of their keys.
    pub fn missing(self) -> Vec<Difference> {
        let lost = |(key, row)| Difference { key, expected: Some(row), actual: None };
        let mut missing: Vec<_> = self.rows.into_iter().map(lost).collect();
        missing.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        missing
    }
}
