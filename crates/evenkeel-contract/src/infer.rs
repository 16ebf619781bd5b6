//! A contract proposed from raw events: schema, map, candidate invariants and an example, for a person to edit.
//!
//! What is proposed admits every event it was made from; what that is worth depends on the events. Nothing is read or
//! written here.
mod observe;
mod write;

use crate::{
    diagnostic::Files,
    envelope::{self, RawEvent},
    gate::Gate,
    project,
};
use evenkeel_core::intake::Verdict;
use observe::Shape;
use std::collections::BTreeMap;

/// A proposed contract, as the files of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The contract's name.
    pub contract: String,
    /// The CloudEvents source its events come from.
    pub source: String,
    /// Their CloudEvents type.
    pub event_type: String,
    /// How many events it was made from.
    pub events: usize,
    /// The contract's file and its text.
    pub toml: (String, String),
    /// The schema's file and its text.
    pub schema: (String, String),
    /// The example's file and its text: the first event.
    pub example: (String, String),
}

/// Events with the bytes they were read from.
type Samples<'s> = Vec<(&'s [u8], RawEvent)>;

/// A line of the samples that is no CloudEvent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BadSample {
    /// The line, from 1.
    pub line: usize,
    /// Why not.
    pub why: String,
}

/// Proposes a contract for every (source, type) of the events, in their order.
///
/// # Errors
/// The first event that cannot be read.
///
/// ```
/// let event = r#"{"specversion":"1.0","id":"1","source":"shop","type":"OrderPlaced","data":{"order_id":"o-1"}}"#;
/// let proposals = evenkeel_contract::infer::propose([event.as_bytes()])?;
/// assert_eq!(proposals[0].contract, "order_placed");
/// # Ok::<(), evenkeel_contract::infer::BadSample>(())
/// ```
pub fn propose<'s>(samples: impl IntoIterator<Item = &'s [u8]>) -> Result<Vec<Proposal>, BadSample> {
    let mut kinds: BTreeMap<(String, String), Samples<'_>> = BTreeMap::new();
    for (index, bytes) in samples.into_iter().enumerate() {
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let event = envelope::read(bytes).map_err(|refused| {
            let why = match refused {
                envelope::Refused::Malformed(malformed) => malformed.detail,
                envelope::Refused::Unreadable(unreadable) => unreadable.to_string(),
            };
            BadSample { line: index + 1, why }
        })?;
        let kind = (event.source.as_str().to_owned(), event.event_type.clone());
        kinds.entry(kind).or_default().push((bytes, event));
    }
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let proposals = kinds.into_iter().map(|((source, event_type), events)| {
        let name = write::snake(&event_type, "event");
        let count = taken.entry(name.clone()).or_default();
        *count += 1;
        let contract = if *count == 1 { name } else { format!("{name}_{count}") };
        one(contract, source, event_type, &events)
    });
    Ok(proposals.collect())
}

fn one(contract: String, source: String, event_type: String, events: &[(&[u8], RawEvent)]) -> Proposal {
    let mut shape = Shape::default();
    for (_, event) in events {
        shape.see(Some(&event.data));
    }
    let first = events.first().map_or_else(String::new, |(bytes, _)| String::from_utf8_lossy(bytes).trim().to_owned());
    let files = |rules: bool, schema: bool| Proposal {
        toml: (
            format!("contracts/{contract}.toml"),
            write::contract(&write::About {
                contract: &contract,
                source: &source,
                event_type: &event_type,
                events,
                shape: &shape,
                rules,
                schema,
            }),
        ),
        schema: (format!("contracts/{contract}.v1.schema.json"), write::schema(&shape)),
        example: (format!("contracts/{contract}.ok.json"), first.clone() + "\n"),
        contract: contract.clone(),
        source: source.clone(),
        event_type: event_type.clone(),
        events: events.len(),
    };
    // A proposal is judged like any contract. Were it wrong about its own events (a schema judges no number beyond
    // floats), what may be wrong is left out.
    let attempts = [(true, true), (false, true), (true, false)];
    let good = attempts.into_iter().map(|(rules, schema)| files(rules, schema)).find(|one| admits_all(one, events));
    good.unwrap_or_else(|| files(false, false))
}

/// Whether a proposal is a contract without mistakes and admits these events.
fn admits_all(proposal: &Proposal, events: &[(&[u8], RawEvent)]) -> bool {
    let Some(gate) = gate(proposal) else { return false };
    events.iter().all(|(bytes, _)| {
        let decided = gate.decide(bytes.to_vec(), None);
        decided.is_ok_and(|decided| matches!(decided.arrival.verdict, Verdict::Admit(_)))
    })
}

fn gate(proposal: &Proposal) -> Option<Gate> {
    let settings = format!("[[source]]\nname = {name}\nmatch = {name}\n", name = write::quoted(&proposal.source));
    let mut files: Files = [(project::SETTINGS.to_owned(), settings)].into_iter().collect();
    for (path, text) in [&proposal.toml, &proposal.schema, &proposal.example] {
        files.insert(path.clone(), text.clone());
    }
    project::compile(&files, &[]).ok().map(|project| project.gate)
}

#[cfg(test)]
mod tests;
