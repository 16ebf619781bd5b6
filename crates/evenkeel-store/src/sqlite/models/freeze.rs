//! A whole live table handed out piece by piece, in the one read transaction of the caller: steps go on meanwhile and are
//! not seen. The write-ahead log cannot be begun anew as long as this lasts.
use super::{
    cells, content,
    layout::{Layout, Layouts},
    parks, state, watch,
};
use crate::{
    Books, Piece, StoredRow,
    sqlite::{fault::Fallible, fields::Fields},
};
use evenkeel_core::{ModelName, Position, content::Window, digest::KeyHash};
use rusqlite::Connection;
use std::ops::ControlFlow::{self, Break, Continue};

/// Rows, or entries of the index, in a piece.
const PIECE: usize = 1024;

type See<'s> = &'s mut dyn FnMut(Piece) -> ControlFlow<()>;

/// Hands out everything, until it was enough.
pub(super) fn freeze(
    conn: &Connection,
    layouts: &Layouts,
    model: &ModelName,
    see: See<'_>,
) -> Fallible<ControlFlow<()>> {
    let stored = state::get(conn, layouts, model)?;
    let books = Books {
        parks: parks::list(conn, stored.live_id, &crate::ParkFilter::default())?,
        buckets: content::buckets(conn, stored.live_id)?,
        identities: content::identities(conn, stored.live_id, Window::default())?,
        watched: watch::is_watched(conn, &stored.live)?,
        touched: watch::any(conn, model)?,
        state: stored.state,
    };
    if see(Piece::Books(Box::new(books))).is_break() || rows(conn, &stored.live, see)?.is_break() {
        return Ok(Break(()));
    }
    touches(conn, stored.live_id, see)
}

fn rows(conn: &Connection, layout: &Layout, see: See<'_>) -> Fallible<ControlFlow<()>> {
    let mut select = conn.prepare_cached(&layout.first)?;
    select.raw_bind_parameter(1, content::NO_LIMIT)?;
    let mut hasher = layout.hasher.clone();
    let mut found = select.raw_query();
    let mut piece = Vec::with_capacity(PIECE);
    while let Some(row) = found.next()? {
        let key = cells::key(layout, row)?;
        let digest = cells::digest(layout, row, &mut hasher)?;
        let hash = hasher.key(&key);
        let stored = StoredRow { key, row: cells::row(layout, row)?, meant: cells::meant(layout, row)?, digest };
        piece.push((stored, hash));
        if piece.len() == PIECE && see(Piece::Rows(std::mem::take(&mut piece))).is_break() {
            return Ok(Break(()));
        }
    }
    if piece.is_empty() { Ok(Continue(())) } else { Ok(see(Piece::Rows(piece))) }
}

fn touches(conn: &Connection, table_id: i64, see: See<'_>) -> Fallible<ControlFlow<()>> {
    let mut select =
        conn.prepare_cached("SELECT hash, position FROM _ek_touches WHERE table_id = ?1 ORDER BY hash, position")?;
    let mut found = select.query([table_id])?;
    let mut piece = Vec::with_capacity(PIECE);
    while let Some(row) = found.next()? {
        let fields = Fields(row);
        piece.push((KeyHash(fields.int(0)?.cast_unsigned()), Position(fields.number(1)?)));
        if piece.len() == PIECE && see(Piece::Touches(std::mem::take(&mut piece))).is_break() {
            return Ok(Break(()));
        }
    }
    if piece.is_empty() { Ok(Continue(())) } else { Ok(see(Piece::Touches(piece))) }
}
