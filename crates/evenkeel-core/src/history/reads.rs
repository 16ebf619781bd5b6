//! What reads showed. Every read says of which position it is: that position must be as far as its level promises, and the
//! row must be what the events of its key up to there make.
//!
//! So each read is judged by itself, with a few binary searches among its key's events, once it is known where all events
//! stand. Not here: where they stand ([`super::writes`]).
use super::{
    format::Shown,
    report::{Finding, Findings, Kind},
    sessions::{Mark, Open, Sessions},
    writes::{Write, Writes, at},
};
use crate::{Position, freshness::Level};
use std::cell::Cell;

/// A read that was answered.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) session: usize,
    pub(super) key: usize,
    pub(super) level: Level,
    pub(super) open: Open,
    /// Where the answer stands, and what it is of.
    pub(super) answer: Mark,
    pub(super) row: Option<Option<Shown>>,
}

/// The events of a key.
#[derive(Debug, Default)]
struct History {
    /// Those whose place is known, in order, each with the sum of positions up to it.
    placed: Vec<(Position, usize, u128)>,
    /// The lines where events were first sent that may be anywhere or nowhere, in order.
    unplaced: Vec<u64>,
}

/// Judges reads.
pub(super) struct Judge<'h> {
    writes: &'h Writes,
    sessions: &'h Sessions,
    histories: Vec<History>,
    steps: Cell<u64>,
}

impl<'h> Judge<'h> {
    /// Brings the events of every key in order.
    pub(super) fn new(writes: &'h Writes, sessions: &'h Sessions) -> Self {
        let mut histories: Vec<History> = (0..writes.key_count()).map(|_| History::default()).collect();
        for (index, write) in writes.all.iter().enumerate() {
            match write.stands() {
                Some(mark) => histories[write.key].placed.push((mark.position, index, 0)),
                // Where the log is known, what it lacks is nowhere.
                None if writes.log.is_none() && !write.is_refused() => histories[write.key].unplaced.push(write.line),
                None => {}
            }
        }
        let steps = Cell::new(writes.all.len() as u64);
        for history in &mut histories {
            // Nearly in order already: acknowledgements come about as the events stand.
            history.placed.sort_by(|left, right| {
                steps.set(steps.get() + 1);
                left.0.cmp(&right.0)
            });
            let mut sum = 0;
            for (position, _, upto) in &mut history.placed {
                sum += u128::from(position.0);
                *upto = sum;
            }
        }
        Self { writes, sessions, histories, steps }
    }

    /// Comparisons made so far.
    pub(super) fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// Judges a read.
    pub(super) fn judge(&self, read: &Read, findings: &mut Findings) {
        self.is_far_enough(read, findings);
        match &read.row {
            None => {}
            Some(None) => self.shows(read, &Shown { count: Some(0), last: None, sum: None }, findings),
            Some(Some(shown)) => self.shows(read, shown, findings),
        }
    }

    fn is_far_enough(&self, read: &Read, findings: &mut Findings) {
        let position = read.answer.position;
        if let Some((_, end)) = self.writes.log.filter(|(_, end)| end.position < position) {
            let (expected, seen) = (format!("a log up to position {position}"), format!("it ends at {}", end.position));
            findings.add(self.finding(Kind::Lost, read, &[end.line], expected, seen));
        }
        let known = &read.open.known;
        let has_read = (Kind::MonotonicReads, known.read, "its session had read up to position");
        let has_written = (Kind::ReadYourWrites, known.written, "its session had written up to position");
        let debts = match read.level {
            Level::Eventual | Level::Bounded => vec![],
            Level::Monotonic => vec![has_read],
            Level::Causal => vec![has_read, has_written],
            // What its session knew is among it.
            Level::Strong => vec![(Kind::StrongRead, read.open.anyone, "somebody had been told of position")],
        };
        for (kind, floor, how) in debts {
            // Going back is no harm where nothing of this key stands between.
            let Some(lacking) = self.last_upto(read.key, floor.position).filter(|(at, _)| *at > position) else {
                continue;
            };
            let (lacking, at_position) = (&self.writes.all[lacking.1], lacking.0);
            let expected = format!("{}: {how} {}", at(&lacking.id, at_position), floor.position);
            let [sent, stands] = lacking.lines();
            let lines = [floor.line, sent, stands];
            findings.add(self.finding(kind, read, &lines, expected, format!("the row as of position {position}")));
        }
    }

    /// The row is what the events up to the answer's position make.
    fn shows(&self, read: &Read, shown: &Shown, findings: &mut Findings) {
        let (history, position) = (&self.histories[read.key], read.answer.position);
        let upto = self.count(&history.placed, |(at, _, _)| *at <= position);
        let maybe = self.count(&history.unplaced, |line| *line < read.answer.line);
        let last = upto.checked_sub(1).map(|index| &self.writes.all[history.placed[index].1]);
        let last_lines = last.map_or([0; 2], Write::lines);
        let (least, most) = (upto as u64, (upto + maybe) as u64);
        let mut found = |kind, lines: &[u64], expected: String, seen: String| {
            findings.add(self.finding(kind, read, lines, expected, seen));
        };
        if let Some(count) = shown.count.filter(|count| !(least..=most).contains(count)) {
            let kind = if count < least { Kind::Lost } else { Kind::Duplicate };
            let expected = match maybe {
                0 => format!("{least} events up to position {position}"),
                _ => format!("{least} to {most} events up to position {position}"),
            };
            found(kind, &last_lines, expected, format!("{count} events"));
            // Whatever else is wrong with the row follows from that.
            return;
        }
        if let Some(id) = &shown.last
            && let Some((kind, expected)) = self.wrong_last(read, id, last, shown.count.is_some())
        {
            let lines = self.writes.find(id).map_or([0; 2], Write::lines);
            found(kind, &[last_lines, lines].concat(), expected, format!("{id} as the last event of the row"));
            return;
        }
        let sum = upto.checked_sub(1).map_or(0, |index| history.placed[index].2);
        if let Some(shown) = shown.sum.filter(|shown| maybe == 0 && u128::from(*shown) != sum) {
            let expected = format!("events whose positions add up to {sum}, up to position {position}");
            found(Kind::Lost, &last_lines, expected, format!("{shown}: another event in the place of one"));
        }
    }

    /// What is wrong with the last event of a row, and what had to be there.
    fn wrong_last(&self, read: &Read, id: &str, last: Option<&Write>, counted: bool) -> Option<(Kind, String)> {
        let expected = || match last {
            Some(write) => at(&write.id, write.stands().unwrap_or_default().position),
            None => "no event".to_owned(),
        };
        let Some(write) = self.writes.find(id).filter(|write| write.key == read.key) else {
            return Some((Kind::Phantom, format!("{}, or another event of this key", expected())));
        };
        match write.stands() {
            None if write.is_refused() => Some((Kind::Phantom, format!("{} nowhere: it was refused", write.id))),
            None if write.line > read.answer.line => {
                Some((Kind::Phantom, format!("{}: it was sent later", expected())))
            }
            None if self.writes.log.is_some() => Some((Kind::Lost, format!("{id} in the log, as it was seen"))),
            None => None,
            Some(_) if last.is_some_and(|last| last.id == id) => None,
            // Without a count, an earlier event as the last one is a later one that is missing.
            Some(mark) if !counted && mark.position < read.answer.position => Some((Kind::Lost, expected())),
            Some(_) => Some((Kind::Order, expected())),
        }
    }

    /// The last event of a key up to a position.
    fn last_upto(&self, key: usize, position: Position) -> Option<(Position, usize)> {
        let placed = &self.histories[key].placed;
        let upto = self.count(placed, |(at, _, _)| *at <= position);
        upto.checked_sub(1).map(|index| (placed[index].0, placed[index].1))
    }

    /// How many from the start satisfy a condition that none does after one that does not.
    fn count<T>(&self, items: &[T], condition: impl Fn(&T) -> bool) -> usize {
        items.partition_point(|item| {
            self.steps.set(self.steps.get() + 1);
            condition(item)
        })
    }

    fn finding(&self, kind: Kind, read: &Read, lines: &[u64], expected: String, seen: String) -> Finding {
        Finding {
            kind,
            session: Some(self.sessions.name(read.session).to_string()),
            key: Some(self.writes.key_name(read.key).to_string()),
            lines: [lines, &[read.open.line, read.answer.line]].concat(),
            expected,
            seen,
        }
    }
}
