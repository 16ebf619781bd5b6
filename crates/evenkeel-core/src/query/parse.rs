//! Queries from the words of a request: `where.COL=eq.x` and `order=COL.desc`.
//!
//! What is not understood is refused with what there is instead. What the words mean is [`super`]'s.
use super::{Comparison, Condition, Pattern, Query, Sort, Test};
use crate::{
    row::Cell,
    schema::{Column, ColumnType, Schema},
};

/// How many conditions a query may have.
pub const MOST_CONDITIONS: usize = 100;
/// How many values an `in` may name.
pub const MOST_VALUES: usize = 1000;

/// The words of a query.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Asked {
    /// Columns with operator and value, such as `("total", "ge.10")`; rows meet all of them.
    pub conditions: Vec<(String, String)>,
    /// The order, such as `total.desc,status`.
    pub order: Option<String>,
}

/// A query that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {message}")]
pub struct QueryError {
    /// Which parameter it is.
    pub parameter: String,
    /// What is wrong with it.
    pub message: String,
}

impl QueryError {
    pub(super) fn new(parameter: impl Into<String>, message: impl Into<String>) -> Self {
        Self { parameter: parameter.into(), message: message.into() }
    }
}

impl Query {
    /// Reads a query of tables of this shape.
    ///
    /// ```
    /// use evenkeel_core::{Digest, query::{Asked, Query}, row::{Cell, Row}};
    /// use evenkeel_core::schema::{Column, ColumnType, Merge, Schema};
    /// let column = |name: &str, ty| Column { name: name.into(), ty, merge: Merge::Lww };
    /// let schema = Schema {
    ///     model: "parcels".into(),
    ///     version: 1,
    ///     key: vec![0],
    ///     columns: vec![column("id", ColumnType::Text), column("kilos", ColumnType::Decimal)],
    ///     subscribes: Default::default(),
    ///     fingerprint: Digest::of(b"parcels 1"),
    /// };
    /// let asked = Asked { conditions: vec![("kilos".into(), "gt.9.5".into())], order: Some("kilos.desc".into()) };
    /// let heavy = Query::parse(&schema, &asked)?;
    /// let row = |kilos: &str| kilos.parse().map(|kilos| Row { cells: vec![Cell::Text("p".into()), Cell::Decimal(kilos)] });
    /// // Not as text: "10" comes before "9.5" there.
    /// assert!(heavy.matches(&row("10").unwrap()) && !heavy.matches(&row("9.50").unwrap()));
    /// let asked = Asked { conditions: vec![("weight".into(), "gt.9".into())], order: None };
    /// assert_eq!(Query::parse(&schema, &asked).unwrap_err().to_string(),
    ///     "where.weight: parcels has no column \"weight\"; there are: id, kilos");
    /// # Ok::<(), evenkeel_core::query::QueryError>(())
    /// ```
    ///
    /// # Errors
    /// Which parameter is not understood, and what would be.
    pub fn parse(schema: &Schema, asked: &Asked) -> Result<Self, QueryError> {
        if asked.conditions.len() > MOST_CONDITIONS {
            return Err(QueryError::new("where", format!("at most {MOST_CONDITIONS} conditions may be named")));
        }
        let conditions = asked.conditions.iter().map(|(name, text)| condition(schema, name, text));
        let conditions = conditions.collect::<Result<_, _>>()?;
        let order = asked.order.as_deref().map(|text| order(schema, text)).transpose()?;
        Ok(Self::new(schema, conditions, order.unwrap_or_default()))
    }

    /// The indices of the columns that a `select` names, such as `id,total`.
    ///
    /// # Errors
    /// Which of them there is not, or is named twice.
    pub fn columns(schema: &Schema, text: &str) -> Result<Vec<usize>, QueryError> {
        let mut columns = Vec::new();
        for name in text.split(',').map(str::trim) {
            let (column, _) = find(schema, "select", name)?;
            if columns.contains(&column) {
                return Err(QueryError::new("select", format!("the column {name:?} is named twice")));
            }
            columns.push(column);
        }
        Ok(columns)
    }
}

fn find<'s>(schema: &'s Schema, parameter: &str, name: &str) -> Result<(usize, &'s Column), QueryError> {
    let found = schema.column(name).map(|index| (index, &schema.columns[index]));
    found.ok_or_else(|| {
        let names: Vec<_> = schema.columns.iter().map(|column| column.name.as_str()).collect();
        let message = format!("{} has no column {name:?}; there are: {}", schema.model, names.join(", "));
        QueryError::new(parameter, message)
    })
}

fn order(schema: &Schema, text: &str) -> Result<Vec<Sort>, QueryError> {
    let mut order: Vec<Sort> = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (name, descending) = match part.rsplit_once('.') {
            None => (part, false),
            Some((name, "asc")) => (name, false),
            Some((name, "desc")) => (name, true),
            Some(_) => {
                let message = format!("expected COLUMN, COLUMN.asc or COLUMN.desc, found {part:?}");
                return Err(QueryError::new("order", message));
            }
        };
        let (column, declared) = find(schema, "order", name)?;
        if declared.ty == ColumnType::Json {
            return Err(QueryError::new("order", format!("{name:?} is json, which has no order")));
        }
        if order.iter().any(|sort| sort.column == column) {
            return Err(QueryError::new("order", format!("the column {name:?} is named twice")));
        }
        order.push(Sort { column, descending });
    }
    Ok(order)
}

/// The operators on columns of a type.
fn operators(ty: ColumnType) -> &'static [&'static str] {
    match ty {
        ColumnType::Text | ColumnType::Iso4217 => &["eq", "ne", "lt", "le", "gt", "ge", "in", "like", "is"],
        ColumnType::Bool => &["eq", "ne", "in", "is"],
        ColumnType::Json | ColumnType::Bytes => &["is"],
        _ => &["eq", "ne", "lt", "le", "gt", "ge", "in", "is"],
    }
}

fn condition(schema: &Schema, name: &str, text: &str) -> Result<Condition, QueryError> {
    let parameter = format!("where.{name}");
    let (column, declared) = find(schema, &parameter, name)?;
    let (ty, operators) = (declared.ty, operators(declared.ty));
    let wrong = |message| QueryError::new(parameter.as_str(), message);
    let (operator, operand) = text.split_once('.').unwrap_or((text, ""));
    if !operators.contains(&operator) || !text.contains('.') {
        let message = format!("expected OPERATOR.VALUE, where a column of type {} has the operators ", ty.name());
        return Err(wrong(format!("{message}{}; found {text:?}", operators.join(", "))));
    }
    let compare = |comparison| value(ty, operand).map(|value| Test::Compare(comparison, value));
    let test = match operator {
        "ne" => compare(Comparison::Ne),
        "lt" => compare(Comparison::Lt),
        "le" => compare(Comparison::Le),
        "gt" => compare(Comparison::Gt),
        "ge" => compare(Comparison::Ge),
        "like" => Pattern::parse(operand).map(Test::Like),
        "in" => list(operand).and_then(|texts| texts.iter().map(|text| value(ty, text)).collect()).map(Test::In),
        "is" => is(ty, operand),
        _ => compare(Comparison::Eq),
    };
    Ok(Condition { column, test: test.map_err(wrong)? })
}

fn is(ty: ColumnType, text: &str) -> Result<Test, String> {
    match (text, ty) {
        ("null", _) => Ok(Test::Null(true)),
        ("not_null", _) => Ok(Test::Null(false)),
        ("true" | "false", ColumnType::Bool) => Ok(Test::Compare(Comparison::Eq, Cell::Bool(text == "true"))),
        (_, ColumnType::Bool) => Err(format!("expected is.null, is.not_null, is.true or is.false, found {text:?}")),
        _ => Err(format!("expected is.null or is.not_null, found {text:?}")),
    }
}

/// The value that a text is in a column of this type.
fn value(ty: ColumnType, text: &str) -> Result<Cell, String> {
    let expected = |what: &str| format!("expected {what}, found {text:?}");
    match ty {
        ColumnType::Text | ColumnType::Json | ColumnType::Bytes => Ok(Cell::Text(text.into())),
        ColumnType::I64 => {
            let plain = !text.starts_with('+');
            let int = text.parse().ok().filter(|_| plain);
            int.map(Cell::I64).ok_or_else(|| expected("an integer of 64 bits"))
        }
        ColumnType::Bool => text.parse().map(Cell::Bool).map_err(|_| expected("true or false")),
        _ => Cell::from_json(ty, &text.into()).map_err(|misfit| expected(&misfit.expected)),
    }
}

/// The texts of `(a,b,"c,d")`. Between quotes `\` stands before a quote or another `\`.
fn list(text: &str) -> Result<Vec<String>, String> {
    let bad =
        || format!("expected in.(VALUE,VALUE), with quotes around a value that holds , ( ) or \", found {text:?}");
    let mut rest = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(bad)?;
    let mut texts = Vec::new();
    if rest.is_empty() {
        return Ok(texts);
    }
    loop {
        let (text, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_text(quoted).ok_or_else(bad)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        if texts.len() == MOST_VALUES {
            return Err(format!("at most {MOST_VALUES} values may be named"));
        }
        texts.push(text);
        rest = match after.strip_prefix(',') {
            Some(after) => after,
            None if after.is_empty() => return Ok(texts),
            None => return Err(bad()),
        };
    }
}

/// A text up to its closing quote, and what follows it.
fn quoted_text(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((index, char)) = chars.next() {
        match char {
            '"' => return Some((text, &quoted[index + 1..])),
            '\\' => text.push(chars.next()?.1),
            other => text.push(other),
        }
    }
    None
}
