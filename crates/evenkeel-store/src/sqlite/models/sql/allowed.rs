//! What a statement may touch, judged by SQLite's authorizer while it is compiled, and what it was found to read.
//!
//! What is secret is kept by tables and columns alone: the name of the view on whose behalf something is read proves
//! nothing, because a subquery may be given any name. It only tells whoever names a model's table, which has tombstones,
//! that the rows are in the model's view.
use super::{Layout, ROWS, rows_of, visible};
use crate::sqlite::fault::Fallible;
use evenkeel_core::schema::{DELETED, View};
use parking_lot::Mutex;
use rusqlite::{
    Connection,
    hooks::{AuthAction, AuthContext, Authorization},
};
use std::collections::{BTreeMap, BTreeSet};

/// What is said of anything but a read.
pub(super) const NO_READ: &str = "a statement that reads is expected, such as SELECT";
/// The view of how far every model is.
const FRESHNESS: &str = "_ek_freshness";
/// What that view reads, by table. Nothing here is a secret, and nothing else that is ours can be read.
const BEHIND_FRESHNESS: [(&str, &[&str]); 3] = [
    (
        "_ek_models",
        &["model", "status", "reason", "head", "lag_count", "oldest_unapplied", "as_of", "condemned", "measured_at"],
    ),
    (
        "_ek_tables",
        &[
            "model",
            "role",
            "position",
            "last_event",
            "last_write",
            "content_verdict",
            "verified_as_of",
            "parked_events",
        ],
    ),
    ("_ek_foreign", &["model"]),
];
/// Tables that SQLite makes of an argument.
const OF_ARGUMENTS: [&str; 2] = ["json_each", "json_tree"];

/// The functions that a statement may call: those that compute something from their arguments and nothing else. Dates of
/// "now" are of the moment.
const FUNCTIONS: &[&str] = &[
    "->",
    "->>",
    "abs",
    "avg",
    "char",
    "coalesce",
    "concat",
    "concat_ws",
    "count",
    "cume_dist",
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "datetime",
    "dense_rank",
    "ek_like",
    "first_value",
    "format",
    "glob",
    "group_concat",
    "hex",
    "if",
    "ifnull",
    "iif",
    "instr",
    "json",
    "json_array",
    "json_array_length",
    "json_each",
    "json_error_position",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_insert",
    "json_object",
    "json_patch",
    "json_pretty",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_tree",
    "json_type",
    "json_valid",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "length",
    "like",
    "likelihood",
    "likely",
    "lower",
    "ltrim",
    "match",
    "max",
    "median",
    "min",
    "nth_value",
    "ntile",
    "nullif",
    "octet_length",
    "percent_rank",
    "percentile",
    "percentile_cont",
    "percentile_disc",
    "printf",
    "quote",
    "rank",
    "replace",
    "round",
    "row_number",
    "rtrim",
    "sign",
    "soundex",
    "strftime",
    "string_agg",
    "substr",
    "substring",
    "sum",
    "time",
    "timediff",
    "total",
    "trim",
    "typeof",
    "unhex",
    "unicode",
    "unistr",
    "unixepoch",
    "unlikely",
    "upper",
];

/// What may be read.
#[derive(Debug, Default)]
pub(super) struct Allowed {
    /// The columns of each model that readers see.
    models: BTreeMap<String, BTreeSet<String>>,
    views: BTreeSet<String>,
    /// Tables and views of the file that are not to be read, and the names of what makes tables of other things.
    others: BTreeSet<String>,
}

impl Allowed {
    pub(super) fn of<'l>(
        conn: &Connection,
        models: impl Iterator<Item = &'l Layout>,
        views: &[View],
    ) -> Fallible<Self> {
        let columns = |layout: &Layout| {
            // The view of a model asks it for its rows.
            let deleted = layout.schema.deleted().map(|_| DELETED.to_owned());
            (layout.schema.model.to_string(), visible(layout).into_iter().chain(deleted).collect())
        };
        let models: BTreeMap<_, _> = models.map(columns).collect();
        let views: BTreeSet<_> = views.iter().map(|view| view.name.clone()).collect();
        let mut select = conn.prepare_cached(
            "SELECT name FROM main.sqlite_schema WHERE type IN ('table', 'view') UNION SELECT name FROM pragma_module_list",
        )?;
        let mut others: BTreeSet<String> = select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        others.retain(|name| {
            !models.contains_key(name)
                && !views.contains(name)
                && name != FRESHNESS
                && !OF_ARGUMENTS.contains(&name.as_str())
                && !BEHIND_FRESHNESS.iter().any(|(table, _)| table == name)
        });
        Ok(Self { models, views, others })
    }

    /// What there is to read, by name.
    pub(super) fn names(&self) -> Vec<String> {
        self.models.keys().chain(&self.views).cloned().chain([FRESHNESS.to_owned()]).collect()
    }

    /// Whether a model's table is read past the view that shows its rows. Where no column is needed there is nothing
    /// to tell by whose view it is, and nothing to hide: the view of a table with tombstones needs one.
    fn is_past_view(&self, context: &AuthContext<'_>, table: &str, column: &str) -> bool {
        let needs_column = |columns: &BTreeSet<String>| !column.is_empty() || columns.contains(DELETED);
        context.database_name == Some("main")
            && self.models.get(table).is_some_and(needs_column)
            && context.accessor != Some(rows_of(table).as_str())
    }

    /// Whether a column of a table may be read; an empty name stands for none in particular.
    fn may_read(&self, database: Option<&str>, table: &str, column: &str) -> bool {
        let is_rows = table.strip_prefix(ROWS).is_some_and(|model| self.models.contains_key(model));
        let is_view = is_rows || self.models.contains_key(table) || self.views.contains(table);
        match database {
            _ if OF_ARGUMENTS.contains(&table) || (table == FRESHNESS && database != Some("temp")) => true,
            Some("temp") => is_view,
            // A table of which no column is needed, as it was named: also that of a subquery, whose columns are judged
            // by themselves.
            _ if column.is_empty() => {
                let is_ours = |prefix| table.to_lowercase().starts_with(prefix);
                let is_behind = BEHIND_FRESHNESS.iter().any(|(behind, _)| *behind == table);
                let is_other = self.others.iter().any(|other| other.eq_ignore_ascii_case(table));
                !is_other && (is_behind || !["_ek", "sqlite_", "pragma_"].into_iter().any(is_ours))
            }
            _ => {
                let behind = BEHIND_FRESHNESS.iter().find(|(behind, _)| *behind == table);
                behind.is_some_and(|(_, columns)| columns.contains(&column))
                    || self.models.get(table).is_some_and(|columns| columns.contains(column))
            }
        }
    }
}

/// What a statement was found to do.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    /// The models it reads; all of them where it reads how far they are.
    pub(super) models: BTreeSet<String>,
    /// What it may not do, in words.
    pub(super) denied: Option<String>,
}

/// Looks at what is compiled on a connection, while a statement of a reader's is.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<Option<(Allowed, Seen)>>);

impl Watch {
    /// From now on what is compiled is a reader's.
    pub(super) fn begin(&self, allowed: Allowed) {
        *self.0.lock() = Some((allowed, Seen::default()));
    }

    /// What was seen since.
    pub(super) fn seen(&self) -> Seen {
        self.0.lock().as_ref().map(|(_, seen)| seen.clone()).unwrap_or_default()
    }

    /// From now on what is compiled is ours.
    pub(super) fn end(&self) {
        *self.0.lock() = None;
    }

    pub(super) fn judge(&self, context: &AuthContext<'_>) -> Authorization {
        let mut watched = self.0.lock();
        let Some((allowed, seen)) = watched.as_mut() else { return Authorization::Allow };
        let refused = match context.action {
            AuthAction::Select | AuthAction::Recursive => None,
            AuthAction::Function { function_name } => {
                let is_known = FUNCTIONS.contains(&function_name.to_lowercase().as_str());
                (!is_known).then(|| format!("the function {function_name} cannot be used here"))
            }
            AuthAction::Read { table_name, column_name } => {
                if table_name == FRESHNESS || BEHIND_FRESHNESS.iter().any(|(table, _)| *table == table_name) {
                    seen.models.extend(allowed.models.keys().cloned());
                } else if allowed.models.contains_key(table_name) {
                    seen.models.insert(table_name.to_owned());
                }
                let may = allowed.may_read(context.database_name, table_name, column_name);
                let column = if column_name.is_empty() { String::new() } else { format!(".{column_name}") };
                let names = || allowed.names().join(", ");
                if !may {
                    Some(format!("{table_name}{column} cannot be read; there are: {}", names()))
                } else if allowed.is_past_view(context, table_name, column_name) {
                    Some(format!("the rows of {table_name} are read by that name alone, without \"main.\""))
                } else {
                    None
                }
            }
            _ => Some(NO_READ.to_owned()),
        };
        match refused {
            None => Authorization::Allow,
            Some(why) => {
                seen.denied.get_or_insert(why);
                Authorization::Deny
            }
        }
    }
}
