//! What a model's table should hold: a fold of the log by the book, event by event, in plain ordered maps.
//!
//! Deliberately not `evenkeel-core`'s batch or fresh fold, which it judges.
use super::{Checked, broken};
use evenkeel_core::{
    Event, Position,
    fold::{Fold, Park, ParkState, TouchId},
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
        }
    }

    fn feed(&mut self, event: &Event) {
        self.upto = event.position;
        if !self.fold.schema().subscribes.contains(&event.draft.event_type) {
            return;
        }
        self.subscribed += 1;
        let mut touches = Vec::new();
        self.fold.touches(event, &mut touches);
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
            let mut row = self.rows.get(&key).cloned();
            match (self.fold.apply(&mut row, event, &touch, &key), row) {
                (Ok(()), Some(row)) => drop(self.rows.insert(key, row)),
                (Ok(()), None) => drop(self.rows.remove(&key)),
                (Err(_), _) => {
                    self.blocked.insert(key.clone());
                    self.parks.insert(id, (Some(key), ParkState::Poison));
                }
            }
        }
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
    /// Keys whose row a torn write may have left wrong since the table was built.
    pub(super) torn: BTreeSet<Key>,
    /// As `torn`, since the beginning: a disk may bring back a table that was mended.
    pub(super) torn_ever: BTreeSet<Key>,
    /// Keys whose row is wrong now.
    pub(super) wrong: BTreeSet<Key>,
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
}

impl Stored {
    pub(super) fn new(state: ModelState, rows: BTreeMap<Key, Row>, parks: Vec<Park>, history: &[Event]) -> Self {
        let of_this_log = |park: &&Park| {
            let event = index(park.touch.position).checked_sub(1).and_then(|index| history.get(index));
            park.state == ParkState::Discarded && event.is_some_and(|event| event.id == park.event_id)
        };
        let discarded = parks.iter().filter(of_this_log).map(|park| park.touch).collect();
        Self { state, rows, parks, discarded }
    }
}

impl Table {
    pub(super) fn new(fold: &Arc<dyn Fold>) -> Self {
        let shadow = || Shadow::new(Arc::clone(fold), BTreeSet::new());
        Self {
            checkpoint: shadow(),
            tip: shadow(),
            torn: BTreeSet::new(),
            torn_ever: BTreeSet::new(),
            wrong: BTreeSet::new(),
            trust: Trust::Sound,
            seen: None,
        }
    }

    /// Forgets what was folded: the log or the table is another one.
    pub(super) fn forget(&mut self) {
        for shadow in [&mut self.checkpoint, &mut self.tip] {
            *shadow = Shadow::new(Arc::clone(&shadow.fold), BTreeSet::new());
        }
        self.seen = None;
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
        if state.checkpoint.counts.total() != shadow.subscribed {
            return broken(
                format!("{} events of {model}'s types counted up to {position}", shadow.subscribed),
                format!("{:?}", state.checkpoint.counts),
            );
        }
        let keys: BTreeSet<&Key> = stored.rows.keys().chain(shadow.rows.keys()).collect();
        let differs = |key: &&Key| stored.rows.get(*key) != shadow.rows.get(*key);
        self.wrong = keys.into_iter().filter(differs).cloned().collect();
        if torn {
            self.torn.extend(self.wrong.iter().cloned());
            self.torn_ever.extend(self.wrong.iter().cloned());
        }
        if let Some(key) = self.wrong.difference(&self.torn).next() {
            return broken(
                format!("row {key} of {model} at {position} to be {:?}", shadow.rows.get(key)),
                format!("{:?}", stored.rows.get(key)),
            );
        }
        if self.torn.is_empty() { self.compare_parks(stored) } else { Ok(()) }
    }

    fn compare_parks(&self, stored: &Stored) -> Checked {
        let waiting = stored.parks.iter().filter(|park| park.state != ParkState::Discarded);
        let waiting: BTreeMap<TouchId, (Option<Key>, ParkState)> =
            waiting.map(|park| (park.touch, (park.key.clone(), park.state))).collect();
        let (model, parks) = (&stored.state.schema.model, &self.checkpoint.parks);
        if waiting != *parks {
            return broken(format!("these parked events of {model}: {parks:?}"), format!("{waiting:?}"));
        }
        let events: BTreeSet<Position> = parks.keys().map(|touch| touch.position).collect();
        if stored.state.parked.events != events.len() as u64 {
            return broken(format!("{} parked events of {model}", events.len()), format!("{:?}", stored.state.parked));
        }
        Ok(())
    }
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
