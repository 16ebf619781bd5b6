//! The books on every source: written with what they are about, and what is counted afresh beside them.
//!
//! What is entered is [`evenkeel_core::intake`]'s to decide.
use crate::sqlite::{fault::Fallible, fields::Fields};
use evenkeel_core::{
    SourceName,
    accounting::{Account, Books},
};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// Adds these changes to the books.
pub(super) fn add(conn: &Connection, changes: &BTreeMap<SourceName, Account>) -> Fallible<()> {
    let mut add = conn.prepare_cached(
        "INSERT INTO accounts(source, received, admitted, duplicate, waiting, quarantined, held, discarded) \
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT(source) DO UPDATE SET \
         received = received + excluded.received, admitted = admitted + excluded.admitted, \
         duplicate = duplicate + excluded.duplicate, waiting = waiting + excluded.waiting, \
         quarantined = quarantined + excluded.quarantined, held = held + excluded.held, \
         discarded = discarded + excluded.discarded",
    )?;
    for (source, change) in changes {
        let Account { received, admitted, duplicate, waiting, quarantined, held, discarded } = *change;
        let source = source.as_str();
        add.execute(params![source, received, admitted, duplicate, waiting, quarantined, held, discarded])?;
    }
    Ok(())
}

/// The books, with what there is where that is to be counted.
pub(super) fn read(conn: &Connection, recount: bool) -> Fallible<BTreeMap<SourceName, Books>> {
    let mut select = conn.prepare_cached(
        "SELECT source, received, admitted, duplicate, waiting, quarantined, held, discarded FROM accounts",
    )?;
    let mut rows = select.query([])?;
    let mut books: BTreeMap<SourceName, Books> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let fields = Fields(row);
        let account = Account {
            received: fields.int(1)?,
            admitted: fields.int(2)?,
            duplicate: fields.int(3)?,
            waiting: fields.int(4)?,
            quarantined: fields.int(5)?,
            held: fields.int(6)?,
            discarded: fields.int(7)?,
        };
        books.insert(fields.text(0)?.into(), Books { account, counted: recount.then_some(Account::NOTHING) });
    }
    if recount {
        for (source, counted) in counted(conn)? {
            *books.entry(source).or_default().counted.get_or_insert_default() += counted;
        }
    }
    Ok(books)
}

/// What there is of each source. What was admitted is in the log, and counted there.
fn counted(conn: &Connection) -> Fallible<Vec<(SourceName, Account)>> {
    let mut select = conn.prepare_cached(
        "SELECT source, count(*), 0, 0, 0, 0 FROM events GROUP BY source UNION ALL \
         SELECT source, 0, sum(state IN ('quarantined', 'held')), sum(state = 'held'), sum(state = 'discarded'), 0 \
         FROM quarantine GROUP BY source UNION ALL SELECT source, 0, 0, 0, 0, count(*) FROM waiting GROUP BY source",
    )?;
    let mut rows = select.query([])?;
    let mut counted = Vec::new();
    while let Some(row) = rows.next()? {
        let fields = Fields(row);
        let (admitted, quarantined) = (fields.int(1)?, fields.int(2)?);
        let (held, discarded, waiting) = (fields.int(3)?, fields.int(4)?, fields.int(5)?);
        let account = Account { admitted, waiting, quarantined, held, discarded, ..Account::NOTHING };
        counted.push((fields.text(0)?.into(), account));
    }
    Ok(counted)
}
