//! Decisions about all events that a model parked and that a filter names, one after the other, each for itself.
//!
//! What becomes of each is decided as if it were the only one ([`super::decide_park`]). Those of the gate are
//! [`super::bulk`]'s.
use super::{ParkDecision, Planned, bulk::Verb, commit_park, park_id, parse_park_id, plan_park};
use crate::{
    Clock, Engine, EngineError,
    report::{BulkEntry, BulkReport},
    slot::Slot,
};
use evenkeel_core::{
    Event,
    fold::{Park, ParkState, TouchId},
    intake::Redriven,
    quarantine::{Decision, Reason, State},
};
use evenkeel_store::{EntryFilter, Log, Models, ParkFilter, StoreError};
use std::collections::BTreeSet;

/// How many are decided about in one turn of their model, which others wait for.
const TURN: usize = 50;

/// How many parked events, whether they wait for a person or behind another one, are read at once.
const PAGE: usize = 100;

impl Engine {
    /// Decides about all events that `model` parked, that wait for a person and that `filter` names, in log order, at most
    /// `filter.limit` of them, after the entry `after`. Without a `decision` it is a trial: what would become of each is
    /// said, and nothing done.
    ///
    /// # Errors
    /// [`EngineError::NoModel`], [`EngineError::NoEntry`] where `after` is no entry of this model, and where a store cannot be
    /// read or written. What was decided until then stays decided.
    pub fn decide_all_parked(
        &self,
        model: &str,
        filter: &EntryFilter,
        after: Option<&str>,
        verb: Verb,
        decision: Option<&Decision>,
    ) -> Result<BulkReport, EngineError> {
        let inner = &self.inner;
        let slot = inner.slot(model)?;
        let after = after.map(|after| of_model(after, model)).transpose()?;
        let stores = (inner.log.as_ref(), inner.models.as_ref(), inner.clock.as_ref());
        let done = decide_all(stores, slot, filter, after, verb, decision);
        if decision.is_some() {
            inner.wake_projectors();
        }
        done
    }
}

/// As [`Engine::decide_all_parked`], over a log and a home of models.
pub(crate) fn decide_all(
    stores: (&dyn Log, &dyn Models, &dyn Clock),
    slot: &Slot,
    filter: &EntryFilter,
    after: Option<TouchId>,
    verb: Verb,
    decision: Option<&Decision>,
) -> Result<BulkReport, EngineError> {
    let limit = if filter.limit == 0 { usize::MAX } else { filter.limit };
    let mut run = Run { stores, slot, filter, verb, decision, after, entries: Vec::new() };
    let mut more = true;
    while more && run.entries.len() < limit {
        let most = TURN.min(limit - run.entries.len());
        more = run.one_turn(most)?;
    }
    let full = run.entries.len() == limit;
    let next = run.entries.last().filter(|_| full).map(|last| last.id.clone());
    Ok(BulkReport { dry_run: decision.is_none(), entries: run.entries, next })
}

/// The event that an id of this model names.
fn of_model(id: &str, model: &str) -> Result<TouchId, EngineError> {
    let touch = parse_park_id(id).filter(|(named, _)| *named == model).map(|(_, touch)| touch);
    touch.ok_or_else(|| EngineError::NoEntry(id.to_owned()))
}

struct Run<'r> {
    stores: (&'r dyn Log, &'r dyn Models, &'r dyn Clock),
    slot: &'r Slot,
    filter: &'r EntryFilter,
    verb: Verb,
    decision: Option<&'r Decision>,
    after: Option<TouchId>,
    entries: Vec<BulkEntry>,
}

impl Run<'_> {
    /// Decides about the next ones, at most so many, while nobody else changes the model. Whether there may be more.
    fn one_turn(&mut self, most: usize) -> Result<bool, EngineError> {
        let mut turn = self.slot.turn();
        let next = ParkFilter { after: self.after, limit: PAGE, ..ParkFilter::default() };
        let page = self.stores.1.parks_of(self.slot.name(), &next)?;
        let (mut rows, mut decided) = (BTreeSet::new(), 0);
        for park in &page {
            // What is known of a row that was decided about is not so any more.
            let known = park.key.as_ref().is_some_and(|key| rows.contains(key));
            if decided == most || known {
                return Ok(true);
            }
            if self.may_be_meant(park) && self.is_meant(park)? {
                let entry = self.one(park);
                if self.decision.is_some() {
                    // Also where it failed: the answer may have been lost, and not what was written.
                    turn.changed();
                }
                self.entries.push(entry?);
                decided += 1;
                rows.extend(&park.key);
            }
            self.after = Some(park.touch);
        }
        Ok(page.len() == PAGE)
    }

    /// Whether what is kept with it speaks for it.
    fn may_be_meant(&self, park: &Park) -> bool {
        let EntryFilter { reason, state, since, until, .. } = self.filter;
        park.state == ParkState::Poison
            && reason.is_none_or(|reason| reason == Reason::ProjectionError)
            && state.is_none_or(|state| state == State::Quarantined)
            && since.is_none_or(|since| park.at >= since)
            && until.is_none_or(|until| park.at < until)
    }

    /// Whether its event does.
    fn is_meant(&self, park: &Park) -> Result<bool, StoreError> {
        let EntryFilter { source, event_type, contract_version, .. } = self.filter;
        if source.is_none() && event_type.is_none() && contract_version.is_none() {
            return Ok(true);
        }
        let fits = |event: &Event| {
            source.as_ref().is_none_or(|source| event.source == *source)
                && event_type.as_ref().is_none_or(|event_type| event.draft.event_type == *event_type)
                && contract_version.is_none_or(|version| event.draft.contract_version == version)
        };
        Ok(self.stores.0.find(park.event_id)?.as_ref().is_some_and(fits))
    }

    fn one(&self, park: &Park) -> Result<BulkEntry, EngineError> {
        let ((log, models, clock), fold) = (self.stores, self.slot.fold.as_ref());
        let what = match self.verb {
            Verb::Redrive => ParkDecision::Redrive,
            Verb::Discard => ParkDecision::Discard,
        };
        let id = park_id(self.slot.name(), park.touch);
        let decision = self.decision.cloned().unwrap_or_default();
        if self.decision.is_some() {
            tracing::info!(entry = id, author = %decision.author, note = %decision.note, ?what, "parked event decided");
        }
        let none = BulkEntry { id, outcome: "refused", position: None, reason: None, detail: None, released: 0 };
        let reason = Some(Reason::ProjectionError.as_str());
        let planned = match plan_park((log, models, fold, clock), park.touch, what, decision) {
            // Its row must be reconciled first; the others need not wait for that.
            Err(EngineError::Method(detail)) => {
                let outcome = if self.decision.is_some() { "refused" } else { "would_refuse" };
                return Ok(BulkEntry { outcome, reason, detail: Some(detail), ..none });
            }
            planned => planned?,
        };
        let Planned { step, decided, error } = planned;
        if self.decision.is_none() {
            let outcome = match (self.verb, &decided.redriven) {
                (Verb::Discard, _) => "would_discard",
                (Verb::Redrive, Redriven::Admitted(_)) => "would_admit",
                (Verb::Redrive, _) => "would_refuse",
            };
            let reason = reason.filter(|_| error.is_some());
            return Ok(BulkEntry { outcome, reason, detail: error, ..none });
        }
        commit_park(models, fold, &step)?;
        let released = decided.released;
        Ok(match decided.redriven {
            Redriven::Admitted(position) => {
                BulkEntry { outcome: "admitted", position: Some(position.0), released, ..none }
            }
            Redriven::Discarded => BulkEntry { outcome: "discarded", released, ..none },
            _ => BulkEntry { reason, detail: error, ..none },
        })
    }
}
