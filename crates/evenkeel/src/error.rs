//! What the runtime says when it cannot do what was asked, by what its caller can do about it.
//!
//! What a store says of itself is [`evenkeel_store::StoreError`].
use crate::report::Consistency;
use evenkeel_core::{
    ModelName,
    intake::OverQuota,
    quarantine::{EntryVersion, State},
    row::Misfit,
    token::TokenError,
};
use evenkeel_store::{SqlError, StoreError};
use std::time::Duration;

/// Why events were not taken. None of them were, and sending them again is safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No source and id could be read, so there is nothing to file the event under.
    #[error("event {index}: {message}")]
    Unreadable {
        /// Which event of the request, from 0.
        index: usize,
        /// What is wrong.
        message: String,
    },
    /// The stream has another version than expected.
    #[error("the stream is at version {actual}, expected {expected}{}", if *parked { "; events of it wait in quarantine" } else { "" })]
    VersionConflict {
        /// The version the writer expected.
        expected: u64,
        /// The version there is.
        actual: u64,
        /// Whether events of the stream wait in quarantine.
        parked: bool,
    },
    /// An expected version came with none or several events, of which only some could have met it.
    #[error("an expected version is for one event; there are {events}")]
    NotSingle {
        /// How many events there are.
        events: usize,
    },
    /// The token is not of this log as it is.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A source nobody declared has left as much in quarantine as it may, or of one as much waits behind others as may.
    #[error(transparent)]
    OverQuota(#[from] OverQuota),
    /// Too much is waiting to be written. Send again later.
    #[error("too many events are waiting to be written; send again later")]
    Busy,
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Stopping,
    /// The log could not write.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a read was not answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// No such model.
    #[error("no model is named {0:?}")]
    NoModel(String),
    /// The key does not fit the model.
    #[error("{0}")]
    Key(Misfit),
    /// The parameter cannot be honoured.
    #[error("{0}")]
    Parameter(String),
    /// The token is not taken.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The statement is not understood, not allowed, or costs too much.
    #[error(transparent)]
    Sql(SqlError),
    /// More is asked for at once than is done at once.
    #[error("too many reads like this are under way")]
    Saturated {
        /// When asking again makes sense; spread by chance, so that not all come back at once.
        retry_after: Duration,
    },
    /// What was asked for cannot be met within the budget.
    #[error("{reason}")]
    NotMet {
        /// Why not.
        reason: String,
        /// When asking again makes sense.
        retry_after: Duration,
        /// How fresh the answer would have been, where anything was read.
        label: Option<Box<Consistency>>,
    },
    /// The store could not read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an operation did not happen.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No such model.
    #[error("no model is named {0:?}")]
    NoModel(String),
    /// No such quarantine entry.
    #[error("no quarantine entry is named {0:?}")]
    NoEntry(String),
    /// The entry is in a state that does not allow this.
    #[error("entry {id} is {state}; only a quarantined entry can be redriven, edited or discarded")]
    EntryState {
        /// The entry.
        id: String,
        /// Its state.
        state: State,
    },
    /// Somebody changed the entry since it was looked at.
    #[error("entry {id} was changed meanwhile and is at version {version}; nothing was done")]
    EntryChanged {
        /// The entry.
        id: String,
        /// Its version now.
        version: EntryVersion,
    },
    /// The event cannot be changed like this.
    #[error("the edit: {0}")]
    Edit(String),
    /// No such event.
    #[error("no event of the log has the position or identity {0:?}")]
    NoEvent(String),
    /// No such contract.
    #[error("no contract is named {0:?}")]
    NoContract(String),
    /// No source is halted under that name.
    #[error("no source named {0:?} is halted")]
    NotHalted(String),
    /// No such consumer.
    #[error("no consumer is named {0:?}")]
    NoConsumer(String),
    /// A consumer cannot be registered like this.
    #[error("{0}")]
    Consumer(String),
    /// These events of a source cannot be declared not to come.
    #[error("{0}")]
    Skip(String),
    /// Conflicts cannot be asked for like this.
    #[error("{0}")]
    Conflicts(String),
    /// The model's state does not allow it, or it was called off.
    #[error("{0}")]
    Method(String),
    /// A model's table is not what its stored version says, and the declared version is not built yet.
    #[error("model {0} is declared anew and not rebuilt yet; reconcile it first")]
    Outdated(ModelName),
    /// A built table did not equal the log, and was thrown away.
    #[error("the rebuilt table of {model} differs from the log in {rows} rows and was not put in place")]
    NotVerified {
        /// The model.
        model: ModelName,
        /// How many rows differ.
        rows: u64,
    },
    /// A snapshot was not kept.
    #[error("no snapshot of {model} was kept: {reason}")]
    NotTaken {
        /// The model.
        model: ModelName,
        /// Why not.
        reason: String,
    },
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(std::io::Error),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}
