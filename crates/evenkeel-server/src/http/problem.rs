//! Every error the server answers with: RFC 9457 problem documents from one catalogue, and which error of the engine
//! is which.
//!
//! The catalogue is stable: clients tell problems apart by `type`. Each `type` is an address of this server that says
//! in plain text what the problem is and what to do.
use super::{
    freshness::{self, FRESHNESS},
    params::TOKEN,
};
use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use evenkeel::{
    EngineError, PublishError, ReadError,
    core::{
        intake::{Bound, OverQuota},
        token::TokenError,
    },
    store::{SqlError, StoreError},
};
use serde::Serialize;
use serde_json::{Map, Value};
use std::{fmt::Display, time::Duration};

/// The media type of problem documents.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// A kind of problem.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The last part of its `type`.
    pub(crate) name: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) title: &'static str,
    /// What to do about it.
    pub(crate) help: &'static str,
}

macro_rules! catalogue {
    ($($constant:ident = $name:literal, $status:ident, $title:literal, $help:literal;)*) => {
        $(pub(crate) const $constant: &Kind =
            &Kind { name: $name, status: StatusCode::$status, title: $title, help: $help };)*
        /// Every kind there is.
        pub(crate) const CATALOGUE: &[&Kind] = &[$($constant),*];
    };
}

catalogue! {
    BAD_REQUEST = "bad-request", BAD_REQUEST, "The request cannot be understood",
        "Correct the request as the detail says. Sending it again unchanged gives the same answer.";
    BAD_PARAMETER = "bad-parameter", BAD_REQUEST, "A parameter or header is wrong",
        "Correct the parameter that the detail names; /openapi.json lists those of each address.";
    BAD_KEY = "bad-key", BAD_REQUEST, "The key does not fit the model",
        "Give one path part for each key column of the model, in order; /v1/models names them.";
    BAD_TOKEN = "bad-token", BAD_REQUEST, "The token is not taken",
        "`reason` says why: malformed, forged, foreign, expired or version. Send the text of an earlier answer of this \
         server, unchanged; without one, read at level strong.";
    BAD_SQL = "bad-sql", BAD_REQUEST, "The statement is not understood or not allowed",
        "One statement that reads models, views declared over them, and _ek_freshness; /v1/models names the models and \
         their columns.";
    QUERY_LIMIT = "query-limit", BAD_REQUEST, "The read costs more than it may",
        "Narrow it down, by conditions, fewer columns or without a count; the project's read.query_timeout_ms bounds how \
         long it runs.";
    NOT_OFFERED = "not-offered", BAD_REQUEST, "This is not offered yet",
        "Leave it out. It is refused rather than ignored, so that nobody relies on it in vain.";
    BAD_EDIT = "bad-edit", BAD_REQUEST, "The edit cannot be applied to the event",
        "Nothing was changed. Correct the JSON Patch as the detail says; GET /v1/quarantine/{id} shows the event as it is \
         edited by now. Its source and id stay what they are.";
    UNREADABLE_EVENT = "unreadable-event", BAD_REQUEST, "No source and id can be read from an event",
        "Nothing of the request was taken. Correct the event at `index` (from 0) and send the whole request again.";
    FORBIDDEN_HOST = "forbidden-host", FORBIDDEN, "The Host header names another machine",
        "Reach the server by the address it listens on, or by localhost. Other names are refused because a web page \
         could have chosen them.";
    FORBIDDEN_ORIGIN = "forbidden-origin", FORBIDDEN, "The request comes from a web page of another site",
        "Send it from a program rather than from a web page, or from a page of this server.";
    NOT_FOUND = "not-found", NOT_FOUND, "Nothing is at this address",
        "/ and /openapi.json list the addresses there are.";
    NO_MODEL = "no-model", NOT_FOUND, "There is no such model",
        "/v1/models lists the models there are.";
    NO_ROW = "no-row", NOT_FOUND, "The model has no row with this key",
        "`consistency` says how much of the log this is true for; ask with level=strong to have all of it.";
    NO_RECONCILIATION = "no-reconciliation", NOT_FOUND, "There is no such reconciliation",
        "/v1/reconciliations lists the latest.";
    NO_CONFLICT = "no-conflict", NOT_FOUND, "There is no such conflict",
        "/v1/conflicts lists those that are kept.";
    NO_CONSUMER = "no-consumer", NOT_FOUND, "There is no such consumer",
        "PUT /v1/consumers/{name} registers one; GET /v1/consumers lists them.";
    BAD_CONTRACT = "bad-contract", BAD_REQUEST, "The contracts are not as they must be",
        "The detail shows each mistake with its file and line, as `evenkeel check` does. Nothing was judged.";
    NO_CONTRACT = "no-contract", NOT_FOUND, "There is no such contract",
        "Among the files that were sent none declares it: the path names a contract, not a file.";
    NO_EVENT = "no-event", NOT_FOUND, "There is no such event in the log",
        "Name an event by its position or its identity (64 hexadecimal digits); /v1/log lists them. What waits in quarantine \
         is not in the log yet.";
    NO_ENTRY = "no-entry", NOT_FOUND, "There is no such quarantine entry",
        "/v1/quarantine lists the entries there are.";
    METHOD_NOT_ALLOWED = "method-not-allowed", METHOD_NOT_ALLOWED, "The address does not take this method",
        "Use one of the methods that the header Allow lists.";
    SLOW_REQUEST = "slow-request", REQUEST_TIMEOUT, "The body took too long to arrive",
        "Nothing was taken. Send it again, in smaller parts over a slow line.";
    VERSION_CONFLICT = "version-conflict", CONFLICT, "The stream has another version than expected",
        "Nothing was written. Read the stream's state again, decide again, and send with the version in `actual`.";
    LOST_HISTORY = "lost-history", CONFLICT, "The token speaks of events that the log has lost",
        "The log was restored from an earlier copy or replaced. What was written since is to be sent again; drop the \
         token, and read what is there now.";
    ENTRY_STATE = "entry-state", CONFLICT, "The entry's state does not allow this",
        "Read the entry again: somebody may have decided about it, or it waits behind an earlier one.";
    NOT_HALTED = "not-halted", CONFLICT, "The source is not halted",
        "There is nothing to do.";
    MODEL_STATE = "model-state", CONFLICT, "The model's state does not allow this",
        "The detail says what is in the way. Another reconciliation ends by itself: ask again then. What a rebuild mends, \
         POST /v1/models/{model}/reconcile with the method rebuild does. GET /v1/drift says how the model stands.";
    OUTDATED = "outdated", CONFLICT, "The model is declared anew and not rebuilt yet",
        "Wait for the rebuild, or start it with POST /v1/models/{model}/reconcile.";
    ENTRY_CHANGED = "entry-changed", PRECONDITION_FAILED, "The entry is not of the version that If-Match names",
        "Nothing was done. Read the entry again: somebody edited it or decided about it. `version` is what it has now.";
    TOO_LARGE = "too-large", PAYLOAD_TOO_LARGE, "The request is too large",
        "Nothing was taken. Send fewer events in one request; [limits] in evenkeel.toml sets what is allowed.";
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The body is of a type not taken here",
        "Events: application/cloudevents+json, application/cloudevents-batch+json, or JSON data with ce- headers. \
         Other bodies: application/json. Compressed, if at all, with gzip.";
    RATE_EXCEEDED = "rate-exceeded", TOO_MANY_REQUESTS, "The source sends more than its declared rate",
        "Nothing was taken. Send again after the seconds in Retry-After.";
    QUOTA_EXCEEDED = "quota-exceeded", TOO_MANY_REQUESTS, "A source that nobody declared has used up its quota",
        "Nothing was taken. Declare the source with [[source]] in evenkeel.toml, or decide about what waits of it: \
         POST /v1/quarantine/discard with the reason untrusted_source. [limits] sets the quota.";
    TOO_MANY_HELD = "too-many-held", TOO_MANY_REQUESTS, "Too many events of the source wait behind others in quarantine",
        "Nothing was taken. Decide about what they wait behind, as `evenkeel quarantine ls` shows it; events of other keys \
         are taken meanwhile. [limits] sets how many may wait.";
    INTERNAL = "internal", INTERNAL_SERVER_ERROR, "The server failed",
        "This is a defect. The server's log says more.";
    STORE = "store", INTERNAL_SERVER_ERROR, "The store cannot be used as it is",
        "Somebody has to look at the data folder; the server's log says more.";
    UNAVAILABLE = "unavailable", SERVICE_UNAVAILABLE, "The store is not available now",
        "Nothing was done. Send again after the seconds in Retry-After; a full or locked disk recovers without a restart.";
    BUSY = "busy", SERVICE_UNAVAILABLE, "Too many events wait to be written",
        "Nothing was taken. Send again after the seconds in Retry-After.";
    STOPPING = "stopping", SERVICE_UNAVAILABLE, "The server is stopping",
        "Nothing was taken. Send again once it is back.";
    TOO_MANY_READS = "too-many-reads", SERVICE_UNAVAILABLE, "Too many reads that cost something are under way",
        "Ask again after the seconds in Retry-After, or, of a strong read, accept labelled stale data with allow_stale=true.";
    TOO_MANY_CONNECTIONS = "too-many-connections", SERVICE_UNAVAILABLE, "Too many connections are open",
        "Nothing was done. Connect again after the seconds in Retry-After, keep fewer connections, or raise [limits] \
         connections in evenkeel.toml.";
    NOT_MET = "not-met", SERVICE_UNAVAILABLE, "The read cannot be as fresh as asked for",
        "Ask again after the seconds in Retry-After, give it a larger budget_ms, or accept labelled stale data with \
         allow_stale=true or level=eventual.";
}

/// A problem document.
#[derive(Debug)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    kind: &'static Kind,
    detail: String,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of this kind; `detail` says what is wrong in this case.
    pub(crate) fn new(kind: &'static Kind, detail: impl Display) -> Self {
        Self(Box::new(Parts { kind, detail: detail.to_string(), members: Map::new(), headers: Vec::new() }))
    }

    /// What a status says that comes without a problem document.
    pub(crate) fn of_status(status: StatusCode, detail: impl Display) -> Self {
        let of_status = |kind: &&&'static Kind| kind.status == status;
        let kind = CATALOGUE.iter().find(of_status).copied();
        Self::new(kind.unwrap_or(if status.is_client_error() { BAD_REQUEST } else { INTERNAL }), detail)
    }

    /// With one more member.
    pub(crate) fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        self.0.members.insert(name.to_owned(), value);
        self
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Says when asking again makes sense, in whole seconds, at least one.
    pub(crate) fn retry_after(self, after: Duration) -> Self {
        let seconds = after.as_secs_f64().ceil().max(1.0) as u64;
        self.header(header::RETRY_AFTER, seconds.into())
    }
}

/// What is sent, in the order that is read best.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    help: &'a str,
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Parts { kind, detail, members, headers } = *self.0;
        if kind.status.is_server_error() {
            tracing::warn!(problem = kind.name, detail, "a request failed");
        }
        let Kind { name, status, title, help } = *kind;
        let document = Document {
            r#type: format!("/problems/{name}"),
            title,
            status: status.as_u16(),
            detail: &detail,
            help,
            members: &members,
        };
        // A string and a map of JSON values can be written.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (kind.status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        response.headers_mut().extend(headers);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NoModel(_) => Self::new(NO_MODEL, error),
            StoreError::TooLong(_) => Self::new(QUERY_LIMIT, error),
            transient if transient.is_transient() => Self::new(UNAVAILABLE, error).retry_after(Duration::from_secs(1)),
            _ => Self::new(STORE, error),
        }
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Unreadable { index, ref message } => {
                Self::new(UNREADABLE_EVENT, message).with("index", index)
            }
            PublishError::VersionConflict { expected, actual, parked } => Self::new(VERSION_CONFLICT, &error)
                .with("expected", expected)
                .with("actual", actual)
                .with("parked", parked),
            PublishError::NotSingle { .. } => Self::new(BAD_PARAMETER, error),
            PublishError::Token(error) => error.into(),
            PublishError::OverQuota(OverQuota { bound: Bound::Held, .. }) => {
                Self::new(TOO_MANY_HELD, error).retry_after(Duration::from_secs(60))
            }
            PublishError::OverQuota(_) => Self::new(QUOTA_EXCEEDED, error).retry_after(Duration::from_secs(60)),
            PublishError::Busy => Self::new(BUSY, error).retry_after(Duration::from_secs(1)),
            PublishError::Stopping => Self::new(STOPPING, error).retry_after(Duration::from_secs(5)),
            PublishError::Store(error) => error.into(),
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let kind = if matches!(error, TokenError::LostHistory(_)) { LOST_HISTORY } else { BAD_TOKEN };
        Self::new(kind, &error).with("reason", error.reason())
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NoModel(_) => Self::new(NO_MODEL, error),
            ReadError::Key(misfit) => Self::new(BAD_KEY, misfit),
            ReadError::Parameter(detail) => Self::new(BAD_PARAMETER, detail),
            ReadError::Token(error) => error.into(),
            ReadError::Sql(SqlError::Store(error)) => error.into(),
            ReadError::Sql(SqlError::NoSql) => Self::new(NOT_OFFERED, SqlError::NoSql),
            ReadError::Sql(error @ (SqlError::TooLong(_) | SqlError::TooLarge(_))) => Self::new(QUERY_LIMIT, error),
            ReadError::Sql(error) => Self::new(BAD_SQL, error),
            ReadError::Saturated { retry_after } => Self::new(TOO_MANY_READS, error).retry_after(retry_after),
            ReadError::NotMet { reason, retry_after, label } => {
                let problem = Self::new(NOT_MET, reason).retry_after(retry_after);
                let Some(label) = label else { return problem };
                let header = |problem: Self, name, value: Option<HeaderValue>| match value {
                    Some(value) => problem.header(name, value),
                    None => problem,
                };
                let token = label.token.as_deref().and_then(|token| HeaderValue::from_str(token).ok());
                let problem = header(problem, FRESHNESS, freshness::header(&label));
                header(problem, TOKEN, token).with("consistency", &label)
            }
            ReadError::Store(error) => error.into(),
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NoModel(_) => Self::new(NO_MODEL, error),
            EngineError::NoConsumer(_) => Self::new(NO_CONSUMER, error),
            EngineError::Consumer(detail) | EngineError::Skip(detail) | EngineError::Conflicts(detail) => {
                Self::new(BAD_REQUEST, detail)
            }
            EngineError::NoEvent(_) => Self::new(NO_EVENT, error),
            EngineError::NoContract(_) => Self::new(NO_CONTRACT, error),
            EngineError::NoEntry(_) => Self::new(NO_ENTRY, error),
            EngineError::EntryState { state, .. } => Self::new(ENTRY_STATE, &error).with("state", state.as_str()),
            EngineError::EntryChanged { version, .. } => Self::new(ENTRY_CHANGED, &error).with("version", version.0),
            EngineError::Edit(_) => Self::new(BAD_EDIT, error),
            EngineError::NotHalted(_) => Self::new(NOT_HALTED, error),
            EngineError::Method(detail) => Self::new(MODEL_STATE, detail),
            EngineError::NotTaken { .. } => Self::new(MODEL_STATE, error),
            EngineError::Outdated(_) => Self::new(OUTDATED, error),
            EngineError::NotVerified { .. } | EngineError::Thread(_) => Self::new(INTERNAL, error),
            EngineError::Store(error) => error.into(),
        }
    }
}

/// The kind of this name, as its `type` ends.
pub(crate) fn kind(name: &str) -> Option<&'static Kind> {
    CATALOGUE.iter().find(|kind| kind.name == name).copied()
}

/// A problem document as OpenAPI describes it; kinds may add members.
#[derive(utoipa::ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "only described; the document itself is built from the catalogue")]
pub(crate) struct ProblemDocument {
    /// Which problem it is: an address of this server that explains it.
    r#type: String,
    /// What it is, in words that are the same every time.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong in this case.
    detail: String,
    /// What to do about it.
    help: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_status_says_so_itself() {
        for (index, kind) in CATALOGUE.iter().enumerate() {
            assert_eq!(CATALOGUE.iter().position(|other| other.name == kind.name), Some(index), "{}", kind.name);
            assert!(kind.status.is_client_error() || kind.status.is_server_error());
            assert!(!kind.help.contains("  "), "{}", kind.name);
        }
    }

    #[test]
    fn a_status_without_a_document_gets_the_kind_that_fits() {
        let kind = |status| Problem::of_status(status, "x").0.kind.name;
        assert_eq!(kind(StatusCode::NOT_FOUND), "not-found");
        assert_eq!(kind(StatusCode::METHOD_NOT_ALLOWED), "method-not-allowed");
        assert_eq!(kind(StatusCode::IM_A_TEAPOT), "bad-request");
        assert_eq!(kind(StatusCode::GATEWAY_TIMEOUT), "internal");
    }

    #[test]
    fn what_a_models_state_forbids_is_a_conflict() {
        let problem = Problem::from(EngineError::Method("another reconciliation of orders is at work".into()));
        assert_eq!((problem.0.kind.name, problem.0.kind.status), ("model-state", StatusCode::CONFLICT));
    }

    #[test]
    fn retrying_waits_for_whole_seconds() {
        let response = Problem::new(BUSY, "x").retry_after(Duration::from_millis(1200)).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        let response = Problem::new(BUSY, "x").retry_after(Duration::ZERO).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }
}
