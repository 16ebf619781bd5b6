//! What was done to a table that the log does not explain: which rows may be wrong because of it, and what a check may
//! call the cause.
//!
//! Kept from what the simulation did, not from what the engine finds. Comparing is [`super::table`]'s.
use evenkeel_core::{Position, content::Cause, row::Key};
use std::collections::{BTreeMap, BTreeSet};

/// What was done to a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Harm {
    /// Somebody else wrote it, or a torn write lost it.
    pub(super) foreign: bool,
    /// An event of it was not applied, or twice.
    pub(super) misread: bool,
}

/// Whether others' writes are noted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Watch {
    #[default]
    On,
    Off,
    /// It was off, and whoever put it on again may not have heard that.
    Unsure,
}

/// What was done to one table and not mended.
#[derive(Debug, Default)]
pub(super) struct Damage {
    keys: BTreeMap<Key, Harm>,
    /// As `keys`, since the beginning: a disk may bring back a table that was mended.
    ever: BTreeMap<Key, Harm>,
    /// Events that were applied so many times more than once.
    pub(super) events: BTreeMap<Position, i64>,
    /// Whether the sums of the buckets may not be those of the rows, even where no row is wrong.
    pub(super) sums: bool,
    /// A disk brought an earlier table back: what was done to it is some of what was ever done.
    pub(super) blurred: bool,
    /// Whether an event was ever counted twice: the model then seemed further than it was.
    pub(super) overcounted: bool,
    pub(super) watch: Watch,
}

impl Damage {
    /// Somebody else wrote a row, or a torn write lost it.
    pub(super) fn foreign(&mut self, key: &Key) {
        for keys in [&mut self.keys, &mut self.ever] {
            keys.entry(key.clone()).or_default().foreign = true;
        }
    }

    /// An event was applied so many times more than once to these rows.
    pub(super) fn misread(&mut self, position: Position, more: i64, keys: &BTreeSet<Key>) {
        self.events.insert(position, more);
        self.overcounted |= more > 0;
        for key in keys {
            for keys in [&mut self.keys, &mut self.ever] {
                keys.entry(key.clone()).or_default().misread = true;
            }
        }
    }

    /// A disk brought an earlier table back.
    pub(super) fn rolled_back(&mut self) {
        if self.ever.is_empty() && self.watch == Watch::On && self.events.is_empty() {
            return;
        }
        self.keys = self.ever.clone();
        self.events.clear();
        (self.sums, self.blurred, self.watch) = (true, true, Watch::Unsure);
    }

    /// Everything was mended.
    pub(super) fn is_mended(&mut self) {
        self.keys.clear();
        self.events.clear();
        (self.sums, self.blurred) = (false, false);
    }

    /// A row was found right, or was mended.
    pub(super) fn is_right(&mut self, key: &Key) {
        self.keys.remove(key);
    }

    /// The windows were put right, and the rows of the events concerned with them.
    pub(super) fn are_counted(&mut self) {
        self.events.clear();
        self.keys.retain(|_, harm| {
            harm.misread = false;
            harm.foreign
        });
    }

    /// Whether a row may be wrong.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether any may.
    pub(super) fn is_any(&self) -> bool {
        !self.keys.is_empty() || !self.events.is_empty() || self.blurred
    }

    /// How many more events were counted than there are, less those that were not.
    pub(super) fn more(&self) -> i64 {
        self.events.values().sum()
    }

    /// Whether a check may name this cause for a row that should be there or not, and is there or not; `shows` says that
    /// it was noted, or has not the digest of its columns.
    ///
    /// Never `projector_defect`: the folds of a simulation are what they were, and what a torn write lost differs from
    /// the sums, which moved.
    pub(super) fn explains(&self, key: &Key, cause: Cause, (expected, actual): (bool, bool), shows: bool) -> bool {
        let foreign = match (expected, actual) {
            (true, false) => Cause::LostRow,
            (false, true) => Cause::ExtraRow,
            _ => Cause::ForeignEdit,
        };
        let Some(harm) = self.keys.get(key) else { return false };
        match cause {
            Cause::ProjectorDefect => false,
            _ if shows => cause == foreign,
            _ if cause == foreign && (harm.foreign || self.blurred) => true,
            // Where several events make the difference the count says what most of them are, of every row they touch.
            Cause::MissedEvent | Cause::DoubleApply => {
                let several = self.events.len() > 1;
                let concerned = harm.misread || several;
                let kind = if cause == Cause::MissedEvent { -1 } else { 1 };
                // Then it is tried out as well, and what somebody put there may be just the row without one of its events.
                let is_alike = several && harm.foreign;
                self.blurred || is_alike || (concerned && self.events.values().any(|more| *more == kind))
            }
            _ => false,
        }
    }
}
