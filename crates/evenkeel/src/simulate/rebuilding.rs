//! Rebuilding models, asked for or needed, interrupted or not, while everything else goes on.
//!
//! Rows repaired one by one are [`super::healing`]'s.
use super::{
    Checked, broken,
    misread::misread_log,
    table::{Stored, Trust},
    world::World,
};
use crate::{
    EngineError,
    rebuild::{self, Rebuilt},
};
use evenkeel_store::Snapshots;
use std::{ops::ControlFlow, sync::Arc};

impl World {
    /// Rebuilds a model that needs it, as the engine does by itself where it may.
    pub(super) fn reconcile(&mut self) -> Checked {
        if !self.auto {
            return Ok(());
        }
        let needs = self.node.as_ref().map(|node| node.needs.clone()).unwrap_or_default();
        match needs.iter().enumerate().position(|(model, needs)| *needs && self.busy != Some(model)) {
            Some(model) => self.rebuild(model, true).map(drop),
            None => Ok(()),
        }
    }

    /// Rebuilds a model; others go on beside it, and it may be called off. Whether the new table is in place.
    pub(super) fn rebuild(&mut self, model: usize, disturbed: bool) -> Checked<bool> {
        let (Some(node), Some(before)) = (&self.node, self.stored(model)?) else { return Ok(false) };
        let slot = Arc::clone(&node.slots[model]);
        let (log, models, clock) = (Arc::clone(&self.log), Arc::clone(&self.models), Arc::clone(&self.clock));
        let snapshots = Arc::clone(&self.snapshots);
        // Without where somebody asks for it, or the fold is suspected.
        let snapshots = self.random.chance(850).then_some(snapshots.as_ref() as &dyn Snapshots);
        let (kept, faults) = (self.kept(model)?, self.faults_so_far());
        let batch_events = 1 + self.random.index(40);
        let torn = self.faults.lock().torn_build;
        let misread = self.some_misread(4);
        let log = misread_log(log.as_ref(), misread);
        self.say(format!("{}: a rebuild begins", slot.name()));
        self.busy = Some(model);
        let mut beside = Ok(());
        let reconciling = slot.health.reconciling();
        let mut turn = slot.turn();
        let result = rebuild::rebuild_in_batches(
            (&log, models.as_ref(), snapshots),
            &slot.fold,
            clock.as_ref(),
            batch_events,
            &mut |_| {
                for _ in 0..if disturbed { self.random.below(4) } else { 0 } {
                    if self.is_dark() || beside.is_err() {
                        break;
                    }
                    beside = self.step_beside();
                }
                let ends = beside.is_err() || self.is_dark() || (disturbed && self.random.chance(60));
                if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        turn.changed();
        drop(turn);
        drop(reconciling);
        self.busy = None;
        beside?;
        slot.moved.notify();
        let torn = self.faults.lock().torn_build != torn;
        let misread = log.misread.done().is_some();
        if misread {
            self.say("the log was misread for it");
        }
        if snapshots.is_some() {
            let is_disturbed = disturbed || misread || faults != self.faults_so_far();
            self.judge_beginning(model, &kept, &result, is_disturbed)?;
        }
        self.judge_rebuild(model, &before, &result, (torn, misread))
    }

    fn judge_rebuild(
        &mut self,
        model: usize,
        before: &Stored,
        result: &Result<Rebuilt, EngineError>,
        (torn, misread): (bool, bool),
    ) -> Checked<bool> {
        let name = self.name(model);
        match result {
            Ok(done) => self.say(format!("{name}: {done:?}")),
            Err(error) => self.say(format!("{name}: the rebuild fails: {error}")),
        }
        if matches!(result, Err(EngineError::NotVerified { .. })) && !torn && !misread {
            return broken(
                format!("a rebuilt table of {name} to equal the log"),
                "it does not, no write was torn and nothing misread",
            );
        }
        let Some(after) = self.stored(model)? else { return broken(format!("{name} to be stored"), "it is not") };
        // Where the answer to the swap was lost the new table is there all the same.
        let swapped = after.state.generation != before.state.generation;
        if matches!(result, Ok(Rebuilt::Swapped { .. })) != swapped && result.is_ok() {
            return broken(format!("{name} to be swapped or as it was"), format!("{result:?}"));
        }
        if !swapped {
            self.stats.rebuilds_ended += 1;
            if after.rows != before.rows || after.state.checkpoint != before.state.checkpoint {
                return broken(format!("the table of {name} as it was before the rebuild"), "another one");
            }
            return Ok(false);
        }
        self.stats.rebuilds += 1;
        self.tables[model].trust = Trust::Sound;
        // A new table is watched from its first moment on.
        self.tables[model].damage.watch = super::damage::Watch::default();
        self.tables[model].damage.is_mended();
        self.tables[model].forget();
        // What comes in while a table is verified is folded before the swap and not summed up again.
        self.check(model, torn)?;
        if !after.state.schema.same_as(self.fold(model).schema()) {
            return broken(
                format!("{name} at the declared version"),
                format!("version {}", after.state.schema.version),
            );
        }
        if let Some(node) = &mut self.node {
            node.needs[model] = false;
        }
        Ok(true)
    }
}
