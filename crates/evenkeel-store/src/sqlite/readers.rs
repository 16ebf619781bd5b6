//! The connections that only read: a few, opened when first needed, each with what it has lately looked up.
//!
//! A connection that met an error is closed rather than given back, so that whatever was wrong with it ends with it.
use super::fault::{Fallible, Fault};
use crate::StoreError;
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use std::{
    thread::available_parallelism,
    time::{Duration, Instant},
};

/// More readers than this wait for each other. A read is a matter of milliseconds.
const MOST: usize = 8;

/// Of those that may take seconds there are no more than can be carried out at once, and not fewer than these.
const FEWEST: usize = 2;

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
    most: usize,
}

struct Pool<R> {
    idle: Vec<Reader<R>>,
    open: usize,
}

impl<R> Readers<R> {
    pub(super) fn new() -> Self {
        Self { pool: Mutex::new(Pool { idle: Vec::new(), open: 0 }), freed: Condvar::new(), most: MOST }
    }

    /// As many as there are processors, for reads that keep one busy: more of them at once would only each take longer.
    pub(super) fn for_long() -> Self {
        let processors = available_parallelism().map_or(FEWEST, usize::from);
        Self { most: processors.clamp(FEWEST, MOST), ..Self::new() }
    }

    /// Lends a connection, the last one given back if there is one, else a new one from `open`.
    pub(super) fn lend<T>(
        &self,
        open: impl FnOnce() -> Fallible<Reader<R>>,
        read: impl FnOnce(&mut Reader<R>) -> Fallible<T>,
    ) -> Fallible<T> {
        self.lend_within(None, open, read)
    }

    /// As [`Self::lend`], waiting for one no longer than so.
    pub(super) fn lend_within<T>(
        &self,
        patience: Option<Duration>,
        open: impl FnOnce() -> Fallible<Reader<R>>,
        read: impl FnOnce(&mut Reader<R>) -> Fallible<T>,
    ) -> Fallible<T> {
        let until = patience.and_then(|patience| Instant::now().checked_add(patience));
        let Ok(idle) = self.take(until) else {
            return Err(StoreError::Unavailable("too many reads that take long are under way".into()).into());
        };
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

    /// An idle connection, or `None` where the caller may open one. An error where there is neither in time.
    fn take(&self, until: Option<Instant>) -> Result<Option<Reader<R>>, ()> {
        let mut pool = self.pool.lock();
        loop {
            if let Some(reader) = pool.idle.pop() {
                return Ok(Some(reader));
            }
            if pool.open < self.most {
                pool.open += 1;
                return Ok(None);
            }
            match until {
                None => self.freed.wait(&mut pool),
                Some(until) if Instant::now() >= until => return Err(()),
                Some(until) => drop(self.freed.wait_until(&mut pool, until)),
            }
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
