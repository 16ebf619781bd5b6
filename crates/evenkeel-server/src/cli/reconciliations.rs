//! `evenkeel reconciliations`: what was reconciled, newest first.
use super::{
    Answer, Context, Done,
    access::{Access, Projectors},
};
use crate::output::{at, cell, text};
use evenkeel::core::json::Value;

/// `evenkeel reconciliations [MODEL]`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only of this model
    model: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let access = Access::open(context, Projectors::Stopped)?;
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
            shown("started_at"),
            shown("model"),
            method,
            shown("result"),
            lag,
            shown("events_replayed"),
            verified,
            shown("duration_ms"),
            error,
        ]
    };
    let header = ["STARTED", "MODEL", "METHOD", "RESULT", "LAG", "REPLAYED", "VERIFIED", "MS", ""];
    context.out.table(&header, found.items("reconciliations").iter().map(line))?;
    Ok(Answer::Yes)
}
