//! A history's lines: what a recorder writes, read strictly. `docs/history.md` describes the format.
//!
//! Not here: whether the lines follow from each other ([`super::sessions`]).
use crate::{Position, freshness::Level};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

/// Why a history cannot be read. Every message names the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The line is not one of a history.
    #[error("line {line}: {reason}")]
    Unreadable {
        /// The line.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A session does one thing after the other, and this one has not ended the last.
    #[error("line {line}: session {session:?} begins an operation before that of line {since} has ended")]
    StillOpen {
        /// The line.
        line: u64,
        /// The session.
        session: String,
        /// Where its operation began.
        since: u64,
    },
    /// An operation ends that was not begun.
    #[error("line {line}: session {session:?} ends an operation, and has begun none")]
    NotOpen {
        /// The line.
        line: u64,
        /// The session.
        session: String,
    },
    /// No earlier line gave this token.
    #[error("line {line}: no earlier `ok` gave the token {token:?}; leave out tokens of before the history")]
    UnknownToken {
        /// The line.
        line: u64,
        /// The token.
        token: String,
    },
    /// One id stands for events of two keys.
    #[error("line {line}: the event {id:?} has the key {found:?}, and {expected:?} in line {first}")]
    OtherKey {
        /// The line.
        line: u64,
        /// The event's id.
        id: String,
        /// The key here.
        found: String,
        /// The key before.
        expected: String,
        /// The line that said so.
        first: u64,
    },
    /// What stands in the log is recorded when nothing goes on any more.
    #[error("line {line}: an operation after line {since}, which is of the log: the log is recorded last")]
    AfterLog {
        /// The line.
        line: u64,
        /// The first line of the log.
        since: u64,
    },
}

/// One line.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Line {
    /// A client begins an operation.
    Invoke(Invoke),
    /// It was done.
    Ok(Done),
    /// It was not done and will not be.
    Fail(Ended),
    /// Nobody knows: it may have been done, or may be later.
    Unknown(Ended),
    /// An event of the log, read when all was over.
    Log(Logged),
}

/// What a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Op {
    Write,
    Read,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Invoke {
    pub(super) session: String,
    pub(super) op: Op,
    pub(super) key: String,
    /// Of a write: the event.
    pub(super) id: Option<String>,
    /// Of a read.
    pub(super) level: Option<Level>,
    /// Of another session, handed over.
    pub(super) token: Option<String>,
    #[serde(rename = "note")]
    _note: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Done {
    pub(super) session: String,
    /// Of a write: the event's. Of a read: what the answer is as of.
    pub(super) position: Position,
    pub(super) token: Option<String>,
    /// What a read showed; `None` where that was not recorded, `Some(None)` where there was no row.
    #[serde(default, deserialize_with = "present")]
    pub(super) row: Option<Option<Shown>>,
    #[serde(rename = "note")]
    _note: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ended {
    pub(super) session: String,
    #[serde(rename = "note")]
    _note: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Logged {
    pub(super) position: Position,
    pub(super) id: String,
    pub(super) key: String,
    #[serde(rename = "note")]
    _note: Option<IgnoredAny>,
}

/// What a row tells of the events in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shown {
    /// How many there are.
    pub(super) count: Option<u64>,
    /// The id of the last.
    pub(super) last: Option<String>,
    /// The sum of their positions.
    pub(super) sum: Option<u64>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Shown>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Reads a line.
///
/// # Errors
/// [`HistoryError::Unreadable`].
pub(super) fn parse(line: u64, text: &[u8]) -> Result<Line, HistoryError> {
    let unreadable = |reason: String| HistoryError::Unreadable { line, reason };
    // Its members are named: serde would also take them in order, from an array.
    if text.trim_ascii_start().first().is_some_and(|byte| *byte != b'{') {
        return Err(unreadable("expected a JSON object".into()));
    }
    // serde_json counts lines of its own, which here is always the first.
    let reason = |error: serde_json::Error| unreadable(error.to_string().replace(" at line 1 column ", " at column "));
    let parsed: Line = serde_json::from_slice(text).map_err(reason)?;
    let position = match &parsed {
        Line::Ok(done) => Some(done.position),
        Line::Log(logged) => Some(logged.position),
        _ => None,
    };
    match &parsed {
        Line::Invoke(Invoke { op: Op::Write, id: None, .. }) => Err(unreadable("a write without `id`".into())),
        Line::Invoke(Invoke { op: Op::Write, level: Some(_), .. }) => Err(unreadable("a write has no `level`".into())),
        Line::Invoke(Invoke { op: Op::Read, id: Some(_), .. }) => Err(unreadable("a read has no `id`".into())),
        Line::Log(_) if position == Some(Position::ZERO) => Err(unreadable("positions of events begin at 1".into())),
        _ => Ok(parsed),
    }
}
