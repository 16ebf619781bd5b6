//! What can go wrong in a store, by what its caller can do about it.
//!
//! Which error of a backend is which is the backend's to say.
use evenkeel_core::{ModelName, ReplicaName};
use std::{path::PathBuf, time::Duration};

/// The result of a storage operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why a storage operation did not happen. After any of these nothing of it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot do it now (locked, full, an I/O error): the same call may succeed later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Another process has the data folder open.
    #[error("{0}: another process has this data folder open")]
    InUse(PathBuf),
    /// The data was written by a newer version of Evenkeel.
    #[error("{path}: data format {found} is newer than this program understands ({supported}); use a newer evenkeel")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known format.
        supported: u32,
    },
    /// The log bears another name than the node that would write it. The marks of its events name it: under two names what
    /// is one replica would be taken for two, and under the name of another one its events for that one's.
    #[error(
        "{path}: this is the log of the node {found:?}, not of {wanted:?}; set `[node] id = \"{found}\"`, or another `[node] data` to begin a log of its own"
    )]
    OtherReplica {
        /// The file.
        path: PathBuf,
        /// Its name.
        found: ReplicaName,
        /// The name under which it was to be opened.
        wanted: ReplicaName,
    },
    /// What was read is not what was written.
    #[error("the store holds what cannot be read: {0}")]
    Corrupt(String),
    /// What was to be written would break a guarantee of the store: a defect of the caller.
    #[error("the store refuses to write this: {0}")]
    Refused(String),
    /// Somebody else has moved the model since the caller looked. Look again.
    #[error("model {model} was changed by somebody else (generation {found}, expected {expected})")]
    Conflict {
        /// The model.
        model: ModelName,
        /// The generation the caller knew.
        expected: u64,
        /// The generation there is.
        found: u64,
    },
    /// Reading took longer than it may.
    #[error("the rows were not found within {} ms", .0.as_millis())]
    TooLong(Duration),
    /// There is no such model, or no build of it.
    #[error("no model named {0} is stored")]
    NoModel(ModelName),
}

impl StoreError {
    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Conflict { .. })
    }
}
