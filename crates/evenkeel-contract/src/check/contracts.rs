//! Contracts against themselves, each other, their sources and their schema files.
//!
//! Not here: whether an example passes ([`super::examples`]).
use super::{Catalogue, pointer, types};
use crate::{
    contract::{Contract, Schema, UpstreamTypes, ValueSource},
    declare::{ContractDecl, contract::check_expectations},
    diagnostic::{Diagnostic, Files, Place, did_you_mean},
    locate::{locate, syntax_error},
    reader::Sink,
    settings,
};

/// Checks every contract by itself and with its schema file, which is compiled into it.
pub(crate) fn check_each(contracts: &mut [ContractDecl], files: &Files, sink: &Sink) {
    for decl in contracts {
        schema(decl, files, sink);
        fields(decl, sink);
        invariants(decl, sink);
        check_expectations(decl, sink);
    }
}

/// The path of a file that a contract file names, which lies beside it.
pub(crate) fn beside(place: &Place, name: &str) -> String {
    let folder = match place {
        Place::File { path, .. } => path.rsplit_once('/').map_or("", |(folder, _)| folder),
        Place::Variable { .. } => "",
    };
    let mut path: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(path.pop()),
            part => path.push(part),
        }
    }
    path.join("/")
}

/// That a file which a contract names is not there.
pub(crate) fn no_file(place: &Place, path: &str, files: &Files) -> Diagnostic {
    let known = files.iter().map(|(path, _)| path).filter(|path| path.ends_with(".json"));
    Diagnostic::error(place, format!("there is no file {path}")).maybe_help(did_you_mean(path, known))
}

fn schema(decl: &mut ContractDecl, files: &Files, sink: &Sink) {
    let Some(name) = &decl.schema else { return };
    let path = beside(&name.place, &name.value);
    let Some(bytes) = files.get(&path) else {
        sink.push(no_file(&name.place, &path, files));
        return;
    };
    let text = String::from_utf8_lossy(bytes);
    match Schema::compile(&text) {
        Ok(schema) => decl.contract.schema = Some(schema),
        Err(bad) => {
            let (span, message) = match syntax_error(&text) {
                Some((at, message)) => (at..at, format!("not JSON: {message}")),
                None => {
                    let at = if bad.pointer.is_empty() { String::new() } else { format!(" at {}", bad.pointer) };
                    (locate(&text, &bad.pointer), format!("not a JSON Schema{at}: {}", bad.message))
                }
            };
            let diagnostic = Diagnostic::error(&Place::file(&path, span), message);
            sink.push(diagnostic.related(&name.place, "used by this contract"));
        }
    }
}

fn fields(decl: &ContractDecl, sink: &Sink) {
    for (field, places) in decl.fields() {
        let kind = field.ty.kind();
        let name = &field.to;
        match &field.from {
            ValueSource::Data(_) => {}
            ValueSource::Event(attribute) if types::attribute_fits(*attribute, kind) => {}
            ValueSource::Event(attribute) => {
                let message =
                    format!("`{name}` is of type {kind}, which the event's `{}` cannot become", attribute.as_str());
                sink.push(Diagnostic::error(&places.from, message).related(&places.to, format!("{kind} here")));
            }
            ValueSource::Value(value) => {
                if let Err(misfit) = types::raw_constant_fits(kind, value) {
                    sink.error(&places.from, format!("the constant for `{name}`: {misfit}"));
                }
            }
        }
        if let (Some(default), Some(place)) = (&field.default, &places.default)
            && let Err(misfit) = types::raw_constant_fits(kind, default)
        {
            sink.error(place, format!("the default of `{name}`: {misfit}"));
        }
    }
}

fn invariants(decl: &ContractDecl, sink: &Sink) {
    let event = decl.contract.name.as_str();
    for pointer in decl.conditions.iter().flat_map(|condition| &condition.pointers) {
        if let Err(diagnostic) = pointer::resolve(pointer, event, &[decl]) {
            sink.push(diagnostic);
        }
    }
}

/// Checks contracts against each other.
pub(crate) fn check_together(contracts: &[ContractDecl], sink: &Sink) {
    for (i, later) in contracts.iter().enumerate() {
        for earlier in &contracts[..i] {
            if let Some(message) = both_take(&earlier.contract, &later.contract) {
                sink.push(
                    Diagnostic::error(&later.types, message)
                        .related(&earlier.types, format!("`{}` takes it here", earlier.contract.name)),
                );
            }
            if earlier.contract.reference() == later.contract.reference() && earlier.fields_known && later.fields_known
            {
                same_shape(earlier, later, sink);
            }
        }
    }
}

/// What two contracts would both take.
fn both_take(a: &Contract, b: &Contract) -> Option<String> {
    if !a.from_source.overlaps(&b.from_source) {
        return None;
    }
    // The longer pattern is the narrower one: what both match.
    let source =
        if a.from_source.to_string().len() > b.from_source.to_string().len() { &a.from_source } else { &b.from_source };
    Some(match (&a.types, &b.types) {
        (UpstreamTypes::Any, UpstreamTypes::Any) => format!("two contracts take every type from `{source}`"),
        (UpstreamTypes::Listed(listed), UpstreamTypes::Any) | (UpstreamTypes::Any, UpstreamTypes::Listed(listed)) => {
            format!("two contracts take `{}` from `{source}`", listed.first()?)
        }
        (UpstreamTypes::Listed(a), UpstreamTypes::Listed(b)) => {
            format!("two contracts take `{}` from `{source}`", a.iter().find(|upstream| b.contains(upstream))?)
        }
    })
}

/// Contracts that produce one (type, version) must have one shape.
fn same_shape(earlier: &ContractDecl, later: &ContractDecl, sink: &Sink) {
    let mut differences: Vec<(&Place, String)> = Vec::new();
    for (field, places) in later.fields() {
        let kind = field.ty.kind();
        match earlier.field(&field.to) {
            None => differences.push((&places.to, "only here".into())),
            Some((other, place)) if other.ty.kind() != kind => {
                differences.push((&places.to, format!("{kind} here")));
                differences.push((place, format!("{} here", other.ty.kind())));
            }
            Some(_) => {}
        }
    }
    let only_earlier = earlier.fields().filter(|(field, _)| later.field(&field.to).is_none());
    differences.extend(only_earlier.map(|(_, places)| (&places.to, "only here".into())));
    if differences.is_empty() {
        return;
    }
    let message =
        format!("two contracts give `{}` version {} different fields", later.contract.name, later.contract.version);
    let diagnostic = Diagnostic::error(&later.name, message).related(&earlier.name, "the other contract");
    let diagnostic =
        differences.into_iter().fold(diagnostic, |diagnostic, (place, label)| diagnostic.related(place, label));
    sink.push(diagnostic.help("give one of them another version, or the same fields and types to both"));
}

/// Checks contracts against the declared sources. `all` says whether these are all contracts of the project.
pub(crate) fn check_sources(contracts: &[ContractDecl], all: bool, declared: &settings::Declared, sink: &Sink) {
    let sources = &declared.settings.sources;
    let mut all = all;
    for decl in contracts {
        let pattern = &decl.contract.from_source;
        if !sources.iter().any(|source| source.pattern.overlaps(pattern)) {
            let patterns: Vec<_> = sources.iter().map(|source| source.pattern.to_string()).collect();
            let help = did_you_mean(&pattern.to_string(), patterns.iter().map(String::as_str))
                .unwrap_or_else(|| format!("declare it in evenkeel.toml: [[source]] with match = \"{pattern}\""));
            let message = format!("no declared source matches `{pattern}`, so no event could pass");
            sink.push(Diagnostic::error(&decl.source, message).help(help));
            all = false;
        }
    }
    for (i, (source, place)) in sources.iter().zip(&declared.source_places).enumerate() {
        for (earlier, first) in sources[..i].iter().zip(&declared.source_places) {
            if earlier.pattern == source.pattern {
                let message = format!("two sources match `{}`", source.pattern);
                sink.push(Diagnostic::error(place, message).related(first, "the first"));
            } else if earlier.name == source.name {
                let message = format!("two sources are named `{}`", source.name);
                sink.push(Diagnostic::error(place, message).related(first, "the first"));
            }
        }
        if all
            && !contracts.is_empty()
            && !contracts.iter().any(|decl| decl.contract.from_source.overlaps(&source.pattern))
        {
            let message = format!("no contract takes events of `{}`: all of them will be quarantined", source.pattern);
            sink.push(Diagnostic::warning(place, message));
        }
    }
}

/// Warns of event types that no model uses.
pub(crate) fn warn_unused<'u>(catalogue: &Catalogue<'_>, used: impl Iterator<Item = &'u str> + Clone, sink: &Sink) {
    for name in catalogue.names() {
        if !used.clone().any(|used| used == name) {
            for decl in catalogue.producers(name) {
                sink.push(Diagnostic::warning(&decl.name, format!("no model uses `{name}`")));
            }
        }
    }
}
