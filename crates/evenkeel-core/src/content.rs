//! Drift of content: whether a model's rows are what the log says, told from sums, and the cause where they are not.
//!
//! Four quantities are compared: **I**, the identities of the events that were appended and of those that were applied,
//! by [`Window`]s of positions; **E**, the digests of the rows that the projector meant, and **A**, of those that are
//! there, by bucket; **T**, rows folded from the log. Reading them is the runtime's; here it is said what follows.
use crate::{
    digest::{Buckets, KeyHash, RowDigest, Sum},
    ids::{EventId, Position},
    row::{Key, Row},
    time::Timestamp,
    words::words,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

words! {
    /// Why a row is not what the log says.
    Cause {
        /// Its columns were changed by somebody else than the projector.
        ForeignEdit = "foreign_edit",
        /// It is gone, or was never written.
        LostRow = "lost_row",
        /// No event explains it.
        ExtraRow = "extra_row",
        /// An event below the checkpoint was never folded into it.
        MissedEvent = "missed_event",
        /// An event was folded into it twice.
        DoubleApply = "double_apply",
        /// The fold makes another row of the same events than it made when they were applied.
        ProjectorDefect = "projector_defect",
    }
}

words! {
    /// What somebody else than the projector did to a row first.
    ForeignWrite {
        /// It was not there before.
        Insert = "insert",
        /// It was changed.
        Update = "update",
        /// It was deleted.
        Delete = "delete",
    }
}

/// How many positions a window of identities spans.
pub const WINDOW_POSITIONS: u64 = 4096;

/// A span of [`WINDOW_POSITIONS`] positions: window 0 is 1 to 4096, window 1 is 4097 to 8192, and so on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Window(pub u64);

impl Window {
    /// The window of a position.
    pub const fn of(position: Position) -> Self {
        Self(position.0.saturating_sub(1) / WINDOW_POSITIONS)
    }

    /// The position before its first.
    pub const fn before(self) -> Position {
        Position(self.0.saturating_mul(WINDOW_POSITIONS))
    }

    /// Its last position.
    pub const fn last(self) -> Position {
        Position(self.0.saturating_add(1).saturating_mul(WINDOW_POSITIONS))
    }
}

/// What an event adds to the sum of its window.
pub fn identity(id: EventId) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&id.0[..16]);
    half
}

/// A window whose applied events are not those that the log has in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowDifference {
    /// The window.
    pub window: Window,
    /// What the log has.
    pub appended: Sum,
    /// What was applied.
    pub applied: Sum,
}

/// Compares both sides of I. Each is in order of its windows and says nothing of windows without events.
pub fn compare_windows(appended: &[(Window, Sum)], applied: &[(Window, Sum)]) -> Vec<WindowDifference> {
    let (mut appended, mut applied) = (appended.iter().copied().peekable(), applied.iter().copied().peekable());
    let mut differences = Vec::new();
    loop {
        let window = match (appended.peek(), applied.peek()) {
            (None, None) => return differences,
            (Some((a, _)), Some((b, _))) => *a.min(b),
            (Some((window, _)), None) | (None, Some((window, _))) => *window,
        };
        let of = |side: Option<(Window, Sum)>| side.map_or(Sum::default(), |(_, sum)| sum);
        let a = of(appended.next_if(|(found, _)| *found == window));
        let b = of(applied.next_if(|(found, _)| *found == window));
        if a != b {
            differences.push(WindowDifference { window, appended: a, applied: b });
        }
    }
}

impl WindowDifference {
    /// Which of the window's events, as the log has them, make the difference, and what became of each: where it is one of
    /// them or two. The sums are of 16 bytes of SHA-256, so that others which add up to the same are not met. `None` where
    /// more events are concerned, or one that the log does not have.
    ///
    /// Looks at each event once.
    pub fn explained_by(&self, events: &[EventId]) -> Option<Vec<(EventId, Cause)>> {
        let by = self.appended.minus(self.applied);
        let of = |event: &EventId| u128::from_le_bytes(identity(*event));
        let (wanted, cause) = match by.count {
            ..0 => (by.total.wrapping_neg(), Cause::DoubleApply),
            0.. => (by.total, Cause::MissedEvent),
        };
        if by.count.abs() == 1 {
            let event = events.iter().find(|event| of(event) == wanted)?;
            return Some(vec![(*event, cause)]);
        }
        let known: HashMap<u128, EventId> = match by.count {
            -2 | 0 | 2 => events.iter().map(|event| (of(event), *event)).collect(),
            _ => return None,
        };
        let pair = |event: &EventId| {
            let other = match by.count {
                // One was missed and another applied twice.
                0 => of(event).wrapping_sub(wanted),
                _ => wanted.wrapping_sub(of(event)),
            };
            let other = known.get(&other)?;
            let second = if by.count == 0 { Cause::DoubleApply } else { cause };
            // No event is missed twice; applied three times it may be.
            (other != event || cause == Cause::DoubleApply).then(|| vec![(*event, cause), (*other, second)])
        };
        events.iter().find_map(pair)
    }

    /// What most of the difference is.
    pub fn tendency(&self) -> Cause {
        if self.applied.count > self.appended.count { Cause::DoubleApply } else { Cause::MissedEvent }
    }
}

/// A row that somebody else than the projector has written, as the triggers noted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// The row.
    pub key: Key,
    /// What was done first.
    pub write: ForeignWrite,
    /// The digest the row had before that; `None` where there was no row, or none with a digest.
    pub meant: Option<RowDigest>,
    /// When it was done first.
    pub at: Timestamp,
}

/// What is known of a row beside what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clues {
    /// Whether its columns are those that its digest was made of.
    pub intact: bool,
    /// Whether somebody else has written to it.
    pub touched: bool,
    /// Whether the rows of its bucket add up to what the projector meant; `None` where it was not looked at.
    pub bucket_agrees: Option<bool>,
    /// What the identities say of events that concern it.
    pub identities: Option<Cause>,
}

/// Why a row is wrong, given what it should be (`expected`), what it is (`actual`), and what else is known. The table is
/// in the documentation of [`Cause`].
///
/// ```
/// use evenkeel_core::content::{Cause, Clues, cause};
/// let known = Clues { intact: true, touched: false, bucket_agrees: Some(true), identities: None };
/// assert_eq!(cause(true, true, known), Cause::ProjectorDefect);
/// assert_eq!(cause(true, true, Clues { intact: false, ..known }), Cause::ForeignEdit);
/// assert_eq!(cause(true, true, Clues { identities: Some(Cause::MissedEvent), ..known }), Cause::MissedEvent);
/// assert_eq!(cause(true, false, Clues { bucket_agrees: Some(false), ..known }), Cause::LostRow);
/// ```
pub fn cause(expected: bool, actual: bool, known: Clues) -> Cause {
    let foreign = match (expected, actual) {
        (true, false) => Cause::LostRow,
        (false, true) => Cause::ExtraRow,
        _ => Cause::ForeignEdit,
    };
    if known.touched || !known.intact {
        return foreign;
    }
    if let Some(cause) = known.identities {
        return cause;
    }
    // The rows are what the projector meant, and it meant wrongly.
    if known.bucket_agrees == Some(true) { Cause::ProjectorDefect } else { foreign }
}

/// A row that is not what the log says, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct WrongRow {
    /// The row.
    pub key: Key,
    /// Why.
    pub cause: Cause,
    /// What the log says; `None` for no row.
    pub expected: Option<Row>,
    /// What is there; `None` for no row.
    pub actual: Option<Row>,
}

/// One pass of the scrub over the rows of a table in order of their keys, while the projector goes on.
///
/// Rows up to the cursor are in the sums, rows after it will be: whoever writes a row tells the pass. At the end the
/// sums are what is there, and are compared with what the projector meant.
///
/// A row that was repaired may have been read before somebody else changed it or after that. So what the repair found
/// instead of the right row may be in the sum of its bucket, or what the projector had wrongly meant, or neither: all of
/// these are taken for right.
#[derive(Debug, Clone)]
pub struct Pass {
    cursor: Option<Key>,
    sums: Buckets,
    /// By how much a bucket's sum may be off for each row of it that was repaired.
    repaired: BTreeMap<u16, Vec<Sum>>,
    rows: u64,
    started_at: Timestamp,
}

/// So many repaired rows of one bucket, what they were before counted each, are told apart in one pass: each doubles the
/// sums that are tried. With more of them the bucket counts as different, and whoever looks at its rows finds them right.
const REPAIRED: usize = 12;

impl Pass {
    /// A pass that has read nothing.
    pub fn new(started_at: Timestamp) -> Self {
        Self { cursor: None, sums: Buckets::default(), repaired: BTreeMap::new(), rows: 0, started_at }
    }

    /// The last row that was read.
    pub fn cursor(&self) -> Option<&Key> {
        self.cursor.as_ref()
    }

    /// How many rows were read.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// When it began: what it finds is as of then.
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Takes in the next row that is there. `digest` is of the columns that were read, whatever the row says it is.
    pub fn read(&mut self, key: Key, hash: KeyHash, digest: RowDigest) {
        self.sums.get_mut(hash.bucket()).add(digest.0);
        self.rows += 1;
        self.cursor = Some(key);
    }

    /// Takes note of a row that the projector has written: from one digest, if it was there, to another, if it is.
    pub fn wrote(&mut self, key: &Key, hash: KeyHash, from: Option<RowDigest>, to: Option<RowDigest>) {
        if self.is_ahead(key) {
            return;
        }
        let sum = self.sums.get_mut(hash.bucket());
        if let Some(from) = from {
            sum.sub(from.0);
        }
        if let Some(to) = to {
            sum.add(to.0);
        }
    }

    /// Takes note of a row that was put right: what it was `before`, as the projector meant it and as it was found, which
    /// somebody else may have made of that, and what is there now. Which of these this pass has read, if any, is not known.
    pub fn repaired(&mut self, key: &Key, hash: KeyHash, before: [Option<RowDigest>; 2], right: Option<RowDigest>) {
        if self.is_ahead(key) {
            return;
        }
        let sum = |digest: Option<RowDigest>| {
            let mut sum = Sum::default();
            digest.iter().for_each(|digest| sum.add(digest.0));
            sum
        };
        before.iter().for_each(|before| self.may_be_off(hash.bucket(), sum(*before).minus(sum(right))));
    }

    /// Takes note of what was meant with a bucket being put right, by more than the rows that were repaired: the projector had
    /// built upon a row that somebody else had put there. Whether this pass has read that one or the one before is not
    /// known.
    pub fn restored(&mut self, bucket: u16, was: Sum, is: Sum) {
        self.may_be_off(bucket, was.minus(is));
    }

    fn may_be_off(&mut self, bucket: u16, by: Sum) {
        let offs = self.repaired.entry(bucket).or_default();
        if !by.is_zero() && !offs.contains(&by) && offs.len() <= REPAIRED {
            offs.push(by);
        }
    }

    /// Whether a row is still to be read.
    fn is_ahead(&self, key: &Key) -> bool {
        self.cursor.as_ref().is_none_or(|cursor| key > cursor)
    }

    /// The sum of the rows that were read of one bucket.
    pub fn sum(&self, bucket: u16) -> Sum {
        self.sums.get(bucket)
    }

    /// The buckets in which the rows that were read are not those that the projector meant.
    pub fn differing(&self, meant: &Buckets) -> Vec<u16> {
        let mut differing = self.sums.differing(meant);
        differing.retain(|bucket| !self.is_explained(*bucket, self.sum(*bucket).minus(meant.get(*bucket))));
        differing
    }

    /// Whether some of the rows that were repaired were read before that, and this is all by which a bucket is off.
    fn is_explained(&self, bucket: u16, by: Sum) -> bool {
        let offs = match self.repaired.get(&bucket) {
            Some(offs) if offs.len() <= REPAIRED => offs,
            _ => return false,
        };
        (1_u32..1 << offs.len()).any(|some| {
            let of_these = offs.iter().enumerate().filter(|(at, _)| some >> at & 1 == 1);
            of_these.fold(Sum::default(), |sum, (_, off)| sum.plus(*off)) == by
        })
    }
}

#[cfg(test)]
mod tests;
