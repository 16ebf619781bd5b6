//! One server after the other, each killed at another write, and what must be there afterwards.
use super::super::common::{
    Answer, Client, HANGS, Random, Server, copy, copy_of_example, declare_orders, demand_strace, example, say,
    shop::{self, Shown, WAYS, Way},
    signal, verify_full,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Servers at a time.
const AT_ONCE: usize = 3;

/// Events of one request.
const BATCH_EVENTS: usize = 20;

/// Every second write: what goes into the write-ahead log is a header and a page by turns, and neither counts
/// without the other. The seed says which.
const STEP: u64 = 2;

/// Whose row is read by its key.
const CUSTOMER: &str = "c-100";

/// What was acknowledged and shown before a kill.
#[derive(Default)]
struct Told {
    /// Where events are, by their ids.
    positions: BTreeMap<String, u64>,
    /// The last token, and the last position that was acknowledged with it.
    token: Option<(String, u64)>,
    /// How it is read, by turns, with the token of each answer.
    ways: &'static [Way],
    shown: Vec<Shown>,
}

/// Where a sweep begins, and what it kills at.
struct Sweep {
    name: &'static str,
    project: PathBuf,
    before: Before,
    /// What the data folder holds at first, if anything.
    data: Option<PathBuf>,
    /// The files whose writes are counted.
    files: &'static [&'static str],
    expected: Settled,
    /// The rows of the orders as they were declared before.
    old_orders: Option<Vec<Value>>,
}

/// What there is in the end.
#[derive(Debug, PartialEq)]
struct Settled {
    log: Vec<Value>,
    quarantine: Vec<Value>,
    rows: BTreeMap<String, Vec<Value>>,
}

/// What was done before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing: the files are made.
    Nothing,
    /// A server was started, and took nothing.
    Opened,
    /// Everything was published, and the orders declared anew.
    DeclaredAnew,
    /// Half was published. The rest comes while the projector of the inventory is stopped, so that a rebuild of it is
    /// ahead of the table that it takes the place of.
    Behind,
}

/// Publishes the shop's sample with a kill at one write after the other. The number of events acknowledged before.
pub(crate) fn sweep(name: &'static str, before: Before, files: &'static [&'static str]) -> u64 {
    demand_strace();
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    copy_of_example("shop", &project, "");
    // With a column that the next declaration has not: a table of one with the other's description cannot be read.
    declare_orders(&project, 2);
    let (mut data, mut old_orders) = (None, None);
    if before != Before::Nothing {
        let mut server = Server::start(&project, data.insert(folder.path().join("before")));
        match before {
            Before::Nothing | Before::Opened => {}
            Before::Behind => publish(&server.client(), Part::First, &mut Told::default()).unwrap(),
            Before::DeclaredAnew => old_orders = settle(&server.client()).rows.remove("orders"),
        }
        server.terminate();
        assert!(server.wait().success());
    }
    if before == Before::DeclaredAnew {
        declare_orders(&project, 3);
    }
    let expected = settle(&Server::start(&project, &folder.path().join("expected")).client());
    assert_ne!(old_orders.as_ref(), expected.rows.get("orders"));
    let sweep = Sweep { name, project, before, data, files, expected, old_orders };
    let acknowledged = AtomicU64::new(0);
    let kills = at_every_second_write(|write| match sweep.kill_at(write) {
        Some(told) => {
            acknowledged.fetch_add(told, Ordering::Relaxed);
            true
        }
        None => false,
    });
    let acknowledged = acknowledged.into_inner();
    say(&format!("kill points: {kills} kills at writes of {name}, {acknowledged} events acknowledged before them"));
    assert!(kills >= 10, "only {kills} kills");
    acknowledged
}

/// Kills at one write after the other, some at a time, until no thread of the server writes so often; how often that was.
/// `kill` says whether it killed.
pub(crate) fn at_every_second_write(kill: impl Fn(u64) -> bool + Sync) -> u64 {
    let first = 1 + Random::new(Random::seed(1)).below(STEP);
    let (next, over, kills) = (AtomicU64::new(first), AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    match kill(next.fetch_add(STEP, Ordering::Relaxed)) {
                        true => drop(kills.fetch_add(1, Ordering::Relaxed)),
                        false => over.store(true, Ordering::Relaxed),
                    }
                }
            });
        }
    });
    kills.into_inner()
}

impl Sweep {
    /// Uses a server that is killed at this write, and looks at what is there afterwards. The number of events that
    /// were acknowledged before; nothing where the server lived.
    fn kill_at(&self, write: u64) -> Option<u64> {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        if let Some(before) = &self.data {
            copy(before, &data);
        }
        // What is read of a model that stands still is waited for in vain.
        let ways = if self.before == Before::Behind { &WAYS[..4] } else { &WAYS };
        let mut told = Told { ways, ..Told::default() };
        let mut server = Server::spawn_under(&killer(write, &data, self.files), &self.project, &data);
        let used = server.wait_addr_or_end().map(|addr| self.use_it(&Client::new(addr), &mut told));
        if matches!(used, Some(Ok(()))) {
            return None;
        }
        let ended = server.wait();
        assert_eq!(signal(ended), Some(9), "{ended}:\n{}", server.log().join("\n"));

        let place = format!("{}, write {write}", self.name);
        let server = Server::start(&self.project, &data);
        let client = server.client();
        if let Some(old) = &self.old_orders {
            let rows = client.rows("orders", "limit=1000");
            assert!(rows == *old || rows == self.expected.rows["orders"], "{place}: {rows:?}");
        }
        let log = client.log();
        for (id, position) in &told.positions {
            let event = usize::try_from(*position).ok().and_then(|position| log.get(position - 1));
            assert_eq!(event.map(|event| &event["id"]), Some(&Value::from(id.as_str())), "{place}");
        }
        let acknowledged = told.positions.len() as u64;
        assert_eq!(shop::first_wrong(read_again(&client, told), &log), None, "{place}");
        // Sent again to the end, the events give what they give without a kill.
        let settled = settle(&client);
        assert_eq!(settled.log, self.expected.log, "{place}");
        assert_eq!(settled.quarantine, self.expected.quarantine, "{place}");
        for (model, rows) in &settled.rows {
            let wrong = rows.iter().zip(&self.expected.rows[model]).find(|(row, expected)| row != expected);
            assert_eq!(wrong, None, "{place}: {model}, what is there and what should be");
        }
        assert!(settled.rows == self.expected.rows, "{place}: there are rows too many or too few");
        assert_eq!(verify_full(&client).len(), settled.rows.len(), "{place}");
        Some(acknowledged)
    }

    /// What the server is used for while it lives; in words where it does not any more.
    fn use_it(&self, client: &Client, told: &mut Told) -> Result<(), String> {
        if self.before != Before::Behind {
            publish(client, Part::All, told)?;
            return current(client);
        }
        let ask = |path: &str, body: &str| -> Result<Value, String> {
            Ok(client.try_post(&format!("/v1/models/inventory/{path}"), "application/json", body.as_bytes())?.ok(200))
        };
        ask("projector/stop", "{}")?;
        publish(client, Part::All, told)?;
        let record = ask("reconcile", r#"{"method": "rebuild"}"#)?;
        assert_eq!(record["result"], "converged", "{record}");
        ask("projector/start", "{}")?;
        current(client)
    }
}

/// The program that runs the server and kills it as a thread of it is about to make its n-th write to one of the files.
pub(crate) fn killer(write: u64, data: &Path, files: &[&str]) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["strace", "-D", "-f", "-o", "/dev/null"].map(Into::into).into();
    for file in files {
        arguments.extend(["-P".into(), data.join(file).into()]);
    }
    arguments.extend(["-e", "trace=pwrite64,write", "-e"].map(Into::into));
    arguments.push(format!("inject=pwrite64,write:signal=KILL:when={write}").into());
    arguments
}

/// How much of the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    First,
    All,
}

/// Publishes the sample. What was acknowledged with a position is in `told`, also where the server dies on the way.
fn publish(client: &Client, part: Part, told: &mut Told) -> Result<(), String> {
    let sample = fs::read_to_string(example("shop").join("sample.ndjson")).unwrap();
    let lines: Vec<_> = sample.lines().collect();
    let end = if part == Part::First { lines.len() / BATCH_EVENTS / 2 * BATCH_EVENTS } else { lines.len() };
    for (batch, turn) in lines[..end].chunks(BATCH_EVENTS).zip(0..) {
        let answer = client.try_publish(batch)?.ok(202);
        let mut last = 0;
        for result in answer["results"].as_array().unwrap() {
            if let Some(position) = result["position"].as_u64() {
                told.positions.insert(result["id"].as_str().unwrap().to_owned(), position);
                last = position.max(last);
            }
        }
        told.token = answer["token"].as_str().map(|token| (token.to_owned(), last));
        if let Some(way) = told.ways.get(turn % told.ways.len().max(1)) {
            read(client, *way, told)?;
        }
    }
    Ok(())
}

/// Reads with the last token; in words where the server dies meanwhile.
fn read(client: &Client, way: Way, told: &mut Told) -> Result<(), String> {
    if let Some((token, position)) = &told.token {
        let parameters = format!("level=causal&budget_ms=60000&token={token}");
        let answer = way.ask(client, CUSTOMER, &parameters)?;
        told.shown.extend(shown(&answer, way, "causal", *position));
    }
    Ok(())
}

/// What an answer shows. The sample has deliveries that cannot be applied: where they are read that is said, and nothing shown.
fn shown(answer: &Answer, way: Way, level: &str, floor: u64) -> Vec<Shown> {
    if answer.status == 503 && matches!(way, Way::Stock | Way::Both) {
        let problem = answer.unavailable();
        let parked = problem["consistency"]["parked_events"].as_u64();
        assert!(problem["type"] == "/problems/not-met" && parked > Some(0), "{problem}");
        return Vec::new();
    }
    way.shown(answer, CUSTOMER, level, floor)
}

/// Reads with the last token of a server that was killed, and strongly, in every way. All that was shown before and after.
fn read_again(client: &Client, mut told: Told) -> Vec<Shown> {
    let last = told.positions.values().copied().max().unwrap_or_default();
    for way in WAYS {
        read(client, way, &mut told).unwrap();
        let answer = way.ask(client, CUSTOMER, "level=strong&budget_ms=60000").unwrap();
        told.shown.extend(shown(&answer, way, "strong", last));
    }
    told.shown
}

/// Publishes some thirds of the sample, 0 to 3, to a server that lives.
pub(crate) fn publish_thirds(client: &Client, thirds: Range<usize>) {
    let sample = fs::read_to_string(example("shop").join("sample.ndjson")).unwrap();
    let lines: Vec<_> = sample.lines().collect();
    for batch in lines[lines.len() * thirds.start / 3..lines.len() * thirds.end / 3].chunks(BATCH_EVENTS) {
        client.publish(batch).ok(202);
    }
}

/// Waits until every model is as it is declared and has everything; in words where the server dies meanwhile.
pub(crate) fn current(client: &Client) -> Result<(), String> {
    let asked = Instant::now();
    loop {
        let (models, drift) = (client.try_get("/v1/models")?.ok(200), client.try_get("/v1/drift")?.ok(200));
        let all = |answer: &Value, is: fn(&Value) -> bool| answer["models"].as_array().unwrap().iter().all(is);
        if all(&models, |model| model["served_version"] == model["version"])
            && all(&drift, |model| model["status"] == "in_sync" && model["lag_count"] == 0)
        {
            return Ok(());
        }
        assert!(asked.elapsed() < HANGS, "the models do not come to rest: {models} {drift}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Publishes the sample to a server that lives; what is there then.
fn settle(client: &Client) -> Settled {
    publish(client, Part::All, &mut Told::default()).and_then(|()| current(client)).unwrap();
    let part = |values: Vec<Value>, members: &[&str]| -> Vec<Value> {
        let part = |value: &Value| members.iter().map(|member| value[member].clone()).collect();
        values.iter().map(part).collect()
    };
    let rows = ["customers", "inventory", "orders"].map(|model| (model.to_owned(), client.rows(model, "limit=1000")));
    assert!(rows.iter().all(|(_, rows)| !rows.is_empty()));
    Settled {
        log: part(client.log(), &["position", "source", "id", "digest", "stream_version"]),
        quarantine: part(client.quarantine(), &["id", "source", "raw_id", "reason", "state"]),
        rows: rows.into(),
    }
}
