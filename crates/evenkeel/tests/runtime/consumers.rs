//! Consumers of the user's own, measured by the monitor's thread; what their reports come to is tested with the server.
use super::fixture::{Stores, eventually, noted, tally};
use evenkeel::{
    consumer::Registration,
    core::Position,
    store::faulty::{Fault, Operation},
};
use metrics::{Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// Every value that gauges of consumers were set to.
#[derive(Clone, Default)]
struct Gauges(Arc<Mutex<HashMap<Key, Vec<f64>>>>);

struct Of(Gauges, Key);

impl GaugeFn for Of {
    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}
    fn set(&self, value: f64) {
        self.0.0.lock().unwrap().entry(self.1.clone()).or_default().push(value);
    }
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match key.name() {
            "evenkeel_consumer_lag_events" => Gauge::from_arc(Arc::new(Of(self.clone(), key.clone()))),
            _ => Gauge::noop(),
        }
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

impl Gauges {
    fn of(&self, consumer: &str) -> Vec<f64> {
        let known = self.0.lock().unwrap();
        let is_of = |key: &Key| key.labels().any(|label| label.value() == consumer);
        known.iter().find(|(key, _)| is_of(key)).map(|(_, set)| set.clone()).unwrap_or_default()
    }
}

#[test]
fn a_consumer_that_cannot_be_measured_keeps_nobody_else_from_it() {
    let gauges = Gauges::default();
    metrics::set_global_recorder(gauges.clone()).unwrap();
    let stores = Stores::new();
    let engine = stores.start(tally(), |options| options.scrub_rows_per_second = 0);
    engine.send(vec![noted("1", "a", 1), noted("2", "b", 2)]);
    engine.settle();
    for name in ["first", "second"] {
        engine.put_consumer(name, Registration::default()).unwrap();
        engine.report_consumer(name, Position(1), None).unwrap();
    }
    let latest = |consumer| gauges.of(consumer).last().copied();
    eventually("both are measured", || latest("first") == Some(1.0) && latest("second") == Some(1.0));
    let unknown = |consumer| gauges.of(consumer).iter().filter(|lag| lag.is_nan()).count();
    assert_eq!((unknown("first"), unknown("second")), (0, 0));
    // Whichever of them it meets: it is not known, and the other is set as often as before.
    let set = || ["first", "second"].map(|consumer| gauges.of(consumer).len());
    // The first may have been measured alone before there was a second.
    let begun = set();
    stores.faults.set(Operation::ReadLog, Fault::Fail, 3);
    eventually("one could not be measured", || unknown("first") + unknown("second") > 0);
    let before = set();
    eventually("both are measured again", || set().iter().zip(before).all(|(now, before)| *now > before));
    let [first, second] = set();
    let (first, second) = (first - begun[0], second - begun[1]);
    assert!(first.abs_diff(second) <= 1, "{first} and {second}");
    eventually("both are known again", || latest("first") == Some(1.0) && latest("second") == Some(1.0));
}
