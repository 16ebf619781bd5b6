//! A declared fold that does something of its own to rows afterwards, under the version and fingerprint it has: code
//! that was changed without saying so, and events that cannot be applied.
use evenkeel::core::{
    Event,
    fold::{Fold, FoldError, Touch},
    row::{Cell, Key, Row},
    schema::Schema,
};
use std::sync::Arc;

/// What is done to a row after an event was folded into it.
pub(crate) type Bend = Arc<dyn Fn(&mut Row) -> Result<(), FoldError> + Send + Sync>;

/// The fold with what it does of its own.
pub(crate) struct Bent {
    pub(crate) inner: Arc<dyn Fold>,
    pub(crate) bend: Bend,
}

impl Fold for Bent {
    fn schema(&self) -> &Schema {
        self.inner.schema()
    }

    fn touches(&self, event: &Event, out: &mut Vec<Touch>) {
        self.inner.touches(event, out);
    }

    fn apply(&self, slot: &mut Option<Row>, event: &Event, touch: &Touch, key: &Key) -> Result<(), FoldError> {
        self.inner.apply(slot, event, touch, key)?;
        slot.as_mut().map_or(Ok(()), |row| (self.bend)(row))
    }

    fn keyed_by_subject(&self) -> bool {
        self.inner.keyed_by_subject()
    }
}

/// The note of an account's row: its last column but one, and our own after that.
pub(crate) fn note(row: &mut Row) -> &mut Cell {
    let column = row.cells.len() - 3;
    &mut row.cells[column]
}
