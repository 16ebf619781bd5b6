//! Who shares an attempt with whom ("single flight"), and how many attempts are made at once.
//!
//! Readers who ask for the same thing at the same time share one attempt. None ever gets what an attempt found that began
//! before he came: who comes while one is under way goes with the next, together with all others who come meanwhile. So
//! any number of readers of one thing cost two attempts at a time, one after the other.
//!
//! Pure: attempts, threads and time are the runtime's.
use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    time::Duration,
};

/// How much is done at once, and how much waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlightLimits {
    /// How many attempts are made at once.
    pub at_once: usize,
    /// How many different things may wait for theirs to begin.
    pub waiting: usize,
}

impl Default for FlightLimits {
    fn default() -> Self {
        Self { at_once: 16, waiting: 256 }
    }
}

/// Those who share attempts, by what they ask for. `W` is somebody who waits.
///
/// ```
/// use evenkeel_core::flights::{Arrival, FlightLimits, Flights};
/// let mut flights = Flights::new(FlightLimits { at_once: 1, waiting: 1 });
/// assert_eq!(flights.arrive("row", 1), Arrival::Lead(1));
/// // They came after the first attempt had begun, and go with the next.
/// assert!(matches!(flights.arrive("row", 2), Arrival::Waits(_)));
/// assert!(matches!(flights.arrive("row", 3), Arrival::Waits(_)));
/// // One thing may wait beside it, and no more.
/// assert!(matches!(flights.arrive("other", 4), Arrival::Waits(_)));
/// assert_eq!(flights.arrive("another", 5), Arrival::Full(5));
/// assert_eq!(flights.landed(&"row"), [("other", vec![4])]);
/// assert_eq!(flights.landed(&"other"), [("row", vec![2, 3])]);
/// ```
#[derive(Debug)]
pub struct Flights<K, W> {
    limits: FlightLimits,
    lanes: HashMap<K, Lane<W>>,
    /// What waits for a place, in order.
    ready: VecDeque<K>,
    flying: usize,
    tickets: u64,
}

/// What goes on with one thing.
#[derive(Debug)]
struct Lane<W> {
    is_flying: bool,
    next: Vec<(u64, W)>,
}

/// Somebody's place among those who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// What becomes of who arrives.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival<W> {
    /// He makes the attempt, now.
    Lead(W),
    /// He waits to be among those whom [`Flights::landed`] names.
    Waits(Ticket),
    /// There is no room.
    Full(W),
}

impl<K: Clone + Eq + Hash, W> Flights<K, W> {
    /// Nobody.
    pub fn new(limits: FlightLimits) -> Self {
        let limits = FlightLimits { at_once: limits.at_once.max(1), ..limits };
        Self { limits, lanes: HashMap::new(), ready: VecDeque::new(), flying: 0, tickets: 0 }
    }

    /// Somebody asks for something.
    pub fn arrive(&mut self, key: K, who: W) -> Arrival<W> {
        let ticket = self.tickets;
        match self.lanes.get_mut(&key) {
            Some(lane) => lane.next.push((ticket, who)),
            None if self.flying < self.limits.at_once => {
                self.flying += 1;
                self.lanes.insert(key, Lane { is_flying: true, next: Vec::new() });
                return Arrival::Lead(who);
            }
            None if self.ready.len() >= self.limits.waiting => return Arrival::Full(who),
            None => {
                self.lanes.insert(key.clone(), Lane { is_flying: false, next: vec![(ticket, who)] });
                self.ready.push_back(key);
            }
        }
        self.tickets += 1;
        Arrival::Waits(Ticket(ticket))
    }

    /// Somebody gives up waiting. Nothing where he waits no more.
    pub fn leave(&mut self, key: &K, ticket: Ticket) -> Option<W> {
        let lane = self.lanes.get_mut(key)?;
        let place = lane.next.iter().position(|(of, _)| *of == ticket.0)?;
        let (_, who) = lane.next.remove(place);
        if lane.next.is_empty() && !lane.is_flying {
            self.lanes.remove(key);
            self.ready.retain(|waiting| waiting != key);
        }
        Some(who)
    }

    /// Who came since an attempt was given to somebody goes with it after all, in the order in which they came: it has not
    /// begun yet.
    pub fn join(&mut self, key: &K) -> Vec<W> {
        let lane = self.lanes.get_mut(key).filter(|lane| lane.is_flying);
        lane.map(|lane| std::mem::take(&mut lane.next)).unwrap_or_default().into_iter().map(|(_, who)| who).collect()
    }

    /// The attempt at something is over. What is to begin now, each with all who share it, in the order in which they came.
    pub fn landed(&mut self, key: &K) -> Vec<(K, Vec<W>)> {
        if let Some(lane) = self.lanes.get_mut(key).filter(|lane| lane.is_flying) {
            self.flying -= 1;
            lane.is_flying = false;
            if lane.next.is_empty() {
                self.lanes.remove(key);
            } else {
                // Behind what waits already: one thing that is asked for again and again keeps no other from its turn.
                self.ready.push_back(key.clone());
            }
        }
        let mut begins = Vec::new();
        while self.flying < self.limits.at_once
            && let Some(key) = self.ready.pop_front()
        {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            lane.is_flying = true;
            self.flying += 1;
            let members = std::mem::take(&mut lane.next);
            begins.push((key, members.into_iter().map(|(_, who)| who).collect()));
        }
        begins
    }

    /// How many things wait for an attempt to begin.
    pub fn waiting(&self) -> usize {
        self.ready.len()
    }

    /// How many attempts are under way.
    pub fn flying(&self) -> usize {
        self.flying
    }
}

/// When it makes sense to ask again where there is no room: when what waits now will have had its turn, by how long attempts
/// take, and up to as long again, but two seconds at least, by chance, so that those who were sent away do not all come back at once.
pub fn ask_again(waiting: usize, at_once: usize, attempt: Duration, random: u64) -> Duration {
    let turns = waiting.div_ceil(at_once.max(1)).saturating_add(1);
    let eta = attempt.saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX)).min(Duration::from_secs(60));
    let share = (random >> 11) as f64 / ((1_u64 << 53) - 1) as f64;
    eta + eta.max(Duration::from_secs(2)).mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    #[derive(Debug, Clone)]
    enum Happens {
        Arrive(u8),
        Land(u8),
        Leave(usize),
        Join(u8),
    }

    fn happens() -> impl Strategy<Value = Happens> {
        prop_oneof![
            4 => (0..4u8).prop_map(Happens::Arrive),
            3 => (0..4u8).prop_map(Happens::Land),
            1 => any::<usize>().prop_map(Happens::Leave),
            1 => (0..4u8).prop_map(Happens::Join),
        ]
    }

    proptest! {
        /// Everybody who waits is served or has left, nobody twice, nobody by an attempt that began before he came, and
        /// never more attempts at once than may be.
        #[test]
        fn nobody_is_forgotten_or_served_by_an_earlier_attempt(
            steps in vec(happens(), 0..200), at_once in 1usize..4, waiting in 0usize..4,
        ) {
            let mut flights = Flights::new(FlightLimits { at_once, waiting });
            // What is under way, and by whom; who waits, for what and with which ticket.
            let mut flying: HashMap<u8, usize> = HashMap::new();
            let mut waits: Vec<(usize, u8, Ticket)> = Vec::new();
            let land = |flights: &mut Flights<u8, usize>, flying: &mut HashMap<u8, usize>, waits: &mut Vec<_>, key: u8| {
                flying.remove(&key);
                for (key, members) in flights.landed(&key) {
                    // All who waited for it, in order, so none of them came after it began and none is left behind.
                    let expected: Vec<usize> =
                        waits.iter().filter(|(_, of, _)| *of == key).map(|(who, ..)| *who).collect();
                    prop_assert_eq!(&members, &expected);
                    prop_assert!(!members.is_empty());
                    prop_assert_eq!(flying.insert(key, members[0]), None);
                    waits.retain(|(_, of, _)| *of != key);
                }
                Ok(())
            };
            for (who, step) in steps.into_iter().enumerate() {
                match step {
                    Happens::Arrive(key) => match flights.arrive(key, who) {
                        Arrival::Lead(led) => {
                            prop_assert_eq!(led, who);
                            prop_assert_eq!(flying.insert(key, who), None);
                        }
                        Arrival::Waits(ticket) => waits.push((who, key, ticket)),
                        Arrival::Full(_) => {
                            prop_assert!(flying.len() == at_once && flights.waiting() >= waiting);
                            prop_assert!(!flying.contains_key(&key) && waits.iter().all(|(_, of, _)| *of != key));
                        }
                    },
                    Happens::Land(key) if flying.contains_key(&key) => {
                        land(&mut flights, &mut flying, &mut waits, key)?;
                    }
                    Happens::Leave(n) if !waits.is_empty() => {
                        let (who, key, ticket) = waits.remove(n % waits.len());
                        prop_assert_eq!(flights.leave(&key, ticket), Some(who));
                        prop_assert_eq!(flights.leave(&key, ticket), None);
                    }
                    // What flies has the others who wait for it; what waits itself has nobody go with it.
                    Happens::Join(key) => {
                        let here = |(_, of, _): &(usize, u8, Ticket)| *of == key && flying.contains_key(&key);
                        let expected: Vec<usize> = waits.iter().filter(|who| here(who)).map(|(who, ..)| *who).collect();
                        prop_assert_eq!(flights.join(&key), expected);
                        waits.retain(|who| !here(who));
                    }
                    _ => {}
                }
                prop_assert!(flying.len() <= at_once);
                prop_assert_eq!(flights.flying(), flying.len());
                // Nobody waits for nothing.
                prop_assert!(waits.is_empty() || !flying.is_empty());
            }
            while let Some(&key) = flying.keys().next() {
                land(&mut flights, &mut flying, &mut waits, key)?;
            }
            prop_assert!(waits.is_empty() && flights.lanes.is_empty() && flights.ready.is_empty());
        }
    }

    #[test]
    fn those_sent_away_come_back_when_there_may_be_room_and_not_all_at_once() {
        let second = Duration::from_secs(1);
        assert_eq!(ask_again(8, 4, second, 0), Duration::from_secs(3));
        assert_eq!(ask_again(8, 4, second, u64::MAX), Duration::from_secs(6));
        assert_eq!(ask_again(0, 4, Duration::from_millis(1), u64::MAX), Duration::from_millis(2001));
        assert!(ask_again(usize::MAX, 0, second, u64::MAX) <= Duration::from_secs(120));
    }
}
