//! Where in the text of a JSON document the value of a pointer stands, for messages that underline it.
//!
//! Following one to a value is [`evenkeel_core::json::Pointer`]'s.
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap, ops::Range};

/// The bytes of the value at `pointer`, or of the innermost value on the way there that exists.
pub(crate) fn locate(text: &str, pointer: &str) -> Range<usize> {
    let Ok(mut value) = serde_json::from_str::<&RawValue>(text) else { return 0..0 };
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        match member(value, &token) {
            Some(inner) => value = inner,
            None => break,
        }
    }
    // A raw value borrows from the text it was read from.
    let start = (value.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    start..start + value.get().len()
}

/// The byte at which `text` stops being JSON, and why; `None` where it is JSON.
pub(crate) fn syntax_error(text: &str) -> Option<(usize, String)> {
    let error = serde_json::from_str::<serde::de::IgnoredAny>(text).err()?;
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default().to_owned();
    Some((before + error.column().saturating_sub(1), message))
}

fn member<'t>(value: &'t RawValue, token: &str) -> Option<&'t RawValue> {
    if let Ok(mut object) = serde_json::from_str::<BTreeMap<Cow<'t, str>, &'t RawValue>>(value.get()) {
        return object.remove(token);
    }
    let items: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
    items.get(token.parse::<usize>().ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_their_text() {
        let text = r#" { "a/b": [ 1, {"c": "objct"} ], "d": 2 } "#;
        for (pointer, expected) in
            [("/a~1b/1/c", "\"objct\""), ("/d", "2"), ("/d/e", "2"), ("/a~1b/7", "[ 1, {\"c\": \"objct\"} ]")]
        {
            assert_eq!(&text[locate(text, pointer)], expected, "{pointer}");
        }
        assert_eq!(&text[locate(text, "")], text.trim());
        assert_eq!(locate("{", "/a"), 0..0);
        assert_eq!(syntax_error("[1,\n 2 3]"), Some((7, "expected `,` or `]`".into())));
        assert_eq!(syntax_error(text), None);
    }
}
