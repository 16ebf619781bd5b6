//! What a home of models holds in memory: models, their tables, and how a step changes one.
//!
//! Not here: the calls of the trait ([`super::MemoryModels`]) and the records of reconciliations ([`super::records`]).
use super::{DIGEST_KEY, records::Records};
use crate::{Build, ModelState, Parked, Result, Settled, Step, StoreError, StoredRow, Table};
use evenkeel_core::{
    Digest, ModelName, Position, Timestamp,
    checkpoint::Checkpoint,
    consumer::{Consumer, Reported},
    content::{Touched, Window},
    digest::{Buckets, KeyHash, RowDigest, RowHasher, Sum, indexed},
    drift::{Content, Verdict},
    fold::{Park, ParkState, TouchId},
    row::{Key, Row},
    schema::Schema,
};
use std::collections::{BTreeMap, BTreeSet, HashSet};

#[derive(Clone, Default)]
pub(super) struct HomeState {
    pub(super) models: BTreeMap<ModelName, Model>,
    pub(super) records: Records,
    pub(super) leases: BTreeMap<ModelName, (String, Timestamp)>,
    pub(super) consumers: BTreeMap<String, (Consumer, Option<Reported>)>,
}

#[derive(Clone)]
pub(super) struct Model {
    pub(super) live: TableState,
    pub(super) build: Option<TableState>,
    pub(super) previous: Option<TableState>,
    /// The last generation that any build of this model had: a new one goes on from it, so that a step made for a
    /// build since dropped does not fit the next.
    pub(super) built: u64,
    pub(super) as_of: Option<Timestamp>,
    pub(super) condemned: Option<String>,
    pub(super) rolled_back_from: Option<Digest>,
    pub(super) doubts: u64,
    /// What somebody else did to rows of the live table first.
    pub(super) touched: BTreeMap<Key, Touched>,
    pub(super) watched: bool,
}

#[derive(Clone)]
pub(super) struct TableState {
    pub(super) schema: Schema,
    pub(super) checkpoint: Checkpoint,
    pub(super) generation: u64,
    pub(super) content: Content,
    /// Each row with the digest that was written with it.
    pub(super) rows: BTreeMap<Key, (Row, Option<RowDigest>)>,
    pub(super) parks: BTreeMap<TouchId, Park>,
    pub(super) buckets: Buckets,
    pub(super) windows: BTreeMap<Window, Sum>,
    pub(super) touches: BTreeSet<(KeyHash, Position)>,
    /// The sum of the touches that were put there.
    pub(super) index_meant: Sum,
}

impl HomeState {
    pub(super) fn model(&self, name: &ModelName) -> Result<&Model> {
        self.models.get(name).ok_or_else(|| StoreError::NoModel(name.clone()))
    }

    pub(super) fn model_mut(&mut self, name: &ModelName) -> Result<&mut Model> {
        self.models.get_mut(name).ok_or_else(|| StoreError::NoModel(name.clone()))
    }

    pub(super) fn table(&self, name: &ModelName, table: Table) -> Result<&TableState> {
        let model = self.model(name)?;
        match table {
            Table::Live => Ok(&model.live),
            Table::Build => model.build.as_ref().ok_or_else(|| StoreError::NoModel(name.clone())),
            Table::Previous => model.previous.as_ref().ok_or_else(|| StoreError::NoModel(name.clone())),
        }
    }

    pub(super) fn table_mut(&mut self, name: &ModelName, table: Table) -> Result<&mut TableState> {
        let model = self.model_mut(name)?;
        match table {
            Table::Live => Ok(&mut model.live),
            Table::Build => model.build.as_mut().ok_or_else(|| StoreError::NoModel(name.clone())),
            Table::Previous => model.previous.as_mut().ok_or_else(|| StoreError::NoModel(name.clone())),
        }
    }
}

impl Model {
    pub(super) fn new(schema: &Schema) -> Self {
        Self {
            live: TableState::new(schema, 0),
            build: None,
            previous: None,
            built: 0,
            as_of: None,
            condemned: None,
            rolled_back_from: None,
            doubts: 0,
            touched: BTreeMap::new(),
            watched: true,
        }
    }

    pub(super) fn state(&self) -> ModelState {
        let TableState { schema, checkpoint, generation, .. } = &self.live;
        ModelState {
            schema: schema.clone(),
            checkpoint: *checkpoint,
            generation: *generation,
            content: self.content(),
            doubts: self.doubts,
            parked: self.live.parked(),
            as_of: self.as_of,
            build: self.build.as_ref().map(TableState::build),
            previous: self.previous.as_ref().map(TableState::build),
            condemned: self.condemned.clone(),
            rolled_back_from: self.rolled_back_from,
        }
    }

    /// Where somebody else has written, or the rows are condemned, what was found out before is no longer known.
    pub(super) fn content(&self) -> Content {
        let found = self.live.content;
        match found.verdict {
            Verdict::Verified | Verdict::Unverified if !self.touched.is_empty() || self.condemned.is_some() => {
                Content { verdict: Verdict::Suspect, ..found }
            }
            _ => found,
        }
    }

    /// Puts `next` in the live table's place; the live table comes back.
    pub(super) fn replace_live(&mut self, mut next: TableState) -> TableState {
        next.generation = self.live.generation.max(next.generation) + 1;
        let discarded = self.live.parks.iter().filter(|(_, park)| park.state == ParkState::Discarded);
        for (touch, park) in discarded {
            let of_another = next.parks.get(touch).is_some_and(|new| new.event_id != park.event_id);
            if !of_another {
                next.parks.insert(*touch, park.clone());
            }
        }
        // What the old table had reached says nothing of a new one that is behind it.
        if next.checkpoint.position < self.live.checkpoint.position {
            self.as_of = None;
        }
        self.condemned = None;
        self.touched.clear();
        self.watched = true;
        std::mem::replace(&mut self.live, next)
    }

    pub(super) fn doubt(&mut self, bad_buckets: u32) {
        self.doubts += 1;
        self.live.content = self.live.content.doubted(bad_buckets);
    }

    pub(super) fn settle(&mut self, rows: &[Settled]) {
        let mut hasher = self.live.hasher();
        for settled in rows {
            if settled.is_still(self.live.stored(&mut hasher, &settled.key).iter()) {
                self.touched.remove(&settled.key);
            }
        }
    }

    pub(super) fn next_build(&mut self) -> u64 {
        self.built += 1;
        self.built
    }
}

impl TableState {
    pub(super) fn new(schema: &Schema, generation: u64) -> Self {
        Self {
            schema: schema.clone(),
            checkpoint: Checkpoint::default(),
            generation,
            content: Content::default(),
            rows: BTreeMap::new(),
            parks: BTreeMap::new(),
            buckets: Buckets::default(),
            windows: BTreeMap::new(),
            touches: BTreeSet::new(),
            index_meant: Sum::default(),
        }
    }

    pub(super) fn hasher(&self) -> RowHasher {
        RowHasher::new(&DIGEST_KEY, &self.schema)
    }

    pub(super) fn stored(&self, hasher: &mut RowHasher, key: &Key) -> Option<StoredRow> {
        let (row, meant) = self.rows.get(key)?;
        let digest = hasher.row(&self.schema, row);
        Some(StoredRow { key: key.clone(), row: row.clone(), meant: *meant, digest })
    }

    pub(super) fn move_sum(&mut self, hash: KeyHash, from: Option<RowDigest>, to: Option<RowDigest>) {
        let sum = self.buckets.get_mut(hash.bucket());
        from.iter().for_each(|digest| sum.sub(digest.0));
        to.iter().for_each(|digest| sum.add(digest.0));
    }

    pub(super) fn build(&self) -> Build {
        Build { schema: self.schema.clone(), checkpoint: self.checkpoint, generation: self.generation }
    }

    /// Parks that nobody has given up.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Park> {
        self.parks.values().filter(|park| park.state != ParkState::Discarded)
    }

    pub(super) fn waiting_keys(&self) -> HashSet<&Key> {
        self.waiting().filter_map(|park| park.key.as_ref()).collect()
    }

    /// One event may be parked for several rows; it counts once.
    pub(super) fn parked(&self) -> Parked {
        let events: HashSet<_> = self.waiting().map(|park| park.touch.position).collect();
        Parked { events: events.len() as u64, oldest_at: self.waiting().map(|park| park.at).min() }
    }

    pub(super) fn parked_of(&self, key: &Key) -> u64 {
        let of_key = self.waiting().filter(|park| park.key.as_ref() == Some(key));
        of_key.map(|park| park.touch.position).collect::<HashSet<_>>().len() as u64
    }

    pub(super) fn any_unnamed(&self) -> bool {
        self.waiting().any(|park| park.key.is_none())
    }

    pub(super) fn write(&mut self, step: &Step) -> Vec<RowDigest> {
        let mut hasher = self.hasher();
        for removal in &step.deletes {
            self.rows.remove(&removal.key);
            self.move_sum(hasher.key(&removal.key), removal.replaces, None);
        }
        let mut digests = Vec::with_capacity(step.upserts.len());
        for upsert in &step.upserts {
            let digest = hasher.row(&self.schema, &upsert.row);
            self.rows.insert(upsert.key.clone(), (upsert.row.clone(), Some(digest)));
            self.move_sum(hasher.key(&upsert.key), upsert.replaces, Some(digest));
            digests.push(digest);
        }
        for touch in &step.unparks {
            self.parks.remove(touch);
        }
        self.parks.extend(step.parks.iter().map(|park| (park.touch, park.clone())));
        for (window, sum) in &step.identities {
            let stored = self.windows.entry(*window).or_default();
            *stored = stored.plus(*sum);
        }
        self.index(&step.touches);
        self.checkpoint = step.checkpoint;
        self.generation += 1;
        digests
    }

    pub(super) fn index(&mut self, touches: &[(KeyHash, Position)]) {
        for (hash, position) in touches.iter().copied() {
            if self.touches.insert((hash, position)) {
                self.index_meant.add(indexed(hash, position));
            }
        }
    }

    /// The sum of the touches that are there.
    pub(super) fn indexed(&self) -> Sum {
        let mut sum = Sum::default();
        self.touches.iter().for_each(|(hash, position)| sum.add(indexed(*hash, *position)));
        sum
    }
}
