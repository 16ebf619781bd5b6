//! Patterns of text: `%` or `*` for any characters, `_` for one, `\` before a character that stands for itself.
//!
//! Case counts. Not regular expressions, whose cost readers could drive up.
use std::fmt;

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Any characters, or none.
    Any,
    /// Some character.
    One,
    /// This one.
    Just(char),
}

impl Pattern {
    /// The longest pattern in bytes: matching costs its length times that of the text.
    pub const LONGEST: usize = 1000;

    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    ///
    /// ```
    /// use evenkeel_core::query::Pattern;
    /// let pattern = Pattern::parse("o-%_\\%")?;
    /// assert!(pattern.matches("o-7%") && pattern.matches("o-100%"));
    /// assert!(!pattern.matches("o-%") && !pattern.matches("O-7%") && !pattern.matches("o-77"));
    /// # Ok::<(), String>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > Self::LONGEST {
            return Err(format!("expected a pattern of at most {} bytes", Self::LONGEST));
        }
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            parts.push(match char {
                '%' | '*' if parts.last() == Some(&Part::Any) => continue,
                '%' | '*' => Part::Any,
                '_' => Part::One,
                '\\' => match chars.next() {
                    Some(escaped) => Part::Just(escaped),
                    None => return Err(format!("expected a character after the last \\ of {text:?}")),
                },
                other => Part::Just(other),
            });
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Whether the whole text is like this.
    pub fn matches(&self, text: &str) -> bool {
        let (mut part, mut rest) = (0, text.chars());
        // Where to go on when what follows the last run of any characters does not fit: that run takes one more.
        let mut again: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let before = rest.clone();
            match (self.parts.get(part), rest.next()) {
                (None, None) => return true,
                (Some(Part::Any), _) => {
                    part += 1;
                    again = Some((part, before.clone()));
                    rest = before;
                    continue;
                }
                (Some(Part::One), Some(_)) => {
                    part += 1;
                    continue;
                }
                (Some(Part::Just(just)), Some(found)) if *just == found => {
                    part += 1;
                    continue;
                }
                (Some(_), None) => return false,
                _ => {}
            }
            let Some((from, mut one_more)) = again.take() else { return false };
            if one_more.next().is_none() {
                return false;
            }
            (part, rest) = (from, one_more.clone());
            again = Some((from, one_more));
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
