//! Rebuild: the whole log folded into a table beside the live one, verified, and put in its place.
//!
//! Many events of a row are folded in memory and written once, so a build is faster than a catch-up. Readers see the live
//! table, and its projector goes on, until the end, for which the caller holds the model's turn: what came in
//! meanwhile is folded, and the swap is one transaction. A crash at any moment leaves the old table or the new one. What a
//! crash left of a build is dropped by the next.
//!
//! A build may begin from a snapshot of the model (`snapshot.rs`) instead of the log's first event. Where it cannot,
//! or the table made from it is not verified, the snapshot is removed and the next older one tried, and in the end the
//! whole log is folded.
//!
//! Verified means: the events folded are those that the log has, each once, by their identities; the rows that are there
//! are those that were meant, every one digested again; and a sample of them folded by itself is the same. Where the table
//! began from a snapshot, so are rows of a sample of the events up to there: a row that the snapshot lacks is in no sample
//! of those that are there.
use crate::{
    Clock, EngineError,
    projector::{Bulk, Projector, ProjectorError, discarded},
    refold::{has_sound_index, refold},
    snapshot::{
        Unusable,
        begin::{Beginning, NotBegun},
    },
};
use evenkeel_core::{
    ModelName, Position, Timestamp,
    content::{Pass, Window, compare_windows},
    drift::{Content, Verdict},
    fold::{Fold, GivenUp},
    row::{Key, Row},
};
use evenkeel_store::{Log, Models, Snapshots, StoreError, Table};
use std::{
    collections::{BTreeSet, HashMap},
    ops::ControlFlow,
    sync::Arc,
};

/// Rows held in memory before they are written.
const BULK_ROWS: usize = 250_000;

/// Rows digested at a time.
const PAGE: usize = 4096;

/// How often the log is folded up to its head before the table is verified: each time less has come in meanwhile.
const ROUNDS: usize = 3;

/// How many rows are folded by themselves for comparison, and of how many events that came before a snapshot.
pub(crate) const SAMPLE: u64 = 100;

/// What a rebuild came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebuilt {
    /// The new table is in place.
    Swapped {
        /// Events of subscribed types that were folded.
        events: u64,
        /// Rows of the new table.
        rows: u64,
        /// The position of the snapshot it began from; 0 where it began with the log's first event.
        from: Position,
    },
    /// It was called off; the live table is as it was.
    CalledOff,
}

/// Told the events folded so far, again and again; may call the rebuild off.
pub type Watcher<'w> = &'w mut dyn FnMut(u64) -> ControlFlow<()>;

/// What rebuilds of one model may begin from: the snapshots that were not tried yet, then the log's start.
pub(crate) struct Beginnings<'s> {
    snapshots: Option<&'s dyn Snapshots>,
    tried: BTreeSet<Position>,
}

impl<'s> Beginnings<'s> {
    /// The snapshots there are; the log's start alone where there are none.
    pub(crate) fn of(snapshots: Option<&'s dyn Snapshots>) -> Self {
        Self { snapshots, tried: BTreeSet::new() }
    }

    /// The newest snapshot that was not tried yet. None where they cannot be listed: the log can be folded all the same.
    fn next(&mut self, model: &ModelName) -> Option<(&'s dyn Snapshots, Position)> {
        let snapshots = self.snapshots?;
        let listed = snapshots.list(model).unwrap_or_else(|error| {
            tracing::warn!(%model, %error, "the snapshots of a model cannot be listed; it is rebuilt without");
            Vec::new()
        });
        let next = listed.into_iter().map(|kept| kept.position).find(|position| !self.tried.contains(position))?;
        self.tried.insert(next);
        Some((snapshots, next))
    }

    /// Takes note that a table that began from the snapshot of `from` came to this. Whether another beginning may do
    /// better.
    pub(crate) fn blame(&self, model: &ModelName, from: Position, error: &EngineError) -> bool {
        let Some(snapshots) = self.snapshots.filter(|_| from > Position::ZERO) else { return false };
        if !matches!(error, EngineError::NotVerified { .. }) {
            return false;
        }
        give_up(snapshots, model, from, &Unusable::Bad(error.to_string()));
        true
    }
}

/// Says that a snapshot is of no use, and removes it where it never will be.
fn give_up(snapshots: &dyn Snapshots, model: &ModelName, position: Position, why: &Unusable) {
    match why {
        Unusable::Bad(reason) => {
            tracing::warn!(%model, %position, reason, "a snapshot is not as it must be and is removed");
            if let Err(error) = snapshots.remove(model, position) {
                tracing::warn!(%model, %position, %error, "a snapshot could not be removed");
            }
        }
        Unusable::Unfit(reason) => {
            tracing::info!(%model, %position, reason, "a rebuild does not begin from a snapshot")
        }
    }
}

/// A table being built.
pub(crate) struct Building<'b> {
    log: &'b dyn Log,
    models: &'b dyn Models,
    fold: Arc<dyn Fold>,
    projector: Projector,
    given_up: GivenUp,
    from: Position,
    events: u64,
    rows: u64,
    /// When its rows began to be looked at.
    looked_at: Timestamp,
}

/// How a table is built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Rows held in memory before they are written.
    pub(crate) bulk_rows: usize,
    /// Whether the log is read by a thread of its own.
    pub(crate) reads_ahead: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self { bulk_rows: BULK_ROWS, reads_ahead: true }
    }
}

/// Rebuilds the model of `fold` from the log's start while nothing else changes its table. `watcher` may call it off.
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
    run((log, models, None), fold, clock, Manner::default(), watcher)
}

/// As [`rebuild`], from the newest snapshot that is fit for it, where there is one.
///
/// # Errors
/// As there.
pub fn rebuild_from_snapshots(
    (log, models, snapshots): (&dyn Log, &dyn Models, &dyn Snapshots),
    fold: &Arc<dyn Fold>,
    clock: &dyn Clock,
    watcher: Watcher<'_>,
) -> Result<Rebuilt, EngineError> {
    run((log, models, Some(snapshots)), fold, clock, Manner::default(), watcher)
}

/// As [`rebuild_from_snapshots`], with so many rows in memory and in one thread.
pub(crate) fn rebuild_in_batches(
    stores: (&dyn Log, &dyn Models, Option<&dyn Snapshots>),
    fold: &Arc<dyn Fold>,
    clock: &dyn Clock,
    bulk_rows: usize,
    watcher: Watcher<'_>,
) -> Result<Rebuilt, EngineError> {
    run(stores, fold, clock, Manner { bulk_rows, reads_ahead: false }, watcher)
}

fn run(
    (log, models, snapshots): (&dyn Log, &dyn Models, Option<&dyn Snapshots>),
    fold: &Arc<dyn Fold>,
    clock: &dyn Clock,
    manner: Manner,
    watcher: Watcher<'_>,
) -> Result<Rebuilt, EngineError> {
    let mut beginnings = Beginnings::of(snapshots);
    loop {
        let Some(mut building) = Building::begin((log, models), fold, manner, &mut beginnings, watcher)? else {
            return Ok(Rebuilt::CalledOff);
        };
        let from = building.from();
        let done = match building.build(clock, watcher) {
            Ok(ControlFlow::Continue(())) => building.finish(clock),
            Ok(ControlFlow::Break(())) => building.abandon().map(|()| Rebuilt::CalledOff),
            Err(error) => Err(building.failed(error)),
        };
        match done {
            Err(error) if beginnings.blame(&fold.schema().model, from, &error) => {}
            done => return done,
        }
    }
}

impl<'b> Building<'b> {
    /// Makes a table beside the live one that holds what the newest of the snapshots does, or nothing where none is fit
    /// for it. `None` where it was called off.
    pub(crate) fn begin(
        (log, models): (&'b dyn Log, &'b dyn Models),
        fold: &Arc<dyn Fold>,
        manner: Manner,
        beginnings: &mut Beginnings<'_>,
        watcher: Watcher<'_>,
    ) -> Result<Option<Self>, EngineError> {
        let model = &fold.schema().model;
        let looked_at = Timestamp::default();
        // First of all: what is given up from now on is not in what this begins from.
        let given_up = discarded(models, model)?;
        let mut from = Position::ZERO;
        loop {
            let generation = models.begin_build(fold.schema())?.generation;
            let Some((snapshots, position)) = beginnings.next(model) else { break };
            let beginning = Beginning { log, models, snapshots, fold: fold.as_ref(), generation };
            match beginning.from(position, &mut || watcher(0)) {
                Ok(ControlFlow::Continue(())) => {
                    from = position;
                    break;
                }
                Ok(ControlFlow::Break(())) => {
                    models.abandon_build(model)?;
                    return Ok(None);
                }
                Err(NotBegun::Unusable(why)) => give_up(snapshots, model, position, &why),
                Err(NotBegun::Store(error)) => {
                    let _ = models.abandon_build(model);
                    return Err(error.into());
                }
            }
        }
        let projector = Projector::open(Arc::clone(fold), models, Table::Build, usize::MAX).map_err(store)?;
        let projector = projector.in_bulk(manner.bulk_rows, manner.reads_ahead);
        Ok(Some(Self { log, models, fold: Arc::clone(fold), projector, given_up, from, events: 0, rows: 0, looked_at }))
    }

    /// The position of the snapshot it began from; 0 for the log's start.
    pub(crate) fn from(&self) -> Position {
        self.from
    }

    /// How many events of subscribed types were in what it began from.
    pub(crate) fn events_before(&self) -> u64 {
        self.projector.checkpoint().counts.total()
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
        self.looked_at = pass.started_at();
        let mut sample = self.touched_before()?;
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
                    sample.insert(row.key.clone());
                }
                pass.read(row.key, row.hash, row.digest);
            }
            if is_last {
                break;
            }
        }
        self.rows = pass.rows();
        wrong += pass.differing(&meant).len() as u64;
        let Some(differing) = self.differing_rows(sample, watcher)? else { return Ok(ControlFlow::Break(())) };
        wrong += differing;
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

    /// The rows of some of the events that are in the snapshot this began from, spread over all of them.
    fn touched_before(&self) -> Result<BTreeSet<Key>, StoreError> {
        let (schema, from) = (self.fold.schema(), self.from.0);
        let (mut keys, mut touches, mut after) = (BTreeSet::new(), Vec::new(), 0);
        for place in 0..SAMPLE.min(from) {
            after = after.max((u128::from(from) * u128::from(place) / u128::from(SAMPLE.min(from))) as u64);
            let slice = self.log.read(Position(after), Some(&schema.subscribes), 1)?;
            let Some(event) = slice.events.first().filter(|event| event.position.0 <= from) else { break };
            self.fold.touches(event, &mut touches);
            keys.extend(touches.drain(..).filter_map(|touch| touch.key.ok()));
            after = event.position.0;
        }
        Ok(keys)
    }

    /// How many of these rows are not what their events make of them; `None` where it was called off.
    fn differing_rows(&self, sample: BTreeSet<Key>, watcher: Watcher<'_>) -> Result<Option<u64>, StoreError> {
        if !has_sound_index(self.models, self.fold.as_ref(), Table::Build)? {
            return Ok(Some(1));
        }
        let (schema, sample) = (self.fold.schema(), sample.into_iter().collect::<Vec<_>>());
        let upto = self.projector.checkpoint().position;
        let (stores, go_on) = ((self.log, self.models), &mut || watcher(self.events));
        let Some(folded) = refold(stores, self.fold.as_ref(), Table::Build, &sample, upto, go_on)? else {
            return Ok(None);
        };
        let loaded = self.models.load(&schema.model, Table::Build, &sample)?;
        let there: HashMap<&Key, &Row> = loaded.rows.iter().map(|row| (&row.key, &row.row)).collect();
        Ok(Some(sample.iter().filter(|key| folded.rows.get(key) != there.get(key).copied()).count() as u64))
    }

    /// Folds what came in meanwhile and puts the table in place. The caller holds the model's turn.
    pub(crate) fn finish(mut self, clock: &dyn Clock) -> Result<Rebuilt, EngineError> {
        match self.try_finish(clock) {
            Ok(()) => Ok(Rebuilt::Swapped { events: self.events, rows: self.rows, from: self.from }),
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
        let content = Content { verdict: Verdict::Verified, verified_as_of: Some(self.looked_at), bad_buckets: 0 };
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

/// A build is of the fold's own version and of this log: only the store can fail it.
fn store(error: ProjectorError) -> EngineError {
    match error {
        ProjectorError::Store(error) => error.into(),
        ProjectorError::Outdated(model) | ProjectorError::LostHistory { model, .. } => EngineError::Outdated(model),
        // Nobody but the build writes to its table.
        ProjectorError::Damaged { model, keys } => EngineError::NotVerified { model, rows: keys.len() as u64 },
    }
}
