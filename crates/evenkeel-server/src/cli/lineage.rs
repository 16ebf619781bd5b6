//! `evenkeel lineage`: where each field of an admitted event came from.
//!
//! What is shown is the engine's to say.
use super::{
    Answer, Context, Done,
    access::{Access, Projectors},
};
use crate::output::{Document, Failure, Style, at, cell, one_line, paint, text};
use evenkeel::core::json::Value;

/// `evenkeel lineage`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The event: its position in the log, or its identity (64 hexadecimal digits)
    #[arg(value_name = "EVENT")]
    event: String,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let report = Access::open(context, Projectors::Stopped)?.lineage(&args.event)?;
    if context.out.json {
        context.out.json(&report)?;
    } else {
        print(context, &report)?;
    }
    Ok(Answer::yes_if(*report.at(&["exact"]) == Value::Bool(true)))
}

fn print(context: &Context, report: &Document) -> Result<(), Failure> {
    let out = &context.out;
    let shown = |name: &str| one_line(&cell(report.at(&[name])));
    out.line(format_args!(
        "{} v{} at position {}, sent by {} as {}",
        shown("contract"),
        shown("contract_version"),
        shown("position"),
        shown("source"),
        shown("id"),
    ))?;
    if !text(report.value(), &["reason"]).is_empty() {
        out.line(paint(&shown("reason"), Style::Bad, out.colour()))?;
    }
    let by = |contract: &Value| format!("{} v{}", text(contract, &["contract"]), cell(at(contract, &["version"])));
    let contracts: Vec<_> = report.items("contracts").iter().map(by).collect();
    if !contracts.is_empty() {
        out.line(format_args!("told by {}", one_line(&contracts.join(", then "))))?;
    }
    if report.items("fields").is_empty() {
        return Ok(());
    }
    let field = |field: &Value| {
        let from: Vec<_> = at(field, &["from"]).as_array().unwrap_or_default().iter().map(cell).collect();
        let exact = *at(field, &["exact"]) == Value::Bool(true);
        vec![
            text(field, &["field"]).to_owned(),
            if from.is_empty() { "-".to_owned() } else { from.join(" ") },
            text(field, &["conversion"]).to_owned(),
            cell(at(field, &["edit"])),
            cell(at(field, &["value"])) + if exact { "" } else { " (by the contracts of today: something else)" },
        ]
    };
    out.table(&["FIELD", "FROM", "CONVERSION", "EDIT", "VALUE"], report.items("fields").iter().map(field))?;
    for (number, edit) in report.items("edits").iter().enumerate() {
        let note = Some(one_line(text(edit, &["note"]))).filter(|note| !note.is_empty());
        let why = note.map_or_else(String::new, |note| format!(" ({note})"));
        let (author, when) = (one_line(text(edit, &["author"])), text(edit, &["at"]));
        out.line(format_args!("edit {} of {}: {when} by {author}{why}", number + 1, shown("quarantine_id")))?;
    }
    let dropped: Vec<_> = report.items("dropped").iter().map(cell).collect();
    if !dropped.is_empty() {
        out.line(format_args!("dropped: {}", one_line(&dropped.join(" "))))?;
    }
    Ok(())
}
