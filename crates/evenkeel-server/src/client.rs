//! A client of the HTTP interface, for the command line: requests, answers, and what a failed one means.
//!
//! Blocking, one connection at a time. Not here: the shapes of what is sent and answered.
use crate::output::{Document, Failure, text};
use std::{fmt::Write as _, time::Duration};
use ureq::{Agent, Body, http::Response};

/// The media type of a batch of events.
pub(crate) const BATCH: &str = "application/cloudevents-batch+json; charset=utf-8";

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an ordinary request may take.
const REQUEST: Duration = Duration::from_secs(60);

/// How long a server may take to say that it is there.
const PROBE: Duration = Duration::from_secs(2);

/// What only Evenkeel's word on its health holds.
const SIGN: &str = "\"monitor_silent_seconds\"";

/// The largest answer that is read.
const ANSWER_BYTES: u64 = 1 << 30;

/// A server, by its address.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
}

/// What a server said, whatever it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// When it says that asking again makes sense.
    pub(crate) retry_after: Option<Duration>,
    /// The body.
    pub(crate) body: String,
}

/// What is found at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// An Evenkeel server.
    Server,
    /// Something else that speaks, or does not speak, HTTP.
    Stranger,
    /// Nothing.
    Nobody,
}

impl Client {
    /// A client of the server at `url`. Nothing is sent yet.
    ///
    /// # Errors
    /// Where `url` is no address of a server that can be spoken to.
    pub(crate) fn new(url: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            let failure = Failure::usage(format!("--url {url}: {why}"));
            Err(failure.help("give the server's address, such as http://127.0.0.1:7400"))
        };
        let base = url.trim_end_matches('/');
        let Some(host) = base.strip_prefix("http://") else {
            let https = base.starts_with("https://");
            return wrong(if https {
                "https is not offered; reach the server through a local tunnel"
            } else {
                "expected http://HOST:PORT"
            });
        };
        let uri: Result<ureq::http::Uri, _> = base.parse();
        let plain = uri.is_ok_and(|uri| {
            let whole = uri.authority().is_some_and(|name| name.as_str() == name.host() || name.port_u16().is_some());
            whole && uri.query().is_none()
        });
        if host.is_empty() || host.contains(['@', '#']) || !plain {
            return wrong("expected http://HOST:PORT");
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_connect(Some(CONNECT))
            .user_agent(concat!("evenkeel/", env!("CARGO_PKG_VERSION")));
        Ok(Self { agent: config.build().new_agent(), base: base.to_owned() })
    }

    /// The server's address.
    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    /// Looks who is there.
    pub(crate) fn probe(&self) -> Probe {
        let request = self.agent.get(format!("{}/healthz", self.base)).config().timeout_global(Some(PROBE)).build();
        match request.call().map_err(Unanswered::of).and_then(answer) {
            // 503 is a server's word too: that it is not well.
            Ok(answer) if matches!(answer.status, 200 | 503) && answer.body.contains(SIGN) => Probe::Server,
            Ok(_) | Err(Unanswered { connected: true, .. }) => Probe::Stranger,
            Err(Unanswered { connected: false, .. }) => Probe::Nobody,
        }
    }

    /// Whether the server says that it is ready to work.
    pub(crate) fn is_ready(&self) -> bool {
        self.ask("/readyz", &[]).is_ok_and(|answer| answer.status == 200)
    }

    /// Asks for `path`.
    ///
    /// # Errors
    /// Where the server does not answer, or answers with a problem.
    pub(crate) fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Document, Failure> {
        self.document(self.ask(path, query))
    }

    /// As [`Client::get`]; a problem of this kind is an answer too, and `false` beside it.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub(crate) fn get_unless(
        &self,
        kind: &str,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<(Document, bool), Failure> {
        match self.ask(path, query) {
            Ok(answer) if Problem::of(&answer).is_some_and(|problem| answer.status >= 400 && problem.kind == kind) => {
                Ok((Document::parse(answer.body)?, false))
            }
            other => self.document(other).map(|document| (document, true)),
        }
    }

    fn ask(&self, path: &str, query: &[(&str, String)]) -> Result<Answer, Unanswered> {
        let request = self.agent.get(format!("{}{path}{}", self.base, query_string(query)));
        let request = request.config().timeout_global(Some(REQUEST)).build();
        request.call().map_err(Unanswered::of).and_then(answer)
    }

    /// Posts a JSON document to `path`, and waits as long as it takes: what is asked for may be long work.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub(crate) fn post(&self, path: &str, body: &impl serde::Serialize) -> Result<Document, Failure> {
        self.post_if(path, body, None)
    }

    /// As [`Client::post`], only if what it is about is of this version.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub(crate) fn post_if(
        &self,
        path: &str,
        body: &impl serde::Serialize,
        version: Option<u64>,
    ) -> Result<Document, Failure> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(version) = version {
            request = request.header("if-match", format!("\"{version}\""));
        }
        self.document(request.send_json(body).map_err(Unanswered::of).and_then(answer))
    }

    /// Posts events as a batch. The answer is the caller's to judge.
    ///
    /// # Errors
    /// Where no answer came: the events may have been taken or not.
    pub(crate) fn post_events(&self, batch: &[u8], token: Option<&str>) -> Result<Answer, Unanswered> {
        let mut request = self.agent.post(format!("{}/v1/events", self.base)).content_type(BATCH);
        if let Some(token) = token {
            request = request.header("Consistency-Token", token);
        }
        let request = request.config().timeout_global(Some(REQUEST)).build();
        request.send(batch).map_err(Unanswered::of).and_then(answer)
    }

    fn document(&self, result: Result<Answer, Unanswered>) -> Result<Document, Failure> {
        match result {
            Ok(answer) if answer.status < 300 => Document::parse(answer.body),
            Ok(answer) => Err(self.problem(&answer)),
            Err(unanswered) => Err(self.unanswered(&unanswered)),
        }
    }

    /// What a request without an answer means.
    pub(crate) fn unanswered(&self, unanswered: &Unanswered) -> Failure {
        let failure = Failure::unreachable(format!("no answer from {}: {}", self.base, unanswered.why));
        failure.help("start it with `evenkeel serve`, or say where it listens with --url")
    }

    /// What a problem document means.
    pub(crate) fn problem(&self, answer: &Answer) -> Failure {
        let Some(problem) = Problem::of(answer) else {
            let failure =
                Failure::unreachable(format!("{} answered {} and not as Evenkeel does", self.base, answer.status));
            return failure.help("is another program listening there? --url names the server");
        };
        let code = match answer.status {
            409 | 412 => 1,
            400..=428 | 431 => 2,
            503 if problem.kind == "not-met" => 1,
            _ => 3,
        };
        Failure { code, what: problem.detail, help: problem.help }
    }
}

/// A problem document, as far as the command line looks into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The last part of its `type`.
    pub(crate) kind: String,
    /// What it says.
    pub(crate) detail: String,
    /// What it says to do about it.
    pub(crate) help: Option<String>,
}

impl Problem {
    /// The problem an answer holds.
    pub(crate) fn of(answer: &Answer) -> Option<Self> {
        let document = Document::parse(answer.body.clone()).ok()?;
        let word = |name| text(document.value(), &[name]).to_owned();
        let kind = word("type").rsplit('/').next().unwrap_or_default().to_owned();
        let (title, detail) = (word("title"), word("detail"));
        let said = if detail.is_empty() { title } else { detail };
        let help = Some(word("help")).filter(|help| !help.is_empty());
        (!said.is_empty()).then_some(Self { kind, detail: said, help })
    }
}

/// Why no answer came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unanswered {
    /// In words.
    pub(crate) why: String,
    /// Whether somebody was there.
    pub(crate) connected: bool,
    /// Whether the connection was cut off from the other side.
    pub(crate) cut: bool,
}

impl Unanswered {
    fn of(error: ureq::Error) -> Self {
        use std::io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable,
            NotFound, TimedOut,
        };
        let connected = match &error {
            ureq::Error::Io(error) => {
                !matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable | NotFound | TimedOut)
            }
            ureq::Error::Timeout(timeout) => !matches!(timeout, ureq::Timeout::Connect | ureq::Timeout::Resolve),
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => false,
            _ => true,
        };
        let cut = matches!(&error, ureq::Error::Io(error)
            if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset));
        Self { why: error.to_string(), connected, cut }
    }
}

fn answer(mut response: Response<Body>) -> Result<Answer, Unanswered> {
    let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = response.body_mut().with_config().limit(ANSWER_BYTES).lossy_utf8(true).read_to_string();
    Ok(Answer {
        status: response.status().as_u16(),
        retry_after: header.map(Duration::from_secs),
        body: body.map_err(Unanswered::of)?,
    })
}

/// Text as one segment of a path, or as a value in a query: only unreserved characters stand for themselves.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// The query of an address: nothing, or what follows a `?`.
pub(crate) fn query_string(query: &[(&str, String)]) -> String {
    let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_or_refused_with_advice() {
        for good in ["http://127.0.0.1:7400", "http://localhost:7400/", "http://[::1]:7400", "http://host/prefix"] {
            assert!(Client::new(good).is_ok(), "{good}");
        }
        assert_eq!(Client::new("http://h:1/").unwrap().url(), "http://h:1");
        for bad in [
            "",
            "http://",
            "127.0.0.1:7400",
            "https://h",
            "ftp://h",
            "http://a b",
            "http://u@h",
            "http://h?x=1",
            "http://h:x",
        ] {
            let failure = Client::new(bad).unwrap_err();
            assert!(failure.code == 2 && failure.help.is_some(), "{bad}: {failure:?}");
        }
    }

    #[test]
    fn any_key_makes_one_segment() {
        assert_eq!(encode("a/b c%?#ä"), "a%2Fb%20c%25%3F%23%C3%A4");
        assert_eq!(
            query_string(&[("cursor", "[\"a&b\"]".into()), ("limit", "3".into())]),
            "?cursor=%5B%22a%26b%22%5D&limit=3"
        );
    }

    #[test]
    fn problems_end_with_the_code_their_status_means() {
        let client = Client::new("http://127.0.0.1:1").unwrap();
        let code = |status, kind: &str| {
            let body = format!("{{\"type\":\"/problems/{kind}\",\"title\":\"t\",\"detail\":\"d\"}}");
            client.problem(&Answer { status, retry_after: None, body }).code
        };
        assert_eq!((code(404, "no-model"), code(400, "key"), code(409, "entry-state")), (2, 2, 1));
        assert_eq!((code(412, "entry-changed"), code(413, "too-large")), (1, 2));
        assert_eq!((code(503, "not-met"), code(503, "unavailable"), code(500, "x")), (1, 3, 3));
        let stranger = client.problem(&Answer { status: 404, retry_after: None, body: "<html>".into() });
        assert_eq!(stranger.code, 3);
    }

    #[test]
    fn nobody_is_told_from_somebody() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(Client::new(&format!("http://{address}")).unwrap().probe(), Probe::Nobody);
    }
}
