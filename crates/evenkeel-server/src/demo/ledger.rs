//! What the demo sent and what the node answered, by source.
//!
//! Comparing it with what the node holds is [`super::proof`]'s.
use super::shop::{Expect, Planned};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;

/// The answers to the events of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    /// Events sent.
    pub(super) sent: u64,
    /// Answered `admitted`.
    pub(super) admitted: u64,
    /// Answered `waiting`: for what they knew.
    pub(super) waiting: u64,
    /// Answered `duplicate`.
    pub(super) duplicate: u64,
    /// Answered `quarantined`, by reason.
    pub(super) quarantined: BTreeMap<String, u64>,
}

/// One answer.
#[derive(Debug, Clone, serde::Deserialize)]
pub(super) struct Receipt {
    pub(super) id: String,
    pub(super) outcome: String,
    pub(super) reason: Option<String>,
    pub(super) quarantine_id: Option<String>,
}

/// Everything sent and answered. Shared by the threads that send.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    tallies: BTreeMap<&'static str, Tally>,
    surprises: Vec<String>,
}

impl Ledger {
    /// Enters the answers to events; one that is not what must become of its event is kept as a surprise.
    pub(super) fn enter(&self, source: &'static str, sent: &[Planned], answers: &[Receipt]) {
        let mut inner = self.0.lock();
        let inner = &mut *inner;
        let tally = inner.tallies.entry(source).or_default();
        tally.sent += sent.len() as u64;
        if sent.len() != answers.len() {
            inner.surprises.push(format!("{source}: {} answers to {} events", answers.len(), sent.len()));
        }
        for (planned, answer) in sent.iter().zip(answers) {
            let reason = answer.reason.as_deref().unwrap_or_default();
            match answer.outcome.as_str() {
                "admitted" => tally.admitted += 1,
                "waiting" => tally.waiting += 1,
                "duplicate" => tally.duplicate += 1,
                _ => *tally.quarantined.entry(reason.to_owned()).or_default() += 1,
            }
            let expected = match planned.expect {
                Expect::Admit => answer.outcome == "admitted",
                Expect::Waits => answer.outcome == "waiting",
                Expect::Duplicate => answer.outcome == "duplicate",
                Expect::Quarantine(wanted) | Expect::Mended(wanted) => {
                    answer.outcome == "quarantined" && reason == wanted.as_str()
                }
            };
            if !expected || answer.id != planned.id {
                let (outcome, expect) = (&answer.outcome, planned.expect);
                inner.surprises.push(format!("{source} {}: {outcome} {reason}, expected {expect:?}", planned.id));
            }
        }
    }

    /// The tallies by source.
    pub(super) fn tallies(&self) -> BTreeMap<&'static str, Tally> {
        self.0.lock().tallies.clone()
    }

    /// Answers that were not what must become of the event.
    pub(super) fn surprises(&self) -> Vec<String> {
        self.0.lock().surprises.clone()
    }

    /// Events sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.0.lock().tallies.values().map(|tally| tally.sent).sum()
    }

    /// Events of a source sent so far.
    pub(super) fn sent_by(&self, source: &str) -> u64 {
        self.0.lock().tallies.get(source).map_or(0, |tally| tally.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel::core::quarantine::Reason;

    #[test]
    fn an_answer_that_was_not_expected_is_kept() {
        let planned = |expect| Planned { id: "1".into(), raw: String::new(), expect };
        let answer = |outcome: &str, reason: Option<&str>| Receipt {
            id: "1".into(),
            outcome: outcome.into(),
            reason: reason.map(Into::into),
            quarantine_id: None,
        };
        let surprised = |expect, answer: Receipt| {
            let ledger = Ledger::default();
            ledger.enter("s", &[planned(expect)], &[answer]);
            ledger.surprises().len()
        };
        assert_eq!(surprised(Expect::Admit, answer("admitted", None)), 0);
        assert_eq!(surprised(Expect::Quarantine(Reason::Schema), answer("quarantined", Some("schema"))), 0);
        assert_eq!(surprised(Expect::Quarantine(Reason::Schema), answer("quarantined", Some("mapping"))), 1);
        assert_eq!(surprised(Expect::Admit, answer("duplicate", None)), 1);
        assert_eq!(surprised(Expect::Waits, answer("waiting", None)), 0);
        assert_eq!(surprised(Expect::Waits, answer("admitted", None)), 1);
        assert_eq!(surprised(Expect::Duplicate, answer("admitted", None)), 1);
        let ledger = Ledger::default();
        ledger.enter("s", &[planned(Expect::Admit)], &[]);
        assert_eq!((ledger.surprises().len(), ledger.sent_by("s"), ledger.sent()), (1, 1, 1));
    }
}
