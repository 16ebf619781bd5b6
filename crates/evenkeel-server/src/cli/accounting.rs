//! `evenkeel accounting`: what became of everything that was taken.
use super::{
    Answer, Context, Done,
    access::{Access, Projectors},
};
use crate::output::{at, cell, text, thousands};
use evenkeel::core::json::Value;

/// `evenkeel accounting`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Count the log and the quarantine afresh and compare, which reads all of them
    #[arg(long)]
    recount: bool,
}

/// The places of an event, in the order of their sum.
const PLACES: [&str; 7] = ["received", "admitted", "duplicate", "waiting", "quarantined", "held", "discarded"];

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let report = Access::open(context, Projectors::Stopped)?.accounting(args.recount)?;
    let balanced = *report.at(&["balanced"]) == Value::Bool(true);
    if context.out.json {
        context.out.json(&report)?;
        return Ok(Answer::yes_if(balanced));
    }
    let number = |value: &Value, name: &str| match at(value, &[name]).as_i64().map(u64::try_from) {
        Some(Ok(number)) => thousands(number),
        _ => cell(at(value, &[name])),
    };
    let line = |source: &Value| {
        let mut line = vec![text(source, &["source"]).to_owned()];
        line.extend(PLACES.map(|name| number(source, name)));
        let is = *at(source, &["balanced"]) == Value::Bool(true);
        line.push(if is { "yes" } else { "NO" }.to_owned());
        line
    };
    let header =
        ["SOURCE", "RECEIVED", "ADMITTED", "DUPLICATE", "WAITING", "QUARANTINED", "(HELD)", "DISCARDED", "BALANCED"];
    let sources = report.items("sources");
    context.out.table(&header, sources.iter().map(line))?;
    let total = report.at(&["total"]);
    let all = PLACES.map(|name| format!("{} {name}", number(total, name)));
    context.out.line(format_args!("all: {}", all.join(", ")))?;
    if !balanced {
        context
            .out
            .note("the books do not add up, or are not what is there: this is a defect, or somebody wrote to log.db");
    }
    Ok(Answer::yes_if(balanced))
}
