//! Two targets, the envelope and the contract's decision, over mutated events: a few seconds of every test run, and a minute
//! each in `scripts/test.sh`.
//!
//! Coverage-guided fuzzing needs a nightly compiler, which the tests must do without; this is the loop that runs
//! everywhere. It begins from a small corpus that is kept (`tests/corpus`), mutates by a seed that it prints, and holds
//! what must be true of any bytes. `EVENKEEL_FUZZ_SECONDS` gives it longer, `EVENKEEL_FUZZ_SEED` another or the same beginning.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "the loop has a budget of time; what it tests has none")]

use evenkeel_contract::{
    diagnostic::Files,
    envelope::{self, RawEvent, Refused, from_binary, split_batch},
    gate::Gate,
    project,
};
use evenkeel_core::{
    EventId,
    intake::Verdict,
    json::{Pointer, parse},
    quarantine::Reason,
};
use std::{
    fs,
    time::{Duration, Instant},
};

const V2: &str = r#"contract = "order_placed"
version = 2
from = { source = "shop.*", type = "OrderPlaced" }
schema = "v2.json"
subject = "/id"
map = [
  { from = "/id", to = "id", type = "text" },
  { from = "/total", to = "total", type = "money", currency = "/currency", round = "half_even" },
  { from = "/state", to = "state", type = "text", values = { NEW = "new", "1" = "one" }, default = "NEW" },
  { from = "/rate", to = "rate", type = "decimal", optional = true, round = { mode = "up", digits = 1 } },
  { from = { extension = "partitionkey" }, to = "shard", type = "text", optional = true },
  { from = { event = "time" }, to = "at", type = "timestamp", optional = true },
  { from = "/tags", to = "tags", type = "array", each = { from = "", type = "text" }, default = [] },
  { from = "/any", to = "any", type = "json", optional = true },
  { from = "/lines", to = "lines", type = "array", default = [], each = [
    { from = "/sku", to = "sku", type = "text" },
    { from = "/qty", to = "qty", type = "i64" },
    { from = "/price", to = "price", type = "money", currency = { data = "/currency" } },
  ] },
]
invariant = [
  { name = "sku_form", cel = "payload.lines.all(l, l.sku.contains('-') && l.qty > 0)" },
  { name = "adds_up", sum_equals = { over = "/data/lines", value = "/price", times = "/qty", equals = "/data/total" } },
  { name = "any_small", cel = "!has(payload.any) || size(payload.any) < 100" },
  { name = "id_form", matches = ["/data/id", "^.{1,40}$"] },
]
[upcast]
from = 1
keep = ["id"]
map = [
  { from = "/sum", to = "total", type = "money", currency = { value = "EUR" } },
  { from = { value = [] }, to = "lines", type = "array" },
  { from = { value = [] }, to = "tags", type = "array" },
  { from = { value = "new" }, to = "state", type = "text" },
]
"#;

const V1: &str = r#"contract = "order_placed"
version = 1
from = { source = "shop.*", type = "OrderPlaced" }
subject = "/id"
unmapped = "refuse"
map = [
  { from = "/id", to = "id", type = "text" },
  { from = "/sum", to = "sum", type = "decimal" },
]
"#;

fn gate() -> Gate {
    let files: Files = [
        ("evenkeel.toml", "[[source]]\nname = \"shop\"\nmatch = \"shop.*\"\n"),
        ("contracts/v1.toml", V1),
        ("contracts/v2.toml", V2),
        ("contracts/v2.json", r#"{"type": "object", "required": ["total"]}"#),
    ]
    .into_iter()
    .collect();
    project::compile(&files, &[]).unwrap_or_else(|wrong| panic!("{}", wrong.render(&files, false))).gate
}

/// Xorshift: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }
}

/// What JSON is made of, and what breaks those who read it.
const WORDS: [&str; 30] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\u0000",
    "\\ud800",
    "\\u0069d",
    "null",
    "true",
    "1e400",
    "-0",
    "9007199254740993.01",
    "9223372036854775808",
    "\"EUR\"",
    "\"JPY\"",
    "\"id\":\"2\",",
    "\"total\":1,",
    "\"sum\":1,",
    "\"lines\":[],",
    "0.005",
    "\u{0}",
    "\u{feff}",
    "💥",
    "\"data\":",
    "\"time\":\"2026-13-01T00:00:00Z\",",
    "\"partitionkey\":7,",
    "[[[[[[[[[[[[[[[[",
];

/// Whole values, so that the syntax holds and what stands behind it is reached.
const VALUES: [&str; 20] = [
    "null",
    "true",
    "0",
    "1",
    "-1",
    "12.5",
    "12.50",
    "0.005",
    "1e400",
    "9007199254740993.01",
    "9223372036854775808",
    "\"\"",
    "\"x-1\"",
    "\"EUR\"",
    "\"1.50\"",
    "\"\\u0000\"",
    "[]",
    "[{\"sku\":\"A-1\",\"qty\":2,\"price\":1}]",
    "{\"a\":1}",
    "{\"a\":1,\"a\":2}",
];

/// Puts another value behind a colon.
fn exchange(bytes: &mut Vec<u8>, random: &mut Random) {
    let colons: Vec<usize> =
        bytes.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at + 1).collect();
    if colons.is_empty() {
        return;
    }
    let from = colons[random.below(colons.len())];
    let length = bytes[from..].iter().position(|byte| b",}]".contains(byte)).unwrap_or(0);
    bytes.splice(from..from + length, VALUES[random.below(VALUES.len())].bytes());
}

fn mutate(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    if random.below(3) > 0 {
        (0..=random.below(2)).for_each(|_| exchange(bytes, random));
        return;
    }
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] = u8::try_from(random.below(256)).unwrap(),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 => drop(bytes.drain(at..(at + random.below(12)).min(bytes.len()))),
            3 => {
                let end = (at + random.below(60)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len());
                let piece = other[from..(from + random.below(80)).min(other.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let word = WORDS[random.below(WORDS.len())].bytes();
                bytes.splice(at..at, word);
            }
        }
    }
    bytes.truncate(4096);
}

/// What must be true of any bytes.
fn holds(gate: &Gate, bytes: &[u8]) -> Option<Reason> {
    let decided = gate.decide(bytes.to_vec(), None).ok()?;
    let again = gate.decide(bytes.to_vec(), None).unwrap();
    assert_eq!(format!("{decided:?}"), format!("{again:?}"), "the same bytes, the same verdict");
    let sent = &decided.arrival.sent;
    assert_eq!(sent.raw, bytes);
    assert_eq!(sent.id, EventId::of(sent.source.as_str(), &sent.raw_id));
    let raw = parse(bytes);
    let found = |pointer: &str| pointer.parse::<Pointer>().unwrap().get(raw.as_ref().unwrap()).is_some();
    match &decided.arrival.verdict {
        Verdict::Admit(draft) => {
            assert!(raw.is_ok(), "what is admitted is JSON that can be carried exactly");
            let text = draft.data.to_string();
            assert_eq!(parse(text.as_bytes()).unwrap(), draft.data, "what leaves the gate is carried exactly");
            assert_eq!(draft.contract_version, 2, "upcast where it came as version 1");
            let lineage = gate.lineage(bytes).unwrap();
            let base64 = found("/data_base64");
            for place in lineage.fields.iter().flat_map(|origin| &origin.from).filter(|_| !base64) {
                assert!(found(place), "{place} is made of nothing");
            }
            assert!(!draft.subject.as_str().is_empty());
            None
        }
        Verdict::Quarantine(refusal) => {
            assert!(!refusal.detail.is_empty() && refusal.detail.len() < 500);
            let by_contract = matches!(refusal.reason, Reason::Schema | Reason::Mapping | Reason::Invariant);
            assert_eq!(refusal.contract.is_some(), by_contract);
            assert!(by_contract || refusal.parks.is_none(), "only a contract's refusal holds anything up");
            if let Some(pointer) = &refusal.pointer {
                assert!(pointer.parse::<Pointer>().is_ok(), "{pointer} is no pointer");
            }
            Some(refusal.reason)
        }
    }
}

/// Feeds mutated bytes to a target until the time is over; how many runs there were. Each has a seed of its own, so that
/// one is enough to repeat it.
fn fuzz(mut target: impl FnMut(&[u8], &mut Random)) -> u64 {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let corpus: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    let number = |name: &str, otherwise: u64| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let seed = number("EVENKEEL_FUZZ_SEED", 0x5eed);
    let until = Instant::now() + Duration::from_secs(number("EVENKEEL_FUZZ_SECONDS", 5));
    for bytes in &corpus {
        target(bytes, &mut Random(1));
    }
    let mut runs = 0u64;
    while Instant::now() < until {
        let own = seed.wrapping_add(runs).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = Random(own);
        let mut bytes = corpus[random.below(corpus.len())].clone();
        mutate(&mut bytes, &corpus, &mut random);
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target(&bytes, &mut random)));
        if judged.is_err() {
            panic!("run {runs} of seed {seed} fails on {:?}", String::from_utf8_lossy(&bytes));
        }
        runs += 1;
    }
    println!("{runs} runs of seed {seed}");
    runs
}

#[test]
fn the_decision_about_mutated_events_is_no_panic_and_always_the_same() {
    let gate = gate();
    let (mut admitted, mut reasons) = (0u64, std::collections::BTreeMap::new());
    let runs = fuzz(|bytes, _| {
        for event in split_batch(bytes).unwrap_or_default() {
            holds(&gate, event);
        }
        let headers = [("ce-id", "1"), ("ce-source", "shop.a"), ("ce-type", "OrderPlaced"), ("ce-specversion", "1.0")];
        if let Ok(structured) = from_binary(headers, Some("application/json"), bytes) {
            holds(&gate, &structured);
        }
        if let Some(reason) = holds(&gate, bytes) {
            *reasons.entry(reason.as_str()).or_insert(0u64) += 1;
        }
        admitted += u64::from(gate.lineage(bytes).is_ok());
    });
    println!("{admitted} admitted, {reasons:?}");
    assert!(runs < 1000 || admitted > 0, "mutations that never pass test nothing behind the first refusal");
}

/// Text of an attribute: pieces that are often confused, or of any bytes.
fn some_text(random: &mut Random) -> String {
    const PIECES: [&str; 12] = ["a", "shop.a", "%41", "%", "%e", "\"", "\\", " ", "\u{e4}", "\u{1f600}", "{", "\t"];
    (0..=random.below(4)).map(|_| PIECES[random.below(PIECES.len())]).collect()
}

/// As a header may carry it: each byte as it is or percent-encoded, but what would be read as something else.
fn encoded(text: &str, random: &mut Random) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.';
    let one = |byte: u8| match random.below(3) {
        0 if plain(byte) => char::from(byte).to_string(),
        1 => format!("%{byte:02x}"),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// What must be true of whatever is read, in the structured form.
fn is_an_envelope(bytes: &[u8]) -> Option<RawEvent> {
    let read = envelope::read(bytes);
    assert_eq!(format!("{read:?}"), format!("{:?}", envelope::read(bytes)), "the same bytes, the same event");
    match read {
        Ok(event) => {
            assert!(!event.id.is_empty() && !event.source.as_str().is_empty() && !event.event_type.is_empty());
            let known = ["id", "source", "type", "specversion", "data", "data_base64", "time", "subject"];
            assert!(event.extensions.iter().all(|(name, _)| !known.contains(&name)), "{event:?}");
            Some(event)
        }
        Err(Refused::Malformed(malformed)) => {
            assert!(!malformed.id.is_empty() && !malformed.source.as_str().is_empty(), "{malformed:?}");
            assert!(!malformed.detail.is_empty() && malformed.detail.len() < 500);
            None
        }
        Err(Refused::Unreadable(why)) => {
            assert!(!why.0.is_empty());
            None
        }
    }
}

#[test]
fn envelopes_of_mutated_events_are_read_alike_in_every_mode() {
    let (mut read, mut batches, mut binary) = (0u64, 0u64, 0u64);
    let runs = fuzz(|bytes, random| {
        let event = is_an_envelope(bytes);
        read += u64::from(event.is_some());
        // A batch of it, and of what a batch was cut into, is cut into the same again.
        let parts = split_batch(bytes).unwrap_or_default();
        parts.iter().for_each(|part| drop(is_an_envelope(part)));
        let mut joined = b"[ ".to_vec();
        joined.extend(parts.join(&b" , "[..]));
        joined.push(b']');
        assert_eq!(split_batch(&joined).unwrap(), parts);
        batches += u64::from(!parts.is_empty());
        if let Some(event) = event {
            let batch = [b"[".as_slice(), bytes, b"]"].concat();
            let alone = split_batch(&batch).unwrap();
            assert_eq!(alone.len(), 1);
            assert_eq!(is_an_envelope(alone[0]), Some(event));
        }
        // Attributes come out of headers as they went in, whatever of them is encoded and whatever the body is.
        let texts = [(); 4].map(|()| some_text(random));
        let headers = ["ce-id", "CE-Source", "ce-type", "ce-note"];
        let values = [0, 1, 2, 3].map(|at| encoded(&texts[at], random));
        let headers = headers.iter().zip(&values).map(|(name, value)| (*name, value.as_str()));
        let types =
            [None, Some("application/json"), Some("application/json; charset=utf-8"), Some("text/plain"), Some("\"")];
        let content_type = types[random.below(types.len())];
        let structured = from_binary(headers.chain([("ce-specversion", "1.0"), ("x-other", "1")]), content_type, bytes);
        let structured = structured.unwrap();
        match envelope::read(&structured) {
            Ok(event) => {
                let note = event.extensions.get("note").and_then(|note| note.as_str());
                let found = (event.id.as_str(), event.source.as_str(), event.event_type.as_str(), note);
                assert_eq!(found, (&*texts[0], &*texts[1], &*texts[2], Some(&*texts[3])));
                binary += 1;
            }
            Err(Refused::Malformed(malformed)) => {
                assert_eq!((malformed.id.as_str(), malformed.source.as_str()), (&*texts[0], &*texts[1]));
            }
            Err(Refused::Unreadable(why)) => panic!("{why}: {}", String::from_utf8_lossy(&structured)),
        }
    });
    println!("{read} read, {batches} batches, {binary} in binary mode");
    assert!(runs < 1000 || (read > 0 && batches > 0 && binary > 0), "what never passes tests little");
}
