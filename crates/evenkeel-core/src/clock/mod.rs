//! Clocks: what happened before what, and which stamps that is told with.
//!
//! [`Hlc`] orders everything, [`VectorClock`] and [`Dot`] say exactly what an event knew, [`Actors`] turns names into
//! small numbers and back, [`Members`] keeps clocks bounded. Not here: what follows from order ([`crate::order`]) and
//! who waits for whom ([`crate::causal`]).
mod actor;
mod hlc;
mod prune;
mod vector;
mod wire;

pub use actor::{Actor, Actors, ActorsError, Dot};
pub use hlc::{BadHlc, ClockSkew, Hlc, HlcClock, HlcSettings, NoStamp};
pub use prune::{Base, ClockTooLarge, Members, Overdue, Pruned, SPARE_ENTRIES};
pub use vector::{Repeated, SeqExhausted, VectorClock};
pub use wire::BadClock;
pub(crate) use wire::text;

use crate::words::words;

words! {
    /// How one event or state stands to another in cause and effect.
    Relation {
        /// They are the same.
        Equal = "equal",
        /// The first is known to the second.
        Before = "before",
        /// The first knows the second.
        After = "after",
        /// Neither knows the other.
        Concurrent = "concurrent",
    }
}

impl Relation {
    /// From whether something of the first is less and whether something of it is greater.
    const fn of(less: bool, greater: bool) -> Self {
        match (less, greater) {
            (false, false) => Self::Equal,
            (true, false) => Self::Before,
            (false, true) => Self::After,
            (true, true) => Self::Concurrent,
        }
    }

    /// The same seen from the second.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::Before => Self::After,
            Self::After => Self::Before,
            other => other,
        }
    }
}
