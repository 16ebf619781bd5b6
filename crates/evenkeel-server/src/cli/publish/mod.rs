//! `evenkeel publish`: events from a file, one JSON object a line, sent in order until each is durably taken.
//!
//! What cannot be read is refused with its line and the rest goes on. Not here: reading lines ([`super::lines`]) and handing
//! them over ([`sender`]).
pub(crate) mod backoff;
mod sender;

use super::{
    Answer, Context, Done,
    access::{Access, Projectors},
    lines::{self, About, Input, Line, Next},
};
use crate::output::{Document, Failure, Style, one_line, paint, thousands};
use backoff::Backoff;
use evenkeel::contract::envelope;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sender::{Refusal, Sender, Sent};
use serde::Serialize;
use std::{collections::BTreeMap, io::IsTerminal, path::PathBuf, time::Duration};

/// `evenkeel publish FILE|-`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file, or `-` for stdin
    file: PathBuf,
    /// Events sent in one request
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch: u16,
    /// What the writer has seen: the events know that, and each other in order, and nothing else
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// How long a request is tried again while the server is busy or away
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    retry_seconds: u64,
}

/// Bytes sent in one request, unless a single event has more. Below the body limit that servers have by default.
const BATCH_BYTES: usize = 512 << 10;

/// What is read.
const LINES: About = About {
    command: "publish",
    lines: "CloudEvents",
    broken: "what was sent is taken; sending the whole file again is safe",
};

/// Refused lines shown one by one.
const SHOWN: u64 = 20;

/// What became of the lines.
#[derive(Debug, Default, Serialize)]
struct Summary {
    read: u64,
    admitted: u64,
    duplicate: u64,
    waiting: u64,
    quarantined: u64,
    refused: u64,
    token: Option<String>,
    /// The quarantined ones by reason.
    reasons: BTreeMap<String, u64>,
    /// The first of the refused lines.
    refusals: Vec<Refused>,
}

#[derive(Debug, Serialize)]
struct Refused {
    line: u64,
    why: String,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: &Args) -> Done {
    let bar = progress_bar();
    let input = Input::open(&args.file, &bar, LINES)?;
    let access = Access::open(context, Projectors::Running)?;
    let sender = Sender::new(&access, Backoff::new(Duration::from_secs(args.retry_seconds)));
    let (batch, seen, summary) = (usize::from(args.batch), args.token.clone(), Summary::default());
    let mut publish = Publish { context, bar, sender, batch, seen, summary, reached: None };
    let result = publish.all(input);
    publish.bar.finish_and_clear();
    let summary = publish.summary;
    if let Err(failure) = result {
        context.out.note(format_args!("{} of {} events read were taken", summary.taken(), summary.read));
        return Err(failure);
    }
    access.follow(context)?;
    if context.out.json {
        context.out.json(&Document::of(&summary)?)?;
    } else {
        summary.print(context)?;
    }
    Ok(Answer::yes_if(summary.refused == 0))
}

struct Publish<'p> {
    context: &'p Context,
    bar: ProgressBar,
    sender: Sender<'p>,
    batch: usize,
    /// What the writer has seen by now, where that was said: each request is sent with the token of the one before.
    seen: Option<String>,
    summary: Summary,
    /// The position that the summary's token covers.
    reached: Option<u64>,
}

impl Publish<'_> {
    fn all(&mut self, mut input: Input) -> Result<(), Failure> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        loop {
            let line = match input.next()? {
                Next::Line(line) => line,
                Next::TooLong(number) => {
                    self.summary.read += 1;
                    self.refuse(number, format!("longer than {} MiB", lines::LONGEST >> 20));
                    continue;
                }
                Next::End => break,
            };
            self.summary.read += 1;
            // Asked here, a bad line costs itself only; the server would refuse the whole batch.
            if let Err(envelope::Refused::Unreadable(why)) = envelope::read(&line.bytes) {
                self.refuse(line.number, why.to_string());
                continue;
            }
            if !batch.is_empty() && (batch.len() >= self.batch || bytes + line.bytes.len() > BATCH_BYTES) {
                self.send(&batch)?;
                batch.clear();
                bytes = 0;
            }
            bytes += line.bytes.len() + 1;
            batch.push(line);
        }
        self.send(&batch)
    }

    /// Sends lines in order. Where the server will not take them together, in halves.
    fn send(&mut self, batch: &[Line]) -> Result<(), Failure> {
        if batch.is_empty() {
            return Ok(());
        }
        match self.sender.send(batch, self.seen.as_deref())? {
            Sent::Taken { outcomes, token } => {
                if self.seen.is_some() {
                    self.seen.clone_from(&token);
                }
                // Batches are separate requests: the token of the one that reached furthest covers the others too.
                let reached = outcomes.iter().filter_map(|outcome| outcome.position).max();
                if self.summary.token.is_none() || reached >= self.reached {
                    self.summary.token = token.or(self.summary.token.take());
                    self.reached = reached;
                }
                for outcome in outcomes {
                    self.summary.count(&outcome.outcome, outcome.reason.as_deref());
                }
                self.bar.set_message(format!("{} events taken", thousands(self.summary.taken())));
            }
            Sent::Refused(Refusal { why }) => match batch {
                [line] => self.refuse(line.number, why),
                _ => {
                    let (first, second) = batch.split_at(batch.len() / 2);
                    self.send(first)?;
                    self.send(second)?;
                }
            },
        }
        Ok(())
    }

    fn refuse(&mut self, line: u64, why: String) {
        // A parser saw this line alone; its "line 1" would be taken for the file's.
        let why = why.replace(" at line 1 column ", " at column ");
        self.summary.refused += 1;
        if self.summary.refused <= SHOWN {
            let out = &self.context.out;
            let refused = paint("refused:", Style::Bad, out.colour_err());
            self.bar.suspend(|| out.note(format_args!("{refused} line {line}: {}", one_line(&why))));
            self.summary.refusals.push(Refused { line, why });
        }
    }
}

impl Summary {
    fn count(&mut self, outcome: &str, reason: Option<&str>) {
        match outcome {
            "admitted" => self.admitted += 1,
            "duplicate" => self.duplicate += 1,
            "waiting" => self.waiting += 1,
            _ => {
                self.quarantined += 1;
                *self.reasons.entry(reason.unwrap_or("unknown").to_owned()).or_default() += 1;
            }
        }
    }

    fn taken(&self) -> u64 {
        self.admitted + self.duplicate + self.waiting + self.quarantined
    }

    fn print(&self, context: &Context) -> Result<(), Failure> {
        let out = &context.out;
        if self.refused > SHOWN {
            out.note(format_args!("and {} more refused lines", self.refused - SHOWN));
        }
        let mut parts = vec![format!("{} admitted", thousands(self.admitted))];
        parts.push(format!("{} duplicate", thousands(self.duplicate)));
        if self.waiting > 0 {
            parts.push(format!("{} waiting", thousands(self.waiting)));
        }
        let reasons: Vec<_> = self.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
        parts.push(format!("{} quarantined{why}", thousands(self.quarantined)));
        parts.push(format!("{} refused", thousands(self.refused)));
        out.line(format_args!("{} read: {}", thousands(self.read), parts.join(", ")))
    }
}

/// A bar on stderr where that is a terminal, and nothing elsewhere.
fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::no_length();
    if let Ok(style) =
        ProgressStyle::with_template("{wide_bar} {binary_bytes}/{binary_total_bytes} {elapsed_precise} {msg}")
    {
        bar.set_style(style);
    }
    bar
}
