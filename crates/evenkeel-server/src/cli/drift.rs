//! `evenkeel drift`: how far each model, and each consumer of the user's own, is from the log, and why.
use super::{
    Answer, Context, Done,
    access::{Access, Projectors},
};
use crate::output::{at, cell, number, seconds, text};
use evenkeel::core::json::Value;

/// `evenkeel drift [MODEL]`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this model
    model: Option<String>,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let access = Access::open(context, Projectors::Stopped)?;
    if let Some(model) = &args.model {
        access.model(model)?;
    }
    let report = access.drift(args.model.as_deref())?;
    let wanted = |model: &&Value| args.model.as_deref().is_none_or(|name| text(model, &["model"]) == name);
    let models: Vec<&Value> = report.items("models").iter().filter(wanted).collect();
    if context.out.json {
        context.out.json(&report)?;
    } else {
        let header = ["MODEL", "STATUS", "LAG", "LAG S", "BOUND S", "CONTENT", "FOUND S", "PARKED", "QUARANTINED"];
        context.out.table(&header, models.iter().map(|model| line(model)))?;
        let consumers = report.items("consumers");
        if !consumers.is_empty() {
            context.out.line("")?;
            let header = ["CONSUMER", "STATUS", "LAG", "LAG S", "BOUND S", "POSITION", "REPORTED"];
            context.out.table(&header, consumers.iter().map(consumer))?;
        }
        let mut first = true;
        for consumer in consumers.iter().filter(|consumer| !text(consumer, &["reason"]).is_empty()) {
            if std::mem::take(&mut first) {
                context.out.line("")?;
            }
            context.out.line(format_args!("{}: {}", text(consumer, &["consumer"]), text(consumer, &["reason"])))?;
        }
        for model in models.iter().filter(|model| !text(model, &["reason"]).is_empty()) {
            if std::mem::take(&mut first) {
                context.out.line("")?;
            }
            context.out.line(format_args!("{}: {}", text(model, &["model"]), text(model, &["reason"])))?;
        }
        if !access.is_served() {
            context.out.note(format_args!(
                "note: no server runs over {}; this is the state it would start from",
                access.place()
            ));
        }
    }
    Ok(Answer::yes_if(models.iter().all(|model| is_well(model, access.is_served()))))
}

fn line(model: &Value) -> Vec<String> {
    vec![
        text(model, &["model"]).to_owned(),
        text(model, &["status"]).to_owned(),
        cell(at(model, &["lag_count"])),
        seconds(number(model, &["lag_seconds"])),
        seconds(number(model, &["staleness_bound_seconds"])),
        text(model, &["content", "verdict"]).to_owned(),
        // Within so long whatever somebody else does to the rows is found.
        seconds(number(model, &["detection_bound_seconds"])),
        cell(at(model, &["parked_events"])),
        cell(at(model, &["quarantined_events"])),
    ]
}

fn consumer(consumer: &Value) -> Vec<String> {
    vec![
        text(consumer, &["consumer"]).to_owned(),
        text(consumer, &["status"]).to_owned(),
        cell(at(consumer, &["lag_count"])),
        seconds(number(consumer, &["lag_seconds"])),
        seconds(number(consumer, &["staleness_bound_seconds"])),
        cell(at(consumer, &["position"])),
        cell(at(consumer, &["reported_at"])),
    ]
}

fn is_well(model: &Value, served: bool) -> bool {
    let current = at(model, &["lag_count"]).as_i64() == Some(0);
    let moving = match text(model, &["status"]) {
        "rebuild_needed" => false,
        "stalled" => !served && current,
        _ => true,
    };
    moving && !matches!(text(model, &["content", "verdict"]), "drifted" | "suspect")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Document;

    fn well(status: &str, lag: &str, verdict: &str, served: bool) -> bool {
        let text = format!(r#"{{"status":"{status}","lag_count":{lag},"content":{{"verdict":"{verdict}"}}}}"#);
        is_well(Document::parse(text).unwrap().value(), served)
    }

    #[test]
    fn no_is_what_does_not_mend_itself() {
        assert!(well("in_sync", "0", "verified", true) && well("catching_up", "900", "unverified", true));
        assert!(!well("rebuild_needed", "0", "unverified", true) && !well("in_sync", "0", "drifted", true));
        assert!(!well("stalled", "0", "suspect", true) && !well("stalled", "0", "suspect", false));
        assert!(!well("stalled", "0", "unverified", true), "a server whose projector is gone is not well");
        assert!(well("stalled", "0", "unverified", false) && !well("stalled", "3", "unverified", false));
        assert!(!well("stalled", "null", "unverified", false), "unknown is not zero");
    }
}
