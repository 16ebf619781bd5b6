//! Which places of the raw data a contract reads, so that the rest can be named.
//!
//! Taking values from them is [`super`]'s.
use crate::{
    contract::{Contract, Each, Field, FieldType, ValueSource},
    place,
};
use evenkeel_core::json::Value;
use std::{collections::BTreeMap, fmt::Write as _};

/// The places of the raw data that a contract reads, as a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// The value here is read whole.
    whole: bool,
    /// What is read within it.
    within: BTreeMap<String, Reads>,
    /// What is read within every element of the array it is, and in no other way.
    elements: Option<Box<Reads>>,
}

/// A step on the way to a place.
#[derive(Clone)]
enum Step<'c> {
    Token(&'c str),
    EveryElement,
}

impl Reads {
    /// What `contract` reads: its subject, its fields, their currencies and the parts of elements.
    pub fn of(contract: &Contract) -> Self {
        let mut reads = Self::default();
        reads.add_source(&contract.subject, &[]);
        contract.fields.iter().for_each(|field| reads.add_field(field, &[]));
        reads.settle();
        reads
    }

    /// Adds what `field` reads, where pointers start from `base`.
    fn add_field<'c>(&mut self, field: &'c Field, base: &[Step<'c>]) {
        if let FieldType::Money { currency } = &field.ty {
            self.add_source(currency, base);
        }
        let Some(each) = field.each.as_deref() else { return self.add_source(&field.from, base) };
        let Some(mut element) = path(&field.from, base) else { return };
        // An array of no elements is read all the same.
        self.at(&element);
        element.push(Step::EveryElement);
        match each {
            Each::Value(value) => self.add_field(value, &element),
            Each::Fields(fields) => fields.iter().for_each(|field| self.add_field(field, &element)),
        }
    }

    fn add_source<'c>(&mut self, from: &'c ValueSource, base: &[Step<'c>]) {
        if let Some(path) = path(from, base) {
            self.at(&path).whole = true;
        }
    }

    #[cfg(test)]
    fn add(&mut self, pointer: &evenkeel_core::json::Pointer) {
        self.at(&pointer.tokens().iter().map(|token| Step::Token(token)).collect::<Vec<_>>()).whole = true;
    }

    fn at(&mut self, path: &[Step<'_>]) -> &mut Self {
        path.iter().fold(self, |reads, step| match step {
            Step::Token(token) => reads.within.entry((*token).to_owned()).or_default(),
            Step::EveryElement => reads.elements.get_or_insert_default(),
        })
    }

    /// Puts what is read of every element also where one element is named.
    fn settle(&mut self) {
        if let Some(elements) = &mut self.elements {
            elements.settle();
            for (token, named) in &mut self.within {
                if token.bytes().all(|byte| byte.is_ascii_digit()) {
                    named.merge(elements);
                }
            }
        }
        self.within.values_mut().for_each(Self::settle);
    }

    fn merge(&mut self, other: &Self) {
        self.whole |= other.whole;
        for (token, reads) in &other.within {
            self.within.entry(token.clone()).or_default().merge(reads);
        }
        if let Some(elements) = &other.elements {
            self.elements.get_or_insert_default().merge(elements);
        }
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
                    self.step(name, &place::escape(name), member, false, at, unread);
                }
            }
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    let index = i.to_string();
                    self.step(&index, &index, item, true, at, unread);
                }
            }
            // Null is what absent data is read as.
            Value::Null => {}
            _ => unread.push(at.clone()),
        }
    }

    fn step(
        &self,
        token: &str,
        escaped: &str,
        value: &Value,
        value_is_element: bool,
        at: &mut String,
        unread: &mut Vec<String>,
    ) {
        let length = at.len();
        // Writing to a string does not fail.
        let _ = write!(at, "/{escaped}");
        let elements = || if value_is_element { self.elements.as_deref() } else { None };
        match self.within.get(token).or_else(elements) {
            Some(within) => within.walk(value, at, unread),
            None => unread.push(at.clone()),
        }
        at.truncate(length);
    }
}

/// The way to where a value comes from, if that is in the data.
fn path<'c>(from: &'c ValueSource, base: &[Step<'c>]) -> Option<Vec<Step<'c>>> {
    let (base, pointer) = match from {
        ValueSource::Data(pointer) => (base, pointer),
        ValueSource::Whole(pointer) => (&[][..], pointer),
        ValueSource::Event(_) | ValueSource::Extension(_) | ValueSource::Value(_) => return None,
    };
    Some(base.iter().cloned().chain(pointer.tokens().iter().map(|token| Step::Token(token))).collect())
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
