//! What the end-to-end tests share: the real binary as a process of its own, a client of its interface, and chance that
//! can be repeated. No test stands here, and nothing of the server is linked in.
#![allow(dead_code, unused_imports, reason = "each test program uses a part")]
mod client;
mod random;
mod server;
pub(crate) mod shop;

pub(crate) use client::{Answer, Client};
pub(crate) use random::Random;
pub(crate) use server::{Server, evenkeel, run, signal, verify_full};

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// Longer than anything here takes: whoever waits this long waits in vain.
pub(crate) const HANGS: Duration = Duration::from_secs(120);

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A complete project that is shipped: `shop` or `travel`.
pub(crate) fn example(name: &str) -> PathBuf {
    repository().join("examples").join(name)
}

/// A copy of a shipped project that a test may change, with `settings` written before its own.
pub(crate) fn copy_of_example(name: &str, to: &Path, settings: &str) {
    copy(&example(name), to);
    let path = to.join("evenkeel.toml");
    let own = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    fs::write(&path, format!("{settings}\n{own}")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Copies a folder, but no data of a server in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    let copied = || -> std::io::Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            if !entry.path().is_dir() {
                fs::copy(entry.path(), &target)?;
            } else if entry.file_name() != "evenkeel-data" {
                copy(&entry.path(), &target);
            }
        }
        Ok(())
    };
    copied().unwrap_or_else(|error| panic!("{} cannot be copied: {error}", from.display()));
}

/// Declares the orders of a copy of the shop anew, as of this version. Every second one has a column that the shipped
/// one has not, so that the rows are not the same.
pub(crate) fn declare_orders(project: &Path, version: u64) {
    let shipped = fs::read_to_string(example("shop").join("models/orders.toml"));
    let shipped = shipped.unwrap_or_else(|error| panic!("the shop's orders: {error}"));
    let mut text = shipped.replace("version = 1\n", &format!("version = {version}\n"));
    if version.is_multiple_of(2) {
        text = text.replace("[columns]\n", "[columns]\nlines_seen = { type = \"i64\", merge = \"g_counter\" }\n");
        let items = "set.items = { count = \"/data/items\" }\n";
        text = text.replace(items, &format!("{items}add = {{ lines_seen = {{ count = \"/data/items\" }} }}\n"));
    }
    // The shipped one could be written otherwise one day.
    assert!(text.contains(&format!("version = {version}\n")));
    assert_eq!(text.matches("lines_seen").count() == 2, version.is_multiple_of(2));
    let written = fs::write(project.join("models/orders.toml"), text);
    written.unwrap_or_else(|error| panic!("{}: {error}", project.display()));
}

/// Fails with a clear word where strace is missing.
pub(crate) fn demand_strace() {
    let found = Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success());
    assert!(found, "strace is needed to see, and end, what the server does (Debian: apt-get install strace)");
}

/// Says something to whoever runs the tests, also where a test passes: what the print macros write is only shown when
/// one fails.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "\n{text}");
}

/// Runs a Python program to its end; what it printed.
pub(crate) fn python(program: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new("python3");
    command.arg(program).args(arguments).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("python3 is needed to run {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Runs SQL over a SQLite file that nobody needs at that moment, as another program would.
pub(crate) fn sqlite(path: &Path, sql: &str) {
    const PROGRAM: &str =
        "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nc.executescript(sys.argv[2])\nc.close()";
    let output = Command::new("python3").args(["-c", PROGRAM]).arg(path).arg(sql).output();
    let output = output.unwrap_or_else(|error| panic!("python3 is needed to run SQL: {error}"));
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Another program's hold on a SQLite file, until it is dropped.
pub(crate) struct Held(std::process::Child);

impl Held {
    /// Begins an exclusive transaction on the file, and waits until it is there.
    pub(crate) fn exclusively(path: &Path) -> Self {
        const PROGRAM: &str = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)\n\
            c.execute('BEGIN EXCLUSIVE')\nprint('held', flush=True)\nsys.stdin.read()\nc.execute('ROLLBACK')\nc.close()";
        let mut command = Command::new("python3");
        command.args(["-c", PROGRAM]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("python3 is needed to hold a lock: {error}"));
        let mut said = [0; 4];
        let read = child.stdout.as_mut().map(|stdout| std::io::Read::read_exact(stdout, &mut said));
        assert!(matches!(read, Some(Ok(()))) && &said == b"held", "{} cannot be held", path.display());
        Self(child)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
