//! Repair: exactly the rows that are wrong are written as the log says they are, and looked at again.
//!
//! Which rows those are, and what they should be, is [`crate::content`]'s. The caller holds the model's turn.
use crate::content::{Checked, Checker, Depth, Wrong, conclude, restore_windows, set_buckets};
use evenkeel_core::{
    content::Pass,
    digest::{RowHasher, Sum},
    fold::{Park, ParkState, TouchId},
    reconciliation::Evidence,
    row::{Key, Row},
};
use evenkeel_store::{Models, Removal, Result, Settled, Step, StoreError, Table, Upsert};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::ControlFlow,
};

/// What a repair came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repaired {
    /// Rows that were written or deleted.
    pub(crate) rows: u64,
    /// Whether they were looked at again, and everything about the model's content agrees.
    pub(crate) verified: bool,
}

/// Writes the wrong rows as they should be, in one transaction, and checks them again. Where these are all that are known
/// to be wrong that `settles` a verdict of `drifted`.
///
/// A `pass` of the scrub is told of it. Where this fails the pass is of no use any more: the rows may have been written.
pub(crate) fn repair(
    checker: &Checker<'_>,
    checked: &Checked,
    settles: bool,
    mut pass: Option<&mut Pass>,
) -> Result<Repaired> {
    let model = &checker.fold.schema().model;
    write(checker, checked, pass.as_deref_mut())?;
    restore_sums(checker, checked, pass.as_deref_mut())?;
    let state = checker.models.state(model)?.ok_or_else(|| StoreError::NoModel(model.clone()))?;
    restore_windows(checker, &state, checked)?;
    let keys: Vec<Key> = checked.wrong.iter().map(|wrong| wrong.row.key.clone()).collect();
    let mut again = checker.check(Depth::Suspected, &keys, &mut || ControlFlow::Continue(()))?.unwrap_or_default();
    again.wrong.retain(|wrong| !checked.left.contains(&wrong.row.key));
    let verified = again.wrong.is_empty() && again.windows.is_empty() && !again.truncated;
    if verified {
        conclude(checker, &again, settles, pass)?;
    }
    Ok(Repaired { rows: keys.len() as u64, verified })
}

/// As [`repair`], and nothing but these rows: sums, windows and the verdict are left as they are, since nothing else was
/// looked at.
pub(crate) fn repair_rows(checker: &Checker<'_>, checked: &Checked, pass: Option<&mut Pass>) -> Result<Repaired> {
    write(checker, checked, pass)?;
    let keys: Vec<Key> = checked.wrong.iter().map(|wrong| wrong.row.key.clone()).collect();
    let again = checker.check_rows(&keys, &mut || ControlFlow::Continue(()))?.unwrap_or_default();
    Ok(Repaired { rows: keys.len() as u64, verified: again.wrong.is_empty() })
}

/// Writes the wrong rows, and what is parked of them, in one transaction.
fn write(checker: &Checker<'_>, checked: &Checked, pass: Option<&mut Pass>) -> Result<()> {
    let model = &checker.fold.schema().model;
    let state = checker.models.state(model)?.ok_or_else(|| StoreError::NoModel(model.clone()))?;
    let mut step = Step {
        generation: state.generation,
        checkpoint: state.checkpoint,
        settled: checked.cleared.clone(),
        conflicts: checked.conflicts.clone(),
        ..Step::default()
    };
    step.checkpoint.last_write = Some(checker.now);
    let schema = checker.fold.schema();
    let mut hasher = RowHasher::new(&checker.models.digest_key(), schema);
    let mut told = Vec::new();
    for wrong in &checked.wrong {
        let (key, replaces) = (wrong.row.key.clone(), wrong.replaces);
        let digest = wrong.row.expected.as_ref().map(|row| hasher.row(schema, row));
        told.push((&wrong.row.key, hasher.key(&key), [replaces, wrong.found], digest));
        step.settled.push(Settled::written(key.clone(), digest));
        match &wrong.row.expected {
            Some(row) => step.upserts.push(Upsert { key, row: row.clone(), replaces }),
            None => step.deletes.push(Removal { key, replaces }),
        }
    }
    parks(checker.models, checker, &checked.wrong, &mut step)?;
    checker.models.commit(model, Table::Live, &step)?;
    if let Some(pass) = pass {
        told.into_iter().for_each(|(key, hash, before, right)| pass.repaired(key, hash, before, right));
    }
    Ok(())
}

/// Puts the sums of buckets that did not add up to the rows as they are now. What the sums held of a row that somebody
/// replaced, digest and all, is not known of each row, but all that is there was read.
fn restore_sums(checker: &Checker<'_>, checked: &Checked, pass: Option<&mut Pass>) -> Result<()> {
    let Some(buckets) = checked.buckets.as_ref().filter(|buckets| !buckets.is_empty()) else { return Ok(()) };
    let schema = checker.fold.schema();
    let mut hasher = RowHasher::new(&checker.models.digest_key(), schema);
    let mut sums: BTreeMap<u16, Sum> = buckets.iter().copied().collect();
    for wrong in &checked.wrong {
        let bucket = hasher.key(&wrong.row.key).bucket();
        let Some(sum) = sums.get_mut(&bucket) else { continue };
        wrong.found.iter().for_each(|digest| sum.sub(digest.0));
        wrong.row.expected.iter().for_each(|row| sum.add(hasher.row(schema, row).0));
    }
    let sums: Vec<(u16, Sum)> = sums.into_iter().collect();
    set_buckets(checker, &sums, pass)
}

/// What is parked of the wrong rows becomes what the fold cannot apply to them.
fn parks(models: &dyn Models, checker: &Checker<'_>, wrong: &[Wrong], step: &mut Step) -> Result<()> {
    let keys: HashSet<&Key> = wrong.iter().map(|wrong| &wrong.row.key).collect();
    let stored = models.parks(&checker.fold.schema().model, None)?;
    let mut stored: HashMap<TouchId, Park> = stored
        .into_iter()
        .filter(|park| park.state != ParkState::Discarded && park.key.as_ref().is_some_and(|key| keys.contains(key)))
        .map(|park| (park.touch, park))
        .collect();
    for park in wrong.iter().flat_map(|wrong| &wrong.parks) {
        match stored.remove(&park.touch) {
            Some(known) if known.state == park.state => {}
            _ => step.parks.push(Park { at: checker.now, ..park.clone() }),
        }
    }
    step.unparks.extend(stored.into_keys());
    Ok(())
}

/// The wrong rows, as they are kept with the record of what was done about them.
pub(crate) fn evidence(checker: &Checker<'_>, wrong: &[Wrong]) -> Vec<Evidence> {
    let schema = checker.fold.schema();
    let of = |wrong: &Wrong| {
        let rows = [wrong.row.expected.as_ref(), wrong.row.actual.as_ref()];
        let [expected, actual] = Row::told_apart(schema, rows).map(|row| row.map(|row| row.to_string()));
        Evidence { key: wrong.row.key.to_string(), cause: wrong.row.cause, expected, actual }
    };
    wrong.iter().map(of).collect()
}
