//! Waking threads that wait for something to happen, without polling and without losing a wake-up.
//!
//! Nothing is handed over: whoever wakes looks for itself what there is.
use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// Counts happenings; a waiter names the last count it has seen.
///
/// No wake-up is lost by a waiter that asks for [`Signal::seen`] *before* it looks at what it waits for.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    count: Mutex<u64>,
    happened: Condvar,
}

impl Signal {
    /// Something happened.
    pub(crate) fn notify(&self) {
        *self.count.lock() += 1;
        self.happened.notify_all();
    }

    /// How often something has happened.
    pub(crate) fn seen(&self) -> u64 {
        *self.count.lock()
    }

    /// Returns as soon as more than `seen` happenings are counted, or after `timeout`.
    pub(crate) fn wait(&self, seen: u64, timeout: Duration) {
        let deadline = Instant::now().checked_add(timeout);
        let mut count = self.count.lock();
        while *count == seen {
            match deadline {
                Some(deadline) if self.happened.wait_until(&mut count, deadline).timed_out() => return,
                Some(_) => {}
                None => self.happened.wait(&mut count),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_since_it_was_looked_at_ends_the_wait_at_once() {
        let signal = Signal::default();
        let seen = signal.seen();
        signal.notify();
        signal.wait(seen, Duration::MAX);
    }
}
