//! Some rows folded afresh from the log, by their own events: found by the subject where it is the key, and by the index
//! of touched keys where not. What that costs grows with the events of those rows, not with the log; in memory there are
//! never more than a page of them.
//!
//! Comparing with what is there is [`crate::content`]'s.
use crate::{
    projector::{discarded, given_up_of},
    verify::GoOn,
};
use evenkeel_core::{
    Event, Position, StreamVersion,
    content::Cause,
    digest::{KeyHash, RowHasher},
    fold::{Fold, FreshFold, GivenUp, Park},
    merge::Conflict,
    row::{Key, Row},
};
use evenkeel_store::{Log, Models, Result, Table};
use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
};

/// From how many keys on one reading of the whole log is cheaper than looking each of them up.
const SCAN: usize = 20_000;

/// Events read at a time.
const PAGE: usize = 4096;

/// How many events of one row are tried for having been left out of it, or folded into it twice; and of how many at most.
const TRIED: usize = 64;
const TRIED_OF: usize = 2 * PAGE;

/// Rows as the log says they are.
#[derive(Debug, Default)]
pub(crate) struct Refolded {
    /// The rows there should be.
    pub(crate) rows: HashMap<Key, Row>,
    /// What could not be applied to them.
    pub(crate) parks: HashMap<Key, Vec<Park>>,
    /// What was decided between writes to them that did not know each other.
    pub(crate) conflicts: Vec<Conflict>,
    /// How many events were folded.
    pub(crate) events: u64,
}

/// Folds the rows of `keys` from the events up to and including `upto`; which events those are is known to `table`. `None`
/// where it was called off.
pub(crate) fn refold(
    (log, models): (&dyn Log, &dyn Models),
    fold: &dyn Fold,
    table: Table,
    keys: &[Key],
    upto: Position,
    go_on: GoOn<'_>,
) -> Result<Option<Refolded>> {
    let model = &fold.schema().model;
    let mut done = Refolded::default();
    if keys.len() > SCAN {
        let discarded = discarded(models, model)?;
        let wanted: HashSet<&Key> = keys.iter().collect();
        let mut fresh = FreshFold::new(fold, &discarded, |key| wanted.contains(key)).recording();
        let mut after = Position::ZERO;
        while after < upto {
            if go_on().is_break() {
                return Ok(None);
            }
            let mut slice = log.read(after, Some(&fold.schema().subscribes), PAGE)?;
            slice.events.truncate(slice.events.partition_point(|event| event.position <= upto));
            fresh.feed(&slice.events);
            done.events += slice.events.len() as u64;
            if slice.through <= after {
                break;
            }
            after = slice.through;
        }
        done.take(fresh, keys);
        return Ok(Some(done));
    }
    let mut hasher = RowHasher::new(&models.digest_key(), fold.schema());
    let none = GivenUp::default();
    for key in keys {
        let mut events = EventsOf::new((log, models), fold, table, &mut hasher, key, upto)?;
        let mut fresh = FreshFold::new(fold, &none, |touched| touched == key).recording();
        loop {
            if go_on().is_break() {
                return Ok(None);
            }
            let page = events.page()?;
            if page.is_empty() {
                break;
            }
            done.events += page.len() as u64;
            fresh.pass_over(given_up_of(models, model, &page)?);
            fresh.feed(&page);
        }
        done.take(fresh, std::slice::from_ref(key));
    }
    Ok(Some(done))
}

/// Puts into the index of touched keys what others took out of it: all that the events up to `upto` touch. Entries too many
/// do no harm, since an event is asked what it touches before it is folded. The caller holds the model's turn. `Break`
/// where it was called off.
pub(crate) fn mend_index(
    (log, models): (&dyn Log, &dyn Models),
    fold: &dyn Fold,
    upto: Position,
    go_on: GoOn<'_>,
) -> Result<ControlFlow<()>> {
    let schema = fold.schema();
    if has_sound_index(models, fold, Table::Live)? {
        return Ok(ControlFlow::Continue(()));
    }
    tracing::warn!(model = %schema.model, "somebody else changed which events are known to touch which rows; that is made anew");
    let mut hasher = RowHasher::new(&models.digest_key(), schema);
    let mut note = |touches: Vec<_>| models.index(&schema.model, Table::Live, &touches);
    if touches_upto(log, fold, &mut hasher, upto, go_on, &mut note)?.is_break() {
        return Ok(ControlFlow::Break(()));
    }
    models.settle_index(&schema.model, Table::Live)?;
    Ok(ControlFlow::Continue(()))
}

/// Tells page by page which keys the events up to `upto` touch. `Break` where it was called off.
pub(crate) fn touches_upto(
    log: &dyn Log,
    fold: &dyn Fold,
    hasher: &mut RowHasher,
    upto: Position,
    go_on: GoOn<'_>,
    note: &mut dyn FnMut(Vec<(KeyHash, Position)>) -> Result<()>,
) -> Result<ControlFlow<()>> {
    let mut after = Position::ZERO;
    while after < upto {
        if go_on().is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let slice = log.read(after, Some(&fold.schema().subscribes), PAGE)?;
        let reached = slice.events.partition_point(|event| event.position <= upto);
        let mut touches = touches_of(fold, hasher, &slice.events[..reached]);
        touches.sort_unstable();
        touches.dedup();
        note(touches)?;
        if slice.through <= after {
            break;
        }
        after = slice.through;
    }
    Ok(ControlFlow::Continue(()))
}

/// Which keys these events touch.
pub(crate) fn touches_of(fold: &dyn Fold, hasher: &mut RowHasher, events: &[Event]) -> Vec<(KeyHash, Position)> {
    let (mut touches, mut found) = (Vec::new(), Vec::new());
    for event in events {
        fold.touches(event, &mut found);
        let keys = found.drain(..).filter_map(|touch| touch.key.ok());
        touches.extend(keys.map(|key| (hasher.key(&key), event.position)));
    }
    touches
}

/// Whether the index says of every row which events touch it, where it is asked at all.
pub(crate) fn has_sound_index(models: &dyn Models, fold: &dyn Fold, table: Table) -> Result<bool> {
    Ok(fold.keyed_by_subject() || models.index_is_sound(&fold.schema().model, table)?)
}

/// The events that touch a row, in order, a page at a time.
pub(crate) struct EventsOf<'e> {
    log: &'e dyn Log,
    fold: &'e dyn Fold,
    upto: Position,
    found: Found,
}

/// How they are found.
enum Found {
    /// By the subject, after this version of its stream; `None` where that was the last.
    Stream(String, Option<StreamVersion>),
    /// By the index of touched keys: where they are, and how many of them were read.
    At(Vec<Position>, usize),
}

impl<'e> EventsOf<'e> {
    /// Those of `key` up to and including `upto`.
    pub(crate) fn new(
        (log, models): (&'e dyn Log, &dyn Models),
        fold: &'e dyn Fold,
        table: Table,
        hasher: &mut RowHasher,
        key: &Key,
        upto: Position,
    ) -> Result<Self> {
        let found = match (key.0.as_slice(), fold.keyed_by_subject()) {
            ([subject], true) => Found::Stream(subject.to_string(), Some(StreamVersion(0))),
            _ => {
                let mut positions = models.touching(&fold.schema().model, table, hasher.key(key))?;
                positions.retain(|position| *position <= upto);
                Found::At(positions, 0)
            }
        };
        Ok(Self { log, fold, upto, found })
    }

    /// The next of them; none at the end.
    pub(crate) fn page(&mut self) -> Result<Vec<Event>> {
        match &mut self.found {
            Found::Stream(_, None) => Ok(Vec::new()),
            Found::Stream(subject, next) => {
                let after = next.unwrap_or_default();
                let page = self.log.stream(subject, &self.fold.schema().subscribes, after, self.upto, PAGE)?;
                // Most rows have few events: they are not asked for twice.
                *next = page.last().filter(|_| page.len() == PAGE).map(|last| last.stream_version);
                Ok(page)
            }
            Found::At(positions, read) => {
                let mut page = Vec::new();
                // A position may hold no event any more, and that is not the end.
                while let (true, Some(next)) = (page.is_empty(), positions[*read..].chunks(PAGE).next()) {
                    page = self.log.pick(next)?;
                    *read += next.len();
                }
                Ok(page)
            }
        }
    }
}

/// Whether one of the `suspected` events of a row was left out of it, or folded into it twice: whether that makes the row
/// that is there. The latest are tried. Both may make it, by other events: then it is `likely`, which is tried first. Of a
/// row of very many events it is not found out.
pub(crate) fn mistaken(
    (log, models): (&dyn Log, &dyn Models),
    fold: &dyn Fold,
    (key, actual, likely): (&Key, Option<&Row>, Cause),
    upto: Position,
    suspected: impl Fn(Position) -> bool,
) -> Result<Option<Cause>> {
    let mut hasher = RowHasher::new(&models.digest_key(), fold.schema());
    let mut pages = EventsOf::new((log, models), fold, Table::Live, &mut hasher, key, upto)?;
    let mut events = Vec::new();
    loop {
        let page = pages.page()?;
        if page.is_empty() {
            break;
        }
        events.extend(page);
        if events.len() > TRIED_OF {
            return Ok(None);
        }
    }
    let discarded = given_up_of(models, &fold.schema().model, &events)?;
    let mut causes = [Cause::MissedEvent, Cause::DoubleApply];
    causes.sort_unstable_by_key(|cause| *cause != likely);
    for cause in causes {
        let tried = (0..events.len()).rev().filter(|&at| suspected(events[at].position)).take(TRIED);
        for at in tried {
            let (upto, rest) = if cause == Cause::DoubleApply { (at + 1, at) } else { (at, at + 1) };
            let mut fresh = FreshFold::new(fold, &discarded, |touched| touched == key);
            fresh.feed(&events[..upto]);
            fresh.feed(&events[rest..]);
            if fresh.row(key) == actual {
                return Ok(Some(cause));
            }
        }
    }
    Ok(None)
}

impl Refolded {
    fn take(&mut self, mut fresh: FreshFold<'_>, keys: &[Key]) {
        self.conflicts.append(&mut fresh.take_conflicts());
        for park in fresh.parks().values() {
            if let Some(key) = &park.key {
                self.parks.entry(key.clone()).or_default().push(park.clone());
            }
        }
        for key in keys {
            if let Some(row) = fresh.take(key) {
                self.rows.insert(key.clone(), row);
            }
        }
    }
}
