//! `POST /v1/events`: the CloudEvents HTTP binding in its three modes.
//!
//! Telling the modes apart and cutting a body into events; what an event is, and whether it is admitted, is the gate's.
use super::{
    App, body, json,
    params::{Params, TOKEN, tokens},
    problem::{BAD_PARAMETER, BAD_REQUEST, Problem, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE},
};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use evenkeel::{
    PublishOptions,
    contract::envelope,
    core::{StreamVersion, token::Token},
    report::Receipt,
};
use serde::Serialize;
use std::{fmt::Write as _, sync::Arc};

/// Batches of more events than this are decided in a thread of their own: the gate needs microseconds for each.
const DECIDE_APART: usize = 64;

/// What became of a request's events, in their order.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Published {
    /// One for each event.
    results: Vec<Receipt>,
    /// What the writer has seen and written now, for reads that are to have it in them; null where nothing was sent.
    token: Option<String>,
}

/// Takes events in.
///
/// 202 once every event is on disk, in the log or in quarantine: the sender need not send again. Sending again is safe.
#[utoipa::path(
    post, path = "/v1/events", tag = "events",
    params(
        ("Expected-Version" = Option<u64>, Header, description = "The version the event's stream must have, 0 for a new one; single events only"),
        ("Consistency-Token" = Option<String>, Header, description = "What the writer has seen: tokens of earlier answers, with commas between. The events know that and those before them in the request, and nothing else of the log"),
        ("Content-Encoding" = Option<String>, Header, description = "`gzip`, or none"),
    ),
    request_body(description = "One event in binary mode (`ce-` headers) or structured mode, or a batch", content(
        (Object = "application/cloudevents+json"),
        (Vec<Object> = "application/cloudevents-batch+json"),
        (Object = "application/json"),
    )),
    responses((status = 202, description = "Every event was taken", body = Published)),
)]
pub(crate) async fn publish(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    Params::of(&parts.uri)?.finish()?;
    let seen = seen(&app, &parts.headers).await?;
    let mode = mode(&parts.headers)?;
    let options = PublishOptions { expected_version: expected_version(&parts.headers, mode)?, token: seen };
    let events = events(&app, &parts.headers, mode, body).await?;
    app.rates.take(&events)?;
    let results = if events.is_empty() {
        Vec::new()
    } else if events.len() > DECIDE_APART {
        let engine = app.engine.clone();
        super::blocking(move || engine.publish_blocking(events, options)).await?
    } else {
        app.engine.publish(events, options).await?
    };
    let token = (!results.is_empty()).then(|| app.engine.token_after(seen, &results));
    let header = token.as_deref().and_then(|token| HeaderValue::from_str(token).ok());
    let mut response = json(StatusCode::ACCEPTED, &Published { results, token });
    response.headers_mut().extend(header.map(|token| (TOKEN, token)));
    Ok(response)
}

/// What the writer says to have seen.
async fn seen(app: &App, headers: &HeaderMap) -> Result<Option<Token>, Problem> {
    let Some(text) = tokens(headers)? else { return Ok(None) };
    let engine = app.engine.clone();
    super::blocking(move || engine.token(&text)).await.map(Some)
}

/// The modes of the binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Binary,
    Structured,
    Batch,
}

fn mode(headers: &HeaderMap) -> Result<Mode, Problem> {
    let refused = |detail: String| Err(Problem::new(UNSUPPORTED_MEDIA_TYPE, detail));
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (text, more) = (types.next(), types.next().is_some());
    if more {
        return refused("there is more than one Content-Type".into());
    }
    let text = text.map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    let mut parts = text.split(';');
    let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let mode = match essence.as_str() {
        "application/cloudevents+json" => Mode::Structured,
        "application/cloudevents-batch+json" => Mode::Batch,
        other if other.starts_with("application/cloudevents") => {
            return refused(format!("events are taken in JSON, found the content type {other:?}"));
        }
        _ if headers.keys().any(|name| name.as_str().starts_with("ce-")) => return Ok(Mode::Binary),
        "" => return refused("there is neither a Content-Type nor a header that starts with ce-".into()),
        other => {
            return refused(format!(
                "found the content type {other:?} without ce- headers, so nothing says who sent this and what it is: \
                 send a whole CloudEvent as application/cloudevents+json, or add ce-specversion, ce-id, ce-source and ce-type"
            ));
        }
    };
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
            return refused(format!("events are taken in UTF-8, found the charset {value:?}"));
        }
    }
    Ok(mode)
}

fn expected_version(headers: &HeaderMap, mode: Mode) -> Result<Option<StreamVersion>, Problem> {
    let mut values = headers.get_all("expected-version").iter();
    let bad = |detail: String| Err(Problem::new(BAD_PARAMETER, format!("Expected-Version: {detail}")));
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(_), Some(_)) => return bad("is there twice".into()),
        (Some(value), None) => String::from_utf8_lossy(value.as_bytes()),
    };
    if mode == Mode::Batch {
        return bad("is for single events, not for a batch".into());
    }
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse().ok().filter(|_| digits) {
        Some(version) => Ok(Some(StreamVersion(version))),
        None => bad(format!("expected a whole number, found {value:?}")),
    }
}

/// The request's events in the structured form.
async fn events(app: &App, headers: &HeaderMap, mode: Mode, body: Body) -> Result<Vec<Vec<u8>>, Problem> {
    let limit = usize::try_from(app.limits.body_bytes).unwrap_or(usize::MAX);
    let bytes = body::read(headers, body, limit).await?;
    match mode {
        Mode::Structured => Ok(vec![bytes]),
        Mode::Binary => {
            let headers: Vec<(&str, String)> =
                headers.iter().map(|(name, value)| (name.as_str(), header_text(value.as_bytes()))).collect();
            let text = |wanted: &str| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
            let content_type = text("content-type");
            let headers = headers.iter().map(|(name, value)| (*name, value.as_str()));
            let event = envelope::from_binary(headers, content_type, &bytes);
            event
                .map(|event| vec![event])
                .map_err(|error| Problem::new(super::problem::UNREADABLE_EVENT, error).with("index", 0))
        }
        Mode::Batch => {
            let events = envelope::split_batch(&bytes).map_err(|error| Problem::new(BAD_REQUEST, error))?;
            let most = app.limits.batch_events;
            if events.len() as u64 > most {
                let detail = format!("the batch has {} events, at most {most} are taken in one request", events.len());
                return Err(Problem::new(TOO_LARGE, detail).with("limit_events", most));
            }
            Ok(events.into_iter().map(<[u8]>::to_vec).collect())
        }
    }
}

/// A header's value as text. Bytes beyond ASCII are written in percent-encoding, which is undone with the rest: what is
/// UTF-8 then is text, and what is not is refused by the gate with its bytes in sight.
fn header_text(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for &byte in value {
        if byte.is_ascii() {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn modes_are_told_apart() {
        let mode = |pairs: &[(&'static str, &'static str)]| mode(&headers(pairs)).ok();
        assert_eq!(
            mode(&[("content-type", "application/cloudevents+json; charset=\"UTF-8\"")]),
            Some(Mode::Structured)
        );
        assert_eq!(mode(&[("content-type", "Application/CloudEvents-Batch+JSON")]), Some(Mode::Batch));
        assert_eq!(mode(&[("content-type", "application/json"), ("ce-id", "1")]), Some(Mode::Binary));
        assert_eq!(mode(&[("ce-id", "1")]), Some(Mode::Binary));
        // What the content type says goes first, as the binding has it.
        assert_eq!(mode(&[("content-type", "application/cloudevents+json"), ("ce-id", "1")]), Some(Mode::Structured));
        for refused in [
            "application/json",
            "text/plain",
            "",
            "application/cloudevents+avro",
            "application/cloudevents",
            "application/cloudevents+json; charset=latin1",
        ] {
            assert_eq!(mode(&[("content-type", refused)]), None, "{refused}");
        }
        assert_eq!(mode(&[]), None);
    }

    #[test]
    fn an_expected_version_is_digits_and_for_one_event() {
        let version = |value, mode| expected_version(&headers(&[("expected-version", value)]), mode).ok().flatten();
        assert_eq!(version("7", Mode::Binary), Some(StreamVersion(7)));
        for bad in ["-1", "+1", "", "x", "1.0", "99999999999999999999"] {
            assert_eq!(version(bad, Mode::Structured), None, "{bad}");
        }
        assert_eq!(version("7", Mode::Batch), None);
    }

    #[test]
    fn header_bytes_beyond_ascii_survive() {
        assert_eq!(header_text("a é%20".as_bytes()), "a %C3%A9%20");
        assert_eq!(header_text(&[b'x', 0xFF]), "x%FF");
    }
}
