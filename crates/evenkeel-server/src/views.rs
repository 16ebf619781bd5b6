//! The views of a project, judged by the store that will carry them out.
//!
//! What they are named and where they stand is the contract crate's.
use evenkeel::{
    contract::{
        diagnostic::{Diagnostic, Diagnostics, Files, Place},
        project::Project,
    },
    core::{
        fold::Fold as _,
        schema::{Schema, View},
    },
    store::{SqlError, StoreError, sqlite::check_views},
};

/// What is wrong with the views of a project; each with the path of its file.
///
/// # Errors
/// Where no table can be made for a model.
pub(crate) fn wrong(project: &Project) -> Result<Vec<(&str, SqlError)>, StoreError> {
    if project.views.is_empty() {
        return Ok(Vec::new());
    }
    let models: Vec<Schema> = project.models.iter().map(|model| model.fold.schema().clone()).collect();
    let views: Vec<View> = project.views.iter().map(|declared| declared.view.clone()).collect();
    let found = check_views(&models, &views)?;
    Ok(found.into_iter().map(|(index, error)| (project.views[index].path.as_str(), error)).collect())
}

/// As [`wrong`], with the text in question.
///
/// # Errors
/// As there.
pub(crate) fn check(project: &Project, files: &Files) -> Result<Diagnostics, StoreError> {
    let diagnostic = |(path, error): (&str, SqlError)| {
        let length = files.get(path).map_or(0, <[u8]>::len);
        let span = match error {
            SqlError::Statement { offset: Some(at), .. } if at < length => at..at + 1,
            _ => 0..0,
        };
        Diagnostic::error(&Place::file(path, span), error.to_string())
    };
    Ok(Diagnostics::new(wrong(project)?.into_iter().map(diagnostic).collect()))
}
