//! The clauses of a model against its columns and the events that contracts produce.
//!
//! Not here: the columns by themselves ([`super::columns`]).
use super::{
    Catalogue,
    columns::{self, Columns},
    pointer::{self, Target},
    types,
};
use crate::{
    contract::FieldKind,
    declare::{ClauseDecl, ColumnDecl, ContractDecl, ModelDecl, OpDecl, model::ColumnKind},
    diagnostic::{Diagnostic, did_you_mean},
    fingerprint,
    reader::{At, Sink},
};
use evenkeel_core::{
    ModelName,
    condition::Condition,
    fold::{Attribute, Clause, Declared, Each, Op, OpKind, Operand},
    json::{Number, Pointer, Value},
    schema::{Merge, Schema},
};
use std::collections::BTreeSet;

/// Checks a model and makes its fold, which is only good where nothing was reported.
pub(crate) fn check(model: &ModelDecl, catalogue: &Catalogue<'_>, sink: &Sink) -> Declared {
    let columns = columns::check(model, sink);
    if model.clauses.is_empty() {
        sink.push(Diagnostic::warning(&model.name.place, format!("model `{}` follows no event", model.name.value)));
    }
    if model.clauses.len() > usize::from(u16::MAX) {
        sink.error(&model.name.place, format!("a model has at most {} clauses", u16::MAX));
    }
    let clauses: Vec<_> = model.clauses.iter().map(|clause| check_clause(clause, &columns, catalogue, sink)).collect();
    let key: Vec<usize> = columns.key.iter().copied().flatten().collect();
    let clocks: Vec<_> = model.columns.iter().map(|column| column.clock.as_ref().map(|clock| clock.value)).collect();
    let fingerprint = fingerprint::of(&columns.columns, &clocks, &key, &clauses);
    let schema = Schema {
        model: ModelName::from(model.name.value.as_str()),
        version: model.version,
        key,
        columns: columns.columns,
        subscribes: BTreeSet::new(),
        fingerprint,
    };
    let declared = Declared::new(schema, clauses);
    clocks.into_iter().enumerate().fold(declared, |declared, (column, clock)| match clock {
        Some(clock) => declared.ordered_by(column, clock),
        None => declared,
    })
}

/// Checks that no two models share a name.
pub(crate) fn check_names(models: &[ModelDecl], sink: &Sink) {
    for (i, later) in models.iter().enumerate() {
        if let Some(first) = models[..i].iter().find(|earlier| earlier.name.value == later.name.value) {
            let message = format!("two models are named `{}`", later.name.value);
            sink.push(Diagnostic::error(&later.name.place, message).related(&first.name.place, "the first"));
        }
    }
}

fn check_clause(decl: &ClauseDecl, columns: &Columns<'_>, catalogue: &Catalogue<'_>, sink: &Sink) -> Clause {
    let event = decl.event.value.as_str();
    let producers = catalogue.producers(event);
    if producers.is_empty() && !catalogue.may_exist(event) {
        let message = format!("no contract produces events of type `{event}`");
        let help = did_you_mean(event, catalogue.names());
        sink.push(Diagnostic::error(&decl.event.place, message).maybe_help(help));
    }
    let scope = Scope { event, producers, sink };
    for pointer in decl.when.iter().flat_map(|condition| &condition.pointers) {
        scope.resolve(pointer);
    }
    if let Some(over) = &decl.each {
        scope.check_over(over);
    }
    let key = decl.key.as_ref().map(|key| check_key(key, columns, &scope)).unwrap_or_default();
    let ops = decl.ops.iter().filter_map(|op| check_op(op, columns, &scope)).collect();
    Clause {
        event: event.into(),
        when: decl.when.iter().map(|condition| condition.condition.clone()).collect::<Vec<Condition>>(),
        each: decl.each.as_ref().map(|over| Each { over: over.value.clone() }),
        key,
        delete: decl.delete,
        ops,
    }
}

/// The events a clause is about.
struct Scope<'c> {
    event: &'c str,
    producers: &'c [&'c ContractDecl],
    sink: &'c Sink,
}

impl Scope<'_> {
    /// What a pointer finds; empty where that was reported, or is not known because the contract could not be read.
    fn resolve(&self, pointer: &At<Pointer>) -> Vec<Target> {
        if self.producers.is_empty() {
            return Vec::new();
        }
        pointer::resolve(pointer, self.event, self.producers).unwrap_or_else(|diagnostic| {
            self.sink.push(diagnostic);
            Vec::new()
        })
    }

    /// What a value can be.
    fn targets(&self, value: &At<Operand>) -> Vec<Target> {
        let known = |kind, optional| vec![Target { kind: Some(kind), field: None, optional }];
        match &value.value {
            Operand::Event(pointer) => self.resolve(&At { value: pointer.clone(), place: value.place.clone() }),
            // What is inside an element, and constants, which are compared by value.
            Operand::Element(_) | Operand::Value(_) => Vec::new(),
            Operand::Attribute(Attribute::Time) => known(FieldKind::Timestamp, true),
            Operand::Attribute(Attribute::RecordedTime) => known(FieldKind::Timestamp, false),
            Operand::Attribute(Attribute::Position) => known(FieldKind::I64, false),
            Operand::Attribute(Attribute::Type | Attribute::Id | Attribute::Subject) => known(FieldKind::Text, false),
            Operand::Count(of) => {
                self.check_counted(of, value);
                known(FieldKind::I64, false)
            }
        }
    }

    fn check_counted(&self, of: &Operand, value: &At<Operand>) {
        let of = At { value: of.clone(), place: value.place.clone() };
        for target in self.targets(&of) {
            if let Some(kind) = target.kind.filter(|kind| !matches!(kind, FieldKind::Array | FieldKind::Object)) {
                self.mismatch(&value.place, format!("expected an array or object to count, found {kind}"), &target);
            }
        }
    }

    fn check_over(&self, over: &At<Pointer>) {
        for target in self.resolve(over) {
            if let Some(kind) = target.kind.filter(|kind| *kind != FieldKind::Array) {
                self.mismatch(&over.place, format!("expected an array to fan out over, found {kind}"), &target);
            }
        }
    }

    /// That what is put into a set or taken out fits its elements: one by itself, or an array.
    fn check_elements(&self, value: &At<Operand>, index: usize, columns: &Columns<'_>) {
        match &value.value {
            Operand::Value(Value::Array(items)) => {
                for item in items {
                    let one = At { value: Operand::Value(item.clone()), place: value.place.clone() };
                    self.check_fits(&one, index, columns);
                }
            }
            _ if self.targets(value).iter().any(|target| target.kind == Some(FieldKind::Array)) => {}
            _ => drop(self.check_fits(value, index, columns)),
        }
    }

    fn mismatch(&self, place: &crate::diagnostic::Place, message: String, target: &Target) {
        let diagnostic = Diagnostic::error(place, message);
        self.sink.push(match (&target.field, target.kind) {
            (Some(field), Some(kind)) => diagnostic.related(field, format!("mapped as {kind} here")),
            _ => diagnostic,
        });
    }

    /// That a value fits the column at `index`.
    fn check_fits(&self, value: &At<Operand>, index: usize, columns: &Columns<'_>) -> Vec<Target> {
        let targets = self.targets(value);
        let (Some(kind), Some(decl)) = (columns.kind(index), columns.decls.get(index)) else { return targets };
        let column = &decl.name.value;
        if let Operand::Value(constant) = &value.value
            && let Err(misfit) = types::constant_fits(kind, constant)
        {
            let message = format!("the constant does not fit column `{column}`: {misfit}");
            self.sink.push(
                Diagnostic::error(&value.place, message).related(&decl.name.place, format!("{} here", kind.as_str())),
            );
        }
        for target in &targets {
            let Some(found) = target.kind.filter(|found| !types::fits(kind, *found)) else { continue };
            let message = format!("expected {} for column `{column}`, found {found}", kind.as_str());
            let mut diagnostic = Diagnostic::error(&value.place, message)
                .related(&decl.name.place, format!("`{column}` is {} here", kind.as_str()));
            if let Some(field) = &target.field {
                diagnostic = diagnostic.related(field, format!("mapped as {found} here"));
            }
            self.sink.push(diagnostic);
            break;
        }
        targets
    }
}

fn check_key(key: &At<Vec<At<Operand>>>, columns: &Columns<'_>, scope: &Scope<'_>) -> Vec<Operand> {
    if key.value.len() != columns.key.len() && !columns.key.is_empty() {
        let message = format!("the key has {}, and here {}", plural(columns.key.len()), are(key.value.len()));
        scope.sink.error(&key.place, message);
    }
    for (value, index) in key.value.iter().zip(&columns.key) {
        let Some(index) = *index else { continue };
        let targets = scope.check_fits(value, index, columns);
        if let Some(target) = targets.iter().find(|target| target.optional) {
            let message = "a key needs a value that is always there, and this one may be missing";
            let diagnostic = Diagnostic::error(&value.place, message);
            scope.sink.push(match &target.field {
                Some(field) => diagnostic.related(field, "not there in every event"),
                None => diagnostic,
            });
        }
    }
    key.value.iter().map(|value| value.value.clone()).collect()
}

fn plural(columns: usize) -> String {
    if columns == 1 { "1 column".into() } else { format!("{columns} columns") }
}

fn are(values: usize) -> String {
    if values == 1 { "is 1 value".into() } else { format!("are {values} values") }
}

fn check_op(op: &OpDecl, columns: &Columns<'_>, scope: &Scope<'_>) -> Option<Op> {
    let Some((index, decl)) = columns.find(&op.column.value) else {
        scope.sink.push(columns.no_column(&op.column));
        return None;
    };
    let name = &op.column.value;
    if columns.key.contains(&Some(index)) {
        let message = format!("`{name}` is part of the key, which names the row and is not written");
        scope.sink.error(&op.column.place, message);
    }
    if let Some(money) = columns.money_of.get(index).copied().flatten().and_then(|money| columns.decls.get(money)) {
        let money = &money.name;
        scope.sink.push(
            Diagnostic::error(
                &op.column.place,
                format!("`{name}` is written together with `{}`, not by itself", money.value),
            )
            .related(&money.place, "its money column"),
        );
    }
    let kind = columns.kind(index);
    let fits = match (op.kind, kind) {
        (OpKind::Add, Some(kind)) => matches!(kind, ColumnKind::I64 | ColumnKind::Decimal | ColumnKind::Money),
        (OpKind::Min | OpKind::Max, Some(kind)) => kind != ColumnKind::Json,
        (OpKind::Set | OpKind::SetOnce | OpKind::Insert | OpKind::Remove, _) | (_, None) => true,
    };
    merges(op, decl, scope);
    match (fits, kind) {
        (false, Some(kind)) => {
            let what = if op.kind == OpKind::Add { "`add` needs a number" } else { "`min` and `max` need an order" };
            let message = format!("{what}, and `{name}` is {}", kind.as_str());
            scope.sink.push(Diagnostic::error(&op.column.place, message).related(&decl.name.place, "declared here"));
        }
        _ if matches!(op.kind, OpKind::Insert | OpKind::Remove) => scope.check_elements(&op.value, index, columns),
        _ => drop(scope.check_fits(&op.value, index, columns)),
    }
    if let Some(based_on) = &op.based_on {
        for target in scope.targets(based_on) {
            if let Some(kind) = target.kind.filter(|kind| !matches!(kind, FieldKind::Text | FieldKind::Json)) {
                let message = format!("a version is named by the identity of its event, which is text, not {kind}");
                scope.mismatch(&based_on.place, message, &target);
            }
        }
    }
    shrinks(op, decl.merge.value, scope);
    let based_on = op.based_on.as_ref().map(|based_on| based_on.value.clone());
    Some(Op { kind: op.kind, column: index, value: op.value.value.clone(), based_on })
}

/// Sets take elements in and out, siblings and versions are written whole, and nothing else does so.
fn merges(op: &OpDecl, decl: &ColumnDecl, scope: &Scope<'_>) {
    let merge = decl.merge.value;
    if decl.ty.as_ref().is_some_and(|ty| !columns::can_merge(ty.value, merge)) {
        return; // The column itself is wrong, and that is said.
    }
    let is_of_set = matches!(op.kind, OpKind::Insert | OpKind::Remove);
    let message = match merge {
        Merge::OrSet if !is_of_set => format!("`{}` is a set: use `insert` and `remove`", decl.name.value),
        Merge::Mv | Merge::Version if op.kind != OpKind::Set => {
            format!("`{}` merges as `{merge}` and can only be `set`", decl.name.value)
        }
        Merge::OrSet | Merge::Mv | Merge::Version => String::new(),
        Merge::GCounter | Merge::PnCounter if !is_of_set && op.kind != OpKind::Add => {
            format!("`{}` merges as `{merge}` and can only be added to: `add`, or merge = \"lww\"", decl.name.value)
        }
        Merge::Max if matches!(op.kind, OpKind::Add | OpKind::Min) => {
            format!("`{}` merges as `max` and takes `max`, `set` or `set_once`", decl.name.value)
        }
        Merge::Min if matches!(op.kind, OpKind::Add | OpKind::Max) => {
            format!("`{}` merges as `min` and takes `min`, `set` or `set_once`", decl.name.value)
        }
        _ if is_of_set => format!("`{}` is no set: `insert` and `remove` need merge = \"or_set\"", decl.name.value),
        _ => String::new(),
    };
    if !message.is_empty() {
        let diagnostic = Diagnostic::error(&op.column.place, message);
        scope.sink.push(diagnostic.related(&decl.name.place, "declared here"));
    }
    if let Some(based_on) = op.based_on.as_ref().filter(|_| merge != Merge::Version) {
        let message = format!("`based_on` is for columns that merge as `version`, and `{}` does not", decl.name.value);
        scope.sink.push(Diagnostic::error(&based_on.place, message).related(&decl.name.place, "declared here"));
    }
}

/// A counter that only grows takes no negative constant.
fn shrinks(op: &OpDecl, merge: Merge, scope: &Scope<'_>) {
    if let (OpKind::Add, Merge::GCounter, Operand::Value(Value::Number(Number::Int(int @ i64::MIN..0)))) =
        (op.kind, merge, &op.value.value)
    {
        scope.sink.error(&op.value.place, format!("a `g_counter` only grows, and cannot take {int}"));
    }
}
