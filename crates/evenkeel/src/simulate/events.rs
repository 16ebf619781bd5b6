//! What the sources of a simulation send: good events, and every kind of bad one.
//!
//! How it is sent, and sent again, is [`super::sending`]'s.
use super::random::Random;
use evenkeel_core::{Event, json::Value, quarantine::Reason};

/// What the gate should make of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    /// Admit it.
    Good,
    /// Refuse it for this reason.
    Bad(Reason),
    /// Refuse it for this reason while the contracts are strict, and admit it once they are relaxed.
    TooStrict(Reason),
    /// Refuse the request: the event has no identity.
    Unreadable,
}

/// An event as a source made it.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) raw: Vec<u8>,
    pub(super) intent: Intent,
    source: &'static str,
    id: String,
    /// The clocks it is sent with, as attributes.
    clocks: String,
    /// How much was in the log when it was made.
    made_at: u64,
}

/// Who sends. The last one is not declared.
pub(super) const SOURCES: [&str; 7] =
    ["shop.orders", "stock.north", "stock.south", "meter", "notes.a", "notes.b", "stranger"];

/// Those of them that count their events and say what they knew.
pub(super) const COUNTING: [&str; 2] = ["notes.a", "notes.b"];

const ORDERS: [&str; 6] = ["o-1", "o-2", "o-3", "o-4", "o-5", "o-6"];
const SKUS: [&str; 4] = ["bolt", "gear", "lamp", "wire"];
const PLACES: [&str; 2] = ["main", "back"];
const METERS: [&str; 2] = ["m-1", "m-2"];
const NOTES: [&str; 3] = ["x", "y", "z"];

/// A key that a row of one of the models may have, as its texts.
pub(super) fn some_key(random: &mut Random, model: &str) -> Vec<&'static str> {
    let one = |random: &mut Random, of: &[&'static str]| random.pick(of).copied().unwrap_or_default();
    match model {
        "orders" => vec![one(random, &ORDERS)],
        "stock" => vec![one(random, &SKUS), one(random, &PLACES)],
        "notes" => vec![one(random, &NOTES)],
        _ => vec![one(random, &METERS)],
    }
}

impl Made {
    /// A new event of a source; `number` makes its id.
    pub(super) fn new(random: &mut Random, source: &'static str, number: u64) -> Self {
        Self::named(random, source, format!("e-{number}"), String::new())
    }

    /// A new event of a source that says what it knew.
    pub(super) fn clocked(random: &mut Random, source: &'static str, number: u64, clocks: String) -> Self {
        Self::named(random, source, format!("e-{number}"), clocks)
    }

    /// The same, made when so much was in the log.
    pub(super) fn at(self, made_at: u64) -> Self {
        Self { made_at, ..self }
    }

    pub(super) fn made_at(&self) -> u64 {
        self.made_at
    }

    pub(super) fn source(&self) -> &'static str {
        self.source
    }

    /// Another event under the name of this one.
    pub(super) fn forged(&self, random: &mut Random) -> Self {
        Self::named(random, self.source, self.id.clone(), self.clocks.clone())
    }

    fn named(random: &mut Random, source: &'static str, id: String, clocks: String) -> Self {
        let (event_type, data, intent) = match source {
            "shop.orders" => order(random),
            "meter" => reading(random),
            "notes.a" | "notes.b" => note(random, source, &id),
            _ => moved(random),
        };
        let envelope = |event_type: &str, more: &str| {
            format!(
                r#"{{"specversion":"1.0","id":"{id}","source":"{source}","type":"{event_type}"{clocks}{more},"data":{data}}}"#
            )
        };
        let stamp = random.below(100_000);
        let time = format!(r#","time":"2026-01-01T00:00:00.{stamp:05}Z""#);
        let (raw, intent) = match random.below(100) {
            _ if source == "stranger" => (envelope(event_type, &time), Intent::Bad(Reason::UntrustedSource)),
            // The meter's contract takes every type.
            0 | 1 if source != "meter" => (envelope("Gossip", &time), Intent::Bad(Reason::NoContract)),
            2 => (envelope(event_type, r#","time":"soon""#), Intent::Bad(Reason::Malformed)),
            3 if random.chance(500) => (r#"{"specversion":"1.0","id":"#.to_owned(), Intent::Unreadable),
            4 if !clocks.is_empty() => {
                let (text, reason) = [
                    ("notes.a=x", Reason::Malformed),
                    ("shop.orders=3", Reason::Malformed),
                    ("notes.a=1,notes.b=1,u=1,v=1,w=1,x=1", Reason::ClockTooLarge),
                ][random.index(3)];
                let more = format!(r#"{time},"vclock":"{text}""#);
                let raw = format!(
                    r#"{{"specversion":"1.0","id":"{id}","source":"{source}","type":"{event_type}"{more},"data":{data}}}"#
                );
                (raw, Intent::Bad(reason))
            }
            _ => (envelope(event_type, &time), intent),
        };
        Self { raw: raw.into_bytes(), intent, source, id, clocks, made_at: 0 }
    }
}

fn order(random: &mut Random) -> (&'static str, String, Intent) {
    let order = random.pick(&ORDERS).copied().unwrap_or_default();
    // Payments in another currency than the order's cannot be added by the fold.
    let currency = if random.chance(900) { "EUR" } else { "JPY" };
    let (amount, intent) = match random.below(20) {
        0 | 1 => ("0".to_owned(), Intent::TooStrict(Reason::Invariant)),
        2 => ("1.005".to_owned(), Intent::Bad(Reason::Mapping)),
        _ => (format!("{}", 1 + random.below(90)), Intent::Good),
    };
    match random.below(10) {
        0..=4 => {
            let lines: Vec<String> = (0..random.below(4)).map(|_| line(random)).collect();
            let (lines, intent) = match random.below(25) {
                0 => (r#""none""#.to_owned(), Intent::Bad(Reason::Schema)),
                _ => (format!("[{}]", lines.join(",")), intent),
            };
            let note = if random.chance(500) { format!(r#","note":"n-{}""#, random.below(9)) } else { String::new() };
            let data =
                format!(r#"{{"order":"{order}","amount":"{amount}","currency":"{currency}","lines":{lines}{note}}}"#);
            ("OrderPlaced", data, intent)
        }
        5..=7 => {
            let data = format!(r#"{{"order":"{order}","amount":"{amount}","currency":"{currency}"}}"#);
            ("OrderPaid", data, intent)
        }
        _ => {
            let (gone, intent) = match random.below(12) {
                0 => (r#""perhaps""#, Intent::Bad(Reason::Mapping)),
                1..=4 => ("true", Intent::Good),
                _ => ("false", Intent::Good),
            };
            ("OrderClosed", format!(r#"{{"order":"{order}","gone":{gone}}}"#), intent)
        }
    }
}

/// One line of an order. A few are poison: they name no product, or no number, which only a fold looks at.
fn line(random: &mut Random) -> String {
    let sku = random.pick(&SKUS).copied().unwrap_or_default();
    match random.below(40) {
        0..=3 => r#"{"qty":1}"#.to_owned(),
        4 => format!(r#"{{"sku":"{sku}","qty":"many"}}"#),
        _ => format!(r#"{{"sku":"{sku}","qty":-{}}}"#, 1 + random.below(5)),
    }
}

/// Whether a line of an order names no product, and so no row.
pub(super) fn names_no_product(event: &Event) -> bool {
    let lines = event.draft.data.as_object().and_then(|data| data.get("lines"));
    let lines = lines.and_then(Value::as_array).into_iter().flatten();
    lines.filter_map(Value::as_object).any(|line| line.get("sku").is_none())
}

fn moved(random: &mut Random) -> (&'static str, String, Intent) {
    let sku = random.pick(&SKUS).copied().unwrap_or_default();
    let place = random.pick(&PLACES).copied().unwrap_or_default();
    let (qty, intent) = match random.below(30) {
        0 | 1 => (0, Intent::Bad(Reason::Invariant)),
        // Two of these are more than a column holds.
        2 => (i64::MAX - 3, Intent::Good),
        _ => (i64::try_from(random.below(50)).unwrap_or_default() - 20, Intent::Good),
    };
    let intent = if qty == 0 { Intent::Bad(Reason::Invariant) } else { intent };
    ("StockMoved", format!(r#"{{"sku":"{sku}","place":"{place}","qty":{qty}}}"#), intent)
}

fn reading(random: &mut Random) -> (&'static str, String, Intent) {
    let meter = random.pick(&METERS).copied().unwrap_or_default();
    let (value, intent) = match random.below(16) {
        0 => (-3, Intent::TooStrict(Reason::Invariant)),
        1 => (13, Intent::Good),
        2 => (17, Intent::Good),
        _ => (i64::try_from(random.below(12)).unwrap_or_default(), Intent::Good),
    };
    ("Read", format!(r#"{{"meter":"{meter}","value":{value}}}"#), intent)
}

/// What is written is unlike anything else that is written, so that it can be told who wrote what stands.
fn note(random: &mut Random, source: &str, id: &str) -> (&'static str, String, Intent) {
    let note = random.pick(&NOTES).copied().unwrap_or_default();
    let unlike = format!("{source}/{id}/{}", random.below(1_000_000));
    let mut members = vec![format!(r#""note":"{note}""#)];
    if random.chance(250) {
        return ("NoteGone", format!("{{{}}}", members.join(",")), Intent::Good);
    }
    if random.chance(700) {
        members.push(format!(r#""title":"{unlike}""#));
    }
    if random.chance(600) {
        members.push(format!(r#""tag":"{unlike}""#));
    }
    let intent = match random.below(20) {
        0 | 1 => {
            members.push(r#""stars":"many""#.to_owned());
            Intent::Bad(Reason::Mapping)
        }
        stars => {
            members.push(format!(r#""stars":{stars}"#));
            Intent::Good
        }
    };
    ("NoteWritten", format!("{{{}}}", members.join(",")), intent)
}
