//! `evenkeel snapshot`: a snapshot of a model taken, for rebuilds to begin from.
use super::{
    Answer, Context, Done,
    access::{Access, Projectors},
};
use crate::output::{count, text, thousands};

/// `evenkeel snapshot MODEL`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model
    model: String,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let access = Access::open(context, Projectors::Stopped)?;
    access.model(&args.model)?;
    let taken = access.take_snapshot(&args.model)?;
    if context.out.json {
        context.out.json(&taken)?;
        return Ok(Answer::Yes);
    }
    let snapshot = taken.value();
    context.out.line(format_args!(
        "{}: a snapshot at position {} is kept, {} rows in {} bytes",
        text(snapshot, &["model"]),
        thousands(count(snapshot, &["position"])),
        thousands(count(snapshot, &["rows"])),
        thousands(count(snapshot, &["bytes"])),
    ))?;
    Ok(Answer::Yes)
}
