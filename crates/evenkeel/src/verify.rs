//! Verification: the log folded afresh and every row of a table compared with it.
//!
//! Memory is bounded by passes over the log, each for a share of the keys. The table must not move meanwhile: the
//! caller holds the model's turn. It may be called off between two pages, so that nobody who stops has to wait for it.
//! Finding wrong rows without reading everything is not done here.
use crate::{Clock, EngineError, projector::discarded};
use evenkeel_core::{
    Position, Timestamp,
    drift::{Content, Verdict},
    fold::{Difference, Fold, FreshFold},
    row::Key,
};
use evenkeel_store::{Log, Models, Result, Rows, StoreError, Table};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ops::ControlFlow,
};

/// How much memory a verification may take, in rows held at once.
pub const ROWS_PER_PASS: u64 = 250_000;

/// How many wrong rows are kept with what they should be; the rest is counted.
const SHOWN: usize = 1000;

/// How many rows or events are read at a time.
const PAGE: usize = 4096;

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verification {
    /// The log was folded up to here, which is how far the table has come.
    pub position: Position,
    /// Rows that should be there.
    pub rows: u64,
    /// Rows compared, wrong ones included.
    pub rows_checked: u64,
    /// How many of them are wrong.
    pub wrong_rows: u64,
    /// The first of them, in order of their keys within a pass.
    pub wrong: Vec<Difference>,
}

/// What may call a long work off: asked again and again while it goes on.
pub type GoOn<'g> = &'g mut dyn FnMut() -> ControlFlow<()>;

/// Compares every row of a table with the log. `None` where `go_on` called it off.
///
/// The table must have been made by this version of the fold, from this log.
///
/// # Errors
/// Where log or table cannot be read.
pub fn verify(
    log: &dyn Log,
    models: &dyn Models,
    fold: &dyn Fold,
    table: Table,
    rows_per_pass: u64,
    go_on: GoOn<'_>,
) -> Result<Option<Verification>> {
    let model = &fold.schema().model;
    let Some((first, rows)) = count(models, fold, table, go_on)? else { return Ok(None) };
    let position = match (table, &first.state.build) {
        (Table::Build, Some(build)) => build.checkpoint.position,
        _ => first.state.checkpoint.position,
    };
    let discarded = discarded(models, model)?;
    let passes = rows.div_ceil(rows_per_pass.max(1)).max(1);
    let mut found = Verification { position, ..Verification::default() };
    for pass in 0..passes {
        let mut fresh = FreshFold::new(fold, &discarded, move |key| share(key, passes) == pass);
        if feed(log, &mut fresh, fold, position, go_on)?.is_break() {
            return Ok(None);
        }
        found.rows += fresh.len() as u64;
        if found.compare((models, fold, table), fresh, |key| share(key, passes) == pass, go_on)?.is_break() {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

/// Verifies the live table of a model whose turn the caller holds, and keeps the verdict. With it comes the moment that
/// the verdict is of.
///
/// # Errors
/// [`EngineError::Outdated`] and [`EngineError::Method`] where the rows are of another version or another history, so
/// that comparing them says nothing; nothing is kept then. Also where a store cannot be read or written.
pub fn verify_live(
    log: &dyn Log,
    models: &dyn Models,
    fold: &dyn Fold,
    clock: &dyn Clock,
) -> std::result::Result<(Verification, Timestamp), EngineError> {
    verify_live_unless(log, models, fold, clock, &mut || ControlFlow::Continue(()))
}

/// As [`verify_live`]; where `go_on` calls it off an [`EngineError::Method`], and nothing is kept.
pub(crate) fn verify_live_unless(
    log: &dyn Log,
    models: &dyn Models,
    fold: &dyn Fold,
    clock: &dyn Clock,
    go_on: GoOn<'_>,
) -> std::result::Result<(Verification, Timestamp), EngineError> {
    let schema = fold.schema();
    let state = models.state(&schema.model)?.ok_or_else(|| StoreError::NoModel(schema.model.clone()))?;
    if !state.schema.same_as(schema) {
        return Err(EngineError::Outdated(schema.model.clone()));
    }
    if !log.safe_head()?.holds(&state.checkpoint) || state.content.verdict == Verdict::Suspect {
        let model = &schema.model;
        return Err(EngineError::Method(format!("{model} has applied events that the log does not have; rebuild it")));
    }
    let as_of = clock.now();
    let found = verify(log, models, fold, Table::Live, ROWS_PER_PASS, go_on)?;
    let found =
        found.ok_or_else(|| EngineError::Method("the verification was called off: the engine is stopping".into()))?;
    let verdict = if found.wrong_rows == 0 { Verdict::Verified } else { Verdict::Drifted };
    models.set_content(&schema.model, Content { verdict, verified_as_of: Some(as_of) })?;
    Ok((found, as_of))
}

/// Folds the log into `fresh` up to and including `upto`.
fn feed(
    log: &dyn Log,
    fresh: &mut FreshFold<'_>,
    fold: &dyn Fold,
    upto: Position,
    go_on: GoOn<'_>,
) -> Result<ControlFlow<()>> {
    let mut after = Position::ZERO;
    while after < upto {
        if go_on().is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let mut slice = log.read(after, Some(&fold.schema().subscribes), PAGE)?;
        slice.events.truncate(slice.events.partition_point(|event| event.position <= upto));
        fresh.feed(&slice.events);
        if slice.through <= after {
            break;
        }
        after = slice.through;
    }
    Ok(ControlFlow::Continue(()))
}

impl Verification {
    fn compare(
        &mut self,
        (models, fold, table): (&dyn Models, &dyn Fold, Table),
        mut fresh: FreshFold<'_>,
        mine: impl Fn(&Key) -> bool,
        go_on: GoOn<'_>,
    ) -> Result<ControlFlow<()>> {
        let schema = fold.schema();
        let mut after = None;
        loop {
            if go_on().is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let page = models.rows(&schema.model, table, after.as_ref(), PAGE)?;
            after = page.rows.last().map(|(row, _)| Key::of(schema, row));
            for (row, _) in page.rows {
                let key = Key::of(schema, &row);
                if mine(&key) {
                    self.rows_checked += 1;
                    if let Some(difference) = fresh.compare(key, row) {
                        self.wrong(difference);
                    }
                }
            }
            if !page.more {
                break;
            }
        }
        for difference in fresh.missing() {
            self.rows_checked += 1;
            self.wrong(difference);
        }
        Ok(ControlFlow::Continue(()))
    }

    fn wrong(&mut self, difference: Difference) {
        self.wrong_rows += 1;
        if self.wrong.len() < SHOWN {
            self.wrong.push(difference);
        }
    }
}

/// How many rows the table has, and its state; `None` where it was called off.
fn count(models: &dyn Models, fold: &dyn Fold, table: Table, go_on: GoOn<'_>) -> Result<Option<(Rows, u64)>> {
    let schema = fold.schema();
    let first = models.rows(&schema.model, table, None, 1)?;
    if table == Table::Live {
        return Ok(Some((first, models.count(&schema.model)?)));
    }
    let (mut rows, mut after) = (0, None);
    loop {
        if go_on().is_break() {
            return Ok(None);
        }
        let page = models.rows(&schema.model, table, after.as_ref(), PAGE)?;
        rows += page.rows.len() as u64;
        after = page.rows.last().map(|(row, _)| Key::of(schema, row));
        if !page.more {
            return Ok(Some((first, rows)));
        }
    }
}

/// Which of `shares` a key belongs to.
fn share(key: &Key, shares: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish() % shares
}
