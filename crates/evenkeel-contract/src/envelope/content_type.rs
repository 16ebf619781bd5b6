//! Media types of data: JSON or refused.
//!
//! Not the media type of a request: telling the modes apart is the server's.
use serde::Serialize;

/// A JSON media type in its simplest form: lower case, without parameters. Empty for plain `application/json`, which
/// is also what the absence of a type means.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct ContentType<'a>(std::borrow::Cow<'a, str>);

impl<'a> ContentType<'a> {
    /// `application/json`
    pub(super) const JSON: ContentType<'static> = ContentType(std::borrow::Cow::Borrowed(""));

    /// Reads a media type.
    ///
    /// # Errors
    /// Says in words why its data cannot be taken: not JSON, or not UTF-8.
    pub(super) fn of_json(text: &'a str) -> Result<Self, String> {
        if text == "application/json" {
            return Ok(Self::JSON);
        }
        let mut parts = text.split(';');
        let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let subtype = essence.split_once('/').map_or("", |(_, subtype)| subtype);
        if subtype != "json" && subtype.strip_suffix("+json").is_none_or(str::is_empty) {
            return Err(format!(
                "only JSON data is taken (application/json or a type ending in +json), found {text:?}"
            ));
        }
        for parameter in parts {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
                return Err(format!("JSON data is in UTF-8, found the charset {value:?}"));
            }
        }
        Ok(if essence == "application/json" { Self::JSON } else { Self(essence.into()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_known_by_its_type_or_suffix() {
        for text in ["application/json", "Application/JSON; charset=\"UTF-8\"", "application/json;charset=utf-8"] {
            assert_eq!(ContentType::of_json(text), Ok(ContentType::JSON), "{text}");
        }
        assert_eq!(
            ContentType::of_json("application/vnd.shop+json; v=1"),
            ContentType::of_json("application/vnd.Shop+json")
        );
        assert!(ContentType::of_json("text/json").is_ok());
        for text in [
            "",
            "text/plain",
            "application/xml",
            "json",
            "application/+json",
            "application/jsonp",
            "application/json; charset=latin1",
        ] {
            assert!(ContentType::of_json(text).is_err(), "{text}");
        }
    }
}
