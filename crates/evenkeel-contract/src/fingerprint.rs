//! The digest of everything in a declared model that decides its rows: columns, key and clauses.
//!
//! Taken over a canonical text, so that comments, formatting and the order of operations do not matter. The text's
//! form is fixed: a change of it makes every model look outdated. Not the digest of a row ([`evenkeel_core::digest`]).
use evenkeel_core::{
    Digest,
    condition::{self, Condition},
    fold::{Attribute, Clause, Op, OpKind, Operand},
    json::{Object, Value},
    merge::OrderBy,
    schema::{Column, ColumnType},
};

/// The number of the fold: another one where it makes other rows of the same events and declarations, or keeps something else
/// beside them. Every model is then declared anew, and rebuilt.
const FOLD: i64 = 2;

/// The fingerprint of a model.
pub(crate) fn of(columns: &[Column], clocks: &[Option<OrderBy>], key: &[usize], clauses: &[Clause]) -> Digest {
    let name = |index: &usize| columns.get(*index).map_or(Value::Null, |column| column.name.as_str().into());
    let described = columns.iter().zip(clocks).map(|(column, clock)| {
        let mut members = vec![
            ("name", column.name.as_str().into()),
            ("type", column_type(column.ty).into()),
            ("merge", column.merge.as_str().into()),
            ("clock", clock.unwrap_or(OrderBy::Hlc).as_str().into()),
        ];
        if let ColumnType::Money { currency } = column.ty {
            members.push(("currency", name(&currency)));
        }
        object(members)
    });
    let text = object([
        ("fold", FOLD.into()),
        ("columns", described.collect::<Vec<_>>().into()),
        ("key", key.iter().map(name).collect::<Vec<_>>().into()),
        ("clauses", clauses.iter().map(|c| clause(c, columns)).collect::<Vec<_>>().into()),
    ]);
    Digest::of(text.to_string().as_bytes())
}

fn object<'k>(members: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    let mut object = Object::default();
    members.into_iter().for_each(|(key, value)| object.insert(key, value));
    object.into()
}

fn column_type(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::Text => "text",
        ColumnType::I64 => "i64",
        ColumnType::Decimal => "decimal",
        ColumnType::Money { .. } => "money",
        ColumnType::Iso4217 => "iso4217",
        ColumnType::Bool => "bool",
        ColumnType::Timestamp => "timestamp",
        ColumnType::Date => "date",
        ColumnType::Json => "json",
        ColumnType::Bytes => "bytes",
    }
}

fn clause(clause: &Clause, columns: &[Column]) -> Value {
    let mut ops: Vec<&Op> = clause.ops.iter().collect();
    ops.sort_by_key(|op| op.column);
    let op = |op: &Op| {
        let column = columns.get(op.column).map_or("", |column| column.name.as_str());
        Value::from(vec![
            op_kind(op.kind).into(),
            column.into(),
            operand(&op.value),
            op.based_on.as_ref().map_or(Value::Null, operand),
        ])
    };
    object([
        ("event", clause.event.as_str().into()),
        ("when", clause.when.iter().map(condition).collect::<Vec<_>>().into()),
        ("each", clause.each.as_ref().map_or(Value::Null, |each| each.over.to_string().into())),
        ("key", clause.key.iter().map(operand).collect::<Vec<_>>().into()),
        ("delete", clause.delete.into()),
        ("ops", ops.into_iter().map(op).collect::<Vec<_>>().into()),
    ])
}

fn op_kind(kind: OpKind) -> &'static str {
    match kind {
        OpKind::Set => "set",
        OpKind::SetOnce => "set_once",
        OpKind::Add => "add",
        OpKind::Min => "min",
        OpKind::Max => "max",
        OpKind::Insert => "insert",
        OpKind::Remove => "remove",
    }
}

fn operand(operand: &Operand) -> Value {
    let (kind, value) = match operand {
        Operand::Event(pointer) => ("event", pointer.to_string().into()),
        Operand::Element(pointer) => ("element", pointer.to_string().into()),
        Operand::Value(value) => ("value", value.clone()),
        Operand::Attribute(attribute) => ("attribute", attribute_name(*attribute).into()),
        Operand::Count(of) => ("count", self::operand(of)),
    };
    object([(kind, value)])
}

fn attribute_name(attribute: Attribute) -> &'static str {
    match attribute {
        Attribute::Type => "type",
        Attribute::Time => "time",
        Attribute::Id => "id",
        Attribute::Subject => "subject",
        Attribute::Position => "position",
        Attribute::RecordedTime => "recorded_time",
    }
}

fn condition(condition: &Condition) -> Value {
    let operand = |operand: &condition::Operand| match operand {
        condition::Operand::Pointer(pointer) => object([("pointer", pointer.to_string().into())]),
        condition::Operand::Value(value) => object([("value", value.clone())]),
    };
    match condition {
        Condition::Compare(comparison, left, right) => {
            Value::from(vec![comparison_name(*comparison).into(), operand(left), operand(right)])
        }
        Condition::NotEmpty(one) => Value::from(vec!["not_empty".into(), operand(one)]),
        Condition::OneOf(one, values) => Value::from(vec!["one_of".into(), operand(one), values.clone().into()]),
        Condition::Matches(one, pattern) => Value::from(vec!["matches".into(), operand(one), pattern.as_str().into()]),
        Condition::SumEquals(sum) => Value::from(vec![
            "sum_equals".into(),
            sum.over.to_string().into(),
            sum.value.to_string().into(),
            sum.times.as_ref().map_or(Value::Null, |times| times.to_string().into()),
            operand(&sum.equals),
        ]),
    }
}

fn comparison_name(comparison: condition::Comparison) -> &'static str {
    match comparison {
        condition::Comparison::Equals => "equals",
        condition::Comparison::NotEquals => "not_equals",
        condition::Comparison::Gt => "gt",
        condition::Comparison::Ge => "ge",
        condition::Comparison::Lt => "lt",
        condition::Comparison::Le => "le",
    }
}
