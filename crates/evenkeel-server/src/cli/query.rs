//! `evenkeel query`: a statement in SQL over models, and how fresh the worst of them is.
//!
//! Rows by conditions are [`super::rows`]' business.
use super::{
    Answer, Context, Done,
    access::{Access, Projectors, ReadArgs},
    get::freshness,
};
use crate::output::{at, cell};
use evenkeel::{core::json::Value, reader::QueryRequest};

/// `evenkeel query SQL`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One statement that reads models, views declared over them, and `_ek_freshness`
    sql: String,
    /// At most so many rows [default: the project's read.query_rows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    #[command(flatten)]
    read: ReadArgs,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let access = Access::open(context, Projectors::Stopped)?;
    let limit = args.limit.map_or(0, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let answer = access.query(&QueryRequest { sql: args.sql.clone(), limit }, &args.read)?;
    if context.out.json {
        context.out.json(&answer)?;
        return Ok(Answer::Yes);
    }
    let columns: Vec<&str> = answer.items("columns").iter().filter_map(Value::as_str).collect();
    let line = |row: &Value| columns.iter().map(|name| cell(at(row, &[name]))).collect();
    context.out.table(&columns, answer.items("rows").iter().map(line))?;
    context.out.line(format_args!("\n{}", freshness(answer.at(&["consistency"]))))?;
    if *answer.at(&["more"]) == Value::Bool(true) {
        context.out.line("there are more rows: --limit takes more, up to the project's read.query_rows")?;
    }
    Ok(Answer::Yes)
}
