//! A table that is being built begins from a snapshot: its rows taken over in bulk, and with them all that a projector goes
//! on from.
//!
//! What a person has decided since is not in it. So the rows of which events were parked, or of which some were given up
//! before or since, are folded anew from the log by their own events. The counts of its checkpoint are taken over as they
//! are: they say what became of events when they were reached, and their sum is what is compared.
use super::{Unusable, unfit};
use crate::{
    projector::discarded,
    refold::{refold, touches_upto},
};
use evenkeel_core::{
    Position,
    content::{Window, compare_windows},
    digest::{RowHasher, Sum},
    fold::{Fold, GivenUp, Park, ParkState, TouchId},
    row::Key,
    snapshot::{Decoder, Header, Part, hashed_with},
};
use evenkeel_store::{Log, Models, Removal, Snapshots, Step, StoreError, Table, Upsert};
use std::{
    collections::{BTreeSet, HashMap},
    ops::ControlFlow::{self, Break, Continue},
};

/// Rows, or entries of the index, written in one transaction, so that the projectors of other models need not wait long.
const STEP: usize = 10_000;

/// Why a table was not begun from a snapshot.
#[derive(Debug)]
pub(crate) enum NotBegun {
    /// The snapshot is at fault.
    Unusable(Unusable),
    /// The table cannot be written, or the log not read.
    Store(StoreError),
}

impl From<StoreError> for NotBegun {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn bad(why: &str) -> NotBegun {
    NotBegun::Unusable(Unusable::Bad(why.into()))
}

/// An empty table being built, and what it is filled from.
pub(crate) struct Beginning<'b> {
    pub(crate) log: &'b dyn Log,
    pub(crate) models: &'b dyn Models,
    pub(crate) snapshots: &'b dyn Snapshots,
    pub(crate) fold: &'b dyn Fold,
    /// The generation of the table.
    pub(crate) generation: u64,
}

/// What of a snapshot is written at the end.
#[derive(Default)]
struct Rest {
    windows: Vec<(Window, Sum)>,
    parks: Vec<Park>,
    /// Whether the entries of the index that are in the snapshot are of use here.
    indexed: bool,
}

impl Beginning<'_> {
    /// Fills the table from the snapshot of `position`. `go_on` may call it off. After any error, and where it was called
    /// off, the table must be thrown away.
    pub(crate) fn from(
        mut self,
        position: Position,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, NotBegun> {
        let schema = self.fold.schema();
        let unusable = |error: StoreError| NotBegun::Unusable(Unusable::store(&error));
        let frames = self.snapshots.open(&schema.model, position).map_err(unusable)?;
        let mut frames = frames.ok_or_else(|| NotBegun::Unusable(Unusable::Unfit("it is gone".into())))?;
        let first = frames.next().map_err(unusable)?.unwrap_or_default();
        let mut decoder = Decoder::new(schema, &first).map_err(|error| NotBegun::Unusable(error.into()))?;
        let header = decoder.header().clone();
        if header.checkpoint.position != position {
            return Err(bad("it is kept under the name of another"));
        }
        if let Some(why) = unfit(&header, schema, &self.log.safe_head()?) {
            return Err(NotBegun::Unusable(Unusable::Unfit(why)));
        }
        let indexed = header.hashed_with == hashed_with(&self.models.digest_key());
        let mut rest = Rest { indexed, ..Rest::default() };
        let mut upserts = Vec::new();
        while let Some(frame) = frames.next().map_err(unusable)? {
            let part = decoder.part(&frame).map_err(|error| NotBegun::Unusable(error.into()))?;
            self.take_over(part, &mut upserts, &mut rest)?;
            if go_on().is_break() {
                return Ok(Break(()));
            }
        }
        if !decoder.has_ended() {
            return Err(bad("it ends too early"));
        }
        self.write(Step { upserts, ..Step::default() })?;
        self.check_identities(&header, &rest.windows)?;
        if !rest.indexed && !self.fold.keyed_by_subject() && self.index_anew(position, go_on)?.is_break() {
            return Ok(Break(()));
        }
        self.finish(&header, rest, go_on)
    }

    fn take_over(&mut self, part: Part, upserts: &mut Vec<Upsert>, rest: &mut Rest) -> Result<(), StoreError> {
        match part {
            Part::Rows(rows) => {
                upserts.extend(rows.into_iter().map(|(key, row)| Upsert::new(key, row)));
                while upserts.len() >= STEP {
                    let later = upserts.split_off(STEP);
                    let upserts = std::mem::replace(upserts, later);
                    self.write(Step { upserts, ..Step::default() })?;
                }
            }
            Part::Touches(touches) if rest.indexed => self.write(Step { touches, ..Step::default() })?,
            // Under the key of another store they name other rows.
            Part::Touches(_) | Part::End(_) => {}
            Part::Windows(windows) => rest.windows.extend(windows),
            Part::Parks(parks) => rest.parks.extend(parks),
        }
        Ok(())
    }

    fn write(&mut self, step: Step) -> Result<(), StoreError> {
        let step = Step { generation: self.generation, ..step };
        self.models.commit(&self.fold.schema().model, Table::Build, &step)?;
        self.generation += 1;
        Ok(())
    }

    /// The events that the snapshot was folded from must be those that the log has up to there, each once.
    fn check_identities(&self, header: &Header, windows: &[(Window, Sum)]) -> Result<(), NotBegun> {
        let types = &self.fold.schema().subscribes;
        let appended = self.log.identities(types, Window::default(), header.checkpoint.position)?;
        let reached = appended.iter().fold(0u64, |reached, (_, sum)| reached.saturating_add_signed(sum.count));
        if compare_windows(&appended, windows).is_empty() && reached == header.checkpoint.counts.total() {
            return Ok(());
        }
        Err(bad("the events it was made of are not those that the log has"))
    }

    /// Makes the index of touched keys from the log: the snapshot's is of another store, whose secret is gone.
    fn index_anew(
        &mut self,
        upto: Position,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let (log, fold) = (self.log, self.fold);
        let mut hasher = RowHasher::new(&self.models.digest_key(), fold.schema());
        let mut note = |touches| self.write(Step { touches, ..Step::default() });
        touches_upto(log, fold, &mut hasher, upto, go_on, &mut note)
    }

    /// What had been given up need not be in the index of the snapshot. Where that decision is lost since, the event counts
    /// again, and its row is folded anew by the index.
    fn index_given_up(&mut self, parks: &[Park]) -> Result<(), StoreError> {
        if self.fold.keyed_by_subject() {
            return Ok(());
        }
        let mut hasher = RowHasher::new(&self.models.digest_key(), self.fold.schema());
        let given_up = parks.iter().filter(|park| park.state == ParkState::Discarded);
        let touches: Vec<_> =
            given_up.filter_map(|park| Some((hasher.key(park.key.as_ref()?), park.touch.position))).collect();
        if touches.is_empty() { Ok(()) } else { self.write(Step { touches, ..Step::default() }) }
    }

    /// Folds anew what decisions of persons concern, and moves the checkpoint.
    fn finish(
        &mut self,
        header: &Header,
        rest: Rest,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, NotBegun> {
        let schema = self.fold.schema();
        let position = header.checkpoint.position;
        self.index_given_up(&rest.parks)?;
        let keys = self.to_fold_anew(position, &rest.parks)?;
        let stores = (self.log, self.models);
        let Some(mut folded) = refold(stores, self.fold, Table::Build, &keys, position, go_on)? else {
            return Ok(Break(()));
        };
        let mut step = Step { identities: rest.windows, checkpoint: header.checkpoint, ..Step::default() };
        let stored = self.models.load(&schema.model, Table::Build, &keys)?.rows;
        let meant: HashMap<Key, _> = stored.into_iter().map(|row| (row.key, row.meant)).collect();
        let known: HashMap<TouchId, &Park> = rest.parks.iter().map(|park| (park.touch, park)).collect();
        for key in keys {
            let replaces = meant.get(&key).copied().flatten();
            let parks = folded.parks.remove(&key).unwrap_or_default();
            step.parks.extend(parks.into_iter().map(|park| dated(park, &known)));
            match folded.rows.remove(&key) {
                Some(row) => step.upserts.push(Upsert { key, row, replaces }),
                None if replaces.is_some() => step.deletes.push(Removal { key, replaces }),
                None => {}
            }
        }
        // What names no row holds nothing up, and no fold of a row comes upon it.
        let given_up = discarded(self.models, &schema.model)?;
        let unnamed = rest.parks.iter().filter(|park| park.key.is_none() && !given_up.has(park.touch, park.event_id));
        step.parks.extend(unnamed.map(|park| Park { state: ParkState::Poison, ..park.clone() }));
        self.write(step)?;
        Ok(Continue(()))
    }

    /// The rows that events wait for, and those of which a person has given up others than when the snapshot was taken.
    fn to_fold_anew(&self, position: Position, parks: &[Park]) -> Result<Vec<Key>, StoreError> {
        let now = self.models.parks(&self.fold.schema().model, Some(ParkState::Discarded))?;
        let (before, since) = (GivenUp::among(parks), GivenUp::among(&now));
        let has_changed = |park: &Park| before.has(park.touch, park.event_id) != since.has(park.touch, park.event_id);
        let concerned = parks.iter().chain(&now).filter(|park| {
            park.touch.position <= position && (park.state != ParkState::Discarded || has_changed(park))
        });
        let keys: BTreeSet<&Key> = concerned.filter_map(|park| park.key.as_ref()).collect();
        Ok(keys.into_iter().cloned().collect())
    }
}

/// The park with the moment at which the same one was parked first, where that is known.
fn dated(park: Park, known: &HashMap<TouchId, &Park>) -> Park {
    let at = known.get(&park.touch).map_or(park.at, |known| known.at);
    Park { at, ..park }
}
