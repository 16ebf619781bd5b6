//! Conflict-free replicated data types: values that replicas change apart and merge to the same everywhere.
//!
//! After Shapiro, Preguiça, Baquero and Zawirski, "A Comprehensive Study of Convergent and Commutative Replicated Data
//! Types", 2011. All of them are state-based, and a *delta* is a small state of the same type (Almeida, Shoker and
//! Baquero, "Delta State Replicated Data Types", 2018): [`Crdt::merge`] takes either, in any order, however often.
//! What a replica changes it gets back as a delta to send on. (Where deltas overtake each other, what was replaced may be
//! seen again for a while, until those come that were overtaken.)
//!
//! | type | keeps | two replicas that differ |
//! |---|---|---|
//! | [`Lww`] | the last write by the total order | the later wins |
//! | [`Mv`] | all writes that none of the others knew | all stay until somebody writes who knows them |
//! | [`Versioned`] | a whole value and what it was based on | the order picks; the others are there to be recorded |
//! | [`GCounter`], [`PnCounter`] | what each actor counted | sums |
//! | [`BoundedCounter`] | a counter that is never below zero | sums; who may take how much is shared out |
//! | [`OrSet`] | elements with the dots that added them | an addition wins over a removal that did not know it |
//! | [`LwwMap`] | a last write for each key | the later wins, key by key |
//! | [`Max`], [`Min`] | the extreme and who said it | the more extreme |
//!
//! Identities must not be used twice. Where they are (a machine was copied, or went on from a backup), merging still
//! gives the same on every replica, never "mine", and says so: [`Merged::reused`]. For values too complex to merge, use
//! [`Versioned`], not a nest of these. Not here: which column merges how ([`crate::schema`]).
mod bounded;
mod context;
mod counter;
mod dots;
mod extreme;
mod lww;
mod lww_map;
mod mv;
mod named;
mod or_set;
mod version;

pub use bounded::{BoundedCounter, NotEnough};
pub use counter::{CountError, GCounter, PnCounter};
pub use extreme::{Extreme, Max, Min};
pub use lww::Lww;
pub use lww_map::LwwMap;
pub use mv::Mv;
pub use named::{Encode, Names};
pub use or_set::OrSet;
pub use version::{Version, Versioned};

use crate::{clock::Dot, order::Stamp};

/// A state that merges.
///
/// Merging is associative, commutative and idempotent, down to the bytes: these are properties that the tests hold every
/// type to, over generated concurrent histories.
pub trait Crdt: Clone + Eq {
    /// Takes over what `other`, a state or a delta, knows and this does not.
    fn merge(&mut self, other: &Self) -> Merged;
}

/// What came of merging.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// Whether anything was new.
    pub changed: bool,
    /// Identities that both sides use for different things. What the merge made of them is the same everywhere.
    pub reused: Vec<Reused>,
}

impl Merged {
    /// Adds what came of merging a part.
    pub(crate) fn and(&mut self, part: Self) {
        self.changed |= part.changed;
        self.reused.extend(part.reused);
    }
}

/// An identity that was used for two different things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reused {
    /// A dot.
    Dot(Dot),
    /// A stamp of one replica and incarnation.
    Stamp(Box<Stamp>),
}

/// A dot that the state knows already: the change was made before, or the identity is used twice. Nothing was changed;
/// merging the change as a delta would tell which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the dot was used before")]
pub struct DotUsed(pub Dot);

#[cfg(test)]
mod tests;
