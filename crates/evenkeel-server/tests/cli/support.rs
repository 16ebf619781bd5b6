//! Projects in temporary folders, the binary run in them, and servers that are gone when a test is.
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// What a run of the binary came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// As [`Run`], with the JSON document that was printed.
#[derive(Debug)]
pub(crate) struct Json {
    pub(crate) code: i32,
    pub(crate) value: Value,
    pub(crate) stderr: String,
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["EVENKEEL_LOG", "RUST_LOG", "EVENKEEL_NODE__LISTEN", "EVENKEEL_NODE__DATA"] {
        command.env_remove(name);
    }
    command
}

fn finish(mut command: Command, input: &[u8]) -> Run {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feed = std::thread::spawn(move || {
        // Who refuses its input may be gone before all of it is written.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    feed.join().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the binary.
pub(crate) fn evenkeel(args: &[&str]) -> Run {
    finish(command(args), b"")
}

/// A project folder. Its listen address is one where nobody listens.
pub(crate) struct Project(TempDir);

impl Project {
    /// As `evenkeel init` writes it.
    pub(crate) fn minimal() -> Self {
        Self::init(&[])
    }

    /// As `evenkeel init --example` writes it.
    pub(crate) fn example(name: &str) -> Self {
        Self::init(&["--example", name])
    }

    fn init(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = evenkeel(&[&["init", folder.path().to_str().unwrap()], more].concat());
        assert_eq!(run.code, 0, "{run:?}");
        let project = Self(folder);
        let settings = std::fs::read_to_string(project.path("evenkeel.toml")).unwrap();
        assert!(settings.contains("127.0.0.1:7400"));
        // Port 1 is nobody's.
        std::fs::write(project.path("evenkeel.toml"), settings.replace("127.0.0.1:7400", "127.0.0.1:1")).unwrap();
        project
    }

    /// A file of it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = command(args);
        command.current_dir(self.0.path());
        command
    }

    /// Runs the binary in it.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        finish(self.command(args), b"")
    }

    /// Runs the binary in it with input.
    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Run {
        finish(self.command(args), input)
    }

    /// Runs the binary in it for a JSON document.
    pub(crate) fn json(&self, args: &[&str]) -> Json {
        let Run { code, stdout, stderr } = self.run(&[&["--json"], args].concat());
        let value =
            serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {stdout:?} {stderr}"));
        Json { code, value, stderr }
    }

    /// Has the `sqlite3` tool run SQL over the models' store, as anybody may; what it prints. Nothing where there is no
    /// such tool.
    pub(crate) fn sql(&self, sql: &str) -> Option<String> {
        let file = self.path("evenkeel-data/models.db");
        match Command::new("sqlite3").args(["-cmd", ".timeout 10000"]).arg(file).arg(sql).output() {
            Ok(output) => {
                assert!(output.status.success(), "{sql}: {output:?}");
                // Digests are bytes.
                Some(String::from_utf8_lossy(&output.stdout).into_owned())
            }
            Err(error) => {
                eprintln!("skipped: there is no sqlite3 to write to the table of a model with: {error}");
                None
            }
        }
    }

    /// Adds to its settings.
    pub(crate) fn set(&self, settings: &str) {
        let file = self.path("evenkeel.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, format!("{text}\n{settings}\n")).unwrap();
    }

    /// Serves it on a free port.
    pub(crate) fn serve(&self) -> Server {
        let mut child = self.command(&["serve", "--listen", "127.0.0.1:0"]).spawn().unwrap();
        let mut logged = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert_ne!(logged.read_line(&mut line).unwrap(), 0, "the server ended before it listened");
            let said: Value = serde_json::from_str(&line).unwrap_or_default();
            if said["message"] == "serving" {
                break said["address"].as_str().unwrap().to_owned();
            }
        };
        // Nobody reads what it logs; it must not be held up by that.
        std::thread::spawn(move || logged.read_to_end(&mut Vec::new()));
        Server { child, url: format!("http://{address}") }
    }
}

/// A server at work.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

impl Server {
    /// Tells it to stop, and waits; its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
