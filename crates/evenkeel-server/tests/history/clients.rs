//! Clients who write and read at every level, keep their tokens and hand them to others; and an operator who stops,
//! starts and rebuilds models meanwhile.
use super::{
    super::common::{Answer, Client, Random},
    door::{Alarm, Door, Visitor},
    project::{MODELS, event},
    recorder::Recorder,
};
use serde_json::{Value, json};
use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

/// Rows that are written and read: few, so that clients meet.
pub(crate) const KEYS: u64 = 6;

/// What all clients share.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) door: Door,
    pub(crate) recorder: Recorder,
    /// Tokens that are handed over.
    tokens: Mutex<Vec<String>>,
}

/// One session.
pub(crate) struct Session<'w> {
    world: &'w World,
    name: String,
    random: Random,
    visitor: Visitor<'w>,
    /// Its own token.
    token: String,
    events: u64,
    /// Written and not known to be: sent again.
    open_ends: Vec<(String, String)>,
}

impl<'w> Session<'w> {
    pub(crate) fn new(world: &'w World, name: String, random: Random) -> Self {
        let visitor = Visitor::new(&world.door);
        Self { world, name, random, visitor, token: String::new(), events: 0, open_ends: Vec::new() }
    }

    /// Writes and reads until told to finish.
    pub(crate) fn run(mut self) {
        let _alarm = Alarm(&self.world.door);
        while !self.world.door.is_finishing() {
            let key = format!("k{}", self.random.below(KEYS));
            if self.random.percent(40) {
                self.write(key);
            } else {
                let level = ["eventual", "monotonic", "causal", "strong"][self.random.index(4)];
                let model = MODELS[self.random.index(2)];
                self.read(model, level, &key, 100);
            }
        }
    }

    /// The tokens to send: one's own, and at times that of another, which the line names.
    fn tokens(&mut self, line: &mut Value) -> String {
        let shared = self.world.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.is_empty() || !self.random.percent(20) {
            return self.token.clone();
        }
        let other = shared[self.random.index(shared.len())].clone();
        line["token"] = json!(other);
        if self.token.is_empty() { other } else { format!("{},{other}", self.token) }
    }

    fn write(&mut self, key: String) {
        let (id, key) = match self.open_ends.pop() {
            Some(again) => again,
            None => {
                self.events += 1;
                (format!("{}-{}", self.name, self.events), key)
            }
        };
        let mut line = json!({"type": "invoke", "session": self.name, "op": "write", "id": id, "key": key});
        let tokens = self.tokens(&mut line);
        self.world.recorder.line(line);
        let raw = event(&id, &key);
        match self.visitor.ask(None, |client| client.try_publish_after(&raw, &tokens)) {
            Some(answer) if answer.status == 503 => self.end("fail"),
            Some(answer) => {
                let answer = answer.ok(202);
                let position = &answer["results"][0]["position"];
                assert!(position.is_u64(), "{answer}");
                self.done(json!({"type": "ok", "session": self.name, "position": position}), &answer["token"]);
            }
            None => {
                self.end("unknown");
                self.open_ends.push((id, key));
            }
        }
    }

    /// Reads a row; whether there was an answer at the level.
    pub(crate) fn read(&mut self, model: &str, level: &str, key: &str, budget_ms: u64) -> bool {
        let mut line =
            json!({"type": "invoke", "session": self.name, "op": "read", "level": level, "key": key, "note": model});
        let tokens = self.tokens(&mut line).replace(',', "%2C");
        self.world.recorder.line(line);
        let mut path = format!("/v1/models/{model}/rows/{key}?level={level}&budget_ms={budget_ms}");
        if !tokens.is_empty() {
            path.push_str(&format!("&token={tokens}"));
        }
        match self.visitor.ask(None, |client| client.try_get(&path)) {
            Some(answer) if answer.status == 503 => self.end("fail"),
            Some(answer) => {
                let (body, row) = shown(&answer);
                // No more was promised than is kept, and no less.
                assert_eq!(body["consistency"]["level_served"], level, "{body}");
                let position = &body["consistency"]["position"];
                let line = json!({"type": "ok", "session": self.name, "position": position, "row": row});
                self.done(line, &body["consistency"]["token"]);
                return true;
            }
            None => self.end("unknown"),
        }
        false
    }

    fn end(&self, outcome: &str) {
        self.world.recorder.line(json!({"type": outcome, "session": self.name}));
    }

    /// Keeps and records the token of an answer, and lets others have some.
    fn done(&mut self, mut line: Value, token: &Value) {
        let token = token.as_str().unwrap_or_else(|| panic!("no token: {line}"));
        self.token = token.to_owned();
        line["token"] = json!(token);
        self.world.recorder.line(line);
        // Only now: who is handed it must not be recorded before.
        let mut shared = self.world.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        match shared.len() < 20 {
            true => shared.push(token.to_owned()),
            false => shared[self.random.index(20)] = token.to_owned(),
        }
    }
}

/// The body of a read's answer, and the row in it: none where there is none.
fn shown(answer: &Answer) -> (Value, Value) {
    let body = answer.json();
    match answer.status {
        200 => {
            let data = &body["data"];
            let row = json!({"count": data["count"], "last": data["last"], "sum": data["sum"]});
            (body, row)
        }
        404 if body["type"].as_str().is_some_and(|name| name.ends_with("/no-row")) => (body, Value::Null),
        _ => panic!("{answer:?}"),
    }
}

/// What an operator got done.
#[derive(Debug, Default)]
pub(crate) struct Operated {
    pub(crate) stops: u64,
    pub(crate) rebuilds: u64,
    pub(crate) snapshots: u64,
}

/// Stops and starts projectors, takes snapshots and rebuilds, until told to finish.
pub(crate) fn operate(world: &World, mut random: Random) -> Operated {
    let _alarm = Alarm(&world.door);
    let (mut operated, mut visitor) = (Operated::default(), Visitor::new(&world.door));
    while !world.door.is_finishing() {
        let model = format!("/v1/models/{}", MODELS[random.index(2)]);
        let mut post = |path: &str, body: Value| {
            let path = format!("{model}{path}");
            let answer =
                visitor.ask(None, |client| client.try_post(&path, "application/json", body.to_string().as_bytes()));
            answer.is_some_and(|answer| {
                assert!(matches!(answer.status, 200 | 201 | 409 | 503), "{path}: {}", answer.text);
                answer.status < 400
            })
        };
        match random.below(10) {
            0..6 => {
                operated.stops += u64::from(post("/projector/stop", json!({"reason": "test"})));
                thread::sleep(Duration::from_millis(random.below(300)));
                // A kill in between starts it, too.
                post("/projector/start", json!({}));
            }
            6 => operated.snapshots += u64::from(post("/snapshots", json!({}))),
            n => {
                let from = if n == 7 { "start" } else { "snapshot" };
                operated.rebuilds += u64::from(post("/reconcile", json!({"method": "rebuild", "from": from})));
            }
        }
        world.door.pause(random.below(100));
    }
    operated
}

/// Starts every projector.
pub(crate) fn start_all(client: &Client) {
    for model in MODELS {
        client.post(&format!("/v1/models/{model}/projector/start"), &json!({})).ok(200);
    }
}
