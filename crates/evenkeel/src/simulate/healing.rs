//! Wrong rows found and put right, as the reconciler does it, and every finding compared with the books.
//!
//! What was done to the rows is [`super::tampering`]'s.
use super::{
    Checked, broken,
    damage::Watch,
    sound,
    table::{Stored, Trust},
    world::World,
};
use crate::{
    Clock, EngineError,
    content::{self, Checker, Depth, check_live, conclude},
    repair::{Repaired, repair},
};
use evenkeel_core::{content::Pass, drift::Verdict, fold::Park, row::Key};
use evenkeel_store::{Models, StoreError, Table as Which};
use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc};

/// What was found, and what came of putting it right; `None` where that was not tried.
type Done = Result<Option<Repaired>, StoreError>;

impl World {
    fn some_depth(&mut self) -> Depth {
        [Depth::Suspected, Depth::Sums, Depth::Full][self.random.weighted(&[5, 3, 2])]
    }

    /// Looks for wrong rows, and leaves them.
    pub(super) fn look_for_wrong_rows(&mut self, model: usize) -> Checked {
        let depth = self.some_depth();
        self.heal(model, depth, &[], false).map(drop)
    }

    /// Looks for wrong rows and writes them as the log says.
    pub(super) fn repair_wrong_rows(&mut self, model: usize) -> Checked {
        let depth = self.some_depth();
        self.heal(model, depth, &[], true).map(drop)
    }

    /// Compares every row with the log. Whether it ended, and found nothing.
    pub(super) fn verify(&mut self, model: usize) -> Checked<bool> {
        self.heal(model, Depth::Full, &[], false)
    }

    /// Looks for wrong rows, and puts them right where it `mends`. Whether nothing is wrong, as far as was looked.
    pub(super) fn heal(&mut self, model: usize, depth: Depth, also: &[Key], mends: bool) -> Checked<bool> {
        let Some(node) = &self.node else { return Ok(false) };
        let slot = Arc::clone(&node.slots[model]);
        self.check(model, false)?;
        let Some(before) = self.stored(model)? else { return Ok(false) };
        // What was found more thoroughly is not taken back by a smaller look.
        let known = before.state.content.verdict == Verdict::Drifted;
        let depth = if mends && known { Depth::Full } else { depth };
        let torn = self.faults.lock().torn_live;
        let (found, done) = {
            let mut turn = slot.turn();
            let (log, models, fold) = (self.log.as_ref(), self.models.as_ref(), slot.fold.as_ref());
            let checker = Checker { log, models, fold, now: self.clock.now() };
            let found = check_live(&checker, depth, also, &mut || ControlFlow::Continue(()));
            let done: Done = match &found {
                Ok(found) if mends && !found.wrong.is_empty() => {
                    let repaired = repair(&checker, found, true, turn.pass().as_mut());
                    turn.repaired(&repaired);
                    repaired.map(Some)
                }
                Ok(found) => {
                    let concluded = conclude(&checker, found, false, turn.pass().as_mut());
                    concluded.map(|_| turn.rows_changed()).map(|()| None)
                }
                Err(_) => Ok(None),
            };
            if done.is_err() {
                turn.changed();
            }
            (found, done)
        };
        slot.moved.notify();
        let torn = self.faults.lock().torn_live != torn;
        let name = self.name(model);
        self.stats.checks += 1;
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.judge_unchecked(model, error),
        };
        let keys: Vec<String> =
            found.wrong.iter().map(|wrong| format!("{} {}", wrong.row.key, wrong.row.cause)).collect();
        self.say(format!("{name}: looked at {:?}, wrong [{}]; {done:?}", found.depth, keys.join(", ")));
        self.stats.drift_found += u64::from(!found.wrong.is_empty());
        let clean = match &done {
            Ok(Some(repaired)) => repaired.verified,
            Ok(None) => found.wrong.is_empty(),
            Err(_) => false,
        };
        if self.tables[model].trust != Trust::Sound {
            // Whoever looks puts the watch on again, whatever there is to be found.
            self.tables[model].damage.watch = Watch::On;
            return Ok(clean);
        }
        self.judge_found(model, &before, also, &found)?;
        self.judge_done(model, &before, &found, &done, torn)?;
        Ok(clean)
    }

    fn judge_unchecked(&mut self, model: usize, error: EngineError) -> Checked<bool> {
        let name = self.name(model);
        self.say(format!("{name}: not looked at: {error}"));
        let table = &mut self.tables[model];
        if table.damage.watch == Watch::Off {
            table.damage.watch = Watch::Unsure;
        }
        let state = sound(self.below.models.state(name))?;
        let outdated = state.as_ref().is_some_and(|state| !state.schema.same_as(self.fold(model).schema()));
        match error {
            EngineError::Store(_) => Ok(false),
            EngineError::Outdated(_) if outdated => Ok(false),
            EngineError::Method(_) if self.tables[model].trust != Trust::Sound => Ok(false),
            error => broken(format!("{name} to be looked at"), error.to_string()),
        }
    }

    /// Whether what was found is what is wrong.
    fn judge_found(&mut self, model: usize, before: &Stored, also: &[Key], found: &content::Checked) -> Checked {
        let (name, maker) = (self.name(model), self.maker(model, before)?);
        let table = &mut self.tables[model];
        let off = std::mem::take(&mut table.damage.watch) == Watch::Off;
        let table = &self.tables[model];
        let (damage, blurred) = (&table.damage, table.damage.blurred);
        let events = damage.events.len();
        if off && found.depth < Depth::Sums {
            return broken(format!("{name} to be summed up: others' writes were not noted"), "it was not");
        }
        if !blurred && ((events > 0) == found.windows.is_empty() || (events > 2 && found.depth < Depth::Full)) {
            let expected = format!("{events} misread events of {name} to be seen, more than two by folding everything");
            return broken(expected, format!("{:?} at {:?}", found.windows, found.depth));
        }
        let reference = table.at_checkpoint();
        if found.depth == Depth::Full && found.rows != Some(reference.rows.len() as u64) {
            return broken(format!("{} rows of {name}", reference.rows.len()), format!("{:?}", found.rows));
        }
        let must: BTreeSet<&Key> = table.wrong.iter().chain(&before.unsound).collect();
        for wrong in &found.wrong {
            let row = &wrong.row;
            if !must.contains(&row.key) && !table.misparked.contains(&row.key) {
                return broken(format!("{name} {} not to be called wrong", row.key), format!("{row:?}"));
            }
            if row.expected.as_ref() != reference.rows.get(&row.key) || row.actual.as_ref() != before.rows.get(&row.key)
            {
                let expected = (reference.rows.get(&row.key), before.rows.get(&row.key));
                return broken(format!("{name} {} to be said to be {expected:?}", row.key), format!("{row:?}"));
            }
            // What can be seen to be somebody else's is never put down to the projector.
            let shows = before.shows(&row.key);
            if !damage.explains(&row.key, row.cause, (row.expected.is_some(), row.actual.is_some()), shows) {
                return broken(format!("{name} {} to be wrong for what was done to it", row.key), format!("{row:?}"));
            }
        }
        let named: BTreeSet<&Key> = found.wrong.iter().map(|wrong| &wrong.row.key).collect();
        let mut suspects: BTreeSet<&Key> = before.noted.iter().chain(also).collect();
        let touched: Vec<Key> = damage.events.keys().flat_map(|at| self.keys_of(maker.as_ref(), *at)).collect();
        suspects.extend(&touched);
        let overlooked = must.difference(&named).find(|key| found.depth > Depth::Suspected || suspects.contains(*key));
        match overlooked {
            Some(key) => broken(format!("{name} {key} to be found wrong"), format!("{named:?} at {:?}", found.depth)),
            None => Ok(()),
        }
    }

    /// Whether what was done about it left what the log says.
    fn judge_done(
        &mut self,
        model: usize,
        before: &Stored,
        found: &content::Checked,
        done: &Done,
        torn: bool,
    ) -> Checked {
        let name = self.name(model);
        let Some(after) = self.stored(model)? else { return broken(format!("{name} to be stored"), "it is not") };
        let table = &mut self.tables[model];
        let counted = after.identities == table.identities();
        let is_new = |park: &&Park| park.key.is_none() && before.parks.iter().all(|known| known.touch != park.touch);
        self.stats.parked_late += after.parks.iter().filter(is_new).count() as u64;
        let mended = match done {
            Ok(None) => found.wrong.is_empty(),
            Ok(Some(repaired)) => {
                if !repaired.verified && !torn {
                    return broken(format!("a repair of {name} to leave what the log says"), "it finds other rows");
                }
                self.stats.repairs += u64::from(repaired.verified);
                self.stats.rows_repaired += repaired.rows;
                repaired.verified
            }
            Err(_) => false,
        };
        if counted {
            // Also where the answer of the last write was lost.
            table.damage.are_counted();
        }
        if mended && !counted {
            return broken(format!("the windows of {name} to be right"), format!("{:?}", after.identities));
        }
        let sums = table.damage.sums && found.depth < Depth::Sums;
        if mended && found.depth >= Depth::Sums {
            table.damage.is_mended();
        } else if mended {
            let right = found.wrong.iter().map(|wrong| &wrong.row.key).chain(found.cleared.iter().map(|row| &row.key));
            right.for_each(|key| table.damage.is_right(key));
        }
        table.unsee();
        self.check(model, torn)?;
        let table = &mut self.tables[model];
        if let (Ok(None), false) = (done, mended) {
            table.known.extend(found.wrong.iter().map(|wrong| wrong.row.key.clone()));
        }
        if mended {
            let named: BTreeSet<Key> = found.wrong.iter().map(|wrong| wrong.row.key.clone()).collect();
            if let Some(key) = named.iter().find(|key| table.wrong.contains(*key) || after.shows(key)) {
                return broken(format!("{name} {key} to be right once it is repaired"), "it is not");
            }
            if !after.noted.is_empty() {
                return broken(format!("no notes of others' writes to {name}"), format!("{:?}", after.noted));
            }
            if !torn && !sums {
                self.judge_sums(model)?;
            }
        }
        self.judge_verdict(model, before, found, done, mended)
    }

    fn judge_verdict(
        &self,
        model: usize,
        before: &Stored,
        found: &content::Checked,
        done: &Done,
        mended: bool,
    ) -> Checked {
        let name = self.name(model);
        let Some(after) = sound(self.below.models.state(name))? else { return Ok(()) };
        let verdict = after.content.verdict;
        let fits = match done {
            Err(_) => true,
            Ok(Some(_)) if mended => matches!(verdict, Verdict::Verified | Verdict::Unverified),
            Ok(Some(_)) => true,
            Ok(None) if !found.wrong.is_empty() => verdict == Verdict::Drifted,
            Ok(None) if found.depth == Depth::Full => verdict == Verdict::Verified,
            Ok(None) if before.state.content.verdict == Verdict::Drifted => verdict == Verdict::Drifted,
            Ok(None) if found.depth == Depth::Sums => verdict == Verdict::Verified,
            Ok(None) => matches!(verdict, Verdict::Verified | Verdict::Unverified),
        };
        if fits { Ok(()) } else { broken(format!("{name} to be called what it is"), verdict.as_str()) }
    }

    /// Whether the sums of the buckets are those of the rows.
    fn judge_sums(&self, model: usize) -> Checked {
        let (below, name) = (&self.below.models, self.name(model));
        let mut pass = Pass::new(self.clock.now());
        for row in sound(below.scrub(name, Which::Live, None, usize::MAX))? {
            pass.read(row.key, row.hash, row.digest);
        }
        let differing = pass.differing(&sound(below.buckets(name, Which::Live))?);
        if differing.is_empty() {
            return Ok(());
        }
        broken(format!("the rows of {name} to add up"), format!("buckets {differing:?} do not"))
    }
}
