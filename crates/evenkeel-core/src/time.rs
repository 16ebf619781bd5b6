//! Instants as whole microseconds of UTC, and calendar dates.
//!
//! Not a clock: nothing here reads the time. Ordering by cause is not here either; a wall-clock instant orders
//! nothing in Evenkeel.
use jiff::{SignedDuration, civil};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

const EPOCH: civil::DateTime = civil::date(1970, 1, 1).at(0, 0, 0, 0);

/// Text that is not an RFC 3339 instant or date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct BadTime {
    expected: &'static str,
    found: String,
}

/// An instant in UTC, in whole microseconds since 1970. Finer digits of a text are cut.
///
/// ```
/// use evenkeel_core::Timestamp;
/// let at: Timestamp = "2026-01-31T10:30:00.5+01:00".parse()?;
/// assert_eq!(at.to_string(), "2026-01-31T09:30:00.500000Z");
/// assert!("2026-01-31 10:30".parse::<Timestamp>().is_err());
/// # Ok::<(), evenkeel_core::time::BadTime>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The years 1 to 9999 of UTC: what RFC 3339 can write with six digits of a second.
    const RANGE: (i64, i64) = (-62_135_596_800_000_000, 253_402_300_799_999_999);

    /// From microseconds since 1970-01-01T00:00:00Z. Instants outside the years 1 to 9999 are moved to the nearest
    /// one inside.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(Self::RANGE.0, Self::RANGE.1))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The seconds from `earlier` to this, never negative: a clock that was set back gives 0.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0).max(0) as f64 / 1e6
    }

    /// This instant later by `by`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This instant earlier by `by`.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with exactly six digits of a second, so that texts sort as instants do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(instant) = jiff::Timestamp::from_microsecond(self.0) {
            return write!(f, "{instant:.6}");
        }
        // The last hours of the year 9999, the usual "end of time": beyond the library's instants, not its calendar.
        match EPOCH.checked_add(SignedDuration::from_micros(self.0)) {
            Ok(civil) => write!(f, "{civil:.6}Z"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

impl FromStr for Timestamp {
    type Err = BadTime;

    /// Reads RFC 3339: date, `T`, time with seconds, and an offset. Instants outside the range that
    /// [`Timestamp::from_micros`] keeps are refused.
    fn from_str(text: &str) -> Result<Self, BadTime> {
        let bad = || BadTime { expected: "an RFC 3339 time such as 2026-01-31T09:30:00Z", found: text.to_owned() };
        let bytes = text.as_bytes();
        let shape = b"dddd-dd-ddTdd:dd:dd";
        let fits = bytes.len() > shape.len()
            && shape.iter().zip(bytes).all(|(want, got)| match want {
                b'd' => got.is_ascii_digit(),
                b'T' => matches!(got, b'T' | b't'),
                other => other == got,
            });
        let rest = bytes.get(shape.len()..).unwrap_or_default();
        let offset = match rest.split_first() {
            Some((b'.', digits)) => {
                let digits_end = digits.iter().position(|b| !b.is_ascii_digit()).unwrap_or(digits.len());
                if digits_end == 0 { &[] } else { &digits[digits_end..] }
            }
            _ => rest,
        };
        let offset_fits = match offset {
            [b'Z' | b'z'] => true,
            [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()),
            _ => false,
        };
        if !fits || !offset_fits {
            return Err(bad());
        }
        let nanos = match text.parse::<jiff::Timestamp>() {
            Ok(instant) => instant.as_nanosecond(),
            Err(_) => {
                let civil: civil::DateTime = text[..text.len() - offset.len()].parse().map_err(|_| bad())?;
                civil.duration_since(EPOCH).as_nanos() - offset_nanos(offset).ok_or_else(bad)?
            }
        };
        let micros = i64::try_from(nanos.div_euclid(1000)).map_err(|_| bad())?;
        if micros < Self::RANGE.0 || micros > Self::RANGE.1 {
            return Err(bad());
        }
        Ok(Self(micros))
    }
}

/// How far an offset, `Z` or `+hh:mm`, is ahead of UTC.
fn offset_nanos(offset: &[u8]) -> Option<i128> {
    let [sign, h1, h2, _, m1, m2] = offset else { return Some(0) };
    let number = |tens: u8, ones: u8| i128::from(tens - b'0') * 10 + i128::from(ones - b'0');
    let (hours, minutes) = (number(*h1, *h2), number(*m1, *m2));
    let nanos = (hours * 60 + minutes) * 60_000_000_000;
    (hours < 24 && minutes < 60).then_some(if *sign == b'-' { -nanos } else { nanos })
}

/// A calendar date without time or zone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date(civil::Date);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Date({})", self.0)
    }
}

impl FromStr for Date {
    type Err = BadTime;
    fn from_str(text: &str) -> Result<Self, BadTime> {
        let bad = || BadTime { expected: "a date such as 2026-01-31", found: text.to_owned() };
        if text.len() != 10 {
            return Err(bad());
        }
        text.parse().map(Self).map_err(|_| bad())
    }
}

macro_rules! serde_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
serde_as_text!(Timestamp);
serde_as_text!(Date);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offsets_become_utc_with_six_digits() {
        let parsed: Timestamp = "2017-01-09T09:49:50.000+01:00".parse().unwrap();
        assert_eq!(parsed.to_string(), "2017-01-09T08:49:50.000000Z");
        let cut: Timestamp = "1969-12-31T23:59:59.9999999Z".parse().unwrap();
        assert_eq!(cut.as_micros(), -1);
    }

    #[test]
    fn the_end_of_time_is_an_instant() {
        for (text, utc) in [
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000000Z"),
            ("9999-12-31T23:59:59.9999999z", "9999-12-31T23:59:59.999999Z"),
            ("9999-12-31T23:59:59.5+01:30", "9999-12-31T22:29:59.500000Z"),
            ("9999-12-31T22:00:00-01:59", "9999-12-31T23:59:00.000000Z"),
            ("9999-12-30T22:00:00Z", "9999-12-30T22:00:00.000000Z"),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), utc);
        }
        assert_eq!(Timestamp::from_micros(i64::MAX).to_string(), "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn what_rfc_3339_does_not_allow_is_refused() {
        for text in [
            "",
            "2017",
            "2017-01-09",
            "2017-01-09T09:49Z",
            "2017-01-09 09:49:50Z",
            "2017-13-09T09:49:50Z",
            "2017-01-09T09:49:50",
            "2017-01-09T09:49:50.Z",
            "2017-01-09T09:49:50+0100",
            "2017-01-09T09:49:50Z[UTC]",
            "x017-01-09T09:49:50Z",
            "2017-02-30T09:49:50Z",
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "9999-12-31T24:00:00Z",
            "9999-12-31T23:59:59+24:00",
            "9999-12-31T23:59:59+00:60",
            "９999-12-31T23:59:59Z",
            "２017-01-09T09:49:50Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        for text in ["2017-1-1", "2017-02-30", "20170102", "2017-01-02T", "2017-W01-1", "-002017-01", "20170102T1"] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips_and_sorts_as_time(a in Timestamp::RANGE.0..Timestamp::RANGE.1, b: i64) {
            let (a, b) = (Timestamp::from_micros(a), Timestamp::from_micros(b));
            prop_assert_eq!(a.to_string().parse::<Timestamp>().unwrap(), a);
            prop_assert_eq!(a.to_string().cmp(&b.to_string()), a.cmp(&b));
        }

        #[test]
        fn a_date_is_read_only_as_it_is_written(text in "[0-9]{4}[-0-9W][0-3TW][0-9-][-0-9T][0-3:Z][0-9Z\\[+]") {
            if let Ok(date) = text.parse::<Date>() {
                prop_assert_eq!(date.to_string(), text);
            }
        }

        #[test]
        fn what_is_read_survives_as_microseconds(year in 0u32..10_000, rest in "-(01|12)-(01|31)T(00|23):59:59(\\.[0-9]{1,9})?(Z|[+-](00|23):59)") {
            if let Ok(at) = format!("{year:04}{rest}").parse::<Timestamp>() {
                prop_assert_eq!(Timestamp::from_micros(at.as_micros()), at);
                prop_assert_eq!(at.to_string().parse::<Timestamp>(), Ok(at));
            }
        }
    }
}
