//! A table made beside the live one, put in its place in one transaction, and the one before brought back.
//!
//! What is folded into it, and when it may replace the other, is the runtime's (`rebuild`).
use super::{
    content,
    layout::{self, Layouts, table_name},
    parks,
    state::{self, role},
    watch,
};
use crate::{
    Build, StoreError, Table,
    sqlite::fault::{Fallible, Fault},
};
use evenkeel_core::{
    Digest, ModelName,
    checkpoint::Checkpoint,
    drift::{Content, Verdict},
    schema::Schema,
};
use rusqlite::Connection;

/// Makes an empty table with its record.
pub(super) fn create(conn: &Connection, schema: &Schema, table: Table, generation: i64) -> Fallible<()> {
    layout::create(conn, schema, table)?;
    conn.execute(
        "INSERT INTO _ek_tables(model, role, schema, generation, content_verdict) VALUES(?1, ?2, ?3, ?4, ?5)",
        (schema.model.as_str(), role(table), serde_json::to_string(schema)?, generation, Verdict::Unverified.as_str()),
    )?;
    Ok(())
}

/// Makes an empty table beside the live one; what an earlier build left is dropped.
pub(super) fn begin(conn: &Connection, schema: &Schema) -> Fallible<Build> {
    let model = &schema.model;
    abandon(conn, model)?;
    conn.execute("UPDATE _ek_models SET built = built + 1 WHERE model = ?1", [model.as_str()])?;
    let generation: i64 =
        conn.query_row("SELECT built FROM _ek_models WHERE model = ?1", [model.as_str()], |row| row.get(0))?;
    create(conn, schema, Table::Build, generation)?;
    Ok(Build { schema: schema.clone(), checkpoint: Checkpoint::default(), generation: generation.unsigned_abs() })
}

/// Drops the table being built, if there is one.
pub(super) fn abandon(conn: &Connection, model: &ModelName) -> Fallible<()> {
    if !conn.prepare_cached("SELECT 1 FROM _ek_models WHERE model = ?1")?.exists([model.as_str()])? {
        return Err(state::no_model(model));
    }
    // A step made for it does not fit the next.
    conn.execute(
        "UPDATE _ek_models AS m SET built = max(m.built, t.generation) FROM _ek_tables AS t \
         WHERE m.model = ?1 AND t.model = m.model AND t.role = 'build'",
        [model.as_str()],
    )?;
    drop(conn, model, Table::Build)
}

fn drop(conn: &Connection, model: &ModelName, table: Table) -> Fallible<()> {
    conn.execute_batch(&format!("DROP TABLE IF EXISTS {}", table_name(model, table)))?;
    let mut select = conn.prepare_cached("SELECT id FROM _ek_tables WHERE model = ?1 AND role = ?2")?;
    let ids = select.query_map((model.as_str(), role(table)), |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    for id in ids {
        content::forget(conn, id)?;
        conn.execute("DELETE FROM _ek_tables WHERE id = ?1", [id])?;
    }
    Ok(())
}

/// Puts the built table in the live one's place, and that aside.
pub(super) fn swap(conn: &Connection, layouts: &Layouts, model: &ModelName, found: &Content) -> Fallible<()> {
    state::table(conn, layouts, model, Table::Build)?;
    drop(conn, model, Table::Previous)?;
    replace_live(conn, layouts, model, Table::Build)?;
    conn.execute("UPDATE _ek_models SET condemned = NULL, rolled_back_from = NULL WHERE model = ?1", [model.as_str()])?;
    state::set_content(conn, model, found)
}

/// Puts the table that was aside in the live one's place, and that aside.
pub(super) fn rollback(
    conn: &Connection,
    layouts: &Layouts,
    model: &ModelName,
    rolled_back_from: Option<Digest>,
) -> Fallible<()> {
    if state::get(conn, layouts, model)?.state.previous.is_none() {
        return Err(Fault::Store(StoreError::Refused(format!("{model} has no table from before its last rebuild"))));
    }
    replace_live(conn, layouts, model, Table::Previous)?;
    conn.execute(
        "UPDATE _ek_models SET condemned = NULL, rolled_back_from = ?2 WHERE model = ?1",
        (model.as_str(), rolled_back_from.map(|digest| digest.to_string())),
    )?;
    // Nobody watched it meanwhile.
    let content = Content::default();
    state::set_content(conn, model, &content)
}

/// Puts `by` in the live table's place, and the live table aside.
fn replace_live(conn: &Connection, layouts: &Layouts, model: &ModelName, by: Table) -> Fallible<()> {
    let (live, next, aside) =
        (table_name(model, Table::Live), table_name(model, by), table_name(model, Table::Previous));
    let old = state::table(conn, layouts, model, Table::Live)?;
    let new = state::table(conn, layouts, model, by)?;
    watch::drop(conn, model)?;
    watch::forget(conn, model)?;
    let passing = layout::quote(&format!("_ek_passing_{model}"));
    // Somebody may have dropped the live table: then nothing is put aside.
    let is_there = conn
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?
        .exists([model.as_str()])?;
    if is_there {
        conn.execute_batch(&format!("ALTER TABLE {live} RENAME TO {passing}"))?;
    }
    conn.execute_batch(&format!("ALTER TABLE {next} RENAME TO {live}"))?;
    if is_there {
        conn.execute_batch(&format!("ALTER TABLE {passing} RENAME TO {aside}"))?;
    }
    // What the old table had reached says nothing of a new one that is behind it.
    conn.execute(
        "UPDATE _ek_models AS m SET as_of = CASE WHEN new.position < old.position THEN NULL ELSE m.as_of END \
         FROM _ek_tables AS old, _ek_tables AS new WHERE m.model = ?1 AND old.id = ?2 AND new.id = ?3",
        (model.as_str(), old.table_id, new.table_id),
    )?;
    parks::keep_discarded(conn, old.table_id, new.table_id)?;
    // In this order, since a model has one table of each role.
    let set_role = |id: i64, to: &str| {
        conn.execute("UPDATE _ek_tables SET role = ?2 WHERE id = ?1", (id, to)).map_err(Fault::from)
    };
    set_role(old.table_id, "passing")?;
    set_role(new.table_id, role(Table::Live))?;
    if is_there {
        set_role(old.table_id, role(Table::Previous))?;
    } else {
        content::forget(conn, old.table_id)?;
        conn.execute("DELETE FROM _ek_tables WHERE id = ?1", [old.table_id])?;
    }
    let generation = old.generation.max(new.generation * u64::from(by == Table::Previous)) + 1;
    conn.execute(
        "UPDATE _ek_tables SET generation = ?2 WHERE id = ?1",
        (new.table_id, crate::sqlite::fields::int(generation)),
    )?;
    if by == Table::Build {
        conn.execute(
            "UPDATE _ek_models SET built = max(built, ?2) WHERE model = ?1",
            (model.as_str(), crate::sqlite::fields::int(new.generation)),
        )?;
    }
    parks::sum_up(conn, new.table_id)?;
    watch::create(conn, &state::table(conn, layouts, model, Table::Live)?.layout)
}
