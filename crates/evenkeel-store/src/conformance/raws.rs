//! Cases: events are kept as they were sent, in the transaction that admits them, until they are forgotten.
use super::{
    Failure, Outcome, Stores, ensure,
    fixture::{Sample, at, facts, pardon, redrive, take_in},
    same,
};
use crate::{Log, StoreError};
use evenkeel_core::{
    Position,
    intake::{Arrival, Ask, Facts, RawBody, Writes},
    quarantine::QuarantineId,
};

/// Every body that is kept, read in pages of so many.
///
/// # Errors
/// Where they cannot be read, or a page has more than was asked for.
pub fn all_raws(log: &dyn Log, limit: usize) -> Result<Vec<RawBody>, Failure> {
    let mut all: Vec<RawBody> = Vec::new();
    loop {
        let after = all.last().map_or(Position::ZERO, |last| last.position);
        let page = log.raws(after, limit)?;
        ensure(page.len() <= limit, format_args!("a page of {limit} bodies has {}", page.len()))?;
        ensure(page.iter().all(|body| body.position > after), "a page goes on after the last")?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Events with bodies of every length, also longer than what any store would put together.
fn arrivals(n: usize, lengths: &[usize]) -> Vec<Arrival> {
    let arrival = |(i, length): (usize, &usize)| {
        let mut arrival = Sample::new(&format!("{n}-{i}")).about(&format!("s{i}")).admitted();
        arrival.sent.raw = (0..*length).map(|at| (at * (i + 7) % 251) as u8).collect();
        arrival
    };
    lengths.iter().enumerate().map(arrival).collect()
}

/// # Errors
/// What the store did instead.
pub fn what_was_sent_is_kept_with_what_was_made_of_it(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    same("what is kept of nothing", log.raws(Position::ZERO, 10)?, Vec::new())?;
    same("one that is not there", log.raw(Position(1))?, None)?;
    let mut expected = Vec::new();
    for (n, lengths) in [&[1, 2, 200][..], &[300_000], &[1000; 300], &[5, 140_000, 6]].into_iter().enumerate() {
        let arrivals = arrivals(n, lengths);
        for arrival in &arrivals {
            let position = Position(expected.len() as u64 + 1);
            expected.push(RawBody { position, raw: arrival.sent.raw.clone() });
        }
        take_in(log, 1, arrivals)?;
    }
    for limit in [1, 7, 1000] {
        same(format!("all of it, by {limit}"), all_raws(log, limit)? == expected, true)?;
    }
    for (after, length) in [(2, 3), (3, 1), (150, 10), (306, 5)] {
        let page = log.raws(Position(after), length)?;
        ensure(!page.is_empty() && expected[after as usize..].starts_with(&page), "a page begins after the position")?;
    }
    for body in &expected {
        same("one of them", log.raw(body.position)?.as_ref() == Some(&body.raw), true)?;
    }
    // What was in quarantine is kept there, and an event that is sent again is not kept again.
    let last = Position(expected.len() as u64);
    let bad = Sample::new("bad").about("bad");
    take_in(log, 2, vec![bad.refused(None), arrivals(0, &[1]).remove(0)])?;
    let entry = log.entry(QuarantineId(1))?.ok_or_else(|| Failure::new("the entry is not there"))?;
    redrive(log, 3, entry.id, pardon(&entry))?;
    same("an event from quarantine", log.raw(last.next())?, None)?;
    let entries = log.entries_of(bad.id())?;
    same(
        "its entry",
        entries.iter().map(|entry| (entry.id, entry.position)).collect(),
        vec![(entry.id, Some(last.next()))],
    )?;
    same("its bytes", &entries[0].raw, &bad.refused(None).sent.raw)?;
    same("entries of no identity", log.entries_of(Sample::new("nobody").id())?, Vec::new())?;
    take_in(log, 4, vec![Sample::new("late").about("late").admitted()])?;
    same("what is kept in the end", all_raws(log, 9)?.last().map(|body| body.position), Some(Position(last.0 + 2)))
}

/// # Errors
/// What the store did instead.
pub fn what_was_sent_long_ago_is_forgotten_piece_by_piece(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    same("forgetting nothing", log.forget_raws(at(100), 10)?, 0)?;
    for n in 0..20 {
        take_in(log, n, arrivals(n as usize, &[10; 5]))?;
    }
    same("forgetting what is not old", log.forget_raws(at(0), 10)?, 0)?;
    let (mut forgotten, mut pieces) = (0, 0);
    loop {
        let piece = log.forget_raws(at(12), 10)?;
        ensure(piece <= 100, "a piece is not much more than was asked for")?;
        let left = all_raws(log, 1000)?;
        same("what is left", left.len(), 100 - forgotten - piece)?;
        same("the newest is left", left.last().map(|body| body.position), Some(Position(100)))?;
        if piece == 0 {
            break;
        }
        forgotten += piece;
        pieces += 1;
    }
    same("all that was recorded before", forgotten, 60)?;
    ensure(pieces >= 2, "it was forgotten piece by piece")?;
    same("one that is forgotten", log.raw(Position(60))?, None)?;
    ensure(log.raw(Position(61))?.is_some(), "one that is not is there")?;
    same("the events themselves", log.pick(&[Position(1)])?.len(), 1)?;
    take_in(log, 30, arrivals(99, &[10]))?;
    same("what was sent later", all_raws(log, 1000)?.len(), 41)?;
    while log.forget_raws(at(1000), 7)? > 0 {}
    same("everything is forgotten", all_raws(log, 10)?, Vec::new())
}

/// # Errors
/// What the store did instead.
pub fn raw_bodies_of_no_event_are_refused(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    take_in(log, 1, arrivals(0, &[3]))?;
    let sample = Sample::new("next").about("next");
    for wrong in [0, 1, 3] {
        let by = |facts: Facts| Writes {
            events: vec![sample.event(facts.head.0 + 1, 1, 1)],
            raws: vec![RawBody { position: Position(wrong), raw: Vec::new() }],
            ..Writes::default()
        };
        let refused = log.transact(&Ask::default(), Box::new(by));
        ensure(matches!(refused, Err(StoreError::Refused(_))), format_args!("{wrong} is refused: {refused:?}"))?;
    }
    same("the head", facts(log, &Ask::default())?.head, Position(1))?;
    same("what is kept", all_raws(log, 10)?.len(), 1)
}
