//! What a look at a table comes to: the verdict that is kept, and the sums and windows put right where they are what is
//! wrong. Looking is [`super::Checker`]'s, writing rows [`crate::repair`]'s.
use super::{Checked, Checker, Depth};
use evenkeel_core::{
    EventId, ModelName,
    content::{Pass, Window},
    digest::Sum,
    drift::{Content, Verdict},
    fold::{Park, ParkState, TouchId},
};
use evenkeel_store::{ModelState, Models, Result, Step, Table};
use std::collections::HashSet;

/// Keeps that rows are wrong, in so many buckets as were counted when rows had been doubted `doubts` times, or more where
/// that was doubted since.
///
/// # Errors
/// Where the models' store cannot be written.
pub(crate) fn keep_drifted(
    models: &dyn Models,
    model: &ModelName,
    (bad_buckets, doubts): (u32, u64),
) -> Result<Content> {
    loop {
        let state = models.state(model)?.ok_or_else(|| evenkeel_store::StoreError::NoModel(model.clone()))?;
        let since = if state.doubts == doubts { 0 } else { state.content.bad_buckets };
        let content = Content { verdict: Verdict::Drifted, bad_buckets: bad_buckets.max(since), ..state.content };
        if models.set_content_unless_doubted(model, content, state.doubts)? {
            return Ok(content);
        }
    }
}

/// Puts right what says that rows are wrong, where they are not, and keeps the verdict. A smaller look than the one
/// that found rows wrong does not take that back, and neither does any what was doubted after it began. A `pass` of the scrub
/// is told of sums that were put right.
///
/// # Errors
/// Where the models' store cannot be written.
pub(crate) fn conclude(
    checker: &Checker<'_>,
    checked: &Checked,
    mended: bool,
    pass: Option<&mut Pass>,
) -> Result<Content> {
    let model = &checker.fold.schema().model;
    checker.models.settle(model, &checked.cleared)?;
    let state = checker.state()?;
    let was = state.content;
    let bad_buckets = checked.buckets.as_ref().map_or(was.bad_buckets, |bad| bad.len() as u32);
    if !checked.wrong.is_empty() {
        return keep_drifted(checker.models, model, (bad_buckets, checked.doubts));
    }
    let content = if checked.truncated {
        // Others were noted and not looked at.
        was
    } else {
        if let Some(bad) = checked.buckets.as_ref().filter(|bad| !bad.is_empty()) {
            // Every row of these buckets is as the log says: it is the sums that are wrong.
            set_buckets(checker, bad, pass)?;
        }
        if !checked.windows.is_empty() {
            restore_windows(checker, &state, checked)?;
        }
        match checked.depth {
            Depth::Full => verified(checked),
            Depth::Sums if was.verdict != Verdict::Drifted || mended => verified(checked),
            // Rows of which nothing is noted were not looked at.
            Depth::Suspected if mended || (was.verdict != Verdict::Drifted && was.bad_buckets == 0) => {
                let is_known = was.verified_as_of.is_some();
                let verdict = if is_known { Verdict::Verified } else { Verdict::Unverified };
                Content { verdict, bad_buckets: 0, ..was }
            }
            Depth::Suspected | Depth::Sums => was,
        }
    };
    if content == was || checker.models.set_content_unless_doubted(model, content, checked.doubts)? {
        return Ok(content);
    }
    Ok(checker.state()?.content)
}

/// Says what is meant with some buckets.
///
/// # Errors
/// Where the models' store cannot be read or written.
pub(crate) fn set_buckets(checker: &Checker<'_>, sums: &[(u16, Sum)], pass: Option<&mut Pass>) -> Result<()> {
    let model = &checker.fold.schema().model;
    if let Some(pass) = pass {
        let were = checker.models.buckets(model, Table::Live)?;
        sums.iter().for_each(|(bucket, sum)| pass.restored(*bucket, were.get(*bucket), *sum));
    }
    checker.models.set_buckets(model, Table::Live, sums)
}

fn verified(checked: &Checked) -> Content {
    Content { verdict: Verdict::Verified, verified_as_of: checked.as_of, bad_buckets: 0 }
}

/// Puts the windows, and the counts that go with them, to what the log has: the rows are right. Events that name no row
/// are parked as they would have been when they were reached.
pub(crate) fn restore_windows(checker: &Checker<'_>, state: &ModelState, checked: &Checked) -> Result<()> {
    let windows = checked.windows.as_slice();
    if windows.is_empty() {
        return Ok(());
    }
    let generation = take_up_missed(checker, state, checked)?;
    // By what the log has and not by the differences: the sums may be wrong and the counts not.
    let mut checkpoint = state.checkpoint;
    let reached = checker.log.identities(&state.schema.subscribes, Window::default(), checkpoint.position)?;
    let reached = reached.iter().fold(0u64, |reached, (_, sum)| reached.saturating_add_signed(sum.count));
    let counts = &mut checkpoint.counts;
    // An event that was parked twice is one: what is counted is never more than what was reached.
    counts.ignored = counts.ignored.min(reached);
    counts.parked = counts.parked.min(reached - counts.ignored);
    counts.applied = reached.saturating_sub(counts.ignored.saturating_add(counts.parked));
    let sums: Vec<(Window, Sum)> = windows.iter().map(|difference| (difference.window, difference.appended)).collect();
    checker.models.set_identities(&state.schema.model, generation, &sums, &checkpoint)
}

/// Parks the events of the windows that differ whose rows cannot be named, where they are not parked: no row shows that they
/// were missed. Records what the others would have decided. The generation of the table afterwards.
fn take_up_missed(checker: &Checker<'_>, state: &ModelState, checked: &Checked) -> Result<u64> {
    let schema = checker.fold.schema();
    let parks = checker.models.parks(&schema.model, None)?;
    // By the event too: one that the log has lost says nothing of the one in its place.
    let known: HashSet<(TouchId, EventId)> = parks.into_iter().map(|park| (park.touch, park.event_id)).collect();
    let conflicts = checked.conflicts.clone();
    let mut step = Step { generation: state.generation, checkpoint: state.checkpoint, conflicts, ..Step::default() };
    for difference in &checked.windows {
        for event in checker.events(state, difference.window)? {
            let mut touches = Vec::new();
            checker.fold.touches(&event, &mut touches);
            for touch in touches {
                let id = TouchId { position: event.position, clause: touch.clause, element: touch.element };
                if let (Err(error), false) = (&touch.key, known.contains(&(id, event.id))) {
                    let (state, error) = (ParkState::Poison, error.to_string());
                    let (event_id, at) = (event.id, checker.now);
                    step.parks.push(Park { touch: id, key: None, event_id, state, error, at, decision: None });
                }
            }
        }
    }
    if step.parks.is_empty() && step.conflicts.is_empty() {
        return Ok(state.generation);
    }
    checker.models.commit(&schema.model, Table::Live, &step)?;
    Ok(state.generation + 1)
}
