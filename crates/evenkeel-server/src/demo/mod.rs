//! The demo: an invented shop, a real node, faults, and a proof that what was derived is true.
//!
//! It uses what any user has: the example project, the HTTP interface, and what that says. What it sends is generated
//! from a seed ([`shop`]), sent by one thread a source ([`senders`]), accompanied by faults ([`story`]), read meanwhile ([`reading`]), and in the end
//! compared with what the node holds ([`proof`], [`summary`]).
mod foreign;
mod ledger;
mod mending;
mod narrator;
mod proof;
mod reading;
mod senders;
mod shop;
mod story;
mod summary;
mod writers;

use crate::{
    cli::{SHOP_FILES, write_project},
    client::Client,
    http, node,
    output::{Document, Failure, Output},
    serve::{self, Running, ServeError},
};
use evenkeel::{
    contract::{diagnostic::Files, project},
    store::StoreError,
};
use ledger::Ledger;
use narrator::Narrator;
use senders::Pace;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// What the demo is to show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Events sent, all sources together.
    pub(crate) events: usize,
    /// Over what time.
    pub(crate) over: Duration,
    /// Whether it serves on at the end.
    pub(crate) serve: bool,
    /// What everything random follows from.
    pub(crate) seed: u64,
}

/// Runs the demo; whether everything converged and is accounted for.
///
/// # Errors
/// Where the node cannot be started or reached.
pub(crate) fn run(out: &Output, options: Options) -> Result<bool, Failure> {
    let folder = tempfile::Builder::new().prefix("evenkeel-demo-").tempdir();
    let folder = folder.map_err(|error| Failure::unreachable(format!("no temporary folder can be made: {error}")))?;
    let over = Arc::new(AtomicBool::new(false));
    clean_up_when_interrupted(folder.path(), &over)?;
    let running = start(folder.path())?;
    let client = Client::new(&format!("http://{}", running.addr))?;
    let told = tell(out, options, &client, folder.path());
    over.store(true, Ordering::Relaxed);
    let (report, good) = match told {
        Ok(told) => told,
        Err(failure) => {
            let _ = running.stop();
            return Err(failure);
        }
    };
    if out.json {
        out.json(&Document::of(&report)?)?;
    } else {
        report.print(out)?;
    }
    if options.serve {
        serve_on(out, running, folder, &client)?;
    } else {
        running.stop().map_err(failed)?;
    }
    Ok(good)
}

/// The events, the faults, and what came of them.
fn tell(out: &Output, options: Options, client: &Client, folder: &Path) -> Result<(summary::Report, bool), Failure> {
    let narrator = Narrator::new(*out);
    let plan = shop::plan(options.seed, options.events);
    let ledger = Ledger::default();
    let pace = Pace::new(options.over);
    narrator.say(format_args!("a node serves at {}; its files are in {}", client.url(), folder.display()));
    let data = folder.join("shop").join("evenkeel-data");
    let stage = story::Stage { narrator: &narrator, client, ledger: &ledger, pace: &pace, plan: &plan, data: &data };
    let observed = stage.play()?;
    let proof = proof::prove(client, &plan, &ledger, &observed)?;
    let report = summary::Report::new(client, &narrator, &ledger, &observed, proof)?;
    let good = report.converged && report.accounted;
    Ok((report, good))
}

/// A node over the shop example, on a free port. Neither the environment nor the user's folders play a part.
fn start(folder: &Path) -> Result<Running, Failure> {
    let dir = folder.join("shop");
    write_project(&dir, SHOP_FILES)?;
    let files: Files = SHOP_FILES.iter().map(|(name, text)| (*name, *text)).collect();
    let compiled = project::compile(&files, &[]);
    let mut project = compiled.map_err(|wrong| Failure::usage(format!("the example is wrong: {wrong}")))?;
    project.settings.node.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let settings = project.settings.clone();
    http::record_metrics().map_err(|why| failed(ServeError::Metrics(why)))?;
    let node = node::start(project, &dir, None, |_| {})?;
    serve::start(node.engine.clone(), &settings).map_err(|error| {
        node.engine.stop();
        failed(error)
    })
}

fn serve_on(out: &Output, running: Running, folder: TempDir, client: &Client) -> Result<(), Failure> {
    let kept = folder.keep();
    let dir = kept.join("shop");
    out.note(format_args!("\nThe node goes on serving; look at it from another terminal, and end it with Ctrl-C:"));
    out.note(format_args!("  evenkeel --url {} drift", client.url()));
    out.note(format_args!("  evenkeel --url {} get orders o-1", client.url()));
    out.note(format_args!("  evenkeel --url {} quarantine ls", client.url()));
    out.note(format_args!("  evenkeel --url {} lineage 1", client.url()));
    out.note(format_args!("  sqlite3 {}/evenkeel-data/models.db 'select * from _ek_freshness'", dir.display()));
    out.note(format_args!("  {}/openapi.json  /metrics  /v1/drift  /v1/models/orders/rows", client.url()));
    let waited = running.wait_for_signal();
    let stopped = running.stop();
    out.note(format_args!("stopped; the files stay in {}: delete them when you are done", kept.display()));
    waited.map_err(|error| failed(ServeError::Start(error)))?;
    stopped.map_err(failed)
}

/// Ctrl-C before the end leaves no folder behind. Once the story is over the server waits for it itself.
fn clean_up_when_interrupted(folder: &Path, over: &Arc<AtomicBool>) -> Result<(), Failure> {
    let (folder, over) = (folder.to_owned(), Arc::clone(over));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(ServeError::Start(error)))?;
    let wait = move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() && !over.load(Ordering::Relaxed) {
            // What cannot be removed is left to the system's own cleaning.
            let _ = std::fs::remove_dir_all(&folder);
            std::process::exit(130);
        }
    };
    thread::Builder::new()
        .name("interrupt".into())
        .spawn(wait)
        .map(drop)
        .map_err(|error| failed(ServeError::Start(error)))
}

fn failed(error: ServeError) -> Failure {
    match error {
        ServeError::Store(StoreError::InUse(_)) => Failure::unreachable("the demo's own folder is in use"),
        error => Failure { code: error.exit_code(), what: error.to_string(), help: None },
    }
}
