//! Vector clocks outside: the text of the event attribute `vclock`, and canonical bytes.
//!
//! Text: `actor=counter` pairs, comma-separated, sorted by actor; `=`, `,` and `%` of a name are percent-encoded. What
//! is written is canonical; what is read may be in any order and may hold zeros, which say what leaving out says. An
//! actor that is named twice, in whatever spelling, is refused. Bytes: `1, 1, number of entries`, then of each its name
//! and counter, sorted by name; read strictly. Both are bounded before anything is kept of them.
use super::{Actors, ActorsError, VectorClock, hlc::decimal};
use crate::codec::{CodecError, FORMAT, Reader, put_bytes, put_number};
use smallvec::SmallVec;
use std::borrow::Cow;

/// The type of a vector clock's bytes.
pub(crate) const TAG_VECTOR: u8 = 1;

/// Text or bytes that are no vector clock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadClock {
    /// Not `actor=counter`.
    #[error("expected actor=counter, found {0:?}")]
    Pair(String),
    /// Not a counter.
    #[error("expected a counter of up to 64 bits, found {0:?}")]
    Counter(String),
    /// A percent sign that encodes nothing, or bytes that are not UTF-8.
    #[error("the name {0:?} is not percent-encoded text")]
    Name(String),
    /// An actor named twice.
    #[error("the actor {0:?} is named twice")]
    Repeated(String),
    /// More entries than the reader takes.
    #[error("more than {limit} entries")]
    TooLarge {
        /// How many are taken.
        limit: usize,
    },
    /// More names than the table of actors may hold.
    #[error(transparent)]
    Actors(#[from] ActorsError),
}

impl VectorClock {
    /// Reads the text of the attribute `vclock`, of at most `max_entries` entries.
    ///
    /// # Errors
    /// Where it is no clock, or too large. Names are given numbers only once all of it was found to be sound.
    ///
    /// ```
    /// use evenkeel_core::clock::{Actors, VectorClock};
    /// let mut actors = Actors::default();
    /// let clock = VectorClock::from_text("shop.orders=7,a%2Cb=2,old=0", &mut actors, 16)?;
    /// assert_eq!(clock.to_text(&actors), "a%2Cb=2,shop.orders=7");
    /// assert!(VectorClock::from_text("a=1,a=2", &mut actors, 16).is_err());
    /// # Ok::<(), evenkeel_core::clock::BadClock>(())
    /// ```
    pub fn from_text(text: &str, actors: &mut Actors, max_entries: usize) -> Result<Self, BadClock> {
        let escaped = text.contains('%');
        let mut pairs: SmallVec<[(&str, u64); 16]> = SmallVec::new();
        let mut rest = if text.is_empty() { None } else { Some(text) };
        while let Some(from) = rest {
            if pairs.len() == max_entries {
                return Err(BadClock::TooLarge { limit: max_entries });
            }
            let pair;
            (pair, rest) = cut(from, b',').map_or((from, None), |(pair, rest)| (pair, Some(rest)));
            let (name, count) = cut(pair, b'=').ok_or_else(|| BadClock::Pair(pair.to_owned()))?;
            let count = decimal(count).ok_or_else(|| BadClock::Counter(count.to_owned()))?;
            if name.is_empty() {
                return Err(BadClock::Pair(pair.to_owned()));
            }
            if escaped {
                decoded(name)?;
            }
            pairs.push((name, count));
        }
        if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
            let mut names: SmallVec<[&str; 16]> = pairs.iter().map(|pair| pair.0).collect();
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|two| two[0] == two[1]) {
                return Err(BadClock::Repeated(twice[0].to_owned()));
            }
        }
        let mut entries: SmallVec<[_; 16]> = SmallVec::with_capacity(pairs.len());
        let mut before = None;
        for (name, count) in pairs {
            let actor = match escaped {
                true => actors.intern_after(before, &decoded(name)?)?,
                false => actors.intern_after(before, name)?,
            };
            entries.push((actor, count));
            before = Some(actor);
        }
        // Two spellings of one name: seen only here.
        Self::from_entries(&mut entries).map_err(|twice| BadClock::Repeated(actors.name(twice.0).to_string()))
    }

    /// The entries with names, sorted by name: the order of everything that leaves this node.
    fn named<'a>(&self, actors: &'a Actors) -> SmallVec<[(&'a str, u64); 16]> {
        let mut named: SmallVec<[_; 16]> =
            self.iter().map(|(actor, count)| (actors.name(actor).as_str(), count)).collect();
        named.sort_unstable();
        named
    }

    /// The text of the attribute `vclock`.
    pub fn to_text(&self, actors: &Actors) -> String {
        text(self.named(actors).into_iter())
    }

    /// Its canonical bytes.
    pub fn encode(&self, actors: &Actors) -> Vec<u8> {
        let mut out = vec![FORMAT, TAG_VECTOR];
        let named = self.named(actors);
        put_number(&mut out, named.len() as u128);
        for (name, count) in named {
            put_bytes(&mut out, name.as_bytes());
            put_number(&mut out, u128::from(count));
        }
        out
    }

    /// Reads [`VectorClock::encode`].
    ///
    /// # Errors
    /// Where the bytes are not what this clock would be written as.
    pub fn decode(bytes: &[u8], actors: &mut Actors) -> Result<Self, CodecError> {
        let mut input = Reader::new(bytes);
        input.header(TAG_VECTOR)?;
        let mut named: SmallVec<[(&str, u64); 16]> = SmallVec::new();
        for _ in 0..input.count()? {
            let (name, count) = (input.text()?, input.number()?);
            if count == 0 {
                return Err(CodecError::NotCanonical("a counter of zero"));
            }
            if named.last().is_some_and(|(last, _)| *last >= name) {
                return Err(CodecError::NotCanonical("actors out of order"));
            }
            named.push((name, count));
        }
        input.end()?;
        let mut entries: SmallVec<[_; 16]> = SmallVec::with_capacity(named.len());
        for (name, count) in named {
            entries.push((actors.intern_after(entries.last().map(|entry: &(_, u64)| entry.0), name)?, count));
        }
        Self::from_entries(&mut entries).map_err(|_| CodecError::NotCanonical("an actor named twice"))
    }
}

/// The text of the attribute `vclock` of these counts, sorted by name.
pub(crate) fn text<'n>(named: impl Iterator<Item = (&'n str, u64)>) -> String {
    let mut text = String::with_capacity(named.size_hint().0 * 24);
    for (name, count) in named {
        if !text.is_empty() {
            text.push(',');
        }
        for c in name.chars() {
            match c {
                '=' => text.push_str("%3D"),
                ',' => text.push_str("%2C"),
                '%' => text.push_str("%25"),
                other => text.push(other),
            }
        }
        text.push('=');
        text.push_str(&count.to_string());
    }
    text
}

/// What is before and after the first `at`, an ASCII character. Pairs are short: a plain look at each byte is faster than
/// what is made for long texts.
fn cut(text: &str, at: u8) -> Option<(&str, &str)> {
    let place = text.bytes().position(|byte| byte == at)?;
    Some((&text[..place], &text[place + 1..]))
}

/// A name without its percent-encoding.
fn decoded(name: &str) -> Result<Cow<'_, str>, BadClock> {
    if !name.as_bytes().contains(&b'%') {
        return Ok(name.into());
    }
    let bad = || BadClock::Name(name.to_owned());
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(bad)?;
        let digit = |digit: u8| char::from(digit).to_digit(16).ok_or_else(bad);
        bytes.push((digit(digits[0])? << 4 | digit(digits[1])?) as u8);
        rest = after;
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn read(text: &str) -> Result<VectorClock, BadClock> {
        VectorClock::from_text(text, &mut Actors::default(), 8)
    }

    #[test]
    fn text_in_any_order_is_written_in_one() {
        let mut actors = Actors::default();
        let clock = VectorClock::from_text("c=3,a=1,b=2", &mut actors, 8).unwrap();
        assert_eq!(clock.to_text(&actors), "a=1,b=2,c=3");
        assert_eq!(read(""), Ok(VectorClock::default()));
        assert_eq!(VectorClock::from_text("a=0", &mut actors, 8), Ok(VectorClock::default()));
        assert_eq!(VectorClock::default().to_text(&actors), "");
        let clock = VectorClock::from_text("%3D%2c%25=1", &mut actors, 8).unwrap();
        assert_eq!(clock.to_text(&actors), "%3D%2C%25=1");
        assert_eq!(actors.name(clock.iter().next().unwrap().0).as_str(), "=,%");
    }

    #[test]
    fn what_is_no_clock_is_refused_and_leaves_no_name() {
        let mut actors = Actors::default();
        let mut wrong = |text: &str| VectorClock::from_text(text, &mut actors, 8).unwrap_err();
        for text in ["a", "a=1,", ",a=1", "=1", "a=1,,b=1", " "] {
            assert!(matches!(wrong(text), BadClock::Pair(_)), "{text:?}");
        }
        for text in ["a=", "a=-1", "a=+1", "a=01", "a=1 ", "a=1=2", "a=1.0", "a=18446744073709551616"] {
            assert!(matches!(wrong(text), BadClock::Counter(_)), "{text:?}");
        }
        for text in ["b=1,%=1", "%4=1", "%zz=1", "%ff=1", "%+1=1"] {
            assert!(matches!(wrong(text), BadClock::Name(_)), "{text:?}");
        }
        assert_eq!(wrong("b=1,a=1,b=1"), BadClock::Repeated("b".into()));
        assert_eq!(wrong("a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1"), BadClock::TooLarge { limit: 8 });
        assert!(actors.is_empty());
        assert_eq!(read("a=1,%61=1"), Err(BadClock::Repeated("a".into())), "two spellings of one name");
        assert!(matches!(VectorClock::from_text("a=1", &mut Actors::with_limit(0), 8), Err(BadClock::Actors(_))));
    }

    #[test]
    fn bytes_are_read_strictly() {
        let refused = |entries: &[(&str, u64)], count: u8, tail: &[u8]| {
            let mut bytes = vec![FORMAT, TAG_VECTOR, count];
            for (name, seq) in entries {
                put_bytes(&mut bytes, name.as_bytes());
                put_number(&mut bytes, u128::from(*seq));
            }
            bytes.extend_from_slice(tail);
            VectorClock::decode(&bytes, &mut Actors::default()).is_err()
        };
        assert!(!refused(&[("a", 1), ("b", 1)], 2, &[]));
        assert!(refused(&[("b", 1), ("a", 1)], 2, &[]), "order");
        assert!(refused(&[("a", 1), ("a", 1)], 2, &[]), "repetition");
        assert!(refused(&[("a", 0)], 1, &[]), "zero");
        assert!(refused(&[("a", 1)], 2, &[]), "cut");
        assert!(refused(&[("a", 1)], 1, &[0]), "more");
        assert!(refused(&[("", 1)], 1, &[]), "no name");
        assert!(VectorClock::decode(&[2, 1, 0], &mut Actors::default()).is_err());
    }

    proptest! {
        #[test]
        fn both_forms_mean_the_same_in_every_table(
            entries in prop::collection::btree_map("[a-c%=,é]{1,3}", 1..u64::MAX, 0..12),
            met: Vec<bool>,
        ) {
            // Two tables that met the actors in different orders.
            let (mut one, mut other) = (Actors::default(), Actors::default());
            for (name, met) in entries.keys().rev().zip(met) {
                if met {
                    other.intern(name).unwrap();
                }
            }
            let entries: BTreeMap<String, u64> = entries;
            let clock = VectorClock::new(entries.iter().map(|(name, seq)| (one.intern(name).unwrap(), *seq))).unwrap();
            let (text, bytes) = (clock.to_text(&one), clock.encode(&one));
            let there = VectorClock::from_text(&text, &mut other, 12).unwrap();
            prop_assert_eq!(VectorClock::decode(&bytes, &mut other), Ok(there.clone()));
            prop_assert_eq!((there.to_text(&other), there.encode(&other)), (text, bytes));
        }

        #[test]
        fn any_text_and_bytes_are_read_or_refused(text: String, bytes: Vec<u8>) {
            let mut actors = Actors::default();
            if let Ok(clock) = VectorClock::from_text(&text, &mut actors, 8) {
                let again = clock.to_text(&actors);
                prop_assert_eq!(VectorClock::from_text(&again, &mut actors, 8), Ok(clock));
            }
            if let Ok(clock) = VectorClock::decode(&bytes, &mut actors) {
                prop_assert_eq!(clock.encode(&actors), bytes);
            }
        }
    }
}
