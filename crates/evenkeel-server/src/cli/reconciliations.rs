//! `evenkeel reconciliations`: what was reconciled, newest first, and the rows that were found wrong.
use super::{
    Answer, Context, Done,
    access::{Access, Projectors},
    reconcile, verify,
};
use crate::output::{at, cell, text};
use evenkeel::core::json::Value;

/// `evenkeel reconciliations [MODEL] [--id N]`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only of this model
    model: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Show this one, with the rows it found wrong
    #[arg(long, value_name = "N", conflicts_with_all = ["model", "limit"])]
    id: Option<u64>,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let access = Access::open(context, Projectors::Stopped)?;
    if let Some(id) = args.id {
        return show(context, &access, id);
    }
    let found = access.reconciliations(args.model.as_deref(), usize::from(args.limit))?;
    if context.out.json {
        context.out.json(&found)?;
        return Ok(Answer::Yes);
    }
    let line = |record: &Value| {
        let shown = |name| cell(at(record, &[name]));
        let lag = cell(at(record, &["drift_metrics", "lag_count"]));
        let error = text(record, &["error"]).to_owned();
        let (method, verified) = (shown("reconciliation_method"), shown("verified"));
        vec![
            shown("id"),
            shown("started_at"),
            shown("model"),
            method,
            shown("result"),
            lag,
            shown("rows_repaired"),
            shown("events_replayed"),
            verified,
            shown("duration_ms"),
            error,
        ]
    };
    let header = ["ID", "STARTED", "MODEL", "METHOD", "RESULT", "LAG", "REPAIRED", "REPLAYED", "VERIFIED", "MS", ""];
    context.out.table(&header, found.items("reconciliations").iter().map(line))?;
    Ok(Answer::Yes)
}

/// One of them, with its evidence.
fn show(context: &Context, access: &Access, id: u64) -> Done {
    let found = access.reconciliation(id)?;
    if context.out.json {
        context.out.json(&found)?;
        return Ok(Answer::Yes);
    }
    let record = found.value();
    context.out.line(format_args!("{}  {}", text(record, &["started_at"]), reconcile::said(record)))?;
    for row in found.items("evidence") {
        context.out.line(format_args!("\n{}", verify::wrong_row(text(record, &["model"]), row)))?;
    }
    Ok(Answer::Yes)
}
