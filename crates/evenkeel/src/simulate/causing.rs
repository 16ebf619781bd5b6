//! What sources say that their events knew, and the judge of the order in which the log has them.
//!
//! Kept from what was sent and from what the stores hold after each step: what an event's attribute says is read here anew, and
//! who may be passed over is reckoned from the entries and the declarations, never from what the intake says of itself.
use super::{
    Checked, broken,
    ledger::{Content, Ledger},
    sound,
};
use evenkeel_core::{
    Event, Position, SourceName,
    clock::Hlc,
    event::Delivery,
    intake::{Passed, SourceDot, Waiting},
    json::{self, Value},
    quarantine::{Entry, EntryVersion, ParkKey, QuarantineId, Reason, State},
};
use evenkeel_store::{EntryFilter, Log};
use std::collections::{BTreeMap, BTreeSet};

/// What an event says that it knew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) dot: SourceDot,
    knows: Vec<SourceDot>,
}

impl Claim {
    /// What the attribute of an event as it was sent says; `None` where it has none, or one that cannot be read.
    pub(super) fn read(raw: &[u8]) -> Option<Self> {
        let Ok(Value::Object(sent)) = json::parse(raw) else { return None };
        let source = sent.get("source")?.as_str()?;
        let mut knows = Self::dots(sent.get("vclock")?.as_str()?)?;
        let own = knows.iter().position(|dot| dot.source.as_str() == source)?;
        Some(Self { dot: knows.remove(own), knows })
    }

    /// What the text of the attribute names; `None` where it cannot be read.
    pub(super) fn dots(text: &str) -> Option<Vec<SourceDot>> {
        let dot = |pair: &str| {
            let (source, seq) = pair.split_once('=')?;
            Some(SourceDot::new(source, seq.parse::<u64>().ok()?))
        };
        text.split(',').map(dot).collect()
    }

    /// How far which source must have got before it.
    fn needs(&self) -> impl Iterator<Item = SourceDot> + '_ {
        let before = SourceDot::new(self.dot.source.clone(), self.dot.seq - 1);
        std::iter::once(before).chain(self.knows.iter().cloned())
    }
}

/// The milliseconds of the stamp of an event as it was sent.
pub(super) fn stamp_ms(raw: &[u8]) -> Option<u64> {
    let Ok(Value::Object(sent)) = json::parse(raw) else { return None };
    sent.get("hlc")?.as_str()?.split_once('.')?.0.parse().ok()
}

/// The order of the log as it was found.
#[derive(Default)]
pub(super) struct Order {
    /// What is in the log that its source counts.
    delivered: BTreeMap<SourceDot, (Position, Hlc)>,
    /// The greatest stamp in the log.
    greatest: Hlc,
    /// Why each entry was made, and whether it was first seen as it was made.
    made_for: BTreeMap<QuarantineId, (Reason, bool)>,
    /// How far sources were after the last step.
    passed: BTreeMap<SourceName, Passed>,
    /// Entries that stood in a line after the last step.
    lines: BTreeMap<QuarantineId, ParkKey>,
    /// What waits.
    pub(super) waiting: BTreeMap<Content, Waiting>,
    /// What has ever waited.
    pub(super) waited: BTreeSet<Content>,
}

/// Whose places need not be filled, by the entries and by what the operator declared.
#[derive(Default)]
pub(super) struct Excuses {
    entries: BTreeMap<QuarantineId, Entry>,
    may: BTreeSet<SourceDot>,
    must: BTreeSet<SourceDot>,
    skips: Vec<(SourceName, u64, u64)>,
    claimed: BTreeMap<SourceDot, usize>,
}

impl Excuses {
    fn skipped(&self, dot: &SourceDot) -> bool {
        self.skips.iter().any(|(source, first, last)| *source == dot.source && (*first..=*last).contains(&dot.seq))
    }

    /// Whether this place may have been passed without its event.
    fn may(&self, dot: &SourceDot) -> bool {
        self.may.contains(dot) || self.skipped(dot)
    }

    /// Whether nobody may wait for this event any more, though it did not come.
    fn must(&self, dot: &SourceDot) -> bool {
        self.must.contains(dot) || (self.skipped(dot) && !self.claimed.contains_key(dot))
    }
}

/// Whether the gate or the intake refuses for this in a way that leaves a void mark: it has read the event's clocks, and the
/// event waits for a person.
fn leaves_a_void(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Mapping
            | Reason::Schema
            | Reason::Invariant
            | Reason::NoContract
            | Reason::ClockSkew
            | Reason::HeldBehind
    )
}

/// Numbers from 1 to that of a dot, as dots.
fn upto(dot: &SourceDot) -> impl Iterator<Item = SourceDot> + '_ {
    (1..=dot.seq).map(|seq| SourceDot::new(dot.source.clone(), seq))
}

impl Ledger {
    /// What may be passed over by now. New entries are taken note of.
    pub(super) fn excuses(&mut self, log: &dyn Log) -> Checked<Excuses> {
        let mut excuses = Excuses::default();
        for own in self.arrived.keys() {
            if let Some(claim) = self.sent.get(own).and_then(|sent| sent.claim.as_ref()) {
                *excuses.claimed.entry(claim.dot.clone()).or_default() += 1;
            }
        }
        for skip in sound(log.skips())? {
            excuses.skips.push((skip.source, skip.first, skip.last));
        }
        for entry in sound(log.entries(&EntryFilter::default()))? {
            let pristine = entry.version == EntryVersion::FIRST;
            let (reason, seen) = *self.order.made_for.entry(entry.id).or_insert((entry.refusal.reason, pristine));
            let sent = Claim::read(&entry.raw);
            let voids = leaves_a_void(reason) || reason == Reason::IdConflict;
            if voids || !pristine {
                let edited = entry.edited().ok().and_then(|edited| Claim::read(&edited));
                excuses.may.extend([&sent, &edited].into_iter().flatten().map(|claim| claim.dot.clone()));
            }
            let sole = |claim: &Claim| excuses.claimed.get(&claim.dot) == Some(&1);
            if let Some(claim) = sent.filter(|claim| seen && leaves_a_void(reason) && sole(claim)) {
                excuses.must.insert(claim.dot);
            }
            excuses.entries.insert(entry.id, entry);
        }
        Ok(excuses)
    }

    /// An event that is next in the log: it is after all that it knew, or that was given up, and says how it came.
    pub(super) fn is_in_order(&mut self, event: &Event, judged: &[u8], excuses: &Excuses) -> Checked {
        let order = &mut self.order;
        let (causality, name) = (event.causality, format!("{} {}", event.source, event.raw_id));
        let claim = Claim::read(judged);
        let greatest = order.greatest;
        order.greatest = greatest.max(causality.hlc);
        let Some(claim) = claim else {
            if causality.delivery != Delivery::Log || (causality.saw.is_none() && causality.hlc <= greatest) {
                let expected = format!("{name} to be counted by the log, and stamped above {greatest}");
                return broken(expected, format!("{causality:?}"));
            }
            return Ok(());
        };
        let dot = SourceDot::new(event.source.clone(), causality.seq);
        if causality.delivery == Delivery::Log || dot != claim.dot || order.delivered.contains_key(&dot) {
            return broken(format!("{name} to be number {}, and the only one", claim.dot), format!("{causality:?}"));
        }
        for known in claim.needs().flat_map(|need| upto(&need).collect::<Vec<_>>()) {
            match order.delivered.get(&known) {
                Some((at, hlc)) if *hlc >= causality.hlc => {
                    let expected = format!("{name} to be stamped above {known}, which is at {at} with {hlc}");
                    return broken(expected, format!("{}", causality.hlc));
                }
                None if !excuses.may(&known) => {
                    let expected = format!("{name} to wait for {known}, which it knew and nobody gave up");
                    return broken(expected, format!("it is at {}", event.position));
                }
                _ => {}
            }
        }
        let was_passed = order.passed.get(&dot.source).is_some_and(|passed| passed.upto >= dot.seq);
        let fits = match causality.delivery {
            Delivery::Exception => excuses.may(&dot),
            _ => !was_passed,
        };
        order.delivered.insert(dot, (event.position, causality.hlc));
        if fits { Ok(()) } else { broken(format!("{name} to be delivered as it came"), format!("{causality:?}")) }
    }

    /// An event that its source counts may be let in late, but not past what stands in its line since before this step.
    pub(super) fn overtaken(&self, event: &Event, keys: &[ParkKey], excuses: &Excuses) -> Option<QuarantineId> {
        let own = excuses.entries.values().find(|entry| entry.position == Some(event.position)).map(|entry| entry.id);
        let stands = |id: &QuarantineId, key: &ParkKey| {
            let entry = excuses.entries.get(id);
            keys.contains(key) && entry.is_some_and(|entry| is_in_line(entry) == Some(key))
        };
        let mut lines = self.order.lines.iter().filter(|(id, key)| stands(id, key)).map(|(id, _)| *id);
        lines.find(|id| own.is_none_or(|own| *id < own))
    }

    /// Nothing is passed that is not there and that nobody gave up, and nothing waits for what is there.
    pub(super) fn flows(&mut self, log: &dyn Log, excuses: &Excuses) -> Checked {
        let passed = sound(log.passed())?;
        for (source, passed) in &passed {
            let all = SourceDot::new(source.clone(), passed.upto);
            let is_there = |dot: &SourceDot| self.order.delivered.contains_key(dot) || excuses.may(dot);
            if let Some(dot) = upto(&all).find(|dot| !is_there(dot)) {
                return broken(format!("{dot} not to be passed: it is nowhere, and nobody gave it up"), "it is");
            }
            let mut holes = passed.holes.iter().flat_map(|(first, last)| *first..=*last);
            if let Some(seq) = holes.find(|seq| !excuses.may(&SourceDot::new(source.clone(), *seq))) {
                return broken(format!("nobody to have given up {seq} of {source}"), format!("{passed:?}"));
            }
        }
        for (own, event) in &self.order.waiting {
            let Some(claim) = self.sent.get(own).and_then(|sent| sent.claim.as_ref()) else {
                return broken(
                    format!("{} to wait for nothing", event.sent.raw_id),
                    format!("it waits for {}", event.on),
                );
            };
            if self.needs_nothing(claim, excuses) || event.dot() != claim.dot {
                return broken(format!("{} to go on: all that it knew is there", claim.dot), "it waits");
            }
        }
        self.order.passed = passed;
        let stands = |(id, entry): (&QuarantineId, &Entry)| Some((*id, is_in_line(entry)?.clone()));
        self.order.lines = excuses.entries.iter().filter_map(stands).collect();
        Ok(())
    }

    /// Whether all that an event knew is in the log, or nobody may wait for it any more.
    fn needs_nothing(&self, claim: &Claim, excuses: &Excuses) -> bool {
        let is_there = |dot: SourceDot| self.order.delivered.contains_key(&dot) || excuses.must(&dot);
        claim.needs().all(|need| upto(&need).all(is_there))
    }

    /// What expired is sent through again once what it lacked was passed.
    pub(super) fn all_recalled(&mut self, log: &dyn Log) -> Checked {
        let excuses = self.excuses(log)?;
        for entry in excuses.entries.values() {
            let causal = matches!(entry.refusal.reason, Reason::CausalTimeout | Reason::CausalOverflow);
            if causal && entry.state == State::Quarantined && entry.edits.is_empty() {
                let claim = Claim::read(&entry.raw);
                if claim.is_none_or(|claim| self.needs_nothing(&claim, &excuses)) {
                    return broken(format!("{} to be recalled: all that it knew is there", entry.id), "it is not");
                }
            }
        }
        Ok(())
    }

    /// The log lost its end.
    pub(super) fn order_anew(&mut self) {
        let order = &mut self.order;
        order.delivered.clear();
        order.greatest = Hlc::ZERO;
        for event in &self.history {
            let causality = event.causality;
            order.greatest = order.greatest.max(causality.hlc);
            if causality.delivery != Delivery::Log {
                let dot = SourceDot::new(event.source.clone(), causality.seq);
                order.delivered.insert(dot, (event.position, causality.hlc));
            }
        }
        let last = self.last_entry;
        order.made_for.retain(|id, _| Some(*id) <= last);
    }

    /// Reads what waits.
    pub(super) fn read_waiting(&mut self, log: &dyn Log) -> Checked {
        let waiting = sound(log.waiting(usize::MAX))?;
        let count = waiting.len();
        let by_content = |event: Waiting| ((event.sent.id, event.sent.digest), event);
        self.order.waiting = waiting.into_iter().map(by_content).collect();
        self.order.waited.extend(self.order.waiting.keys());
        let twice = count != self.order.waiting.len();
        if twice { broken("each event to wait once", format!("{count} wait")) } else { Ok(()) }
    }
}

/// The line that an entry stands in, if it does.
fn is_in_line(entry: &Entry) -> Option<&ParkKey> {
    let waits = matches!(entry.state, State::Quarantined | State::Held);
    entry.refusal.parks.as_ref().filter(|_| waits)
}
