//! Resolved conflicts: the records of them, and deciding them again.
//!
//! They are made where events are folded ([`evenkeel_core::merge`]) and kept in the transaction of the rows they concern.
use crate::{
    Engine, EngineError,
    report::{ConflictReport, ConflictsReport},
};
use evenkeel_core::{ModelName, Position, merge::ConflictId, row::Key};
use evenkeel_store::{ConflictQuery, RecordedConflict};

/// Which conflicts are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'w> {
    /// Those of this model.
    pub model: Option<&'w str>,
    /// Those of this row of the model, as it is written in the path of a read.
    pub key: Option<&'w str>,
    /// Those before this: [`ConflictsReport::next`] of an earlier answer.
    pub cursor: Option<&'w str>,
    /// How many at most.
    pub limit: usize,
    /// Whether each is to be decided again.
    pub replay: bool,
}

/// A cursor in text.
fn cursor(text: &str) -> Option<(Position, ConflictId, u32)> {
    let mut parts = text.split('.');
    let found = (Position(parts.next()?.parse().ok()?), parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(found)
}

fn report(record: &RecordedConflict, replay: bool) -> ConflictReport {
    let RecordedConflict { id, model, model_version, conflict } = record;
    ConflictReport {
        id: id.to_string(),
        model: model.to_string(),
        model_version: *model_version,
        key: conflict.key.to_string(),
        column: conflict.column.clone(),
        winner: (&conflict.winner).into(),
        loser: (&conflict.loser).into(),
        strategy: conflict.strategy.as_str(),
        relation: conflict.relation.as_str(),
        rule: conflict.rule.as_str(),
        recorded_time: conflict.at.to_string(),
        replayed: replay.then(|| conflict.replay()),
    }
}

impl Engine {
    /// The conflicts that were resolved, those of the latest writes first.
    ///
    /// # Errors
    /// Where there is no such model, the key is none of its rows', the cursor is not of an earlier answer, or the models'
    /// store cannot be read.
    pub fn conflicts(&self, wanted: Wanted<'_>) -> Result<ConflictsReport, EngineError> {
        let slot = wanted.model.map(|model| self.inner.slot(model)).transpose()?;
        let key = match (wanted.key, &slot) {
            (None, _) => None,
            (Some(_), None) => return Err(EngineError::Conflicts("a key is of a model: name the model too".into())),
            (Some(text), Some(slot)) => {
                let schema = slot.schema();
                let parts: Vec<_> = text.splitn(schema.key.len().max(1), '/').collect();
                Some(Key::parse(schema, &parts).map_err(|misfit| EngineError::Conflicts(format!("key: {misfit}")))?)
            }
        };
        let bad = || EngineError::Conflicts("the cursor is not of an earlier answer".into());
        let before = wanted.cursor.map(|text| cursor(text).ok_or_else(bad)).transpose()?;
        let model: Option<ModelName> = slot.map(|slot| slot.name().clone());
        let limit = wanted.limit.saturating_add(1);
        let mut found = self.inner.models.conflicts(&ConflictQuery { model, key, id: None, before, limit })?;
        let more = found.len() > wanted.limit;
        found.truncate(wanted.limit);
        let next = found.last().filter(|_| more).map(|last| {
            let RecordedConflict { id, model_version, conflict, .. } = last;
            format!("{}.{id}.{model_version}", conflict.position())
        });
        let conflicts = found.iter().map(|record| report(record, wanted.replay)).collect();
        Ok(ConflictsReport { conflicts, next })
    }

    /// The conflict of this name, decided again: once for each version of its model that has decided it, the latest first.
    ///
    /// # Errors
    /// Where the models' store cannot be read.
    pub fn conflict(&self, id: &str) -> Result<Vec<ConflictReport>, EngineError> {
        let Ok(id) = id.parse() else { return Ok(Vec::new()) };
        let query = ConflictQuery { id: Some(id), limit: 100, ..ConflictQuery::default() };
        Ok(self.inner.models.conflicts(&query)?.iter().map(|record| report(record, true)).collect())
    }
}
