//! A small project with two contracts, a model in Rust that does as a test tells it, and stores with faults.
use evenkeel::{
    Clock, Engine, EngineError, Model, Options, Parts, SystemClock,
    contract::{
        diagnostic::Files,
        gate::Gate,
        project::{self},
    },
    core::{
        Digest, Epoch, Event,
        drift::Thresholds,
        fold::{Fold, FoldError, Touch},
        freshness::Level,
        quarantine::Decision,
        row::{Cell, Key, Row},
        schema::{Column, ColumnType, Merge, Schema},
    },
    reader::ReadOptions,
    report::{DriftReport, Receipt, RowAnswer},
    store::{
        Log, Models, Snapshots,
        faulty::{Fault, FaultyLog, FaultyModels, Operation},
        memory::{MemoryLog, MemoryModels, MemorySnapshots, MemoryStore},
        sqlite::{SqliteOptions, SqliteStore},
    },
};
use std::{
    ops::Deref,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

pub(crate) const LONG: Duration = Duration::from_secs(60);

const CONTRACT: &str = r#"
version = 1
schema = "any.json"
subject = "/key"
map = [{ from = "/key", to = "key", type = "text" }, { from = "/n", to = "n", type = "i64" }]
invariant = [{ name = "positive", gt = ["/data/n", 0] }]
"#;

/// Sources `s` and `t`: `Noted` of a key parks that key when it is bad, `Critical` halts its source.
pub(crate) fn gate() -> Gate {
    let noted = "contract = \"noted\"\non_quarantine = \"park_key\"\nfrom = { source = \"*\", type = \"Noted\" }";
    let critical =
        "contract = \"critical\"\non_quarantine = \"halt_source\"\nfrom = { source = \"*\", type = \"Critical\" }";
    let files: Files = [
        (
            "evenkeel.toml",
            "[[source]]\nname = \"s\"\nmatch = \"s\"\n[[source]]\nname = \"t\"\nmatch = \"t\"\n".to_owned(),
        ),
        ("contracts/noted.toml", format!("{noted}\n{CONTRACT}")),
        ("contracts/critical.toml", format!("{critical}\n{CONTRACT}")),
        ("contracts/any.json", "{}".to_owned()),
    ]
    .into_iter()
    .collect();
    project::compile(&files, &[]).map_err(|wrong| wrong.render(&files, false)).unwrap().gate
}

/// A CloudEvent of a source about a key.
pub(crate) fn sent(source: &str, event_type: &str, id: &str, key: &str, n: i64) -> Vec<u8> {
    let data = format!(r#"{{"key":"{key}","n":{n}}}"#);
    format!(r#"{{"specversion":"1.0","source":"{source}","id":"{id}","type":"{event_type}","data":{data}}}"#)
        .into_bytes()
}

pub(crate) fn noted(id: &str, key: &str, n: i64) -> Vec<u8> {
    sent("s", "Noted", id, key, n)
}

/// What a [`Tally`] does with an event before it adds it up.
type Before = dyn Fn(i64, &mut Row) -> Result<(), FoldError> + Send + Sync;

/// The sum of `n` by key, as Rust code.
#[derive(Clone)]
pub(crate) struct Tally {
    pub(crate) schema: Schema,
    pub(crate) before: Arc<Before>,
    /// How many events were asked what they touch.
    pub(crate) asked: Arc<AtomicUsize>,
}

impl Tally {
    /// `types` are the events it subscribes to.
    pub(crate) fn new(model: &str, version: u32, types: &[&str]) -> Self {
        let column = |name: &str, ty| Column { name: name.into(), ty, merge: Merge::Lww };
        let schema = Schema {
            model: model.into(),
            version,
            key: vec![0],
            columns: vec![column("key", ColumnType::Text), column("sum", ColumnType::I64)],
            subscribes: types.iter().map(|name| (*name).into()).collect(),
            fingerprint: Digest::of(format!("{model} {version}").as_bytes()),
        };
        Self { schema, before: Arc::new(|_, _| Ok(())), asked: Arc::default() }
    }

    pub(crate) fn before(
        self,
        before: impl Fn(i64, &mut Row) -> Result<(), FoldError> + Send + Sync + 'static,
    ) -> Self {
        Self { before: Arc::new(before), ..self }
    }

    /// With a second part of the key: the event's type.
    pub(crate) fn by_type(mut self) -> Self {
        self.schema.columns.push(Column { name: "type".into(), ty: ColumnType::Text, merge: Merge::Lww });
        self.schema.key = vec![0, 2];
        self
    }
}

pub(crate) fn tally() -> Tally {
    Tally::new("tally", 1, &["noted", "critical"])
}

impl Fold for Tally {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn touches(&self, event: &Event, out: &mut Vec<Touch>) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut key = Key::text(event.draft.subject.as_str());
        if self.schema.key.len() > 1 {
            key.0.extend(Key::text(event.draft.event_type.as_str()).0);
        }
        out.push(Touch { key: Ok(key), clause: 0, element: 0 });
    }

    fn apply(&self, slot: &mut Option<Row>, event: &Event, _: &Touch, key: &Key) -> Result<(), FoldError> {
        let data = event.draft.data.as_object();
        let n = data.and_then(|data| data.get("n")?.as_i64()).unwrap_or_default();
        let row = slot.get_or_insert_with(|| Row::new(&self.schema, key));
        let sum = if let Cell::I64(sum) = row.cells[1] { sum } else { 0 };
        row.cells[1] = Cell::I64(sum + n);
        (self.before)(n, row)
    }
}

/// What is wrong with a store's calls: set while a test runs.
#[derive(Clone, Default)]
pub(crate) struct Faults(
    Arc<Mutex<Vec<(Operation, Fault, usize)>>>,
    Arc<Mutex<Vec<Operation>>>,
    Arc<Mutex<Vec<(Operation, usize, Happening)>>>,
);

/// What happens between two calls.
type Happening = Box<dyn FnOnce() + Send>;

impl Faults {
    /// The next `times` calls of `operation` meet `fault`.
    pub(crate) fn set(&self, operation: Operation, fault: Fault, times: usize) {
        self.0.lock().unwrap().push((operation, fault, times));
    }

    /// Does something right before a call of `operation` is carried out, once `calls` others of it were. It must not go by
    /// these stores.
    pub(crate) fn after(&self, calls: usize, operation: Operation, happening: impl FnOnce() + Send + 'static) {
        self.2.lock().unwrap().push((operation, calls, Box::new(happening)));
    }

    /// Every call of `operation` fails from now on.
    pub(crate) fn fail(&self, operation: Operation) {
        self.set(operation, Fault::Fail, usize::MAX);
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    /// How many calls of `operation` there were.
    pub(crate) fn calls(&self, operation: Operation) -> usize {
        self.1.lock().unwrap().iter().filter(|call| **call == operation).count()
    }

    fn meet(&self, operation: Operation) -> Fault {
        self.1.lock().unwrap().push(operation);
        let mut happenings = self.2.lock().unwrap();
        if let Some(at) = happenings.iter().position(|(of, ..)| *of == operation) {
            match &mut happenings[at].1 {
                0 => happenings.remove(at).2(),
                left => *left -= 1,
            }
        }
        drop(happenings);
        let mut faults = self.0.lock().unwrap();
        let Some((_, fault, left)) = faults.iter_mut().find(|(of, _, left)| *of == operation && *left > 0) else {
            return Fault::None;
        };
        *left -= 1;
        *fault
    }
}

/// Stores in memory that outlive the engines over them.
pub(crate) struct Stores {
    pub(crate) memory: MemoryStore,
    pub(crate) faults: Faults,
    pub(crate) log: Arc<FaultyLog<MemoryLog>>,
    pub(crate) models: Arc<FaultyModels<MemoryModels>>,
    clock: Arc<SystemClock>,
}

impl Stores {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(SystemClock::default());
        let now = Arc::clone(&clock);
        let memory = MemoryStore::new(Epoch(1), Arc::new(move || now.now()));
        let faults = Faults::default();
        let (of_log, of_models) = (faults.clone(), faults.clone());
        let log = FaultyLog::new(memory.log.clone(), Box::new(move |operation| of_log.meet(operation)));
        let models = FaultyModels::new(memory.models.clone(), Box::new(move |operation| of_models.meet(operation)));
        Self { memory, faults, log: Arc::new(log), models: Arc::new(models), clock }
    }

    pub(crate) fn try_start(
        &self,
        models: Vec<Model>,
        adjust: impl FnOnce(&mut Options),
    ) -> Result<Running, EngineError> {
        let snapshots = self.memory.snapshots.clone();
        start_over((self.log.clone(), self.models.clone(), snapshots), self.clock.clone(), models, adjust)
    }

    /// As [`Self::start`], with snapshots kept elsewhere.
    pub(crate) fn start_keeping(&self, snapshots: Arc<dyn Snapshots>, fold: Tally) -> Running {
        let stores = (self.log.clone() as _, self.models.clone() as _, snapshots);
        start_over(stores, self.clock.clone(), vec![Model::new(fold)], |_| ()).unwrap()
    }

    /// As [`Self::start`], with a fold of the test's own.
    pub(crate) fn start_fold(&self, fold: impl Fold + 'static, adjust: impl FnOnce(&mut Options)) -> Running {
        self.try_start(vec![Model::new(fold)], adjust).unwrap()
    }

    /// An engine over these stores; it looks after its models every few milliseconds.
    pub(crate) fn start(&self, fold: Tally, adjust: impl FnOnce(&mut Options)) -> Running {
        self.try_start(vec![Model::new(fold)], adjust).unwrap()
    }
}

/// An engine over the embedded store in `folder`.
pub(crate) fn start_in(folder: &Path, fold: Tally, adjust: impl FnOnce(&mut Options)) -> Running {
    start_model_in(folder, Model::new(fold), adjust)
}

pub(crate) fn start_model_in(folder: &Path, model: Model, adjust: impl FnOnce(&mut Options)) -> Running {
    let clock = Arc::new(SystemClock::default());
    let now = Arc::clone(&clock);
    let store = SqliteStore::open(folder, SqliteOptions::new(Arc::new(move || now.now()))).unwrap();
    let stores = (store.log as Arc<dyn Log>, store.models as Arc<dyn Models>, store.snapshots as Arc<dyn Snapshots>);
    start_over(stores, clock, vec![model], adjust).unwrap()
}

fn start_over(
    (log, models, snapshots): (Arc<dyn Log>, Arc<dyn Models>, Arc<dyn Snapshots>),
    clock: Arc<dyn Clock>,
    declared: Vec<Model>,
    adjust: impl FnOnce(&mut Options),
) -> Result<Running, EngineError> {
    let mut options = Options { heartbeat: Duration::from_millis(5), ..Options::default() };
    adjust(&mut options);
    let parts = Parts { log, models, snapshots: Some(snapshots), clock, gate: Arc::new(gate()) };
    Engine::start(parts, declared, options).map(Running)
}

/// An engine that is stopped when the test ends.
pub(crate) struct Running(pub(crate) Engine);

impl Deref for Running {
    type Target = Engine;
    fn deref(&self) -> &Engine {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Running {
    pub(crate) fn send(&self, events: Vec<Vec<u8>>) -> Vec<Receipt> {
        self.publish_blocking(events, None).unwrap()
    }

    pub(crate) fn settle(&self) {
        assert!(self.wait_until_current(LONG).unwrap());
    }

    pub(crate) fn drift_of(&self, model: &str) -> DriftReport {
        self.drift(Some(model)).unwrap().remove(0)
    }

    pub(crate) fn read(&self, key: &str, level: Level) -> RowAnswer {
        self.get("tally", &[key], ReadOptions { budget: LONG, ..ReadOptions::at(level) }).unwrap()
    }

    /// The sum of a key at a level; `None` where there is no row.
    pub(crate) fn sum(&self, key: &str, level: Level) -> Option<i64> {
        self.read(key, level).data.map(|row| row.get("sum").unwrap().as_i64().unwrap())
    }

    pub(crate) fn wrong_rows(&self) -> u64 {
        self.verify("tally", true).unwrap().wrong_rows
    }
}

/// Looks again and again until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn decision() -> Decision {
    Decision { author: "test".into(), note: "because".into() }
}

/// A model that is in sync only without any lag.
pub(crate) fn exact(fold: Tally) -> Model {
    Model { thresholds: Thresholds { max_lag_events: 0, ..Thresholds::default() }, ..Model::new(fold) }
}

/// An engine with the tally over a log of the test's own.
pub(crate) fn over_log(log: Arc<dyn Log>, adjust: impl FnOnce(&mut Options)) -> Running {
    let clock = Arc::new(SystemClock::default());
    let stores = (log, Arc::new(MemoryModels::default()) as Arc<dyn Models>, Arc::new(MemorySnapshots::default()) as _);
    start_over(stores, clock, vec![Model::new(tally())], adjust).unwrap()
}
