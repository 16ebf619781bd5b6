//! A kill in the middle of a repair: somebody else wrote to the orders, and the reconciler mends them by itself. Afterwards
//! either none of the rows is written over or all of them are, and then what was there is kept, once.
use super::{
    super::common::{Client, HANGS, Server, copy, copy_of_example, demand_strace, say, signal, sqlite, verify_full},
    sweep::{at_every_second_write, current, killer, publish_thirds},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Nothing is mended unasked, so that what a kill left stays as it is.
pub(crate) const UNTOUCHED: &str = "[reconcile]\nauto = false\nscrub_rows_per_second = 0\n";

/// What somebody else does: to several rows, to the last one, and one more.
const EDITS: &str = "UPDATE orders SET status = 'mine', items = 7 WHERE order_id IN
        (SELECT order_id FROM orders ORDER BY order_id LIMIT 6);
    DELETE FROM orders WHERE order_id = (SELECT max(order_id) FROM orders);
    INSERT INTO orders (order_id, status) VALUES ('extra', 'mine');";

/// A data folder with wrong rows, and what is wrong with it.
struct Repair {
    mending: PathBuf,
    untouched: PathBuf,
    before: PathBuf,
    edited: Vec<Value>,
    expected: Vec<Value>,
    evidence: BTreeMap<String, Value>,
}

/// How many kills came when.
#[derive(Default)]
struct Kills {
    /// Nothing was kept yet.
    unbegun: AtomicU64,
    /// What was found was kept, and nothing written over.
    begun: AtomicU64,
    /// The rows were written over.
    written: AtomicU64,
    /// And what came of it was kept.
    ended: AtomicU64,
}

/// Kills a server at one write of a repair after the other.
pub(crate) fn sweep() {
    demand_strace();
    let folder = tempfile::tempdir().unwrap();
    let (mending, untouched) = (folder.path().join("mending"), folder.path().join("untouched"));
    copy_of_example("shop", &mending, "");
    copy_of_example("shop", &untouched, UNTOUCHED);
    let before = folder.path().join("before");
    let mut server = Server::start(&untouched, &before);
    publish_thirds(&server.client(), 0..3);
    current(&server.client()).unwrap();
    let expected = orders(&server.client());
    server.terminate();
    assert!(server.wait().success());
    sqlite(&before.join("models.db"), EDITS);
    let edited = {
        let data = folder.path().join("edited");
        copy(&before, &data);
        orders(&Server::start(&untouched, &data).client())
    };
    let evidence = differing(&expected, &edited);
    assert_eq!(evidence.len(), 8, "{evidence:?}");
    let repair = Repair { mending, untouched, before, edited, expected, evidence };
    let kills = Kills::default();
    let killed = at_every_second_write(|write| repair.kill_at(write, &kills));
    let Kills { unbegun, begun, written, ended } = kills;
    let [unbegun, begun, written, ended] = [unbegun, begun, written, ended].map(AtomicU64::into_inner);
    say(&format!(
        "kill points: {killed} kills at writes of a repair: {unbegun} before it was begun, {begun} before rows were \
         written, {written} before it was ended, {ended} after that"
    ));
    assert!(unbegun > 0 && begun > 0 && written > 0);
}

impl Repair {
    /// Has the rows mended by a server that is killed at this write, and looks at what is there afterwards. Whether it was
    /// killed.
    fn kill_at(&self, write: u64, kills: &Kills) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        copy(&self.before, &data);
        let mut server = Server::spawn_under(&killer(write, &data, &["models.db-wal"]), &self.mending, &data);
        if server.wait_addr_or_end().is_some_and(|addr| is_mended(&Client::new(addr)).is_ok()) {
            return false;
        }
        let ended = server.wait();
        assert_eq!(signal(ended), Some(9), "{ended}:\n{}", server.log().join("\n"));

        let server = Server::start(&self.untouched, &data);
        let client = server.client();
        let (rows, records) = (orders(&client), repairs(&client));
        let is_written = rows == self.expected;
        assert!(
            is_written || rows == self.edited,
            "write {write}: neither what was there nor what should be: {rows:?}"
        );
        let begun = match &records[..] {
            [] => 0,
            [record] => {
                let is_ended = self.judge(write, record);
                assert!(is_written || !is_ended, "write {write}: {record}");
                [&kills.written, &kills.ended][usize::from(is_ended)]
                    .fetch_add(u64::from(is_written), Ordering::Relaxed);
                kills.begun.fetch_add(u64::from(!is_written), Ordering::Relaxed);
                1
            }
            more => panic!("write {write}: one repair and several records: {more:?}"),
        };
        assert!(begun == 1 || !is_written, "write {write}: rows were written over and what was there is not kept");
        kills.unbegun.fetch_add(1 - begun, Ordering::Relaxed);

        // Brought to its end, it is what it is without a kill. Only where rows were still wrong they are found again.
        let record = client.post("/v1/models/orders/reconcile", &json!({"method": "repair"})).ok(200);
        assert_eq!(record["verified"], true, "write {write}: {record}");
        let kept = repairs(&client);
        let found =
            kept.iter().filter(|record| record["evidence"].as_array().is_some_and(|all| !all.is_empty())).count();
        assert_eq!(found as u64, begun + u64::from(!is_written), "write {write}: {kept:?}");
        if !is_written {
            assert_eq!(record["result"], "converged", "write {write}: {record}");
            assert!(self.judge(write, &kept[0]), "write {write}");
        }
        assert_eq!(orders(&client), self.expected, "write {write}");
        current(&client).unwrap();
        verify_full(&client);
        true
    }

    /// Looks whether a record has every row that was wrong, once, as it was found. Whether the record was ended.
    fn judge(&self, write: u64, record: &Value) -> bool {
        let evidence = record["evidence"].as_array().unwrap();
        let by_key: BTreeMap<String, Value> =
            evidence.iter().map(|wrong| (wrong["key"].as_str().unwrap().to_owned(), wrong.clone())).collect();
        assert_eq!(evidence.len(), by_key.len(), "write {write}: a row is there twice: {record}");
        assert_eq!(by_key, self.evidence, "write {write}");
        match record["result"].as_str().unwrap() {
            "converged" => true,
            result => {
                let error = record["error"].as_str().unwrap_or_default();
                assert!(result == "failed" && error.contains("cut off"), "write {write}: {record}");
                false
            }
        }
    }
}

/// The orders as they are now, without what is said about them.
pub(crate) fn orders(client: &Client) -> Vec<Value> {
    let mut rows = client.rows("orders", "limit=1000");
    rows.iter_mut().for_each(|row| drop(row.as_object_mut().unwrap().remove("_parked")));
    rows
}

/// Waits until the orders are mended and the record of it ended; in words where the server dies meanwhile.
fn is_mended(client: &Client) -> Result<(), String> {
    let asked = Instant::now();
    loop {
        let records = client.try_get("/v1/reconciliations?model=orders")?.ok(200);
        let drift = client.try_get("/v1/drift")?.ok(200);
        let orders = drift["models"].as_array().unwrap().iter().find(|model| model["model"] == "orders").unwrap();
        let is_ended = |record: &Value| record["reconciliation_method"] == "repair" && record["result"] == "converged";
        let is_recorded = records["reconciliations"].as_array().unwrap().iter().any(is_ended);
        if is_recorded && matches!(orders["content"]["verdict"].as_str(), Some("verified" | "unverified")) {
            return Ok(());
        }
        assert!(asked.elapsed() < HANGS, "the orders are not mended: {orders} {records}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The records of repairs of the orders with what was found wrong, the latest first.
fn repairs(client: &Client) -> Vec<Value> {
    let records = client.get("/v1/reconciliations?model=orders&limit=1000").ok(200);
    let repairs = records["reconciliations"].as_array().unwrap().iter();
    let repairs = repairs.filter(|record| record["reconciliation_method"] == "repair");
    repairs.map(|record| client.get(&format!("/v1/reconciliations/{}", record["id"])).ok(200)).collect()
}

/// What is to be found wrong, by key.
fn differing(expected: &[Value], edited: &[Value]) -> BTreeMap<String, Value> {
    let by_key = |rows: &[Value]| -> BTreeMap<String, Value> {
        rows.iter().map(|row| (row["order_id"].as_str().unwrap().to_owned(), row.clone())).collect()
    };
    let (expected, edited) = (by_key(expected), by_key(edited));
    let keys = expected.keys().chain(edited.keys()).filter(|key| expected.get(*key) != edited.get(*key));
    let wrong = |key: &String| {
        let (expected, actual) = (expected.get(key), edited.get(key));
        let cause = match (expected, actual) {
            (Some(_), None) => "lost_row",
            (None, _) => "extra_row",
            (Some(_), Some(_)) => "foreign_edit",
        };
        (key.clone(), json!({"key": key, "cause": cause, "expected": expected, "actual": actual}))
    };
    keys.map(wrong).collect()
}
