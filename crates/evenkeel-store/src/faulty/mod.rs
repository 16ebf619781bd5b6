//! Stores with faults: they pass calls on to a store in memory and, where a script says so, fail or lie.
//!
//! For proving that nothing acknowledged is lost where the storage keeps its word, and that it is found out where the
//! storage does not. Not here: chance or time. The script is the caller's and decides each call by what the call is,
//! so the same script gives the same faults.
//!
//! ```
//! use evenkeel_core::{Epoch, Timestamp};
//! use evenkeel_store::{Log, StoreError, faulty::{Fault, FaultyLog, Operation}, memory::MemoryStore};
//! use std::sync::Arc;
//!
//! let store = MemoryStore::new(Epoch(1), Arc::new(|| Timestamp::from_micros(0)));
//! let script = |operation| if operation == Operation::SafeHead { Fault::Fail } else { Fault::None };
//! let log = FaultyLog::new(store.log, Box::new(script));
//! assert!(matches!(log.safe_head(), Err(StoreError::Unavailable(_))));
//! ```
mod log;
mod misread;
mod models;
mod snapshots;
#[cfg(test)]
mod tests;

pub use log::FaultyLog;
pub use misread::{Misread, MisreadLog};
pub use models::FaultyModels;
pub use snapshots::FaultySnapshots;

use crate::{Result, StoreError, Table, memory::Volatile};
use parking_lot::Mutex;
use std::sync::Arc;

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It fails, and nothing was done: a lock, a full disk, an I/O error.
    Fail,
    /// It was done, and the caller is told that it failed: the answer was lost. For a read the same as [`Fault::Fail`].
    /// This breaks what [`StoreError`] says, as a database on the other end of a broken connection does: a caller that
    /// tries again must find what it did the first time.
    FailAfter,
    /// The write is acknowledged and everybody sees it, but it lies in a cache that the next crash loses: a disk that
    /// ignores the sync. The next write without this fault takes the whole cache to the disk. Reads never lie.
    Lie,
    /// The commit of a step is acknowledged, its checkpoint and sums move, but of its row writes the first and every
    /// second one after it are lost at once: a torn write. Comparing the rows with the sums or the log finds this. A frame
    /// of a snapshot is acknowledged and lost ([`crate::Draft::write`]); of a snapshot that is kept
    /// ([`crate::Draft::keep`]) the second half of the frames is lost, and nothing told of it when it is read. Any other
    /// call is done whole.
    Tear,
}

/// The calls that a script tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// [`crate::Log::safe_head`]
    SafeHead,
    /// [`crate::Log::transact`]
    Transact,
    /// Any read of events
    ReadLog,
    /// [`crate::Log::forget_raws`]
    ForgetRaws,
    /// [`crate::Log::wait_past`]
    WaitPast,
    /// Any read of the quarantine
    ReadQuarantine,
    /// [`crate::Models::register`], or any write about consumers
    Register,
    /// [`crate::Models::commit`]
    Commit(Table),
    /// Any read of a table's rows
    ReadTable(Table),
    /// [`crate::Models::parks_of`]
    ReadParks,
    /// [`crate::Models::state`], [`crate::Models::models`] or [`crate::Models::consumers`]
    ReadState,
    /// [`crate::Models::begin_build`]
    BeginBuild,
    /// [`crate::Models::swap`] or [`crate::Models::rollback`]
    Swap,
    /// [`crate::Models::abandon_build`]
    AbandonBuild,
    /// Any read of sums, notes and digests
    ReadContent,
    /// [`crate::Models::set_content`], or anything else that is written about the content
    SetContent,
    /// [`crate::Models::lease`] or [`crate::Models::release`]
    Lease,
    /// [`crate::Models::set_measured`]
    SetMeasured,
    /// [`crate::Models::record`] or [`crate::Models::amend`]
    Record,
    /// [`crate::Models::reconciliations`], [`crate::Models::reconciliation`] or [`crate::Models::evidence`]
    ReadReconciliations,
    /// [`crate::Models::conflicts`] or [`crate::Models::count_conflicts`]
    ReadConflicts,
    /// [`crate::Snapshots::begin`] or [`crate::Draft::write`]
    WriteSnapshot,
    /// [`crate::Draft::keep`]
    KeepSnapshot,
    /// [`crate::Snapshots::list`], [`crate::Snapshots::open`], [`crate::Draft::read_back`] or a frame of either
    ReadSnapshot,
    /// [`crate::Snapshots::remove`]
    RemoveSnapshot,
}

/// Decides the fault of each call, in the order in which calls begin.
pub type Script = Box<dyn FnMut(Operation) -> Fault + Send>;

/// What the wrappers share: the store, the script, and what the disk has where it is not what the store shows.
struct Shell<S: Volatile> {
    inner: Arc<S>,
    script: Mutex<Script>,
    /// The state on the disk while acknowledged writes lie in its cache. Writes hold this lock, so that an image is
    /// of the moment before its write.
    on_disk: Mutex<Option<S::Image>>,
}

impl<S: Volatile> Shell<S> {
    fn new(inner: Arc<S>, script: Script) -> Self {
        Self { inner, script: Mutex::new(script), on_disk: Mutex::new(None) }
    }

    /// The store behind the faults, for what cannot fail.
    fn inner(&self) -> &S {
        &self.inner
    }

    fn fault(&self, operation: Operation) -> Fault {
        (self.script.lock())(operation)
    }

    fn read<T>(&self, operation: Operation, call: impl FnOnce(&S) -> Result<T>) -> Result<T> {
        match self.fault(operation) {
            Fault::Fail | Fault::FailAfter => Err(failed(operation)),
            Fault::None | Fault::Lie | Fault::Tear => call(&self.inner),
        }
    }

    fn write<T>(&self, operation: Operation, call: impl FnOnce(&S, Fault) -> Result<T>) -> Result<T> {
        let fault = self.fault(operation);
        if fault == Fault::Fail {
            return Err(failed(operation));
        }
        let mut on_disk = self.on_disk.lock();
        if fault == Fault::Lie {
            let before = on_disk.is_none().then(|| self.inner.image());
            let done = call(&self.inner, fault)?;
            *on_disk = on_disk.take().or(before);
            return Ok(done);
        }
        let done = call(&self.inner, fault)?;
        *on_disk = None;
        if fault == Fault::FailAfter { Err(failed(operation)) } else { Ok(done) }
    }

    fn crash(&self) -> bool {
        let lost = self.on_disk.lock().take();
        let any = lost.is_some();
        if let Some(image) = lost {
            self.inner.restore(image);
        }
        any
    }
}

fn failed(operation: Operation) -> StoreError {
    StoreError::Unavailable(format!("a fault was injected into {operation:?}"))
}
