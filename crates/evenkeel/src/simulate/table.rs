//! What a model's table should hold: a fold of the log by the book, event by event, in plain ordered maps.
//!
//! Deliberately not `evenkeel-core`'s batch or fresh fold, which it judges.
use super::{Checked, broken, damage::Damage};
use evenkeel_core::{
    Event, Position,
    content::identity,
    digest::Sum,
    drift::Verdict,
    fold::{Fold, Park, ParkState, TouchId},
    merge::ConflictId,
    row::{Key, Row},
};
use evenkeel_store::ModelState;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Rows and parks as the log makes them up to one position.
pub(super) struct Shadow {
    fold: Arc<dyn Fold>,
    upto: Position,
    discarded: BTreeSet<TouchId>,
    pub(super) rows: BTreeMap<Key, Row>,
    pub(super) parks: BTreeMap<TouchId, (Option<Key>, ParkState)>,
    pub(super) blocked: BTreeSet<Key>,
    pub(super) subscribed: u64,
    /// The sum of the identities of the events that were counted.
    identities: Sum,
    /// What was decided between writes that did not know each other.
    pub(super) conflicts: BTreeSet<ConflictId>,
}

impl Shadow {
    fn new(fold: Arc<dyn Fold>, discarded: BTreeSet<TouchId>) -> Self {
        Self {
            fold,
            upto: Position::ZERO,
            discarded,
            rows: BTreeMap::new(),
            parks: BTreeMap::new(),
            blocked: BTreeSet::new(),
            subscribed: 0,
            identities: Sum::default(),
            conflicts: BTreeSet::new(),
        }
    }

    /// What the log makes of the model up to a position.
    pub(super) fn upto(fold: &Arc<dyn Fold>, discarded: BTreeSet<TouchId>, history: &[Event], upto: Position) -> Self {
        let mut shadow = Self::new(Arc::clone(fold), discarded);
        history.iter().take(index(upto)).for_each(|event| shadow.feed(event));
        shadow
    }

    /// A row as the log makes it up to `upto`.
    pub(super) fn row_at(
        fold: &Arc<dyn Fold>,
        discarded: &BTreeSet<TouchId>,
        history: &[Event],
        upto: Position,
        key: &Key,
    ) -> Option<Row> {
        Self::upto(fold, discarded.clone(), history, upto).rows.remove(key)
    }

    fn feed(&mut self, event: &Event) {
        self.upto = event.position;
        if !self.fold.schema().subscribes.contains(&event.draft.event_type) {
            return;
        }
        self.subscribed += 1;
        self.identities.add(identity(event.id));
        let mut touches = Vec::new();
        self.fold.touches(event, &mut touches);
        let mut decided = Vec::new();
        for touch in touches {
            let id = TouchId { position: event.position, clause: touch.clause, element: touch.element };
            if self.discarded.contains(&id) {
                continue;
            }
            let Ok(key) = touch.key.clone() else {
                self.parks.insert(id, (None, ParkState::Poison));
                continue;
            };
            if self.blocked.contains(&key) {
                self.parks.insert(id, (Some(key), ParkState::Held));
                continue;
            }
            let (mut row, before) = (self.rows.get(&key).cloned(), decided.len());
            let applied = self.fold.apply_recording(&mut row, event, &touch, &key, &mut decided);
            if applied.is_err() {
                decided.truncate(before);
            }
            match (applied, row) {
                (Ok(()), Some(row)) => drop(self.rows.insert(key, row)),
                (Ok(()), None) => drop(self.rows.remove(&key)),
                (Err(_), _) => {
                    self.blocked.insert(key.clone());
                    self.parks.insert(id, (Some(key), ParkState::Poison));
                }
            }
        }
        let differ = decided.iter().filter(|conflict| !conflict.is_agreement());
        self.conflicts.extend(differ.map(|conflict| conflict.id(&self.fold.schema().model)));
    }
}

/// What a table may be relied on for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// It was made from this log.
    Sound,
    /// The log lost events that it applied, and the engine must have noticed.
    Lost,
    /// Both disks lied: it may be of a log that is no more, and nobody can tell without comparing it.
    Unsure,
}

/// What is known of the table of one model.
pub(super) struct Table {
    checkpoint: Shadow,
    tip: Shadow,
    /// What was done to it that the log does not explain.
    pub(super) damage: Damage,
    /// Keys whose row is wrong now.
    pub(super) wrong: BTreeSet<Key>,
    /// Rows that were found wrong and still are.
    pub(super) known: BTreeSet<Key>,
    /// Rows that were wrong when the scrub's pass began, and have been ever since.
    pub(super) passed: BTreeSet<Key>,
    /// Whether a projector without the turn wrote since then: the pass does not know what.
    pub(super) strayed: bool,
    /// Keys of which other events are parked now than the log says.
    pub(super) misparked: BTreeSet<Key>,
    /// How many more events are counted now than there are up to the checkpoint.
    pub(super) overcount: i64,
    pub(super) trust: Trust,
    seen: Option<u64>,
}

/// What is stored of a model below the faults.
pub(super) struct Stored {
    pub(super) state: ModelState,
    pub(super) rows: BTreeMap<Key, Row>,
    pub(super) parks: Vec<Park>,
    /// The applications that were given up, of events that the log has.
    pub(super) discarded: BTreeSet<TouchId>,
    /// Rows that are not what their digests were made of.
    pub(super) unsound: BTreeSet<Key>,
    /// Keys of which somebody else's writes are noted.
    pub(super) noted: BTreeSet<Key>,
    /// The sum of the identities of the events that were reached.
    pub(super) identities: Sum,
}

/// What a store says of a table, beside its rows.
#[derive(Default)]
pub(super) struct Said {
    pub(super) unsound: BTreeSet<Key>,
    pub(super) noted: BTreeSet<Key>,
    pub(super) identities: Sum,
}

impl Stored {
    pub(super) fn new(
        state: ModelState,
        rows: BTreeMap<Key, Row>,
        parks: Vec<Park>,
        said: Said,
        history: &[Event],
    ) -> Self {
        let discarded = given_up(&parks, history);
        let Said { unsound, noted, identities } = said;
        Self { state, rows, parks, discarded, unsound, noted, identities }
    }

    /// Whether it can be seen of a row that it is not what the projector wrote.
    pub(super) fn shows(&self, key: &Key) -> bool {
        self.unsound.contains(key) || self.noted.contains(key)
    }
}

impl Table {
    pub(super) fn new(fold: &Arc<dyn Fold>) -> Self {
        let shadow = || Shadow::new(Arc::clone(fold), BTreeSet::new());
        Self {
            checkpoint: shadow(),
            tip: shadow(),
            damage: Damage::default(),
            wrong: BTreeSet::new(),
            known: BTreeSet::new(),
            passed: BTreeSet::new(),
            strayed: false,
            misparked: BTreeSet::new(),
            overcount: 0,
            trust: Trust::Sound,
            seen: None,
        }
    }

    /// Forgets what was folded: the log or the table is another one.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.passed.clear();
        for shadow in [&mut self.checkpoint, &mut self.tip] {
            *shadow = Shadow::new(Arc::clone(&shadow.fold), BTreeSet::new());
        }
        self.seen = None;
    }

    /// Says that somebody else wrote to it: it is to be compared again.
    pub(super) fn unsee(&mut self) {
        self.seen = None;
    }

    /// Says that the scrub begins with the first row.
    pub(super) fn begin_pass(&mut self) {
        self.passed = self.wrong.clone();
        self.strayed = false;
    }

    /// The sum of the identities of the events up to the checkpoint last compared.
    pub(super) fn identities(&self) -> Sum {
        self.checkpoint.identities
    }

    /// Whether nothing was written since it was last compared.
    pub(super) fn is_seen(&self, generation: u64) -> bool {
        self.seen == Some(generation)
    }

    /// What the log up to its end makes of the model, by `fold`.
    pub(super) fn tip(&mut self, fold: &Arc<dyn Fold>, discarded: BTreeSet<TouchId>, history: &[Event]) -> &Shadow {
        bring(&mut self.tip, fold, discarded, history, Position(history.len() as u64));
        &self.tip
    }

    /// What the log up to the checkpoint last compared makes of it.
    pub(super) fn at_checkpoint(&self) -> &Shadow {
        &self.checkpoint
    }

    /// Compares what is stored with what the log makes of it. `torn` says that the write since was torn.
    pub(super) fn compare(&mut self, fold: &Arc<dyn Fold>, stored: &Stored, history: &[Event], torn: bool) -> Checked {
        let state = &stored.state;
        let model = &state.schema.model;
        let position = state.checkpoint.position;
        self.seen = Some(state.generation);
        if self.trust != Trust::Sound {
            return Ok(());
        }
        if position.0 > history.len() as u64 {
            return broken(
                format!("the checkpoint of {model} within the log's {} events", history.len()),
                format!("{position}"),
            );
        }
        bring(&mut self.checkpoint, fold, stored.discarded.clone(), history, position);
        let shadow = &self.checkpoint;
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.overcount = signed(state.checkpoint.counts.total()) - signed(shadow.subscribed);
        let counted = (self.overcount, stored.identities);
        let meant = (self.damage.more(), plus(shadow.identities, &self.damage, history));
        if !self.damage.blurred && counted != meant {
            return broken(
                format!("{} events of {model}'s types up to {position}, and {meant:?} more", shadow.subscribed),
                format!("{:?}, {counted:?} more", state.checkpoint.counts),
            );
        }
        let keys: BTreeSet<&Key> = stored.rows.keys().chain(shadow.rows.keys()).collect();
        let differs = |key: &&Key| stored.rows.get(*key) != shadow.rows.get(*key);
        self.wrong = keys.into_iter().filter(differs).cloned().collect();
        if torn {
            self.damage.sums = true;
            self.wrong.iter().for_each(|key| self.damage.foreign(key));
        }
        if let Some(key) = self.wrong.iter().find(|key| !self.damage.has(key)) {
            return broken(
                format!("row {key} of {model} at {position} to be {:?}", shadow.rows.get(key)),
                format!("{:?}", stored.rows.get(key)),
            );
        }
        self.known.retain(|key| self.wrong.contains(key));
        self.passed.retain(|key| self.wrong.contains(key));
        let usable = matches!(state.content.verdict, Verdict::Verified | Verdict::Unverified);
        if let Some(key) = self.known.first().filter(|_| usable) {
            return broken(format!("{model} not to be relied on: {key} was found wrong and is"), "it is");
        }
        self.compare_parks(stored)
    }

    fn compare_parks(&mut self, stored: &Stored) -> Checked {
        let waiting = stored.parks.iter().filter(|park| park.state != ParkState::Discarded);
        let waiting: BTreeMap<TouchId, (Option<Key>, ParkState)> =
            waiting.map(|park| (park.touch, (park.key.clone(), park.state))).collect();
        let (model, parks) = (&stored.state.schema.model, &self.checkpoint.parks);
        let events: BTreeSet<Position> = waiting.keys().map(|touch| touch.position).collect();
        if stored.state.parked.events != events.len() as u64 {
            return broken(format!("{} parked events of {model}", events.len()), format!("{:?}", stored.state.parked));
        }
        self.misparked.clear();
        for touch in waiting.keys().chain(parks.keys()) {
            let (is, should) = (waiting.get(touch), parks.get(touch));
            if is == should {
                continue;
            }
            let key = is.or(should).and_then(|(key, _)| key.as_ref());
            let excused = match key {
                Some(key) => self.damage.has(key),
                None => self.damage.blurred || self.damage.events.contains_key(&touch.position),
            };
            if !excused {
                return broken(format!("the event of {model} parked at {touch:?} to be {should:?}"), format!("{is:?}"));
            }
            self.misparked.extend(key.cloned());
        }
        Ok(())
    }
}

/// The applications that were given up, of events that the log has.
pub(super) fn given_up(parks: &[Park], history: &[Event]) -> BTreeSet<TouchId> {
    let of_this_log = |park: &&Park| {
        let event = index(park.touch.position).checked_sub(1).and_then(|index| history.get(index));
        park.state == ParkState::Discarded && event.is_some_and(|event| event.id == park.event_id)
    };
    parks.iter().filter(of_this_log).map(|park| park.touch).collect()
}

/// The identities of a history with what was misread of it.
fn plus(identities: Sum, damage: &Damage, history: &[Event]) -> Sum {
    let mut sum = identities;
    for (position, more) in &damage.events {
        let Some(event) = index(*position).checked_sub(1).and_then(|index| history.get(index)) else { continue };
        if *more > 0 { sum.add(identity(event.id)) } else { sum.sub(identity(event.id)) }
    }
    sum
}

/// Brings a shadow to `upto`, from the beginning where it cannot go on.
fn bring(shadow: &mut Shadow, fold: &Arc<dyn Fold>, discarded: BTreeSet<TouchId>, history: &[Event], upto: Position) {
    let same = shadow.fold.schema().same_as(fold.schema()) && shadow.discarded == discarded && shadow.upto <= upto;
    if !same {
        *shadow = Shadow::new(Arc::clone(fold), discarded);
    }
    for event in history.get(index(shadow.upto)..index(upto)).unwrap_or_default() {
        shadow.feed(event);
    }
    shadow.upto = upto;
}

/// The number of events up to a position, which is the index of the one after it.
fn index(position: Position) -> usize {
    usize::try_from(position.0).unwrap_or(usize::MAX)
}
