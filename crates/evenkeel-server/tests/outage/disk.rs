//! A small disk of its own, which can be filled and emptied again.
use super::super::common::say;
use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

/// A file system in memory, taken away when dropped.
pub(crate) struct Disk {
    pub(crate) path: PathBuf,
}

impl Disk {
    /// A disk of this size at `path`; nothing where this process may not have one, which is said aloud;
    /// with `EVENKEEL_TEST_DATA=required` in the environment that is a failure.
    pub(crate) fn mount(path: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path).output();
        let why = match mounted {
            Ok(output) if output.status.success() => return Some(Self { path: path.to_owned() }),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        let required = std::env::var("EVENKEEL_TEST_DATA").is_ok_and(|value| value == "required");
        assert!(!required, "no disk of its own can be mounted ({why}), and EVENKEEL_TEST_DATA=required");
        say(&format!(
            "SKIPPED: the server on a full disk: no disk of its own can be mounted, which needs root ({why})"
        ));
        None
    }

    /// Takes all the space that is left.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        for size in [64 << 10, 4 << 10, 1] {
            let block = vec![b'x'; size];
            let error = loop {
                match file.write_all(&block) {
                    Ok(()) => {}
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        }
    }

    /// Gives that space back.
    pub(crate) fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.path).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.path.display());
        }
    }
}
