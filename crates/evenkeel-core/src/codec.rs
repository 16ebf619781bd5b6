//! Canonical bytes: one value, one encoding, on every node and in every version that reads it.
//!
//! An encoding opens with a format version and a tag of its type. Numbers are LEB128 of minimal length, texts and bytes
//! carry their length. Reading refuses whatever writing would not have produced, so equal bytes and equal values are
//! the same thing, and bytes can be digested and compared. Not a general serialiser: only what must agree between
//! replicas is written with it. What names actors is in [`crate::crdt`] and [`crate::clock`].
use std::sync::Arc;

/// The version that encodings open with.
pub const FORMAT: u8 = 1;

/// Bytes that are not an encoding of what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Another format version.
    #[error("format {found}, and this version reads format {FORMAT}")]
    Format {
        /// What the bytes say.
        found: u8,
    },
    /// Another type.
    #[error("a value of type {found}, expected type {expected}")]
    Type {
        /// What was asked for.
        expected: u8,
        /// What the bytes say.
        found: u8,
    },
    /// The bytes end too early.
    #[error("the bytes end before the value does")]
    Truncated,
    /// Bytes that no writer of this format produces.
    #[error("not canonical: {0}")]
    NotCanonical(&'static str),
    /// More names than the table of actors may hold.
    #[error(transparent)]
    Actors(#[from] crate::clock::ActorsError),
}

/// Appends `number` as LEB128 of minimal length.
pub fn put_number(out: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends bytes with their length before them.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u128);
    out.extend_from_slice(bytes);
}

/// Reads an encoding from its start.
#[derive(Debug, Clone)]
pub struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    /// Reads `bytes`.
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// Checks format and type, which every encoding of its own opens with.
    ///
    /// # Errors
    /// Where they are others.
    pub fn header(&mut self, tag: u8) -> Result<(), CodecError> {
        match (self.byte()?, self.byte()?) {
            (FORMAT, found) if found == tag => Ok(()),
            (FORMAT, found) => Err(CodecError::Type { expected: tag, found }),
            (found, _) => Err(CodecError::Format { found }),
        }
    }

    /// The next byte.
    ///
    /// # Errors
    /// At the end.
    pub fn byte(&mut self) -> Result<u8, CodecError> {
        let (first, rest) = self.0.split_first().ok_or(CodecError::Truncated)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A number of up to 128 bits.
    ///
    /// # Errors
    /// Where it is cut, longer than it need be, or greater than 128 bits hold.
    pub fn wide(&mut self) -> Result<u128, CodecError> {
        let mut number = 0u128;
        for shift in (0..133).step_by(7) {
            let byte = self.byte()?;
            let part = u128::from(byte & 0x7f);
            if (part << shift) >> shift != part {
                return Err(CodecError::NotCanonical("a number of more than 128 bits"));
            }
            number |= part << shift;
            if byte < 0x80 {
                return if byte == 0 && shift > 0 {
                    Err(CodecError::NotCanonical("a number longer than it need be"))
                } else {
                    Ok(number)
                };
            }
        }
        Err(CodecError::NotCanonical("a number of more than 128 bits"))
    }

    /// A number of up to 64 bits.
    ///
    /// # Errors
    /// As [`Reader::wide`], and where it is greater.
    pub fn number(&mut self) -> Result<u64, CodecError> {
        u64::try_from(self.wide()?).map_err(|_| CodecError::NotCanonical("a number of more than 64 bits"))
    }

    /// How many items follow, of at least one byte each: never more than bytes are left, so that a length cannot make
    /// the reader reserve memory that nothing fills.
    ///
    /// # Errors
    /// Where there are fewer bytes.
    pub fn count(&mut self) -> Result<usize, CodecError> {
        let count = usize::try_from(self.number()?).map_err(|_| CodecError::Truncated)?;
        if count > self.0.len() { Err(CodecError::Truncated) } else { Ok(count) }
    }

    /// Bytes with their length before them.
    ///
    /// # Errors
    /// Where there are fewer.
    pub fn bytes(&mut self) -> Result<&'b [u8], CodecError> {
        let count = self.count()?;
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        Ok(bytes)
    }

    /// Text with its length before it.
    ///
    /// # Errors
    /// Where it is cut or not UTF-8.
    pub fn text(&mut self) -> Result<&'b str, CodecError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| CodecError::NotCanonical("text that is not UTF-8"))
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Where something is left.
    pub fn end(self) -> Result<(), CodecError> {
        if self.0.is_empty() { Ok(()) } else { Err(CodecError::NotCanonical("bytes after the end")) }
    }
}

/// Plain data with canonical bytes: what registers, sets and maps hold.
///
/// ```
/// use evenkeel_core::codec::{Reader, Value};
/// let bytes = (-3i64).to_bytes();
/// assert_eq!(i64::read(&mut Reader::new(&bytes)), Ok(-3));
/// assert_ne!(String::from("a").to_bytes(), String::from("b").to_bytes());
/// ```
pub trait Value: Clone + Eq {
    /// Appends the value's bytes. Equal values give equal bytes, others give others, and none is the start of another.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads what [`Value::write`] wrote.
    ///
    /// # Errors
    /// Where the bytes are no value of this type.
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError>;

    /// The value's bytes alone.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

impl Value for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        put_number(out, u128::from(*self));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        input.number()
    }
}

impl Value for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        // Zigzag: small numbers of either sign are short.
        put_number(out, u128::from(((*self << 1) ^ (*self >> 63)) as u64));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let number = input.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}

impl Value for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        match input.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CodecError::NotCanonical("a truth value that is neither 0 nor 1")),
        }
    }
}

impl Value for String {
    fn write(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.as_bytes());
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        input.text().map(str::to_owned)
    }
}

impl Value for Arc<str> {
    fn write(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.as_bytes());
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        input.text().map(Self::from)
    }
}

impl Value for Vec<u8> {
    fn write(&self, out: &mut Vec<u8>) {
        put_bytes(out, self);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        input.bytes().map(Self::from)
    }
}

impl<V: Value> Value for Option<V> {
    fn write(&self, out: &mut Vec<u8>) {
        self.is_some().write(out);
        if let Some(value) = self {
            value.write(out);
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        if bool::read(input)? { V::read(input).map(Some) } else { Ok(None) }
    }
}

impl<A: Value, B: Value> Value for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok((A::read(input)?, B::read(input)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Debug;

    fn whole<V: Value + Debug>(value: &V) {
        let bytes = value.to_bytes();
        let mut input = Reader::new(&bytes);
        assert_eq!(V::read(&mut input).as_ref(), Ok(value));
        assert_eq!(input.end(), Ok(()));
        for cut in 0..bytes.len() {
            let mut input = Reader::new(&bytes[..cut]);
            assert!(V::read(&mut input).is_err(), "{value:?} cut to {cut}");
        }
    }

    #[test]
    fn the_ends_of_ranges() {
        for number in [0, 1, 127, 128, u64::MAX] {
            whole(&number);
        }
        for number in [i64::MIN, -1, 0, 1, i64::MAX] {
            whole(&number);
        }
        let mut out = Vec::new();
        put_number(&mut out, u128::MAX);
        assert_eq!((out.len(), Reader::new(&out).wide()), (19, Ok(u128::MAX)));
        assert!(matches!(Reader::new(&out).number(), Err(CodecError::NotCanonical(_))));
        out[18] = 4;
        assert!(matches!(Reader::new(&out).wide(), Err(CodecError::NotCanonical(_))), "129 bits");
    }

    #[test]
    fn what_no_writer_writes_is_refused() {
        let not_canonical = |bytes: &[u8]| matches!(Reader::new(bytes).wide(), Err(CodecError::NotCanonical(_)));
        assert!(not_canonical(&[0x80, 0x00]), "a zero of two bytes");
        assert!(not_canonical(&[0xff; 20]));
        assert!(bool::read(&mut Reader::new(&[2])).is_err());
        assert!(String::read(&mut Reader::new(&[1, 0xff])).is_err());
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0x7f, 1]).bytes(), Err(CodecError::Truncated), "a length that lies");
        assert_eq!(Reader::new(&[2, 7]).header(7), Err(CodecError::Format { found: 2 }));
        assert_eq!(Reader::new(&[FORMAT, 8]).header(7), Err(CodecError::Type { expected: 7, found: 8 }));
        assert!(Reader::new(&[0]).end().is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(a: i64, b: u64, text: String, bytes: Vec<u8>, flag: Option<bool>) {
            whole(&a);
            whole(&b);
            whole(&text);
            whole(&bytes);
            whole(&flag);
        }

        #[test]
        fn any_bytes_are_read_or_refused_and_never_in_two_ways(bytes: Vec<u8>) {
            let mut input = Reader::new(&bytes);
            if let Ok(number) = input.wide() {
                let mut again = Vec::new();
                put_number(&mut again, number);
                prop_assert!(bytes.starts_with(&again));
            }
        }
    }
}
