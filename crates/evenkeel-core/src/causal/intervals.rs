//! Sets of numbers as intervals: the holes of a source's counters, few and possibly long.
use std::collections::BTreeMap;

/// Disjoint intervals that do not touch, by their first number, each with its last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Intervals(BTreeMap<u64, u64>);

impl Intervals {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many intervals there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (u64, u64)> {
        self.0.iter().map(|(&first, &last)| (first, last))
    }

    /// The interval that `number` is in.
    fn around(&self, number: u64) -> Option<(u64, u64)> {
        let (&first, &last) = self.0.range(..=number).next_back()?;
        (number <= last).then_some((first, last))
    }

    /// The last number of the interval that `number` is in.
    pub(super) fn end_of(&self, number: u64) -> Option<u64> {
        self.around(number).map(|(_, last)| last)
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.around(number).is_some()
    }

    pub(super) fn greatest(&self) -> Option<u64> {
        self.0.last_key_value().map(|(_, &last)| last)
    }

    /// Adds all numbers from `first` to `last`.
    pub(super) fn insert(&mut self, mut first: u64, mut last: u64) {
        if first > last {
            return;
        }
        // Whatever overlaps or touches becomes one with it.
        while let Some((&f, &l)) = self.0.range(..=last.saturating_add(1)).next_back() {
            if l.saturating_add(1) < first {
                break;
            }
            self.0.remove(&f);
            (first, last) = (first.min(f), last.max(l));
        }
        self.0.insert(first, last);
    }

    /// Takes one number out; whether it was in.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        let Some((first, last)) = self.around(number) else { return false };
        self.0.remove(&first);
        if first < number {
            self.0.insert(first, number - 1);
        }
        if number < last {
            self.0.insert(number + 1, last);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn intervals_are_a_set(steps in prop::collection::vec((0..40u64, 0..6u64, any::<bool>()), 0..60)) {
            let (mut intervals, mut plain) = (Intervals::default(), BTreeSet::new());
            for (first, more, insert) in steps {
                if insert {
                    intervals.insert(first, first + more);
                    plain.extend(first..=first + more);
                } else {
                    prop_assert_eq!(intervals.remove(first), plain.remove(&first));
                }
                for number in 0..50 {
                    prop_assert_eq!(intervals.contains(number), plain.contains(&number));
                    let end = (number..50).take_while(|n| plain.contains(n)).last();
                    prop_assert_eq!(intervals.end_of(number), end);
                }
                prop_assert_eq!(intervals.greatest(), plain.last().copied());
                // As few as can be: none touches the next.
                let starts = plain.iter().filter(|n| **n == 0 || !plain.contains(&(**n - 1))).count();
                prop_assert_eq!((intervals.len(), intervals.iter().len()), (starts, starts));
            }
        }
    }

    #[test]
    fn the_ends_of_numbers() {
        let mut intervals = Intervals::default();
        intervals.insert(5, u64::MAX);
        intervals.insert(0, 3);
        assert_eq!((intervals.len(), intervals.end_of(7)), (2, Some(u64::MAX)));
        assert!(intervals.remove(u64::MAX) && intervals.remove(0));
        intervals.insert(4, 4);
        assert_eq!(intervals.iter().collect::<Vec<_>>(), [(1, u64::MAX - 1)]);
        intervals.insert(9, 2);
        assert_eq!(intervals.len(), 1);
    }
}
