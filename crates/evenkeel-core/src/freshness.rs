//! The honest label on every read: how old the data may be, and what the reader should do about it.
//!
//! Arithmetic only. The distance comes from [`crate::drift`]; serving reads is the runtime's.
use crate::{
    drift::{Content, Lag, Status, Verdict},
    time::Timestamp,
    words::words,
};

words! {
    /// How strictly a read must reflect the log.
    Level {
        /// Whatever is there, labelled.
        Eventual = "eventual",
        /// Not older than the reader allows.
        Bounded = "bounded",
        /// Never older than what the reader saw.
        Monotonic = "monotonic",
        /// Includes everything the reader's token names.
        Causal = "causal",
        /// Includes the latest admitted event.
        Strong = "strong",
    }
}

words! {
    /// How stale data is, in the specification's four classes.
    Freshness {
        /// Everything committed is in it.
        Fresh = "fresh",
        /// Behind by a few seconds.
        SlightlyStale = "slightly_stale",
        /// Behind by more.
        Stale = "stale",
        /// Behind by a minute or more, or nobody knows by how much.
        VeryStale = "very_stale",
    }
}

words! {
    /// What a reader should do.
    Action {
        /// Use it.
        UseData = "use_data",
        /// Try again a little later.
        RetryWithBackoff = "retry_with_backoff",
        /// Ask at level `strong`.
        FailoverToStrong = "failover_to_strong",
    }
}

/// Where the classes of staleness begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FreshnessLimits {
    /// Up to here data is slightly stale.
    pub slightly_stale_seconds: f64,
    /// Up to here data is stale; beyond, very stale.
    pub very_stale_seconds: f64,
}

impl Default for FreshnessLimits {
    fn default() -> Self {
        Self { slightly_stale_seconds: 5.0, very_stale_seconds: 60.0 }
    }
}

impl FreshnessLimits {
    /// The class of data that is missing what is so old; `None` where that is not known.
    pub fn class(&self, staleness_seconds: Option<f64>) -> Freshness {
        match staleness_seconds {
            None => Freshness::VeryStale,
            Some(seconds) if seconds <= 0.0 => Freshness::Fresh,
            Some(seconds) if seconds <= self.slightly_stale_seconds => Freshness::SlightlyStale,
            Some(seconds) if seconds <= self.very_stale_seconds => Freshness::Stale,
            Some(_) => Freshness::VeryStale,
        }
    }
}

/// How stale data of a known moment is: the specification's indicator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Staleness {
    /// The class.
    pub freshness: Freshness,
    /// How much later what is needed is than what is known to be there; `None` where that is not known.
    pub staleness_seconds: Option<f64>,
    /// What the reader should do.
    pub suggested_action: Action,
}

impl Staleness {
    /// Compares the moment up to which everything is in the data with the moment up to which it is needed: now, or since
    /// when the reader wants it consistent.
    pub fn of(as_of: Option<Timestamp>, needed: Timestamp, limits: &FreshnessLimits) -> Self {
        let staleness_seconds = as_of.map(|as_of| needed.seconds_since(as_of).max(0.0));
        let freshness = limits.class(staleness_seconds);
        let suggested_action = match freshness {
            Freshness::Fresh | Freshness::SlightlyStale => Action::UseData,
            Freshness::Stale => Action::RetryWithBackoff,
            Freshness::VeryStale => Action::FailoverToStrong,
        };
        Self { freshness, staleness_seconds, suggested_action }
    }

    /// Whether the data may be used without trying again, where nothing else was asked for.
    pub fn is_acceptable(&self) -> bool {
        matches!(self.freshness, Freshness::Fresh | Freshness::SlightlyStale)
    }
}

/// What is said of data that was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assessment {
    /// The class.
    pub freshness: Freshness,
    /// Whether anything committed is missing from the data, or may be.
    pub data_stale: bool,
    /// The age of the oldest event missing from the data; `None` where it is not known.
    pub staleness_seconds: Option<f64>,
    /// What the reader should do.
    pub suggested_action: Action,
}

/// Assesses data read from a model.
///
/// `withheld` says that events of what was read are parked or in quarantine, so that it is not what its sources said
/// last. Rows known or suspected to be wrong are never to be used as they are, however recent they are.
///
/// ```
/// use evenkeel_core::{drift::{Content, Lag, Status}, freshness::{assess, Action, Freshness, FreshnessLimits}};
/// let lag = Lag { lag_count: Some(3), lag_seconds: Some(7.5), drift_score: Some(0.1) };
/// let said = assess(&lag, Status::CatchingUp, Content::default(), false, &FreshnessLimits::default());
/// assert_eq!((said.freshness, said.data_stale), (Freshness::Stale, true));
/// assert_eq!(said.suggested_action, Action::RetryWithBackoff);
/// ```
pub fn assess(lag: &Lag, status: Status, content: Content, withheld: bool, limits: &FreshnessLimits) -> Assessment {
    let behind = lag.lag_count != Some(0);
    let staleness_seconds = lag.lag_seconds;
    let freshness = match staleness_seconds {
        _ if !behind => Freshness::Fresh,
        None => Freshness::VeryStale,
        Some(seconds) if seconds <= limits.slightly_stale_seconds => Freshness::SlightlyStale,
        Some(seconds) if seconds <= limits.very_stale_seconds => Freshness::Stale,
        Some(_) => Freshness::VeryStale,
    };
    let moving = matches!(status, Status::InSync | Status::CatchingUp);
    let suggested_action = match freshness {
        _ if matches!(content.verdict, Verdict::Drifted | Verdict::Suspect) => Action::FailoverToStrong,
        Freshness::Fresh | Freshness::SlightlyStale => Action::UseData,
        Freshness::Stale if moving => Action::RetryWithBackoff,
        Freshness::Stale | Freshness::VeryStale => Action::FailoverToStrong,
    };
    Assessment { freshness, data_stale: behind || withheld, staleness_seconds, suggested_action }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(count: u64, seconds: f64) -> Lag {
        Lag { lag_count: Some(count), lag_seconds: Some(seconds), drift_score: None }
    }

    fn said(lag: &Lag, status: Status) -> Assessment {
        assess(lag, status, Content::default(), false, &FreshnessLimits::default())
    }

    #[test]
    fn an_idle_model_that_applied_everything_is_fresh() {
        let fresh = said(&lag(0, 0.0), Status::InSync);
        assert_eq!(
            (fresh.freshness, fresh.data_stale, fresh.suggested_action),
            (Freshness::Fresh, false, Action::UseData)
        );
    }

    #[test]
    fn unknown_is_very_stale_never_fresh() {
        let unknown = said(&Lag::default(), Status::Stalled);
        assert_eq!((unknown.freshness, unknown.data_stale), (Freshness::VeryStale, true));
        assert_eq!((unknown.staleness_seconds, unknown.suggested_action), (None, Action::FailoverToStrong));
    }

    #[test]
    fn the_classes_follow_the_specification() {
        for (seconds, class) in [
            (5.0, Freshness::SlightlyStale),
            (5.1, Freshness::Stale),
            (60.0, Freshness::Stale),
            (60.1, Freshness::VeryStale),
        ] {
            assert_eq!(said(&lag(1, seconds), Status::CatchingUp).freshness, class);
        }
        assert_eq!(said(&lag(1, 9.0), Status::Stalled).suggested_action, Action::FailoverToStrong);
    }

    #[test]
    fn withheld_events_make_current_data_stale() {
        let withheld = assess(&lag(0, 0.0), Status::InSync, Content::default(), true, &FreshnessLimits::default());
        assert_eq!((withheld.freshness, withheld.data_stale), (Freshness::Fresh, true));
    }
}
