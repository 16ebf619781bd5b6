//! A project folder on disk: its files read, compiled, and made ready to run.
//!
//! What the files say is `evenkeel-contract`'s to judge; opening stores is the caller's.
use crate::{Clock, Engine, EngineError, Model, Options, Parts, ingest::IngestLimits, reader::QueryLimits};
use evenkeel_contract::{
    diagnostic::{Diagnostics, Files},
    project::{self, Project, SETTINGS},
    settings::Settings,
};
use evenkeel_core::{flights::FlightLimits, intake::Quota, retry::RetryPolicy};
use evenkeel_store::{Log, Models, Snapshots};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Why a project folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// A file or folder cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The folder is not a project.
    #[error("{0}: no {SETTINGS} here; `evenkeel init DIR` writes a project folder")]
    NotAProject(PathBuf),
    /// What the files declare is wrong.
    #[error("{} of the project are wrong", .1.errors())]
    Declarations(Files, Diagnostics),
}

/// The folders of a project whose files are read, and how their names may end.
const FOLDERS: [(&str, &[&str]); 3] = [("contracts", &["toml", "json"]), ("models", &["toml"]), ("views", &["sql"])];

/// Reads every file of the project in `dir` that declares something.
///
/// # Errors
/// [`ProjectError::NotAProject`] where there is no `evenkeel.toml`, [`ProjectError::Read`] where something cannot be
/// read.
pub fn read(dir: &Path) -> Result<Files, ProjectError> {
    let mut files = Files::default();
    let settings = dir.join(SETTINGS);
    match fs::read(&settings) {
        Ok(bytes) => files.insert(SETTINGS, bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound && dir.is_dir() => {
            return Err(ProjectError::NotAProject(dir.to_owned()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ProjectError::Read { path: dir.to_owned(), error });
        }
        Err(error) => return Err(ProjectError::Read { path: settings, error }),
    }
    for (folder, endings) in FOLDERS {
        read_folder(dir, Path::new(folder), endings, &mut files)?;
    }
    Ok(files)
}

fn read_folder(dir: &Path, folder: &Path, endings: &[&str], files: &mut Files) -> Result<(), ProjectError> {
    let path = dir.join(folder);
    let failed = |path: PathBuf| move |error| ProjectError::Read { path, error };
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(path)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(failed(path.clone()))?;
        let name = folder.join(entry.file_name());
        if entry.path().is_dir() {
            read_folder(dir, &name, endings, files)?;
        } else if name.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| endings.contains(&ending)) {
            let bytes = fs::read(entry.path()).map_err(failed(entry.path()))?;
            files.insert(name.to_string_lossy().replace('\\', "/"), bytes);
        }
    }
    Ok(())
}

/// Puts the contract in `file` in the place of the same contract and version among the files of a project, or beside them where
/// there is none, and with it its schema, where that lies beside `file`. What it is called; `None` where it does not say,
/// which compiling the files will tell.
///
/// # Errors
/// [`ProjectError::Read`] where it cannot be read.
pub fn put_contract(files: &mut Files, file: &Path) -> Result<Option<String>, ProjectError> {
    let text = fs::read(file).map_err(|error| ProjectError::Read { path: file.to_owned(), error })?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let Some(standing) = project::standing(files, &name, &text) else {
        files.insert(format!("contracts/{name}"), text);
        return Ok(None);
    };
    files.insert(standing.path, text);
    if let Some((path, named)) = standing.schema {
        let beside = file.parent().unwrap_or(Path::new("")).join(named);
        match fs::read(&beside) {
            Ok(schema) => files.insert(path, schema),
            // The project's, if it has one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(ProjectError::Read { path: beside, error }),
        }
    }
    Ok(Some(standing.contract))
}

/// What the environment says, as far as it is text.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Reads and compiles the project in `dir`, with what the environment overrides.
///
/// # Errors
/// As [`read`], and [`ProjectError::Declarations`] with everything that is wrong in the files.
pub fn load(dir: &Path) -> Result<(Project, Files), ProjectError> {
    let files = read(dir)?;
    match project::compile(&files, &environment()) {
        Ok(project) => Ok((project, files)),
        Err(wrong) => Err(ProjectError::Declarations(files, wrong)),
    }
}

/// How an engine of these settings is run.
pub fn options(settings: &Settings) -> Options {
    Options {
        freshness: settings.read.freshness,
        retry: RetryPolicy {
            max_retries: settings.read.max_retries,
            base_delay: Duration::from_millis(settings.read.base_delay_ms),
            max_delay: Duration::from_millis(settings.read.max_delay_ms),
        },
        token_max_age: settings.read.token_max_age,
        query: QueryLimits {
            within: Duration::from_millis(settings.read.query_timeout_ms),
            rows: usize::try_from(settings.read.query_rows).unwrap_or(usize::MAX),
            ..QueryLimits::default()
        },
        flights: FlightLimits {
            at_once: usize::try_from(settings.read.at_once).unwrap_or(usize::MAX),
            waiting: usize::try_from(settings.read.waiting).unwrap_or(usize::MAX),
        },
        auto_reconcile: settings.reconcile.auto,
        scrub_rows_per_second: settings.reconcile.scrub_rows_per_second,
        pace: settings.reconcile.pace,
        keep_records: settings.reconcile.keep_records,
        snapshot_every_events: settings.snapshots.every_events,
        snapshots_kept: usize::try_from(settings.snapshots.keep).unwrap_or(usize::MAX),
        ingest: IngestLimits {
            causal_timeout: settings.causal.timeout(),
            quota: Quota {
                per_source: settings.limits.untrusted_per_source,
                total: settings.limits.untrusted_total,
                held: settings.limits.held_per_source,
            },
            ..IngestLimits::default()
        },
        keep_raw: settings.raw.keep,
        holder: settings.node.id.clone(),
        ..Options::default()
    }
}

/// Starts an engine for a compiled project over these stores.
///
/// # Errors
/// As [`Engine::start`].
pub fn start(
    project: &Project,
    log: Arc<dyn Log>,
    models: Arc<dyn Models>,
    snapshots: Option<Arc<dyn Snapshots>>,
    clock: Arc<dyn Clock>,
    options: Options,
) -> Result<Engine, EngineError> {
    let declared = project.models.iter().map(|model| Model {
        fold: Arc::new(model.fold.clone()),
        thresholds: model.drift.thresholds,
        repair_budget: model.drift.repair_budget,
        require: model.require,
        default_level: model.default_level,
    });
    let views = project.views.iter().map(|declared| declared.view.clone()).collect();
    let options = Options { views, ..options };
    let parts = Parts { log, models, snapshots, clock, gate: Arc::new(project.gate.clone()) };
    Engine::start(parts, declared.collect(), options)
}
