//! The end of a simulation: the faults are over, everything is let come to rest, and then everything must hold.
//!
//! What holds at every step is checked where it happens.
use super::{Checked, broken, ledger::content, sound, table::Trust, world::World};
use crate::{Clock, content::Depth, monitor::Observation};
use evenkeel_core::{drift::Status, event::Delivery, freshness::Level, quarantine::State};
use evenkeel_store::{ConflictQuery, EntryFilter, Log, Models};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How many rounds the system has to come to rest.
const ROUNDS: usize = 400;

impl World {
    /// Ends the faults, lets everything come to rest, and checks all of it.
    pub(super) fn settle(&mut self) -> Checked {
        {
            let mut faults = self.faults.lock();
            faults.over = true;
            faults.power_for = None;
        }
        self.settling = true;
        self.say("the faults are over");
        if self.is_dark() {
            self.crash()?;
        }
        if self.node.is_none() {
            self.start()?;
        }
        if let Some(node) = &mut self.node {
            node.paused.fill(false);
            node.slots.iter().for_each(|slot| slot.health.recovered());
        } else {
            return broken("the node to start", "it does not");
        }
        self.deliver()?;
        self.send_kept()?;
        self.deliver()?;
        self.end_waiting()?;
        for model in 0..self.tables.len() {
            self.scrub_through(model)?;
            self.mend(model)?;
        }
        self.catch_up()?;
        self.everything_holds()?;
        let came = |delivery| self.ledger.history.iter().filter(|e| e.causality.delivery == delivery).count() as u64;
        (self.stats.causal, self.stats.exceptions) = (came(Delivery::Causal), came(Delivery::Exception));
        self.stats.events = self.ledger.history.len() as u64;
        self.stats.entries = self.ledger.last_entry.map_or(0, |last| last.0);
        self.stats.faults = self.faults.lock().counts;
        self.say(format!("at rest with {} events", self.stats.events));
        Ok(())
    }

    /// Everything whose fate is not known is sent until it is.
    fn deliver(&mut self) -> Checked {
        for _ in 0..ROUNDS {
            let waits = self.node.as_ref().is_some_and(|node| !node.queue.is_empty());
            if !waits && !self.senders.iter().any(super::sending::Sender::has_unknown) {
                return Ok(());
            }
            if waits { self.take()? } else { self.resend_all()? }
        }
        broken("everything to be delivered", "something is not")
    }

    /// Finds what is wrong with a table, and rebuilds it where it must be.
    fn mend(&mut self, model: usize) -> Checked {
        let name = self.name(model);
        let Some(stored) = self.stored(model)? else { return broken(format!("{name} to be stored"), "it is not") };
        let outdated = !stored.state.schema.same_as(self.fold(model).schema());
        let beyond = stored.state.checkpoint.position.0 > self.ledger.history.len() as u64;
        let doubted = stored.state.condemned.is_some();
        if self.tables[model].trust == Trust::Lost && !beyond && !doubted {
            let expected = format!("{name} to be condemned: it applied events that the log has lost");
            return broken(expected, stored.state.content.verdict.as_str());
        }
        let must = outdated || beyond || doubted;
        let good = !must && self.verify(model)? && self.tables[model].trust == Trust::Sound;
        if good {
            return Ok(());
        }
        if !must && self.tables[model].trust == Trust::Sound {
            // Wrong rows are known now: the table is not read from any more where everything must be in an answer.
            self.read_every_key(model)?;
            if self.random.chance(700) && self.heal(model, Depth::Full, &[], true)? {
                return Ok(());
            }
        }
        if self.rebuild(model, false)? { Ok(()) } else { broken(format!("{name} to be rebuilt"), "it is not") }
    }

    /// Projects and measures until every model is in sync.
    fn catch_up(&mut self) -> Checked {
        for _ in 0..ROUNDS {
            self.clock.pass(Duration::from_secs(1));
            (0..self.tables.len()).try_for_each(|model| self.advance(model))?;
            self.measure()?;
            let slots = self.node.as_ref().map(|node| node.slots.clone()).unwrap_or_default();
            let mut at_rest = true;
            for slot in slots {
                let Some(state) = sound(self.below.models.state(slot.name()))? else { continue };
                let fold = slot.fold.as_ref();
                let observation = Observation::of(self.below.log.as_ref(), fold, state, self.clock.now());
                let report = slot.watch.lock().peek(&observation, &slot.health.get());
                at_rest &= report.status == Status::InSync && report.lag.lag_count == Some(0);
            }
            if at_rest {
                return Ok(());
            }
        }
        broken("every model to be in sync once the faults are over", "one is not")
    }

    fn everything_holds(&mut self) -> Checked {
        self.ledger.balance(self.below.log.as_ref())?;
        if let Some(key) = sound(self.below.log.interrupted())?.first() {
            // A release that a failure ended goes on with the next start at the latest.
            let gate = &self.project.gates[self.gate];
            let released = crate::quarantine::resume_interrupted(self.log.as_ref(), gate, self.clock.as_ref());
            self.say(format!("releases of {key:?} and others go on: {released:?}"));
            self.book(&[])?;
            if let Some(key) = sound(self.below.log.interrupted())?.first() {
                return broken("no interrupted release", format!("{key:?}"));
            }
            self.catch_up()?;
        }
        for model in 0..self.tables.len() {
            let clean = self.verify(model)?;
            let stored = self.stored(model)?;
            let wrong = self.tables[model].wrong.len();
            if !clean || wrong > 0 || stored.is_none_or(|stored| self.missing(&stored) > 0) {
                return broken(format!("{} to be what the log says", self.name(model)), format!("{wrong} rows differ"));
            }
            self.conflicts(model)?;
            self.read_every_key(model)?;
            self.read_rows(model, Level::Strong)?;
            self.read_rows(model, Level::Eventual)?;
        }
        self.rows_are_known()?;
        self.all_lineage()?;
        self.accounts()
    }

    /// Every decision between writes that did not know each other is recorded, whatever happened meanwhile, and comes out the
    /// same again. Not those before a snapshot from which a model went on after its home had lost them; and where a row was away
    /// without anybody's noticing, the next deletion makes right what was folded in between, and nothing decides it.
    fn conflicts(&mut self, model: usize) -> Checked {
        let (fold, name) = (self.fold(model), self.name(model));
        let Some(stored) = self.stored(model)? else { return Ok(()) };
        let query = ConflictQuery { model: Some(name.clone()), limit: usize::MAX, ..ConflictQuery::default() };
        let records = sound(self.below.models.conflicts(&query))?;
        if let Some(record) = records.iter().find(|record| !record.conflict.replay()) {
            return broken(format!("{} of {name} to be decided as it was", record.id), "it is decided otherwise");
        }
        let known: BTreeSet<_> = records.iter().map(|record| record.id).collect();
        let tip = self.tables[model].tip(fold, stored.discarded.clone(), &self.ledger.history);
        let missing = tip.conflicts.iter().find(|id| !known.contains(id)).copied();
        self.stats.conflicts += tip.conflicts.len() as u64;
        let torn = self.faults.lock().counts.torn;
        let began_later = self.stats.rebuilds_from_snapshots > 0 && self.stats.crashes > 0;
        let is_known = self.stats.models_lost == 0 && !began_later && self.stats.others_unnoted == 0 && torn == 0;
        match missing {
            Some(id) if is_known => broken(format!("{id} of {name} to be recorded"), "it is not"),
            _ => Ok(()),
        }
    }

    fn read_every_key(&mut self, model: usize) -> Checked {
        let fold = self.fold(model);
        let Some(stored) = self.stored(model)? else { return Ok(()) };
        let tip = self.tables[model].tip(fold, stored.discarded.clone(), &self.ledger.history);
        let keys: Vec<_> = tip.rows.keys().chain(&tip.blocked).cloned().collect();
        for key in keys {
            self.read_key(model, &key, Level::Strong)?;
            self.read_key(model, &key, Level::Eventual)?;
        }
        Ok(())
    }

    /// Per source: what was acknowledged is admitted, waits or was given up.
    fn accounts(&mut self) -> Checked {
        let entries = sound(self.below.log.entries(&EntryFilter::default()))?;
        let mut places: BTreeMap<super::ledger::Content, &str> =
            self.ledger.history.iter().map(|event| (content(event), "admitted")).collect();
        places.extend(self.ledger.order.waiting.keys().map(|own| (*own, "waiting")));
        for entry in &entries {
            let place = match entry.state {
                State::Admitted => "admitted",
                State::Quarantined | State::Held => "quarantined",
                State::Discarded => "discarded",
            };
            let before = places.insert((entry.event_id, entry.digest), place);
            if before.is_some_and(|before| before != place) {
                return broken(format!("{} in one place", entry.id), format!("{before:?} and {place}"));
            }
        }
        let lost = self.ledger.acknowledged.iter().find(|own| !places.contains_key(own));
        match lost {
            Some((id, _)) => broken(format!("{id} to be accounted for"), "it is not"),
            None => Ok(()),
        }
    }
}
