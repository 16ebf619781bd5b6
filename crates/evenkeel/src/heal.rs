//! Rows that the projector comes upon and that are not as they were written: they are folded anew, so that it can go on.
//!
//! Those rows and no others: what else is wrong with the model stays noted, and is the reconciler's with its budget, its
//! pace and its lease. This has none of them, as little as a batch has: it is part of projecting one.
use crate::{
    EngineError,
    content::{Checked, check_rows},
    engine::Inner,
    operate::millis,
    reconciler::EVIDENCE,
    repair::{evidence, repair_rows},
    slot::Slot,
};
use evenkeel_core::{
    content::Cause,
    drift::{Content, Verdict},
    reconciliation::{Method, ReconciliationResult},
    row::Key,
};

impl Inner {
    /// Folds rows anew that the projector came upon and that are not as they were written.
    ///
    /// Also one of which the fold makes another row than it made before, which otherwise waits for a person: what it was
    /// is gone, and over what somebody else wrote nothing may be folded. It is kept by that name.
    pub(crate) fn heal(&self, slot: &Slot, keys: &[Key]) -> Result<(), EngineError> {
        let started = self.clock.monotonic();
        let mut turn = slot.turn();
        let observation = self.observe(slot)?;
        let worker = slot.health.get();
        let status = slot.watch.lock().peek(&observation, &worker).status;
        let mut record = self.new_record(&observation, &worker, status);
        record.reconciliation_method = Method::Repair;
        let checker = self.checker(slot);
        // Where others' writes were not noted the model is doubted with this, for whoever looks next.
        self.models.watch(slot.name())?;
        let mut checked = check_rows(&checker, keys, &mut || self.go_on())?;
        if checked.wrong.is_empty() {
            self.models.settle(slot.name(), &checked.cleared)?;
            turn.rows_changed();
            return self.leave_to_reconciler(slot, &checked).map(drop);
        }
        let defects = name_defects(slot, &mut checked);
        let evidence = evidence(&checker, &checked.wrong[..checked.wrong.len().min(EVIDENCE)]);
        self.begin_record(&mut record, &evidence)?;
        let repaired = repair_rows(&checker, &checked, turn.pass().as_mut());
        turn.repaired(&repaired);
        slot.named.lock().retain(|key| !keys.contains(key));
        slot.rows_changed();
        record.events_replayed = checked.events;
        let done = repaired.map_err(EngineError::from).and_then(|repaired| {
            record.rows_repaired = repaired.rows;
            record.verified = repaired.verified;
            if !defects.is_empty() {
                self.keep_defects(slot, &defects)?;
            }
            match repaired.verified {
                true => Ok(()),
                false => Err(EngineError::Method("rows still differ from the log after they were folded anew".into())),
            }
        });
        let left = self.leave_to_reconciler(slot, &checked);
        drop(turn);
        // Of a model with more to look at these rows are not everything.
        record.verified &= matches!(left, Ok(false));
        if let Err(error) = &done {
            record.result = ReconciliationResult::Failed;
            record.error = Some(error.to_string());
        }
        record.duration_ms = millis(self.clock.monotonic().saturating_sub(started));
        self.end_record(slot, &mut record, &evidence)?;
        done.and(left.map(drop))
    }

    /// Rows were written without the word of a person that they waited for, or would have: said, and the others of the
    /// model looked at, since a fold at fault seldom is so with one row.
    fn keep_defects(&self, slot: &Slot, defects: &[Key]) -> Result<(), EngineError> {
        let first = defects.first().map_or_else(String::new, ToString::to_string);
        tracing::warn!(model = %slot.name(), rows = defects.len(), first, "the fold makes other rows than it made before; these were edited as well and are written as it makes them now");
        self.forget_snapshots(slot, "the fold makes other rows than it made before");
        slot.waiting.lock().retain(|key| !defects.contains(key));
        let content = self.observe(slot)?.state.content;
        Ok(self.models.set_content(slot.name(), Content { verdict: Verdict::Drifted, ..content })?)
    }

    /// Asks for a look at the model where something is left of what was found, or was known before. Whether it is.
    fn leave_to_reconciler(&self, slot: &Slot, checked: &Checked) -> Result<bool, EngineError> {
        if !checked.windows.is_empty() {
            // Events were missed or applied twice, and these rows need not be all that they touch.
            self.models.doubt(slot.name(), 0)?;
        }
        let is_left = matches!(self.observe(slot)?.state.content.verdict, Verdict::Suspect | Verdict::Drifted);
        if is_left {
            self.reconcile_needed(slot);
        }
        Ok(is_left)
    }
}

/// Calls rows by the graver of their causes, of which the fold makes others than it made before; which those are.
fn name_defects(slot: &Slot, checked: &mut Checked) -> Vec<Key> {
    let waiting = slot.waiting.lock();
    let is_defect = |wrong: &&mut crate::content::Wrong| wrong.defect || waiting.contains(&wrong.row.key);
    let defects = checked.wrong.iter_mut().filter(is_defect);
    defects
        .map(|wrong| {
            wrong.row.cause = Cause::ProjectorDefect;
            wrong.row.key.clone()
        })
        .collect()
}
