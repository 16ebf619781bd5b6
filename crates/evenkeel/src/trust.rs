//! Whether the rows of a table can be believed by their digests: as long as nobody else has written since all of them were
//! last added up.
//!
//! A row that somebody put back with its own digest of yesterday, and no trigger ran, looks like what the projector wrote.
//! The sums tell, but only who reads every row. So after others' commits, and after a start, strong reads fold rows from
//! their events until the scrub has been through once. Noting what was written is the store's.
use evenkeel_store::{Models, Result};
use std::sync::atomic::{AtomicU64, Ordering};

/// Nothing is known.
const NEVER: u64 = u64::MAX;

/// As of which of others' commits the rows were all as they were meant.
#[derive(Debug)]
pub(crate) struct Trust {
    sound: AtomicU64,
    /// The same of the pass that is under way.
    begun: AtomicU64,
}

impl Default for Trust {
    fn default() -> Self {
        Self { sound: AtomicU64::new(NEVER), begun: AtomicU64::new(NEVER) }
    }
}

impl Trust {
    /// A pass over all rows begins.
    pub(crate) fn begin(&self, models: &dyn Models) -> Result<()> {
        self.begun.store(models.strangers()?.unwrap_or(NEVER), Ordering::SeqCst);
        Ok(())
    }

    /// The pass has found every row as it was meant.
    pub(crate) fn end(&self) {
        self.sound.store(self.begun.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Another table is in the model's place.
    pub(crate) fn forget(&self) {
        self.sound.store(NEVER, Ordering::SeqCst);
        self.begun.store(NEVER, Ordering::SeqCst);
    }

    /// Whether a row that was read before this is called can be believed.
    pub(crate) fn holds(&self, models: &dyn Models) -> Result<bool> {
        let sound = self.sound.load(Ordering::SeqCst);
        Ok(sound != NEVER && models.strangers()? == Some(sound))
    }
}
