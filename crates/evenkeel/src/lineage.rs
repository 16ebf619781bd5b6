//! Where each field of an event of the log came from: which place of what was sent, under which contracts, by which edit.
//!
//! The contract's part of it is [`evenkeel_contract::lineage`]'s. It is told again from what was sent, and compared with what is
//! in the log: where contracts have changed since, that is said.
use crate::{
    Engine, EngineError,
    inspect::edit_report,
    report::{ContractVersion, FieldOrigin, LineageReport},
};
use evenkeel_contract::{
    gate::Gate,
    lineage::{Lineage, Origin},
};
use evenkeel_core::{
    Draft, Event, Position,
    intake::Verdict,
    json::{Pointer, Value},
    quarantine::{ContractRef, Entry, Refusal},
};
use evenkeel_store::Log;

impl Engine {
    /// Where each field of an event of the log came from. It is named by its position or its identity.
    ///
    /// # Errors
    /// [`EngineError::NoEvent`], and where the log cannot be read.
    pub fn lineage(&self, event: &str) -> Result<LineageReport, EngineError> {
        of(self.inner.log.as_ref(), &self.inner.gate, event)
    }
}

/// As [`Engine::lineage`], over a log and a gate.
///
/// # Errors
/// As there.
pub fn of(log: &dyn Log, gate: &Gate, event: &str) -> Result<LineageReport, EngineError> {
    let unknown = || EngineError::NoEvent(event.to_owned());
    let event = find(log, event)?.ok_or_else(unknown)?;
    let entries = log.entries_of(event.id)?;
    let entry = entries.into_iter().find(|entry| entry.position == Some(event.position));
    let raw = match &entry {
        Some(entry) => Some(entry.raw.clone()),
        None => log.raw(event.position)?,
    };
    let mut report = LineageReport {
        position: event.position.0,
        event_id: event.id.to_string(),
        source: event.source.to_string(),
        id: event.raw_id.clone(),
        contract: event.draft.event_type.to_string(),
        contract_version: event.draft.contract_version,
        recorded_time: event.recorded_at.to_string(),
        exact: false,
        reason: None,
        contracts: Vec::new(),
        fields: Vec::new(),
        dropped: Vec::new(),
        quarantine_id: entry.as_ref().map(|entry| entry.id.to_string()),
        edits: entry.iter().flat_map(|entry| &entry.edits).map(edit_report).collect(),
        raw: raw.as_ref().map(|raw| String::from_utf8_lossy(raw).into_owned()),
    };
    let judged = match (&entry, raw) {
        (Some(entry), _) => entry.edited().map(std::borrow::Cow::into_owned).map_err(|error| error.to_string()),
        (None, Some(raw)) => Ok(raw),
        (None, None) => Err("it is not kept any more as it was sent, or never was ([raw] keep_days)".into()),
    };
    match judged.and_then(|judged| told(gate, &event, &judged)) {
        Ok((lineage, draft)) => fill(&mut report, &event, &lineage, &draft, entry.as_ref()),
        Err(reason) => report.reason = Some(reason),
    }
    Ok(report)
}

/// The event that is named by its position or its identity.
fn find(log: &dyn Log, name: &str) -> Result<Option<Event>, EngineError> {
    if let Ok(id) = name.parse() {
        return Ok(log.find(id)?);
    }
    let digits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let Some(position) = name.parse().ok().filter(|_| digits) else { return Ok(None) };
    Ok(log.pick(&[Position(position)])?.pop())
}

/// What the contracts say of an event, those that were there when it was admitted if they are there still.
fn told(gate: &Gate, event: &Event, raw: &[u8]) -> Result<(Lineage, Draft), String> {
    let admitted_by = ContractRef { name: event.draft.event_type.clone(), version: event.draft.contract_version };
    let then = gate.up_to(&admitted_by);
    let by_then = by(&then, raw).ok().filter(|(_, draft)| is_the_same(draft, event));
    by_then.map_or_else(|| by(gate, raw), Ok)
}

fn by(gate: &Gate, raw: &[u8]) -> Result<(Lineage, Draft), String> {
    let refused = |refusal: Option<Box<Refusal>>| {
        let why = refusal.map_or_else(|| "it cannot be read".to_owned(), |refusal| refusal.detail);
        format!("the contracts of today refuse it: {why}")
    };
    let lineage = gate.lineage(raw).map_err(refused)?;
    match gate.decide(raw.to_vec(), None).map(|decided| decided.arrival.verdict) {
        Ok(Verdict::Admit(draft)) => Ok((lineage, draft)),
        Ok(Verdict::Quarantine(refusal)) => Err(refused(Some(Box::new(refusal)))),
        Err(_) => Err(refused(None)),
    }
}

fn is_the_same(draft: &Draft, event: &Event) -> bool {
    let Draft { event_type, contract_version, subject, data, .. } = &event.draft;
    (&draft.event_type, draft.contract_version, &draft.subject, &draft.data)
        == (event_type, *contract_version, subject, data)
}

fn fill(report: &mut LineageReport, event: &Event, lineage: &Lineage, draft: &Draft, entry: Option<&Entry>) {
    report.exact = is_the_same(draft, event);
    if !report.exact {
        let now = ContractRef { name: draft.event_type.clone(), version: draft.contract_version };
        let (name, version) = (now.name, now.version);
        report.reason = Some(format!(
            "the contracts have changed since it was admitted: those of today make something else of it, by {name} version \
             {version}"
        ));
    }
    let version =
        |contract: &ContractRef| ContractVersion { contract: contract.name.to_string(), version: contract.version };
    report.contracts = lineage.contracts.iter().map(version).collect();
    report.dropped.clone_from(&lineage.dropped);
    let field = |origin: &Origin| {
        let place: Option<Pointer> = origin.field.parse().ok();
        let at = |draft: &Draft| -> Option<Value> {
            Some(draft.at(&event.source, &event.raw_id, place.as_ref()?)?.to_value())
        };
        let value = at(&event.draft);
        FieldOrigin {
            field: origin.field.clone(),
            exact: value == at(draft),
            value,
            from: origin.from.clone(),
            conversion: origin.conversion.clone(),
            edit: entry.and_then(|entry| last_edit(entry, &origin.from)),
        }
    };
    report.fields = lineage.fields.iter().map(field).collect();
}

/// The number, from 1, of the last edit that changed one of these places.
fn last_edit(entry: &Entry, places: &[String]) -> Option<usize> {
    let places: Vec<Pointer> = places.iter().filter_map(|place| place.parse().ok()).collect();
    let last = entry.last_changed(&places).ok()?.into_iter().flatten().max()?;
    Some(last + 1)
}
