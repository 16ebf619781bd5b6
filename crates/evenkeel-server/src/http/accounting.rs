//! What became of everything that was taken, by source.
//!
//! The books are kept with the log; the single events are [`super::log`]'s and [`super::quarantine`]'s.
use super::{App, blocking, json, params::Params, problem::Problem};
use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use evenkeel::report::AccountingReport;
use std::sync::Arc;

/// The books on every source: received = admitted + duplicate + waiting + quarantined + discarded, of one moment.
#[utoipa::path(
    get, path = "/v1/accounting", tag = "operation",
    params(
        ("recount" = Option<bool>, Query, description = "Count the log and the quarantine afresh and compare, which reads all of them"),
    ),
    responses((status = 200, body = AccountingReport)),
)]
pub(crate) async fn accounting(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let recount = params.get("recount", "true or false".to_owned())?.unwrap_or(false);
    params.finish()?;
    let engine = app.engine.clone();
    let report = blocking(move || engine.accounting(recount)).await?;
    Ok(json(StatusCode::OK, &report))
}
