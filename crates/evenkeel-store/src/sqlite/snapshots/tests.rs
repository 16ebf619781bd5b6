//! Files of snapshots: whatever happens to the bytes of one, it is read as it was written or refused; a crash leaves none
//! half.
#![allow(clippy::unwrap_used, reason = "a test ends where its folder cannot be made")]
use super::*;
use tempfile::TempDir;

fn open(folder: &TempDir) -> SqliteSnapshots {
    SqliteSnapshots::open(Arc::new(Folder::open(folder.path()).unwrap())).unwrap()
}

fn keep(snapshots: &SqliteSnapshots, model: &str, position: u64, frames: &[&[u8]]) -> PathBuf {
    let mut draft = snapshots.begin(&model.into(), Position(position)).unwrap();
    frames.iter().for_each(|frame| draft.write(frame).unwrap());
    draft.keep().unwrap();
    snapshots.path(&model.into(), Position(position))
}

fn read(snapshots: &SqliteSnapshots, model: &str, position: u64) -> Result<Vec<Vec<u8>>> {
    let mut frames = snapshots.open(&model.into(), Position(position))?.unwrap();
    let mut all = Vec::new();
    while let Some(frame) = frames.next()? {
        all.push(frame);
    }
    Ok(all)
}

const FRAMES: [&[u8]; 3] = [b"first", b"", &[7; 1000]];

#[test]
fn every_changed_byte_of_a_file_is_refused() {
    let folder = TempDir::new().unwrap();
    let snapshots = open(&folder);
    let path = keep(&snapshots, "m", 5, &FRAMES);
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&path, bad).unwrap();
        assert!(read(&snapshots, "m", 5).is_err(), "byte {at} of {}", good.len());
    }
    fs::write(&path, good).unwrap();
    assert_eq!(read(&snapshots, "m", 5).unwrap(), FRAMES);
}

#[test]
fn a_file_that_is_cut_off_is_refused_or_ends_with_a_whole_frame() {
    let folder = TempDir::new().unwrap();
    let snapshots = open(&folder);
    let path = keep(&snapshots, "m", 5, &FRAMES);
    let good = fs::read(&path).unwrap();
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        // That the last frames are missing is what the last frame is there to tell.
        match read(&snapshots, "m", 5) {
            Err(error) => assert!(matches!(error, StoreError::Corrupt(_)), "{error}"),
            Ok(frames) => assert!(frames.len() < FRAMES.len() && FRAMES.starts_with(&frames_of(&frames))),
        }
    }
}

fn frames_of(frames: &[Vec<u8>]) -> Vec<&[u8]> {
    frames.iter().map(Vec::as_slice).collect()
}

#[test]
fn frames_of_two_files_do_not_make_one() {
    let folder = TempDir::new().unwrap();
    let snapshots = open(&folder);
    let path = keep(&snapshots, "m", 5, &[b"a", b"b"]);
    let whole = fs::read(&path).unwrap();
    // The first frame again in the second's place: right in itself, and not in its place.
    let frame = 12..12 + (whole.len() - 12) / 2;
    let twice = [&whole[..frame.end], &whole[frame.clone()]].concat();
    fs::write(&path, twice).unwrap();
    assert!(read(&snapshots, "m", 5).is_err());
}

#[test]
fn lengths_are_not_believed() {
    let folder = TempDir::new().unwrap();
    let snapshots = open(&folder);
    let path = keep(&snapshots, "m", 5, &[b"a"]);
    for length in [u32::MAX, 1 << 25] {
        let mut bad = fs::read(&path).unwrap();
        bad[12..16].copy_from_slice(&length.to_le_bytes());
        fs::write(&path, bad).unwrap();
        assert!(matches!(read(&snapshots, "m", 5), Err(StoreError::Corrupt(_))));
    }
}

#[test]
fn a_newer_file_is_told_from_a_damaged_one() {
    let folder = TempDir::new().unwrap();
    let snapshots = open(&folder);
    let path = keep(&snapshots, "m", 5, &FRAMES);
    let mut newer = fs::read(&path).unwrap();
    newer[8] = 2;
    fs::write(&path, newer).unwrap();
    assert!(matches!(read(&snapshots, "m", 5), Err(StoreError::Newer { found: 2, supported: 1, .. })));
    fs::write(&path, "something else altogether").unwrap();
    assert!(matches!(read(&snapshots, "m", 5), Err(StoreError::Corrupt(_))));
}

#[test]
fn what_a_crash_left_half_written_is_removed_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let snapshots = open(&folder);
    let kept = keep(&snapshots, "m", 5, &FRAMES);
    let mut draft = snapshots.begin(&"m".into(), Position(9)).unwrap();
    draft.write(b"half").unwrap();
    // As a process does that is killed: nothing is tidied up.
    std::mem::forget(draft);
    let in_folder = |folder: &Path| entries(folder).unwrap().len();
    assert_eq!(in_folder(kept.parent().unwrap()), 2);
    assert_eq!(snapshots.list(&"m".into()).unwrap().len(), 1);
    fs::write(kept.with_file_name("notes.txt"), "somebody's").unwrap();
    fs::write(folder.path().join(FOLDER).join("stray"), "somebody's").unwrap();
    drop(snapshots);
    let snapshots = open(&folder);
    assert_eq!(in_folder(kept.parent().unwrap()), 2);
    assert_eq!(read(&snapshots, "m", 5).unwrap(), FRAMES);
}

#[test]
fn names_are_safe_and_no_two_the_same() {
    let odd = ["..", ".", "a/b", "a%2fb", "a b", "A", "a", "ä", "", "a\\b", "a.b"];
    let names: std::collections::BTreeSet<_> = odd.iter().map(|name| file_name(name)).collect();
    assert_eq!(names.len(), odd.len());
    assert!(names.iter().all(|name| !name.contains(['/', '.', '\\', ' '])));
    assert_eq!(file_name("orders_by-day2"), "orders_by-day2");
}
