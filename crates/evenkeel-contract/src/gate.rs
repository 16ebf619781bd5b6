//! The gate: applies contracts to what sources send. Pure, without a clock; the same bytes always get the same verdict
//! from the same gate.
//!
//! Identity and parking are decided after this, with the log's facts ([`evenkeel_core::intake`]). Rates are the
//! server's.
use crate::{
    contract::{Contract, Rule, Shape, Unmapped, Upcast, UpstreamTypes},
    envelope::{self, Malformed, RawEvent, Refused, Unreadable},
    lineage::Traced,
    mapping::{self, Misfit, Reads},
    place,
    source::Source,
};
use evenkeel_core::{
    Draft, EventId, EventType, StreamVersion, Subject, Timestamp,
    intake::{Arrival, Ask, BadClocks, CausalLimits, Clocks, Facts, Scene, Sent, Verdict},
    json::{Pointer, Value},
    quarantine::{ContractRef, OnQuarantine, ParkKey, Reason, Refusal},
};
use std::collections::{BTreeMap, HashMap};

/// Declared sources and compiled contracts, ready to decide.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    sources: Vec<Source>,
    contracts: Vec<Ready>,
    /// Contracts that list an upstream type, in declared order.
    by_type: HashMap<String, Vec<usize>>,
    /// Contracts that take every type, in declared order.
    any_type: Vec<usize>,
    causal: CausalLimits,
    forgets_raw: bool,
}

/// A contract with what is derived from it once.
#[derive(Debug, Clone)]
struct Ready {
    contract: Contract,
    reads: Reads,
    /// The contracts of the same name, the highest version first.
    versions: Vec<usize>,
    /// The contract of the same name that makes this version's events into a later one.
    next: Option<usize>,
}

/// The contracts an event went through, and what each but the last made of it.
#[derive(Default)]
struct Trail<'g> {
    contracts: Vec<&'g Contract>,
    older: Vec<Value>,
}

/// What the gate decided about an event.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The event with its verdict, for the intake.
    pub arrival: Arrival,
    /// Pointers into the raw event to the parts of its data that an admitting contract reads nothing of, sorted. They
    /// are not in the translated event.
    pub dropped: Vec<String>,
}

impl Gate {
    /// A gate for these sources and contracts. Where two contracts take one event, one that lists its type goes before
    /// one that takes every type, and then the earlier one.
    pub fn new(sources: Vec<Source>, contracts: Vec<Contract>) -> Self {
        let mut gate = Self { sources, ..Self::default() };
        for (index, contract) in contracts.into_iter().enumerate() {
            match &contract.types {
                UpstreamTypes::Any => gate.any_type.push(index),
                UpstreamTypes::Listed(types) => {
                    for upstream_type in types {
                        gate.by_type.entry(upstream_type.clone()).or_default().push(index);
                    }
                }
            }
            gate.contracts.push(Ready { reads: Reads::of(&contract), contract, versions: Vec::new(), next: None });
        }
        gate.relate();
        gate
    }

    /// Finds the versions of each contract, and what makes one into the next.
    fn relate(&mut self) {
        let mut names: BTreeMap<EventType, Vec<usize>> = BTreeMap::new();
        for (index, ready) in self.contracts.iter().enumerate() {
            names.entry(ready.contract.name.clone()).or_default().push(index);
        }
        for indices in names.values_mut() {
            indices.sort_by_key(|&index| std::cmp::Reverse(self.contracts[index].contract.version));
        }
        for index in 0..self.contracts.len() {
            let own = &self.contracts[index].contract;
            let versions = names.get(&own.name).cloned().unwrap_or_default();
            // Versions only grow on the way, so that it ends.
            let next = versions.iter().copied().find(|&other| {
                let other = &self.contracts[other].contract;
                other.version > own.version && other.upcast.as_ref().is_some_and(|upcast| upcast.from == own.version)
            });
            self.contracts[index].versions = versions;
            self.contracts[index].next = next;
        }
    }

    /// The same gate with these limits on clocks and on what waits, for the intake behind it.
    #[must_use]
    pub fn with_causal(self, causal: CausalLimits) -> Self {
        Self { causal, ..self }
    }

    /// The same gate for an intake that keeps events as they were sent, or does not.
    #[must_use]
    pub fn with_raw_kept(self, kept: bool) -> Self {
        Self { forgets_raw: !kept, ..self }
    }

    /// What a decision of the intake behind this gate is made in, at this time.
    pub fn scene<'a>(&self, now: Timestamp, more: &'a mut dyn FnMut(&Ask) -> Facts) -> Scene<'a> {
        Scene { now, limits: self.causal, keep_raw: !self.forgets_raw, more: Some(more) }
    }

    /// The limits on clocks and on what waits.
    pub fn causal(&self) -> CausalLimits {
        self.causal
    }

    /// The declared sources.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The declared source that sends as `source`, if one does.
    pub fn source(&self, source: &str) -> Option<&Source> {
        self.sources.iter().find(|declared| declared.pattern.matches(source))
    }

    /// The contracts, in declared order.
    pub fn contracts(&self) -> impl ExactSizeIterator<Item = &Contract> {
        self.contracts.iter().map(|ready| &ready.contract)
    }

    /// This gate as if there were no later version of this contract.
    #[must_use]
    pub fn up_to(&self, contract: &ContractRef) -> Self {
        let is_later = |other: &&Contract| other.name == contract.name && other.version > contract.version;
        Self::new(self.sources.clone(), self.contracts().filter(|other| !is_later(other)).cloned().collect())
    }

    /// What the events look like that leave this gate, by type and version.
    pub fn produced(&self) -> BTreeMap<(EventType, u32), Shape> {
        self.contracts().map(|contract| ((contract.name.clone(), contract.version), contract.shape())).collect()
    }

    /// Decides about one event in the structured JSON form of CloudEvents, in this order: envelope, source, clocks,
    /// contract, schema, mapping, invariants. The first that fails is the reason. Of several versions of a contract that take the
    /// event, the highest whose schema accepts it decides; what an earlier one has translated is then made into the
    /// later ones that say how.
    ///
    /// Only a refusal by a contract keeps anything waiting behind it: who sends from an undeclared source, or something
    /// that no contract takes or that is malformed, cannot hold up others.
    ///
    /// # Errors
    /// [`Unreadable`] where no (source, id) can be read. Nothing is taken then, and the sender must be told.
    pub fn decide(&self, raw: Vec<u8>, expected_version: Option<StreamVersion>) -> Result<Decided, Unreadable> {
        let (sent, verdict, dropped, clocks) = match envelope::read(&raw) {
            Ok(event) => {
                let (verdict, dropped) = self.judge(&event, None);
                // Of who is not declared nothing is believed, and of clocks that cannot be used neither.
                let clocks = self.source(event.source.as_str()).and_then(|_| self.clocks(&event).ok());
                let RawEvent { id: raw_id, source, digest, .. } = event;
                let id = EventId::of(source.as_str(), &raw_id);
                (Sent { id, digest, source, raw_id, raw }, verdict, dropped, clocks.unwrap_or_default())
            }
            Err(Refused::Malformed(Malformed { source, id: raw_id, detail, pointer, digest })) => {
                let id = EventId::of(source.as_str(), &raw_id);
                let malformed = refusal(Reason::Malformed, Misfit { detail, pointer });
                // Who may send at all is asked first: what is undeclared has a quota, and this must not be a way round it.
                let refusal = self.distrust(source.as_str()).unwrap_or(malformed);
                let sent = Sent { id, digest, source, raw_id, raw };
                (sent, Verdict::Quarantine(refusal), Vec::new(), Clocks::default())
            }
            Err(Refused::Unreadable(unreadable)) => return Err(unreadable),
        };
        Ok(Decided { arrival: Arrival { sent, verdict, expected_version, clocks }, dropped })
    }

    /// The clocks an event was sent with.
    fn clocks(&self, event: &RawEvent) -> Result<Clocks, BadClocks> {
        let first_of = |name: &str| self.source(name).map(|source| source.first_seq.unwrap_or(1).max(1));
        Clocks::read(event.source.as_str(), &event.extensions, &first_of)
    }

    /// What is said to a source that is not declared.
    fn distrust(&self, source: &str) -> Option<Refusal> {
        if self.source(source).is_some() {
            return None;
        }
        let detail = format!("no declared source matches {source:?}");
        Some(refusal(Reason::UntrustedSource, Misfit { detail, pointer: Some("/source".into()) }))
    }

    /// What an event goes through on its way to being admitted.
    pub(crate) fn trace(&self, raw: &[u8]) -> Result<Traced<'_>, Option<Box<Refusal>>> {
        let event = envelope::read(raw).map_err(|refused| match refused {
            Refused::Malformed(Malformed { detail, pointer, .. }) => {
                Some(Box::new(refusal(Reason::Malformed, Misfit { detail, pointer })))
            }
            Refused::Unreadable(_) => None,
        })?;
        let mut trail = Trail::default();
        match self.judge(&event, Some(&mut trail)) {
            (Verdict::Admit(_), dropped) => {
                Ok(Traced { event, contracts: trail.contracts, older: trail.older, dropped })
            }
            (Verdict::Quarantine(refusal), _) => Err(Some(Box::new(refusal))),
        }
    }

    /// The verdict, and what an admitting contract dropped. The `trail` is noted where somebody wants it.
    fn judge<'g>(&'g self, event: &RawEvent, trail: Option<&mut Trail<'g>>) -> (Verdict, Vec<String>) {
        let quarantine = |refusal| (Verdict::Quarantine(refusal), Vec::new());
        let source = event.source.as_str();
        if let Some(refusal) = self.distrust(source) {
            return quarantine(refusal);
        }
        if let Err(BadClocks { reason, attribute, detail }) = self.clocks(event) {
            return quarantine(refusal(reason, Misfit { detail, pointer: Some(format!("/{attribute}")) }));
        }
        let Some(ready) = self.contract_for(source, &event.event_type) else {
            let detail = format!("no contract takes {:?} from {source:?}", event.event_type);
            return quarantine(refusal(Reason::NoContract, Misfit { detail, pointer: Some("/type".into()) }));
        };
        let (ready, fits) = self.deciding(ready, event);
        let subject = mapping::subject(&ready.contract, event);
        let known = subject.as_ref().ok().cloned();
        let parks = ready.contract.parks(event, known.as_ref());
        let translated = fits.map_err(|failed| (&ready.contract, failed)).and_then(|()| {
            let translated = ready.translate(event, subject).map_err(|failed| (&ready.contract, failed));
            translated.and_then(|(draft, dropped)| Ok((self.newest(ready, event, draft, trail)?, dropped)))
        });
        match translated {
            Ok((draft, dropped)) => (Verdict::Admit(draft), dropped),
            Err((contract, (reason, misfit))) => quarantine(Refusal {
                contract: Some(contract.reference()),
                subject: known,
                parks,
                ..refusal(reason, misfit)
            }),
        }
    }

    /// Of the versions of a contract that take an event, the highest whose schema accepts it; where none does, the
    /// highest, with what is wrong.
    fn deciding<'g>(&'g self, first: &'g Ready, event: &RawEvent) -> (&'g Ready, Result<(), Failed>) {
        let mut found: Option<(&Ready, Result<(), Failed>)> = None;
        for &index in &first.versions {
            let Some(ready) = self.contracts.get(index) else { continue };
            if !ready.contract.takes(event.source.as_str(), &event.event_type) {
                continue;
            }
            match (ready.fits(event), &found) {
                (Ok(()), _) => return (ready, Ok(())),
                (Err(failed), None) => found = Some((ready, Err(failed))),
                (Err(_), Some(_)) => {}
            }
        }
        found.unwrap_or_else(|| (first, first.fits(event)))
    }

    /// The draft in the newest version it can be made into.
    fn newest<'g>(
        &'g self,
        ready: &'g Ready,
        event: &RawEvent,
        mut draft: Draft,
        mut trail: Option<&mut Trail<'g>>,
    ) -> Result<Draft, (&'g Contract, Failed)> {
        let mut upcasts: Vec<&Upcast> = Vec::new();
        if let Some(trail) = &mut trail {
            trail.contracts.push(&ready.contract);
        }
        let mut at = ready;
        while let Some(next) = at.next.and_then(|index| self.contracts.get(index))
            && let Some(upcast) = &next.contract.upcast
        {
            let raw_place = |pointer: &Pointer| {
                let older = upcasts.iter().rev().try_fold(pointer.clone(), |at, upcast| upcast.older_place(&at))?;
                ready.contract.raw_place(&older)
            };
            if let Some(trail) = &mut trail {
                trail.contracts.push(&next.contract);
                trail.older.push(draft.data.clone());
            }
            draft = next.upcast(upcast, event, draft, &raw_place).map_err(|failed| (&next.contract, failed))?;
            upcasts.push(upcast);
            at = next;
        }
        Ok(draft)
    }

    fn contract_for(&self, source: &str, upstream_type: &str) -> Option<&Ready> {
        let listed = self.by_type.get(upstream_type).into_iter().flatten();
        listed
            .chain(&self.any_type)
            .filter_map(|&index| self.contracts.get(index))
            .find(|ready| ready.contract.from_source.matches(source))
    }
}

impl Contract {
    /// What waits behind an event of this contract that is refused. With no readable subject there is no key to park.
    fn parks(&self, event: &RawEvent, subject: Option<&Subject>) -> Option<ParkKey> {
        match self.on_quarantine {
            OnQuarantine::ParkKey => subject.map(|subject| ParkKey::Subject(self.name.clone(), subject.clone())),
            OnQuarantine::HaltSource => Some(ParkKey::Source(event.source.clone())),
            OnQuarantine::Skip => None,
        }
    }

    /// The place in the raw event that a pointer into the translated event speaks of.
    pub(crate) fn raw_place(&self, pointer: &Pointer) -> Option<String> {
        match pointer.tokens() {
            [data, rest @ ..] if data == "data" => mapping::raw_place(&self.fields, rest),
            [name] if name == "subject" => mapping::attribute_place(&self.subject),
            [name] => Some(format!("/{}", place::escape(name))),
            _ => None,
        }
    }
}

impl Ready {
    /// Whether the schema takes the raw data.
    fn fits(&self, event: &RawEvent) -> Result<(), Failed> {
        let Some(schema) = &self.contract.schema else { return Ok(()) };
        schema.check(&event.data).map_err(|misfit| {
            let pointer = Some(place::in_data(misfit.pointer));
            (Reason::Schema, Misfit { detail: misfit.message, pointer })
        })
    }

    /// The draft of an event whose schema fits, and what is left out.
    fn translate(&self, event: &RawEvent, subject: Result<Subject, Misfit>) -> Result<(Draft, Vec<String>), Failed> {
        let contract = &self.contract;
        let mapping = |misfit| (Reason::Mapping, misfit);
        let subject = subject.map_err(mapping)?;
        let data = mapping::data(contract, event).map_err(mapping)?;
        let dropped = self.reads.unread(&event.data);
        if let (Unmapped::Refuse, Some(first)) = (contract.unmapped, dropped.first()) {
            let detail = "the contract maps nothing from here, and refuses what is unmapped".into();
            return Err(mapping(Misfit { detail, pointer: Some(first.clone()) }));
        }
        let draft = Draft {
            event_type: contract.name.clone(),
            contract_version: contract.version,
            subject,
            time: event.time,
            extensions: event.extensions.clone(),
            data: data.into(),
        };
        contract.judge(event, &draft, |pointer| contract.raw_place(pointer))?;
        Ok((draft, dropped))
    }

    /// What an event that an earlier version has translated is in this one. `raw_place` says where the earlier event's
    /// parts come from.
    fn upcast(
        &self,
        upcast: &Upcast,
        event: &RawEvent,
        older: Draft,
        raw_place: &dyn Fn(&Pointer) -> Option<String>,
    ) -> Result<Draft, Failed> {
        // Errors speak of the older event's data; who reads them has only the raw event.
        let in_older = |place: &str| place.parse().ok().and_then(|pointer| raw_place(&pointer));
        let data = mapping::upcast(upcast, event, &older.data).map_err(|misfit| {
            let pointer = misfit.pointer.as_deref().and_then(in_older);
            (Reason::Mapping, Misfit { pointer, ..misfit })
        })?;
        let draft = Draft { contract_version: self.contract.version, data: data.into(), ..older };
        self.contract
            .judge(event, &draft, |pointer| upcast.older_place(pointer).and_then(|older| raw_place(&older)))?;
        Ok(draft)
    }
}

impl Upcast {
    /// The place in the older event that a pointer into the newer one speaks of.
    pub(crate) fn older_place(&self, pointer: &Pointer) -> Option<Pointer> {
        match pointer.tokens() {
            [data, name, ..] if data == "data" && self.keep.contains(name) => Some(pointer.clone()),
            [data, rest @ ..] if data == "data" => mapping::raw_place(&self.fields, rest)?.parse().ok(),
            _ => Some(pointer.clone()),
        }
    }
}

impl Contract {
    /// Whether every invariant holds; the first that does not is the reason.
    fn judge(
        &self,
        event: &RawEvent,
        draft: &Draft,
        raw_place: impl Fn(&Pointer) -> Option<String>,
    ) -> Result<(), Failed> {
        for invariant in &self.invariants {
            let (why, pointer) = match &invariant.rule {
                Rule::Native(condition) => {
                    if condition.holds(|pointer| draft.at(&event.source, &event.id, pointer)) {
                        continue;
                    }
                    (None, condition.pointers().next().cloned())
                }
                Rule::Cel(expression) => {
                    let why = match expression.holds(draft, &event.source, &event.id) {
                        Ok(true) => continue,
                        Ok(false) => None,
                        Err(why) => Some(why),
                    };
                    (why, expression.uses().first().map(|named| named.pointer.clone()))
                }
            };
            let detail = why.map_or_else(|| invariant.refusal(), |why| format!("{}: {why}", invariant.refusal()));
            let pointer = pointer.as_ref().and_then(raw_place);
            return Err((Reason::Invariant, Misfit { detail, pointer }));
        }
        Ok(())
    }
}

/// A reason with what is to blame.
type Failed = (Reason, Misfit);

/// A refusal that no contract took part in, and that parks nothing.
fn refusal(reason: Reason, misfit: Misfit) -> Refusal {
    Refusal {
        reason,
        detail: clipped(misfit.detail),
        pointer: misfit.pointer,
        contract: None,
        subject: None,
        parks: None,
    }
}

/// A reason is for reading: what it quotes of the event may be of any length, and the entry holds the event whole.
fn clipped(mut detail: String) -> String {
    const MAX_BYTES: usize = 400;
    if detail.len() > MAX_BYTES {
        let end = (0..=MAX_BYTES).rev().find(|&i| detail.is_char_boundary(i)).unwrap_or_default();
        detail.truncate(end);
        detail.push('…');
    }
    detail
}

#[cfg(test)]
mod exactness;
#[cfg(test)]
mod tests;
