//! The data folder: made where it is missing, and locked as long as somebody works in it.
//!
//! Not the files in it ([`super::database`]).
use crate::{Result, StoreError};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// The name of the file whose lock says that the folder is in use. Its content means nothing.
const LOCK: &str = "LOCK";

/// A data folder that this process has to itself.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Closing it gives the lock back.
    _lock: File,
}

impl Folder {
    /// Makes the folder where it is missing, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let unusable = |error: io::Error| {
            StoreError::Unavailable(format!("{} cannot be used as a data folder: {error}", path.display()))
        };
        if path.exists() && !path.is_dir() {
            return Err(unusable(io::Error::new(io::ErrorKind::NotADirectory, "it is a file, not a folder")));
        }
        create(path).map_err(unusable)?;
        let lock = File::options().read(true).write(true).create(true).truncate(false).open(path.join(LOCK));
        let lock = lock.map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that the names of new files survive a power cut.
    pub(super) fn sync(&self) -> Result<()> {
        sync_folder(&self.path)
            .map_err(|error| StoreError::Unavailable(format!("{} cannot be synced: {error}", self.path.display())))
    }
}

/// As `create_dir_all`, and each new name is on disk afterwards.
pub(super) fn create(path: &Path) -> io::Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    fs::create_dir_all(path)?;
    for dir in missing {
        match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent)?,
            _ => sync_folder(Path::new("."))?,
        }
    }
    Ok(())
}

/// Only Unix lets a folder be opened and synced; elsewhere the file system sees to its names itself.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}
