//! A simple system that keeps every guarantee, and histories of it: one log, any number of replicas that are anywhere
//! behind it, and clients at every level that hand tokens to each other, whose operations overlap, get lost and are retried.
//!
//! Not here: violations ([`super::seeded`]).
use serde_json::{Value, json};

/// SplitMix64: a seed determines a history.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    pub(super) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }
}

/// What a token means to the system.
#[derive(Clone, Copy, Default)]
struct Token {
    read: usize,
    written: usize,
}

impl Token {
    fn merge(self, other: Self) -> Self {
        Self { read: self.read.max(other.read), written: self.written.max(other.written) }
    }
}

#[derive(Clone)]
struct Event {
    id: String,
    key: String,
}

enum Doing {
    Nothing,
    /// The event, and its position once it has one.
    Write(Event, Option<usize>),
    Read(&'static str, String),
}

struct Client {
    token: Token,
    sent: Token,
    doing: Doing,
    /// What may have been written: it is tried again.
    open_ends: Vec<Event>,
}

/// What a history is made from.
pub(super) struct Shape {
    pub(super) seed: u64,
    pub(super) clients: usize,
    pub(super) keys: usize,
    pub(super) operations: usize,
    /// Whether the log is recorded at the end.
    pub(super) log: bool,
}

struct World {
    random: Random,
    log: Vec<Event>,
    tokens: Vec<Token>,
    /// Sent and given up by their senders: they may get in later.
    adrift: Vec<Event>,
    lines: Vec<Value>,
    events: usize,
}

/// A row of a key as of a position, of the log's events as (id, key).
pub(super) fn row<'e>(log: impl Iterator<Item = (&'e str, &'e str)>, key: &str, upto: usize) -> Value {
    let (mut count, mut last, mut sum) = (0, None, 0);
    for (position, (id, _)) in (1..=upto).zip(log).filter(|(_, (_, of))| *of == key) {
        (count, last, sum) = (count + 1, Some(id), sum + position);
    }
    last.map_or(Value::Null, |last| json!({"count": count, "last": last, "sum": sum}))
}

/// A history that keeps every guarantee.
pub(super) fn history(shape: &Shape) -> Vec<Value> {
    let mut world = World {
        random: Random(shape.seed),
        log: Vec::new(),
        tokens: Vec::new(),
        adrift: Vec::new(),
        lines: Vec::new(),
        events: 0,
    };
    let blank =
        || Client { token: Token::default(), sent: Token::default(), doing: Doing::Nothing, open_ends: Vec::new() };
    let mut clients: Vec<Client> = (0..shape.clients).map(|_| blank()).collect();
    let mut begun = 0;
    while begun < shape.operations {
        let who = world.random.below(clients.len());
        let client = &mut clients[who];
        match std::mem::replace(&mut client.doing, Doing::Nothing) {
            Doing::Nothing => {
                begun += 1;
                world.begin(who, client, shape.keys);
            }
            Doing::Write(event, position) => world.write(who, client, event, position),
            Doing::Read(level, key) => world.read(who, client, level, &key),
        }
        if !world.adrift.is_empty() && world.random.percent(10) {
            let index = world.random.below(world.adrift.len());
            let event = world.adrift.swap_remove(index);
            world.append(&event);
        }
    }
    if shape.log {
        let logged = (1..).zip(&world.log);
        let logged = logged
            .map(|(position, event)| json!({"type": "log", "position": position, "id": event.id, "key": event.key}));
        world.lines.extend(logged.collect::<Vec<_>>());
    }
    world.lines
}

impl World {
    fn begin(&mut self, who: usize, client: &mut Client, keys: usize) {
        let mut line = json!({"type": "invoke", "session": format!("s{who}")});
        client.sent = client.token;
        if !self.tokens.is_empty() && self.random.percent(15) {
            let token = self.random.below(self.tokens.len());
            client.sent = client.token.merge(self.tokens[token]);
            line["token"] = json!(format!("t{token}"));
        }
        let mut key = format!("k{}", self.random.below(keys));
        if self.random.percent(50) {
            let event = if !client.open_ends.is_empty() && self.random.percent(50) {
                let event = client.open_ends.swap_remove(0);
                key.clone_from(&event.key);
                event
            } else {
                self.events += 1;
                Event { id: format!("e{}", self.events), key: key.clone() }
            };
            line["op"] = json!("write");
            line["id"] = json!(event.id);
            client.doing = Doing::Write(event, None);
        } else {
            let level = ["eventual", "bounded", "monotonic", "causal", "strong"][self.random.below(5)];
            line["op"] = json!("read");
            line["level"] = json!(level);
            client.doing = Doing::Read(level, key.clone());
        }
        line["key"] = json!(key);
        self.lines.push(line);
    }

    /// Its position, wherever it has been before.
    fn append(&mut self, event: &Event) -> usize {
        if let Some(index) = self.log.iter().position(|known| known.id == event.id) {
            return index + 1;
        }
        self.log.push(event.clone());
        self.log.len()
    }

    fn write(&mut self, who: usize, client: &mut Client, event: Event, position: Option<usize>) {
        let session = format!("s{who}");
        match position {
            None if self.random.percent(8) => self.lines.push(json!({"type": "fail", "session": session})),
            None if self.random.percent(10) => {
                self.lines.push(json!({"type": "unknown", "session": session, "note": "no answer"}));
                self.adrift.push(event.clone());
                client.open_ends.push(event);
            }
            None => client.doing = Doing::Write(event.clone(), Some(self.append(&event))),
            Some(_) if self.random.percent(10) => {
                self.lines.push(json!({"type": "unknown", "session": session}));
                client.open_ends.push(event);
            }
            Some(position) => {
                client.token = client.sent.merge(Token { read: 0, written: position });
                self.done(json!({"type": "ok", "session": session, "position": position}), client.token);
            }
        }
    }

    fn read(&mut self, who: usize, client: &mut Client, level: &str, key: &str) {
        let session = format!("s{who}");
        if self.random.percent(10) {
            let outcome = ["fail", "unknown"][self.random.below(2)];
            return self.lines.push(json!({"type": outcome, "session": session}));
        }
        let floor = match level {
            "monotonic" => client.sent.read,
            "causal" => client.sent.read.max(client.sent.written),
            "strong" => self.log.len(),
            _ => 0,
        };
        let position = floor + self.random.below(self.log.len() - floor + 1);
        let log = self.log.iter().map(|event| (&*event.id, &*event.key));
        let row = row(log, key, position);
        client.token = client.sent.merge(Token { read: position, written: 0 });
        self.done(json!({"type": "ok", "session": session, "position": position, "row": row}), client.token);
    }

    fn done(&mut self, mut line: Value, token: Token) {
        if self.random.percent(70) {
            line["token"] = json!(format!("t{}", self.tokens.len()));
            self.tokens.push(token);
        }
        self.lines.push(line);
    }
}
