//! Statements that readers write, carried out on connections that cannot write and may do nothing but read models.
//!
//! Each connection shows every declared model as a temporary view of the model's name without the columns and rows that
//! are ours, and every view that users declared beside them. It does so through a view of a name of ours, by which
//! what reads the table for it is told from what reads the table past it. What a statement may touch is judged while it is compiled
//! ([`allowed`]), how long it may run while it runs.
mod allowed;
mod check;

pub use check::check_views;

use super::{
    layout::{Layout, Layouts, quote, table_name},
    state::{self, Stored},
};
use crate::{
    Admit, Answered, SqlError, Statement, StoreError, Table,
    sqlite::{
        database::Database,
        fault::{Fallible, Fault},
        readers::{Reader, Readers},
    },
};
use allowed::{Allowed, NO_READ, Seen, Watch};
use evenkeel_core::{
    json::{Number, Value},
    row::hex,
    schema::{ColumnType, View},
};
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, config::DbConfig, limits::Limit, types::ValueRef};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// Instructions of SQLite's machine between two looks at the time.
const INSTRUCTIONS: i32 = 1000;
/// The longest text or row that a statement may make, in bytes.
const LONGEST: i32 = 4 << 20;
/// What the name of the view that reads a model's table begins with, before the model's.
const ROWS: &str = "_ek_rows_of_";
/// How often a connection is made ready anew where models keep changing their shape.
const TRIES: usize = 5;

/// What a connection is set up for.
#[derive(Default)]
struct Ready {
    /// What makes the views it shows.
    views: Vec<String>,
    watch: Arc<Watch>,
    /// When what runs must end.
    until: Arc<Mutex<Option<Instant>>>,
}

/// The connections for statements.
pub(super) struct Statements(Readers<Ready>);

impl Statements {
    pub(super) fn new() -> Self {
        Self(Readers::for_long())
    }

    /// Carries a statement out, as [`crate::Models::query`] says.
    pub(super) fn query(
        &self,
        db: &Database<(), ()>,
        layouts: &Layouts,
        statement: &Statement<'_>,
        admit: Admit<'_>,
    ) -> Result<Option<Answered>, SqlError> {
        let open = || {
            let mut conn = db.read_only()?;
            let state = Ready::default();
            set_up(&mut conn, &state)?;
            Ok(Reader { conn, state })
        };
        // What the statement is refused for is no fault of the connection.
        let answered =
            self.0.lend_within(Some(statement.within), open, |reader| match run(reader, layouts, statement, admit) {
                Err(Wrong::Store(fault)) => Err(fault),
                Err(Wrong::Statement(error)) => Ok(Err(error)),
                Ok(answered) => Ok(Ok(answered)),
            });
        answered.map_err(|fault| db.at(fault))?
    }
}

/// What goes wrong on the way.
enum Wrong {
    Store(Fault),
    Statement(SqlError),
}

impl<E: Into<Fault>> From<E> for Wrong {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

/// Limits that hold for everything that runs on the connection.
fn set_up(conn: &mut Connection, ready: &Ready) -> Fallible<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cache_size", -8192)?;
    conn.pragma_update(None, "query_only", true)?;
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, LONGEST),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 1 << 20),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
        (Limit::SQLITE_LIMIT_VDBE_OP, 250_000),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        conn.set_limit(limit, value)?;
    }
    let watch = Arc::clone(&ready.watch);
    conn.authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| watch.judge(&context)))?;
    let until = Arc::clone(&ready.until);
    let is_over = move || until.lock().is_some_and(|until| Instant::now() >= until);
    conn.progress_handler(INSTRUCTIONS, Some(is_over))?;
    Ok(())
}

fn run(
    reader: &mut Reader<Ready>,
    layouts: &Layouts,
    statement: &Statement<'_>,
    admit: Admit<'_>,
) -> Result<Option<Answered>, Wrong> {
    for _ in 0..TRIES {
        let Reader { conn, state: ready } = reader;
        let snapshot = conn.unchecked_transaction()?;
        let mut stored = Vec::new();
        for model in statement.models {
            stored.extend(state::find(&snapshot, layouts, model)?);
        }
        let views = definitions(stored.iter().map(|stored| stored.live.as_ref()), statement.views);
        if ready.views == views {
            return answer(&snapshot, ready, &stored, statement, admit);
        }
        drop(snapshot);
        replace_views(conn, ready, views)?;
    }
    Err(Fault::Store(StoreError::Unavailable("models keep changing their shape".into())).into())
}

/// What makes the views of a connection: one for each model without what is ours, and the users'.
fn definitions<'l>(models: impl Iterator<Item = &'l Layout>, views: &[View]) -> Vec<String> {
    let of_model = |layout: &Layout| {
        let columns: Vec<_> = visible(layout).iter().map(|name| quote(name)).collect();
        let (model, table) = (&layout.schema.model, table_name(&layout.schema.model, Table::Live));
        let shown = layout.shown();
        let (columns, rows) = (columns.join(", "), quote(&rows_of(model.as_str())));
        [
            format!("CREATE TEMP VIEW {rows} AS SELECT {columns} FROM main.{table} WHERE {shown}"),
            format!("CREATE TEMP VIEW {} AS SELECT * FROM temp.{rows}", quote(model.as_str())),
        ]
    };
    // The end of a line ends a comment.
    let of_user = |view: &View| {
        format!("CREATE TEMP VIEW {} AS {}\n", quote(&view.name), view.sql.trim_end().trim_end_matches(';'))
    };
    models.flat_map(of_model).chain(views.iter().map(of_user)).collect()
}

/// The view that reads a model's table for the model's own.
fn rows_of(model: &str) -> String {
    format!("{ROWS}{model}")
}

/// The columns of a model's table that readers see: the declared ones, and minor units of money.
fn visible(layout: &Layout) -> Vec<String> {
    let named = layout.schema.shown().flat_map(|(_, column)| {
        let minor = matches!(column.ty, ColumnType::Money { .. }).then(|| format!("{}_minor", column.name));
        [Some(column.name.clone()), minor]
    });
    named.flatten().collect()
}

fn replace_views(conn: &Connection, ready: &mut Ready, views: Vec<String>) -> Fallible<()> {
    ready.views.clear();
    conn.pragma_update(None, "query_only", false)?;
    let old: Vec<String> = {
        let mut select = conn.prepare("SELECT name FROM temp.sqlite_schema WHERE type = 'view'")?;
        select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?
    };
    for name in old {
        conn.execute_batch(&format!("DROP VIEW temp.{}", quote(&name)))?;
    }
    for view in &views {
        conn.execute(view, []).map_err(Fault::of_definition)?;
    }
    conn.pragma_update(None, "query_only", true)?;
    ready.views = views;
    Ok(())
}

/// Compiles the statement, has it admitted by what it reads, and carries it out.
fn answer(
    conn: &Connection,
    ready: &Ready,
    stored: &[Stored],
    statement: &Statement<'_>,
    admit: Admit<'_>,
) -> Result<Option<Answered>, Wrong> {
    let allowed = Allowed::of(conn, stored.iter().map(|stored| stored.live.as_ref()), statement.views)?;
    let names = allowed.names();
    let _ends = Ends(ready);
    let (prepared, seen) = compile(conn, ready, allowed, statement.sql)?;
    let mut prepared = prepared.map_err(|error| Wrong::Statement(refusal(error, seen.denied, &names)))?;
    if !reads(&prepared) {
        return Err(Wrong::Statement(SqlError::statement(NO_READ)));
    }
    let columns: Vec<String> = prepared.column_names().map(ToOwned::to_owned).collect();
    let mut known = BTreeSet::new();
    if let Some(twice) = columns.iter().find(|name| !known.insert(name.as_str())) {
        let message = format!("two columns are named {twice:?}; give one another name with AS");
        return Err(Wrong::Statement(SqlError::statement(message)));
    }
    let is_read = |stored: &&Stored| seen.models.is_empty() || seen.models.contains(stored.state.schema.model.as_str());
    let states: Vec<_> = stored.iter().filter(is_read).map(|stored| stored.state.clone()).collect();
    if !admit(&states) {
        return Ok(None);
    }
    *ready.until.lock() = Instant::now().checked_add(statement.within);
    let mut found = prepared.query([]).map_err(|error| ended(error, statement.within))?;
    let (mut rows, mut more, mut bytes) = (Vec::new(), false, 0);
    while let Some(row) = found.next().map_err(|error| ended(error, statement.within))? {
        if rows.len() == statement.rows {
            more = true;
            break;
        }
        let mut values = Vec::with_capacity(columns.len());
        for column in 0..columns.len() {
            values.push(value(row.get_ref(column)?, &mut bytes));
        }
        if bytes > statement.bytes {
            return Err(Wrong::Statement(SqlError::TooLarge(statement.bytes)));
        }
        rows.push(values);
    }
    Ok(Some(Answered { columns, rows, more }))
}

/// Compiles what a reader wrote, and what it was found to do. It has no parameters, which nobody would give.
fn compile<'c>(
    conn: &'c Connection,
    ready: &Ready,
    allowed: Allowed,
    sql: &str,
) -> rusqlite::Result<(rusqlite::Result<rusqlite::Statement<'c>>, Seen)> {
    let ours = conn.set_limit(Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 0)?;
    ready.watch.begin(allowed);
    let prepared = conn.prepare(sql);
    conn.set_limit(Limit::SQLITE_LIMIT_VARIABLE_NUMBER, ours)?;
    Ok((prepared, ready.watch.seen()))
}

/// Whether a statement reads and does nothing else.
fn reads(prepared: &rusqlite::Statement<'_>) -> bool {
    prepared.readonly() && prepared.column_count() > 0
}

/// Ends what a statement began, however it went.
struct Ends<'r>(&'r Ready);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.watch.end();
        *self.0.until.lock() = None;
    }
}

/// A value as readers see it.
fn value(value: ValueRef<'_>, bytes: &mut usize) -> Value {
    let (value, size) = match value {
        ValueRef::Null => (Value::Null, 0),
        ValueRef::Integer(int) => (int.into(), 0),
        ValueRef::Real(real) if real.is_finite() => (Value::Number(Number::Exact(format!("{real:?}").into())), 0),
        ValueRef::Real(real) => (Value::String(real.to_string().into()), 0),
        ValueRef::Text(text) => (Value::String(String::from_utf8_lossy(text).into()), text.len()),
        ValueRef::Blob(blob) => (Value::String(hex(blob).into()), 2 * blob.len()),
    };
    *bytes += size + 16;
    value
}

/// Why a statement was not compiled, in words for whoever wrote it.
fn refusal(error: rusqlite::Error, denied: Option<String>, names: &[String]) -> SqlError {
    use rusqlite::Error::{MultipleStatement, SqlInputError, SqliteFailure};
    if let Some(message) = denied {
        return SqlError::Statement { message, offset: None };
    }
    let (message, offset) = match error {
        SqlInputError { msg, offset, .. } => (msg, usize::try_from(offset).ok()),
        MultipleStatement => ("one statement is expected, there are several".into(), None),
        SqliteFailure(_, Some(message)) => (message, None),
        other => (other.to_string(), None),
    };
    let message = match message.strip_prefix("no such table: ") {
        Some(name) => format!("there is no model or view {name}; there are: {}", names.join(", ")),
        None if message.ends_with("because it is a view") => NO_READ.into(),
        None => message,
    };
    SqlError::Statement { message, offset }
}

/// Why a statement did not come to its end.
fn ended(error: rusqlite::Error, within: Duration) -> Wrong {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => Wrong::Statement(SqlError::TooLong(within)),
        // What the statement itself computes goes wrong: too large a text, a number out of range, JSON that is none.
        Some(ErrorCode::TooBig | ErrorCode::Unknown | ErrorCode::TypeMismatch) => {
            Wrong::Statement(refusal(error, None, &[]))
        }
        _ => Wrong::Store(error.into()),
    }
}
