//! Strong reads of rows where these meet: one attempt for all who ask for the same, and what becomes of those for whom
//! there is no room.
//!
//! Where they meet is [`super::seats`]; what an attempt does is [`super::Reader`]'s.
use super::{
    Course, ReadOptions, Reader, RowsRequest,
    course::Step,
    label::Labelled,
    seats::{Entered, Flight, Of, Seats, Waited, Wanted},
};
use crate::{
    Clock, Engine, ReadError,
    engine::Inner,
    report::{Consistency, RowAnswer, RowsAnswer},
    slot::Slot,
};
use evenkeel_core::row::Key;
use std::sync::Arc;

/// What an attempt came to, with the course of who made it: what that has seen, and waits for, is so for all.
pub(crate) type Attempt<T> = (Result<Step<T>, ReadError>, Course);

/// Where the reads of an engine meet, by what is read.
pub(crate) struct Shared {
    rows: Arc<Seats<Attempt<RowAnswer>>>,
    pages: Arc<Seats<Attempt<RowsAnswer>>>,
    pub(super) statements: Arc<Seats<super::statement::Attempted>>,
}

impl Shared {
    pub(crate) fn new(limits: evenkeel_core::flights::FlightLimits) -> Self {
        Self { rows: Seats::new(limits), pages: Seats::new(limits), statements: Seats::new(limits) }
    }
}

impl Engine {
    /// Reads one row.
    ///
    /// # Errors
    /// Where there is no such model, the key does not fit it, or what was asked for cannot be met.
    pub fn get(&self, model: &str, key: &[impl AsRef<str>], options: ReadOptions) -> Result<RowAnswer, ReadError> {
        let slot = self.inner.readable(model)?;
        let key = Key::parse(slot.schema(), key).map_err(ReadError::Key)?;
        let course = Course::new(slot, options, self.inner.clock.monotonic());
        let of = Of::Row(slot.name().clone(), key.clone());
        let attempt = |reader: &Reader<'_>, course: &mut Course| reader.try_get(&key, course);
        self.inner.reader(slot).drive_shared(&self.inner.shared.rows, &of, course, attempt)
    }

    /// As [`Engine::get`], for callers in an async runtime of tokio with time: a read that waits holds no thread.
    ///
    /// # Errors
    /// As there.
    pub async fn get_async(
        &self,
        model: &str,
        key: &[impl AsRef<str>],
        options: ReadOptions,
    ) -> Result<RowAnswer, ReadError> {
        let slot = self.inner.readable(model)?;
        let key = Key::parse(slot.schema(), key).map_err(ReadError::Key)?;
        let course = Course::new(slot, options, self.inner.clock.monotonic());
        let of = Of::Row(slot.name().clone(), key.clone());
        let attempt = move |reader: &Reader<'_>, course: &mut Course| reader.try_get(&key, course);
        self.inner.drive_shared(slot, &self.inner.shared.rows, &of, course, attempt).await
    }

    /// Reads rows that meet conditions, in an order.
    ///
    /// # Errors
    /// Where there is no such model, the request is not understood, the cursor is not of it, or what was asked for cannot be
    /// met.
    pub fn rows(&self, model: &str, request: &RowsRequest, options: ReadOptions) -> Result<RowsAnswer, ReadError> {
        let slot = self.inner.readable(model)?;
        let course = Course::new(slot, options, self.inner.clock.monotonic());
        let of = Of::Rows(slot.name().clone(), request.clone());
        let attempt = |reader: &Reader<'_>, course: &mut Course| reader.try_rows(request, course);
        self.inner.reader(slot).drive_shared(&self.inner.shared.pages, &of, course, attempt)
    }

    /// As [`Engine::rows`], for callers in an async runtime of tokio with time.
    ///
    /// # Errors
    /// As there.
    pub async fn rows_async(
        &self,
        model: &str,
        request: RowsRequest,
        options: ReadOptions,
    ) -> Result<RowsAnswer, ReadError> {
        let slot = self.inner.readable(model)?;
        let course = Course::new(slot, options, self.inner.clock.monotonic());
        let of = Of::Rows(slot.name().clone(), request.clone());
        let attempt = move |reader: &Reader<'_>, course: &mut Course| reader.try_rows(&request, course);
        self.inner.drive_shared(slot, &self.inner.shared.pages, &of, course, attempt).await
    }
}

/// What somebody who comes to where they meet does next.
enum Turn<T> {
    /// He makes the attempt.
    Lead(Flight<Attempt<T>>),
    /// It was made for him.
    Has(Result<Step<T>, ReadError>),
    /// He comes again.
    Again,
    /// There is no room, or no time left to wait for it.
    NoRoom,
}

impl Course {
    /// What is asked for by who is on this course.
    fn wanted(&self, of: &Of) -> Wanted {
        let target = self.target.as_ref().map(|head| head.position);
        Wanted { of: of.clone(), options: self.options, target }
    }

    /// How it went for who is on this course.
    fn tell(&self, label: &mut Consistency) {
        (label.attempts, label.waited_ms) = (self.attempts, super::label::millis(self.waited));
    }

    /// Takes over what an attempt for several came to. Nothing where it could have come to more by the time this one has.
    fn adopt<T: Labelled>(&mut self, (result, of): Attempt<T>, clock: &dyn Clock) -> Turn<T> {
        self.attempts += 1;
        let mut result = result;
        let is_met = match &mut result {
            Ok(Step::Wait(_) | Step::Pause(_)) => true,
            Ok(Step::Done(answer)) => {
                let label = answer.label_mut();
                self.tell(label);
                label.level_served == label.level_requested
            }
            Err(error) => {
                if let ReadError::NotMet { label: Some(label), .. } = error {
                    self.tell(label);
                }
                false
            }
        };
        if !is_met && of.deadline() < self.deadline() && !self.left(clock).is_zero() {
            return Turn::Again;
        }
        self.take_up(&of);
        Turn::Has(result)
    }
}

impl Reader<'_> {
    /// As [`Reader::drive`], of a read that may cost something.
    fn drive_shared<T: Labelled + Clone>(
        &self,
        seats: &Arc<Seats<Attempt<T>>>,
        of: &Of,
        course: Course,
        attempt: impl Fn(&Reader<'_>, &mut Course) -> Result<Step<T>, ReadError>,
    ) -> Result<T, ReadError> {
        if !course.demand.wanted.head && !of.costs() {
            return self.drive(course, attempt);
        }
        self.drive_by(course, |reader, course| {
            loop {
                let turn = match seats.enter(course.wanted(of)) {
                    Entered::Lead(flight) => Turn::Lead(flight),
                    Entered::Full => Turn::NoRoom,
                    Entered::Waits(waiting) => {
                        let before = reader.clock.monotonic();
                        waiting.seat.waiter.wait(course.patience(reader.clock, reader.within));
                        course.waited += reader.clock.monotonic().saturating_sub(before);
                        turn(waiting.end(), course, reader.clock)
                    }
                };
                match turn {
                    Turn::Again => {}
                    Turn::Has(result) => return result,
                    Turn::NoRoom if of.costs() => return Err(seats.full()),
                    Turn::NoRoom => return reader.without_room(seats, course, &attempt),
                    Turn::Lead(flight) => return reader.lead(flight, course, &attempt),
                }
            }
        })
    }

    /// Makes an attempt for all who share it.
    fn lead<T: Clone>(
        &self,
        mut flight: Flight<Attempt<T>>,
        course: &mut Course,
        attempt: impl Fn(&Reader<'_>, &mut Course) -> Result<Step<T>, ReadError>,
    ) -> Result<Step<T>, ReadError> {
        flight.gather(|| course.left(self.clock), std::thread::sleep);
        // Whatever was the case at an earlier attempt.
        course.has_room = true;
        let before = self.clock.monotonic();
        let result = self.once(course, attempt);
        flight.land(&(result.clone(), course.clone()), self.clock.monotonic().saturating_sub(before));
        result
    }

    /// The answer as it is stored where the reader opted in, and otherwise when to ask again.
    fn without_room<T>(
        &self,
        seats: &Seats<Attempt<T>>,
        course: &mut Course,
        attempt: impl Fn(&Reader<'_>, &mut Course) -> Result<Step<T>, ReadError>,
    ) -> Result<Step<T>, ReadError> {
        if !course.options.allow_stale {
            return Err(seats.full());
        }
        course.has_room = false;
        self.once(course, attempt)
    }
}

fn turn<T: Labelled>(waited: Waited<Attempt<T>>, course: &mut Course, clock: &dyn Clock) -> Turn<T> {
    match waited {
        Waited::Lead(flight) => Turn::Lead(flight),
        Waited::Landed(shared) => course.adopt(shared, clock),
        Waited::Again => Turn::Again,
        Waited::Nothing => Turn::NoRoom,
    }
}

impl Inner {
    /// As [`Reader::drive_shared`], waiting in a task.
    async fn drive_shared<T: Labelled + Clone + Send + 'static>(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        seats: &Arc<Seats<Attempt<T>>>,
        of: &Of,
        mut course: Course,
        attempt: impl Fn(&Reader<'_>, &mut Course) -> Result<Step<T>, ReadError> + Send + Sync + 'static,
    ) -> Result<T, ReadError> {
        if !course.demand.wanted.head && !of.costs() {
            return self.drive(slot, course, attempt).await;
        }
        let attempt = Arc::new(attempt);
        loop {
            let turn = match seats.enter(course.wanted(of)) {
                Entered::Lead(flight) => Turn::Lead(flight),
                Entered::Full => Turn::NoRoom,
                Entered::Waits(waiting) => {
                    let before = self.clock.monotonic();
                    let patience = course.patience(self.clock.as_ref(), self.options.query.within);
                    waiting.seat.waiter.woken(patience).await;
                    course.waited += self.clock.monotonic().saturating_sub(before);
                    turn(waiting.end(), &mut course, self.clock.as_ref())
                }
            };
            let step = match turn {
                Turn::Again => continue,
                Turn::Has(result) => result?,
                Turn::NoRoom if of.costs() || !course.options.allow_stale => return Err(seats.full()),
                Turn::NoRoom => {
                    let (seats, once) = (Arc::clone(seats), Arc::clone(&attempt));
                    let work = move |reader: &Reader<'_>, course: &mut Course| {
                        reader.without_room(&seats, course, once.as_ref())
                    };
                    self.in_thread(slot, &mut course, work).await?
                }
                Turn::Lead(flight) => {
                    let once = Arc::clone(&attempt);
                    // Made to its end, also where nobody waits for it any more: others share it.
                    let work =
                        move |reader: &Reader<'_>, course: &mut Course| reader.lead(flight, course, once.as_ref());
                    self.in_thread(slot, &mut course, work).await?
                }
            };
            if let Some(answer) = self.follow(slot, &mut course, step).await {
                return Ok(answer);
            }
        }
    }
}

/// Why a strong answer is not given to who would take another.
pub(super) const NO_ROOM: &str = "too many strong reads are under way";
