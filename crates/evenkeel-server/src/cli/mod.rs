//! The command line: what can be said, and what runs then. One file per command.
//!
//! Every command gives an answer (`Answer`) or a `Failure`; the exit code follows from it. Not here: how things are
//! printed (`output`).
mod access;
mod accounting;
mod causal;
mod check;
mod check_history;
mod completions;
mod conflicts;
mod contract;
mod demo;
mod drift;
mod get;
mod init;
mod lineage;
mod lines;
mod man;
mod progress;
mod publish;
mod quarantine;
mod query;
mod read_args;
mod reconcile;
mod reconciliations;
mod rollback;
mod rows;
mod serve;
mod simulate;
mod snapshot;
mod snapshots;
mod verify;

pub(crate) use init::{SHOP as SHOP_FILES, write as write_project};
pub(crate) use publish::backoff;

use crate::{
    node::NodeError,
    output::{Failure, Output},
};
use clap::{Parser, Subcommand};
use evenkeel::{EngineError, ReadError, project::ProjectError, store::StoreError};
use std::{path::PathBuf, process::ExitCode};

/// Keeps derived data true: takes events through contracts, folds them into read models, and says how fresh they are.
///
/// Commands speak to the server at --url. Without --url they speak to the server at the project's listen address if one
/// runs there, and open the project's store themselves if none does.
///
/// Exit codes: 0 done; 1 the answer is "no"; 2 bad usage or configuration; 3 the server or store cannot be reached.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// The project folder
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// The server to speak to, and no other store [default: the project's listen address]
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    /// Print one JSON document on stdout (one a line for several); progress and notes go to stderr
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole thing at work on an invented shop, with faults, and prove that it converges
    ///
    /// Runs a node of its own in a temporary folder, on a free port of this machine. Exit code 0 only if every model
    /// equals a fresh fold of the log, and every event that was sent is accounted for.
    Demo(demo::Args),
    /// Write a project folder
    Init(init::Args),
    /// Check configuration, contracts and models; show every mistake with its line
    Check,
    /// Work on contracts before they go live
    Contract(contract::Args),
    /// Run the node: take events, project them, serve reads
    ///
    /// Every setting of evenkeel.toml can also come from the environment, such as EVENKEEL_NODE__LISTEN=127.0.0.1:7401.
    /// SIGTERM or Ctrl-C ends it in order. EVENKEEL_LOG says what is logged on stderr.
    Serve(serve::Args),
    /// Send CloudEvents from a file, one JSON object a line
    ///
    /// Each line is a CloudEvent in the JSON format; gzip is recognised. Sending the same file again is safe: what was
    /// taken before is a duplicate. The answer is "no" (1) where lines were refused because no source and id could be
    /// read from them.
    Publish(publish::Args),
    /// Read one row, with a statement of how fresh it is
    ///
    /// The answer is "no" (1) where there is no such row, or it cannot be as fresh as asked for.
    Get(get::Args),
    /// Read rows that meet conditions, in an order
    Rows(rows::Args),
    /// Read models in SQL
    Query(query::Args),
    /// Show how far each model is from the log
    ///
    /// The answer is "no" (1) where a model cannot get there by itself: it must be rebuilt, its projector stands still,
    /// or its rows differ from the log, or may. Being behind and catching up is not a "no". Without a server nobody
    /// projects: a model that lacks nothing is well then, and one that lacks events is not.
    Drift(drift::Args),
    /// Compare rows with the log, and name those that are wrong with the cause
    ///
    /// Looks at what is suspected: rows that somebody else has written to, and what sums and identities disagree about.
    /// With --full the whole log is folded afresh and every row compared. The answer is "no" (1) where rows differ from
    /// the log, or may. With --json one report a line.
    Verify(verify::Args),
    /// Bring a model back to the log
    ///
    /// The answer is "no" (1) where that failed. The record of it is kept either way, and with it the rows that were
    /// wrong as they were found. On a terminal a bar shows how far a rebuild is. Ctrl-C calls it off, unless a server
    /// does it: that goes on.
    Reconcile(reconcile::Args),
    /// Put the table from before a model's last rebuild back
    ///
    /// The table that was in place is kept for another rollback. The answer is "no" (1) where there is no such table.
    Rollback(rollback::Args),
    /// List what was reconciled, newest first, or show one with the rows it found wrong
    Reconciliations(reconciliations::Args),
    /// Take a snapshot of a model, for rebuilds to begin from
    ///
    /// It is verified before it is kept. The answer is "no" (1) where the model's rows are not fit for one: they may be
    /// wrong, or are of another version.
    Snapshot(snapshot::Args),
    /// List the snapshots of models, newest first
    Snapshots(snapshots::Args),
    /// Tell where each field of an admitted event came from
    ///
    /// Which place of the event as it was sent, under which version of its contract, and by which edit. The answer is "no" (1)
    /// where that cannot be told: it is not kept any more as it was sent, or the contracts make something else of it by now.
    Lineage(lineage::Args),
    /// Show what became of everything that was taken, by source
    ///
    /// Received is admitted, duplicate, waiting, quarantined and discarded together. The answer is "no" (1) where the books do
    /// not add up, or, with --recount, are not what is in the log and the quarantine.
    Accounting(accounting::Args),
    /// Look at what waits for other events, and declare that events will not come
    Causal(causal::Args),
    /// List writes that did not know each other: which of them stands, which does not, and why
    ///
    /// With --replay each is decided again from its record; the answer is "no" (1) where one differs.
    Conflicts(conflicts::Args),
    /// Look into the quarantine, and decide about what waits there
    Quarantine(quarantine::Args),
    /// Run the whole engine in virtual time under faults, seed by seed
    ///
    /// The real stages over a store in memory that fails, lies and tears, with crashes, duplicates and bad events. The
    /// same seed gives the same run. The answer is "no" (1) where something that must always hold did not: the seed and
    /// the command that repeats it are printed.
    Simulate(simulate::Args),
    /// Check a recorded history of client operations for what clients must never see
    ///
    /// Each line is what a client began or was answered, or an event of the log; docs/history.md has the format. Looks for
    /// lost and doubled events, contradictions of order, and reads and writes that break the guarantees of their sessions
    /// and levels. Needs neither a project nor a server. The answer is "no" (1) where something was violated.
    CheckHistory(check_history::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page, or that of a command
    Man(man::Args),
}

/// The answer of a command that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done, or yes.
    Yes,
    /// No.
    No,
}

impl Answer {
    fn yes_if(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

type Done = Result<Answer, Failure>;

/// What was said before the command.
#[derive(Debug)]
pub(crate) struct Context {
    /// The project folder.
    pub(crate) dir: PathBuf,
    /// The server, where one was named.
    pub(crate) url: Option<String>,
    /// Where to print.
    pub(crate) out: Output,
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let Cli { dir, url, json, command } = Cli::parse();
    let context = Context { dir, url, out: Output::new(json) };
    let code = match run(&context, command) {
        Ok(Answer::Yes) => 0,
        Ok(Answer::No) => 1,
        Err(failure) => {
            context.out.failure(&failure);
            failure.code
        }
    };
    ExitCode::from(code)
}

fn run(context: &Context, command: Command) -> Done {
    match command {
        Command::Demo(args) => demo::run(context, &args),
        Command::Init(args) => init::run(context, &args),
        Command::Check => check::run(context),
        Command::Contract(args) => contract::run(context, &args),
        Command::Serve(args) => serve::run(context, args),
        Command::Publish(args) => publish::run(context, &args),
        Command::Get(args) => get::run(context, &args),
        Command::Rows(args) => rows::run(context, &args),
        Command::Query(args) => query::run(context, &args),
        Command::Drift(args) => drift::run(context, &args),
        Command::Verify(args) => verify::run(context, &args),
        Command::Reconcile(args) => reconcile::run(context, &args),
        Command::Rollback(args) => rollback::run(context, &args),
        Command::Reconciliations(args) => reconciliations::run(context, &args),
        Command::Snapshot(args) => snapshot::run(context, &args),
        Command::Snapshots(args) => snapshots::run(context, &args),
        Command::Lineage(args) => lineage::run(context, &args),
        Command::Accounting(args) => accounting::run(context, &args),
        Command::Causal(args) => causal::run(context, &args),
        Command::Conflicts(args) => conflicts::run(context, &args),
        Command::Quarantine(args) => quarantine::run(context, &args),
        Command::Simulate(args) => simulate::run(context, &args),
        Command::CheckHistory(args) => check_history::run(context, &args),
        Command::Completions(args) => completions::run(context, &args),
        Command::Man(args) => man::run(context, &args),
    }
}

impl From<ProjectError> for Failure {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::Declarations(files, wrong) => {
                let colour = Output::new(false).colour_err();
                let failure =
                    Self::usage(format!("the project is not as it must be\n\n{}", wrong.render(&files, colour)));
                failure.help("`evenkeel check` shows this again")
            }
            other => Self::usage(other.to_string()).help("--dir names the project folder"),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let failure = Self::unreachable(error.to_string());
        match error {
            StoreError::OtherReplica { .. } => Self::usage(failure.what),
            StoreError::InUse(_) => failure.help(
                "a server or another command works in it: name the server with --url, or wait until the other is done",
            ),
            _ => failure,
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => error.into(),
            EngineError::NoModel(_)
            | EngineError::NoEntry(_)
            | EngineError::NoContract(_)
            | EngineError::NoEvent(_)
            | EngineError::NoConsumer(_)
            | EngineError::Edit(_)
            | EngineError::Consumer(_)
            | EngineError::Skip(_)
            | EngineError::Conflicts(_) => Self::usage(error.to_string()),
            EngineError::EntryState { .. }
            | EngineError::EntryChanged { .. }
            | EngineError::NotHalted(_)
            | EngineError::Method(_)
            | EngineError::NotTaken { .. }
            | EngineError::Outdated(_) => Self::no(error.to_string()),
            EngineError::NotVerified { .. } | EngineError::Thread(_) => Self::unreachable(error.to_string()),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => error.into(),
            ReadError::Saturated { .. } => Self::no(error.to_string())
                .help("ask again a little later; --allow-stale takes what is there, labelled"),
            ReadError::NotMet { .. } => Self::no(error.to_string())
                .help("--allow-stale takes what is there, labelled; --budget-ms waits longer"),
            _ => Self::usage(error.to_string()),
        }
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Project(error) => error.into(),
            NodeError::Store(error) => error.into(),
            NodeError::Engine(error) => error.into(),
            NodeError::View { .. } => {
                Self::usage(error.to_string()).help("`evenkeel check` shows this with the text in question")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn errors_end_with_the_code_their_kind_means() {
        let code = |failure: Failure| failure.code;
        assert_eq!(code(StoreError::InUse("data".into()).into()), 3);
        assert_eq!(code(EngineError::NoModel("x".into()).into()), 2);
        assert_eq!(code(EngineError::NotHalted("x".into()).into()), 1);
        assert_eq!(code(EngineError::Method("x is at work".into()).into()), 1);
        assert_eq!(code(ReadError::NoModel("x".into()).into()), 2);
        let not_met =
            ReadError::NotMet { reason: "late".into(), retry_after: std::time::Duration::from_secs(1), label: None };
        assert_eq!(code(not_met.into()), 1);
        assert_eq!(code(ProjectError::NotAProject("x".into()).into()), 2);
    }
}
