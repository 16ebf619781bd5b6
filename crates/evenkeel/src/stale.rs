//! [`StaleReader`]: the specification's handling of stale reads around any asynchronous read of the user's own, as of a
//! replica, a cache or another service's projection.
//!
//! The read is tried again while it is stale, by [`RetryPolicy`] and within the budget; then a stronger read is asked, if
//! there is one, and otherwise the last answer is given with what is wrong with it. Reads of an [`crate::Engine`] need none
//! of this: they are woken.
use crate::Clock;
use evenkeel_core::{
    Timestamp,
    freshness::{Action, Freshness, FreshnessLimits, Staleness},
    retry::RetryPolicy,
};
use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

/// What a read found, and the moment up to which everything is known to be in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed<T> {
    /// What was found.
    pub data: T,
    /// Everything committed before then is in it; `None` where that is not known.
    pub as_of: Option<Timestamp>,
}

/// An answer that says how stale it is.
#[derive(Debug, Clone, PartialEq)]
pub struct StaleAnswer<T> {
    /// What was found last.
    pub data: T,
    /// How stale that is, and what to do.
    pub staleness: Staleness,
    /// Everything committed before then is in it.
    pub as_of: Option<Timestamp>,
    /// Whether it lacks what was asked for, or may.
    pub data_stale: bool,
    /// How often it was read, the stronger read included.
    pub attempts: u32,
    /// How long it took, in milliseconds.
    pub waited_ms: u64,
    /// Whether the stronger read gave it.
    pub failed_over: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StaleReadError<E> {
    /// The read itself failed.
    #[error(transparent)]
    Read(E),
    /// No read came back within the budget.
    #[error("no read came back within {budget_ms} ms")]
    TimedOut {
        /// The budget.
        budget_ms: u64,
    },
}

/// Reads that may be stale, tried again and labelled.
///
/// ```
/// use evenkeel::{Clock, SystemClock, stale::{Observed, StaleReader}};
/// use std::{sync::Arc, time::Duration};
///
/// let clock = Arc::new(SystemClock::default());
/// let reader = StaleReader::new(clock.clone(), Duration::from_millis(250));
/// let read = || async { Ok::<_, std::io::Error>(Observed { data: 42, as_of: Some(clock.now()) }) };
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// let answer = runtime.block_on(reader.read(None, read)).map_err(|error| error.to_string())?;
/// assert_eq!((answer.data, answer.data_stale, answer.attempts), (42, false, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct StaleReader {
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
    /// How often and how far apart a stale read is tried again.
    pub policy: RetryPolicy,
    /// Where the classes of staleness begin.
    pub limits: FreshnessLimits,
    /// How long all of it may take.
    pub budget: Duration,
}

/// A stronger read that there is none of.
type NoRead<T, E> = fn() -> std::future::Ready<Result<Observed<T>, E>>;

impl StaleReader {
    /// With the specification's policy and limits.
    pub fn new(clock: Arc<dyn Clock>, budget: Duration) -> Self {
        Self { clock, policy: RetryPolicy::default(), limits: FreshnessLimits::default(), budget }
    }

    /// Reads until the answer is not stale. Without `consistent_since` an answer that is fresh or slightly stale will do;
    /// with it the answer must have everything committed before then in it.
    ///
    /// Needs a runtime of tokio with time.
    ///
    /// # Errors
    /// An error of the read at once, whatever came before: only staleness is tried again.
    pub async fn read<T, E, R>(
        &self,
        consistent_since: Option<Timestamp>,
        read: impl FnMut() -> R,
    ) -> Result<StaleAnswer<T>, StaleReadError<E>>
    where
        R: Future<Output = Result<Observed<T>, E>>,
    {
        self.run(consistent_since, read, None::<NoRead<T, E>>).await
    }

    /// As [`StaleReader::read`]; where the answer stays stale and time is left, `strong` is asked.
    ///
    /// # Errors
    /// As there. Where the stronger read fails or comes too late the stale answer is given.
    pub async fn read_or_strong<T, E, R, S>(
        &self,
        consistent_since: Option<Timestamp>,
        read: impl FnMut() -> R,
        strong: impl FnOnce() -> S,
    ) -> Result<StaleAnswer<T>, StaleReadError<E>>
    where
        R: Future<Output = Result<Observed<T>, E>>,
        S: Future<Output = Result<Observed<T>, E>>,
    {
        self.run(consistent_since, read, Some(strong)).await
    }

    async fn run<T, E, R, S>(
        &self,
        since: Option<Timestamp>,
        mut read: impl FnMut() -> R,
        strong: Option<impl FnOnce() -> S>,
    ) -> Result<StaleAnswer<T>, StaleReadError<E>>
    where
        R: Future<Output = Result<Observed<T>, E>>,
        S: Future<Output = Result<Observed<T>, E>>,
    {
        let started = self.clock.monotonic();
        let spent = || self.clock.monotonic().saturating_sub(started);
        let left = || self.budget.saturating_sub(spent());
        let mut last = None;
        let mut attempts = 0;
        loop {
            attempts += 1;
            // What is as of then or later is as fresh as can be asked for: the answer ages on its way.
            let asked = self.clock.now();
            let Ok(result) = tokio::time::timeout(left(), read()).await else { break };
            let found = result.map_err(StaleReadError::Read)?;
            let answer = self.judge(found, since.unwrap_or(asked), attempts, spent());
            let is_good = !answer.data_stale || (since.is_none() && answer.staleness.is_acceptable());
            if is_good {
                return Ok(answer);
            }
            last = Some(answer);
            // Waiting is drawn for each reader, so that those who met the same stale data do not come back together.
            let random = RandomState::new().hash_one(attempts);
            let Some(delay) = self.policy.delay(attempts - 1, left(), random) else { break };
            tokio::time::sleep(delay).await;
        }
        if let Some(strong) = strong.filter(|_| !left().is_zero()) {
            attempts += 1;
            let asked = self.clock.now();
            if let Ok(Ok(found)) = tokio::time::timeout(left(), strong()).await {
                let answer = self.judge(found, since.unwrap_or(asked), attempts, spent());
                return Ok(StaleAnswer { failed_over: true, ..answer });
            }
        }
        let mut answer = last.ok_or(StaleReadError::TimedOut { budget_ms: millis(self.budget) })?;
        answer.staleness.suggested_action = Action::FailoverToStrong;
        Ok(StaleAnswer { attempts, waited_ms: millis(spent()), ..answer })
    }

    fn judge<T>(&self, found: Observed<T>, since: Timestamp, attempts: u32, spent: Duration) -> StaleAnswer<T> {
        let Observed { data, as_of } = found;
        let staleness = Staleness::of(as_of, since, &self.limits);
        let data_stale = staleness.freshness != Freshness::Fresh;
        StaleAnswer { data, staleness, as_of, data_stale, attempts, waited_ms: millis(spent), failed_over: false }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
