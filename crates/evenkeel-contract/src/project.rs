//! A whole project folder, compiled: settings, gate and models, or everything that is wrong with it.
//!
//! Not here: reading the disk. The caller gives every file's bytes.
use crate::{
    check::{Catalogue, contracts, examples, models},
    declare::{self, ContractDecl, ModelDecl},
    diagnostic::{Diagnostic, Diagnostics, Files, Place, Severity},
    gate::Gate,
    reader::{self, Data, Node, Sink},
    settings::{self, DriftSettings, Settings},
};
use evenkeel_core::{fold::Declared, freshness::Level};

/// A compiled project.
#[derive(Debug, Clone)]
pub struct Project {
    /// The node's settings.
    pub settings: Settings,
    /// Declared sources and contracts, ready to decide.
    pub gate: Gate,
    /// The models, in order of their files.
    pub models: Vec<ModelDeclaration>,
    /// What may not do what is meant.
    pub warnings: Diagnostics,
}

/// A compiled model.
#[derive(Debug, Clone)]
pub struct ModelDeclaration {
    /// What events do to its rows.
    pub fold: Declared,
    /// When it counts as drifted: its own values, and the project's for the rest.
    pub drift: DriftSettings,
    /// The level every read of it has at least.
    pub require: Option<Level>,
    /// The level of reads that name none.
    pub default_level: Option<Level>,
}

/// The path of the settings in a project folder.
pub const SETTINGS: &str = "evenkeel.toml";

/// Compiles a project from its files and the environment.
///
/// `files` holds `evenkeel.toml`, `contracts/**` and `models/*.toml`; others are not looked at. Of the environment
/// only `EVENKEEL_SECTION__KEY` counts.
///
/// # Errors
/// Everything that is wrong, in every file at once, with the warnings among it.
///
/// ```
/// use evenkeel_contract::{diagnostic::Files, project};
/// let files: Files = [("evenkeel.toml", "[node]\nlsiten = \"127.0.0.1:1\"\n")].into_iter().collect();
/// let wrong = project::compile(&files, &[]).unwrap_err();
/// assert!(wrong.render(&files, false).contains("did you mean `listen`?"));
/// ```
pub fn compile(files: &Files, env: &[(String, String)]) -> Result<Project, Diagnostics> {
    let sink = Sink::default();
    let (settings, sources_known) = read_settings(files, env, &sink);
    let contract_files = read_folder(files, "contracts", &sink);
    let model_files = read_folder(files, "models", &sink);

    let mut contracts: Vec<ContractDecl> = Vec::new();
    let mut broken: Vec<&str> = Vec::new();
    for file in &contract_files {
        match file.sound.then(|| declare::contract::read(&file.node, &sink)).flatten() {
            Some(decl) => contracts.push(decl),
            None => broken.extend(file.names("contract")),
        }
    }
    contracts::check_each(&mut contracts, files, &sink);
    contracts::check_together(&contracts, &sink);
    if sources_known {
        contracts::check_sources(&contracts, broken.is_empty(), &settings, &sink);
    }
    let gate =
        Gate::new(settings.settings.sources.clone(), contracts.iter().map(|decl| decl.contract.clone()).collect());
    if !sink.has_errors() {
        examples::run(&contracts, &gate, files, &sink);
    }
    let declared =
        |file: &File| file.sound.then(|| declare::model::read(&file.node, settings.settings.drift, &sink)).flatten();
    let models: Vec<ModelDecl> = model_files.iter().filter_map(declared).collect();
    warn_empty(&contract_files, &model_files, &sink);
    let catalogue = Catalogue::new(&contracts, broken);
    models::check_names(&models, &sink);
    let compiled = models.iter().map(|model| ModelDeclaration {
        fold: models::check(model, &catalogue, &sink),
        drift: model.drift,
        require: model.require,
        default_level: model.default_level,
    });
    let compiled = compiled.collect();
    if !models.is_empty() && !sink.has_errors() {
        let used = models.iter().flat_map(|model| &model.clauses).map(|clause| clause.event.value.as_str());
        contracts::warn_unused(&catalogue, used, &sink);
    }
    let found = Diagnostics::new(sink.into_inner());
    if found.errors() > 0 {
        return Err(found);
    }
    Ok(Project { settings: settings.settings, gate, models: compiled, warnings: found })
}

/// The settings, and whether they hold every source the file declares.
fn read_settings(files: &Files, env: &[(String, String)], sink: &Sink) -> (settings::Declared, bool) {
    let Some(bytes) = files.get(SETTINGS) else {
        let place = Place::file(SETTINGS, 0..0);
        let diagnostic = Diagnostic::error(&place, format!("this folder has no {SETTINGS}"));
        sink.push(diagnostic.help("`evenkeel init DIR` writes a project folder"));
        return (settings::Declared::default(), false);
    };
    let (file, sound) = reader::read(SETTINGS, bytes, sink);
    if sound {
        let declared = settings::read(file, env, sink);
        let sources_known = declared.sources_known;
        return (declared, sources_known);
    }
    // What a broken file says is not judged, but the environment is.
    let empty = Node { value: Data::Table(reader::Table::default()), place: file.place };
    (settings::read(empty, env, sink), false)
}

/// A declaration's file.
struct File<'f> {
    path: &'f str,
    node: Node,
    /// Whether it has no syntax errors.
    sound: bool,
}

impl File<'_> {
    /// What a broken file may declare: what it says under `key`, and what it is called.
    fn names(&self, key: &str) -> Vec<&str> {
        let said = match &self.node.value {
            Data::Table(table) => table.get(key).and_then(|entry| entry.node.as_text()),
            _ => None,
        };
        let called = self.path.rsplit('/').next().and_then(|name| name.split('.').next());
        said.into_iter().chain(called).collect()
    }
}

fn read_folder<'f>(files: &'f Files, folder: &'static str, sink: &Sink) -> Vec<File<'f>> {
    let read = |path: &'f str| {
        let (node, sound) = reader::read(path, files.get(path).unwrap_or_default(), sink);
        File { path, node, sound }
    };
    files.within(folder, ".toml").map(read).collect()
}

fn warn_empty(contracts: &[File<'_>], models: &[File<'_>], sink: &Sink) {
    for (found, folder, meaning) in [
        (contracts.len(), "contracts", "every event will be quarantined"),
        (models.len(), "models", "there is nothing to read"),
    ] {
        if found == 0 {
            let place = Place::file(SETTINGS, 0..0);
            sink.push(Diagnostic::warning(&place, format!("there are no {folder} in {folder}/: {meaning}")));
        }
    }
}

impl Sink {
    fn has_errors(&self) -> bool {
        self.any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

#[cfg(test)]
mod tests;
