//! JSON pointers (RFC 6901), parsed once and followed often.
use super::Value;
use std::{fmt, str::FromStr};

/// Text that is not a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a JSON pointer such as /data/total, found {0:?}")]
pub struct BadPointer(pub String);

/// A JSON pointer. The empty pointer is the whole document.
///
/// ```
/// use evenkeel_core::json::{Pointer, parse};
/// let pointer: Pointer = "/lines/0/a~1b".parse()?;
/// assert_eq!(pointer.get(&parse(br#"{"lines":[{"a/b":7}]}"#)?), Some(&7.into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// The unescaped reference tokens.
    pub fn tokens(&self) -> &[String] {
        &self.0
    }

    /// The value this points to in `document`.
    pub fn get<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        follow(&self.0, document)
    }
}

/// Follows reference tokens from `value` on.
pub(crate) fn follow<'v>(tokens: &[String], value: &'v Value) -> Option<&'v Value> {
    tokens.iter().try_fold(value, |value, token| match value {
        Value::Object(object) => object.get(token),
        Value::Array(items) if token == "0" || !token.starts_with(['0', '+']) => {
            items.get(token.parse::<usize>().ok()?)
        }
        _ => None,
    })
}

/// A member's name as a reference token.
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl FromStr for Pointer {
    type Err = BadPointer;
    fn from_str(text: &str) -> Result<Self, BadPointer> {
        let bad = || BadPointer(text.to_owned());
        let mut tokens = text.split('/');
        if tokens.next() != Some("") {
            return Err(bad());
        }
        let unescape = |token: &str| {
            let escapes = token.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
            if escapes { Ok(token.replace("~1", "/").replace("~0", "~")) } else { Err(bad()) }
        };
        tokens.map(unescape).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|token| write!(f, "/{}", escape(token)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_round_trip_and_bad_ones_are_refused() {
        for text in ["", "/", "/a", "/a~1b/m~0n/0", "/~01", "/~0~1"] {
            assert_eq!(text.parse::<Pointer>().unwrap().to_string(), text);
        }
        for text in ["a", "a/b", "/~", "/~2", "/~~01", "/~0~"] {
            assert!(text.parse::<Pointer>().is_err(), "{text}");
        }
    }

    #[test]
    fn indices_are_plain() {
        let document = super::super::parse(br#"[[10,11],{"-":1}]"#).unwrap();
        let get = |text: &str| text.parse::<Pointer>().unwrap().get(&document).map(ToString::to_string);
        assert_eq!(get("/0/1").as_deref(), Some("11"));
        assert_eq!((get("/0/01"), get("/0/+1"), get("/0/-"), get("/0/2")), (None, None, None, None));
        assert_eq!(get("/1/-").as_deref(), Some("1"));
    }
}
