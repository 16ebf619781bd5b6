//! The invariants of a contract as its file writes them: each a name and one rule.
//!
//! Not here: the native conditions by themselves ([`super::condition`]), which models use too.
use super::{ConditionDecl, condition};
use crate::{
    contract::{Expression, Invariant, Rule},
    diagnostic::{Diagnostic, Place},
    reader::{At, Node, Reader, Sink},
};
use evenkeel_core::quarantine::Reason;

/// The rule of an invariant with the places of what it names.
#[derive(Debug, Clone)]
pub(crate) enum RuleDecl {
    Native(ConditionDecl),
    Cel(At<Expression>),
}

/// The invariants whose rule could be read, and the names of all.
pub(super) fn read(readers: Vec<Reader<'_>>) -> (Vec<(Invariant, RuleDecl)>, Vec<String>) {
    let mut names: Vec<At<String>> = Vec::new();
    let mut invariants = Vec::new();
    for mut reader in readers {
        let sink = reader.sink;
        let name: Option<At<String>> = reader.required("name");
        let cel = reader.entry("cel");
        let given = condition::any(&mut reader) || cel.is_some();
        let native = condition::take(&mut reader).into_iter().map(|(decl, place)| (RuleDecl::Native(decl), place));
        let cel = cel.and_then(|entry| Some((RuleDecl::Cel(expression(&entry.node, sink)?), entry.key.place.clone())));
        let mut found = native.chain(cel);
        if !given {
            sink.push(Diagnostic::error(&reader.place, "this invariant demands nothing").help(
                "add one of `gt`, `ge`, `lt`, `le`, `equals`, `not_equals`, `not_empty`, `one_of`, `matches`, \
                     `sum_equals`, `cel`",
            ));
        }
        let first = found.next();
        for (_, place) in found {
            sink.error(&place, "an invariant has one condition; write a second invariant for this one");
        }
        reader.finish();
        let Some(name) = name else { continue };
        check_name(&name, &names, sink);
        if let Some((decl, _)) = first {
            let rule = match &decl {
                RuleDecl::Native(native) => Rule::Native(native.condition.clone()),
                RuleDecl::Cel(expression) => Rule::Cel(expression.value.clone()),
            };
            invariants.push((Invariant { name: name.value.clone(), rule }, decl));
        }
        names.push(name);
    }
    (invariants, names.into_iter().map(|name| name.value).collect())
}

fn check_name(name: &At<String>, earlier: &[At<String>], sink: &Sink) {
    if let Some(first) = earlier.iter().find(|other| other.value == name.value) {
        let message = format!("the invariant `{}` is declared twice", name.value);
        sink.push(Diagnostic::error(&name.place, message).related(&first.place, "first declared here"));
    }
    if name.value.is_empty() || is_outcome(&name.value) {
        sink.error(&name.place, format!("an invariant cannot be named `{}`", name.value));
    }
}

fn expression(node: &Node, sink: &Sink) -> Option<At<Expression>> {
    let Some(text) = node.as_text() else {
        sink.push(node.mismatch("a CEL expression such as \"size(payload.items) > 0\""));
        return None;
    };
    let bad = |place: &Place, message: String| sink.error(place, format!("not a usable expression: {message}"));
    let compiled = Expression::compile(text).map_err(|error| bad(&node.place, error.to_string())).ok()?;
    Some(At { value: compiled, place: node.place.clone() })
}

/// Whether the name already means an outcome in an example.
pub(super) fn is_outcome(name: &str) -> bool {
    name == "admit" || Reason::ALL.iter().any(|reason| reason.as_str() == name)
}
