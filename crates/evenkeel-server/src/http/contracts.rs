//! Contracts that are not in force yet, tried on what is there.
//!
//! The contracts in force are those of the project folder when the server was started; nothing here changes them.
use super::{
    App, blocking,
    body::JsonBody,
    json,
    params::Params,
    problem::{BAD_CONTRACT, BAD_REQUEST, Problem},
};
use axum::{
    extract::{Path, State},
    http::{StatusCode, Uri},
    response::Response,
};
use evenkeel::{
    contract::{diagnostic::Files, project},
    report::ImpactReport,
};
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};

/// The largest set of files, in bytes.
const FILES_BYTES: usize = 8 << 20;

/// The most cases of a kind that are named.
const CASES: usize = 10_000;

/// Changed contracts.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    /// The files of the project as they would be: `evenkeel.toml`, of which the sources count, and those in `contracts/`, by
    /// their paths.
    files: BTreeMap<String, String>,
    /// How many cases of each kind are named: 0 to 10000, 10 where left out.
    cases: Option<usize>,
}

/// What a changed contract would do to the events that are kept as they were sent, and to the quarantine. Nothing is changed.
#[utoipa::path(
    post, path = "/v1/contracts/{contract}/impact", operation_id = "contract_impact", tag = "quarantine",
    params(("contract" = String, Path, description = "The contract, which is the type of the events it makes")),
    request_body = Question,
    responses((status = 200, description = "What it would do", body = ImpactReport)),
)]
pub(crate) async fn impact(
    State(app): State<Arc<App>>,
    Path(contract): Path<String>,
    uri: Uri,
    JsonBody(question): JsonBody<Question, FILES_BYTES>,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let cases = question.cases.unwrap_or(10);
    if cases > CASES {
        return Err(Problem::new(BAD_REQUEST, format!("cases: expected 0 to {CASES}, found {cases}")));
    }
    let files: Files = question.files.into_iter().collect();
    let engine = app.engine.clone();
    let measure = move || {
        let (_, gate) =
            project::gate(&files, &[]).map_err(|wrong| Problem::new(BAD_CONTRACT, wrong.render(&files, false)))?;
        engine.impact(&gate, &contract, cases).map_err(Problem::from)
    };
    Ok(json(StatusCode::OK, &blocking(measure).await?))
}
