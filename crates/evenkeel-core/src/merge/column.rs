//! Merging a write into a column: registers, siblings, sets, and what a deletion leaves.
//!
//! Each function changes the column's [`Slot`] and says what becomes of the value; the values themselves, their types and
//! where they are in the row are the caller's ([`crate::fold`]).
use super::{
    Contender, Mark, Slot,
    conflict::{Conflict, Decided, Settled, decide},
    state::Writers,
};
use crate::{
    clock::Relation,
    ids::EventId,
    json::Value,
    order::{Rule, WriteKind},
    row::Cell,
    schema::{ColumnType, Merge},
};
use smallvec::smallvec;
use std::{cmp::Ordering, sync::Arc};

/// Up to how many writes that did not know each other a value is kept to be made of. What is further back is taken to be
/// known.
const MAX_WRITERS: usize = 64;

/// How many values stand beside each other in a column. What is beyond is the last in the order, and on record.
const MAX_SIBLINGS: usize = 64;

/// Adds a write to those that a value is made of.
fn join(writers: &mut Writers, mark: Arc<Mark>) {
    if writers.len() == MAX_WRITERS {
        writers.remove(0);
    }
    writers.push(mark);
}

/// Puts a write above those that it knew.
fn raise<'m>(mark: &mut Mark, known: impl Iterator<Item = &'m Arc<Mark>>) {
    if let Some(latest) = known.map(|mark| mark.hlc).max() {
        mark.raise_above(latest);
    }
}

/// The same, of a mark that others hold too: most are above what they knew already.
fn raised<'m>(mark: &Arc<Mark>, known: impl Iterator<Item = &'m Arc<Mark>>) -> Arc<Mark> {
    let mut mark = Arc::clone(mark);
    if let Some(latest) = known.map(|mark| mark.hlc).max().filter(|latest| *latest >= mark.hlc) {
        Arc::make_mut(&mut mark).raise_above(latest);
    }
    mark
}

/// A column that a write comes to.
#[derive(Debug)]
pub struct Column<'s> {
    /// How it merges.
    pub merge: Merge,
    /// What is kept of it.
    pub slot: &'s mut Slot,
    /// What is decided is added here.
    pub settled: &'s mut Vec<Settled>,
}

/// The elements of a set or the siblings of a register, as the column shows them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Elements(pub Vec<Value>);

impl Column<'_> {
    /// A register is written by what knew all that stands in it: whether that is so, and if it is not nothing was changed.
    /// What [`Column::set`] would do, without the values, which nobody asks for then.
    pub fn overwrite(&mut self, mark: &Arc<Mark>) -> bool {
        let writers = || self.slot.entries.iter().flatten();
        if !writers().all(|writer| mark.knows(writer)) {
            return false;
        }
        self.slot.entries = smallvec![smallvec![raised(mark, writers())]];
        self.slot.added.clear();
        true
    }

    /// A register is written: whether what comes stands. `present` is what stands there now: its value, and of a version how
    /// it is called.
    ///
    /// What knows all that stands replaces it. What something that stands there knew has come late and does not. Otherwise
    /// the order decides; of values that grow or shrink only, the further one stays, and nothing is lost.
    pub fn set(&mut self, present: Contender, incoming: Contender, further: impl FnOnce() -> bool) -> bool {
        let (unknown, known) = self.split(&incoming.mark);
        let mut incoming = incoming;
        raise(&mut incoming.mark, known.iter());
        let versions = incoming.version.is_some() && present.version.is_some();
        // The greatest stands for all that what is there was made of.
        let Some(rival) = unknown.iter().max_by_key(|mark| mark.hlc).filter(|_| !versions) else {
            return if versions { self.set_version(present, incoming) } else { self.take(incoming) };
        };
        let present = Contender { mark: Mark::clone(rival), ..present };
        let decided = decide(&present, &incoming);
        if matches!(self.merge, Merge::Max | Merge::Min) && decided.relation == Relation::Concurrent {
            let mut writers = unknown;
            join(&mut writers, Arc::new(incoming.mark));
            self.slot.entries = smallvec![writers];
            return further();
        }
        if decided.first_wins {
            self.stays_above(&incoming.mark, decided.relation);
            self.settled.push(Conflict::between(present, incoming, decided));
            return false;
        }
        self.settled.push(Conflict::between(present, incoming.clone(), decided));
        self.take(incoming)
    }

    /// A version names what it is based on, and knows nothing else.
    fn set_version(&mut self, present: Contender, mut incoming: Contender) -> bool {
        let Some(rival) = self.slot.entries.iter().flatten().max_by_key(|mark| mark.hlc).cloned() else {
            return self.take(incoming);
        };
        let present = Contender { mark: Mark::clone(&rival), ..present };
        let decided = decide(&present, &incoming);
        if decided.relation == Relation::Equal || decided.relation == Relation::Before {
            incoming.mark.raise_above(rival.hlc);
            return self.take(incoming);
        }
        if decided.first_wins {
            self.stays_above(&incoming.mark, decided.relation);
        }
        self.settled.push(Conflict::between(present, incoming.clone(), decided));
        !decided.first_wins && self.take(incoming)
    }

    /// What stands has known what came late: it stays above it.
    fn stays_above(&mut self, late: &Mark, relation: Relation) {
        if relation != Relation::After {
            return;
        }
        for mark in self.slot.entries.iter_mut().flatten().filter(|mark| mark.hlc <= late.hlc && mark.knows(late)) {
            Arc::make_mut(mark).raise_above(late.hlc);
        }
    }

    fn take(&mut self, incoming: Contender) -> bool {
        self.slot.based_on = incoming.version.and_then(|version| version.based_on);
        self.slot.entries = smallvec![smallvec![Arc::new(incoming.mark)]];
        self.slot.added.clear();
        true
    }

    /// Those that wrote what is there: whom `mark` did not know, and whom it knew.
    fn split(&self, mark: &Mark) -> (Writers, Writers) {
        self.slot.entries.iter().flatten().cloned().partition(|writer| !mark.knows(writer))
    }

    /// A register is changed by what is in it already, as by a sum: whether the change is to be made. It is not where what was
    /// set was set knowing it: that stands for it. Changes commute, so one that another change knew is made late.
    ///
    /// Who set the register is the first entry, empty where nobody did, and who changed it since the second.
    pub fn adjust(&mut self, mark: &Arc<Mark>) -> bool {
        let entries = &mut self.slot.entries;
        entries.resize(2, Writers::new());
        if entries[0].iter().any(|setter| setter.knows(mark)) {
            return false;
        }
        let mark = raised(mark, entries.iter().flatten().filter(|writer| mark.knows(writer)));
        entries[1].retain(|writer| !mark.knows(writer));
        join(&mut entries[1], mark);
        true
    }

    /// An extreme was moved: who sets it later must know of that.
    pub fn moved(&mut self, mark: Arc<Mark>) {
        let entries = &mut self.slot.entries;
        entries.resize(1, Writers::new());
        entries[0].retain(|writer| !mark.knows(writer));
        join(&mut entries[0], mark);
    }

    /// Siblings are written: all stay that the write did not know, the latest first. Whether the write stands among them,
    /// which it does not where it comes after one that knew it.
    pub fn write_sibling(&mut self, siblings: &mut Elements, mut incoming: Contender) -> bool {
        let (_, known) = self.split(&incoming.mark);
        raise(&mut incoming.mark, known.iter());
        let entries = std::mem::take(&mut self.slot.entries);
        let mut stay: Vec<Contender> = Vec::with_capacity(entries.len() + 1);
        for (writers, value) in entries.into_iter().zip(std::mem::take(&mut siblings.0)) {
            let Some(mark) = writers.first().filter(|mark| !incoming.mark.knows(mark)) else { continue };
            stay.push(Contender { mark: Mark::clone(mark), kind: WriteKind::Set, value, version: None });
        }
        // Of what came late that stands which knew it, of the others the one that is shown.
        let rival = stay.iter().find(|sibling| sibling.mark.knows(&incoming.mark)).or(stay.first()).cloned();
        let decided = rival.map(|rival| (decide(&rival, &incoming), rival));
        let is_late = decided.as_ref().is_some_and(|(decided, _)| decided.relation == Relation::After);
        if let Some((decided, rival)) = decided {
            self.settled.push(Conflict::between(rival, incoming.clone(), decided));
        }
        if !is_late {
            stay.push(incoming);
        }
        stay.sort_by(in_order);
        for sibling in stay.into_iter().take(MAX_SIBLINGS) {
            self.slot.entries.push(smallvec![Arc::new(sibling.mark)]);
            siblings.0.push(sibling.value);
        }
        !is_late
    }

    /// Siblings outlive a deletion that did not know them, which is recorded of each.
    pub fn siblings_outlive(&mut self, siblings: &mut Elements, deletion: &Contender) {
        self.keep_unknown(siblings, &deletion.mark);
        for (writers, value) in self.slot.entries.iter().zip(&siblings.0) {
            let Some(mark) = writers.first().map(|mark| Mark::clone(mark)) else { continue };
            let sibling = Contender { mark, kind: WriteKind::Set, value: value.clone(), version: None };
            let decided = decide(&sibling, deletion);
            self.settled.push(Conflict::between(sibling, deletion.clone(), decided));
        }
    }

    /// Elements are put into a set. What added the same before and was known is replaced, so that an element added again and
    /// again does not gather marks.
    pub fn insert(&mut self, set: &mut Elements, ty: ColumnType, values: Vec<Value>, mark: &Arc<Mark>) {
        for value in values {
            match set.place(ty, &value) {
                Ok(at) => {
                    if let Some(writers) = self.slot.entries.get_mut(at) {
                        writers.retain(|writer| !mark.knows(writer));
                        join(writers, Arc::clone(mark));
                    }
                }
                Err(at) => {
                    let at = at.min(self.slot.entries.len());
                    set.0.insert(at, value);
                    self.slot.entries.insert(at, smallvec![Arc::clone(mark)]);
                }
            }
        }
    }

    /// Elements are taken out of a set, as far as the event knew that they were put in.
    pub fn remove(&mut self, set: &mut Elements, ty: ColumnType, values: &[Value], mark: &Mark) {
        for value in values {
            let Ok(at) = set.place(ty, value) else { continue };
            let Some(writers) = self.slot.entries.get_mut(at) else { continue };
            writers.retain(|writer| !mark.knows(writer));
            if writers.is_empty() {
                self.slot.entries.remove(at);
                set.0.remove(at);
            }
        }
    }

    /// Keeps of siblings or elements those that a deletion did not know.
    pub fn keep_unknown(&mut self, elements: &mut Elements, deletion: &Mark) {
        let entries = std::mem::take(&mut self.slot.entries);
        for (mut writers, value) in entries.into_iter().zip(std::mem::take(&mut elements.0)) {
            writers.retain(|writer| !deletion.knows(writer));
            if !writers.is_empty() {
                self.slot.entries.push(writers);
                elements.0.push(value);
            }
        }
    }

    /// Whether what stands in a register outlives a deletion, which it does where that did not know all that it is made of.
    pub fn outlives(&mut self, present: Contender, deletion: &Contender) -> bool {
        let (unknown, _) = self.split(&deletion.mark);
        let Some(rival) = unknown.iter().max_by_key(|mark| mark.hlc) else { return false };
        let present = Contender { mark: Mark::clone(rival), ..present };
        let decided = decide(&present, deletion);
        self.settled.push(Conflict::between(present, deletion.clone(), decided));
        self.slot.entries = smallvec![unknown];
        true
    }
}

impl Elements {
    /// Reads what a column of them holds.
    pub fn of(cell: &Cell) -> Self {
        match cell {
            Cell::Json(Value::Array(items)) => Self(items.clone()),
            _ => Self::default(),
        }
    }

    /// The cell that shows them; nothing where there are none.
    pub fn into_cell(self) -> Cell {
        if self.0.is_empty() { Cell::Null } else { Cell::Json(Value::Array(self.0)) }
    }

    /// Where an element is in a set, or where it belongs.
    fn place(&self, ty: ColumnType, value: &Value) -> Result<usize, usize> {
        let wanted = Cell::from_json(ty, value).unwrap_or_default();
        self.0.binary_search_by(|item| compare(&Cell::from_json(ty, item).unwrap_or_default(), &wanted))
    }
}

/// The order of siblings: the one that would stand alone first.
fn in_order(a: &Contender, b: &Contender) -> Ordering {
    match decide(a, b) {
        Decided { rule: Rule::Same, .. } => Ordering::Equal,
        Decided { first_wins: true, .. } => Ordering::Less,
        Decided { first_wins: false, .. } => Ordering::Greater,
    }
}

/// The order of a set's elements: that of their type.
fn compare(left: &Cell, right: &Cell) -> Ordering {
    match (left, right) {
        (Cell::I64(left), Cell::I64(right)) => left.cmp(right),
        (Cell::Decimal(left), Cell::Decimal(right)) => left.cmp(right),
        (Cell::Bool(left), Cell::Bool(right)) => left.cmp(right),
        (Cell::Timestamp(left), Cell::Timestamp(right)) => left.cmp(right),
        (Cell::Date(left), Cell::Date(right)) => left.cmp(right),
        (left, right) => left.to_json().to_string().cmp(&right.to_json().to_string()),
    }
}

/// The name of a version in its column.
pub(crate) fn version_of(cell: &Cell) -> Option<EventId> {
    match cell {
        Cell::Text(text) => text.parse().ok(),
        _ => None,
    }
}
