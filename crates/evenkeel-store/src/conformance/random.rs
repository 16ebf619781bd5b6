//! Random operations give the same answers on a store as on the reference, [`crate::memory`].
//!
//! The caller gives the seed, which decides everything: a failure names it, and giving it again repeats it. Chance
//! comes from a xorshift generator, so that the suite needs no other crate. What backends may choose is left out of
//! the comparison: times of the safe head, epochs, first generations, and where a read that was not full ends.
use super::{
    Failure, Outcome, Stores, edits, ensure,
    fixture::{
        Sample, at, checkpoint, discard, drain, edit, exact, expire, facts, new_rows, pardon, read_all, redrive,
        replacing, resume, row, schema, skip, take_in, types, without_generations,
    },
    raws, same, steps, sums,
};
use crate::{EntryFilter, Log, Models, Removal, Step, StoreError, Table, memory::MemoryStore};
use evenkeel_core::{
    Digest, Epoch, Position, Timestamp,
    accounting::Books,
    content::Window,
    digest::{KeyHash, Sum},
    drift::{Content, Verdict},
    fold::ParkState,
    ids::StreamVersion,
    intake::{Arrival, Ask, Causes, Clocks, Passed, Seen, SourceDot, Untrusted, Verdict as Judged, Writes},
    json::Patch,
    quarantine::{Entry, EntryVersion, ParkKey, QuarantineId, Reason, State},
    row::{Cell, Key, KeyPart, Row},
    schema::{ColumnType, Schema},
};
use std::{fmt::Debug, sync::Arc};

/// Marsaglia's xorshift generator of 64 bits: small, fast, and the same everywhere. Not for secrets.
#[derive(Debug, Clone)]
pub struct XorShift(u64);

impl XorShift {
    /// The generator of this seed; any seed will do.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not start alike, and the state must not be zero.
        Self((seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xff51_afd7_ed55_8ccd) | 1)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`, which must not be zero.
    pub fn below(&mut self, end: usize) -> usize {
        ((self.draw() >> 11) % end as u64) as usize
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// [`log_agrees`] for one seed.
///
/// # Errors
/// The seed, and what the store did instead.
pub fn a_log_agrees_with_the_reference(stores: &Stores) -> Outcome {
    log_agrees(&*stores.log, 1, 120)
}

/// [`models_agree`] for one seed.
///
/// # Errors
/// The seed, and what the store did instead.
pub fn models_agree_with_the_reference(stores: &Stores) -> Outcome {
    models_agree(&*stores.models, 1, 120)
}

fn reference() -> MemoryStore {
    MemoryStore::new(Epoch(1), Arc::new(|| Timestamp::from_micros(0)))
}

/// Does `operations` random operations on an empty log and on the reference, and compares all that can be seen.
///
/// # Errors
/// The seed, the operation, and what the store did instead.
pub fn log_agrees(log: &dyn Log, seed: u64, operations: u32) -> Outcome {
    let mut chance = XorShift::new(seed);
    let reference = reference();
    for n in 0..operations {
        let here = |failure: Failure| Failure::new(format!("seed {seed}, operation {n} of a log: {failure}"));
        let operation = LogOperation::random(&mut chance, i64::from(n), &*reference.log).map_err(here)?;
        let (found, expected) = (operation.run(log), operation.run(&*reference.log));
        compare(&format!("{operation:?}"), found, expected).map_err(here)?;
        same_log(log, &*reference.log, &mut chance).map_err(here)?;
    }
    Ok(())
}

/// Two answers agree where both are the same, or both an error of the same kind.
fn compare<T: PartialEq + Debug>(what: &str, found: Result<T, StoreError>, expected: Result<T, StoreError>) -> Outcome {
    match (found, expected) {
        (Err(found), Err(expected)) if std::mem::discriminant(&found) == std::mem::discriminant(&expected) => Ok(()),
        (found, expected) => same(what, found, expected),
    }
}

#[derive(Debug, Clone)]
enum LogOperation {
    TakeIn { now: i64, arrivals: Vec<Arrival> },
    Redrive { now: i64, id: QuarantineId, arrival: Arrival },
    Edit { now: i64, id: QuarantineId, version: EntryVersion, patch: Patch },
    Discard { now: i64, id: QuarantineId },
    Resume { now: i64, entry: Entry },
    Expire { now: i64, since: i64 },
    Skip { now: i64, source: &'static str, span: (u64, u64) },
    Drain { now: i64, key: ParkKey, limit: usize, worse: bool },
    Hole,
}

impl LogOperation {
    fn random(chance: &mut XorShift, now: i64, reference: &dyn Log) -> Result<Self, Failure> {
        let waiting: Vec<_> = reference.entries(&EntryFilter::default())?;
        let entry = (!waiting.is_empty()).then(|| waiting[chance.below(waiting.len())].clone());
        let interrupted = reference.interrupted()?;
        Ok(match (chance.below(12), entry) {
            (10, _) if chance.once_in(2) => Self::Expire { now, since: now - chance.below(12) as i64 },
            (11, _) if chance.once_in(3) => {
                let first = 1 + chance.below(9) as u64;
                Self::Skip { now, source: chance.pick(&SOURCES), span: (first, first + chance.below(3) as u64) }
            }
            (0, Some(entry)) if chance.once_in(2) => {
                let verdict = sample(chance).refused(None).verdict;
                Self::Redrive { now, id: entry.id, arrival: counted(Arrival { verdict, ..pardon(&entry) }) }
            }
            (0 | 7, Some(entry)) if chance.once_in(3) => {
                let version = if chance.once_in(4) { entry.version.next() } else { entry.version };
                Self::Edit { now, id: entry.id, version, patch: edits::patch(now) }
            }
            (0 | 1, Some(entry)) => Self::Redrive { now, id: entry.id, arrival: counted(pardon(&entry)) },
            (2, Some(entry)) => Self::Discard { now, id: entry.id },
            (3, Some(entry)) => Self::Resume { now, entry },
            (4 | 5, Some(entry)) => {
                let own = entry.refusal.parks.unwrap_or_else(|| sample(chance).key());
                let key = interrupted.first().cloned().unwrap_or(own);
                Self::Drain { now, key, limit: 1 + chance.below(3), worse: chance.once_in(4) }
            }
            (6, _) if chance.once_in(3) => Self::Hole,
            _ => Self::TakeIn { now, arrivals: (0..chance.below(5)).map(|_| arrival(chance)).collect() },
        })
    }

    fn run(&self, log: &dyn Log) -> Result<String, StoreError> {
        Ok(match self.clone() {
            Self::TakeIn { now, arrivals } => format!("{:?}", take_in(log, now, arrivals)?),
            Self::Redrive { now, id, arrival } => format!("{:?}", redrive(log, now, id, arrival)?),
            Self::Edit { now, id, version, patch } => format!("{:?}", edit(log, now, id, version, patch)?),
            Self::Discard { now, id } => format!("{:?}", discard(log, now, id)?),
            Self::Expire { now, since } => format!("{:?}", expire(log, now, since)?),
            Self::Skip { now, source, span } => format!("{:?}", skip(log, now, source, span)?),
            Self::Resume { now, entry } => format!("{:?}", resume(log, now, &entry)?),
            Self::Drain { now, key, limit, worse } => {
                let again = |entry: &Entry| Arrival {
                    verdict: evenkeel_core::intake::Verdict::Quarantine(entry.refusal.clone()),
                    ..pardon(entry)
                };
                let judge = |entry: &Entry| counted(if worse { again(entry) } else { pardon(entry) });
                format!("{:?}", drain(log, now, &key, limit, &judge)?)
            }
            Self::Hole => {
                let event = |position| Sample::new("hole").event(position, 1, 1);
                let hole = |facts: evenkeel_core::intake::Facts| Writes {
                    events: vec![event(facts.head.0 + 2)],
                    ..Writes::default()
                };
                format!("{:?}", log.transact(&Ask::default(), Box::new(hole))?)
            }
        })
    }
}

const SOURCES: [&str; 3] = ["shop", "mill", "bank:é"];

/// Most events are counted by their sources, some of them by one number, and know of others; which is said by their names.
fn counted(arrival: Arrival) -> Arrival {
    let number: u64 = arrival.sent.raw_id.parse().unwrap_or_default();
    if number.is_multiple_of(4) || arrival.is_untrusted() {
        return arrival;
    }
    let others = SOURCES.into_iter().filter(|source| *source != arrival.sent.source.as_str());
    let knows = others.map(|source| SourceDot::new(source, number * source.len() as u64 % 4)).filter(|dot| dot.seq > 0);
    let mut knows: Vec<_> = knows.collect();
    knows.sort_unstable();
    let causes = Some(Box::new(Causes { seq: 1 + number / 3, first: 1, knows }));
    Arrival { clocks: Clocks { causes, ..arrival.clocks }, ..arrival }
}

fn sample(chance: &mut XorShift) -> Sample {
    let raw_id = chance.below(40).to_string();
    let sample = Sample::new(&raw_id).from(chance.pick(&SOURCES));
    let body = if chance.once_in(8) { 2 } else { 1 };
    sample.of(chance.pick(&["order", "stock"])).about(chance.pick(&["s", "t", "u"])).with(body)
}

fn arrival(chance: &mut XorShift) -> Arrival {
    let sample = sample(chance);
    let expected_version = chance.once_in(6).then(|| StreamVersion(chance.below(9) as u64));
    let arrival = match chance.below(9) {
        0 => sample.refused(None),
        1 => sample.refused(Some(sample.key())),
        3 if chance.once_in(2) => sample.judged(Judged::Quarantine(sample.refusal(Reason::UntrustedSource, None))),
        2 if chance.once_in(3) => sample.refused(Some(ParkKey::Source("mill".into()))),
        _ => sample.admitted(),
    };
    let seen = chance.once_in(3).then(|| Seen::Upto(Position(chance.below(20) as u64)));
    counted(Arrival { expected_version, clocks: Clocks { seen, ..Clocks::default() }, ..arrival })
}

fn same_log(log: &dyn Log, reference: &dyn Log, chance: &mut XorShift) -> Outcome {
    let (found, expected) = (log.safe_head()?, reference.safe_head()?);
    same("the safe head", (found.position, found.last_event), (expected.position, expected.last_event))?;
    same("the counts", found.counts, expected.counts)?;
    let books = log.accounting(true)?;
    same("the books", &books, &reference.accounting(true)?)?;
    ensure(books.values().all(Books::are_right), format!("the books are right: {books:?}"))?;
    let filter = types(chance.pick::<&[&str]>(&[&["order"], &["stock"], &["order", "stock"], &[]]));
    let filter = (!chance.once_in(3)).then_some(&filter);
    let after = Position(chance.below(expected.position.0 as usize + 2) as u64);
    let limit = 1 + chance.below(9);
    same("a read", read_all(log, after, filter, limit)?, read_all(reference, after, filter, limit)?)?;
    if let Some(filter) = filter {
        same("the oldest", log.oldest_after(after, filter)?, reference.oldest_after(after, filter)?)?;
        let (from, upto) = (Window(chance.below(2) as u64), Position(chance.below(50) as u64));
        same("identities", log.identities(filter, from, upto)?, reference.identities(filter, from, upto)?)?;
        let of = chance.pick(&["s", "t", "nowhere"]);
        let (from, most) = (StreamVersion(chance.below(4) as u64), chance.below(6));
        let [found, expected] = [log, reference].map(|log| log.stream(of, filter, from, upto, most));
        same("a stream", found?, expected?)?;
        same("what waits of a subject", log.quarantined_of(of, filter)?, reference.quarantined_of(of, filter)?)?;
    }
    let entries = EntryFilter {
        state: chance.once_in(2).then(|| chance.pick(State::ALL)),
        source: chance.once_in(3).then(|| chance.pick(&["shop", "mill"]).into()),
        after: chance.once_in(3).then(|| QuarantineId(chance.below(20) as u64)),
        limit: chance.below(6),
        ..EntryFilter::default()
    };
    same("entries", log.entries(&entries)?, reference.entries(&entries)?)?;
    let positions: Vec<_> = (0..chance.below(5)).map(|_| Position(chance.below(50) as u64)).collect();
    same("how events were sent", raws::all_raws(log, limit)?, raws::all_raws(reference, limit)?)?;
    same("events picked", log.pick(&positions)?, reference.pick(&positions)?)?;
    let everything = EntryFilter::default();
    same("all entries", log.entries(&everything)?, reference.entries(&everything)?)?;
    same("what waits", log.waiting(limit)?, reference.waiting(limit)?)?;
    same("how far sources are", log.passed()?, reference.passed()?)?;
    same("what was declared", log.skips()?, reference.skips()?)?;
    same("who is recalled", log.recallable(limit)?, reference.recallable(limit)?)?;
    let sorted = |mut keys: Vec<ParkKey>| {
        keys.sort_unstable();
        keys
    };
    same("what was interrupted", sorted(log.interrupted()?), sorted(reference.interrupted()?))?;
    let some = sample(chance);
    let key = if chance.once_in(3) { ParkKey::Source("mill".into()) } else { some.key() };
    same("a line", log.line(&key, limit)?, reference.line(&key, limit)?)?;
    same("an event found", log.find(some.id())?, reference.find(some.id())?)?;
    let ask = Ask {
        ids: vec![some.id(), sample(chance).id()],
        keys: vec![some.key(), ParkKey::Source("mill".into())],
        subjects: vec!["s".into(), "t".into(), "u".into()],
        entries: (0..4).map(|_| QuarantineId(chance.below(30) as u64)).collect(),
        line: Some((key, limit)),
        passed: SOURCES.map(Into::into).to_vec(),
        dots: (1..9).map(|seq| SourceDot::new(chance.pick(&SOURCES), seq)).collect(),
        stamps: (1..9).map(|seq| SourceDot::new(chance.pick(&SOURCES), seq)).collect(),
        woken: Some((chance.pick(&SOURCES).into(), chance.below(4) as u64, 3 + chance.below(9) as u64)),
        expired: Some((Timestamp::from_micros(chance.below(99) as i64), limit)),
        standing: Some((chance.pick(&SOURCES).into(), chance.below(4) as u64, 3 + chance.below(9) as u64)),
        held: vec!["shop".into(), "mill".into(), "nobody".into()],
        untrusted: if chance.once_in(2) { vec!["shop".into(), "mill".into()] } else { Vec::new() },
    };
    same_facts(facts(log, &ask)?, facts(reference, &ask)?)
}

/// A source of which nothing waits may be left out.
fn nonzero(mut untrusted: Untrusted) -> Untrusted {
    untrusted.by_source.retain(|_, waiting| *waiting > 0);
    untrusted
}

fn same_facts(found: evenkeel_core::intake::Facts, expected: evenkeel_core::intake::Facts) -> Outcome {
    same("the head of the facts", (found.head, found.next_entry), (expected.head, expected.next_entry))?;
    let known = |mut facts: evenkeel_core::intake::Facts| {
        facts.known.retain(|_, places| !places.is_empty());
        facts.known.values_mut().for_each(|places| places.sort_by_key(|place| format!("{place:?}")));
        facts.versions.retain(|_, version| version.0 > 0);
        facts.passed.retain(|_, passed| *passed != Passed::default());
        facts.woken.sort_by_key(|event| event.dot());
        let known = (facts.known, facts.parked, facts.versions);
        let causal = (facts.clock, facts.passed, facts.dots, facts.stamps, facts.woken, facts.expired, facts.standing);
        (known, causal, facts.states, facts.line, nonzero(facts.untrusted), facts.held)
    };
    same("the facts", known(found), known(expected))
}

/// Does `operations` random operations on two models of an empty home and of the reference, and compares all that can
/// be seen.
///
/// # Errors
/// The seed, the operation, and what the store did instead.
pub fn models_agree(models: &dyn Models, seed: u64, operations: u32) -> Outcome {
    let mut chance = XorShift::new(seed);
    let reference = reference();
    let schemas = shapes();
    for n in 0..operations {
        let here = |failure: Failure| Failure::new(format!("seed {seed}, operation {n} of models: {failure}"));
        let schema = &schemas[chance.below(schemas.len())];
        let operation = ModelOperation::random(&mut chance, schema, u64::from(n), &*reference.models).map_err(here)?;
        let (found, expected) = (operation.run(models, schema), operation.run(&*reference.models, schema));
        compare(&format!("{operation:?}"), found, expected).map_err(here)?;
        for schema in &schemas {
            same_model(models, &*reference.models, schema, &mut chance).map_err(here)?;
        }
    }
    Ok(())
}

pub(super) fn shapes() -> [Schema; 3] {
    let columns = [
        ("product", ColumnType::Text),
        ("place", ColumnType::I64),
        ("total", ColumnType::Money { currency: 3 }),
        ("currency", ColumnType::Iso4217),
        ("text", ColumnType::Text),
        ("at", ColumnType::Timestamp),
        ("json", ColumnType::Json),
        ("exact", ColumnType::Decimal),
        ("marks", ColumnType::Bytes),
    ];
    let other = [("text", ColumnType::Text), ("n", ColumnType::I64), ("yes", ColumnType::Bool)];
    [schema("a", 1, 2, &columns), schema("b", 1, 1, &other), schema("b", 2, 2, &other)]
}

#[derive(Debug, Clone)]
enum ModelOperation {
    Register,
    Commit { table: Table, step: Box<Step>, stale: bool },
    Begin,
    Swap(Content),
    Rollback(Option<Digest>),
    Condemn(String),
    Windows(Vec<(Window, Sum)>),
    Abandon,
    Content(Content),
    Measured(Timestamp),
}

impl ModelOperation {
    fn random(chance: &mut XorShift, schema: &Schema, n: u64, reference: &dyn Models) -> Result<Self, Failure> {
        let content = Content {
            verdict: chance.pick(Verdict::ALL),
            verified_as_of: chance.once_in(2).then(|| at(n as i64)),
            bad_buckets: chance.below(3) as u32,
        };
        Ok(match chance.below(28) {
            0 | 1 => Self::Register,
            2 | 3 => Self::Begin,
            4 | 5 => Self::Swap(content),
            6 => Self::Abandon,
            7 => Self::Content(content),
            8 => Self::Measured(at(n as i64)),
            9 | 10 => Self::Rollback(chance.once_in(2).then(|| Digest::of(&n.to_be_bytes()))),
            11 => Self::Condemn(format!("beyond repair since {n}")),
            12 => Self::Windows(windows(chance)),
            kind => {
                let table = if kind < 21 { Table::Live } else { Table::Build };
                let state = reference.state(&schema.model)?;
                let stored = state.and_then(|state| match table {
                    Table::Live => Some(state.schema),
                    Table::Build => state.build.map(|build| build.schema),
                    Table::Previous => None,
                });
                let step = Box::new(step(chance, &stored.unwrap_or_else(|| schema.clone()), n));
                Self::Commit { table, step, stale: chance.once_in(6) }
            }
        })
    }

    fn run(&self, models: &dyn Models, schema: &Schema) -> Result<String, StoreError> {
        let model = &schema.model;
        Ok(match self.clone() {
            Self::Register => format!("{:?}", without_generations(models.register(schema)?)),
            Self::Commit { table, step, stale } => {
                let state = models.state(model)?;
                let home = state.and_then(|state| match table {
                    Table::Live => Some((state.generation, state.schema)),
                    Table::Build => state.build.map(|build| (build.generation, build.schema)),
                    Table::Previous => None,
                });
                let (generation, schema) = home.unwrap_or_else(|| (0, schema.clone()));
                let step = Step { generation: generation + u64::from(stale), ..*step };
                let step = replacing(models, model, table, step)?;
                // Digests are another in each store.
                let digests = models.commit(model, table, &step)?;
                format!("{}", digests == sums::digests(models, &schema, &step))
            }
            Self::Begin => format!("{:?}", models.begin_build(schema)?.checkpoint),
            Self::Swap(content) => {
                models.swap(model, content)?;
                // Whether a moment known for the old table holds for the new one is the backend's to judge.
                format!("{:?}", models.set_measured(model, &steps::measured(at(1)))?)
            }
            Self::Rollback(from) => {
                models.rollback(model, from)?;
                format!("{:?}", models.set_measured(model, &steps::measured(at(2)))?)
            }
            Self::Condemn(reason) => format!("{:?}", models.condemn(model, &reason)?),
            Self::Windows(sums) => {
                let state = models.state(model)?;
                let (generation, checkpoint) =
                    state.map(|state| (state.generation, state.checkpoint)).unwrap_or_default();
                format!("{:?}", models.set_identities(model, generation, &sums, &checkpoint)?)
            }
            Self::Abandon if models.state(model)?.is_none() => String::new(),
            Self::Abandon => format!("{:?}", models.abandon_build(model)?),
            Self::Content(content) => format!("{:?}", models.set_content(model, content)?),
            Self::Measured(as_of) => format!("{:?}", models.set_measured(model, &steps::measured(as_of))?),
        })
    }
}

fn key(chance: &mut XorShift, schema: &Schema) -> Key {
    let part = |column: &usize| match schema.columns[*column].ty {
        ColumnType::I64 => KeyPart::I64(chance.pick(&[-1, 0, 1, i64::MIN, i64::MAX, 10, 9])),
        _ => KeyPart::Text(chance.pick(&["", "a", "b", "a/b", "é", "'", "10", "9"]).into()),
    };
    Key(schema.key.iter().map(part).collect())
}

fn cell(chance: &mut XorShift, ty: ColumnType) -> Cell {
    if chance.once_in(5) {
        return Cell::Null;
    }
    match ty {
        ColumnType::Text => Cell::Text(chance.pick(&["", "x", "NULL", "'\"", "日\u{1F980}", "1.0"]).into()),
        ColumnType::I64 => Cell::I64(chance.draw() as i64),
        ColumnType::Bool => Cell::Bool(chance.once_in(2)),
        ColumnType::Timestamp => Cell::Timestamp(at(chance.draw() as i64 >> 8)),
        ColumnType::Json => Cell::Json(chance.pick(&["", "null", "x"]).into()),
        ColumnType::Bytes => Cell::Bytes(chance.pick(&[&b""[..], &[0], b"x", &[0xff, 0, 0xfe]]).into()),
        ColumnType::Iso4217 | ColumnType::Date => Cell::Null,
        ColumnType::Decimal | ColumnType::Money { .. } => {
            let (whole, cents) = (chance.below(2001) as i64 - 1000, chance.below(100));
            format!("{whole}.{cents:02}").parse().map_or(Cell::Null, Cell::Decimal)
        }
    }
}

fn random_row(chance: &mut XorShift, schema: &Schema, key: &Key) -> Row {
    let keys = schema.key.len();
    let mut cells: Vec<_> = schema.columns.iter().skip(keys).map(|column| cell(chance, column.ty)).collect();
    for (index, column) in schema.columns.iter().enumerate().skip(keys) {
        if let ColumnType::Money { currency } = column.ty {
            // An amount has a currency, and one that is missing misses both.
            cells[currency - keys] = if cells[index - keys].is_null() { Cell::Null } else { Cell::Text("EUR".into()) };
        }
    }
    row(schema, key, cells)
}

pub(super) fn step(chance: &mut XorShift, schema: &Schema, n: u64) -> Step {
    let mut keys: Vec<_> = (0..chance.below(7)).map(|_| key(chance, schema)).collect();
    keys.sort_unstable();
    keys.dedup();
    let (mut upserts, mut deletes) = (Vec::new(), Vec::new());
    for key in keys {
        if chance.once_in(3) {
            deletes.push(Removal::new(key));
        } else {
            upserts.push((key.clone(), random_row(chance, schema, &key)));
        }
    }
    let (mut parks, mut unparks) = (Vec::new(), Vec::new());
    for position in 0..chance.below(4) as u64 {
        let state = chance.pick(&[ParkState::Poison, ParkState::Held, ParkState::Discarded]);
        let mut park = steps::park(1 + position, 0, chance.below(3) as u32, None, state);
        park.key = (!chance.once_in(4)).then(|| key(chance, schema));
        if chance.once_in(3) { unparks.push(park.touch) } else { parks.push(park) }
    }
    let measured = chance.once_in(2).then(|| steps::measured(at(n as i64)));
    let touches = (0..chance.below(4)).map(|_| (hash(chance), Position(chance.below(9) as u64))).collect();
    let (upserts, identities) = (new_rows(upserts), windows(chance));
    let checkpoint = checkpoint(n);
    Step { upserts, deletes, identities, touches, parks, unparks, checkpoint, measured, ..Step::default() }
}

fn hash(chance: &mut XorShift) -> KeyHash {
    KeyHash(chance.pick(&[0, 1, 1 << 63, u64::MAX]))
}

/// Sums for some windows, each for itself.
fn windows(chance: &mut XorShift) -> Vec<(Window, Sum)> {
    let windows = [0, 1, 2, 1 << 40].into_iter().filter(|_| chance.once_in(3)).map(Window).collect::<Vec<_>>();
    let sum = |window| (window, Sum { count: chance.below(3) as i64, total: u128::from(chance.draw()) << 63 });
    windows.into_iter().map(sum).collect()
}

fn same_model(models: &dyn Models, reference: &dyn Models, schema: &Schema, chance: &mut XorShift) -> Outcome {
    let model = &schema.model;
    same("the models", models.models()?, reference.models()?)?;
    let state = reference.state(model)?;
    same("the state", models.state(model)?.map(without_generations), state.clone().map(without_generations))?;
    let Some(state) = state else { return Ok(()) };
    same("the number of rows", models.count(model)?, reference.count(model)?)?;
    for park_state in [None, Some(ParkState::Poison), Some(ParkState::Held), Some(ParkState::Discarded)] {
        same("the parks", models.parks(model, park_state)?, reference.parks(model, park_state)?)?;
    }
    let tables = [
        (Table::Live, Some(state.schema.clone())),
        (Table::Build, state.build.map(|build| build.schema)),
        (Table::Previous, state.previous.map(|previous| previous.schema)),
    ];
    for (table, stored) in tables {
        let Some(stored) = stored else { continue };
        let (after, limit) = (key(chance, &stored), 1 + chance.below(40));
        let after = (!chance.once_in(3)).then_some(&after);
        let page = |models: &dyn Models| -> Result<_, Failure> {
            let page = models.rows(model, table, after, limit)?;
            let digits: Vec<_> = page.rows.iter().map(|(row, _)| exact(row)).collect();
            Ok((without_generations(page.state), page.rows, page.more, page.intact, digits))
        };
        same(format!("rows of the {table:?} table"), page(models)?, page(reference)?)?;
        let keys: Vec<_> = (0..6).map(|_| key(chance, &stored)).collect();
        let (found, expected) = (models.load(model, table, &keys)?, reference.load(model, table, &keys)?);
        let rows = |rows: Vec<crate::StoredRow>| -> Vec<_> {
            rows.into_iter().map(|stored| (stored.is_intact(), stored.key, stored.row)).collect()
        };
        same(
            format!("rows loaded of the {table:?} table"),
            (rows(found.rows), found.parked, found.touched),
            (rows(expected.rows), expected.parked, expected.touched),
        )?;
        sums::add_up(models, &stored, table)?;
        let from = Window(chance.below(3) as u64);
        same("the windows", models.identities(model, table, from)?, reference.identities(model, table, from)?)?;
        let hash = hash(chance);
        same("the events of a key", models.touching(model, table, hash)?, reference.touching(model, table, hash)?)?;
        same("whether the index is sound", models.index_is_sound(model, table)?, true)?;
    }
    let key = key(chance, &state.schema);
    let one = |models: &dyn Models| -> Result<_, Failure> {
        let at = models.get(model, &key)?;
        Ok((without_generations(at.state), at.row, at.intact, (at.parked_events, at.unnamed)))
    };
    same("a row", one(models)?, one(reference)?)
}
