//! The sources: each sends its events over HTTP in order and at a steady pace, unless it is down.
//!
//! Not here: what the events are ([`super::shop`]), and how a client meets an outage (`cli/publish`).
use super::{
    ledger::{Ledger, Receipt},
    shop::{Planned, Sending},
};
use crate::{cli::backoff::Backoff, client::Client, output::Failure};
use serde::Deserialize;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Events in one request.
const BATCH: usize = 200;

/// How often a source looks whether it is time to send.
pub(super) const TICK: Duration = Duration::from_millis(20);

/// How long a request is tried again while the node is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Over what time everything is sent.
pub(super) struct Pace {
    started: Instant,
    over: Duration,
    aborted: AtomicBool,
}

impl Pace {
    /// Beginning now.
    pub(super) fn new(over: Duration) -> Self {
        Self { started: Instant::now(), over, aborted: AtomicBool::new(false) }
    }

    /// Something failed: nobody sends or waits any more.
    pub(super) fn abort(&self) {
        self.aborted.store(true, Ordering::Relaxed);
    }

    /// Whether something failed.
    pub(super) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Relaxed)
    }

    /// Events due by now of a source that sends `events` in all.
    pub(super) fn due(&self, events: usize) -> usize {
        (self.share() * events as f64).ceil() as usize
    }

    /// The share of the time that has passed, up to 1.
    pub(super) fn share(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() / self.over.as_secs_f64()).min(1.0)
    }

    /// Waits until that share has passed.
    pub(super) fn wait_for(&self, share: f64) {
        while self.share() < share && !self.is_aborted() {
            thread::sleep(TICK);
        }
    }
}

/// Sends everything of a source in order. While `down` nothing is sent; afterwards what was due meanwhile is sent at
/// once.
pub(super) fn send_all(
    client: &Client,
    sending: &Sending,
    pace: &Pace,
    down: &AtomicBool,
    ledger: &Ledger,
) -> Result<(), Failure> {
    let mut rest = sending.events.as_slice();
    while !rest.is_empty() && !pace.is_aborted() {
        let sent = sending.events.len() - rest.len();
        let count = pace.due(sending.events.len()).saturating_sub(sent).min(BATCH).min(rest.len());
        if count == 0 || down.load(Ordering::Relaxed) {
            thread::sleep(TICK);
            continue;
        }
        let (now, later) = rest.split_at(count);
        send(client, sending.source, now, ledger)?;
        rest = later;
    }
    Ok(())
}

/// What a request with events was answered.
#[derive(Deserialize)]
pub(super) struct Taken {
    /// What became of each event.
    pub(super) results: Vec<Receipt>,
    /// What was written: whoever reads with it finds that.
    pub(super) token: String,
}

/// Sends events in one request and enters the answers.
pub(super) fn send(
    client: &Client,
    source: &'static str,
    events: &[Planned],
    ledger: &Ledger,
) -> Result<Taken, Failure> {
    send_after(client, source, events, None, ledger)
}

/// The same of somebody who has seen what a token says.
pub(super) fn send_after(
    client: &Client,
    source: &'static str,
    events: &[Planned],
    token: Option<&str>,
    ledger: &Ledger,
) -> Result<Taken, Failure> {
    let raws: Vec<&str> = events.iter().map(|planned| planned.raw.as_str()).collect();
    let body = format!("[{}]", raws.join(","));
    let mut backoff = Backoff::new(PATIENCE);
    loop {
        let answer = client.post_events(body.as_bytes(), token).map_err(|unanswered| client.unanswered(&unanswered))?;
        match answer.status {
            200..300 => {
                let taken: Result<Taken, _> = serde_json::from_str(&answer.body);
                let taken =
                    taken.map_err(|error| Failure::unreachable(format!("an answer cannot be read: {error}")))?;
                ledger.enter(source, events, &taken.results);
                return Ok(taken);
            }
            429 | 503 if backoff.sleep(answer.retry_after) => {}
            _ => return Err(client.problem(&answer)),
        }
    }
}
