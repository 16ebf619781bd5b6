//! What a buffer has passed, to be kept beside the log, so that it goes on after a restart where it was.
use crate::{
    clock::{Actor, Actors},
    codec::{CodecError, FORMAT, Reader, put_bytes, put_number},
};
use std::collections::BTreeMap;

const TAG: u8 = 3;

/// By actor, what was passed. What waits is not in it: it is offered again.
///
/// ```
/// use evenkeel_core::{causal::{CausalBuffer, Limits, Progress}, clock::Actors};
/// let mut actors = Actors::default();
/// let shop = actors.intern("shop")?;
/// let mut buffer = CausalBuffer::<()>::new(Limits::default());
/// buffer.skip(shop, 1, 2, &mut Vec::new())?;
/// let bytes = buffer.progress().encode(&actors);
/// let buffer = CausalBuffer::<()>::resume(Limits::default(), &Progress::decode(&bytes, &mut actors)?);
/// assert_eq!(buffer.passed(shop), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress(pub BTreeMap<Actor, SourceProgress>);

/// What was passed of one actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceProgress {
    /// The number of its first event.
    pub first: u64,
    /// Everything up to this was delivered or declared not to come.
    pub passed: u64,
    /// The number of its last event, if it is retired.
    pub sealed: Option<u64>,
    /// What was declared not to come and did not: first and last numbers, in order, not touching.
    pub holes: Vec<(u64, u64)>,
}

impl Progress {
    /// Its canonical bytes.
    pub fn encode(&self, actors: &Actors) -> Vec<u8> {
        let mut named: Vec<_> = self.0.iter().map(|(&actor, source)| (actors.name(actor).as_str(), source)).collect();
        named.sort_unstable_by_key(|entry| entry.0);
        let mut out = vec![FORMAT, TAG];
        let number = |out: &mut Vec<u8>, number: u64| put_number(out, u128::from(number));
        number(&mut out, named.len() as u64);
        for (name, source) in named {
            put_bytes(&mut out, name.as_bytes());
            number(&mut out, source.first);
            number(&mut out, source.passed);
            // 0 for none: a last event of 0 is written as 1.
            number(&mut out, source.sealed.map_or(0, |last| last + 1));
            number(&mut out, source.holes.len() as u64);
            for &(first, last) in &source.holes {
                number(&mut out, first);
                number(&mut out, last);
            }
        }
        out
    }

    /// Reads [`Progress::encode`].
    ///
    /// # Errors
    /// Where the bytes are not what it would be written as.
    pub fn decode(bytes: &[u8], actors: &mut Actors) -> Result<Self, CodecError> {
        let mut input = Reader::new(bytes);
        input.header(TAG)?;
        let mut named: Vec<(&str, SourceProgress)> = Vec::new();
        for _ in 0..input.count()? {
            let name = input.text()?;
            if named.last().is_some_and(|(last, _)| *last >= name) {
                return Err(CodecError::NotCanonical("actors out of order"));
            }
            named.push((name, SourceProgress::read(&mut input)?));
        }
        input.end()?;
        let entries = named.into_iter().map(|(name, source)| Ok((actors.intern(name)?, source)));
        entries.collect::<Result<_, CodecError>>().map(Self)
    }
}

impl SourceProgress {
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (first, passed, sealed) = (input.number()?, input.number()?, input.number()?);
        let mut holes: Vec<(u64, u64)> = Vec::new();
        for _ in 0..input.count()? {
            let hole = (input.number()?, input.number()?);
            let after = holes.last().map_or(0, |(_, last)| last + 1);
            if hole.0 > hole.1 || hole.0 <= after || hole.1 == u64::MAX {
                return Err(CodecError::NotCanonical("holes out of order"));
            }
            holes.push(hole);
        }
        if first == 0 || passed == u64::MAX || first > passed.saturating_add(1) {
            return Err(CodecError::NotCanonical("a source that has passed less than nothing"));
        }
        Ok(Self { first, passed, sealed: sealed.checked_sub(1), holes })
    }
}
