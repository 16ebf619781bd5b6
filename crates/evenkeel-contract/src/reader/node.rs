//! Values as they were written, each with its place, and what can be read from one.
//!
//! Taking keys out of a table, and telling what is wrong, is [`super::Reader`]'s.
use crate::diagnostic::{Diagnostic, Place};
use evenkeel_core::json::{Number, Object, Pointer, Value};

/// A value with the place where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// A value as it was written.
pub(crate) type Node = At<Data>;

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    Text(String),
    Int(i64),
    /// As written.
    Float(String),
    Bool(bool),
    /// As written.
    Time(String),
    Array(Vec<Node>),
    Table(Table),
    /// The value of an environment variable, which has no type yet.
    Untyped(String),
}

/// The entries of a table, in the order in which they were written.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Table(Vec<Entry>);

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: At<String>,
    pub(crate) node: Node,
}

impl Table {
    pub(crate) fn new(entries: Vec<Entry>) -> Self {
        Self(entries)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.0.iter()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.iter().find(|entry| entry.key.value == key)
    }

    /// Puts a value in the place of what `key` had.
    pub(crate) fn set(&mut self, key: &str, place: &Place, node: Node) {
        self.0.retain(|entry| entry.key.value != key);
        self.0.push(Entry { key: At { value: key.to_owned(), place: place.clone() }, node });
    }

    /// The value of `key`, which is put there first where it is missing.
    pub(crate) fn entry(&mut self, key: &str, place: &Place, missing: Data) -> &mut Node {
        let index = self.0.iter().position(|entry| entry.key.value == key).unwrap_or_else(|| {
            let key = At { value: key.to_owned(), place: place.clone() };
            self.0.push(Entry { key, node: At { value: missing, place: place.clone() } });
            self.0.len() - 1
        });
        &mut self.0[index].node
    }
}

impl Node {
    /// What this is, for messages.
    fn found(&self) -> String {
        match &self.value {
            Data::Text(text) | Data::Untyped(text) => format!("{text:?}"),
            Data::Int(int) => int.to_string(),
            Data::Float(text) | Data::Time(text) => text.clone(),
            Data::Bool(b) => b.to_string(),
            Data::Array(_) => "an array".into(),
            Data::Table(_) => "a table".into(),
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Data::Text(text) | Data::Untyped(text) => Some(text),
            _ => None,
        }
    }

    /// That something else was expected here.
    pub(crate) fn mismatch(&self, expected: &str) -> Diagnostic {
        Diagnostic::error(&self.place, format!("expected {expected}, found {}", self.found()))
    }

    /// This as JSON.
    pub(crate) fn to_json(&self) -> Result<Value, Box<Diagnostic>> {
        Ok(match &self.value {
            Data::Text(text) | Data::Time(text) | Data::Untyped(text) => text.as_str().into(),
            Data::Int(int) => (*int).into(),
            Data::Bool(b) => (*b).into(),
            Data::Float(text) => {
                let plain = text.strip_prefix('+').unwrap_or(text);
                if !plain.ends_with(|last: char| last.is_ascii_digit()) {
                    return Err(self.mismatch("a number that JSON can write").into());
                }
                Value::Number(Number::Exact(plain.into()))
            }
            Data::Array(items) => items.iter().map(Self::to_json).collect::<Result<Vec<_>, _>>()?.into(),
            Data::Table(table) => {
                let mut object = Object::default();
                for entry in table.iter() {
                    object.insert(entry.key.value.as_str(), entry.node.to_json()?);
                }
                object.into()
            }
        })
    }
}

/// What can be read from one value.
pub(crate) trait FromNode: Sized {
    /// The value, or what was expected.
    fn from_node(node: &Node) -> Result<Self, String>;
}

impl<T: FromNode> FromNode for At<T> {
    fn from_node(node: &Node) -> Result<Self, String> {
        Ok(Self { value: T::from_node(node)?, place: node.place.clone() })
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    fn from_node(node: &Node) -> Result<Self, String> {
        match &node.value {
            Data::Array(items) => items.iter().map(T::from_node).collect(),
            _ => T::from_node(node).map(|one| vec![one]).map_err(|expected| format!("{expected}, or an array of such")),
        }
    }
}

impl FromNode for String {
    fn from_node(node: &Node) -> Result<Self, String> {
        node.as_text().map(ToOwned::to_owned).ok_or_else(|| "a string".into())
    }
}

impl FromNode for bool {
    fn from_node(node: &Node) -> Result<Self, String> {
        match &node.value {
            Data::Bool(b) => Some(*b),
            Data::Untyped(text) => text.parse().ok(),
            _ => None,
        }
        .ok_or_else(|| "true or false".into())
    }
}

impl FromNode for u64 {
    fn from_node(node: &Node) -> Result<Self, String> {
        match &node.value {
            Data::Int(int) => Self::try_from(*int).ok(),
            Data::Untyped(text) => text.parse().ok(),
            _ => None,
        }
        .ok_or_else(|| "an integer of at least 0".into())
    }
}

impl FromNode for u32 {
    fn from_node(node: &Node) -> Result<Self, String> {
        let int = u64::from_node(node)?;
        Self::try_from(int).map_err(|_| format!("an integer from 0 to {}", Self::MAX))
    }
}

impl FromNode for f64 {
    fn from_node(node: &Node) -> Result<Self, String> {
        match &node.value {
            Data::Int(int) => Some(*int as Self),
            Data::Float(text) | Data::Untyped(text) => text.parse().ok(),
            _ => None,
        }
        .filter(|number: &Self| number.is_finite() && *number >= 0.0)
        .ok_or_else(|| "a number of at least 0".into())
    }
}

impl FromNode for Pointer {
    fn from_node(node: &Node) -> Result<Self, String> {
        let pointer = node.as_text().and_then(|text| text.parse().ok());
        pointer.ok_or_else(|| "a JSON pointer such as \"/order_id\"".into())
    }
}
