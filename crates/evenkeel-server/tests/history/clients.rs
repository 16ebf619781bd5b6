//! Clients who write and read at every level, keep their tokens and hand them to others; and an operator who stops,
//! starts and rebuilds models meanwhile.
use super::{
    super::common::{Client, Random},
    door::{Alarm, Door, Visitor},
    project::{MODELS, event},
    recorder::Recorder,
    ways::{WAYS, Way, Whole},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
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
    /// What answers that show all rows of a model have shown.
    wholes: Mutex<Vec<Whole>>,
    /// How often each way of asking was answered.
    answered: Mutex<BTreeMap<Way, u64>>,
}

impl World {
    /// What whole answers have shown, and how often each way of asking was answered.
    pub(crate) fn shown(&self) -> (Vec<Whole>, BTreeMap<Way, u64>) {
        let take =
            |wholes: &Mutex<Vec<Whole>>| std::mem::take(&mut *wholes.lock().unwrap_or_else(PoisonError::into_inner));
        (take(&self.wholes), self.answered.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn note(&self, way: Way, wholes: Vec<Whole>) {
        self.wholes.lock().unwrap_or_else(PoisonError::into_inner).extend(wholes);
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner).entry(way).or_default() += 1;
    }
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
                let (model, way) = (MODELS[self.random.index(2)], WAYS[self.random.index(WAYS.len())]);
                self.read(way, model, level, &key, 100);
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
    pub(crate) fn read(&mut self, way: Way, model: &'static str, level: &str, key: &str, budget_ms: u64) -> bool {
        let note = format!("{model}, {way:?}");
        let mut line =
            json!({"type": "invoke", "session": self.name, "op": "read", "level": level, "key": key, "note": note});
        let tokens = self.tokens(&mut line).replace(',', "%2C");
        self.world.recorder.line(line);
        let mut parameters = format!("level={level}&budget_ms={budget_ms}");
        if !tokens.is_empty() {
            parameters.push_str(&format!("&token={tokens}"));
        }
        match self.visitor.ask(None, |client| way.ask(client, model, key, &parameters)) {
            Some(answer) if answer.status == 503 => self.end("fail"),
            Some(answer) => {
                let shown = way.shown(&answer, model, key);
                // No more was promised than is kept, and no less.
                assert_eq!(shown.consistency["level_served"], level, "{way:?}: {}", answer.text);
                self.world.note(way, shown.wholes);
                let (position, row) = (shown.position, shown.row);
                let line = json!({"type": "ok", "session": self.name, "position": position, "row": row});
                self.done(line, &shown.consistency["token"]);
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
