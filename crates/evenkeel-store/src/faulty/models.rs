//! [`FaultyModels`]: a home of models whose calls fail, lie or tear by a script. What the faults mean is
//! [`super::Fault`]'s.
use super::{Fault, Operation, Script, Shell};
use crate::{
    Admit, Answered, Build, ConflictQuery, Loaded, Measured, ModelState, Models, ParkFilter, Piece, RecordedConflict,
    Result, RowAt, Rows, Scrubbed, Selected, Selection, Settled, SqlError, Statement, Step, Table,
    memory::{Torn, Volatile},
};
use evenkeel_core::{
    Digest, ModelName, Position, Timestamp,
    checkpoint::Checkpoint,
    consumer::{Consumer, Reported},
    content::{Touched, Window},
    digest::{Buckets, DigestKey, KeyHash, RowDigest, Sum},
    drift::Content,
    fold::Park,
    reconciliation::{Evidence, Reconciliation},
    row::Key,
    schema::Schema,
};
use std::{ops::ControlFlow, sync::Arc, time::Duration};

/// A home of models with faults.
pub struct FaultyModels<M: Models + Volatile + Torn>(Shell<M>);

impl<M: Models + Volatile + Torn> FaultyModels<M> {
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

/// The rows that a torn write loses: the first and every second one after it.
fn lost(step: &Step) -> Vec<Key> {
    let upserts = step.upserts.iter().map(|upsert| &upsert.key);
    let written = upserts.chain(step.deletes.iter().map(|removal| &removal.key));
    written.step_by(2).cloned().collect()
}

impl<M: Models + Volatile + Torn> Models for FaultyModels<M> {
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

    fn commit(&self, model: &ModelName, table: Table, step: &Step) -> Result<Vec<RowDigest>> {
        self.0.write(Operation::Commit(table), |models, fault| match fault {
            Fault::Tear => {
                let keys = lost(step);
                let before = models.load(model, table, &keys)?.rows;
                let digests = models.commit(model, table, step)?;
                models.put_back(model, table, &keys, before)?;
                Ok(digests)
            }
            _ => models.commit(model, table, step),
        })
    }

    fn get(&self, model: &ModelName, key: &Key) -> Result<RowAt> {
        self.0.read(Operation::ReadTable(Table::Live), |models| models.get(model, key))
    }

    fn rows(&self, model: &ModelName, table: Table, after: Option<&Key>, limit: usize) -> Result<Rows> {
        self.0.read(Operation::ReadTable(table), |models| models.rows(model, table, after, limit))
    }

    fn select(&self, model: &ModelName, selection: &Selection<'_>) -> Result<Option<Selected>> {
        self.0.read(Operation::ReadTable(Table::Live), |models| models.select(model, selection))
    }

    fn query(&self, statement: &Statement<'_>, admit: Admit<'_>) -> Result<Option<Answered>, SqlError> {
        // What a statement itself is refused for is no fault of the store.
        let asked = self.0.read(Operation::ReadTable(Table::Live), |models| match models.query(statement, admit) {
            Err(SqlError::Store(error)) => Err(error),
            answered => Ok(answered),
        });
        asked?
    }

    fn count(&self, model: &ModelName) -> Result<u64> {
        self.0.read(Operation::ReadTable(Table::Live), |models| models.count(model))
    }

    fn parks_of(&self, model: &ModelName, asked: &ParkFilter<'_>) -> Result<Vec<Park>> {
        self.0.read(Operation::ReadParks, |models| models.parks_of(model, asked))
    }

    fn begin_build(&self, schema: &Schema) -> Result<Build> {
        self.0.write(Operation::BeginBuild, |models, _| models.begin_build(schema))
    }

    fn swap(&self, model: &ModelName, content: Content) -> Result<()> {
        self.0.write(Operation::Swap, |models, _| models.swap(model, content))
    }

    fn rollback(&self, model: &ModelName, rolled_back_from: Option<Digest>) -> Result<()> {
        self.0.write(Operation::Swap, |models, _| models.rollback(model, rolled_back_from))
    }

    fn abandon_build(&self, model: &ModelName) -> Result<()> {
        self.0.write(Operation::AbandonBuild, |models, _| models.abandon_build(model))
    }

    fn set_content(&self, model: &ModelName, content: Content) -> Result<()> {
        self.0.write(Operation::SetContent, |models, _| models.set_content(model, content))
    }

    fn set_content_unless_doubted(&self, model: &ModelName, content: Content, doubts: u64) -> Result<bool> {
        let set = |models: &M, _| models.set_content_unless_doubted(model, content, doubts);
        self.0.write(Operation::SetContent, set)
    }

    fn doubt(&self, model: &ModelName, bad_buckets: u32) -> Result<()> {
        self.0.write(Operation::SetContent, |models, _| models.doubt(model, bad_buckets))
    }

    fn set_measured(&self, model: &ModelName, measured: &Measured) -> Result<()> {
        self.0.write(Operation::SetMeasured, |models, _| models.set_measured(model, measured))
    }

    fn record(&self, reconciliation: &Reconciliation, evidence: &[Evidence]) -> Result<u64> {
        self.0.write(Operation::Record, |models, _| models.record(reconciliation, evidence))
    }

    fn amend(&self, reconciliation: &Reconciliation) -> Result<bool> {
        self.0.write(Operation::Record, |models, _| models.amend(reconciliation))
    }

    fn keep_records(&self, records: u64) {
        self.0.inner().keep_records(records);
    }

    fn reconciliation(&self, id: u64) -> Result<Option<Reconciliation>> {
        self.0.read(Operation::ReadReconciliations, |models| models.reconciliation(id))
    }

    fn evidence(&self, reconciliation: u64, limit: usize) -> Result<Vec<Evidence>> {
        self.0.read(Operation::ReadReconciliations, |models| models.evidence(reconciliation, limit))
    }

    fn reconciliations(&self, model: Option<&ModelName>, limit: usize) -> Result<Vec<Reconciliation>> {
        self.0.read(Operation::ReadReconciliations, |models| models.reconciliations(model, limit))
    }

    fn conflicts(&self, query: &ConflictQuery) -> Result<Vec<RecordedConflict>> {
        self.0.read(Operation::ReadConflicts, |models| models.conflicts(query))
    }

    fn count_conflicts(&self, model: &ModelName) -> Result<u64> {
        self.0.read(Operation::ReadConflicts, |models| models.count_conflicts(model))
    }

    fn digest_key(&self) -> DigestKey {
        self.0.inner().digest_key()
    }

    fn scrub(&self, model: &ModelName, table: Table, after: Option<&Key>, limit: usize) -> Result<Vec<Scrubbed>> {
        self.0.read(Operation::ReadContent, |models| models.scrub(model, table, after, limit))
    }

    fn freeze(&self, model: &ModelName, see: &mut dyn FnMut(Piece) -> ControlFlow<()>) -> Result<()> {
        self.0.read(Operation::ReadContent, |models| models.freeze(model, see))
    }

    fn buckets(&self, model: &ModelName, table: Table) -> Result<Buckets> {
        self.0.read(Operation::ReadContent, |models| models.buckets(model, table))
    }

    fn condemn(&self, model: &ModelName, reason: &str) -> Result<()> {
        self.0.write(Operation::SetContent, |models, _| models.condemn(model, reason))
    }

    fn set_buckets(&self, model: &ModelName, table: Table, sums: &[(u16, Sum)]) -> Result<()> {
        self.0.write(Operation::SetContent, |models, _| models.set_buckets(model, table, sums))
    }

    fn identities(&self, model: &ModelName, table: Table, from: Window) -> Result<Vec<(Window, Sum)>> {
        self.0.read(Operation::ReadContent, |models| models.identities(model, table, from))
    }

    fn set_identities(
        &self,
        model: &ModelName,
        generation: u64,
        sums: &[(Window, Sum)],
        checkpoint: &Checkpoint,
    ) -> Result<()> {
        self.0.write(Operation::SetContent, |models, _| models.set_identities(model, generation, sums, checkpoint))
    }

    fn index(&self, model: &ModelName, table: Table, touches: &[(KeyHash, Position)]) -> Result<()> {
        self.0.write(Operation::SetContent, |models, _| models.index(model, table, touches))
    }

    fn index_is_sound(&self, model: &ModelName, table: Table) -> Result<bool> {
        self.0.read(Operation::ReadContent, |models| models.index_is_sound(model, table))
    }

    fn settle_index(&self, model: &ModelName, table: Table) -> Result<()> {
        self.0.write(Operation::SetContent, |models, _| models.settle_index(model, table))
    }

    fn touching(&self, model: &ModelName, table: Table, hash: KeyHash) -> Result<Vec<Position>> {
        self.0.read(Operation::ReadContent, |models| models.touching(model, table, hash))
    }

    fn touched(&self, model: &ModelName, limit: usize) -> Result<Vec<Touched>> {
        self.0.read(Operation::ReadContent, |models| models.touched(model, limit))
    }

    fn notes(&self, model: &ModelName, keys: &[Key]) -> Result<Vec<Touched>> {
        self.0.read(Operation::ReadContent, |models| models.notes(model, keys))
    }

    fn settle(&self, model: &ModelName, rows: &[Settled]) -> Result<()> {
        self.0.write(Operation::SetContent, |models, _| models.settle(model, rows))
    }

    fn watch(&self, model: &ModelName) -> Result<bool> {
        self.0.write(Operation::SetContent, |models, _| models.watch(model))
    }

    fn strangers(&self) -> Result<Option<u64>> {
        self.0.read(Operation::ReadState, |models| models.strangers())
    }

    fn lease(&self, model: &ModelName, holder: &str, now: Timestamp, length: Duration) -> Result<bool> {
        self.0.write(Operation::Lease, |models, _| models.lease(model, holder, now, length))
    }

    fn release(&self, model: &ModelName, holder: &str) -> Result<()> {
        self.0.write(Operation::Lease, |models, _| models.release(model, holder))
    }

    fn put_consumer(&self, consumer: &Consumer) -> Result<()> {
        self.0.write(Operation::Register, |models, _| models.put_consumer(consumer))
    }

    fn report_consumer(&self, name: &str, reported: &Reported) -> Result<bool> {
        self.0.write(Operation::Register, |models, _| models.report_consumer(name, reported))
    }

    fn remove_consumer(&self, name: &str) -> Result<bool> {
        self.0.write(Operation::Register, |models, _| models.remove_consumer(name))
    }

    fn consumers(&self) -> Result<Vec<(Consumer, Option<Reported>)>> {
        self.0.read(Operation::ReadState, |models| models.consumers())
    }
}
