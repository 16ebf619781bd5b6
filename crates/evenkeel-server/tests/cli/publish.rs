//! `evenkeel publish`: lines good and bad, packed and not, and servers that fail on the way.
use crate::support::Project;
use flate2::{Compression, write::GzEncoder};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread::{self, JoinHandle},
};

fn event(id: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"shop","type":"OrderPlaced","data":{{"order_id":"o-{id}","customer":"c","total":"5.00","currency":"EUR"}}}}"#
    )
}

fn lines(ids: &[&str]) -> String {
    ids.iter().map(|id| event(id) + "\n").collect()
}

#[test]
fn lines_that_cannot_be_read_are_refused_with_their_number_and_the_rest_is_taken() {
    let project = Project::minimal();
    let text = [
        event("1"),
        "{\"broken\": ".into(),
        String::new(),
        r#"{"specversion":"1.0","source":"shop","type":"OrderPlaced"}"#.into(),
        event("2"),
        "[]".into(),
        r#"{"id":"3","source":"shop","type":"OrderPlaced","data":{}}"#.into(),
        event("1"),
    ];
    // A byte order mark is no mistake of line 1.
    fs::write(project.path("events"), format!("\u{FEFF}{}", text.join("\r\n"))).unwrap();
    let direct = project.json(&["publish", "events"]);
    let server = project.serve();
    let served = project.json(&["--url", &server.url, "publish", "events"]);
    for (run, admitted) in [(direct, 2), (served, 0)] {
        assert_eq!(run.code, 1, "{run:?}");
        for said in ["line 2: ", "line 4: ", "line 6: ", " at column 10"] {
            assert!(run.stderr.contains(said), "{said} is not in {}", run.stderr);
        }
        assert!(!run.stderr.contains("line 1"), "{}", run.stderr);
        let count = |name: &str| run.value[name].as_u64().unwrap();
        let (read, refused) = (count("read"), count("refused"));
        assert_eq!((read, refused, count("quarantined"), count("admitted")), (7, 3, 1, admitted), "{run:?}");
        assert_eq!(run.value["reasons"]["malformed"], 1);
        assert_eq!(read, refused + count("admitted") + count("duplicate") + count("waiting") + count("quarantined"));
        assert!(run.value["token"].is_string(), "{run:?}");
        let refusals = run.value["refusals"].as_array().unwrap();
        assert_eq!(refusals.iter().map(|refusal| refusal["line"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 4, 6]);
    }
}

#[test]
fn a_packed_file_and_stdin_are_taken_like_a_plain_file() {
    let project = Project::minimal();
    let ids: Vec<String> = (0..1200).map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(lines(&ids).as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    fs::write(project.path("events.bin"), &packed).unwrap();
    let server = project.serve();
    let first = project.json(&["--url", &server.url, "publish", "events.bin"]);
    assert_eq!(
        (first.code, &first.value["admitted"], &first.value["duplicate"]),
        (0, &1200.into(), &0.into()),
        "{first:?}"
    );
    drop(server);
    for input in [packed, lines(&ids).into_bytes()] {
        let run = project.run_with(&["--json", "publish", "-"], &input);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stdout.contains("\"admitted\":0,\"duplicate\":1200"), "{run:?}");
    }
    // The rows are there before the command ends: it projected by itself.
    assert_eq!(project.json(&["get", "orders", "o-1199"]).code, 0);
    let zstd = project.run_with(&["publish", "-"], &[0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x00]);
    assert!(zstd.code == 2 && zstd.stderr.contains("zstd -dc"), "{zstd:?}");
    let nothing = project.json(&["publish", "/dev/null"]);
    assert_eq!((nothing.code, &nothing.value["read"]), (0, &0.into()));
}

#[test]
fn a_file_is_published_as_by_somebody_who_has_seen_what_a_token_says() {
    let project = Project::minimal();
    for name in ["first", "second", "third"] {
        fs::write(project.path(name), lines(&[&format!("{name} a"), &format!("{name} b")])).unwrap();
    }
    let token = project.json(&["publish", "first"]).value["token"].as_str().unwrap().to_owned();
    assert_eq!(project.json(&["publish", "second", "--batch", "1", "--token", &token]).value["admitted"], 2);
    let (kept, last) = token.split_at(token.len() - 1);
    let changed = format!("{kept}{}", if last == "x" { 'y' } else { 'x' });
    let refused = project.run(&["publish", "third", "--token", &changed]);
    assert!(refused.code == 2 && refused.stderr.contains("token"), "{refused:?}");
    let server = project.serve();
    let at = |more: &[&str]| project.json(&[&["--url", &server.url, "publish", "third", "--token"], more].concat());
    let run = project.run(&["--url", &server.url, "publish", "third", "--token", &changed]);
    assert!(run.code == 2 && run.stderr.contains("token") && !run.stderr.contains("line 1"), "{run:?}");
    let last = at(&[&token]);
    assert_eq!(last.value["admitted"], 2, "{last:?}");
    let log = ureq::get(format!("{}/v1/log", server.url)).call().unwrap().into_body().read_to_string().unwrap();
    let log: serde_json::Value = serde_json::from_str(&log).unwrap();
    let saw = |n: usize| (log["events"][n]["saw"]["position"].as_u64(), log["events"][n]["saw"]["request"].as_str());
    let positions: Vec<_> = (0..6).map(|n| saw(n).0).collect();
    // Of several requests each knows the one before; the events of one know each other by its stamp.
    assert_eq!(positions, [None, None, Some(2), Some(3), Some(2), Some(2)]);
    assert_ne!(saw(2).1, saw(3).1);
    assert_eq!(saw(4).1, saw(5).1);
}

/// Answers one request after the other, each over its own connection, and gives back their bodies.
fn scripted(answers: Vec<(u16, &'static str, String)>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = move || {
        let mut bodies = Vec::new();
        for (status, headers, answer) in answers {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            bodies.push(String::from_utf8(body).unwrap());
            if status != 0 {
                let text = format!(
                    "HTTP/1.1 {status} X\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{answer}",
                    answer.len()
                );
                reader.into_inner().write_all(text.as_bytes()).unwrap();
            }
        }
        bodies
    };
    (url, thread::spawn(serve))
}

fn taken(outcomes: &[&str]) -> (u16, &'static str, String) {
    let results: Vec<_> =
        outcomes.iter().map(|outcome| format!("{{\"outcome\":\"{outcome}\",\"reason\":null}}")).collect();
    (202, "", format!("{{\"results\":[{}],\"token\":\"t\"}}", results.join(",")))
}

fn problem(status: u16, kind: &str) -> (u16, &'static str, String) {
    (
        status,
        "Retry-After: 0\r\n",
        format!("{{\"type\":\"/problems/{kind}\",\"title\":\"t\",\"status\":{status},\"detail\":\"because\"}}"),
    )
}

#[test]
fn a_busy_or_broken_server_is_tried_again_with_the_same_events_in_order() {
    let project = Project::minimal();
    fs::write(project.path("events"), lines(&["1", "2", "3", "4", "5"])).unwrap();
    let dropped = (0, "", String::new());
    let (url, server) = scripted(vec![
        problem(503, "busy"),
        dropped,
        problem(429, "rate-exceeded"),
        taken(&["admitted", "duplicate"]),
        taken(&["waiting", "admitted"]),
        taken(&["admitted"]),
    ]);
    let run = project.json(&["--url", &url, "publish", "events", "--batch", "2"]);
    assert_eq!(run.code, 0, "{run:?}");
    let count = |name: &str| run.value[name].as_u64().unwrap();
    assert_eq!((count("admitted"), count("duplicate"), count("waiting"), count("refused")), (3, 1, 1, 0));
    assert_eq!(run.value["token"], "t");
    let batch = |ids: &[&str]| format!("[{}]", ids.iter().map(|id| event(id)).collect::<Vec<_>>().join(","));
    let first = batch(&["1", "2"]);
    assert_eq!(
        server.join().unwrap(),
        [first.clone(), first.clone(), first.clone(), first, batch(&["3", "4"]), batch(&["5"])]
    );
}

#[test]
fn a_batch_that_is_refused_is_halved_until_the_line_to_blame_is_found() {
    let project = Project::minimal();
    fs::write(project.path("events"), lines(&["1", "2", "3", "4"])).unwrap();
    let (url, server) = scripted(vec![
        problem(400, "unreadable-event"),
        taken(&["admitted", "admitted"]),
        problem(413, "too-large"),
        problem(413, "too-large"),
        taken(&["admitted"]),
    ]);
    let run = project.json(&["--url", &url, "publish", "events"]);
    assert_eq!((run.code, &run.value["admitted"], &run.value["refused"]), (1, &3.into(), &1.into()), "{run:?}");
    assert!(run.stderr.contains("line 3: because"), "{run:?}");
    server.join().unwrap();
}

#[test]
fn a_server_that_stays_away_ends_with_3_and_says_how_far_it_came() {
    let project = Project::minimal();
    fs::write(project.path("events"), lines(&["1", "2", "3"])).unwrap();
    let (url, server) = scripted(vec![taken(&["admitted", "admitted"])]);
    let run = project.run(&["--url", &url, "publish", "events", "--batch", "2", "--retry-seconds", "0"]);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(
        run.stderr.contains("2 of 3 events read were taken") && run.stderr.contains("send the file again"),
        "{run:?}"
    );
    server.join().unwrap();
    let (url, server) = scripted(vec![(404, "", "<html>".into())]);
    let run = project.run(&["--url", &url, "publish", "events"]);
    assert!(run.code == 3 && run.stderr.contains("not as Evenkeel does"), "{run:?}");
    server.join().unwrap();
}

/// A line of more bytes than a server takes, and a good one after it.
fn too_large_and_good() -> String {
    let large = event("1").replace("\"customer\":\"c\"", &format!("\"customer\":\"{}\"", "c".repeat(6_000_000)));
    assert!(large.len() > 6_000_000);
    format!("{large}\n{}\n", event("2"))
}

#[test]
fn a_line_larger_than_the_server_takes_is_refused_and_the_rest_is_taken() {
    let project = Project::minimal();
    fs::write(project.path("events"), too_large_and_good()).unwrap();
    let server = project.serve();
    let run = project.json(&["--url", &server.url, "publish", "events"]);
    assert_eq!((run.code, &run.value["admitted"], &run.value["refused"]), (1, &1.into(), &1.into()), "{run:?}");
    assert!(run.stderr.contains("line 1: the body is larger than"), "{run:?}");
}

/// Cuts off who sends much, without reading it, and says that it is ready: its address.
fn cutting() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = |stream: std::net::TcpStream| -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let (mut length, mut events) = (0, false);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            events |= line.starts_with("POST");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        if length > 1_000_000 {
            return Ok(());
        }
        reader.read_exact(&mut vec![0; length])?;
        let body = if events { taken(&["admitted"]).2 } else { "{}".into() };
        let head = format!("HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        reader.into_inner().write_all((head + &body).as_bytes())
    };
    thread::spawn(move || listener.incoming().for_each(|stream| answer(stream.unwrap()).unwrap_or_default()));
    url
}

#[test]
fn a_line_that_a_ready_server_cuts_off_again_and_again_is_refused_and_the_rest_is_taken() {
    let project = Project::minimal();
    fs::write(project.path("events"), too_large_and_good()).unwrap();
    let run = project.json(&["--url", &cutting(), "publish", "events"]);
    assert_eq!((run.code, &run.value["admitted"], &run.value["refused"]), (1, &1.into(), &1.into()), "{run:?}");
    assert!(run.stderr.contains("line 1: the server is ready, yet cut off the connection 3 times"), "{run:?}");
}

#[test]
fn events_beyond_the_quota_of_who_is_not_declared_are_refused_and_their_neighbours_taken() {
    let project = Project::minimal();
    project.set("[limits]\nuntrusted_per_source = 2");
    let event = |source: &str, id: usize| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"{source}","type":"OrderPlaced","data":{{"order_id":"o-{id}","customer":"c","total":"1.00","currency":"EUR"}}}}"#
        )
    };
    let lines: Vec<_> = (0..5).flat_map(|id| [event("stranger", id), event("shop", id)]).collect();
    fs::write(project.path("events.ndjson"), lines.join("\n")).unwrap();
    let published = project.json(&["publish", "events.ndjson"]);
    let count = |published: &super::support::Json| {
        let number = |name: &str| published.value[name].as_u64().unwrap();
        (published.code, number("admitted"), number("duplicate"), number("quarantined"), number("refused"))
    };
    assert_eq!(count(&published), (1, 5, 0, 2, 3));
    assert!(published.stderr.contains("no declared source matches \"stranger\""), "{}", published.stderr);
    let server = project.serve();
    let again = project.json(&["--url", &server.url, "publish", "events.ndjson"]);
    assert_eq!(count(&again), (1, 0, 5, 2, 3));
}
