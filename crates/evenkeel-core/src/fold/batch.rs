//! Events folded over the rows of one transaction: many events of a row, one read and one write.
//!
//! A [`Plan`] says which rows some events touch, a [`Batch`] holds the rows and folds plan after plan over them. The result
//! does not depend on where one plan or one batch ends and the next begins. Invariants: events of a key apply in log order;
//! once one of them is parked every later one of that key is held behind it, and no other key waits.
//!
//! Not here: reading events and rows, and writing them (the projector of `evenkeel`).
use super::{Fold, GivenUp, HELD, Park, ParkState, Touch, TouchId};
use crate::{
    checkpoint::Counts,
    content::{Window, identity},
    digest::{RowDigest, Sum},
    event::Event,
    ids::{EventId, Position},
    merge::Conflict,
    row::{Key, Row},
    time::Timestamp,
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The touches of some events.
pub struct Plan<'e> {
    events: &'e [Event],
    touches: Vec<(usize, Touch)>,
}

impl<'e> Plan<'e> {
    /// Finds the rows that `events`, given in log order, touch, but for what was given up.
    pub fn new(fold: &dyn Fold, events: &'e [Event], given_up: &GivenUp) -> Self {
        let mut touches = Vec::with_capacity(events.len());
        let mut found = Vec::new();
        for (index, event) in events.iter().enumerate() {
            fold.touches(event, &mut found);
            let kept = found.drain(..).filter(|touch| !given_up.has(TouchId::of(event, touch), event.id));
            touches.extend(kept.map(|touch| (index, touch)));
        }
        Self { events, touches }
    }

    /// Which events touch which rows, in log order.
    pub fn touched(&self) -> impl Iterator<Item = (Position, &Key)> {
        let named = self.touches.iter().filter_map(|(index, touch)| Some((index, touch.key.as_ref().ok()?)));
        named.map(|(index, key)| (self.events[*index].position, key))
    }
}

/// The rows of one transaction while events are folded over them.
#[derive(Debug, Default)]
pub struct Batch {
    slots: HashMap<Key, Slot>,
    /// Keys with a parked event: later events of theirs are held.
    parked: HashSet<Key>,
    parks: Vec<Park>,
    conflicts: Vec<Conflict>,
    counts: Counts,
    last_event: Option<EventId>,
    identities: BTreeMap<Window, Sum>,
    /// Counts the plans.
    plans: u64,
}

/// A batch, folded: what to write in one transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Folded {
    /// Rows that are new, changed or gone, in order of their keys: neighbours stand on one page of a store.
    pub rows: Vec<Changed>,
    /// Events that are parked.
    pub parks: Vec<Park>,
    /// What was decided between writes that did not know each other.
    pub conflicts: Vec<Conflict>,
    /// What became of the events.
    pub counts: Counts,
    /// The last event.
    pub last_event: Option<EventId>,
    /// The identities of the events, by window of positions.
    pub identities: BTreeMap<Window, Sum>,
}

/// A row that a batch changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// Its key.
    pub key: Key,
    /// The row afterwards; `None` where it is gone.
    pub row: Option<Row>,
    /// The digest of the row that was there; `None` where there was none, and then there is a row now.
    pub replaces: Option<RowDigest>,
}

#[derive(Debug, Default)]
struct Slot {
    row: Option<Row>,
    /// The digest of the row that was there.
    replaces: Option<RowDigest>,
    is_changed: bool,
    /// The last plan that touched it.
    plan: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Ignored,
    Applied,
    Parked,
}

impl Batch {
    /// The rows that `plan` touches and that are not here yet, each once, in order. Where there is something stored about
    /// them, it is taken up ([`Batch::take_up`], [`Batch::take_up_parked`]) before the plan is folded.
    pub fn missing(&self, plan: &Plan<'_>) -> Vec<Key> {
        let named = plan.touches.iter().filter_map(|(_, touch)| touch.key.as_ref().ok());
        let mut keys: Vec<_> = named.filter(|key| !self.slots.contains_key(key)).cloned().collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Takes up a stored row and its digest.
    pub fn take_up(&mut self, key: Key, row: Row, digest: RowDigest) {
        self.slots.insert(key, Slot { row: Some(row), replaces: Some(digest), ..Slot::default() });
    }

    /// Takes up keys with parked events.
    pub fn take_up_parked(&mut self, keys: impl IntoIterator<Item = Key>) {
        self.parked.extend(keys);
    }

    /// How many rows, parked events and conflicts are held in memory.
    pub fn len(&self) -> usize {
        self.slots.len() + self.parks.len() + self.conflicts.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Folds the events of `plan`. What does not apply is parked and dated `now`.
    pub fn fold(&mut self, now: Timestamp, fold: &dyn Fold, plan: &Plan<'_>) {
        self.plans += 1;
        let mut fates = vec![Fate::Ignored; plan.events.len()];
        // The rows as this plan found them, by the number of its first touch of them.
        let mut before: Vec<(usize, Option<Row>)> = Vec::with_capacity(plan.touches.len());
        for (number, (index, touch)) in plan.touches.iter().enumerate() {
            let event = &plan.events[*index];
            let applied = match &touch.key {
                Ok(key) => {
                    self.apply(fold, plan, &mut before, (number, key)).map_err(|(state, why)| (Some(key), state, why))
                }
                Err(error) => Err((None, ParkState::Poison, error.to_string())),
            };
            match applied {
                Ok(()) if fates[*index] == Fate::Ignored => fates[*index] = Fate::Applied,
                Ok(()) => {}
                Err((key, state, error)) => {
                    fates[*index] = Fate::Parked;
                    let touch = TouchId::of(event, touch);
                    let (key, event_id) = (key.cloned(), event.id);
                    self.parks.push(Park { touch, key, event_id, state, error, at: now, decision: None });
                }
            }
        }
        self.count(plan.events, &fates);
    }

    /// Applies one touch of `plan`, given by its number, to the row of `key`.
    fn apply(
        &mut self,
        fold: &dyn Fold,
        plan: &Plan<'_>,
        before: &mut Vec<(usize, Option<Row>)>,
        (number, key): (usize, &Key),
    ) -> Result<(), (ParkState, String)> {
        if !self.parked.is_empty() && self.parked.contains(key) {
            return Err((ParkState::Held, HELD.into()));
        }
        let slot = self.slots.entry(key.clone()).or_default();
        if slot.plan != self.plans {
            slot.plan = self.plans;
            before.push((number, slot.row.clone()));
        }
        let (index, touch) = &plan.touches[number];
        let decided = self.conflicts.len();
        if let Err(error) = fold.apply_recording(&mut slot.row, &plan.events[*index], touch, key, &mut self.conflicts) {
            self.conflicts.truncate(decided);
            slot.row = as_before(fold, plan, before, (number, key));
            self.parked.insert(key.clone());
            return Err((ParkState::Poison, error.to_string()));
        }
        slot.is_changed = true;
        Ok(())
    }

    fn count(&mut self, events: &[Event], fates: &[Fate]) {
        let count = |fate| fates.iter().filter(|f| **f == fate).count() as u64;
        self.counts = self.counts.plus(Counts {
            applied: count(Fate::Applied),
            ignored: count(Fate::Ignored),
            parked: count(Fate::Parked),
        });
        for events in events.chunk_by(|a, b| Window::of(a.position) == Window::of(b.position)) {
            let sum = self.identities.entry(Window::of(events[0].position)).or_default();
            events.iter().for_each(|event| sum.add(identity(event.id)));
        }
        self.last_event = events.last().map(|event| event.id).or(self.last_event);
    }

    /// What is to be written.
    pub fn finish(self) -> Folded {
        // Made and gone within the batch: there is nothing to write.
        let is_written = |slot: &Slot| slot.is_changed && (slot.row.is_some() || slot.replaces.is_some());
        let slots = self.slots.into_iter().filter(|(_, slot)| is_written(slot));
        let mut rows: Vec<_> = slots.map(|(key, Slot { row, replaces, .. })| Changed { key, row, replaces }).collect();
        rows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let Self { parks, mut conflicts, counts, last_event, identities, .. } = self;
        conflicts.retain(|conflict| !conflict.is_agreement());
        Folded { rows, parks, conflicts, counts, last_event, identities }
    }
}

/// The row of `key` before the touch of this number, which failed and may have left anything: as the plan found it, with the
/// touches before this one, which applied and do so again.
fn as_before(
    fold: &dyn Fold,
    plan: &Plan<'_>,
    before: &[(usize, Option<Row>)],
    (number, key): (usize, &Key),
) -> Option<Row> {
    let of_key = |number: &usize| plan.touches[*number].1.key.as_ref() == Ok(key);
    let (first, row) = before.iter().find(|(first, _)| of_key(first))?;
    let mut row = row.clone();
    for number in (*first..number).filter(of_key) {
        let (index, touch) = &plan.touches[number];
        // Folds are pure: it applied when its turn was.
        let _ = fold.apply(&mut row, &plan.events[*index], touch, key);
    }
    row
}

#[cfg(test)]
mod tests;
