//! Tests of hybrid logical clocks: steps of physical time in every direction, full counters, restarts.
use super::*;
use proptest::prelude::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_micros(millis * 1000)
}

fn stamp(clock: &mut HlcClock, now: Timestamp) -> Hlc {
    match clock.stamp(now) {
        Err(NoStamp::Reserve(bound)) => {
            clock.reserved(bound);
            clock.stamp(now).unwrap()
        }
        stamp => stamp.unwrap(),
    }
}

#[test]
fn a_full_counter_carries_and_never_wraps() {
    let mut clock = HlcClock::resume(HlcSettings::default(), Hlc::ZERO);
    let mut last = stamp(&mut clock, at(1000));
    for _ in 0..70_000 {
        let next = stamp(&mut clock, at(1000));
        assert!(next > last);
        last = next;
    }
    assert_eq!((last.millis(), clock.ahead_ms(at(1000))), (1001, 1));
}

#[test]
fn physical_time_leads_where_it_is_ahead() {
    let mut clock = HlcClock::resume(HlcSettings::default(), Hlc::ZERO);
    assert_eq!(stamp(&mut clock, at(5)), Hlc::new(5, 0));
    assert_eq!(stamp(&mut clock, at(5)), Hlc::new(5, 1));
    assert_eq!(stamp(&mut clock, at(9)), Hlc::new(9, 0));
    assert_eq!(stamp(&mut clock, at(2)), Hlc::new(9, 1), "time went back, stamps do not");
    assert_eq!(stamp(&mut clock, at(-5)), Hlc::new(9, 2));
    assert_eq!(clock.ahead_ms(at(2)), 7);
}

#[test]
fn skew_is_bounded_both_ways_and_changes_nothing() {
    let mut clock = HlcClock::resume(HlcSettings::default(), Hlc::ZERO);
    let now = at(10_000);
    assert_eq!(clock.observe(Hlc::new(10_500, 0), now), Ok(()));
    assert_eq!(clock.observe(Hlc::new(10_500, u16::MAX), now), Ok(()));
    let last = clock.last();
    let skew = clock.observe(Hlc::new(10_501, 0), now).unwrap_err();
    assert_eq!((skew.skew_ms, skew.max_skew_ms, clock.last()), (501, 500, last));
    assert!(skew.to_string().contains("501 ms ahead of our time"), "{skew}");
    assert_eq!(clock.observe(Hlc::MAX, now).map_err(|skew| skew.remote), Err(Hlc::MAX));
    // An old event is no skew; a peer's clock that says now what was long ago is.
    assert_eq!(clock.observe(Hlc::new(3, 0), now), Ok(()));
    assert_eq!(clock.observe_live(Hlc::new(9_500, 0), now), Ok(()));
    let skew = clock.observe_live(Hlc::new(9_499, 9), now).unwrap_err();
    assert!(skew.to_string().contains("501 ms behind our time"), "{skew}");
    assert!(clock.observe_live(Hlc::new(10_501, 0), now).is_err());
    assert_eq!(clock.last(), last);
}

#[test]
fn the_end_of_stamps_is_an_error_and_not_a_repetition() {
    let mut clock = HlcClock::resume(HlcSettings::default(), Hlc::from_u64(u64::MAX - 1));
    assert_eq!(clock.stamp(at(0)), Err(NoStamp::Reserve(Hlc::MAX)));
    clock.reserved(Hlc::MAX);
    assert_eq!((clock.stamp(at(0)), clock.stamp(at(0))), (Ok(Hlc::MAX), Err(NoStamp::Exhausted)));
    assert_eq!((Hlc::MAX.next(), Hlc::ZERO.raised_above(Hlc::MAX)), (None, None));
    assert_eq!(clock.reservation_due(at(0)), None);
}

#[test]
fn a_reservation_is_asked_for_before_it_is_missed() {
    let mut clock = HlcClock::resume(HlcSettings::default(), Hlc::ZERO);
    let bound = clock.reservation_due(at(10)).unwrap();
    assert_eq!(bound, Hlc::new(1010, 0));
    clock.reserved(bound);
    clock.reserved(Hlc::ZERO);
    assert_eq!(clock.reservation_due(at(10)), None);
    assert_eq!(clock.stamp(at(1010)), Ok(bound));
    assert_eq!(clock.stamp(at(1010)), Err(NoStamp::Reserve(Hlc::new(2010, 1))));
    assert!(clock.reservation_due(at(600)).is_some());
}

#[test]
fn text_is_read_strictly() {
    for bad in ["", "1", "1.", ".1", "+1.0", "01.0", "1.00", "1.65536", "281474976710656.0", "1.0.0", "1,0", " 1.0"] {
        assert!(bad.parse::<Hlc>().is_err(), "{bad:?}");
    }
    assert_eq!("281474976710655.65535".parse(), Ok(Hlc::MAX));
    assert_eq!(serde_json::to_string(&Hlc::new(7, 1)).unwrap(), "\"7.1\"");
    assert_eq!(serde_json::from_str::<Hlc>("\"7.1\"").unwrap(), Hlc::new(7, 1));
    assert_eq!(Hlc::new(u64::MAX, 0), Hlc::new(Hlc::MAX_MILLIS, 0));
}

#[derive(Debug, Clone)]
enum Step {
    Stamp(i64),
    Observe(i64, u64),
    Persist(i64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let now = 0..3000i64;
    prop::collection::vec(
        prop_oneof![
            6 => now.clone().prop_map(Step::Stamp),
            2 => (now.clone(), 0..6000u64).prop_map(|(now, remote)| Step::Observe(now, remote)),
            1 => now.prop_map(Step::Persist),
            1 => Just(Step::Restart),
        ],
        1..200,
    )
}

proptest! {
    #[test]
    fn stamps_increase_over_restarts_and_whatever_time_does(steps in steps(), reserve_ms in 0..5u32) {
        let settings = HlcSettings { reserve_ms, ..HlcSettings::default() };
        let (mut persisted, mut given, mut floor) = (Hlc::ZERO, Hlc::ZERO, Hlc::ZERO);
        let mut clock = HlcClock::resume(settings, persisted);
        for step in steps {
            match step {
                Step::Stamp(now) => {
                    let stamp = match clock.stamp(at(now)) {
                        Err(NoStamp::Reserve(bound)) => {
                            prop_assert!(bound > persisted);
                            persisted = bound;
                            clock.reserved(bound);
                            clock.stamp(at(now)).unwrap()
                        }
                        stamp => stamp.unwrap(),
                    };
                    prop_assert!(stamp > given && stamp > floor && stamp <= persisted && stamp >= Hlc::at(at(now)));
                    given = stamp;
                }
                Step::Observe(now, remote) => {
                    let remote = Hlc::new(remote, 3);
                    let fine = clock.observe(remote, at(now)).is_ok();
                    prop_assert_eq!(fine, remote.millis() <= now as u64 + 500);
                    if fine {
                        floor = floor.max(remote);
                    }
                }
                Step::Persist(now) => {
                    if let Some(bound) = clock.reservation_due(at(now)) {
                        persisted = persisted.max(bound);
                        clock.reserved(bound);
                    }
                }
                // What was observed and is kept by nobody is forgotten; what was given out is not.
                Step::Restart => {
                    clock = HlcClock::resume(settings, persisted);
                    floor = Hlc::ZERO;
                }
            }
        }
    }

    #[test]
    fn text_and_number_round_trip(number: u64) {
        let stamp = Hlc::from_u64(number);
        prop_assert_eq!(stamp.to_string().parse(), Ok(stamp));
        prop_assert_eq!(Hlc::new(stamp.millis(), stamp.counter()).as_u64(), number);
        prop_assert!(stamp.next().is_none_or(|next| next > stamp));
    }
}
