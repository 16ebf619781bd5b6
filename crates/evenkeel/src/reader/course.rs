//! The course of a read: attempts, and waiting between them for the projector's commit, within the budget.
//!
//! A read that waits holds no thread where its caller is asynchronous. What an attempt does is [`super::Reader`]'s; who is
//! woken by a commit is decided in [`evenkeel_core::waiting`].
use super::{ReadOptions, Reader};
use crate::{Clock, ReadError, slot::Slot};
use evenkeel_core::{
    Position,
    checkpoint::SafeHead,
    demand::{Asked, Demand, Unmet, Until},
    waiting::{Queue, Seen, Speed, Ticket},
};
use evenkeel_store::StoreError;
use parking_lot::{Condvar, Mutex};
use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// How long somebody whose budget is over waits for the attempt that says so to all whose is: his own would take as long.
const LAST: Duration = Duration::from_millis(5);

/// Those who wait for a model's commits, and how fast these come.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    queue: Mutex<Queue<Arc<Waiter>>>,
    speed: Mutex<Speed>,
    /// Whether there will be no more.
    closed: AtomicBool,
}

impl Commits {
    /// The projector has committed everything up to `position`, with so many events, and it took so long.
    pub(crate) fn reached(&self, position: Position, events: u64, took: Duration) {
        self.speed.lock().note(events, took.as_secs_f64());
        let woken = self.queue.lock().reached(position);
        woken.iter().for_each(|waiter| waiter.wake());
    }

    /// Something else happened to the model.
    pub(crate) fn disturbed(&self) {
        let woken = self.queue.lock().disturb();
        woken.iter().for_each(|waiter| waiter.wake());
    }

    /// There will be no more: nobody waits from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.disturbed();
    }

    fn eta(&self, events: u64) -> Option<Duration> {
        let seconds = self.speed.lock().eta_seconds(events)?;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

/// Somebody who waits, in a thread or in a task.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    is_woken: Mutex<bool>,
    in_thread: Condvar,
    in_task: tokio::sync::Notify,
}

impl Waiter {
    pub(super) fn wake(&self) {
        *self.is_woken.lock() = true;
        self.in_thread.notify_all();
        // Kept for whoever asks later.
        self.in_task.notify_one();
    }

    /// Waits in a thread.
    pub(super) fn wait(&self, timeout: Duration) {
        let mut is_woken = self.is_woken.lock();
        self.in_thread.wait_while_for(&mut is_woken, |is_woken| !*is_woken, timeout);
    }

    /// Waits in a task.
    pub(super) async fn woken(&self, timeout: Duration) {
        let _ = tokio::time::timeout(timeout, self.in_task.notified()).await;
    }
}

/// A place in a model's queue, given up when it is dropped.
pub(crate) struct Place {
    slot: Arc<Slot>,
    ticket: Option<Ticket>,
    waiter: Arc<Waiter>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.slot.commits.queue.lock().leave(ticket);
        }
    }
}

impl Place {
    /// Waits in a thread.
    pub(super) fn wait(&self, timeout: Duration) {
        self.waiter.wait(timeout);
    }

    /// Waits in a task.
    pub(super) async fn woken(&self, timeout: Duration) {
        self.waiter.woken(timeout).await;
    }
}

/// A read on its way.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    pub(super) options: ReadOptions,
    pub(super) demand: Demand,
    pub(super) started: Duration,
    pub(super) attempts: u32,
    pub(super) waited: Duration,
    /// The head that a strong read is to reach.
    pub(super) target: Option<SafeHead>,
    /// Whether a strong answer may be made; otherwise there is none.
    pub(super) has_room: bool,
    seen: Option<Seen>,
    /// How often the store could not read.
    failures: u32,
}

/// What an attempt came to.
#[derive(Debug, Clone)]
pub(crate) enum Step<T> {
    /// An answer.
    Done(T),
    /// None yet: it is to be tried again when the model has reached this, or the budget ends.
    Wait(Position),
    /// The store cannot read now: it is to be tried again after this.
    Pause(Duration),
}

impl Course {
    /// The course of a read that arrived at `started`.
    pub(crate) fn new(slot: &Slot, options: ReadOptions, started: Duration) -> Self {
        let asked = Asked { level: options.level, bounds: options.bounds, token: options.token };
        let demand = Demand::of(asked, &slot.terms);
        Self {
            options,
            demand,
            started,
            attempts: 0,
            waited: Duration::ZERO,
            target: None,
            has_room: true,
            seen: None,
            failures: 0,
        }
    }

    /// When it must be over.
    pub(super) fn deadline(&self) -> Duration {
        self.started.saturating_add(self.options.budget)
    }

    pub(super) fn left(&self, clock: &dyn Clock) -> Duration {
        self.deadline().saturating_sub(clock.monotonic())
    }

    /// How long it may wait for an attempt that is shared, or for room. One that need not be fresher than what is there has
    /// no budget to keep, and waits no longer than those before it may take. Where the budget is over there is still [`LAST`].
    pub(super) fn patience(&self, clock: &dyn Clock, within: Duration) -> Duration {
        let left = self.left(clock);
        if self.demand.wanted.head { left.max(LAST) } else { left.max(within) }
    }

    /// Begins an attempt: what happens to the model from now on is not missed.
    pub(super) fn attempt(&mut self, slot: &Slot) {
        self.attempts += 1;
        self.seen = Some(slot.commits.queue.lock().seen());
    }

    /// Goes on from an attempt that somebody else has made for both.
    pub(super) fn take_up(&mut self, of: &Self) {
        self.seen = of.seen;
        self.failures = of.failures;
        self.target.clone_from(&of.target);
    }

    /// Takes a place in the queue. Woken already where there is nothing to wait for.
    pub(super) fn enter(&self, slot: &Arc<Slot>, position: Position) -> Place {
        let waiter = Arc::new(Waiter::default());
        let mut queue = slot.commits.queue.lock();
        let seen = self.seen.unwrap_or_else(|| queue.seen());
        let ticket = queue.enter(position, seen, Arc::clone(&waiter)).map_err(|waiter| waiter.wake()).ok();
        Place { slot: Arc::clone(slot), ticket, waiter }
    }
}

impl Reader<'_> {
    /// Where a read that lacks something waits to; `None` where waiting does not help, or not within the budget.
    pub(super) fn wait_for(
        &self,
        unmet: &Unmet,
        checkpoint: Position,
        lag_count: Option<u64>,
        course: &Course,
    ) -> Option<Position> {
        let left = course.left(self.clock);
        if left.is_zero() || self.slot.commits.closed.load(Ordering::SeqCst) {
            return None;
        }
        let next = checkpoint.next();
        let (position, events) = match unmet.until? {
            Until::Reached(position) => {
                let between = position.0.saturating_sub(checkpoint.0);
                (position.max(next), lag_count.map_or(between, |lag| lag.min(between)))
            }
            // How much is to come until a bound holds is not known, but it is at least one commit.
            Until::Moved => (next, 1),
        };
        self.slot.commits.eta(events).is_none_or(|eta| eta <= left).then_some(position)
    }

    /// Attempts until there is an answer, waiting in this thread.
    pub(crate) fn drive<T>(
        &self,
        course: Course,
        attempt: impl Fn(&Reader<'_>, &mut Course) -> Result<Step<T>, ReadError>,
    ) -> Result<T, ReadError> {
        self.drive_by(course, |reader, course| reader.once(course, &attempt))
    }

    /// As [`Reader::drive`], where an attempt may be somebody else's.
    pub(super) fn drive_by<T>(
        &self,
        mut course: Course,
        attempt: impl Fn(&Reader<'_>, &mut Course) -> Result<Step<T>, ReadError>,
    ) -> Result<T, ReadError> {
        loop {
            match attempt(self, &mut course)? {
                Step::Done(answer) => return Ok(answer),
                Step::Wait(position) => {
                    let before = self.clock.monotonic();
                    course.enter(self.slot, position).wait(course.left(self.clock));
                    course.waited += self.clock.monotonic().saturating_sub(before);
                }
                Step::Pause(delay) => {
                    thread::sleep(delay);
                    course.waited += delay;
                }
            }
        }
    }

    /// One attempt. A store that is not available for the moment is no answer yet, as long as the policy has it.
    pub(super) fn once<T>(
        &self,
        course: &mut Course,
        attempt: impl Fn(&Reader<'_>, &mut Course) -> Result<Step<T>, ReadError>,
    ) -> Result<Step<T>, ReadError> {
        course.attempt(self.slot);
        match attempt(self, course) {
            Err(ReadError::Store(error)) if error.is_transient() => self.pause(course, error),
            result => result,
        }
    }

    /// When a store that failed is asked again, where the policy has it.
    pub(super) fn pause<T>(&self, course: &mut Course, error: StoreError) -> Result<Step<T>, ReadError> {
        let random = RandomState::new().hash_one(course.attempts);
        let left = course.left(self.clock);
        let delay = self.retry.and_then(|policy| policy.delay(course.failures, left, random));
        course.failures += 1;
        delay.map(Step::Pause).ok_or(ReadError::Store(error))
    }
}

impl crate::engine::Inner {
    /// As [`Reader::drive`], waiting in a task.
    pub(crate) async fn drive<T: Send + 'static>(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        mut course: Course,
        attempt: impl Fn(&Reader<'_>, &mut Course) -> Result<Step<T>, ReadError> + Send + Sync + 'static,
    ) -> Result<T, ReadError> {
        let attempt = Arc::new(attempt);
        loop {
            let once = Arc::clone(&attempt);
            let work = move |reader: &Reader<'_>, course: &mut Course| reader.once(course, once.as_ref());
            let step = self.in_thread(slot, &mut course, work).await?;
            if let Some(answer) = self.follow(slot, &mut course, step).await {
                return Ok(answer);
            }
        }
    }

    /// Does what blocks in a thread for that.
    pub(super) async fn in_thread<T: Send + 'static>(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        course: &mut Course,
        work: impl FnOnce(&Reader<'_>, &mut Course) -> Result<Step<T>, ReadError> + Send + 'static,
    ) -> Result<Step<T>, ReadError> {
        let (inner, of, mut own) = (Arc::clone(self), Arc::clone(slot), course.clone());
        let done = tokio::task::spawn_blocking(move || {
            let step = work(&inner.reader(&of), &mut own);
            (step, own)
        });
        match done.await {
            Ok((step, after)) => {
                *course = after;
                step
            }
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }

    /// Waits as an attempt says, or gives its answer.
    pub(super) async fn follow<T>(&self, slot: &Arc<Slot>, course: &mut Course, step: Step<T>) -> Option<T> {
        match step {
            Step::Done(answer) => return Some(answer),
            Step::Wait(position) => {
                let before = self.clock.monotonic();
                course.enter(slot, position).woken(course.left(self.clock.as_ref())).await;
                course.waited += self.clock.monotonic().saturating_sub(before);
            }
            Step::Pause(delay) => {
                tokio::time::sleep(delay).await;
                course.waited += delay;
            }
        }
        None
    }
}
