//! `evenkeel quarantine`: what waits, why, and a person's decision about it.
//!
//! What follows from a decision is the engine's; changing an event is in [`edit`], many entries at once in [`bulk`].
mod bulk;
mod edit;

use super::{
    Answer, Context, Done,
    access::{Access, Entries, Filter, Projectors, Verb},
};
use crate::output::{Document, Failure, Style, at, cell, count, one_line, paint, text};
use evenkeel::{
    core::{
        json::Value,
        quarantine::{Decision, EntryVersion, State},
    },
    quarantine::Word,
};

/// `evenkeel quarantine ls|show|edit|redrive|discard`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List what waits
    Ls(LsArgs),
    /// Show one entry whole, with the raw event
    Show {
        /// The entry, as `ls` names it
        id: String,
    },
    /// Change the event of an entry; the original is kept beside what was changed
    Edit(edit::Args),
    /// Send entries through again, each with what waits behind it
    Redrive(DecideArgs),
    /// Give entries up, and release what waits behind each
    Discard(DecideArgs),
}

#[derive(Debug, clap::Args)]
struct LsArgs {
    #[command(flatten)]
    filter: Filter,
    /// Only entries in this state; without it those that wait (quarantined and held)
    #[arg(long)]
    state: Option<State>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

#[derive(Debug, clap::Args)]
struct DecideArgs {
    /// The entries, as `ls` names them
    #[arg(required_unless_present = "all", value_name = "ID")]
    ids: Vec<String>,
    /// All entries that wait for a person and that the filter names, in order of arrival: of the gate, or of the model that
    /// --model names
    #[arg(long, conflicts_with_all = ["ids", "if_version"])]
    all: bool,
    /// Only say what would become of each
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    word: WordArgs,
}

/// Who decides, why, and what about.
#[derive(Debug, clap::Args)]
struct WordArgs {
    /// Who decides [default: the user's name]
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    author: Option<String>,
    /// Why
    #[arg(long, default_value = "")]
    note: String,
    /// Only if the entry is still of this version, as `show` tells it
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
}

impl WordArgs {
    fn word(&self) -> Word {
        let decision = Decision { author: self.author.clone().unwrap_or_else(user), note: self.note.clone() };
        Word { decision, version: self.if_version.map(EntryVersion) }
    }
}

/// The user's name, who decides where nobody else is named.
pub(super) fn user() -> String {
    let mut named = ["USER", "LOGNAME", "USERNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    named.find(|name| !name.trim().is_empty()).unwrap_or_else(|| "unknown".into())
}

/// How much of a reason in words a list shows, in characters.
const DETAIL: usize = 70;

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    match &args.command {
        Command::Ls(args) => ls(context, args),
        Command::Show { id } => show(context, id),
        Command::Edit(args) => edit::run(context, args),
        Command::Redrive(args) => decide(context, args, Verb::Redrive),
        Command::Discard(args) => decide(context, args, Verb::Discard),
    }
}

fn ls(context: &Context, args: &LsArgs) -> Done {
    let access = Access::open(context, Projectors::Stopped)?;
    let (filter, limit) = (&args.filter, usize::from(args.limit));
    let wanted = |state| Entries { filter: filter.clone(), state: Some(state), limit, ..Entries::default() };
    let found = match args.state {
        Some(state) => access.entries(&wanted(state))?,
        None => {
            let both = [access.entries(&wanted(State::Quarantined))?, access.entries(&wanted(State::Held))?];
            let mut entries: Vec<&Value> = both.iter().flat_map(|document| document.items("entries")).collect();
            entries.sort_by_key(|entry| text(entry, &["received_at"]));
            entries.truncate(usize::from(args.limit));
            let entries: Vec<String> = entries.iter().map(ToString::to_string).collect();
            Document::parse(format!("{{\"entries\":[{}],\"next\":null}}", entries.join(",")))?
        }
    };
    if context.out.json {
        context.out.json(&found)?;
        return Ok(Answer::Yes);
    }
    let line = |entry: &Value| {
        let shown = |name| cell(at(entry, &[name]));
        let about = if text(entry, &["model"]).is_empty() {
            shown("subject")
        } else {
            format!("{} {}", text(entry, &["model"]), text(entry, &["key"]))
        };
        let source = format!("{} {}", text(entry, &["source"]), text(entry, &["raw_id"]));
        vec![
            shown("id"),
            shown("state"),
            shown("reason"),
            source,
            about,
            shown("received_at"),
            short(text(entry, &["detail"])),
        ]
    };
    let header = ["ID", "STATE", "REASON", "EVENT", "ABOUT", "SINCE", "WHY"];
    context.out.table(&header, found.items("entries").iter().map(line))?;
    if found.items("entries").len() >= usize::from(args.limit) {
        context.out.note("note: there may be more; --limit shows more of them");
    }
    Ok(Answer::Yes)
}

fn short(detail: &str) -> String {
    match detail.char_indices().nth(DETAIL) {
        Some((end, _)) => format!("{}…", &detail[..end]),
        None => detail.to_owned(),
    }
}

fn show(context: &Context, id: &str) -> Done {
    let entry = Access::open(context, Projectors::Stopped)?.entry(id)?;
    if context.out.json {
        context.out.json(&entry)?;
        return Ok(Answer::Yes);
    }
    let out = &context.out;
    let names = [
        "id",
        "state",
        "reason",
        "detail",
        "pointer",
        "source",
        "raw_id",
        "event_id",
        "contract",
        "contract_version",
        "subject",
        "model",
        "key",
        "position",
        "received_at",
        "changed_at",
        "version",
        "held_behind",
        "author",
        "note",
    ];
    for name in names.into_iter().filter(|name| *entry.at(&[name]) != Value::Null) {
        out.line(format_args!(
            "{}  {}",
            paint(&format!("{name:16}"), Style::Dim, out.colour()),
            one_line(&cell(entry.at(&[name])))
        ))?;
    }
    for edit in entry.items("edits") {
        let by = format!("{} by {}", text(edit, &["at"]), one_line(text(edit, &["author"])));
        let note = Some(one_line(text(edit, &["note"]))).filter(|note| !note.is_empty());
        let why = note.map_or_else(String::new, |note| format!(" ({note})"));
        out.line(format_args!(
            "{}  {by}{why}: {}",
            paint("edited          ", Style::Dim, out.colour()),
            at(edit, &["patch"])
        ))?;
    }
    out.line(format_args!("\n{}", one_line(&cell(entry.at(&["raw"])))))?;
    if *entry.at(&["edited"]) != Value::Null {
        out.line(format_args!(
            "\n{}\n{}",
            paint("as it is edited:", Style::Dim, out.colour()),
            one_line(&cell(entry.at(&["edited"])))
        ))?;
    }
    Ok(Answer::Yes)
}

/// Decides about each entry; one that cannot be decided about does not keep the others from it.
fn decide(context: &Context, args: &DecideArgs, verb: Verb) -> Done {
    if args.all {
        return bulk::run(context, args, verb);
    }
    // Clap waives what is required of an argument that conflicts with one that is there.
    if args.dry_run || !args.filter.is_everything() {
        return Err(Failure::usage("a filter and --dry-run go with --all, and not with ids"));
    }
    let word = args.word.word();
    if word.version.is_some() && args.ids.len() > 1 {
        return Err(Failure::usage("--if-version is of one entry, and several are named"));
    }
    let access = Access::open(context, Projectors::Running)?;
    let mut refused = false;
    let (mut last, mut worst_code): (Option<Failure>, u8) = (None, 0);
    for id in &args.ids {
        match access.decide(id, verb, &word) {
            Ok(report) => {
                refused |= matches!(text(report.value(), &["state"]), "quarantined" | "held");
                if context.out.json {
                    context.out.json(&report)?;
                } else {
                    context.out.line(said(report.value()))?;
                }
            }
            Err(failure) => {
                if let Some(earlier) = last.take() {
                    context.out.failure(&earlier);
                }
                let what = format!("{id}: {}", failure.what);
                // The command is well formed: of an entry that is not there the answer is "no".
                let code = if failure.code == 2 { 1 } else { failure.code };
                worst_code = worst_code.max(code);
                last = Some(Failure { what, ..failure });
            }
        }
    }
    let followed = access.follow(context);
    match last {
        Some(failure) => {
            if let Err(also) = followed {
                context.out.failure(&also);
            }
            Err(Failure { code: worst_code, ..failure })
        }
        None => followed.map(|()| Answer::yes_if(!refused)),
    }
}

/// What a decision came to, in words.
fn said(report: &Value) -> String {
    let mut said = format!("{}: {}", text(report, &["id"]), text(report, &["state"]));
    if let Some(position) = at(report, &["position"]).as_i64() {
        said += &format!(" at position {position}");
    }
    if !text(report, &["reason"]).is_empty() {
        said += &format!(" again, {}: {}", text(report, &["reason"]), one_line(text(report, &["detail"])));
    }
    match count(report, &["released"]) {
        0 => {}
        1 => said += "; 1 event behind it went on",
        released => said += &format!("; {released} events behind it went on"),
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(short("ä"), "ä");
        let long = "ä".repeat(DETAIL + 1);
        assert_eq!(short(&long).chars().count(), DETAIL + 1);
    }
}
