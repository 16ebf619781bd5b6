//! Rebuild: the whole log folded into a table beside the live one, verified, and put in its place.
//!
//! Many events of a row are folded in memory and written once, so a build is faster than a catch-up. Readers see the live
//! table, and its projector goes on, until the end, for which the caller holds the model's turn: what came in
//! meanwhile is folded, and the swap is one transaction. A crash at any moment leaves the old table or the new one. What a
//! crash left of a build is dropped by the next.
//!
//! Verified means: the events folded are those that the log has, each once, by their identities; the rows that are there
//! are those that were meant, every one digested again; and a sample of them folded by itself is the same.
use crate::{
    Clock, EngineError,
    projector::{Bulk, Projector, ProjectorError, discarded},
    refold::refold,
};
use evenkeel_core::{
    content::{Pass, Window, compare_windows},
    drift::{Content, Verdict},
    fold::{Fold, TouchId},
    row::Key,
};
use evenkeel_store::{Log, Models, StoreError, Table};
use std::{collections::HashSet, ops::ControlFlow, sync::Arc};

/// Rows held in memory before they are written.
const BULK_ROWS: usize = 250_000;

/// Rows digested at a time.
const PAGE: usize = 4096;

/// How often the log is folded up to its head before the table is verified: each time less has come in meanwhile.
const ROUNDS: usize = 3;

/// How many rows are folded by themselves for comparison.
const SAMPLE: u64 = 100;

/// What a rebuild came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebuilt {
    /// The new table is in place.
    Swapped {
        /// Events of subscribed types that were folded.
        events: u64,
        /// Rows of the new table.
        rows: u64,
    },
    /// It was called off; the live table is as it was.
    CalledOff,
}

/// Told the events folded so far, again and again; may call the rebuild off.
pub type Watcher<'w> = &'w mut dyn FnMut(u64) -> ControlFlow<()>;

/// A table being built.
pub(crate) struct Building<'b> {
    log: &'b dyn Log,
    models: &'b dyn Models,
    fold: Arc<dyn Fold>,
    projector: Projector,
    given_up: HashSet<TouchId>,
    events: u64,
    rows: u64,
}

/// Rebuilds the model of `fold` while nothing else changes its table. `watcher` may call it off.
///
/// # Errors
/// The live table is as it was then. [`EngineError::NotVerified`] where the built table does not equal the log.
pub fn rebuild(
    log: &dyn Log,
    models: &dyn Models,
    fold: &Arc<dyn Fold>,
    clock: &dyn Clock,
    watcher: Watcher<'_>,
) -> Result<Rebuilt, EngineError> {
    run(Building::begin_in_bulk(log, models, fold)?, clock, watcher)
}

/// As [`rebuild`], with so many rows in memory and in one thread.
pub(crate) fn rebuild_in_batches(
    (log, models): (&dyn Log, &dyn Models),
    fold: &Arc<dyn Fold>,
    clock: &dyn Clock,
    bulk_rows: usize,
    watcher: Watcher<'_>,
) -> Result<Rebuilt, EngineError> {
    run(Building::begin(log, models, fold, bulk_rows, false)?, clock, watcher)
}

fn run(mut building: Building<'_>, clock: &dyn Clock, watcher: Watcher<'_>) -> Result<Rebuilt, EngineError> {
    match building.build(clock, watcher) {
        Ok(ControlFlow::Continue(())) => building.finish(clock),
        Ok(ControlFlow::Break(())) => building.abandon().map(|()| Rebuilt::CalledOff),
        Err(error) => Err(building.failed(error)),
    }
}

impl<'b> Building<'b> {
    /// Makes an empty table beside the live one.
    pub(crate) fn begin(
        log: &'b dyn Log,
        models: &'b dyn Models,
        fold: &Arc<dyn Fold>,
        bulk_rows: usize,
        reads_ahead: bool,
    ) -> Result<Self, EngineError> {
        let model = &fold.schema().model;
        models.begin_build(fold.schema())?;
        let given_up = discarded(models, model)?;
        let projector = Projector::open(Arc::clone(fold), models, Table::Build, usize::MAX).map_err(store)?;
        let projector = projector.in_bulk(bulk_rows, reads_ahead);
        Ok(Self { log, models, fold: Arc::clone(fold), projector, given_up, events: 0, rows: 0 })
    }

    /// As [`Building::begin`], with the default memory and the log read by a thread of its own.
    pub(crate) fn begin_in_bulk(
        log: &'b dyn Log,
        models: &'b dyn Models,
        fold: &Arc<dyn Fold>,
    ) -> Result<Self, EngineError> {
        Self::begin(log, models, fold, BULK_ROWS, true)
    }

    /// Folds the log and verifies the table. `Break` where it was called off. Events go on coming: what is left afterwards
    /// is little, and [`Building::finish`] folds it.
    pub(crate) fn build(&mut self, clock: &dyn Clock, watcher: Watcher<'_>) -> Result<ControlFlow<()>, EngineError> {
        for _ in 0..ROUNDS {
            if self.advance(clock, watcher)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        if self.verify(clock, watcher)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        self.advance(clock, watcher)
    }

    /// Folds up to where the log's head is now, not to where it will be: it may grow as fast as it is folded.
    fn advance(&mut self, clock: &dyn Clock, watcher: Watcher<'_>) -> Result<ControlFlow<()>, EngineError> {
        let head = self.log.safe_head()?.position;
        while self.projector.checkpoint().position < head {
            if watcher(self.events).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let before = self.events;
            let watch = &mut |folded: usize| watcher(before + folded as u64);
            match self.projector.build_up(self.log, self.models, clock.now(), watch).map_err(store)? {
                Bulk::Moved(events) => self.events += events as u64,
                Bulk::Idle => break,
                Bulk::CalledOff => return Ok(ControlFlow::Break(())),
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Compares identities, sums and a sample. `Break` where it was called off.
    fn verify(&mut self, clock: &dyn Clock, watcher: Watcher<'_>) -> Result<ControlFlow<()>, EngineError> {
        let model = self.fold.schema().model.clone();
        let mut wrong = self.differing_windows()?;
        let mut pass = Pass::new(clock.now());
        let mut sample: Vec<Key> = Vec::new();
        let meant = self.models.buckets(&model, Table::Build)?;
        let every = (meant.rows().unsigned_abs() / SAMPLE).max(1);
        loop {
            if watcher(self.events).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let rows = self.models.scrub(&model, Table::Build, pass.cursor(), PAGE)?;
            let is_last = rows.len() < PAGE;
            for row in rows {
                wrong += u64::from(!row.intact);
                if pass.rows().is_multiple_of(every) {
                    sample.push(row.key.clone());
                }
                pass.read(row.key, row.hash, row.digest);
            }
            if is_last {
                break;
            }
        }
        self.rows = pass.rows();
        wrong += pass.differing(&meant).len() as u64;
        wrong += self.differing_rows(&sample)?;
        if wrong > 0 {
            return Err(EngineError::NotVerified { model, rows: wrong });
        }
        Ok(ControlFlow::Continue(()))
    }

    fn differing_windows(&self) -> Result<u64, StoreError> {
        let schema = self.fold.schema();
        let upto = self.projector.checkpoint().position;
        let appended = self.log.identities(&schema.subscribes, Window::default(), upto)?;
        let applied = self.models.identities(&schema.model, Table::Build, Window::default())?;
        Ok(compare_windows(&appended, &applied).len() as u64)
    }

    fn differing_rows(&self, sample: &[Key]) -> Result<u64, StoreError> {
        let schema = self.fold.schema();
        let upto = self.projector.checkpoint().position;
        let mut folded = refold((self.log, self.models), self.fold.as_ref(), Table::Build, sample, upto)?;
        let loaded = self.models.load(&schema.model, Table::Build, sample)?;
        Ok(loaded.rows.iter().filter(|row| folded.rows.remove(&row.key).as_ref() != Some(&row.row)).count() as u64)
    }

    /// Folds what came in meanwhile and puts the table in place. The caller holds the model's turn.
    pub(crate) fn finish(mut self, clock: &dyn Clock) -> Result<Rebuilt, EngineError> {
        match self.try_finish(clock) {
            Ok(()) => Ok(Rebuilt::Swapped { events: self.events, rows: self.rows }),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn try_finish(&mut self, clock: &dyn Clock) -> Result<(), EngineError> {
        let model = self.fold.schema().model.clone();
        if discarded(self.models, &model)? != self.given_up {
            let why = format!("events of {model} were given up while it was rebuilt; rebuild it again");
            return Err(EngineError::Method(why));
        }
        let go_on = &mut |_: u64| ControlFlow::Continue(());
        // Nobody calls it off.
        let _ = self.advance(clock, go_on)?;
        if self.differing_windows()? > 0 {
            return Err(EngineError::NotVerified { model, rows: 1 });
        }
        let content = Content { verdict: Verdict::Verified, verified_as_of: Some(clock.now()), bad_buckets: 0 };
        Ok(self.models.swap(&model, content)?)
    }

    /// Drops the table.
    pub(crate) fn abandon(self) -> Result<(), EngineError> {
        Ok(self.models.abandon_build(&self.fold.schema().model)?)
    }

    /// Drops the table because of an error. On a full disk the half-built table is what is in the way. Where even this
    /// fails the next build drops it.
    pub(crate) fn failed(self, error: EngineError) -> EngineError {
        let _ = self.models.abandon_build(&self.fold.schema().model);
        error
    }
}

/// A build is of the fold's own version and starts at zero: only the store can fail it.
fn store(error: ProjectorError) -> EngineError {
    match error {
        ProjectorError::Store(error) => error.into(),
        ProjectorError::Outdated(model) | ProjectorError::LostHistory { model, .. } => EngineError::Outdated(model),
        // Nobody but the build writes to its table.
        ProjectorError::Damaged { model, keys } => EngineError::NotVerified { model, rows: keys.len() as u64 },
    }
}
