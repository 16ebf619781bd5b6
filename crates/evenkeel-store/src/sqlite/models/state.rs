//! What is kept of a model besides its rows: the row of `_ek_models`, and one of `_ek_tables` for each of its tables.
//!
//! The rows are [`super::layout`]'s, the sums [`super::content`]'s.
use super::layout::{Layout, Layouts};
use crate::{
    Build, Measured, ModelState, Parked, StoreError, Table,
    sqlite::{
        fault::{Fallible, Fault},
        fields::{Fields, epoch, int, words},
    },
};
use evenkeel_core::{
    ModelName, Position,
    checkpoint::{Checkpoint, Counts},
    drift::{Content, Verdict},
};
use rusqlite::{Connection, params};
use std::sync::Arc;

/// Everything about a model: a row for each of its tables.
pub(super) const SELECT: &str = "SELECT t.role, t.schema, t.position, t.epoch, t.last_event, t.last_write, t.applied, \
    t.ignored, t.parked, t.generation, t.content_verdict, t.verified_as_of, t.bad_buckets, t.parked_events, \
    t.oldest_parked, m.as_of, m.condemned, m.rolled_back_from, t.id, \
    EXISTS (SELECT 1 FROM _ek_foreign AS f WHERE f.model = m.model), m.doubts \
    FROM _ek_models AS m JOIN _ek_tables AS t ON t.model = m.model WHERE m.model = ?1";

/// The word for a table's role.
pub(super) fn role(table: Table) -> &'static str {
    match table {
        Table::Live => "live",
        Table::Build => "build",
        Table::Previous => "previous",
    }
}

/// A model with its live table.
pub(super) struct Stored {
    pub(super) state: ModelState,
    pub(super) live: Arc<Layout>,
    pub(super) live_id: i64,
}

/// A table of a model.
pub(super) struct Home {
    pub(super) table_id: i64,
    pub(super) layout: Arc<Layout>,
    pub(super) generation: u64,
}

impl Home {
    /// Whether this is the generation that a write was made for.
    pub(super) fn builds_on(&self, model: &ModelName, expected: u64) -> Fallible<()> {
        if self.generation == expected {
            return Ok(());
        }
        Err(StoreError::Conflict { model: model.clone(), expected, found: self.generation }.into())
    }
}

pub(super) fn no_model(model: &ModelName) -> Fault {
    StoreError::NoModel(model.clone()).into()
}

/// The state of a model, if there is one.
pub(super) fn find(conn: &Connection, layouts: &Layouts, model: &ModelName) -> Fallible<Option<Stored>> {
    let mut select = conn.prepare_cached(SELECT)?;
    let mut rows = select.query([model.as_str()])?;
    let (mut stored, mut build, mut previous) = (None, None, None);
    while let Some(row) = rows.next()? {
        let fields = Fields(row);
        match fields.text(0)? {
            "build" => build = Some(other(fields, layouts, Table::Build)?),
            "previous" => previous = Some(other(fields, layouts, Table::Previous)?),
            _ => stored = Some(live(fields, layouts)?),
        }
    }
    Ok(stored.map(|stored: Stored| Stored { state: ModelState { build, previous, ..stored.state }, ..stored }))
}

fn live(fields: Fields<'_, '_>, layouts: &Layouts) -> Fallible<Stored> {
    let live = layouts.of(fields.text(1)?, Table::Live)?;
    let found: Verdict = fields.parsed(10)?;
    // Where somebody else has written, or the rows are condemned, what was found out before is no longer known.
    let condemned = fields.opt_text(16)?;
    let is_doubted =
        (fields.int(19)? != 0 || condemned.is_some()) && matches!(found, Verdict::Verified | Verdict::Unverified);
    let state = ModelState {
        schema: live.schema.clone(),
        checkpoint: checkpoint(fields)?,
        generation: fields.number(9)?,
        content: Content {
            verdict: if is_doubted { Verdict::Suspect } else { found },
            verified_as_of: fields.opt_parsed(11)?,
            bad_buckets: fields.number32(12)?,
        },
        doubts: fields.number(20)?,
        parked: Parked { events: fields.number(13)?, oldest_at: fields.opt_parsed(14)? },
        as_of: fields.opt_parsed(15)?,
        build: None,
        previous: None,
        condemned: condemned.map(str::to_owned),
        rolled_back_from: fields.opt_parsed(17)?,
    };
    Ok(Stored { state, live, live_id: fields.int(18)? })
}

fn other(fields: Fields<'_, '_>, layouts: &Layouts, table: Table) -> Fallible<Build> {
    Ok(Build {
        schema: layouts.of(fields.text(1)?, table)?.schema.clone(),
        checkpoint: checkpoint(fields)?,
        generation: fields.number(9)?,
    })
}

/// As [`find`]; an error where there is no such model.
pub(super) fn get(conn: &Connection, layouts: &Layouts, model: &ModelName) -> Fallible<Stored> {
    find(conn, layouts, model)?.ok_or_else(|| no_model(model))
}

fn checkpoint(fields: Fields<'_, '_>) -> Fallible<Checkpoint> {
    Ok(Checkpoint {
        position: Position(fields.number(2)?),
        epoch: fields.opt_text(3)?.map(epoch).transpose()?,
        last_event: fields.opt_parsed(4)?,
        last_write: fields.opt_parsed(5)?,
        counts: Counts { applied: fields.number(6)?, ignored: fields.number(7)?, parked: fields.number(8)? },
    })
}

/// A table of a model.
pub(super) fn table(conn: &Connection, layouts: &Layouts, model: &ModelName, table: Table) -> Fallible<Home> {
    let mut select =
        conn.prepare_cached("SELECT id, schema, generation FROM _ek_tables WHERE model = ?1 AND role = ?2")?;
    let mut rows = select.query((model.as_str(), role(table)))?;
    let fields = Fields(rows.next()?.ok_or_else(|| no_model(model))?);
    Ok(Home { table_id: fields.int(0)?, layout: layouts.of(fields.text(1)?, table)?, generation: fields.number(2)? })
}

/// Keeps the checkpoint of a table and moves its generation on.
pub(super) fn set_checkpoint(conn: &Connection, table_id: i64, checkpoint: &Checkpoint) -> Fallible<()> {
    let Checkpoint { position, epoch, last_event, last_write, counts: Counts { applied, ignored, parked } } =
        checkpoint;
    let mut update = conn.prepare_cached(
        "UPDATE _ek_tables SET position = ?2, epoch = ?3, last_event = ?4, last_write = ?5, applied = ?6, \
         ignored = ?7, parked = ?8, generation = generation + 1 WHERE id = ?1",
    )?;
    update.execute(params![
        table_id,
        int(position.0),
        words(*epoch),
        words(*last_event),
        words(*last_write),
        int(*applied),
        int(*ignored),
        int(*parked),
    ])?;
    Ok(())
}

/// Keeps what is known of the live rows.
pub(super) fn set_content(conn: &Connection, model: &ModelName, content: &Content) -> Fallible<()> {
    let mut update = conn.prepare_cached(
        "UPDATE _ek_tables SET content_verdict = ?2, verified_as_of = ?3, bad_buckets = ?4 \
         WHERE model = ?1 AND role = 'live'",
    )?;
    let Content { verdict, verified_as_of, bad_buckets } = content;
    let changed = update.execute(params![model.as_str(), verdict.as_str(), words(*verified_as_of), bad_buckets])?;
    if changed == 0 { Err(no_model(model)) } else { Ok(()) }
}

/// Notes that rows may be wrong, unless something worse is known.
pub(super) fn doubt(conn: &Connection, model: &ModelName, bad_buckets: u32) -> Fallible<()> {
    let mut update = conn.prepare_cached(
        "UPDATE _ek_tables SET content_verdict = CASE content_verdict WHEN ?2 THEN ?2 ELSE ?3 END, \
         bad_buckets = max(bad_buckets, ?4) WHERE model = ?1 AND role = 'live'",
    )?;
    let (worse, doubted) = (Verdict::Drifted.as_str(), Verdict::Suspect.as_str());
    if update.execute(params![model.as_str(), worse, doubted, bad_buckets])? == 0 {
        return Err(no_model(model));
    }
    conn.prepare_cached("UPDATE _ek_models SET doubts = doubts + 1 WHERE model = ?1")?.execute([model.as_str()])?;
    Ok(())
}

/// Notes that the rows cannot be brought right by applying events, or that they can.
pub(super) fn condemn(conn: &Connection, model: &ModelName, reason: Option<&str>) -> Fallible<()> {
    let mut update = conn.prepare_cached("UPDATE _ek_models SET condemned = ?2 WHERE model = ?1")?;
    if update.execute((model.as_str(), reason))? == 0 { Err(no_model(model)) } else { Ok(()) }
}

/// Keeps a measured distance. An unknown `as_of` leaves the one there is: it stays true.
pub(super) fn set_measured(conn: &Connection, model: &ModelName, measured: &Measured) -> Fallible<()> {
    let Measured { head, lag_count, oldest_unapplied, as_of, status, reason, at } = measured;
    let mut update = conn.prepare_cached(
        "UPDATE _ek_models SET head = ?2, lag_count = ?3, oldest_unapplied = ?4, as_of = ifnull(?5, as_of), \
         status = ?6, reason = ?7, measured_at = ?8 WHERE model = ?1",
    )?;
    let changed = update.execute(params![
        model.as_str(),
        int(head.0),
        lag_count.map(int),
        words(*oldest_unapplied),
        words(*as_of),
        status.map(|status| status.as_str()),
        reason,
        words(Some(at)),
    ])?;
    if changed == 0 { Err(no_model(model)) } else { Ok(()) }
}
