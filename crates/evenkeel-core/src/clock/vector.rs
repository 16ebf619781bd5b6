//! Vector clocks: how many events of each actor are known.
//!
//! Mattern, "Virtual Time and Global States of Distributed Systems", and Fidge, "Timestamps in Message-Passing Systems
//! That Preserve the Partial Ordering", both 1988. Canonical: sorted, without zeros and without repetitions, so that
//! equal knowledge is an equal value; what is missing counts as 0. Actors and counters stand in two arrays, inline while
//! they are few, which is what makes comparing and merging clocks of the same actors a matter of plain arrays.
//! Not here: their bytes and text (`wire.rs`), and how they stay small ([`super::Members`]).
use super::{Actor, Dot, Relation};
use smallvec::SmallVec;
use std::cmp::Ordering;

/// Up to how many entries stand inline, without allocation.
const INLINE: usize = 4;

/// How many events of each actor are known: of every actor those from 1 up to its counter.
///
/// ```
/// use evenkeel_core::clock::{Actors, Relation, VectorClock};
/// let mut actors = Actors::default();
/// let (a, b) = (actors.intern("a")?, actors.intern("b")?);
/// let mut left = VectorClock::default();
/// let mut right = VectorClock::default();
/// let first = left.increment(a)?;
/// right.increment(b)?;
/// assert_eq!(left.compare(&right), Relation::Concurrent);
/// right.merge(&left);
/// assert_eq!(left.compare(&right), Relation::Before);
/// assert!(right.knows(first), "one look-up tells whether an event is known");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct VectorClock {
    actors: SmallVec<[Actor; INLINE]>,
    counts: SmallVec<[u64; INLINE]>,
}

/// An actor that was named twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an actor is named twice")]
pub struct Repeated(pub Actor);

/// An actor's counter is at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the actor has counted as far as 64 bits go")]
pub struct SeqExhausted(pub Actor);

impl VectorClock {
    /// The clock of these entries, in any order. Zeros are left out: they say what leaving out says.
    ///
    /// # Errors
    /// Where an actor is named twice: which of the two counters holds is not ours to guess.
    pub fn new(entries: impl IntoIterator<Item = (Actor, u64)>) -> Result<Self, Repeated> {
        let mut entries: SmallVec<[(Actor, u64); 16]> = entries.into_iter().collect();
        Self::from_entries(&mut entries)
    }

    /// As [`VectorClock::new`], sorting in place.
    pub(super) fn from_entries(entries: &mut [(Actor, u64)]) -> Result<Self, Repeated> {
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            entries.sort_unstable_by_key(|entry| entry.0);
            if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(Repeated(pair[0].0));
            }
        }
        let zeros = entries.iter().filter(|entry| entry.1 == 0).count();
        let mut clock = Self::with_capacity(entries.len() - zeros);
        for &(actor, count) in entries.iter().filter(|entry| entry.1 > 0) {
            clock.actors.push(actor);
            clock.counts.push(count);
        }
        Ok(clock)
    }

    fn with_capacity(entries: usize) -> Self {
        Self { actors: SmallVec::with_capacity(entries), counts: SmallVec::with_capacity(entries) }
    }

    /// How many actors it names.
    pub fn len(&self) -> usize {
        self.actors.len()
    }

    /// Whether it knows nothing.
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    /// Its entries, by actor.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Actor, u64)> + Clone {
        self.actors.iter().copied().zip(self.counts.iter().copied())
    }

    /// The actors, in order, and their counters.
    pub(crate) fn parts(&self) -> (&[Actor], &[u64]) {
        (&self.actors, &self.counts)
    }

    /// Bytes it holds on the heap.
    pub fn heap_bytes(&self) -> usize {
        let actors = if self.actors.spilled() { self.actors.capacity() * size_of::<Actor>() } else { 0 };
        actors + if self.counts.spilled() { self.counts.capacity() * size_of::<u64>() } else { 0 }
    }

    /// Where the actor's entry is, or where it would be.
    fn place(&self, actor: Actor) -> Result<usize, usize> {
        // A clock of actors that were interned one after the other has each at its own index, or just before.
        let guess = actor.index().min(self.actors.len().wrapping_sub(1));
        if self.actors.get(guess) == Some(&actor) { Ok(guess) } else { self.actors.binary_search(&actor) }
    }

    /// How many events of `actor` it knows.
    #[inline]
    pub fn get(&self, actor: Actor) -> u64 {
        self.place(actor).map_or(0, |at| self.counts[at])
    }

    /// Whether it knows the event: the test between two events that needs no comparison of clocks.
    #[inline]
    pub fn knows(&self, dot: Dot) -> bool {
        self.get(dot.actor) >= dot.seq
    }

    /// Counts one more event of `actor`: its dot.
    ///
    /// # Errors
    /// Where the counter is at its end. The clock is unchanged.
    pub fn increment(&mut self, actor: Actor) -> Result<Dot, SeqExhausted> {
        let seq = self.get(actor).checked_add(1).ok_or(SeqExhausted(actor))?;
        self.raise(Dot::new(actor, seq));
        Ok(Dot::new(actor, seq))
    }

    /// Knows the event of this dot, and all that its actor did before.
    pub fn raise(&mut self, dot: Dot) {
        match self.place(dot.actor) {
            Ok(at) => self.counts[at] = self.counts[at].max(dot.seq),
            Err(_) if dot.seq == 0 => {}
            Err(at) => {
                self.actors.insert(at, dot.actor);
                self.counts.insert(at, dot.seq);
            }
        }
    }

    /// Leaves out the entries that `keep` is false of.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(Actor, u64) -> bool) {
        let mut kept = 0;
        for at in 0..self.actors.len() {
            if keep(self.actors[at], self.counts[at]) {
                self.actors.swap(kept, at);
                self.counts.swap(kept, at);
                kept += 1;
            }
        }
        self.actors.truncate(kept);
        self.counts.truncate(kept);
    }

    /// How this stands to `other`.
    #[inline]
    pub fn compare(&self, other: &Self) -> Relation {
        if self.actors != other.actors {
            return self.compare_joined(other);
        }
        let (mut less, mut greater) = (false, false);
        // By pieces: within one nothing branches, between them two that differ both ways are told at once.
        for (ours, theirs) in self.counts.chunks(16).zip(other.counts.chunks(16)) {
            for (a, b) in ours.iter().zip(theirs) {
                less |= a < b;
                greater |= a > b;
            }
            if less & greater {
                break;
            }
        }
        Relation::of(less, greater)
    }

    /// Comparing clocks of different actors.
    fn compare_joined(&self, other: &Self) -> Relation {
        // Whoever begins before the other, or ends after it, names somebody whom the other does not: often that is all
        // there is to see.
        let (mut less, mut greater) = (false, false);
        if let ([a, .., y], [b, .., z]) = (self.actors.as_slice(), other.actors.as_slice()) {
            less = b < a || z > y;
            greater = a < b || y > z;
            if less & greater {
                return Relation::Concurrent;
            }
        }
        let (mut i, mut j) = (0, 0);
        while i < self.actors.len() && j < other.actors.len() {
            let (a, b) = (self.actors[i], other.actors[j]);
            let same = a == b;
            // An entry that the other lacks is greater than its 0.
            greater |= a < b || (same && self.counts[i] > other.counts[j]);
            less |= b < a || (same && self.counts[i] < other.counts[j]);
            if less & greater {
                return Relation::Concurrent;
            }
            i += usize::from(a <= b);
            j += usize::from(b <= a);
        }
        Relation::of(less || j < other.actors.len(), greater || i < self.actors.len())
    }

    /// Knows what `other` knows too: the greater counter of each actor.
    #[inline]
    pub fn merge(&mut self, other: &Self) {
        if self.actors == other.actors {
            for (ours, theirs) in self.counts.iter_mut().zip(&other.counts) {
                *ours = (*ours).max(*theirs);
            }
        } else {
            self.merge_joined(other);
        }
    }

    /// Merging clocks of different actors: in place where nothing is new, else backwards into the grown arrays.
    fn merge_joined(&mut self, other: &Self) {
        let (mut i, mut j, mut missing) = (0, 0, 0);
        while let (Some(ours), Some(theirs)) = (self.actors.get(i..), other.actors.get(j..)) {
            // In stretches: mostly the same actors follow each other.
            let same = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
            for (ours, theirs) in self.counts[i..i + same].iter_mut().zip(&other.counts[j..j + same]) {
                *ours = (*ours).max(*theirs);
            }
            (i, j) = (i + same, j + same);
            match (self.actors.get(i), other.actors.get(j)) {
                (_, None) => break,
                (Some(a), Some(b)) if a < b => i += 1,
                (Some(_), Some(_)) => (j, missing) = (j + 1, missing + 1),
                (None, Some(_)) => {
                    missing += other.actors.len() - j;
                    break;
                }
            }
        }
        if missing == 0 {
            return;
        }
        let (mut i, mut j) = (self.actors.len(), other.actors.len());
        let mut to = i + missing;
        self.actors.resize(to, Actor(0));
        self.counts.resize(to, 0);
        // What is before `to` and not new stands where it should as soon as nothing new is left.
        while to > i {
            let theirs = other.actors[j - 1];
            let ours = if i == 0 { None } else { Some(self.actors[i - 1]) };
            to -= 1;
            if ours.is_some_and(|ours| ours >= theirs) {
                j -= usize::from(ours == Some(theirs));
                i -= 1;
                self.actors[to] = self.actors[i];
                self.counts[to] = self.counts[i];
            } else {
                j -= 1;
                self.actors[to] = theirs;
                self.counts[to] = other.counts[j];
            }
        }
    }
}

impl PartialOrd for VectorClock {
    /// `None` where the clocks are concurrent.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.compare(other) {
            Relation::Equal => Some(Ordering::Equal),
            Relation::Before => Some(Ordering::Less),
            Relation::After => Some(Ordering::Greater),
            Relation::Concurrent => None,
        }
    }
}

#[cfg(test)]
mod tests;
