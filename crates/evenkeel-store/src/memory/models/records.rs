//! The records of reconciliations and of conflicts in memory.
use crate::{ConflictQuery, KEPT_CONFLICTS, KEPT_RECORDS, RecordedConflict};
use evenkeel_core::{
    ModelName, Position,
    merge::{Conflict, ConflictId},
    reconciliation::{Evidence, Reconciliation},
    schema::Schema,
};
use std::{collections::BTreeMap, ops::Bound, sync::Arc};

/// Records by their numbers, each with the rows it found wrong.
#[derive(Clone)]
pub(super) struct Records {
    by_id: BTreeMap<u64, (Reconciliation, Arc<[Evidence]>)>,
    last: u64,
    kept: usize,
    /// By the place in the log of the later of the two, name and version of the model.
    conflicts: BTreeMap<(Position, ConflictId, u32), RecordedConflict>,
}

impl Default for Records {
    fn default() -> Self {
        let mut records = Self { by_id: BTreeMap::new(), last: 0, kept: 0, conflicts: BTreeMap::new() };
        records.keep(KEPT_RECORDS);
        records
    }
}

impl Records {
    pub(super) fn keep(&mut self, records: u64) {
        self.kept = usize::try_from(records).unwrap_or(usize::MAX).max(1);
    }

    /// Keeps what is not kept yet.
    pub(super) fn keep_conflicts(&mut self, schema: &Schema, conflicts: &[Conflict]) {
        for conflict in conflicts {
            let id = conflict.id(&schema.model);
            let (model, model_version) = (schema.model.clone(), schema.version);
            let record = || RecordedConflict { id, model, model_version, conflict: conflict.clone() };
            self.conflicts.entry((conflict.position(), id, schema.version)).or_insert_with(record);
        }
        while self.conflicts.len() as u64 > KEPT_CONFLICTS {
            self.conflicts.pop_first();
        }
    }

    pub(super) fn conflicts(&self, query: &ConflictQuery) -> Vec<RecordedConflict> {
        let is_wanted = |record: &&RecordedConflict| {
            query.model.as_ref().is_none_or(|model| record.model == *model)
                && query.key.as_ref().is_none_or(|key| record.conflict.key == *key)
                && query.id.is_none_or(|id| record.id == id)
        };
        let before = query.before.map_or(Bound::Unbounded, Bound::Excluded);
        let found = self.conflicts.range((Bound::Unbounded, before)).rev().map(|(_, record)| record);
        found.filter(is_wanted).take(query.limit).cloned().collect()
    }

    pub(super) fn count_conflicts(&self, model: &ModelName) -> u64 {
        self.conflicts.values().filter(|record| record.model == *model).count() as u64
    }

    pub(super) fn add(&mut self, record: &Reconciliation, evidence: &[Evidence]) -> u64 {
        self.last += 1;
        let of_model = |(_, (known, _)): &(&u64, &(Reconciliation, Arc<[Evidence]>))| known.model == record.model;
        let before = self.by_id.iter().rev().filter(of_model).map(|(_, (_, rows))| rows).find(|rows| !rows.is_empty());
        let rows = before.filter(|rows| ***rows == *evidence).cloned().unwrap_or_else(|| evidence.into());
        self.by_id.insert(self.last, (Reconciliation { id: self.last, ..record.clone() }, rows));
        let surplus = self.latest(Some(&record.model)).skip(self.kept).map(|record| record.id).collect::<Vec<_>>();
        surplus.iter().for_each(|id| drop(self.by_id.remove(id)));
        self.last
    }

    pub(super) fn amend(&mut self, record: &Reconciliation) -> bool {
        let Some((known, _)) = self.by_id.get_mut(&record.id).filter(|(known, _)| known.model == record.model) else {
            return false;
        };
        let Reconciliation { event_id, source, drift_metrics, started_at, .. } = known.clone();
        *known = Reconciliation { event_id, source, drift_metrics, started_at, ..record.clone() };
        true
    }

    pub(super) fn get(&self, id: u64) -> Option<&Reconciliation> {
        self.by_id.get(&id).map(|(record, _)| record)
    }

    pub(super) fn evidence(&self, id: u64) -> &[Evidence] {
        self.by_id.get(&id).map(|(_, rows)| &**rows).unwrap_or_default()
    }

    /// Newest first.
    pub(super) fn latest<'r>(&'r self, model: Option<&'r ModelName>) -> impl Iterator<Item = &'r Reconciliation> {
        let records = self.by_id.values().rev().map(|(record, _)| record);
        records.filter(move |record| model.is_none_or(|model| record.model == *model))
    }
}
