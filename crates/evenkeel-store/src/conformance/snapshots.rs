//! Cases: a snapshot is there whole or not at all, and comes back as it was written; a table handed out for one is of one
//! moment.
use super::{
    Failure, Outcome, Stores, ensure,
    fixture::{counter, replacing},
    random::{XorShift, shapes, step},
    same,
    steps::{next, park, with_rows},
};
use crate::{Books, Draft, Models, Piece, Removal, Snapshots, Step, StoreError, StoredRow, Table};
use evenkeel_core::{
    ModelName, Position,
    content::Window,
    digest::{KeyHash, RowHasher, Sum},
    fold::ParkState,
    row::Key,
    schema::Schema,
};
use std::ops::ControlFlow;

fn write(draft: &mut dyn Draft, frames: &[Vec<u8>]) -> Outcome {
    frames.iter().try_for_each(|frame| Ok(draft.write(frame)?))
}

fn keep(snapshots: &dyn Snapshots, model: &ModelName, position: u64, frames: &[Vec<u8>]) -> Outcome {
    let mut draft = snapshots.begin(model, Position(position))?;
    write(draft.as_mut(), frames)?;
    same("the position it is kept at", draft.keep()?.position, Position(position))
}

fn frames(snapshots: &dyn Snapshots, model: &ModelName, position: u64) -> Result<Option<Vec<Vec<u8>>>, Failure> {
    let Some(mut reading) = snapshots.open(model, Position(position))? else { return Ok(None) };
    let mut frames = Vec::new();
    while let Some(frame) = reading.next()? {
        frames.push(frame);
    }
    same("after the end", reading.next()?, None)?;
    Ok(Some(frames))
}

fn positions(snapshots: &dyn Snapshots, model: &ModelName) -> Result<Vec<u64>, Failure> {
    Ok(snapshots.list(model)?.into_iter().map(|kept| kept.position.0).collect())
}

/// Frames of any length and content come back as they were written, in their order.
///
/// # Errors
/// What the store did instead.
pub fn frames_come_back_as_they_were_written(stores: &Stores) -> Outcome {
    let snapshots = &*stores.snapshots;
    let mut chance = XorShift::new(11);
    let mut all: Vec<Vec<u8>> = vec![Vec::new(), b"a".to_vec(), vec![0; 300_000]];
    all.extend((0..20).map(|n| (0..n * 997).map(|_| chance.draw() as u8).collect()));
    let model = ModelName::from("m");
    keep(snapshots, &model, u64::MAX, &all)?;
    same("the frames", frames(snapshots, &model, u64::MAX)?, Some(all))?;
    keep(snapshots, &model, 1, &[])?;
    same("a snapshot without frames", frames(snapshots, &model, 1)?, Some(Vec::new()))
}

/// A snapshot that is dropped while it is written leaves nothing.
///
/// # Errors
/// What the store did instead.
pub fn what_is_not_kept_is_not_there(stores: &Stores) -> Outcome {
    let snapshots = &*stores.snapshots;
    let model = ModelName::from("m");
    same("at first", positions(snapshots, &model)?, vec![])?;
    let mut draft = snapshots.begin(&model, Position(3))?;
    write(draft.as_mut(), &[b"a".to_vec()])?;
    same("while it is written", positions(snapshots, &model)?, vec![])?;
    same("read while it is written", frames(snapshots, &model, 3)?, None)?;
    drop(draft);
    same("when it was dropped", positions(snapshots, &model)?, vec![])?;
    same("read when it was dropped", frames(snapshots, &model, 3)?, None)
}

/// What was written can be read before it is kept, which the writing goes on after.
///
/// # Errors
/// What the store did instead.
pub fn a_draft_is_read_back_before_it_is_kept(stores: &Stores) -> Outcome {
    let snapshots = &*stores.snapshots;
    let model = ModelName::from("m");
    let (first, second) = (vec![b"a".to_vec(), vec![1; 70_000]], vec![b"b".to_vec()]);
    let mut draft = snapshots.begin(&model, Position(3))?;
    write(draft.as_mut(), &first)?;
    let mut back = draft.read_back()?;
    for frame in &first {
        same("a frame read back", back.next()?, Some(frame.clone()))?;
    }
    same("the end of what was written", back.next()?, None)?;
    drop(back);
    write(draft.as_mut(), &second)?;
    draft.keep()?;
    same("all of it", frames(snapshots, &model, 3)?, Some([first, second].concat()))
}

/// Snapshots of a model are listed by position, and models of whatever names do not meet.
///
/// # Errors
/// What the store did instead.
pub fn snapshots_come_newest_first_and_of_one_model(stores: &Stores) -> Outcome {
    let snapshots = &*stores.snapshots;
    let names = ["orders", "..", "a/b", "a%2fb", "ä b", "a.snap", "-"].map(ModelName::from);
    for (n, name) in (1..).zip(&names) {
        for position in [9, 100, 10] {
            keep(snapshots, name, position, &[vec![n; usize::from(n)]])?;
        }
    }
    for (n, name) in (1..).zip(&names) {
        same(format!("the snapshots of {name}"), positions(snapshots, name)?, vec![100, 10, 9])?;
        same(format!("one of {name}"), frames(snapshots, name, 10)?, Some(vec![vec![n; usize::from(n)]]))?;
        ensure(snapshots.list(name)?.iter().all(|kept| kept.bytes > 0), "a snapshot takes room")?;
    }
    same("those of another", positions(snapshots, &"other".into())?, vec![])
}

/// Keeping one of a position that there is one of replaces it, for who begins to read it.
///
/// # Errors
/// What the store did instead.
pub fn a_snapshot_replaces_one_of_the_same_position(stores: &Stores) -> Outcome {
    let snapshots = &*stores.snapshots;
    let model = ModelName::from("m");
    keep(snapshots, &model, 3, &[b"old".to_vec()])?;
    let mut draft = snapshots.begin(&model, Position(3))?;
    write(draft.as_mut(), &[b"new".to_vec()])?;
    same("while the new one is written", frames(snapshots, &model, 3)?, Some(vec![b"old".to_vec()]))?;
    draft.keep()?;
    same("afterwards", frames(snapshots, &model, 3)?, Some(vec![b"new".to_vec()]))?;
    same("how many there are", positions(snapshots, &model)?, vec![3])
}

/// A removed snapshot is neither listed nor opened; removing what is not there is no error.
///
/// # Errors
/// What the store did instead.
pub fn a_removed_snapshot_is_gone(stores: &Stores) -> Outcome {
    let snapshots = &*stores.snapshots;
    let model = ModelName::from("m");
    keep(snapshots, &model, 3, &[b"a".to_vec()])?;
    keep(snapshots, &model, 4, &[b"b".to_vec()])?;
    snapshots.remove(&model, Position(3))?;
    same("what is left", positions(snapshots, &model)?, vec![4])?;
    same("the removed one", frames(snapshots, &model, 3)?, None)?;
    snapshots.remove(&model, Position(3))?;
    Ok(snapshots.remove(&"other".into(), Position(4))?)
}

/// Everything that was handed out.
#[derive(Debug, Default, PartialEq)]
struct Frozen {
    books: Vec<Books>,
    rows: Vec<(StoredRow, KeyHash)>,
    touches: Vec<(KeyHash, Position)>,
}

fn freeze(
    models: &dyn Models,
    model: &ModelName,
    meanwhile: &mut dyn FnMut(&Piece) -> Outcome,
) -> Result<Frozen, Failure> {
    let mut frozen = Frozen::default();
    let mut failed = Ok(());
    models.freeze(model, &mut |piece| {
        failed = meanwhile(&piece);
        if failed.is_err() {
            return ControlFlow::Break(());
        }
        match piece {
            Piece::Books(books) => frozen.books.push(*books),
            Piece::Rows(rows) => frozen.rows.extend(rows),
            Piece::Touches(touches) => frozen.touches.extend(touches),
        }
        ControlFlow::Continue(())
    })?;
    failed.map(|()| frozen)
}

/// What is written while a table is handed out is not seen in it, and is not held up.
///
/// # Errors
/// What the store did instead.
pub fn a_frozen_table_is_of_one_moment(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let keys: Vec<String> = (0..5000).map(|n| format!("{n:05}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let first = with_rows(next(models, &schema)?, &schema, &keys, 1);
    let touches = (0..5000).map(|n| (KeyHash(n), Position(1))).collect();
    models.commit(&schema.model, Table::Live, &Step { touches, ..first })?;
    let before = models.state(&schema.model)?;
    let mut n = 1;
    let frozen = freeze(models, &schema.model, &mut |_| {
        n += 1;
        let step = with_rows(next(models, &schema)?, &schema, &["00000", "04999", "new"], n);
        let step = replacing(models, &schema.model, Table::Live, step)?;
        let parks = vec![park(9, 0, 0, Some("p"), ParkState::Poison)];
        let deletes = vec![Removal::new(Key::text("02500"))];
        let touches = vec![(KeyHash(u64::MAX), Position(9))];
        let identities = vec![(Window(7), Sum { count: 1, total: 1 })];
        models.commit(&schema.model, Table::Live, &Step { parks, deletes, touches, identities, ..step })?;
        Ok(())
    })?;
    ensure(n > 2, "a table of many rows is handed out in several pieces")?;
    let state = frozen.books.first().map(|books| books.state.clone());
    same("the state", state, before)?;
    same("how many rows there were", frozen.rows.len(), 5000)?;
    ensure(
        frozen.rows.iter().all(|(row, _)| row.is_intact() && row.row.cells[1] == evenkeel_core::row::Cell::I64(1)),
        "every row is as it was when it began",
    )?;
    let books = frozen.books.first().map(|books| (books.parks.len(), books.identities.len()));
    same("parks and windows", books, Some((0, 0)))?;
    same("entries of the index", frozen.touches.len(), 5000)?;
    let mut pieces = 0;
    models.freeze(&schema.model, &mut |_| {
        pieces += 1;
        if pieces < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    same("pieces until it was enough", pieces, 2)?;
    let missing = models.freeze(&"other".into(), &mut |_| ControlFlow::Continue(()));
    same("a model that is not there", missing, Err(StoreError::NoModel("other".into())))
}

/// What is handed out is what all the other reads of the live table give.
///
/// # Errors
/// What the store did instead.
pub fn a_frozen_table_is_the_live_one_whole(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    for (seed, schema) in (1..).zip(shapes()) {
        let schema = Schema { model: format!("shape{seed}").as_str().into(), ..schema };
        models.register(&schema)?;
        let mut chance = XorShift::new(seed);
        for n in 1..20 {
            let state = models.register(&schema)?;
            let made = Step { generation: state.generation, ..step(&mut chance, &schema, n) };
            let made = replacing(models, &schema.model, Table::Live, made)?;
            models.commit(&schema.model, Table::Live, &made)?;
        }
        is_whole(models, &schema)?;
    }
    Ok(())
}

fn is_whole(models: &dyn Models, schema: &Schema) -> Outcome {
    let model = &schema.model;
    let frozen = freeze(models, model, &mut |_| Ok(()))?;
    let expected = Books {
        state: models.register(schema)?,
        parks: models.parks(model, None)?,
        buckets: models.buckets(model, Table::Live)?,
        identities: models.identities(model, Table::Live, Window::default())?,
        watched: true,
        touched: false,
    };
    same("the books", frozen.books, vec![expected])?;
    let rows = models.rows(model, Table::Live, None, usize::MAX)?.rows;
    let keys: Vec<Key> = rows.iter().map(|(row, _)| Key::of(schema, row)).collect();
    same(
        "the rows",
        frozen.rows.iter().map(|(row, _)| row.clone()).collect(),
        models.load(model, Table::Live, &keys)?.rows,
    )?;
    let mut hasher = RowHasher::new(&models.digest_key(), schema);
    for (row, hash) in &frozen.rows {
        same("the hash of a key", *hash, hasher.key(&row.key))?;
    }
    for (hash, position) in &frozen.touches {
        ensure(models.touching(model, Table::Live, *hash)?.contains(position), "every entry of the index is in it")?;
    }
    Ok(())
}
