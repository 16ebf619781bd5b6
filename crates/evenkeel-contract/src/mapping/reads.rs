//! Which places of the raw data a contract reads, so that the rest can be named.
//!
//! Taking values from them is [`super`]'s.
use crate::{
    contract::{Contract, FieldType, ValueSource},
    place,
};
use evenkeel_core::json::{Pointer, Value};
use std::{collections::BTreeMap, fmt::Write as _};

/// The places of the raw data that a contract reads, as a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// The value here is read whole.
    whole: bool,
    /// What is read within it.
    within: BTreeMap<String, Reads>,
}

impl Reads {
    /// What `contract` reads: its subject, its fields, and their currencies.
    pub fn of(contract: &Contract) -> Self {
        let mut reads = Self::default();
        for source in contract.fields.iter().map(|field| &field.from).chain([&contract.subject]) {
            if let ValueSource::Data(pointer) = source {
                reads.add(pointer);
            }
        }
        for field in &contract.fields {
            if let FieldType::Money { currency } = &field.ty {
                reads.add(currency);
            }
        }
        reads
    }

    fn add(&mut self, pointer: &Pointer) {
        let place = pointer.tokens().iter().fold(self, |reads, token| reads.within.entry(token.clone()).or_default());
        place.whole = true;
    }

    /// Pointers into the raw event to what is in `data` and is not read, sorted: the outermost place of each part.
    pub fn unread(&self, data: &Value) -> Vec<String> {
        let mut unread = Vec::new();
        self.walk(data, &mut String::from("/data"), &mut unread);
        unread.sort_unstable();
        unread
    }

    fn walk(&self, value: &Value, at: &mut String, unread: &mut Vec<String>) {
        if self.whole {
            return;
        }
        match value {
            Value::Object(members) => {
                for (name, member) in members.iter() {
                    self.step(name, &place::escape(name), member, at, unread);
                }
            }
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    let index = i.to_string();
                    self.step(&index, &index, item, at, unread);
                }
            }
            // Null is what absent data is read as.
            Value::Null => {}
            _ => unread.push(at.clone()),
        }
    }

    fn step(&self, token: &str, escaped: &str, value: &Value, at: &mut String, unread: &mut Vec<String>) {
        let length = at.len();
        // Writing to a string does not fail.
        let _ = write!(at, "/{escaped}");
        match self.within.get(token) {
            Some(within) => within.walk(value, at, unread),
            None => unread.push(at.clone()),
        }
        at.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_core::json::parse;

    fn unread(pointers: &[&str], document: &str) -> Vec<String> {
        let mut reads = Reads::default();
        pointers.iter().for_each(|pointer| reads.add(&pointer.parse().unwrap()));
        reads.unread(&parse(document.as_bytes()).unwrap())
    }

    #[test]
    fn what_is_not_read_is_named_at_its_outermost_place() {
        let document = r#"{"b": 1, "a": {"x": 1, "y/z": [1, 2]}, "c": [{"k": 1, "l": 2}, 3]}"#;
        assert_eq!(unread(&[], document), ["/data/a", "/data/b", "/data/c"]);
        assert_eq!(unread(&["/a/x", "/b", "/c/0/k"], document), ["/data/a/y~1z", "/data/c/0/l", "/data/c/1"]);
        assert_eq!(unread(&["/a", "/a/x", "/b/no"], document), ["/data/b", "/data/c"]);
        assert_eq!(unread(&[""], document), [""; 0]);
        assert_eq!(unread(&["/a"], "7"), ["/data"]);
        assert_eq!(unread(&["/a"], r#"{"a": null}"#), [""; 0]);
    }
}
