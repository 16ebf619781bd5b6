//! [`MisreadLog`]: a log that is read wrongly by whoever reads it through this. Calls that fail are
//! [`super::FaultyLog`]'s.
use crate::{DecideAsking, EntryFilter, Log, QuarantineCount, Result, Slice};
use evenkeel_core::{
    Event, EventId, EventType, Position, SourceName, StreamVersion, Timestamp,
    accounting::Books,
    checkpoint::SafeHead,
    content::Window,
    digest::Sum,
    intake::{Ask, Passed, RawBody, Skip, Waiting},
    quarantine::{Entry, ParkKey, QuarantineId},
    token::Origin,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    time::Duration,
};

/// What a reader is told of the events that were read.
pub trait Misread: Send + Sync {
    /// Changes a slice that [`Log::read`] gave, before its reader has it.
    fn misread(&self, slice: &mut Slice);
}

/// A log whose slices are changed on their way to the reader, as a reader with a defect of its own would take them. The
/// log itself stays as it is, and whatever else is asked of it is answered truly.
pub struct MisreadLog<L, M> {
    /// The log as it is.
    pub log: L,
    /// What is told of it.
    pub misread: M,
}

impl<L, M> Log for MisreadLog<L, M>
where
    L: Deref<Target: Log> + Send + Sync,
    M: Misread,
{
    fn read(&self, after: Position, types: Option<&BTreeSet<EventType>>, limit: usize) -> Result<Slice> {
        let mut slice = self.log.read(after, types, limit)?;
        self.misread.misread(&mut slice);
        Ok(slice)
    }

    fn safe_head(&self) -> Result<SafeHead> {
        self.log.safe_head()
    }

    fn transact_asking(&self, ask: &Ask, decide: DecideAsking<'_>) -> Result<()> {
        self.log.transact_asking(ask, decide)
    }

    fn stream(
        &self,
        subject: &str,
        types: &BTreeSet<EventType>,
        after: StreamVersion,
        upto: Position,
        limit: usize,
    ) -> Result<Vec<Event>> {
        self.log.stream(subject, types, after, upto, limit)
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

    fn raws(&self, after: Position, limit: usize) -> Result<Vec<RawBody>> {
        self.log.raws(after, limit)
    }

    fn raw(&self, position: Position) -> Result<Option<Vec<u8>>> {
        self.log.raw(position)
    }

    fn forget_raws(&self, before: Timestamp, limit: usize) -> Result<usize> {
        self.log.forget_raws(before, limit)
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

    fn entries_of(&self, id: EventId) -> Result<Vec<Entry>> {
        self.log.entries_of(id)
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

    fn accounting(&self, recount: bool) -> Result<BTreeMap<SourceName, Books>> {
        self.log.accounting(recount)
    }

    fn waiting(&self, limit: usize) -> Result<Vec<Waiting>> {
        self.log.waiting(limit)
    }

    fn passed(&self) -> Result<BTreeMap<SourceName, Passed>> {
        self.log.passed()
    }

    fn skips(&self) -> Result<Vec<Skip>> {
        self.log.skips()
    }

    fn recallable(&self, limit: usize) -> Result<Vec<QuarantineId>> {
        self.log.recallable(limit)
    }

    fn origin(&self) -> Origin {
        self.log.origin()
    }
}
