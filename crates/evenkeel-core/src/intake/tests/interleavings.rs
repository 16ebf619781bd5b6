//! Several persons look at the same entries and decide about them later, in any order: what gets in is what was judged,
//! and of everything that was decided on one look at most one thing takes effect.
use super::{
    super::*,
    world::{OnBad, Spec, World},
};
use crate::{
    json::{Patch, Value},
    quarantine::EntryVersion,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Who looks and decides.
const PERSONS: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    /// A person reads an entry and has it judged as it is.
    Look { who: usize, id: u64, bad: bool },
    /// The person acts on what was seen last.
    Act { who: usize, what: Act },
    /// A line is judged, and released when the next such step comes.
    Drain { sour: u8 },
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Redrive,
    RedriveEdited,
    Edit,
    Discard,
    /// Without naming the version that was seen.
    DiscardAny,
}

/// What a person has seen.
#[derive(Debug, Clone)]
struct Seen {
    id: QuarantineId,
    version: EntryVersion,
    edits: usize,
    bad: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let act = prop_oneof![
        3 => Just(Act::Redrive),
        3 => Just(Act::RedriveEdited),
        3 => Just(Act::Edit),
        1 => Just(Act::Discard),
        1 => Just(Act::DiscardAny),
    ];
    prop_oneof![
        4 => (0..PERSONS, 1u64..6, prop::bool::weighted(0.4)).prop_map(|(who, id, bad)| Step::Look { who, id, bad }),
        5 => (0..PERSONS, act).prop_map(|(who, what)| Step::Act { who, what }),
        1 => any::<u8>().prop_map(|sour| Step::Drain { sour }),
    ]
}

/// A patch that is told from every other one, and that says how many edits it was made after.
fn patch(number: usize, after: usize) -> Patch {
    format!(r#"[{{"op":"add","path":"/edit","value":[{number},{after}]}}]"#).parse().unwrap()
}

/// The verdict on an entry with so many edits: where it is good, what gets in says of how many.
fn judged(world: &World, seen: &Seen, edits: usize) -> Redrive {
    let mut again = world.again(seen.id, seen.bad);
    again.version = seen.version;
    if let Verdict::Admit(draft) = &mut again.arrival.verdict {
        draft.data = Value::from(i64::try_from(edits).unwrap());
    }
    again
}

fn act(world: &mut World, seen: &Seen, what: Act, number: usize) -> Redriven {
    match what {
        Act::Redrive => world.redrive_as(judged(world, seen, seen.edits), None),
        Act::RedriveEdited => world.redrive_as(judged(world, seen, seen.edits + 1), Some(patch(number, seen.edits))),
        Act::Edit => match world.edit(seen.id, seen.version, patch(number, seen.edits)) {
            Ok(()) => Redriven::Refused(Reason::Schema),
            Err(refused) => refused,
        },
        Act::Discard => world.discard_at(seen.id, Some(seen.version)),
        Act::DiscardAny => world.discard_at(seen.id, None),
    }
}

fn seen_now(world: &World, id: u64, bad: bool) -> Option<Seen> {
    let entry = world.entries.get(&QuarantineId(id))?;
    Some(Seen { id: entry.id, version: entry.version, edits: entry.edits.len(), bad })
}

/// The entries as they were, with those that have changed since: each change makes one more version and at most one edit.
fn only_one_step(before: &World, after: &World) {
    for (id, was) in &before.entries {
        let is = &after.entries[id];
        assert_eq!((&is.raw, is.event_id, is.digest), (&was.raw, was.event_id, was.digest), "{id} is the same event");
        assert!(is.edits.starts_with(&was.edits) && is.edits.len() <= was.edits.len() + 1, "{id}: edits are a chain");
        if matches!(was.state, State::Admitted | State::Discarded) {
            assert_eq!(is, was, "{id} is decided");
        }
        assert_eq!(is.version == was.version, is == was, "{id}: every change is seen in its version");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn what_gets_in_is_what_was_judged_and_once(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::default();
        let bad = |id, subject| Spec { id, subject, bad: Some(OnBad::Park), ..Spec::default() };
        let good = |id, subject| Spec { id, subject, ..Spec::default() };
        world.admit(&[bad(1, 0), bad(2, 1), good(3, 0), bad(4, 0), good(5, 0)]);
        let mut seen: BTreeMap<usize, Seen> = BTreeMap::new();
        let mut line: Option<(ParkKey, Vec<Redrive>)> = None;
        for (number, step) in steps.iter().enumerate() {
            let before = world.clone();
            match *step {
                Step::Look { who, id, bad } => {
                    seen.extend(seen_now(&world, id, bad).map(|found| (who, found)));
                }
                Step::Act { who, what } => {
                    let Some(own) = seen.get(&who).cloned() else { continue };
                    let was = before.entries[&own.id].clone();
                    let outcome = act(&mut world, &own, what, number);
                    let is = &world.entries[&own.id];
                    let stale = was.version != own.version && !matches!(what, Act::DiscardAny);
                    match outcome {
                        Redriven::NotPossible(state) => prop_assert_eq!((state, &was), (was.state, is)),
                        Redriven::Changed(version) => prop_assert!(stale && version == is.version && was == *is),
                        _ => prop_assert!(was.state == State::Quarantined && !stale && is.version == was.version.next()),
                    }
                }
                Step::Drain { sour } => match line.take() {
                    Some((key, judged)) => drop(world.release(&key, judged, 3)),
                    None => {
                        let key = world.interrupted().into_iter().next();
                        line = key.map(|key| {
                            let bad = |spec: &Spec| sour & (1 << spec.id) != 0;
                            let mut judged = world.judged(&key, 3, bad);
                            for again in &mut judged {
                                let edits = world.entries[&again.id].edits.len();
                                if let Verdict::Admit(draft) = &mut again.arrival.verdict {
                                    draft.data = Value::from(i64::try_from(edits).unwrap());
                                }
                            }
                            (key, judged)
                        });
                    }
                },
            }
            only_one_step(&before, &world);
        }
        for entry in world.entries.values() {
            for (after, edit) in entry.edits.iter().enumerate() {
                let made_after = format!(",{after}]");
                prop_assert!(edit.patch.to_string().contains(&made_after), "an edit of something else: {}", edit.patch);
            }
            let events: Vec<_> = world.log.iter().filter(|event| event.id == entry.event_id).collect();
            prop_assert_eq!(events.len(), usize::from(entry.state == State::Admitted));
            for event in events {
                prop_assert_eq!(event.draft.data.as_i64(), i64::try_from(entry.edits.len()).ok());
                prop_assert_eq!((Some(event.position), event.digest), (entry.position, entry.digest));
            }
        }
    }
}
