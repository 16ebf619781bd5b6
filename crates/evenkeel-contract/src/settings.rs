//! `evenkeel.toml`: every setting of a node with its type and default, and the environment that overrides it.
//!
//! Not here: acting on settings, or refusing combinations that only the server can judge (listening beyond loopback).
mod read;

pub(crate) use read::{Declared, drift, read};

use crate::source::Source;
use core::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use evenkeel_core::{ReplicaName, drift::Thresholds, freshness::FreshnessLimits, intake::CausalLimits, pace, token};

/// The settings of a node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// `[node]`
    pub node: NodeSettings,
    /// `[store]`
    pub store: StoreSettings,
    /// `[drift]`: what models start from.
    pub drift: DriftSettings,
    /// `[reconcile]`
    pub reconcile: ReconcileSettings,
    /// `[snapshots]`
    pub snapshots: SnapshotSettings,
    /// `[raw]`
    pub raw: RawSettings,
    /// `[causal]`
    pub causal: CausalSettings,
    /// `[read]`
    pub read: ReadSettings,
    /// `[security]`
    pub security: SecuritySettings,
    /// `[limits]`
    pub limits: LimitSettings,
    /// `[[source]]`: who may send.
    pub sources: Vec<Source>,
}

/// The node itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSettings {
    /// `id`: the name of the replica.
    pub id: String,
    /// `data`: the folder of the embedded store, relative to the project folder.
    pub data: String,
    /// `listen`: where the server listens. `localhost` is 127.0.0.1.
    pub listen: SocketAddr,
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            id: ReplicaName::default().to_string(),
            data: "evenkeel-data".into(),
            listen: (Ipv4Addr::LOCALHOST, 7400).into(),
        }
    }
}

/// The store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreSettings {
    /// `url`: which store.
    pub url: StoreUrl,
    /// `synchronous`: when an event counts as durable.
    pub synchronous: Synchronous,
}

/// Which store keeps log and models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite`: embedded, in the data folder.
    #[default]
    Sqlite,
}

/// When an acknowledged event is durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// `full`: before it is acknowledged.
    #[default]
    Full,
    /// `normal`: a power cut may take the last acknowledged events; the end of the process does not.
    Normal,
}

/// When a model counts as drifted, and how much may be repaired.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriftSettings {
    /// `max_lag_events`, `max_lag_seconds`, `replay_threshold`, `stall_seconds`.
    pub thresholds: Thresholds,
    /// `repair_budget`: the share of rows that may be repaired one by one.
    pub repair_budget: f64,
}

impl Default for DriftSettings {
    fn default() -> Self {
        Self { thresholds: Thresholds::default(), repair_budget: 0.01 }
    }
}

/// Healing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconcileSettings {
    /// `auto`: whether to heal without being asked.
    pub auto: bool,
    /// `scrub_rows_per_second`: how many rows are read again in the background.
    pub scrub_rows_per_second: u64,
    /// `quiet_seconds` and `max_per_hour`: how often a model may be healed without being asked.
    pub pace: pace::Limits,
    /// `keep_records`: how many records of each model are kept.
    pub keep_records: u64,
}

impl Default for ReconcileSettings {
    fn default() -> Self {
        Self { auto: true, scrub_rows_per_second: 5000, pace: pace::Limits::default(), keep_records: 10_000 }
    }
}

/// Snapshots of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotSettings {
    /// `every_events`: a snapshot of a model is taken whenever so many events of its types were applied since the last; 0
    /// for never.
    pub every_events: u64,
    /// `keep`: how many of each model are kept, the newest ones.
    pub keep: u64,
}

impl Default for SnapshotSettings {
    fn default() -> Self {
        Self { every_events: 1_000_000, keep: 2 }
    }
}

/// Events as they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawSettings {
    /// `keep_days`: how long they are kept beside what was made of them; zero for not at all.
    pub keep: Duration,
}

impl Default for RawSettings {
    fn default() -> Self {
        Self { keep: Duration::from_secs(7 * 86_400) }
    }
}

/// Clocks, and events that wait for others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CausalSettings {
    /// `timeout_seconds`: how long an event waits for what it depends on.
    pub timeout_seconds: f64,
    /// `max_events`: how many events may wait.
    pub max_events: u64,
    /// `max_bytes`: how large they may be together.
    pub max_bytes: u64,
    /// `max_skew_ms`: how far ahead of the node's clock the stamp of an event may be.
    pub max_skew_ms: u32,
}

impl Default for CausalSettings {
    fn default() -> Self {
        let CausalLimits { max_skew_ms, max_events, max_bytes } = CausalLimits::default();
        Self { timeout_seconds: 10.0, max_events, max_bytes, max_skew_ms }
    }
}

impl CausalSettings {
    /// Those of them that the intake looks at.
    pub fn limits(&self) -> CausalLimits {
        let Self { timeout_seconds: _, max_events, max_bytes, max_skew_ms } = *self;
        CausalLimits { max_skew_ms, max_events, max_bytes }
    }

    /// How long an event waits.
    pub fn timeout(&self) -> Duration {
        Duration::try_from_secs_f64(self.timeout_seconds).unwrap_or(Duration::MAX)
    }
}

/// Reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadSettings {
    /// `budget_ms`: how long a read may wait for freshness.
    pub budget_ms: u64,
    /// `max_retries`
    pub max_retries: u32,
    /// `base_delay_ms`
    pub base_delay_ms: u64,
    /// `max_delay_ms`
    pub max_delay_ms: u64,
    /// `token_max_age_seconds`: how long a token is taken after it was issued.
    pub token_max_age: Duration,
    /// `at_once`: how many strong reads of rows, of pages, and statements in SQL are carried out at once, each.
    pub at_once: u64,
    /// `waiting`: how many different ones may wait for that.
    pub waiting: u64,
    /// `query_timeout_ms`: how long a statement in SQL may run.
    pub query_timeout_ms: u64,
    /// `query_rows`: how many rows it may give.
    pub query_rows: u64,
    /// `slightly_stale_seconds` and `very_stale_seconds`.
    pub freshness: FreshnessLimits,
}

impl Default for ReadSettings {
    fn default() -> Self {
        let freshness = FreshnessLimits::default();
        Self {
            budget_ms: 250,
            max_retries: 3,
            base_delay_ms: 100,
            max_delay_ms: 5000,
            token_max_age: token::MAX_AGE,
            at_once: 16,
            waiting: 256,
            query_timeout_ms: 5000,
            query_rows: 10_000,
            freshness,
        }
    }
}

/// Who is let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecuritySettings {
    /// `insecure`: whether to listen beyond loopback although nobody is asked who they are.
    pub insecure: bool,
    /// `hosts`: names and addresses, without a port, that clients may know the server by, beside those that nobody else
    /// can own.
    pub hosts: Vec<String>,
}

/// Limits of the server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimitSettings {
    /// `body_bytes`: the largest request body, after decompression.
    pub body_bytes: u64,
    /// `batch_events`: the most events in one request.
    pub batch_events: u64,
    /// `connections`: how many connections are served at a time.
    pub connections: u64,
    /// `header_timeout_ms`: how long a client may take to send its request's headers.
    pub header_timeout_ms: u64,
    /// `write_timeout_ms`: how long an answer waits for a client that does not read on.
    pub write_timeout_ms: u64,
    /// `untrusted_per_source`: how many events of each source that is not declared may wait in quarantine.
    pub untrusted_per_source: u64,
    /// `untrusted_total`: how many events of all of them.
    pub untrusted_total: u64,
    /// `held_per_source`: how many events of each declared source may wait in quarantine behind others.
    pub held_per_source: u64,
    /// `shutdown_seconds`: how long a stop waits for what is under way.
    pub shutdown_seconds: f64,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            batch_events: 10_000,
            connections: 2048,
            header_timeout_ms: 10_000,
            write_timeout_ms: 30_000,
            untrusted_per_source: 100,
            untrusted_total: 10_000,
            held_per_source: 100_000,
            shutdown_seconds: 10.0,
        }
    }
}
