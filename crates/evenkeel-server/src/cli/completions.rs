//! `evenkeel completions`: a completion script for a shell.
use super::{Answer, Cli, Context, Done};
use clap::CommandFactory;
use clap_complete::Shell;

/// `evenkeel completions SHELL`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "evenkeel", &mut script);
    context.out.line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Answer::Yes)
}
