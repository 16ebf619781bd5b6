//! Rebuild: the whole log folded into a table beside the live one, verified, and put in its place.
//!
//! Readers see the live table until the swap, which is one transaction: a crash at any moment leaves the old table or
//! the new one. What a crash left of a build is dropped by the next. The caller holds the model's turn.
use crate::{
    Clock, EngineError,
    projector::{Progress, Projector, ProjectorError},
    verify::{self, Verification},
};
use evenkeel_core::{
    drift::{Content, Verdict},
    fold::Fold,
};
use evenkeel_store::{Log, Models, Table};
use std::{ops::ControlFlow, sync::Arc};

/// Events folded into one transaction of a build.
const BATCH_EVENTS: usize = 10_000;

/// What a rebuild came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebuilt {
    /// The new table is in place.
    Swapped {
        /// Events of subscribed types that were folded.
        events: u64,
        /// Rows of the new table, each compared with the log.
        rows: u64,
    },
    /// It was called off; the live table is as it was.
    CalledOff,
}

/// Rebuilds the model of `fold`. `progress` is told the events folded so far and may call it off.
///
/// # Errors
/// The live table is as it was then. [`EngineError::NotVerified`] where the built table does not equal the log.
pub fn rebuild(
    log: &dyn Log,
    models: &dyn Models,
    fold: &Arc<dyn Fold>,
    clock: &dyn Clock,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Rebuilt, EngineError> {
    rebuild_in_batches((log, models), fold, clock, BATCH_EVENTS, progress)
}

/// As [`rebuild`], with so many events to a transaction.
pub(crate) fn rebuild_in_batches(
    (log, models): (&dyn Log, &dyn Models),
    fold: &Arc<dyn Fold>,
    clock: &dyn Clock,
    batch_events: usize,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Rebuilt, EngineError> {
    let model = &fold.schema().model;
    models.begin_build(fold.schema())?;
    match build((log, models), fold, clock, batch_events, progress) {
        Ok(Some((events, found))) if found.wrong_rows == 0 => {
            models.swap(model, Content { verdict: Verdict::Verified, verified_as_of: Some(clock.now()) })?;
            Ok(Rebuilt::Swapped { events, rows: found.rows })
        }
        Ok(Some((_, found))) => {
            models.abandon_build(model)?;
            Err(EngineError::NotVerified { model: model.clone(), rows: found.wrong_rows })
        }
        Ok(None) => {
            models.abandon_build(model)?;
            Ok(Rebuilt::CalledOff)
        }
        Err(error) => {
            // On a full disk the half-built table is what is in the way. Where even this fails the next build drops it.
            let _ = models.abandon_build(model);
            Err(error)
        }
    }
}

/// Folds the log into the build and compares it: how many events were folded, and what was found. `None` where it was
/// called off.
fn build(
    (log, models): (&dyn Log, &dyn Models),
    fold: &Arc<dyn Fold>,
    clock: &dyn Clock,
    batch_events: usize,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Option<(u64, Verification)>, EngineError> {
    let mut projector = Projector::open(Arc::clone(fold), models, Table::Build, batch_events).map_err(store)?;
    let mut events = 0;
    loop {
        if progress(events).is_break() {
            return Ok(None);
        }
        match projector.advance(log, models, clock.now()).map_err(store)? {
            Progress::Moved(moved) => events += moved as u64,
            Progress::Idle => break,
        }
    }
    let go_on = &mut || progress(events);
    let found = verify::verify(log, models, fold.as_ref(), Table::Build, verify::ROWS_PER_PASS, go_on)?;
    Ok(found.map(|found| (events, found)))
}

/// A build is of the fold's own version and starts at zero: only the store can fail it.
fn store(error: ProjectorError) -> EngineError {
    match error {
        ProjectorError::Store(error) => error.into(),
        ProjectorError::Outdated(model) | ProjectorError::LostHistory { model, .. } => EngineError::Outdated(model),
    }
}
