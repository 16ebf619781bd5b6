//! `evenkeel rollback`: a rebuild taken back.
use super::{
    Answer, Context, Done,
    access::{Access, Projectors},
};
use crate::output::{count, text, thousands};

/// `evenkeel rollback MODEL`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model
    model: String,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let access = Access::open(context, Projectors::Stopped)?;
    access.model(&args.model)?;
    let report = access.rollback(&args.model)?;
    if context.out.json {
        context.out.json(&report)?;
        return Ok(Answer::Yes);
    }
    let model = report.value();
    let (served, declared) = (count(model, &["served_version"]), count(model, &["version"]));
    context.out.line(format_args!(
        "{}: the table from before the last rebuild is in place, version {served}, {} rows",
        text(model, &["model"]),
        thousands(count(model, &["rows"])),
    ))?;
    if served != declared {
        context.out.note(format_args!(
            "version {declared} is declared: no event is applied until `evenkeel reconcile {}`, or until version \
             {served} is declared again",
            args.model
        ));
    }
    Ok(Answer::Yes)
}
