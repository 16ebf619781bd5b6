//! Snapshots of models: taken of the live table while its projector goes on, and kept only when verified.
//!
//! Verified means: every row is as it was written, the rows add up to what the projector meant by every bucket, the events
//! reached are those that the log has by their identities, nobody else's write is unsettled, and the file, read again
//! before it is kept, says the same. So a snapshot is never worse than the table would have passed for at that moment; a
//! defect of the fold itself is not seen by this, which is why snapshots go when one is found.
//!
//! What is in one is [`evenkeel_core::snapshot`]'s, where it is kept the store's. Beginning a table from one is
//! [`begin`]'s; when one is taken unasked, [`crate::snapshotting`]'s.
pub(crate) mod begin;

use crate::{EngineError, refold::has_sound_index};
use evenkeel_core::{
    Timestamp,
    checkpoint::SafeHead,
    content::{Window, compare_windows},
    digest::Buckets,
    drift::Verdict,
    fold::Fold,
    schema::Schema,
    snapshot::{Decoder, Encoder, Header, Part, SnapshotError, Totals},
};
use evenkeel_store::{Books, Draft, Kept, Log, Models, Piece, Snapshots, StoreError, Table};
use std::{
    collections::BTreeSet,
    ops::ControlFlow::{self, Break, Continue},
};

/// What taking a snapshot works with.
pub(crate) struct Taker<'t> {
    pub(crate) log: &'t dyn Log,
    pub(crate) models: &'t dyn Models,
    pub(crate) snapshots: &'t dyn Snapshots,
    pub(crate) fold: &'t dyn Fold,
    pub(crate) now: Timestamp,
}

/// A snapshot that was kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Taken {
    pub(crate) header: Header,
    pub(crate) kept: Kept,
}

impl Taker<'_> {
    /// Takes a snapshot of the live table as it is at one moment, and keeps it where it is verified. `go_on` may call it
    /// off. Nobody's turn is needed.
    ///
    /// # Errors
    /// [`EngineError::Outdated`] and [`EngineError::NotTaken`] where the table is not fit for one, with the reason; and
    /// where a store cannot be read or written. No snapshot is kept then.
    pub(crate) fn take(&self, go_on: &mut dyn FnMut() -> ControlFlow<()>) -> Result<Taken, EngineError> {
        let model = &self.fold.schema().model;
        if !has_sound_index(self.models, self.fold, Table::Live)? {
            return Err(self.unfit("somebody else changed which events touched which rows; verify it first"));
        }
        let mut taking = None;
        let mut failed = None;
        self.models.freeze(model, &mut |piece| match self.see(&mut taking, piece) {
            Ok(()) if go_on().is_continue() => Continue(()),
            Ok(()) => {
                failed = Some(self.unfit("it was called off: the engine is stopping"));
                Break(())
            }
            Err(error) => {
                failed = Some(error);
                Break(())
            }
        })?;
        match (failed, taking) {
            (Some(error), _) => Err(error),
            (None, Some(taking)) => self.finish(taking),
            (None, None) => Err(StoreError::Corrupt(format!("nothing is told of {model}")).into()),
        }
    }

    fn unfit(&self, reason: impl Into<String>) -> EngineError {
        EngineError::NotTaken { model: self.fold.schema().model.clone(), reason: reason.into() }
    }

    fn badly_written(&self, error: &SnapshotError) -> EngineError {
        self.unfit(error.to_string())
    }

    fn see<'t>(&'t self, taking: &mut Option<Taking<'t>>, piece: Piece) -> Result<(), EngineError> {
        match (piece, taking) {
            (Piece::Books(books), none) => *none = Some(self.begin(*books)?),
            (Piece::Rows(rows), Some(taking)) => {
                for (row, hash) in rows {
                    if !row.is_intact() {
                        return Err(self.unfit(format!("the row {} is not as it was written", row.key)));
                    }
                    taking.there.get_mut(hash.bucket()).add(row.digest.0);
                    let frame = taking.encoder.row(&row.key, &row.row).map_err(|error| self.badly_written(&error))?;
                    taking.write(frame)?;
                }
            }
            (Piece::Touches(touches), Some(taking)) => {
                for (hash, position) in touches {
                    let frame = taking.encoder.touch(hash, position).map_err(|error| self.badly_written(&error))?;
                    taking.write(frame)?;
                }
            }
            (Piece::Rows(_) | Piece::Touches(_), None) => {
                return Err(StoreError::Corrupt("rows come before what is known of them".into()).into());
            }
        }
        Ok(())
    }

    /// Looks whether the table is fit for a snapshot, and begins it.
    fn begin(&self, books: Books) -> Result<Taking<'_>, EngineError> {
        let schema = self.fold.schema();
        let (state, checkpoint) = (&books.state, books.state.checkpoint);
        if !state.schema.same_as(schema) {
            return Err(EngineError::Outdated(schema.model.clone()));
        }
        if let Some(reason) = &state.condemned {
            return Err(self.unfit(format!("it must be rebuilt: {reason}")));
        }
        if matches!(state.content.verdict, Verdict::Suspect | Verdict::Drifted) || books.touched {
            return Err(self.unfit("rows of it may be wrong; verify it first"));
        }
        if !books.watched {
            return Err(self.unfit("nobody noted what others wrote to it; verify it first"));
        }
        // After the model: what the log has by now it had not when the rows were as they are.
        if checkpoint.epoch.is_none() || !self.log.safe_head()?.holds(&checkpoint) {
            return Err(self.unfit("it has reached no event of this log"));
        }
        let appended = self.log.identities(&schema.subscribes, Window::default(), checkpoint.position)?;
        let reached = appended.iter().fold(0u64, |reached, (_, sum)| reached.saturating_add_signed(sum.count));
        if !compare_windows(&appended, &books.identities).is_empty() || reached != checkpoint.counts.total() {
            return Err(self.unfit("the events it has reached are not those that the log has; verify it first"));
        }
        let rows = books.buckets.rows().unsigned_abs();
        let header = Header::new(schema, checkpoint, rows, self.now, &self.models.digest_key());
        let (encoder, first) = Encoder::new(schema, &header).map_err(|error| self.badly_written(&error))?;
        let draft = self.snapshots.begin(&schema.model, checkpoint.position)?;
        let mut taking = Taking { books, header, encoder, draft, there: Buckets::default() };
        taking.write(Some(first))?;
        Ok(taking)
    }

    /// Writes what is left, reads it all again, and keeps it.
    fn finish(&self, taking: Taking<'_>) -> Result<Taken, EngineError> {
        let Taking { books, header, mut encoder, mut draft, there } = taking;
        let differing = there.differing(&books.buckets).len();
        if differing > 0 {
            return Err(self.unfit(format!("the rows of {differing} buckets are not those that were written")));
        }
        for (window, sum) in &books.identities {
            let frame = encoder.window(*window, *sum).map_err(|error| self.badly_written(&error))?;
            frame.map_or(Ok(()), |frame| draft.write(&frame))?;
        }
        for park in &books.parks {
            let frame = encoder.park(park).map_err(|error| self.badly_written(&error))?;
            frame.map_or(Ok(()), |frame| draft.write(&frame))?;
        }
        let (frames, totals) = encoder.end();
        frames.iter().try_for_each(|frame| draft.write(frame))?;
        let read = self.read_back(draft.as_mut())?;
        if read != totals {
            return Err(self.unfit("it does not read as it was written"));
        }
        Ok(Taken { header, kept: draft.keep()? })
    }

    fn read_back(&self, draft: &mut dyn Draft) -> Result<Totals, EngineError> {
        let mut frames = draft.read_back()?;
        let bad = |error: SnapshotError| self.badly_written(&error);
        let mut decoder = Decoder::new(self.fold.schema(), &frames.next()?.unwrap_or_default()).map_err(bad)?;
        while let Some(frame) = frames.next()? {
            if let Part::End(totals) = decoder.part(&frame).map_err(bad)? {
                return Ok(totals);
            }
        }
        Err(self.unfit("it ends too early when it is read again"))
    }
}

/// A snapshot that is being written.
struct Taking<'t> {
    books: Books,
    header: Header,
    encoder: Encoder<'t>,
    draft: Box<dyn Draft + 't>,
    /// The sums of the rows that were there.
    there: Buckets,
}

impl Taking<'_> {
    fn write(&mut self, frame: Option<Vec<u8>>) -> Result<(), StoreError> {
        frame.map_or(Ok(()), |frame| self.draft.write(&frame))
    }
}

/// A kept snapshot, as far as its first frame tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) kept: Kept,
    pub(crate) header: Result<Header, Unusable>,
}

/// Why a rebuild does not begin from a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It is not what it should be, and never will be.
    Bad(String),
    /// It may be as it should, and does not fit what there is now or cannot be read now.
    Unfit(String),
}

impl From<SnapshotError> for Unusable {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Damaged(_) | SnapshotError::TooLarge(_) => Self::Bad(error.to_string()),
            SnapshotError::Newer { .. } | SnapshotError::Other { .. } => Self::Unfit(error.to_string()),
        }
    }
}

impl Unusable {
    /// What it means that a home of snapshots says this of one.
    pub(crate) fn store(error: &StoreError) -> Self {
        match error {
            StoreError::Corrupt(_) => Self::Bad(error.to_string()),
            _ => Self::Unfit(error.to_string()),
        }
    }

    pub(crate) fn reason(&self) -> &str {
        let (Self::Bad(reason) | Self::Unfit(reason)) = self;
        reason
    }
}

impl Found {
    /// Why a rebuild of `schema`'s model over this log would not begin from it; `None` where it would.
    pub(crate) fn hindrance(&self, schema: &Schema, head: &SafeHead) -> Option<Unusable> {
        match &self.header {
            Err(error) => Some(error.clone()),
            Ok(header) => unfit(header, schema, head).map(Unusable::Unfit),
        }
    }
}

/// Why a snapshot with this header does not fit the model as it is declared, or this log.
pub(crate) fn unfit(header: &Header, schema: &Schema, head: &SafeHead) -> Option<String> {
    if !header.is_of(schema) {
        return Some(SnapshotError::Other { model: header.model.clone(), version: header.version }.to_string());
    }
    if header.checkpoint.epoch != Some(head.epoch) {
        return Some("it is of another life of the log".into());
    }
    (!head.holds(&header.checkpoint)).then(|| "it has reached events that the log does not have".into())
}

/// The snapshots of a model, newest first.
pub(crate) fn list(snapshots: &dyn Snapshots, schema: &Schema) -> Result<Vec<Found>, StoreError> {
    let header = |kept: &Kept| {
        let mut frames = snapshots.open(&schema.model, kept.position).map_err(|error| Unusable::store(&error))?;
        let frames = frames.as_mut().ok_or_else(|| Unusable::Unfit("it was removed".into()))?;
        let first = frames.next().map_err(|error| Unusable::store(&error))?.unwrap_or_default();
        let header = Header::read(&first)?;
        if header.checkpoint.position == kept.position && header.model == schema.model {
            return Ok(header);
        }
        Err(Unusable::Bad("it is kept under the name of another".into()))
    };
    let kept = snapshots.list(&schema.model)?;
    Ok(kept.into_iter().map(|kept| Found { header: header(&kept), kept }).collect())
}

/// Removes what need not be kept: beyond the newest `keep` that a rebuild would begin from; where there is one, all that
/// it never would; and all that is damaged.
pub(crate) fn thin(snapshots: &dyn Snapshots, schema: &Schema, head: &SafeHead, keep: usize) -> Result<(), StoreError> {
    let found = list(snapshots, schema)?;
    let usable = found.iter().filter(|found| found.hindrance(schema, head).is_none());
    let kept: BTreeSet<_> = usable.take(keep.max(1)).map(|found| found.kept.position).collect();
    for found in &found {
        let position = found.kept.position;
        let goes = match &found.header {
            Ok(_) => !kept.is_empty() && !kept.contains(&position),
            Err(Unusable::Bad(reason)) => {
                tracing::warn!(model = %schema.model, %position, reason, "a damaged snapshot is removed");
                true
            }
            Err(Unusable::Unfit(_)) => false,
        };
        if goes {
            snapshots.remove(&schema.model, position)?;
        }
    }
    Ok(())
}
