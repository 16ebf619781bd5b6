//! What each write contributed to a counter or an extreme, for as long as a deletion could have known some of them only.
//!
//! A deletion takes from a counter what it knew and leaves the rest. That is kept only in models whose rows can be
//! deleted, and for the last [`SEPARATE`] contributions of a column: what is further back every deletion is taken to know.
use super::{Mark, Slot};
use crate::{
    codec::{CodecError, Reader, Value as _, put_bytes, put_number},
    ids::Position,
    json::{self, Number, Value},
};
use std::sync::Arc;

/// How many contributions of a column are kept apart.
const SEPARATE: usize = 32;

/// Who contributed, as far as a deletion can know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contributor {
    /// An event that says nothing of what it knew: its place in the log is all there is to know.
    Plain(Position),
    /// Any other.
    Marked(Arc<Mark>),
}

/// What a write contributed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contribution {
    /// Who.
    pub by: Contributor,
    /// How much.
    pub value: Value,
}

impl Contributor {
    fn of(mark: &Arc<Mark>) -> Self {
        if mark.says_what_it_knew() { Self::Marked(Arc::clone(mark)) } else { Self::Plain(mark.position) }
    }

    fn is_known_to(&self, mark: &Mark) -> bool {
        match self {
            Self::Plain(position) => mark.knows_plain(*position),
            Self::Marked(other) => mark.knows(other),
        }
    }
}

impl Slot {
    /// Keeps what a write contributed.
    pub fn contribute(&mut self, mark: &Arc<Mark>, value: Value) {
        if self.added.len() == SEPARATE {
            self.added.remove(0);
        }
        self.added.push(Contribution { by: Contributor::of(mark), value });
    }

    /// Keeps what a write contributed to an extreme. Of those before it, what it knew and went beyond is let go: no deletion
    /// knows this and not that.
    pub fn contribute_extreme(&mut self, mark: &Arc<Mark>, value: Value, goes_beyond: impl Fn(&Value) -> bool) {
        self.added.retain(|other| !(other.by.is_known_to(mark) && goes_beyond(&other.value)));
        self.contribute(mark, value);
    }

    /// Keeps the contributions that a deletion did not know.
    pub fn keep_contributed(&mut self, deletion: &Mark) {
        self.added.retain(|contribution| !contribution.by.is_known_to(deletion));
    }
}

impl Contribution {
    /// Appends it, after one at this position or from the start of the log; where it is. Most are a few bytes.
    pub(super) fn put(&self, out: &mut Vec<u8>, after: u64, place: &dyn Fn(&Arc<Mark>) -> usize) -> u64 {
        let last = match &self.by {
            Contributor::Plain(position) => {
                put_number(out, u128::from(position.0.wrapping_sub(after)) << 1);
                position.0
            }
            Contributor::Marked(mark) => {
                put_number(out, (place(mark) as u128) << 1 | 1);
                after
            }
        };
        match &self.value {
            Value::Number(Number::Int(int)) => {
                out.push(0);
                int.write(out);
            }
            value => {
                out.push(1);
                put_bytes(out, value.to_string().as_bytes());
            }
        }
        last
    }

    /// Reads [`Contribution::put`].
    pub(super) fn read(input: &mut Reader<'_>, after: u64, marks: &[Arc<Mark>]) -> Result<(Self, u64), CodecError> {
        let bad = CodecError::NotCanonical;
        let head = input.wide()?;
        let number = u64::try_from(head >> 1).map_err(|_| bad("a position that there cannot be"))?;
        let (by, last) = if head & 1 == 0 {
            let position = after.wrapping_add(number);
            (Contributor::Plain(Position(position)), position)
        } else {
            let mark = usize::try_from(number).ok().and_then(|place| marks.get(place)).cloned();
            (Contributor::Marked(mark.ok_or(bad("a mark that is not there"))?), after)
        };
        let value = match input.byte()? {
            0 => i64::read(input)?.into(),
            1 => json::parse(input.bytes()?).map_err(|_| bad("a contribution that is no JSON"))?,
            _ => return Err(bad("a contribution of no kind")),
        };
        Ok((Self { by, value }, last))
    }
}
