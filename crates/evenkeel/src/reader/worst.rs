//! The label of an answer that is made of several models: in everything the worst of theirs.
//!
//! Labels of one model are [`super::label`]'s.
use crate::report::{Consistency, ContentReport};
use evenkeel_core::{
    drift::{Status, Verdict},
    freshness::{Action, Freshness, Level},
};

/// The worst of these labels; `None` where there is none.
pub(super) fn worst(labels: impl IntoIterator<Item = Consistency>) -> Option<Consistency> {
    labels.into_iter().reduce(worse)
}

/// Of two words the one that comes later among all of their kind, or earlier.
fn of<W>(all: &[W], word: impl Fn(&W) -> &'static str, a: &'static str, b: &'static str, later: bool) -> &'static str {
    let place = |text| all.iter().position(|one| word(one) == text);
    if (place(a) >= place(b)) == later { a } else { b }
}

/// The greater of two where both are known, and not known otherwise.
fn most<T: PartialOrd>(a: Option<T>, b: Option<T>) -> Option<T> {
    a.zip(b).map(|(a, b)| if a >= b { a } else { b })
}

/// As [`most`], the lesser.
fn least<T: PartialOrd>(a: Option<T>, b: Option<T>) -> Option<T> {
    a.zip(b).map(|(a, b)| if a <= b { a } else { b })
}

fn worse(a: Consistency, b: Consistency) -> Consistency {
    let status = of(Status::ALL, |word| word.as_str(), a.status, b.status, true);
    // Who has seen a model further on has seen what another has of it too.
    let token = match (&a.token, &b.token) {
        (Some(_), Some(_)) if a.position >= b.position => a.token,
        (Some(_), None) => a.token,
        _ => b.token,
    };
    Consistency {
        level_requested: of(Level::ALL, |word| word.as_str(), a.level_requested, b.level_requested, true),
        level_served: of(Level::ALL, |word| word.as_str(), a.level_served, b.level_served, false),
        freshness: of(Freshness::ALL, |word| word.as_str(), a.freshness, b.freshness, true),
        data_stale: a.data_stale || b.data_stale,
        staleness_seconds: most(a.staleness_seconds, b.staleness_seconds),
        suggested_action: of(Action::ALL, |word| word.as_str(), a.suggested_action, b.suggested_action, true),
        reason: if status == a.status { a.reason } else { b.reason },
        status,
        lag_count: most(a.lag_count, b.lag_count),
        lag_seconds: most(a.lag_seconds, b.lag_seconds),
        staleness_bound_seconds: most(a.staleness_bound_seconds, b.staleness_bound_seconds),
        as_of: least(a.as_of, b.as_of),
        read_model_last_write: least(a.read_model_last_write, b.read_model_last_write),
        position: a.position.min(b.position),
        head: most(a.head, b.head),
        attempts: a.attempts.max(b.attempts),
        waited_ms: a.waited_ms.max(b.waited_ms),
        budget_ms: a.budget_ms,
        eta_seconds: most(a.eta_seconds, b.eta_seconds),
        content: ContentReport {
            verdict: of(Verdict::ALL, |word| word.as_str(), a.content.verdict, b.content.verdict, true),
            verified_as_of: least(a.content.verified_as_of, b.content.verified_as_of),
            buckets: a.content.buckets,
            bad_buckets: a.content.bad_buckets.saturating_add(b.content.bad_buckets),
        },
        parked_events: a.parked_events.saturating_add(b.parked_events),
        quarantined_events: a.quarantined_events.zip(b.quarantined_events).map(|(a, b)| a.saturating_add(b)),
        token,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(position: u64) -> Consistency {
        Consistency {
            level_requested: "causal",
            level_served: "causal",
            freshness: "fresh",
            data_stale: false,
            staleness_seconds: Some(0.0),
            suggested_action: "use_data",
            status: "in_sync",
            reason: None,
            lag_count: Some(0),
            lag_seconds: Some(0.0),
            staleness_bound_seconds: Some(0.5),
            as_of: Some("2026-01-31T10:00:00.000000Z".into()),
            read_model_last_write: Some("2026-01-31T09:00:00.000000Z".into()),
            position,
            head: Some(9),
            attempts: 1,
            waited_ms: 0,
            budget_ms: 250,
            eta_seconds: Some(0.0),
            content: ContentReport { verdict: "verified", verified_as_of: None, buckets: 4096, bad_buckets: 1 },
            parked_events: 1,
            quarantined_events: Some(0),
            token: Some(format!("t{position}")),
        }
    }

    #[test]
    fn the_worst_of_each_is_said_whichever_comes_first() {
        let bad = Consistency {
            level_served: "eventual",
            freshness: "stale",
            data_stale: true,
            staleness_seconds: Some(7.0),
            suggested_action: "failover_to_strong",
            status: "stalled",
            reason: Some("it stands still".into()),
            lag_count: Some(3),
            as_of: Some("2026-01-31T09:59:00.000000Z".into()),
            quarantined_events: None,
            content: ContentReport { verdict: "suspect", verified_as_of: None, buckets: 4096, bad_buckets: 2 },
            ..label(4)
        };
        for labels in [[label(9), bad.clone()], [bad.clone(), label(9)]] {
            let said = worst(labels).unwrap_or_else(|| label(0));
            assert_eq!((said.level_served, said.freshness, said.status), ("eventual", "stale", "stalled"));
            assert_eq!(
                (said.suggested_action, said.reason.as_deref()),
                ("failover_to_strong", Some("it stands still"))
            );
            assert_eq!((said.data_stale, said.staleness_seconds, said.lag_count), (true, Some(7.0), Some(3)));
            assert_eq!((said.position, said.token.as_deref()), (4, Some("t9")));
            assert_eq!((said.as_of, said.parked_events, said.quarantined_events), (bad.as_of.clone(), 2, None));
            assert_eq!((said.content.verdict, said.content.bad_buckets), ("suspect", 3));
        }
        // What is not known of one is not known of both.
        let unknown = Consistency { lag_count: None, as_of: None, token: None, ..label(9) };
        let said = worst([label(4), unknown]).unwrap_or_else(|| label(0));
        assert_eq!((said.lag_count, said.as_of, said.token.as_deref()), (None, None, Some("t4")));
        assert_eq!(worst([]), None);
    }
}
