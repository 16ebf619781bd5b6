//! Rollback: the table from before the last rebuild put back, and its rows brought to what was given up since.
//!
//! A person may have given up events while the other table was live. In the one that is back such an event was applied, or
//! is what others wait behind, and nobody would ever release them. The keys concerned are folded anew.
use crate::{
    EngineError,
    engine::{Engine, Inner},
    report::ModelReport,
    slot::Slot,
};
use evenkeel_core::{
    fold::{Park, ParkState},
    row::Key,
};
use std::collections::{BTreeMap, BTreeSet};

impl Engine {
    /// Puts the table from before the last rebuild in the live one's place. It goes on from its own checkpoint where it is
    /// of the declared version; otherwise it stays as it is until the model is reconciled or declared anew.
    ///
    /// # Errors
    /// Where there is no such model or no such table, or the store cannot be written.
    pub fn rollback(&self, model: &str) -> Result<ModelReport, EngineError> {
        let slot = self.inner.slot(model)?;
        let one = slot.reconciling.lock();
        let mut turn = slot.turn();
        let state = self.inner.observe(slot)?.state;
        let declared = slot.schema();
        let Some(previous) = &state.previous else {
            return Err(EngineError::Method(format!("{model} has no table from before its last rebuild")));
        };
        let is_older = !previous.schema.same_as(declared);
        // Before anybody can read rows that nobody has added up.
        slot.trust.forget();
        self.inner.models.rollback(slot.name(), is_older.then_some(declared.fingerprint))?;
        turn.changed();
        drop(turn);
        slot.waiting.lock().clear();
        slot.table_changed();
        drop(one);
        if !is_older {
            self.inner.fold_given_up(slot)?;
        }
        self.model_report(slot)
    }
}

impl Inner {
    /// Folds the keys anew of which events were given up while another table was live.
    pub(crate) fn fold_given_up(&self, slot: &Slot) -> Result<(), EngineError> {
        let parks = self.models.parks(slot.name(), None)?;
        let reached = self.observe(slot)?.state.checkpoint.position;
        let given_up = parks.iter().filter(|park| park.state == ParkState::Discarded && park.touch.position <= reached);
        let keys = given_up.filter_map(|park| park.key.clone()).chain(left_behind(&parks)).collect();
        self.fold_anew(slot, keys)
    }

    /// Folds the keys anew of which events wait behind nothing: a table was put back, and the program ended before that
    /// was looked at, or the table was of another declaration then.
    pub(crate) fn fold_left_behind(&self, slot: &Slot) -> Result<(), EngineError> {
        let state = self.observe(slot)?.state;
        if !state.schema.same_as(slot.schema()) || state.condemned.is_some() {
            return Ok(());
        }
        if state.rolled_back_from.is_some() {
            return self.fold_given_up(slot);
        }
        if state.parked.events == 0 {
            return Ok(());
        }
        let keys = left_behind(&self.models.parks(slot.name(), None)?);
        self.fold_anew(slot, keys.into_iter().collect())
    }

    fn fold_anew(&self, slot: &Slot, keys: BTreeSet<Key>) -> Result<(), EngineError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.heal(slot, &keys.into_iter().collect::<Vec<_>>())
    }
}

/// The keys of events that are held behind nothing that waits for a person. `parks` are in log order.
fn left_behind(parks: &[Park]) -> Vec<Key> {
    let mut first: BTreeMap<&Key, ParkState> = BTreeMap::new();
    for park in parks.iter().filter(|park| park.state != ParkState::Discarded) {
        if let Some(key) = &park.key {
            first.entry(key).or_insert(park.state);
        }
    }
    first.into_iter().filter(|(_, state)| *state == ParkState::Held).map(|(key, _)| key.clone()).collect()
}
