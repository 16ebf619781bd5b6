//! Rows that are deleted where writes meet: what outlives a deletion, tombstones, and what comes for them.
//!
//! A deletion takes what it knew. Where its event says what that is, the row stays as a *tombstone* that no reader is shown,
//! and in a row that is written again the deletion stays known: what it knew can still come, out of quarantine or for a place
//! that was passed, and does nothing then; what it did not know prevails over it, and that is on record. A deletion that says
//! nothing knew all before it in the log and nothing after it: it leaves no tombstone.
//!
//! Not here: how readers are kept from tombstones ([`crate::schema::Schema::shows`]).
use super::{
    FoldError,
    declared::{self, Op, OpKind},
    merging::{Writing, column_of, put, value_of},
};
use crate::{
    event::Found,
    json::Value,
    merge::{self, Conflict, Contender, Contribution, Elements, Mark, State},
    order::WriteKind,
    row::{Key, Row},
    schema::{ColumnType, Merge},
};
use std::sync::Arc;

impl Writing<'_> {
    /// The deletion of the row that knew of this event, which has come late and does nothing. What an event writes after it
    /// has deleted the row itself is not late.
    pub(super) fn deleted_by(&self) -> Option<Arc<Mark>> {
        let mut others = self.state.deletions().iter().filter(|deletion| deletion.position != self.mark.position);
        others.find(|deletion| deletion.knows(&self.mark)).cloned()
    }

    /// Whether the row stays a tombstone: where it was one, and the event did not know of that and wrote nothing.
    pub(super) fn stays_deleted(&self, row: &Row) -> bool {
        let knows_all = || self.state.deletions().iter().all(|deletion| self.mark.knows(deletion));
        !self.model.schema.shows(row) && self.state.is_blank() && !knows_all()
    }

    /// Records of what an operation would have set that a deletion knew of it.
    pub(super) fn is_late(&mut self, op: &Op, key: &Key, deletion: &Arc<Mark>) -> Result<(), FoldError> {
        let schema = &self.model.schema;
        let Some(incoming) = self.incoming(op)?.filter(|_| matches!(op.kind, OpKind::Set | OpKind::SetOnce)) else {
            return Ok(());
        };
        let mut row = Row::new(schema, key);
        let written = incoming.on(OpKind::Set, op, schema, &row)?;
        put(&mut row, written);
        self.against(deletion, op.column, value_of(schema, &row, op.column));
        Ok(())
    }

    /// Records what is decided between a deletion of the row and this event's write of a column.
    fn against(&mut self, deletion: &Arc<Mark>, index: usize, value: Value) {
        let mark = Mark::clone(&self.mark(index));
        let write = Contender { mark, kind: WriteKind::Set, value, version: None };
        let deletion = Contender::deletion(Mark::clone(deletion));
        let decided = merge::decide(&deletion, &write);
        self.settled.push((index, Conflict::between(deletion, write, decided)));
    }

    /// A register was set that deletions of the row would have taken which this event did not know.
    pub(super) fn prevails(&mut self, index: usize, value: impl Fn() -> Value) {
        let unknown: Vec<_> =
            self.state.deletions().iter().filter(|deletion| !self.mark.knows(deletion)).cloned().collect();
        for deletion in unknown {
            self.against(&deletion, index, value());
        }
    }

    /// Deletes the row, but for what the event did not know of it. What the event knew stays known where it says what that is.
    pub(super) fn delete(&mut self, slot: &mut Option<Row>, key: &Key) -> Result<(), FoldError> {
        let row = slot.take();
        let mut left = Row::new(&self.model.schema, key);
        let mut outlives = false;
        let mut state = std::mem::take(&mut self.state);
        if self.mark.says_what_it_knew()
            && let Some(row) = row
        {
            for index in 0..self.model.merging.columns.len() {
                if !self.model.schema.is_key(index) && state.get(index).is_some() {
                    outlives |= self.outlives(index, &row, &mut left, &mut state)?;
                }
            }
        } else {
            state.forget();
        }
        state.delete(&self.mark);
        let is_kept = !state.deletions().is_empty() && self.model.merging.deleted.is_some();
        self.state = state;
        if outlives || is_kept {
            self.keep_state(&mut left, !outlives);
            *slot = Some(left);
        }
        Ok(())
    }

    /// Keeps of a column what the deletion did not know; whether there was anything.
    fn outlives(&mut self, index: usize, row: &Row, left: &mut Row, state: &mut State) -> Result<bool, FoldError> {
        let schema = &self.model.schema;
        let column = &schema.columns[index];
        let beside = self.model.merging.columns[index].beside;
        let deletion = Contender::deletion(Mark::clone(&self.mark));
        let mut settled = Vec::new();
        let mut merged = column_of(state, &mut settled, index, column);
        let shown = if column.merge == Merge::Mv { beside } else { Some(index) };
        if let (Merge::OrSet | Merge::Mv, Some(shown)) = (column.merge, shown) {
            let mut elements = Elements::of(&row.cells[shown]);
            if column.merge == Merge::OrSet {
                merged.keep_unknown(&mut elements, &deletion.mark);
                left.cells[shown] = elements.into_cell();
                return Ok(!left.cells[shown].is_null());
            }
            merged.siblings_outlive(&mut elements, &deletion);
            self.settled.extend(settled.into_iter().map(|settled| (index, settled)));
            let any = !elements.0.is_empty();
            self.show_siblings(index, shown, left, elements)?;
            return Ok(any);
        }
        let value = value_of(schema, row, index);
        let present = Contender { mark: deletion.mark.clone(), kind: WriteKind::Set, value, version: None };
        let stands = merged.outlives(present, &deletion);
        self.settled.extend(settled.into_iter().map(|settled| (index, settled)));
        if stands {
            let currency = if let ColumnType::Money { currency } = column.ty { Some(currency) } else { None };
            for column in [Some(index), beside, currency].into_iter().flatten() {
                left.cells[column] = row.cells[column].clone();
            }
            return Ok(true);
        }
        let slot = state.slot(index);
        slot.entries.clear();
        slot.based_on = None;
        slot.keep_contributed(&deletion.mark);
        let kind = match column.merge {
            Merge::Max => OpKind::Max,
            Merge::Min => OpKind::Min,
            _ => OpKind::Add,
        };
        for Contribution { value, .. } in &slot.added {
            let written = declared::result(kind, index, schema, left, &Found::Value(value))?;
            put(left, written);
        }
        Ok(!state.slot(index).added.is_empty())
    }
}
