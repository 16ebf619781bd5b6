//! The gate: applies contracts to what sources send. Pure, without a clock; the same bytes always get the same verdict
//! from the same gate.
//!
//! Identity and parking are decided after this, with the log's facts ([`evenkeel_core::intake`]). Rates are the
//! server's.
use crate::{
    contract::{Contract, Invariant, Shape, Unmapped, UpstreamTypes, ValueSource},
    envelope::{self, Malformed, RawEvent, Refused, Unreadable},
    mapping::{self, Misfit, Reads},
    place,
    source::Source,
};
use evenkeel_core::{
    Draft, EventId, EventType, StreamVersion, Subject,
    intake::{Arrival, Sent, Verdict},
    json::Pointer,
    quarantine::{OnQuarantine, ParkKey, Reason, Refusal},
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
}

/// A contract with what is derived from it once.
#[derive(Debug, Clone)]
struct Ready {
    contract: Contract,
    reads: Reads,
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
            gate.contracts.push(Ready { reads: Reads::of(&contract), contract });
        }
        gate
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

    /// What the events look like that leave this gate, by type and version.
    pub fn produced(&self) -> BTreeMap<(EventType, u32), Shape> {
        self.contracts().map(|contract| ((contract.name.clone(), contract.version), contract.shape())).collect()
    }

    /// Decides about one event in the structured JSON form of CloudEvents, in this order: envelope, source, contract,
    /// schema, mapping, invariants. The first that fails is the reason.
    ///
    /// Only a refusal by a contract keeps anything waiting behind it: who sends from an undeclared source, or something
    /// that no contract takes or that is malformed, cannot hold up others.
    ///
    /// # Errors
    /// [`Unreadable`] where no (source, id) can be read. Nothing is taken then, and the sender must be told.
    pub fn decide(&self, raw: Vec<u8>, expected_version: Option<StreamVersion>) -> Result<Decided, Unreadable> {
        let (sent, verdict, dropped) = match envelope::read(&raw) {
            Ok(event) => {
                let sent = Sent {
                    id: EventId::of(event.source.as_str(), &event.id),
                    digest: event.digest,
                    source: event.source.clone(),
                    raw_id: event.id.clone(),
                    raw,
                };
                let (verdict, dropped) = self.judge(event);
                (sent, verdict, dropped)
            }
            Err(Refused::Malformed(Malformed { source, id: raw_id, detail, pointer, digest })) => {
                let id = EventId::of(source.as_str(), &raw_id);
                let refusal = refusal(Reason::Malformed, Misfit { detail, pointer });
                (Sent { id, digest, source, raw_id, raw }, Verdict::Quarantine(refusal), Vec::new())
            }
            Err(Refused::Unreadable(unreadable)) => return Err(unreadable),
        };
        Ok(Decided { arrival: Arrival { sent, verdict, expected_version }, dropped })
    }

    /// The verdict, and what an admitting contract dropped.
    fn judge(&self, event: RawEvent) -> (Verdict, Vec<String>) {
        let quarantine = |refusal| (Verdict::Quarantine(refusal), Vec::new());
        let source = event.source.as_str();
        if self.source(source).is_none() {
            let detail = format!("no declared source matches {source:?}");
            return quarantine(refusal(Reason::UntrustedSource, Misfit { detail, pointer: Some("/source".into()) }));
        }
        let Some(ready) = self.contract_for(source, &event.event_type) else {
            let detail = format!("no contract takes {:?} from {source:?}", event.event_type);
            return quarantine(refusal(Reason::NoContract, Misfit { detail, pointer: Some("/type".into()) }));
        };
        let subject = mapping::subject(&ready.contract, &event);
        let known = subject.as_ref().ok().cloned();
        let parks = ready.contract.parks(&event, known.as_ref());
        match ready.translate(event, subject) {
            Ok((draft, dropped)) => (Verdict::Admit(draft), dropped),
            Err((reason, misfit)) => quarantine(Refusal {
                contract: Some(ready.contract.reference()),
                subject: known,
                parks,
                ..refusal(reason, misfit)
            }),
        }
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
    fn raw_place(&self, pointer: &Pointer) -> Option<String> {
        match pointer.tokens() {
            [data, name, rest @ ..] if data == "data" => {
                let field = self.fields.iter().find(|field| field.to == *name)?;
                let mut place = mapping::pointer(&field.from)?;
                // Only what is taken over as it is has the same parts in the raw data.
                if matches!(field.from, ValueSource::Data(_)) && field.ty.keeps_parts() {
                    rest.iter().for_each(|token| place.extend(["/", place::escape(token).as_str()]));
                }
                Some(place)
            }
            [name] if name == "subject" => mapping::pointer(&self.subject),
            [name] if name != "data" => Some(format!("/{}", place::escape(name))),
            _ => None,
        }
    }
}

impl Ready {
    fn translate(
        &self,
        event: RawEvent,
        subject: Result<Subject, Misfit>,
    ) -> Result<(Draft, Vec<String>), (Reason, Misfit)> {
        let contract = &self.contract;
        if let Some(schema) = &contract.schema {
            schema.check(&event.data).map_err(|misfit| {
                let pointer = Some(place::in_data(misfit.pointer));
                (Reason::Schema, Misfit { detail: misfit.message, pointer })
            })?;
        }
        let mapping = |misfit| (Reason::Mapping, misfit);
        let subject = subject.map_err(mapping)?;
        let data = mapping::data(contract, &event).map_err(mapping)?;
        let dropped = self.reads.unread(&event.data);
        if let (Unmapped::Refuse, Some(first)) = (contract.unmapped, dropped.first()) {
            let detail = "the contract maps nothing from here, and refuses what is unmapped".into();
            return Err(mapping(Misfit { detail, pointer: Some(first.clone()) }));
        }
        let RawEvent { id, source, time, extensions, .. } = event;
        let draft = Draft {
            event_type: contract.name.clone(),
            contract_version: contract.version,
            subject,
            time,
            extensions,
            data: data.into(),
        };
        let holds = |invariant: &&Invariant| invariant.condition.holds(|pointer| draft.at(&source, &id, pointer));
        if let Some(broken) = contract.invariants.iter().find(|invariant| !holds(invariant)) {
            let pointer = broken.condition.pointers().next().and_then(|pointer| contract.raw_place(pointer));
            return Err((Reason::Invariant, Misfit { detail: broken.refusal(), pointer }));
        }
        Ok((draft, dropped))
    }
}

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
mod tests;
