//! Where snapshots of models are kept: apart from the models, so that they outlast the loss of a table or of all of them.
//!
//! What is in a snapshot is [`evenkeel_core::snapshot`]'s; here it is frames of bytes. When one is taken, begun from and
//! thrown away is the runtime's business.
use crate::Result;
use evenkeel_core::{ModelName, Position};

/// A snapshot that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// The position of the model it is of.
    pub position: Position,
    /// How much room it takes, in bytes.
    pub bytes: u64,
}

/// A home of snapshots.
///
/// Guarantees every implementation gives:
/// - a snapshot is there whole or not at all: what is not kept ([`Draft::keep`]), because of an error or a crash, is not
///   listed and cannot be opened;
/// - one that is kept is durable when the call returns, and replaces one of the same model and position in one step;
/// - frames come back as they were written, or reading them is an error ([`crate::StoreError::Corrupt`]);
/// - reading takes no more memory than the longest frame.
pub trait Snapshots: Send + Sync {
    /// Begins a snapshot.
    fn begin<'s>(&'s self, model: &ModelName, position: Position) -> Result<Box<dyn Draft + 's>>;
    /// The snapshots of a model, that of the highest position first.
    fn list(&self, model: &ModelName) -> Result<Vec<Kept>>;
    /// Reads one from its first frame on; `None` where there is none.
    fn open(&self, model: &ModelName, position: Position) -> Result<Option<Box<dyn Frames>>>;
    /// Removes one, if it is there.
    fn remove(&self, model: &ModelName, position: Position) -> Result<()>;
}

/// A snapshot that is being written. Dropping it throws it away.
pub trait Draft {
    /// Writes the next frame.
    fn write(&mut self, frame: &[u8]) -> Result<()>;
    /// Reads what was written so far, from the first frame on.
    fn read_back(&mut self) -> Result<Box<dyn Frames>>;
    /// Keeps it.
    fn keep(self: Box<Self>) -> Result<Kept>;
}

/// The frames of a snapshot, in their order.
pub trait Frames: Send {
    /// The next frame; `None` at the end.
    fn next(&mut self) -> Result<Option<Vec<u8>>>;
}
