//! The clocks that events are sent with, and what the log gives to those that have none.
//!
//! Text to [`Clocks`], bounded before anything is kept of it. Not here: what follows from a clock, which is decided with the
//! log's facts by the rest of the intake.
use crate::{
    clock::{Actors, BadClock, Hlc, HlcClock, HlcSettings, SPARE_ENTRIES, VectorClock},
    event::Saw,
    ids::{Position, SourceName},
    json::{Object, Value},
    quarantine::Reason,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The extension attribute with an event's stamp: `milliseconds.counter`.
pub const HLC: &str = "hlc";

/// The extension attribute with what an event knew: `actor=counter` pairs, itself included.
pub const VCLOCK: &str = "vclock";

/// The most entries that any clock may have.
pub const MAX_ENTRIES: usize = 1024;

/// The greatest counter: what every store can keep exactly, and one less, so that there is always a next.
pub const MAX_SEQ: u64 = i64::MAX as u64 - 1;

/// The mark of an event that its source counts: whose it is, and the how manyth of that source's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceDot {
    /// The source.
    pub source: SourceName,
    /// Its number among the source's events, from 1.
    pub seq: u64,
}

impl SourceDot {
    /// The mark of event number `seq` of `source`.
    pub fn new(source: impl Into<SourceName>, seq: u64) -> Self {
        Self { source: source.into(), seq }
    }
}

impl fmt::Display for SourceDot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.seq, self.source)
    }
}

/// The clocks of an event, as far as it was sent with any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clocks {
    /// When its source says that it happened.
    pub hlc: Option<Hlc>,
    /// The log's own stamp of when it was received first, where that was before. Nobody's claim: it is not judged.
    pub received: Option<Hlc>,
    /// What it knew.
    pub causes: Option<Box<Causes>>,
    /// What its writer had seen of the log, where it was sent with a consistency token.
    pub seen: Option<Seen>,
}

/// What the writer of an event had seen of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// All up to this position, by the token of the request that the event comes with now.
    Upto(Position),
    /// What was kept of it when it came.
    Kept(Saw),
}

/// What an event knew, from its vector clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Causes {
    /// Its own number among the events of its source.
    pub seq: u64,
    /// The number of its source's first event.
    pub first: u64,
    /// The last event it knew of each other source, sorted by source; without what is before the first of a source.
    pub knows: Vec<SourceDot>,
}

/// Clocks that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadClocks {
    /// [`Reason::Malformed`] or [`Reason::ClockTooLarge`].
    pub reason: Reason,
    /// The attribute to blame.
    pub attribute: &'static str,
    /// What is wrong, in words.
    pub detail: String,
}

impl Clocks {
    /// What was seen, as far as that was stamped.
    pub(super) fn saw(&self) -> Option<Saw> {
        match self.seen? {
            Seen::Kept(saw) => Some(saw),
            Seen::Upto(_) => None,
        }
    }

    /// The clocks in the extension attributes of an event of `source`. `first_of` says with which number a declared source
    /// begins, and nothing of others.
    ///
    /// # Errors
    /// Where an attribute is not what it should be, or the clock has more entries than sources that are declared and
    /// [`SPARE_ENTRIES`] others.
    ///
    /// ```
    /// use evenkeel_core::{intake::Clocks, json};
    /// let Ok(json::Value::Object(sent)) = json::parse(br#"{"vclock": "shop=2,till=7", "hlc": "1790000000000.7"}"#) else {
    ///     panic!("an object")
    /// };
    /// let clocks = Clocks::read("till", &sent, &|_| Some(1)).expect("clocks");
    /// let causes = clocks.causes.expect("a vector clock");
    /// assert_eq!((causes.seq, causes.knows[0].seq), (7, 2));
    /// assert!(Clocks::read("other", &sent, &|_| Some(1)).is_err(), "a clock counts the event itself");
    /// ```
    pub fn read(source: &str, sent: &Object, first_of: &dyn Fn(&str) -> Option<u64>) -> Result<Self, BadClocks> {
        let bad = |attribute| move |detail: String| BadClocks { reason: Reason::Malformed, attribute, detail };
        let text = |name: &'static str| match sent.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(other) => Err(bad(name)(format!("the attribute {name} must be text, found {}", other.kind()))),
        };
        let hlc =
            text(HLC)?.map(|text| text.parse::<Hlc>().map_err(|error| bad(HLC)(error.to_string()))).transpose()?;
        let Some(text) = text(VCLOCK)? else { return Ok(Self { hlc, ..Self::default() }) };
        let causes = Causes::read(source, text, first_of)?;
        Ok(Self { hlc, causes: Some(Box::new(causes)), ..Self::default() })
    }
}

impl Causes {
    fn read(source: &str, text: &str, first_of: &dyn Fn(&str) -> Option<u64>) -> Result<Self, BadClocks> {
        let bad = |reason, detail: String| BadClocks { reason, attribute: VCLOCK, detail };
        let mut actors = Actors::with_limit(MAX_ENTRIES);
        let clock = VectorClock::from_text(text, &mut actors, MAX_ENTRIES).map_err(|error| match error {
            BadClock::TooLarge { .. } => bad(Reason::ClockTooLarge, error.to_string()),
            other => bad(Reason::Malformed, other.to_string()),
        })?;
        let mut knows: Vec<_> =
            clock.iter().map(|(actor, seq)| SourceDot::new(actors.name(actor).clone(), seq)).collect();
        knows.sort_unstable();
        if let Some(dot) = knows.iter().find(|dot| dot.seq > MAX_SEQ) {
            return Err(bad(Reason::Malformed, format!("counters end with {MAX_SEQ}, found {dot}")));
        }
        let strangers = knows.iter().filter(|dot| first_of(dot.source.as_str()).is_none()).count();
        if strangers > SPARE_ENTRIES {
            let detail = format!(
                "the clock names {strangers} sources that are not declared, and {SPARE_ENTRIES} may be: it is to be pruned \
                 where it is made, or the sources are to be declared"
            );
            return Err(bad(Reason::ClockTooLarge, detail));
        }
        let own = knows.iter().position(|dot| dot.source.as_str() == source);
        let Some(own) = own.map(|own| knows.remove(own)) else {
            return Err(bad(
                Reason::Malformed,
                format!("the clock does not count the event itself: {source:?} is not in it"),
            ));
        };
        let first = first_of(source).unwrap_or(1);
        if own.seq < first {
            let detail =
                format!("the events of {source:?} begin with number {first}, and this one is number {}", own.seq);
            return Err(bad(Reason::Malformed, detail));
        }
        // What is before the first of a source is known to everybody.
        knows.retain(|dot| first_of(dot.source.as_str()).is_none_or(|first| dot.seq >= first));
        Ok(Self { seq: own.seq, first, knows })
    }
}

/// The text of the attribute `vclock` of an event as everybody would write it; `None` where it has none that can be read.
pub fn canonical_vclock(extensions: &Object) -> Option<String> {
    let mut actors = Actors::with_limit(MAX_ENTRIES);
    let clock = VectorClock::from_text(extensions.get(VCLOCK)?.as_str()?, &mut actors, MAX_ENTRIES).ok()?;
    Some(clock.to_text(&actors))
}

/// How far apart clocks may be, and how much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CausalLimits {
    /// How far ahead of ours the stamp of an event may be, in milliseconds.
    pub max_skew_ms: u32,
    /// How many events may wait for what they depend on.
    pub max_events: u64,
    /// How many bytes they may take together.
    pub max_bytes: u64,
}

impl Default for CausalLimits {
    fn default() -> Self {
        Self { max_skew_ms: 500, max_events: 10_000, max_bytes: 64 << 20 }
    }
}

/// The log's own clock, kept in the very transaction that gives its stamps out: so no restart repeats one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogClock {
    /// The greatest stamp that was given or taken note of.
    pub last: Hlc,
    /// How many of the events that no source counts are in the log.
    pub seq: u64,
    /// How many events wait for what they depend on.
    pub waiting_events: u64,
    /// How many bytes they take.
    pub waiting_bytes: u64,
}

impl LogClock {
    /// A clock that goes on from here. Whatever it gives out is written before anybody sees it, so there is no need to
    /// reserve stamps beforehand.
    pub(super) fn run(self, limits: CausalLimits) -> HlcClock {
        let settings = HlcSettings { max_skew_ms: limits.max_skew_ms, ..HlcSettings::default() };
        let mut clock = HlcClock::resume(settings, self.last);
        clock.reserved(Hlc::MAX);
        clock
    }
}

/// The next stamp; the last there is once all were given out, in the year 10889.
pub(super) fn stamp(clock: &mut HlcClock, now: Timestamp) -> Hlc {
    clock.stamp(now).unwrap_or(Hlc::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vclock: &str) -> Result<Option<Box<Causes>>, BadClocks> {
        let mut sent = Object::default();
        sent.insert(VCLOCK, vclock.into());
        let first_of = |source: &str| match source {
            "a" => Some(1),
            "b" => Some(5),
            "c" => Some(1),
            _ => None,
        };
        Clocks::read("a", &sent, &first_of).map(|clocks| clocks.causes)
    }

    #[test]
    fn a_clock_is_what_the_event_knew_beside_itself() {
        let causes = read("b=7,a=3,c=0").unwrap().unwrap();
        assert_eq!(*causes, Causes { seq: 3, first: 1, knows: vec![SourceDot::new("b", 7)] });
        assert!(read("a=3,b=4").unwrap().unwrap().knows.is_empty(), "b begins with 5");
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_reason() {
        let reason = |vclock: &str| read(vclock).unwrap_err().reason;
        for bad in ["", "b=3", "a=0", "a", "a=x", "a=1,a=2", "a=9223372036854775807", "a=1,x=18446744073709551615"] {
            assert_eq!(reason(bad), Reason::Malformed, "{bad}");
        }
        assert!(read("a=1,u=1,v=1,w=1").is_ok(), "three that nobody declared");
        assert_eq!(reason("a=1,u=1,v=1,w=1,x=1"), Reason::ClockTooLarge);
        let many: Vec<_> = (0..=MAX_ENTRIES).map(|n| format!("n{n:04}=1")).collect();
        assert_eq!(reason(&many.join(",")), Reason::ClockTooLarge);
        let mut sent = Object::default();
        sent.insert(HLC, 7.into());
        assert_eq!(Clocks::read("a", &sent, &|_| None).unwrap_err().attribute, HLC);
    }
}
