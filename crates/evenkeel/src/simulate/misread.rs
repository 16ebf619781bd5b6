//! One wrong thing that a projector is told of the log: an event is left out of what is read, or is there twice.
//!
//! As a projector with a defect of its own would read, or one that is fed over a connection that drops and repeats. How
//! it comes between the log and the reader is [`evenkeel_store::faulty::MisreadLog`]'s.
use super::events::names_no_product;
use evenkeel_core::Event;
use evenkeel_store::{Log, Slice, faulty};
use parking_lot::Mutex;

/// What becomes of one event of the next slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misread {
    /// It is left out.
    Missed,
    /// It is there twice.
    Doubled,
}

/// A read that is to be wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) misread: Misread,
    /// Which of the events, as a number thrown.
    pub(super) dice: usize,
    /// How many slices with events are read rightly before.
    pub(super) after: usize,
    /// Whether it must be an event that does not name all its rows: a slice without one is read rightly.
    pub(super) nameless: bool,
}

/// A log one of whose reads is wrong.
pub(super) type MisreadLog<'l> = faulty::MisreadLog<&'l dyn Log, Once>;

/// A plan, and what came of it.
pub(super) struct Once {
    to_come: Mutex<Option<Plan>>,
    done: Mutex<Option<(Misread, Event)>>,
}

/// `log`, read as planned.
pub(super) fn misread_log(log: &dyn Log, plan: Option<Plan>) -> MisreadLog<'_> {
    MisreadLog { log, misread: Once { to_come: Mutex::new(plan), done: Mutex::default() } }
}

impl Once {
    /// What was read wrongly.
    pub(super) fn done(&self) -> Option<(Misread, Event)> {
        self.done.lock().clone()
    }
}

impl faulty::Misread for Once {
    fn misread(&self, slice: &mut Slice) {
        if slice.events.is_empty() {
            return;
        }
        let mut to_come = self.to_come.lock();
        if let Some(plan) = to_come.as_mut().filter(|plan| plan.after > 0) {
            plan.after -= 1;
            return;
        }
        let nameless = slice.events.iter().position(names_no_product);
        if to_come.is_some_and(|plan| plan.nameless && nameless.is_none()) {
            return;
        }
        if let Some(Plan { misread, dice, nameless: only, .. }) = to_come.take() {
            let index = nameless.filter(|_| only).unwrap_or(dice % slice.events.len());
            let event = slice.events[index].clone();
            match misread {
                Misread::Missed => drop(slice.events.remove(index)),
                Misread::Doubled => slice.events.insert(index, event.clone()),
            }
            *self.done.lock() = Some((misread, event));
        }
    }
}
