//! What a read asks for, put together from its level, its bounds, its token and what its model requires; and whether what
//! a model shows meets it.
//!
//! Pure: what a model shows is measured by the runtime, which also waits. The levels are [`crate::freshness::Level`].
//!
//! | level | the answer has in it |
//! |---|---|
//! | `eventual` | whatever is there |
//! | `bounded` | everything but what the bounds allow to be missing |
//! | `monotonic` | everything that the token's reads have shown |
//! | `causal` | that, and everything that the token's writes have written |
//! | `strong` | every event admitted before the read began |
use crate::{freshness::Level, ids::Position, time::Timestamp, token::Token};
use std::time::Duration;

/// How much may be missing from an answer. What is `None` is not asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Events at most.
    pub max_lag: Option<u64>,
    /// The age of the oldest of them at most.
    pub max_staleness: Option<Duration>,
    /// Everything committed before then is in it.
    pub since: Option<Timestamp>,
}

impl Bounds {
    /// Whether nothing is asked for.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What meets both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            }
        }
        Self {
            max_lag: least(self.max_lag, other.max_lag),
            max_staleness: least(self.max_staleness, other.max_staleness),
            since: self.since.max(other.since),
        }
    }
}

/// What a reader asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Asked {
    /// The level; where none is named the model's own, or the one that bounds or token call for.
    pub level: Option<Level>,
    /// Bounds, which hold at any level.
    pub bounds: Bounds,
    /// What the reader has seen and written.
    pub token: Option<Token>,
}

/// What a model gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// The level of reads that name none.
    pub default: Level,
    /// The level that no answer is below.
    pub require: Level,
    /// What `bounded` means where the reader does not say.
    pub bounds: Bounds,
}

/// What an answer must have in it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Contents {
    /// Bounds on what is missing.
    pub bounds: Bounds,
    /// Everything up to here.
    pub floor: Position,
    /// Everything admitted before the read began.
    pub head: bool,
}

/// What a read must find, and what it may make do with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// The level that was asked for.
    pub requested: Level,
    /// The level that is to be served.
    pub level: Level,
    /// What must be in the answer.
    pub wanted: Contents,
    /// What must be in it even where the reader would take less.
    pub least: Contents,
    asked: Asked,
    require: Level,
}

/// What a model shows, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Shown {
    /// Everything up to here that concerns the model is in its rows.
    pub through: Option<Position>,
    /// The first event of what was read that is parked.
    pub parked_from: Option<Position>,
    /// Events missing.
    pub lag_count: Option<u64>,
    /// The age of the oldest of them.
    pub staleness_seconds: Option<f64>,
    /// Everything committed before then is in it.
    pub as_of: Option<Timestamp>,
}

/// What is missing, and whether it can come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// In words.
    pub reason: String,
    /// What to wait for; `None` where waiting does not help.
    pub until: Option<Until>,
}

/// What would change an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The model reaches this position.
    Reached(Position),
    /// The model commits anything, or time goes by.
    Moved,
}

impl Demand {
    /// What follows from what is asked and given. A reader's level can be raised by the model, never lowered.
    pub fn of(asked: Asked, terms: &Terms) -> Self {
        let by_token = asked.token.map_or(Level::Eventual, |_| Level::Causal);
        let by_bounds = if asked.bounds.is_none() { Level::Eventual } else { Level::Bounded };
        let requested = asked.level.unwrap_or_else(|| terms.default.max(by_token).max(by_bounds));
        let wanted = contents(requested, asked, terms).and(contents(terms.require, asked, terms));
        Self {
            requested,
            level: requested.max(terms.require).max(by_bounds),
            wanted: Contents { bounds: wanted.bounds.and(asked.bounds), ..wanted },
            least: contents(terms.require, Asked { bounds: Bounds::default(), ..asked }, terms),
            asked,
            require: terms.require,
        }
    }

    /// The level of an answer that does not have everything wanted in it, but the least.
    pub fn served(&self, shown: &Shown) -> Level {
        let has = |level: Level| match (level, self.asked.token) {
            // A token that asks for nothing makes no answer a better one.
            (Level::Monotonic | Level::Causal, Some(token)) if token.floor(level) > Position::ZERO => {
                Contents { floor: token.floor(level), ..Contents::default() }.unmet(shown).is_none()
            }
            (Level::Bounded, _) if !self.wanted.bounds.is_none() => {
                Contents { bounds: self.wanted.bounds, ..Contents::default() }.unmet(shown).is_none()
            }
            (level, _) => level == Level::Eventual,
        };
        let best = Level::ALL.iter().copied().filter(|level| *level < self.level && has(*level)).max();
        best.unwrap_or(Level::Eventual).max(self.require)
    }
}

/// What a level means for this reader and this model.
fn contents(level: Level, asked: Asked, terms: &Terms) -> Contents {
    let floor = asked.token.map_or(Position::ZERO, |token| match level {
        // A token beside bounds is meant.
        Level::Bounded => token.floor(Level::Causal),
        level => token.floor(level),
    });
    let bounds = if level == Level::Bounded && asked.bounds.is_none() { terms.bounds } else { Bounds::default() };
    Contents { bounds, floor, head: level == Level::Strong }
}

impl Contents {
    /// What has both in it.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            bounds: self.bounds.and(other.bounds),
            floor: self.floor.max(other.floor),
            head: self.head || other.head,
        }
    }

    /// What is missing from an answer that shows this; `None` where nothing is. Whether it has the head in it is not judged
    /// here.
    pub fn unmet(&self, shown: &Shown) -> Option<Unmet> {
        let floor = self.floor;
        if floor > Position::ZERO {
            if let Some(parked) = shown.parked_from.filter(|parked| *parked <= floor) {
                return Some(Unmet {
                    reason: format!("the token covers an event of this, at {parked}, that could not be applied"),
                    until: None,
                });
            }
            match shown.through {
                None => return Some(Unmet { reason: "how far the model is cannot be known now".into(), until: None }),
                Some(through) if through < floor => {
                    let reason = format!("the model has reached {through} of the log, the token asks for {floor}");
                    return Some(Unmet { reason, until: Some(Until::Reached(floor)) });
                }
                Some(_) => {}
            }
        }
        let reason = self.beyond(shown)?;
        Some(Unmet { reason, until: Some(Until::Moved) })
    }

    /// Which bound does not hold.
    fn beyond(&self, shown: &Shown) -> Option<String> {
        let Bounds { max_lag, max_staleness, since } = self.bounds;
        let known = |value: Option<String>| value.unwrap_or_else(|| "not known how far".into());
        if let Some(most) = max_lag.filter(|most| shown.lag_count.is_none_or(|lag| lag > *most)) {
            let lag = known(shown.lag_count.map(|lag| format!("{lag} events")));
            return Some(format!("the model is {lag} behind, at most {most} are asked for"));
        }
        if let Some(most) = max_staleness.map(|most| most.as_secs_f64())
            && shown.staleness_seconds.is_none_or(|seconds| seconds > most)
        {
            let age = known(shown.staleness_seconds.map(|seconds| format!("{seconds:.3} s")));
            return Some(format!("the model is {age} behind, at most {most:.3} s are asked for"));
        }
        let since = since.filter(|since| shown.as_of.is_none_or(|as_of| as_of < *since))?;
        let as_of = shown.as_of.map_or_else(|| "no moment".to_owned(), |as_of| as_of.to_string());
        Some(format!("the model has everything as of {as_of}, {since} is asked for"))
    }
}

#[cfg(test)]
mod tests;
