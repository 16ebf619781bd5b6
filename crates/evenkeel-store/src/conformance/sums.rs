//! Cases: digests of rows and the sums of them are of what the projector meant, and move with the rows and with their
//! table.
use super::{
    Failure, Outcome, Stores, ensure,
    fixture::{checkpoint, counter, exact, replacing},
    random::{XorShift, shapes, step},
    same,
    steps::{next, park, with_rows},
};
use crate::{Models, Removal, Scrubbed, Settled, Step, StoreError, StoredRow, Table};
use evenkeel_core::{
    ModelName, Position,
    checkpoint::{Checkpoint, Counts},
    content::Window,
    digest::{Buckets, KeyHash, RowDigest, RowHasher, Sum},
    drift::Content,
    fold::ParkState,
    row::Key,
    schema::Schema,
};

/// The digests that the upserts of a step must have.
pub(super) fn digests(models: &dyn Models, schema: &Schema, step: &Step) -> Vec<RowDigest> {
    let mut hasher = RowHasher::new(&models.digest_key(), schema);
    step.upserts.iter().map(|upsert| hasher.row(schema, &upsert.row)).collect()
}

/// All rows as the scrub sees them, in pages of `limit`; fails where a page breaks the order of the keys.
pub(super) fn scrubbed(
    models: &dyn Models,
    schema: &Schema,
    table: Table,
    limit: usize,
) -> Result<Vec<Scrubbed>, Failure> {
    let mut all: Vec<Scrubbed> = Vec::new();
    loop {
        let last = all.last().map(|row| row.key.clone());
        let page = models.scrub(&schema.model, table, last.as_ref(), limit)?;
        ensure(page.len() <= limit, "a page of the scrub is no longer than asked for")?;
        let keys: Vec<Option<&Key>> = last.iter().chain(page.iter().map(|row| &row.key)).map(Some).collect();
        ensure(keys.is_sorted_by(|a, b| a < b), "the scrub goes on in order of the keys")?;
        let is_last = page.len() < limit;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

/// Fails unless the rows that are there are those that the table's sums hold, each intact and digested as
/// [`RowHasher`] does.
pub(super) fn add_up(models: &dyn Models, schema: &Schema, table: Table) -> Outcome {
    let mut hasher = RowHasher::new(&models.digest_key(), schema);
    let rows = models.rows(&schema.model, table, None, usize::MAX)?.rows;
    let mut there = Buckets::default();
    let mut expected = Vec::new();
    for (row, _) in &rows {
        let key = Key::of(schema, row);
        let (hash, digest) = (hasher.key(&key), hasher.row(schema, row));
        there.get_mut(hash.bucket()).add(digest.0);
        expected.push(Scrubbed { key, hash, digest, intact: true });
    }
    let what = || rows.iter().map(|(row, _)| exact(row)).collect::<Vec<_>>().join("\n");
    same(
        format!("the {table:?} table as the scrub sees it"),
        scrubbed(models, schema, table, 1 + rows.len() / 2)?,
        expected,
    )?;
    let meant = models.buckets(&schema.model, table)?;
    same(
        format!("buckets of the {table:?} table that do not add up to\n{}", what()),
        there.differing(&meant),
        Vec::new(),
    )?;
    same("the rows by the sums", meant.rows(), rows.len() as i64)
}

/// A step from the state of a table, with rows that replace what is there.
fn next_of(models: &dyn Models, schema: &Schema, table: Table, keys: &[&str], n: i64) -> Result<Step, Failure> {
    let state = models.register(schema)?;
    let generation = match table {
        Table::Build => state.build.map(|build| build.generation).unwrap_or_default(),
        _ => state.generation,
    };
    let step = with_rows(Step { generation, ..Step::default() }, schema, keys, n);
    Ok(replacing(models, &schema.model, table, step)?)
}

fn sum(digests: &[RowDigest]) -> Sum {
    let mut sum = Sum::default();
    digests.iter().for_each(|digest| sum.add(digest.0));
    sum
}

/// The digests that a commit answers with are those of the rows by the store's key, of the table's own schema, and stand
/// beside the rows from then on.
///
/// # Errors
/// What the store did instead.
pub fn digests_are_those_of_the_rows(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let old = counter("m");
    let mut new = counter("m");
    new.version = 2;
    models.register(&old)?;
    models.begin_build(&new)?;
    let mut all = Vec::new();
    for (table, schema) in [(Table::Live, &old), (Table::Build, &new)] {
        for n in [1, 1, 2] {
            let step = next_of(models, &Schema { version: 1, ..schema.clone() }, table, &["b", "a"], n)?;
            let digests = models.commit(&old.model, table, &step)?;
            same(format!("digests in the {table:?} table"), digests.clone(), self::digests(models, schema, &step))?;
            let loaded = models.load(&old.model, table, &[Key::text("b"), Key::text("a")])?.rows;
            let expected = step.upserts.iter().zip(&digests).map(|(upsert, digest)| StoredRow {
                key: upsert.key.clone(),
                row: upsert.row.clone(),
                meant: Some(*digest),
                digest: *digest,
            });
            same("the rows with their digests", loaded, expected.collect())?;
            add_up(models, schema, table)?;
            all.extend(digests);
        }
    }
    let mut distinct: Vec<_> = all.iter().map(|digest| digest.0).collect();
    distinct.sort_unstable();
    distinct.dedup();
    same("how many digests there are of two rows, two contents and two versions", distinct.len(), 8)?;
    let at = models.get(&old.model, &Key::text("a"))?;
    ensure(at.intact, "a row the projector wrote is intact")?;
    ensure(models.get(&old.model, &Key::text("z"))?.intact, "a row that never was is intact")?;
    ensure(models.rows(&old.model, Table::Live, None, 9)?.intact, "a page of them is intact")
}

/// After any steps the rows that are there add up to the sums of every bucket, in the live table and in a build.
///
/// # Errors
/// What the store did instead.
pub fn rows_add_up_to_the_buckets(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let [schema, ..] = shapes();
    let mut chance = XorShift::new(7);
    models.register(&schema)?;
    models.begin_build(&schema)?;
    for n in 1..40 {
        let table = chance.pick(&[Table::Live, Table::Build]);
        let generation = next_of(models, &schema, table, &[], 0)?.generation;
        let step = Step { generation, ..step(&mut chance, &schema, n) };
        let step = replacing(models, &schema.model, table, step)?;
        same("the digests", models.commit(&schema.model, table, &step)?, digests(models, &schema, &step))?;
        add_up(models, &schema, table)?;
    }
    let whole = scrubbed(models, &schema, Table::Live, usize::MAX)?;
    ensure(whole.len() > 7, "there are rows to page through")?;
    for limit in [1, 2, 7, whole.len(), whole.len() + 1] {
        same(format!("the scrub in pages of {limit}"), scrubbed(models, &schema, Table::Live, limit)?, whole.clone())?;
    }
    let nothing = models.scrub(&schema.model, Table::Live, whole.last().map(|row| &row.key), 5)?;
    same("the scrub after the last row", nothing, Vec::new())
}

/// The sums move by what a step says that it replaces, whatever is there: they are what the projector meant. They can be
/// put right by themselves.
///
/// # Errors
/// What the store did instead.
pub fn sums_are_of_what_was_meant(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let bucket = RowHasher::new(&models.digest_key(), &schema).key(&Key::text("a")).bucket();
    let of_bucket = || Ok::<_, Failure>(models.buckets(&schema.model, Table::Live)?.get(bucket));
    let first = models.commit(&schema.model, Table::Live, &with_rows(next(models, &schema)?, &schema, &["a"], 1))?;
    same("the sum of one row", of_bucket()?, sum(&first))?;
    let second = models.commit(&schema.model, Table::Live, &with_rows(next(models, &schema)?, &schema, &["a"], 2))?;
    let both = [first.clone(), second.clone()].concat();
    same("the sum after a step that replaces nothing", of_bucket()?, sum(&both))?;
    let removal = Removal { key: Key::text("a"), replaces: first.first().copied() };
    models.commit(&schema.model, Table::Live, &Step { deletes: vec![removal], ..next(models, &schema)? })?;
    same("the sum after a delete", of_bucket()?, sum(&second))?;
    models.commit(
        &schema.model,
        Table::Live,
        &Step { deletes: vec![Removal::new(Key::text("a"))], ..next(models, &schema)? },
    )?;
    same("the sum after a delete that replaces nothing", of_bucket()?, sum(&second))?;
    let before = models.register(&schema)?;
    let right = [(bucket, Sum::default()), (0, sum(&both)), (4095, sum(&first))];
    models.set_buckets(&schema.model, Table::Live, &right)?;
    let mut expected = Buckets::default();
    right.iter().for_each(|(bucket, sum)| *expected.get_mut(*bucket) = *sum);
    same(
        "buckets that differ once put right",
        models.buckets(&schema.model, Table::Live)?.differing(&expected),
        vec![],
    )?;
    same("the state after that", models.register(&schema)?, before)
}

/// Sums of windows are added to, listed in order from a window on without those that hold nothing, and can be put right
/// together with the counts of the checkpoint.
///
/// # Errors
/// What the store did instead.
pub fn windows_add_up(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let identity = |n: u8| RowDigest([n; 16]);
    let steps = [
        vec![(Window(1), sum(&[identity(1)])), (Window(0), sum(&[identity(2), identity(3)]))],
        vec![
            (Window(1), sum(&[identity(255)])),
            (Window(1), sum(&[identity(9)])),
            (Window(1 << 40), sum(&[identity(4)])),
        ],
        vec![(Window(0), Sum::default().minus(sum(&[identity(2), identity(3)]))), (Window(3), Sum::default())],
    ];
    for identities in steps {
        models.commit(&schema.model, Table::Live, &Step { identities, ..next(models, &schema)? })?;
    }
    let one = (Window(1), sum(&[identity(1), identity(9), identity(255)]));
    let far = (Window(1 << 40), sum(&[identity(4)]));
    for (from, expected) in [(0, vec![one, far]), (1, vec![one, far]), (2, vec![far]), ((1 << 40) + 1, Vec::new())] {
        let found = models.identities(&schema.model, Table::Live, Window(from))?;
        same(format!("windows from {from} on"), found, expected)?;
    }
    let counts = Counts { applied: 7, ignored: 8, parked: 9 };
    let right = Checkpoint { counts, ..checkpoint(3) };
    let sums = [(Window(1), Sum::default()), (Window(2), sum(&[identity(5)]))];
    let generation = models.register(&schema)?.generation;
    let stale = models.set_identities(&schema.model, generation + 1, &sums, &right).err();
    let conflict = StoreError::Conflict { model: schema.model.clone(), expected: generation + 1, found: generation };
    same("windows put right for another generation", stale, Some(conflict))?;
    models.set_identities(&schema.model, generation, &sums, &right)?;
    same("the generation moves on", models.register(&schema)?.generation, generation + 1)?;
    same("windows put right", models.identities(&schema.model, Table::Live, Window(0))?, vec![sums[1], far])?;
    same("the checkpoint put right", models.register(&schema)?.checkpoint, right)
}

/// Which events touched a key is found by the key's hash, in order, once each.
///
/// # Errors
/// What the store did instead.
pub fn events_are_found_by_the_keys_they_touched(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let hashes = [0, 1, (1 << 63) - 1, 1 << 63, u64::MAX].map(KeyHash);
    for positions in [[9, 3], [4, 3], [i64::MAX as u64, 1]] {
        let touches =
            hashes.iter().skip(1).flat_map(|hash| positions.map(|position| (*hash, Position(position)))).collect();
        models.commit(&schema.model, Table::Live, &Step { touches, ..next(models, &schema)? })?;
    }
    let before = models.register(&schema)?;
    for _ in 0..2 {
        models.index(
            &schema.model,
            Table::Live,
            &hashes[1..].iter().map(|hash| (*hash, Position(5))).collect::<Vec<_>>(),
        )?;
    }
    models.index(&schema.model, Table::Live, &[])?;
    ensure(models.index_is_sound(&schema.model, Table::Live)?, "an index that nobody else wrote to is sound")?;
    models.settle_index(&schema.model, Table::Live)?;
    ensure(models.index_is_sound(&schema.model, Table::Live)?, "one that was settled is sound")?;
    same("the state when more was noted", models.register(&schema)?, before)?;
    same("events of a key that none touched", models.touching(&schema.model, Table::Live, hashes[0])?, Vec::new())?;
    for hash in hashes.into_iter().skip(1) {
        let expected = [1, 3, 4, 5, 9, i64::MAX as u64].map(Position).to_vec();
        same(format!("events of {hash:?}"), models.touching(&schema.model, Table::Live, hash)?, expected)?;
    }
    Ok(())
}

/// All that is summed up of a table.
type Summed = (Vec<(u16, Sum)>, Vec<(Window, Sum)>, Vec<Position>);

fn summed(models: &dyn Models, schema: &Schema, table: Table) -> Result<Summed, Failure> {
    let buckets = models.buckets(&schema.model, table)?;
    let changed = buckets.differing(&Buckets::default()).into_iter().map(|bucket| (bucket, buckets.get(bucket)));
    let windows = models.identities(&schema.model, table, Window(0))?;
    Ok((changed.collect(), windows, models.touching(&schema.model, table, KeyHash(5))?))
}

/// A step on a table that moves everything that is summed up of it.
fn move_all(models: &dyn Models, schema: &Schema, table: Table, n: i64) -> Result<Summed, Failure> {
    let step = Step {
        identities: vec![(Window(n as u64), sum(&[RowDigest([n as u8; 16])]))],
        touches: vec![(KeyHash(5), Position(n as u64))],
        parks: vec![park(n as u64, 0, 0, None, ParkState::Held)],
        ..next_of(models, schema, table, &["a", &n.to_string()], n)?
    };
    models.commit(&schema.model, table, &step)?;
    summed(models, schema, table)
}

/// Buckets, windows and touches go with their table when it is swapped in, put aside, brought back or dropped.
///
/// # Errors
/// What the store did instead.
pub fn sums_go_with_their_table(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let model = &schema.model;
    let nothing = (Vec::new(), Vec::new(), Vec::new());
    models.register(&schema)?;
    let first = move_all(models, &schema, Table::Live, 1)?;
    same("the live sums after one step", (first.0.len(), first.1.len(), first.2.len()), (2, 1, 1))?;
    models.begin_build(&schema)?;
    same("the sums of a new build", summed(models, &schema, Table::Build)?, nothing.clone())?;
    let second = move_all(models, &schema, Table::Build, 2)?;
    same("the live sums beside a build", summed(models, &schema, Table::Live)?, first.clone())?;
    models.swap(model, Content::default())?;
    same("the live sums after a swap", summed(models, &schema, Table::Live)?, second.clone())?;
    same("the sums put aside", summed(models, &schema, Table::Previous)?, first.clone())?;
    add_up(models, &schema, Table::Live)?;
    let second = move_all(models, &schema, Table::Live, 3)?;
    models.rollback(model, None)?;
    same("the live sums after a rollback", summed(models, &schema, Table::Live)?, first.clone())?;
    same("the sums put aside by a rollback", summed(models, &schema, Table::Previous)?, second.clone())?;
    add_up(models, &schema, Table::Live)?;
    move_all(models, &schema, Table::Live, 4)?;
    add_up(models, &schema, Table::Live)?;
    models.rollback(model, None)?;
    same("the live sums after another", summed(models, &schema, Table::Live)?, second.clone())?;
    for abandon in [true, false] {
        models.begin_build(&schema)?;
        same("the sums of the next build", summed(models, &schema, Table::Build)?, nothing.clone())?;
        move_all(models, &schema, Table::Build, 5)?;
        if abandon {
            models.abandon_build(model)?;
            same("the sums of no build", summed(models, &schema, Table::Build), Err(missing(model)))?;
        }
    }
    same("the live sums after all that", summed(models, &schema, Table::Live)?, second)?;
    models.swap(model, Content::default())?;
    add_up(models, &schema, Table::Live)?;
    add_up(models, &schema, Table::Previous)
}

fn missing(model: &ModelName) -> Failure {
    StoreError::NoModel(model.clone()).into()
}

/// What is asked or said about the content of a model that does not exist is an error that names it.
///
/// # Errors
/// What the store did instead.
pub fn sums_of_nothing_are_said_to_be_missing(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let (nobody, key) = (ModelName::from("nobody"), Key::text("a"));
    let is_missing = |what: &str, error: Option<StoreError>, model: &ModelName| {
        same(what, error, Some(StoreError::NoModel(model.clone())))
    };
    is_missing("notes", models.touched(&nobody, 5).err(), &nobody)?;
    is_missing("notes of rows", models.notes(&nobody, &[]).err(), &nobody)?;
    is_missing("settling", models.settle(&nobody, &[Settled::written(key, None)]).err(), &nobody)?;
    is_missing("settling nothing", models.settle(&nobody, &[]).err(), &nobody)?;
    is_missing("condemning", models.condemn(&nobody, "gone").err(), &nobody)?;
    is_missing("watching", models.watch(&nobody).err(), &nobody)?;
    is_missing("a rollback", models.rollback(&nobody, None).err(), &nobody)?;
    is_missing("windows put right", models.set_identities(&nobody, 0, &[], &checkpoint(1)).err(), &nobody)?;
    let schema = counter("there");
    let before = models.register(&schema)?;
    let tables = [(&nobody, Table::Live), (&schema.model, Table::Build), (&schema.model, Table::Previous)];
    for (model, table) in tables {
        is_missing("a scrub", models.scrub(model, table, None, 1).err(), model)?;
        is_missing("buckets", models.buckets(model, table).err(), model)?;
        is_missing("buckets put right", models.set_buckets(model, table, &[(1, Sum::default())]).err(), model)?;
        is_missing("windows", models.identities(model, table, Window(0)).err(), model)?;
        is_missing("touches noted", models.index(model, table, &[(KeyHash(0), Position(1))]).err(), model)?;
        is_missing("touches", models.touching(model, table, KeyHash(0)).err(), model)?;
        is_missing("whether they are sound", models.index_is_sound(model, table).err(), model)?;
        is_missing("touches settled", models.settle_index(model, table).err(), model)?;
    }
    same("the state after all that", models.register(&schema)?, before)
}
