//! A log that says one wrong thing to a projector: an event is left out of what is read, or is there twice.
//!
//! As a projector with a defect of its own would read, or one that is fed over a connection that drops and repeats. The
//! log itself stays as it is, and whatever else is asked of it is answered truly.
use evenkeel_core::{
    Event, EventId, EventType, Position, Timestamp,
    checkpoint::SafeHead,
    content::Window,
    digest::Sum,
    intake::Ask,
    quarantine::{Entry, ParkKey, QuarantineId},
};
use evenkeel_store::{Decide, EntryFilter, Log, QuarantineCount, Result, Slice};
use parking_lot::Mutex;
use std::{collections::BTreeSet, time::Duration};

/// What becomes of one event of the next slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misread {
    /// It is left out.
    Missed,
    /// It is there twice.
    Doubled,
}

/// A read that is to be wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) misread: Misread,
    /// Which of the events, as a number thrown.
    pub(super) dice: usize,
    /// How many slices with events are read rightly before.
    pub(super) after: usize,
}

/// A log one of whose reads is wrong.
pub(super) struct MisreadLog<'l> {
    log: &'l dyn Log,
    to_come: Mutex<Option<Plan>>,
    done: Mutex<Option<(Misread, Event)>>,
}

impl<'l> MisreadLog<'l> {
    /// `log`, read as planned.
    pub(super) fn new(log: &'l dyn Log, plan: Option<Plan>) -> Self {
        Self { log, to_come: Mutex::new(plan), done: Mutex::default() }
    }

    /// What was read wrongly.
    pub(super) fn done(&self) -> Option<(Misread, Event)> {
        self.done.lock().clone()
    }
}

impl Log for MisreadLog<'_> {
    fn read(&self, after: Position, types: Option<&BTreeSet<EventType>>, limit: usize) -> Result<Slice> {
        let mut slice = self.log.read(after, types, limit)?;
        if slice.events.is_empty() {
            return Ok(slice);
        }
        let mut to_come = self.to_come.lock();
        if let Some(plan) = to_come.as_mut().filter(|plan| plan.after > 0) {
            plan.after -= 1;
            return Ok(slice);
        }
        if let Some(Plan { misread, dice, .. }) = to_come.take() {
            let index = dice % slice.events.len();
            let event = slice.events[index].clone();
            match misread {
                Misread::Missed => drop(slice.events.remove(index)),
                Misread::Doubled => slice.events.insert(index, event.clone()),
            }
            *self.done.lock() = Some((misread, event));
        }
        Ok(slice)
    }

    fn safe_head(&self) -> Result<SafeHead> {
        self.log.safe_head()
    }

    fn transact(&self, ask: &Ask, decide: Decide<'_>) -> Result<()> {
        self.log.transact(ask, decide)
    }

    fn stream(&self, subject: &str, types: &BTreeSet<EventType>, upto: Position) -> Result<Vec<Event>> {
        self.log.stream(subject, types, upto)
    }

    fn pick(&self, positions: &[Position]) -> Result<Vec<Event>> {
        self.log.pick(positions)
    }

    fn identities(&self, types: &BTreeSet<EventType>, from: Window, upto: Position) -> Result<Vec<(Window, Sum)>> {
        self.log.identities(types, from, upto)
    }

    fn oldest_after(&self, after: Position, types: &BTreeSet<EventType>) -> Result<Option<Timestamp>> {
        self.log.oldest_after(after, types)
    }

    fn find(&self, id: EventId) -> Result<Option<Event>> {
        self.log.find(id)
    }

    fn wait_past(&self, position: Position, timeout: Duration) -> Result<Position> {
        self.log.wait_past(position, timeout)
    }

    fn entry(&self, id: QuarantineId) -> Result<Option<Entry>> {
        self.log.entry(id)
    }

    fn entries(&self, filter: &EntryFilter) -> Result<Vec<Entry>> {
        self.log.entries(filter)
    }

    fn line(&self, key: &ParkKey, limit: usize) -> Result<Vec<Entry>> {
        self.log.line(key, limit)
    }

    fn interrupted(&self) -> Result<Vec<ParkKey>> {
        self.log.interrupted()
    }

    fn quarantine_counts(&self) -> Result<Vec<QuarantineCount>> {
        self.log.quarantine_counts()
    }

    fn quarantined_of(&self, subject: &str, contracts: &BTreeSet<EventType>) -> Result<u64> {
        self.log.quarantined_of(subject, contracts)
    }
}
