//! `evenkeel quarantine edit`: an event changed by a JSON Patch, or by what a patch is made of here.
//!
//! Applying it is the engine's.
use super::{
    super::{
        Answer, Context, Done,
        access::{Access, Projectors},
    },
    WordArgs, said,
};
use crate::output::{Failure, Style, at, one_line, paint, text};
use evenkeel::core::{
    json::{self, Object, Patch, Pointer, Value},
    quarantine::EntryVersion,
};
use std::io::Read as _;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The entry, as `ls` names it
    id: String,
    /// A file with a JSON Patch (RFC 6902) of the event as `show` shows it; `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["set", "remove"], required_unless_present_any = ["set", "remove"])]
    patch: Option<String>,
    /// Put a value in a place of the event, such as /data/total=12.50; what is no JSON is text
    #[arg(long, value_name = "POINTER=VALUE")]
    set: Vec<String>,
    /// Take a place out of the event, such as /data/total
    #[arg(long, value_name = "POINTER")]
    remove: Vec<Pointer>,
    /// Send it through the gate at once
    #[arg(long)]
    redrive: bool,
    #[command(flatten)]
    word: WordArgs,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let mut word = args.word.word();
    let given = args.patch.as_deref().map(read).transpose()?;
    let access = Access::open(context, if args.redrive { Projectors::Running } else { Projectors::Stopped })?;
    let patch = match given {
        Some(patch) => patch,
        None => {
            let entry = access.entry(&args.id)?;
            // What is made of the event as it was read is for that and nothing else.
            let version = entry.at(&["version"]).as_i64().and_then(|version| u64::try_from(version).ok());
            word.version = word.version.or(version.map(EntryVersion));
            let shown = if *entry.at(&["edited"]) == Value::Null { "raw" } else { "edited" };
            made_of(text(entry.value(), &[shown]), &args.set, &args.remove)?
        }
    };
    let report = access.edit(&args.id, &patch, args.redrive, &word)?;
    let admissible = *report.at(&["admissible"]) == Value::Bool(true);
    let waits = matches!(text(report.value(), &["state"]), "quarantined" | "held");
    if context.out.json {
        context.out.json(&report)?;
    } else if args.redrive {
        context.out.line(said(report.value()))?;
    } else {
        let verdict = if admissible {
            "the gate would admit it; `quarantine redrive` sends it through".to_owned()
        } else {
            let value = report.value();
            format!(
                "the gate would still refuse it, {}: {}",
                text(value, &["reason"]),
                one_line(text(value, &["detail"]))
            )
        };
        let version = at(report.value(), &["version"]);
        let kept = paint("kept", Style::Bold, context.out.colour());
        context.out.line(format_args!("{}: {kept} as version {version}; {verdict}", args.id))?;
    }
    access.follow(context)?;
    Ok(Answer::yes_if(if args.redrive { !waits } else { admissible }))
}

fn read(file: &str) -> Result<Patch, Failure> {
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().read_to_string(&mut text).map(drop),
        file => std::fs::read_to_string(file).map(|read| text = read),
    };
    read.map_err(|error| Failure::usage(format!("--patch {file}: {error}")))?;
    text.parse().map_err(|error| Failure::usage(format!("--patch {file}: {error}")))
}

/// The patch that puts and takes these of an event.
fn made_of(event: &str, set: &[String], remove: &[Pointer]) -> Result<Patch, Failure> {
    let document = json::parse(event.as_bytes()).unwrap_or_default();
    let operation = |op: &str, path: &Pointer, value: Option<Value>| {
        let mut members = Object::default();
        members.insert("op", op.into());
        members.insert("path", path.to_string().into());
        if let Some(value) = value {
            members.insert("value", value);
        }
        Value::from(members)
    };
    let mut operations = Vec::new();
    for set in set {
        let wrong = |why: String| Failure::usage(format!("--set {set}: {why}"));
        let (path, value) = set.split_once('=').ok_or_else(|| wrong("expected POINTER=VALUE".into()))?;
        let path: Pointer = path.parse().map_err(|error| wrong(format!("{error}")))?;
        let value = json::parse(value.as_bytes()).unwrap_or_else(|_| value.into());
        // Adding to an array would move what is there aside.
        let op = if path.get(&document).is_some() { "replace" } else { "add" };
        operations.push(operation(op, &path, Some(value)));
    }
    operations.extend(remove.iter().map(|path| operation("remove", path, None)));
    Patch::of(operations.into()).map_err(|error| Failure::usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_replaced_and_what_is_not_is_added_with_every_digit() {
        let event = r#"{"data":{"total":1,"items":["a"]}}"#;
        let set = ["/data/total=9007199254740993.01", "/data/code=EUR", "/data/items/0=\"b\"", "/data/note=a=b"];
        let patch = made_of(event, &set.map(String::from), &["/data/items".parse().unwrap()]).unwrap();
        let applied = patch.apply(json::parse(event.as_bytes()).unwrap()).unwrap();
        assert_eq!(applied.to_string(), r#"{"data":{"code":"EUR","note":"a=b","total":9007199254740993.01}}"#);
        for bad in ["total=1", "/data", ""] {
            assert_eq!(made_of(event, &[bad.into()], &[]).unwrap_err().code, 2, "{bad}");
        }
    }
}
