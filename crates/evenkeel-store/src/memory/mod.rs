//! The reference store: plain maps behind a lock, so simple that it can be seen to be right.
//!
//! Other backends are compared with it ([`crate::conformance`]), and simulations and tests run on it. It keeps nothing
//! when the process ends. What a disk loses is [`crate::faulty`]'s business, which takes and puts back images of a
//! [`Volatile`] store.
mod log;
mod models;
mod snapshots;

pub use log::{LogImage, MemoryLog};
pub use models::{MemoryModels, ModelsImage, Tamper};
pub use snapshots::{MemorySnapshots, SnapshotsImage};

use crate::{Result, StoredRow, Table};
use evenkeel_core::{Epoch, ModelName, ReplicaName, Timestamp, row::Key};
use std::{fmt, sync::Arc};

/// Where a store gets the time from.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A store whose whole state can be kept and put back, as a disk does that loses its cache.
pub trait Volatile {
    /// The whole state at one moment.
    type Image: Send;

    /// The state now.
    fn image(&self) -> Self::Image;

    /// Puts an earlier state back. What was written since is gone; who waits is not woken.
    fn restore(&self, image: Self::Image);
}

/// A home of models whose rows can be put back behind its own books, as a torn write leaves them.
pub trait Torn {
    /// Puts rows back as they were; sums, checkpoint and generation stay.
    ///
    /// # Errors
    /// Where there is no such table.
    fn put_back(&self, model: &ModelName, table: Table, keys: &[Key], rows: Vec<StoredRow>) -> Result<()>;
}

/// A log, a home of models and one of snapshots in memory.
///
/// ```
/// use evenkeel_core::{Epoch, Position, Timestamp};
/// use evenkeel_store::{Log, memory::MemoryStore};
/// use std::sync::Arc;
///
/// let store = MemoryStore::new(Epoch(1), Arc::new(|| Timestamp::from_micros(0)));
/// assert_eq!(store.log.safe_head()?.position, Position::ZERO);
/// # Ok::<(), evenkeel_store::StoreError>(())
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    /// The log.
    pub log: Arc<MemoryLog>,
    /// The models.
    pub models: Arc<MemoryModels>,
    /// Snapshots of the models.
    pub snapshots: Arc<MemorySnapshots>,
}

impl MemoryStore {
    /// An empty store of a node to which nobody gave a name. `epoch` is the life of its log, `now` the clock of its safe
    /// head.
    pub fn new(epoch: Epoch, now: Now) -> Self {
        Self::named(ReplicaName::default(), epoch, now)
    }

    /// As [`MemoryStore::new`], of the node `replica`.
    pub fn named(replica: ReplicaName, epoch: Epoch, now: Now) -> Self {
        Self { log: Arc::new(MemoryLog::new(epoch, now, replica)), models: Arc::default(), snapshots: Arc::default() }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
