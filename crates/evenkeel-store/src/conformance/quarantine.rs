//! Cases: what waits is kept whole, found by every filter, and released in order.
use super::{
    Failure, Outcome, Stores, ensure,
    fixture::{Sample, at, decision, discard, drain, edit, facts, pardon, read_all, redrive, resume, take_in, types},
    same,
};
use crate::{EntryFilter, Log, QuarantineCount};
use evenkeel_core::{
    Position,
    accounting::{Account, Books},
    clock::Hlc,
    intake::{Arrival, Ask, Redriven, Sent, Standing, Verdict},
    quarantine::{ContractRef, Entry, EntryVersion, ParkKey, QuarantineId, Reason, Refusal, State},
};
use std::collections::BTreeMap;

fn ids(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.id.0).collect()
}

fn standing(entry: &Entry) -> (QuarantineId, Standing) {
    (entry.id, Standing { state: entry.state, version: entry.version })
}

fn got(log: &dyn Log, id: u64) -> Result<Entry, Failure> {
    log.entry(QuarantineId(id))?.ok_or_else(|| Failure::new(format!("the entry q-{id} is not there")))
}

/// An entry is read as it was written, whatever is in it, and a change changes what it says and nothing else.
///
/// # Errors
/// What the store did instead.
pub fn entries_come_back_as_they_were(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let full = Refusal {
        reason: Reason::Invariant,
        detail: "über 'zero' \"\n".into(),
        pointer: Some("/data/a~1b/0".into()),
        contract: Some(ContractRef { name: "order".into(), version: u32::MAX }),
        subject: Some("s/1 é".into()),
        parks: Some(ParkKey::Subject("order".into(), "s/1 é".into())),
    };
    let bare = Refusal {
        reason: Reason::NoContract,
        detail: String::new(),
        pointer: None,
        contract: None,
        subject: None,
        parks: None,
    };
    let halting = Refusal { parks: Some(ParkKey::Source("mill".into())), pointer: Some(String::new()), ..bare.clone() };
    let mut expected = Vec::new();
    for (n, refusal) in [full, bare.clone(), halting].into_iter().enumerate() {
        let id = n as u64 + 1;
        let arrival = Sample::new(&format!("raw {n} '\u{1F980}")).judged(Verdict::Quarantine(refusal.clone()));
        let raw: Vec<u8> = (0..=255).cycle().take(700 * n).collect();
        let sent = Sent { raw, ..arrival.sent.clone() };
        take_in(log, -5 + n as i64, vec![Arrival { sent: sent.clone(), ..arrival }])?;
        let Sent { id: event_id, digest, source, raw_id, raw } = sent;
        let received_at = at(-5 + n as i64);
        expected.push(Entry {
            id: QuarantineId(id),
            event_id,
            digest,
            source,
            raw_id,
            raw,
            refusal,
            state: State::Quarantined,
            version: EntryVersion::FIRST,
            edits: Vec::new(),
            received_at,
            changed_at: received_at,
            position: None,
            decision: None,
            hlc: Hlc::from_u64(id),
            recall: None,
            saw: None,
        });
        same("the entry", log.entry(QuarantineId(id))?, expected.last().cloned())?;
    }
    same("all entries", log.entries(&EntryFilter::default())?, expected.clone())?;
    same("an entry that is not there", log.entry(QuarantineId(4))?, None)?;

    let Some(first) = expected.first_mut() else { return Ok(()) };
    let again = Arrival { verdict: Verdict::Quarantine(bare.clone()), ..pardon(first) };
    same("a redrive refused", redrive(log, 20, first.id, again)?, Redriven::Refused(Reason::NoContract))?;
    first.refusal = bare;
    first.version = EntryVersion(2);
    first.changed_at = at(20);
    first.decision = Some(decision("redrive"));
    same("the entry refused again", got(log, 1)?, first.clone())?;
    same("a redrive admitted", redrive(log, 21, first.id, pardon(first))?, Redriven::Admitted(Position(1)))?;
    first.state = State::Admitted;
    first.version = EntryVersion(3);
    first.changed_at = at(21);
    first.position = Some(Position(1));
    same("the entry admitted", got(log, 1)?, first.clone())?;
    same("all entries at the end", log.entries(&EntryFilter::default())?, expected)
}

/// Each filter alone and all together, in order of arrival, in pages of any size.
///
/// # Errors
/// What the store did instead.
pub fn entries_are_filtered_and_paged(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let sources = ["shop", "mill", "bank"];
    for n in 0..18usize {
        let sample = Sample::new(&n.to_string()).from(sources[n % 3]).about(&format!("s{n}"));
        let reason = if n % 4 < 2 { Reason::Schema } else { Reason::Mapping };
        take_in(log, n as i64, vec![sample.judged(Verdict::Quarantine(sample.refusal(reason, Some(sample.key()))))])?;
        if n.is_multiple_of(5) {
            take_in(log, n as i64, vec![Sample::new(&format!("{n} held")).about(&format!("s{n}")).admitted()])?;
        }
    }
    discard(log, 50, QuarantineId(3))?;
    redrive(log, 51, QuarantineId(4), pardon(&got(log, 4)?))?;
    let all = log.entries(&EntryFilter::default())?;
    same("entries in order of arrival", ids(&all), (1..=22).collect())?;
    let states = State::ALL.iter().copied().map(Some).chain([None]);
    for state in states {
        for reason in [None, Some(Reason::Schema), Some(Reason::HeldBehind), Some(Reason::Malformed)] {
            for source in [None, Some("shop".into()), Some("nobody".into())] {
                let fits = |e: &&Entry| {
                    state.is_none_or(|state| e.state == state)
                        && reason.is_none_or(|reason| e.refusal.reason == reason)
                        && source.as_ref().is_none_or(|source| e.source == *source)
                };
                let expected: Vec<_> = all.iter().filter(fits).cloned().collect();
                let filter = EntryFilter { reason, source: source.clone(), state, ..EntryFilter::default() };
                same(format!("entries by {filter:?}"), log.entries(&filter)?, expected.clone())?;
                for limit in [1, 2, 7, 100] {
                    same(format!("{filter:?} in pages of {limit}"), paged(log, &filter, limit)?, expected.clone())?;
                }
            }
        }
    }
    Ok(())
}

/// By the contract, its version, and the time of receipt, each alone and all together.
///
/// # Errors
/// What the store did instead.
pub fn entries_are_filtered_by_contract_and_time(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    for n in 0..24u32 {
        let sample = Sample::new(&n.to_string()).of(["order", "stock"][n as usize % 2]).about(&format!("s{n}"));
        let contract = (n % 5 > 0).then(|| ContractRef { name: sample.draft().event_type, version: n % 3 });
        let refusal = Refusal { contract, ..sample.refusal(Reason::Schema, None) };
        take_in(log, i64::from(n / 2) - 4, vec![sample.judged(Verdict::Quarantine(refusal))])?;
    }
    let all = log.entries(&EntryFilter::default())?;
    for event_type in [None, Some("order"), Some("nothing")] {
        for contract_version in [None, Some(0), Some(2), Some(u32::MAX)] {
            for since in [None, Some(at(-4)), Some(at(0)), Some(at(99))] {
                for until in [None, Some(at(-4)), Some(at(3))] {
                    let fits = |e: &&Entry| {
                        let contract = e.refusal.contract.as_ref();
                        event_type.is_none_or(|name| contract.is_some_and(|c| c.name.as_str() == name))
                            && contract_version.is_none_or(|version| contract.is_some_and(|c| c.version == version))
                            && since.is_none_or(|since| e.received_at >= since)
                            && until.is_none_or(|until| e.received_at < until)
                    };
                    let expected: Vec<_> = all.iter().filter(fits).cloned().collect();
                    let event_type = event_type.map(Into::into);
                    let filter = EntryFilter { event_type, contract_version, since, until, ..EntryFilter::default() };
                    same(format!("entries by {filter:?}"), log.entries(&filter)?, expected.clone())?;
                    same(format!("{filter:?} in pages"), paged(log, &filter, 3)?, expected)?;
                }
            }
        }
    }
    Ok(())
}

fn paged(log: &dyn Log, filter: &EntryFilter, limit: usize) -> Result<Vec<Entry>, Failure> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let after = all.last().map(|entry| entry.id);
        let page = log.entries(&EntryFilter { after, limit, ..filter.clone() })?;
        ensure(page.len() <= limit, "a page is no longer than asked for")?;
        ensure(page.iter().all(|entry| Some(entry.id) > after), "a page begins after the entry it is given")?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Two keys with their lines: one in quarantine and two held behind it, and one alone.
fn park(log: &dyn Log) -> Result<(ParkKey, ParkKey), Failure> {
    let (a, b) = (Sample::new("a"), Sample::new("b").about("t"));
    take_in(log, 1, vec![a.refused(Some(a.key())), b.refused(Some(b.key()))])?;
    take_in(log, 2, vec![Sample::new("a2").admitted(), Sample::new("a3").admitted()])?;
    Ok((a.key(), b.key()))
}

/// The line of a key is its unresolved entries in order of arrival, and no others.
///
/// # Errors
/// What the store did instead.
pub fn a_line_holds_what_waits_for_its_key(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let (a, b) = park(log)?;
    for (key, limit, expected) in [(&a, 10, vec![1, 3, 4]), (&a, 2, vec![1, 3]), (&b, 10, vec![2])] {
        let line = log.line(key, limit)?;
        same(format!("the line of {key:?}"), ids(&line), expected)?;
        let found = facts(log, &Ask { line: Some((key.clone(), limit)), ..Ask::default() })?.line;
        same("the same from the facts", found, line.iter().map(standing).collect())?;
        for entry in line {
            same("an entry of the line", log.entry(entry.id)?, Some(entry))?;
        }
    }
    let other = ParkKey::Subject("stock".into(), "s".into());
    same("the line of another key", log.line(&other, 10)?, Vec::new())?;
    discard(log, 3, QuarantineId(1))?;
    same("the line without its head", ids(&log.line(&a, 10)?), vec![3, 4])?;
    same("interrupted", log.interrupted()?, vec![a.clone()])?;
    take_in(log, 4, vec![Sample::new("a5").admitted()])?;
    same("what comes later waits behind the rest", ids(&log.line(&a, 10)?), vec![3, 4, 5])
}

/// A key whose head is resolved while others wait is interrupted until they are released, round by round, in order.
///
/// # Errors
/// What the store did instead.
pub fn an_interrupted_release_is_found_and_goes_on(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let (a, b) = park(log)?;
    same("interrupted while a person is awaited", log.interrupted()?, Vec::new())?;
    same(
        "the head's redrive",
        redrive(log, 3, QuarantineId(1), pardon(&got(log, 1)?))?,
        Redriven::Admitted(Position(1)),
    )?;
    same("interrupted after it", log.interrupted()?, vec![a.clone()])?;
    drain(log, 4, &a, 1, &pardon)?;
    same("the line after one round", ids(&log.line(&a, 10)?), vec![4])?;
    same("interrupted after one round", log.interrupted()?, vec![a.clone()])?;
    drain(log, 5, &a, 10, &pardon)?;
    same("interrupted at the end", log.interrupted()?, Vec::new())?;
    same("the other key's line", ids(&log.line(&b, 10)?), vec![2])?;
    let raw_ids: Vec<_> = read_all(log, Position::ZERO, None, 10)?.into_iter().map(|event| event.raw_id).collect();
    same("the log", raw_ids, ["a", "a2", "a3"].map(String::from).to_vec())?;
    let states: Vec<_> = log.entries(&EntryFilter::default())?.iter().map(|e| (e.state, e.position)).collect();
    let admitted = |position| (State::Admitted, Some(Position(position)));
    same("the entries", states, vec![admitted(1), (State::Quarantined, None), admitted(2), admitted(3)])?;

    take_in(log, 6, vec![Sample::new("b2").about("t").admitted(), Sample::new("b3").about("t").admitted()])?;
    discard(log, 7, QuarantineId(2))?;
    let bad_again = |entry: &Entry| Sample::new(&entry.raw_id).about("t").refused(Some(b.clone()));
    drain(log, 8, &b, 10, &bad_again)?;
    same("interrupted where the next one is bad", log.interrupted()?, Vec::new())?;
    let line: Vec<_> = log.line(&b, 10)?.iter().map(|e| e.state).collect();
    same("its line", line, vec![State::Quarantined, State::Held])
}

/// An entry that was decided about is not decided about again.
///
/// # Errors
/// What the store did instead.
pub fn a_decision_takes_effect_once(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    park(log)?;
    let (one, two) = (got(log, 1)?, got(log, 2)?);
    same("a discard", discard(log, 3, one.id)?, Redriven::Discarded)?;
    let discarded = got(log, 1)?;
    same("a discard again", discard(log, 4, one.id)?, Redriven::NotPossible(State::Discarded))?;
    same("a redrive of it", redrive(log, 5, one.id, pardon(&one))?, Redriven::NotPossible(State::Discarded))?;
    same("the entry", got(log, 1)?, discarded)?;
    let outcomes = std::thread::scope(|scope| {
        let again = || Ok(redrive(log, 6, two.id, pardon(&two))?);
        super::join_all([scope.spawn(again), scope.spawn(again), scope.spawn(again)])
    })?;
    let count = |outcome| outcomes.iter().filter(|o| **o == outcome).count();
    same("redrives at once that admitted", count(Redriven::Admitted(Position(1))), 1)?;
    same("redrives at once that came late", count(Redriven::NotPossible(State::Admitted)), 2)?;
    same("an entry that is not there", discard(log, 7, QuarantineId(77))?, Redriven::Unknown)?;
    same("a held entry", discard(log, 8, QuarantineId(3))?, Redriven::NotPossible(State::Held))
}

/// A source that was halted and resumed is parked no longer, while the entry that halted it stays.
///
/// # Errors
/// What the store did instead.
pub fn a_halted_source_goes_on(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let halt = ParkKey::Source("shop".into());
    take_in(log, 1, vec![Sample::new("bad").refused(Some(halt.clone()))])?;
    take_in(log, 2, vec![Sample::new("1").admitted(), Sample::new("2").of("stock").about("t").admitted()])?;
    same("the source's line", ids(&log.line(&halt, 10)?), vec![1, 2, 3])?;
    let entry = got(log, 1)?;
    same("resumed", resume(log, 3, &entry)?, Redriven::Refused(Reason::Schema))?;
    same("the source's line", ids(&log.line(&halt, 10)?), vec![2, 3])?;
    same("interrupted", log.interrupted()?, vec![halt.clone()])?;
    drain(log, 4, &halt, 10, &pardon)?;
    same("the line at the end", log.line(&halt, 10)?, Vec::new())?;
    same("the safe head", log.safe_head()?.position, Position(2))?;
    let kept = got(log, 1)?;
    same("the entry that halted it", (kept.state, kept.refusal.parks), (State::Quarantined, None))?;
    let parked = facts(log, &Ask { keys: vec![halt], ..Ask::default() })?.parked;
    ensure(parked.is_empty(), "a resumed source is not parked")
}

/// Unresolved entries are counted by contract, and by subject under contracts.
///
/// # Errors
/// What the store did instead.
pub fn unresolved_entries_are_counted(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    same("the counts of nothing", counts(log)?, BTreeMap::new())?;
    park(log)?;
    let stock = Sample::new("c").of("stock");
    let none = Refusal { contract: None, subject: None, ..stock.refusal(Reason::NoContract, None) };
    take_in(log, 3, vec![stock.refused(None), Sample::new("d").judged(Verdict::Quarantine(none))])?;
    let expected = [(None, 1), (Some("order"), 4), (Some("stock"), 1)];
    same("the counts", counts(log)?, expected.map(|(name, n)| (name.map(str::to_owned), n)).into())?;
    let of = |subject, contracts: &[&str]| log.quarantined_of(subject, &types(contracts));
    same("of s under order", of("s", &["order"])?, 3)?;
    same("of s under both", of("s", &["order", "stock"])?, 4)?;
    same("of t under stock", of("t", &["stock"])?, 0)?;
    same("of s under none", of("s", &[])?, 0)?;
    same("of what is not there", of("nowhere", &["order"])?, 0)?;
    discard(log, 4, QuarantineId(1))?;
    redrive(log, 5, QuarantineId(2), pardon(&got(log, 2)?))?;
    let expected = [(None, 1), (Some("order"), 2), (Some("stock"), 1)];
    same("the counts", counts(log)?, expected.map(|(name, n)| (name.map(str::to_owned), n)).into())?;
    same("of s without the discarded", of("s", &["order"])?, 2)?;
    same("of t without the admitted", of("t", &["order"])?, 0)
}

/// The counts by contract, without those that are zero, which a store may or may not list.
fn counts(log: &dyn Log) -> Result<BTreeMap<Option<String>, u64>, Failure> {
    let counts = log.quarantine_counts()?.into_iter().filter(|count| count.unresolved > 0);
    let by_name =
        |QuarantineCount { contract, unresolved }| (contract.map(|name| name.as_str().to_owned()), unresolved);
    Ok(counts.map(by_name).collect())
}

/// The books say of every source what became of its events, and change only where something is decided.
///
/// # Errors
/// What the store did instead.
pub fn books_add_up(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    same("the books on nobody", log.accounting(true)?, BTreeMap::new())?;
    let (a, b) = (Sample::new("a"), Sample::new("b").from("mill: é").about("t"));
    let held = Sample::new("a2");
    take_in(log, 1, vec![a.refused(Some(a.key())), held.admitted(), b.admitted(), b.admitted(), a.refused(None)])?;
    let account = |source: &str| -> Result<Account, Failure> {
        let books = log.accounting(true)?;
        ensure(books.values().all(Books::are_right), format!("the books are right: {books:?}"))?;
        let kept = log.accounting(false)?;
        same("the books without counting", kept.keys().collect::<Vec<_>>(), books.keys().collect())?;
        ensure(kept.values().all(|books| books.counted.is_none()), "nothing is counted unasked")?;
        Ok(kept.get(source).map(|books| books.account).unwrap_or_default())
    };
    let shop = Account { received: 3, duplicate: 1, quarantined: 2, held: 1, ..Account::NOTHING };
    same("the books on the shop", account("shop")?, shop)?;
    let mill = Account { received: 2, admitted: 1, duplicate: 1, ..Account::NOTHING };
    same("the books on the mill", account("mill: é")?, mill)?;
    edit(log, 2, QuarantineId(1), EntryVersion::FIRST, super::edits::patch(1))?;
    same("the books after an edit", account("shop")?, shop)?;
    discard(log, 3, QuarantineId(1))?;
    let shop = Account { quarantined: 1, discarded: 1, ..shop };
    same("the books after a discard", account("shop")?, shop)?;
    drain(log, 4, &a.key(), 10, &pardon)?;
    let shop = Account { quarantined: 0, held: 0, admitted: 1, ..shop };
    same("the books after a release", account("shop")?, shop)?;
    same("the other books", account("mill: é")?, mill)
}
