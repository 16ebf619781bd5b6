//! What waits in quarantine, and a person's word on it.
//!
//! Sending events in is [`super::events`]' business; what follows from a decision is the engine's.
use super::{
    App, blocking,
    body::JsonBody,
    json,
    params::Params,
    problem::{BAD_PARAMETER, BAD_REQUEST, NOT_OFFERED, Problem},
};
use axum::{
    extract::{Path, State},
    http::{StatusCode, Uri},
    response::Response,
};
use evenkeel::{
    Engine, EngineError,
    core::quarantine::{Decision, Reason, State as EntryState},
    report::{DecisionReport, QuarantineReport},
    store::EntryFilter,
};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use std::sync::Arc;

/// Entries of the quarantine, without their raw events.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct QuarantineAnswer {
    /// Those of the gate in order of arrival, then those parked by models.
    entries: Vec<QuarantineReport>,
    /// What `after` must be for the next page; null at the end.
    next: Option<String>,
}

/// What waits at the gate and at the models.
#[utoipa::path(
    get, path = "/v1/quarantine", operation_id = "list_quarantine", tag = "quarantine",
    params(
        ("reason" = Option<String>, Query, description = "Only entries with this reason"),
        ("source" = Option<String>, Query, description = "Only entries of this CloudEvents source"),
        ("state" = Option<String>, Query, description = "Only entries in this state: `quarantined`, `held`, `admitted`, `discarded`"),
        ("limit" = Option<u64>, Query, description = "At most so many: 1 to 10000, 100 where left out"),
        ("after" = Option<String>, Query, description = "The `next` of the page before"),
    ),
    responses((status = 200, body = QuarantineAnswer)),
)]
pub(crate) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let one_of = |words: Vec<&str>| format!("one of {}", words.join(", "));
    let reason = params.get("reason", one_of(Reason::ALL.iter().map(|word| word.as_str()).collect()))?;
    let state = params.get("state", one_of(EntryState::ALL.iter().map(|word| word.as_str()).collect()))?;
    let source = params.text("source").map(Into::into);
    let after = params.text("after");
    let limit = params.number("limit", 1..=10_000)?.unwrap_or(100);
    params.finish()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let filter = EntryFilter { reason, source, state, after: None, limit };
    let engine = app.engine.clone();
    let no_page = |after: &str| format!("after: expected the `next` of an earlier page, such as q-17, found {after:?}");
    let entries = blocking(move || match after {
        Some(after) => engine.quarantine_after(&filter, &after).map_err(|error| match error {
            EngineError::NoEntry(_) => Problem::new(BAD_PARAMETER, no_page(&after)),
            other => other.into(),
        }),
        None => engine.quarantine(&filter).map_err(Problem::from),
    });
    let entries = entries.await?;
    let full = entries.last().filter(|_| entries.len() == limit);
    let next = full.map(|last| last.id.clone());
    Ok(json(StatusCode::OK, &QuarantineAnswer { entries, next }))
}

/// One entry, with its raw event.
#[utoipa::path(
    get, path = "/v1/quarantine/{id}", operation_id = "show_quarantined", tag = "quarantine",
    params(("id" = String, Path, description = "The entry")),
    responses((status = 200, body = QuarantineReport)),
)]
pub(crate) async fn show(State(app): State<Arc<App>>, Path(id): Path<String>, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let engine = app.engine.clone();
    let entry = blocking(move || engine.quarantine_entry(&id)).await?;
    Ok(json(StatusCode::OK, &entry))
}

/// Who decides, and why. Kept with the entry, for an event that a model parked as long as it is parked or given up.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Word {
    /// Who.
    author: String,
    /// Why.
    #[serde(default)]
    note: String,
    /// Changes to the event: not offered yet.
    #[serde(default)]
    #[schema(ignore)]
    edit: Option<IgnoredAny>,
}

impl Word {
    fn decision(self) -> Result<Decision, Problem> {
        if self.edit.is_some() {
            return Err(Problem::new(NOT_OFFERED, "edit: changing an event in quarantine is not offered yet"));
        }
        if self.author.trim().is_empty() {
            return Err(Problem::new(BAD_REQUEST, "author: expected who decides, found nothing"));
        }
        Ok(Decision { author: self.author, note: self.note })
    }
}

/// Sends an entry through the gate or the fold again, and what waits behind it if it gets through.
#[utoipa::path(
    post, path = "/v1/quarantine/{id}/redrive", tag = "quarantine",
    params(("id" = String, Path, description = "The entry")),
    request_body = Word,
    responses((status = 200, description = "What came of it; it may still wait", body = DecisionReport)),
)]
pub(crate) async fn redrive(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
    JsonBody(word): JsonBody<Word>,
) -> Result<Response, Problem> {
    decide(&app, id, &uri, word, Engine::redrive).await
}

/// Gives an entry up, and releases what waits behind it.
#[utoipa::path(
    post, path = "/v1/quarantine/{id}/discard", tag = "quarantine",
    params(("id" = String, Path, description = "The entry")),
    request_body = Word,
    responses((status = 200, body = DecisionReport)),
)]
pub(crate) async fn discard(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
    JsonBody(word): JsonBody<Word>,
) -> Result<Response, Problem> {
    decide(&app, id, &uri, word, Engine::discard).await
}

async fn decide(
    app: &App,
    id: String,
    uri: &Uri,
    word: Word,
    decide: fn(&Engine, &str, Decision) -> Result<DecisionReport, EngineError>,
) -> Result<Response, Problem> {
    Params::of(uri)?.finish()?;
    let decision = word.decision()?;
    let engine = app.engine.clone();
    let report = blocking(move || decide(&engine, &id, decision)).await?;
    Ok(json(StatusCode::OK, &report))
}

/// A source that goes on.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Resumed {
    /// The source.
    source: String,
    /// How many of its events were released.
    released: u64,
}

/// Lets a halted source go on; the entries that halted it stay in quarantine.
#[utoipa::path(
    post, path = "/v1/sources/{source}/resume", operation_id = "resume_source", tag = "quarantine",
    params(("source" = String, Path, description = "The CloudEvents source")),
    request_body = Word,
    responses((status = 200, body = Resumed)),
)]
pub(crate) async fn resume(
    State(app): State<Arc<App>>,
    Path(source): Path<String>,
    uri: Uri,
    JsonBody(word): JsonBody<Word>,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let decision = word.decision()?;
    let engine = app.engine.clone();
    let name = source.clone();
    let released = blocking(move || engine.resume_source(&name, &decision)).await?;
    Ok(json(StatusCode::OK, &Resumed { source, released }))
}
