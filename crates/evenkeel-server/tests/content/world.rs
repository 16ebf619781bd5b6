//! An engine over a data folder of its own, copied from one that is filled once, and the foreign client.
use super::{
    bent::{Bend, Bent},
    events::{ACCOUNTS, Truth, event},
    leaky::{Leaky, LeakyLog},
    project::compiled,
};
use evenkeel::{
    Clock, Engine, Model, Options, Parts, SystemClock,
    core::{
        fold::Fold,
        freshness::Level,
        reconciliation::{Method, Reconciliation},
    },
    reader::{ReadOptions, RowsRequest},
    report::{DriftReport, RowAnswer, VerifyReport},
    store::sqlite::{SqliteOptions, SqliteStore},
};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// Events of the filled folder: a row for every account and then some, so that rows have a yesterday.
pub(crate) const TODAY: u64 = ACCOUNTS + 3000;

/// How many events are published at a time.
pub(crate) const BATCH: u64 = 5000;

/// The filled folder, which nothing writes to: `log.db` and `models.db` of today, `yesterday.db` the models before the
/// last 3000 events.
fn template() -> &'static Path {
    static FILLED: OnceLock<(PathBuf, File)> = OnceLock::new();
    let (folder, _) = FILLED.get_or_init(|| {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(root).unwrap();
        // Held as long as the process lives: two runs at once would take each other's folder away.
        let lock = File::create(root.join("content.lock")).unwrap();
        lock.lock().unwrap();
        let folder = root.join("content");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fill(&folder);
        (folder, lock)
    });
    folder
}

fn fill(folder: &Path) {
    let started = Instant::now();
    let world = World::over(folder.to_owned(), None, Setup::default());
    world.publish(0..ACCOUNTS);
    world.settle();
    world.end();
    fs::copy(folder.join("models.db"), folder.join("yesterday.db")).unwrap();
    let world = World::over(folder.to_owned(), None, Setup::default());
    world.publish(ACCOUNTS..TODAY);
    world.settle();
    for model in MODELS {
        let looked = world.engine.reconcile(model, Some(Method::Repair)).unwrap();
        assert_eq!((looked.result.as_str(), looked.verified), ("nothing_to_do", true));
    }
    world.end();
    eprintln!("filled in {:.1?}", started.elapsed());
}

pub(crate) const MODELS: [&str; 2] = ["accounts", "stock"];

/// How an engine is to be started.
pub(crate) struct Setup {
    pub(crate) options: Options,
    /// What the fold of the accounts does of its own.
    pub(crate) bend: Option<Bend>,
}

impl Default for Setup {
    /// Nothing is looked for or mended unasked.
    fn default() -> Self {
        let options = Options {
            heartbeat: Duration::from_millis(100),
            auto_reconcile: false,
            scrub_rows_per_second: 0,
            ..Options::default()
        };
        Self { options, bend: None }
    }
}

/// A running engine and its folder.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) log: Arc<LeakyLog>,
    folder: PathBuf,
    own: Option<TempDir>,
    /// The latest reconciliation before this engine was started.
    before: u64,
}

impl Drop for World {
    fn drop(&mut self) {
        self.engine.stop();
    }
}

impl World {
    /// Over a copy of the filled folder.
    pub(crate) fn start(setup: Setup) -> Self {
        let own = tempfile::tempdir().unwrap();
        for file in ["log.db", "models.db"] {
            fs::copy(template().join(file), own.path().join(file)).unwrap();
        }
        Self::over(own.path().to_owned(), Some(own), setup)
    }

    fn over(folder: PathBuf, own: Option<TempDir>, setup: Setup) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let now = Arc::clone(&clock);
        let store = SqliteStore::open(&folder, SqliteOptions::new(Arc::new(move || now.now()))).unwrap();
        let project = compiled();
        let log = Arc::new(LeakyLog { log: store.log, misread: Leaky::default() });
        let models = project.models.iter().map(|model| {
            let fold: Arc<dyn Fold> = Arc::new(model.fold.clone());
            let fold = match &setup.bend {
                Some(bend) if model.fold.schema().model.as_str() == "accounts" => {
                    Arc::new(Bent { inner: fold, bend: Arc::clone(bend) })
                }
                _ => fold,
            };
            Model { fold, ..Model::new(model.fold.clone()) }
        });
        let parts = Parts {
            log: log.clone(),
            models: store.models,
            snapshots: Some(store.snapshots),
            clock,
            gate: Arc::new(project.gate),
        };
        let engine = Engine::start(parts, models.collect(), setup.options).unwrap();
        let before = engine.reconciliations(None, 1).unwrap().first().map_or(0, |record| record.id);
        Self { engine, log, folder, own, before }
    }

    /// Stops the engine and closes its files. The folder, as long as it is wanted.
    pub(crate) fn end(mut self) -> (PathBuf, Option<TempDir>) {
        self.engine.stop();
        let (folder, own) = (self.folder.clone(), self.own.take());
        drop(self);
        for rest in ["models.db-wal", "models.db-shm", "log.db-wal", "log.db-shm"] {
            assert!(!folder.join(rest).exists(), "{rest} is left: something still has the file open");
        }
        (folder, own)
    }

    /// Stops the engine and starts another over the same files, which `between` may change.
    pub(crate) fn restart(self, setup: Setup, between: impl FnOnce(&Path)) -> Self {
        let (folder, own) = self.end();
        between(&folder);
        Self::over(folder, own, setup)
    }

    /// The models as they were before the last 3000 events.
    pub(crate) fn yesterday() -> PathBuf {
        template().join("yesterday.db")
    }

    pub(crate) fn publish(&self, events: std::ops::Range<u64>) {
        let (mut from, end) = (events.start, events.end);
        while from < end {
            let to = (from + BATCH).min(end);
            self.send((from..to).map(|n| event(n, None)).collect());
            from = to;
        }
    }

    /// Publishes these; where they are now.
    pub(crate) fn send(&self, events: Vec<Vec<u8>>) -> Vec<u64> {
        let receipts = self.engine.publish_blocking(events, None).unwrap();
        assert!(receipts.iter().all(|receipt| receipt.outcome == "admitted"), "{receipts:?}");
        receipts.into_iter().filter_map(|receipt| receipt.position).collect()
    }

    /// Waits until every model is as far as the log, however many events it counts.
    pub(crate) fn settle(&self) {
        for model in MODELS {
            eventually("the head", LONG, || {
                let drift = self.drift(model);
                drift.head == Some(drift.position)
            });
        }
    }

    pub(crate) fn drift(&self, model: &str) -> DriftReport {
        self.engine.drift(Some(model)).unwrap().remove(0)
    }

    pub(crate) fn verdict(&self, model: &str) -> &'static str {
        self.drift(model).content.verdict
    }

    pub(crate) fn verify(&self, model: &str, full: bool) -> VerifyReport {
        self.engine.verify(model, full).unwrap()
    }

    pub(crate) fn read(&self, model: &str, key: &[String], level: Level) -> RowAnswer {
        let options = ReadOptions { budget: LONG, ..ReadOptions::at(level) };
        self.engine.get(model, key, options).unwrap()
    }

    /// The row of a key at level strong.
    pub(crate) fn strong(&self, model: &str, key: &[String]) -> Option<Value> {
        self.read(model, key, Level::Strong).data.map(|row| serde_json::to_value(row).unwrap())
    }

    /// Every row of a model, as readers see it.
    pub(crate) fn rows(&self, model: &str) -> Vec<Value> {
        let (mut rows, mut cursor) = (Vec::new(), None);
        loop {
            let request = RowsRequest { cursor, limit: 10_000, ..RowsRequest::default() };
            let page = self.engine.rows(model, &request, ReadOptions::default()).unwrap();
            rows.extend(page.rows.into_iter().map(|mut row| {
                row.remove("_parked");
                serde_json::to_value(row).unwrap()
            }));
            cursor = page.next;
            if cursor.is_none() {
                return rows;
            }
        }
    }

    /// The reconciliations of this engine that were more than catching up, latest first.
    pub(crate) fn reconciliations(&self) -> Vec<Reconciliation> {
        let mut all = self.engine.reconciliations(None, 1000).unwrap();
        all.retain(|record| record.id > self.before && record.reconciliation_method != Method::Replay);
        all
    }

    /// Runs a script against the models with the foreign client, in one process.
    pub(crate) fn sqlite3(&self, script: &str) -> String {
        sqlite3(&self.folder.join("models.db"), script)
    }

    /// The rows of a model that are not, byte by byte with their digests, those of the filled folder, and the other way
    /// round.
    pub(crate) fn changed_rows(&self, model: &str) -> String {
        let was = template().join("models.db");
        self.sqlite3(&format!(
            ".mode quote
             ATTACH 'file:{was}?immutable=1' AS was;
             SELECT 'is', * FROM (SELECT * FROM main.{model} EXCEPT SELECT * FROM was.{model})
             UNION ALL SELECT 'was', * FROM (SELECT * FROM was.{model} EXCEPT SELECT * FROM main.{model});",
            was = was.display()
        ))
    }
}

/// What was published into the filled folder, folded straight.
pub(crate) fn today() -> &'static Truth {
    static TRUTH: OnceLock<Truth> = OnceLock::new();
    TRUTH.get_or_init(|| Truth::of(0..TODAY))
}

fn sqlite3(file: &Path, script: &str) -> String {
    let mut client = Command::new("sqlite3")
        .args(["-batch", "-bail", "-cmd", ".timeout 20000"])
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool sqlite3");
    client.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let done = client.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.is_empty(), "{said}\n{script}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Looks again and again until `condition` holds; how long that took.
pub(crate) fn eventually(what: &str, within: Duration, condition: impl Fn() -> bool) -> Duration {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < within, "did not come within {within:.1?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
    started.elapsed()
}
