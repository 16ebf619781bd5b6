//! Events as they were sent: packed, and compressed, with their neighbours in the log, and forgotten after a time.
//!
//! Events that are alike compress well together and badly alone, and few large rows cost less than many small ones. Those of
//! one transaction are packed together, up to [`PACK_BYTES`], so that what a single one costs to read stays bounded. The
//! more is written at a time, the less each costs. How long they are kept is the caller's to say.
use crate::sqlite::{
    fault::{Fallible, Fault},
    fields::{Fields, int, size},
};
use evenkeel_core::{Position, Timestamp, intake::RawBody};
use rusqlite::{Connection, params};
use zstd::{bulk::Compressor, zstd_safe::CParameter};

/// How many bytes are packed together, before they are compressed; a longer event is packed alone.
const PACK_BYTES: usize = 128 << 10;

/// How hard is compressed. It is done while the log is being written, so speed comes first.
const LEVEL: i32 = 1;

/// Before each event of a pack: its position and its length.
const HEAD_BYTES: usize = 12;

/// How many bytes one read unpacks, if the first pack is not longer.
const READ_BYTES: usize = 8 << 20;

/// Longer than any pack: requests are limited, and so are events.
const LONGEST: usize = 1 << 30;

/// What packs; kept, since making it anew costs more than packing.
#[derive(Default)]
pub(super) struct Packer {
    compressor: Option<Compressor<'static>>,
    plain: Vec<u8>,
}

/// What lies in a pack that is being made.
struct Span {
    first: Position,
    last: Position,
    count: u64,
}

impl Packer {
    /// Keeps these, which were recorded at one instant.
    pub(super) fn keep(&mut self, conn: &Connection, raws: &[RawBody], recorded_at: Timestamp) -> Fallible<()> {
        self.plain.clear();
        let mut open: Option<Span> = None;
        for RawBody { position, raw } in raws {
            if !self.plain.is_empty() && self.plain.len() + HEAD_BYTES + raw.len() > PACK_BYTES {
                self.flush(conn, open.take(), recorded_at)?;
            }
            let length = u32::try_from(raw.len()).ok().filter(|_| raw.len() < LONGEST - HEAD_BYTES);
            let length = length.ok_or_else(|| Fault::refused(format!("a raw event of {} bytes", raw.len())))?;
            self.plain.extend_from_slice(&position.0.to_le_bytes());
            self.plain.extend_from_slice(&length.to_le_bytes());
            self.plain.extend_from_slice(raw);
            let span = open.get_or_insert(Span { first: *position, last: *position, count: 0 });
            span.last = *position;
            span.count += 1;
        }
        self.flush(conn, open, recorded_at)
    }

    fn flush(&mut self, conn: &Connection, span: Option<Span>, recorded_at: Timestamp) -> Fallible<()> {
        let Some(Span { first, last, count }) = span else { return Ok(()) };
        let pack = self.compress().map_err(|error| Fault::refused(format!("raw events cannot be packed: {error}")))?;
        let mut insert = conn.prepare_cached(
            "INSERT INTO raws(first, last, count, recorded_at, length, pack) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let length = size(self.plain.len());
        insert.execute(params![int(first.0), int(last.0), int(count), recorded_at.as_micros(), length, pack])?;
        self.plain.clear();
        Ok(())
    }

    fn compress(&mut self) -> std::io::Result<Vec<u8>> {
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            none => {
                let mut compressor = Compressor::new(LEVEL)?;
                compressor.set_parameter(CParameter::ChecksumFlag(true))?;
                none.insert(compressor)
            }
        };
        compressor.compress(&self.plain)
    }
}

/// Up to `limit` of those after `after`, in order; fewer where they are long.
pub(super) fn read(conn: &Connection, after: Position, limit: usize) -> Fallible<Vec<RawBody>> {
    let mut select = conn.prepare_cached(
        "SELECT first, length, pack FROM raws \
         WHERE first >= ifnull((SELECT max(first) FROM raws WHERE first <= ?1), 0) ORDER BY first",
    )?;
    let mut rows = select.query([int(after.next().0)])?;
    let (mut found, mut unpacked) = (Vec::new(), 0);
    while found.len() < limit
        && (unpacked < READ_BYTES || found.is_empty())
        && let Some(row) = rows.next()?
    {
        let plain = unpack(Fields(row))?;
        unpacked += plain.len();
        let wanted = bodies(&plain, Fields(row).int(0)?)?.into_iter().filter(|(position, _)| *position > after);
        let room = limit - found.len();
        found.extend(wanted.take(room).map(|(position, raw)| RawBody { position, raw: raw.to_vec() }));
    }
    Ok(found)
}

/// The event at `position`, if it is kept.
pub(super) fn one(conn: &Connection, position: Position) -> Fallible<Option<Vec<u8>>> {
    let mut select = conn.prepare_cached(
        "SELECT first, length, pack FROM raws WHERE first = (SELECT max(first) FROM raws WHERE first <= ?1) \
         AND last >= ?1",
    )?;
    let mut rows = select.query([int(position.0)])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let plain = unpack(Fields(row))?;
    let found = bodies(&plain, Fields(row).int(0)?)?.into_iter().find(|(at, _)| *at == position);
    Ok(found.map(|(_, raw)| raw.to_vec()))
}

/// Forgets packs recorded before `before`, the oldest first, until about `limit` events are gone. How many are.
pub(super) fn forget(conn: &Connection, before: Timestamp, limit: usize) -> Fallible<usize> {
    let mut oldest = conn.prepare_cached(
        "SELECT first, count FROM raws INDEXED BY raws_age WHERE recorded_at < ?1 ORDER BY recorded_at",
    )?;
    let mut remove = conn.prepare_cached("DELETE FROM raws WHERE first = ?1")?;
    let mut old = Vec::new();
    let mut forgotten = 0;
    let mut rows = oldest.query([before.as_micros()])?;
    while forgotten < limit
        && let Some(row) = rows.next()?
    {
        old.push(Fields(row).int(0)?);
        forgotten += usize::try_from(Fields(row).number(1)?).unwrap_or(usize::MAX).max(1);
    }
    drop(rows);
    for first in old {
        remove.execute([first])?;
    }
    Ok(forgotten)
}

/// The pack of a row whose columns are `first`, `length` and `pack`.
fn unpack(fields: Fields<'_, '_>) -> Fallible<Vec<u8>> {
    let first = fields.int(0)?;
    let bad = |why: String| Fault::Bad(format!("the raw events from position {first}: {why}"));
    let length = usize::try_from(fields.number(1)?).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| bad("a length that cannot be".into()))?;
    let plain = zstd::bulk::decompress(fields.bytes(2)?, length).map_err(|error| bad(error.to_string()))?;
    if plain.len() == length { Ok(plain) } else { Err(bad("they are shorter than they should be".into())) }
}

/// The events of a pack.
fn bodies(mut plain: &[u8], first: i64) -> Fallible<Vec<(Position, &[u8])>> {
    let mut bodies = Vec::new();
    let bad = || Fault::Bad(format!("the raw events from position {first} end too early"));
    while !plain.is_empty() {
        let (position, rest) = plain.split_first_chunk::<8>().ok_or_else(bad)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(bad)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (raw, rest) = rest.split_at_checked(length).ok_or_else(bad)?;
        bodies.push((Position(u64::from_le_bytes(*position)), raw));
        plain = rest;
    }
    Ok(bodies)
}
