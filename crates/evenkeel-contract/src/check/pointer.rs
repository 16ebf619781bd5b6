//! Follows pointers into translated events by what contracts map, without an event.
//!
//! Following one in an event that is there is [`evenkeel_core::json::Pointer`]'s.
use crate::{
    contract::{Each, Field, FieldKind},
    declare::ContractDecl,
    diagnostic::{Diagnostic, Place, did_you_mean, nearest},
    reader::At,
};
use evenkeel_core::json::Pointer;

/// What a pointer finds in the events of one contract.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Its type; `None` where only the event knows.
    pub(crate) kind: Option<FieldKind>,
    /// The mapped field it comes from.
    pub(crate) field: Option<Place>,
    /// Whether it may be missing, as far as the contract tells.
    pub(crate) optional: bool,
}

impl Target {
    fn attribute(kind: FieldKind, optional: bool) -> Self {
        Self { kind: Some(kind), field: None, optional }
    }

    fn unknown() -> Self {
        Self { kind: None, field: None, optional: false }
    }
}

/// The attributes every event has besides its data.
const ATTRIBUTES: [&str; 5] = ["subject", "type", "source", "id", "time"];

/// What `pointer` finds in each contract's events, all of which have the type `event`.
///
/// # Errors
/// Where no event of this type can have anything there.
pub(crate) fn resolve(
    pointer: &At<Pointer>,
    event: &str,
    producers: &[&ContractDecl],
) -> Result<Vec<Target>, Box<Diagnostic>> {
    match pointer.value.tokens() {
        [] => Err(Box::new(wrong(pointer, "expected a pointer such as \"/data/total\", found the whole event"))),
        [data] if data == "data" => Ok(vec![Target::attribute(FieldKind::Object, false)]),
        [data, field, rest @ ..] if data == "data" => resolve_field(pointer, event, producers, field, rest),
        [attribute, rest @ ..] => resolve_attribute(pointer, producers, attribute, rest),
    }
}

fn resolve_field(
    pointer: &At<Pointer>,
    event: &str,
    producers: &[&ContractDecl],
    field: &str,
    rest: &[String],
) -> Result<Vec<Target>, Box<Diagnostic>> {
    let mut targets = Vec::new();
    let mut missing = false;
    for decl in producers {
        match decl.field(field) {
            Some((mapped, place)) => {
                let kind = deeper(mapped, field, rest).map_err(|message| {
                    Diagnostic::error(&pointer.place, message).related(place, format!("`{field}` is mapped here"))
                })?;
                let optional = mapped.optional && mapped.default.is_none();
                targets.push(Target { kind, field: Some(place.clone()), optional });
            }
            None if !decl.fields_known => targets.push(Target::unknown()),
            None => missing = true,
        }
    }
    if targets.is_empty() {
        return Err(Box::new(no_field(pointer, event, producers, field)));
    }
    // Another version of the type has no such field, so it may be missing.
    targets.iter_mut().for_each(|target| target.optional |= missing);
    Ok(targets)
}

fn no_field(pointer: &At<Pointer>, event: &str, producers: &[&ContractDecl], field: &str) -> Diagnostic {
    let mut names: Vec<_> =
        producers.iter().flat_map(|decl| &decl.contract.fields).map(|field| field.to.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let help = match nearest(field, names.iter().copied()) {
        Some(name) => format!("did you mean `/data/{name}`?"),
        None if names.is_empty() => format!("`{event}` maps no fields"),
        None => format!("its fields are {}", names.join(", ")),
    };
    let diagnostic = Diagnostic::error(&pointer.place, format!("no mapped field of `{event}` is named `{field}`"));
    match producers.first() {
        Some(decl) => diagnostic.related(&decl.name, format!("`{event}` is declared here")),
        None => diagnostic,
    }
    .help(help)
}

/// The type of what lies deeper in a field, which messages call `name`.
fn deeper(field: &Field, name: &str, rest: &[String]) -> Result<Option<FieldKind>, String> {
    let kind = field.ty.kind();
    let Some((first, inner)) = rest.split_first() else { return Ok((kind != FieldKind::Json).then_some(kind)) };
    match kind {
        FieldKind::Json | FieldKind::Object => Ok(None),
        FieldKind::Array if first.bytes().all(|b| b.is_ascii_digit()) && !first.is_empty() => {
            element(field, name, inner)
        }
        FieldKind::Array => Err(format!("`{name}` is an array, and `{first}` is no index")),
        FieldKind::Money => match rest {
            [part] if part == "amount" => Ok(Some(FieldKind::Decimal)),
            [part] if part == "currency" => Ok(Some(FieldKind::Iso4217)),
            _ => Err(format!("`{name}` is money, which has only `amount` and `currency`")),
        },
        _ => Err(format!("`{name}` is of type {kind} and holds no `{first}`")),
    }
}

/// The type of what lies in an element of an array.
fn element(array: &Field, name: &str, rest: &[String]) -> Result<Option<FieldKind>, String> {
    match (array.each.as_deref(), rest) {
        (None, _) => Ok(None),
        (Some(Each::Value(value)), rest) => deeper(value, name, rest),
        (Some(Each::Fields(_)), []) => Ok(Some(FieldKind::Object)),
        (Some(Each::Fields(fields)), [part, rest @ ..]) => match fields.iter().find(|field| field.to == *part) {
            Some(field) => deeper(field, &format!("{name}[].{part}"), rest),
            None => {
                let near = nearest(part, fields.iter().map(|field| field.to.as_str()));
                let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                Err(format!("the elements of `{name}` have no field `{part}`{hint}"))
            }
        },
    }
}

fn resolve_attribute(
    pointer: &At<Pointer>,
    producers: &[&ContractDecl],
    name: &str,
    rest: &[String],
) -> Result<Vec<Target>, Box<Diagnostic>> {
    let known = match name {
        "subject" | "type" | "source" | "id" => Some(Target::attribute(FieldKind::Text, false)),
        "time" => Some(Target::attribute(FieldKind::Timestamp, true)),
        _ => None,
    };
    if let Some(target) = known {
        return match rest.first() {
            None => Ok(vec![target]),
            Some(inner) => Err(Box::new(wrong(pointer, format!("`{name}` is text and holds no `{inner}`")))),
        };
    }
    let whole = pointer.value.to_string();
    if producers.iter().any(|decl| decl.field(name).is_some()) {
        let help = format!("its fields are in its data: `/data{whole}`");
        return Err(Box::new(wrong(pointer, format!("an event has no attribute `{name}`")).help(help)));
    }
    let near = did_you_mean(name, ATTRIBUTES.into_iter().chain(["data"]));
    let is_extension = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !is_extension || near.is_some() || !rest.is_empty() {
        let help = near.unwrap_or_else(|| "fields are in the event's data: \"/data/…\"".into());
        return Err(Box::new(wrong(pointer, format!("an event has no attribute `{name}`")).help(help)));
    }
    // An extension attribute: whether a source sends it, only the event knows.
    Ok(vec![Target { optional: true, ..Target::unknown() }])
}

fn wrong(pointer: &At<Pointer>, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(&pointer.place, message)
}
