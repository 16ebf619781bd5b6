//! The strong path of a single row: its table is believed only where nothing speaks against it, and the log's tail is
//! folded over it; else it is folded from its events.
//!
//! Reads the model first and then the log, so that nothing falls between.
use super::{Reader, label::usable};
use crate::{
    monitor::Observation,
    projector::{discarded, given_up_after, given_up_of},
    refold::{EventsOf, has_sound_index},
    tail::Looked,
    trust::Added,
};
use evenkeel_core::{
    Position,
    checkpoint::SafeHead,
    digest::RowHasher,
    fold::FreshFold,
    row::{Key, Row},
    schema::Schema,
};
use evenkeel_store::{RowAt, StoreError, Table};
use std::{ops::ControlFlow, time::Duration};

/// Events of the tail read at a time.
const TAIL_PAGE: usize = 1000;

/// Why no row of a model can be said to have everything in it.
const UNNAMED: &str = "an event could not be applied of which it is not known which row it touches: it may be this one";

/// What a row is folded upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    /// The stored row.
    Row,
    /// Its events up to the checkpoint.
    Events,
    /// The log from its first event.
    Log,
}

/// Whether rows that were read can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Believed {
    Yes,
    /// Not those that were read before; perhaps what is read again.
    Again,
    No,
    /// Finding it out takes longer than there is time.
    Unknown,
}

fn too_long(after: Position, head: &SafeHead) -> Tail {
    let left = head.position.0.saturating_sub(after.0);
    Tail::NotMet(format!("folding the {left} events the model lacks takes too long"))
}

/// Why a key's tail was not folded.
pub(super) enum Tail {
    NotMet(String),
    Store(StoreError),
}

impl Reader<'_> {
    /// The key's row with everything the log holds, and the head up to which that is at least.
    pub(super) fn fold_tail(
        &self,
        key: &Key,
        at: &RowAt,
        observation: &Observation,
        deadline: Duration,
    ) -> Result<(Option<Row>, SafeHead), Tail> {
        let head = observation.head.as_ref().ok_or_else(|| Tail::NotMet("the log cannot be read".into()))?;
        let state = &at.state;
        let checkpoint = &state.checkpoint;
        let of_this = !observation.outdated && state.condemned.is_none() && head.holds(checkpoint);
        if of_this && at.parked_events > 0 {
            return Err(Tail::NotMet(format!("{} events of this row could not be applied", at.parked_events)));
        }
        if of_this && at.unnamed {
            return Err(Tail::NotMet(UNNAMED.into()));
        }
        // A row is taken from the table only where it is there and everything says that the projector wrote it. One that
        // is not there may have been deleted by anybody.
        // Where it cannot be told now the log can be relied on.
        let has_all = of_this && self.has_all().map_err(Tail::Store)? == Some(true);
        let seems_right = has_all && usable(state.content.verdict) && at.intact && at.row.is_some();
        let from_table = seems_right && self.slot.trust.holds(self.models).map_err(Tail::Store)?;
        let base = match (from_table, has_all) {
            (true, _) => Base::Row,
            (false, true) => Base::Events,
            // What the model does not know of is not in its index of touched keys either.
            (false, false) => Base::Log,
        };
        let folded = self.fold_key(base, key, at, head, deadline)?;
        let folded = match folded {
            None => self.fold_key(Base::Log, key, at, head, deadline)?,
            some => some,
        };
        folded.ok_or_else(|| Tail::NotMet("the log has ended before its head".into()))
    }

    /// Whether the model has reached exactly the events of the log up to its checkpoint, and nobody can have written to its
    /// rows unnoted. `None` where that cannot be told since the model moves on whenever it is looked at.
    pub(super) fn has_all(&self) -> Result<Option<bool>, StoreError> {
        let model = &self.slot.schema().model;
        if !self.models.watch(model)? {
            return Ok(Some(false));
        }
        if !has_sound_index(self.models, self.fold(), Table::Live)? {
            // Whoever looks next makes it whole.
            self.models.doubt(model, 0)?;
            return Ok(Some(false));
        }
        self.slot.identities.agree(self.log, self.models, model)
    }

    /// Whether the rows of the table can be believed: that none is missing of what was read before, too. Where it is not
    /// known all of them are added up, and who has read some before that is to read them again.
    pub(super) fn believes(&self, deadline: Duration) -> Result<Believed, StoreError> {
        let (schema, trust) = (self.slot.schema(), &self.slot.trust);
        if trust.holds(self.models)? {
            return Ok(Believed::Yes);
        }
        let left = || deadline.saturating_sub(self.clock.monotonic());
        let mut go_on = || if left().is_zero() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        if go_on().is_continue() {
            match trust.add_up(self.models, schema, left(), &mut go_on)? {
                Added::Sound => return Ok(Believed::Again),
                Added::Differs(buckets) => {
                    self.models.doubt(&schema.model, buckets)?;
                    return Ok(Believed::No);
                }
                // Another table came, or somebody may be writing at this moment: it is not known yet.
                Added::NotNow if !left().is_zero() => return Ok(Believed::Again),
                Added::NotNow => {}
            }
        }
        trust.ask();
        Ok(Believed::Unknown)
    }

    /// The key's row, folded from some base to the head. `None` where the events after the checkpoint are not those that
    /// the model's counts leave: something was missed or counted twice, and only the log itself can be relied on.
    fn fold_key(
        &self,
        base: Base,
        key: &Key,
        at: &RowAt,
        head: &SafeHead,
        deadline: Duration,
    ) -> Result<Option<(Option<Row>, SafeHead)>, Tail> {
        let (fold, checkpoint) = (self.fold(), &at.state.checkpoint);
        let Schema { model, subscribes: types, .. } = fold.schema();
        let given_up = match base {
            Base::Log => discarded(self.models, model),
            // Of what was applied before it is asked event by event.
            Base::Row | Base::Events => given_up_after(self.models, model, checkpoint.position),
        };
        let given_up = given_up.map_err(Tail::Store)?;
        let mut fresh = FreshFold::new(fold, &given_up, |touched| touched == key);
        let mut after = if base == Base::Log { Position::ZERO } else { checkpoint.position };
        match (base, &at.row) {
            (Base::Row, Some(row)) => fresh.seed(key.clone(), row.clone()),
            (Base::Events, _) => {
                self.feed_events(&mut fresh, key, checkpoint.position, deadline)?;
                if self.has_gone_back(checkpoint.position).map_err(Tail::Store)? {
                    return Ok(None);
                }
            }
            (Base::Log, _) if fold.keyed_by_subject() => {
                self.feed_events(&mut fresh, key, head.position, deadline)?;
                after = head.position;
            }
            _ => {}
        }
        let is_current = base != Base::Log && checkpoint.counts.total() == head.count(types);
        let mut fed = 0;
        if base != Base::Log && !is_current {
            match self.feed_tail(&mut fresh, key, after, head, deadline)? {
                None => return Ok(None),
                // Looked through from here on.
                Some(0) => {}
                Some(events) => (fed, after) = (events, head.position),
            }
        }
        while after < head.position && !is_current {
            if self.clock.monotonic() > deadline {
                return Err(too_long(after, head));
            }
            let slice = self.log.read(after, Some(types), TAIL_PAGE).map_err(Tail::Store)?;
            fresh.feed(&slice.events);
            fed += slice.events.iter().filter(|event| event.position <= head.position).count() as u64;
            if slice.through <= after {
                return Ok(None);
            }
            after = slice.through;
        }
        if base != Base::Log && !is_current && checkpoint.counts.total() + fed != head.count(types) {
            return Ok(None);
        }
        if fresh.parks().values().any(|park| park.key.is_none()) {
            return Err(Tail::NotMet(UNNAMED.into()));
        }
        if fresh.is_parked(key) {
            return Err(Tail::NotMet("an event of this row cannot be applied".into()));
        }
        let head = SafeHead { position: after.max(head.position), ..head.clone() };
        Ok(Some((fresh.row(key).cloned(), head)))
    }

    /// Folds the events of the key after `after` and up to the head, found where that is known; how many of the model's types
    /// there are of any key. `Some(0)` where it is not known, `None` where one is not in the log any more.
    fn feed_tail(
        &self,
        fresh: &mut FreshFold<'_>,
        key: &Key,
        after: Position,
        head: &SafeHead,
        deadline: Duration,
    ) -> Result<Option<u64>, Tail> {
        let left = || deadline.saturating_sub(self.clock.monotonic());
        let looked = self.slot.tail.look((self.log, self.fold()), key, after, head, &left).map_err(Tail::Store)?;
        let (positions, events) = match looked {
            Looked::At(positions, events) => (positions, events),
            Looked::Unknown => return Ok(Some(0)),
            Looked::TooLong => return Err(too_long(after, head)),
        };
        for positions in positions.chunks(TAIL_PAGE) {
            if left().is_zero() {
                return Err(too_long(after, head));
            }
            let page = self.log.pick(positions).map_err(Tail::Store)?;
            if page.len() < positions.len() {
                return Ok(None);
            }
            fresh.feed(&page);
        }
        Ok(Some(events))
    }

    /// Whether another table has come in the model's place, which has not come so far: what was read since of which events
    /// touch which rows may be of that one.
    fn has_gone_back(&self, upto: Position) -> Result<bool, StoreError> {
        Ok(self.models.state(self.slot.name())?.is_none_or(|state| state.checkpoint.position < upto))
    }

    /// Folds the events of the key up to and including `upto`.
    fn feed_events(
        &self,
        fresh: &mut FreshFold<'_>,
        key: &Key,
        upto: Position,
        deadline: Duration,
    ) -> Result<(), Tail> {
        let fold = self.fold();
        let mut hasher = RowHasher::new(&self.models.digest_key(), fold.schema());
        let stores = (self.log, self.models);
        let mut events = EventsOf::new(stores, fold, Table::Live, &mut hasher, key, upto).map_err(Tail::Store)?;
        let mut page = events.page().map_err(Tail::Store)?;
        while !page.is_empty() {
            fresh.pass_over(given_up_of(self.models, &fold.schema().model, &page).map_err(Tail::Store)?);
            fresh.feed(&page);
            page = events.page().map_err(Tail::Store)?;
            if !page.is_empty() && self.clock.monotonic() > deadline {
                return Err(Tail::NotMet("folding the events of this row takes too long".into()));
            }
        }
        Ok(())
    }
}
