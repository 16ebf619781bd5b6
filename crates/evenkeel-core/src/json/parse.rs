//! Bytes to [`Value`]: one quick pass by `serde_json`, which tells numbers that are no integers as floats, so that their
//! text is found beside it; and a second, exact one where the first met an error that deserves a pointer.
//!
//! Refused: invalid UTF-8, lone surrogates, duplicate keys, nesting beyond [`MAX_DEPTH`].
use super::{Number, Object, Value};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use smol_str::SmolStr;
use std::fmt;

/// How deep arrays and objects may nest.
pub const MAX_DEPTH: usize = 64;

/// Why bytes are not JSON that can be carried exactly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", if pointer.is_empty() { String::new() } else { format!(" at {pointer}") })]
pub struct JsonError {
    /// What is wrong.
    pub message: String,
    /// JSON pointer to the value concerned; empty for the whole document.
    pub pointer: String,
}

/// Reads one JSON document.
///
/// # Errors
/// Says what cannot be carried exactly, and where.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|error| JsonError {
        message: format!("invalid UTF-8 after byte {}", error.valid_up_to()),
        pointer: String::new(),
    })?;
    let mut floats = Floats { text, at: 0, met: 0 };
    let mut reader = serde_json::Deserializer::from_str(text);
    let quick = Quick { depth: 0, floats: &mut floats }.deserialize(&mut reader);
    match quick {
        Ok(value) if reader.end().is_ok() && floats.are_all() => Ok(value),
        _ => {
            let broken = |error: serde_json::Error| JsonError { message: error.to_string(), pointer: String::new() };
            exact(serde_json::from_str(text).map_err(broken)?, 0, &Way::Document)
        }
    }
}

/// The texts of the numbers that are read as floats, one after the other as the reading meets them.
///
/// What is read before the text is known to be JSON is of no use if it turns out not to be; until then this only must not
/// go astray.
struct Floats<'t> {
    text: &'t str,
    at: usize,
    met: usize,
}

impl<'t> Floats<'t> {
    /// The next of them.
    fn next(&mut self) -> Option<&'t str> {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'"' => self.at = end_of_string(bytes, self.at + 1),
                b'-' | b'0'..=b'9' => {
                    let len = bytes[self.at..].iter().take_while(|byte| is_of_number(**byte)).count();
                    let number = self.text.get(self.at..self.at + len)?;
                    self.at += len;
                    if is_float(number) {
                        self.met += 1;
                        return Some(number);
                    }
                }
                _ => self.at += 1,
            }
        }
        None
    }

    /// Whether there is none that the reading did not meet. Where it met none, nothing was looked for.
    fn are_all(&mut self) -> bool {
        self.met == 0 || self.next().is_none()
    }
}

/// Behind the quotation mark that ends a string.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// Whether the reading tells this number as a float.
fn is_float(number: &str) -> bool {
    let is_short = number.len() < 18;
    number == "-0"
        || number.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
        || (!is_short && number.parse::<i64>().is_err() && number.parse::<u64>().is_err())
}

/// A number as it is written, where it is no integer that is short enough.
fn number(text: &str) -> Value {
    match text.parse() {
        _ if text == "-0" => 0.into(),
        Ok(int) => Value::Number(Number::Int(int)),
        Err(_) => Value::Number(Number::Exact(text.into())),
    }
}

/// The quick pass.
struct Quick<'a, 't> {
    depth: usize,
    floats: &'a mut Floats<'t>,
}

impl<'t> Quick<'_, 't> {
    fn deeper<E: de::Error>(&mut self) -> Result<Quick<'_, 't>, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom("too deep"));
        }
        Ok(Quick { depth: self.depth + 1, floats: self.floats })
    }
}

impl<'de> DeserializeSeed<'de> for Quick<'_, '_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Quick<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }

    fn visit_i64<E>(self, int: i64) -> Result<Value, E> {
        Ok(int.into())
    }

    fn visit_u64<E>(self, int: u64) -> Result<Value, E> {
        Ok(Value::Number(match i64::try_from(int) {
            Ok(int) => Number::Int(int),
            Err(_) => Number::Exact(int.to_string().into()),
        }))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Value, E> {
        self.floats.next().map(number).ok_or_else(|| E::custom("a number that is not in the text"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self.deeper()?)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        self.deeper::<A::Error>()?;
        let mut members = Vec::with_capacity(8);
        while let Some(Name(key)) = access.next_key()? {
            members.push((key, access.next_value_seed(self.deeper()?)?));
        }
        Object::from_members(members)
            .map(Value::Object)
            .map_err(|key| de::Error::custom(format!("duplicate key {key:?}")))
    }
}

/// The way to a value, written out only where it is needed: every value of a document has one.
enum Way<'a> {
    Document,
    Member(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document => Ok(()),
            Self::Member(to, key) => write!(f, "{to}/{}", super::pointer::escape(key)),
            Self::Item(to, index) => write!(f, "{to}/{index}"),
        }
    }
}

/// What is said of an escape that names one half of a pair.
const ALONE: &str = "half a surrogate pair, which is no character (an escape such as \\ud800 without its other half)";

/// Level by level over raw text: at most [`MAX_DEPTH`] readings of each byte.
fn exact(raw: &RawValue, depth: usize, way: &Way<'_>) -> Result<Value, JsonError> {
    let text = raw.get();
    let fail = |message: String| JsonError { message, pointer: way.to_string() };
    // The text has been found to be JSON, in which nothing but this can be wrong.
    let alone = |_| fail(ALONE.into());
    let first = text.bytes().next().unwrap_or(b' ');
    if matches!(first, b'{' | b'[') && depth == MAX_DEPTH {
        return Err(fail(format!("nested deeper than {MAX_DEPTH} levels")));
    }
    Ok(match first {
        b'{' => {
            let RawMembers(raw_members) = serde_json::from_str(text).map_err(alone)?;
            let mut members = Vec::with_capacity(raw_members.len());
            for (key, raw) in raw_members {
                let value = exact(raw, depth + 1, &Way::Member(way, &key))?;
                members.push((key, value));
            }
            Value::Object(Object::from_members(members).map_err(|key| fail(format!("the key {key:?} stands twice")))?)
        }
        b'[' => {
            let raw_items: Vec<&RawValue> = serde_json::from_str(text).map_err(alone)?;
            let items = raw_items.into_iter().enumerate();
            Value::Array(items.map(|(i, raw)| exact(raw, depth + 1, &Way::Item(way, i))).collect::<Result<_, _>>()?)
        }
        b'"' => Value::String(serde_json::from_str::<Name>(text).map_err(alone)?.0),
        b't' => Value::Bool(true),
        b'f' => Value::Bool(false),
        b'n' => Value::Null,
        _ => number(text),
    })
}

/// Text, read without a detour by a string of its own.
struct Name(SmolStr);

impl<'de> de::Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_str<E>(self, text: &str) -> Result<Name, E> {
                Ok(Name(text.into()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The members of an object, unread, duplicates and all.
struct RawMembers<'a>(Vec<(SmolStr, &'a RawValue)>);

impl<'de> de::Deserialize<'de> for RawMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = RawMembers<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(key), value)) = access.next_entry()? {
                    members.push((key, value));
                }
                Ok(RawMembers(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(input: &str) -> String {
        parse(input.as_bytes()).unwrap().to_string()
    }

    fn refused(input: &[u8]) -> String {
        parse(input).unwrap_err().to_string()
    }

    #[test]
    fn numbers_keep_their_text() {
        for number in [
            "0",
            "-7",
            "9007199254740993",
            "9007199254740993.01",
            "1e400",
            "18446744073709551616",
            "1.50",
            "-0.0",
            "9223372036854775808",
        ] {
            assert_eq!(text(number), number);
            assert_eq!(text(&format!("[{{\"a\":{number}}}]")), format!("[{{\"a\":{number}}}]"));
        }
        assert_eq!(text("-0"), "0");
    }

    #[test]
    fn what_is_ambiguous_or_broken_is_refused_with_its_place() {
        assert_eq!(refused(br#"{"a":{"b":1,"b":2}}"#), r#"the key "b" stands twice at /a"#);
        assert_eq!(refused(br#"{"a":1,"\u0061":2}"#), r#"the key "a" stands twice"#);
        assert_eq!(refused(br#"{"x/y":["\ud800"]}"#), format!("{ALONE} at /x~1y/0"));
        assert_eq!(refused(br#"{"a":{"\ud800":1}}"#), format!("{ALONE} at /a"));
        assert_eq!(refused(br#"{"a":{"\ud800x":[]}}"#), format!("{ALONE} at /a"));
        assert!(refused(b"{\"a\":\"\xff\"}").starts_with("invalid UTF-8 after byte 6"));
        assert!(refused(b"[1,]").contains("line 1 column 4"));
        assert!(refused(b"1 2").contains("trailing characters"));
        assert!(refused(b"").contains("EOF"));
        assert!(refused(b"[NaN]").contains("expected value"));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{}1.5{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(text(&nested(MAX_DEPTH)), nested(MAX_DEPTH));
        assert!(refused(nested(MAX_DEPTH + 1).as_bytes()).starts_with("nested deeper than 64 levels"));
        assert!(refused(nested(1_000_000).as_bytes()).starts_with("nested deeper than 64 levels"));
        assert!(refused("[".repeat(1_000_000).as_bytes()).contains("EOF"));
        for innermost in ["[]", "{}"] {
            let around = |n: usize| format!("{}{innermost}{}", "[".repeat(n), "]".repeat(n));
            assert_eq!(text(&around(MAX_DEPTH - 1)), around(MAX_DEPTH - 1));
            assert!(refused(around(MAX_DEPTH).as_bytes()).starts_with("nested deeper than 64 levels"), "{innermost}");
        }
    }

    #[test]
    fn a_long_key_is_not_copied_for_every_value_behind_it() {
        // Ten gigabytes, if it were.
        let document = format!(r#"{{"{}":[{}2]}}"#, "k".repeat(100_000), "1.5,".repeat(100_000));
        assert_eq!(text(&document), document);
        let broken = document.replace("2]", "{\"a\":1,\"a\":1.5}]");
        assert!(refused(broken.as_bytes()).ends_with("kk/100000"));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "-?[1-9][0-9]{0,30}\\.[0-9]{1,30}".prop_map(|t| Value::Number(Number::Exact(t.into()))),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(|m| Object::from_members(
                    m.into_iter().map(|(key, value)| (key.into(), value)).collect()
                )
                .unwrap()
                .into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_text_round_trips(value in any_value()) {
            prop_assert_eq!(parse(value.to_string().as_bytes()), Ok(value));
        }

        /// Numbers of every kind between strings that look like them.
        #[test]
        fn the_quick_pass_reads_what_the_exact_one_does(
            parts in prop::collection::vec(
                prop_oneof![
                    "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?",
                    Just(r#""1.5""#.to_owned()), Just(r#""\"2.5\\""#.to_owned()), Just(r#"{"3.5":-0,"-0":4e1}"#.to_owned()),
                    Just("[[], 9223372036854775808, 18446744073709551615, 18446744073709551616]".to_owned()),
                ],
                0..8,
            ),
        ) {
            let document = format!("[{}]", parts.join(" , "));
            let raw = serde_json::from_str(&document).unwrap();
            let exact = exact(raw, 0, &Way::Document);
            prop_assert_eq!(parse(document.as_bytes()), exact.clone());
            // And that without a second pass.
            let mut floats = Floats { text: &document, at: 0, met: 0 };
            let mut reader = serde_json::Deserializer::from_str(&document);
            let quick = Quick { depth: 0, floats: &mut floats }.deserialize(&mut reader);
            prop_assert_eq!(quick.ok(), exact.ok());
            prop_assert!(floats.are_all());
        }

        #[test]
        fn agrees_with_serde_json_on_what_is_json(bytes in "[\\[\\]{}:,\"a1.e \\\\-]{0,12}") {
            if let Ok(ours) = parse(bytes.as_bytes()) {
                prop_assert!(serde_json::from_str::<&RawValue>(&bytes).is_ok(), "{} taken as {}", bytes, ours);
            } else if let Ok(theirs) = serde_json::from_str::<serde_json::Value>(&bytes) {
                // They keep the last of two equal keys; we refuse.
                prop_assert!(refused(bytes.as_bytes()).contains("stands twice"), "{theirs} refused");
            }
        }
    }
}
