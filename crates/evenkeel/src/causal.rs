//! Events that wait for others: who waits too long is set aside, who may go on is recalled, and what persons declare not to
//! come is passed.
//!
//! What is decided, and when an event waits at all, is [`evenkeel_core::intake`]'s; delivering happens there, in the very
//! transaction of what was waited for. Here is what no arrival sets off.
use crate::{
    Clock, Engine, EngineError, quarantine,
    report::{CausalReport, PassedReport, SkipReport, SkippedReport, WaitingFor, WaitingReport},
};
use evenkeel_contract::gate::Gate;
use evenkeel_core::{
    SourceName,
    intake::{self, Ask, MAX_SEQ, Passed, SourceDot, Waiting},
    quarantine::{Decision, QuarantineId, Reason, State},
};
use evenkeel_store::{EntryFilter, Log, StoreError};
use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

/// How many events are set aside in one transaction, or recalled between two looks.
const BATCH: usize = 500;

/// How many events are recalled in one transaction: their bodies are in memory together, and nobody else writes meanwhile.
const TOGETHER: usize = 50;

/// How long nothing is looked at where nothing waits.
const IDLE: Duration = Duration::from_secs(60);

/// The least time between two looks at the oldest event that waits.
const LEAST: Duration = Duration::from_millis(5);

/// How long events are recalled before others have their turn.
pub(crate) const ROUND: Duration = Duration::from_millis(100);

/// Who sends recalled events through.
const RECALLER: &str = "evenkeel";

/// What came of looking after what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookedAfter {
    /// Whether anything went into the log or aside.
    pub moved: bool,
    /// How long until the next event has waited too long.
    pub until_due: Duration,
}

/// Sets aside what has waited for `timeout` or longer, and sends through again what was set aside before and may go on.
///
/// # Errors
/// Where the log cannot be read or written; what was done until then stays done.
pub fn look_after(log: &dyn Log, gate: &Gate, clock: &dyn Clock, timeout: Duration) -> Result<LookedAfter, StoreError> {
    let (mut expired, mut until_due) = (0, IDLE);
    while let Some(oldest) = log.waiting(1)?.pop() {
        // A clock that was set back has waited for nothing yet.
        let waited = clock.now().seconds_since(oldest.since).max(0.0);
        let waited = Duration::try_from_secs_f64(waited).unwrap_or(Duration::MAX);
        if waited < timeout {
            until_due = (timeout - waited).clamp(LEAST, IDLE);
            break;
        }
        let count = expire(log, gate, clock, timeout)?;
        if count == 0 {
            until_due = LEAST;
            break;
        }
        expired += count;
    }
    // Last, so that no entry which cannot be recalled keeps others from being set aside.
    let (recalled, are_all) = recall(log, gate, clock, ROUND)?;
    // What was recalled may be what another entry lacked beside, which was looked at before it.
    let until_due = if are_all && recalled == 0 { until_due } else { LEAST };
    Ok(LookedAfter { moved: recalled + expired > 0, until_due })
}

/// Sets aside some of what has waited for `timeout` or longer. How many events.
fn expire(log: &dyn Log, gate: &Gate, clock: &dyn Clock, timeout: Duration) -> Result<usize, StoreError> {
    let mut count = 0;
    let since = clock.now().minus(timeout);
    log.transact_asking(
        &Ask::for_expiry(since, BATCH),
        Box::new(|facts, more| {
            let scene = gate.scene(clock.now(), more);
            let (writes, expired) = intake::expire(scene, facts);
            count = expired;
            writes
        }),
    )?;
    Ok(count)
}

/// Sends what was set aside through again, once what it waited for first was passed, for about as long as `within`. How many
/// entries, and whether there are no more.
///
/// # Errors
/// Where the log cannot be read or written; what was recalled until then stays recalled.
pub fn recall(log: &dyn Log, gate: &Gate, clock: &dyn Clock, within: Duration) -> Result<(usize, bool), StoreError> {
    let end = clock.monotonic().saturating_add(within);
    let mut tried: HashSet<QuarantineId> = HashSet::new();
    let mut done = 0;
    let decision = Decision { author: RECALLER.into(), note: "what it waited for was passed".into() };
    loop {
        let due = log.recallable(BATCH)?;
        let new: Vec<_> = due.into_iter().filter(|id| tried.insert(*id)).collect();
        if new.is_empty() {
            return Ok((done, true));
        }
        for ids in new.chunks(TOGETHER) {
            if clock.monotonic() >= end {
                return Ok((done, false));
            }
            done += quarantine::recall(log, gate, clock, ids, &decision)?;
        }
    }
}

/// Declares in one transaction that the events of a source with these numbers will not come. Whether there was anything to
/// declare, and how many events went on.
///
/// # Errors
/// Where the log cannot be read or written; nothing was declared then.
pub(crate) fn declare(
    log: &dyn Log,
    gate: &Gate,
    clock: &dyn Clock,
    source: &SourceName,
    (seq, through): (u64, u64),
    decision: &Decision,
) -> Result<(bool, u64), StoreError> {
    let (mut declared, mut released) = (false, 0);
    log.transact_asking(
        &Ask::for_skip(source, seq, through),
        Box::new(|facts, more| {
            let scene = gate.scene(clock.now(), more);
            let (writes, any) = intake::skip(scene, source, (seq, through), decision.clone(), facts);
            (declared, released) = (any, writes.events.len() as u64);
            writes
        }),
    )?;
    Ok((declared, released))
}

impl Engine {
    /// What waits for other events, at most `limit` of it, how far sources are, and what was declared not to come.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub fn causal(&self, limit: usize) -> Result<CausalReport, EngineError> {
        let log = self.inner.log.as_ref();
        let mut waiting = log.waiting(limit.saturating_add(1))?;
        let more = waiting.len() > limit;
        waiting.truncate(limit);
        let passed = log.passed()?;
        let timeout = self.inner.options.ingest.causal_timeout;
        let skips = log.skips()?.into_iter().map(|skip| SkipReport {
            source: skip.source.to_string(),
            first: skip.first,
            last: skip.last,
            author: skip.decision.author,
            note: skip.decision.note,
            at: skip.at.to_string(),
        });
        let source = |(source, Passed { upto, holes }): (&SourceName, &Passed)| PassedReport {
            source: source.to_string(),
            passed: *upto,
            holes: holes.clone(),
        };
        Ok(CausalReport {
            waiting: waiting.iter().map(|event| waiting_report(event, &passed, timeout)).collect(),
            more,
            sources: passed.iter().map(source).collect(),
            skips: skips.collect(),
        })
    }

    /// Declares that the events of a source from number `seq` through number `through` will not come: nobody waits for them
    /// any more. What comes all the same is taken, marked as an exception.
    ///
    /// # Errors
    /// [`EngineError::Skip`] where these are no numbers of events, or the source is not declared and nobody has to do with its
    /// events; and where the log cannot
    /// be read or written.
    pub fn skip(
        &self,
        source: &str,
        (seq, through): (u64, u64),
        decision: &Decision,
    ) -> Result<SkippedReport, EngineError> {
        let inner = &self.inner;
        if inner.gate.source(source).is_none() && !counts(inner.log.as_ref(), source)? {
            let why =
                format!("no declared source matches {source:?}, it has counted no event, and none waits for one of it");
            return Err(EngineError::Skip(why));
        }
        if seq == 0 || through < seq || through > MAX_SEQ {
            let why = format!("events are numbered from 1 to {MAX_SEQ}, and {seq} to {through} is no range of that");
            return Err(EngineError::Skip(why));
        }
        tracing::info!(source, seq, through, author = %decision.author, note = %decision.note, "events declared not to come");
        let (log, gate, clock) = (inner.log.as_ref(), &inner.gate, inner.clock.as_ref());
        let (declared, released) = declare(log, gate, clock, &source.into(), (seq, through), decision)?;
        inner.wake_projectors();
        Ok(SkippedReport { source: source.to_owned(), seq, through, declared, released })
    }

    /// Retires a source: none of its events will come any more, nobody waits for one, and those of its own that waited go on. The
    /// project must not declare it any more, so that what it sends all the same is in quarantine: its counters would repeat.
    ///
    /// # Errors
    /// [`EngineError::Skip`] where it is declared, or nobody has to do with its events; and where the log cannot be read or written.
    pub fn retire(&self, source: &str, decision: &Decision) -> Result<SkippedReport, EngineError> {
        let inner = &self.inner;
        if inner.gate.source(source).is_some() {
            let why =
                format!("{source:?} is declared: take it out of evenkeel.toml first, or what it sends is still taken");
            return Err(EngineError::Skip(why));
        }
        let passed = inner.log.passed()?.remove(source).unwrap_or_default();
        self.skip(source, (passed.upto.saturating_add(1).min(MAX_SEQ), MAX_SEQ), decision)
    }
}

/// Whether anything is known of events of this source that it counts, or depends on one: it may have been declared before.
fn counts(log: &dyn Log, source: &str) -> Result<bool, StoreError> {
    let is_it = |dot: &SourceDot| dot.source.as_str() == source;
    if log.passed()?.contains_key(source)
        || log
            .waiting(usize::MAX)?
            .iter()
            .any(|event| event.sent.source.as_str() == source || event.causes.knows.iter().any(is_it))
    {
        return Ok(true);
    }
    for reason in [Reason::CausalTimeout, Reason::CausalOverflow] {
        let mut filter =
            EntryFilter { reason: Some(reason), state: Some(State::Quarantined), ..EntryFilter::default() };
        filter.limit = BATCH;
        loop {
            let entries = log.entries(&filter)?;
            if entries.iter().any(|entry| entry.recall.as_ref().is_some_and(is_it)) {
                return Ok(true);
            }
            let Some(last) = entries.last() else { break };
            filter.after = Some(last.id);
        }
    }
    Ok(false)
}

fn waiting_report(event: &Waiting, passed: &BTreeMap<SourceName, Passed>, timeout: Duration) -> WaitingReport {
    let upto = |source: &SourceName| passed.get(source).map_or(0, |passed| passed.upto);
    let source = &event.sent.source;
    let before = event.causes.seq - 1;
    let own = (upto(source) < before).then(|| WaitingFor { source: source.to_string(), seq: before });
    let others = event.causes.knows.iter().filter(|dot| upto(&dot.source) < dot.seq).map(WaitingFor::from);
    WaitingReport {
        source: source.to_string(),
        seq: event.causes.seq,
        id: event.sent.raw_id.clone(),
        event_id: event.sent.id.to_string(),
        r#type: event.draft.event_type.to_string(),
        subject: event.draft.subject.to_string(),
        since: event.since.to_string(),
        until: event.since.plus(timeout).to_string(),
        waiting_for: own.into_iter().chain(others).collect(),
    }
}
