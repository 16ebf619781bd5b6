//! Connections: slow ones are cut off, and none holds up a stop.
use super::{
    client::{HANGS, connect, exchange},
    project::{Server, order},
};
use evenkeel::{contract::settings::Settings, project};
use evenkeel_server::serve::{self, ServeError, ServeOptions};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

#[test]
fn headers_that_do_not_come_are_not_waited_for() {
    let server = Server::with("[limits]\nheader_timeout_ms = 50\n", "");
    for started in [&b""[..], b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Slow: "] {
        let mut stream = connect(server.addr);
        stream.write_all(started).unwrap();
        // It ends, by a close or a reset; a server that waited would run into the client's time-out.
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => assert!(!rest.starts_with(b"HTTP/1.1 200")),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
    server.get("/healthz").ok(200);
}

#[test]
fn answers_that_are_never_read_are_not_kept_for_ever() {
    let server = Server::with("[limits]\nwrite_timeout_ms = 200\n", "");
    let document = server.get("/openapi.json").text.len();
    // More than the buffers of both ends take, in answers to requests that fit into them.
    let asked = (48 << 20) / document;
    let request = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut stream = connect(server.addr);
    stream.write_all(request.repeat(asked).as_bytes()).unwrap();
    thread::sleep(Duration::from_secs(2));
    let mut read = Vec::new();
    // A server that waited would go on now, until the client's time-out.
    let ended = stream.read_to_end(&mut read);
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
    assert!(read.len() < asked * document, "everything was written after all");
    server.get("/healthz").ok(200);
}

#[test]
fn one_connection_serves_many_requests() {
    let server = Server::start();
    let request = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(3)
        + "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut stream = connect(server.addr);
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 4);
}

/// Reads the head of an answer.
fn head(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn a_connection_too_many_is_told_so_and_has_the_place_of_one_that_ends() {
    let server = Server::with("[limits]\nconnections = 2\n", "");
    let mut kept: Vec<_> = (0..2).map(|_| connect(server.addr)).collect();
    for stream in &mut kept {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        assert!(head(stream).starts_with("HTTP/1.1 200"));
    }
    for path in ["/healthz", "/v1/models/orders/rows/o-1?level=strong"] {
        let refused = server.get(path);
        refused.problem(503, "too-many-connections");
        assert_eq!((refused.header("retry-after"), refused.header("cache-control")), (Some("1"), Some("no-store")));
    }
    // One that waits has the place as soon as it is free.
    thread::scope(|scope| {
        let waits = scope.spawn(|| server.get("/healthz"));
        thread::sleep(Duration::from_millis(300));
        kept.pop();
        waits.join().unwrap().ok(200);
    });
    server.get("/healthz").ok(200);
}

/// Stops the server in another thread; the receiver hears of it when it has stopped.
fn stop(mut server: Server) -> Receiver<()> {
    let (stopped, heard) = channel();
    thread::spawn(move || {
        server.stop();
        stopped.send(()).unwrap();
    });
    heard
}

/// A server that waits minutes for connections rather than cut them off, which is longer than the client waits.
fn patient() -> Server {
    Server::with("[limits]\nshutdown_seconds = 600\nheader_timeout_ms = 600000\n", "")
}

#[test]
fn an_idle_connection_does_not_hold_up_a_stop() {
    let server = patient();
    server.publish(&order("1", "o-1", "1")).ok(202);
    let mut idle = connect(server.addr);
    idle.write_all(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let mut silent = connect(server.addr);
    let stopped = stop(server);
    idle.read_to_end(&mut Vec::new()).unwrap();
    // One that nobody had accepted yet when the listener closed is reset; either way it is over.
    if let Err(error) = silent.read_to_end(&mut Vec::new()) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    stopped.recv_timeout(HANGS).unwrap();
}

#[test]
fn a_request_under_way_is_answered_before_a_stop() {
    let server = patient();
    let body = order("1", "o-1", "1").to_string();
    let mut stream = begin(&server, body.len());
    let stopped = stop(server);
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202") && answer.contains("admitted"), "{answer}");
    stopped.recv_timeout(HANGS).unwrap();
}

/// A request whose headers the server has read, so that it is under way.
fn begin(server: &Server, body: usize) -> TcpStream {
    let mut stream = connect(server.addr);
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cloudevents+json\r\n\
         Content-Length: {body}\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut said = [0; 25];
    stream.read_exact(&mut said).unwrap();
    assert_eq!(&said, go_on);
    stream
}

#[test]
fn a_request_that_never_ends_is_cut_off_by_a_stop() {
    let mut server = Server::with("[limits]\nshutdown_seconds = 2\nheader_timeout_ms = 600000\n", "");
    let mut stuck = begin(&server, 100);
    server.stop();
    assert!(matches!(stuck.read(&mut [0; 1]), Ok(0) | Err(_)));
}

#[test]
fn what_is_not_http_is_no_harm() {
    let server = Server::start();
    assert_eq!(exchange(server.addr, b"\x16\x03\x01 not http at all\r\n\r\n").status, 400);
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "x".repeat(30_000));
    exchange(server.addr, long.as_bytes()).problem(404, "not-found");
    server.get("/healthz").ok(200);
}

#[test]
fn only_loopback_is_listened_on_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("evenkeel.toml"), "").unwrap();
    let listen = Some("0.0.0.0:0".parse().unwrap());
    let options = ServeOptions { dir: dir.path().to_owned(), listen, ..ServeOptions::default() };
    let error = serve::run(options).unwrap_err();
    assert!(matches!(error, ServeError::Exposed(_)), "{error}");
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("--insecure"), "{error}");
    // Nothing was touched on the way to the refusal.
    assert!(!dir.path().join("evenkeel-data").exists());
}

#[test]
fn an_address_in_use_is_told() {
    let server = Server::start();
    let (mut project, _) = {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("evenkeel.toml"), "").unwrap();
        project::load(dir.path()).unwrap()
    };
    let settings: &mut Settings = &mut project.settings;
    settings.node.listen = server.addr;
    let Err(error) = serve::start(server.engine(), settings) else { panic!("two servers listen on one address") };
    assert!(matches!(error, ServeError::Listen { .. }), "{error}");
    assert_eq!(error.exit_code(), 3);
}
