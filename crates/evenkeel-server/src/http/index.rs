//! The pages for people: the list of addresses, and what each problem is. A dashboard will take the first one's place.
//!
//! For programs there is [`super::openapi`].
use super::{
    App,
    params::Params,
    problem::{self, NOT_FOUND, Problem},
};
use axum::{
    extract::{Path, State},
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use std::{fmt::Write as _, sync::Arc};

fn text(text: String) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

/// The addresses of this server.
#[utoipa::path(get, path = "/", tag = "operation", responses((status = 200, description = "A list", body = String, content_type = "text/plain")))]
pub(crate) async fn index(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    Ok(text(app.documents.get().map(|documents| documents.index.clone()).unwrap_or_default()))
}

/// The interface of this server, as OpenAPI 3.1.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operation",
    responses((status = 200, description = "An OpenAPI document", body = Object, content_type = "application/json")),
)]
pub(crate) async fn openapi(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let document = app.documents.get().map(|documents| documents.openapi.clone()).unwrap_or_default();
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], document).into_response())
}

/// What a kind of problem is and what to do about it.
///
/// This is where the `type` of a problem document leads.
#[utoipa::path(
    get, path = "/problems/{problem}", operation_id = "explain_problem", tag = "operation",
    params(("problem" = String, Path, description = "The last part of the problem's `type`")),
    responses((status = 200, description = "An explanation", body = String, content_type = "text/plain")),
)]
pub(crate) async fn explain(Path(name): Path<String>, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let kind = problem::kind(&name).ok_or_else(|| Problem::new(NOT_FOUND, format!("no problem is named {name:?}")))?;
    Ok(text(format!("{}\n\nStatus {}. {}\n", kind.title, kind.status, kind.help)))
}

/// The list of addresses, from the document that describes them.
pub(crate) fn list(api: &utoipa::openapi::OpenApi) -> String {
    let mut text = format!("Evenkeel {}\n\n", env!("CARGO_PKG_VERSION"));
    for (path, item) in &api.paths.paths {
        let operations = [("GET", &item.get), ("POST", &item.post), ("PUT", &item.put), ("DELETE", &item.delete)];
        for (method, operation) in operations.into_iter().filter_map(|(method, op)| Some((method, op.as_ref()?))) {
            let summary = operation.summary.as_deref().unwrap_or_default();
            // Writing to a string does not fail.
            let _ = writeln!(text, "{method:4} {path:46} {summary}");
        }
    }
    text
}
