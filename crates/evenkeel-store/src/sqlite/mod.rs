//! The embedded store: two SQLite files in one data folder, `log.db` and `models.db`, so that appending to the log and
//! writing rows do not wait for each other.
//!
//! Both run in WAL mode with one writing connection and a few reading ones; readers never wait for the writer. One
//! process at a time has a data folder, held by a lock on the file `LOCK` in it. Both files can be read, also while
//! they are in use, with the plain `sqlite3` tool (3.37 or later): the log through the view `log`, models as tables of
//! their names, how fresh they are through the view `_ek_freshness`.
//!
//! | file | durable when the call returns | at the default setting |
//! |---|---|---|
//! | `log.db` | every transaction, also after a power cut | `synchronous=FULL` |
//! | `models.db` | not the latest steps: after a power cut a model may be at an earlier checkpoint, with the rows of that checkpoint, and catches up from the log | `synchronous=NORMAL` |
//!
//! Snapshots of models are files in the folder `snapshots`, each durable once it is there; they outlast `models.db`.
//!
//! With [`Synchronous::Normal`] the log too may lose its latest transactions in a power cut, never in a crash of the
//! process.
//!
//! Not here: any decision about what is written (`evenkeel-core`), and threads.
mod cache;
mod compare;
mod database;
mod fault;
mod fields;
mod folder;
mod log;
mod models;
mod readers;
mod snapshots;
mod strangers;
#[cfg(test)]
mod tests;

pub use log::SqliteLog;
pub use models::{SqliteModels, check_views};
pub use snapshots::SqliteSnapshots;

use crate::Result;
use evenkeel_core::{ReplicaName, Timestamp};
use folder::Folder;
use std::{fmt, path::Path, sync::Arc};

/// Where a store gets the time from.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// When a transaction of the log counts as written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// When the disk says it has it: a power cut loses nothing that was acknowledged.
    #[default]
    Full,
    /// When the operating system has it: a power cut may lose the latest transactions.
    Normal,
}

/// How the embedded store is opened.
#[derive(Clone)]
pub struct SqliteOptions {
    /// When a transaction of the log counts as written.
    pub synchronous: Synchronous,
    /// How long a transaction waits for a lock that another connection holds.
    pub busy_timeout_ms: u64,
    /// The clock of the log's safe head.
    pub now: Now,
    /// The greatest size of each file, in pages of 4096 bytes; `None` for as much as the disk holds.
    pub max_pages: Option<u32>,
    /// The name of the node. A new log takes it, and keeps it.
    pub replica: ReplicaName,
}

impl SqliteOptions {
    /// Durable, waiting two seconds for locks, of any size, of a node to which nobody gave a name.
    pub fn new(now: Now) -> Self {
        let replica = ReplicaName::default();
        Self { synchronous: Synchronous::Full, busy_timeout_ms: 2000, now, max_pages: None, replica }
    }
}

impl fmt::Debug for SqliteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteOptions")
            .field("synchronous", &self.synchronous)
            .field("busy_timeout_ms", &self.busy_timeout_ms)
            .field("max_pages", &self.max_pages)
            .field("replica", &self.replica)
            .finish_non_exhaustive()
    }
}

/// A log and a home of models in one data folder. The folder stays locked as long as either of them is alive.
///
/// ```
/// use evenkeel_core::{Position, Timestamp};
/// use evenkeel_store::{Log, sqlite::{SqliteOptions, SqliteStore}};
/// use std::sync::Arc;
///
/// let folder = tempfile::tempdir()?;
/// let store = SqliteStore::open(folder.path(), SqliteOptions::new(Arc::new(|| Timestamp::from_micros(0))))?;
/// assert_eq!(store.log.safe_head()?.position, Position::ZERO);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    /// The log, `log.db`.
    pub log: Arc<SqliteLog>,
    /// The models, `models.db`.
    pub models: Arc<SqliteModels>,
    /// Snapshots of the models, in the folder `snapshots`.
    pub snapshots: Arc<SqliteSnapshots>,
}

impl SqliteStore {
    /// Opens the data folder `dir`, and makes it and its files where they are missing.
    ///
    /// # Errors
    /// - [`crate::StoreError::InUse`] where another process has it, and nothing was touched;
    /// - [`crate::StoreError::Newer`] where a newer program wrote it, and nothing was touched;
    /// - [`crate::StoreError::OtherReplica`] where its log bears another name than [`SqliteOptions::replica`];
    /// - [`crate::StoreError::Corrupt`] where a file is damaged or not ours, and it was not touched;
    /// - [`crate::StoreError::Unavailable`] where it cannot be made, read or written now.
    pub fn open(dir: &Path, options: SqliteOptions) -> Result<Self> {
        let folder = Arc::new(Folder::open(dir)?);
        let log = SqliteLog::open(Arc::clone(&folder), &options)?;
        let models = SqliteModels::open(Arc::clone(&folder), &options)?;
        let snapshots = SqliteSnapshots::open(Arc::clone(&folder))?;
        folder.sync()?;
        Ok(Self { log: Arc::new(log), models: Arc::new(models), snapshots: Arc::new(snapshots) })
    }

    /// Sets the greatest size of each file, in pages; `None` for as much as the disk holds. A file that is larger
    /// stays as it is and grows no further.
    ///
    /// # Errors
    /// [`crate::StoreError::Unavailable`] where the files cannot be reached; the old size may stay for one of them.
    pub fn set_max_pages(&self, max_pages: Option<u32>) -> Result<()> {
        self.log.database().set_max_pages(max_pages)?;
        self.models.database().set_max_pages(max_pages)
    }
}

/// Runs SQL on the models in the data folder `dir` as any other client would, with a connection of its own and its
/// triggers on: for demonstrations and tests of what is done to rows behind the projector's back.
///
/// # Errors
/// [`crate::StoreError`] where SQLite refuses it.
pub fn execute_as_stranger(dir: &Path, sql: &str) -> Result<()> {
    let path = dir.join("models.db");
    let run = || {
        let conn = rusqlite::Connection::open(&path)?;
        conn.busy_timeout(std::time::Duration::from_secs(10))?;
        conn.execute_batch(sql)
    };
    run().map_err(|error| fault::Fault::from(error).at(&path))
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("folder", &self.log.database().folder()).finish_non_exhaustive()
    }
}
