//! One raw value into a value of a field's type, exactly, or why it cannot be.
//!
//! Where the value comes from, and the parts of arrays, are [`super`]'s.
use crate::{
    contract::{Field, FieldType, Values},
    place,
};
use evenkeel_core::{
    Timestamp,
    decimal::{Currency, Decimal, Money},
    json::{Number, Object, Value},
    time::Date,
};
use std::{borrow::Cow, fmt::Display, str::FromStr};

/// Why a value does not convert.
pub(super) struct Unfit {
    pub(super) detail: String,
    /// Pointer from the value to the part that is to blame.
    pub(super) within: String,
}

impl From<String> for Unfit {
    fn from(detail: String) -> Self {
        Self { detail, within: String::new() }
    }
}

/// What an enumeration makes of a raw value.
pub(super) fn listed(values: &Values, value: &Value) -> Result<Value, String> {
    let key = match value {
        Value::String(text) => Cow::Borrowed(text.as_str()),
        Value::Number(Number::Int(int)) => Cow::Owned(int.to_string()),
        Value::Bool(b) => Cow::Borrowed(if *b { "true" } else { "false" }),
        other => return Err(format!("expected one of the values the contract lists, found {}", found(other))),
    };
    values.get(key.as_ref()).cloned().ok_or_else(|| {
        let known: Vec<_> = values.keys().map(|known| format!("{known:?}")).collect();
        format!("{} is none of the values the contract lists, which are {}", found(value), known.join(", "))
    })
}

/// An amount of money, rounded where the field declares it.
pub(super) fn money(field: &Field, value: &Value, currency: Currency) -> Result<Value, String> {
    let mut amount = decimal(value)?;
    if let Some(round) = field.round {
        amount = amount.rounded(round.digits.unwrap_or_else(|| currency.digits()), round.mode);
    }
    let money = Money::new(amount, currency).map_err(|error| error.to_string())?;
    let mut object = Object::default();
    object.insert("amount", money.amount().to_string().into());
    object.insert("currency", currency.code().into());
    Ok(object.into())
}

/// A value of any type but money.
pub(super) fn value(field: &Field, value: Cow<'_, Value>) -> Result<Value, Unfit> {
    let converted = match (&field.ty, &*value) {
        (FieldType::Text, Value::String(text)) => {
            without_nul(text)?;
            return Ok(value.into_owned());
        }
        (FieldType::I64, Value::Number(Number::Int(_))) | (FieldType::Bool, Value::Bool(_)) => {
            return Ok(value.into_owned());
        }
        (FieldType::Array, Value::Array(_)) | (FieldType::Object, Value::Object(_)) | (FieldType::Json, _) => {
            return match nul_within(&value) {
                None => Ok(value.into_owned()),
                Some(within) => Err(Unfit { detail: NUL.into(), within }),
            };
        }
        (FieldType::Decimal, value) => decimal(value).map(|decimal| match field.round {
            Some(round) => decimal.rounded(round.digits.unwrap_or_default(), round.mode).to_string(),
            None => decimal.to_string(),
        }),
        (FieldType::Iso4217, Value::String(text)) => canonical::<Currency>(text),
        (FieldType::Timestamp, Value::String(text)) => canonical::<Timestamp>(text),
        (FieldType::Date, Value::String(text)) => canonical::<Date>(text),
        (ty, other) => Err(format!("expected {}, found {}", expected(ty), found(other))),
    };
    Ok(converted?.into())
}

fn canonical<T: FromStr<Err: Display> + Display>(text: &str) -> Result<String, String> {
    text.parse::<T>().map(|value| value.to_string()).map_err(|error| error.to_string())
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

pub(super) const NUL: &str = "the text holds the character U+0000, which not every table can keep";

pub(super) fn without_nul(text: &str) -> Result<(), String> {
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
pub(super) fn found(value: &Value) -> String {
    match value {
        Value::Null | Value::Array(_) | Value::Object(_) => value.kind().to_owned(),
        Value::Bool(b) => format!("the boolean {b}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {text:?}"),
    }
}
