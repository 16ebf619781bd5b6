//! The label on every answer: how far the model is, what is known of its rows, what is withheld, and the reader's token.
use super::{Reader, course::Course};
use crate::{
    ReadError,
    monitor::Observation,
    report::{Consistency, ContentReport, RowAnswer, RowsAnswer},
};
use evenkeel_core::{
    EventType, Position,
    checkpoint::SafeHead,
    demand::{Shown, Unmet},
    digest::BUCKETS,
    drift::{Report, Status, Verdict},
    freshness::{Action, Freshness, Level, assess},
    row::Key,
    token::Token,
};
use std::{collections::BTreeSet, time::Duration};

/// What is withheld from what was read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Withheld {
    pub(super) parked_events: u64,
    pub(super) quarantined_events: Option<u64>,
}

/// An answer with a label.
pub(super) trait Labelled {
    fn label_mut(&mut self) -> &mut Consistency;
}

impl Labelled for Consistency {
    fn label_mut(&mut self) -> &mut Consistency {
        self
    }
}

impl Labelled for RowAnswer {
    fn label_mut(&mut self) -> &mut Consistency {
        &mut self.consistency
    }
}

impl Labelled for RowsAnswer {
    fn label_mut(&mut self) -> &mut Consistency {
        &mut self.consistency
    }
}

impl Reader<'_> {
    /// The label of what was read as it is stored, and what it shows. It is served at level `eventual` until somebody finds
    /// out that it is more.
    pub(super) fn label(
        &self,
        observation: &Observation,
        withheld: Withheld,
        course: &Course,
    ) -> (Consistency, Report) {
        let report = self.report(observation);
        let state = &observation.state;
        // Rows of an older version may lack what the declared one would have in them.
        let lacks = withheld.parked_events > 0 || observation.outdated;
        let assessed = assess(&report.lag, report.status, state.content, lacks, self.limits);
        let consistency = Consistency {
            level_requested: course.demand.requested.as_str(),
            level_served: Level::Eventual.as_str(),
            freshness: assessed.freshness.as_str(),
            data_stale: assessed.data_stale,
            staleness_seconds: assessed.staleness_seconds,
            suggested_action: assessed.suggested_action.as_str(),
            status: report.status.as_str(),
            reason: report.reason.clone(),
            lag_count: report.lag.lag_count,
            lag_seconds: report.lag.lag_seconds,
            staleness_bound_seconds: report.staleness_bound_seconds,
            as_of: report.as_of.map(|at| at.to_string()),
            read_model_last_write: state.checkpoint.last_write.map(|at| at.to_string()),
            position: state.checkpoint.position.0,
            head: observation.head.as_ref().map(|head| head.position.0),
            attempts: course.attempts,
            waited_ms: millis(course.waited),
            budget_ms: millis(course.options.budget),
            eta_seconds: report.eta_seconds,
            content: content(&state.content),
            parked_events: withheld.parked_events,
            quarantined_events: withheld.quarantined_events,
            token: self.token(observation, course),
        };
        (consistency, report)
    }

    fn report(&self, observation: &Observation) -> Report {
        let worker = self.slot.health.get();
        self.slot.watch.lock().peek(observation, &worker)
    }

    /// Says that an answer holds everything up to `head`.
    pub(super) fn current(
        &self,
        consistency: &mut Consistency,
        head: &SafeHead,
        observation: &Observation,
        course: &Course,
    ) {
        consistency.level_served = Level::Strong.as_str();
        consistency.position = head.position.0;
        consistency.head = Some(head.position.0);
        consistency.lag_count = Some(0);
        consistency.lag_seconds = Some(0.0);
        consistency.staleness_seconds = Some(0.0);
        consistency.data_stale = false;
        consistency.freshness = Freshness::Fresh.as_str();
        consistency.suggested_action = Action::UseData.as_str();
        consistency.eta_seconds = Some(0.0);
        consistency.as_of = Some(head.at.to_string());
        consistency.staleness_bound_seconds = Some(observation.now.seconds_since(head.at));
        consistency.token = Some(self.seal(head.position, observation, course));
    }

    /// What the rows of a model that has reached `target` hold everything of: the log as it was looked at after them, if they
    /// have that too. If not, they may still be of later than `target`, and who has seen them has seen that.
    pub(super) fn moment(observation: &Observation, target: &SafeHead) -> SafeHead {
        match observation.head.as_ref().filter(|head| observation.has_reached(head)) {
            Some(head) => head.clone(),
            None => {
                let position = target.position.max(observation.state.checkpoint.position);
                SafeHead { position, ..target.clone() }
            }
        }
    }

    /// The token of whoever has seen what is stored. Where the model speaks of what the log does not have, nothing can be
    /// promised but what was before.
    fn token(&self, observation: &Observation, course: &Course) -> Option<String> {
        let position = observation.state.checkpoint.position;
        match observation.head.as_ref().filter(|head| head.holds(&observation.state.checkpoint)) {
            Some(_) => Some(self.seal(position, observation, course)),
            None => course.options.token.map(|token| token.seal(&self.log.origin(), observation.now)),
        }
    }

    fn seal(&self, position: Position, observation: &Observation, course: &Course) -> String {
        let origin = self.log.origin();
        let seen = course.options.token.unwrap_or(Token::new(&origin));
        seen.having_read(position).seal(&origin, observation.now)
    }

    /// What a model shows to a demand with this floor.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub(super) fn shown(
        &self,
        observation: &Observation,
        report: &Report,
        floor: Position,
        parked_from: Option<Position>,
    ) -> Result<Shown, ReadError> {
        let state = &observation.state;
        let head = observation.head.as_ref().filter(|head| head.holds(&state.checkpoint));
        let of_this = head.filter(|_| !observation.outdated && state.condemned.is_none());
        let Some(head) = of_this else { return Ok(Shown { parked_from, ..Shown::default() }) };
        let mut through = state.checkpoint.position;
        if through < floor {
            // What comes next may be beyond, or there may be nothing: the model need not follow what is in between.
            let next = self.log.read(through, Some(&state.schema.subscribes), 1)?;
            let before = next.events.first().map(|event| Position(event.position.0.saturating_sub(1)));
            through = before.unwrap_or(head.position.max(next.through)).max(through);
        }
        Ok(Shown {
            through: Some(through),
            parked_from,
            lag_count: report.lag.lag_count,
            staleness_seconds: report.lag.lag_seconds,
            as_of: report.as_of,
        })
    }

    /// Entries of the gate's quarantine about this row. Known where the model's key is the subject, or where nothing
    /// waits for the model at all; `None` where it is not known which rows the waiting events are about.
    pub(super) fn quarantined_of(&self, key: &Key) -> Option<u64> {
        let types = &self.slot.schema().subscribes;
        match key.0.as_slice() {
            [subject] if self.fold().keyed_by_subject() => self.log.quarantined_of(&subject.to_string(), types).ok(),
            _ => self.quarantined_of_types(types).filter(|waiting| *waiting == 0),
        }
    }

    pub(super) fn quarantined_of_types(&self, types: &BTreeSet<EventType>) -> Option<u64> {
        let counts = self.log.quarantine_counts().ok()?;
        let ours =
            counts.iter().filter(|count| count.contract.as_ref().is_some_and(|contract| types.contains(contract)));
        Some(ours.map(|count| count.unresolved).sum())
    }

    /// An answer that lacks what was wanted, where the reader would have it; otherwise the refusal, which is labelled too.
    pub(super) fn lacking<T: Labelled>(
        &self,
        mut answer: T,
        unmet: &Unmet,
        shown: &Shown,
        course: &Course,
        comparable: bool,
    ) -> Result<T, ReadError> {
        let demand = &course.demand;
        let label = answer.label_mut();
        label.level_served = demand.served(shown).as_str();
        label.data_stale = true;
        let moves = label.status != Status::Stalled.as_str() && label.status != Status::RebuildNeeded.as_str();
        let helps = if unmet.until.is_some() && moves { Action::RetryWithBackoff } else { Action::FailoverToStrong };
        label.suggested_action = if demand.wanted.head { Action::RetryWithBackoff } else { helps }.as_str();
        let is_least = !demand.least.head && demand.least.unmet(shown).is_none();
        if course.options.allow_stale && comparable && is_least {
            return Ok(answer);
        }
        if !is_least {
            label.level_served = Level::Eventual.as_str();
        }
        let seconds = label.eta_seconds.unwrap_or(1.0).clamp(1.0, 60.0);
        let reason = match &label.reason {
            Some(status) => format!("{} ({}: {status})", unmet.reason, label.status),
            None => unmet.reason.clone(),
        };
        Err(ReadError::NotMet {
            reason,
            retry_after: Duration::from_secs_f64(seconds.ceil()),
            label: Some(Box::new(label.clone())),
        })
    }
}

/// Rows that are not as they were written say so at once, before anybody has looked at the model.
pub(super) fn doubt(observation: &mut Observation, intact: bool) {
    let content = &mut observation.state.content;
    if !intact && usable(content.verdict) {
        content.verdict = Verdict::Suspect;
    }
}

/// Whether rows with this verdict may be built upon.
pub(super) fn usable(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Verified | Verdict::Unverified)
}

pub(crate) fn content(content: &evenkeel_core::drift::Content) -> ContentReport {
    ContentReport {
        verdict: content.verdict.as_str(),
        verified_as_of: content.verified_as_of.map(|at| at.to_string()),
        buckets: BUCKETS,
        bad_buckets: content.bad_buckets,
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
