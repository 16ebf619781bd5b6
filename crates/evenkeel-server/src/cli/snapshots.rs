//! `evenkeel snapshots`: the snapshots of models, and whether a rebuild would begin from them.
use super::{
    Answer, Context, Done,
    access::{Access, Projectors},
};
use crate::output::{at, cell};
use evenkeel::core::json::Value;

/// `evenkeel snapshots [MODEL]`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only of this model
    model: Option<String>,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let access = Access::open(context, Projectors::Stopped)?;
    let models = match &args.model {
        Some(model) => vec![model.clone()],
        None => access.model_names()?,
    };
    let mut rows = Vec::new();
    for model in models {
        let found = access.snapshots(&model)?;
        if context.out.json {
            context.out.json(&found)?;
        }
        rows.extend(found.items("snapshots").iter().map(line));
    }
    if !context.out.json {
        let header = ["MODEL", "POSITION", "TAKEN", "VERSION", "ROWS", "BYTES", "USABLE", ""];
        context.out.table(&header, rows)?;
    }
    Ok(Answer::Yes)
}

fn line(snapshot: &Value) -> Vec<String> {
    let names = ["model", "position", "taken_at", "version", "rows", "bytes", "usable", "reason"];
    names.iter().map(|name| cell(at(snapshot, &[name]))).collect()
}
