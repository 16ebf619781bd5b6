//! Appending by eight clients, beside `sqlite-es`, which runs as a child: the two link different versions of SQLite.
use crate::{
    Result, clients,
    events::{self, KEYS, Source},
    figure::{Pair, Plan, Table, Unit},
    folder::{self, Filled},
    raw::Record,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const CLIENTS: usize = 8;

/// The peer's program and its filled database.
struct Peer {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Peer {
    fn new() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("rivals/Cargo.toml");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built =
            Command::new(cargo).args(["build", "--release", "--locked", "--manifest-path"]).arg(&manifest).status()?;
        if !built.success() {
            return Err("the peer cannot be built".into());
        }
        let program = manifest.with_file_name("target/release/evenkeel-bench-rivals");
        Ok(Self { program, folder: folder::fresh()? })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the events of a run for the peer to read.
    fn write(&self, name: &str, records: &[Record]) -> Result<()> {
        let lines = records.iter().map(Record::for_peer).collect::<Result<Vec<_>>>()?;
        Ok(fs::write(self.file(name), lines.join("\n"))?)
    }

    /// Runs the peer over a file of events; its events per second.
    fn run(
        &self,
        database: &Path,
        events: &str,
        clients: usize,
        connections: usize,
        batch: usize,
        first: usize,
    ) -> Result<f64> {
        let numbers = [clients, connections, batch, first].map(|number| number.to_string());
        let output = Command::new(&self.program).arg(database).arg(self.file(events)).args(numbers).output()?;
        if !output.status.success() {
            return Err(format!("the peer failed: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    }

    /// Eight clients into a copy of the filled database.
    fn append(&self, connections: usize) -> Result<f64> {
        let folder = folder::fresh()?;
        let database = folder.path().join("peer.db");
        folder::copy_synced(&self.file("filled.db"), &database)?;
        self.run(&database, "events", CLIENTS, connections, 1, 2)
    }
}

/// Measures it, with as many connections as suit the peer best.
pub(crate) fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    if plan.only_ours {
        return Ok(());
    }
    let project = events::project()?;
    let filled = Filled::new(&project, 0)?;
    let raw_events = Source::new("append").take(plan.events(20_000, CLIENTS));
    let records = events::arrivals(&project, &raw_events)?.iter().map(Record::of).collect::<Result<Vec<_>>>()?;
    let peer = Peer::new()?;
    let mut first = Source::new("first");
    let first: Vec<_> = (0..KEYS).map(|key| first.of(key)).collect();
    let first = events::arrivals(&project, &first)?.iter().map(Record::of).collect::<Result<Vec<_>>>()?;
    peer.write("first", &first)?;
    peer.run(&peer.file("filled.db"), "first", 1, 1, 1000, 1)?;
    peer.write("events", &records[..plan.events(8_000, CLIENTS).min(records.len())])?;

    let mut pairs = [Pair::default(), Pair::default()];
    for _ in 0..plan.rounds {
        for (pair, connections) in pairs.iter_mut().zip([CLIENTS, 1]) {
            pair.ours.push(clients::ours(filled.copy()?.path(), &raw_events, CLIENTS, 1)?);
            pair.rival.push(peer.append(connections)?);
        }
    }
    for (pair, how) in pairs.into_iter().zip(["8 connections", "1 connection"]) {
        let beside = format!("sqlite-es, {how}");
        table.add("engine, gate included: 8 clients", &beside, pair, Unit::PerSecond, Some(4.0));
    }
    Ok(())
}
