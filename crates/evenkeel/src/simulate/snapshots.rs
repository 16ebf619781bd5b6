//! Snapshots: taken as the engine takes them, damaged behind everybody's back, and compared with the books, each when it
//! is there for the first time and again when a rebuild says that it began from it.
//!
//! The rebuild itself is [`super::rebuilding`]'s; calls of the home that fail, lie or tear are [`super::faults`]'.
use super::{
    Broken, Checked, broken,
    damage::Watch,
    sound,
    table::{Shadow, Stored, Trust, given_up},
    world::World,
};
use crate::{
    Clock, EngineError,
    rebuild::{Rebuilt, SAMPLE},
    snapshot::{Taker, thin},
    snapshotting::still_sound,
};
use evenkeel_core::{
    Digest, Position,
    drift::Verdict,
    fold::{Fold, Park, ParkState},
    row::{Key, Row},
    snapshot::{Decoder, Encoder, Header, Part, SnapshotError},
};
use evenkeel_store::{Log, Snapshots};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::{Arc, atomic::Ordering},
};

/// How many snapshots of a model are kept.
const KEPT: usize = 2;

/// A snapshot by its bytes: of which model, under which position, and a digest of its frames.
pub(super) type Instance = (usize, Position, Digest);

/// What is known of every snapshot that ever was there.
pub(super) type Books = BTreeMap<Instance, State>;

/// What a snapshot is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It was what the log says when it was kept.
    Whole,
    /// A write of it was torn, or somebody changed it; how.
    Spoiled(&'static str),
    /// It is whole and says of a row what is not so. What it says may be mended on the way, by a later event of the row; what
    /// counts is the table that comes of it.
    Forged(&'static str),
}

/// The snapshots of a model at one moment.
pub(super) type Kept = BTreeMap<Position, Vec<Vec<u8>>>;

/// What a snapshot says.
struct Read {
    header: Header,
    parts: Vec<Part>,
    rows: BTreeMap<Key, Row>,
    parks: Vec<Park>,
}

impl World {
    /// The snapshots of a model that are really there.
    pub(super) fn kept(&self, model: usize) -> Checked<Kept> {
        let (below, name) = (&self.below.snapshots, self.name(model));
        let mut kept = Kept::new();
        for snapshot in sound(below.list(name))? {
            let Some(mut reading) = sound(below.open(name, snapshot.position))? else { continue };
            let frames = kept.entry(snapshot.position).or_default();
            while let Some(frame) = sound(reading.next())? {
                frames.push(frame);
            }
        }
        Ok(kept)
    }

    /// Takes a snapshot of a model while others go on, and removes what need not be kept.
    pub(super) fn take_snapshot(&mut self, model: usize) -> Checked {
        let (Some(node), Some(before)) = (&self.node, self.stored(model)?) else { return Ok(()) };
        let slot = Arc::clone(&node.slots[model]);
        let disturbed = self.busy.is_none() && self.random.chance(300);
        let (log, models, snapshots) = (Arc::clone(&self.log), Arc::clone(&self.models), Arc::clone(&self.snapshots));
        let unfit = slot.unfit_snapshots.load(Ordering::SeqCst);
        let (faults, torn) = self.faults_so_far();
        let taker = Taker {
            log: log.as_ref(),
            models: models.as_ref(),
            snapshots: snapshots.as_ref(),
            fold: slot.fold.as_ref(),
            now: self.clock.now(),
        };
        let mut beside = Ok(());
        let taken = taker.take(&mut || {
            if disturbed && !self.is_dark() && beside.is_ok() {
                beside = self.step_beside();
            }
            if self.is_dark() || beside.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        beside?;
        let taken = taken.and_then(|taken| still_sound(models.as_ref(), snapshots.as_ref(), &slot, taken, unfit));
        let name = self.name(model);
        match &taken {
            Ok(taken) => self.say(format!("{name}: a snapshot at {} is taken", taken.kept.position)),
            Err(error) => self.say(format!("{name}: no snapshot: {error}")),
        }
        let (after, torn_after) = self.faults_so_far();
        self.book_snapshots(model, torn_after != torn)?;
        if taken.is_err() {
            self.stats.snapshots_not_kept += 1;
            if !disturbed && after == faults && self.is_fit(model, &before) {
                return broken(format!("a snapshot of {name} to be taken: nothing is wrong with it"), "none is");
            }
            return Ok(());
        }
        self.stats.snapshots += 1;
        let thinned = log.safe_head().and_then(|head| thin(snapshots.as_ref(), slot.schema(), &head, KEPT));
        if let Err(error) = &thinned {
            self.say(format!("{name}: older snapshots stay: {error}"));
        }
        let left = self.kept(model)?;
        // A table that was lost is behind the snapshots that were not.
        let newest =
            taken.iter().all(|taken| left.last_key_value().is_some_and(|(last, _)| *last >= taken.kept.position));
        if thinned.is_ok() && after == faults && !newest {
            return broken(format!("the newest snapshot of {name} to be kept"), format!("{:?}", left.keys()));
        }
        Ok(())
    }

    /// How many calls failed, lied or tore so far; and how many of the snapshots tore.
    pub(super) fn faults_so_far(&self) -> (u64, u64) {
        let faults = self.faults.lock();
        (faults.counts.total(), faults.counts.snapshots_torn)
    }

    /// Whether nothing is in the way of a snapshot.
    fn is_fit(&self, model: usize, stored: &Stored) -> bool {
        let (state, table) = (&stored.state, &self.tables[model]);
        let is_trusted = matches!(state.content.verdict, Verdict::Verified | Verdict::Unverified);
        is_trusted
            && state.condemned.is_none()
            && state.schema.same_as(self.fold(model).schema())
            && state.checkpoint.position > Position::ZERO
            && table.trust == Trust::Sound
            && !table.damage.is_any()
            && !table.damage.sums
            && table.damage.watch == Watch::On
            && !self.is_dark()
    }

    /// Compares the snapshots that are there for the first time with the log.
    fn book_snapshots(&mut self, model: usize, torn: bool) -> Checked {
        for (position, frames) in self.kept(model)? {
            let copy = (model, position, digest(&frames));
            if self.copies.contains_key(&copy) {
                continue;
            }
            match self.is_what_the_log_says(model, position, &frames)? {
                Ok(()) => drop(self.copies.insert(copy, State::Whole)),
                Err(_) if torn => drop(self.copies.insert(copy, State::Spoiled("is torn"))),
                Err(wrong) => {
                    let expected =
                        format!("the snapshot of {} at {position} to be what the log says", self.name(model));
                    return broken(expected, wrong);
                }
            }
        }
        Ok(())
    }

    /// Whether a snapshot is whole and holds what the log makes of the model up to its position; else what is wrong.
    /// Where the table it was taken of may be of a log that is no more, only whether it is whole.
    fn is_what_the_log_says(
        &self,
        model: usize,
        position: Position,
        frames: &[Vec<u8>],
    ) -> Checked<Result<(), String>> {
        let read = match self.read_snapshot(model, frames) {
            Ok(read) => read,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if read.header.checkpoint.position != position {
            return Ok(Err(format!("it is of {}", read.header.checkpoint.position)));
        }
        if self.tables[model].trust != Trust::Sound {
            return Ok(Ok(()));
        }
        Ok(self.differs(model, &read).map_or(Ok(()), Err))
    }

    /// What in a snapshot is not what the log says up to its position.
    fn differs(&self, model: usize, read: &Read) -> Option<String> {
        let position = read.header.checkpoint.position;
        let fold = self.project.models[model].iter().find(|fold| read.header.is_of(fold.schema()))?;
        let given_up = given_up(&read.parks, &self.ledger.history);
        let log = Shadow::upto(fold, given_up, &self.ledger.history, position);
        let waiting = read.parks.iter().filter(|park| park.state != ParkState::Discarded);
        let waiting: BTreeMap<_, _> = waiting.map(|park| (park.touch, (park.key.clone(), park.state))).collect();
        let keys = read.rows.keys().chain(log.rows.keys());
        let wrong = keys.into_iter().find(|key| read.rows.get(*key) != log.rows.get(*key));
        if let Some(key) = wrong {
            return Some(format!("{key}: {:?} where the log has {:?}", read.rows.get(key), log.rows.get(key)));
        }
        if waiting != log.parks {
            return Some(format!("{waiting:?} wait where the log has {:?}", log.parks));
        }
        let counted = read.header.checkpoint.counts.total();
        (counted != log.subscribed).then(|| format!("{counted} events where the log has {}", log.subscribed))
    }

    fn read_snapshot(&self, model: usize, frames: &[Vec<u8>]) -> Result<Read, SnapshotError> {
        let none = || SnapshotError::Damaged("it is of no model here".into());
        let (first, frames) = frames.split_first().ok_or_else(none)?;
        let header = Header::read(first)?;
        let fold = self.project.models[model].iter().find(|fold| header.is_of(fold.schema())).ok_or_else(none)?;
        let mut decoder = Decoder::new(fold.schema(), first)?;
        let parts = frames.iter().map(|frame| decoder.part(frame)).collect::<Result<Vec<_>, _>>()?;
        if !decoder.has_ended() {
            return Err(SnapshotError::Damaged("it ends too early".into()));
        }
        let mut read = Read { header, parts: Vec::new(), rows: BTreeMap::new(), parks: Vec::new() };
        for part in &parts {
            match part {
                Part::Rows(rows) => read.rows.extend(rows.iter().cloned()),
                Part::Parks(parks) => read.parks.extend(parks.iter().cloned()),
                Part::Windows(_) | Part::Touches(_) | Part::End(_) => {}
            }
        }
        read.parts = parts;
        Ok(read)
    }

    /// Somebody damages a snapshot, puts it where another was, or puts a false one in its place.
    pub(super) fn tamper_with_snapshot(&mut self, model: usize) -> Checked {
        if !self.weather.others {
            return Ok(());
        }
        let kept = self.kept(model)?;
        let positions: Vec<Position> = kept.keys().copied().collect();
        let Some(position) = self.random.pick(&positions).copied() else { return Ok(()) };
        let mut frames = kept.get(&position).cloned().unwrap_or_default();
        let state = self.spoil(model, &mut frames, &kept)?;
        let copy = (model, position, digest(&frames));
        if self.copies.contains_key(&copy) {
            return Ok(());
        }
        let (State::Spoiled(what) | State::Forged(what)) = state else { return Ok(()) };
        let name = self.name(model);
        self.below.snapshots.tamper(name, position, |there| *there = frames);
        self.say(format!("{name}: the snapshot at {position} {what}"));
        self.copies.insert(copy, state);
        self.stats.snapshots_tampered += 1;
        Ok(())
    }

    fn spoil(&mut self, model: usize, frames: &mut Vec<Vec<u8>>, kept: &Kept) -> Checked<State> {
        let (at, other) = (self.random.index(frames.len()), self.random.index(frames.len()));
        Ok(State::Spoiled(match self.random.weighted(&[4, 2, 1, 1, 2, 2, 4]) {
            0 => {
                let bit = self.random.below(8);
                let frame = frames.get_mut(at).filter(|frame| !frame.is_empty());
                if let Some(frame) = frame {
                    let byte = self.random.index(frame.len());
                    frame[byte] ^= 1 << bit;
                }
                "has another bit"
            }
            1 if at < frames.len() => {
                frames.remove(at);
                "lacks a frame"
            }
            2 if at < frames.len() => {
                frames.swap(at, other);
                "has its frames in another order"
            }
            3 if at < frames.len() => {
                frames.insert(other, frames[at].clone());
                "has a frame twice"
            }
            4 => {
                frames.truncate(at);
                "is cut off"
            }
            5 => {
                // Of another position, another model or another version.
                let other = self.random.index(self.tables.len());
                let others = self.kept(other)?;
                let others: Vec<_> = kept.values().chain(others.values()).cloned().collect();
                if let Some(other) = self.random.pick(&others) {
                    frames.clone_from(other);
                }
                "is another one"
            }
            _ => return self.forge(model, frames),
        }))
    }

    /// A snapshot that is whole and says of rows what is not so: the program that took it was at fault.
    fn forge(&mut self, model: usize, frames: &mut Vec<Vec<u8>>) -> Checked<State> {
        let Ok(Read { mut header, parts, mut rows, .. }) = self.read_snapshot(model, frames) else {
            return Ok(State::Whole);
        };
        let fold = self.project.models[model].iter().find(|fold| header.is_of(fold.schema()));
        let Some(fold) = fold else { return Ok(State::Whole) };
        let keys: Vec<Key> = rows.keys().cloned().collect();
        let (Some(one), Some(other)) = (self.random.pick(&keys).cloned(), self.random.pick(&keys).cloned()) else {
            return Ok(State::Whole);
        };
        let schema = fold.schema();
        // What a sample finds only sometimes is found here always: whatever is in one is in the sample.
        let is_sampled = header.checkpoint.position.0 <= SAMPLE;
        let what = match self.random.below(2) {
            0 if is_sampled => {
                rows.remove(&one);
                "lacks a row"
            }
            _ => {
                let other = rows.get(&other).cloned();
                if let (Some(row), Some(other)) = (rows.get_mut(&one), other) {
                    for (at, cell) in other.cells.into_iter().enumerate().filter(|(at, _)| !schema.key.contains(at)) {
                        row.cells[at] = cell;
                    }
                }
                "has a row of another key"
            }
        };
        header.rows = rows.len() as u64;
        let forged = encode(fold.as_ref(), &header, &rows, parts);
        *frames = forged
            .map_err(|error| Broken { expected: "a false snapshot to be written".into(), found: error.to_string() })?;
        Ok(State::Forged(what))
    }

    /// Whether a rebuild began from what it may begin from, and from the newest such. `before` and `faults` are of the
    /// moment when it began.
    pub(super) fn judge_beginning(
        &mut self,
        model: usize,
        before: &Kept,
        result: &Result<Rebuilt, EngineError>,
        is_disturbed: bool,
    ) -> Checked {
        let Ok(Rebuilt::Swapped { from, .. }) = result else { return Ok(()) };
        let name = self.name(model);
        let is_whole = |position: &Position, frames: &Vec<Vec<u8>>| {
            self.copies.get(&(model, *position, digest(frames))) == Some(&State::Whole)
        };
        let newer = before.keys().filter(|position| *position > from).count();
        if *from > Position::ZERO {
            // One may have been taken meanwhile.
            let now = self.kept(model)?;
            let there = [before, &now].into_iter().filter_map(|kept| kept.get(from));
            let copies: BTreeSet<Instance> = there.map(|frames| (model, *from, digest(frames))).collect();
            let mut states = copies.iter().filter_map(|copy| self.copies.get(copy));
            let spoiled = states.next().filter(|_| states.all(|state| matches!(state, State::Spoiled(_))));
            if let Some(State::Spoiled(what)) = spoiled {
                return broken(format!("{name} not to be rebuilt from the snapshot at {from}, which {what}"), "it is");
            }
            self.stats.rebuilds_from_snapshots += 1;
        }
        self.stats.snapshots_refused += newer as u64;
        let fits = |(position, frames): &(&Position, &Vec<Vec<u8>>)| {
            let read = self.read_snapshot(model, frames).ok();
            let read = read.filter(|read| read.header.is_of(self.fold(model).schema()));
            let in_log = position.0 <= self.ledger.history.len() as u64;
            in_log && is_whole(position, frames) && read.is_some_and(|read| self.differs(model, &read).is_none())
        };
        let best = before.iter().rev().find(fits).map(|(position, _)| *position).unwrap_or_default();
        if !is_disturbed && *from < best {
            return broken(format!("{name} to be rebuilt from the snapshot at {best}"), format!("it is from {from}"));
        }
        Ok(())
    }
}

fn digest(frames: &[Vec<u8>]) -> Digest {
    let lengths = frames.iter().flat_map(|frame| (frame.len() as u64).to_le_bytes());
    Digest::of(&lengths.chain(frames.iter().flatten().copied()).collect::<Vec<u8>>())
}

fn encode(
    fold: &dyn Fold,
    header: &Header,
    rows: &BTreeMap<Key, Row>,
    parts: Vec<Part>,
) -> Result<Vec<Vec<u8>>, SnapshotError> {
    let (mut encoder, first) = Encoder::new(fold.schema(), header)?;
    let mut frames = vec![first];
    for (key, row) in rows {
        frames.extend(encoder.row(key, row)?);
    }
    for part in parts {
        match part {
            Part::Rows(_) | Part::End(_) => {}
            Part::Touches(touches) => {
                for (hash, position) in touches {
                    frames.extend(encoder.touch(hash, position)?);
                }
            }
            Part::Windows(windows) => {
                for (window, sum) in windows {
                    frames.extend(encoder.window(window, sum)?);
                }
            }
            Part::Parks(parks) => {
                for park in parks {
                    frames.extend(encoder.park(&park)?);
                }
            }
        }
    }
    frames.extend(encoder.end().0);
    Ok(frames)
}
