//! The examples of contracts, and what the gate makes of each: what `contract test` shows.
//!
//! Not here: reporting one that is wrong as a mistake of the project ([`crate::project::compile`] does that too).
use crate::{
    check::contracts::beside,
    declare::{ContractDecl, contract::Example},
    diagnostic::Files,
    gate::Gate,
    place,
};
use evenkeel_core::{
    EventType,
    intake::Verdict,
    json::{self, Value},
    quarantine::Reason,
};

/// What the gate made of an example.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The contract whose example it is.
    pub contract: EventType,
    /// The contract's version.
    pub version: u32,
    /// The example's file, from the project folder.
    pub file: String,
    /// What the contract expects: `admit`, a reason, or the name of an invariant.
    pub expected: String,
    /// What was found, in the same words.
    pub found: String,
    /// Why it was refused, in words.
    pub detail: Option<String>,
    /// The place in the raw event that is to blame.
    pub pointer: Option<String>,
    /// What an admitted event has become.
    pub data: Option<Value>,
    /// Where that differs from what it must become.
    pub differences: Vec<Difference>,
    /// Whether all is as expected.
    pub ok: bool,
}

/// A place at which two values differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The place in both.
    pub pointer: String,
    /// What should be there, if anything.
    pub expected: Option<Value>,
    /// What is there, if anything.
    pub found: Option<Value>,
}

impl Outcome {
    /// What is wrong, in words.
    pub fn wrong(&self) -> String {
        let Self { file, expected, found, differences, .. } = self;
        let at = self.pointer.as_ref().map(|pointer| format!(" at {pointer}")).unwrap_or_default();
        let why = self.detail.as_ref().map(|detail| format!(": {detail}{at}")).unwrap_or_default();
        match differences.first() {
            None => format!("{file} is expected to give `{expected}`, and gives {found}{why}"),
            Some(Difference { pointer, expected, found }) => {
                let shown = |value: &Option<Value>| value.as_ref().map_or("nothing".into(), ToString::to_string);
                let more = match differences.len() - 1 {
                    0 => String::new(),
                    more => format!(", and {more} more"),
                };
                let (expected, found) = (shown(expected), shown(found));
                format!("{file} becomes something else: at {pointer} expected {expected}, found {found}{more}")
            }
        }
    }
}

/// Runs every example whose files are there, in order.
pub(crate) fn run(contracts: &[ContractDecl], gate: &Gate, files: &Files) -> Vec<Outcome> {
    let examples = contracts.iter().flat_map(|decl| decl.examples.iter().map(move |example| (decl, example)));
    examples.filter_map(|(decl, example)| outcome(decl, example, gate, files)).collect()
}

/// What became of one example; `None` where its file is not there.
pub(crate) fn outcome(decl: &ContractDecl, example: &Example, gate: &Gate, files: &Files) -> Option<Outcome> {
    let file = beside(&example.file.place, &example.file.value);
    let bytes = files.get(&file)?;
    let expected = example.expect.value.clone();
    let mut outcome = Outcome {
        contract: decl.contract.name.clone(),
        version: decl.contract.version,
        file,
        ok: false,
        found: String::new(),
        expected,
        detail: None,
        pointer: None,
        data: None,
        differences: Vec::new(),
    };
    let verdict = match gate.decide(bytes.to_vec(), None) {
        Ok(decided) => decided.arrival.verdict,
        Err(unreadable) => {
            outcome.found = format!("no event: {unreadable}");
            return Some(outcome);
        }
    };
    match verdict {
        Verdict::Admit(draft) if draft.event_type != decl.contract.name => {
            outcome.found = format!("an event of the contract `{}`", draft.event_type);
            outcome.data = Some(draft.data);
        }
        Verdict::Admit(draft) => {
            outcome.found = "`admit`".into();
            outcome.ok = outcome.expected == "admit";
            let becomes = example.becomes.as_ref().filter(|_| outcome.ok);
            if let Some(becomes) = becomes.and_then(|at| expected_data(&beside(&at.place, &at.value), files)) {
                differ(Some(&becomes), Some(&draft.data), String::new(), &mut outcome.differences);
                outcome.ok = outcome.differences.is_empty();
            }
            outcome.data = Some(draft.data);
        }
        Verdict::Quarantine(refusal) => {
            let contract = refusal.contract.as_ref();
            // An older version's example may be refused by a newer one, whose names count then.
            let invariants = gate.contracts().filter(|judge| contract == Some(&judge.reference()));
            let broken = invariants
                .flat_map(|judge| &judge.invariants)
                .find(|invariant| refusal.reason == Reason::Invariant && invariant.refused(&refusal.detail));
            let name = broken.map_or(refusal.reason.as_str(), |invariant| invariant.name.as_str());
            outcome.ok = outcome.expected == name || outcome.expected == refusal.reason.as_str();
            outcome.found = format!("`{name}`");
            outcome.detail = Some(refusal.detail);
            outcome.pointer = refusal.pointer;
        }
    }
    Some(outcome)
}

/// What an example must become; `None` where the file is not there or no JSON, which is a mistake of its own.
fn expected_data(path: &str, files: &Files) -> Option<Value> {
    json::parse(files.get(path)?).ok()
}

/// Adds the innermost places at which two values differ.
pub(crate) fn differ(expected: Option<&Value>, found: Option<&Value>, at: String, differences: &mut Vec<Difference>) {
    match (expected, found) {
        (Some(expected), Some(found)) if expected == found => {}
        (Some(Value::Object(expected)), Some(Value::Object(found))) => {
            for (name, value) in expected.iter() {
                differ(Some(value), found.get(name), format!("{at}/{}", place::escape(name)), differences);
            }
            for (name, value) in found.iter().filter(|(name, _)| expected.get(name).is_none()) {
                differ(None, Some(value), format!("{at}/{}", place::escape(name)), differences);
            }
        }
        (Some(Value::Array(expected)), Some(Value::Array(found))) => {
            for index in 0..expected.len().max(found.len()) {
                differ(expected.get(index), found.get(index), format!("{at}/{index}"), differences);
            }
        }
        (expected, found) => {
            differences.push(Difference { pointer: at, expected: expected.cloned(), found: found.cloned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_the_innermost_places() {
        let parse = |text: &str| json::parse(text.as_bytes()).unwrap();
        let expected = parse(r#"{"a":{"b/c":1,"d":[1,2]},"e":"x","same":[{}]}"#);
        let found = parse(r#"{"a":{"b/c":"1","d":[1,3,4]},"f":null,"same":[{}]}"#);
        let mut differences = Vec::new();
        differ(Some(&expected), Some(&found), String::new(), &mut differences);
        let shown = |value: &Option<Value>| value.as_ref().map_or("-".into(), ToString::to_string);
        let lines: Vec<_> =
            differences.iter().map(|d| format!("{} {} {}", d.pointer, shown(&d.expected), shown(&d.found))).collect();
        assert_eq!(lines, [r#"/a/b~1c 1 "1""#, "/a/d/1 2 3", "/a/d/2 - 4", r#"/e "x" -"#, "/f - null"]);
    }
}
