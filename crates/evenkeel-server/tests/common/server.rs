//! The real binary as a process of its own: started, watched by what it logs, told to stop or killed.
use super::{Client, HANGS};
use serde_json::Value;
use std::{
    ffi::OsStr,
    io::BufReader,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// A running `evenkeel serve`, killed when dropped.
pub(crate) struct Server {
    child: Child,
    said: Arc<Said>,
}

/// What the process has written to stderr.
#[derive(Default)]
struct Said {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    addr: Option<SocketAddr>,
    /// Nobody can write any more: the process has ended, and whatever wrapped it.
    ended: bool,
}

/// The binary, with nothing set from the outside but what the test says.
pub(crate) fn evenkeel(wrapper: &[impl AsRef<OsStr>]) -> Command {
    let binary = env!("CARGO_BIN_EXE_evenkeel");
    let mut command = match wrapper {
        [] => Command::new(binary),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary);
            command
        }
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("EVENKEEL_") || name == "RUST_LOG") {
            command.env_remove(name);
        }
    }
    command
}

impl Server {
    /// Starts a server of the project with its store in `data`, and waits until it is ready.
    pub(crate) fn start(project: &Path, data: &Path) -> Self {
        let server = Self::spawn(project, data);
        server.wait_ready();
        server
    }

    /// Starts a server, and waits for nothing.
    pub(crate) fn spawn(project: &Path, data: &Path) -> Self {
        Self::spawn_under(&[] as &[&OsStr], project, data)
    }

    /// As [`Server::spawn`], run by another program.
    pub(crate) fn spawn_under(wrapper: &[impl AsRef<OsStr>], project: &Path, data: &Path) -> Self {
        let mut command = evenkeel(wrapper);
        command.arg("--dir").arg(project).args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let said = Arc::new(Said::default());
        if let Some(stderr) = child.stderr.take() {
            let said = Arc::clone(&said);
            thread::spawn(move || said.listen(BufReader::new(stderr)));
        }
        Self { child, said }
    }

    /// Where it listens, if it has said so.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        self.said.state().addr
    }

    /// Waits until it says where it listens; nothing where it ends instead.
    pub(crate) fn wait_addr_or_end(&self) -> Option<SocketAddr> {
        let state = self.said.wait(HANGS, |state| state.addr.is_some() || state.ended);
        assert!(state.addr.is_some() || state.ended, "the server says nothing:\n{}", state.lines.join("\n"));
        state.addr
    }

    /// Waits until it says where it listens. Fails where it ends instead.
    pub(crate) fn wait_addr(&self) -> SocketAddr {
        let addr = self.wait_addr_or_end();
        addr.unwrap_or_else(|| panic!("the server did not start:\n{}", self.log().join("\n")))
    }

    /// Waits until it is ready; a client of it.
    pub(crate) fn wait_ready(&self) -> Client {
        let client = Client::new(self.wait_addr());
        let asked = Instant::now();
        loop {
            match client.try_get("/readyz") {
                Ok(answer) if answer.status == 200 => return client,
                other => assert!(asked.elapsed() < HANGS, "not ready: {other:?}\n{}", self.log().join("\n")),
            }
            // Only so as not to keep the server from becoming ready.
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it is ready; where it listens.
    pub(crate) fn wait_ready_addr(&self) -> SocketAddr {
        self.wait_ready();
        self.wait_addr()
    }

    /// A client with a connection of its own.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.wait_addr())
    }

    /// The lines it has logged.
    pub(crate) fn log(&self) -> Vec<String> {
        self.said.state().lines.clone()
    }

    /// Kills it at once (SIGKILL); how it ended, which may have been before.
    pub(crate) fn kill(&mut self) -> ExitStatus {
        let _ = self.child.kill();
        self.wait()
    }

    /// Tells it to stop (SIGTERM).
    pub(crate) fn terminate(&self) {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(told.as_ref().is_ok_and(ExitStatus::success), "kill: {told:?}");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let ended = self.said.wait(HANGS, |state| state.ended).ended;
        assert!(ended, "the server does not end:\n{}", self.log().join("\n"));
        self.child.wait().unwrap_or_else(|error| panic!("the server's end is not known: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let lines = self.log();
            eprintln!("the server's last words:\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
    }
}

impl Said {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, within: Duration, until: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.state(), within, |state| !until(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn listen(&self, stderr: impl std::io::BufRead) {
        for line in stderr.lines().map_while(Result::ok) {
            let serving = serde_json::from_str::<Value>(&line).ok().filter(|line| line["message"] == "serving");
            let addr = serving.and_then(|line| line["address"].as_str()?.parse().ok());
            let mut state = self.state();
            state.lines.push(line);
            state.addr = addr.or(state.addr);
            self.changed.notify_all();
        }
        self.state().ended = true;
        self.changed.notify_all();
    }
}

/// The signal that ended a process, where one did.
pub(crate) fn signal(ended: ExitStatus) -> Option<i32> {
    #[cfg(unix)]
    return std::os::unix::process::ExitStatusExt::signal(&ended);
    #[cfg(not(unix))]
    return ended.code().map(|_| 9);
}

/// Runs a command of the binary to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    let mut command = evenkeel(&[] as &[&OsStr]);
    command.args(arguments).stdin(Stdio::null());
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Has every model compared with a fresh fold of the log by the command line; the reports, by model.
pub(crate) fn verify_full(client: &Client) -> Vec<Value> {
    let output = run(&["--url", client.url(), "--json", "verify", "--full"]);
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{text}\n{errors}");
    let report = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let reports: Vec<Value> = text.lines().map(report).collect();
    for report in &reports {
        assert_eq!((&report["verdict"], &report["wrong_rows"]), (&"verified".into(), &0.into()), "{report}");
        assert_eq!(report["rows"], report["rows_checked"], "{report}");
    }
    reports
}
