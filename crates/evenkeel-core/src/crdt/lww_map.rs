//! A map whose every key has a last write.
use super::{Crdt, Encode, Lww, Merged, Names};
use crate::{
    clock::{Actor, Hlc},
    codec::{CodecError, Reader, Value, put_number},
    order::{Stamp, WriteKind},
};
use std::collections::BTreeMap;

/// A map of [`Lww`] registers. A removal is a write too, and its stamp stays as a tombstone until
/// [`LwwMap::forget_removed`] is told that nothing older can come. After Johnson and Thomas, "The Maintenance of Duplicate
/// Databases", RFC 677, 1975, with stamps of the total order in place of the clocks there.
///
/// ```
/// use evenkeel_core::{Incarnation, clock::Hlc, crdt::{Crdt, LwwMap}, order::{Stamp, WriteKind}};
/// let stamp = |millis| Stamp {
///     hlc: Hlc::new(millis, 0),
///     replica: "a".into(),
///     incarnation: Incarnation(1),
///     kind: WriteKind::Set,
/// };
/// let mut map = LwwMap::default();
/// let removal = map.remove(stamp(7), "colour".to_owned());
/// let mut late = LwwMap::default();
/// late.put(stamp(6), "colour".to_owned(), 1i64);
/// late.merge(&removal);
/// assert_eq!(late.get(&"colour".to_owned()), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LwwMap<K: Ord, V>(BTreeMap<K, Lww<Option<V>>>);

impl<K: Ord, V> Default for LwwMap<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Value + Ord, V: Value> LwwMap<K, V> {
    /// Writes a key. What comes back is the delta. The stamp's kind is that of a write.
    pub fn put(&mut self, stamp: Stamp, key: K, value: V) -> Self {
        self.write_key(Stamp { kind: WriteKind::Set, ..stamp }, key, Some(value))
    }

    /// Removes a key, whether or not it is there. What comes back is the delta. The stamp's kind is that of a deletion.
    pub fn remove(&mut self, stamp: Stamp, key: K) -> Self {
        self.write_key(Stamp { kind: WriteKind::Delete, ..stamp }, key, None)
    }

    fn write_key(&mut self, stamp: Stamp, key: K, value: Option<V>) -> Self {
        let register = self.0.entry(key.clone()).or_default();
        Self([(key, register.write(stamp, value))].into())
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)?.value()?.as_ref()
    }

    /// The keys with their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().filter_map(|(key, register)| Some((key, register.value()?.as_ref()?)))
    }

    /// How many keys were removed and are remembered.
    pub fn tombstones(&self) -> usize {
        self.0.values().filter(|register| matches!(register.value(), Some(None))).count()
    }

    /// Forgets removals stamped before `stable`. Safe only where every write that is stamped before `stable` was merged
    /// here and everywhere: an older write that came after would bring the key back.
    pub fn forget_removed(&mut self, stable: Hlc) {
        self.0.retain(|_, register| {
            let removed = matches!(register.value(), Some(None));
            !removed || register.stamp().is_none_or(|stamp| stamp.hlc >= stable)
        });
    }
}

impl<K: Value + Ord, V: Value> Crdt for LwwMap<K, V> {
    fn merge(&mut self, other: &Self) -> Merged {
        let mut merged = Merged::default();
        for (key, theirs) in &other.0 {
            match self.0.get_mut(key) {
                Some(ours) => merged.and(ours.merge(theirs)),
                None => {
                    self.0.insert(key.clone(), theirs.clone());
                    merged.changed = true;
                }
            }
        }
        merged
    }
}

impl<K: Value + Ord, V: Value> Encode for LwwMap<K, V> {
    const TAG: u8 = 17;

    fn actors(&self, _: &mut dyn FnMut(Actor)) {}

    fn write_body(&self, names: &Names, out: &mut Vec<u8>) {
        put_number(out, self.0.len() as u128);
        for (key, register) in &self.0 {
            key.write(out);
            Encode::write_body(register, names, out);
        }
    }

    fn read_body(input: &mut Reader<'_>, actors: &[Actor]) -> Result<Self, CodecError> {
        let mut map = BTreeMap::new();
        for _ in 0..input.count()? {
            let key = K::read(input)?;
            map.insert(key, Encode::read_body(input, actors)?);
        }
        Ok(Self(map))
    }
}
