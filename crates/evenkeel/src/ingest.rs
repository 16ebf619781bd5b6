//! From the gate's verdicts into the log: many submissions, one transaction.
//!
//! [`commit`] is the stage: it runs wherever it is called. `Ingest` is the thread that gathers what is waiting while
//! the previous transaction was written, which is what makes durable appends by many writers cheap.
use crate::{Clock, PublishError, causal, guarded, signal::Signal};
use evenkeel_contract::gate::Gate;
use evenkeel_core::intake::{self, Arrival, Ask, CausalLimits, Outcome, OverQuota, Quota, Scene};
use evenkeel_store::{Log, StoreError};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::sync::oneshot;

/// Takes `arrivals` in, in one transaction, and says what became of each.
///
/// # Errors
/// Where the log could not write: then none of them were taken, and sending them again is safe.
pub fn commit(
    log: &dyn Log,
    clock: &dyn Clock,
    limits: CausalLimits,
    arrivals: Vec<Arrival>,
) -> Result<Vec<Outcome>, StoreError> {
    let ask = Ask::for_arrivals(&arrivals);
    let mut outcomes = Vec::new();
    log.transact_asking(
        &ask,
        Box::new(|facts, more| {
            let scene = Scene { now: clock.now(), limits, keep_raw: true, more: Some(more) };
            let (writes, decided) = intake::admit(scene, arrivals, facts);
            outcomes = decided;
            writes
        }),
    )?;
    Ok(outcomes)
}

/// As [`commit`] for several submissions in one transaction, each of which is a request: it is taken whole or, where a source
/// has used up its quota, not at all.
///
/// # Errors
/// As there.
pub fn commit_within(
    log: &dyn Log,
    clock: &dyn Clock,
    gate: &Gate,
    quota: Quota,
    submissions: Vec<Vec<Arrival>>,
) -> Result<Vec<Result<Vec<Outcome>, OverQuota>>, StoreError> {
    let ask = Ask::for_arrivals(submissions.iter().flatten());
    let mut answers = Vec::with_capacity(submissions.len());
    log.transact_asking(
        &ask,
        Box::new(|mut facts, more| {
            let mut requests = Vec::with_capacity(submissions.len());
            let mut taken = Vec::with_capacity(submissions.len());
            for submission in submissions {
                taken.push(quota.take(&submission, &mut facts));
                if matches!(taken.last(), Some(Ok(()))) {
                    requests.push(submission);
                }
            }
            let (writes, outcomes) = intake::admit_requests(gate.scene(clock.now(), more), requests, facts);
            let mut outcomes = outcomes.into_iter();
            let answer = |taken: Result<(), OverQuota>| taken.map(|()| outcomes.next().unwrap_or_default());
            answers = taken.into_iter().map(answer).collect();
            writes
        }),
    )?;
    Ok(answers)
}

/// How much may be gathered and may wait.
#[derive(Debug, Clone, Copy)]
pub struct IngestLimits {
    /// Events in one transaction, unless a single submission has more.
    pub batch_events: usize,
    /// Events that may wait for the next transaction; more are refused as busy.
    pub waiting_events: usize,
    /// Bytes of raw events in one transaction, unless a single submission has more.
    pub batch_bytes: usize,
    /// Bytes of raw events that may wait for the next transaction; more are refused as busy. What is being written
    /// counts no longer, so twice as much may be in memory.
    pub waiting_bytes: usize,
    /// How many events of a source may wait in quarantine; more are refused.
    pub quota: Quota,
    /// How long an event waits for what it depends on.
    pub causal_timeout: Duration,
}

impl Default for IngestLimits {
    fn default() -> Self {
        Self {
            batch_events: 4096,
            waiting_events: 65_536,
            batch_bytes: 32 << 20,
            waiting_bytes: 128 << 20,
            quota: Quota::default(),
            causal_timeout: Duration::from_secs(10),
        }
    }
}

/// When what waits is looked after again, where that failed.
const RETRY: Duration = Duration::from_secs(1);

struct Submission {
    arrivals: Vec<Arrival>,
    bytes: usize,
    reply: oneshot::Sender<Result<Vec<Outcome>, PublishError>>,
}

#[derive(Default)]
struct Queue {
    submissions: VecDeque<Submission>,
    events: usize,
    bytes: usize,
    stopping: bool,
}

struct Shared {
    log: Arc<dyn Log>,
    gate: Arc<Gate>,
    clock: Arc<dyn Clock>,
    limits: IngestLimits,
    queue: Mutex<Queue>,
    arrived: Signal,
    /// When a write failed and why; `None` once one has succeeded.
    failed: Mutex<Option<(Duration, String)>>,
    committed: Box<dyn Fn() + Send + Sync>,
}

/// The writer of the log: one thread, fed by any number of submitters.
pub(crate) struct Ingest {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Ingest {
    /// Starts the thread. `committed` is called after each transaction, before its submitters are answered.
    pub(crate) fn start(
        log: Arc<dyn Log>,
        gate: Arc<Gate>,
        clock: Arc<dyn Clock>,
        limits: IngestLimits,
        committed: impl Fn() + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            log,
            gate,
            clock,
            limits,
            queue: Mutex::default(),
            arrived: Signal::default(),
            failed: Mutex::default(),
            committed: Box::new(committed),
        });
        let thread = thread::Builder::new().name("ingest".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run()
        })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Queues arrivals; the receiver is answered once they are durable.
    ///
    /// # Errors
    /// [`PublishError::Busy`] and [`PublishError::Stopping`]; nothing was queued then.
    pub(crate) fn submit(
        &self,
        arrivals: Vec<Arrival>,
    ) -> Result<oneshot::Receiver<Result<Vec<Outcome>, PublishError>>, PublishError> {
        let (reply, receiver) = oneshot::channel();
        let bytes = arrivals.iter().map(|arrival| arrival.sent.raw.len()).sum();
        let limits = &self.shared.limits;
        let mut queue = self.shared.queue.lock();
        if queue.stopping {
            return Err(PublishError::Stopping);
        }
        let too_much =
            queue.events + arrivals.len() > limits.waiting_events || queue.bytes + bytes > limits.waiting_bytes;
        // Alone it goes through, however large it is: refused, it would never get in.
        if too_much && !queue.submissions.is_empty() {
            return Err(PublishError::Busy);
        }
        queue.events += arrivals.len();
        queue.bytes += bytes;
        queue.submissions.push_back(Submission { arrivals, bytes, reply });
        drop(queue);
        self.shared.arrived.notify();
        Ok(receiver)
    }

    /// When the last write failed, if it did, by the clock that only goes forward, and why.
    pub(crate) fn failed(&self) -> Option<(Duration, String)> {
        self.shared.failed.lock().clone()
    }

    /// What waits, or is to be recalled, may have changed by other hands.
    pub(crate) fn look(&self) {
        self.shared.arrived.notify();
    }

    /// Refuses new submissions, writes those that wait, and ends the thread.
    pub(crate) fn stop(&self) {
        self.shared.queue.lock().stopping = true;
        self.shared.arrived.notify();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        loop {
            let seen = self.arrived.seen();
            let (batch, stopping) = self.take();
            if !batch.is_empty() {
                self.write(batch);
                self.look_after_waiting();
            } else if stopping {
                return;
            } else {
                let until_due = self.look_after_waiting();
                self.arrived.wait(seen, until_due);
            }
        }
    }

    /// Recalls who may go on, and sets aside who has waited too long. How long until that must be looked at again.
    fn look_after_waiting(&self) -> Duration {
        let (log, gate, clock) = (self.log.as_ref(), self.gate.as_ref(), self.clock.as_ref());
        let looked = AssertUnwindSafe(|| causal::look_after(log, gate, clock, self.limits.causal_timeout));
        let looked = catch_unwind(looked).unwrap_or_else(|panic| {
            Err(StoreError::Refused(format!("looking after what waits panicked: {}", guarded::message(panic.as_ref()))))
        });
        match looked {
            Ok(looked) => {
                if looked.moved {
                    (self.committed)();
                }
                looked.until_due
            }
            Err(error) => {
                tracing::warn!(%error, "what waits for other events could not be looked after");
                RETRY
            }
        }
    }

    /// What waits, up to the limit of one transaction.
    fn take(&self) -> (Vec<Submission>, bool) {
        let mut queue = self.queue.lock();
        let mut batch = Vec::new();
        let (mut events, mut bytes) = (0, 0);
        while let Some(next) = queue.submissions.front() {
            let full =
                events + next.arrivals.len() > self.limits.batch_events || bytes + next.bytes > self.limits.batch_bytes;
            if full && !batch.is_empty() {
                break;
            }
            events += next.arrivals.len();
            bytes += next.bytes;
            batch.extend(queue.submissions.pop_front());
        }
        queue.events -= events;
        queue.bytes -= bytes;
        (batch, queue.stopping)
    }

    fn write(&self, batch: Vec<Submission>) {
        let (mut submissions, mut replies) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for submission in batch {
            replies.push(submission.reply);
            submissions.push(submission.arrivals);
        }
        // This thread must outlive whatever happens: without it every later submission would wait for ever.
        let (log, gate, clock) = (self.log.as_ref(), self.gate.as_ref(), self.clock.as_ref());
        let commit = AssertUnwindSafe(|| commit_within(log, clock, gate, self.limits.quota, submissions));
        let result = catch_unwind(commit).unwrap_or_else(|panic| {
            Err(StoreError::Refused(format!("writing the log panicked: {}", guarded::message(panic.as_ref()))))
        });
        *self.failed.lock() = result.as_ref().err().map(|error| (self.clock.monotonic(), error.to_string()));
        if result.is_ok() {
            (self.committed)();
        }
        let mut answers = result.map(Vec::into_iter);
        for reply in replies {
            let answer = match &mut answers {
                Ok(answers) => answers.next().unwrap_or_else(|| Ok(Vec::new())).map_err(PublishError::from),
                Err(error) => Err(error.clone().into()),
            };
            // A submitter that has gone away does not change what was written.
            let _ = reply.send(answer);
        }
    }
}
