//! Models and their rows, each answer with the honest label of how fresh it is.
//!
//! Reading them and finding out how fresh they are is the engine's ([`evenkeel::reader`]).
use super::{
    App, blocking, caching, freshness, json,
    params::{Params, TOKEN, path_parts, tokens},
    problem::{BAD_PARAMETER, NO_ROW, Problem},
};
use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use evenkeel::{
    core::{demand::Bounds, freshness::Level, query::Asked},
    reader::{ReadOptions, RowsRequest},
    report::{Consistency, ModelReport, RowAnswer, RowsAnswer},
};
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// The longest a read may be asked to wait.
const LONGEST: Duration = Duration::from_secs(60);

/// Rows of a page: at most.
const MOST_ROWS: u64 = 10_000;

/// The models.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ModelsAnswer {
    /// By name.
    models: Vec<ModelReport>,
}

/// The models and how they are declared.
#[utoipa::path(get, path = "/v1/models", operation_id = "list_models", tag = "reads", responses((status = 200, body = ModelsAnswer)))]
pub(crate) async fn models(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let engine = app.engine.clone();
    let models = blocking(move || engine.models()).await?;
    Ok(json(StatusCode::OK, &ModelsAnswer { models }))
}

/// One row, by the values of the model's key columns: one path part for each.
#[utoipa::path(
    get, path = "/v1/models/{model}/rows/{*key}", operation_id = "get_row", tag = "reads",
    params(
        ("model" = String, Path, description = "The model"),
        ("key" = String, Path, description = "The key; `/{key}/{key}` for several columns. A slash within a value is written %2F"),
        ("level" = Option<String>, Query, description = "`eventual`, `bounded`, `monotonic`, `causal` or `strong`; where none is named the one that token or bounds call for, or the model's own"),
        ("token" = Option<String>, Query, description = "What the reader has seen and written: tokens of earlier answers, with commas between"),
        ("max_lag" = Option<u64>, Query, description = "How many events may be missing"),
        ("max_staleness_ms" = Option<u64>, Query, description = "How old the oldest missing event may be"),
        ("consistent_since" = Option<String>, Query, description = "Everything committed before this instant (RFC 3339) must be in the answer"),
        ("budget_ms" = Option<u64>, Query, description = "How long the read may wait to meet its level"),
        ("allow_stale" = Option<bool>, Query, description = "Whether an answer that does not meet its level is welcome, labelled"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS`, instead of `budget_ms`"),
        ("Consistency-Token" = Option<String>, Header, description = "As `token`"),
    ),
    responses((status = 200, description = "The row", body = RowAnswer), (status = 304, description = "The client has it: `If-None-Match` names its `ETag`")),
)]
pub(crate) async fn row(State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let mut read = Read::of(&mut params, &headers, app.budget)?;
    params.finish()?;
    read.take_token(&app).await?;
    // /v1/models/{model}/rows/{key}…
    let mut parts = path_parts(&uri, 2)?.into_iter();
    let model = parts.next().unwrap_or_default();
    let key: Vec<String> = parts.skip(1).collect();
    let shown = key.join("/");
    let answer = app.engine.get_async(&model, &key, read.options).await?;
    let tag = answer.data.as_ref().and_then(|row| caching::tag(row, &answer.consistency));
    let mut response = match &answer.data {
        Some(_) => tagged(&headers, tag, &answer),
        None => Problem::new(NO_ROW, format!("there is no row {shown:?}"))
            .with("data", ())
            .with("consistency", &answer.consistency)
            .into_response(),
    };
    read.label(&mut response, &answer.consistency, true);
    Ok(response)
}

/// Rows that meet conditions, in an order, a page at a time.
#[utoipa::path(
    get, path = "/v1/models/{model}/rows", operation_id = "list_rows", tag = "reads",
    params(
        ("model" = String, Path, description = "The model"),
        ("where.{column}" = Option<Vec<String>>, Query, description = "A condition, `OPERATOR.VALUE`: `eq`, `ne`, `lt`, `le`, `gt`, `ge`, `in.(a,b)`, `like.a*`, `is.null`, `is.not_null`; a column may have several"),
        ("order" = Option<String>, Query, description = "`COLUMN.desc,COLUMN`; the key decides between rows that are alike in these"),
        ("select" = Option<String>, Query, description = "The columns to show, with commas between"),
        ("count" = Option<String>, Query, description = "`exact`: `total` says how many rows meet the conditions"),
        ("limit" = Option<u64>, Query, description = "Rows of the page: 1 to 10000, 100 where left out"),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before, of the same conditions and order"),
        ("level" = Option<String>, Query, description = "`eventual`, `bounded`, `monotonic`, `causal` or `strong`; where none is named the one that token or bounds call for, or the model's own"),
        ("token" = Option<String>, Query, description = "What the reader has seen and written: tokens of earlier answers, with commas between"),
        ("max_lag" = Option<u64>, Query, description = "How many events may be missing"),
        ("max_staleness_ms" = Option<u64>, Query, description = "How old the oldest missing event may be"),
        ("consistent_since" = Option<String>, Query, description = "Everything committed before this instant (RFC 3339) must be in the answer"),
        ("budget_ms" = Option<u64>, Query, description = "How long the read may wait to meet its level"),
        ("allow_stale" = Option<bool>, Query, description = "Whether an answer that does not meet its level is welcome, labelled"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS`, instead of `budget_ms`"),
        ("Consistency-Token" = Option<String>, Header, description = "As `token`"),
    ),
    responses((status = 200, description = "A page of rows", body = RowsAnswer), (status = 304, description = "The client has it: `If-None-Match` names its `ETag`")),
)]
pub(crate) async fn rows(
    State(app): State<Arc<App>>,
    Path(model): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let limit = params.number("limit", 1..=MOST_ROWS)?.unwrap_or(0);
    let count = params.text("count");
    if let Some(count) = count.as_deref().filter(|count| *count != "exact") {
        return Err(Problem::new(BAD_PARAMETER, format!("count: expected exact, found {count:?}")));
    }
    let request = RowsRequest {
        query: Asked { conditions: params.conditions(), order: params.text("order") },
        select: params.text("select"),
        count: count.is_some(),
        cursor: params.text("cursor"),
        limit: usize::try_from(limit).unwrap_or(0),
    };
    let mut read = Read::of(&mut params, &headers, app.budget)?;
    params.finish()?;
    read.take_token(&app).await?;
    let answer = app.engine.rows_async(&model, request, read.options).await?;
    let tag = caching::tag(&(&answer.rows, &answer.next, answer.total), &answer.consistency);
    let mut response = tagged(&headers, tag, &answer);
    read.label(&mut response, &answer.consistency, true);
    Ok(response)
}

/// An answer with its tag, or that the client has it already.
fn tagged(headers: &HeaderMap, tag: Option<HeaderValue>, answer: &impl Serialize) -> Response {
    let mut response = match &tag {
        Some(tag) if caching::has(headers, tag) => StatusCode::NOT_MODIFIED.into_response(),
        _ => json(StatusCode::OK, answer),
    };
    response.headers_mut().extend(tag.map(|tag| (header::ETAG, tag)));
    response
}

/// How a read was asked for.
pub(super) struct Read {
    options: ReadOptions,
    /// The tokens that were handed in, not looked at yet.
    tokens: Option<String>,
    /// The preference that was applied.
    applied: Option<HeaderValue>,
}

impl Read {
    pub(super) fn of(params: &mut Params, headers: &HeaderMap, budget: Duration) -> Result<Self, Problem> {
        let words = Level::ALL.iter().map(|level| level.as_str()).collect::<Vec<_>>().join(", ");
        let level = params.get("level", format!("one of {words}"))?;
        let bounds = Bounds {
            max_lag: params.number("max_lag", 0..=u64::MAX)?,
            max_staleness: params.number("max_staleness_ms", 0..=u64::MAX)?.map(Duration::from_millis),
            since: params.get("consistent_since", "an instant such as 2026-01-31T10:00:00Z")?,
        };
        let tokens = match (params.text("token"), tokens(headers)?) {
            (Some(a), Some(b)) => Some(format!("{a},{b}")),
            (a, b) => a.or(b),
        };
        let longest_ms = u64::try_from(LONGEST.as_millis()).unwrap_or(u64::MAX);
        let budget_ms = params.number("budget_ms", 0..=longest_ms)?.map(Duration::from_millis);
        let allow_stale = params.get("allow_stale", "true or false")?.unwrap_or(false);
        let wait = match budget_ms {
            Some(_) => None,
            None => preferred_wait(headers)?,
        };
        let applied = wait.and_then(|wait| HeaderValue::from_str(&format!("wait={}", wait.as_secs())).ok());
        let budget = budget_ms.or(wait).unwrap_or(budget);
        Ok(Self { options: ReadOptions { level, bounds, token: None, budget, allow_stale }, tokens, applied })
    }

    /// Has the tokens looked at.
    pub(super) async fn take_token(&mut self, app: &App) -> Result<(), Problem> {
        let Some(text) = self.tokens.take() else { return Ok(()) };
        let engine = app.engine.clone();
        self.options.token = Some(blocking(move || engine.token(&text)).await?);
        Ok(())
    }

    /// What is asked of the engine.
    pub(super) fn options(&self) -> ReadOptions {
        self.options
    }

    /// Puts what is known of the answer into its headers. Not every answer may be kept, however little was asked for.
    pub(super) fn label(self, response: &mut Response, consistency: &Consistency, may_be_kept: bool) {
        let plain = may_be_kept && self.options.token.is_none() && self.options.bounds.is_none();
        let headers = response.headers_mut();
        caching::allow(headers, plain, consistency);
        headers.extend(freshness::header(consistency).map(|value| (freshness::FRESHNESS, value)));
        let token = consistency.token.as_deref().and_then(|token| HeaderValue::from_str(token).ok());
        headers.extend(token.map(|token| (TOKEN, token)));
        headers.extend(self.applied.map(|value| (HeaderName::from_static("preference-applied"), value)));
    }
}

/// The `wait` of RFC 7240, at most as long as reads may take. Other preferences may be ignored, by that RFC.
fn preferred_wait(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    for value in headers.get_all("prefer") {
        let text = String::from_utf8_lossy(value.as_bytes());
        for preference in text.split(',') {
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            if !name.trim().eq_ignore_ascii_case("wait") {
                continue;
            }
            let value = value.trim().trim_matches('"');
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let seconds = value.parse::<u64>().ok().filter(|_| digits).ok_or_else(|| {
                Problem::new(BAD_PARAMETER, format!("Prefer: wait: expected whole seconds, found {value:?}"))
            })?;
            return Ok(Some(Duration::from_secs(seconds).min(LONGEST)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preferred_wait_is_found_and_bounded() {
        let wait = |value: &'static str| {
            let headers = HeaderMap::from_iter([(HeaderName::from_static("prefer"), HeaderValue::from_static(value))]);
            preferred_wait(&headers).ok()
        };
        assert_eq!(wait("wait=2"), Some(Some(Duration::from_secs(2))));
        assert_eq!(wait("respond-async, Wait=\"3\"; x=1"), Some(Some(Duration::from_secs(3))));
        assert_eq!(wait("wait=100000"), Some(Some(LONGEST)));
        assert_eq!(wait("respond-async"), Some(None));
        assert_eq!((wait("wait=soon"), wait("wait"), wait("wait=-1")), (None, None, None));
    }
}
