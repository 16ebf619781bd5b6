//! `evenkeel rows`: a page of rows in order of their keys.
use super::{
    Answer, Context, Done,
    access::{Access, Projectors, ReadArgs},
    get::{column_names, freshness},
};
use crate::output::{at, cell, text};
use evenkeel::core::json::Value;

/// `evenkeel rows MODEL`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model
    model: String,
    /// At most so many rows, up to 10,000 [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: Option<u16>,
    /// Go on after a page: the `next` it ended with
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    read: ReadArgs,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let access = Access::open(context, Projectors::Stopped)?;
    let model = access.model(&args.model)?;
    let answer = access.rows(&args.model, args.limit.map(usize::from), args.cursor.as_deref(), &args.read)?;
    if context.out.json {
        context.out.json(&answer)?;
        return Ok(Answer::Yes);
    }
    let mut columns = column_names(&model);
    let parked = |row: &Value| *at(row, &["_parked"]) == Value::Bool(true);
    if answer.items("rows").iter().any(parked) {
        columns.push("_parked".into());
    }
    let header: Vec<_> = columns.iter().map(String::as_str).collect();
    let line = |row: &Value| columns.iter().map(|name| cell(at(row, &[name]))).collect();
    context.out.table(&header, answer.items("rows").iter().map(line))?;
    context.out.line(format_args!("\n{}", freshness(answer.at(&["consistency"]))))?;
    let next = text(answer.value(), &["next"]);
    if !next.is_empty() {
        context.out.line(format_args!("there are more: --cursor '{}'", next.replace('\'', "'\\''")))?;
    }
    Ok(Answer::Yes)
}
