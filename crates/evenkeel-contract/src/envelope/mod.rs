//! CloudEvents 1.0 in the JSON format: bytes to a [`RawEvent`], strictly.
//!
//! The structured JSON form is the one form everything goes through and is kept in: [`binary`] builds it from the
//! headers and body of binary mode, [`batch`] cuts it out of a batch. Only JSON data is taken. Not here: what a
//! contract makes of the event ([`crate::gate`]), or HTTP.
pub mod batch;
pub mod binary;
mod canonical;
mod content_type;

pub use batch::split_batch;
pub use binary::from_binary;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use content_type::ContentType;
use evenkeel_core::{
    Digest, SourceName, Timestamp,
    json::{self, JsonError, Object, Value},
};
use serde::Deserialize;
use std::borrow::Cow;

/// A CloudEvent as its source sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct RawEvent {
    /// What its source calls it.
    pub id: String,
    /// Who sent it.
    pub source: SourceName,
    /// What its source calls the kind of event.
    pub event_type: String,
    /// What it is about, by its source.
    pub subject: Option<String>,
    /// When it happened, by its source.
    pub time: Option<Timestamp>,
    /// The media type of the data, as sent.
    pub datacontenttype: Option<String>,
    /// The schema the source names.
    pub dataschema: Option<String>,
    /// Extension attributes, by name: text, integers and booleans.
    pub extensions: Object,
    /// The data; null where there is none.
    pub data: Value,
    /// Digest of the canonical form: equal for the same event in another formatting or transport mode.
    pub digest: Digest,
}

/// An event that is no CloudEvent that can be carried exactly, but that can be told from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Who sent it.
    pub source: SourceName,
    /// What its source calls it.
    pub id: String,
    /// What is wrong.
    pub detail: String,
    /// JSON pointer to what is wrong, where one place is.
    pub pointer: Option<String>,
    /// Digest of the bytes. Nothing of a malformed event can be trusted to have a canonical form.
    pub digest: Digest,
}

/// Nothing can be taken: no (source, id) can be read, so the sender must be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// Why bytes are no [`RawEvent`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It can be told from others, so it can wait in quarantine.
    Malformed(Malformed),
    /// It cannot.
    Unreadable(Unreadable),
}

/// Reads an event in the structured JSON form.
///
/// # Errors
/// [`Refused::Malformed`] where at least `source` and `id` can be read (once each, as text that is not empty), else
/// [`Refused::Unreadable`]. Bytes whose JSON syntax is broken are unreadable, whatever stands before the break: an
/// event cut short would otherwise take the identity of the whole one that the sender sends next.
pub fn read(raw: &[u8]) -> Result<RawEvent, Refused> {
    let fault = match json::parse(raw) {
        Ok(Value::Object(members)) => match read_members(members) {
            Ok(event) => return Ok(event),
            Err(fault) => fault,
        },
        Ok(other) => {
            return Err(Refused::Unreadable(Unreadable(format!("expected a JSON object, found {}", other.kind()))));
        }
        Err(JsonError { message, pointer }) => {
            Fault { detail: message, pointer: Some(pointer).filter(|p| !p.is_empty()) }
        }
    };
    Err(match identity(raw) {
        Ok((source, id)) => {
            let Fault { detail, pointer } = fault;
            Refused::Malformed(Malformed { source: source.into(), id, detail, pointer, digest: Digest::of(raw) })
        }
        Err(why) => Refused::Unreadable(Unreadable(format!("no source and id can be read: {why}"))),
    })
}

/// What is wrong with an envelope, and where.
#[derive(Debug)]
struct Fault {
    detail: String,
    pointer: Option<String>,
}

impl Fault {
    fn at(name: &str, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), pointer: Some(format!("/{}", crate::place::escape(name))) }
    }
}

/// The identity of an event that is not well formed, past everything else in it, however deep.
fn identity(raw: &[u8]) -> Result<(String, String), String> {
    #[derive(Deserialize)]
    struct Identity<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
        #[serde(borrow)]
        source: Cow<'a, str>,
    }
    let Identity { id, source } = serde_json::from_slice(raw).map_err(|error| error.to_string())?;
    match (source.is_empty(), id.is_empty()) {
        (false, false) => Ok((source.into_owned(), id.into_owned())),
        (true, _) => Err("the source is empty".into()),
        (_, true) => Err("the id is empty".into()),
    }
}

fn read_members(mut members: Object) -> Result<RawEvent, Fault> {
    for (name, _) in members.iter() {
        check_name(name)?;
    }
    match required(&mut members, "specversion")?.as_str() {
        "1.0" => {}
        other => return Err(Fault::at("specversion", format!("expected specversion 1.0, found {other:?}"))),
    }
    let id = required(&mut members, "id")?;
    let source = required(&mut members, "source")?;
    let event_type = required(&mut members, "type")?;
    let subject = text(&mut members, "subject")?;
    let time = match text(&mut members, "time")? {
        Some(time) => Some(time.parse().map_err(|error| Fault::at("time", format!("{error}")))?),
        None => None,
    };
    let datacontenttype = text(&mut members, "datacontenttype")?;
    let content_type = datacontenttype.as_deref().map_or(Ok(ContentType::JSON), ContentType::of_json);
    let content_type = content_type.map_err(|detail| Fault::at("datacontenttype", detail))?;
    let dataschema = text(&mut members, "dataschema")?;
    let data = take_data(&mut members)?;
    let extensions = take_extensions(members)?;
    let canonical = canonical::Canonical {
        source: &source,
        id: &id,
        event_type: &event_type,
        subject: subject.as_deref(),
        time,
        content_type: &content_type,
        dataschema: dataschema.as_deref(),
        extensions: &extensions,
        data: &data,
    };
    let digest = canonical.digest().map_err(|error| Fault { detail: error.to_string(), pointer: None })?;
    let source = source.into();
    Ok(RawEvent { id, source, event_type, subject, time, datacontenttype, dataschema, extensions, data, digest })
}

fn check_name(name: &str) -> Result<(), Fault> {
    if name == "data_base64" || (!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
    {
        return Ok(());
    }
    let detail = match name.strip_prefix(binary::HEADER_PREFIX) {
        Some(_) => format!("the header {name} has no value that can be read as an attribute"),
        None => format!("an attribute's name has only lower-case letters and digits, found {name:?}"),
    };
    Err(Fault::at(name, detail))
}

/// A required attribute: text that is not empty.
fn required(members: &mut Object, name: &str) -> Result<String, Fault> {
    text(members, name)?.ok_or_else(|| Fault::at(name, format!("the attribute {name} is missing")))
}

/// An attribute that is text, not empty, if it is there. CloudEvents takes null for absent.
fn text(members: &mut Object, name: &str) -> Result<Option<String>, Fault> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Err(Fault::at(name, format!("the attribute {name} is empty"))),
        Some(Value::String(text)) => {
            check_characters(name, &text)?;
            Ok(Some(text.into()))
        }
        Some(other) => Err(Fault::at(name, format!("the attribute {name} must be text, found {}", other.kind()))),
    }
}

/// CloudEvents allows neither control characters nor noncharacters in attributes.
fn check_characters(name: &str, text: &str) -> Result<(), Fault> {
    let noncharacter = |c: char| matches!(u32::from(c), 0xFDD0..=0xFDEF) || u32::from(c) & 0xFFFE == 0xFFFE;
    match text.chars().find(|&c| c.is_control() || noncharacter(c)) {
        Some(c) => Err(Fault::at(name, format!("the attribute {name} holds the character U+{:04X}", u32::from(c)))),
        None => Ok(()),
    }
}

fn take_data(members: &mut Object) -> Result<Value, Fault> {
    let data = members.remove("data").filter(|data| *data != Value::Null);
    let encoded = match members.remove("data_base64") {
        None | Some(Value::Null) => return Ok(data.unwrap_or_default()),
        Some(Value::String(encoded)) => encoded,
        Some(other) => {
            return Err(Fault::at("data_base64", format!("data_base64 must be text, found {}", other.kind())));
        }
    };
    if data.is_some() {
        return Err(Fault::at("data_base64", "an event has data or data_base64, not both"));
    }
    let decoded = STANDARD
        .decode(encoded)
        .map_err(|error| Fault::at("data_base64", format!("data_base64 is not Base64: {error}")))?;
    json::parse(&decoded).map_err(|error| Fault::at("data_base64", format!("the data is not JSON: {error}")))
}

/// What is left are extensions. Those that are null are absent.
fn take_extensions(members: Object) -> Result<Object, Fault> {
    for (name, value) in members.iter() {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(json::Number::Int(_)) => {}
            Value::String(text) => check_characters(name, text)?,
            other => {
                let detail =
                    format!("the attribute {name} must be text, an integer or a boolean, found {}", other.kind());
                return Err(Fault::at(name, detail));
            }
        }
    }
    let absent: Vec<_> =
        members.iter().filter(|(_, value)| **value == Value::Null).map(|(name, _)| name.to_owned()).collect();
    let mut extensions = members;
    for name in absent {
        extensions.remove(&name);
    }
    Ok(extensions)
}

#[cfg(test)]
mod tests;
