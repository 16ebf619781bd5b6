//! Hybrid logical clocks: stamps that follow physical time and never contradict cause and effect.
//!
//! After Kulkarni, Demirbas, Madappa, Avva and Leone, "Logical Physical Clocks", 2014; the logical part goes back to
//! Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System", 1978. Milliseconds and counter are one
//! number, so a counter that overflows carries into time instead of wrapping. Nothing here reads a clock: physical time
//! is passed in, and the upper bound that makes restarts safe is handed out to be persisted.
use crate::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// A stamp: 48 bits of milliseconds since 1970 and a counter of 16 bits. Ordered as one number.
///
/// ```
/// use evenkeel_core::clock::Hlc;
/// let stamp: Hlc = "1790000000000.7".parse()?;
/// assert_eq!((stamp.millis(), stamp.counter()), (1_790_000_000_000, 7));
/// assert_eq!(Hlc::new(5, u16::MAX).next(), Some(Hlc::new(6, 0)), "a full counter carries into time");
/// # Ok::<(), evenkeel_core::clock::BadHlc>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hlc(u64);

/// Text that is not `milliseconds.counter`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected milliseconds.counter such as 1790000000000.0, found {0:?}")]
pub struct BadHlc(String);

impl Hlc {
    /// Before every stamp.
    pub const ZERO: Self = Self(0);
    /// The last one.
    pub const MAX: Self = Self(u64::MAX);
    /// The greatest number of milliseconds, in the year 10889.
    pub const MAX_MILLIS: u64 = (1 << 48) - 1;

    /// From its parts; milliseconds beyond [`Hlc::MAX_MILLIS`] count as that.
    pub const fn new(millis: u64, counter: u16) -> Self {
        let millis = if millis > Self::MAX_MILLIS { Self::MAX_MILLIS } else { millis };
        Self(millis << 16 | counter as u64)
    }

    /// The first stamp of an instant; instants before 1970 count as 1970.
    pub const fn at(time: Timestamp) -> Self {
        let micros = time.as_micros();
        Self::new(if micros < 0 { 0 } else { micros as u64 / 1000 }, 0)
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> u64 {
        self.0 >> 16
    }

    /// The counter within the millisecond.
    pub const fn counter(self) -> u16 {
        self.0 as u16
    }

    /// As one number, which orders as stamps do.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// From [`Hlc::as_u64`].
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The next stamp, with carry; there is none after [`Hlc::MAX`].
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(next) => Some(Self(next)),
            None => None,
        }
    }

    /// This stamp, or the next after `other` if that is later: what an event's stamp becomes at its delivery, for each
    /// of its dependencies. `None` where nothing comes after `other`.
    #[must_use]
    pub fn raised_above(self, other: Self) -> Option<Self> {
        other.next().map(|next| self.max(next))
    }

    const fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis << 16))
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.millis(), self.counter())
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hlc({self})")
    }
}

/// A decimal number as it is written: digits only, no zero before others.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if bytes.is_empty() || (bytes[0] == b'0' && bytes.len() > 1) {
        return None;
    }
    bytes.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(u64::from(digit)) }
    })
}

impl FromStr for Hlc {
    type Err = BadHlc;

    fn from_str(text: &str) -> Result<Self, BadHlc> {
        let parts = text.split_once('.').and_then(|(millis, counter)| Some((decimal(millis)?, decimal(counter)?)));
        match parts {
            Some((millis, counter)) if millis <= Self::MAX_MILLIS && counter <= u64::from(u16::MAX) => {
                Ok(Self::new(millis, counter as u16))
            }
            _ => Err(BadHlc(text.to_owned())),
        }
    }
}

impl Serialize for Hlc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hlc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How an [`HlcClock`] behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HlcSettings {
    /// How far apart two clocks may be.
    pub max_skew_ms: u32,
    /// How far ahead stamps are reserved at a time. A restart skips at most this much.
    pub reserve_ms: u32,
}

impl Default for HlcSettings {
    fn default() -> Self {
        Self { max_skew_ms: 500, reserve_ms: 1000 }
    }
}

/// A stamp from a clock too far from ours. Ours is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stamp {remote} is {} ms {} our time, and {max_skew_ms} ms are allowed", skew_ms.unsigned_abs(), if *skew_ms > 0 { "ahead of" } else { "behind" })]
pub struct ClockSkew {
    /// The stamp.
    pub remote: Hlc,
    /// Its time less ours, in milliseconds.
    pub skew_ms: i64,
    /// What is allowed either way.
    pub max_skew_ms: u32,
}

/// Why there is no stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoStamp {
    /// The reserved stamps are used up: persist this upper bound, tell the clock with [`HlcClock::reserved`], go on.
    #[error("stamps up to {0} must be reserved first")]
    Reserve(Hlc),
    /// The last stamp there is was given out.
    #[error("there are no stamps left")]
    Exhausted,
}

/// A replica's clock. It gives out increasing stamps, each above all it gave and all it observed.
///
/// A restart never repeats a stamp: only stamps up to an upper bound are given out, which was persisted before, and a
/// clock that resumes begins above that bound.
///
/// ```
/// use evenkeel_core::{Timestamp, clock::{HlcClock, HlcSettings, NoStamp}};
/// let now = Timestamp::from_micros(1_790_000_000_000_000);
/// let mut clock = HlcClock::resume(HlcSettings::default(), "0.0".parse()?);
/// let Err(NoStamp::Reserve(bound)) = clock.stamp(now) else { panic!("nothing is reserved yet") };
/// clock.reserved(bound); // after `bound` was written to disk
/// let first = clock.stamp(now)?;
/// let remote = "1790000000000.41".parse()?;
/// clock.observe(remote, now)?;
/// assert!(first < remote && remote < clock.stamp(now)?);
/// assert!(clock.observe("1790000000501.0".parse()?, now).is_err(), "501 ms ahead of our time");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct HlcClock {
    last: Hlc,
    reserved: Hlc,
    settings: HlcSettings,
}

impl HlcClock {
    /// A clock whose stamps up to `bound` may have been given out before; [`Hlc::ZERO`] for one that never ran. Where
    /// events were kept with stamps above the bound, `bound` is the greatest of those.
    pub const fn resume(settings: HlcSettings, bound: Hlc) -> Self {
        Self { last: bound, reserved: bound, settings }
    }

    /// A stamp for something that happens now.
    ///
    /// It is later than every earlier one even where physical time stands still or goes back; [`HlcClock::ahead_ms`]
    /// says by how much it has left physical time behind.
    ///
    /// # Errors
    /// Where stamps must be reserved first, or there are none.
    #[inline]
    pub fn stamp(&mut self, now: Timestamp) -> Result<Hlc, NoStamp> {
        let next = Hlc::at(now).max(self.last.next().ok_or(NoStamp::Exhausted)?);
        if next > self.reserved {
            return Err(NoStamp::Reserve(self.bound_above(next)));
        }
        self.last = next;
        Ok(next)
    }

    /// Takes note of a stamp that somebody else gave: later ones of ours will be above it.
    ///
    /// It may be as old as it likes, since events arrive late; it may not be from the future.
    ///
    /// # Errors
    /// Where it is further ahead of `now` than is allowed. The clock is unchanged: one bad clock must not drag all others
    /// with it.
    #[inline]
    pub fn observe(&mut self, remote: Hlc, now: Timestamp) -> Result<(), ClockSkew> {
        self.checked(remote, now, false)?;
        self.last = self.last.max(remote);
        Ok(())
    }

    /// As [`HlcClock::observe`], for a stamp that a peer has given just now: one that is too far *behind* says as well
    /// that one of the two clocks is wrong.
    ///
    /// # Errors
    /// Where it is further from `now` than is allowed, either way. The clock is unchanged.
    pub fn observe_live(&mut self, remote: Hlc, now: Timestamp) -> Result<(), ClockSkew> {
        self.checked(remote, now, true)?;
        self.last = self.last.max(remote);
        Ok(())
    }

    fn checked(&self, remote: Hlc, now: Timestamp, live: bool) -> Result<(), ClockSkew> {
        let max_skew_ms = self.settings.max_skew_ms;
        // Both are below 2^48.
        let skew_ms = remote.millis() as i64 - Hlc::at(now).millis() as i64;
        let bad = if live { skew_ms.unsigned_abs() > u64::from(max_skew_ms) } else { skew_ms > i64::from(max_skew_ms) };
        if bad { Err(ClockSkew { remote, skew_ms, max_skew_ms }) } else { Ok(()) }
    }

    /// The upper bound up to `bound` is persisted: stamps up to it may be given out. A lesser one than before changes
    /// nothing.
    pub fn reserved(&mut self, bound: Hlc) {
        self.reserved = self.reserved.max(bound);
    }

    /// The bound to persist next, if less than half of a reservation is left: who asks now and then never meets
    /// [`NoStamp::Reserve`].
    pub fn reservation_due(&self, now: Timestamp) -> Option<Hlc> {
        let next = Hlc::at(now).max(self.last);
        let half = u64::from(self.settings.reserve_ms / 2);
        (self.reserved < Hlc::MAX && next.plus_millis(half) >= self.reserved).then(|| self.bound_above(next))
    }

    fn bound_above(&self, next: Hlc) -> Hlc {
        next.plus_millis(u64::from(self.settings.reserve_ms.max(1)))
    }

    /// The greatest stamp given out or observed.
    pub const fn last(&self) -> Hlc {
        self.last
    }

    /// By how many milliseconds the last stamp is ahead of physical time; 0 where it is not. Above the allowed skew our
    /// own clock was set back, or began far ahead: peers refuse our stamps until time has caught up.
    pub fn ahead_ms(&self, now: Timestamp) -> u64 {
        self.last.millis().saturating_sub(Hlc::at(now).millis())
    }
}

#[cfg(test)]
mod tests;
