//! The quarantine: entries of the gate and events parked by models, sent through again or given up.
//!
//! The decisions are `evenkeel-core`'s ([`evenkeel_core::intake`] at the gate, [`evenkeel_core::fold::release`] at a
//! model); here they are given their facts. Ids begin with `q-` at the gate and with `p-` at a model. Changing an event of
//! the gate's quarantine is in [`edit`], deciding about many of them in [`bulk`], and about many of a model in `parked`.
pub mod bulk;
pub mod edit;
pub(crate) mod parked;

use crate::{Clock, EngineError};
use evenkeel_contract::gate::Gate;
use evenkeel_core::{
    Event, ModelName, Position,
    fold::{Fold, Park, ParkState, TouchId, release},
    intake::{self, Arrival, Ask, Clocks, Facts, Redrive, Redriven, Scene, Seen, Sent, Verdict, Writes},
    quarantine::{Decision, Entry, EntryVersion, ParkKey, QuarantineId, Reason, Refusal, State},
    reconciliation::Unreplayed,
    row::Key,
};
use evenkeel_store::{Log, Models, ParkFilter, ParkedRow, Removal, Step, StoreError, Table, Upsert};

/// How many held entries are released in one transaction, or read at once of those that wait for a row.
const LINE: usize = 500;

/// How many events that wait for a row are read first: often it is the first of them that cannot be applied.
const FIRST_OF_LINE: usize = 8;

/// What a decision about an entry came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What became of the entry.
    pub redriven: Redriven,
    /// How many events that waited behind it went into the log or on into their row.
    pub released: u64,
}

/// A person's word on an entry, and which version of it was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Word {
    /// Who, and why.
    pub decision: Decision,
    /// The word is on this version and no other; `None` for whatever the entry is by now.
    pub version: Option<EntryVersion>,
}

impl From<Decision> for Word {
    fn from(decision: Decision) -> Self {
        Self { decision, version: None }
    }
}

/// How often a decision about whatever an entry is by now is taken anew, because somebody changed it on the way.
const TRIES: u32 = 20;

/// Sends an entry of the gate through again as it is edited, and what waits behind it if it gets in.
///
/// # Errors
/// Where the log cannot be read or written; what was released until then stays released.
pub fn redrive(
    log: &dyn Log,
    gate: &Gate,
    clock: &dyn Clock,
    id: QuarantineId,
    word: impl Into<Word>,
) -> Result<Decided, StoreError> {
    let Word { decision, version } = word.into();
    for tries in 1.. {
        let Some(entry) = log.entry(id)? else { return Ok(UNKNOWN) };
        if version.is_some_and(|version| version != entry.version) && entry.state == State::Quarantined {
            return Ok(Decided { redriven: Redriven::Changed(entry.version), released: 0 });
        }
        let again = again(gate, &entry);
        let ask = Ask::for_redrive(&again);
        // Whatever it parked before, its line may move now; one that is refused again still heads it.
        let decided = decide((log, gate, clock), entry, &ask, |scene, facts| {
            intake::redrive(scene, again, None, decision.clone(), facts)
        })?;
        if !matches!(decided.redriven, Redriven::Changed(_)) || version.is_some() || tries == TRIES {
            return Ok(decided);
        }
    }
    Ok(UNKNOWN)
}

/// Sends entries through again in one transaction that wait for nothing any more. How many went through the gate: what somebody
/// else has decided about meanwhile is left alone. Nothing waits behind such entries.
pub(crate) fn recall(
    log: &dyn Log,
    gate: &Gate,
    clock: &dyn Clock,
    ids: &[QuarantineId],
    decision: &Decision,
) -> Result<usize, StoreError> {
    let mut entries = Vec::with_capacity(ids.len());
    for id in ids {
        entries.extend(log.entry(*id)?.map(|entry| again(gate, &entry)));
    }
    let mut count = 0;
    log.transact_asking(
        &Ask::for_recall(&entries),
        Box::new(|facts, more| {
            let scene = gate.scene(clock.now(), more);
            let (writes, recalled) = intake::recall(scene, entries, decision, facts);
            count = recalled;
            writes
        }),
    )?;
    Ok(count)
}

/// Gives an entry of the gate up and releases what waits behind it.
///
/// # Errors
/// Where the log cannot be read or written; what was released until then stays released.
pub fn discard(
    log: &dyn Log,
    gate: &Gate,
    clock: &dyn Clock,
    id: QuarantineId,
    word: impl Into<Word>,
) -> Result<Decided, StoreError> {
    let Word { decision, version } = word.into();
    let Some(entry) = log.entry(id)? else { return Ok(UNKNOWN) };
    let source = entry.source.clone();
    // What waits behind it is released also where it was discarded before: that release may have been interrupted.
    decide((log, gate, clock), entry, &Ask::for_entry(id), |scene, facts| {
        intake::discard(scene.now, id, &source, version, decision, &facts)
    })
}

/// What is said of an entry that is not there.
const UNKNOWN: Decided = Decided { redriven: Redriven::Unknown, released: 0 };

/// Decides about an entry in one transaction and then releases what waits behind it.
fn decide(
    (log, gate, clock): (&dyn Log, &Gate, &dyn Clock),
    entry: Entry,
    ask: &Ask,
    decide: impl FnOnce(Scene<'_>, Facts) -> (Writes, Redriven) + Send,
) -> Result<Decided, StoreError> {
    let mut redriven = Redriven::Unknown;
    log.transact_asking(
        ask,
        Box::new(|facts, more| {
            let scene = gate.scene(clock.now(), more);
            let (writes, outcome) = decide(scene, facts);
            redriven = outcome;
            writes
        }),
    )?;
    let released = match entry.refusal.parks {
        Some(key) => drain(log, gate, clock, &key)?,
        None => 0,
    };
    Ok(Decided { redriven, released })
}

/// Lets a halted source go on; the entries that halted it stay in quarantine. The number of events released, or `None`
/// where the source is not halted.
///
/// # Errors
/// Where the log cannot be read or written; what was released until then stays released.
pub fn resume(
    log: &dyn Log,
    gate: &Gate,
    clock: &dyn Clock,
    source: &str,
    decision: &Decision,
) -> Result<Option<u64>, StoreError> {
    let key = ParkKey::Source(source.into());
    let mut halted = false;
    while let Some(entry) = log.line(&key, 1)?.pop() {
        // One that was let go on, and whose line was not drained because that failed, is halted still.
        halted = true;
        if entry.state != State::Quarantined {
            break;
        }
        log.transact(
            &Ask::for_entry(entry.id),
            Box::new(|facts| intake::resume(clock.now(), &entry, decision.clone(), &facts).0),
        )?;
    }
    let released = drain(log, gate, clock, &key)?;
    Ok(halted.then_some(released))
}

/// Releases what waits behind `key`, in order, until an entry waits for a person itself. The number admitted.
///
/// # Errors
/// Where the log cannot be read or written; what was released until then stays released.
pub fn drain(log: &dyn Log, gate: &Gate, clock: &dyn Clock, key: &ParkKey) -> Result<u64, StoreError> {
    let mut admitted = 0;
    loop {
        let held = log.line(key, LINE)?.into_iter().take_while(|entry| entry.state == State::Held);
        let line: Vec<Redrive> = held.map(|entry| again(gate, &entry)).collect();
        if line.is_empty() {
            return Ok(admitted);
        }
        let mut changed = 0;
        log.transact_asking(
            &Ask::for_drain(key, &line, LINE),
            Box::new(|facts, more| {
                let scene = gate.scene(clock.now(), more);
                let writes = intake::drain(scene, key, line, facts);
                changed = writes.changes.len();
                admitted += writes.changes.iter().filter(|change| change.state == State::Admitted).count() as u64;
                writes
            }),
        )?;
        if changed == 0 {
            return Ok(admitted);
        }
    }
}

/// Goes on with releases that a crash interrupted.
///
/// # Errors
/// Where the log cannot be read or written.
pub fn resume_interrupted(log: &dyn Log, gate: &Gate, clock: &dyn Clock) -> Result<u64, StoreError> {
    log.interrupted()?.iter().try_fold(0, |sum, key| Ok(sum + drain(log, gate, clock, key)?))
}

/// The entry's event as it arrived, with the gate's verdict of today on it as it is edited.
fn again(gate: &Gate, entry: &Entry) -> Redrive {
    Redrive { id: entry.id, version: entry.version, arrival: as_it_arrived(entry, verdict(gate, entry)) }
}

/// What a gate says of an entry's event as it is edited, and the event's clocks.
pub(crate) fn verdict(gate: &Gate, entry: &Entry) -> (Verdict, Clocks) {
    let judged = entry.edited().map_err(|error| error.to_string());
    let judged = judged.and_then(|edited| edit::judge(gate, entry, edited.into_owned()));
    judged.unwrap_or_else(|detail| {
        let refusal = Refusal { reason: Reason::Malformed, detail, pointer: None, ..entry.refusal.clone() };
        (Verdict::Quarantine(refusal), Clocks::default())
    })
}

/// The entry's event with this verdict. Its identity and digest are those of what arrived, whatever was edited: the same
/// event sent again is known by them. Where its source gave it no stamp, it has that of its receipt; what its writer had seen
/// then it knows still, and no more.
fn as_it_arrived(entry: &Entry, (verdict, clocks): (Verdict, Clocks)) -> Arrival {
    let Entry { event_id: id, digest, source, raw_id, raw, hlc, saw, .. } = entry.clone();
    let clocks = Clocks { received: Some(hlc), seen: saw.map(Seen::Kept), ..clocks };
    Arrival { sent: Sent { id, digest, source, raw_id, raw }, verdict, expected_version: None, clocks }
}

/// The id of an event parked by a model: `p-MODEL-POSITION.CLAUSE.ELEMENT`.
pub(crate) fn park_id(model: &ModelName, touch: TouchId) -> String {
    format!("p-{model}-{}.{}.{}", touch.position, touch.clause, touch.element)
}

/// Reads [`park_id`].
pub(crate) fn parse_park_id(id: &str) -> Option<(&str, TouchId)> {
    let (model, touch) = id.strip_prefix("p-")?.rsplit_once('-')?;
    let mut parts = touch.split('.');
    let touch = TouchId {
        position: Position(parts.next()?.parse().ok()?),
        clause: parts.next()?.parse().ok()?,
        element: parts.next()?.parse().ok()?,
    };
    // Only the text that the id is written as: no sign, no leading zeros.
    (parts.next().is_none() && park_id(&model.into(), touch) == id).then_some((model, touch))
}

/// What to do with an event parked by a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkDecision {
    /// Apply it again.
    Redrive,
    /// Give it up.
    Discard,
}

/// Decides about an event parked by a model, and applies what waits behind it as far as it goes. Who decided is kept with
/// the event as long as it is parked. The caller holds the model's turn.
///
/// # Errors
/// [`EngineError::NoEntry`], [`EngineError::EntryState`] where it is not the first that waits for its row, and where a
/// store cannot be read or written; nothing was changed then.
pub fn decide_park(
    log: &dyn Log,
    models: &dyn Models,
    fold: &dyn Fold,
    clock: &dyn Clock,
    touch: TouchId,
    what: ParkDecision,
    decision: Decision,
) -> Result<Decided, EngineError> {
    let Planned { step, decided, .. } = plan_park((log, models, fold, clock), touch, what, decision)?;
    commit_park(models, fold, &step)?;
    Ok(decided)
}

/// What a decision about a parked event comes to, before it is written.
pub(crate) struct Planned {
    /// What is to be written.
    pub(crate) step: Step,
    /// What it comes to then.
    pub(crate) decided: Decided,
    /// Why the event cannot be applied still, where it cannot.
    pub(crate) error: Option<String>,
}

/// As [`decide_park`] with nothing written.
pub(crate) fn plan_park(
    (log, models, fold, clock): (&dyn Log, &dyn Models, &dyn Fold, &dyn Clock),
    touch: TouchId,
    what: ParkDecision,
    decision: Decision,
) -> Result<Planned, EngineError> {
    let schema = fold.schema();
    let id = || park_id(&schema.model, touch);
    let state = models.state(&schema.model)?.ok_or_else(|| StoreError::NoModel(schema.model.clone()))?;
    if !state.schema.same_as(schema) {
        return Err(EngineError::Outdated(schema.model.clone()));
    }
    let this = ParkFilter { touch: Some(touch), ..ParkFilter::default() };
    let chosen = models.parks_of(&schema.model, &this)?.pop().ok_or_else(|| EngineError::NoEntry(id()))?;
    match chosen.state {
        ParkState::Poison => {}
        ParkState::Held => return Err(EngineError::EntryState { id: id(), state: State::Held }),
        ParkState::Discarded => return Err(EngineError::EntryState { id: id(), state: State::Discarded }),
    }
    // What was given up of an event that the log has lost would be given up of the one that has its position now.
    parked_event(log, &chosen)?;
    let decided = Park { decision: Some(decision), ..chosen };
    let mut step = Step { generation: state.generation, checkpoint: state.checkpoint, ..Step::default() };
    if what == ParkDecision::Discard {
        step.parks.push(Park { state: ParkState::Discarded, ..decided.clone() });
    }
    let mut redriven = match what {
        ParkDecision::Discard => Redriven::Discarded,
        ParkDecision::Redrive => Redriven::Refused(Reason::ProjectionError),
    };
    let mut released = 0;
    if let Some(key) = &decided.key {
        let resolved = apply_line((log, models, fold, clock), key, (&decided, what), &mut step)?;
        released = resolved as u64;
        if what == ParkDecision::Redrive && resolved > 0 {
            redriven = Redriven::Admitted(touch.position);
            released -= 1;
        }
    }
    let refused = redriven == Redriven::Refused(Reason::ProjectionError);
    let now = step.parks.iter().find(|park| park.touch == touch).map_or(&decided.error, |park| &park.error);
    let error = refused.then(|| now.clone());
    Ok(Planned { step, decided: Decided { redriven, released }, error })
}

/// Writes what was planned, where that is anything.
pub(crate) fn commit_park(models: &dyn Models, fold: &dyn Fold, step: &Step) -> Result<(), StoreError> {
    if step.parks.is_empty() && step.unparks.is_empty() {
        return Ok(());
    }
    models.commit(&fold.schema().model, Table::Live, step).map(drop)
}

/// The event that waits, where it stood when it was parked.
fn parked_event(log: &dyn Log, park: &Park) -> Result<Event, StoreError> {
    let position = park.touch.position;
    let event = log.find(park.event_id)?.filter(|event| event.position == position);
    event.ok_or_else(|| {
        let id = park.event_id;
        StoreError::Corrupt(format!(
            "the parked event {id} at position {position} is not in the log; rebuild the model"
        ))
    })
}

/// Applies a row's parked events as far as they go, into `step`, without the decided one where that is given up. How many
/// were resolved. What is behind the first that still cannot be applied is hardly read: a line may be as long as the log.
fn apply_line(
    (log, models, fold, clock): (&dyn Log, &dyn Models, &dyn Fold, &dyn Clock),
    key: &Key,
    (decided, what): (&Park, ParkDecision),
    step: &mut Step,
) -> Result<usize, EngineError> {
    let schema = fold.schema();
    let mut loaded = models.load(&schema.model, Table::Live, std::slice::from_ref(key))?;
    let found = loaded.rows.pop();
    if loaded.touched.contains(key) || found.as_ref().is_some_and(|row| !row.is_intact()) {
        return Err(EngineError::Method(format!(
            "the row {key} of {} was changed by somebody else; reconcile the model first",
            schema.model
        )));
    }
    let (before, replaces) = found.map_or((None, None), |found| (Some(found.row), found.meant));
    let (mut row, mut resolved) = (before.clone(), 0);
    let mut asked = ParkFilter { row: Some(ParkedRow::Of(key)), limit: FIRST_OF_LINE, ..ParkFilter::default() };
    loop {
        let page = models.parks_of(&schema.model, &asked)?;
        let (last, is_full) = (page.last().map(|park| park.touch), page.len() == asked.limit);
        let mut with_events = Vec::with_capacity(page.len());
        for park in page {
            let is_decided = park.touch == decided.touch;
            if is_decided && what == ParkDecision::Discard {
                continue;
            }
            let event = parked_event(log, &park)?;
            // Its author is kept with it also where it is refused again.
            with_events.push((if is_decided { decided.clone() } else { park }, event));
        }
        let result = release(fold, key, row, &with_events);
        row = result.row;
        step.conflicts.extend(result.conflicts);
        resolved += result.resolved;
        step.unparks.extend(with_events[..result.resolved].iter().map(|(park, _)| park.touch));
        if let (Some(error), Some((blocked, _))) = (result.error, with_events.get(result.resolved)) {
            step.parks.push(Park { state: ParkState::Poison, error, ..blocked.clone() });
            break;
        }
        if !is_full {
            break;
        }
        asked = ParkFilter { after: last, limit: (asked.limit * 2).min(LINE), ..asked };
    }
    if row != before {
        step.checkpoint.last_write = Some(clock.now());
        let key = key.clone();
        match row {
            Some(row) => step.upserts.push(Upsert { key, row, replaces }),
            None => step.deletes.push(Removal { key, replaces }),
        }
    }
    Ok(resolved)
}

/// The events a model could not apply, as a reconciliation names them.
pub(crate) fn unreplayed(models: &dyn Models, model: &ModelName) -> Result<Vec<Unreplayed>, StoreError> {
    let parks = models.parks(model, Some(ParkState::Poison))?;
    Ok(parks
        .into_iter()
        .map(|park| Unreplayed { position: park.touch.position, event_id: park.event_id, error: park.error })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_a_parked_event_is_read_only_as_it_is_written_whatever_its_model_is_called() {
        let touch = TouchId { position: Position(17), clause: 2, element: 30 };
        for model in ["orders", "a-b", "-", "a-1.2.3", "p-x", ""] {
            let id = park_id(&model.into(), touch);
            assert_eq!(parse_park_id(&id), Some((model, touch)), "{id}");
        }
        for bad in
            ["", "p-", "p-orders", "p-orders-1.2", "p-orders-1.2.3.4", "p-orders-01.2.3", "p-orders-+1.2.3", "q-17"]
        {
            assert_eq!(parse_park_id(bad), None, "{bad}");
        }
    }
}
