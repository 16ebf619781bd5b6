//! A kill while events wait for others, have waited too long, are recalled, and go on together. Afterwards everything that was
//! acknowledged is in one place, the books add up, and sent again all are in the log, each after what it knew and with what its
//! writer had seen.
use super::{
    super::common::{Client, HANGS, Server, copy, copy_of_example, demand_strace, say, signal, verify_full},
    sweep::{at_every_second_write, current, killer},
};
use serde_json::{Value, json};
use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// The events, each of which knew those before it, in the order in which they are sent; between the two parts the first has
/// waited too long.
const SENT: [&[u64]; 2] = [&[3, 4], &[2, 1]];

/// Kills a server at one write after the other.
pub(crate) fn sweep() {
    demand_strace();
    let folder = tempfile::tempdir().unwrap();
    let (project, before) = (folder.path().join("project"), folder.path().join("before"));
    copy_of_example("shop", &project, "[causal]\ntimeout_seconds = 0.1");
    // Started again it is patient: what waited when it was killed is seen to wait, however long a busy machine takes.
    let patient = folder.path().join("patient");
    copy_of_example("shop", &patient, "");
    let mut server = Server::start(&project, &before);
    server.client().get("/v1/accounting").ok(200);
    server.terminate();
    assert!(server.wait().success());
    // How often something waited, was set aside, or was in the log when the server was killed.
    let found = [(); 3].map(|()| AtomicUsize::new(0));
    let kills = at_every_second_write(|write| {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        copy(&before, &data);
        let Some(acknowledged) = killed_at(write, &project, &data) else { return false };
        let server = Server::start(&patient, &data);
        let client = server.client();
        let total = balanced(&client);
        let number = |name: &str| usize::try_from(total[name].as_i64().unwrap()).unwrap();
        let places = ["waiting", "quarantined", "admitted"].map(number);
        assert!(places.iter().sum::<usize>() >= acknowledged, "write {write}: {acknowledged} acknowledged, {total}");
        for (found, now) in found.iter().zip(places) {
            found.fetch_add(now.min(1), Ordering::Relaxed);
        }
        for number in SENT.concat() {
            client.publish(&[event(number)]).ok(202);
        }
        until(&client, "in the log", || Ok(client.log().len() == 4)).unwrap();
        let log = client.log();
        let ids: Vec<_> = log.iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["e-1", "e-2", "e-3", "e-4"], "write {write}");
        assert!(log.is_sorted_by(|a, b| stamp(a) < stamp(b)), "write {write}: {log:?}");
        assert!(log.iter().all(|event| event["delivery"] == "causal"), "write {write}: {log:?}");
        // The first was sent without a token.
        for number in SENT.concat().into_iter().take(acknowledged).skip(1) {
            let saw = &log.iter().find(|event| event["id"] == format!("e-{number}")).unwrap()["saw"];
            assert!(saw["position"] == 0 && saw["request"].is_string(), "write {write}: event {number} saw {saw}");
        }
        let total = balanced(&client);
        assert_eq!((&total["admitted"], &total["waiting"], &total["quarantined"]), (&json!(4), &json!(0), &json!(0)));
        current(&client).unwrap();
        verify_full(&client);
        true
    });
    let found = found.map(AtomicUsize::into_inner);
    say(&format!(
        "kill points: {kills} kills at writes of events that wait, are overdue and go on; they were so {found:?} times"
    ));
    assert!(kills >= 10 && found.iter().all(|times| *times > 0), "{kills} kills: {found:?}");
}

fn balanced(client: &Client) -> Value {
    let books = client.get("/v1/accounting?recount=true").ok(200);
    assert_eq!(books["balanced"], true, "{books}");
    books["total"].clone()
}

fn stamp(event: &Value) -> (u64, u64) {
    let (millis, counter) = event["hlc"].as_str().unwrap().split_once('.').unwrap();
    (millis.parse().unwrap(), counter.parse().unwrap())
}

/// Waits until it is so; in words where the server dies meanwhile.
fn until(client: &Client, what: &str, is: impl Fn() -> Result<bool, String>) -> Result<(), String> {
    let asked = Instant::now();
    while !is()? {
        assert!(asked.elapsed() < HANGS, "not {what}: {}", client.try_get("/v1/causal")?.text);
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Sends everything to a server that is killed at this write. How many events were acknowledged; nothing where it lived.
fn killed_at(write: u64, project: &Path, data: &Path) -> Option<usize> {
    let mut server = Server::spawn_under(&killer(write, data, &["log.db-wal"]), project, data);
    let mut acknowledged = 0;
    if let Some(client) = server.wait_addr_or_end().map(Client::new)
        && send_all(&client, &mut acknowledged).is_ok()
    {
        return None;
    }
    let ended = server.wait();
    assert_eq!(signal(ended), Some(9), "{ended}:\n{}", server.log().join("\n"));
    Some(acknowledged)
}

fn send_all(client: &Client, acknowledged: &mut usize) -> Result<(), String> {
    let mut token = String::new();
    for part in SENT {
        for number in part {
            let answer = client.try_publish_after(&event(*number), &token)?.ok(202);
            token = answer["token"].as_str().unwrap().to_owned();
            *acknowledged += 1;
        }
        let nobody = || Ok(client.try_get("/v1/causal")?.ok(200)["waiting"] == json!([]));
        until(client, "passed or set aside", nobody)?;
    }
    let all = || Ok(client.try_get("/v1/log")?.ok(200)["events"].as_array().is_some_and(|events| events.len() == 4));
    until(client, "in the log", all)
}

fn event(number: u64) -> String {
    json!({
        "specversion": "1.0", "source": "shop.orders", "id": format!("e-{number}"), "type": "OrderPlaced",
        "time": "2026-03-02T09:30:00Z", "vclock": format!("shop.orders={number}"),
        "data": {
            "order_id": format!("o-{}", number % 2), "customer_ref": "c-1", "total_amount": "1.00", "currency_code": "EUR",
            "line_items": [{"sku": "P-1", "quantity": 1, "unit_price": "1.00"}],
        },
    })
    .to_string()
}
