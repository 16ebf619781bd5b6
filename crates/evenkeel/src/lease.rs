//! The lease on reconciling a model: taken before anything is done, and renewed by the time for as long as it takes.
//!
//! Whoever works for long asks [`Lease::go_on`] again and again, as it must in any case to notice that the engine stops.
use crate::{EngineError, engine::Inner, slot::Slot};
use std::{ops::ControlFlow, time::Duration};

/// How long a lease holds without being renewed.
const LENGTH: Duration = Duration::from_secs(30);

/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(10);

/// A lease held; given up when it is dropped.
pub(crate) struct Lease<'l> {
    inner: &'l Inner,
    slot: &'l Slot,
    renewed: Duration,
}

impl<'l> Lease<'l> {
    /// Takes it.
    pub(crate) fn take(inner: &'l Inner, slot: &'l Slot) -> Result<Self, EngineError> {
        let lease = Self { inner, slot, renewed: inner.clock.monotonic() };
        // One that another holds is not given up when this is dropped: it is not ours.
        let at_work = || EngineError::Method(format!("another reconciliation of {} is at work", slot.name()));
        lease.renew()?.then_some(lease).ok_or_else(at_work)
    }

    fn renew(&self) -> Result<bool, EngineError> {
        let Self { inner, slot, .. } = self;
        Ok(inner.models.lease(slot.name(), &inner.options.holder, inner.clock.now(), LENGTH)?)
    }

    /// Renews it where it is time to. `Break` where the engine is to stop, or somebody else may have the lease: what is
    /// done here would go over what they do.
    pub(crate) fn go_on(&mut self) -> ControlFlow<()> {
        let now = self.inner.clock.monotonic();
        if now.saturating_sub(self.renewed) > RENEW {
            self.renewed = now;
            if !matches!(self.renew(), Ok(true)) {
                return ControlFlow::Break(());
            }
        }
        self.inner.go_on()
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // One that cannot be given up runs out.
        let _ = self.inner.models.release(self.slot.name(), &self.inner.options.holder);
    }
}

/// What the lease, or the engine's end, put an end to.
pub(crate) fn called_off(what: &str) -> EngineError {
    let why = "was called off: the engine is stopping, or somebody else reconciles the model";
    EngineError::Method(format!("the {what} {why}"))
}
