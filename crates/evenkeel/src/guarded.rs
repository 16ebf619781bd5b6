//! A fold that is not trusted: its panics are errors, and so are rows and keys that do not fit its own schema. Code of
//! the user's own must not take a projector down, nor hand a store what it would refuse for ever: the event waits like
//! any other that cannot be applied, and the other rows go on.
//!
//! Not here: whether the fold is pure. Verification finds that out.
use evenkeel_core::{
    event::Event,
    fold::{Fold, FoldError, Touch},
    merge::Conflict,
    row::{Cell, Key, KeyPart, Row},
    schema::{ColumnType, Schema},
};
use std::{
    any::Any,
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// Catches what the fold inside does wrong. What it left half done is thrown away by the caller, as after any error.
pub(crate) struct Guarded(pub(crate) Arc<dyn Fold>);

impl Fold for Guarded {
    fn schema(&self) -> &Schema {
        self.0.schema()
    }

    fn touches(&self, event: &Event, out: &mut Vec<Touch>) {
        let before = out.len();
        let panic = catch_unwind(AssertUnwindSafe(|| self.0.touches(event, out))).err();
        let wrong = match panic {
            Some(panic) => Some(panicked(panic.as_ref())),
            None => {
                ambiguous(&out[before..]).then(|| custom("two touches of one event have the same clause and element"))
            }
        };
        if let Some(error) = wrong {
            out.truncate(before);
            out.push(Touch { key: Err(error), clause: 0, element: 0 });
            return;
        }
        for touch in &mut out[before..] {
            if let Some(error) = touch.key.as_ref().ok().and_then(|key| wrong_key(self.schema(), key)) {
                touch.key = Err(error);
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
        catch_unwind(AssertUnwindSafe(|| self.0.apply_recording(slot, event, touch, key, conflicts)))
            .unwrap_or_else(|panic| Err(panicked(panic.as_ref())))?;
        let wrong = slot.as_ref().and_then(|row| wrong_row(self.schema(), row, key));
        wrong.map_or(Ok(()), Err)
    }

    fn keyed_by_subject(&self) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.0.keyed_by_subject())).unwrap_or(false)
    }
}

fn custom(text: impl Into<String>) -> FoldError {
    FoldError::Custom(format!("the fold is wrong: {}", text.into()))
}

fn panicked(panic: &(dyn Any + Send)) -> FoldError {
    FoldError::Custom(format!("the fold panicked: {}", message(panic)))
}

/// The message of a panic.
pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Whether two touches of an event cannot be told apart. In ascending order, as folds give them, that is seen at once.
fn ambiguous(touches: &[Touch]) -> bool {
    let id = |touch: &Touch| (touch.clause, touch.element);
    if touches.windows(2).all(|pair| id(&pair[0]) < id(&pair[1])) {
        return false;
    }
    let mut seen = HashSet::new();
    !touches.iter().all(|touch| seen.insert(id(touch)))
}

/// Why this key cannot name a row.
fn wrong_key(schema: &Schema, key: &Key) -> Option<FoldError> {
    if key.0.len() != schema.key.len() {
        return Some(custom(format!("a key of {} parts, where the model has {}", key.0.len(), schema.key.len())));
    }
    let mut parts = schema.key.iter().zip(&key.0);
    let (&column, part) = parts.find(|&(&column, part)| {
        let fits = match (part, schema.columns[column].ty) {
            (KeyPart::I64(_), ty) => ty == ColumnType::I64,
            (KeyPart::Text(_), ColumnType::Text | ColumnType::Iso4217) => true,
            (KeyPart::Text(text), ColumnType::Date) => Cell::from_json(ColumnType::Date, &text.as_str().into()).is_ok(),
            (KeyPart::Text(_), _) => false,
        };
        !fits
    })?;
    let column = &schema.columns[column];
    Some(custom(format!("{part:?} cannot stand in the key column {}, which is {}", column.name, column.ty.name())))
}

/// Why this row cannot be kept under this key.
fn wrong_row(schema: &Schema, row: &Row, key: &Key) -> Option<FoldError> {
    if row.cells.len() != schema.columns.len() {
        return Some(custom(format!(
            "a row of {} cells, where the model has {}",
            row.cells.len(),
            schema.columns.len()
        )));
    }
    for (column, cell) in schema.columns.iter().zip(&row.cells) {
        if !fits(column.ty, cell) {
            return Some(custom(format!("{cell:?} in the column {}, which is {}", column.name, column.ty.name())));
        }
    }
    for (&column, part) in schema.key.iter().zip(&key.0) {
        let same = match (part, &row.cells[column]) {
            (KeyPart::I64(part), Cell::I64(cell)) => part == cell,
            (KeyPart::Text(part), Cell::Text(cell)) => part == cell,
            (KeyPart::Text(part), Cell::Date(cell)) => *part == cell.to_string(),
            _ => false,
        };
        if !same {
            let name = &schema.columns[column].name;
            return Some(custom(format!("the row of key {key} has {:?} in the key column {name}", row.cells[column])));
        }
    }
    None
}

fn fits(ty: ColumnType, cell: &Cell) -> bool {
    match cell {
        Cell::Null => true,
        Cell::Text(_) => matches!(ty, ColumnType::Text | ColumnType::Iso4217),
        Cell::I64(_) => ty == ColumnType::I64,
        Cell::Decimal(_) => matches!(ty, ColumnType::Decimal | ColumnType::Money { .. }),
        Cell::Bool(_) => ty == ColumnType::Bool,
        Cell::Timestamp(_) => ty == ColumnType::Timestamp,
        Cell::Date(_) => ty == ColumnType::Date,
        Cell::Json(_) => ty == ColumnType::Json,
        Cell::Bytes(_) => ty == ColumnType::Bytes,
    }
}
