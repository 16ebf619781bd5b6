//! The fold: row × event → row, keyed and pure.
//!
//! [`Fold`] is what a model is; [`Declared`] makes one from a declaration; [`Batch`] folds many events of a
//! key into one write; [`FreshFold`] folds the log anew to compare. Not here: where rows are kept, and who calls.
mod batch;
mod declared;
mod deleting;
mod fresh;
mod given_up;
mod merging;
mod release;

pub use batch::{Batch, Changed, Folded, Plan};
pub use declared::{Attribute, Clause, Declared, Each, Op, OpKind, Operand};
pub use fresh::{Difference, FreshFold};
pub use given_up::GivenUp;
pub use release::{Released, release};

use crate::{
    decimal::DecimalError,
    event::Event,
    ids::{EventId, Position},
    merge::Conflict,
    quarantine::Decision,
    row::{Key, Misfit, Row},
    schema::Schema,
    time::Timestamp,
    words::words,
};

/// A read model as code: which rows an event touches, and what becomes of each.
///
/// Both functions must be pure: the same inputs give the same result, on every machine and at any time. That is what
/// makes batches, verification, repair and rebuilds agree.
///
/// ```
/// use evenkeel_core::{Digest, Event, fold::{Fold, FoldError, Touch}};
/// use evenkeel_core::{row::{Cell, Key, Row}, schema::{Column, ColumnType, Merge, Schema}};
///
/// /// How many events each subject has.
/// struct Activity(Schema);
///
/// impl Activity {
///     fn new() -> Self {
///         let column = |name: &str, ty, merge| Column { name: name.into(), ty, merge };
///         Self(Schema {
///             model: "activity".into(),
///             version: 1,
///             key: vec![0],
///             columns: vec![
///                 column("subject", ColumnType::Text, Merge::Lww),
///                 column("events", ColumnType::I64, Merge::GCounter),
///             ],
///             subscribes: ["order_created".into()].into(),
///             fingerprint: Digest::of(b"activity 1"),
///         })
///     }
/// }
///
/// impl Fold for Activity {
///     fn schema(&self) -> &Schema {
///         &self.0
///     }
///
///     fn touches(&self, event: &Event, out: &mut Vec<Touch>) {
///         out.push(Touch { key: Ok(Key::text(event.draft.subject.as_str())), clause: 0, element: 0 });
///     }
///
///     fn apply(&self, slot: &mut Option<Row>, _: &Event, _: &Touch, key: &Key) -> Result<(), FoldError> {
///         let row = slot.get_or_insert_with(|| Row::new(&self.0, key));
///         let events = if let Cell::I64(events) = row.cells[1] { events } else { 0 };
///         row.cells[1] = Cell::I64(events + 1);
///         Ok(())
///     }
/// }
/// # let (activity, key, mut slot) = (Activity::new(), Key::text("o-1"), None);
/// # let draft = evenkeel_core::Draft { event_type: "order_created".into(), contract_version: 1, subject: "o-1".into(),
/// #     time: None, extensions: Default::default(), data: Default::default() };
/// # let event = Event { position: Default::default(), id: evenkeel_core::EventId::of("a", "1"), source: "a".into(),
/// #     raw_id: "1".into(), stream_version: Default::default(), recorded_at: Default::default(),
/// #     digest: Digest::of(b""), replica: "a".into(), causality: Default::default(), draft };
/// # let mut touches = Vec::new();
/// # activity.touches(&event, &mut touches);
/// # activity.apply(&mut slot, &event, &touches[0], &key).and_then(|()| activity.apply(&mut slot, &event, &touches[0], &key))?;
/// # assert_eq!(slot.map(|row| row.cells[1].clone()), Some(Cell::I64(2)));
/// # Ok::<(), FoldError>(())
/// ```
pub trait Fold: Send + Sync {
    /// The model's shape. Change its version or fingerprint whenever the code changes what the rows are.
    fn schema(&self) -> &Schema;

    /// Appends one touch for each row the event concerns, in the order in which they apply.
    fn touches(&self, event: &Event, out: &mut Vec<Touch>);

    /// What becomes of the row that `touch` names: `slot` holds it, or `None` where there is none, and is left holding
    /// the new row, or `None` where it is deleted.
    ///
    /// # Errors
    /// Where the event cannot be applied. The key is then parked, and what was left in `slot` is thrown away.
    fn apply(&self, slot: &mut Option<Row>, event: &Event, touch: &Touch, key: &Key) -> Result<(), FoldError>;

    /// As [`Fold::apply`], adding to `conflicts` what was decided between writes that did not know each other, after what earlier
    /// touches of the event have added: of that it may change what this one decides anew. Once the event is over agreements
    /// ([`Conflict::is_agreement`]) are left out of the records. Whatever is added before an error is thrown away too. Folds that merge nothing leave it as it is; one that wraps another hands this
    /// on too.
    ///
    /// # Errors
    /// As [`Fold::apply`].
    fn apply_recording(
        &self,
        slot: &mut Option<Row>,
        event: &Event,
        touch: &Touch,
        key: &Key,
        conflicts: &mut Vec<Conflict>,
    ) -> Result<(), FoldError> {
        let _ = conflicts;
        self.apply(slot, event, touch, key)
    }

    /// Whether the key of every row is the subject of the events that touch it. Where it is, a reader of a row can be
    /// told how many events about it wait in the gate's quarantine.
    fn keyed_by_subject(&self) -> bool {
        false
    }
}

/// One row that an event concerns.
#[derive(Debug, Clone, PartialEq)]
pub struct Touch {
    /// The row, or why it cannot be named.
    pub key: Result<Key, FoldError>,
    /// Which clause of the model this is; the fold gives it meaning.
    pub clause: u16,
    /// Which element of an array this is, 0 where there is none.
    pub element: u32,
}

/// What tells one application of an event to a row from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TouchId {
    /// The event.
    pub position: Position,
    /// The clause.
    pub clause: u16,
    /// The element.
    pub element: u32,
}

impl TouchId {
    fn of(event: &Event, touch: &Touch) -> Self {
        Self { position: event.position, clause: touch.clause, element: touch.element }
    }
}

/// Why an event cannot be applied to a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// The value does not fit the column.
    #[error("column {column}: {misfit}")]
    Misfit {
        /// The column.
        column: String,
        /// What does not fit.
        misfit: Misfit,
    },
    /// The result does not fit the column.
    #[error("column {column}: {left} + {right} does not fit 64 bits")]
    Overflow {
        /// The column.
        column: String,
        /// What was there.
        left: i64,
        /// What was to be added.
        right: i64,
    },
    /// The result is not exact.
    #[error("column {column}: {error}")]
    Decimal {
        /// The column.
        column: String,
        /// What is not exact.
        error: DecimalError,
    },
    /// Amounts of different currencies were to be added or compared.
    #[error("column {column} holds {row}, the event carries {event}")]
    Currency {
        /// The column.
        column: String,
        /// The row's currency.
        row: String,
        /// The event's currency.
        event: String,
    },
    /// A counter that only grows was to shrink.
    #[error("column {column} is a g_counter and cannot take {value}")]
    Shrink {
        /// The column.
        column: String,
        /// What was to be added.
        value: i64,
    },
    /// The row cannot be named.
    #[error("key column {column}: {misfit}")]
    Key {
        /// The key column.
        column: String,
        /// What was found for it.
        misfit: Misfit,
    },
    /// What should be fanned out over is not an array.
    #[error("{pointer}: expected an array, found {found}")]
    NotAnArray {
        /// Where.
        pointer: String,
        /// What is there.
        found: String,
    },
    /// A fold written in Rust refuses the event.
    #[error("{0}")]
    Custom(String),
}

words! {
    /// Where an event parked by a model is in its life.
    ParkState {
        /// Could not be applied; waits for a person.
        Poison = "quarantined",
        /// Waits behind an earlier event of its key.
        Held = "held",
        /// Given up by a person; refolds pass it over.
        Discarded = "discarded",
    }
}

/// Why an event waits that could be applied.
const HELD: &str = "an earlier event of this row could not be applied";

/// An event that a model could not apply to a row, or that waits behind such a one.
#[derive(Debug, Clone, PartialEq)]
pub struct Park {
    /// Which application of which event.
    pub touch: TouchId,
    /// The row; `None` where the event does not name one, and then nothing waits behind it.
    pub key: Option<Key>,
    /// The event's identity.
    pub event_id: EventId,
    /// Where it is in its life.
    pub state: ParkState,
    /// Why, in words.
    pub error: String,
    /// When it was parked.
    pub at: Timestamp,
    /// Who decided about it last, and why.
    pub decision: Option<Decision>,
}
