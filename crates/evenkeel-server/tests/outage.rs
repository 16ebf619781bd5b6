//! What is in the server's way is said clearly, loses nothing that was acknowledged, and is over when it is over: another
//! process on its data, data of a newer version, a locked or full disk, the order to stop.
#[cfg(test)]
mod common;

#[cfg(test)]
mod outage {
    mod disk;

    use super::common::{Client, HANGS, Held, Server, copy_of_example, sqlite, verify_full};
    use disk::Disk;
    use serde_json::Value;
    use std::{
        collections::BTreeMap,
        fs,
        io::{Read as _, Write as _},
        net::TcpStream,
        path::PathBuf,
        thread,
        time::{Duration, Instant},
    };

    /// A project of the shop with settings of its own, and a place for its data.
    struct Place {
        folder: tempfile::TempDir,
    }

    impl Place {
        fn new(settings: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            copy_of_example("shop", &folder.path().join("project"), settings);
            Self { folder }
        }

        fn project(&self) -> PathBuf {
            self.folder.path().join("project")
        }

        fn data(&self) -> PathBuf {
            self.folder.path().join("data")
        }

        fn start(&self) -> Server {
            Server::start(&self.project(), &self.data())
        }

        /// Serving it ends at once, with code 3: what is said.
        fn refused(&self) -> String {
            let mut server = Server::spawn(&self.project(), &self.data());
            assert_eq!(server.wait_addr_or_end(), None, "it serves");
            let (ended, said) = (server.wait(), server.log().join("\n"));
            assert_eq!(ended.code(), Some(3), "{said}");
            said
        }
    }

    /// A delivery of five to the warehouse: one event of its own for each number.
    fn delivery(number: u64) -> String {
        format!(
            r#"{{"specversion":"1.0","source":"warehouse.stock","id":"d-{number}","type":"StockReceived","data":{{"item":"MUG-01","site":"north","qty":5,"delivery":"d"}}}}"#
        )
    }

    fn deliveries(numbers: std::ops::Range<u64>) -> Vec<String> {
        numbers.map(delivery).collect()
    }

    /// Publishes deliveries that are new.
    #[track_caller]
    fn admitted(client: &Client, numbers: std::ops::Range<u64>) {
        let answer = client.publish(&deliveries(numbers)).ok(202);
        assert!(answer["results"].as_array().unwrap().iter().all(|result| result["outcome"] == "admitted"), "{answer}");
    }

    /// What lies in the warehouse, with everything that was acknowledged.
    #[track_caller]
    fn on_hand(client: &Client) -> Value {
        let path = "/v1/models/inventory/rows/MUG-01/north?level=strong&budget_ms=60000";
        client.get(path).ok(200)["data"]["on_hand"].take()
    }

    /// Asks until it is so.
    #[track_caller]
    fn eventually(what: &str, is: impl Fn() -> bool) {
        let asked = Instant::now();
        while !is() {
            assert!(asked.elapsed() < HANGS, "not in all that time: {what}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn in_sync(client: &Client) -> bool {
        let drift = client.get("/v1/drift");
        let models = drift.json();
        // Some lag is within the thresholds.
        let is_current = |model: &serde_json::Value| model["status"] == "in_sync" && model["lag_count"] == 0;
        let all = models["models"].as_array().map(|models| models.iter().all(is_current));
        drift.status == 200 && all == Some(true)
    }

    #[test]
    fn a_second_process_on_the_same_data_is_refused() {
        let place = Place::new("");
        let mut first = place.start();
        let client = first.client();
        admitted(&client, 0..3);
        let said = place.refused();
        assert!(said.contains("another process has this data folder open"), "{said}");
        assert!(said.contains(place.data().to_str().unwrap()), "{said}");
        // The first one did not notice.
        admitted(&client, 3..6);
        assert_eq!(on_hand(&client), 30);
        // Its lock goes with it, however it goes.
        first.kill();
        assert_eq!(on_hand(&place.start().client()), 30);
    }

    #[test]
    fn data_of_a_newer_version_is_refused_and_not_touched() {
        for file in ["log.db", "models.db"] {
            let place = Place::new("");
            let mut server = place.start();
            admitted(&server.client(), 0..3);
            server.terminate();
            assert!(server.wait().success());
            let path = place.data().join(file);
            sqlite(&path, "PRAGMA user_version = 99");
            let before = fs::read(&path).unwrap();
            let said = place.refused();
            assert!(said.contains(file) && said.contains("99") && said.contains("newer"), "{said}");
            assert!(before == fs::read(&path).unwrap(), "{file} was changed");
            // And it is said again, not only once.
            assert_eq!(place.refused(), said);
        }
    }

    #[test]
    fn who_waits_has_an_answer_before_the_server_stops() {
        const READERS: usize = 20;
        let place = Place::new("");
        let mut server = place.start();
        let client = server.client();
        client.post("/v1/models/inventory/projector/stop", &serde_json::json!({})).ok(200);
        admitted(&client, 0..1);
        // Each with a budget of its own, so that none shares the first look of another and all are counted.
        let waiting = || {
            let metrics = client.get("/metrics").text;
            let looked = metrics.lines().find(|line| line.starts_with("evenkeel_shared_attempts_total{of=\"rows\"}"));
            looked.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
        };
        let answers: Vec<_> = thread::scope(|scope| {
            let read = |reader: usize| {
                let client = server.client();
                let path = format!("/v1/models/inventory/rows?level=strong&budget_ms={}", 50_000 + reader);
                scope.spawn(move || client.try_get(&path))
            };
            let readers: Vec<_> = (0..READERS).map(read).collect();
            eventually("all of them wait", || waiting() >= READERS);
            server.terminate();
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        for answer in answers {
            let problem = answer.unwrap().unavailable();
            assert_eq!(problem["type"], "/problems/not-met", "{problem}");
        }
        assert!(server.wait().success());
        assert!(!server.log().iter().any(|line| line.contains("still under way")), "{:?}", server.log());
    }

    #[test]
    fn a_stop_is_in_time_and_loses_nothing() {
        let place = Place::new("[limits]\nshutdown_seconds = 4\nheader_timeout_ms = 600000\n");
        let mut server = place.start();
        let addr = server.wait_addr();
        // One client says nothing any more, and one never ends what it says: its body would be waited for half a minute.
        let mut idle = TcpStream::connect(addr).unwrap();
        idle.write_all(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut stuck = TcpStream::connect(addr).unwrap();
        let head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cloudevents+json\r\nContent-Length: 100\r\n\r\n{";
        stuck.write_all(head.as_bytes()).unwrap();
        let told = thread::scope(|scope| {
            let server = &server;
            let senders = [0, 1, 2].map(|sender| scope.spawn(move || publish_until_it_ends(&server.client(), sender)));
            let client = server.client();
            eventually("the senders are at work", || {
                !client.get("/v1/log?after=200&limit=1").ok(200)["events"].as_array().unwrap().is_empty()
            });
            server.terminate();
            senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect::<BTreeMap<_, _>>()
        });
        let ended = server.wait();
        assert!(ended.success(), "{ended}");
        assert!(server.log().iter().any(|line| line.contains("\"message\":\"stopped\"")));
        let mut answer = Vec::new();
        for stream in [&mut idle, &mut stuck] {
            stream.set_read_timeout(Some(HANGS)).unwrap();
        }
        // Cut off, and not answered that its body took too long.
        let _ = stuck.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));

        let server = place.start();
        let client = server.client();
        let log = client.log();
        for (id, position) in &told {
            let event = usize::try_from(*position).ok().and_then(|position| log.get(position - 1));
            assert_eq!(event.map(|event| &event["id"]), Some(&Value::from(id.as_str())), "{position}");
        }
        assert_eq!(on_hand(&client), 5 * log.len());
        verify_full(&client);
    }

    /// Publishes until the server takes no more; what was acknowledged at which position.
    fn publish_until_it_ends(client: &Client, sender: u64) -> BTreeMap<String, u64> {
        let mut told = BTreeMap::new();
        for request in 0.. {
            let first = sender * 1_000_000 + request * 10;
            let Ok(answer) = client.try_publish(&deliveries(first..first + 1 + request % 9)) else { break };
            if answer.status == 503 {
                assert_eq!(answer.unavailable()["type"], "/problems/stopping");
                break;
            }
            for result in answer.ok(202)["results"].as_array().unwrap() {
                told.insert(result["id"].as_str().unwrap().to_owned(), result["position"].as_u64().unwrap());
            }
        }
        assert!(!told.is_empty());
        told
    }

    #[test]
    fn a_locked_log_is_unavailable_until_it_is_free() {
        let place = Place::new("");
        let server = place.start();
        let client = server.client();
        admitted(&client, 0..3);
        let lock = Held::exclusively(&place.data().join("log.db"));
        for events in [deliveries(3..4), deliveries(3..20)] {
            let problem = client.publish(&events).unavailable();
            assert_eq!(problem["type"], "/problems/unavailable");
            assert!(problem["detail"].as_str().unwrap().contains("locked"), "{problem}");
        }
        // Reading does not need what is locked.
        assert_eq!(on_hand(&client), 15);
        drop(lock);
        // Nothing of it was taken; the same server takes it now.
        admitted(&client, 3..20);
        assert_eq!(on_hand(&client), 100);
        assert_eq!(client.log().len(), 20);
        verify_full(&client);
    }

    #[test]
    fn locked_models_hold_nothing_up_but_themselves() {
        let place = Place::new("");
        let server = place.start();
        let client = server.client();
        admitted(&client, 0..3);
        eventually("the models are in sync", || in_sync(&client));
        let lock = Held::exclusively(&place.data().join("models.db"));
        admitted(&client, 3..20);
        // What is in the table is old, and says so; a strong read takes the rest from the log.
        let row = client.get("/v1/models/inventory/rows/MUG-01/north").ok(200);
        assert_eq!((&row["data"]["on_hand"], &row["consistency"]["lag_count"]), (&15.into(), &17.into()), "{row}");
        assert_eq!(row["consistency"]["data_stale"], true, "{row}");
        assert_eq!(on_hand(&client), 100);
        drop(lock);
        eventually("the models are in sync", || in_sync(&client));
        let row = client.get("/v1/models/inventory/rows/MUG-01/north").ok(200);
        assert_eq!((&row["data"]["on_hand"], &row["consistency"]["data_stale"]), (&100.into(), &false.into()), "{row}");
        verify_full(&client);
    }

    #[test]
    fn a_full_disk_is_unavailable_until_there_is_space() {
        let place = Place::new("");
        let Some(disk) = Disk::mount(&place.data(), "24m") else { return };
        let server = Server::start(&place.project(), &disk.path.join("data"));
        let client = server.client();
        admitted(&client, 0..100);
        disk.fill();
        // Some may still fit into what the files have already.
        let taken = fill_the_log(&client, 100);
        for events in [deliveries(taken..taken + 1), deliveries(taken..taken + 500)] {
            let problem = client.publish(&events).unavailable();
            assert_eq!(problem["type"], "/problems/unavailable");
        }
        assert_eq!(client.log().len() as u64, taken);
        disk.free();
        // Nothing of what was refused was taken; the same server takes it now.
        admitted(&client, taken..taken + 500);
        assert_eq!(client.log().len() as u64, taken + 500);
        eventually("the models are in sync", || in_sync(&client));
        assert_eq!(on_hand(&client), 5 * (taken + 500));
        verify_full(&client);
        drop(server);
        // Nor is anything lost when it is opened again.
        let server = Server::start(&place.project(), &disk.path.join("data"));
        assert_eq!(server.client().log().len() as u64, taken + 500);
        assert_eq!(on_hand(&server.client()), 5 * (taken + 500));
    }

    /// Publishes until there is no space; the first number that was not taken.
    fn fill_the_log(client: &Client, mut number: u64) -> u64 {
        loop {
            let answer = client.publish(&deliveries(number..number + 50));
            if answer.status == 503 {
                let problem = answer.unavailable();
                assert!(problem["detail"].as_str().unwrap().contains("space"), "{problem}");
                return number;
            }
            answer.ok(202);
            number += 50;
            assert!(number < 1_000_000, "the disk does not fill");
        }
    }
}
