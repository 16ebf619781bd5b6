//! A kill while many events are decided about at once, those of the gate and those that a model parked. Afterwards a first part
//! of them has been decided about, each with all that waited behind it, and the others not at all; each event is in one place,
//! the books add up, and asked again the same decides about exactly the rest.
use super::{
    super::common::{Answer, Client, Server, copy, copy_of_example, demand_strace, say, signal, verify_full},
    sweep::{at_every_second_write, current, killer},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// How many orders there are, each with an event that is decided about and one that waits behind it.
const ORDERS: usize = 5;

/// The order whose first event is refused still.
const REFUSED: usize = 2;

/// What the bulk decisions are made on.
struct Bulk {
    project: PathBuf,
    before: PathBuf,
    /// By how many had been decided about.
    found: BTreeMap<usize, AtomicU64>,
}

impl Bulk {
    /// A data folder with these events in it, and the project that decides about them.
    fn new(folder: &Path, events: &[String]) -> Self {
        demand_strace();
        let (project, before) = (folder.join("project"), folder.join("before"));
        copy_of_example("shop", &project, "");
        let mut server = Server::start(&project, &before);
        server.client().publish(events).ok(202);
        current(&server.client()).unwrap();
        server.terminate();
        assert!(server.wait().success());
        Self { project, before, found: (0..=ORDERS).map(|decided| (decided, AtomicU64::new(0))).collect() }
    }

    /// Has it done by a server that is killed at this write of the file. Nothing where the server lived.
    fn killed_at(
        &self,
        write: u64,
        data: &Path,
        file: &str,
        work: impl Fn(&Client) -> Result<(), String>,
    ) -> Option<()> {
        copy(&self.before, data);
        let mut server = Server::spawn_under(&killer(write, data, &[file]), &self.project, data);
        if let Some(Ok(())) = server.wait_addr_or_end().map(|addr| work(&Client::new(addr))) {
            return None;
        }
        let ended = server.wait();
        assert_eq!(signal(ended), Some(9), "{ended}:\n{}", server.log().join("\n"));
        Some(())
    }

    fn tell(self, what: &str, kills: u64) {
        let found: BTreeMap<_, _> = self.found.into_iter().map(|(at, kills)| (at, kills.into_inner())).collect();
        say(&format!("kill points: {kills} kills at writes of {what}, by how many were decided about: {found:?}"));
        assert!(found.values().filter(|kills| **kills > 0).count() > ORDERS / 2, "{found:?}");
    }
}

/// Kills a server at one write after the other while all that waits at its gate is redriven or discarded.
pub(crate) fn sweep_gate(verb: &str) {
    let folder = tempfile::tempdir().unwrap();
    let total = |number| if number == REFUSED { "-1.00" } else { "0.00" };
    let events: Vec<_> = (0..ORDERS).flat_map(|n| [order(n, 0, total(n)), order(n, 1, "5.00")]).collect();
    let bulk = Bulk::new(folder.path(), &events);
    // From here on an order of nothing is one.
    let contract = bulk.project.join("contracts/order_created.toml");
    let text = fs::read_to_string(&contract).unwrap();
    let relaxed = text.replace(r#"gt = ["/data/total", 0]"#, r#"ge = ["/data/total", 0]"#);
    let relaxed = relaxed.replace(r#"expect = "total_positive""#, r#"expect = "admit""#);
    assert_ne!(text, relaxed);
    fs::write(contract, relaxed).unwrap();

    let kills = at_every_second_write(|write| {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let ask = |client: &Client| decide_all(client, verb, &json!({})).map(|answer| drop(answer.ok(200)));
        if bulk.killed_at(write, &data, "log.db-wal", ask).is_none() {
            return false;
        }
        let server = Server::start(&bulk.project, &data);
        let client = server.client();
        let decided = judge_gate(&client, verb, write);
        bulk.found[&decided].fetch_add(1, Ordering::Relaxed);
        // What was refused waits still, and is asked about again.
        let still = |number: &usize| *number >= decided || (verb == "redrive" && *number == REFUSED);
        let rest: Vec<_> = (0..ORDERS).filter(still).map(|number| format!("q-{}", 2 * number + 1)).collect();
        let answer = decide_all(&client, verb, &json!({})).unwrap().ok(200);
        let ids: Vec<_> = answer["entries"].as_array().unwrap().iter().map(|entry| entry["id"].clone()).collect();
        assert_eq!(ids, rest, "{verb}, write {write}: {answer}");
        assert_eq!(judge_gate(&client, verb, write), ORDERS, "write {write}");
        current(&client).unwrap();
        verify_full(&client);
        true
    });
    bulk.tell(&format!("a {verb} of all at the gate"), kills);
}

/// How many entries have been decided about; everything is as it must be then.
fn judge_gate(client: &Client, verb: &str, write: u64) -> usize {
    let entries = client.quarantine();
    let decided = entries.iter().step_by(2).filter(|entry| entry["author"] == "a").count();
    let (mut states, mut log) = (Vec::new(), Vec::new());
    for number in 0..ORDERS {
        let of_both = match verb {
            _ if number >= decided => ["quarantined", "held"],
            "discard" => ["discarded", "admitted"],
            _ if number == REFUSED => ["quarantined", "held"],
            _ => ["admitted", "admitted"],
        };
        let in_log = (0..2).filter(|which| of_both[*which] == "admitted");
        log.extend(in_log.map(|which| format!("{number}-{which}")));
        states.extend(of_both);
    }
    let found: Vec<_> = entries.iter().map(|entry| entry["state"].as_str().unwrap()).collect();
    assert_eq!(found, states, "{verb}, write {write}: {decided} decided");
    let ids: Vec<_> = client.log().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, log, "{verb}, write {write}: {decided} decided");
    let books = client.get("/v1/accounting?recount=true").ok(200);
    let discarded = states.iter().filter(|state| **state == "discarded").count();
    let expected = [("received", 2 * ORDERS), ("admitted", log.len()), ("discarded", discarded)];
    assert!(
        books["balanced"] == true && expected.iter().all(|(name, count)| books["total"][name] == *count),
        "{verb}, write {write}: {expected:?}, {books}"
    );
    decided
}

/// Kills a server at one write after the other while all that a model parked is redriven, in vain, and then discarded.
pub(crate) fn sweep_parked() {
    let folder = tempfile::tempdir().unwrap();
    let paid = |number| [payment(number, 0, "EUR"), payment(number, 1, "USD"), payment(number, 2, "EUR")];
    let events: Vec<_> = (0..ORDERS).flat_map(paid).collect();
    let bulk = Bulk::new(folder.path(), &events);
    let of_model = json!({"model": "orders"});
    let ask = |client: &Client| -> Result<(), String> {
        for verb in ["redrive", "discard"] {
            decide_all(client, verb, &of_model)?.ok(200);
        }
        Ok(())
    };
    let redriven = AtomicU64::new(0);
    let kills = at_every_second_write(|write| {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        if bulk.killed_at(write, &data, "models.db-wal", ask).is_none() {
            return false;
        }
        let server = Server::start(&bulk.project, &data);
        let client = server.client();
        let (looked_at, discarded) = judge_parked(&client, write);
        redriven.fetch_add(u64::from(0 < looked_at && discarded == 0), Ordering::Relaxed);
        bulk.found[&discarded].fetch_add(1, Ordering::Relaxed);
        let answer = decide_all(&client, "discard", &of_model).unwrap().ok(200);
        let entries = answer["entries"].as_array().unwrap();
        let all_are = |entry: &Value| entry["outcome"] == "discarded" && entry["released"] == 1;
        assert_eq!(entries.len(), ORDERS - discarded, "write {write}: {answer}");
        assert!(entries.iter().all(all_are), "write {write}: {answer}");
        assert_eq!(judge_parked(&client, write), (ORDERS, ORDERS), "write {write}");
        current(&client).unwrap();
        verify_full(&client);
        true
    });
    let redriven = redriven.into_inner();
    bulk.tell(&format!("a redrive ({redriven}) and a discard of all that a model parked"), kills);
    assert!(redriven > 0);
}

/// How many parked events somebody has looked at, and how many were given up; everything is as it must be then.
fn judge_parked(client: &Client, write: u64) -> (usize, usize) {
    let entries = client.get("/v1/quarantine?model=orders&limit=1000").ok(200);
    let entries = entries["entries"].as_array().unwrap();
    let in_state = |state: &str| entries.iter().filter(|entry| entry["state"] == state).collect::<Vec<_>>();
    let (waiting, held, discarded) = (in_state("quarantined"), in_state("held"), in_state("discarded"));
    assert_eq!((waiting.len() + discarded.len(), held.len()), (ORDERS, waiting.len()), "write {write}: {entries:?}");
    let ids = |entries: &[&Value]| entries.iter().map(|entry| entry["raw_id"].clone()).collect::<Vec<_>>();
    let expected = |which: usize, numbers: std::ops::Range<usize>| {
        numbers.map(|number| format!("{number}-{which}")).collect::<Vec<_>>()
    };
    assert_eq!(ids(&discarded), expected(1, 0..discarded.len()), "write {write}: {entries:?}");
    assert_eq!(ids(&waiting), expected(1, discarded.len()..ORDERS), "write {write}: {entries:?}");
    assert_eq!(ids(&held), expected(2, discarded.len()..ORDERS), "write {write}: {entries:?}");
    // Each is looked at before any is given up.
    let looked_at = discarded.len() + waiting.iter().take_while(|entry| entry["author"] == "a").count();
    assert!(discarded.is_empty() || looked_at == ORDERS, "write {write}: {entries:?}");
    assert!(waiting[looked_at - discarded.len()..].iter().all(|entry| entry["author"].is_null()), "{entries:?}");
    for (number, row) in client.rows("orders", "level=eventual&limit=1000").iter().enumerate() {
        let expected = if number < discarded.len() { ("3.00", false) } else { ("1.00", true) };
        let found = (row["paid"].as_str().unwrap(), row["_parked"].as_bool().unwrap());
        assert_eq!(found, expected, "write {write}: {row}, {} given up", discarded.len());
    }
    (looked_at, discarded.len())
}

fn decide_all(client: &Client, verb: &str, filter: &Value) -> Result<Answer, String> {
    let word = json!({"filter": filter, "author": "a"}).to_string();
    client.try_post(&format!("/v1/quarantine/{verb}"), "application/json", word.as_bytes())
}

fn order(number: usize, which: usize, total: &str) -> String {
    json!({
        "specversion": "1.0", "source": "shop.orders", "id": format!("{number}-{which}"), "type": "OrderPlaced",
        "time": "2026-03-02T09:30:00Z",
        "data": {
            "order_id": format!("o-{number}"), "customer_ref": "c-1", "total_amount": total, "currency_code": "EUR",
            "line_items": [{"sku": "P-1", "quantity": 1, "unit_price": "1.00"}],
        },
    })
    .to_string()
}

/// A part of what an order costs. What is paid in another currency than the part before cannot be added to it.
fn payment(number: usize, which: usize, currency: &str) -> String {
    let amount = if which == 2 { "2.00" } else { "1.00" };
    json!({
        "specversion": "1.0", "source": "shop.checkout", "id": format!("{number}-{which}"), "type": "OrderPaid",
        "time": "2026-03-02T09:30:00Z",
        "data": {"orderId": format!("o-{number}"), "amount": amount, "currency": currency, "method": "card"},
    })
    .to_string()
}
