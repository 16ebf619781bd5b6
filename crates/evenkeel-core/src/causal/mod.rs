//! The causal buffer: what depends on what has not come yet waits for it.
//!
//! After Birman, Schiper and Stephenson, "Lightweight Causal and Atomic Group Multicast", 1991: event m of actor j is
//! delivered when `clock_m[j] = delivered[j] + 1` and `clock_m[k] <= delivered[k]` for every other k. An event that must
//! wait is parked on its first unmet dependency and looked at again when that is met, never before, so an event costs
//! its dependencies however many others wait.
//!
//! [`CausalBuffer`] is a state machine: it is told the time, and hands back what is to be done. Nothing is dropped and
//! no gap is passed in silence: what expires or does not fit is handed back with what it waited for, to be kept
//! elsewhere and offered again when [`Recall`] says that its time has come; gaps are passed only where somebody declared
//! them. Not here: keeping what waits over a restart (the stores), and what is done with an event once it is delivered.
mod buffer;
mod intervals;
mod lane;
mod progress;
mod recall;
mod slots;

pub use buffer::CausalBuffer;
pub use progress::{Progress, SourceProgress};
pub use recall::Recall;

use crate::{
    clock::{Dot, VectorClock},
    ids::Digest,
    time::Timestamp,
};
use std::time::Duration;

/// How much may wait, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long an event waits.
    pub timeout: Duration,
    /// How many events.
    pub max_events: usize,
    /// How many bytes: payloads, clocks and all that waiting costs.
    pub max_bytes: usize,
    /// Of how many delivered events of each actor the content is remembered, to tell a duplicate from another event
    /// under the same dot. Rounded up to a power of two.
    pub remember: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), max_events: 10_000, max_bytes: 64 << 20, remember: 256 }
    }
}

/// 128 bits of a digest of an event's content: what tells a duplicate from another event under the same dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark(pub u128);

impl From<Digest> for Mark {
    fn from(digest: Digest) -> Self {
        let mut half = [0; 16];
        half.copy_from_slice(&digest.0[..16]);
        Self(u128::from_le_bytes(half))
    }
}

/// An event that arrives with a clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival<E> {
    /// Its mark.
    pub dot: Dot,
    /// What it knew, itself included.
    pub clock: VectorClock,
    /// What it says, in short.
    pub mark: Mark,
    /// How many bytes the payload takes.
    pub bytes: usize,
    /// The event itself, or what stands for it.
    pub payload: E,
}

/// An event whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered<E> {
    /// The event.
    pub arrival: Arrival<E>,
    /// Whether its place had been declared a hole: events that depend on it may have been delivered before it.
    pub exception: bool,
}

/// An event that is handed back, with everything it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered<E> {
    /// The event.
    pub arrival: Arrival<E>,
    /// When it came.
    pub since: Timestamp,
    /// The last event it needs of each actor of whom it needs one.
    pub waits_for: Vec<Dot>,
}

/// What an event was a duplicate of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// The same event waits.
    Waiting,
    /// The same event was delivered.
    Delivered,
    /// An event of this dot was delivered so long ago that its content is not remembered here: the log tells whether it
    /// was the same.
    Unchecked,
}

/// Why an event is no event of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its clock does not end with its dot, or the counter is 0 or the last of 64 bits.
    #[error("the clock does not include the event itself")]
    NotItsOwn,
    /// The source was declared to start later.
    #[error("the source starts with event {first}")]
    BeforeFirst {
        /// The first event.
        first: u64,
    },
    /// The source was retired.
    #[error("the source is retired, and its last event was {last}")]
    Retired {
        /// Its last event.
        last: u64,
    },
}

/// What became of an event that was offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<E> {
    /// It was delivered, and perhaps others after it.
    Delivered,
    /// It waits, for this event first.
    Waiting {
        /// What it is parked on.
        on: Dot,
    },
    /// It is known.
    Duplicate {
        /// The event.
        arrival: Arrival<E>,
        /// Of what.
        of: Known,
    },
    /// Another event is known under its dot: an identity is used twice, or somebody lies.
    IdentityReuse {
        /// The event.
        arrival: Arrival<E>,
        /// What the other one says.
        first: Mark,
    },
    /// It would have to wait, and there is no room.
    Overflow(Undelivered<E>),
    /// It cannot be.
    Refused {
        /// The event.
        arrival: Arrival<E>,
        /// Why.
        why: Refusal,
    },
}

/// A declaration that does not hold or does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undeclarable {
    /// Too many separate holes: they take memory too.
    #[error("{max_bytes} bytes may be used, and there is no room for another hole")]
    Full {
        /// The limit.
        max_bytes: usize,
    },
    /// Events of this source are known already, or wait.
    #[error("events of the source are known already")]
    Started,
    /// Not a range of counters: they begin with 1, and the last of 64 bits is none.
    #[error("counters begin with 1 and end below the last of 64 bits")]
    Range,
}

#[cfg(test)]
mod tests;
