//! Native conditions as files write them: `gt = ["/data/total", 0]`, `not_empty = "/data/items"`.
//!
//! Text that starts with `/` is a pointer into the translated event, `{ value = … }` a constant that is not taken for
//! one, everything else a constant. Judging an event by one is [`evenkeel_core::condition`]'s.
use crate::{
    diagnostic::{Diagnostic, Place},
    reader::{At, Data, Node, Reader, Sink},
};
use evenkeel_core::{
    condition::{Comparison, Condition, Operand, Sum},
    json::{Pointer, Value},
};

/// A condition with the place of each pointer it follows.
#[derive(Debug, Clone)]
pub(crate) struct ConditionDecl {
    pub(crate) condition: Condition,
    pub(crate) pointers: Vec<At<Pointer>>,
}

const COMPARISONS: [(&str, Comparison); 6] = [
    ("gt", Comparison::Gt),
    ("ge", Comparison::Ge),
    ("lt", Comparison::Lt),
    ("le", Comparison::Le),
    ("equals", Comparison::Equals),
    ("not_equals", Comparison::NotEquals),
];

/// Takes every condition out of a table.
pub(crate) fn take(reader: &mut Reader<'_>) -> Vec<(ConditionDecl, Place)> {
    let mut found = Vec::new();
    let sink = reader.sink;
    let mut add = |decl: Option<ConditionDecl>, place: &Place| found.extend(decl.map(|decl| (decl, place.clone())));
    for (key, comparison) in COMPARISONS {
        if let Some(entry) = reader.entry(key) {
            add(compare(comparison, &entry.node, sink), &entry.key.place);
        }
    }
    if let Some(entry) = reader.entry("not_empty") {
        add(not_empty(&entry.node, sink), &entry.key.place);
    }
    if let Some(entry) = reader.entry("one_of") {
        add(one_of(&entry.node, sink), &entry.key.place);
    }
    if let Some(entry) = reader.entry("matches") {
        add(matches(&entry.node, sink), &entry.key.place);
    }
    if let Some(entry) = reader.entry("sum_equals") {
        add(sum_equals(&entry.node, sink), &entry.key.place);
    }
    found
}

/// Whether the table holds any key that [`take`] knows.
pub(crate) fn any(reader: &mut Reader<'_>) -> bool {
    let keys = COMPARISONS.iter().map(|(key, _)| *key).chain(["not_empty", "one_of", "matches", "sum_equals"]);
    keys.into_iter().any(|key| reader.entry(key).is_some())
}

fn compare(comparison: Comparison, node: &Node, sink: &Sink) -> Option<ConditionDecl> {
    let Data::Array(items) = &node.value else {
        sink.push(node.mismatch("two operands such as [\"/data/total\", 0]"));
        return None;
    };
    let [left, right] = items.as_slice() else {
        let message = format!("expected two operands such as [\"/data/total\", 0], found {}", items.len());
        sink.error(&node.place, message);
        return None;
    };
    let mut pointers = Vec::new();
    let left = operand(left, &mut pointers, sink);
    let right = operand(right, &mut pointers, sink);
    decl(Condition::Compare(comparison, left?, right?), pointers, node, sink)
}

fn not_empty(node: &Node, sink: &Sink) -> Option<ConditionDecl> {
    let mut pointers = Vec::new();
    let one = match &node.value {
        Data::Array(items) => match items.as_slice() {
            [one] => one,
            _ => {
                sink.push(node.mismatch("one pointer such as \"/data/items\""));
                return None;
            }
        },
        _ => node,
    };
    let operand = operand(one, &mut pointers, sink)?;
    decl(Condition::NotEmpty(operand), pointers, node, sink)
}

fn one_of(node: &Node, sink: &Sink) -> Option<ConditionDecl> {
    let expected = "a pointer and its allowed values, such as [\"/data/status\", [\"open\", \"paid\"]]";
    let Data::Array(items) = &node.value else {
        sink.push(node.mismatch(expected));
        return None;
    };
    let [first, At { value: Data::Array(values), .. }] = items.as_slice() else {
        sink.error(&node.place, format!("expected {expected}"));
        return None;
    };
    let mut pointers = Vec::new();
    let first = operand(first, &mut pointers, sink)?;
    let values = values.iter().map(|value| constant(value, sink)).collect::<Option<_>>()?;
    decl(Condition::OneOf(first, values), pointers, node, sink)
}

fn matches(node: &Node, sink: &Sink) -> Option<ConditionDecl> {
    let expected = "a pointer and a pattern, such as [\"/data/sku\", \"^[A-Z]+-[0-9]+$\"]";
    let Data::Array(items) = &node.value else {
        sink.push(node.mismatch(expected));
        return None;
    };
    let [first, second] = items.as_slice() else {
        sink.error(&node.place, format!("expected {expected}"));
        return None;
    };
    let mut pointers = Vec::new();
    let first = operand(first, &mut pointers, sink)?;
    let Some(text) = second.as_text() else {
        sink.push(second.mismatch("a regular expression"));
        return None;
    };
    match text.parse() {
        Ok(pattern) => decl(Condition::Matches(first, pattern), pointers, node, sink),
        Err(error) => {
            sink.error(&second.place, format!("not a usable regular expression: {error}"));
            None
        }
    }
}

fn sum_equals(node: &Node, sink: &Sink) -> Option<ConditionDecl> {
    let expected = "a table such as { over = \"/data/items\", value = \"/price\", equals = \"/data/total\" }";
    let mut reader = Reader::of(node, expected, sink)?;
    let over: Option<At<Pointer>> = reader.required("over");
    let value: Option<At<Pointer>> = reader.optional("value");
    let times: Option<At<Pointer>> = reader.optional("times");
    reader.demand("equals");
    let equals = reader.node("equals");
    reader.finish();
    let mut pointers = Vec::new();
    let equals = operand(equals?, &mut pointers, sink)?;
    let over = over?;
    // An index stands for every element: what is checked is whether elements have such a part.
    for part in [value.as_ref(), times.as_ref()].into_iter().flatten() {
        if let Ok(pointer) = format!("{}/0{}", over.value, part.value).parse() {
            pointers.push(At { value: pointer, place: part.place.clone() });
        }
    }
    pointers.push(over.clone());
    let (value, times) = (value.map_or_else(Pointer::default, |at| at.value), times.map(|at| at.value));
    decl(Condition::SumEquals(Sum { over: over.value, value, times, equals }), pointers, node, sink)
}

fn decl(condition: Condition, pointers: Vec<At<Pointer>>, node: &Node, sink: &Sink) -> Option<ConditionDecl> {
    if pointers.is_empty() {
        sink.push(
            Diagnostic::error(&node.place, "no operand is a pointer into the event")
                .help("pointers start with `/`, as in \"/data/total\""),
        );
        return None;
    }
    Some(ConditionDecl { condition, pointers })
}

fn operand(node: &Node, pointers: &mut Vec<At<Pointer>>, sink: &Sink) -> Option<Operand> {
    match node.as_text() {
        Some(text) if text.starts_with('/') => {
            let pointer: Pointer = text.parse().map_err(|_| sink.push(bad_pointer(node))).ok()?;
            pointers.push(At { value: pointer.clone(), place: node.place.clone() });
            Some(Operand::Pointer(pointer))
        }
        _ => constant(node, sink).map(Operand::Value),
    }
}

/// A constant; a table must be `{ value = … }`.
fn constant(node: &Node, sink: &Sink) -> Option<Value> {
    let mut value = node;
    if let Data::Table(table) = &node.value {
        let mut reader = Reader::new(table, &node.place, sink);
        reader.demand("value");
        let inner = reader.node("value");
        reader.finish();
        value = inner?;
    }
    value.to_json().map_err(|diagnostic| sink.push(diagnostic)).ok()
}

/// That something starts like a pointer and is none.
pub(crate) fn bad_pointer(node: &Node) -> Diagnostic {
    node.mismatch("a JSON pointer").help("in a JSON pointer `~` is written `~0`")
}
