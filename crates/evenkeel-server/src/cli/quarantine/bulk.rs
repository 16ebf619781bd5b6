//! `evenkeel quarantine redrive|discard --all`: a decision about every entry that a filter names.
//!
//! What becomes of each is the engine's.
use super::{
    super::{
        Answer, Context, Done,
        access::{Access, Projectors, Verb},
    },
    DecideArgs,
};
use crate::output::{at, count, one_line, text};
use std::collections::BTreeMap;

/// Runs the command, page by page, a line for each entry.
pub(super) fn run(context: &Context, args: &DecideArgs, verb: Verb) -> Done {
    let decision = args.word.word().decision;
    let access = Access::open(context, if args.dry_run { Projectors::Stopped } else { Projectors::Running })?;
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let page = access.decide_all(&args.filter, verb, &decision, args.dry_run, after.as_deref())?;
        if context.out.json {
            context.out.json(&page)?;
        }
        for entry in page.items("entries") {
            let outcome = text(entry, &["outcome"]);
            *outcomes.entry(outcome.to_owned()).or_default() += 1;
            if context.out.json {
                continue;
            }
            let mut line = format!("{}: {outcome}", text(entry, &["id"]));
            for part in [text(entry, &["reason"]), text(entry, &["detail"])] {
                if !part.is_empty() {
                    line += &format!(", {}", one_line(part));
                }
            }
            if let Some(position) = at(entry, &["position"]).as_i64() {
                line += &format!(" at position {position}");
            }
            match count(entry, &["released"]) {
                0 => {}
                released => line += &format!("; {released} behind it went on"),
            }
            context.out.line(line)?;
        }
        after = Some(text(page.value(), &["next"]).to_owned()).filter(|next| !next.is_empty());
        if after.is_none() {
            break;
        }
    }
    let said: Vec<_> = outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    context.out.note(if said.is_empty() { "no entry is meant".to_owned() } else { said.join(", ") });
    access.follow(context)?;
    let no = ["refused", "changed", "would_refuse"];
    Ok(Answer::yes_if(!no.iter().any(|outcome| outcomes.contains_key(*outcome))))
}
