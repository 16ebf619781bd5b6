//! Registers that keep the greatest or the least value.
use super::{Crdt, Encode, Merged, Names, Reused};
use crate::{
    clock::Actor,
    codec::{CodecError, Reader, Value},
    order::Stamp,
};
use std::cmp::Ordering;

/// The greatest value ever put in.
pub type Max<V> = Extreme<V, true>;

/// The least value ever put in.
pub type Min<V> = Extreme<V, false>;

/// The most extreme value ever put in, and who said so: [`Max`] or [`Min`]. A semilattice in itself (Shapiro et al. 2011).
///
/// ```
/// use evenkeel_core::{Incarnation, clock::Hlc, crdt::{Crdt, Max}, order::{Stamp, WriteKind}};
/// let stamp = |replica: &str| Stamp {
///     hlc: Hlc::new(5, 0),
///     replica: replica.into(),
///     incarnation: Incarnation(1),
///     kind: WriteKind::Set,
/// };
/// let (mut here, mut there) = (Max::default(), Max::default());
/// here.put(stamp("a"), 7i64);
/// there.put(stamp("b"), 3);
/// there.merge(&here);
/// assert_eq!(there.value(), Some(&7));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extreme<V, const GREATEST: bool>(Option<(V, Stamp)>);

impl<V, const GREATEST: bool> Default for Extreme<V, GREATEST> {
    fn default() -> Self {
        Self(None)
    }
}

impl<V: Value + Ord, const GREATEST: bool> Extreme<V, GREATEST> {
    /// Puts a value in. What comes back is the delta, whether or not the value prevailed here.
    pub fn put(&mut self, stamp: Stamp, value: V) -> Self {
        let delta = Self(Some((value, stamp)));
        self.merge(&delta);
        delta
    }

    /// The extreme, if anything was put in.
    pub fn value(&self) -> Option<&V> {
        self.0.as_ref().map(|(value, _)| value)
    }

    /// The stamp of who said so.
    pub fn stamp(&self) -> Option<&Stamp> {
        self.0.as_ref().map(|(_, stamp)| stamp)
    }
}

impl<V: Value + Ord, const GREATEST: bool> Crdt for Extreme<V, GREATEST> {
    fn merge(&mut self, other: &Self) -> Merged {
        let Some((value, stamp)) = &other.0 else { return Merged::default() };
        let mut merged = Merged::default();
        let further = match &self.0 {
            None => Ordering::Greater,
            Some((ours, our_stamp)) => {
                if stamp == our_stamp && value != ours {
                    merged.reused.push(Reused::Stamp(Box::new(stamp.clone())));
                }
                let by_value = if GREATEST { value.cmp(ours) } else { ours.cmp(value) };
                // Who said the same is told by the total order, not by who came first.
                by_value.then_with(|| stamp.cmp(our_stamp)).then_with(|| value.to_bytes().cmp(&ours.to_bytes()))
            }
        };
        if further.is_gt() {
            self.0 = Some((value.clone(), stamp.clone()));
            merged.changed = true;
        }
        merged
    }
}

impl<V: Value + Ord, const GREATEST: bool> Encode for Extreme<V, GREATEST> {
    const TAG: u8 = if GREATEST { 15 } else { 16 };

    fn actors(&self, _: &mut dyn FnMut(Actor)) {}

    fn write_body(&self, _: &Names, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    fn read_body(input: &mut Reader<'_>, _: &[Actor]) -> Result<Self, CodecError> {
        Option::read(input).map(Self)
    }
}
