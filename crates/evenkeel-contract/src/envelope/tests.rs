//! What counts as a CloudEvent, what is refused whole, and what two ways of sending one event have in common.
use super::*;
use proptest::prelude::*;

const HEAD: &str = r#""specversion":"1.0","id":"1","source":"shop","type":"t""#;

fn event(more: &str) -> Vec<u8> {
    format!("{{{HEAD}{more}}}").into_bytes()
}

fn ok(more: &str) -> RawEvent {
    read(&event(more)).unwrap()
}

/// Pointer and detail of what is malformed.
fn malformed(raw: &[u8]) -> (Option<String>, String) {
    match read(raw) {
        Err(Refused::Malformed(malformed)) => {
            assert_eq!((malformed.source.as_str(), malformed.id.as_str()), ("shop", "1"));
            (malformed.pointer, malformed.detail)
        }
        other => panic!("{} gave {other:?}", String::from_utf8_lossy(&raw[..raw.len().min(200)])),
    }
}

#[test]
fn an_event_is_read_whole() {
    let event = ok(
        r#","subject":"o-1","time":"2026-01-31T10:00:00+01:00","dataschema":"urn:x","traceparent":"00","retries":3,"last":true,"gone":null,"data":{"a":1.50}"#,
    );
    assert_eq!(event.subject.as_deref(), Some("o-1"));
    assert_eq!(event.time.unwrap().to_string(), "2026-01-31T09:00:00.000000Z");
    assert_eq!(Value::from(event.extensions).to_string(), r#"{"last":true,"retries":3,"traceparent":"00"}"#);
    assert_eq!(event.data.to_string(), r#"{"a":1.50}"#);
    assert_eq!(ok("").data, Value::Null);
}

#[test]
fn what_is_no_cloudevent_waits_as_malformed_with_its_place() {
    for (more, pointer) in [
        (r#","time":"2026-01-31""#, "/time"),
        (r#","subject":"""#, "/subject"),
        (r#","subject":7"#, "/subject"),
        (r#","subject":"a\u0000b""#, "/subject"),
        (r#","subject":"a\uFFFE""#, "/subject"),
        (r#","trace":"a\tb""#, "/trace"),
        (r#","traceParent":"x""#, "/traceParent"),
        (r#","a/b":"x""#, "/a~1b"),
        (r#","":"x""#, "/"),
        (r#","ext":1.5"#, "/ext"),
        (r#","ext":[]"#, "/ext"),
        (r#","datacontenttype":"text/plain","data":"x""#, "/datacontenttype"),
        (r#","data":1,"data_base64":"MQ==""#, "/data_base64"),
        (r#","data_base64":"MQ""#, "/data_base64"),
        (r#","data_base64":"aGk=""#, "/data_base64"),
        (r#","data_base64":{}"#, "/data_base64"),
        (r#","data":{"a":{"b":1,"b":2}}"#, "/data/a"),
        (r#","data":["\ud800"]"#, "/data/0"),
    ] {
        assert_eq!(malformed(&event(more)).0.as_deref(), Some(pointer), "{more}");
    }
    for (raw, pointer) in [
        (r#"{"id":"1","source":"shop","type":"t"}"#, "/specversion"),
        (r#"{"specversion":"0.3","id":"1","source":"shop","type":"t"}"#, "/specversion"),
        (r#"{"specversion":"1.0","id":"1","source":"shop"}"#, "/type"),
        (r#"{"specversion":"1.0","id":"1","source":"shop","type":null}"#, "/type"),
    ] {
        assert_eq!(malformed(raw.as_bytes()).0.as_deref(), Some(pointer), "{raw}");
    }
    let mut bytes = event(r#","data":"x""#);
    let x = bytes.iter().rposition(|&b| b == b'x').unwrap();
    bytes[x] = 0xFF;
    assert!(malformed(&bytes).1.contains("UTF-8"));
    let deep = format!(r#","data":{}{}"#, "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert!(malformed(&event(&deep)).1.contains("64 levels"));
}

#[test]
fn without_source_and_id_nothing_can_be_taken() {
    for raw in [
        "",
        "{",
        "null",
        "[]",
        "7",
        "{}",
        r#"{"specversion":"1.0","id":"1","type":"t"}"#,
        r#"{"specversion":"1.0","id":1,"source":"shop","type":"t"}"#,
        r#"{"specversion":"1.0","id":"","source":"shop","type":"t"}"#,
        r#"{"specversion":"1.0","id":"1","source":"","type":"t"}"#,
        r#"{"specversion":"1.0","id":"1","id":"1","source":"shop","type":"t"}"#,
        r#"{"specversion":"1.0","id":"\ud800","source":"shop","type":"t"}"#,
        r#"{"specversion":"1.0","id":"1","source":"shop","type":"t","data":{"a""#,
        r#"{"specversion":"1.0","id":"1","source":"shop","type":"t"} {}"#,
    ] {
        assert!(matches!(read(raw.as_bytes()), Err(Refused::Unreadable(_))), "{raw}");
    }
    assert!(matches!(
        read(format!("{{{HEAD},\"data\":{}", "[".repeat(1_000_000)).as_bytes()),
        Err(Refused::Unreadable(_))
    ));
}

#[test]
fn formatting_is_no_content() {
    let plain = ok(r#","time":"2026-01-31T10:00:00Z","retries":3,"data":{"a":1,"b":"é"}"#);
    let other = format!(
        r#" {{ "data" : {{ "b":"\u00e9", "a":1 }}, "time":"2026-01-31T11:00:00.000+01:00", "retries":"3", "subject":null,
        "datacontenttype":"application/json; charset=utf-8", {HEAD} }} "#
    );
    assert_eq!(read(other.as_bytes()).unwrap().digest, plain.digest);
    let base64 = STANDARD.encode(r#"{"b":"é","a":1}"#);
    let encoded = ok(&format!(r#","time":"2026-01-31T10:00:00Z","retries":3,"data_base64":"{base64}""#));
    assert_eq!(encoded.digest, plain.digest);
}

#[test]
fn content_is_content() {
    let variants = [
        "",
        r#","data":1"#,
        r#","data":1.0"#,
        r#","data":"1""#,
        r#","data":[1]"#,
        r#","subject":"1""#,
        r#","dataschema":"1""#,
        r#","ext":"1""#,
        r#","exu":"1""#,
        r#","ext":true"#,
        r#","time":"2026-01-31T10:00:00Z""#,
        r#","datacontenttype":"application/x+json""#,
    ];
    let digests: std::collections::HashSet<_> = variants.iter().map(|more| ok(more).digest).collect();
    assert_eq!(digests.len(), variants.len());
}

fn binary(headers: &[(&str, &str)], content_type: Option<&str>, body: &[u8]) -> Vec<u8> {
    let required = [("CE-ID", "1"), ("ce-source", "shop"), ("ce-type", "t"), ("ce-specversion", "1.0")];
    from_binary(required.into_iter().chain(headers.iter().copied()), content_type, body).unwrap()
}

#[test]
fn the_three_modes_give_the_same_event() {
    let data = r#"{"total": 9007199254740993.01, "name": "Ä"}"#;
    let structured = event(&format!(r#","subject":"Köln 1","retries":3,"data":{data}"#));
    let batch = [b"[".as_slice(), &structured, b", 1]"].concat();
    let headers = [("ce-subject", "K%C3%B6ln%201"), ("Ce-Retries", "3"), ("content-length", "9")];
    let binary = binary(&headers, Some("application/json"), data.as_bytes());
    let read = |raw: &[u8]| read(raw).unwrap();
    let expected = read(&structured);
    for other in [read(split_batch(&batch).unwrap()[0]), read(&binary)] {
        assert_eq!((other.digest, &other.source, &other.id), (expected.digest, &expected.source, &expected.id));
        assert_eq!((other.data, other.subject), (expected.data.clone(), expected.subject.clone()));
    }
}

#[test]
fn binary_mode_keeps_whole_what_it_cannot_read() {
    for (headers, content_type, body, pointer) in [
        (&[][..], Some("application/json"), &b"{broken"[..], "/data_base64"),
        (&[], Some("application/json"), b"\"\xFF\"", "/data_base64"),
        (&[], Some("text/plain"), b"7", "/datacontenttype"),
        (&[], None, b"{\"a\":1,\"a\":2}", "/data"),
        (&[("ce-subject", "%FF")], None, b"1", "/ce-subject"),
        (&[("ce-data", "2")], None, b"", "/ce-data"),
        (&[("ce-data_base64", "MQ==")], None, b"", "/ce-data_base64"),
        (&[("ce-not-a-name", "x")], None, b"", "/not-a-name"),
        (&[("ce-type", "again")], None, b"", ""),
    ] {
        let raw = binary(headers, content_type, body);
        assert_eq!(malformed(&raw).0.unwrap_or_default(), pointer, "{}", String::from_utf8_lossy(&raw));
        let kept: serde_json::Value = serde_json::from_slice(&raw).unwrap_or_default();
        if let Some(encoded) = kept["data_base64"].as_str() {
            assert_eq!(STANDARD.decode(encoded).unwrap(), body);
        }
    }
    assert!(from_binary([("ce-id", "1")], None, b"").is_err());
    assert!(from_binary([("ce-id", "%FF"), ("ce-source", "shop")], None, b"").is_err());
    let text = serde_json::from_slice::<serde_json::Value>(&binary(&[], Some("text/plain"), b" 7\n")).unwrap();
    assert_eq!(text["data_base64"], STANDARD.encode(" 7\n"), "white space is content in plain text");
    let deep = binary(&[], None, "[".repeat(1_000_000).as_bytes());
    assert_eq!(malformed(&deep).0.as_deref(), Some("/data_base64"));
}

#[test]
fn one_bad_element_does_not_spoil_a_batch() {
    let good = event("");
    let deep = [b"[".repeat(1_000_000), b"]".repeat(1_000_000)].concat();
    for bad in [&b"{\"a\":1,\"a\":1}"[..], b"\"\xFF\xFE, ]\"", b"null", &deep] {
        let batch = [b" [ ", &good[..], b",\n", bad, b" , ", &good, b"] "].concat();
        assert_eq!(split_batch(&batch).unwrap(), [&good[..], bad, &good]);
    }
    for whole in [&b""[..], b"{}", b"[", b"[1", b"[1,]", b"[1]2", b"[\xFF]", b"[\"\xFF]"] {
        assert!(split_batch(whole).is_err(), "{whole:?}");
    }
    assert!(split_batch(b"[]").unwrap().is_empty());
}

proptest! {
    #[test]
    fn any_attribute_survives_a_header(subject in "[^\\p{C}]{1,8}") {
        let encoded: String = subject.bytes().map(|b| match b {
            b'!'..=b'~' if !matches!(b, b'%' | b'"') => char::from(b).to_string(),
            _ => format!("%{b:02x}"),
        }).collect();
        let raw = binary(&[("ce-subject", &encoded)], None, b"");
        prop_assert_eq!(read(&raw).unwrap().subject, Some(subject));
    }

    #[test]
    fn any_body_is_kept_and_never_breaks_out(body: Vec<u8>) {
        let raw = binary(&[], None, &body);
        let outer: serde_json::Value = serde_json::from_slice(&raw).unwrap();
        match &outer["data_base64"] {
            serde_json::Value::String(encoded) => prop_assert_eq!(STANDARD.decode(encoded).unwrap(), body),
            _ => prop_assert_eq!(&outer["data"], &serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default()),
        }
    }

    #[test]
    fn a_batch_is_cut_into_what_was_put_together(elements in prop::collection::vec("[\\[\\]{}\",: a\u{e9}\\\\]{0,6}", 0..4), broken: bool) {
        let texts: Vec<Vec<u8>> = elements.iter().map(|text| {
            let mut quoted = serde_json::Value::from(text.as_str()).to_string().into_bytes();
            if broken {
                quoted.insert(1, 0xC3);
            }
            quoted
        }).collect();
        let batch = [b"[".to_vec(), texts.join(&b','), b"]".to_vec()].concat();
        prop_assert_eq!(split_batch(&batch).unwrap(), texts);
    }
}
