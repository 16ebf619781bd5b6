//! Who is to be offered again when an event comes: the memory of what the buffer handed back.
//!
//! What expired or did not fit is kept elsewhere, whole. Here stands only by which event each waits to be recalled, so
//! that it is admitted of itself when that event comes, without anybody looking through what is kept. Can be built anew
//! from what is kept.
use crate::clock::{Actor, Dot};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// Entries by the event that recalls them.
///
/// ```
/// use evenkeel_core::{causal::Recall, clock::{Actor, Dot}};
/// let mut recall = Recall::default();
/// recall.wait_for(Dot::new(Actor(0), 7), "q-1");
/// recall.wait_for(Dot::new(Actor(0), 9), "q-2");
/// assert_eq!(recall.passed(Actor(0), 7), ["q-1"]);
/// assert_eq!(recall.len(), 1);
/// ```
#[derive(Debug, Clone)]
pub struct Recall<I> {
    entries: BTreeMap<Dot, SmallVec<[I; 1]>>,
    len: usize,
}

impl<I> Default for Recall<I> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), len: 0 }
    }
}

impl<I: PartialEq> Recall<I> {
    /// The entry is to be offered again once `dot` was passed. One dot of those it waits for is enough: offered again,
    /// it says what it waits for still.
    pub fn wait_for(&mut self, dot: Dot, entry: I) {
        let entries = self.entries.entry(dot).or_default();
        if !entries.contains(&entry) {
            entries.push(entry);
            self.len += 1;
        }
    }

    /// The entry waits no more, for instance because somebody discarded it.
    pub fn forget(&mut self, dot: Dot, entry: &I) {
        if let Some(entries) = self.entries.get_mut(&dot) {
            let before = entries.len();
            entries.retain(|waits| waits != entry);
            self.len -= before - entries.len();
            if entries.is_empty() {
                self.entries.remove(&dot);
            }
        }
    }

    /// Everything of this actor up to `seq` was passed: the entries to offer again, in the order of what they waited
    /// for.
    pub fn passed(&mut self, actor: Actor, seq: u64) -> Vec<I> {
        let mut recalled = Vec::new();
        let span = Dot::new(actor, 0)..=Dot::new(actor, seq);
        while let Some((&dot, _)) = self.entries.range(span.clone()).next() {
            recalled.extend(self.entries.remove(&dot).unwrap_or_default());
        }
        self.len -= recalled.len();
        recalled
    }

    /// How many entries wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_recalled_once_and_only_by_its_own() {
        let (a, b) = (Actor(0), Actor(1));
        let mut recall = Recall::default();
        for (dot, entry) in [(Dot::new(a, 5), 1), (Dot::new(a, 5), 2), (Dot::new(a, 5), 1), (Dot::new(a, 3), 3)] {
            recall.wait_for(dot, entry);
        }
        recall.wait_for(Dot::new(b, 1), 4);
        recall.wait_for(Dot::new(a, 6), 5);
        recall.forget(Dot::new(a, 6), &7);
        assert_eq!(recall.len(), 5);
        assert_eq!(recall.passed(a, 2), [0; 0]);
        assert_eq!(recall.passed(a, 5), [3, 1, 2]);
        assert_eq!(recall.passed(a, 5), [0; 0]);
        recall.forget(Dot::new(a, 6), &5);
        assert_eq!((recall.len(), recall.passed(b, u64::MAX)), (1, vec![4]));
        assert!(recall.is_empty());
    }
}
