//! The store as a whole: its folder, the format of its files, its settings, and that it goes on after a full or locked
//! disk. What every backend must do is [`crate::conformance`]'s.
use super::*;
use crate::{Log, Models, Step, StoreError, Table, Upsert};
use evenkeel_core::{
    Digest, Draft, EventId, EventType, ModelName, Position,
    checkpoint::Checkpoint,
    intake::{Arrival, Ask, Outcome, Sent, Verdict, admit},
    json::{Object, Value},
    row::{Cell, Key, Row},
    schema::{Column, ColumnType, Merge, Schema},
};
use rusqlite::Connection;
use std::fs;
use tempfile::TempDir;

pub(super) const NOW: i64 = 1_790_000_000_000_000;

pub(super) fn options() -> SqliteOptions {
    SqliteOptions { busy_timeout_ms: 0, ..SqliteOptions::new(Arc::new(|| Timestamp::from_micros(NOW))) }
}

pub(super) fn open(folder: &TempDir) -> SqliteStore {
    SqliteStore::open(folder.path(), options()).unwrap()
}

/// A connection as a foreign program has it.
pub(super) fn foreign(folder: &TempDir, file: &str) -> Connection {
    let conn = Connection::open(folder.path().join(file)).unwrap();
    conn.busy_timeout(std::time::Duration::ZERO).unwrap();
    conn
}

pub(super) fn draft(subject: &str, data: Value) -> Draft {
    Draft {
        event_type: "placed".into(),
        contract_version: 1,
        subject: subject.into(),
        time: None,
        extensions: Object::default(),
        data,
    }
}

pub(super) fn arrival(raw_id: &str, draft: Draft) -> Arrival {
    let sent = Sent {
        id: EventId::of("shop", raw_id),
        digest: Digest::of(raw_id.as_bytes()),
        source: "shop".into(),
        raw_id: raw_id.into(),
        raw: raw_id.into(),
    };
    Arrival { sent, verdict: Verdict::Admit(draft), expected_version: None, clocks: Default::default() }
}

pub(super) fn take_in(log: &dyn Log, arrivals: Vec<Arrival>) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    let ask = Ask::for_arrivals(&arrivals);
    let decide = |facts| {
        let (writes, decided) = admit(Timestamp::from_micros(NOW), arrivals, facts);
        outcomes = decided;
        writes
    };
    log.transact(&ask, Box::new(decide))?;
    Ok(outcomes)
}

/// One event of a kilobyte.
fn append(log: &dyn Log, number: u64) -> Result<()> {
    let data = Value::from("x".repeat(1000));
    take_in(log, vec![arrival(&number.to_string(), draft(&format!("s-{}", number % 7), data))]).map(drop)
}

pub(super) fn schema(model: &str, columns: &[(&str, ColumnType)]) -> Schema {
    let column = |(name, ty): &(&str, ColumnType)| Column { name: (*name).into(), ty: *ty, merge: Merge::Lww };
    Schema {
        model: model.into(),
        version: 1,
        key: vec![0],
        columns: columns.iter().map(column).collect(),
        subscribes: [EventType::from("placed")].into(),
        fingerprint: Digest::of(model.as_bytes()),
    }
}

/// The step that writes these rows of one text beside their key.
pub(super) fn step(generation: u64, position: u64, rows: &[(&str, &str)]) -> Step {
    let row = |(key, text): &(&str, &str)| {
        Upsert::new(Key::text(*key), Row { cells: vec![Cell::Text((*key).into()), Cell::Text((*text).into())] })
    };
    let checkpoint = Checkpoint { position: Position(position), ..Checkpoint::default() };
    Step { generation, upserts: rows.iter().map(row).collect(), checkpoint, ..Step::default() }
}

#[test]
fn the_live_connections_have_the_settings_that_durability_rests_on() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let settings = |conn: &Connection| {
        let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        let synchronous: i32 = conn.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        (mode, synchronous)
    };
    assert_eq!(settings(store.log.database().writer().connection()), ("wal".into(), 2));
    assert_eq!(settings(store.models.database().writer().connection()), ("wal".into(), 1));
    drop(store);
    let store =
        SqliteStore::open(folder.path(), SqliteOptions { synchronous: Synchronous::Normal, ..options() }).unwrap();
    assert_eq!(settings(store.log.database().writer().connection()), ("wal".into(), 1));
}

#[test]
fn readers_cannot_write() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let result = store.log.database().read(|conn, _| Ok(conn.execute("DELETE FROM meta", [])?));
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
    assert!(store.log.safe_head().is_ok());
}

#[test]
fn a_folder_has_one_store_as_long_as_any_part_of_it_lives() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let in_use = || SqliteStore::open(folder.path(), options()).unwrap_err();
    assert_eq!(in_use(), StoreError::InUse(folder.path().to_owned()));
    let models = Arc::clone(&store.models);
    drop(store);
    assert_eq!(in_use(), StoreError::InUse(folder.path().to_owned()));
    drop(models);
    open(&folder);
}

#[test]
fn a_missing_folder_is_made_and_a_file_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let deep = folder.path().join("a/b/c");
    SqliteStore::open(&deep, options()).unwrap();
    assert!(deep.join("log.db").is_file() && deep.join("models.db").is_file());

    let file = folder.path().join("file");
    fs::write(&file, "text").unwrap();
    for path in [file.clone(), file.join("below")] {
        match SqliteStore::open(&path, options()) {
            Err(StoreError::Unavailable(why)) => assert!(why.contains(path.to_str().unwrap()), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(fs::read(&file).unwrap(), b"text");
}

#[test]
fn a_newer_format_is_refused_and_not_touched() {
    for (file, supported) in [("log.db", 8), ("models.db", 8)] {
        let folder = TempDir::new().unwrap();
        drop(open(&folder));
        foreign(&folder, file).pragma_update(None, "user_version", 99).unwrap();
        let before = fs::read(folder.path().join(file)).unwrap();
        let path = folder.path().join(file);
        let error = SqliteStore::open(folder.path(), options()).unwrap_err();
        assert_eq!(error, StoreError::Newer { path: path.clone(), found: 99, supported });
        assert_eq!(fs::read(path).unwrap(), before);
    }
}

#[test]
fn what_is_not_ours_is_refused_by_name_and_not_touched() {
    let ours = TempDir::new().unwrap();
    drop(open(&ours));
    let foreign_database = TempDir::new().unwrap();
    foreign(&foreign_database, "x").execute_batch("CREATE TABLE t(a)").unwrap();
    let contents = [
        b"this is no database, whatever its name says".repeat(100),
        fs::read(foreign_database.path().join("x")).unwrap(),
        fs::read(ours.path().join("models.db")).unwrap(),
    ];
    for content in contents {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("log.db");
        fs::write(&path, &content).unwrap();
        match SqliteStore::open(folder.path(), options()) {
            Err(StoreError::Corrupt(why)) => assert!(why.contains(path.to_str().unwrap()), "{why}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_file_that_cannot_be_a_file_is_unavailable_by_name() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("log.db")).unwrap();
    match SqliteStore::open(folder.path(), options()) {
        Err(StoreError::Unavailable(why)) => assert!(why.contains("log.db"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_log_says_so_and_goes_on_when_there_is_room() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path(), SqliteOptions { max_pages: Some(40), ..options() }).unwrap();
    let log = &*store.log;
    let full = (1..100).find_map(|number| append(log, number).err().map(|error| (number, error)));
    let (number, error) = full.unwrap();
    assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("log.db")), "{error}");
    assert!(error.is_transient());
    let written = number - 1;
    assert_eq!(log.safe_head().unwrap().position, Position(written));
    assert_eq!(log.wait_past(Position::ZERO, std::time::Duration::ZERO), Ok(Position(written)));
    assert!(append(log, number).is_err());

    store.set_max_pages(None).unwrap();
    append(log, number).unwrap();
    let slice = log.read(Position::ZERO, None, 1000).unwrap();
    let positions: Vec<_> = slice.events.iter().map(|event| event.position.0).collect();
    assert_eq!(positions, (1..=number).collect::<Vec<_>>());
    let head = log.safe_head().unwrap();
    assert_eq!((head.position, head.counts["placed"]), (Position(number), number));
    for (i, event) in slice.events.iter().enumerate() {
        let earlier = slice.events[..i].iter().filter(|e| e.draft.subject == event.draft.subject).count();
        assert_eq!(event.stream_version.0, earlier as u64 + 1);
    }
}

#[test]
fn a_locked_store_says_so_is_read_meanwhile_and_goes_on() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    append(&*store.log, 1).unwrap();
    let orders = schema("orders", &[("id", ColumnType::Text), ("note", ColumnType::Text)]);
    store.models.register(&orders).unwrap();
    let model = ModelName::from("orders");

    let (log, models) = (foreign(&folder, "log.db"), foreign(&folder, "models.db"));
    log.execute_batch("BEGIN EXCLUSIVE").unwrap();
    models.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = append(&*store.log, 2).unwrap_err();
    assert!(
        matches!(&error, StoreError::Unavailable(why) if why.contains("log.db") && why.contains("lock")),
        "{error}"
    );
    let error = store.models.commit(&model, Table::Live, &step(0, 1, &[("a", "1")])).unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("models.db")), "{error}");
    assert_eq!(store.log.safe_head().unwrap().position, Position(1));
    assert_eq!(store.models.get(&model, &Key::text("a")).unwrap().row, None);

    log.execute_batch("ROLLBACK").unwrap();
    models.execute_batch("ROLLBACK").unwrap();
    append(&*store.log, 2).unwrap();
    store.models.commit(&model, Table::Live, &step(0, 1, &[("a", "1")])).unwrap();
    assert_eq!(store.log.safe_head().unwrap().position, Position(2));
    assert_eq!(store.models.count(&model), Ok(1));
}

#[test]
fn full_models_keep_the_step_out_whole_and_go_on() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path(), SqliteOptions { max_pages: Some(40), ..options() }).unwrap();
    let model = ModelName::from("orders");
    store.models.register(&schema("orders", &[("id", ColumnType::Text), ("note", ColumnType::Text)])).unwrap();
    let names: Vec<_> = (0..200).map(|i| format!("{i:03}{}", "k".repeat(500))).collect();
    let rows: Vec<_> = names.iter().map(|name| (name.as_str(), "note")).collect();
    let error = store.models.commit(&model, Table::Live, &step(0, 9, &rows)).unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("models.db")), "{error}");
    let state = store.models.state(&model).unwrap().unwrap();
    assert_eq!((state.generation, state.checkpoint.position), (0, Position::ZERO));
    assert_eq!(store.models.count(&model), Ok(0));

    store.set_max_pages(None).unwrap();
    store.models.commit(&model, Table::Live, &step(0, 9, &rows)).unwrap();
    assert_eq!(store.models.count(&model), Ok(200));
}
