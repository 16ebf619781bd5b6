//! What an operator asks of a running engine about single events: the quarantine and the log.
//!
//! The models' side is in [`crate::operate`]; what a decision does is in [`crate::quarantine`].
use crate::{
    Engine, EngineError,
    quarantine::{
        self, Decided, ParkDecision, Word,
        bulk::{self, Verb},
        edit, park_id, parse_park_id,
    },
    report::{
        AccountingReport, BulkReport, CountedReport, DecisionReport, DotReport, EditReport, EditedReport, EventReport,
        QuarantineReport, SawReport, SourceAccount,
    },
    slot::Slot,
};
use evenkeel_core::{
    Event, EventType, Position, SourceName,
    accounting::{Account, Books},
    event::{Causality, Delivery},
    fold::{Park, ParkState, TouchId},
    intake::{Redriven, Verdict, canonical_vclock},
    json::Patch,
    quarantine::{Decision, Edit, Entry, QuarantineId, Reason, State},
};
use evenkeel_store::{EntryFilter, ParkFilter, ParkedRow};
use std::{collections::BTreeSet, sync::Arc};

/// How many parked events are read at once.
const PARKS: usize = 500;

/// Which part of the quarantine is listed, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Which<'a> {
    /// Only what this model parked, and nothing of the gate.
    pub model: Option<&'a str>,
    /// Each entry with its event.
    pub whole: bool,
}

impl Engine {
    /// What is at the gate and what the models have parked: the gate's entries first, in order of arrival, then the
    /// models' by name, each in log order. Where `filter` names no state, entries in every state are among them.
    ///
    /// # Errors
    /// Where a store cannot be read.
    pub fn quarantine(&self, filter: &EntryFilter) -> Result<Vec<QuarantineReport>, EngineError> {
        self.quarantine_of(filter, None, Which::default())
    }

    /// As [`Engine::quarantine`], what comes after the entry `after` in that order: the next page. An `after` of the
    /// filter itself does not count.
    ///
    /// # Errors
    /// [`EngineError::NoEntry`] where `after` is no id of an entry, and where a store cannot be read.
    pub fn quarantine_after(&self, filter: &EntryFilter, after: &str) -> Result<Vec<QuarantineReport>, EngineError> {
        self.quarantine_page(filter, Some(after), Which::default())
    }

    /// A page of the quarantine, the first or that after the entry `after`.
    ///
    /// # Errors
    /// As [`Engine::quarantine_after`], and [`EngineError::NoModel`].
    pub fn quarantine_page(
        &self,
        filter: &EntryFilter,
        after: Option<&str>,
        which: Which<'_>,
    ) -> Result<Vec<QuarantineReport>, EngineError> {
        let Some(after) = after else { return self.quarantine_of(filter, None, which) };
        if let Some((model, touch)) = parse_park_id(after) {
            return self.quarantine_of(filter, Some((model, touch)), which);
        }
        let after = after.parse().map_err(|_| EngineError::NoEntry(after.to_owned()))?;
        self.quarantine_of(&EntryFilter { after: Some(after), ..filter.clone() }, None, which)
    }

    fn quarantine_of(
        &self,
        filter: &EntryFilter,
        after: Option<(&str, TouchId)>,
        Which { model, whole }: Which<'_>,
    ) -> Result<Vec<QuarantineReport>, EngineError> {
        if let Some(model) = model {
            self.inner.slot(model)?;
        }
        let limit = if filter.limit == 0 { usize::MAX } else { filter.limit };
        let mut found = Vec::new();
        if filter.reason != Some(Reason::ProjectionError) && after.is_none() && model.is_none() {
            let entries = self.inner.log.entries(filter)?;
            found.extend(entries.iter().map(|entry| entry_report(entry, 0, whole)));
        }
        let parked = matches!(filter.reason, None | Some(Reason::ProjectionError | Reason::HeldBehind));
        if parked && found.len() < limit {
            let rest = |slot: &&Arc<Slot>| {
                after.is_none_or(|(from, _)| slot.name().as_str() >= from)
                    && model.is_none_or(|model| slot.name().as_str() == model)
            };
            for slot in self.inner.slots.values().filter(rest) {
                let from = after.filter(|(model, _)| slot.name().as_str() == *model).map(|(_, touch)| touch);
                self.list_parked(slot, filter, from, (whole, limit), &mut found)?;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Adds what a model parked and `filter` names, after one of its events, until there are so many.
    fn list_parked(
        &self,
        slot: &Slot,
        filter: &EntryFilter,
        mut after: Option<TouchId>,
        (whole, limit): (bool, usize),
        found: &mut Vec<QuarantineReport>,
    ) -> Result<(), EngineError> {
        while found.len() < limit {
            let asked = ParkFilter { after, limit: PARKS, ..ParkFilter::default() };
            let page = self.inner.models.parks_of(slot.name(), &asked)?;
            let Some(last) = page.last() else { break };
            after = Some(last.touch);
            for park in &page {
                if found.len() >= limit {
                    break;
                }
                let is_held = park.state == ParkState::Held;
                let reason = if is_held { Reason::HeldBehind } else { Reason::ProjectionError };
                // Without its event where that does not matter.
                let may_be = filter.since.is_none_or(|since| park.at >= since)
                    && filter.until.is_none_or(|until| park.at < until)
                    && filter.state.is_none_or(|state| state.as_str() == park.state.as_str())
                    && filter.reason.is_none_or(|wanted| wanted == reason);
                if !may_be {
                    continue;
                }
                let report = self.park_report(slot, park, whole)?;
                let of = |name: &EventType| report.contract.as_deref() == Some(name.as_str());
                let wanted = filter.event_type.as_ref().is_none_or(of)
                    && filter.contract_version.is_none_or(|version| report.contract_version == Some(version))
                    && filter.source.as_ref().is_none_or(|source| source.as_str() == report.source);
                found.extend(wanted.then_some(report));
            }
        }
        Ok(())
    }

    /// One entry, whole.
    ///
    /// # Errors
    /// Where there is no such entry, or a store cannot be read.
    pub fn quarantine_entry(&self, id: &str) -> Result<QuarantineReport, EngineError> {
        let unknown = || EngineError::NoEntry(id.to_owned());
        if let Some((model, touch)) = parse_park_id(id) {
            let slot = self.inner.slot(model).map_err(|_| unknown())?;
            let models = self.inner.models.as_ref();
            let this = ParkFilter { touch: Some(touch), ..ParkFilter::default() };
            let park = models.parks_of(slot.name(), &this)?.pop().ok_or_else(unknown)?;
            let mut report = self.park_report(slot, &park, true)?;
            if let (Some(key), true) = (&park.key, park.state != ParkState::Discarded) {
                let behind = ParkFilter { row: Some(ParkedRow::Of(key)), after: Some(touch), ..ParkFilter::default() };
                let behind = models.parks_of(slot.name(), &behind)?;
                report.held_behind = behind.iter().filter(|park| park.state == ParkState::Held).count() as u64;
            }
            return Ok(report);
        }
        let number: QuarantineId = id.parse().map_err(|_| unknown())?;
        let entry = self.inner.log.entry(number)?.ok_or_else(unknown)?;
        let held_behind = match (&entry.refusal.parks, entry.state) {
            (Some(key), State::Quarantined) => {
                self.inner.log.line(key, usize::MAX)?.iter().filter(|other| other.id > number).count() as u64
            }
            _ => 0,
        };
        Ok(entry_report(&entry, held_behind, true))
    }

    /// Sends an entry through again as it is edited, and what waits behind it if it gets through.
    ///
    /// # Errors
    /// Where there is no such entry, its state does not allow it, it is not of the version that was named, or a store
    /// cannot be read or written.
    pub fn redrive(&self, id: &str, word: impl Into<Word>) -> Result<DecisionReport, EngineError> {
        self.decide_entry(id, word.into(), ParkDecision::Redrive)
    }

    /// Gives an entry up, and releases what waits behind it.
    ///
    /// # Errors
    /// As for [`Engine::redrive`].
    pub fn discard(&self, id: &str, word: impl Into<Word>) -> Result<DecisionReport, EngineError> {
        self.decide_entry(id, word.into(), ParkDecision::Discard)
    }

    /// Changes the event of an entry of the gate by a JSON Patch, and says what the gate thinks of it now. The entry stays
    /// where it is; the event as it arrived, its source and its id stay what they are.
    ///
    /// # Errors
    /// As for [`Engine::redrive`], and [`EngineError::Edit`] where the patch cannot be applied. Nothing was changed then.
    pub fn edit(&self, id: &str, patch: &Patch, word: impl Into<Word>) -> Result<EditedReport, EngineError> {
        let inner = &self.inner;
        let word = word.into();
        let number = self.editable(id)?;
        tracing::info!(entry = id, author = %word.decision.author, note = %word.decision.note, %patch, "quarantined event edited");
        let edited = edit::edit(inner.log.as_ref(), &inner.gate, inner.clock.as_ref(), number, patch, word)?;
        let refusal = match edited.verdict {
            Verdict::Admit(_) => None,
            Verdict::Quarantine(refusal) => Some(refusal),
        };
        let report = EditedReport {
            id: id.to_owned(),
            version: edited.version.0,
            admissible: refusal.is_none(),
            reason: refusal.as_ref().map(|refusal| refusal.reason.as_str()),
            detail: refusal.as_ref().map(|refusal| refusal.detail.clone()),
            pointer: refusal.and_then(|refusal| refusal.pointer),
        };
        Ok(report)
    }

    /// Changes the event of an entry of the gate and sends it through, all in one.
    ///
    /// # Errors
    /// As for [`Engine::edit`].
    pub fn redrive_edited(
        &self,
        id: &str,
        patch: &Patch,
        word: impl Into<Word>,
    ) -> Result<DecisionReport, EngineError> {
        let inner = &self.inner;
        let number = self.editable(id)?;
        let (log, clock) = (inner.log.as_ref(), inner.clock.as_ref());
        let decided = edit::redrive_edited(log, &inner.gate, clock, number, patch, word.into())
            .inspect_err(|_| inner.release_interrupted())?;
        inner.wake_projectors();
        self.decision_report(id, decided)
    }

    /// Decides about all entries of the gate that `filter` names and that wait for a person, in order of arrival, at most
    /// `filter.limit` of them. Without a `decision` it is a trial: what would become of each is said, and nothing done.
    ///
    /// # Errors
    /// Where the log cannot be read or written. What was decided until then stays decided.
    pub fn decide_all(
        &self,
        filter: &EntryFilter,
        verb: Verb,
        decision: Option<&Decision>,
    ) -> Result<BulkReport, EngineError> {
        let inner = &self.inner;
        let (log, clock) = (inner.log.as_ref(), inner.clock.as_ref());
        let done = bulk::decide_all(log, &inner.gate, clock, filter, verb, decision);
        if decision.is_some() {
            inner.wake_projectors();
        }
        let done = done.inspect_err(|_| inner.release_interrupted())?;
        let next = done.last().filter(|_| done.len() == filter.limit).map(|last| last.id.to_string());
        Ok(BulkReport { dry_run: decision.is_none(), entries: done.into_iter().map(Into::into).collect(), next })
    }

    /// The number of an entry whose event may be changed.
    fn editable(&self, id: &str) -> Result<QuarantineId, EngineError> {
        if parse_park_id(id).is_some() {
            self.quarantine_entry(id)?;
            let why =
                "an event that a model parked is in the log, where nothing is changed; correct it by a later event";
            return Err(EngineError::Edit(why.into()));
        }
        id.parse().map_err(|_| EngineError::NoEntry(id.to_owned()))
    }

    /// Lets a halted source go on; how many events were released.
    ///
    /// # Errors
    /// Where the source is not halted, or the log cannot be read or written.
    pub fn resume_source(&self, source: &str, decision: &Decision) -> Result<u64, EngineError> {
        let inner = &self.inner;
        let released = quarantine::resume(inner.log.as_ref(), &inner.gate, inner.clock.as_ref(), source, decision)
            .inspect_err(|_| inner.release_interrupted())?;
        inner.wake_projectors();
        released.ok_or_else(|| EngineError::NotHalted(source.to_owned()))
    }

    /// What became of everything that was taken, by source, of one moment. With `recount` the log and the quarantine are
    /// read and counted beside, which takes as long as reading all of them.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub fn accounting(&self, recount: bool) -> Result<AccountingReport, EngineError> {
        let mut total = Account::NOTHING;
        let account = |(source, books): (SourceName, Books)| {
            total += books.account;
            let counted = books.counted.map(|counted| {
                let Account { admitted, waiting, quarantined, held, discarded, .. } = counted;
                CountedReport { admitted, waiting, quarantined, held, discarded }
            });
            SourceAccount {
                declared: self.inner.gate.source(source.as_str()).map(|source| source.name.clone()),
                source: source.to_string(),
                account: books.account.into(),
                balanced: books.are_right(),
                counted,
            }
        };
        let sources: Vec<_> = self.inner.log.accounting(recount)?.into_iter().map(account).collect();
        let balanced = sources.iter().all(|source| source.balanced);
        Ok(AccountingReport { sources, total: total.into(), balanced })
    }

    /// Events of the log after a position, in order.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub fn log(
        &self,
        after: Position,
        limit: usize,
        event_type: Option<&str>,
    ) -> Result<Vec<EventReport>, EngineError> {
        let types: Option<BTreeSet<EventType>> = event_type.map(|name| BTreeSet::from([name.into()]));
        let slice = self.inner.log.read(after, types.as_ref(), limit.clamp(1, 10_000))?;
        Ok(slice.events.into_iter().map(event_report).collect())
    }

    fn decide_entry(&self, id: &str, word: Word, what: ParkDecision) -> Result<DecisionReport, EngineError> {
        let inner = &self.inner;
        let unknown = || EngineError::NoEntry(id.to_owned());
        let decided = if let Some((model, touch)) = parse_park_id(id) {
            let slot = inner.slot(model).map_err(|_| unknown())?;
            let Word { decision, version } = word;
            if version.is_some() {
                return Err(EngineError::Method("an event that a model parked has no version to be matched".into()));
            }
            let mut turn = slot.turn();
            let (log, models) = (inner.log.as_ref(), inner.models.as_ref());
            tracing::info!(entry = id, author = %decision.author, note = %decision.note, ?what, "parked event decided");
            let (fold, clock) = (slot.fold.as_ref(), inner.clock.as_ref());
            let decided = quarantine::decide_park(log, models, fold, clock, touch, what, decision);
            // Also where it failed: the answer may have been lost, and not what was written.
            turn.changed();
            decided?
        } else {
            let number: QuarantineId = id.parse().map_err(|_| unknown())?;
            let (log, gate, clock) = (inner.log.as_ref(), &inner.gate, inner.clock.as_ref());
            let decided = match what {
                ParkDecision::Redrive => quarantine::redrive(log, gate, clock, number, word),
                ParkDecision::Discard => quarantine::discard(log, gate, clock, number, word),
            };
            decided.inspect_err(|_| inner.release_interrupted())?
        };
        inner.wake_projectors();
        self.decision_report(id, decided)
    }

    fn decision_report(&self, id: &str, decided: Decided) -> Result<DecisionReport, EngineError> {
        let number: Option<QuarantineId> = id.parse().ok();
        let entry = number.map(|number| self.inner.log.entry(number)).transpose()?.flatten();
        let report = |state: State, position: Option<Position>| DecisionReport {
            id: id.to_owned(),
            version: entry.as_ref().map(|entry| entry.version.0),
            state: state.as_str(),
            reason: None,
            detail: None,
            position: position.map(|position| position.0),
            released: decided.released,
        };
        match decided.redriven {
            Redriven::Admitted(position) => Ok(report(State::Admitted, Some(position))),
            Redriven::Discarded => Ok(report(State::Discarded, None)),
            Redriven::Refused(_) => {
                let entry = self.quarantine_entry(id)?;
                let state: State = entry.state.parse().unwrap_or(State::Quarantined);
                Ok(DecisionReport { reason: Some(entry.reason), detail: Some(entry.detail), ..report(state, None) })
            }
            Redriven::NotPossible(_) | Redriven::Changed(_) | Redriven::Unknown => {
                Err(edit::refusal(id, &decided.redriven))
            }
        }
    }

    fn park_report(&self, slot: &Slot, park: &Park, whole: bool) -> Result<QuarantineReport, EngineError> {
        let event = self.inner.log.find(park.event_id)?;
        let reason = if park.state == ParkState::Held { Reason::HeldBehind } else { Reason::ProjectionError };
        let of = |field: fn(&Event) -> String| event.as_ref().map(field);
        Ok(QuarantineReport {
            id: park_id(slot.name(), park.touch),
            reason: reason.as_str(),
            detail: park.error.clone(),
            pointer: None,
            state: park.state.as_str(),
            source: of(|event| event.source.to_string()).unwrap_or_default(),
            raw_id: of(|event| event.raw_id.clone()).unwrap_or_default(),
            event_id: park.event_id.to_string(),
            contract: of(|event| event.draft.event_type.to_string()),
            contract_version: event.as_ref().map(|event| event.draft.contract_version),
            subject: of(|event| event.draft.subject.to_string()),
            model: Some(slot.name().to_string()),
            key: park.key.as_ref().map(ToString::to_string),
            position: Some(park.touch.position.0),
            received_at: park.at.to_string(),
            changed_at: park.at.to_string(),
            version: None,
            held_behind: 0,
            author: park.decision.as_ref().map(|decision| decision.author.clone()),
            note: park.decision.as_ref().map(|decision| decision.note.clone()),
            edits: Vec::new(),
            raw: of(|event| event.draft.data.to_string()).filter(|_| whole),
            edited: None,
        })
    }
}

fn entry_report(entry: &Entry, held_behind: u64, whole: bool) -> QuarantineReport {
    let refusal = &entry.refusal;
    QuarantineReport {
        id: entry.id.to_string(),
        reason: refusal.reason.as_str(),
        detail: refusal.detail.clone(),
        pointer: refusal.pointer.clone(),
        state: entry.state.as_str(),
        source: entry.source.to_string(),
        raw_id: entry.raw_id.clone(),
        event_id: entry.event_id.to_string(),
        contract: refusal.contract.as_ref().map(|contract| contract.name.to_string()),
        contract_version: refusal.contract.as_ref().map(|contract| contract.version),
        subject: refusal.subject.as_ref().map(ToString::to_string),
        model: None,
        key: None,
        position: entry.position.map(|position| position.0),
        received_at: entry.received_at.to_string(),
        changed_at: entry.changed_at.to_string(),
        version: Some(entry.version.0),
        held_behind,
        author: entry.decision.as_ref().map(|decision| decision.author.clone()),
        note: entry.decision.as_ref().map(|decision| decision.note.clone()),
        edits: entry.edits.iter().map(edit_report).collect(),
        raw: whole.then(|| String::from_utf8_lossy(&entry.raw).into_owned()),
        edited: (whole && !entry.edits.is_empty()).then(|| match entry.edited() {
            Ok(edited) => String::from_utf8_lossy(&edited).into_owned(),
            Err(error) => error.to_string(),
        }),
    }
}

pub(crate) fn edit_report(edit: &Edit) -> EditReport {
    let Decision { author, note } = edit.decision.clone();
    EditReport { patch: edit.patch.clone(), author, note, at: edit.at.to_string() }
}

fn event_report(event: Event) -> EventReport {
    let Causality { hlc, seq, delivery, saw } = event.causality;
    let of_source = delivery != Delivery::Log;
    EventReport {
        dot: DotReport {
            source: of_source.then(|| event.source.to_string()),
            replica: (!of_source).then(|| event.replica.to_string()),
            seq,
        },
        hlc: hlc.to_string(),
        vclock: of_source.then(|| canonical_vclock(&event.draft.extensions)).flatten(),
        delivery: delivery.as_str(),
        saw: saw.map(|saw| SawReport { position: saw.upto.0, request: saw.request.to_string() }),
        position: event.position.0,
        event_id: event.id.to_string(),
        r#type: event.draft.event_type.to_string(),
        contract_version: event.draft.contract_version,
        source: event.source.to_string(),
        id: event.raw_id,
        subject: event.draft.subject.to_string(),
        stream_version: event.stream_version.0,
        time: event.draft.time.map(|at| at.to_string()),
        recorded_time: event.recorded_at.to_string(),
        digest: event.digest.to_string(),
        extensions: event.draft.extensions,
        data: event.draft.data,
    }
}
