//! Who may reach the server at all: the `Host` and `Origin` headers, so that no web page can.
//!
//! A page of another site can make a browser send requests to this machine. By `Origin` such a page is recognised. A
//! page whose own name is made to resolve to this machine (DNS rebinding) has no foreign origin, but sends its name as
//! `Host`: so only names that nobody else can own are answered. Not here: who a client is; nobody is asked that yet.
use super::{
    App,
    problem::{BAD_REQUEST, FORBIDDEN_HOST, FORBIDDEN_ORIGIN, Problem},
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// What is sent with every answer, unless its route says otherwise: nothing is to be cached, guessed at or run.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    ),
];

/// What the server may be called.
pub(crate) struct Names {
    /// The address it listens on.
    pub(crate) listen: SocketAddr,
    /// Names and addresses that its operator vouches for, without a port.
    pub(crate) hosts: Vec<String>,
}

/// Lets a request through, or answers 403.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = match check(&app.names, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    for (name, value) in HEADERS {
        // A route may know better what of its answers can be kept.
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

fn check(names: &Names, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Problem::new(BAD_REQUEST, "a request has exactly one Host header"));
    };
    let host = host.to_str().unwrap_or_default();
    let named = [Some(host), uri.authority().map(Authority::as_str)];
    if let Some(foreign) = named.into_iter().flatten().find(|name| !names.are_of(name)) {
        return Err(Problem::new(FORBIDDEN_HOST, format!("{foreign:?} is not a name of this server")));
    }
    match headers.get(header::ORIGIN) {
        Some(origin) if !same_site(origin, host) => {
            let origin = String::from_utf8_lossy(origin.as_bytes());
            Err(Problem::new(FORBIDDEN_ORIGIN, format!("{origin:?} is not a site of this server")))
        }
        _ => Ok(()),
    }
}

impl Names {
    /// Whether a `Host` names this server by a name that nobody else can have: localhost, a loopback address, the address
    /// it listens on, or what its operator vouches for. Where it listens on every address, any address in digits: those
    /// are not looked up, so not rebound. The port is left out: behind a tunnel it is another one.
    fn are_of(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        if host.contains('@') {
            return false;
        }
        let name = authority.host();
        let digits = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        if self.hosts.iter().any(|own| own.eq_ignore_ascii_case(digits)) {
            return true;
        }
        let listen = self.listen.ip();
        match digits.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback() || ip == listen || listen.is_unspecified(),
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        }
    }
}

/// Whether a page of this origin was served by `host`.
fn same_site(origin: &HeaderValue, host: &str) -> bool {
    let origin = origin.to_str().unwrap_or_default();
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    rest.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listen: &str, hosts: &[&str]) -> Names {
        Names { listen: listen.parse().unwrap(), hosts: hosts.iter().map(ToString::to_string).collect() }
    }

    fn kind(listen: &str, host: &str, origin: Option<&str>) -> u16 {
        kind_of(&names(listen, &[]), host, origin)
    }

    fn kind_of(names: &Names, host: &str, origin: Option<&str>) -> u16 {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        let checked = check(names, &Uri::from_static("/v1/models"), &headers);
        checked.map_or_else(|problem| problem.into_response().status().as_u16(), |()| 200)
    }

    #[test]
    fn only_names_that_nobody_else_can_have_are_answered() {
        let local = "127.0.0.1:7400";
        for host in ["localhost", "LOCALHOST:7400", "127.0.0.1:7400", "127.8.0.1", "[::1]:9", "localhost:1"] {
            assert_eq!(kind(local, host, None), 200, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.7",
            "",
            "a@localhost",
            "127.0.0.1.evil.example",
            "[::1",
            "0.0.0.0",
        ] {
            assert_eq!(kind(local, host, None), 403, "{host}");
        }
        assert_eq!(kind("10.0.0.7:80", "10.0.0.7", None), 200);
        assert_eq!(kind("10.0.0.7:80", "10.0.0.8", None), 403);
        assert_eq!(kind("0.0.0.0:80", "10.0.0.8", None), 200);
        assert_eq!(kind("0.0.0.0:80", "node.example", None), 403);
    }

    #[test]
    fn names_that_the_operator_vouches_for_are_answered() {
        let names = names("10.0.0.7:80", &["Node.example", "192.168.1.5", "fd00::5"]);
        for host in ["node.example", "NODE.EXAMPLE:7400", "192.168.1.5", "192.168.1.5:80", "[fd00::5]:80", "10.0.0.7"] {
            assert_eq!(kind_of(&names, host, None), 200, "{host}");
        }
        for host in
            ["a.node.example", "node.example.evil.example", "node.example@evil.example", "192.168.1.6", "[fd00::6]"]
        {
            assert_eq!(kind_of(&names, host, None), 403, "{host}");
        }
        assert_eq!(kind_of(&names, "node.example", Some("http://node.example")), 200);
        assert_eq!(kind_of(&names, "node.example", Some("http://evil.example")), 403);
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let status = |origin| kind("127.0.0.1:7400", "localhost:7400", Some(origin));
        assert_eq!(status("http://localhost:7400"), 200);
        for origin in [
            "null",
            "http://localhost",
            "http://localhost:7401",
            "https://evil.example",
            "http://127.0.0.1:7400",
            "file://localhost:7400",
            "",
        ] {
            assert_eq!(status(origin), 403, "{origin}");
        }
    }

    #[test]
    fn there_is_one_host_and_the_uri_agrees() {
        let status = |uri: &'static str, hosts: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, HeaderValue::from_static(host));
            }
            let checked = check(&names("127.0.0.1:7400", &[]), &Uri::from_static(uri), &headers);
            checked.map_or_else(|problem| problem.into_response().status().as_u16(), |()| 200)
        };
        assert_eq!(status("/", &[]), 400);
        assert_eq!(status("/", &["localhost", "localhost"]), 400);
        assert_eq!(status("http://localhost:7400/", &["localhost"]), 200);
        assert_eq!(status("http://evil.example/", &["localhost"]), 403);
    }
}
