//! The reconciler's thread: models that need it are brought back without being asked, one at a time, as calmly as
//! [`evenkeel_core::pace`] wants it.
//!
//! What is then done about a model is [`crate::reconciler`]'s.
use crate::{engine::Inner, reconciler::Asked, slot::Slot};
use evenkeel_core::{
    drift::{Content, Status, Verdict, Worker, rebuild_is_faster},
    pace::Run,
    reconciliation::{Method, ReconciliationResult},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How long after a reconciliation that did not help the next is tried: the first time, and at most.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// A reconciliation that did not help, or may not begin yet, and will be tried later.
struct Retry {
    at: Duration,
    back_off: Option<Duration>,
}

/// What came of looking after a model.
enum Looked {
    /// All is well, or waits for a person.
    Well,
    /// Something is to be done, and not before this; `None` for ever.
    Waits(Option<Duration>),
    /// What was done did not help.
    Failed,
}

/// The reconciler's thread: brings back models that need it, one at a time. What does not help is tried again, each time
/// later; of a fold that never verifies the rebuilds take a tenth of the time at most.
pub(crate) fn reconcile_what_is_needed(inner: &Arc<Inner>) {
    let mut retries: BTreeMap<String, Retry> = BTreeMap::new();
    loop {
        let seen = inner.needed.seen();
        if inner.go_on().is_break() {
            return;
        }
        let now = inner.clock.monotonic();
        let mut due = inner.take_needs();
        due.retain(|name| !retries.contains_key(name));
        due.extend(retries.iter().filter(|(_, retry)| retry.at <= now).map(|(name, _)| name.clone()));
        for name in due {
            let Ok(slot) = inner.slot(&name) else { continue };
            let started = inner.clock.monotonic();
            let looked = reconcile_if_needed(inner, slot);
            if inner.go_on().is_break() {
                return;
            }
            let ended = inner.clock.monotonic();
            let last = retries.get(&name).and_then(|retry| retry.back_off);
            let retry = match looked {
                Looked::Well => {
                    retries.remove(&name);
                    continue;
                }
                // Where it waits for ever it is looked at all the same: a person may have done what there was to do.
                Looked::Waits(until) => Retry { at: until.unwrap_or(ended + LAST_RETRY), back_off: last },
                Looked::Failed => {
                    let back_off = last.map_or(FIRST_RETRY, |last| (last * 2).min(LAST_RETRY));
                    let at = ended + back_off.max(ended.saturating_sub(started) * 10);
                    Retry { at, back_off: Some(back_off) }
                }
            };
            retries.insert(name, retry);
        }
        let next = retries.values().map(|retry| retry.at).min();
        let now = inner.clock.monotonic();
        inner.needed.wait(seen, next.map_or(Duration::MAX, |at| at.saturating_sub(now)));
    }
}

/// Brings a model back that has to be and may be now, or finds that it has not: somebody may have done it meanwhile.
fn reconcile_if_needed(inner: &Inner, slot: &Slot) -> Looked {
    let Ok(observation) = inner.observe(slot) else { return Looked::Failed };
    if observation.head.is_none() {
        return Looked::Failed;
    }
    let state = &observation.state;
    let rolled_back = observation.outdated && state.rolled_back_from == Some(slot.schema().fingerprint);
    if rolled_back {
        return Looked::Well;
    }
    let report = slot.watch.lock().peek(&observation, &Worker::Running);
    // Lag alone is the projector's to make good, unless a snapshot takes the model most of the way.
    let is_far_behind = |lag_count| rebuild_is_faster(lag_count, inner.events_to_fold(slot));
    let rebuild = state.condemned.is_some()
        || (report.status == Status::RebuildNeeded
            && (observation.outdated || report.lag.lag_count.is_none_or(is_far_behind)));
    let wrong = matches!(state.content.verdict, Verdict::Suspect | Verdict::Drifted);
    // Rows that wait for a person are no reason to let others wait.
    let waits = |content| slot.waits_for_person() && !has_news(inner, slot, content);
    if !rebuild && (!wrong || waits(state.content)) {
        *slot.held_back.lock() = None;
        return Looked::Well;
    }
    if let Some(wait) = inner.must_wait(slot, rebuild) {
        *slot.held_back.lock() = Some(wait);
        return Looked::Waits(wait.until);
    }
    let method = rebuild.then_some(Method::Rebuild);
    let began = inner.clock.monotonic();
    match inner.reconcile(slot, method, Asked::ByItself) {
        Ok(record) => {
            let helped = record.error.is_none();
            if record.result != ReconciliationResult::NothingToDo {
                let rebuilt = record.reconciliation_method == Method::Rebuild;
                slot.pace.lock().ran(Run { began, ended: inner.clock.monotonic(), rebuilt, helped });
            }
            if helped || waits(Content::default()) { Looked::Well } else { Looked::Failed }
        }
        Err(error) => {
            tracing::warn!(model = %slot.name(), %error, "a model could not be reconciled");
            Looked::Failed
        }
    }
}

/// As [`Slot::has_news`]; what cannot be read is looked at.
fn has_news(inner: &Inner, slot: &Slot, content: Content) -> bool {
    slot.has_news(inner.log.as_ref(), inner.models.as_ref(), content).unwrap_or(true)
}
