//! Cases: records of conflicts are kept with the rows they concern, once, and come back as they were.
use super::{
    Outcome, Stores,
    fixture::{at, counter},
    same,
    steps::{next, with_rows},
};
use crate::{ConflictQuery, RecordedConflict, Step, StoreError, Table};
use evenkeel_core::{
    EventId, Position,
    clock::{Hlc, Relation},
    event::Saw,
    intake::SourceDot,
    json::{self, Value},
    merge::{Conflict, Contender, Counted, Mark, Named},
    order::{Rule, WriteKind},
    row::Key,
    schema::{Merge, Schema},
};

/// A write by the event at `position`, of a source that counts its events where that is odd.
fn write(position: u64, value: Value) -> Contender {
    let clock = [SourceDot::new("shop", position), SourceDot::new("till", 7)];
    let is_sources = position % 2 == 1;
    let mark = Mark {
        position: Position(position),
        by: if is_sources { Counted::Source("shop".into()) } else { Counted::Replica("a".into()) },
        seq: position,
        hlc: Hlc::new(1_790_000_000_000 + position, 3),
        saw: (!is_sources).then(|| Saw { upto: Position(1), request: Hlc::from_u64(u64::MAX) }),
        sent: if is_sources { Hlc::ZERO } else { Hlc::new(1_790_000_000_000 + position, 1) },
        clock: is_sources.then(|| clock.into()),
    };
    Contender { mark, kind: WriteKind::Set, value, version: None }
}

fn conflict(key: &str, earlier: u64, later: u64) -> Conflict {
    let exact = json::parse(r#"{"n":9007199254740993.01,"t":"é\u0000"}"#.as_bytes()).unwrap_or_default();
    Conflict {
        key: Key::text(key),
        column: "n".into(),
        strategy: Merge::Version,
        relation: Relation::Concurrent,
        rule: Rule::Hlc,
        winner: write(later, exact),
        loser: Contender {
            kind: WriteKind::Delete,
            version: Some(Named { id: EventId::of("shop", "1"), based_on: Some(EventId::of("shop", "0")) }),
            ..write(earlier, Value::Null)
        },
        at: at(later as i64),
    }
}

fn recorded(schema: &Schema, conflict: Conflict) -> RecordedConflict {
    let id = conflict.id(&schema.model);
    RecordedConflict { id, model: schema.model.clone(), model_version: schema.version, conflict }
}

fn all() -> ConflictQuery {
    ConflictQuery { limit: 100, ..ConflictQuery::default() }
}

/// A record is kept once, with its rows, and found by its model, its row and its name, the latest first.
///
/// # Errors
/// What the store did instead.
pub fn conflicts_are_kept_once_and_found_again(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let (schema, other) = (counter("m"), counter("other"));
    models.register(&schema)?;
    models.register(&other)?;
    let conflicts = vec![conflict("a", 2, 3), conflict("b", 2, 5), conflict("a", 4, 5)];
    for _ in 0..2 {
        let step = Step { conflicts: conflicts.clone(), ..with_rows(next(models, &schema)?, &schema, &["a"], 1) };
        models.commit(&schema.model, Table::Live, &step)?;
    }
    let step = Step { conflicts: vec![conflict("a", 2, 3)], ..next(models, &other)? };
    models.commit(&other.model, Table::Live, &step)?;
    let mut expected: Vec<_> = conflicts.into_iter().map(|conflict| recorded(&schema, conflict)).collect();
    expected.push(recorded(&other, conflict("a", 2, 3)));
    expected.sort_by_key(|record| std::cmp::Reverse((record.conflict.position(), record.id)));
    same("all records", models.conflicts(&all())?, expected.clone())?;
    same("how many", (models.count_conflicts(&schema.model)?, models.count_conflicts(&other.model)?), (3, 1))?;
    for wanted in [
        ConflictQuery { model: Some(schema.model.clone()), ..all() },
        ConflictQuery { model: Some(schema.model.clone()), key: Some(Key::text("a")), ..all() },
        ConflictQuery { key: Some(Key::text("b")), ..all() },
        ConflictQuery { id: Some(expected[1].id), ..all() },
        ConflictQuery { model: Some(other.model), key: Some(Key::text("b")), ..all() },
    ] {
        let is_wanted = |record: &&RecordedConflict| {
            wanted.model.as_ref().is_none_or(|model| *model == record.model)
                && wanted.key.as_ref().is_none_or(|key| *key == record.conflict.key)
                && wanted.id.is_none_or(|id| id == record.id)
        };
        let found: Vec<_> = expected.iter().filter(is_wanted).cloned().collect();
        same(format!("{wanted:?}"), models.conflicts(&wanted)?, found)?;
    }
    // Page by page.
    let mut paged: Vec<RecordedConflict> = Vec::new();
    loop {
        let before = paged.last().map(|last| (last.conflict.position(), last.id, last.model_version));
        let page = models.conflicts(&ConflictQuery { before, limit: 1, ..ConflictQuery::default() })?;
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    same("page by page", paged, expected)
}

/// What is decided by a step that does not fit is not recorded, and another version's decision stands beside the first.
///
/// # Errors
/// What the store did instead.
pub fn conflicts_are_recorded_with_their_step(stores: &Stores) -> Outcome {
    let models = &*stores.models;
    let schema = counter("m");
    let generation = models.register(&schema)?.generation;
    let step = Step { conflicts: vec![conflict("a", 2, 3)], generation: generation + 1, ..next(models, &schema)? };
    let found = models.commit(&schema.model, Table::Live, &step).map(drop);
    let refused = StoreError::Conflict { model: schema.model.clone(), expected: generation + 1, found: generation };
    same("a step of another generation", found, Err(refused))?;
    same("its record", models.conflicts(&all())?, Vec::new())?;
    models.commit(&schema.model, Table::Live, &Step { generation, ..step.clone() })?;
    let changed = Schema { version: 2, ..schema.clone() };
    let generation = models.begin_build(&changed)?.generation;
    models.commit(&schema.model, Table::Build, &Step { generation, ..step })?;
    let found: Vec<_> = models.conflicts(&all())?.iter().map(|record| record.model_version).collect();
    same("the versions that decided", found, vec![2, 1])
}
