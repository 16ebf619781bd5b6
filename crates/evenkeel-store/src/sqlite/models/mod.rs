//! Models in SQLite: a table for each with the declared columns ([`layout`] says how they look), and beside them, in
//! tables whose names begin with `_ek_`, how far each has come.
//!
//! A step is one transaction. It is not synced to disk by itself (`synchronous=NORMAL`): a crash of the process loses
//! nothing, a power cut may take the latest steps, each whole. Rows are always read by the schema that is stored with
//! them, whatever is declared now.
//!
//! A swap drops the old table: views that others made over a model go on with the new one, indexes and triggers that
//! others made on it are gone.
mod audit;
mod build;
mod cells;
mod layout;
mod parks;
mod state;
#[cfg(test)]
mod tests;

use super::{
    SqliteOptions, Synchronous,
    database::{Database, Done, Format},
    fault::Fallible,
    fields::{Fields, size},
    folder::Folder,
};
use crate::{Build, Measured, ModelState, Models, Result, RowAt, Rows, Step, StoreError, Table};
use evenkeel_core::{
    ModelName,
    drift::Content,
    fold::{Loaded, Park, ParkState},
    reconciliation::Reconciliation,
    row::{Key, Row},
    schema::Schema,
};
use layout::{Layout, Layouts, table_name};
use parks::Waiting;
use rusqlite::Connection;
use std::{fmt, sync::Arc};

const FORMAT: Format =
    Format { file: "models.db", holds: "home of models", application_id: 0x456b_6d64, version: 1, create };

fn create() -> String {
    include_str!("schema.sql").to_owned()
}

/// A home of models in the file `models.db`. [`super::SqliteStore::open`] opens it.
pub struct SqliteModels {
    db: Database<(), ()>,
    layouts: Layouts,
}

impl SqliteModels {
    pub(super) fn open(folder: Arc<Folder>, options: &SqliteOptions) -> Result<Self> {
        let db = Database::open(folder, &FORMAT, Synchronous::Normal, options)?;
        Ok(Self { db, layouts: Layouts::default() })
    }

    pub(super) fn database(&self) -> &Database<(), ()> {
        &self.db
    }

    fn write<T>(&self, work: impl FnOnce(&Connection) -> Fallible<T>) -> Result<T> {
        self.db.write(|conn, ()| work(conn).map(Done::Commit))
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> Fallible<T>) -> Result<T> {
        self.db.read(|conn, ()| work(conn))
    }
}

/// The row of a key.
fn row_of(select: &mut rusqlite::Statement<'_>, layout: &Layout, key: &Key) -> Fallible<Option<Row>> {
    cells::bind_key(select, layout, key)?;
    let mut rows = select.raw_query();
    rows.next()?.map(|found| cells::row(layout, found)).transpose()
}

/// Writes and deletes the rows of a step.
fn write_rows(conn: &Connection, layout: &Layout, step: &Step) -> Fallible<()> {
    let mut delete = conn.prepare_cached(&layout.delete)?;
    for key in &step.deletes {
        cells::bind_key(&mut delete, layout, key)?;
        delete.raw_execute()?;
    }
    let mut upsert = conn.prepare_cached(&layout.upsert)?;
    for (key, row) in &step.upserts {
        cells::bind_row(&mut upsert, layout, key, row)?;
        upsert.raw_execute()?;
    }
    Ok(())
}

impl Models for SqliteModels {
    fn register(&self, schema: &Schema) -> Result<ModelState> {
        let model = &schema.model;
        self.db.write(|conn, ()| {
            if let Some(stored) = state::find(conn, &self.layouts, model)? {
                return Ok(Done::Nothing(stored.state));
            }
            layout::create(conn, schema, Table::Live)?;
            conn.execute(
                "INSERT INTO _ek_models(model, schema, content_verdict) VALUES(?1, ?2, ?3)",
                (model.as_str(), serde_json::to_string(schema)?, Content::default().verdict.as_str()),
            )?;
            Ok(Done::Commit(state::get(conn, &self.layouts, model)?.state))
        })
    }

    fn state(&self, model: &ModelName) -> Result<Option<ModelState>> {
        self.read(|conn| Ok(state::find(conn, &self.layouts, model)?.map(|stored| stored.state)))
    }

    fn models(&self) -> Result<Vec<ModelName>> {
        self.read(|conn| {
            let mut select = conn.prepare_cached("SELECT model FROM _ek_models ORDER BY model")?;
            let mut rows = select.query([])?;
            let mut models = Vec::new();
            while let Some(row) = rows.next()? {
                models.push(Fields(row).text(0)?.into());
            }
            Ok(models)
        })
    }

    fn load(&self, model: &ModelName, table: Table, keys: &[Key]) -> Result<Loaded> {
        self.db.read_to_write(|conn| {
            let (layout, _) = state::table(conn, &self.layouts, model, table)?;
            let mut select = conn.prepare_cached(&layout.select)?;
            let mut waiting = Waiting::new(conn, model, table)?;
            let mut loaded = Loaded::default();
            loaded.rows.reserve(keys.len());
            for key in keys {
                if let Some(row) = row_of(&mut select, &layout, key)? {
                    loaded.rows.insert(key.clone(), row);
                }
                if waiting.of(key)? > 0 {
                    loaded.parked.insert(key.clone());
                }
            }
            Ok(loaded)
        })
    }

    fn commit(&self, model: &ModelName, table: Table, step: &Step) -> Result<()> {
        self.write(|conn| {
            let (layout, found) = state::table(conn, &self.layouts, model, table)?;
            if found != step.generation {
                let conflict = StoreError::Conflict { model: model.clone(), expected: step.generation, found };
                return Err(conflict.into());
            }
            write_rows(conn, &layout, step)?;
            parks::write(conn, model, table, &step.parks, &step.unparks)?;
            state::set_checkpoint(conn, model, table, &step.checkpoint)?;
            match (&step.measured, table) {
                (Some(measured), Table::Live) => state::set_measured(conn, model, measured),
                _ => Ok(()),
            }
        })
    }

    fn get(&self, model: &ModelName, key: &Key) -> Result<RowAt> {
        self.read(|conn| {
            let stored = state::get(conn, &self.layouts, model)?;
            let row = row_of(&mut *conn.prepare_cached(&stored.live.select)?, &stored.live, key)?;
            let parked_events = match stored.state.parked.events {
                0 => 0,
                _ => Waiting::new(conn, model, Table::Live)?.of(key)?,
            };
            Ok(RowAt { state: stored.state, row, parked_events })
        })
    }

    fn rows(&self, model: &ModelName, table: Table, after: Option<&Key>, limit: usize) -> Result<Rows> {
        self.read(|conn| {
            let state = state::get(conn, &self.layouts, model)?.state;
            let (layout, _) = state::table(conn, &self.layouts, model, table)?;
            let mut select = conn.prepare_cached(if after.is_some() { &layout.after } else { &layout.first })?;
            if let Some(after) = after {
                cells::bind_key(&mut select, &layout, after)?;
            }
            let limit_parameter = after.map_or(0, |after| after.0.len()) + 1;
            // One more than wanted tells whether there are more.
            select.raw_bind_parameter(limit_parameter, size(limit.saturating_add(1)))?;
            let mut waiting = Waiting::new(conn, model, table)?;
            let mut found = select.raw_query();
            let (mut rows, mut more) = (Vec::with_capacity(limit.min(1024)), false);
            while let Some(row) = found.next()? {
                if rows.len() == limit {
                    more = true;
                    break;
                }
                let row = cells::row(&layout, row)?;
                let is_parked = waiting.any() && waiting.of(&Key::of(&layout.schema, &row))? > 0;
                rows.push((row, is_parked));
            }
            Ok(Rows { state, rows, more })
        })
    }

    fn count(&self, model: &ModelName) -> Result<u64> {
        self.read(|conn| {
            state::table(conn, &self.layouts, model, Table::Live)?;
            let sql = format!("SELECT count(*) FROM {}", table_name(model, Table::Live));
            let mut count = conn.prepare_cached(&sql)?;
            let mut rows = count.query([])?;
            rows.next()?.map_or(Ok(0), |row| Fields(row).number(0))
        })
    }

    fn parks(&self, model: &ModelName, state: Option<ParkState>) -> Result<Vec<Park>> {
        self.read(|conn| {
            state::table(conn, &self.layouts, model, Table::Live)?;
            parks::list(conn, model, state)
        })
    }

    fn begin_build(&self, schema: &Schema) -> Result<Build> {
        self.write(|conn| build::begin(conn, schema))
    }

    fn swap(&self, model: &ModelName, content: Content) -> Result<()> {
        self.write(|conn| build::swap(conn, &self.layouts, model, &content))
    }

    fn abandon_build(&self, model: &ModelName) -> Result<()> {
        self.write(|conn| build::abandon(conn, model))
    }

    fn set_content(&self, model: &ModelName, content: Content) -> Result<()> {
        self.write(|conn| state::set_content(conn, model, &content))
    }

    fn set_measured(&self, model: &ModelName, measured: &Measured) -> Result<()> {
        self.write(|conn| state::set_measured(conn, model, measured))
    }

    fn record(&self, reconciliation: &Reconciliation) -> Result<u64> {
        self.write(|conn| audit::record(conn, reconciliation))
    }

    fn reconciliations(&self, model: Option<&ModelName>, limit: usize) -> Result<Vec<Reconciliation>> {
        self.read(|conn| audit::latest(conn, model, limit))
    }
}

impl fmt::Debug for SqliteModels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteModels").field("folder", &self.db.folder()).finish_non_exhaustive()
    }
}
