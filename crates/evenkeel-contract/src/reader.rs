//! Reads TOML with a place for every key and value, takes typed keys out of tables, and collects what is wrong.
//!
//! The one place that knows how a wrong type, a missing key or an unknown key is told. Not here: what the keys mean.
mod node;
mod parse;

pub(crate) use node::{At, Data, Entry, FromNode, Node, Table};
pub(crate) use parse::read;

use crate::diagnostic::{Diagnostic, Place, did_you_mean};
use std::cell::RefCell;

/// Where diagnostics are collected.
#[derive(Debug, Default)]
pub(crate) struct Sink(RefCell<Vec<Diagnostic>>);

impl Sink {
    pub(crate) fn push(&self, diagnostic: impl Into<Box<Diagnostic>>) {
        self.0.borrow_mut().push(*diagnostic.into());
    }

    pub(crate) fn error(&self, place: &Place, message: impl Into<String>) {
        self.push(Diagnostic::error(place, message));
    }

    pub(crate) fn any(&self, holds: impl Fn(&Diagnostic) -> bool) -> bool {
        self.0.borrow().iter().any(holds)
    }

    pub(crate) fn into_inner(self) -> Vec<Diagnostic> {
        self.0.into_inner()
    }
}

/// Takes keys out of one table. [`Reader::finish`] reports those nobody asked for.
#[derive(Debug)]
#[must_use]
pub(crate) struct Reader<'n> {
    table: &'n Table,
    /// Where a missing key is reported.
    pub(crate) place: Place,
    asked: Vec<&'static str>,
    pub(crate) sink: &'n Sink,
}

impl<'n> Reader<'n> {
    pub(crate) fn new(table: &'n Table, place: &Place, sink: &'n Sink) -> Self {
        Self { table, place: place.clone(), asked: Vec::new(), sink }
    }

    /// Reads `node`, which should be a table.
    pub(crate) fn of(node: &'n Node, expected: &str, sink: &'n Sink) -> Option<Self> {
        match &node.value {
            Data::Table(table) => Some(Self::new(table, &node.place, sink)),
            _ => {
                sink.push(node.mismatch(expected));
                None
            }
        }
    }

    /// The key with its value, as it was written.
    pub(crate) fn entry(&mut self, key: &'static str) -> Option<&'n Entry> {
        self.asked.push(key);
        self.table.get(key)
    }

    /// The value of `key`, as it was written.
    pub(crate) fn node(&mut self, key: &'static str) -> Option<&'n Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The value of a key that may be missing; a wrong one is reported and counts as missing.
    pub(crate) fn optional<T: FromNode>(&mut self, key: &'static str) -> Option<T> {
        let node = self.node(key)?;
        T::from_node(node).map_err(|expected| self.sink.push(node.mismatch(&expected))).ok()
    }

    /// The value of a key that must be there.
    pub(crate) fn required<T: FromNode>(&mut self, key: &'static str) -> Option<T> {
        self.demand(key);
        self.optional(key)
    }

    /// Reports that `key` is missing, where it is.
    pub(crate) fn demand(&mut self, key: &'static str) {
        if self.entry(key).is_none() {
            self.sink.error(&self.place, format!("missing `{key}`"));
        }
    }

    /// The value of `key`, or the default.
    pub(crate) fn or<T: FromNode>(&mut self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&'static str, T)]) -> Option<At<T>> {
        let node = self.node(key)?;
        let found = words.iter().find(|(word, _)| node.as_text() == Some(word));
        if found.is_none() {
            self.sink.push(not_a_word(node, words.iter().map(|(word, _)| *word)));
        }
        found.map(|(_, value)| At { value: *value, place: node.place.clone() })
    }

    /// A reader of the table under `key`.
    pub(crate) fn table(&mut self, key: &'static str) -> Option<Self> {
        let node = self.node(key)?;
        Reader::of(node, "a table", self.sink)
    }

    /// Readers of the tables of the array under `key`.
    pub(crate) fn tables(&mut self, key: &'static str, expected: &str) -> Vec<Self> {
        match self.node(key) {
            None => Vec::new(),
            Some(At { value: Data::Array(items), .. }) => {
                items.iter().filter_map(|item| Reader::of(item, "a table", self.sink)).collect()
            }
            Some(other) => {
                self.sink.push(other.mismatch(expected));
                Vec::new()
            }
        }
    }

    /// Reports `key`, where it is there, as something that is not built yet.
    pub(crate) fn not_yet(&mut self, key: &'static str) {
        if let Some(entry) = self.entry(key) {
            self.sink.error(&entry.key.place, format!("`{key}` is not supported yet"));
        }
    }

    /// The entries nobody asked for.
    pub(crate) fn rest(&self) -> impl Iterator<Item = &'n Entry> + use<'n, '_> {
        self.table.iter().filter(|entry| !self.asked.contains(&entry.key.value.as_str()))
    }

    /// Reports every key that nobody asked for.
    pub(crate) fn finish(self) {
        for entry in self.rest() {
            let known = self.asked.iter().copied();
            let diagnostic = Diagnostic::error(&entry.key.place, format!("unknown key `{}`", entry.key.value));
            self.sink.push(diagnostic.maybe_help(did_you_mean(&entry.key.value, known)));
        }
    }
}

/// That one of `words` was expected.
pub(crate) fn not_a_word<'w>(node: &Node, words: impl Iterator<Item = &'w str> + Clone) -> Diagnostic {
    let listed: Vec<_> = words.clone().map(|word| format!("`{word}`")).collect();
    let expected = match listed.as_slice() {
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
        [] => String::new(),
    };
    node.mismatch(&expected).maybe_help(node.as_text().and_then(|found| did_you_mean(found, words)))
}
