//! Which events of the log's tail touch which rows: found once as the log grows, so that a strong read of a row that its
//! model lacks events of looks those up rather than through all that the model lacks.
//!
//! In memory, and made when it is asked for. What is found is only where events are: whoever folds them reads them from the
//! log and asks each again what it touches. Of events up to the checkpoint the model's own index knows ([`crate::refold`]).
use evenkeel_core::{
    Epoch, EventId, Position,
    checkpoint::SafeHead,
    fold::{Fold, Touch},
    row::Key,
};
use evenkeel_store::{Log, Result};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

/// The longest tail that is looked through for this, in positions. It takes some hundred bytes each.
const LONGEST: u64 = 100_000;

/// How many events below the checkpoint are kept for who has read the model before it moved.
const KEPT: usize = 2_000;

/// Events read at a time.
const PAGE: usize = 1_000;

/// What was looked through last.
#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<Touched>);

/// Where the events of a tail are that touch a row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// Here, each once and in order, and so many of the model's types are in the tail at all.
    At(Vec<Position>, u64),
    /// It takes longer than there is time.
    TooLong,
    /// The tail is too long, or begins before what is known.
    Unknown,
}

#[derive(Debug, Default)]
struct Touched {
    /// The log it is of: its life, and the last head up to which it was looked through.
    epoch: Option<Epoch>,
    head: Option<(Position, Option<EventId>)>,
    /// Everything after here was looked at,
    after: Position,
    /// up to here.
    through: Position,
    /// The last event in it.
    last: Option<(Position, EventId)>,
    /// The events, in order, with what they touch.
    events: VecDeque<(Position, Vec<Key>)>,
    keys: HashMap<Key, VecDeque<Position>>,
    /// Events that touch a row which cannot be named: it may be any.
    unnamed: VecDeque<Position>,
}

impl Tail {
    /// The events after `after` and up to `head` that touch `key`, or a row that cannot be named. `left` says how much time there is.
    pub(crate) fn look(
        &self,
        (log, fold): (&dyn Log, &dyn Fold),
        key: &Key,
        after: Position,
        head: &SafeHead,
        left: &dyn Fn() -> Duration,
    ) -> Result<Looked> {
        if head.position.0.saturating_sub(after.0) > LONGEST {
            return Ok(Looked::Unknown);
        }
        let Some(mut touched) = self.0.try_lock_for(left()) else { return Ok(Looked::TooLong) };
        touched.begin(after, head);
        if after < touched.after {
            return Ok(Looked::Unknown);
        }
        if touched.through < head.position
            && let Err(otherwise) = touched.go_on((log, fold), after, head, left)?
        {
            return Ok(otherwise);
        }
        touched.forget_before(after);
        Ok(touched.of(key, after, head.position))
    }
}

impl Touched {
    /// Begins anew where what is known is of another log, or lies before `after` altogether.
    fn begin(&mut self, after: Position, head: &SafeHead) {
        let is_other = self.head.is_some_and(|(position, last)| position == head.position && last != head.last_event);
        if is_other || self.epoch != Some(head.epoch) || self.through < after {
            self.restart(after, head.epoch);
        }
    }

    fn restart(&mut self, after: Position, epoch: Epoch) {
        *self = Self { epoch: Some(epoch), after, through: after, ..Self::default() };
    }

    /// Looks at what has come since, up to `head`; what was done is kept also where that is not reached.
    fn go_on(
        &mut self,
        (log, fold): (&dyn Log, &dyn Fold),
        after: Position,
        head: &SafeHead,
        left: &dyn Fn() -> Duration,
    ) -> Result<Result<(), Looked>> {
        let types = &fold.schema().subscribes;
        let mut found = Vec::new();
        // From the last event that is known, which says whether this is the log it was.
        let mut from = self.last.map_or(self.through, |(position, _)| Position(position.0 - 1));
        while self.through < head.position {
            if left().is_zero() {
                return Ok(Err(Looked::TooLong));
            }
            let slice = log.read(from, Some(types), PAGE)?;
            let mut events = slice.events.iter();
            if let Some(last) = self.last.filter(|(position, _)| from < *position)
                && events.next().map(|event| (event.position, event.id)) != Some(last)
            {
                self.restart(after, head.epoch);
                from = after;
                continue;
            }
            for event in events {
                fold.touches(event, &mut found);
                self.note(event.position, event.id, &mut found);
            }
            if slice.through <= from {
                // The log has ended before its head.
                return Ok(Err(Looked::Unknown));
            }
            self.through = self.through.max(slice.through);
            from = slice.through;
        }
        self.head = Some((head.position, head.last_event));
        Ok(Ok(()))
    }

    fn note(&mut self, position: Position, id: EventId, found: &mut Vec<Touch>) {
        if found.iter().any(|touch| touch.key.is_err()) {
            self.unnamed.push_back(position);
        }
        let mut keys: Vec<Key> = found.drain(..).filter_map(|touch| touch.key.ok()).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in &keys {
            self.keys.entry(key.clone()).or_default().push_back(position);
        }
        self.events.push_back((position, keys));
        self.last = Some((position, id));
    }

    /// Forgets events up to `after`, apart from the last of them.
    fn forget_before(&mut self, after: Position) {
        let before = self.events.partition_point(|(position, _)| *position <= after);
        for (position, keys) in self.events.drain(..before.saturating_sub(KEPT)) {
            self.after = position;
            if self.unnamed.front() == Some(&position) {
                self.unnamed.pop_front();
            }
            for key in keys {
                let Some(positions) = self.keys.get_mut(&key) else { continue };
                // They are in the same order here.
                positions.pop_front();
                if positions.is_empty() {
                    self.keys.remove(&key);
                }
            }
        }
    }

    fn of(&self, key: &Key, after: Position, upto: Position) -> Looked {
        let upto_this = |position: Position| self.events.partition_point(|(at, _)| *at <= position);
        let events = upto_this(upto).saturating_sub(upto_this(after));
        let positions = self.keys.get(key).into_iter().flatten().chain(&self.unnamed).copied();
        let mut within: Vec<_> = positions.filter(|position| after < *position && *position <= upto).collect();
        within.sort_unstable();
        within.dedup();
        Looked::At(within, events as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projector::tests::{Does, fold, store_of};
    use evenkeel_store::memory::{MemoryStore, Volatile};
    use proptest::prelude::*;

    const LONG: Duration = Duration::from_secs(60);

    fn look(tail: &Tail, store: &MemoryStore, key: u8, after: u64, left: Duration) -> Looked {
        let head = store.log.safe_head().unwrap();
        let key = Key::text(format!("k{key}"));
        tail.look((&*store.log, &fold()), &key, Position(after), &head, &|| left).unwrap()
    }

    /// The same by looking through the whole log.
    fn scanned(history: &[(u8, Does)], key: u8, after: u64) -> Looked {
        let of_type = history.iter().enumerate().filter(|(_, (_, does))| !matches!(does, Does::IsOfNoConcern));
        let tail: Vec<_> = of_type.map(|(at, (of, _))| (at as u64 + 1, *of)).filter(|(at, _)| *at > after).collect();
        let touching = tail.iter().filter(|(_, of)| *of == key).map(|(at, _)| Position(*at));
        Looked::At(touching.collect(), tail.len() as u64)
    }

    fn does() -> impl Strategy<Value = Does> {
        prop_oneof![4 => (1i64..9).prop_map(Does::Adds), 1 => Just(Does::Deletes), 1 => Just(Does::IsOfNoConcern)]
    }

    proptest! {
        #[test]
        fn it_finds_what_a_scan_finds_as_log_and_checkpoint_move(
            history in prop::collection::vec((0u8..4, does()), 1..80),
            looks in prop::collection::vec((0u8..4, 0usize..100, 0usize..100), 1..20),
        ) {
            let (tail, store) = (Tail::default(), store_of(&[]));
            let (mut shown, mut checkpoint) = (0, 0);
            for (key, grows, moves) in looks {
                shown = shown.max(grows.min(history.len()));
                checkpoint = checkpoint.max(moves.min(shown));
                store.log.restore(store_of(&history[..shown]).log.image());
                let after = checkpoint as u64;
                prop_assert_eq!(look(&tail, &store, key, after, LONG), scanned(&history[..shown], key, after));
            }
        }
    }

    #[test]
    fn who_has_read_the_model_before_it_moved_is_answered_too_or_told_that_it_is_not_known() {
        let history: Vec<_> = (0..KEPT as u64 + 3_000).map(|n| ((n % 3) as u8, Does::Adds(1))).collect();
        let (tail, store) = (Tail::default(), store_of(&history));
        let last = history.len() as u64;
        for after in [10, last, last - 5, last - KEPT as u64] {
            assert_eq!(look(&tail, &store, 1, after, LONG), scanned(&history, 1, after), "{after}");
        }
        assert_eq!(look(&tail, &store, 1, 9, LONG), Looked::Unknown);
    }

    #[test]
    fn what_was_done_until_the_time_was_over_is_kept() {
        let history: Vec<_> = (0..2_500).map(|n| ((n % 3) as u8, Does::Adds(1))).collect();
        let (tail, store) = (Tail::default(), store_of(&history));
        let (head, key) = (store.log.safe_head().unwrap(), Key::text("k1"));
        let mut looks = 0;
        let found = loop {
            looks += 1;
            // Time for one page.
            let asked = std::cell::Cell::new(0);
            let left = || {
                asked.set(asked.get() + 1);
                if asked.get() > 2 { Duration::ZERO } else { LONG }
            };
            match tail.look((&*store.log, &fold()), &key, Position::ZERO, &head, &left).unwrap() {
                Looked::TooLong => {}
                found => break found,
            }
        };
        assert_eq!((looks, found), (3, scanned(&history, 1, 0)));
    }

    #[test]
    fn of_another_log_it_says_nothing() {
        let acts = |second| vec![(1, Does::Adds(1)), second, (1, Does::Adds(3))];
        let (one, other) = (acts((1, Does::Adds(2))), acts((2, Does::IsOfNoConcern)));
        let (tail, store) = (Tail::default(), store_of(&one[..2]));
        assert_eq!(look(&tail, &store, 1, 0, LONG), scanned(&one[..2], 1, 0));
        store.log.restore(store_of(&other).log.image());
        assert_eq!(look(&tail, &store, 1, 0, LONG), scanned(&other, 1, 0));
        assert_eq!(look(&tail, &store, 1, 0, Duration::ZERO), scanned(&other, 1, 0));
    }
}
