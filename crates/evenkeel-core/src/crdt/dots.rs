//! What sets and registers of several values are made of: values under the dots that wrote them, and a causal context.
//!
//! A value is there as long as nobody who had seen its dot has left it out. So removing leaves nothing behind but the
//! dot's place in the context, and merging a delta costs what is in the delta.
use super::{Merged, Reused, context::Context, named::Names};
use crate::{
    clock::{Actor, Dot},
    codec::{CodecError, Reader, Value, put_number},
};
use std::collections::BTreeMap;

/// A value of those that one event wrote: the event's dot, and which of them it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag {
    pub(super) dot: Dot,
    pub(super) index: u32,
}

/// What merging did to a value.
pub(super) enum Change<'v, V> {
    Added(Tag, &'v V),
    Removed(Tag, V),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dots<V> {
    pub(super) entries: BTreeMap<Tag, V>,
    pub(super) context: Context,
}

impl<V> Default for Dots<V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), context: Context::default() }
    }
}

/// All tags of the dots of one actor from `first` to `last`.
fn span(actor: Actor, first: u64, last: u64) -> std::ops::RangeInclusive<Tag> {
    Tag { dot: Dot::new(actor, first), index: 0 }..=Tag { dot: Dot::new(actor, last), index: u32::MAX }
}

impl<V: Value> Dots<V> {
    /// The values of one event.
    pub(super) fn of(dot: Dot, values: impl IntoIterator<Item = V>) -> Self {
        let mut dots = Self::default();
        // Dots begin with 1: an event without one writes nothing.
        if !dots.context.insert(dot) {
            return dots;
        }
        dots.entries = (0..).map(|index| Tag { dot, index }).zip(values).collect();
        dots
    }

    /// Says that the value of `tag` is gone, which is a statement about all of its dot: what else that wrote and is
    /// here stays.
    pub(super) fn leave_out(&self, tag: Tag, delta: &mut Self) {
        if delta.context.insert(tag.dot) {
            for (&other, value) in self.entries.range(span(tag.dot.actor, tag.dot.seq, tag.dot.seq)) {
                delta.entries.insert(other, value.clone());
            }
        }
        delta.entries.remove(&tag);
    }

    /// Takes over what `other` knows, telling `on` each value that comes or goes.
    pub(super) fn merge(&mut self, other: &Self, mut on: impl FnMut(Change<'_, V>)) -> Merged {
        let mut merged = Merged::default();
        let mut gone: Vec<Tag> = Vec::new();
        let mut look = |entries: &BTreeMap<Tag, V>, actor, first, last| {
            let covered = entries.range(span(actor, first, last)).map(|(&tag, _)| tag);
            gone.extend(covered.filter(|tag| !other.entries.contains_key(tag)));
        };
        // Only what the other has seen is looked at, so a small delta costs little in a large state.
        for (actor, seq) in other.context.clock().iter() {
            look(&self.entries, actor, 1, seq);
        }
        for dot in other.context.cloud() {
            look(&self.entries, dot.actor, dot.seq, dot.seq);
        }
        for tag in gone {
            if let Some(value) = self.entries.remove(&tag) {
                merged.changed = true;
                on(Change::Removed(tag, value));
            }
        }
        for (&tag, value) in &other.entries {
            match self.entries.get_mut(&tag) {
                Some(ours) if ours == value => {}
                Some(ours) => {
                    merged.reused.push(Reused::Dot(tag.dot));
                    // The greater bytes, on every side alike.
                    if value.to_bytes() > ours.to_bytes() {
                        merged.changed = true;
                        on(Change::Removed(tag, std::mem::replace(ours, value.clone())));
                        on(Change::Added(tag, value));
                    }
                }
                // Seen, and left out since.
                None if self.context.contains(tag.dot) => {}
                None => {
                    merged.changed = true;
                    self.entries.insert(tag, value.clone());
                    on(Change::Added(tag, value));
                }
            }
        }
        merged.changed |= self.context.merge(&other.context);
        merged
    }

    pub(super) fn actors(&self, see: &mut dyn FnMut(Actor)) {
        // The dot of every value is in the context.
        self.context.actors(see);
    }

    pub(super) fn write(&self, names: &Names, out: &mut Vec<u8>) {
        self.context.write(names, out);
        let place = |tag: &Tag| (names.place(tag.dot.actor), tag.dot.seq, tag.index);
        let mut entries: Vec<_> = self.entries.iter().map(|(tag, value)| (place(tag), value)).collect();
        entries.sort_unstable_by_key(|entry| entry.0);
        put_number(out, entries.len() as u128);
        for ((place, seq, index), value) in entries {
            put_number(out, u128::from(place));
            put_number(out, u128::from(seq));
            put_number(out, u128::from(index));
            value.write(out);
        }
    }

    pub(super) fn read(input: &mut Reader<'_>, actors: &[Actor]) -> Result<Self, CodecError> {
        let context = Context::read(input, actors)?;
        let mut entries = BTreeMap::new();
        for _ in 0..input.count()? {
            let dot = Dot::new(Names::read(input, actors)?, input.number()?);
            let index =
                u32::try_from(input.number()?).map_err(|_| CodecError::NotCanonical("an index beyond 32 bits"))?;
            if dot.seq == 0 || !context.contains(dot) {
                return Err(CodecError::NotCanonical("a value whose dot was not seen"));
            }
            entries.insert(Tag { dot, index }, V::read(input)?);
        }
        Ok(Self { entries, context })
    }
}
