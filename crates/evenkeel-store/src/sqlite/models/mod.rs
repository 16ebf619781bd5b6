//! Models in SQLite: a table for each with the declared columns ([`layout`] says how they look), and beside them, in
//! tables whose names begin with `_ek_`, how far each has come.
//!
//! A step is one transaction. It is not synced to disk by itself (`synchronous=NORMAL`): a crash of the process loses
//! nothing, a power cut may take the latest steps, each whole. Rows are always read by the schema that is stored with
//! them, whatever is declared now.
//!
//! Beside each row stands its digest, and in the transaction that writes it the sum of its bucket moves ([`content`]).
//! Triggers note what anybody else writes to a live table ([`watch`]).
//!
//! A swap puts the old table aside: views that others made over a model go on with the new one; indexes and triggers that
//! others made stay with the old one. Triggers of others do not run for what the projector writes.
mod audit;
mod build;
mod cells;
mod conflicts;
mod consumers;
mod content;
mod freeze;
mod layout;
mod lease;
mod parks;
mod select;
mod sql;
mod state;
mod strange;
#[cfg(test)]
mod tests;
mod timed;
mod watch;

use super::{
    SqliteOptions, Synchronous,
    database::{Database, Done, Format},
    fault::{Fallible, Fault},
    fields::Fields,
    folder::Folder,
};
use crate::{
    Admit, Answered, Build, ConflictQuery, KEPT_CONFLICTS, KEPT_RECORDS, Loaded, Measured, ModelState, Models,
    ParkFilter, Piece, RecordedConflict, Result, RowAt, Rows, Scrubbed, Selected, Selection, Settled, SqlError,
    Statement, Step, Table,
};
use evenkeel_core::{
    Digest, ModelName, Position, Timestamp,
    checkpoint::Checkpoint,
    consumer::{Consumer, Reported},
    content::{Touched, Window},
    digest::{Buckets, DigestKey, KeyHash, RowDigest, Sum},
    drift::Content,
    fold::Park,
    reconciliation::{Evidence, Reconciliation},
    row::Key,
    schema::Schema,
};
use layout::Layouts;
use parking_lot::Mutex;
use parks::Waiting;
use rusqlite::{Connection, config::DbConfig};
use std::{
    collections::HashMap,
    fmt,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use watch::Noted;

pub use sql::check_views;

const FORMAT: Format = Format {
    file: "models.db",
    holds: "home of models",
    application_id: 0x456b_6d64,
    version: 8,
    create,
    upgrades: &[include_str!("upgrade_6.sql"), include_str!("upgrade_7.sql"), include_str!("upgrade_8.sql")],
};

fn create() -> String {
    include_str!("schema.sql").to_owned()
}

/// A home of models in the file `models.db`. [`super::SqliteStore::open`] opens it.
pub struct SqliteModels {
    db: Database<(), ()>,
    layouts: Layouts,
    kept_records: AtomicU64,
    statements: sql::Statements,
    /// The connections for pages of rows that are looked for.
    timed: timed::Timed,
    /// As of which of others' commits the indexes of tables were found sound.
    sound_indexes: Mutex<HashMap<i64, u64>>,
}

impl SqliteModels {
    pub(super) fn open(folder: Arc<Folder>, options: &SqliteOptions) -> Result<Self> {
        let db = Database::open(folder, &FORMAT, Synchronous::Normal, options)?;
        // Triggers note what others write.
        db.configure(|conn| Ok(conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).map(drop)?))?;
        let digest_key = db.read(|conn, ()| {
            let mut select = conn.prepare("SELECT value FROM _ek_meta WHERE name = 'digest_key'")?;
            let mut rows = select.query([])?;
            let row = rows.next()?.ok_or_else(|| Fault::Bad("the key of the digests is lost".into()))?;
            Ok(DigestKey(Fields(row).bytes32(0)?))
        })?;
        Ok(Self {
            db,
            layouts: Layouts::new(digest_key),
            kept_records: AtomicU64::new(KEPT_RECORDS),
            sound_indexes: Mutex::default(),
            statements: sql::Statements::new(),
            timed: timed::Timed::new(),
        })
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

impl Models for SqliteModels {
    fn register(&self, schema: &Schema) -> Result<ModelState> {
        let model = &schema.model;
        self.db.write(|conn, ()| {
            if let Some(stored) = state::find(conn, &self.layouts, model)? {
                return Ok(Done::Nothing(stored.state));
            }
            conn.execute("INSERT INTO _ek_models(model) VALUES(?1)", [model.as_str()])?;
            build::create(conn, schema, Table::Live, 0)?;
            let stored = state::get(conn, &self.layouts, model)?;
            watch::create(conn, &stored.live)?;
            Ok(Done::Commit(stored.state))
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
            let home = state::table(conn, &self.layouts, model, table)?;
            let mut loaded = content::load(conn, &home.layout, keys)?;
            let mut waiting = Waiting::new(conn, home.table_id)?;
            let mut noted = if table == Table::Live { Noted::new(conn, model)? } else { Noted::Nothing };
            if !waiting.any() && matches!(noted, Noted::Nothing) {
                return Ok(loaded);
            }
            for key in keys {
                if waiting.of(key)? > 0 {
                    loaded.parked.insert(key.clone());
                }
                if noted.of(key)? {
                    loaded.touched.insert(key.clone());
                }
            }
            Ok(loaded)
        })
    }

    fn commit(&self, model: &ModelName, table: Table, step: &Step) -> Result<Vec<RowDigest>> {
        self.write(|conn| {
            let home = state::table(conn, &self.layouts, model, table)?;
            home.builds_on(model, step.generation)?;
            let digests = content::write_rows(conn, &home, step)?;
            content::add_identities(conn, home.table_id, &step.identities)?;
            content::add_touches(conn, home.table_id, &step.touches)?;
            if table == Table::Live {
                watch::settle(conn, &home.layout, &step.settled)?;
            }
            parks::write(conn, home.table_id, &step.parks, &step.unparks)?;
            conflicts::write(conn, &home.layout.schema, &step.conflicts, KEPT_CONFLICTS)?;
            state::set_checkpoint(conn, home.table_id, &step.checkpoint)?;
            if let (Some(measured), Table::Live) = (&step.measured, table) {
                state::set_measured(conn, model, measured)?;
            }
            Ok(digests)
        })
    }

    fn get(&self, model: &ModelName, key: &Key) -> Result<RowAt> {
        self.read(|conn| {
            let stored = state::get(conn, &self.layouts, model)?;
            let mut select = conn.prepare_cached(&stored.live.select)?;
            let row = content::row_of(&mut select, &stored.live, &mut stored.live.hasher.clone(), key)?;
            let (parked_events, unnamed) = match stored.state.parked.events {
                0 => (0, false),
                _ => (Waiting::new(conn, stored.live_id)?.of(key)?, parks::any_unnamed(conn, stored.live_id)?),
            };
            let intact = row.as_ref().is_none_or(|row| row.is_intact()) && !Noted::new(conn, model)?.of(key)?;
            Ok(RowAt { state: stored.state, row: row.map(|row| row.row), intact, parked_events, unnamed })
        })
    }

    fn rows(&self, model: &ModelName, table: Table, after: Option<&Key>, limit: usize) -> Result<Rows> {
        self.read(|conn| {
            let state = state::get(conn, &self.layouts, model)?.state;
            let home = state::table(conn, &self.layouts, model, table)?;
            let layout = &home.layout;
            let mut hasher = layout.hasher.clone();
            let mut select = conn.prepare_cached(if after.is_some() { &layout.after } else { &layout.first })?;
            if let Some(after) = after {
                cells::bind_key(&mut select, layout, after)?;
            }
            let limit_parameter = after.map_or(0, |after| after.0.len()) + 1;
            select.raw_bind_parameter(limit_parameter, content::NO_LIMIT)?;
            let mut waiting = Waiting::new(conn, home.table_id)?;
            let mut found = select.raw_query();
            let (mut rows, mut more, mut intact) = (Vec::with_capacity(limit.min(1024)), false, true);
            while let Some(row) = found.next()? {
                if content::is_not_behind(layout, row, after)? {
                    continue;
                }
                // One more than wanted tells whether there are more.
                if rows.len() == limit {
                    more = true;
                    break;
                }
                intact &= cells::meant(layout, row)? == Some(cells::digest(layout, row, &mut hasher)?);
                let row = cells::row(layout, row)?;
                let is_parked = waiting.any() && waiting.of(&Key::of(&layout.schema, &row))? > 0;
                rows.push((row, is_parked));
            }
            Ok(Rows { state, rows, more, intact })
        })
    }

    fn select(&self, model: &ModelName, selection: &Selection<'_>) -> Result<Option<Selected>> {
        let find = |conn: &Connection| {
            let stored = state::get(conn, &self.layouts, model)?;
            if !selection.query.fits(&stored.live.schema) {
                return Ok(None);
            }
            let waiting = Waiting::new(conn, stored.live_id)?;
            let found = select::select(conn, &stored.live, selection, waiting)?;
            let select::Found { rows, more, intact, total } = found;
            Ok(Some(Selected { page: Rows { state: stored.state, rows, more, intact }, total }))
        };
        // The key's index gives the others; these may have to look through the whole table.
        match selection.query.is_all() && !selection.count {
            true => self.read(find),
            false => self.timed.read(&self.db, selection.within, find),
        }
    }

    fn query(&self, statement: &Statement<'_>, admit: Admit<'_>) -> Result<Option<Answered>, SqlError> {
        self.statements.query(&self.db, &self.layouts, statement, admit)
    }

    fn count(&self, model: &ModelName) -> Result<u64> {
        self.read(|conn| {
            let home = state::table(conn, &self.layouts, model, Table::Live)?;
            let sql = format!("SELECT count(*) FROM {} WHERE {}", home.layout.name, home.layout.shown());
            let mut count = conn.prepare_cached(&sql)?;
            let mut rows = count.query([])?;
            rows.next()?.map_or(Ok(0), |row| Fields(row).number(0))
        })
    }

    fn parks_of(&self, model: &ModelName, asked: &ParkFilter<'_>) -> Result<Vec<Park>> {
        self.read(|conn| {
            let home = state::table(conn, &self.layouts, model, Table::Live)?;
            parks::list(conn, home.table_id, asked)
        })
    }

    fn begin_build(&self, schema: &Schema) -> Result<Build> {
        self.write(|conn| build::begin(conn, schema))
    }

    fn swap(&self, model: &ModelName, content: Content) -> Result<()> {
        self.write(|conn| build::swap(conn, &self.layouts, model, &content))
    }

    fn rollback(&self, model: &ModelName, rolled_back_from: Option<Digest>) -> Result<()> {
        self.write(|conn| build::rollback(conn, &self.layouts, model, rolled_back_from))
    }

    fn abandon_build(&self, model: &ModelName) -> Result<()> {
        self.write(|conn| build::abandon(conn, model))
    }

    fn set_content(&self, model: &ModelName, content: Content) -> Result<()> {
        self.write(|conn| state::set_content(conn, model, &content))
    }

    fn set_content_unless_doubted(&self, model: &ModelName, content: Content, doubts: u64) -> Result<bool> {
        self.write(|conn| {
            let is_as_known = state::get(conn, &self.layouts, model)?.state.doubts == doubts;
            if is_as_known {
                state::set_content(conn, model, &content)?;
            }
            Ok(is_as_known)
        })
    }

    fn doubt(&self, model: &ModelName, bad_buckets: u32) -> Result<()> {
        self.write(|conn| state::doubt(conn, model, bad_buckets))
    }

    fn set_measured(&self, model: &ModelName, measured: &Measured) -> Result<()> {
        self.write(|conn| state::set_measured(conn, model, measured))
    }

    fn record(&self, reconciliation: &Reconciliation, evidence: &[Evidence]) -> Result<u64> {
        let kept = self.kept_records.load(Ordering::Relaxed);
        self.write(|conn| audit::record(conn, reconciliation, evidence, kept))
    }

    fn amend(&self, reconciliation: &Reconciliation) -> Result<bool> {
        self.write(|conn| audit::amend(conn, reconciliation))
    }

    fn keep_records(&self, records: u64) {
        self.kept_records.store(records, Ordering::Relaxed);
    }

    fn reconciliation(&self, id: u64) -> Result<Option<Reconciliation>> {
        self.read(|conn| audit::find(conn, id))
    }

    fn evidence(&self, reconciliation: u64, limit: usize) -> Result<Vec<Evidence>> {
        self.read(|conn| audit::evidence(conn, reconciliation, limit))
    }

    fn reconciliations(&self, model: Option<&ModelName>, limit: usize) -> Result<Vec<Reconciliation>> {
        self.read(|conn| audit::latest(conn, model, limit))
    }

    fn conflicts(&self, query: &ConflictQuery) -> Result<Vec<RecordedConflict>> {
        self.read(|conn| conflicts::list(conn, query))
    }

    fn count_conflicts(&self, model: &ModelName) -> Result<u64> {
        self.read(|conn| conflicts::count(conn, model))
    }

    fn digest_key(&self) -> DigestKey {
        self.layouts.digest_key()
    }

    fn scrub(&self, model: &ModelName, table: Table, after: Option<&Key>, limit: usize) -> Result<Vec<Scrubbed>> {
        self.read(|conn| {
            let home = state::table(conn, &self.layouts, model, table)?;
            content::scrub(conn, &home.layout, after, limit)
        })
    }

    fn freeze(&self, model: &ModelName, see: &mut dyn FnMut(Piece) -> ControlFlow<()>) -> Result<()> {
        self.read(|conn| freeze::freeze(conn, &self.layouts, model, see).map(drop))
    }

    fn buckets(&self, model: &ModelName, table: Table) -> Result<Buckets> {
        self.read(|conn| content::buckets(conn, state::table(conn, &self.layouts, model, table)?.table_id))
    }

    fn condemn(&self, model: &ModelName, reason: &str) -> Result<()> {
        self.write(|conn| state::condemn(conn, model, Some(reason)))
    }

    fn set_buckets(&self, model: &ModelName, table: Table, sums: &[(u16, Sum)]) -> Result<()> {
        self.write(|conn| content::set_buckets(conn, state::table(conn, &self.layouts, model, table)?.table_id, sums))
    }

    fn identities(&self, model: &ModelName, table: Table, from: Window) -> Result<Vec<(Window, Sum)>> {
        self.read(|conn| content::identities(conn, state::table(conn, &self.layouts, model, table)?.table_id, from))
    }

    fn set_identities(
        &self,
        model: &ModelName,
        generation: u64,
        sums: &[(Window, Sum)],
        checkpoint: &Checkpoint,
    ) -> Result<()> {
        self.write(|conn| {
            let home = state::table(conn, &self.layouts, model, Table::Live)?;
            home.builds_on(model, generation)?;
            for (window, sum) in sums {
                content::set_window(conn, home.table_id, *window, *sum)?;
            }
            state::set_checkpoint(conn, home.table_id, checkpoint)
        })
    }

    fn index(&self, model: &ModelName, table: Table, touches: &[(KeyHash, Position)]) -> Result<()> {
        self.write(|conn| {
            content::add_touches(conn, state::table(conn, &self.layouts, model, table)?.table_id, touches)
        })
    }

    fn index_is_sound(&self, model: &ModelName, table: Table) -> Result<bool> {
        // Before the index is read: what others write afterwards is looked at next time.
        let strangers = self.strangers()?;
        self.read(|conn| {
            let id = state::table(conn, &self.layouts, model, table)?.table_id;
            if strangers.is_some() && self.sound_indexes.lock().get(&id).copied() == strangers {
                return Ok(true);
            }
            let is_sound = content::index_meant(conn, id)? == content::index_there(conn, id)?;
            if let (true, Some(strangers)) = (is_sound, strangers) {
                self.sound_indexes.lock().insert(id, strangers);
            }
            Ok(is_sound)
        })
    }

    fn settle_index(&self, model: &ModelName, table: Table) -> Result<()> {
        self.write(|conn| {
            let id = state::table(conn, &self.layouts, model, table)?.table_id;
            content::set_index_meant(conn, id, content::index_there(conn, id)?)
        })
    }

    fn touching(&self, model: &ModelName, table: Table, hash: KeyHash) -> Result<Vec<Position>> {
        self.read(|conn| content::touching(conn, state::table(conn, &self.layouts, model, table)?.table_id, hash))
    }

    fn touched(&self, model: &ModelName, limit: usize) -> Result<Vec<Touched>> {
        self.read(|conn| {
            state::table(conn, &self.layouts, model, Table::Live)?;
            watch::list(conn, model, limit)
        })
    }

    fn notes(&self, model: &ModelName, keys: &[Key]) -> Result<Vec<Touched>> {
        self.read(|conn| {
            state::table(conn, &self.layouts, model, Table::Live)?;
            watch::of(conn, model, keys)
        })
    }

    fn settle(&self, model: &ModelName, rows: &[Settled]) -> Result<()> {
        self.write(|conn| {
            let home = state::table(conn, &self.layouts, model, Table::Live)?;
            watch::settle(conn, &home.layout, rows)
        })
    }

    fn watch(&self, model: &ModelName) -> Result<bool> {
        let is_watched = self.read(|conn| {
            let home = state::table(conn, &self.layouts, model, Table::Live)?;
            watch::is_watched(conn, &home.layout)
        })?;
        if !is_watched {
            self.write(|conn| {
                let home = state::table(conn, &self.layouts, model, Table::Live)?;
                watch::drop(conn, model)?;
                watch::create(conn, &home.layout)?;
                state::doubt(conn, model, 1)
            })?;
        }
        Ok(is_watched)
    }

    fn strangers(&self) -> Result<Option<u64>> {
        self.db.strangers()
    }

    fn lease(&self, model: &ModelName, holder: &str, now: Timestamp, length: Duration) -> Result<bool> {
        self.write(|conn| lease::take(conn, model, holder, now, now.plus(length)))
    }

    fn release(&self, model: &ModelName, holder: &str) -> Result<()> {
        self.write(|conn| lease::release(conn, model, holder))
    }

    fn put_consumer(&self, consumer: &Consumer) -> Result<()> {
        self.write(|conn| consumers::put(conn, consumer))
    }

    fn report_consumer(&self, name: &str, reported: &Reported) -> Result<bool> {
        self.write(|conn| consumers::report(conn, name, reported))
    }

    fn remove_consumer(&self, name: &str) -> Result<bool> {
        self.write(|conn| consumers::remove(conn, name))
    }

    fn consumers(&self) -> Result<Vec<(Consumer, Option<Reported>)>> {
        self.read(consumers::list)
    }
}

impl fmt::Debug for SqliteModels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteModels").field("folder", &self.db.folder()).finish_non_exhaustive()
    }
}
