//! A register of whole versions, for values too complex to merge.
use super::{Crdt, Encode, Merged, Names, dots::Dots};
use crate::{
    clock::{Actor, Dot},
    codec::{CodecError, Reader, Value},
    order::Stamp,
};

/// A version: the mark to name it by, where it stands in the total order, and the whole value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version<'v, V> {
    /// What a write that builds on it names.
    pub dot: Dot,
    /// Where it stands in the total order.
    pub stamp: &'v Stamp,
    /// The value.
    pub value: &'v V,
}

/// Versions of a value that is written whole. Each write names the version it is based on and takes its place; of
/// versions that do not build on each other the total order picks one, and the others are there, whole, until they have
/// been recorded and are settled. That a write names what it has read, and is found to clash where that does not stand any
/// more, is after Kung and Robinson, "On Optimistic Methods for Concurrency Control", 1981.
///
/// ```
/// use evenkeel_core::{Incarnation, clock::{Actor, Dot, Hlc}, crdt::{Crdt, Versioned}, order::{Stamp, WriteKind}};
/// let (a, b) = (Actor(0), Actor(1));
/// let stamp = |millis| Stamp {
///     hlc: Hlc::new(millis, 0),
///     replica: "a".into(),
///     incarnation: Incarnation(1),
///     kind: WriteKind::Set,
/// };
/// let mut here = Versioned::default();
/// here.write(Dot::new(a, 1), stamp(1), None, "draft".to_owned());
/// let mut there = here.clone();
/// here.write(Dot::new(a, 2), stamp(2), Some(Dot::new(a, 1)), "by a".to_owned());
/// there.write(Dot::new(b, 1), stamp(3), Some(Dot::new(a, 1)), "by b".to_owned());
/// here.merge(&there);
/// assert_eq!(here.current().map(|version| version.value.as_str()), Some("by b"));
/// assert_eq!(here.losers().iter().map(|loser| loser.value.as_str()).collect::<Vec<_>>(), ["by a"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<V>(Dots<(Stamp, V)>);

impl<V> Default for Versioned<V> {
    fn default() -> Self {
        Self(Dots::default())
    }
}

impl<V: Value> Versioned<V> {
    /// Writes a version based on another, or on none. What comes back is the delta.
    pub fn write(&mut self, dot: Dot, stamp: Stamp, based_on: Option<Dot>, value: V) -> Self {
        let delta = Self::writing(dot, stamp, based_on, value);
        self.merge(&delta);
        delta
    }

    /// The delta of such a write, wherever it was made.
    pub fn writing(dot: Dot, stamp: Stamp, based_on: Option<Dot>, value: V) -> Self {
        let mut delta = Dots::of(dot, [(stamp, value)]);
        if let Some(base) = based_on {
            delta.context.insert(base);
        }
        Self(delta)
    }

    /// All versions that nobody built on, in the total order, the last of them first.
    fn leaves(&self) -> Vec<Version<'_, V>> {
        let entries = self.0.entries.iter();
        let mut leaves: Vec<_> = entries.map(|(tag, (stamp, value))| Version { dot: tag.dot, stamp, value }).collect();
        let bytes = |version: &Version<'_, V>| version.value.to_bytes();
        leaves.sort_by(|a, b| b.stamp.cmp(a.stamp).then_with(|| bytes(b).cmp(&bytes(a))));
        leaves
    }

    /// The version that stands: of those that nobody built on, the last by the total order.
    pub fn current(&self) -> Option<Version<'_, V>> {
        self.leaves().into_iter().next()
    }

    /// The versions that lost against it, later ones first.
    pub fn losers(&self) -> Vec<Version<'_, V>> {
        self.leaves().split_off(self.0.entries.len().min(1))
    }

    /// Lets go of a version that lost, once it is kept elsewhere. What comes back is the delta; nothing happens to the
    /// version that stands.
    pub fn settle(&mut self, loser: Dot) -> Self {
        let mut delta = Dots::default();
        if self.losers().iter().any(|version| version.dot == loser) {
            delta.context.insert(loser);
        }
        let delta = Self(delta);
        self.merge(&delta);
        delta
    }
}

impl<V: Value> Crdt for Versioned<V> {
    fn merge(&mut self, other: &Self) -> Merged {
        self.0.merge(&other.0, |_| ())
    }
}

impl<V: Value> Encode for Versioned<V> {
    const TAG: u8 = 19;

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
