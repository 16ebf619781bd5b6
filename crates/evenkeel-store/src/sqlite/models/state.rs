//! What is kept of a model besides its rows: the row of `_ek_models`, and that of `_ek_builds` if it is being built.
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
    drift::Content,
};
use rusqlite::{Connection, params};
use std::sync::Arc;

/// Everything about a model.
pub(super) const SELECT: &str = "SELECT m.schema, m.position, m.epoch, m.last_event, m.last_write, m.applied, m.ignored, \
    m.parked, b.schema, b.position, b.epoch, b.last_event, b.last_write, b.applied, b.ignored, b.parked, \
    m.generation, m.build_generation, m.content_verdict, m.verified_as_of, m.parked_events, m.oldest_parked, m.as_of \
    FROM _ek_models AS m LEFT JOIN _ek_builds AS b ON b.model = m.model WHERE m.model = ?1";

/// A model with the layout of its live table.
pub(super) struct Stored {
    pub(super) state: ModelState,
    pub(super) live: Arc<Layout>,
}

pub(super) fn no_model(model: &ModelName) -> Fault {
    StoreError::NoModel(model.clone()).into()
}

/// The state of a model, if there is one.
pub(super) fn find(conn: &Connection, layouts: &Layouts, model: &ModelName) -> Fallible<Option<Stored>> {
    let mut select = conn.prepare_cached(SELECT)?;
    let mut rows = select.query([model.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let fields = Fields(row);
    let live = layouts.of(fields.text(0)?, Table::Live)?;
    let build = match fields.opt_text(8)? {
        Some(schema) => Some(Build {
            schema: layouts.of(schema, Table::Build)?.schema.clone(),
            checkpoint: checkpoint(fields, 9)?,
            generation: fields.number(17)?,
        }),
        None => None,
    };
    let state = ModelState {
        schema: live.schema.clone(),
        checkpoint: checkpoint(fields, 1)?,
        generation: fields.number(16)?,
        content: Content { verdict: fields.parsed(18)?, verified_as_of: fields.opt_parsed(19)? },
        parked: Parked { events: fields.number(20)?, oldest_at: fields.opt_parsed(21)? },
        as_of: fields.opt_parsed(22)?,
        build,
    };
    Ok(Some(Stored { state, live }))
}

/// As [`find`]; an error where there is no such model.
pub(super) fn get(conn: &Connection, layouts: &Layouts, model: &ModelName) -> Fallible<Stored> {
    find(conn, layouts, model)?.ok_or_else(|| no_model(model))
}

fn checkpoint(fields: Fields<'_, '_>, first: usize) -> Fallible<Checkpoint> {
    Ok(Checkpoint {
        position: Position(fields.number(first)?),
        epoch: fields.opt_text(first + 1)?.map(epoch).transpose()?,
        last_event: fields.opt_parsed(first + 2)?,
        last_write: fields.opt_parsed(first + 3)?,
        counts: Counts {
            applied: fields.number(first + 4)?,
            ignored: fields.number(first + 5)?,
            parked: fields.number(first + 6)?,
        },
    })
}

/// The layout and the generation of a table.
pub(super) fn table(
    conn: &Connection,
    layouts: &Layouts,
    model: &ModelName,
    table: Table,
) -> Fallible<(Arc<Layout>, u64)> {
    let mut select = conn.prepare_cached(match table {
        Table::Live => "SELECT schema, generation FROM _ek_models WHERE model = ?1",
        Table::Build => {
            "SELECT b.schema, m.build_generation FROM _ek_builds AS b JOIN _ek_models AS m ON m.model = b.model \
             WHERE b.model = ?1"
        }
    })?;
    let mut rows = select.query([model.as_str()])?;
    let fields = Fields(rows.next()?.ok_or_else(|| no_model(model))?);
    Ok((layouts.of(fields.text(0)?, table)?, fields.number(1)?))
}

/// Keeps the checkpoint of a table and moves its generation on.
pub(super) fn set_checkpoint(
    conn: &Connection,
    model: &ModelName,
    table: Table,
    checkpoint: &Checkpoint,
) -> Fallible<()> {
    let Checkpoint { position, epoch, last_event, last_write, counts: Counts { applied, ignored, parked } } =
        checkpoint;
    let (name, generation) = match table {
        Table::Live => ("_ek_models", "generation"),
        Table::Build => ("_ek_builds", "build_generation"),
    };
    let mut update = conn.prepare_cached(&format!(
        "UPDATE {name} SET position = ?2, epoch = ?3, last_event = ?4, last_write = ?5, applied = ?6, ignored = ?7, \
         parked = ?8 WHERE model = ?1"
    ))?;
    update.execute(params![
        model.as_str(),
        int(position.0),
        words(*epoch),
        words(*last_event),
        words(*last_write),
        int(*applied),
        int(*ignored),
        int(*parked),
    ])?;
    let sql = format!("UPDATE _ek_models SET {generation} = {generation} + 1 WHERE model = ?1");
    conn.prepare_cached(&sql)?.execute([model.as_str()])?;
    Ok(())
}

/// Keeps what is known of the rows.
pub(super) fn set_content(conn: &Connection, model: &ModelName, content: &Content) -> Fallible<()> {
    let mut update =
        conn.prepare_cached("UPDATE _ek_models SET content_verdict = ?2, verified_as_of = ?3 WHERE model = ?1")?;
    let changed = update.execute(params![model.as_str(), content.verdict.as_str(), words(content.verified_as_of)])?;
    if changed == 0 { Err(no_model(model)) } else { Ok(()) }
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
