//! `evenkeel contract impact`: what a changed contract would do to the events that are there.
//!
//! Finding it out is the runtime's; here the changed files are put together, and the answer is shown.
use super::super::{Answer, Context, Done, access::LogAccess, check::plural};
use crate::output::{Document, Failure, Style, at, cell, count, one_line, paint, text, thousands};
use evenkeel::{
    contract::{
        contract::Contract,
        diagnostic::Files,
        project::{self as contracts},
    },
    core::json::Value,
    project::{self, ProjectError},
};
use std::path::Path;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The contract: its name, for the project's files as they are now, or a changed file (*.toml) that would stand for the
    /// same version or be a new one; its schema is looked for beside it first
    #[arg(value_name = "CONTRACT")]
    contract: String,
    /// How many cases of each kind are named
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    cases: u16,
}

pub(super) fn run(context: &Context, args: &Args) -> Done {
    let mut files = project::read(&context.dir)?;
    let contract = if args.contract.ends_with(".toml") {
        project::put_contract(&mut files, Path::new(&args.contract))?
    } else {
        Some(args.contract.clone())
    };
    let wrong = |files: Files| move |wrong| ProjectError::Declarations(files, wrong);
    let (settings, gate) = contracts::gate(&files, &project::environment()).map_err(wrong(files.clone()))?;
    let names = || gate.contracts().map(|contract: &Contract| contract.name.as_str());
    let contract = contract.filter(|contract| names().any(|name| name == contract)).ok_or_else(|| {
        let mut known: Vec<_> = names().collect();
        known.dedup();
        let unknown = Failure::usage(format!("there is no contract {:?}", args.contract));
        unknown.help(format!("there are {}; a changed file ends in .toml", known.join(", ")))
    })?;
    let report = LogAccess::open(context, &settings)?.impact(&files, &gate, &contract, usize::from(args.cases))?;
    if context.out.json {
        context.out.json(&report)?;
    } else {
        print(context, &report)?;
    }
    Ok(Answer::yes_if(*report.at(&["ok"]) == Value::Bool(true)))
}

fn print(context: &Context, report: &Document) -> Result<(), Failure> {
    let (out, colour) = (&context.out, context.out.colour());
    let (log, waiting) = (report.at(&["admitted"]), report.at(&["waiting"]));
    let number = |of: &Value, name: &str| thousands(count(of, &[name]));
    out.line(format_args!(
        "in the log     {} judged: {} the same, {} something else, {} refused{}",
        number(log, "judged"),
        number(log, "same"),
        number(log, "otherwise"),
        number(log, "refused"),
        reasons(log),
    ))?;
    out.line(format_args!(
        "in quarantine  {} judged: {} admitted, {} refused{}",
        number(waiting, "judged"),
        number(waiting, "would_admit"),
        number(waiting, "would_refuse"),
        reasons(waiting),
    ))?;
    if count(log, &["not_kept"]) > 0 {
        let (not_kept, events) = (number(log, "not_kept"), number(log, "events"));
        out.line(format_args!(
            "not judged     {not_kept} of the {events} in the log: they are not kept as they were sent ([raw] keep_days)"
        ))?;
    }
    let listed = [
        ("would be refused, of what is in the log", log, "refusals", "refused", Style::Bad),
        ("would be something else", log, "changes", "otherwise", Style::Bold),
        ("would be admitted, of what waits", waiting, "admissions", "would_admit", Style::Good),
        ("would be refused again", waiting, "refusals", "would_refuse", Style::Dim),
    ];
    for (title, of, name, total, style) in listed {
        let cases = at(of, &[name]).as_array().unwrap_or_default();
        if cases.is_empty() {
            continue;
        }
        out.line(format_args!("\n{}", paint(title, style, colour)))?;
        cases.iter().try_for_each(|case| one(context, case))?;
        let more = count(of, &[total]).saturating_sub(cases.len() as u64);
        if more > 0 {
            out.line(format_args!("  and {} more; --cases names more of them", thousands(more)))?;
        }
    }
    Ok(())
}

/// How many of what was refused are so for which reason.
fn reasons(of: &Value) -> String {
    let Some(reasons) = at(of, &["reasons"]).as_object().filter(|reasons| !reasons.is_empty()) else {
        return String::new();
    };
    let each: Vec<_> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    format!(" ({})", each.join(", "))
}

/// An event, why it would be refused, and where it would be something else.
fn one(context: &Context, case: &Value) -> Result<(), Failure> {
    let shown = |name: &str| one_line(&cell(at(case, &[name])));
    let mut line = match at(case, &["position"]) {
        Value::Null => format!("  {}  {} {}, {}", shown("id"), shown("source"), shown("raw_id"), shown("waits_for")),
        position => format!("  position {position}  {} {}, {}", shown("source"), shown("id"), shown("subject")),
    };
    if !text(case, &["reason"]).is_empty() {
        line += &format!(": {}, {}", shown("reason"), shown("detail"));
    }
    if !text(case, &["pointer"]).is_empty() {
        line += &format!(" at {}", shown("pointer"));
    }
    context.out.line(line)?;
    let differences = at(case, &["differences"]).as_array().unwrap_or_default();
    for difference in differences {
        for (sign, name, style) in [("-", "before", Style::Bad), ("+", "after", Style::Good)] {
            let value = at(difference, &[name]);
            if *value != Value::Null {
                let line = format!(
                    "    {sign} {}  {}",
                    one_line(text(difference, &["pointer"])),
                    one_line(&value.to_string())
                );
                context.out.line(paint(&line, style, context.out.colour()))?;
            }
        }
    }
    let more =
        usize::try_from(count(case, &["different_places"])).unwrap_or(usize::MAX).saturating_sub(differences.len());
    if more > 0 {
        context.out.line(format_args!("    and at {}", plural(more, "place")))?;
    }
    Ok(())
}
