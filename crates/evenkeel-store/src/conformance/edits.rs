//! Cases: an edit is kept with its entry and changes nothing else, and of what persons decide at the same time one thing
//! takes effect.
use super::{
    Failure, Outcome, Stores, ensure,
    fixture::{Sample, at, decision, discard, discard_at, edit, pardon, read_all, redrive, redrive_at, take_in},
    join_all,
    random::XorShift,
    same,
};
use crate::{EntryFilter, Log};
use evenkeel_core::{
    Position,
    intake::{Arrival, Redrive, Redriven, Verdict},
    json::{Patch, Value},
    quarantine::{Edit, Entry, EntryVersion, QuarantineId, Reason, State},
};

/// A patch that is told from every other one.
pub fn patch(number: i64) -> Patch {
    let text = format!(r#"[{{"op":"add","path":"/edit ü","value":{{"n":{number},"exact":9007199254740993.01}}}}]"#);
    text.parse().unwrap_or_default()
}

fn got(log: &dyn Log, id: QuarantineId) -> Result<Entry, Failure> {
    log.entry(id)?.ok_or_else(|| Failure::new(format!("the entry {id} is not there")))
}

/// An edit is added to those there are, with every digit, and the rest of the entry stays as it was.
///
/// # Errors
/// What the store did instead.
pub fn edits_are_kept_as_a_chain(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let (a, b) = (Sample::new("a"), Sample::new("b").about("t"));
    take_in(log, 1, vec![a.refused(Some(a.key())), b.refused(None)])?;
    let mut expected = got(log, QuarantineId(1))?;
    let other = got(log, QuarantineId(2))?;
    for number in 1..=12 {
        let decision = decision("edit");
        same("an edit", edit(log, 10 + number, expected.id, expected.version, patch(number))?, None)?;
        expected.edits.push(Edit { patch: patch(number), decision, at: at(10 + number) });
        expected.version = expected.version.next();
        expected.changed_at = at(10 + number);
        same("the edited entry", got(log, expected.id)?, expected.clone())?;
    }
    let stale = EntryVersion(expected.version.0 - 1);
    let changed = Some(Redriven::Changed(expected.version));
    same("an edit of what was seen before", edit(log, 30, expected.id, stale, patch(0))?, changed)?;
    same("an edit of nothing", edit(log, 30, QuarantineId(9), stale, patch(0))?, Some(Redriven::Unknown))?;
    let redrive = Redrive { id: expected.id, version: expected.version, arrival: pardon(&expected) };
    same("a redrive with an edit", redrive_at(log, 31, redrive, Some(patch(13)))?, Redriven::Admitted(Position(1)))?;
    expected.edits.push(Edit { patch: patch(13), decision: decision("redrive"), at: at(31) });
    expected.decision = Some(decision("redrive"));
    expected.version = expected.version.next();
    expected.changed_at = at(31);
    expected.state = State::Admitted;
    expected.position = Some(Position(1));
    same("the entry in the end", got(log, expected.id)?, expected.clone())?;
    let late = edit(log, 32, expected.id, expected.version, patch(14))?;
    same("an edit after it", late, Some(Redriven::NotPossible(State::Admitted)))?;
    same("the other entry", got(log, QuarantineId(2))?, other.clone())?;
    same("all entries", log.entries(&EntryFilter::default())?, vec![expected, other])
}

/// The verdict on an entry as it is: what gets in says how often the event was edited.
fn judged(entry: &Entry, more: usize, bad: bool) -> Redrive {
    let mut arrival = pardon(entry);
    if let Verdict::Admit(draft) = &mut arrival.verdict {
        draft.data = Value::from((entry.edits.len() + more) as i64);
    }
    if bad {
        arrival = Arrival { verdict: Verdict::Quarantine(entry.refusal.clone()), ..arrival };
    }
    Redrive { id: entry.id, version: entry.version, arrival }
}

/// Whether what is in the log of these entries is what they were edited to, once.
fn one_of_each(log: &dyn Log) -> Outcome {
    let events = read_all(log, Position::ZERO, None, 100)?;
    for entry in log.entries(&EntryFilter::default())? {
        let own: Vec<_> = events.iter().filter(|event| event.id == entry.event_id).collect();
        same(format!("{} in the log", entry.id), own.len(), usize::from(entry.state == State::Admitted))?;
        for event in own {
            same("its edits", event.draft.data.as_i64(), Some(entry.edits.len() as i64))?;
            same("its place and digest", (Some(event.position), event.digest), (entry.position, entry.digest))?;
        }
    }
    Ok(())
}

/// Persons read an entry and decide about it later, in random order: what was read before somebody else's decision
/// decides nothing, and what gets in is what was judged.
///
/// # Errors
/// The seed, and what the store did instead.
pub fn of_what_is_decided_on_one_look_one_thing_takes_effect(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    for seed in 0..60u64 {
        let mut chance = XorShift::new(seed);
        let sample = Sample::new(&format!("event {seed}")).about(&format!("about {seed}"));
        take_in(log, 1, vec![sample.refused(Some(sample.key()))])?;
        let id = QuarantineId(seed + 1);
        let mut looks = vec![got(log, id)?; 3];
        for n in 0..12 {
            let here = |failure: Failure| Failure::new(format!("seed {seed}, decision {n}: {failure}"));
            let who = chance.below(looks.len());
            if chance.once_in(3) {
                looks[who] = got(log, id)?;
                continue;
            }
            let (look, before) = (looks[who].clone(), got(log, id)?);
            let outcome = match chance.below(8) {
                0..3 => edit(log, n, id, look.version, patch(n))?.unwrap_or(Redriven::Refused(Reason::Schema)),
                3 | 4 => redrive_at(log, n, judged(&look, 1, chance.once_in(2)), Some(patch(n)))?,
                5 | 6 => redrive_at(log, n, judged(&look, 0, chance.once_in(3)), None)?,
                _ => discard_at(log, n, id, Some(look.version))?,
            };
            let after = got(log, id)?;
            let expected = match (before.state, look.version == before.version) {
                (State::Quarantined, true) => None,
                (State::Quarantined, false) => Some(Redriven::Changed(before.version)),
                (state, _) => Some(Redriven::NotPossible(state)),
            };
            match expected {
                Some(expected) => {
                    same("a decision that comes late", outcome, expected).map_err(here)?;
                    same("the entry after it", after, before).map_err(here)?;
                }
                None => same("the version after a decision", after.version, before.version.next()).map_err(here)?,
            }
            one_of_each(log).map_err(here)?;
        }
    }
    Ok(())
}

/// The same from many threads at once, on one entry after the other.
///
/// # Errors
/// What the store did instead.
pub fn of_decisions_at_once_one_takes_effect(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    for round in 1..=12u64 {
        let sample = Sample::new(&format!("event {round}")).about(&format!("about {round}"));
        take_in(log, 1, vec![sample.refused(None)])?;
        let seen = got(log, QuarantineId(round))?;
        let decide = |who: usize| -> Result<Redriven, Failure> {
            Ok(match who % 4 {
                0 => redrive_at(log, 2, judged(&seen, 0, false), None)?,
                1 => redrive_at(log, 2, judged(&seen, 1, false), Some(patch(who as i64)))?,
                2 => {
                    edit(log, 2, seen.id, seen.version, patch(who as i64))?.unwrap_or(Redriven::Refused(Reason::Schema))
                }
                _ => discard_at(log, 2, seen.id, Some(seen.version))?,
            })
        };
        let outcomes = std::thread::scope(|scope| {
            let decide = &decide;
            join_all((0..8).map(|who| scope.spawn(move || decide(who))).collect::<Vec<_>>())
        })?;
        let late = |outcome: &&Redriven| matches!(outcome, Redriven::Changed(_) | Redriven::NotPossible(_));
        same("decisions that came late", outcomes.iter().filter(late).count(), 7)?;
        let entry = got(log, seen.id)?;
        same("changes of the entry", entry.version, seen.version.next())?;
        ensure(entry.edits.len() <= 1, "at most one edit is kept")?;
        one_of_each(log)?;
        if entry.state == State::Quarantined {
            same("a discard afterwards", discard(log, 3, entry.id)?, Redriven::Discarded)?;
            let again = redrive(log, 4, entry.id, pardon(&entry))?;
            same("a redrive after that", again, Redriven::NotPossible(State::Discarded))?;
        }
    }
    Ok(())
}
