//! The binary mode of the CloudEvents HTTP binding: attributes in `ce-` headers, data in the body.
//!
//! Only the translation to the structured form, which loses nothing: what makes no sense is written so that reading it
//! refuses it, with the header or the body whole.
use super::{Unreadable, content_type::ContentType};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;
use std::fmt::Write as _;

/// What the names of headers that carry attributes begin with.
pub(super) const HEADER_PREFIX: &str = "ce-";

/// The structured form of an event that came in binary mode. `headers` may hold others than `ce-` headers.
///
/// A body that is JSON by syntax stands under `data` as it is, any other under `data_base64`. The members are sorted,
/// so the same event gives the same bytes whatever the order of its headers.
///
/// ```
/// use evenkeel_contract::envelope::from_binary;
/// let headers = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "shop"), ("ce-type", "t"), ("host", "x")];
/// let structured = from_binary(headers, Some("application/json"), b"{\"total\": 1.50}")?;
/// assert_eq!(
///     String::from_utf8_lossy(&structured),
///     r#"{"datacontenttype":"application/json","id":"1","source":"shop","specversion":"1.0","type":"t","data":{"total": 1.50}}"#,
/// );
/// # Ok::<(), evenkeel_contract::envelope::Unreadable>(())
/// ```
///
/// # Errors
/// Where there is no header `ce-id` or `ce-source`.
pub fn from_binary<'h>(
    headers: impl IntoIterator<Item = (&'h str, &'h str)>,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Vec<u8>, Unreadable> {
    let mut members: Vec<(String, String)> =
        content_type.map(|value| ("datacontenttype".into(), quoted(value))).into_iter().collect();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let Some(attribute) = name.strip_prefix(HEADER_PREFIX) else { continue };
        members.push(match decode(value) {
            // `data` is no attribute: as a member it would pass for the body.
            Some(text) if !attribute.starts_with("data_") && attribute != "data" => {
                (attribute.to_owned(), quoted(&text))
            }
            _ => (name, quoted(value)),
        });
    }
    for attribute in ["id", "source"] {
        if !members.iter().any(|(name, _)| name == attribute) {
            return Err(Unreadable(format!("the header {HEADER_PREFIX}{attribute} is missing or cannot be read")));
        }
    }
    members.sort();
    members.extend(data(content_type, body));
    let mut structured = String::with_capacity(256 + body.len());
    for (i, (name, value)) in members.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(structured, "{}{}:{value}", if i == 0 { '{' } else { ',' }, quoted(name));
    }
    structured.push('}');
    Ok(structured.into_bytes())
}

fn data(content_type: Option<&str>, body: &[u8]) -> Option<(String, String)> {
    if body.is_empty() {
        return None;
    }
    let is_json = content_type.is_none_or(|text| ContentType::of_json(text).is_ok());
    let raw: Option<&RawValue> = serde_json::from_slice(body).ok();
    Some(match raw.filter(|_| is_json) {
        Some(raw) => ("data".into(), raw.get().to_owned()),
        None => ("data_base64".into(), quoted(&STANDARD.encode(body))),
    })
}

/// As JSON text.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The attribute's value: a quoted string is taken out of its quotes, then percent-encoding is undone once. A `%` that
/// two hexadecimal digits do not follow is itself. `None` where the result is not UTF-8.
fn decode(value: &str) -> Option<String> {
    let value = value.trim_matches([' ', '\t']);
    let unquoted = match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => unescape(inner),
        None => value.to_owned(),
    };
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(unquoted.len());
    let mut rest = unquoted.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        decoded.push(match (first, after) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => b'%',
            },
            _ => *first,
        });
    }
    String::from_utf8(decoded).ok()
}

/// Undoes the backslashes of a quoted string.
fn unescape(inner: &str) -> String {
    let mut characters = inner.chars();
    let mut text = String::with_capacity(inner.len());
    while let Some(c) = characters.next() {
        text.push(if c == '\\' { characters.next().unwrap_or(c) } else { c });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_decoded_once() {
        for (value, expected) in [
            ("plain", Some("plain")),
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", Some("Euro € 😀")),
            ("50%", Some("50%")),
            ("%2525", Some("%25")),
            ("%zz%4", Some("%zz%4")),
            (r#""a \"b\" \\ %41""#, Some(r#"a "b" \ A"#)),
            ("\"", Some("\"")),
            ("%FF", None),
        ] {
            assert_eq!(decode(value).as_deref(), expected, "{value}");
        }
    }
}
