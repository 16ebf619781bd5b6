//! The laws, for every type: generated concurrent histories over replicas that number their actors differently, states
//! and deltas in any order and more than once, also with an identity in use twice.
mod model;
mod reuse;

use super::*;
use crate::{
    clock::{Actor, Actors, Hlc},
    ids::Incarnation,
    order::WriteKind,
};
use proptest::prelude::*;
use std::{collections::BTreeSet, fmt::Debug};

const REPLICAS: usize = 3;

/// A replica's identity and what it numbers with.
struct Who {
    actors: Actors,
    name: String,
    me: Actor,
    seq: u64,
    hlc: Hlc,
}

impl Who {
    fn new(replica: usize, name: &str) -> Self {
        let mut actors = Actors::default();
        // Every replica met the others in another order.
        for other in 0..REPLICAS {
            actors.intern(&format!("r{}", (other + 2 * replica) % REPLICAS)).unwrap();
        }
        Self { me: actors.get(name).unwrap(), actors, name: name.to_owned(), seq: 0, hlc: Hlc::ZERO }
    }

    fn dot(&mut self) -> Dot {
        self.seq += 1;
        Dot::new(self.me, self.seq)
    }

    fn stamp(&mut self) -> Stamp {
        // Clocks that stand still every other time, so that stamps of replicas often tie.
        self.hlc = Hlc::new(self.hlc.millis() + 1, 0);
        let replica = self.name.as_str().into();
        Stamp { hlc: self.hlc, replica, incarnation: Incarnation(1), kind: WriteKind::Set }
    }
}

/// A type under test.
trait Sample: Crdt + Encode + Default + Debug {
    /// Changes the state in the way that `op` says, if it can; the delta.
    fn step(&mut self, who: &mut Who, op: (u8, u8)) -> Self;

    /// What the state says, without what only replicas need to know.
    fn shown(&self) -> String;

    /// What it should say where these of all operations are known, by the definition, where there is one apart from the
    /// code.
    fn expected(_: &[model::Op], _: &BTreeSet<usize>) -> Option<String> {
        None
    }
}

#[derive(Debug, Clone)]
enum Move {
    /// A replica changes its state.
    Change(usize, (u8, u8)),
    /// A delta that was made some time ago arrives at a replica.
    Delta(usize, prop::sample::Index),
    /// A replica sends its whole state to another.
    State(usize, usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let replica = || 0..REPLICAS;
    let a_move = prop_oneof![
        4 => (replica(), any::<(u8, u8)>()).prop_map(|(replica, op)| Move::Change(replica, op)),
        4 => (replica(), any::<prop::sample::Index>()).prop_map(|(replica, delta)| Move::Delta(replica, delta)),
        1 => (replica(), replica()).prop_map(|(from, to)| Move::State(from, to)),
    ];
    prop::collection::vec(a_move, 0..40)
}

/// Replicas with their states; everything between them travels as bytes.
struct World<S> {
    replicas: Vec<(Who, S)>,
    /// What each has of the operations.
    known: Vec<BTreeSet<usize>>,
    ops: Vec<model::Op>,
    /// Deltas by the operation that made them.
    deltas: Vec<Vec<u8>>,
    /// Everything that ever travelled.
    sent: Vec<Vec<u8>>,
    reused: usize,
}

impl<S: Sample> World<S> {
    fn new(copied: bool) -> Self {
        // A copied replica goes on under the identity of the one that it was copied from.
        let names = if copied { ["r0", "r1", "r1"] } else { ["r0", "r1", "r2"] };
        let replicas = names.into_iter().enumerate().map(|(n, name)| (Who::new(n, name), S::default()));
        Self {
            replicas: replicas.collect(),
            known: vec![BTreeSet::new(); REPLICAS],
            ops: vec![],
            deltas: vec![],
            sent: vec![],
            reused: 0,
        }
    }

    fn receive(&mut self, to: usize, bytes: &[u8]) {
        let (who, state) = &mut self.replicas[to];
        let received = S::decode(bytes, &mut who.actors).unwrap();
        assert_eq!(received.encode(&who.actors), bytes, "in every table the same bytes");
        let before = state.clone();
        let merged = state.merge(&received);
        assert_eq!(merged.changed, before != *state);
        self.reused += merged.reused.len();
    }

    fn play(&mut self, moves: &[Move]) {
        for a_move in moves {
            match a_move {
                Move::Change(replica, op) => {
                    let (who, state) = &mut self.replicas[*replica];
                    let mut before = state.clone();
                    let delta = state.step(who, *op);
                    before.merge(&delta);
                    assert_eq!(before, *state, "the delta is the change");
                    let bytes = delta.encode(&who.actors);
                    let seen = self.known[*replica].clone();
                    self.ops.push(model::Op {
                        replica: *replica,
                        op: *op,
                        seen,
                        seq: who.seq,
                        millis: who.hlc.millis(),
                    });
                    self.known[*replica].insert(self.deltas.len());
                    self.sent.push(bytes.clone());
                    self.deltas.push(bytes);
                }
                Move::Delta(to, index) if !self.deltas.is_empty() => {
                    let index = index.index(self.deltas.len());
                    let bytes = self.deltas[index].clone();
                    self.receive(*to, &bytes);
                    self.known[*to].insert(index);
                }
                Move::Delta(..) => {}
                Move::State(from, to) => {
                    let bytes = self.bytes(*from);
                    self.receive(*to, &bytes);
                    let known = self.known[*from].clone();
                    self.known[*to].extend(known);
                    self.sent.push(bytes);
                }
            }
        }
    }

    fn bytes(&self, replica: usize) -> Vec<u8> {
        let (who, state) = &self.replicas[replica];
        state.encode(&who.actors)
    }

    fn check_model(&self) {
        for (replica, known) in self.known.iter().enumerate() {
            if let Some(expected) = S::expected(&self.ops, known) {
                assert_eq!(self.replicas[replica].1.shown(), expected, "{replica} knows {known:?} of {:?}", self.ops);
            }
        }
    }

    /// Everybody gets every delta, each in another order, some twice.
    fn deliver_all(&mut self) {
        for to in 0..REPLICAS {
            let mut order: Vec<_> = (0..self.deltas.len()).chain((0..self.deltas.len()).step_by(2)).collect();
            if to == 1 {
                order.reverse();
            }
            let by = (to * 7) % order.len().max(1);
            order.rotate_left(by);
            for index in order {
                let bytes = self.deltas[index].clone();
                self.receive(to, &bytes);
                self.known[to].insert(index);
            }
        }
    }

    fn laws(&self, picks: &[prop::sample::Index]) {
        let mut actors = Actors::default();
        let states: Vec<_> = self.sent.iter().map(|bytes| S::decode(bytes, &mut actors).unwrap()).collect();
        if states.is_empty() {
            return;
        }
        let join = |a: &S, b: &S| {
            let mut joined = a.clone();
            joined.merge(b);
            joined
        };
        for three in picks.chunks_exact(3) {
            let [a, b, c] = [0, 1, 2].map(|n| three[n].get(&states));
            let ab = join(a, b);
            assert_eq!(ab.encode(&actors), join(b, a).encode(&actors), "commutative");
            assert_eq!(ab, join(b, a), "equal bytes are equal states");
            assert_eq!(join(&ab, c), join(a, &join(b, c)), "associative");
            assert_eq!(join(&ab, b), ab, "idempotent");
            assert!(!ab.clone().merge(a).changed && !ab.clone().merge(&ab).changed);
        }
    }
}

fn check<S: Sample>(moves: &[Move], picks: &[prop::sample::Index], copied: bool) {
    let mut world = World::<S>::new(copied);
    world.play(moves);
    if !copied {
        world.check_model();
        assert_eq!(world.reused, 0, "nobody used an identity twice");
    }
    world.laws(picks);
    // States alone, without the deltas, come to the same.
    let mut by_states = world.replicas[0].1.clone();
    for replica in 1..REPLICAS {
        let bytes = world.bytes(replica);
        by_states.merge(&S::decode(&bytes, &mut world.replicas[0].0.actors).unwrap());
    }
    let by_states = by_states.encode(&world.replicas[0].0.actors);
    world.deliver_all();
    for replica in 0..REPLICAS {
        assert_eq!(world.bytes(replica), by_states, "replica {replica}");
    }
    if !copied {
        world.check_model();
    }
}

fn picks() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 12)
}

macro_rules! laws {
    ($($name:ident: $ty:ty;)*) => {
        proptest! {
            $(
                #[test]
                fn $name(moves in moves(), picks in picks(), copied: bool) {
                    check::<$ty>(&moves, &picks, copied);
                }
            )*

            #[test]
            fn any_bytes_are_read_in_one_way_or_refused(bytes in prop::collection::vec(0..20u8, 0..40)) {
                $(
                    let whole = [&[crate::codec::FORMAT, <$ty>::TAG], bytes.as_slice()].concat();
                    let mut actors = Actors::default();
                    if let Ok(value) = <$ty>::decode(&whole, &mut actors) {
                        prop_assert_eq!(value.encode(&actors), whole);
                    }
                )*
            }
        }
    };
}

laws! {
    lww: Lww<u64>;
    mv: Mv<u64>;
    g_counter: GCounter;
    pn_counter: PnCounter;
    bounded_counter: BoundedCounter;
    or_set: OrSet<u64>;
    max: Max<u64>;
    min: Min<u64>;
    lww_map: LwwMap<u64, u64>;
    versioned: Versioned<u64>;
}
