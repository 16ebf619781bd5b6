//! Acknowledged means on disk, also through a power cut: in what the running server asks of the operating system, the
//! sync of the log comes before the answer. A killed process could not show that: what it wrote, the system keeps.
//!
//! Needs `strace`. That the check finds what it is for is shown with `synchronous = "normal"`, where the sync is missing.
#[cfg(test)]
mod common;

#[cfg(test)]
mod durability {
    mod trace;

    use super::common::{Client, Server, copy_of_example, demand_strace};
    use std::{ffi::OsStr, fs, path::Path};
    use trace::{Step, steps, too_early};

    /// Requests of one run, each waited for.
    const REQUESTS: usize = 24;

    /// The calls that write, sync and answer.
    const CALLS: &str = "trace=fdatasync,fsync,pwrite64,pwritev,write,writev,sendto,sendmsg";

    #[test]
    fn every_acknowledgement_comes_after_the_sync_of_what_it_acknowledges() {
        let steps = traced("");
        let syncs = steps.iter().filter(|step| **step == Step::SyncEnds).count();
        assert!(syncs >= REQUESTS, "{syncs} syncs for {REQUESTS} acknowledgements");
        assert_eq!(too_early(&steps), Vec::<usize>::new(), "acknowledged before the sync: {steps:?}");
    }

    #[test]
    fn without_the_sync_the_check_fails() {
        let steps = traced("[store]\nsynchronous = \"normal\"\n");
        assert_eq!(too_early(&steps), (0..REQUESTS).collect::<Vec<_>>(), "a sync nobody asked for: {steps:?}");
    }

    #[test]
    fn the_check_tells_early_from_late() {
        let sync = "2 fdatasync(11</d/log.db-wal>) = 0\n";
        let write = "2 pwrite64(11</d/log.db-wal>, \"x\"..., 4096, 32) = 4096\n";
        let answer = "3 writev(9<socket:[1]>, [{iov_base=\"HTTP/1.1 202 Ac\"..., iov_len=9}], 1) = 9\n";
        let early = |lines: &[&str]| -> Vec<usize> { too_early(&steps(&lines.concat())) };
        assert_eq!(early(&[write, sync, answer, write, write, sync, answer]), [0; 0]);
        assert_eq!(early(&[write, answer, sync]), [0]);
        assert_eq!(early(&[write, sync, write, answer]), [0]);
        assert_eq!(early(&[write, sync, answer, answer]), [1]);
        assert_eq!(early(&[write, sync, answer, sync, answer]), [1]);
        // Of another file, and one that failed.
        assert_eq!(early(&[write, "2 fdatasync(12</d/models.db-wal>) = 0\n", answer]), [0]);
        assert_eq!(early(&[write, "2 fdatasync(11</d/log.db-wal>) = -1 EIO (Input/output error)\n", answer]), [0]);
        // One that is under way when the answer leaves, and one that began before the write had ended.
        let begins = "2 fdatasync(11</d/log.db-wal> <unfinished ...>\n";
        let ends = "2 <... fdatasync resumed>)              = 0\n";
        assert_eq!(early(&[write, begins, answer, ends]), [0]);
        assert_eq!(early(&[write, begins, ends, answer]), [0; 0]);
        let slow =
            ["4 pwrite64(11</d/log.db-wal>, \"x\"... <unfinished ...>\n", "4 <... pwrite64 resumed>, 8, 0) = 8\n"];
        assert_eq!(early(&[slow[0], begins, slow[1], ends, answer]), [0]);
    }

    /// The steps of a server with these settings that took events one by one, in batches, and into quarantine.
    fn traced(settings: &str) -> Vec<Step> {
        demand_strace();
        let folder = tempfile::tempdir().unwrap();
        let (project, trace) = (folder.path().join("project"), folder.path().join("trace"));
        copy_of_example("shop", &project, settings);
        let steps = {
            let trace = trace.as_os_str();
            // -D: the server is this process's own child, so that it can be told to stop.
            let strace = ["strace", "-D", "-f", "-y", "-s", "32", "-e", CALLS, "-o"].map(OsStr::new);
            let mut server =
                Server::spawn_under(&[&strace[..], &[trace]].concat(), &project, &folder.path().join("data"));
            publish(&server.wait_ready());
            server.terminate();
            assert!(server.wait().success());
            read(Path::new(trace))
        };
        let acknowledged = steps.iter().filter(|step| **step == Step::Acknowledged).count();
        assert_eq!(acknowledged, REQUESTS, "the trace misses answers");
        steps
    }

    fn read(trace: &Path) -> Vec<Step> {
        steps(&String::from_utf8_lossy(&fs::read(trace).unwrap()))
    }

    /// Sends requests one after the other, each with events that are new.
    fn publish(client: &Client) {
        for request in 0..REQUESTS {
            let size = [1, 1, 30][request % 3];
            // One in eight is refused, and what is in quarantine is as durable as what is in the log.
            let quantity = if request % 8 == 1 { 0 } else { 5 };
            let event = |number: usize| {
                format!(
                    r#"{{"specversion":"1.0","source":"warehouse.stock","id":"{request}-{number}","type":"StockReceived","data":{{"item":"MUG-01","site":"north","qty":{quantity},"delivery":"d"}}}}"#
                )
            };
            let answer = client.publish(&(0..size).map(event).collect::<Vec<_>>()).ok(202);
            let expected = if quantity == 0 { "quarantined" } else { "admitted" };
            assert!(
                answer["results"].as_array().unwrap().iter().all(|result| result["outcome"] == expected),
                "{answer}"
            );
        }
    }
}
