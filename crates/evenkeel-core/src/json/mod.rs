//! JSON that survives: numbers keep their exact text, objects are canonical (sorted, no duplicate keys), and what
//! cannot be carried exactly is refused with a pointer to it.
//!
//! [`parse`] reads, [`Value`]'s `Display` writes the canonical text, [`Pointer`] finds, [`Patch`] changes. Not a general
//! JSON library: syntax is `serde_json`'s business; this is the exact value behind it.
mod parse;
mod patch;
mod pointer;

pub(crate) use pointer::follow;

pub use parse::{JsonError, MAX_DEPTH, parse};
pub use patch::{MAX_COPIED_BYTES, MAX_OPERATIONS, Patch, PatchError};
pub use pointer::{BadPointer, Pointer};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use smol_str::SmolStr;
use std::fmt;

/// A JSON value whose numbers are exact and whose objects are canonical.
///
/// Equal values have equal canonical text:
///
/// ```
/// use evenkeel_core::json::parse;
/// let value = parse(br#"{"b": 9007199254740993.01, "a": [1, null]}"#)?;
/// assert_eq!(value.to_string(), r#"{"a":[1,null],"b":9007199254740993.01}"#);
/// assert!(parse(br#"{"a": 1, "a": 2}"#).is_err());
/// # Ok::<(), evenkeel_core::json::JsonError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, exactly as written
    Number(Number),
    /// Text; short text stands in the value itself, long text is shared by its copies
    String(SmolStr),
    /// An array
    Array(Vec<Value>),
    /// An object
    Object(Object),
}

/// A JSON number: an integer of 64 bits, or the text it was written as.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Number {
    /// An integer that fits 64 bits with sign
    Int(i64),
    /// Any other number, as written
    Exact(Box<str>),
}

/// The members of a JSON object, sorted by key, each key once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Object(Vec<(SmolStr, Value)>);

impl Object {
    /// From members in any order; gives back the key that stands twice.
    ///
    /// # Errors
    /// The first duplicate key in sorted order.
    pub fn from_members(mut members: Vec<(SmolStr, Value)>) -> Result<Self, SmolStr> {
        // As the canonical text has them, which is what is read most.
        if members.is_sorted_by(|a, b| a.0 < b.0) {
            return Ok(Self(members));
        }
        members.sort_by(|a, b| a.0.cmp(&b.0));
        match members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(pair[0].0.clone()),
            None => Ok(Self(members)),
        }
    }

    /// The member named `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok().map(|i| &self.0[i].1)
    }

    /// The member named `key`, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok().map(|i| &mut self.0[i].1)
    }

    /// Sets the member named `key`, in its sorted place.
    pub fn insert(&mut self, key: impl Into<SmolStr>, value: Value) {
        let key = key.into();
        match self.0.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(i) => self.0[i].1 = value,
            Err(i) => self.0.insert(i, (key, value)),
        }
    }

    /// Takes the member named `key` out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok().map(|i| self.0.remove(i).1)
    }

    /// The members in order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Value {
    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if this is a number written as an integer of 64 bits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(Number::Int(int)) => Some(*int),
            _ => None,
        }
    }

    /// The items, if this is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The members, if this is an object.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// What this is, for messages: `a number`, `an array`….
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "text",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// This as a `serde_json` value, for libraries that want one. Numbers that a 64-bit float does not hold exactly
    /// are rounded there, so the result must never be stored; `None` where a number is out of a float's range.
    pub fn to_lossy(&self) -> Option<serde_json::Value> {
        Some(match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(b) => (*b).into(),
            Self::Number(Number::Int(int)) => (*int).into(),
            Self::Number(Number::Exact(text)) => match text.parse::<u64>() {
                Ok(int) => int.into(),
                Err(_) => serde_json::Number::from_f64(text.parse().ok()?)?.into(),
            },
            Self::String(text) => text.as_str().into(),
            Self::Array(items) => items.iter().map(Self::to_lossy).collect::<Option<Vec<_>>>()?.into(),
            Self::Object(object) => object
                .iter()
                .map(|(k, v)| Some((k.to_owned(), v.to_lossy()?)))
                .collect::<Option<serde_json::Map<_, _>>>()?
                .into(),
        })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<SmolStr> for Value {
    fn from(text: SmolStr) -> Self {
        Self::String(text)
    }
}

impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Self::Number(Number::Int(int))
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::Array(items)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(int) => int.fmt(f),
            Self::Exact(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Value {
    /// The canonical text: no white space, members sorted, numbers as written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key.as_str(), value)?;
        }
        map.end()
    }
}

impl Serialize for Value {
    /// For `serde_json`'s serializers, which write an exact number as it is.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(b) => serializer.serialize_bool(*b),
            Self::Number(Number::Int(int)) => serializer.serialize_i64(*int),
            Self::Number(Number::Exact(text)) => {
                RawValue::from_string(text.to_string()).map_err(serde::ser::Error::custom)?.serialize(serializer)
            }
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => items.serialize(serializer),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}
