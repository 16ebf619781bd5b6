//! What a writer says with its events: the version it expects, and what it had seen. Publishing itself is the engine's, and what
//! follows from either is decided in the transaction that takes the events in ([`evenkeel_core::intake`]).
use crate::{PublishError, engine::Inner};
use evenkeel_core::{Position, StreamVersion, freshness::Level, token::Token};
use std::time::Duration;

/// With what events are published. `None` and `Some(version)` are options, too: an expected version alone.
///
/// ```
/// use evenkeel::{PublishOptions, core::StreamVersion};
/// let options: PublishOptions = Some(StreamVersion(3)).into();
/// assert_eq!((options.expected_version, options.token), (Some(StreamVersion(3)), None));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublishOptions {
    /// The version the stream of a single event must have.
    pub expected_version: Option<StreamVersion>,
    /// What the writer had seen, as [`crate::Engine::token`] reads it: each of the events knows that, and those before it that are
    /// published with it. Without one an event knows all that the log holds when it gets in.
    pub token: Option<Token>,
}

impl From<Option<StreamVersion>> for PublishOptions {
    fn from(expected_version: Option<StreamVersion>) -> Self {
        Self { expected_version, token: None }
    }
}

impl Inner {
    /// Up to where the holder of a token has seen the log.
    ///
    /// # Errors
    /// [`PublishError::Token`] where it is of another log, or of what this one has lost or never had.
    pub(crate) fn seen_by(&self, token: Token) -> Result<Position, PublishError> {
        // Of this log, and of its present life.
        let token = Token::new(&self.log.origin()).merge(token)?;
        let upto = token.floor(Level::Causal);
        // What was announced is there; only what may have been committed this very moment is asked for.
        if upto > self.log.wait_past(Position::ZERO, Duration::ZERO)? {
            token.check(&self.log.safe_head()?)?;
        }
        Ok(upto)
    }
}
