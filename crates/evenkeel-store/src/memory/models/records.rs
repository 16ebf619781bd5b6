//! The records of reconciliations in memory.
use crate::KEPT_RECORDS;
use evenkeel_core::{
    ModelName,
    reconciliation::{Evidence, Reconciliation},
};
use std::{collections::BTreeMap, sync::Arc};

/// Records by their numbers, each with the rows it found wrong.
#[derive(Clone)]
pub(super) struct Records {
    by_id: BTreeMap<u64, (Reconciliation, Arc<[Evidence]>)>,
    last: u64,
    kept: usize,
}

impl Default for Records {
    fn default() -> Self {
        let mut records = Self { by_id: BTreeMap::new(), last: 0, kept: 0 };
        records.keep(KEPT_RECORDS);
        records
    }
}

impl Records {
    pub(super) fn keep(&mut self, records: u64) {
        self.kept = usize::try_from(records).unwrap_or(usize::MAX).max(1);
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
