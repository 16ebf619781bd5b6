//! A batch of events folded per key: many events of a row, one read and one write.
//!
//! The result does not depend on where one batch ends and the next begins. Invariants: events of a key apply in log
//! order; once one of them is parked every later one of that key is held behind it, and no other key waits.
use super::{Fold, FoldError, HELD, Park, ParkState, Touch, TouchId};
use crate::{
    checkpoint::Counts,
    content::{Window, identity},
    digest::Sum,
    event::Event,
    ids::{EventId, Position},
    row::{Key, Row},
    time::Timestamp,
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What was found not to apply while a batch was folded. Kept between the attempts at one batch.
pub type Poison = HashMap<TouchId, FoldError>;

/// What the store holds for the keys of a batch.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The rows there are.
    pub rows: HashMap<Key, Row>,
    /// Keys with a parked event.
    pub parked: HashSet<Key>,
}

/// A batch, folded: what to write in one transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Folded {
    /// Rows that are new or changed, in order of their keys.
    pub upserts: Vec<(Key, Row)>,
    /// Rows that are gone, in order of their keys.
    pub deletes: Vec<Key>,
    /// Events that are parked.
    pub parks: Vec<Park>,
    /// What became of the batch's events.
    pub counts: Counts,
    /// The last event of the batch.
    pub last_event: Option<EventId>,
    /// The identities of the batch's events, by window of positions.
    pub identities: BTreeMap<Window, Sum>,
}

/// The touches of a batch.
pub struct Plan<'e> {
    events: &'e [Event],
    touches: Vec<(usize, Touch)>,
}

impl<'e> Plan<'e> {
    /// Finds the rows that `events`, given in log order, touch. Touches in `discarded` were given up by a person.
    pub fn new(fold: &dyn Fold, events: &'e [Event], discarded: &HashSet<TouchId>) -> Self {
        let mut touches = Vec::with_capacity(events.len());
        let mut found = Vec::new();
        for (index, event) in events.iter().enumerate() {
            fold.touches(event, &mut found);
            let kept =
                found.drain(..).filter(|touch| discarded.is_empty() || !discarded.contains(&TouchId::of(event, touch)));
            touches.extend(kept.map(|touch| (index, touch)));
        }
        Self { events, touches }
    }

    /// The rows touched, each once, in order.
    pub fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<_> = self.touches.iter().filter_map(|(_, touch)| touch.key.as_ref().ok()).cloned().collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Which events touch which rows, in log order.
    pub fn touched(&self) -> impl Iterator<Item = (Position, &Key)> {
        let named = self.touches.iter().filter_map(|(index, touch)| Some((index, touch.key.as_ref().ok()?)));
        named.map(|(index, key)| (self.events[*index].position, key))
    }

    /// Folds the batch over what is stored for its keys.
    ///
    /// `None` where an event newly turned out not to apply: it is in `poison` now, the rows given are spoilt, and the
    /// caller loads them again and calls again. Each attempt finds at least one, at most one for a key.
    pub fn fold(&self, now: Timestamp, fold: &dyn Fold, loaded: Loaded, poison: &mut Poison) -> Option<Folded> {
        let Loaded { rows, mut parked } = loaded;
        let mut slots: HashMap<&Key, Slot> = HashMap::with_capacity(self.touches.len());
        let mut rows: HashMap<Key, Row> = rows;
        let mut fates = vec![Fate::Ignored; self.events.len()];
        let mut parks = Vec::new();
        let known = poison.len();
        for (index, touch) in &self.touches {
            let event = &self.events[*index];
            let id = TouchId::of(event, touch);
            let mut park = |key: Option<&Key>, state, error: String| {
                fates[*index] = Fate::Parked;
                parks.push(Park { touch: id, key: key.cloned(), event_id: event.id, state, error, at: now });
            };
            let key = match &touch.key {
                Ok(key) => key,
                Err(error) => {
                    park(None, ParkState::Poison, error.to_string());
                    continue;
                }
            };
            if parked.contains(key) {
                park(Some(key), ParkState::Held, HELD.into());
                continue;
            }
            if let Some(error) = poison.get(&id) {
                parked.insert(key.clone());
                park(Some(key), ParkState::Poison, error.to_string());
                continue;
            }
            let slot = slots.entry(key).or_insert_with(|| {
                let row = rows.remove(key);
                Slot { existed: row.is_some(), row }
            });
            match fold.apply(&mut slot.row, event, touch, key) {
                Ok(()) if fates[*index] == Fate::Ignored => fates[*index] = Fate::Applied,
                Ok(()) => {}
                Err(error) => {
                    poison.insert(id, error);
                    parked.insert(key.clone());
                }
            }
        }
        if poison.len() > known {
            return None;
        }
        Some(self.finish(slots, parks, &fates))
    }

    fn finish(&self, slots: HashMap<&Key, Slot>, parks: Vec<Park>, fates: &[Fate]) -> Folded {
        let count = |fate| fates.iter().filter(|f| **f == fate).count() as u64;
        let mut folded = Folded {
            parks,
            counts: Counts {
                applied: count(Fate::Applied),
                ignored: count(Fate::Ignored),
                parked: count(Fate::Parked),
            },
            last_event: self.events.last().map(|event| event.id),
            ..Folded::default()
        };
        for event in self.events {
            folded.identities.entry(Window::of(event.position)).or_default().add(identity(event.id));
        }
        for (key, slot) in slots {
            match slot.row {
                Some(row) => folded.upserts.push((key.clone(), row)),
                None if slot.existed => folded.deletes.push(key.clone()),
                None => {}
            }
        }
        folded.upserts.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        folded.deletes.sort_unstable();
        folded
    }
}

struct Slot {
    row: Option<Row>,
    existed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Ignored,
    Applied,
    Parked,
}

#[cfg(test)]
mod tests;
