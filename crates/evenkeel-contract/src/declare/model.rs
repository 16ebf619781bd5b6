//! One model file: its key, its columns and its clauses, as written.
//!
//! Not here: whether they fit each other ([`crate::check`]), and what they do to rows ([`evenkeel_core::fold`]).
use super::{ConditionDecl, condition, operand, version};
use crate::{
    diagnostic::{Diagnostic, Place},
    reader::{At, Data, Entry, Node, Reader, Sink, not_a_word},
    settings::{self, DriftSettings},
};
use evenkeel_core::{
    fold::{OpKind, Operand},
    freshness::Level,
    json::Pointer,
    merge::OrderBy,
    schema::Merge,
};

/// A model as its file declares it.
#[derive(Debug)]
pub(crate) struct ModelDecl {
    pub(crate) name: At<String>,
    pub(crate) version: u32,
    pub(crate) key: Vec<At<String>>,
    /// Where the key is declared.
    pub(crate) key_place: Place,
    pub(crate) columns: Vec<ColumnDecl>,
    pub(crate) clauses: Vec<ClauseDecl>,
    pub(crate) drift: DriftSettings,
    pub(crate) require: Option<Level>,
    pub(crate) default_level: Option<Level>,
    /// Whether columns may be ordered by what sources say of the time.
    pub(crate) allow_wall_clock: bool,
}

/// A column as declared.
#[derive(Debug)]
pub(crate) struct ColumnDecl {
    pub(crate) name: At<String>,
    /// `None` where it could not be read.
    pub(crate) ty: Option<At<ColumnKind>>,
    pub(crate) merge: At<Merge>,
    /// What puts concurrent writes in order, where that is said.
    pub(crate) clock: Option<At<OrderBy>>,
    /// The column of a money column's currency.
    pub(crate) currency: Option<At<String>>,
}

/// The word for a column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    Text,
    I64,
    Decimal,
    Money,
    Iso4217,
    Bool,
    Timestamp,
    Date,
    Json,
}

impl ColumnKind {
    const WORDS: [(&'static str, Self); 9] = [
        ("text", Self::Text),
        ("i64", Self::I64),
        ("decimal", Self::Decimal),
        ("money", Self::Money),
        ("iso4217", Self::Iso4217),
        ("bool", Self::Bool),
        ("timestamp", Self::Timestamp),
        ("date", Self::Date),
        ("json", Self::Json),
    ];

    pub(crate) fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }
}

/// What one type of event does.
#[derive(Debug)]
pub(crate) struct ClauseDecl {
    pub(crate) event: At<String>,
    pub(crate) when: Vec<ConditionDecl>,
    pub(crate) each: Option<At<Pointer>>,
    /// `None` where it is missing or could not be read.
    pub(crate) key: Option<At<Vec<At<Operand>>>>,
    pub(crate) delete: bool,
    pub(crate) ops: Vec<OpDecl>,
}

/// One operation.
#[derive(Debug)]
pub(crate) struct OpDecl {
    pub(crate) kind: OpKind,
    pub(crate) column: At<String>,
    pub(crate) value: At<Operand>,
    /// The version that is changed.
    pub(crate) based_on: Option<At<Operand>>,
}

/// Reads a model. `None` where not even its name could be read.
pub(crate) fn read(file: &Node, defaults: DriftSettings, sink: &Sink) -> Option<ModelDecl> {
    let mut reader = Reader::of(file, "a table", sink)?;
    let name: Option<At<String>> = reader.required("model");
    let version = version(&mut reader);
    let key: Option<At<Vec<At<String>>>> = reader.required("key");
    let key_place = reader.entry("key").map_or_else(|| file.place.clone(), |entry| entry.node.place.clone());
    reader.demand("columns");
    let columns = reader.table("columns").map(|table| table.rest().map(|entry| column(entry, sink)).collect());
    let clauses = reader.tables("on", "tables headed [[on]]");
    let clauses = clauses.into_iter().filter_map(clause).collect();
    let mut drift = defaults;
    if let Some(mut table) = reader.table("drift") {
        settings::drift(&mut table, &mut drift);
        table.finish();
    }
    let require = level(&mut reader, "require");
    let default_level = level(&mut reader, "default_level");
    let allow_wall_clock = reader.optional::<At<bool>>("allow_wall_clock").is_some_and(|allowed| allowed.value);
    reader.finish();
    Some(ModelDecl {
        name: name?,
        version: version.map_or(1, |version| version.value),
        key: key.map(|key| key.value).unwrap_or_default(),
        key_place,
        columns: columns.unwrap_or_default(),
        clauses,
        drift,
        require,
        default_level,
        allow_wall_clock,
    })
}

fn level(reader: &mut Reader<'_>, key: &'static str) -> Option<Level> {
    let words: Vec<_> = Level::ALL.iter().map(|level| (level.as_str(), *level)).collect();
    reader.word(key, &words).map(|level| level.value)
}

fn column(entry: &Entry, sink: &Sink) -> ColumnDecl {
    let name = entry.key.clone();
    let lww = At { value: Merge::Lww, place: entry.node.place.clone() };
    let Data::Table(table) = &entry.node.value else {
        return ColumnDecl { name, ty: column_kind(&entry.node, sink), merge: lww, clock: None, currency: None };
    };
    let mut reader = Reader::new(table, &entry.node.place, sink);
    reader.demand("type");
    let ty = reader.node("type").and_then(|node| column_kind(node, sink));
    let merge = merge(&mut reader).unwrap_or(lww);
    let clocks: Vec<_> = OrderBy::ALL.iter().map(|order| (order.as_str(), *order)).collect();
    let clock = reader.word("clock", &clocks);
    let currency = reader.optional("currency");
    reader.finish();
    ColumnDecl { name, ty, merge, clock, currency }
}

fn column_kind(node: &Node, sink: &Sink) -> Option<At<ColumnKind>> {
    let words = ColumnKind::WORDS;
    let found = words.iter().find(|(word, _)| node.as_text() == Some(word));
    if found.is_none() {
        let diagnostic = match node.as_text() {
            Some(word @ ("array" | "object")) => {
                Diagnostic::error(&node.place, format!("a column cannot be of type `{word}`"))
                    .help("use type `json`, or fan out over the items with `each`")
            }
            _ => not_a_word(node, words.iter().map(|(word, _)| *word)),
        };
        sink.push(diagnostic);
    }
    found.map(|(_, kind)| At { value: *kind, place: node.place.clone() })
}

fn merge(reader: &mut Reader<'_>) -> Option<At<Merge>> {
    let words: Vec<_> = Merge::ALL.iter().map(|merge| (merge.as_str(), *merge)).collect();
    reader.word("merge", &words)
}

fn clause(mut reader: Reader<'_>) -> Option<ClauseDecl> {
    let event: Option<At<String>> = reader.required("event");
    let when = reader.table("when").map(when).unwrap_or_default();
    let Body { over, key, delete, ops } = match reader.entry("each") {
        None => body(&mut reader, false),
        Some(each) => fan_out(&mut reader, each),
    };
    reader.finish();
    Some(ClauseDecl { event: event?, when, each: over, key, delete, ops })
}

/// The body inside `each`; beside it the clause of `outer` can have none.
fn fan_out(outer: &mut Reader<'_>, each: &Entry) -> Body {
    let sink = outer.sink;
    for entry in body_keys().filter_map(|key| outer.entry(key)) {
        let message = format!("`{}` cannot stand beside `each`", entry.key.value);
        sink.push(
            Diagnostic::error(&entry.key.place, message)
                .related(&each.key.place, "this clause fans out")
                .help("put it inside `each`, or into an [[on]] of its own"),
        );
    }
    let expected = "a table such as { over = \"/data/items\", key = \"/sku\", … }";
    let Some(mut inside) = Reader::of(&each.node, expected, sink) else { return Body::default() };
    let over = inside.required("over");
    inside.not_yet("when");
    let body = Body { over, ..body(&mut inside, true) };
    inside.finish();
    body
}

fn when(mut reader: Reader<'_>) -> Vec<ConditionDecl> {
    let given = condition::any(&mut reader);
    if let Some(entry) = reader.entry("cel") {
        reader.sink.push(
            Diagnostic::error(&entry.key.place, "`cel` belongs to the invariants of contracts").help(
                "a model's conditions are native: gt, ge, lt, le, equals, not_equals, not_empty, one_of, matches",
            ),
        );
    }
    let conditions = condition::take(&mut reader).into_iter().map(|(decl, _)| decl).collect();
    if !given {
        reader.sink.error(&reader.place, "this `when` demands nothing");
    }
    reader.finish();
    conditions
}

/// What a clause does to the rows it names.
#[derive(Default)]
struct Body {
    over: Option<At<Pointer>>,
    key: Option<At<Vec<At<Operand>>>>,
    delete: bool,
    ops: Vec<OpDecl>,
}

const OPS: [(&str, OpKind); 7] = [
    ("set", OpKind::Set),
    ("set_once", OpKind::SetOnce),
    ("add", OpKind::Add),
    ("min", OpKind::Min),
    ("max", OpKind::Max),
    ("insert", OpKind::Insert),
    ("remove", OpKind::Remove),
];

/// Beside `set`: of columns of versions, which one each write is based on.
const BASED_ON: &str = "based_on";

fn body_keys() -> impl Iterator<Item = &'static str> {
    OPS.iter().map(|(key, _)| *key).chain([BASED_ON, "key", "delete"])
}

fn body(reader: &mut Reader<'_>, element: bool) -> Body {
    let sink = reader.sink;
    reader.demand("key");
    let key = reader.node("key").and_then(|node| key_operands(node, element, sink));
    let mut ops: Vec<OpDecl> = Vec::new();
    let mut given = false;
    for (name, kind) in OPS {
        let Some(table) = reader.table(name) else { continue };
        given |= table.rest().next().is_some();
        for entry in table.rest() {
            if let Some(first) = ops.iter().find(|op| op.column.value == entry.key.value) {
                let message = format!("two operations on `{}` in one clause", entry.key.value);
                sink.push(Diagnostic::error(&entry.key.place, message).related(&first.column.place, "the first"));
            }
            if let Some(value) = operand::read(&entry.node, element, sink) {
                ops.push(OpDecl { kind, column: entry.key.clone(), value, based_on: None });
            }
        }
    }
    if let Some(table) = reader.table(BASED_ON) {
        given |= table.rest().next().is_some();
        for entry in table.rest() {
            based_on(entry, &mut ops, element, sink);
        }
    }
    let delete = delete(reader, given);
    if !given && !delete {
        let help = "add one of `set`, `set_once`, `add`, `min`, `max`, `insert`, `remove`, `delete`, `each`";
        sink.push(Diagnostic::error(&reader.place, "this clause does nothing").help(help));
    }
    Body { over: None, key, delete, ops }
}

/// Which version the write to a column is based on.
fn based_on(entry: &Entry, ops: &mut [OpDecl], element: bool, sink: &Sink) {
    let Some(value) = operand::read(&entry.node, element, sink) else { return };
    let name = &entry.key.value;
    match ops.iter_mut().find(|op| op.kind == OpKind::Set && op.column.value == *name) {
        Some(op) => op.based_on = Some(value),
        None => {
            let message = format!("`based_on` of `{name}`, which is not set here");
            sink.push(Diagnostic::error(&entry.key.place, message).help(format!("write set = {{ {name} = … }} too")));
        }
    }
}

/// `delete = true`, which stands alone.
fn delete(reader: &mut Reader<'_>, given: bool) -> bool {
    let Some(delete) = reader.optional::<At<bool>>("delete") else { return false };
    if !delete.value {
        reader.sink.error(&delete.place, "`delete` can only be true; leave it out");
    } else if given {
        reader.sink.error(&delete.place, "a clause that deletes the row cannot change it too");
    }
    // A wrong `delete` is reported once, not again as a clause that does nothing.
    true
}

fn key_operands(node: &Node, element: bool, sink: &Sink) -> Option<At<Vec<At<Operand>>>> {
    let value = match &node.value {
        Data::Array(items) => items.iter().map(|item| operand::read(item, element, sink)).collect::<Option<_>>()?,
        _ => vec![operand::read(node, element, sink)?],
    };
    Some(At { value, place: node.place.clone() })
}
