//! Events handed over to a node, tried again until they are durably taken, or refused for good.
//!
//! Where they come from is [`super::lines`]' business, and how long to wait [`super::backoff`]'s.
use super::{super::lines::Line, backoff::Backoff};
use crate::{
    cli::access::Access,
    client::{Answer, Client, Problem},
    output::Failure,
};
use evenkeel::{
    Engine, PublishError, PublishOptions, ReadError,
    core::intake::{Bound, OverQuota},
    report::Receipt,
};
use serde::Deserialize;
use std::time::Duration;

/// The longest a server may ask to wait because of a declared rate.
const LONGEST_PACE: Duration = Duration::from_secs(600);

/// Connections in a row that are cut off while a single event is sent, by a server that is ready otherwise, until
/// the event is taken for the cause.
const CUTS: u32 = 3;

/// What became of a batch.
pub(super) enum Sent {
    /// Every event was durably taken.
    Taken {
        /// What became of each, in order.
        outcomes: Vec<Outcome>,
        /// The token of what was written.
        token: Option<String>,
    },
    /// None was taken, and sending them again as they are would not help.
    Refused(Refusal),
}

/// What became of one event.
#[derive(Debug, Deserialize)]
pub(super) struct Outcome {
    /// `admitted`, `duplicate`, `waiting` or `quarantined`.
    pub(super) outcome: String,
    /// Why, where it was quarantined.
    pub(super) reason: Option<String>,
    /// Where it is in the log, if it is.
    #[serde(default)]
    pub(super) position: Option<u64>,
}

/// Why a batch is not taken.
pub(super) struct Refusal {
    /// In words.
    pub(super) why: String,
}

/// The answer to a batch.
#[derive(Deserialize)]
struct Taken {
    results: Vec<Outcome>,
    token: Option<String>,
}

/// What is known after one try.
enum Try {
    Done(Sent),
    /// It may work later.
    Later {
        why: Failure,
        after: Option<Duration>,
    },
    /// The connection was cut off.
    Cut(Failure),
    /// It will work then: the source sends faster than its declared rate.
    Paced(Duration),
}

/// Hands events over to a node.
pub(super) struct Sender<'s> {
    access: &'s Access,
    backoff: Backoff,
}

impl<'s> Sender<'s> {
    pub(super) fn new(access: &'s Access, backoff: Backoff) -> Self {
        Self { access, backoff }
    }

    /// Sends a batch of somebody who has seen what `token` says, and again while the node is busy or away.
    ///
    /// # Errors
    /// Where it stays so, or answers in a way that cannot be understood. The batch may have been taken; sending it
    /// again is safe.
    pub(super) fn send(&mut self, batch: &[Line], token: Option<&str>) -> Result<Sent, Failure> {
        let mut cuts = 0;
        loop {
            let tried = match self.access {
                Access::Server(client) => over_http(client, batch, token)?,
                Access::Direct(direct) => over_engine(&direct.node.engine, batch, token)?,
            };
            cuts = if matches!(tried, Try::Cut(_)) { cuts + 1 } else { 0 };
            match tried {
                Try::Done(sent) => {
                    self.backoff.reset();
                    return Ok(sent);
                }
                Try::Paced(after) => std::thread::sleep(after),
                Try::Later { why, after } => self.wait(why, after)?,
                Try::Cut(why) => {
                    if let Some(refusal) = self.blamed(batch, cuts) {
                        self.backoff.reset();
                        return Ok(Sent::Refused(refusal));
                    }
                    self.wait(why, None)?;
                }
            }
        }
    }

    fn wait(&mut self, why: Failure, after: Option<Duration>) -> Result<(), Failure> {
        if self.backoff.sleep(after) {
            return Ok(());
        }
        let help = "send the file again when it is back: what was taken is then a duplicate";
        Err(Failure { code: 3, what: why.what, help: Some(help.into()) })
    }

    /// Whether a single event is why connections are cut off: a ready server does so again and again.
    fn blamed(&self, batch: &[Line], cuts: u32) -> Option<Refusal> {
        let (Access::Server(client), [line]) = (self.access, batch) else { return None };
        (cuts >= CUTS && client.is_ready()).then(|| Refusal {
            why: format!(
                "the server is ready, yet cut off the connection {cuts} times while this event of {} bytes was sent; \
                 it may be larger than what is let through",
                line.bytes.len()
            ),
        })
    }
}

fn over_http(client: &Client, batch: &[Line], token: Option<&str>) -> Result<Try, Failure> {
    let mut body = Vec::with_capacity(batch.iter().map(|line| line.bytes.len() + 1).sum::<usize>() + 1);
    for line in batch {
        body.push(if body.is_empty() { b'[' } else { b',' });
        body.extend_from_slice(&line.bytes);
    }
    body.push(b']');
    let answer = match client.post_events(&body, token) {
        Ok(answer) => answer,
        Err(unanswered) if unanswered.cut => return Ok(Try::Cut(client.unanswered(&unanswered))),
        Err(unanswered) => return Ok(Try::Later { why: client.unanswered(&unanswered), after: None }),
    };
    match answer.status {
        200..300 => taken(&answer, batch.len()).map(Try::Done),
        // Waiting makes no room: a person has to.
        429 if Problem::of(&answer).is_some_and(|problem| problem.kind == "quota-exceeded") => {
            let why = Problem::of(&answer).map(|problem| problem.detail).unwrap_or_default();
            Ok(Try::Done(Sent::Refused(Refusal { why })))
        }
        // A person has to make room here too, but what comes later must not get in before this: it is sent again, and given
        // up as where nobody answers.
        429 if Problem::of(&answer).is_some_and(|problem| problem.kind == "too-many-held") => {
            Ok(Try::Later { why: client.problem(&answer), after: None })
        }
        429 if answer.retry_after.is_some_and(|after| after <= LONGEST_PACE) => {
            Ok(Try::Paced(answer.retry_after.unwrap_or_default()))
        }
        429 | 502 | 503 | 504 => Ok(Try::Later { why: client.problem(&answer), after: answer.retry_after }),
        400 | 413 | 422 => match Problem::of(&answer) {
            // What is wrong is no event's fault.
            Some(problem) if token.is_some() && ["bad-token", "bad-parameter"].contains(&problem.kind.as_str()) => {
                Err(client.problem(&answer))
            }
            Some(problem) => Ok(Try::Done(Sent::Refused(Refusal { why: problem.detail }))),
            None => Err(client.problem(&answer)),
        },
        _ => Err(client.problem(&answer)),
    }
}

fn taken(answer: &Answer, sent: usize) -> Result<Sent, Failure> {
    let odd = |why: String| Failure::unreachable(format!("the server's answer to a batch cannot be read: {why}"));
    let Taken { results, token } = serde_json::from_str(&answer.body).map_err(|error| odd(error.to_string()))?;
    if results.len() != sent {
        return Err(odd(format!("{} results for {sent} events", results.len())));
    }
    Ok(Sent::Taken { outcomes: results, token })
}

fn over_engine(engine: &Engine, batch: &[Line], token: Option<&str>) -> Result<Try, Failure> {
    let token = token.map(|token| engine.token(token)).transpose()?;
    let events = batch.iter().map(|line| line.bytes.clone()).collect();
    let outcome = |receipt: Receipt| Outcome {
        outcome: receipt.outcome.to_owned(),
        reason: receipt.reason.map(ToOwned::to_owned),
        position: receipt.position,
    };
    let options = PublishOptions { token, ..PublishOptions::default() };
    Ok(match engine.publish_blocking(events, options) {
        Ok(receipts) => {
            let token = Some(engine.token_after(token, &receipts));
            Try::Done(Sent::Taken { outcomes: receipts.into_iter().map(outcome).collect(), token })
        }
        // Sent again once a person has decided, and in this order.
        Err(error @ PublishError::OverQuota(OverQuota { bound: Bound::Held, .. })) => {
            Try::Later { why: Failure::unreachable(error.to_string()), after: None }
        }
        Err(
            error @ (PublishError::Unreadable { .. }
            | PublishError::VersionConflict { .. }
            | PublishError::NotSingle { .. }
            | PublishError::OverQuota(_)),
        ) => Try::Done(Sent::Refused(Refusal { why: error.to_string() })),
        Err(PublishError::Store(error)) => Try::Later { why: error.into(), after: None },
        Err(error @ (PublishError::Busy | PublishError::Stopping)) => {
            Try::Later { why: Failure::unreachable(error.to_string()), after: None }
        }
        Err(PublishError::Token(error)) => return Err(ReadError::Token(error).into()),
    })
}
