//! Stamps, and events that wait for others: what a log keeps of them, in one transaction with all else.
//!
//! What is to be decided is [`evenkeel_core::intake`]'s; random orders are compared with the reference in
//! [`super::random`].
use super::{
    Failure, Outcome, Stores, ensure,
    fixture::{Sample, at, decide_in, drain, expire, facts, pardon, read_all, redrive, skip, take_in, types},
    same,
};
use crate::{EntryFilter, Log};
use evenkeel_core::{
    Position,
    accounting::Books,
    clock::Hlc,
    event::{Delivery, Saw},
    intake::{self, Arrival, Ask, Causes, Clocks, Outcome as Taken, Passed, Seen, SourceDot, Waiting, Writes},
    quarantine::{Entry, Reason, State},
};
use std::collections::BTreeMap;

/// Event number `seq` of a source, which knew these of others.
fn counted(source: &str, seq: u64, knows: &[(&str, u64)]) -> Arrival {
    let knows = knows.iter().map(|(source, seq)| SourceDot::new(*source, *seq)).collect();
    let causes = Some(Box::new(Causes { seq, first: 1, knows }));
    let sample = Sample::new(&seq.to_string()).from(source).about(source).with(seq as i64);
    Arrival { clocks: Clocks { causes, ..Clocks::default() }, ..sample.admitted() }
}

/// The later verdict on an entry of such an event.
fn recounted(entry: &Entry, arrival: Arrival) -> Arrival {
    let pardoned = pardon(entry);
    Arrival { clocks: Clocks { causes: arrival.clocks.causes, ..pardoned.clocks }, ..pardoned }
}

/// It, sent with a token that speaks of what is up to there.
fn having_seen(arrival: Arrival, upto: u64) -> Arrival {
    let seen = Some(Seen::Upto(Position(upto)));
    Arrival { clocks: Clocks { seen, ..arrival.clocks }, ..arrival }
}

/// An event as it would wait for one that never comes.
pub(super) fn waits_for_ever(sample: &Sample) -> Waiting {
    let causes = Causes { seq: 7, first: 1, knows: vec![SourceDot::new("other é", 3)] };
    let (sent, draft) = (sample.admitted().sent, sample.draft());
    Waiting {
        sent,
        draft,
        causes,
        hlc: Hlc::new(1 << 46, 9),
        since: at(-3),
        on: SourceDot::new("other é", 3),
        saw: None,
    }
}

fn raw_ids(log: &dyn Log) -> Result<Vec<String>, Failure> {
    let events = read_all(log, Position::ZERO, None, 100)?;
    Ok(events.iter().map(|event| format!("{} {}", event.source, event.raw_id)).collect())
}

fn books_are_right(log: &dyn Log) -> Outcome {
    let books = log.accounting(true)?;
    ensure(books.values().all(Books::are_right), format!("the books are right: {books:?}"))
}

/// Each event's stamp is above those before it, wherever physical time goes, and what is set aside has one too.
///
/// # Errors
/// What the store did instead.
pub fn stamps_grow_and_are_never_given_twice(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    for (n, now) in [5_000_000, 1_000_000, 9_000_000].into_iter().enumerate() {
        let (good, bad) = (Sample::new(&format!("good {n}")), Sample::new(&format!("bad {n}")));
        take_in(log, now, vec![good.admitted(), bad.refused(None)])?;
    }
    let events = read_all(log, Position::ZERO, None, 2)?;
    let mut stamps: Vec<_> = events.iter().map(|event| event.causality.hlc).collect();
    stamps.extend(log.entries(&EntryFilter::default())?.iter().map(|entry| entry.hlc));
    stamps.sort_unstable();
    let expected = [(5_000, 0), (5_000, 1), (5_000, 2), (5_000, 3), (9_000, 0), (9_000, 1)];
    same("stamps", stamps, expected.map(|(millis, counter)| Hlc::new(millis, counter)).to_vec())?;
    let numbers: Vec<_> = events.iter().map(|event| (event.causality.seq, event.causality.delivery)).collect();
    same("numbers", numbers, (1..=3).map(|n| (n, Delivery::Log)).collect())?;
    let clock = facts(log, &Ask::default())?.clock;
    same("the clock", (clock.last, clock.seq), (Hlc::new(9_000, 1), 3))
}

/// Whatever is in it.
///
/// # Errors
/// What the store did instead.
pub fn what_waits_comes_back_as_it_was(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let odd = Sample::new("odd '\u{1F980}").from("a=b,c%").of("type é").about("s/1");
    let mut first = waits_for_ever(&odd.with("text"));
    first.draft.time = Some(at(-7));
    first.draft.extensions.insert("vclock", "a=1".into());
    first.sent.raw = (0..=255).collect();
    first.saw = Some(Saw { upto: Position(1 << 40), request: Hlc::new((1 << 47) + 5, u16::MAX) });
    let second = Waiting { since: at(-4), ..waits_for_ever(&Sample::new("other")) };
    let (waits, clock) = (vec![first.clone(), second.clone()], facts(log, &Ask::default())?.clock);
    let writes = Writes { waits, clock: Some(intake::LogClock { waiting_events: 2, ..clock }), ..Writes::default() };
    log.transact(&Ask::default(), Box::new(|_| writes))?;
    same("what waits, the oldest first", log.waiting(9)?, vec![second.clone(), first.clone()])?;
    same("the oldest", log.waiting(1)?, vec![second.clone()])?;
    let ask = Ask {
        ids: vec![first.sent.id],
        dots: vec![first.dot(), SourceDot::new("a=b,c%", 6)],
        woken: Some(("other é".into(), 2, 3)),
        expired: Some((at(-4), 9)),
        standing: Some(("shop".into(), 7, 7)),
        ..Ask::default()
    };
    let found = facts(log, &ask)?;
    same(
        "its identity",
        found.known.get(&first.sent.id).cloned(),
        Some(vec![(first.sent.digest, intake::Place::Waiting)]),
    )?;
    same("its mark", found.dots, [(first.dot(), first.sent.id)].into())?;
    same("how many wait for it", found.woken.len(), 2)?;
    same("what is that old", found.expired, vec![second.clone()])?;
    same("which numbers wait", found.standing, vec![7])?;
    // It waits for another one now, and then no more.
    let moved = Waiting { on: SourceDot::new("x", 1), ..first.clone() };
    let writes = Writes { waits: vec![moved.clone()], released: vec![second.dot()], ..Writes::default() };
    log.transact(&Ask::default(), Box::new(|_| writes))?;
    same("what waits still", log.waiting(9)?, vec![moved])
}

/// # Errors
/// What the store did instead.
pub fn what_waits_goes_on_in_the_transaction_of_what_it_waited_for(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let outcomes = take_in(log, 1, vec![counted("b", 1, &[("a", 2)]), counted("a", 2, &[])])?;
    let waits = |outcome: &Taken| match outcome {
        Taken::Waiting { waits_for, .. } => waits_for.iter().map(ToString::to_string).collect(),
        other => vec![format!("{other:?}")],
    };
    let found: Vec<_> = outcomes.iter().flat_map(waits).collect();
    same("what is waited for", found, vec!["2 of a".to_owned(), "1 of a".to_owned()])?;
    same("the head", log.safe_head()?.position, Position::ZERO)?;
    books_are_right(log)?;
    let account = log.accounting(false)?.values().map(|books| books.account.waiting).sum::<i64>();
    same("how many wait", account, 2)?;
    take_in(log, 2, vec![counted("a", 1, &[])])?;
    same("the log", raw_ids(log)?, ["a 1", "a 2", "b 1"].map(str::to_owned).to_vec())?;
    same("what waits", log.waiting(9)?, Vec::new())?;
    let events = read_all(log, Position::ZERO, None, 9)?;
    let stamps: Vec<_> = events.iter().map(|event| event.causality.hlc).collect();
    ensure(stamps.is_sorted_by(|a, b| a < b), format!("stamps are above those of what was known: {stamps:?}"))?;
    ensure(events.iter().all(|event| event.causality.delivery == Delivery::Causal), "their sources count them")?;
    let passed = |upto| Passed { upto, holes: Vec::new() };
    let expected = BTreeMap::from([("a".into(), passed(2)), ("b".into(), passed(1))]);
    same("how far the sources are", log.passed()?, expected)?;
    books_are_right(log)
}

/// # Errors
/// What the store did instead.
pub fn what_expires_is_recalled_once_what_it_waits_for_was_passed(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    take_in(log, 1, vec![counted("a", 3, &[])])?;
    take_in(log, 2, vec![counted("a", 2, &[])])?;
    same("what expires", (expire(log, 10, 0)?, expire(log, 10, 1)?), (0, 1))?;
    let entry = log.entries(&EntryFilter::default())?.pop().ok_or_else(|| Failure::new("there is no entry"))?;
    same("why", (entry.refusal.reason, entry.state), (Reason::CausalTimeout, State::Quarantined))?;
    same("when it came", (entry.received_at, entry.changed_at), (at(1), at(10)))?;
    same("what it waits for", entry.recall.clone(), Some(SourceDot::new("a", 2)))?;
    same("who is recalled", log.recallable(9)?, Vec::new())?;
    books_are_right(log)?;
    take_in(log, 11, vec![counted("a", 1, &[])])?;
    same("who is recalled", log.recallable(9)?, vec![entry.id])?;
    same("none of them", log.recallable(0)?, Vec::new())?;
    let again = recounted(&entry, counted("a", 3, &[]));
    same("its redrive", redrive(log, 12, entry.id, again)?, intake::Redriven::Admitted(Position(3)))?;
    same("who is recalled then", log.recallable(9)?, Vec::new())?;
    same("the log", raw_ids(log)?, ["a 1", "a 2", "a 3"].map(str::to_owned).to_vec())?;
    books_are_right(log)
}

/// # Errors
/// What the store did instead.
pub fn what_is_declared_not_to_come_is_passed(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    take_in(log, 1, vec![counted("a", 4, &[]), counted("b", 1, &[("a", 9)])])?;
    ensure(skip(log, 2, "a", (7, 9))?, "there is something to declare")?;
    same("holes ahead", log.passed()?, [("a".into(), Passed { upto: 0, holes: vec![(7, 9)] })].into())?;
    ensure(skip(log, 3, "a", (1, 6))?, "there is more to declare")?;
    ensure(!skip(log, 4, "a", (2, 8))?, "nothing is left to declare")?;
    same("the log", raw_ids(log)?, ["a 4", "b 1"].map(str::to_owned).to_vec())?;
    let spans: Vec<_> = log.skips()?.iter().map(|skip| (skip.first, skip.last, skip.at)).collect();
    same("what was declared", spans, vec![(7, 9, at(2)), (1, 6, at(3))])?;
    take_in(log, 5, vec![counted("a", 8, &[])])?;
    let late = log.find(counted("a", 8, &[]).sent.id)?.map(|event| event.causality.delivery);
    same("what comes all the same", late, Some(Delivery::Exception))?;
    books_are_right(log)
}

/// What a decision asks on its way is answered as of before it, and of nobody else's transaction.
///
/// # Errors
/// What the store did instead.
pub fn a_decision_that_is_told_more_is_one_transaction(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    take_in(log, 1, vec![counted("a", 1, &[]), Sample::new("1").admitted()])?;
    let ask = Ask {
        subjects: vec!["a".into(), "s".into()],
        passed: vec!["a".into()],
        stamps: vec![SourceDot::new("a", 5)],
        ..Ask::default()
    };
    let (_, found) = decide_in(log, 2, &Ask::default(), |scene, _| {
        let found = scene.more.map(|more| (more(&ask), more(&ask)));
        (Writes::default(), found)
    })?;
    let (first, second) = found.ok_or_else(|| Failure::new("nothing more could be asked"))?;
    same("versions", first.versions.values().map(|version| version.0).sum::<u64>(), 2)?;
    same("the same again", (second.versions, second.passed), (first.versions, first.passed))?;
    let stamps: Vec<_> = first.stamps.into_values().collect();
    same("the stamp of the last event up to there", stamps, vec![Hlc::from_u64(1)])
}

/// Whatever becomes of an event that was sent with a token: admitted at once, refused and redriven, held behind another, waiting
/// and delivered, waiting too long and recalled.
///
/// # Errors
/// What the store did instead.
pub fn what_a_writer_had_seen_stays_with_its_event(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    take_in(log, 1, (0..3).map(|n| Sample::new(&format!("before {n}")).about("t").admitted()).collect())?;
    let (refused, held) = (Sample::new("refused"), Sample::new("held"));
    let parks = refused.refused(Some(refused.key()));
    let request = vec![Sample::new("at once").about("t").admitted(), parks, held.admitted(), counted("a", 2, &[])];
    take_in(log, 2, request.into_iter().map(|arrival| having_seen(arrival, 2)).collect())?;
    take_in(log, 3, vec![having_seen(counted("b", 2, &[]), 3)])?;
    let of_log = |name: &str| -> Result<Option<Saw>, Failure> {
        let events = read_all(log, Position::ZERO, None, 3)?;
        let found =
            events.iter().find(|event| event.raw_id == name || format!("{} {}", event.source, event.raw_id) == name);
        found.map(|event| event.causality.saw).ok_or_else(|| Failure::new(format!("{name:?} is not in the log")))
    };
    let first = of_log("at once")?.ok_or_else(|| Failure::new("what was seen is forgotten"))?;
    same("up to where it was seen", first.upto, Position(2))?;
    same("what was sent without a token", of_log("before 2")?, None)?;
    let waits: Vec<_> = log.waiting(9)?.iter().map(|event| event.saw).collect();
    let second = waits.get(1).copied().flatten().ok_or_else(|| Failure::new("what was seen is forgotten"))?;
    same("what waits", waits, vec![Some(first), Some(second)])?;
    same("up to where the other request had seen", second.upto, Position(3))?;
    ensure(first.request < second.request, "every request has a stamp of its own")?;
    same("what expires", expire(log, 10, 3)?, 2)?;
    let entries = log.entries(&EntryFilter::default())?;
    let kept: Vec<_> = entries.iter().map(|entry| entry.saw).collect();
    same("what is set aside", kept, vec![Some(first), Some(first), Some(first), Some(second)])?;
    // One of the source that comes in time, and all the others later.
    take_in(log, 11, vec![counted("a", 1, &[]), counted("b", 1, &[])])?;
    let counts = [counted("a", 2, &[]), counted("b", 2, &[])];
    for (entry, arrival) in entries[2..].iter().zip(counts) {
        redrive(log, 12, entry.id, recounted(entry, arrival))?;
    }
    redrive(log, 13, entries[0].id, pardon(&entries[0]))?;
    drain(log, 14, &refused.key(), 9, &pardon)?;
    for (name, expected) in [("refused", first), ("held", first), ("a 2", first), ("b 2", second)] {
        same(name, of_log(name)?, Some(expected))?;
    }
    let stamps = |event: &evenkeel_core::Event| (event.causality.hlc, event.causality.seq);
    let (refused, held) = (log.find(refused.id())?, log.find(held.id())?);
    let found = [&refused, &held].map(|event| event.as_ref().map(stamps).unwrap_or_default());
    same("stamps", found.map(|(hlc, _)| hlc), [entries[0].hlc, entries[1].hlc])?;
    ensure(found[0].1 < found[1].1, "they are counted as they were admitted")?;
    // What comes in time, too.
    take_in(log, 15, vec![having_seen(counted("c", 2, &[]), 4)])?;
    take_in(log, 16, vec![counted("c", 1, &[])])?;
    same("what waited and was delivered", of_log("c 2")?.map(|saw| saw.upto), Some(Position(4)))?;
    same("what knew it", of_log("c 1")?, None)?;
    let other = Sample::new("at once").about("t").admitted();
    take_in(log, 17, vec![having_seen(other, 9)])?;
    same("of a duplicate", of_log("at once")?, Some(first))?;
    books_are_right(log)
}

/// The log counts events under its name, and all that reads them says so.
///
/// # Errors
/// What the store did instead.
pub fn events_bear_the_name_of_the_log(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    take_in(log, 1, vec![Sample::new("1").admitted(), counted("a", 1, &[])])?;
    let name = facts(log, &Ask::default())?.replica;
    let types = types(&["order"]);
    let mut events = read_all(log, Position::ZERO, None, 9)?;
    events.extend(log.pick(&[Position(2)])?);
    events.extend(log.find(Sample::new("1").id())?);
    events.extend(log.stream("s", &types, Default::default(), Position(9), 9)?);
    same("their names", events.into_iter().map(|event| event.replica).collect(), vec![name; 5])
}
