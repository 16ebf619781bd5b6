//! Pins every encoding that leaves memory: a change here means that stored data and other replicas no longer agree.
//!
//! `golden/encodings.txt` holds a name and the bytes, or the text, of each. Where a format is to change, it gets a new
//! version beside the old; this file is then added to, and no line of it changed.
#![allow(clippy::unwrap_used, reason = "a test")]
use evenkeel_core::{
    Incarnation,
    causal::{CausalBuffer, Limits, Progress},
    clock::{Actors, Base, Dot, Hlc, Pruned, VectorClock},
    codec::{Reader, Value},
    crdt::{BoundedCounter, Crdt, Encode, GCounter, Lww, LwwMap, Max, Min, Mv, OrSet, PnCounter, Versioned},
    order::{Stamp, WriteKind},
};
use std::{collections::BTreeMap, fmt::Debug};

const GOLDEN: &str = include_str!("golden/encodings.txt");

/// What is encoded, and the same read back by a node that numbers the actors differently.
struct Book {
    actors: Actors,
    other: Actors,
    found: BTreeMap<&'static str, String>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Book {
    fn state<S: Encode + Crdt + Debug>(&mut self, name: &'static str, state: &S) {
        let bytes = state.encode(&self.actors);
        let there = S::decode(&bytes, &mut self.other).unwrap();
        assert_eq!(hex(&there.encode(&self.other)), hex(&bytes), "{name}");
        assert_eq!(S::decode(&bytes, &mut self.actors).as_ref(), Ok(state), "{name}");
        self.found.insert(name, hex(&bytes));
    }
}

fn stamp(millis: u64, replica: &str) -> Stamp {
    let kind = WriteKind::Set;
    Stamp { hlc: Hlc::new(millis, 3), replica: replica.into(), incarnation: Incarnation(2), kind }
}

fn clocks(book: &mut Book, a: Dot, b: Dot) {
    let clock = VectorClock::new([(a.actor, 300), (b.actor, u64::MAX)]).unwrap();
    book.found.insert("vector_clock", hex(&clock.encode(&book.actors)));
    book.found.insert("vector_clock.text", clock.to_text(&book.actors));
    book.found.insert("vector_clock.empty", hex(&VectorClock::default().encode(&book.actors)));
    let pruned = Pruned { base: Base(2), clock };
    book.found.insert("pruned_clock", hex(&pruned.encode(&book.actors)));
    let there = Pruned::decode(&pruned.encode(&book.actors), &mut book.other).unwrap();
    assert_eq!(there.encode(&book.other), pruned.encode(&book.actors));
    book.found.insert("hlc.text", Hlc::new(1_790_000_000_000, 41).to_string());
    book.found.insert("hlc", format!("{:016x}", Hlc::new(1_790_000_000_000, 41).as_u64()));
    let stamp = stamp(1_790_000_000_000, "eu");
    book.found.insert("stamp", hex(&stamp.to_bytes()));
    assert_eq!(Stamp::read(&mut Reader::new(&stamp.to_bytes())), Ok(stamp));
}

fn progress(book: &mut Book, a: Dot, b: Dot) {
    let (mut buffer, mut out) = (CausalBuffer::<()>::new(Limits::default()), Vec::new());
    buffer.start(a.actor, 5, &mut out).unwrap();
    buffer.skip(a.actor, 5, 9, &mut out).unwrap();
    buffer.skip(a.actor, 11, 11, &mut out).unwrap();
    buffer.retire(b.actor, &mut out);
    let bytes = buffer.progress().encode(&book.actors);
    let there = Progress::decode(&bytes, &mut book.other).unwrap();
    assert_eq!(there.encode(&book.other), bytes);
    book.found.insert("progress", hex(&bytes));
}

fn registers(book: &mut Book, a: Dot, b: Dot) {
    let mut lww = Lww::default();
    book.state("lww.empty", &Lww::<String>::default());
    lww.write(stamp(5, "eu"), "paid".to_owned());
    book.state("lww", &lww);
    let mut mv = Mv::default();
    mv.write(a, 7i64);
    mv.merge(&Mv::knowing(b, &VectorClock::new([(b.actor, 1)]).unwrap(), -7));
    book.state("mv", &mv);
    let mut versioned = Versioned::default();
    versioned.write(a, stamp(1, "eu"), None, vec![1u8, 2]);
    versioned.write(Dot::new(a.actor, 2), stamp(2, "eu"), Some(a), vec![3]);
    versioned.write(b, stamp(3, "us"), Some(a), vec![]);
    book.state("versioned", &versioned);
    let (mut max, mut min) = (Max::default(), Min::default());
    max.put(stamp(5, "eu"), 70_000u64);
    min.put(stamp(5, "eu"), false);
    book.state("max", &max);
    book.state("min", &min);
}

fn counters_and_collections(book: &mut Book, a: Dot, b: Dot) {
    let mut g = GCounter::default();
    g.add(a, 300).unwrap();
    g.add(b, 1).unwrap();
    book.state("g_counter", &g);
    let mut pn = PnCounter::default();
    pn.add(a, 5).unwrap();
    pn.reset();
    pn.add(Dot::new(a.actor, 4), -300).unwrap();
    book.state("pn_counter", &pn);
    let mut bounded = BoundedCounter::default();
    bounded.add(a, 10).unwrap();
    bounded.send(Dot::new(a.actor, 2), b.actor, 4).unwrap();
    bounded.take(b, 3).unwrap();
    book.state("bounded_counter", &bounded);
    let mut set = OrSet::default();
    set.add(a, ["red", "blue"].map(String::from)).unwrap();
    set.remove(&"red".to_owned());
    let delta = set.add(Dot::new(b.actor, 3), ["green".to_owned()]).unwrap();
    book.state("or_set", &set);
    book.state("or_set.delta", &delta);
    let mut map = LwwMap::default();
    map.put(stamp(5, "eu"), "colour".to_owned(), Some(3u64));
    map.remove(stamp(6, "us"), "size".to_owned());
    book.state("lww_map", &map);
}

#[test]
fn encodings_are_what_they_were() {
    let (mut actors, mut other) = (Actors::default(), Actors::default());
    // Interned in an order that is not that of the names, and elsewhere in another.
    let b = Dot::new(actors.intern("shop/us").unwrap(), 1);
    let a = Dot::new(actors.intern("shop, eu=1").unwrap(), 1);
    other.intern("elsewhere").unwrap();
    other.intern("shop, eu=1").unwrap();
    let mut book = Book { actors, other, found: BTreeMap::new() };
    clocks(&mut book, a, b);
    progress(&mut book, a, b);
    registers(&mut book, a, b);
    counters_and_collections(&mut book, a, b);
    let found: String = book.found.iter().map(|(name, value)| format!("{name} {value}\n")).collect();
    assert_eq!(found, GOLDEN, "what is found stands left");
}
