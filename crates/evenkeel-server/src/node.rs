//! A node on this machine: a project folder, its embedded store, and an engine over the two.
//!
//! Not here: serving it over HTTP, or what commands do with it.
use crate::views;
use evenkeel::{
    Clock, Engine, EngineError, Options, SystemClock,
    contract::{
        project::Project,
        settings::{self, Settings},
    },
    project::{self, ProjectError},
    store::{
        SqlError, StoreError,
        sqlite::{SqliteOptions, SqliteStore, Synchronous},
    },
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A project, and the engine that runs it.
pub(crate) struct Node {
    /// The compiled project.
    pub(crate) project: Project,
    /// The engine over its embedded store.
    pub(crate) engine: Engine,
}

/// Why a node could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    /// The project folder cannot be used.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A view of the project's cannot be carried out.
    #[error("{path}: {error}")]
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
}

/// Opens the store of a compiled project and starts its engine. `dir` is the project folder; `data` overrides the folder
/// of the embedded store; `adjust` may change how the engine is run.
pub(crate) fn start(
    project: Project,
    dir: &Path,
    data: Option<&Path>,
    adjust: impl FnOnce(&mut Options),
) -> Result<Node, NodeError> {
    if let Some((path, error)) = views::wrong(&project)?.into_iter().next() {
        return Err(NodeError::View { path: path.to_owned(), error });
    }
    let (store, clock) = store(&project.settings, dir, data)?;
    let mut options = project::options(&project.settings);
    adjust(&mut options);
    let engine =
        project::start(&project, store.log.clone(), store.models.clone(), Some(store.snapshots), clock, options)?;
    Ok(Node { project, engine })
}

/// Opens the embedded store alone, and gives the clock it goes by.
pub(crate) fn store(
    settings: &Settings,
    dir: &Path,
    data: Option<&Path>,
) -> Result<(SqliteStore, Arc<dyn Clock>), StoreError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let now = Arc::clone(&clock);
    let synchronous = match settings.store.synchronous {
        settings::Synchronous::Full => Synchronous::Full,
        settings::Synchronous::Normal => Synchronous::Normal,
    };
    let replica = settings.node.id.as_str().into();
    let options = SqliteOptions { synchronous, replica, ..SqliteOptions::new(Arc::new(move || now.now())) };
    Ok((SqliteStore::open(&data_dir(settings, dir, data), options)?, clock))
}

/// The folder of the embedded store: as given, or as set, relative to the project folder.
pub(crate) fn data_dir(settings: &Settings, dir: &Path, data: Option<&Path>) -> PathBuf {
    data.map_or_else(|| dir.join(&settings.node.data), Path::to_owned)
}
