//! A model's name, columns and key.
//!
//! Not here: what its clauses do with them ([`super::models`]).
use super::types;
use crate::{
    declare::{ColumnDecl, ModelDecl, model::ColumnKind},
    diagnostic::{Diagnostic, did_you_mean},
    reader::{At, Sink},
};
use evenkeel_core::{
    merge::OrderBy,
    schema::{Column, ColumnType, Merge},
};

/// The columns of a model, checked. Where something is wrong it has been reported, and what is here only serves to
/// find more.
pub(crate) struct Columns<'d> {
    pub(crate) decls: &'d [ColumnDecl],
    pub(crate) columns: Vec<Column>,
    /// Indices of the columns the key names, in its order; `None` where one is no usable column.
    pub(crate) key: Vec<Option<usize>>,
    /// For each column that holds a currency, the money column it belongs to.
    pub(crate) money_of: Vec<Option<usize>>,
}

impl<'d> Columns<'d> {
    /// The column of this name.
    pub(crate) fn find(&self, name: &str) -> Option<(usize, &'d ColumnDecl)> {
        self.decls.iter().enumerate().find(|(_, decl)| decl.name.value == name)
    }

    /// The type of the column at `index`, where it could be read.
    pub(crate) fn kind(&self, index: usize) -> Option<ColumnKind> {
        self.decls.get(index)?.ty.as_ref().map(|ty| ty.value)
    }

    /// That there is no column of this name.
    pub(crate) fn no_column(&self, name: &At<String>) -> Diagnostic {
        let known = self.decls.iter().map(|decl| decl.name.value.as_str());
        Diagnostic::error(&name.place, format!("there is no column `{}`", name.value))
            .maybe_help(did_you_mean(&name.value, known))
    }
}

/// Checks name, columns and key of a model.
pub(crate) fn check<'d>(model: &'d ModelDecl, sink: &Sink) -> Columns<'d> {
    name(&model.name, "model", sink);
    if model.name.value.starts_with("sqlite_") {
        sink.error(&model.name.place, "names that start with `sqlite_` are reserved");
    }
    let mut columns = Columns {
        decls: &model.columns,
        columns: Vec::new(),
        key: Vec::new(),
        money_of: vec![None; model.columns.len()],
    };
    for decl in &model.columns {
        name(&decl.name, "column", sink);
        minor_clash(decl, &model.columns, sink);
        merge_fits(decl, sink);
        clock_fits(model, decl, sink);
        companion_clash(decl, &model.columns, sink);
    }
    for (index, decl) in model.columns.iter().enumerate() {
        let ty = match &decl.ty {
            Some(At { value: ColumnKind::Money, .. }) => {
                ColumnType::Money { currency: currency(index, decl, &mut columns, sink).unwrap_or_default() }
            }
            Some(ty) => {
                if let Some(currency) = &decl.currency {
                    let message = format!("`currency` belongs to type `money`, not to `{}`", ty.value.as_str());
                    sink.error(&currency.place, message);
                }
                types::plain_type(ty.value)
            }
            None => ColumnType::Json,
        };
        columns.columns.push(Column { name: decl.name.value.clone(), ty, merge: decl.merge.value });
    }
    key(model, &mut columns, sink);
    columns
}

/// Names are used in SQL as they are.
fn name(name: &At<String>, what: &str, sink: &Sink) {
    let text = name.value.as_str();
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if !starts || !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        let message =
            format!("a {what}'s name is made of lower-case letters, digits and `_`, and starts with no digit");
        let plain = text.to_ascii_lowercase().replace(['-', ' ', '.'], "_");
        let help = (plain != text).then(|| format!("for example `{plain}`"));
        sink.push(Diagnostic::error(&name.place, message).maybe_help(help));
    } else if text.starts_with("_ek") {
        sink.error(&name.place, "names that start with `_ek` are reserved for Evenkeel's own bookkeeping");
    } else if text == "_parked" {
        sink.error(&name.place, "`_parked` is reserved: rows are labelled with it");
    }
}

fn minor_clash(decl: &ColumnDecl, columns: &[ColumnDecl], sink: &Sink) {
    let money = decl.name.value.strip_suffix("_minor").and_then(|money| {
        columns.iter().find(|other| {
            other.name.value == money && other.ty.as_ref().is_some_and(|ty| ty.value == ColumnKind::Money)
        })
    });
    if let Some(money) = money {
        let message = format!("`{}` is reserved for the minor units of `{}`", decl.name.value, money.name.value);
        sink.push(Diagnostic::error(&decl.name.place, message).related(&money.name.place, "this is money"));
    }
}

/// Whether values of this type can merge so.
pub(super) fn can_merge(ty: ColumnKind, merge: Merge) -> bool {
    match merge {
        Merge::Lww | Merge::Mv | Merge::Version => true,
        Merge::GCounter => ty == ColumnKind::I64,
        Merge::PnCounter => matches!(ty, ColumnKind::I64 | ColumnKind::Decimal | ColumnKind::Money),
        Merge::Max | Merge::Min => ty != ColumnKind::Json,
        Merge::OrSet => !matches!(ty, ColumnKind::Json | ColumnKind::Money),
    }
}

fn merge_fits(decl: &ColumnDecl, sink: &Sink) {
    let Some(ty) = &decl.ty else { return };
    if !can_merge(ty.value, decl.merge.value) {
        let message = format!("a column of type `{}` cannot merge as `{}`", ty.value.as_str(), decl.merge.value);
        sink.error(&decl.merge.place, message);
    }
}

/// Which stamps order a column, where it has an order at all.
fn clock_fits(model: &ModelDecl, decl: &ColumnDecl, sink: &Sink) {
    let Some(clock) = &decl.clock else { return };
    let merge = decl.merge.value;
    if !matches!(merge, Merge::Lww | Merge::Mv | Merge::Version) {
        sink.error(&clock.place, format!("a column that merges as `{merge}` is not ordered by a clock"));
    } else if clock.value == OrderBy::Wall && !model.allow_wall_clock {
        let message = "a wall clock that is fast wins over every other writer";
        let help = "use `hlc`, or write allow_wall_clock = true at the top of the model if that is what you want";
        sink.push(Diagnostic::error(&clock.place, message).help(help));
    }
}

/// Merging keeps columns of its own beside some.
fn companion_clash(decl: &ColumnDecl, columns: &[ColumnDecl], sink: &Sink) {
    let suffix = match decl.merge.value {
        Merge::Mv => "siblings",
        Merge::Version => "version",
        _ => return,
    };
    let taken = format!("{}_{suffix}", decl.name.value);
    if let Some(other) = columns.iter().find(|other| other.name.value == taken) {
        let message = format!("`{taken}` is reserved for the {suffix} of `{}`", decl.name.value);
        sink.push(Diagnostic::error(&other.name.place, message).related(&decl.merge.place, "it merges like this"));
    }
}

/// The index of a money column's currency.
fn currency(index: usize, decl: &ColumnDecl, columns: &mut Columns<'_>, sink: &Sink) -> Option<usize> {
    let Some(named) = &decl.currency else {
        let place = decl.ty.as_ref().map_or(&decl.name.place, |ty| &ty.place);
        sink.push(
            Diagnostic::error(place, "money without a currency column")
                .help("write { type = \"money\", currency = \"currency\" } and declare currency = \"iso4217\""),
        );
        return None;
    };
    let Some((found, other)) = columns.find(&named.value) else {
        sink.push(columns.no_column(named));
        return None;
    };
    if let Some(ty) = other.ty.as_ref().filter(|ty| ty.value != ColumnKind::Iso4217) {
        let message = format!("the currency column `{}` is `{}`, not `iso4217`", named.value, ty.value.as_str());
        sink.push(Diagnostic::error(&named.place, message).related(&ty.place, "declared here"));
        return None;
    }
    if other.merge.value != Merge::Lww {
        let message =
            format!("`{}` is written with its amount and merges with it, not as `{}`", named.value, other.merge.value);
        sink.push(Diagnostic::error(&other.merge.place, message).related(&named.place, "the currency of this column"));
        return None;
    }
    if let Some(owner) = columns.money_of[found] {
        let message = format!("`{}` is the currency of another column already", named.value);
        let diagnostic =
            Diagnostic::error(&named.place, message).related(&columns.decls[owner].name.place, "of this one");
        sink.push(diagnostic.help("amount and currency are written as one: give each amount its own currency column"));
        return None;
    }
    columns.money_of[found] = Some(index);
    Some(found)
}

fn key(model: &ModelDecl, columns: &mut Columns<'_>, sink: &Sink) {
    if model.key.is_empty() && model.key_place.span().end > 0 {
        sink.error(&model.key_place, "a key has at least one column");
    }
    for named in &model.key {
        let Some((index, decl)) = columns.find(&named.value) else {
            sink.push(columns.no_column(named));
            columns.key.push(None);
            continue;
        };
        if columns.key.contains(&Some(index)) {
            sink.error(&named.place, format!("`{}` stands twice in the key", named.value));
        }
        if matches!(decl.merge.value, Merge::OrSet | Merge::Mv | Merge::Version) {
            let message = format!("`{}` is part of the key and has one value for ever", named.value);
            sink.push(Diagnostic::error(&decl.merge.place, message).related(&named.place, "in the key here"));
        }
        let mut usable = true;
        if let Some(ty) = &decl.ty {
            let fits = [ColumnKind::Text, ColumnKind::I64, ColumnKind::Date, ColumnKind::Iso4217].contains(&ty.value);
            usable &= fits;
            if !fits {
                let message =
                    format!("a key column is `text`, `i64`, `date` or `iso4217`, not `{}`", ty.value.as_str());
                sink.push(Diagnostic::error(&named.place, message).related(&ty.place, "declared here"));
            }
        }
        if let Some(money) = columns.money_of[index] {
            let message = format!(
                "`{}` is the currency of `{}` and cannot be part of the key",
                named.value, columns.columns[money].name
            );
            sink.error(&named.place, message);
            usable = false;
        }
        columns.key.push(usable.then_some(index));
    }
}
