//! One model in a running engine: its fold, whose turn it is to change its table, and what is known of it.
use crate::{
    guarded::Guarded,
    health::Health,
    monitor::Watch,
    projector::{Progress, Projector, ProjectorError},
    signal::Signal,
};
use evenkeel_core::{
    ModelName, Timestamp,
    drift::{Thresholds, Worker},
    fold::Fold,
    freshness::Level,
    schema::Schema,
};
use evenkeel_store::{Log, Models, StoreError, Table};
use parking_lot::{Mutex, MutexGuard};
use std::{
    sync::{Arc, atomic::AtomicBool},
    thread::JoinHandle,
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
    /// The weakest level it may be read at.
    pub require: Option<Level>,
}

impl Model {
    /// A model with the default thresholds, readable at any level.
    pub fn new(fold: impl Fold + 'static) -> Self {
        Self { fold: Arc::new(fold), thresholds: Thresholds::default(), require: None }
    }
}

/// Holds a model's turn: nothing else changes its table meanwhile.
pub(crate) struct Turn<'s>(MutexGuard<'s, Option<Projector>>);

impl Turn<'_> {
    /// Applies one batch, taking the table up first where somebody else changed it.
    pub(crate) fn advance(
        &mut self,
        slot: &Slot,
        log: &dyn Log,
        models: &dyn Models,
        now: Timestamp,
    ) -> Result<Progress, ProjectorError> {
        let mut projector = match self.0.take() {
            Some(projector) => projector,
            None => Projector::open(Arc::clone(&slot.fold), models, Table::Live, slot.batch_events)?,
        };
        // On an error the projector is dropped: what the store holds is taken up anew.
        let progress = projector.advance(log, models, now)?;
        *self.0 = Some(projector);
        Ok(progress)
    }

    /// Says that the holder changed the table itself.
    pub(crate) fn changed(&mut self) {
        *self.0 = None;
    }
}

pub(crate) struct Slot {
    pub(crate) fold: Arc<dyn Fold>,
    pub(crate) require: Option<Level>,
    pub(crate) batch_events: usize,
    turn: Mutex<Option<Projector>>,
    /// Something happened that the projector's thread should look at.
    pub(crate) wake: Signal,
    /// As `wake`, for a projector that has failed and waits before it tries again: it is to stop, or its table was
    /// changed.
    pub(crate) retry: Signal,
    /// The projector committed.
    pub(crate) moved: Signal,
    pub(crate) health: Health,
    pub(crate) watch: Mutex<Watch>,
    /// Why the last measurement could not be made or kept; `None` where it was.
    unmeasured: Mutex<Option<String>>,
    pub(crate) thread: Mutex<Option<JoinHandle<()>>>,
    pub(crate) stop: AtomicBool,
}

impl Slot {
    pub(crate) fn new(model: Model, batch_events: usize, as_of: Option<Timestamp>) -> Self {
        Self {
            fold: Arc::new(Guarded(model.fold)),
            require: model.require,
            batch_events,
            turn: Mutex::new(None),
            wake: Signal::default(),
            retry: Signal::default(),
            moved: Signal::default(),
            health: Health::new(Worker::Lost("its projector is not running".into())),
            watch: Mutex::new(Watch::new(model.thresholds, as_of)),
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
        self.wake.notify();
        self.retry.notify();
        self.moved.notify();
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
}
