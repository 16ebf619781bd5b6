//! Who waits for a model to reach which position, in order of position, and whether waiting is worth it.
//!
//! A commit wakes exactly those that it has reached, in O(log n) each, however many wait for more. Nothing here sleeps or
//! wakes: what stands in the queue is the runtime's.
use crate::ids::Position;
use std::collections::{BTreeMap, VecDeque};

/// A place in a [`Queue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(Position, u64);

/// Those who wait for one model.
///
/// No wake-up is lost by somebody who asks for [`Queue::seen`] before he looks at the model: if it has changed since in
/// another way than by a commit that is still too low for him, [`Queue::enter`] does not let him wait.
///
/// ```
/// use evenkeel_core::{Position, waiting::Queue};
/// let mut queue = Queue::default();
/// let seen = queue.seen();
/// assert!(queue.enter(Position(7), seen, "late").is_ok());
/// assert!(queue.enter(Position(3), seen, "early").is_ok());
/// assert_eq!(queue.reached(Position(5)), ["early"]);
/// assert_eq!(queue.enter(Position(5), seen, "there already"), Err("there already"));
/// assert_eq!(queue.disturb(), ["late"]);
/// ```
#[derive(Debug)]
pub struct Queue<T> {
    waiting: BTreeMap<Ticket, T>,
    reached: Position,
    disturbed: u64,
    next: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), reached: Position::ZERO, disturbed: 0, next: 0 }
    }
}

/// What somebody knew of a queue when he began to look at the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen(u64);

impl<T> Queue<T> {
    /// What is known now.
    pub fn seen(&self) -> Seen {
        Seen(self.disturbed)
    }

    /// Begins to wait for `position`.
    ///
    /// # Errors
    /// `who` again where there is nothing to wait for: it was reached, or something else happened since `seen`.
    pub fn enter(&mut self, position: Position, seen: Seen, who: T) -> Result<Ticket, T> {
        if self.reached >= position || self.seen() != seen {
            return Err(who);
        }
        let ticket = Ticket(position, self.next);
        self.next += 1;
        self.waiting.insert(ticket, who);
        Ok(ticket)
    }

    /// Gives up waiting.
    pub fn leave(&mut self, ticket: Ticket) -> Option<T> {
        self.waiting.remove(&ticket)
    }

    /// The model has committed everything up to `position`. Those who waited for it, the lowest first.
    pub fn reached(&mut self, position: Position) -> Vec<T> {
        self.reached = position;
        let later = self.waiting.split_off(&Ticket(position.next(), 0));
        std::mem::replace(&mut self.waiting, later).into_values().collect()
    }

    /// Something else happened to the model: everybody is to look again, and what was reached is not known any more.
    pub fn disturb(&mut self) -> Vec<T> {
        self.disturbed += 1;
        self.reached = Position::ZERO;
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// How fast a projector folds while it has something to fold, by its latest batches.
///
/// A rate over all time would say nothing: an idle projector applies next to nothing a second, and would take what comes
/// at once.
#[derive(Debug, Clone, Default)]
pub struct Speed {
    batches: VecDeque<(u64, f64)>,
}

impl Speed {
    /// Batches that are remembered.
    const BATCHES: usize = 32;
    /// A batch says nothing of a lag that is more than so many times larger: the larger a batch, the cheaper an event.
    const BEYOND: u64 = 8;

    /// A batch of so many events took so long.
    pub fn note(&mut self, events: u64, seconds: f64) {
        if events == 0 {
            return;
        }
        self.batches.truncate(Self::BATCHES - 1);
        self.batches.push_front((events, seconds.max(0.0)));
    }

    /// Seconds until so many more events are folded; `None` where nothing comparable was measured.
    pub fn eta_seconds(&self, events: u64) -> Option<f64> {
        let comparable = self.batches.iter().filter(|(batch, _)| batch.saturating_mul(Self::BEYOND) >= events);
        let (folded, took) = comparable.fold((0, 0.0), |(folded, took), batch| (folded + batch.0, took + batch.1));
        (folded > 0).then(|| took / folded as f64 * events as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whoever waits is woken by the first commit that reaches him, and by no other.
        #[test]
        fn a_commit_wakes_whom_it_reaches(targets in prop::collection::vec(1_u64..50, 0..40), commits in prop::collection::vec(0_u64..60, 0..20)) {
            let mut queue = Queue::default();
            let seen = queue.seen();
            let mut waiting: Vec<u64> = targets.clone();
            for target in targets {
                prop_assert!(queue.enter(Position(target), seen, target).is_ok());
            }
            for commit in commits {
                let (mut woken, rest): (Vec<u64>, Vec<u64>) = waiting.iter().partition(|target| **target <= commit);
                woken.sort_unstable();
                waiting = rest;
                prop_assert_eq!(queue.reached(Position(commit)), woken);
                prop_assert_eq!(queue.len(), waiting.len());
            }
        }
    }

    #[test]
    fn nobody_waits_for_what_happened_while_he_looked() {
        let mut queue = Queue::default();
        let seen = queue.seen();
        assert!(queue.disturb().is_empty());
        assert_eq!(queue.enter(Position(1), seen, ()), Err(()));
        let seen = queue.seen();
        queue.reached(Position(9));
        assert_eq!(queue.enter(Position(9), seen, ()), Err(()));
        let ticket = queue.enter(Position(10), seen, ()).unwrap();
        assert_eq!((queue.leave(ticket), queue.leave(ticket)), (Some(()), None));
        assert!(queue.is_empty());
    }

    #[test]
    fn the_last_position_can_be_waited_for() {
        let mut queue = Queue::default();
        let seen = queue.seen();
        queue.enter(Position(u64::MAX - 1), seen, 'a').unwrap();
        assert_eq!(queue.reached(Position(u64::MAX - 1)), ['a']);
    }

    #[test]
    fn an_estimate_is_of_busy_time_and_of_comparable_batches_only() {
        let mut speed = Speed::default();
        assert_eq!(speed.eta_seconds(1), None);
        speed.note(1, 0.001);
        assert_eq!((speed.eta_seconds(8), speed.eta_seconds(9)), (Some(0.008), None));
        speed.note(1000, 0.1);
        let eta = speed.eta_seconds(4000).unwrap();
        assert!((eta - 0.4).abs() < 1e-9, "{eta}");
        for _ in 0..100 {
            speed.note(1, 0.5);
        }
        assert_eq!(speed.eta_seconds(4), Some(2.0));
    }
}
