//! Reads that cost something share their attempts, and so many are made at once and no more: a herd of strong readers
//! costs the sources of a few.
//!
//! Who shares with whom is decided in [`evenkeel_core::flights`]; here those who wait are told, in threads and in tasks. Reads
//! of single rows, and of pages that the key's index gives, go past this at other levels: they fold nothing and look for
//! nothing.
use super::{ReadOptions, RowsRequest, course::Waiter, statement::QueryRequest};
use crate::ReadError;
use evenkeel_core::{
    ModelName, Position,
    flights::{Arrival, FlightLimits, Flights, Ticket, ask_again},
    row::Key,
};
use parking_lot::Mutex;
use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

/// The share that the latest attempt has in how long they are said to take.
const LATEST: f64 = 0.2;

/// What is asked for. Whoever asks for the same has the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    pub(super) of: Of,
    pub(super) options: ReadOptions,
    /// The head that it waits for since an earlier attempt. Who comes later may need a later one.
    pub(super) target: Option<Position>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Of {
    Row(ModelName, Key),
    Rows(ModelName, RowsRequest),
    Statement(QueryRequest),
}

impl Of {
    /// Whether it costs something at any level, and not only where what a model lacks is made up for.
    pub(super) fn costs(&self) -> bool {
        match self {
            Self::Row(..) => false,
            Self::Rows(_, request) => request.looks_through(),
            Self::Statement(_) => true,
        }
    }

    /// As a label of metrics.
    fn word(&self) -> &'static str {
        match self {
            Self::Row(..) => "row",
            Self::Rows(..) => "rows",
            Self::Statement(_) => "query",
        }
    }
}

/// What somebody who waits is told. `A` is what an attempt came to.
pub(super) enum Told<A> {
    /// He makes it, for these others too.
    Lead(Vec<Arc<Seat<A>>>),
    /// It was made.
    Landed(A),
    /// Who was to make it did not.
    Again,
}

/// From how many readers of the same on they are a herd, and more of it can be expected.
const HERD: usize = 8;

/// How long an attempt for a herd waits for those who are on their way: as long as some come in every such while, and no
/// longer than this in all, nor than a tenth of the time there is.
const WHILE: Duration = Duration::from_millis(2);
const GATHERS: Duration = Duration::from_millis(25);

/// Where somebody waits for an attempt.
pub(super) struct Seat<A> {
    told: Mutex<Option<Told<A>>>,
    pub(super) waiter: Waiter,
}

impl<A> Default for Seat<A> {
    fn default() -> Self {
        Self { told: Mutex::new(None), waiter: Waiter::default() }
    }
}

impl<A> Seat<A> {
    fn tell(&self, told: Told<A>) {
        *self.told.lock() = Some(told);
        self.waiter.wake();
    }
}

/// Where reads of one kind meet.
pub(crate) struct Seats<A> {
    flights: Mutex<Flights<Arc<Wanted>, Arc<Seat<A>>>>,
    limits: FlightLimits,
    /// How long attempts take, in seconds.
    takes: Mutex<f64>,
}

/// An attempt that is to be made. Where it ends without an answer those who share it are told.
pub(super) struct Flight<A> {
    seats: Arc<Seats<A>>,
    wanted: Arc<Wanted>,
    others: Vec<Arc<Seat<A>>>,
}

/// Somebody who waits. Whoever goes gives up his seat, and what he was to lead.
pub(super) struct Waiting<A> {
    seats: Arc<Seats<A>>,
    wanted: Arc<Wanted>,
    pub(super) seat: Arc<Seat<A>>,
    ticket: Ticket,
}

/// What becomes of who comes to where they meet.
pub(super) enum Entered<A> {
    Lead(Flight<A>),
    Waits(Waiting<A>),
    Full,
}

/// What becomes of who has waited.
pub(super) enum Waited<A> {
    Lead(Flight<A>),
    Landed(A),
    /// He is to come again.
    Again,
    /// Nothing: his time is over.
    Nothing,
}

impl<A> Seats<A> {
    pub(crate) fn new(limits: FlightLimits) -> Arc<Self> {
        Arc::new(Self { flights: Mutex::new(Flights::new(limits)), limits, takes: Mutex::new(0.0) })
    }

    pub(super) fn enter(self: &Arc<Self>, wanted: Wanted) -> Entered<A> {
        let (wanted, seat) = (Arc::new(wanted), Arc::<Seat<A>>::default());
        match self.flights.lock().arrive(Arc::clone(&wanted), Arc::clone(&seat)) {
            Arrival::Lead(_) => Entered::Lead(Flight { seats: Arc::clone(self), wanted, others: Vec::new() }),
            Arrival::Waits(ticket) => Entered::Waits(Waiting { seats: Arc::clone(self), wanted, seat, ticket }),
            Arrival::Full(_) => Entered::Full,
        }
    }

    /// What is said to who finds no room.
    pub(super) fn full(&self) -> ReadError {
        let takes = Duration::try_from_secs_f64(*self.takes.lock()).unwrap_or_default();
        let waiting = self.flights.lock().waiting();
        metrics::counter!("evenkeel_reads_without_room_total").increment(1);
        let random = RandomState::new().hash_one(waiting);
        ReadError::Saturated { retry_after: ask_again(waiting, self.limits.at_once, takes, random) }
    }

    /// The attempt at something is over: who waits for the next is told.
    fn end(&self, wanted: &Arc<Wanted>) {
        // Told before anybody can leave who is to be told.
        let mut flights = self.flights.lock();
        for (_, mut members) in flights.landed(wanted) {
            // The last who came, since his time ends last.
            if let Some(leader) = members.pop() {
                leader.tell(Told::Lead(members));
            }
        }
    }
}

impl<A> Flight<A> {
    /// Takes along who has come until now, since the attempt has not begun. Where that is a herd it is given time to come,
    /// so that it costs few attempts and not one each time some of it are here. `left` is the time there is, and `sleep` lets it
    /// pass, more of it than was meant where the machine is busy.
    pub(super) fn gather(&mut self, left: impl Fn() -> Duration, mut sleep: impl FnMut(Duration)) {
        let at_first = left();
        let most = GATHERS.min(at_first / 10);
        loop {
            let joined = self.seats.flights.lock().join(&self.wanted);
            let more = !joined.is_empty();
            self.others.extend(joined);
            let waited = at_first.saturating_sub(left());
            if !more || self.others.len() < HERD || waited + WHILE > most {
                return;
            }
            sleep(WHILE);
        }
    }
}

impl<A: Clone> Flight<A> {
    /// The attempt came to this, and took so long.
    pub(super) fn land(mut self, answer: &A, took: Duration) {
        metrics::counter!("evenkeel_shared_attempts_total", "of" => self.wanted.of.word()).increment(1);
        let mut takes = self.seats.takes.lock();
        *takes += LATEST * (took.as_secs_f64() - *takes);
        drop(takes);
        self.others.drain(..).for_each(|other| other.tell(Told::Landed(answer.clone())));
    }
}

impl<A> Drop for Flight<A> {
    fn drop(&mut self) {
        self.others.drain(..).for_each(|other| other.tell(Told::Again));
        self.seats.end(&self.wanted);
    }
}

impl<A> Waiting<A> {
    /// What he was told.
    pub(super) fn end(self) -> Waited<A> {
        // Nobody has him lead any more once he has left.
        let _ = self.seats.flights.lock().leave(&self.wanted, self.ticket);
        let told = self.seat.told.lock().take();
        match told {
            Some(Told::Landed(answer)) => Waited::Landed(answer),
            Some(Told::Again) => Waited::Again,
            Some(Told::Lead(others)) => {
                Waited::Lead(Flight { seats: Arc::clone(&self.seats), wanted: Arc::clone(&self.wanted), others })
            }
            // He may share an attempt that is under way, and has no time left for it.
            None => Waited::Nothing,
        }
    }
}

impl<A> Drop for Waiting<A> {
    fn drop(&mut self) {
        let left = self.seats.flights.lock().leave(&self.wanted, self.ticket);
        let told = self.seat.told.lock().take();
        if let (None, Some(Told::Lead(others))) = (left, told) {
            drop(Flight { seats: Arc::clone(&self.seats), wanted: Arc::clone(&self.wanted), others });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(key: &str) -> Wanted {
        let of = Of::Row("tally".into(), Key::text(key));
        Wanted { of, options: ReadOptions::default(), target: None }
    }

    fn lead(seats: &Arc<Seats<u32>>, key: &str) -> Flight<u32> {
        match seats.enter(wanted(key)) {
            Entered::Lead(flight) => flight,
            _ => panic!("there is room for {key}"),
        }
    }

    fn wait(seats: &Arc<Seats<u32>>, key: &str) -> Waiting<u32> {
        match seats.enter(wanted(key)) {
            Entered::Waits(waiting) => waiting,
            _ => panic!("{key} waits"),
        }
    }

    #[test]
    fn who_comes_later_has_the_next_attempt_and_shares_it() {
        let seats = Seats::new(FlightLimits { at_once: 2, waiting: 2 });
        let first = lead(&seats, "a");
        let (second, third) = (wait(&seats, "a"), wait(&seats, "a"));
        first.land(&1, Duration::ZERO);
        // The last one leads.
        let Waited::Lead(flight) = third.end() else { panic!("it is his") };
        flight.land(&2, Duration::ZERO);
        assert!(matches!(second.end(), Waited::Landed(2)));
        drop(lead(&seats, "a"));
    }

    #[test]
    fn a_herd_that_comes_while_an_attempt_begins_goes_with_it() {
        let seats = Seats::new(FlightLimits { at_once: 2, waiting: 2 });
        let never = |_| panic!("few are not waited for");
        let mut first = lead(&seats, "a");
        let few: Vec<_> = (1..HERD).map(|_| wait(&seats, "a")).collect();
        first.gather(|| Duration::MAX, never);
        first.land(&1, Duration::ZERO);
        assert!(few.into_iter().all(|one| matches!(one.end(), Waited::Landed(1))));
        // As long as more come, for so long at most, also where it takes longer than was meant; who has no time goes at once.
        let (once, slow) = (WHILE, 5 * WHILE);
        let all = usize::MAX;
        for (left, takes, come, waits) in [
            (Duration::MAX, once, 3, 4),
            (Duration::MAX, once, all, 12),
            (Duration::MAX, slow, all, 3),
            (WHILE, once, all, 0),
        ] {
            let mut first = lead(&seats, "a");
            let mut here: Vec<_> = (0..HERD).map(|_| wait(&seats, "a")).collect();
            let slept = std::cell::Cell::new(0_u32);
            first.gather(
                || left.saturating_sub(takes * slept.get()),
                |_| {
                    slept.set(slept.get() + 1);
                    if slept.get() as usize <= come {
                        here.push(wait(&seats, "a"));
                    }
                },
            );
            assert_eq!(slept.get(), waits);
            first.land(&1, Duration::ZERO);
            assert!(here.into_iter().all(|one| matches!(one.end(), Waited::Landed(1))));
        }
    }

    #[test]
    fn whoever_goes_leaves_nobody_waiting() {
        let seats = Seats::new(FlightLimits { at_once: 1, waiting: 2 });
        let first = lead(&seats, "a");
        let (second, third, other) = (wait(&seats, "a"), wait(&seats, "a"), wait(&seats, "b"));
        // An attempt that ends without an answer, as by a panic.
        drop(first);
        // `b` was there before the second attempt at `a`; who was to lead it goes instead.
        drop(other);
        // So does who was to lead that at `a`.
        drop(third);
        assert!(matches!(second.end(), Waited::Again));
        let flight = lead(&seats, "a");
        let late = wait(&seats, "a");
        assert!(matches!(late.end(), Waited::Nothing));
        drop(flight);
        drop(lead(&seats, "a"));
    }

    #[test]
    fn where_there_is_no_room_it_is_said_when_there_may_be() {
        let seats = Seats::new(FlightLimits { at_once: 1, waiting: 1 });
        let first = lead(&seats, "a");
        let waits = wait(&seats, "b");
        assert!(matches!(seats.enter(wanted("c")), Entered::Full));
        let ReadError::Saturated { retry_after } = seats.full() else { panic!("it is full") };
        assert!(retry_after <= Duration::from_secs(2));
        first.land(&1, Duration::from_secs(10));
        drop(waits);
        let ReadError::Saturated { retry_after } = seats.full() else { panic!("it is full") };
        assert!((Duration::from_secs(2)..=Duration::from_secs(4)).contains(&retry_after), "{retry_after:?}");
    }
}
