//! Declared sources: who may send, and how a CloudEvents `source` is matched.
//!
//! Not here: enforcing the rate (the server) or following a source's counter (the intake).
use std::{fmt, str::FromStr};

/// Which values of the CloudEvents `source` are meant: one exactly, or with a trailing `*` all that start so.
///
/// ```
/// use evenkeel_contract::source::SourcePattern;
/// let shop: SourcePattern = "shop.*".parse()?;
/// assert!(shop.matches("shop.orders") && !shop.matches("travel"));
/// assert!("sh*op".parse::<SourcePattern>().is_err());
/// # Ok::<(), evenkeel_contract::source::BadPattern>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourcePattern {
    /// This source alone.
    Exact(String),
    /// Every source that starts so.
    Prefix(String),
}

/// Text that is no source pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a source such as \"shop.orders\", or one that ends in `*`, found {0:?}")]
pub struct BadPattern(pub String);

impl SourcePattern {
    /// Whether `source` is meant.
    pub fn matches(&self, source: &str) -> bool {
        match self {
            Self::Exact(exact) => source == exact,
            Self::Prefix(prefix) => source.starts_with(prefix.as_str()),
        }
    }

    /// Whether some source is meant by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(source), pattern) | (pattern, Self::Exact(source)) => pattern.matches(source),
            (Self::Prefix(a), Self::Prefix(b)) => a.starts_with(b.as_str()) || b.starts_with(a.as_str()),
        }
    }
}

impl FromStr for SourcePattern {
    type Err = BadPattern;
    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let (prefix, open) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        if prefix.contains('*') || text.is_empty() {
            return Err(BadPattern(text.to_owned()));
        }
        Ok(if open { Self::Prefix(prefix.to_owned()) } else { Self::Exact(prefix.to_owned()) })
    }
}

impl fmt::Display for SourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(source) => f.write_str(source),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// A declared source.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Its name in settings, metrics and reports.
    pub name: String,
    /// The values of the CloudEvents `source` that it may send as.
    pub pattern: SourcePattern,
    /// How much it may send; `None` where that is not limited.
    pub rate: Option<Rate>,
    /// The first counter of its `vclock`; `None` where it has not said, which means 1.
    pub first_seq: Option<u64>,
}

/// Events in a time, written `500/s`, `30/m` or `100/h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many events, at least 1.
    pub events: u64,
    /// In how many seconds.
    pub per_seconds: u64,
}

/// Text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a rate such as 500/s, 30/m or 100/h, found {0:?}")]
pub struct BadRate(pub String);

impl Rate {
    /// Events a second.
    pub fn events_per_second(self) -> f64 {
        self.events as f64 / self.per_seconds as f64
    }
}

impl FromStr for Rate {
    type Err = BadRate;
    fn from_str(text: &str) -> Result<Self, BadRate> {
        let bad = || BadRate(text.to_owned());
        let (events, unit) = text.split_once('/').ok_or_else(bad)?;
        let per_seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(bad()),
        };
        let digits = !events.is_empty() && events.bytes().all(|b| b.is_ascii_digit());
        let events = events.parse().ok().filter(|&events| digits && events > 0).ok_or_else(bad)?;
        Ok(Self { events, per_seconds })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per_seconds {
            60 => "m",
            3600 => "h",
            _ => "s",
        };
        write!(f, "{}/{unit}", self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_are_read_or_refused() {
        assert_eq!("500/s".parse::<Rate>().unwrap().events_per_second(), 500.0);
        assert_eq!("30/m".parse::<Rate>().unwrap().to_string(), "30/m");
        for text in ["", "500", "0/s", "-1/s", "+1/s", "1/d", "1.5/s", "/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_star_may_only_end_a_pattern() {
        for text in ["", "*a", "a*b", "**"] {
            assert!(text.parse::<SourcePattern>().is_err(), "{text}");
        }
        assert!("*".parse::<SourcePattern>().unwrap().matches("anything"));
    }

    proptest! {
        #[test]
        fn overlap_is_having_a_source_in_common(a in "[ab]{0,3}\\*?", b in "[ab]{0,3}\\*?") {
            let (Ok(a), Ok(b)) = (a.parse::<SourcePattern>(), b.parse::<SourcePattern>()) else { return Ok(()) };
            // All sources of up to four letters: enough, since patterns have at most three.
            let mut sources = vec![String::new()];
            for length in 0..4 {
                let longer: Vec<_> = sources.iter().filter(|s| s.len() == length).flat_map(|s| [format!("{s}a"), format!("{s}b")]).collect();
                sources.extend(longer);
            }
            let both = sources.iter().any(|s| a.matches(s) && b.matches(s));
            prop_assert_eq!(a.overlaps(&b), both);
            prop_assert_eq!(b.overlaps(&a), both);
        }
    }
}
