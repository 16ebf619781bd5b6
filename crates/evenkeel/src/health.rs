//! What is known of the thread that projects a model.
//!
//! Not how far the model is from the log ([`crate::monitor`]).
use evenkeel_core::drift::Worker;
use parking_lot::Mutex;

/// Shared between a projector's thread, the monitor and readers.
#[derive(Debug)]
pub(crate) struct Health(Mutex<State>);

#[derive(Debug)]
struct State {
    worker: Worker,
    /// How many reconciliations of the model are at work or wait for its turn.
    reconciling: usize,
}

impl Health {
    pub(crate) fn new(worker: Worker) -> Self {
        Self(Mutex::new(State { worker, reconciling: 0 }))
    }

    pub(crate) fn get(&self) -> Worker {
        let state = self.0.lock();
        if state.reconciling > 0 { Worker::Reconciling } else { state.worker.clone() }
    }

    pub(crate) fn set(&self, worker: Worker) {
        self.0.lock().worker = worker;
    }

    /// The projector failed, and says why.
    pub(crate) fn failed(&self, reason: &str) {
        let mut state = self.0.lock();
        let lost = Worker::Lost(reason.to_owned());
        if state.worker != lost {
            tracing::warn!(reason, "a projector cannot go on");
            state.worker = lost;
        }
    }

    /// The projector works.
    pub(crate) fn recovered(&self) {
        self.0.lock().worker = Worker::Running;
    }

    /// Says that a reconciliation is at work until the guard is dropped.
    pub(crate) fn reconciling(&self) -> Reconciling<'_> {
        self.0.lock().reconciling += 1;
        Reconciling(self)
    }
}

/// While this lives a reconciliation is at work.
pub(crate) struct Reconciling<'h>(&'h Health);

impl Drop for Reconciling<'_> {
    fn drop(&mut self) {
        self.0.0.lock().reconciling -= 1;
    }
}
