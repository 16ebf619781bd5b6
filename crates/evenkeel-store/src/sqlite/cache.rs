//! A bounded map of what was lately looked up. What it forgets is read again.
//!
//! Two halves: what is used goes into the young half; when that is full, the old half is forgotten and the young one
//! takes its place. So an entry in use stays, at the cost of one hash, without any list to keep.
use std::{borrow::Borrow, collections::HashMap, hash::Hash, mem};

/// A map of at most twice `half` entries.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    pub(super) fn new(half: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: half.max(1) }
    }

    /// The value of `key`, if it is remembered.
    pub(super) fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            self.put(key, value);
        }
        self.young.get_mut(key)
    }

    /// Remembers a value.
    pub(super) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten() {
        let mut cache = Cache::new(4);
        for i in 0..1000 {
            cache.put(i, i);
            assert_eq!(cache.get_mut(&0), Some(&mut 0), "after {i}");
            assert!(cache.young.len() <= 4 && cache.old.len() <= 4);
        }
        assert_eq!(cache.get_mut(&500), None);
    }

    #[test]
    fn a_value_put_again_is_the_one_found() {
        let mut cache = Cache::new(1);
        cache.put("a", 1);
        cache.put("b", 2);
        cache.put("a", 3);
        assert_eq!(cache.get_mut("a"), Some(&mut 3));
        cache.put("c", 4);
        assert_eq!(cache.get_mut("a"), Some(&mut 3));
    }
}
