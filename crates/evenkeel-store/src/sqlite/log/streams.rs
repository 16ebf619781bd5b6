//! Which number and version the stream of a subject has, as the writer knows it.
//!
//! Reading a stream's events is in [`super::read`].
use crate::sqlite::{cache::Cache, fault::Fallible, fields::Fields};
use evenkeel_core::{StreamVersion, Subject};
use rusqlite::Connection;

/// How many streams are remembered, at most twice. A stream that is not costs each of its events two look-ups.
const HALF: usize = 1 << 17;

/// The version of a stream with one event.
const FIRST: StreamVersion = StreamVersion(1);

/// A stream that has events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    pub(super) id: i64,
    pub(super) version: StreamVersion,
}

/// The streams lately read or written, as they are in the transaction at hand. Replaced by an empty one when a
/// transaction fails.
#[derive(Debug)]
pub(in crate::sqlite) struct Streams(Cache<Subject, Stream>);

impl Default for Streams {
    fn default() -> Self {
        Self(Cache::new(HALF))
    }
}

impl Streams {
    /// The stream of `subject`, if it has events.
    pub(super) fn find(&mut self, conn: &Connection, subject: &Subject) -> Fallible<Option<Stream>> {
        if let Some(stream) = self.0.get_mut(subject) {
            return Ok(Some(*stream));
        }
        let mut select = conn.prepare_cached(
            "SELECT id, (SELECT max(stream_version) FROM events WHERE stream_id = id) FROM streams WHERE subject = ?1",
        )?;
        let mut rows = select.query([subject.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let fields = Fields(row);
        let version = StreamVersion(fields.opt_number(1)?.unwrap_or_default());
        let stream = Stream { id: fields.int(0)?, version };
        self.0.put(subject.clone(), stream);
        Ok(Some(stream))
    }

    /// Takes note that the stream of `subject` now ends with `version`, and returns its number.
    pub(super) fn advance(&mut self, conn: &Connection, subject: &Subject, version: StreamVersion) -> Fallible<i64> {
        if let Some(stream) = self.0.get_mut(subject) {
            stream.version = version;
            return Ok(stream.id);
        }
        // A first event makes the stream. That there is none was found before; if there were one, the table would refuse.
        let known = if version == FIRST { None } else { self.find(conn, subject)? };
        let id = match known {
            Some(stream) => stream.id,
            None => conn.prepare_cached("INSERT INTO streams(subject) VALUES(?1)")?.insert([subject.as_str()])?,
        };
        self.0.put(subject.clone(), Stream { id, version });
        Ok(id)
    }
}
