//! The log: the ordered record of admitted events, and the quarantine that lives with it.
//!
//! Not here: what may enter it ([`evenkeel_core::intake`], called inside [`Log::transact`]), and what a model has
//! parked ([`crate::Models`]).
use crate::Result;
use evenkeel_core::{
    Event, EventId, EventType, Position, SourceName, StreamVersion, Timestamp,
    accounting::Books,
    checkpoint::SafeHead,
    content::Window,
    digest::Sum,
    intake::{Ask, Facts, Passed, RawBody, Skip, Waiting, Writes},
    quarantine::{Entry, ParkKey, QuarantineId, Reason, State},
    token::Origin,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A decision made inside a transaction: from the facts to what is written.
pub type Decide<'a> = Box<dyn FnOnce(Facts) -> Writes + Send + 'a>;

/// As [`Decide`], for a decision that may ask for more facts of the same transaction. Where they cannot be read, it is told
/// nothing and what it says is not written.
pub type DecideAsking<'a> = Box<dyn FnOnce(Facts, &mut dyn FnMut(&Ask) -> Facts) -> Writes + Send + 'a>;

/// Events in order of position.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slice {
    /// The events of the types asked for.
    pub events: Vec<Event>,
    /// Everything up to here was looked at: the next read goes on after it.
    pub through: Position,
}

/// Which quarantine entries are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryFilter {
    /// Only this reason.
    pub reason: Option<Reason>,
    /// Only this source.
    pub source: Option<SourceName>,
    /// Only this state.
    pub state: Option<State>,
    /// Only entries under a contract that produces this type of event.
    pub event_type: Option<EventType>,
    /// Only entries under this version of their contract.
    pub contract_version: Option<u32>,
    /// Only entries received then or later.
    pub since: Option<Timestamp>,
    /// Only entries received before then.
    pub until: Option<Timestamp>,
    /// Only entries after this one.
    pub after: Option<QuarantineId>,
    /// At most so many; 0 for all of them.
    pub limit: usize,
}

/// How many unresolved entries there are of one contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineCount {
    /// The contract; `None` where none applied.
    pub contract: Option<EventType>,
    /// Entries in state `quarantined` or `held`.
    pub unresolved: u64,
}

/// A log of events with its quarantine.
///
/// Guarantees every implementation gives, however many processes write:
/// - **Durable:** when [`Log::transact`] returns `Ok`, its writes survive a power cut.
/// - **Atomic:** its writes happen all or not at all, and nobody else writes between the facts and the writes.
/// - **Contiguous, in order:** positions are 1, 2, 3… without holes. A reader that has seen position p never later
///   finds an event at or below p that it did not see.
/// - **Idempotent on identity:** no identity is in the log twice.
///
/// Implementations check `Writes` only for what would break these.
pub trait Log: Send + Sync {
    /// The committed tip and the counts up to it, from one snapshot, with the store's own time.
    fn safe_head(&self) -> Result<SafeHead>;

    /// Reads the facts asked for, lets `decide` decide, and writes what it says, in one transaction. `decide` is not
    /// called where the facts cannot be read.
    fn transact_asking(&self, ask: &Ask, decide: DecideAsking<'_>) -> Result<()>;

    /// As [`Log::transact_asking`], for a decision that needs no more.
    fn transact(&self, ask: &Ask, decide: Decide<'_>) -> Result<()> {
        self.transact_asking(ask, Box::new(|facts, _| decide(facts)))
    }

    /// Up to `limit` events after `after` of the `types` (all where `None`), in order, all at or below the safe head.
    fn read(&self, after: Position, types: Option<&BTreeSet<EventType>>, limit: usize) -> Result<Slice>;

    /// Up to `limit` events of these types of one subject, in order: those after `after` in its stream (all after version 0)
    /// and up to `upto` in the log. Fewer only where there are no more.
    fn stream(
        &self,
        subject: &str,
        types: &BTreeSet<EventType>,
        after: StreamVersion,
        upto: Position,
        limit: usize,
    ) -> Result<Vec<Event>>;

    /// The events at these positions, in the order asked for; positions without an event are left out.
    fn pick(&self, positions: &[Position]) -> Result<Vec<Event>>;

    /// Sums of the identities of the events of these types up to `upto`, in order of windows from `from` on, without
    /// those that have none.
    fn identities(&self, types: &BTreeSet<EventType>, from: Window, upto: Position) -> Result<Vec<(Window, Sum)>>;

    /// When the first event after `after` of these types was recorded.
    fn oldest_after(&self, after: Position, types: &BTreeSet<EventType>) -> Result<Option<Timestamp>>;

    /// The event with this identity.
    fn find(&self, id: EventId) -> Result<Option<Event>>;

    /// Up to `limit` events as they were sent, of those after `after` of which that is kept, in order. May be fewer, and is
    /// empty only where there are none: the next read goes on after the last.
    fn raws(&self, after: Position, limit: usize) -> Result<Vec<RawBody>>;

    /// The event at `position` as it was sent, where that is kept.
    fn raw(&self, position: Position) -> Result<Option<Vec<u8>>>;

    /// Forgets how events were sent that were recorded before `before`, the oldest first, about `limit` of them and not many
    /// times more, in one transaction. How many; 0 where there are none left. One that lies together with later ones may be
    /// kept as long as these.
    fn forget_raws(&self, before: Timestamp, limit: usize) -> Result<usize>;

    /// Returns once the safe head is past `position`, or after `timeout`; the safe head's position then.
    fn wait_past(&self, position: Position, timeout: Duration) -> Result<Position>;

    /// The entry with this number.
    fn entry(&self, id: QuarantineId) -> Result<Option<Entry>>;

    /// Entries in order of arrival.
    fn entries(&self, filter: &EntryFilter) -> Result<Vec<Entry>>;

    /// Every entry of this identity, in order of arrival.
    fn entries_of(&self, id: EventId) -> Result<Vec<Entry>>;

    /// The unresolved entries whose `parks` is `key`, in order of arrival, at most `limit`.
    fn line(&self, key: &ParkKey, limit: usize) -> Result<Vec<Entry>>;

    /// Keys whose first unresolved entry is held: their release was interrupted and must go on.
    fn interrupted(&self) -> Result<Vec<ParkKey>>;

    /// Unresolved entries by contract.
    fn quarantine_counts(&self) -> Result<Vec<QuarantineCount>>;

    /// How many unresolved entries have this subject under one of these contracts.
    fn quarantined_of(&self, subject: &str, contracts: &BTreeSet<EventType>) -> Result<u64>;

    /// The books on every source that ever sent, of one moment. Where `recount`, what is in the log and in quarantine is
    /// counted afresh beside them, which reads all of it.
    fn accounting(&self, recount: bool) -> Result<BTreeMap<SourceName, Books>>;

    /// The events that wait for what they depend on, at most `limit`: those that came first, and of those that came at one
    /// time in order of their marks.
    fn waiting(&self, limit: usize) -> Result<Vec<Waiting>>;

    /// How far every source is whose events were passed.
    fn passed(&self) -> Result<BTreeMap<SourceName, Passed>>;

    /// What persons declared not to come, in the order in which they did.
    fn skips(&self) -> Result<Vec<Skip>>;

    /// Entries in state `quarantined` that wait for an event which was passed since, at most `limit`, in the order of what
    /// they wait for.
    fn recallable(&self, limit: usize) -> Result<Vec<QuarantineId>>;

    /// What the log's tokens are bound to: an id that no other log has and that outlives epochs, and a secret of its own.
    fn origin(&self) -> Origin;
}
