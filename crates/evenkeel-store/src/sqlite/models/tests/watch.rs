//! What somebody else writes to a live table, by every statement SQLite has for it, as a foreign program's connection.
use super::{AT, every_type, full_row, write};
use crate::{
    Models, Removal, Settled, Step, Table,
    conformance::fixture::{as_found, replacing},
    sqlite::{
        SqliteStore,
        tests::{foreign, open, schema},
    },
};
use evenkeel_core::{
    ModelName,
    content::{
        ForeignWrite::{self, Delete, Insert, Update},
        Touched,
    },
    digest::RowDigest,
    drift::{Content, Verdict},
    row::{Cell, Key, KeyPart, Row},
    schema::{ColumnType, Schema},
};
use rusqlite::{Connection, params};
use std::collections::{BTreeSet, HashSet};
use tempfile::TempDir;

const MODEL: &str = "every";

/// A store with the rows `a` and `b`, verified, and a foreign connection to it.
fn home() -> (SqliteStore, Connection, TempDir) {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let mut other = full_row();
    other.cells[1] = Cell::I64(2);
    write(&*store.models, &every_type(), vec![(Key::text("a"), full_row()), (Key::text("b"), other)]);
    let content = Content { verdict: Verdict::Verified, verified_as_of: Some(AT.parse().unwrap()), bad_buckets: 0 };
    store.models.set_content(&MODEL.into(), content).unwrap();
    let conn = foreign(&folder, "models.db");
    (store, conn, folder)
}

fn meant(models: &dyn Models, key: &str) -> Option<RowDigest> {
    let loaded = models.load(&MODEL.into(), Table::Live, &[Key::text(key)]).unwrap();
    loaded.rows.first().and_then(|stored| stored.meant)
}

/// Settles the notes of rows that are as they are now.
fn settle(models: &dyn Models, keys: &[Key]) {
    models.settle(&MODEL.into(), &as_found(models, &MODEL.into(), keys).unwrap()).unwrap();
}

fn notes(models: &dyn Models) -> Vec<(String, ForeignWrite, Option<RowDigest>)> {
    let touched = models.touched(&MODEL.into(), 99).unwrap();
    touched.into_iter().map(|Touched { key, write, meant, .. }| (key.to_string(), write, meant)).collect()
}

fn verdicts(store: &SqliteStore, conn: &Connection) -> [Verdict; 4] {
    let model = ModelName::from(MODEL);
    let page = store.models.rows(&model, Table::Live, None, 9).unwrap();
    let row = store.models.get(&model, &Key::text("b")).unwrap();
    let shown: String = conn.query_row("SELECT content_verdict FROM _ek_freshness", [], |row| row.get(0)).unwrap();
    let state = store.models.state(&model).unwrap().unwrap();
    [state.content.verdict, page.state.content.verdict, row.state.content.verdict, shown.parse().unwrap()]
}

/// Statements, which rows they are noted for and how, and whether the columns still fit the digests beside them.
type Way = (&'static str, &'static [(&'static str, ForeignWrite)], bool);

/// Every way of writing.
const WAYS: &[Way] = &[
    ("INSERT INTO every(id) VALUES('c')", &[("c", Insert)], false),
    ("INSERT INTO every(id) SELECT id || '2' FROM every", &[("a2", Insert), ("b2", Insert)], false),
    (
        "INSERT INTO every SELECT 'c', n, exact, total, total_minor, currency, paid, at, day, more, _ek_digest FROM every \
      WHERE id = 'a'",
        &[("c", Insert)],
        false,
    ),
    ("UPDATE every SET n = 1 WHERE id = 'a'", &[("a", Update)], false),
    ("UPDATE every SET n = NULL", &[("a", Update), ("b", Update)], false),
    ("UPDATE every SET n = n WHERE id = 'a'", &[("a", Update)], true),
    ("UPDATE every SET _ek_digest = zeroblob(16) WHERE id = 'a'", &[("a", Update)], false),
    ("UPDATE every SET _ek_digest = NULL WHERE id = 'a'", &[("a", Update)], false),
    ("UPDATE every SET _ek_digest = x'01' WHERE id = 'a'", &[("a", Update)], false),
    ("UPDATE every SET total_minor = 1231 WHERE id = 'a'", &[("a", Update)], false),
    ("UPDATE every SET total_minor = NULL WHERE id = 'a'", &[("a", Update)], false),
    ("UPDATE every SET at = '2026-01-31T11:20:30.000001+01:00' WHERE id = 'a'", &[("a", Update)], false),
    ("UPDATE every SET exact = exact || '0' WHERE id = 'a'", &[("a", Update)], false),
    ("UPDATE every SET more = replace(more, ',', ', ') WHERE id = 'a'", &[("a", Update)], false),
    ("UPDATE every SET id = 'z' WHERE id = 'a'", &[("a", Update), ("z", Insert)], false),
    ("UPDATE OR REPLACE every SET id = 'b' WHERE id = 'a'", &[("a", Update), ("b", Update)], false),
    (
        "UPDATE every SET id = CASE id WHEN 'a' THEN 'y' ELSE 'z' END; UPDATE every SET id = CASE id WHEN 'y' THEN 'b' \
      ELSE 'a' END",
        &[("a", Update), ("b", Update), ("y", Insert), ("z", Insert)],
        false,
    ),
    ("DELETE FROM every WHERE id = 'a'", &[("a", Delete)], true),
    ("DELETE FROM every", &[("a", Delete), ("b", Delete)], true),
    ("REPLACE INTO every(id, n) VALUES('a', 1)", &[("a", Update)], false),
    ("REPLACE INTO every(id, n) VALUES('c', 1)", &[("c", Insert)], false),
    ("REPLACE INTO every SELECT * FROM every", &[("a", Update), ("b", Update)], true),
    ("INSERT OR REPLACE INTO every(id) VALUES('a'), ('c')", &[("a", Update), ("c", Insert)], false),
    ("INSERT OR IGNORE INTO every(id) VALUES('a'), ('c')", &[("a", Update), ("c", Insert)], false),
    ("INSERT OR IGNORE INTO every(id) VALUES('a')", &[("a", Update)], true),
    (
        "INSERT INTO every(id) VALUES('a'), ('c') ON CONFLICT(id) DO UPDATE SET n = 5",
        &[("a", Update), ("c", Insert)],
        false,
    ),
    ("INSERT INTO every(id) VALUES('a') ON CONFLICT DO UPDATE SET id = 'c'", &[("a", Update), ("c", Insert)], false),
    ("INSERT INTO every(id) VALUES('a') ON CONFLICT DO NOTHING", &[("a", Update)], true),
    // What was done first is kept, with the digest from before it.
    (
        "UPDATE every SET n = 1 WHERE id = 'a'; UPDATE every SET _ek_digest = x'02'; DELETE FROM every WHERE id = 'a'",
        &[("a", Update), ("b", Update)],
        false,
    ),
    ("DELETE FROM every WHERE id = 'a'; INSERT INTO every(id) VALUES('a')", &[("a", Delete)], false),
    (
        "CREATE TEMP TABLE kept AS SELECT * FROM every; DELETE FROM every; INSERT INTO every SELECT * FROM kept",
        &[("a", Delete), ("b", Delete)],
        true,
    ),
    ("INSERT INTO every(id) VALUES('c'); DELETE FROM every WHERE id = 'c'", &[("c", Insert)], true),
    (
        "BEGIN; DELETE FROM every WHERE id = 'a'; SAVEPOINT s; DELETE FROM every; ROLLBACK TO s; COMMIT",
        &[("a", Delete)],
        true,
    ),
];

#[test]
fn every_way_of_writing_is_noted_with_what_was_meant() {
    // Clients differ in these, and the triggers must not mind.
    let settings = ["", "PRAGMA recursive_triggers = ON", "PRAGMA trusted_schema = OFF"];
    for ((sql, expected, fits), setting) in WAYS.iter().flat_map(|way| settings.map(|setting| (way, setting))) {
        let (store, conn, _folder) = home();
        let models = &*store.models;
        let model = ModelName::from(MODEL);
        conn.execute_batch(setting).unwrap();
        let expected: Vec<_> =
            expected.iter().map(|(key, write)| (key.to_string(), *write, meant(models, key))).collect();
        let of_every_key = ["a", "a2", "b", "b2", "c", "y", "z"].map(Key::text);
        assert_eq!((notes(models), verdicts(&store, &conn)), (vec![], [Verdict::Verified; 4]));

        conn.execute_batch(sql).unwrap();
        assert_eq!(notes(models), expected, "{sql}");
        assert_eq!(verdicts(&store, &conn), [Verdict::Suspect; 4], "{sql}");
        assert_eq!(models.rows(&model, Table::Live, None, 9).unwrap().intact, *fits, "{sql}");
        assert_eq!(models.scrub(&model, Table::Live, None, 9).unwrap().iter().all(|row| row.intact), *fits, "{sql}");
        let touched: HashSet<_> = expected.iter().map(|(key, ..)| Key::text(key.as_str())).collect();
        assert_eq!(models.load(&model, Table::Live, &of_every_key).unwrap().touched, touched, "{sql}");
        for key in &of_every_key {
            assert_eq!(models.get(&model, key).unwrap().intact, !touched.contains(key), "{key} after {sql}");
        }

        let first = &touched.iter().min().cloned().into_iter().collect::<Vec<_>>();
        settle(models, first);
        assert_eq!(notes(models), expected[1..], "{sql}");
        settle(models, &of_every_key);
        assert_eq!((notes(models), verdicts(&store, &conn)), (vec![], [Verdict::Verified; 4]), "{sql}");
        // What the digests tell goes on without the notes.
        let intact = of_every_key.iter().all(|key| models.get(&model, key).unwrap().intact);
        assert_eq!(intact, *fits, "{sql}");
    }
}

#[test]
fn what_was_not_done_is_not_noted() {
    let (store, conn, _folder) = home();
    for failing in [
        "INSERT INTO every(id) VALUES('c'), ('a')",
        "INSERT INTO every(id, n) VALUES('c', 'many')",
        "INSERT INTO every(id) VALUES(NULL)",
        "UPDATE every SET id = 'b'",
        "UPDATE every SET n = 'many'",
    ] {
        assert!(conn.execute_batch(failing).is_err(), "{failing}");
        assert_eq!(notes(&*store.models), [], "{failing}");
    }
    conn.execute_batch("INSERT OR IGNORE INTO every(id) VALUES(NULL); UPDATE OR IGNORE every SET id = id").unwrap();
    let updated: Vec<_> = notes(&*store.models).into_iter().map(|(key, ..)| key).collect();
    assert_eq!(updated, ["a", "b"], "a row without a key never comes to be");
    settle(&*store.models, &["a", "b"].map(Key::text));
    conn.execute_batch("BEGIN; DELETE FROM every").unwrap();
    assert_eq!(verdicts(&store, &conn)[..3], [Verdict::Verified; 3], "a write that is not committed");
    conn.execute_batch("ROLLBACK; UPDATE every SET n = 1 WHERE id = 'nobody'; SELECT * FROM every").unwrap();
    assert_eq!((notes(&*store.models), verdicts(&store, &conn)), (vec![], [Verdict::Verified; 4]));
}

#[test]
fn a_verdict_that_is_worse_stays() {
    let (store, conn, _folder) = home();
    conn.execute_batch("UPDATE every SET n = 1").unwrap();
    let worse = [
        (Verdict::Unverified, Verdict::Suspect),
        (Verdict::Suspect, Verdict::Suspect),
        (Verdict::Drifted, Verdict::Drifted),
    ];
    for (found, seen) in worse {
        store.models.set_content(&MODEL.into(), Content { verdict: found, ..Content::default() }).unwrap();
        assert_eq!(verdicts(&store, &conn), [seen; 4]);
    }
}

#[test]
fn our_own_steps_note_nothing_and_settle_what_they_mend() {
    let (store, conn, _folder) = home();
    let (models, model) = (&*store.models, ModelName::from(MODEL));
    let next = |step: Step| {
        let generation = models.state(&model).unwrap().unwrap().generation;
        let step = replacing(models, &model, Table::Live, Step { generation, ..step }).unwrap();
        models.commit(&model, Table::Live, &step).unwrap();
    };
    write(models, &every_type(), vec![(Key::text("a"), full_row()), (Key::text("c"), full_row())]);
    next(Step { deletes: vec![Removal::new(Key::text("c"))], ..Step::default() });
    let ours: i64 = conn.query_row("SELECT count(*) FROM _ek_foreign", [], |row| row.get(0)).unwrap();
    assert_eq!(ours, 0);

    let found =
        |keys: &[&str]| as_found(models, &model, &keys.iter().map(|key| Key::text(*key)).collect::<Vec<_>>()).unwrap();
    let (of_a, of_b) = (meant(models, "a"), meant(models, "b"));
    conn.execute_batch("UPDATE every SET n = 5 WHERE id = 'a'; DELETE FROM every WHERE id = 'b'").unwrap();
    let both = [("a".to_owned(), Update, of_a), ("b".to_owned(), Delete, of_b)];
    // A step that does not know of it leaves the notes.
    write(models, &every_type(), vec![(Key::text("a"), full_row())]);
    assert_eq!(notes(models), both);
    next(Step { settled: found(&["a", "never there"]), ..Step::default() });
    assert_eq!(notes(models), both[1..]);
    assert!(models.get(&model, &Key::text("a")).unwrap().intact);
    next(Step { settled: found(&["b"]), ..Step::default() });
    assert_eq!((notes(models), verdicts(&store, &conn)), (vec![], [Verdict::Verified; 4]));
}

#[test]
fn a_note_of_a_row_that_was_written_to_again_stays() {
    for again in [
        "UPDATE every SET n = 6 WHERE id = 'a'",
        "UPDATE every SET _ek_digest = x'00' WHERE id = 'a'",
        "DELETE FROM every WHERE id = 'a'",
    ] {
        for by_step in [false, true] {
            let (store, conn, _folder) = home();
            let (models, model, key) = (&*store.models, ModelName::from(MODEL), Key::text("a"));
            conn.execute_batch("UPDATE every SET n = n WHERE id = 'a'; INSERT INTO every(id) VALUES('c')").unwrap();
            conn.execute_batch("DELETE FROM every WHERE id = 'c'").unwrap();
            let compared = as_found(models, &model, &[key.clone(), Key::text("c")]).unwrap();
            // It is noted already, and leaves no trace but the row itself.
            conn.execute_batch(again).unwrap();
            conn.execute_batch("INSERT INTO every(id) VALUES('c')").unwrap();
            let settle = |settled: Vec<Settled>| {
                let state = models.state(&model).unwrap().unwrap();
                let (generation, checkpoint) = (state.generation, state.checkpoint);
                let step = Step { generation, checkpoint, settled: settled.clone(), ..Step::default() };
                match by_step {
                    true => drop(models.commit(&model, Table::Live, &step).unwrap()),
                    false => models.settle(&model, &settled).unwrap(),
                }
            };
            settle(compared);
            assert_eq!(notes(models).len(), 2, "{again}");
            assert_eq!(verdicts(&store, &conn), [Verdict::Suspect; 4], "{again}");
            settle(as_found(models, &model, &[key, Key::text("c")]).unwrap());
            assert_eq!(notes(models), [], "{again}");
        }
    }
}

#[test]
fn triggers_that_were_dropped_or_altered_are_put_back() {
    let odd = schema("it's \"odd\"; --", &[("id", ColumnType::Text), ("no'te\"", ColumnType::Text)]);
    for schema in [every_type(), odd] {
        let (store, conn, _folder) = home();
        let (models, model) = (&*store.models, &schema.model);
        models.register(&schema).unwrap();
        assert_eq!(models.watch(model), Ok(true));
        let of_it = format!("type = 'trigger' AND tbl_name = '{}'", model.as_str().replace('\'', "''"));
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let mut select = conn.prepare(&format!("SELECT name FROM sqlite_schema WHERE {of_it}")).unwrap();
        let names: Vec<String> = select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(names.len(), 3);
        for name in names.iter().map(|name| quoted(name)) {
            let table = quoted(model.as_str());
            for (n, again) in ["", "BEFORE INSERT", "AFTER DELETE"].into_iter().enumerate() {
                let verified = Content { verdict: Verdict::Verified, ..Content::default() };
                models.set_content(model, verified).unwrap();
                conn.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
                if !again.is_empty() {
                    conn.execute_batch(&format!("CREATE TRIGGER {name} {again} ON {table} BEGIN SELECT 1; END"))
                        .unwrap();
                }
                assert_eq!(models.watch(model), Ok(false), "{name} {again}");
                assert_eq!(models.state(model).unwrap().unwrap().content, verified.doubted(1), "{name} {again}");
                assert_eq!(models.watch(model), Ok(true), "{name} {again}");
                let id = format!("{name} {n}");
                conn.execute(&format!("INSERT INTO {table}(id) VALUES(?1)"), [&id]).unwrap();
                conn.execute(&format!("UPDATE {table} SET id = id || '!' WHERE id = ?1"), [&id]).unwrap();
                conn.execute(&format!("DELETE FROM {table}"), []).unwrap();
                let expected = [format!("{id}!"), id].map(|id| (Key::text(id), Insert));
                let mut touched = models.touched(model, 99).unwrap();
                touched.retain(|touched| !["a", "b"].map(Key::text).contains(&touched.key));
                touched.sort_by(|a, b| b.key.cmp(&a.key));
                assert_eq!(touched.iter().map(|it| (it.key.clone(), it.write)).collect::<Vec<_>>(), expected);
                models.settle(model, &as_found(models, model, &expected.map(|(key, _)| key)).unwrap()).unwrap();
            }
        }
        conn.execute_batch(&names.iter().map(|name| format!("DROP TRIGGER {};", quoted(name))).collect::<String>())
            .unwrap();
        assert_eq!([models.watch(model), models.watch(model)], [Ok(false), Ok(true)]);
        conn.execute_batch("CREATE TRIGGER theirs AFTER DELETE ON every BEGIN SELECT 1; END").unwrap();
        assert_eq!(models.watch(model), Ok(true), "a trigger of others is theirs");
    }
}

/// Texts that JSON, SQL or C write in a way of their own.
fn odd_texts() -> Vec<String> {
    let controls = (0u8..=0x20).chain([0x7f]).map(|byte| format!("x{}y", char::from(byte)));
    let others = [
        "",
        "\0",
        "\0\0",
        "'",
        "\"",
        "\\",
        "\\u0000",
        "/",
        "[\"a\"]",
        "null",
        "1",
        "1.0",
        "é",
        "e\u{301}",
        "日\u{1F980}",
        "\u{2028}",
        "\u{ffff}",
        "\u{80}",
        "<&>",
        "%s",
    ];
    controls.chain(others.map(str::to_owned)).collect()
}

fn pairs() -> Schema {
    let columns =
        [("n", ColumnType::I64), ("place", ColumnType::I64), ("day", ColumnType::Date), ("na\"me'", ColumnType::Text)];
    let mut schema = schema("pairs", &columns);
    schema.key = vec![3, 1, 2];
    schema
}

fn pair_keys() -> Vec<Key> {
    let ints = [i64::MIN, -1, 0, i64::MAX];
    let key = |(n, text): (usize, String)| {
        Key([KeyPart::Text(text.into()), KeyPart::I64(ints[n % 4]), KeyPart::Text("2026-01-31".into())]
            .into_iter()
            .collect())
    };
    odd_texts().into_iter().enumerate().map(key).collect()
}

#[test]
fn notes_name_the_rows_whatever_their_keys_are_made_of() {
    for sql in ["UPDATE pairs SET n = 1", "DELETE FROM pairs", "REPLACE INTO pairs SELECT * FROM pairs"] {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let (models, schema, keys) = (&*store.models, pairs(), pair_keys());
        let model = &schema.model;
        write(models, &schema, keys.iter().map(|key| (key.clone(), Row::new(&schema, key))).collect());
        let loaded = models.load(model, Table::Live, &keys).unwrap();
        assert!(loaded.rows.len() == keys.len() && loaded.rows.iter().all(crate::StoredRow::is_intact));
        assert!(models.rows(model, Table::Live, None, 99).unwrap().intact);
        foreign(&folder, "models.db").execute_batch(sql).unwrap();
        let touched: BTreeSet<_> = models.touched(model, 99).unwrap().into_iter().map(|it| it.key).collect();
        assert_eq!(touched, keys.iter().cloned().collect(), "{sql}");
        assert_eq!(models.touched(model, 3).unwrap().len(), 3);
        for key in &keys {
            let twice = [key.clone(), Key::text("never there"), key.clone()];
            let of: Vec<_> = models.notes(model, &twice).unwrap().into_iter().map(|it| it.key).collect();
            assert_eq!(of, std::slice::from_ref(key), "{sql}");
        }
        assert_eq!(models.notes(model, &[]).unwrap(), []);
        assert_eq!(models.load(model, Table::Live, &keys).unwrap().touched, keys.iter().cloned().collect(), "{sql}");
        for (n, key) in keys.iter().enumerate() {
            assert!(!models.get(model, key).unwrap().intact, "{key:?} {sql}");
            models.settle(model, &as_found(models, model, std::slice::from_ref(key)).unwrap()).unwrap();
            assert_eq!(models.touched(model, 99).unwrap().len(), keys.len() - n - 1, "{key:?} {sql}");
        }
    }
}

#[test]
fn rows_that_others_insert_are_noted_by_their_keys_too() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let (models, schema, keys) = (&*store.models, pairs(), pair_keys());
    let model = &schema.model;
    models.register(&schema).unwrap();
    let conn = foreign(&folder, "models.db");
    for key in &keys {
        let [KeyPart::Text(text), KeyPart::I64(int), KeyPart::Text(day)] = &key.0[..] else { panic!("{key:?}") };
        conn.execute(
            "INSERT INTO pairs(\"na\"\"me'\", place, day) VALUES(?1, ?2, ?3)",
            params![text.as_str(), int, day.as_str()],
        )
        .unwrap();
    }
    let touched: BTreeSet<_> = models.touched(model, 99).unwrap().into_iter().map(|it| it.key).collect();
    let there: BTreeSet<_> =
        models.scrub(model, Table::Live, None, 99).unwrap().into_iter().map(|row| row.key).collect();
    assert_eq!((&touched, &there), (&keys.iter().cloned().collect(), &keys.iter().cloned().collect()));
    // Values that SQLite converts before it stores them.
    conn.execute_batch(
        "DELETE FROM _ek_foreign; DELETE FROM pairs; DELETE FROM _ek_foreign;
         INSERT INTO pairs(\"na\"\"me'\", place, day) VALUES(json('[1]'), '7', '2026-01-31');
         INSERT INTO pairs(\"na\"\"me'\", place, day) VALUES(8, 8.0, json_object());
         UPDATE pairs SET \"na\"\"me'\" = json('[2]'), place = ' 9' WHERE place = 8;",
    )
    .unwrap();
    let key = |text: &str, int, day: &str| {
        Key([KeyPart::Text(text.into()), KeyPart::I64(int), KeyPart::Text(day.into())].into_iter().collect())
    };
    let expected = BTreeSet::from([key("[1]", 7, "2026-01-31"), key("8", 8, "{}"), key("[2]", 9, "{}")]);
    let touched: BTreeSet<_> = models.touched(model, 99).unwrap().into_iter().map(|it| it.key).collect();
    assert_eq!(touched, expected);
}

#[test]
fn a_swap_and_a_rollback_keep_the_watch_and_forget_the_notes() {
    let (store, conn, _folder) = home();
    let (models, model) = (&*store.models, ModelName::from(MODEL));
    let edit = "UPDATE every SET n = 77 WHERE id = 'a'";
    let build = models.begin_build(&every_type()).unwrap();
    let upserts = crate::conformance::fixture::new_rows([(Key::text("a"), full_row())]);
    models.commit(&model, Table::Build, &Step { generation: build.generation, upserts, ..Step::default() }).unwrap();
    conn.execute_batch("UPDATE _ek_build_every SET n = 2").unwrap();
    assert_eq!(notes(models), [], "a build is nobody's yet");
    conn.execute_batch(edit).unwrap();
    models.swap(&model, Content { verdict: Verdict::Verified, ..Content::default() }).unwrap();
    let is_watched = |expected: Verdict| {
        assert_eq!((notes(models), models.watch(&model)), (vec![], Ok(true)));
        assert_eq!(verdicts(&store, &conn), [expected; 4]);
        conn.execute_batch("UPDATE _ek_previous_every SET n = 5").unwrap();
        assert_eq!(notes(models), []);
        let of_a = meant(models, "a");
        conn.execute_batch(edit).unwrap();
        assert_eq!(notes(models), [("a".to_owned(), Update, of_a)]);
        assert_eq!(verdicts(&store, &conn), [Verdict::Suspect; 4]);
    };
    is_watched(Verdict::Verified);
    // What was done to the rows meanwhile the digests tell.
    let scrubbed = models.scrub(&model, Table::Live, None, 9).unwrap();
    assert!(scrubbed.iter().all(|row| !row.intact));
    models.rollback(&model, None).unwrap();
    is_watched(Verdict::Unverified);
    models.rollback(&model, None).unwrap();
    is_watched(Verdict::Unverified);
    let count: i64 =
        conn.query_row("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 3);
}

#[test]
fn notes_and_watch_are_there_after_reopening() {
    let (store, conn, folder) = home();
    let (model, digest_key) = (ModelName::from(MODEL), store.models.digest_key());
    let buckets = store.models.buckets(&model, Table::Live).unwrap();
    conn.execute_batch("UPDATE every SET n = 1 WHERE id = 'a'").unwrap();
    let before = notes(&*store.models);
    drop(store);
    // Nobody of ours is there to see this one.
    conn.execute_batch("DELETE FROM every WHERE id = 'b'").unwrap();
    let store = open(&folder);
    assert_eq!(store.models.digest_key(), digest_key);
    assert_eq!(store.models.buckets(&model, Table::Live), Ok(buckets));
    let after = notes(&*store.models);
    assert_eq!((after.len(), after.first()), (2, before.first()));
    assert_eq!(store.models.watch(&model), Ok(true));
    let at = store.models.touched(&model, 1).unwrap()[0].at;
    let now: String = conn.query_row("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')", [], |row| row.get(0)).unwrap();
    let age = now.parse::<evenkeel_core::Timestamp>().unwrap().as_micros() - at.as_micros();
    assert!((0..60_000_000).contains(&age), "{age}");
}

#[test]
fn two_stores_have_two_digest_keys() {
    let ((one, ..), (two, ..)) = (home(), home());
    assert_ne!(one.models.digest_key(), two.models.digest_key());
    assert_ne!(meant(&*one.models, "a"), meant(&*two.models, "a"));
}

#[test]
fn text_behind_a_nul_counts() {
    let (store, conn, _folder) = home();
    let (models, model) = (&*store.models, ModelName::from("texts"));
    let texts = schema("texts", &[("id", ColumnType::Text), ("text", ColumnType::Text)]);
    let row = |text: &str| Row { cells: vec![Cell::Text("k\0y".into()), Cell::Text(text.into())] };
    let key = Key::text("k\0y");
    write(models, &texts, vec![(key.clone(), row("a\0b"))]);
    let found = models.get(&model, &key).unwrap();
    assert_eq!((found.row, found.intact), (Some(row("a\0b")), true));
    let write_behind = |text: &str| {
        conn.execute("UPDATE texts SET text = ?1", [text]).unwrap();
        models.settle(&model, &as_found(models, &model, std::slice::from_ref(&key)).unwrap()).unwrap();
        models.get(&model, &key).unwrap()
    };
    for text in ["a\0c", "a", "a\0", "a\0b\0"] {
        let found = write_behind(text);
        assert_eq!((found.row, found.intact), (Some(row(text)), false), "{text:?}");
    }
    assert!(write_behind("a\0b").intact);
}

#[test]
fn a_column_may_not_have_the_name_of_ours() {
    let (store, ..) = home();
    for name in ["_ek_digest", "_EK_Digest"] {
        let refused = store.models.register(&schema("clash", &[("id", ColumnType::Text), (name, ColumnType::Text)]));
        assert!(matches!(refused, Err(crate::StoreError::Refused(_))), "{refused:?}");
    }
}

#[test]
fn what_is_no_text_does_not_stop_the_reading() {
    let (store, conn, _folder) = home();
    let model = ModelName::from(MODEL);
    conn.execute_batch("INSERT INTO every(id) VALUES(CAST(x'61ff' AS TEXT)); DELETE FROM every WHERE id = 'a'")
        .unwrap();
    let touched = store.models.touched(&model, 9).unwrap();
    assert_eq!(touched.iter().map(|it| it.key.to_string()).collect::<Vec<_>>(), ["a", "a\u{fffd}"]);
    assert_eq!(verdicts(&store, &conn), [Verdict::Suspect; 4]);
    // A pass over the rows ends, whatever its pages are.
    let scrub = |after: Option<&Key>, limit| {
        let page = store.models.scrub(&model, Table::Live, after, limit).unwrap();
        let more = page.len() == limit;
        (page.into_iter().map(|row| row.key).collect::<Vec<_>>(), more)
    };
    let rows = |after: Option<&Key>, limit| {
        let page = store.models.rows(&model, Table::Live, after, limit).unwrap();
        (page.rows.into_iter().map(|(row, _)| Key::of(&every_type(), &row)).collect::<Vec<_>>(), page.more)
    };
    type Page<'p> = &'p dyn Fn(Option<&Key>, usize) -> (Vec<Key>, bool);
    for (way, limit) in [&scrub as Page<'_>, &rows].into_iter().flat_map(|way| (1..4).map(move |limit| (way, limit))) {
        let mut seen: Vec<Key> = Vec::new();
        loop {
            let (page, more) = way(seen.last(), limit);
            seen.extend(page);
            assert!(seen.len() < 9, "{seen:?}");
            if !more {
                break;
            }
        }
        assert_eq!(seen, ["a\u{fffd}", "b"].map(Key::text));
    }
}

#[test]
fn a_row_whose_key_is_no_text_is_found_by_what_it_is_told_as_and_deleted() {
    let (store, conn, _folder) = home();
    let (models, model) = (&*store.models, ModelName::from(MODEL));
    // Two rows are told alike; a third one has that very text for a key.
    let told = Key::text("a\u{fffd}");
    conn.execute_batch("INSERT INTO every(id) VALUES(CAST(x'61ff' AS TEXT)), (CAST(x'61fe' AS TEXT)), ('z\u{fffd}')")
        .unwrap();
    let there = || -> i64 { conn.query_row("SELECT count(*) FROM every", [], |row| row.get(0)).unwrap() };
    assert_eq!((there(), models.touched(&model, 9).unwrap().len()), (5, 3));
    let loaded = models.load(&model, Table::Live, &[told.clone(), Key::text("b")]).unwrap();
    let keys: BTreeSet<_> = loaded.rows.iter().map(|row| (row.key.clone(), row.is_intact())).collect();
    assert_eq!(keys, BTreeSet::from([(told.clone(), false), (Key::text("b"), true)]));

    // Notes can be settled with the rows there, and rows deleted that nobody has noted.
    settle(models, std::slice::from_ref(&told));
    assert_eq!((notes(models).len(), there()), (1, 5));
    let state = models.state(&model).unwrap().unwrap();
    let (generation, checkpoint) = (state.generation, state.checkpoint);
    let deletes = vec![Removal::new(told.clone())];
    models.commit(&model, Table::Live, &Step { generation, checkpoint, deletes, ..Step::default() }).unwrap();
    assert_eq!(there(), 3);
    assert_eq!(models.load(&model, Table::Live, std::slice::from_ref(&told)).unwrap().rows, []);
    settle(models, &[Key::text("z\u{fffd}")]);
    assert_eq!(notes(models), []);
}

#[test]
fn others_may_attach_the_file() {
    let (store, _conn, folder) = home();
    let conn = foreign(&folder, "other.db");
    conn.execute("ATTACH ?1 AS theirs", [folder.path().join("models.db").to_str().unwrap()]).unwrap();
    conn.execute_batch("CREATE TABLE every(id); CREATE TABLE _ek_foreign(model); INSERT INTO every VALUES('c')")
        .unwrap();
    conn.execute_batch("DELETE FROM every; UPDATE theirs.every SET id = 'c' WHERE id = 'a'").unwrap();
    let noted: Vec<_> = notes(&*store.models).into_iter().map(|(key, write, _)| (key, write)).collect();
    assert_eq!(noted, [("a".to_owned(), Update), ("c".to_owned(), Insert)]);
}
