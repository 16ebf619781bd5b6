//! Models in memory: for each table the rows and parks in maps ordered as readers want them.
//!
//! Every call holds one lock, so rows and checkpoint are of one moment, and what fails is found before anything is
//! written.
use super::Volatile;
use crate::{Build, Measured, ModelState, Models, Parked, Result, RowAt, Rows, Step, StoreError, Table};
use evenkeel_core::{
    ModelName, Timestamp,
    checkpoint::Checkpoint,
    drift::Content,
    fold::{Loaded, Park, ParkState, TouchId},
    reconciliation::Reconciliation,
    row::{Key, Row},
    schema::Schema,
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashSet},
    ops::Bound,
};

/// A home of models in memory.
#[derive(Default)]
pub struct MemoryModels(Mutex<HomeState>);

/// The whole of a [`MemoryModels`] at one moment.
#[derive(Clone)]
pub struct ModelsImage(HomeState);

#[derive(Clone, Default)]
struct HomeState {
    models: BTreeMap<ModelName, Model>,
    reconciliations: Vec<Reconciliation>,
}

#[derive(Clone)]
struct Model {
    live: TableState,
    build: Option<TableState>,
    /// The last generation that any build of this model had: a new one goes on from it, so that a step made for a
    /// build since dropped does not fit the next.
    built: u64,
    content: Content,
    as_of: Option<Timestamp>,
}

#[derive(Clone)]
struct TableState {
    schema: Schema,
    checkpoint: Checkpoint,
    generation: u64,
    rows: BTreeMap<Key, Row>,
    parks: BTreeMap<TouchId, Park>,
}

impl Volatile for MemoryModels {
    type Image = ModelsImage;

    fn image(&self) -> ModelsImage {
        ModelsImage(self.0.lock().clone())
    }

    fn restore(&self, image: ModelsImage) {
        *self.0.lock() = image.0;
    }
}

impl HomeState {
    fn model(&self, name: &ModelName) -> Result<&Model> {
        self.models.get(name).ok_or_else(|| StoreError::NoModel(name.clone()))
    }

    fn model_mut(&mut self, name: &ModelName) -> Result<&mut Model> {
        self.models.get_mut(name).ok_or_else(|| StoreError::NoModel(name.clone()))
    }

    fn table(&self, name: &ModelName, table: Table) -> Result<&TableState> {
        let model = self.model(name)?;
        match table {
            Table::Live => Ok(&model.live),
            Table::Build => model.build.as_ref().ok_or_else(|| StoreError::NoModel(name.clone())),
        }
    }
}

impl Model {
    fn new(schema: &Schema) -> Self {
        Self { live: TableState::new(schema, 0), build: None, built: 0, content: Content::default(), as_of: None }
    }

    fn state(&self) -> ModelState {
        let TableState { schema, checkpoint, generation, .. } = &self.live;
        ModelState {
            schema: schema.clone(),
            checkpoint: *checkpoint,
            generation: *generation,
            content: self.content,
            parked: self.live.parked(),
            as_of: self.as_of,
            build: self.build.as_ref().map(TableState::build),
        }
    }

    fn next_build(&mut self) -> u64 {
        self.built += 1;
        self.built
    }
}

impl TableState {
    fn new(schema: &Schema, generation: u64) -> Self {
        Self {
            schema: schema.clone(),
            checkpoint: Checkpoint::default(),
            generation,
            rows: BTreeMap::new(),
            parks: BTreeMap::new(),
        }
    }

    fn build(&self) -> Build {
        Build { schema: self.schema.clone(), checkpoint: self.checkpoint, generation: self.generation }
    }

    /// Parks that nobody has given up.
    fn waiting(&self) -> impl Iterator<Item = &Park> {
        self.parks.values().filter(|park| park.state != ParkState::Discarded)
    }

    fn waiting_keys(&self) -> HashSet<&Key> {
        self.waiting().filter_map(|park| park.key.as_ref()).collect()
    }

    /// One event may be parked for several rows; it counts once.
    fn parked(&self) -> Parked {
        let events: HashSet<_> = self.waiting().map(|park| park.touch.position).collect();
        Parked { events: events.len() as u64, oldest_at: self.waiting().map(|park| park.at).min() }
    }

    fn parked_of(&self, key: &Key) -> u64 {
        let of_key = self.waiting().filter(|park| park.key.as_ref() == Some(key));
        of_key.map(|park| park.touch.position).collect::<HashSet<_>>().len() as u64
    }

    fn write(&mut self, step: &Step) {
        for key in &step.deletes {
            self.rows.remove(key);
        }
        self.rows.extend(step.upserts.iter().cloned());
        for touch in &step.unparks {
            self.parks.remove(touch);
        }
        self.parks.extend(step.parks.iter().map(|park| (park.touch, park.clone())));
        self.checkpoint = step.checkpoint;
        self.generation += 1;
    }
}

impl Models for MemoryModels {
    fn register(&self, schema: &Schema) -> Result<ModelState> {
        let mut home = self.0.lock();
        Ok(home.models.entry(schema.model.clone()).or_insert_with(|| Model::new(schema)).state())
    }

    fn state(&self, model: &ModelName) -> Result<Option<ModelState>> {
        Ok(self.0.lock().models.get(model).map(Model::state))
    }

    fn models(&self) -> Result<Vec<ModelName>> {
        Ok(self.0.lock().models.keys().cloned().collect())
    }

    fn load(&self, model: &ModelName, table: Table, keys: &[Key]) -> Result<Loaded> {
        let home = self.0.lock();
        let table = home.table(model, table)?;
        let waiting = table.waiting_keys();
        let row = |key: &Key| table.rows.get(key).map(|row| (key.clone(), row.clone()));
        Ok(Loaded {
            rows: keys.iter().filter_map(row).collect(),
            parked: keys.iter().filter(|key| waiting.contains(key)).cloned().collect(),
        })
    }

    fn commit(&self, model: &ModelName, table: Table, step: &Step) -> Result<()> {
        let mut home = self.0.lock();
        let found = home.table(model, table)?.generation;
        if found != step.generation {
            return Err(StoreError::Conflict { model: model.clone(), expected: step.generation, found });
        }
        let stored = home.model_mut(model)?;
        match (table, &mut stored.build) {
            (Table::Build, Some(build)) => {
                build.write(step);
                stored.built = build.generation;
            }
            _ => {
                stored.live.write(step);
                let measured = step.measured.as_ref().and_then(|measured| measured.as_of);
                stored.as_of = measured.or(stored.as_of);
            }
        }
        Ok(())
    }

    fn get(&self, model: &ModelName, key: &Key) -> Result<RowAt> {
        let home = self.0.lock();
        let model = home.model(model)?;
        Ok(RowAt {
            state: model.state(),
            row: model.live.rows.get(key).cloned(),
            parked_events: model.live.parked_of(key),
        })
    }

    fn rows(&self, model: &ModelName, table: Table, after: Option<&Key>, limit: usize) -> Result<Rows> {
        let home = self.0.lock();
        let stored = home.table(model, table)?;
        let waiting = stored.waiting_keys();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = stored.rows.range::<Key, _>((start, Bound::Unbounded));
        let rows = rest.by_ref().take(limit).map(|(key, row)| (row.clone(), waiting.contains(key))).collect();
        Ok(Rows { state: home.model(model)?.state(), rows, more: rest.next().is_some() })
    }

    fn count(&self, model: &ModelName) -> Result<u64> {
        Ok(self.0.lock().model(model)?.live.rows.len() as u64)
    }

    fn parks(&self, model: &ModelName, state: Option<ParkState>) -> Result<Vec<Park>> {
        let home = self.0.lock();
        let parks = home.model(model)?.live.parks.values();
        Ok(parks.filter(|park| state.is_none_or(|state| park.state == state)).cloned().collect())
    }

    fn begin_build(&self, schema: &Schema) -> Result<Build> {
        let mut home = self.0.lock();
        let model = home.model_mut(&schema.model)?;
        let table = TableState::new(schema, model.next_build());
        Ok(model.build.insert(table).build())
    }

    fn swap(&self, model: &ModelName, content: Content) -> Result<()> {
        let mut home = self.0.lock();
        let stored = home.model_mut(model)?;
        let mut table = stored.build.take().ok_or_else(|| StoreError::NoModel(model.clone()))?;
        table.generation = stored.live.generation + 1;
        let discarded = stored.live.parks.iter().filter(|(_, park)| park.state == ParkState::Discarded);
        table.parks.extend(discarded.map(|(touch, park)| (*touch, park.clone())));
        // What the old table had reached says nothing of a new one that is behind it.
        if table.checkpoint.position < stored.live.checkpoint.position {
            stored.as_of = None;
        }
        stored.live = table;
        stored.content = content;
        Ok(())
    }

    fn abandon_build(&self, model: &ModelName) -> Result<()> {
        self.0.lock().model_mut(model)?.build = None;
        Ok(())
    }

    fn set_content(&self, model: &ModelName, content: Content) -> Result<()> {
        self.0.lock().model_mut(model)?.content = content;
        Ok(())
    }

    fn set_measured(&self, model: &ModelName, measured: &Measured) -> Result<()> {
        let mut home = self.0.lock();
        let model = home.model_mut(model)?;
        model.as_of = measured.as_of.or(model.as_of);
        Ok(())
    }

    fn record(&self, reconciliation: &Reconciliation) -> Result<u64> {
        let mut home = self.0.lock();
        let id = home.reconciliations.len() as u64 + 1;
        home.reconciliations.push(Reconciliation { id, ..reconciliation.clone() });
        Ok(id)
    }

    fn reconciliations(&self, model: Option<&ModelName>, limit: usize) -> Result<Vec<Reconciliation>> {
        let home = self.0.lock();
        let latest = home.reconciliations.iter().rev();
        Ok(latest.filter(|record| model.is_none_or(|model| record.model == *model)).take(limit).cloned().collect())
    }
}
