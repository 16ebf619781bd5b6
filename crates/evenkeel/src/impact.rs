//! What a changed contract would do, before it is put in force: run over the events that are kept as they were sent, and over
//! the quarantine.
//!
//! Nothing is written. What a change does to one event is [`evenkeel_contract::impact`]'s to say. Events are read in pages, and
//! only the first cases of each kind are named, so that the memory it takes does not grow with the log.
use crate::{
    Engine, EngineError, quarantine,
    report::{AdmittedCase, AdmittedImpact, ImpactReport, ValueChange, WaitingCase, WaitingImpact},
};
use evenkeel_contract::{
    gate::Gate,
    impact::{Changed, Effect},
};
use evenkeel_core::{
    Event, Position,
    intake::Verdict,
    quarantine::{Entry, Reason, State},
};
use evenkeel_store::{EntryFilter, Log, StoreError};
use std::{collections::BTreeMap, ops::ControlFlow};

/// How many events are read at a time.
const PAGE: usize = 500;

/// How many entries of the quarantine are read at a time; each holds its event.
const ENTRIES: usize = 100;

/// How many places at which one event would be something else are told.
const PLACES: usize = 20;

/// What the contract of this name in `gate` would do to what is in the log and in quarantine. At most `cases` of each kind are
/// named. `go_on` is asked between pages.
///
/// # Errors
/// [`EngineError::NoContract`], where the log cannot be read, and [`EngineError::Method`] where it was called off.
pub fn measure(
    log: &dyn Log,
    gate: &Gate,
    contract: &str,
    cases: usize,
    go_on: &dyn Fn() -> ControlFlow<()>,
) -> Result<ImpactReport, EngineError> {
    let changed = Changed::new(gate, contract).ok_or_else(|| EngineError::NoContract(contract.to_owned()))?;
    let head = log.safe_head()?;
    let mut run = Run {
        log,
        changed,
        cases,
        go_on,
        end: head.position,
        own: 0,
        admitted: <_>::default(),
        waiting: <_>::default(),
    };
    run.over_the_log()?;
    run.over_the_quarantine()?;
    let mut admitted = run.admitted;
    admitted.events = head.counts.get(contract).copied().unwrap_or_default();
    admitted.not_kept = admitted.events.saturating_sub(run.own);
    let versions = gate.contracts().filter(|other| other.name.as_str() == contract).map(|other| other.version);
    Ok(ImpactReport {
        contract: contract.to_owned(),
        versions: versions.collect(),
        ok: admitted.refused == 0,
        head: head.position.0,
        admitted,
        waiting: run.waiting,
    })
}

impl Engine {
    /// As [`measure`], over this engine's log.
    ///
    /// # Errors
    /// As there.
    pub fn impact(&self, gate: &Gate, contract: &str, cases: usize) -> Result<ImpactReport, EngineError> {
        measure(self.inner.log.as_ref(), gate, contract, cases, &|| self.inner.go_on())
    }
}

struct Run<'r> {
    log: &'r dyn Log,
    changed: Changed<'r>,
    cases: usize,
    go_on: &'r dyn Fn() -> ControlFlow<()>,
    /// Nothing after this is looked at.
    end: Position,
    /// How many of the contract's own events were judged.
    own: u64,
    admitted: AdmittedImpact,
    waiting: WaitingImpact,
}

impl Run<'_> {
    fn asked(&self) -> Result<(), EngineError> {
        match (self.go_on)() {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(EngineError::Method("it was called off".into())),
        }
    }

    /// The events that never were in quarantine.
    fn over_the_log(&mut self) -> Result<(), EngineError> {
        let mut after = Position::ZERO;
        loop {
            self.asked()?;
            let raws = self.log.raws(after, PAGE)?;
            let Some(last) = raws.last() else { return Ok(()) };
            after = last.position;
            let positions: Vec<Position> = raws.iter().map(|kept| kept.position).collect();
            let mut events = self.log.pick(&positions)?.into_iter().peekable();
            for kept in raws {
                if kept.position > self.end {
                    return Ok(());
                }
                let event = events.next_if(|event| event.position == kept.position);
                let event = event.ok_or_else(|| lost(kept.position))?;
                if self.changed.concerns(event.source.as_str(), &event.draft.event_type) {
                    let effect = self.changed.of_admitted(&event, kept.raw);
                    self.count(&event, effect);
                }
            }
        }
    }

    /// Those that are in quarantine, and those that were: as they are edited.
    fn over_the_quarantine(&mut self) -> Result<(), EngineError> {
        let mut filter = EntryFilter { limit: ENTRIES, ..EntryFilter::default() };
        loop {
            self.asked()?;
            let entries = self.log.entries(&filter)?;
            let Some(last) = entries.last() else { return Ok(()) };
            filter.after = Some(last.id);
            for entry in &entries {
                match (entry.state, entry.position) {
                    (State::Quarantined | State::Held, _) => self.waits(entry),
                    (State::Admitted, Some(position)) if position <= self.end => self.was_admitted(entry, position)?,
                    (State::Admitted | State::Discarded, _) => {}
                }
            }
        }
    }

    fn was_admitted(&mut self, entry: &Entry, position: Position) -> Result<(), EngineError> {
        let event = self.log.pick(&[position])?.pop().ok_or_else(|| lost(position))?;
        // What another event of this identity brought into the log was judged as that.
        if event.digest == entry.digest && self.changed.concerns(event.source.as_str(), &event.draft.event_type) {
            let (verdict, _) = quarantine::verdict(self.changed.gate(), entry);
            let effect = self.changed.compare(&event, verdict);
            self.count(&event, effect);
        }
        Ok(())
    }

    fn count(&mut self, event: &Event, effect: Effect) {
        self.own += u64::from(event.draft.event_type == *self.changed.contract());
        let admitted = &mut self.admitted;
        admitted.judged += u64::from(effect != Effect::Elsewhere);
        let case = || AdmittedCase {
            position: event.position.0,
            event_id: event.id.to_string(),
            source: event.source.to_string(),
            id: event.raw_id.clone(),
            contract: event.draft.event_type.to_string(),
            contract_version: event.draft.contract_version,
            subject: event.draft.subject.to_string(),
            reason: None,
            detail: None,
            pointer: None,
            differences: Vec::new(),
            different_places: 0,
        };
        match effect {
            Effect::Elsewhere => {}
            Effect::Same => admitted.same += 1,
            Effect::Otherwise(differences) => {
                admitted.otherwise += 1;
                if admitted.changes.len() < self.cases {
                    let different_places = differences.len() as u64;
                    let told = differences.into_iter().take(PLACES).map(|difference| ValueChange {
                        pointer: difference.pointer,
                        before: difference.expected,
                        after: difference.found,
                    });
                    admitted.changes.push(AdmittedCase { differences: told.collect(), different_places, ..case() });
                }
            }
            Effect::Refused(refusal) => {
                admitted.refused += 1;
                add(&mut admitted.reasons, refusal.reason);
                if admitted.refusals.len() < self.cases {
                    let reason = Some(refusal.reason.as_str());
                    let (detail, pointer) = (Some(refusal.detail), refusal.pointer);
                    admitted.refusals.push(AdmittedCase { reason, detail, pointer, ..case() });
                }
            }
        }
    }

    fn waits(&mut self, entry: &Entry) {
        let (verdict, _) = quarantine::verdict(self.changed.gate(), entry);
        if !self.changed.is_about(&entry.refusal, &verdict) {
            return;
        }
        // No contract makes two events of one identity one.
        let verdict = match verdict {
            Verdict::Admit(_) if entry.refusal.reason == Reason::IdConflict => {
                Verdict::Quarantine(entry.refusal.clone())
            }
            verdict => verdict,
        };
        let waiting = &mut self.waiting;
        waiting.judged += 1;
        let case = WaitingCase {
            id: entry.id.to_string(),
            source: entry.source.to_string(),
            raw_id: entry.raw_id.clone(),
            waits_for: entry.refusal.reason.as_str(),
            subject: None,
            reason: None,
            detail: None,
            pointer: None,
        };
        match verdict {
            Verdict::Admit(draft) => {
                waiting.would_admit += 1;
                if waiting.admissions.len() < self.cases {
                    waiting.admissions.push(WaitingCase { subject: Some(draft.subject.to_string()), ..case });
                }
            }
            Verdict::Quarantine(refusal) => {
                waiting.would_refuse += 1;
                add(&mut waiting.reasons, refusal.reason);
                if waiting.refusals.len() < self.cases {
                    let reason = Some(refusal.reason.as_str());
                    let (detail, pointer) = (Some(refusal.detail), refusal.pointer);
                    waiting.refusals.push(WaitingCase { reason, detail, pointer, ..case });
                }
            }
        }
    }
}

fn add(reasons: &mut BTreeMap<&'static str, u64>, reason: Reason) {
    *reasons.entry(reason.as_str()).or_default() += 1;
}

fn lost(position: Position) -> StoreError {
    StoreError::Corrupt(format!(
        "it is kept how the event at position {position} was sent, and the log has no such event"
    ))
}
