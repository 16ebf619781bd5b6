//! What each operation does, what it refuses, and that nothing else changes.
use super::*;
use crate::json::parse;
use proptest::prelude::*;

fn value(text: &str) -> Value {
    parse(text.as_bytes()).unwrap()
}

fn patched(document: &str, patch: &str) -> Result<String, String> {
    let patch: Patch = patch.parse().map_err(|error: PatchError| error.to_string())?;
    patch.apply(value(document)).map(|value| value.to_string()).map_err(|error| error.to_string())
}

fn becomes(document: &str, patch: &str, expected: &str) {
    assert_eq!(patched(document, patch).as_deref(), Ok(expected), "{patch} on {document}");
}

fn refused(document: &str, patch: &str, why: &str) {
    let error = patched(document, patch).unwrap_err();
    assert!(error.contains(why), "{patch} on {document}: {error}");
}

#[test]
fn each_operation_does_what_it_is_called() {
    becomes(r#"{"a":1}"#, r#"[{"op":"add","path":"/b","value":[1]}]"#, r#"{"a":1,"b":[1]}"#);
    becomes(r#"{"a":1}"#, r#"[{"op":"add","path":"/a","value":2}]"#, r#"{"a":2}"#);
    becomes(r#"{"a":[1,3]}"#, r#"[{"op":"add","path":"/a/1","value":2}]"#, r#"{"a":[1,2,3]}"#);
    becomes(r#"[1]"#, r#"[{"op":"add","path":"/-","value":2},{"op":"add","path":"/2","value":3}]"#, "[1,2,3]");
    becomes(r#"{"a":1}"#, r#"[{"op":"add","path":"","value":null}]"#, "null");
    becomes(r#"{"a":[1,2],"b":3}"#, r#"[{"op":"remove","path":"/a/0"},{"op":"remove","path":"/b"}]"#, r#"{"a":[2]}"#);
    becomes(r#"{"a":{"b":1}}"#, r#"[{"op":"replace","path":"/a/b","value":"x"}]"#, r#"{"a":{"b":"x"}}"#);
    becomes(r#"{"a":{"b":1},"c":{}}"#, r#"[{"op":"move","from":"/a/b","path":"/c/d"}]"#, r#"{"a":{},"c":{"d":1}}"#);
    becomes(r#"["a","b","c"]"#, r#"[{"op":"move","from":"/0","path":"/2"}]"#, r#"["b","c","a"]"#);
    becomes(r#"{"a":1}"#, r#"[{"op":"move","from":"/a","path":"/a"}]"#, r#"{"a":1}"#);
    becomes(r#"{"a":[1]}"#, r#"[{"op":"copy","from":"/a","path":"/a/0"}]"#, r#"{"a":[[1],1]}"#);
    becomes(
        r#"{"a/b":1,"m~n":2}"#,
        r#"[{"op":"remove","path":"/a~1b"},{"op":"test","path":"/m~0n","value":2}]"#,
        r#"{"m~n":2}"#,
    );
    becomes(r#"{"":1}"#, r#"[{"op":"replace","path":"/","value":2}]"#, r#"{"":2}"#);
    becomes("7", "[]", "7");
}

#[test]
fn what_cannot_be_done_is_refused_with_the_operation() {
    let document = r#"{"a":[1],"t":"x"}"#;
    for (patch, why) in [
        (
            r#"[{"op":"test","path":"/t","value":"x"},{"op":"remove","path":"/b"}]"#,
            "operation 1: there is nothing at /b",
        ),
        (r#"[{"op":"replace","path":"/a/1","value":2}]"#, "nothing at /a/1"),
        (r#"[{"op":"add","path":"/a/2","value":2}]"#, "no place in an array of 1"),
        (r#"[{"op":"add","path":"/a/01","value":2}]"#, "no place"),
        (r#"[{"op":"add","path":"/t/x","value":2}]"#, "inside text"),
        (r#"[{"op":"add","path":"/b/c","value":2}]"#, "inside of nothing"),
        (r#"[{"op":"remove","path":""}]"#, "whole document"),
        (r#"[{"op":"remove","path":"/a/-"}]"#, "nothing at"),
        (r#"[{"op":"move","from":"/a","path":"/a/0"}]"#, "into itself"),
        (r#"[{"op":"move","from":"/b","path":"/c"}]"#, "nothing at /b"),
        (r#"[{"op":"test","path":"/t","value":"y"}]"#, "not what the test expects"),
        (r#"[{"op":"add","path":"/b"}]"#, "value is missing"),
        (r#"[{"op":"add","path":"b","value":1}]"#, "JSON pointer"),
        (r#"[{"op":"copy","path":"/b"}]"#, "from is missing"),
        (r#"[{"op":"merge","path":"/b"}]"#, "found \"merge\""),
        (r#"[{"path":"/b"}]"#, "op is missing"),
        (r#"[7]"#, "expected an object, found a number"),
        (r#"{"op":"remove","path":"/a"}"#, "array of operations"),
        (r#"[{"op":"remove","op":"add","path":"/a"}]"#, "stands twice"),
    ] {
        refused(document, patch, why);
    }
}

#[test]
fn digits_survive_what_is_put_in_and_what_is_left_alone() {
    let document = r#"{"big":9007199254740993,"exact":9007199254740993.01,"huge":1e400,"wide":18446744073709551617}"#;
    becomes(
        document,
        r#"[{"op":"copy","from":"/exact","path":"/too"},{"op":"replace","path":"/big","value":0.10000000000000000001}]"#,
        r#"{"big":0.10000000000000000001,"exact":9007199254740993.01,"huge":1e400,"too":9007199254740993.01,"wide":18446744073709551617}"#,
    );
}

#[test]
fn a_test_compares_what_numbers_are_worth() {
    let same = |a: &str, b: &str| {
        let patch = format!(r#"[{{"op":"test","path":"/0","value":[{b}]}}]"#);
        patched(&format!("[[{a}]]"), &patch).is_ok()
    };
    for (a, b) in [
        ("1", "1.0"),
        ("1", "10e-1"),
        ("0", "-0.0"),
        ("1e400", "10E+399"),
        ("9007199254740993.010", "9007199254740993.01"),
    ] {
        assert!(same(a, b) && same(b, a), "{a} and {b}");
    }
    let beyond = "1e99999999999999999999999999999999999999999999";
    assert!(same(beyond, beyond));
    for (a, b) in
        [("9007199254740993.01", "9007199254740993.02"), ("1", "-1"), ("1", "\"1\""), ("100", "1"), ("1e400", beyond)]
    {
        assert!(!same(a, b) && !same(b, a), "{a} and {b}");
    }
}

#[test]
fn no_patch_makes_more_than_can_be_read_again() {
    let deepening = format!("[{}]", vec![r#"{"op":"copy","from":"","path":"/a"}"#; 70].join(","));
    refused(r#"{"a":0}"#, &deepening, "deeper than 64");
    let growing = format!("[{}]", [r#"{"op":"copy","from":"/a","path":"/a/-"}"#; 8].join(","));
    let wide = format!(r#"{{"a":["{}"]}}"#, "x".repeat(60_000));
    refused(&wide, &growing, "copies more than");
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let put = |levels| format!(r#"[{{"op":"replace","path":"/a","value":{}}}]"#, nested(levels));
    assert!(
        parse(patched(r#"{"a":1}"#, &put(61)).unwrap().as_bytes()).is_ok(),
        "the text of the patch is deeper itself"
    );
    let moved = format!(r#"{{"a":{},"b":[[[0]]]}}"#, nested(62));
    refused(&moved, r#"[{"op":"move","from":"/a","path":"/b/0/0/0"}]"#, "deeper than 64");
    let many = format!("[{}]", vec![r#"{"op":"test","path":"","value":0}"#; MAX_OPERATIONS + 1].join(","));
    refused("0", &many, "at most 1000");
}

#[test]
fn whether_the_whole_is_replaced_is_seen() {
    let whole = |patch: &str| patch.parse::<Patch>().unwrap().replaces_the_whole();
    assert!(whole(r#"[{"op":"add","path":"","value":1}]"#) && whole(r#"[{"op":"replace","path":"","value":1}]"#));
    assert!(
        !whole("[]")
            && !whole(r#"[{"op":"replace","path":"/","value":1}]"#)
            && !whole(r#"[{"op":"test","path":"","value":1}]"#)
    );
}

fn pointer() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof!["[abc01-]", Just("a~1b".to_owned())], 0..4)
        .prop_map(|tokens| tokens.iter().map(|token| format!("/{token}")).collect())
}

fn operation() -> impl Strategy<Value = String> {
    let kind = prop_oneof![Just("add"), Just("remove"), Just("replace"), Just("move"), Just("copy"), Just("test")];
    let small = prop_oneof![Just("1.50"), Just("[]"), Just("{\"a\":[0,{\"b\":\"x\"}]}"), Just("null")];
    (kind, pointer(), pointer(), small).prop_map(|(op, path, from, value)| {
        format!(r#"{{"op":"{op}","path":"{path}","from":"{from}","value":{value}}}"#)
    })
}

proptest! {
    #[test]
    fn a_patch_is_read_as_it_is_written_and_what_it_makes_can_be_read(operations in prop::collection::vec(operation(), 0..12)) {
        let patch: Patch = format!("[{}]", operations.join(",")).parse().unwrap();
        prop_assert_eq!(patch.to_string().parse(), Ok(patch.clone()));
        // Each for itself, where it can be done, as together they hardly ever can.
        let mut document = value(r#"{"a":[0,{"b":1.50}],"b":{"a":"x","c":{}},"c":null,"a/b":[]}"#);
        for one in patch.0 {
            let one = Patch(vec![one]);
            if let Ok(next) = one.apply(document.clone()) {
                prop_assert_eq!(parse(next.to_string().as_bytes()), Ok(next.clone()));
                document = next;
            }
        }
    }
}
