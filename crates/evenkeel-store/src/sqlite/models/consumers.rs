//! Consumers of the user's own, and what they reported last.
//!
//! How far they are from the log is measured by the runtime.
use crate::sqlite::{
    fault::Fallible,
    fields::{Fields, epoch, int, words},
};
use evenkeel_core::{
    EventType, Position,
    consumer::{Consumer, Reported},
};
use rusqlite::{Connection, params};
use std::collections::BTreeSet;

/// Registers a consumer, or changes how it is registered. What it reported stays.
pub(super) fn put(conn: &Connection, consumer: &Consumer) -> Fallible<()> {
    let Consumer { name, subscribes, max_lag_events, max_lag_seconds, registered_at } = consumer;
    let mut put = conn.prepare_cached(
        "INSERT INTO _ek_consumers(name, subscribes, max_lag_events, max_lag_seconds, registered_at) \
         VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT(name) DO UPDATE SET subscribes = excluded.subscribes, \
         max_lag_events = excluded.max_lag_events, max_lag_seconds = excluded.max_lag_seconds",
    )?;
    let types = serde_json::to_string(subscribes)?;
    put.execute(params![name, types, max_lag_events.map(int), max_lag_seconds, registered_at.to_string()])?;
    Ok(())
}

/// Keeps a report. Whether there is such a consumer.
pub(super) fn report(conn: &Connection, name: &str, reported: &Reported) -> Fallible<bool> {
    let Reported { position, epoch, last_write, at } = reported;
    let mut update = conn.prepare_cached(
        "UPDATE _ek_consumers SET position = ?2, epoch = ?3, last_write = ?4, reported_at = ?5 WHERE name = ?1",
    )?;
    let values = params![name, int(position.0), epoch.to_string(), words(*last_write), at.to_string()];
    Ok(update.execute(values)? > 0)
}

/// Forgets a consumer. Whether there was one.
pub(super) fn remove(conn: &Connection, name: &str) -> Fallible<bool> {
    Ok(conn.prepare_cached("DELETE FROM _ek_consumers WHERE name = ?1")?.execute([name])? > 0)
}

/// All of them, by name.
pub(super) fn list(conn: &Connection) -> Fallible<Vec<(Consumer, Option<Reported>)>> {
    let mut select = conn.prepare_cached(
        "SELECT name, subscribes, max_lag_events, max_lag_seconds, registered_at, position, epoch, last_write, \
         reported_at FROM _ek_consumers ORDER BY name",
    )?;
    let mut rows = select.query([])?;
    let mut consumers = Vec::new();
    while let Some(row) = rows.next()? {
        let fields = Fields(row);
        let subscribes: BTreeSet<EventType> = serde_json::from_str(fields.text(1)?)?;
        let consumer = Consumer {
            name: fields.text(0)?.to_owned(),
            subscribes,
            max_lag_events: fields.opt_number(2)?,
            max_lag_seconds: fields.opt_real(3)?,
            registered_at: fields.parsed(4)?,
        };
        let reported = match fields.opt_number(5)? {
            Some(position) => Some(Reported {
                position: Position(position),
                epoch: epoch(fields.text(6)?)?,
                last_write: fields.opt_parsed(7)?,
                at: fields.parsed(8)?,
            }),
            None => None,
        };
        consumers.push((consumer, reported));
    }
    Ok(consumers)
}
