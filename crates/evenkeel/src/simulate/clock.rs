//! The time of a simulation: it moves when the schedule says so, and never by itself.
use crate::Clock;
use evenkeel_core::Timestamp;
use parking_lot::Mutex;
use std::time::Duration;

/// Where every simulation starts: 2026-01-01T00:00:00Z, in microseconds since 1970.
const START_MICROS: i64 = 1_767_225_600_000_000;

/// A clock that is moved by hand.
#[derive(Debug)]
pub(super) struct VirtualClock(Mutex<Time>);

#[derive(Debug)]
struct Time {
    wall_micros: i64,
    monotonic: Duration,
}

impl VirtualClock {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Time { wall_micros: START_MICROS, monotonic: Duration::ZERO }))
    }

    /// Time passes.
    pub(super) fn pass(&self, by: Duration) {
        let mut time = self.0.lock();
        time.monotonic += by;
        time.wall_micros = time.wall_micros.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX));
    }

    /// Somebody sets the time of day, forwards or backwards.
    pub(super) fn set(&self, by_micros: i64) {
        let mut time = self.0.lock();
        time.wall_micros = time.wall_micros.saturating_add(by_micros);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.lock().wall_micros)
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().monotonic
    }
}
