//! The events that wait: a table of slots with the lists they are in, oldest first and by what they wait for.
//!
//! Lists are threaded through the slots, so that entering and leaving one costs the same however many wait.
use super::Arrival;
use crate::{clock::Dot, time::Timestamp};

/// The place of a waiting event.
pub(super) type SlotId = u32;

/// Slots in a piece.
const PIECE: usize = 512;

/// No place.
pub(super) const NONE: SlotId = SlotId::MAX;

/// What an event waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parked {
    /// The one before it of its own actor: found by its dot, in no list.
    Predecessor,
    /// Another's event, in the list of that dot.
    On(Dot),
    /// Nothing any more.
    Ready,
}

/// A waiting event.
#[derive(Debug)]
pub(super) struct Slot<E> {
    pub(super) arrival: Arrival<E>,
    pub(super) since: Timestamp,
    pub(super) parked: Parked,
    /// The entries of its clock before this are met.
    pub(super) next: u32,
    /// Neighbours in the list of those that wait for the same dot.
    pub(super) before: SlotId,
    pub(super) after: SlotId,
    /// Neighbours by age.
    older: SlotId,
    newer: SlotId,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Slots<E> {
    /// In pieces of [`PIECE`], so that growing neither moves what waits nor takes twice the memory for a while.
    pieces: Vec<Vec<Option<Slot<E>>>>,
    /// How many slots there are.
    made: usize,
    free: Vec<SlotId>,
    oldest: SlotId,
    newest: SlotId,
    len: usize,
}

impl<E> Default for Slots<E> {
    fn default() -> Self {
        Self { pieces: Vec::new(), made: 0, free: Vec::new(), oldest: NONE, newest: NONE, len: 0 }
    }
}

impl<E> Slots<E> {
    /// What a slot costs.
    pub(super) const BYTES: usize = size_of::<Option<Slot<E>>>() + size_of::<SlotId>();

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, id: SlotId) -> Option<&Slot<E>> {
        let id = id as usize;
        self.pieces.get(id / PIECE)?.get(id % PIECE)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: SlotId) -> Option<&mut Slot<E>> {
        self.place(id)?.as_mut()
    }

    #[inline]
    fn place(&mut self, id: SlotId) -> Option<&mut Option<Slot<E>>> {
        let id = id as usize;
        self.pieces.get_mut(id / PIECE)?.get_mut(id % PIECE)
    }

    /// The one that has waited longest.
    pub(super) fn oldest(&self) -> Option<(SlotId, &Slot<E>)> {
        self.get(self.oldest).map(|slot| (self.oldest, slot))
    }

    /// All that wait, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot<E>> {
        std::iter::successors(self.get(self.oldest), |slot| self.get(slot.newer))
    }

    /// Takes a new one in, of which the first `next` entries of its clock are met. There must be fewer than [`NONE`].
    pub(super) fn insert(&mut self, arrival: Arrival<E>, since: Timestamp, next: u32) -> SlotId {
        let slot = Slot {
            arrival,
            since,
            parked: Parked::Predecessor,
            next,
            before: NONE,
            after: NONE,
            older: self.newest,
            newer: NONE,
        };
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(place) = self.place(id) {
                    *place = Some(slot);
                }
                id
            }
            None => {
                if self.made.is_multiple_of(PIECE) && self.pieces.len() == self.made / PIECE {
                    self.pieces.push(Vec::with_capacity(PIECE));
                }
                self.pieces[self.made / PIECE].push(Some(slot));
                self.made += 1;
                (self.made - 1) as SlotId
            }
        };
        match self.get_mut(self.newest) {
            Some(newest) => newest.newer = id,
            None => self.oldest = id,
        }
        self.newest = id;
        self.len += 1;
        id
    }

    /// Takes one out, which must be in no list of waiters any more.
    pub(super) fn remove(&mut self, id: SlotId) -> Option<Slot<E>> {
        let slot = self.place(id)?.take()?;
        match self.get_mut(slot.older) {
            Some(older) => older.newer = slot.newer,
            None => self.oldest = slot.newer,
        }
        match self.get_mut(slot.newer) {
            Some(newer) => newer.older = slot.older,
            None => self.newest = slot.older,
        }
        self.len -= 1;
        if self.len == 0 {
            // Gives back what a burst left behind, and the next one finds its slots in order.
            self.free.clear();
            self.free.shrink_to(PIECE);
            self.pieces.truncate(1);
            self.pieces.iter_mut().for_each(Vec::clear);
            self.made = 0;
        } else {
            self.free.push(id);
        }
        Some(slot)
    }
}
