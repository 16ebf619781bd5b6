//! When to try again: exponentially later, spread over the whole interval ("full jitter"; M. Brooker, "Exponential Backoff
//! And Jitter", 2015), capped, and never beyond a budget.
//!
//! Pure: the random number is passed in and nobody sleeps here.
use std::time::Duration;

/// How often and how far apart a read is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often at most, after the first attempt.
    pub max_retries: u32,
    /// The longest delay before the first of them; each later one may be twice as long.
    pub base_delay: Duration,
    /// What no delay is longer than.
    pub max_delay: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_retries: 3, base_delay: Duration::from_millis(100), max_delay: Duration::from_secs(5) }
    }
}

impl RetryPolicy {
    /// The longest delay before a retry, counted from 0: `base_delay * 2^retry`, at most `max_delay`.
    pub fn ceiling(&self, retry: u32) -> Duration {
        let factor = 1_u32.checked_shl(retry).unwrap_or(u32::MAX);
        self.base_delay.saturating_mul(factor).min(self.max_delay)
    }

    /// The delay before a retry, uniform from zero to [`RetryPolicy::ceiling`]; `None` where there is to be none: they are
    /// used up, or it would begin when no time is `left`.
    ///
    /// ```
    /// use evenkeel_core::retry::RetryPolicy;
    /// use std::time::Duration;
    /// let policy = RetryPolicy::default();
    /// let (half, second) = (u64::MAX / 2, Duration::from_secs(1));
    /// assert_eq!(policy.delay(1, second, half).map(|delay| delay.as_millis()), Some(100));
    /// assert_eq!(policy.delay(3, second, half), None);
    /// assert_eq!(policy.delay(1, Duration::from_millis(50), half), None);
    /// ```
    pub fn delay(&self, retry: u32, left: Duration, random: u64) -> Option<Duration> {
        if retry >= self.max_retries {
            return None;
        }
        // 53 bits are what a double holds exactly; the sum makes it reach the ceiling itself.
        let share = (random >> 11) as f64 / ((1_u64 << 53) - 1) as f64;
        let ceiling = self.ceiling(retry);
        let delay = Duration::try_from_secs_f64(ceiling.as_secs_f64() * share).unwrap_or(ceiling).min(ceiling);
        (delay < left).then_some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn delays_are_capped_and_within_what_is_left(
            retry in 0_u32..80, base_ms in 0_u64..10_000, max_ms in 0_u64..10_000, left_ms in 0_u64..10_000, random: u64,
        ) {
            let policy = RetryPolicy {
                max_retries: 70,
                base_delay: Duration::from_millis(base_ms),
                max_delay: Duration::from_millis(max_ms),
            };
            let left = Duration::from_millis(left_ms);
            prop_assert!(policy.ceiling(retry) <= policy.max_delay);
            prop_assert!(policy.ceiling(retry) <= policy.ceiling(retry + 1));
            match policy.delay(retry, left, random) {
                Some(delay) => prop_assert!(retry < 70 && delay < left && delay <= policy.ceiling(retry)),
                None => prop_assert!(retry >= 70 || left <= policy.ceiling(retry)),
            }
        }
    }

    #[test]
    fn the_whole_interval_is_used_and_it_doubles() {
        let policy = RetryPolicy { max_retries: 10, ..RetryPolicy::default() };
        let delay = |retry, random| policy.delay(retry, Duration::MAX, random).unwrap_or_default().as_millis();
        for (retry, ceiling) in [(0, 100), (1, 200), (2, 400), (5, 3200), (6, 5000), (9, 5000)] {
            assert_eq!((delay(retry, 0), delay(retry, u64::MAX)), (0, ceiling));
        }
    }
}
