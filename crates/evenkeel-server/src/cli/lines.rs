//! The lines of a file or of stdin, unpacked where they are packed with gzip.
//!
//! Not here: what stands in a line.
use crate::output::Failure;
use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

/// The longest line that is read, in bytes.
pub(super) const LONGEST: usize = 16 << 20;

/// What some programs write before text in UTF-8, though it means nothing there.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A line that is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number in the unpacked text, from 1.
    pub(super) number: u64,
    /// Its bytes, without what ends it.
    pub(super) bytes: Vec<u8>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A line.
    Line(Line),
    /// A line longer than [`LONGEST`], passed over.
    TooLong(u64),
    /// Nothing.
    End,
}

/// Lines, one after the other.
pub(super) struct Input {
    reader: Box<dyn BufRead>,
    name: String,
    number: u64,
    about: About,
}

/// What a command reads lines for: for its messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    /// The command.
    pub(super) command: &'static str,
    /// What the lines are.
    pub(super) lines: &'static str,
    /// What to know where the input breaks off.
    pub(super) broken: &'static str,
}

impl Input {
    /// Opens a file, or stdin for `-`. The bar follows how much of it was read.
    ///
    /// # Errors
    /// Where it cannot be read, or is packed in a way that is not understood.
    pub(super) fn open(path: &Path, bar: &ProgressBar, about: About) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Self::over("stdin", Box::new(bar.wrap_read(io::stdin())), about);
        }
        let name = path.display().to_string();
        let unreadable = |error: io::Error| {
            Failure::usage(format!("{name} cannot be read: {error}"))
                .help(format!("give a file of {}, one JSON object a line, or `-`", about.lines))
        };
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(unreadable(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")));
        }
        if metadata.is_file() {
            bar.set_length(metadata.len());
        }
        Self::over(&name, Box::new(bar.wrap_read(file)), about)
    }

    fn over(name: &str, source: Box<dyn Read>, about: About) -> Result<Self, Failure> {
        let mut reader = BufReader::with_capacity(1 << 16, source);
        let failed = |error: io::Error| Failure::usage(format!("{name} cannot be read: {error}"));
        // A pipe may give less than asked for; four bytes tell.
        let mut head = Vec::new();
        reader.by_ref().take(4).read_to_end(&mut head).map_err(failed)?;
        let whole = BufReader::new(io::Cursor::new(head.clone()).chain(reader));
        let reader: Box<dyn BufRead> = match head.as_slice() {
            [0x1f, 0x8b, ..] => Box::new(BufReader::new(MultiGzDecoder::new(whole))),
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let failure = Failure::usage(format!("{name} is packed with zstd, which is not understood"));
                return Err(failure.help(format!("unpack it on the way: zstd -dc FILE | evenkeel {} -", about.command)));
            }
            _ => Box::new(whole),
        };
        Ok(Self { reader, name: name.to_owned(), number: 0, about })
    }

    /// The next line that is not empty.
    ///
    /// # Errors
    /// Where nothing more can be read: the file is damaged, or the disk is.
    pub(super) fn next(&mut self) -> Result<Next, Failure> {
        loop {
            let mut bytes = Vec::new();
            let limit = LONGEST as u64 + 2;
            let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut bytes);
            let read = read.map_err(|error| self.broken(&error))?;
            if read == 0 {
                return Ok(Next::End);
            }
            self.number += 1;
            if self.number == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
                bytes.drain(..BYTE_ORDER_MARK.len());
            }
            if bytes.last() != Some(&b'\n') && read as u64 == limit {
                self.pass_over()?;
                return Ok(Next::TooLong(self.number));
            }
            let text = bytes.trim_ascii();
            if !text.is_empty() {
                return Ok(Next::Line(Line { number: self.number, bytes: text.to_vec() }));
            }
        }
    }

    fn broken(&self, error: &io::Error) -> Failure {
        let Self { name, number, about, .. } = self;
        Failure::usage(format!("{name} cannot be read after line {number}: {error}")).help(about.broken)
    }

    fn pass_over(&mut self) -> Result<(), Failure> {
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) => return Err(self.broken(&error)),
            };
            let (used, ended) = match buffer.iter().position(|&byte| byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.reader.consume(used);
            if ended {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn input(bytes: &[u8]) -> Result<Input, Failure> {
        let about = About { command: "publish", lines: "lines", broken: "mend it" };
        Input::over("x", Box::new(io::Cursor::new(bytes.to_vec())), about)
    }

    fn lines(bytes: &[u8]) -> Vec<(u64, String)> {
        let mut input = input(bytes).unwrap();
        let mut found = Vec::new();
        while let Next::Line(Line { number, bytes }) = input.next().unwrap() {
            found.push((number, String::from_utf8(bytes).unwrap()));
        }
        found
    }

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn empty_lines_count_and_are_passed_over() {
        let expected = vec![(1, "a".to_owned()), (4, "b c".to_owned())];
        assert_eq!(lines(b"a\r\n\n  \nb c"), expected);
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"\n"), []);
    }

    #[test]
    fn a_byte_order_mark_is_skipped_at_the_start_only() {
        assert_eq!(lines(b"\xEF\xBB\xBFa\n\xEF\xBB\xBFb"), [(1, "a".into()), (2, "\u{FEFF}b".into())]);
        assert_eq!(lines(b"\xEF\xBB\xBF\na"), [(2, "a".into())]);
        assert_eq!(lines(&packed("\u{FEFF}a\n")), [(1, "a".into())]);
    }

    #[test]
    fn gzip_is_recognised_in_several_members() {
        let mut bytes = packed("a\nb");
        bytes.extend(packed("b\nc\n"));
        let found: Vec<_> = lines(&bytes).into_iter().map(|(_, line)| line).collect();
        assert_eq!(found, ["a", "bb", "c"]);
    }

    #[test]
    fn gzip_that_is_cut_short_is_an_error_and_not_an_end() {
        let whole = packed(&"some line\n".repeat(1000));
        let mut cut = input(&whole[..whole.len() - 9]).unwrap();
        let failure = loop {
            match cut.next() {
                Ok(Next::End) => panic!("the damage was not seen"),
                Ok(_) => {}
                Err(failure) => break failure,
            }
        };
        assert_eq!(failure.code, 2);
    }

    #[test]
    fn zstd_is_refused_with_a_way_out() {
        let failure = input(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0]).err().unwrap();
        assert!(failure.help.unwrap().contains("zstd -dc"));
    }

    #[test]
    fn a_line_too_long_is_passed_over_whole() {
        let mut bytes = vec![b'x'; LONGEST + 100_000];
        bytes.extend(b"\nnext\n");
        let mut input = input(&bytes).unwrap();
        assert_eq!(input.next().unwrap(), Next::TooLong(1));
        assert_eq!(input.next().unwrap(), Next::Line(Line { number: 2, bytes: b"next".to_vec() }));
        assert_eq!(input.next().unwrap(), Next::End);
    }
}
