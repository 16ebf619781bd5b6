//! Cases: what is appended gets positions without holes, in order, and readers and waiters see it so.
use super::{
    Failure, Outcome, Stores,
    causal::waits_for_ever,
    ensure,
    fixture::{Sample, at, decide, facts, read_all, take_in, types},
    join_all, same,
};
use crate::{EntryFilter, Log, StoreError};
use evenkeel_core::{
    Event, Position,
    accounting::Account,
    intake::{self, Ask, Change, LogClock, Passed, Writes},
    quarantine::{QuarantineId, State},
};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

const WRITERS: usize = 6;
const ROUNDS: usize = 16;

/// What one writer does: batches of several sizes, some of them empty, refused by the gate, or refused by the store.
/// The positions it was given.
fn write(log: &dyn Log, writer: usize) -> Result<Vec<Position>, Failure> {
    let mut positions = Vec::new();
    for round in 0..ROUNDS {
        let sample = |n: usize| {
            let event_type = if (writer + n).is_multiple_of(3) { "stock" } else { "order" };
            Sample::new(&format!("{writer}-{round}-{n}")).of(event_type).about(&format!("s{}", n % 2))
        };
        match (writer + round) % 5 {
            0 => drop(take_in(log, 1, Vec::new())?),
            1 => drop(take_in(log, 1, vec![sample(0).refused(None)])?),
            2 => ensure(append_with_hole(log, &sample(0)).is_err(), "a hole is refused")?,
            size => {
                for outcome in take_in(log, 1, (0..size).map(|n| sample(n).admitted()).collect())? {
                    match outcome {
                        intake::Outcome::Admitted { position, .. } => positions.push(position),
                        other => return Err(Failure::new(format!("a new event came out as {other:?}"))),
                    }
                }
            }
        }
    }
    Ok(positions)
}

fn append_with_hole(log: &dyn Log, sample: &Sample) -> crate::Result<()> {
    let hole =
        |facts: intake::Facts| Writes { events: vec![sample.event(facts.head.0 + 2, 1, 1)], ..Writes::default() };
    log.transact(&Ask::default(), Box::new(hole))
}

/// Tells the others that a thread has ended, also where it ended early.
struct Ends<'a>(&'a AtomicUsize);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Runs the writers, and beside them `watch`, which is told whether all of them had ended before it began a round.
/// It is called until a round that began after that. The positions given.
fn beside_writers(log: &dyn Log, mut watch: impl FnMut() -> Outcome + Send) -> Result<Vec<Position>, Failure> {
    let ended = AtomicUsize::new(0);
    thread::scope(|scope| {
        let ended = &ended;
        let watcher = scope.spawn(move || {
            loop {
                let last = ended.load(Ordering::SeqCst) == WRITERS;
                watch()?;
                if last {
                    return Ok(());
                }
            }
        });
        let writer = |writer| {
            scope.spawn(move || {
                let _ends = Ends(ended);
                write(log, writer)
            })
        };
        let writers: Vec<_> = (0..WRITERS).map(writer).collect();
        let positions = join_all(writers)?.concat();
        join_all([watcher])?;
        Ok(positions)
    })
}

/// Positions are 1, 2, 3… without holes, however many write at once, and whatever came to nothing between.
///
/// # Errors
/// What the store did instead.
pub fn concurrent_appends_leave_no_hole(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let idle = || {
        thread::yield_now();
        Ok(())
    };
    let mut given = beside_writers(log, idle)?;
    given.sort_unstable();
    let expected: Vec<_> = (1..=given.len() as u64).map(Position).collect();
    same("positions given", &given, &expected)?;
    same("the safe head", log.safe_head()?.position, Position(given.len() as u64))?;
    let read: Vec<_> = read_all(log, Position::ZERO, None, 1000)?.iter().map(|event| event.position).collect();
    same("positions read", read, expected)
}

/// A reader that polls while others append passes every event: nothing appears at or below where it has been, with a
/// filter or without.
///
/// # Errors
/// What the store did instead.
pub fn a_reader_never_misses_an_event(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let stock = types(&["stock"]);
    let (mut all, mut some): (Vec<Event>, Vec<Event>) = (Vec::new(), Vec::new());
    let (mut all_through, mut some_through) = (Position::ZERO, Position::ZERO);
    beside_writers(log, || {
        loop {
            let slice = log.read(all_through, None, 3)?;
            let filtered = log.read(some_through, Some(&stock), 2)?;
            let moved = slice.through > all_through || filtered.through > some_through;
            ensure(slice.through >= all_through && filtered.through >= some_through, "a read goes forward")?;
            (all_through, some_through) = (slice.through, filtered.through);
            all.extend(slice.events);
            some.extend(filtered.events);
            if !moved {
                return Ok(());
            }
        }
    })?;
    let end = read_all(log, Position::ZERO, None, 1000)?;
    same("events seen while others wrote", &all, &end)?;
    let stock_only: Vec<_> = end.into_iter().filter(|event| stock.contains(&event.draft.event_type)).collect();
    same("events of one type seen while others wrote", some, stock_only)
}

/// The safe head only grows, its counts are of exactly the events up to it, and all of those can be read.
///
/// # Errors
/// What the store did instead.
pub fn the_safe_head_never_runs_ahead(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let mut last = Position::ZERO;
    let epoch = log.safe_head()?.epoch;
    beside_writers(log, || {
        let head = log.safe_head()?;
        ensure(head.position >= last, "the safe head only grows")?;
        same("the epoch", head.epoch, epoch)?;
        same("events counted up to the safe head", head.counts.values().sum::<u64>(), head.position.0)?;
        let mut passed = last;
        while passed < head.position {
            let slice = log.read(passed, None, 100)?;
            ensure(slice.through > passed, "events below the safe head can be read")?;
            passed = slice.through;
        }
        if let Some(id) = head.last_event {
            same("the last event's position", log.find(id)?.map(|event| event.position), Some(head.position))?;
        }
        last = head.position;
        Ok(())
    })?;
    Ok(())
}

/// Writes that would break what a log guarantees are refused, and nothing of them is written.
///
/// # Errors
/// What the store did instead.
pub fn writes_that_leave_a_hole_are_refused_whole(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let (old, waiting, new) = (Sample::new("old"), Sample::new("waiting"), Sample::new("new").about("t"));
    take_in(log, 1, vec![old.admitted(), waiting.refused(None)])?;
    let entries = log.entries(&EntryFilter::default())?;
    let first = entries.first().cloned().ok_or_else(|| Failure::new("a quarantined event has no entry"))?;
    let entry = |id: u64| evenkeel_core::quarantine::Entry { id: QuarantineId(id), ..first.clone() };
    let change = |id: QuarantineId| Change {
        id,
        state: State::Discarded,
        edit: None,
        refusal: None,
        recall: None,
        position: None,
        decision: None,
        at: at(9),
    };
    let next = first.id.0 + 1;
    let lost = BTreeMap::from([("shop".into(), Account::ADMITTED)]);
    let books = log.accounting(true)?;
    let bad: [(&str, Vec<Event>); 5] = [
        ("a hole", vec![new.event(3, 1, 9)]),
        ("a hole after a good event", vec![new.event(2, 1, 9), Sample::new("newer").event(4, 2, 9)]),
        ("a position that is taken", vec![new.event(1, 1, 9)]),
        ("an identity that is there", vec![new.event(2, 1, 9), old.event(3, 2, 9)]),
        ("an identity twice", vec![new.event(2, 1, 9), new.event(3, 2, 9)]),
    ];
    for (what, events) in bad {
        let waits = vec![waits_for_ever(&Sample::new("waits"))];
        let clock = Some(LogClock { seq: 99, ..LogClock::default() });
        let passed = BTreeMap::from([("shop".into(), Passed { upto: 9, holes: vec![(12, 13)] })]);
        let (new_entries, changes, accounts) = (vec![entry(next)], vec![change(first.id)], lost.clone());
        let writes =
            Writes { events, entries: new_entries, changes, accounts, waits, clock, passed, ..Writes::default() };
        let refused = log.transact(&Ask::default(), Box::new(|_| writes));
        ensure(refused.is_err(), format!("{what} is refused"))?;
        ensure(!matches!(refused, Err(StoreError::Conflict { .. })), format!("{what} is no conflict of a model"))?;
        let head = log.safe_head()?;
        same(format!("the safe head after {what}"), head.position, Position(1))?;
        same(format!("the counts after {what}"), head.count(&types(&["order"])), 1)?;
        same(format!("the event after {what}"), log.find(new.id())?, None)?;
        same(format!("the books after {what}"), log.accounting(true)?, books.clone())?;
        same(format!("what waits after {what}"), log.waiting(9)?, Vec::new())?;
        same(format!("how far sources are after {what}"), log.passed()?, BTreeMap::new())?;
        same(format!("the entries after {what}"), log.entries(&EntryFilter::default())?, entries.clone())?;
        let ask = Ask { subjects: vec!["t".into()], ids: vec![new.id()], ..Ask::default() };
        let facts = facts(log, &ask)?;
        ensure(facts.clock.seq == 1, format!("the clock stands after {what}"))?;
        same(format!("the next entry after {what}"), facts.next_entry, next)?;
        same(format!("the stream after {what}"), facts.versions.values().map(|v| v.0).sum::<u64>(), 0)?;
        ensure(facts.known.get(&new.id()).is_none_or(Vec::is_empty), format!("{what} leaves no identity behind"))?;
    }
    take_in(log, 10, vec![new.admitted()])?;
    same("the safe head after a good write", log.safe_head()?.position, Position(2))
}

/// A transaction in which nothing is decided changes nothing.
///
/// # Errors
/// What the store did instead.
pub fn an_empty_transaction_writes_nothing(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    for _ in 0..3 {
        let (_, head) = decide(log, &Ask::default(), |facts| (Writes::default(), (facts.head.0, facts.next_entry)))?;
        same("the head and the next entry's number", head, (0, 1))?;
    }
    same("the safe head", log.safe_head()?.position, Position::ZERO)?;
    same("the last event", log.safe_head()?.last_event, None)?;
    let slice = log.read(Position::ZERO, None, 10)?;
    same("events and where a read of nothing ends", (slice.events, slice.through), (Vec::new(), Position::ZERO))
}

/// Far longer than any append takes; a store that is woken does not wait so long.
const LONG: Duration = Duration::from_secs(60);

/// Who waits for the log to grow is woken by an append, and does not wait where it has grown already.
///
/// # Errors
/// What the store did instead.
pub fn waiting_ends_with_an_append(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let began = Instant::now();
    let waiting = AtomicBool::new(false);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            waiting.store(true, Ordering::SeqCst);
            Ok(log.wait_past(Position(1), LONG)?)
        });
        while !waiting.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        take_in(log, 1, vec![Sample::new("1").admitted()])?;
        take_in(log, 1, vec![Sample::new("2").admitted(), Sample::new("3").admitted()])?;
        let woken = join_all([waiter])?;
        ensure(woken.iter().all(|head| *head >= Position(2)), "who is woken finds the log past the position")
    })?;
    same("the head where nobody need wait", log.wait_past(Position(2), LONG)?, Position(3))?;
    ensure(began.elapsed() < LONG, "an append wakes who waits")
}

/// Who waits for what does not come gets the head when the time is over.
///
/// # Errors
/// What the store did instead.
pub fn waiting_ends_with_its_time(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    take_in(log, 1, vec![Sample::new("1").admitted()])?;
    same("the head with no time to wait", log.wait_past(Position(1), Duration::ZERO)?, Position(1))?;
    let began = Instant::now();
    let waited = Duration::from_millis(30);
    same("the head after the time", log.wait_past(Position(5), waited)?, Position(1))?;
    ensure(began.elapsed() >= waited, "it waits as long as it was told to")
}
