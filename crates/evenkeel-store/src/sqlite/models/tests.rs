//! The models' own: how rows look to other SQL tools, what foreign edits read as, builds and the freshness view.
mod records;
mod sql;
mod statements;
mod watch;

use super::{cells::cell, layout::Layout, parks, state};
use crate::{
    Measured, Models, ParkFilter, ParkedRow, Step, StoreError, StoredRow, Table,
    conformance::fixture::{new_rows, replacing},
    sqlite::tests::{foreign, open, schema, step},
};
use evenkeel_core::{
    EventId, ModelName, Position, Timestamp,
    checkpoint::Checkpoint,
    content::Window,
    digest::{KeyHash, Sum},
    drift::{Content, Status, Verdict},
    fold::{Park, ParkState, TouchId},
    json,
    row::{Cell, Key, KeyPart, Row},
    schema::{ColumnType, Schema},
};
use proptest::prelude::*;
use rusqlite::{
    StatementStatus,
    types::{Value, ValueRef},
};
use tempfile::TempDir;

const AT: &str = "2026-01-31T10:20:30.000001Z";

fn every_type() -> Schema {
    schema(
        "every",
        &[
            ("id", ColumnType::Text),
            ("n", ColumnType::I64),
            ("exact", ColumnType::Decimal),
            ("total", ColumnType::Money { currency: 4 }),
            ("currency", ColumnType::Iso4217),
            ("paid", ColumnType::Bool),
            ("at", ColumnType::Timestamp),
            ("day", ColumnType::Date),
            ("more", ColumnType::Json),
        ],
    )
}

fn full_row() -> Row {
    Row {
        cells: vec![
            Cell::Text("a".into()),
            Cell::I64(i64::MIN),
            Cell::Decimal("34.336342850993450".parse().unwrap()),
            Cell::Decimal("12.30".parse().unwrap()),
            Cell::Text("EUR".into()),
            Cell::Bool(true),
            Cell::Timestamp(AT.parse().unwrap()),
            Cell::Date("2026-01-31".parse().unwrap()),
            Cell::Json(json::parse(br#"{"b":[1.50,null],"a":"x"}"#).unwrap()),
        ],
    }
}

fn write(models: &dyn Models, schema: &Schema, rows: Vec<(Key, Row)>) {
    let generation = models.register(schema).unwrap().generation;
    let step = Step { generation, upserts: new_rows(rows), ..Step::default() };
    let step = replacing(models, &schema.model, Table::Live, step).unwrap();
    models.commit(&schema.model, Table::Live, &step).unwrap();
}

#[test]
fn each_column_type_has_its_visible_form() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let schema = every_type();
    let empty = Row::new(&schema, &Key::text("empty"));
    write(&*store.models, &schema, vec![(Key::text("a"), full_row()), (Key::text("empty"), empty.clone())]);
    let conn = foreign(&folder, "models.db");
    let visible = |key: &str| {
        let mut select = conn.prepare("SELECT * FROM every WHERE id = ?1").unwrap();
        let names: Vec<_> = select.column_names().map(str::to_owned).collect();
        let values = select.query_row([key], |row| (0..11).map(|i| row.get(i)).collect::<Result<Vec<Value>, _>>());
        names.into_iter().zip(values.unwrap()).collect::<Vec<_>>()
    };
    let text = |text: &str| Value::Text(text.into());
    let expected = [
        ("id", text("a")),
        ("n", Value::Integer(i64::MIN)),
        ("exact", text("34.336342850993450")),
        ("total", text("12.30")),
        ("total_minor", Value::Integer(1230)),
        ("currency", text("EUR")),
        ("paid", Value::Integer(1)),
        ("at", text(AT)),
        ("day", text("2026-01-31")),
        ("more", text(r#"{"a":"x","b":[1.50,null]}"#)),
    ];
    assert_eq!(visible("a")[..10], expected.map(|(name, value)| (name.to_owned(), value)));
    let digest = |key: &str| visible(key).pop();
    let is_digest =
        |(name, value): &(String, Value)| name == "_ek_digest" && matches!(value, Value::Blob(b) if b.len() == 16);
    assert!(digest("a").as_ref().is_some_and(is_digest) && digest("a") != digest("empty"));
    assert!(visible("empty")[1..10].iter().all(|(_, value)| *value == Value::Null));

    let models = &*store.models;
    assert_eq!(models.get(&schema.model, &Key::text("a")).unwrap().row, Some(full_row()));
    assert_eq!(models.get(&schema.model, &Key::text("empty")).unwrap().row, Some(empty));
}

#[test]
fn an_amount_without_a_known_currency_has_no_minor_units() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let mut row = full_row();
    row.cells[4] = Cell::Null;
    write(&*store.models, &every_type(), vec![(Key::text("a"), row)]);
    let minor: Value =
        foreign(&folder, "models.db").query_row("SELECT total_minor FROM every", [], |row| row.get(0)).unwrap();
    assert_eq!(minor, Value::Null);
}

#[test]
fn a_foreign_edit_reads_as_what_is_there() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let schema = every_type();
    write(&*store.models, &schema, vec![(Key::text("a"), full_row()), (Key::text("b"), full_row())]);
    let conn = foreign(&folder, "models.db");
    conn.execute_batch(
        "UPDATE every SET n = NULL, exact = 'lots', total = '', currency = 'euro', paid = 7, at = 'noon', \
         day = '2026-02-30', more = '{' WHERE id = 'a'",
    )
    .unwrap();
    let text = |text: &str| Cell::Text(text.into());
    let rows = store.models.rows(&schema.model, Table::Live, None, 10).unwrap().rows;
    let edited = [
        text("a"),
        Cell::Null,
        text("lots"),
        text(""),
        text("euro"),
        Cell::I64(7),
        text("noon"),
        text("2026-02-30"),
        text("{"),
    ];
    assert_eq!(rows[0].0.cells, edited);
    assert_eq!(rows[1].0.cells[1..], full_row().cells[1..]);
    // What a table made by other means could hold besides.
    assert_eq!(cell(ColumnType::I64, ValueRef::Text(b"x")), text("x"));
    assert_eq!(cell(ColumnType::I64, ValueRef::Real(1.5)), text("1.5"));
    assert_eq!(cell(ColumnType::Text, ValueRef::Integer(3)), Cell::I64(3));
    assert_eq!(cell(ColumnType::Text, ValueRef::Blob(&[1, 255])), text("01ff"));
    assert_eq!(cell(ColumnType::Text, ValueRef::Text(&[b'a', 255])), text("a\u{fffd}"));
}

#[test]
fn keys_of_several_columns_in_order_and_names_that_need_quotes() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let columns = [("select", ColumnType::I64), ("we\"ird; --", ColumnType::Text), ("order", ColumnType::Text)];
    let mut schema = schema("group", &columns);
    schema.key = vec![2, 0];
    let key = |text: &str, int| Key([KeyPart::Text(text.into()), KeyPart::I64(int)].into_iter().collect());
    let keys = [key("", 5), key("Z", -1), key("a", -7), key("a", 10), key("ä\0b", 0)];
    write(&*store.models, &schema, keys.iter().rev().map(|key| (key.clone(), Row::new(&schema, key))).collect());
    let models = &*store.models;
    let read = |after: Option<&Key>, limit| {
        let rows = models.rows(&schema.model, Table::Live, after, limit).unwrap();
        (rows.rows.iter().map(|(row, _)| Key::of(&schema, row)).collect::<Vec<_>>(), rows.more)
    };
    assert_eq!(read(None, 10), (keys.to_vec(), false));
    assert_eq!(read(Some(&keys[1]), 2), (keys[2..4].to_vec(), true));
    assert_eq!(read(None, 0), (vec![], true));
    let short = models.get(&schema.model, &Key::text("a"));
    assert!(matches!(short, Err(StoreError::Refused(_))), "{short:?}");
    let loaded = models.load(&schema.model, Table::Live, &keys).unwrap();
    assert_eq!(loaded.rows.len(), keys.len());
}

#[test]
fn a_table_that_cannot_be_is_refused_and_nothing_changes() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let text = ColumnType::Text;
    let money = ColumnType::Money { currency: 0 };
    foreign(&folder, "models.db").execute_batch("CREATE TABLE mine(a); INSERT INTO mine VALUES(1)").unwrap();
    let refused = [
        schema("clash", &[("id", text), ("total", money), ("total_minor", text)]),
        schema("twice", &[("id", text), ("ID", text)]),
        schema("_ek_models", &[("id", text)]),
        schema("_EK_build_x", &[("id", text)]),
        schema("sqlite_x", &[("id", text)]),
        schema("mine", &[("id", text)]),
        schema("", &[("id", text)]),
        schema("nul", &[("i\0d", text)]),
        schema("beyond", &[("id", text), ("total", ColumnType::Money { currency: 9 })]),
        schema("none", &[]),
    ];
    for schema in refused {
        let result = store.models.register(&schema);
        assert!(matches!(result, Err(StoreError::Refused(_))), "{}: {result:?}", schema.model);
    }
    assert_eq!(store.models.models(), Ok(vec![]));
    let mine: i64 = foreign(&folder, "models.db").query_row("SELECT a FROM mine", [], |row| row.get(0)).unwrap();
    assert_eq!(mine, 1);
}

#[test]
fn a_model_may_consist_of_its_key() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let schema = schema("seen", &[("id", ColumnType::Text)]);
    let row = || (Key::text("a"), Row::new(&schema, &Key::text("a")));
    write(&*store.models, &schema, vec![row()]);
    write(&*store.models, &schema, vec![row()]);
    assert_eq!(store.models.count(&schema.model), Ok(1));
}

#[test]
fn reading_a_state_prepares_nothing_anew() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    store.models.register(&orders()).unwrap();
    let prepared_anew = store.models.database().read(|conn, ()| {
        let read = || {
            let mut select = conn.prepare_cached(super::state::SELECT)?;
            assert!(select.exists(["orders"])?);
            Ok::<_, rusqlite::Error>(select.get_status(StatementStatus::RePrepare))
        };
        // The first time the connection finds the table that it has not seen yet.
        let first = read()?;
        read()?;
        Ok(read()? - first)
    });
    assert_eq!(prepared_anew, Ok(0));
}

#[test]
fn what_others_do_to_the_index_of_touched_keys_is_seen() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let (models, model) = (&store.models, &schema("orders", &[("id", ColumnType::Text)]));
    models.register(model).unwrap();
    let touches: Vec<_> = (1..=9).map(|n| (KeyHash(u64::MAX / n), Position(n))).collect();
    models.index(&model.model, Table::Live, &touches).unwrap();
    let conn = foreign(&folder, "models.db");
    for sql in [
        "DELETE FROM _ek_touches WHERE position = 3",
        "UPDATE _ek_touches SET position = 30 WHERE position = 4",
        "INSERT INTO _ek_touches SELECT table_id, 7, 7 FROM _ek_touches LIMIT 1",
        "DELETE FROM _ek_indexes",
        "DELETE FROM _ek_touches",
    ] {
        assert_eq!(models.index_is_sound(&model.model, Table::Live), Ok(true), "before {sql}");
        assert_ne!(conn.execute(sql, []).unwrap(), 0);
        assert_eq!(models.index_is_sound(&model.model, Table::Live), Ok(false), "{sql}");
        models.settle_index(&model.model, Table::Live).unwrap();
    }
    assert_eq!(models.index_is_sound(&model.model, Table::Live), Ok(true));
}

#[test]
fn of_an_index_of_an_older_format_nothing_is_believed() {
    let folder = TempDir::new().unwrap();
    let model = &schema("orders", &[("id", ColumnType::Text)]);
    let store = open(&folder);
    store.models.register(model).unwrap();
    store.models.index(&model.model, Table::Live, &[(KeyHash(1), Position(1))]).unwrap();
    drop(store);
    foreign(&folder, "models.db")
        .execute_batch(
            "DROP TABLE _ek_indexes; DROP INDEX _ek_parks_since; DROP TABLE _ek_conflicts; PRAGMA user_version = 5;",
        )
        .unwrap();
    let models = open(&folder).models;
    assert_eq!(models.index_is_sound(&model.model, Table::Live), Ok(false));
    models.settle_index(&model.model, Table::Live).unwrap();
    assert_eq!(models.index_is_sound(&model.model, Table::Live), Ok(true));
}

#[test]
fn no_hot_query_scans() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let mut schema = schema("pairs", &[("a", ColumnType::I64), ("b", ColumnType::Text), ("c", ColumnType::Text)]);
    schema.key = vec![2, 0];
    store.models.register(&schema).unwrap();
    let home = store.models.read(|conn| state::table(conn, &store.models.layouts, &schema.model, Table::Live)).unwrap();
    let Layout { select, delete, after, .. } = &*home.layout;
    let others = [
        "SELECT 1 FROM _ek_foreign WHERE model = ?1 AND key = ?2",
        "SELECT key FROM _ek_foreign WHERE model = ?1 ORDER BY key LIMIT ?2",
        "SELECT position FROM _ek_touches WHERE table_id = ?1 AND hash = ?2 ORDER BY position",
        "SELECT window, sum FROM _ek_windows WHERE table_id = ?1 AND window >= ?2 ORDER BY window",
        "SELECT page, sums FROM _ek_buckets WHERE table_id = ?1",
        "SELECT key FROM _ek_evidence WHERE reconciliation = ?1 ORDER BY number LIMIT ?2",
        state::SELECT,
        "SELECT id FROM _ek_conflicts WHERE model = ?1 ORDER BY position DESC LIMIT ?2",
        "SELECT id FROM _ek_conflicts WHERE model = ?1 AND key = ?2 ORDER BY position DESC LIMIT ?3",
        "SELECT id FROM _ek_conflicts WHERE id = ?1",
        "SELECT id FROM _ek_conflicts WHERE position <= ?1 ORDER BY position DESC LIMIT ?2",
    ];
    let key = Key::text("a");
    let touch = Some(park(1, 0, "a", ParkState::Held).touch);
    let pages = [
        ParkFilter { after: touch, limit: 9, ..ParkFilter::default() },
        ParkFilter { row: Some(ParkedRow::Of(&key)), ..ParkFilter::default() },
        ParkFilter { row: Some(ParkedRow::Of(&key)), after: touch, ..ParkFilter::default() },
        ParkFilter { row: Some(ParkedRow::Unknown), ..ParkFilter::default() },
        ParkFilter { touch, ..ParkFilter::default() },
        ParkFilter { state: Some(ParkState::Discarded), after: touch, ..ParkFilter::default() },
        ParkFilter { state: Some(ParkState::Discarded), at: Some(&[Position(1)]), ..ParkFilter::default() },
    ];
    let pages: Vec<String> = pages.iter().map(parks::select).chain([parks::OLDEST.to_owned()]).collect();
    let queries = [select, delete, after].map(String::as_str).into_iter().chain(others);
    let queries = queries.chain(pages.iter().map(String::as_str));
    let conn = foreign(&folder, "models.db");
    let plan_of = |query: &str| {
        let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        explain.raw_query().mapped(|row| row.get::<_, String>(3)).collect::<Result<Vec<_>, _>>().unwrap()
    };
    for query in queries {
        let plan = plan_of(query);
        assert!(plan.iter().all(|line| !line.starts_with("SCAN") && !line.contains("B-TREE")), "{query}: {plan:?}");
        // All of a table's parks are no less than a scan, in whatever order.
        let all_parks = |line: &String| line.contains("_ek_parks USING PRIMARY KEY (table_id=?)");
        assert!(!plan.iter().any(all_parks), "{query}: {plan:?}");
    }
    let plan = plan_of(&parks::waiting_of());
    assert!(plan[0].contains("_ek_parks_of_key (table_id=? AND key=?)"), "{plan:?}");
    // From the start there is no more to seek, and nothing to sort.
    let plan = plan_of(&home.layout.first);
    assert!(plan.iter().all(|line| !line.contains("B-TREE")), "{plan:?}");
}

#[test]
fn a_table_that_is_dropped_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let (models, model) = (&*store.models, ModelName::from("orders"));
    let full = |generation| Step {
        identities: vec![(Window(1), Sum { count: 1, total: 1 })],
        touches: vec![(KeyHash(1), Position(1))],
        parks: vec![park(1, 0, "a", ParkState::Discarded), park(2, 0, "a", ParkState::Held)],
        ..step(generation, 1, &[("a", "b")])
    };
    models.register(&orders()).unwrap();
    models.commit(&model, Table::Live, &full(0)).unwrap();
    let conn = foreign(&folder, "models.db");
    let of_tables = |which: &str| {
        ["_ek_buckets", "_ek_windows", "_ek_touches", "_ek_parks"].map(|table| {
            let sql = format!("SELECT count(*) FROM {table} WHERE table_id {which} (SELECT id FROM _ek_tables)");
            conn.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap()
        })
    };
    assert_eq!((of_tables("IN"), of_tables("NOT IN")), ([1, 1, 1, 2], [0; 4]));
    for end in [true, false, true, true] {
        let generation = models.begin_build(&orders()).unwrap().generation;
        models.commit(&model, Table::Build, &full(generation)).unwrap();
        if end {
            models.swap(&model, Content::default()).unwrap();
        } else {
            models.abandon_build(&model).unwrap();
        }
        assert_eq!((of_tables("IN"), of_tables("NOT IN")), ([2, 2, 2, 4], [0; 4]));
    }
}

fn orders() -> Schema {
    schema("orders", &[("id", ColumnType::Text), ("note", ColumnType::Text)])
}

#[test]
fn a_swapped_table_is_there_after_reopening_and_foreign_views_go_on() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let model = ModelName::from("orders");
    store.models.register(&orders()).unwrap();
    store.models.commit(&model, Table::Live, &step(0, 5, &[("a", "old")])).unwrap();
    foreign(&folder, "models.db").execute_batch("CREATE VIEW notes AS SELECT note AS said FROM orders").unwrap();

    let mut second = orders();
    second.version = 2;
    second.columns[1].name = "note".into();
    second.columns.push(second.columns[1].clone());
    second.columns[2].name = "extra".into();
    let build = store.models.begin_build(&second).unwrap();
    let mut built = step(build.generation, 9, &[("b", "new")]);
    built.upserts[0].row.cells.push(Cell::Text("more".into()));
    store.models.commit(&model, Table::Build, &built).unwrap();
    assert_eq!(store.models.state(&model).unwrap().unwrap().build.unwrap().checkpoint.position, Position(9));
    let content = Content { verdict: Verdict::Verified, verified_as_of: Some(AT.parse().unwrap()), bad_buckets: 0 };
    store.models.swap(&model, content).unwrap();
    drop(store);

    let store = open(&folder);
    let state = store.models.register(&orders()).unwrap();
    assert_eq!((state.schema.clone(), state.generation, state.content, state.build), (second, 2, content, None));
    assert_eq!(state.checkpoint.position, Position(9));
    let rows = store.models.rows(&model, Table::Live, None, 9).unwrap().rows;
    assert_eq!(rows, [(built.upserts[0].row.clone(), false)]);
    let conn = foreign(&folder, "models.db");
    assert_eq!(conn.query_row("SELECT said FROM notes", [], |row| row.get(0)), Ok("new".to_owned()));
    let left: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_ek\\_build\\_%' ESCAPE '\\'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(left, 0);
    assert!(matches!(store.models.commit(&model, Table::Live, &step(1, 6, &[])), Err(StoreError::Conflict { .. })));
}

#[test]
fn a_step_for_a_dropped_build_does_not_fit_the_next() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let model = ModelName::from("orders");
    assert_eq!(store.models.begin_build(&orders()), Err(StoreError::NoModel(model.clone())));
    store.models.register(&orders()).unwrap();
    let mut used = Vec::new();
    for _ in 0..3 {
        let mut generation = store.models.begin_build(&orders()).unwrap().generation;
        for stale in &used {
            let stale = store.models.commit(&model, Table::Build, &step(*stale, 1, &[("x", "stale")]));
            assert!(matches!(stale, Err(StoreError::Conflict { .. })), "{stale:?}");
        }
        for _ in 0..2 {
            store.models.commit(&model, Table::Build, &step(generation, 1, &[("x", "y")])).unwrap();
            used.push(generation);
            generation += 1;
        }
        used.push(generation);
        store.models.abandon_build(&model).unwrap();
        assert_eq!(
            store.models.commit(&model, Table::Build, &step(generation, 1, &[])),
            Err(StoreError::NoModel(model.clone()))
        );
    }
}

fn park(position: u64, element: u32, key: &str, state: ParkState) -> Park {
    Park {
        touch: TouchId { position: Position(position), clause: 3, element },
        key: Some(Key::text(key)),
        event_id: EventId::of("shop", &position.to_string()),
        state,
        error: "does not fit".into(),
        at: Timestamp::from_micros(1000 - position as i64),
        decision: None,
    }
}

#[test]
fn parks_are_summed_up_and_the_discarded_outlive_a_swap() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let model = ModelName::from("orders");
    store.models.register(&orders()).unwrap();
    let gone = park(1, 0, "\"a\\", ParkState::Discarded);
    let parks = vec![
        gone.clone(),
        park(2, 0, "b", ParkState::Poison),
        park(2, 1, "b", ParkState::Held),
        park(3, 0, "c", ParkState::Held),
    ];
    let first = Step { parks, ..step(0, 3, &[("b", ""), ("d", "")]) };
    store.models.commit(&model, Table::Live, &first).unwrap();
    let parked = store.models.state(&model).unwrap().unwrap().parked;
    assert_eq!((parked.events, parked.oldest_at), (2, Some(Timestamp::from_micros(997))));
    let at = |key: &str| store.models.get(&model, &Key::text(key)).unwrap().parked_events;
    assert_eq!((at("b"), at("c"), at("\"a\\")), (1, 1, 0));
    let rows = store.models.rows(&model, Table::Live, None, 9).unwrap().rows;
    assert_eq!(rows.iter().map(|(_, parked)| *parked).collect::<Vec<_>>(), [true, false]);
    let loaded = store.models.load(&model, Table::Live, &["b", "c", "d"].map(Key::text)).unwrap();
    assert_eq!(loaded.parked, ["b", "c"].map(Key::text).into());
    assert_eq!(store.models.parks(&model, None).unwrap(), first.parks);

    let build = store.models.begin_build(&orders()).unwrap();
    let parks = vec![Park { state: ParkState::Poison, ..gone.clone() }, park(4, 0, "e", ParkState::Poison)];
    let built = Step { parks, ..step(build.generation, 4, &[]) };
    store.models.commit(&model, Table::Build, &built).unwrap();
    assert_eq!(store.models.parks(&model, None).unwrap(), first.parks);
    store.models.swap(&model, Content::default()).unwrap();
    assert_eq!(store.models.parks(&model, None).unwrap(), [gone.clone(), built.parks[1].clone()]);
    assert_eq!(store.models.state(&model).unwrap().unwrap().parked.events, 1);
    let unparks = vec![built.parks[1].touch];
    store.models.commit(&model, Table::Live, &Step { unparks, ..step(2, 4, &[]) }).unwrap();
    assert_eq!(store.models.parks(&model, None).unwrap(), [gone]);
    assert_eq!(store.models.state(&model).unwrap().unwrap().parked, Default::default());
}

#[test]
fn the_freshness_view_says_how_old_the_rows_are() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let model = ModelName::from("orders");
    store.models.register(&orders()).unwrap();
    let conn = foreign(&folder, "models.db");
    let ages = || {
        let sql = "SELECT status, lag_count, lag_seconds, staleness_bound_seconds, position, head FROM _ek_freshness";
        conn.query_row(sql, [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })
    };
    type Ages = (Option<String>, Option<i64>, Option<f64>, Option<f64>, i64, Option<i64>);
    assert_eq!(ages(), Ok::<Ages, _>((None, None, None, None, 0, None)));

    let now: f64 = conn.query_row("SELECT julianday('now')", [], |row| row.get(0)).unwrap();
    let ago = |seconds: f64| Timestamp::from_micros((((now - 2_440_587.5) * 86_400.0 - seconds) * 1e6) as i64);
    let mut measured = Measured {
        head: Position(9),
        lag_count: Some(0),
        oldest_unapplied: None,
        as_of: Some(ago(600.0)),
        status: Some(Status::InSync),
        reason: None,
        at: ago(0.0),
    };
    let checkpoint = Checkpoint {
        position: Position(9),
        epoch: Some(evenkeel_core::Epoch(u64::MAX)),
        last_event: Some(EventId::of("shop", "9")),
        last_write: Some(AT.parse().unwrap()),
        counts: evenkeel_core::checkpoint::Counts { applied: 1, ignored: 2, parked: 3 },
    };
    let first = Step { checkpoint, measured: Some(measured.clone()), ..step(0, 9, &[("a", "b")]) };
    store.models.commit(&model, Table::Live, &first).unwrap();
    let (status, lag_count, lag_seconds, bound, position, head) = ages().unwrap();
    assert_eq!(
        (status.as_deref(), lag_count, lag_seconds, position, head),
        (Some("in_sync"), Some(0), Some(0.0), 9, Some(9))
    );
    assert!((600.0..1200.0).contains(&bound.unwrap()), "{bound:?}");
    let state = store.models.state(&model).unwrap().unwrap();
    assert_eq!((state.checkpoint, state.as_of), (checkpoint, measured.as_of));

    measured.lag_count = Some(3);
    measured.oldest_unapplied = Some(ago(60.0));
    measured.as_of = None;
    store.models.set_measured(&model, &measured).unwrap();
    let (_, lag_count, lag_seconds, bound, ..) = ages().unwrap();
    assert_eq!(lag_count, Some(3));
    assert!((60.0..600.0).contains(&lag_seconds.unwrap()) && bound.unwrap() >= 600.0);
    assert_eq!(store.models.state(&model).unwrap().unwrap().generation, 1);

    let columns: Vec<_> =
        conn.prepare("SELECT * FROM _ek_freshness").unwrap().column_names().map(str::to_owned).collect();
    let documented = [
        "model",
        "status",
        "reason",
        "position",
        "head",
        "lag_count",
        "lag_seconds",
        "staleness_bound_seconds",
        "as_of",
        "read_model_last_id",
        "read_model_last_write",
        "content_verdict",
        "verified_as_of",
        "parked_events",
        "measured_at",
    ];
    assert_eq!(columns, documented);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn rows_come_back_as_they_were(
        rows in proptest::collection::btree_map(".{0,6}", (any::<i64>(), "-?[1-9][0-9]{0,9}(\\.[0-9]{1,9})?", ".*", any::<bool>(), -9_000_000_000_000_000i64..9_000_000_000_000_000), 1..20)
    ) {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let schema = every_type();
        let row = |(key, (int, decimal, text, flag, micros)): (&String, &(i64, String, String, bool, i64))| {
            let mut row = Row::new(&schema, &Key::text(key));
            row.cells[1] = Cell::I64(*int);
            row.cells[2] = Cell::Decimal(decimal.parse().unwrap());
            row.cells[5] = if *flag { Cell::Bool(*int > 0) } else { Cell::Null };
            row.cells[6] = Cell::Timestamp(Timestamp::from_micros(*micros));
            row.cells[8] = Cell::Json(if *flag { text.as_str().into() } else { json::Value::Null });
            (Key::text(key), row)
        };
        let rows: Vec<_> = rows.iter().map(row).collect();
        write(&*store.models, &schema, rows.clone());
        let read = store.models.rows(&schema.model, Table::Live, None, 100).unwrap().rows;
        prop_assert_eq!(read.into_iter().map(|(row, _)| row).collect::<Vec<_>>(), rows.iter().map(|(_, row)| row.clone()).collect::<Vec<_>>());
        let keys: Vec<_> = rows.iter().map(|(key, _)| key.clone()).collect();
        let loaded = store.models.load(&schema.model, Table::Live, &keys).unwrap().rows;
        prop_assert!(loaded.iter().all(StoredRow::is_intact));
        prop_assert_eq!(loaded.into_iter().map(|stored| (stored.key, stored.row)).collect::<Vec<_>>(), rows);
    }
}
