//! Parked events: what a model could not apply, kept in the transaction of its rows.
//!
//! What the gate refused is in the log's quarantine.
use crate::models::{ParkFilter, ParkedRow};
use crate::sqlite::{
    fault::{Fallible, Fault},
    fields::{Fields, int, size},
};
use evenkeel_core::{
    Position,
    fold::{Park, TouchId},
    json::{self, Number, Value},
    quarantine::Decision,
    row::{Key, KeyPart},
};
use rusqlite::{CachedStatement, Connection, Rows, ToSql, params};
use std::collections::BTreeSet;

/// The columns of a park, as [`write`] binds them and [`list`] reads them.
const COLUMNS: &str = "position, clause, element, key, event_id, state, error, at, decided_by, decision_note";

/// Parks that nobody has given up.
const WAITING: &str = "state IN ('quarantined', 'held')";

/// How those of a key are found. Left to itself SQLite goes through all parks of the table, for their order.
const BY_KEY: &str = "INDEXED BY _ek_parks_of_key";

/// Since when the first of those of table 1 waits.
pub(super) const OLDEST: &str =
    "SELECT min(at) FROM _ek_parks WHERE table_id = ?1 AND state IN ('quarantined', 'held')";

/// A key as text: a JSON array of its parts, the same for equal keys.
pub(super) fn key_text(key: &Key) -> String {
    let part = |part: &KeyPart| match part {
        KeyPart::I64(int) => Value::from(*int),
        KeyPart::Text(text) => Value::from(text.as_str()),
    };
    Value::Array(key.0.iter().map(part).collect()).to_string()
}

/// Reads [`key_text`].
pub(super) fn key(text: &str) -> Fallible<Key> {
    let bad = || Fault::Bad(format!("{text:?} is no key of a row"));
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
    ByKey(CachedStatement<'c>, i64),
}

impl<'c> Waiting<'c> {
    /// For the keys of a table.
    pub(super) fn new(conn: &'c Connection, table_id: i64) -> Fallible<Self> {
        let sql =
            format!("SELECT 1 FROM _ek_parks INDEXED BY _ek_parks_since WHERE table_id = ?1 AND {WAITING} LIMIT 1");
        if !conn.prepare_cached(&sql)?.exists([table_id])? {
            return Ok(Self::Nothing);
        }
        Ok(Self::ByKey(conn.prepare_cached(&waiting_of())?, table_id))
    }

    /// Whether it is worth to ask at all.
    pub(super) fn any(&self) -> bool {
        matches!(self, Self::ByKey(..))
    }

    /// How many events of this key are parked.
    pub(super) fn of(&mut self, key: &Key) -> Fallible<u64> {
        let Self::ByKey(select, table_id) = self else { return Ok(0) };
        let mut rows = select.query((*table_id, key_text(key)))?;
        rows.next()?.map_or(Ok(0), |row| Fields(row).number(0))
    }
}

/// Whether an event is parked of a row that is not known.
pub(super) fn any_unnamed(conn: &Connection, table_id: i64) -> Fallible<bool> {
    let sql = format!("SELECT 1 FROM _ek_parks {BY_KEY} WHERE table_id = ?1 AND key IS NULL AND {WAITING} LIMIT 1");
    Ok(conn.prepare_cached(&sql)?.exists([table_id])?)
}

/// The statement that counts the events which wait for a row.
pub(super) fn waiting_of() -> String {
    format!("SELECT count(DISTINCT position) FROM _ek_parks {BY_KEY} WHERE table_id = ?1 AND key = ?2 AND {WAITING}")
}

/// Takes note of parked events and of resolved ones.
pub(super) fn write(conn: &Connection, table_id: i64, parks: &[Park], unparks: &[TouchId]) -> Fallible<()> {
    if parks.is_empty() && unparks.is_empty() {
        return Ok(());
    }
    // What they add to the sums: counting all that is parked each time would make deciding about all of it quadratic.
    let touched = parks.iter().map(|park| &park.touch).chain(unparks);
    let touched: BTreeSet<i64> = touched.map(|touch| int(touch.position.0)).collect();
    let before = waiting_among(conn, table_id, &touched)?;
    let mut delete = conn.prepare_cached(
        "DELETE FROM _ek_parks WHERE table_id = ?1 AND position = ?2 AND clause = ?3 AND element = ?4",
    )?;
    for TouchId { position, clause, element } in unparks {
        delete.execute((table_id, int(position.0), clause, element))?;
    }
    let mut insert = conn.prepare_cached(&format!(
        "REPLACE INTO _ek_parks(table_id, {COLUMNS}) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
    ))?;
    for park in parks {
        let Park { touch: TouchId { position, clause, element }, key, event_id, state, error, at, decision } = park;
        insert.execute(params![
            table_id,
            int(position.0),
            clause,
            element,
            key.as_ref().map(key_text),
            event_id.to_string(),
            state.as_str(),
            error,
            at.to_string(),
            decision.as_ref().map(|decision| decision.author.as_str()),
            decision.as_ref().map(|decision| decision.note.as_str()),
        ])?;
    }
    let more = waiting_among(conn, table_id, &touched)? - before;
    let sql =
        format!("UPDATE _ek_tables SET parked_events = parked_events + ?2, oldest_parked = ({OLDEST}) WHERE id = ?1");
    conn.prepare_cached(&sql)?.execute((table_id, more))?;
    Ok(())
}

/// How many of the events at these positions wait for at least one row.
fn waiting_among(conn: &Connection, table_id: i64, positions: &BTreeSet<i64>) -> Fallible<i64> {
    let sql = format!("SELECT 1 FROM _ek_parks WHERE table_id = ?1 AND position = ?2 AND {WAITING} LIMIT 1");
    let mut select = conn.prepare_cached(&sql)?;
    let mut count = 0;
    for position in positions {
        count += i64::from(select.exists((table_id, position))?);
    }
    Ok(count)
}

/// Counts what a table has parked afresh, where it took on what another one has.
pub(super) fn sum_up(conn: &Connection, table_id: i64) -> Fallible<()> {
    let sql = format!(
        "UPDATE _ek_tables SET oldest_parked = ({OLDEST}), parked_events = \
         (SELECT count(DISTINCT position) FROM _ek_parks WHERE table_id = ?1 AND {WAITING}) WHERE id = ?1"
    );
    conn.prepare_cached(&sql)?.execute([table_id])?;
    Ok(())
}

/// The statement that finds what is asked for.
pub(super) fn select(asked: &ParkFilter<'_>) -> String {
    let by_key = matches!(asked.row, Some(ParkedRow::Of(_) | ParkedRow::Unknown)) && asked.touch.is_none();
    let index = if by_key { BY_KEY } else { "" };
    let mut sql = format!("SELECT {COLUMNS} FROM _ek_parks {index} WHERE table_id = :table");
    if asked.state.is_some() {
        sql.push_str(" AND state = :state");
    }
    match asked.row {
        Some(ParkedRow::Of(_)) => sql.push_str(&format!(" AND key = :key AND {WAITING}")),
        Some(ParkedRow::Any) => sql.push_str(&format!(" AND {WAITING}")),
        Some(ParkedRow::Unknown) => sql.push_str(&format!(" AND key IS NULL AND {WAITING}")),
        None => {}
    }
    if asked.at.is_some() {
        sql.push_str(" AND position = :at");
    }
    if asked.touch.is_some() {
        sql.push_str(" AND position = :position AND clause = :clause AND element = :element");
    }
    if asked.after.is_some() {
        sql.push_str(" AND (position, clause, element) > (:after, :after_clause, :after_element)");
    }
    sql.push_str(" ORDER BY position, clause, element LIMIT :limit");
    sql
}

/// Parked events of a table in log order.
pub(super) fn list(conn: &Connection, table_id: i64, asked: &ParkFilter<'_>) -> Fallible<Vec<Park>> {
    let limit = if asked.limit == 0 { -1 } else { size(asked.limit) };
    let mut bound: Vec<(&str, Box<dyn ToSql>)> = vec![(":table", Box::new(table_id)), (":limit", Box::new(limit))];
    if let Some(state) = asked.state {
        bound.push((":state", Box::new(state.as_str())));
    }
    if let Some(ParkedRow::Of(key)) = asked.row {
        bound.push((":key", Box::new(key_text(key))));
    }
    let touches = [
        (asked.touch, [":position", ":clause", ":element"]),
        (asked.after, [":after", ":after_clause", ":after_element"]),
    ];
    for (touch, [position, clause, element]) in touches {
        if let Some(touch) = touch {
            bound.push((position, Box::new(int(touch.position.0))));
            bound.push((clause, Box::new(touch.clause)));
            bound.push((element, Box::new(touch.element)));
        }
    }
    let bound: Vec<(&str, &dyn ToSql)> = bound.iter().map(|(name, value)| (*name, value.as_ref())).collect();
    let mut select = conn.prepare_cached(&select(asked))?;
    let mut parks = Vec::new();
    let Some(positions) = asked.at else {
        read(&mut select.query(&*bound)?, &mut parks)?;
        return Ok(parks);
    };
    for position in positions {
        let position = int(position.0);
        let one: Vec<_> = bound.iter().copied().chain([(":at", &position as &dyn ToSql)]).collect();
        read(&mut select.query(&*one)?, &mut parks)?;
        if parks.len() >= asked.most() {
            parks.truncate(asked.most());
            break;
        }
    }
    Ok(parks)
}

fn read(rows: &mut Rows<'_>, parks: &mut Vec<Park>) -> Fallible<()> {
    while let Some(row) = rows.next()? {
        parks.push(decode(Fields(row))?);
    }
    Ok(())
}

fn decode(fields: Fields<'_, '_>) -> Fallible<Park> {
    let bad = |_| Fault::Bad("a parked event of a clause that cannot be".into());
    Ok(Park {
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
        decision: match (fields.opt_text(8)?, fields.opt_text(9)?) {
            (Some(author), note) => {
                Some(Decision { author: author.to_owned(), note: note.unwrap_or_default().to_owned() })
            }
            (None, _) => None,
        },
    })
}

/// What a person has given up of one table stays so in another, whatever that made of it; but not where another event is
/// parked there, as in a log that lost its end and grew again.
pub(super) fn keep_discarded(conn: &Connection, from: i64, to: i64) -> Fallible<()> {
    conn.execute(
        &format!(
            "REPLACE INTO _ek_parks(table_id, {COLUMNS}) SELECT ?2, {COLUMNS} FROM _ek_parks AS old \
             WHERE table_id = ?1 AND state = 'discarded' AND NOT EXISTS (SELECT 1 FROM _ek_parks AS new \
             WHERE new.table_id = ?2 AND new.position = old.position AND new.clause = old.clause \
             AND new.element = old.element AND new.event_id <> old.event_id)"
        ),
        (from, to),
    )?;
    Ok(())
}
