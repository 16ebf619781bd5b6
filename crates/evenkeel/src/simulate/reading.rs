//! Readers: what they are told is compared with the log.
//!
//! What a table should hold is [`super::table`]'s to know.
use super::{
    Checked, broken,
    events::some_key,
    table::{Stored, Trust},
    world::World,
};
use crate::{
    ReadError,
    reader::{Course, ReadOptions, Reader, RowsRequest, Step},
    report::{Consistency, RowAnswer},
    slot::Slot,
};
use evenkeel_core::{
    Position,
    drift::Verdict,
    fold::ParkState,
    freshness::{FreshnessLimits, Level},
    json::Object,
    query::{Asked, Query},
    row::{Key, Row},
    token::Token,
};
use evenkeel_store::Log;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Longer than a simulated read can take, because its clock stands still.
const BUDGET: Duration = Duration::from_millis(250);

impl World {
    /// Somebody reads from a model.
    pub(super) fn read(&mut self, model: usize) -> Checked {
        if self.random.chance(200) {
            return self.read_own(model);
        }
        let level = if self.random.chance(500) { Level::Strong } else { Level::Eventual };
        if self.random.chance(250) {
            let asked = if self.random.chance(500) { Asked::default() } else { self.some_query(model) };
            return self.read_some(model, level, asked);
        }
        let key = self.some_key_of(model)?;
        self.read_key(model, &key, level)
    }

    fn some_key_of(&mut self, model: usize) -> Checked<Key> {
        let name = self.name(model);
        let texts = some_key(&mut self.random, name.as_str());
        match Key::parse(self.fold(model).schema(), &texts) {
            Ok(key) => Ok(key),
            Err(misfit) => broken("a key of the model", misfit.to_string()),
        }
    }

    /// A condition and an order by the first column of the key.
    fn some_query(&mut self, model: usize) -> Asked {
        let name = self.name(model);
        let from = some_key(&mut self.random, name.as_str()).swap_remove(0);
        let schema = self.fold(model).schema();
        let column = &schema.columns[schema.key[0]].name;
        Asked { conditions: vec![(column.clone(), format!("ge.{from}"))], order: Some(format!("{column}.desc")) }
    }

    /// Somebody reads a row with the token of a write of his own, any that the log has, and does not wait.
    fn read_own(&mut self, model: usize) -> Checked {
        let (key, Some(slot)) = (self.some_key_of(model)?, self.slot(model)) else { return Ok(()) };
        let Ok(head) = self.log.safe_head() else { return Ok(()) };
        let written = Position(self.random.below(head.position.0 + 1));
        let token = Token::new(&self.log.origin()).having_written(written);
        let options = ReadOptions { token: Some(token), budget: Duration::ZERO, ..ReadOptions::at(Level::Causal) };
        let faults = self.faults.lock().counts.total();
        let answer = self.with_reader(&slot, |reader| reader.get(&key, options));
        let disturbed = self.faults.lock().counts.total() != faults;
        let name = self.name(model);
        self.say(match &answer {
            Ok(answer) => format!("{name} {key} read causal at {written}: {}", answer.data.is_some()),
            Err(error) => format!("{name} {key} read causal at {written}: {error}"),
        });
        self.stats.reads += 1;
        let Some(stored) = self.stored(model)? else { return Ok(()) };
        let is_parked = stored.parks.iter().any(|park| {
            let of_key = park.key.as_ref().is_none_or(|of| *of == key);
            of_key && park.state != ParkState::Discarded && park.touch.position <= written
        });
        let lacking = self.lacks(&stored, written);
        match answer {
            // What it was misread to have it has for all that it knows.
            Ok(_) if lacking && self.tables[model].trust != Trust::Sound => Ok(()),
            Ok(answer) if lacking || is_parked => {
                let expected = format!("{name} {key} to be refused: it lacks events up to {written}");
                broken(expected, format!("{:?}", answer.consistency))
            }
            Ok(answer) => self.judge_eventual(model, &key, &answer, &stored),
            Err(ReadError::Store(_)) if disturbed => Ok(()),
            Err(ReadError::NotMet { .. }) if disturbed || lacking || is_parked || self.is_strange(model, &stored) => {
                Ok(())
            }
            Err(error) => broken(format!("{name} {key} to be read causal at {written}"), error.to_string()),
        }
    }

    /// Whether a table lacks an event of its types at or before a position.
    fn lacks(&self, stored: &Stored, upto: Position) -> bool {
        let from = usize::try_from(stored.state.checkpoint.position.0).unwrap_or(usize::MAX);
        let upto = usize::try_from(upto.0).unwrap_or(usize::MAX);
        let between = self.ledger.history.get(from..upto).unwrap_or_default();
        between.iter().any(|event| stored.state.schema.subscribes.contains(&event.draft.event_type))
    }

    /// Whether a table is not of this log or version, or counts other events than it has.
    fn is_strange(&self, model: usize, stored: &Stored) -> bool {
        let outdated = !stored.state.schema.same_as(self.fold(model).schema());
        let beyond = stored.state.checkpoint.position.0 > self.ledger.history.len() as u64;
        outdated || beyond || stored.state.condemned.is_some() || self.tables[model].trust != Trust::Sound
    }

    /// Reads one row and judges the answer.
    pub(super) fn read_key(&mut self, model: usize, key: &Key, level: Level) -> Checked {
        let Some(slot) = self.slot(model) else { return Ok(()) };
        let faults = self.faults.lock().counts.total();
        let options = ReadOptions { budget: BUDGET, ..ReadOptions::at(level) };
        let answer = self.with_reader(&slot, |reader| reader.get(key, options));
        let disturbed = self.faults.lock().counts.total() != faults;
        let name = self.name(model);
        self.say(match &answer {
            Ok(answer) => {
                format!("{name} {key} read {level}: {} {}", answer.consistency.freshness, answer.data.is_some())
            }
            Err(error) => format!("{name} {key} read {level}: {error}"),
        });
        self.stats.reads += 1;
        let Some(stored) = self.stored(model)? else { return Ok(()) };
        match answer {
            Ok(answer) if level == Level::Strong => self.judge_strong(model, key, &answer, &stored),
            Ok(answer) => self.judge_eventual(model, key, &answer, &stored),
            Err(ReadError::Store(_)) if disturbed => Ok(()),
            Err(ReadError::NotMet { .. }) if disturbed || self.is_parked(model, key, &stored) => Ok(()),
            Err(error) => broken(format!("{name} {key} to be read {level}"), error.to_string()),
        }
    }

    fn slot(&self, model: usize) -> Option<Arc<Slot>> {
        self.node.as_ref().map(|node| Arc::clone(&node.slots[model]))
    }

    fn with_reader<T>(&self, slot: &Arc<Slot>, read: impl FnOnce(&Reader<'_>) -> T) -> T {
        read(&Reader {
            log: self.log.as_ref(),
            models: self.models.as_ref(),
            clock: self.clock.as_ref(),
            slot,
            limits: &FreshnessLimits::default(),
            within: Duration::MAX,
            // Trying again is for those who have the time.
            retry: None,
        })
    }

    /// Whether an event of the row, or one that may be of any, cannot be applied, as stored or by the log.
    fn is_parked(&mut self, model: usize, key: &Key, stored: &Stored) -> bool {
        let may_be_of = |of: Option<&Key>| of.is_none_or(|of| of == key);
        let waits = stored.parks.iter().any(|park| may_be_of(park.key.as_ref()) && park.state != ParkState::Discarded);
        let fold = self.fold(model);
        let tip = self.tables[model].tip(fold, stored.discarded.clone(), &self.ledger.history);
        waits || tip.parks.values().any(|(of, _)| may_be_of(of.as_ref()))
    }

    /// Whether the engine cannot know that what it serves of a row is wrong: finding that takes a verification.
    fn may_be_wrong(&self, model: usize, key: Option<&Key>, stored: &Stored) -> bool {
        let table = &self.tables[model];
        let doubted = matches!(stored.state.content.verdict, Verdict::Drifted | Verdict::Suspect);
        if !doubted && table.trust != Trust::Sound {
            return true;
        }
        // As many counted twice as the model lacks, or as many as were left out: it seems to have everything.
        let behind = i64::try_from(self.missing(stored)).unwrap_or(i64::MAX);
        let (misread, over) = (!table.damage.events.is_empty() || table.damage.blurred, table.overcount);
        if (over > 0 && over >= behind && behind > 0) || (key.is_none() && misread && over >= 0) {
            return true;
        }
        match key {
            Some(key) if misread && over == 0 && table.damage.has(key) => true,
            // What a torn write of our own lost is nobody else's commit; every other wrong row is folded from its events.
            Some(key) => {
                let is_wrong = table.damage.has(key) && stored.rows.contains_key(key) && !stored.shows(key);
                !doubted && is_wrong && self.weather.tear > 0
            }
            // All rows were added up since anybody else wrote.
            None => !doubted && table.damage.is_any() && self.weather.tear > 0,
        }
    }

    fn judge_strong(&mut self, model: usize, key: &Key, answer: &RowAnswer, stored: &Stored) -> Checked {
        if self.may_be_wrong(model, Some(key), stored) {
            return Ok(());
        }
        let fold = self.fold(model);
        let tip = self.tables[model].tip(fold, stored.discarded.clone(), &self.ledger.history);
        let row = tip.rows.get(key).and_then(|row| row.shown(fold.schema()));
        if tip.parks.values().any(|(of, _)| of.as_ref().is_none_or(|of| of == key)) {
            return broken(
                format!("no strong answer for {key}: an event of it, or of an unknown row, is parked"),
                format!("{:?}", answer.data),
            );
        }
        if answer.data != row || answer.consistency.data_stale {
            let expected = format!("{} {key} with everything in it: {row:?}", self.name(model));
            return broken(expected, format!("{:?}", answer));
        }
        Ok(())
    }

    fn judge_eventual(&mut self, model: usize, key: &Key, answer: &RowAnswer, stored: &Stored) -> Checked {
        let row = stored.rows.get(key).and_then(|row| row.shown(&stored.state.schema));
        let name = self.name(model);
        if answer.data != row {
            return broken(format!("{name} {key} as it is stored: {row:?}"), format!("{:?}", answer.data));
        }
        let waiting = stored.parks.iter().filter(|park| park.state != ParkState::Discarded);
        let parked = waiting.map(|park| park.key.as_ref()).any(|of| of.is_none_or(|of| of == key));
        let label = &answer.consistency;
        if parked != (label.parked_events > 0) || (parked && !label.data_stale) {
            return broken(
                format!("{name} {key} to be stale: an event is parked that is of it, or may be"),
                format!("{label:?}"),
            );
        }
        self.judge_label(model, label, stored)?;
        if stored.shows(key) && label.suggested_action == "use_data" {
            return broken(format!("{name} {key} not to be used: somebody else wrote it"), format!("{label:?}"));
        }
        let excused = self.tables[model].damage.has(key) || self.tables[model].overcount > 0;
        if label.data_stale || excused || self.tables[model].trust != Trust::Sound {
            return Ok(());
        }
        let maker = self.maker(model, stored)?;
        let tip = self.tables[model].tip(maker, stored.discarded.clone(), &self.ledger.history);
        let current = tip.rows.get(key).and_then(|row| row.shown(&stored.state.schema));
        if current != row {
            return broken(format!("{name} {key}, which is called current, to be {current:?}"), format!("{row:?}"));
        }
        Ok(())
    }

    /// Whether a label makes the data look no fresher than it is.
    fn judge_label(&self, model: usize, label: &Consistency, stored: &Stored) -> Checked {
        if self.tables[model].trust != Trust::Sound {
            return Ok(());
        }
        // What the model counts, and where it counted too many is not known to be behind.
        let missing = self.lag(model, stored);
        let fresh = label.freshness == "fresh" || !label.data_stale || label.lag_count == Some(0);
        if (fresh && missing > 0) || label.lag_count.is_some_and(|count| count != missing) {
            let expected = format!("{} to be {missing} events behind", self.name(model));
            return broken(expected, format!("{label:?}"));
        }
        Ok(())
    }

    /// Reads a whole table and judges the answer.
    pub(super) fn read_rows(&mut self, model: usize, level: Level) -> Checked {
        self.read_some(model, level, Asked::default())
    }

    /// Reads the rows that meet a query, and judges the answer.
    fn read_some(&mut self, model: usize, level: Level, query: Asked) -> Checked {
        let Some(slot) = self.slot(model) else { return Ok(()) };
        let faults = self.faults.lock().counts.total();
        let request = RowsRequest { query, count: true, limit: 10_000, ..RowsRequest::default() };
        let answer = self.with_reader(&slot, |reader| {
            let mut course = Course::new(&slot, ReadOptions::at(level), reader.clock.monotonic());
            loop {
                match reader.try_rows(&request, &mut course)? {
                    Step::Done(answer) => return Ok(answer),
                    Step::Pause(_) => {}
                    // That is for threads.
                    Step::Wait(_) => {
                        let reason = "it would wait".into();
                        return Err(ReadError::NotMet { reason, retry_after: Duration::ZERO, label: None });
                    }
                }
            }
        });
        let disturbed = self.faults.lock().counts.total() != faults;
        let name = self.name(model);
        self.say(match &answer {
            Ok(answer) => format!("{name} read {level}: {} {} rows", answer.consistency.freshness, answer.rows.len()),
            Err(error) => format!("{name} read {level}: {error}"),
        });
        self.stats.reads += 1;
        let Some(stored) = self.stored(model)? else { return Ok(()) };
        match answer {
            Ok(answer) if level == Level::Strong => {
                if self.may_be_wrong(model, None, &stored) {
                    return Ok(());
                }
                let fold = self.fold(model);
                let tip = self.tables[model].tip(fold, stored.discarded.clone(), &self.ledger.history);
                let query = match Query::parse(fold.schema(), &request.query) {
                    Ok(query) => query,
                    Err(error) => return broken("a query of the model", error.to_string()),
                };
                let by_key: BTreeMap<&Key, &Row> = tip.rows.iter().collect();
                let shown = by_key.into_values().filter(|row| fold.schema().shows(row));
                let expected = query.select(shown, None, request.limit);
                let total = expected.total;
                let expected: Vec<Object> = expected.rows.iter().map(|row| row.to_json(fold.schema())).collect();
                let rows: Vec<Object> = answer.rows.into_iter().map(without_mark).collect();
                if rows != expected || answer.total != Some(total) || !tip.parks.is_empty() {
                    return broken(format!("{name} with everything in it: {expected:?}"), format!("{rows:?}"));
                }
                Ok(())
            }
            Ok(answer) => self.judge_label(model, &answer.consistency, &stored),
            Err(ReadError::Store(_)) if disturbed => Ok(()),
            Err(ReadError::NotMet { .. }) if disturbed || self.cannot_be_met(model, &stored) => Ok(()),
            Err(error) => broken(format!("{name} to be read {level}"), error.to_string()),
        }
    }

    /// Whether a whole table cannot be read at level strong without waiting.
    fn cannot_be_met(&self, model: usize, stored: &Stored) -> bool {
        let doubted = matches!(stored.state.content.verdict, Verdict::Drifted | Verdict::Suspect);
        let outdated = !stored.state.schema.same_as(self.fold(model).schema());
        let unsound = self.tables[model].trust != Trust::Sound;
        // What was misread shows in the counts or in the sums, where the reader compares those.
        let shown = !stored.unsound.is_empty() || self.tables[model].damage.is_any();
        let shown = shown || !stored.noted.is_empty();
        let behind = self.missing(stored) > 0 || self.lag(model, stored) > 0;
        behind || shown || stored.state.parked.events > 0 || doubted || outdated || unsound
    }
}

/// A row as it is stored: without what a page says of it beside.
fn without_mark(mut row: Object) -> Object {
    row.remove("_parked");
    row
}
