//! How long to wait before something is tried again: exponentially longer, with full jitter, within a bound.
//!
//! What is worth trying again is for [`super::sender`] to say.
use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

/// The first wait, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// The waits between tries of one request after another.
#[derive(Debug)]
pub(crate) struct Backoff {
    bound: Duration,
    random: u64,
    wait: Duration,
    since: Option<Instant>,
}

impl Backoff {
    /// Gives up on a request after `bound`.
    pub(crate) fn new(bound: Duration) -> Self {
        // The only randomness the standard library has; how it is spread over programs is all that matters here.
        let random = RandomState::new().hash_one(std::process::id()) | 1;
        Self { bound, random, wait: WAITS.0, since: None }
    }

    /// The request was answered: the next one begins anew.
    pub(crate) fn reset(&mut self) {
        (self.wait, self.since) = (WAITS.0, None);
    }

    /// Sleeps before the next try. `false` where there is none: it would begin beyond the bound. A server's own word
    /// on when to come back is the least that is waited.
    pub(crate) fn sleep(&mut self, at_least: Option<Duration>) -> bool {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let wait = self.next().max(at_least.unwrap_or_default());
        if now.duration_since(since) + wait > self.bound {
            return false;
        }
        std::thread::sleep(wait);
        true
    }

    fn next(&mut self) -> Duration {
        // xorshift64: never 0 from a seed that is not.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let wait = self.wait.mul_f64((self.random >> 11) as f64 / (1_u64 << 53) as f64);
        self.wait = (self.wait * 2).min(WAITS.1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_are_spread() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        let mut ceiling = WAITS.0;
        let waits: Vec<_> = (0..40)
            .map(|_| {
                let wait = backoff.next();
                assert!(wait <= ceiling, "{wait:?} is over {ceiling:?}");
                ceiling = (ceiling * 2).min(WAITS.1);
                wait
            })
            .collect();
        let late = &waits[20..];
        assert!(late.iter().any(|wait| *wait > WAITS.1 / 2) && late.iter().any(|wait| *wait < WAITS.1 / 2));
    }

    #[test]
    fn what_would_begin_beyond_the_bound_is_not_waited_for() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        assert!(!backoff.sleep(Some(Duration::from_secs(3600))));
        assert!(!Backoff::new(Duration::ZERO).sleep(Some(Duration::from_millis(1))));
        backoff.reset();
        assert_eq!((backoff.wait, backoff.since), (WAITS.0, None));
    }
}
