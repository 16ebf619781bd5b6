//! Whether somebody else than this process has written to a file, noticed by the connection that writes.
//!
//! SQLite tells a connection that others have committed since it last looked, whatever they wrote and whether or not
//! triggers ran for it. The data folder is locked, so that no other Evenkeel writes to it: every such commit is somebody
//! else's. What was written is not known here; triggers note that ([`super::models`]), where they ran.
use super::fault::Fallible;
use rusqlite::Connection;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// What the connection that writes has seen of others' commits.
#[derive(Debug)]
pub(super) struct Strangers {
    /// SQLite's number when it was last looked at. Only whoever holds the writer looks.
    version: AtomicI64,
    found: AtomicU64,
    /// Whether a transaction of the writer is open, for the time of which nobody else can commit.
    is_writing: AtomicBool,
}

/// As long as this lives the writer's transaction is open.
pub(super) struct Writing<'s>(&'s Strangers);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.is_writing.store(false, Ordering::SeqCst);
    }
}

impl Strangers {
    /// Nobody else has written yet.
    pub(super) fn new(conn: &Connection) -> Fallible<Self> {
        let version = AtomicI64::new(version(conn)?);
        Ok(Self { version, found: AtomicU64::new(0), is_writing: AtomicBool::new(false) })
    }

    /// Looks, and says how often somebody was found. The caller holds the writer.
    pub(super) fn look(&self, conn: &Connection) -> Fallible<u64> {
        let now = version(conn)?;
        if self.version.swap(now, Ordering::SeqCst) != now {
            self.found.fetch_add(1, Ordering::SeqCst);
        }
        Ok(self.found.load(Ordering::SeqCst))
    }

    /// Looks at the beginning of a transaction of the writer, which has the file to itself then. The result must be dropped
    /// before the transaction ends.
    pub(super) fn begin(&self, conn: &Connection) -> Fallible<Writing<'_>> {
        self.look(conn)?;
        self.is_writing.store(true, Ordering::SeqCst);
        Ok(Writing(self))
    }

    /// How often somebody was found, where the writer's transaction is open now; `None` where it is not.
    pub(super) fn while_writing(&self) -> Option<u64> {
        // Not later than the question whether it is open: what is found afterwards was written afterwards.
        let found = self.found.load(Ordering::SeqCst);
        let is_writing = self.is_writing.load(Ordering::SeqCst);
        (is_writing && found == self.found.load(Ordering::SeqCst)).then_some(found)
    }
}

fn version(conn: &Connection) -> Fallible<i64> {
    Ok(conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use crate::{
        Models, Step, Table, Upsert,
        sqlite::{SqliteOptions, SqliteStore, execute_as_stranger},
    };
    use evenkeel_core::{
        Digest, Timestamp,
        row::{Cell, Key, Row},
        schema::{Column, ColumnType, Merge, Schema},
    };
    use std::sync::Arc;

    fn schema() -> Schema {
        let column = |name: &str| Column { name: name.into(), ty: ColumnType::Text, merge: Merge::Lww };
        Schema {
            model: "m".into(),
            version: 1,
            key: vec![0],
            columns: vec![column("id"), column("note")],
            subscribes: ["e".into()].into(),
            fingerprint: Digest::of(b"m 1"),
        }
    }

    fn row(note: &str) -> (Key, Row) {
        (Key::text("a"), Row { cells: vec![Cell::Text("a".into()), Cell::Text(note.into())] })
    }

    fn write(models: &dyn Models, generation: u64) {
        let (key, row) = row("ours");
        let step = Step { generation, upserts: vec![Upsert::new(key, row)], ..Step::default() };
        models.commit(&"m".into(), Table::Live, &step).unwrap();
    }

    #[test]
    fn every_commit_of_others_is_found_also_without_triggers_and_none_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path(), SqliteOptions::new(Arc::new(Timestamp::default))).unwrap();
        let models = store.models.as_ref();
        models.register(&schema()).unwrap();
        write(models, 0);
        models.rows(&"m".into(), Table::Live, None, 9).unwrap();
        assert_eq!(models.strangers(), Ok(Some(0)));
        let drop_triggers = "DROP TRIGGER _ek_watch_update_m;";
        for (sql, found) in [
            ("UPDATE m SET note = 'noted'", 1),
            (drop_triggers, 2),
            ("UPDATE m SET note = 'not noted'", 3),
            ("CREATE TABLE mine(a)", 4),
            ("SELECT count(*) FROM m", 4),
        ] {
            execute_as_stranger(dir.path(), sql).unwrap();
            assert_eq!(models.strangers(), Ok(Some(found)), "{sql}");
            write(models, models.state(&"m".into()).unwrap().unwrap().generation);
            assert_eq!(models.strangers(), Ok(Some(found)), "ours is not counted");
        }
        // Found by a transaction that happens to come first.
        execute_as_stranger(dir.path(), "UPDATE m SET note = 'before a step'").unwrap();
        write(models, models.state(&"m".into()).unwrap().unwrap().generation);
        assert_eq!(models.strangers(), Ok(Some(5)));
    }

    #[test]
    fn while_the_writer_is_busy_what_was_committed_before_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path(), SqliteOptions::new(Arc::new(Timestamp::default))).unwrap();
        let models = store.models.clone();
        models.register(&schema()).unwrap();
        write(models.as_ref(), 0);
        execute_as_stranger(dir.path(), "UPDATE m SET note = 'x'").unwrap();
        let asked = models.database().write(|_, ()| {
            // From another thread, as the writer is held by this one.
            let asked = std::thread::scope(|scope| scope.spawn(|| models.strangers()).join()).unwrap();
            Ok(super::super::database::Done::Nothing(asked))
        });
        assert_eq!(asked, Ok(Ok(Some(1))));
        let writer = models.database().writer();
        let asked = std::thread::scope(|scope| scope.spawn(|| models.strangers()).join()).unwrap();
        assert_eq!(asked, Ok(None), "held, and not in a transaction: somebody else's may be under way");
        drop(writer);
        assert_eq!(models.strangers(), Ok(Some(1)));
    }
}
