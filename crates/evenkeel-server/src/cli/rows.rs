//! `evenkeel rows`: a page of the rows that meet conditions, in an order.
use super::{
    Answer, Context, Done,
    access::{Access, Projectors, ReadArgs},
    get::{column_names, freshness},
};
use crate::output::{at, cell, text};
use evenkeel::{
    core::{json::Value, query::Asked},
    reader::RowsRequest,
};

/// `evenkeel rows MODEL`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model
    model: String,
    /// Only rows that meet this: eq, ne, lt, le, gt, ge, in.(a,b), like.a*, is.null or is.not_null; may be given several times
    #[arg(long = "where", value_name = "COL=OP.VALUE", value_parser = condition)]
    conditions: Vec<(String, String)>,
    /// In this order, the key last
    #[arg(long, value_name = "COL.desc,COL")]
    order: Option<String>,
    /// Only these columns
    #[arg(long, value_name = "COL,COL")]
    select: Option<String>,
    /// Count all rows that meet the conditions
    #[arg(long)]
    count: bool,
    /// At most so many rows, up to 10,000 [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: Option<u16>,
    /// Go on after a page: the `next` it ended with
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    read: ReadArgs,
}

/// A condition as it is written: what the operators are is the model's to say, by the type of the column.
fn condition(text: &str) -> Result<(String, String), String> {
    let split = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, test) = split.ok_or("expected COLUMN=OPERATOR.VALUE, such as total=ge.10")?;
    Ok((name.to_owned(), test.to_owned()))
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let access = Access::open(context, Projectors::Stopped)?;
    let model = access.model(&args.model)?;
    let request = RowsRequest {
        query: Asked { conditions: args.conditions.clone(), order: args.order.clone() },
        select: args.select.clone(),
        count: args.count,
        cursor: args.cursor.clone(),
        limit: args.limit.map(usize::from).unwrap_or_default(),
    };
    let answer = access.rows(&args.model, &request, &args.read)?;
    if context.out.json {
        context.out.json(&answer)?;
        return Ok(Answer::Yes);
    }
    let mut columns = match &args.select {
        Some(named) => named.split(',').map(|name| name.trim().to_owned()).collect(),
        None => column_names(&model),
    };
    let parked = |row: &Value| *at(row, &["_parked"]) == Value::Bool(true);
    if answer.items("rows").iter().any(parked) {
        columns.push("_parked".into());
    }
    let header: Vec<_> = columns.iter().map(String::as_str).collect();
    let line = |row: &Value| columns.iter().map(|name| cell(at(row, &[name]))).collect();
    context.out.table(&header, answer.items("rows").iter().map(line))?;
    if let Some(total) = at(answer.value(), &["total"]).as_i64() {
        context.out.line(format_args!("\n{total} rows in all"))?;
    }
    context.out.line(format_args!("\n{}", freshness(answer.at(&["consistency"]))))?;
    let next = text(answer.value(), &["next"]);
    if !next.is_empty() {
        context.out.line(format_args!("there are more: --cursor {next}"))?;
    }
    Ok(Answer::Yes)
}
