//! Snapshots in memory: the frames as they were given.
use super::Volatile;
use crate::{Draft, Frames, Kept, Result, Snapshots};
use evenkeel_core::{ModelName, Position};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};

type Whole = Arc<Vec<Vec<u8>>>;

/// A home of snapshots in memory.
#[derive(Default)]
pub struct MemorySnapshots(Mutex<BTreeMap<(ModelName, Position), Whole>>);

/// The whole of a [`MemorySnapshots`] at one moment.
pub struct SnapshotsImage(BTreeMap<(ModelName, Position), Whole>);

impl MemorySnapshots {
    /// Changes the frames of a snapshot behind everybody's back, for tests and simulations. Whether there is one.
    pub fn tamper(&self, model: &ModelName, position: Position, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> bool {
        let mut home = self.0.lock();
        let found = home.get_mut(&(model.clone(), position));
        found.map(|frames| change(Arc::make_mut(frames))).is_some()
    }
}

impl Volatile for MemorySnapshots {
    type Image = SnapshotsImage;

    fn image(&self) -> SnapshotsImage {
        SnapshotsImage(self.0.lock().clone())
    }

    fn restore(&self, image: SnapshotsImage) {
        *self.0.lock() = image.0;
    }
}

impl Snapshots for MemorySnapshots {
    fn begin<'s>(&'s self, model: &ModelName, position: Position) -> Result<Box<dyn Draft + 's>> {
        Ok(Box::new(InMemory { home: self, name: (model.clone(), position), frames: Vec::new() }))
    }

    fn list(&self, model: &ModelName) -> Result<Vec<Kept>> {
        let home = self.0.lock();
        let of_model = home.iter().filter(|((name, _), _)| name == model);
        Ok(of_model.rev().map(|((_, position), frames)| kept(*position, frames)).collect())
    }

    fn open(&self, model: &ModelName, position: Position) -> Result<Option<Box<dyn Frames>>> {
        let found = self.0.lock().get(&(model.clone(), position)).cloned();
        Ok(found.map(|frames| Box::new(Reading { frames, next: 0 }) as Box<dyn Frames>))
    }

    fn remove(&self, model: &ModelName, position: Position) -> Result<()> {
        self.0.lock().remove(&(model.clone(), position));
        Ok(())
    }
}

fn kept(position: Position, frames: &[Vec<u8>]) -> Kept {
    Kept { position, bytes: frames.iter().map(|frame| frame.len() as u64).sum() }
}

struct InMemory<'s> {
    home: &'s MemorySnapshots,
    name: (ModelName, Position),
    frames: Vec<Vec<u8>>,
}

impl Draft for InMemory<'_> {
    fn write(&mut self, frame: &[u8]) -> Result<()> {
        self.frames.push(frame.to_vec());
        Ok(())
    }

    fn read_back(&mut self) -> Result<Box<dyn Frames>> {
        Ok(Box::new(Reading { frames: Arc::new(self.frames.clone()), next: 0 }))
    }

    fn keep(self: Box<Self>) -> Result<Kept> {
        let Self { home, name, frames } = *self;
        let kept = kept(name.1, &frames);
        home.0.lock().insert(name, Arc::new(frames));
        Ok(kept)
    }
}

struct Reading {
    frames: Whole,
    next: usize,
}

impl Frames for Reading {
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        self.next += 1;
        Ok(self.frames.get(self.next - 1).cloned())
    }
}
