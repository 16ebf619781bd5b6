//! Contracts of one name beside each other: versions, and how one becomes the next.
//!
//! Which of them decides about an event is the gate's ([`crate::gate`]).
use super::{contracts::both_take, pointer};
use crate::{
    contract::{Field, FieldKind, Shape},
    declare::ContractDecl,
    diagnostic::{Diagnostic, Place},
    reader::{At, Sink},
};
use std::collections::BTreeMap;

/// Checks two contracts of one name.
pub(crate) fn check(earlier: &ContractDecl, later: &ContractDecl, sink: &Sink) {
    let both = both_take(&earlier.contract, &later.contract);
    if earlier.contract.version == later.contract.version {
        if let Some(message) = both {
            sink.push(
                Diagnostic::error(&later.types, message)
                    .related(&earlier.types, format!("`{}` takes it here", earlier.contract.name)),
            );
        }
        if earlier.fields_known && later.fields_known {
            same_shape(earlier, later, sink);
        }
        return;
    }
    let (old, new) =
        if earlier.contract.version < later.contract.version { (earlier, later) } else { (later, earlier) };
    if both.is_some() && new.contract.schema.is_none() && new.schema.is_none() {
        let message = format!(
            "version {} of `{}` has no schema and takes every event, so that version {} is never reached",
            new.contract.version, new.contract.name, old.contract.version
        );
        sink.push(
            Diagnostic::error(&new.name, message)
                .related(&old.name, "this version")
                .help("of several versions the highest whose schema accepts an event decides: give it a `schema`"),
        );
    }
    if both.is_some() && old.contract.subject != new.contract.subject {
        // The order within a subject would be lost between versions.
        let message = format!("two versions of `{}` take their subject from different places", new.contract.name);
        let diagnostic = Diagnostic::warning(&new.name, message).related(&old.name, "the other version");
        sink.push(diagnostic.help("events of one thing must have one subject, or their order is lost"));
    }
}

/// Contracts that produce one (type, version) must have one shape.
fn same_shape(earlier: &ContractDecl, later: &ContractDecl, sink: &Sink) {
    let (old, new) = (earlier.contract.shape(), later.contract.shape());
    let mut differences: Vec<(&Place, String)> = Vec::new();
    let differ = |shape: &Shape, other: &Shape, decl: &ContractDecl| {
        let mut found: Vec<(usize, String)> = Vec::new();
        for (name, kind) in &shape.fields {
            let label = match other.fields.get(name) {
                None => "only here".to_owned(),
                Some(known) if known != kind => format!("{kind} here"),
                Some(_) => continue,
            };
            let top = name.split("[]").next().unwrap_or(name);
            let index = decl.contract.fields.iter().position(|field| field.to == top).unwrap_or_default();
            found.push((index, if top == name { label } else { format!("`{name}`: {label}") }));
        }
        found.sort();
        found
    };
    for (decl, found) in [(later, differ(&new, &old, later)), (earlier, differ(&old, &new, earlier))] {
        differences.extend(found.into_iter().filter_map(|(i, label)| Some((&decl.fields.get(i)?.to, label))));
    }
    if differences.is_empty() {
        return;
    }
    let message =
        format!("two contracts give `{}` version {} different fields", later.contract.name, later.contract.version);
    let diagnostic = Diagnostic::error(&later.name, message).related(&earlier.name, "the other contract");
    let diagnostic =
        differences.into_iter().fold(diagnostic, |diagnostic, (place, label)| diagnostic.related(place, label));
    sink.push(diagnostic.help("give one of them another version, or the same fields and types to both"));
}

/// Checks that an upcast starts from a version there is, and makes what its own contract makes.
pub(crate) fn check_upcast(decl: &ContractDecl, contracts: &[ContractDecl], sink: &Sink) {
    let (Some(upcast), Some(places)) = (&decl.contract.upcast, &decl.upcast) else { return };
    let name = &decl.contract.name;
    if upcast.from >= decl.contract.version {
        let message = format!(
            "version {} of `{name}` is made from an earlier one, not from {}",
            decl.contract.version, upcast.from
        );
        sink.error(&places.from, message);
        return;
    }
    let older: Vec<_> = contracts
        .iter()
        .filter(|other| other.contract.name == *name && other.contract.version == upcast.from)
        .collect();
    if older.is_empty() {
        sink.error(&places.from, format!("there is no version {} of `{name}`", upcast.from));
        return;
    }
    for other in contracts.iter().filter(|other| other.contract.name == *name && !std::ptr::eq(*other, decl)) {
        if let (Some(same), Some(first)) = (&other.contract.upcast, &other.upcast)
            && same.from == upcast.from
            && (other.name.span().start, other.contract.version) < (decl.name.span().start, decl.contract.version)
        {
            let message = format!("version {} of `{name}` is made into another twice", upcast.from);
            sink.push(Diagnostic::error(&places.from, message).related(&first.from, "and here"));
        }
    }
    if !decl.fields_known || older.iter().any(|older| !older.fields_known) {
        return;
    }
    let made = made(decl, &older, sink);
    let (mut missing, mut differ) = (Vec::new(), Vec::new());
    for (field, own) in decl.fields() {
        match made.get(field.to.as_str()) {
            None if field.optional => {}
            None => missing.push(field.to.as_str()),
            Some((kind, place)) if *kind != field.ty.kind() => {
                differ.push((*place, field.ty.kind(), *kind, &own.to));
            }
            Some(_) => {}
        }
    }
    if !missing.is_empty() {
        let message = format!(
            "the upcast of `{name}` leaves out what every event of version {} has: {}",
            decl.contract.version,
            missing.join(", ")
        );
        sink.push(Diagnostic::error(&places.from, message).help("add it to `keep`, or to `map` of the upcast"));
    }
    for (place, expected, found, own) in differ {
        let message = format!("expected {expected}, as the contract's own map makes it, found {found}");
        sink.push(Diagnostic::error(place, message).related(own, format!("{expected} here")));
    }
    for (target, (_, place)) in &made {
        if decl.field(target).is_none() {
            sink.error(place, format!("`{name}` version {} has no field `{target}`", decl.contract.version));
        }
    }
}

/// The fields an upcast makes, with their kinds and places; what it reads is checked on the way.
fn made<'d>(
    decl: &'d ContractDecl,
    older: &[&'d ContractDecl],
    sink: &Sink,
) -> BTreeMap<&'d str, (FieldKind, &'d Place)> {
    let mut made = BTreeMap::new();
    let (Some(upcast), Some(places)) = (&decl.contract.upcast, &decl.upcast) else { return made };
    let event = decl.contract.name.as_str();
    for (name, place) in upcast.keep.iter().zip(&places.keep) {
        match older.iter().find_map(|older| older.field(name)) {
            Some((field, _)) => drop(made.insert(name.as_str(), (field.ty.kind(), place))),
            None => sink.error(place, format!("`{event}` version {} has no field `{name}`", upcast.from)),
        }
    }
    for (field, places) in upcast.fields.iter().zip(&places.fields) {
        let Field { to, ty, from, .. } = field;
        if let crate::contract::ValueSource::Data(pointer) = from
            && let Ok(value) = format!("/data{pointer}").parse()
            && let Err(mut diagnostic) = pointer::resolve(&At { value, place: places.from.clone() }, event, older)
        {
            // Pointers of an upcast start from the older event's data.
            diagnostic.help = diagnostic.help.map(|help| help.replace("`/data/", "`/"));
            sink.push(diagnostic);
        }
        made.insert(to.as_str(), (ty.kind(), &places.to));
    }
    made
}
