//! A client of the server's interface: one connection that is kept, and the pages of its answers put together.
use super::HANGS;
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr};
use ureq::Agent;

/// The largest answer that is read.
const ANSWER_BYTES: u64 = 1 << 30;

/// Speaks to one server over a connection of its own. A clone shares the connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
}

/// What the server said, whatever it said.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The document of an answer with this status.
    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// That the server cannot now, and says when to come back.
    #[track_caller]
    pub(crate) fn unavailable(&self) -> Value {
        let problem = self.ok(503);
        let after = self.header("retry-after").and_then(|after| after.parse::<u64>().ok());
        assert!(after.is_some_and(|seconds| seconds > 0), "no Retry-After: {self:?}");
        problem
    }
}

impl Client {
    /// A client of the server at this address. Nothing is sent yet.
    pub(crate) fn new(addr: SocketAddr) -> Self {
        let config = Agent::config_builder().http_status_as_error(false).proxy(None).timeout_global(Some(HANGS));
        Self { agent: config.build().new_agent(), base: format!("http://{addr}") }
    }

    /// The server's address, as the command line takes it.
    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    /// Asks for a path. In words why no answer came.
    pub(crate) fn try_get(&self, path: &str) -> Result<Answer, String> {
        answer(self.agent.get(format!("{}{path}", self.base)).call())
    }

    /// Posts a body to a path. In words why no answer came: it may have been taken or not.
    pub(crate) fn try_post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Answer, String> {
        answer(self.agent.post(format!("{}{path}", self.base)).content_type(content_type).send(body))
    }

    /// Publishes one event, saying with tokens what its writer had seen.
    pub(crate) fn try_publish_after(&self, event: &str, tokens: &str) -> Result<Answer, String> {
        let request = self.agent.post(format!("{}/v1/events", self.base)).content_type("application/cloudevents+json");
        let request = if tokens.is_empty() { request } else { request.header("Consistency-Token", tokens) };
        answer(request.send(event.as_bytes()))
    }

    /// Publishes events, each the text of one CloudEvent: one by itself, several as a batch.
    pub(crate) fn try_publish(&self, events: &[impl AsRef<str>]) -> Result<Answer, String> {
        if let [event] = events {
            return self.try_post("/v1/events", "application/cloudevents+json", event.as_ref().as_bytes());
        }
        let mut batch = String::from("[");
        for (index, event) in events.iter().enumerate() {
            batch.push_str(if index == 0 { "" } else { "," });
            batch.push_str(event.as_ref());
        }
        batch.push(']');
        self.try_post("/v1/events", "application/cloudevents-batch+json", batch.as_bytes())
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        let sent = self.try_post(path, "application/json", body.to_string().as_bytes());
        sent.unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    #[track_caller]
    pub(crate) fn publish(&self, events: &[impl AsRef<str>]) -> Answer {
        self.try_publish(events).unwrap_or_else(|error| panic!("publish: {error}"))
    }

    /// The whole log. Its positions are 1, 2, 3… without holes, or this fails.
    #[track_caller]
    pub(crate) fn log(&self) -> Vec<Value> {
        let events = self.pages("/v1/log?limit=10000", "events", "after");
        for (index, event) in events.iter().enumerate() {
            assert_eq!(event["position"], index + 1, "a hole or a repetition in the log: {event}");
        }
        events
    }

    /// What the gate has in quarantine, in every state; events parked by models are left out.
    #[track_caller]
    pub(crate) fn quarantine(&self) -> Vec<Value> {
        let mut entries = self.pages("/v1/quarantine?limit=10000", "entries", "after");
        entries.retain(|entry| entry["id"].as_str().is_some_and(|id| id.starts_with("q-")));
        entries
    }

    /// All rows of a model, page by page.
    #[track_caller]
    pub(crate) fn rows(&self, model: &str, query: &str) -> Vec<Value> {
        self.pages(&format!("/v1/models/{model}/rows?{query}"), "rows", "cursor")
    }

    #[track_caller]
    fn pages(&self, path: &str, member: &str, cursor: &str) -> Vec<Value> {
        let (mut all, mut next) = (Vec::new(), None::<String>);
        loop {
            let more = next.as_ref().map(|next| format!("&{cursor}={}", encode(next))).unwrap_or_default();
            let mut page = self.get(&format!("{path}{more}")).ok(200);
            let Value::Array(items) = page[member].take() else { panic!("{path}: no {member}") };
            all.extend(items);
            next = match &page["next"] {
                Value::Null => return all,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
        }
    }
}

fn answer(sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, String> {
    let mut response = sent.map_err(|error| error.to_string())?;
    let text = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_string();
    let text = text.map_err(|error| error.to_string())?;
    let header = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Ok(Answer { status: response.status().as_u16(), headers: response.headers().iter().map(header).collect(), text })
}

/// Text as the value of a query's parameter.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
