//! Data folders on a real disk: fresh ones, and copies of a log that is filled once.
use crate::{
    Result,
    events::{self, KEYS, Source},
};
use evenkeel::{
    Clock, SystemClock,
    contract::project::Project,
    core::intake::{Ask, Writes},
    ingest,
};
use evenkeel_store::{
    Log as _,
    sqlite::{SqliteOptions, SqliteStore},
};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

/// A log with one event of every key, and what was appended to it after that.
pub(crate) struct Filled {
    folder: TempDir,
}

/// Where data folders are made: beside what the compiler makes, on the disk of the sources.
fn base() -> Result<PathBuf> {
    let base = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/data");
    fs::create_dir_all(&base)?;
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let path = base.canonicalize()?;
    let mount = mounts
        .lines()
        .filter_map(|line| Some((line.split(' ').nth(1)?, line.split(' ').nth(2)?)))
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.len());
    match mount {
        Some((point, kind @ ("tmpfs" | "ramfs"))) => {
            Err(format!("{point} is a {kind}: a sync costs nothing there, and every figure would lie").into())
        }
        _ => Ok(base),
    }
}

/// A folder that is gone when this is dropped.
pub(crate) fn fresh() -> Result<TempDir> {
    Ok(TempDir::new_in(base()?)?)
}

/// The clock of this machine.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::default())
}

/// Opens the store of a data folder as the server does.
pub(crate) fn open(dir: &Path) -> Result<SqliteStore> {
    let clock = clock();
    Ok(SqliteStore::open(dir, SqliteOptions::new(Arc::new(move || clock.now())))?)
}

/// Opens the store of a filled data folder as a process has it that has run for a while: it knows the streams, which the
/// raw rival is told beforehand.
pub(crate) fn open_warm(dir: &Path) -> Result<SqliteStore> {
    let store = open(dir)?;
    let subjects = (0..KEYS).map(|key| events::subject(key).into()).collect();
    store.log.transact(&Ask { subjects, ..Ask::default() }, Box::new(|_| Writes::default()))?;
    Ok(store)
}

impl Filled {
    /// A log with one event of every key, in the order of the keys, and `more` events of random keys.
    pub(crate) fn new(project: &Project, more: usize) -> Result<Self> {
        Self::of_keys(project, KEYS, more)
    }

    /// The same with another number of keys.
    pub(crate) fn of_keys(project: &Project, keys: u64, more: usize) -> Result<Self> {
        Self::of(project, &(0..keys).collect::<Vec<_>>(), more)
    }

    /// A log with one event of each of these keys, in this order, and `more` events of random keys.
    pub(crate) fn of(project: &Project, keys: &[u64], more: usize) -> Result<Self> {
        let folder = fresh()?;
        let store = open(folder.path())?;
        let commit = |events: &[Vec<u8>]| {
            ingest::commit(
                store.log.as_ref(),
                clock().as_ref(),
                Default::default(),
                events::arrivals(project, events)?,
            )?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        };
        let mut first = Source::new("first");
        for keys in keys.chunks(1000) {
            commit(&keys.iter().map(|key| first.of(*key)).collect::<Vec<_>>())?;
        }
        Source::new("more").take(more).chunks(1000).try_for_each(commit)?;
        Ok(Self { folder })
    }

    /// A copy of `filled` with every `one_of`-th key parked by an event that the contract refuses.
    pub(crate) fn parking(project: &Project, filled: &Self, one_of: u64) -> Result<Self> {
        let folder = filled.copy()?;
        let store = open(folder.path())?;
        let mut bad = Source::new("bad");
        let parking: Vec<_> = (0..KEYS).step_by(usize::try_from(one_of)?).map(|key| bad.refused_of(key)).collect();
        for events in parking.chunks(1000) {
            let decide = |raw: &Vec<u8>| Ok(project.gate.decide(raw.clone(), None)?.arrival);
            let arrivals = events.iter().map(decide).collect::<Result<Vec<_>>>()?;
            ingest::commit(store.log.as_ref(), clock().as_ref(), Default::default(), arrivals)?;
        }
        Ok(Self { folder })
    }

    /// A data folder with a copy of the log, and no models.
    pub(crate) fn copy(&self) -> Result<TempDir> {
        let folder = fresh()?;
        copy_synced(&self.folder.path().join("log.db"), &folder.path().join("log.db"))?;
        Ok(folder)
    }
}

/// Copies a file and waits until the disk has it, so that writing it back disturbs no measurement.
pub(crate) fn copy_synced(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}
