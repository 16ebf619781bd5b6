//! The header `Freshness`: the label of a read as an RFC 9651 dictionary, for caches and clients that do not look into
//! bodies.
//!
//! How fresh the data is was decided before, by the engine's reader.
use axum::http::{HeaderName, HeaderValue};
use evenkeel::{core::Timestamp, report::Consistency};

/// The header's name.
pub(crate) const FRESHNESS: HeaderName = HeaderName::from_static("freshness");

/// The header's value. What is not known is left out.
pub(crate) fn header(consistency: &Consistency) -> Option<HeaderValue> {
    let mut members = vec![format!("status={}", consistency.status)];
    members.extend(consistency.lag_count.and_then(|count| integer("lag-n", i64::try_from(count).ok()?)));
    members.extend(consistency.lag_seconds.and_then(|seconds| decimal("lag-s", seconds)));
    members.extend(consistency.staleness_bound_seconds.and_then(|seconds| decimal("bound-s", seconds)));
    let as_of = consistency.as_of.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    // Cut, not rounded: it must not claim more than is true.
    members.extend(as_of.map(|at| format!("as-of=@{}", at.as_micros().div_euclid(1_000_000))));
    members.push(format!("content={}", consistency.content.verdict));
    HeaderValue::from_str(&members.join(", ")).ok()
}

/// An integer has at most fifteen digits there.
fn integer(name: &str, value: i64) -> Option<String> {
    (value.unsigned_abs() < 1_000_000_000_000_000).then(|| format!("{name}={value}"))
}

/// A decimal has at most twelve digits before and one to three after the point.
fn decimal(name: &str, value: f64) -> Option<String> {
    if !value.is_finite() || value.abs() >= 999_999_999_999.0 {
        return None;
    }
    let text = format!("{value:.3}");
    let short = text.trim_end_matches('0');
    Some(format!("{name}={short}{}", if short.ends_with('.') { "0" } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel::report::ContentReport;

    fn consistency() -> Consistency {
        Consistency {
            level_requested: "eventual",
            level_served: "eventual",
            freshness: "fresh",
            data_stale: false,
            staleness_seconds: Some(0.0),
            suggested_action: "use_data",
            status: "in_sync",
            reason: None,
            lag_count: Some(0),
            lag_seconds: Some(0.0),
            staleness_bound_seconds: Some(0.2),
            as_of: Some("2026-09-21T14:13:20.999999Z".into()),
            read_model_last_write: None,
            position: 41,
            head: Some(41),
            attempts: 1,
            waited_ms: 0,
            budget_ms: 250,
            eta_seconds: None,
            content: ContentReport { verdict: "verified", verified_as_of: None, buckets: 4096, bad_buckets: 0 },
            parked_events: 0,
            quarantined_events: Some(0),
            token: None,
        }
    }

    #[test]
    fn the_header_is_a_structured_dictionary() {
        let header = header(&consistency()).unwrap();
        assert_eq!(header, "status=in_sync, lag-n=0, lag-s=0.0, bound-s=0.2, as-of=@1790000000, content=verified");
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let unknown = Consistency {
            lag_count: None,
            lag_seconds: None,
            staleness_bound_seconds: None,
            as_of: None,
            status: "stalled",
            ..consistency()
        };
        assert_eq!(header(&unknown).unwrap(), "status=stalled, content=verified");
    }

    #[test]
    fn decimals_have_one_to_three_digits_after_the_point() {
        let text = |value| decimal("x", value);
        assert_eq!(text(7.0).as_deref(), Some("x=7.0"));
        assert_eq!(text(0.12345).as_deref(), Some("x=0.123"));
        assert_eq!(text(1e-9).as_deref(), Some("x=0.0"));
        assert_eq!(text(100.0).as_deref(), Some("x=100.0"));
        assert_eq!((text(1e13), text(f64::NAN)), (None, None));
    }
}
