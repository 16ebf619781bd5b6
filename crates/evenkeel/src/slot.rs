//! One model in a running engine: its fold, whose turn it is to change its table, and what is known of it.
//!
//! What is done in a turn is for whoever takes it: [`crate::worker`], [`crate::reconciler`], [`crate::scrub`].
use crate::{
    guarded::Guarded,
    health::Health,
    identities::Compared,
    monitor::Watch,
    projector::{Progress, Projector, ProjectorError},
    reader::Commits,
    repair::Repaired,
    scrub::Passes,
    signal::Signal,
    tail::Tail,
    trust::Trust,
};
use evenkeel_core::{
    ModelName, Position, Timestamp,
    content::Pass,
    demand::{Bounds, Terms},
    drift::{Content, Thresholds, Worker},
    fold::Fold,
    freshness::Level,
    pace::{Pace, Wait},
    row::Key,
    schema::Schema,
};
use evenkeel_store::{Log, Models, StoreError, Table};
use parking_lot::{Mutex, MutexGuard};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
    thread::JoinHandle,
    time::Duration,
};

/// A model and how it is to be run.
///
/// ```
/// use evenkeel::{Model, core::{drift::Thresholds, fold::Declared, freshness::Level}};
///
/// fn strict(fold: Declared) -> Model {
///     let thresholds = Thresholds { max_lag_events: 10, max_lag_seconds: 1.0, ..Thresholds::default() };
///     Model { thresholds, require: Some(Level::Strong), ..Model::new(fold) }
/// }
/// ```
#[derive(Clone)]
pub struct Model {
    /// What events do to its rows.
    pub fold: Arc<dyn Fold>,
    /// When it counts as drifted.
    pub thresholds: Thresholds,
    /// The share of rows that may be repaired one by one; where more are wrong the model is rebuilt.
    pub repair_budget: f64,
    /// The weakest level it may be read at.
    pub require: Option<Level>,
    /// The level of reads that name none.
    pub default_level: Option<Level>,
}

impl Model {
    /// A model with the default thresholds, readable at any level.
    pub fn new(fold: impl Fold + 'static) -> Self {
        Self {
            fold: Arc::new(fold),
            thresholds: Thresholds::default(),
            repair_budget: 0.01,
            require: None,
            default_level: None,
        }
    }
}

/// How far a rebuild has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Progressing {
    /// When it began, by the monotonic clock.
    pub(crate) since: Duration,
    /// Events folded.
    pub(crate) events: u64,
    /// Events there were to fold when it began.
    pub(crate) of: u64,
}

/// What is known of a model's snapshots. Held as long as one is taken.
#[derive(Debug, Default)]
pub(crate) struct Snapshotted {
    /// Events of subscribed types that the newest one a rebuild would begin from has reached; `None` where not known.
    pub(crate) events: Option<u64>,
    /// When the next may be taken unasked, by the monotonic clock.
    pub(crate) not_before: Duration,
}

/// What goes on with a model's table from one turn to the next.
#[derive(Default)]
pub(crate) struct Held {
    projector: Option<Projector>,
    /// The scrub's pass over the rows, if it is on its way.
    pub(crate) pass: Option<Pass>,
}

/// Holds a model's turn: nothing else changes its table meanwhile.
pub(crate) struct Turn<'s>(MutexGuard<'s, Held>);

impl Turn<'_> {
    /// Applies one batch, taking the table up first where somebody else changed it.
    pub(crate) fn advance(
        &mut self,
        slot: &Slot,
        log: &dyn Log,
        models: &dyn Models,
        now: Timestamp,
    ) -> Result<Progress, ProjectorError> {
        let mut projector = match self.0.projector.take() {
            Some(projector) => projector,
            None => Projector::open(Arc::clone(&slot.fold), models, Table::Live, slot.batch_events)?,
        };
        // On an error the projector is dropped: what the store holds is taken up anew.
        let progress = projector.advance(log, models, now, self.0.pass.as_mut()).inspect_err(|error| {
            // The step may have been written, and the pass does not know of it.
            if !matches!(error, ProjectorError::Damaged { .. }) {
                self.0.pass = None;
            }
        })?;
        self.0.projector = Some(projector);
        Ok(progress)
    }

    /// How far the table has come, where it was taken up.
    pub(crate) fn position(&self) -> Option<Position> {
        self.0.projector.as_ref().map(|projector| projector.checkpoint().position)
    }

    /// The scrub's pass.
    pub(crate) fn pass(&mut self) -> &mut Option<Pass> {
        &mut self.0.pass
    }

    /// Says that the holder changed the table itself: nothing is known of it any more.
    pub(crate) fn changed(&mut self) {
        *self.0 = Held::default();
    }

    /// Says that the holder wrote to the table and told the scrub's pass, if there is one. The projector takes the table up
    /// anew.
    pub(crate) fn rows_changed(&mut self) {
        self.0.projector = None;
    }

    /// Says that the holder repaired rows, and what came of it. A pass goes on only over rows that are right now: what
    /// it was told of others is not so.
    pub(crate) fn repaired(&mut self, repaired: &Result<Repaired, StoreError>) {
        if repaired.as_ref().is_ok_and(|repaired| repaired.verified) { self.rows_changed() } else { self.changed() }
    }
}

pub(crate) struct Slot {
    pub(crate) fold: Arc<dyn Fold>,
    /// What readers are given.
    pub(crate) terms: Terms,
    pub(crate) repair_budget: f64,
    pub(crate) batch_events: usize,
    turn: Mutex<Held>,
    /// Held by whoever reconciles the model in this process; others are kept off by the lease.
    pub(crate) reconciling: Mutex<()>,
    /// Something happened that the projector's thread should look at.
    pub(crate) wake: Signal,
    /// As `wake`, for a projector that has failed and waits before it tries again: it is to stop, or its table was
    /// changed.
    pub(crate) retry: Signal,
    /// The projector committed.
    pub(crate) moved: Signal,
    /// Readers who wait for a position.
    pub(crate) commits: Commits,
    pub(crate) health: Health,
    pub(crate) watch: Mutex<Watch>,
    /// Whether it has reached the events of the log, by their identities.
    pub(crate) identities: Compared,
    /// Which events it lacks touch which rows.
    pub(crate) tail: Tail,
    /// What a rebuild at work has done so far.
    pub(crate) progress: Mutex<Option<Progressing>>,
    /// Rows that the scrub found to be other than the log says, for the next look at the model.
    pub(crate) suspects: Mutex<Vec<Key>>,
    /// Rows that the last look found wrong by what was suspected of them alone: they need not be looked for again.
    pub(crate) named: Mutex<Vec<Key>>,
    /// Rows that were found wrong and that only a person may have put right; forgotten when another table is in place.
    pub(crate) waiting: Mutex<BTreeSet<Key>>,
    /// How often it was reconciled unasked.
    pub(crate) pace: Mutex<Pace>,
    /// Why a reconciliation that is needed has not begun.
    pub(crate) held_back: Mutex<Option<Wait>>,
    pub(crate) snapshotted: Mutex<Snapshotted>,
    /// Whether rows can be believed by their digests.
    pub(crate) trust: Trust,
    /// How long the scrub takes.
    pub(crate) passes: Mutex<Passes>,
    /// Up to where the scrub has asked which rows events touch.
    pub(crate) asked: Mutex<Position>,
    /// How often its snapshots were found not to be fit: one that is taken meanwhile is not either.
    pub(crate) unfit_snapshots: AtomicU64,
    /// Why the last measurement could not be made or kept; `None` where it was.
    unmeasured: Mutex<Option<String>>,
    pub(crate) thread: Mutex<Option<JoinHandle<()>>>,
    pub(crate) stop: AtomicBool,
}

impl Slot {
    pub(crate) fn new(model: Model, batch_events: usize, as_of: Option<Timestamp>) -> Self {
        let Thresholds { max_lag_events, max_lag_seconds, .. } = model.thresholds;
        let max_staleness = Duration::try_from_secs_f64(max_lag_seconds).unwrap_or(Duration::MAX);
        let bounds = Bounds { max_lag: Some(max_lag_events), max_staleness: Some(max_staleness), ..Bounds::default() };
        let level = |level: Option<Level>| level.unwrap_or(Level::Eventual);
        Self {
            fold: Arc::new(Guarded(model.fold)),
            terms: Terms { default: level(model.default_level), require: level(model.require), bounds },
            repair_budget: model.repair_budget,
            batch_events,
            turn: Mutex::default(),
            reconciling: Mutex::default(),
            wake: Signal::default(),
            retry: Signal::default(),
            moved: Signal::default(),
            commits: Commits::default(),
            health: Health::new(Worker::Lost("its projector is not running".into())),
            watch: Mutex::new(Watch::new(model.thresholds, as_of)),
            identities: Compared::default(),
            tail: Tail::default(),
            progress: Mutex::default(),
            suspects: Mutex::default(),
            named: Mutex::default(),
            waiting: Mutex::default(),
            pace: Mutex::default(),
            held_back: Mutex::new(None),
            snapshotted: Mutex::default(),
            trust: Trust::default(),
            passes: Mutex::default(),
            asked: Mutex::default(),
            unfit_snapshots: AtomicU64::new(0),
            unmeasured: Mutex::new(None),
            thread: Mutex::new(None),
            stop: AtomicBool::new(false),
        }
    }

    pub(crate) fn schema(&self) -> &Schema {
        self.fold.schema()
    }

    pub(crate) fn name(&self) -> &ModelName {
        &self.schema().model
    }

    /// Says that somebody else than its projector has changed the model's table.
    pub(crate) fn table_changed(&self) {
        self.identities.forget();
        self.trust.forget();
        self.named.lock().clear();
        self.suspects.lock().clear();
        self.rows_changed();
    }

    /// Says that somebody else than its projector has changed some rows.
    pub(crate) fn rows_changed(&self) {
        self.wake.notify();
        self.retry.notify();
        self.moved.notify();
        self.commits.disturbed();
    }

    /// Whether rows are known to be wrong that only a person may have put right.
    pub(crate) fn waits_for_person(&self) -> bool {
        !self.waiting.lock().is_empty()
    }

    /// Whether there is something to look at besides the rows that wait for a person: a write of somebody else's to other
    /// rows, or sums, samples and identities that disagree.
    pub(crate) fn has_news(&self, log: &dyn Log, models: &dyn Models, content: Content) -> Result<bool, StoreError> {
        if content.bad_buckets > 0 || !self.suspects.lock().is_empty() {
            return Ok(true);
        }
        let waiting = self.waiting.lock().clone();
        let notes = models.touched(self.name(), waiting.len() + 1)?;
        if notes.iter().any(|note| !waiting.contains(&note.key)) {
            return Ok(true);
        }
        Ok(self.identities.agree(log, models, self.name())? == Some(false))
    }

    /// Notes what came of a measurement. Said aloud once, not at every heartbeat.
    pub(crate) fn measured(&self, result: Result<(), StoreError>) {
        let mut unmeasured = self.unmeasured.lock();
        if let Err(error) = &result
            && unmeasured.is_none()
        {
            tracing::warn!(model = %self.name(), %error, "a measurement could not be made or kept");
        }
        *unmeasured = result.err().map(|error| error.to_string());
    }

    /// Why the last measurement could not be made or kept.
    pub(crate) fn unmeasured(&self) -> Option<String> {
        self.unmeasured.lock().clone()
    }

    /// Waits for the turn.
    pub(crate) fn turn(&self) -> Turn<'_> {
        Turn(self.turn.lock())
    }

    /// Waits for the turn, but not longer than this. Not only tried: a projector that catches up lets it go for a moment
    /// and takes it again.
    pub(crate) fn turn_within(&self, timeout: Duration) -> Option<Turn<'_>> {
        self.turn.try_lock_for(timeout).map(Turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projector::tests::fold;
    use std::thread;

    #[test]
    fn the_turn_is_had_although_somebody_takes_it_again_and_again() {
        let slot = Slot::new(Model::new(fold()), 1, None);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !slot.stop.load(std::sync::atomic::Ordering::SeqCst) {
                    let _turn = slot.turn();
                    thread::sleep(Duration::from_millis(2));
                }
            });
            while slot.turn_within(Duration::ZERO).is_some() {
                thread::yield_now();
            }
            let had = (0..20).filter(|_| slot.turn_within(Duration::from_secs(10)).is_some()).count();
            slot.stop.store(true, std::sync::atomic::Ordering::SeqCst);
            assert_eq!(had, 20);
        });
    }
}
