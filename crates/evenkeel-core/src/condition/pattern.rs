//! A regular expression that is compiled once and compared by its text.
//!
//! The `regex` crate judges in time linear in the text, whatever the pattern; what a pattern means is its business.
use regex::{Regex, RegexBuilder};
use std::{fmt, str::FromStr};

/// A pattern that is looked for in text. Without `^` and `$` it may stand anywhere in it.
///
/// ```
/// use evenkeel_core::condition::Pattern;
/// let sku: Pattern = "^[A-Z]{3}-[0-9]+$".parse()?;
/// assert!(sku.is_in("ABC-17") && !sku.is_in("ABC-17\n"));
/// # Ok::<(), evenkeel_core::condition::BadPattern>(())
/// ```
#[derive(Clone)]
pub struct Pattern(Regex);

/// Text that is no usable regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPattern(String);

/// What a compiled pattern may take of memory, so that no declaration takes a node's.
const MAX_COMPILED_BYTES: usize = 1 << 20;

impl Pattern {
    /// Whether the pattern is found in `text`.
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Pattern {
    type Err = BadPattern;
    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let compiled = RegexBuilder::new(text).size_limit(MAX_COMPILED_BYTES).build();
        compiled.map(Self).map_err(|error| {
            // The library draws a picture of the place; its last line says what is wrong.
            let text = error.to_string();
            BadPattern(text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned())
        })
    }
}

impl PartialEq for Pattern {
    /// Patterns of the same text are equal.
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pattern_or_too_large_is_refused() {
        for text in ["(", "[z-a]", "(?=a)", "(a{1000}){1000}"] {
            let error = text.parse::<Pattern>().unwrap_err().to_string();
            assert!(!error.is_empty() && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn time_is_linear_in_the_text() {
        let hostile: Pattern = "^(a+)+$".parse().unwrap();
        assert!(!hostile.is_in(&format!("{}b", "a".repeat(100_000))));
    }
}
