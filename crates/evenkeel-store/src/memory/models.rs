//! Models in memory: for each table the rows and parks in maps ordered as readers want them.
//!
//! Every call holds one lock, so rows and checkpoint are of one moment, and what fails is found before anything is
//! written.
mod home;
mod records;
mod tamper;

pub use tamper::Tamper;

use super::Volatile;
use crate::{
    Admit, Answered, Books, Build, ConflictQuery, Loaded, Measured, ModelState, Models, ParkFilter, Piece,
    RecordedConflict, Result, RowAt, Rows, Scrubbed, Selected, Selection, Settled, SqlError, Statement, Step,
    StoreError, StoredRow, Table,
};
use evenkeel_core::{
    Digest, ModelName, Position, Timestamp,
    checkpoint::Checkpoint,
    consumer::{Consumer, Reported},
    content::{Touched, Window},
    digest::{Buckets, DigestKey, KeyHash, RowDigest, Sum},
    drift::Content,
    fold::Park,
    reconciliation::{Evidence, Reconciliation},
    row::Key,
    schema::Schema,
};
use home::{HomeState, Model, TableState};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    ops::{Bound, ControlFlow},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A home of models in memory. Its digest key is no secret: whoever could use it holds the rows.
#[derive(Default)]
pub struct MemoryModels(Mutex<HomeState>, Strangers);

/// How often the rows were tampered with: of the process, and nothing that a crash takes back.
type Strangers = AtomicU64;

const DIGEST_KEY: DigestKey = DigestKey([0x5a; 32]);

/// The whole of a [`MemoryModels`] at one moment.
#[derive(Clone)]
pub struct ModelsImage(HomeState);

impl Volatile for MemoryModels {
    type Image = ModelsImage;

    fn image(&self) -> ModelsImage {
        ModelsImage(self.0.lock().clone())
    }

    fn restore(&self, image: ModelsImage) {
        *self.0.lock() = image.0;
    }
}

impl Models for MemoryModels {
    fn register(&self, schema: &Schema) -> Result<ModelState> {
        let mut home = self.0.lock();
        Ok(home.models.entry(schema.model.clone()).or_insert_with(|| Model::new(schema)).state())
    }

    fn state(&self, model: &ModelName) -> Result<Option<ModelState>> {
        Ok(self.0.lock().models.get(model).map(Model::state))
    }

    fn models(&self) -> Result<Vec<ModelName>> {
        Ok(self.0.lock().models.keys().cloned().collect())
    }

    fn load(&self, model: &ModelName, table: Table, keys: &[Key]) -> Result<Loaded> {
        let home = self.0.lock();
        let stored = home.table(model, table)?;
        let waiting = stored.waiting_keys();
        let touched = &home.model(model)?.touched;
        let mut hasher = stored.hasher();
        let is_touched = |key: &&Key| table == Table::Live && touched.contains_key(*key);
        Ok(Loaded {
            rows: keys.iter().filter_map(|key| stored.stored(&mut hasher, key)).collect(),
            parked: keys.iter().filter(|key| waiting.contains(key)).cloned().collect(),
            touched: keys.iter().filter(is_touched).cloned().collect(),
        })
    }

    fn commit(&self, model: &ModelName, table: Table, step: &Step) -> Result<Vec<RowDigest>> {
        let mut home = self.0.lock();
        let found = home.table(model, table)?.generation;
        if found != step.generation {
            return Err(StoreError::Conflict { model: model.clone(), expected: step.generation, found });
        }
        let digests = home.table_mut(model, table)?.write(step);
        if !step.conflicts.is_empty() {
            let schema = home.table(model, table)?.schema.clone();
            home.records.keep_conflicts(&schema, &step.conflicts);
        }
        let stored = home.model_mut(model)?;
        if table == Table::Live {
            stored.settle(&step.settled);
        }
        match table {
            Table::Build => stored.built = stored.built.max(step.generation + 1),
            Table::Live => {
                let measured = step.measured.as_ref().and_then(|measured| measured.as_of);
                stored.as_of = measured.or(stored.as_of);
            }
            Table::Previous => {}
        }
        Ok(digests)
    }

    fn get(&self, model: &ModelName, key: &Key) -> Result<RowAt> {
        let home = self.0.lock();
        let model = home.model(model)?;
        let row = model.live.stored(&mut model.live.hasher(), key);
        Ok(RowAt {
            state: model.state(),
            intact: row.as_ref().is_none_or(StoredRow::is_intact) && !model.touched.contains_key(key),
            row: row.map(|row| row.row),
            parked_events: model.live.parked_of(key),
            unnamed: model.live.any_unnamed(),
        })
    }

    fn rows(&self, model: &ModelName, table: Table, after: Option<&Key>, limit: usize) -> Result<Rows> {
        let home = self.0.lock();
        let stored = home.table(model, table)?;
        let waiting = stored.waiting_keys();
        let mut hasher = stored.hasher();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = stored.rows.range::<Key, _>((start, Bound::Unbounded));
        let (mut rows, mut intact) = (Vec::new(), true);
        for (key, (row, meant)) in rest.by_ref().take(limit) {
            intact &= *meant == Some(hasher.row(&stored.schema, row));
            rows.push((row.clone(), waiting.contains(key)));
        }
        Ok(Rows { state: home.model(model)?.state(), rows, more: rest.next().is_some(), intact })
    }

    fn select(&self, model: &ModelName, selection: &Selection<'_>) -> Result<Option<Selected>> {
        let (home, started) = (self.0.lock(), Instant::now());
        let (stored, query) = (&home.model(model)?.live, selection.query);
        if !query.fits(&stored.schema) {
            return Ok(None);
        }
        let waiting = stored.waiting_keys();
        let mut hasher = stored.hasher();
        let shown = stored.rows.values().map(|(row, _)| row).filter(|row| stored.schema.shows(row));
        let found = query.select(shown, selection.after, selection.limit);
        let (mut rows, mut intact) = (Vec::new(), true);
        for row in found.rows {
            let key = Key::of(&stored.schema, row);
            let meant = stored.rows.get(&key).and_then(|(_, meant)| *meant);
            intact &= meant == Some(hasher.row(&stored.schema, row));
            rows.push((row.clone(), waiting.contains(&key)));
        }
        // What is in memory is looked through faster than it is worth to stop in the middle.
        if started.elapsed() > selection.within {
            return Err(StoreError::TooLong(selection.within));
        }
        let page = Rows { state: home.model(model)?.state(), rows, more: found.more, intact };
        Ok(Some(Selected { page, total: selection.count.then_some(found.total) }))
    }

    fn query(&self, _: &Statement<'_>, _: Admit<'_>) -> Result<Option<Answered>, SqlError> {
        Err(SqlError::NoSql)
    }

    fn count(&self, model: &ModelName) -> Result<u64> {
        let (home, mut count) = (self.0.lock(), 0);
        let live = &home.model(model)?.live;
        live.rows.values().filter(|(row, _)| live.schema.shows(row)).for_each(|_| count += 1);
        Ok(count)
    }

    fn parks_of(&self, model: &ModelName, asked: &ParkFilter<'_>) -> Result<Vec<Park>> {
        let home = self.0.lock();
        let parks = &home.model(model)?.live.parks;
        let from = asked.touch.map(Bound::Included).or(asked.after.map(Bound::Excluded)).unwrap_or(Bound::Unbounded);
        let parks = parks.range((from, Bound::Unbounded)).map(|(_, park)| park);
        let upto = parks.take_while(|park| asked.touch.is_none_or(|touch| park.touch <= touch));
        Ok(upto.filter(|park| asked.has(park)).take(asked.most()).cloned().collect())
    }

    fn begin_build(&self, schema: &Schema) -> Result<Build> {
        let mut home = self.0.lock();
        let model = home.model_mut(&schema.model)?;
        let table = TableState::new(schema, model.next_build());
        Ok(model.build.insert(table).build())
    }

    fn swap(&self, model: &ModelName, content: Content) -> Result<()> {
        let mut home = self.0.lock();
        let stored = home.model_mut(model)?;
        let mut next = stored.build.take().ok_or_else(|| StoreError::NoModel(model.clone()))?;
        // The two count apart.
        next.generation = 0;
        stored.previous = Some(stored.replace_live(next));
        stored.rolled_back_from = None;
        stored.live.content = content;
        Ok(())
    }

    fn rollback(&self, model: &ModelName, rolled_back_from: Option<Digest>) -> Result<()> {
        let mut home = self.0.lock();
        let stored = home.model_mut(model)?;
        let refused = || StoreError::Refused(format!("{model} has no table from before its last rebuild"));
        let next = stored.previous.take().ok_or_else(refused)?;
        stored.previous = Some(stored.replace_live(next));
        stored.rolled_back_from = rolled_back_from;
        stored.live.content = Content::default();
        Ok(())
    }

    fn abandon_build(&self, model: &ModelName) -> Result<()> {
        self.0.lock().model_mut(model)?.build = None;
        Ok(())
    }

    fn set_content(&self, model: &ModelName, content: Content) -> Result<()> {
        self.0.lock().model_mut(model)?.live.content = content;
        Ok(())
    }

    fn set_content_unless_doubted(&self, model: &ModelName, content: Content, doubts: u64) -> Result<bool> {
        let mut home = self.0.lock();
        let model = home.model_mut(model)?;
        if model.doubts == doubts {
            model.live.content = content;
        }
        Ok(model.doubts == doubts)
    }

    fn doubt(&self, model: &ModelName, bad_buckets: u32) -> Result<()> {
        self.0.lock().model_mut(model)?.doubt(bad_buckets);
        Ok(())
    }

    fn set_measured(&self, model: &ModelName, measured: &Measured) -> Result<()> {
        let mut home = self.0.lock();
        let model = home.model_mut(model)?;
        model.as_of = measured.as_of.or(model.as_of);
        Ok(())
    }

    fn record(&self, reconciliation: &Reconciliation, evidence: &[Evidence]) -> Result<u64> {
        Ok(self.0.lock().records.add(reconciliation, evidence))
    }

    fn amend(&self, reconciliation: &Reconciliation) -> Result<bool> {
        Ok(self.0.lock().records.amend(reconciliation))
    }

    fn keep_records(&self, records: u64) {
        self.0.lock().records.keep(records);
    }

    fn reconciliation(&self, id: u64) -> Result<Option<Reconciliation>> {
        Ok(self.0.lock().records.get(id).cloned())
    }

    fn evidence(&self, reconciliation: u64, limit: usize) -> Result<Vec<Evidence>> {
        Ok(self.0.lock().records.evidence(reconciliation).iter().take(limit).cloned().collect())
    }

    fn reconciliations(&self, model: Option<&ModelName>, limit: usize) -> Result<Vec<Reconciliation>> {
        Ok(self.0.lock().records.latest(model).take(limit).cloned().collect())
    }

    fn conflicts(&self, query: &ConflictQuery) -> Result<Vec<RecordedConflict>> {
        Ok(self.0.lock().records.conflicts(query))
    }

    fn count_conflicts(&self, model: &ModelName) -> Result<u64> {
        Ok(self.0.lock().records.count_conflicts(model))
    }

    fn digest_key(&self) -> DigestKey {
        DIGEST_KEY
    }

    fn scrub(&self, model: &ModelName, table: Table, after: Option<&Key>, limit: usize) -> Result<Vec<Scrubbed>> {
        let home = self.0.lock();
        let stored = home.table(model, table)?;
        let mut hasher = stored.hasher();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let scrubbed = stored.rows.range::<Key, _>((start, Bound::Unbounded)).take(limit).map(|(key, (row, meant))| {
            let digest = hasher.row(&stored.schema, row);
            Scrubbed { key: key.clone(), hash: hasher.key(key), digest, intact: *meant == Some(digest) }
        });
        Ok(scrubbed.collect())
    }

    fn freeze(&self, model: &ModelName, see: &mut dyn FnMut(Piece) -> ControlFlow<()>) -> Result<()> {
        // A copy: whoever sees it may call the store.
        let frozen = self.0.lock().model(model)?.clone();
        let live = &frozen.live;
        let books = Books {
            state: frozen.state(),
            parks: live.parks.values().cloned().collect(),
            buckets: live.buckets.clone(),
            identities: live.windows.iter().filter(|(_, sum)| !sum.is_zero()).map(|(w, sum)| (*w, *sum)).collect(),
            watched: frozen.watched,
            touched: !frozen.touched.is_empty(),
        };
        if see(Piece::Books(Box::new(books))).is_break() {
            return Ok(());
        }
        let mut hasher = live.hasher();
        for (key, (row, meant)) in &live.rows {
            let (digest, hash) = (hasher.row(&live.schema, row), hasher.key(key));
            let row = StoredRow { key: key.clone(), row: row.clone(), meant: *meant, digest };
            if see(Piece::Rows(vec![(row, hash)])).is_break() {
                return Ok(());
            }
        }
        if !live.touches.is_empty() {
            let _ = see(Piece::Touches(live.touches.iter().copied().collect()));
        }
        Ok(())
    }

    fn buckets(&self, model: &ModelName, table: Table) -> Result<Buckets> {
        Ok(self.0.lock().table(model, table)?.buckets.clone())
    }

    fn condemn(&self, model: &ModelName, reason: &str) -> Result<()> {
        self.0.lock().model_mut(model)?.condemned = Some(reason.to_owned());
        Ok(())
    }

    fn set_buckets(&self, model: &ModelName, table: Table, sums: &[(u16, Sum)]) -> Result<()> {
        let mut home = self.0.lock();
        let stored = home.table_mut(model, table)?;
        sums.iter().for_each(|(bucket, sum)| *stored.buckets.get_mut(*bucket) = *sum);
        Ok(())
    }

    fn identities(&self, model: &ModelName, table: Table, from: Window) -> Result<Vec<(Window, Sum)>> {
        let home = self.0.lock();
        let windows = home.table(model, table)?.windows.range(from..);
        Ok(windows.filter(|(_, sum)| !sum.is_zero()).map(|(window, sum)| (*window, *sum)).collect())
    }

    fn set_identities(
        &self,
        model: &ModelName,
        generation: u64,
        sums: &[(Window, Sum)],
        checkpoint: &Checkpoint,
    ) -> Result<()> {
        let mut home = self.0.lock();
        let stored = home.table_mut(model, Table::Live)?;
        let found = stored.generation;
        if found != generation {
            return Err(StoreError::Conflict { model: model.clone(), expected: generation, found });
        }
        stored.windows.extend(sums.iter().copied());
        stored.checkpoint = *checkpoint;
        stored.generation += 1;
        Ok(())
    }

    fn index(&self, model: &ModelName, table: Table, touches: &[(KeyHash, Position)]) -> Result<()> {
        self.0.lock().table_mut(model, table)?.index(touches);
        Ok(())
    }

    fn index_is_sound(&self, model: &ModelName, table: Table) -> Result<bool> {
        let home = self.0.lock();
        let table = home.table(model, table)?;
        Ok(table.indexed() == table.index_meant)
    }

    fn settle_index(&self, model: &ModelName, table: Table) -> Result<()> {
        let mut home = self.0.lock();
        let table = home.table_mut(model, table)?;
        table.index_meant = table.indexed();
        Ok(())
    }

    fn touching(&self, model: &ModelName, table: Table, hash: KeyHash) -> Result<Vec<Position>> {
        let home = self.0.lock();
        let of_hash = (hash, Position::ZERO)..=(hash, Position(u64::MAX));
        Ok(home.table(model, table)?.touches.range(of_hash).map(|(_, position)| *position).collect())
    }

    fn touched(&self, model: &ModelName, limit: usize) -> Result<Vec<Touched>> {
        Ok(self.0.lock().model(model)?.touched.values().take(limit).cloned().collect())
    }

    fn notes(&self, model: &ModelName, keys: &[Key]) -> Result<Vec<Touched>> {
        let (home, keys) = (self.0.lock(), keys.iter().collect::<BTreeSet<_>>());
        let touched = &home.model(model)?.touched;
        Ok(keys.into_iter().filter_map(|key| touched.get(key).cloned()).collect())
    }

    fn settle(&self, model: &ModelName, rows: &[Settled]) -> Result<()> {
        self.0.lock().model_mut(model)?.settle(rows);
        Ok(())
    }

    fn watch(&self, model: &ModelName) -> Result<bool> {
        let mut home = self.0.lock();
        let model = home.model_mut(model)?;
        let was_watched = std::mem::replace(&mut model.watched, true);
        if !was_watched {
            model.doubt(1);
        }
        Ok(was_watched)
    }

    fn strangers(&self) -> Result<Option<u64>> {
        Ok(Some(self.1.load(Ordering::SeqCst)))
    }

    fn lease(&self, model: &ModelName, holder: &str, now: Timestamp, length: Duration) -> Result<bool> {
        let mut home = self.0.lock();
        match home.leases.get(model) {
            Some((other, until)) if other != holder && *until > now => Ok(false),
            _ => {
                home.leases.insert(model.clone(), (holder.to_owned(), now.plus(length)));
                Ok(true)
            }
        }
    }

    fn release(&self, model: &ModelName, holder: &str) -> Result<()> {
        let mut home = self.0.lock();
        if home.leases.get(model).is_some_and(|(other, _)| other == holder) {
            home.leases.remove(model);
        }
        Ok(())
    }

    fn put_consumer(&self, consumer: &Consumer) -> Result<()> {
        let mut home = self.0.lock();
        match home.consumers.get_mut(&consumer.name) {
            Some((known, _)) => *known = Consumer { registered_at: known.registered_at, ..consumer.clone() },
            None => drop(home.consumers.insert(consumer.name.clone(), (consumer.clone(), None))),
        }
        Ok(())
    }

    fn report_consumer(&self, name: &str, reported: &Reported) -> Result<bool> {
        let mut home = self.0.lock();
        let found = home.consumers.get_mut(name).map(|(_, last)| *last = Some(*reported));
        Ok(found.is_some())
    }

    fn remove_consumer(&self, name: &str) -> Result<bool> {
        Ok(self.0.lock().consumers.remove(name).is_some())
    }

    fn consumers(&self) -> Result<Vec<(Consumer, Option<Reported>)>> {
        Ok(self.0.lock().consumers.values().cloned().collect())
    }
}
