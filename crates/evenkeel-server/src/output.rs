//! How commands speak: JSON documents and aligned tables on stdout, notes and errors on stderr.
//!
//! Not here: what is said, and the rendering of a project's mistakes (`evenkeel-contract`).
use comfy_table::{ContentArrangement, Table, presets};
use evenkeel_core::json::{self, Number, Value};
use serde::Serialize;
use std::{
    fmt,
    io::{self, IsTerminal, Write},
};

/// Why a command did not do what was asked: what happened, what to do about it, and the code the program ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// What happened, and where. Empty where nobody is left to read it.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) help: Option<String>,
}

impl Failure {
    /// The answer is "no".
    pub(crate) fn no(what: impl Into<String>) -> Self {
        Self { code: 1, what: what.into(), help: None }
    }

    /// The command or the configuration is wrong.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self { code: 2, what: what.into(), help: None }
    }

    /// The server or the store cannot be reached.
    pub(crate) fn unreachable(what: impl Into<String>) -> Self {
        Self { code: 3, what: what.into(), help: None }
    }

    /// Adds advice.
    #[must_use]
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Where commands print, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Whether stdout carries JSON rather than text for people.
    pub(crate) json: bool,
    colour: bool,
    colour_err: bool,
}

/// Colours that carry a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// As it should be.
    Good,
    /// To be watched.
    Warn,
    /// Not as it should be.
    Bad,
    /// Beside the point.
    Dim,
    /// A heading.
    Bold,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
            Self::Dim => "2",
            Self::Bold => "1",
        }
    }
}

/// Words of reports and the colour each has wherever it stands.
const WORDS: &[(&str, Style)] = &[
    ("in_sync", Style::Good),
    ("catching_up", Style::Warn),
    ("recovering", Style::Warn),
    ("stalled", Style::Bad),
    ("rebuild_needed", Style::Bad),
    ("verified", Style::Good),
    ("suspect", Style::Warn),
    ("drifted", Style::Bad),
    ("quarantined", Style::Warn),
    ("held", Style::Warn),
    ("discarded", Style::Dim),
];

impl Output {
    /// Colours are for terminals, unless `NO_COLOR` is set to something.
    pub(crate) fn new(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            json,
            colour: wanted && !json && io::stdout().is_terminal(),
            colour_err: wanted && io::stderr().is_terminal(),
        }
    }

    /// Whether stdout shows colours.
    pub(crate) fn colour(&self) -> bool {
        self.colour
    }

    /// Whether stderr shows colours.
    pub(crate) fn colour_err(&self) -> bool {
        self.colour_err
    }

    /// Prints a line on stdout.
    ///
    /// # Errors
    /// Where nobody reads any more: the command ends in silence then, as other tools in a pipe do.
    pub(crate) fn line(&self, text: impl fmt::Display) -> Result<(), Failure> {
        let closed = |error: io::Error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure { code: 0, what: String::new(), help: None },
            _ => Failure::unreachable(format!("stdout cannot be written: {error}")),
        };
        writeln!(io::stdout().lock(), "{text}").map_err(closed)
    }

    /// Prints a JSON document as one line on stdout.
    ///
    /// # Errors
    /// As for [`Output::line`].
    pub(crate) fn json(&self, document: &Document) -> Result<(), Failure> {
        self.line(document.text())
    }

    /// Prints a table on stdout, with the words of reports in their colours.
    ///
    /// # Errors
    /// As for [`Output::line`].
    pub(crate) fn table(&self, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<(), Failure> {
        self.line(painted_words(&table(header, rows), self.colour))
    }

    /// Says something on stderr.
    pub(crate) fn note(&self, text: impl fmt::Display) {
        // A closed stderr is no reason to stop.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Says on stderr why the command failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.what.is_empty() {
            return;
        }
        self.note(format_args!("{} {}", paint("error:", Style::Bad, self.colour_err), failure.what));
        if let Some(help) = &failure.help {
            self.note(format_args!("  {} {help}", paint("help:", Style::Bold, self.colour_err)));
        }
    }
}

/// `text` in a colour, where colours are shown.
pub(crate) fn paint(text: &str, style: Style, colour: bool) -> String {
    if colour { format!("\u{1b}[{}m{text}\u{1b}[0m", style.code()) } else { text.to_owned() }
}

/// Columns two spaces apart, without lines between them.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    for row in rows {
        // A cell is one line, whatever text of an event stands in it.
        table.add_row(row.iter().map(|cell| one_line(cell)).collect::<Vec<_>>());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Text with control characters shown rather than obeyed.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// The words of reports in their colours, for text whose columns are aligned already.
fn painted_words(text: &str, colour: bool) -> String {
    if !colour {
        return text.to_owned();
    }
    let painted = |piece: &str| match WORDS.iter().find(|(word, _)| *word == piece.trim_end()) {
        Some((word, style)) => piece.replacen(word, &paint(word, *style, true), 1),
        None => piece.to_owned(),
    };
    text.lines()
        .enumerate()
        .map(|(index, line)| match index {
            0 => paint(line, Style::Bold, true),
            _ => line.split_inclusive(' ').map(painted).collect(),
        })
        .collect::<Vec<String>>()
        .join("\n")
}

/// A report as JSON: the text as it came, and the value in it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    text: String,
    value: Value,
}

impl Document {
    /// A report of this process.
    ///
    /// # Errors
    /// Where it cannot be written as JSON, which would be a defect.
    pub(crate) fn of(report: &impl Serialize) -> Result<Self, Failure> {
        let text = serde_json::to_string(report);
        Self::parse(text.map_err(|error| Failure::unreachable(format!("a report cannot be written as JSON: {error}")))?)
    }

    /// What a server answered.
    ///
    /// # Errors
    /// Where it is not JSON.
    pub(crate) fn parse(text: String) -> Result<Self, Failure> {
        let unreadable = |error| Failure::unreachable(format!("the server's answer cannot be read: {error}"));
        let value = json::parse(text.as_bytes()).map_err(unreadable)?;
        Ok(Self { text, value })
    }

    /// The document on one line.
    pub(crate) fn text(&self) -> &str {
        self.text.trim_end()
    }

    /// The whole value.
    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// What stands under a path of member names, null where nothing does.
    pub(crate) fn at(&self, path: &[&str]) -> &Value {
        at(&self.value, path)
    }

    /// The items of the array under `name`; none where there is no such array.
    pub(crate) fn items(&self, name: &str) -> &[Value] {
        self.at(&[name]).as_array().unwrap_or_default()
    }
}

/// What stands under a path of member names, null where nothing does.
pub(crate) fn at<'v>(value: &'v Value, path: &[&str]) -> &'v Value {
    const NULL: &Value = &Value::Null;
    path.iter().fold(value, |value, name| value.as_object().and_then(|object| object.get(name)).unwrap_or(NULL))
}

/// The text under a path; empty where there is none.
pub(crate) fn text<'v>(value: &'v Value, path: &[&str]) -> &'v str {
    at(value, path).as_str().unwrap_or_default()
}

/// The whole number under a path; 0 where there is none.
pub(crate) fn count(value: &Value, path: &[&str]) -> u64 {
    at(value, path).as_i64().and_then(|number| u64::try_from(number).ok()).unwrap_or_default()
}

/// The number under a path.
pub(crate) fn number(value: &Value, path: &[&str]) -> Option<f64> {
    match at(value, path) {
        Value::Number(Number::Int(int)) => Some(*int as f64),
        Value::Number(Number::Exact(text)) => text.parse().ok(),
        _ => None,
    }
}

/// A value as it stands in a table: text bare, null as a dash, the rest as JSON.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.to_string(),
        other => other.to_string(),
    }
}

/// Seconds for people; unknown is a dash, never 0.
pub(crate) fn seconds(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |seconds| format!("{seconds:.1}"))
}

/// A whole number with commas between thousands.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_shown() {
        let rows = vec![vec!["a".into(), "line\nbreak \u{1b}[31m".into()], vec!["longer".into(), "x".into()]];
        let text = table(&["KEY", "VALUE"], rows);
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines, ["KEY     VALUE", "a       line\\nbreak \\u{1b}[31m", "longer  x"]);
    }

    #[test]
    fn words_of_reports_are_coloured_and_nothing_else_is() {
        let painted = painted_words("MODEL  STATUS\nstalled_orders  stalled  1", true);
        assert!(painted.contains("stalled_orders  \u{1b}[31mstalled\u{1b}[0m  1"), "{painted:?}");
        assert_eq!(painted_words("a stalled", false), "a stalled");
    }

    #[test]
    fn unknown_is_a_dash_and_thousands_have_commas() {
        assert_eq!((seconds(None), seconds(Some(0.04))), ("-".into(), "0.0".into()));
        let shown = [0, 999, 1000, 1_234_567].map(thousands);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn documents_keep_their_text_and_are_looked_into() {
        let document = Document::parse("{\"a\": {\"b\": 0.5, \"n\": 9007199254740993}, \"l\": [1]}\n".into()).unwrap();
        assert_eq!(document.text(), "{\"a\": {\"b\": 0.5, \"n\": 9007199254740993}, \"l\": [1]}");
        assert_eq!(number(document.value(), &["a", "b"]), Some(0.5));
        assert_eq!(cell(document.at(&["a", "n"])), "9007199254740993");
        assert_eq!((document.items("l").len(), document.items("none").len()), (1, 0));
        assert_eq!(document.at(&["a", "b", "c"]), &Value::Null);
    }
}
