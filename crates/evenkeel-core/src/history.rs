//! Checks a recorded history of client operations: whether what clients were told and shown can be true of one log that
//! loses nothing, and keeps the guarantees of the levels they asked for.
//!
//! Lines are taken one by one; a few numbers are kept of each operation. Events have positions, and every read says of
//! which position it is. That is what makes the check about linear in the history, where one without positions searches for
//! an order (`n log n` in the worst case: events of a key are sorted, and found by binary search). What each guarantee
//! means is from D. Terry et al., "Session Guarantees for Weakly Consistent Replicated Data" (1994).
//!
//! Not here: files and their lines (the command line), and recording a history.
//!
//! ```
//! use evenkeel_core::history::Checker;
//! let history = r#"{"type": "invoke", "session": "a", "op": "write", "key": "o-1", "id": "e-1"}
//! {"type": "ok", "session": "a", "position": 1}
//! {"type": "invoke", "session": "a", "op": "read", "level": "causal", "key": "o-1"}
//! {"type": "ok", "session": "a", "position": 0, "row": null}"#;
//! let mut checker = Checker::default();
//! for (number, line) in (1..).zip(history.lines()) {
//!     checker.line(number, line.as_bytes())?;
//! }
//! let report = checker.finish();
//! assert_eq!((report.findings[0].kind.as_str(), &report.findings[0].lines[..]), ("read_your_writes", &[1, 2, 3, 4][..]));
//! # Ok::<(), evenkeel_core::history::HistoryError>(())
//! ```
mod format;
mod reads;
mod report;
mod sessions;
mod writes;

pub use format::HistoryError;
pub use report::{Finding, KEPT, Kind, Report};

use crate::freshness::Level;
use format::{Done, Invoke, Line, Op};
use reads::{Judge, Read};
use report::Findings;
use sessions::{Mark, Open, Sessions, Task};
use writes::Writes;

/// Takes a history line by line, and says at its end what was violated.
#[derive(Debug, Default)]
pub struct Checker {
    sessions: Sessions,
    writes: Writes,
    reads: Vec<Read>,
    findings: Findings,
    lines: u64,
}

impl Checker {
    /// Takes the next line, which has this number (from 1) in its file.
    ///
    /// # Errors
    /// Where it is not a line of a history, or does not follow from those before. Nothing can be said of the history then.
    pub fn line(&mut self, number: u64, text: &[u8]) -> Result<(), HistoryError> {
        self.lines += 1;
        let line = format::parse(number, text)?;
        if let (false, Some((first, _))) = (matches!(line, Line::Log(_)), self.writes.log) {
            return Err(HistoryError::AfterLog { line: number, since: first.line });
        }
        match line {
            Line::Invoke(invoke) => self.invoke(number, &invoke),
            Line::Ok(done) => self.done(number, done),
            Line::Fail(ended) => {
                let session = self.sessions.of(&ended.session);
                if let Task::Write(index) = self.sessions.end(session, number)?.task {
                    self.writes.refused(index);
                }
                Ok(())
            }
            Line::Unknown(ended) => {
                let session = self.sessions.of(&ended.session);
                self.sessions.end(session, number).map(drop)
            }
            Line::Log(logged) => self.writes.logged(number, &logged, &self.sessions, &mut self.findings),
        }
    }

    fn invoke(&mut self, line: u64, invoke: &Invoke) -> Result<(), HistoryError> {
        let session = self.sessions.of(&invoke.session);
        let (known, anyone) = self.sessions.begin(session, line, invoke.token.as_deref())?;
        let task = match (invoke.op, &invoke.id) {
            (Op::Write, Some(id)) => {
                Task::Write(self.writes.attempt(id, &invoke.key, session, line, (known, anyone))?)
            }
            // A write without an id was refused when it was read.
            _ => Task::Read { key: self.writes.key(&invoke.key), level: invoke.level.unwrap_or(Level::Eventual) },
        };
        self.sessions.opened(session, Open { line, task, known, anyone });
        Ok(())
    }

    fn done(&mut self, line: u64, done: Done) -> Result<(), HistoryError> {
        let session = self.sessions.of(&done.session);
        let open = self.sessions.end(session, line)?;
        let mark = Mark::new(done.position, line);
        let unreadable = |reason: &str| Err(HistoryError::Unreadable { line, reason: reason.to_owned() });
        match open.task {
            Task::Write(_) if done.row.is_some() => return unreadable("a write shows no `row`"),
            Task::Write(_) if done.position.0 == 0 => return unreadable("positions of events begin at 1"),
            Task::Write(index) => {
                self.writes.acknowledged(index, (session, &open), mark, &self.sessions, &mut self.findings);
            }
            Task::Read { key, level } => {
                self.reads.push(Read { session, key, level, open, answer: mark, row: done.row });
            }
        }
        self.sessions.learn(session, &open, mark, done.token.as_deref());
        Ok(())
    }

    /// Judges the whole. What has not ended by now has an unknown outcome.
    pub fn finish(mut self) -> Report {
        self.writes.lost(&self.sessions, &mut self.findings);
        let judge = Judge::new(&self.writes, &self.sessions);
        for read in &self.reads {
            judge.judge(read, &mut self.findings);
        }
        let written = self.writes.all.iter().filter(|write| write.session.is_some());
        Report {
            sessions: self.sessions.len() as u64,
            writes: written.count() as u64,
            reads: self.reads.len() as u64,
            log_events: self.writes.log_events,
            steps: self.lines + judge.steps(),
            ..self.findings.into_report()
        }
    }
}

#[cfg(test)]
mod tests;
