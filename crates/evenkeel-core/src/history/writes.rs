//! What was written: every event with its attempts, and where acknowledgements and the log say that it stands.
//!
//! An event must stand after everything that was known when it was first sent: what its session had written and read, and
//! what anybody had been told. Not here: what reads show of it ([`super::reads`]).
use super::{
    format::{HistoryError, Logged},
    report::{Finding, Findings, Kind},
    sessions::{Known, Mark, Open, Sessions},
};
use crate::Position;
use smol_str::SmolStr;
use std::collections::HashMap;

/// An event that somebody tried to write, or that the log has.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) id: SmolStr,
    pub(super) key: usize,
    /// Who sent it first and in which line; nobody of this history where only the log has it.
    pub(super) session: Option<usize>,
    pub(super) line: u64,
    /// What was known then.
    known: Known,
    anyone: Mark,
    attempts: u32,
    refused: u32,
    acked: Option<Mark>,
    logged: Option<Mark>,
}

impl Write {
    /// Where it stands: in the log where that was recorded, else as it was acknowledged.
    pub(super) fn stands(&self) -> Option<Mark> {
        self.logged.or(self.acked)
    }

    /// Whether every attempt was refused, so that it can be nowhere.
    pub(super) fn is_refused(&self) -> bool {
        self.attempts > 0 && self.refused == self.attempts
    }

    /// The lines that tell of it.
    pub(super) fn lines(&self) -> [u64; 2] {
        [self.line, self.stands().map_or(0, |mark| mark.line)]
    }
}

/// All events.
#[derive(Debug, Default)]
pub(super) struct Writes {
    pub(super) all: Vec<Write>,
    by_id: HashMap<SmolStr, usize>,
    by_position: HashMap<Position, usize>,
    keys: HashMap<SmolStr, usize>,
    key_names: Vec<SmolStr>,
    /// The first and the last line of the log.
    pub(super) log: Option<(Mark, Mark)>,
    pub(super) log_events: u64,
}

impl Writes {
    /// The number of a key.
    pub(super) fn key(&mut self, name: &str) -> usize {
        if let Some(index) = self.keys.get(name) {
            return *index;
        }
        self.key_names.push(name.into());
        self.keys.insert(name.into(), self.key_names.len() - 1);
        self.key_names.len() - 1
    }

    pub(super) fn key_name(&self, key: usize) -> &SmolStr {
        &self.key_names[key]
    }

    pub(super) fn key_count(&self) -> usize {
        self.key_names.len()
    }

    pub(super) fn find(&self, id: &str) -> Option<&Write> {
        self.by_id.get(id).map(|index| &self.all[*index])
    }

    /// An attempt to write an event begins.
    ///
    /// # Errors
    /// Where the event had another key before.
    pub(super) fn attempt(
        &mut self,
        id: &str,
        key: &str,
        session: usize,
        line: u64,
        (known, anyone): (Known, Mark),
    ) -> Result<usize, HistoryError> {
        let index = match self.same(id, key, line)? {
            Some(index) => index,
            None => {
                let key = self.key(key);
                self.insert(Write { known, anyone, ..blank(id, key, Some(session), line) })
            }
        };
        self.all[index].attempts += 1;
        Ok(index)
    }

    /// An attempt was refused.
    pub(super) fn refused(&mut self, index: usize) {
        self.all[index].refused += 1;
    }

    /// An attempt was acknowledged.
    pub(super) fn acknowledged(
        &mut self,
        index: usize,
        by: (usize, &Open),
        mark: Mark,
        sessions: &Sessions,
        findings: &mut Findings,
    ) {
        let write = &self.all[index];
        let finding = |kind, lines: &[u64], expected: String, seen: String| Finding {
            kind,
            session: Some(sessions.name(by.0).to_string()),
            key: Some(self.key_names[write.key].to_string()),
            lines: [lines, &[by.1.line, mark.line]].concat(),
            expected,
            seen,
        };
        if let Some(before) = write.acked {
            if before.position != mark.position {
                let (expected, seen) =
                    (at(&write.id, before.position), format!("also {}", at(&write.id, mark.position)));
                findings.add(finding(Kind::Duplicate, &[before.line], expected, seen));
            }
            return;
        }
        if let Some(other) = self.by_position.get(&mark.position).map(|other| &self.all[*other]) {
            let expected = format!("position {} to be of one event, {}", mark.position, other.id);
            findings.add(finding(Kind::Order, &other.lines(), expected, at(&write.id, mark.position)));
        }
        self.by_position.insert(mark.position, index);
        self.all[index].acked = Some(mark);
        self.stands_after_what_was_known(index, mark, sessions, findings);
    }

    /// The log has an event.
    ///
    /// # Errors
    /// Where the event had another key before.
    pub(super) fn logged(
        &mut self,
        line: u64,
        logged: &Logged,
        sessions: &Sessions,
        findings: &mut Findings,
    ) -> Result<(), HistoryError> {
        let mark = Mark::new(logged.position, line);
        let index = match self.same(&logged.id, &logged.key, line)? {
            Some(index) => index,
            None => {
                let key = self.key(&logged.key);
                self.insert(blank(&logged.id, key, None, 0))
            }
        };
        let write = &self.all[index];
        let mut found = |kind, lines: [u64; 2], expected: String, seen: String| {
            findings.add(Finding {
                kind,
                session: write.session.map(|session| sessions.name(session).to_string()),
                key: Some(logged.key.to_string()),
                lines: [&lines[..], &[line]].concat(),
                expected,
                seen,
            });
        };
        if let Some((_, last)) = self.log {
            let (next, seen) = (last.position.next(), format!("position {}", mark.position));
            let expected = format!("position {next} after {} in the log", last.position);
            match mark.position.cmp(&next) {
                std::cmp::Ordering::Less => found(Kind::Order, [last.line, 0], expected, seen),
                std::cmp::Ordering::Equal => {}
                std::cmp::Ordering::Greater => found(Kind::Lost, [last.line, 0], expected, seen),
            }
        }
        match (write.logged, write.acked) {
            (Some(before), _) => {
                let expected = format!("{} in the log once", at(&write.id, before.position));
                found(Kind::Duplicate, [before.line, 0], expected, format!("also {}", at(&write.id, mark.position)));
            }
            (None, Some(acked)) if acked.position != mark.position => {
                let expected = format!("{}, as it was acknowledged", at(&write.id, acked.position));
                found(Kind::Order, [acked.line, 0], expected, at(&write.id, mark.position));
            }
            (None, _) if write.is_refused() => {
                let expected = format!("{} nowhere: it was refused", write.id);
                found(Kind::Phantom, [write.line, 0], expected, at(&write.id, mark.position));
            }
            _ => {}
        }
        self.log = Some((self.log.map_or(mark, |(first, _)| first), mark));
        self.log_events += 1;
        if self.all[index].logged.is_none() {
            self.all[index].logged = Some(mark);
            // One that was acknowledged there has been looked at.
            if self.all[index].acked.is_none_or(|acked| acked.position != mark.position) {
                self.stands_after_what_was_known(index, mark, sessions, findings);
            }
        }
        Ok(())
    }

    /// What was acknowledged and the log does not have, where it was recorded.
    pub(super) fn lost(&self, sessions: &Sessions, findings: &mut Findings) {
        let Some((_, end)) = self.log else { return };
        for write in self.all.iter().filter(|write| write.logged.is_none()) {
            let Some(acked) = write.acked else { continue };
            findings.add(Finding {
                kind: Kind::Lost,
                session: write.session.map(|session| sessions.name(session).to_string()),
                key: Some(self.key_names[write.key].to_string()),
                lines: vec![write.line, acked.line],
                expected: format!("{}, as it was acknowledged", at(&write.id, acked.position)),
                seen: format!("a log up to position {} without it", end.position),
            });
        }
    }

    fn stands_after_what_was_known(&self, index: usize, mark: Mark, sessions: &Sessions, findings: &mut Findings) {
        let write = &self.all[index];
        let Some(session) = write.session else { return };
        let mut debts = vec![
            (Kind::MonotonicWrites, write.known.written, "its session had written"),
            (Kind::WritesFollowReads, write.known.read, "its session had read"),
        ];
        debts.retain(|(_, known, _)| known.position >= mark.position);
        if debts.is_empty() && write.anyone.position >= mark.position {
            debts.push((Kind::Order, write.anyone, "somebody had been told of"));
        }
        for (kind, known, how) in debts {
            findings.add(Finding {
                kind,
                session: Some(sessions.name(session).to_string()),
                key: Some(self.key_names[write.key].to_string()),
                lines: vec![known.line, write.line, mark.line],
                expected: format!("{} above position {}, which {how} before", write.id, known.position),
                seen: at(&write.id, mark.position),
            });
        }
    }

    /// The event of this id, which must have this key.
    fn same(&self, id: &str, key: &str, line: u64) -> Result<Option<usize>, HistoryError> {
        let Some(index) = self.by_id.get(id) else { return Ok(None) };
        let write = &self.all[*index];
        let expected = &self.key_names[write.key];
        if expected == key {
            return Ok(Some(*index));
        }
        let [first, stands] = write.lines();
        Err(HistoryError::OtherKey {
            line,
            id: id.to_owned(),
            found: key.to_owned(),
            expected: expected.to_string(),
            first: if first > 0 { first } else { stands },
        })
    }

    fn insert(&mut self, write: Write) -> usize {
        self.by_id.insert(write.id.clone(), self.all.len());
        self.all.push(write);
        self.all.len() - 1
    }
}

fn blank(id: &str, key: usize, session: Option<usize>, line: u64) -> Write {
    Write {
        id: id.into(),
        key,
        session,
        line,
        known: Known::default(),
        anyone: Mark::default(),
        attempts: 0,
        refused: 0,
        acked: None,
        logged: None,
    }
}

/// An event and its place, in words.
pub(super) fn at(id: &str, position: Position) -> String {
    format!("{id} at position {position}")
}
