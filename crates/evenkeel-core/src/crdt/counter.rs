//! Counters that sum up what each actor counted.
//!
//! Of each actor the state keeps its totals and the dot of its last step; the later dot holds more. So a step that comes
//! twice, or late, changes nothing, and one dot with two totals is an identity used twice. A reset takes away what it
//! knew and nothing else.
use super::{Crdt, Encode, Merged, Names, Reused};
use crate::{
    clock::{Actor, Dot},
    codec::{CodecError, Reader, put_number},
};
use std::{cmp::Ordering, collections::BTreeMap};

/// No total goes beyond this, so that sums over all actors fit 128 bits with sign.
const MAX_TOTAL: u128 = 1 << 95;

/// A step that cannot be counted. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CountError {
    /// The actor's total would go beyond 2^95.
    #[error("the total of the actor is at its end")]
    TooGreat,
    /// A step of the actor with this dot, or a later one, was counted already.
    #[error("the dot was used before")]
    DotUsed(Dot),
}

/// What an actor has counted up to one of its dots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    seq: u64,
    up: u128,
    down: u128,
}

impl Tally {
    const fn net(self) -> i128 {
        self.up as i128 - self.down as i128
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tallies(BTreeMap<Actor, Tally>);

impl Tallies {
    fn merge(&mut self, other: &Self) -> Merged {
        let mut merged = Merged::default();
        for (&actor, theirs) in &other.0 {
            let ours = self.0.entry(actor).or_default();
            let (mut next, reused) = match ours.seq.cmp(&theirs.seq) {
                Ordering::Less => (*theirs, theirs.up < ours.up || theirs.down < ours.down),
                Ordering::Greater => (*ours, ours.up < theirs.up || ours.down < theirs.down),
                Ordering::Equal => (*ours, ours != theirs),
            };
            if ours.seq == theirs.seq {
                (next.up, next.down) = (ours.up.max(theirs.up), ours.down.max(theirs.down));
            }
            merged.changed |= *ours != next;
            if reused {
                merged.reused.push(Reused::Dot(Dot::new(actor, ours.seq.max(theirs.seq))));
            }
            *ours = next;
        }
        merged
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Counter {
    counted: Tallies,
    /// What resets knew: does not count any more.
    reset: Tallies,
}

impl Counter {
    fn step(&mut self, dot: Dot, up: u64, down: u64) -> Result<Self, CountError> {
        let mut tally = self.counted.0.get(&dot.actor).copied().unwrap_or_default();
        if dot.seq <= tally.seq {
            return Err(CountError::DotUsed(dot));
        }
        tally.seq = dot.seq;
        (tally.up, tally.down) = (tally.up + u128::from(up), tally.down + u128::from(down));
        if tally.up > MAX_TOTAL || tally.down > MAX_TOTAL {
            return Err(CountError::TooGreat);
        }
        self.counted.0.insert(dot.actor, tally);
        Ok(Self { counted: Tallies([(dot.actor, tally)].into()), reset: Tallies::default() })
    }

    fn reset(&mut self) -> Self {
        let delta = Self { counted: Tallies::default(), reset: self.counted.clone() };
        self.merge(&delta);
        delta
    }

    fn value(&self) -> i128 {
        let of = |(actor, counted): (&Actor, &Tally)| match self.reset.0.get(actor) {
            // A reset may know more than this state: then nothing of the actor counts yet.
            Some(reset) if reset.seq >= counted.seq => 0,
            Some(reset) => counted.net() - reset.net(),
            None => counted.net(),
        };
        self.counted.0.iter().map(of).fold(0, i128::saturating_add)
    }

    fn merge(&mut self, other: &Self) -> Merged {
        let mut merged = self.counted.merge(&other.counted);
        merged.and(self.reset.merge(&other.reset));
        merged
    }

    fn actors(&self, see: &mut dyn FnMut(Actor)) {
        self.counted.0.keys().chain(self.reset.0.keys()).for_each(|&actor| see(actor));
    }

    fn write(&self, names: &Names, out: &mut Vec<u8>) {
        for tallies in [&self.counted, &self.reset] {
            let mut placed: Vec<_> = tallies.0.iter().map(|(&actor, tally)| (names.place(actor), tally)).collect();
            placed.sort_unstable_by_key(|entry| entry.0);
            put_number(out, placed.len() as u128);
            for (place, tally) in placed {
                put_number(out, u128::from(place));
                put_number(out, u128::from(tally.seq));
                put_number(out, tally.up);
                put_number(out, tally.down);
            }
        }
    }

    fn read(input: &mut Reader<'_>, actors: &[Actor]) -> Result<Self, CodecError> {
        let mut tallies = || {
            let mut tallies = BTreeMap::new();
            for _ in 0..input.count()? {
                let actor = Names::read(input, actors)?;
                let tally = Tally { seq: input.number()?, up: input.wide()?, down: input.wide()? };
                if tally.seq == 0 || tally.up > MAX_TOTAL || tally.down > MAX_TOTAL {
                    return Err(CodecError::NotCanonical("a total without a step, or beyond all totals"));
                }
                tallies.insert(actor, tally);
            }
            Ok(Tallies(tallies))
        };
        Ok(Self { counted: tallies()?, reset: tallies()? })
    }
}

/// A counter that only grows. Shapiro et al. 2011.
///
/// ```
/// use evenkeel_core::{clock::{Actor, Dot}, crdt::{Crdt, GCounter}};
/// let (mut here, mut there) = (GCounter::default(), GCounter::default());
/// let delta = here.add(Dot::new(Actor(0), 1), 3)?;
/// there.add(Dot::new(Actor(1), 1), 4)?;
/// there.merge(&delta);
/// there.merge(&delta);
/// assert_eq!(there.value(), 7);
/// # Ok::<(), evenkeel_core::crdt::CountError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GCounter(Counter);

impl GCounter {
    /// Counts on, as the event `dot`. The steps of an actor are counted in the order of its dots. What comes back is the
    /// delta.
    ///
    /// # Errors
    /// Where the dot or a later one of its actor was counted, or the total is at its end.
    pub fn add(&mut self, dot: Dot, by: u64) -> Result<Self, CountError> {
        self.0.step(dot, by, 0).map(Self)
    }

    /// Takes away all that is known here; what others count at the same time stays. What comes back is the delta.
    pub fn reset(&mut self) -> Self {
        Self(self.0.reset())
    }

    /// The sum.
    pub fn value(&self) -> u128 {
        self.0.value().try_into().unwrap_or(0)
    }
}

/// A counter that grows and shrinks. Shapiro et al. 2011.
///
/// ```
/// use evenkeel_core::{clock::{Actor, Dot}, crdt::{Crdt, PnCounter}};
/// let (a, b) = (Actor(0), Actor(1));
/// let (mut here, mut there) = (PnCounter::default(), PnCounter::default());
/// here.add(Dot::new(a, 1), 5)?;
/// there.merge(&here);
/// let reset = there.reset();
/// here.add(Dot::new(a, 2), -2)?;
/// here.merge(&reset);
/// assert_eq!(here.value(), -2, "the reset knew the 5 and not what came at the same time");
/// # Ok::<(), evenkeel_core::crdt::CountError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PnCounter(Counter);

impl PnCounter {
    /// Counts up or down, as the event `dot`. The steps of an actor are counted in the order of its dots. What comes
    /// back is the delta.
    ///
    /// # Errors
    /// Where the dot or a later one of its actor was counted, or the total is at its end.
    pub fn add(&mut self, dot: Dot, by: i64) -> Result<Self, CountError> {
        let amount = by.unsigned_abs();
        let (up, down) = if by < 0 { (0, amount) } else { (amount, 0) };
        self.0.step(dot, up, down).map(Self)
    }

    /// Takes away all that is known here; what others count at the same time stays. What comes back is the delta.
    pub fn reset(&mut self) -> Self {
        Self(self.0.reset())
    }

    /// The sum.
    pub fn value(&self) -> i128 {
        self.0.value()
    }
}

macro_rules! merges_and_encodes {
    ($name:ident, $tag:literal) => {
        impl Crdt for $name {
            fn merge(&mut self, other: &Self) -> Merged {
                self.0.merge(&other.0)
            }
        }

        impl Encode for $name {
            const TAG: u8 = $tag;

            fn actors(&self, see: &mut dyn FnMut(Actor)) {
                self.0.actors(see);
            }

            fn write_body(&self, names: &Names, out: &mut Vec<u8>) {
                self.0.write(names, out);
            }

            fn read_body(input: &mut Reader<'_>, actors: &[Actor]) -> Result<Self, CodecError> {
                Counter::read(input, actors).map(Self)
            }
        }
    };
}
merges_and_encodes!(GCounter, 12);
merges_and_encodes!(PnCounter, 13);
