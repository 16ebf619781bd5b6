//! A counter that replicas take from apart and that is never below zero.
use super::{CountError, Crdt, Encode, Merged, Names, Reused};
use crate::{
    clock::{Actor, Dot},
    codec::{CodecError, Reader, put_number},
};
use std::{cmp::Ordering, collections::BTreeMap};

/// An amount that an actor has no right to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotEnough {
    /// It has fewer rights.
    #[error("{wanted} were wanted, and the actor may take {rights}")]
    Rights {
        /// What was wanted.
        wanted: u64,
        /// What it may take, as far as is known here.
        rights: u128,
    },
    /// The step cannot be counted.
    #[error(transparent)]
    Count(#[from] CountError),
}

/// No total goes beyond this.
const MAX_TOTAL: u128 = 1 << 95;

/// What one actor did, up to one of its dots. Only that actor writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Row {
    seq: u64,
    added: u128,
    taken: u128,
    sent: BTreeMap<Actor, u128>,
}

impl Row {
    /// Whether it holds less of something than `earlier`: totals only grow.
    fn lacks(&self, earlier: &Self) -> bool {
        let sent = |to: &Actor| self.sent.get(to).copied().unwrap_or(0);
        self.added < earlier.added
            || self.taken < earlier.taken
            || earlier.sent.iter().any(|(to, amount)| sent(to) < *amount)
    }

    /// The greater of everything: what one dot used for two things becomes.
    fn join(&mut self, other: &Self) {
        self.added = self.added.max(other.added);
        self.taken = self.taken.max(other.taken);
        for (&to, &amount) in &other.sent {
            let sent = self.sent.entry(to).or_default();
            *sent = amount.max(*sent);
        }
    }
}

/// A stock that is shared out: an actor may take what it added and what others sent it, without asking anybody. Escrow,
/// after Balegas, Serra, Duarte, Ferreira, Shapiro, Rodrigues and Preguiça, "Extending Eventually Consistent Cloud
/// Databases for Enforcing Numeric Invariants", 2015.
///
/// ```
/// use evenkeel_core::{clock::{Actor, Dot}, crdt::{BoundedCounter, Crdt}};
/// let (a, b) = (Actor(0), Actor(1));
/// let mut here = BoundedCounter::default();
/// here.add(Dot::new(a, 1), 10)?;
/// here.send(Dot::new(a, 2), b, 4)?;
/// let mut there = here.clone();
/// there.take(Dot::new(b, 1), 4)?;
/// assert!(here.take(Dot::new(a, 3), 7).is_err(), "four of the ten are another's to take");
/// here.take(Dot::new(a, 3), 6)?;
/// here.merge(&there);
/// assert_eq!(here.value(), 0);
/// # Ok::<(), evenkeel_core::crdt::NotEnough>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BoundedCounter(BTreeMap<Actor, Row>);

impl BoundedCounter {
    /// Adds to the stock, for the actor of `dot` to take. What comes back is the delta.
    ///
    /// # Errors
    /// Where the dot or a later one of its actor was counted, or the total is at its end.
    pub fn add(&mut self, dot: Dot, amount: u64) -> Result<Self, CountError> {
        self.step(dot, |row| &mut row.added, amount)
    }

    /// Takes from the stock. What comes back is the delta.
    ///
    /// # Errors
    /// Where the actor has not the right to so much, and as [`BoundedCounter::add`].
    pub fn take(&mut self, dot: Dot, amount: u64) -> Result<Self, NotEnough> {
        self.check(dot.actor, amount)?;
        Ok(self.step(dot, |row| &mut row.taken, amount)?)
    }

    /// Gives the right to take so much to another actor. What comes back is the delta.
    ///
    /// # Errors
    /// As [`BoundedCounter::take`].
    pub fn send(&mut self, dot: Dot, to: Actor, amount: u64) -> Result<Self, NotEnough> {
        self.check(dot.actor, amount)?;
        Ok(self.step(dot, |row| row.sent.entry(to).or_default(), amount)?)
    }

    fn check(&self, actor: Actor, wanted: u64) -> Result<(), NotEnough> {
        let rights = self.rights(actor);
        if u128::from(wanted) > rights { Err(NotEnough::Rights { wanted, rights }) } else { Ok(()) }
    }

    fn step(&mut self, dot: Dot, part: impl FnOnce(&mut Row) -> &mut u128, by: u64) -> Result<Self, CountError> {
        let mut row = self.0.get(&dot.actor).cloned().unwrap_or_default();
        if dot.seq <= row.seq {
            return Err(CountError::DotUsed(dot));
        }
        row.seq = dot.seq;
        let total = part(&mut row);
        *total += u128::from(by);
        if *total > MAX_TOTAL {
            return Err(CountError::TooGreat);
        }
        row.sent.retain(|_, amount| *amount > 0);
        self.0.insert(dot.actor, row.clone());
        Ok(Self([(dot.actor, row)].into()))
    }

    /// How much `actor` may take, as far as is known here: never more than it really may, if `actor` is the one who asks.
    pub fn rights(&self, actor: Actor) -> u128 {
        let received: u128 = self.0.values().filter_map(|row| row.sent.get(&actor)).sum();
        let own = self.0.get(&actor);
        let spent = own.map_or(0, |row| row.taken + row.sent.values().sum::<u128>());
        (received + own.map_or(0, |row| row.added)).saturating_sub(spent)
    }

    /// What is left of the stock.
    pub fn value(&self) -> u128 {
        let sum = |part: fn(&Row) -> u128| self.0.values().map(part).sum::<u128>();
        sum(|row| row.added).saturating_sub(sum(|row| row.taken))
    }
}

impl Crdt for BoundedCounter {
    fn merge(&mut self, other: &Self) -> Merged {
        let mut merged = Merged::default();
        for (&actor, theirs) in &other.0 {
            let ours = self.0.entry(actor).or_default();
            let order = ours.seq.cmp(&theirs.seq);
            let reused = match order {
                Ordering::Less => theirs.lacks(ours),
                Ordering::Greater => ours.lacks(theirs),
                Ordering::Equal => ours != theirs,
            };
            if reused {
                merged.reused.push(Reused::Dot(Dot::new(actor, ours.seq.max(theirs.seq))));
            }
            match order {
                Ordering::Greater => {}
                Ordering::Less => {
                    *ours = theirs.clone();
                    merged.changed = true;
                }
                Ordering::Equal if ours == theirs => {}
                Ordering::Equal => {
                    let before = ours.clone();
                    ours.join(theirs);
                    merged.changed |= before != *ours;
                }
            }
        }
        merged
    }
}

impl Encode for BoundedCounter {
    const TAG: u8 = 18;

    fn actors(&self, see: &mut dyn FnMut(Actor)) {
        for (&actor, row) in &self.0 {
            see(actor);
            row.sent.keys().for_each(|&to| see(to));
        }
    }

    fn write_body(&self, names: &Names, out: &mut Vec<u8>) {
        let mut rows: Vec<_> = self.0.iter().map(|(&actor, row)| (names.place(actor), row)).collect();
        rows.sort_unstable_by_key(|entry| entry.0);
        put_number(out, rows.len() as u128);
        for (place, row) in rows {
            put_number(out, u128::from(place));
            put_number(out, u128::from(row.seq));
            put_number(out, row.added);
            put_number(out, row.taken);
            let mut sent: Vec<_> = row.sent.iter().map(|(&to, &amount)| (names.place(to), amount)).collect();
            sent.sort_unstable();
            put_number(out, sent.len() as u128);
            for (place, amount) in sent {
                put_number(out, u128::from(place));
                put_number(out, amount);
            }
        }
    }

    fn read_body(input: &mut Reader<'_>, actors: &[Actor]) -> Result<Self, CodecError> {
        let total = |input: &mut Reader<'_>| {
            let total = input.wide()?;
            if total > MAX_TOTAL { Err(CodecError::NotCanonical("a total beyond all totals")) } else { Ok(total) }
        };
        let mut rows = BTreeMap::new();
        for _ in 0..input.count()? {
            let actor = Names::read(input, actors)?;
            let (seq, added, taken) = (input.number()?, total(input)?, total(input)?);
            let mut sent = BTreeMap::new();
            for _ in 0..input.count()? {
                let (to, amount) = (Names::read(input, actors)?, total(input)?);
                if amount == 0 {
                    return Err(CodecError::NotCanonical("nothing sent"));
                }
                sent.insert(to, amount);
            }
            if seq == 0 {
                return Err(CodecError::NotCanonical("a total without a step"));
            }
            rows.insert(actor, Row { seq, added, taken, sent });
        }
        Ok(Self(rows))
    }
}
