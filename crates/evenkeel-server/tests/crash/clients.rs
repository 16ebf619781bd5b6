//! Who uses the server while it is killed: senders who remember every acknowledgement, an operator who rebuilds models
//! and decides about the quarantine, and an observer who remembers what stood in the log.
use super::{
    super::common::{Client, Random},
    door::{Alarm, Door, Visitor},
    events::{Event, Events, Identity},
    reads::Reads,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::atomic::Ordering};

/// What a sender was told of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) position: Option<u64>,
    pub(crate) entry: Option<String>,
}

/// What a sender sent and was told.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) events: BTreeMap<Identity, Told>,
    /// Requests that were sent again because no answer came.
    pub(crate) repeated: u64,
    /// Events that were sent again although they were acknowledged.
    pub(crate) resent: u64,
}

impl Sent {
    /// Notes an acknowledgement, which never contradicts an earlier one.
    fn note(&mut self, event: &Event, result: &Value) {
        let told = self.events.entry(event.identity.clone()).or_default();
        let (position, entry) = (result["position"].as_u64(), result["quarantine_id"].as_str().map(str::to_owned));
        assert!(position.is_some() != entry.is_some(), "{result}");
        match (told.position, position) {
            (Some(before), now) => assert_eq!(Some(before), now, "{:?} has moved: {result}", event.identity),
            // An operator may have let it in meanwhile.
            (None, now) => told.position = now,
        }
        if let (Some(before), Some(now)) = (&told.entry, &entry) {
            assert_eq!(before, now, "{:?} has another entry: {result}", event.identity);
        }
        told.entry = entry.or(told.entry.take());
    }
}

/// Publishes until told to finish; each request until it is answered.
pub(crate) fn send(door: &Door, reads: &Reads, sender: usize, random: Random) -> Sent {
    let _alarm = Alarm(door);
    let mut events = Events::new(sender, random);
    let (mut sent, mut visitor, mut acknowledged) = (Sent::default(), Visitor::new(door), Vec::<Event>::new());
    while !door.is_finishing() {
        let size = if events.random.percent(30) { 1 } else { 2 + events.random.below(30) };
        let mut batch: Vec<Event> = (0..size).map(|_| events.next()).collect();
        let fresh = batch.len();
        while !acknowledged.is_empty() && events.random.percent(25) {
            batch.push(acknowledged[events.random.index(acknowledged.len())].clone());
            sent.resent += 1;
        }
        for event in &batch[..fresh] {
            sent.events.insert(event.identity.clone(), Told::default());
        }
        let raw: Vec<&str> = batch.iter().map(|event| event.raw.as_str()).collect();
        let answer = loop {
            match visitor.ask(Some(&door.publishing), |client| client.try_publish(&raw)) {
                Some(answer) if answer.status == 503 => drop(answer.unavailable()),
                Some(answer) => break answer.ok(202),
                None if door.failed() => return sent,
                None => {}
            }
            sent.repeated += 1;
        };
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.len(), batch.len());
        for (event, result) in batch.iter().zip(results) {
            assert_eq!(
                (result["source"].as_str(), result["id"].as_str()),
                (Some(&*event.identity.0), Some(&*event.identity.1))
            );
            sent.note(event, result);
        }
        reads.acknowledge(&answer, visitor.life());
        acknowledged.extend(batch.into_iter().take(fresh));
    }
    sent
}

/// What an operator got done.
#[derive(Debug, Default)]
pub(crate) struct Operated {
    pub(crate) rebuilds: u64,
    pub(crate) decisions: u64,
}

/// Rebuilds models, and discards or redrives what is in quarantine, until told to finish.
pub(crate) fn operate(door: &Door, mut random: Random) -> Operated {
    let _alarm = Alarm(door);
    let (mut operated, mut visitor) = (Operated::default(), Visitor::new(door));
    while !door.is_finishing() {
        if random.percent(60) {
            // Never the inventory: what a kill has spoiled in it stays to be seen, and an event counted twice is seen.
            let model = ["customers", "orders"][random.index(2)];
            let path = format!("/v1/models/{model}/reconcile");
            let rebuild = json!({"method": "rebuild"}).to_string();
            let asked = |client: &Client| client.try_post(&path, "application/json", rebuild.as_bytes());
            if let Some(answer) = visitor.ask(Some(&door.rebuilding), asked) {
                let record = answer.ok(200);
                assert_eq!((&record["result"], &record["verified"]), (&"converged".into(), &true.into()), "{record}");
                operated.rebuilds += 1;
            }
        } else {
            operated.decisions += u64::from(decide(&mut visitor, &mut random).is_some());
        }
        door.pause(random.below(40));
    }
    operated
}

/// Decides about an entry of the gate or of a model.
fn decide(visitor: &mut Visitor<'_>, random: &mut Random) -> Option<()> {
    let entries = visitor.ask(None, |client| client.try_get("/v1/quarantine?state=quarantined&limit=10000"))?.ok(200);
    let entries = entries["entries"].as_array()?;
    if entries.is_empty() {
        return None;
    }
    let id = entries[random.index(entries.len())]["id"].as_str()?;
    let path = format!("/v1/quarantine/{id}/{}", if random.percent(70) { "discard" } else { "redrive" });
    let word = json!({"author": "operator"}).to_string();
    let answer = visitor.ask(None, |client| client.try_post(&path, "application/json", word.as_bytes()))?;
    assert!(matches!(answer.status, 200 | 409), "{path}: {}", answer.text);
    Some(())
}

/// Everything received is in one of the places, at whatever moment this was asked.
pub(crate) fn balanced(books: &Value) {
    for source in books["sources"].as_array().unwrap() {
        let number = |name: &str| source[name].as_i64().unwrap();
        let places = ["admitted", "duplicate", "waiting", "quarantined", "discarded"];
        assert_eq!(number("received"), places.map(number).iter().sum::<i64>(), "{source}");
        assert_eq!(source["balanced"], true, "{source}");
    }
}

/// Reads the log as it grows, until told to finish; what stood where. Looks at the books all the while.
pub(crate) fn observe(door: &Door) -> Vec<Identity> {
    /// How much of what was seen is read again each time: it must not have changed.
    const AGAIN: usize = 50;
    let _alarm = Alarm(door);
    let (mut seen, mut visitor) = (Vec::<Identity>::new(), Visitor::new(door));
    while !door.is_finishing() {
        let after = seen.len().saturating_sub(AGAIN);
        let path = format!("/v1/log?after={after}&limit=500");
        let Some(answer) = visitor.ask(None, |client| client.try_get(&path)) else { continue };
        let page = answer.ok(200);
        let events = page["events"].as_array().unwrap();
        assert!(after + events.len() >= seen.len(), "the log has become shorter than {}", seen.len());
        for (index, event) in (after..).zip(events) {
            assert_eq!(event["position"], index + 1, "a hole or a repetition: {event}");
            let text = |member: &str| event[member].as_str().unwrap().to_owned();
            let identity = (text("source"), text("id"));
            match seen.get(index) {
                Some(before) => assert_eq!(*before, identity, "another event stands at {}", index + 1),
                None => seen.push(identity),
            }
        }
        let rows = visitor.ask(None, |client| client.try_get("/v1/models/inventory/rows?limit=50"));
        rows.inspect(|rows| assert_eq!(rows.status, 200, "{}", rows.text));
        if let Some(answer) = visitor.ask(None, |client| client.try_get("/v1/accounting")) {
            balanced(&answer.ok(200));
        }
        if events.len() < 500 {
            door.pause(5);
        }
    }
    seen
}

/// How many requests are under way: publishing, rebuilding.
pub(crate) fn under_way(door: &Door) -> (usize, usize) {
    (door.publishing.load(Ordering::SeqCst), door.rebuilding.load(Ordering::SeqCst))
}
