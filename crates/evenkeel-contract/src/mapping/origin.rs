//! Which place of the raw event a place of the translated event was made from.
//!
//! By the contract alone, without values: so it is as good for a refusal as for an admitted event.
use crate::{
    contract::{Each, Field, ValueSource},
    place,
};

/// The pointer into the raw event for what is no part of its data; a constant is nowhere.
pub(crate) fn attribute_place(from: &ValueSource) -> Option<String> {
    match from {
        ValueSource::Event(attribute) => Some(format!("/{}", attribute.as_str())),
        ValueSource::Extension(name) => Some(format!("/{}", place::escape(name))),
        ValueSource::Data(pointer) | ValueSource::Whole(pointer) => Some(place::in_data(pointer)),
        ValueSource::Value(_) => None,
    }
}

/// The place in the raw event that a pointer into the translated data, as its tokens, speaks of.
pub(crate) fn raw_place(fields: &[Field], tokens: &[String]) -> Option<String> {
    within(fields, &place::in_data(""), tokens)
}

fn within(fields: &[Field], base: &str, tokens: &[String]) -> Option<String> {
    let (name, rest) = tokens.split_first()?;
    part(fields.iter().find(|field| field.to == *name)?, base, rest)
}

/// The place of a part of a field, whose pointer starts from `base`.
fn part(field: &Field, base: &str, rest: &[String]) -> Option<String> {
    let place = from(&field.from, base)?;
    match (field.each.as_deref(), rest) {
        (Some(Each::Value(element)), [index, rest @ ..]) => part(element, &format!("{place}/{index}"), rest),
        (Some(Each::Fields(fields)), [index, rest @ ..]) if !rest.is_empty() => {
            within(fields, &format!("{place}/{index}"), rest)
        }
        (Some(_), [index, ..]) => Some(format!("{place}/{index}")),
        // Only what is taken over as it is has the same parts in the raw data.
        (None, rest) if field.ty.keeps_parts() && field.values.is_none() && in_data(&field.from) => {
            Some(rest.iter().fold(place, |place, token| format!("{place}/{}", place::escape(token))))
        }
        _ => Some(place),
    }
}

/// Where a value comes from, if its pointer starts from `base`.
pub(crate) fn from(from: &ValueSource, base: &str) -> Option<String> {
    match from {
        ValueSource::Data(pointer) => Some(format!("{base}{pointer}")),
        other => attribute_place(other),
    }
}

fn in_data(from: &ValueSource) -> bool {
    matches!(from, ValueSource::Data(_) | ValueSource::Whole(_))
}
