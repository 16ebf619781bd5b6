//! The home of read models: tables of rows, and beside each, in the same transaction, how far it has come.
use crate::Result;
use evenkeel_core::{
    ModelName, Position, Timestamp,
    checkpoint::Checkpoint,
    drift::{Content, Status},
    fold::{Loaded, Park, ParkState, TouchId},
    reconciliation::Reconciliation,
    row::{Key, Row},
    schema::Schema,
};

/// One of the tables of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// The one readers see.
    Live,
    /// The one that is being built beside it.
    Build,
}

/// What is stored about a model besides its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelState {
    /// The shape of the live table.
    pub schema: Schema,
    /// How far the live table has come.
    pub checkpoint: Checkpoint,
    /// Grows by one with every step of the live table and every swap; a [`Step`] names the one it builds on.
    pub generation: u64,
    /// What is known of the live rows.
    pub content: Content,
    /// What is parked.
    pub parked: Parked,
    /// The latest moment at which everything committed was known to be applied.
    pub as_of: Option<Timestamp>,
    /// The table being built, if there is one.
    pub build: Option<Build>,
}

/// A table that is being built.
#[derive(Debug, Clone, PartialEq)]
pub struct Build {
    /// Its shape.
    pub schema: Schema,
    /// How far it has come.
    pub checkpoint: Checkpoint,
    /// As [`ModelState::generation`], of the build. A new build goes on from the last one's, so that a step made for
    /// a dropped build does not fit the next.
    pub generation: u64,
}

/// The events a model has parked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parked {
    /// How many events are quarantined or held for at least one row.
    pub events: u64,
    /// When the first of them was parked.
    pub oldest_at: Option<Timestamp>,
}

/// One transaction on a table: rows, parks and checkpoint move together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// The generation this builds on; with another one nothing is written.
    pub generation: u64,
    /// Rows to write whole.
    pub upserts: Vec<(Key, Row)>,
    /// Rows to delete.
    pub deletes: Vec<Key>,
    /// Parked events to write, by their touch.
    pub parks: Vec<Park>,
    /// Parked events that are resolved.
    pub unparks: Vec<TouchId>,
    /// The checkpoint afterwards.
    pub checkpoint: Checkpoint,
    /// The distance to the log, for those who read the tables with SQL.
    pub measured: Option<Measured>,
}

/// The distance between a model and the log, as kept beside the rows for the view `_ek_freshness`.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The safe head.
    pub head: Position,
    /// Events behind; `None` where not known.
    pub lag_count: Option<u64>,
    /// When the oldest event not yet applied was recorded.
    pub oldest_unapplied: Option<Timestamp>,
    /// The latest moment at which everything committed was known to be applied.
    pub as_of: Option<Timestamp>,
    /// The status, where it was judged.
    pub status: Option<Status>,
    /// Why.
    pub reason: Option<String>,
    /// When this was measured.
    pub at: Timestamp,
}

/// A row with everything that must be known to label it, from one snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct RowAt {
    /// The model.
    pub state: ModelState,
    /// The row, if there is one.
    pub row: Option<Row>,
    /// How many events of this key are parked.
    pub parked_events: u64,
}

/// Rows in order of their keys with everything that must be known to label them, from one snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// The model.
    pub state: ModelState,
    /// The rows, each with whether events of its key are parked.
    pub rows: Vec<(Row, bool)>,
    /// Whether there are more.
    pub more: bool,
}

/// A home of read models.
///
/// Guarantees every implementation gives:
/// - rows, parks and checkpoint of a [`Step`] are written in one transaction, or nothing is;
/// - a step on another generation than the stored one is refused ([`crate::StoreError::Conflict`]);
/// - a read sees rows and checkpoint of one moment;
/// - [`Models::swap`] replaces table, checkpoint and parks in one transaction: after a crash there is the old table
///   or the new one.
///
/// Durability is not demanded of single steps: after a power cut a model may be at an earlier checkpoint, never at one
/// that its rows do not match.
pub trait Models: Send + Sync {
    /// Makes sure the model has a table and returns its state. A model seen for the first time gets an empty one; one
    /// whose stored schema is another keeps its table as it is.
    fn register(&self, schema: &Schema) -> Result<ModelState>;

    /// The state of a model.
    fn state(&self, model: &ModelName) -> Result<Option<ModelState>>;

    /// The models there are, by name.
    fn models(&self) -> Result<Vec<ModelName>>;

    /// The rows of these keys, and which of the keys have parked events.
    fn load(&self, model: &ModelName, table: Table, keys: &[Key]) -> Result<Loaded>;

    /// Writes a step.
    fn commit(&self, model: &ModelName, table: Table, step: &Step) -> Result<()>;

    /// One row of the live table.
    fn get(&self, model: &ModelName, key: &Key) -> Result<RowAt>;

    /// Up to `limit` rows after `after`, in order of their keys.
    fn rows(&self, model: &ModelName, table: Table, after: Option<&Key>, limit: usize) -> Result<Rows>;

    /// How many rows the live table has.
    fn count(&self, model: &ModelName) -> Result<u64>;

    /// Parked events of the live table in one state (all where `None`), in log order.
    fn parks(&self, model: &ModelName, state: Option<ParkState>) -> Result<Vec<Park>>;

    /// Starts an empty table beside the live one; what an earlier build left is dropped.
    fn begin_build(&self, schema: &Schema) -> Result<Build>;

    /// Puts the built table in the live one's place, with its checkpoint and parks. Discarded parks are kept.
    fn swap(&self, model: &ModelName, content: Content) -> Result<()>;

    /// Drops the table being built.
    fn abandon_build(&self, model: &ModelName) -> Result<()>;

    /// Keeps what was found out about the rows. Moves no generation.
    fn set_content(&self, model: &ModelName, content: Content) -> Result<()>;

    /// Keeps a measured distance, for those who read the tables with SQL. Moves no generation.
    fn set_measured(&self, model: &ModelName, measured: &Measured) -> Result<()>;

    /// Keeps the record of a reconciliation and returns its number.
    fn record(&self, reconciliation: &Reconciliation) -> Result<u64>;

    /// The latest reconciliations, newest first.
    fn reconciliations(&self, model: Option<&ModelName>, limit: usize) -> Result<Vec<Reconciliation>>;
}
