//! Tokens as clients hand them in and get them back. What is in one and who may have issued it is
//! [`evenkeel_core::token`]'s; what a read owes to it is [`crate::reader`]'s.
use crate::{Engine, ReadError, report::Receipt};
use evenkeel_core::{
    Position,
    token::{Token, TokenError},
};

/// How many tokens may be handed in together.
const TOGETHER: usize = 16;

impl Engine {
    /// Reads the token that a client hands in, or several with commas between, merged: whatever it has seen by any of them.
    ///
    /// # Errors
    /// [`ReadError::Token`] where this log did not issue them or has lost what they speak of.
    pub fn token(&self, text: &str) -> Result<Token, ReadError> {
        let inner = &self.inner;
        let (origin, now) = (inner.log.origin(), inner.clock.now());
        if text.split(',').count() > TOGETHER {
            return Err(ReadError::Parameter(format!("token: at most {TOGETHER} are taken together")));
        }
        let mut merged: Option<Token> = None;
        for one in text.split(',') {
            let token = Token::open(one.trim(), &origin, now, inner.options.token_max_age)?;
            merged = Some(merged.map_or(Ok(token), |merged| merged.merge(token))?);
        }
        let token = merged.ok_or(TokenError::Malformed)?;
        token.check(&inner.log.safe_head()?)?;
        Ok(token)
    }

    /// The token of whoever has written these, and had seen `seen` before. It covers what is in the log, and nothing
    /// else: see [`Receipt::token_covers`].
    pub fn token_after(&self, seen: Option<Token>, receipts: &[Receipt]) -> String {
        let origin = self.inner.log.origin();
        let covered = receipts.iter().filter(|receipt| receipt.token_covers).filter_map(|receipt| receipt.position);
        let written = Position(covered.max().unwrap_or_default());
        seen.unwrap_or(Token::new(&origin)).having_written(written).seal(&origin, self.inner.clock.now())
    }
}
