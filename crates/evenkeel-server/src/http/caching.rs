//! What caches are told of a read: `ETag`, 304, `Cache-Control`, `Vary`.
//!
//! The tag is of the rows and of what the label warns of, so that a 304 never stands for rows that were fresh and are stale
//! now. It is weak: the times in a label differ from one answer to the next. A read that asks for more than what is there
//! is not for any cache to answer; others may be kept, and asked about each time.
use axum::http::{HeaderMap, HeaderValue, header};
use evenkeel::{core::Digest, report::Consistency};
use serde::Serialize;

/// What a later answer depends on beside the address.
const VARY: HeaderValue = HeaderValue::from_static("consistency-token, prefer");

/// The tag of rows with this label.
pub(crate) fn tag(rows: &impl Serialize, label: &Consistency) -> Option<HeaderValue> {
    let Consistency { level_served, freshness, data_stale, parked_events, quarantined_events, content, .. } = label;
    let warned = (level_served, freshness, data_stale, parked_events, quarantined_events, content.verdict);
    let bytes = serde_json::to_vec(&(rows, warned)).ok()?;
    let digest = Digest::of(&bytes).to_string();
    HeaderValue::from_str(&format!("W/\"{}\"", &digest[..32])).ok()
}

/// Whether the client has what bears this tag, by weak comparison.
pub(crate) fn has(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Ok(tag) = tag.to_str().map(opaque) else { return false };
    let named = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|value| value.split(',')).any(|one| one.trim() == "*" || opaque(one) == tag)
}

/// Says what may be kept. `plain` is a read that asks for nothing but what is there.
pub(crate) fn allow(headers: &mut HeaderMap, plain: bool, label: &Consistency) {
    let plain = plain && label.level_requested == "eventual" && label.level_served == "eventual";
    let control = if plain { "private, no-cache" } else { "no-store" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(control));
    headers.insert(header::VARY, VARY);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly_in_a_list() {
        let tag = HeaderValue::from_static("W/\"ab\"");
        let has = |value: &'static str| {
            has(&HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(value))]), &tag)
        };
        for same in ["W/\"ab\"", "\"ab\"", "*", "\"x\", W/\"ab\"", "\"ab\" ,\"y\""] {
            assert!(has(same), "{same}");
        }
        for other in ["\"abc\"", "ab", "", "W/\"a\""] {
            assert!(!has(other), "{other}");
        }
    }
}
