//! CEL expressions against the fields of their contract.
//!
//! Not here: what an expression may say by itself ([`crate::contract::Expression`]).
use super::pointer;
use crate::{
    contract::{Expression, FieldKind},
    declare::ContractDecl,
    diagnostic::Diagnostic,
    reader::{At, Sink},
};
use evenkeel_core::json::Pointer;

/// Checks that what an expression names is there, and that it does not take for a number what CEL knows as text.
pub(crate) fn check(decl: &ContractDecl, expression: &At<Expression>, sink: &Sink) {
    let resolve =
        |pointer| pointer::resolve(&At { value: pointer, place: expression.place.clone() }, event(decl), &[decl]);
    for named in expression.value.uses() {
        let tokens = named.pointer.tokens();
        if tokens.is_empty() {
            continue;
        }
        // Money has its minor units beside it in expressions.
        if let [before @ .., minor] = tokens
            && minor == "minor"
            && let Ok(targets) = resolve(before.iter().fold(Pointer::default(), |pointer, token| child(pointer, token)))
            && targets.iter().any(|target| target.kind == Some(FieldKind::Money))
        {
            continue;
        }
        let targets = match resolve(named.pointer.clone()) {
            Ok(targets) => targets,
            Err(diagnostic) => {
                sink.push(diagnostic);
                continue;
            }
        };
        let path = named.pointer.to_string();
        for kind in targets.iter().filter_map(|target| target.kind) {
            let found = match (&named.operand_of, kind) {
                (Some(operator), FieldKind::Decimal) => Some((
                    format!("`{path}` is a decimal, which is text here: `{operator}` would compare its characters"),
                    "write scaled(…, digits), which is an exact integer, or use a native condition",
                )),
                (Some(operator), FieldKind::Money) => Some((
                    format!("`{path}` is money, which `{operator}` does not take"),
                    "its minor units are an integer: add `.minor`",
                )),
                (_, FieldKind::Object | FieldKind::Money) if named.in_order => {
                    Some((format!("`{path}` is an object, whose members have no order"), "use `all` or `exists`"))
                }
                _ => None,
            };
            if let Some((message, help)) = found {
                sink.push(Diagnostic::error(&expression.place, message).help(help));
            }
        }
    }
}

fn event(decl: &ContractDecl) -> &str {
    decl.contract.name.as_str()
}

fn child(pointer: Pointer, token: &str) -> Pointer {
    format!("{pointer}/{}", crate::place::escape(token)).parse().unwrap_or(pointer)
}
