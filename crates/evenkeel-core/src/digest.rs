//! Digests of rows and sums of them: what tells, in few bytes, whether a table holds what the projector meant.
//!
//! The digest of a row is keyed BLAKE3 over its model, version and columns in an encoding of our own, cut to 128 bits.
//! Digests of the rows of a bucket are *added* with carry and counted, so that rows may come, change and go in any order
//! and two equal changes do not cancel each other (Bellare and Micciancio, "A New Paradigm for Collision-free Hashing",
//! 1997: incremental multiset hashing by addition). The key is the store's secret: who only sends events cannot look for
//! rows whose digests add up. It guards against accident and against others' tools, not against somebody who can read
//! the key from the database that he edits.
//!
//! Not here: when digests are compared ([`crate::content`]) and where they are kept (stores).
use crate::{
    decimal::Money,
    ids::Position,
    row::{Cell, Key, KeyPart, Row},
    schema::{ColumnType, Schema},
};
use std::fmt;

/// How many buckets the rows of a table are divided into.
pub const BUCKETS: u16 = 4096;

/// The key of a store's digests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DigestKey(pub [u8; 32]);

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(…)")
    }
}

/// The digest of a row.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowDigest(pub [u8; 16]);

impl fmt::Debug for RowDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The hash of a row's key: what its bucket and its place in an index of keys follow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash(pub u64);

impl KeyHash {
    /// Which bucket the row is in, below [`BUCKETS`].
    pub const fn bucket(self) -> u16 {
        (self.0 >> 52) as u16
    }
}

/// What an entry of the index of touched keys adds to the sum of the index: that the event at a position touches keys of
/// this hash. Not keyed, since the hash is.
pub fn indexed(hash: KeyHash, position: Position) -> [u8; 16] {
    let mut entry = [0; 16];
    entry[..8].copy_from_slice(&hash.0.to_le_bytes());
    entry[8..].copy_from_slice(&position.0.to_le_bytes());
    let mut half = [0; 16];
    half.copy_from_slice(&blake3::hash(&entry).as_bytes()[..16]);
    half
}

/// A sum of digests or identities, with how many were added.
///
/// ```
/// use evenkeel_core::digest::Sum;
/// let mut sum = Sum::default();
/// sum.add([7; 16]);
/// sum.add([9; 16]);
/// sum.sub([7; 16]);
/// let mut other = Sum::default();
/// other.add([9; 16]);
/// assert_eq!(sum, other);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many were added, less those subtracted; around zero where something was taken away that was never there.
    pub count: i64,
    /// Their sum, with carry, in 128 bits.
    pub total: u128,
}

impl Sum {
    /// The size of [`Sum::to_bytes`].
    pub const BYTES: usize = 24;

    /// Adds one.
    pub fn add(&mut self, digest: [u8; 16]) {
        self.count = self.count.wrapping_add(1);
        self.total = self.total.wrapping_add(u128::from_le_bytes(digest));
    }

    /// Takes one away.
    pub fn sub(&mut self, digest: [u8; 16]) {
        self.count = self.count.wrapping_sub(1);
        self.total = self.total.wrapping_sub(u128::from_le_bytes(digest));
    }

    /// Adds another sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { count: self.count.wrapping_add(other.count), total: self.total.wrapping_add(other.total) }
    }

    /// What is in this and not in `other`.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self { count: self.count.wrapping_sub(other.count), total: self.total.wrapping_sub(other.total) }
    }

    /// Whether nothing is in it.
    pub const fn is_zero(self) -> bool {
        self.count == 0 && self.total == 0
    }

    /// As stored: the count and the total, least byte first.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.count.to_le_bytes());
        bytes[8..].copy_from_slice(&self.total.to_le_bytes());
        bytes
    }

    /// Reads [`Sum::to_bytes`]; `None` where there are not so many bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (count, total) = bytes.split_at_checked(8)?;
        Some(Self {
            count: i64::from_le_bytes(count.try_into().ok()?),
            total: u128::from_le_bytes(total.try_into().ok()?),
        })
    }
}

/// The sums of all buckets of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets(Vec<Sum>);

impl Default for Buckets {
    fn default() -> Self {
        Self(vec![Sum::default(); usize::from(BUCKETS)])
    }
}

impl Buckets {
    /// The sum of one bucket.
    pub fn get(&self, bucket: u16) -> Sum {
        self.0[usize::from(bucket % BUCKETS)]
    }

    /// The sum of one bucket, to change it.
    pub fn get_mut(&mut self, bucket: u16) -> &mut Sum {
        &mut self.0[usize::from(bucket % BUCKETS)]
    }

    /// The buckets whose sums differ.
    pub fn differing(&self, other: &Self) -> Vec<u16> {
        (0..BUCKETS).filter(|&bucket| self.get(bucket) != other.get(bucket)).collect()
    }

    /// How many rows there are by these sums.
    pub fn rows(&self) -> i64 {
        self.0.iter().fold(0, |rows, sum| rows.wrapping_add(sum.count))
    }
}

/// Encodes rows of one model and digests them.
///
/// Stores feed it columns as they are stored ([`RowHasher::start`], the fields in declared order, [`RowHasher::finish`]),
/// so that what is compared is what is there; [`RowHasher::row`] does the same for a row in memory. A column of money is
/// followed by its minor units.
///
/// | column type | field |
/// |---|---|
/// | text, iso4217 | text |
/// | i64; bool | integer; 0 or 1 |
/// | decimal, money, timestamp, date, json | their canonical text |
/// | bytes | bytes |
/// | minor units of money | integer, null where the currency is missing or unknown |
#[derive(Debug, Clone)]
pub struct RowHasher {
    rows: [u8; 32],
    keys: [u8; 32],
    buffer: Vec<u8>,
}

impl RowHasher {
    /// For the rows of `schema`'s model at its version.
    pub fn new(key: &DigestKey, schema: &Schema) -> Self {
        let of = |what: &str| {
            let mut hasher = blake3::Hasher::new_keyed(&key.0);
            for part in [what.as_bytes(), schema.model.as_str().as_bytes()] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
            hasher.update(&schema.version.to_le_bytes());
            *hasher.finalize().as_bytes()
        };
        Self { rows: of("row"), keys: of("key"), buffer: Vec::with_capacity(256) }
    }

    /// Begins a row.
    pub fn start(&mut self) {
        self.buffer.clear();
    }

    /// A field that holds nothing.
    pub fn null(&mut self) {
        self.buffer.push(0);
    }

    /// A field that holds text.
    pub fn text(&mut self, text: &[u8]) {
        self.tagged(1, text);
    }

    /// A field that holds an integer.
    pub fn int(&mut self, int: i64) {
        self.buffer.push(2);
        self.buffer.extend_from_slice(&int.to_le_bytes());
    }

    /// A field that holds what no column of ours does.
    pub fn foreign(&mut self, bytes: &[u8]) {
        self.tagged(3, bytes);
    }

    /// A field that holds bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.tagged(4, bytes);
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.buffer.push(tag);
        self.buffer.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.buffer.extend_from_slice(bytes);
    }

    /// The digest of the fields given since [`RowHasher::start`].
    pub fn finish(&self) -> RowDigest {
        let mut digest = [0; 16];
        digest.copy_from_slice(&blake3::keyed_hash(&self.rows, &self.buffer).as_bytes()[..16]);
        RowDigest(digest)
    }

    /// The digest of a row in memory.
    pub fn row(&mut self, schema: &Schema, row: &Row) -> RowDigest {
        self.start();
        for (column, cell) in schema.columns.iter().zip(&row.cells) {
            match cell {
                Cell::Null => self.null(),
                Cell::Text(text) => self.text(text.as_bytes()),
                Cell::I64(int) => self.int(*int),
                Cell::Bool(b) => self.int(i64::from(*b)),
                Cell::Decimal(decimal) => self.text(decimal.to_string().as_bytes()),
                Cell::Timestamp(at) => self.text(at.to_string().as_bytes()),
                Cell::Date(date) => self.text(date.to_string().as_bytes()),
                Cell::Json(value) => self.text(value.to_string().as_bytes()),
                Cell::Bytes(bytes) => self.bytes(bytes),
            }
            if let ColumnType::Money { currency } = column.ty {
                match minor_units(cell, &row.cells[currency]) {
                    Some(minor) => self.int(minor),
                    None => self.null(),
                }
            }
        }
        self.finish()
    }

    /// The hash of a row's key.
    pub fn key(&mut self, key: &Key) -> KeyHash {
        self.start();
        for part in &key.0 {
            match part {
                KeyPart::I64(int) => self.int(*int),
                KeyPart::Text(text) => self.text(text.as_bytes()),
            }
        }
        let mut hash = [0; 8];
        hash.copy_from_slice(&blake3::keyed_hash(&self.keys, &self.buffer).as_bytes()[..8]);
        KeyHash(u64::from_be_bytes(hash))
    }
}

/// An amount in whole minor units of its currency, for plain SQL to sum and sort; `None` where the currency is missing
/// or unknown, or the amount has digits below its minor unit.
pub fn minor_units(amount: &Cell, currency: &Cell) -> Option<i64> {
    let (Cell::Decimal(amount), Cell::Text(currency)) = (amount, currency) else { return None };
    Money::new(*amount, currency.parse().ok()?).ok()?.minor().ok()
}

#[cfg(test)]
mod tests;
