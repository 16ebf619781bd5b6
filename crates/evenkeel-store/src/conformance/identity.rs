//! Cases: an identity is in the log once, and what a decision is made from is exactly what is there.
use super::{
    Failure, Outcome, Stores, ensure,
    fixture::{Sample, at, facts, read_all, redrive, take_in},
    join_all, same,
};
use evenkeel_core::{
    Position,
    ids::StreamVersion,
    intake::{self, Arrival, Ask, Outcome as Taken, Place, Standing, Writes},
    quarantine::{EntryVersion, ParkKey, QuarantineId, Reason, State},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    thread,
};

fn admitted(position: u64, version: u64) -> Taken {
    Taken::Admitted { position: Position(position), stream_version: StreamVersion(version) }
}

fn duplicate(position: u64, version: u64) -> Taken {
    Taken::Duplicate { position: Position(position), stream_version: StreamVersion(version) }
}

/// The same event again is answered with its first place, within a batch and across batches.
///
/// # Errors
/// What the store did instead.
pub fn an_identity_is_admitted_once(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let (a, b) = (Sample::new("a"), Sample::new("b"));
    let both = || vec![a.admitted(), b.admitted(), a.admitted()];
    same("a batch", take_in(log, 1, both())?, vec![admitted(1, 1), admitted(2, 2), duplicate(1, 1)])?;
    same("the batch again", take_in(log, 2, both())?, vec![duplicate(1, 1), duplicate(2, 2), duplicate(1, 1)])?;
    let elsewhere = Sample::new("a").from("shop:other");
    same("the id from another source", take_in(log, 3, vec![elsewhere.admitted()])?, vec![admitted(3, 3)])?;
    same(
        "the log",
        read_all(log, Position::ZERO, None, 10)?,
        vec![a.event(1, 1, 1), b.event(2, 2, 1), elsewhere.event(3, 3, 3)],
    )
}

/// Of many who send the same events at once each event is admitted for one, and the others get its place.
///
/// # Errors
/// What the store did instead.
pub fn an_identity_is_admitted_once_among_concurrent_writers(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let send = |writer: usize| -> Result<Vec<(String, Taken)>, Failure> {
        let mut outcomes = Vec::new();
        for n in 0..12 {
            let raw_ids = [format!("{}", (n + writer) % 12), format!("{n}")];
            let arrivals = raw_ids.iter().map(|id| Sample::new(id).admitted()).collect();
            outcomes.extend(raw_ids.into_iter().zip(take_in(log, 1, arrivals)?));
        }
        Ok(outcomes)
    };
    let outcomes = thread::scope(|scope| {
        let send = &send;
        join_all((0..6).map(|writer| scope.spawn(move || send(writer))).collect::<Vec<_>>())
    })?;
    let mut admissions: BTreeMap<String, u32> = BTreeMap::new();
    let mut places: HashMap<String, BTreeSet<u64>> = HashMap::new();
    for (raw_id, outcome) in outcomes.into_iter().flatten() {
        let position = match outcome {
            Taken::Admitted { position, .. } => {
                *admissions.entry(raw_id.clone()).or_default() += 1;
                position
            }
            Taken::Duplicate { position, .. } => position,
            other => return Err(Failure::new(format!("an event came out as {other:?}"))),
        };
        places.entry(raw_id).or_default().insert(position.0);
    }
    same("events admitted", admissions.len(), 12)?;
    ensure(admissions.values().all(|times| *times == 1), "each event is admitted for one of its senders")?;
    ensure(places.values().all(|places| places.len() == 1), "all senders of an event get one position")?;
    same("the safe head", log.safe_head()?.position, Position(12))
}

/// An id with other content than before waits as an id conflict, and is known in the log and in quarantine.
///
/// # Errors
/// What the store did instead.
pub fn other_content_is_an_id_conflict(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let (first, other) = (Sample::new("a").with(1), Sample::new("a").with(2));
    take_in(log, 1, vec![first.admitted()])?;
    let waits = |repeated| Taken::Quarantined { id: QuarantineId(1), reason: Reason::IdConflict, repeated };
    same("other content", take_in(log, 2, vec![other.admitted()])?, vec![waits(false)])?;
    same("both again", take_in(log, 3, vec![other.admitted(), first.admitted()])?, vec![waits(true), duplicate(1, 1)])?;
    let known = known(&stores.log, &[&first])?;
    let in_log = (first.digest(), Place::Log { position: Position(1), stream_version: StreamVersion(1) });
    let in_quarantine = (other.digest(), Place::Quarantine { id: QuarantineId(1), reason: Reason::IdConflict });
    same("what is known of the id", known, vec![vec![in_log, in_quarantine]])?;
    same("the log", read_all(log, Position::ZERO, None, 10)?, vec![first.event(1, 1, 1)])
}

/// What is known of these events' identities, the log first and then the entries in order.
fn known(
    log: &std::sync::Arc<dyn crate::Log>,
    samples: &[&Sample],
) -> Result<Vec<Vec<(evenkeel_core::Digest, Place)>>, Failure> {
    let ask = Ask { ids: samples.iter().map(|sample| sample.id()).collect(), ..Ask::default() };
    let mut known = facts(&**log, &ask)?.known;
    ensure(known.keys().all(|id| ask.ids.contains(id)), "facts are of the identities asked for")?;
    let mut places: Vec<_> = ask.ids.iter().map(|id| known.remove(id).unwrap_or_default()).collect();
    for places in &mut places {
        places.sort_by_key(|(_, place)| match place {
            Place::Log { .. } => 0,
            Place::Quarantine { id, .. } => id.0,
            Place::Waiting => u64::MAX,
        });
    }
    Ok(places)
}

/// Of many who expect the same version of a stream one appends, and the others learn the version there is.
///
/// # Errors
/// What the store did instead.
pub fn an_expected_version_holds_for_one_writer(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    for version in 0..4u64 {
        let expecting = |writer: usize| Arrival {
            expected_version: Some(StreamVersion(version)),
            ..Sample::new(&format!("{version}-{writer}")).admitted()
        };
        let outcomes = thread::scope(|scope| {
            let send = move |writer| Ok(take_in(log, 1, vec![expecting(writer)])?);
            join_all((0..5).map(|writer| scope.spawn(move || send(writer))).collect::<Vec<_>>())
        })?;
        let refused = Taken::VersionConflict {
            expected: StreamVersion(version),
            actual: StreamVersion(version + 1),
            parked: false,
        };
        let outcomes = outcomes.concat();
        let count = |outcome: &Taken| outcomes.iter().filter(|o| *o == outcome).count();
        same("writers who appended", count(&admitted(version + 1, version + 1)), 1)?;
        same("writers who were refused", count(&refused), 4)?;
    }
    same("the safe head", log.safe_head()?.position, Position(4))
}

/// Every fact asked for is there and right, and nothing that was not asked for.
///
/// # Errors
/// What the store did instead.
pub fn facts_are_exact(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let (in_log, bad, held) = (Sample::new("in-log"), Sample::new("bad").about("t"), Sample::new("held").about("t"));
    let (other, alone) = (Sample::new("in-log").with(7), Sample::new("alone").about("u"));
    let halt = ParkKey::Source("mill".into());
    let halting = Sample::new("halting").from("mill");
    take_in(log, 1, vec![in_log.admitted(), bad.refused(Some(bad.key())), held.admitted(), other.admitted()])?;
    let later = Sample::new("later").about("t");
    take_in(log, 2, vec![alone.refused(None), halting.refused(Some(halt.clone())), later.admitted()])?;
    redrive(log, 3, QuarantineId(1), bad.admitted())?;

    let unknown = Sample::new("unknown").about("nowhere");
    let log_place = |p, v| Place::Log { position: Position(p), stream_version: StreamVersion(v) };
    let waits = |id, reason| Place::Quarantine { id: QuarantineId(id), reason };
    let expected = vec![
        vec![(in_log.digest(), log_place(1, 1)), (other.digest(), waits(3, Reason::IdConflict))],
        vec![(bad.digest(), log_place(2, 1)), (bad.digest(), waits(1, Reason::Schema))],
        vec![(held.digest(), waits(2, Reason::HeldBehind))],
        vec![(alone.digest(), waits(4, Reason::Schema))],
        vec![],
    ];
    same("identities", known(&stores.log, &[&in_log, &bad, &held, &alone, &unknown])?, expected)?;

    let ask = Ask {
        keys: vec![bad.key(), alone.key(), in_log.key(), halt.clone(), ParkKey::Source("shop".into())],
        subjects: vec!["s".into(), "t".into(), "u".into(), "nowhere".into()],
        entries: [1, 2, 4, 99].map(QuarantineId).to_vec(),
        line: Some((bad.key(), 10)),
        ..Ask::default()
    };
    let found = facts(log, &ask)?;
    same("the head and the next entry's number", (found.head, found.next_entry), (Position(2), 7))?;
    same("parked keys", found.parked, HashMap::from([(bad.key(), QuarantineId(2)), (halt, QuarantineId(5))]))?;
    let versions: BTreeMap<_, _> = found.versions.into_iter().filter(|(_, version)| version.0 > 0).collect();
    same("versions", versions, BTreeMap::from([("s".into(), StreamVersion(1)), ("t".into(), StreamVersion(1))]))?;
    let stands = |id, state, version| (QuarantineId(id), Standing { state, version: EntryVersion(version) });
    let states = [stands(1, State::Admitted, 2), stands(2, State::Held, 1), stands(4, State::Quarantined, 1)];
    same("states", found.states, states.into())?;
    same("the line", found.line, vec![stands(2, State::Held, 1), stands(6, State::Held, 1)])?;

    let nothing = facts(log, &Ask::default())?;
    let empty = nothing.known.is_empty()
        && nothing.parked.is_empty()
        && nothing.versions.is_empty()
        && nothing.states.is_empty()
        && nothing.line.is_empty();
    ensure(empty, "what was not asked for is not told")
}

/// Nobody writes between the facts and the writes: counting by what the facts say loses no count.
///
/// # Errors
/// What the store did instead.
pub fn facts_and_writes_are_one_transaction(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let count = |writer: usize| -> Result<(), Failure> {
        for round in 0..10 {
            let sample = Sample::new(&format!("{writer}-{round}")).about("counted");
            let ask = Ask { subjects: vec!["counted".into()], ..Ask::default() };
            let decide = |facts: intake::Facts| {
                let version = facts.versions.get("counted").copied().unwrap_or_default();
                thread::yield_now();
                Writes { events: vec![sample.event(facts.head.0 + 1, version.0 + 1, 1)], ..Writes::default() }
            };
            log.transact(&ask, Box::new(decide))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let count = &count;
        join_all((0..4).map(|writer| scope.spawn(move || count(writer))).collect::<Vec<_>>())
    })?;
    let versions: Vec<_> = read_all(log, Position::ZERO, None, 100)?.iter().map(|e| e.stream_version.0).collect();
    same("versions of the stream", versions, (1..=40).collect())?;
    let outcomes = take_in(log, 1, vec![Sample::new("last").about("counted").admitted()])?;
    same("the next one", outcomes, vec![admitted(41, 41)])?;
    same("when it was recorded", log.find(Sample::new("last").id())?.map(|e| e.recorded_at), Some(at(1)))
}
