//! What is served at all: the documented routes and no others, to those who may ask, with errors of one form.
use super::{client, project::Server};
use serde_json::Value;
use std::collections::BTreeSet;

const OPERATIONS: [&str; 42] = [
    "DELETE /v1/consumers/{name}",
    "GET /",
    "GET /healthz",
    "GET /metrics",
    "GET /openapi.json",
    "GET /problems/{problem}",
    "GET /readyz",
    "GET /v1/accounting",
    "GET /v1/causal",
    "GET /v1/conflicts",
    "GET /v1/conflicts/{id}",
    "GET /v1/consumers",
    "GET /v1/drift",
    "GET /v1/events/{event}/lineage",
    "GET /v1/log",
    "GET /v1/models",
    "GET /v1/models/{model}/rows",
    "GET /v1/models/{model}/rows/{key}",
    "GET /v1/models/{model}/snapshots",
    "GET /v1/quarantine",
    "GET /v1/quarantine/{id}",
    "GET /v1/reconciliations",
    "GET /v1/reconciliations/{id}",
    "POST /v1/causal/retire",
    "POST /v1/causal/skip",
    "POST /v1/consumers/{name}/checkpoint",
    "POST /v1/contracts/{contract}/impact",
    "POST /v1/events",
    "POST /v1/models/{model}/projector/start",
    "POST /v1/models/{model}/projector/stop",
    "POST /v1/models/{model}/reconcile",
    "POST /v1/models/{model}/rollback",
    "POST /v1/models/{model}/snapshots",
    "POST /v1/models/{model}/verify",
    "POST /v1/quarantine/discard",
    "POST /v1/quarantine/redrive",
    "POST /v1/quarantine/{id}/discard",
    "POST /v1/quarantine/{id}/edit",
    "POST /v1/quarantine/{id}/redrive",
    "POST /v1/query",
    "POST /v1/sources/{source}/resume",
    "PUT /v1/consumers/{name}",
];

fn openapi(server: &Server) -> Value {
    server.get("/openapi.json").ok(200)
}

/// Every operation with its method and path.
fn operations(api: &Value) -> Vec<(String, &str, &Value)> {
    let paths = api["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .iter()
                .map(move |(method, operation)| (method.to_uppercase(), path.as_str(), operation))
        })
        .collect()
}

#[test]
fn the_document_lists_exactly_what_is_served() {
    let server = Server::start();
    let api = openapi(&server);
    let mut listed: Vec<String> = operations(&api).iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    listed.sort();
    assert_eq!(listed, OPERATIONS);
    for (method, path, _) in operations(&api) {
        let is_listed = |method: &&str| OPERATIONS.contains(&format!("{method} {path}").as_str());
        let other = ["GET", "POST", "PUT"].into_iter().find(|method| !is_listed(method)).unwrap();
        let path = path
            .replace("{model}", "orders")
            .replace("{key}", "k")
            .replace("{id}", "q-1")
            .replace("{source}", "shop")
            .replace("{contract}", "c")
            .replace("{event}", "1")
            .replace("{problem}", "busy");
        let served = client::request(server.addr, &method, &path, &[], b"");
        assert!(served.status != 405 && !served.text.contains("/problems/not-found"), "{method} {path}: {served:?}");
        let refused = client::request(server.addr, other, &path, &[], b"");
        refused.problem(405, "method-not-allowed");
        let allowed = refused.header("allow").unwrap();
        assert!(allowed.contains(&method) && !allowed.contains(other), "{allowed}");
    }
}

#[test]
fn the_document_is_whole() {
    let server = Server::start();
    let api = openapi(&server);
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(api["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&api) {
        let name = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{name}: its operationId is not unique");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        let problem = &operation["responses"]["default"]["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(problem, "#/components/schemas/Problem", "{name}");
        let empty = Vec::new();
        let declared: BTreeSet<&str> = operation["parameters"]
            .as_array()
            .unwrap_or(&empty)
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        let in_path: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(declared, in_path, "{name}");
    }
    references(&api, &mut |reference| {
        let found = reference.strip_prefix('#').and_then(|pointer| api.pointer(pointer));
        assert!(found.is_some(), "{reference} leads nowhere");
    });
}

fn references(value: &Value, found: &mut impl FnMut(&str)) {
    match value {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                found(reference);
            }
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn people_find_their_way() {
    let server = Server::start();
    let index = server.get("/");
    assert_eq!(index.status, 200);
    for operation in OPERATIONS {
        let (method, path) = operation.split_once(' ').unwrap();
        assert!(
            index.text.lines().any(|line| line.starts_with(method) && line.split_whitespace().nth(1) == Some(path)),
            "{operation}"
        );
    }
    let csp = index.header("content-security-policy").unwrap();
    assert!(csp.starts_with("default-src 'none'"), "{csp}");
    assert_eq!(index.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn every_problem_is_explained_where_its_type_leads() {
    let server = Server::start();
    let problem = server.get("/nowhere").problem(404, "not-found");
    let explained = server.get(problem["type"].as_str().unwrap());
    assert_eq!(explained.status, 200);
    assert!(explained.text.contains(problem["help"].as_str().unwrap()));
    server.get("/problems/none").problem(404, "not-found");
}

#[test]
fn unknown_addresses_and_methods_are_problems_too() {
    let server = Server::start();
    for path in ["/nowhere", "/v1", "/v1/models/orders", "/v1/models/orders/rows/", "/v1/events/", "//"] {
        server.get(path).problem(404, "not-found");
    }
    for method in ["DELETE", "PUT", "PATCH", "OPTIONS", "NONSENSE"] {
        client::request(server.addr, method, "/v1/models", &[], b"").problem(405, "method-not-allowed");
    }
    server.get("/v1/quarantine/%FF").problem(400, "bad-request");
    let head = client::request(server.addr, "HEAD", "/v1/models", &[], b"");
    assert_eq!((head.status, head.text.as_str()), (200, ""));
}

#[test]
fn only_our_names_are_answered() {
    let server = Server::start();
    let port = server.addr.port();
    for ours in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), "[::1]".to_owned()] {
        server.get_with("/v1/models", &[("Host", &ours)]).ok(200);
    }
    for foreign in ["evil.example", &format!("evil.example:{port}"), "10.1.2.3", "localhost.evil.example"] {
        for path in ["/v1/models", "/", "/nowhere", "/openapi.json"] {
            server.get_with(path, &[("Host", foreign)]).problem(403, "forbidden-host");
        }
    }
    let nameless = client::exchange(server.addr, b"GET /v1/models HTTP/1.1\r\nConnection: close\r\n\r\n");
    nameless.problem(400, "bad-request");
    let absolute =
        format!("GET http://evil.example/v1/models HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    client::exchange(server.addr, absolute.as_bytes()).problem(403, "forbidden-host");
}

#[test]
fn pages_of_other_sites_reach_nothing() {
    let server = Server::start();
    let port = server.addr.port();
    let host = format!("localhost:{port}");
    let ours = format!("http://localhost:{port}");
    let with = |origin: &str| server.get_with("/v1/models", &[("Host", &host), ("Origin", origin)]);
    with(&ours).ok(200);
    for foreign in ["https://evil.example", "null", "http://localhost", "http://localhost:1"] {
        with(foreign).problem(403, "forbidden-origin");
    }
    // The request that a form of another page can send without asking.
    let headers = [("Content-Type", "text/plain"), ("Origin", "https://evil.example")];
    client::request(server.addr, "POST", "/v1/models/orders/reconcile", &headers, b"").problem(403, "forbidden-origin");
}
