//! The causal buffer over real traces of people typing into one document at once: shuffled, doubled, with gaps.
//!
//! The data lies beside the checkout, in `../shared/data/causal`. Where it is missing this says so and passes; with
//! `EVENKEEL_TEST_DATA=required` in the environment it fails instead.
#![allow(clippy::unwrap_used, reason = "a test")]
use evenkeel_core::{
    Digest, Timestamp,
    causal::{Arrival, CausalBuffer, Delivered, Limits, Recall, Verdict},
    clock::{Actors, Dot, VectorClock},
};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

/// The events of a trace, in the order in which they were recorded, which is causal.
fn trace(name: &str) -> Option<Vec<Arrival<usize>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/causal").join(name);
    let Ok(file) = File::open(&path) else {
        let required = std::env::var("EVENKEEL_TEST_DATA").is_ok_and(|value| value == "required");
        assert!(!required, "{} is missing, and EVENKEEL_TEST_DATA=required", path.display());
        eprintln!("SKIPPED: {} is missing", path.display());
        return None;
    };
    let mut actors = Actors::default();
    let lines = BufReader::new(GzDecoder::new(file)).lines().map(|line| line.unwrap());
    let arrival = |(index, line): (usize, String)| {
        let event: Value = serde_json::from_str(&line).unwrap();
        // As it would come over the wire, in the order in which the trace names the actors.
        let pairs = event["clock"].as_object().unwrap().iter().map(|(actor, seq)| format!("{actor}={seq}"));
        let clock = VectorClock::from_text(&pairs.collect::<Vec<_>>().join(","), &mut actors, 8).unwrap();
        let actor = actors.get(event["actor"].as_str().unwrap()).unwrap();
        let dot = Dot::new(actor, event["seq"].as_u64().unwrap());
        Arrival { dot, clock, mark: Digest::of(line.as_bytes()).into(), bytes: line.len(), payload: index }
    };
    Some(lines.enumerate().map(arrival).collect())
}

/// A small generator, so that a failure can be repeated.
struct Lots(u64);

impl Lots {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    /// Moves each event by up to `window` places, or anywhere.
    fn shuffle<T>(&mut self, items: &mut [T], window: usize) {
        for at in 0..items.len() {
            let reach = window.min(items.len() - at);
            items.swap(at, at + self.below(reach));
        }
    }
}

/// What the buffer has to show at the end: all events once, each after all that it knew.
fn assert_causal(delivered: &[Delivered<usize>], expected: usize) {
    assert_eq!(delivered.len(), expected);
    let mut passed = VectorClock::default();
    for Delivered { arrival, exception } in delivered {
        assert!(!exception);
        assert_eq!(passed.get(arrival.dot.actor) + 1, arrival.dot.seq);
        passed.raise(arrival.dot);
        assert!(arrival.clock <= passed, "{:?} was delivered too early", arrival.dot);
    }
}

/// The straightforward buffer: one look at everything that waits, after every delivery.
fn rescanning(events: &[Arrival<usize>]) -> BTreeSet<Dot> {
    let (mut passed, mut delivered, mut waiting) = (VectorClock::default(), BTreeSet::new(), BTreeMap::new());
    for event in events {
        if passed.knows(event.dot) {
            continue;
        }
        waiting.insert(event.dot, event);
        loop {
            let ready = waiting.values().find(|event| {
                event.clock.iter().all(|(actor, seq)| passed.get(actor) + u64::from(actor == event.dot.actor) >= seq)
            });
            let Some(dot) = ready.map(|event| event.dot) else { break };
            waiting.remove(&dot);
            passed.raise(dot);
            delivered.insert(dot);
        }
    }
    delivered
}

fn whole_traces(check: impl Fn(&str, Vec<Arrival<usize>>)) {
    for name in ["clownschool.ndjson.gz", "friendsforever.ndjson.gz"] {
        if let Some(events) = trace(name) {
            check(name, events);
        }
    }
}

fn generous() -> Limits {
    Limits { max_events: 100_000, max_bytes: 1 << 30, ..Limits::default() }
}

#[test]
fn shuffled_and_doubled_traces_are_delivered_whole_and_in_order() {
    whole_traces(|name, events| {
        for window in [1, 50, 1000, usize::MAX] {
            let mut lots = Lots(window as u64);
            let mut arriving: Vec<_> = events.iter().chain(events.iter().step_by(3)).cloned().collect();
            arriving.sort_by_key(|event| event.payload);
            lots.shuffle(&mut arriving, window);
            let (mut buffer, mut out, mut doubles) = (CausalBuffer::new(generous()), vec![], 0);
            for event in arriving {
                doubles += usize::from(matches!(
                    buffer.offer(Timestamp::default(), event, &mut out),
                    Verdict::Duplicate { .. }
                ));
            }
            assert_causal(&out, events.len());
            assert_eq!(doubles, events.len().div_ceil(3), "{name}");
            assert!(buffer.is_empty());
        }
    });
}

#[test]
fn what_depends_on_a_gap_waits_and_nothing_else_does() {
    whole_traces(|name, events| {
        // A part that the straightforward buffer can be run over.
        let mut arriving: Vec<_> = events[..2500].iter().filter(|event| event.payload % 977 != 976).cloned().collect();
        let mut lots = Lots(7);
        lots.shuffle(&mut arriving, 40);
        let (mut buffer, mut out) = (CausalBuffer::new(generous()), vec![]);
        for event in arriving.iter().cloned() {
            buffer.offer(Timestamp::default(), event, &mut out);
        }
        let ours: BTreeSet<Dot> = out.iter().map(|delivered| delivered.arrival.dot).collect();
        assert_eq!(ours, rescanning(&arriving), "{name}");
        assert!(buffer.len() > 100 && ours.len() > 100, "{name}: {} wait", buffer.len());
    });
}

#[test]
fn what_did_not_fit_or_expired_is_recalled_and_admitted_in_the_end() {
    whole_traces(|name, events| {
        let limits = Limits { max_events: 200, ..Limits::default() };
        let (mut buffer, mut out, mut recall) = (CausalBuffer::new(limits), vec![], Recall::default());
        let mut arriving = events.clone();
        Lots(3).shuffle(&mut arriving, 2000);
        let (mut kept, mut over, mut expired) = (BTreeMap::new(), 0, 0);
        for (n, event) in arriving.into_iter().enumerate() {
            // A millisecond between two: some wait longer than ten seconds.
            let now = Timestamp::from_micros(n as i64 * 1000);
            let mut queue = vec![event];
            let mut handed_back = vec![];
            while let Some(event) = queue.pop() {
                let before = out.len();
                if let Verdict::Overflow(back) = buffer.offer(now, event, &mut out) {
                    over += 1;
                    handed_back.push(back);
                }
                let mut timed_out = vec![];
                buffer.tick(now, &mut out, &mut timed_out);
                expired += timed_out.len();
                handed_back.append(&mut timed_out);
                for back in handed_back.drain(..) {
                    recall.wait_for(back.waits_for[0], back.arrival.payload);
                    kept.insert(back.arrival.payload, back.arrival);
                }
                for delivered in &out[before..] {
                    let dot = delivered.arrival.dot;
                    queue.extend(recall.passed(dot.actor, dot.seq).iter().filter_map(|id| kept.remove(id)));
                }
            }
        }
        assert!(over > 1000, "{name}: {over} did not fit, {expired} expired");
        assert_causal(&out, events.len());
        assert!(kept.is_empty() && recall.is_empty() && buffer.is_empty());
    });
}
