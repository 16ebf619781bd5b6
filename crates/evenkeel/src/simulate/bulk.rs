//! The operator decides about many entries at once, and tries what would become of them.
//!
//! What becomes of a single one is judged in [`super::deciding`].
use super::{Checked, broken, deciding::decision, sound, world::World};
use crate::{
    EngineError,
    quarantine::{
        bulk::{self, Done, Outcome, Verb},
        parked,
    },
};
use evenkeel_core::{
    Draft,
    fold::ParkState,
    intake::{Redriven, Verdict},
    quarantine::{Entry, Reason, State},
};
use evenkeel_store::{EntryFilter, Log, StoreError};
use std::{collections::BTreeMap, sync::Arc};

impl World {
    fn some_filter(&mut self) -> EntryFilter {
        let reasons = [Reason::Invariant, Reason::Mapping, Reason::UntrustedSource, Reason::IdConflict];
        let reason = if self.random.chance(250) { self.random.pick(&reasons).copied() } else { None };
        let source = self.random.chance(250).then(|| "shop.orders".into());
        // Often few, so that there is something left to be decided about one by one.
        let limit = 1 + self.random.index(4);
        EntryFilter { reason, source, limit, ..EntryFilter::default() }
    }

    /// Decides about what waits at the gate for a person.
    pub(super) fn decide_all(&mut self) -> Checked {
        let filter = self.some_filter();
        let verb = if self.random.chance(750) { Verb::Redrive } else { Verb::Discard };
        let decision = if self.random.chance(600) { Some(decision()) } else { None };
        let before = sound(self.below.log.entries(&EntryFilter::default()))?;
        let named = EntryFilter { state: Some(State::Quarantined), ..filter.clone() };
        let named: Vec<_> = sound(self.below.log.entries(&named))?.into_iter().map(|entry| entry.id).collect();
        let meant = before.iter().filter(|entry| decision.is_some() && named.contains(&entry.id));
        self.ledger.by_hand.extend(meant.map(|entry| (entry.event_id, entry.digest)));
        let gate = &self.project.gates[self.gate];
        let (log, clock) = (self.log.as_ref(), self.clock.as_ref());
        let result = bulk::decide_all(log, gate, clock, &filter, verb, decision.as_ref());
        self.say(match &result {
            Ok(done) => {
                let outcomes: Vec<_> = done.iter().map(|done| format!("{} {:?}", done.id, done.outcome)).collect();
                format!("{verb:?} of all: {}", outcomes.join(", "))
            }
            Err(error) => format!("{verb:?} of all: {error}"),
        });
        let added = self.book(&[])?;
        let after = sound(self.below.log.entries(&EntryFilter::default()))?;
        if decision.is_none() && (!added.is_nothing(&self.ledger) || after != before) {
            return broken("a trial that changes nothing", "it did");
        }
        let done = match result {
            Ok(done) => done,
            Err(StoreError::Unavailable(_)) => return Ok(()),
            Err(error) => return broken("all to be decided", error.to_string()),
        };
        self.stats.decided_in_bulk += done.len() as u64;
        if done.iter().map(|done| done.id).ne(named.iter().copied()) {
            return broken(format!("decisions about {named:?}"), format!("{done:?}"));
        }
        // Those that stood in no line until now may have come into one whose release was interrupted before.
        let parked: BTreeMap<_, _> = before.into_iter().map(|entry| (entry.id, entry.refusal.parks)).collect();
        let after: BTreeMap<_, _> = after.into_iter().map(|entry| (entry.id, entry)).collect();
        for done in &done {
            let Some(entry) = after.get(&done.id) else { return broken("an entry", format!("{done:?}")) };
            if !self.is_as_said(entry, done, verb) {
                let expected = format!("{} to be what the answer says; it is {}", done.id, entry.state);
                return broken(expected, format!("{:?}", done.outcome));
            }
        }
        match sound(self.below.log.interrupted())?.first() {
            Some(key) if decision.is_some() && done.iter().any(|done| parked[&done.id].as_ref() == Some(key)) => {
                broken(format!("all of {key:?} to be released that can be"), "it is not")
            }
            _ => Ok(()),
        }
    }

    /// What the gate that is in force makes of an entry's event as it is edited.
    pub(super) fn would_be(&self, entry: &Entry) -> Option<Draft> {
        let edited = entry.edited().ok()?;
        match self.project.gates[self.gate].decide(edited.into_owned(), None).ok()?.arrival.verdict {
            Verdict::Admit(draft) => Some(draft),
            Verdict::Quarantine(_) => None,
        }
    }

    fn is_as_said(&self, entry: &Entry, done: &Done, verb: Verb) -> bool {
        let Done { outcome, .. } = done;
        match outcome {
            Outcome::Decided(Redriven::Admitted(position)) => {
                verb == Verb::Redrive && (entry.state, entry.position) == (State::Admitted, Some(*position))
            }
            Outcome::Decided(Redriven::Discarded) => verb == Verb::Discard && entry.state == State::Discarded,
            // It may have been held then, and have been released by a later decision.
            Outcome::Decided(Redriven::Refused(_)) => verb == Verb::Redrive && entry.state != State::Discarded,
            // There is one operator.
            Outcome::Decided(_) => false,
            Outcome::WouldAdmit => verb == Verb::Redrive && self.would_be(entry).is_some(),
            Outcome::WouldRefuse(..) => verb == Verb::Redrive && self.would_be(entry).is_none(),
            Outcome::WouldDiscard => verb == Verb::Discard,
        }
    }

    /// Decides about what a model parked.
    pub(super) fn decide_all_parked(&mut self, model: usize) -> Checked {
        let (Some(node), Some(before)) = (&self.node, self.stored(model)?) else { return Ok(()) };
        let slot = Arc::clone(&node.slots[model]);
        let verb = if self.random.chance(500) { Verb::Redrive } else { Verb::Discard };
        let decision = if self.random.chance(600) { Some(decision()) } else { None };
        let filter = EntryFilter { limit: 1 + self.random.index(4), ..EntryFilter::default() };
        let torn = self.faults.lock().torn_live;
        let stores = (self.log.as_ref() as _, self.models.as_ref() as _, self.clock.as_ref() as _);
        let result = parked::decide_all(stores, &slot, &filter, None, verb, decision.as_ref());
        let torn = self.faults.lock().torn_live != torn;
        self.say(match &result {
            Ok(done) => {
                let outcomes: Vec<_> =
                    done.entries.iter().map(|done| format!("{} {}", done.id, done.outcome)).collect();
                format!("{}: {verb:?} of all: {}", slot.name(), outcomes.join(", "))
            }
            Err(error) => format!("{}: {verb:?} of all: {error}", slot.name()),
        });
        self.check(model, torn)?;
        let Some(after) = self.stored(model)? else { return broken("a model to stay", "it is gone") };
        if decision.is_none() && after.parks != before.parks {
            return broken("a trial that changes nothing", "it did");
        }
        let done = match result {
            Ok(done) => done.entries,
            Err(EngineError::Outdated(_)) if !after.state.schema.same_as(self.fold(model).schema()) => return Ok(()),
            Err(EngineError::Store(StoreError::Unavailable(_))) => return Ok(()),
            // The log lost the event.
            Err(EngineError::Store(StoreError::Corrupt(_))) if self.untouched.is_some() => return Ok(()),
            Err(error) => return broken("all to be decided", error.to_string()),
        };
        self.stats.decided_in_bulk += done.len() as u64;
        for done in done {
            let park = after.parks.iter().find(|park| crate::quarantine::park_id(slot.name(), park.touch) == done.id);
            let fits = match done.outcome {
                "admitted" => verb == Verb::Redrive && park.is_none(),
                "discarded" => verb == Verb::Discard && park.is_some_and(|park| park.state == ParkState::Discarded),
                _ => park.is_some_and(|park| park.state == ParkState::Poison),
            };
            if !fits {
                return broken(format!("{} to be {}", done.id, done.outcome), format!("{park:?}"));
            }
        }
        Ok(())
    }
}
