//! Request bodies: read within a limit and a time, unpacked, and as JSON with no member too many.
//!
//! Query parameters are [`super::params`]'; cutting a body into events is [`super::events`]'.
use super::problem::{BAD_REQUEST, Problem, SLOW_REQUEST, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE};
use axum::{
    body::{Body, HttpBody},
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderValue, header},
};
use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;
use std::{future::poll_fn, io::Read as _, pin::Pin, time::Duration};
use tokio::time::{Instant, timeout_at};

/// How long a whole body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of a body that is too large is read all the same and forgotten, in bytes.
const DISCARDED_BYTES: u64 = 64 << 20;

/// The largest JSON body of an operation that says nothing else, in bytes.
const JSON_BYTES: usize = 64 << 10;

/// Reads a body of at most `limit` bytes, before and after it is unpacked.
///
/// # Errors
/// 413 where it is larger, 415 where it is packed other than by gzip, 400 where it breaks off or is not what its
/// headers say, 408 where it takes too long.
pub(crate) async fn read(headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let gzip = is_gzip(headers)?;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let deadline = Instant::now() + BODY_TIMEOUT;
    let collected = if announced.is_some_and(|length| length > limit as u64) {
        None
    } else {
        timeout_at(deadline, collect(&mut body, limit)).await.map_err(|_| {
            Problem::new(SLOW_REQUEST, format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs()))
        })??
    };
    let Some(bytes) = collected else {
        // Most clients read no answer before they have sent everything: cut off on the way they would only see a
        // broken connection. Who asks before sending does listen.
        let asks = headers.contains_key(header::EXPECT);
        if !asks && announced.is_none_or(|length| length <= DISCARDED_BYTES) {
            let _ = timeout_at(deadline, discard(&mut body)).await;
        }
        return Err(too_large(limit));
    };
    if !gzip {
        return Ok(bytes);
    }
    // Unpacking can take a while, and many requests share a thread.
    super::blocking(move || unpack(&bytes, limit)).await
}

/// The whole body; nothing where it is larger than `limit`, with the rest of it still to come.
async fn collect(body: &mut Body, limit: usize) -> Result<Option<Vec<u8>>, Problem> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        let frame = frame.map_err(|error| Problem::new(BAD_REQUEST, format!("the body breaks off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limit - bytes.len() {
            return Ok(None);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Some(bytes))
}

/// Reads what is still to come, until it ends, breaks off or is too much, and keeps nothing.
async fn discard(body: &mut Body) {
    let mut left = DISCARDED_BYTES;
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let at_most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(packed).take(at_most).read_to_end(&mut bytes).map_err(|error| {
        Problem::new(BAD_REQUEST, format!("the body is not gzip although its headers say so: {error}"))
    })?;
    if bytes.len() > limit { Err(too_large(limit)) } else { Ok(bytes) }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(TOO_LARGE, format!("the body is larger than {limit} bytes")).with("limit_bytes", limit)
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, Problem> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let coding = match (codings.next(), codings.next()) {
        (None, _) => return Ok(false),
        (Some(coding), None) => String::from_utf8_lossy(coding.as_bytes()).trim().to_ascii_lowercase(),
        (Some(_), Some(_)) => "more than one".into(),
    };
    match coding.as_str() {
        "identity" | "" => Ok(false),
        "gzip" | "x-gzip" => Ok(true),
        other => {
            Err(Problem::new(UNSUPPORTED_MEDIA_TYPE, format!("the content encoding {other:?} is not taken, only gzip"))
                .header(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip")))
        }
    }
}

/// A JSON body of at most `LIMIT` bytes. No body at all is an empty object.
pub(crate) struct JsonBody<T, const LIMIT: usize = JSON_BYTES>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned, const LIMIT: usize> FromRequest<S> for JsonBody<T, LIMIT> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, LIMIT).await?;
        let bytes: &[u8] = if bytes.is_empty() {
            b"{}"
        } else if is_json(&parts.headers) {
            &bytes
        } else {
            return Err(Problem::new(UNSUPPORTED_MEDIA_TYPE, "expected the content type application/json"));
        };
        // Where members have defaults an array would pass for an object.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(Problem::new(BAD_REQUEST, "the body: expected a JSON object"));
        }
        serde_json::from_slice(bytes).map(Self).map_err(|error| Problem::new(BAD_REQUEST, format!("the body: {error}")))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write as _;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_limit_holds_after_unpacking() {
        assert_eq!(unpack(&packed(&[b'x'; 1000]), 1000).unwrap(), [b'x'; 1000]);
        assert!(unpack(&packed(&[b'x'; 1001]), 1000).is_err());
        assert!(unpack(&packed(&vec![0; 10 << 20]), 1000).is_err());
    }

    #[test]
    fn several_members_are_one_body_and_what_breaks_off_is_refused() {
        let two = [packed(b"ab"), packed(b"cd")].concat();
        assert_eq!(unpack(&two, 10).unwrap(), b"abcd");
        let whole = packed(b"a longer text than that");
        assert!(unpack(&whole[..whole.len() - 9], 100).is_err());
        assert!(unpack(b"plain", 100).is_err());
    }

    #[test]
    fn only_gzip_is_unpacked() {
        let gzip = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(value))]);
            is_gzip(&headers).ok()
        };
        assert_eq!((gzip("gzip"), gzip("X-GZIP"), gzip("identity")), (Some(true), Some(true), Some(false)));
        assert_eq!((gzip("br"), gzip("gzip, gzip"), gzip("zstd")), (None, None, None));
    }
}
