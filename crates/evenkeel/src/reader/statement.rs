//! SQL over models: what each model that a statement reads must show is judged as for a page of rows, at one moment of all
//! of them, and the answer bears the worst of their labels.
//!
//! Not here: SQL. The store says which models a statement reads and carries it out.
use super::{
    Course, MOVES, NOT_ADDED_UP, NOT_COMPARED, ReadOptions, Reader,
    course::Step,
    label::{Withheld, millis, usable},
    seats::{Entered, Flight, Of, Waited, Wanted},
    strong::Believed,
    why_not,
    worst::worst,
};
use crate::{
    Engine, ReadError,
    engine::Inner,
    monitor::Observation,
    report::{Consistency, QueryAnswer, ReadModel},
    slot::Slot,
};
use evenkeel_core::{
    ModelName, Position,
    checkpoint::SafeHead,
    demand::{Unmet, Until},
    json::Object,
};
use evenkeel_store::{Answered, ModelState, SqlError, Statement};
use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc, time::Duration};

/// A statement that a reader wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct QueryRequest {
    /// The text: one statement that reads.
    pub sql: String,
    /// At most so many rows; 0 for as many as statements may give ([`QueryLimits::rows`]).
    pub limit: usize,
}

/// What a statement of a reader may cost, or a page of rows that are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// How long it may run, apart from what it waits.
    pub within: Duration,
    /// How many rows it may give.
    pub rows: usize,
    /// How many bytes these may take.
    pub bytes: usize,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self { within: Duration::from_secs(5), rows: 10_000, bytes: 16 << 20 }
    }
}

/// The courses of one statement, one by each model: what it reads is not known before it is looked at.
type Courses = BTreeMap<ModelName, Course>;

/// An attempt with the courses of who made it.
pub(crate) type Attempted = (Result<Next, ReadError>, Courses);

/// What an attempt came to.
#[derive(Clone)]
pub(crate) enum Next {
    Done(Box<QueryAnswer>),
    /// This model must reach this position first.
    Wait(Arc<Slot>, Position),
    Pause(Duration),
}

/// What is said of one model.
enum Judged {
    /// The answer may be given with this label.
    Labelled(Box<Consistency>),
    Wait(Position),
    /// All is to be looked at again.
    Again,
}

impl Engine {
    /// Carries out a statement in SQL that reads models and the views declared over them, and does nothing else. All it
    /// reads is of one moment; the label is the worst of the models it reads.
    ///
    /// # Errors
    /// [`ReadError::Sql`] where it is not understood, not allowed or costs too much; otherwise as [`Engine::rows`].
    pub fn query(&self, request: &QueryRequest, options: ReadOptions) -> Result<QueryAnswer, ReadError> {
        let inner = &self.inner;
        let mut courses = inner.courses(options);
        loop {
            let before = match inner.share_query(request, &mut courses)? {
                Next::Done(answer) => return Ok(*answer),
                Next::Wait(slot, position) => {
                    let before = inner.clock.monotonic();
                    if let Some(course) = courses.get(slot.name()) {
                        course.enter(&slot, position).wait(course.left(inner.clock.as_ref()));
                    }
                    before
                }
                Next::Pause(delay) => {
                    let before = inner.clock.monotonic();
                    std::thread::sleep(delay);
                    before
                }
            };
            inner.waited(&mut courses, before);
        }
    }

    /// As [`Engine::query`], for callers in an async runtime of tokio with time: one that waits holds no thread.
    ///
    /// # Errors
    /// As there.
    pub async fn query_async(&self, request: QueryRequest, options: ReadOptions) -> Result<QueryAnswer, ReadError> {
        let (inner, request) = (&self.inner, Arc::new(request));
        let mut courses = inner.courses(options);
        loop {
            let flight = match inner.enter(&request, &courses) {
                Entered::Full => return Err(inner.shared.statements.full()),
                Entered::Lead(flight) => flight,
                Entered::Waits(waiting) => {
                    let before = inner.clock.monotonic();
                    waiting.seat.waiter.woken(patience(&courses, inner)).await;
                    inner.waited(&mut courses, before);
                    match inner.has_waited(waiting.end(), &mut courses) {
                        ControlFlow::Continue(None) => continue,
                        ControlFlow::Continue(Some(flight)) => flight,
                        ControlFlow::Break(next) => {
                            if let Some(answer) = inner.follow_query(next?, &mut courses).await {
                                return Ok(answer);
                            }
                            continue;
                        }
                    }
                }
            };
            let (own, asked) = (Arc::clone(inner), Arc::clone(&request));
            let tried = tokio::task::spawn_blocking(move || {
                let next = own.lead_query(flight, &asked, &mut courses);
                (next, courses)
            });
            let next = match tried.await {
                Ok((next, after)) => {
                    courses = after;
                    next?
                }
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            };
            if let Some(answer) = inner.follow_query(next, &mut courses).await {
                return Ok(answer);
            }
        }
    }
}

/// How much time there is left.
fn left(courses: &Courses, inner: &Inner) -> Duration {
    courses.values().next().map_or(Duration::ZERO, |course| course.left(inner.clock.as_ref()))
}

/// How long it may wait for an attempt that is shared.
fn patience(courses: &Courses, inner: &Inner) -> Duration {
    let (clock, within) = (inner.clock.as_ref(), inner.options.query.within);
    let one = |course: &Course| course.patience(clock, within);
    courses.values().map(one).min().unwrap_or_default()
}

impl Inner {
    fn courses(&self, options: ReadOptions) -> Courses {
        let started = self.clock.monotonic();
        let course = |slot: &Arc<Slot>| (slot.name().clone(), Course::new(slot, options, started));
        self.slots.values().map(course).collect()
    }

    fn waited(&self, courses: &mut Courses, before: Duration) {
        let waited = self.clock.monotonic().saturating_sub(before);
        courses.values_mut().for_each(|course| course.waited += waited);
    }

    /// Waits in a task as an attempt says, or gives its answer.
    async fn follow_query(self: &Arc<Self>, next: Next, courses: &mut Courses) -> Option<QueryAnswer> {
        let before = self.clock.monotonic();
        match next {
            Next::Done(answer) => return Some(*answer),
            Next::Wait(slot, position) => {
                if let Some(course) = courses.get(slot.name()) {
                    course.enter(&slot, position).woken(course.left(self.clock.as_ref())).await;
                }
            }
            Next::Pause(delay) => tokio::time::sleep(delay).await,
        }
        self.waited(courses, before);
        None
    }

    /// Comes to where statements meet.
    fn enter(&self, request: &QueryRequest, courses: &Courses) -> Entered<Attempted> {
        let course = courses.values().next();
        let options = course.map(|course| course.options).unwrap_or_default();
        let target = course.and_then(|course| course.target.as_ref()).map(|head| head.position);
        self.shared.statements.enter(Wanted { of: Of::Statement(request.clone()), options, target })
    }

    /// What becomes of who has waited for an attempt: he makes it, has what it came to, or comes again.
    fn has_waited(
        &self,
        waited: Waited<Attempted>,
        courses: &mut Courses,
    ) -> ControlFlow<Result<Next, ReadError>, Option<Flight<Attempted>>> {
        let (mut result, of) = match waited {
            Waited::Lead(flight) => return ControlFlow::Continue(Some(flight)),
            Waited::Again => return ControlFlow::Continue(None),
            Waited::Nothing => return ControlFlow::Break(Err(self.shared.statements.full())),
            Waited::Landed(shared) => shared,
        };
        let how = courses.values().next().map(|course| (course.attempts + 1, millis(course.waited)));
        let tell = |label: &mut Consistency| {
            (label.attempts, label.waited_ms) = how.unwrap_or((label.attempts, label.waited_ms));
        };
        let is_met = match &mut result {
            Ok(Next::Done(answer)) => {
                let label = &mut answer.consistency;
                tell(label);
                label.level_served == label.level_requested
            }
            Ok(Next::Wait(..) | Next::Pause(_)) => true,
            Err(error) => {
                if let ReadError::NotMet { label: Some(label), .. } = error {
                    tell(label);
                }
                false
            }
        };
        let is_shorter = left(&of, self) < left(courses, self);
        for (model, course) in courses.iter_mut() {
            course.attempts += 1;
            if let Some(of) = of.get(model).filter(|_| is_met || !is_shorter) {
                course.take_up(of);
            }
        }
        // It could have come to more by the time that is left here.
        if is_met || !is_shorter { ControlFlow::Break(result) } else { ControlFlow::Continue(None) }
    }

    /// Makes an attempt for all who share it.
    fn lead_query(
        &self,
        mut flight: Flight<Attempted>,
        request: &QueryRequest,
        courses: &mut Courses,
    ) -> Result<Next, ReadError> {
        flight.gather(|| left(courses, self), std::thread::sleep);
        let before = self.clock.monotonic();
        let next = self.try_query(request, courses);
        flight.land(&(next.clone(), courses.clone()), self.clock.monotonic().saturating_sub(before));
        next
    }

    /// An attempt, of one's own or shared; waits for it in a thread.
    fn share_query(&self, request: &QueryRequest, courses: &mut Courses) -> Result<Next, ReadError> {
        loop {
            let flight = match self.enter(request, courses) {
                Entered::Full => return Err(self.shared.statements.full()),
                Entered::Lead(flight) => flight,
                Entered::Waits(waiting) => {
                    let before = self.clock.monotonic();
                    waiting.seat.waiter.wait(patience(courses, self));
                    self.waited(courses, before);
                    match self.has_waited(waiting.end(), courses) {
                        ControlFlow::Continue(None) => continue,
                        ControlFlow::Continue(Some(flight)) => flight,
                        ControlFlow::Break(next) => return next,
                    }
                }
            };
            return self.lead_query(flight, request, courses);
        }
    }

    /// One attempt. A store that is not available for the moment is no answer yet, as long as the policy has it.
    fn try_query(&self, request: &QueryRequest, courses: &mut Courses) -> Result<Next, ReadError> {
        for slot in self.slots.values() {
            if let Some(course) = courses.get_mut(slot.name()) {
                course.attempt(slot);
            }
        }
        let error = match self.query_once(request, courses) {
            Err(ReadError::Store(error)) if error.is_transient() => error,
            result => return result,
        };
        let Some((slot, course)) = self.slots.values().next().zip(courses.values_mut().next()) else {
            return Err(error.into());
        };
        match self.reader(slot).pause(course, error)? {
            Step::Pause(delay) => Ok(Next::Pause(delay)),
            Step::Wait(_) | Step::Done(()) => Ok(Next::Pause(Duration::ZERO)),
        }
    }

    fn query_once(&self, request: &QueryRequest, courses: &mut Courses) -> Result<Next, ReadError> {
        if courses.values().any(|course| course.demand.wanted.head && course.target.is_none()) {
            let head = self.log.safe_head()?;
            courses.values_mut().for_each(|course| course.target = course.target.take().or_else(|| Some(head.clone())));
        }
        let models: Vec<ModelName> = courses.keys().cloned().collect();
        let limits = &self.options.query;
        let rows = if request.limit == 0 { limits.rows } else { request.limit.min(limits.rows) };
        let statement = Statement {
            sql: &request.sql,
            models: &models,
            views: &self.options.views,
            rows,
            bytes: limits.bytes,
            within: limits.within,
        };
        let (mut labels, mut next) = (Vec::new(), None);
        let answered = self.models.query(&statement, &mut |states| {
            for state in states {
                match self.judge(state, courses) {
                    Ok((_, Judged::Labelled(label))) => labels.push((state.schema.model.clone(), *label)),
                    // One that cannot be met at all is said before another is waited for.
                    Err(error) => next = Some(Err(error)),
                    Ok((slot, Judged::Wait(position))) if !matches!(next, Some(Err(_))) => {
                        next = Some(Ok(Next::Wait(slot, position)));
                    }
                    Ok((_, Judged::Again)) if next.is_none() => next = Some(Ok(Next::Pause(MOVES))),
                    Ok(_) => {}
                }
            }
            next.is_none()
        });
        let answered = answered.map_err(|error| match error {
            SqlError::Store(error) => ReadError::Store(error),
            other => ReadError::Sql(other),
        })?;
        match (answered, next) {
            (_, Some(next)) => next,
            (Some(answered), None) => self.shown(answered, labels).map(|answer| Next::Done(Box::new(answer))),
            // What was not carried out was not admitted.
            (None, None) => Ok(Next::Pause(Duration::ZERO)),
        }
    }

    fn shown(&self, answered: Answered, labels: Vec<(ModelName, Consistency)>) -> Result<QueryAnswer, ReadError> {
        let of_model = |(model, label): &(ModelName, Consistency)| ReadModel {
            model: model.to_string(),
            freshness: label.freshness,
            status: label.status,
            lag_count: label.lag_count,
            position: label.position,
        };
        let models = labels.iter().map(of_model).collect();
        let consistency = worst(labels.into_iter().map(|(_, label)| label));
        let none = || ReadError::Parameter("there is no model to read".into());
        let Answered { columns, rows, more } = answered;
        let object = |values: Vec<_>| {
            let mut object = Object::default();
            columns.iter().zip(values).for_each(|(name, value)| object.insert(name.as_str(), value));
            object
        };
        let rows = rows.into_iter().map(object).collect();
        Ok(QueryAnswer { rows, more, models, consistency: consistency.ok_or_else(none)?, columns })
    }

    /// Whether a model shows what is asked of it.
    fn judge(&self, state: &ModelState, courses: &Courses) -> Result<(Arc<Slot>, Judged), ReadError> {
        let model = &state.schema.model;
        let known = self.slots.get(model.as_str()).zip(courses.get(model));
        let (slot, course) = known.ok_or_else(|| ReadError::NoModel(model.to_string()))?;
        Ok((Arc::clone(slot), self.reader(slot).judge(state, course)?))
    }
}

impl Reader<'_> {
    fn judge(&self, state: &ModelState, course: &Course) -> Result<Judged, ReadError> {
        let mut observation = Observation::of(self.log, self.fold(), state.clone(), self.clock.now());
        let parked_events = state.parked.events;
        let quarantined_events = self.quarantined_of_types(&self.slot.schema().subscribes);
        let withheld = Withheld { parked_events, quarantined_events };
        let wanted = course.demand.wanted;
        let target = course.target.as_ref().filter(|_| wanted.head);
        let unmet_head = match target {
            None => None,
            Some(target) => match self.lacks_head(&mut observation, target, course)? {
                Ok(()) => {
                    let (mut label, _) = self.label(&observation, withheld, course);
                    self.current(&mut label, &Self::moment(&observation, target), &observation, course);
                    return Ok(Judged::Labelled(Box::new(label)));
                }
                Err(None) => return Ok(Judged::Again),
                Err(Some(unmet)) => Some(unmet),
            },
        };
        let (mut label, report) = self.label(&observation, withheld, course);
        let parked_from = if parked_events > 0 { self.parked_since(course, None)? } else { None };
        let shown = self.shown(&observation, &report, wanted.floor, parked_from)?;
        let Some(unmet) = unmet_head.or_else(|| wanted.unmet(&shown)) else {
            label.level_served = course.demand.level.as_str();
            return Ok(Judged::Labelled(Box::new(label)));
        };
        match self.wait_for(&unmet, state.checkpoint.position, report.lag.lag_count, course) {
            Some(position) => Ok(Judged::Wait(position)),
            None => self.lacking(label, &unmet, &shown, course, true).map(|label| Judged::Labelled(Box::new(label))),
        }
    }

    /// Whether everything up to `target` is in the rows, and no row is missing or anybody else's. `Err(None)`: that was
    /// not known before and is now, or could not be told of a model that moves on; the rows are to be read again.
    fn lacks_head(
        &self,
        observation: &mut Observation,
        target: &SafeHead,
        course: &Course,
    ) -> Result<Result<(), Option<Unmet>>, ReadError> {
        let reached = observation.has_reached(target) && !observation.outdated;
        let parked_events = observation.state.parked.events;
        let seems_right = reached
            && parked_events == 0
            && usable(observation.state.content.verdict)
            && observation.state.condemned.is_none();
        let has_all = if seems_right { self.has_all()? } else { Some(false) };
        if has_all.is_none() && !course.left(self.clock).is_zero() {
            return Ok(Err(None));
        }
        let believed = if has_all == Some(true) { self.believes(course.deadline())? } else { Believed::No };
        let reason = match believed {
            Believed::Yes => return Ok(Ok(())),
            Believed::Again => return Ok(Err(None)),
            Believed::Unknown => NOT_ADDED_UP.into(),
            Believed::No if seems_right && has_all != Some(true) => NOT_COMPARED.into(),
            Believed::No => why_not(observation, reached, parked_events),
        };
        let waits = !reached && !observation.outdated;
        Ok(Err(Some(Unmet { reason, until: waits.then_some(Until::Reached(target.position)) })))
    }
}
