//! Parked events: what a model could not apply, kept in the transaction of its rows.
use crate::{
    Table,
    sqlite::{
        fault::{Fallible, Fault},
        fields::{Fields, int},
    },
};
use evenkeel_core::{
    ModelName, Position,
    fold::{Park, ParkState, TouchId},
    json::{self, Number, Value},
    row::{Key, KeyPart},
};
use rusqlite::{CachedStatement, Connection, params};

/// Parks that nobody has given up.
const WAITING: &str = "state IN ('quarantined', 'held')";

fn build(table: Table) -> i64 {
    match table {
        Table::Live => 0,
        Table::Build => 1,
    }
}

/// A key as text: a JSON array of its parts, the same for equal keys.
fn key_text(key: &Key) -> String {
    let part = |part: &KeyPart| match part {
        KeyPart::I64(int) => Value::from(*int),
        KeyPart::Text(text) => Value::from(text.as_str()),
    };
    Value::Array(key.0.iter().map(part).collect()).to_string()
}

fn key(text: &str) -> Fallible<Key> {
    let bad = || Fault::Bad(format!("{text:?} is no key of a parked event"));
    let Ok(Value::Array(parts)) = json::parse(text.as_bytes()) else { return Err(bad()) };
    let part = |part| match part {
        Value::Number(Number::Int(int)) => Ok(KeyPart::I64(int)),
        Value::String(text) => Ok(KeyPart::Text(text)),
        _ => Err(bad()),
    };
    parts.into_iter().map(part).collect::<Fallible<_>>().map(Key)
}

/// Tells of each key how many events of it are parked.
pub(super) enum Waiting<'c> {
    /// None is, of any key.
    Nothing,
    /// Looks each key up.
    ByKey(CachedStatement<'c>, &'c ModelName, Table),
}

impl<'c> Waiting<'c> {
    /// For the keys of a table.
    pub(super) fn new(conn: &'c Connection, model: &'c ModelName, table: Table) -> Fallible<Self> {
        let sql = format!("SELECT 1 FROM _ek_parks WHERE model = ?1 AND build = ?2 AND {WAITING} LIMIT 1");
        if !conn.prepare_cached(&sql)?.exists((model.as_str(), build(table)))? {
            return Ok(Self::Nothing);
        }
        let sql = format!(
            "SELECT count(DISTINCT position) FROM _ek_parks WHERE model = ?1 AND build = ?2 AND key = ?3 AND {WAITING}"
        );
        Ok(Self::ByKey(conn.prepare_cached(&sql)?, model, table))
    }

    /// Whether it is worth to ask at all.
    pub(super) fn any(&self) -> bool {
        matches!(self, Self::ByKey(..))
    }

    /// How many events of this key are parked.
    pub(super) fn of(&mut self, key: &Key) -> Fallible<u64> {
        let Self::ByKey(select, model, table) = self else { return Ok(0) };
        let mut rows = select.query((model.as_str(), build(*table), key_text(key)))?;
        rows.next()?.map_or(Ok(0), |row| Fields(row).number(0))
    }
}

/// Takes note of parked events and of resolved ones.
pub(super) fn write(
    conn: &Connection,
    model: &ModelName,
    table: Table,
    parks: &[Park],
    unparks: &[TouchId],
) -> Fallible<()> {
    if parks.is_empty() && unparks.is_empty() {
        return Ok(());
    }
    let mut delete = conn.prepare_cached(
        "DELETE FROM _ek_parks WHERE model = ?1 AND build = ?2 AND position = ?3 AND clause = ?4 AND element = ?5",
    )?;
    for TouchId { position, clause, element } in unparks {
        delete.execute((model.as_str(), build(table), int(position.0), clause, element))?;
    }
    let mut insert = conn.prepare_cached(
        "REPLACE INTO _ek_parks(model, build, position, clause, element, key, event_id, state, error, at) \
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for park in parks {
        let Park { touch: TouchId { position, clause, element }, key, event_id, state, error, at } = park;
        insert.execute(params![
            model.as_str(),
            build(table),
            int(position.0),
            clause,
            element,
            key.as_ref().map(key_text),
            event_id.to_string(),
            state.as_str(),
            error,
            at.to_string(),
        ])?;
    }
    match table {
        Table::Live => sum_up(conn, model),
        Table::Build => Ok(()),
    }
}

/// Keeps how many events the live table has parked, so that reads need not count them.
fn sum_up(conn: &Connection, model: &ModelName) -> Fallible<()> {
    let sql = format!(
        "UPDATE _ek_models SET (parked_events, oldest_parked) = (SELECT count(DISTINCT position), min(at) \
         FROM _ek_parks WHERE model = ?1 AND build = 0 AND {WAITING}) WHERE model = ?1"
    );
    conn.prepare_cached(&sql)?.execute([model.as_str()])?;
    Ok(())
}

/// Parked events of the live table in log order.
pub(super) fn list(conn: &Connection, model: &ModelName, state: Option<ParkState>) -> Fallible<Vec<Park>> {
    let mut select = conn.prepare_cached(
        "SELECT position, clause, element, key, event_id, state, error, at FROM _ek_parks WHERE model = ?1 \
         AND build = 0 AND (?2 IS NULL OR state = ?2) ORDER BY position, clause, element",
    )?;
    let mut rows = select.query((model.as_str(), state.map(|state| state.as_str())))?;
    let mut parks = Vec::new();
    while let Some(row) = rows.next()? {
        let fields = Fields(row);
        let bad = |_| Fault::Bad("a parked event of a clause that cannot be".into());
        parks.push(Park {
            touch: TouchId {
                position: Position(fields.number(0)?),
                clause: fields.number32(1)?.try_into().map_err(bad)?,
                element: fields.number32(2)?,
            },
            key: fields.opt_text(3)?.map(key).transpose()?,
            event_id: fields.parsed(4)?,
            state: fields.parsed(5)?,
            error: fields.text(6)?.to_owned(),
            at: fields.parsed(7)?,
        });
    }
    Ok(parks)
}

/// Forgets what the table being built has parked.
pub(super) fn drop_built(conn: &Connection, model: &ModelName) -> Fallible<()> {
    conn.prepare_cached("DELETE FROM _ek_parks WHERE model = ?1 AND build = 1")?.execute([model.as_str()])?;
    Ok(())
}

/// Puts the built table's parks in the place of the live one's. What a person has given up stays so, whatever the
/// build made of it.
pub(super) fn swap(conn: &Connection, model: &ModelName) -> Fallible<()> {
    let execute = |sql: &str| conn.prepare_cached(sql)?.execute([model.as_str()]);
    execute("DELETE FROM _ek_parks WHERE model = ?1 AND build = 0 AND state <> 'discarded'")?;
    execute("UPDATE OR IGNORE _ek_parks SET build = 0 WHERE model = ?1 AND build = 1")?;
    drop_built(conn, model)?;
    sum_up(conn, model)
}
