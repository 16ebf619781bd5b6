//! What goes wrong inside a transaction, and which [`StoreError`] that is for the caller.
//!
//! Faults on purpose are [`crate::faulty`]'s.
use crate::StoreError;
use rusqlite::{Error, ErrorCode, types::FromSqlError};
use std::path::Path;

/// The result of work inside a transaction.
pub(super) type Fallible<T> = Result<T, Fault>;

/// What went wrong.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite says so.
    Sql(Error),
    /// A stored value is not what was written.
    Bad(String),
    /// Our own decision.
    Store(StoreError),
}

impl Fault {
    /// A write that would break a guarantee.
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self::Store(StoreError::Refused(why.into()))
    }

    /// As [`Fault::Sql`], of a statement that makes a table: SQLite's objection is to what was asked for.
    pub(super) fn of_definition(error: Error) -> Self {
        match error {
            Error::SqlInputError { msg, .. } => Self::refused(msg),
            Error::SqliteFailure(failure, Some(message)) if failure.code == ErrorCode::Unknown => {
                Self::refused(message)
            }
            other => Self::Sql(other),
        }
    }

    /// What the caller is told; `path` is the file.
    pub(super) fn at(self, path: &Path) -> StoreError {
        let path = path.display();
        match self {
            Self::Store(error) => error,
            Self::Bad(what) => StoreError::Corrupt(format!("{path}: {what}")),
            Self::Sql(error) => match explain(&error) {
                Kind::Transient(what) => StoreError::Unavailable(format!("{path}: {what} ({error})")),
                Kind::Refused => StoreError::Refused(error.to_string()),
                Kind::Damaged => match error {
                    // Its own text quotes the whole statement.
                    Error::SqlInputError { msg, .. } => StoreError::Corrupt(format!("{path}: {msg}")),
                    error => StoreError::Corrupt(format!("{path}: {error}")),
                },
            },
        }
    }
}

enum Kind {
    Transient(&'static str),
    Refused,
    Damaged,
}

fn explain(error: &Error) -> Kind {
    let Some(code) = error.sqlite_error_code() else { return Kind::Damaged };
    match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            Kind::Transient("another connection has locked it")
        }
        ErrorCode::DiskFull => Kind::Transient("there is no space left for it"),
        ErrorCode::SystemIoFailure => Kind::Transient("reading or writing failed"),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => Kind::Transient("it cannot be written"),
        ErrorCode::CannotOpen => Kind::Transient("it cannot be opened"),
        ErrorCode::OutOfMemory => Kind::Transient("there is no memory left"),
        ErrorCode::OperationInterrupted | ErrorCode::OperationAborted => Kind::Transient("the work was interrupted"),
        ErrorCode::ConstraintViolation | ErrorCode::TooBig => Kind::Refused,
        _ => Kind::Damaged,
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Sql(error)
    }
}

impl From<FromSqlError> for Fault {
    fn from(error: FromSqlError) -> Self {
        Self::Bad(error.to_string())
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Bad(error.to_string())
    }
}
