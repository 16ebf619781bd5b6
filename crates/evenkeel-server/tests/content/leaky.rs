//! A log that a model's projector reads wrongly when it is told to: one event is left out, or comes twice. Everybody
//! else reads what is there.
use evenkeel::{
    core::{
        Event, EventId, EventType, Position, Timestamp,
        checkpoint::SafeHead,
        content::Window,
        digest::Sum,
        intake::Ask,
        quarantine::{Entry, ParkKey, QuarantineId},
    },
    store::{Decide, EntryFilter, Log, QuarantineCount, Result, Slice},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What a projector is to be told of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not there.
    Skip,
    /// It is there twice.
    Double,
}

/// The log inside, and what a projector is to be told of it.
pub(crate) struct Leaky {
    pub(crate) inner: Arc<dyn Log>,
    faults: Mutex<Vec<(&'static str, Position, Fault)>>,
}

impl Leaky {
    pub(crate) fn new(inner: Arc<dyn Log>) -> Self {
        Self { inner, faults: Mutex::default() }
    }

    /// The projector of this model is told this of the event at a position.
    pub(crate) fn tell(&self, model: &'static str, position: u64, fault: Fault) {
        self.faults.lock().unwrap().push((model, Position(position), fault));
    }

    fn faults_here(&self) -> Vec<(Position, Fault)> {
        let own = thread::current();
        let Some(model) = own.name().and_then(|name| name.strip_prefix("project ")) else { return Vec::new() };
        let faults = self.faults.lock().unwrap();
        faults.iter().filter(|(of, ..)| *of == model).map(|(_, position, fault)| (*position, *fault)).collect()
    }
}

impl Log for Leaky {
    fn read(&self, after: Position, types: Option<&BTreeSet<EventType>>, limit: usize) -> Result<Slice> {
        let mut slice = self.inner.read(after, types, limit)?;
        for (position, fault) in self.faults_here() {
            let Some(at) = slice.events.iter().position(|event| event.position == position) else { continue };
            match fault {
                Fault::Skip => drop(slice.events.remove(at)),
                Fault::Double => slice.events.insert(at, slice.events[at].clone()),
            }
        }
        Ok(slice)
    }

    fn safe_head(&self) -> Result<SafeHead> {
        self.inner.safe_head()
    }

    fn transact(&self, ask: &Ask, decide: Decide<'_>) -> Result<()> {
        self.inner.transact(ask, decide)
    }

    fn stream(&self, subject: &str, types: &BTreeSet<EventType>, upto: Position) -> Result<Vec<Event>> {
        self.inner.stream(subject, types, upto)
    }

    fn pick(&self, positions: &[Position]) -> Result<Vec<Event>> {
        self.inner.pick(positions)
    }

    fn identities(&self, types: &BTreeSet<EventType>, from: Window, upto: Position) -> Result<Vec<(Window, Sum)>> {
        self.inner.identities(types, from, upto)
    }

    fn oldest_after(&self, after: Position, types: &BTreeSet<EventType>) -> Result<Option<Timestamp>> {
        self.inner.oldest_after(after, types)
    }

    fn find(&self, id: EventId) -> Result<Option<Event>> {
        self.inner.find(id)
    }

    fn wait_past(&self, position: Position, timeout: Duration) -> Result<Position> {
        self.inner.wait_past(position, timeout)
    }

    fn entry(&self, id: QuarantineId) -> Result<Option<Entry>> {
        self.inner.entry(id)
    }

    fn entries(&self, filter: &EntryFilter) -> Result<Vec<Entry>> {
        self.inner.entries(filter)
    }

    fn line(&self, key: &ParkKey, limit: usize) -> Result<Vec<Entry>> {
        self.inner.line(key, limit)
    }

    fn interrupted(&self) -> Result<Vec<ParkKey>> {
        self.inner.interrupted()
    }

    fn quarantine_counts(&self) -> Result<Vec<QuarantineCount>> {
        self.inner.quarantine_counts()
    }

    fn quarantined_of(&self, subject: &str, contracts: &BTreeSet<EventType>) -> Result<u64> {
        self.inner.quarantined_of(subject, contracts)
    }
}
