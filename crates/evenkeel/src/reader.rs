//! Reads: rows of a model with an honest statement of how fresh they are.
//!
//! `eventual` answers at once with what is there. `strong` has the latest admitted event in it: a single row is taken
//! from its table, where nothing speaks against it, and the log's tail for its key folded over it; otherwise the key is
//! folded from the log. Many rows wait for the projector to reach the head. What cannot be met within the budget is an
//! error, or an answer labelled stale where the reader opted in: never a stale success in silence.
//!
//! Not here: tokens, waiting for a demanded freshness, and SQL.
use crate::{
    Clock, ReadError,
    monitor::Observation,
    projector::discarded,
    refold::events_of,
    report::{Consistency, ContentReport, RowAnswer, RowsAnswer},
    slot::Slot,
};
use evenkeel_core::{
    EventType, Position,
    checkpoint::SafeHead,
    digest::{BUCKETS, RowHasher},
    drift::{Report, Verdict},
    fold::{Fold, FreshFold, TouchId},
    freshness::{Action, Freshness, FreshnessLimits, Level, assess},
    row::{Key, Row},
    schema::Schema,
    token::Token,
};
use evenkeel_store::{Log, Models, RowAt, StoreError, Table};
use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

/// How a read is to be answered.
///
/// ```
/// use evenkeel::{core::freshness::Level, reader::ReadOptions};
/// use std::time::Duration;
///
/// // What is there, at once: the default.
/// assert_eq!(ReadOptions::default().level, Level::Eventual);
/// // Everything published so far, within a second; failing that what is there, with a label that says so.
/// let budget = Duration::from_secs(1);
/// let strict = ReadOptions { level: Level::Strong, budget, allow_stale: true };
/// # let _ = strict;
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadOptions {
    /// How strictly it must reflect the log.
    pub level: Level,
    /// How long it may take to meet that.
    pub budget: Duration,
    /// Whether an answer that does not meet it is welcome, labelled.
    pub allow_stale: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { level: Level::Eventual, budget: Duration::from_millis(250), allow_stale: false }
    }
}

/// Which rows are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowsRequest {
    /// The cursor of the page before.
    pub cursor: Option<String>,
    /// At most so many; 0 for the default of 100. At most 10,000.
    pub limit: usize,
}

/// Events of the tail read at a time by a strong read.
const TAIL_PAGE: usize = 1000;

/// The default and the greatest number of rows of a page.
const ROWS: (usize, usize) = (100, 10_000);

/// What a read needs of the engine.
pub(crate) struct Reader<'e> {
    pub(crate) log: &'e dyn Log,
    pub(crate) models: &'e dyn Models,
    pub(crate) clock: &'e dyn Clock,
    pub(crate) slot: &'e Slot,
    pub(crate) limits: &'e FreshnessLimits,
}

/// What is said of a read besides the distance.
struct Said {
    options: ReadOptions,
    served: Level,
    parked_events: u64,
    quarantined_events: Option<u64>,
    waited: Duration,
    attempts: u32,
}

impl Reader<'_> {
    /// One row.
    pub(crate) fn get(&self, key: &Key, options: ReadOptions) -> Result<RowAnswer, ReadError> {
        let options = self.effective(options)?;
        let schema = self.slot.schema();
        let started = self.clock.monotonic();
        let at = match self.models.get(&schema.model, key) {
            // The table may be of an older version, whose key has another number of parts.
            Err(StoreError::Refused(_)) if self.stored_key_differs()? => return Err(other_key()),
            at => at?,
        };
        let mut observation = Observation::of(self.log, self.fold(), at.state.clone(), self.clock.now());
        doubt(&mut observation, at.intact);
        let quarantined_events = self.quarantined_of(key);
        let said = |served| Said {
            options,
            served,
            parked_events: at.parked_events,
            quarantined_events,
            waited: Duration::ZERO,
            attempts: 1,
        };
        let as_stored = || {
            let data = at.row.as_ref().map(|row| row.to_json(&at.state.schema));
            RowAnswer { data, consistency: self.label(&observation, &said(Level::Eventual)) }
        };
        // Rows of a table with another key are not named by this one, and their absence would say nothing.
        let comparable = same_key(&at.state.schema, schema);
        if options.level == Level::Eventual {
            return if comparable { Ok(as_stored()) } else { Err(other_key()) };
        }
        match self.fold_tail(key, &at, &observation, started.saturating_add(options.budget)) {
            Ok((row, head)) => {
                let mut consistency = self.label(&observation, &said(Level::Strong));
                self.current(&mut consistency, &head, &observation);
                Ok(RowAnswer { data: row.map(|row| row.to_json(schema)), consistency })
            }
            Err(Tail::Store(error)) => Err(error.into()),
            Err(Tail::NotMet(_)) if options.allow_stale && comparable => Ok(as_stored()),
            Err(Tail::NotMet(reason)) => Err(self.not_met(reason, &observation)),
        }
    }

    /// A page of rows.
    pub(crate) fn rows(&self, request: &RowsRequest, options: ReadOptions) -> Result<RowsAnswer, ReadError> {
        let options = self.effective(options)?;
        let started = self.clock.monotonic();
        let Some(target) = (options.level == Level::Strong).then(|| self.log.safe_head()).transpose()? else {
            return self.page(request, options, Level::Eventual, Duration::ZERO, 1).map(|(answer, ..)| answer);
        };
        let mut attempts = 0;
        loop {
            attempts += 1;
            let seen = self.slot.moved.seen();
            let waited = self.clock.monotonic().saturating_sub(started);
            let (mut answer, observation, intact) = self.page(request, options, Level::Strong, waited, attempts)?;
            let reached = observation.has_reached(&target) && !observation.outdated;
            let usable = usable(observation.state.content.verdict) && intact && self.has_all()?;
            if reached && usable && answer.consistency.parked_events == 0 {
                // The moment this is known to hold for: the log may have grown since, and the page not with it.
                let head = observation.head.as_ref().filter(|head| observation.has_reached(head)).unwrap_or(&target);
                self.current(&mut answer.consistency, head, &observation);
                return Ok(answer);
            }
            let left = started.saturating_add(options.budget).saturating_sub(self.clock.monotonic());
            if reached || left.is_zero() || observation.outdated {
                let reason = self.why_not(&observation, reached, answer.consistency.parked_events);
                if options.allow_stale {
                    answer.consistency.level_served = Level::Eventual.as_str();
                    return Ok(answer);
                }
                return Err(self.not_met(reason, &observation));
            }
            self.slot.moved.wait(seen, left);
        }
    }

    fn fold(&self) -> &dyn Fold {
        self.slot.fold.as_ref()
    }

    /// The options with the model's own demand.
    fn effective(&self, options: ReadOptions) -> Result<ReadOptions, ReadError> {
        let level = options.level.max(self.slot.require.unwrap_or(Level::Eventual));
        match level {
            Level::Eventual | Level::Strong => Ok(ReadOptions { level, ..options }),
            _ => Err(ReadError::Level(level)),
        }
    }

    /// The key's row with everything the log holds, and the head up to which that is at least.
    fn fold_tail(
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
        // A row is taken from the table only where it is there and everything says that the projector wrote it. One that
        // is not there may have been deleted by anybody.
        let has_all = of_this && self.has_all().map_err(Tail::Store)?;
        let from_table = has_all && usable(state.content.verdict) && at.intact && at.row.is_some();
        let base = match (from_table, has_all) {
            (true, _) => Base::Row,
            (false, true) => Base::Events,
            // What the model does not know of is not in its index of touched keys either.
            (false, false) => Base::Log,
        };
        let discarded = discarded(self.models, &self.fold().schema().model).map_err(Tail::Store)?;
        let folded = self.fold_key(base, key, at, head, &discarded, deadline)?;
        let folded = match folded {
            None => self.fold_key(Base::Log, key, at, head, &discarded, deadline)?,
            some => some,
        };
        folded.ok_or_else(|| Tail::NotMet("the log has ended before its head".into()))
    }

    /// Whether the model has reached exactly the events of the log up to its checkpoint, and nobody can have written to its
    /// rows unnoted.
    fn has_all(&self) -> Result<bool, StoreError> {
        let model = &self.slot.schema().model;
        if !self.models.watch(model)? {
            return Ok(false);
        }
        let agree = self.slot.identities.agree(self.log, self.models, &self.slot.schema().model)?;
        Ok(agree.unwrap_or(false))
    }

    /// The key's row, folded from some base to the head. `None` where the events after the checkpoint are not those that
    /// the model's counts leave: something was missed or counted twice, and only the log itself can be relied on.
    fn fold_key(
        &self,
        base: Base,
        key: &Key,
        at: &RowAt,
        head: &SafeHead,
        discarded: &HashSet<TouchId>,
        deadline: Duration,
    ) -> Result<Option<(Option<Row>, SafeHead)>, Tail> {
        let (fold, checkpoint) = (self.fold(), &at.state.checkpoint);
        let types = &fold.schema().subscribes;
        let mut fresh = FreshFold::new(fold, discarded, |touched| touched == key);
        let mut after = if base == Base::Log { Position::ZERO } else { checkpoint.position };
        match (base, &at.row) {
            (Base::Row, Some(row)) => fresh.seed(key.clone(), row.clone()),
            (Base::Events, _) => {
                let mut hasher = RowHasher::new(&self.models.digest_key(), fold.schema());
                let stores = (self.log, self.models);
                let events = events_of(stores, fold, Table::Live, &mut hasher, key, checkpoint.position);
                fresh.feed(&events.map_err(Tail::Store)?);
            }
            (Base::Log, _) if fold.keyed_by_subject() => {
                let subject = key.0.first().map_or_else(String::new, ToString::to_string);
                fresh.feed(&self.log.stream(&subject, types, head.position).map_err(Tail::Store)?);
                after = head.position;
            }
            _ => {}
        }
        let is_current = base != Base::Log && checkpoint.counts.total() == head.count(types);
        let mut fed = 0;
        while after < head.position && !is_current {
            if self.clock.monotonic() > deadline {
                let left = head.position.0 - after.0;
                return Err(Tail::NotMet(format!("folding the {left} events the model lacks takes too long")));
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
        if fresh.is_parked(key) {
            return Err(Tail::NotMet("an event of this row cannot be applied".into()));
        }
        let head = SafeHead { position: after.max(head.position), ..head.clone() };
        Ok(Some((fresh.row(key).cloned(), head)))
    }

    fn page(
        &self,
        request: &RowsRequest,
        options: ReadOptions,
        served: Level,
        waited: Duration,
        attempts: u32,
    ) -> Result<(RowsAnswer, Observation, bool), ReadError> {
        let schema = self.slot.schema();
        let limit = if request.limit == 0 { ROWS.0 } else { request.limit.min(ROWS.1) };
        let state = self.models.state(&schema.model)?;
        // A cursor holds a key of the table that is read, which may be of an older version than the declared one.
        let stored = state.as_ref().map_or(schema, |state| &state.schema);
        let after = request.cursor.as_deref().map(|cursor| cursor_key(stored, cursor)).transpose()?;
        let page = self.models.rows(&schema.model, Table::Live, after.as_ref(), limit)?;
        let intact = page.intact;
        let mut observation = Observation::of(self.log, self.fold(), page.state, self.clock.now());
        doubt(&mut observation, intact);
        let stored = &observation.state.schema;
        let next = page.rows.last().filter(|_| page.more).map(|(row, _)| cursor_of(&Key::of(stored, row)));
        let rows = page.rows.iter().map(|(row, parked)| {
            let mut object = row.to_json(stored);
            object.insert("_parked", (*parked).into());
            object
        });
        let said = Said {
            options,
            served,
            parked_events: observation.state.parked.events,
            quarantined_events: self.quarantined_of_types(&schema.subscribes),
            waited,
            attempts,
        };
        let answer = RowsAnswer { rows: rows.collect(), next, consistency: self.label(&observation, &said) };
        Ok((answer, observation, intact))
    }

    fn label(&self, observation: &Observation, said: &Said) -> Consistency {
        let worker = self.slot.health.get();
        let report = self.slot.watch.lock().peek(observation, &worker);
        label(self.log, observation, &report, said, self.limits)
    }

    /// Says that an answer holds everything up to `head`.
    fn current(&self, consistency: &mut Consistency, head: &SafeHead, observation: &Observation) {
        consistency.position = head.position.0;
        consistency.head = Some(head.position.0);
        consistency.lag_count = Some(0);
        consistency.lag_seconds = Some(0.0);
        consistency.staleness_seconds = Some(0.0);
        consistency.data_stale = false;
        consistency.freshness = Freshness::Fresh.as_str();
        consistency.suggested_action = Action::UseData.as_str();
        consistency.eta_seconds = Some(0.0);
        consistency.as_of = Some(head.at.to_string());
        consistency.staleness_bound_seconds = Some(observation.now.seconds_since(head.at));
        consistency.token = Some(having_read(self.log, head.position, observation));
    }

    /// Whether the table that is there has another key than the declared one.
    fn stored_key_differs(&self) -> Result<bool, ReadError> {
        let declared = self.slot.schema();
        Ok(self.models.state(&declared.model)?.is_some_and(|state| !same_key(&state.schema, declared)))
    }

    /// Entries of the gate's quarantine about this row. Known where the model's key is the subject, or where nothing
    /// waits for the model at all; `None` where it is not known which rows the waiting events are about.
    fn quarantined_of(&self, key: &Key) -> Option<u64> {
        let types = &self.slot.schema().subscribes;
        match key.0.as_slice() {
            [subject] if self.fold().keyed_by_subject() => self.log.quarantined_of(&subject.to_string(), types).ok(),
            _ => self.quarantined_of_types(types).filter(|waiting| *waiting == 0),
        }
    }

    fn quarantined_of_types(&self, types: &BTreeSet<EventType>) -> Option<u64> {
        let counts = self.log.quarantine_counts().ok()?;
        let ours =
            counts.iter().filter(|count| count.contract.as_ref().is_some_and(|contract| types.contains(contract)));
        Some(ours.map(|count| count.unresolved).sum())
    }

    fn why_not(&self, observation: &Observation, reached: bool, parked_events: u64) -> String {
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

    fn not_met(&self, reason: String, observation: &Observation) -> ReadError {
        let worker = self.slot.health.get();
        let report = self.slot.watch.lock().peek(observation, &worker);
        let seconds = report.eta_seconds.unwrap_or(1.0).clamp(1.0, 60.0);
        ReadError::NotMet {
            reason: match report.reason {
                Some(status) => format!("{reason} ({}: {status})", report.status),
                None => reason,
            },
            retry_after: Duration::from_secs_f64(seconds.ceil()),
        }
    }
}

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

/// Why a key's tail was not folded.
enum Tail {
    NotMet(String),
    Store(StoreError),
}

/// Rows that are not as they were written say so at once, before anybody has looked at the model.
fn doubt(observation: &mut Observation, intact: bool) {
    let content = &mut observation.state.content;
    if !intact && usable(content.verdict) {
        content.verdict = Verdict::Suspect;
    }
}

/// Whether rows with this verdict may be built upon.
fn usable(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Verified | Verdict::Unverified)
}

/// Whether two versions of a model name their rows alike.
fn same_key(a: &Schema, b: &Schema) -> bool {
    let types = |schema: &Schema| schema.key.iter().map(|&column| schema.columns[column].ty).collect::<Vec<_>>();
    types(a) == types(b)
}

fn other_key() -> ReadError {
    let reason = "the model is declared anew with another key, and not rebuilt yet".into();
    ReadError::NotMet { reason, retry_after: Duration::from_secs(1) }
}

fn label(
    log: &dyn Log,
    observation: &Observation,
    report: &Report,
    said: &Said,
    limits: &FreshnessLimits,
) -> Consistency {
    let state = &observation.state;
    // Rows of an older version may lack what the declared one would have in them.
    let withheld = said.parked_events > 0 || observation.outdated;
    let assessed = assess(&report.lag, report.status, state.content, withheld, limits);
    Consistency {
        level_requested: said.options.level.as_str(),
        level_served: said.served.as_str(),
        freshness: assessed.freshness.as_str(),
        data_stale: assessed.data_stale,
        staleness_seconds: assessed.staleness_seconds,
        suggested_action: assessed.suggested_action.as_str(),
        status: report.status.as_str(),
        reason: report.reason.clone(),
        lag_count: report.lag.lag_count,
        lag_seconds: report.lag.lag_seconds,
        staleness_bound_seconds: report.staleness_bound_seconds,
        as_of: report.as_of.map(|at| at.to_string()),
        read_model_last_write: state.checkpoint.last_write.map(|at| at.to_string()),
        position: state.checkpoint.position.0,
        head: observation.head.as_ref().map(|head| head.position.0),
        attempts: said.attempts,
        waited_ms: u64::try_from(said.waited.as_millis()).unwrap_or(u64::MAX),
        budget_ms: u64::try_from(said.options.budget.as_millis()).unwrap_or(u64::MAX),
        eta_seconds: report.eta_seconds,
        content: content(&state.content),
        parked_events: said.parked_events,
        quarantined_events: said.quarantined_events,
        token: token(log, observation),
    }
}

/// The token of whoever has seen this.
fn token(log: &dyn Log, observation: &Observation) -> Option<String> {
    let checkpoint = &observation.state.checkpoint;
    observation.head.as_ref().filter(|head| head.holds(checkpoint))?;
    Some(having_read(log, checkpoint.position, observation))
}

fn having_read(log: &dyn Log, position: Position, observation: &Observation) -> String {
    let origin = log.origin();
    Token::new(&origin).having_read(position).seal(&origin, observation.now)
}

pub(crate) fn content(content: &evenkeel_core::drift::Content) -> ContentReport {
    ContentReport {
        verdict: content.verdict.as_str(),
        verified_as_of: content.verified_as_of.map(|at| at.to_string()),
        buckets: BUCKETS,
        bad_buckets: content.bad_buckets,
    }
}

/// A cursor is the key of the last row as JSON: readable, and safe whatever the key holds.
fn cursor_of(key: &Key) -> String {
    let parts: Vec<String> = key.0.iter().map(ToString::to_string).collect();
    serde_json::to_string(&parts).unwrap_or_default()
}

fn cursor_key(schema: &Schema, cursor: &str) -> Result<Key, ReadError> {
    let parts: Vec<String> = serde_json::from_str(cursor)
        .map_err(|_| ReadError::Parameter("cursor: expected the `next` of an earlier page".into()))?;
    Key::parse(schema, &parts).map_err(ReadError::Key)
}
