//! Keeping vector clocks small without losing what they say: members, retired sources, and bases.
//!
//! A stored clock has no more entries than there are active sources, and [`SPARE_ENTRIES`]. An entry is left out only
//! when its owner is retired *and* every member has delivered all of it; and then not by forgetting it, which would make
//! new events look as if they did not know the old ones. What is left out is kept once, in a [`Base`], and a clock that
//! knew all of a base names it instead. A clock that did not is left as it is: pruning never changes what a clock says.
//! That what every member is known to know need not be kept is after Wuu and Bernstein, "Efficient Solutions to the
//! Replicated Log and Dictionary Problems", 1984.
//! Not here: who decides that a source is retired, and where bases are kept.
use super::{Actor, Actors, Dot, VectorClock, wire::TAG_VECTOR};
use crate::codec::{CodecError, FORMAT, Reader, put_bytes, put_number};
use std::collections::{BTreeMap, BTreeSet};

/// How many entries a clock may have beyond those of the active sources.
pub const SPARE_ENTRIES: usize = 3;

const TAG_PRUNED: u8 = TAG_VECTOR + 1;

/// What was left out of clocks, by number: 0 is nothing, and each holds what the one before holds and more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Base(pub u32);

/// A clock without the entries that its base holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Pruned {
    /// What was left out; all of it is known to this clock.
    pub base: Base,
    /// The rest.
    pub clock: VectorClock,
}

impl Pruned {
    /// Its canonical bytes: `1, 2, base`, then those of the clock.
    pub fn encode(&self, actors: &Actors) -> Vec<u8> {
        let mut out = vec![FORMAT, TAG_PRUNED];
        put_number(&mut out, u128::from(self.base.0));
        put_bytes(&mut out, &self.clock.encode(actors));
        out
    }

    /// Reads [`Pruned::encode`].
    ///
    /// # Errors
    /// Where the bytes are not what it would be written as.
    pub fn decode(bytes: &[u8], actors: &mut Actors) -> Result<Self, CodecError> {
        let mut input = Reader::new(bytes);
        input.header(TAG_PRUNED)?;
        let base = u32::try_from(input.number()?).map_err(|_| CodecError::NotCanonical("a base beyond 32 bits"))?;
        let clock = input.bytes()?;
        input.end()?;
        Ok(Self { base: Base(base), clock: VectorClock::decode(clock, actors)? })
    }
}

/// Why an entry that is not of an active source cannot be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// Nobody declared this source, or it was never retired.
    NotRetired,
    /// This member has not delivered all of it.
    NotDelivered {
        /// The member.
        by: Actor,
    },
    /// No members are known, so nobody can say what all have delivered.
    NoMembers,
    /// The clock itself does not know all that was left out before.
    NotKnown,
}

/// A clock that is over the bound and cannot be pruned safely. It is refused, and an operator should hear of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{entries} entries where {bound} are allowed, and {} of them can neither stay nor go", blocked.len())]
pub struct ClockTooLarge {
    /// How many entries it has after pruning.
    pub entries: usize,
    /// How many are allowed: active sources and [`SPARE_ENTRIES`].
    pub bound: usize,
    /// The entries of sources that are not active, with what stands in the way.
    pub blocked: Vec<(Actor, Blocked)>,
}

/// Something that contradicts what was said of a source or member before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overdue {
    /// A retired source does not come back: its counters would repeat. It needs a new name.
    #[error("the source is retired")]
    Retired {
        /// The source.
        actor: Actor,
    },
    /// More of the source is known than its last event would allow.
    #[error("event {known} of the source is known, which was said to have ended with {last}")]
    BeyondLast {
        /// The source.
        actor: Actor,
        /// What is known of it.
        known: u64,
        /// What was said to be its last.
        last: u64,
    },
    /// A member that has not delivered what all others had delivered before it came. It must catch up first.
    #[error("the member has not delivered what was left out of clocks before it joined")]
    MemberBehind {
        /// The member.
        member: Actor,
    },
}

/// Who may appear in clocks: active and retired sources, and what every member has delivered of them.
///
/// ```
/// use evenkeel_core::clock::{Actors, Base, Members, VectorClock};
/// let mut actors = Actors::default();
/// let (a, old) = (actors.intern("a")?, actors.intern("old")?);
/// let mut members = Members::default();
/// members.activate(a)?;
/// members.activate(old)?;
/// members.delivered(a, &VectorClock::new([(a, 4), (old, 9)])?)?;
/// members.retire(old, 9)?;
/// let clock = VectorClock::new([(a, 5), (old, 9)])?;
/// let pruned = members.prune(&clock)?;
/// assert_eq!((pruned.base, pruned.clock.len()), (Base(1), 1));
/// assert_eq!(members.expand(&pruned), clock, "nothing is lost");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Members {
    active: BTreeSet<Actor>,
    /// Retired sources with their last event's number, also those that are in a base.
    retired: BTreeMap<Actor, u64>,
    delivered: BTreeMap<Actor, VectorClock>,
    /// By [`Base`]; the first is empty.
    bases: Vec<VectorClock>,
}

impl Default for Members {
    fn default() -> Self {
        Self::restore([])
    }
}

impl Members {
    /// With the bases that were in use before, in order, the empty one left out: [`Members::bases`]. Their sources are
    /// retired. Active sources, other retired ones and members are to be told anew.
    pub fn restore(bases: impl IntoIterator<Item = VectorClock>) -> Self {
        let bases: Vec<_> = std::iter::once(VectorClock::default()).chain(bases).collect();
        let retired = bases.last().into_iter().flat_map(VectorClock::iter).collect();
        Self { active: BTreeSet::new(), retired, delivered: BTreeMap::new(), bases }
    }

    /// The bases to keep beside the clocks, the empty one left out.
    pub fn bases(&self) -> &[VectorClock] {
        self.bases.get(1..).unwrap_or_default()
    }

    fn base(&self, base: Base) -> Option<&VectorClock> {
        self.bases.get(base.0 as usize)
    }

    /// What the newest base leaves out.
    pub fn newest(&self) -> Base {
        Base(self.bases.len().saturating_sub(1) as u32)
    }

    /// How many entries a clock may have.
    pub fn bound(&self) -> usize {
        self.active.len() + SPARE_ENTRIES
    }

    /// A source sends.
    ///
    /// # Errors
    /// Where it was retired.
    pub fn activate(&mut self, source: Actor) -> Result<(), Overdue> {
        if self.retired.contains_key(&source) {
            return Err(Overdue::Retired { actor: source });
        }
        self.active.insert(source);
        Ok(())
    }

    /// A source sends no more, and `last` was its last event (0 where it had none). Returns the new base, if everybody
    /// has all of it.
    ///
    /// # Errors
    /// Where a member has delivered more of it, or another last event was named before.
    pub fn retire(&mut self, source: Actor, last: u64) -> Result<Option<Base>, Overdue> {
        let known = self.delivered.values().map(|clock| clock.get(source)).max().unwrap_or(0);
        let known = known.max(self.retired.get(&source).copied().unwrap_or(0));
        if known > last {
            return Err(Overdue::BeyondLast { actor: source, known, last });
        }
        if self.bases().last().is_some_and(|base| base.get(source) > 0 && base.get(source) != last) {
            return Err(Overdue::Retired { actor: source });
        }
        self.active.remove(&source);
        self.retired.insert(source, last);
        Ok(self.leave_out())
    }

    /// A member has delivered this much; the first time, it joins. Returns the new base, if this was what one waited for.
    ///
    /// # Errors
    /// Where it joins without having delivered what is left out of clocks already, or has more of a retired source than
    /// there is.
    pub fn delivered(&mut self, member: Actor, clock: &VectorClock) -> Result<Option<Base>, Overdue> {
        for (&source, &last) in &self.retired {
            let known = clock.get(source);
            if known > last {
                return Err(Overdue::BeyondLast { actor: source, known, last });
            }
        }
        match self.delivered.get_mut(&member) {
            Some(known) => known.merge(clock),
            None if self.bases.last().is_some_and(|base| base.iter().any(|(a, seq)| clock.get(a) < seq)) => {
                return Err(Overdue::MemberBehind { member });
            }
            None => drop(self.delivered.insert(member, clock.clone())),
        }
        Ok(self.leave_out())
    }

    /// A member is gone for good: nobody waits for it any more. Returns the new base, if it was what one waited for.
    pub fn leave(&mut self, member: Actor) -> Option<Base> {
        self.delivered.remove(&member);
        self.leave_out()
    }

    /// What stands in the way of leaving out a retired source that ended with `last`.
    fn holds_up(&self, source: Actor, last: u64) -> Option<Blocked> {
        if self.delivered.is_empty() {
            return Some(Blocked::NoMembers);
        }
        let behind = self.delivered.iter().find(|(_, clock)| clock.get(source) < last);
        behind.map(|(&by, _)| Blocked::NotDelivered { by })
    }

    /// A new base, where sources are retired that everybody has delivered all of.
    fn leave_out(&mut self) -> Option<Base> {
        let newest = self.bases.last().cloned().unwrap_or_default();
        let mut next = newest.clone();
        for (&source, &last) in &self.retired {
            if self.holds_up(source, last).is_none() {
                next.raise(Dot::new(source, last));
            }
        }
        if next == newest {
            return None;
        }
        self.bases.push(next);
        Some(self.newest())
    }

    /// The clock as it is stored: without what it knows of a base, within the bound.
    ///
    /// # Errors
    /// Where it is over the bound all the same: to be refused, and an operator to be told.
    pub fn prune(&self, clock: &VectorClock) -> Result<Pruned, ClockTooLarge> {
        let knows = |base: &VectorClock| base.iter().all(|(actor, seq)| clock.get(actor) >= seq);
        // Each base holds the one before: the newest that is known leaves out the most.
        let at = self.bases.iter().rposition(knows).unwrap_or(0);
        let mut rest = clock.clone();
        if let Some(base) = self.bases.get(at) {
            // More of a source than it had is no source's: it stays to be seen.
            rest.retain(|actor, seq| base.get(actor) != seq);
        }
        let bound = self.bound();
        if rest.len() <= bound {
            return Ok(Pruned { base: Base(at as u32), clock: rest });
        }
        let strangers = rest.iter().filter(|(actor, _)| !self.active.contains(actor));
        let blocked = strangers.map(|(actor, _)| (actor, self.why(actor))).collect();
        Err(ClockTooLarge { entries: rest.len(), bound, blocked })
    }

    fn why(&self, actor: Actor) -> Blocked {
        match self.retired.get(&actor) {
            None => Blocked::NotRetired,
            Some(&last) => self.holds_up(actor, last).unwrap_or(Blocked::NotKnown),
        }
    }

    /// The whole clock; `None` where its base is none of ours.
    pub fn try_expand(&self, pruned: &Pruned) -> Option<VectorClock> {
        let mut clock = pruned.clock.clone();
        clock.merge(self.base(pruned.base)?);
        Some(clock)
    }

    /// The whole clock that [`Members::prune`] made it of. A base that is none of ours counts as nothing.
    pub fn expand(&self, pruned: &Pruned) -> VectorClock {
        self.try_expand(pruned).unwrap_or_else(|| pruned.clock.clone())
    }

    /// Whether the clock knows the event: [`VectorClock::knows`] without expanding it.
    pub fn knows(&self, pruned: &Pruned, dot: Dot) -> bool {
        pruned.clock.knows(dot) || self.base(pruned.base).is_some_and(|base| base.knows(dot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: Actor = Actor(0);
    const B: Actor = Actor(1);
    const OLD: Actor = Actor(2);

    fn clock(entries: &[(Actor, u64)]) -> VectorClock {
        VectorClock::new(entries.iter().copied()).unwrap()
    }

    fn members() -> Members {
        let mut members = Members::default();
        for actor in [A, B, OLD] {
            members.activate(actor).unwrap();
        }
        members.delivered(A, &clock(&[(OLD, 5)])).unwrap();
        members.delivered(B, &clock(&[(OLD, 4)])).unwrap();
        members
    }

    #[test]
    fn an_entry_goes_only_when_its_owner_is_retired_and_everybody_has_all_of_it() {
        let mut members = members();
        let knows = clock(&[(A, 1), (OLD, 5)]);
        assert_eq!(members.prune(&knows).unwrap().clock, knows, "active");
        assert_eq!(members.retire(OLD, 5), Ok(None));
        assert_eq!(members.prune(&knows).unwrap().clock, knows, "B has not delivered all of it");
        assert_eq!(members.delivered(B, &clock(&[(OLD, 5)])), Ok(Some(Base(1))));
        let pruned = members.prune(&knows).unwrap();
        assert_eq!((pruned.base, &pruned.clock), (Base(1), &clock(&[(A, 1)])));
        assert!(members.knows(&pruned, Dot::new(OLD, 5)) && !members.knows(&pruned, Dot::new(OLD, 6)));
        // Who did not know it does not come to know it.
        let ignorant = clock(&[(A, 1), (OLD, 4)]);
        let kept = members.prune(&ignorant).unwrap();
        assert_eq!((kept.base, &kept.clock), (Base(0), &ignorant));
        assert!(!members.knows(&kept, Dot::new(OLD, 5)));
    }

    #[test]
    fn a_member_that_leaves_holds_nothing_up() {
        let mut members = members();
        members.retire(OLD, 5).unwrap();
        assert_eq!(members.leave(B), Some(Base(1)));
        assert_eq!(members.delivered(B, &clock(&[(OLD, 4)])), Err(Overdue::MemberBehind { member: B }));
        assert_eq!(members.delivered(B, &clock(&[(OLD, 5)])), Ok(None));
        let mut alone = Members::default();
        alone.activate(OLD).unwrap();
        assert_eq!(alone.retire(OLD, 0), Ok(None), "nobody is there to say that all have it");
    }

    #[test]
    fn what_cannot_be_pruned_safely_is_refused_and_said() {
        let mut members = members();
        members.retire(OLD, 5).unwrap();
        let strangers: Vec<_> = (3..6).map(|n| (Actor(n), 1)).collect();
        let large = clock(&[&[(A, 1), (B, 1), (OLD, 5)], strangers.as_slice()].concat());
        assert_eq!(members.bound(), 2 + 3);
        let error = members.prune(&large).unwrap_err();
        assert_eq!((error.entries, error.bound), (6, 5));
        assert_eq!(error.blocked[0], (OLD, Blocked::NotDelivered { by: B }));
        assert_eq!(error.blocked[1..], strangers.iter().map(|s| (s.0, Blocked::NotRetired)).collect::<Vec<_>>());
        members.delivered(B, &clock(&[(OLD, 5)])).unwrap();
        assert_eq!(members.prune(&large).unwrap().clock.len(), 5);
        let ignorant = clock(&[&[(A, 1), (B, 1), (OLD, 3)], strangers.as_slice()].concat());
        assert_eq!(members.prune(&ignorant).unwrap_err().blocked[0], (OLD, Blocked::NotKnown));
    }

    #[test]
    fn a_retired_source_stays_so() {
        let mut members = members();
        assert_eq!(members.retire(OLD, 4), Err(Overdue::BeyondLast { actor: OLD, known: 5, last: 4 }));
        members.delivered(B, &clock(&[(OLD, 5)])).unwrap();
        members.retire(OLD, 5).unwrap();
        assert_eq!(members.activate(OLD), Err(Overdue::Retired { actor: OLD }));
        assert_eq!(members.retire(OLD, 6), Err(Overdue::Retired { actor: OLD }), "a base holds 5");
        let beyond = Overdue::BeyondLast { actor: OLD, known: 6, last: 5 };
        assert_eq!(members.delivered(A, &clock(&[(OLD, 6)])), Err(beyond));
        let restored = Members::restore(members.bases().to_vec());
        assert_eq!(restored.newest(), Base(1));
        assert_eq!(restored.clone().activate(OLD), Err(Overdue::Retired { actor: OLD }));
        // More than there was is not taken for what there was.
        assert_eq!(members.prune(&clock(&[(OLD, 6)])).unwrap().clock, clock(&[(OLD, 6)]));
    }

    #[test]
    fn bytes() {
        let mut actors = Actors::default();
        let a = actors.intern("a").unwrap();
        let pruned = Pruned { base: Base(300), clock: clock(&[(a, 2)]) };
        let bytes = pruned.encode(&actors);
        assert_eq!(Pruned::decode(&bytes, &mut actors), Ok(pruned));
        for cut in 0..bytes.len() {
            assert!(Pruned::decode(&bytes[..cut], &mut actors).is_err());
        }
        assert_eq!(Members::default().try_expand(&Pruned { base: Base(1), ..Pruned::default() }), None);
    }

    proptest! {
        /// Histories of members, sources that come and go, and clocks of every age.
        #[test]
        fn pruning_loses_nothing(
            counts in prop::collection::vec(1..6u64, 1..6),
            steps in prop::collection::vec((0..3u32, prop::collection::vec(0..6u64, 6)), 0..30),
        ) {
            let sources: Vec<_> = (10..).map(Actor).zip(counts).collect();
            let mut members = Members::default();
            for (source, _) in &sources {
                members.activate(*source).unwrap();
            }
            let mut clocks = vec![];
            for (n, (member, seen)) in steps.into_iter().enumerate() {
                let upto = |((source, last), seen): (&(Actor, u64), u64)| (*source, seen.min(*last));
                let clock = VectorClock::new(sources.iter().zip(seen).map(upto)).unwrap();
                let _ = members.delivered(Actor(member), &clock);
                if n % 3 == 2 {
                    let (source, last) = sources[n % sources.len()];
                    members.retire(source, last).unwrap();
                }
                clocks.push(clock);
                for clock in &clocks {
                    if let Ok(pruned) = members.prune(clock) {
                        prop_assert_eq!(&members.expand(&pruned), clock);
                        prop_assert!(pruned.clock.len() <= members.bound());
                        for seq in 0..6 {
                            for (source, _) in &sources {
                                let dot = Dot::new(*source, seq);
                                prop_assert_eq!(members.knows(&pruned, dot), clock.knows(dot));
                            }
                        }
                    }
                }
            }
        }
    }
}
