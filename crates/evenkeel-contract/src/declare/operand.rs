//! Where the values of a clause come from: pointers, constants, attributes and counts.
//!
//! Taking the value out of an event is [`evenkeel_core::fold`]'s.
use super::condition;
use crate::{
    diagnostic::did_you_mean,
    reader::{At, Data, Node, Reader, Sink},
};
use evenkeel_core::{
    fold::{Attribute, Operand},
    json::Pointer,
};

const ATTRIBUTES: [(&str, Attribute); 6] = [
    ("type", Attribute::Type),
    ("time", Attribute::Time),
    ("id", Attribute::Id),
    ("subject", Attribute::Subject),
    ("position", Attribute::Position),
    ("recorded_time", Attribute::RecordedTime),
];

/// A value: `"/pointer"`, `{ value = … }`, `{ event = "…" }` or `{ count = "/pointer" }`.
pub(crate) fn read(node: &Node, element: bool, sink: &Sink) -> Option<At<Operand>> {
    let at = |value| Some(At { value, place: node.place.clone() });
    let Data::Table(table) = &node.value else { return pointer(node, element, sink).and_then(at) };
    let mut reader = Reader::new(table, &node.place, sink);
    let value = reader.node("value");
    let event = reader.node("event");
    let count = reader.node("count");
    reader.finish();
    match (value, event, count) {
        (Some(value), None, None) => at(Operand::Value(value.to_json().map_err(|d| sink.push(d)).ok()?)),
        (None, Some(event), None) => at(attribute(event, sink)?),
        (None, None, Some(count)) => {
            let of = read(count, element, sink)?;
            if matches!(of.value, Operand::Event(_) | Operand::Element(_)) {
                return at(Operand::Count(Box::new(of.value)));
            }
            sink.error(&count.place, "expected a pointer to what is counted");
            None
        }
        _ => {
            sink.error(&node.place, "expected exactly one of `value`, `event`, `count`");
            None
        }
    }
}

fn pointer(node: &Node, element: bool, sink: &Sink) -> Option<Operand> {
    match node.as_text() {
        Some("") if element => Some(Operand::Element(Pointer::default())),
        Some(text) if text.starts_with('/') => {
            let pointer = text.parse().map_err(|_| sink.push(condition::bad_pointer(node))).ok()?;
            Some(if element { Operand::Element(pointer) } else { Operand::Event(pointer) })
        }
        _ => {
            let constant = match &node.value {
                Data::Array(_) => "{ value = [ … ] }".to_owned(),
                _ => node.to_json().map_or_else(|_| "{ value = … }".into(), |value| format!("{{ value = {value} }}")),
            };
            let diagnostic = node.mismatch("a pointer that starts with `/`");
            sink.push(diagnostic.help(format!("a constant is written {constant}")));
            None
        }
    }
}

fn attribute(node: &Node, sink: &Sink) -> Option<Operand> {
    let text = node.as_text().unwrap_or_default();
    if text.starts_with('/') {
        return text.parse().map(Operand::Event).map_err(|_| sink.push(condition::bad_pointer(node))).ok();
    }
    if let Some((_, attribute)) = ATTRIBUTES.iter().find(|(word, _)| *word == text) {
        return Some(Operand::Attribute(*attribute));
    }
    let words = ATTRIBUTES.iter().map(|(word, _)| *word);
    let listed: Vec<_> = words.clone().map(|word| format!("`{word}`")).collect();
    let expected = format!("{} or a pointer into the event", listed.join(", "));
    sink.push(node.mismatch(&expected).maybe_help(did_you_mean(text, words)));
    None
}
