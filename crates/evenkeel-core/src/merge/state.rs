//! The marks of a row's columns, as the row keeps them: a hidden column of its own, in canonical bytes.
//!
//! Most rows were written by events that knew all before them: their state is one mark and which columns bear it. Equal
//! states give equal bytes, so the row's digest covers them. Not here: how they change ([`super::Column`]).
use super::{
    Counted, Mark,
    contribution::{Contribution, Contributor},
};
use crate::{
    clock::Hlc,
    codec::{CodecError, FORMAT, Reader, put_bytes, put_number},
    event::Saw,
    ids::{EventId, Position, ReplicaName},
    intake::SourceDot,
};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

/// The type, as it stands in the bytes.
const TAG: u8 = 40;

/// The same, of a row that was deleted by an event that said what it knew.
const TAG_DELETED: u8 = 41;

/// How many deletions of a row are kept that do not stand for each other.
const MAX_DELETIONS: usize = 64;

/// Columns below this one are bits beside the mark of the one write that is in them.
const MASKED: usize = 127;

/// The state of a row that cannot be read: nobody but the projector writes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the merge state of the row cannot be read: {0}")]
pub struct BadState(pub String);

/// The writes whose value something in a column is.
pub(super) type Writers = SmallVec<[Arc<Mark>; 1]>;

/// What is kept of one column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slot {
    /// Of each thing that stands in the column the writes that put it there: of siblings and sets each of theirs, in the
    /// order in which the column shows them; of a register the one value, and of one that is changed by what is in it
    /// those that set it and then those that changed it since.
    pub entries: SmallVec<[SmallVec<[Arc<Mark>; 1]>; 1]>,
    /// Of a version what it was based on.
    pub based_on: Option<EventId>,
    /// Of a counter or an extreme, where rows can be deleted, what each write contributed, the oldest first.
    pub added: Vec<Contribution>,
}

impl Slot {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.added.is_empty() && self.based_on.is_none()
    }

    /// The mark of the one write that everything here is of.
    fn only(&self) -> Option<&Arc<Mark>> {
        match (self.entries.as_slice(), self.based_on, self.added.as_slice()) {
            ([entry], None, []) if entry.len() == 1 => entry.first(),
            _ => None,
        }
    }

    fn marks(&self) -> impl Iterator<Item = &Arc<Mark>> {
        let contributors = self.added.iter().filter_map(|contribution| match &contribution.by {
            Contributor::Marked(mark) => Some(mark),
            Contributor::Plain(_) => None,
        });
        self.entries.iter().flatten().chain(contributors)
    }
}

/// What is kept of a row, column by column, and of deletions of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    slots: Vec<(usize, Slot)>,
    deletions: Writers,
}

impl State {
    /// What is kept of the column at this index.
    pub fn get(&self, column: usize) -> Option<&Slot> {
        self.slots.iter().find(|(index, _)| *index == column).map(|(_, slot)| slot)
    }

    /// The same, to change it.
    pub fn slot(&mut self, column: usize) -> &mut Slot {
        let at = self.slots.partition_point(|(index, _)| *index < column);
        if self.slots.get(at).is_none_or(|(index, _)| *index != column) {
            self.slots.insert(at, (column, Slot::default()));
        }
        &mut self.slots[at].1
    }

    /// The deletions of the row that said what they knew, but for those that a later one covers.
    pub fn deletions(&self) -> &[Arc<Mark>] {
        &self.deletions
    }

    /// Whether nothing stands in any column.
    pub fn is_blank(&self) -> bool {
        self.slots.iter().all(|(_, slot)| slot.is_empty())
    }

    /// Forgets the columns: all that stood in them is known to a deletion.
    pub fn forget(&mut self) {
        self.slots.clear();
    }

    /// Keeps a deletion of the row that said what it knew, in place of those that it covers; of the others the latest are kept.
    /// One that says nothing knew all before it in the log and nothing after it: there is nothing to keep of it.
    pub fn delete(&mut self, deletion: &Arc<Mark>) {
        self.deletions.retain(|earlier| !deletion.covers(earlier));
        if deletion.says_what_it_knew() {
            if self.deletions.len() == MAX_DELETIONS {
                self.deletions.remove(0);
            }
            self.deletions.push(Arc::clone(deletion));
        }
    }

    /// As bytes for the row's own column; `None` where nothing is kept.
    pub fn to_bytes(&self) -> Option<Box<[u8]>> {
        let slots: Vec<_> = self.slots.iter().filter(|(_, slot)| !slot.is_empty()).collect();
        if slots.is_empty() && self.deletions.is_empty() {
            return None;
        }
        let written = slots.iter().flat_map(|(_, slot)| slot.marks());
        let mut marks: Vec<&Arc<Mark>> = written.chain(&self.deletions).collect();
        marks.sort_unstable_by_key(|mark| order_of(mark));
        marks.dedup_by_key(|mark| order_of(mark));
        let place =
            |mark: &Arc<Mark>| marks.binary_search_by_key(&order_of(mark), |known| order_of(known)).unwrap_or_default();
        let mut alone: SmallVec<[u128; 4]> = smallvec![0; marks.len()];
        let mut whole = Vec::new();
        for (column, slot) in slots {
            match slot.only() {
                Some(mark) if *column < MASKED => alone[place(mark)] |= 1 << column,
                _ => whole.push((*column, slot)),
            }
        }
        let mut out = Vec::with_capacity(8 + 24 * marks.len() + 16 * whole.len());
        out.extend([FORMAT, if self.deletions.is_empty() { TAG } else { TAG_DELETED }]);
        put_number(&mut out, marks.len() as u128);
        for (mark, columns) in marks.iter().zip(alone) {
            put_mark(&mut out, mark);
            put_number(&mut out, columns);
        }
        put_number(&mut out, whole.len() as u128);
        for (column, slot) in whole {
            put_slot(&mut out, column, slot, &place);
        }
        if !self.deletions.is_empty() {
            put_number(&mut out, self.deletions.len() as u128);
            self.deletions.iter().for_each(|mark| put_number(&mut out, place(mark) as u128));
        }
        Some(out.into())
    }

    /// Reads [`State::to_bytes`]. Most marks are of the replica `near`, whose name need not be made again.
    ///
    /// # Errors
    /// Where it is not what any state is written as.
    pub fn from_bytes(bytes: &[u8], near: &ReplicaName) -> Result<Self, BadState> {
        let mut input = Reader::new(bytes);
        let mut read = || {
            let is_deleted = input.clone().header(TAG_DELETED).is_ok();
            input.header(if is_deleted { TAG_DELETED } else { TAG })?;
            let count = input.count()?;
            let (mut marks, mut slots) = (Vec::with_capacity(count), Vec::new());
            for _ in 0..count {
                let mark = Arc::new(mark(&mut input, near)?);
                if marks.last().is_some_and(|last: &Arc<Mark>| order_of(last) >= order_of(&mark)) {
                    return Err(CodecError::NotCanonical("marks out of order"));
                }
                let mut columns = input.wide()?;
                while columns > 0 {
                    let entries = smallvec![smallvec![Arc::clone(&mark)]];
                    slots.push((columns.trailing_zeros() as usize, Slot { entries, ..Slot::default() }));
                    columns &= columns - 1;
                }
                marks.push(mark);
            }
            for _ in 0..input.count()? {
                let (column, slot) = slot(&mut input, &marks)?;
                if column < MASKED && slot.only().is_some() {
                    return Err(CodecError::NotCanonical("one write of a column, and not beside its mark"));
                }
                slots.push((column, slot));
            }
            let mut deletions = Writers::new();
            for _ in 0..if is_deleted { input.count()? } else { 0 } {
                deletions.push(marked(&mut input, &marks)?);
            }
            if is_deleted && deletions.is_empty() {
                return Err(CodecError::NotCanonical("no deletion where there should be one"));
            }
            input.clone().end()?;
            slots.sort_unstable_by_key(|(column, _)| *column);
            if slots.windows(2).any(|two| two[0].0 == two[1].0) {
                return Err(CodecError::NotCanonical("a column that is there twice"));
            }
            Ok(Self { slots, deletions })
        };
        read().map_err(|error| BadState(error.to_string()))
    }
}

/// A canonical order of marks: a write has one position, and stands at one stamp in each column.
fn order_of(mark: &Mark) -> (Position, Hlc) {
    (mark.position, mark.hlc)
}

const OF_SOURCE: u8 = 1;
const SAW: u8 = 2;
const CLOCK: u8 = 4;

fn put_mark(out: &mut Vec<u8>, mark: &Mark) {
    let is_sources = matches!(mark.by, Counted::Source(_));
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    out.push(flag(is_sources, OF_SOURCE) | flag(mark.saw.is_some(), SAW) | flag(mark.clock.is_some(), CLOCK));
    put_number(out, u128::from(mark.position.0));
    put_bytes(out, mark.by.name().as_bytes());
    put_number(out, u128::from(if is_sources { mark.seq } else { counted(mark.position, mark.seq) }));
    out.extend_from_slice(&mark.hlc.as_u64().to_be_bytes());
    if let Some(saw) = mark.saw {
        put_number(out, u128::from(saw.upto.0));
        out.extend_from_slice(&saw.request.as_u64().to_be_bytes());
        out.extend_from_slice(&mark.sent.as_u64().to_be_bytes());
    }
    if let Some(clock) = &mark.clock {
        put_number(out, clock.len() as u128);
        for dot in clock.iter() {
            put_bytes(out, dot.source.as_str().as_bytes());
            put_number(out, u128::from(dot.seq));
        }
    }
}

/// The number of an event that its log counts stands close behind its position: how far, and from that the number.
const fn counted(position: Position, seq: u64) -> u64 {
    position.0.wrapping_sub(seq)
}

fn stamp(input: &mut Reader<'_>) -> Result<Hlc, CodecError> {
    let mut number = 0;
    for _ in 0..8 {
        number = number << 8 | u64::from(input.byte()?);
    }
    Ok(Hlc::from_u64(number))
}

fn mark(input: &mut Reader<'_>, near: &ReplicaName) -> Result<Mark, CodecError> {
    let flags = input.byte()?;
    if flags > OF_SOURCE | SAW | CLOCK {
        return Err(CodecError::NotCanonical("a mark with flags that there are not"));
    }
    let position = Position(input.number()?);
    let name = input.text()?;
    let by = match flags & OF_SOURCE > 0 {
        true => Counted::Source(name.into()),
        false if name == near.as_str() => Counted::Replica(near.clone()),
        false => Counted::Replica(name.into()),
    };
    let seq = match (input.number()?, &by) {
        (seq, Counted::Source(_)) => seq,
        (behind, Counted::Replica(_)) => counted(position, behind),
    };
    let hlc = stamp(input)?;
    let (saw, sent) = if flags & SAW > 0 {
        (Some(Saw { upto: Position(input.number()?), request: stamp(input)? }), stamp(input)?)
    } else {
        (None, Hlc::ZERO)
    };
    let dot = |input: &mut Reader<'_>| Ok(SourceDot::new(input.text()?, input.number()?));
    let clock = if flags & CLOCK > 0 {
        Some((0..input.count()?).map(|_| dot(input)).collect::<Result<Vec<_>, CodecError>>()?.into())
    } else {
        None
    };
    Ok(Mark { position, by, seq, hlc, saw, sent, clock })
}

fn put_slot(out: &mut Vec<u8>, column: usize, slot: &Slot, place: &dyn Fn(&Arc<Mark>) -> usize) {
    let put = |out: &mut Vec<u8>, number: usize| put_number(out, number as u128);
    put(out, column);
    put(out, slot.entries.len());
    for entry in &slot.entries {
        put(out, entry.len());
        entry.iter().for_each(|mark| put(out, place(mark)));
    }
    out.push(u8::from(slot.based_on.is_some()));
    slot.based_on.iter().for_each(|base| out.extend_from_slice(&base.0));
    put(out, slot.added.len());
    slot.added.iter().fold(0, |after, contribution| contribution.put(out, after, place));
}

/// One of the marks, by its place among them.
fn marked(input: &mut Reader<'_>, marks: &[Arc<Mark>]) -> Result<Arc<Mark>, CodecError> {
    let place = usize::try_from(input.number()?).ok();
    place.and_then(|place| marks.get(place)).cloned().ok_or(CodecError::NotCanonical("a mark that is not there"))
}

fn slot(input: &mut Reader<'_>, marks: &[Arc<Mark>]) -> Result<(usize, Slot), CodecError> {
    let bad = CodecError::NotCanonical;
    let column = usize::try_from(input.number()?).map_err(|_| bad("a column that there cannot be"))?;
    let mut slot = Slot::default();
    for _ in 0..input.count()? {
        let entry = (0..input.count()?).map(|_| marked(input, marks)).collect::<Result<_, _>>()?;
        slot.entries.push(entry);
    }
    let is_based = input.byte()?;
    if is_based > 1 {
        return Err(bad("a base that is neither there nor not"));
    }
    if is_based == 1 {
        let mut id = [0; 32];
        for byte in &mut id {
            *byte = input.byte()?;
        }
        slot.based_on = Some(EventId(id));
    }
    let mut after = 0;
    for _ in 0..input.count()? {
        let (contribution, last) = Contribution::read(input, after, marks)?;
        after = last;
        slot.added.push(contribution);
    }
    if slot.is_empty() {
        return Err(bad("a column of which nothing is kept"));
    }
    Ok((column, slot))
}
