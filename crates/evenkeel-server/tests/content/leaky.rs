//! A log that a model's projector reads wrongly when it is told to: one event is left out, or comes twice. Everybody
//! else reads what is there.
use evenkeel::{
    core::Position,
    store::{
        Log, Slice,
        faulty::{Misread, MisreadLog},
    },
};
use std::{
    sync::{Arc, Mutex},
    thread,
};

/// What a projector is to be told of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not there.
    Skip,
    /// It is there twice.
    Double,
}

/// A log, and what projectors are told of it.
pub(crate) type LeakyLog = MisreadLog<Arc<dyn Log>, Leaky>;

/// What a projector is to be told of the log.
#[derive(Default)]
pub(crate) struct Leaky(Mutex<Vec<(&'static str, Position, Fault)>>);

impl Leaky {
    /// The projector of this model is told this of the event at a position.
    pub(crate) fn tell(&self, model: &'static str, position: u64, fault: Fault) {
        self.0.lock().unwrap().push((model, Position(position), fault));
    }

    fn faults_here(&self) -> Vec<(Position, Fault)> {
        let own = thread::current();
        let Some(model) = own.name().and_then(|name| name.strip_prefix("project ")) else { return Vec::new() };
        let faults = self.0.lock().unwrap();
        faults.iter().filter(|(of, ..)| *of == model).map(|(_, position, fault)| (*position, *fault)).collect()
    }
}

impl Misread for Leaky {
    fn misread(&self, slice: &mut Slice) {
        for (position, fault) in self.faults_here() {
            let Some(at) = slice.events.iter().position(|event| event.position == position) else { continue };
            match fault {
                Fault::Skip => drop(slice.events.remove(at)),
                Fault::Double => slice.events.insert(at, slice.events[at].clone()),
            }
        }
    }
}
