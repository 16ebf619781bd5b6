//! A table made beside the live one, and put in its place in one transaction.
use super::{
    layout::{self, Layouts, table_name},
    parks, state,
};
use crate::{Build, Table, sqlite::fault::Fallible};
use evenkeel_core::{ModelName, checkpoint::Checkpoint, drift::Content, schema::Schema};
use rusqlite::Connection;

/// Makes an empty table beside the live one; what an earlier build left is dropped.
pub(super) fn begin(conn: &Connection, schema: &Schema) -> Fallible<Build> {
    let model = &schema.model;
    abandon(conn, model)?;
    layout::create(conn, schema, Table::Build)?;
    conn.execute(
        "INSERT INTO _ek_builds(model, schema) VALUES(?1, ?2)",
        (model.as_str(), serde_json::to_string(schema)?),
    )?;
    conn.execute("UPDATE _ek_models SET build_generation = build_generation + 1 WHERE model = ?1", [model.as_str()])?;
    let generation: i64 =
        conn.query_row("SELECT build_generation FROM _ek_models WHERE model = ?1", [model.as_str()], |row| row.get(0))?;
    Ok(Build { schema: schema.clone(), checkpoint: Checkpoint::default(), generation: generation.unsigned_abs() })
}

/// Drops the table being built, if there is one.
pub(super) fn abandon(conn: &Connection, model: &ModelName) -> Fallible<()> {
    if !conn.prepare_cached("SELECT 1 FROM _ek_models WHERE model = ?1")?.exists([model.as_str()])? {
        return Err(state::no_model(model));
    }
    conn.execute_batch(&format!("DROP TABLE IF EXISTS {}", table_name(model, Table::Build)))?;
    conn.execute("DELETE FROM _ek_builds WHERE model = ?1", [model.as_str()])?;
    parks::drop_built(conn, model)
}

/// Puts the built table in the live one's place.
pub(super) fn swap(conn: &Connection, layouts: &Layouts, model: &ModelName, content: &Content) -> Fallible<()> {
    state::table(conn, layouts, model, Table::Build)?;
    let (live, built) = (table_name(model, Table::Live), table_name(model, Table::Build));
    conn.execute_batch(&format!("DROP TABLE IF EXISTS {live}; ALTER TABLE {built} RENAME TO {live}"))?;
    // What the old table had reached says nothing of a new one that is behind it.
    conn.execute(
        "UPDATE _ek_models AS m SET generation = m.generation + 1, \
         (schema, position, epoch, last_event, last_write, applied, ignored, parked) = \
         (b.schema, b.position, b.epoch, b.last_event, b.last_write, b.applied, b.ignored, b.parked), \
         as_of = CASE WHEN b.position < m.position THEN NULL ELSE m.as_of END \
         FROM _ek_builds AS b WHERE m.model = ?1 AND b.model = m.model",
        [model.as_str()],
    )?;
    conn.execute("DELETE FROM _ek_builds WHERE model = ?1", [model.as_str()])?;
    state::set_content(conn, model, content)?;
    parks::swap(conn, model)
}
