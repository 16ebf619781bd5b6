//! What is wrong with a project folder, and where: the messages a user sees, rendered with the lines concerned.
//!
//! Not here: finding mistakes. Rendering is pure text; who prints it decides about colour.
mod nearest;

pub(crate) use nearest::{did_you_mean, nearest};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use std::{borrow::Cow, collections::BTreeMap, fmt, ops::Range, sync::Arc};

/// The files of a project folder: paths relative to it, with `/` between names, and their bytes.
///
/// ```
/// use evenkeel_contract::diagnostic::Files;
/// let files: Files = [("evenkeel.toml", "[node]\n")].into_iter().collect();
/// assert_eq!(files.get("evenkeel.toml"), Some("[node]\n".as_bytes()));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    /// Adds a file, or replaces the one of this path.
    pub fn insert(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), bytes.into());
    }

    /// The bytes of the file at `path`.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.0.get(path).map(Vec::as_slice)
    }

    /// The files in order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// The paths of the files that lie in `folder` itself and end so.
    pub(crate) fn within<'f>(&'f self, folder: &'f str, ending: &'f str) -> impl Iterator<Item = &'f str> {
        self.0.keys().map(String::as_str).filter(move |path| {
            let name = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
            name.is_some_and(|name| name.ends_with(ending) && !name.contains('/') && !name.starts_with('.'))
        })
    }
}

impl<P: Into<String>, B: Into<Vec<u8>>> FromIterator<(P, B)> for Files {
    fn from_iter<I: IntoIterator<Item = (P, B)>>(files: I) -> Self {
        Self(files.into_iter().map(|(path, bytes)| (path.into(), bytes.into())).collect())
    }
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File {
        /// The file's path in the project folder.
        path: Arc<str>,
        /// The bytes concerned.
        span: Range<usize>,
    },
    /// In an environment variable.
    Variable {
        /// The variable with its value, as `NAME=value`.
        text: Arc<str>,
        /// The bytes concerned.
        span: Range<usize>,
    },
}

impl Place {
    /// In the file at `path`.
    pub fn file(path: &str, span: Range<usize>) -> Self {
        Self::File { path: path.into(), span }
    }

    /// The bytes concerned.
    pub fn span(&self) -> &Range<usize> {
        let (Self::File { span, .. } | Self::Variable { span, .. }) = self;
        span
    }

    fn sort_key(&self) -> (bool, &str, usize, usize) {
        match self {
            Self::Variable { text, span } => (false, text, span.start, span.end),
            Self::File { path, span } => (true, path, span.start, span.end),
        }
    }
}

/// How bad a mistake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The project cannot be used.
    Error,
    /// The project can be used and may not do what is meant.
    Warning,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, and what is expected.
    pub message: String,
    /// What is underlined.
    pub place: Place,
    /// What stands beside the underlined text.
    pub label: Option<String>,
    /// Other places that matter, and why.
    pub related: Vec<(Place, String)>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at `place`.
    pub fn error(place: &Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            place: place.clone(),
            label: None,
            related: Vec::new(),
            help: None,
        }
    }

    /// A warning at `place`.
    pub fn warning(place: &Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message) }
    }

    /// Adds a word beside the underlined text.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        Self { label: Some(label.into()), ..self }
    }

    /// Adds another place that matters.
    #[must_use]
    pub fn related(mut self, place: &Place, label: impl Into<String>) -> Self {
        self.related.push((place.clone(), label.into()));
        self
    }

    /// Adds advice.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Adds advice where there is some.
    #[must_use]
    pub fn maybe_help(self, help: Option<String>) -> Self {
        Self { help: help.or(self.help), ..self }
    }

    /// This alone, as text without colour.
    pub fn render(&self, files: &Files) -> String {
        self.render_with(files, &Renderer::plain())
    }

    fn render_with(&self, files: &Files, renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        // Places in the same file share one excerpt; the first excerpt is that of the place itself.
        let mut excerpts: Vec<Vec<(&Place, AnnotationKind, Option<&str>)>> =
            vec![vec![(&self.place, AnnotationKind::Primary, self.label.as_deref())]];
        for (place, label) in &self.related {
            let annotation = (place, AnnotationKind::Context, Some(label.as_str()));
            match excerpts.iter_mut().find(|excerpt| same_source(excerpt[0].0, place)) {
                Some(excerpt) => excerpt.push(annotation),
                None => excerpts.push(vec![annotation]),
            }
        }
        let mut group: Group<'_> =
            level.primary_title(self.message.as_str()).elements(std::iter::empty::<Origin<'_>>());
        for excerpt in excerpts {
            let source = Source::of(excerpt[0].0, files);
            group = match source.text {
                None => group.element(Origin::path(source.name)),
                Some(text) => {
                    let annotation = |(place, kind, label): (&Place, AnnotationKind, Option<&str>)| {
                        kind.span(span_within(place, &text)).label(label.map(ToOwned::to_owned))
                    };
                    let annotations: Vec<_> = excerpt.into_iter().map(annotation).collect();
                    group.element(Snippet::source(text).path(source.name).annotations(annotations))
                }
            };
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }
}

fn same_source(a: &Place, b: &Place) -> bool {
    a.sort_key().0 == b.sort_key().0 && a.sort_key().1 == b.sort_key().1
}

/// The text an excerpt is taken from.
struct Source<'f> {
    name: Cow<'f, str>,
    text: Option<Cow<'f, str>>,
}

impl<'f> Source<'f> {
    fn of(place: &'f Place, files: &'f Files) -> Self {
        match place {
            Place::File { path, .. } => {
                Self { name: Cow::Borrowed(path), text: files.get(path).map(String::from_utf8_lossy) }
            }
            Place::Variable { text, .. } => {
                Self { name: Cow::Borrowed("environment"), text: Some(Cow::Borrowed(text)) }
            }
        }
    }
}

/// The bytes to underline, moved to where characters begin.
fn span_within(place: &Place, text: &str) -> Range<usize> {
    let span = place.span();
    let boundary = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(span.start);
    start..boundary(span.end).max(start)
}

/// Every mistake of a project, in order of files and positions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// In order of files and positions, each once.
    pub fn new(mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by(|a, b| {
            (a.place.sort_key(), a.severity, &a.message).cmp(&(b.place.sort_key(), b.severity, &b.message))
        });
        diagnostics.dedup_by(|a, b| a.place == b.place && a.message == b.message);
        Self(diagnostics)
    }

    /// The mistakes in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        self.0.len() - self.errors()
    }

    /// All of them with the lines concerned, an empty line between two, with terminal colours where `colour` is true.
    pub fn render(&self, files: &Files, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        self.iter().map(|diagnostic| diagnostic.render_with(files, &renderer) + "\n").collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Diagnostics {
    /// One line each, without the lines concerned: for logs. [`Diagnostics::render`] is for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.iter().enumerate() {
            let name = match &diagnostic.place {
                Place::File { path, .. } => path,
                Place::Variable { text, .. } => text.split('=').next().unwrap_or_default(),
            };
            write!(f, "{}{name}: {}", if i == 0 { "" } else { "\n" }, diagnostic.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_show_file_line_and_text() {
        let files: Files =
            [("evenkeel.toml", "[node]\nide = \"a\"\n"), ("models/a.toml", "model = \"ä\"\n")].into_iter().collect();
        let diagnostic = Diagnostic::error(&Place::file("evenkeel.toml", 7..10), "unknown key `ide`")
            .related(&Place::file("models/a.toml", 8..12), "another file")
            .help("did you mean `id`?");
        let expected = "\
error: unknown key `ide`
 --> evenkeel.toml:2:1
  |
2 | ide = \"a\"
  | ^^^
  |
 ::: models/a.toml:1:9
  |
1 | model = \"ä\"
  |         --- another file
  |
  = help: did you mean `id`?";
        assert_eq!(diagnostic.render(&files), expected);
        assert!(Diagnostics::new(vec![diagnostic]).render(&files, true).contains("\u{1b}["));
    }

    #[test]
    fn places_that_do_not_exist_are_rendered_too() {
        let files: Files = [("a", b"\xff\xfe".to_vec())].into_iter().collect();
        for place in [Place::file("gone", 3..9), Place::file("a", 1..40), Place::file("a", 40..41)] {
            assert!(Diagnostic::error(&place, "x").render(&files).starts_with("error: x\n"));
        }
        let variable = Place::Variable { text: "EVENKEEL_NODE__IDE=a".into(), span: 0..18 };
        assert!(Diagnostic::error(&variable, "x").render(&files).contains("EVENKEEL_NODE__IDE=a"));
    }
}
