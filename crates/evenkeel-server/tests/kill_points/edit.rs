//! A kill while an event in quarantine is edited, edited again and sent through. Afterwards the edits that were acknowledged
//! are there, each whole, and exactly one of the original and what was made of it is in the log, or neither.
use super::{
    super::common::{Answer, Client, Server, copy, copy_of_example, demand_strace, say, signal, verify_full},
    sweep::{current, killer},
};
use serde_json::{Value, json};
use std::path::Path;

/// What the order is edited to, one after the other; the last of them in one with a redrive.
const TOTALS: [&str; 3] = ["-1.00", "7.00", "9.00"];

/// Kills a server at one write after the other while an order of nothing is corrected.
pub(crate) fn sweep() {
    demand_strace();
    let folder = tempfile::tempdir().unwrap();
    let (project, before) = (folder.path().join("project"), folder.path().join("before"));
    copy_of_example("shop", &project, "");
    let mut server = Server::start(&project, &before);
    server.client().publish(&[order(1), order(2)]).ok(202);
    server.terminate();
    assert!(server.wait().success());

    // By how many edits there were.
    let mut found = [0; TOTALS.len() + 1];
    for write in 1.. {
        let data = folder.path().join(write.to_string());
        copy(&before, &data);
        let Some(acknowledged) = killed_at(write, &project, &data) else { break };
        let server = Server::start(&project, &data);
        let client = server.client();
        let entry = client.get("/v1/quarantine/q-1").ok(200);
        let edits = entry["edits"].as_array().unwrap();
        assert!((acknowledged..=acknowledged + 1).contains(&edits.len()), "write {write}: {acknowledged} of {entry}");
        for (edit, total) in edits.iter().zip(TOTALS) {
            assert_eq!(edit["patch"][0]["value"], total, "write {write}: {entry}");
        }
        assert_eq!(entry["version"], 1 + edits.len(), "write {write}: {entry}");
        let let_in = edits.len() == TOTALS.len();
        assert_eq!(entry["state"], if let_in { "admitted" } else { "quarantined" }, "write {write}: {entry}");
        let totals: Vec<Value> = client.log().iter().map(|event| event["data"]["total"]["amount"].clone()).collect();
        assert_eq!(totals, if let_in { vec![json!("9.00")] } else { vec![] }, "write {write}: {entry}");
        found[edits.len()] += 1;
        // Sent again, the original is what it was; corrected once more, it gets in once.
        client.publish(&[order(1)]).ok(202);
        if !let_in {
            assert_eq!(
                try_correct(&client, "q-1", "8.00", "redrive").unwrap().ok(200)["state"],
                "admitted",
                "write {write}"
            );
        }
        assert_eq!(try_correct(&client, "q-1", "6.00", "redrive").unwrap().status, 409, "write {write}");
        assert_eq!(client.log().len(), 1, "write {write}");
        current(&client).unwrap();
        verify_full(&client);
    }
    say(&format!("kill points: {found:?} kills at writes of edits, by how many of them were kept"));
    assert!(found.iter().all(|kills| *kills > 0), "{found:?}");
}

fn try_correct(client: &Client, id: &str, total: &str, verb: &str) -> Result<Answer, String> {
    let edit = json!([{"op": "replace", "path": "/data/total_amount", "value": total}]);
    let word = json!({"author": "a", "edit": edit}).to_string();
    client.try_post(&format!("/v1/quarantine/{id}/{verb}"), "application/json", word.as_bytes())
}

/// Corrects the order at a server that is killed at this write. How many edits were acknowledged; nothing where it lived.
fn killed_at(write: u64, project: &Path, data: &Path) -> Option<usize> {
    let mut server = Server::spawn_under(&killer(write, data, &["log.db-wal"]), project, data);
    let mut acknowledged = 0;
    if let Some(client) = server.wait_addr_or_end().map(Client::new) {
        for (number, total) in (1..).zip(TOTALS) {
            let verb = if number < TOTALS.len() { "edit" } else { "redrive" };
            match try_correct(&client, "q-1", total, verb) {
                Ok(answer) => drop(answer.ok(200)),
                Err(_) => break,
            }
            acknowledged = number;
        }
        // More writes, of something else: what was let in stays in also where one of those is the last. They are many
        // because writes are counted for each thread by itself, and requests may be in different ones.
        if acknowledged == TOTALS.len() && (0..8).all(|_| try_correct(&client, "q-2", "1.00", "edit").is_ok()) {
            return None;
        }
    }
    let ended = server.wait();
    assert_eq!(signal(ended), Some(9), "{ended}:\n{}", server.log().join("\n"));
    Some(acknowledged)
}

/// An order for nothing, which is refused.
fn order(number: usize) -> String {
    format!(
        r#"{{"specversion":"1.0","source":"shop.orders","id":"{number}","type":"OrderPlaced","time":"2026-03-02T09:30:00Z","data":{{"order_id":"o-{number}","customer_ref":"c-1","line_items":[{{"sku":"P-1","quantity":1,"unit_price":"1.00"}}],"total_amount":"0.00","currency_code":"EUR"}}}}"#
    )
}
