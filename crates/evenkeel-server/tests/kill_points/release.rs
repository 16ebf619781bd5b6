//! A kill in the middle of a release: the entry that others waited behind is given up, and they are let in. Afterwards
//! either nothing of it has happened, or all of it.
use super::{
    super::common::{Client, Server, copy, copy_of_example, demand_strace, say, signal, verify_full},
    sweep::{current, killer},
};
use serde_json::Value;
use std::path::Path;

/// How many events wait behind the first.
const HELD: usize = 30;

/// Kills a server at one write of a release after the other.
pub(crate) fn sweep() {
    demand_strace();
    let folder = tempfile::tempdir().unwrap();
    let (project, before) = (folder.path().join("project"), folder.path().join("before"));
    copy_of_example("shop", &project, "");
    let mut server = Server::start(&project, &before);
    let answer = server.client().publish(&(0..=HELD).map(order).collect::<Vec<_>>()).ok(202);
    assert!(answer["results"].as_array().unwrap().iter().all(|result| result["outcome"] == "quarantined"), "{answer}");
    server.terminate();
    assert!(server.wait().success());

    // By whether the release had begun.
    let (mut undone, mut done) = (0, 0);
    for write in 1.. {
        let data = folder.path().join(write.to_string());
        copy(&before, &data);
        if !is_killed(write, &project, &data) {
            break;
        }
        let server = Server::start(&project, &data);
        let client = server.client();
        let state = |value: &Value| value["state"].as_str().unwrap().to_owned();
        let states: Vec<String> = client.quarantine().iter().map(state).collect();
        let log: Vec<Value> = client.log().iter().map(|event| event["id"].clone()).collect();
        let (first, others) = states.split_first().unwrap();
        if first == "quarantined" {
            undone += 1;
            assert!(others.iter().all(|state| state == "held") && log.is_empty(), "write {write}: {states:?}, {log:?}");
        } else {
            done += 1;
            assert!(
                first == "discarded" && others.iter().all(|state| state == "admitted"),
                "write {write}: {states:?}"
            );
            assert_eq!(log, (1..=HELD).map(|number| number.to_string()).collect::<Vec<_>>(), "write {write}");
        }
        current(&client).unwrap();
        let customers = client.rows("customers", "level=strong");
        assert_eq!(customers.iter().map(|row| row["orders"].as_u64().unwrap()).sum::<u64>(), log.len() as u64);
        verify_full(&client);
    }
    say(&format!("kill points: {} kills at writes of a release, {done} of them when it had begun", undone + done));
    assert!(undone > 0 && done > 0);
}

/// Gives up the first entry, at a server that is killed at this write. Whether it was.
fn is_killed(write: u64, project: &Path, data: &Path) -> bool {
    let mut server = Server::spawn_under(&killer(write, data, &["log.db-wal"]), project, data);
    let discard =
        |client: Client| client.try_post("/v1/quarantine/q-1/discard", "application/json", br#"{"author":"a"}"#);
    if let Some(Ok(answer)) = server.wait_addr_or_end().map(|addr| discard(Client::new(addr))) {
        assert_eq!(answer.ok(200)["released"], HELD);
        return false;
    }
    let ended = server.wait();
    assert_eq!(signal(ended), Some(9), "{ended}:\n{}", server.log().join("\n"));
    true
}

/// One and the same order again and again. The first is for nothing, and refused.
fn order(number: usize) -> String {
    format!(
        r#"{{"specversion":"1.0","source":"shop.orders","id":"{number}","type":"OrderPlaced","time":"2026-03-02T09:30:00Z","data":{{"order_id":"o-1","customer_ref":"c-1","line_items":[{{"sku":"P-1","quantity":1,"unit_price":"1.00"}}],"total_amount":"{number}.00","currency_code":"EUR"}}}}"#
    )
}
