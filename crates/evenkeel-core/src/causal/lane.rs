//! What is known of one actor's counters beyond those that were passed: who waits with a dot, and who waits for it.
//!
//! Cells near the front stand in a ring, so that the usual case is an index; a dot far ahead of everything is kept in a
//! tree, so that nobody can make the ring grow by naming a great number. Not here: the events ([`super::slots`]).
use super::intervals::Intervals;
use super::slots::{NONE, SlotId};
use std::collections::{BTreeMap, VecDeque};

/// One dot beyond the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    /// The event that has this dot and waits.
    pub(super) slot: SlotId,
    /// The first of the events that wait for this dot.
    pub(super) waiters: SlotId,
}

const EMPTY: Cell = Cell { slot: NONE, waiters: NONE };

/// Up to this far ahead a cell is in the ring in any case, and further by [`RING_PER_CELL`] for each that is in use.
const RING_MIN: u64 = 64;
const RING_PER_CELL: u64 = 16;

/// One actor.
#[derive(Debug)]
pub(super) struct Lane {
    /// The first dot that was not passed.
    pub(super) front: u64,
    /// The first dot there is.
    pub(super) first: u64,
    /// The last dot there is, of an actor that retired.
    pub(super) sealed: Option<u64>,
    /// Dots that were declared not to come and did not.
    pub(super) holes: Intervals,
    /// From the front on.
    ring: VecDeque<Cell>,
    /// Beyond the ring.
    far: BTreeMap<u64, Cell>,
    /// Cells in use.
    used: u64,
    /// Marks of the events passed last, at their number modulo the length.
    recent: Vec<(u64, u128)>,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            front: 1,
            first: 1,
            sealed: None,
            holes: Intervals::default(),
            ring: VecDeque::new(),
            far: BTreeMap::new(),
            used: 0,
            recent: Vec::new(),
        }
    }
}

impl Lane {
    /// The event that waits with this dot, which must not have been passed.
    #[inline]
    pub(super) fn slot(&self, seq: u64) -> SlotId {
        self.cell(seq).slot
    }

    #[inline]
    pub(super) fn cell(&self, seq: u64) -> Cell {
        let offset = seq.saturating_sub(self.front);
        match usize::try_from(offset).ok().and_then(|offset| self.ring.get(offset)) {
            Some(cell) => *cell,
            None if self.far.is_empty() => EMPTY,
            None => self.far.get(&seq).copied().unwrap_or(EMPTY),
        }
    }

    /// Whether nothing waits with any dot of the lane, or for one.
    pub(super) fn is_unused(&self) -> bool {
        self.used == 0
    }

    /// Changes a cell, which is made if need be. The ring grows by at most `room` bytes.
    pub(super) fn change(&mut self, seq: u64, room: usize, change: impl FnOnce(&mut Cell)) {
        let offset = seq.saturating_sub(self.front);
        if offset >= self.ring.len() as u64 && offset < RING_MIN + RING_PER_CELL * self.used {
            self.extend(offset as usize + 1, room);
        }
        let (before, after, far) = match usize::try_from(offset).ok().and_then(|offset| self.ring.get_mut(offset)) {
            Some(cell) => {
                let before = *cell;
                change(cell);
                (before, *cell, false)
            }
            None => {
                let cell = self.far.entry(seq).or_insert(EMPTY);
                let before = *cell;
                change(cell);
                (before, *cell, true)
            }
        };
        self.used += u64::from(before == EMPTY);
        if after == EMPTY {
            self.used -= 1;
            if far {
                self.far.remove(&seq);
            }
        }
    }

    /// Makes the ring `len` long, if that fits, and takes into it what was beyond it.
    fn extend(&mut self, len: usize, room: usize) {
        let capacity = self.ring.capacity();
        if len > capacity {
            let wanted = len.max(2 * capacity).max(RING_MIN as usize);
            if (wanted - capacity) * size_of::<Cell>() > room {
                return;
            }
            self.ring.reserve_exact(wanted - self.ring.len());
        }
        let from = self.ring.len();
        self.ring.resize(len, EMPTY);
        let end = self.front.saturating_add(len as u64);
        while let Some(entry) = self.far.first_entry().filter(|entry| *entry.key() < end) {
            let (seq, cell) = entry.remove_entry();
            if let Some(place) = self.ring.get_mut((seq - self.front) as usize) {
                *place = cell;
            }
            debug_assert!((seq - self.front) as usize >= from);
        }
    }

    /// Passes the front: the cell that was there.
    #[inline]
    pub(super) fn pass(&mut self) -> Cell {
        let cell = match self.ring.pop_front() {
            Some(cell) => cell,
            None if self.far.is_empty() => EMPTY,
            None => self.far.remove(&self.front).unwrap_or(EMPTY),
        };
        self.used -= u64::from(cell != EMPTY);
        self.front += 1;
        cell
    }

    /// Passes all that has no cell at all, up to `last` at most. False where a cell is at the front.
    pub(super) fn leap(&mut self, last: u64) -> bool {
        let next = self.far.first_key_value().map_or(u64::MAX, |(&seq, _)| seq);
        if !self.ring.is_empty() || next <= self.front {
            return false;
        }
        self.front = next.min(last.saturating_add(1));
        true
    }

    /// The greatest dot with which something waits.
    pub(super) fn greatest_waiting(&self) -> Option<u64> {
        let far = self.far.iter().rev().find(|(_, cell)| cell.slot != NONE).map(|(&seq, _)| seq);
        let near = || self.ring.iter().rposition(|cell| cell.slot != NONE).map(|at| self.front + at as u64);
        far.or_else(near)
    }

    /// Takes every cell out.
    pub(super) fn clear(&mut self) -> Vec<Cell> {
        self.used = 0;
        let cells = std::mem::take(&mut self.ring).into_iter().chain(std::mem::take(&mut self.far).into_values());
        cells.filter(|cell| *cell != EMPTY).collect()
    }

    /// Gives back what a burst left behind.
    pub(super) fn shrink(&mut self) {
        if self.used == 0 && self.ring.capacity() > 4 * RING_MIN as usize {
            self.ring = VecDeque::new();
        }
    }

    /// Bytes of the ring and of holes; what is in the tree is counted with the events that caused it.
    pub(super) fn bytes(&self) -> usize {
        self.ring.capacity() * size_of::<Cell>() + self.holes.len() * HOLE_BYTES
    }

    /// Remembers what was delivered under this dot, of the last `keep`, a power of two.
    #[inline]
    pub(super) fn remember(&mut self, seq: u64, mark: u128, keep: usize) {
        if self.recent.len() != keep {
            self.recent = vec![(0, 0); keep];
        }
        if let Some(place) = self.recent.get_mut(seq as usize & keep.wrapping_sub(1)) {
            *place = (seq, mark);
        }
    }

    /// What was delivered under this dot, if that is remembered.
    pub(super) fn remembered(&self, seq: u64) -> Option<u128> {
        let place = self.recent.get(seq as usize & self.recent.len().wrapping_sub(1))?;
        (place.0 == seq).then_some(place.1)
    }
}

/// What an interval of holes costs, with its share of the tree's node.
pub(super) const HOLE_BYTES: usize = 48;

/// What a cell in the tree costs, with its share of the tree's node.
pub(super) const FAR_BYTES: usize = 48;
