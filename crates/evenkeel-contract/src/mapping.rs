//! The field map of a contract applied to a raw event: exact conversion of each value, or a reason with a pointer.
//!
//! Nothing is rounded, trimmed or guessed: text that holds a number is no integer, `5.0` is no integer, more digits
//! than a currency has are refused. What the values must satisfy together is not here (invariants, [`crate::gate`]).
mod reads;

pub use reads::Reads;

use crate::{
    contract::{Contract, Field, FieldType, RawAttribute, ValueSource},
    envelope::RawEvent,
    place,
};
use evenkeel_core::{
    Subject, Timestamp,
    decimal::{Currency, Decimal, Money},
    json::{Number, Object, Pointer, Value},
    time::Date,
};
use std::{borrow::Cow, fmt::Display, str::FromStr};

/// Why a value cannot be mapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Misfit {
    /// The reason in words.
    pub detail: String,
    /// JSON pointer into the raw event, where one place is to blame.
    pub pointer: Option<String>,
}

impl Misfit {
    fn new(from: &ValueSource, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), pointer: pointer(from) }
    }

    /// The same for the field it concerns.
    fn of(self, field: &Field) -> Self {
        Self { detail: format!("{}: {}", field.to, self.detail), ..self }
    }
}

/// The pointer into the raw event for where a value comes from; a constant is nowhere.
pub(crate) fn pointer(from: &ValueSource) -> Option<String> {
    match from {
        ValueSource::Data(pointer) => Some(place::in_data(pointer)),
        ValueSource::Event(attribute) => Some(format!("/{}", attribute.as_str())),
        ValueSource::Value(_) => None,
    }
}

/// The subject of the event: text that is not empty, or an integer as its digits.
///
/// # Errors
/// Where there is neither.
pub fn subject(contract: &Contract, event: &RawEvent) -> Result<Subject, Misfit> {
    let fail = |detail: String| Misfit::new(&contract.subject, format!("subject: {detail}"));
    match raw(&contract.subject, event).as_deref() {
        Some(Value::String(text)) if text.is_empty() => Err(fail("the text is empty".into())),
        Some(Value::String(text)) => {
            without_nul(text).map_err(fail)?;
            Ok(text.as_str().into())
        }
        Some(Value::Number(Number::Int(int))) => Ok(int.to_string().into()),
        Some(Value::Number(Number::Exact(digits))) if !digits.contains(['.', 'e', 'E']) => {
            Ok(digits.to_string().into())
        }
        None | Some(Value::Null) => Err(fail("the value is missing".into())),
        Some(other) => Err(fail(format!("expected text or an integer, found {}", found(other)))),
    }
}

/// The translated data.
///
/// A value that is missing is left out where the field is optional, and replaced where it has a default. Null counts as
/// missing, except for the type `json`, where it is a value.
///
/// # Errors
/// The first field, in declared order, that cannot be made.
pub fn data(contract: &Contract, event: &RawEvent) -> Result<Object, Misfit> {
    let mut members = Vec::with_capacity(contract.fields.len());
    for field in &contract.fields {
        let sent = raw(&field.from, event).filter(|value| **value != Value::Null || field.ty == FieldType::Json);
        let value = match (sent, &field.default) {
            (Some(sent), _) => sent,
            (None, Some(default)) => Cow::Borrowed(default),
            (None, None) if field.optional => continue,
            (None, None) => return Err(Misfit::new(&field.from, "the value is missing").of(field)),
        };
        members.push((field.to.as_str().into(), convert(field, value, event).map_err(|misfit| misfit.of(field))?));
    }
    Object::from_members(members)
        .map_err(|name| Misfit { detail: format!("two fields are mapped to {name:?}"), pointer: None })
}

/// The raw value, if it is there.
fn raw<'v>(from: &'v ValueSource, event: &'v RawEvent) -> Option<Cow<'v, Value>> {
    let attribute = match from {
        ValueSource::Data(pointer) => return pointer.get(&event.data).map(Cow::Borrowed),
        ValueSource::Value(value) => return Some(Cow::Borrowed(value)),
        ValueSource::Event(attribute) => attribute,
    };
    let text = match attribute {
        RawAttribute::Type => event.event_type.clone(),
        RawAttribute::Id => event.id.clone(),
        RawAttribute::Time => event.time?.to_string(),
        RawAttribute::Subject => event.subject.clone()?,
        RawAttribute::Source => event.source.as_str().to_owned(),
    };
    Some(Cow::Owned(text.into()))
}

fn convert(field: &Field, value: Cow<'_, Value>, event: &RawEvent) -> Result<Value, Misfit> {
    let fail = |detail: String| Misfit::new(&field.from, detail);
    if let FieldType::Money { currency: at } = &field.ty {
        let currency = currency(at, event)?;
        let amount = decimal(&value).map_err(fail)?;
        let money = Money::new(amount, currency).map_err(|error| fail(error.to_string()))?;
        let mut object = Object::default();
        object.insert("amount", money.amount().to_string().into());
        object.insert("currency", currency.code().into());
        return Ok(object.into());
    }
    let converted = match (&field.ty, &*value) {
        (FieldType::Text, Value::String(text)) => return without_nul(text).map(|()| value.into_owned()).map_err(fail),
        (FieldType::I64, Value::Number(Number::Int(_))) | (FieldType::Bool, Value::Bool(_)) => {
            return Ok(value.into_owned());
        }
        (FieldType::Array, Value::Array(_)) | (FieldType::Object, Value::Object(_)) | (FieldType::Json, _) => {
            return match nul_within(&value) {
                None => Ok(value.into_owned()),
                Some(rest) => {
                    Err(Misfit { detail: NUL.into(), pointer: pointer(&field.from).map(|pointer| pointer + &rest) })
                }
            };
        }
        (FieldType::Decimal, value) => decimal(value).map(|decimal| decimal.to_string()),
        (FieldType::Iso4217, Value::String(text)) => canonical::<Currency>(text),
        (FieldType::Timestamp, Value::String(text)) => canonical::<Timestamp>(text),
        (FieldType::Date, Value::String(text)) => canonical::<Date>(text),
        (ty, other) => Err(format!("expected {}, found {}", expected(ty), found(other))),
    };
    converted.map(Value::from).map_err(fail)
}

fn canonical<T: FromStr<Err: Display> + Display>(text: &str) -> Result<String, String> {
    text.parse::<T>().map(|value| value.to_string()).map_err(|error| error.to_string())
}

fn currency(at: &Pointer, event: &RawEvent) -> Result<Currency, Misfit> {
    let fail = |detail: String| Misfit { detail, pointer: Some(place::in_data(at)) };
    match at.get(&event.data) {
        Some(Value::String(code)) => code.parse().map_err(|error| fail(format!("{error}"))),
        None | Some(Value::Null) => Err(fail("the currency is missing".into())),
        Some(other) => Err(fail(format!("expected a currency code, found {}", found(other)))),
    }
}

/// A decimal from a number or a text, exactly.
fn decimal(value: &Value) -> Result<Decimal, String> {
    match value {
        Value::Number(Number::Int(int)) => Ok((*int).into()),
        Value::Number(Number::Exact(text)) => text.parse().map_err(|error| format!("{error}")),
        Value::String(text) => text.parse().map_err(|error| format!("{error}")),
        other => Err(format!("expected a decimal as a number or as text, found {}", found(other))),
    }
}

const NUL: &str = "the text holds the character U+0000, which not every table can keep";

fn without_nul(text: &str) -> Result<(), String> {
    if text.as_bytes().contains(&0) { Err(NUL.into()) } else { Ok(()) }
}

/// Pointer to the first text within `value` that holds U+0000, or to the value whose name does.
fn nul_within(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => without_nul(text).is_err().then(String::new),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(i, item)| nul_within(item).map(|rest| format!("/{i}{rest}")))
        }
        Value::Object(object) => object.iter().find_map(|(name, member)| {
            let within = if without_nul(name).is_err() { Some(String::new()) } else { nul_within(member) };
            within.map(|rest| format!("/{}{rest}", place::escape(name)))
        }),
        _ => None,
    }
}

fn expected(ty: &FieldType) -> &'static str {
    match ty {
        FieldType::Text => "text",
        FieldType::I64 => "an integer of 64 bits",
        FieldType::Decimal | FieldType::Money { .. } => "a decimal",
        FieldType::Iso4217 => "a currency code",
        FieldType::Bool => "a boolean",
        FieldType::Timestamp => "an RFC 3339 time as text",
        FieldType::Date => "a date as text",
        FieldType::Json => "any JSON",
        FieldType::Array => "an array",
        FieldType::Object => "an object",
    }
}

/// What was found, in words; scalars with their value.
fn found(value: &Value) -> String {
    match value {
        Value::Null | Value::Array(_) | Value::Object(_) => value.kind().to_owned(),
        Value::Bool(b) => format!("the boolean {b}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {text:?}"),
    }
}

#[cfg(test)]
mod tests;
