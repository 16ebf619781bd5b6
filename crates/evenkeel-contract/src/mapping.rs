//! The field map of a contract applied to a raw event: exact conversion of each value, or a reason with a pointer.
//!
//! Nothing is rounded unless the contract says how, and nothing is trimmed or guessed: text that holds a number is no
//! integer, `5.0` is no integer, more digits than a currency has are refused. What the values must satisfy together is
//! not here (invariants, [`crate::gate`]).
mod convert;
mod origin;
mod reads;

pub(crate) use origin::{attribute_place, from as place_from, raw_place};
pub use reads::Reads;

use crate::{
    contract::{Contract, Each, Field, FieldType, RawAttribute, Upcast, ValueSource},
    envelope::RawEvent,
    place,
};
use convert::{found, without_nul};
use evenkeel_core::{
    Subject,
    decimal::Currency,
    json::{Number, Object, Value},
};
use std::borrow::Cow;

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
    /// The same for the field it concerns.
    fn of(self, field: &Field) -> Self {
        if field.to.is_empty() { self } else { Self { detail: format!("{}: {}", field.to, self.detail), ..self } }
    }
}

/// What values are taken out of: an event's data, or one element of an array in it.
#[derive(Clone, Copy)]
struct Scope<'s> {
    event: &'s RawEvent,
    /// The whole data.
    data: &'s Value,
    /// What pointers start from.
    here: &'s Value,
    /// Where that is, if it is an element.
    element: Option<Element<'s>>,
}

#[derive(Clone, Copy)]
struct Element<'s> {
    outer: &'s Scope<'s>,
    array: &'s ValueSource,
    index: usize,
}

impl<'s> Scope<'s> {
    fn of(event: &'s RawEvent, data: &'s Value) -> Self {
        Self { event, data, here: data, element: None }
    }

    /// The pointer to where pointers start from; written only when something is refused.
    fn base(&self) -> Option<String> {
        match self.element {
            None => Some(place::in_data("")),
            Some(Element { outer, array, index }) => outer.place(array).map(|array| format!("{array}/{index}")),
        }
    }

    /// The pointer into the raw event for where a value comes from; a constant is nowhere.
    fn place(&self, from: &ValueSource) -> Option<String> {
        match from {
            ValueSource::Data(pointer) => self.base().map(|base| format!("{base}{pointer}")),
            ValueSource::Whole(pointer) => Some(place::in_data(pointer)),
            other => attribute_place(other),
        }
    }

    fn misfit(&self, from: &ValueSource, detail: impl Into<String>) -> Misfit {
        Misfit { detail: detail.into(), pointer: self.place(from) }
    }

    /// The raw value, if it is there.
    fn raw(&self, from: &'s ValueSource) -> Option<Cow<'s, Value>> {
        let event = self.event;
        let attribute = match from {
            ValueSource::Data(pointer) => return pointer.get(self.here).map(Cow::Borrowed),
            ValueSource::Whole(pointer) => return pointer.get(self.data).map(Cow::Borrowed),
            ValueSource::Value(value) => return Some(Cow::Borrowed(value)),
            ValueSource::Extension(name) => return event.extensions.get(name).map(Cow::Borrowed),
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

    fn currency(&self, from: &'s ValueSource) -> Result<Currency, Misfit> {
        let fail = |detail: String| self.misfit(from, detail);
        match self.raw(from).as_deref() {
            Some(Value::String(code)) => code.parse().map_err(|error| fail(format!("{error}"))),
            None | Some(Value::Null) => Err(fail("the currency is missing".into())),
            Some(other) => Err(fail(format!("expected a currency code, found {}", found(other)))),
        }
    }

    fn fields(&self, fields: &'s [Field]) -> Result<Object, Misfit> {
        let mut members = Vec::with_capacity(fields.len());
        for field in fields {
            if let Some(value) = self.field(field).map_err(|misfit| misfit.of(field))? {
                members.push((field.to.as_str().into(), value));
            }
        }
        Object::from_members(members)
            .map_err(|name| Misfit { detail: format!("two fields are mapped to {name:?}"), pointer: None })
    }

    /// The field's value; `None` where it may be missing and is.
    fn field(&self, field: &'s Field) -> Result<Option<Value>, Misfit> {
        let sent = self.raw(&field.from).filter(|value| **value != Value::Null || field.ty == FieldType::Json);
        let value = match (sent, &field.default) {
            (Some(sent), _) => sent,
            (None, Some(default)) => Cow::Borrowed(default),
            (None, None) if field.optional => return Ok(None),
            (None, None) => return Err(self.misfit(&field.from, "the value is missing")),
        };
        self.convert(field, value).map(Some)
    }

    fn convert(&self, field: &'s Field, mut value: Cow<'s, Value>) -> Result<Value, Misfit> {
        let fail = |detail: String| self.misfit(&field.from, detail);
        if let Some(values) = &field.values {
            value = Cow::Owned(convert::listed(values, &value).map_err(fail)?);
        }
        if let FieldType::Money { currency } = &field.ty {
            return convert::money(field, &value, self.currency(currency)?).map_err(fail);
        }
        if let (Some(each), Value::Array(items)) = (field.each.as_deref(), &*value) {
            return self.elements(&field.from, each, items);
        }
        convert::value(field, value).map_err(|unfit| {
            let pointer = self.place(&field.from).map(|place| place + &unfit.within);
            Misfit { detail: unfit.detail, pointer }
        })
    }

    fn elements(&self, array: &ValueSource, each: &Each, items: &[Value]) -> Result<Value, Misfit> {
        let element = |(index, item)| {
            let element = Element { outer: self, array, index };
            let scope = Scope { event: self.event, data: self.data, here: item, element: Some(element) };
            match each {
                Each::Value(field) => Ok(scope.field(field)?.unwrap_or_default()),
                Each::Fields(_) if !matches!(item, Value::Object(_) | Value::Array(_)) => Err(Misfit {
                    detail: format!("expected an object with the parts of an element, found {}", found(item)),
                    pointer: scope.base(),
                }),
                Each::Fields(fields) => scope.fields(fields).map(Value::from),
            }
        };
        items.iter().enumerate().map(element).collect::<Result<Vec<_>, _>>().map(Value::from)
    }
}

/// The subject of the event: text that is not empty, or an integer as its digits.
///
/// # Errors
/// Where there is neither.
pub fn subject(contract: &Contract, event: &RawEvent) -> Result<Subject, Misfit> {
    let scope = Scope::of(event, &event.data);
    let fail = |detail: String| scope.misfit(&contract.subject, format!("subject: {detail}"));
    match scope.raw(&contract.subject).as_deref() {
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
/// The first field, in declared order, that cannot be made. Its pointer names the element of an array where one is to
/// blame.
pub fn data(contract: &Contract, event: &RawEvent) -> Result<Object, Misfit> {
    Scope::of(event, &event.data).fields(&contract.fields)
}

/// The data of a later version of our own event, made of `older`, the data of an earlier one.
///
/// # Errors
/// As [`data`], with pointers into the older event.
pub fn upcast(upcast: &Upcast, event: &RawEvent, older: &Value) -> Result<Object, Misfit> {
    let mut data = Scope::of(event, older).fields(&upcast.fields)?;
    for name in &upcast.keep {
        if let Some(value) = older.as_object().and_then(|older| older.get(name)) {
            data.insert(name.as_str(), value.clone());
        }
    }
    Ok(data)
}

#[cfg(test)]
mod tests;
