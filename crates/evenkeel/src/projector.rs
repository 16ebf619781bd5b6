//! The projector: events from the log into the rows of one model, batch by batch.
//!
//! [`Projector::advance`] does one batch: read, plan, load, fold, commit; rows, parks and checkpoint move in one
//! transaction, so it may be killed anywhere and goes on where it was. Whoever calls it holds the model's turn.
//! Deciding what a row becomes is `evenkeel-core`'s; threads are the engine's.
use evenkeel_core::{
    Event, EventType, ModelName, Position, Timestamp,
    checkpoint::{Checkpoint, SafeHead},
    content::Pass,
    digest::{KeyHash, RowDigest, RowHasher},
    fold::{Batch, Changed, Fold, Folded, GivenUp, ParkState, Plan, TouchId},
    row::Key,
};
use evenkeel_store::{Loaded, Log, Measured, Models, ParkFilter, Removal, Slice, Step, StoreError, Table, Upsert};
use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    sync::{Arc, mpsc},
    thread,
};

/// Events read and folded at a time. What is made of so few is still in the processor's caches when it is folded and
/// freed; the transaction takes many of these, because rows of one page are then written once.
const SLICE_EVENTS: usize = 256;

/// Slices read ahead of the fold.
const AHEAD: usize = 16;

/// Applies the events of one log to one table of one model.
pub struct Projector {
    fold: Arc<dyn Fold>,
    table: Table,
    batch_events: usize,
    slice_events: usize,
    checkpoint: Checkpoint,
    generation: u64,
    discarded: GivenUp,
    hasher: RowHasher,
    /// Rows held in memory before they are written.
    bulk_rows: usize,
    reads_ahead: bool,
    /// Whether no row or park of the table need be looked for: it was empty when it was taken up, and nothing was written
    /// since.
    is_empty: bool,
}

/// What one step of a projector came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The checkpoint moved, past so many events of subscribed types.
    Moved(usize),
    /// The log has nothing after the checkpoint.
    Idle,
}

/// What one step of building a table up came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bulk {
    /// The checkpoint moved, past so many events of subscribed types.
    Moved(usize),
    /// The log has nothing after the checkpoint.
    Idle,
    /// It was called off, and nothing was written.
    CalledOff,
}

/// Rows written in one transaction of a build, so that the projectors of other models need not wait long.
const BUILD_ROWS: usize = 10_000;

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
    /// Rows that the batch builds on are not those that were written. Nothing is folded over them: they must be folded
    /// anew from the log first.
    #[error("{} rows of model {model} are not as they were written, {} first", keys.len(), keys.first().map_or_else(String::new, ToString::to_string))]
    Damaged {
        /// The model.
        model: ModelName,
        /// The rows.
        keys: Vec<Key>,
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
            Table::Build | Table::Previous => {
                let build = state.build.ok_or_else(|| StoreError::NoModel(model.clone()))?;
                (build.schema, build.checkpoint, build.generation)
            }
        };
        if !schema.same_as(fold.schema()) {
            return Err(ProjectorError::Outdated(model.clone()));
        }
        let discarded = given_up_after(models, model, checkpoint.position)?;
        let (batch_events, slice_events) = (batch_events.max(1), SLICE_EVENTS);
        let hasher = RowHasher::new(&models.digest_key(), &schema);
        let is_empty = table == Table::Build && checkpoint == Checkpoint::default();
        Ok(Self {
            fold,
            table,
            batch_events,
            slice_events,
            checkpoint,
            generation,
            discarded,
            hasher,
            bulk_rows: usize::MAX,
            reads_ahead: false,
            is_empty,
        })
    }

    /// How far the table has come.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Applies one batch, and tells a pass of the scrub what it wrote.
    ///
    /// # Errors
    /// Nothing was written then. After a store's error open the table again: the write may have happened.
    pub fn advance(
        &mut self,
        log: &dyn Log,
        models: &dyn Models,
        now: Timestamp,
        pass: Option<&mut Pass>,
    ) -> Result<Progress, ProjectorError> {
        let head = log.safe_head()?;
        self.check_history(&head)?;
        let fold = Arc::clone(&self.fold);
        let mut read = |after, limit| log.read(after, Some(&fold.schema().subscribes), limit);
        let Some(gathered) = self.gather(&mut read, models, now, &mut |_| ControlFlow::Continue(()))? else {
            return Ok(Progress::Idle);
        };
        if gathered.through <= self.checkpoint.position {
            return Ok(Progress::Idle);
        }
        let events = gathered.events;
        let step = self.step(&head, gathered, now);
        let measured = match self.table {
            Table::Live => Some(self.measured(log, &step.checkpoint, now)?),
            Table::Build | Table::Previous => None,
        };
        self.commit(models, &Step { measured, ..step }, pass)?;
        Ok(Progress::Moved(events))
    }

    /// Folds with so many rows in memory, and writes them when there are more or the log ends. Where it `reads_ahead` the
    /// log is read by a thread of its own.
    pub(crate) fn in_bulk(self, bulk_rows: usize, reads_ahead: bool) -> Self {
        Self { bulk_rows, reads_ahead, ..self }
    }

    /// Folds as much as fits into memory and writes it, in several transactions: a table that nobody reads need not be
    /// whole between them. `watch` is told the events folded so far and may call it off.
    ///
    /// # Errors
    /// The table must be thrown away then.
    pub(crate) fn build_up(
        &mut self,
        log: &dyn Log,
        models: &dyn Models,
        now: Timestamp,
        watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Bulk, ProjectorError> {
        let head = log.safe_head()?;
        let fold = Arc::clone(&self.fold);
        let types = &fold.schema().subscribes;
        let gathered = if self.reads_ahead {
            let from = self.checkpoint.position;
            thread::scope(|scope| {
                let (slices, ahead) = mpsc::sync_channel(AHEAD);
                scope.spawn(move || read_ahead(log, types, from, &slices));
                // Dropped at the end: a thread that is further ahead than what fits into memory stops.
                let mut read = move |_, _| ahead.recv().unwrap_or_else(|_| Err(unread()));
                self.gather(&mut read, models, now, watch)
            })?
        } else {
            self.gather(&mut |after, limit| log.read(after, Some(types), limit), models, now, watch)?
        };
        let Some(gathered) = gathered else { return Ok(Bulk::CalledOff) };
        if gathered.through <= self.checkpoint.position {
            return Ok(Bulk::Idle);
        }
        let events = gathered.events;
        let mut step = self.step(&head, gathered, now);
        let before = self.checkpoint;
        let mut upserts = std::mem::take(&mut step.upserts).into_iter();
        while upserts.len() > BUILD_ROWS {
            let upserts = upserts.by_ref().take(BUILD_ROWS).collect();
            let part = Step { generation: self.generation, upserts, checkpoint: before, ..Step::default() };
            self.commit(models, &part, None)?;
        }
        step.upserts = upserts.collect();
        step.generation = self.generation;
        self.commit(models, &step, None)?;
        Ok(Bulk::Moved(events))
    }

    /// What is to be written of what was gathered.
    fn step(&self, head: &SafeHead, gathered: Gathered, now: Timestamp) -> Step {
        let Gathered { batch, touches, through, .. } = gathered;
        let Folded { rows, parks, conflicts, counts, last_event, identities } = batch.finish();
        let (mut upserts, mut deletes) = (Vec::with_capacity(rows.len()), Vec::new());
        for Changed { key, row, replaces } in rows {
            match row {
                Some(row) => upserts.push(Upsert { key, row, replaces }),
                None => deletes.push(Removal { key, replaces }),
            }
        }
        let wrote = !upserts.is_empty() || !deletes.is_empty();
        let checkpoint = Checkpoint {
            position: through,
            epoch: Some(head.epoch),
            last_event: last_event.or(self.checkpoint.last_event),
            last_write: if wrote { Some(now) } else { self.checkpoint.last_write },
            counts: self.checkpoint.counts.plus(counts),
        };
        Step {
            generation: self.generation,
            upserts,
            deletes,
            identities: identities.into_iter().collect(),
            touches,
            settled: Vec::new(),
            parks,
            unparks: Vec::new(),
            conflicts,
            measured: None,
            checkpoint,
        }
    }

    /// Writes a step, and tells a pass of the scrub.
    fn commit(&mut self, models: &dyn Models, step: &Step, pass: Option<&mut Pass>) -> Result<(), StoreError> {
        let digests = models.commit(&self.fold.schema().model, self.table, step)?;
        if let Some(pass) = pass {
            tell(pass, &mut self.hasher, step, &digests);
        }
        for conflict in step.conflicts.iter().filter(|_| self.table == Table::Live) {
            let (model, merge) = (self.fold.schema().model.to_string(), conflict.strategy.as_str());
            metrics::counter!("evenkeel_conflicts_total", "model" => model, "merge" => merge).increment(1);
        }
        self.checkpoint = step.checkpoint;
        self.generation += 1;
        self.is_empty &= step.upserts.is_empty() && step.parks.is_empty();
        Ok(())
    }

    /// Reads and folds what comes next, slice by slice, up to the events of one transaction or the rows that memory is to
    /// hold. `None` where it was called off.
    fn gather(
        &mut self,
        read: &mut dyn FnMut(Position, usize) -> Result<Slice, StoreError>,
        models: &dyn Models,
        now: Timestamp,
        watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<Gathered>, ProjectorError> {
        let mut gathered = Gathered { through: self.checkpoint.position, ..Gathered::default() };
        while gathered.events < self.batch_events && gathered.size() < self.bulk_rows {
            if watch(gathered.events).is_break() {
                return Ok(None);
            }
            let limit = self.slice_events.min(self.batch_events - gathered.events);
            let slice = read(gathered.through, limit)?;
            let is_last = slice.events.len() < limit;
            self.fold_slice(models, now, &slice, &mut gathered)?;
            if is_last {
                break;
            }
        }
        gathered.touches.sort_unstable();
        Ok(Some(gathered))
    }

    /// Folds one slice over the rows gathered so far, and over the stored ones where there is none.
    fn fold_slice(
        &mut self,
        models: &dyn Models,
        now: Timestamp,
        slice: &Slice,
        gathered: &mut Gathered,
    ) -> Result<(), ProjectorError> {
        gathered.through = slice.through;
        gathered.events += slice.events.len();
        let fold = Arc::clone(&self.fold);
        let plan = Plan::new(fold.as_ref(), &slice.events, &self.discarded);
        if !fold.keyed_by_subject() {
            let hasher = &mut self.hasher;
            gathered.touches.extend(plan.touched().map(|(position, key)| (hasher.key(key), position)));
        }
        if !self.is_empty {
            self.take_up(models, gathered.batch.missing(&plan), &mut gathered.batch)?;
        }
        gathered.batch.fold(now, fold.as_ref(), &plan);
        Ok(())
    }

    /// Takes up what the table holds for these keys, all of it as it was written.
    fn take_up(&self, models: &dyn Models, keys: Vec<Key>, batch: &mut Batch) -> Result<(), ProjectorError> {
        if keys.is_empty() {
            return Ok(());
        }
        let model = &self.fold.schema().model;
        let Loaded { rows, parked, touched } = models.load(model, self.table, &keys)?;
        let mut damaged: Vec<Key> = touched.into_iter().collect();
        batch.take_up_parked(parked);
        for stored in rows {
            match stored.meant {
                Some(meant) if stored.is_intact() => batch.take_up(stored.key, stored.row, meant),
                _ => damaged.push(stored.key),
            }
        }
        if damaged.is_empty() {
            return Ok(());
        }
        damaged.sort_unstable();
        damaged.dedup();
        Err(ProjectorError::Damaged { model: model.clone(), keys: damaged })
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

/// Reads slice after slice until the log ends or nobody takes them any more.
fn read_ahead(
    log: &dyn Log,
    types: &BTreeSet<EventType>,
    from: Position,
    slices: &mpsc::SyncSender<Result<Slice, StoreError>>,
) {
    let mut after = from;
    loop {
        let slice = log.read(after, Some(types), SLICE_EVENTS);
        let is_last = slice.as_ref().map_or(true, |slice| slice.events.len() < SLICE_EVENTS);
        after = slice.as_ref().map_or(after, |slice| slice.through);
        if slices.send(slice).is_err() || is_last {
            return;
        }
    }
}

fn unread() -> StoreError {
    StoreError::Unavailable("the log's reader ended before the log".into())
}

/// What the slices of one transaction came to so far.
#[derive(Default)]
struct Gathered {
    batch: Batch,
    touches: Vec<(KeyHash, Position)>,
    through: Position,
    events: usize,
}

impl Gathered {
    /// What is held in memory, in rows: an entry of the index takes a tenth of one.
    fn size(&self) -> usize {
        self.batch.len() + self.touches.len() / 10
    }
}

/// Tells a pass of the scrub what a step wrote.
pub(crate) fn tell(pass: &mut Pass, hasher: &mut RowHasher, step: &Step, digests: &[RowDigest]) {
    for (upsert, digest) in step.upserts.iter().zip(digests) {
        pass.wrote(&upsert.key, hasher.key(&upsert.key), upsert.replaces, Some(*digest));
    }
    for removal in &step.deletes {
        pass.wrote(&removal.key, hasher.key(&removal.key), removal.replaces, None);
    }
}

/// The applications that a person gave up: no fold of the log counts them again.
pub(crate) fn discarded(models: &dyn Models, model: &ModelName) -> Result<GivenUp, StoreError> {
    Ok(GivenUp::among(&models.parks(model, Some(ParkState::Discarded))?))
}

/// Those of events behind a position: mostly none, since an event is parked where it is applied. All of them are not read:
/// they may be many, and this is asked after every decision about one.
pub(crate) fn given_up_after(models: &dyn Models, model: &ModelName, after: Position) -> Result<GivenUp, StoreError> {
    let last = TouchId { position: after, clause: u16::MAX, element: u32::MAX };
    let asked = ParkFilter { state: Some(ParkState::Discarded), after: Some(last), ..ParkFilter::default() };
    Ok(GivenUp::among(&models.parks_of(model, &asked)?))
}

/// Those of these events, which are in log order. What that costs grows with the events, and not with all that was given up.
pub(crate) fn given_up_of(models: &dyn Models, model: &ModelName, events: &[Event]) -> Result<GivenUp, StoreError> {
    let positions: Vec<Position> = events.iter().map(|event| event.position).collect();
    let asked = ParkFilter { state: Some(ParkState::Discarded), at: Some(&positions), ..ParkFilter::default() };
    Ok(GivenUp::among(&models.parks_of(model, &asked)?))
}

#[cfg(test)]
pub(crate) mod tests;
