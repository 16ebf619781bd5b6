//! Verification: the log folded afresh and the rows of a table compared with it.
//!
//! Memory is bounded by passes over the log, each for a share of the keys. The table must not move meanwhile: the
//! caller holds the model's turn. It may be called off between two pages, so that nobody who stops has to wait for it.
//! Finding wrong rows without folding everything, and why they are wrong, is `content`'s.
use crate::projector::discarded;
use evenkeel_core::{
    ModelName, Position,
    digest::RowHasher,
    fold::{Difference, Fold, FreshFold, Park, ParkState, TouchId},
    row::Key,
};
use evenkeel_store::{Log, Models, Result, Rows, Table};
use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    ops::ControlFlow,
};

/// How much memory a verification may take, in rows held at once.
pub const ROWS_PER_PASS: u64 = 250_000;

/// How many wrong rows are kept with what they should be, and how many are named; the rest is counted.
const SHOWN: usize = 1000;
const NAMED: usize = 100_000;

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
    /// The keys of the first hundred thousand of them.
    pub keys: Vec<Key>,
    /// The keys of which other events are parked than the fold cannot apply, the first hundred thousand of them. Their rows
    /// may be right: an event that a wrong row took leaves none when that row is put back.
    pub misparked: BTreeSet<Key>,
}

/// Which rows are compared.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'s> {
    /// All of them.
    All,
    /// Those of some buckets.
    Buckets(&'s BTreeSet<u16>),
}

/// What may call a long work off: asked again and again while it goes on.
pub type GoOn<'g> = &'g mut dyn FnMut() -> ControlFlow<()>;

/// Compares rows of a table with the log. `None` where `go_on` called it off.
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
    scope: Scope<'_>,
    go_on: GoOn<'_>,
) -> Result<Option<Verification>> {
    verify_in_passes((log, models), fold, table, scope, ROWS_PER_PASS, go_on)
}

/// As [`verify`], with so many rows to a pass.
pub(crate) fn verify_in_passes(
    (log, models): (&dyn Log, &dyn Models),
    fold: &dyn Fold,
    table: Table,
    scope: Scope<'_>,
    rows_per_pass: u64,
    go_on: GoOn<'_>,
) -> Result<Option<Verification>> {
    let schema = fold.schema();
    let Some((first, rows)) = count(models, fold, table, go_on)? else { return Ok(None) };
    let position = match (table, &first.state.build) {
        (Table::Build, Some(build)) => build.checkpoint.position,
        _ => first.state.checkpoint.position,
    };
    let discarded = discarded(models, &schema.model)?;
    let parked = match table {
        Table::Live => parked(models, &schema.model)?,
        Table::Build | Table::Previous => HashMap::new(),
    };
    let rows = match scope {
        Scope::All => rows,
        Scope::Buckets(some) => rows / u64::from(evenkeel_core::digest::BUCKETS) * some.len() as u64,
    };
    let passes = rows.div_ceil(rows_per_pass.max(1)).max(1);
    let hasher = RefCell::new(RowHasher::new(&models.digest_key(), schema));
    let mut found = Verification { position, ..Verification::default() };
    for pass in 0..passes {
        let mine = |key: &Key| {
            let hash = hasher.borrow_mut().key(key);
            let in_scope = match scope {
                Scope::All => true,
                Scope::Buckets(some) => some.contains(&hash.bucket()),
            };
            in_scope && hash.0 % passes == pass
        };
        let mut fresh = FreshFold::new(fold, &discarded, mine);
        if feed(log, &mut fresh, fold, position, go_on)?.is_break() {
            return Ok(None);
        }
        found.rows += fresh.len() as u64;
        if table == Table::Live {
            found.compare_parks(&fresh, &parked, mine);
        }
        if found.compare((models, fold, table), fresh, mine, go_on)?.is_break() {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

/// What is parked of rows that have a name, and was not given up.
fn parked(models: &dyn Models, model: &ModelName) -> Result<HashMap<TouchId, Park>> {
    let parks = models.parks(model, None)?.into_iter();
    let waiting = parks.filter(|park| park.key.is_some() && park.state != ParkState::Discarded);
    Ok(waiting.map(|park| (park.touch, park)).collect())
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

    fn compare_parks(&mut self, fresh: &FreshFold<'_>, parked: &HashMap<TouchId, Park>, mine: impl Fn(&Key) -> bool) {
        let state = |park: Option<&Park>| park.map(|park| park.state);
        let should = fresh.parks();
        for (touch, park) in parked.iter().chain(should) {
            let Some(key) = park.key.as_ref().filter(|key| mine(key)) else { continue };
            if state(parked.get(touch)) != state(should.get(touch)) && self.misparked.len() < NAMED {
                self.misparked.insert(key.clone());
            }
        }
    }

    fn wrong(&mut self, difference: Difference) {
        self.wrong_rows += 1;
        if self.keys.len() < NAMED {
            self.keys.push(difference.key.clone());
        }
        if self.wrong.len() < SHOWN {
            self.wrong.push(difference);
        }
    }
}

/// How many rows the table has, tombstones included, and its state; `None` where it was called off.
fn count(models: &dyn Models, fold: &dyn Fold, table: Table, go_on: GoOn<'_>) -> Result<Option<(Rows, u64)>> {
    let schema = fold.schema();
    let first = models.rows(&schema.model, table, None, 1)?;
    // Readers are shown no tombstones, and a store counts what readers are shown.
    if table == Table::Live && schema.deleted().is_none() {
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
