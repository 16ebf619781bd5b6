//! The operator: redrives, discards and resumes, also twice and also where there is nothing to decide.
//!
//! What the sources send is in [`super::events`].
use super::{Checked, broken, sound, table::Stored, world::World};
use crate::{
    EngineError,
    quarantine::{self, Decided, ParkDecision, park_id},
};
use evenkeel_core::{
    Position,
    fold::{Park, ParkState, TouchId},
    intake::Redriven,
    quarantine::{Decision, Entry, QuarantineId, State},
};
use evenkeel_store::{EntryFilter, Log, StoreError};
use std::sync::Arc;

pub(super) fn decision() -> Decision {
    Decision { author: "operator".into(), note: "simulated".into() }
}

impl World {
    /// Redrives or discards an entry of the gate, whatever state it is in.
    pub(super) fn decide_entry(&mut self) -> Checked {
        let last = self.ledger.last_entry.map_or(0, |last| last.0);
        let waiting = EntryFilter { state: Some(State::Quarantined), ..EntryFilter::default() };
        let waiting = sound(self.below.log.entries(&waiting))?;
        let again = self.undecided.take().filter(|_| self.random.chance(700));
        let redrive = self.random.chance(700);
        let (id, redrive) = match (again, self.random.pick(&waiting)) {
            (Some(again), _) => again,
            (None, Some(entry)) if self.random.chance(600) => (entry.id, redrive),
            _ => (QuarantineId(1 + self.random.below(last + 1)), redrive),
        };
        if self.random.chance(self.weather.crash * 5) {
            // Power that goes between a decision and the release of what waits behind it.
            let calls = self.random.below(5);
            self.faults.lock().power_for = Some(calls);
        }
        let before = sound(self.below.log.entry(id))?;
        if let Some(entry) = &before {
            self.ledger.by_hand.insert((entry.event_id, entry.digest));
        }
        let gate = &self.project.gates[self.gate];
        let decide = if redrive { quarantine::redrive } else { quarantine::discard };
        let result = decide(self.log.as_ref(), gate, self.clock.as_ref(), id, decision());
        let verb = if redrive { "redriven" } else { "discarded" };
        match &result {
            Ok(decided) => self.say(format!("{id} {verb}: {:?}, {} released", decided.redriven, decided.released)),
            Err(error) => self.say(format!("{id} {verb}: {error}")),
        }
        self.book(&[])?;
        match result {
            Ok(decided) => self.judge_decision(id, before, &decided, redrive),
            Err(StoreError::Unavailable(_)) => {
                self.undecided = Some((id, redrive));
                Ok(())
            }
            Err(error) => broken(format!("{id} to be decided"), error.to_string()),
        }
    }

    pub(super) fn judge_decision(
        &self,
        id: QuarantineId,
        before: Option<Entry>,
        decided: &Decided,
        redrive: bool,
    ) -> Checked {
        let wrong = |expected: String| broken(format!("{id} {expected}"), format!("{decided:?}"));
        let after = sound(self.below.log.entry(id))?;
        let (Some(before), Some(after)) = (before, after) else {
            return if decided.redriven == Redriven::Unknown { Ok(()) } else { wrong("to be unknown".into()) };
        };
        let own = (after.event_id, after.digest);
        let at = |position: Position| {
            let index = usize::try_from(position.0).unwrap_or_default().checked_sub(1);
            index.and_then(|index| self.ledger.history.get(index)).map(super::ledger::content)
        };
        let fits = match decided.redriven {
            Redriven::Admitted(position) => {
                redrive
                    && after.state == State::Admitted
                    && after.position == Some(position)
                    && at(position) == Some(own)
            }
            Redriven::Discarded => !redrive && after.state == State::Discarded,
            Redriven::Refused(reason) => {
                let waits = matches!(after.state, State::Quarantined | State::Held | State::Admitted);
                redrive && waits && (after.refusal.reason == reason || after.state == State::Admitted)
            }
            // What was not possible leaves the entry alone; its line may have moved, and taken a held one along.
            Redriven::NotPossible(state) => {
                before.state == state && state != State::Quarantined && (after.state == state || state == State::Held)
            }
            // There is one operator, who names no version.
            Redriven::Changed(_) | Redriven::Unknown => false,
        };
        if !fits || (before.state != State::Quarantined && !matches!(decided.redriven, Redriven::NotPossible(_))) {
            return wrong(format!("to be what the answer says; it was {} and is {}", before.state, after.state));
        }
        match &before.refusal.parks {
            Some(key) if sound(self.below.log.interrupted())?.contains(key) => {
                wrong(format!("to release all of {key:?} that can be released"))
            }
            _ => Ok(()),
        }
    }

    /// Lets a source go on, halted or not.
    pub(super) fn resume_source(&mut self) -> Checked {
        let source = if self.random.chance(700) { "meter" } else { "shop.orders" };
        let key = evenkeel_core::quarantine::ParkKey::Source(source.into());
        let halted = !sound(self.below.log.line(&key, 1))?.is_empty();
        let gate = &self.project.gates[self.gate];
        let result = quarantine::resume(self.log.as_ref(), gate, self.clock.as_ref(), source, &decision());
        self.say(match &result {
            Ok(released) => format!("{source} resumed: {released:?} released"),
            Err(error) => format!("{source} resumed: {error}"),
        });
        self.book(&[])?;
        match result {
            Ok(released) if released.is_some() != halted => {
                broken(format!("{source} to be {}", if halted { "halted" } else { "going" }), format!("{released:?}"))
            }
            Ok(_) | Err(StoreError::Unavailable(_)) => Ok(()),
            Err(error) => broken(format!("{source} to be resumed"), error.to_string()),
        }
    }

    /// Redrives or discards an event that a model has parked, whatever state it is in.
    pub(super) fn decide_park(&mut self, model: usize) -> Checked {
        let (Some(node), Some(before)) = (&self.node, self.stored(model)?) else { return Ok(()) };
        let slot = Arc::clone(&node.slots[model]);
        let nothing = TouchId { position: Position(self.random.below(9)), clause: 7, element: 0 };
        let touch = self.random.pick(&before.parks).map_or(nothing, |park| park.touch);
        let what = if self.random.chance(500) { ParkDecision::Redrive } else { ParkDecision::Discard };
        let torn = self.faults.lock().torn_live;
        let result = {
            let mut turn = slot.turn();
            let (log, models) = (self.log.as_ref(), self.models.as_ref());
            let fold = slot.fold.as_ref();
            let result = quarantine::decide_park(log, models, fold, self.clock.as_ref(), touch, what, decision());
            turn.changed();
            result
        };
        let torn = self.faults.lock().torn_live != torn;
        let id = park_id(slot.name(), touch);
        self.say(match &result {
            Ok(decided) => format!("{id} {what:?}: {:?}, {} released", decided.redriven, decided.released),
            Err(error) => format!("{id} {what:?}: {error}"),
        });
        self.check(model, torn)?;
        self.judge_park(model, &id, touch, &before, result)
    }

    fn judge_park(
        &self,
        model: usize,
        id: &str,
        touch: TouchId,
        before: &Stored,
        result: Result<Decided, EngineError>,
    ) -> Checked {
        let was: Option<&Park> = before.parks.iter().find(|park| park.touch == touch);
        let Some(after) = self.stored(model)? else { return broken(format!("{id} to be of a model"), "there is none") };
        let is = after.parks.iter().find(|park| park.touch == touch).map(|park| park.state);
        let fits = match &result {
            Ok(decided) => match decided.redriven {
                Redriven::Discarded => is == Some(ParkState::Discarded),
                Redriven::Admitted(position) => is.is_none() && position == touch.position,
                Redriven::Refused(_) => is == Some(ParkState::Poison),
                Redriven::NotPossible(_) | Redriven::Changed(_) | Redriven::Unknown => false,
            },
            Err(EngineError::NoEntry(_)) => was.is_none(),
            Err(EngineError::EntryState { .. }) => was.is_some_and(|was| was.state != ParkState::Poison),
            Err(EngineError::Outdated(_)) => !after.state.schema.same_as(self.fold(model).schema()),
            Err(EngineError::Store(StoreError::Unavailable(_))) => true,
            // The log lost the event.
            Err(EngineError::Store(StoreError::Corrupt(_))) => self.untouched.is_some(),
            // What somebody else wrote is not built upon.
            Err(EngineError::Method(_)) => was.and_then(|was| was.key.as_ref()).is_some_and(|key| before.shows(key)),
            Err(_) => false,
        };
        if fits {
            Ok(())
        } else {
            broken(format!("{id} to be as the answer says; it is {is:?}"), format!("{result:?}"))
        }
    }
}
