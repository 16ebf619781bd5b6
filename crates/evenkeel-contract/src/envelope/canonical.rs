//! The canonical form of an event, over which its digest is taken.
//!
//! An `id_conflict` accuses a source of giving one id to two events, so nothing that is not content may enter: not
//! white space, the order of members or of headers, escapes, the offset a time is written with, whether null or absence
//! says "none", whether data came as JSON or Base64, or whether an extension came as a number (structured mode) or as
//! its text (a header). Numbers of the data stay as written: `1.0` and `1` are different content where decimals are
//! kept exactly as sent.
use super::content_type::ContentType;
use evenkeel_core::{
    Digest, Timestamp,
    json::{Object, Value},
};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// An event's content, borrowed.
#[derive(Serialize)]
pub(super) struct Canonical<'a> {
    pub(super) source: &'a str,
    pub(super) id: &'a str,
    pub(super) event_type: &'a str,
    pub(super) subject: Option<&'a str>,
    pub(super) time: Option<Timestamp>,
    pub(super) content_type: &'a ContentType<'a>,
    pub(super) dataschema: Option<&'a str>,
    #[serde(serialize_with = "as_texts")]
    pub(super) extensions: &'a Object,
    pub(super) data: &'a Value,
}

impl Canonical<'_> {
    /// SHA-256 of the canonical form.
    ///
    /// # Errors
    /// None that a value from [`evenkeel_core::json::parse`] can cause; the serializer's signature has one.
    pub(super) fn digest(&self) -> Result<Digest, serde_json::Error> {
        let mut bytes = Vec::with_capacity(1024);
        serde_json::to_writer(&mut bytes, self)?;
        Ok(Digest::of(&bytes))
    }
}

/// Extension attributes by their canonical text, which is how headers carry them.
fn as_texts<S: Serializer>(extensions: &Object, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(extensions.len()))?;
    for (name, value) in extensions.iter() {
        match value {
            Value::String(text) => map.serialize_entry(name, text.as_str())?,
            other => map.serialize_entry(name, &other.to_string())?,
        }
    }
    map.end()
}
