//! Views that users declare: a file each, whose name is the view's.
//!
//! What stands in them is SQL, and the store's to judge.
use crate::{
    declare::ModelDecl,
    diagnostic::{Diagnostic, Files, Place},
    project::ViewDeclaration,
    reader::Sink,
};
use evenkeel_core::schema::View;

/// The views of a project, in order of their files.
pub(crate) fn read(files: &Files, models: &[ModelDecl], sink: &Sink) -> Vec<ViewDeclaration> {
    let view = |path: &str| {
        let name = path.strip_prefix("views/").and_then(|name| name.strip_suffix(".sql")).unwrap_or_default();
        let bytes = files.get(path).unwrap_or_default();
        let place = Place::file(path, 0..0);
        let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        if !starts || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            let message =
                "a view is named as its file is: lower-case letters, digits and `_`, and no digit at the start";
            sink.error(&place, message);
        } else if name.starts_with("_ek") || name.starts_with("sqlite_") {
            sink.error(&place, "names that start with `_ek` or `sqlite_` are reserved");
        }
        if let Some(model) = models.iter().find(|model| model.name.value == name) {
            let clash = Diagnostic::error(&place, format!("a model is named `{name}` too"));
            sink.push(clash.related(&model.name.place, "the model"));
        }
        let Ok(sql) = std::str::from_utf8(bytes) else {
            sink.error(&place, "the file is not UTF-8");
            return None;
        };
        let view = View { name: name.to_owned(), sql: sql.to_owned() };
        Some(ViewDeclaration { view, path: path.to_owned() })
    };
    files.within("views", ".sql").filter_map(view).collect()
}
