//! `evenkeel contract infer`: contracts proposed from raw events, of a file or of the quarantine.
//!
//! What is proposed is the contract crate's to say.
use super::super::{
    Answer, Context, Done,
    access::{Access, Entries, Filter, Projectors, Rest},
    check::plural,
};
use crate::output::{Document, Failure, Style, paint, text};
use evenkeel::{
    contract::{
        envelope,
        infer::{self, Proposal},
    },
    core::{json::Value, quarantine::State},
    project,
};
use serde::Serialize;
use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// How many entries of the quarantine are fetched at a time; each holds its event.
const PAGE: usize = 100;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The events; `-` for stdin
    #[arg(value_name = "FILE", required_unless_present = "quarantine")]
    file: Option<PathBuf>,
    /// From what waits in quarantine, each event as it is edited
    #[arg(long, conflicts_with = "file")]
    quarantine: bool,
    /// Only events of this CloudEvents type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Write the files into the project folder; none that is there is overwritten
    #[arg(long)]
    write: bool,
    /// Of the quarantine: only entries under the contract of this name
    #[arg(long, value_name = "CONTRACT")]
    contract: Option<String>,
    #[command(flatten)]
    rest: Rest,
    /// Of the quarantine: only entries in this state; without it those that wait (quarantined and held)
    #[arg(long)]
    state: Option<State>,
    /// Of the quarantine: at most so many entries
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

pub(super) fn run(context: &Context, args: &Args) -> Done {
    let filter = Filter::new(args.contract.clone(), args.rest.clone());
    let mut proposals = match &args.file {
        Some(_) if !filter.is_everything() || args.state.is_some() => {
            return Err(Failure::usage("a filter goes with --quarantine, and not with a file"));
        }
        Some(file) => from_file(file)?,
        None => from_quarantine(context, args, &filter)?,
    };
    proposals.retain(|proposal| args.event_type.as_ref().is_none_or(|wanted| *wanted == proposal.event_type));
    if args.write {
        write(context, &proposals)?;
    }
    for proposal in &proposals {
        show(context, proposal, args.write)?;
    }
    hint(context, &proposals);
    Ok(Answer::yes_if(!proposals.is_empty()))
}

fn from_file(file: &Path) -> Result<Vec<Proposal>, Failure> {
    let unreadable = |error: io::Error| Failure::usage(format!("{}: {error}", file.display()));
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        io::stdin().lock().read_to_end(&mut bytes).map_err(unreadable)?;
    } else {
        bytes = fs::read(file).map_err(unreadable)?;
    }
    infer::propose(bytes.split(|&byte| byte == b'\n')).map_err(|bad| {
        Failure::usage(format!("{}, {bad}", file.display())).help("every line is a whole CloudEvent in the JSON format")
    })
}

fn from_quarantine(context: &Context, args: &Args, filter: &Filter) -> Result<Vec<Proposal>, Failure> {
    let access = Access::open(context, Projectors::Stopped)?;
    let waiting = [State::Quarantined, State::Held];
    let states = args.state.as_ref().map_or(&waiting[..], std::slice::from_ref);
    let most = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let (mut events, mut unreadable, mut seen) = (Vec::new(), 0, 0);
    for state in states {
        let mut after = None;
        while seen < most {
            let limit = PAGE.min(most - seen);
            let filter = filter.clone();
            let page = access.entries(&Entries { filter, state: Some(*state), limit, after, whole: true })?;
            // What a model parked is in the log, and no raw event.
            for entry in page.items("entries").iter().filter(|entry| text(entry, &["id"]).starts_with("q-")) {
                seen += 1;
                match as_it_is_edited(entry) {
                    event if envelope::read(event.as_bytes()).is_ok() => events.push(event.to_owned()),
                    _ => unreadable += 1,
                }
            }
            after = Some(text(page.value(), &["next"]).to_owned()).filter(|next| !next.is_empty());
            if after.is_none() {
                break;
            }
        }
    }
    if unreadable > 0 {
        context.out.note(format_args!("note: {} cannot be read and left out", plural(unreadable, "event")));
    }
    if seen == most {
        context.out.note(format_args!("note: there may be more than {most}; --limit takes more of them"));
    }
    infer::propose(events.iter().map(String::as_bytes)).map_err(|bad| Failure::unreachable(bad.to_string()))
}

/// The event of an entry, with what persons have changed about it.
fn as_it_is_edited(entry: &Value) -> &str {
    Some(text(entry, &["edited"])).filter(|edited| !edited.is_empty()).unwrap_or_else(|| text(entry, &["raw"]))
}

/// Prints a proposal, or where it was written to.
fn show(context: &Context, proposal: &Proposal, written: bool) -> Result<(), Failure> {
    let Proposal { contract, source, event_type, events, toml, schema, example } = proposal;
    if context.out.json {
        let files = [toml, schema, example].map(|(path, text)| Text { path, text }).into();
        let report = Proposed { contract, source, r#type: event_type, events: *events, files };
        return context.out.json(&Document::of(&report)?);
    }
    if written {
        return context.out.line(format_args!("{} from {}", toml.0, plural(*events, "event")));
    }
    for (path, text) in [toml, schema, example] {
        context.out.line(paint(&format!("# {path}"), Style::Bold, context.out.colour()))?;
        context.out.line(text)?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Proposed<'r> {
    contract: &'r str,
    source: &'r str,
    r#type: &'r str,
    events: usize,
    files: Vec<Text<'r>>,
}

#[derive(Serialize)]
struct Text<'r> {
    path: &'r str,
    text: &'r str,
}

/// Writes every file, or none where one is there already.
fn write(context: &Context, proposals: &[Proposal]) -> Result<(), Failure> {
    let files = || proposals.iter().flat_map(|proposal| [&proposal.toml, &proposal.schema, &proposal.example]);
    for (path, _) in files() {
        if context.dir.join(path).exists() {
            return Err(Failure::usage(format!("{path} is there already, and nothing was written")));
        }
    }
    for (path, text) in files() {
        let path = context.dir.join(path);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
        written.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

/// Which sources the project must declare before their contracts mean anything.
fn hint(context: &Context, proposals: &[Proposal]) {
    let Ok((project, _)) = project::load(&context.dir) else { return };
    let mut sources: Vec<_> = proposals.iter().map(|proposal| proposal.source.as_str()).collect();
    sources.dedup();
    for source in sources.into_iter().filter(|source| project.gate.source(source).is_none()) {
        context.out.note(format_args!("evenkeel.toml declares no source that sends as {source:?}: add a [[source]]"));
    }
}
