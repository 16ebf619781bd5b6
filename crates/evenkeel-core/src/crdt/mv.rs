//! A register that keeps every write that no other knew.
use super::{Crdt, Encode, Merged, Names, dots::Dots};
use crate::{
    clock::{Actor, Dot, VectorClock},
    codec::{CodecError, Reader, Value},
};

/// Siblings: the writes that none of the others knew. They stay until somebody writes who knows them. Shapiro et al.
/// 2011, with the causality of Preguiça et al. 2010.
///
/// ```
/// use evenkeel_core::{clock::{Actor, Dot}, crdt::{Crdt, Mv}};
/// let (a, b) = (Actor(0), Actor(1));
/// let (mut here, mut there) = (Mv::default(), Mv::default());
/// here.write(Dot::new(a, 1), "red".to_owned());
/// there.write(Dot::new(b, 1), "blue".to_owned());
/// here.merge(&there);
/// assert_eq!(here.values(), ["red", "blue"].map(String::from).iter().collect::<std::collections::BTreeSet<_>>());
/// here.write(Dot::new(a, 2), "purple".to_owned());
/// there.merge(&here);
/// assert_eq!(there.values().len(), 1, "it knew both");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mv<V>(Dots<V>);

impl<V> Default for Mv<V> {
    fn default() -> Self {
        Self(Dots::default())
    }
}

impl<V: Value> Mv<V> {
    /// Writes over all that is here. What comes back is the delta.
    pub fn write(&mut self, dot: Dot, value: V) -> Self {
        let mut delta = Dots::of(dot, [value]);
        for tag in self.0.entries.keys() {
            delta.context.insert(tag.dot);
        }
        self.applied(delta)
    }

    /// The delta of a write that knew `clock`, wherever it was made: it replaces what it knew.
    pub fn knowing(dot: Dot, clock: &VectorClock, value: V) -> Self {
        let mut delta = Dots::of(dot, [value]);
        delta.context.merge(&clock.clone().into());
        Self(delta)
    }

    fn applied(&mut self, delta: Dots<V>) -> Self {
        let delta = Self(delta);
        self.merge(&delta);
        delta
    }

    /// The siblings with their dots, in no order that replicas would agree on.
    pub fn siblings(&self) -> impl ExactSizeIterator<Item = (Dot, &V)> {
        self.0.entries.iter().map(|(tag, value)| (tag.dot, value))
    }

    /// The siblings' values in order, each once.
    pub fn values(&self) -> std::collections::BTreeSet<&V>
    where
        V: Ord,
    {
        self.0.entries.values().collect()
    }
}

impl<V: Value> Crdt for Mv<V> {
    fn merge(&mut self, other: &Self) -> Merged {
        self.0.merge(&other.0, |_| ())
    }
}

impl<V: Value> Encode for Mv<V> {
    const TAG: u8 = 11;

    fn actors(&self, see: &mut dyn FnMut(Actor)) {
        self.0.actors(see);
    }

    fn write_body(&self, names: &Names, out: &mut Vec<u8>) {
        self.0.write(names, out);
    }

    fn read_body(input: &mut Reader<'_>, actors: &[Actor]) -> Result<Self, CodecError> {
        Dots::read(input, actors).map(Self)
    }
}
