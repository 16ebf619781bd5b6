//! Statements of readers: what they may read, what they are found to read, and every way to do anything else.
use super::{every_type, full_row, write};
use crate::{
    Answered, Models, SqlError, Statement,
    sqlite::{
        check_views,
        tests::{foreign, open, schema},
    },
};
use evenkeel_core::{
    ModelName,
    json::{Number, Value},
    row::{Cell, Key, Row},
    schema::{ColumnType, DELETED, View},
};
use std::time::{Duration, Instant};
use tempfile::TempDir;

struct Home {
    models: std::sync::Arc<crate::sqlite::SqliteModels>,
    names: Vec<ModelName>,
    views: Vec<View>,
    folder: TempDir,
}

fn view(name: &str, sql: &str) -> View {
    View { name: name.into(), sql: sql.into() }
}

/// Two models that may be read, and one that may not.
fn home() -> Home {
    let folder = TempDir::new().unwrap();
    let models = open(&folder).models;
    write(&*models, &every_type(), vec![(Key::text("a"), full_row())]);
    for name in ["stock", "hidden"] {
        let schema = schema(name, &[("id", ColumnType::Text), ("n", ColumnType::I64)]);
        let row = |key: &str, n| (Key::text(key), Row { cells: vec![Cell::Text(key.into()), Cell::I64(n)] });
        write(&*models, &schema, vec![row("a", 1), row("b", 2)]);
    }
    Home { models, names: vec!["every".into(), "stock".into()], views: Vec::new(), folder }
}

impl Home {
    /// What a statement gives, and the models it was found to read.
    fn query(&self, sql: &str) -> Result<(Answered, Vec<String>), SqlError> {
        let (models, views) = (&self.names, &self.views);
        let within = Duration::from_millis(300);
        let statement = Statement { sql, models, views, rows: 1000, bytes: 1 << 20, within };
        let mut read = Vec::new();
        let answered = self.models.query(&statement, &mut |states| {
            read.extend(states.iter().map(|state| state.schema.model.to_string()));
            true
        });
        answered.map(|answered| (answered.unwrap(), read))
    }

    fn refused(&self, sql: &str) -> String {
        match self.query(sql) {
            Err(SqlError::Statement { message, .. }) => message,
            other => panic!("{sql}: {other:?}"),
        }
    }

    fn reads(&self, sql: &str) -> Vec<String> {
        self.query(sql).unwrap_or_else(|error| panic!("{sql}: {error}")).1
    }
}

#[test]
fn tombstones_are_no_rows() {
    let mut home = home();
    let columns = [("id", ColumnType::Text), ("n", ColumnType::I64), (DELETED, ColumnType::Bool)];
    let row = |key: &str, deleted| (Key::text(key), Row { cells: vec![Cell::Text(key.into()), Cell::I64(1), deleted] });
    let rows = vec![row("a", Cell::Null), row("b", Cell::Bool(true)), row("c", Cell::Bool(false))];
    write(&*home.models, &schema("kept", &columns), rows);
    home.names.push("kept".into());
    home.views.push(view("units", "SELECT sum(n) AS n FROM kept"));
    for (sql, expected) in [
        ("SELECT id FROM kept ORDER BY id", vec!["a", "c"]),
        ("SELECT CAST(count(*) AS TEXT) FROM kept", vec!["2"]),
        ("SELECT CAST(n AS TEXT) FROM units", vec!["2"]),
        ("SELECT a.id FROM KEPT AS a JOIN kept AS b USING (id) ORDER BY id", vec!["a", "c"]),
        ("SELECT a.id FROM temp.kept AS a LEFT JOIN stock AS s ON s.id = a.id ORDER BY a.id", vec!["a", "c"]),
        ("WITH main AS (SELECT * FROM kept) SELECT id FROM main ORDER BY id", vec!["a", "c"]),
        ("SELECT id FROM kept UNION SELECT id FROM kept WHERE n > 0 ORDER BY id", vec!["a", "c"]),
        ("SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS r FROM kept) WHERE r > 1", vec!["c"]),
        ("SELECT CAST(EXISTS (SELECT 1 FROM kept WHERE id = 'b') AS TEXT) AS b", vec!["0"]),
        ("SELECT 'x' AS x FROM kept", vec!["x", "x"]),
        ("SELECT CAST(count(*) AS TEXT) AS n FROM kept, units", vec!["2"]),
        ("SELECT max(id) AS id FROM kept GROUP BY n", vec!["c"]),
        (
            "WITH RECURSIVE r(id) AS (SELECT min(id) FROM kept UNION SELECT k.id FROM kept k JOIN r ON k.id > r.id) \
            SELECT id FROM r",
            vec!["a", "c"],
        ),
    ] {
        let (answered, _) = home.query(sql).unwrap();
        let found: Vec<_> = answered.rows.iter().map(|row| row[0].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{sql}");
    }
    // The views cost no reader the index.
    let (plan, _) = home.query("EXPLAIN QUERY PLAN SELECT n FROM kept WHERE id = 'a'").unwrap();
    let step = plan.rows[0].last().unwrap().as_str().unwrap();
    assert!(step.starts_with("SEARCH main.kept USING PRIMARY KEY") && plan.rows.len() == 1, "{step}");
    for sql in [
        "SELECT id FROM main.kept",
        "SELECT id FROM main.KEPT AS k",
        "SELECT count(*) AS n FROM main.kept",
        "SELECT 1 AS one FROM main.kept LIMIT 1",
        "SELECT n FROM kept WHERE id IN (SELECT id FROM main.kept)",
        "WITH kept AS (SELECT id FROM main.kept) SELECT id FROM kept",
        "SELECT id FROM (SELECT id FROM main.kept) AS kept",
        "SELECT id FROM main.stock",
    ] {
        let said = home.refused(sql);
        assert!(said.contains("by that name alone"), "{sql}: {said}");
    }
}

#[test]
fn values_come_as_they_are_stored_and_nothing_of_ours_with_them() {
    let home = home();
    let (answered, read) = home.query("SELECT * FROM every").unwrap();
    let columns = ["id", "n", "exact", "total", "total_minor", "currency", "paid", "at", "day", "more"];
    assert_eq!((answered.columns, read), (columns.map(String::from).to_vec(), vec!["every".to_owned()]));
    let text = |text: &str| Value::String(text.into());
    assert_eq!(
        answered.rows[0][..5],
        [text("a"), i64::MIN.into(), text("34.336342850993450"), text("12.30"), 1230.into()]
    );
    let sql = "SELECT sum(n) AS sum, avg(n) AS mean, x'00ff' AS blob, 9e999 AS far, 1e300 AS big, NULL AS none FROM stock;\n-- end";
    let (answered, _) = home.query(sql).unwrap();
    let exact = |text: &str| Value::Number(Number::Exact(text.into()));
    assert_eq!(answered.rows, [vec![3.into(), exact("1.5"), text("00ff"), text("inf"), exact("1e300"), Value::Null]]);
    let twice = home.refused("SELECT id, id FROM stock");
    assert!(twice.contains("two columns are named \"id\"; give one another name with AS"), "{twice}");
}

#[test]
fn what_a_statement_reads_is_found_however_it_is_said() {
    let mut home = home();
    home.views = vec![
        view("both", "SELECT every.id, stock.n FROM every JOIN stock USING (id);"),
        view("over", "SELECT * FROM both"),
    ];
    for (sql, expected) in [
        ("SELECT id FROM stock", &["stock"][..]),
        ("SELECT count(*) FROM stock", &["stock"]),
        ("SELECT 1 AS one FROM stock", &["stock"]),
        ("SELECT EXISTS (SELECT 1 FROM stock) AS there", &["stock"]),
        ("WITH s AS (SELECT * FROM stock) SELECT count(*) FROM s", &["stock"]),
        ("WITH every AS (SELECT * FROM stock) SELECT id FROM every", &["stock"]),
        ("SELECT id FROM every WHERE id IN (SELECT id FROM stock)", &["every", "stock"]),
        ("SELECT id FROM every UNION ALL SELECT id FROM stock", &["every", "stock"]),
        ("SELECT n FROM both", &["every", "stock"]),
        ("SELECT count(*) FROM over", &["every", "stock"]),
        ("SELECT value FROM every, json_each(every.more)", &["every"]),
        ("SELECT model, position, content_verdict FROM _ek_freshness", &["every", "stock"]),
        ("SELECT count(*) FROM _ek_freshness", &["every", "stock"]),
        ("SELECT 1 AS one", &["every", "stock"]),
        ("VALUES (1)", &["every", "stock"]),
        ("SELECT row_number() OVER (ORDER BY n) AS place FROM stock", &["stock"]),
        ("EXPLAIN QUERY PLAN SELECT id FROM stock", &["stock"]),
    ] {
        assert_eq!(home.reads(sql), expected, "{sql}");
    }
    // It may be said that the models do not show what they should.
    let statement = Statement {
        sql: "SELECT * FROM over",
        models: &home.names,
        views: &home.views,
        rows: 1,
        bytes: 9,
        within: Duration::ZERO,
    };
    assert_eq!(home.models.query(&statement, &mut |_| false), Ok(None));
}

#[test]
fn nothing_but_reading_models_is_allowed() {
    let home = home();
    let reading = "a statement that reads is expected";
    let file = home.folder.path().join("other.db").display().to_string();
    for sql in [
        "INSERT INTO stock VALUES ('c', 3)".to_owned(),
        "UPDATE main.stock SET n = 0".into(),
        "DELETE FROM main.stock".into(),
        "DROP TABLE main.stock".into(),
        "CREATE TABLE t(x)".into(),
        "CREATE TEMP TABLE t(x)".into(),
        "CREATE TEMP VIEW v AS SELECT 1".into(),
        "CREATE VIRTUAL TABLE temp.t USING fts5(x)".into(),
        "DROP VIEW temp.stock".into(),
        "ALTER TABLE main.stock ADD COLUMN x".into(),
        "WITH x AS (SELECT 1) DELETE FROM main.stock".into(),
        "PRAGMA query_only = OFF".into(),
        "PRAGMA table_info(stock)".into(),
        "BEGIN IMMEDIATE".into(),
        "COMMIT".into(),
        "ROLLBACK".into(),
        "SAVEPOINT s".into(),
        "VACUUM".into(),
        "ANALYZE".into(),
        "REINDEX".into(),
        format!("ATTACH '{file}' AS other"),
        format!("VACUUM INTO '{file}'"),
        "DETACH main".into(),
        String::new(),
        "-- nothing".into(),
        ";".into(),
    ] {
        let said = home.refused(&sql);
        assert!(said.contains(reading), "{sql}: {said}");
    }
    assert!(!std::path::Path::new(&file).exists());
    assert_eq!(home.models.count(&"stock".into()), Ok(2));
}

#[test]
fn nothing_but_models_is_read() {
    let home = home();
    for (sql, says) in [
        ("SELECT 1 AS a; SELECT 2 AS b", "one statement is expected"),
        ("SELECT id FROM stock; DELETE FROM main.stock", "a statement that reads is expected"),
        ("SELECT load_extension('x') AS x", "the function load_extension cannot be used here"),
        ("SELECT readfile('/etc/passwd') AS x", "no such function: readfile"),
        ("SELECT LOAD_EXTENSION('x') AS x FROM stock", "cannot be used here"),
        ("SELECT fts3_tokenizer('simple') AS x", "cannot be used here"),
        ("SELECT sqlite_version() AS x", "cannot be used here"),
        ("SELECT randomblob(1000000000) AS x", "cannot be used here"),
        ("SELECT _ek_digest FROM stock", "no such column: _ek_digest"),
        ("SELECT _ek_digest FROM main.stock", "_ek_digest cannot be read; there are: every, stock, _ek_freshness"),
        ("SELECT * FROM main.stock", "the rows of stock are read by that name alone"),
        ("WITH stock AS (SELECT _ek_digest AS d FROM main.stock) SELECT d FROM stock", "_ek_digest cannot be read"),
        ("SELECT id FROM hidden", "hidden.id cannot be read"),
        ("SELECT count(*) FROM hidden", "hidden cannot be read"),
        ("SELECT count(*) FROM HIDDEN", "HIDDEN cannot be read"),
        ("SELECT count(*) FROM main.hidden AS h", "cannot be read"),
        ("SELECT value FROM _ek_meta", "_ek_meta.value cannot be read"),
        (
            "WITH _ek_freshness AS (SELECT value AS v FROM _ek_meta) SELECT v FROM _ek_freshness",
            "_ek_meta.value cannot be read",
        ),
        ("SELECT count(*) FROM _ek_meta", "_ek_meta cannot be read"),
        ("SELECT schema FROM _ek_tables", "_ek_tables.schema cannot be read"),
        ("SELECT sql FROM sqlite_schema", "cannot be read"),
        ("SELECT count(*) FROM sqlite_schema", "cannot be read"),
        ("SELECT name FROM temp.sqlite_schema", "cannot be read"),
        ("SELECT name FROM sqlite_temp_master", "cannot be read"),
        ("SELECT name FROM pragma_table_info('stock')", "cannot be"),
        ("SELECT count(*) FROM pragma_database_list", "cannot be"),
        ("SELECT name FROM dbstat", "cannot be"),
        ("SELECT count(*) FROM dbstat", "cannot be"),
        ("SELECT id FROM absent", "there is no model or view absent; there are: every, stock, _ek_freshness"),
        ("SELECT id FROM stock WHERE n = ?1", "variable"),
        ("SELECT id FROM stock WHERE n = :n", "variable"),
        ("SELEC id FROM stock", "syntax error"),
        ("SELECT json('{')", "malformed JSON"),
        ("SELECT abs(-9223372036854775808) AS x FROM stock", "integer overflow"),
    ] {
        let said = home.refused(sql);
        assert!(said.contains(says), "{sql}: {said}");
    }
    // None of that has broken anything, for itself or others.
    assert_eq!(home.reads("SELECT id FROM stock"), ["stock"]);
    assert_eq!(home.models.count(&"stock".into()), Ok(2));
}

#[test]
fn time_rows_and_bytes_are_bounded() {
    let home = home();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT";
    let started = Instant::now();
    assert_eq!(home.query(&format!("{endless} count(*) FROM n")), Err(SqlError::TooLong(Duration::from_millis(300))));
    assert!(started.elapsed() < Duration::from_secs(5));
    let (answered, _) = home.query(&format!("{endless} i FROM n")).unwrap();
    assert_eq!((answered.rows.len(), answered.more, &answered.rows[999][0]), (1000, true, &Value::from(1000)));
    let (answered, _) = home.query(&format!("{endless} i FROM n LIMIT 1000")).unwrap();
    assert_eq!((answered.rows.len(), answered.more), (1000, false));
    let large = format!("{endless} i, format('%.*c', 100000, 'x') AS text FROM n LIMIT 100");
    assert_eq!(home.query(&large), Err(SqlError::TooLarge(1 << 20)));
    let huge = home.query("SELECT format('%.*c', 1000000000, 'x') AS text");
    assert!(matches!(&huge, Err(SqlError::Statement { message, .. }) if message.contains("too big")), "{huge:?}");
    // What was stopped is over: the next one has all its time.
    assert_eq!(home.query("SELECT count(*) AS n FROM stock").unwrap().0.rows, [[2.into()]]);
}

#[test]
fn decimals_are_ordered_exactly_where_it_is_said() {
    let home = home();
    let sql = "WITH t(x) AS (VALUES ('10'), ('9.5'), ('-1'), ('9.50')) SELECT group_concat(x, ' ' ORDER BY x COLLATE ek_decimal) AS x FROM t";
    let (answered, _) = home.query(sql).unwrap();
    assert_eq!(answered.rows[0][0], Value::String("-1 9.5 9.50 10".into()));
}

/// The table changes its shape, and a model comes, while connections are ready for others.
#[test]
fn views_follow_the_tables() {
    let mut home = home();
    assert!(home.refused("SELECT more FROM stock").contains("no such column"));
    let wider = schema("stock", &[("id", ColumnType::Text), ("more", ColumnType::I64)]);
    home.models.begin_build(&wider).unwrap();
    home.models.swap(&"stock".into(), evenkeel_core::drift::Content::default()).unwrap();
    assert_eq!(home.query("SELECT more FROM stock").unwrap().0.rows.len(), 0);
    home.names.push("hidden".into());
    assert_eq!(home.reads("SELECT id FROM hidden"), ["hidden"]);
    home.views.push(view("few", "SELECT id FROM hidden -- with a remark"));
    assert_eq!(home.reads("SELECT id FROM few"), ["hidden"]);
    home.views.clear();
    assert!(home.refused("SELECT id FROM few").contains("there is no model or view few"));
}

/// Rows and states are of one moment, whatever is written while the statement runs.
#[test]
fn a_statement_sees_one_moment() {
    let home = home();
    let models = &home.models;
    let statement = Statement {
        sql: "SELECT count(*) AS n FROM stock",
        models: &home.names,
        views: &[],
        rows: 1,
        bytes: 100,
        within: Duration::from_secs(5),
    };
    let answered = models.query(&statement, &mut |states| {
        let conn = foreign(&home.folder, "models.db");
        conn.execute_batch("DELETE FROM stock").unwrap();
        states.len() == 1
    });
    assert_eq!(answered.unwrap().unwrap().rows, [[2.into()]]);
    assert_eq!(home.query("SELECT count(*) AS n FROM stock").unwrap().0.rows, [[0.into()]]);
}

#[test]
fn views_are_judged_before_there_is_any_data() {
    let schemas = [every_type(), schema("stock", &[("id", ColumnType::Text), ("n", ColumnType::I64)])];
    let views = [
        view("fine", "SELECT id, total_minor FROM every -- remark"),
        view("over", "SELECT count(*) AS n FROM fine, later"),
        view("later", "WITH s AS (SELECT * FROM stock) SELECT n FROM s;\n"),
        view("broken", "SELECT id FROM stock WHERE"),
        view("writes", "DELETE FROM stock"),
        view("two", "SELECT 1 AS a; SELECT 2 AS b"),
        view("absent", "SELECT colour FROM stock"),
        view("nowhere", "SELECT id FROM missing"),
        view("secret", "SELECT value FROM main._ek_meta"),
        view("digest", "SELECT _ek_digest FROM main.stock"),
        view("calls", "SELECT load_extension(id) AS x FROM stock"),
        view("itself", "SELECT * FROM itself"),
        view("empty", " "),
    ];
    let wrong = check_views(&schemas, &views).unwrap();
    let found: Vec<_> = wrong.iter().map(|(index, error)| (views[*index].name.as_str(), error.to_string())).collect();
    for (name, says) in [
        ("broken", "incomplete input"),
        ("writes", "syntax error"),
        ("two", "one statement"),
        ("absent", "no such column: colour"),
        ("nowhere", "there is no model or view missing"),
        ("secret", "_ek_meta.value cannot be read"),
        ("digest", "_ek_digest cannot be read"),
        ("calls", "load_extension cannot be used"),
        ("itself", "circular"),
        ("empty", "incomplete input"),
    ] {
        let said = found.iter().find(|(of, _)| *of == name).map(|(_, said)| said.as_str());
        assert!(said.is_some_and(|said| said.contains(says)), "{name}: {said:?}");
    }
    assert_eq!(found.len(), 10, "{found:?}");
    let absent = wrong.iter().find(|(index, _)| views[*index].name == "absent").map(|(_, error)| error.clone());
    assert!(matches!(absent, Some(SqlError::Statement { offset: Some(7), .. })), "{absent:?}");
    assert_eq!(check_views(&schemas, &views[..3]).unwrap(), []);
}
