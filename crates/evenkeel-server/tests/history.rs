//! What many clients are told and shown at once is true of one log, and is as fresh as was promised, while projectors
//! stop, start and rebuild and the server is killed, in whatever way they read: their history is recorded, and `evenkeel check-history` finds nothing
//! in it. What is then put into it, it finds.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]
#[cfg(test)]
mod common;

#[cfg(test)]
mod history {
    mod clients;
    #[path = "../crash/door.rs"]
    #[allow(dead_code, reason = "who is under way is of no interest here")]
    mod door;
    mod project;
    mod recorder;
    mod seeded;
    mod ways;

    use super::common::{Random, Server, evenkeel, say};
    use clients::{KEYS, Session, World, operate, start_all};
    use serde_json::Value;
    use std::{fs, path::Path, process::Stdio, thread, time::Duration};
    use ways::WAYS;

    /// Sessions at the same time.
    const SESSIONS: usize = 12;

    /// How long each of the two lives of the server is.
    const LIFE: Duration = Duration::from_secs(6);

    #[test]
    fn a_load_with_failures_keeps_every_guarantee() {
        let folder = tempfile::tempdir().unwrap();
        let (project, data) = (folder.path().join("project"), folder.path().join("data"));
        project::write(&project);
        let (world, mut random) = (World::default(), Random::new(Random::seed(1)));
        let (door, mut server) = (&world.door, Server::spawn(&project, &data));
        let operated = thread::scope(|scope| {
            let _alarm = door::Alarm(door);
            for session in 0..SESSIONS {
                let session = Session::new(&world, format!("s{session}"), Random::new(random.next()));
                scope.spawn(move || session.run());
            }
            let operator = Random::new(random.next());
            let operator = scope.spawn(|| operate(&world, operator));
            door.open(server.wait_ready_addr());
            thread::sleep(LIFE);
            server.kill();
            door.close();
            server = Server::spawn(&project, &data);
            door.open(server.wait_ready_addr());
            thread::sleep(LIFE);
            door.finish();
            operator.join().unwrap()
        });
        let client = server.client();
        start_all(&client);
        // Every row is as the log makes it at the end, too.
        let mut last = Session::new(&world, "last".into(), random);
        for (model, key) in project::MODELS.into_iter().flat_map(|model| (0..KEYS).map(move |key| (model, key))) {
            for way in WAYS {
                assert!(last.read(way, model, "strong", &format!("k{key}"), 30_000), "{way:?}: {model} k{key}");
            }
        }
        drop(last);
        let log = client.log();
        let (wholes, answered) = world.shown();
        say(&format!("history: answers by the way of asking {answered:?}, {} of all rows of a model", wholes.len()));
        assert!(answered.len() == WAYS.len() && answered.values().all(|count| *count > 50) && wholes.len() > 100);
        // Rows of one answer are of one moment, the one it says.
        assert_eq!(ways::first_wrong(wholes, &log), None);
        world.recorder.log(&log);
        let lines = world.recorder.take();
        let (code, report) = check(&folder.path().join("history.ndjson"), &lines);
        if code != 0 {
            // To be looked at: it cannot be had again.
            let kept = folder.keep().join("history.ndjson");
            panic!("{}: {report:#}", kept.display());
        }
        assert_eq!(report["holds"], true);
        worth_checking(&lines, &report, &operated);
        for kind in seeded::KINDS {
            let (code, report) = check(&folder.path().join("seeded.ndjson"), &seeded::seed(&lines, kind));
            let found = report["violations"][kind].as_u64();
            assert!(code == 1 && found.is_some_and(|count| count > 0), "{kind}: {code}: {report:#}");
        }
    }

    /// Has a history checked by the binary; its exit code and report.
    fn check(path: &Path, lines: &[Value]) -> (i32, Value) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(path, text).unwrap();
        let mut command = evenkeel(&[] as &[&str]);
        let output = command.args(["--json", "check-history"]).arg(path).stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
        (output.status.code().unwrap(), report)
    }

    /// Enough of everything has happened for the check to mean something.
    fn worth_checking(lines: &[Value], report: &Value, operated: &clients::Operated) {
        let count = |fits: &dyn Fn(&Value) -> bool| lines.iter().filter(|line| fits(line)).count();
        let (mut levels, mut open, mut behind, mut head) =
            (std::collections::BTreeMap::new(), std::collections::BTreeMap::new(), 0, 0);
        for line in lines {
            let session = line["session"].as_str().unwrap_or_default();
            match line["type"].as_str() {
                Some("invoke") => drop(open.insert(session, line)),
                Some("ok") => {
                    let position = line["position"].as_u64().unwrap();
                    if let Some(level) = open[session]["level"].as_str() {
                        *levels.entry(level).or_insert(0) += 1;
                        behind += usize::from(position < head);
                    }
                    head = head.max(position);
                }
                _ => {}
            }
        }
        let (unknown, fail) = (count(&|line| line["type"] == "unknown"), count(&|line| line["type"] == "fail"));
        let handed = count(&|line| line["type"] == "invoke" && line["token"].is_string());
        say(&format!(
            "history: {} lines, {} events, answered reads {levels:?}, {behind} of an earlier position than was known, {fail} refused, \
             {unknown} unknown, {handed} tokens handed over; {operated:?}",
            lines.len(),
            report["log_events"],
        ));
        assert!(levels.len() == 4 && levels.values().all(|count| *count > 100), "{levels:?}");
        assert!(behind > 100 && fail > 10 && unknown > 0 && handed > 100);
        assert!(operated.stops > 5 && operated.rebuilds > 2, "{operated:?}");
    }
}
