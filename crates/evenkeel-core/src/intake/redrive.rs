//! What a person decides about a quarantined entry, and what is released behind it.
//!
//! Part of the intake: the same identity, keys and positions, decided from the same facts. Applying an edit to an event
//! and judging it comes before ([`crate::quarantine::Entry::edited_with`], and the gate).
use super::{
    Arrival, Change, Facts, Place, Scene, SourceDot, Standing, Verdict, Waiting, Writes, best_match,
    causal::{Unsettled, causal, reused},
    clock_skew, guards, held_behind, id_conflict,
    work::{Origin, Work},
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
pub fn redrive<'s>(
    scene: impl Into<Scene<'s>>,
    redrive: Redrive,
    edit: Option<Patch>,
    decision: Decision,
    facts: Facts,
) -> (Writes, Redriven) {
    if let Err(redriven) = must_be_quarantined(redrive.id, Some(redrive.version), &facts) {
        return (Writes::default(), redriven);
    }
    let mut work = Work::new(scene.into(), facts);
    let (change, redriven) = pass(redrive, State::Quarantined, None, &mut work);
    let edit = edit.map(|patch| Edit { patch, decision: decision.clone(), at: change.at });
    work.writes.changes.push(Change { edit, decision: Some(decision), ..change });
    (work.finish(), redriven)
}

/// Sends quarantined entries through again that wait for events which were passed since, one after the other; what they wait for
/// was all that was wrong with them. One that was changed since it was judged is left alone, to be looked at again. How many
/// went through the gate.
pub fn recall<'s>(
    scene: impl Into<Scene<'s>>,
    entries: Vec<Redrive>,
    decision: &Decision,
    facts: Facts,
) -> (Writes, usize) {
    let mut work = Work::new(scene.into(), facts);
    for redrive in entries {
        if must_be_quarantined(redrive.id, Some(redrive.version), &work.facts).is_ok() {
            let (change, _) = pass(redrive, State::Quarantined, None, &mut work);
            work.writes.changes.push(Change { decision: Some(decision.clone()), ..change });
        }
    }
    let count = work.writes.changes.len();
    (work.finish(), count)
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
pub fn drain<'s>(scene: impl Into<Scene<'s>>, key: &ParkKey, line: Vec<Redrive>, mut facts: Facts) -> Writes {
    let waits = std::mem::take(&mut facts.line);
    let mut work = Work::new(scene.into(), facts);
    let mut verdicts: HashMap<_, _> = line.into_iter().map(|redrive| (redrive.id, redrive)).collect();
    for (id, found) in waits {
        let judged = |redrive: &Redrive| found == Standing { state: State::Held, version: redrive.version };
        let Some(redrive) = verdicts.remove(&id).filter(judged) else { break };
        let (change, _) = pass(redrive, State::Held, Some(key), &mut work);
        let parks_on = change.refusal.as_ref().is_some_and(|refusal| refusal.parks.as_ref() == Some(key));
        work.writes.changes.push(change);
        if parks_on {
            break;
        }
    }
    work.finish()
}

/// Passes an entry through with its new verdict, and books it; `released` is the key that no longer holds it.
fn pass(redrive: Redrive, from: State, released: Option<&ParkKey>, work: &mut Work<'_>) -> (Change, Redriven) {
    let (source, events) = (redrive.arrival.sent.source.clone(), work.writes.events.len());
    let passed = place(redrive, released, work);
    let appended = work.writes.events.len() > events;
    work.writes.book(&source, Account::moved(from, passed.0.state, appended));
    // Events may have waited for this one.
    work.run();
    passed
}

/// An entry that stays where it is, or waits behind another one now.
fn refused(id: QuarantineId, refusal: Refusal, state: State, work: &mut Work<'_>) -> (Change, Redriven) {
    let reason = refusal.reason;
    // Those that come after it in the same line must see that it waits.
    if let Some(key) = &refusal.parks {
        work.facts.parked.entry(key.clone()).and_modify(|first| *first = id.min(*first)).or_insert(id);
    }
    (Change { refusal: Some(refusal), ..Change::to(id, state, work.scene.now) }, Redriven::Refused(reason))
}

/// Where an entry goes with its new verdict.
fn place(redrive: Redrive, released: Option<&ParkKey>, work: &mut Work<'_>) -> (Change, Redriven) {
    let Redrive { id, arrival: Arrival { sent, verdict, mut clocks, .. }, .. } = redrive;
    let now = work.scene.now;
    let admitted = |position: Position| {
        let change = Change { position: Some(position), ..Change::to(id, State::Admitted, now) };
        (change, Redriven::Admitted(position))
    };
    // Its own entry is among what is known of its identity; what was there before it counts.
    let before: Vec<_> = work
        .facts
        .known
        .get(&sent.id)
        .into_iter()
        .flatten()
        .copied()
        .filter(|(_, place)| match place {
            Place::Quarantine { id: other, .. } => *other < id,
            Place::Log { .. } | Place::Waiting => true,
        })
        .collect();
    if let Some(Place::Log { position, .. }) = best_match(&before, sent.digest) {
        return admitted(position);
    }
    if before.iter().any(|(digest, _)| *digest != sent.digest) {
        work.void_of(&sent.source, &clocks);
        return refused(id, id_conflict(&sent, &verdict), State::Quarantined, work);
    }
    let draft = match verdict {
        Verdict::Quarantine(refusal) => {
            work.void_of(&sent.source, &clocks);
            return refused(id, refusal, State::Quarantined, work);
        }
        Verdict::Admit(draft) => draft,
    };
    if let Some(detail) = clocks.hlc.and_then(|hlc| work.skewed(hlc)) {
        work.void_of(&sent.source, &clocks);
        return refused(id, clock_skew(&draft, detail), State::Quarantined, work);
    }
    let earlier = |key: &ParkKey| work.facts.parked.get(key).is_some_and(|first| *first < id);
    let blocked_by = guards(&sent.source, &draft).into_iter().find(|key| Some(key) != released && earlier(key));
    if let Some(key) = blocked_by {
        work.void_of(&sent.source, &clocks);
        return refused(id, held_behind(&draft, key), State::Held, work);
    }
    let origin = Origin::Quarantine;
    let Some(causes) = clocks.causes.take() else { return admitted(work.append(sent, draft, &clocks, origin).0) };
    // The stamp of its receipt, if its source gave it none: whatever came since is not what it knew.
    let saw = clocks.saw();
    // All that its writer had seen was stamped before its receipt.
    let at_least = saw.and(clocks.received);
    let hlc = clocks.hlc.or(clocks.received).max(at_least).unwrap_or_else(|| work.stamp());
    let on = SourceDot::new(sent.source.clone(), causes.seq);
    let event = Waiting { sent, draft, causes: *causes, hlc, since: now, on, saw };
    work.begin(&event.sent.source, &event.causes);
    match work.settled(&event) {
        Ok(delivery) => admitted(work.deliver(event, delivery, origin).0),
        Err(Unsettled::Reused) => {
            let refusal = reused(&event.draft, &event.dot());
            refused(id, refusal, State::Quarantined, work)
        }
        Err(Unsettled::Lacks(lacks)) => {
            let refusal = causal(Reason::CausalTimeout, &event.draft, &lacks);
            let (change, redriven) = refused(id, refusal, State::Quarantined, work);
            (Change { recall: lacks.into_iter().next(), ..change }, redriven)
        }
    }
}
