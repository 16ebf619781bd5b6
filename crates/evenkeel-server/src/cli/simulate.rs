//! `evenkeel simulate`: the whole engine in virtual time under faults, seed by seed.
//!
//! The simulation itself is [`evenkeel::simulate`].
use super::{Answer, Context, Done};
use crate::output::{Document, Failure, Style, paint, thousands};
use evenkeel::simulate::{self, Options, Outcome, Stats, Violation};
use serde::Serialize;

/// How many seeds are run where none is named.
const SEEDS: u64 = 200;

/// How often it is said how far it has come, in seeds.
const LINE_EVERY: u64 = 50;

/// `evenkeel simulate`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The first seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many seeds are run [default: one where --seed is given, else 200]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// How many events the sources of one seed send; the same seed with another number is another run
    #[arg(long, value_name = "N", default_value_t = Options::default().events)]
    #[arg(value_parser = clap::value_parser!(u64).range(..=100_000))]
    events: u64,
    /// Print every step
    #[arg(long)]
    trace: bool,
}

#[derive(Serialize)]
struct Report<'r> {
    ok: bool,
    first_seed: u64,
    seeds: u64,
    options: Options,
    stats: Stats,
    violation: Option<&'r Violation>,
}

/// Runs the command. The answer is "no" at the first seed in which something did not hold.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    if context.url.is_some() {
        return Err(Failure::usage("simulate takes no --url: it runs in memory and touches no node"));
    }
    let out = &context.out;
    let first = args.seed.unwrap_or(0);
    let seeds = args.seeds.unwrap_or(if args.seed.is_some() { 1 } else { SEEDS });
    let options = Options { events: args.events };
    let mut stats = Stats::default();
    let mut violation = None;
    let mut done = 0;
    for seed in (0..seeds).map(|offset| first.wrapping_add(offset)) {
        match simulate::run(seed, &options) {
            Ok(outcome) => {
                done += 1;
                stats.add(&outcome.stats);
                tell(context, args.trace, seed, &outcome, done, seeds)?;
            }
            Err(found) => {
                if args.trace {
                    found.trace.iter().for_each(|line| out.note(line));
                }
                violation = Some(found);
                break;
            }
        }
    }
    if out.json {
        let violation = violation.as_deref();
        let report = Report { ok: violation.is_none(), first_seed: first, seeds: done, options, stats, violation };
        out.json(&Document::of(&report)?)?;
    } else {
        match &violation {
            Some(violation) => out.line(format_args!("{} {violation}", paint("broken:", Style::Bad, out.colour())))?,
            None => out.line(paint("everything held", Style::Good, out.colour()))?,
        }
        summarise(context, done, &stats)?;
    }
    Ok(Answer::yes_if(violation.is_none()))
}

fn tell(context: &Context, trace: bool, seed: u64, outcome: &Outcome, done: u64, seeds: u64) -> Result<(), Failure> {
    let out = &context.out;
    if trace {
        outcome.trace.iter().for_each(|line| out.note(line));
    }
    let Outcome { weather, digest, stats, .. } = outcome;
    if out.json || !(done.is_multiple_of(LINE_EVERY) || done == seeds) {
        return Ok(());
    }
    let digest: String = digest.to_string().chars().take(12).collect();
    out.line(format_args!(
        "{done:>6} held  seed {seed} ({weather}): {} steps, {} events, {} crashes, {} faults, trace {digest}",
        stats.steps,
        stats.events,
        stats.crashes,
        stats.faults.total()
    ))
}

fn summarise(context: &Context, seeds: u64, stats: &Stats) -> Result<(), Failure> {
    let Stats { steps, sent, events, entries, lost, crashes, rebuilds, rebuilds_ended, drift_found, reads, .. } = stats;
    let faults = &stats.faults;
    let rows = [
        ("seeds that held", seeds),
        ("steps", *steps),
        ("events sent, resends counted", *sent),
        ("events in the logs", *events),
        ("entries in the quarantines", *entries),
        ("edits of events in quarantine", stats.edits),
        ("decided many at once, trials too", stats.decided_in_bulk),
        ("events forgotten as they were sent", stats.raws_forgotten),
        ("events that told where they are from", stats.lineages),
        ("crashes", *crashes),
        ("calls that failed", faults.failed),
        ("calls whose answer was lost", faults.answers_lost),
        ("writes of the log a disk lied about", faults.log_lies),
        ("writes of the models a disk lied about", faults.models_lies),
        ("writes of the snapshots a disk lied about", faults.snapshots_lies),
        ("torn writes of the models", faults.torn),
        ("torn writes of the snapshots", faults.snapshots_torn),
        ("rows others wrote, noted", stats.others_noted),
        ("rows others wrote, unnoted", stats.others_unnoted),
        ("events a projector left out", stats.events_missed),
        ("events a projector applied twice", stats.events_doubled),
        ("acknowledged events lost, all by lies", *lost),
        ("tables rebuilt", *rebuilds),
        ("rebuilds called off or failed", *rebuilds_ended),
        ("times the home of the models was removed", stats.models_lost),
        ("snapshots taken", stats.snapshots),
        ("snapshots begun and not kept", stats.snapshots_not_kept),
        ("snapshots others damaged or forged", stats.snapshots_tampered),
        ("tables rebuilt from a snapshot", stats.rebuilds_from_snapshots),
        ("snapshots that rebuilds refused", stats.snapshots_refused),
        ("events that waited for others", stats.waited),
        ("events that waited too long", stats.expired),
        ("events that came when too much waited", stats.overflowed),
        ("of these two, sent through again", stats.recalled),
        ("declarations that events will not come", stats.skips),
        ("events in causal order", stats.causal),
        ("events whose place was passed", stats.exceptions),
        ("conflicts decided, and recorded", stats.conflicts),
        ("looks for wrong rows", stats.checks),
        ("of these, found wrong rows", *drift_found),
        ("slices of the scrub", stats.scrubbed),
        ("of these, ended a clean pass", stats.passes),
        ("of these, found something", stats.scrub_found),
        ("repairs", stats.repairs),
        ("rows repaired", stats.rows_repaired),
        ("touches without a row parked late", stats.parked_late),
        ("reads compared with the log", *reads),
    ];
    let row = |(what, count): (&str, u64)| vec![what.to_owned(), thousands(count)];
    context.out.table(&["WHAT", "COUNT"], rows.map(row))
}
