//! Says what happens as it happens: a line a thing, with the time since the beginning.
use crate::output::{Output, Style, paint};
use std::{fmt, time::Instant};

/// Tells the story on stdout, or on stderr where stdout carries JSON.
pub(super) struct Narrator {
    out: Output,
    since: Instant,
}

impl Narrator {
    pub(super) fn new(out: Output) -> Self {
        Self { out, since: Instant::now() }
    }

    /// Seconds since the beginning.
    pub(super) fn elapsed_seconds(&self) -> f64 {
        self.since.elapsed().as_secs_f64()
    }

    /// Something happened.
    pub(super) fn say(&self, text: impl fmt::Display) {
        let at = format!("[{:5.1} s]", self.elapsed_seconds());
        if self.out.json {
            self.out.note(format_args!("{} {text}", paint(&at, Style::Dim, self.out.colour_err())));
        } else {
            // Whoever does not read the story any more may still want its end.
            let _ = self.out.line(format_args!("{} {text}", paint(&at, Style::Dim, self.out.colour())));
        }
    }
}
