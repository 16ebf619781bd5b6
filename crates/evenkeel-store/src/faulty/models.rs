//! [`FaultyModels`]: a home of models whose calls fail, lie or tear by a script. What the faults mean is
//! [`super::Fault`]'s.
use super::{Fault, Operation, Script, Shell};
use crate::{Build, Measured, ModelState, Models, Result, RowAt, Rows, Step, Table, memory::Volatile};
use evenkeel_core::{
    ModelName,
    drift::Content,
    fold::{Loaded, Park, ParkState},
    reconciliation::Reconciliation,
    row::Key,
    schema::Schema,
};
use std::sync::Arc;

/// A home of models with faults.
pub struct FaultyModels<M: Models + Volatile>(Shell<M>);

impl<M: Models + Volatile> FaultyModels<M> {
    /// `inner` with the faults that `script` decides.
    pub fn new(inner: Arc<M>, script: Script) -> Self {
        Self(Shell::new(inner, script))
    }

    /// The power goes: what only the disk's cache held is gone. Whether anything was lost.
    ///
    /// For models this is within the rules: single steps need not be durable.
    pub fn crash(&self) -> bool {
        self.0.crash()
    }
}

/// The step that a torn write leaves: the checkpoint of the whole, and every second row write.
fn torn(step: &Step) -> Step {
    let survives = |index: usize| index % 2 == 1;
    let upserts = step.upserts.iter().enumerate().filter(|(index, _)| survives(*index));
    let deletes = step.deletes.iter().enumerate().filter(|(index, _)| survives(step.upserts.len() + index));
    Step {
        upserts: upserts.map(|(_, upsert)| upsert.clone()).collect(),
        deletes: deletes.map(|(_, key)| key.clone()).collect(),
        ..step.clone()
    }
}

impl<M: Models + Volatile> Models for FaultyModels<M> {
    fn register(&self, schema: &Schema) -> Result<ModelState> {
        self.0.write(Operation::Register, |models, _| models.register(schema))
    }

    fn state(&self, model: &ModelName) -> Result<Option<ModelState>> {
        self.0.read(Operation::ReadState, |models| models.state(model))
    }

    fn models(&self) -> Result<Vec<ModelName>> {
        self.0.read(Operation::ReadState, |models| models.models())
    }

    fn load(&self, model: &ModelName, table: Table, keys: &[Key]) -> Result<Loaded> {
        self.0.read(Operation::ReadTable(table), |models| models.load(model, table, keys))
    }

    fn commit(&self, model: &ModelName, table: Table, step: &Step) -> Result<()> {
        self.0.write(Operation::Commit(table), |models, fault| match fault {
            Fault::Tear => models.commit(model, table, &torn(step)),
            _ => models.commit(model, table, step),
        })
    }

    fn get(&self, model: &ModelName, key: &Key) -> Result<RowAt> {
        self.0.read(Operation::ReadTable(Table::Live), |models| models.get(model, key))
    }

    fn rows(&self, model: &ModelName, table: Table, after: Option<&Key>, limit: usize) -> Result<Rows> {
        self.0.read(Operation::ReadTable(table), |models| models.rows(model, table, after, limit))
    }

    fn count(&self, model: &ModelName) -> Result<u64> {
        self.0.read(Operation::ReadTable(Table::Live), |models| models.count(model))
    }

    fn parks(&self, model: &ModelName, state: Option<ParkState>) -> Result<Vec<Park>> {
        self.0.read(Operation::ReadTable(Table::Live), |models| models.parks(model, state))
    }

    fn begin_build(&self, schema: &Schema) -> Result<Build> {
        self.0.write(Operation::BeginBuild, |models, _| models.begin_build(schema))
    }

    fn swap(&self, model: &ModelName, content: Content) -> Result<()> {
        self.0.write(Operation::Swap, |models, _| models.swap(model, content))
    }

    fn abandon_build(&self, model: &ModelName) -> Result<()> {
        self.0.write(Operation::AbandonBuild, |models, _| models.abandon_build(model))
    }

    fn set_content(&self, model: &ModelName, content: Content) -> Result<()> {
        self.0.write(Operation::SetContent, |models, _| models.set_content(model, content))
    }

    fn set_measured(&self, model: &ModelName, measured: &Measured) -> Result<()> {
        self.0.write(Operation::SetMeasured, |models, _| models.set_measured(model, measured))
    }

    fn record(&self, reconciliation: &Reconciliation) -> Result<u64> {
        self.0.write(Operation::Record, |models, _| models.record(reconciliation))
    }

    fn reconciliations(&self, model: Option<&ModelName>, limit: usize) -> Result<Vec<Reconciliation>> {
        self.0.read(Operation::ReadReconciliations, |models| models.reconciliations(model, limit))
    }
}
