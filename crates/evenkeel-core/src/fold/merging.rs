//! Declared models where writes meet: which columns keep marks, and what each operation does then.
//!
//! The rules themselves are in [`crate::merge`]; here they are brought to the cells of a row. A model that has nothing to keep
//! marks of has no column for them, and pays nothing.
use super::{
    FoldError,
    declared::{self, Clause, Declared, Op, OpKind, Written, less},
};
use crate::{
    event::{Event, Found},
    ids::EventId,
    json::{Object, Value},
    merge::{self, BadState, Conflict, Contender, Elements, Mark, Named, OrderBy, Settled, State, version_of},
    order::WriteKind,
    row::{Cell, Key, Misfit, Row},
    schema::{Column, ColumnType, DELETED, Merge, Schema},
    time::Timestamp,
};
use std::sync::Arc;

/// What merging needs to know of a model, beside its schema.
#[derive(Debug, Clone)]
pub(super) struct Merging {
    pub(super) columns: Vec<Merged>,
    /// The column that holds the marks.
    state: Option<usize>,
    /// The column that tells tombstones.
    pub(super) deleted: Option<usize>,
    /// Whether rows can be deleted.
    deletes: bool,
}

/// A column, as far as merging is concerned.
#[derive(Debug, Clone)]
pub(super) struct Merged {
    order: OrderBy,
    /// What its elements are, where it is a set.
    element: ColumnType,
    /// The column of its siblings or of its version's name.
    pub(super) beside: Option<usize>,
    /// Whether anything sets it, so that it must be known who moved it since.
    is_set: bool,
}

impl Merging {
    /// Adds to `schema` the columns that merging needs.
    pub(super) fn new(schema: &mut Schema, clauses: &[Clause]) -> Self {
        let deletes = clauses.iter().any(|clause| clause.delete);
        let is_tracked = |op: &Op| match op.kind {
            OpKind::Set | OpKind::SetOnce | OpKind::Insert | OpKind::Remove => true,
            OpKind::Add | OpKind::Min | OpKind::Max => deletes || schema.columns[op.column].merge == Merge::Lww,
        };
        let is_kept = clauses.iter().flat_map(|clause| &clause.ops).any(is_tracked);
        let mut columns = Vec::with_capacity(schema.columns.len());
        let mut beside = Vec::new();
        for (index, column) in schema.columns.iter_mut().enumerate() {
            let sets = |op: &Op| op.column == index && matches!(op.kind, OpKind::Set | OpKind::SetOnce);
            let is_set = clauses.iter().flat_map(|clause| &clause.ops).any(sets);
            let mut merged = Merged { order: OrderBy::Hlc, element: column.ty, beside: None, is_set };
            let mut add = |suffix: &str, ty| {
                merged.beside = Some(beside.len());
                beside.push(Column { name: format!("{}_{suffix}", column.name), ty, merge: Merge::Lww });
            };
            match column.merge {
                Merge::Mv => add("siblings", ColumnType::Json),
                Merge::Version => add("version", ColumnType::Text),
                Merge::OrSet => column.ty = ColumnType::Json,
                Merge::Lww | Merge::GCounter | Merge::PnCounter | Merge::Max | Merge::Min => {}
            }
            columns.push(merged);
        }
        let declared = schema.columns.len();
        columns.iter_mut().flat_map(|column| &mut column.beside).for_each(|beside| *beside += declared);
        schema.columns.extend(beside);
        let state = is_kept.then_some(schema.columns.len());
        if is_kept {
            schema.columns.push(Column { name: "_ek_merge".into(), ty: ColumnType::Bytes, merge: Merge::Lww });
        }
        let deleted = (is_kept && deletes).then_some(schema.columns.len());
        if deleted.is_some() {
            schema.columns.push(Column { name: DELETED.into(), ty: ColumnType::Bool, merge: Merge::Lww });
        }
        Self { columns, state, deleted, deletes }
    }

    pub(super) fn order_by(&mut self, column: usize, order: OrderBy) {
        if let Some(column) = self.columns.get_mut(column) {
            column.order = order;
        }
    }
}

/// One event being applied to one row.
pub(super) struct Writing<'w> {
    pub(super) model: &'w Declared,
    event: &'w Event,
    element: Option<&'w Value>,
    pub(super) mark: Arc<Mark>,
    pub(super) state: State,
    pub(super) settled: Vec<(usize, Settled)>,
}

impl<'w> Writing<'w> {
    pub(super) fn new(
        model: &'w Declared,
        event: &'w Event,
        element: Option<&'w Value>,
        row: Option<&Row>,
    ) -> Result<Self, FoldError> {
        let kept = row.and_then(|row| model.merging.state.map(|column| &row.cells[column]));
        let state = match kept {
            Some(Cell::Bytes(bytes)) => {
                State::from_bytes(bytes, &event.replica).map_err(|bad| FoldError::Custom(bad.to_string()))?
            }
            Some(Cell::Null) | None => State::default(),
            Some(other) => {
                let bad = BadState(format!("expected bytes, found {}", crate::row::found(&other.to_json())));
                return Err(FoldError::Custom(bad.to_string()));
            }
        };
        let mark = Arc::new(Mark::of(event, OrderBy::Hlc));
        Ok(Self { model, event, element, mark, state, settled: Vec::new() })
    }

    /// Adds what was decided to the records: of the row of `key`, which is now `row`. An event that writes a column more than
    /// once, as by `each`, has written what it wrote last: until then it cannot be told whether the two writes agree
    /// ([`Conflict::is_agreement`]).
    pub(super) fn record(self, key: &Key, row: Option<&Row>, conflicts: &mut Vec<Conflict>) {
        let Self { model, event, settled, .. } = self;
        let schema = &model.schema;
        let own = conflicts.iter().rev().take_while(|conflict| conflict.position() == event.position).count();
        let own = conflicts.len() - own;
        for written in conflicts[own..].iter_mut().filter(|conflict| conflict.key == *key) {
            let index = schema.columns.iter().position(|column| column.name == written.column);
            if let (Some(index), Some(row)) = (index, row.filter(|row| schema.shows(row)))
                && written.winner.mark.position == event.position
                && written.winner.kind == WriteKind::Set
            {
                written.winner.value = value_of(schema, row, index);
            }
        }
        for (index, Settled { winner, loser, relation, rule }) in settled {
            let column = &schema.columns[index];
            let (column, strategy) = (column.name.clone(), column.merge);
            let decided =
                Conflict { key: key.clone(), column, strategy, relation, rule, winner, loser, at: event.recorded_at };
            match conflicts[own..].iter_mut().find(|written| written.is_between_those_of(&decided)) {
                Some(written) => *written = decided,
                None => conflicts.push(decided),
            }
        }
    }

    /// Puts the marks back into the row, and whether it is a tombstone.
    pub(super) fn keep_state(&self, row: &mut Row, is_tombstone: bool) {
        if let Some(column) = self.model.merging.state {
            row.cells[column] = self.state.to_bytes().map_or(Cell::Null, Cell::Bytes);
        }
        if let Some(column) = self.model.merging.deleted {
            row.cells[column] = if is_tombstone { Cell::Bool(true) } else { Cell::Null };
        }
    }

    /// The mark of what is written to a column.
    pub(super) fn mark(&self, column: usize) -> Arc<Mark> {
        match self.model.merging.columns[column].order {
            OrderBy::Hlc => Arc::clone(&self.mark),
            other => Arc::new(Mark::of(self.event, other)),
        }
    }

    /// What comes to an operation's column, if the event has it.
    pub(super) fn incoming(&self, op: &'w Op) -> Result<Option<Incoming<'w>>, FoldError> {
        let schema = &self.model.schema;
        if let Some(at) = op.instant(schema, self.event) {
            return Ok(Some(Incoming::At(at)));
        }
        let misfit = |misfit| FoldError::Misfit { column: schema.columns[op.column].name.clone(), misfit };
        Ok(op.value.find(self.event, self.element).map_err(misfit)?.map(Incoming::Found))
    }

    /// Does one operation.
    pub(super) fn write(&mut self, op: &Op, row: &mut Row) -> Result<(), FoldError> {
        let schema = &self.model.schema;
        let column = &schema.columns[op.column];
        let Some(incoming) = self.incoming(op)? else { return Ok(()) };
        let result = |kind, row: &Row| incoming.on(kind, op, schema, row);
        match (op.kind, column.merge) {
            (OpKind::Insert | OpKind::Remove, _) => self.change_set(op, row, &incoming),
            (OpKind::Set | OpKind::SetOnce, Merge::Mv) => {
                let written = result(OpKind::Set, row)?;
                self.write_sibling(op.column, row, written)
            }
            (OpKind::Set, _) => {
                let written = result(op.kind, row)?;
                self.set(op, row, written)
            }
            // What stands, stands: also before a write that did not know it.
            (OpKind::SetOnce, _) => {
                if incoming.is_null() || !row.cells[op.column].is_null() {
                    return Ok(());
                }
                let written = result(OpKind::Set, row)?;
                self.set(op, row, written)
            }
            (OpKind::Add | OpKind::Min | OpKind::Max, Merge::Lww | Merge::Mv | Merge::Version | Merge::OrSet) => {
                let written = result(op.kind, row)?;
                let mark = self.mark(op.column);
                let mut settled = Vec::new();
                let applies =
                    written.is_empty() || column_of(&mut self.state, &mut settled, op.column, column).adjust(&mark);
                put(row, if applies { written } else { Written::new() });
                Ok(())
            }
            (OpKind::Add | OpKind::Min | OpKind::Max, _) => {
                let written = result(op.kind, row)?;
                if self.model.merging.deletes {
                    self.contribute(op, incoming.to_value());
                }
                let is_extreme = matches!(column.merge, Merge::Max | Merge::Min);
                if is_extreme && self.model.merging.columns[op.column].is_set && !written.is_empty() {
                    let mark = self.mark(op.column);
                    column_of(&mut self.state, &mut Vec::new(), op.column, column).moved(mark);
                }
                put(row, written);
                Ok(())
            }
        }
    }

    /// Keeps what a write adds to a counter or an extreme.
    fn contribute(&mut self, op: &Op, value: Value) {
        let slot = self.state.slot(op.column);
        match op.kind {
            _ if value == Value::Null => {}
            OpKind::Add => slot.contribute(&self.mark, value),
            kind => {
                let ty = self.model.schema.columns[op.column].ty;
                let cell = |value: &Value| Cell::from_json(ty, value).unwrap_or_default();
                let new = cell(&value);
                let beyond =
                    |old: &Value| if kind == OpKind::Max { !less(&new, &cell(old)) } else { !less(&cell(old), &new) };
                slot.contribute_extreme(&self.mark, value, beyond);
            }
        }
    }

    /// Sets a register.
    fn set(&mut self, op: &Op, row: &mut Row, written: Written) -> Result<(), FoldError> {
        let (schema, index) = (&self.model.schema, op.column);
        let column = &schema.columns[index];
        let beside = self.model.merging.columns[index].beside.filter(|_| column.merge == Merge::Version);
        let named = beside.map(|_| self.based_on(op)).transpose()?;
        let based_on = self.state.get(index).and_then(|slot| slot.based_on);
        let standing = beside.and_then(|beside| version_of(&row.cells[beside])).map(|id| Named { id, based_on });
        let mark = self.mark(index);
        let mut settled = Vec::new();
        if beside.is_none() && column_of(&mut self.state, &mut settled, index, column).overwrite(&mark) {
            put(row, written);
            self.prevails(index, || value_of(schema, row, index));
            return Ok(());
        }
        let contender = |row: &Row, version| Contender {
            mark: Mark::clone(&mark),
            kind: WriteKind::Set,
            value: value_of(schema, row, index),
            version,
        };
        let present = contender(row, standing);
        let mut next = row.clone();
        put(&mut next, written);
        let incoming = contender(&next, named);
        let further = || {
            let (old, new) = (&row.cells[index], &next.cells[index]);
            !new.is_null()
                && (old.is_null() || if column.merge == Merge::Max { less(old, new) } else { less(new, old) })
        };
        let takes = column_of(&mut self.state, &mut settled, index, column).set(present, incoming, further);
        self.settled.extend(settled.into_iter().map(|settled| (index, settled)));
        if takes {
            *row = next;
            if let Some(beside) = beside {
                row.cells[beside] = Cell::Text(self.event.id.to_string().into());
            }
            self.prevails(index, || value_of(schema, row, index));
        }
        Ok(())
    }

    /// How the version that is written is called, and what it names as its base.
    fn based_on(&self, op: &Op) -> Result<Named, FoldError> {
        let column = &self.model.schema.columns[op.column].name;
        let misfit = |misfit| FoldError::Misfit { column: column.clone(), misfit };
        let found = match &op.based_on {
            Some(operand) => operand.find(self.event, self.element).map_err(misfit)?,
            None => None,
        };
        let based_on = match found {
            None | Some(Found::Value(Value::Null)) => None,
            Some(found) => {
                let base: Option<EventId> = found.as_str().and_then(|text| text.parse().ok());
                let expected = || Misfit {
                    expected: format!("the version it is based on, as {column}_version names it"),
                    found: crate::row::found(&found.to_value()),
                };
                Some(base.ok_or_else(|| misfit(expected()))?)
            }
        };
        Ok(Named { id: self.event.id, based_on })
    }

    /// Writes beside what it did not know.
    fn write_sibling(&mut self, index: usize, row: &mut Row, written: Written) -> Result<(), FoldError> {
        let schema = &self.model.schema;
        let Some(beside) = self.model.merging.columns[index].beside else { return Ok(()) };
        let mark = Mark::clone(&self.mark(index));
        let mut next = row.clone();
        put(&mut next, written);
        let incoming = Contender { mark, kind: WriteKind::Set, value: value_of(schema, &next, index), version: None };
        let value = incoming.value.clone();
        let (mut siblings, mut settled) = (Elements::of(&row.cells[beside]), Vec::new());
        let mut column = column_of(&mut self.state, &mut settled, index, &schema.columns[index]);
        let stands = column.write_sibling(&mut siblings, incoming);
        self.settled.extend(settled.into_iter().map(|settled| (index, settled)));
        if stands {
            self.prevails(index, || value.clone());
        }
        self.show_siblings(index, beside, row, siblings)
    }

    /// Shows the latest of the siblings in the column itself.
    pub(super) fn show_siblings(
        &self,
        index: usize,
        beside: usize,
        row: &mut Row,
        siblings: Elements,
    ) -> Result<(), FoldError> {
        let first = siblings.0.first().cloned().unwrap_or_default();
        row.cells[beside] = siblings.into_cell();
        put(row, declared::result(OpKind::Set, index, &self.model.schema, row, &Found::Value(&first))?);
        Ok(())
    }

    /// Puts elements into a set, or takes them out.
    fn change_set(&mut self, op: &Op, row: &mut Row, incoming: &Incoming<'_>) -> Result<(), FoldError> {
        let column = &self.model.schema.columns[op.column];
        let ty = self.model.merging.columns[op.column].element;
        let single;
        let values = match incoming {
            Incoming::Found(Found::Value(Value::Array(items))) => items.as_slice(),
            other => {
                single = [other.to_value()];
                &single
            }
        };
        let mut elements = Vec::with_capacity(values.len());
        for value in values.iter().filter(|value| **value != Value::Null) {
            let cell = Cell::from_json(ty, value)
                .map_err(|misfit| FoldError::Misfit { column: column.name.clone(), misfit })?;
            elements.push(cell.to_json());
        }
        let (mut set, mut settled) = (Elements::of(&row.cells[op.column]), Vec::new());
        let mark = self.mark(op.column);
        let mut merged = column_of(&mut self.state, &mut settled, op.column, column);
        match op.kind {
            OpKind::Remove => merged.remove(&mut set, ty, &elements, &mark),
            _ => merged.insert(&mut set, ty, elements, &mark),
        }
        row.cells[op.column] = set.into_cell();
        Ok(())
    }
}

/// What an event brings to a column.
pub(super) enum Incoming<'e> {
    /// An instant of its own, which need not be written out and read again.
    At(Timestamp),
    /// What was found in it.
    Found(Found<'e>),
}

impl Incoming<'_> {
    /// What an operation makes of its column with it.
    pub(super) fn on(&self, kind: OpKind, op: &Op, schema: &Schema, row: &Row) -> Result<Written, FoldError> {
        match self {
            Self::At(at) => declared::merge(kind, op.column, &schema.columns[op.column], row, Cell::Timestamp(*at)),
            Self::Found(found) => declared::result(kind, op.column, schema, row, found),
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Found(Found::Value(Value::Null)))
    }

    fn to_value(&self) -> Value {
        match self {
            Self::At(at) => at.to_string().into(),
            Self::Found(found) => found.to_value(),
        }
    }
}

pub(super) fn column_of<'s>(
    state: &'s mut State,
    settled: &'s mut Vec<Settled>,
    index: usize,
    column: &Column,
) -> merge::Column<'s> {
    merge::Column { merge: column.merge, slot: state.slot(index), settled }
}

pub(super) fn put(row: &mut Row, written: Written) {
    for (column, cell) in written {
        row.cells[column] = cell;
    }
}

/// The value of a column as it is recorded: of money the amount and its currency.
pub(super) fn value_of(schema: &Schema, row: &Row, index: usize) -> Value {
    let value = row.cells[index].to_json();
    match schema.columns[index].ty {
        ColumnType::Money { currency } if value != Value::Null => {
            let mut money = Object::default();
            money.insert("amount", value);
            money.insert("currency", row.cells[currency].to_json());
            money.into()
        }
        _ => value,
    }
}
