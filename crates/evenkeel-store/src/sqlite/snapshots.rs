//! Snapshots as files beside the two databases: `snapshots/MODEL/POSITION.snap` in the data folder.
//!
//! A file begins with eight bytes that say what it is and four with the version of this container; then each frame: how
//! many bytes it takes here, how many it has, sixteen bytes of BLAKE3 over the frame's number and all the rest of it, and
//! the frame compressed with Zstandard. A frame is decompressed only once its checksum was found right, so nothing that
//! came to harm reaches the decompressor.
//!
//! A file is written under another name (`….part`), synced, and renamed. What a crash left of one is removed when the data
//! folder is opened. A model's name that is no safe file name is written with `%` and two digits for each odd byte.
use super::folder::{self, Folder};
use crate::{Draft, Frames, Kept, Result, Snapshots, StoreError};
use evenkeel_core::{ModelName, Position, snapshot::FRAME_BYTES_MAX};
use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The folder in the data folder.
const FOLDER: &str = "snapshots";

const MAGIC: &[u8; 8] = b"EKSNAP\r\n";

/// The version of the container.
const VERSION: u32 = 1;

const KEPT: &str = "snap";
const PART: &str = "part";

/// Zstandard's own default: rows shrink to a fourth or less, at a speed that a disk does not outrun.
const LEVEL: i32 = 3;

const CHECK: usize = 16;

/// Snapshots in the data folder. [`super::SqliteStore::open`] opens it.
#[derive(Debug)]
pub struct SqliteSnapshots {
    folder: Arc<Folder>,
    drafts: AtomicU64,
}

impl SqliteSnapshots {
    /// Also removes what a crash left half-written.
    pub(super) fn open(folder: Arc<Folder>) -> Result<Self> {
        let snapshots = Self { folder, drafts: AtomicU64::new(0) };
        let root = snapshots.root();
        for model in entries(&root)? {
            for file in entries(&model)? {
                if file.extension().is_some_and(|ending| ending == PART) {
                    fs::remove_file(&file).map_err(|error| unusable(&file, &error))?;
                }
            }
        }
        Ok(snapshots)
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join(FOLDER)
    }

    fn of_model(&self, model: &ModelName) -> PathBuf {
        self.root().join(file_name(model.as_str()))
    }

    fn path(&self, model: &ModelName, position: Position) -> PathBuf {
        self.of_model(model).join(format!("{position}.{KEPT}"))
    }
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>();
    match read() {
        Ok(entries) => Ok(entries),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(unusable(folder, &error)),
    }
}

/// A name that any file system takes, another for every model. No two differ in case alone unless the models' do.
fn file_name(model: &str) -> String {
    let mut name = String::with_capacity(model.len());
    for byte in model.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => name.push(char::from(byte)),
            odd => name += &format!("%{odd:02x}"),
        }
    }
    name
}

fn unusable(path: &Path, error: &io::Error) -> StoreError {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::UnexpectedEof => StoreError::Corrupt(format!("{path}: it ends too early")),
        io::ErrorKind::InvalidFilename => StoreError::Refused(format!("{path}: {error}")),
        _ => StoreError::Unavailable(format!("{path}: {error}")),
    }
}

impl Snapshots for SqliteSnapshots {
    fn begin<'s>(&'s self, model: &ModelName, position: Position) -> Result<Box<dyn Draft + 's>> {
        let folder = self.of_model(model);
        folder::create(&folder).map_err(|error| unusable(&folder, &error))?;
        let number = self.drafts.fetch_add(1, Ordering::Relaxed);
        let part = folder.join(format!("{position}-{number}.{PART}"));
        let make = || {
            let mut file = BufWriter::new(File::options().write(true).create(true).truncate(true).open(&part)?);
            file.write_all(MAGIC)?;
            file.write_all(&VERSION.to_le_bytes())?;
            Ok(file)
        };
        let file = make().map_err(|error| unusable(&part, &error))?;
        Ok(Box::new(Writing { file, frames: 0, position, kept: self.path(model, position), part, is_kept: false }))
    }

    fn list(&self, model: &ModelName) -> Result<Vec<Kept>> {
        let mut list = Vec::new();
        for path in entries(&self.of_model(model))? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number = name.strip_suffix(&format!(".{KEPT}")).and_then(|number| number.parse().ok());
            // Only the name that it is written under: no sign, no leading zeros.
            let Some(position) = number.map(Position).filter(|position| name == format!("{position}.{KEPT}")) else {
                continue;
            };
            match fs::metadata(&path) {
                Ok(found) => list.push(Kept { position, bytes: found.len() }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(unusable(&path, &error)),
            }
        }
        list.sort_unstable_by_key(|kept| std::cmp::Reverse(kept.position));
        Ok(list)
    }

    fn open(&self, model: &ModelName, position: Position) -> Result<Option<Box<dyn Frames>>> {
        Ok(Reading::open(self.path(model, position))?.map(|reading| Box::new(reading) as Box<dyn Frames>))
    }

    fn remove(&self, model: &ModelName, position: Position) -> Result<()> {
        let path = self.path(model, position);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(&path, &error)),
            _ => Ok(()),
        }
    }
}

/// A file that is not kept yet; removed when this is dropped before it was.
struct Writing {
    file: BufWriter<File>,
    frames: u64,
    position: Position,
    part: PathBuf,
    kept: PathBuf,
    is_kept: bool,
}

impl Writing {
    fn do_keep(&mut self) -> io::Result<u64> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        let bytes = self.file.get_ref().metadata()?.len();
        fs::rename(&self.part, &self.kept)?;
        self.is_kept = true;
        self.kept.parent().map_or(Ok(()), folder::sync_folder)?;
        Ok(bytes)
    }
}

impl Draft for Writing {
    fn write(&mut self, frame: &[u8]) -> Result<()> {
        let mut put = || {
            let kept = zstd::bulk::compress(frame, LEVEL)?;
            let lengths = lengths(kept.len(), frame.len())?;
            self.file.write_all(&lengths)?;
            self.file.write_all(&check(self.frames, &lengths, &kept))?;
            self.file.write_all(&kept)
        };
        put().map_err(|error| unusable(&self.part, &error))?;
        self.frames += 1;
        Ok(())
    }

    fn read_back(&mut self) -> Result<Box<dyn Frames>> {
        self.file.flush().map_err(|error| unusable(&self.part, &error))?;
        let gone = || StoreError::Unavailable(format!("{}: it is gone", self.part.display()));
        Ok(Box::new(Reading::open(self.part.clone())?.ok_or_else(gone)?))
    }

    fn keep(mut self: Box<Self>) -> Result<Kept> {
        let bytes = self.do_keep().map_err(|error| unusable(&self.kept, &error))?;
        Ok(Kept { position: self.position, bytes })
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.is_kept {
            // What is left then is removed when the data folder is opened.
            let _ = fs::remove_file(&self.part);
        }
    }
}

fn lengths(kept: usize, frame: usize) -> io::Result<[u8; 8]> {
    let length = |bytes: usize| u32::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge));
    let mut lengths = [0; 8];
    lengths[..4].copy_from_slice(&length(kept)?.to_le_bytes());
    lengths[4..].copy_from_slice(&length(frame)?.to_le_bytes());
    Ok(lengths)
}

fn check(number: u64, lengths: &[u8; 8], kept: &[u8]) -> [u8; CHECK] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_le_bytes()).update(lengths).update(kept);
    let mut check = [0; CHECK];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..CHECK]);
    check
}

struct Reading {
    file: BufReader<File>,
    frames: u64,
    path: PathBuf,
}

impl Reading {
    fn open(path: PathBuf) -> Result<Option<Self>> {
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| unusable(&path, &error))?,
        };
        let mut reading = Self { file: BufReader::new(file), frames: 0, path };
        if reading.array::<8>()? != *MAGIC {
            return Err(reading.corrupt("this is no snapshot of Evenkeel"));
        }
        match u32::from_le_bytes(reading.array()?) {
            VERSION => Ok(Some(reading)),
            0 => Err(reading.corrupt("0 is no version of the format")),
            found => Err(StoreError::Newer { path: reading.path, found, supported: VERSION }),
        }
    }

    fn corrupt(&self, why: &str) -> StoreError {
        StoreError::Corrupt(format!("{}: {why}", self.path.display()))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        self.file.read_exact(&mut array).map_err(|error| unusable(&self.path, &error))?;
        Ok(array)
    }
}

impl Frames for Reading {
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        // Zstandard makes what cannot be compressed a little longer.
        const LONGEST: usize = FRAME_BYTES_MAX + (FRAME_BYTES_MAX >> 4);
        let is_end = |file: &mut BufReader<File>| io::BufRead::fill_buf(file).map(<[u8]>::is_empty);
        if is_end(&mut self.file).map_err(|error| unusable(&self.path, &error))? {
            return Ok(None);
        }
        let lengths: [u8; 8] = self.array()?;
        let length = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&lengths[at..at + 4]);
            usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
        };
        let (kept_bytes, frame_bytes) = (length(0), length(4));
        if kept_bytes > LONGEST || frame_bytes > FRAME_BYTES_MAX {
            return Err(self.corrupt("a frame of a length that cannot be"));
        }
        let said: [u8; CHECK] = self.array()?;
        // Grows with what is there, not with what the length says.
        let mut kept = Vec::new();
        let limit = kept_bytes as u64;
        let read = self.file.by_ref().take(limit).read_to_end(&mut kept);
        let read = read.map_err(|error| unusable(&self.path, &error))?;
        if read < kept_bytes {
            return Err(self.corrupt("it ends too early"));
        }
        if check(self.frames, &lengths, &kept) != said {
            return Err(self.corrupt("the checksum of a frame is another"));
        }
        self.frames += 1;
        match zstd::bulk::decompress(&kept, frame_bytes) {
            Ok(frame) if frame.len() == frame_bytes => Ok(Some(frame)),
            Ok(_) => Err(self.corrupt("a frame of another length than it should have")),
            Err(error) => Err(self.corrupt(&format!("a frame cannot be decompressed: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests;
