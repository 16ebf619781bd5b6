//! Contracts against themselves, each other, their sources and their schema files.
//!
//! Not here: whether an example passes ([`super::examples`]).
use super::{Catalogue, expressions, fields, pointer, versions};
use crate::{
    contract::{Contract, Schema, UpstreamTypes},
    declare::{ContractDecl, RuleDecl, contract::check_expectations},
    diagnostic::{Diagnostic, Files, Place, did_you_mean},
    locate::{locate, syntax_error},
    reader::Sink,
    settings,
};

/// Checks every contract by itself and with its schema file, which is compiled into it.
pub(crate) fn check_each(contracts: &mut [ContractDecl], files: &Files, sink: &Sink) {
    for decl in contracts {
        schema(decl, files, sink);
        fields::check(&decl.contract.fields, &decl.fields, sink);
        if let (Some(upcast), Some(places)) = (&decl.contract.upcast, &decl.upcast) {
            fields::check(&upcast.fields, &places.fields, sink);
        }
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

fn invariants(decl: &ContractDecl, sink: &Sink) {
    let event = decl.contract.name.as_str();
    for rule in &decl.rules {
        match rule {
            RuleDecl::Native(condition) => {
                for pointer in &condition.pointers {
                    if let Err(diagnostic) = pointer::resolve(pointer, event, &[decl]) {
                        sink.push(diagnostic);
                    }
                }
            }
            RuleDecl::Cel(expression) => expressions::check(decl, expression, sink),
        }
    }
}

/// Checks contracts against each other.
pub(crate) fn check_together(contracts: &[ContractDecl], sink: &Sink) {
    for (i, later) in contracts.iter().enumerate() {
        for earlier in &contracts[..i] {
            if earlier.contract.name != later.contract.name
                && let Some(message) = both_take(&earlier.contract, &later.contract)
            {
                sink.push(
                    Diagnostic::error(&later.types, message)
                        .related(&earlier.types, format!("`{}` takes it here", earlier.contract.name)),
                );
            }
            if earlier.contract.name == later.contract.name {
                versions::check(earlier, later, sink);
            }
        }
    }
    contracts.iter().for_each(|decl| versions::check_upcast(decl, contracts, sink));
}

/// What two contracts would both take.
pub(super) fn both_take(a: &Contract, b: &Contract) -> Option<String> {
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
