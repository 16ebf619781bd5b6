//! `evenkeel conflicts`: writes that did not know each other, which of them stands, and why.
use super::{
    Answer, Context, Done,
    access::{Access, Projectors},
};
use crate::client::encode;
use crate::output::{Document, Failure, at, cell, count, one_line, text};
use evenkeel::{conflicts::Wanted, core::json::Value};

/// `evenkeel conflicts [MODEL] [KEY]`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only of this model
    model: Option<String>,
    /// Only of this row, the parts of its key with `/` between
    key: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Those before this: where an earlier answer says that there are more
    #[arg(long)]
    cursor: Option<String>,
    /// Decide each again from its record
    #[arg(long)]
    replay: bool,
    /// Show this one, decided again
    #[arg(long, value_name = "ID", conflicts_with_all = ["model", "key", "limit", "cursor", "replay"])]
    id: Option<String>,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let access = Access::open(context, Projectors::Stopped)?;
    if let Some(id) = &args.id {
        return show(context, &access, id);
    }
    let found = list(&access, args)?;
    let conflicts = found.items("conflicts");
    let differing = conflicts.iter().filter(|conflict| differs(conflict)).count();
    if context.out.json {
        context.out.json(&found)?;
        return Ok(Answer::yes_if(differing == 0));
    }
    if conflicts.is_empty() {
        context.out.line("no writes have met that did not know each other")?;
        return Ok(Answer::Yes);
    }
    let line = |conflict: &Value| {
        let write = |side: &str| format!("{} by {}", cell(at(conflict, &[side, "value"])), dot(at(conflict, &[side])));
        let of = |name: &str| one_line(text(conflict, &[name]));
        let replayed = if differs(conflict) { "DIFFERS" } else { "" };
        vec![
            of("recorded_time"),
            of("model"),
            of("key"),
            of("column"),
            one_line(&write("winner")),
            one_line(&write("loser")),
            format!("{}, {}", of("relation"), of("rule")),
            of("id"),
            replayed.into(),
        ]
    };
    let header = ["RECORDED", "MODEL", "KEY", "COLUMN", "STANDS", "DOES NOT", "WHY", "ID", ""];
    context.out.table(&header, conflicts.iter().map(line))?;
    if let Some(next) = found.at(&["next"]).as_str() {
        context.out.note(format_args!("there are more: --cursor {next}"));
    }
    match (args.replay, differing) {
        (false, _) => {}
        (true, 0) => context.out.line(format_args!("decided again: the same in all {}", conflicts.len()))?,
        (true, some) => context.out.line(format_args!("decided again: {some} of {} differ", conflicts.len()))?,
    }
    Ok(Answer::yes_if(differing == 0))
}

fn list(access: &Access, args: &Args) -> Result<Document, Failure> {
    let (model, key, cursor) = (args.model.as_deref(), args.key.as_deref(), args.cursor.as_deref());
    let (limit, replay) = (usize::from(args.limit), args.replay);
    match access {
        Access::Server(client) => {
            let mut query = vec![("limit", limit.to_string())];
            for (name, value) in [("model", model), ("key", key), ("cursor", cursor)] {
                query.extend(value.map(|value| (name, value.to_owned())));
            }
            query.extend(replay.then(|| ("replay", "true".to_owned())));
            client.get("/v1/conflicts", &query)
        }
        Access::Direct(direct) => {
            Document::of(&direct.node.engine.conflicts(Wanted { model, key, cursor, limit, replay })?)
        }
    }
}

/// One of them, with all that is recorded.
fn show(context: &Context, access: &Access, id: &str) -> Done {
    let found = match access {
        Access::Server(client) => client.get(&format!("/v1/conflicts/{}", encode(id)), &[])?,
        Access::Direct(direct) => {
            let decisions = direct.node.engine.conflict(id)?;
            if decisions.is_empty() {
                return Err(Failure::usage(format!("no conflict is named {id:?}")));
            }
            Document::of(&serde_json::json!({ "decisions": serde_json::to_value(&decisions).unwrap_or_default() }))?
        }
    };
    let decisions = found.items("decisions");
    let same = !decisions.iter().any(differs);
    if context.out.json {
        context.out.json(&found)?;
        return Ok(Answer::yes_if(same));
    }
    for decision in decisions {
        let of = |name: &str| one_line(text(decision, &[name]));
        context.out.line(format_args!(
            "{}  {} of {} {}, decided by version {} of the model",
            of("id"),
            of("column"),
            of("model"),
            of("key"),
            count(decision, &["model_version"])
        ))?;
        for (side, what) in [("winner", "stands"), ("loser", "does not")] {
            let write = at(decision, &[side]);
            let (value, hlc) = (cell(at(write, &["value"])), text(write, &["hlc"]));
            let position = count(write, &["position"]);
            let line = format!("{what:>9}: {value} by {} at {hlc}, position {position}", dot(write));
            context.out.line(one_line(&line))?;
        }
        let again = if differs(decision) { "decided again: it DIFFERS" } else { "decided again: the same" };
        context.out.line(format_args!(
            "      why: {} ({}), {} merge; {again}",
            of("rule"),
            of("relation"),
            of("strategy")
        ))?;
    }
    Ok(Answer::yes_if(same))
}

fn differs(conflict: &Value) -> bool {
    *at(conflict, &["replayed"]) == Value::Bool(false)
}

/// The mark of a write.
fn dot(write: &Value) -> String {
    let named = |name| text(write, &["dot", name]);
    let by = if named("source").is_empty() { named("replica") } else { named("source") };
    format!("{by}:{}", count(write, &["dot", "seq"]))
}
