//! A declared model: clauses of `set`, `add`, `each` and so on, compiled, applied as a [`Fold`].
//!
//! Not here: reading declarations from files and checking them against contracts (`evenkeel-contract`). What is
//! checked there (columns exist, a column once per clause, keys complete) is taken for granted here.
use super::{
    Fold, FoldError, Touch,
    merging::{Merging, Writing},
};
use crate::{
    condition::Condition,
    decimal::{Currency, Decimal, Money},
    event::{Event, Found},
    ids::EventType,
    json::{Pointer, Value},
    merge::{Conflict, OrderBy},
    row::{self, Cell, Key, KeyPart, Misfit, Row},
    schema::{Column, ColumnType, Merge, Schema},
    time::Timestamp,
};
use smallvec::SmallVec;
use std::{cmp::Ordering, collections::HashMap};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A pointer into the admitted event.
    Event(Pointer),
    /// A pointer into the element of the array that is fanned out over.
    Element(Pointer),
    /// A constant.
    Value(Value),
    /// An attribute the log or the envelope gives.
    Attribute(Attribute),
    /// How many items an array, or members an object, has.
    Count(Box<Operand>),
}

/// An attribute of an admitted event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// Its type.
    Type,
    /// When it happened, by its source.
    Time,
    /// What its source calls it.
    Id,
    /// Its subject.
    Subject,
    /// Its position in the log.
    Position,
    /// When the log recorded it.
    RecordedTime,
}

/// What an operation does to its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpKind {
    /// Write the value.
    Set,
    /// Write the value where nothing is set yet.
    SetOnce,
    /// Add the value; nothing counts as zero.
    Add,
    /// Keep the lesser.
    Min,
    /// Keep the greater.
    Max,
    /// Put elements into a set: a value, or each of an array.
    Insert,
    /// Take elements out of a set: a value, or each of an array.
    Remove,
}

/// One operation on one column.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// What it does.
    pub kind: OpKind,
    /// Index of the column.
    pub column: usize,
    /// The value. Where it is missing from the event the column is left as it is.
    pub value: Operand,
    /// Of a column of versions, where the event says which one it is based on.
    pub based_on: Option<Operand>,
}

/// The array a clause fans out over.
#[derive(Debug, Clone, PartialEq)]
pub struct Each {
    /// The array.
    pub over: Pointer,
}

/// What one type of event does to the rows it names.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause {
    /// The type of event.
    pub event: EventType,
    /// Conditions on the event, all of which must hold.
    pub when: Vec<Condition>,
    /// The array to fan out over; operands may then be [`Operand::Element`].
    pub each: Option<Each>,
    /// One value for each key column, in the key's order.
    pub key: Vec<Operand>,
    /// Whether the row is deleted. There are no operations then.
    pub delete: bool,
    /// The operations, each on another column.
    pub ops: Vec<Op>,
}

/// A declared model.
#[derive(Debug, Clone)]
pub struct Declared {
    pub(super) schema: Schema,
    clauses: Vec<Clause>,
    by_type: HashMap<EventType, Vec<u16>>,
    pub(super) merging: Merging,
}

impl Declared {
    /// From a checked declaration. At most 65,535 clauses are used.
    ///
    /// Beside the columns of `schema` its table has those that merging needs: the siblings of columns of several values
    /// (`<column>_siblings`), the names of versions (`<column>_version`), what is known of the writes (`_ek_merge`), and whether
    /// the row is a tombstone (`_ek_deleted`).
    pub fn new(mut schema: Schema, clauses: Vec<Clause>) -> Self {
        let mut by_type: HashMap<EventType, Vec<u16>> = HashMap::new();
        for (clause, index) in clauses.iter().zip(0..u16::MAX) {
            by_type.entry(clause.event.clone()).or_default().push(index);
        }
        schema.subscribes = by_type.keys().cloned().collect();
        let merging = Merging::new(&mut schema, &clauses);
        Self { schema, clauses, by_type, merging }
    }

    /// With concurrent writes to the column at this index put in order by other stamps than those of their events.
    #[must_use]
    pub fn ordered_by(mut self, column: usize, order: OrderBy) -> Self {
        self.merging.order_by(column, order);
        self
    }

    /// The clauses, in declared order.
    pub fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    fn key(&self, clause: &Clause, event: &Event, element: Option<&Value>) -> Result<Key, FoldError> {
        let part = |(operand, &column): (&Operand, &usize)| {
            let column = &self.schema.columns[column];
            let misfit = |misfit| FoldError::Key { column: column.name.clone(), misfit };
            let nothing = || misfit(Misfit { expected: "a value".into(), found: "nothing".into() });
            let found = operand.find(event, element).map_err(misfit)?.ok_or_else(nothing)?;
            match Cell::from_found(column.ty, &found).map_err(misfit)? {
                Cell::I64(int) => Ok(KeyPart::I64(int)),
                Cell::Text(text) => Ok(KeyPart::Text(text)),
                Cell::Date(date) => Ok(KeyPart::Text(date.to_string().into())),
                _ => Err(nothing()),
            }
        };
        clause.key.iter().zip(&self.schema.key).map(part).collect::<Result<_, _>>().map(Key)
    }
}

impl Operand {
    /// The value, `None` where the event has none.
    pub(super) fn find<'e>(
        &'e self,
        event: &'e Event,
        element: Option<&'e Value>,
    ) -> Result<Option<Found<'e>>, Misfit> {
        Ok(match self {
            Self::Event(pointer) => event.at(pointer),
            Self::Element(pointer) => element.and_then(|element| pointer.get(element)).map(Found::Value),
            Self::Value(value) => Some(Found::Value(value)),
            Self::Count(of) => match of.find(event, element)? {
                Some(Found::Value(Value::Array(items))) => Some(int(items.len())),
                Some(Found::Value(Value::Object(object))) => Some(int(object.len())),
                nothing @ (None | Some(Found::Value(Value::Null))) => nothing,
                // A number that is there already is no count.
                Some(other) => {
                    let found = row::found(&other.to_value());
                    return Err(Misfit { expected: "an array or an object to count".into(), found });
                }
            },
            Self::Attribute(attribute) => attribute.of(event),
        })
    }
}

impl Attribute {
    fn of(self, event: &Event) -> Option<Found<'_>> {
        Some(Found::Text(match self {
            Self::Type => event.draft.event_type.as_str().into(),
            Self::Time => event.draft.time?.to_string().into(),
            Self::Id => event.raw_id.as_str().into(),
            Self::Subject => event.draft.subject.as_str().into(),
            Self::RecordedTime => event.recorded_at.to_string().into(),
            Self::Position => return Some(int(event.position.0)),
        }))
    }
}

fn int(n: impl TryInto<i64>) -> Found<'static> {
    Found::Int(n.try_into().unwrap_or(i64::MAX))
}

impl Fold for Declared {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn touches(&self, event: &Event, out: &mut Vec<Touch>) {
        for &index in self.by_type.get(&event.draft.event_type).into_iter().flatten() {
            let clause = &self.clauses[usize::from(index)];
            if !clause.when.iter().all(|condition| condition.holds(|pointer| event.at(pointer))) {
                continue;
            }
            let Some(each) = &clause.each else {
                out.push(Touch { key: self.key(clause, event, None), clause: index, element: 0 });
                continue;
            };
            match event.at(&each.over) {
                Some(Found::Value(Value::Array(items))) => {
                    for (item, element) in items.iter().zip(0..) {
                        out.push(Touch { key: self.key(clause, event, Some(item)), clause: index, element });
                    }
                }
                None | Some(Found::Value(Value::Null)) => {}
                Some(other) => {
                    let found = other.to_value().kind().to_owned();
                    let error = FoldError::NotAnArray { pointer: each.over.to_string(), found };
                    out.push(Touch { key: Err(error), clause: index, element: 0 });
                }
            }
        }
    }

    fn apply(&self, slot: &mut Option<Row>, event: &Event, touch: &Touch, key: &Key) -> Result<(), FoldError> {
        self.apply_recording(slot, event, touch, key, &mut Vec::new())
    }

    fn apply_recording(
        &self,
        slot: &mut Option<Row>,
        event: &Event,
        touch: &Touch,
        key: &Key,
        conflicts: &mut Vec<Conflict>,
    ) -> Result<(), FoldError> {
        let clause = &self.clauses[usize::from(touch.clause)];
        let element = clause.each.as_ref().and_then(|each| match event.at(&each.over) {
            Some(Found::Value(Value::Array(items))) => items.get(touch.element as usize),
            _ => None,
        });
        let mut writing = Writing::new(self, event, element, slot.as_ref())?;
        if let Some(deletion) = writing.deleted_by() {
            clause.ops.iter().try_for_each(|op| writing.is_late(op, key, &deletion))?;
        } else if clause.delete {
            writing.delete(slot, key)?;
        } else {
            let row = slot.get_or_insert_with(|| Row::new(&self.schema, key));
            clause.ops.iter().try_for_each(|op| writing.write(op, row))?;
            let is_tombstone = writing.stays_deleted(row);
            writing.keep_state(row, is_tombstone);
        }
        writing.record(key, slot.as_ref(), conflicts);
        Ok(())
    }

    fn keyed_by_subject(&self) -> bool {
        let is_subject = |operand: &Operand| match operand {
            Operand::Attribute(Attribute::Subject) => true,
            Operand::Event(pointer) => pointer.tokens() == ["subject"],
            _ => false,
        };
        self.clauses.iter().all(|clause| matches!(clause.key.as_slice(), [key] if is_subject(key)))
    }
}

/// The cells one operation writes: one, or for money two.
pub(super) type Written = SmallVec<[(usize, Cell); 2]>;

impl Op {
    /// The instant of an attribute for a column of instants, which need not be written out and read again.
    pub(super) fn instant(&self, schema: &Schema, event: &Event) -> Option<Timestamp> {
        match (&self.value, schema.columns[self.column].ty) {
            (Operand::Attribute(Attribute::Time), ColumnType::Timestamp) => event.draft.time,
            (Operand::Attribute(Attribute::RecordedTime), ColumnType::Timestamp) => Some(event.recorded_at),
            _ => None,
        }
    }
}

/// What an operation makes of the column at `index` where `found` comes to it.
pub(super) fn result(
    kind: OpKind,
    index: usize,
    schema: &Schema,
    row: &Row,
    found: &Found<'_>,
) -> Result<Written, FoldError> {
    let column = &schema.columns[index];
    if let ColumnType::Money { currency } = column.ty {
        return money(kind, column, row, (index, currency), found);
    }
    let new = Cell::from_found(column.ty, found)
        .map_err(|misfit| FoldError::Misfit { column: column.name.clone(), misfit })?;
    merge(kind, index, column, row, new)
}

/// The same of a column that is not money, where `new` comes to it.
pub(super) fn merge(kind: OpKind, index: usize, column: &Column, row: &Row, new: Cell) -> Result<Written, FoldError> {
    let old = &row.cells[index];
    if (kind, column.merge) == (OpKind::Add, Merge::GCounter) {
        grows(&column.name, &new)?;
    }
    Ok(match kind {
        OpKind::Set => smallvec::smallvec![(index, new)],
        OpKind::SetOnce if old.is_null() => smallvec::smallvec![(index, new)],
        OpKind::SetOnce => Written::new(),
        _ if new.is_null() => Written::new(),
        _ if old.is_null() => smallvec::smallvec![(index, new)],
        OpKind::Add => smallvec::smallvec![(index, add(&column.name, old, &new)?)],
        OpKind::Min if less(&new, old) => smallvec::smallvec![(index, new)],
        OpKind::Max if less(old, &new) => smallvec::smallvec![(index, new)],
        OpKind::Min | OpKind::Max | OpKind::Insert | OpKind::Remove => Written::new(),
    })
}

/// Money is one value in two columns: an amount is never written, added or compared without its currency.
fn money(
    kind: OpKind,
    column: &Column,
    row: &Row,
    (amount, currency): (usize, usize),
    found: &Found<'_>,
) -> Result<Written, FoldError> {
    let name = column.name.as_str();
    if matches!(found, Found::Value(Value::Null)) {
        return Ok(match kind {
            OpKind::Set => smallvec::smallvec![(amount, Cell::Null), (currency, Cell::Null)],
            _ => Written::new(),
        });
    }
    let new = read_money(name, found)?;
    if (kind, column.merge) == (OpKind::Add, Merge::GCounter) {
        grows(name, &Cell::Decimal(new.amount()))?;
    }
    let write = |value: Decimal| -> Written {
        smallvec::smallvec![(amount, Cell::Decimal(value)), (currency, Cell::Text(new.currency().code().into()))]
    };
    let Cell::Decimal(old) = row.cells[amount] else { return Ok(write(new.amount())) };
    match kind {
        OpKind::Set => return Ok(write(new.amount())),
        OpKind::SetOnce | OpKind::Insert | OpKind::Remove => return Ok(Written::new()),
        OpKind::Add | OpKind::Min | OpKind::Max => {}
    }
    match &row.cells[currency] {
        Cell::Text(code) if code != new.currency().code() => {
            let (row, event) = (code.to_string(), new.currency().code().to_owned());
            return Err(FoldError::Currency { column: name.to_owned(), row, event });
        }
        _ => {}
    }
    Ok(match (kind, new.amount().cmp(&old)) {
        (OpKind::Add, _) => {
            let decimal = |error| FoldError::Decimal { column: name.to_owned(), error };
            let sum = old.checked_add(new.amount()).map_err(decimal)?;
            write(Money::new(sum, new.currency()).map_err(decimal)?.amount())
        }
        (OpKind::Min, Ordering::Less) | (OpKind::Max, Ordering::Greater) => write(new.amount()),
        _ => Written::new(),
    })
}

fn read_money(name: &str, found: &Found<'_>) -> Result<Money, FoldError> {
    let misfit = || FoldError::Misfit {
        column: name.to_owned(),
        misfit: Misfit { expected: "money with amount and currency".into(), found: row::found(&found.to_value()) },
    };
    let Found::Value(Value::Object(object)) = found else { return Err(misfit()) };
    let member = |key: &str| object.get(key).and_then(Value::as_str);
    let amount: Decimal = member("amount").and_then(|text| text.parse().ok()).ok_or_else(misfit)?;
    let currency: Currency = member("currency").and_then(|text| text.parse().ok()).ok_or_else(misfit)?;
    Money::new(amount, currency).map_err(|error| FoldError::Decimal { column: name.to_owned(), error })
}

/// A counter that only grows takes nothing below zero.
fn grows(column: &str, new: &Cell) -> Result<(), FoldError> {
    match new {
        Cell::I64(value @ i64::MIN..0) => Err(FoldError::Shrink { column: column.to_owned(), value: *value }),
        Cell::Decimal(value) if value.is_negative() => Err(FoldError::Misfit {
            column: column.to_owned(),
            misfit: Misfit { expected: "nothing below zero for a g_counter".into(), found: value.to_string() },
        }),
        _ => Ok(()),
    }
}

fn add(column: &str, old: &Cell, new: &Cell) -> Result<Cell, FoldError> {
    match (old, new) {
        (Cell::I64(left), Cell::I64(right)) => left
            .checked_add(*right)
            .map(Cell::I64)
            .ok_or_else(|| FoldError::Overflow { column: column.to_owned(), left: *left, right: *right }),
        (Cell::Decimal(left), Cell::Decimal(right)) => left
            .checked_add(*right)
            .map(Cell::Decimal)
            .map_err(|error| FoldError::Decimal { column: column.to_owned(), error }),
        _ => Err(FoldError::Misfit {
            column: column.to_owned(),
            misfit: Misfit { expected: "a number".into(), found: row::found(&new.to_json()) },
        }),
    }
}

/// Whether `left` is less; values of different kinds are not.
pub(super) fn less(left: &Cell, right: &Cell) -> bool {
    match (left, right) {
        (Cell::Text(left), Cell::Text(right)) => left < right,
        (Cell::I64(left), Cell::I64(right)) => left < right,
        (Cell::Decimal(left), Cell::Decimal(right)) => left < right,
        (Cell::Bool(left), Cell::Bool(right)) => left < right,
        (Cell::Timestamp(left), Cell::Timestamp(right)) => left < right,
        (Cell::Date(left), Cell::Date(right)) => left < right,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
