//! Connections that look for rows for no longer than they may: SQLite is interrupted when the time is over. They are other
//! ones than most reads go by, so that who takes long does not hold up who does not.
//!
//! Not here: what is looked for. Statements of readers have their own ([`super::sql`]).
use crate::{
    Result, StoreError,
    sqlite::{
        database::Database,
        fault::{Fallible, Fault},
        readers::{Reader, Readers},
    },
};
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Instructions of SQLite's machine between two looks at the time.
const INSTRUCTIONS: i32 = 1000;

/// When what runs on a connection must end.
#[derive(Default)]
struct Until(Arc<Mutex<Option<Instant>>>);

/// The connections.
pub(super) struct Timed(Readers<Until>);

impl Timed {
    pub(super) fn new() -> Self {
        Self(Readers::for_long())
    }

    /// Runs `work` on one moment of the file, or as much of it as there is time for: [`StoreError::TooLong`] then.
    pub(super) fn read<T>(
        &self,
        db: &Database<(), ()>,
        within: Duration,
        work: impl FnOnce(&Connection) -> Fallible<T>,
    ) -> Result<T> {
        let open = || {
            let (mut conn, state) = (db.read_only()?, Until::default());
            conn.pragma_update(None, "query_only", true)?;
            conn.pragma_update(None, "cache_size", -16_384)?;
            let until = Arc::clone(&state.0);
            let is_over = move || until.lock().is_some_and(|until| Instant::now() >= until);
            conn.progress_handler(INSTRUCTIONS, Some(is_over))?;
            Ok(Reader { conn, state })
        };
        let read = |reader: &mut Reader<Until>| {
            *reader.state.0.lock() = Instant::now().checked_add(within);
            let _ends = Ends(&reader.state);
            let snapshot = reader.conn.unchecked_transaction()?;
            match work(&snapshot) {
                Err(Fault::Sql(error)) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                    Err(StoreError::TooLong(within).into())
                }
                done => done,
            }
        };
        self.0.lend_within(Some(within), open, read).map_err(|fault| db.at(fault))
    }
}

/// Lets what comes after run as long as it likes: also what only ends this.
struct Ends<'r>(&'r Until);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        *self.0.0.lock() = None;
    }
}
