//! A read that waits in vain is answered when its budget ends: not before, and no later than the next tick of the timer. Time is
//! virtual here and passes only while nobody has anything to do, so that what a busy machine takes for an attempt does not
//! count. What it is in real time is shown in `evenkeel-server/tests/budgets.rs`.
use super::fixture::{eventually, gate, noted, tally};
use evenkeel::{
    Clock, Engine, Model, Options, Parts, ReadError,
    core::{Timestamp, demand::Bounds, flights::FlightLimits, freshness::Level, token::Token},
    reader::{QueryRequest, ReadOptions, RowsRequest},
    report::Consistency,
    store::sqlite::{SqliteOptions, SqliteStore},
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{runtime::Handle, task::JoinSet, time::Instant};

/// The timer's resolution.
const TICK: Duration = Duration::from_millis(1);

/// The time of a runtime whose clock is paused.
struct Virtual {
    runtime: Handle,
    began: Instant,
}

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000 + i64::try_from(self.monotonic().as_micros()).unwrap())
    }

    fn monotonic(&self) -> Duration {
        // From whatever thread this is asked.
        let _of_runtime = self.runtime.enter();
        self.began.elapsed()
    }
}

/// An engine whose model lacks an event, which its projector does not apply; and the token of who sent that.
async fn lagging(folder: &Path, clock: &Arc<Virtual>) -> (Engine, Token) {
    let now = Arc::clone(clock);
    let store = SqliteStore::open(folder, SqliteOptions::new(Arc::new(move || now.now()))).unwrap();
    let parts = Parts {
        log: store.log,
        models: store.models,
        snapshots: Some(store.snapshots),
        clock: Arc::clone(clock) as _,
        gate: Arc::new(gate()),
    };
    let options = Options {
        heartbeat: Duration::from_secs(600),
        auto_reconcile: false,
        scrub_rows_per_second: 0,
        flights: FlightLimits { at_once: 4, waiting: 10_000 },
        ..Options::default()
    };
    let engine = Engine::start(parts, vec![Model::new(tally())], options).unwrap();
    engine.publish(vec![noted("1", "a", 1)], None).await.unwrap();
    eventually("the first event", || engine.get("tally", &["a"], ReadOptions::default()).unwrap().data.is_some());
    engine.stop_projector("tally", "for the test").unwrap();
    let receipts = engine.publish(vec![noted("2", "a", 2)], None).await.unwrap();
    let token = engine.token(&engine.token_after(None, &receipts)).unwrap();
    (engine, token)
}

/// What a reader asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Causal,
    Bounded,
    Page,
    Filtered,
    Statement,
}

const ALL: [Asks; 5] = [Asks::Causal, Asks::Bounded, Asks::Page, Asks::Filtered, Asks::Statement];

impl Asks {
    /// Reads; when that was over, and the label of the refusal.
    async fn read(self, engine: &Engine, token: Token, budget: Duration) -> (Duration, Box<Consistency>) {
        let (began, options) = (Instant::now(), ReadOptions { budget, ..ReadOptions::default() });
        let causal = ReadOptions { token: Some(token), ..options };
        let strong = ReadOptions { level: Some(Level::Strong), ..options };
        let bounds = Bounds { max_lag: Some(0), ..Bounds::default() };
        let refused = match self {
            Self::Causal => engine.get_async("tally", &["a"], causal).await.unwrap_err(),
            Self::Bounded => engine.get_async("tally", &["a"], ReadOptions { bounds, ..options }).await.unwrap_err(),
            Self::Page => engine.rows_async("tally", RowsRequest::default(), strong).await.unwrap_err(),
            Self::Filtered => {
                let request = RowsRequest { count: true, ..RowsRequest::default() };
                engine.rows_async("tally", request, causal).await.unwrap_err()
            }
            Self::Statement => {
                let request = QueryRequest { sql: "SELECT count(*) AS n FROM tally".into(), limit: 0 };
                engine.query_async(request, strong).await.unwrap_err()
            }
        };
        let took = began.elapsed();
        match refused {
            ReadError::NotMet { label: Some(label), .. } => (took, label),
            other => panic!("{self:?} with {budget:?}: {other:?}"),
        }
    }
}

/// Readers who wait for what does not come, each with a budget of his own or all with one: what each was told when.
fn told(budgets: impl Fn(u64) -> Duration, readers: u64) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let clock = Arc::new(Virtual { runtime: Handle::current(), began: Instant::now() });
        let (engine, token) = lagging(folder.path(), &clock).await;
        let mut waiting = JoinSet::new();
        for n in 0..readers {
            let (engine, asks, budget) = (engine.clone(), ALL[usize::try_from(n).unwrap() % ALL.len()], budgets(n));
            waiting.spawn(async move { (asks, budget, asks.read(&engine, token, budget).await) });
        }
        while let Some(told) = waiting.join_next().await {
            let (asks, budget, (took, label)) = told.unwrap();
            let place = format!("{asks:?} with {budget:?}: after {took:?}, {label:?}");
            assert!(budget <= took && took <= budget + TICK, "{place}");
            assert_eq!(u128::from(label.budget_ms), budget.as_millis(), "{place}");
            assert!(label.waited_ms.abs_diff(label.budget_ms) <= 1 && label.data_stale, "{place}");
            // Looked at once and again when time was over: nobody looked in between.
            assert!(label.attempts <= 3, "{place}");
        }
        engine.stop();
    });
}

#[test]
fn who_waits_in_vain_is_told_when_his_budget_ends() {
    told(|n| Duration::from_millis(1 + 7 * n % 601), 400);
}

#[test]
fn a_herd_that_waits_in_vain_is_told_when_its_budget_ends() {
    told(|_| Duration::from_millis(250), 400);
}
