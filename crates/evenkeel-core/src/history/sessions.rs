//! Who knows what: of each session and of each token, how far it has read and written.
//!
//! A session hands its own token on from each operation to the next; that is what makes it one. Not here: what follows
//! from that for a write ([`super::writes`]) or a read ([`super::reads`]).
use super::format::HistoryError;
use crate::{Position, freshness::Level};
use smol_str::SmolStr;
use std::collections::HashMap;

/// A position, and the line that tells of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) position: Position,
    pub(super) line: u64,
}

impl Mark {
    pub(super) fn new(position: Position, line: u64) -> Self {
        Self { position, line }
    }

    /// The further of both; of the same, the earlier known.
    pub(super) fn raise(&mut self, other: Self) {
        if other.position > self.position {
            *self = other;
        }
    }
}

/// What is known to a session, or by a token.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    pub(super) read: Mark,
    pub(super) written: Mark,
}

impl Known {
    fn merge(&mut self, other: &Self) {
        self.read.raise(other.read);
        self.written.raise(other.written);
    }
}

/// What was begun.
#[derive(Debug, Clone, Copy)]
pub(super) enum Task {
    /// Writing this event.
    Write(usize),
    /// Reading this key.
    Read { key: usize, level: Level },
}

/// An operation that was begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) line: u64,
    pub(super) task: Task,
    /// What its client knew.
    pub(super) known: Known,
    /// How far anybody knew the log to be.
    pub(super) anyone: Mark,
}

#[derive(Debug)]
struct Session {
    name: SmolStr,
    known: Known,
    open: Option<Open>,
}

/// All sessions and tokens.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    index: HashMap<SmolStr, usize>,
    sessions: Vec<Session>,
    tokens: HashMap<SmolStr, Known>,
    anyone: Mark,
}

impl Sessions {
    /// The session of this name.
    pub(super) fn of(&mut self, name: &str) -> usize {
        if let Some(index) = self.index.get(name) {
            return *index;
        }
        self.sessions.push(Session { name: name.into(), known: Known::default(), open: None });
        self.index.insert(name.into(), self.sessions.len() - 1);
        self.sessions.len() - 1
    }

    pub(super) fn name(&self, session: usize) -> &SmolStr {
        &self.sessions[session].name
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// What is known to who begins an operation now: the session and anyone.
    ///
    /// # Errors
    /// Where its last operation has not ended, or the token is not known.
    pub(super) fn begin(&self, session: usize, line: u64, token: Option<&str>) -> Result<(Known, Mark), HistoryError> {
        let Session { name, known, open } = &self.sessions[session];
        if let Some(open) = open {
            return Err(HistoryError::StillOpen { line, session: name.to_string(), since: open.line });
        }
        let mut known = *known;
        if let Some(token) = token {
            let of = self.tokens.get(token);
            known.merge(of.ok_or_else(|| HistoryError::UnknownToken { line, token: token.to_owned() })?);
        }
        Ok((known, self.anyone))
    }

    pub(super) fn opened(&mut self, session: usize, open: Open) {
        self.sessions[session].open = Some(open);
    }

    /// Ends the session's operation.
    ///
    /// # Errors
    /// Where there is none.
    pub(super) fn end(&mut self, session: usize, line: u64) -> Result<Open, HistoryError> {
        let Session { name, open, .. } = &mut self.sessions[session];
        open.take().ok_or_else(|| HistoryError::NotOpen { line, session: name.to_string() })
    }

    /// An operation was done: its client, its token and everybody knows more.
    pub(super) fn learn(&mut self, session: usize, open: &Open, mark: Mark, token: Option<&str>) {
        let mut known = open.known;
        match open.task {
            Task::Write(_) => known.written.raise(mark),
            Task::Read { .. } => known.read.raise(mark),
        }
        self.sessions[session].known = known;
        self.anyone.raise(mark);
        if let Some(token) = token {
            // Two operations that know the same may be given the same token.
            self.tokens.entry(token.into()).or_default().merge(&known);
        }
    }
}
