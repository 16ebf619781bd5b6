//! `evenkeel contract`: what contracts make of events, before they go live.
//!
//! Deciding is the gate's. What a change would do to stored events is [`impact`]'s, proposing one is [`infer`]'s; examples are
//! run here, without a store or a server.
mod impact;
mod infer;

use super::{Answer, Context, Done, check::plural};
use crate::output::{Document, Failure, Style, paint};
use evenkeel::{
    contract::{
        examples::{Difference, Outcome},
        project::{self as contracts, Tried},
    },
    core::{json::Value, quarantine::ContractRef},
    project::{self, ProjectError},
};
use serde::Serialize;

/// `evenkeel contract test|infer|impact`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the examples of contracts, and show where they become something else than expected
    ///
    /// Every contract has examples: whole CloudEvents in files beside it, with `expect` and, for what is admitted, perhaps
    /// `becomes`, a file with the translated data. The answer is "no" (1) where one is not as expected or a contract has
    /// none.
    Test(TestArgs),
    /// Propose contracts from raw events, one CloudEvent a line, or from what waits in quarantine
    ///
    /// A contract for each source and type: a map, a schema, candidate invariants, and the first event as an example. What is
    /// proposed admits every event it was made from; a person then edits it. Without --write it is printed. The answer is "no"
    /// (1) where there is no event.
    Infer(infer::Args),
    /// Show what a changed contract would do to the events that are there, before it is put in force
    ///
    /// Runs it over the events of the log that are still kept as they were sent ([raw] keep_days) and over the quarantine:
    /// which would be refused, which would be something else, and which of those that wait would be admitted. Nothing is
    /// changed. The answer is "no" (1) where events that are in the log would be refused.
    Impact(impact::Args),
}

#[derive(Debug, clap::Args)]
struct TestArgs {
    /// Only these contracts
    #[arg(value_name = "CONTRACT")]
    contracts: Vec<String>,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    match &args.command {
        Command::Test(args) => test(context, args),
        Command::Infer(args) => infer::run(context, args),
        Command::Impact(args) => impact::run(context, args),
    }
}

#[derive(Serialize)]
struct Report<'r> {
    ok: bool,
    examples: Vec<Shown<'r>>,
    without_examples: Vec<Named<'r>>,
}

#[derive(Serialize)]
struct Named<'r> {
    contract: &'r str,
    version: u32,
}

#[derive(Serialize)]
struct Shown<'r> {
    #[serde(flatten)]
    of: Named<'r>,
    file: &'r str,
    ok: bool,
    expected: &'r str,
    found: &'r str,
    detail: Option<&'r str>,
    pointer: Option<&'r str>,
    data: Option<&'r Value>,
    differences: Vec<Differs<'r>>,
}

#[derive(Serialize)]
struct Differs<'r> {
    pointer: &'r str,
    expected: Option<&'r Value>,
    found: Option<&'r Value>,
}

fn test(context: &Context, args: &TestArgs) -> Done {
    let files = project::read(&context.dir)?;
    let tried = contracts::try_examples(&files, &project::environment());
    let mut tried = tried.map_err(|wrong| ProjectError::Declarations(files, wrong))?;
    let wanted = |contract: &str| args.contracts.is_empty() || args.contracts.iter().any(|name| name == contract);
    if let Some(unknown) = args.contracts.iter().find(|name| !tried.contracts.iter().any(|c| c.name.as_str() == *name))
    {
        let names: Vec<_> = tried.contracts.iter().map(|contract| contract.name.as_str()).collect();
        return Err(
            Failure::usage(format!("there is no contract {unknown:?}")).help(format!("there are {}", names.join(", ")))
        );
    }
    tried.outcomes.retain(|outcome| wanted(outcome.contract.as_str()));
    tried.without.retain(|contract| wanted(contract.name.as_str()));
    let ok = tried.without.is_empty() && tried.outcomes.iter().all(|outcome| outcome.ok);
    if context.out.json {
        let report = Report {
            ok,
            examples: tried.outcomes.iter().map(Shown::of).collect(),
            without_examples: tried.without.iter().map(Named::of).collect(),
        };
        context.out.json(&Document::of(&report)?)?;
    } else {
        print(context, &tried)?;
    }
    Ok(Answer::yes_if(ok))
}

fn print(context: &Context, tried: &Tried) -> Result<(), Failure> {
    let colour = context.out.colour();
    for outcome in &tried.outcomes {
        let Outcome { contract, version, file, expected, .. } = outcome;
        let verdict = if outcome.ok { paint("ok  ", Style::Good, colour) } else { paint("FAIL", Style::Bad, colour) };
        context.out.line(format_args!("{verdict}  {contract} v{version}  {file}  {expected}"))?;
        if !outcome.ok {
            explain(context, outcome)?;
        }
    }
    for ContractRef { name, version } in &tried.without {
        let verdict = paint("FAIL", Style::Bad, colour);
        context.out.line(format_args!("{verdict}  {name} v{version}  has no example: nothing shows that it works"))?;
    }
    let failed = tried.outcomes.iter().filter(|outcome| !outcome.ok).count();
    let (examples, without) = (plural(tried.outcomes.len(), "example"), tried.without.len());
    let sum = match (failed, without) {
        (0, 0) => format!("{examples}: all as expected"),
        (failed, 0) => format!("{examples}: {failed} not as expected"),
        (failed, without) => {
            format!("{examples}: {failed} not as expected; {} without", plural(without, "contract"))
        }
    };
    context.out.line(format_args!("\n{sum}"))
}

/// Why an example is not as expected: the refusal, or the differences line by line.
fn explain(context: &Context, outcome: &Outcome) -> Result<(), Failure> {
    let colour = context.out.colour();
    if outcome.differences.is_empty() {
        let at = outcome.pointer.as_ref().map(|pointer| format!(" at {pointer}")).unwrap_or_default();
        let why = outcome.detail.as_ref().map(|detail| format!(": {detail}{at}")).unwrap_or_default();
        context.out.line(format_args!("      expected `{}`, found {}{why}", outcome.expected, outcome.found))?;
        return match &outcome.data {
            Some(data) => context.out.line(format_args!("      it becomes {data}")),
            None => Ok(()),
        };
    }
    for Difference { pointer, expected, found } in &outcome.differences {
        let place = if pointer.is_empty() { "(the whole data)" } else { pointer };
        for (sign, value, style) in [("-", expected, Style::Bad), ("+", found, Style::Good)] {
            if let Some(value) = value {
                context.out.line(paint(&format!("      {sign} {place}  {value}"), style, colour))?;
            }
        }
    }
    Ok(())
}

impl<'r> Named<'r> {
    fn of(contract: &'r ContractRef) -> Self {
        Self { contract: contract.name.as_str(), version: contract.version }
    }
}

impl<'r> Shown<'r> {
    fn of(outcome: &'r Outcome) -> Self {
        let differs = |Difference { pointer, expected, found }: &'r Difference| Differs {
            pointer,
            expected: expected.as_ref(),
            found: found.as_ref(),
        };
        Self {
            of: Named { contract: outcome.contract.as_str(), version: outcome.version },
            file: &outcome.file,
            ok: outcome.ok,
            expected: &outcome.expected,
            found: outcome.found.trim_matches('`'),
            detail: outcome.detail.as_deref(),
            pointer: outcome.pointer.as_deref(),
            data: outcome.data.as_ref(),
            differences: outcome.differences.iter().map(differs).collect(),
        }
    }
}
