//! Causal contexts: which dots a state has seen, also with gaps.
//!
//! After Preguiça, Baquero, Almeida, Fonte and Gonçalves, "Dotted Version Vectors", 2010/2012, and Almeida, Shoker and
//! Baquero 2018: a clock, and beside it a cloud of dots that do not join on to it yet. Canonical: a dot that joins on is
//! in the clock, so equal knowledge is an equal value and nothing grows that need not.
use super::named::Names;
use crate::{
    clock::{Actor, Dot, VectorClock},
    codec::{CodecError, Reader, put_number},
};
use std::collections::BTreeSet;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Context {
    clock: VectorClock,
    cloud: BTreeSet<Dot>,
}

impl From<VectorClock> for Context {
    fn from(clock: VectorClock) -> Self {
        Self { clock, cloud: BTreeSet::new() }
    }
}

impl Context {
    pub(super) const fn clock(&self) -> &VectorClock {
        &self.clock
    }

    pub(super) const fn cloud(&self) -> &BTreeSet<Dot> {
        &self.cloud
    }

    pub(super) fn contains(&self, dot: Dot) -> bool {
        self.clock.knows(dot) || self.cloud.contains(&dot)
    }

    /// Adds a dot; whether it was new.
    pub(super) fn insert(&mut self, dot: Dot) -> bool {
        if self.contains(dot) {
            return false;
        }
        if self.clock.get(dot.actor) + 1 == dot.seq {
            self.clock.raise(dot);
            if !self.cloud.is_empty() {
                self.join_on(dot.actor);
            }
        } else {
            self.cloud.insert(dot);
        }
        true
    }

    /// Moves what joins on to the clock out of the cloud.
    fn join_on(&mut self, actor: Actor) {
        let span = || Dot::new(actor, 0)..=Dot::new(actor, u64::MAX);
        while let Some(&first) = self.cloud.range(span()).next() {
            let known = self.clock.get(actor);
            if first.seq > known.saturating_add(1) {
                return;
            }
            self.cloud.remove(&first);
            self.clock.raise(first);
        }
    }

    /// Adds all that `other` has seen; whether something was new.
    pub(super) fn merge(&mut self, other: &Self) -> bool {
        let mut changed = false;
        if !other.clock.is_empty() && !other.clock.iter().all(|(actor, seq)| self.clock.get(actor) >= seq) {
            self.clock.merge(&other.clock);
            changed = true;
            if !self.cloud.is_empty() {
                for (actor, _) in other.clock.iter() {
                    self.join_on(actor);
                }
            }
        }
        for &dot in &other.cloud {
            changed |= self.insert(dot);
        }
        changed
    }

    pub(super) fn actors(&self, see: &mut dyn FnMut(Actor)) {
        self.clock.iter().for_each(|(actor, _)| see(actor));
        self.cloud.iter().for_each(|dot| see(dot.actor));
    }

    pub(super) fn write(&self, names: &Names, out: &mut Vec<u8>) {
        let mut write = |entries: &mut Vec<(u32, u64)>| {
            entries.sort_unstable();
            put_number(out, entries.len() as u128);
            for &(place, seq) in entries.iter() {
                put_number(out, u128::from(place));
                put_number(out, u128::from(seq));
            }
        };
        write(&mut self.clock.iter().map(|(actor, seq)| (names.place(actor), seq)).collect());
        write(&mut self.cloud.iter().map(|dot| (names.place(dot.actor), dot.seq)).collect());
    }

    pub(super) fn read(input: &mut Reader<'_>, actors: &[Actor]) -> Result<Self, CodecError> {
        let mut entries = Vec::new();
        for _ in 0..input.count()? {
            entries.push((Names::read(input, actors)?, input.number()?));
        }
        let clock = VectorClock::new(entries).map_err(|_| CodecError::NotCanonical("an actor named twice"))?;
        let mut context = Self::from(clock);
        for _ in 0..input.count()? {
            context.insert(Dot::new(Names::read(input, actors)?, input.number()?));
        }
        Ok(context)
    }
}
