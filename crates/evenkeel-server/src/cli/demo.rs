//! `evenkeel demo`: the whole thing at work, with faults, and a proof at the end.
//!
//! What happens in it is in [`crate::demo`].
use super::{Answer, Context, Done};
use crate::{demo, output::Failure};
use std::time::Duration;

/// `evenkeel demo`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Events sent
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(200..=1_000_000))]
    events: u32,
    /// Over how many seconds they are sent
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// End by itself, instead of serving until Ctrl-C
    #[arg(long)]
    no_serve: bool,
    /// The seed of everything that is random in the events
    #[arg(long, value_name = "N", default_value_t = 7)]
    seed: u64,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    if context.url.is_some() {
        return Err(Failure::usage("demo takes no --url: it runs a node of its own"));
    }
    let converged = demo::run(
        &context.out,
        demo::Options {
            events: args.events as usize,
            over: Duration::from_secs(u64::from(args.seconds)),
            serve: !args.no_serve,
            seed: args.seed,
        },
    )?;
    Ok(Answer::yes_if(converged))
}
