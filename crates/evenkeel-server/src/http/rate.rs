//! How fast each declared source may send. A source without a rate, and whoever is not declared, is not held back here.
//!
//! A bucket may go into debt, so that a batch larger than a second's worth passes once and is paid for afterwards.
use super::problem::{Problem, RATE_EXCEEDED};
use evenkeel::contract::source::{Rate, Source, SourcePattern};
use parking_lot::Mutex;
use serde::Deserialize;
use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

/// The buckets of the sources that have a rate.
pub(crate) struct Rates(Mutex<Vec<Bucket>>);

struct Bucket {
    name: String,
    pattern: SourcePattern,
    rate: Rate,
    /// Events that may be sent now; below zero what must be waited for.
    events: f64,
    filled_at: Instant,
}

impl Rates {
    /// Full buckets.
    pub(crate) fn new(sources: &[Source]) -> Self {
        let now = Instant::now();
        let bucket = |source: &Source| {
            let rate = source.rate?;
            let events = capacity(rate);
            Some(Bucket { name: source.name.clone(), pattern: source.pattern.clone(), rate, events, filled_at: now })
        };
        Self(Mutex::new(sources.iter().filter_map(bucket).collect()))
    }

    /// Takes the events out of their sources' buckets, all or none.
    ///
    /// # Errors
    /// 429 where a source has nothing left.
    pub(crate) fn take(&self, events: &[Vec<u8>]) -> Result<(), Problem> {
        self.take_at(events, Instant::now())
    }

    fn take_at(&self, events: &[Vec<u8>], now: Instant) -> Result<(), Problem> {
        let mut buckets = self.0.lock();
        if buckets.is_empty() {
            return Ok(());
        }
        let mut counts = vec![0.0; buckets.len()];
        for event in events {
            let Some(source) = source_of(event) else { continue };
            if let Some(index) = buckets.iter().position(|bucket| bucket.pattern.matches(&source)) {
                counts[index] += 1.0;
            }
        }
        for (bucket, _) in buckets.iter_mut().zip(&counts).filter(|(_, count)| **count > 0.0) {
            bucket.fill(now);
            if bucket.events < 1.0 {
                let wait = (1.0 - bucket.events) / bucket.rate.events_per_second();
                let detail = format!("the source {} may send {} and has sent more", bucket.name, bucket.rate);
                return Err(Problem::new(RATE_EXCEEDED, detail)
                    .retry_after(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX)));
            }
        }
        for (bucket, count) in buckets.iter_mut().zip(counts) {
            bucket.events -= count;
        }
        Ok(())
    }
}

impl Bucket {
    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.events = (self.events + passed * self.rate.events_per_second()).min(capacity(self.rate));
        self.filled_at = now;
    }
}

/// What a source that was silent may send at once: a second's worth, at least one event.
fn capacity(rate: Rate) -> f64 {
    rate.events_per_second().max(1.0)
}

/// The source of an event, where it can be read at a glance. What cannot is the gate's to refuse.
fn source_of(event: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Glance<'a> {
        #[serde(borrow)]
        source: Cow<'a, str>,
    }
    serde_json::from_slice::<Glance<'_>>(event).ok().map(|glance| glance.source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> Rates {
        let source = |name: &str, rate: Option<&str>| Source {
            name: name.into(),
            pattern: name.parse().unwrap(),
            rate: rate.map(|rate| rate.parse().unwrap()),
            first_seq: None,
        };
        Rates::new(&[source("shop", Some("2/s")), source("free", None)])
    }

    fn events(source: &str, count: usize) -> Vec<Vec<u8>> {
        vec![format!(r#"{{"source":"{source}","id":"1"}}"#).into_bytes(); count]
    }

    #[test]
    fn a_source_is_held_to_its_rate_and_others_are_not() {
        let (rates, start) = (rates(), Instant::now() + Duration::from_secs(5));
        let at = |ms, source, count| rates.take_at(&events(source, count), start + Duration::from_millis(ms)).is_ok();
        assert!(at(0, "shop", 1) && at(0, "shop", 1));
        assert!(!at(0, "shop", 1));
        assert!(at(0, "free", 1000) && at(0, "unknown", 1000) && at(0, "shop", 0));
        assert!(!at(400, "shop", 1));
        assert!(at(500, "shop", 1));
        assert!(!at(900, "shop", 1));
    }

    #[test]
    fn a_large_batch_passes_once_and_is_paid_for() {
        let (rates, start) = (rates(), Instant::now() + Duration::from_secs(5));
        let at = |ms, count| rates.take_at(&events("shop", count), start + Duration::from_millis(ms)).is_ok();
        assert!(at(0, 10));
        assert!(!at(4000, 1));
        assert!(at(4500, 1));
    }

    #[test]
    fn a_refused_request_takes_nothing() {
        let rates = rates();
        let start = Instant::now() + Duration::from_secs(5);
        assert!(rates.take_at(&events("shop", 2), start).is_ok());
        for _ in 0..100 {
            assert!(rates.take_at(&events("shop", 1), start).is_err());
        }
        assert!(rates.take_at(&events("shop", 1), start + Duration::from_millis(500)).is_ok());
    }
}
