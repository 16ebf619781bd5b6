//! JSON Patch (RFC 6902) over exact values: what is not touched keeps every digit, and so does what is put in.
//!
//! The libraries there are work on `serde_json`'s own values, where `9007199254740993.01` is a float and has lost its
//! last digits before the first operation is done. Not here: what a patch may be applied to
//! ([`crate::quarantine::Entry::edited_with`]).
mod number;

use super::{MAX_DEPTH, Object, Pointer, Value};
use number::same_number;
use std::{fmt, str::FromStr};

/// How many operations a patch may have.
pub const MAX_OPERATIONS: usize = 1000;

/// How much text `copy` may multiply in one patch, in bytes: copies of copies double with every operation.
pub const MAX_COPIED_BYTES: usize = 256 << 10;

/// A patch: operations that are done one after the other, all or none.
///
/// ```
/// use evenkeel_core::json::{Patch, parse};
/// let patch: Patch = r#"[{"op": "replace", "path": "/total", "value": 9007199254740993.01}]"#.parse()?;
/// let patched = patch.apply(parse(br#"{"total": 0, "serial": 18446744073709551617}"#)?)?;
/// assert_eq!(patched.to_string(), r#"{"serial":18446744073709551617,"total":9007199254740993.01}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch(Vec<Operation>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operation {
    Add { path: Pointer, value: Value },
    Remove { path: Pointer },
    Replace { path: Pointer, value: Value },
    Move { from: Pointer, path: Pointer },
    Copy { from: Pointer, path: Pointer },
    Test { path: Pointer, value: Value },
}

/// Why a patch is none, or cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", operation.map_or_else(String::new, |index| format!("operation {index}: ")))]
pub struct PatchError {
    /// Which operation, from 0, where it is one.
    pub operation: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl Patch {
    /// A patch from its parsed text. Members that no operation knows are ignored, as the RFC has it.
    ///
    /// # Errors
    /// Says which operation is none.
    pub fn of(document: Value) -> Result<Self, PatchError> {
        let Value::Array(operations) = document else {
            let message = format!("expected an array of operations, found {}", document.kind());
            return Err(PatchError { operation: None, message });
        };
        if operations.len() > MAX_OPERATIONS {
            let message = format!("at most {MAX_OPERATIONS} operations are taken, found {}", operations.len());
            return Err(PatchError { operation: None, message });
        }
        let read = |(index, operation)| Operation::read(operation).map_err(|message| at(index, message));
        operations.into_iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// What the operations make of `document`.
    ///
    /// # Errors
    /// The first operation that cannot be done, or whose `test` fails.
    pub fn apply(&self, mut document: Value) -> Result<Value, PatchError> {
        let mut copied = 0;
        for (index, operation) in self.0.iter().enumerate() {
            operation.apply(&mut document, &mut copied).map_err(|message| at(index, message))?;
        }
        Ok(document)
    }

    /// Whether it begins with another document in place of the whole one, so that nothing is asked of the one before.
    pub fn replaces_the_whole(&self) -> bool {
        let whole = |path: &Pointer| path.tokens().is_empty();
        matches!(self.0.first(), Some(Operation::Add { path, .. } | Operation::Replace { path, .. }) if whole(path))
    }

    /// Whether there is no operation.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn to_value(&self) -> Value {
        Value::Array(self.0.iter().map(Operation::to_value).collect())
    }
}

fn at(index: usize, message: String) -> PatchError {
    PatchError { operation: Some(index), message }
}

impl FromStr for Patch {
    type Err = PatchError;
    fn from_str(text: &str) -> Result<Self, PatchError> {
        let document = super::parse(text.as_bytes());
        Self::of(document.map_err(|error| PatchError { operation: None, message: error.to_string() })?)
    }
}

impl fmt::Display for Patch {
    /// Its canonical text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_value().fmt(f)
    }
}

impl serde::Serialize for Patch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl Operation {
    fn read(operation: Value) -> Result<Self, String> {
        let Value::Object(mut members) = operation else {
            return Err(format!("expected an object, found {}", operation.kind()));
        };
        let text = |name: &str| match members.get(name) {
            Some(Value::String(text)) => Ok(text.to_string()),
            Some(other) => Err(format!("{name}: expected text, found {}", other.kind())),
            None => Err(format!("{name} is missing")),
        };
        let pointer =
            |name: &str| text(name)?.parse::<Pointer>().map_err(|error| format!("{name}: {error}")).and_then(bounded);
        let (op, path) = (text("op")?, pointer("path")?);
        let from = if matches!(op.as_str(), "move" | "copy") { Some(pointer("from")?) } else { None };
        let mut value = || members.remove("value").ok_or_else(|| "value is missing".to_owned());
        Ok(match (op.as_str(), from) {
            ("add", _) => Self::Add { path, value: value()? },
            ("remove", _) => Self::Remove { path },
            ("replace", _) => Self::Replace { path, value: value()? },
            ("test", _) => Self::Test { path, value: value()? },
            ("move", Some(from)) => Self::Move { from, path },
            ("copy", Some(from)) => Self::Copy { from, path },
            _ => return Err(format!("expected add, remove, replace, move, copy or test, found {op:?}")),
        })
    }

    fn apply(&self, document: &mut Value, copied: &mut usize) -> Result<(), String> {
        match self {
            Self::Add { path, value } => add(document, path, value.clone()),
            Self::Remove { path } => remove(document, path).map(drop),
            Self::Replace { path, value } => {
                fits(path, value)?;
                *find(document, path)? = value.clone();
                Ok(())
            }
            Self::Move { from, path } => {
                if path.tokens().starts_with(from.tokens()) && path != from {
                    return Err(format!("{from} cannot be moved into itself"));
                }
                if path == from {
                    return find(document, from).map(drop);
                }
                let value = remove(document, from)?;
                add(document, path, value)
            }
            Self::Copy { from, path } => {
                let value = find(document, from)?.clone();
                *copied = copied.saturating_add(size(&value));
                if *copied > MAX_COPIED_BYTES {
                    return Err(format!("the patch copies more than {MAX_COPIED_BYTES} bytes"));
                }
                add(document, path, value)
            }
            Self::Test { path, value } => {
                let found = find(document, path)?;
                if equal(found, value) { Ok(()) } else { Err(format!("{path} is not what the test expects")) }
            }
        }
    }

    fn to_value(&self) -> Value {
        let (op, path, from, value) = match self {
            Self::Add { path, value } => ("add", path, None, Some(value)),
            Self::Remove { path } => ("remove", path, None, None),
            Self::Replace { path, value } => ("replace", path, None, Some(value)),
            Self::Move { from, path } => ("move", path, Some(from), None),
            Self::Copy { from, path } => ("copy", path, Some(from), None),
            Self::Test { path, value } => ("test", path, None, Some(value)),
        };
        let mut members = Object::default();
        members.insert("op", op.into());
        members.insert("path", path.to_string().into());
        if let Some(from) = from {
            members.insert("from", from.to_string().into());
        }
        if let Some(value) = value {
            members.insert("value", value.clone());
        }
        members.into()
    }
}

/// Nothing is deeper than what is parsed, so neither is a way to it.
fn bounded(pointer: Pointer) -> Result<Pointer, String> {
    if pointer.tokens().len() > MAX_DEPTH {
        return Err(format!("a pointer of more than {MAX_DEPTH} parts leads nowhere"));
    }
    Ok(pointer)
}

fn nothing_at(path: &Pointer) -> String {
    format!("there is nothing at {path}")
}

/// The value at `path`.
fn find<'v>(document: &'v mut Value, path: &Pointer) -> Result<&'v mut Value, String> {
    walk(document, path.tokens()).ok_or_else(|| nothing_at(path))
}

fn walk<'v>(document: &'v mut Value, tokens: &[String]) -> Option<&'v mut Value> {
    tokens.iter().try_fold(document, |value, token| match value {
        Value::Object(object) => object.get_mut(token),
        Value::Array(items) => items.get_mut(index(token)?),
        _ => None,
    })
}

/// The place that a reference token means in an array.
fn index(token: &str) -> Option<usize> {
    let plain = token == "0" || !token.starts_with(['0', '+']);
    plain.then(|| token.parse().ok()).flatten()
}

fn add(document: &mut Value, path: &Pointer, value: Value) -> Result<(), String> {
    fits(path, &value)?;
    let Some((last, parents)) = path.tokens().split_last() else {
        *document = value;
        return Ok(());
    };
    match walk(document, parents) {
        Some(Value::Object(object)) => object.insert(last.as_str(), value),
        Some(Value::Array(items)) if last == "-" => items.push(value),
        Some(Value::Array(items)) => match index(last).filter(|index| *index <= items.len()) {
            Some(index) => items.insert(index, value),
            None => return Err(format!("{path} is no place in an array of {}", items.len())),
        },
        Some(other) => return Err(format!("{path} is inside {}, which has no parts", other.kind())),
        None => return Err(format!("{path} is inside of nothing")),
    }
    Ok(())
}

fn remove(document: &mut Value, path: &Pointer) -> Result<Value, String> {
    let Some((last, parents)) = path.tokens().split_last() else {
        return Err("the whole document cannot be removed; replace it".into());
    };
    let removed = match walk(document, parents) {
        Some(Value::Object(object)) => object.remove(last),
        Some(Value::Array(items)) => index(last).filter(|index| *index < items.len()).map(|index| items.remove(index)),
        _ => None,
    };
    removed.ok_or_else(|| nothing_at(path))
}

/// Refuses what would nest deeper than what can be read again.
fn fits(path: &Pointer, value: &Value) -> Result<(), String> {
    if path.tokens().len() + depth(value) > MAX_DEPTH {
        return Err(format!("{path} would be nested deeper than {MAX_DEPTH} levels"));
    }
    Ok(())
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(object) => 1 + object.iter().map(|(_, value)| depth(value)).max().unwrap_or_default(),
        _ => 0,
    }
}

/// About how long the text of a value is, in bytes.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(super::Number::Int(_)) => 8,
        Value::Number(super::Number::Exact(text)) => text.len(),
        Value::String(text) => 2 + text.len(),
        Value::Array(items) => 2 + items.iter().map(|item| 1 + size(item)).sum::<usize>(),
        Value::Object(object) => 2 + object.iter().map(|(key, value)| 4 + key.len() + size(value)).sum::<usize>(),
    }
}

/// Equality as `test` means it: numbers by what they are worth, everything else as it is.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => same_number(a, b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|((ka, a), (kb, b))| ka == kb && equal(a, b))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests;
