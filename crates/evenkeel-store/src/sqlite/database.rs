//! One SQLite file: opened with its settings, its format checked, one connection that writes and a few that read.
//!
//! What stands in the file is [`super::log`]'s and [`super::models`]'s business.
use super::{
    SqliteOptions, Synchronous, compare,
    fault::{Fallible, Fault},
    folder::Folder,
    readers::{Reader, Readers},
    strangers::Strangers,
};
use crate::{Result, StoreError};
use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// SQLite's own limit, which stands for "no limit".
const UNLIMITED_PAGES: u32 = 4_294_967_294;
/// When the write-ahead log is copied into the file: rarely enough that most pages are copied once for many changes,
/// often enough that it stays at about 64 MiB and is written from its start again.
const CHECKPOINT_PAGES: u32 = 16_384;
/// What a write-ahead log that grew beyond this is cut to.
const WAL_BYTES: u32 = 128 << 20;
/// How long who wants to know of strangers waits for a writer that is not in a transaction of its own: somebody else's may
/// keep it waiting for long.
const PATIENCE: Duration = Duration::from_millis(5);
/// Prepared statements that one connection keeps.
const STATEMENTS: usize = 128;

/// What a file is for, and its first content.
#[derive(Debug)]
pub(super) struct Format {
    /// The file's name in the data folder.
    pub(super) file: &'static str,
    /// What it holds, for messages.
    pub(super) holds: &'static str,
    /// SQLite's mark of whose file this is.
    pub(super) application_id: i32,
    /// The newest format known.
    pub(super) version: u32,
    /// The statements that make a new file, run in one transaction.
    pub(super) create: fn() -> String,
    /// What makes a file of an older format one of the next, the last of them one of `version`. A file older than all of
    /// them is refused.
    pub(super) upgrades: &'static [&'static str],
}

/// What a file is found to be.
enum Found {
    /// Empty.
    New,
    /// Ours, and of this format.
    Ours(u32),
}

/// The settings of one file.
#[derive(Debug, Clone, Copy)]
struct Settings {
    synchronous: Synchronous,
    busy_timeout_ms: u64,
    max_pages: Option<u32>,
}

/// One file. `W` is what the writer and `R` what each reader has lately looked up.
pub(super) struct Database<W, R> {
    // Fields are dropped in this order: the writer is the last connection and tidies the file up, then the lock goes.
    readers: Readers<R>,
    writer: Mutex<Writer<W>>,
    strangers: Arc<Strangers>,
    settings: Settings,
    path: PathBuf,
    folder: Arc<Folder>,
}

/// The connection that writes.
pub(super) struct Writer<W> {
    conn: Connection,
    /// What it has lately looked up or written; forgotten when a transaction fails.
    state: W,
    strangers: Arc<Strangers>,
    path: PathBuf,
}

/// How a transaction that went well ends.
pub(super) enum Done<T> {
    /// What it wrote is kept.
    Commit(T),
    /// It wrote nothing.
    Nothing(T),
}

impl<W: Default, R: Default> Database<W, R> {
    /// Opens the file of this format, and makes it where it is missing.
    pub(super) fn open(
        folder: Arc<Folder>,
        format: &Format,
        synchronous: Synchronous,
        options: &SqliteOptions,
    ) -> Result<Self> {
        let path = folder.path().join(format.file);
        let settings = Settings { synchronous, busy_timeout_ms: options.busy_timeout_ms, max_pages: options.max_pages };
        let conn = open_writer(&path, format, settings).map_err(|fault| fault.at(&path))?;
        let strangers = Arc::new(Strangers::new(&conn).map_err(|fault| fault.at(&path))?);
        let writer = Writer { conn, state: W::default(), strangers: Arc::clone(&strangers), path: path.clone() };
        Ok(Self { readers: Readers::new(), writer: Mutex::new(writer), strangers, settings, path, folder })
    }

    /// The data folder.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The writer, when nobody else has it.
    pub(super) fn writer(&self) -> MutexGuard<'_, Writer<W>> {
        self.writer.lock()
    }

    /// Runs `work` in a transaction of the writer.
    pub(super) fn write<T>(&self, work: impl FnOnce(&Connection, &mut W) -> Fallible<Done<T>>) -> Result<T> {
        self.writer().transact(work)
    }

    /// A connection of its own that cannot write, for statements that somebody else wrote.
    pub(super) fn read_only(&self) -> Fallible<Connection> {
        connect_as(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY, self.settings)
    }

    /// What a fault of such a connection is.
    pub(super) fn at(&self, fault: Fault) -> StoreError {
        fault.at(&self.path)
    }

    /// Runs `work` on one moment of the file.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Connection, &mut R) -> Fallible<T>) -> Result<T> {
        let open = || {
            let conn = connect(&self.path, OpenFlags::empty(), self.settings)?;
            conn.pragma_update(None, "query_only", true)?;
            conn.pragma_update(None, "cache_size", -16_384)?;
            Ok(Reader { conn, state: R::default() })
        };
        let read = |reader: &mut Reader<R>| {
            // Ends with a rollback, as there is nothing to commit.
            let snapshot = reader.conn.unchecked_transaction()?;
            work(&snapshot, &mut reader.state)
        };
        self.readers.lend(open, read).map_err(|fault| fault.at(&self.path))
    }

    /// As [`Self::read`], on the connection that writes. It keeps its pages from one transaction to the next, where a
    /// reader forgets all of its own with every commit: better for what will be written next, worse for everything
    /// else, as it waits for the writer.
    pub(super) fn read_to_write<T>(&self, work: impl FnOnce(&Connection) -> Fallible<T>) -> Result<T> {
        let writer = self.writer();
        let read = || {
            let snapshot = writer.conn.unchecked_transaction()?;
            work(&snapshot)
        };
        read().map_err(|fault: Fault| fault.at(&self.path))
    }

    /// How often somebody else was found to have written to the file, by now; `None` where that cannot be told soon.
    pub(super) fn strangers(&self) -> Result<Option<u64>> {
        let started = Instant::now();
        loop {
            if let Some(writer) = self.writer.try_lock() {
                return self.strangers.look(&writer.conn).map(Some).map_err(|fault| fault.at(&self.path));
            }
            if let Some(found) = self.strangers.while_writing() {
                return Ok(Some(found));
            }
            if started.elapsed() > PATIENCE {
                return Ok(None);
            }
            std::thread::sleep(PATIENCE / 100);
        }
    }

    /// Sets the connection that writes up.
    pub(super) fn configure(&self, set: impl FnOnce(&Connection) -> Fallible<()>) -> Result<()> {
        set(&self.writer().conn).map_err(|fault| fault.at(&self.path))
    }

    /// Sets the greatest size of the file.
    pub(super) fn set_max_pages(&self, max_pages: Option<u32>) -> Result<()> {
        set_max_pages(&self.writer().conn, max_pages).map_err(|fault| fault.at(&self.path))
    }
}

impl<W: Default> Writer<W> {
    /// Runs `work` in a transaction. When this fails nothing was written.
    pub(super) fn transact<T>(&mut self, work: impl FnOnce(&Connection, &mut W) -> Fallible<Done<T>>) -> Result<T> {
        let Self { conn, state, strangers, path } = self;
        let result = (|| {
            if !conn.is_autocommit() {
                // An earlier rollback failed, as on a disk that gave errors.
                conn.execute_batch("ROLLBACK")?;
            }
            let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let writing = strangers.begin(&transaction)?;
            match work(&transaction, state)? {
                Done::Commit(value) => {
                    drop(writing);
                    transaction.commit()?;
                    Ok(value)
                }
                Done::Nothing(value) => Ok(value),
            }
        })();
        result.map_err(|fault: Fault| {
            *state = W::default();
            fault.at(path)
        })
    }

    /// The connection, to look at its settings.
    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.conn
    }
}

fn connect(path: &Path, flags: OpenFlags, settings: Settings) -> Fallible<Connection> {
    connect_as(path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE, settings)
}

fn connect_as(path: &Path, flags: OpenFlags, settings: Settings) -> Fallible<Connection> {
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(Duration::from_millis(settings.busy_timeout_ms))?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // Plans that depend on a parameter's value are made anew for every execution, which costs more than the execution.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // A column that somebody renamed must be an error, not a text that happens to be its name.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    compare::register(&conn)?;
    Ok(conn)
}

fn open_writer(path: &Path, format: &Format, settings: Settings) -> Fallible<Connection> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_CREATE, settings)?;
    // SQLite opens a file it may not write for reading, and says so only at the first write.
    if conn.is_readonly("main")? {
        let why = format!("{}: it cannot be written", path.display());
        return Err(StoreError::Unavailable(why).into());
    }
    // Nothing is changed in a file before it is known to be ours.
    let found = look(&conn, path, format)?;
    configure(&conn, path, settings)?;
    let transaction = conn.unchecked_transaction()?;
    match found {
        Found::New => {
            transaction.execute_batch(&(format.create)())?;
            transaction.pragma_update(None, "application_id", format.application_id)?;
        }
        Found::Ours(version) => {
            let missing = usize::try_from(format.version - version).unwrap_or(usize::MAX);
            let first = format.upgrades.len().saturating_sub(missing);
            format.upgrades[first..].iter().try_for_each(|upgrade| transaction.execute_batch(upgrade))?;
        }
    }
    // Only where something was done: opening a file that is as it should be must not need room on the disk.
    if !matches!(found, Found::Ours(version) if version == format.version) {
        transaction.pragma_update(None, "user_version", format.version)?;
    }
    transaction.commit()?;
    Ok(conn)
}

/// What the file is; an error where it is neither empty nor ours in a format we know.
fn look(conn: &Connection, path: &Path, format: &Format) -> Fallible<Found> {
    let number = |pragma| conn.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (application_id, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let corrupt = |why: String| Err(StoreError::Corrupt(format!("{}: {why}", path.display())).into());
    match (application_id, u32::try_from(version)) {
        (0, Ok(0)) if tables == 0 => Ok(Found::New),
        (id, _) if id != format.application_id => corrupt(format!("this is no {} of Evenkeel", format.holds)),
        (_, Ok(found)) if found > format.version => {
            Err(StoreError::Newer { path: path.to_owned(), found, supported: format.version }.into())
        }
        (_, Ok(found)) if (format.version - found) as usize <= format.upgrades.len() => Ok(Found::Ours(found)),
        (_, Ok(1..)) => corrupt(format!("format {version} was never released, and {} cannot read it", format.version)),
        (_, _) => corrupt(format!("{version} is no version of the data format")),
    }
}

fn configure(conn: &Connection, path: &Path, settings: Settings) -> Fallible<()> {
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    let (name, level) = match settings.synchronous {
        Synchronous::Full => ("FULL", 2),
        Synchronous::Normal => ("NORMAL", 1),
    };
    conn.pragma_update(None, "synchronous", name)?;
    let found: i32 = conn.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    // What is promised about power cuts rests on these two.
    if mode != "wal" || found != level {
        let found = format!("journal_mode={mode} synchronous={found}");
        let why = format!("{}: the file system allows no write-ahead log ({found})", path.display());
        return Err(StoreError::Unavailable(why).into());
    }
    conn.pragma_update(None, "cache_size", -65_536)?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    conn.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "trusted_schema", false)?;
    // Views that users made over a model must outlive the moment of a swap in which there is no table of that name.
    conn.pragma_update(None, "legacy_alter_table", true)?;
    set_max_pages(conn, settings.max_pages)
}

fn set_max_pages(conn: &Connection, max_pages: Option<u32>) -> Fallible<()> {
    conn.pragma_update(None, "max_page_count", max_pages.unwrap_or(UNLIMITED_PAGES))?;
    Ok(())
}
