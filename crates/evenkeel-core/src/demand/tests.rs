//! Tests of demands: what levels, bounds, tokens and a model's own terms come to.
use super::*;
use crate::{
    Epoch,
    token::{LogId, Origin, TokenKey},
};
use proptest::prelude::*;

const ORIGIN: Origin = Origin { log: LogId([1; 16]), epoch: Epoch(1), key: TokenKey([2; 32]) };

fn token(read: u64, written: u64) -> Option<Token> {
    Some(Token::new(&ORIGIN).having_read(Position(read)).having_written(Position(written)))
}

fn terms(default: Level, require: Level) -> Terms {
    let bounds = Bounds { max_lag: Some(100), ..Bounds::default() };
    Terms { default, require, bounds }
}

const FREE: Level = Level::Eventual;

fn asked(level: Option<Level>, token: Option<Token>) -> Asked {
    Asked { level, token, ..Asked::default() }
}

fn shown(through: u64, lag: u64) -> Shown {
    Shown { through: Some(Position(through)), lag_count: Some(lag), ..Shown::default() }
}

#[test]
fn a_level_asks_for_what_its_name_says() {
    let of = |level| Demand::of(asked(Some(level), token(3, 5)), &terms(FREE, FREE)).wanted;
    assert_eq!(of(Level::Eventual), Contents::default());
    assert_eq!(of(Level::Monotonic).floor, Position(3));
    assert_eq!(of(Level::Causal).floor, Position(5));
    assert_eq!((of(Level::Strong).head, of(Level::Strong).floor), (true, Position(5)));
    assert_eq!((of(Level::Bounded).bounds.max_lag, of(Level::Bounded).floor), (Some(100), Position(5)));
}

#[test]
fn what_is_asked_beside_names_the_level() {
    let level = |asked, default| Demand::of(asked, &terms(default, FREE)).requested;
    assert_eq!(level(Asked::default(), FREE), FREE);
    assert_eq!(level(Asked::default(), Level::Monotonic), Level::Monotonic);
    assert_eq!(level(asked(None, token(1, 1)), FREE), Level::Causal);
    let bounds = Bounds { max_lag: Some(0), ..Bounds::default() };
    assert_eq!(level(Asked { bounds, ..Asked::default() }, FREE), Level::Bounded);
    assert_eq!(level(asked(Some(FREE), token(1, 1)), Level::Strong), FREE);
    // A bound that is named holds at any level.
    let demand = Demand::of(Asked { level: Some(FREE), bounds, token: None }, &terms(FREE, FREE));
    assert_eq!((demand.level, demand.wanted.bounds), (Level::Bounded, bounds));
}

#[test]
fn a_model_raises_and_never_lowers() {
    for requested in Level::ALL {
        for require in Level::ALL {
            let demand = Demand::of(asked(Some(*requested), token(3, 5)), &terms(FREE, *require));
            assert_eq!((demand.requested, demand.level), (*requested, *requested.max(require)));
            assert_eq!(demand.least.head, *require == Level::Strong);
            let least = Demand::of(asked(Some(*require), token(3, 5)), &terms(FREE, FREE)).wanted;
            assert_eq!(demand.least, least);
            assert!(demand.served(&Shown::default()) >= *require);
        }
    }
}

#[test]
fn what_is_missing_is_told_and_waited_for() {
    let causal = Demand::of(asked(Some(Level::Causal), token(3, 5)), &terms(FREE, FREE));
    assert_eq!(causal.wanted.unmet(&shown(5, 2)), None);
    let unmet = causal.wanted.unmet(&shown(4, 1)).map(|unmet| unmet.until);
    assert_eq!(unmet, Some(Some(Until::Reached(Position(5)))));
    assert_eq!(causal.served(&shown(4, 1)), Level::Monotonic);
    assert_eq!(causal.served(&shown(2, 3)), Level::Eventual);
    let unread = Demand::of(asked(Some(Level::Causal), token(0, 5)), &terms(FREE, FREE));
    assert_eq!(unread.served(&shown(4, 1)), Level::Eventual);
    // Nothing that could be applied later would bring a parked event in, and what is not known cannot be waited for.
    let parked = Shown { parked_from: Some(Position(5)), ..shown(9, 0) };
    assert_eq!(causal.wanted.unmet(&parked).map(|unmet| unmet.until), Some(None));
    assert_eq!(causal.wanted.unmet(&Shown { parked_from: Some(Position(6)), ..shown(9, 0) }), None);
    assert_eq!(causal.wanted.unmet(&Shown::default()).map(|unmet| unmet.until), Some(None));
}

#[test]
fn bounds_are_all_held_and_the_unknown_holds_none() {
    let at = Timestamp::from_micros;
    let ask = |bounds| Contents { bounds, ..Contents::default() };
    let good = Shown { staleness_seconds: Some(0.5), as_of: Some(at(10)), ..shown(1, 2) };
    let cases = [
        (Bounds { max_lag: Some(2), ..Bounds::default() }, Bounds { max_lag: Some(1), ..Bounds::default() }),
        (
            Bounds { max_staleness: Some(Duration::from_millis(500)), ..Bounds::default() },
            Bounds { max_staleness: Some(Duration::from_millis(499)), ..Bounds::default() },
        ),
        (Bounds { since: Some(at(10)), ..Bounds::default() }, Bounds { since: Some(at(11)), ..Bounds::default() }),
    ];
    for (met, not) in cases {
        assert_eq!(ask(met).unmet(&good), None);
        for shown in [good, Shown::default()] {
            assert_eq!(ask(not).unmet(&shown).map(|unmet| unmet.until), Some(Some(Until::Moved)));
        }
    }
}

proptest! {
    /// Whoever asks for more is never content with what somebody who asks for less is not.
    #[test]
    fn a_higher_level_is_not_met_where_a_lower_is_not(read in 0_u64..9, written in 0_u64..9, through in 0_u64..9, lag in 0_u64..300) {
        let of = |level| Demand::of(asked(Some(level), token(read, written)), &terms(FREE, FREE)).wanted;
        let shown = shown(through, lag);
        if of(Level::Monotonic).unmet(&shown).is_some() {
            prop_assert!(of(Level::Causal).unmet(&shown).is_some());
            prop_assert!(of(Level::Bounded).unmet(&shown).is_some());
        }
        prop_assert!(of(Level::Eventual).unmet(&shown).is_none());
    }
}
