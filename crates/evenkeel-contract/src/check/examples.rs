//! Examples of contracts that are not as expected, as mistakes of the project.
//!
//! Running them is [`crate::examples`]'.
use super::contracts::{beside, no_file};
use crate::{
    declare::ContractDecl,
    diagnostic::{Diagnostic, Files},
    examples,
    gate::Gate,
    reader::{At, Sink},
};
use evenkeel_core::json;

/// Reports files of examples that are not there or cannot be read.
pub(crate) fn present(contracts: &[ContractDecl], files: &Files, sink: &Sink) {
    for example in contracts.iter().flat_map(|decl| &decl.examples) {
        file(&example.file, files, sink);
        if let Some(becomes) = &example.becomes
            && let Some(bytes) = file(becomes, files, sink)
            && let Err(error) = json::parse(bytes)
        {
            sink.error(&becomes.place, format!("{} is not JSON: {error}", becomes.value));
        }
    }
}

/// Reports every example of which the gate makes something else than expected.
pub(crate) fn run(contracts: &[ContractDecl], gate: &Gate, files: &Files, sink: &Sink) {
    for decl in contracts {
        for example in &decl.examples {
            if let Some(outcome) = examples::outcome(decl, example, gate, files).filter(|outcome| !outcome.ok) {
                let at = example.becomes.as_ref().filter(|_| !outcome.differences.is_empty());
                let place = at.map_or(&example.expect.place, |becomes| &becomes.place);
                sink.push(Diagnostic::error(place, outcome.wrong()));
            }
        }
    }
}

/// Reports every contract without an example.
pub(crate) fn demand(contracts: &[ContractDecl], sink: &Sink) {
    for decl in contracts.iter().filter(|decl| decl.examples.is_empty()) {
        let message = format!("the contract `{}` has no example, so nothing shows that it works", decl.contract.name);
        sink.push(
            Diagnostic::error(&decl.name, message)
                .help("add example = [{ file = \"ok.json\", expect = \"admit\" }], the file being a whole CloudEvent"),
        );
    }
}

fn file<'f>(file: &At<String>, files: &'f Files, sink: &Sink) -> Option<&'f [u8]> {
    let path = beside(&file.place, &file.value);
    let bytes = files.get(&path);
    if bytes.is_none() {
        sink.push(no_file(&file.place, &path, files));
    }
    bytes
}
