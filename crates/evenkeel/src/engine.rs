//! The engine: stores, gate and models put together, with the threads that drive them.
//!
//! This file starts, feeds and stops it; what an operator asks of it is in `operate` and `inspect`, what readers ask in
//! `reader/shared.rs` and `reader/statement.rs`.
use crate::{
    Clock, EngineError, PublishError, PublishOptions, ReadError, causal,
    consumer::{self, Watched},
    ingest::{Ingest, IngestLimits},
    monitor::{self, Observation},
    quarantine,
    reader::{QueryLimits, Reader, Shared},
    report::{Receipt, WaitingFor},
    signal::Signal,
    slot::{Model, Slot},
    worker,
};
use evenkeel_contract::{envelope::Unreadable, gate::Gate};
use evenkeel_core::{
    StreamVersion,
    drift::{Report, Status, Verdict},
    flights::FlightLimits,
    freshness::FreshnessLimits,
    intake::{Arrival, Outcome, Seen},
    pace,
    quarantine::Reason,
    retry::RetryPolicy,
    schema::View,
    token,
};
use evenkeel_store::{KEPT_RECORDS, Log, Models, Snapshots, StoreError};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// What an engine is made of. Any [`Log`] goes with any [`Models`]; all of it may be shared with others, who may read.
#[derive(Clone)]
pub struct Parts {
    /// Where events are recorded.
    pub log: Arc<dyn Log>,
    /// Where rows are kept.
    pub models: Arc<dyn Models>,
    /// Where snapshots of models are kept; without it none are taken, and rebuilds begin with the log's first event.
    pub snapshots: Option<Arc<dyn Snapshots>>,
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
    /// What admits events.
    pub gate: Arc<Gate>,
}

/// How an engine is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// How often every model is measured.
    pub heartbeat: Duration,
    /// Events a projector folds into one transaction.
    pub batch_events: usize,
    /// How much the log's writer gathers.
    pub ingest: IngestLimits,
    /// Where the classes of staleness begin.
    pub freshness: FreshnessLimits,
    /// How often and how far apart a read that the store could not answer for now is tried again, within its budget.
    pub retry: RetryPolicy,
    /// How long a token is taken after it was issued.
    pub token_max_age: Duration,
    /// What a statement in SQL may cost.
    pub query: QueryLimits,
    /// How many strong reads of rows, of pages, and statements in SQL are carried out at once, each, and how many different ones
    /// wait.
    pub flights: FlightLimits,
    /// The views that such statements may read beside the models.
    pub views: Vec<View>,
    /// Whether models that need it are repaired or rebuilt without being asked.
    pub auto_reconcile: bool,
    /// How often each model may be repaired or rebuilt without being asked.
    pub pace: pace::Limits,
    /// How many rows of each model are read again a second, to find what nobody noted; 0 for none.
    pub scrub_rows_per_second: u64,
    /// How many records of reconciliations of each model are kept; older ones go, and the rows kept with them.
    pub keep_records: u64,
    /// A snapshot of a model is taken whenever so many events of its types were applied since the last; 0 for never.
    pub snapshot_every_events: u64,
    /// How many snapshots of each model are kept, the newest ones.
    pub snapshots_kept: usize,
    /// How long events are kept as they were sent; zero for not at all.
    pub keep_raw: Duration,
    /// Who this is where several reconcile the same models: the name of the node.
    pub holder: String,
    /// Whether projectors are started. Without them the engine only takes events and reads.
    pub project: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(500),
            batch_events: 10_000,
            ingest: IngestLimits::default(),
            freshness: FreshnessLimits::default(),
            retry: RetryPolicy::default(),
            token_max_age: token::MAX_AGE,
            query: QueryLimits::default(),
            flights: FlightLimits::default(),
            views: Vec::new(),
            auto_reconcile: true,
            pace: pace::Limits::default(),
            scrub_rows_per_second: 5000,
            keep_records: KEPT_RECORDS,
            snapshot_every_events: 1_000_000,
            snapshots_kept: 2,
            keep_raw: Duration::from_secs(7 * 86_400),
            holder: "a".into(),
            project: true,
        }
    }
}

/// A running engine. Clones share it; [`Engine::stop`] ends it for all of them. Dropping it does not: its threads go on.
///
/// ```
/// use evenkeel::{Clock, Engine, Model, Options, Parts, SystemClock};
/// use evenkeel::contract::{diagnostic::Files, project};
/// use evenkeel::core::{Epoch, freshness::Level};
/// use evenkeel::{reader::ReadOptions, store::memory::MemoryStore};
/// use std::sync::Arc;
///
/// let files: Files = [
///     ("evenkeel.toml", "[[source]]\nname = \"till\"\nmatch = \"till\"\n"),
///     ("contracts/sold.toml", r#"
///         contract = "sold"
///         version = 1
///         from = { source = "till", type = "Sold" }
///         schema = "sold.json"
///         subject = "/item"
///         map = [{ from = "/item", to = "item", type = "text" }, { from = "/n", to = "units", type = "i64" }]
///     "#),
///     ("contracts/sold.json", r#"{"type": "object", "required": ["item", "n"]}"#),
///     ("models/sales.toml", r#"
///         model = "sales"
///         version = 1
///         key = "item"
///         [columns]
///         item = "text"
///         units = { type = "i64", merge = "pn_counter" }
///         [[on]]
///         event = "sold"
///         key = "/subject"
///         add = { units = "/data/units" }
///     "#),
/// ].into_iter().collect();
/// let project = project::compile(&files, &[]).map_err(|wrong| wrong.render(&files, false))?;
///
/// let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
/// let now = Arc::clone(&clock);
/// let store = MemoryStore::new(Epoch(1), Arc::new(move || now.now()));
/// let snapshots = Some(store.snapshots as Arc<_>);
/// let parts = Parts { log: store.log, models: store.models, snapshots, clock, gate: Arc::new(project.gate) };
/// let models = project.models.into_iter().map(|model| Model::new(model.fold)).collect();
/// let engine = Engine::start(parts, models, Options::default())?;
///
/// let sold = r#"{"specversion": "1.0", "source": "till", "id": "1", "type": "Sold", "data": {"item": "mug", "n": 3}}"#;
/// let receipts = engine.publish_blocking(vec![sold.into()], None)?;
/// assert_eq!((receipts[0].outcome, receipts[0].position), ("admitted", Some(1)));
///
/// let answer = engine.get("sales", &["mug"], ReadOptions::at(Level::Strong))?;
/// assert_eq!(answer.data.and_then(|row| row.get("units")?.as_i64()), Some(3));
/// assert_eq!(answer.consistency.freshness, "fresh");
/// engine.stop();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) models: Arc<dyn Models>,
    pub(crate) snapshots: Option<Arc<dyn Snapshots>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) options: Options,
    pub(crate) slots: BTreeMap<String, Arc<Slot>>,
    pub(crate) stopping: AtomicBool,
    /// Something a waiting monitor should look at.
    pub(crate) tick: Signal,
    pub(crate) ingest: Ingest,
    /// The consumers of the user's own.
    pub(crate) consumers: Watched,
    /// Where reads that cost something meet.
    pub(crate) shared: Shared,
    threads: Mutex<Vec<JoinHandle<()>>>,
    watched_at: Mutex<Duration>,
    needs: Mutex<Vec<String>>,
    pub(crate) needed: Signal,
    /// What a waiting scrub should look at.
    pub(crate) scrubbing: Signal,
    /// As `scrubbing`, for who takes snapshots.
    pub(crate) snapshotting: Signal,
    /// As `scrubbing`, for who forgets how events were sent.
    pub(crate) forgetting: Signal,
    /// Whether a release of held events was interrupted by the log's failure and must go on.
    releases: AtomicBool,
}

impl Engine {
    /// Starts an engine: registers the models, goes on with releases that a crash interrupted, and starts the threads.
    ///
    /// # Errors
    /// Where two models have one name, a store cannot be read or written, or a thread cannot be started. Nothing runs
    /// then.
    pub fn start(parts: Parts, models: Vec<Model>, options: Options) -> Result<Self, EngineError> {
        let Parts { log, models: home, snapshots, clock, gate } = parts;
        let options = Options { heartbeat: options.heartbeat.max(Duration::from_millis(1)), ..options };
        // The intake behind this gate is this engine's.
        let gate = Arc::new(Arc::unwrap_or_clone(gate).with_raw_kept(!options.keep_raw.is_zero()));
        home.keep_records(options.keep_records);
        let mut names = BTreeSet::new();
        for name in models.iter().map(|model| &model.fold.schema().model) {
            if !names.insert(name) {
                return Err(StoreError::Refused(format!("two models are named {name}")).into());
            }
        }
        let mut slots = BTreeMap::new();
        for model in models {
            let state = home.register(model.fold.schema())?;
            let slot = Arc::new(Slot::new(model, options.batch_events, state.as_of));
            slots.insert(slot.name().to_string(), slot);
        }
        // Before the log can grow: once it is past such a model's checkpoint nobody sees it any more.
        let mut lost = Vec::new();
        for slot in slots.values() {
            if monitor::condemn_lost_history(log.as_ref(), home.as_ref(), slot.schema())? {
                lost.push(slot.name().to_string());
            }
        }
        consumer::mark_lost_history(log.as_ref(), home.as_ref())?;
        quarantine::resume_interrupted(log.as_ref(), &gate, clock.as_ref())?;
        causal::recall(log.as_ref(), &gate, clock.as_ref(), causal::ROUND)?;
        let wake: Vec<Arc<Slot>> = slots.values().cloned().collect();
        let committed = move || wake.iter().for_each(|slot| slot.wake.notify());
        let (ours, keeper) = ((Arc::clone(&log), Arc::clone(&gate)), Arc::clone(&clock));
        let ingest = Ingest::start(ours.0, ours.1, keeper, options.ingest, committed).map_err(EngineError::Thread)?;
        let inner = Arc::new(Inner {
            log,
            models: home,
            snapshots,
            gate,
            shared: Shared::new(options.flights),
            options,
            slots,
            stopping: AtomicBool::new(false),
            tick: Signal::default(),
            ingest,
            consumers: Watched::default(),
            threads: Mutex::default(),
            watched_at: Mutex::new(clock.monotonic()),
            needs: Mutex::new(lost),
            needed: Signal::default(),
            scrubbing: Signal::default(),
            snapshotting: Signal::default(),
            forgetting: Signal::default(),
            releases: AtomicBool::new(false),
            clock,
        });
        let engine = Self { inner };
        engine.start_threads().inspect_err(|_| engine.stop())?;
        Ok(engine)
    }

    fn start_threads(&self) -> Result<(), EngineError> {
        let inner = &self.inner;
        let start = |name: &str, run: fn(&Arc<Inner>)| {
            let own = Arc::clone(inner);
            let thread = thread::Builder::new().name(name.into()).spawn(move || run(&own));
            thread.map(|thread| inner.threads.lock().push(thread)).map_err(EngineError::Thread)
        };
        if inner.options.project {
            for slot in inner.slots.values() {
                if let Err(error) = inner.fold_left_behind(slot) {
                    tracing::warn!(model = %slot.name(), %error, "events that wait behind nothing could not be folded");
                }
                worker::start_projector(inner, slot).map_err(EngineError::Thread)?;
            }
        }
        worker::measure_all(inner);
        start("monitor", worker::monitor)?;
        if inner.options.scrub_rows_per_second > 0 && inner.options.project {
            start("scrub", |inner| crate::scrub::scrub(inner))?;
        }
        if inner.options.snapshot_every_events > 0 && inner.options.project && inner.snapshots.is_some() {
            start("snapshots", |inner| crate::snapshotting::take_what_is_due(inner))?;
        }
        if inner.options.project {
            start("raws", |inner| crate::raws::forget_what_is_old(inner))?;
        }
        if inner.options.auto_reconcile && inner.options.project {
            start("reconciler", crate::unasked::reconcile_what_is_needed)?;
        }
        Ok(())
    }

    /// Publishes events given in the CloudEvents JSON format and waits until they are durable. They are taken in order
    /// and all or none; an expected version makes the append of a single event conditional, a token says what the writer
    /// had seen.
    ///
    /// Events that cannot be applied are taken too: a [`Receipt`] says what became of each. A call that is dropped
    /// while it waits may have published.
    ///
    /// # Errors
    /// None of the events were taken then, unless the log's answer was lost on the way; sending them again is safe in
    /// every case.
    pub async fn publish(
        &self,
        events: Vec<Vec<u8>>,
        options: impl Into<PublishOptions>,
    ) -> Result<Vec<Receipt>, PublishError> {
        let arrivals = self.decide(events, options.into())?;
        let filed = filed(&arrivals);
        let reply = self.inner.ingest.submit(arrivals)?;
        let outcomes = reply.await.map_err(|_| PublishError::Stopping)??;
        receipts(filed, outcomes)
    }

    /// As [`Engine::publish`], for callers outside an async runtime.
    ///
    /// # Errors
    /// As there.
    pub fn publish_blocking(
        &self,
        events: Vec<Vec<u8>>,
        options: impl Into<PublishOptions>,
    ) -> Result<Vec<Receipt>, PublishError> {
        let arrivals = self.decide(events, options.into())?;
        let filed = filed(&arrivals);
        let reply = self.inner.ingest.submit(arrivals)?;
        let outcomes = reply.blocking_recv().map_err(|_| PublishError::Stopping)??;
        receipts(filed, outcomes)
    }

    /// The gate's verdicts, in the caller's thread: only the log's writer is shared.
    fn decide(&self, events: Vec<Vec<u8>>, options: PublishOptions) -> Result<Vec<Arrival>, PublishError> {
        let PublishOptions { expected_version, token } = options;
        if expected_version.is_some() && events.len() != 1 {
            return Err(PublishError::NotSingle { events: events.len() });
        }
        let seen = token.map(|token| self.inner.seen_by(token)).transpose()?.map(Seen::Upto);
        let decide = |(index, raw)| {
            let decided = self.inner.gate.decide(raw, expected_version);
            let unreadable = |error: Unreadable| PublishError::Unreadable { index, message: error.to_string() };
            let mut arrival = decided.map_err(unreadable)?.arrival;
            arrival.clocks.seen = seen;
            Ok(arrival)
        };
        events.into_iter().enumerate().map(decide).collect()
    }

    /// From now on no read waits for a model, and those that do are answered at once with what there is, or that it is not
    /// enough. Where the engine is to be stopped soon, so that who waits has an answer before that.
    pub fn end_waiting(&self) {
        // Nobody will be woken any more.
        self.inner.slots.values().for_each(|slot| slot.commits.close());
    }

    /// Stops taking events, writes those that wait, lets each projector end its batch, calls off verifications and
    /// rebuilds, and ends the threads. Reads go on being answered.
    pub fn stop(&self) {
        let inner = &self.inner;
        inner.ingest.stop();
        inner.stopping.store(true, Ordering::SeqCst);
        inner.tick.notify();
        inner.needed.notify();
        inner.scrubbing.notify();
        inner.snapshotting.notify();
        inner.forgetting.notify();
        for slot in inner.slots.values() {
            worker::stop_projector(slot, "the engine has stopped");
        }
        self.end_waiting();
        for thread in std::mem::take(&mut *inner.threads.lock()) {
            let _ = thread.join();
        }
    }
}

impl Inner {
    pub(crate) fn slot(&self, model: &str) -> Result<&Arc<Slot>, EngineError> {
        self.slots.get(model).ok_or_else(|| EngineError::NoModel(model.to_owned()))
    }

    pub(crate) fn readable(&self, model: &str) -> Result<&Arc<Slot>, ReadError> {
        self.slots.get(model).ok_or_else(|| ReadError::NoModel(model.to_owned()))
    }

    pub(crate) fn reader<'e>(&'e self, slot: &'e Arc<Slot>) -> Reader<'e> {
        Reader {
            log: self.log.as_ref(),
            models: self.models.as_ref(),
            clock: self.clock.as_ref(),
            slot,
            limits: &self.options.freshness,
            within: self.options.query.within,
            retry: Some(self.options.retry),
        }
    }

    /// Observes a model as it is now.
    pub(crate) fn observe(&self, slot: &Slot) -> Result<Observation, StoreError> {
        let state = self.models.state(slot.name())?.ok_or_else(|| StoreError::NoModel(slot.name().clone()))?;
        Ok(Observation::of(self.log.as_ref(), slot.fold.as_ref(), state, self.clock.now()))
    }

    /// Events may be in the log, or may have been passed, that others wait for.
    pub(crate) fn wake_projectors(&self) {
        self.ingest.look();
        self.slots.values().for_each(|slot| slot.wake.notify());
    }

    /// Notes that a release of held events failed on the way: its line would wait, with nothing before it to wait for.
    pub(crate) fn release_interrupted(&self) {
        self.releases.store(true, Ordering::SeqCst);
    }

    /// Goes on with releases that the log's failure interrupted, if there are any.
    pub(crate) fn go_on_with_releases(&self) {
        if self.releases.swap(false, Ordering::SeqCst)
            && quarantine::resume_interrupted(self.log.as_ref(), &self.gate, self.clock.as_ref()).is_err()
        {
            self.release_interrupted();
        }
    }

    /// Notes that the monitor has looked.
    pub(crate) fn watched(&self) {
        *self.watched_at.lock() = self.clock.monotonic();
    }

    /// How long the monitor has not looked.
    pub(crate) fn monitor_silence(&self) -> Duration {
        self.clock.monotonic().saturating_sub(*self.watched_at.lock())
    }

    /// Asks the reconciler to look at a model whose projector cannot go on.
    pub(crate) fn reconcile_needed(&self, slot: &Slot) {
        let mut needs = self.needs.lock();
        if !needs.iter().any(|name| name == slot.name().as_str()) {
            needs.push(slot.name().to_string());
            self.needed.notify();
        }
    }

    /// The models the reconciler was asked to look at.
    pub(crate) fn take_needs(&self) -> Vec<String> {
        std::mem::take(&mut *self.needs.lock())
    }

    /// The gauges of a model that cannot be read: what was measured last is not known to be so now.
    pub(crate) fn gauge_unknown(&self, slot: &Slot) {
        let model = slot.name().to_string();
        for name in [
            "evenkeel_lag_events",
            "evenkeel_lag_seconds",
            "evenkeel_drift_score",
            "evenkeel_staleness_bound_seconds",
            "evenkeel_bad_buckets",
        ] {
            metrics::gauge!(name, "model" => model.clone()).set(f64::NAN);
        }
        for status in Status::ALL {
            let is = f64::from(u8::from(*status == Status::Stalled));
            metrics::gauge!("evenkeel_status", "model" => model.clone(), "status" => status.as_str()).set(is);
        }
        // No verdict holds, not even the last.
        gauge_verdict(&model, None);
    }

    pub(crate) fn gauge(&self, slot: &Slot, observation: &Observation, report: &Report) {
        let model = slot.name().to_string();
        let gauge = |name: &'static str, value: Option<f64>| {
            metrics::gauge!(name, "model" => model.clone()).set(value.unwrap_or(f64::NAN));
        };
        gauge("evenkeel_lag_events", report.lag.lag_count.map(|lag| lag as f64));
        gauge("evenkeel_lag_seconds", report.lag.lag_seconds);
        gauge("evenkeel_drift_score", report.lag.drift_score);
        gauge("evenkeel_staleness_bound_seconds", report.staleness_bound_seconds);
        let content = observation.state.content;
        gauge("evenkeel_bad_buckets", Some(f64::from(content.bad_buckets)));
        gauge("evenkeel_parked_events", Some(observation.state.parked.events as f64));
        gauge("evenkeel_checkpoint_position", Some(observation.state.checkpoint.position.0 as f64));
        for status in Status::ALL {
            let is = f64::from(u8::from(*status == report.status));
            metrics::gauge!("evenkeel_status", "model" => model.clone(), "status" => status.as_str()).set(is);
        }
        gauge_verdict(&model, Some(content.verdict));
        if let Some(head) = &observation.head {
            metrics::gauge!("evenkeel_log_head_position").set(head.position.0 as f64);
        }
    }
}

fn gauge_verdict(model: &str, is: Option<Verdict>) {
    for verdict in Verdict::ALL {
        let value = f64::from(u8::from(is == Some(*verdict)));
        let (model, verdict) = (model.to_owned(), verdict.as_str());
        metrics::gauge!("evenkeel_content_verdict", "model" => model, "verdict" => verdict).set(value);
    }
}

/// What a receipt needs of an arrival.
struct Filed {
    source: String,
    id: String,
    event_id: String,
}

fn filed(arrivals: &[Arrival]) -> Vec<Filed> {
    let of = |arrival: &Arrival| Filed {
        source: arrival.sent.source.to_string(),
        id: arrival.sent.raw_id.clone(),
        event_id: arrival.sent.id.to_string(),
    };
    arrivals.iter().map(of).collect()
}

fn receipts(filed: Vec<Filed>, outcomes: Vec<Outcome>) -> Result<Vec<Receipt>, PublishError> {
    filed.into_iter().zip(outcomes).map(|(filed, outcome)| receipt(filed, &outcome)).collect()
}

fn receipt(filed: Filed, outcome: &Outcome) -> Result<Receipt, PublishError> {
    let Filed { source, id, event_id } = filed;
    let nothing = Receipt {
        source,
        id,
        outcome: "quarantined",
        event_id,
        position: None,
        stream_version: None,
        reason: None,
        quarantine_id: None,
        waiting_for: Vec::new(),
        token_covers: false,
    };
    let in_log = |outcome, position: evenkeel_core::Position, version: StreamVersion| Receipt {
        outcome,
        position: Some(position.0),
        stream_version: Some(version.0),
        token_covers: true,
        ..nothing.clone()
    };
    let receipt = match outcome {
        Outcome::Admitted { position, stream_version } => in_log("admitted", *position, *stream_version),
        Outcome::Duplicate { position, stream_version } => in_log("duplicate", *position, *stream_version),
        Outcome::Quarantined { id, reason, .. } => {
            Receipt { reason: Some(reason.as_str()), quarantine_id: Some(id.to_string()), ..nothing }
        }
        Outcome::Waiting { waits_for, .. } => {
            let waiting_for = waits_for.iter().map(WaitingFor::from).collect();
            Receipt { outcome: "waiting", waiting_for, ..nothing }
        }
        Outcome::VersionConflict { expected, actual, parked } => {
            return Err(PublishError::VersionConflict { expected: expected.0, actual: actual.0, parked: *parked });
        }
    };
    // A sender nobody declared must not be able to make labels without end.
    let untrusted = matches!(outcome, Outcome::Quarantined { reason: Reason::UntrustedSource, .. });
    let source = if untrusted { "other".to_owned() } else { receipt.source.clone() };
    metrics::counter!("evenkeel_events_total", "source" => source, "outcome" => receipt.outcome).increment(1);
    Ok(receipt)
}
