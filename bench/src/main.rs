//! Evenkeel's speed as ratios: beside raw SQLite, beside a peer, and beside what one would write by hand.
//!
//! Every figure is measured beside its rival in the same run, in turns, several times, because absolute figures of a
//! shared machine mean nothing on another day. Prints one table. Not a test: nothing here fails because it is slow.
mod append;
mod catchup;
mod causal;
mod clients;
mod clocks;
mod content;
mod contract;
mod digesting;
mod events;
mod figure;
mod folder;
mod http;
mod latency;
mod lots;
mod parked;
mod peer;
mod raw;
mod reads;
mod server;
mod sets;

use figure::{Plan, Table};
use std::process::ExitCode;

/// As in the binary; the loops written by hand have it too, SQLite has its own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whatever went wrong, in words.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const SECTIONS: [&str; 12] = [
    "contract", "append", "parked", "peer", "catchup", "content", "latency", "http", "reads", "clocks", "crdts",
    "causal",
];

const USAGE: &str = "usage: [contract] [append] [parked] [peer] [catchup] [content] [latency] [http] [reads] [clocks] [crdts] [causal] [--rounds N] [--scale F] [--ours]
  without a section all of them are run
  --rounds N   how often each side is measured (default 5)
  --scale F    takes F times as many events (default 1)
  --ours       measures no rivals, for a profiler";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let (sections, plan) = arguments()?;
    let mut table = Table::default();
    for section in sections {
        eprintln!("{section}");
        match section {
            "contract" => contract::measure(&plan, &mut table)?,
            "append" => append::measure(&plan, &mut table)?,
            "parked" => parked::measure(&plan, &mut table)?,
            "peer" => peer::measure(&plan, &mut table)?,
            "catchup" => catchup::measure(&plan, &mut table)?,
            "content" => content::measure(&plan, &mut table)?,
            "latency" => latency::measure(&plan, &mut table)?,
            "reads" => reads::measure(&plan, &mut table)?,
            "clocks" => clocks::measure(&plan, &mut table)?,
            "crdts" => sets::measure(&plan, &mut table)?,
            "causal" => causal::measure(&plan, &mut table)?,
            _ => http::measure(&plan, &mut table)?,
        }
    }
    println!("{table}");
    Ok(())
}

fn arguments() -> Result<(Vec<&'static str>, Plan)> {
    let mut plan = Plan { rounds: 5, scale: 1.0, only_ours: false };
    let mut chosen = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(USAGE);
        match (arg.as_str(), SECTIONS.iter().find(|section| **section == arg)) {
            (_, Some(section)) => chosen.push(*section),
            ("--rounds", _) => plan.rounds = value()?.parse::<usize>()?.max(1),
            ("--scale", _) => plan.scale = value()?.parse()?,
            ("--ours", _) => plan.only_ours = true,
            _ => return Err(USAGE.into()),
        }
    }
    let sections = SECTIONS.into_iter().filter(|section| chosen.is_empty() || chosen.contains(section)).collect();
    Ok((sections, plan))
}
