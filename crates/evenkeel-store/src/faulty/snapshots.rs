//! [`FaultySnapshots`]: a home of snapshots whose calls fail, lie or tear by a script. What the faults mean is
//! [`super::Fault`]'s.
use super::{Fault, Operation, Script, Shell, failed};
use crate::{Draft, Frames, Kept, Result, Snapshots, memory::Volatile};
use evenkeel_core::{ModelName, Position};
use std::sync::Arc;

/// A home of snapshots with faults.
pub struct FaultySnapshots<S: Snapshots + Volatile>(Arc<Shell<S>>);

impl<S: Snapshots + Volatile> FaultySnapshots<S> {
    /// `inner` with the faults that `script` decides.
    pub fn new(inner: Arc<S>, script: Script) -> Self {
        Self(Arc::new(Shell::new(inner, script)))
    }

    /// The power goes: what only the disk's cache held is gone. Whether anything was lost.
    pub fn crash(&self) -> bool {
        self.0.crash()
    }
}

impl<S: Snapshots + Volatile + Send + Sync + 'static> Snapshots for FaultySnapshots<S> {
    fn begin<'s>(&'s self, model: &ModelName, position: Position) -> Result<Box<dyn Draft + 's>> {
        let shell = self.0.as_ref();
        if matches!(shell.fault(Operation::WriteSnapshot), Fault::Fail | Fault::FailAfter) {
            return Err(failed(Operation::WriteSnapshot));
        }
        let inner = shell.inner().begin(model, position)?;
        Ok(Box::new(Drafted { home: &self.0, inner, model: model.clone(), position }))
    }

    fn list(&self, model: &ModelName) -> Result<Vec<Kept>> {
        self.0.read(Operation::ReadSnapshot, |home| home.list(model))
    }

    fn open(&self, model: &ModelName, position: Position) -> Result<Option<Box<dyn Frames>>> {
        let inner = self.0.read(Operation::ReadSnapshot, |home| home.open(model, position))?;
        Ok(inner.map(|inner| read(&self.0, inner)))
    }

    fn remove(&self, model: &ModelName, position: Position) -> Result<()> {
        self.0.write(Operation::RemoveSnapshot, |home, _| home.remove(model, position))
    }
}

struct Drafted<'s, S: Snapshots + Volatile> {
    home: &'s Arc<Shell<S>>,
    inner: Box<dyn Draft + 's>,
    model: ModelName,
    position: Position,
}

impl<S: Snapshots + Volatile + Send + Sync + 'static> Draft for Drafted<'_, S> {
    fn write(&mut self, frame: &[u8]) -> Result<()> {
        // What is not kept yet is on no disk: a crash loses all of it, whatever was said of its frames.
        match self.home.fault(Operation::WriteSnapshot) {
            Fault::Fail => Err(failed(Operation::WriteSnapshot)),
            Fault::FailAfter => self.inner.write(frame).and(Err(failed(Operation::WriteSnapshot))),
            Fault::Tear => Ok(()),
            Fault::None | Fault::Lie => self.inner.write(frame),
        }
    }

    fn read_back(&mut self) -> Result<Box<dyn Frames>> {
        let inner = self.home.read(Operation::ReadSnapshot, |_| self.inner.read_back())?;
        Ok(read(self.home, inner))
    }

    fn keep(self: Box<Self>) -> Result<Kept> {
        let Self { home, inner, model, position } = *self;
        home.write(Operation::KeepSnapshot, |store, fault| match fault {
            Fault::Tear => keep_half(store, inner, &model, position),
            _ => inner.keep(),
        })
    }
}

/// Keeps the first half of the frames that were written.
fn keep_half<S: Snapshots>(
    store: &S,
    mut whole: Box<dyn Draft + '_>,
    model: &ModelName,
    position: Position,
) -> Result<Kept> {
    let mut frames = Vec::new();
    let mut reading = whole.read_back()?;
    while let Some(frame) = reading.next()? {
        frames.push(frame);
    }
    drop((reading, whole));
    let mut half = store.begin(model, position)?;
    frames[..frames.len() / 2].iter().try_for_each(|frame| half.write(frame))?;
    half.keep()
}

fn read<S: Snapshots + Volatile + Send + Sync + 'static>(
    home: &Arc<Shell<S>>,
    inner: Box<dyn Frames>,
) -> Box<dyn Frames> {
    Box::new(Reading { home: Arc::clone(home), inner })
}

struct Reading<S: Snapshots + Volatile> {
    home: Arc<Shell<S>>,
    inner: Box<dyn Frames>,
}

impl<S: Snapshots + Volatile + Send + Sync> Frames for Reading<S> {
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let inner = &mut self.inner;
        self.home.read(Operation::ReadSnapshot, |_| inner.next())
    }
}
