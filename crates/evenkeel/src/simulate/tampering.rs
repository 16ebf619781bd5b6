//! Others than the projector: clients that write to a table, noted and not, files restored in part, and projectors that
//! misread the log.
//!
//! Finding it is [`super::healing`]'s; calls of the stores that fail are [`super::faults`]'.
use super::{
    Checked, broken,
    damage::Watch,
    events::some_key,
    misread::{Misread, Plan, misread_log},
    sound,
    table::{Shadow, Stored, Trust},
    world::World,
};
use crate::{
    Clock,
    projector::{Progress, ProjectorError},
    slot::Slot,
};
use evenkeel_core::{
    Event, Position,
    drift::Verdict,
    fold::{Fold, TouchId},
    row::{Key, Row},
};
use evenkeel_store::memory::Tamper;
use std::collections::BTreeSet;

impl World {
    /// The rows that the event at a position touches.
    pub(super) fn keys_of(&self, fold: &dyn Fold, at: Position) -> BTreeSet<Key> {
        let index = usize::try_from(at.0).unwrap_or_default().checked_sub(1);
        let event = index.and_then(|index| self.ledger.history.get(index));
        event.map_or_else(BTreeSet::new, |event| touched(fold, event, &BTreeSet::new()))
    }

    /// Somebody else writes a row, changes it or deletes it.
    pub(super) fn tamper(&mut self, model: usize) -> Checked {
        if !self.weather.others {
            return Ok(());
        }
        let Some(before) = self.stored(model)? else { return Ok(()) };
        let name = self.name(model);
        // Whoever writes to a row once does so again.
        let again = self.random.chance(300) && !before.noted.is_empty();
        let keys: Vec<Key> = match again {
            true => before.noted.iter().cloned().collect(),
            false => before.rows.keys().cloned().collect(),
        };
        let texts = some_key(&mut self.random, name.as_str());
        let key = match (self.random.chance(800), self.random.pick(&keys).cloned()) {
            (true, Some(key)) => key,
            _ => match Key::parse(&before.state.schema, &texts) {
                Ok(key) => key,
                Err(misfit) => return broken("a key of the model", misfit.to_string()),
            },
        };
        let row = self.another_row(model, &before, &key)?;
        let now = self.clock.now();
        let below = &self.below.models;
        let kind = self.random.weighted(&[6, 2, 2]);
        let said = match (&row, before.rows.contains_key(&key)) {
            (Some(_), true) => "changes",
            (Some(_), false) => "inserts",
            (None, _) => "deletes",
        };
        match kind {
            0 => sound(below.tamper(name, now, Tamper::Write(key.clone(), row.clone())))?,
            1 => {
                sound(below.tamper(name, now, Tamper::Unwatch))?;
                self.tables[model].damage.watch = Watch::Off;
                sound(below.tamper(name, now, Tamper::Write(key.clone(), row.clone())))?;
            }
            _ => sound(below.tamper(name, now, Tamper::Restore(key.clone(), row.clone())))?,
        }
        let Some(after) = self.stored(model)? else { return broken(format!("{name} to be stored"), "it is not") };
        let noted = kind == 0 && after.noted.contains(&key);
        self.say(format!("{name}: somebody else {said} {key}, {}", if noted { "noted" } else { "unnoted" }));
        self.judge_note(model, &before, &after, &key, kind == 0)?;
        if noted {
            self.stats.others_noted += 1
        } else {
            self.stats.others_unnoted += 1
        }
        let table = &mut self.tables[model];
        table.damage.foreign(&key);
        table.damage.sums |= !noted;
        table.unsee();
        self.check(model, false)
    }

    /// A row that somebody might put there: none, an earlier one, another one's, or the same again.
    fn another_row(&mut self, model: usize, before: &Stored, key: &Key) -> Checked<Option<Row>> {
        let schema = &before.state.schema;
        let rows: Vec<&Row> = before.rows.values().collect();
        Ok(match self.random.weighted(&[4, 4, 5, 1]) {
            0 => None,
            1 => {
                let maker = self.maker(model, before)?;
                let upto = Position(self.random.below(1 + before.state.checkpoint.position.0));
                Shadow::row_at(maker, &before.discarded, &self.ledger.history, upto, key)
            }
            2 => {
                let mut row = Row::new(schema, key);
                if let Some(other) = self.random.pick(&rows) {
                    for (index, cell) in other.cells.iter().enumerate().filter(|(at, _)| !schema.key.contains(at)) {
                        row.cells[index] = cell.clone();
                    }
                }
                Some(row)
            }
            _ => before.rows.get(key).cloned(),
        })
    }

    fn judge_note(&self, model: usize, before: &Stored, after: &Stored, key: &Key, watched: bool) -> Checked {
        let name = self.name(model);
        let noted = after.noted.contains(key);
        let is_write = before.rows.contains_key(key) || after.rows.contains_key(key);
        if watched && is_write && self.tables[model].damage.watch == Watch::On && !noted {
            return broken(format!("somebody else's write to {name} {key} to be noted"), "it is not");
        }
        let verdict = after.state.content.verdict;
        if noted && !matches!(verdict, Verdict::Suspect | Verdict::Drifted) {
            return broken(format!("{name} to be suspect at once: somebody else wrote {key}"), verdict.as_str());
        }
        Ok(())
    }

    /// How the log is misread next, if it is, in one of the first so many slices.
    pub(super) fn some_misread(&mut self, slices: usize) -> Option<Plan> {
        if self.settling || self.weather.misread == 0 {
            return None;
        }
        // What names no row is rare, and shows in no row that it was left out.
        let (any, nameless) = (self.random.chance(self.weather.misread), self.random.chance(700));
        let misread = if self.random.chance(600) { Misread::Missed } else { Misread::Doubled };
        let (dice, after) = (self.random.index(16), self.random.index(slices));
        (any || nameless).then_some(Plan { misread, dice, after, nameless: !any })
    }

    /// One batch of a projector that may misread the log.
    pub(super) fn advance_once(&mut self, model: usize, slot: &Slot) -> Checked<Result<Progress, ProjectorError>> {
        let before = self.stored(model)?;
        let misread = self.some_misread(1);
        let log = misread_log(self.log.as_ref(), misread);
        let result = slot.turn().advance(slot, &log, self.models.as_ref(), self.clock.now());
        let misread = log.misread.done();
        let (Some(before), Some(after)) = (before, self.stored(model)?) else { return Ok(result) };
        let (from, upto) = (before.state.checkpoint.position, after.state.checkpoint.position);
        // Also where the answer of the commit was lost.
        let misread = misread.filter(|(_, event)| from < event.position && event.position <= upto);
        if let Some((kind, event)) = &misread {
            let (more, what) = match kind {
                Misread::Missed => (-1, "left out"),
                Misread::Doubled => (1, "applied twice"),
            };
            let (name, maker) = (self.name(model), self.maker(model, &after)?);
            let keys = touched(maker.as_ref(), event, &before.discarded);
            self.say(format!("{name}: the event at {} is {what}", event.position));
            self.tables[model].damage.misread(event.position, more, &keys);
            if more < 0 { self.stats.events_missed += 1 } else { self.stats.events_doubled += 1 }
        }
        let missed = misread.filter(|(kind, _)| *kind == Misread::Missed).map(|(_, event)| event.position);
        self.judge_batch(model, &before, &result, (from, upto), missed)?;
        Ok(result)
    }

    /// Whether nothing was folded over a row that the projector did not write.
    fn judge_batch(
        &self,
        model: usize,
        before: &Stored,
        result: &Result<Progress, ProjectorError>,
        (from, upto): (Position, Position),
        missed: Option<Position>,
    ) -> Checked {
        let name = self.name(model);
        if self.tables[model].trust != Trust::Sound {
            return Ok(());
        }
        let maker = self.maker(model, before)?;
        let index = |position: Position| usize::try_from(position.0).unwrap_or(usize::MAX);
        let batch = self.ledger.history.get(index(from)..index(upto)).unwrap_or_default();
        let types = &before.state.schema.subscribes;
        let folded =
            batch.iter().filter(|event| types.contains(&event.draft.event_type) && Some(event.position) != missed);
        for event in folded {
            let keys = touched(maker.as_ref(), event, &before.discarded);
            if let Some(key) = keys.iter().find(|key| before.shows(key)) {
                return broken(format!("nothing to be folded over {name} {key}: somebody else wrote it"), "it was");
            }
        }
        match result {
            Err(ProjectorError::Damaged { keys, .. })
                if keys.is_empty() || keys.iter().any(|key| !before.shows(key)) =>
            {
                broken(format!("{name} to be stopped by rows that somebody else wrote"), format!("{keys:?}"))
            }
            _ => Ok(()),
        }
    }
}

/// The rows that an event touches, as far as that was not given up.
fn touched(fold: &dyn Fold, event: &Event, discarded: &BTreeSet<TouchId>) -> BTreeSet<Key> {
    let mut touches = Vec::new();
    fold.touches(event, &mut touches);
    touches.retain(|touch| {
        !discarded.contains(&TouchId { position: event.position, clause: touch.clause, element: touch.element })
    });
    touches.into_iter().filter_map(|touch| touch.key.ok()).collect()
}
