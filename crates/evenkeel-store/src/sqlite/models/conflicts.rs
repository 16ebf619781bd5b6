//! Records of resolved conflicts: what was decided between two writes, kept in the transaction of the rows it concerns.
//!
//! A record is kept once, however often its events are folded; making it is [`evenkeel_core::merge`]'s.
use super::parks;
use crate::{
    ConflictQuery, RecordedConflict,
    sqlite::{
        fault::Fallible,
        fields::{Fields, int, size},
    },
};
use evenkeel_core::{ModelName, merge::Conflict, schema::Schema};
use rusqlite::{Connection, params};

/// Keeps what is not kept yet. Of all models together the `kept` latest in the log remain.
pub(super) fn write(conn: &Connection, schema: &Schema, conflicts: &[Conflict], kept: u64) -> Fallible<()> {
    if conflicts.is_empty() {
        return Ok(());
    }
    let mut insert = conn.prepare_cached(
        "INSERT OR IGNORE INTO _ek_conflicts(position, id, model, model_version, key, column_name, strategy, relation, rule, \
         winner, loser, at) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    let mut prunes = false;
    for conflict in conflicts {
        let id = conflict.id(&schema.model);
        insert.execute(params![
            int(conflict.position().0),
            id.to_string(),
            schema.model.as_str(),
            schema.version,
            parks::key_text(&conflict.key),
            conflict.column,
            conflict.strategy.as_str(),
            conflict.relation.as_str(),
            conflict.rule.as_str(),
            serde_json::to_string(&conflict.winner)?,
            serde_json::to_string(&conflict.loser)?,
            conflict.at.to_string(),
        ])?;
        // Finding the oldest costs more than keeping some too many: one in 64 looks.
        prunes |= id.0[0] < 4;
    }
    if prunes {
        conn.prepare_cached(
            "DELETE FROM _ek_conflicts WHERE position < \
             (SELECT position FROM _ek_conflicts ORDER BY position DESC LIMIT 1 OFFSET ?1)",
        )?
        .execute([int(kept)])?;
    }
    Ok(())
}

/// The records that are asked for, those of the latest writes first.
pub(super) fn list(conn: &Connection, query: &ConflictQuery) -> Fallible<Vec<RecordedConflict>> {
    let mut given: Vec<rusqlite::types::Value> = Vec::new();
    let mut wanted = String::new();
    let mut only = |condition: &str, value: Option<rusqlite::types::Value>| {
        if let Some(value) = value {
            wanted.push_str(if given.is_empty() { " WHERE " } else { " AND " });
            wanted.push_str(condition);
            given.push(value);
        }
    };
    // Conditions that are not there are not asked about, so that the others find their index.
    only("model = ?", query.model.as_ref().map(|model| model.to_string().into()));
    only("key = ?", query.key.as_ref().map(|key| parks::key_text(key).into()));
    only("id = ?", query.id.map(|id| id.to_string().into()));
    if let Some((position, id, version)) = query.before {
        only("position <= ?", Some(int(position.0).into()));
        only("(position < ?", Some(int(position.0).into()));
        wanted.push_str(" OR (id, model_version) < (?, ?))");
        given.extend([id.to_string().into(), i64::from(version).into()]);
    }
    given.push(size(query.limit).into());
    let mut select = conn.prepare_cached(&format!(
        "SELECT id, model, model_version, key, column_name, strategy, relation, rule, winner, loser, at FROM _ek_conflicts\
         {wanted} ORDER BY position DESC, id DESC, model_version DESC LIMIT ?"
    ))?;
    let mut rows = select.query(rusqlite::params_from_iter(given))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(Fields(row))?);
    }
    Ok(found)
}

fn read(fields: Fields<'_, '_>) -> Fallible<RecordedConflict> {
    Ok(RecordedConflict {
        id: fields.parsed(0)?,
        model: ModelName::from(fields.text(1)?),
        model_version: fields.number32(2)?,
        conflict: Conflict {
            key: parks::key(fields.text(3)?)?,
            column: fields.text(4)?.to_owned(),
            strategy: fields.parsed(5)?,
            relation: fields.parsed(6)?,
            rule: fields.parsed(7)?,
            winner: serde_json::from_str(fields.text(8)?)?,
            loser: serde_json::from_str(fields.text(9)?)?,
            at: fields.parsed(10)?,
        },
    })
}

/// How many records there are of each model.
pub(super) fn count(conn: &Connection, model: &ModelName) -> Fallible<u64> {
    let mut select = conn.prepare_cached("SELECT count(*) FROM _ek_conflicts WHERE model = ?1")?;
    let mut rows = select.query([model.as_str()])?;
    rows.next()?.map_or(Ok(0), |row| Fields(row).number(0))
}
