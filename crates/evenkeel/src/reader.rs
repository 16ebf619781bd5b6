//! Reads: rows of a model with an honest statement of how fresh they are.
//!
//! What a read asks for is put together in [`evenkeel_core::demand`]. `eventual` answers at once with what is there;
//! bounds and tokens wait for the projector's commit within the budget, and answer at once where it would come too late.
//! `strong` has the latest admitted event in it: a single row is taken from its table, where nothing speaks against it,
//! and the log's tail for its key folded over it; otherwise the key is folded from the log. Many rows wait for the
//! projector to reach the head. What cannot be met within the budget is an error, or an answer labelled stale where the
//! reader opted in: never a stale success in silence.
//!
//! Not here: SQL. Beside: `reader/course.rs` (attempts and waiting), `reader/strong.rs`, `reader/page.rs` (which rows),
//! `reader/statement.rs` (SQL, which the store knows), `reader/label.rs`, `reader/worst.rs`,
//! `reader/seats.rs` and `reader/shared.rs` (strong reads of the same share an attempt).
mod course;
mod label;
mod page;
mod seats;
mod shared;
mod statement;
mod strong;
mod worst;

pub(crate) use course::{Commits, Course, Step};
pub(crate) use label::content;
pub(crate) use shared::Shared;
pub use statement::{QueryLimits, QueryRequest};

use crate::{
    Clock, ReadError,
    monitor::Observation,
    report::{RowAnswer, RowsAnswer},
    slot::Slot,
};
use evenkeel_core::{
    Position,
    demand::{Bounds, Unmet, Until},
    drift::Verdict,
    fold::Fold,
    freshness::{FreshnessLimits, Level},
    query::Asked,
    retry::RetryPolicy,
    row::Key,
    schema::Schema,
    token::Token,
};
use evenkeel_store::{Log, Models, ParkFilter, ParkedRow, RowAt, Selected, Selection, StoreError};
use label::{Withheld, doubt, usable};
use page::Wanted;
use std::{sync::Arc, time::Duration};
use strong::{Believed, Tail};

/// How a read is to be answered.
///
/// ```
/// use evenkeel::{core::freshness::Level, reader::ReadOptions};
/// use std::time::Duration;
///
/// // What the model gives by default: what is there, at once.
/// assert_eq!(ReadOptions::default().level, None);
/// // Everything published so far, within a second; failing that what is there, with a label that says so.
/// let strict = ReadOptions { budget: Duration::from_secs(1), allow_stale: true, ..ReadOptions::at(Level::Strong) };
/// # let _ = strict;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReadOptions {
    /// How strictly it must reflect the log. Where no level is named: the one that token or bounds call for, or the model's
    /// own.
    pub level: Option<Level>,
    /// What may be missing from it, at any level.
    pub bounds: Bounds,
    /// What the reader has seen and written: see [`crate::Engine::token`].
    pub token: Option<Token>,
    /// How long it may take to meet that.
    pub budget: Duration,
    /// Whether an answer that does not meet it is welcome, labelled. A model's own requirement is met in any case.
    pub allow_stale: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        let budget = Duration::from_millis(250);
        Self { level: None, bounds: Bounds::default(), token: None, budget, allow_stale: false }
    }
}

impl ReadOptions {
    /// At this level, the rest as by default.
    pub fn at(level: Level) -> Self {
        Self { level: Some(level), ..Self::default() }
    }
}

/// Which rows are wanted, and what of them.
///
/// ```
/// use evenkeel::{core::query::Asked, reader::RowsRequest};
///
/// // The ten dearest open orders, their keys and totals, and how many open ones there are.
/// let dearest = RowsRequest {
///     query: Asked { conditions: vec![("status".into(), "eq.open".into())], order: Some("total.desc".into()) },
///     select: Some("order_id,total".into()),
///     count: true,
///     limit: 10,
///     ..RowsRequest::default()
/// };
/// # let _ = dearest;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RowsRequest {
    /// Conditions on columns, and the order. All rows in order of their keys where nothing is said.
    pub query: Asked,
    /// The columns to show, with commas between; all where `None`.
    pub select: Option<String>,
    /// Whether the rows that meet the conditions are counted too, those of other pages with them.
    pub count: bool,
    /// The cursor of the page before, of the same query.
    pub cursor: Option<String>,
    /// At most so many; 0 for the default of 100. At most 10,000.
    pub limit: usize,
}

impl RowsRequest {
    /// Whether all rows may have to be looked at for it. Where not, the key's index gives the page.
    fn looks_through(&self) -> bool {
        self.count || self.query.order.is_some() || !self.query.conditions.is_empty()
    }
}

/// The default and the greatest number of rows of a page.
const ROWS: (usize, usize) = (100, 10_000);

/// Why it is not known whether rows are missing from a page.
const NOT_ADDED_UP: &str = "since the node started, or somebody else last wrote to the home of models, not all rows of the \
    model have been added up, which takes longer than this read has; whether one is missing cannot be told before";

/// Why nothing is said of rows about which nothing else is wrong.
const NOT_COMPARED: &str = "the events that were applied to this model are not those of the log, or could not be compared with them \
    while it moved on";

/// How soon a model is looked at again of which something could not be told at that moment.
const MOVES: Duration = Duration::from_millis(1);

/// What a read needs of the engine.
pub(crate) struct Reader<'e> {
    pub(crate) log: &'e dyn Log,
    pub(crate) models: &'e dyn Models,
    pub(crate) clock: &'e dyn Clock,
    pub(crate) slot: &'e Arc<Slot>,
    pub(crate) limits: &'e FreshnessLimits,
    /// How long it may look for rows.
    pub(crate) within: Duration,
    /// When a store that cannot read now is asked again.
    pub(crate) retry: Option<RetryPolicy>,
}

impl Reader<'_> {
    /// One row.
    pub(crate) fn get(&self, key: &Key, options: ReadOptions) -> Result<RowAnswer, ReadError> {
        let course = Course::new(self.slot, options, self.clock.monotonic());
        self.drive(course, |reader, course| reader.try_get(key, course))
    }

    /// One attempt at a row.
    pub(crate) fn try_get(&self, key: &Key, course: &mut Course) -> Result<Step<RowAnswer>, ReadError> {
        let schema = self.slot.schema();
        let at = match self.models.get(&schema.model, key) {
            // The table may be of an older version, whose key has another number of parts.
            Err(StoreError::Refused(_)) if self.stored_key_differs()? => return Err(other_key()),
            at => at?,
        };
        let mut observation = Observation::of(self.log, self.fold(), at.state.clone(), self.clock.now());
        doubt(&mut observation, at.intact);
        let quarantined_events = self.quarantined_of(key);
        // Where the row of a parked event is not known, any of those that are parked may be of this one.
        let parked_events = if at.unnamed { at.state.parked.events } else { at.parked_events };
        let withheld = Withheld { parked_events, quarantined_events };
        let (consistency, report) = self.label(&observation, withheld, course);
        // Rows of a table with another key are not named by this one, and their absence would say nothing.
        let comparable = same_key(&at.state.schema, schema);
        if course.demand.level == Level::Eventual && !comparable {
            return Err(other_key());
        }
        let wanted = course.demand.wanted;
        let data = at.row.as_ref().and_then(|row| row.shown(&at.state.schema));
        let mut answer = RowAnswer { data, consistency };
        if wanted.head {
            let folded = match course.has_room {
                true => self.fold_tail(key, &at, &observation, course.deadline()),
                false => Err(Tail::NotMet(shared::NO_ROOM.into())),
            };
            match folded {
                Ok((row, head)) => {
                    answer.data = row.and_then(|row| row.shown(schema));
                    self.current(&mut answer.consistency, &head, &observation, course);
                    return Ok(Step::Done(answer));
                }
                Err(Tail::Store(error)) => return Err(error.into()),
                Err(Tail::NotMet(reason)) => {
                    let shown = self.shown(&observation, &report, wanted.floor, self.parked_from(key, &at, course)?)?;
                    let unmet = Unmet { reason, until: None };
                    return self.lacking(answer, &unmet, &shown, course, comparable).map(Step::Done);
                }
            }
        }
        let shown = self.shown(&observation, &report, wanted.floor, self.parked_from(key, &at, course)?)?;
        let Some(unmet) = wanted.unmet(&shown) else {
            answer.consistency.level_served = course.demand.level.as_str();
            return if comparable { Ok(Step::Done(answer)) } else { Err(other_key()) };
        };
        let checkpoint = observation.state.checkpoint.position;
        match self.wait_for(&unmet, checkpoint, report.lag.lag_count, course) {
            Some(position) => Ok(Step::Wait(position)),
            None => self.lacking(answer, &unmet, &shown, course, comparable).map(Step::Done),
        }
    }

    /// One attempt at a page of rows.
    pub(crate) fn try_rows(&self, request: &RowsRequest, course: &mut Course) -> Result<Step<RowsAnswer>, ReadError> {
        let wanted = course.demand.wanted;
        if wanted.head && course.has_room && course.target.is_none() {
            course.target = Some(self.log.safe_head()?);
        }
        let schema = self.slot.schema();
        let limit = if request.limit == 0 { ROWS.0 } else { request.limit.min(ROWS.1) };
        let state = self.models.state(&schema.model)?;
        // The table that is read may be of an older version than the declared one.
        let stored = state.as_ref().map_or(schema, |state| &state.schema);
        let of_table = Wanted::of(request, stored, schema)?;
        let (query, after) = (&of_table.query, of_table.after.as_ref());
        let selection = Selection { query, after, limit, count: request.count, within: self.within };
        let Some(Selected { page, total }) = self.models.select(&schema.model, &selection)? else {
            // Tried again, since it is over at once.
            return Err(StoreError::Unavailable("another table came in the model's place".into()).into());
        };
        let intact = page.intact;
        let mut observation = Observation::of(self.log, self.fold(), page.state, self.clock.now());
        doubt(&mut observation, intact);
        let stored = &observation.state.schema;
        let next = page.rows.last().filter(|_| page.more).map(|(row, _)| query.cursor(&query.place(row)));
        let rows = page.rows.iter().map(|(row, parked)| of_table.show(stored, row, *parked));
        let parked_events = observation.state.parked.events;
        let quarantined_events = self.quarantined_of_types(&schema.subscribes);
        let (consistency, report) = self.label(&observation, Withheld { parked_events, quarantined_events }, course);
        let mut answer = RowsAnswer { rows: rows.collect(), next, total, consistency };

        let parked_from = if parked_events > 0 { self.parked_since(course, None)? } else { None };
        let shown = self.shown(&observation, &report, wanted.floor, parked_from)?;
        let unmet = match course.target.as_ref() {
            _ if wanted.head && !course.has_room => Some(Unmet { reason: shared::NO_ROOM.into(), until: None }),
            None => wanted.unmet(&shown),
            Some(target) => {
                let reached = observation.has_reached(target) && !observation.outdated;
                let seems_right = reached && usable(observation.state.content.verdict) && intact && parked_events == 0;
                let has_all = if seems_right { self.has_all()? } else { Some(false) };
                if has_all.is_none() && !course.left(self.clock).is_zero() {
                    return Ok(Step::Pause(MOVES));
                }
                let is_candidate = has_all == Some(true);
                let believed = if is_candidate { self.believes(course.deadline())? } else { Believed::No };
                match believed {
                    Believed::Yes => {
                        let head = Self::moment(&observation, target);
                        self.current(&mut answer.consistency, &head, &observation, course);
                        return Ok(Step::Done(answer));
                    }
                    Believed::Again => return Ok(Step::Pause(MOVES)),
                    Believed::No if is_candidate => observation.state.content.verdict = Verdict::Suspect,
                    Believed::No | Believed::Unknown => {}
                }
                let reason = match believed {
                    Believed::Unknown => NOT_ADDED_UP.into(),
                    _ if seems_right && !is_candidate => NOT_COMPARED.into(),
                    _ => why_not(&observation, reached, parked_events),
                };
                let waits = !reached && !observation.outdated;
                Some(Unmet { reason, until: waits.then_some(Until::Reached(target.position)) })
            }
        };
        let Some(unmet) = unmet else {
            answer.consistency.level_served = course.demand.level.as_str();
            return Ok(Step::Done(answer));
        };
        let checkpoint = observation.state.checkpoint.position;
        match self.wait_for(&unmet, checkpoint, report.lag.lag_count, course) {
            Some(position) => Ok(Step::Wait(position)),
            None => self.lacking(answer, &unmet, &shown, course, true).map(Step::Done),
        }
    }

    fn fold(&self) -> &dyn Fold {
        self.slot.fold.as_ref()
    }

    /// The first parked event that is of a row, or may be, where the reader's token could cover it.
    fn parked_from(&self, key: &Key, at: &RowAt, course: &Course) -> Result<Option<Position>, ReadError> {
        if at.state.parked.events == 0 { Ok(None) } else { self.parked_since(course, Some(key)) }
    }

    /// The first parked event of a row, or of the model.
    fn parked_since(&self, course: &Course, key: Option<&Key>) -> Result<Option<Position>, ReadError> {
        if course.demand.wanted.floor == Position::ZERO {
            return Ok(None);
        }
        Ok(match key {
            // What is parked without a key may be of any row.
            Some(key) => {
                let of_any = self.first_parked(ParkedRow::Unknown)?;
                self.first_parked(ParkedRow::Of(key))?.into_iter().chain(of_any).min()
            }
            None => self.first_parked(ParkedRow::Any)?,
        })
    }

    /// The first event that is parked of these rows.
    fn first_parked(&self, row: ParkedRow<'_>) -> Result<Option<Position>, StoreError> {
        let asked = ParkFilter { row: Some(row), limit: 1, ..ParkFilter::default() };
        Ok(self.models.parks_of(self.slot.name(), &asked)?.pop().map(|park| park.touch.position))
    }

    /// Whether the table that is there has another key than the declared one.
    fn stored_key_differs(&self) -> Result<bool, ReadError> {
        let declared = self.slot.schema();
        Ok(self.models.state(&declared.model)?.is_some_and(|state| !same_key(&state.schema, declared)))
    }
}

fn why_not(observation: &Observation, reached: bool, parked_events: u64) -> String {
    if observation.outdated {
        return "the model is declared anew and not rebuilt yet".into();
    }
    if !reached {
        return "the model did not reach the head of the log within the budget".into();
    }
    if parked_events > 0 {
        return format!("{parked_events} events of this model could not be applied");
    }
    format!("the rows of this model are {}", observation.state.content.verdict)
}

/// Whether two versions of a model name their rows alike.
fn same_key(a: &Schema, b: &Schema) -> bool {
    let types = |schema: &Schema| schema.key.iter().map(|&column| schema.columns[column].ty).collect::<Vec<_>>();
    types(a) == types(b)
}

fn other_key() -> ReadError {
    let reason = "the model is declared anew with another key, and not rebuilt yet".into();
    ReadError::NotMet { reason, retry_after: Duration::from_secs(1), label: None }
}
