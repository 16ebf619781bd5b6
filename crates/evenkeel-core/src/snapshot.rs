//! Snapshots of a model: its rows, and everything that a projector goes on from, as they were at one position.
//!
//! A snapshot is a sequence of frames, each a string of bytes: the [`Header`], then rows in order of their keys, the
//! index of touched keys, identity windows and parked events, then the end. The end has how many of each there are, the sum of
//! the digests of the rows, and a BLAKE3 of all that came before it, so that what is cut off, changed or put together from
//! two is told from what was written. The digests here are under a key of the format's own: a snapshot outlives the store
//! it was taken of, and with it the secret of that store's digests.
//!
//! | frame | first byte | then |
//! |---|---|---|
//! | header | `H` | `ekmodel`, the format's version in 4 bytes, [`Header`] as JSON |
//! | rows | `R` | for each: the parts of its key, its cells |
//! | touches | `T` | for each: the hash of the key, the position, 8 bytes each |
//! | windows | `W` | for each: its number in 8 bytes, [`Sum::to_bytes`] |
//! | parks | `P` | for each: position, clause, element, key, event, state, error, when |
//! | end | `E` | four counts of 8 bytes, [`Sum::to_bytes`], 32 bytes of BLAKE3 |
//!
//! Numbers stand least byte first. Text is preceded by its length in 4 bytes. Kinds of frames come in this order, each in
//! as many frames as there are. Not here: files and compression (stores), when one is taken and begun from (the runtime).
mod bytes;
mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{Decoder, Part};
pub use encode::Encoder;

use crate::{
    checkpoint::Checkpoint,
    digest::{DigestKey, Sum},
    ids::{Digest, ModelName},
    schema::Schema,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// The version of the format that is written, and the newest that is read.
pub const FORMAT: u32 = 1;

/// The longest frame there is. Nothing longer need be read.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// From this size on a frame is ended and another begun.
const FRAME_BYTES: usize = 256 << 10;

const MAGIC: &[u8; 7] = b"ekmodel";

/// The key of the digests in a snapshot. It is no secret: they guard against accident.
const DIGEST_KEY: DigestKey = DigestKey(*b"evenkeel snapshot of a model, v1");

/// What a snapshot is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The model.
    pub model: ModelName,
    /// Its version.
    pub version: u32,
    /// [`Schema::fingerprint`].
    pub fingerprint: Digest,
    /// How far it had come, and in which life of the log.
    pub checkpoint: Checkpoint,
    /// How many rows there are.
    pub rows: u64,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// Of the key that the hashes of touched keys were made with: they mean nothing under another.
    pub hashed_with: Digest,
}

impl Header {
    /// The header of a snapshot of `schema`'s model.
    pub fn new(schema: &Schema, checkpoint: Checkpoint, rows: u64, taken_at: Timestamp, key: &DigestKey) -> Self {
        Self {
            model: schema.model.clone(),
            version: schema.version,
            fingerprint: schema.fingerprint,
            checkpoint,
            rows,
            taken_at,
            hashed_with: hashed_with(key),
        }
    }

    /// Reads the first frame of a snapshot.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] where it is no such frame, [`SnapshotError::Newer`] where a newer program wrote it.
    pub fn read(frame: &[u8]) -> Result<Self, SnapshotError> {
        decode::header(frame)
    }

    /// Whether rows made for `schema` are in it.
    pub fn is_of(&self, schema: &Schema) -> bool {
        self.model == schema.model && self.version == schema.version && self.fingerprint == schema.fingerprint
    }
}

/// What tells one key of digests from another without telling the key.
pub fn hashed_with(key: &DigestKey) -> Digest {
    Digest(*blake3::keyed_hash(&key.0, b"which key").as_bytes())
}

/// What is in a snapshot, as its end says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows.
    pub rows: u64,
    /// Identity windows.
    pub windows: u64,
    /// Entries of the index of touched keys.
    pub touches: u64,
    /// Parked events.
    pub parks: u64,
    /// The sum of the rows' digests.
    pub digests: Sum,
}

/// Why a snapshot cannot be read, or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It is not as it was written, or was never a snapshot.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// A newer program wrote it.
    #[error("its format {found} is newer than this program understands ({FORMAT})")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// It is of another model, or of another version of this one.
    #[error("it is of {model} version {version}, declared otherwise than now")]
    Other {
        /// Its model.
        model: ModelName,
        /// Its version.
        version: u32,
    },
    /// A row or a parked event is too large for the format.
    #[error("{0} takes more than {FRAME_BYTES_MAX} bytes")]
    TooLarge(String),
}

fn damaged(what: impl Into<String>) -> SnapshotError {
    SnapshotError::Damaged(what.into())
}

/// Takes a frame into the digest of the whole: its length too, so that where frames begin and end is part of it.
fn hash(hasher: &mut blake3::Hasher, frame: &[u8]) {
    hasher.update(&(frame.len() as u64).to_le_bytes());
    hasher.update(frame);
}
