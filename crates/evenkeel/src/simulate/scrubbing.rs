//! The scrub: some rows read again at a time, while everything else goes on, and what it says compared with the books.
//!
//! Naming what is wrong and mending it is [`super::healing`]'s.
use super::{
    Checked, broken,
    damage::Watch,
    table::{Stored, Trust},
    world::World,
};
use crate::{
    Clock,
    content::{Checker, Depth},
    scrub::{Scrubbed, scrub_slice},
};
use evenkeel_core::{Timestamp, drift::Verdict};
use evenkeel_store::Result;
use std::{ops::ControlFlow, sync::Arc};

impl World {
    /// The scrub reads the next few rows of a model; what it finds is looked at, at once or later.
    pub(super) fn scrub(&mut self, model: usize) -> Checked {
        let rows = 1 + self.random.index(6);
        let disagrees = self.scrub_once(model, rows)? == Some(Scrubbed::Disagrees);
        let Some(node) = self.node.as_ref().filter(|_| disagrees && self.auto) else { return Ok(()) };
        // As the reconciler does once it has its turn; a process may end in between.
        if self.random.chance(700) {
            let suspects = std::mem::take(&mut *node.slots[model].suspects.lock());
            self.heal(model, Depth::Suspected, &suspects, true)?;
        }
        Ok(())
    }

    /// Two passes over everything there is, after which whatever is wrong must have been noticed.
    pub(super) fn scrub_through(&mut self, model: usize) -> Checked {
        let Some(before) = self.stored(model)? else { return Ok(()) };
        let passable = before.state.schema.same_as(self.fold(model).schema()) && before.state.condemned.is_none();
        // The first may be on its way, past what is wrong.
        for _ in 0..2 {
            while self.scrub_once(model, 1 + before.rows.len() / 2)? == Some(Scrubbed::More) {}
        }
        let Some(after) = self.stored(model)? else { return Ok(()) };
        let table = &self.tables[model];
        let noticed = matches!(after.state.content.verdict, Verdict::Suspect | Verdict::Drifted);
        match table.wrong.first() {
            Some(key) if !noticed && passable && table.trust == Trust::Sound => broken(
                format!("two passes of the scrub over {} to find {key}", self.name(model)),
                after.state.content.verdict.as_str(),
            ),
            None | Some(_) => Ok(()),
        }
    }

    /// What came of a slice; `None` where the stores failed, or there is no node.
    fn scrub_once(&mut self, model: usize, rows: usize) -> Checked<Option<Scrubbed>> {
        let Some(node) = &self.node else { return Ok(None) };
        let slot = Arc::clone(&node.slots[model]);
        self.check(model, false)?;
        let Some(before) = self.stored(model)? else { return Ok(None) };
        let now = self.clock.now();
        let started = slot.turn().pass().as_ref().map(|pass| pass.started_at());
        if started.is_none() {
            self.tables[model].begin_pass();
        }
        let result = {
            let (log, models, fold) = (self.log.as_ref(), self.models.as_ref(), slot.fold.as_ref());
            scrub_slice(&Checker { log, models, fold, now }, &slot, rows, &mut || ControlFlow::Continue(()))
        };
        self.say(format!("{}: {rows} rows scrubbed: {result:?}", self.name(model)));
        self.stats.scrubbed += 1;
        self.judge_scrub(model, &before, started.unwrap_or(now), &result)?;
        Ok(result.ok())
    }

    fn judge_scrub(&mut self, model: usize, before: &Stored, started: Timestamp, result: &Result<Scrubbed>) -> Checked {
        let name = self.name(model);
        let Some(after) = self.stored(model)? else { return broken(format!("{name} to be stored"), "it is not") };
        let content = after.state.content;
        let was_known = matches!(before.state.content.verdict, Verdict::Suspect | Verdict::Drifted);
        let verified = *result == Ok(Scrubbed::Ended)
            && content.verdict == Verdict::Verified
            && content.verified_as_of == Some(started)
            && before.state.content != content;
        let table = &mut self.tables[model];
        let damage = &mut table.damage;
        let off = damage.watch == Watch::Off;
        match result {
            Err(_) if off => damage.watch = Watch::Unsure,
            Ok(Scrubbed::Disagrees) if off => damage.watch = Watch::On,
            Ok(Scrubbed::More) if off => {
                return broken(format!("{name} to be doubted: others' writes were not noted"), "the pass goes on");
            }
            _ => {}
        }
        if verified {
            self.stats.passes += 1;
        }
        if table.trust != Trust::Sound {
            return Ok(());
        }
        if verified && off {
            return broken(format!("{name} to be doubted: others' writes were not noted"), "it is verified");
        }
        if let (true, Some(key)) = (verified, table.passed.first()) {
            return broken(format!("the scrub to see that {name} {key} was wrong since its pass began"), "it did not");
        }
        if *result == Ok(Scrubbed::Disagrees) {
            self.stats.scrub_found += 1;
            let table = &self.tables[model];
            if !matches!(content.verdict, Verdict::Suspect | Verdict::Drifted) || was_known {
                return broken(format!("{name} to become suspect"), content.verdict.as_str());
            }
            let explained = table.damage.is_any() || table.damage.sums || off || table.damage.watch != Watch::On;
            if !explained && !table.strayed {
                return broken(format!("nothing to be found in {name}"), "the scrub found something");
            }
        }
        Ok(())
    }
}
