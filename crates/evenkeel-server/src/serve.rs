//! A node that serves: opened, listening, and ended in time.
//!
//! [`run`] is the whole life of the process that `evenkeel serve` is; [`start`] puts the HTTP interface on an engine
//! that runs already. The routes themselves are in `http`.
use crate::{
    files,
    http::{App, server},
    node::{self, NodeError},
    telemetry::{self, BadFilter},
};
use evenkeel::{
    Engine, EngineError,
    contract::settings::Settings,
    project::ProjectError,
    store::{SqlError, StoreError},
};
use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, runtime, sync::watch, task::JoinHandle};

/// The part of the time to stop that is kept for the engine, after the requests.
const ENGINE_SHARE: f64 = 0.5;

/// The longest a stop may take, whatever is set.
const LONGEST_STOP: Duration = Duration::from_secs(24 * 3600);

/// What to serve, and where.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// The project folder.
    pub dir: PathBuf,
    /// Where to listen, in place of `[node] listen`. Port 0 is any free one.
    pub listen: Option<SocketAddr>,
    /// The folder of the embedded store, in place of `[node] data`.
    pub data: Option<PathBuf>,
    /// Whether to listen beyond loopback although nobody is asked who they are.
    pub insecure: bool,
}

/// Why a node does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The project folder cannot be used.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// It would listen beyond loopback, and nobody is asked who they are.
    #[error(
        "refusing to listen on {0}: whoever reaches that address could read and write everything, since nobody is asked \
         who they are; listen on 127.0.0.1, or pass --insecure (or set `insecure = true` under [security]) to do it anyway"
    )]
    Exposed(SocketAddr),
    /// What is to be logged cannot be understood.
    #[error(transparent)]
    Log(#[from] BadFilter),
    /// A view of the project's cannot be carried out.
    #[error("{path}: {error}; `evenkeel check` shows it")]
    View {
        /// Its file.
        path: String,
        /// Why not.
        error: SqlError,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine cannot be started.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}: {error}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// Threads cannot be started or signals not be waited for.
    #[error("the server cannot be started: {0}")]
    Start(io::Error),
    /// Metrics cannot be recorded.
    #[error("metrics cannot be recorded: {0}")]
    Metrics(String),
    /// It did not stop within `shutdown_seconds`. What was acknowledged is safe all the same.
    #[error("the engine did not stop within {} s; what was acknowledged is safe", .0.as_secs_f64())]
    StopTimedOut(Duration),
}

impl ServeError {
    /// The exit code of a command that ends with this: 2 for bad usage or configuration, 3 where the store or the
    /// address cannot be had, 1 for a stop that was not clean.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Project(_) | Self::View { .. } | Self::Exposed(_) | Self::Log(_) => 2,
            // A setting is wrong, and not the store.
            Self::Store(StoreError::OtherReplica { .. }) => 2,
            Self::Store(_) | Self::Engine(_) | Self::Listen { .. } | Self::Start(_) | Self::Metrics(_) => 3,
            Self::StopTimedOut(_) => 1,
        }
    }
}

impl From<NodeError> for ServeError {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Project(error) => error.into(),
            NodeError::Store(error) => error.into(),
            NodeError::Engine(error) => error.into(),
            NodeError::View { path, error } => Self::View { path, error },
        }
    }
}

/// Opens a project and serves it until the process is told to stop, by SIGTERM or SIGINT.
///
/// # Errors
/// Where it cannot be opened or served; nothing runs then. [`ServeError::StopTimedOut`] where something still ran when
/// the time was over: the process should end all the same.
pub fn run(options: ServeOptions) -> Result<(), ServeError> {
    let ServeOptions { dir, listen, data, insecure } = options;
    let (mut project, _) = evenkeel::project::load(&dir)?;
    let settings = &mut project.settings;
    settings.node.listen = listen.unwrap_or(settings.node.listen);
    settings.security.insecure |= insecure;
    let settings = settings.clone();
    // Before the store is opened: a refusal leaves no traces.
    check_exposure(&settings)?;
    telemetry::init()?;
    // Before the engine starts, so that nothing it measures is lost.
    crate::http::record_metrics().map_err(ServeError::Metrics)?;
    let node = node::start(project, &dir, data.as_deref(), |_| {})?;
    let running = start(node.engine.clone(), &settings).inspect_err(|_| node.engine.stop())?;
    tracing::info!(address = %running.addr, "serving");
    let signal = running.wait_for_signal().map_err(ServeError::Start);
    if let Ok(signal) = &signal {
        tracing::info!(signal, "stopping");
    }
    running.stop()?;
    tracing::info!("stopped");
    signal.map(drop)
}

/// Puts the HTTP interface on a running engine, listening where `settings` say.
///
/// # Errors
/// [`ServeError::Exposed`], [`ServeError::Listen`], [`ServeError::Metrics`] and [`ServeError::Start`]; the engine runs
/// on then.
pub fn start(engine: Engine, settings: &Settings) -> Result<Running, ServeError> {
    check_exposure(settings)?;
    let listen = settings.node.listen;
    let runtime =
        runtime::Builder::new_multi_thread().enable_all().thread_name("http").build().map_err(ServeError::Start)?;
    let bound = runtime.block_on(TcpListener::bind(listen)).and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (addr, listener) = bound.map_err(|error| ServeError::Listen { listen, error })?;
    let app = App::new(engine.clone(), settings, addr).map_err(ServeError::Metrics)?;
    let (stop, stopped) = watch::channel(None);
    let connections = files::connections(settings.limits.connections);
    let serving = runtime.spawn(server::serve(app, listener, connections, stopped));
    let within =
        Duration::try_from_secs_f64(settings.limits.shutdown_seconds).unwrap_or(LONGEST_STOP).min(LONGEST_STOP);
    Ok(Running { addr, engine, stop, within, alive: Some(Alive { runtime, serving }) })
}

fn check_exposure(settings: &Settings) -> Result<(), ServeError> {
    let listen = settings.node.listen;
    if listen.ip().is_loopback() || settings.security.insecure { Ok(()) } else { Err(ServeError::Exposed(listen)) }
}

/// A server at work. Dropped, it ends at once, and the engine runs on.
pub struct Running {
    /// The address it listens on, with the port it got.
    pub addr: SocketAddr,
    /// The engine it serves.
    pub engine: Engine,
    stop: watch::Sender<Option<tokio::time::Instant>>,
    within: Duration,
    alive: Option<Alive>,
}

/// Taken out once, when it ends.
struct Alive {
    runtime: runtime::Runtime,
    serving: JoinHandle<()>,
}

impl Running {
    /// Waits for SIGTERM or SIGINT; which one came.
    ///
    /// # Errors
    /// Where signals cannot be waited for.
    pub fn wait_for_signal(&self) -> io::Result<&'static str> {
        match &self.alive {
            Some(alive) => alive.runtime.block_on(signal()),
            None => Ok("none"),
        }
    }

    /// Stops accepting, answers what is under way, and stops the engine, all within `[limits] shutdown_seconds`.
    ///
    /// # Errors
    /// [`ServeError::StopTimedOut`] where the engine was not done in that time. It goes on stopping in the background.
    pub fn stop(mut self) -> Result<(), ServeError> {
        let started = Instant::now();
        // Otherwise they would wait for as long as they have, and be cut off without an answer.
        self.engine.end_waiting();
        if let Some(Alive { runtime, serving }) = self.alive.take() {
            let deadline = started + self.within.mul_f64(1.0 - ENGINE_SHARE);
            self.stop.send_replace(Some(deadline.into()));
            // It ends by itself at the deadline; a panic in it would have been logged.
            let _ = runtime.block_on(serving);
            runtime.shutdown_background();
        }
        let (done, ended) = mpsc::channel();
        let engine = self.engine.clone();
        let stop = move || {
            engine.stop();
            // Nobody waits any more where the time is over.
            let _ = done.send(());
        };
        thread::Builder::new().name("stop".into()).spawn(stop).map_err(ServeError::Start)?;
        let left = self.within.saturating_sub(started.elapsed());
        ended.recv_timeout(left).map_err(|_| ServeError::StopTimedOut(self.within))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(Alive { runtime, .. }) = self.alive.take() {
            // Waiting for its threads could block for ever where a request does.
            runtime.shutdown_background();
        }
    }
}

#[cfg(unix)]
async fn signal() -> io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

#[cfg(not(unix))]
async fn signal() -> io::Result<&'static str> {
    tokio::signal::ctrl_c().await.map(|()| "SIGINT")
}
