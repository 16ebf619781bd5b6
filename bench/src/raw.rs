//! What one would write with `rusqlite` alone: the same bytes into the same tables with the same settings, and nothing
//! that Evenkeel does besides: no identity looked up, no stream searched, no JSON written, no counts kept in memory.
use crate::{
    Result,
    events::{SOURCE, TYPE},
};
use evenkeel::core::intake::{Arrival, Verdict};
use rusqlite::{Connection, TransactionBehavior};
use std::{collections::HashMap, path::Path};

/// An event, ready to be bound.
#[derive(Clone)]
pub(crate) struct Record {
    event_id: [u8; 32],
    digest: [u8; 32],
    raw_id: String,
    subject: String,
    time_micros: Option<i64>,
    contract_version: u32,
    data: String,
}

impl Record {
    /// The columns of an event that the gate has admitted.
    pub(crate) fn of(arrival: &Arrival) -> Result<Self> {
        let Verdict::Admit(draft) = &arrival.verdict else { return Err("not admitted".into()) };
        Ok(Self {
            event_id: arrival.sent.id.0,
            digest: arrival.sent.digest.0,
            raw_id: arrival.sent.raw_id.clone(),
            subject: draft.subject.to_string(),
            time_micros: draft.time.map(|time| time.as_micros()),
            contract_version: draft.contract_version,
            data: serde_json::to_string(&draft.data)?,
        })
    }

    /// Bytes of its data.
    pub(crate) fn data_bytes(&self) -> usize {
        self.data.len()
    }

    /// What the peer is given: subject, data, and the rest of what is stored of it.
    pub(crate) fn for_peer(&self) -> Result<String> {
        let data: serde_json::Value = serde_json::from_str(&self.data)?;
        let metadata = serde_json::json!({"source": SOURCE, "id": self.raw_id, "time": self.time_micros});
        Ok(serde_json::json!({"subject": self.subject, "payload": data, "metadata": metadata}).to_string())
    }
}

/// A log that is only appended to.
pub(crate) struct RawLog {
    conn: Connection,
    position: i64,
    /// Number and version of each stream, known beforehand.
    streams: HashMap<String, (i64, i64)>,
}

/// A connection with the settings that Evenkeel gives its files' writers.
pub(crate) fn connect(path: &Path, synchronous: &str) -> Result<Connection> {
    let conn = Connection::open(path)?;
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    for (name, value) in [("cache_size", -65_536), ("wal_autocheckpoint", 16_384), ("journal_size_limit", 128 << 20)] {
        conn.pragma_update(None, name, value)?;
    }
    conn.pragma_update(None, "synchronous", synchronous)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.set_prepared_statement_cache_capacity(128);
    Ok(conn)
}

impl RawLog {
    /// Opens the log of a data folder that Evenkeel has made.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let conn = connect(&dir.join("log.db"), "FULL")?;
        let position = conn.query_row("SELECT ifnull(max(position), 0) FROM events", [], |row| row.get(0))?;
        let mut streams = HashMap::new();
        {
            let mut select = conn.prepare(
                "SELECT subject, id, (SELECT max(stream_version) FROM events WHERE stream_id = id) FROM streams",
            )?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                streams.insert(row.get(0)?, (row.get(1)?, row.get(2)?));
            }
        }
        Ok(Self { conn, position, streams })
    }

    /// Appends a batch in one transaction.
    pub(crate) fn append<'r>(&mut self, batch: impl IntoIterator<Item = &'r Record>, now_micros: i64) -> Result<()> {
        let Self { conn, position, streams } = self;
        let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut count = 0;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO events(position, event_id, stream_id, stream_version, type, source, raw_id, time, \
                 recorded_at, contract_version, digest, extensions, data) \
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?;
            for record in batch {
                count += 1;
                *position += 1;
                let (stream, version) = match streams.get_mut(&record.subject) {
                    Some(stream) => stream,
                    None => {
                        let mut new = transaction.prepare_cached("INSERT INTO streams(subject) VALUES(?1)")?;
                        let id = new.insert([&record.subject])?;
                        streams.entry(record.subject.clone()).or_insert((id, 0))
                    }
                };
                *version += 1;
                insert.raw_bind_parameter(1, *position)?;
                insert.raw_bind_parameter(2, record.event_id)?;
                insert.raw_bind_parameter(3, *stream)?;
                insert.raw_bind_parameter(4, *version)?;
                insert.raw_bind_parameter(5, TYPE)?;
                insert.raw_bind_parameter(6, SOURCE)?;
                insert.raw_bind_parameter(7, record.raw_id.as_str())?;
                insert.raw_bind_parameter(8, record.time_micros)?;
                insert.raw_bind_parameter(9, now_micros)?;
                insert.raw_bind_parameter(10, record.contract_version)?;
                insert.raw_bind_parameter(11, record.digest)?;
                insert.raw_bind_parameter(12, rusqlite::types::Null)?;
                insert.raw_bind_parameter(13, record.data.as_str())?;
                insert.raw_execute()?;
            }
            let mut counted = transaction.prepare_cached(
                "INSERT INTO event_types(type, count) VALUES(?1, ?2) \
                 ON CONFLICT(type) DO UPDATE SET count = count + excluded.count",
            )?;
            counted.execute((TYPE, count))?;
        }
        transaction.commit()?;
        Ok(())
    }
}
