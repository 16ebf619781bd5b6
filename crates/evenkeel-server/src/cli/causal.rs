//! `evenkeel causal`: what waits for other events, and declaring that events will not come.
use super::{
    Answer, Context, Done,
    access::{Access, Projectors},
};
use crate::output::{Document, at, cell, count, one_line, text, thousands};
use evenkeel::core::{json::Value, quarantine::Decision};
use serde::Serialize;

/// `evenkeel causal`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List what waits, for what and since when, and how far each source is
    Ls {
        /// At most so many events
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        limit: u16,
    },
    /// Declare that events of a source will not come, so that nothing waits for them any more
    ///
    /// One that comes all the same is taken, and marked as an exception. The answer is "no" (1) where there was nothing to
    /// declare: they were passed before.
    Skip(SkipArgs),
    /// Retire a source: nothing waits for an event after its last one any more
    ///
    /// The project must not declare it any more, so that what it sends all the same is in quarantine: under the old name its
    /// counters would repeat. The answer is "no" (1) where it was retired before.
    Retire(RetireArgs),
}

#[derive(Debug, clap::Args)]
struct RetireArgs {
    /// The CloudEvents source
    source: String,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, clap::Args)]
struct Who {
    /// Who decides [default: the user's name]
    #[arg(long)]
    author: Option<String>,
    /// Why
    #[arg(long, default_value = "")]
    note: String,
}

impl Who {
    fn decision(&self) -> Decision {
        Decision { author: self.author.clone().unwrap_or_else(super::quarantine::user), note: self.note.clone() }
    }
}

#[derive(Debug, clap::Args)]
struct SkipArgs {
    /// The CloudEvents source that counts them
    source: String,
    /// The number of the event, or of the first of several
    seq: u64,
    /// The number of the last of several
    #[arg(long, value_name = "SEQ")]
    through: Option<u64>,
    #[command(flatten)]
    who: Who,
}

/// A declaration in the shape it has over HTTP.
#[derive(Serialize)]
struct Skip<'a> {
    source: &'a str,
    seq: u64,
    through: u64,
    author: &'a str,
    note: &'a str,
}

/// The same of a source that is retired.
#[derive(Serialize)]
struct Retire<'a> {
    source: &'a str,
    author: &'a str,
    note: &'a str,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    match &args.command {
        Command::Ls { limit } => ls(context, usize::from(*limit)),
        Command::Skip(args) => skip(context, args),
        Command::Retire(args) => retire(context, args),
    }
}

fn ls(context: &Context, limit: usize) -> Done {
    let report = match Access::open(context, Projectors::Stopped)? {
        Access::Server(client) => client.get("/v1/causal", &[("limit", limit.to_string())])?,
        Access::Direct(direct) => Document::of(&direct.node.engine.causal(limit)?)?,
    };
    if context.out.json {
        context.out.json(&report)?;
        return Ok(Answer::Yes);
    }
    let dot = |dot: &Value| format!("{} of {}", count(dot, &["seq"]), one_line(text(dot, &["source"])));
    let line = |event: &Value| {
        let waits = at(event, &["waiting_for"]).as_array().unwrap_or_default().iter().map(dot).collect::<Vec<_>>();
        let of = |name: &str| one_line(text(event, &[name]));
        vec![dot(event), of("id"), of("type"), of("subject"), of("since"), of("until"), waits.join(", ")]
    };
    let waiting = report.items("waiting");
    if waiting.is_empty() {
        context.out.line("no event waits for another")?;
    } else {
        let header = ["EVENT", "ID", "TYPE", "SUBJECT", "SINCE", "UNTIL", "WAITS FOR"];
        context.out.table(&header, waiting.iter().map(line))?;
    }
    if *report.at(&["more"]) == Value::Bool(true) {
        context.out.note(format_args!("there are more: --limit takes up to {}", thousands(10_000)));
    }
    let source = |source: &Value| {
        vec![one_line(text(source, &["source"])), cell(at(source, &["passed"])), cell(at(source, &["holes"]))]
    };
    let sources = report.items("sources");
    if !sources.is_empty() {
        context.out.table(&["SOURCE", "PASSED", "HOLES AFTER"], sources.iter().map(source))?;
    }
    Ok(Answer::Yes)
}

fn skip(context: &Context, args: &SkipArgs) -> Done {
    let (source, decision) = (args.source.as_str(), args.who.decision());
    let span @ (seq, through) = (args.seq, args.through.unwrap_or(args.seq));
    let report = match Access::open(context, Projectors::Stopped)? {
        Access::Server(client) => {
            let (author, note) = (decision.author.as_str(), decision.note.as_str());
            client.post("/v1/causal/skip", &Skip { source, seq, through, author, note })?
        }
        Access::Direct(direct) => Document::of(&direct.node.engine.skip(source, span, &decision)?)?,
    };
    say(context, &report, "nothing was declared: these events were passed before")
}

fn retire(context: &Context, args: &RetireArgs) -> Done {
    let (source, decision) = (args.source.as_str(), args.who.decision());
    let report = match Access::open(context, Projectors::Stopped)? {
        Access::Server(client) => {
            let (author, note) = (decision.author.as_str(), decision.note.as_str());
            client.post("/v1/causal/retire", &Retire { source, author, note })?
        }
        Access::Direct(direct) => Document::of(&direct.node.engine.retire(source, &decision)?)?,
    };
    say(context, &report, "nothing was declared: it was retired before")
}

/// Says what came of a declaration.
fn say(context: &Context, report: &Document, nothing: &str) -> Done {
    let declared = *report.at(&["declared"]) == Value::Bool(true);
    if context.out.json {
        context.out.json(report)?;
        return Ok(Answer::yes_if(declared));
    }
    let released = thousands(count(report.value(), &["released"]));
    match declared {
        true => {
            context.out.line(format_args!("declared; events that had waited and are in the log now: {released}"))?
        }
        false => context.out.line(nothing)?,
    }
    Ok(Answer::yes_if(declared))
}
