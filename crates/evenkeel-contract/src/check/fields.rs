//! The fields of a map by themselves: whether constants, attributes and listed values can become their types.
//!
//! Not here: what the values are used for ([`super::pointer`], [`super::models`]).
use super::types;
use crate::{
    contract::{Each, Field, FieldType, ValueSource},
    declare::FieldPlaces,
    diagnostic::Diagnostic,
    reader::Sink,
};
use evenkeel_core::{
    decimal::{Currency, Decimal, Money},
    json::{Number, Value},
};

/// Checks `fields`, which stand at `places`, with the parts of their elements.
pub(crate) fn check(fields: &[Field], places: &[FieldPlaces], sink: &Sink) {
    for (field, places) in fields.iter().zip(places) {
        source(field, places, sink);
        listed(field, places, sink);
        currency(field, places, sink);
        match field.each.as_deref() {
            None => {}
            Some(Each::Fields(fields)) => check(fields, &places.each, sink),
            Some(Each::Value(value)) => check(std::slice::from_ref(value), &places.each, sink),
        }
    }
}

fn source(field: &Field, places: &FieldPlaces, sink: &Sink) {
    let kind = field.ty.kind();
    let name = &field.to;
    match &field.from {
        ValueSource::Data(_) | ValueSource::Whole(_) | ValueSource::Extension(_) => {}
        // A listed value is looked up by the attribute's text, and may become anything.
        ValueSource::Event(_) if field.values.is_some() => {}
        ValueSource::Event(attribute) if types::attribute_fits(*attribute, kind) => {}
        ValueSource::Event(attribute) => {
            let message =
                format!("`{name}` is of type {kind}, which the event's `{}` cannot become", attribute.as_str());
            sink.push(Diagnostic::error(&places.from, message).related(&places.to, format!("{kind} here")));
        }
        ValueSource::Value(_) if field.values.is_some() => {
            sink.error(&places.from, format!("`{name}` is a constant, of which `values` makes nothing else"));
        }
        ValueSource::Value(value) => {
            if let Err(misfit) = constant(field, value) {
                sink.error(&places.from, format!("the constant for `{name}`: {misfit}"));
            }
        }
    }
    let (Some(default), Some(place)) = (&field.default, &places.default) else { return };
    match &field.values {
        Some(values) => {
            let listed = match default {
                Value::String(text) => values.contains_key(text.as_str()),
                Value::Number(Number::Int(int)) => values.contains_key(&int.to_string()),
                Value::Bool(b) => values.contains_key(&b.to_string()),
                _ => false,
            };
            if !listed {
                let message = format!("the default of `{name}` is in raw form, and none of its `values`");
                sink.push(Diagnostic::error(place, message).help("write one of the keys of `values`"));
            }
        }
        None => {
            if let Err(misfit) = constant(field, default) {
                sink.error(place, format!("the default of `{name}`: {misfit}"));
            }
        }
    }
}

fn listed(field: &Field, places: &FieldPlaces, sink: &Sink) {
    for (key, place) in &places.values {
        let value = field.values.as_ref().and_then(|values| values.get(key));
        if let Some(Err(misfit)) = value.map(|value| constant(field, value)) {
            sink.error(place, format!("what `{key}` becomes does not fit `{}`: {misfit}", field.to));
        }
    }
}

/// Whether a constant in raw form can become the field.
fn constant(field: &Field, value: &Value) -> Result<(), String> {
    types::raw_constant_fits(field.ty.kind(), value)?;
    let FieldType::Money { currency: ValueSource::Value(currency) } = &field.ty else { return Ok(()) };
    // Both are known, so an amount finer than the currency is a mistake here and not a refusal of every event.
    let amount: Option<Decimal> = match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    };
    let currency: Option<Currency> = currency.as_str().and_then(|code| code.parse().ok());
    match amount.zip(currency) {
        Some((amount, currency)) if field.round.is_none() => {
            Money::new(amount, currency).map(drop).map_err(|error| error.to_string())
        }
        _ => Ok(()),
    }
}

fn currency(field: &Field, places: &FieldPlaces, sink: &Sink) {
    let (FieldType::Money { currency }, Some(place)) = (&field.ty, &places.currency) else { return };
    let message = match currency {
        ValueSource::Value(code) => match code.as_str().map(str::parse::<Currency>) {
            Some(Ok(_)) => return,
            Some(Err(error)) => error.to_string(),
            None => format!("expected a currency code such as \"EUR\", found {}", code.kind()),
        },
        ValueSource::Event(attribute) => {
            format!("the event's `{}` is no currency code", attribute.as_str())
        }
        ValueSource::Data(_) | ValueSource::Whole(_) | ValueSource::Extension(_) => return,
    };
    sink.error(place, message);
}
