//! How a read is wanted, as options of a command: what `get`, `rows` and `query` have in common.
//!
//! Carrying it to a node is [`super::access`]'.
use super::access::Direct;
use crate::output::Failure;
use evenkeel::{
    core::{Timestamp, demand::Bounds, freshness::Level},
    reader::ReadOptions,
};
use std::time::Duration;

/// How a read is wanted, in the words of the interface. What is not said is the node's to choose.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ReadArgs {
    /// How strictly the answer must reflect the log: eventual, bounded, monotonic, causal or strong
    #[arg(long, value_name = "LEVEL")]
    pub(crate) level: Option<Level>,
    /// What was seen and written before: the token of an earlier answer, or several with commas between
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// How many events may be missing at most
    #[arg(long, value_name = "N")]
    pub(crate) max_lag: Option<u64>,
    /// How old the oldest of them may be at most
    #[arg(long, value_name = "N")]
    pub(crate) max_staleness_ms: Option<u64>,
    /// Everything committed before this instant must be in the answer (RFC 3339)
    #[arg(long, value_name = "INSTANT")]
    pub(crate) consistent_since: Option<Timestamp>,
    /// How long the answer may take to meet that [default: the project's read.budget_ms]
    #[arg(long, value_name = "N")]
    pub(crate) budget_ms: Option<u64>,
    /// Take an answer that does not meet it, labelled as such
    #[arg(long)]
    pub(crate) allow_stale: bool,
}

impl ReadArgs {
    /// As parameters of an address.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        query.extend(self.level.map(|level| ("level", level.to_string())));
        query.extend(self.budget_ms.map(|budget| ("budget_ms", budget.to_string())));
        query.extend(self.token.clone().map(|token| ("token", token)));
        query.extend(self.max_lag.map(|events| ("max_lag", events.to_string())));
        query.extend(self.max_staleness_ms.map(|age| ("max_staleness_ms", age.to_string())));
        query.extend(self.consistent_since.map(|at| ("consistent_since", at.to_string())));
        query.extend(self.allow_stale.then(|| ("allow_stale", "true".to_owned())));
        query
    }

    /// As an engine of our own takes it.
    pub(super) fn options(&self, direct: &Direct) -> Result<ReadOptions, Failure> {
        Ok(ReadOptions {
            level: self.level,
            bounds: Bounds {
                max_lag: self.max_lag,
                max_staleness: self.max_staleness_ms.map(Duration::from_millis),
                since: self.consistent_since,
            },
            token: self.token.as_deref().map(|token| direct.node.engine.token(token)).transpose()?,
            budget: Duration::from_millis(self.budget_ms.unwrap_or(direct.node.project.settings.read.budget_ms)),
            allow_stale: self.allow_stale,
        })
    }
}
