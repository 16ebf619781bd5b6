//! Consistency tokens: what a client has seen and written of one log, in text that means nothing to it and that it cannot
//! make up.
//!
//! Canonical form, version 1: the version byte, the log's id, the epoch, the position read, the position written, the
//! second it was issued at (all numbers most significant byte first), then keyed BLAKE3 over all of that; the whole in
//! base64url without padding. A token says nothing of an event that is not in the log. What a read at some level owes
//! to a token is [`Token::floor`]; waiting for it is the runtime's, and the key is kept by the log's store.
use crate::{Epoch, Position, Timestamp, checkpoint::SafeHead, freshness::Level};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use std::{fmt, time::Duration};

/// The version of the form.
const VERSION: u8 = 1;
/// Bytes before the authentication, and of it.
const BODY: usize = 1 + 16 + 8 + 8 + 8 + 8;
const MAC: usize = 32;
/// Longer texts are no token of any version.
const LONGEST: usize = 1024;

/// How long a token is taken after it was issued, where nothing else is said: a week.
pub const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Which log it is: the same for all of its epochs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogId(pub [u8; 16]);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId({self})")
    }
}

/// The secret that authenticates a log's tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenKey(pub [u8; 32]);

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

/// What a log's tokens are bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The log.
    pub log: LogId,
    /// Its present life.
    pub epoch: Epoch,
    /// Its secret.
    pub key: TokenKey,
}

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token, or not the whole of one.
    #[error("the token is not whole: expected the text of an earlier answer, unchanged")]
    Malformed,
    /// Its form is of another version.
    #[error("the token is of version {0}, which is not known here")]
    Version(u8),
    /// It is of another log.
    #[error("the token is of another log ({0})")]
    Foreign(LogId),
    /// This log did not issue it so.
    #[error("the token was not issued by this log, or was changed since")]
    Forged,
    /// It is too old.
    #[error("the token was issued {age_seconds} s ago; they are taken for {max_age_seconds} s")]
    Expired {
        /// How old it is.
        age_seconds: u64,
        /// How old one may be.
        max_age_seconds: u64,
    },
    /// It speaks of events that this log has lost.
    #[error("the token speaks of events that the log does not have: {0}")]
    LostHistory(String),
}

impl TokenError {
    /// The word for it.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Version(_) => "version",
            Self::Foreign(_) => "foreign",
            Self::Forged => "forged",
            Self::Expired { .. } => "expired",
            Self::LostHistory(_) => "lost_history",
        }
    }
}

/// What a client has seen and written of a log.
///
/// ```
/// use evenkeel_core::{Epoch, Position, Timestamp, freshness::Level, token::*};
/// let origin = Origin { log: LogId([1; 16]), epoch: Epoch(7), key: TokenKey([2; 32]) };
/// let now = Timestamp::from_micros(0);
/// let token = Token::new(&origin).having_read(Position(3)).having_written(Position(5));
/// let text = token.seal(&origin, now);
/// assert_eq!(Token::open(&text, &origin, now, MAX_AGE), Ok(token));
/// assert_eq!((token.floor(Level::Monotonic), token.floor(Level::Causal)), (Position(3), Position(5)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    log: LogId,
    epoch: Epoch,
    read: Position,
    written: Position,
}

impl Token {
    /// One that promises nothing yet.
    pub const fn new(origin: &Origin) -> Self {
        Self { log: origin.log, epoch: origin.epoch, read: Position::ZERO, written: Position::ZERO }
    }

    /// Also having seen everything up to here.
    #[must_use]
    pub fn having_read(self, position: Position) -> Self {
        Self { read: self.read.max(position), ..self }
    }

    /// Also having written this.
    #[must_use]
    pub fn having_written(self, position: Position) -> Self {
        Self { written: self.written.max(position), ..self }
    }

    /// Pointwise the later of both.
    ///
    /// # Errors
    /// Where they are not of one log, or not of one life of it.
    pub fn merge(self, other: Self) -> Result<Self, TokenError> {
        if self.log != other.log {
            return Err(TokenError::Foreign(other.log));
        }
        if self.epoch != other.epoch {
            return Err(TokenError::LostHistory(format!(
                "it is of epoch {}, the other of {}",
                self.epoch, other.epoch
            )));
        }
        Ok(self.having_read(other.read).having_written(other.written))
    }

    /// The position that a read at this level must not be below.
    pub fn floor(&self, level: Level) -> Position {
        match level {
            Level::Eventual | Level::Bounded => Position::ZERO,
            Level::Monotonic => self.read,
            Level::Causal | Level::Strong => self.read.max(self.written),
        }
    }

    /// As text, issued at `now`.
    pub fn seal(&self, origin: &Origin, now: Timestamp) -> String {
        let mut bytes = Vec::with_capacity(BODY + MAC);
        bytes.push(VERSION);
        bytes.extend(self.log.0);
        bytes.extend(self.epoch.0.to_be_bytes());
        bytes.extend(self.read.0.to_be_bytes());
        bytes.extend(self.written.0.to_be_bytes());
        bytes.extend(now.as_micros().div_euclid(1_000_000).to_be_bytes());
        bytes.extend(mac(&origin.key, &bytes).as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a text that this log issued. Nothing of it is believed before it is known to be genuine but which version
    /// and whose it is, for the sake of the message.
    ///
    /// # Errors
    /// Why it is not taken. Whether the log still has what it speaks of is [`Token::check`]'s.
    pub fn open(text: &str, origin: &Origin, now: Timestamp, max_age: Duration) -> Result<Self, TokenError> {
        if text.len() > LONGEST {
            return Err(TokenError::Malformed);
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)?;
        match bytes.first() {
            Some(&VERSION) => {}
            Some(0) | None => return Err(TokenError::Malformed),
            Some(&other) => return Err(TokenError::Version(other)),
        }
        let (body, found) = bytes.split_at_checked(BODY).ok_or(TokenError::Malformed)?;
        let found: [u8; MAC] = found.try_into().map_err(|_| TokenError::Malformed)?;
        let mut rest = &body[1..];
        let log = LogId(take(&mut rest)?);
        if log != origin.log {
            return Err(TokenError::Foreign(log));
        }
        // Compared in constant time, as `blake3::Hash` compares.
        if mac(&origin.key, body) != blake3::Hash::from_bytes(found) {
            return Err(TokenError::Forged);
        }
        let mut number = || take(&mut rest).map(u64::from_be_bytes);
        let (epoch, read, written) = (Epoch(number()?), Position(number()?), Position(number()?));
        let issued_at = i64::from_be_bytes(number()?.to_be_bytes());
        // One of the future is a clock that went back, and no older for that.
        let age = now.as_micros().div_euclid(1_000_000).saturating_sub(issued_at);
        let age_seconds = u64::try_from(age).unwrap_or(0);
        if age_seconds > max_age.as_secs() {
            return Err(TokenError::Expired { age_seconds, max_age_seconds: max_age.as_secs() });
        }
        Ok(Self { log, epoch, read, written })
    }

    /// Whether the log still has everything that this speaks of, as far as epoch and position tell.
    ///
    /// # Errors
    /// [`TokenError::LostHistory`] where it has not.
    pub fn check(&self, head: &SafeHead) -> Result<(), TokenError> {
        if self.epoch != head.epoch {
            return Err(TokenError::LostHistory(format!("it is of epoch {}, the log's is {}", self.epoch, head.epoch)));
        }
        let position = self.read.max(self.written);
        if position > head.position {
            return Err(TokenError::LostHistory(format!(
                "it names position {position}, the log's head is {}",
                head.position
            )));
        }
        Ok(())
    }
}

fn mac(key: &TokenKey, body: &[u8]) -> blake3::Hash {
    blake3::keyed_hash(&key.0, body)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], TokenError> {
    let (first, rest) = bytes.split_first_chunk().ok_or(TokenError::Malformed)?;
    *bytes = rest;
    Ok(*first)
}

#[cfg(test)]
mod tests;
