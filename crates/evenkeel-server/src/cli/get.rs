//! `evenkeel get`: one row, and how fresh it is.
//!
//! Many rows are [`super::rows`]' business.
use super::{
    Answer, Context, Done,
    access::{Access, Projectors, ReadArgs},
};
use crate::output::{Document, Failure, Style, at, cell, count, number, one_line, paint, seconds, text};
use evenkeel::core::json::Value;

/// `evenkeel get MODEL KEY…`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model
    model: String,
    /// The key; for a key of several columns one argument each, or one with `/` between them
    #[arg(required = true, value_name = "KEY")]
    key: Vec<String>,
    #[command(flatten)]
    read: ReadArgs,
}

/// Runs the command. Without such a row the answer is "no".
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let access = Access::open(context, Projectors::Stopped)?;
    let model = access.model(&args.model)?;
    let columns = at(&model, &["key"]).as_array().map_or(1, <[_]>::len);
    let answer = access.get(&args.model, &parts(&args.key, columns), &args.read)?;
    let row = answer.at(&["data"]);
    if context.out.json {
        context.out.json(&answer)?;
    } else {
        print(context, &model, row, &answer, args)?;
    }
    Ok(Answer::yes_if(*row != Value::Null))
}

/// The parts of a key: `a/b` stands for two where the key has two columns.
fn parts(key: &[String], columns: usize) -> Vec<String> {
    match key {
        [one] if columns > 1 => {
            let split: Vec<_> = one.split('/').map(ToOwned::to_owned).collect();
            if split.len() == columns { split } else { key.to_vec() }
        }
        _ => key.to_vec(),
    }
}

fn print(context: &Context, model: &Value, row: &Value, answer: &Document, args: &Args) -> Result<(), Failure> {
    let out = &context.out;
    if *row == Value::Null {
        out.line(format_args!("{} has no row {}", args.model, one_line(&args.key.join("/"))))?;
    }
    let columns = column_names(model);
    let width = columns.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    for name in columns.iter().filter(|_| *row != Value::Null) {
        let padded = format!("{name:width$}");
        out.line(format_args!("{}  {}", paint(&padded, Style::Dim, out.colour()), one_line(&cell(at(row, &[name])))))?;
    }
    out.line(format_args!("\n{}", freshness(answer.at(&["consistency"]))))
}

/// The names of a model's columns, in declared order.
pub(super) fn column_names(model: &Value) -> Vec<String> {
    let columns = at(model, &["columns"]).as_array().unwrap_or_default();
    columns.iter().map(|column| text(column, &["name"]).to_owned()).collect()
}

/// The label of a read in words: how far behind it is, and line by line what is withheld from it.
pub(super) fn freshness(label: &Value) -> String {
    let word = |name| text(label, &[name]);
    let verdict = text(label, &["content", "verdict"]);
    let withheld = withheld(label, verdict);
    let lag = match at(label, &["lag_count"]).as_i64() {
        None => "an unknown number of events behind".to_owned(),
        Some(0) if withheld.is_empty() => "nothing missing".to_owned(),
        Some(0) => "no event behind, yet not known to be whole".to_owned(),
        Some(lag) => format!("{lag} events, {} s behind", seconds(number(label, &["lag_seconds"]))),
    };
    let mut said = format!(
        "{} read, {}: {lag}; model {}, rows {verdict}",
        word("level_served"),
        word("freshness"),
        word("status")
    );
    if !word("reason").is_empty() {
        said += &format!("\n{}: {}", word("status"), word("reason"));
    }
    for why in withheld {
        said += &format!("\n{why}");
    }
    let action = word("suggested_action");
    if !matches!(action, "" | "use_data") {
        said += &format!("\nsuggested: {action}");
    }
    said
}

/// What is, or may be, missing from a read or wrong in it although it is not behind.
fn withheld(label: &Value, verdict: &str) -> Vec<String> {
    let mut withheld = Vec::new();
    let mut events = |number, what| match number {
        0 => {}
        1 => withheld.push(format!("1 event of what was read is {what} and not in it")),
        number => withheld.push(format!("{number} events of what was read are {what} and not in it")),
    };
    events(count(label, &["parked_events"]), "parked");
    events(count(label, &["quarantined_events"]), "in quarantine");
    if *at(label, &["quarantined_events"]) == Value::Null {
        withheld.push("unknown how many wait in quarantine".into());
    }
    match verdict {
        "drifted" => withheld.push("the rows differ from what the log makes of them".into()),
        "suspect" => withheld.push("the rows may differ from what the log makes of them".into()),
        _ => {}
    }
    withheld
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(parts: &[&str]) -> Vec<String> {
        parts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn one_argument_is_split_only_where_it_gives_the_whole_key() {
        assert_eq!(parts(&strings(&["a/b"]), 2), strings(&["a", "b"]));
        assert_eq!(parts(&strings(&["a/b"]), 1), strings(&["a/b"]));
        assert_eq!(parts(&strings(&["a/b/c"]), 2), strings(&["a/b/c"]));
        assert_eq!(parts(&strings(&["a/b", "c"]), 2), strings(&["a/b", "c"]));
    }

    #[test]
    fn unknown_lag_is_said_to_be_unknown() {
        let label = Document::parse(r#"{"level_served":"eventual","freshness":"very_stale","lag_count":null,"status":"stalled","reason":"gone","content":{"verdict":"unverified"},"parked_events":1}"#.into()).unwrap();
        let said = freshness(label.value());
        assert!(said.contains("unknown number of events behind") && said.contains("stalled: gone"), "{said}");
        assert!(said.contains("1 event of what was read is parked"), "{said}");
    }

    #[test]
    fn nothing_missing_is_said_only_where_nothing_is_withheld() {
        let said = |parked: u64, quarantined: &str, verdict: &str, action: &str| {
            let label = format!(
                r#"{{"level_served":"strong","freshness":"fresh","lag_count":0,"lag_seconds":0,"status":"in_sync","content":{{"verdict":"{verdict}"}},"parked_events":{parked},"quarantined_events":{quarantined},"suggested_action":"{action}"}}"#
            );
            freshness(Document::parse(label).unwrap().value())
        };
        assert_eq!(
            said(0, "0", "verified", "use_data"),
            "strong read, fresh: nothing missing; model in_sync, rows verified"
        );
        for (parked, quarantined, verdict, why) in [
            (2, "0", "verified", "2 events of what was read are parked"),
            (0, "1", "verified", "1 event of what was read is in quarantine"),
            (0, "null", "verified", "unknown how many wait in quarantine"),
            (0, "0", "drifted", "the rows differ"),
            (0, "0", "suspect", "the rows may differ"),
        ] {
            let said = said(parked, quarantined, verdict, "retry_with_backoff");
            assert!(!said.contains("nothing missing") && said.contains(why), "{said}");
            assert!(said.ends_with("\nsuggested: retry_with_backoff"), "{said}");
        }
    }
}
