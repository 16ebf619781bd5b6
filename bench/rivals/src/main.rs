//! The peer's side: `sqlite-es` persisting events from a file, with the clock around the appends only.
//!
//! Started by the benchmark as a child, which gives it the same payloads that Evenkeel appends. Not a benchmark by
//! itself: figures of two runs on two days say nothing about each other.
use cqrs_es::{
    Aggregate, DomainEvent,
    event_sink::EventSink,
    persist::{PersistedEventRepository, SerializedEvent},
};
use serde::{Deserialize, Serialize};
use sqlite_es::SqliteEventRepository;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::{collections::HashMap, error::Error, sync::Arc, time::Duration, time::Instant};

/// The table of events as the crate's own migration makes it.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS events(aggregate_type text NOT NULL, aggregate_id text NOT NULL, \
    sequence integer CHECK (sequence >= 0) NOT NULL, event_type text NOT NULL, event_version text NOT NULL, \
    payload text NOT NULL, metadata text NOT NULL, PRIMARY KEY (aggregate_type, aggregate_id, sequence)) STRICT";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Order;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Moved;

impl DomainEvent for Moved {
    fn event_type(&self) -> String {
        "order_moved".into()
    }

    fn event_version(&self) -> String {
        "1".into()
    }
}

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Command = ();
    type Event = Moved;
    type Error = std::io::Error;
    type Services = ();

    async fn handle(&mut self, (): (), (): &(), _: &EventSink<Self>) -> Result<(), Self::Error> {
        Ok(())
    }

    fn apply(&mut self, _: Moved) {}
}

/// One line of the file.
#[derive(Deserialize)]
struct Line {
    subject: String,
    payload: serde_json::Value,
    metadata: serde_json::Value,
}

type Failed = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failed> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [database, file, clients, connections, batch, from] = args.as_slice() else {
        return Err("usage: DATABASE EVENTS CLIENTS CONNECTIONS BATCH FIRST_SEQUENCE".into());
    };
    let (clients, connections, batch) = (clients.parse()?, connections.parse()?, batch.parse()?);
    let shares = shares(file, clients, from.parse()?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(database, connections, batch, shares))
}

/// The events of each client. All events of a subject are one client's, which knows its sequence.
fn shares(file: &str, clients: usize, from: usize) -> Result<Vec<Vec<SerializedEvent>>, Failed> {
    let mut sequences: HashMap<String, usize> = HashMap::new();
    let mut shares: Vec<Vec<SerializedEvent>> = vec![Vec::new(); clients];
    for line in std::fs::read_to_string(file)?.lines() {
        let Line { subject, payload, metadata } = serde_json::from_str(line)?;
        let sequence = sequences.entry(subject.clone()).or_insert(from);
        let share = subject.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31) + usize::from(byte)) % clients;
        let event = SerializedEvent::new(
            subject,
            *sequence,
            Order::TYPE.into(),
            "order_moved".into(),
            "1".into(),
            payload,
            metadata,
        );
        *sequence += 1;
        shares[share].push(event);
    }
    Ok(shares)
}

/// Appends everything and prints the events per second.
async fn run(database: &str, connections: u32, batch: usize, shares: Vec<Vec<SerializedEvent>>) -> Result<(), Failed> {
    let options = SqliteConnectOptions::new()
        .filename(database)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", "-65536")
        .pragma("wal_autocheckpoint", "16384")
        .pragma("journal_size_limit", "134217728")
        .busy_timeout(Duration::from_secs(60));
    let pool = SqlitePoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(120))
        .connect_with(options)
        .await?;
    sqlx::query(SCHEMA).execute(&pool).await?;
    let repository = Arc::new(SqliteEventRepository::new(pool.clone()));
    let events: usize = shares.iter().map(Vec::len).sum();
    let start = Instant::now();
    let clients: Vec<_> = shares
        .into_iter()
        .map(|share| {
            let repository = Arc::clone(&repository);
            tokio::spawn(async move {
                for events in share.chunks(batch) {
                    repository.persist::<Order>(events, None).await?;
                }
                Ok::<(), Failed>(())
            })
        })
        .collect();
    for client in clients {
        client.await??;
    }
    println!("{}", events as f64 / start.elapsed().as_secs_f64());
    // Whoever copies the file must find everything in it.
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&pool).await?;
    pool.close().await;
    Ok(())
}
