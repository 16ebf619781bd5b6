//! What a reader's statement gives is what pages of rows give: the same conditions, order and count written in SQL as the
//! documentation says, over random rows of every type.
use crate::{
    Models, Selection, SqlError, Statement,
    conformance::{Failure, ensure, queries::each_query, same},
    sqlite::tests::open,
};
use evenkeel_core::{
    json::Value,
    query::{Comparison, Query, Test},
    row::{Cell, Row},
    schema::{ColumnType, Schema},
};
use proptest::prelude::*;
use std::{cell::Cell as Counter, time::Duration};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(600);

/// A column as it is to be compared and sorted.
fn name(schema: &Schema, column: usize) -> String {
    let declared = &schema.columns[column];
    let collation = match declared.ty {
        ColumnType::Decimal | ColumnType::Money { .. } => " COLLATE ek_decimal",
        _ => "",
    };
    format!("\"{}\"{collation}", declared.name)
}

/// A value as it is written in a statement. A text of SQL ends at U+0000.
fn literal(cell: &Cell) -> String {
    match cell {
        Cell::Null => "NULL".into(),
        Cell::I64(int) => int.to_string(),
        Cell::Bool(b) => u8::from(*b).to_string(),
        other => {
            let text = other.to_json();
            let text = text.as_str().map_or_else(|| other.to_json().to_string(), ToOwned::to_owned);
            format!("('{}')", text.replace('\'', "''").replace('\0', "'||char(0)||'"))
        }
    }
}

/// What rows must meet, in SQL; `None` for a pattern, which is a function of ours.
fn conditions(schema: &Schema, query: &Query) -> Option<String> {
    let mut sql = String::new();
    for condition in query.conditions() {
        sql += if sql.is_empty() { " WHERE " } else { " AND " };
        sql += &name(schema, condition.column);
        sql += &match &condition.test {
            Test::Null(true) => " IS NULL".into(),
            Test::Null(false) => " IS NOT NULL".into(),
            Test::Like(_) => return None,
            Test::In(values) => format!(" IN ({})", values.iter().map(literal).collect::<Vec<_>>().join(", ")),
            Test::Compare(comparison, value) => {
                let operator = match comparison {
                    Comparison::Eq => "=",
                    Comparison::Ne => "<>",
                    Comparison::Lt => "<",
                    Comparison::Le => "<=",
                    Comparison::Gt => ">",
                    Comparison::Ge => ">=",
                };
                format!(" {operator} {}", literal(value))
            }
        };
    }
    Some(sql)
}

/// A row as a statement gives it: what a page gives, but for what the tables store otherwise.
fn told(schema: &Schema, row: &Row) -> Vec<Value> {
    let value = |cell: &Cell| match cell {
        Cell::Bool(b) => i64::from(*b).into(),
        Cell::Json(value) => Value::String(value.to_string().into()),
        other => other.to_json(),
    };
    schema.shown().map(|(column, _)| value(&row.cells[column])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_statement_gives_what_pages_give(seed: u64) {
        let folder = TempDir::new().unwrap();
        let models = open(&folder).models;
        let (asked_for, with_rows) = (Counter::new(0), Counter::new(0));
        let agrees = each_query(seed, &*models, (40, 60), &mut |schema, _, asked, limit| {
            let query = Query::parse(schema, asked).map_err(Failure::new)?;
            let Some(conditions) = conditions(schema, &query) else { return Ok(()) };
            let selection = Selection { query: &query, after: None, limit, count: true, within: LONG };
            let page = models.select(&schema.model, &selection)?.ok_or_else(|| Failure::new("the query did not fit"))?;
            let (model, names) = (schema.model.as_str(), [schema.model.clone()]);
            let run = |sql: &str| {
                let statement = Statement { sql, models: &names, views: &[], rows: limit, bytes: 1 << 20, within: LONG };
                match models.query(&statement, &mut |_| true) {
                    Ok(answered) => answered.ok_or_else(|| Failure::new("it was admitted")),
                    Err(SqlError::Statement { message, .. }) => Err(Failure::new(format!("{sql}: {message}"))),
                    Err(other) => Err(Failure::new(other)),
                }
            };
            let order: Vec<_> = query.order().iter().map(|sort| {
                format!("{}{}", name(schema, sort.column), if sort.descending { " DESC" } else { "" })
            }).collect();
            let sql = format!("SELECT * FROM {model}{conditions} ORDER BY {}", order.join(", "));
            // Without the minor units that stand beside money.
            let columns: Vec<_> = schema.shown().map(|(_, column)| format!("\"{}\"", column.name)).collect();
            let sql = sql.replacen('*', &columns.join(", "), 1);
            let answered = run(&sql)?;
            let rows: Vec<_> = page.page.rows.iter().map(|(row, _)| told(schema, row)).collect();
            same(format!("the rows of {sql}"), &answered.rows, &rows)?;
            same(format!("whether there are more of {sql}"), answered.more, page.page.more)?;
            let counted = run(&format!("SELECT count(*) AS n FROM {model}{conditions}"))?;
            let total = page.total.map(|total| vec![vec![Value::from(i64::try_from(total).unwrap_or(i64::MAX))]]);
            same(format!("the number of rows of {sql}"), Some(counted.rows), total)?;
            asked_for.set(asked_for.get() + 1);
            with_rows.set(with_rows.get() + u32::from(!rows.is_empty()));
            Ok(())
        });
        prop_assert_eq!(agrees, Ok(()));
        let enough = ensure(asked_for.get() > 60 && with_rows.get() > 20, "little was compared");
        prop_assert!(enough.is_ok(), "{} of {}", with_rows.get(), asked_for.get());
    }
}
