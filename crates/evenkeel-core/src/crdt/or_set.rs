//! A set in which an addition wins over a removal that did not know it.
use super::{
    Crdt, Encode, Merged, Names,
    dots::{Change, Dots, Tag},
};
use crate::{
    clock::{Actor, Dot, VectorClock},
    codec::{CodecError, Reader, Value},
};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// A set of elements, each with the dots that added it: a removal takes away the dots it knew. Shapiro et al. 2011
/// (observed-remove set); without tombstones, after Almeida et al. 2018.
///
/// ```
/// use evenkeel_core::{clock::{Actor, Dot}, crdt::{Crdt, OrSet}};
/// let (a, b) = (Actor(0), Actor(1));
/// let mut here = OrSet::default();
/// here.add(Dot::new(a, 1), ["blue", "red"].map(String::from))?;
/// let mut there = here.clone();
/// let removal = here.remove(&"red".to_owned());
/// there.add(Dot::new(b, 1), ["red".to_owned()])?;
/// there.merge(&removal);
/// assert!(there.contains(&"red".to_owned()), "added at the same time");
/// here.merge(&there);
/// assert_eq!(here.iter().collect::<Vec<_>>(), ["blue", "red"]);
/// # Ok::<(), evenkeel_core::crdt::DotUsed>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrSet<V: Ord> {
    dots: Dots<V>,
    /// The same by element.
    elements: BTreeMap<V, SmallVec<[Tag; 1]>>,
}

impl<V: Ord> Default for OrSet<V> {
    fn default() -> Self {
        Self { dots: Dots::default(), elements: BTreeMap::new() }
    }
}

impl<V: Value + Ord> OrSet<V> {
    fn of(dots: Dots<V>) -> Self {
        let mut set = Self { dots: Dots::default(), elements: BTreeMap::new() };
        for (&tag, value) in &dots.entries {
            set.elements.entry(value.clone()).or_default().push(tag);
        }
        set.dots = dots;
        set
    }

    /// The delta of an event that adds `values`, wherever it was made.
    pub fn adding(dot: Dot, values: impl IntoIterator<Item = V>) -> Self {
        Self::of(Dots::of(dot, values))
    }

    /// Adds elements, all by one event. What comes back is the delta.
    ///
    /// # Errors
    /// Where the dot was used before. Nothing is changed.
    pub fn add(&mut self, dot: Dot, values: impl IntoIterator<Item = V>) -> Result<Self, super::DotUsed> {
        if self.dots.context.contains(dot) {
            return Err(super::DotUsed(dot));
        }
        let mut delta = Dots::of(dot, values);
        let added: Vec<V> = delta.entries.values().cloned().collect();
        // What added the same before is replaced, so that an element added again and again does not gather dots.
        for tag in added.iter().filter_map(|value| self.elements.get(value)).flatten() {
            self.dots.leave_out(*tag, &mut delta);
        }
        Ok(self.applied(delta))
    }

    /// Removes an element as far as it is known here. What comes back is the delta.
    pub fn remove(&mut self, value: &V) -> Self {
        self.remove_where(value, |_| true)
    }

    /// Removes an element as far as `clock` knew it: what an event that removes it does, wherever it is applied.
    pub fn remove_known(&mut self, value: &V, clock: &VectorClock) -> Self {
        self.remove_where(value, |dot| clock.knows(dot))
    }

    fn remove_where(&mut self, value: &V, known: impl Fn(Dot) -> bool) -> Self {
        let mut delta = Dots::default();
        for tag in self.elements.get(value).into_iter().flatten().filter(|tag| known(tag.dot)) {
            self.dots.leave_out(*tag, &mut delta);
        }
        self.applied(delta)
    }

    fn applied(&mut self, delta: Dots<V>) -> Self {
        let delta = Self::of(delta);
        self.merge(&delta);
        delta
    }

    /// Whether the element is in the set.
    pub fn contains(&self, value: &V) -> bool {
        self.elements.contains_key(value)
    }

    /// The elements, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &V> {
        self.elements.keys()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }
}

impl<V: Value + Ord> Crdt for OrSet<V> {
    fn merge(&mut self, other: &Self) -> Merged {
        let elements = &mut self.elements;
        self.dots.merge(&other.dots, |change| match change {
            Change::Added(tag, value) => {
                let tags = match elements.get_mut(value) {
                    Some(tags) => tags,
                    None => elements.entry(value.clone()).or_default(),
                };
                // In order, so that equal sets are equal values.
                tags.insert(tags.partition_point(|known| *known < tag), tag);
            }
            Change::Removed(tag, value) => {
                if let Some(tags) = elements.get_mut(&value) {
                    tags.retain(|known| *known != tag);
                    if tags.is_empty() {
                        elements.remove(&value);
                    }
                }
            }
        })
    }
}

impl<V: Value + Ord> Encode for OrSet<V> {
    const TAG: u8 = 14;

    fn actors(&self, see: &mut dyn FnMut(Actor)) {
        self.dots.actors(see);
    }

    fn write_body(&self, names: &Names, out: &mut Vec<u8>) {
        self.dots.write(names, out);
    }

    fn read_body(input: &mut Reader<'_>, actors: &[Actor]) -> Result<Self, CodecError> {
        Dots::read(input, actors).map(Self::of)
    }
}
