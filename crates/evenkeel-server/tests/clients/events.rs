//! What the clients send, and what must be there then.
use super::{
    super::common::{Client, Server},
    Event, Request, Sdk,
};
use serde_json::{Value, json};
use std::{fs, path::Path};

const FILES: [(&str, &str); 2] = [
    ("evenkeel.toml", "[node]\nid = \"a\"\n[[source]]\nname = \"clients\"\nmatch = \"urn:clients:*\"\n"),
    (
        "contracts/order_placed.toml",
        r#"
contract = "order_placed"
version = 1
from = { source = "urn:clients:*", type = "com.example.OrderPlaced" }
subject = { event = "subject" }
map = [
  { from = "/order", to = "order", type = "text" },
  { from = "/count", to = "count", type = "i64" },
  { from = "/price", to = "price", type = "decimal" },
  { from = "/more", to = "more", type = "json" },
  { from = { extension = "partitionkey" }, to = "partition", type = "text" },
]
invariant = [{ name = "count_positive", gt = ["/data/count", 0] }]
"#,
    ),
];

const TIME: &str = "2026-11-23T12:30:15.125Z";

/// Text from beyond ASCII, beyond the basic plane, and with what must be escaped in JSON and in headers.
const UNICODE: &str = "Ærø – 日本 🚢 50% \"q\" \\ /";

fn start(folder: &Path) -> Server {
    let project = folder.join("project");
    for (name, text) in FILES {
        let path = project.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    Server::start(&project, &folder.join("data"))
}

/// The attributes of an event about `subject`, with extensions of every type that both clients have.
fn attributes(source: &str, id: &str, subject: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": source, "type": "com.example.OrderPlaced", "subject": subject,
        "time": TIME, "datacontenttype": "application/json", "dataschema": "https://example.com/order.json",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "partitionkey": "north west/7",
        "sequence": 41,
    })
}

fn value(attributes: Value, data: &Value) -> Event {
    Event { attributes, data: data.to_string(), bytes: false }
}

/// A document that no client's own numbers could carry: it gets through as bytes.
const EXACT: &str = r#"{"order": "Ærø 🚢", "count": 9007199254740993, "price": 19.90,
    "more": [19.90, 123456789012345678901234567890.10, 9007199254740993, "\u00e9\ud83d\udea2"]}"#;

/// How the log shows what [`EXACT`] became, to the letter.
const EXACT_DATA: &str = concat!(
    r#"{"count":9007199254740993,"more":[19.90,123456789012345678901234567890.10,9007199254740993,"é🚢"],"#,
    r#""order":"Ærø 🚢","partition":"north west/7","price":"19.90"}"#,
);

#[track_caller]
fn outcomes(answer: &Value) -> Vec<(&str, Option<&str>)> {
    let results = answer["results"].as_array().unwrap_or_else(|| panic!("{answer}"));
    results.iter().map(|result| (result["outcome"].as_str().unwrap(), result["reason"].as_str())).collect()
}

/// The event with this id, and the text in which the log shows it.
#[track_caller]
fn received(client: &Client, id: &str) -> (Value, String) {
    let event = client.log().into_iter().find(|event| event["id"] == id).unwrap_or_else(|| panic!("{id} is not there"));
    let after = event["position"].as_u64().unwrap() - 1;
    (event, client.get(&format!("/v1/log?after={after}&limit=1")).text)
}

/// That an event came through as it was given to the client. In binary mode every extension is text.
#[track_caller]
fn is_there(client: &Client, mode: &str, sent: &Event) {
    let given = &sent.attributes;
    let (event, text) = received(client, given["id"].as_str().unwrap());
    for name in ["source", "id", "subject"] {
        assert_eq!(event[name], given[name], "{mode}");
    }
    assert_eq!((&event["type"], &event["time"]), (&json!("order_placed"), &json!("2026-11-23T12:30:15.125000Z")));
    let sequence = if mode == "binary" { json!("41") } else { json!(41) };
    let mut extensions = event["extensions"].clone();
    for (name, expected) in
        [("traceparent", &given["traceparent"]), ("partitionkey", &given["partitionkey"]), ("sequence", &sequence)]
    {
        assert_eq!(extensions.as_object_mut().unwrap().remove(name).as_ref(), Some(expected), "{mode}: {name}");
    }
    let more = if given["note"].is_null() { json!({}) } else { json!({"note": given["note"]}) };
    assert_eq!(extensions, more, "{mode}");
    if sent.bytes {
        assert!(text.contains(&format!("\"data\":{EXACT_DATA}")), "{mode}: {text}");
    } else {
        let mut expected: Value = serde_json::from_str(&sent.data).unwrap();
        expected["partition"] = given["partitionkey"].clone();
        assert_eq!(event["data"], expected, "{mode}");
    }
}

/// Publishes with a client in its three modes, one by one and mixed with what is refused.
fn publish_in_every_mode(sdk: Sdk) {
    let folder = tempfile::tempdir().unwrap();
    let installed = sdk.installed();
    let server = start(folder.path());
    let client = server.client();
    let source = format!("urn:clients:{sdk:?}").to_lowercase();
    // The greatest integer that the language itself writes exactly.
    let (greatest, unicode_headers) = match sdk {
        Sdk::Python => (i64::MAX, true),
        // Its client writes attributes into headers as they are, and HTTP has no such characters there.
        Sdk::Node => (9_007_199_254_740_991, false),
    };
    let data = json!({"order": UNICODE, "count": greatest, "price": "19.90", "more": {"ü": [null, true, UNICODE, {}]}});
    let event = |mode: &str, kind: &str| {
        let mut attributes = attributes(&source, &format!("{mode}-{kind}"), &format!("order {mode}/{kind}"));
        if kind == "unicode" {
            attributes["subject"] = UNICODE.into();
            attributes["note"] = UNICODE.into();
        }
        match kind {
            "bytes" => Event { attributes, data: EXACT.into(), bytes: true },
            _ => value(attributes, &data),
        }
    };

    for mode in ["binary", "structured"] {
        let mut kinds = vec!["value", "bytes"];
        kinds.extend((mode != "binary" || unicode_headers).then_some("unicode"));
        let single = |kind: &&str| Request { mode, events: vec![event(mode, kind)] };
        let requests: Vec<Request> = kinds.iter().map(single).collect();
        for answer in installed.publish(&client, &requests) {
            assert_eq!(outcomes(&answer), [("admitted", None)], "{mode}: {answer}");
        }
        requests.iter().flat_map(|request| &request.events).for_each(|sent| is_there(&client, mode, sent));
        // A client that was not told sends again, and is told what became of the first.
        let again = installed.publish(&client, &requests[..1]);
        assert_eq!(outcomes(&again[0]), [("duplicate", None)]);
    }
    let mut bad = event("batch", "bad");
    bad.data = bad.data.replace(&format!("\"count\":{greatest}"), "\"count\":0");
    let mut stranger = event("batch", "stranger");
    stranger.attributes["source"] = "urn:nobody".into();
    let events = vec![event("batch", "value"), bad, event("batch", "bytes"), stranger, event("batch", "unicode")];
    let answer = installed.publish(&client, &[Request { mode: "batch", events: events.clone() }]).remove(0);
    let (taken, refused) = (("admitted", None), |reason| ("quarantined", Some(reason)));
    assert_eq!(outcomes(&answer), [taken, refused("invariant"), taken, refused("untrusted_source"), taken]);
    [0, 2, 4].into_iter().for_each(|index| is_there(&client, "batch", &events[index]));
    let mut waiting: Vec<_> = client.quarantine().into_iter().map(|mut entry| entry["raw_id"].take()).collect();
    waiting.sort_by_key(Value::to_string);
    assert_eq!(waiting, ["batch-bad", "batch-stranger"]);
}

#[test]
fn the_python_client_publishes_in_every_mode() {
    publish_in_every_mode(Sdk::Python);
}

#[test]
fn the_node_client_publishes_in_every_mode() {
    publish_in_every_mode(Sdk::Node);
}

#[test]
fn an_event_is_one_event_whichever_client_sends_it_in_whichever_mode() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let client = server.client();
    let data = json!({"order": UNICODE, "count": 3, "price": 19.5, "more": {"z": 1, "a": [UNICODE]}});
    let events = [
        value(attributes("urn:clients:both", "value", "o-1"), &data),
        Event { attributes: attributes("urn:clients:both", "bytes", "o-2"), data: EXACT.into(), bytes: true },
    ];
    let mut expected = "admitted";
    for sdk in [Sdk::Python, Sdk::Node] {
        let installed = sdk.installed();
        for mode in ["binary", "structured", "batch"] {
            for event in &events {
                let answers = installed.publish(&client, &[Request { mode, events: vec![event.clone()] }]);
                assert_eq!(outcomes(&answers[0]), [(expected, None)], "{sdk:?}, {mode}: {answers:?}");
            }
            expected = "duplicate";
        }
    }
    assert_eq!(client.log().len(), events.len());
}
