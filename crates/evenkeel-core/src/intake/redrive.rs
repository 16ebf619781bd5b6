//! What a person decides about a quarantined entry, and what is released behind it.
//!
//! Part of the intake: the same identity, keys and positions, decided from the same facts. Applying an edit to an event
//! and judging it comes before ([`crate::quarantine::Entry::edited_with`], and the gate).
use super::{
    Arrival, Change, Facts, Place, Standing, Verdict, Writes, append, best_match, guards, held_behind, id_conflict,
};
use crate::{
    accounting::Account,
    ids::{Position, SourceName},
    json::Patch,
    quarantine::{Decision, Edit, Entry, EntryVersion, ParkKey, QuarantineId, Reason, Refusal, State},
    time::Timestamp,
};
use std::collections::HashMap;

/// A quarantine entry that goes through the gate again, with the gate's new verdict.
#[derive(Debug, Clone)]
pub struct Redrive {
    /// The entry.
    pub id: QuarantineId,
    /// Its version when it was read to be judged.
    pub version: EntryVersion,
    /// Its event as it arrived, and the verdict on it as it is edited now.
    pub arrival: Arrival,
}

/// What became of a redrive or a discard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redriven {
    /// It is in the log now.
    Admitted(Position),
    /// It was discarded.
    Discarded,
    /// The gate refuses it still.
    Refused(Reason),
    /// It is not in a state that allows this; nothing was written.
    NotPossible(State),
    /// Somebody changed it since it was looked at, and this is its version now; nothing was written.
    Changed(EntryVersion),
    /// There is no such entry.
    Unknown,
}

/// Sends one quarantined entry through again, with `edit` where the verdict is of the event as that changes it; the edit
/// is kept also where it is refused. Only an entry in state `quarantined` and of the version that was judged moves, so of
/// concurrent redrives, edits and discards one takes effect. One that overtakes an earlier entry of its key waits behind
/// that one.
pub fn redrive(
    now: Timestamp,
    redrive: Redrive,
    edit: Option<Patch>,
    decision: Decision,
    mut facts: Facts,
) -> (Writes, Redriven) {
    if let Err(redriven) = must_be_quarantined(redrive.id, Some(redrive.version), &facts) {
        return (Writes::default(), redriven);
    }
    let mut writes = Writes::default();
    let (change, redriven) = pass(now, redrive, State::Quarantined, None, &mut facts, &mut writes);
    let edit = edit.map(|patch| Edit { patch, decision: decision.clone(), at: now });
    writes.changes.push(Change { edit, decision: Some(decision), ..change });
    (writes, redriven)
}

/// Changes the event of one quarantined entry of this version, and leaves it where it is. Its new version; or why not.
///
/// # Errors
/// What [`redrive`] would say.
pub fn edit(
    now: Timestamp,
    id: QuarantineId,
    version: EntryVersion,
    patch: Patch,
    decision: Decision,
    facts: &Facts,
) -> Result<(Writes, EntryVersion), Redriven> {
    must_be_quarantined(id, Some(version), facts)?;
    let edit = Some(Edit { patch, decision, at: now });
    let change = Change { edit, ..Change::to(id, State::Quarantined, now) };
    Ok((Writes { changes: vec![change], ..Writes::default() }, version.next()))
}

/// Gives one quarantined entry of `source` up, of this version where one is named. What waited behind it is released by
/// [`drain`].
pub fn discard(
    now: Timestamp,
    id: QuarantineId,
    source: &SourceName,
    version: Option<EntryVersion>,
    decision: Decision,
    facts: &Facts,
) -> (Writes, Redriven) {
    if let Err(redriven) = must_be_quarantined(id, version, facts) {
        return (Writes::default(), redriven);
    }
    let change = Change { decision: Some(decision), ..Change::to(id, State::Discarded, now) };
    let mut writes = Writes { changes: vec![change], ..Writes::default() };
    writes.book(source, Account::moved(State::Quarantined, State::Discarded, false));
    (writes, Redriven::Discarded)
}

/// Lets a halted source go on while the entry that halted it stays in quarantine. [`drain`] of the source's key
/// releases what was held. Not possible for an entry that halts no source: who waits behind a subject waits until its
/// entry is redriven or discarded.
pub fn resume(now: Timestamp, entry: &Entry, decision: Decision, facts: &Facts) -> (Writes, Redriven) {
    if let Err(redriven) = must_be_quarantined(entry.id, Some(entry.version), facts) {
        return (Writes::default(), redriven);
    }
    if !matches!(entry.refusal.parks, Some(ParkKey::Source(_))) {
        return (Writes::default(), Redriven::NotPossible(State::Quarantined));
    }
    let refusal = Refusal { parks: None, ..entry.refusal.clone() };
    let reason = refusal.reason;
    let change =
        Change { refusal: Some(refusal), decision: Some(decision), ..Change::to(entry.id, State::Quarantined, now) };
    (Writes { changes: vec![change], ..Writes::default() }, Redriven::Refused(reason))
}

fn must_be_quarantined(id: QuarantineId, version: Option<EntryVersion>, facts: &Facts) -> Result<(), Redriven> {
    match facts.states.get(&id) {
        None => Err(Redriven::Unknown),
        Some(Standing { state, .. }) if *state != State::Quarantined => Err(Redriven::NotPossible(*state)),
        Some(found) if version.is_some_and(|version| version != found.version) => Err(Redriven::Changed(found.version)),
        Some(_) => Ok(()),
    }
}

/// Releases what waits behind `key`, in order, up to the first entry that must itself wait for a person.
///
/// `line` holds the gate's verdicts on the held entries at the front of the key's line. An entry without a verdict on the
/// version that it has now ends the round: the caller asks again.
pub fn drain(now: Timestamp, key: &ParkKey, line: Vec<Redrive>, mut facts: Facts) -> Writes {
    let mut writes = Writes::default();
    let mut verdicts: HashMap<_, _> = line.into_iter().map(|redrive| (redrive.id, redrive)).collect();
    for (id, found) in std::mem::take(&mut facts.line) {
        let judged = |redrive: &Redrive| found == Standing { state: State::Held, version: redrive.version };
        let Some(redrive) = verdicts.remove(&id).filter(judged) else { break };
        let (change, _) = pass(now, redrive, State::Held, Some(key), &mut facts, &mut writes);
        let parks_on = change.refusal.as_ref().is_some_and(|refusal| refusal.parks.as_ref() == Some(key));
        writes.changes.push(change);
        if parks_on {
            break;
        }
    }
    writes
}

/// Passes an entry through with its new verdict, and books it; `released` is the key that no longer holds it.
fn pass(
    now: Timestamp,
    redrive: Redrive,
    from: State,
    released: Option<&ParkKey>,
    facts: &mut Facts,
    writes: &mut Writes,
) -> (Change, Redriven) {
    let (source, events) = (redrive.arrival.sent.source.clone(), writes.events.len());
    let passed = place(now, redrive, released, facts, writes);
    writes.book(&source, Account::moved(from, passed.0.state, writes.events.len() > events));
    passed
}

/// Where an entry goes with its new verdict.
fn place(
    now: Timestamp,
    redrive: Redrive,
    released: Option<&ParkKey>,
    facts: &mut Facts,
    writes: &mut Writes,
) -> (Change, Redriven) {
    let Redrive { id, arrival: Arrival { sent, verdict, .. }, .. } = redrive;
    let refused = |refusal: Refusal, state: State, parked: &mut HashMap<ParkKey, QuarantineId>| {
        let reason = refusal.reason;
        // Those that come after it in the same line must see that it waits.
        if let Some(key) = &refusal.parks {
            parked.entry(key.clone()).and_modify(|first| *first = id.min(*first)).or_insert(id);
        }
        (Change { refusal: Some(refusal), ..Change::to(id, state, now) }, Redriven::Refused(reason))
    };
    let admitted = |position: Position| {
        let change = Change { position: Some(position), ..Change::to(id, State::Admitted, now) };
        (change, Redriven::Admitted(position))
    };
    // Its own entry is among what is known of its identity; what was there before it counts.
    let before: Vec<_> = facts
        .known
        .get(&sent.id)
        .into_iter()
        .flatten()
        .copied()
        .filter(|(_, place)| match place {
            Place::Quarantine { id: other, .. } => *other < id,
            Place::Log { .. } => true,
        })
        .collect();
    if let Some(Place::Log { position, .. }) = best_match(&before, sent.digest) {
        return admitted(position);
    }
    if before.iter().any(|(digest, _)| *digest != sent.digest) {
        return refused(id_conflict(&sent, &verdict), State::Quarantined, &mut facts.parked);
    }
    let draft = match verdict {
        Verdict::Quarantine(refusal) => return refused(refusal, State::Quarantined, &mut facts.parked),
        Verdict::Admit(draft) => draft,
    };
    let earlier = |key: &ParkKey| facts.parked.get(key).is_some_and(|first| *first < id);
    if let Some(key) = guards(&sent.source, &draft).into_iter().find(|key| Some(key) != released && earlier(key)) {
        return refused(held_behind(&draft, key), State::Held, &mut facts.parked);
    }
    admitted(append(now, sent, draft, facts, writes).0)
}
