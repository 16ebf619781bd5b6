//! What waits in quarantine, and a person's word on it.
//!
//! Sending events in is [`super::events`]' business; what follows from a decision is the engine's.
use super::{
    App, blocking,
    body::JsonBody,
    json,
    params::Params,
    problem::{BAD_EDIT, BAD_PARAMETER, BAD_REQUEST, Problem},
};
use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use evenkeel::{
    EngineError, Which,
    core::{
        Timestamp,
        json::{Patch, PatchError},
        quarantine::{Decision, EntryVersion, Reason, State as EntryState},
    },
    quarantine::{self, bulk::Verb},
    report::{BulkReport, DecisionReport, EditedReport, QuarantineReport},
    store::EntryFilter,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Entries of the quarantine, without their raw events unless these were asked for.
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
        ("type" = Option<String>, Query, description = "Only entries under the contract that produces this type of event"),
        ("contract_version" = Option<u32>, Query, description = "Only entries under this version of their contract"),
        ("since" = Option<String>, Query, description = "Only entries received then or later (RFC 3339)"),
        ("until" = Option<String>, Query, description = "Only entries received before then (RFC 3339)"),
        ("limit" = Option<u64>, Query, description = "At most so many: 1 to 10000, 100 where left out"),
        ("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("model" = Option<String>, Query, description = "Only events that this model parked"),
        ("whole" = Option<bool>, Query, description = "Each entry with its event, as one alone is shown"),
    ),
    responses((status = 200, body = QuarantineAnswer)),
)]
pub(crate) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let one_of = |words: Vec<&str>| format!("one of {}", words.join(", "));
    let reason = params.get("reason", one_of(Reason::ALL.iter().map(|word| word.as_str()).collect()))?;
    let state = params.get("state", one_of(EntryState::ALL.iter().map(|word| word.as_str()).collect()))?;
    let source = params.text("source").map(Into::into);
    let event_type = params.text("type").map(Into::into);
    let contract_version = params.get("contract_version", "a version, such as 1".to_owned())?;
    let instant = || "an instant such as 2026-01-31T12:00:00Z".to_owned();
    let (since, until) = (params.get("since", instant())?, params.get("until", instant())?);
    let after = params.text("after");
    let limit = params.number("limit", 1..=10_000)?.unwrap_or(100);
    let whole = params.get("whole", "true or false".to_owned())?.unwrap_or(false);
    let model = params.text("model");
    params.finish()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let filter = EntryFilter { reason, source, state, event_type, contract_version, since, until, after: None, limit };
    let engine = app.engine.clone();
    let no_page = |after: &str| format!("after: expected the `next` of an earlier page, such as q-17, found {after:?}");
    let entries = blocking(move || {
        engine.quarantine_page(&filter, after.as_deref(), Which { model: model.as_deref(), whole }).map_err(|error| {
            match (error, after) {
                (EngineError::NoEntry(_), Some(after)) => Problem::new(BAD_PARAMETER, no_page(&after)),
                (other, _) => other.into(),
            }
        })
    });
    let entries = entries.await?;
    let full = entries.last().filter(|_| entries.len() == limit);
    let next = full.map(|last| last.id.clone());
    Ok(json(StatusCode::OK, &QuarantineAnswer { entries, next }))
}

/// One entry, with its raw event. The header `ETag` is its version.
#[utoipa::path(
    get, path = "/v1/quarantine/{id}", operation_id = "show_quarantined", tag = "quarantine",
    params(("id" = String, Path, description = "The entry")),
    responses((status = 200, body = QuarantineReport)),
)]
pub(crate) async fn show(State(app): State<Arc<App>>, Path(id): Path<String>, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let engine = app.engine.clone();
    let entry = blocking(move || engine.quarantine_entry(&id)).await?;
    Ok(tagged(json(StatusCode::OK, &entry), entry.version))
}

/// The answer with a version as its tag.
fn tagged(mut response: Response, version: Option<u64>) -> Response {
    let tag = version.and_then(|version| HeaderValue::from_str(&format!("\"{version}\"")).ok());
    response.headers_mut().extend(tag.map(|tag| (header::ETAG, tag)));
    response
}

/// The version that a request is about, where it names one.
fn if_match(headers: &HeaderMap) -> Result<Option<EntryVersion>, Problem> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let (value, more) = (values.next(), values.next().is_some());
    let Some(value) = value else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let number = text.trim().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let number =
        number.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit())).and_then(|text| text.parse().ok());
    match number {
        _ if text.trim() == "*" && !more => Ok(None),
        Some(number) if !more => Ok(Some(EntryVersion(number))),
        _ => Err(Problem::new(BAD_PARAMETER, format!("If-Match: expected one tag such as \"3\", found {text}"))),
    }
}

/// Who decides, and why. Kept with the entry, for an event that a model parked as long as it is parked or given up.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Word {
    /// Who.
    pub(super) author: String,
    /// Why.
    #[serde(default)]
    pub(super) note: String,
}

/// Who decides, and why, and how the event is to be changed before.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditWord {
    /// Who.
    author: String,
    /// Why.
    #[serde(default)]
    note: String,
    /// How the event is changed, in the CloudEvents JSON format: a JSON Patch (RFC 6902). It may have no change of `id`
    /// and `source`.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    edit: Option<Box<RawValue>>,
}

impl Word {
    pub(super) fn decision(self) -> Result<Decision, Problem> {
        if self.author.trim().is_empty() {
            return Err(Problem::new(BAD_REQUEST, "author: expected who decides, found nothing"));
        }
        Ok(Decision { author: self.author, note: self.note })
    }
}

impl EditWord {
    /// The patch, read with every digit, and the rest.
    fn split(self) -> Result<(Option<Patch>, Decision), Problem> {
        let patch = self.edit.map(|edit| edit.get().parse());
        let patch =
            patch.transpose().map_err(|error: PatchError| Problem::new(BAD_EDIT, format!("the edit: {error}")))?;
        Ok((patch, Word { author: self.author, note: self.note }.decision()?))
    }
}

/// Sends an entry through the gate or the fold again, and what waits behind it if it gets through. With `edit` the event
/// is changed first; the edit is kept also where the event is refused again.
#[utoipa::path(
    post, path = "/v1/quarantine/{id}/redrive", tag = "quarantine",
    params(
        ("id" = String, Path, description = "The entry"),
        ("If-Match" = Option<String>, Header, description = "The version that was looked at, as in `ETag`; any where left out"),
    ),
    request_body = EditWord,
    responses((status = 200, description = "What came of it; it may still wait", body = DecisionReport)),
)]
pub(crate) async fn redrive(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    JsonBody(word): JsonBody<EditWord>,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let (patch, decision) = word.split()?;
    let word = quarantine::Word { decision, version: if_match(&headers)? };
    let engine = app.engine.clone();
    let redrive = move || match patch {
        Some(patch) => engine.redrive_edited(&id, &patch, word),
        None => engine.redrive(&id, word),
    };
    let report = blocking(redrive).await?;
    Ok(tagged(json(StatusCode::OK, &report), report.version))
}

/// Changes the event of an entry, which stays where it is, and says what the gate thinks of it now.
#[utoipa::path(
    post, path = "/v1/quarantine/{id}/edit", operation_id = "edit_quarantined", tag = "quarantine",
    params(
        ("id" = String, Path, description = "The entry"),
        ("If-Match" = Option<String>, Header, description = "The version that was looked at, as in `ETag`; any where left out"),
    ),
    request_body = EditWord,
    responses((status = 200, body = EditedReport)),
)]
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    JsonBody(word): JsonBody<EditWord>,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let (patch, decision) = word.split()?;
    let patch = patch.ok_or_else(|| Problem::new(BAD_REQUEST, "edit: expected a JSON Patch, found nothing"))?;
    let word = quarantine::Word { decision, version: if_match(&headers)? };
    let engine = app.engine.clone();
    let report = blocking(move || engine.edit(&id, &patch, word)).await?;
    Ok(tagged(json(StatusCode::OK, &report), Some(report.version)))
}

/// Gives an entry up, and releases what waits behind it.
#[utoipa::path(
    post, path = "/v1/quarantine/{id}/discard", tag = "quarantine",
    params(
        ("id" = String, Path, description = "The entry"),
        ("If-Match" = Option<String>, Header, description = "The version that was looked at, as in `ETag`; any where left out"),
    ),
    request_body = Word,
    responses((status = 200, body = DecisionReport)),
)]
pub(crate) async fn discard(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    JsonBody(word): JsonBody<Word>,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let word = quarantine::Word { decision: word.decision()?, version: if_match(&headers)? };
    let engine = app.engine.clone();
    let report = blocking(move || engine.discard(&id, word)).await?;
    Ok(tagged(json(StatusCode::OK, &report), report.version))
}

/// Which entries that wait for a person are meant: all of them, where nothing is said.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    /// Only this reason.
    #[schema(value_type = Option<String>)]
    reason: Option<Reason>,
    /// Only this CloudEvents source.
    source: Option<String>,
    /// Only under the contract that produces this type of event.
    r#type: Option<String>,
    /// Only under this version of their contract.
    contract_version: Option<u32>,
    /// Only received then or later.
    since: Option<String>,
    /// Only received before then.
    until: Option<String>,
    /// Events that this model parked, and not those of the gate.
    model: Option<String>,
}

/// Which entries, who decides, and why.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkWord {
    /// Which entries of the gate, or of a model where one is named: `{}` for all of the gate that wait for a person.
    filter: Filter,
    /// Who. Not needed for a dry run.
    #[serde(default)]
    author: String,
    /// Why.
    #[serde(default)]
    note: String,
    /// Only say what would become of each.
    #[serde(default)]
    dry_run: bool,
    /// At most so many: 1 to 1000, 100 where left out.
    limit: Option<usize>,
    /// The `next` of the answer before.
    after: Option<String>,
}

/// What a [`BulkWord`] says.
struct Meant {
    filter: EntryFilter,
    model: Option<String>,
    after: Option<String>,
    decision: Option<Decision>,
}

/// What is said of an `after` that is none.
fn no_page(after: &str) -> Problem {
    Problem::new(BAD_REQUEST, format!("after: expected the `next` of an earlier answer, found {after:?}"))
}

impl BulkWord {
    /// The filter with the model and what comes before, and the decision where it is none to try.
    fn split(self) -> Result<Meant, Problem> {
        let bad = |what: &str, found: &str| Problem::new(BAD_REQUEST, format!("{what}, found {found:?}"));
        let instant = |name: &str, text: Option<String>| -> Result<Option<Timestamp>, Problem> {
            let read =
                |text: String| text.parse().map_err(|_| bad(&format!("filter.{name}: expected an instant"), &text));
            text.map(read).transpose()
        };
        let limit = self.limit.unwrap_or(100);
        if !(1..=1000).contains(&limit) {
            return Err(bad("limit: expected 1 to 1000", &limit.to_string()));
        }
        let number = |text: &String| text.parse().map_err(|_| no_page(text));
        let Filter { reason, source, r#type, contract_version, since, until, model } = self.filter;
        let of_gate = self.after.as_ref().filter(|_| model.is_none());
        let filter = EntryFilter {
            reason,
            source: source.map(Into::into),
            state: None,
            event_type: r#type.map(Into::into),
            contract_version,
            since: instant("since", since)?,
            until: instant("until", until)?,
            after: of_gate.map(number).transpose()?,
            limit,
        };
        let decision = (!self.dry_run).then(|| Word { author: self.author, note: self.note }.decision());
        Ok(Meant { filter, model, after: self.after, decision: decision.transpose()? })
    }
}

/// Sends all entries through again that a filter names, those of the gate or of one model, each for itself, in order.
#[utoipa::path(
    post, path = "/v1/quarantine/redrive", operation_id = "redrive_all", tag = "quarantine",
    request_body = BulkWord,
    responses((status = 200, description = "What became of each, or would", body = BulkReport)),
)]
pub(crate) async fn redrive_all(
    State(app): State<Arc<App>>,
    uri: Uri,
    JsonBody(word): JsonBody<BulkWord>,
) -> Result<Response, Problem> {
    decide_all(&app, &uri, word, Verb::Redrive).await
}

/// Gives all entries up that a filter names, those of the gate or of one model, and releases what waits behind each.
#[utoipa::path(
    post, path = "/v1/quarantine/discard", operation_id = "discard_all", tag = "quarantine",
    request_body = BulkWord,
    responses((status = 200, description = "What became of each, or would", body = BulkReport)),
)]
pub(crate) async fn discard_all(
    State(app): State<Arc<App>>,
    uri: Uri,
    JsonBody(word): JsonBody<BulkWord>,
) -> Result<Response, Problem> {
    decide_all(&app, &uri, word, Verb::Discard).await
}

async fn decide_all(app: &App, uri: &Uri, word: BulkWord, verb: Verb) -> Result<Response, Problem> {
    Params::of(uri)?.finish()?;
    let Meant { filter, model, after, decision } = word.split()?;
    let engine = app.engine.clone();
    let report = blocking(move || match model {
        None => engine.decide_all(&filter, verb, decision.as_ref()).map_err(Problem::from),
        Some(model) => {
            engine.decide_all_parked(&model, &filter, after.as_deref(), verb, decision.as_ref()).map_err(|error| {
                if matches!(error, EngineError::NoEntry(_)) {
                    no_page(&after.unwrap_or_default())
                } else {
                    error.into()
                }
            })
        }
    });
    let report = report.await?;
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
