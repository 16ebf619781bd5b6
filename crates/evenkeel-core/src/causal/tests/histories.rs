//! Generated histories, disordered, doubled and with gaps, against a buffer that looks at everything again and again.
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// The definition, word by word: delivers whatever can be until nothing more can.
#[derive(Default)]
struct Reference {
    passed: BTreeMap<Actor, u64>,
    holes: BTreeSet<Dot>,
    waiting: BTreeMap<Dot, Arrival<Dot>>,
    delivered: BTreeSet<Dot>,
}

impl Reference {
    fn passed(&self, actor: Actor) -> u64 {
        self.passed.get(&actor).copied().unwrap_or(0)
    }

    fn offer(&mut self, arrival: Arrival<Dot>) {
        if !self.delivered.contains(&arrival.dot) {
            self.waiting.entry(arrival.dot).or_insert(arrival);
            self.settle();
        }
    }

    fn settle(&mut self) {
        loop {
            let ready = self.waiting.values().find(|event| {
                let others = event.clock.iter().filter(|entry| entry.0 != event.dot.actor);
                let (mine, seq) = (self.passed(event.dot.actor), event.dot.seq);
                others.clone().all(|(actor, seq)| self.passed(actor) >= seq) && (mine + 1 == seq || mine >= seq)
            });
            if let Some(dot) = ready.map(|event| event.dot) {
                self.waiting.remove(&dot);
                self.delivered.insert(dot);
                let passed = self.passed.entry(dot.actor).or_insert(0);
                *passed = dot.seq.max(*passed);
                continue;
            }
            let hole = self
                .holes
                .iter()
                .find(|hole| self.passed(hole.actor) + 1 == hole.seq && !self.waiting.contains_key(hole));
            let Some(hole) = hole.copied() else { return };
            self.passed.insert(hole.actor, hole.seq);
        }
    }
}

/// A history of `actors`: each step an actor hears another's last event and adds one of its own.
fn history(actors: u32, steps: &[(u32, u32)]) -> Vec<Arrival<Dot>> {
    let mut clocks = vec![VectorClock::default(); actors as usize];
    let step = |&(actor, from): &(u32, u32)| {
        let (actor, from) = (actor % actors, from % actors);
        let heard = clocks[from as usize].clone();
        let clock = &mut clocks[actor as usize];
        clock.merge(&heard);
        let dot = clock.increment(Actor(actor)).unwrap();
        Arrival { dot, clock: clock.clone(), mark: Mark(dot.seq.into()), bytes: 1, payload: dot }
    };
    steps.iter().map(step).collect()
}

#[derive(Debug, Clone)]
enum Step {
    /// This event arrives, again if it did before.
    Arrive(prop::sample::Index),
    /// Its place is declared a hole.
    Hole(prop::sample::Index),
    /// Everything that waits is handed back, and offered again at some time.
    Expire,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => any::<prop::sample::Index>().prop_map(Step::Arrive),
        1 => any::<prop::sample::Index>().prop_map(Step::Hole),
        1 => Just(Step::Expire),
    ];
    prop::collection::vec(step, 0..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn delivers_what_the_definition_does_and_in_causal_order(
        actors in 1..7u32,
        moves in prop::collection::vec((0..7u32, 0..7u32), 1..60),
        steps in steps(),
        remember in 0..3usize,
    ) {
        let events = history(actors, &moves);
        let mut rig = Rig::new(Limits { remember, ..Limits::default() });
        let mut reference = Reference::default();
        let mut order = vec![];
        let mut now = 0.0;
        // In the end everything arrives.
        let rest = events.iter().rev().cloned().map(Ok);
        let first = steps.iter().map(Err);
        for step in first.chain(rest) {
            now += 0.001;
            match step {
                Ok(event) => {
                    reference.offer(event.clone());
                    rig.offer_at(now, event);
                }
                Err(Step::Arrive(index)) => {
                    let event = index.get(&events);
                    let known = reference.delivered.contains(&event.dot) || reference.waiting.contains_key(&event.dot);
                    let verdict = rig.offer_at(now, event.clone());
                    prop_assert_eq!(known, matches!(verdict, Verdict::Duplicate { .. }), "{:?}", verdict);
                    reference.offer(event.clone());
                    if !known {
                        let delivered = reference.delivered.contains(&event.dot);
                        prop_assert_eq!(delivered, verdict == Verdict::Delivered);
                    }
                }
                Err(Step::Hole(index)) => {
                    let dot = index.get(&events).dot;
                    if !reference.waiting.contains_key(&dot) && !reference.delivered.contains(&dot) {
                        reference.holes.insert(dot);
                        reference.settle();
                    }
                    rig.buffer.void(dot, &mut rig.out).unwrap();
                }
                Err(Step::Expire) => {
                    now += 11.0;
                    let expired: BTreeSet<Dot> = rig.tick(now).into_iter().map(|(dot, _)| dot).collect();
                    prop_assert_eq!(&expired, &reference.waiting.keys().copied().collect());
                    prop_assert!(rig.buffer.is_empty());
                    reference.waiting.clear();
                    reference.settle();
                }
            }
            order.append(&mut rig.out);
            let ours: BTreeSet<Dot> = order.iter().map(|delivered| delivered.arrival.dot).collect();
            prop_assert_eq!(ours.len(), order.len(), "nothing twice");
            prop_assert_eq!(&ours, &reference.delivered);
            prop_assert_eq!(rig.buffer.len(), reference.waiting.len());
            for (arrival, _, unmet) in rig.buffer.waiting() {
                prop_assert!(!unmet.is_empty(), "{:?} waits for nothing", arrival.dot);
            }
        }
        prop_assert_eq!(order.len(), events.len(), "nothing is lost");
        // Whoever depends on an event comes after it, unless that one was late by declaration.
        for (at, later) in order.iter().enumerate() {
            for earlier in &order[at + 1..] {
                prop_assert!(!later.arrival.clock.knows(earlier.arrival.dot) || earlier.exception);
            }
        }
        prop_assert!(rig.buffer.is_empty());
    }
}
