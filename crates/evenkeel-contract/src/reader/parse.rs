//! TOML text to values with places. Several syntax errors are told, one a line.
use super::{At, Data, Entry, Node, Sink, Table};
use crate::diagnostic::{Diagnostic, Place};
use std::{ops::Range, sync::Arc};
use toml::de::{DeTable, DeValue};

/// Reads a file. Syntax errors are reported; what could be read around them is returned with `false`.
pub(crate) fn read(path: &str, bytes: &[u8], sink: &Sink) -> (Node, bool) {
    let tree = Tree { path: path.into(), sink };
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            sink.error(&tree.place(at..at), "the file is not UTF-8");
            return (At { value: Data::Table(Table::default()), place: tree.place(0..0) }, false);
        }
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    let table = tree.table(document.get_ref());
    // One slip often gives several errors in its line: the first says most.
    let mut line = None;
    for error in &errors {
        let start = error.span().map_or(0, |span| span.start);
        let this = text.bytes().take(start).filter(|byte| *byte == b'\n').count();
        if line != Some(this) {
            tree.syntax_error(error, text, &table);
        }
        line = Some(this);
    }
    (At { value: Data::Table(table), place: tree.place(0..0) }, errors.is_empty())
}

/// Turns the parser's tree into ours.
struct Tree<'s> {
    path: Arc<str>,
    sink: &'s Sink,
}

impl Tree<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        Place::File { path: self.path.clone(), span }
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, value)| Entry {
                key: At { value: key.get_ref().to_string(), place: self.place(key.span()) },
                node: self.node(value.get_ref(), value.span()),
            })
            .collect();
        entries.sort_by_key(|entry| entry.key.place.span().start);
        Table::new(entries)
    }

    fn node(&self, value: &DeValue<'_>, span: Range<usize>) -> Node {
        let place = self.place(span);
        let value = match value {
            DeValue::String(text) => Data::Text(text.to_string()),
            DeValue::Integer(int) => match i64::from_str_radix(int.as_str(), int.radix()) {
                Ok(int) => Data::Int(int),
                Err(_) => {
                    self.sink.error(&place, "expected an integer of 64 bits");
                    Data::Int(0)
                }
            },
            DeValue::Float(float) => Data::Float(float.as_str().to_owned()),
            DeValue::Boolean(b) => Data::Bool(*b),
            DeValue::Datetime(time) => Data::Time(time.to_string()),
            DeValue::Array(items) => {
                Data::Array(items.iter().map(|item| self.node(item.get_ref(), item.span())).collect())
            }
            DeValue::Table(table) => Data::Table(self.table(table)),
        };
        At { value, place }
    }

    fn syntax_error(&self, error: &toml::de::Error, text: &str, table: &Table) {
        let span = error.span().unwrap_or(0..0);
        let place = self.place(span.clone());
        let key = text.get(span.clone()).unwrap_or_default();
        if error.message() != "duplicate key" {
            // The parser takes what is missing for text without quotes.
            let message = match error.message() {
                message if message.starts_with("string values must be quoted") && key.trim().is_empty() => {
                    "expected a value"
                }
                message => message.trim_end_matches(", expected nothing"),
            };
            self.sink.push(Diagnostic::error(&place, message).label("syntax error"));
            return;
        }
        let diagnostic = Diagnostic::error(&place, format!("`{key}` is given twice"));
        let mut first = None;
        nearest_before(table, key.trim_matches(['"', '\'']), span.start, &mut first);
        self.sink.push(match first {
            Some((_, first)) => diagnostic.related(&first, "first given here"),
            None => diagnostic,
        });
    }
}

/// The last place before `before` where `key` is given.
fn nearest_before(table: &Table, key: &str, before: usize, best: &mut Option<(usize, Place)>) {
    for entry in table.iter() {
        let start = entry.key.place.span().start;
        if entry.key.value == key && start < before && best.as_ref().is_none_or(|(other, _)| *other < start) {
            *best = Some((start, entry.key.place.clone()));
        }
        match &entry.node.value {
            Data::Table(table) => nearest_before(table, key, before, best),
            Data::Array(items) => {
                for item in items {
                    if let Data::Table(table) = &item.value {
                        nearest_before(table, key, before, best);
                    }
                }
            }
            _ => {}
        }
    }
}
