//! Sums of the identities of the events, by window of positions and type: what every model must have reached.
//!
//! What each model has reached is kept with the models.
use super::read::{bind_types, one_of};
use crate::sqlite::{
    fault::{Fallible, Fault},
    fields::{Fields, int},
};
use evenkeel_core::{
    Event, EventId, EventType, Position,
    content::{Window, identity},
    digest::Sum,
};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};

fn sum(fields: Fields<'_, '_>, column: usize) -> Fallible<Sum> {
    Sum::from_bytes(fields.bytes(column)?).ok_or_else(|| Fault::Bad("a sum of identities of another size".into()))
}

/// Adds events that are appended.
pub(super) fn add(conn: &Connection, events: &[Event]) -> Fallible<()> {
    let mut added: BTreeMap<(Window, &EventType), Sum> = BTreeMap::new();
    for event in events {
        added.entry((Window::of(event.position), &event.draft.event_type)).or_default().add(identity(event.id));
    }
    let mut select = conn.prepare_cached("SELECT sum FROM windows WHERE window = ?1 AND type = ?2")?;
    let mut write = conn.prepare_cached("REPLACE INTO windows(window, type, sum) VALUES(?1, ?2, ?3)")?;
    for ((window, event_type), new) in added {
        let stored = {
            let mut rows = select.query((int(window.0), event_type.as_str()))?;
            rows.next()?.map(|row| sum(Fields(row), 0)).transpose()?
        };
        let whole = stored.unwrap_or_default().plus(new);
        write.execute((int(window.0), event_type.as_str(), whole.to_bytes()))?;
    }
    Ok(())
}

/// The sums of the events of these types up to `upto`, from a window on.
pub(super) fn identities(
    conn: &Connection,
    types: &BTreeSet<EventType>,
    from: Window,
    upto: Position,
) -> Fallible<Vec<(Window, Sum)>> {
    if upto == Position::ZERO {
        return Ok(Vec::new());
    }
    let last = Window::of(upto);
    // The log may have more in the last window than is asked for.
    let whole = if last.last() == upto { last.0.saturating_add(1) } else { last.0 };
    let sql = format!(
        "SELECT window, sum FROM windows WHERE window >= ?1 AND window < ?2{} ORDER BY window",
        one_of(Some(types), 3)
    );
    let mut select = conn.prepare_cached(&sql)?;
    select.raw_bind_parameter(1, int(from.0))?;
    select.raw_bind_parameter(2, int(whole))?;
    bind_types(&mut select, Some(types), 3)?;
    let mut sums: BTreeMap<Window, Sum> = BTreeMap::new();
    let mut rows = select.raw_query();
    while let Some(row) = rows.next()? {
        let of_window = sums.entry(Window(Fields(row).number(0)?)).or_default();
        *of_window = of_window.plus(sum(Fields(row), 1)?);
    }
    if whole == last.0 && from <= last {
        let part = part(conn, types, last, upto)?;
        if !part.is_zero() {
            sums.insert(last, part);
        }
    }
    Ok(sums.into_iter().collect())
}

/// The sum of the events of a window up to `upto`: of these, or of all but those behind, whichever are fewer. Whoever asks
/// is mostly near the head.
fn part(conn: &Connection, types: &BTreeSet<EventType>, window: Window, upto: Position) -> Fallible<Sum> {
    let (first, last) = (window.before(), window.last());
    let few = upto.0 - first.0;
    match between(conn, types, (upto, last), few)? {
        Some(behind) => Ok(whole(conn, types, window)?.minus(behind)),
        None => Ok(between(conn, types, (first, upto), few)?.unwrap_or_default()),
    }
}

/// The sum of the events after one position and up to another. `None` where there are more than so many.
fn between(
    conn: &Connection,
    types: &BTreeSet<EventType>,
    (after, upto): (Position, Position),
    most: u64,
) -> Fallible<Option<Sum>> {
    let sql = format!("SELECT event_id FROM events WHERE position > ?1 AND position <= ?2{}", one_of(Some(types), 3));
    let mut select = conn.prepare_cached(&sql)?;
    select.raw_bind_parameter(1, int(after.0))?;
    select.raw_bind_parameter(2, int(upto.0))?;
    bind_types(&mut select, Some(types), 3)?;
    let mut rows = select.raw_query();
    let (mut sum, mut found) = (Sum::default(), 0);
    while let Some(row) = rows.next()? {
        found += 1;
        if found > most {
            return Ok(None);
        }
        sum.add(identity(EventId(Fields(row).bytes32(0)?)));
    }
    Ok(Some(sum))
}

/// The sum of all events of a window.
fn whole(conn: &Connection, types: &BTreeSet<EventType>, window: Window) -> Fallible<Sum> {
    let sql = format!("SELECT sum FROM windows WHERE window = ?1{}", one_of(Some(types), 2));
    let mut select = conn.prepare_cached(&sql)?;
    select.raw_bind_parameter(1, int(window.0))?;
    bind_types(&mut select, Some(types), 2)?;
    let (mut rows, mut all) = (select.raw_query(), Sum::default());
    while let Some(row) = rows.next()? {
        all = all.plus(sum(Fields(row), 0)?);
    }
    Ok(all)
}
