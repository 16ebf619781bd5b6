//! `evenkeel verify`: rows compared with the log, and those that are wrong with the cause.
//!
//! It mends nothing: that is [`super::reconcile`]'s.
use super::{
    Answer, Context, Done,
    access::{Access, Projectors},
};
use crate::output::{Document, at, cell, count, one_line, text, thousands};
use evenkeel::core::json::Value;

/// `evenkeel verify [MODEL] [--full]`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this model
    model: Option<String>,
    /// Fold the whole log afresh and compare every row; otherwise look at what is suspected
    #[arg(long)]
    full: bool,
}

/// Wrong rows shown of each model.
const SHOWN: usize = 10;

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let access = Access::open(context, Projectors::Stopped)?;
    let names = match &args.model {
        Some(model) => vec![model.clone()],
        None => access.models()?.items("models").iter().map(|model| text(model, &["model"]).to_owned()).collect(),
    };
    let mut reports = Vec::new();
    for name in &names {
        let report = access.verify(name, args.full)?;
        if context.out.json {
            context.out.json(&report)?;
        }
        reports.push(report);
    }
    if !context.out.json {
        let header = ["MODEL", "VERDICT", "ROWS", "CHECKED", "WRONG", "AS OF", "MS"];
        context.out.table(&header, reports.iter().map(|report| line(report.value())))?;
        for report in &reports {
            for text in wrong_rows(report) {
                context.out.line(format_args!("\n{text}"))?;
            }
        }
        for report in reports.iter().filter(|report| !is_well(report)) {
            context.out.note(advice(&access, report.value()));
        }
    }
    Ok(Answer::yes_if(reports.iter().all(is_well)))
}

fn line(report: &Value) -> Vec<String> {
    let columns = ["model", "verdict", "rows", "rows_checked", "wrong_rows", "verified_as_of", "duration_ms"];
    let of = |name: &str| match name {
        "wrong_rows" if is_at_least(report) => format!(">= {}", cell(at(report, &[name]))),
        _ => cell(at(report, &[name])),
    };
    columns.iter().map(|name| of(name)).collect()
}

/// Whether there are more wrong rows than are counted.
fn is_at_least(report: &Value) -> bool {
    at(report, &["wrong_rows_at_least"]) == &Value::Bool(true)
}

/// A suspicion that is left is no yes either.
fn is_well(report: &Document) -> bool {
    !matches!(text(report.value(), &["verdict"]), "drifted" | "suspect")
}

/// The first wrong rows of a report, and how many more there are.
fn wrong_rows(report: &Document) -> Vec<String> {
    let model = text(report.value(), &["model"]);
    let mut said: Vec<String> = report.items("wrong").iter().take(SHOWN).map(|row| wrong_row(model, row)).collect();
    let more = count(report.value(), &["wrong_rows"]).saturating_sub(said.len() as u64);
    if more > 0 {
        let at_least = if is_at_least(report.value()) { "at least " } else { "" };
        said.push(format!("{model}: {at_least}{} more", thousands(more)));
    }
    said
}

/// A wrong row in words: its key, why it is wrong, what it should be and what it is.
pub(super) fn wrong_row(model: &str, row: &Value) -> String {
    let shown = |name| match at(row, &[name]) {
        Value::Null => "no row".to_owned(),
        found => one_line(&found.to_string()),
    };
    let mut said = format!(
        "{model} {}  {}\n  the log says  {}\n  the table has {}",
        one_line(text(row, &["key"])),
        text(row, &["cause"]),
        shown("expected"),
        shown("actual"),
    );
    if at(row, &["expected"]) == at(row, &["actual"]) {
        said += "\n  what differs is kept beside these columns: minor units, the row's digest, or what is parked of it";
    }
    said
}

/// What mends a model that is not well.
fn advice(access: &Access, report: &Value) -> String {
    let model = text(report, &["model"]);
    if count(report, &["wrong_rows"]) == 0 {
        return format!("{model}: `evenkeel verify {model} --full` compares every row");
    }
    // Too many to be repaired one by one is the node's to say: it knows the share that may be.
    let drift = access.drift(Some(model)).ok();
    let status = drift.as_ref().and_then(|drift| drift.items("models").first()).map(|model| text(model, &["status"]));
    let method = if status == Some("rebuild_needed") { "rebuild" } else { "repair" };
    format!("{model}: `evenkeel reconcile {model} --method {method}` makes them what the log says")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_in_the_columns_is_said_so() {
        let said = |actual: &str| {
            let row = format!(r#"{{"key":"k","cause":"foreign_edit","expected":{{"n":1}},"actual":{actual}}}"#);
            wrong_row("m", Document::parse(row).unwrap().value())
        };
        assert!(said(r#"{"n":1}"#).contains("beside these columns"));
        assert!(!said(r#"{"n":2}"#).contains("beside these columns") && !said("null").contains("beside these columns"));
    }

    #[test]
    fn no_is_what_differs_or_may() {
        let well = |verdict: &str| is_well(&Document::parse(format!(r#"{{"verdict":"{verdict}"}}"#)).unwrap());
        assert_eq!(["verified", "unverified", "suspect", "drifted"].map(well), [true, true, false, false]);
    }

    #[test]
    fn a_wrong_row_is_named_with_its_cause_and_both_sides() {
        let report = r#"{"model":"m","wrong_rows":12,"wrong":[{"key":"a\nb","cause":"lost_row","expected":{"n":1.50},"actual":null}]}"#;
        let said = wrong_rows(&Document::parse(report.into()).unwrap());
        assert_eq!(
            said,
            [
                "m a\\nb  lost_row\n  the log says  {\"n\":1.50}\n  the table has no row".to_owned(),
                "m: 11 more".to_owned()
            ]
        );
        let report = report.replace(r#""wrong":"#, r#""wrong_rows_at_least":true,"wrong":"#);
        let report = Document::parse(report).unwrap();
        assert_eq!(wrong_rows(&report).last().unwrap(), "m: at least 11 more");
        assert_eq!(line(report.value())[4], ">= 12");
    }
}
