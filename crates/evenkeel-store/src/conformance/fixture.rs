//! Builders of what the cases write: events, verdicts, schemas, steps. Everything follows from the arguments.
use super::{Failure, ensure};
use crate::{Build, Log, ModelState, Models, Result, Settled, Slice, Step, StoreError, Table, Upsert};
use evenkeel_core::{
    Digest, Draft, Epoch, Event, EventId, EventType, ModelName, Position, SourceName, Subject, Timestamp,
    checkpoint::{Checkpoint, Counts},
    clock::Hlc,
    event::{Causality, Delivery},
    ids::StreamVersion,
    intake::{self, Arrival, Ask, CausalLimits, Clocks, Facts, Redrive, Redriven, Scene, Seen, Sent, Verdict, Writes},
    json::{Object, Patch, Value},
    quarantine::{ContractRef, Decision, Entry, EntryVersion, ParkKey, QuarantineId, Reason, Refusal},
    row::{Cell, Key, Row},
    schema::{Column, ColumnType, Merge, Schema},
};
use std::collections::{BTreeSet, HashMap};

/// Live rows as they are there now, to be settled.
///
/// # Errors
/// Where they cannot be read.
pub fn as_found(models: &dyn Models, model: &ModelName, keys: &[Key]) -> Result<Vec<Settled>> {
    let rows = models.load(model, Table::Live, keys)?.rows;
    let found = |key: &Key| Settled::of(key.clone(), rows.iter().find(|row| row.key == *key));
    Ok(keys.iter().map(found).collect())
}

/// The instant `micros` after 1970.
pub fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// An event in the making. What is not said is the same for all of them.
#[derive(Debug, Clone)]
pub struct Sample {
    source: SourceName,
    raw_id: String,
    event_type: EventType,
    subject: Subject,
    body: Value,
}

impl Sample {
    /// The event that the source `shop` calls `raw_id`: an `order` about `s`.
    pub fn new(raw_id: &str) -> Self {
        Self {
            source: "shop".into(),
            raw_id: raw_id.into(),
            event_type: "order".into(),
            subject: "s".into(),
            body: Value::Null,
        }
    }

    /// From another source.
    #[must_use]
    pub fn from(mut self, source: &str) -> Self {
        self.source = source.into();
        self
    }

    /// Of another type.
    #[must_use]
    pub fn of(mut self, event_type: &str) -> Self {
        self.event_type = event_type.into();
        self
    }

    /// About another subject.
    #[must_use]
    pub fn about(mut self, subject: &str) -> Self {
        self.subject = subject.into();
        self
    }

    /// With this as its data, which is also what its digest is of.
    #[must_use]
    pub fn with(mut self, body: impl Into<Value>) -> Self {
        self.body = body.into();
        self
    }

    /// Its identity.
    pub fn id(&self) -> EventId {
        EventId::of(self.source.as_str(), &self.raw_id)
    }

    /// The digest of its content.
    pub fn digest(&self) -> Digest {
        Digest::of(self.body.to_string().as_bytes())
    }

    /// The key that holds events like this when one of them waits.
    pub fn key(&self) -> ParkKey {
        ParkKey::Subject(self.event_type.clone(), self.subject.clone())
    }

    /// What the gate makes of it.
    pub fn draft(&self) -> Draft {
        Draft {
            event_type: self.event_type.clone(),
            contract_version: 1,
            subject: self.subject.clone(),
            time: None,
            extensions: Object::default(),
            data: self.body.clone(),
        }
    }

    /// It as an event of the log, where nothing else was taken in and times do not go far back.
    pub fn event(&self, position: u64, stream_version: u64, recorded: i64) -> Event {
        Event {
            position: Position(position),
            id: self.id(),
            source: self.source.clone(),
            raw_id: self.raw_id.clone(),
            stream_version: StreamVersion(stream_version),
            recorded_at: at(recorded),
            digest: self.digest(),
            replica: "a".into(),
            causality: Causality {
                hlc: Hlc::at(at(recorded)).max(Hlc::from_u64(position)),
                seq: position,
                delivery: Delivery::Log,
                saw: None,
            },
            draft: self.draft(),
        }
    }

    /// It on its way in, admitted by the gate.
    pub fn admitted(&self) -> Arrival {
        self.judged(Verdict::Admit(self.draft()))
    }

    /// It on its way in, refused by the gate. `parks` is what waits behind it.
    pub fn refused(&self, parks: Option<ParkKey>) -> Arrival {
        self.judged(Verdict::Quarantine(self.refusal(Reason::Schema, parks)))
    }

    /// A refusal of it under the contract of its type.
    pub fn refusal(&self, reason: Reason, parks: Option<ParkKey>) -> Refusal {
        Refusal {
            reason,
            detail: format!("{} does not fit", self.raw_id),
            pointer: None,
            contract: Some(ContractRef { name: self.event_type.clone(), version: 1 }),
            subject: Some(self.subject.clone()),
            parks,
        }
    }

    /// It on its way in, with this verdict.
    pub fn judged(&self, verdict: Verdict) -> Arrival {
        let sent = Sent {
            id: self.id(),
            digest: self.digest(),
            source: self.source.clone(),
            raw_id: self.raw_id.clone(),
            raw: format!("{{\"id\":{:?},\"data\":{}}}", self.raw_id, self.body).into_bytes(),
        };
        Arrival { sent, verdict, expected_version: None, clocks: Clocks::default() }
    }
}

/// Takes arrivals in at the instant `now`.
///
/// # Errors
/// As [`Log::transact`].
pub fn take_in(log: &dyn Log, now: i64, arrivals: Vec<Arrival>) -> Result<Vec<intake::Outcome>> {
    let ask = Ask::for_arrivals(&arrivals);
    let (_, outcomes) = decide_in(log, now, &ask, |scene, facts| intake::admit(scene, arrivals, facts))?;
    Ok(outcomes)
}

/// Sets aside what has waited since the instant `since` or longer. How many events.
///
/// # Errors
/// As [`Log::transact`].
pub fn expire(log: &dyn Log, now: i64, since: i64) -> Result<usize> {
    Ok(decide_in(log, now, &Ask::for_expiry(at(since), 1000), |scene, facts| intake::expire(scene, facts))?.1)
}

/// Declares that events of a source will not come. Whether there was anything to declare.
///
/// # Errors
/// As [`Log::transact`].
pub fn skip(log: &dyn Log, now: i64, source: &str, (first, last): (u64, u64)) -> Result<bool> {
    let source = source.into();
    let ask = Ask::for_skip(&source, first, last);
    let by = |scene: Scene<'_>, facts: Facts| intake::skip(scene, &source, (first, last), decision("skip"), facts);
    Ok(decide_in(log, now, &ask, by)?.1)
}

/// Sends an entry through the gate again as it is now, which says `arrival` of it.
///
/// # Errors
/// As [`Log::transact`].
pub fn redrive(log: &dyn Log, now: i64, id: QuarantineId, arrival: Arrival) -> Result<Redriven> {
    let version = log.entry(id)?.map(|entry| entry.version).unwrap_or_default();
    redrive_at(log, now, Redrive { id, version, arrival }, None)
}

/// Sends an entry of a certain version through the gate again, edited where there is a patch.
///
/// # Errors
/// As [`Log::transact`].
pub fn redrive_at(log: &dyn Log, now: i64, redrive: Redrive, patch: Option<Patch>) -> Result<Redriven> {
    let ask = Ask::for_redrive(&redrive);
    let by = |scene: Scene<'_>, facts: Facts| intake::redrive(scene, redrive, patch, decision("redrive"), facts);
    Ok(decide_in(log, now, &ask, by)?.1)
}

/// Edits an entry of a certain version. What speaks against it, where something does.
///
/// # Errors
/// As [`Log::transact`].
pub fn edit(
    log: &dyn Log,
    now: i64,
    id: QuarantineId,
    version: EntryVersion,
    patch: Patch,
) -> Result<Option<Redriven>> {
    let by = |facts: Facts| match intake::edit(at(now), id, version, patch, decision("edit"), &facts) {
        Ok((writes, _)) => (writes, None),
        Err(refused) => (Writes::default(), Some(refused)),
    };
    Ok(decide(log, &Ask::for_entry(id), by)?.1)
}

/// Gives an entry up.
///
/// # Errors
/// As [`Log::transact`].
pub fn discard(log: &dyn Log, now: i64, id: QuarantineId) -> Result<Redriven> {
    discard_at(log, now, id, None)
}

/// Gives an entry of a certain version up.
///
/// # Errors
/// As [`Log::transact`].
pub fn discard_at(log: &dyn Log, now: i64, id: QuarantineId, version: Option<EntryVersion>) -> Result<Redriven> {
    let source = log.entry(id)?.map_or_else(|| "nobody".into(), |entry| entry.source);
    let by = |facts: Facts| intake::discard(at(now), id, &source, version, decision("discard"), &facts);
    Ok(decide(log, &Ask::for_entry(id), by)?.1)
}

/// Lets the source that `entry` halted go on.
///
/// # Errors
/// As [`Log::transact`].
pub fn resume(log: &dyn Log, now: i64, entry: &Entry) -> Result<Redriven> {
    Ok(decide(log, &Ask::for_entry(entry.id), |facts| intake::resume(at(now), entry, decision("resume"), &facts))?.1)
}

/// Releases one round of what waits behind `key`; `judge` is the gate. What was written.
///
/// # Errors
/// As [`Log::transact`].
pub fn drain(
    log: &dyn Log,
    now: i64,
    key: &ParkKey,
    limit: usize,
    judge: &dyn Fn(&Entry) -> Arrival,
) -> Result<Writes> {
    let line: Vec<_> =
        log.line(key, limit)?.iter().map(|e| Redrive { id: e.id, version: e.version, arrival: judge(e) }).collect();
    let ask = Ask::for_drain(key, &line, limit);
    Ok(decide_in(log, now, &ask, |scene, facts| (intake::drain(scene, key, line, facts), ()))?.0)
}

/// The gate's later verdict on an entry of a [`Sample`]: admitted. What was kept of its receipt comes with it.
pub fn pardon(entry: &Entry) -> Arrival {
    let (event_type, subject) = match &entry.refusal {
        Refusal { contract: Some(contract), subject: Some(subject), .. } => (contract.name.clone(), subject.clone()),
        _ => ("order".into(), "s".into()),
    };
    let draft = Draft {
        event_type,
        contract_version: 2,
        subject,
        time: None,
        extensions: Object::default(),
        data: Value::Null,
    };
    let Entry { event_id: id, digest, source, raw_id, raw, hlc, saw, .. } = entry.clone();
    let sent = Sent { id, digest, source, raw_id, raw };
    let clocks = Clocks { received: Some(hlc), seen: saw.map(Seen::Kept), ..Clocks::default() };
    Arrival { sent, verdict: Verdict::Admit(draft), expected_version: None, clocks }
}

/// As [`decide`], with what a decision about events that others wait for is made in.
///
/// # Errors
/// As there.
pub fn decide_in<T: Send>(
    log: &dyn Log,
    now: i64,
    ask: &Ask,
    by: impl FnOnce(Scene<'_>, Facts) -> (Writes, T) + Send,
) -> Result<(Writes, T)> {
    let mut answer = None;
    log.transact_asking(
        ask,
        Box::new(|facts, more| {
            let limits = CausalLimits { max_events: 20, ..CausalLimits::default() };
            let (writes, outcome) = by(Scene { now: at(now), limits, keep_raw: true, more: Some(more) }, facts);
            answer = Some((writes.clone(), outcome));
            writes
        }),
    )?;
    answer.ok_or_else(|| StoreError::Corrupt("a transaction was done and nobody decided it".into()))
}

/// One transaction: what `by` decided from the facts, which is written, and what it answers.
///
/// # Errors
/// As [`Log::transact`], and where the store says that it was done and has asked nobody.
pub fn decide<T: Send>(log: &dyn Log, ask: &Ask, by: impl FnOnce(Facts) -> (Writes, T) + Send) -> Result<(Writes, T)> {
    let mut answer = None;
    log.transact(
        ask,
        Box::new(|facts| {
            let (writes, outcome) = by(facts);
            answer = Some((writes.clone(), outcome));
            writes
        }),
    )?;
    answer.ok_or_else(|| StoreError::Corrupt("a transaction was done and nobody decided it".into()))
}

/// The facts, and nothing written.
///
/// # Errors
/// As [`Log::transact`].
pub fn facts(log: &dyn Log, ask: &Ask) -> Result<Facts> {
    Ok(decide(log, ask, |facts| (Writes::default(), facts))?.1)
}

/// Everything after `after`, read in chunks of `limit`; fails where a chunk breaks the rules of [`Slice`].
///
/// # Errors
/// Where a read fails, goes backwards, beyond the safe head or not on, or gives more than was asked for.
pub fn read_all(
    log: &dyn Log,
    mut after: Position,
    types: Option<&BTreeSet<EventType>>,
    limit: usize,
) -> Result<Vec<Event>, Failure> {
    let end = log.safe_head()?.position;
    let mut all = Vec::new();
    while after < end {
        let Slice { events, through } = log.read(after, types, limit)?;
        let mut last = after;
        for event in &events {
            super::ensure(event.position > last && event.position <= through, "events are in order, up to `through`")?;
            last = event.position;
        }
        super::ensure(events.len() <= limit, "a read gives at most what was asked for")?;
        super::ensure(through > after, "a read below the safe head goes on")?;
        super::ensure(through <= log.safe_head()?.position, "a read ends at the safe head")?;
        all.extend(events);
        after = through;
    }
    Ok(all)
}

/// A person's word.
pub fn decision(note: &str) -> Decision {
    Decision { author: "ada".into(), note: note.into() }
}

/// Event types by name.
pub fn types(names: &[&str]) -> BTreeSet<EventType> {
    names.iter().map(|name| EventType::from(*name)).collect()
}

/// A schema with these columns, the first `keys` of which are the key.
pub fn schema(model: &str, version: u32, keys: usize, columns: &[(&str, ColumnType)]) -> Schema {
    let column = |(name, ty): &(&str, ColumnType)| Column { name: (*name).to_owned(), ty: *ty, merge: Merge::Lww };
    Schema {
        model: ModelName::from(model),
        version,
        key: (0..keys).collect(),
        columns: columns.iter().map(column).collect(),
        subscribes: types(&["order", "stock"]),
        fingerprint: Digest::of(format!("{model} {version}").as_bytes()),
    }
}

/// The schema of a model that counts: `id` (the key) and `n`.
pub fn counter(model: &str) -> Schema {
    schema(model, 1, 1, &[("id", ColumnType::Text), ("n", ColumnType::I64)])
}

/// The row of [`counter`] named `key` that has counted to `n`.
pub fn counter_row(schema: &Schema, key: &str, n: i64) -> Row {
    row(schema, &Key::text(key), vec![Cell::I64(n)])
}

/// The row of `key` with these cells after those of the key, the key's columns being the first.
pub fn row(schema: &Schema, key: &Key, cells: Vec<Cell>) -> Row {
    let mut row = Row::new(schema, key);
    for (slot, cell) in row.cells.iter_mut().skip(schema.key.len()).zip(cells) {
        *slot = cell;
    }
    row
}

/// A checkpoint at `position` with something in every field.
pub fn checkpoint(position: u64) -> Checkpoint {
    Checkpoint {
        position: Position(position),
        epoch: Some(Epoch(u64::MAX - position)),
        last_event: Some(EventId::of("shop", &position.to_string())),
        last_write: Some(at(position as i64 - 3)),
        counts: Counts { applied: position, ignored: 2, parked: 1 },
    }
}

/// The row as text in which every digit shows: equal decimals may be written differently.
pub fn exact(row: &Row) -> String {
    format!("{:?}", row.cells)
}

/// A state with its generations left out, which backends may start where they like.
pub fn without_generations(mut state: ModelState) -> ModelState {
    state.generation = 0;
    state.build = state.build.map(|build| Build { generation: 0, ..build });
    state.previous = state.previous.map(|previous| Build { generation: 0, ..previous });
    state
}

/// Rows to write that were not there before.
pub fn new_rows(rows: impl IntoIterator<Item = (Key, Row)>) -> Vec<Upsert> {
    rows.into_iter().map(|(key, row)| Upsert::new(key, row)).collect()
}

/// The step with what each of its rows replaces, as the table says it was meant.
///
/// # Errors
/// As [`Models::load`].
pub fn replacing(models: &dyn Models, model: &ModelName, table: Table, mut step: Step) -> Result<Step> {
    let written = step.upserts.iter().map(|upsert| &upsert.key);
    let keys: Vec<_> = written.chain(step.deletes.iter().map(|removal| &removal.key)).cloned().collect();
    let stored = models.load(model, table, &keys)?.rows;
    let meant: HashMap<_, _> = stored.into_iter().filter_map(|row| Some((row.key, row.meant?))).collect();
    step.upserts.iter_mut().for_each(|upsert| upsert.replaces = meant.get(&upsert.key).copied());
    step.deletes.iter_mut().for_each(|removal| removal.replaces = meant.get(&removal.key).copied());
    Ok(step)
}

/// A stream read in pages of so many events.
///
/// # Errors
/// Where it cannot be read, or a page has more than was asked for.
pub fn whole_stream(
    log: &dyn Log,
    subject: &str,
    types: &BTreeSet<EventType>,
    upto: Position,
    limit: usize,
) -> std::result::Result<Vec<Event>, Failure> {
    let (mut events, mut after) = (Vec::new(), StreamVersion(0));
    loop {
        let page = log.stream(subject, types, after, upto, limit)?;
        let is_last = page.len() < limit;
        ensure(page.len() <= limit, format_args!("a page of {limit} events has {}", page.len()))?;
        after = page.last().map_or(after, |last| last.stream_version);
        events.extend(page);
        if is_last {
            return Ok(events);
        }
    }
}
