//! `evenkeel man`: the manual page, made from the command line's own declaration.
use super::{Answer, Cli, Context, Done};
use crate::output::Failure;
use clap::{Command, CommandFactory};

/// `evenkeel man [COMMAND…]`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The command whose page is wanted, such as `quarantine redrive`
    #[arg(value_name = "COMMAND")]
    words: Vec<String>,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let mut command = Cli::command();
    command.build();
    let mut page: Command = command;
    for word in &args.words {
        let next = page.find_subcommand(word).cloned();
        page = next.ok_or_else(|| Failure::usage(format!("there is no command {:?}", args.words.join(" "))))?;
    }
    let mut text = Vec::new();
    let rendered = clap_mangen::Man::new(page).render(&mut text);
    rendered.map_err(|error| Failure::unreachable(format!("the page cannot be written: {error}")))?;
    context.out.line(String::from_utf8_lossy(&text).trim_end())?;
    Ok(Answer::Yes)
}
