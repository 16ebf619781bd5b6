//! What must be true after all the kills: everything acknowledged is there, once, where it was said to be; nothing is
//! there that nobody sent; and every row is what the log says.
use super::{
    super::common::{Client, HANGS, verify_full},
    clients::Told,
    events::Identity,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// What is there in the end.
pub(crate) struct Found {
    log: Vec<Identity>,
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    /// Its number: entries are numbered as they come.
    number: u64,
    identity: Identity,
    /// What waits behind what: contract and subject.
    line: Identity,
    state: String,
    position: Option<u64>,
}

/// How many events are where.
#[derive(Debug)]
pub(crate) struct Numbers {
    pub(crate) admitted: usize,
    pub(crate) quarantined: usize,
}

impl Found {
    pub(crate) fn new(log: &[Value], entries: &[Value]) -> Self {
        let text = |value: &Value, member: &str| value[member].as_str().unwrap_or_default().to_owned();
        let entry = |entry: &Value| {
            let id = text(entry, "id");
            let found = Entry {
                number: id.trim_start_matches("q-").parse().unwrap(),
                identity: (text(entry, "source"), text(entry, "raw_id")),
                line: (text(entry, "contract"), text(entry, "subject")),
                state: text(entry, "state"),
                position: entry["position"].as_u64(),
            };
            (id, found)
        };
        Self {
            log: log.iter().map(|event| (text(event, "source"), text(event, "id"))).collect(),
            entries: entries.iter().map(entry).collect(),
        }
    }

    /// The entry that is held although nothing waits before it: a release that a kill cut short and nobody resumed.
    fn stranded(&self) -> Option<&String> {
        let mut heads = BTreeMap::new();
        for entry in self.entries.values().filter(|entry| entry.state == "quarantined") {
            let head = heads.entry(&entry.line).or_insert(entry.number);
            *head = entry.number.min(*head);
        }
        let waits = |entry: &Entry| heads.get(&entry.line).is_some_and(|head| *head < entry.number);
        let is_stranded = |entry: &Entry| entry.state == "held" && !waits(entry);
        self.entries.iter().find(|(_, entry)| is_stranded(entry)).map(|(id, _)| id)
    }

    /// Compares what is there with what the senders were told and what was seen on the way.
    pub(crate) fn check(&self, told: &BTreeMap<Identity, Told>, seen: &[Identity]) -> Result<Numbers, String> {
        let mut positions = BTreeMap::new();
        for (position, identity) in (1_u64..).zip(&self.log) {
            if let Some(before) = positions.insert(identity, position) {
                return Err(format!("{identity:?} is in the log twice: at {before} and {position}"));
            }
        }
        if !self.log.starts_with(seen) {
            return Err("the log is not what was seen of it before".into());
        }
        let mut waiting = BTreeMap::new();
        for (id, entry) in &self.entries {
            if let Some(before) = waiting.insert(&entry.identity, id) {
                return Err(format!("{:?} has two entries: {before} and {id}", entry.identity));
            }
            let in_log = positions.get(&entry.identity).copied();
            let let_in = entry.state == "admitted";
            if let_in != in_log.is_some() || (let_in && in_log != entry.position) {
                return Err(format!(
                    "{id} is {} at {:?}, and the log has it at {in_log:?}",
                    entry.state, entry.position
                ));
            }
        }
        if let Some(invented) = positions.keys().chain(waiting.keys()).find(|identity| !told.contains_key(**identity)) {
            return Err(format!("{invented:?} was never sent"));
        }
        for (identity, told) in told {
            let (position, entry) = (positions.get(identity).copied(), waiting.get(identity).copied());
            if told.position.is_none() && told.entry.is_none() {
                return Err(format!("{identity:?} was never acknowledged"));
            }
            if told.position.is_some() && told.position != position {
                return Err(format!("{identity:?} was acknowledged at {:?} and is at {position:?}", told.position));
            }
            if told.entry.is_some() && told.entry.as_ref() != entry {
                return Err(format!("{identity:?} was acknowledged as {:?} and is {entry:?}", told.entry));
            }
            if position.is_none() && entry.is_none() {
                return Err(format!("{identity:?} is lost"));
            }
        }
        if let Some(id) = self.stranded() {
            return Err(format!("{id} is held, and nothing waits before it"));
        }
        let quarantined = self.entries.values().filter(|entry| entry.state != "admitted").count();
        if self.log.len() + quarantined != told.len() {
            return Err(format!("{} and {quarantined} are not the {} that were sent", self.log.len(), told.len()));
        }
        Ok(Numbers { admitted: self.log.len(), quarantined })
    }
}

/// Waits until every model is of its declared version and has everything; `version` is that of the orders.
pub(crate) fn wait_until_current(client: &Client, version: u64) {
    let asked = Instant::now();
    loop {
        let (models, drift) = (client.get("/v1/models").ok(200), client.get("/v1/drift").ok(200));
        let all = |answer: &Value, done: &dyn Fn(&Value) -> bool| answer["models"].as_array().unwrap().iter().all(done);
        let built = all(&models, &|model| {
            model["served_version"] == model["version"] && (model["model"] != "orders" || model["version"] == version)
        });
        if built && all(&drift, &|model| model["status"] == "in_sync" && model["lag_count"] == 0) {
            return;
        }
        assert!(asked.elapsed() < HANGS, "the models do not come to rest: {models} {drift}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Every event is kept as it was sent, and is what the contracts make of that still: the two are of one transaction.
pub(crate) fn check_kept(client: &Client, project: &Path, log: &[Value]) {
    let mut files =
        BTreeMap::from([("evenkeel.toml".to_owned(), fs::read_to_string(project.join("evenkeel.toml")).unwrap())]);
    for entry in fs::read_dir(project.join("contracts")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        files.insert(format!("contracts/{name}"), fs::read_to_string(&path).unwrap());
    }
    let types: BTreeSet<_> = log.iter().map(|event| event["type"].as_str().unwrap()).collect();
    for event_type in types {
        let asked = serde_json::json!({ "files": files });
        let found = client.post(&format!("/v1/contracts/{event_type}/impact"), &asked).ok(200)["admitted"].clone();
        let events = log.iter().filter(|event| event["type"] == event_type).count();
        assert_eq!((&found["same"], &found["not_kept"]), (&events.into(), &0.into()), "{event_type}: {found}");
    }
}

/// Every row is what a fresh fold of the log gives, and what simple sums over the log give.
pub(crate) fn check_rows(client: &Client, log: &[Value]) {
    assert_eq!(verify_full(client).len(), 3);
    let sum = |rows: &[Value], column: &str| rows.iter().map(|row| row[column].as_i64().unwrap()).sum::<i64>();
    let of = |event_type: &'static str| log.iter().filter(move |event| event["type"] == event_type);
    let customers = client.rows("customers", "level=strong&budget_ms=60000&limit=1000");
    assert_eq!(sum(&customers, "orders"), i64::try_from(of("order_created").count()).unwrap());
    let inventory = client.rows("inventory", "level=strong&budget_ms=60000&limit=1000");
    let received: i64 = of("stock_received").map(|event| event["data"]["quantity"].as_i64().unwrap()).sum();
    assert_eq!(sum(&inventory, "on_hand"), received);
    let lines = of("stock_reserved").flat_map(|event| event["data"]["lines"].as_array().unwrap());
    assert_eq!(sum(&inventory, "reserved"), lines.map(|line| line["qty"].as_i64().unwrap()).sum::<i64>());
}
