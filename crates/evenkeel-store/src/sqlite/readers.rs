//! The connections that only read: a few, opened when first needed, each with what it has lately looked up.
//!
//! A connection that met an error is closed rather than given back, so that whatever was wrong with it ends with it.
use super::fault::{Fallible, Fault};
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

/// More readers than this wait for each other. A read is a matter of milliseconds.
const MOST: usize = 8;

/// A connection that only reads.
pub(super) struct Reader<R> {
    pub(super) conn: Connection,
    /// What it has lately looked up.
    pub(super) state: R,
}

/// The connections of one file that only read.
pub(super) struct Readers<R> {
    pool: Mutex<Pool<R>>,
    freed: Condvar,
}

struct Pool<R> {
    idle: Vec<Reader<R>>,
    open: usize,
}

impl<R> Readers<R> {
    pub(super) fn new() -> Self {
        Self { pool: Mutex::new(Pool { idle: Vec::new(), open: 0 }), freed: Condvar::new() }
    }

    /// Lends a connection, the last one given back if there is one, else a new one from `open`.
    pub(super) fn lend<T>(
        &self,
        open: impl FnOnce() -> Fallible<Reader<R>>,
        read: impl FnOnce(&mut Reader<R>) -> Fallible<T>,
    ) -> Fallible<T> {
        let idle = self.take();
        let mut loan = Loan { readers: self, back: None };
        let mut reader = match idle {
            Some(reader) => reader,
            None => open()?,
        };
        let result = read(&mut reader);
        if !matches!(result, Err(Fault::Sql(_))) {
            loan.back = Some(reader);
        }
        result
    }

    /// An idle connection, or `None` where the caller may open one.
    fn take(&self) -> Option<Reader<R>> {
        let mut pool = self.pool.lock();
        loop {
            if let Some(reader) = pool.idle.pop() {
                return Some(reader);
            }
            if pool.open < MOST {
                pool.open += 1;
                return None;
            }
            self.freed.wait(&mut pool);
        }
    }
}

/// A place in the pool that is taken; given back when this ends, with the connection or without.
struct Loan<'p, R> {
    readers: &'p Readers<R>,
    back: Option<Reader<R>>,
}

impl<R> Drop for Loan<'_, R> {
    fn drop(&mut self) {
        let mut pool = self.readers.pool.lock();
        match self.back.take() {
            Some(reader) => pool.idle.push(reader),
            None => pool.open -= 1,
        }
        self.readers.freed.notify_one();
    }
}
