//! The log in SQLite. Appending, the facts before it and reading each have a file; this one is the trait, the tip that
//! is kept in memory, and who waits for it.
//!
//! This process is the only writer (the data folder is locked), so what is kept in memory cannot be older than the
//! file. It changes only after a commit.
mod accounts;
mod causal;
mod facts;
mod quarantine;
mod raws;
mod read;
mod streams;
#[cfg(test)]
mod tests;
mod windows;
mod write;

use super::{
    Now, SqliteOptions,
    database::{Database, Done, Format},
    fault::{Fallible, Fault},
    fields::{Fields, epoch},
    folder::Folder,
};
use crate::{DecideAsking, EntryFilter, Log, QuarantineCount, Result, Slice, StoreError};
use evenkeel_core::{
    Epoch, Event, EventId, EventType, Position, ReplicaName, SourceName, StreamVersion, Timestamp,
    accounting::Books,
    checkpoint::SafeHead,
    content::Window,
    digest::Sum,
    intake::{Ask, Facts, Passed, RawBody, Skip, Waiting},
    quarantine::{Entry, ParkKey, QuarantineId},
    token::{LogId, Origin, TokenKey},
};
use parking_lot::{Condvar, Mutex};
use raws::Packer;
use read::Names;
use rusqlite::Connection;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};
use streams::Streams;

const FORMAT: Format =
    Format { file: "log.db", holds: "log", application_id: 0x456b_6c67, version: 8, create, upgrades: UPGRADES };

/// From format 2 on. A log is never thrown away, so no format of it is forgotten.
const UPGRADES: &[&str] = &[
    include_str!("upgrade_3.sql"),
    include_str!("upgrade_4.sql"),
    include_str!("upgrade_5.sql"),
    include_str!("upgrade_6.sql"),
    include_str!("upgrade_7.sql"),
    include_str!("upgrade_8.sql"),
];

fn create() -> String {
    // An identifier and no secret: what the standard library seeds its hash maps with is random enough.
    let epoch = Epoch(RandomState::new().hash_one(std::process::id()));
    format!("{}\nINSERT INTO meta VALUES('epoch', '{epoch}');", include_str!("schema.sql"))
}

/// A log in the file `log.db`. [`super::SqliteStore::open`] opens it.
pub struct SqliteLog {
    db: Database<Streams, Names>,
    epoch: Epoch,
    origin: Origin,
    replica: ReplicaName,
    now: Now,
    /// Taken only by who has the writer.
    packer: Mutex<Packer>,
    tip: Mutex<Tip>,
    grown: Condvar,
}

/// The committed end of the log.
#[derive(Debug, Default)]
struct Tip {
    position: Position,
    counts: Arc<BTreeMap<EventType, u64>>,
}

/// What a transaction appended.
struct Appended {
    last: Position,
    counts: BTreeMap<EventType, u64>,
}

impl SqliteLog {
    pub(super) fn open(folder: Arc<Folder>, options: &SqliteOptions) -> Result<Self> {
        let db = Database::<Streams, Names>::open(folder, &FORMAT, options.synchronous, options)?;
        let (epoch, tip) = db.read(|conn, _| {
            let mut epoch_of = conn.prepare("SELECT value FROM meta WHERE name = 'epoch'")?;
            let mut rows = epoch_of.query([])?;
            let row = rows.next()?.ok_or_else(|| Fault::Bad("the log has lost its epoch".into()))?;
            let position = head(conn)?.map_or(Position::ZERO, |(position, _)| position);
            Ok((epoch(Fields(row).text(0)?)?, Tip { position, counts: Arc::new(counts(conn)?) }))
        })?;
        let (origin, replica) = (origin(&db, epoch)?, replica(&db, &options.replica)?);
        let (packer, tip, grown) = (Mutex::default(), Mutex::new(tip), Condvar::new());
        Ok(Self { db, epoch, origin, replica, now: Arc::clone(&options.now), packer, tip, grown })
    }

    pub(super) fn database(&self) -> &Database<Streams, Names> {
        &self.db
    }

    /// Makes a commit known. Called by whoever holds the writer, so commits are made known in their order.
    fn publish(&self, appended: Appended) {
        let mut tip = self.tip.lock();
        tip.position = appended.last;
        let counts = Arc::make_mut(&mut tip.counts);
        for (event_type, count) in appended.counts {
            *counts.entry(event_type).or_default() += count;
        }
        self.grown.notify_all();
    }
}

/// The log's id and the secret of its tokens; drawn by SQLite, from the system's randomness, where there are none yet.
fn origin(db: &Database<Streams, Names>, epoch: Epoch) -> Result<Origin> {
    let read = |conn: &Connection| {
        let mut select =
            conn.prepare("SELECT unhex(value) FROM meta WHERE name IN ('log_id', 'token_key') ORDER BY name")?;
        let mut rows = select.query([])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let id: [u8; 16] = row.get(0)?;
        let lost = || Fault::Bad("the log has lost the key of its tokens".into());
        let key: [u8; 32] = rows.next()?.ok_or_else(lost)?.get(0)?;
        Ok(Some(Origin { log: LogId(id), epoch, key: TokenKey(key) }))
    };
    if let Some(origin) = db.read(|conn, _| read(conn))? {
        return Ok(origin);
    }
    db.write(|conn, _| {
        conn.execute_batch(
            "INSERT INTO meta VALUES('log_id', hex(randomblob(16))), ('token_key', hex(randomblob(32)));",
        )?;
        let drawn = read(conn)?;
        Ok(Done::Commit(drawn.ok_or_else(|| Fault::Bad("the log keeps no key of its tokens".into()))?))
    })
}

/// The log's name: `wanted` where it has none yet, be it new or from before logs kept their names.
fn replica(db: &Database<Streams, Names>, wanted: &ReplicaName) -> Result<ReplicaName> {
    let read = |conn: &Connection| {
        let mut select = conn.prepare("SELECT value FROM meta WHERE name = 'replica'")?;
        let mut rows = select.query([])?;
        rows.next()?.map(|row| Ok(ReplicaName::from(Fields(row).text(0)?))).transpose()
    };
    match db.read(|conn, _| read(conn))? {
        Some(found) if found == *wanted => Ok(found),
        Some(found) => {
            Err(StoreError::OtherReplica { path: db.folder().join(FORMAT.file), found, wanted: wanted.clone() })
        }
        None => db.write(|conn, _| {
            conn.execute("INSERT INTO meta VALUES('replica', ?1)", [wanted.as_str()])?;
            Ok(Done::Commit(wanted.clone()))
        }),
    }
}

/// The last event's position and identity.
fn head(conn: &Connection) -> Fallible<Option<(Position, EventId)>> {
    let mut last = conn.prepare_cached("SELECT position, event_id FROM events ORDER BY position DESC LIMIT 1")?;
    let mut rows = last.query([])?;
    let found = |fields: Fields<'_, '_>| Ok((Position(fields.number(0)?), EventId(fields.bytes32(1)?)));
    rows.next()?.map(|row| found(Fields(row))).transpose()
}

fn counts(conn: &Connection) -> Fallible<BTreeMap<EventType, u64>> {
    let mut select = conn.prepare_cached("SELECT type, count FROM event_types")?;
    let mut rows = select.query([])?;
    let mut counts = BTreeMap::new();
    while let Some(row) = rows.next()? {
        counts.insert(Fields(row).text(0)?.into(), Fields(row).number(1)?);
    }
    Ok(counts)
}

impl Log for SqliteLog {
    fn safe_head(&self) -> Result<SafeHead> {
        // The file is asked each time: a store that cannot be read must not be reported as well. Only the counts of
        // the position found there are taken from memory.
        self.db.read(|conn, _| {
            let (position, last_event) = head(conn)?.unzip();
            let position = position.unwrap_or_default();
            let known = Some(self.tip.lock()).filter(|tip| tip.position == position).map(|tip| Arc::clone(&tip.counts));
            let counts = known.map_or_else(|| counts(conn).map(Arc::new), Ok)?;
            Ok(SafeHead { position, epoch: self.epoch, at: (self.now)(), counts, last_event })
        })
    }

    fn transact_asking(&self, ask: &Ask, decide: DecideAsking<'_>) -> Result<()> {
        let mut writer = self.db.writer();
        let appended = writer.transact(|conn, streams| {
            let facts = Facts { replica: self.replica.clone(), ..facts::load(conn, streams, ask)? };
            let head = facts.head;
            let mut unreadable = None;
            let writes = decide(facts, &mut |ask| {
                facts::more(conn, streams, ask).unwrap_or_else(|fault| {
                    unreadable.get_or_insert(fault);
                    Facts::default()
                })
            });
            if let Some(fault) = unreadable {
                return Err(fault);
            }
            if writes.is_empty() {
                return Ok(Done::Nothing(None));
            }
            write::write(conn, streams, &mut self.packer.lock(), head, &writes).map(Done::Commit)
        })?;
        if let Some(appended) = appended {
            self.publish(appended);
        }
        Ok(())
    }

    fn read(&self, after: Position, types: Option<&BTreeSet<EventType>>, limit: usize) -> Result<Slice> {
        self.db.read(|conn, names| {
            let events = read::after(conn, names, &self.replica, (after, types), limit)?;
            let through = match events.last() {
                // The end was reached, and it is the end of the moment that was read.
                _ if events.len() < limit => head(conn)?.map_or(after, |(head, _)| head.max(after)),
                Some(last) => last.position,
                None => after,
            };
            Ok(Slice { events, through })
        })
    }

    fn stream(
        &self,
        subject: &str,
        types: &BTreeSet<EventType>,
        after: StreamVersion,
        upto: Position,
        limit: usize,
    ) -> Result<Vec<Event>> {
        self.db.read(|conn, names| read::stream(conn, names, &self.replica, (subject, types), after, upto, limit))
    }

    fn pick(&self, positions: &[Position]) -> Result<Vec<Event>> {
        self.db.read(|conn, names| read::pick(conn, names, &self.replica, positions))
    }

    fn identities(&self, types: &BTreeSet<EventType>, from: Window, upto: Position) -> Result<Vec<(Window, Sum)>> {
        self.db.read(|conn, _| windows::identities(conn, types, from, upto))
    }

    fn oldest_after(&self, after: Position, types: &BTreeSet<EventType>) -> Result<Option<Timestamp>> {
        self.db.read(|conn, _| read::oldest_after(conn, after, types))
    }

    fn find(&self, id: EventId) -> Result<Option<Event>> {
        self.db.read(|conn, names| read::find(conn, names, &self.replica, id))
    }

    fn raws(&self, after: Position, limit: usize) -> Result<Vec<RawBody>> {
        self.db.read(|conn, _| raws::read(conn, after, limit))
    }

    fn raw(&self, position: Position) -> Result<Option<Vec<u8>>> {
        self.db.read(|conn, _| raws::one(conn, position))
    }

    fn forget_raws(&self, before: Timestamp, limit: usize) -> Result<usize> {
        self.db.write(|conn, _| {
            let forgotten = raws::forget(conn, before, limit)?;
            Ok(if forgotten > 0 { Done::Commit(forgotten) } else { Done::Nothing(0) })
        })
    }

    fn wait_past(&self, position: Position, timeout: Duration) -> Result<Position> {
        let mut tip = self.tip.lock();
        self.grown.wait_while_for(&mut tip, |tip| tip.position <= position, timeout);
        Ok(tip.position)
    }

    fn entry(&self, id: QuarantineId) -> Result<Option<Entry>> {
        self.db.read(|conn, _| quarantine::entry(conn, id))
    }

    fn entries(&self, filter: &EntryFilter) -> Result<Vec<Entry>> {
        self.db.read(|conn, _| quarantine::entries(conn, filter))
    }

    fn entries_of(&self, id: EventId) -> Result<Vec<Entry>> {
        self.db.read(|conn, _| quarantine::of_identity(conn, id))
    }

    fn line(&self, key: &ParkKey, limit: usize) -> Result<Vec<Entry>> {
        self.db.read(|conn, _| quarantine::line(conn, key, limit))
    }

    fn interrupted(&self) -> Result<Vec<ParkKey>> {
        self.db.read(|conn, _| quarantine::interrupted(conn))
    }

    fn quarantine_counts(&self) -> Result<Vec<QuarantineCount>> {
        self.db.read(|conn, _| quarantine::counts(conn))
    }

    fn quarantined_of(&self, subject: &str, contracts: &BTreeSet<EventType>) -> Result<u64> {
        self.db.read(|conn, _| quarantine::of_subject(conn, subject, contracts))
    }

    fn accounting(&self, recount: bool) -> Result<BTreeMap<SourceName, Books>> {
        self.db.read(|conn, _| accounts::read(conn, recount))
    }

    fn waiting(&self, limit: usize) -> Result<Vec<Waiting>> {
        self.db.read(|conn, _| causal::by_age(conn, Timestamp::from_micros(i64::MAX), limit))
    }

    fn passed(&self) -> Result<BTreeMap<SourceName, Passed>> {
        self.db.read(|conn, _| causal::passed(conn))
    }

    fn skips(&self) -> Result<Vec<Skip>> {
        self.db.read(|conn, _| causal::skips(conn))
    }

    fn recallable(&self, limit: usize) -> Result<Vec<QuarantineId>> {
        self.db.read(|conn, _| causal::recallable(conn, limit))
    }

    fn origin(&self) -> Origin {
        self.origin
    }
}

impl fmt::Debug for SqliteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLog")
            .field("folder", &self.db.folder())
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}
