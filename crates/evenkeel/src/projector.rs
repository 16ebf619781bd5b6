//! The projector: events from the log into the rows of one model, batch by batch.
//!
//! [`Projector::advance`] does one batch: read, plan, load, fold, commit; rows, parks and checkpoint move in one
//! transaction, so it may be killed anywhere and goes on where it was. Whoever calls it holds the model's turn.
//! Deciding what a row becomes is `evenkeel-core`'s; threads are the engine's.
use evenkeel_core::{
    ModelName, Timestamp,
    checkpoint::{Checkpoint, SafeHead},
    fold::{Fold, ParkState, Plan, Poison, TouchId},
};
use evenkeel_store::{Log, Measured, Models, Step, StoreError, Table};
use std::{collections::HashSet, sync::Arc};

/// Applies the events of one log to one table of one model.
pub struct Projector {
    fold: Arc<dyn Fold>,
    table: Table,
    batch_events: usize,
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
        checkpoint: evenkeel_core::Position,
        /// The log's head.
        head: evenkeel_core::Position,
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
        Ok(Self { fold, table, batch_events: batch_events.max(1), checkpoint, generation, discarded })
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
        let slice = log.read(self.checkpoint.position, Some(&schema.subscribes), self.batch_events)?;
        if slice.through <= self.checkpoint.position {
            return Ok(Progress::Idle);
        }
        let plan = Plan::new(self.fold.as_ref(), &slice.events, &self.discarded);
        let keys = plan.keys();
        let mut poison = Poison::new();
        let folded = loop {
            let loaded = models.load(&schema.model, self.table, &keys)?;
            if let Some(folded) = plan.fold(now, self.fold.as_ref(), loaded, &mut poison) {
                break folded;
            }
        };
        let wrote = !folded.upserts.is_empty() || !folded.deletes.is_empty();
        let checkpoint = Checkpoint {
            position: slice.through,
            epoch: Some(head.epoch),
            last_event: folded.last_event.or(self.checkpoint.last_event),
            last_write: if wrote { Some(now) } else { self.checkpoint.last_write },
            counts: self.checkpoint.counts.plus(folded.counts),
        };
        let step = Step {
            generation: self.generation,
            upserts: folded.upserts,
            deletes: folded.deletes,
            parks: folded.parks,
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
        Ok(Progress::Moved(slice.events.len()))
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

/// The applications that a person gave up: no fold of the log counts them again.
pub(crate) fn discarded(models: &dyn Models, model: &ModelName) -> Result<HashSet<TouchId>, StoreError> {
    let parks = models.parks(model, Some(ParkState::Discarded))?;
    Ok(parks.into_iter().map(|park| park.touch).collect())
}
