//! [`FaultyLog`]: a log whose calls fail or lie by a script. What the faults mean is [`super::Fault`]'s.
use super::{Operation, Script, Shell};
use crate::{DecideAsking, EntryFilter, Log, QuarantineCount, Result, Slice, memory::Volatile};
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
    sync::Arc,
    time::Duration,
};

/// A log with faults.
pub struct FaultyLog<L: Log + Volatile>(Shell<L>);

impl<L: Log + Volatile> FaultyLog<L> {
    /// `inner` with the faults that `script` decides.
    pub fn new(inner: Arc<L>, script: Script) -> Self {
        Self(Shell::new(inner, script))
    }

    /// The power goes: what only the disk's cache held is gone. Whether anything was lost.
    pub fn crash(&self) -> bool {
        self.0.crash()
    }
}

impl<L: Log + Volatile> Log for FaultyLog<L> {
    fn safe_head(&self) -> Result<SafeHead> {
        self.0.read(Operation::SafeHead, |log| log.safe_head())
    }

    fn transact_asking(&self, ask: &Ask, decide: DecideAsking<'_>) -> Result<()> {
        self.0.write(Operation::Transact, |log, _| log.transact_asking(ask, decide))
    }

    fn read(&self, after: Position, types: Option<&BTreeSet<EventType>>, limit: usize) -> Result<Slice> {
        self.0.read(Operation::ReadLog, |log| log.read(after, types, limit))
    }

    fn stream(
        &self,
        subject: &str,
        types: &BTreeSet<EventType>,
        after: StreamVersion,
        upto: Position,
        limit: usize,
    ) -> Result<Vec<Event>> {
        self.0.read(Operation::ReadLog, |log| log.stream(subject, types, after, upto, limit))
    }

    fn pick(&self, positions: &[Position]) -> Result<Vec<Event>> {
        self.0.read(Operation::ReadLog, |log| log.pick(positions))
    }

    fn identities(&self, types: &BTreeSet<EventType>, from: Window, upto: Position) -> Result<Vec<(Window, Sum)>> {
        self.0.read(Operation::ReadLog, |log| log.identities(types, from, upto))
    }

    fn oldest_after(&self, after: Position, types: &BTreeSet<EventType>) -> Result<Option<Timestamp>> {
        self.0.read(Operation::ReadLog, |log| log.oldest_after(after, types))
    }

    fn find(&self, id: EventId) -> Result<Option<Event>> {
        self.0.read(Operation::ReadLog, |log| log.find(id))
    }

    fn raws(&self, after: Position, limit: usize) -> Result<Vec<RawBody>> {
        self.0.read(Operation::ReadLog, |log| log.raws(after, limit))
    }

    fn raw(&self, position: Position) -> Result<Option<Vec<u8>>> {
        self.0.read(Operation::ReadLog, |log| log.raw(position))
    }

    fn forget_raws(&self, before: Timestamp, limit: usize) -> Result<usize> {
        self.0.write(Operation::ForgetRaws, |log, _| log.forget_raws(before, limit))
    }

    fn wait_past(&self, position: Position, timeout: Duration) -> Result<Position> {
        self.0.read(Operation::WaitPast, |log| log.wait_past(position, timeout))
    }

    fn entry(&self, id: QuarantineId) -> Result<Option<Entry>> {
        self.0.read(Operation::ReadQuarantine, |log| log.entry(id))
    }

    fn entries(&self, filter: &EntryFilter) -> Result<Vec<Entry>> {
        self.0.read(Operation::ReadQuarantine, |log| log.entries(filter))
    }

    fn entries_of(&self, id: EventId) -> Result<Vec<Entry>> {
        self.0.read(Operation::ReadQuarantine, |log| log.entries_of(id))
    }

    fn line(&self, key: &ParkKey, limit: usize) -> Result<Vec<Entry>> {
        self.0.read(Operation::ReadQuarantine, |log| log.line(key, limit))
    }

    fn interrupted(&self) -> Result<Vec<ParkKey>> {
        self.0.read(Operation::ReadQuarantine, |log| log.interrupted())
    }

    fn quarantine_counts(&self) -> Result<Vec<QuarantineCount>> {
        self.0.read(Operation::ReadQuarantine, |log| log.quarantine_counts())
    }

    fn quarantined_of(&self, subject: &str, contracts: &BTreeSet<EventType>) -> Result<u64> {
        self.0.read(Operation::ReadQuarantine, |log| log.quarantined_of(subject, contracts))
    }

    fn accounting(&self, recount: bool) -> Result<BTreeMap<SourceName, Books>> {
        self.0.read(Operation::ReadQuarantine, |log| log.accounting(recount))
    }

    fn waiting(&self, limit: usize) -> Result<Vec<Waiting>> {
        self.0.read(Operation::ReadQuarantine, |log| log.waiting(limit))
    }

    fn passed(&self) -> Result<BTreeMap<SourceName, Passed>> {
        self.0.read(Operation::ReadQuarantine, |log| log.passed())
    }

    fn skips(&self) -> Result<Vec<Skip>> {
        self.0.read(Operation::ReadQuarantine, |log| log.skips())
    }

    fn recallable(&self, limit: usize) -> Result<Vec<QuarantineId>> {
        self.0.read(Operation::ReadQuarantine, |log| log.recallable(limit))
    }

    fn origin(&self) -> Origin {
        self.0.inner().origin()
    }
}
