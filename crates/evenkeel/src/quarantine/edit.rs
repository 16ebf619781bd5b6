//! Changing an event in the gate's quarantine, and sending it through as changed.
//!
//! The patches themselves are `evenkeel-core`'s ([`evenkeel_core::json::Patch`]); who may change what when is decided there
//! too, in one transaction. Here it is seen to that an edited event is still the same event.
use super::{Decided, TRIES, Word, as_it_arrived, decide};
use crate::{Clock, EngineError};
use evenkeel_contract::gate::Gate;
use evenkeel_core::{
    intake::{self, Ask, Clocks, Redrive, Redriven, Verdict, Writes},
    json::Patch,
    quarantine::{Entry, EntryVersion, QuarantineId, State},
};
use evenkeel_store::Log;

/// What an edit came to.
#[derive(Debug, Clone)]
pub struct Edited {
    /// The entry's version now.
    pub version: EntryVersion,
    /// What the gate says of the event as it is now.
    pub verdict: Verdict,
}

/// Changes the event of an entry, which stays where it is.
///
/// # Errors
/// [`EngineError::Edit`] where the patch cannot be applied, [`EngineError::NoEntry`], [`EngineError::EntryState`],
/// [`EngineError::EntryChanged`], and where the log cannot be read or written. Nothing was changed then.
pub fn edit(
    log: &dyn Log,
    gate: &Gate,
    clock: &dyn Clock,
    id: QuarantineId,
    patch: &Patch,
    word: Word,
) -> Result<Edited, EngineError> {
    let Word { decision, version } = word;
    let mut tries = 0;
    loop {
        tries += 1;
        let (entry, (verdict, _)) = edited(log, gate, id, patch, version)?;
        let mut outcome = Err(Redriven::Unknown);
        let by = |facts: intake::Facts| {
            let edited = intake::edit(clock.now(), id, entry.version, patch.clone(), decision.clone(), &facts);
            let (writes, edited) = edited.map_or_else(|why| (Writes::default(), Err(why)), |(w, v)| (w, Ok(v)));
            outcome = edited;
            writes
        };
        log.transact(&Ask::for_entry(id), Box::new(by))?;
        match outcome {
            Ok(version) => return Ok(Edited { version, verdict }),
            Err(Redriven::Changed(_)) if version.is_none() && tries < TRIES => {}
            Err(refused) => return Err(refusal(id, &refused)),
        }
    }
}

/// Sends an entry of the gate through again with one more edit, and what waits behind it if it gets in. The edit is kept
/// also where the gate refuses the event still.
///
/// # Errors
/// As [`edit`], nothing was changed then; and where the log failed on the way, when what was released stays released.
pub fn redrive_edited(
    log: &dyn Log,
    gate: &Gate,
    clock: &dyn Clock,
    id: QuarantineId,
    patch: &Patch,
    word: Word,
) -> Result<Decided, EngineError> {
    let Word { decision, version } = word;
    let mut tries = 0;
    loop {
        tries += 1;
        let (entry, judged) = edited(log, gate, id, patch, version)?;
        let again = Redrive { id, version: entry.version, arrival: as_it_arrived(&entry, judged) };
        let ask = Ask::for_redrive(&again);
        let decided = decide((log, gate, clock), entry, &ask, |scene, facts| {
            intake::redrive(scene, again, Some(patch.clone()), decision.clone(), facts)
        })?;
        if !matches!(decided.redriven, Redriven::Changed(_)) || version.is_some() || tries == TRIES {
            return Ok(decided);
        }
    }
}

/// The entry, of this version where one is named, and the verdict on its event as `patch` would make it.
fn edited(
    log: &dyn Log,
    gate: &Gate,
    id: QuarantineId,
    patch: &Patch,
    version: Option<EntryVersion>,
) -> Result<(Entry, (Verdict, Clocks)), EngineError> {
    let entry = log.entry(id)?.ok_or_else(|| EngineError::NoEntry(id.to_string()))?;
    // What stands in the way of any edit is said before what is wrong with this one.
    if entry.state != State::Quarantined {
        return Err(refusal(id, &Redriven::NotPossible(entry.state)));
    }
    if version.is_some_and(|version| version != entry.version) {
        return Err(refusal(id, &Redriven::Changed(entry.version)));
    }
    if patch.is_empty() {
        return Err(EngineError::Edit("there is no operation in it".into()));
    }
    let bad = |why: String| EngineError::Edit(why);
    let edited = entry.edited_with(patch).map_err(|error| bad(error.to_string()))?;
    let judged = judge(gate, &entry, edited).map_err(bad)?;
    Ok((entry, judged))
}

/// The gate's verdict on an entry's event as it is edited, and its clocks; in words where that is another event, or none.
pub(super) fn judge(gate: &Gate, entry: &Entry, edited: Vec<u8>) -> Result<(Verdict, Clocks), String> {
    let arrival = gate.decide(edited, None).map_err(|unreadable| unreadable.to_string())?.arrival;
    if arrival.sent.id != entry.event_id {
        return Err(format!(
            "an event keeps its source and id, {:?} and {:?}; this one would have {:?} and {:?}",
            entry.source.as_str(),
            entry.raw_id,
            arrival.sent.source.as_str(),
            arrival.sent.raw_id
        ));
    }
    Ok((arrival.verdict, arrival.clocks))
}

/// What is said where an entry is not what it would have to be.
pub(crate) fn refusal(id: impl ToString, refused: &Redriven) -> EngineError {
    let id = id.to_string();
    match *refused {
        Redriven::NotPossible(state) => EngineError::EntryState { id, state },
        Redriven::Changed(version) => EngineError::EntryChanged { id, version },
        _ => EngineError::NoEntry(id),
    }
}
