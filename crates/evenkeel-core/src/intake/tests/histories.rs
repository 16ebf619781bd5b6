//! What must hold after any history of arrivals, decisions and releases.
use super::{
    super::*,
    world::{OnBad, Spec, World},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// One step of a history. Entries are picked by a number that is taken modulo how many there are.
#[derive(Debug, Clone)]
enum Step {
    Arrive(Vec<Spec>),
    Redrive {
        pick: usize,
        bad: bool,
    },
    Discard {
        pick: usize,
    },
    Resume {
        pick: usize,
    },
    /// One round of release for one key; held events whose id is in `sour` turn out bad.
    Drain {
        pick: usize,
        limit: usize,
        sour: u8,
    },
    DrainAll {
        sour: u8,
    },
}

fn spec(halts: bool) -> impl Strategy<Value = Spec> {
    let bad = prop_oneof![
        6 => Just(None),
        2 => Just(Some(OnBad::Park)),
        1 => Just(Some(OnBad::Skip)),
        1 => Just(Some(if halts { OnBad::Halt } else { OnBad::Park })),
    ];
    let expected = prop_oneof![6 => Just(None), 1 => (0u64..4).prop_map(Some)];
    let content = prop_oneof![5 => Just(0u8), 1 => Just(1u8)];
    (0u8..8, 0u8..2, 0u8..2, 0u8..2, content, bad, expected).prop_map(
        |(id, source, contract, subject, content, bad, expected)| Spec {
            id,
            source,
            contract,
            subject,
            content,
            bad,
            expected,
        },
    )
}

fn step(halts: bool) -> impl Strategy<Value = Step> {
    let pick = || 0usize..64;
    let sour = || prop_oneof![3 => Just(0u8), 1 => any::<u8>()];
    prop_oneof![
        4 => prop::collection::vec(spec(halts), 1..8).prop_map(Step::Arrive),
        3 => (pick(), prop::bool::weighted(0.2)).prop_map(|(pick, bad)| Step::Redrive { pick, bad }),
        1 => pick().prop_map(|pick| Step::Discard { pick }),
        1 => pick().prop_map(|pick| Step::Resume { pick }),
        3 => (pick(), 1usize..4, sour()).prop_map(|(pick, limit, sour)| Step::Drain { pick, limit, sour }),
        1 => sour().prop_map(|sour| Step::DrainAll { sour }),
    ]
}

fn history(halts: bool) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(halts), 1..24)
}

/// A world with what must be remembered to judge it.
#[derive(Default)]
struct Judge {
    world: World,
    /// When each content first arrived.
    arrived: BTreeMap<(EventId, Digest), usize>,
    /// How many arrivals were answered as admitted.
    admitted: usize,
    /// Entries that a person decided about.
    decided: Vec<QuarantineId>,
}

impl Judge {
    fn run(&mut self, step: &Step) {
        let before = self.world.log.len();
        let entry = |pick: usize, world: &World| match world.entries.len() {
            0 => None,
            n => Some(QuarantineId((pick % n) as u64 + 1)),
        };
        let bad = |sour: u8| move |spec: &Spec| sour & (1 << spec.id) != 0;
        match *step {
            Step::Arrive(ref specs) => self.arrive(specs),
            Step::Redrive { pick, bad } => {
                if let Some(id) = entry(pick, &self.world) {
                    self.decided.push(id);
                    self.world.redrive(id, bad);
                }
            }
            Step::Discard { pick } => {
                if let Some(id) = entry(pick, &self.world) {
                    self.world.discard(id);
                }
            }
            Step::Resume { pick } => {
                if let Some(id) = entry(pick, &self.world) {
                    self.world.resume(id);
                }
            }
            Step::Drain { pick, limit, sour } => {
                let keys = self.world.interrupted();
                if let Some(key) = keys.get(pick % keys.len().max(1)) {
                    self.world.drain(key, limit, bad(sour));
                }
            }
            Step::DrainAll { sour } => self.world.drain_all(bad(sour)),
        }
        self.nobody_was_overtaken(before);
    }

    fn arrive(&mut self, specs: &[Spec]) {
        let outcomes = self.world.admit(specs);
        assert_eq!(outcomes.len(), specs.len());
        for (spec, outcome) in specs.iter().zip(outcomes) {
            let sent = spec.sent();
            let content = (sent.id, sent.digest);
            let known = self.arrived.contains_key(&content);
            match outcome {
                Outcome::Duplicate { .. } | Outcome::Quarantined { repeated: true, .. } => assert!(known),
                Outcome::VersionConflict { .. } => assert!(!known && spec.expected.is_some()),
                Outcome::Waiting { .. } => panic!("nothing here has causes"),
                Outcome::Admitted { .. } | Outcome::Quarantined { repeated: false, .. } => {
                    assert!(!known, "answered as new twice");
                    self.arrived.insert(content, self.arrived.len());
                    self.admitted += usize::from(matches!(outcome, Outcome::Admitted { .. }));
                }
            }
        }
    }

    fn arrival(&self, id: EventId, digest: Digest) -> usize {
        self.arrived[&(id, digest)]
    }

    /// Of the events that got in since `before`, none came before an earlier one of its keys that waits.
    fn nobody_was_overtaken(&self, before: usize) {
        for event in &self.world.log[before..] {
            let own = self.arrival(event.id, event.digest);
            for key in guards(&event.source, &event.draft) {
                let earlier = self.world.line(&key).find(|entry| self.arrival(entry.event_id, entry.digest) < own);
                assert!(earlier.is_none(), "{} overtook {:?}", event.raw_id, earlier.map(|entry| entry.id));
            }
        }
    }

    /// Everything that arrived is in exactly one place.
    fn everything_is_somewhere(&self) {
        let in_log = |id: EventId, digest: Digest| {
            self.world.log.iter().find(|event| event.id == id && event.digest == digest).map(|event| event.position)
        };
        let mut released = 0;
        for entry in self.world.entries.values() {
            let position = in_log(entry.event_id, entry.digest);
            assert_eq!(entry.position, position, "{} is {} and its event is at {position:?}", entry.id, entry.state);
            assert_eq!(entry.state == State::Admitted, position.is_some());
            released += usize::from(position.is_some());
        }
        assert_eq!(self.world.log.len(), self.admitted + released);
        assert_eq!(self.arrived.len(), self.admitted + self.world.entries.len());
    }

    /// Events nobody decided about are in the log in the order in which they arrived, per `line`.
    fn order_is_kept<K: Ord>(&self, line: impl Fn(&Event) -> K) {
        let mut last: BTreeMap<K, usize> = BTreeMap::new();
        let by_hand = |event: &Event| {
            let entry = self.world.entries.values().find(|e| e.event_id == event.id && e.digest == event.digest);
            entry.is_some_and(|entry| self.decided.contains(&entry.id))
        };
        for event in self.world.log.iter().filter(|event| !by_hand(event)) {
            let arrival = self.arrival(event.id, event.digest);
            let before = last.insert(line(event), arrival);
            assert!(before.is_none_or(|before| before < arrival), "{} got in after a later one", event.raw_id);
        }
    }
}

fn key(event: &Event) -> ParkKey {
    ParkKey::Subject(event.draft.event_type.clone(), event.draft.subject.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_history_keeps_the_invariants(history in history(true)) {
        let mut judge = Judge::default();
        for step in &history {
            judge.run(step);
        }
        judge.everything_is_somewhere();
        judge.order_is_kept(|event| (event.source.clone(), key(event)));
        judge.world.drain_all(|_| false);
        prop_assert!(judge.world.interrupted().is_empty(), "nobody waits behind nobody");
        judge.everything_is_somewhere();
    }

    #[test]
    fn where_no_source_is_halted_a_key_keeps_its_order_across_sources(history in history(false)) {
        let mut judge = Judge::default();
        for step in &history {
            judge.run(step);
        }
        judge.order_is_kept(key);
    }

    #[test]
    fn batch_boundaries_do_not_matter(history in history(true)) {
        let (mut whole, mut single) = (World::default(), World::default());
        for step in &history {
            match step {
                Step::Arrive(specs) => {
                    let outcomes = whole.admit(specs);
                    let one_by_one: Vec<_> = specs.iter().flat_map(|spec| single.admit(std::slice::from_ref(spec))).collect();
                    prop_assert_eq!(outcomes, one_by_one);
                }
                Step::Redrive { pick, bad } if !whole.entries.is_empty() => {
                    let id = QuarantineId((pick % whole.entries.len()) as u64 + 1);
                    prop_assert_eq!(whole.redrive(id, *bad), single.redrive(id, *bad));
                }
                _ => {
                    whole.drain_all(|_| false);
                    single.drain_all(|_| false);
                }
            }
        }
        prop_assert_eq!(whole, single);
    }
}
