//! A kill in the middle of a rebuild that begins from a snapshot: afterwards the old table is there or the new one, and the
//! snapshots that were sound still are.
use super::{
    super::common::{Client, Server, copy, copy_of_example, demand_strace, say, signal, sqlite, verify_full},
    repair::{UNTOUCHED, orders},
    sweep::{at_every_second_write, current, killer, publish_thirds},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// What the newest of the two snapshots is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Newest {
    Sound,
    /// Its end is another than was written: a rebuild that begins from it comes upon that last.
    Damaged,
}

/// A data folder whose orders are all wrong, so that the old table is told from the new one, with two snapshots.
struct FromSnapshot {
    newest: Newest,
    project: PathBuf,
    before: PathBuf,
    old: Vec<Value>,
    new: Vec<Value>,
    /// The positions of the snapshots: the older, the newest.
    snapshots: [u64; 2],
}

/// Kills a server at one write of a rebuild after the other.
pub(crate) fn sweep(newest: Newest) {
    demand_strace();
    let folder = tempfile::tempdir().unwrap();
    let (project, before) = (folder.path().join("project"), folder.path().join("before"));
    copy_of_example("shop", &project, UNTOUCHED);
    let mut server = Server::start(&project, &before);
    let client = server.client();
    let snapshots = [0, 1].map(|third| {
        publish_thirds(&client, third..third + 1);
        current(&client).unwrap();
        client.post("/v1/models/orders/snapshots", &json!({})).ok(201)["position"].as_u64().unwrap()
    });
    publish_thirds(&client, 2..3);
    current(&client).unwrap();
    let new = orders(&client);
    server.terminate();
    assert!(server.wait().success());
    if newest == Newest::Damaged {
        damage(&before.join(format!("snapshots/orders/{}.snap", snapshots[1])));
    }
    sqlite(&before.join("models.db"), "UPDATE orders SET status = 'mine'");
    let old = new.iter().map(|row| {
        let mut row = row.clone();
        row["status"] = "mine".into();
        row
    });
    let old: Vec<Value> = old.collect();
    let sweep = FromSnapshot { newest, project, before, old, new, snapshots };
    let replaced = AtomicU64::new(0);
    let killed = at_every_second_write(|write| sweep.kill_at(write, &replaced));
    let replaced = replaced.into_inner();
    say(&format!(
        "kill points: {killed} kills at writes of a rebuild from a snapshot ({newest:?}), {replaced} of them when the new \
         table was there"
    ));
    assert!(0 < replaced && replaced < killed, "{replaced} of {killed}");
}

/// Changes a bit near the end of a file.
fn damage(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.len() - 5;
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

impl FromSnapshot {
    /// Has the orders rebuilt by a server that is killed at this write, and looks at what is there afterwards. Whether it
    /// was killed.
    fn kill_at(&self, write: u64, replaced: &AtomicU64) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        copy(&self.before, &data);
        let mut server = Server::spawn_under(&killer(write, &data, &["models.db-wal"]), &self.project, &data);
        let body = json!({"method": "rebuild"}).to_string();
        let rebuild =
            |client: Client| client.try_post("/v1/models/orders/reconcile", "application/json", body.as_bytes());
        if let Some(Ok(answer)) = server.wait_addr_or_end().map(|addr| rebuild(Client::new(addr))) {
            self.judge(&answer.ok(200), write);
            return false;
        }
        let ended = server.wait();
        assert_eq!(signal(ended), Some(9), "{ended}:\n{}", server.log().join("\n"));

        let server = Server::start(&self.project, &data);
        let client = server.client();
        let rows = orders(&client);
        let is_new = rows == self.new;
        assert!(is_new || rows == self.old, "write {write}: neither the old table nor the new one: {rows:?}");
        if is_new {
            replaced.fetch_add(1, Ordering::Relaxed);
            verify_full(&client);
        }
        let record = client.post("/v1/models/orders/reconcile", &json!({"method": "rebuild"})).ok(200);
        self.judge(&record, write);
        let left = client.get("/v1/models/orders/snapshots").ok(200);
        let positions: Vec<_> = left["snapshots"].as_array().unwrap().iter().map(|kept| &kept["position"]).collect();
        let [older, newest] = self.snapshots;
        let expected = if self.newest == Newest::Sound { vec![newest, older] } else { vec![older] };
        assert_eq!(positions, expected, "write {write}: {left}");
        assert_eq!(orders(&client), self.new, "write {write}");
        current(&client).unwrap();
        verify_full(&client);
        true
    }

    /// Looks whether a rebuild began from the newest sound snapshot and came to its end.
    fn judge(&self, record: &Value, write: u64) {
        let from = self.snapshots[usize::from(self.newest == Newest::Sound)];
        assert_eq!(
            (&record["result"], &record["verified"], &record["rebuilt_from"]),
            (&json!("converged"), &json!(true), &json!(from)),
            "write {write}: {record}"
        );
    }
}
