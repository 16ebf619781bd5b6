//! JSON pointers as text into a raw event, for refusals.
//!
//! Places in the files of a project are [`crate::diagnostic::Place`]s.

/// A member's name as a reference token.
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The pointer into the raw event for a pointer into its data.
pub(crate) fn in_data(pointer: impl std::fmt::Display) -> String {
    format!("/data{pointer}")
}
