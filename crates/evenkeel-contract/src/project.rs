//! A whole project folder, compiled: settings, gate and models, or everything that is wrong with it.
//!
//! Not here: reading the disk. The caller gives every file's bytes.
use crate::{
    check::{Catalogue, contracts, examples, models, views},
    contract::Contract,
    declare::{self, ContractDecl, ModelDecl},
    diagnostic::{Diagnostic, Diagnostics, Files, Place, Severity},
    examples::Outcome,
    gate::Gate,
    reader::{self, Data, Node, Sink},
    settings::{self, DriftSettings, Settings},
};
use evenkeel_core::{fold::Declared, freshness::Level, quarantine::ContractRef, schema::View};

/// A compiled project.
#[derive(Debug, Clone)]
pub struct Project {
    /// The node's settings.
    pub settings: Settings,
    /// Declared sources and contracts, ready to decide.
    pub gate: Gate,
    /// The models, in order of their files.
    pub models: Vec<ModelDeclaration>,
    /// The views over them, in order of their files. What they say is for the store to judge.
    pub views: Vec<ViewDeclaration>,
    /// What may not do what is meant.
    pub warnings: Diagnostics,
    /// Contracts without an example, as mistakes: `check` refuses them, while an engine runs without.
    pub unproven: Diagnostics,
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

/// A view of the user's over models.
#[derive(Debug, Clone)]
pub struct ViewDeclaration {
    /// Its name and text.
    pub view: View,
    /// Its file.
    pub path: String,
}

/// The path of the settings in a project folder.
pub const SETTINGS: &str = "evenkeel.toml";

/// Compiles a project from its files and the environment.
///
/// `files` holds `evenkeel.toml`, `contracts/**`, `models/*.toml` and `views/*.sql`; others are not looked at. Of the environment
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
    let Gated { settings, contracts, broken, gate, contract_files } = gated(files, env, &sink);
    let model_files = read_folder(files, "models", &sink);
    let unproven = Sink::default();
    examples::demand(&contracts, &unproven);
    if !sink.has_errors() {
        examples::present(&contracts, files, &sink);
        examples::run(&contracts, &gate, files, &sink);
    }
    let declared =
        |file: &File| file.sound.then(|| declare::model::read(&file.node, settings.settings.drift, &sink)).flatten();
    let models: Vec<ModelDecl> = model_files.iter().filter_map(declared).collect();
    warn_empty(contract_files, model_files.len(), &sink);
    let catalogue = Catalogue::new(&contracts, broken.iter().map(String::as_str));
    models::check_names(&models, &sink);
    let views = views::read(files, &models, &sink);
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
    let unproven = Diagnostics::new(unproven.into_inner());
    Ok(Project { settings: settings.settings, gate, models: compiled, views, warnings: found, unproven })
}

/// Compiles settings and contracts alone: neither models nor examples are looked at.
///
/// # Errors
/// Everything that is wrong with them.
pub fn gate(files: &Files, env: &[(String, String)]) -> Result<(Settings, Gate), Diagnostics> {
    let sink = Sink::default();
    let Gated { settings, gate, .. } = gated(files, env, &sink);
    let found = Diagnostics::new(sink.into_inner());
    if found.errors() > 0 { Err(found) } else { Ok((settings.settings, gate)) }
}

/// Where a contract that is given as the text of a file stands among those of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What it is called.
    pub contract: String,
    /// The path of its file: that of the same version, where there is one, and else one of its own.
    pub path: String,
    /// The path of its schema, where it names one, and that as it is named, relative to the file.
    pub schema: Option<(String, String)>,
}

/// Finds the place of a contract that is given as the text of a file called `name`. `None` where it says neither what it is
/// called nor its version.
pub fn standing(files: &Files, name: &str, text: &[u8]) -> Option<Standing> {
    let sink = Sink::default();
    let read = |path: &str, bytes: &[u8]| reader::read(path, bytes, &sink).0;
    let said = |node: &Node, key: &str| match &node.value {
        Data::Table(table) => table.get(key).map(|entry| entry.node.value.clone()),
        _ => None,
    };
    let node = read(name, text);
    let (contract, version) = (said(&node, "contract")?, said(&node, "version")?);
    let own = files.within("contracts", ".toml").find(|path| {
        let other = read(path, files.get(path).unwrap_or_default());
        said(&other, "contract").as_ref() == Some(&contract) && said(&other, "version").as_ref() == Some(&version)
    });
    let free = || {
        let stem = name.rsplit('/').next().unwrap_or_default().trim_end_matches(".toml").trim_start_matches('.');
        let numbers = std::iter::once(String::new()).chain((2..).map(|number| format!("-{number}")));
        let mut paths = numbers.map(|number| format!("contracts/{stem}{number}.toml"));
        paths.find(|path| files.get(path).is_none())
    };
    let path = own.map(ToOwned::to_owned).or_else(free)?;
    let schema = node_text(&node, "schema");
    let schema = schema.map(|schema| (contracts::beside(&Place::file(&path, 0..0), &schema), schema));
    Some(Standing { contract: node_text(&node, "contract")?, path, schema })
}

fn node_text(node: &Node, key: &str) -> Option<String> {
    match &node.value {
        Data::Table(table) => table.get(key)?.node.as_text().map(ToOwned::to_owned),
        _ => None,
    }
}

/// Runs the examples of every contract, whether they are as expected or not, in order of the contracts' files. Models
/// are not looked at.
///
/// # Errors
/// Everything else that is wrong with the settings and contracts.
pub fn try_examples(files: &Files, env: &[(String, String)]) -> Result<Tried, Diagnostics> {
    let sink = Sink::default();
    let Gated { contracts, gate, .. } = gated(files, env, &sink);
    examples::present(&contracts, files, &sink);
    if sink.has_errors() {
        return Err(Diagnostics::new(sink.into_inner()));
    }
    let without = contracts.iter().filter(|decl| decl.examples.is_empty()).map(|decl| decl.contract.reference());
    let outcomes = crate::examples::run(&contracts, &gate, files);
    Ok(Tried { outcomes, without: without.collect(), contracts: gate.contracts().map(Contract::reference).collect() })
}

/// What came of trying examples.
#[derive(Debug, Clone)]
pub struct Tried {
    /// Every example, in order of the contracts' files.
    pub outcomes: Vec<Outcome>,
    /// Contracts that have none.
    pub without: Vec<ContractRef>,
    /// Every contract.
    pub contracts: Vec<ContractRef>,
}

/// Settings and contracts, checked but for their examples.
struct Gated {
    settings: settings::Declared,
    contracts: Vec<ContractDecl>,
    /// What files that could not be read may declare.
    broken: Vec<String>,
    gate: Gate,
    /// How many files there are.
    contract_files: usize,
}

fn gated(files: &Files, env: &[(String, String)], sink: &Sink) -> Gated {
    let (settings, sources_known) = read_settings(files, env, sink);
    let contract_files = read_folder(files, "contracts", sink);
    let mut contracts: Vec<ContractDecl> = Vec::new();
    let mut broken: Vec<String> = Vec::new();
    for file in &contract_files {
        match file.sound.then(|| declare::contract::read(&file.node, sink)).flatten() {
            Some(decl) => contracts.push(decl),
            None => broken.extend(file.names("contract").into_iter().map(ToOwned::to_owned)),
        }
    }
    contracts::check_each(&mut contracts, files, sink);
    contracts::check_together(&contracts, sink);
    if sources_known {
        contracts::check_sources(&contracts, broken.is_empty(), &settings, sink);
    }
    let compiled = contracts.iter().map(|decl| decl.contract.clone()).collect();
    let gate = Gate::new(settings.settings.sources.clone(), compiled).with_causal(settings.settings.causal.limits());
    Gated { settings, contracts, broken, gate, contract_files: contract_files.len() }
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

fn warn_empty(contracts: usize, models: usize, sink: &Sink) {
    for (found, folder, meaning) in
        [(contracts, "contracts", "every event will be quarantined"), (models, "models", "there is nothing to read")]
    {
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
