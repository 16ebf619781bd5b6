//! Rows changed behind the projector's back: what tests and simulations do to find out whether it is noticed.
//!
//! Calls that fail or lie are [`crate::faulty`]'s.
use super::{super::Torn, MemoryModels};
use crate::{Result, StoredRow, Table};
use evenkeel_core::{
    ModelName, Timestamp,
    content::{ForeignWrite, Touched},
    row::{Key, Row},
};
use std::sync::atomic::Ordering;

/// What [`MemoryModels::tamper`] does behind the projector's back.
#[derive(Debug, Clone)]
pub enum Tamper {
    /// Writes or deletes a row, as any SQL client can; it is noted unless the watch is off.
    Write(Key, Option<Row>),
    /// Writes a row with the digest that would make it look intact, or deletes one, unnoted: as restoring pages of an old
    /// file would.
    Restore(Key, Option<Row>),
    /// Takes everything that is known of a row's events out of the index of touched keys.
    Unindex(Key),
    /// Stops others' writes from being noted until [`crate::Models::watch`] is called.
    Unwatch,
}

impl MemoryModels {
    /// Changes the live table of a model behind the projector's back, for tests and simulations.
    ///
    /// # Errors
    /// Where there is no such model.
    pub fn tamper(&self, model: &ModelName, now: Timestamp, tamper: Tamper) -> Result<()> {
        let mut home = self.0.lock();
        let model = home.model_mut(model)?;
        self.1.fetch_add(1, Ordering::SeqCst);
        match tamper {
            Tamper::Unwatch => model.watched = false,
            Tamper::Unindex(key) => {
                let hash = model.live.hasher().key(&key);
                model.live.touches.retain(|(of, _)| *of != hash);
            }
            Tamper::Write(key, row) => {
                let before = model.live.rows.get(&key).map(|(_, meant)| *meant);
                let write = match (&before, &row) {
                    (None, _) => ForeignWrite::Insert,
                    (Some(_), Some(_)) => ForeignWrite::Update,
                    (Some(_), None) => ForeignWrite::Delete,
                };
                let meant = before.flatten();
                if model.watched && (before.is_some() || row.is_some()) {
                    let note = Touched { key: key.clone(), write, meant, at: now };
                    model.touched.entry(key.clone()).or_insert(note);
                }
                match row {
                    Some(row) => model.live.rows.insert(key, (row, meant)),
                    None => model.live.rows.remove(&key),
                };
            }
            Tamper::Restore(key, row) => {
                let digest = row.as_ref().map(|row| model.live.hasher().row(&model.live.schema, row));
                match row {
                    Some(row) => model.live.rows.insert(key, (row, digest)),
                    None => model.live.rows.remove(&key),
                };
            }
        }
        Ok(())
    }
}

impl Torn for MemoryModels {
    fn put_back(&self, model: &ModelName, table: Table, keys: &[Key], rows: Vec<StoredRow>) -> Result<()> {
        let mut home = self.0.lock();
        let stored = home.table_mut(model, table)?;
        keys.iter().for_each(|key| drop(stored.rows.remove(key)));
        stored.rows.extend(rows.into_iter().map(|found| (found.key, (found.row, found.meant))));
        Ok(())
    }
}
