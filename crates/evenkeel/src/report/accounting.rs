//! The books as the outside is told them.
//!
//! What they mean and when they are right is [`evenkeel_core::accounting`]'s.
use evenkeel_core::accounting::Account;
use serde::Serialize;

/// What became of the events of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccountReport {
    /// Events taken, each time they were sent.
    pub received: i64,
    /// In the log, at once or later.
    pub admitted: i64,
    /// Known before, from the log or the quarantine.
    pub duplicate: i64,
    /// Waiting for what they depend on.
    pub waiting: i64,
    /// In the gate's quarantine, for a person or behind another entry.
    pub quarantined: i64,
    /// Those of them that wait behind another entry.
    pub held: i64,
    /// Given up.
    pub discarded: i64,
}

/// The books on one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SourceAccount {
    /// The CloudEvents source.
    pub source: String,
    /// The name of the declared source it sends as; null where none matches.
    pub declared: Option<String>,
    /// As it was kept, in the transactions that decided.
    #[serde(flatten)]
    pub account: AccountReport,
    /// Whether received = admitted + duplicate + waiting + quarantined + discarded, and, where it was counted afresh, what was
    /// found is what was kept.
    pub balanced: bool,
    /// What was found of it in the log, waiting and in the quarantine, where that was asked for.
    pub counted: Option<CountedReport>,
}

/// What was found when it was counted afresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CountedReport {
    /// Events in the log.
    pub admitted: i64,
    /// Events that wait for what they depend on.
    pub waiting: i64,
    /// Entries that wait.
    pub quarantined: i64,
    /// Those of them that wait behind another one.
    pub held: i64,
    /// Entries given up.
    pub discarded: i64,
}

/// The books on every source that ever sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccountingReport {
    /// By source.
    pub sources: Vec<SourceAccount>,
    /// All of them together.
    pub total: AccountReport,
    /// Whether every one of them is.
    pub balanced: bool,
}

impl From<Account> for AccountReport {
    fn from(account: Account) -> Self {
        let Account { received, admitted, duplicate, waiting, quarantined, held, discarded } = account;
        Self { received, admitted, duplicate, waiting, quarantined, held, discarded }
    }
}
