//! Whether the rows of a table can be believed by their digests: as long as nobody else has written since all of them were
//! last added up.
//!
//! A row that somebody put back with its own digest of yesterday, and no trigger ran, looks like what the projector wrote,
//! and of one that was deleted nothing is there to look at. The sums tell, but only who reads every row: the scrub at its
//! rate, and [`Trust::add_up`] at once for whom it cannot wait. Noting what was written is the store's.
use evenkeel_core::{digest::Buckets, schema::Schema};
use evenkeel_store::{Models, Piece, Result};
use parking_lot::Mutex;
use std::{
    ops::ControlFlow::{self, Break, Continue},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// As of which of others' commits the rows were all as they were meant.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    known: Mutex<Known>,
    /// Held by who adds up: others wait and find it done.
    adding: Mutex<()>,
    /// Somebody needs all rows added up and cannot wait for it.
    asked: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    /// `None` where nothing is known.
    sound: Option<u64>,
    /// The same of the scrub's pass that is under way.
    begun: Option<u64>,
    /// How often another table came in the model's place: who has read the one before says nothing of this one.
    tables: u64,
}

/// What adding up all rows came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    /// They are what the projector meant.
    Sound,
    /// They are not, in so many buckets.
    Differs(u32),
    /// It was called off, or the table is not of the declared version.
    NotNow,
}

impl Trust {
    /// The scrub's pass over all rows begins.
    pub(crate) fn begin(&self, models: &dyn Models) -> Result<()> {
        let strangers = models.strangers()?;
        self.known.lock().begun = strangers;
        Ok(())
    }

    /// The pass has found every row as it was meant.
    pub(crate) fn end(&self) {
        let mut known = self.known.lock();
        known.sound = known.begun;
    }

    /// Another table is in the model's place.
    pub(crate) fn forget(&self) {
        let mut known = self.known.lock();
        *known = Known { tables: known.tables + 1, ..Known::default() };
    }

    /// Whether a row that was read before this is called can be believed.
    pub(crate) fn holds(&self, models: &dyn Models) -> Result<bool> {
        let Some(sound) = self.known.lock().sound else { return Ok(false) };
        Ok(models.strangers()? == Some(sound))
    }

    /// Asks for all rows to be added up by whoever has the time.
    pub(crate) fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
    }

    /// Whether somebody has asked since this was last called.
    pub(crate) fn take_asked(&self) -> bool {
        self.asked.swap(false, Ordering::SeqCst)
    }

    /// Adds up all rows of the live table as they are at one moment, unless that has been done since anybody else wrote.
    /// Nobody's turn is needed. Waits for another who does the same for at most `patience`.
    pub(crate) fn add_up(
        &self,
        models: &dyn Models,
        schema: &Schema,
        patience: Duration,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Added> {
        let Some(_adding) = self.adding.try_lock_for(patience) else { return Ok(Added::NotNow) };
        if self.holds(models)? {
            return Ok(Added::Sound);
        }
        let tables = self.known.lock().tables;
        let Some(strangers) = models.strangers()? else { return Ok(Added::NotNow) };
        let (mut meant, mut there) = (None, Buckets::default());
        let mut is_whole = true;
        models.freeze(&schema.model, &mut |piece| {
            match piece {
                Piece::Books(books) if books.state.schema.same_as(schema) => meant = Some(books.buckets),
                Piece::Rows(rows) => {
                    rows.iter().for_each(|(row, hash)| there.get_mut(hash.bucket()).add(row.digest.0));
                }
                Piece::Books(_) | Piece::Touches(_) => return Break(()),
            }
            is_whole = go_on().is_continue();
            if is_whole { Continue(()) } else { Break(()) }
        })?;
        let (Some(meant), true) = (meant, is_whole) else { return Ok(Added::NotNow) };
        let differing = there.differing(&meant).len();
        if differing > 0 {
            return Ok(Added::Differs(u32::try_from(differing).unwrap_or(u32::MAX)));
        }
        let mut known = self.known.lock();
        if known.tables != tables {
            return Ok(Added::NotNow);
        }
        known.sound = Some(strangers);
        Ok(Added::Sound)
    }
}
