//! Real clients publish to a running server: the CloudEvents packages of PyPI and npm, at fixed versions, in every mode,
//! and what they sent is what is there. How they are installed and driven; the events and what is expected are in
//! `clients/events.rs`.
//!
//! The packages come from whatever registry pip and npm are configured with, once: they are kept under the target folder.
//! Where Python, Node or the registry is missing the tests fail and say what they need.
#[cfg(test)]
mod common;

#[cfg(test)]
mod clients {
    mod events;

    use super::common::{Client, repository};
    use serde_json::{Value, json};
    use std::{
        fs::{self, File},
        path::{Path, PathBuf},
        process::{Command, Stdio},
    };

    /// The oldest Node that the client of npm says it runs on.
    const NODE_AT_LEAST: u32 = 20;

    /// A client of CloudEvents in another language.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Sdk {
        Python,
        Node,
    }

    /// What a client is to send in one request.
    #[derive(Debug, Clone)]
    struct Request {
        /// `binary`, `structured` or `batch`.
        mode: &'static str,
        events: Vec<Event>,
    }

    /// An event as a client is given it.
    #[derive(Debug, Clone)]
    struct Event {
        /// Attributes and extensions.
        attributes: Value,
        /// The text of a JSON document.
        data: String,
        /// Whether the client gets that text as bytes, or parses it and sends what it makes of the value.
        bytes: bool,
    }

    /// A client that is installed.
    struct Installed {
        program: PathBuf,
        script: PathBuf,
    }

    impl Installed {
        /// Has the client send requests one after the other; what it was answered.
        #[track_caller]
        fn publish(&self, client: &Client, requests: &[Request]) -> Vec<Value> {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("requests.json");
            let events = |request: &Request| -> Vec<Value> {
                let event =
                    |event: &Event| json!({"attributes": event.attributes, "data": event.data, "bytes": event.bytes});
                request.events.iter().map(event).collect()
            };
            let said: Vec<Value> =
                requests.iter().map(|request| json!({"mode": request.mode, "events": events(request)})).collect();
            fs::write(&path, Value::from(said).to_string()).unwrap();
            let url = format!("{}/v1/events", client.url());
            let mut command = Command::new(&self.program);
            command.arg(&self.script).arg(url).arg(&path);
            let answers: Vec<Value> = serde_json::from_str(&run(&mut command, "")).unwrap();
            assert_eq!(answers.len(), requests.len());
            for answer in &answers {
                // The transport of one client does not tell the status.
                assert!(answer["status"] == 202 || answer["status"].is_null(), "{answer}");
            }
            answers.into_iter().map(|mut answer| answer["body"].take()).collect()
        }
    }

    impl Sdk {
        /// The client, installed now if it is not there yet.
        fn installed(self) -> Installed {
            let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
            fs::create_dir_all(&base).unwrap();
            // Others who run this at the same time wait until it is there.
            let lock = File::create(base.join("lock")).unwrap();
            lock.lock().unwrap();
            match self {
                Self::Python => python(&base.join("python")),
                Self::Node => node(&base.join("node")),
            }
        }
    }

    fn scripts() -> PathBuf {
        repository().join("crates/evenkeel-server/tests/clients")
    }

    /// The client of PyPI in an environment of its own.
    fn python(folder: &Path) -> Installed {
        let found = run(Command::new("python3").args(["-c", "import sys; print(sys.version, sys.executable)"]), PYTHON);
        let pins = scripts().join("requirements.txt");
        let program = folder.join("venv/bin/python");
        once(folder, &format!("{found}{}", fs::read_to_string(&pins).unwrap()), || {
            run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")), PYTHON);
            let mut command = Command::new(&program);
            command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
            command.args(["--retries", "2", "--timeout", "15", "--requirement"]).arg(&pins);
            run(&mut command, "the test needs the package index that pip is configured with");
        });
        Installed { program, script: scripts().join("publish.py") }
    }

    const PYTHON: &str = "the test needs python3 with venv (Debian: apt-get install python3-venv)";

    /// The client of npm in a folder of its own, and the script beside it, where Node looks for packages.
    fn node(folder: &Path) -> Installed {
        let needed =
            format!("the test needs Node {NODE_AT_LEAST} or newer, and npm (Debian: apt-get install nodejs npm)");
        let found = run(Command::new("node").arg("--version"), &needed);
        let major = found.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
        assert!(major.is_some_and(|major| major >= NODE_AT_LEAST), "found Node {}: {needed}", found.trim());
        let lock = fs::read_to_string(scripts().join("package-lock.json")).unwrap();
        once(folder, &format!("{found}{lock}"), || {
            for name in ["package.json", "package-lock.json"] {
                fs::copy(scripts().join(name), folder.join(name)).unwrap();
            }
            run(Command::new("npm").arg("--version"), &needed);
            let mut command = Command::new("npm");
            command.args([
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--fetch-retries=1",
                "--loglevel=error",
            ]);
            run(command.current_dir(folder), "the test needs the registry that npm is configured with");
        });
        let script = folder.join("publish.mjs");
        fs::copy(scripts().join("publish.mjs"), &script).unwrap();
        Installed { program: "node".into(), script }
    }

    /// Installs into the folder, unless just that was installed there to its end before.
    fn once(folder: &Path, what: &str, install: impl FnOnce()) {
        let done = folder.join("installed");
        if fs::read_to_string(&done).is_ok_and(|there| there == what) {
            return;
        }
        if folder.exists() {
            fs::remove_dir_all(folder).unwrap();
        }
        fs::create_dir_all(folder).unwrap();
        install();
        fs::write(done, what).unwrap();
    }

    /// Runs a program to its end; what it printed. Fails with what is needed for it.
    #[track_caller]
    fn run(command: &mut Command, needed: &str) -> String {
        let output = command.stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("{needed}\n{command:?}: {error}"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{needed}\n{command:?}: {}\n{errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }
}
