//! `evenkeel check`: every mistake of a project folder at once, or what it declares.
//!
//! Finding them is `evenkeel-contract`'s.
use super::{Answer, Context, Done};
use crate::{
    output::{Document, Failure, Style, paint},
    views,
};
use evenkeel::{
    contract::{
        contract::{Contract, UpstreamTypes},
        diagnostic::{Diagnostic, Diagnostics, Files, Place, Severity},
        project::Project,
    },
    project::{self, ProjectError},
};
use serde::Serialize;

#[derive(Serialize)]
struct Report<'r> {
    ok: bool,
    errors: usize,
    warnings: usize,
    diagnostics: Vec<Found>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<Summary<'r>>,
}

/// A mistake, for programs.
#[derive(Serialize)]
struct Found {
    severity: &'static str,
    message: String,
    /// The file, or the environment variable.
    place: String,
    /// From 1; null for a place without lines.
    line: Option<usize>,
    column: Option<usize>,
    help: Option<String>,
    rendered: String,
}

#[derive(Serialize)]
struct Summary<'p> {
    listen: String,
    data: &'p str,
    sources: Vec<SourceSummary<'p>>,
    contracts: Vec<ContractSummary<'p>>,
    models: Vec<ModelSummary<'p>>,
    views: Vec<&'p str>,
}

#[derive(Serialize)]
struct SourceSummary<'p> {
    name: &'p str,
    #[serde(rename = "match")]
    pattern: String,
}

#[derive(Serialize)]
struct ContractSummary<'p> {
    contract: &'p str,
    version: u32,
    source: String,
    types: Vec<&'p str>,
}

#[derive(Serialize)]
struct ModelSummary<'p> {
    model: &'p str,
    version: u32,
    key: Vec<&'p str>,
    columns: usize,
    subscribes: Vec<&'p str>,
}

/// Runs the command.
pub(super) fn run(context: &Context) -> Done {
    match project::load(&context.dir) {
        Ok((project, files)) if !project.unproven.is_empty() => refuse(context, &files, &project.unproven),
        Ok((project, files)) => {
            let wrong = views::check(&project, &files)?;
            if !wrong.is_empty() {
                return refuse(context, &files, &wrong);
            }
            if context.out.json {
                let (diagnostics, warnings) = (found(&project.warnings, &files), project.warnings.warnings());
                let report =
                    Report { ok: true, errors: 0, warnings, diagnostics, project: Some(Summary::of(&project)) };
                context.out.json(&Document::of(&report)?)?;
            } else {
                print(context, &project, &files)?;
            }
            Ok(Answer::Yes)
        }
        Err(ProjectError::Declarations(files, wrong)) => refuse(context, &files, &wrong),
        Err(other) => Err(other.into()),
    }
}

fn refuse(context: &Context, files: &Files, wrong: &Diagnostics) -> Done {
    if context.out.json {
        let (errors, warnings) = (wrong.errors(), wrong.warnings());
        let report = Report { ok: false, errors, warnings, diagnostics: found(wrong, files), project: None };
        context.out.json(&Document::of(&report)?)?;
    } else {
        context.out.line(wrong.render(files, context.out.colour()))?;
    }
    Err(Failure::usage(format!("{} in {}", counted(wrong), context.dir.display())))
}

fn print(context: &Context, project: &Project, files: &Files) -> Result<(), Failure> {
    let out = &context.out;
    if !project.warnings.is_empty() {
        out.line(project.warnings.render(files, out.colour()))?;
    }
    let summary = Summary::of(project);
    let mut rows = Vec::new();
    for source in &summary.sources {
        rows.push(vec!["source".into(), source.name.into(), format!("matches {}", source.pattern)]);
    }
    for contract in &summary.contracts {
        let types = if contract.types.is_empty() { "every type".to_owned() } else { contract.types.join(", ") };
        let what = format!("version {}, from {}: {types}", contract.version, contract.source);
        rows.push(vec!["contract".into(), contract.contract.into(), what]);
    }
    for model in &summary.models {
        let (key, subscribes) = (model.key.join(", "), model.subscribes.join(", "));
        let what = format!("version {}, {} columns, key {key}; from {subscribes}", model.version, model.columns);
        rows.push(vec!["model".into(), model.model.into(), what]);
    }
    for view in &project.views {
        rows.push(vec!["view".into(), view.view.name.clone(), view.path.clone()]);
    }
    out.table(&["KIND", "NAME", ""], rows)?;
    let (sources, contracts, models) = (summary.sources.len(), summary.contracts.len(), summary.models.len());
    let fine = paint("fine", Style::Good, out.colour());
    out.line(format_args!(
        "\n{fine}: {}, {}, {}; listens on {}, data in {}",
        plural(sources, "source"),
        plural(contracts, "contract"),
        plural(models, "model"),
        summary.listen,
        summary.data
    ))
}

impl<'p> Summary<'p> {
    fn of(project: &'p Project) -> Self {
        let contract = |contract: &'p Contract| ContractSummary {
            contract: contract.name.as_str(),
            version: contract.version,
            source: contract.from_source.to_string(),
            types: match &contract.types {
                UpstreamTypes::Any => Vec::new(),
                UpstreamTypes::Listed(types) => types.iter().map(String::as_str).collect(),
            },
        };
        let models = project.models.iter().map(|model| {
            let schema = evenkeel::core::fold::Fold::schema(&model.fold);
            ModelSummary {
                model: schema.model.as_str(),
                version: schema.version,
                key: schema.key.iter().map(|&index| schema.columns[index].name.as_str()).collect(),
                columns: schema.shown().count(),
                subscribes: schema.subscribes.iter().map(evenkeel::core::EventType::as_str).collect(),
            }
        });
        let source = |source: &'p evenkeel::contract::source::Source| SourceSummary {
            name: &source.name,
            pattern: source.pattern.to_string(),
        };
        Self {
            listen: project.settings.node.listen.to_string(),
            data: &project.settings.node.data,
            sources: project.gate.sources().iter().map(source).collect(),
            contracts: project.gate.contracts().map(contract).collect(),
            models: models.collect(),
            views: project.views.iter().map(|declared| declared.view.name.as_str()).collect(),
        }
    }
}

fn found(diagnostics: &Diagnostics, files: &Files) -> Vec<Found> {
    diagnostics.iter().map(|diagnostic| Found::of(diagnostic, files)).collect()
}

impl Found {
    fn of(diagnostic: &Diagnostic, files: &Files) -> Self {
        let (place, position) = match &diagnostic.place {
            Place::File { path, span } => {
                (path.to_string(), files.get(path).map(|bytes| line_and_column(bytes, span.start)))
            }
            Place::Variable { text, .. } => (text.split('=').next().unwrap_or_default().to_owned(), None),
        };
        let (line, column) = position.unzip();
        Self {
            severity: match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            message: diagnostic.message.clone(),
            place,
            line,
            column,
            help: diagnostic.help.clone(),
            rendered: diagnostic.render(files),
        }
    }
}

/// Where a byte stands, both from 1; the column in characters.
fn line_and_column(bytes: &[u8], offset: usize) -> (usize, usize) {
    let before = &bytes[..offset.min(bytes.len())];
    let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    (line, String::from_utf8_lossy(&before[line_start..]).chars().count() + 1)
}

fn counted(wrong: &Diagnostics) -> String {
    match wrong.warnings() {
        0 => plural(wrong.errors(), "mistake"),
        warnings => format!("{}, {}", plural(wrong.errors(), "mistake"), plural(warnings, "warning")),
    }
}

/// `1 thing`, `2 things`.
pub(super) fn plural(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        let text = "a = 1\nü = 2\n".as_bytes();
        assert_eq!(line_and_column(text, 0), (1, 1));
        assert_eq!(line_and_column(text, 6), (2, 1));
        assert_eq!(line_and_column(text, 9), (2, 3));
        assert_eq!(line_and_column(text, 999), (3, 1));
    }
}
