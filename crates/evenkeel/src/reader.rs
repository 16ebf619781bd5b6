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
    report::{Consistency, ContentReport, RowAnswer, RowsAnswer},
    slot::Slot,
};
use evenkeel_core::{
    EventType, Position,
    checkpoint::SafeHead,
    drift::{Report, Verdict},
    fold::{Fold, FreshFold},
    freshness::{FreshnessLimits, Level, assess},
    row::{Key, Row},
    schema::Schema,
};
use evenkeel_store::{Log, Models, RowAt, StoreError};
use std::{collections::BTreeSet, time::Duration};

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
        let observation = Observation::of(self.log, self.fold(), at.state.clone(), self.clock.now());
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
                current(&mut consistency, &head, &observation);
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
            return self.page(request, options, Level::Eventual, Duration::ZERO, 1).map(|(answer, _)| answer);
        };
        let mut attempts = 0;
        loop {
            attempts += 1;
            let seen = self.slot.moved.seen();
            let waited = self.clock.monotonic().saturating_sub(started);
            let (mut answer, observation) = self.page(request, options, Level::Strong, waited, attempts)?;
            let reached = observation.has_reached(&target) && !observation.outdated;
            let usable = usable(observation.state.content.verdict);
            if reached && usable && answer.consistency.parked_events == 0 {
                // The moment this is known to hold for: the log may have grown since, and the page not with it.
                let head = observation.head.as_ref().filter(|head| observation.has_reached(head)).unwrap_or(&target);
                current(&mut answer.consistency, head, &observation);
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
        let checkpoint = &at.state.checkpoint;
        let from_table = usable(at.state.content.verdict) && !observation.outdated && head.holds(checkpoint);
        if from_table && at.parked_events > 0 {
            return Err(Tail::NotMet(format!("{} events of this row could not be applied", at.parked_events)));
        }
        let types = &self.fold().schema().subscribes;
        if from_table && checkpoint.counts.total() == head.count(types) {
            return Ok((at.row.clone(), head.clone()));
        }
        let discarded = discarded(self.models, &self.fold().schema().model).map_err(Tail::Store)?;
        let mut fresh = FreshFold::new(self.fold(), &discarded, |touched| touched == key);
        let mut after = Position::ZERO;
        if from_table {
            after = checkpoint.position;
            if let Some(row) = &at.row {
                fresh.seed(key.clone(), row.clone());
            }
        }
        while after < head.position {
            if self.clock.monotonic() > deadline {
                return Err(Tail::NotMet(format!(
                    "folding the {} events the model lacks takes too long",
                    head.position.0 - after.0
                )));
            }
            let slice = self.log.read(after, Some(types), TAIL_PAGE).map_err(Tail::Store)?;
            fresh.feed(&slice.events);
            if slice.through <= after {
                return Err(Tail::NotMet("the log has ended before its head".into()));
            }
            after = slice.through;
        }
        if fresh.is_parked(key) {
            return Err(Tail::NotMet("an event of this row cannot be applied".into()));
        }
        Ok((fresh.row(key).cloned(), SafeHead { position: after.max(head.position), ..head.clone() }))
    }

    fn page(
        &self,
        request: &RowsRequest,
        options: ReadOptions,
        served: Level,
        waited: Duration,
        attempts: u32,
    ) -> Result<(RowsAnswer, Observation), ReadError> {
        let schema = self.slot.schema();
        let limit = if request.limit == 0 { ROWS.0 } else { request.limit.min(ROWS.1) };
        let state = self.models.state(&schema.model)?;
        // A cursor holds a key of the table that is read, which may be of an older version than the declared one.
        let stored = state.as_ref().map_or(schema, |state| &state.schema);
        let after = request.cursor.as_deref().map(|cursor| cursor_key(stored, cursor)).transpose()?;
        let page = self.models.rows(&schema.model, evenkeel_store::Table::Live, after.as_ref(), limit)?;
        let observation = Observation::of(self.log, self.fold(), page.state, self.clock.now());
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
        Ok((answer, observation))
    }

    fn label(&self, observation: &Observation, said: &Said) -> Consistency {
        let worker = self.slot.health.get();
        let report = self.slot.watch.lock().peek(observation, &worker);
        label(observation, &report, said, self.limits)
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

/// Why a key's tail was not folded.
enum Tail {
    NotMet(String),
    Store(StoreError),
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

/// Says that an answer holds everything up to `head`.
fn current(consistency: &mut Consistency, head: &SafeHead, observation: &Observation) {
    consistency.position = head.position.0;
    consistency.head = Some(head.position.0);
    consistency.lag_count = Some(0);
    consistency.lag_seconds = Some(0.0);
    consistency.staleness_seconds = Some(0.0);
    consistency.data_stale = false;
    consistency.freshness = evenkeel_core::freshness::Freshness::Fresh.as_str();
    consistency.suggested_action = evenkeel_core::freshness::Action::UseData.as_str();
    consistency.eta_seconds = Some(0.0);
    consistency.as_of = Some(head.at.to_string());
    consistency.staleness_bound_seconds = Some(observation.now.seconds_since(head.at));
}

fn label(observation: &Observation, report: &Report, said: &Said, limits: &FreshnessLimits) -> Consistency {
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
        token: None,
    }
}

pub(crate) fn content(content: &evenkeel_core::drift::Content) -> ContentReport {
    ContentReport { verdict: content.verdict.as_str(), verified_as_of: content.verified_as_of.map(|at| at.to_string()) }
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
