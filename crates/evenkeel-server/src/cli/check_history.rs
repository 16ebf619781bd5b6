//! `evenkeel check-history`: what a recorded history of client operations violates.
//!
//! Judging is the core's (`history`); nothing here opens a store or speaks to a server.
use super::{
    Answer, Context, Done,
    lines::{About, Input, LONGEST, Next},
};
use crate::output::{Document, Failure, Style, one_line, paint, thousands};
use evenkeel::core::history::{Checker, Finding, Report};
use indicatif::ProgressBar;
use std::path::PathBuf;

/// `evenkeel check-history FILE|-`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The history; `-` for stdin
    file: PathBuf,
}

/// What is read.
const LINES: About =
    About { command: "check-history", lines: "history lines", broken: "nothing is said of a part of a history" };

/// Findings shown to people.
const SHOWN: usize = 20;

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    if context.url.is_some() {
        return Err(Failure::usage("check-history takes no --url: it reads a file and asks no node"));
    }
    let mut input = Input::open(&args.file, &ProgressBar::hidden(), LINES)?;
    let mut checker = Checker::default();
    let bad = |error: String| Failure::usage(error).help("docs/history.md describes the format");
    loop {
        match input.next()? {
            Next::Line(line) => {
                checker.line(line.number, &line.bytes).map_err(|error| bad(one_line(&error.to_string())))?
            }
            Next::TooLong(number) => return Err(bad(format!("line {number}: longer than {} MiB", LONGEST >> 20))),
            Next::End => break,
        }
    }
    let report = checker.finish();
    if context.out.json {
        context.out.json(&Document::of(&report)?)?;
    } else {
        print(context, &report)?;
    }
    Ok(Answer::yes_if(report.holds))
}

fn print(context: &Context, report: &Report) -> Result<(), Failure> {
    let colour = context.out.colour();
    for finding in report.findings.iter().take(SHOWN) {
        context.out.line(shown(finding, colour))?;
    }
    let total: u64 = report.violations.values().sum();
    if total > SHOWN as u64 {
        context.out.note(format_args!("{} more; --json shows up to a thousand", total - SHOWN as u64));
    }
    let Report { sessions, writes, reads, log_events, .. } = report;
    let of = format!(
        "{} sessions, {} events written, {} reads, {} events of the log",
        thousands(*sessions),
        thousands(*writes),
        thousands(*reads),
        thousands(*log_events)
    );
    if report.holds {
        return context.out.line(format_args!("{}: {of}", paint("holds", Style::Good, colour)));
    }
    let kinds: Vec<_> = report.violations.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    context.out.line(format_args!("{}: {}; {of}", paint("violated", Style::Bad, colour), kinds.join(", ")))
}

/// A finding in a few lines.
fn shown(finding: &Finding, colour: bool) -> String {
    let lines: Vec<_> = finding.lines.iter().map(u64::to_string).collect();
    let word = if lines.len() == 1 { "line" } else { "lines" };
    let mut text = format!("{} {word} {}", paint(finding.kind.as_str(), Style::Bad, colour), lines.join(", "));
    for (name, value) in [("session", &finding.session), ("key", &finding.key)] {
        if let Some(value) = value {
            text.push_str(&format!(", {name} {}", one_line(value)));
        }
    }
    format!("{text}\n  expected {}\n  seen     {}", one_line(&finding.expected), one_line(&finding.seen))
}
