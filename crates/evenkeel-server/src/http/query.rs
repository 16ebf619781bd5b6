//! SQL over models: statements that read, each answer with the label of the worst model it reads.
//!
//! Carrying them out, and keeping them from anything else, is the store's; what is asked of a read is [`super::rows`]'.
use super::{App, body::JsonBody, json, params::Params, problem::Problem, rows::Read};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use evenkeel::{reader::QueryRequest, report::QueryAnswer};
use serde::Deserialize;
use std::sync::Arc;

/// A statement.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// One statement in SQL that reads models, views declared over them, and `_ek_freshness`.
    sql: String,
    /// At most so many rows; left out, as many as the server gives.
    #[serde(default)]
    limit: Option<u32>,
}

/// Reads models in SQL.
///
/// Everything that is read is of one moment. What was asked for is demanded of each model that the statement reads, and
/// `consistency` is the worst of theirs.
#[utoipa::path(
    post, path = "/v1/query", operation_id = "query", tag = "reads",
    params(
        ("level" = Option<String>, Query, description = "`eventual`, `bounded`, `monotonic`, `causal` or `strong`; where none is named the one that token or bounds call for, or each model's own"),
        ("token" = Option<String>, Query, description = "What the reader has seen and written: tokens of earlier answers, with commas between"),
        ("max_lag" = Option<u64>, Query, description = "How many events may be missing of each model"),
        ("max_staleness_ms" = Option<u64>, Query, description = "How old the oldest missing event may be"),
        ("consistent_since" = Option<String>, Query, description = "Everything committed before this instant (RFC 3339) must be in the answer"),
        ("budget_ms" = Option<u64>, Query, description = "How long the read may wait to meet its level"),
        ("allow_stale" = Option<bool>, Query, description = "Whether an answer that does not meet its level is welcome, labelled"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS`, instead of `budget_ms`"),
        ("Consistency-Token" = Option<String>, Header, description = "As `token`"),
    ),
    request_body = Asked,
    responses((status = 200, description = "The rows", body = QueryAnswer)),
)]
pub(crate) async fn query(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    JsonBody(asked): JsonBody<Asked>,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let mut read = Read::of(&mut params, &headers, app.budget)?;
    params.finish()?;
    read.take_token(&app).await?;
    let limit = match asked.limit {
        Some(0) => return Err(Problem::new(super::problem::BAD_REQUEST, "the body: limit: expected at least 1")),
        limit => limit.map_or(0, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
    };
    let request = QueryRequest { sql: asked.sql, limit };
    let answer = app.engine.query_async(request, read.options()).await?;
    let mut response = json(StatusCode::OK, &answer);
    read.label(&mut response, &answer.consistency, false);
    Ok(response)
}
