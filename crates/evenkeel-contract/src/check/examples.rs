//! Runs the examples of contracts through the gate they belong to.
use super::contracts::{beside, no_file};
use crate::{
    declare::{ContractDecl, contract::Example},
    diagnostic::{Diagnostic, Files},
    gate::Gate,
    reader::Sink,
};
use evenkeel_core::{intake::Verdict, quarantine::Reason};

/// Reports every example of which the gate makes something else than expected.
pub(crate) fn run(contracts: &[ContractDecl], gate: &Gate, files: &Files, sink: &Sink) {
    for decl in contracts {
        for example in &decl.examples {
            let path = beside(&example.file.place, &example.file.value);
            match files.get(&path) {
                None => sink.push(no_file(&example.file.place, &path, files)),
                Some(bytes) => check(decl, example, &path, bytes, gate, sink),
            }
        }
    }
}

fn check(decl: &ContractDecl, example: &Example, path: &str, bytes: &[u8], gate: &Gate, sink: &Sink) {
    let expect = example.expect.value.as_str();
    let wrong = |found: String| {
        let message = format!("{path} is expected to give `{expect}`, and gives {found}");
        sink.push(Diagnostic::error(&example.expect.place, message));
    };
    let decided = match gate.decide(bytes.to_vec(), None) {
        Ok(decided) => decided,
        Err(unreadable) => return wrong(format!("no event: {unreadable}")),
    };
    match decided.arrival.verdict {
        Verdict::Admit(draft) if draft.event_type != decl.contract.name => {
            wrong(format!("an event of the contract `{}`", draft.event_type));
        }
        Verdict::Admit(_) if expect == "admit" => {}
        Verdict::Admit(_) => wrong("`admit`".into()),
        Verdict::Quarantine(refusal) => {
            let broken = decl
                .contract
                .invariants
                .iter()
                .find(|invariant| refusal.reason == Reason::Invariant && invariant.refused(&refusal.detail));
            let name = broken.map_or(refusal.reason.as_str(), |invariant| invariant.name.as_str());
            if expect != name && expect != refusal.reason.as_str() {
                let at = refusal.pointer.map(|pointer| format!(" at {pointer}")).unwrap_or_default();
                wrong(format!("`{name}`: {}{at}", refusal.detail));
            }
        }
    }
}
