//! A register that keeps the last write of the total order.
use super::{Crdt, Encode, Merged, Names, Reused};
use crate::{
    clock::Actor,
    codec::{CodecError, Reader, Value},
    order::Stamp,
};

/// The last write by the order of [`crate::order`]: stamp, then canonical bytes. Shapiro et al. 2011.
///
/// A tie is never broken in favour of the local value: two writes at one stamp are ordered by their bytes, on every
/// replica alike.
///
/// ```
/// use evenkeel_core::{Incarnation, clock::Hlc, crdt::{Crdt, Lww}, order::{Stamp, WriteKind}};
/// let stamp = |millis, replica: &str| Stamp {
///     hlc: Hlc::new(millis, 0),
///     replica: replica.into(),
///     incarnation: Incarnation(1),
///     kind: WriteKind::Set,
/// };
/// let (mut here, mut there) = (Lww::default(), Lww::default());
/// let delta = here.write(stamp(5, "a"), "paid".to_owned());
/// there.write(stamp(5, "b"), "shipped".to_owned());
/// there.merge(&delta);
/// here.merge(&there);
/// assert_eq!((here.value(), there.value()), (Some(&"shipped".to_owned()), Some(&"shipped".to_owned())));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lww<V>(Option<(Stamp, V)>);

impl<V> Default for Lww<V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<V: Value> Lww<V> {
    /// Writes. What comes back is the delta, whether or not the write prevailed here.
    pub fn write(&mut self, stamp: Stamp, value: V) -> Self {
        let delta = Self(Some((stamp, value)));
        self.merge(&delta);
        delta
    }

    /// The value, if anything was written.
    pub fn value(&self) -> Option<&V> {
        self.0.as_ref().map(|(_, value)| value)
    }

    /// The stamp of the value.
    pub fn stamp(&self) -> Option<&Stamp> {
        self.0.as_ref().map(|(stamp, _)| stamp)
    }
}

impl<V: Value> Crdt for Lww<V> {
    fn merge(&mut self, other: &Self) -> Merged {
        let Some((stamp, value)) = &other.0 else { return Merged::default() };
        let Some((our_stamp, ours)) = &self.0 else {
            self.0 = Some((stamp.clone(), value.clone()));
            return Merged { changed: true, reused: Vec::new() };
        };
        let same = stamp == our_stamp;
        let reused = same && value != ours;
        let later = if same { reused && value.to_bytes() > ours.to_bytes() } else { stamp > our_stamp };
        let reused = if reused { vec![Reused::Stamp(Box::new(stamp.clone()))] } else { Vec::new() };
        if later {
            self.0 = Some((stamp.clone(), value.clone()));
        }
        Merged { changed: later, reused }
    }
}

impl<V: Value> Encode for Lww<V> {
    const TAG: u8 = 10;

    fn actors(&self, _: &mut dyn FnMut(Actor)) {}

    fn write_body(&self, _: &Names, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    fn read_body(input: &mut Reader<'_>, _: &[Actor]) -> Result<Self, CodecError> {
        Option::read(input).map(Self)
    }
}
