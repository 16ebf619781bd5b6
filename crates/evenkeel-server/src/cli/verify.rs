//! `evenkeel verify`: rows compared with the log folded afresh.
use super::{
    Answer, Context, Done,
    access::{Access, Projectors},
};
use crate::output::{at, cell, count, one_line, text};

/// `evenkeel verify [MODEL] [--full]`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this model
    model: Option<String>,
    /// Fold the log afresh and compare every row; otherwise say what was found last
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
    let mut drifted = false;
    let mut lines = Vec::new();
    let mut wrong = Vec::new();
    for name in &names {
        let report = access.verify(name, args.full)?;
        drifted |= text(report.value(), &["verdict"]) == "drifted";
        if context.out.json {
            context.out.json(&report)?;
            continue;
        }
        lines.push(vec![
            name.clone(),
            text(report.value(), &["verdict"]).to_owned(),
            cell(report.at(&["rows"])),
            cell(report.at(&["rows_checked"])),
            cell(report.at(&["wrong_rows"])),
            cell(report.at(&["verified_as_of"])),
            cell(report.at(&["duration_ms"])),
        ]);
        for row in report.items("wrong").iter().take(SHOWN) {
            let (expected, actual) = (cell(at(row, &["expected"])), cell(at(row, &["actual"])));
            let key = one_line(text(row, &["key"]));
            wrong.push(format!(
                "{name} {key}\n  the log says  {}\n  the table has {}",
                one_line(&expected),
                one_line(&actual)
            ));
        }
        let all = count(report.value(), &["wrong_rows"]);
        if all > SHOWN as u64 {
            wrong.push(format!("{name}: {} more", all - SHOWN as u64));
        }
    }
    if !context.out.json {
        context.out.table(&["MODEL", "VERDICT", "ROWS", "CHECKED", "WRONG", "AS OF", "MS"], lines)?;
        for text in wrong {
            context.out.line(format_args!("\n{text}"))?;
        }
        if drifted {
            context.out.note("`evenkeel reconcile MODEL --method rebuild` makes the rows anew");
        }
    }
    Ok(Answer::yes_if(!drifted))
}
