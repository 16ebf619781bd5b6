//! The projector: events from the log into the rows of one model, batch by batch.
//!
//! [`Projector::advance`] does one batch: read, plan, load, fold, commit; rows, parks and checkpoint move in one
//! transaction, so it may be killed anywhere and goes on where it was. Whoever calls it holds the model's turn.
//! Deciding what a row becomes is `evenkeel-core`'s; threads are the engine's.
use evenkeel_core::{
    EventId, ModelName, Position, Timestamp,
    checkpoint::{Checkpoint, Counts, SafeHead},
    fold::{Fold, Folded, Park, ParkState, Plan, Poison, TouchId},
    row::{Key, Row},
};
use evenkeel_store::{Log, Measured, Models, Slice, Step, StoreError, Table};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Events read and folded at a time. What is made of so few is still in the processor's caches when it is folded and
/// freed; the transaction takes many of these, because rows of one page are then written once.
const SLICE_EVENTS: usize = 256;

/// Applies the events of one log to one table of one model.
pub struct Projector {
    fold: Arc<dyn Fold>,
    table: Table,
    batch_events: usize,
    slice_events: usize,
    checkpoint: Checkpoint,
    generation: u64,
    discarded: HashSet<TouchId>,
}

/// What one step of a projector came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The checkpoint moved, past so many events of subscribed types.
    Moved(usize),
    /// The log has nothing after the checkpoint.
    Idle,
}

/// Why a projector cannot go on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProjectorError {
    /// The table was made by another version of the model than the one declared.
    #[error("model {0} is declared anew: its table must be rebuilt")]
    Outdated(ModelName),
    /// The table speaks of events this log does not have.
    #[error(
        "model {model} has applied up to {checkpoint}, which is not of this log (its head is {head}, its epoch {epoch})"
    )]
    LostHistory {
        /// The model.
        model: ModelName,
        /// The table's position.
        checkpoint: Position,
        /// The log's head.
        head: Position,
        /// The log's epoch.
        epoch: evenkeel_core::Epoch,
    },
    /// The log or the models could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Projector {
    /// Takes up a table where it was left.
    ///
    /// # Errors
    /// [`ProjectorError::Outdated`] where its rows were made by another version of the fold.
    pub fn open(
        fold: Arc<dyn Fold>,
        models: &dyn Models,
        table: Table,
        batch_events: usize,
    ) -> Result<Self, ProjectorError> {
        let model = &fold.schema().model;
        let state = models.state(model)?.ok_or_else(|| StoreError::NoModel(model.clone()))?;
        let (schema, checkpoint, generation) = match table {
            Table::Live => (state.schema, state.checkpoint, state.generation),
            Table::Build => {
                let build = state.build.ok_or_else(|| StoreError::NoModel(model.clone()))?;
                (build.schema, build.checkpoint, build.generation)
            }
        };
        if !schema.same_as(fold.schema()) {
            return Err(ProjectorError::Outdated(model.clone()));
        }
        let discarded = discarded(models, model)?;
        let (batch_events, slice_events) = (batch_events.max(1), SLICE_EVENTS);
        Ok(Self { fold, table, batch_events, slice_events, checkpoint, generation, discarded })
    }

    /// How far the table has come.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Applies one batch.
    ///
    /// # Errors
    /// Nothing was written then. After a store's error open the table again: the write may have happened.
    pub fn advance(&mut self, log: &dyn Log, models: &dyn Models, now: Timestamp) -> Result<Progress, ProjectorError> {
        let schema = self.fold.schema();
        let head = log.safe_head()?;
        self.check_history(&head)?;
        let gathered = self.gather(log, models, now)?;
        if gathered.through <= self.checkpoint.position {
            return Ok(Progress::Idle);
        }
        let Gathered { rows, parks, counts, last_event, through, events, .. } = gathered;
        let wrote = !rows.is_empty();
        let (upserts, deletes) = sorted(rows);
        let checkpoint = Checkpoint {
            position: through,
            epoch: Some(head.epoch),
            last_event: last_event.or(self.checkpoint.last_event),
            last_write: if wrote { Some(now) } else { self.checkpoint.last_write },
            counts: self.checkpoint.counts.plus(counts),
        };
        let step = Step {
            generation: self.generation,
            upserts,
            deletes,
            parks,
            unparks: Vec::new(),
            measured: match self.table {
                Table::Live => Some(self.measured(log, &checkpoint, now)?),
                Table::Build => None,
            },
            checkpoint,
        };
        models.commit(&schema.model, self.table, &step)?;
        self.checkpoint = checkpoint;
        self.generation += 1;
        Ok(Progress::Moved(events))
    }

    /// Reads and folds what comes next, slice by slice, up to the events of one transaction.
    fn gather(&self, log: &dyn Log, models: &dyn Models, now: Timestamp) -> Result<Gathered, StoreError> {
        let types = &self.fold.schema().subscribes;
        let mut gathered = Gathered { through: self.checkpoint.position, ..Gathered::default() };
        while gathered.events < self.batch_events {
            let limit = self.slice_events.min(self.batch_events - gathered.events);
            let slice = log.read(gathered.through, Some(types), limit)?;
            let is_last = slice.events.len() < limit;
            self.fold_slice(models, now, &slice, &mut gathered)?;
            if is_last {
                break;
            }
        }
        Ok(gathered)
    }

    /// Folds one slice over the rows gathered so far, and over the stored ones where there is none.
    fn fold_slice(
        &self,
        models: &dyn Models,
        now: Timestamp,
        slice: &Slice,
        gathered: &mut Gathered,
    ) -> Result<(), StoreError> {
        gathered.through = slice.through;
        gathered.events += slice.events.len();
        let fold = self.fold.as_ref();
        let plan = Plan::new(fold, &slice.events, &self.discarded);
        let (gathered_keys, stored_keys): (Vec<_>, Vec<_>) =
            plan.keys().into_iter().partition(|key| gathered.rows.contains_key(key));
        let mut poison = Poison::new();
        let folded = loop {
            let mut loaded = models.load(&fold.schema().model, self.table, &stored_keys)?;
            for key in &gathered_keys {
                // A copy: an attempt that fails spoils the rows it was given.
                loaded.rows.extend(gathered.rows.get(key).cloned().flatten().map(|row| (key.clone(), row)));
            }
            loaded.parked.extend(gathered.parked.iter().cloned());
            if let Some(folded) = plan.fold(now, fold, loaded, &mut poison) {
                break folded;
            }
        };
        gathered.add(folded);
        Ok(())
    }

    fn check_history(&self, head: &SafeHead) -> Result<(), ProjectorError> {
        let own = &self.checkpoint;
        if head.holds(own) {
            return Ok(());
        }
        Err(ProjectorError::LostHistory {
            model: self.fold.schema().model.clone(),
            checkpoint: own.position,
            head: head.position,
            epoch: head.epoch,
        })
    }

    /// The distance that will remain, written with the rows for those who read them with SQL.
    fn measured(&self, log: &dyn Log, checkpoint: &Checkpoint, now: Timestamp) -> Result<Measured, StoreError> {
        let types = &self.fold.schema().subscribes;
        let head = log.safe_head()?;
        let lag_count = head.count(types).saturating_sub(checkpoint.counts.total());
        let oldest_unapplied = if lag_count > 0 { log.oldest_after(checkpoint.position, types)? } else { None };
        Ok(Measured {
            head: head.position,
            lag_count: Some(lag_count),
            oldest_unapplied,
            as_of: (lag_count == 0).then_some(head.at),
            status: None,
            reason: None,
            at: now,
        })
    }
}

/// What the slices of one transaction came to so far.
#[derive(Default)]
struct Gathered {
    /// The rows as they will be; `None` where one is gone.
    rows: HashMap<Key, Option<Row>>,
    /// The keys of `parks`: later events of theirs are held.
    parked: HashSet<Key>,
    parks: Vec<Park>,
    counts: Counts,
    last_event: Option<EventId>,
    through: Position,
    events: usize,
}

impl Gathered {
    fn add(&mut self, folded: Folded) {
        let Folded { upserts, deletes, parks, counts, last_event } = folded;
        self.rows.extend(upserts.into_iter().map(|(key, row)| (key, Some(row))));
        self.rows.extend(deletes.into_iter().map(|key| (key, None)));
        self.parked.extend(parks.iter().filter_map(|park| park.key.clone()));
        self.parks.extend(parks);
        self.counts = self.counts.plus(counts);
        self.last_event = last_event.or(self.last_event);
    }
}

/// What is to be written and what deleted, in order of the keys: neighbours stand on one page of the store.
fn sorted(rows: HashMap<Key, Option<Row>>) -> (Vec<(Key, Row)>, Vec<Key>) {
    let (mut upserts, mut deletes) = (Vec::with_capacity(rows.len()), Vec::new());
    for (key, row) in rows {
        match row {
            Some(row) => upserts.push((key, row)),
            None => deletes.push(key),
        }
    }
    upserts.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    deletes.sort_unstable();
    (upserts, deletes)
}

/// The applications that a person gave up: no fold of the log counts them again.
pub(crate) fn discarded(models: &dyn Models, model: &ModelName) -> Result<HashSet<TouchId>, StoreError> {
    let parks = models.parks(model, Some(ParkState::Discarded))?;
    Ok(parks.into_iter().map(|park| park.touch).collect())
}

#[cfg(test)]
mod tests;
