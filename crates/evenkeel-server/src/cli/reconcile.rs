//! `evenkeel reconcile`: a model brought back to the log.
//!
//! What was done before is listed by [`super::reconciliations`].
use super::{
    Answer, Context, Done,
    access::{Access, Projectors},
    progress::watched,
};
use crate::output::{Failure, at, count, text, thousands};
use evenkeel::core::{json::Value, reconciliation};

/// `evenkeel reconcile MODEL`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model
    model: String,
    /// How; `auto` takes what its drift calls for
    #[arg(long, value_enum, default_value_t = Method::Auto)]
    method: Method,
    /// Rebuild from the log alone, whatever snapshots there are; only with `--method rebuild`
    #[arg(long)]
    from_start: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Method {
    /// What the model's drift calls for
    Auto,
    /// Apply the events it lacks
    Replay,
    /// Write exactly the rows that are wrong, and look at them again
    Repair,
    /// Fold everything anew beside the live table, compare, and swap
    Rebuild,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    if args.from_start && !matches!(args.method, Method::Rebuild) {
        return Err(Failure::usage("--from-start is for --method rebuild"));
    }
    let access = Access::open(context, Projectors::Stopped)?;
    access.model(&args.model)?;
    let method = match args.method {
        Method::Auto => None,
        Method::Replay => Some(reconciliation::Method::Replay),
        Method::Repair => Some(reconciliation::Method::Repair),
        Method::Rebuild => Some(reconciliation::Method::Rebuild),
    };
    let record = watched(context, &access, &args.model, || access.reconcile(&args.model, method, args.from_start))?;
    if context.out.json {
        context.out.json(&record)?;
    } else {
        context.out.line(said(record.value()))?;
        if count(record.value(), &["rows_repaired"]) > 0 {
            let id = count(record.value(), &["id"]);
            context.out.note(format_args!("`evenkeel reconciliations --id {id}` shows the rows as they were found"));
        }
    }
    Ok(Answer::yes_if(text(record.value(), &["result"]) != "failed"))
}

/// A record in words.
pub(super) fn said(record: &Value) -> String {
    let word = |name| text(record, &[name]);
    let repaired = match count(record, &["rows_repaired"]) {
        0 => String::new(),
        1 => "1 row repaired, ".to_owned(),
        rows => format!("{} rows repaired, ", thousands(rows)),
    };
    let from = match count(record, &["rebuilt_from"]) {
        0 => String::new(),
        position => format!(" from the snapshot at position {}", thousands(position)),
    };
    let mut said = format!(
        "{}: {}{from} {}; {repaired}{} events in {} ms, {}",
        word("model"),
        word("reconciliation_method"),
        word("result"),
        thousands(count(record, &["events_replayed"])),
        count(record, &["duration_ms"]),
        if *at(record, &["verified"]) == Value::Bool(true) {
            "rows compared with the log and equal"
        } else {
            "not verified"
        },
    );
    if !word("error").is_empty() {
        said += &format!("\n  {}", word("error"));
    }
    for event in at(record, &["unreplayed"]).as_array().unwrap_or_default() {
        said += &format!("\n  not applied: position {}, {}", count(event, &["position"]), text(event, &["error"]));
    }
    said
}
